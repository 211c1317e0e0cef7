// SPDX-License-Identifier: Apache-2.0
//
// The plugins that a plan names: loaded into the runtime by the caller, or carried in the plan and
// loaded here, by permission only, into a registry of the engine's own. The runtime's registry is
// shared by threads and is never changed here.
#include <string.h>

#include "core/base/log.h"
#include "core/base/sha256.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "runtime/engine/engine.h"

const trivet_plugin_t* tvi_engine_plugin(const trivet_engine_t* engine, trivet_string_view_t name) {
  const trivet_plugin_t* plugin = tvi_registry_find_plugin(engine->runtime->registry, name);
  for (; plugin == NULL && engine != NULL; engine = engine->around) {
    if (engine->carried != NULL) plugin = tvi_registry_find_plugin(engine->carried, name);
  }
  return plugin;
}

const trivet_kernel_t* tvi_engine_kernel(const trivet_engine_t* engine, const char* name,
                                         uint32_t version) {
  const trivet_kernel_t* kernel = tvi_registry_kernel(engine->runtime->registry, name, version);
  for (; kernel == NULL && engine != NULL; engine = engine->around) {
    if (engine->carried != NULL) kernel = tvi_registry_kernel(engine->carried, name, version);
  }
  return kernel;
}

const tvi_operator_entry_t* tvi_engine_operator(const trivet_engine_t* engine, const char* name,
                                                uint32_t version) {
  const tvi_operator_entry_t* entry =
      tvi_registry_operator(engine->runtime->registry, name, version);
  for (; entry == NULL && engine != NULL; engine = engine->around) {
    if (engine->carried != NULL) entry = tvi_registry_operator(engine->carried, name, version);
  }
  return entry;
}

static bool is_allowed(const trivet_engine_options_t* options, const char* digest) {
  if ((options->flags & TRIVET_ENGINE_ALLOW_CARRIED) != 0) return true;
  for (uint64_t i = 0; i < options->carried_hash_count; ++i) {
    const char* hash = options->carried_hashes[i];
    if (hash != NULL && strcmp(hash, digest) == 0) return true;
  }
  return false;
}

static trivet_status_t load_carried(trivet_engine_t* engine, const tvi_plan_plugin_t* plugin,
                                    const trivet_engine_options_t* options) {
  char digest[TVI_SHA256_TEXT_SIZE];
  tvi_sha256_text(plugin->library, plugin->library_size, digest);
  if (!is_allowed(options, digest)) {
    return TRIVET_STATUS(UNAVAILABLE,
                         "the plan needs plugin '%.*s' (it was built with version %.*s), which is "
                         "not loaded; the plan carries it with sha256 %s, which the caller has not "
                         "allowed",
                         TVI_SV_ARGS(plugin->name), TVI_SV_ARGS(plugin->version), digest);
  }
  if (engine->carried == NULL) {
    tvi_registry_options_t registry = {.halves = TRIVET_HALF_RUN};
    TRIVET_RETURN_IF_ERROR(tvi_registry_create(&registry, engine->allocator, &engine->carried));
  }
  // The reader leaves texts with a NUL behind them.
  TRIVET_RETURN_IF_ERROR_ANNOTATED(
      tvi_registry_load_memory(engine->carried, plugin->name.data, plugin->library,
                               plugin->library_size, plugin->name.data),
      "carried in the plan");
  tvi_log(engine->runtime->logger, TRIVET_SEVERITY_INFO,
          "plugin %.*s, which the plan carries, is loaded (sha256 %s)", TVI_SV_ARGS(plugin->name),
          digest);
  return TRIVET_OK;
}

trivet_status_t tvi_engine_find_plugins(trivet_engine_t* engine,
                                        const trivet_engine_options_t* options) {
  for (uint32_t i = 0; i < engine->plan->plugin_count; ++i) {
    const tvi_plan_plugin_t* plugin = &engine->plan->plugins[i];
    if (tvi_engine_plugin(engine, plugin->name) != NULL) continue;
    if (plugin->library == NULL) {
      return TRIVET_STATUS(UNAVAILABLE,
                           "the plan needs plugin '%.*s' (it was built with version %.*s), which "
                           "is not loaded",
                           TVI_SV_ARGS(plugin->name), TVI_SV_ARGS(plugin->version));
    }
    TRIVET_RETURN_IF_ERROR(load_carried(engine, plugin, options));
  }
  return TRIVET_OK;
}
