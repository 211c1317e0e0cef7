// SPDX-License-Identifier: Apache-2.0
//
// A runtime: the registry of run halves, with the CPU's own kernels in it, and what every engine
// shares: allocator and logger. It stands before any plan is loaded. No global state.
#include "trivet/runtime.h"

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "runtime/device/device.h"
#include "runtime/engine/engine.h"

#define VERSION_TEXT "0.1.0"

const char* trivet_version(void) { return VERSION_TEXT; }

trivet_status_t tvi_check_options(const trivet_header_t* header, const char* what,
                                  uint32_t struct_type, uint32_t least) {
  if (header == NULL) return TRIVET_OK;
  if (header->struct_type != struct_type) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%s: header.struct_type is 0x%08x, wanted 0x%08x", what,
                         header->struct_type, struct_type);
  }
  if (header->struct_size < least) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%s: header.struct_size is %u, wanted at least %u", what,
                         header->struct_size, least);
  }
  return TRIVET_OK;
}

trivet_status_t tvi_fill_struct(void* out_struct, const void* filled, uint32_t struct_type,
                                uint32_t least, uint32_t size) {
  trivet_header_t* header = out_struct;
  TRIVET_RETURN_IF_ERROR(tvi_check_options(header, "struct to be filled", struct_type, least));
  if (header->struct_size < size) size = header->struct_size;
  memcpy((char*)out_struct + sizeof(*header), (const char*)filled + sizeof(*header),
         size - sizeof(*header));
  return TRIVET_OK;
}

trivet_status_t trivet_runtime_create(const trivet_runtime_options_t* options,
                                      trivet_runtime_t** out_runtime) {
  if (out_runtime == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "out_runtime is NULL");
  TRIVET_RETURN_IF_ERROR(tvi_check_options(
      options != NULL ? &options->header : NULL, "runtime options", TRIVET_STRUCT_RUNTIME_OPTIONS,
      (uint32_t)offsetof(trivet_runtime_options_t, device_allocator)));
  trivet_allocator_t allocator = {0};
  trivet_logger_t logger = tvi_logger_null();
  trivet_device_allocator_t memory = {0};
  trivet_error_recorder_t recorder = {0};
  if (options != NULL) {
    allocator = options->allocator;
    logger = options->logger;
    if (TRIVET_HAS_FIELD(options, trivet_runtime_options_t, device_allocator)) {
      memory = options->device_allocator;
    }
    if (TRIVET_HAS_FIELD(options, trivet_runtime_options_t, error_recorder)) {
      recorder = options->error_recorder;
    }
  }
  if ((memory.allocate == NULL) != (memory.release == NULL)) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "runtime options: device_allocator has one of its two functions only");
  }
  allocator = tvi_allocator_or_system(allocator);
  trivet_runtime_t* runtime;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*runtime), &runtime));
  runtime->allocator = allocator;
  runtime->logger = logger;
  runtime->recorder = recorder;
  trivet_status_t status = tvi_device_list_init(&runtime->devices, allocator);
  if (status != NULL) {
    tvi_free(allocator, runtime, sizeof(*runtime));
    return status;
  }
  runtime->devices.memory = memory;
  tvi_registry_options_t registry = {.halves = TRIVET_HALF_RUN};
  status = tvi_registry_create(&registry, allocator, &runtime->registry);
  if (status == NULL) {
    status = tvi_registry_add(runtime->registry, tvi_device_builtin_query, "built in");
  }
  if (status != NULL) {
    trivet_runtime_destroy(runtime);
    return status;
  }
  *out_runtime = runtime;
  return TRIVET_OK;
}

void trivet_runtime_destroy(trivet_runtime_t* runtime) {
  if (runtime == NULL) return;
  tvi_device_list_deinit(&runtime->devices);
  tvi_registry_destroy(runtime->registry);
  tvi_free(runtime->allocator, runtime, sizeof(*runtime));
}

static trivet_status_t runtime_load_plugin(trivet_runtime_t* runtime, const char* path) {
  if (runtime == NULL || path == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%s is NULL", runtime == NULL ? "runtime" : "path");
  }
  TRIVET_RETURN_IF_ERROR(tvi_registry_load(runtime->registry, path));
  tvi_log(runtime->logger, TRIVET_SEVERITY_INFO, "plugin %s is loaded", path);
  return TRIVET_OK;
}

