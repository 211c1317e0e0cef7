// SPDX-License-Identifier: Apache-2.0
//
// A convolution with an epilogue, as cuDNN's graphs have it. The struct is the head of the step's
// blob, so it holds numbers only, and load checks every one; a serialised plan for one set of
// shapes may follow it. Extents and strides come with the operands.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_PROBLEM_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_PROBLEM_H_

#include <stdbool.h>

#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DNN_MAGIC 0x4e4e4443u
#define DNN_VERSION 1u
#define DNN_NONE 255u
#define DNN_MAX_POSTS 8u
#define DNN_MAX_SPATIAL 3u
#define DNN_MAX_RANK 5u
#define DNN_MAX_OPERANDS (DNN_MAX_POSTS + 3)
#define DNN_MAX_CANDIDATES 16u

// The last member of every problem: the serialised plan that may follow it in the blob.
typedef struct dnn_stored_plan_s {
  uint64_t size;    // bytes behind the problem; 0: none
  uint64_t key[2];  // of the shape that it is for
} dnn_stored_plan_t;

// The last member of |problem|.
static inline const dnn_stored_plan_t* dnn_stored_plan(const void* problem, uint64_t problem_size) {
  return (const dnn_stored_plan_t*)((const uint8_t*)problem + problem_size) - 1;
}

typedef struct dnn_post_s {
  uint32_t op;       // tvi_post_function_t or tvi_post_binary_t
  uint32_t operand;  // of the step, where op is binary
  double alpha, beta;
  uint8_t dims[DNN_MAX_RANK];  // operand's dimension for each of the primitive's; DNN_NONE:
                               // broadcast
  uint8_t reserved[3];
} dnn_post_t;

// Operands of the step: 0 x, 1 weights, then those of post-operations, last the result. Maps give
// the operand's dimension for each of the primitive's: batch, channel, spatial...; DNN_NONE: an
// extent of 1 that the operand has not.
typedef struct dnn_problem_s {
  uint32_t magic, version;
  uint32_t dtype;  // of x and weights
  uint32_t result_dtype;
  uint32_t rank;  // 3 .. 5
  uint32_t operand_count;
  uint32_t post_count;
  uint32_t candidate;  // which of the heuristic's proposals
  int64_t strides[DNN_MAX_SPATIAL], dilations[DNN_MAX_SPATIAL], pads[DNN_MAX_SPATIAL];
  uint32_t is_packed;    // weights lie channels last, with these extents
  uint32_t allows_tf32;  // f32 factors may be rounded to 10 bits
  int64_t weight_dims[DNN_MAX_RANK];
  uint8_t x_dims[DNN_MAX_RANK], w_dims[DNN_MAX_RANK], y_dims[DNN_MAX_RANK], padding[1];
  dnn_post_t posts[DNN_MAX_POSTS];
  dnn_stored_plan_t plan;  // its key: dnn_tensors_key
} dnn_problem_t;

// A tensor in the primitive's order of dimensions.
typedef struct dnn_tensor_s {
  uint32_t dtype;
  uint32_t alignment;  // bytes
  int64_t dims[DNN_MAX_RANK];
  int64_t strides[DNN_MAX_RANK];
} dnn_tensor_t;

// Checks the head of a blob, a dnn_problem_t, that comes from a plan.
trivet_status_t dnn_problem_verify(const void* problem, uint64_t blob_size);

// The tensors of the step's operands, in their order. Refuses operands that do not fit.
trivet_status_t dnn_describe(const dnn_problem_t* problem, const trivet_operand_t* operands,
                             dnn_tensor_t* out_tensors);
void dnn_tensors_key(const dnn_problem_t* problem, const dnn_tensor_t* tensors,
                     uint64_t out_key[2]);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_PROBLEM_H_
