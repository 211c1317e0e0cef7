// SPDX-License-Identifier: Apache-2.0
//
// The functions of the fake library. A descriptor is its type; every problem has one candidate, and
// the text of a plan that is built is "built".
#include "tests/unit/plugins/cuda_dnn/fake_cudnn.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/status.h"
#include "core/base/thread.h"
#include "plugins/cuda_dnn/dnn_library.h"

static fake_cudnn_t fake;

static size_t version(void) { return 90000; }
static const char* error_string(cudnnStatus_t status) {
  return status == CUDNN_STATUS_SUCCESS ? "success" : "fake error";
}
static void last_error(char* text, size_t size) {
  if (size) text[0] = '\0';
}

static cudnnStatus_t set_stream(cudnnHandle_t handle, cudaStream_t stream) {
  (void)handle;
  fake.stream = (const void*)stream;
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t create(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t* out) {
  cudnnBackendDescriptorType_t* made = (cudnnBackendDescriptorType_t*)malloc(sizeof(*made));
  if (!made) return CUDNN_STATUS_ALLOC_FAILED;
  *made = type;
  ++fake.descriptors;
  *out = (cudnnBackendDescriptor_t)made;
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t destroy(cudnnBackendDescriptor_t descriptor) {
  --fake.descriptors;
  free(descriptor);
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t set(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                         cudnnBackendAttributeType_t type, int64_t count, const void* values) {
  (void)descriptor;
  (void)type;
  if (name == CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION) {
    if (fake.refuses_plans || count >= (int64_t)sizeof(fake.plan)) return CUDNN_STATUS_BAD_PARAM;
    memcpy(fake.plan, values, (size_t)count);
    fake.plan[count] = '\0';
  }
  if (name == CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS) {
    if (count > (int64_t)(sizeof(fake.pointers) / sizeof(fake.pointers[0]))) {
      return CUDNN_STATUS_BAD_PARAM;
    }
    fake.pointer_count = count;
    memcpy(fake.pointers, values, (size_t)count * sizeof(fake.pointers[0]));
  }
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t get(const cudnnBackendDescriptor_t descriptor,
                         cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                         int64_t wanted, int64_t* count, void* values) {
  static const char text[] = "built";
  static const int64_t workspace = FAKE_CUDNN_WORKSPACE;
  (void)descriptor;
  (void)type;
  if (name == CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION) {
    *count = (int64_t)strlen(text);
    if (wanted >= *count) memcpy(values, text, strlen(text));
  } else if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE) {
    *count = 1;
    memcpy(values, &workspace, sizeof(workspace));
  } else {
    *count = name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE ? 0 : 1;
  }
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t finalize(cudnnBackendDescriptor_t descriptor) {
  const cudnnBackendDescriptorType_t type = *(const cudnnBackendDescriptorType_t*)descriptor;
  fake.graphs += type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR;
  fake.packs += type == CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR;
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t execute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                             cudnnBackendDescriptor_t pack) {
  (void)handle;
  (void)plan;
  (void)pack;
  ++fake.executions;
  return CUDNN_STATUS_SUCCESS;
}

static dnn_device_t* shared(void) {
  static dnn_device_t device;
  if (!device.handle) {
    device.library.cudnnGetVersion = version;
    device.library.cudnnGetErrorString = error_string;
    device.library.cudnnGetLastErrorString = last_error;
    device.library.cudnnSetStream = set_stream;
    device.library.cudnnBackendCreateDescriptor = create;
    device.library.cudnnBackendDestroyDescriptor = destroy;
    device.library.cudnnBackendSetAttribute = set;
    device.library.cudnnBackendGetAttribute = get;
    device.library.cudnnBackendFinalize = finalize;
    device.library.cudnnBackendExecute = execute;
    device.handle = (cudnnHandle_t)&device;
    atomic_flag_clear(&device.is_busy);
    if (tvi_mutex_init(&device.mutex)) abort();
  }
  return &device;
}

static trivet_status_t resource(tvi_cuda_device_t* device, const char* name,
                                trivet_status_t (*make)(tvi_cuda_device_t* device,
                                                        void** out_object),
                                void (*end)(tvi_cuda_device_t* device, void* object),
                                void** out_object) {
  (void)device;
  (void)name;
  (void)make;
  (void)end;
  *out_object = shared();
  return TRIVET_OK;
}

static trivet_status_t recorder_create(tvi_cuda_device_t* device, trivet_allocator_t allocator,
                                       uint64_t operand_count, tvi_cuda_recorder_t** out_recorder) {
  (void)device;
  (void)allocator;
  ++fake.recorders;
  fake.recorded_operands = operand_count;
  *out_recorder = (tvi_cuda_recorder_t*)&fake;
  return TRIVET_OK;
}

static trivet_status_t recorder_run(tvi_cuda_recorder_t* recorder,
                                    const trivet_kernel_launch_t* launch, tvi_cuda_call_t call,
                                    void* self) {
  if (recorder != (tvi_cuda_recorder_t*)&fake) return TRIVET_STATUS(INTERNAL, "no recorder");
  return call(self, launch);
}

static void recorder_destroy(tvi_cuda_recorder_t* recorder) { fake.recorders -= recorder != NULL; }

fake_cudnn_t* fake_cudnn_begin(void) {
  memset(&fake, 0, sizeof(fake));
  return &fake;
}

void* fake_cudnn_device(void) {
  static trivet_allocator_t allocator;
  static tvi_cuda_device_t device;
  allocator = trivet_allocator_system();
  device.allocator = &allocator;
  device.resource = resource;
  device.recorder_create = recorder_create;
  device.recorder_run = recorder_run;
  device.recorder_destroy = recorder_destroy;
  return &device;
}
