// SPDX-License-Identifier: Apache-2.0
//
// Run half. load checks the blob; prepare takes the plan from it where the shapes are those that it
// was built for, and builds one on the device otherwise; run gives addresses and executes.
#include "plugins/cuda_dnn/dnn_run.h"

#include <sched.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "plugins/cuda_dnn/dnn_graph.h"

// More than a launch promises; engines of cuDNN use aligned vectors.
#define WORKSPACE_ALIGNMENT 256u
#define MAX_POINTERS (DNN_MAX_OPERANDS + DNN_MAX_POINTWISE)

typedef struct loaded_s {
  dnn_problem_t problem;
  const uint8_t* plan;  // plan_size bytes, of the engine
  tvi_cuda_device_t* cuda;
  dnn_device_t* device;
} loaded_t;

typedef struct prepared_s {
  const loaded_t* loaded;
  dnn_plan_t* plan;
  uint32_t pointer_count;
  int64_t uids[MAX_POINTERS];
  uint32_t operands[MAX_POINTERS];  // of the step; UINT32_MAX: a number
  float numbers[MAX_POINTERS];
  // The pack of the last addresses: cuDNN wants a new one for others.
  cudnnBackendDescriptor_t pack;
  const void* pointers[MAX_POINTERS];
  const void* workspace;
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
    return dnn_plan_get(loaded->cuda, loaded->device, loaded->plan, p->plan_size, &s->plan);
  }
  char* text = NULL;
  uint64_t size = 0;
  dnn_device_choice_t device = {NULL, loaded->device->handle};
  TRIVET_RETURN_IF_ERROR(
      dnn_graph_plan(&loaded->device->library, p, tensors, &device, allocator, &text, &size));
  trivet_status_t status = dnn_plan_get(loaded->cuda, loaded->device, text, size, &s->plan);
  tvi_free(allocator, text, (size_t)size);
  return status;
}

static void add_pointer(prepared_t* s, int64_t uid, uint32_t operand, float number) {
  uint32_t at = s->pointer_count++;
  s->uids[at] = uid;
  s->operands[at] = operand;
  s->numbers[at] = number;
}

static void list_pointers(prepared_t* s) {
  const dnn_problem_t* p = &s->loaded->problem;
  for (uint32_t i = 0; i < p->operand_count; ++i) add_pointer(s, DNN_UID_OPERAND + i, i, 0);
  dnn_pointwise_t list[DNN_MAX_POINTWISE];
  uint32_t count = dnn_pointwise_list(p, list);
  for (uint32_t i = 0; i < count; ++i) {
    if (list[i].with == DNN_WITH_NUMBER) {
      add_pointer(s, DNN_UID_NUMBER + i, UINT32_MAX, list[i].number);
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
  list_pointers(s);
  trivet_status_t status = find_plan(s, prepare->operands, *prepare->allocator);
  if (status) {
    dnn_release(kernel, s, prepare->allocator);
    return status;
  }
  uint64_t size = (uint64_t)s->plan->workspace_size;
  *out_workspace_size = size ? size + WORKSPACE_ALIGNMENT : 0;
  *out_prepared = s;
  return TRIVET_OK;
}

void dnn_release(const trivet_kernel_t* kernel, void* pointer,
                 const trivet_allocator_t* allocator) {
  (void)kernel;
  prepared_t* s = (prepared_t*)pointer;
  if (!s) return;
  const loaded_t* loaded = s->loaded;
  if (s->pack) (void)loaded->device->library.cudnnBackendDestroyDescriptor(s->pack);
  if (s->plan) dnn_plan_release(loaded->cuda, loaded->device, s->plan);
  tvi_free(*allocator, s, sizeof(*s));
}

// A pack cannot be changed once it is finished: other addresses need another.
static trivet_status_t make_pack(prepared_t* s) {
  const dnn_library_t* dnn = &s->loaded->device->library;
  if (s->pack) (void)dnn->cudnnBackendDestroyDescriptor(s->pack);
  s->pack = NULL;
  cudnnBackendDescriptor_t pack = NULL;
  TRIVET_RETURN_IF_ERROR(dnn_check(
      dnn, dnn->cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack),
      "addresses"));
  trivet_status_t status =
      dnn_check(dnn,
                dnn->cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS,
                                              CUDNN_TYPE_INT64, s->pointer_count, s->uids),
                "ids of addresses");
  if (!status) {
    status =
        dnn_check(dnn,
                  dnn->cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
                                                CUDNN_TYPE_VOID_PTR, s->pointer_count, s->pointers),
                  "addresses");
  }
  if (!status) {
    status = dnn_check(dnn,
                       dnn->cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE,
                                                     CUDNN_TYPE_VOID_PTR, 1, &s->workspace),
                       "workspace");
  }
  if (!status) status = dnn_check(dnn, dnn->cudnnBackendFinalize(pack), "addresses");
  if (status) {
    (void)dnn->cudnnBackendDestroyDescriptor(pack);
    return status;
  }
  s->pack = pack;
  return TRIVET_OK;
}

trivet_status_t dnn_run(const trivet_kernel_t* kernel, void* pointer,
                        const trivet_kernel_launch_t* launch) {
  (void)kernel;
  prepared_t* s = (prepared_t*)pointer;
  dnn_device_t* device = s->loaded->device;
  const dnn_library_t* dnn = &device->library;
  uintptr_t workspace = ((uintptr_t)launch->workspace + WORKSPACE_ALIGNMENT - 1) /
                        WORKSPACE_ALIGNMENT * WORKSPACE_ALIGNMENT;
  if (!s->plan->workspace_size) workspace = 0;
  bool same = s->pack != NULL && s->workspace == (const void*)workspace;
  for (uint32_t i = 0; i < s->pointer_count; ++i) {
    const void* address =
        s->operands[i] == UINT32_MAX ? &s->numbers[i] : launch->addresses[s->operands[i]];
    same = same && s->pointers[i] == address;
    s->pointers[i] = address;
  }
  s->workspace = (const void*)workspace;
  if (!same) TRIVET_RETURN_IF_ERROR(make_pack(s));
  // Contexts share the handle for as long as a launch takes.
  while (atomic_flag_test_and_set_explicit(&device->is_busy, memory_order_acquire)) sched_yield();
  cudnnStatus_t result = dnn->cudnnSetStream(device->handle, (cudaStream_t)launch->stream);
  if (result == CUDNN_STATUS_SUCCESS) {
    result = dnn->cudnnBackendExecute(device->handle, s->plan->descriptor, s->pack);
  }
  atomic_flag_clear_explicit(&device->is_busy, memory_order_release);
  return dnn_check(dnn, result, "execution");
}
