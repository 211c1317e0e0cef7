// SPDX-License-Identifier: Apache-2.0
//
// The attention kernel in all forms: emulated on the host beside a plain computation in double, and
// compiled with NVRTC for three architectures (skipped, with the reason, where there is none).
#include <random>
#include <sstream>

#include "tests/unit/core/target/region_test_util.h"
#include "tests/unit/plugins/cuda/cuda_emulator.h"

extern "C" {
#include "plugins/cuda/emit/attention_code.h"
#include "plugins/cuda/emit/cuda_nvrtc.h"
}

namespace {

struct Case {
  const char* label;
  tvi_cuda_attention_form_t form;
  int64_t b, h, share, i, j, d, e;
  const char* type = "f16";
  // "", "bool[b,1,i,j]", "f16[b,1,1,j]", "f32[h,i,j]"
  int mask = 0;
  bool packed = false;  // heads lie in the last dimension, of one operand for all three
  bool causal = false, lengths = false;
  int64_t left = -1, offset = 0, past = 0;
  double cap = 0, scale = 0.25;
  bool is_odd = false;  // addresses that are not aligned
};

std::string operator+(const std::string& s, int64_t n) { return s + std::to_string(n); }

class CudaAttention : public RegionTest {
 protected:
  void Make(const Case& c) {
    const std::string t = c.type;
    const int64_t g = c.h / c.share, fresh = c.j - c.past;
    std::vector<std::string> types;
    std::string text, q, k, v, letters = "abcdefgh";
    const std::string head =
        c.share == 1 ? std::string("h") : std::string("floordiv(h, ") + c.share + ")";
    auto shape = [](std::vector<int64_t> dims) {
      std::string s = "[";
      for (size_t n = 0; n < dims.size(); ++n) s += (n ? ", " : "") + std::to_string(dims[n]);
      return s + "]";
    };
    if (c.packed) {
      const int64_t width = c.h * c.d + g * c.d + g * c.e;
      types = {t + shape({c.b, c.i, width})};
      q = std::string("a[b, i, h*") + c.d + " + d]";
      k = std::string("a[b, j, ") + c.h * c.d + " + " + head + "*" + c.d + " + d]";
      v = std::string("a[b, j, ") + (c.h * c.d + g * c.d) + " + " + head + "*" + c.e + " + e]";
    } else {
      types = {t + shape({c.b, c.h, c.i, c.d}), t + shape({c.b, g, fresh, c.d}),
               t + shape({c.b, g, fresh, c.e})};
      q = "a[b, h, i, d]";
      k = "b[b, " + head + ", j, d]";
      v = "c[b, " + head + ", j, e]";
    }
    if (c.past) {
      types.push_back(t + shape({c.b, g, c.past, c.d}));
      types.push_back(t + shape({c.b, g, c.past, c.e}));
      text += std::string("let keys[b: ") + c.b + ", g: " + g + ", j: " + c.j + ", d: " + c.d +
              "] = j < " + c.past + " ? d[b, g, j, d] : b[b, g, j - " + c.past + ", d]\n";
      text += std::string("let values[b: ") + c.b + ", g: " + g + ", j: " + c.j + ", e: " + c.e +
              "] = j < " + c.past + " ? e[b, g, j, e] : c[b, g, j - " + c.past + ", e]\n";
      k = "keys[b, " + head + ", j, d]";
      v = "values[b, " + head + ", j, e]";
    }
    std::string logit = "score[b, h, i, j]", conditions;
    if (c.cap > 0)
      logit = std::to_string(c.cap) + " * tanh(score[b, h, i, j] / " + std::to_string(c.cap) + ")";
    auto also = [&](const std::string& condition) {
      conditions += (conditions.empty() ? "" : " && ") + condition;
    };
    const std::string shift = std::string("(i + ") + c.offset + ")";
    if (c.causal) also("j <= " + shift);
    if (c.left >= 0) also(shift + " - j <= " + std::to_string(c.left));
    if (c.lengths) {
      also(std::string("j < ") + letters[types.size()] + "[b]");
      types.push_back("i64" + shape({c.b}));
    }
    const std::string mask(1, letters[types.size()]);
    if (c.mask == 1) {
      also(mask + "[b, 0, i, j]");
      types.push_back("bool" + shape({c.b, 1, c.i, c.j}));
    } else if (c.mask == 2) {
      logit += " + f32(" + mask + "[b, 0, 0, j])";
      types.push_back(t + shape({c.b, 1, 1, c.j}));
    } else if (c.mask == 3) {
      logit += " + f32(" + mask + "[h, i, j])";
      types.push_back("f32" + shape({c.h, c.i, c.j}));
    }
    const bool hides = !conditions.empty() || c.mask;
    if (!conditions.empty()) logit = conditions + " ? " + logit + " : -inf";
    const std::string bhi = std::string("b: ") + c.b + ", h: " + c.h + ", i: " + c.i;
    const std::string over = bhi + ", j: " + c.j, reduce = std::string("(j: ") + c.j + "){ ";
    text += "let score[" + over + "] = sum(d: " + c.d + "){ f32(" + q + ") * f32(" + k + ") } * " +
            std::to_string(c.scale) + "\n";
    text += "let biased[" + over + "] = " + logit + "\n";
    text += "let peak[" + bhi + "] = max" + reduce + "biased[b, h, i, j] }\n";
    text += "let rise[" + over + "] = " + (hides ? "peak[b, h, i] == -inf ? 0.0 : " : "") +
            "exp(biased[b, h, i, j] - peak[b, h, i])\n";
    text += "let total[" + bhi + "] = sum" + reduce + "rise[b, h, i, j] }\n";
    text += "let part[" + over + "] = " + (hides ? "total[b, h, i] == 0.0 ? 0.0 : " : "") +
            "rise[b, h, i, j] / total[b, h, i]\n";
    text += "let mixed[" + bhi + ", e: " + c.e + "] = sum" + reduce + "part[b, h, i, j] * f32(" +
            v + ") }\n";
    std::string y = t + shape({c.b, c.h, c.i, c.e});
    if (c.packed) {
      y = t + shape({c.b, c.i, c.h * c.e});
      text += "y[b, i, c] = " + t + "(mixed[b, floordiv(c, " + c.e + "), i, mod(c, " + c.e + ")])";
    } else {
      text += "y[b, h, i, e] = " + t + "(mixed[b, h, i, e])";
    }
    ASSERT_TRUE(MakeMany(types, {y}, text)) << error_ << text;
    for (auto& o : operands_) tvi_region_operand_set_dense(graph_, &o, tvi_layout_plain());
    const char* reason = nullptr;
    attention_ = {};
    ASSERT_EQ(Message(tvi_attention_match(&region_, &arena_, &attention_, &reason)), "");
    ASSERT_EQ(reason, nullptr) << reason << "\n" << text;
    ASSERT_EQ(tvi_cuda_attention_reason(&attention_), nullptr);
  }

