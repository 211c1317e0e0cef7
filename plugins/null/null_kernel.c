// SPDX-License-Identifier: Apache-2.0
//
// Kernel "null.kernel": runs every kernel-IR program on the null device, through the tile
// interpreter. Load, prepare and run are what a kernel of a real target does: constants and
// operands are addresses of the device, and run queues a launch.
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "plugins/cpu/tile_tactic.h"
#include "plugins/null/null_device.h"
#include "runtime/device/cpu/tile_program.h"
#include "runtime/device/device.h"

typedef struct prepared_s {
  trivet_allocator_t allocator;
  void* tile;
  uint64_t operand_count;
} prepared_t;

static trivet_status_t load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* request,
                            void** out_loaded) {
  (void)kernel;
  if (request->device == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "null.kernel is loaded without a device");
  }
  const trivet_kernel_t* tile = tvi_device_tile_kernel();
  return tile->load(tile, request, out_loaded);
}

static void unload(const trivet_kernel_t* kernel, void* loaded,
                   const trivet_allocator_t* allocator) {
  (void)kernel;
  const trivet_kernel_t* tile = tvi_device_tile_kernel();
  tile->unload(tile, loaded, allocator);
}

static trivet_status_t prepare(const trivet_kernel_t* kernel, void* loaded,
                               const trivet_kernel_prepare_t* request, uint64_t* out_workspace_size,
                               void** out_prepared) {
  (void)kernel;
  const trivet_kernel_t* tile = tvi_device_tile_kernel();
  trivet_allocator_t allocator = *request->allocator;
  trivet_operand_t* operands = NULL;
  prepared_t* prepared = NULL;
  size_t count = request->operand_count;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_array(allocator, count + 1, sizeof(*operands), &operands));
  for (size_t i = 0; i < count; ++i) {
    operands[i] = request->operands[i];
    if (operands[i].constant != NULL)
      operands[i].constant = null_host_address(operands[i].constant);
  }
  trivet_kernel_prepare_t own = *request;
  own.operands = operands;
  own.executor = NULL;
  trivet_status_t status = tvi_alloc_zeroed(allocator, sizeof(*prepared), &prepared);
  if (status == NULL) {
    prepared->allocator = allocator;
    prepared->operand_count = count;
    status = tile->prepare(tile, loaded, &own, out_workspace_size, &prepared->tile);
    if (status != NULL) tvi_free(allocator, prepared, sizeof(*prepared));
  }
  tvi_free_array(allocator, operands, count + 1, sizeof(*operands));
  if (status == NULL) *out_prepared = prepared;
  return status;
}

static void release(const trivet_kernel_t* kernel, void* prepared_pointer,
                    const trivet_allocator_t* allocator) {
  (void)kernel;
  prepared_t* prepared = prepared_pointer;
  if (prepared == NULL) return;
  const trivet_kernel_t* tile = tvi_device_tile_kernel();
  tile->release(tile, prepared->tile, allocator);
  tvi_free(*allocator, prepared, sizeof(*prepared));
}

// One launch as it is queued. Like the arguments of a kernel launch, it is a copy.
typedef struct launch_s {
  const prepared_t* prepared;
  void* workspace;
  void* addresses[];
} launch_t;

static size_t launch_size(const prepared_t* prepared) {
  return sizeof(launch_t) + prepared->operand_count * sizeof(void*);
}

static trivet_status_t run_launch(void* self) {
  const launch_t* launch = self;
  const trivet_kernel_t* tile = tvi_device_tile_kernel();
  trivet_kernel_launch_t own = {launch->addresses, launch->workspace, NULL, NULL};
  return tile->run(tile, launch->prepared->tile, &own);
}

// The size is kept beside it: a graph may outlive what was prepared.
static void destroy_launch(void* self) {
  trivet_allocator_t system = trivet_allocator_system();
  size_t* block = (size_t*)self - 2;
  tvi_free_aligned(system, block, block[0], 16);
}

static trivet_status_t run(const trivet_kernel_t* kernel, void* prepared_pointer,
                           const trivet_kernel_launch_t* launch) {
  (void)kernel;
  const prepared_t* prepared = prepared_pointer;
  size_t* block;
  size_t size = launch_size(prepared) + 2 * sizeof(size_t);
  TRIVET_RETURN_IF_ERROR(tvi_alloc_aligned(trivet_allocator_system(), size, 16, &block));
  block[0] = size;
  launch_t* made = (launch_t*)(block + 2);
  made->prepared = prepared;
  made->workspace = null_host_address(launch->workspace);
  for (uint64_t i = 0; i < prepared->operand_count; ++i) {
    // An operand that nobody brought to the device is what this target is there to find.
    uint32_t where = TRIVET_MEMORY_HOST;
    trivet_status_t status = null_device.locate(&null_device, NULL, launch->addresses[i], &where);
    if (status == NULL && launch->addresses[i] != NULL && where != TRIVET_MEMORY_DEVICE) {
      status =
          TRIVET_STATUS(INVALID_ARGUMENT, "operand %llu is on the host", (unsigned long long)i);
    }
    if (status != NULL) {
      destroy_launch(made);
      return status;
    }
    made->addresses[i] = null_host_address(launch->addresses[i]);
  }
  return null_queue(launch->stream, (null_command_t){run_launch, destroy_launch, made});
}

const trivet_kernel_t null_kernel = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "null.kernel",
    .target = "null",
    .summary = "runs kernel IR on the null device, with the tile interpreter",
    .version = TVI_TILE_VERSION,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .flags = TRIVET_KERNEL_GENERAL,
    .propose = tvi_tile_propose,
    .emit = tvi_tile_emit,
    .load = load,
    .unload = unload,
    .prepare = prepare,
    .release = release,
    .run = run,
};

// A second way to do the same, for choices by time: it costs what it says, twice the work.
static trivet_status_t run_twice(const trivet_kernel_t* kernel, void* prepared,
                                 const trivet_kernel_launch_t* launch) {
  TRIVET_RETURN_IF_ERROR(run(kernel, prepared, launch));
  return run(kernel, prepared, launch);
}

static const trivet_kernel_t null_twice = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "null.twice",
    .target = "null",
    .summary = "the same two times over, for choices by time",
    .version = TVI_TILE_VERSION,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .propose = tvi_tile_propose,
    .emit = tvi_tile_emit,
    .load = load,
    .unload = unload,
    .prepare = prepare,
    .release = release,
    .run = run_twice,
};

TRIVET_PLUGIN_HALVES("null", "0.1", "a target for tests, and to copy from",
                     TRIVET_HALF_BUILD | TRIVET_HALF_RUN, &null_device, &null_kernel, &null_twice)
