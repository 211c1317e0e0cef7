// SPDX-License-Identifier: Apache-2.0
//
// Which regions cuBLASLt takes, with which epilogue, and why it leaves others.
// Needs no GPU: matching is done on the host from the program alone.
#include "plugins/cuda_blas/blas_match.h"

#include "tests/unit/core/target/region_test_util.h"

namespace {

class BlasMatch : public RegionTest {
 protected:
  std::string Match(const std::vector<std::string>& types, const std::string& y,
                    const std::string& text, double scalar = NAN) {
    if (!Make(types, y, text, scalar)) return error_;
    region_.allows_tf32 = allows_tf32_;
    const char* reason = nullptr;
    match_ = {};
    std::string error = Message(blas_match_region(&region_, &arena_, &match_, &reason));
    if (error.empty() && !reason) {
      EXPECT_EQ(Message(blas_problem_verify(&match_.problem, sizeof(match_.problem))), "");
    }
    return error.empty() && reason ? reason : error;
  }
  // x[4, 8] w[8, 6], c, then an expression over s.
  std::string Tail(const std::string& expression, const std::string& c = "f16[6]",
                   double scalar = NAN) {
    return Match({"f16[4, 8]", "f16[8, 6]", c}, "f16[4, 6]",
                 "let s[i: 4, j: 6] = sum(k: 8){ a[i, k] * b[k, j] }\ny[i, j] = " + expression,
                 scalar);
  }
  blas_match_t match_ = {};
  bool allows_tf32_ = false;
};

TEST_F(BlasMatch, Epilogues) {
  const blas_problem_t& p = match_.problem;
  ASSERT_EQ(Tail("s[i, j] + c[j]"), "");
  EXPECT_EQ(p.bias_operand, 2u);
  EXPECT_EQ(p.bias_kind, static_cast<uint32_t>(BLAS_BIAS_COLUMN));
  EXPECT_EQ(p.operand_count, 4u);
  EXPECT_EQ(match_.region_operands[3], 3u);
  ASSERT_EQ(Tail("max(s[i, j] + c[i], 0)", "f16[4]"), "");
  EXPECT_EQ(p.bias_kind, static_cast<uint32_t>(BLAS_BIAS_ROW));
  EXPECT_EQ(p.activation, static_cast<uint32_t>(BLAS_RELU));
  ASSERT_EQ(Tail("c[i, j] + s[i, j]", "f16[4, 6]"), "");
  EXPECT_EQ(p.residual_operand, 2u);
  EXPECT_EQ(p.bias_operand, BLAS_NONE);
  ASSERT_EQ(Tail("s[i, j] * c[]", "f16[]", 0.125), "");
  EXPECT_EQ(p.alpha, 0.125f);
  ASSERT_EQ(Match({"f16[4, 8]", "f16[8, 6]", "f16[6]", "f16[4, 6]"}, "f16[4, 6]",
                  "let s[i: 4, j: 6] = sum(k: 8){ a[i, k] * b[k, j] }\n"
                  "y[i, j] = max(s[i, j] + c[j] + d[i, j], 0)"),
            "");
  EXPECT_EQ(p.bias_operand, 2u);
  EXPECT_EQ(p.residual_operand, 3u);
  EXPECT_EQ(p.activation, static_cast<uint32_t>(BLAS_RELU));
  ASSERT_EQ(Match({"f16[4, 8]", "f16[8, 6]"}, "f16[4, 6]",
                  "let s[i: 4, j: 6] = sum(k: 8){ a[i, k] * b[k, j] }\n"
                  "y[i, j] = f16(0.5 * f32(s[i, j]) * (1 + tanh(0.7978845608 * (f32(s[i, j]) + "
                  "0.044715 * f32(s[i, j]) * f32(s[i, j]) * f32(s[i, j])))))"),
            "");
  EXPECT_EQ(p.activation, static_cast<uint32_t>(BLAS_GELU_TANH));
  // The exact form is another function.
  EXPECT_EQ(Match({"f32[4, 8]", "f32[8, 6]"}, "f32[4, 6]",
                  "let s[i: 4, j: 6] = sum(k: 8){ a[i, k] * b[k, j] }\n"
                  "y[i, j] = 0.5 * s[i, j] * (1 + erf(s[i, j] * 0.7071067811865476))"),
            "an epilogue that cuBLASLt has not");
}

TEST_F(BlasMatch, RoundsFactorsWhereItMay) {
  const std::string text = "y[i, j] = sum(k: 8){ a[i, k] * b[k, j] }";
  for (bool allows : {false, true}) {
    allows_tf32_ = allows;
    ASSERT_EQ(Match({"f32[4, 8]", "f32[8, 6]"}, "f32[4, 6]", text), "");
    EXPECT_EQ(match_.problem.allows_tf32, allows ? 1 : 0);
    ASSERT_EQ(Match({"f16[4, 8]", "f16[8, 6]"}, "f16[4, 6]", text), "");
    EXPECT_EQ(match_.problem.allows_tf32, 0);
  }
}

TEST_F(BlasMatch, LeavesWhatTheLibraryHasNot) {
  const std::string no = "an epilogue that cuBLASLt has not";
  // Limits that are operands are limits.
  EXPECT_EQ(Tail("min(max(s[i, j], 0), c[])", "f16[]", 6), no);
  EXPECT_EQ(Tail("max(s[i, j], c[j])"), no);
  EXPECT_EQ(Tail("s[i, j] * c[j]"), no);
  EXPECT_EQ(Tail("max(s[i, j], 0) + c[j]"), "something follows the activation");
  EXPECT_EQ(Tail("f16(f32(s[i, j]) + c[j])", "f32[6]"),
            "an operand of the epilogue has another type than the result");
  EXPECT_EQ(Match({"i8[4, 8]", "i8[8, 6]"}, "f32[4, 6]",
                  "y[i, j] = sum(k: 8){ f32(a[i, k]) * f32(b[k, j]) }"),
            "types other than f16, bf16 and f32, or two different ones");
  EXPECT_EQ(Match({"f32[1, 8, 10, 10]", "f32[4, 8, 3, 3]"}, "f32[1, 4, 8, 8]",
                  "y[n, o, h, w] = sum(c: 8, p: 3, q: 3){ a[n, c, h + p, w + q] * b[o, c, p, q] }"),
            "no matrix product");
}

}  // namespace
