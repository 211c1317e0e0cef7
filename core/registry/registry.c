// SPDX-License-Identifier: Apache-2.0
//
// Storage and look-up of definitions. Names are kept in one sorted list, so that adding the
// definitions of a plugin is: reserve everything, then change, which cannot fail half-way.
#include "core/registry/registry.h"

#include <string.h>

#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/registry/registry_internal.h"

trivet_status_t tvi_registry_create(const tvi_registry_options_t* options,
                                    trivet_allocator_t allocator, tvi_registry_t** out_registry) {
  if ((options->halves & TRIVET_HALF_BUILD) != 0 && options->operator_parser == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "a registry of build halves needs an operator parser");
  }
  allocator = tvi_allocator_or_system(allocator);
  tvi_registry_t* registry;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*registry), &registry));
  registry->allocator = allocator;
  registry->options = *options;
  tvi_arena_init(&registry->arena, allocator, 0);
  tvi_vector_init(&registry->plugins, allocator);
  tvi_vector_init(&registry->items, allocator);
  tvi_vector_init(&registry->sorted, allocator);
  tvi_vector_init(&registry->replaced, allocator);
  tvi_vector_init(&registry->replacements, allocator);
  *out_registry = registry;
  return TRIVET_OK;
}

void tvi_registry_items_deinit(const tvi_registry_t* registry, tvi_registry_items_t* items) {
  const tvi_operator_parser_t* parser = registry->options.operator_parser;
  for (size_t i = 0; i < items->count; ++i) {
    tvi_operator_entry_t* entry = items->data[i].operator_entry;
    if (entry != NULL && entry->parsed != NULL) {
      parser->release((struct tvi_kir_operator_s*)entry->parsed);
    }
    tvi_free(registry->allocator, entry, sizeof(*entry));
    if (items->data[i].function != NULL) parser->release_function(items->data[i].function);
  }
  tvi_vector_deinit(items);
}

void tvi_registry_destroy(tvi_registry_t* registry) {
  if (registry == NULL) return;
  trivet_allocator_t allocator = registry->allocator;
  tvi_registry_items_deinit(registry, &registry->items);
  tvi_registry_items_deinit(registry, &registry->replaced);
  // Definitions are data of the libraries, so those close last.
  for (size_t i = registry->plugins.count; i-- > 0;) {
    tvi_library_close(registry->plugins.data[i].library);
    tvi_free(allocator, registry->plugins.data[i].path, registry->plugins.data[i].path_size);
  }
  tvi_vector_deinit(&registry->plugins);
  tvi_vector_deinit(&registry->sorted);
  tvi_vector_deinit(&registry->replacements);
  tvi_arena_deinit(&registry->arena);
  tvi_free(allocator, registry, sizeof(*registry));
}

uint32_t tvi_registry_name_space(uint32_t struct_type) {
  return struct_type == TRIVET_STRUCT_REWRITE ? TRIVET_STRUCT_PASS : struct_type;
}

static int compare_item(const tvi_registry_item_t* item, uint32_t struct_type, const char* name,
                        uint32_t version) {
  uint32_t a = tvi_registry_name_space(item->struct_type);
  uint32_t b = tvi_registry_name_space(struct_type);
  if (a != b) return a < b ? -1 : 1;
  int order = strcmp(item->name, name);
  if (order != 0) return order;
  return item->version < version ? -1 : item->version > version;
}

