// SPDX-License-Identifier: Apache-2.0
//
// The six OpenMP entry points that the packaged oneDNN calls, on top of Trivet's own thread pool.
// This object is searched before libgomp when oneDNN's references are resolved, since it is what
// loads oneDNN; so there is one pool, of the size that the context was given, and no team that
// spins beside it. Where a program has brought libgomp into the global scope before, that one is
// found first, and all still works with its threads.
#include "plugins/cpu_onednn/onednn_openmp.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() ((void)0)
#endif

#define EXPORT __attribute__((visibility("default")))

typedef struct team_s {
  void (*body)(void*);
  void* data;
  uint32_t size;
  atomic_uint arrived;
  atomic_uint phase;
} team_t;

// OpenMP's interface passes no context, so the thread has to know. Set around each call of oneDNN.
static _Thread_local trivet_executor_t* executor;
static _Thread_local team_t* team;
static _Thread_local uint32_t member;

trivet_executor_t* onednn_executor_swap(trivet_executor_t* next) {
  trivet_executor_t* last = executor;
  executor = next;
  return last;
}

static void run_member(void* argument, uint32_t index, uint32_t count) {
  team_t* t = (team_t*)argument;
  team_t* outer = team;
  uint32_t outer_member = member;
  (void)count;
  team = t;
  member = index;
  t->body(t->data);
  team = outer;
  member = outer_member;
}

EXPORT int omp_get_max_threads(void);
EXPORT int omp_get_num_threads(void);
EXPORT int omp_get_thread_num(void);
EXPORT int omp_in_parallel(void);
EXPORT void GOMP_parallel(void (*body)(void*), void* data, unsigned count, unsigned flags);
EXPORT void GOMP_barrier(void);

EXPORT int omp_get_max_threads(void) {
  return executor && !team ? (int)executor->api->thread_count(executor) : 1;
}
EXPORT int omp_get_num_threads(void) { return team ? (int)team->size : 1; }
EXPORT int omp_get_thread_num(void) { return team ? (int)member : 0; }
EXPORT int omp_in_parallel(void) { return team && team->size > 1; }

EXPORT void GOMP_parallel(void (*body)(void*), void* data, unsigned count, unsigned flags) {
  (void)flags;
  uint32_t most = (uint32_t)omp_get_max_threads();
  if (count == 0 || count > most) count = most;
  team_t t;
  t.body = body;
  t.data = data;
  t.size = count;
  atomic_init(&t.arrived, 0);
  atomic_init(&t.phase, 0);
  if (count <= 1) {
    run_member(&t, 0, 1);
  } else {
    executor->api->parallel(executor, count, run_member, &t);
  }
}

EXPORT void GOMP_barrier(void) {
  team_t* t = team;
  if (!t || t->size <= 1) return;
  unsigned phase = atomic_load_explicit(&t->phase, memory_order_acquire);
  if (atomic_fetch_add_explicit(&t->arrived, 1, memory_order_acq_rel) + 1 == t->size) {
    atomic_store_explicit(&t->arrived, 0, memory_order_relaxed);
    atomic_store_explicit(&t->phase, phase + 1, memory_order_release);
    return;
  }
  while (atomic_load_explicit(&t->phase, memory_order_acquire) == phase) PAUSE();
}
