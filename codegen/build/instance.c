// SPDX-License-Identifier: Apache-2.0
//
// Builder: the instance that plugins are loaded into. One plugin file serves two registries: its
// build half compiles, its run half measures.
#include <string.h>

#include "codegen/build/build_internal.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "runtime/device/device.h"

trivet_status_t trivet_builder_create(const trivet_builder_options_t* options,
                                      trivet_builder_t** out_builder) {
  if (!out_builder)
    return TRIVET_STATUS(INVALID_ARGUMENT, "trivet_builder_create needs a place for the builder");
  trivet_allocator_t allocator = trivet_allocator_system();
  trivet_logger_t logger = tvi_logger_null();
  if (options && TRIVET_HAS_FIELD(options, trivet_builder_options_t, allocator) &&
      options->allocator.allocate) {
    allocator = options->allocator;
  }
  if (options && TRIVET_HAS_FIELD(options, trivet_builder_options_t, logger))
    logger = options->logger;
  trivet_error_recorder_t recorder = {0};
  if (options && TRIVET_HAS_FIELD(options, trivet_builder_options_t, error_recorder))
    recorder = options->error_recorder;
  trivet_builder_t* builder = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*builder), &builder));
  builder->allocator = allocator;
  builder->logger = logger;
  builder->recorder = recorder;
  tvi_registry_options_t build = {TRIVET_HALF_BUILD, 0, tvi_graph_operator_parser()},
                         run = {TRIVET_HALF_RUN, 0, NULL};
  trivet_status_t status = tvi_registry_create(&build, allocator, &builder->registry);
  if (!status) status = tvi_registry_create(&run, allocator, &builder->run_registry);
  if (!status) status = tvi_registry_add(builder->registry, tvi_graph_core_operators, "built in");
  if (!status)
    status = tvi_registry_add(builder->run_registry, tvi_device_builtin_query, "built in");
  if (status) {
    trivet_builder_destroy(builder);
    return status;
  }
  *out_builder = builder;
  return TRIVET_OK;
}

void trivet_builder_destroy(trivet_builder_t* builder) {
  if (!builder) return;
  trivet_allocator_t allocator = builder->allocator;
  tvi_registry_destroy(builder->run_registry);
  tvi_registry_destroy(builder->registry);
  tvi_free(allocator, builder, sizeof(*builder));
}

static trivet_status_t builder_load_plugin(trivet_builder_t* builder, const char* path) {
  if (!builder || !path)
    return TRIVET_STATUS(INVALID_ARGUMENT, "loading a plugin needs a builder and a path");
  TRIVET_RETURN_IF_ERROR(tvi_registry_load(builder->registry, path));
  return tvi_registry_load(builder->run_registry, path);
}

static trivet_status_t builder_add_plugin(trivet_builder_t* builder,
                                          trivet_plugin_query_fn_t query) {
  if (!builder || !query)
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "adding a plugin needs a builder and its query function");
  TRIVET_RETURN_IF_ERROR(tvi_registry_add_linked(builder->registry, query));
  return tvi_registry_add_linked(builder->run_registry, query);
}

static trivet_status_t builder_load_plugin_path(trivet_builder_t* builder, const char* path_list) {
  if (!builder || !path_list)
    return TRIVET_STATUS(INVALID_ARGUMENT, "loading plugins needs a builder and a list of folders");
  TRIVET_RETURN_IF_ERROR(tvi_registry_load_path(builder->registry, path_list));
  return tvi_registry_load_path(builder->run_registry, path_list);
}

uint32_t trivet_builder_plugin_count(const trivet_builder_t* builder) {
  return builder ? tvi_registry_plugin_count(builder->registry) : 0;
}

trivet_status_t trivet_builder_plugin_info(const trivet_builder_t* builder, uint32_t index,
                                           const char** out_name, const char** out_version,
                                           const char** out_path) {
  if (!builder || index >= tvi_registry_plugin_count(builder->registry)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "plugin %u of %u", index,
                         trivet_builder_plugin_count(builder));
  }
  const trivet_plugin_t* plugin = tvi_registry_plugin(builder->registry, index);
  if (out_name) *out_name = plugin->name;
  if (out_version) *out_version = plugin->version;
  if (out_path) *out_path = tvi_registry_plugin_path(builder->registry, index);
  return TRIVET_OK;
}

trivet_status_t trivet_plugin_describe(const trivet_builder_t* builder, const char* path,
                                       trivet_sink_t sink, uint32_t* out_refused) {
  if (!builder || !path || !sink.write)
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "describing a plugin needs a builder, a path and a sink");
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, builder->allocator);
  trivet_status_t status = tvi_registry_describe(builder->registry, path, &text);
  trivet_string_view_t view = tvi_string_builder_view(&text);
  static const char refused[] = ": refused: ";
  size_t length = strlen(path);
  bool is_refused = view.size > length + sizeof(refused) &&
                    memcmp(view.data + length, refused, sizeof(refused) - 1) == 0;
  if (!status) status = sink.write(sink.self, view.data, view.size);
  if (!status && out_refused) *out_refused = is_refused;
  tvi_string_builder_deinit(&text);
  return status;
}

// --- Calls whose errors the caller's recorder gets --------------------------------------------

trivet_status_t trivet_builder_load_plugin(trivet_builder_t* builder, const char* path) {
  return tvi_record(builder ? &builder->recorder : NULL, "trivet_builder_load_plugin",
                    builder_load_plugin(builder, path));
}

trivet_status_t trivet_builder_add_plugin(trivet_builder_t* builder,
                                          trivet_plugin_query_fn_t query) {
  return tvi_record(builder ? &builder->recorder : NULL, "trivet_builder_add_plugin",
                    builder_add_plugin(builder, query));
}

trivet_status_t trivet_builder_load_plugin_path(trivet_builder_t* builder, const char* path_list) {
  return tvi_record(builder ? &builder->recorder : NULL, "trivet_builder_load_plugin_path",
                    builder_load_plugin_path(builder, path_list));
}
