// SPDX-License-Identifier: Apache-2.0
//
// The kernels of an engine: which alternatives of a step this machine can run, and what their load
// made of the blobs. Guards over dimensions are not looked at here: shapes are not known yet.
#include <string.h>

#include "core/base/clock.h"
#include "core/base/cpu_info.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/plan/host_blob.h"
#include "runtime/device/device.h"
#include "runtime/engine/engine.h"

#define SLOW_STEP_MS 1.0

static bool requirement_holds(const trivet_engine_t* engine, trivet_string_view_t requirement) {
  trivet_string_view_t rest = requirement;
  trivet_string_view_t kind = tvi_sv_split(&rest, ':');
  if (tvi_sv_equal_cstr(kind, "plugin")) return tvi_engine_plugin(engine, rest) != NULL;
  if (!tvi_sv_equal_cstr(kind, "isa")) {
    return engine->device != NULL && tvi_device_call(engine->device, meets, requirement) != 0;
  }
  for (uint32_t level = TVI_CPU_PLAIN; level <= (uint32_t)tvi_cpu_level(); ++level) {
    if (tvi_sv_equal_cstr(rest, tvi_cpu_level_name((tvi_cpu_level_t)level))) return true;
  }
  return false;
}

// A name for the registry, NUL-terminated as the reader leaves it.
static trivet_status_t find_kernel(const trivet_engine_t* engine,
                                   const tvi_plan_alternative_t* from,
                                   const trivet_kernel_t** out_kernel) {
  const char* name = from->kernel.data;
  const trivet_kernel_t* kernel = tvi_engine_kernel(engine, name, from->kernel_version);
  if (kernel == NULL) {
    const trivet_kernel_t* other = tvi_engine_kernel(engine, name, 0);
    if (other == NULL) return TRIVET_STATUS(UNAVAILABLE, "kernel '%s' is not loaded", name);
    return TRIVET_STATUS(INCOMPATIBLE, "kernel '%s' is wanted in version %u, loaded is %u", name,
                         from->kernel_version, other->version);
  }
  if (!tvi_target_matches(engine->program->target, kernel->target)) {
    return TRIVET_STATUS(DATA_LOSS, "kernel '%s' is for target '%s', the program for '%.*s'", name,
                         kernel->target, TVI_SV_ARGS(engine->program->target));
  }
  *out_kernel = kernel;
  return TRIVET_OK;
}

static trivet_status_t load_launch(trivet_engine_t* engine, tvi_engine_alternative_t* alternative) {
  const tvi_plan_alternative_t* from = alternative->plan;
  TRIVET_RETURN_IF_ERROR(find_kernel(engine, from, &alternative->kernel));
  trivet_kernel_load_t load = {
      .header = {(uint32_t)sizeof(load), TRIVET_STRUCT_KERNEL, NULL},
      .blob = from->blob,
      .blob_size = from->blob_size,
      .allocator = &engine->runtime->allocator,
      .device = engine->device != NULL ? engine->device->state : NULL,
      .host_kernel = tvi_device_tile_kernel(),
      .error = tvi_kernel_load_error,
  };
  TRIVET_RETURN_IF_ERROR(tvi_device_enter(engine->device));
  TRIVET_RETURN_IF_ERROR_ANNOTATED(
      alternative->kernel->load(alternative->kernel, &load, &alternative->loaded), "kernel '%s'",
      alternative->kernel->name);
  alternative->is_loaded = true;
  return TRIVET_OK;
}

static trivet_status_t load_host(trivet_engine_t* engine, tvi_engine_alternative_t* alternative) {
  const tvi_plan_alternative_t* from = alternative->plan;
  const char* name = from->kernel.data;
  const tvi_operator_entry_t* entry = tvi_engine_operator(engine, name, from->kernel_version);
  if (entry == NULL || entry->definition->evaluate == NULL) {
    return TRIVET_STATUS(UNAVAILABLE, "operator '%s' version %u with a host function is not loaded",
                         name, from->kernel_version);
  }
  alternative->op = entry->definition;
  trivet_attribute_t* attributes;
  TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_host_blob_decode(from->blob, from->blob_size, &engine->arena,
                                                        &attributes, &alternative->attribute_count),
                                   "attributes of operator '%s'", name);
  alternative->attributes = attributes;
  return TRIVET_OK;
}

