// SPDX-License-Identifier: Apache-2.0
//
// A libcuda.so.1 that says there is no device, for building plans where no driver is installed:
// cuDNN compiles kernels for a device that is described to it, but wants a driver to ask first.
// Never loaded where a driver is found, never used to run anything.
#include <cuda.h>

#define EXPORT __attribute__((visibility("default")))

// What every other name leads to.
EXPORT CUresult tvi_no_device(void);
CUresult tvi_no_device(void) { return CUDA_ERROR_NO_DEVICE; }

// Looked up by name by cuDNN 9.
#define NO_DEVICE(name) __asm__(".globl " #name "\n.set " #name ", tvi_no_device");
NO_DEVICE(cuCtxGetCurrent)
NO_DEVICE(cuCtxGetDevice)
NO_DEVICE(cuCtxGetLimit)
NO_DEVICE(cuCtxPopCurrent)
NO_DEVICE(cuCtxPopCurrent_v2)
NO_DEVICE(cuCtxPushCurrent)
NO_DEVICE(cuCtxPushCurrent_v2)
NO_DEVICE(cuCtxSetCurrent)
NO_DEVICE(cuDeviceGet)
NO_DEVICE(cuDeviceGetAttribute)
NO_DEVICE(cuDeviceGetName)
NO_DEVICE(cuFuncGetAttribute)
NO_DEVICE(cuFuncSetAttribute)
NO_DEVICE(cuKernelGetAttribute)
NO_DEVICE(cuKernelGetFunction)
NO_DEVICE(cuKernelSetAttribute)
NO_DEVICE(cuLaunchCooperativeKernel)
NO_DEVICE(cuLaunchKernel)
NO_DEVICE(cuLaunchKernelEx)
NO_DEVICE(cuLibraryGetGlobal)
NO_DEVICE(cuLibraryGetKernel)
NO_DEVICE(cuLibraryGetModule)
NO_DEVICE(cuLibraryLoadData)
NO_DEVICE(cuLibraryLoadFromFile)
NO_DEVICE(cuLibraryUnload)
NO_DEVICE(cuLinkAddData)
NO_DEVICE(cuLinkAddData_v2)
NO_DEVICE(cuLinkComplete)
NO_DEVICE(cuLinkCreate)
NO_DEVICE(cuLinkCreate_v2)
NO_DEVICE(cuLinkDestroy)
NO_DEVICE(cuModuleGetFunction)
NO_DEVICE(cuModuleGetGlobal_v2)
NO_DEVICE(cuModuleLoadData)
NO_DEVICE(cuModuleLoadDataEx)
NO_DEVICE(cuModuleUnload)
NO_DEVICE(cuOccupancyMaxActiveBlocksPerMultiprocessor)
NO_DEVICE(cuOccupancyMaxActiveClusters)
NO_DEVICE(cuOccupancyMaxPotentialClusterSize)
NO_DEVICE(cuPointerGetAttribute)
NO_DEVICE(cuPointerGetAttributes)
NO_DEVICE(cuStreamGetCtx)
NO_DEVICE(cuTensorMapEncodeIm2col)
NO_DEVICE(cuTensorMapEncodeTiled)

EXPORT CUresult cuInit(unsigned int flags) {
  (void)flags;
  return CUDA_ERROR_NO_DEVICE;
}

EXPORT CUresult cuDriverGetVersion(int* version) {
  *version = CUDA_VERSION;
  return CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetCount(int* count) {
  *count = 0;
  return CUDA_SUCCESS;
}

EXPORT CUresult cuGetErrorName(CUresult error, const char** text) {
  (void)error;
  *text = "CUDA_ERROR_NO_DEVICE";
  return CUDA_SUCCESS;
}

EXPORT CUresult cuGetErrorString(CUresult error, const char** text) {
  (void)error;
  *text = "no device; this driver only serves to build plans";
  return CUDA_SUCCESS;
}

EXPORT CUresult cuGetProcAddress(const char* symbol, void** function, int version, cuuint64_t flags,
                                 CUdriverProcAddressQueryResult* status) {
  (void)symbol, (void)version, (void)flags;
  *function = (void*)&tvi_no_device;
  if (status) *status = CU_GET_PROC_ADDRESS_SUCCESS;
  return CUDA_SUCCESS;
}
