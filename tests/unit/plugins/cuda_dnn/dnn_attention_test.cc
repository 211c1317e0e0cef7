// SPDX-License-Identifier: Apache-2.0
//
// Attention as a step of cuDNN: what parameters say about tensors, what is refused, and that keys
// of plans follow shapes. The library is not asked: what it computes is tested on a device.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "core/base/status.h"
#include "plugins/cuda_dnn/dnn_attention.h"

namespace {

dnn_attention_t Problem() {
  dnn_attention_t p;
  memset(&p, 0, sizeof(p));
  p.magic = DNN_ATTENTION_MAGIC;
  p.version = DNN_ATTENTION_VERSION;
  p.dtype = TRIVET_DTYPE_F16;
  p.scale = 0.125;
  return p;
}

// 2 batches of 5 queries and 7 keys, 4 heads of 8 and 16 that share 2: q, k and v lie in one value.
std::vector<int64_t> Parameters(bool mask) {
  std::vector<int64_t> p = {2, 4, 2, 5, 7, 8, 16};
  auto add = [&p](std::vector<int64_t> numbers) {
    p.insert(p.end(), numbers.begin(), numbers.end());
  };
  add({0, 5 * 96, 8, 96, 1});
  add({32, 7 * 96, 8, 96, 1});
  add({48, 7 * 96, 16, 96, 1});
  if (mask) add({0, 7, 0, 0, 1});
  add({0, 5 * 64, 16, 64, 1});
  p.push_back(3);
  return p;
}

bool Refused(trivet_status_t status) {
  bool is = trivet_status_code(status) == TRIVET_STATUS_DATA_LOSS;
  trivet_status_free(status);
  return is;
}

TEST(DnnAttention, TensorsFollowParameters) {
  const uint64_t alignments[DNN_ATTENTION_OPERANDS] = {256, 256, 256, 256, 256};
  dnn_attention_t p = Problem();
  p.has_mask = 1;
  p.mask_dtype = TRIVET_DTYPE_F32;
  p.has_upper = 1;
  std::vector<int64_t> parameters = Parameters(true);
  ASSERT_EQ(dnn_attention_parameter_count(&p), parameters.size());
  ASSERT_EQ(dnn_attention_operand_count(&p), 5u);
  dnn_attention_shape_t shape;
  ASSERT_EQ(dnn_attention_describe(&p, parameters.data(), alignments, &shape), nullptr);
  auto is = [&shape](uint32_t operand, std::vector<int64_t> dims, std::vector<int64_t> strides) {
    for (uint32_t d = 0; d < 4; ++d) {
      EXPECT_EQ(shape.tensors[operand].dims[d], dims[d]) << operand << " " << d;
      EXPECT_EQ(shape.tensors[operand].strides[d], strides[d]) << operand << " " << d;
    }
  };
  is(DNN_Q, {2, 4, 5, 8}, {480, 8, 96, 1});
  is(DNN_K, {2, 2, 8, 7}, {672, 8, 1, 96});
  is(DNN_V, {2, 2, 7, 16}, {672, 16, 96, 1});
  is(DNN_MASK, {2, 1, 1, 7}, {7, 14, 14, 1});
  is(DNN_ATTENTION_OPERANDS - 1, {2, 4, 5, 16}, {320, 16, 64, 1});
  EXPECT_EQ(shape.offsets[DNN_K], 32);
  EXPECT_EQ(shape.offsets[DNN_V], 48);
  EXPECT_EQ(shape.upper, 3);
  EXPECT_EQ(shape.tensors[DNN_K].alignment, 16u);
  EXPECT_EQ(shape.tensors[DNN_MASK].dtype, TRIVET_DTYPE_F32);

  // An offset takes alignment away.
  parameters[DNN_ATTENTION_EXTENTS + DNN_OPERAND_PARAMETERS] = 34;
  ASSERT_EQ(dnn_attention_describe(&p, parameters.data(), alignments, &shape), nullptr);
  EXPECT_EQ(shape.tensors[DNN_K].alignment, 4u);
}

TEST(DnnAttention, KeysFollowShapes) {
  const uint64_t alignments[DNN_ATTENTION_OPERANDS] = {256, 256, 256, 256, 256};
  dnn_attention_t p = Problem();
  std::vector<int64_t> parameters = Parameters(false);
  dnn_attention_shape_t shape, other;
  uint64_t key[2], same[2];
  ASSERT_EQ(dnn_attention_describe(&p, parameters.data(), alignments, &shape), nullptr);
  dnn_attention_key(&p, &shape, key);
  // Offsets are added to addresses: the plan is the same.
  parameters[DNN_ATTENTION_EXTENTS] = 8;
  ASSERT_EQ(dnn_attention_describe(&p, parameters.data(), alignments, &other), nullptr);
  dnn_attention_key(&p, &other, same);
  EXPECT_EQ(key[0], same[0]);
  EXPECT_EQ(key[1], same[1]);
  parameters[DNN_EXTENT_KEYS] = 6;
  ASSERT_EQ(dnn_attention_describe(&p, parameters.data(), alignments, &other), nullptr);
  dnn_attention_key(&p, &other, same);
  EXPECT_NE(key[0], same[0]);
}

TEST(DnnAttention, NumbersAreChecked) {
  const uint64_t alignments[DNN_ATTENTION_OPERANDS] = {256, 256, 256, 256, 256};
  dnn_attention_t p = Problem();
  p.has_upper = 1;
  dnn_attention_shape_t shape;
  const std::vector<int64_t> good = Parameters(false);
  ASSERT_EQ(dnn_attention_describe(&p, good.data(), alignments, &shape), nullptr);
  for (size_t i = 0; i < good.size(); ++i) {
    std::vector<int64_t> bad = good;
    bad[i] = -1;
    EXPECT_TRUE(Refused(dnn_attention_describe(&p, bad.data(), alignments, &shape))) << i;
    bad[i] = INT64_MAX;
    EXPECT_TRUE(Refused(dnn_attention_describe(&p, bad.data(), alignments, &shape))) << i;
  }
  std::vector<int64_t> bad = good;
  bad[DNN_EXTENT_KEY_HEADS] = 3;  // 4 heads do not share 3
  EXPECT_TRUE(Refused(dnn_attention_describe(&p, bad.data(), alignments, &shape)));
}

TEST(DnnAttention, BlobsAreChecked) {
  dnn_attention_t p = Problem();
  EXPECT_EQ(dnn_attention_verify(&p, sizeof(p)), nullptr);
  EXPECT_TRUE(Refused(dnn_attention_verify(&p, sizeof(p) - 1)));
  EXPECT_TRUE(Refused(dnn_attention_verify(&p, sizeof(p) + 1)));
#define REFUSED(field, wrong)                                            \
  do {                                                                   \
    dnn_attention_t q = Problem();                                       \
    q.field = wrong;                                                     \
    EXPECT_TRUE(Refused(dnn_attention_verify(&q, sizeof(q)))) << #field; \
  } while (0)
  REFUSED(magic, 1);
  REFUSED(version, 9);
  REFUSED(dtype, TRIVET_DTYPE_F32);
  REFUSED(has_mask, 1);  // of no type
  REFUSED(has_upper, 2);
  REFUSED(candidate, DNN_MAX_CANDIDATES);
  REFUSED(plan.size, 8);
#undef REFUSED
}

}  // namespace
