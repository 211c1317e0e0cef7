// SPDX-License-Identifier: Apache-2.0
//
// The bump arena: a chain of blocks, the newest in front. A request too large for a block of
// ordinary size gets its own block behind the head, so that the head's free space stays in use.

#include "core/base/arena.h"

#include <string.h>

#include "core/base/checked.h"
#include "core/base/status.h"

struct tvi_arena_block_t {
  struct tvi_arena_block_t* next;
  size_t capacity;  // usable bytes behind the block's head
  size_t used;
  size_t padding;  // keeps what follows aligned to 16
};

void tvi_arena_init(tvi_arena_t* arena, trivet_allocator_t allocator, size_t block_size) {
  memset(arena, 0, sizeof(*arena));
  arena->allocator = allocator;
  arena->block_size = block_size != 0 ? block_size : (size_t)16 * 1024;
}

static void free_blocks(tvi_arena_t* arena, struct tvi_arena_block_t* block) {
  while (block != NULL) {
    struct tvi_arena_block_t* next = block->next;
    arena->reserved_bytes -= sizeof(*block) + block->capacity;
    tvi_free(arena->allocator, block, sizeof(*block) + block->capacity);
    block = next;
  }
}

void tvi_arena_deinit(tvi_arena_t* arena) {
  free_blocks(arena, arena->head);
  arena->head = NULL;
  arena->used_bytes = 0;
}

void tvi_arena_reset(tvi_arena_t* arena) {
  if (arena->head != NULL) {
    free_blocks(arena, arena->head->next);
    arena->head->next = NULL;
    arena->head->used = 0;
  }
  arena->used_bytes = 0;
}

// Bytes to skip in the block so that the next address is aligned.
static size_t gap_before(const struct tvi_arena_block_t* block, size_t alignment) {
  uintptr_t next = (uintptr_t)(block + 1) + block->used;
  return (size_t)(-next & (uintptr_t)(alignment - 1));
}

static bool fits(const struct tvi_arena_block_t* block, size_t size, size_t alignment) {
  size_t free_bytes = block->capacity - block->used;
  size_t gap = gap_before(block, alignment);
  return gap <= free_bytes && size <= free_bytes - gap;
}

trivet_status_t tvi_arena_allocate_memory(tvi_arena_t* arena, size_t count, size_t element_size,
                                          size_t alignment, int zeroed, void* out_pointer) {
  size_t size;
  size_t with_gap;
  size_t total;
  if (!tvi_is_power_of_two(alignment)) {
    return TRIVET_STATUS(INTERNAL, "alignment %zu is not a power of two", alignment);
  }
  if (!tvi_checked_mul_size(count, element_size, &size) ||
      !tvi_checked_add_size(size, alignment, &with_gap) ||
      !tvi_checked_add_size(with_gap, sizeof(struct tvi_arena_block_t), &total)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "%zu elements of %zu bytes are too large", count,
                         element_size);
  }
  uint8_t* pointer = NULL;
  if (size != 0) {
    struct tvi_arena_block_t* block = arena->head;
    if (block == NULL || !fits(block, size, alignment)) {
      bool is_large = with_gap > arena->block_size / 2;
      size_t capacity = is_large ? with_gap : arena->block_size;
      struct tvi_arena_block_t* made = NULL;
      TRIVET_RETURN_IF_ERROR(tvi_alloc(arena->allocator, sizeof(*made) + capacity, &made));
      made->capacity = capacity;
      made->used = 0;
      made->padding = 0;
      arena->reserved_bytes += sizeof(*made) + capacity;
      if (is_large && block != NULL) {
        made->next = block->next;
        block->next = made;
      } else {
        made->next = block;
        arena->head = made;
      }
      block = made;
    }
    size_t gap = gap_before(block, alignment);
    pointer = (uint8_t*)(block + 1) + block->used + gap;
    block->used += gap + size;
    arena->used_bytes += gap + size;
    if (zeroed) memset(pointer, 0, size);
  }
  memcpy(out_pointer, &pointer, sizeof(pointer));
  return TRIVET_OK;
}

trivet_status_t tvi_arena_copy(tvi_arena_t* arena, const void* bytes, size_t size,
                               void** out_bytes) {
  void* copy = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc(arena, size, &copy));
  if (size != 0) memcpy(copy, bytes, size);
  *out_bytes = copy;
  return TRIVET_OK;
}

trivet_status_t tvi_arena_strdup(tvi_arena_t* arena, trivet_string_view_t text,
                                 trivet_string_view_t* out_text) {
  size_t size;
  if (!tvi_checked_add_size(text.size, 1, &size)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "text of %zu bytes is too large", text.size);
  }
  char* copy = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_aligned(arena, size, 1, &copy));
  if (text.size != 0) memcpy(copy, text.data, text.size);
  copy[text.size] = '\0';
  out_text->data = copy;
  out_text->size = text.size;
  return TRIVET_OK;
}
