// SPDX-License-Identifier: Apache-2.0
//
// Mutex, condition and thread: thin wrappers of pthread so that failures become statuses. Locking
// cannot fail on an initialised mutex. No global state; no once-initialisation on purpose.

#ifndef TRIVET_CORE_BASE_THREAD_H_
#define TRIVET_CORE_BASE_THREAD_H_

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_mutex_t {
  pthread_mutex_t handle;
} tvi_mutex_t;

// Must stay at its address until deinit.
trivet_status_t tvi_mutex_init(tvi_mutex_t* mutex) TRIVET_MUST_USE;
void tvi_mutex_deinit(tvi_mutex_t* mutex);
void tvi_mutex_lock(tvi_mutex_t* mutex);
void tvi_mutex_unlock(tvi_mutex_t* mutex);

typedef struct tvi_condition_t {
  pthread_cond_t handle;
} tvi_condition_t;

// Waits count on the monotonic clock.
trivet_status_t tvi_condition_init(tvi_condition_t* condition) TRIVET_MUST_USE;
void tvi_condition_deinit(tvi_condition_t* condition);
// The mutex is held by the caller; spurious returns happen.
void tvi_condition_wait(tvi_condition_t* condition, tvi_mutex_t* mutex);
// False when `deadline_ns` (tvi_clock_now_ns) passed first.
bool tvi_condition_wait_until(tvi_condition_t* condition, tvi_mutex_t* mutex, int64_t deadline_ns);
void tvi_condition_signal(tvi_condition_t* condition);
void tvi_condition_broadcast(tvi_condition_t* condition);

typedef struct tvi_thread_t {
  pthread_t handle;
  void (*run)(void* self);
  void* self;
} tvi_thread_t;

// Starts run(self) on a new thread. `thread` must stay at its address until joined. `name` (at most
// 15 bytes are shown by the system) may be NULL. UNAVAILABLE when the system gives no thread.
trivet_status_t tvi_thread_start(tvi_thread_t* thread, const char* name, void (*run)(void* self),
                                 void* self) TRIVET_MUST_USE;
// Waits for the end of a started thread; once.
void tvi_thread_join(tvi_thread_t* thread);

// Processors that this process may run on; at least 1.
uint32_t tvi_thread_processor_count(void);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_THREAD_H_
