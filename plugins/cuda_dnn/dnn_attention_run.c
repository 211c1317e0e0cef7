// SPDX-License-Identifier: Apache-2.0
//
// Run half of attention. load checks the blob; prepare takes the plan from it where extents and
// strides are those that it was built for, and builds one on the device otherwise.
#include "plugins/cuda_dnn/dnn_attention_run.h"

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "plugins/cuda_dnn/dnn_attention_graph.h"
#include "plugins/cuda_dnn/dnn_launch.h"

// What a score is where the key is not seen: its exponential is 0.
#define HIDDEN_SCORE (-1e30f)

typedef struct loaded_s {
  dnn_attention_t problem;
  const uint8_t* plan;  // plan_size bytes, of the engine
  tvi_cuda_device_t* cuda;
  dnn_device_t* device;
} loaded_t;

typedef struct prepared_s {
  dnn_launch_t launch;
} prepared_t;

trivet_status_t dnn_attention_load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* load,
                                   void** out_loaded) {
  (void)kernel;
  dnn_attention_t problem;
  memset(&problem, 0, sizeof(problem));
  if (load->blob_size >= sizeof(problem)) memcpy(&problem, load->blob, sizeof(problem));
  TRIVET_RETURN_IF_ERROR(dnn_attention_verify(&problem, load->blob_size));
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

void dnn_attention_unload(const trivet_kernel_t* kernel, void* loaded,
                          const trivet_allocator_t* allocator) {
  (void)kernel;
  tvi_free(*allocator, loaded, sizeof(loaded_t));
}

// Elements that an operand has from its first to its last.
static uint64_t span(const trivet_operand_t* operand) {
  uint64_t last = 0;
  for (uint32_t d = 0; d < operand->rank; ++d) {
    if (operand->dims[d] < 1 || operand->strides[d] < 0) return 0;
    last += (uint64_t)(operand->dims[d] - 1) * (uint64_t)operand->strides[d];
  }
  return last + 1;
}

// What the step reads has to lie in its operands, whatever the plan's file says.
static trivet_status_t check_operands(const dnn_attention_t* p, const dnn_attention_shape_t* shape,
                                      const trivet_kernel_prepare_t* prepare) {
  uint32_t count = dnn_attention_operand_count(p);
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t kind = i + 1 == count ? DNN_ATTENTION_OPERANDS - 1 : i;
    const trivet_operand_t* operand = &prepare->operands[i];
    const dnn_tensor_t* tensor = &shape->tensors[kind];
    uint64_t last = (uint64_t)shape->offsets[kind];
    for (uint32_t d = 0; d < 4; ++d) {
      uint64_t reach = 0;
      if (__builtin_mul_overflow((uint64_t)(tensor->dims[d] - 1), (uint64_t)tensor->strides[d],
                                 &reach) ||
          __builtin_add_overflow(last, reach, &last)) {
        last = UINT64_MAX;
      }
    }
    if ((operand->flags & TRIVET_OPERAND_ABSENT) || operand->dtype != tensor->dtype ||
        last >= span(operand)) {
      return TRIVET_STATUS(DATA_LOSS, "cuDNN attention: operand %u does not fit", i);
    }
  }
  return TRIVET_OK;
}

static trivet_status_t describe(const dnn_attention_t* p, const trivet_kernel_prepare_t* prepare,
                                dnn_attention_shape_t* out) {
  uint32_t count = dnn_attention_operand_count(p);
  if (prepare->operand_count != count ||
      prepare->parameter_count != dnn_attention_parameter_count(p)) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN attention: %llu operands, %llu parameters",
                         (unsigned long long)prepare->operand_count,
                         (unsigned long long)prepare->parameter_count);
  }
  uint64_t alignments[DNN_ATTENTION_OPERANDS] = {0};
  for (uint32_t i = 0; i < count; ++i) alignments[i] = prepare->operands[i].alignment;
  TRIVET_RETURN_IF_ERROR(dnn_attention_describe(p, prepare->parameters, alignments, out));
  return check_operands(p, out, prepare);
}

static trivet_status_t find_plan(const loaded_t* loaded, const dnn_attention_shape_t* shape,
                                 trivet_allocator_t allocator, dnn_plan_t** out_plan) {
  const dnn_attention_t* p = &loaded->problem;
  uint64_t key[2];
  dnn_attention_key(p, shape, key);
  if (p->plan_size && key[0] == p->plan_key[0] && key[1] == p->plan_key[1]) {
    return dnn_plan_get(loaded->cuda, loaded->device, loaded->plan, p->plan_size, out_plan);
  }
  char* text = NULL;
  uint64_t size = 0;
  dnn_device_choice_t device = {NULL, loaded->device->handle};
  TRIVET_RETURN_IF_ERROR(
      dnn_attention_plan(&loaded->device->library, p, shape, &device, allocator, &text, &size));
  trivet_status_t status = dnn_plan_get(loaded->cuda, loaded->device, text, size, out_plan);
  tvi_free(allocator, text, (size_t)size);
  return status;
}

static void list_pointers(const dnn_attention_t* p, const dnn_attention_shape_t* shape,
                          dnn_launch_t* launch) {
  uint32_t count = dnn_attention_operand_count(p);
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t kind = i + 1 == count ? DNN_ATTENTION_OPERANDS - 1 : i;
    int64_t size = tvi_dtype_bytes(shape->tensors[kind].dtype);
    dnn_launch_add_operand(launch, DNN_UID_ATTENTION + kind, i, shape->offsets[kind] * size);
  }
  dnn_launch_add_float(launch, DNN_UID_SCALE, (float)p->scale);
  if (!p->has_upper) return;
  dnn_launch_add_float(launch, DNN_UID_HIDDEN, HIDDEN_SCORE);
  if (shape->upper != 0) dnn_launch_add_int(launch, DNN_UID_UPPER, (int32_t)shape->upper);
}

trivet_status_t dnn_attention_prepare(const trivet_kernel_t* kernel, void* pointer,
                                      const trivet_kernel_prepare_t* prepare,
                                      uint64_t* out_workspace_size, void** out_prepared) {
  const loaded_t* loaded = (const loaded_t*)pointer;
  dnn_attention_shape_t shape;
  TRIVET_RETURN_IF_ERROR(describe(&loaded->problem, prepare, &shape));
  prepared_t* s;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*prepare->allocator, sizeof(*s), &s));
  s->launch.cuda = loaded->cuda;
  s->launch.device = loaded->device;
  list_pointers(&loaded->problem, &shape, &s->launch);
  trivet_status_t status = find_plan(loaded, &shape, *prepare->allocator, &s->launch.plan);
  if (status) {
    dnn_attention_release(kernel, s, prepare->allocator);
    return status;
  }
  *out_workspace_size = dnn_launch_workspace(&s->launch);
  *out_prepared = s;
  return TRIVET_OK;
}

void dnn_attention_release(const trivet_kernel_t* kernel, void* pointer,
                           const trivet_allocator_t* allocator) {
  (void)kernel;
  prepared_t* s = (prepared_t*)pointer;
  if (!s) return;
  dnn_launch_deinit(&s->launch);
  tvi_free(*allocator, s, sizeof(*s));
}

trivet_status_t dnn_attention_run(const trivet_kernel_t* kernel, void* pointer,
                                  const trivet_kernel_launch_t* launch) {
  (void)kernel;
  return dnn_launch_run(&((prepared_t*)pointer)->launch, launch);
}
