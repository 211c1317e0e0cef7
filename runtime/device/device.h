// SPDX-License-Identifier: Apache-2.0
//
// What the compiler and the engine share of devices: threads to run kernels with, and the kernels
// that the runtime brings itself. Everything else of a device is its own folder's business.
#ifndef TRIVET_RUNTIME_DEVICE_DEVICE_H_
#define TRIVET_RUNTIME_DEVICE_DEVICE_H_

#include "trivet/plugin.h"

typedef struct tvi_thread_pool_t tvi_device_pool_t;

// A pool of |thread_count| threads, the caller's included; 0: as many as this process may use. The
// executor lives as long as the pool.
trivet_status_t tvi_device_pool_create(uint32_t thread_count, trivet_allocator_t allocator,
                                       tvi_device_pool_t** out_pool,
                                       trivet_executor_t** out_executor);
void tvi_device_pool_destroy(tvi_device_pool_t* pool);  // accepts NULL

// The run half of the kernel that runs everything on the host, for targets that borrow it.
const trivet_kernel_t* tvi_device_tile_kernel(void);
// What trivet_kernel_load_t.error is.
trivet_status_t tvi_kernel_load_error(uint32_t code, const char* format, ...)
    TRIVET_PRINTF_FORMAT(2, 3);

// The plugin that holds the run halves of the built-in kernels.
const trivet_plugin_t* tvi_device_builtin_query(uint32_t host_major, uint32_t host_minor);

#endif  // TRIVET_RUNTIME_DEVICE_DEVICE_H_
