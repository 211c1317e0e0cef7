// SPDX-License-Identifier: Apache-2.0
//
// "cuda.matmul": products of matrices with whatever follows them element by element, as kernels
// that the generator prints for tensor cores. Tactics beside those of the libraries.
#ifndef TRIVET_PLUGINS_CUDA_EMIT_MATMUL_KERNEL_H_
#define TRIVET_PLUGINS_CUDA_EMIT_MATMUL_KERNEL_H_

#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const trivet_kernel_t tvi_cuda_matmul_definition;

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CUDA_EMIT_MATMUL_KERNEL_H_