// First position in the sorted list whose item is not below the key.
static size_t lower_bound(const tvi_registry_t* registry, uint32_t struct_type, const char* name,
                          uint32_t version) {
  size_t low = 0;
  size_t high = registry->sorted.count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const tvi_registry_item_t* item = &registry->items.data[registry->sorted.data[middle]];
    if (compare_item(item, struct_type, name, version) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

uint32_t tvi_registry_find(const tvi_registry_t* registry, uint32_t struct_type, const char* name,
                           uint32_t version) {
  size_t at;
  if (version != 0) {
    at = lower_bound(registry, struct_type, name, version);
  } else {
    // The newest is the last one not above the greatest version.
    at = lower_bound(registry, struct_type, name, UINT32_MAX);
    bool exact = at < registry->sorted.count &&
                 compare_item(&registry->items.data[registry->sorted.data[at]], struct_type, name,
                              UINT32_MAX) == 0;
    if (!exact) {
      if (at == 0) return UINT32_MAX;
      --at;
      version = registry->items.data[registry->sorted.data[at]].version;
    } else {
      version = UINT32_MAX;
    }
  }
  if (at >= registry->sorted.count) return UINT32_MAX;
  uint32_t index = registry->sorted.data[at];
  if (compare_item(&registry->items.data[index], struct_type, name, version) != 0) {
    return UINT32_MAX;
  }
  return index;
}

trivet_status_t tvi_registry_commit(tvi_registry_t* registry, const trivet_plugin_t* plugin,
                                    tvi_library_t* library, const char* path,
                                    tvi_registry_items_t* items) {
  char* own_path;
  TRIVET_RETURN_IF_ERROR(tvi_copy_string(registry->allocator, tvi_sv(path), &own_path));
  size_t path_size = strlen(path) + 1;
  trivet_status_t status = tvi_vector_reserve(&registry->plugins, 1);
  if (status == NULL) status = tvi_vector_reserve(&registry->items, items->count);
  if (status == NULL) status = tvi_vector_reserve(&registry->sorted, items->count);
  if (status == NULL) status = tvi_vector_reserve(&registry->replaced, items->count);
  if (status != NULL) {
    tvi_free(registry->allocator, own_path, path_size);
    return status;
  }
  registry->plugins.data[registry->plugins.count++] =
      (tvi_registry_plugin_t){plugin, library, own_path, path_size};
  for (size_t i = 0; i < items->count; ++i) {
    tvi_registry_item_t* item = &items->data[i];
    size_t at = lower_bound(registry, item->struct_type, item->name, item->version);
    if (at < registry->sorted.count) {
      tvi_registry_item_t* old = &registry->items.data[registry->sorted.data[at]];
      if (compare_item(old, item->struct_type, item->name, item->version) == 0) {
        registry->replaced.data[registry->replaced.count++] = *old;
        *old = *item;
        continue;
      }
    }
    registry->items.data[registry->items.count] = *item;
    memmove(registry->sorted.data + at + 1, registry->sorted.data + at,
            (registry->sorted.count - at) * sizeof(*registry->sorted.data));
    registry->sorted.data[at] = (uint32_t)registry->items.count;
    ++registry->sorted.count;
    ++registry->items.count;
  }
  items->count = 0;
  return TRIVET_OK;
}

trivet_status_t tvi_registry_allow_replace(tvi_registry_t* registry, uint32_t struct_type,
                                           const char* name, const char* plugin) {
  trivet_string_view_t base = tvi_sv(name);
  uint64_t version = 0;
  size_t slash = tvi_sv_find_last(base, '/');
  if (slash != SIZE_MAX) {
    if (!tvi_sv_parse_u64(tvi_sv_slice(base, slash + 1, SIZE_MAX), &version) || version == 0 ||
        version > UINT32_MAX) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "'%s' has no version after its '/'", name);
    }
    base = tvi_sv_slice(base, 0, slash);
  }
  trivet_string_view_t own_name;
  trivet_string_view_t own_plugin;
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(&registry->arena, base, &own_name));
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(&registry->arena, tvi_sv(plugin), &own_plugin));
  tvi_registry_replacement_t replacement = {struct_type, (uint32_t)version, (char*)own_name.data,
                                            (char*)own_plugin.data};
  return tvi_vector_push(&registry->replacements, replacement);
}

bool tvi_registry_may_replace(const tvi_registry_t* registry, const tvi_registry_item_t* item,
                              const char* plugin) {
  for (size_t i = 0; i < registry->replacements.count; ++i) {
    const tvi_registry_replacement_t* each = &registry->replacements.data[i];
    if (each->struct_type == item->struct_type && strcmp(each->name, item->name) == 0 &&
        strcmp(each->plugin, plugin) == 0 &&
        (each->version == 0 || each->version == item->version)) {
      return true;
    }
  }
  return false;
}

const trivet_plugin_t* tvi_registry_find_plugin(const tvi_registry_t* registry,
                                                trivet_string_view_t name) {
  for (size_t i = 0; i < registry->plugins.count; ++i) {
    const trivet_plugin_t* plugin = registry->plugins.data[i].plugin;
    if (tvi_sv_equal_cstr(name, plugin->name)) return plugin;
  }
  return NULL;
}

uint32_t tvi_registry_plugin_count(const tvi_registry_t* registry) {
  return (uint32_t)registry->plugins.count;
}

