// SPDX-License-Identifier: Apache-2.0
//
// Recognisers: matrix products in every transposition, convolutions with all their numbers in
// several layouts, deconvolutions, pools, and the reason why a near miss is none.
#include "core/kernel_ir/contraction.h"

#include "tests/unit/core/kernel_ir/kir_test_util.h"

namespace {

class ContractionTest : public KirTest {
 protected:
  // y = statement over operands a and b.
  tvi_kir_program_t* Two(const std::string& a, const std::string& b, const std::string& y,
                         const std::string& text) {
    return Instantiate("op t.F/1 (a: T[*], b: U[*]) -> (y: V[*])\n", {a, b}, {}, {y}, text);
  }
  bool Matmul(tvi_kir_program_t* p) {
    if (p == nullptr) {
      ADD_FAILURE() << error_;
      return false;
    }
    reason_ = "";
    return tvi_kir_match_matmul(p, 0, &matmul_, &reason_);
  }
  static std::vector<int> List(const uint8_t* list, uint32_t count) {
    return std::vector<int>(list, list + count);
  }
  std::vector<int64_t> Numbers(const trivet_dim_t* dims, uint32_t count) {
    std::vector<int64_t> values(count, INT64_MIN);
    for (uint32_t i = 0; i < count; ++i) tvi_dim_is_constant(dims[i], &values[i]);
    return values;
  }
  bool Convolution(tvi_kir_program_t* p) {
    if (p == nullptr) {
      ADD_FAILURE() << error_;
      return false;
    }
    reason_ = "";
    return tvi_kir_match_convolution(p, 0, &c_, &reason_);
  }
  tvi_kir_matmul_t matmul_ = {};
  tvi_kir_convolution_t c_ = {};
  const char* reason_ = "";
};

using Ints = std::vector<int>;
using Longs = std::vector<int64_t>;

TEST_F(ContractionTest, MatrixProducts) {
  auto* p = Two("f32[batch, 64]", "f32[64, 10]", "f32[batch, 10]",
                "y[m, n] = sum(k: 64){ a[m, k] * b[k, n] }");
  ASSERT_TRUE(Matmul(p)) << reason_;
  EXPECT_EQ(List(matmul_.roles.m, matmul_.roles.m_count), Ints{0});
  EXPECT_EQ(List(matmul_.roles.n, matmul_.roles.n_count), Ints{1});
  EXPECT_EQ(List(matmul_.roles.k, matmul_.roles.k_count), Ints{2});
  EXPECT_EQ(matmul_.roles.batch_count, 0u);
  EXPECT_EQ(p->values[matmul_.a.value].tag, 0u);
  EXPECT_EQ(matmul_.a.dim_of_index[0], 0);
  EXPECT_EQ(matmul_.a.dim_of_index[2], 1);
  EXPECT_EQ(matmul_.b.dim_of_index[2], 0);
  EXPECT_EQ(matmul_.b.dim_of_index[1], 1);
  EXPECT_EQ(matmul_.b.dim_of_index[0], 255);

  // Transposed, and written the other way round: rows come from the operand that the result's rows
  // walk.
  p = Two("f32[64, 10]", "f32[7, 64]", "f32[7, 10]", "y[m, n] = sum(k: 64){ a[k, n] * b[m, k] }");
  ASSERT_TRUE(Matmul(p)) << reason_;
  EXPECT_EQ(p->values[matmul_.a.value].tag, 1u);
  EXPECT_EQ(matmul_.a.dim_of_index[0], 0);
}

TEST_F(ContractionTest, BatchesAndManyIndices) {
  // Attention scores.
  auto* p = Two("f16[batch, seq, 12, 64]", "f16[batch, seq, 12, 64]", "f32[batch, 12, seq, seq]",
                "y[n, h, i, j] = sum(d: 64){ f32(a[n, i, h, d]) * f32(b[n, j, h, d]) }");
  ASSERT_TRUE(Matmul(p)) << reason_;
  EXPECT_EQ(List(matmul_.roles.batch, matmul_.roles.batch_count), (Ints{0, 1}));
  EXPECT_EQ(List(matmul_.roles.m, matmul_.roles.m_count), Ints{2});
  EXPECT_EQ(List(matmul_.roles.n, matmul_.roles.n_count), Ints{3});
  EXPECT_EQ(matmul_.a.dtype, TRIVET_DTYPE_F16);
  EXPECT_EQ(matmul_.accumulate_dtype, TRIVET_DTYPE_F32);
  // Weights without batch: the batch is rows.
  p = Two("f32[batch, seq, 64]", "f32[64, 8]", "f32[batch, seq, 8]",
          "y[n, s, o] = sum(k: 64){ a[n, s, k] * b[k, o] }");
  ASSERT_TRUE(Matmul(p)) << reason_;
  EXPECT_EQ(List(matmul_.roles.m, matmul_.roles.m_count), (Ints{0, 1}));
  // Two summed indices; integers widened.
  p = Two("i8[4, 3, 5]", "u8[3, 5, 6]", "i32[4, 6]",
          "y[m, n] = sum(k: 3, l: 5){ i32(a[m, k, l]) * i32(b[k, l, n]) }");
  ASSERT_TRUE(Matmul(p)) << reason_;
  EXPECT_EQ(List(matmul_.roles.k, matmul_.roles.k_count), (Ints{2, 3}));
  // One row: its index is in no role, the product is one.
  p = Two("f32[1, 64]", "f32[64, 10]", "f32[1, 10]", "y[m, n] = sum(k: 64){ a[m, k] * b[k, n] }");
  ASSERT_TRUE(Matmul(p)) << reason_;
  EXPECT_EQ(matmul_.roles.m_count, 0u);
  EXPECT_EQ(List(matmul_.roles.n, matmul_.roles.n_count), Ints{1});
}

TEST_F(ContractionTest, NearMissesOfProductsSayWhy) {
  struct {
    const char *a, *b, *y, *text, *reason;
  } cases[] = {
      {"f32[4, 8]", "f32[8, 4]", "f32[4, 4]", "y[m, n] = max(k: 8){ a[m, k] * b[k, n] }",
       "it is not a sum"},
      {"f32[4, 8]", "f32[8, 4]", "f32[4, 4]", "y[m, n] = sum(k: 8){ a[m, k] + b[k, n] }",
       "what is summed is not a product"},
      {"f32[4, 8]", "f32[8, 4]", "f32[4, 4]", "y[m, n] = sum(k: 8){ exp(a[m, k]) * b[k, n] }",
       "a factor is not an element of a value"},
      {"f32[4, 8]", "f32[8, 4]", "f32[4, 4]",
       "y[m, n] = sum(k: 8){ a[m, k; pad = 0] * f32(f16(b[k, n])) }",
       "a factor is cast to a type that does not hold it"},
      {"f32[4, 8]", "f32[8, 4]", "f32[4, 4]", "y[m, n] = sum(k: 8){ a[m, 7 - k] * b[k, n] }",
       "an index of a factor is computed"},
      {"f32[8, 8]", "f32[8, 4]", "f32[4]", "y[n] = sum(k: 8){ a[k, k] * b[k, n] }",
       "a factor is read along a diagonal"},
      {"f32[4, 9]", "f32[8, 4]", "f32[4, 4]", "y[m, n] = sum(k: 8){ a[m, k] * b[k, n] }",
       "only a part of a factor is read"},
      {"f32[4, 8]", "f32[8, 4]", "f32[4, 4]", "y[m, n] = sum(k: 8, j: 3){ a[m, k] * b[k, n] }",
       "an index that is summed over is in no factor"},
      {"i8[4, 8]", "i8[8, 4]", "i32[4, 4]", "y[m, n] = sum(k: 8){ i32(a[m, k] * b[k, n]) }",
       "what is summed is not a product"},
  };
  for (const auto& c : cases) {
    EXPECT_FALSE(Matmul(Two(c.a, c.b, c.y, c.text))) << c.text;
    EXPECT_STREQ(reason_, c.reason) << c.text;
  }
}

TEST_F(ContractionTest, Convolution) {
  auto* p = Two("f32[batch, 16, 56, 57]", "f32[32, 16, 3, 5]", "f32[batch, 32, 28, 29]",
                "y[n, o, i0, i1] = sum(c: 16, k0: 3, k1: 5){ a[n, c, i0*2 + k0 - 1, i1*2 + k1*2 - "
                "4; pad = 0] * "
                "b[o, c, k0, k1] }");
  ASSERT_TRUE(Convolution(p)) << reason_;
  EXPECT_FALSE(c_.transposed);
  EXPECT_EQ(c_.spatial_rank, 2u);
  EXPECT_EQ((Longs{c_.strides[0], c_.strides[1]}), (Longs{2, 2}));
  EXPECT_EQ((Longs{c_.dilations[0], c_.dilations[1]}), (Longs{1, 2}));
  EXPECT_EQ(Numbers(c_.pads, 2), (Longs{1, 4}));
  EXPECT_EQ(Numbers(c_.window, 2), (Longs{3, 5}));
  EXPECT_EQ(Numbers(c_.input, 2), (Longs{56, 57}));
  EXPECT_EQ(Numbers(c_.output, 2), (Longs{28, 29}));
  EXPECT_EQ(Numbers(&c_.groups, 1), (Longs{1}));
  EXPECT_EQ(Print(c_.batch), "batch");
  EXPECT_EQ(p->values[c_.x.value].tag, 0u);
  EXPECT_FALSE(Matmul(p));
}

TEST_F(ContractionTest, ConvolutionsOfEverySort) {
  // Groups.
  auto* p = Two("f32[1, 12, 9]", "f32[8, 3, 3]", "f32[1, 8, 9]",
                "y[n, o, i] = sum(c: 3, k: 3){ a[n, c + floordiv(o, 2)*3, i + k - 1; pad = 0] * "
                "b[o, c, k] }");
  ASSERT_TRUE(Convolution(p)) << reason_;
  EXPECT_EQ(Numbers(&c_.groups, 1), (Longs{4}));
  EXPECT_EQ(c_.spatial_rank, 1u);
  // Depthwise: the channel of the group is gone.
  p = Two("f32[batch, 12, 9, 9]", "f32[12, 1, 3, 3]", "f32[batch, 12, 7, 7]",
          "y[n, o, i0, i1] = sum(c: 1, k0: 3, k1: 3){ a[n, c + floordiv(o, 1)*1, i0 + k0, i1 + k1] "
          "* b[o, c, k0, k1] }");
  ASSERT_TRUE(Convolution(p)) << reason_;
  EXPECT_EQ(Numbers(&c_.groups, 1), (Longs{12}));
  EXPECT_EQ(Numbers(c_.pads, 2), (Longs{0, 0}));
  // Two results of each channel.
  p = Two("f32[1, 12, 9, 9]", "f32[24, 1, 3, 3]", "f32[1, 24, 7, 7]",
          "y[n, o, i0, i1] = sum(c: 1, k0: 3, k1: 3){ a[n, c + floordiv(o, 2)*1, i0 + k0, i1 + k1] "
          "* b[o, c, k0, k1] }");
  ASSERT_TRUE(Convolution(p)) << reason_;
  EXPECT_EQ(Numbers(&c_.groups, 1), (Longs{12}));
  // A window of one position, strided.
  p = Two("f32[1, 64, 56, 56]", "f32[128, 64, 1, 1]", "f32[1, 128, 28, 28]",
          "y[n, o, i0, i1] = sum(c: 64, k0: 1, k1: 1){ a[n, c, i0*2 + k0, i1*2 + k1] * b[o, c, k0, "
          "k1] }");
  ASSERT_TRUE(Convolution(p)) << reason_;
  EXPECT_EQ((Longs{c_.strides[0], c_.strides[1]}), (Longs{2, 2}));
  EXPECT_EQ(Numbers(c_.window, 2), (Longs{1, 1}));
  // Channels last, weights HWIO, symbolic picture.
  p = Two("f32[n, h, w, 3]", "f32[7, 7, 3, 64]",
          "f32[n, floordiv(h - 1, 2) + 1, floordiv(w - 1, 2) + 1, 64]",
          "y[b0, i0, i1, o] = sum(c: 3, k0: 7, k1: 7){ a[b0, i0*2 + k0 - 3, i1*2 + k1 - 3, c; pad "
          "= 0] * "
          "b[k0, k1, c, o] }");
  ASSERT_TRUE(Convolution(p)) << reason_;
  EXPECT_EQ(c_.x_channel_dim, 3);
  EXPECT_EQ(c_.weight_output_dim, 3);
  EXPECT_EQ(c_.weight_input_dim, 2);
  EXPECT_EQ(c_.out_channel_dim, 3);
  EXPECT_EQ(Print(c_.output[0]), "floordiv(h + 1, 2)");
  // Three dimensions, one input channel.
  p = Two(
      "f32[2, 1, 8, 8, 8]", "f32[4, 1, 3, 3, 3]", "f32[2, 4, 6, 6, 6]",
      "y[n, o, i0, i1, i2] = sum(c: 1, k0: 3, k1: 3, k2: 3){ a[n, c, i0 + k0, i1 + k1, i2 + k2] * "
      "b[o, c, k0, k1, k2] }");
  ASSERT_TRUE(Convolution(p)) << reason_;
  EXPECT_EQ(c_.spatial_rank, 3u);
  EXPECT_EQ(Numbers(&c_.groups, 1), (Longs{1}));
}

TEST_F(ContractionTest, Deconvolution) {
  auto* p = Two("f32[1, 24, 80, 80]", "f32[24, 16, 2, 2]", "f32[1, 16, 160, 160]",
                "y[n, o, i0, i1] = sum(c: 24, k0: 2, k1: 2){ (mod(i0 + 0 - k0*1, 2) == 0 && mod(i1 "
                "+ 0 - k1*1, 2) == 0 "
                "? a[n, c, floordiv(i0 + 0 - k0*1, 2), floordiv(i1 + 0 - k1*1, 2); pad = 0] : 0.0) "
                "* b[c, o, k0, k1] }");
  ASSERT_TRUE(Convolution(p)) << reason_ << Print(p);
  EXPECT_TRUE(c_.transposed);
  EXPECT_EQ((Longs{c_.strides[0], c_.strides[1]}), (Longs{2, 2}));
  EXPECT_EQ(Numbers(c_.pads, 2), (Longs{0, 0}));
  EXPECT_EQ(Numbers(&c_.output_channels, 1), (Longs{16}));
  // Padding, dilation, groups.
  p = Two("f32[n, 6, 10]", "f32[6, 2, 3]", "f32[n, 6, 25]",
          "y[n, o, i] = sum(c: 2, k: 3){ (mod(i + 5 - k*2, 3) == 0 ? a[n, c + floordiv(o, 2)*2, "
          "floordiv(i + 5 - k*2, 3); "
          "pad = 0] : 0.0) * b[c + floordiv(o, 2)*2, mod(o, 2), k] }");
  ASSERT_TRUE(Convolution(p)) << reason_ << Print(p);
  EXPECT_EQ(c_.strides[0], 3);
  EXPECT_EQ(c_.dilations[0], 2);
  EXPECT_EQ(Numbers(c_.pads, 1), (Longs{5}));
  EXPECT_EQ(Numbers(&c_.groups, 1), (Longs{3}));
  // Stride 1: nothing to divide.
  p = Two("f32[n, 6, 10]", "f32[6, 4, 3]", "f32[n, 4, 12]",
          "y[n, o, i] = sum(c: 6, k: 3){ a[n, c, i - k; pad = 0] * b[c, o, k] }");
  ASSERT_TRUE(Convolution(p)) << reason_ << Print(p);
  EXPECT_TRUE(c_.transposed);
  // Without the test for divisibility every position would be read: no deconvolution.
  p = Two("f32[n, 6, 10]", "f32[6, 4, 3]", "f32[n, 4, 22]",
          "y[n, o, i] = sum(c: 6, k: 3){ a[n, c, floordiv(i - k, 2); pad = 0] * b[c, o, k] }");
  EXPECT_FALSE(Convolution(p));
}

TEST_F(ContractionTest, NearMissesOfConvolutionsSayWhy) {
  auto* p = Two("f32[1, 4, 9]", "f32[8, 4, 3]", "f32[1, 8, 9]",
                "y[n, o, i] = sum(c: 4, k: 3){ a[n, c, i + k - 1; pad = 1] * b[o, c, k] }");
  EXPECT_FALSE(Convolution(p));
  EXPECT_STREQ(reason_, "the padding is not 0");
  p = Two("f32[1, 4, 9]", "f32[8, 4, 3]", "f32[1, 8, 7]",
          "y[n, o, i] = sum(c: 4, k: 3){ a[n, c, i + k*k] * b[o, c, k] }");
  EXPECT_FALSE(Convolution(p));
  p = Two("f32[1, 4, 9]", "f32[8, 4, 3]", "f32[1, 8, 7]",
          "y[n, o, i] = sum(c: 4, k: 3){ a[n, c, i + k; wrap] * (b[o, c, k] + 1) }");
  EXPECT_FALSE(Convolution(p));
  EXPECT_STREQ(reason_, "a factor is not an element of a value");
}

TEST_F(ContractionTest, Pools) {
  auto pool = [&](const std::string& x, const std::string& y, const std::string& text,
                  tvi_kir_pool_t* out) {
    auto* p = Instantiate("op t.P/1 (x: T[*]) -> (y: T[*])\n", {x}, {}, {y}, text);
    EXPECT_NE(p, nullptr) << error_;
    return p != nullptr && tvi_kir_match_pool(p, 0, out, &reason_);
  };
  tvi_kir_pool_t m;
  ASSERT_TRUE(pool(
      "f32[b, 64, 112, 112]", "f32[b, 64, 56, 56]",
      "y[n, c, i0, i1] = max(k0: 3, k1: 3){ x[n, c, i0*2 + k0 - 1, i1*2 + k1 - 1; pad = -inf] }",
      &m))
      << reason_;
  EXPECT_EQ(m.kind, TVI_KIR_POOL_MAX);
  EXPECT_EQ(m.spatial_rank, 2u);
  EXPECT_EQ(m.strides[1], 2);
  EXPECT_EQ(Numbers(m.pads, 2), (Longs{1, 1}));
  EXPECT_EQ(m.spatial_dims[0], 2);
  ASSERT_TRUE(
      pool("f32[b, 8, 10]", "f32[b, 8, 5]", "y[n, c, i] = sum(k: 2){ x[n, c, i*2 + k] } / 2.0", &m))
      << reason_;
  EXPECT_EQ(m.kind, TVI_KIR_POOL_SUM);
  ASSERT_TRUE(pool("f32[b, 8, 7, 7]", "f32[b, 8, 1, 1]",
                   "y[n, c, i, j] = max(k: 7, l: 7){ x[n, c, k, l] }", &m))
      << reason_;
  EXPECT_EQ(Numbers(m.window, 2), (Longs{7, 7}));
  EXPECT_FALSE(pool("f32[b, 8, 10]", "f32[b, 8, 5]",
                    "y[n, c, i] = max(k: 3){ x[n, c, i*2 + k; pad = 0] }", &m));
  EXPECT_STREQ(reason_, "the padding takes part in the reduction");
  EXPECT_FALSE(pool("f32[b, 8]", "f32[b, 8]", "y[n, c] = x[n, c]", &m));
  EXPECT_STREQ(reason_, "it is neither a maximum nor a sum");
}

}  // namespace
