// SPDX-License-Identifier: Apache-2.0
//
// Run half. load checks the blob; prepare takes the plan from it where the shapes are those that it
// was built for, and builds one on the device otherwise; run gives addresses and executes.
#include "plugins/cuda_dnn/dnn_run.h"

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "plugins/cuda_dnn/dnn_graph.h"
#include "plugins/cuda_dnn/dnn_launch.h"

typedef struct loaded_s {
  dnn_problem_t problem;
  const uint8_t* plan;  // plan_size bytes, of the engine
  tvi_cuda_device_t* cuda;
  dnn_device_t* device;
} loaded_t;

typedef struct prepared_s {
  const loaded_t* loaded;
  dnn_launch_t launch;
} prepared_t;

trivet_status_t dnn_load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* load,
                         void** out_loaded) {
  (void)kernel;
  dnn_problem_t problem;
  memset(&problem, 0, sizeof(problem));
  if (load->blob_size >= sizeof(problem)) memcpy(&problem, load->blob, sizeof(problem));
  TRIVET_RETURN_IF_ERROR(dnn_problem_verify(&problem, load->blob_size));
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

void dnn_unload(const trivet_kernel_t* kernel, void* loaded, const trivet_allocator_t* allocator) {
  (void)kernel;
  tvi_free(*allocator, loaded, sizeof(loaded_t));
}

static trivet_status_t check_operands(const dnn_problem_t* p,
                                      const trivet_kernel_prepare_t* prepare) {
  if (prepare->operand_count != p->operand_count) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN step: %llu operands, not %u",
                         (unsigned long long)prepare->operand_count, p->operand_count);
  }
  for (uint32_t i = 0; i < p->operand_count; ++i) {
    if (prepare->operands[i].flags & TRIVET_OPERAND_ABSENT) {
      return TRIVET_STATUS(DATA_LOSS, "cuDNN step: operand %u is absent", i);
    }
  }
  if (!p->is_packed) return TRIVET_OK;
  uint64_t wanted = tvi_dtype_bytes(p->dtype), given = 1;
  for (uint32_t d = 0; d < p->rank; ++d) {
    if (__builtin_mul_overflow(wanted, (uint64_t)p->weight_dims[d], &wanted)) wanted = UINT64_MAX;
  }
  const trivet_operand_t* weights = &prepare->operands[1];
  given = tvi_dtype_bytes(weights->dtype);
  for (uint32_t d = 0; d < weights->rank; ++d) given *= (uint64_t)weights->dims[d];
  if (given < wanted) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN step: packed weights of %llu bytes lie in %llu",
                         (unsigned long long)wanted, (unsigned long long)given);
  }
  return TRIVET_OK;
}

static trivet_status_t find_plan(prepared_t* s, const trivet_operand_t* operands,
                                 trivet_allocator_t allocator) {
  const loaded_t* loaded = s->loaded;
  const dnn_problem_t* p = &loaded->problem;
  dnn_tensor_t tensors[DNN_MAX_OPERANDS];
  memset(tensors, 0, sizeof(tensors));
  TRIVET_RETURN_IF_ERROR(dnn_describe(p, operands, tensors));
  uint64_t key[2];
  dnn_tensors_key(p, tensors, key);
  if (p->plan_size && key[0] == p->plan_key[0] && key[1] == p->plan_key[1]) {
    return dnn_plan_get(loaded->cuda, loaded->device, loaded->plan, p->plan_size, &s->launch.plan);
  }
  char* text = NULL;
  uint64_t size = 0;
  dnn_device_choice_t device = {NULL, loaded->device->handle};
  TRIVET_RETURN_IF_ERROR(
      dnn_graph_plan(&loaded->device->library, p, tensors, &device, allocator, &text, &size));
  trivet_status_t status = dnn_plan_get(loaded->cuda, loaded->device, text, size, &s->launch.plan);
  tvi_free(allocator, text, (size_t)size);
  return status;
}

static void list_pointers(prepared_t* s) {
  const dnn_problem_t* p = &s->loaded->problem;
  for (uint32_t i = 0; i < p->operand_count; ++i)
    dnn_launch_add_operand(&s->launch, DNN_UID_OPERAND + i, i, 0);
  dnn_pointwise_t list[DNN_MAX_POINTWISE];
  uint32_t count = dnn_pointwise_list(p, list);
  for (uint32_t i = 0; i < count; ++i) {
    if (list[i].with == DNN_WITH_NUMBER) {
      dnn_launch_add_float(&s->launch, DNN_UID_NUMBER + i, list[i].number);
    }
  }
}

trivet_status_t dnn_prepare(const trivet_kernel_t* kernel, void* pointer,
                            const trivet_kernel_prepare_t* prepare, uint64_t* out_workspace_size,
                            void** out_prepared) {
  const loaded_t* loaded = (const loaded_t*)pointer;
  TRIVET_RETURN_IF_ERROR(check_operands(&loaded->problem, prepare));
  prepared_t* s;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*prepare->allocator, sizeof(*s), &s));
  s->loaded = loaded;
  s->launch.cuda = loaded->cuda;
  s->launch.device = loaded->device;
  list_pointers(s);
  trivet_status_t status = find_plan(s, prepare->operands, *prepare->allocator);
  if (status) {
    dnn_release(kernel, s, prepare->allocator);
    return status;
  }
  *out_workspace_size = dnn_launch_workspace(&s->launch);
  *out_prepared = s;
  return TRIVET_OK;
}

void dnn_release(const trivet_kernel_t* kernel, void* pointer,
                 const trivet_allocator_t* allocator) {
  (void)kernel;
  prepared_t* s = (prepared_t*)pointer;
  if (!s) return;
  dnn_launch_deinit(&s->launch);
  tvi_free(*allocator, s, sizeof(*s));
}

trivet_status_t dnn_run(const trivet_kernel_t* kernel, void* pointer,
                        const trivet_kernel_launch_t* launch) {
  (void)kernel;
  prepared_t* s = (prepared_t*)pointer;
  return dnn_launch_run(&s->launch, launch);
}
