// SPDX-License-Identifier: Apache-2.0
//
// A libcuda.so.1 on host memory for tests of the device without one: every function of the driver's
// table, with objects that are counted and calls that can be made to fail. Streams run at once.
#include <cuda.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

static struct {
  int devices, version;
  const char* fails;  // name of the call that fails
  CUresult with;
  int contexts, memories, pinned, streams, events, modules, graphs, execs;
  int loads;  // modules ever loaded
  int launches;
  int capturing;
} fake = {1, 13000, "", CUDA_SUCCESS, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};

EXPORT void fake_cuda_set(int devices, int version, const char* fails, int with);
EXPORT int fake_cuda_live(void);
EXPORT int fake_cuda_loads(void);
EXPORT int fake_cuda_launches(void);

void fake_cuda_set(int devices, int version, const char* fails, int with) {
  fake.devices = devices;
  fake.version = version;
  fake.fails = fails;
  fake.with = (CUresult)with;
}
int fake_cuda_live(void) {
  return fake.contexts + fake.memories + fake.pinned + fake.streams + fake.events + fake.modules +
         fake.graphs + fake.execs;
}
int fake_cuda_loads(void) { return fake.loads; }
int fake_cuda_launches(void) { return fake.launches; }

#define FAIL_IF_ASKED() \
  if (strncmp(__func__, fake.fails, strlen(fake.fails)) == 0 && fake.fails[0]) return fake.with
#define MAKE(counter, out)                \
  FAIL_IF_ASKED();                        \
  ++fake.counter;                         \
  *(out) = (__typeof__(*(out)))malloc(8); \
  return CUDA_SUCCESS
#define DROP(counter, object) \
  --fake.counter;             \
  free((void*)(object));      \
  return CUDA_SUCCESS

EXPORT CUresult cuInit(unsigned int flags) {
  (void)flags;
  FAIL_IF_ASKED();
  return fake.devices ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}
