// SPDX-License-Identifier: Apache-2.0
//
// The whole way of the data on one screen: graph -> passes -> cover -> schedule -> plan -> bytes.
// Reading it first pays. It decides nothing itself: each arrow is a call of the room that knows.
#include <stdio.h>
#include <string.h>

#include "codegen/build/bodies.h"
#include "codegen/build/build_internal.h"
#include "codegen/build/observation.h"
#include "codegen/build/report.h"
#include "codegen/cover/cover.h"
#include "codegen/schedule/schedule.h"
#include "core/base/cpu_info.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "runtime/device/device.h"

// Everything that a build makes on its way, so that one function frees it.
typedef struct build_s {
  const trivet_config_t* config;
  trivet_network_t* network;
  trivet_allocator_t allocator;
  tvi_arena_t arena;
  tvi_pass_manager_t* passes;
  tvi_timing_cache_t* cache;
  tvi_device_pool_t* pool;
  trivet_executor_t* executor;
  tvi_tactic_options_t options;  // what is known of the target; shapes come after the passes
  tvi_tactic_context_t* asked;   // while passes run: what they ask of the target
  tvi_tactic_context_t* tactics;
  tvi_cover_t* cover;
  tvi_schedule_t* schedule;
  tvi_plan_moves_t moves;  // of the plan, once it is made
  tvi_shape_choice_t shapes;
  tvi_precision_policy_t precision;
  tvi_device_list_t devices;  // where |has_devices|
  bool has_devices;
  const tvi_open_device_t* device;
  tvi_measure_device_t* measure;
} build_t;

static void free_build(build_t* b) {
  tvi_schedule_destroy(b->schedule);
  tvi_cover_destroy(b->cover);
  tvi_tactic_context_destroy(b->asked);
  tvi_tactic_context_destroy(b->tactics);
  tvi_timing_cache_destroy(b->cache);
  tvi_device_pool_destroy(b->pool);
  tvi_measure_device_destroy(b->measure);
  if (b->has_devices) tvi_device_list_deinit(&b->devices);
  tvi_pass_manager_destroy(b->passes);
  tvi_arena_deinit(&b->arena);
}

static trivet_status_t progress(const build_t* b, const char* phase, uint32_t done) {
  const trivet_progress_t* p = &b->config->progress;
  if (!p->update || !p->update(p->self, phase, done, 5)) return TRIVET_OK;
  return TRIVET_STATUS(CANCELLED, "the build was cancelled in phase \"%s\"", phase);
}

static trivet_status_t ask_target(void* self, const trivet_graph_t* graph, tvi_node_id_t node,
                                  bool* out_accepted, tvi_string_builder_t* reasons) {
  build_t* b = (build_t*)self;
  tvi_shape_choice_t shapes;
  // Passes may have made symbols since the last question.
  TRIVET_RETURN_IF_ERROR(tvi_profiles_choose(b->config, b->network->graph, &b->arena, &shapes));
  if (!b->asked) {
    tvi_tactic_options_t options = b->options;
    options.mode = TRIVET_TACTICS_HEURISTIC;
    options.explain = false;
    options.measure = NULL;
    options.dump_folder = NULL;
    TRIVET_RETURN_IF_ERROR(tvi_tactic_context_create(b->network->builder->registry, &options,
                                                     b->allocator, &b->asked));
  }
  b->asked->options.symbols = shapes.opt;
  b->asked->options.symbols_max = shapes.max;
  b->asked->options.symbol_count = shapes.symbol_count;
  return tvi_cover_node_accepted(graph, b->asked, node, reasons, out_accepted);
}

static trivet_status_t rewrite(build_t* b) {
  tvi_string_builder_t pipeline;
  tvi_string_builder_init(&pipeline, b->allocator);
  trivet_graph_t* graph = b->network->graph;
  tvi_observation_t observation;
  trivet_status_t status = tvi_config_pipeline(b->config, &pipeline);
  const char* passes = pipeline.data ? pipeline.data : "";
  if (!status) status = tvi_observation_begin(graph, &b->arena, &observation);
  if (!status) {
    const tvi_target_query_t query = {ask_target, b};
    status =
        tvi_config_run_passes(b->config, b->network->builder, graph, passes, &query, &b->passes);
  }
  if (!status) {
    status =
        tvi_observation_end(&observation, b->config, b->network->builder, passes, &b->arena, graph);
  }
  tvi_string_builder_deinit(&pipeline);
  // The cover computes what is there, whichever passes the caller left out.
  uint32_t removed = 0;
  if (!status) status = tvi_graph_remove_dead(graph, &removed);
  if (!status) status = tvi_graph_verify(graph);
  return status;
}

