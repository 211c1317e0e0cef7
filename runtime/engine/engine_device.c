// SPDX-License-Identifier: Apache-2.0
//
// The device of an engine: which program of the plan it can run, the weights in its memory, and
// memory for callers. A plan for the host leaves all of this alone. Nothing here runs a step.
#include <stdio.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "runtime/engine/engine.h"

#define HOST_TARGET "cpu"

// The device that |program| is for, open; an error says why it does not run here.
static trivet_status_t open_for(trivet_engine_t* engine, const tvi_plan_program_t* program,
                                uint32_t ordinal, const tvi_open_device_t** out_device) {
  trivet_runtime_t* runtime = engine->runtime;
  const trivet_device_t* definition = tvi_registry_device(runtime->registry, program->target);
  if (definition == NULL) {
    return TRIVET_STATUS(INCOMPATIBLE, "the plan is for target '%.*s', this runtime runs '%s'",
                         TVI_SV_ARGS(program->target), HOST_TARGET);
  }
  const tvi_open_device_t* device;
  TRIVET_RETURN_IF_ERROR_ANNOTATED(
      tvi_device_list_open(&runtime->devices, definition, ordinal, &device),
      "the plan is for target '%.*s'", TVI_SV_ARGS(program->target));
  trivet_string_view_t rest = program->target;
  tvi_sv_split(&rest, ':');
  char requirement[64];
  int size = snprintf(requirement, sizeof(requirement), "arch:%.*s", TVI_SV_ARGS(rest));
  bool runs = rest.size == 0 || tvi_sv_equal_cstr(program->target, device->info.target);
  if (!runs && size > 0 && (size_t)size < sizeof(requirement)) {
    trivet_string_view_t asked = {requirement, (size_t)size};
    runs = tvi_device_call(device, meets, asked) != 0;
  }
  if (!runs) {
    return TRIVET_STATUS(
        INCOMPATIBLE, "the plan is for target '%.*s', device %u is '%s', target '%s'",
        TVI_SV_ARGS(program->target), ordinal, device->info.name, device->info.target);
  }
  *out_device = device;
  return TRIVET_OK;
}

static bool has_launches(const tvi_plan_program_t* program) {
  for (uint32_t i = 0; i < program->blocks[0].step_count; ++i) {
    if (program->blocks[0].steps[i].kind == TVI_PLAN_STEP_LAUNCH) return true;
  }
  return false;
}

// Whether |program| can run here; gives its device.
static trivet_status_t try_program(trivet_engine_t* engine, uint32_t index, uint32_t ordinal,
                                   const tvi_open_device_t** out_device) {
  const tvi_plan_program_t* program = &engine->plan->programs[index];
  const tvi_open_device_t* device = NULL;
  if (!tvi_sv_equal_cstr(program->target, HOST_TARGET)) {
    TRIVET_RETURN_IF_ERROR(open_for(engine, program, ordinal, &device));
  }
  // Kernels would follow addresses of the other memory.
  bool wants_device = tvi_plan_program_has_device_memory(program);
  if (device == NULL ? wants_device : !wants_device && has_launches(program)) {
    return TRIVET_STATUS(DATA_LOSS, "program %u, target '%.*s': buffers lie on the %s", index,
                         TVI_SV_ARGS(program->target), wants_device ? "device" : "host");
  }
  *out_device = device;
  return TRIVET_OK;
}

// The first program's reason, and what else the plan is for.
static trivet_status_t name_targets(const tvi_plan_t* plan, trivet_status_t status) {
  if (plan->program_count < 2) return status;
  char targets[256];
  size_t used = 0;
  for (uint32_t i = 0; i < plan->program_count; ++i) {
    trivet_string_view_t target = plan->programs[i].target;
    int wanted = snprintf(targets + used, sizeof(targets) - used, "%s'%.*s'", i != 0 ? ", " : "",
                          TVI_SV_ARGS(target));
    if (wanted < 0 || (size_t)wanted >= sizeof(targets) - used) {
      targets[used] = 0;  // the count tells that there are more
      break;
    }
    used += (size_t)wanted;
  }
  return trivet_status_annotate(status, "none of the plan's %u programs, for %s, runs here",
                                plan->program_count, targets);
}

