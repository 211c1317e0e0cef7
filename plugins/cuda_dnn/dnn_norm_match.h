// SPDX-License-Identifier: Apache-2.0
//
// Which regions are normalisations that cuDNN knows, and as what problem. For the build half.
// What it takes becomes a problem that the run half can set up from the plan alone.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_NORM_MATCH_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_NORM_MATCH_H_

#include "core/target/target.h"
#include "plugins/cuda_dnn/dnn_norm.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dnn_norm_match_s {
  dnn_norm_t problem;
  uint32_t region_operands[DNN_NORM_OPERANDS];  // of the region, for each of the step's
  trivet_dim_t parameters[DNN_NORM_PARAMETERS];
} dnn_norm_match_t;

// Reads |region|; scratch memory from |arena|. *out_reason (static text) says why not.
trivet_status_t dnn_norm_match(const trivet_region_t* region, tvi_arena_t* arena,
                               dnn_norm_match_t* out_match, const char** out_reason);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_NORM_MATCH_H_
