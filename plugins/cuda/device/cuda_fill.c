// SPDX-License-Identifier: Apache-2.0
//
// Kernels in the place of memsets in captured graphs. Libraries clear counters and sums with
// memsets. A graph that is one chain of kernels is launched in about 2 us whatever its length; with
// ten memsets among them it took 19 us on an H100, and a call that clears first could not be
// recorded (cuda_record.c).
#include "core/base/allocator.h"
#include "core/base/status.h"
#include "plugins/cuda/device/cuda_state.h"

#define BLOCK 256u
#define MAX_BLOCKS 1024u
#define MAX_EDGES 8u

// This half of the plugin has no compiler at hand: the driver's translates it when it is needed
// first. at[i] = value for all i < count.
static const char kFill[] =
    ".version 7.0\n"
    ".target sm_80\n"
    ".address_size 64\n"
    ".visible .entry trivet_fill(.param .u64 at, .param .u64 count, .param .u32 value)\n"
    "{\n"
    "  .reg .pred %done;\n"
    "  .reg .b32 %value, %block, %threads, %thread, %blocks;\n"
    "  .reg .b64 %at, %count, %i, %step, %word;\n"
    "  ld.param.u64 %at, [at];\n"
    "  cvta.to.global.u64 %at, %at;\n"
    "  ld.param.u64 %count, [count];\n"
    "  ld.param.u32 %value, [value];\n"
    "  mov.u32 %block, %ctaid.x;\n"
    "  mov.u32 %blocks, %nctaid.x;\n"
    "  mov.u32 %threads, %ntid.x;\n"
    "  mov.u32 %thread, %tid.x;\n"
    "  mul.wide.u32 %i, %block, %threads;\n"
    "  cvt.u64.u32 %step, %thread;\n"
    "  add.u64 %i, %i, %step;\n"
    "  mul.wide.u32 %step, %blocks, %threads;\n"
    "NEXT:\n"
    "  setp.ge.u64 %done, %i, %count;\n"
    "  @%done bra END;\n"
    "  shl.b64 %word, %i, 2;\n"
    "  add.u64 %word, %at, %word;\n"
    "  st.global.u32 [%word], %value;\n"
    "  add.u64 %i, %i, %step;\n"
    "  bra NEXT;\n"
    "END:\n"
    "  ret;\n"
    "}\n";

typedef struct fill_s {
  CUmodule module;  // NULL: the driver cannot translate
  CUfunction function;
} fill_t;

static trivet_status_t create(tvi_cuda_device_t* device, void** out_object) {
  fill_t* fill;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*device->allocator, sizeof(*fill), &fill));
  // It is not tried again where it fails: memsets do as well.
  if (device->driver->cuModuleLoadData(&fill->module, kFill) != CUDA_SUCCESS) {
    fill->module = NULL;
  } else if (device->driver->cuModuleGetFunction(&fill->function, fill->module, "trivet_fill") !=
             CUDA_SUCCESS) {
    fill->function = NULL;
  }
  *out_object = fill;
  return TRIVET_OK;
}

static void destroy(tvi_cuda_device_t* device, void* object) {
  fill_t* fill = (fill_t*)object;
  if (fill->module) (void)device->driver->cuModuleUnload(fill->module);
  tvi_free(*device->allocator, fill, sizeof(*fill));
}

// What stands before a node or behind it; false: more than fits, or edges of a kind of their own.
static bool read_edges(CUresult (*neighbours)(CUgraphNode, CUgraphNode*, CUgraphEdgeData*, size_t*),
                       CUgraphNode node, CUgraphNode* nodes, size_t* out_count) {
  return neighbours(node, NULL, NULL, out_count) == CUDA_SUCCESS && *out_count <= MAX_EDGES &&
         (*out_count == 0 || neighbours(node, nodes, NULL, out_count) == CUDA_SUCCESS);
}

