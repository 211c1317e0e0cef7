// SPDX-License-Identifier: Apache-2.0
//
// "cuda.attention": attention in one kernel, for regions that core/target/attention_match.h
// recognises. A step of it is launched like those of "cuda.kernel".
#ifndef TRIVET_PLUGINS_CUDA_EMIT_ATTENTION_KERNEL_H_
#define TRIVET_PLUGINS_CUDA_EMIT_ATTENTION_KERNEL_H_

#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const trivet_kernel_t tvi_cuda_attention_definition;

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CUDA_EMIT_ATTENTION_KERNEL_H_
