// SPDX-License-Identifier: Apache-2.0
//
// A libcuda.so.1 on host memory for tests of the device without one: every function of the driver's
// table, with objects that are counted and calls that can be made to fail. Streams run at once.
#include <cuda.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/plugins/cuda/fake_libcuda.h"

#define EXPORT __attribute__((visibility("default")))

static struct {
  int devices, version;
  const char* fails;  // name of the call that fails
  CUresult with;
  int contexts, memories, pinned, streams, events, modules, graphs, execs;
  int loads;  // modules ever loaded
  int launches;
  int capturing;
  const char* graph;  // what graphs of captures are, set by the test: see cuGraphGetRootNodes
  char nodes[16];     // the last one that was captured
  fake_cuda_fill_t fill;
  fake_cuda_launch_t last;
} fake = {.devices = 1, .version = 13000, .fails = "", .graph = ""};

EXPORT void fake_cuda_set(int devices, int version, const char* fails, int with);
EXPORT int fake_cuda_live(void);
EXPORT int fake_cuda_loads(void);
EXPORT int fake_cuda_launches(void);
EXPORT void fake_cuda_graph(const char* graph);
EXPORT const fake_cuda_launch_t* fake_cuda_last_launch(void);
EXPORT const fake_cuda_fill_t* fake_cuda_last_fill(void);
EXPORT const char* fake_cuda_nodes(void);

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
void fake_cuda_graph(const char* graph) { fake.graph = graph; }
const fake_cuda_launch_t* fake_cuda_last_launch(void) { return &fake.last; }
const fake_cuda_fill_t* fake_cuda_last_fill(void) { return &fake.fill; }
const char* fake_cuda_nodes(void) { return fake.nodes; }

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
  strncpy(fake.nodes, fake.graph, sizeof(fake.nodes) - 1);
  MAKE(graphs, graph);
}
EXPORT CUresult cuStreamIsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
  (void)stream;
  *status = fake.capturing ? CU_STREAM_CAPTURE_STATUS_ACTIVE : CU_STREAM_CAPTURE_STATUS_NONE;
  return CUDA_SUCCESS;
}
// Nodes are numbers from 1. A letter each: 'k', 'e' kernels, the second of which begins early; 'm'
// clears eight words to 0xabab, 'n' and 'b' clear rows and single bytes; 'f' is a second one behind
// the first; 'z' is the kernel that replaces an 'm'.
EXPORT CUresult cuGraphGetRootNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
  (void)graph;
  FAIL_IF_ASKED();
  if (nodes && *count) nodes[0] = (CUgraphNode)(uintptr_t)1;
  *count = fake.nodes[0] != '\0';
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphNodeGetType(CUgraphNode node, CUgraphNodeType* type) {
  *type = strchr("mnb", fake.nodes[(uintptr_t)node - 1]) ? CU_GRAPH_NODE_TYPE_MEMSET
                                                         : CU_GRAPH_NODE_TYPE_KERNEL;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphKernelNodeGetParams(CUgraphNode node, CUDA_KERNEL_NODE_PARAMS* params) {
  static int numbers[8] = {0, 10, 20, 30, 40, 50, 60, 70};
  static void* arguments[8];
  FAIL_IF_ASKED();
  uintptr_t at = (uintptr_t)node;
  arguments[at] = &numbers[at];
  memset(params, 0, sizeof(*params));
  // Of two kernels one is known by its name in a library only.
  if (at % 2) {
    params->func = (CUfunction)(100 + at);
  } else {
    params->kern = (CUkernel)(100 + at);
  }
  params->gridDimX = (unsigned int)at + 5;
  params->sharedMemBytes = (unsigned int)at + 7;
  params->kernelParams = &arguments[at];
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphKernelNodeGetAttribute(CUgraphNode node, CUkernelNodeAttrID id,
                                              CUkernelNodeAttrValue* value) {
  FAIL_IF_ASKED();
  // As a driver that does not know the newest ones.
  if (id == CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION) return CUDA_ERROR_INVALID_VALUE;
  memset(value, 0, sizeof(*value));
  if (id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION && (uintptr_t)node == 2) value->clusterDim.x = 2;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphNodeGetDependentNodes(CUgraphNode node, CUgraphNode* nodes,
                                             CUgraphEdgeData* edges, size_t* count) {
  FAIL_IF_ASKED();
  uintptr_t at = (uintptr_t)node;
  size_t given = 0;
  if (!nodes) {
    *count = fake.nodes[at] ? 1 + (fake.nodes[at + 1] == 'f') : 0;
    return CUDA_SUCCESS;
  }
  while (given < *count && fake.nodes[at + given] &&
         (given == 0 || fake.nodes[at + given] == 'f')) {
    nodes[given] = (CUgraphNode)(at + given + 1);
    if (edges && fake.nodes[at + given] == 'e') {
      edges[given].type = CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC;
      edges[given].from_port = CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC;
    }
    ++given;
  }
  *count = given;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphGetNodes(CUgraph graph, CUgraphNode* nodes, size_t* count) {
  (void)graph;
  FAIL_IF_ASKED();
  *count = strlen(fake.nodes);
  for (size_t i = 0; nodes && i < *count; ++i) nodes[i] = (CUgraphNode)(i + 1);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphNodeGetDependencies(CUgraphNode node, CUgraphNode* nodes,
                                           CUgraphEdgeData* edges, size_t* count) {
  (void)edges;
  FAIL_IF_ASKED();
  *count = (uintptr_t)node > 1;
  if (nodes && *count) nodes[0] = (CUgraphNode)((uintptr_t)node - 1);
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphMemsetNodeGetParams(CUgraphNode node, CUDA_MEMSET_NODE_PARAMS* params) {
  FAIL_IF_ASKED();
  char kind = fake.nodes[(uintptr_t)node - 1];
  memset(params, 0, sizeof(*params));
  params->dst = 4096;
  params->value = 0xabab;
  params->elementSize = 2;
  params->width = kind == 'b' ? 3 : 16;
  params->height = kind == 'n' ? 2 : 1;
  return CUDA_SUCCESS;
}
// Chains alone are kept: one node can be added, and then takes the place of one that goes.
static const CUgraphNode kAdded = (CUgraphNode)1000;
EXPORT CUresult cuGraphAddKernelNode(CUgraphNode* node, CUgraph graph, const CUgraphNode* before,
                                     size_t count, const CUDA_KERNEL_NODE_PARAMS* params) {
  (void)graph;
  FAIL_IF_ASKED();
  fake.fill.before = count ? (int)(uintptr_t)before[0] : 0;
  fake.fill.after = 0;
  fake.fill.function = (uintptr_t)params->func;
  fake.fill.threads = params->gridDimX * params->blockDimX;
  memcpy(&fake.fill.at, params->kernelParams[0], sizeof(fake.fill.at));
  memcpy(&fake.fill.count, params->kernelParams[1], sizeof(fake.fill.count));
  memcpy(&fake.fill.value, params->kernelParams[2], sizeof(fake.fill.value));
  *node = kAdded;
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphAddDependencies(CUgraph graph, const CUgraphNode* from,
                                       const CUgraphNode* to, const CUgraphEdgeData* edges,
                                       size_t count) {
  (void)graph, (void)edges;
  FAIL_IF_ASKED();
  if (count != 1 || from[0] != kAdded) return CUDA_ERROR_INVALID_VALUE;
  fake.fill.after = (int)(uintptr_t)to[0];
  return CUDA_SUCCESS;
}
EXPORT CUresult cuGraphDestroyNode(CUgraphNode node) {
  if (node != kAdded) fake.nodes[(uintptr_t)node - 1] = 'z';
  return CUDA_SUCCESS;
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
  FAIL_IF_ASKED();
  (void)extra;
  if (fake.capturing) return CUDA_SUCCESS;
  ++fake.launches;
  memset(&fake.last, 0, sizeof(fake.last));
  fake.last.function = (uintptr_t)function;
  fake.last.grid = config->gridDimX;
  fake.last.shared_bytes = config->sharedMemBytes;
  fake.last.stream = config->hStream;
  fake.last.argument = params ? *(const int*)params[0] : 0;
  for (unsigned int i = 0; i < config->numAttrs; ++i) {
    const CUlaunchAttribute* attribute = &config->attrs[i];
    if (attribute->id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION) {
      fake.last.cluster = attribute->value.clusterDim.x;
    }
    fake.last.is_early |= attribute->id == CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
  }
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
