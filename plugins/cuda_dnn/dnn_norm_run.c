// SPDX-License-Identifier: Apache-2.0
//
// Run half of normalisations. load checks the blob; prepare takes the plan from it where extents
// are those that it was built for, and builds one on the device otherwise.
#include "plugins/cuda_dnn/dnn_norm_run.h"

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "plugins/cuda_dnn/dnn_launch.h"
#include "plugins/cuda_dnn/dnn_norm_graph.h"

typedef struct loaded_s {
  dnn_norm_t problem;
  const uint8_t* plan;  // plan_size bytes, of the engine
  tvi_cuda_device_t* cuda;
  dnn_device_t* device;
} loaded_t;

typedef struct prepared_s {
  dnn_launch_t launch;
} prepared_t;

trivet_status_t dnn_norm_load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* load,
                              void** out_loaded) {
  (void)kernel;
  dnn_norm_t problem;
  memset(&problem, 0, sizeof(problem));
  if (load->blob_size >= sizeof(problem)) memcpy(&problem, load->blob, sizeof(problem));
  TRIVET_RETURN_IF_ERROR(dnn_norm_verify(&problem, load->blob_size));
  loaded_t* loaded;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*load->allocator, sizeof(*loaded), &loaded));
  loaded->problem = problem;
  loaded->plan = load->blob + sizeof(problem);
  loaded->cuda = (tvi_cuda_device_t*)load->device;
  trivet_status_t status = dnn_device_get(loaded->cuda, &loaded->device);
  if (status) {
    tvi_free(*load->allocator, loaded, sizeof(*loaded));
    return status;
  }
  *out_loaded = loaded;
  return TRIVET_OK;
}

void dnn_norm_unload(const trivet_kernel_t* kernel, void* loaded,
                     const trivet_allocator_t* allocator) {
  (void)kernel;
  tvi_free(*allocator, loaded, sizeof(loaded_t));
}

// What the step reads and writes has to lie in its operands, whatever the plan's file says.
static trivet_status_t check_operand(const dnn_tensor_t* tensor, const trivet_operand_t* operand) {
  uint64_t needed = 1, have = 1;
  for (uint32_t d = 0; d < 4; ++d) needed += (uint64_t)((tensor->dims[d] - 1) * tensor->strides[d]);
  for (uint32_t d = 0; d < operand->rank; ++d) {
    uint64_t reach = 0;
    if (operand->dims[d] < 1 || operand->strides[d] < 0) have = 0;
    if (__builtin_mul_overflow((uint64_t)(operand->dims[d] - 1), (uint64_t)operand->strides[d],
                               &reach) ||
        __builtin_add_overflow(have, reach, &have)) {
      have = 0;
    }
  }
  if ((operand->flags & TRIVET_OPERAND_ABSENT) || operand->dtype != tensor->dtype ||
      needed > have) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN normalisation: an operand does not fit");
  }
  return TRIVET_OK;
}

static trivet_status_t describe(const dnn_norm_t* p, const trivet_kernel_prepare_t* prepare,
                                dnn_norm_shape_t* out) {
  uint32_t count = dnn_norm_operand_count(p);
  if (prepare->operand_count != count || prepare->parameter_count != DNN_NORM_PARAMETERS) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN normalisation: %llu operands, %llu parameters",
                         (unsigned long long)prepare->operand_count,
                         (unsigned long long)prepare->parameter_count);
  }
  uint64_t alignments[DNN_NORM_OPERANDS] = {0};
  for (uint32_t i = 0; i < count; ++i) alignments[i] = prepare->operands[i].alignment;
  TRIVET_RETURN_IF_ERROR(dnn_norm_describe(p, prepare->parameters, alignments, out));
  for (uint32_t i = 0; i < count; ++i) {
    TRIVET_RETURN_IF_ERROR(
        check_operand(&out->tensors[dnn_norm_operand_kind(p, i)], &prepare->operands[i]));
  }
  return TRIVET_OK;
}

static trivet_status_t find_plan(const loaded_t* loaded, const dnn_norm_shape_t* shape,
                                 trivet_allocator_t allocator, dnn_plan_t** out_plan) {
  const dnn_norm_t* p = &loaded->problem;
  uint64_t key[2];
  dnn_norm_key(p, shape, key);
  if (p->plan_size && key[0] == p->plan_key[0] && key[1] == p->plan_key[1]) {
    return dnn_plan_get(loaded->cuda, loaded->device, loaded->plan, p->plan_size, out_plan);
  }
  char* text = NULL;
  uint64_t size = 0;
  dnn_device_choice_t device = {NULL, loaded->device->handle};
  TRIVET_RETURN_IF_ERROR(
      dnn_norm_plan(&loaded->device->library, p, shape, &device, allocator, &text, &size));
  trivet_status_t status = dnn_plan_get(loaded->cuda, loaded->device, text, size, out_plan);
  tvi_free(allocator, text, (size_t)size);
  return status;
}

trivet_status_t dnn_norm_prepare(const trivet_kernel_t* kernel, void* pointer,
                                 const trivet_kernel_prepare_t* prepare,
                                 uint64_t* out_workspace_size, void** out_prepared) {
  const loaded_t* loaded = (const loaded_t*)pointer;
  const dnn_norm_t* p = &loaded->problem;
  dnn_norm_shape_t shape;
  TRIVET_RETURN_IF_ERROR(describe(p, prepare, &shape));
  prepared_t* s;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*prepare->allocator, sizeof(*s), &s));
  s->launch.cuda = loaded->cuda;
  s->launch.device = loaded->device;
  for (uint32_t i = 0; i < dnn_norm_operand_count(p); ++i) {
    dnn_launch_add_operand(&s->launch, DNN_UID_NORM + dnn_norm_operand_kind(p, i), i, 0);
  }
  dnn_launch_add_float(&s->launch, DNN_UID_EPSILON, (float)p->epsilon);
  trivet_status_t status = find_plan(loaded, &shape, *prepare->allocator, &s->launch.plan);
  if (status) {
    dnn_norm_release(kernel, s, prepare->allocator);
    return status;
  }
  *out_workspace_size = dnn_launch_workspace(&s->launch);
  *out_prepared = s;
  return TRIVET_OK;
}

void dnn_norm_release(const trivet_kernel_t* kernel, void* pointer,
                      const trivet_allocator_t* allocator) {
  (void)kernel;
  prepared_t* s = (prepared_t*)pointer;
  if (!s) return;
  dnn_launch_deinit(&s->launch);
  tvi_free(*allocator, s, sizeof(*s));
}

trivet_status_t dnn_norm_run(const trivet_kernel_t* kernel, void* prepared,
                             const trivet_kernel_launch_t* launch) {
  (void)kernel;
  return dnn_launch_run(&((prepared_t*)prepared)->launch, launch);
}
