// SPDX-License-Identifier: Apache-2.0
//
// Loads, prepares and runs steps of every kind: load checks the blob; prepare takes the plan from
// it where the shapes are those that it was built for, and builds one on the device otherwise; run
// gives addresses and executes.
#include "plugins/cuda_dnn/dnn_step.h"

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "plugins/cuda_dnn/dnn_kind.h"

struct dnn_step_s {
  const dnn_kind_t* kind;
  const uint8_t* plan;  // its text, of the engine
  tvi_cuda_device_t* cuda;
  dnn_device_t* device;
  // The problem follows.
};

static uint64_t step_size(const dnn_kind_t* kind) {
  return sizeof(dnn_step_t) + kind->problem_size;
}

static trivet_status_t set_up(dnn_step_t* step, const trivet_kernel_load_t* load) {
  const uint64_t size = step->kind->problem_size;
  if (load->blob_size >= size) memcpy(step + 1, load->blob, (size_t)size);
  TRIVET_RETURN_IF_ERROR(step->kind->verify(step + 1, load->blob_size));
  step->plan = load->blob + size;
  step->cuda = (tvi_cuda_device_t*)load->device;
  return dnn_device_get(step->cuda, &step->device);
}

trivet_status_t dnn_step_load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* load,
                              void** out_loaded) {
  const dnn_kind_t* kind = (const dnn_kind_t*)kernel->self;
  dnn_step_t* step;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*load->allocator, (size_t)step_size(kind), &step));
  step->kind = kind;
  trivet_status_t status = set_up(step, load);
  if (status) {
    dnn_step_unload(kernel, step, load->allocator);
    return status;
  }
  *out_loaded = step;
  return TRIVET_OK;
}

void dnn_step_unload(const trivet_kernel_t* kernel, void* loaded,
                     const trivet_allocator_t* allocator) {
  tvi_free(*allocator, loaded, (size_t)step_size((const dnn_kind_t*)kernel->self));
}

trivet_status_t dnn_step_find_plan(const dnn_step_t* step, const dnn_graph_t* graph,
                                   trivet_allocator_t allocator, dnn_launch_t* launch) {
  const dnn_stored_plan_t* stored = dnn_stored_plan(step + 1, step->kind->problem_size);
  if (stored->size && graph->key[0] == stored->key[0] && graph->key[1] == stored->key[1]) {
    return dnn_plan_get(step->cuda, step->device, step->plan, stored->size, &launch->plan);
  }
  char* text = NULL;
  uint64_t size = 0;
  dnn_device_choice_t device = {NULL, step->device->handle};
  TRIVET_RETURN_IF_ERROR(
      dnn_graph_plan(&step->device->library, graph, &device, allocator, &text, &size));
  trivet_status_t status = dnn_plan_get(step->cuda, step->device, text, size, &launch->plan);
  tvi_free(allocator, text, (size_t)size);
  return status;
}

trivet_status_t dnn_step_prepare(const trivet_kernel_t* kernel, void* loaded,
                                 const trivet_kernel_prepare_t* prepare,
                                 uint64_t* out_workspace_size, void** out_prepared) {
  const dnn_step_t* step = (const dnn_step_t*)loaded;
  dnn_launch_t* launch;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*prepare->allocator, sizeof(*launch), &launch));
  launch->cuda = step->cuda;
  launch->device = step->device;
  trivet_status_t status = step->kind->prepare(step, step + 1, prepare, launch);
  if (!status) {
    status = step->cuda->recorder_create(step->cuda, *prepare->allocator, prepare->operand_count,
                                         &launch->recorder);
  }
  if (status) {
    dnn_step_release(kernel, launch, prepare->allocator);
    return status;
  }
  *out_workspace_size = dnn_launch_workspace(launch);
  *out_prepared = launch;
  return TRIVET_OK;
}

void dnn_step_release(const trivet_kernel_t* kernel, void* prepared,
                      const trivet_allocator_t* allocator) {
  (void)kernel;
  dnn_launch_t* launch = (dnn_launch_t*)prepared;
  if (!launch) return;
  dnn_launch_deinit(launch);
  tvi_free(*allocator, launch, sizeof(*launch));
}

trivet_status_t dnn_step_run(const trivet_kernel_t* kernel, void* prepared,
                             const trivet_kernel_launch_t* launch) {
  (void)kernel;
  return dnn_launch_run((dnn_launch_t*)prepared, launch);
}
