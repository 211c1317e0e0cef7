// SPDX-License-Identifier: Apache-2.0
//
// The insertion-ordered hash map: entries lie in a dense array, a table of indices with linear
// probing finds them. Removal marks the entry and leaves its index in the table; growth drops both.

#include "core/base/map.h"

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/checked.h"
#include "core/base/hash.h"
#include "core/base/status.h"

void tvi_map_init(tvi_map_t* map, trivet_allocator_t allocator) {
  memset(map, 0, sizeof(*map));
  map->allocator = allocator;
}

static void free_key(const tvi_map_t* map, tvi_map_entry_t* entry) {
  tvi_free(map->allocator, (char*)entry->key_data, entry->key_data != NULL ? entry->key + 1 : 0);
  entry->key_data = NULL;
}

static void free_keys(const tvi_map_t* map) {
  for (size_t i = 0; i < map->entry_count; ++i) {
    if (!map->removed[i]) free_key(map, &map->entries[i]);
  }
}

static void free_arrays(const tvi_map_t* map) {
  tvi_free_array(map->allocator, map->entries, map->entry_capacity, sizeof(*map->entries));
  tvi_free_array(map->allocator, map->removed, map->entry_capacity, sizeof(*map->removed));
  tvi_free_array(map->allocator, map->slots, map->slot_count, sizeof(*map->slots));
}

void tvi_map_deinit(tvi_map_t* map) {
  free_keys(map);
  free_arrays(map);
  tvi_map_init(map, map->allocator);
}

void tvi_map_clear(tvi_map_t* map) {
  free_keys(map);
  if (map->slots != NULL) memset(map->slots, 0, map->slot_count * sizeof(*map->slots));
  map->count = 0;
  map->entry_count = 0;
}

static tvi_map_entry_t text_probe(trivet_string_view_t key) {
  tvi_map_entry_t probe = {tvi_hash_string(key), key.data != NULL ? key.data : "", key.size, 0};
  return probe;
}

static tvi_map_entry_t id_probe(uint64_t key) {
  tvi_map_entry_t probe = {tvi_hash_combine(0, key), NULL, key, 0};
  return probe;
}

static bool same_key(const tvi_map_entry_t* a, const tvi_map_entry_t* b) {
  if (a->hash != b->hash || a->key != b->key) return false;
  if (a->key_data == NULL || b->key_data == NULL) return a->key_data == b->key_data;
  return memcmp(a->key_data, b->key_data, (size_t)a->key) == 0;
}

static tvi_map_entry_t* find(const tvi_map_t* map, const tvi_map_entry_t* probe) {
  if (map->count == 0) return NULL;
  size_t mask = map->slot_count - 1;
  for (size_t slot = (size_t)probe->hash & mask;; slot = (slot + 1) & mask) {
    uint32_t index = map->slots[slot];
    if (index == 0) return NULL;
    tvi_map_entry_t* entry = &map->entries[index - 1];
    if (!map->removed[index - 1] && same_key(entry, probe)) return entry;
  }
}

static void place(uint32_t* slots, size_t slot_count, uint64_t hash, size_t index) {
  size_t mask = slot_count - 1;
  size_t slot = (size_t)hash & mask;
  while (slots[slot] != 0) slot = (slot + 1) & mask;
  slots[slot] = (uint32_t)index + 1;
}

// Makes room for one entry more: new arrays hold the live entries alone.
static trivet_status_t grow(tvi_map_t* map) {
  size_t capacity = map->count < 4 ? 8 : map->count * 2;
  if (capacity > UINT32_MAX / 2) {
    return TRIVET_STATUS(OUT_OF_RANGE, "a map cannot hold more than %zu entries", map->count);
  }
  size_t slot_count = 16;
  while (slot_count < capacity * 2) slot_count *= 2;
  trivet_allocator_t allocator = map->allocator;
  tvi_map_entry_t* entries = NULL;
  uint8_t* removed = NULL;
  uint32_t* slots = NULL;
  trivet_status_t status = tvi_alloc_array(allocator, capacity, sizeof(*entries), &entries);
  if (status == NULL) status = tvi_alloc_array_zeroed(allocator, capacity, 1, &removed);
  if (status == NULL) {
    status = tvi_alloc_array_zeroed(allocator, slot_count, sizeof(*slots), &slots);
  }
  if (status != NULL) {
    tvi_free_array(allocator, entries, capacity, sizeof(*entries));
    tvi_free_array(allocator, removed, capacity, 1);
    return status;
  }
  size_t count = 0;
  for (size_t i = 0; i < map->entry_count; ++i) {
    if (map->removed[i]) continue;
    entries[count] = map->entries[i];
    place(slots, slot_count, entries[count].hash, count);
    ++count;
  }
  free_arrays(map);
  map->entries = entries;
  map->removed = removed;
  map->slots = slots;
  map->count = count;
  map->entry_count = count;
  map->entry_capacity = capacity;
  map->slot_count = slot_count;
  return TRIVET_OK;
}

