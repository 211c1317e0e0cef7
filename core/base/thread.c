// SPDX-License-Identifier: Apache-2.0
//
// Wrappers of pthread: creation can fail and says so, use cannot.
// Who makes threads owns them; nothing here is global.

#include "core/base/thread.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/status.h"

trivet_status_t tvi_mutex_init(tvi_mutex_t* mutex) {
  int error = pthread_mutex_init(&mutex->handle, NULL);
  if (error != 0) return TRIVET_STATUS(UNAVAILABLE, "cannot make a mutex (system error %d)", error);
  return TRIVET_OK;
}

void tvi_mutex_deinit(tvi_mutex_t* mutex) { pthread_mutex_destroy(&mutex->handle); }
void tvi_mutex_lock(tvi_mutex_t* mutex) { pthread_mutex_lock(&mutex->handle); }
void tvi_mutex_unlock(tvi_mutex_t* mutex) { pthread_mutex_unlock(&mutex->handle); }

trivet_status_t tvi_condition_init(tvi_condition_t* condition) {
  pthread_condattr_t attributes;
  int error = pthread_condattr_init(&attributes);
  if (error == 0) {
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    error = pthread_cond_init(&condition->handle, &attributes);
    pthread_condattr_destroy(&attributes);
  }
  if (error != 0) {
    return TRIVET_STATUS(UNAVAILABLE, "cannot make a condition (system error %d)", error);
  }
  return TRIVET_OK;
}

void tvi_condition_deinit(tvi_condition_t* condition) { pthread_cond_destroy(&condition->handle); }

void tvi_condition_wait(tvi_condition_t* condition, tvi_mutex_t* mutex) {
  pthread_cond_wait(&condition->handle, &mutex->handle);
}

bool tvi_condition_wait_until(tvi_condition_t* condition, tvi_mutex_t* mutex, int64_t deadline_ns) {
  struct timespec deadline = {deadline_ns / 1000000000, deadline_ns % 1000000000};
  return pthread_cond_timedwait(&condition->handle, &mutex->handle, &deadline) != ETIMEDOUT;
}

void tvi_condition_signal(tvi_condition_t* condition) { pthread_cond_signal(&condition->handle); }

void tvi_condition_broadcast(tvi_condition_t* condition) {
  pthread_cond_broadcast(&condition->handle);
}

static void* thread_main(void* argument) {
  tvi_thread_t* thread = argument;
  thread->run(thread->self);
  return NULL;
}

trivet_status_t tvi_thread_start(tvi_thread_t* thread, const char* name, void (*run)(void* self),
                                 void* self) {
  tvi_thread_t started = {0, run, self};
  *thread = started;
  int error = pthread_create(&thread->handle, NULL, thread_main, thread);
  if (error != 0) {
    return TRIVET_STATUS(UNAVAILABLE, "cannot start a thread (system error %d)", error);
  }
  if (name != NULL) {
    char shown[16];
    snprintf(shown, sizeof(shown), "%s", name);
    pthread_setname_np(thread->handle, shown);
  }
  return TRIVET_OK;
}

void tvi_thread_join(tvi_thread_t* thread) { pthread_join(thread->handle, NULL); }

uint32_t tvi_thread_processor_count(void) {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    int count = CPU_COUNT(&set);
    if (count > 0) return (uint32_t)count;
  }
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? (uint32_t)online : 1;
}
