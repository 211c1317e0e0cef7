// SPDX-License-Identifier: Apache-2.0
//
// Problems of cuDNN as plans carry them: every wrong number is refused, tensors come out in the
// primitive's order, and the key of a plan changes with all that the plan depends on.
#include "plugins/cuda_dnn/dnn_problem.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "core/target/anchor_match.h"

namespace {

const uint8_t kPlain[DNN_MAX_RANK] = {0, 1, 2, 3, DNN_NONE};

// conv + bias + residual + relu.
dnn_problem_t Problem() {
  dnn_problem_t p;
  memset(&p, 0, sizeof(p));
  p.magic = DNN_MAGIC;
  p.version = DNN_VERSION;
  p.dtype = p.result_dtype = TRIVET_DTYPE_F16;
  p.rank = 4;
  p.operand_count = 5;
  p.post_count = 3;
  for (int s = 0; s < 2; ++s) p.strides[s] = p.dilations[s] = p.pads[s] = 1;
  memcpy(p.x_dims, kPlain, sizeof(kPlain));
  memcpy(p.w_dims, kPlain, sizeof(kPlain));
  memcpy(p.y_dims, kPlain, sizeof(kPlain));
  p.posts[0].op = p.posts[1].op = TVI_POST_ADD;
  p.posts[0].operand = 2;
  memset(p.posts[0].dims, DNN_NONE, sizeof(p.posts[0].dims));
  p.posts[0].dims[1] = 0;
  p.posts[1].operand = 3;
  memcpy(p.posts[1].dims, kPlain, sizeof(kPlain));
  p.posts[2].op = TVI_POST_RELU;
  memset(p.posts[2].dims, DNN_NONE, sizeof(p.posts[2].dims));
  p.is_packed = 1;
  const int64_t weight[DNN_MAX_RANK] = {64, 32, 3, 3, 0};
  memcpy(p.weight_dims, weight, sizeof(weight));
  return p;
}

// Channels last.
trivet_operand_t Image(int64_t n, int64_t c, int64_t h, int64_t w) {
  trivet_operand_t o;
  memset(&o, 0, sizeof(o));
  o.dtype = TRIVET_DTYPE_F16;
  o.rank = 4;
  o.alignment = 256;
  const int64_t dims[4] = {n, c, h, w}, strides[4] = {h * w * c, 1, w * c, c};
  memcpy(o.dims, dims, sizeof(dims));
  memcpy(o.strides, strides, sizeof(strides));
  return o;
}

struct Operands {
  trivet_operand_t o[5];
  Operands() {
    o[0] = Image(2, 32, 8, 9);
    memset(&o[1], 0, sizeof(o[1]));
    o[1].dtype = TRIVET_DTYPE_F16;
    o[1].rank = 1;
    o[1].dims[0] = 64 * 32 * 9;
    o[1].strides[0] = 1;
    o[2] = o[1];
    o[2].dims[0] = 64;
    o[3] = o[4] = Image(2, 64, 8, 9);
  }
};

std::string Take(trivet_status_t status) {
  std::string text = status ? trivet_status_message(status) : "";
  trivet_status_free(status);
  return text;
}

TEST(DnnProblem, WrongNumbersAreRefused) {
  dnn_problem_t p = Problem();
  EXPECT_EQ(Take(dnn_problem_verify(&p, sizeof(p))), "");
  EXPECT_NE(Take(dnn_problem_verify(&p, sizeof(p) + 1)), "");
  EXPECT_NE(Take(dnn_problem_verify(&p, 8)), "");
  p.plan.size = 100;
  EXPECT_EQ(Take(dnn_problem_verify(&p, sizeof(p) + 100)), "");
  EXPECT_NE(Take(dnn_problem_verify(&p, sizeof(p) + 99)), "");
  p.plan.size = UINT64_MAX;
  EXPECT_NE(Take(dnn_problem_verify(&p, sizeof(p) - 1)), "");
#define REFUSED(field, wrong)                                         \
  do {                                                                \
    dnn_problem_t q = Problem();                                      \
    q.field = wrong;                                                  \
    EXPECT_NE(Take(dnn_problem_verify(&q, sizeof(q))), "") << #field; \
  } while (0)
  REFUSED(magic, 0);
  REFUSED(version, 7);
  REFUSED(dtype, TRIVET_DTYPE_I8);
  REFUSED(result_dtype, 99);
  REFUSED(rank, 2);
  REFUSED(rank, 6);
  REFUSED(operand_count, 4);
  REFUSED(operand_count, 6);
  REFUSED(operand_count, 0xffffffffu);
  REFUSED(post_count, 9);
  REFUSED(candidate, DNN_MAX_CANDIDATES);
  REFUSED(strides[1], 0);
  REFUSED(dilations[0], -1);
  REFUSED(pads[0], -1);
  REFUSED(pads[0], (int64_t)1 << 40);
  REFUSED(is_packed, 2);
  REFUSED(weight_dims[2], 0);
  REFUSED(weight_dims[0], (int64_t)1 << 40);
  REFUSED(x_dims[0], 12);
  REFUSED(y_dims[4], 200);
  REFUSED(posts[0].op, 0);
  REFUSED(posts[0].op, 99);
  REFUSED(posts[0].operand, 1);
  REFUSED(posts[0].operand, 4);
  REFUSED(posts[1].dims[0], 12);
  REFUSED(posts[2].alpha, std::stod("nan"));
#undef REFUSED
}

TEST(DnnProblem, TensorsComeInThePrimitivesOrder) {
  dnn_problem_t p = Problem();
  Operands operands;
  dnn_tensor_t t[DNN_MAX_OPERANDS];
  ASSERT_EQ(Take(dnn_describe(&p, operands.o, t)), "");
  EXPECT_EQ(t[0].dims[1], 32);
  EXPECT_EQ(t[0].strides[1], 1);
  // Packed weights: output channels, then pixels, then channels.
  const int64_t dims[4] = {64, 32, 3, 3}, strides[4] = {288, 1, 96, 32};
  EXPECT_EQ(memcmp(t[1].dims, dims, sizeof(dims)), 0);
  EXPECT_EQ(memcmp(t[1].strides, strides, sizeof(strides)), 0);
  // A bias is broadcast along all but channels.
  const int64_t bias[4] = {1, 64, 1, 1};
  EXPECT_EQ(memcmp(t[2].dims, bias, sizeof(bias)), 0);
  EXPECT_EQ(t[2].strides[1], 1);
  EXPECT_EQ(t[2].strides[0], 64);
  EXPECT_EQ(t[3].strides[3], 64);
}

TEST(DnnProblem, OperandsThatDoNotFitAreRefused) {
  dnn_tensor_t t[DNN_MAX_OPERANDS];
  dnn_problem_t p = Problem();
  {
    Operands operands;
    operands.o[0].rank = 3;
    EXPECT_NE(Take(dnn_describe(&p, operands.o, t)), "");
  }
  {
    Operands operands;
    operands.o[4].dtype = TRIVET_DTYPE_F32;
    EXPECT_EQ(Take(dnn_describe(&p, operands.o, t)), "cuDNN step: type of the result");
  }
  {
    Operands operands;
    operands.o[3].dims[3] = 7;
    EXPECT_EQ(Take(dnn_describe(&p, operands.o, t)), "cuDNN step: extents of operand 3");
  }
}

TEST(DnnProblem, KeysFollowShapesAndAlignment) {
  dnn_problem_t p = Problem();
  dnn_tensor_t t[DNN_MAX_OPERANDS];
  uint64_t key[2], other[2];
  Operands operands;
  ASSERT_EQ(Take(dnn_describe(&p, operands.o, t)), "");
  dnn_tensors_key(&p, t, key);
  ASSERT_EQ(Take(dnn_describe(&p, operands.o, t)), "");
  dnn_tensors_key(&p, t, other);
  EXPECT_EQ(memcmp(key, other, sizeof(key)), 0);
  operands.o[0].alignment = 4;
  ASSERT_EQ(Take(dnn_describe(&p, operands.o, t)), "");
  dnn_tensors_key(&p, t, other);
  EXPECT_NE(memcmp(key, other, sizeof(key)), 0);
  operands = Operands();
  operands.o[0].dims[0] = operands.o[3].dims[0] = operands.o[4].dims[0] = 4;
  ASSERT_EQ(Take(dnn_describe(&p, operands.o, t)), "");
  dnn_tensors_key(&p, t, other);
  EXPECT_NE(memcmp(key, other, sizeof(key)), 0);
}

}  // namespace