  void Fill() {
    std::mt19937 random(7);
    std::normal_distribution<double> normal;
    tensors_.clear();
    for (uint32_t n = 0; n < operands_.size(); ++n) {
      const trivet_type_t& type = tvi_graph_value(graph_, operands_[n].value)->type;
      std::vector<int64_t> dims;
      for (uint32_t d = 0; d < type.rank; ++d) {
        int64_t extent = 0;
        tvi_dim_is_constant(type.dims[d], &extent);
        dims.push_back(extent);
      }
      Tensor t = Tensor::Make(type.dtype, dims);
      for (int64_t x = 0; x < t.Count(); ++x) {
        if (n == attention_.lengths.operand) {
          // One sequence that has no keys, one that has some.
          tvi_dtype_write_i64(type.dtype, t.bytes.data(), x, x == 0 ? 0 : 3 + 2 * x);
        } else if (type.dtype == TRIVET_DTYPE_BOOL) {
          tvi_dtype_write_i64(type.dtype, t.bytes.data(), x, random() % 3 != 0);
        } else if (operands_[n].is_output) {
          tvi_dtype_write_f64(type.dtype, t.bytes.data(), x, NAN);
        } else {
          tvi_dtype_write_f64(type.dtype, t.bytes.data(), x, normal(random));
        }
      }
      tensors_.push_back(t);
    }
  }

