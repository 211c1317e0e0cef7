// SPDX-License-Identifier: Apache-2.0
//
// Which regions cuDNN takes, as what problem, and why it leaves others.
// Needs no GPU: matching is done on the host from the program alone.
#include "plugins/cuda_dnn/dnn_match.h"

#include "core/target/anchor_match.h"
#include "tests/unit/core/target/region_test_util.h"

namespace {

class DnnMatch : public RegionTest {
 protected:
  std::string Match(const std::vector<std::string>& types, const std::string& y,
                    const std::string& text) {
    if (!Make(types, y, text)) return error_;
    const char* reason = nullptr;
    match_ = {};
    std::string error = Message(dnn_match_region(&region_, &arena_, &match_, &reason));
    if (error.empty() && !reason) {
      EXPECT_EQ(Message(dnn_problem_verify(&match_.problem, sizeof(match_.problem))), "");
    }
    return error.empty() && reason ? reason : error;
  }
  dnn_match_t match_ = {};
};

TEST_F(DnnMatch, ConvolutionWithBiasResidualAndRelu) {
  ASSERT_EQ(
      Match({"f16[2, 8, 9, 9]", "f16[16, 8, 3, 3]", "f16[16]", "f16[2, 16, 4, 4]"},
            "f16[2, 16, 4, 4]",
            "let s[n: 2, o: 16, h: 4, w: 4] = sum(i: 8, p: 3, q: 3){ a[n, i, h * 2 + p, w * 2 "
            "+ q] * b[o, i, p, q] }\n"
            "y[n, o, h, w] = max(s[n, o, h, w] + c[o] + d[n, o, h, w], 0)"),
      "");
  const dnn_problem_t& p = match_.problem;
  EXPECT_EQ(p.rank, 4u);
  EXPECT_EQ(p.operand_count, 5u);
  EXPECT_EQ(p.strides[0], 2);
  EXPECT_EQ(p.strides[1], 2);
  ASSERT_EQ(p.post_count, 3u);
  EXPECT_EQ(p.posts[0].op, static_cast<uint32_t>(TVI_POST_ADD));
  EXPECT_EQ(p.posts[0].operand, 2u);
  EXPECT_EQ(p.posts[0].dims[1], 0);
  EXPECT_EQ(p.posts[0].dims[0], DNN_NONE);
  EXPECT_EQ(p.posts[1].operand, 3u);
  EXPECT_EQ(p.posts[1].dims[3], 3);
  EXPECT_EQ(p.posts[2].op, static_cast<uint32_t>(TVI_POST_RELU));
}

TEST_F(DnnMatch, AWindowOfOneIsAConvolutionToo) {
  ASSERT_EQ(Match({"f16[2, 8, 4, 4]", "f16[16, 8]"}, "f16[2, 16, 4, 4]",
                  "y[n, o, h, w] = sum(i: 8){ a[n, i, h, w] * b[o, i] }"),
            "");
  const dnn_problem_t& p = match_.problem;
  EXPECT_EQ(p.x_dims[1], 1);
  EXPECT_EQ(p.x_dims[3], 3);
  EXPECT_EQ(p.w_dims[0], 0);
  EXPECT_EQ(p.w_dims[1], 1);
  EXPECT_EQ(p.w_dims[2], DNN_NONE);
  EXPECT_EQ(Match({"f16[2, 4, 8]", "f16[8, 16]"}, "f16[2, 4, 16]",
                  "y[n, m, o] = sum(i: 8){ a[n, m, i] * b[i, o] }"),
            "a matrix product that is no convolution");
}

TEST_F(DnnMatch, LeavesOtherTypesAndRanks) {
  EXPECT_EQ(Match({"f16[2, 8, 9]", "f16[16, 8, 3]"}, "f16[2, 16, 7]",
                  "y[n, o, w] = sum(i: 8, q: 3){ a[n, i, w + q] * b[o, i, q] }"),
            "one spatial dimension");
  EXPECT_EQ(Match({"f16[2, 8, 9, 9]", "f16[16, 8, 3, 3]"}, "f32[2, 16, 7, 7]",
                  "y[n, o, h, w] = sum(i: 8, p: 3, q: 3){ f32(a[n, i, h + p, w + q]) * f32(b[o, i, "
                  "p, q]) }"),
            "types other than f16, bf16 and f32, or different ones");
}

}  // namespace
