// SPDX-License-Identifier: Apache-2.0
//
// The build half of the cuBLASLt kernel: callbacks of trivet_kernel_t.
// They match, propose and emit; what they emit is read by the run half in blas_run.h.
#ifndef TRIVET_PLUGINS_CUDA_BLAS_BLAS_BUILD_H_
#define TRIVET_PLUGINS_CUDA_BLAS_BLAS_BUILD_H_

#include "plugins/cuda_blas/blas_match.h"

trivet_status_t blas_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                             trivet_proposal_t* proposal);
trivet_status_t blas_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                          uint64_t tactic, trivet_emission_t* emission);

#endif  // TRIVET_PLUGINS_CUDA_BLAS_BLAS_BUILD_H_
