// SPDX-License-Identifier: Apache-2.0
//
// The build half of normalisations: callbacks of trivet_kernel_t.
// It asks for no device, and keeps nothing between calls.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_NORM_BUILD_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_NORM_BUILD_H_

#include "core/target/target.h"

trivet_status_t dnn_norm_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                 trivet_proposal_t* proposal);
trivet_status_t dnn_norm_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                              uint64_t tactic, trivet_emission_t* emission);

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_NORM_BUILD_H_
