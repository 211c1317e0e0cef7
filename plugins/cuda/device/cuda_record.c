// SPDX-License-Identifier: Apache-2.0
//
// What calls of libraries launch, so that it can be launched without them: a call whose addresses
// come again and again is captured on a stream of its own, the kernels are read from the graph, and
// from then on they are launched as they are. The graph owns their arguments. What is not one chain
// of a few kernels stays with the library.
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/checked.h"
#include "core/base/status.h"
#include "plugins/cuda/device/cuda_state.h"

// Buffers in two halves are common; who changes addresses with each run gains nothing by more.
#define SETS 2u
#define MAX_KERNELS 4u
#define MAX_ATTRIBUTES 5u
// A capture costs as much as some calls: addresses have to come this often before it is worth it.
#define RUNS_BEFORE 16u

typedef struct kernel_s {
  CUlaunchConfig config;  // without stream and attributes
  CUlaunchAttribute attributes[MAX_ATTRIBUTES];
  CUfunction function;
  void** parameters;
  void** extra;
} kernel_t;

typedef struct set_s {
  const void** addresses;  // of operands, then of the workspace
  uint32_t run_count;      // up to RUNS_BEFORE; 0: the set is free
  uint32_t kernel_count;
  CUgraph graph;  // NULL: nothing is recorded
  kernel_t kernels[MAX_KERNELS];
} set_t;

struct tvi_cuda_recorder_s {
  tvi_cuda_device_t* device;
  trivet_allocator_t allocator;
  uint64_t size;  // of all this
  uint64_t operand_count;
  uint32_t last;   // the set that was used last
  bool is_closed;  // what is called is nothing that can be recorded
  set_t sets[SETS];
  const void* addresses[];
};

static trivet_status_t create(tvi_cuda_device_t* device, trivet_allocator_t allocator,
                              uint64_t operand_count, tvi_cuda_recorder_t** out_recorder) {
  tvi_cuda_recorder_t* r;
  size_t size = 0;
  if (!tvi_checked_mul_size((size_t)operand_count + 1, SETS * sizeof(void*), &size) ||
      !tvi_checked_add_size(size, sizeof(*r), &size)) {
    return TRIVET_STATUS(OUT_OF_MEMORY, "a step of %llu operands",
                         (unsigned long long)operand_count);
  }
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, size, &r));
  r->device = device;
  r->allocator = allocator;
  r->size = size;
  r->operand_count = operand_count;
  r->is_closed = device->driver->cuGraphNodeGetDependentNodes == NULL;
  for (uint32_t i = 0; i < SETS; ++i) {
    r->sets[i].addresses = r->addresses + i * (operand_count + 1);
  }
  *out_recorder = r;
  return TRIVET_OK;
}

static void clear(tvi_cuda_recorder_t* r, set_t* set) {
  if (set->graph) (void)r->device->driver->cuGraphDestroy(set->graph);
  set->graph = NULL;
  set->run_count = set->kernel_count = 0;
}

static void destroy(tvi_cuda_recorder_t* r) {
  if (!r) return;
  for (uint32_t i = 0; i < SETS; ++i) clear(r, &r->sets[i]);
  tvi_free(r->allocator, r, (size_t)r->size);
}

static bool is_of(const tvi_cuda_recorder_t* r, const set_t* set,
                  const trivet_kernel_launch_t* launch) {
  for (uint64_t i = 0; i < r->operand_count; ++i) {
    if (set->addresses[i] != launch->addresses[i]) return false;
  }
  return set->run_count && set->addresses[r->operand_count] == launch->workspace;
}

// The set of the launch's addresses: one that is there, or the one that was not used last.
static set_t* find(tvi_cuda_recorder_t* r, const trivet_kernel_launch_t* launch) {
  for (uint32_t i = 0; i < SETS; ++i) {
    uint32_t at = (r->last + i) % SETS;
    if (!is_of(r, &r->sets[at], launch)) continue;
    r->last = at;
    return &r->sets[at];
  }
  r->last = (r->last + 1) % SETS;
  set_t* set = &r->sets[r->last];
  clear(r, set);
  for (uint64_t i = 0; i < r->operand_count; ++i) set->addresses[i] = launch->addresses[i];
  set->addresses[r->operand_count] = launch->workspace;
  return set;
}

static void add_attribute(kernel_t* kernel, CUlaunchAttributeID id,
                          const CUlaunchAttributeValue* value) {
  CUlaunchAttribute* attribute = &kernel->attributes[kernel->config.numAttrs++];
  attribute->id = id;
  attribute->value = *value;
}

// What a launch was told besides its grid. The driver has to know the first two, without which a
// kernel would not be the same; the others are wishes, newer than some drivers. Priorities are the
// stream's.
static bool read_attributes(const tvi_cuda_driver_t* driver, CUgraphNode node, kernel_t* kernel) {
  static const CUlaunchAttributeID ids[] = {
      CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION,
      CU_LAUNCH_ATTRIBUTE_COOPERATIVE,
      CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE,
      CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION,
  };
  for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); ++i) {
    CUlaunchAttributeValue value;
    memset(&value, 0, sizeof(value));
    if (driver->cuGraphKernelNodeGetAttribute(node, ids[i], &value) != CUDA_SUCCESS) {
      if (i < 2) return false;
      continue;
    }
    // The first word of each: nothing was asked for where it is 0.
    if (value.clusterDim.x) add_attribute(kernel, ids[i], &value);
  }
  return true;
}

