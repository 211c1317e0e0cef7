// SPDX-License-Identifier: Apache-2.0
//
// The run half of normalisations: callbacks of trivet_kernel_t.
// It builds a plan only for shapes that the step has none for.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_NORM_RUN_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_NORM_RUN_H_

#include "trivet/plugin.h"

trivet_status_t dnn_norm_load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* load,
                              void** out_loaded);
void dnn_norm_unload(const trivet_kernel_t* kernel, void* loaded,
                     const trivet_allocator_t* allocator);
trivet_status_t dnn_norm_prepare(const trivet_kernel_t* kernel, void* loaded,
                                 const trivet_kernel_prepare_t* prepare,
                                 uint64_t* out_workspace_size, void** out_prepared);
void dnn_norm_release(const trivet_kernel_t* kernel, void* prepared,
                      const trivet_allocator_t* allocator);
trivet_status_t dnn_norm_run(const trivet_kernel_t* kernel, void* prepared,
                             const trivet_kernel_launch_t* launch);

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_NORM_RUN_H_
