// SPDX-License-Identifier: Apache-2.0
//
// Which regions are matrix products with an epilogue that cuBLASLt has. For the build half.
// What it takes becomes a problem that the run half can set up from the plan alone.
#ifndef TRIVET_PLUGINS_CUDA_BLAS_BLAS_MATCH_H_
#define TRIVET_PLUGINS_CUDA_BLAS_BLAS_MATCH_H_

#include "core/target/target.h"
#include "plugins/cuda_blas/blas_problem.h"

#ifdef __cplusplus
extern "C" {
#endif

// What the build half needs to know beside the problem.
typedef struct blas_match_s {
  blas_problem_t problem;
  uint32_t region_operands[BLAS_MAX_OPERANDS];  // of the region, for each of the step's
} blas_match_t;

// Reads |region|; scratch memory from |arena|. *out_reason (static text) says why not.
trivet_status_t blas_match_region(const trivet_region_t* region, tvi_arena_t* arena,
                                  blas_match_t* out_match, const char** out_reason);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_PLUGINS_CUDA_BLAS_BLAS_MATCH_H_
