// SPDX-License-Identifier: Apache-2.0
//
// Compiles what the printer writes with NVRTC for three architectures: every instruction in every
// element type, and the kinds of kernels. Skipped, with the reason, where there is no NVRTC.

#include <dirent.h>

#include <fstream>
#include <map>
#include <sstream>

#include "tests/unit/plugins/cpu/tile_test_util.h"

extern "C" {
#include "plugins/cuda/emit/convolution_code.h"
#include "plugins/cuda/emit/cuda_nvrtc.h"
#include "plugins/cuda/emit/matmul_code.h"
}

namespace tile_test {
namespace {

const char* const kArchitectures[] = {"sm_80", "sm_90a", "sm_100"};

// The text that |make| generates, or an exception. make(options, arena, code) gives a status.
template <typename Make>
std::string text_of(Make make) {
  tvi_cuda_code_options_t options = {};
  options.name = "test";
  tvi_arena_t arena;
  tvi_arena_init(&arena, trivet_allocator_system(), 0);
  tvi_cuda_code_t code = {};
  trivet_status_t status = make(&options, &arena, &code);
  tvi_arena_deinit(&arena);
  check(status);
  std::string text(code.source.data, code.source.size);
  tvi_cuda_code_deinit(&code);
  return text;
}

std::string print(Program& p) {
  return text_of([&](tvi_cuda_code_options_t* options, tvi_arena_t* arena, tvi_cuda_code_t* code) {
    return tvi_cuda_code_make(p.get(), options, arena, trivet_allocator_system(), code);
  });
}

// A product by the tile of that number, its sums in |splits| parts.
std::string print_product(Program& p, uint32_t tile, uint32_t splits, bool allows_tf32 = false) {
  return text_of([&](tvi_cuda_code_options_t* options, tvi_arena_t* arena, tvi_cuda_code_t* code) {
    options->allows_tf32 = allows_tf32;
    return tvi_cuda_matmul_code(p.get(), options, &tvi_cuda_matmul_tiles[tile], splits, arena,
                                trivet_allocator_system(), code);
  });
}

class Compile : public ::testing::Test {
 protected:
  void SetUp() override {
    uint8_t* cubin = nullptr;
    size_t size = 0;
    trivet_status_t status = tvi_cuda_nvrtc_compile(
        "__global__ void k() {}", "sm_80", trivet_allocator_system(), &cubin, &size, nullptr);
    if (!status) {
      tvi_free(trivet_allocator_system(), cubin, size);
      return;
    }
    const std::string message = trivet_status_message(status);
    const bool missing = trivet_status_code(status) == TRIVET_STATUS_UNAVAILABLE;
    trivet_status_free(status);
    ASSERT_TRUE(missing) << message;
    GTEST_SKIP() << message;
  }
  // For all architectures, or for one of them in turn.
  void expect_compiles(Program& p, bool all = true) { expect_text_compiles(print(p), all); }
  void expect_text_compiles(const std::string& text, bool all, const char* only = nullptr) {
    static size_t turn = 0;
    ++turn;
    for (size_t i = 0; i < 3; ++i) {
      const char* architecture = kArchitectures[i];
      if (only ? strcmp(only, architecture) != 0 : !all && turn % 3 != i) continue;
      uint8_t* cubin = nullptr;
      size_t size = 0;
      tvi_string_builder_t log;
      tvi_string_builder_init(&log, trivet_allocator_system());
      trivet_status_t status = tvi_cuda_nvrtc_compile(
          text.c_str(), architecture, trivet_allocator_system(), &cubin, &size, &log);
      if (status) {
        ADD_FAILURE() << trivet_status_message(status) << text.substr(text.find("\nextern"));
        trivet_status_free(status);
      } else {
        EXPECT_GT(size, 1000u);
        // An object file for a GPU.
        EXPECT_EQ(memcmp(cubin,
                         "\x7f"
                         "ELF",
                         4),
                  0);
        tvi_free(trivet_allocator_system(), cubin, size);
      }
      tvi_string_builder_deinit(&log);
      if (HasFailure()) return;
    }
  }
};

TEST_F(Compile, EveryInstructionInEveryType) {
  for (uint32_t dtype : {F32, F64, F16, BF16, I8, U8, I16, U16, I32, U32, I64, U64, BOOL}) {
    Program p;
    const bool is_float = tvi_dtype_is_float(dtype);
    auto x = p.input(dtype, {3, 40}), y = p.input(dtype, {3, 40}), z = p.input(dtype, {40});
    for (int op = TVI_KIR_CONST; op < TVI_KIR_WITH; ++op) {
      const auto opcode = (tvi_kir_opcode_t)op;
      const uint32_t count = tvi_kir_opcode_operands(opcode);
      if (count == 0 || opcode == TVI_KIR_CAST || opcode == TVI_KIR_SATCAST ||
          opcode == TVI_KIR_BITCAST || opcode == TVI_KIR_SELECT)
        continue;
      const uint32_t operands[3] = {dtype, dtype, dtype};
      const uint32_t result = tvi_kir_result_dtype(opcode, operands);
      if (tvi_kir_type_error(opcode, result, operands)) continue;
      auto out = p.output(result, {3, 40});
      Stage s = p.map({3, 40});
      Ref a = s.at(x), b = s.at(y), c = s.load(z, {s.index(1)});
      s.finish({out}, {s.op(opcode, result, a, b, c)});
    }
    for (uint32_t to : {F32, F64, F16, BF16, I8, U8, I16, U16, I32, U32, I64, U64, BOOL,
                        (uint32_t)TRIVET_DTYPE_F8E4M3FN, (uint32_t)TRIVET_DTYPE_F8E5M2,
                        (uint32_t)TRIVET_DTYPE_F8E4M3FNUZ, (uint32_t)TRIVET_DTYPE_F8E5M2FNUZ}) {
      for (auto opcode : {TVI_KIR_CAST, TVI_KIR_SATCAST, TVI_KIR_BITCAST}) {
        if (tvi_kir_type_error(opcode, to, &dtype)) continue;
        auto out = p.output(to, {3, 40});
        Stage s = p.map({3, 40});
        s.finish({out}, {s.op(opcode, to, s.at(x))});
      }
    }
    {
      auto out = p.output(dtype, {3, 40});
      Stage s = p.map({3, 40});
      Ref a = s.at(x), b = s.at(y);
      Ref less = is_float ? s.op(TVI_KIR_ISNAN, BOOL, a) : s.op(TVI_KIR_EQ, BOOL, a, b);
      s.finish({out}, {s.op(TVI_KIR_SELECT, dtype, less, a, b)});
    }
    SCOPED_TRACE(tvi_dtype_name(dtype));
    expect_compiles(p, dtype == F32 || dtype == F16 || dtype == BF16);
    if (HasFailure()) return;
  }
}

TEST_F(Compile, ReductionsOfEveryType) {
  for (uint32_t dtype : {F32, F64, F16, BF16, I8, U8, I32, I64}) {
    for (int64_t row : {7, 768, 5000}) {
      Program p;
      auto x = p.input(dtype, {64, row});
      for (auto kind : {TVI_KIR_SUM, TVI_KIR_PROD, TVI_KIR_REDUCE_MIN, TVI_KIR_REDUCE_MAX}) {
        auto y = p.output(dtype, {64});
        Stage s = p.reduce({64}, {row});
        s.finish({y}, {s.load(x, {s.index(0), s.index(1)})}, p.monoid(kind, dtype));
      }
      auto at = p.output(I64, {64});
      Stage s = p.reduce({64}, {row});
      s.finish({TVI_KIR_NONE, at}, {s.load(x, {s.index(0), s.index(1)}), s.index(1)},
               p.monoid(TVI_KIR_ARGMAX, dtype));
      SCOPED_TRACE(tvi_dtype_name(dtype));
      expect_compiles(p, dtype == F32 || dtype == F16);
      if (HasFailure()) return;
    }
  }
}

TEST_F(Compile, SymbolicShapes) {
  Program p;
  trivet_dim_t n = p.symbol("n"), k = p.symbol("k");
  auto x = p.value(TVI_KIR_INPUT, F16, {n, k}), y = p.value(TVI_KIR_OUTPUT, F16, {n, k});
  auto sum = p.value(TVI_KIR_TEMP, F16, {n});
  {
    Stage s(&p, TVI_KIR_REDUCE, {n}, {k});
    s.finish({sum}, {s.op(TVI_KIR_EXP, F16, s.load(x, {s.index(0), s.index(1)}))},
             p.monoid(TVI_KIR_SUM, F16));
  }
  Stage s(&p, TVI_KIR_MAP, {n, k}, {});
  s.finish({y}, {s.op(TVI_KIR_DIV, F16, s.op(TVI_KIR_EXP, F16, s.at(x)), s.at(sum))});
  expect_compiles(p);
}

TEST_F(Compile, MatrixProducts) {
  for (uint32_t tile = 0; tile < tvi_cuda_matmul_tile_count; ++tile) {
    Program p;
    const bool turned = tile % 2 != 0, is_wide = tvi_cuda_matmul_tiles[tile].slab != 0;
    auto a = p.input(turned ? F16 : BF16, {512, 768});
    auto b = p.input(turned ? F16 : BF16, {768, 3072});
    auto y = p.output(turned ? F16 : BF16, {512, 3072});
    Stage s = p.reduce({512, 3072}, {768});
    Ref x = s.load(a, {s.index(0), s.index(2)}), w = s.load(b, {s.index(2), s.index(1)});
    s.finish({y}, {s.op(TVI_KIR_MUL, F32, s.op(TVI_KIR_CAST, F32, x), s.op(TVI_KIR_CAST, F32, w))},
             p.monoid(TVI_KIR_SUM, F32));
    const bool can_split = !is_wide || tvi_cuda_matmul_can_share(&tvi_cuda_matmul_tiles[tile]);
    const uint32_t splits = turned && can_split ? 2 : 1;
    const std::string text = print_product(p, tile, splits);
    SCOPED_TRACE("tile " + std::to_string(tile));
    expect_text_compiles(text, tile == 3, is_wide ? "sm_90a" : nullptr);
    if (HasFailure()) return;
  }
}

TEST_F(Compile, MatrixProductsOfWholeNumbers) {
  for (uint32_t tile = 0; tile < tvi_cuda_matmul_tile_count; ++tile) {
    const bool is_wide = tvi_cuda_matmul_tiles[tile].slab != 0;
    if (tvi_cuda_matmul_tiles[tile].late || tvi_cuda_matmul_tiles[tile].even) continue;
    Program p;
    auto a = p.input(I8, {160, 256}), b = p.input(I8, {208, 256}), c = p.output(I32, {160, 208});
    Stage s = p.reduce({160, 208}, {256});
    Ref x = s.op(TVI_KIR_CAST, I32, s.load(a, {s.index(0), s.index(2)}));
    Ref y = s.op(TVI_KIR_CAST, I32, s.load(b, {s.index(1), s.index(2)}));
    s.finish({c}, {s.op(TVI_KIR_MUL, I32, x, y)}, p.monoid(TVI_KIR_SUM, I32));
    const std::string text = print_product(p, tile, 1);
    SCOPED_TRACE("tile " + std::to_string(tile));
    expect_text_compiles(text, tile == 3, is_wide ? "sm_90a" : nullptr);
    if (HasFailure()) return;
  }
}

// Every tile and every order of the factors, for every architecture.
TEST_F(Compile, MatrixProductsOfTf32) {
  for (uint32_t tile = 0; tile < tvi_cuda_matmul_tile_count; ++tile) {
    if (tvi_cuda_matmul_tiles[tile].slab) continue;
    Program p;
    const bool a_turned = (tile & 1) != 0, b_turned = (tile & 2) != 0;
    auto a =
        p.input(F32, a_turned ? std::vector<int64_t>{768, 512} : std::vector<int64_t>{512, 768});
    auto b =
        p.input(F32, b_turned ? std::vector<int64_t>{3072, 768} : std::vector<int64_t>{768, 3072});
    auto y = p.output(F32, {512, 3072});
    Stage s = p.reduce({512, 3072}, {768});
    Ref i = s.index(0), j = s.index(1), k = s.index(2);
    Ref x = s.load(a, a_turned ? std::vector<Ref>{k, i} : std::vector<Ref>{i, k});
    Ref w = s.load(b, b_turned ? std::vector<Ref>{j, k} : std::vector<Ref>{k, j});
    s.finish({y}, {s.op(TVI_KIR_MUL, F32, x, w)}, p.monoid(TVI_KIR_SUM, F32));
    const std::string text = print_product(p, tile, tile % 3 + 1, true);
    SCOPED_TRACE("tile " + std::to_string(tile));
    expect_text_compiles(text, tile < 4, nullptr);
    if (HasFailure()) return;
  }
}

TEST_F(Compile, MatrixProductsOfComputedFactors) {
  Program p;
  auto x = p.input(F16, {512, 768}), codes = p.input(I8, {768, 1024}), scale = p.input(F16, {1024});
  auto a = p.temp(F16, {512, 768}), w = p.temp(F16, {768, 1024}), y = p.output(F16, {512, 1024});
  {
    Stage s = p.map({512, 768});
    s.finish({a}, {s.op(TVI_KIR_MAX, F16, s.at(x), s.f(0, F16))});
  }
  {
    Stage s = p.map({768, 1024});
    s.finish({w}, {s.op(TVI_KIR_MUL, F16, s.op(TVI_KIR_CAST, F16, s.at(codes)),
                        s.load(scale, {s.index(1)}))});
  }
  Stage s = p.reduce({512, 1024}, {768});
  s.finish({y},
           {s.op(TVI_KIR_MUL, F16, s.load(a, {s.index(0), s.index(2)}),
                 s.load(w, {s.index(2), s.index(1)}))},
           p.monoid(TVI_KIR_SUM, F16));
  for (uint32_t tile : {0u, 3u}) {
    const std::string text = print_product(p, tile, 1);
    expect_text_compiles(text, true, nullptr);
  }
}

TEST_F(Compile, CodeOfPlugins) {
  tvi_kir_device_t function = {};
  function.name = "acme.halve";
  function.plugin = "their_plugin";
  function.cuda = "  return __fdividef(x, F(2));";
  function.parameter_count = 1;
  function.parameters[0] = "x";
  function.variables[0] = "F";
  for (uint32_t dtype : {F32, F16}) {
    Program p;
    auto x = p.input(dtype, {64, 96}), y = p.output(dtype, {64, 96});
    Stage s = p.map({64, 96});
    Ref e = s.at(x);
    s.finish({y}, {s.call(&function, dtype, s.op(TVI_KIR_MUL, dtype, e, s.f(0.5, dtype)), e)});
    expect_compiles(p);
  }
  // What does not compile is named.
  function.cuda = "  return nowhere(x);";
  Program p;
  auto x = p.input(F32, {64}), y = p.output(F32, {64});
  Stage s = p.map({64});
  s.finish({y}, {s.call(&function, F32, s.at(x), s.at(x))});
  uint8_t* cubin = nullptr;
  size_t size = 0;
  trivet_status_t status = tvi_cuda_nvrtc_compile(
      print(p).c_str(), "sm_90a", trivet_allocator_system(), &cubin, &size, nullptr);
  ASSERT_NE(status, nullptr);
  const std::string message = trivet_status_message(status);
  trivet_status_free(status);
  EXPECT_NE(message.find("scalar function acme.halve of plugin their_plugin(1)"), std::string::npos)
      << message;
  EXPECT_NE(message.find("nowhere"), std::string::npos) << message;
}

// |channels| of an image to as many or to 96; depthwise with a window of five, else three.
std::string print_convolution(int64_t channels, bool is_depthwise, uint32_t dtype,
                              const tvi_cuda_convolution_form_t& form) {
  Program p;
  const int64_t features = is_depthwise ? channels : 96, window = is_depthwise ? 5 : 3;
  auto x = p.input(dtype, {8, 28, 28, channels});
  auto w = is_depthwise ? p.input(dtype, {window, window, 1, channels})
                        : p.input(dtype, {features, window, window, channels});
  auto y = p.output(dtype, {8, 28, 28, features});
  Stage s = p.reduce({8, 28, 28, features}, {is_depthwise ? 1 : channels, window, window});
  auto place = [&](int64_t out, int64_t in) {
    return s.op(TVI_KIR_SUB, I64, s.op(TVI_KIR_ADD, I64, s.index(out), s.index(in)),
                s.i(window / 2));
  };
  Ref channel = s.index(is_depthwise ? 3 : 4);
  Ref a = s.load(x, {s.index(0), place(1, 5), place(2, 6), channel}, s.f(0, dtype));
  Ref b = is_depthwise ? s.load(w, {s.index(5), s.index(6), s.index(4), s.index(3)})
                       : s.load(w, {s.index(3), s.index(5), s.index(6), s.index(4)});
  s.finish({y}, {s.op(TVI_KIR_MUL, dtype, a, b)}, p.monoid(TVI_KIR_SUM, dtype));
  return text_of([&](tvi_cuda_code_options_t* options, tvi_arena_t* arena, tvi_cuda_code_t* code) {
    return tvi_cuda_convolution_code(p.get(), options, &form, arena, trivet_allocator_system(),
                                     code);
  });
}

TEST_F(Compile, Convolutions) {
  for (uint32_t tile = 0; tile < tvi_cuda_matmul_tile_count; ++tile) {
    SCOPED_TRACE("tile " + std::to_string(tile));
    const bool is_wide = tvi_cuda_matmul_tiles[tile].slab != 0;
    const char* target = is_wide ? "sm_90a" : nullptr;
    const uint32_t dtype = tile % 2 ? F16 : BF16;
    if (is_wide && !tvi_cuda_matmul_tiles[tile].late && !tvi_cuda_matmul_tiles[tile].even)
      expect_text_compiles(print_convolution(64, false, dtype, {tile, 1, 1, 1, false, true}), false,
                           target);
    if (is_wide && !tvi_cuda_matmul_is_plain_wide(&tvi_cuda_matmul_tiles[tile])) continue;
    expect_text_compiles(print_convolution(64, false, dtype, {tile, 1, 1, 1, false, false}),
                         tile == 3, target);
    if (HasFailure()) return;
  }
  expect_text_compiles(print_convolution(3, false, F16, {3, 2, 1, 1, false, false}), true, nullptr);
  expect_text_compiles(print_convolution(4, false, F16, {0, 1, 1, 1, true, false}), true, nullptr);
  for (uint32_t across : {1, 2, 4})
    expect_text_compiles(print_convolution(64, true, F16, {0, 1, across, across, false, false}),
                         across == 4, nullptr);
}

// What the golden texts hold is CUDA C for every architecture, each with the text that stands
// before it. Products and convolutions are compiled above, in all their forms.
TEST_F(Compile, GoldenTexts) {
  const std::string folder = "tests/unit/plugins/cuda/golden/", suffix = ".out.txt";
  DIR* dir = opendir(folder.c_str());
  ASSERT_NE(dir, nullptr);
  size_t count = 0;
  while (const dirent* entry = readdir(dir)) {
    const std::string name = entry->d_name;
    if (name.size() <= suffix.size() || name.substr(name.size() - suffix.size()) != suffix ||
        name.find("matmul") == 0 || name.find("convolution") == 0)
      continue;
    SCOPED_TRACE(name);
    std::ifstream in(folder + name, std::ios::binary);
    std::stringstream text;
    text << tvi_cuda_prelude << in.rdbuf();
    expect_text_compiles(text.str(), true);
    ++count;
  }
  closedir(dir);
  EXPECT_GE(count, 15u);
}

TEST(CompileErrors, NameTheArchitectureAndTheLog) {
  uint8_t* cubin = nullptr;
  size_t size = 0;
  trivet_status_t status = tvi_cuda_nvrtc_compile(
      "this is no program", "sm_80", trivet_allocator_system(), &cubin, &size, nullptr);
  ASSERT_NE(status, nullptr);
  const std::string message = trivet_status_message(status);
  const bool missing = trivet_status_code(status) == TRIVET_STATUS_UNAVAILABLE;
  trivet_status_free(status);
  EXPECT_EQ(cubin, nullptr);
  if (missing) GTEST_SKIP() << message;
  EXPECT_NE(message.find("sm_80"), std::string::npos) << message;
  EXPECT_NE(message.find("error"), std::string::npos) << message;
}

}  // namespace
}  // namespace tile_test
