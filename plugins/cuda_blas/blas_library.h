// SPDX-License-Identifier: Apache-2.0
//
// cuBLASLt, opened by name when the first step that needs it is loaded: a table of functions and
// the handle that the steps of a device share.
#ifndef TRIVET_PLUGINS_CUDA_BLAS_BLAS_LIBRARY_H_
#define TRIVET_PLUGINS_CUDA_BLAS_BLAS_LIBRARY_H_

#include <cublasLt.h>

#include "core/base/library.h"
#include "plugins/cuda/device/cuda_device.h"

// clang-format off
#define BLAS_FUNCTIONS(X)                                                              \
  X(cublasLtCreate) X(cublasLtDestroy) X(cublasLtGetStatusName)                        \
  X(cublasLtMatmulDescCreate) X(cublasLtMatmulDescDestroy)                             \
  X(cublasLtMatmulDescSetAttribute) X(cublasLtMatrixLayoutCreate)                      \
  X(cublasLtMatrixLayoutDestroy) X(cublasLtMatrixLayoutSetAttribute)                   \
  X(cublasLtMatmulPreferenceCreate) X(cublasLtMatmulPreferenceDestroy)                 \
  X(cublasLtMatmulPreferenceSetAttribute) X(cublasLtMatmulAlgoGetHeuristic)            \
  X(cublasLtMatmul)
// clang-format on

typedef struct blas_library_s {
  tvi_library_t* library;
  cublasLtHandle_t handle;
#define BLAS_MEMBER(name) __typeof__(name)* name;
  BLAS_FUNCTIONS(BLAS_MEMBER)
#undef BLAS_MEMBER
} blas_library_t;

// The library with a handle for |device|, which owns it. UNAVAILABLE names what was looked for.
trivet_status_t blas_library_get(tvi_cuda_device_t* device, const blas_library_t** out_library);
// Has it mapped.
void blas_library_warm_up(const trivet_kernel_t* kernel);
// A status for an error of the library: its name and |call|.
trivet_status_t blas_check(const blas_library_t* library, cublasStatus_t result, const char* call);

#define BLAS_RETURN_IF_ERROR(library, call) \
  TRIVET_RETURN_IF_ERROR(blas_check((library), (library)->call, #call))

#endif  // TRIVET_PLUGINS_CUDA_BLAS_BLAS_LIBRARY_H_
