// SPDX-License-Identifier: Apache-2.0
//
// "cuda.code": runs kernels that plugins give as CUDA C or as a cubin. It proposes nothing itself:
// a plugin's kernel does, and its step is written here.
#ifndef TRIVET_PLUGINS_CUDA_EMIT_CODE_KERNEL_H_
#define TRIVET_PLUGINS_CUDA_EMIT_CODE_KERNEL_H_

#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const trivet_kernel_t tvi_cuda_code_definition;

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CUDA_EMIT_CODE_KERNEL_H_
