// SPDX-License-Identifier: Apache-2.0
//
// What the compiler may use of devices: an executor to measure and fold with, and the kernels that
// the runtime brings itself. Everything else of a device is the runtime's own business.
#ifndef TRIVET_RUNTIME_DEVICE_DEVICE_H_
#define TRIVET_RUNTIME_DEVICE_DEVICE_H_

#include "trivet/plugin.h"

// A pool of |thread_count| threads, the caller's included. One caller at a time.
trivet_status_t tvi_device_executor_create(uint32_t thread_count, trivet_allocator_t allocator,
                                           trivet_executor_t** out_executor);
void tvi_device_executor_destroy(trivet_executor_t* executor);  // accepts NULL

// The plugin that holds the run halves of the built-in kernels.
const trivet_plugin_t* tvi_device_builtin_query(uint32_t host_major, uint32_t host_minor);

#endif  // TRIVET_RUNTIME_DEVICE_DEVICE_H_
