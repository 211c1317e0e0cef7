// SPDX-License-Identifier: Apache-2.0
//
// Opens cuBLASLt. By dlopen, so that everything builds and loads where no driver is; nothing else
// calls the library by name.
#include "plugins/cuda_blas/blas_library.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"

// The loader's own folders first (LD_LIBRARY_PATH among them), then where the toolkit is installed.
static const char* const kNames[] = {"libcublasLt.so.13",
                                     "/usr/local/cuda/lib64/libcublasLt.so.13"};

trivet_status_t blas_check(const blas_library_t* library, cublasStatus_t result, const char* call) {
  if (result == CUBLAS_STATUS_SUCCESS) return TRIVET_OK;
  return TRIVET_STATUS(INTERNAL, "%.*s: %s", (int)strcspn(call, "("), call,
                       library->cublasLtGetStatusName(result));
}

void blas_library_warm_up(const trivet_kernel_t* kernel) {
  (void)kernel;
  bool is_there = false;
  for (size_t i = 0; i < sizeof(kNames) / sizeof(kNames[0]) && !is_there; ++i) {
    is_there = dlopen(kNames[i], RTLD_NOW | RTLD_NODELETE) != NULL;
  }
}

static trivet_status_t find(const tvi_library_t* library, const char* name, void* out_function) {
  void* address = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_library_symbol(library, name, &address));
  memcpy(out_function, &address, sizeof(address));
  return TRIVET_OK;
}

static trivet_status_t fill(blas_library_t* blas, trivet_allocator_t allocator) {
  TRIVET_RETURN_IF_ERROR_ANNOTATED(
      tvi_library_open_any(kNames, sizeof(kNames) / sizeof(kNames[0]), allocator, &blas->library),
      "cuBLASLt of CUDA 13 is not installed");
#define FIND(name) TRIVET_RETURN_IF_ERROR(find(blas->library, #name, &blas->name));
  BLAS_FUNCTIONS(FIND)
#undef FIND
  BLAS_RETURN_IF_ERROR(blas, cublasLtCreate(&blas->handle));
  return TRIVET_OK;
}

static void destroy(tvi_cuda_device_t* device, void* object) {
  blas_library_t* blas = (blas_library_t*)object;
  if (blas->handle) (void)blas->cublasLtDestroy(blas->handle);
  tvi_library_close(blas->library);
  tvi_free(*device->allocator, blas, sizeof(*blas));
}

static trivet_status_t create(tvi_cuda_device_t* device, void** out_object) {
  blas_library_t* blas;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*device->allocator, sizeof(*blas), &blas));
  trivet_status_t status = fill(blas, *device->allocator);
  if (status) {
    destroy(device, blas);
    return status;
  }
  *out_object = blas;
  return TRIVET_OK;
}

trivet_status_t blas_library_get(tvi_cuda_device_t* device, const blas_library_t** out_library) {
  void* object = NULL;
  TRIVET_RETURN_IF_ERROR(device->resource(device, "cublaslt", create, destroy, &object));
  *out_library = (const blas_library_t*)object;
  return TRIVET_OK;
}
