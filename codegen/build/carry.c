// SPDX-License-Identifier: Apache-2.0
//
// The shared objects that a plan carries: read again from where they were loaded from, after the
// schedule has said which plugins the plan needs, before it is written.
#include <string.h>

#include "codegen/build/build_internal.h"
#include "core/base/status.h"
#include "core/base/string_view.h"

static bool is_listed(const char* names, trivet_string_view_t name) {
  if (strcmp(names, "all") == 0) return true;
  trivet_string_view_t rest = tvi_sv(names);
  while (rest.data != NULL) {
    if (tvi_sv_equal(tvi_sv_split(&rest, ','), name)) return true;
  }
  return false;
}

trivet_status_t tvi_config_check_carried(const trivet_config_t* config) {
  if (config->carried == NULL || strcmp(config->carried, "all") == 0) return TRIVET_OK;
  trivet_string_view_t rest = tvi_sv(config->carried);
  while (rest.data != NULL) {
    trivet_string_view_t name = tvi_sv_split(&rest, ',');
    if (tvi_registry_find_plugin(config->builder->registry, name) != NULL) continue;
    return TRIVET_STATUS(NOT_FOUND, "there is no plugin \"%.*s\" to carry", TVI_SV_ARGS(name));
  }
  return TRIVET_OK;
}

static trivet_status_t read_library(const trivet_config_t* config, tvi_arena_t* arena,
                                    tvi_plan_plugin_t* plugin) {
  const tvi_registry_t* registry = config->builder->registry;
  const char* path = NULL;
  for (uint32_t i = 0; i < tvi_registry_plugin_count(registry) && path == NULL; ++i) {
    if (tvi_sv_equal_cstr(plugin->name, tvi_registry_plugin(registry, i)->name)) {
      path = tvi_registry_plugin_path(registry, i);
    }
  }
  if (path == NULL || strchr(path, '/') == NULL) {
    return TRIVET_STATUS(FAILED_PRECONDITION, "it is linked in, there is no file to carry");
  }
  char* bytes = NULL;
  size_t size = 0;
  TRIVET_RETURN_IF_ERROR(tvi_file_read(path, config->allocator, &bytes, &size));
  void* kept = NULL;
  trivet_status_t status = tvi_arena_copy(arena, bytes, size, &kept);
  tvi_free(config->allocator, bytes, size + 1);
  TRIVET_RETURN_IF_ERROR(status);
  plugin->library = kept;
  plugin->library_size = size;
  return TRIVET_OK;
}

trivet_status_t tvi_config_carry(const trivet_config_t* config, tvi_arena_t* arena,
                                 tvi_plan_t* plan) {
  if (config->carried == NULL || plan->plugin_count == 0) return TRIVET_OK;
  void* copy = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_copy(arena, plan->plugins, plan->plugin_count * sizeof(*plan->plugins), &copy));
  tvi_plan_plugin_t* plugins = copy;
  for (uint32_t i = 0; i < plan->plugin_count; ++i) {
    if (!is_listed(config->carried, plugins[i].name)) continue;
    TRIVET_RETURN_IF_ERROR_ANNOTATED(read_library(config, arena, &plugins[i]),
                                     "plugin %.*s cannot be carried", TVI_SV_ARGS(plugins[i].name));
  }
  plan->plugins = plugins;
  return TRIVET_OK;
}
