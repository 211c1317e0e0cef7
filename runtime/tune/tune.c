// SPDX-License-Identifier: Apache-2.0
//
// Tuning: loads a plan with all alternatives, runs it step by step at the shapes of each profile,
// times every alternative where it stands, and writes the plan with the fastest. Stands beside the
// contexts that run plans; compiles nothing.
#include "runtime/tune/tune.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/base/cpu_info.h"
#include "core/base/dtype.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/plan/plan_select.h"

#define CHALLENGER 0.97  // a later alternative must be 3 % faster than an earlier one

// --- Data ----------------------------------------------------------------------------------------

// Floats are small and differ; integers are 0 and 1, valid wherever something is looked up.
static void fill(uint32_t dtype, void* memory, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    uint64_t mixed = ((uint64_t)i + 1) * 0x9E3779B97F4A7C15u;
    double unit = (double)(mixed >> 11) / 4503599627370496.0 - 1;
    if (tvi_dtype_is_float(dtype)) {
      tvi_dtype_write_f64(dtype, memory, i, unit);
    } else if (tvi_dtype_bits(dtype) >= 8 && !tvi_dtype_is_complex(dtype)) {
      tvi_dtype_write_f64(dtype, memory, i, (double)(mixed >> 63));
    }
  }
}

static trivet_status_t set_shapes(tvi_tune_t* tune, uint32_t profile) {
  for (uint32_t t = 0; t < tune->engine->input_count; ++t) {
    const char* name = tune->engine->tensors[t].name;
    uint32_t rank = 0;
    int64_t dims[TRIVET_DIMS_MAX];
    TRIVET_RETURN_IF_ERROR(
        trivet_engine_profile_shape(tune->engine, profile, name, 1, &rank, dims));
    TRIVET_RETURN_IF_ERROR(trivet_context_set_shape(tune->context, name, rank, dims));
  }
  return tvi_context_prepare(tune->context);
}

// Memory of the host for all inputs and outputs: the runtime brings it to the device.
static trivet_status_t set_addresses(tvi_tune_t* tune) {
  const trivet_engine_t* engine = tune->engine;
  for (uint32_t t = 0; t < engine->input_count + engine->output_count; ++t) {
    const tvi_engine_tensor_t* tensor = &engine->tensors[t];
    uint32_t dtype = engine->program->tensors[tensor->tensor].dtype;
    uint64_t size = 0;
    void* memory = NULL;
    TRIVET_RETURN_IF_ERROR(trivet_context_tensor_size(tune->context, tensor->name, &size));
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_aligned(&tune->arena, size + 64, 64, &memory));
    memset(memory, 0, size + 64);
    uint32_t bits = tvi_dtype_bits(dtype);
    if (t < engine->input_count && bits != 0) fill(dtype, memory, (int64_t)(size * 8 / bits));
    TRIVET_RETURN_IF_ERROR(trivet_context_set_address(tune->context, tensor->name, memory));
  }
  return TRIVET_OK;
}

// --- Steps ---------------------------------------------------------------------------------------

static trivet_status_t leave_out(tvi_tune_t* tune, tvi_tune_way_t* way, const char* reason) {
  way->is_out = true;
  return tvi_arena_strdup(&tune->arena, tvi_sv(reason), &way->reason);
}

// Prepares one alternative, with its addresses and workspace.
static trivet_status_t take_way(tvi_tune_t* tune, uint32_t index, uint32_t way) {
  trivet_context_t* context = tune->context;
  // What is queued still needs what the other way prepared.
  TRIVET_RETURN_IF_ERROR(tvi_context_finish(context));
  tune->forced[index] = way;
  uint64_t workspace = tvi_context_workspace_share(context);
  TRIVET_RETURN_IF_ERROR(tvi_context_prepare_step(context, index, &workspace));
  TRIVET_RETURN_IF_ERROR(tvi_context_grow_workspace(context, workspace));
  tvi_context_resolve_step(context, index);
  return TRIVET_OK;
}

