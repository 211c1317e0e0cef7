// SPDX-License-Identifier: Apache-2.0
//
// Attention as cuDNN computes it: softmax(q k' * scale + mask) v over heads, which may share keys
// and values. The struct is the blob of the step, so it holds numbers only, and load checks every
// one. Extents and strides are parameters of the step, as expressions of dimensions.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_ATTENTION_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_ATTENTION_H_

#include "plugins/cuda_dnn/dnn_problem.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DNN_ATTENTION_MAGIC 0x544e4444u
#define DNN_ATTENTION_VERSION 1u

// Operands of the step: q, k, v, then the mask where there is one, last the result.
enum { DNN_Q = 0, DNN_K, DNN_V, DNN_MASK, DNN_ATTENTION_OPERANDS = 5 };
// Parameters: these extents, then for each operand the offset of its first element and its strides
// of batch, head, query or key, component (a mask: query, key); last the upper bound of positions.
enum {
  DNN_EXTENT_BATCH = 0,
  DNN_EXTENT_HEADS,      // of q and the result
  DNN_EXTENT_KEY_HEADS,  // of k and v
  DNN_EXTENT_QUERIES,
  DNN_EXTENT_KEYS,
  DNN_EXTENT_SIZE,        // of a query and a key
  DNN_EXTENT_VALUE_SIZE,  // of a value
  DNN_ATTENTION_EXTENTS,
};
#define DNN_OPERAND_PARAMETERS 5u
#define DNN_ATTENTION_MAX_PARAMETERS \
  (DNN_ATTENTION_EXTENTS + DNN_OPERAND_PARAMETERS * DNN_ATTENTION_OPERANDS + 1u)

typedef struct dnn_attention_s {
  uint32_t magic, version;
  uint32_t dtype;
  uint32_t has_mask;    // added to scores, of type |mask_dtype|
  uint32_t mask_dtype;  // f32 or |dtype|
  uint32_t has_upper;   // query i sees keys up to i + the last parameter
  uint32_t candidate;   // which of the heuristic's proposals
  uint32_t reserved;
  double scale;
  dnn_stored_plan_t plan;  // its key: dnn_attention_key
} dnn_attention_t;

// What is computed for given parameters. Tensors have rank 4 in the order of the operands; keys
// come as [batch, head, component, key].
typedef struct dnn_attention_shape_s {
  int64_t extents[DNN_ATTENTION_EXTENTS];
  int64_t offsets[DNN_ATTENTION_OPERANDS];  // elements
  int64_t upper;
  dnn_tensor_t tensors[DNN_ATTENTION_OPERANDS];
} dnn_attention_shape_t;

uint32_t dnn_attention_operand_count(const dnn_attention_t* problem);
uint32_t dnn_attention_parameter_count(const dnn_attention_t* problem);
// Checks the head of a blob, a dnn_attention_t, that comes from a plan.
trivet_status_t dnn_attention_verify(const void* problem, uint64_t blob_size);
// |alignments|: bytes that the address of each operand is a multiple of. Refuses numbers that do
// not fit.
trivet_status_t dnn_attention_describe(const dnn_attention_t* problem, const int64_t* parameters,
                                       const uint64_t* alignments, dnn_attention_shape_t* out);
void dnn_attention_key(const dnn_attention_t* problem, const dnn_attention_shape_t* shape,
                       uint64_t out_key[2]);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_ATTENTION_H_