EXPORT CUresult cuDriverGetVersion(int* version) {
  *version = fake.version;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGetErrorName(CUresult error, const char** text) {
  *text = error == CUDA_ERROR_OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_FAKE";
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGetErrorString(CUresult error, const char** text) {
  (void)error;
  *text = "the fake was told to fail";
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetCount(int* count) {
  *count = fake.devices;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  *device = ordinal;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetName(char* name, int size, CUdevice device) {
  (void)device;
  strncpy(name, "Fake H100", (size_t)size);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice device) {
  (void)device;
  FAIL_IF_ASKED();
  *value = attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR   ? 9
           : attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? 0
                                                                       : 132;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDeviceTotalMem(size_t* size, CUdevice device) {
  (void)device;
  *size = (size_t)1 << 36;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  (void)device;
  FAIL_IF_ASKED();
  ++fake.contexts;
  *context = (CUcontext)&fake;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
  (void)device;
  --fake.contexts;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuCtxSetCurrent(CUcontext context) {
  (void)context;
  FAIL_IF_ASKED();
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemGetInfo(size_t* free_size, size_t* size) {
  *size = (size_t)1 << 36;
  *free_size = *size / 2;
  return CUDA_SUCCESS;
}
// Device memory carries a mark before it, so that locate can tell it from a caller's.
static const uint64_t kDeviceMark = 0x66616b6564657631u, kPinnedMark = 0x66616b6570696e31u;
static void* marked(size_t size, uint64_t mark) {
  uint64_t* memory = (uint64_t*)aligned_alloc(256, (size + 511) / 256 * 256);
  memory[31] = mark;
  return memory + 32;
}
EXPORT CUresult cuMemAlloc(CUdeviceptr* address, size_t size) {
  FAIL_IF_ASKED();
  ++fake.memories;
  *address = (CUdeviceptr)(uintptr_t)marked(size, kDeviceMark);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemFree(CUdeviceptr address) {
  --fake.memories;
  free((uint64_t*)(uintptr_t)address - 32);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemHostAlloc(void** address, size_t size, unsigned int flags) {
  (void)flags;
  FAIL_IF_ASKED();
  ++fake.pinned;
  *address = marked(size, kPinnedMark);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemFreeHost(void* address) {
  --fake.pinned;
  free((uint64_t*)address - 32);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuPointerGetAttributes(unsigned int count, CUpointer_attribute* attributes,
                                       void** values, CUdeviceptr address) {
  FAIL_IF_ASKED();
  uint64_t mark = ((const uint64_t*)(uintptr_t)address)[-1];
  for (unsigned int i = 0; i < count; ++i) {
    if (attributes[i] == CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL) {
      *(int*)values[i] = 0;
    } else {
      *(unsigned int*)values[i] = mark == kDeviceMark   ? CU_MEMORYTYPE_DEVICE
                                  : mark == kPinnedMark ? CU_MEMORYTYPE_HOST
                                                        : 0;
    }
  }
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from, size_t size, CUstream stream) {
  (void)stream;
  FAIL_IF_ASKED();
  memcpy((void*)(uintptr_t)to, (const void*)(uintptr_t)from, size);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t size, CUstream stream) {
  (void)stream;
  memset((void*)(uintptr_t)to, value, size);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamCreate(CUstream* stream, unsigned int flags) {
  (void)flags;
  MAKE(streams, stream);
}
EXPORT CUresult cuStreamGetCtx(CUstream stream, CUcontext* context) {
  FAIL_IF_ASKED();
  // Stream 3 is of another context.
  *context = (CUcontext)(stream == (CUstream)3 ? (void*)&fake.devices + 1 : (void*)&fake);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamDestroy(CUstream stream) { DROP(streams, stream); }
EXPORT CUresult cuStreamSynchronize(CUstream stream) {
  (void)stream;
  FAIL_IF_ASKED();
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags) {
  (void)stream, (void)event, (void)flags;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuEventCreate(CUevent* event, unsigned int flags) {
  (void)flags;
  MAKE(events, event);
}
EXPORT CUresult cuEventDestroy(CUevent event) { DROP(events, event); }
EXPORT CUresult cuEventRecord(CUevent event, CUstream stream) {
  (void)event, (void)stream;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuEventSynchronize(CUevent event) {
  (void)event;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuEventElapsedTime(float* milliseconds, CUevent begin, CUevent end) {
  (void)begin, (void)end;
  *milliseconds = 0.0025f;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
  (void)stream, (void)mode;
  FAIL_IF_ASKED();
  fake.capturing = 1;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuStreamEndCapture(CUstream stream, CUgraph* graph) {
  (void)stream;
  fake.capturing = 0;
  MAKE(graphs, graph);
}
EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec* exec, CUgraph graph,
                                            unsigned long long flags) {
  (void)graph, (void)flags;
  MAKE(execs, exec);
}
EXPORT CUresult cuGraphDestroy(CUgraph graph) { DROP(graphs, graph); }
EXPORT CUresult cuGraphExecDestroy(CUgraphExec exec) { DROP(execs, exec); }
EXPORT CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  (void)exec, (void)stream;
  ++fake.launches;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphUpload(CUgraphExec exec, CUstream stream) {
  (void)exec, (void)stream;
  FAIL_IF_ASKED();
  return CUDA_SUCCESS;
}
EXPORT CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  (void)image;
  ++fake.loads;
  MAKE(modules, module);
}
EXPORT CUresult cuModuleUnload(CUmodule module) { DROP(modules, module); }
EXPORT CUresult cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
  (void)name;
  *function = (CUfunction)module;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
  (void)function, (void)attribute, (void)value;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuFuncGetAttribute(int* value, CUfunction_attribute attribute,
                                   CUfunction function) {
  (void)attribute, (void)function;
  *value = 0;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction function,
                                                            int threads, size_t memory) {
  (void)function, (void)threads, (void)memory;
  *blocks = 1;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** params,
                                 void** extra) {
  (void)config, (void)function, (void)params, (void)extra;
  ++fake.launches;
  return CUDA_SUCCESS;
}
#ifndef FAKE_IS_OLD
EXPORT CUresult cuTensorMapEncodeTiled(CUtensorMap* map, CUtensorMapDataType type, cuuint32_t rank,
                                       void* address, const cuuint64_t* dims,
                                       const cuuint64_t* strides, const cuuint32_t* box,
                                       const cuuint32_t* element_strides,
                                       CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                       CUtensorMapL2promotion promotion,
                                       CUtensorMapFloatOOBfill fill) {
  (void)type, (void)rank, (void)address, (void)dims, (void)strides, (void)box;
  (void)element_strides, (void)interleave, (void)swizzle, (void)promotion, (void)fill;
  memset(map, 0, sizeof(*map));
  return CUDA_SUCCESS;
}
#endif
