// SPDX-License-Identifier: Apache-2.0
//
// The CUDA C of each pattern: golden/NAME.in.txt, a kernel-IR program, must be printed as
// golden/NAME.out.txt, which begins after the prelude. TRIVET_GOLDEN_UPDATE=FOLDER writes what is
// printed there instead of comparing.
#include <dirent.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

extern "C" {
#include "core/base/string_view.h"
#include "core/dimension/dimension.h"
#include "plugins/cuda/emit/convolution_code.h"
#include "plugins/cuda/emit/emit_code.h"
#include "plugins/cuda/emit/matmul_code.h"
}

namespace {

const char kFolder[] = "tests/unit/plugins/cuda/golden/";

std::string Read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::string> Cases() {
  const std::string suffix = ".in.txt";
  std::vector<std::string> names;
  if (DIR* dir = opendir(kFolder)) {
    while (const dirent* entry = readdir(dir)) {
      const std::string name = entry->d_name;
      if (name.size() > suffix.size() && name.substr(name.size() - suffix.size()) == suffix)
        names.push_back(name.substr(0, name.size() - suffix.size()));
    }
    closedir(dir);
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string Print(const std::string& name) {
  const std::string in = Read(kFolder + name + ".in.txt");
  tvi_dim_context_t* dims = nullptr;
  tvi_arena_t arena;
  tvi_arena_init(&arena, trivet_allocator_system(), 0);
  tvi_kir_program_t* program = nullptr;
  tvi_cuda_code_t code = {};
  tvi_cuda_code_options_t options = {};
  options.name = name.c_str();
  if (name.find("held") != std::string::npos) options.shared_limit = 227u << 10;
  options.allows_tf32 = name.find("tf32") != std::string::npos;
  trivet_status_t status = tvi_dim_context_create(trivet_allocator_system(), &dims);
  if (!status) status = tvi_kir_program_parse(tvi_sv(in.c_str()), dims, &arena, &program);
  // What symbols are for may be any number up to 4096.
  for (uint32_t i = 0; !status && i < tvi_dim_symbol_count(dims); ++i)
    status = tvi_dim_symbol_restrict(dims, tvi_dim_symbol_at(dims, i), 1, 4096, 1);
  // The names of matrix products and convolutions say which form they take.
  const bool is_matmul = name.find("matmul") == 0, is_convolution = name.find("convolution") == 0;
  const bool is_wide = name.find("wide") != std::string::npos;
  const bool is_even = name.find("even") != std::string::npos;
  const uint32_t splits = name.find("split") == std::string::npos ? 1 : 4;
  if (!status && is_matmul) {
    const tvi_cuda_matmul_tile_t* tile = &tvi_cuda_matmul_tiles[3];
    if (is_wide)
      while (!tile->slab || tile->even != (uint32_t)is_even) ++tile;
    status = tvi_cuda_matmul_code(program, &options, tile, splits, &arena,
                                  trivet_allocator_system(), &code);
  } else if (!status && is_convolution) {
    tvi_cuda_convolution_form_t form = {3, splits, 2, 1, false, false};
    while (is_wide && !tvi_cuda_matmul_tiles[form.tile].slab) ++form.tile;
    status = tvi_cuda_convolution_code(program, &options, &form, &arena, trivet_allocator_system(),
                                       &code);
  } else if (!status) {
    status = tvi_cuda_code_make(program, &options, &arena, trivet_allocator_system(), &code);
  }
  std::string text;
  if (status) {
    text = std::string("error: ") + trivet_status_message(status) + "\n";
    trivet_status_free(status);
  } else {
    EXPECT_EQ(std::string(code.source.data).find(tvi_cuda_prelude), 0u);
    text = code.source.data + strlen(tvi_cuda_prelude);
    std::vector<const char*> parts;
    if (is_matmul || is_convolution) parts.push_back(tvi_cuda_matmul_text);
    if (is_wide) parts.push_back(tvi_cuda_wgmma_text);
    if (is_convolution) parts.push_back(tvi_cuda_convolution_text);
    for (const char* part : parts) {
      EXPECT_EQ(text.find(part), 0u);
      text = text.substr(strlen(part));
    }
    for (size_t i = 0; i < code.launches.count; ++i) {
      const tvi_cuda_variant_t& variant = code.launches.data[i].variants[0];
      int64_t value = -1;
      const bool known = tvi_dim_is_constant(code.parameters.data[variant.grid], &value);
      text += "// " + std::string(variant.name) + ": blocks " +
              (known ? std::to_string(value) : "by shape") + ", threads " +
              std::to_string(variant.block) + ", alignment " + std::to_string(variant.alignment) +
              (variant.shared_bytes && !is_matmul && !is_convolution
                   ? ", shared " + std::to_string(variant.shared_bytes)
                   : "") +
              "\n";
    }
    tvi_cuda_code_deinit(&code);
  }
  tvi_arena_deinit(&arena);
  tvi_dim_context_destroy(dims);
  return text;
}

class CudaGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(CudaGolden, IsPrintedAsBefore) {
  const std::string text = Print(GetParam());
  if (const char* folder = getenv("TRIVET_GOLDEN_UPDATE")) {
    std::ofstream(std::string(folder) + "/" + GetParam() + ".out.txt") << text;
    return;
  }
  EXPECT_EQ(text, Read(kFolder + GetParam() + ".out.txt"));
  // The same program gives the same text.
  EXPECT_EQ(text, Print(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(All, CudaGolden, ::testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param; });

TEST(CudaGoldenFolder, IsNotEmpty) { EXPECT_GE(Cases().size(), 9u); }

}  // namespace
