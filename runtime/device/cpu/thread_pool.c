// SPDX-License-Identifier: Apache-2.0
//
// Workers spin for a short while after each call, since kernels of one plan follow each other
// within microseconds, then sleep on a condition. A call is a generation number: workers that it
// needs see it change, take the task, and count themselves off.

#include "runtime/device/cpu/thread_pool.h"

#include <sched.h>
#include <stdatomic.h>

#include "core/base/allocator.h"
#include "core/base/clock.h"
#include "core/base/status.h"
#include "core/base/thread.h"

#define DEFAULT_SPIN_NANOSECONDS 50000u
#define MOST_THREADS 1024u

typedef void (*task_t)(void* argument, uint32_t index, uint32_t count);

typedef struct worker_t {
  tvi_thread_t thread;
  tvi_thread_pool_t* pool;
  uint32_t index;  // from 1: 0 is the caller
  bool is_started;
} worker_t;

struct tvi_thread_pool_t {
  trivet_executor_t executor;  // first: the handle that kernels get
  trivet_allocator_t allocator;
  uint32_t thread_count;
  int64_t spin_nanoseconds;
  atomic_flag is_taken;  // by a caller
  // The call in progress: written before the generation changes.
  task_t task;
  void* argument;
  // Number of the call (upper half) and its count of tasks (lower half): one word, so that a worker
  // never pairs the count of one call with the number of another.
  _Atomic uint64_t generation;
  _Atomic uint32_t running;   // workers that have not finished
  _Atomic uint32_t sleepers;  // workers on the condition
  _Atomic uint32_t is_ending;
  tvi_mutex_t mutex;
  tvi_condition_t condition;
  worker_t* workers;
};

static inline void pause_briefly(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  atomic_signal_fence(memory_order_seq_cst);
#endif
}

// Waits for a generation other than |seen|.
static uint64_t wait_for_call(tvi_thread_pool_t* pool, uint64_t seen) {
  const int64_t deadline = tvi_clock_now_ns() + pool->spin_nanoseconds;
  for (;;) {
    for (uint32_t i = 0; i < 64; ++i) {
      uint64_t generation = atomic_load_explicit(&pool->generation, memory_order_acquire);
      if (generation != seen) return generation;
      pause_briefly();
    }
    if (tvi_clock_now_ns() >= deadline) break;
  }
  tvi_mutex_lock(&pool->mutex);
  // Sequentially consistent with the caller's order of generation, then sleepers: one of the two
  // sees the other.
  atomic_fetch_add(&pool->sleepers, 1);
  uint64_t generation;
  while ((generation = atomic_load(&pool->generation)) == seen)
    tvi_condition_wait(&pool->condition, &pool->mutex);
  atomic_fetch_sub(&pool->sleepers, 1);
  tvi_mutex_unlock(&pool->mutex);
  return generation;
}

static void run_worker(void* self) {
  worker_t* worker = self;
  tvi_thread_pool_t* pool = worker->pool;
  uint64_t seen = 0;
  for (;;) {
    seen = wait_for_call(pool, seen);
    if (atomic_load_explicit(&pool->is_ending, memory_order_acquire)) return;
    const uint32_t count = (uint32_t)seen;
    if (worker->index >= count) continue;
    pool->task(pool->argument, worker->index, count);
    atomic_fetch_sub_explicit(&pool->running, 1, memory_order_release);
  }
}

static void wake(tvi_thread_pool_t* pool, uint32_t count) {
  const uint64_t next =
      ((atomic_load_explicit(&pool->generation, memory_order_relaxed) >> 32) + 1) << 32 | count;
  atomic_store(&pool->generation, next);
  if (atomic_load(&pool->sleepers) == 0) return;
  tvi_mutex_lock(&pool->mutex);
  tvi_condition_broadcast(&pool->condition);
  tvi_mutex_unlock(&pool->mutex);
}

static uint32_t thread_count(const trivet_executor_t* executor) {
  return ((const tvi_thread_pool_t*)executor)->thread_count;
}