// A target with memory of its own is asked for its architecture where the config names none, and is
// what is measured on. Where it is not there, plans can be made, but not timed.
static trivet_status_t open_device(build_t* b, tvi_tactic_options_t* options) {
  const trivet_config_t* config = b->config;
  bool is_timed = config->tactics == TRIVET_TACTICS_TIMED;
  bool is_named = strcmp(config->target, options->device ? options->device->target : "") != 0;
  if (!options->device || (is_named && !is_timed)) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_device_list_init(&b->devices, b->allocator));
  b->has_devices = true;
  trivet_status_t status = tvi_device_list_open(&b->devices, options->device, 0, &b->device);
  if (status && !is_timed) {
    tvi_log(b->network->builder->logger, TRIVET_SEVERITY_INFO,
            "the target's usual architecture is built for: %s", trivet_status_message(status));
    trivet_status_free(status);
    return TRIVET_OK;
  }
  if (status) return trivet_status_annotate(status, "tactics are to be timed");
  if (!is_named) {
    options->target = b->device->info.target;
  } else if (strcmp(config->target, b->device->info.target) != 0) {
    char asked[64];
    snprintf(asked, sizeof(asked), "arch:%s", config->target + strlen(options->device->target) + 1);
    if (!tvi_device_call(b->device, meets, tvi_sv(asked))) {
      return TRIVET_STATUS(INCOMPATIBLE,
                           "tactics of target '%s' cannot be timed on '%s', which is '%s'",
                           config->target, b->device->info.name, b->device->info.target);
    }
  }
  if (is_timed) {
    TRIVET_RETURN_IF_ERROR(tvi_measure_device_create(b->device, b->allocator, &b->measure));
    options->measure = b->measure;
  }
  return TRIVET_OK;
}

static uint64_t weight_bytes(const trivet_graph_t* graph) {
  uint64_t sum = 0;
  for (uint32_t v = 1; v < graph->value_count; ++v) {
    const tvi_value_t* value = tvi_graph_value(graph, v);
    if (!value->dead && value->constant && value->use_count != 0) sum += value->constant->size;
  }
  return sum;
}

static trivet_status_t open_target(build_t* b) {
  const trivet_config_t* config = b->config;
  tvi_tactic_options_t* options = &b->options;
  options->target = config->target;
  options->dump_folder = config->dump_folder;
  options->mode = config->tactics;
  options->alternatives = config->alternatives;
  options->queues = config->queues;
  options->max_load_ms = config->max_load_ms;
  options->weight_bytes = weight_bytes(b->network->graph);
  options->thread_count = 1;
  options->explain = (config->flags & TRIVET_BUILD_EXPLAIN) != 0;
  options->disabled = config->disabled.data;
  options->disabled_count = (uint32_t)config->disabled.count;
  options->run_registry = b->network->builder->run_registry;
  options->device = tvi_registry_device(options->run_registry, tvi_sv(config->target));
  options->progress = config->progress;
  b->precision = tvi_config_precision(config);
  options->precision = &b->precision;
  options->bodies = (tvi_body_compiler_t){b->network->graph, tvi_bodies_compile};
  return open_device(b, options);
}

// Compiled code lies beside the times, or the lock file, that chose it. NULL: none does.
static trivet_status_t code_path(build_t* b, const char* path, char** out_path) {
  *out_path = NULL;
  if (!path || b->config->tactics == TRIVET_TACTICS_HEURISTIC || !b->options.device)
    return TRIVET_OK;
  const size_t size = strlen(path) + sizeof(".code");
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(&b->arena, size, 1, out_path));
  snprintf(*out_path, size, "%s.code", path);
  return TRIVET_OK;
}

static trivet_status_t load_code(build_t* b) {
  char* path;
  TRIVET_RETURN_IF_ERROR(code_path(b, b->config->timing_cache, &path));
  return path ? tvi_code_cache_load(&b->tactics->code_cache, path) : TRIVET_OK;
}

