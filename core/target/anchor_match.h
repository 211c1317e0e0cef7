// SPDX-License-Identifier: Apache-2.0
//
// Reads a region as kernels of libraries know them: one convolution, matrix product or pool (the
// anchor), then a chain of activations and of operations with another operand. It stands between
// the kernel IR of a region and a target's own problem; what a library can run is that one's
// business.
#ifndef TRIVET_CORE_TARGET_ANCHOR_MATCH_H_
#define TRIVET_CORE_TARGET_ANCHOR_MATCH_H_

#include "core/kernel_ir/contraction.h"
#include "core/target/target.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TVI_ANCHOR_MAX_POSTS 8u
#define TVI_ANCHOR_NO_DIM 255u

typedef enum tvi_anchor_kind_e {
  TVI_ANCHOR_CONVOLUTION = 1,
  TVI_ANCHOR_MATMUL = 2,
  TVI_ANCHOR_POOL = 3,
} tvi_anchor_kind_t;

// Functions of one value, in float arithmetic.
typedef enum tvi_post_function_e {
  TVI_POST_LINEAR = 1,  // alpha * x + beta
  TVI_POST_RELU,        // x > 0 ? x : alpha * x
  TVI_POST_CLIP,        // min(max(x, alpha), beta)
  TVI_POST_SIGMOID,
  TVI_POST_TANH,
  TVI_POST_SWISH,     // x * sigmoid(alpha * x)
  TVI_POST_GELU_ERF,  // x / 2 * (1 + erf(x / sqrt(2)))
  TVI_POST_GELU_TANH,
  TVI_POST_HARD_SWISH,  // x * min(max(x / 6 + 1/2, 0), 1)
  TVI_POST_ELU,         // x > 0 ? x : alpha * (exp(x) - 1)
  TVI_POST_ABS,
} tvi_post_function_t;

// Operations with an element of another operand, which stands on the right.
typedef enum tvi_post_binary_e {
  TVI_POST_ADD = 32,
  TVI_POST_SUB,
  TVI_POST_MUL,
  TVI_POST_DIV,
  TVI_POST_MIN,
  TVI_POST_MAX,
} tvi_post_binary_t;

typedef struct tvi_post_s {
  uint32_t op;  // TVI_POST_*
  double alpha, beta;
  uint32_t operand;               // of the region, where op is binary
  uint8_t dims[TRIVET_MAX_RANK];  // dimension of that operand that each dimension of the result
                                  // walks; TVI_ANCHOR_NO_DIM: broadcast
} tvi_post_t;

typedef struct tvi_anchor_s {
  tvi_anchor_kind_t kind;
  union {
    tvi_kir_convolution_t convolution;
    tvi_kir_matmul_t matmul;
    tvi_kir_pool_t pool;
  } u;
  // Operands of the region. The anchor's result has the shape of the region's. No weight: a pool.
  uint32_t x, weight, result;
  uint32_t post_count;
  tvi_post_t posts[TVI_ANCHOR_MAX_POSTS];  // in the order in which they are applied
} tvi_anchor_t;

// Fills |out|, or leaves *out_reason (static text) saying why the region is no such thing. Types
// are any floats: an epilogue of narrow floats counts as one of f32, as roundings between its
// operations only lose. |out| refers to dimensions of the graph. Scratch memory from |arena|.
trivet_status_t tvi_anchor_match(const trivet_region_t* region, tvi_arena_t* arena,
                                 tvi_anchor_t* out, const char** out_reason);

// Inlines what lies between, so that reductions and at most one elementwise stage behind them
// remain.
trivet_status_t tvi_match_inline_temporaries(tvi_kir_program_t* program);

// f(x) of a post-operation of one value, for reference and tests.
double tvi_post_evaluate(const tvi_post_t* post, double x);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_TARGET_ANCHOR_MATCH_H_
