// SPDX-License-Identifier: Apache-2.0
//
// What the plugins of the CUDA target share at run time: the driver as a table of functions that
// are found by name when the device is opened, and the open device that every kernel's load gets as
// trivet_kernel_load_t.device. Nothing links libcuda; nothing here knows a graph or a kernel.
#ifndef TRIVET_PLUGINS_CUDA_DEVICE_CUDA_DEVICE_H_
#define TRIVET_PLUGINS_CUDA_DEVICE_CUDA_DEVICE_H_

#include <cuda.h>

#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

// The functions of libcuda.so.1 in use. cuda.h gives some of them versioned names by macros; the
// table's members and the symbols looked up follow it.
// clang-format off
#define TVI_CUDA_DRIVER_FUNCTIONS(X)                                                              \
  X(cuInit) X(cuDriverGetVersion) X(cuGetErrorName) X(cuGetErrorString)                           \
  X(cuDeviceGetCount) X(cuDeviceGet) X(cuDeviceGetName) X(cuDeviceGetAttribute)                   \
  X(cuDeviceTotalMem) X(cuDevicePrimaryCtxRetain) X(cuDevicePrimaryCtxRelease)                    \
  X(cuCtxSetCurrent) X(cuMemGetInfo) X(cuMemAlloc) X(cuMemFree) X(cuMemHostAlloc)                 \
  X(cuMemFreeHost) X(cuPointerGetAttributes) X(cuMemcpyAsync) X(cuMemsetD8Async)                   \
  X(cuStreamCreate) X(cuStreamDestroy) X(cuStreamSynchronize) X(cuStreamWaitEvent)                \
  X(cuStreamGetCtx)                                                                               \
  X(cuEventCreate) X(cuEventDestroy) X(cuEventRecord) X(cuEventSynchronize) X(cuEventElapsedTime) \
  X(cuStreamBeginCapture) X(cuStreamEndCapture) X(cuStreamIsCapturing)                            \
  X(cuGraphInstantiateWithFlags) X(cuGraphGetRootNodes) X(cuGraphNodeGetType)                     \
  X(cuGraphKernelNodeGetParams) X(cuGraphKernelNodeGetAttribute) X(cuGraphMemsetNodeGetParams)    \
  X(cuGraphGetNodes) X(cuGraphAddKernelNode) X(cuGraphDestroyNode)                                \
  X(cuGraphDestroy) X(cuGraphExecDestroy) X(cuGraphLaunch) X(cuGraphUpload)                       \
  X(cuModuleLoadData) X(cuModuleUnload) X(cuModuleGetFunction) X(cuFuncSetAttribute)              \
  X(cuFuncGetAttribute) X(cuOccupancyMaxActiveBlocksPerMultiprocessor)                            \
  X(cuLaunchKernelEx) X(cuTensorMapEncodeTiled)
// Those that the oldest drivers have not; NULL there.
#define TVI_CUDA_DRIVER_LATER_FUNCTIONS(X)                         \
  X(cuGraphNodeGetDependencies) X(cuGraphNodeGetDependentNodes)    \
  X(cuGraphAddDependencies)
// clang-format on

typedef struct tvi_cuda_driver_s {
#define TVI_CUDA_DRIVER_MEMBER(name) __typeof__(name)* name;
  TVI_CUDA_DRIVER_FUNCTIONS(TVI_CUDA_DRIVER_MEMBER)
  TVI_CUDA_DRIVER_LATER_FUNCTIONS(TVI_CUDA_DRIVER_MEMBER)
#undef TVI_CUDA_DRIVER_MEMBER
} tvi_cuda_driver_t;

typedef struct tvi_cuda_device_s tvi_cuda_device_t;
// Of a prepared step that calls a library: the kernels that the call launched, by its addresses.
typedef struct tvi_cuda_recorder_s tvi_cuda_recorder_t;
// Calls the library for |launch|, on launch->stream.
typedef trivet_status_t (*tvi_cuda_call_t)(void* self, const trivet_kernel_launch_t* launch);

// An open device. Immutable but for what stands behind |module| and |resource|, which take a lock:
// for load, prepare and captures, never for a run that is replayed.
struct tvi_cuda_device_s {
  const tvi_cuda_driver_t* driver;
  const trivet_allocator_t* allocator;
  CUdevice ordinal;
  CUcontext context;  // the primary one, shared with other users of the device in this process
  int major, minor;   // compute capability
  int multiprocessor_count;
  int shared_memory_per_block;  // bytes, with opt-in
  int driver_version;           // 13000: CUDA 13.0
  // A status for an error of the driver: its name, its text and |call|. TRIVET_OK for success.
  trivet_status_t (*check)(const tvi_cuda_device_t* device, CUresult result, const char* call);
  // The module of |cubin|; equal bytes give the same module, which lives until as many
  // module_release calls.
  trivet_status_t (*module)(tvi_cuda_device_t* device, const void* cubin, uint64_t size,
                            CUmodule* out_module);
  void (*module_release)(tvi_cuda_device_t* device, CUmodule module);
  // One object per name and device, for handles of libraries ("cublaslt"): |create| makes it when
  // it is asked for first, |destroy| runs when the device is closed.
  trivet_status_t (*resource)(tvi_cuda_device_t* device, const char* name,
                              trivet_status_t (*create)(tvi_cuda_device_t* device,
                                                        void** out_object),
                              void (*destroy)(tvi_cuda_device_t* device, void* object),
                              void** out_object);
  // For steps that call a library, whose way to a launch takes the host several times what the
  // launch takes. create: in prepare; the caller owns it; it keeps |allocator|. run: |call|, or the
  // kernels that it launched when it was given the same addresses of operands and workspace, which
  // are as good: so a call must follow from these and what prepare knows alone. Errors are those of
  // |call| and of launches. A recorder is for one thread at a time; run takes nothing of the
  // allocator. destroy accepts NULL.
  trivet_status_t (*recorder_create)(tvi_cuda_device_t* device, trivet_allocator_t allocator,
                                     uint64_t operand_count, tvi_cuda_recorder_t** out_recorder);
  trivet_status_t (*recorder_run)(tvi_cuda_recorder_t* recorder,
                                  const trivet_kernel_launch_t* launch, tvi_cuda_call_t call,
                                  void* self);
  void (*recorder_destroy)(tvi_cuda_recorder_t* recorder);
};

// The definition of the device for target "cuda". |self| of a copy may name another driver library
// than libcuda.so.1, for tests.
extern const trivet_device_t tvi_cuda_device_definition;

#define TVI_CUDA_RETURN_IF_ERROR(device, call) \
  TRIVET_RETURN_IF_ERROR((device)->check((device), (device)->driver->call, #call))

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_PLUGINS_CUDA_DEVICE_CUDA_DEVICE_H_
