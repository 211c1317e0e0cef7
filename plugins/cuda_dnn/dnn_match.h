// SPDX-License-Identifier: Apache-2.0
//
// Which regions are convolutions with an epilogue, and as what problem. For the build half.
// What it takes becomes a problem that the run half can set up from the plan alone.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_MATCH_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_MATCH_H_

#include "core/target/target.h"
#include "plugins/cuda_dnn/dnn_problem.h"

#ifdef __cplusplus
extern "C" {
#endif

// What the build half needs to know beside the problem.
typedef struct dnn_match_s {
  dnn_problem_t problem;
  uint32_t region_operands[DNN_MAX_OPERANDS];  // of the region, for each of the step's
  int64_t groups;
} dnn_match_t;

// Reads |region|; scratch memory from |arena|. *out_reason (static text) says why not.
trivet_status_t dnn_match_region(const trivet_region_t* region, tvi_arena_t* arena,
                                 dnn_match_t* out_match, const char** out_reason);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_MATCH_H_