static bool read_kernel(const tvi_cuda_driver_t* driver, CUgraphNode node, bool is_early,
                        kernel_t* kernel) {
  CUgraphNodeType type;
  CUDA_KERNEL_NODE_PARAMS from;
  memset(&from, 0, sizeof(from));
  memset(kernel, 0, sizeof(*kernel));
  if (driver->cuGraphNodeGetType(node, &type) != CUDA_SUCCESS ||
      type != CU_GRAPH_NODE_TYPE_KERNEL ||
      driver->cuGraphKernelNodeGetParams(node, &from) != CUDA_SUCCESS) {
    return false;
  }
  // Kernels of libraries that no context was asked for are launched by the same name.
  kernel->function = from.func ? from.func : (CUfunction)from.kern;
  kernel->parameters = from.kernelParams;
  kernel->extra = from.extra;
  kernel->config.gridDimX = from.gridDimX;
  kernel->config.gridDimY = from.gridDimY;
  kernel->config.gridDimZ = from.gridDimZ;
  kernel->config.blockDimX = from.blockDimX;
  kernel->config.blockDimY = from.blockDimY;
  kernel->config.blockDimZ = from.blockDimZ;
  kernel->config.sharedMemBytes = from.sharedMemBytes;
  if (!kernel->function || !read_attributes(driver, node, kernel)) return false;
  if (is_early) {
    CUlaunchAttributeValue value;
    memset(&value, 0, sizeof(value));
    value.programmaticStreamSerializationAllowed = 1;
    add_attribute(kernel, CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION, &value);
  }
  return true;
}

// False: the graph of the set is no chain of kernels.
static bool read_graph(const tvi_cuda_driver_t* driver, set_t* set) {
  CUgraphNode node = NULL;
  size_t count = 0;
  if (driver->cuGraphGetRootNodes(set->graph, NULL, &count) != CUDA_SUCCESS || count != 1 ||
      driver->cuGraphGetRootNodes(set->graph, &node, &count) != CUDA_SUCCESS) {
    return false;
  }
  bool is_early = false;
  while (count) {
    if (set->kernel_count == MAX_KERNELS ||
        !read_kernel(driver, node, is_early, &set->kernels[set->kernel_count])) {
      return false;
    }
    ++set->kernel_count;
    CUgraphNode next[2] = {NULL, NULL};
    CUgraphEdgeData edges[2];
    memset(edges, 0, sizeof(edges));
    count = 2;
    if (driver->cuGraphNodeGetDependentNodes(node, next, edges, &count) != CUDA_SUCCESS ||
        count > 1) {
      return false;
    }
    node = next[0];
    is_early = edges[0].type == CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC &&
               edges[0].from_port == CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC;
  }
  return true;
}

static CUresult capture(tvi_cuda_recorder_t* r, const trivet_kernel_launch_t* launch,
                        CUstream stream, tvi_cuda_call_t call, void* self, CUgraph* out_graph) {
  const tvi_cuda_driver_t* driver = r->device->driver;
  CUresult result = driver->cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_RELAXED);
  if (result != CUDA_SUCCESS) return result;
  trivet_kernel_launch_t other = *launch;
  other.stream = stream;
  trivet_status_t status = call(self, &other);
  result = driver->cuStreamEndCapture(stream, out_graph);
  if (status && result == CUDA_SUCCESS) result = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  // The call without a capture has its errors told.
  trivet_status_free(status);
  if (result == CUDA_SUCCESS) cuda_fill_by_kernels((cuda_state_t*)r->device, *out_graph);
  return result;
}

// What does not work closes the recorder: no error, as the library is there still.
static void record(tvi_cuda_recorder_t* r, set_t* set, const trivet_kernel_launch_t* launch,
                   tvi_cuda_call_t call, void* self) {
  const tvi_cuda_driver_t* driver = r->device->driver;
  CUstreamCaptureStatus state = CU_STREAM_CAPTURE_STATUS_ACTIVE;
  if (driver->cuStreamIsCapturing((CUstream)launch->stream, &state) != CUDA_SUCCESS ||
      state != CU_STREAM_CAPTURE_STATUS_NONE) {
    return;
  }
  CUstream stream = NULL;
  r->is_closed = driver->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING) != CUDA_SUCCESS;
  if (r->is_closed) return;
  r->is_closed = capture(r, launch, stream, call, self, &set->graph) != CUDA_SUCCESS ||
                 !read_graph(driver, set);
  (void)driver->cuStreamDestroy(stream);
  if (r->is_closed) clear(r, set);
}

static trivet_status_t run(tvi_cuda_recorder_t* r, const trivet_kernel_launch_t* launch,
                           tvi_cuda_call_t call, void* self) {
  const tvi_cuda_device_t* device = r->device;
  if (r->is_closed) return call(self, launch);
  set_t* set = find(r, launch);
  if (!set->graph) {
    if (set->run_count < RUNS_BEFORE) {
      ++set->run_count;
      return call(self, launch);
    }
    record(r, set, launch, call, self);
    if (!set->graph) return call(self, launch);
  }
  for (uint32_t i = 0; i < set->kernel_count; ++i) {
    kernel_t* kernel = &set->kernels[i];
    kernel->config.hStream = (CUstream)launch->stream;
    kernel->config.attrs = kernel->attributes;
    TVI_CUDA_RETURN_IF_ERROR(device, cuLaunchKernelEx(&kernel->config, kernel->function,
                                                      kernel->parameters, kernel->extra));
  }
  return TRIVET_OK;
}

void cuda_record_init(cuda_state_t* state) {
  state->device.recorder_create = create;
  state->device.recorder_run = run;
  state->device.recorder_destroy = destroy;
}