  double At(const tvi_attention_operand_t& operand, const int64_t (&roles)[TVI_ATTENTION_ROLES]) {
    Tensor& t = tensors_[operand.operand];
    int64_t at = 0;
    for (uint32_t d = 0; d < operand.rank; ++d) {
      int64_t index = 0, value = 0;
      if (operand.constant[d] && tvi_dim_is_constant(operand.constant[d], &value)) index += value;
      for (uint32_t r = 0; r < TVI_ATTENTION_ROLES; ++r) {
        value = 0;
        if (operand.coefficient[d][r]) tvi_dim_is_constant(operand.coefficient[d][r], &value);
        index += value * roles[r];
      }
      at = at * t.view.dims[d] + index;
    }
    return operand.dtype == TRIVET_DTYPE_BOOL || operand.dtype == TRIVET_DTYPE_I64
               ? static_cast<double>(tvi_dtype_read_i64(operand.dtype, t.bytes.data(), at))
               : tvi_dtype_read_f64(operand.dtype, t.bytes.data(), at);
  }

  // The result of a plain computation beside that of the kernels: mean relative error.
  double Error(const Case& c) {
    double difference = 0, size = 0;
    for (int64_t b = 0; b < c.b; ++b) {
      for (int64_t h = 0; h < c.h; ++h) {
        for (int64_t i = 0; i < c.i; ++i) {
          std::vector<double> score(static_cast<size_t>(c.j), -INFINITY);
          double peak = -INFINITY, total = 0;
          for (int64_t j = 0; j < c.j; ++j) {
            const bool is_past = j < c.past;
            int64_t at[] = {b, h, h / c.share, i, j, 0, 0};
            if ((c.causal && j > i + c.offset) || (c.left >= 0 && i + c.offset - j > c.left) ||
                (c.lengths && static_cast<double>(j) >= At(attention_.lengths, at)) ||
                (c.mask == 1 && At(attention_.mask, at) == 0))
              continue;
            const double added = c.mask > 1 ? At(attention_.mask, at) : 0;
            at[TVI_ATTENTION_J] = is_past ? j : j - c.past;
            double s = 0;
            for (at[TVI_ATTENTION_D] = 0; at[TVI_ATTENTION_D] < c.d; ++at[TVI_ATTENTION_D])
              s += At(attention_.q, at) * At(is_past ? attention_.past_k : attention_.k, at);
            s *= c.scale;
            if (c.cap > 0) s = c.cap * std::tanh(s / c.cap);
            score[static_cast<size_t>(j)] = s + added;
            peak = std::max(peak, s + added);
          }
          for (double& s : score) total += s = peak == -INFINITY ? 0 : std::exp(s - peak);
          for (int64_t e = 0; e < c.e; ++e) {
            double y = 0;
            for (int64_t j = 0; j < c.j && total > 0; ++j) {
              const bool is_past = j < c.past;
              const int64_t at[] = {b, h, h / c.share, i, is_past ? j : j - c.past, 0, e};
              y += score[static_cast<size_t>(j)] / total *
                   At(is_past ? attention_.past_v : attention_.v, at);
            }
            const int64_t at[] = {b, h, 0, i, 0, 0, e};
            const double got = At(attention_.result, at);
            if (std::isnan(got)) return NAN;
            difference += std::fabs(got - y);
            size += std::fabs(y);
          }
        }
      }
    }
    return difference / size;
  }

  static uint32_t Value(const tvi_cuda_code_t& code, uint32_t parameter) {
    int64_t value = -1;
    EXPECT_TRUE(tvi_dim_is_constant(code.parameters.data[parameter], &value));
    return static_cast<uint32_t>(value);
  }

