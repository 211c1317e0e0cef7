// SPDX-License-Identifier: Apache-2.0
//
// Brings plugins in: opens shared objects, lets plugin_check.c judge them, and either commits or
// closes them again. Also says what an object would bring. Never searches for files and never looks
// at the current directory.
#include <string.h>

#include "core/base/file.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/registry/registry_internal.h"

// An opened plugin, checked but not visible yet.
typedef struct candidate_s {
  tvi_library_t* library;  // NULL: linked in
  const trivet_plugin_t* plugin;
  tvi_registry_items_t items;
} candidate_t;

static void candidate_deinit(const tvi_registry_t* registry, candidate_t* candidate) {
  // Parsed texts may point into the library's constants.
  tvi_registry_items_deinit(registry, &candidate->items);
  tvi_library_close(candidate->library);
}

static trivet_status_t check_candidate(const tvi_registry_t* registry,
                                       trivet_plugin_query_fn_t query,
                                       trivet_string_view_t base_name, bool built_in,
                                       candidate_t* candidate) {
  candidate->plugin = query(TRIVET_ABI_MAJOR, TRIVET_ABI_MINOR);
  // A plugin compiled before major 1 asks for its own; 1 is what 0 had become.
  if (candidate->plugin == NULL) candidate->plugin = query(0, TRIVET_ABI_MINOR);
  if (candidate->plugin == NULL) {
    return TRIVET_STATUS(INCOMPATIBLE, "%s(%u, %u) returned NULL: not made for this version",
                         TRIVET_PLUGIN_QUERY_SYMBOL, TRIVET_ABI_MAJOR, TRIVET_ABI_MINOR);
  }
  return tvi_registry_check_plugin(registry, candidate->plugin, base_name, built_in,
                                   &candidate->items);
}

static trivet_status_t check_library(const tvi_registry_t* registry, trivet_string_view_t base_name,
                                     candidate_t* candidate) {
  void* address = tvi_library_try_symbol(candidate->library, TRIVET_PLUGIN_QUERY_SYMBOL);
  if (address == NULL) {
    return TRIVET_STATUS(INCOMPATIBLE, "exports no symbol %s", TRIVET_PLUGIN_QUERY_SYMBOL);
  }
  trivet_plugin_query_fn_t query;
  memcpy(&query, &address, sizeof(query));
  return check_candidate(registry, query, base_name, false, candidate);
}

static trivet_status_t open_and_check(const tvi_registry_t* registry, const char* path,
                                      candidate_t* candidate) {
  if (strchr(path, '/') == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "wanted a path with a '/'; plugins are never searched for");
  }
  TRIVET_RETURN_IF_ERROR(tvi_library_open(path, registry->allocator, &candidate->library));
  trivet_string_view_t base_name = tvi_path_basename(tvi_sv(path));
  if (tvi_sv_ends_with(base_name, tvi_sv(".so"))) {
    base_name = tvi_sv_slice(base_name, 0, base_name.size - 3);
  }
  return check_library(registry, base_name, candidate);
}

// Makes a checked candidate visible, or frees it.
static trivet_status_t finish_load(tvi_registry_t* registry, const char* origin,
                                   candidate_t* candidate, trivet_status_t status) {
  if (status == NULL) {
    status = tvi_registry_commit(registry, candidate->plugin, candidate->library, origin,
                                 &candidate->items);
    if (status == NULL) candidate->library = NULL;
  }
  candidate_deinit(registry, candidate);
  return trivet_status_annotate(status, "plugin %s", origin);
}

trivet_status_t tvi_registry_load(tvi_registry_t* registry, const char* path) {
  candidate_t candidate = {0};
  tvi_vector_init(&candidate.items, registry->allocator);
  return finish_load(registry, path, &candidate, open_and_check(registry, path, &candidate));
}

trivet_status_t tvi_registry_load_memory(tvi_registry_t* registry, const char* name,
                                         const void* bytes, uint64_t size, const char* origin) {
  candidate_t candidate = {0};
  tvi_vector_init(&candidate.items, registry->allocator);
  trivet_status_t status =
      tvi_library_open_memory(name, bytes, size, registry->allocator, &candidate.library);
  if (status == NULL) status = check_library(registry, tvi_sv(name), &candidate);
  return finish_load(registry, origin, &candidate, status);
}

static trivet_status_t add_linked(tvi_registry_t* registry, trivet_plugin_query_fn_t query,
                                  const char* origin, bool built_in) {
  candidate_t candidate = {0};
  tvi_vector_init(&candidate.items, registry->allocator);
  trivet_status_t status =
      check_candidate(registry, query, (trivet_string_view_t){0}, built_in, &candidate);
  if (status == NULL) {
    status = tvi_registry_commit(registry, candidate.plugin, NULL, origin, &candidate.items);
  }
  candidate_deinit(registry, &candidate);
  return trivet_status_annotate(status, "plugin (%s)", origin);
}

