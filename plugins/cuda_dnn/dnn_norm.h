// SPDX-License-Identifier: Apache-2.0
//
// Normalisations as cuDNN computes them: of rows, or of planes with a scale for each channel. The
// struct is the head of the step's blob, so it holds numbers only, and load checks every one.
// Extents are parameters of the step, as expressions of dimensions.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_NORM_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_NORM_H_

#include "plugins/cuda_dnn/dnn_problem.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DNN_NORM_MAGIC 0x4e4e4444u
#define DNN_NORM_VERSION 1u

enum { DNN_NORM_LAYER = 1, DNN_NORM_RMS = 2, DNN_NORM_INSTANCE = 3 };
// Operands of the step: x, scale, then the shift where there is one, last the result.
enum { DNN_NORM_X = 0, DNN_NORM_SCALE, DNN_NORM_SHIFT, DNN_NORM_RESULT, DNN_NORM_OPERANDS };
// Parameters: rows or images, elements of a row or channels, pixels of a plane (1 where there are
// rows).
enum { DNN_NORM_ROWS = 0, DNN_NORM_CHANNELS, DNN_NORM_PIXELS, DNN_NORM_PARAMETERS };

typedef struct dnn_norm_s {
  uint32_t magic, version;
  uint32_t kind;
  uint32_t dtype;         // of x and the result: f16, bf16, f32
  uint32_t vector_dtype;  // of scale and shift: |dtype| or f32
  uint32_t has_shift;
  uint32_t channels_last;  // planes: the channels of a pixel lie together
  uint32_t candidate;      // which of the heuristic's proposals
  double epsilon;
  dnn_stored_plan_t plan;  // its key: dnn_norm_key
} dnn_norm_t;

// What is computed for given parameters. Tensors have rank 4: row or image, channel, pixel, one.
typedef struct dnn_norm_shape_s {
  int64_t extents[DNN_NORM_PARAMETERS];
  dnn_tensor_t tensors[DNN_NORM_OPERANDS];
} dnn_norm_shape_t;

uint32_t dnn_norm_operand_count(const dnn_norm_t* problem);
// Which of DNN_NORM_X, ... operand |index| of the step is.
uint32_t dnn_norm_operand_kind(const dnn_norm_t* problem, uint32_t index);
// Checks the head of a blob, a dnn_norm_t, that comes from a plan.
trivet_status_t dnn_norm_verify(const void* problem, uint64_t blob_size);
// |alignments|: bytes that the address of each operand is a multiple of; 0: of any that it may.
// Refuses numbers that do not fit.
trivet_status_t dnn_norm_describe(const dnn_norm_t* problem, const int64_t* parameters,
                                  const uint64_t* alignments, dnn_norm_shape_t* out);
void dnn_norm_key(const dnn_norm_t* problem, const dnn_norm_shape_t* shape, uint64_t out_key[2]);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_NORM_H_
