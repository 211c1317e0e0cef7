// SPDX-License-Identifier: Apache-2.0
//
// A matrix product with an epilogue, as cuBLASLt computes it: result = f(alpha * a b + residual +
// bias). The struct is the blob of the step, so it holds numbers only, and load checks every one.
// Extents and strides come with the operands.
#ifndef TRIVET_PLUGINS_CUDA_BLAS_BLAS_PROBLEM_H_
#define TRIVET_PLUGINS_CUDA_BLAS_BLAS_PROBLEM_H_

#include <stdbool.h>

#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define BLAS_MAGIC 0x534c4243u
#define BLAS_VERSION 2u
#define BLAS_MAX_INDICES 24u
#define BLAS_NONE 255u
#define BLAS_MAX_OPERANDS 5u
#define BLAS_MAX_ALGORITHMS 16u

enum { BLAS_PLAIN = 0, BLAS_RELU = 1, BLAS_GELU_TANH = 2 };
enum { BLAS_BIAS_NONE = 0, BLAS_BIAS_ROW = 1, BLAS_BIAS_COLUMN = 2 };

// Operands of the step: 0 a, 1 b, then bias and residual where there are any, last the result.
typedef struct blas_problem_s {
  uint32_t magic, version;
  uint32_t dtype;         // of a and b
  uint32_t result_dtype;  // and of bias and residual
  uint32_t operand_count;
  uint32_t bias_operand, residual_operand;  // BLAS_NONE: none
  uint16_t bias_kind;                       // BLAS_BIAS_*: one number for each row or column
  uint16_t allows_tf32;                     // f32 factors may be rounded to 10 bits
  uint32_t activation;                      // BLAS_RELU, ...
  float alpha;
  uint32_t algorithm;  // which of the library's proposals
  // Elements from row to row where b was packed into rows of sums, [n..., k...]; 0: b as it lies.
  uint32_t packed_leading;
  // Indices of the product: batch, then m, n, k; for each the dimension of an operand that it
  // walks.
  uint32_t batch_count, m_count, n_count, k_count;
  uint8_t a_dims[BLAS_MAX_INDICES], b_dims[BLAS_MAX_INDICES], c_dims[BLAS_MAX_INDICES];
  uint8_t residual_dims[BLAS_MAX_INDICES];
} blas_problem_t;

// Checks a problem that comes from a plan.
trivet_status_t blas_problem_verify(const blas_problem_t* problem, uint64_t size);

// A column-major matrix of the library.
typedef struct blas_matrix_s {
  uint64_t rows, columns;
  int64_t leading;       // elements from column to column
  int64_t batch_stride;  // elements
  bool transposed;       // read with rows and columns exchanged
} blas_matrix_t;

#define BLAS_MAX_LOOPS 4u

// The product for given extents and strides. The library's result is the transpose of ours where
// our columns lie next to each other.
typedef struct blas_geometry_s {
  uint64_t m, n, k, batch;  // of our product
  bool swapped;             // first operand of the library is a (else b)
  blas_matrix_t first, second, result, residual;
  // What batch strides cannot say: one call for each combination. Strides in elements.
  uint32_t loop_count;
  uint64_t loop_extents[BLAS_MAX_LOOPS];
  int64_t loop_a[BLAS_MAX_LOOPS], loop_b[BLAS_MAX_LOOPS], loop_c[BLAS_MAX_LOOPS],
      loop_residual[BLAS_MAX_LOOPS];
  uint64_t calls;
} blas_geometry_t;

// |operands| as the step has them. False with a reason (static text) where the library cannot do
// it.
bool blas_geometry(const blas_problem_t* problem, const trivet_operand_t* operands,
                   blas_geometry_t* out, const char** out_reason);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_PLUGINS_CUDA_BLAS_BLAS_PROBLEM_H_