static trivet_status_t time_way(tvi_tune_t* tune, uint32_t index, uint32_t a,
                                const uint64_t signature[2]) {
  const tvi_plan_alternative_t* alternative = &tune->engine->steps[index].plan->alternatives[a];
  tvi_tune_way_t* way = &tune->steps[index].ways[a];
  char key[160];
  double time = 0;
  tvi_tune_kernel_key(alternative, key, sizeof(key));
  if (!tvi_timing_cache_find(tune->cache, signature, key, alternative->tactic.data, &time)) {
    trivet_status_t status = take_way(tune, index, a);
    if (status == NULL && tune->context->steps[index].is_skipped) return TRIVET_OK;
    if (status == NULL) status = tvi_tune_time(tune, index, &time);
    if (status != NULL) {
      trivet_status_t noted = leave_out(tune, way, trivet_status_message(status));
      trivet_status_free(status);
      return noted;
    }
    TRIVET_RETURN_IF_ERROR(
        tvi_timing_cache_add(tune->cache, signature, key, alternative->tactic.data, time));
    way->was_measured = true;
  }
  way->nanoseconds += time;
  return TRIVET_OK;
}

// The first alternative that works, which also gives the next steps their data.
static trivet_status_t go_on(tvi_tune_t* tune, uint32_t index) {
  const tvi_engine_step_t* step = &tune->engine->steps[index];
  trivet_status_t status = TRIVET_STATUS(UNAVAILABLE, "no alternative can be run");
  for (uint32_t a = 0; a < step->plan->alternative_count && status != NULL; ++a) {
    if (tune->steps[index].ways[a].is_out) continue;
    trivet_status_free(status);
    status = take_way(tune, index, a);
  }
  return status;
}

static bool is_asked_for(const tvi_tune_t* tune, const tvi_plan_alternative_t* alternative) {
  trivet_string_view_t rest = tune->only;
  while (rest.size != 0) {
    const trivet_string_view_t name = tvi_sv_split(&rest, ';');
    if (tvi_sv_equal(alternative->kernel, name) || tvi_sv_equal(alternative->tactic, name))
      return true;
  }
  return tune->only.size == 0;
}

static trivet_status_t tune_step(tvi_tune_t* tune, uint32_t index) {
  const tvi_engine_step_t* step = &tune->engine->steps[index];
  if (step->plan->alternative_count < 2 || step->is_late) return TRIVET_OK;
  bool is_asked = false;
  for (uint32_t a = 0; a < step->plan->alternative_count; ++a) {
    is_asked = is_asked || is_asked_for(tune, &step->plan->alternatives[a]);
  }
  if (!is_asked) return TRIVET_OK;
  uint64_t signature[2];
  TRIVET_RETURN_IF_ERROR(tvi_tune_signature(tune, index, signature));
  for (uint32_t a = 0; a < step->plan->alternative_count; ++a) {
    tvi_tune_way_t* way = &tune->steps[index].ways[a];
    if (way->is_out) continue;
    if (!is_asked_for(tune, &step->plan->alternatives[a])) {
      TRIVET_RETURN_IF_ERROR(leave_out(tune, way, "it was not asked for"));
      continue;
    }
    if (!step->alternatives[a].usable) {
      TRIVET_RETURN_IF_ERROR(leave_out(tune, way, "this machine or runtime lacks what it needs"));
      continue;
    }
    bool holds = true;
    TRIVET_RETURN_IF_ERROR(
        tvi_context_guards_hold(tune->context, step->alternatives[a].plan->guards,
                                step->alternatives[a].plan->guard_count, &holds));
    if (!holds) {
      TRIVET_RETURN_IF_ERROR(leave_out(tune, way, "it is not for the shapes of this profile"));
      continue;
    }
    TRIVET_RETURN_IF_ERROR(time_way(tune, index, a, signature));
  }
  return go_on(tune, index);
}