const trivet_plugin_t* tvi_registry_plugin(const tvi_registry_t* registry, uint32_t index) {
  return index < registry->plugins.count ? registry->plugins.data[index].plugin : NULL;
}

const char* tvi_registry_plugin_path(const tvi_registry_t* registry, uint32_t index) {
  return index < registry->plugins.count ? registry->plugins.data[index].path : NULL;
}

static const void* find_definition(const tvi_registry_t* registry, uint32_t struct_type,
                                   const char* name, uint32_t version) {
  uint32_t index = tvi_registry_find(registry, struct_type, name, version);
  if (index == UINT32_MAX || registry->items.data[index].struct_type != struct_type) return NULL;
  return registry->items.data[index].definition;
}

const tvi_operator_entry_t* tvi_registry_operator(const tvi_registry_t* registry, const char* name,
                                                  uint32_t version) {
  uint32_t index = tvi_registry_find(registry, TRIVET_STRUCT_OPERATOR, name, version);
  return index == UINT32_MAX ? NULL : registry->items.data[index].operator_entry;
}

const trivet_kernel_t* tvi_registry_kernel(const tvi_registry_t* registry, const char* name,
                                           uint32_t version) {
  return find_definition(registry, TRIVET_STRUCT_KERNEL, name, version);
}

const trivet_pass_t* tvi_registry_pass(const tvi_registry_t* registry, const char* name) {
  return find_definition(registry, TRIVET_STRUCT_PASS, name, 0);
}

const trivet_rewrite_t* tvi_registry_rewrite(const tvi_registry_t* registry, const char* name) {
  return find_definition(registry, TRIVET_STRUCT_REWRITE, name, 0);
}

const trivet_frontend_t* tvi_registry_frontend(const tvi_registry_t* registry, const char* name) {
  return find_definition(registry, TRIVET_STRUCT_FRONTEND, name, 0);
}

const trivet_scalar_function_t* tvi_registry_scalar_function(const tvi_registry_t* registry,
                                                             const char* name) {
  return find_definition(registry, TRIVET_STRUCT_SCALAR_FUNCTION, name, 0);
}

bool tvi_target_matches(trivet_string_view_t target, const char* name) {
  size_t size = strlen(name);
  return target.size >= size && memcmp(target.data, name, size) == 0 &&
         (target.size == size || target.data[size] == ':');
}

const trivet_device_t* tvi_registry_device(const tvi_registry_t* registry,
                                           trivet_string_view_t target) {
  for (size_t i = 0; i < registry->items.count; ++i) {
    const tvi_registry_item_t* item = &registry->items.data[i];
    if (item->struct_type != TRIVET_STRUCT_DEVICE) continue;
    if (tvi_target_matches(target, item->name)) return item->definition;
  }
  return NULL;
}

const struct tvi_kir_function_s* tvi_registry_parsed_function(const tvi_registry_t* registry,
                                                              trivet_string_view_t name) {
  char text[256];
  if (name.size >= sizeof(text)) return NULL;
  memcpy(text, name.data, name.size);
  text[name.size] = '\0';
  uint32_t index = tvi_registry_find(registry, TRIVET_STRUCT_SCALAR_FUNCTION, text, 0);
  return index == UINT32_MAX ? NULL : registry->items.data[index].function;
}

const void* tvi_registry_definition(const tvi_registry_t* registry, uint32_t struct_type,
                                    uint32_t index) {
  for (size_t i = 0; i < registry->items.count; ++i) {
    if (registry->items.data[i].struct_type == struct_type && index-- == 0) {
      return registry->items.data[i].definition;
    }
  }
  return NULL;
}

const char* tvi_registry_kind_name(uint32_t struct_type) {
  switch (struct_type) {
    case TRIVET_STRUCT_PLUGIN:
      return "plugin";
    case TRIVET_STRUCT_OPERATOR:
      return "operator";
    case TRIVET_STRUCT_KERNEL:
      return "kernel";
    case TRIVET_STRUCT_PASS:
      return "pass";
    case TRIVET_STRUCT_REWRITE:
      return "rewrite";
    case TRIVET_STRUCT_FRONTEND:
      return "frontend";
    case TRIVET_STRUCT_TARGET:
      return "target";
    case TRIVET_STRUCT_SCALAR_FUNCTION:
      return "scalar function";
    case TRIVET_STRUCT_CALIBRATOR:
      return "calibrator";
    case TRIVET_STRUCT_DEVICE:
      return "device";
    default:
      return "definition";
  }
}