static trivet_status_t save_code(build_t* b) {
  const trivet_config_t* config = b->config;
  char *shared, *own;
  TRIVET_RETURN_IF_ERROR(code_path(b, config->timing_cache, &shared));
  TRIVET_RETURN_IF_ERROR(code_path(b, config->lock_output, &own));
  if (shared && config->tactics == TRIVET_TACTICS_TIMED)
    TRIVET_RETURN_IF_ERROR(tvi_code_cache_save(&b->tactics->code_cache, shared));
  return own ? tvi_code_cache_save_used(&b->tactics->code_cache, own) : TRIVET_OK;
}

static trivet_status_t open_tactics(build_t* b) {
  const trivet_config_t* config = b->config;
  tvi_tactic_options_t* options = &b->options;
  TRIVET_RETURN_IF_ERROR(tvi_profiles_choose(config, b->network->graph, &b->arena, &b->shapes));
  options->symbols = b->shapes.opt;
  options->symbols_max = b->shapes.max;
  options->symbol_count = b->shapes.symbol_count;
  options->weight_bytes = weight_bytes(b->network->graph);
  if (config->tactics != TRIVET_TACTICS_HEURISTIC) {
    char device[128] = "";
    if (!options->device) tvi_cpu_describe(device, sizeof(device));
    if (b->device) snprintf(device, sizeof(device), "%s", b->device->info.signature);
    TRIVET_RETURN_IF_ERROR(tvi_timing_cache_create(device, b->allocator, &b->cache));
    // A timing cache is made when missing; a lock file has to be there.
    if (config->timing_cache &&
        (config->tactics == TRIVET_TACTICS_LOCKED || tvi_file_exists(config->timing_cache))) {
      TRIVET_RETURN_IF_ERROR(tvi_timing_cache_load(b->cache, config->timing_cache));
    }
    options->cache = b->cache;
    options->cache_path = config->timing_cache;
  }
  // Threads to measure with, or to compile with.
  if (config->tactics == TRIVET_TACTICS_TIMED || config->alternatives > 1) {
    TRIVET_RETURN_IF_ERROR(
        tvi_device_pool_create(config->thread_count, b->allocator, &b->pool, &b->executor));
    options->executor = b->executor;
  }
  TRIVET_RETURN_IF_ERROR(
      tvi_tactic_context_create(b->network->builder->registry, options, b->allocator, &b->tactics));
  return load_code(b);
}

static trivet_status_t write_plan(build_t* b, trivet_sink_t sink) {
  tvi_schedule_plan_options_t options;
  memset(&options, 0, sizeof(options));
  options.target = b->options.target;
  options.name.data = b->network->name;
  options.name.size = strlen(b->network->name);
  tvi_string_builder_t info;
  tvi_string_builder_init(&info, b->allocator);
  tvi_string_builder_appendf(&info, "{\"trivet\": \"%s\"}", trivet_version());
  options.build_info = tvi_string_builder_view(&info);
  options.profiles = b->shapes.profiles;
  options.profile_count = b->shapes.profile_count;
  options.symbols_max = b->shapes.max;
  options.symbol_count = b->shapes.symbol_count;
  tvi_plan_t plan;
  tvi_plan_weight_source_t weights;
  trivet_status_t status = tvi_string_builder_status(&info);
  if (!status) status = tvi_schedule_plan(b->schedule, &options, &b->arena, &plan, &weights);
  if (!status) status = tvi_plan_count_moves(&plan, &plan.programs[0], b->allocator, &b->moves);
  if (!status) status = tvi_config_carry(b->config, &b->arena, &plan);
  if (!status) status = tvi_plan_write(&plan, &weights, b->allocator, sink);
  tvi_string_builder_deinit(&info);
  return status;
}

static trivet_status_t check_lock(const build_t* b) {
  unsigned line = 0;
  size_t unused = tvi_timing_cache_unused(b->cache, &line);
  if (unused == 0) return TRIVET_OK;
  return TRIVET_STATUS(NOT_FOUND,
                       "%s:%u: this network has no such region; %zu of the lock file's lines are "
                       "of another network, or of other options",
                       b->config->timing_cache, line, unused);
}

static trivet_status_t save_times(build_t* b) {
  const trivet_config_t* config = b->config;
  if (config->tactics == TRIVET_TACTICS_LOCKED) TRIVET_RETURN_IF_ERROR(check_lock(b));
  if (config->tactics == TRIVET_TACTICS_TIMED && config->timing_cache) {
    TRIVET_RETURN_IF_ERROR(tvi_timing_cache_save(b->cache, config->timing_cache));
  }
  TRIVET_RETURN_IF_ERROR(save_code(b));
  if (config->tactics != TRIVET_TACTICS_HEURISTIC && config->lock_output) {
    TRIVET_RETURN_IF_ERROR(tvi_timing_cache_save_winners(b->cache, config->lock_output));
  }
  return TRIVET_OK;
}