static trivet_status_t add(tvi_map_t* map, const tvi_map_entry_t* probe, uint64_t value) {
  if (map->entry_count == map->entry_capacity) TRIVET_RETURN_IF_ERROR(grow(map));
  char* key = NULL;
  if (probe->key_data != NULL) {
    TRIVET_RETURN_IF_ERROR(tvi_alloc(map->allocator, (size_t)probe->key + 1, &key));
    memcpy(key, probe->key_data, (size_t)probe->key);
    key[probe->key] = '\0';
  }
  size_t index = map->entry_count++;
  map->entries[index] = *probe;
  map->entries[index].key_data = key;
  map->entries[index].value = value;
  map->removed[index] = 0;
  place(map->slots, map->slot_count, probe->hash, index);
  ++map->count;
  return TRIVET_OK;
}

static bool get(const tvi_map_t* map, tvi_map_entry_t probe, uint64_t* out_value) {
  const tvi_map_entry_t* entry = find(map, &probe);
  if (entry == NULL) return false;
  if (out_value != NULL) *out_value = entry->value;
  return true;
}

static trivet_status_t set(tvi_map_t* map, tvi_map_entry_t probe, uint64_t value) {
  tvi_map_entry_t* entry = find(map, &probe);
  if (entry == NULL) return add(map, &probe, value);
  entry->value = value;
  return TRIVET_OK;
}

static trivet_status_t insert(tvi_map_t* map, tvi_map_entry_t probe, uint64_t value,
                              uint64_t* out_value, bool* out_inserted) {
  const tvi_map_entry_t* entry = find(map, &probe);
  if (entry == NULL) TRIVET_RETURN_IF_ERROR(add(map, &probe, value));
  if (out_value != NULL) *out_value = entry != NULL ? entry->value : value;
  if (out_inserted != NULL) *out_inserted = entry == NULL;
  return TRIVET_OK;
}

static bool remove_entry(tvi_map_t* map, tvi_map_entry_t probe) {
  tvi_map_entry_t* entry = find(map, &probe);
  if (entry == NULL) return false;
  free_key(map, entry);
  map->removed[entry - map->entries] = 1;
  --map->count;
  return true;
}

bool tvi_map_get(const tvi_map_t* map, trivet_string_view_t key, uint64_t* out_value) {
  return get(map, text_probe(key), out_value);
}

trivet_status_t tvi_map_set(tvi_map_t* map, trivet_string_view_t key, uint64_t value) {
  return set(map, text_probe(key), value);
}

trivet_status_t tvi_map_insert(tvi_map_t* map, trivet_string_view_t key, uint64_t value,
                               uint64_t* out_value, bool* out_inserted) {
  return insert(map, text_probe(key), value, out_value, out_inserted);
}

bool tvi_map_remove(tvi_map_t* map, trivet_string_view_t key) {
  return remove_entry(map, text_probe(key));
}

const tvi_map_entry_t* tvi_map_next(const tvi_map_t* map, size_t* cursor) {
  while (*cursor < map->entry_count) {
    size_t index = (*cursor)++;
    if (!map->removed[index]) return &map->entries[index];
  }
  return NULL;
}

bool tvi_idmap_get(const tvi_idmap_t* map, uint64_t key, uint64_t* out_value) {
  return get(&map->map, id_probe(key), out_value);
}

trivet_status_t tvi_idmap_set(tvi_idmap_t* map, uint64_t key, uint64_t value) {
  return set(&map->map, id_probe(key), value);
}

trivet_status_t tvi_idmap_insert(tvi_idmap_t* map, uint64_t key, uint64_t value,
                                 uint64_t* out_value, bool* out_inserted) {
  return insert(&map->map, id_probe(key), value, out_value, out_inserted);
}

bool tvi_idmap_remove(tvi_idmap_t* map, uint64_t key) {
  return remove_entry(&map->map, id_probe(key));
}