static void parallel(trivet_executor_t* executor, uint32_t count, task_t task, void* argument) {
  tvi_thread_pool_t* pool = (tvi_thread_pool_t*)executor;
  if (count == 0) return;
  if (count > pool->thread_count) count = pool->thread_count;
  if (count == 1) {
    task(argument, 0, 1);
    return;
  }
  for (uint32_t tries = 0; atomic_flag_test_and_set_explicit(&pool->is_taken, memory_order_acquire);
       ++tries) {
    if (tries < 256) {
      pause_briefly();
    } else {
      sched_yield();
    }
  }
  pool->task = task;
  pool->argument = argument;
  atomic_store_explicit(&pool->running, count - 1, memory_order_relaxed);
  wake(pool, count);
  task(argument, 0, count);
  for (uint32_t tries = 0; atomic_load_explicit(&pool->running, memory_order_acquire) != 0;
       ++tries) {
    // With more threads than processors the worker waited for may need this one.
    if (tries < 4096) {
      pause_briefly();
    } else {
      sched_yield();
    }
  }
  atomic_flag_clear_explicit(&pool->is_taken, memory_order_release);
}

static const trivet_executor_api_t kExecutorApi = {
    .struct_size = sizeof(trivet_executor_api_t),
    .abi_minor = TRIVET_ABI_MINOR,
    .thread_count = thread_count,
    .parallel = parallel,
};

trivet_status_t tvi_thread_pool_create(const tvi_thread_pool_options_t* options,
                                       trivet_allocator_t allocator, tvi_thread_pool_t** out_pool) {
  uint32_t count = options ? options->thread_count : 0;
  if (count == 0) count = tvi_thread_processor_count();
  if (count > MOST_THREADS)
    return TRIVET_STATUS(INVALID_ARGUMENT, "a pool of %u threads, at most %u are possible", count,
                         MOST_THREADS);
  tvi_thread_pool_t* pool = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*pool), &pool));
  pool->executor.api = &kExecutorApi;
  pool->allocator = allocator;
  pool->thread_count = count;
  pool->spin_nanoseconds = options && options->spin_nanoseconds ? (int64_t)options->spin_nanoseconds
                                                                : (int64_t)DEFAULT_SPIN_NANOSECONDS;
  atomic_flag_clear(&pool->is_taken);
  trivet_status_t status = tvi_mutex_init(&pool->mutex);
  if (status) {
    tvi_free(allocator, pool, sizeof(*pool));
    return status;
  }
  status = tvi_condition_init(&pool->condition);
  if (status) {
    tvi_mutex_deinit(&pool->mutex);
    tvi_free(allocator, pool, sizeof(*pool));
    return status;
  }
  status = tvi_alloc_array_zeroed(allocator, count - 1, sizeof(*pool->workers), &pool->workers);
  for (uint32_t i = 0; !status && i + 1 < count; ++i) {
    worker_t* worker = &pool->workers[i];
    worker->pool = pool;
    worker->index = i + 1;
    status = tvi_thread_start(&worker->thread, "trivet", run_worker, worker);
    worker->is_started = status == NULL;
  }
  if (status) {
    tvi_thread_pool_destroy(pool);
    return status;
  }
  *out_pool = pool;
  return TRIVET_OK;
}

void tvi_thread_pool_destroy(tvi_thread_pool_t* pool) {
  if (!pool) return;
  atomic_store_explicit(&pool->is_ending, 1, memory_order_release);
  wake(pool, 0);
  for (uint32_t i = 0; pool->workers && i + 1 < pool->thread_count; ++i)
    if (pool->workers[i].is_started) tvi_thread_join(&pool->workers[i].thread);
  tvi_free_array(pool->allocator, pool->workers, pool->thread_count - 1, sizeof(*pool->workers));
  tvi_condition_deinit(&pool->condition);
  tvi_mutex_deinit(&pool->mutex);
  tvi_free(pool->allocator, pool, sizeof(*pool));
}

trivet_executor_t* tvi_thread_pool_executor(tvi_thread_pool_t* pool) { return &pool->executor; }