static trivet_status_t run_build(build_t* b, trivet_sink_t sink) {
  trivet_graph_t* graph = b->network->graph;
  TRIVET_RETURN_IF_ERROR(tvi_config_check_names(b->config));
  TRIVET_RETURN_IF_ERROR(tvi_config_check_carried(b->config));
  TRIVET_RETURN_IF_ERROR(tvi_io_formats_apply(b->config, graph));
  TRIVET_RETURN_IF_ERROR(tvi_profiles_restrict(b->config, graph));
  // What the narrower ranges make certain (that a bound of a slice lies behind the end, say) shows
  // when types are inferred again.
  TRIVET_RETURN_IF_ERROR(tvi_graph_infer(graph));
  TRIVET_RETURN_IF_ERROR(open_target(b));
  TRIVET_RETURN_IF_ERROR(progress(b, "passes", 0));
  TRIVET_RETURN_IF_ERROR(rewrite(b));
  TRIVET_RETURN_IF_ERROR(progress(b, "cover", 1));
  TRIVET_RETURN_IF_ERROR(open_tactics(b));
  TRIVET_RETURN_IF_ERROR(tvi_cover_create(graph, b->tactics, &b->cover));
  TRIVET_RETURN_IF_ERROR(progress(b, "schedule", 2));
  TRIVET_RETURN_IF_ERROR(tvi_schedule_create(b->cover, b->tactics, &b->schedule));
  TRIVET_RETURN_IF_ERROR(save_times(b));
  TRIVET_RETURN_IF_ERROR(progress(b, "write", 3));
  TRIVET_RETURN_IF_ERROR(write_plan(b, sink));
  return progress(b, "done", 5);
}

static trivet_status_t build_plan(trivet_network_t* network, const trivet_config_t* config,
                                  trivet_sink_t sink, trivet_report_t** out_report) {
  if (!network || !config || !sink.write)
    return TRIVET_STATUS(INVALID_ARGUMENT, "trivet_build needs a network, a config and a sink");
  if (network->built)
    return TRIVET_STATUS(FAILED_PRECONDITION,
                         "a network is built once: its graph has been rewritten");
  if (!network->graph->output_count)
    return TRIVET_STATUS(FAILED_PRECONDITION, "the network has no outputs");
  build_t b;
  memset(&b, 0, sizeof(b));
  b.config = config;
  b.network = network;
  b.allocator = network->allocator;
  tvi_arena_init(&b.arena, b.allocator, 1 << 18);
  network->built = true;
  trivet_status_t status = run_build(&b, sink);
  if (out_report && b.passes) {
    trivet_report_t* report = NULL;
    trivet_status_t reported =
        tvi_report_create(b.passes, b.tactics, b.schedule, &b.moves, b.allocator, &report);
    if (!reported) *out_report = report;
    status = trivet_status_join(status, reported);
  }
  free_build(&b);
  return status;
}

static trivet_status_t build_plan_file(trivet_network_t* network, const trivet_config_t* config,
                                       const char* path, trivet_report_t** out_report) {
  if (!network || !path)
    return TRIVET_STATUS(INVALID_ARGUMENT, "trivet_build_file needs a network and a path");
  tvi_file_writer_t* writer = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_file_writer_open(path, network->allocator, &writer));
  trivet_status_t status = build_plan(network, config, tvi_file_writer_sink(writer), out_report);
  if (status) {
    tvi_file_writer_discard(writer);
    return status;
  }
  return tvi_file_writer_commit(writer);
}

// --- Calls whose errors the caller's recorder gets --------------------------------------------

trivet_status_t trivet_build(trivet_network_t* network, const trivet_config_t* config,
                             trivet_sink_t sink, trivet_report_t** out_report) {
  return tvi_record(network ? &network->builder->recorder : NULL, "trivet_build",
                    build_plan(network, config, sink, out_report));
}

trivet_status_t trivet_build_file(trivet_network_t* network, const trivet_config_t* config,
                                  const char* path, trivet_report_t** out_report) {
  return tvi_record(network ? &network->builder->recorder : NULL, "trivet_build_file",
                    build_plan_file(network, config, path, out_report));
}
