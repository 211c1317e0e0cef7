// SPDX-License-Identifier: Apache-2.0
//
// Recognises what matrix, convolution and pooling kernels can compute, whoever wrote it: a stage
// that sums products of two loads, or reduces a window. Works on the form of the program alone;
// what a library can run is its tactic's business.
#ifndef TRIVET_CORE_KERNEL_IR_CONTRACTION_H_
#define TRIVET_CORE_KERNEL_IR_CONTRACTION_H_

#include "core/kernel_ir/kernel_ir.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TVI_KIR_MAX_SPATIAL 3

// A product of matrices: out[batch, m, n] = sum over k of a[batch, m, k] * b[batch, k, n], where
// each role may be several indices of the stage, or none (then its extent is 1; a batch index that
// only one operand has is an m or n). Indices of extent 1 may be in no role. Roles list indices of
// the stage in the order in which they occur there.
typedef struct tvi_kir_roles_s {
  uint32_t batch_count, m_count, n_count, k_count;
  uint8_t batch[TRIVET_MAX_RANK];  // in the output, a and b
  uint8_t m[TRIVET_MAX_RANK];      // in the output and a
  uint8_t n[TRIVET_MAX_RANK];      // in the output and b
  uint8_t k[TRIVET_MAX_RANK];      // summed; in a and b
} tvi_kir_roles_t;

typedef struct tvi_kir_contraction_operand_s {
  uint32_t value;      // value of the program
  tvi_kir_ref_t load;  // the load in the stage's body
  uint32_t dtype;      // as stored
  // Dimension of the value that each index of the stage walks; 255: none (then it is broadcast
  // along it).
  uint8_t dim_of_index[TVI_KIR_MAX_INDICES];
} tvi_kir_contraction_operand_t;

typedef struct tvi_kir_matmul_s {
  uint32_t stage;
  uint32_t accumulate_dtype;  // of the sum
  tvi_kir_contraction_operand_t a, b;
  tvi_kir_roles_t roles;
} tvi_kir_matmul_t;

// A convolution: out[n, oc, o...] = sum over ic, w... of
//   x[n, g*IC + ic, o*stride + w*dilation - pad ...] * weight[oc, ic, w...]; g = oc / (OC /
//   groups).
// Positions of the operand's dimensions are given, so any layout that a text writes is recognised.
// |transposed|: the deconvolution, where x is read at (o + pad - w*dilation) / stride if that
// divides.
typedef struct tvi_kir_convolution_s {
  uint32_t stage;
  uint32_t accumulate_dtype;
  bool transposed;
  uint32_t spatial_rank;  // 1 .. 3
  tvi_kir_contraction_operand_t x, weight;
  trivet_dim_t groups;
  trivet_dim_t batch, input_channels, output_channels;  // channels of all groups
  trivet_dim_t input[TVI_KIR_MAX_SPATIAL], window[TVI_KIR_MAX_SPATIAL], output[TVI_KIR_MAX_SPATIAL];
  int64_t strides[TVI_KIR_MAX_SPATIAL], dilations[TVI_KIR_MAX_SPATIAL];
  trivet_dim_t pads[TVI_KIR_MAX_SPATIAL];  // at the beginning; at the end: what output asks for
  uint8_t x_batch_dim, x_channel_dim, x_spatial_dims[TVI_KIR_MAX_SPATIAL];
  uint8_t weight_output_dim, weight_input_dim, weight_spatial_dims[TVI_KIR_MAX_SPATIAL];
  uint8_t out_batch_dim, out_channel_dim,
      out_spatial_dims[TVI_KIR_MAX_SPATIAL];  // 255: absent (batch of extent 1)
} tvi_kir_convolution_t;

typedef enum tvi_kir_pool_kind_e {
  TVI_KIR_POOL_MAX = 0,
  TVI_KIR_POOL_SUM = 1,  // an average divides it in a later stage
} tvi_kir_pool_kind_t;

// A window reduction: out[..., o...] = max or sum over w... of x[..., o*stride + w*dilation - pad].
typedef struct tvi_kir_pool_s {
  uint32_t stage;
  tvi_kir_pool_kind_t kind;
  uint32_t spatial_rank;
  uint32_t value;
  tvi_kir_ref_t load;
  trivet_dim_t input[TVI_KIR_MAX_SPATIAL], window[TVI_KIR_MAX_SPATIAL], output[TVI_KIR_MAX_SPATIAL];
  int64_t strides[TVI_KIR_MAX_SPATIAL], dilations[TVI_KIR_MAX_SPATIAL];
  trivet_dim_t pads[TVI_KIR_MAX_SPATIAL];
  uint8_t spatial_dims[TVI_KIR_MAX_SPATIAL];  // of x and of the output alike
} tvi_kir_pool_t;

// Each returns true and fills |out|, or false with *out_reason (static text, may be NULL as
// argument) saying why the stage is none.
bool tvi_kir_match_matmul(const tvi_kir_program_t* program, uint32_t stage, tvi_kir_matmul_t* out,
                          const char** out_reason);
bool tvi_kir_match_convolution(const tvi_kir_program_t* program, uint32_t stage,
                               tvi_kir_convolution_t* out, const char** out_reason);
bool tvi_kir_match_pool(const tvi_kir_program_t* program, uint32_t stage, tvi_kir_pool_t* out,
                        const char** out_reason);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_KERNEL_IR_CONTRACTION_H_
