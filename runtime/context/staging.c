// SPDX-License-Identifier: Apache-2.0
//
// The caller's memory and the plan's wishes: an address in the memory that the plan reads, aligned
// enough, is used in place; any other is stood for by memory of the context and copied in the
// stream. Runs whenever addresses have changed; a run after that only copies.
#include "core/base/checked.h"
#include "core/base/status.h"
#include "runtime/context/context.h"

// Bytes of a binding, 0 where that is not known yet.
static uint64_t binding_bytes(const trivet_context_t* context, uint32_t index) {
  const trivet_engine_t* engine = context->engine;
  uint32_t buffer = engine->program->tensors[engine->tensors[index].tensor].buffer;
  return engine->buffer_is_late[buffer] ? 0 : context->buffers[buffer].size;
}

// Two bindings may lie on each other only where the plan says so, and then only exactly.
static trivet_status_t check_overlaps(const trivet_context_t* context) {
  const trivet_engine_t* engine = context->engine;
  uint32_t bindings = engine->input_count + engine->output_count;
  for (uint32_t o = engine->input_count; o < bindings; ++o) {
    uintptr_t begin = (uintptr_t)context->addresses[o];
    uintptr_t end = begin + binding_bytes(context, o);
    uint32_t alias = engine->plan->bindings[engine->tensors[o].binding].alias;
    for (uint32_t i = 0; i < o; ++i) {
      uintptr_t other = (uintptr_t)context->addresses[i];
      if (begin >= other + binding_bytes(context, i) || other >= end) continue;
      if (engine->tensors[i].binding == alias && begin == other) continue;
      return TRIVET_STATUS(INVALID_ARGUMENT, "output '%s' overlaps %s '%s'",
                           engine->tensors[o].name, i < engine->input_count ? "input" : "output",
                           engine->tensors[i].name);
    }
  }
  return TRIVET_OK;
}

static trivet_status_t check_addresses(const trivet_context_t* context) {
  const trivet_engine_t* engine = context->engine;
  for (uint32_t i = 0; i < engine->input_count + engine->output_count; ++i) {
    if (context->addresses[i] != NULL || !engine->tensors[i].is_used) continue;
    uint32_t buffer = engine->program->tensors[engine->tensors[i].tensor].buffer;
    if (!engine->buffer_is_late[buffer] && context->buffers[buffer].size == 0) continue;
    return TRIVET_STATUS(FAILED_PRECONDITION, "%s '%s': its address was not set",
                         i < engine->input_count ? "input" : "output", engine->tensors[i].name);
  }
  return check_overlaps(context);
}

// Memory of the context for the plan's buffer |b| of binding |index|, whose address |where| cannot
// be used.
static trivet_status_t stand_in(trivet_context_t* context, uint32_t index, uint32_t b) {
  const trivet_engine_t* engine = context->engine;
  uint32_t memory = engine->program->buffers[b].memory;
  tvi_context_staged_t* staged = &context->staged[index];
  uint64_t size = 0, alignment = TVI_CONTEXT_ALIGNMENT;
  if (engine->buffer_is_late[b]) {
    TRIVET_RETURN_IF_ERROR(tvi_context_largest_size(context, index, &size));
  }
  if (size < context->buffers[b].size) size = context->buffers[b].size;
  TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_context_grow(context, memory, "staging", size > 0 ? size : 1,
                                                    alignment, &staged->memory[memory]),
                                   "%s '%s'", index < engine->input_count ? "input" : "output",
                                   engine->tensors[index].name);
  staged->is_staged[memory] = true;
  context->buffers[b].base = staged->memory[memory].base;
  return TRIVET_OK;
}

static trivet_status_t place_binding(trivet_context_t* context, uint32_t b, bool stage_all) {
  const trivet_engine_t* engine = context->engine;
  const tvi_plan_buffer_t* buffer = &engine->program->buffers[b];
  uint32_t index = engine->binding_tensors[buffer->index];
  char* address = context->addresses[index];
  context->buffers[b].base = address;
  if (context->device == NULL || address == NULL) return TRIVET_OK;
  uint32_t where = context->staged[index].where;
  if (where == TRIVET_MEMORY_HOST && context->wants_device_addresses) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "tensor '%s': address %p lies on the host, and this context was made to "
                         "take addresses on %s only",
                         engine->tensors[index].name, (void*)address, context->device->info.name);
  }
  uint32_t alignment = engine->plan->bindings[buffer->index].alignment;
  bool fits = where == buffer->memory && (uintptr_t)address % alignment == 0;
  if (fits && !(stage_all && where == TRIVET_MEMORY_DEVICE)) return TRIVET_OK;
  return stand_in(context, index, b);
}