static trivet_status_t load_step(trivet_engine_t* engine, uint32_t index) {
  tvi_engine_step_t* step = &engine->steps[index];
  trivet_string_view_t missing = {0};
  bool any = false;
  for (uint32_t a = 0; a < step->plan->alternative_count; ++a) {
    tvi_engine_alternative_t* alternative = &step->alternatives[a];
    bool usable = true;
    for (uint32_t r = 0; usable && r < alternative->plan->requirement_count; ++r) {
      usable = requirement_holds(engine, alternative->plan->requirements[r]);
      if (!usable) missing = alternative->plan->requirements[r];
    }
    if (!usable) {
      tvi_log(engine->runtime->logger, TRIVET_SEVERITY_INFO,
              "step %u (%.*s): %.*s is left out, it needs %.*s", index,
              TVI_SV_ARGS(step->plan->name), TVI_SV_ARGS(alternative->plan->kernel),
              TVI_SV_ARGS(missing));
      continue;
    }
    trivet_status_t status = TRIVET_OK;
    if (step->plan->kind == TVI_PLAN_STEP_HOST && tvi_engine_is_control(alternative->plan)) {
      status = tvi_engine_load_control(engine, alternative);
    } else if (step->plan->kind == TVI_PLAN_STEP_HOST) {
      status = load_host(engine, alternative);
    } else if (step->plan->kind == TVI_PLAN_STEP_LAUNCH) {
      status = load_launch(engine, alternative);
    }
    // A later way may still do.
    if (status != NULL && a + 1 < step->plan->alternative_count &&
        trivet_status_code(status) != TRIVET_STATUS_OUT_OF_MEMORY) {
      tvi_log(engine->runtime->logger, TRIVET_SEVERITY_WARNING,
              "step %u (%.*s): %.*s is left out: %s", index, TVI_SV_ARGS(step->plan->name),
              TVI_SV_ARGS(alternative->plan->kernel), trivet_status_message(status));
      trivet_status_free(status);
      continue;
    }
    TRIVET_RETURN_IF_ERROR(status);
    alternative->usable = true;
    any = true;
    // Nothing behind an alternative without guards is ever chosen.
    if (alternative->plan->guard_count == 0 && !engine->loads_all) break;
  }
  if (any) return TRIVET_OK;
  return TRIVET_STATUS(UNAVAILABLE,
                       "every alternative needs what is missing here, the last one %.*s",
                       TVI_SV_ARGS(missing));
}

// A library's first step pays for all of them, so what takes long is worth a line.
void tvi_engine_log_slow_step(const trivet_engine_t* engine, uint32_t step, const char* what,
                              int64_t start_ns) {
  double milliseconds = (double)(tvi_clock_now_ns() - start_ns) * 1e-6;
  if (milliseconds < SLOW_STEP_MS) return;
  tvi_log(engine->runtime->logger, TRIVET_SEVERITY_INFO, "step %u (%.*s): %s in %.1f ms", step,
          TVI_SV_ARGS(engine->block->steps[step].name), what, milliseconds);
}

trivet_status_t tvi_engine_load_steps(trivet_engine_t* engine) {
  for (uint32_t i = 0; i < engine->block->step_count; ++i) {
    int64_t start = tvi_clock_now_ns();
    TRIVET_RETURN_IF_ERROR(tvi_engine_annotate_step(engine, i, load_step(engine, i)));
    tvi_engine_log_slow_step(engine, i, "loaded", start);
  }
  return TRIVET_OK;
}

void tvi_engine_unload_steps(trivet_engine_t* engine) {
  if (engine->steps == NULL) return;
  trivet_status_free(tvi_device_enter(engine->device));  // what cannot be freed is lost
  for (uint32_t i = 0; i < engine->block->step_count; ++i) {
    tvi_engine_step_t* step = &engine->steps[i];
    for (uint32_t a = 0; step->alternatives != NULL && a < step->plan->alternative_count; ++a) {
      tvi_engine_alternative_t* alternative = &step->alternatives[a];
      trivet_engine_destroy(alternative->bodies[0]);
      trivet_engine_destroy(alternative->bodies[1]);
      if (!alternative->is_loaded) continue;
      alternative->kernel->unload(alternative->kernel, alternative->loaded,
                                  &engine->runtime->allocator);
    }
  }
}
