// SPDX-License-Identifier: Apache-2.0
//
// "cuda.kernel": the general kernel of target "cuda", which prints any kernel-IR program as CUDA C
// and compiles it when the plan is built.
#ifndef TRIVET_PLUGINS_CUDA_EMIT_CUDA_KERNEL_H_
#define TRIVET_PLUGINS_CUDA_EMIT_CUDA_KERNEL_H_

#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const trivet_kernel_t tvi_cuda_kernel_definition;

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CUDA_EMIT_CUDA_KERNEL_H_