// Asks the device where the addresses of the caller lie.
static trivet_status_t locate_addresses(trivet_context_t* context) {
  const trivet_engine_t* engine = context->engine;
  for (uint32_t i = 0; i < engine->input_count + engine->output_count; ++i) {
    context->staged[i].where = TRIVET_MEMORY_HOST;
    if (context->device == NULL || context->addresses[i] == NULL) continue;
    TRIVET_RETURN_IF_ERROR_ANNOTATED(
        tvi_device_call(context->device, locate, context->addresses[i], &context->staged[i].where),
        "tensor '%s': address %p", engine->tensors[i].name, (void*)context->addresses[i]);
  }
  return TRIVET_OK;
}

// |stage_all|: also what could be used in place.
static trivet_status_t place_bindings(trivet_context_t* context, bool stage_all) {
  const trivet_engine_t* engine = context->engine;
  uint32_t bindings = engine->input_count + engine->output_count;
  for (uint32_t i = 0; i < bindings; ++i) {
    context->staged[i].is_staged[0] = context->staged[i].is_staged[1] = false;
  }
  for (uint32_t b = 0; b < engine->program->buffer_count; ++b) {
    if (engine->program->buffers[b].kind != TVI_PLAN_BUFFER_BINDING) continue;
    TRIVET_RETURN_IF_ERROR(place_binding(context, b, stage_all));
  }
  context->staged_count = 0;
  for (uint32_t i = 0; i < bindings; ++i) {
    if (!context->staged[i].is_staged[0] && !context->staged[i].is_staged[1]) continue;
    context->staged_list[context->staged_count++] = i;
  }
  context->is_steps_resolved = false;
  return TRIVET_OK;
}

trivet_status_t tvi_context_resolve(trivet_context_t* context) {
  TRIVET_RETURN_IF_ERROR(check_addresses(context));
  TRIVET_RETURN_IF_ERROR(locate_addresses(context));
  TRIVET_RETURN_IF_ERROR(place_bindings(context, false));
  context->current = NULL;
  if (tvi_context_can_replay(context)) {
    bool is_known = false;
    tvi_context_graph_t* graph = tvi_context_find_graph(context, &is_known);
    // Addresses that may never come again are not worth a capture, and launching step by step is
    // slow: they are copied to and from those of a graph that is there already.
    bool use_spare = !is_known && context->is_warm;
    if (use_spare) {
      trivet_status_t status = place_bindings(context, true);
      use_spare = status == NULL;
      trivet_status_free(status);  // no memory for it: as they are, then
      if (!use_spare) TRIVET_RETURN_IF_ERROR(place_bindings(context, false));
    }
    if (use_spare) {
      tvi_context_take_spare(context);
    } else {
      context->current = graph;
    }
  }
  context->is_resolved = true;
  return TRIVET_OK;
}

trivet_status_t tvi_context_stage_inputs(trivet_context_t* context) {
  for (uint32_t s = 0; s < context->staged_count; ++s) {
    uint32_t i = context->staged_list[s];
    if (i >= context->engine->input_count) continue;
    for (uint32_t m = 0; m < 2; ++m) {
      if (!context->staged[i].is_staged[m]) continue;
      TRIVET_RETURN_IF_ERROR_ANNOTATED(
          tvi_context_copy(context, context->stream, context->staged[i].memory[m].base,
                           context->addresses[i], binding_bytes(context, i)),
          "input '%s'", context->engine->tensors[i].name);
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_context_stage_outputs(trivet_context_t* context) {
  const trivet_engine_t* engine = context->engine;
  for (uint32_t s = 0; s < context->staged_count; ++s) {
    uint32_t i = context->staged_list[s];
    if (i < engine->input_count) continue;
    // Sizes that depend on data are known by now.
    uint64_t size =
        context->buffers[engine->program->tensors[engine->tensors[i].tensor].buffer].size;
    for (uint32_t m = 0; m < 2; ++m) {
      if (!context->staged[i].is_staged[m]) continue;
      TRIVET_RETURN_IF_ERROR_ANNOTATED(
          tvi_context_copy(context, context->stream, context->addresses[i],
                           context->staged[i].memory[m].base, size),
          "output '%s'", engine->tensors[i].name);
    }
  }
  return TRIVET_OK;
}
