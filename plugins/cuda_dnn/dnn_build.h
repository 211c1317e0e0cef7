// SPDX-License-Identifier: Apache-2.0
//
// The build half of the cuDNN kernel: callbacks of trivet_kernel_t.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_BUILD_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_BUILD_H_

#include "core/target/target.h"
#include "plugins/cuda_dnn/dnn_problem.h"

// What the build half needs to know beside the problem.
typedef struct dnn_match_s {
  dnn_problem_t problem;
  uint32_t region_operands[DNN_MAX_OPERANDS];  // of the region, for each of the step's
  int64_t groups;
} dnn_match_t;

// Reads |region|; scratch memory from |arena|. *out_reason (static text) says why not.
trivet_status_t dnn_match_region(const trivet_region_t* region, tvi_arena_t* arena,
                                 dnn_match_t* out_match, const char** out_reason);

trivet_status_t dnn_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            trivet_proposal_t* proposal);
trivet_status_t dnn_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                         uint64_t tactic, trivet_emission_t* emission);

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_BUILD_H_