  void Launch(const Case& c, const tvi_cuda_code_t& code, const uint32_t* operands) {
    std::vector<uint8_t> workspace(Value(code, code.workspace) + 64, 0xff);
    std::vector<std::vector<uint8_t>> memory(code.operands.count);
    std::vector<uint64_t> slots(code.arguments.count);
    std::vector<void*> pointers;
    auto align = [&](std::vector<uint8_t>& bytes) {
      const auto at = reinterpret_cast<uintptr_t>(bytes.data());
      return bytes.data() + (16 - at % 16) % 16 +
             (c.is_odd ? tensors_[0].view.dtype == TRIVET_DTYPE_F32 ? 4 : 2 : 0);
    };
    for (size_t n = 0; n < code.operands.count; ++n) {
      const auto& bytes = tensors_[operands[n]].bytes;
      memory[n].resize(bytes.size() + 32);
      memcpy(align(memory[n]), bytes.data(), bytes.size());
    }
    struct Map {  // as cuda_emulation.h has it
      const void* base;
      int rank, bytes, box[5];
      long long extents[5], strides[5];
    };
    std::vector<Map> maps(code.maps.count);
    for (size_t n = 0; n < maps.size(); ++n) {
      const tvi_cuda_map_t& from = code.maps.data[n];
      maps[n] = {align(memory[from.operand]), static_cast<int>(from.rank), 2, {}, {}, {}};
      for (uint32_t d = 0; d < from.rank; ++d) {
        maps[n].box[d] = static_cast<int>(from.box[d]);
        maps[n].extents[d] = Value(code, from.extents[d]);
        maps[n].strides[d] = Value(code, from.strides[d]) * 2LL;
      }
    }
    for (size_t n = 0; n < code.arguments.count; ++n) {
      const tvi_cuda_argument_t& argument = code.arguments.data[n];
      if (argument.kind == TVI_CUDA_ARGUMENT_MAP) {
        pointers.push_back(&maps[argument.index]);
        continue;
      }
      if (argument.kind == TVI_CUDA_ARGUMENT_OPERAND) {
        slots[n] = reinterpret_cast<uint64_t>(align(memory[argument.index]));
      } else if (argument.kind == TVI_CUDA_ARGUMENT_WORKSPACE) {
        slots[n] = reinterpret_cast<uint64_t>(workspace.data() + 16 -
                                              reinterpret_cast<uintptr_t>(workspace.data()) % 16);
      } else {
        slots[n] = Value(code, argument.index);
      }
      pointers.push_back(&slots[n]);
    }
    for (size_t n = 0; n < code.launches.count; ++n) {
      const tvi_cuda_launch_t& launch = code.launches.data[n];
      const tvi_cuda_variant_t& variant = launch.variants[c.is_odd ? launch.variant_count - 1 : 0];
      EXPECT_EQ(variant.alignment, c.is_odd ? 1u : 16u);
      cuda_emulator::module_of(code).launch(variant.name, pointers.data(),
                                            Value(code, variant.grid), variant.block);
    }
    for (size_t n = 0; n < code.operands.count; ++n) {
      auto& bytes = tensors_[operands[n]].bytes;
      memcpy(bytes.data(), align(memory[n]), bytes.size());
    }
  }

