// SPDX-License-Identifier: Apache-2.0
//
// Run half of "cuda.kernel": loads the module of a step, turns shapes into grids, launches.
// It reads the blob that cuda_write.h made, and must not need the compiler.
#ifndef TRIVET_PLUGINS_CUDA_EMIT_CUDA_RUN_H_
#define TRIVET_PLUGINS_CUDA_EMIT_CUDA_RUN_H_

#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

// The functions of trivet_kernel_t of the same names.
trivet_status_t tvi_cuda_kernel_load(const trivet_kernel_t* kernel,
                                     const trivet_kernel_load_t* load, void** out_loaded);
void tvi_cuda_kernel_unload(const trivet_kernel_t* kernel, void* loaded,
                            const trivet_allocator_t* allocator);
trivet_status_t tvi_cuda_kernel_prepare(const trivet_kernel_t* kernel, void* loaded,
                                        const trivet_kernel_prepare_t* prepare,
                                        uint64_t* out_workspace_size, void** out_prepared);
void tvi_cuda_kernel_release(const trivet_kernel_t* kernel, void* prepared,
                             const trivet_allocator_t* allocator);
// The same for kernels that do not wait for those before them themselves.
trivet_status_t tvi_cuda_code_run(const trivet_kernel_t* kernel, void* prepared,
                                  const trivet_kernel_launch_t* launch);
trivet_status_t tvi_cuda_kernel_run(const trivet_kernel_t* kernel, void* prepared,
                                    const trivet_kernel_launch_t* launch);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CUDA_EMIT_CUDA_RUN_H_
