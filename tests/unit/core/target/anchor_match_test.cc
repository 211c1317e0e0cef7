// SPDX-License-Identifier: Apache-2.0
//
// Regions as libraries know them: anchors, activations however they are written, operands of the
// epilogue in every broadcast, narrow floats, and what is refused with which reason.
#include "core/target/anchor_match.h"

#include "tests/unit/core/target/region_test_util.h"

namespace {

class AnchorMatch : public RegionTest {
 protected:
  // "" or the reason.
  std::string Match(const std::vector<std::string>& types, const std::string& y,
                    const std::string& text, double scalar = NAN) {
    anchor_ = {};
    if (!Make(types, y, text, scalar)) return error_;
    const char* reason = nullptr;
    std::string error = Message(tvi_anchor_match(&region_, &arena_, &anchor_, &reason));
    return error.empty() && reason ? reason : error;
  }
  // The one post-operation behind a matrix product of |t|, written as an expression over s.
  std::string Function(const std::string& expression, const std::string& t = "f32") {
    return Match(
        {t + "[4, 8]", t + "[8, 6]"}, t + "[4, 6]",
        "let s[i: 4, j: 6] = sum(k: 8){ a[i, k] * b[k, j] }\n" + ("y[i, j] = " + expression));
  }
  tvi_anchor_t anchor_ = {};
};

TEST_F(AnchorMatch, FunctionsHoweverWritten) {
  const struct {
    const char* text;
    uint32_t op;
    double alpha, beta;
  } cases[] = {
      {"max(s[i, j], 0)", TVI_POST_RELU, 0, 0},
      {"s[i, j] > 0 ? s[i, j] : 0.25 * s[i, j]", TVI_POST_RELU, 0.25, 0},
      {"min(max(s[i, j], 0), 6)", TVI_POST_CLIP, 0, 6},
      {"min(max(s[i, j], -100), 1000)", TVI_POST_CLIP, -100, 1000},
      {"s[i, j] * 3 + 1", TVI_POST_LINEAR, 3, 1},
      {"1 / (1 + exp(-s[i, j]))", TVI_POST_SIGMOID, 0, 0},
      {"sigmoid(s[i, j])", TVI_POST_SIGMOID, 0, 0},
      {"tanh(s[i, j])", TVI_POST_TANH, 0, 0},
      {"s[i, j] * sigmoid(s[i, j])", TVI_POST_SWISH, 1, 0},
      {"s[i, j] / (1 + exp(-s[i, j]))", TVI_POST_SWISH, 1, 0},
      {"0.5 * s[i, j] * (1 + erf(s[i, j] * 0.7071067811865476))", TVI_POST_GELU_ERF, 0, 0},
      {"0.5 * s[i, j] * (1 + tanh(0.7978845608028654 * (s[i, j] + 0.044715 * s[i, j] * s[i, j] * "
       "s[i, j])))",
       TVI_POST_GELU_TANH, 0, 0},
      {"s[i, j] * min(max(s[i, j] / 6 + 0.5, 0), 1)", TVI_POST_HARD_SWISH, 0, 0},
      {"s[i, j] > 0 ? s[i, j] : expm1(s[i, j])", TVI_POST_ELU, 1, 0},
      {"abs(s[i, j])", TVI_POST_ABS, 0, 0},
  };
  for (const auto& c : cases) {
    ASSERT_EQ(Function(c.text), "") << c.text;
    EXPECT_EQ(anchor_.kind, TVI_ANCHOR_MATMUL);
    ASSERT_EQ(anchor_.post_count, 1u) << c.text;
    EXPECT_EQ(anchor_.posts[0].op, c.op) << c.text;
    EXPECT_NEAR(anchor_.posts[0].alpha, c.alpha, 1e-9) << c.text;
    if (c.op != TVI_POST_RELU) {
      EXPECT_NEAR(anchor_.posts[0].beta, c.beta, 1e-9) << c.text;
    }
  }
  EXPECT_EQ(Function("sin(s[i, j])"), "the epilogue holds a function that is not known");
  EXPECT_EQ(Function("s[i, j] * s[i, j]"), "the epilogue holds a function that is not known");
}

TEST_F(AnchorMatch, NarrowFloats) {
  ASSERT_EQ(Function("max(f16(f32(s[i, j]) * 2), 0)", "f16"), "");
  ASSERT_EQ(anchor_.post_count, 2u);
  EXPECT_EQ(anchor_.posts[0].op, TVI_POST_LINEAR);
  EXPECT_EQ(anchor_.posts[1].op, TVI_POST_RELU);
  // A constant that is rounded to f16 is still that of gelu.
  ASSERT_EQ(Function("0.5 * s[i, j] * (1 + erf(s[i, j] * 0.70703125))", "f16"), "");
  EXPECT_EQ(anchor_.posts[0].op, TVI_POST_GELU_ERF);
  EXPECT_NE(Function("0.5 * s[i, j] * (1 + erf(s[i, j] * 0.70703125))", "f32"), "");
  // The other form of gelu is near, but not the nearest.
  ASSERT_EQ(Function("0.5 * s[i, j] * (1 + tanh(0.7978515625 * (s[i, j] + 0.044708251953125 * "
                     "s[i, j] * s[i, j] * s[i, j])))",
                     "f16"),
            "");
  ASSERT_EQ(anchor_.post_count, 1u);
  EXPECT_EQ(anchor_.posts[0].op, TVI_POST_GELU_TANH);
  EXPECT_EQ(Match({"i8[4, 8]", "i8[8, 6]"}, "i32[4, 6]",
                  "y[i, j] = sum(k: 8){ i32(a[i, k]) * i32(b[k, j]) }"),
            "the result is no float");
}

TEST_F(AnchorMatch, OperandsOfTheEpilogue) {
  ASSERT_EQ(Match({"f16[2, 4, 8]", "f16[8, 6]", "f16[6]"}, "f16[2, 4, 6]",
                  "let s[n: 2, i: 4, j: 6] = sum(k: 8){ a[n, i, k] * b[k, j] }\n"
                  "y[n, i, j] = max(s[n, i, j] + c[j], 0)"),
            "");
  EXPECT_EQ(anchor_.x, 0u);
  EXPECT_EQ(anchor_.weight, 1u);
  EXPECT_EQ(anchor_.result, 3u);
  ASSERT_EQ(anchor_.post_count, 2u);
  EXPECT_EQ(anchor_.posts[0].op, TVI_POST_ADD);
  EXPECT_EQ(anchor_.posts[0].operand, 2u);
  EXPECT_EQ(anchor_.posts[0].dims[0], TVI_ANCHOR_NO_DIM);
  EXPECT_EQ(anchor_.posts[0].dims[1], TVI_ANCHOR_NO_DIM);
  EXPECT_EQ(anchor_.posts[0].dims[2], 0);
  EXPECT_EQ(anchor_.posts[1].op, TVI_POST_RELU);
  const std::string sum = "let s[i: 4, j: 6] = sum(k: 8){ a[i, k] * b[k, j] }\n";
  ASSERT_EQ(Match({"f32[4, 8]", "f32[8, 6]", "f32[4, 6]"}, "f32[4, 6]",
                  sum + "y[i, j] = c[i, j] + s[i, j]"),
            "");
  EXPECT_EQ(anchor_.posts[0].dims[0], 0);
  EXPECT_EQ(anchor_.posts[0].dims[1], 1);
  EXPECT_EQ(Match({"f32[4, 8]", "f32[8, 6]", "f32[4, 6]"}, "f32[4, 6]",
                  sum + "y[i, j] = c[i, j] - s[i, j]"),
            "the epilogue holds a function that is not known");
  EXPECT_EQ(Match({"f32[4, 8]", "f32[8, 6]", "f32[6, 6]"}, "f32[4, 6]",
                  sum + "y[i, j] = s[i, j] + c[j, j]"),
            "an operand is read on a diagonal");
  EXPECT_EQ(Match({"f32[4, 8]", "f32[8, 6]", "f32[4, 7]"}, "f32[4, 6]",
                  sum + "y[i, j] = s[i, j] + c[i, j + 1]"),
            "an operand is read at other positions");
  // One number that is known is part of a line.
  ASSERT_EQ(Match({"f16[4, 8]", "f16[8, 6]", "f16[]"}, "f16[4, 6]",
                  "let s[i: 4, j: 6] = sum(k: 8){ a[i, k] * b[k, j] }\n"
                  "y[i, j] = s[i, j] * c[] + 1",
                  0.125),
            "");
  ASSERT_EQ(anchor_.post_count, 1u);
  EXPECT_EQ(anchor_.posts[0].op, TVI_POST_LINEAR);
  EXPECT_EQ(anchor_.posts[0].alpha, 0.125);
  EXPECT_EQ(anchor_.posts[0].beta, 1);
}

TEST_F(AnchorMatch, LimitsThatAreConstantOperands) {
  const std::string sum = "let s[i: 4, j: 6] = sum(k: 8){ a[i, k] * b[k, j] }\n";
  auto match = [&](const std::string& text, double scalar) {
    return Match({"f16[4, 8]", "f16[8, 6]", "f16[]"}, "f16[4, 6]", sum + "y[i, j] = " + text,
                 scalar);
  };
  ASSERT_EQ(match("max(s[i, j], c[])", 0), "");
  ASSERT_EQ(anchor_.post_count, 1u);
  EXPECT_EQ(anchor_.posts[0].op, TVI_POST_RELU);
  EXPECT_EQ(anchor_.posts[0].alpha, 0);
  ASSERT_EQ(match("min(max(s[i, j], 0), c[])", 6), "");
  ASSERT_EQ(anchor_.post_count, 1u);
  EXPECT_EQ(anchor_.posts[0].op, TVI_POST_CLIP);
  EXPECT_EQ(anchor_.posts[0].alpha, 0);
  EXPECT_EQ(anchor_.posts[0].beta, 6);
  ASSERT_EQ(match("max(min(s[i, j], c[]), 8)", 6), "");
  ASSERT_EQ(anchor_.post_count, 1u);
  EXPECT_EQ(anchor_.posts[0].alpha, 8);
  EXPECT_EQ(anchor_.posts[0].beta, 8);
  // One that is not known is an operand.
  ASSERT_EQ(match("max(s[i, j], c[])", NAN), "");
  ASSERT_EQ(anchor_.post_count, 1u);
  EXPECT_EQ(anchor_.posts[0].op, TVI_POST_MAX);
  EXPECT_EQ(anchor_.posts[0].operand, 2u);
}

TEST_F(AnchorMatch, ConvolutionsAndPools) {
  ASSERT_EQ(
      Match({"f16[1, 8, 10, 10]", "f16[4, 8, 3, 3]", "f16[4]"}, "f16[1, 4, 8, 8]",
            "let s[n: 1, o: 4, h: 8, w: 8] = sum(c: 8, p: 3, q: 3){ a[n, c, h + p, w + q] * b[o, "
            "c, p, q] }\ny[n, o, h, w] = s[n, o, h, w] + c[o]"),
      "");
  EXPECT_EQ(anchor_.kind, TVI_ANCHOR_CONVOLUTION);
  ASSERT_EQ(anchor_.post_count, 1u);
  EXPECT_EQ(anchor_.posts[0].dims[1], 0);
  EXPECT_EQ(anchor_.posts[0].dims[0], TVI_ANCHOR_NO_DIM);
}

TEST_F(AnchorMatch, NeverLeavesMemoryBehind) {
  EXPECT_EQ(Function("max(s[i, j], 0)"), "");
  EXPECT_NE(Match({"f32[4, 8]", "f32[8, 6]"}, "f32[4, 6]", "y[i, j] = a[i, j] + b[i, j]"), "");
  EXPECT_EQ(anchor_.kind, 0);
}

}  // namespace
