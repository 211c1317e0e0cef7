// SPDX-License-Identifier: Apache-2.0
//
// A hash map from text (tvi_map_) or 64-bit numbers (tvi_idmap_) to 64-bit values. Entries are
// visited in the order of insertion, so whatever is printed from a map is deterministic. A map
// keeps copies of its keys. One thread at a time; readers alone may be many.

#ifndef TRIVET_CORE_BASE_MAP_H_
#define TRIVET_CORE_BASE_MAP_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_map_entry_t {
  uint64_t hash;
  const char* key_data;  // the map's copy, with a NUL behind it; NULL in a tvi_idmap_t
  uint64_t key;          // length of the text, or the numeric key
  uint64_t value;
} tvi_map_entry_t;

typedef struct tvi_map_t {
  trivet_allocator_t allocator;
  tvi_map_entry_t* entries;  // in order of insertion; removed ones are marked
  uint32_t* slots;           // open addressing: index into entries plus 1, or 0
  uint8_t* removed;
  size_t count;        // live entries
  size_t entry_count;  // live and removed
  size_t entry_capacity;
  size_t slot_count;  // power of two, or 0
} tvi_map_t;

// Prepares an empty map; allocates nothing.
void tvi_map_init(tvi_map_t* map, trivet_allocator_t allocator);
// Frees all memory; leaves an empty map. Accepts a map of zero bytes.
void tvi_map_deinit(tvi_map_t* map);
// Removes all entries, keeps the memory.
void tvi_map_clear(tvi_map_t* map);
static inline size_t tvi_map_count(const tvi_map_t* map) { return map->count; }

// Looks a key up; false when absent (output untouched; it may be NULL).
bool tvi_map_get(const tvi_map_t* map, trivet_string_view_t key, uint64_t* out_value);
// Inserts or overwrites. On error (OUT_OF_MEMORY) the map is unchanged.
trivet_status_t tvi_map_set(tvi_map_t* map, trivet_string_view_t key,
                            uint64_t value) TRIVET_MUST_USE;
// Inserts `value` when the key is absent. *out_value is what the map holds afterwards;
// *out_inserted (may be NULL) tells which.
trivet_status_t tvi_map_insert(tvi_map_t* map, trivet_string_view_t key, uint64_t value,
                               uint64_t* out_value, bool* out_inserted) TRIVET_MUST_USE;
// Removes a key; false when it was absent.
bool tvi_map_remove(tvi_map_t* map, trivet_string_view_t key);

// Visits live entries in order of insertion: begin with *cursor = 0; NULL at the end. Inserting
// while visiting is not allowed, removing is (the entry's key is gone then).
//   size_t cursor = 0;
//   for (const tvi_map_entry_t* e; (e = tvi_map_next(&map, &cursor)) != NULL;) ...
const tvi_map_entry_t* tvi_map_next(const tvi_map_t* map, size_t* cursor);

static inline trivet_string_view_t tvi_map_entry_key(const tvi_map_entry_t* entry) {
  trivet_string_view_t key;
  key.data = entry->key_data;
  key.size = (size_t)entry->key;
  return key;
}

// Pointers as values.
static inline void* tvi_map_get_pointer(const tvi_map_t* map, trivet_string_view_t key) {
  uint64_t value = 0;
  return tvi_map_get(map, key, &value) ? (void*)(uintptr_t)value : NULL;
}
static inline trivet_status_t tvi_map_set_pointer(tvi_map_t* map, trivet_string_view_t key,
                                                  const void* value) {
  return tvi_map_set(map, key, (uint64_t)(uintptr_t)value);
}

// The same map with numbers as keys.
typedef struct tvi_idmap_t {
  tvi_map_t map;
} tvi_idmap_t;

static inline void tvi_idmap_init(tvi_idmap_t* map, trivet_allocator_t allocator) {
  tvi_map_init(&map->map, allocator);
}
static inline void tvi_idmap_deinit(tvi_idmap_t* map) { tvi_map_deinit(&map->map); }
static inline void tvi_idmap_clear(tvi_idmap_t* map) { tvi_map_clear(&map->map); }
static inline size_t tvi_idmap_count(const tvi_idmap_t* map) { return map->map.count; }
bool tvi_idmap_get(const tvi_idmap_t* map, uint64_t key, uint64_t* out_value);
trivet_status_t tvi_idmap_set(tvi_idmap_t* map, uint64_t key, uint64_t value) TRIVET_MUST_USE;
trivet_status_t tvi_idmap_insert(tvi_idmap_t* map, uint64_t key, uint64_t value,
                                 uint64_t* out_value, bool* out_inserted) TRIVET_MUST_USE;
bool tvi_idmap_remove(tvi_idmap_t* map, uint64_t key);
static inline const tvi_map_entry_t* tvi_idmap_next(const tvi_idmap_t* map, size_t* cursor) {
  return tvi_map_next(&map->map, cursor);
}

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_MAP_H_