// One profile: a run like any other fills the memory, then each step is timed where it stands.
// Later steps have overwritten some of what earlier ones read, with numbers of the same kind.
static trivet_status_t tune_profile(tvi_tune_t* tune, uint32_t profile) {
  TRIVET_RETURN_IF_ERROR(set_shapes(tune, profile));
  TRIVET_RETURN_IF_ERROR(set_addresses(tune));
  TRIVET_RETURN_IF_ERROR(tvi_context_resolve(tune->context));
  if (tune->context->staged_count != 0)
    TRIVET_RETURN_IF_ERROR(tvi_context_stage_inputs(tune->context));
  for (uint32_t i = 0; i < tune->engine->block->step_count; ++i) {
    tvi_context_resolve_step(tune->context, i);
  }
  tune->context->is_steps_resolved = true;
  // What watches the device takes memory that nothing has written for a fault.
  if (tune->is_once) TRIVET_RETURN_IF_ERROR(tvi_context_run_steps(tune->context));
  for (uint32_t i = 0; i < tune->engine->block->step_count; ++i) {
    TRIVET_RETURN_IF_ERROR(tvi_engine_annotate_step(tune->engine, i, tune_step(tune, i)));
  }
  // The workspace may have moved since a step was prepared: addresses are taken anew in every run.
  if (!tune->is_once) TRIVET_RETURN_IF_ERROR(tvi_context_run_steps(tune->context));
  return tvi_context_finish(tune->context);
}

static void choose(tvi_tune_t* tune) {
  for (uint32_t i = 0; i < tune->engine->block->step_count; ++i) {
    tvi_tune_step_t* step = &tune->steps[i];
    uint32_t count = tune->engine->block->steps[i].alternative_count, best = count;
    for (uint32_t a = 0; a < count; ++a) {
      if (step->ways[a].is_out) continue;
      if (best == count || step->ways[a].nanoseconds < step->ways[best].nanoseconds * CHALLENGER) {
        best = a;
      }
    }
    step->chosen = best == count ? 0 : best;
  }
}

// --- The whole -----------------------------------------------------------------------------------

static trivet_status_t open_tune(tvi_tune_t* tune, trivet_runtime_t* runtime, const char* path,
                                 const trivet_tune_options_t* options) {
  trivet_engine_options_t engine = {
      .header = {(uint32_t)sizeof(engine), TRIVET_STRUCT_ENGINE_OPTIONS, NULL},
      .flags = TRIVET_ENGINE_VERIFY_WEIGHTS | TRIVET_ENGINE_ALL_ALTERNATIVES,
      .device = options->device,
  };
  TRIVET_RETURN_IF_ERROR(trivet_engine_load(runtime, path, &engine, &tune->engine));
  trivet_context_options_t context = {
      .header = {(uint32_t)sizeof(context), TRIVET_STRUCT_CONTEXT_OPTIONS, NULL},
      .thread_count = options->thread_count,
      .flags = TRIVET_CONTEXT_NO_GRAPH,
      .memory_limit = options->memory_limit,
  };
  TRIVET_RETURN_IF_ERROR(trivet_context_create(tune->engine, &context, &tune->context));
  char device[128] = "";
  const tvi_open_device_t* open = tune->engine->device;
  if (open != NULL) {
    snprintf(device, sizeof(device), "%s", open->info.signature);
    TRIVET_RETURN_IF_ERROR(tvi_device_enter(open));
    TRIVET_RETURN_IF_ERROR(
        tvi_measure_device_create(open, tune->engine->allocator, &tune->measure));
  } else {
    tvi_cpu_describe(device, sizeof(device));
  }
  TRIVET_RETURN_IF_ERROR(tvi_timing_cache_create(device, tune->engine->allocator, &tune->cache));
  tune->only = tvi_sv(options->only != NULL ? options->only : "");
  tune->is_once = (options->flags & TRIVET_TUNE_ONCE) != 0;
  if (tune->is_once && tune->measure != NULL) tvi_measure_device_run_once(tune->measure);
  if (options->timing_cache != NULL && tvi_file_exists(options->timing_cache))
    TRIVET_RETURN_IF_ERROR(tvi_timing_cache_load(tune->cache, options->timing_cache));
  uint32_t count = tune->engine->block->step_count;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&tune->arena, (size_t)count + 1,
                                                      sizeof(*tune->steps), &tune->steps));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(&tune->arena, (size_t)count + 1, sizeof(*tune->forced), &tune->forced));
  memset(tune->forced, 0xff, ((size_t)count + 1) * sizeof(*tune->forced));
  for (uint32_t i = 0; i < count; ++i) {
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_alloc_array_zeroed(&tune->arena, tune->engine->block->steps[i].alternative_count,
                                     sizeof(tvi_tune_way_t), &tune->steps[i].ways));
  }
  tune->context->forced = tune->forced;
  return TRIVET_OK;
}

