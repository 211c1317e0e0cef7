// SPDX-License-Identifier: Apache-2.0
//
// Opens cuDNN; one handle and shared plans for each device. By dlopen, so that everything builds
// and loads where no driver is; handles belong to the instance.
#include "plugins/cuda_dnn/dnn_library.h"

#include <dlfcn.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"

// The loader's own folders first (LD_LIBRARY_PATH among them), then where toolkits are installed.
static const char* const kNames[] = {"libcudnn.so.9", "/usr/local/cuda/lib64/libcudnn.so.9",
                                     "/usr/lib/x86_64-linux-gnu/libcudnn.so.9"};

trivet_status_t dnn_check(const dnn_library_t* library, cudnnStatus_t result, const char* what) {
  if (result == CUDNN_STATUS_SUCCESS) return TRIVET_OK;
  char text[256] = "";
  library->cudnnGetLastErrorString(text, sizeof(text));
  text[sizeof(text) - 1] = '\0';
  const char* name = library->cudnnGetErrorString(result);
  if (result / 1000 == CUDNN_STATUS_NOT_SUPPORTED / 1000) {
    return TRIVET_STATUS(UNIMPLEMENTED, "cuDNN, %s: %s: %s", what, name, text);
  }
  return TRIVET_STATUS(INTERNAL, "cuDNN, %s: %s: %s", what, name, text);
}

static trivet_status_t find(const tvi_library_t* library, const char* name, void* out_function) {
  void* address = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_library_symbol(library, name, &address));
  memcpy(out_function, &address, sizeof(address));
  return TRIVET_OK;
}

static trivet_status_t find_all(dnn_library_t* dnn) {
#define FIND(name) TRIVET_RETURN_IF_ERROR(find(dnn->library, #name, &dnn->name));
  DNN_FUNCTIONS(FIND)
#undef FIND
  return TRIVET_OK;
}

trivet_status_t dnn_library_open(trivet_allocator_t allocator, dnn_library_t* out_library) {
  dnn_library_t dnn;
  memset(&dnn, 0, sizeof(dnn));
  TRIVET_RETURN_IF_ERROR_ANNOTATED(
      tvi_library_open_any(kNames, sizeof(kNames) / sizeof(kNames[0]), allocator, &dnn.library),
      "cuDNN 9 is not installed");
  trivet_status_t status = find_all(&dnn);
  if (status) {
    dnn_library_close(&dnn);
    return status;
  }
  // It takes long to load and is asked for often while a plan is built: it stays.
  void* pinned = dlopen(tvi_library_path(dnn.library), RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
  if (pinned) dlclose(pinned);
  *out_library = dnn;
  return TRIVET_OK;
}

void dnn_library_warm_up(const trivet_kernel_t* kernel) {
  static const char* const parts[] = {"libcudnn_graph.so.9", "libcudnn_engines_precompiled.so.9",
                                      "libcudnn_engines_runtime_compiled.so.9"};
  (void)kernel;
  bool is_there = false;
  for (size_t i = 0; i < sizeof(kNames) / sizeof(kNames[0]) && !is_there; ++i) {
    is_there = dlopen(kNames[i], RTLD_NOW | RTLD_NODELETE) != NULL;
  }
  // By the names that the library uses; where they are not found it looks for them itself.
  for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && is_there; ++i) {
    (void)dlopen(parts[i], RTLD_NOW | RTLD_NODELETE);
  }
}

void dnn_library_close(dnn_library_t* library) {
  tvi_library_close(library->library);
  library->library = NULL;
}

// --- What a device shares ---------------------------------------------------------------

static void destroy(tvi_cuda_device_t* cuda, void* object) {
  dnn_device_t* device = (dnn_device_t*)object;
  while (device->plans) {
    dnn_plan_t* plan = device->plans;
    device->plans = plan->next;
    (void)device->library.cudnnBackendDestroyDescriptor(plan->descriptor);
    tvi_free(*cuda->allocator, plan, sizeof(*plan));
  }
  if (device->handle) (void)device->library.cudnnDestroy(device->handle);
  dnn_library_close(&device->library);
  tvi_mutex_deinit(&device->mutex);
  tvi_free(*cuda->allocator, device, sizeof(*device));
}

