// SPDX-License-Identifier: Apache-2.0
//
// A fork-join pool behind trivet_executor_t: the one set of threads that kernels on the host use,
// those of a library that brings its own parallel loops included. Knows nothing of tiles, plans or
// contexts.

#ifndef TRIVET_RUNTIME_DEVICE_CPU_THREAD_POOL_H_
#define TRIVET_RUNTIME_DEVICE_CPU_THREAD_POOL_H_

#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_thread_pool_t tvi_thread_pool_t;

typedef struct tvi_thread_pool_options_t {
  uint32_t thread_count;      // the caller's included; 0: as many as this process may use
  uint32_t spin_nanoseconds;  // that a worker waits awake for the next call; 0: 50 microseconds
} tvi_thread_pool_options_t;

// Starts thread_count - 1 workers. |options| may be NULL. UNAVAILABLE when the system gives no
// thread.
trivet_status_t tvi_thread_pool_create(const tvi_thread_pool_options_t* options,
                                       trivet_allocator_t allocator,
                                       tvi_thread_pool_t** out_pool) TRIVET_MUST_USE;
// Ends the workers. No call may be in progress. Accepts NULL.
void tvi_thread_pool_destroy(tvi_thread_pool_t* pool);

// The pool as kernels see it; lives as long as the pool. Its `parallel` runs count tasks at the
// same time, one on the caller's thread (index 0): tasks may wait for each other. Any thread may
// call it; a second caller waits until the pool is free. It allocates nothing. A count of 1 runs on
// the caller at once, whoever holds the pool.
trivet_executor_t* tvi_thread_pool_executor(tvi_thread_pool_t* pool);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_RUNTIME_DEVICE_CPU_THREAD_POOL_H_
