// SPDX-License-Identifier: Apache-2.0
//
// The way to heap memory: thin checked calls on a trivet_allocator_t. Every allocation of the
// library goes through these, so failing the n-th one is testable. Sizes are given again at the
// free; keep them beside the pointer. `out_pointer` is the address of a pointer of any type.

#ifndef TRIVET_CORE_BASE_ALLOCATOR_H_
#define TRIVET_CORE_BASE_ALLOCATOR_H_

#include <stddef.h>

#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

// Alignment of every allocation that does not state its own.
#define TVI_DEFAULT_ALIGNMENT ((size_t)16)

// The allocator itself, or the system's when `allocate` is NULL. For public entry points.
trivet_allocator_t tvi_allocator_or_system(trivet_allocator_t allocator);

// Functions behind the macros below; `out_pointer` points to a pointer. On error it is untouched.
trivet_status_t tvi_allocate_memory(trivet_allocator_t allocator, size_t size, size_t alignment,
                                    void* out_pointer) TRIVET_MUST_USE;
trivet_status_t tvi_allocate_array_memory(trivet_allocator_t allocator, size_t count,
                                          size_t element_size, int zeroed,
                                          void* out_pointer) TRIVET_MUST_USE;
trivet_status_t tvi_reallocate_array_memory(trivet_allocator_t allocator, void* pointer_address,
                                            size_t old_count, size_t new_count,
                                            size_t element_size) TRIVET_MUST_USE;

// Refuses, at compile time, an output that is not the address of a pointer.
#define TVI_POINTER_ADDRESS_(out) ((void)sizeof((const void*)*(out)), (void*)(out))

// Allocates `size` uninitialised bytes: TRIVET_RETURN_IF_ERROR(tvi_alloc(a, sizeof(*node), &node)).
// Size 0 gives NULL and OK. OUT_OF_MEMORY names the size.
#define tvi_alloc(allocator, size, out_pointer) \
  tvi_allocate_memory(allocator, size, TVI_DEFAULT_ALIGNMENT, TVI_POINTER_ADDRESS_(out_pointer))
#define tvi_alloc_aligned(allocator, size, alignment, out_pointer) \
  tvi_allocate_memory(allocator, size, alignment, TVI_POINTER_ADDRESS_(out_pointer))
// The same, all bytes zero.
#define tvi_alloc_zeroed(allocator, size, out_pointer) \
  tvi_allocate_array_memory(allocator, 1, size, 1, TVI_POINTER_ADDRESS_(out_pointer))
// Arrays; OUT_OF_RANGE when count * element_size overflows.
#define tvi_alloc_array(allocator, count, element_size, out_pointer) \
  tvi_allocate_array_memory(allocator, count, element_size, 0, TVI_POINTER_ADDRESS_(out_pointer))
#define tvi_alloc_array_zeroed(allocator, count, element_size, out_pointer) \
  tvi_allocate_array_memory(allocator, count, element_size, 1, TVI_POINTER_ADDRESS_(out_pointer))
// Changes the length of the array whose pointer lies at `pointer_address`; new elements are
// uninitialised; new_count 0 frees it and stores NULL. On error the old array stays valid.
#define tvi_realloc_array(allocator, pointer_address, old_count, new_count, element_size)  \
  tvi_reallocate_array_memory(allocator, TVI_POINTER_ADDRESS_(pointer_address), old_count, \
                              new_count, element_size)

// Frees what the calls above gave; `size` is the size asked for. Accepts NULL.
void tvi_free(trivet_allocator_t allocator, void* pointer, size_t size);
void tvi_free_aligned(trivet_allocator_t allocator, void* pointer, size_t size, size_t alignment);
void tvi_free_array(trivet_allocator_t allocator, void* pointer, size_t count, size_t element_size);

// Copies text and ends it with a NUL that the size does not count: free with
// tvi_free(allocator, *out_text, text.size + 1).
trivet_status_t tvi_copy_string(trivet_allocator_t allocator, trivet_string_view_t text,
                                char** out_text) TRIVET_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_ALLOCATOR_H_
