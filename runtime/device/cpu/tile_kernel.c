// SPDX-License-Identifier: Apache-2.0
//
// Load, prepare and run of "cpu.tile". See tile_kernel.h.
// Programs come from plans and are verified on loading; a run allocates nothing.

#include "runtime/device/cpu/tile_kernel.h"

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "runtime/device/cpu/tile_bind.h"

typedef struct loaded_t {
  tvi_arena_t arena;
  tvi_tile_program_t* program;
} loaded_t;

static trivet_status_t load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* request,
                            void** out_loaded) {
  (void)kernel;
  loaded_t* loaded = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*request->allocator, sizeof(*loaded), &loaded));
  tvi_arena_init(&loaded->arena, *request->allocator, 0);
  trivet_status_t status =
      tvi_tile_program_decode(request->blob, request->blob_size, &loaded->arena, &loaded->program);
  if (status) {
    tvi_arena_deinit(&loaded->arena);
    tvi_free(*request->allocator, loaded, sizeof(*loaded));
    return status;
  }
  *out_loaded = loaded;
  return TRIVET_OK;
}

static void unload(const trivet_kernel_t* kernel, void* loaded_pointer,
                   const trivet_allocator_t* allocator) {
  (void)kernel;
  loaded_t* loaded = loaded_pointer;
  if (!loaded) return;
  tvi_arena_deinit(&loaded->arena);
  tvi_free(*allocator, loaded, sizeof(*loaded));
}

static trivet_status_t prepare(const trivet_kernel_t* kernel, void* loaded_pointer,
                               const trivet_kernel_prepare_t* request, uint64_t* out_workspace_size,
                               void** out_prepared) {
  (void)kernel;
  const loaded_t* loaded = loaded_pointer;
  tvi_tile_bind_options_t options = {.isa = tvi_tile_isa_detect(), .thread_count = 1};
  if (request->executor)
    options.thread_count = request->executor->api->thread_count(request->executor);
  tvi_tile_bound_t* bound = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_tile_bind(loaded->program, request->operands, request->operand_count,
                                       request->parameters, request->parameter_count, &options,
                                       *request->allocator, out_workspace_size, &bound));
  *out_prepared = bound;
  return TRIVET_OK;
}

static void release(const trivet_kernel_t* kernel, void* prepared,
                    const trivet_allocator_t* allocator) {
  (void)kernel;
  (void)allocator;
  tvi_tile_bound_release(prepared);
}

static trivet_status_t run(const trivet_kernel_t* kernel, void* prepared,
                           const trivet_kernel_launch_t* launch) {
  (void)kernel;
  return tvi_tile_run(prepared, launch->addresses, launch->workspace, launch->executor);
}

const trivet_kernel_t tvi_tile_kernel_definition = {
    .header = {.struct_size = sizeof(trivet_kernel_t), .struct_type = TRIVET_STRUCT_KERNEL},
    .name = "cpu.tile",
    .target = "cpu",
    .summary = "vectorised interpreter of tile programs: everything that kernel IR can say",
    .version = TVI_TILE_VERSION,
    .halves = TRIVET_HALF_RUN,
    .load = load,
    .unload = unload,
    .prepare = prepare,
    .release = release,
    .run = run,
};