static trivet_status_t create(tvi_cuda_device_t* cuda, void** out_object) {
  dnn_device_t* device;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*cuda->allocator, sizeof(*device), &device));
  atomic_flag_clear(&device->is_busy);
  trivet_status_t status = tvi_mutex_init(&device->mutex);
  if (status) {
    tvi_free(*cuda->allocator, device, sizeof(*device));
    return status;
  }
  status = dnn_library_open(*cuda->allocator, &device->library);
  if (!status) {
    status =
        dnn_check(&device->library, device->library.cudnnCreate(&device->handle), "cudnnCreate");
  }
  if (status) {
    destroy(cuda, device);
    return status;
  }
  *out_object = device;
  return TRIVET_OK;
}

trivet_status_t dnn_device_get(tvi_cuda_device_t* device, dnn_device_t** out_device) {
  void* object = NULL;
  TRIVET_RETURN_IF_ERROR(device->resource(device, "cudnn", create, destroy, &object));
  *out_device = (dnn_device_t*)object;
  return TRIVET_OK;
}

// --- Plans ------------------------------------------------------------------------------

static trivet_status_t read_plan(const dnn_library_t* dnn, cudnnHandle_t handle, const void* text,
                                 uint64_t size, dnn_plan_t* plan) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  const cudnnBackendAttributeName_t kHandle = CUDNN_ATTR_EXECUTION_PLAN_HANDLE;
#pragma GCC diagnostic pop
  TRIVET_RETURN_IF_ERROR(dnn_check(
      dnn,
      dnn->cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan->descriptor),
      "plan"));
  TRIVET_RETURN_IF_ERROR(dnn_check(
      dnn, dnn->cudnnBackendSetAttribute(plan->descriptor, kHandle, CUDNN_TYPE_HANDLE, 1, &handle),
      "handle of a plan"));
  TRIVET_RETURN_IF_ERROR(dnn_check(
      dnn,
      dnn->cudnnBackendSetAttribute(plan->descriptor, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                    CUDNN_TYPE_CHAR, (int64_t)size, text),
      "text of a plan"));
  TRIVET_RETURN_IF_ERROR(
      dnn_check(dnn, dnn->cudnnBackendFinalize(plan->descriptor), "reading a plan"));
  int64_t count = 0;
  TRIVET_RETURN_IF_ERROR(dnn_check(
      dnn,
      dnn->cudnnBackendGetAttribute(plan->descriptor, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                    CUDNN_TYPE_INT64, 1, &count, &plan->workspace_size),
      "workspace of a plan"));
  return plan->workspace_size >= 0
             ? TRIVET_OK
             : TRIVET_STATUS(DATA_LOSS, "cuDNN plan: a workspace of %lld bytes",
                             (long long)plan->workspace_size);
}

trivet_status_t dnn_plan_get(tvi_cuda_device_t* cuda, dnn_device_t* device, const void* text,
                             uint64_t size, dnn_plan_t** out_plan) {
  tvi_hash128_t hash = tvi_hash128(text, size, 0);
  tvi_mutex_lock(&device->mutex);
  dnn_plan_t* plan = device->plans;
  while (plan && !(plan->size == size && tvi_hash128_equal(plan->hash, hash))) plan = plan->next;
  trivet_status_t status = TRIVET_OK;
  if (!plan) {
    status = tvi_alloc_zeroed(*cuda->allocator, sizeof(*plan), &plan);
    if (!status) {
      status = read_plan(&device->library, device->handle, text, size, plan);
      plan->hash = hash;
      plan->size = size;
      if (status) {
        if (plan->descriptor) (void)device->library.cudnnBackendDestroyDescriptor(plan->descriptor);
        tvi_free(*cuda->allocator, plan, sizeof(*plan));
      } else {
        plan->next = device->plans;
        device->plans = plan;
      }
    }
  }
  if (!status) {
    ++plan->use_count;
    *out_plan = plan;
  }
  tvi_mutex_unlock(&device->mutex);
  return status;
}

void dnn_plan_release(tvi_cuda_device_t* cuda, dnn_device_t* device, dnn_plan_t* plan) {
  tvi_mutex_lock(&device->mutex);
  if (--plan->use_count == 0) {
    dnn_plan_t** at = &device->plans;
    while (*at != plan) at = &(*at)->next;
    *at = plan->next;
    (void)device->library.cudnnBackendDestroyDescriptor(plan->descriptor);
    tvi_free(*cuda->allocator, plan, sizeof(*plan));
  }
  tvi_mutex_unlock(&device->mutex);
}