// Among programs for one device that which names its very architecture comes before others.
static bool is_better(const trivet_engine_t* engine, const tvi_plan_program_t* program,
                      const tvi_open_device_t* device) {
  if (engine->program == NULL) return true;
  return device != NULL && device == engine->device &&
         tvi_sv_equal_cstr(program->target, device->info.target) &&
         !tvi_sv_equal_cstr(engine->program->target, device->info.target);
}

trivet_status_t tvi_engine_find_program(trivet_engine_t* engine, uint32_t ordinal) {
  const tvi_plan_t* plan = engine->plan;
  trivet_status_t first = TRIVET_OK;
  for (uint32_t i = 0; i < plan->program_count; ++i) {
    const tvi_plan_program_t* program = &plan->programs[i];
    const tvi_open_device_t* device = NULL;
    trivet_status_t status = try_program(engine, i, ordinal, &device);
    if (status == NULL) {
      if (is_better(engine, program, device)) {
        engine->program = program;
        engine->block = &program->blocks[0];
        engine->device = device;
      }
      continue;
    }
    if (first == NULL) {
      first = status;
    } else {
      tvi_log(engine->runtime->logger, TRIVET_SEVERITY_INFO, "program %u: %s", i,
              trivet_status_message(status));
      trivet_status_free(status);
    }
  }
  if (engine->program == NULL) return name_targets(plan, first);
  trivet_status_free(first);
  return TRIVET_OK;
}

char* tvi_engine_constant(const trivet_engine_t* engine, uint32_t buffer) {
  const tvi_plan_buffer_t* from = &engine->program->buffers[buffer];
  const tvi_plan_constant_t* constant = &engine->plan->constants[from->index];
  if (from->memory == TRIVET_MEMORY_DEVICE)
    return engine->device_weights + engine->device_offsets[from->index];
  return (char*)engine->plan->weights + constant->offset;
}

static trivet_status_t copy_weights(const trivet_engine_t* engine, const bool* is_used) {
  const tvi_open_device_t* device = engine->device;
  const tvi_plan_t* plan = engine->plan;
  void* stream = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_device_call(device, stream_create, &stream));
  trivet_status_t status = TRIVET_OK;
  // Neighbours go together; what lies between two is padding.
  for (uint32_t i = 0; i < plan->constant_count && status == NULL;) {
    uint32_t end = i;
    while (end < plan->constant_count && is_used[end]) ++end;
    if (end == i) {
      ++i;
      continue;
    }
    uint64_t begin = plan->constants[i].offset;
    uint64_t size = plan->constants[end - 1].offset + plan->constants[end - 1].size - begin;
    if (size != 0) {
      status =
          tvi_device_call(device, copy, stream, engine->device_weights + engine->device_offsets[i],
                          plan->weights + begin, size);
    }
    i = end;
  }
  // Also after an error: what was queued reads the plan.
  status = trivet_status_join(status, tvi_device_call(device, stream_synchronize, stream));
  device->definition->stream_destroy(device->definition, device->state, stream);
  return status;
}

// Constants of other programs, and of alternatives that tuning left out, take no memory. Neighbours
// stay neighbours.
static uint64_t place_weights(trivet_engine_t* engine, const bool* is_used) {
  const tvi_plan_t* plan = engine->plan;
  uint64_t end = 0;
  for (uint32_t i = 0; i < plan->constant_count; ++i) {
    if (!is_used[i]) continue;
    end = (end + TVI_PLAN_WEIGHT_ALIGNMENT - 1) / TVI_PLAN_WEIGHT_ALIGNMENT *
          TVI_PLAN_WEIGHT_ALIGNMENT;
    engine->device_offsets[i] = end;
    end += plan->constants[i].size;
  }
  return end;
}

trivet_status_t tvi_engine_copy_weights(const trivet_engine_t* engine, const bool* is_used) {
  return trivet_status_annotate(copy_weights(engine, is_used), "weights");
}

