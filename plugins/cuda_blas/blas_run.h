// SPDX-License-Identifier: Apache-2.0
//
// The run half of the cuBLASLt kernel: callbacks of trivet_kernel_t. They read what the build half
// emitted, from a plan: nothing in it is trusted before it is checked.
#ifndef TRIVET_PLUGINS_CUDA_BLAS_BLAS_RUN_H_
#define TRIVET_PLUGINS_CUDA_BLAS_BLAS_RUN_H_

#include "trivet/plugin.h"

trivet_status_t blas_load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* load,
                          void** out_loaded);
void blas_unload(const trivet_kernel_t* kernel, void* loaded, const trivet_allocator_t* allocator);
trivet_status_t blas_prepare(const trivet_kernel_t* kernel, void* loaded,
                             const trivet_kernel_prepare_t* prepare, uint64_t* out_workspace_size,
                             void** out_prepared);
void blas_release(const trivet_kernel_t* kernel, void* prepared,
                  const trivet_allocator_t* allocator);
trivet_status_t blas_run(const trivet_kernel_t* kernel, void* prepared,
                         const trivet_kernel_launch_t* launch);

#endif  // TRIVET_PLUGINS_CUDA_BLAS_BLAS_RUN_H_