trivet_status_t tvi_registry_add(tvi_registry_t* registry, trivet_plugin_query_fn_t query,
                                 const char* origin) {
  return add_linked(registry, query, origin != NULL ? origin : "built in", true);
}

trivet_status_t tvi_registry_add_linked(tvi_registry_t* registry, trivet_plugin_query_fn_t query) {
  return add_linked(registry, query, "linked in", false);
}

static trivet_status_t load_folder(tvi_registry_t* registry, trivet_string_view_t folder,
                                   tvi_arena_t* arena) {
  if (folder.size == 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "plugin path: an entry is empty");
  }
  if (folder.data[0] != '/') {
    return TRIVET_STATUS(INVALID_ARGUMENT, "plugin path: '%.*s' is not absolute",
                         TVI_SV_ARGS(folder));
  }
  trivet_string_view_t own;
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(arena, folder, &own));
  trivet_string_view_t* names;
  size_t count;
  TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_directory_list(own.data, arena, &names, &count),
                                   "plugin path");
  for (size_t i = 0; i < count; ++i) {
    if (!tvi_sv_ends_with(names[i], tvi_sv(".so"))) continue;
    trivet_string_view_t path;
    TRIVET_RETURN_IF_ERROR(tvi_path_join(own, names[i], arena, &path));
    TRIVET_RETURN_IF_ERROR(tvi_registry_load(registry, path.data));
  }
  return TRIVET_OK;
}

trivet_status_t tvi_registry_load_path(tvi_registry_t* registry, const char* path_list) {
  tvi_arena_t arena;
  tvi_arena_init(&arena, registry->allocator, 0);
  trivet_string_view_t rest = tvi_sv(path_list);
  trivet_status_t status = TRIVET_OK;
  do {
    trivet_string_view_t folder = tvi_sv_split(&rest, ':');
    status = load_folder(registry, folder, &arena);
  } while (status == NULL && rest.data != NULL);
  tvi_arena_deinit(&arena);
  return status;
}

static const char* halves_text(uint32_t halves) {
  switch (halves) {
    case TRIVET_HALF_BUILD:
      return "build";
    case TRIVET_HALF_RUN:
      return "run";
    default:
      return "build and run";
  }
}

trivet_status_t tvi_registry_describe(const tvi_registry_t* registry, const char* path,
                                      tvi_string_builder_t* builder) {
  candidate_t candidate = {0};
  tvi_vector_init(&candidate.items, registry->allocator);
  trivet_status_t status = open_and_check(registry, path, &candidate);
  if (trivet_status_code(status) == TRIVET_STATUS_OUT_OF_MEMORY) {
    candidate_deinit(registry, &candidate);
    return status;
  }
  if (status != NULL) {
    tvi_string_builder_appendf(builder, "%s: refused: %s\n", path, trivet_status_message(status));
    trivet_status_free(status);
  } else {
    const trivet_plugin_t* plugin = candidate.plugin;
    tvi_string_builder_appendf(builder, "%s: plugin %s %s, ABI %u.%u, %s half\n", path,
                               plugin->name, plugin->version, plugin->abi_major, plugin->abi_minor,
                               halves_text(plugin->halves));
    if (plugin->summary != NULL) tvi_string_builder_appendf(builder, "  %s\n", plugin->summary);
    for (size_t i = 0; i < candidate.items.count; ++i) {
      const tvi_registry_item_t* item = &candidate.items.data[i];
      tvi_string_builder_appendf(builder, "  %s %s", tvi_registry_kind_name(item->struct_type),
                                 item->name);
      if (item->version != 0) tvi_string_builder_appendf(builder, "/%u", item->version);
      tvi_string_builder_append_char(builder, '\n');
    }
    uint64_t ignored = plugin->definition_count - candidate.items.count;
    // Devices belong to the run half, but who asks what a plugin brings wants to see its target.
    for (uint64_t i = 0; i < plugin->definition_count; ++i) {
      const trivet_header_t* header = plugin->definitions[i];
      if (header->struct_type != TRIVET_STRUCT_DEVICE) continue;
      if ((registry->options.halves & TRIVET_HALF_RUN) != 0) continue;
      tvi_string_builder_appendf(builder, "  device %s\n",
                                 ((const trivet_device_t*)header)->target);
      --ignored;
    }
    if (ignored != 0) {
      tvi_string_builder_appendf(builder, "  %llu definitions of halves that are not used here\n",
                                 (unsigned long long)ignored);
    }
  }
  candidate_deinit(registry, &candidate);
  return tvi_string_builder_status(builder);
}
