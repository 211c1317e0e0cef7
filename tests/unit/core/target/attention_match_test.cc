// SPDX-License-Identifier: Apache-2.0
//
// Attention in kernel IR: heads apart and packed, shared key heads, scale and cap, masks, bounds by
// position and length, keys with a past; and what is no attention, with the reason.
#include "core/target/attention_match.h"

#include "tests/unit/core/target/region_test_util.h"

namespace {

struct Text {
  std::string q = "a[b, h, i, d]", k = "b[b, h, j, d]", v = "c[b, h, j, e]";
  std::string scale = " * 0.125";
  std::string logit = "score[b, h, i, j]";  // "biased" over it
  bool hides = false;
  std::string result = "y[b, h, i, e] = f16(mixed[b, h, i, e])";
  std::string extents[6] = {"2", "4", "5", "7", "8", "6"};  // b h i j d e
  std::string prologue, epilogue;

  std::string Make() const {
    const std::string bhi = "b: " + extents[0] + ", h: " + extents[1] + ", i: " + extents[2];
    const std::string over = bhi + ", j: " + extents[3], j = "(j: " + extents[3] + "){ ";
    std::string t = prologue;
    t += "let score[" + over + "] = sum(d: " + extents[4] + "){ f32(" + q + ") * f32(" + k + ") }" +
         scale + "\n";
    t += "let biased[" + over + "] = " + logit + "\n";
    t += "let peak[" + bhi + "] = max" + j + "biased[b, h, i, j] }\n";
    t += "let rise[" + over + "] = " + (hides ? "peak[b, h, i] == -inf ? 0.0 : " : "") +
         "exp(biased[b, h, i, j] - peak[b, h, i])\n";
    t += "let total[" + bhi + "] = sum" + j + "rise[b, h, i, j] }\n";
    t += "let share[" + over + "] = " + (hides ? "total[b, h, i] == 0.0 ? 0.0 : " : "") +
         "rise[b, h, i, j] / total[b, h, i]\n";
    t += "let mixed[" + bhi + ", e: " + extents[5] + "] = sum" + j + "share[b, h, i, j] * f32(" +
         v + ") }\n" + result + epilogue;
    return t;
  }
};

class AttentionMatch : public RegionTest {
 protected:
  // "" or the reason.
  std::string Match(const Text& text, const std::vector<std::string>& extra = {},
                    const std::string& y = "f16[2, 4, 5, 6]") {
    std::vector<std::string> types = {"f16[2, 4, 5, 8]", "f16[2, 4, 7, 8]", "f16[2, 4, 7, 6]"};
    types.insert(types.end(), extra.begin(), extra.end());
    return MatchTypes(text, types, {y});
  }
  std::string MatchTypes(const Text& text, const std::vector<std::string>& types,
                         const std::vector<std::string>& results) {
    out_ = {};
    if (!MakeMany(types, results, text.Make())) return error_;
    const char* reason = nullptr;
    std::string error = Message(tvi_attention_match(&region_, &arena_, &out_, &reason));
    return error.empty() && reason ? reason : error;
  }
  static int64_t Value(trivet_dim_t dim) {
    int64_t value = 0;
    if (dim == nullptr) return 0;
    return tvi_dim_is_constant(dim, &value) ? value : -12345;
  }
  // Element strides by role for dense operands, as "b h g i j d e".
  std::string Strides(const tvi_attention_operand_t& operand) {
    for (auto& o : operands_) {
      tvi_region_operand_set_dense(graph_, &o, tvi_layout_plain());
    }
    // The program of this test has dimensions of its own.
    tvi_attention_operand_t moved = operand;
    for (uint32_t d = 0; d < moved.rank; ++d) {
      if (moved.constant[d])
        moved.constant[d] = tvi_dim_constant(graph_->dims, Value(moved.constant[d]));
      for (auto& c : moved.coefficient[d]) {
        if (c) c = tvi_dim_constant(graph_->dims, Value(c));
      }
    }
    trivet_dim_t strides[TVI_ATTENTION_ROLES], offset;
    if (!tvi_attention_strides(&region_, &moved, strides, &offset)) return "overflow";
    std::string s = std::to_string(Value(offset)) + ":";
    for (auto* stride : strides) s += " " + std::to_string(Value(stride));
    return s;
  }
  tvi_attention_t out_ = {};
};

TEST_F(AttentionMatch, HeadsApart) {
  ASSERT_EQ(Match(Text()), "");
  EXPECT_EQ(out_.q.operand, 0u);
  EXPECT_EQ(out_.k.operand, 1u);
  EXPECT_EQ(out_.v.operand, 2u);
  EXPECT_EQ(out_.result.operand, 3u);
  EXPECT_EQ(out_.mask.operand, TVI_KIR_NONE);
  EXPECT_EQ(out_.lengths.operand, TVI_KIR_NONE);
  EXPECT_EQ(out_.scale, 0.125);
  EXPECT_EQ(out_.softcap, 0);
  EXPECT_FALSE(out_.zero_rows);
  EXPECT_EQ(out_.past, nullptr);
  EXPECT_EQ(out_.upper, nullptr);
  EXPECT_EQ(out_.lower, nullptr);
  EXPECT_EQ(out_.accumulate_dtype, static_cast<uint32_t>(TRIVET_DTYPE_F32));
  const int64_t extents[] = {2, 4, 4, 5, 7, 8, 6};
  for (int r = 0; r < TVI_ATTENTION_ROLES; ++r) EXPECT_EQ(Value(out_.extents[r]), extents[r]);
  EXPECT_EQ(Strides(out_.q), "0: 160 40 0 8 0 1 0");
  EXPECT_EQ(Strides(out_.k), "0: 224 0 56 0 8 1 0");
  EXPECT_EQ(Strides(out_.v), "0: 168 0 42 0 6 0 1");
  EXPECT_EQ(Strides(out_.result), "0: 120 30 0 6 0 0 1");
}

TEST_F(AttentionMatch, OrderOfFactorsAndOfDimensions) {
  Text t;
  t.q = "b[b, h, j, d]";
  t.k = "a[b, h, i, d]";
  ASSERT_EQ(Match(t), "");
  EXPECT_EQ(out_.q.operand, 0u);
  EXPECT_EQ(out_.k.operand, 1u);
  t.q = "a[b, i, h, d]";
  t.k = "b[h, d, b, j]";
  t.v = "c[j, b, h, e]";
  t.result = "y[b, i, h, e] = f16(mixed[b, h, i, e])";
  ASSERT_EQ(
      MatchTypes(t, {"f16[2, 5, 4, 8]", "f16[4, 8, 2, 7]", "f16[7, 2, 4, 6]"}, {"f16[2, 5, 4, 6]"}),
      "");
  EXPECT_EQ(Strides(out_.q), "0: 160 8 0 32 0 1 0");
  EXPECT_EQ(Strides(out_.k), "0: 7 0 112 0 1 14 0");
  EXPECT_EQ(Strides(out_.v), "0: 24 0 6 0 48 0 1");
  EXPECT_EQ(Strides(out_.result), "0: 120 6 0 24 0 0 1");
}

TEST_F(AttentionMatch, PackedWithSharedKeyHeads) {
  Text t;
  t.q = "a[b, i, h*8 + d]";
  t.k = "b[b, j, floordiv(h, 2)*8 + d]";
  t.v = "c[b, j, floordiv(h, 2)*6 + e]";
  t.result = "y[b, i, c] = f16(mixed[b, floordiv(c, 6), i, mod(c, 6)])";
  ASSERT_EQ(MatchTypes(t, {"f16[2, 5, 32]", "f16[2, 7, 16]", "f16[2, 7, 12]"}, {"f16[2, 5, 24]"}),
            "");
  EXPECT_EQ(Value(out_.share), 2);
  EXPECT_EQ(Value(out_.extents[TVI_ATTENTION_G]), 2);
  EXPECT_EQ(Strides(out_.q), "0: 160 8 0 32 0 1 0");
  EXPECT_EQ(Strides(out_.k), "0: 112 0 8 0 16 1 0");
  EXPECT_EQ(Strides(out_.v), "0: 84 0 6 0 12 0 1");
  EXPECT_EQ(Strides(out_.result), "0: 120 6 0 24 0 0 1");
  // Three parts of one operand.
  t.q = "a[b, i, h*8 + d]";
  t.k = "a[b, i + 0*j, 32 + h*8 + d]";
  EXPECT_NE(MatchTypes(t, {"f16[2, 5, 96]", "f16[2, 7, 16]", "f16[2, 7, 12]"}, {"f16[2, 5, 24]"}),
            "");
  t.extents[2] = "7";
  t.k = "a[b, j, 32 + h*8 + d]";
  t.v = "a[b, j, 64 + h*8 + e]";
  t.extents[5] = "8";
  t.result = "y[b, i, c] = f16(mixed[b, floordiv(c, 8), i, mod(c, 8)])";
  ASSERT_EQ(MatchTypes(t, {"f16[2, 7, 96]"}, {"f16[2, 7, 32]"}), "");
  EXPECT_EQ(Strides(out_.q), "0: 672 8 0 96 0 1 0");
  EXPECT_EQ(Strides(out_.k), "32: 672 0 8 0 96 1 0");
  EXPECT_EQ(Strides(out_.v), "64: 672 0 8 0 96 0 1");
  EXPECT_EQ(Value(out_.share), 1);
}

TEST_F(AttentionMatch, ScaleCapAndMasks) {
  Text t;
  t.hides = true;
  t.scale = "";
  t.logit = "20.0 * tanh(score[b, h, i, j] * 0.5 / 20.0) + f32(d[0, 0, i, j])";
  ASSERT_EQ(Match(t, {"f16[1, 1, 5, 7]"}), "");
  EXPECT_EQ(out_.scale, 0.5);
  EXPECT_EQ(out_.softcap, 20);
  EXPECT_EQ(out_.mask.operand, 3u);
  EXPECT_EQ(Strides(out_.mask), "0: 0 0 0 7 1 0 0");
  EXPECT_EQ(out_.mask_length, nullptr);
  EXPECT_TRUE(out_.zero_rows);
  t.logit = "d[b, j] ? score[b, h, i, j] : -inf";
  ASSERT_EQ(Match(t, {"bool[2, 7]"}), "");
  EXPECT_EQ(out_.scale, 1);
  EXPECT_EQ(out_.mask.dtype, static_cast<uint32_t>(TRIVET_DTYPE_BOOL));
  EXPECT_EQ(Strides(out_.mask), "0: 7 0 0 0 1 0 0");
  t.logit = "d[i, j; pad = false] ? score[b, h, i, j] : -inf";
  ASSERT_EQ(Match(t, {"bool[5, 4]"}), "");
  EXPECT_EQ(Value(out_.mask_length), 4);
  t.logit = "score[b, h, i, j] + f32(d[i, j; pad = -inf])";
  ASSERT_EQ(Match(t, {"f16[5, 4]"}), "");
  EXPECT_EQ(Value(out_.mask_length), 4);
  t.logit = "score[b, h, i, j] + f32(d[i, j; pad = 0])";
  EXPECT_EQ(Match(t, {"f16[5, 4]"}), "keys that the mask does not have are not hidden");
  t.logit = "score[b, h, i, j] + f32(d[i, j]) + f32(d[i, j])";
  EXPECT_EQ(Match(t, {"f16[5, 7]"}), "there are two masks");
  t.logit = "max(score[b, h, i, j], 0)";
  EXPECT_EQ(Match(t), "scores are changed by an operation that is not known");
}

TEST_F(AttentionMatch, Bounds) {
  Text t;
  t.hides = true;
  t.logit = "j <= i ? score[b, h, i, j] : -inf";
  ASSERT_EQ(Match(t), "");
  ASSERT_NE(out_.upper, nullptr);
  EXPECT_EQ(Value(out_.upper), 0);
  EXPECT_EQ(out_.lower, nullptr);
  t.logit = "j <= i + 2 && i + 2 - j <= 3 && j - (i + 2) <= 1 ? score[b, h, i, j] : -inf";
  ASSERT_EQ(Match(t), "");
  EXPECT_EQ(Value(out_.upper), 2);
  EXPECT_EQ(Value(out_.lower), -1);
  EXPECT_FALSE(out_.bounds_add_length);
  t.logit = "j <= i + d[b] - 5 && i + d[b] - 5 - j <= 3 && j < d[b] ? score[b, h, i, j] : -inf";
  ASSERT_EQ(Match(t, {"i64[2]"}), "");
  EXPECT_EQ(out_.lengths.operand, 3u);
  EXPECT_TRUE(out_.has_length);
  EXPECT_TRUE(out_.bounds_add_length);
  EXPECT_EQ(Value(out_.upper), -5);
  EXPECT_EQ(Value(out_.lower), -8);
  t.logit = "j < d[b] ? score[b, h, i, j] : -inf";
  ASSERT_EQ(Match(t, {"i64[2]"}), "");
  EXPECT_TRUE(out_.has_length);
  EXPECT_FALSE(out_.bounds_add_length);
  t.logit = "j <= 2*i ? score[b, h, i, j] : -inf";
  EXPECT_EQ(Match(t), "keys are hidden by a condition that is not known");
  t.logit = "j <= i && d[b, i] ? score[b, h, i, j] : -inf";
  ASSERT_EQ(Match(t, {"bool[2, 5]"}), "");
  EXPECT_EQ(Strides(out_.mask), "0: 5 0 0 1 0 0 0");
}

TEST_F(AttentionMatch, KeysWithAPast) {
  Text t;
  t.hides = true;
  t.prologue =
      "let keys[b: 2, g: 2, j: 7, d: 8] = j < 3 ? d[b, g, j, d] : b[b, g, j - 3, d]\n"
      "let values[b: 2, g: 2, j: 7, e: 6] = j < 3 ? e[b, g, j, e] : c[b, g, j - 3, e]\n";
  t.k = "keys[b, floordiv(h, 2), j, d]";
  t.v = "values[b, floordiv(h, 2), j, e]";
  t.logit = "j <= i + 3 ? score[b, h, i, j] : -inf";
  const std::vector<std::string> types = {"f16[2, 4, 5, 8]", "f16[2, 2, 4, 8]", "f16[2, 2, 4, 6]",
                                          "f16[2, 2, 3, 8]", "f16[2, 2, 3, 6]"};
  ASSERT_EQ(MatchTypes(t, types, {"f16[2, 4, 5, 6]"}), "");
  EXPECT_EQ(Value(out_.past), 3);
  EXPECT_EQ(out_.k.operand, 1u);
  EXPECT_EQ(out_.past_k.operand, 3u);
  EXPECT_EQ(out_.past_v.operand, 4u);
  EXPECT_EQ(out_.present_k.operand, TVI_KIR_NONE);
  EXPECT_EQ(Strides(out_.k), "0: 64 0 32 0 8 1 0");
  EXPECT_EQ(Strides(out_.past_v), "0: 36 0 18 0 6 0 1");
  t.epilogue = "\nz[b, g, j, d] = keys[b, g, j, d]\nw[b, g, j, e] = values[b, g, j, e]";
  ASSERT_EQ(MatchTypes(t, types, {"f16[2, 4, 5, 6]", "f16[2, 2, 7, 8]", "f16[2, 2, 7, 6]"}), "");
  EXPECT_EQ(out_.present_k.operand, 6u);
  EXPECT_EQ(out_.present_v.operand, 7u);
  EXPECT_EQ(Strides(out_.present_k), "0: 112 0 56 0 8 1 0");
}

TEST_F(AttentionMatch, WhatIsNone) {
  Text t;
  t.result = "y[b, h, i, e] = f16(mixed[b, h, i, e] * 2)";
  EXPECT_EQ(Match(t), "the result goes through further operations");
  t = Text();
  t.q = "a[b, h, i, d] * 2";
  EXPECT_EQ(Match(t), "queries are computed inside the region");
  t = Text();
  t.v = "max(c[b, h, j, e], 0)";
  EXPECT_EQ(Match(t), "keys or values are computed inside the region");
  t = Text();
  t.result = "y[b, h, i, j] = f16(score[b, h, i, j])";
  EXPECT_NE(
      MatchTypes(t, {"f16[2, 4, 5, 8]", "f16[2, 4, 7, 8]", "f16[2, 4, 7, 6]"}, {"f16[2, 4, 5, 7]"}),
      "");
  ASSERT_TRUE(
      Make({"f32[4, 8]", "f32[8, 6]"}, "f32[4, 6]", "y[i, j] = sum(k: 8){ a[i, k] * b[k, j] }"));
  const char* reason = nullptr;
  EXPECT_EQ(Message(tvi_attention_match(&region_, &arena_, &out_, &reason)), "");
  EXPECT_STREQ(reason, "it has fewer reductions than attention has");
}

}  // namespace