// The words that a memset writes; false: it writes no whole words in a row.
static bool read_words(const CUDA_MEMSET_NODE_PARAMS* from, uint64_t* out_count,
                       uint32_t* out_value) {
  uint64_t size = (uint64_t)from->width * from->elementSize;
  if (from->height != 1 || !size || size % 4 || from->dst % 4) return false;
  *out_count = size / 4;
  *out_value = from->elementSize == 1   ? (from->value & 0xffu) * 0x01010101u
               : from->elementSize == 2 ? (from->value & 0xffffu) * 0x00010001u
                                        : from->value;
  return true;
}

static CUfunction fill_function(cuda_state_t* state) {
  void* object = NULL;
  trivet_status_t status = state->device.resource(&state->device, "fill", create, destroy, &object);
  CUfunction function = status ? NULL : ((fill_t*)object)->function;
  trivet_status_free(status);
  return function;
}

static void replace(cuda_state_t* state, CUgraph graph, CUgraphNode node) {
  const tvi_cuda_driver_t* driver = &state->driver;
  CUDA_MEMSET_NODE_PARAMS from;
  CUgraphNode before[MAX_EDGES], after[MAX_EDGES], self[MAX_EDGES], kernel = NULL;
  size_t before_count = 0, after_count = 0;
  uint64_t count = 0;
  uint32_t value = 0;
  if (driver->cuGraphMemsetNodeGetParams(node, &from) != CUDA_SUCCESS ||
      !read_words(&from, &count, &value) ||
      !read_edges(driver->cuGraphNodeGetDependencies, node, before, &before_count) ||
      !read_edges(driver->cuGraphNodeGetDependentNodes, node, after, &after_count)) {
    return;
  }
  CUfunction function = fill_function(state);
  if (!function) return;
  uint64_t at = from.dst, blocks = (count + BLOCK - 1) / BLOCK;
  void* arguments[] = {&at, &count, &value};
  CUDA_KERNEL_NODE_PARAMS params = {
      .func = function,
      .gridDimX = (unsigned int)(blocks < MAX_BLOCKS ? blocks : MAX_BLOCKS),
      .gridDimY = 1,
      .gridDimZ = 1,
      .blockDimX = BLOCK,
      .blockDimY = 1,
      .blockDimZ = 1,
      .kernelParams = arguments,
  };
  if (driver->cuGraphAddKernelNode(&kernel, graph, before, before_count, &params) != CUDA_SUCCESS) {
    return;
  }
  for (size_t i = 0; i < after_count; ++i) self[i] = kernel;
  bool is_linked = after_count == 0 || driver->cuGraphAddDependencies(graph, self, after, NULL,
                                                                      after_count) == CUDA_SUCCESS;
  (void)driver->cuGraphDestroyNode(is_linked ? node : kernel);
}

static bool is_memset(const tvi_cuda_driver_t* driver, CUgraphNode node) {
  CUgraphNodeType type;
  return driver->cuGraphNodeGetType(node, &type) == CUDA_SUCCESS &&
         type == CU_GRAPH_NODE_TYPE_MEMSET;
}

void cuda_fill_by_kernels(cuda_state_t* state, CUgraph graph) {
  const tvi_cuda_driver_t* driver = &state->driver;
  size_t count = 0, room;
  CUgraphNode* nodes = NULL;
#define IS_MISSING(name) || driver->name == NULL
  if (false TVI_CUDA_DRIVER_LATER_FUNCTIONS(IS_MISSING)) return;
#undef IS_MISSING
  if (driver->cuGraphGetNodes(graph, NULL, &count) != CUDA_SUCCESS || !count) return;
  room = count;
  trivet_status_t status = tvi_alloc_array(state->allocator, room, sizeof(*nodes), &nodes);
  if (!status && driver->cuGraphGetNodes(graph, nodes, &count) == CUDA_SUCCESS) {
    for (size_t i = 0; i < count; ++i) {
      if (is_memset(driver, nodes[i])) replace(state, graph, nodes[i]);
    }
  }
  trivet_status_free(status);
  tvi_free_array(state->allocator, nodes, room, sizeof(*nodes));
}
