// SPDX-License-Identifier: Apache-2.0
//
// A growable typed array. Declare `TVI_VECTOR(node_t*) nodes;`, read `nodes.data[i]` and
// `nodes.count` directly. Growth doubles and moves elements: keep indices, not pointers. One thread
// at a time.

#ifndef TRIVET_CORE_BASE_VECTOR_H_
#define TRIVET_CORE_BASE_VECTOR_H_

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

// An anonymous struct type: to pass vectors to functions, give it a name with a typedef.
#define TVI_VECTOR(type)          \
  struct {                        \
    type* data;                   \
    size_t count;                 \
    size_t capacity;              \
    trivet_allocator_t allocator; \
  }

// Function behind the macros: makes room for `extra` more elements than `count`.
trivet_status_t tvi_vector_reserve_memory(trivet_allocator_t allocator, void* data_address,
                                          size_t* capacity, size_t count, size_t extra,
                                          size_t element_size) TRIVET_MUST_USE;

// Makes an empty vector; allocates nothing.
#define tvi_vector_init(vector, vector_allocator)                      \
  ((vector)->data = NULL, (vector)->count = 0, (vector)->capacity = 0, \
   (vector)->allocator = (vector_allocator), (void)0)

// Frees the elements' memory (not what they point to) and leaves an empty vector.
#define tvi_vector_deinit(vector)                                                         \
  (((vector)->capacity != 0 ? tvi_free_array((vector)->allocator, (vector)->data,         \
                                             (vector)->capacity, sizeof(*(vector)->data)) \
                            : (void)0),                                                   \
   (vector)->data = NULL, (vector)->count = 0, (vector)->capacity = 0, (void)0)

// Makes room for `extra` elements beyond the count.
#define tvi_vector_reserve(vector, extra)                                               \
  tvi_vector_reserve_memory((vector)->allocator, TVI_POINTER_ADDRESS_(&(vector)->data), \
                            &(vector)->capacity, (vector)->count, extra, sizeof(*(vector)->data))

// Appends one element. An expression of type trivet_status_t. The value is evaluated first, so it
// may refer to an element of the same vector.
#define tvi_vector_push(vector, ...)                                            \
  __extension__({                                                               \
    __typeof__(*(vector)->data) tvi_pushed_ = (__VA_ARGS__);                    \
    trivet_status_t tvi_push_status_ = tvi_vector_reserve(vector, 1);           \
    if (tvi_push_status_ == 0) (vector)->data[(vector)->count++] = tvi_pushed_; \
    tvi_push_status_;                                                           \
  })

// Appends `n` elements copied from `elements` (not from the vector itself).
#define tvi_vector_append(vector, elements, n)                                      \
  __extension__({                                                                   \
    const __typeof__(*(vector)->data)* tvi_elements_ = (elements);                  \
    size_t tvi_n_ = (n);                                                            \
    trivet_status_t tvi_append_status_ = tvi_vector_reserve(vector, tvi_n_);        \
    if (tvi_append_status_ == 0 && tvi_n_ != 0) {                                   \
      memcpy((void*)((vector)->data + (vector)->count), (const void*)tvi_elements_, \
             tvi_n_ * sizeof(*tvi_elements_));                                      \
      (vector)->count += tvi_n_;                                                    \
    }                                                                               \
    tvi_append_status_;                                                             \
  })

// Sets the count; new elements are zero bytes.
#define tvi_vector_resize(vector, new_count)                                                \
  __extension__({                                                                           \
    size_t tvi_new_ = (new_count);                                                          \
    trivet_status_t tvi_resize_status_ =                                                    \
        tvi_new_ > (vector)->count ? tvi_vector_reserve(vector, tvi_new_ - (vector)->count) \
                                   : (trivet_status_t)0;                                    \
    if (tvi_resize_status_ == 0) {                                                          \
      if (tvi_new_ > (vector)->count)                                                       \
        memset((void*)((vector)->data + (vector)->count), 0,                                \
               (tvi_new_ - (vector)->count) * sizeof(*(vector)->data));                     \
      (vector)->count = tvi_new_;                                                           \
    }                                                                                       \
    tvi_resize_status_;                                                                     \
  })

// Removes the element at `index`, keeping the order of the others.
#define tvi_vector_remove_at(vector, index)                                                 \
  do {                                                                                      \
    size_t tvi_at_ = (index);                                                               \
    memmove((void*)((vector)->data + tvi_at_), (const void*)((vector)->data + tvi_at_ + 1), \
            ((vector)->count - tvi_at_ - 1) * sizeof(*(vector)->data));                     \
    --(vector)->count;                                                                      \
  } while (0)

#define tvi_vector_clear(vector) ((vector)->count = 0, (void)0)

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_VECTOR_H_