  void Check(const Case& c) {
    SCOPED_TRACE(c.label);
    ASSERT_NO_FATAL_FAILURE(Make(c));
    Fill();
    tvi_cuda_code_t code = {};
    uint32_t operands[TVI_CUDA_ATTENTION_OPERANDS];
    ASSERT_EQ(
        Message(tvi_cuda_attention_code(&region_, &attention_, &c.form, "k", &code, operands)), "");
    // The emulation of instructions stands before the text.
    std::string text = "#include \"tests/unit/plugins/cuda/attention_emulation.h\"\n";
    if (std::string(c.type) == "bf16") text = "#define TVA_EMULATE_BF16\n" + text;
    text += code.source.data;
    tvi_cuda_code_t emulated = code;
    tvi_string_builder_init(&emulated.source, trivet_allocator_system());
    tvi_string_builder_append_cstr(&emulated.source, text.c_str());
    Launch(c, emulated, operands);
    tvi_string_builder_deinit(&emulated.source);
    const double error = Error(c);
    EXPECT_LT(error, std::string(c.type) == "f32"    ? 2e-6
                     : std::string(c.type) == "bf16" ? 8e-3
                                                     : 1e-3);
    EXPECT_FALSE(std::isnan(error));
    printf("%-40s error %.2e\n", c.label, error);
    for (const char* architecture : {"sm_80", "sm_90a", "sm_100"}) {
      // Every case for one of them, every form for all.
      if (c.form.groups && std::string(architecture) != "sm_90a") continue;
      if (!c.form.groups && !architectures_ && turn_++ % 3 != 0) continue;
      uint8_t* cubin = nullptr;
      size_t size = 0;
      tvi_string_builder_t log;
      tvi_string_builder_init(&log, trivet_allocator_system());
      trivet_status_t status = tvi_cuda_nvrtc_compile(
          code.source.data, architecture, trivet_allocator_system(), &cubin, &size, &log);
      const bool missing = status && trivet_status_code(status) == TRIVET_STATUS_UNAVAILABLE;
      if (status && !missing) ADD_FAILURE() << trivet_status_message(status);
      if (!status) {
        std::string said = log.data ? log.data : "";
        // The widest heads do not fit the registers wholly, nor do f32 and its halves.
        const bool fits = std::string(c.type) != "f32" && c.d <= 128;
        for (size_t at = 0;
             fits && (at = said.find(" bytes spill stores", at)) != std::string::npos; ++at)
          EXPECT_EQ(said.substr(at - 3, 3), ", 0") << said;
        if (getenv("TRIVET_SHOW")) printf("%s\n", log.data);
      }
      trivet_status_free(status);
      tvi_free(trivet_allocator_system(), cubin, size);
      tvi_string_builder_deinit(&log);
    }
    tvi_cuda_code_deinit(&code);
  }