trivet_status_t tvi_engine_place_weights(trivet_engine_t* engine, uint64_t memory_limit,
                                         const bool** out_is_used) {
  const tvi_plan_t* plan = engine->plan;
  *out_is_used = NULL;
  if (engine->device == NULL || plan->constant_count == 0) return TRIVET_OK;
  bool* is_used;
  bool any = false;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&engine->arena, plan->constant_count, 1, &is_used));
  for (uint32_t b = 0; b < engine->program->buffer_count; ++b) {
    const tvi_plan_buffer_t* buffer = &engine->program->buffers[b];
    if (buffer->kind != TVI_PLAN_BUFFER_CONSTANT || buffer->memory != TRIVET_MEMORY_DEVICE)
      continue;
    is_used[buffer->index] = any = true;
  }
  if (!any) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&engine->arena, plan->constant_count,
                                                      sizeof(uint64_t), &engine->device_offsets));
  uint64_t size = place_weights(engine, is_used);
  if (size == 0) size = 1;
  if (memory_limit != 0 && size > memory_limit) {
    return TRIVET_STATUS(OUT_OF_MEMORY,
                         "weights need %llu bytes of device %u ('%s'), the limit is %llu",
                         (unsigned long long)size, engine->device->ordinal,
                         engine->device->info.name, (unsigned long long)memory_limit);
  }
  void* memory = NULL;
  TRIVET_RETURN_IF_ERROR_ANNOTATED(
      tvi_device_allocate(engine->device, TRIVET_MEMORY_DEVICE, size, &memory),
      "%llu bytes for weights", (unsigned long long)size);
  engine->device_weights = memory;
  engine->device_weights_size = size;
  *out_is_used = is_used;
  return TRIVET_OK;
}

void tvi_engine_release_device(trivet_engine_t* engine) {
  if (engine->device_weights == NULL) return;
  tvi_device_release(engine->device, TRIVET_MEMORY_DEVICE, engine->device_weights,
                     engine->device_weights_size);
}

// --- For callers ---------------------------------------------------------------------------------

const char* trivet_engine_target(const trivet_engine_t* engine) {
  return engine != NULL ? engine->program->target.data : NULL;
}

uint32_t trivet_engine_has_device(const trivet_engine_t* engine) {
  return engine != NULL && engine->device != NULL;
}

trivet_status_t trivet_engine_allocate(trivet_engine_t* engine, uint64_t size, void** out_address) {
  if (engine == NULL || out_address == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "engine or out_address is NULL");
  }
  if (size == 0) size = 1;
  if (engine->device == NULL) {
    return tvi_alloc_aligned(engine->allocator, size, TVI_PLAN_WEIGHT_ALIGNMENT, out_address);
  }
  return tvi_device_allocate(engine->device, TRIVET_MEMORY_DEVICE, size, out_address);
}

void trivet_engine_release(trivet_engine_t* engine, void* address, uint64_t size) {
  if (engine == NULL || address == NULL) return;
  if (size == 0) size = 1;
  if (engine->device == NULL) {
    tvi_free_aligned(engine->allocator, address, size, TVI_PLAN_WEIGHT_ALIGNMENT);
  } else {
    tvi_device_release(engine->device, TRIVET_MEMORY_DEVICE, address, size);
  }
}

trivet_status_t trivet_engine_copy(trivet_engine_t* engine, void* target, const void* source,
                                   uint64_t size) {
  if (engine == NULL || (size != 0 && (target == NULL || source == NULL))) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "engine, target or source is NULL");
  }
  if (size == 0) return TRIVET_OK;
  if (engine->device == NULL) {
    memmove(target, source, size);
    return TRIVET_OK;
  }
  const tvi_open_device_t* device = engine->device;
  void* stream = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_device_call(device, stream_create, &stream));
  trivet_status_t status = tvi_device_call(device, copy, stream, target, source, size);
  status = trivet_status_join(status, tvi_device_call(device, stream_synchronize, stream));
  device->definition->stream_destroy(device->definition, device->state, stream);
  return status;
}
