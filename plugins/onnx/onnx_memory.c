// SPDX-License-Identifier: Apache-2.0
//
// Memory of the ONNX frontend: an arena over the builder's scratch, the same as an allocator for
// protobuf-c with a budget, and a map from names. Scratch ends with parse, so there is no free and
// no error path that could leak.
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

#define CHUNK ((uint64_t)1 << 16)

static trivet_status_t take(tvi_onnx_arena_t* arena, uint64_t size, void** out_memory) {
  size = (size + 15) & ~(uint64_t)15;
  if (size > arena->left) {
    void* memory = NULL;
    if (size > CHUNK / 4) {
      // A large piece gets memory of its own, so that the rest of the current chunk is not lost.
      TVI_ONNX_RETURN_IF_ERROR(arena->builder->api->scratch(arena->builder, size + 15, &memory));
      *out_memory = (void*)(((uintptr_t)memory + 15) & ~(uintptr_t)15);
      arena->used += size;
      return NULL;
    }
    TVI_ONNX_RETURN_IF_ERROR(arena->builder->api->scratch(arena->builder, CHUNK + 15, &memory));
    arena->next = (uint8_t*)(((uintptr_t)memory + 15) & ~(uintptr_t)15);
    arena->left = CHUNK;
  }
  *out_memory = arena->next;
  arena->next += size;
  arena->left -= size;
  arena->used += size;
  return NULL;
}

trivet_status_t tvi_onnx_arena_allocate(tvi_onnx_arena_t* arena, uint64_t count, uint64_t size,
                                        void* out_memory) {
  if (count == 0 || size == 0) count = size = 1;
  uint64_t bytes;
  if (__builtin_mul_overflow(count, size, &bytes) || bytes > ((uint64_t)1 << 46)) {
    return arena->builder->api->error(arena->builder, TRIVET_STATUS_OUT_OF_MEMORY,
                                      "%llu elements of %llu bytes do not fit into memory",
                                      (unsigned long long)count, (unsigned long long)size);
  }
  void* memory = NULL;
  TVI_ONNX_RETURN_IF_ERROR(take(arena, bytes, &memory));
  memset(memory, 0, (size_t)bytes);
  memcpy(out_memory, &memory, sizeof memory);
  return NULL;
}

static void* protobuf_allocate(void* self, size_t size) {
  tvi_onnx_arena_t* arena = self;
  void* memory = NULL;
  if (arena->failed != 0 || size > arena->budget || arena->used > arena->budget - size) {
    arena->failed = 1;
    return NULL;
  }
  trivet_status_t status = take(arena, size == 0 ? 1 : size, &memory);
  if (status != NULL) {
    // A status can only be returned, and protobuf-c knows none: the caller asks again and gets it.
    arena->pending = status;
    arena->failed = 1;
    return NULL;
  }
  return memory;
}

static void protobuf_free(void* self, void* pointer) {
  (void)self;
  (void)pointer;
}

ProtobufCAllocator tvi_onnx_arena_protobuf(tvi_onnx_arena_t* arena) {
  ProtobufCAllocator allocator = {protobuf_allocate, protobuf_free, arena};
  return allocator;
}

static uint64_t hash(const char* key) {
  uint64_t h = 14695981039346656037u;
  for (; *key != 0; ++key) h = (h ^ (uint8_t)*key) * 1099511628211u;
  return h ^ (h >> 29);
}

// The entry of |key|, or the free one where it belongs. The table is never full.
static tvi_onnx_map_entry_t* slot(tvi_onnx_map_entry_t* entries, uint64_t capacity,
                                  const char* key) {
  uint64_t i = hash(key) & (capacity - 1);
  while (entries[i].key != NULL && strcmp(entries[i].key, key) != 0) i = (i + 1) & (capacity - 1);
  return &entries[i];
}

const uint64_t* tvi_onnx_map_find(const tvi_onnx_map_t* map, const char* key) {
  if (map->capacity == 0) return NULL;
  const tvi_onnx_map_entry_t* entry = slot(map->entries, map->capacity, key);
  return entry->key != NULL ? &entry->value : NULL;
}

trivet_status_t tvi_onnx_map_add(tvi_onnx_arena_t* arena, tvi_onnx_map_t* map, const char* key,
                                 uint64_t value, uint32_t* out_added) {
  if (map->count * 2 >= map->capacity) {
    uint64_t capacity = map->capacity == 0 ? 16 : map->capacity * 2;
    tvi_onnx_map_entry_t* entries = NULL;
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_arena_allocate(arena, capacity, sizeof *entries, &entries));
    for (uint64_t i = 0; i < map->capacity; ++i) {
      if (map->entries[i].key != NULL)
        *slot(entries, capacity, map->entries[i].key) = map->entries[i];
    }
    map->entries = entries;
    map->capacity = capacity;
  }
  tvi_onnx_map_entry_t* entry = slot(map->entries, map->capacity, key);
  *out_added = entry->key == NULL;
  if (entry->key == NULL) {
    entry->key = key;
    entry->value = value;
    ++map->count;
  }
  return NULL;
}
