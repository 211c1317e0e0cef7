// SPDX-License-Identifier: Apache-2.0
//
// The head of heap objects that threads share: a reference count and a function table. Put
// `tvi_object_t object;` first in the struct. Retain and release are thread-safe.

#ifndef TRIVET_CORE_BASE_REFCOUNT_H_
#define TRIVET_CORE_BASE_REFCOUNT_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_object_vtable_t {
  const char* type_name;
  // Required. Frees the object; called once, by the thread that released the last reference.
  void (*destroy)(void* object);
} tvi_object_vtable_t;

typedef struct tvi_object_t {
  int64_t ref_count;  // only touched atomically
  const tvi_object_vtable_t* vtable;
} tvi_object_t;

// One reference, the creator's.
static inline void tvi_object_init(tvi_object_t* object, const tvi_object_vtable_t* vtable) {
  object->vtable = vtable;
  __atomic_store_n(&object->ref_count, 1, __ATOMIC_RELEASE);
}

// Accepts NULL.
static inline void tvi_object_retain(tvi_object_t* object) {
  if (object != NULL) __atomic_fetch_add(&object->ref_count, 1, __ATOMIC_RELAXED);
}

// Accepts NULL. The last release destroys the object; everything that other threads did with it
// before their release happens before that.
static inline void tvi_object_release(tvi_object_t* object) {
  if (object != NULL && __atomic_fetch_sub(&object->ref_count, 1, __ATOMIC_ACQ_REL) == 1) {
    object->vtable->destroy(object);
  }
}

// True when the caller's reference is the only one.
static inline bool tvi_object_is_unique(const tvi_object_t* object) {
  return __atomic_load_n(&object->ref_count, __ATOMIC_ACQUIRE) == 1;
}

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_REFCOUNT_H_
