// SPDX-License-Identifier: Apache-2.0
//
// The form of the registry, shared by its files: registry.c (storage and look-up), plugin_check.c
// (what a plugin must satisfy) and registry_load.c (opening, describing). Nobody else includes it.
#ifndef TRIVET_CORE_REGISTRY_REGISTRY_INTERNAL_H_
#define TRIVET_CORE_REGISTRY_REGISTRY_INTERNAL_H_

#include "core/base/arena.h"
#include "core/base/library.h"
#include "core/base/vector.h"
#include "core/registry/registry.h"

// One definition that the registry keeps.
typedef struct tvi_registry_item_s {
  uint32_t struct_type;
  uint32_t version;  // 0 for kinds without one
  const char* name;
  const void* definition;
  tvi_operator_entry_t* operator_entry;  // operators only; owned
  struct tvi_kir_function_s* function;   // scalar functions only; owned
} tvi_registry_item_t;

typedef struct tvi_registry_plugin_s {
  const trivet_plugin_t* plugin;
  tvi_library_t* library;  // NULL: linked in
  char* path;              // owned
  size_t path_size;
} tvi_registry_plugin_t;

typedef struct tvi_registry_replacement_s {
  uint32_t struct_type;
  uint32_t version;  // 0: any
  char* name;        // owned, in the arena
  char* plugin;
} tvi_registry_replacement_t;

typedef TVI_VECTOR(tvi_registry_item_t) tvi_registry_items_t;

struct tvi_registry_s {
  trivet_allocator_t allocator;
  tvi_registry_options_t options;
  tvi_arena_t arena;  // names of replacements
  TVI_VECTOR(tvi_registry_plugin_t) plugins;
  tvi_registry_items_t items;     // in order of registration
  TVI_VECTOR(uint32_t) sorted;    // positions in items, by kind, name, version
  tvi_registry_items_t replaced;  // kept, since graphs may hold them
  TVI_VECTOR(tvi_registry_replacement_t) replacements;
};

// Kinds of definitions that share their names: passes and rewrites do, both run from pipelines.
uint32_t tvi_registry_name_space(uint32_t struct_type);
// Position in `items` or UINT32_MAX. version 0: newest.
uint32_t tvi_registry_find(const tvi_registry_t* registry, uint32_t struct_type, const char* name,
                           uint32_t version);

// Checks everything about `plugin` but where it came from. The definitions that the registry would
// keep are appended to `items` (also on failure: the caller frees them with
// tvi_registry_items_deinit). `base_name`: what the name must equal; empty: anything.
// `built_in`: it may define operators without text in the namespace `core`.
trivet_status_t tvi_registry_check_plugin(const tvi_registry_t* registry,
                                          const trivet_plugin_t* plugin,
                                          trivet_string_view_t base_name, bool built_in,
                                          tvi_registry_items_t* items);
void tvi_registry_items_deinit(const tvi_registry_t* registry, tvi_registry_items_t* items);
// True when `plugin` may replace the definition.
bool tvi_registry_may_replace(const tvi_registry_t* registry, const tvi_registry_item_t* item,
                              const char* plugin);
// Makes checked items visible. Takes what `items` holds; on error nothing has changed.
trivet_status_t tvi_registry_commit(tvi_registry_t* registry, const trivet_plugin_t* plugin,
                                    tvi_library_t* library, const char* path,
                                    tvi_registry_items_t* items);

#endif  // TRIVET_CORE_REGISTRY_REGISTRY_INTERNAL_H_
