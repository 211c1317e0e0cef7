// SPDX-License-Identifier: Apache-2.0
//
// The run half of the oneDNN kernels: callbacks of trivet_kernel_t, the same for all of them, since
// a blob says what to compute.
#ifndef TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_RUN_H_
#define TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_RUN_H_

#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

trivet_status_t onednn_load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* load,
                            void** out_loaded);
trivet_status_t onednn_prepare(const trivet_kernel_t* kernel, void* loaded,
                               const trivet_kernel_prepare_t* prepare, uint64_t* out_workspace_size,
                               void** out_prepared);
void onednn_release(const trivet_kernel_t* kernel, void* prepared,
                    const trivet_allocator_t* allocator);
trivet_status_t onednn_run(const trivet_kernel_t* kernel, void* prepared,
                           const trivet_kernel_launch_t* launch);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_RUN_H_
