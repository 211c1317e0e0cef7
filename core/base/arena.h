// SPDX-License-Identifier: Apache-2.0
//
// A bump arena: many small allocations that live and die together (graph nodes, parsed text).
// Pointers stay where they are until reset or deinit. One thread at a time.

#ifndef TRIVET_CORE_BASE_ARENA_H_
#define TRIVET_CORE_BASE_ARENA_H_

#include "core/base/allocator.h"
#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tvi_arena_block_t;

typedef struct tvi_arena_t {
  trivet_allocator_t allocator;
  struct tvi_arena_block_t* head;  // block that is being filled; older ones hang behind it
  size_t block_size;               // usable bytes of an ordinary block
  size_t used_bytes;               // handed out, padding included
  size_t reserved_bytes;           // taken from the allocator
} tvi_arena_t;

// Prepares an arena; allocates nothing. `block_size` 0 means 16 KiB. Larger requests get a block of
// their own.
void tvi_arena_init(tvi_arena_t* arena, trivet_allocator_t allocator, size_t block_size);

// Frees everything. Accepts an arena of zero bytes that was never initialised.
void tvi_arena_deinit(tvi_arena_t* arena);

// Makes all memory free again and keeps one block: all earlier pointers are dead.
void tvi_arena_reset(tvi_arena_t* arena);

// Functions behind the macros; `out_pointer` is the address of a pointer.
trivet_status_t tvi_arena_allocate_memory(tvi_arena_t* arena, size_t count, size_t element_size,
                                          size_t alignment, int zeroed,
                                          void* out_pointer) TRIVET_MUST_USE;

// Uninitialised bytes, aligned to 16. Size 0 gives NULL and OK.
#define tvi_arena_alloc(arena, size, out_pointer)                     \
  tvi_arena_allocate_memory(arena, 1, size, TVI_DEFAULT_ALIGNMENT, 0, \
                            TVI_POINTER_ADDRESS_(out_pointer))
#define tvi_arena_alloc_aligned(arena, size, alignment, out_pointer) \
  tvi_arena_allocate_memory(arena, 1, size, alignment, 0, TVI_POINTER_ADDRESS_(out_pointer))
#define tvi_arena_alloc_zeroed(arena, size, out_pointer)              \
  tvi_arena_allocate_memory(arena, 1, size, TVI_DEFAULT_ALIGNMENT, 1, \
                            TVI_POINTER_ADDRESS_(out_pointer))
#define tvi_arena_alloc_array(arena, count, element_size, out_pointer)            \
  tvi_arena_allocate_memory(arena, count, element_size, TVI_DEFAULT_ALIGNMENT, 0, \
                            TVI_POINTER_ADDRESS_(out_pointer))
#define tvi_arena_alloc_array_zeroed(arena, count, element_size, out_pointer)     \
  tvi_arena_allocate_memory(arena, count, element_size, TVI_DEFAULT_ALIGNMENT, 1, \
                            TVI_POINTER_ADDRESS_(out_pointer))

// Copies `size` bytes into the arena.
trivet_status_t tvi_arena_copy(tvi_arena_t* arena, const void* bytes, size_t size,
                               void** out_bytes) TRIVET_MUST_USE;

// Copies text into the arena; the copy is followed by a NUL that its size does not count.
trivet_status_t tvi_arena_strdup(tvi_arena_t* arena, trivet_string_view_t text,
                                 trivet_string_view_t* out_text) TRIVET_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_ARENA_H_
