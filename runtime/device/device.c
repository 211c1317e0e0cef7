// SPDX-License-Identifier: Apache-2.0
//
// The built-in device: the CPU. The one file that lists the kernels which the runtime brings
// itself.
#include "runtime/device/device.h"

#include <stdarg.h>

#include "runtime/device/cpu/thread_pool.h"
#include "runtime/device/cpu/tile_kernel.h"

trivet_status_t tvi_device_pool_create(uint32_t thread_count, trivet_allocator_t allocator,
                                       tvi_device_pool_t** out_pool,
                                       trivet_executor_t** out_executor) {
  tvi_thread_pool_options_t options = {thread_count, 0};
  tvi_thread_pool_t* pool = NULL;
  trivet_status_t status = tvi_thread_pool_create(&options, allocator, &pool);
  if (status) return status;
  *out_pool = pool;
  *out_executor = tvi_thread_pool_executor(pool);
  return NULL;
}

void tvi_device_pool_destroy(tvi_device_pool_t* pool) { tvi_thread_pool_destroy(pool); }

static const void* const kDefinitions[] = {&tvi_tile_kernel_definition};

static const trivet_plugin_t kPlugin = {
    .header = {.struct_size = sizeof(trivet_plugin_t), .struct_type = TRIVET_STRUCT_PLUGIN},
    .abi_major = TRIVET_ABI_MAJOR,
    .abi_minor = TRIVET_ABI_MINOR,
    .sanitizer = TRIVET_SANITIZER,
    .halves = TRIVET_HALF_RUN,
    .name = "cpu_run",
    .version = "0.1",
    .summary = "kernels that every runtime holds",
    .definitions = kDefinitions,
    .definition_count = sizeof(kDefinitions) / sizeof(kDefinitions[0]),
};

const trivet_kernel_t* tvi_device_tile_kernel(void) { return &tvi_tile_kernel_definition; }

const trivet_plugin_t* tvi_device_builtin_query(uint32_t host_major, uint32_t host_minor) {
  (void)host_minor;
  return host_major == TRIVET_ABI_MAJOR ? &kPlugin : NULL;
}

trivet_status_t tvi_kernel_load_error(uint32_t code, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  trivet_status_t status = trivet_status_make_v(code, NULL, 0, format, arguments);
  va_end(arguments);
  return status;
}