  tvi_attention_t attention_ = {};
  std::vector<Tensor> tensors_;
  bool architectures_ = false;
  uint32_t turn_ = 0;
};

tvi_cuda_attention_form_t Mma(uint32_t wm, uint32_t wn, uint32_t bn, uint32_t splits = 1,
                              bool pack = false, uint32_t mt = 1) {
  tvi_cuda_attention_form_t form = {};
  form.mt = mt, form.wm = wm, form.wn = wn, form.bn = bn, form.splits = splits, form.pack = pack;
  return form;
}
const tvi_cuda_attention_form_t kTall = Mma(4, 1, 64), kWide = Mma(1, 4, 32),
                                kPair = Mma(4, 1, 64, 1, false, 2), kBoth = Mma(2, 2, 32),
                                kSplit = Mma(1, 4, 16, 3), kPacked = Mma(1, 4, 16, 1, true),
                                kPackedSplit = Mma(1, 2, 16, 2, true), kSmall = Mma(4, 1, 32);

// Those for Hopper: groups, keys, stages, whether a warp gives orders, whether groups take turns.
tvi_cuda_attention_form_t Flash(uint32_t groups, uint32_t bn, uint32_t stages, bool has_orderer,
                                bool takes_turns = false) {
  return {1, 4 * groups, 1, bn, 1, 1, false, groups, stages, has_orderer, takes_turns};
}

TEST_F(CudaAttention, Forms) {
  architectures_ = true;
  Case c = {"plain", kTall, 1, 2, 1, 70, 130, 64, 64};
  Check(c);
  c.label = "keys over warps", c.form = kWide;
  Check(c);
  c.label = "two tiles a warp", c.form = kPair;
  Check(c);
  c.label = "rows and keys over warps", c.form = kBoth;
  Check(c);
  c.label = "keys over blocks", c.form = kSplit;
  Check(c);
}

TEST_F(CudaAttention, HeadSizes) {
  Check({"8, 24", kWide, 1, 1, 1, 20, 40, 8, 24});
  Check({"40, 80", kSmall, 1, 1, 1, 20, 40, 40, 80});
  Check({"128", kTall, 1, 1, 1, 20, 140, 128, 128});
  Check({"256", kSmall, 1, 1, 1, 20, 70, 256, 256});
}

TEST_F(CudaAttention, WhatHidesKeys) {
  Case c = {"causal", kTall, 2, 2, 1, 100, 100, 32, 32};
  c.causal = true;
  Check(c);
  c.label = "causal, keys over warps", c.form = kWide;
  Check(c);
  c.label = "causal with offset, window", c.offset = 17, c.j = 117, c.left = 20;
  Check(c);
  c.label = "the same, keys over blocks", c.form = kSplit;
  Check(c);
  c = {"lengths", kWide, 3, 2, 1, 5, 150, 32, 32};
  c.lengths = true;
  Check(c);
  c = {"bool mask", kTall, 2, 2, 1, 21, 75, 32, 32};
  c.mask = 1;
  Check(c);
  c.label = "added mask of keys", c.mask = 2;
  Check(c);
  c.label = "added mask, cap", c.mask = 3, c.cap = 5;
  Check(c);
  c.label = "negative scale", c.scale = -0.3, c.mask = 0, c.cap = 0;
  Check(c);
}

TEST_F(CudaAttention, SharedKeyHeads) {
  Case c = {"shared", kTall, 2, 6, 3, 20, 75, 32, 32};
  Check(c);
  c.label = "in the rows of a block", c.form = kPacked;
  Check(c);
  c.label = "one query", c.i = 1;
  Check(c);
  c.label = "one query, keys over blocks, causal with past", c.form = kPackedSplit;
  c.causal = true, c.past = 74, c.offset = 74;
  Check(c);
  c.label = "some queries with past", c.i = 5, c.past = 70, c.offset = 70;
  Check(c);
}

TEST_F(CudaAttention, StridesAndAddresses) {
  Case c = {"packed", kTall, 2, 3, 1, 45, 45, 32, 32};
  c.packed = true;
  Check(c);
  c.label = "packed, not aligned", c.is_odd = true;
  Check(c);
  c.label = "not aligned, keys over blocks", c.packed = false, c.form = kSplit, c.j = 99;
  Check(c);
}

TEST_F(CudaAttention, Bf16) {
  Case c = {"bf16", kWide, 2, 2, 1, 33, 75, 64, 64, "bf16"};
  Check(c);
  c.mask = 2;
  Check(c);
}

TEST_F(CudaAttention, F32) {
  Case c = {"f32", kSmall, 1, 2, 1, 40, 75, 64, 64, "f32"};
  architectures_ = true;
  Check(c);
  c.label = "f32, keys over warps", c.form = Mma(1, 4, 16), c.causal = true, c.d = 40;
  Check(c);
  c.label = "f32, not aligned, mask, cap", c.is_odd = true, c.mask = 3, c.cap = 4;
  Check(c);
  c.label = "f32, 128", c.is_odd = false, c.d = c.e = 128, c.i = 10;
  Check(c);
}

TEST_F(CudaAttention, Hopper) {
  Case c = {"one group", Flash(1, 32, 2, false), 1, 2, 1, 70, 110, 64, 64};
  Check(c);
  c.label = "one tile", c.form = Flash(1, 128, 1, false), c.i = 64, c.j = 128, c.h = 1;
  Check(c);
  c.label = "two groups", c.form = Flash(2, 48, 2, true), c.i = 140, c.j = 150;
  Check(c);
  c.label = "two groups in turn, 128", c.form = Flash(2, 32, 2, true, true), c.d = c.e = 128;
  Check(c);
  c.label = "three groups", c.form = Flash(3, 64, 2, true), c.d = c.e = 64, c.i = 100;
  Check(c);
  c.label = "40, 24", c.form = Flash(1, 80, 2, false), c.d = 40, c.e = 24, c.i = 50;
  Check(c);
  c.label = "72, 128", c.d = 72, c.e = 128, c.form = Flash(2, 96, 2, true);
  Check(c);
  c.label = "bf16", c.type = "bf16", c.d = c.e = 64;
  Check(c);
}

TEST_F(CudaAttention, WhatHidesKeysOnHopper) {
  Case c = {"causal", Flash(2, 32, 2, true, true), 2, 1, 1, 160, 160, 64, 64};
  c.causal = true;
  Check(c);
  c.label = "causal, three groups", c.form = Flash(3, 32, 3, true), c.i = c.j = 210, c.b = 1;
  Check(c);
  c.label = "causal with offset, window", c.offset = 17, c.j = 227, c.left = 20, c.d = c.e = 32;
  Check(c);
  c.label = "the same, orders from a worker", c.form = Flash(2, 32, 2, false);
  Check(c);
  c.label = "the same in turn", c.form = Flash(2, 32, 2, true, true);
  Check(c);
  c = {"lengths", Flash(2, 32, 2, true, true), 3, 1, 1, 130, 100, 32, 32};
  c.lengths = true;
  Check(c);
  c.label = "lengths, one group", c.form = Flash(1, 32, 2, false), c.i = 5;
  Check(c);
  c = {"bool mask", Flash(2, 32, 2, true), 2, 2, 1, 71, 75, 32, 32};
  c.mask = 1;
  Check(c);
  c.label = "added mask, cap", c.mask = 3, c.cap = 5;
  Check(c);
  c.label = "negative scale, shared", c.scale = -0.3, c.mask = 0, c.cap = 0, c.share = 2;
  Check(c);
  c = {"packed", Flash(2, 64, 2, true), 2, 3, 1, 75, 75, 64, 64};
  c.packed = true;
  Check(c);
  c.label = "packed, not aligned", c.is_odd = true;
  Check(c);
}

// What is printed for one region: golden/cuda_attention.txt. TRIVET_GOLDEN_UPDATE=FOLDER writes it
// there.
TEST_F(CudaAttention, IsPrintedAsBefore) {
  Case c = {"", kPackedSplit, 2, 6, 3, 4, 75, 32, 32};
  c.causal = true, c.offset = 71, c.mask = 2;
  ASSERT_NO_FATAL_FAILURE(Make(c));
  tvi_cuda_code_t code = {};
  uint32_t operands[TVI_CUDA_ATTENTION_OPERANDS];
  ASSERT_EQ(Message(tvi_cuda_attention_code(&region_, &attention_, &c.form, "k", &code, operands)),
            "");
  std::string text(code.source.data, code.source.size);
  ASSERT_EQ(text.find(tvi_cuda_prelude), 0u);
  text = text.substr(strlen(tvi_cuda_prelude));
  const size_t at = text.find(tvi_cuda_attention_text);
  ASSERT_NE(at, std::string::npos);
  text.erase(at, strlen(tvi_cuda_attention_text));
  tvi_cuda_code_deinit(&code);
  if (const char* folder = getenv("TRIVET_GOLDEN_UPDATE")) {
    std::ofstream(std::string(folder) + "/cuda_attention.txt") << text;
    return;
  }
  std::ifstream in("tests/unit/plugins/cuda/golden/cuda_attention.txt");
  std::ostringstream known;
  known << in.rdbuf();
  EXPECT_EQ(text, known.str());
}

TEST_F(CudaAttention, Reasons) {
  Case c = {"", kTall, 1, 2, 1, 4, 5, 32, 32};
  ASSERT_NO_FATAL_FAILURE(Make(c));
  attention_.extents[TVI_ATTENTION_D] = tvi_dim_constant(graph_->dims, 20);
  EXPECT_STREQ(tvi_cuda_attention_reason(&attention_),
               "a head size is not a known multiple of 8 up to 256 (128 of f32)");
  attention_.extents[TVI_ATTENTION_D] = tvi_dim_constant(graph_->dims, 32);
  attention_.k.dtype = TRIVET_DTYPE_BF16;
  EXPECT_STREQ(tvi_cuda_attention_reason(&attention_),
               "queries, keys, values and result have different types");
}

}  // namespace
