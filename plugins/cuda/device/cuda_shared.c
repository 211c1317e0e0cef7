// SPDX-License-Identifier: Apache-2.0
//
// What the kernels of a device share: modules by their bytes, objects of libraries by their name.
// For load and prepare; run comes here never.
#include <stdio.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "plugins/cuda/device/cuda_state.h"

static trivet_status_t load_module(cuda_state_t* state, const void* cubin, uint64_t size,
                                   tvi_hash128_t hash, cuda_module_t** out_entry) {
  cuda_module_t* entry;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(state->allocator, sizeof(*entry), &entry));
  trivet_status_t status = state->device.check(
      &state->device, state->driver.cuModuleLoadData(&entry->module, cubin), "cuModuleLoadData");
  if (status) {
    tvi_free(state->allocator, entry, sizeof(*entry));
    return status;
  }
  entry->hash = hash;
  entry->size = size;
  entry->next = state->modules;
  state->modules = entry;
  *out_entry = entry;
  return TRIVET_OK;
}

static trivet_status_t module_of(tvi_cuda_device_t* device, const void* cubin, uint64_t size,
                                 CUmodule* out_module) {
  cuda_state_t* state = (cuda_state_t*)device;
  tvi_hash128_t hash = tvi_hash128(cubin, size, 0);
  tvi_mutex_lock(&state->modules_mutex);
  cuda_module_t* entry = state->modules;
  while (entry && !(entry->size == size && tvi_hash128_equal(entry->hash, hash))) {
    entry = entry->next;
  }
  trivet_status_t status = entry ? TRIVET_OK : load_module(state, cubin, size, hash, &entry);
  if (!status) {
    ++entry->use_count;
    *out_module = entry->module;
  }
  tvi_mutex_unlock(&state->modules_mutex);
  return status;
}

static void unload_module(cuda_state_t* state, cuda_module_t* entry) {
  // A device that fails cannot be told so either.
  (void)state->driver.cuModuleUnload(entry->module);
  tvi_free(state->allocator, entry, sizeof(*entry));
}

static void module_release(tvi_cuda_device_t* device, CUmodule module) {
  cuda_state_t* state = (cuda_state_t*)device;
  tvi_mutex_lock(&state->modules_mutex);
  cuda_module_t** at = &state->modules;
  while (*at && (*at)->module != module) at = &(*at)->next;
  cuda_module_t* entry = *at;
  if (entry && --entry->use_count == 0) {
    *at = entry->next;
    unload_module(state, entry);
  }
  tvi_mutex_unlock(&state->modules_mutex);
}

static trivet_status_t make_resource(cuda_state_t* state, const char* name,
                                     trivet_status_t (*create)(tvi_cuda_device_t*, void**),
                                     void (*destroy)(tvi_cuda_device_t*, void*),
                                     cuda_resource_t** out_entry) {
  cuda_resource_t* entry;
  if (strlen(name) >= sizeof(entry->name)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "name of a resource '%s' is too long", name);
  }
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(state->allocator, sizeof(*entry), &entry));
  trivet_status_t status = create(&state->device, &entry->object);
  if (status) {
    tvi_free(state->allocator, entry, sizeof(*entry));
    return status;
  }
  snprintf(entry->name, sizeof(entry->name), "%s", name);
  entry->destroy = destroy;
  entry->next = state->resources;
  state->resources = entry;
  *out_entry = entry;
  return TRIVET_OK;
}

static trivet_status_t resource_of(tvi_cuda_device_t* device, const char* name,
                                   trivet_status_t (*create)(tvi_cuda_device_t*, void**),
                                   void (*destroy)(tvi_cuda_device_t*, void*), void** out_object) {
  cuda_state_t* state = (cuda_state_t*)device;
  tvi_mutex_lock(&state->resources_mutex);
  cuda_resource_t* entry = state->resources;
  while (entry && strcmp(entry->name, name) != 0) entry = entry->next;
  trivet_status_t status = entry ? TRIVET_OK : make_resource(state, name, create, destroy, &entry);
  if (!status) *out_object = entry->object;
  tvi_mutex_unlock(&state->resources_mutex);
  return status;
}

trivet_status_t cuda_shared_init(cuda_state_t* state) {
  state->device.module = module_of;
  state->device.module_release = module_release;
  state->device.resource = resource_of;
  TRIVET_RETURN_IF_ERROR(tvi_mutex_init(&state->modules_mutex));
  trivet_status_t status = tvi_mutex_init(&state->resources_mutex);
  if (status) tvi_mutex_deinit(&state->modules_mutex);
  return status;
}

void cuda_shared_deinit(cuda_state_t* state) {
  while (state->resources) {
    cuda_resource_t* entry = state->resources;
    state->resources = entry->next;
    entry->destroy(&state->device, entry->object);
    tvi_free(state->allocator, entry, sizeof(*entry));
  }
  while (state->modules) {
    cuda_module_t* entry = state->modules;
    state->modules = entry->next;
    unload_module(state, entry);
  }
  tvi_mutex_deinit(&state->resources_mutex);
  tvi_mutex_deinit(&state->modules_mutex);
}
