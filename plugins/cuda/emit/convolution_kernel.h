// SPDX-License-Identifier: Apache-2.0
//
// "cuda.convolution": convolutions in f16 and bf16 whose channels lie together, with any epilogue,
// as kernels of our own. It competes by price and by the clock with what libraries bring; it knows
// no operator, only the form of a region's program.
#ifndef TRIVET_PLUGINS_CUDA_EMIT_CONVOLUTION_KERNEL_H_
#define TRIVET_PLUGINS_CUDA_EMIT_CONVOLUTION_KERNEL_H_

#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const trivet_kernel_t tvi_cuda_convolution_definition;

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CUDA_EMIT_CONVOLUTION_KERNEL_H_
