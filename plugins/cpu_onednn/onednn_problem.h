// SPDX-License-Identifier: Apache-2.0
//
// What oneDNN can compute, read off the kernel IR of a region: a convolution, a matrix product or a
// pool, followed by post-operations. The same struct is the blob of the step, so it holds numbers
// only, and load checks every one of them.
#ifndef TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_PROBLEM_H_
#define TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_PROBLEM_H_

#include "core/target/target.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ONEDNN_MAGIC 0x4e4e4431u
#define ONEDNN_VERSION 2u
#define ONEDNN_MAX_POSTOPS 8u
#define ONEDNN_NONE 255u
#define ONEDNN_MAX_SPATIAL 3u
#define ONEDNN_IMPL_SIZE 64u

enum { ONEDNN_CONVOLUTION = 1, ONEDNN_DECONVOLUTION = 2, ONEDNN_MATMUL = 3, ONEDNN_POOL = 4 };
enum { ONEDNN_POST_ELTWISE = 1, ONEDNN_POST_BINARY = 2, ONEDNN_POST_BIAS = 3 };

// One post-operation on the result. |alg| is oneDNN's number of an eltwise or binary algorithm.
typedef struct onednn_postop_s {
  uint32_t kind;
  uint32_t alg;
  float alpha, beta;
  uint32_t operand;               // BINARY, BIAS: operand of the step
  uint8_t dims[TRIVET_MAX_RANK];  // BINARY, BIAS: operand's dimension for each dimension of the
                                  // primitive's result; ONEDNN_NONE: broadcast
} onednn_postop_t;

// A blocked memory format, as oneDNN chose it for weights.
typedef struct onednn_packing_s {
  uint32_t present;
  uint32_t rank;
  int64_t dims[TRIVET_MAX_RANK];
  int64_t padded[TRIVET_MAX_RANK];
  int64_t strides[TRIVET_MAX_RANK];
  uint32_t block_count;
  uint32_t reserved;
  int64_t blocks[TRIVET_MAX_RANK];
  int64_t block_dims[TRIVET_MAX_RANK];
} onednn_packing_t;

// Operands of the step: 0 x (or a), 1 weights (or b; absent for pools), then those of
// post-operations, last the result. Maps give the operand's dimension for each dimension of the
// primitive: batch, channel, spatial... for convolutions and pools.
typedef struct onednn_problem_s {
  uint32_t magic, version;
  uint32_t kind;
  uint32_t rank;  // of the primitive's result
  uint32_t operand_count;
  uint32_t postop_count;
  int64_t strides[ONEDNN_MAX_SPATIAL], dilations[ONEDNN_MAX_SPATIAL], pads[ONEDNN_MAX_SPATIAL];
  int64_t window[ONEDNN_MAX_SPATIAL];
  int64_t groups;
  uint32_t pool_alg;
  uint32_t batch_count, m_count, n_count, k_count;  // matrix products
  uint32_t chunk;  // input channels, or terms of a matrix product, that one execution sums; the
                   // executions add up in the result. 0: all at once. Needs packed weights
  uint8_t x_dims[TRIVET_MAX_RANK], w_dims[TRIVET_MAX_RANK], y_dims[TRIVET_MAX_RANK];
  // Matrix products: dimensions of a, b and the result for each role, in the order batch, m, n, k.
  uint8_t a_role[TRIVET_MAX_RANK * 2], b_role[TRIVET_MAX_RANK * 2], c_role[TRIVET_MAX_RANK * 2];
  onednn_postop_t postops[ONEDNN_MAX_POSTOPS];
  onednn_packing_t packing;  // of the weights, or of those of one chunk; chunks follow each other
  char impl[ONEDNN_IMPL_SIZE];  // wanted implementation; the first one if oneDNN offers it no more
} onednn_problem_t;

// What the build half needs to know beside the problem.
typedef struct onednn_match_s {
  onednn_problem_t problem;
  uint32_t region_operands[ONEDNN_MAX_POSTOPS + 3];  // operand of the region for each of the step's
} onednn_match_t;

// Reads |region|; scratch memory from |arena|. False with a reason (static text) where oneDNN
// cannot compute it.
trivet_status_t onednn_match_region(const trivet_region_t* region, tvi_arena_t* arena,
                                    onednn_match_t* out_match, const char** out_reason);

// Checks a problem that comes from a plan: every count, map and number.
trivet_status_t onednn_problem_verify(const onednn_problem_t* problem, uint64_t size);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_PROBLEM_H_