static trivet_status_t write_pruned(tvi_tune_t* tune, uint32_t flags, trivet_sink_t sink) {
  const tvi_plan_t* plan = tune->engine->plan;
  uint32_t count = tune->engine->block->step_count;
  uint32_t* chosen = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(&tune->arena, (size_t)count + 1, sizeof(*chosen), &chosen));
  for (uint32_t i = 0; i < count; ++i) chosen[i] = tune->steps[i].chosen;
  tvi_plan_selection_t selection;
  tvi_plan_t alone = *plan;
  uint32_t program = (uint32_t)(tune->engine->program - plan->programs);
  if ((flags & TRIVET_TUNE_THIS_TARGET_ONLY) != 0) {
    alone.programs = tune->engine->program;
    alone.program_count = 1;
    program = 0;
  }
  TRIVET_RETURN_IF_ERROR(tvi_plan_select(&alone, program, chosen, &tune->arena, &selection));
  return tvi_plan_write(&selection.plan, &selection.weights, tune->engine->allocator, sink);
}

static trivet_status_t tune_plan(tvi_tune_t* tune, const trivet_tune_options_t* options,
                                 trivet_sink_t sink) {
  for (uint32_t p = 0; p < trivet_engine_profile_count(tune->engine); ++p) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(tune_profile(tune, p), "profile %u", p);
  }
  choose(tune);
  if (options->timing_cache != NULL)
    TRIVET_RETURN_IF_ERROR(tvi_timing_cache_save(tune->cache, options->timing_cache));
  TRIVET_RETURN_IF_ERROR(tvi_tune_report(tune, options->report));
  return write_pruned(tune, options->flags, sink);
}

static trivet_status_t plan_tune(trivet_runtime_t* runtime, const char* path,
                                 const trivet_tune_options_t* options, trivet_sink_t sink) {
  if (runtime == NULL || path == NULL || sink.write == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "trivet_plan_tune needs a runtime, a plan and a sink");
  }
  TRIVET_RETURN_IF_ERROR(tvi_check_options(options != NULL ? &options->header : NULL,
                                           "tune options", TRIVET_STRUCT_TUNE_OPTIONS,
                                           (uint32_t)offsetof(trivet_tune_options_t, flags)));
  trivet_tune_options_t own;
  memset(&own, 0, sizeof(own));
  if (options != NULL) {
    memcpy(&own, options,
           options->header.struct_size < sizeof(own) ? options->header.struct_size : sizeof(own));
  }
  uint32_t known = TRIVET_TUNE_THIS_TARGET_ONLY | TRIVET_TUNE_ONCE;
  if ((own.flags & ~known) != 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "tune options: flags are 0x%x, of which 0x%x are unknown", own.flags,
                         own.flags & ~known);
  }
  if ((own.flags & TRIVET_TUNE_ONCE) != 0 && own.timing_cache != NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "tune options: what runs once has no times for the cache '%s'",
                         own.timing_cache);
  }
  tvi_tune_t tune;
  memset(&tune, 0, sizeof(tune));
  tvi_arena_init(&tune.arena, runtime->allocator, 1 << 16);
  trivet_status_t status = open_tune(&tune, runtime, path, &own);
  if (status == NULL) status = tune_plan(&tune, &own, sink);
  tvi_timing_cache_destroy(tune.cache);
  tvi_measure_device_destroy(tune.measure);
  trivet_context_destroy(tune.context);
  trivet_engine_destroy(tune.engine);
  tvi_arena_deinit(&tune.arena);
  return status;
}

// --- Calls whose errors the caller's recorder gets --------------------------------------------

trivet_status_t trivet_plan_tune(trivet_runtime_t* runtime, const char* path,
                                 const trivet_tune_options_t* options, trivet_sink_t sink) {
  return tvi_record(runtime ? &runtime->recorder : NULL, "trivet_plan_tune",
                    plan_tune(runtime, path, options, sink));
}
