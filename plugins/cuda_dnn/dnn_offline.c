// SPDX-License-Identifier: Apache-2.0
//
// A driver for the library to ask where none is installed, and plans that equal layers share.
// Build halves only; it never opens a handle.
#include "plugins/cuda_dnn/dnn_offline.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "plugins/cuda_dnn/dnn_graph.h"

const char* dnn_target_properties(const char* target) {
  static const char prefix[] = "cuda:";
  bool is_named = target && strncmp(target, prefix, sizeof(prefix) - 1) == 0;
  return dnn_device_properties(is_named ? target + sizeof(prefix) - 1 : "sm_90");
}

// cuDNN asks a driver even where a device is described. Where none is installed, the one beside
// this plugin says that there is no device.
static void ensure_driver(void) {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  Dl_info info;
  if (!driver && dladdr((const void*)&ensure_driver, &info) && info.dli_fname) {
    char path[1024];
    const char* slash = strrchr(info.dli_fname, '/');
    int folder = slash ? (int)(slash - info.dli_fname) : 0;
    int size = snprintf(path, sizeof(path), "%.*s/no_driver/libcuda.so.1", folder, info.dli_fname);
    if (slash && size > 0 && (size_t)size < sizeof(path)) {
      driver = dlopen(path, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
    }
  }
  if (driver) dlclose(driver);
}

trivet_status_t dnn_offline_open(trivet_allocator_t allocator, dnn_library_t* out_library) {
  ensure_driver();
  return dnn_library_open(allocator, out_library);
}

const char* dnn_offline_reason(trivet_status_t status, char text[DNN_REASON_SIZE]) {
  snprintf(text, DNN_REASON_SIZE, "%s", trivet_status_message(status));
  trivet_status_free(status);
  return text;
}

static trivet_status_t make_wanted(const void* self, trivet_allocator_t allocator,
                                   uint8_t** out_data, size_t* out_size) {
  const dnn_offline_blob_t* blob = (const dnn_offline_blob_t*)self;
  char* text = NULL;
  uint64_t size = 0;
  dnn_library_t library;
  TRIVET_RETURN_IF_ERROR(dnn_offline_open(allocator, &library));
  trivet_status_t status = blob->build(blob->self, &library, allocator, &text, &size);
  dnn_library_close(&library);
  *out_data = (uint8_t*)text;
  *out_size = (size_t)size;
  return status;
}

// The text of the plan, of |arena|; none where it cannot be built here.
static trivet_status_t find_plan(const trivet_region_t* region, const dnn_offline_blob_t* blob,
                                 char** out_text, uint64_t* out_size, bool* out_owned) {
  trivet_allocator_t allocator = region->graph->allocator;
  const tvi_cached_code_t* known =
      region->code_cache ? tvi_code_cache_find(region->code_cache, blob->key) : NULL;
  if (known) {
    *out_text = (char*)known->data;
    *out_size = known->size;
    return TRIVET_OK;
  }
  dnn_library_t library;
  TRIVET_RETURN_IF_ERROR(dnn_offline_open(allocator, &library));
  trivet_status_free(blob->build(blob->self, &library, allocator, out_text, out_size));
  dnn_library_close(&library);
  *out_owned = *out_text != NULL;
  if (!*out_text || !region->code_cache) return TRIVET_OK;
  return tvi_code_cache_add(region->code_cache, blob->key, *out_text, (size_t)*out_size);
}

// Plans of one version of the library are none of another.
static tvi_hash128_t key_of(const dnn_offline_blob_t* blob, trivet_allocator_t allocator) {
  dnn_library_t library;
  uint64_t parts[3] = {blob->key.low, blob->key.high, 0};
  trivet_status_t status = dnn_offline_open(allocator, &library);
  if (!status) {
    parts[2] = library.cudnnGetVersion();
    dnn_library_close(&library);
  }
  trivet_status_free(status);
  return tvi_hash128(parts, sizeof(parts), 0);
}

trivet_status_t dnn_offline_set_blob(const trivet_region_t* region, const dnn_offline_blob_t* given,
                                     trivet_emission_t* emission) {
  dnn_offline_blob_t with_key = *given;
  const dnn_offline_blob_t* blob = &with_key;
  with_key.key = key_of(given, region->graph->allocator);
  char* text = NULL;
  uint64_t size = 0;
  bool owned = false;
  uint8_t* data = NULL;
  tvi_code_cache_t* cache = region->code_cache;
  if (cache && cache->is_collecting) {
    if (tvi_code_cache_find(cache, blob->key)) return TRIVET_OK;
    void *self = NULL, *wanted = NULL;
    dnn_offline_blob_t copy = *blob;
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_copy(emission->arena, blob->self, (size_t)blob->self_size, &self));
    copy.self = self;
    TRIVET_RETURN_IF_ERROR(tvi_arena_copy(emission->arena, &copy, sizeof(copy), &wanted));
    return tvi_code_cache_request(cache, blob->key, make_wanted, wanted);
  }
  trivet_status_t status = find_plan(region, blob, &text, &size, &owned);
  *blob->plan_size = size;
  uint64_t total = blob->head_size + size;
  if (!status) {
    status = tvi_arena_alloc_array_zeroed(emission->arena, (size_t)total, 1, &data);
  }
  if (!status) {
    memcpy(data, blob->head, (size_t)blob->head_size);
    if (text) memcpy(data + blob->head_size, text, (size_t)size);
    status = emission->set_blob(emission->self, data, total);
  }
  if (owned) tvi_free(region->graph->allocator, text, (size_t)size);
  return status;
}
