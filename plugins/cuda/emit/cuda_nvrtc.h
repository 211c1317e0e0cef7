// SPDX-License-Identifier: Apache-2.0
//
// CUDA C to a cubin with NVRTC, which is opened when it is first needed. Needs no device, no driver
// and no header. Build half only.
#ifndef TRIVET_PLUGINS_CUDA_EMIT_CUDA_NVRTC_H_
#define TRIVET_PLUGINS_CUDA_EMIT_CUDA_NVRTC_H_

#include "core/base/string_builder.h"
#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

// The version of NVRTC, as 1000 * major + minor: other versions make other code.
trivet_status_t tvi_cuda_nvrtc_version(trivet_allocator_t allocator, int* out_version);

// Compiles |source| for |architecture| ("sm_90a"). *out_cubin is freed with
// tvi_free(allocator, cubin, size). |log| (may be NULL) receives what the compiler said, use of
// registers included. UNAVAILABLE: no NVRTC, with what was looked for; INTERNAL: it does not
// compile, with the first lines of the log.
trivet_status_t tvi_cuda_nvrtc_compile(const char* source, const char* architecture,
                                       trivet_allocator_t allocator, uint8_t** out_cubin,
                                       size_t* out_size, tvi_string_builder_t* log);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CUDA_EMIT_CUDA_NVRTC_H_
