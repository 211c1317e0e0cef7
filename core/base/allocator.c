// SPDX-License-Identifier: Apache-2.0
//
// The system allocator and the checked calls on any allocator. The only place that turns a NULL of
// an allocator into a status.

#include "core/base/allocator.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/status.h"

static void* system_allocate(void* self, size_t size, size_t alignment) {
  (void)self;
  if (alignment <= _Alignof(max_align_t)) return malloc(size);
  void* pointer = NULL;
  return posix_memalign(&pointer, alignment, size) == 0 ? pointer : NULL;
}

static void system_deallocate(void* self, void* pointer, size_t size, size_t alignment) {
  (void)self;
  (void)size;
  (void)alignment;
  free(pointer);
}

static void* system_reallocate(void* self, void* pointer, size_t old_size, size_t new_size,
                               size_t alignment) {
  if (alignment <= _Alignof(max_align_t)) return realloc(pointer, new_size);
  void* moved = system_allocate(self, new_size, alignment);
  if (moved == NULL) return NULL;
  memcpy(moved, pointer, old_size < new_size ? old_size : new_size);
  free(pointer);
  return moved;
}

trivet_allocator_t trivet_allocator_system(void) {
  trivet_allocator_t allocator = {NULL, system_allocate, system_reallocate, system_deallocate};
  return allocator;
}

trivet_allocator_t tvi_allocator_or_system(trivet_allocator_t allocator) {
  return allocator.allocate != NULL ? allocator : trivet_allocator_system();
}

trivet_status_t tvi_allocate_memory(trivet_allocator_t allocator, size_t size, size_t alignment,
                                    void* out_pointer) {
  void* pointer = NULL;
  if (size != 0) {
    pointer = allocator.allocate(allocator.self, size, alignment);
    if (pointer == NULL) return TRIVET_STATUS(OUT_OF_MEMORY, "cannot allocate %zu bytes", size);
  }
  // The output is a pointer of unknown type: storing its bytes keeps to the aliasing rules.
  memcpy(out_pointer, &pointer, sizeof(pointer));
  return TRIVET_OK;
}

trivet_status_t tvi_allocate_array_memory(trivet_allocator_t allocator, size_t count,
                                          size_t element_size, int zeroed, void* out_pointer) {
  size_t size;
  if (!tvi_checked_mul_size(count, element_size, &size)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "%zu elements of %zu bytes are too large", count,
                         element_size);
  }
  void* pointer = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_allocate_memory(allocator, size, TVI_DEFAULT_ALIGNMENT, (void*)&pointer));
  if (zeroed && pointer != NULL) memset(pointer, 0, size);
  memcpy(out_pointer, &pointer, sizeof(pointer));
  return TRIVET_OK;
}

trivet_status_t tvi_reallocate_array_memory(trivet_allocator_t allocator, void* pointer_address,
                                            size_t old_count, size_t new_count,
                                            size_t element_size) {
  void* pointer;
  memcpy(&pointer, pointer_address, sizeof(pointer));
  size_t old_size = old_count * element_size;
  size_t new_size;
  if (!tvi_checked_mul_size(new_count, element_size, &new_size)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "%zu elements of %zu bytes are too large", new_count,
                         element_size);
  }
  if (old_size == new_size) return TRIVET_OK;
  void* moved = NULL;
  if (new_size == 0) {
    tvi_free(allocator, pointer, old_size);
  } else if (pointer != NULL && allocator.reallocate != NULL) {
    moved =
        allocator.reallocate(allocator.self, pointer, old_size, new_size, TVI_DEFAULT_ALIGNMENT);
    if (moved == NULL) {
      return TRIVET_STATUS(OUT_OF_MEMORY, "cannot allocate %zu bytes", new_size);
    }
  } else {
    TRIVET_RETURN_IF_ERROR(
        tvi_allocate_memory(allocator, new_size, TVI_DEFAULT_ALIGNMENT, (void*)&moved));
    if (pointer != NULL) memcpy(moved, pointer, old_size < new_size ? old_size : new_size);
    tvi_free(allocator, pointer, old_size);
  }
  memcpy(pointer_address, &moved, sizeof(moved));
  return TRIVET_OK;
}

void tvi_free_aligned(trivet_allocator_t allocator, void* pointer, size_t size, size_t alignment) {
  if (pointer != NULL) allocator.deallocate(allocator.self, pointer, size, alignment);
}

void tvi_free(trivet_allocator_t allocator, void* pointer, size_t size) {
  tvi_free_aligned(allocator, pointer, size, TVI_DEFAULT_ALIGNMENT);
}

void tvi_free_array(trivet_allocator_t allocator, void* pointer, size_t count,
                    size_t element_size) {
  tvi_free(allocator, pointer, count * element_size);
}

trivet_status_t tvi_copy_string(trivet_allocator_t allocator, trivet_string_view_t text,
                                char** out_text) {
  size_t size;
  if (!tvi_checked_add_size(text.size, 1, &size)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "text of %zu bytes is too large", text.size);
  }
  char* copy = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc(allocator, size, &copy));
  if (text.size != 0) memcpy(copy, text.data, text.size);
  copy[text.size] = '\0';
  *out_text = copy;
  return TRIVET_OK;
}