static trivet_status_t runtime_load_plugin_path(trivet_runtime_t* runtime, const char* path_list) {
  if (runtime == NULL || path_list == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%s is NULL", runtime == NULL ? "runtime" : "path_list");
  }
  return tvi_registry_load_path(runtime->registry, path_list);
}

static trivet_status_t runtime_add_plugin(
    trivet_runtime_t* runtime,
    const struct trivet_plugin_s* (*query)(uint32_t host_major, uint32_t host_minor)) {
  if (runtime == NULL || query == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%s is NULL", runtime == NULL ? "runtime" : "query");
  }
  return tvi_registry_add_linked(runtime->registry, query);
}

const char* trivet_runtime_device_target(const trivet_runtime_t* runtime, uint32_t index) {
  if (runtime == NULL) return NULL;
  const trivet_device_t* device =
      tvi_registry_definition(runtime->registry, TRIVET_STRUCT_DEVICE, index);
  return device != NULL ? device->target : NULL;
}

static trivet_status_t runtime_device(trivet_runtime_t* runtime, const char* target,
                                      uint32_t ordinal, trivet_device_record_t* out_record) {
  if (runtime == NULL || target == NULL || out_record == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "runtime, target or out_record is NULL");
  }
  trivet_string_view_t name = {target, strlen(target)};
  const trivet_device_t* definition = tvi_registry_device(runtime->registry, name);
  if (definition == NULL) {
    return TRIVET_STATUS(NOT_FOUND, "no loaded plugin brings a device of target '%s'", target);
  }
  const tvi_open_device_t* device;
  TRIVET_RETURN_IF_ERROR(tvi_device_list_open(&runtime->devices, definition, ordinal, &device));
  trivet_device_info_t info = device->info;
  TRIVET_RETURN_IF_ERROR(tvi_device_call(device, describe, &info));  // what is free changes
  trivet_device_record_t record = {.memory_size = info.memory_size,
                                   .memory_free = info.memory_free,
                                   .peak_flops = info.peak_flops};
  memcpy(record.name, device->info.name, sizeof(record.name));
  memcpy(record.target, device->info.target, sizeof(record.target));
  memcpy(record.signature, device->info.signature, sizeof(record.signature));
  return tvi_fill_struct(out_record, &record, TRIVET_STRUCT_DEVICE_RECORD,
                         (uint32_t)offsetof(trivet_device_record_t, peak_flops),
                         (uint32_t)sizeof(record));
}

void trivet_string_free(trivet_runtime_t* runtime, char* text) {
  if (runtime == NULL || text == NULL) return;
  tvi_free(runtime->allocator, text, strlen(text) + 1);
}

// --- Calls whose errors the caller's recorder gets --------------------------------------------

trivet_status_t trivet_runtime_load_plugin(trivet_runtime_t* runtime, const char* path) {
  return tvi_record(runtime ? &runtime->recorder : NULL, "trivet_runtime_load_plugin",
                    runtime_load_plugin(runtime, path));
}

trivet_status_t trivet_runtime_load_plugin_path(trivet_runtime_t* runtime, const char* path_list) {
  return tvi_record(runtime ? &runtime->recorder : NULL, "trivet_runtime_load_plugin_path",
                    runtime_load_plugin_path(runtime, path_list));
}

trivet_status_t trivet_runtime_add_plugin(
    trivet_runtime_t* runtime,
    const struct trivet_plugin_s* (*query)(uint32_t host_major, uint32_t host_minor)) {
  return tvi_record(runtime ? &runtime->recorder : NULL, "trivet_runtime_add_plugin",
                    runtime_add_plugin(runtime, query));
}

trivet_status_t trivet_runtime_device(trivet_runtime_t* runtime, const char* target,
                                      uint32_t ordinal, trivet_device_record_t* out_record) {
  return tvi_record(runtime ? &runtime->recorder : NULL, "trivet_runtime_device",
                    runtime_device(runtime, target, ordinal, out_record));
}
