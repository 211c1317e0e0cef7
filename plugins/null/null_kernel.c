// SPDX-License-Identifier: Apache-2.0
//
// Kernel "null.kernel": runs every kernel-IR program on the null device, through the tile
// interpreter. Load, prepare and run are what a kernel of a real target does: constants and
// operands are addresses of the device, and run queues a launch.
#include <stddef.h>

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "plugins/cpu/tile_tactic.h"
#include "plugins/null/null_device.h"
#include "runtime/device/cpu/tile_program.h"
#include "runtime/device/device.h"

// The arguments of one launch. Like those of a real one, they are copied when it is queued.
typedef struct launch_s {
  void* tile;  // prepared
  void* workspace;
  void* addresses[];
} launch_t;

typedef struct prepared_s {
  uint64_t operand_count;
  launch_t launch;  // filled anew by each run
} prepared_t;

static size_t launch_size(uint64_t operand_count) {
  return sizeof(launch_t) + (size_t)operand_count * sizeof(void*);
}

static size_t prepared_size(uint64_t operand_count) {
  return offsetof(prepared_t, launch) + launch_size(operand_count);
}

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
  trivet_status_t status = tvi_alloc_zeroed(allocator, prepared_size(count), &prepared);
  if (status == NULL) {
    prepared->operand_count = count;
    status = tile->prepare(tile, loaded, &own, out_workspace_size, &prepared->launch.tile);
    if (status != NULL) tvi_free(allocator, prepared, prepared_size(count));
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
  tile->release(tile, prepared->launch.tile, allocator);
  tvi_free(*allocator, prepared, prepared_size(prepared->operand_count));
}

static trivet_status_t run_launch(const void* arguments) {
  const launch_t* launch = arguments;
  const trivet_kernel_t* tile = tvi_device_tile_kernel();
  trivet_kernel_launch_t own = {.addresses = (void* const*)launch->addresses,
                                .workspace = launch->workspace};
  return tile->run(tile, launch->tile, &own);
}

static trivet_status_t run(const trivet_kernel_t* kernel, void* prepared_pointer,
                           const trivet_kernel_launch_t* request) {
  (void)kernel;
  prepared_t* prepared = prepared_pointer;
  launch_t* launch = &prepared->launch;
  // A launch that may begin before the one before it ends must not pass what waits between them.
  if (request->previous != NULL && null_ends_in_wait(request->stream)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "a wait lies behind the launch that is said to be last");
  }
  launch->workspace = null_host_address(request->workspace);
  for (uint64_t i = 0; i < prepared->operand_count; ++i) {
    // An operand that nobody brought to the device is what this target is there to find.
    uint32_t where = TRIVET_MEMORY_HOST;
    TRIVET_RETURN_IF_ERROR(null_device.locate(&null_device, NULL, request->addresses[i], &where));
    if (request->addresses[i] != NULL && where != TRIVET_MEMORY_DEVICE) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "operand %llu is on the host", (unsigned long long)i);
    }
    launch->addresses[i] = null_host_address(request->addresses[i]);
  }
  return null_queue(request->stream, run_launch, launch, launch_size(prepared->operand_count));
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
