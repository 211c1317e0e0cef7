// SPDX-License-Identifier: Apache-2.0
//
// Addresses for a plan, and its execution on a stream.
// Run takes no memory but the pack that new addresses need; old ones go past the library.
#include "plugins/cuda_dnn/dnn_launch.h"

#include <sched.h>
#include <string.h>

#include "core/base/status.h"

// More than a launch promises; engines of cuDNN use aligned vectors.
#define WORKSPACE_ALIGNMENT 256u

static uint32_t add(dnn_launch_t* l, int64_t uid, uint32_t operand) {
  uint32_t at = l->pointer_count++;
  l->uids[at] = uid;
  l->operands[at] = operand;
  return at;
}

void dnn_launch_add_operand(dnn_launch_t* l, int64_t uid, uint32_t operand, int64_t offset) {
  l->offsets[add(l, uid, operand)] = offset;
}

void dnn_launch_add_float(dnn_launch_t* l, int64_t uid, float number) {
  memcpy(&l->numbers[add(l, uid, UINT32_MAX)], &number, sizeof(number));
}

void dnn_launch_add_int(dnn_launch_t* l, int64_t uid, int32_t number) {
  memcpy(&l->numbers[add(l, uid, UINT32_MAX)], &number, sizeof(number));
}

uint64_t dnn_launch_workspace(const dnn_launch_t* l) {
  uint64_t size = (uint64_t)l->plan->workspace_size;
  return size ? size + WORKSPACE_ALIGNMENT : 0;
}

void dnn_launch_deinit(dnn_launch_t* l) {
  // First: its kernels may be the plan's.
  l->cuda->recorder_destroy(l->recorder);
  if (l->pack) (void)l->device->library.cudnnBackendDestroyDescriptor(l->pack);
  if (l->plan) dnn_plan_release(l->cuda, l->device, l->plan);
  l->recorder = NULL;
  l->pack = NULL;
  l->plan = NULL;
}

// A pack cannot be changed once it is finished: other addresses need another.
static trivet_status_t make_pack(dnn_launch_t* l) {
  const dnn_library_t* dnn = &l->device->library;
  if (l->pack) (void)dnn->cudnnBackendDestroyDescriptor(l->pack);
  l->pack = NULL;
  cudnnBackendDescriptor_t pack = NULL;
  TRIVET_RETURN_IF_ERROR(dnn_check(
      dnn, dnn->cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack),
      "addresses"));
  trivet_status_t status =
      dnn_check(dnn,
                dnn->cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS,
                                              CUDNN_TYPE_INT64, l->pointer_count, l->uids),
                "ids of addresses");
  if (!status) {
    status =
        dnn_check(dnn,
                  dnn->cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS,
                                                CUDNN_TYPE_VOID_PTR, l->pointer_count, l->pointers),
                  "addresses");
  }
  if (!status) {
    status = dnn_check(dnn,
                       dnn->cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE,
                                                     CUDNN_TYPE_VOID_PTR, 1, &l->workspace),
                       "workspace");
  }
  if (!status) status = dnn_check(dnn, dnn->cudnnBackendFinalize(pack), "addresses");
  if (status) {
    (void)dnn->cudnnBackendDestroyDescriptor(pack);
    return status;
  }
  l->pack = pack;
  return TRIVET_OK;
}

static trivet_status_t execute(void* self, const trivet_kernel_launch_t* launch) {
  dnn_launch_t* l = (dnn_launch_t*)self;
  dnn_device_t* device = l->device;
  const dnn_library_t* dnn = &device->library;
  uintptr_t workspace = ((uintptr_t)launch->workspace + WORKSPACE_ALIGNMENT - 1) /
                        WORKSPACE_ALIGNMENT * WORKSPACE_ALIGNMENT;
  if (!l->plan->workspace_size) workspace = 0;
  bool same = l->pack != NULL && l->workspace == (const void*)workspace;
  for (uint32_t i = 0; i < l->pointer_count; ++i) {
    const void* address = &l->numbers[i];
    if (l->operands[i] != UINT32_MAX) {
      address = (const char*)launch->addresses[l->operands[i]] + l->offsets[i];
    }
    same = same && l->pointers[i] == address;
    l->pointers[i] = address;
  }
  l->workspace = (const void*)workspace;
  if (!same) TRIVET_RETURN_IF_ERROR(make_pack(l));
  // Contexts share the handle for as long as a launch takes.
  while (atomic_flag_test_and_set_explicit(&device->is_busy, memory_order_acquire)) sched_yield();
  cudnnStatus_t result = dnn->cudnnSetStream(device->handle, (cudaStream_t)launch->stream);
  if (result == CUDNN_STATUS_SUCCESS) {
    result = dnn->cudnnBackendExecute(device->handle, l->plan->descriptor, l->pack);
  }
  atomic_flag_clear_explicit(&device->is_busy, memory_order_release);
  return dnn_check(dnn, result, "execution");
}

trivet_status_t dnn_launch_run(dnn_launch_t* l, const trivet_kernel_launch_t* launch) {
  return l->cuda->recorder_run(l->recorder, launch, execute, l);
}
