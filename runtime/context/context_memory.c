// SPDX-License-Identifier: Apache-2.0
//
// Memory and order of a context, for the host and for targets with memory of their own: what grows,
// within the caller's limit, what is copied, and what has to be waited for. Called by prepare and
// by whoever copies; knows nothing of steps.
#include <string.h>

#include "core/base/checked.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "runtime/context/context.h"

uint32_t tvi_context_own_memory(const trivet_context_t* context) {
  return context->device != NULL ? TRIVET_MEMORY_DEVICE : TRIVET_MEMORY_HOST;
}

void tvi_context_release_memory(trivet_context_t* context, uint32_t where,
                                tvi_context_memory_t* memory) {
  if (memory->base == NULL) return;
  if (context->device == NULL) {
    tvi_free_aligned(context->allocator, memory->base, memory->capacity, memory->alignment);
  } else {
    tvi_device_release(context->device, where, memory->base, memory->capacity);
  }
  context->used[where] -= memory->capacity;
  *memory = (tvi_context_memory_t){0};
}

static trivet_status_t check_limit(const trivet_context_t* context, uint32_t where,
                                   const char* what, uint64_t size) {
  uint64_t held = context->used[where] + context->engine->device_weights_size, need;
  if (where != tvi_context_own_memory(context) || context->memory_limit == 0) return TRIVET_OK;
  if (tvi_checked_add_u64(held, size, &need) && need <= context->memory_limit) return TRIVET_OK;
  return TRIVET_STATUS(OUT_OF_MEMORY,
                       "%s of %llu bytes beside %llu that are held: the limit of this context is "
                       "%llu bytes",
                       what, (unsigned long long)size, (unsigned long long)held,
                       (unsigned long long)context->memory_limit);
}

trivet_status_t tvi_context_grow(trivet_context_t* context, uint32_t where, const char* what,
                                 uint64_t size, uint64_t alignment, tvi_context_memory_t* memory) {
  if (memory->capacity >= size && (memory->alignment >= alignment || size == 0)) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_context_finish(context));
  tvi_context_release_memory(context, where, memory);
  TRIVET_RETURN_IF_ERROR(check_limit(context, where, what, size));
  void* base = NULL;
  if (context->device == NULL) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_alloc_aligned(context->allocator, size, alignment, &base),
                                     "%s", what);
  } else {
    uint64_t given = context->device->info.alignment;
    if (where == TRIVET_MEMORY_DEVICE && given < alignment) {
      return TRIVET_STATUS(UNIMPLEMENTED, "%s: device memory is aligned to %llu, wanted is %llu",
                           what, (unsigned long long)given, (unsigned long long)alignment);
    }
    TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_device_allocate(context->device, where, size, &base),
                                     "%s of %llu bytes", what, (unsigned long long)size);
  }
  *memory = (tvi_context_memory_t){base, size, alignment};
  context->used[where] += size;
  return TRIVET_OK;
}

trivet_status_t tvi_context_copy(trivet_context_t* context, void* stream, void* target,
                                 const void* source, uint64_t size) {
  if (size == 0) return TRIVET_OK;
  if (context->device == NULL) {
    memcpy(target, source, size);
    return TRIVET_OK;
  }
  context->is_pending = true;
  return tvi_device_call(context->device, copy, stream, target, source, size);
}

// One word from the host, then what is filled already is copied behind itself: devices offer copies
// only.
static trivet_status_t fill(trivet_context_t* context, const tvi_context_memory_t* memory) {
  static const uint64_t patterns[2] = {0, UINT64_MAX};
  const uint64_t* pattern = &patterns[(context->fill & TRIVET_CONTEXT_FILL_ONES) != 0];
  uint64_t done = memory->capacity < sizeof(*pattern) ? memory->capacity : sizeof(*pattern);
  TRIVET_RETURN_IF_ERROR(tvi_context_copy(context, context->stream, memory->base, pattern, done));
  while (done < memory->capacity) {
    uint64_t rest = memory->capacity - done, size = done < rest ? done : rest;
    TRIVET_RETURN_IF_ERROR(
        tvi_context_copy(context, context->stream, memory->base + done, memory->base, size));
    done += size;
  }
  return TRIVET_OK;
}

trivet_status_t tvi_context_fill_memory(trivet_context_t* context) {
  if (context->fill == 0) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(fill(context, &context->arenas[TRIVET_MEMORY_HOST]));
  TRIVET_RETURN_IF_ERROR(fill(context, &context->arenas[TRIVET_MEMORY_DEVICE]));
  return fill(context, &context->workspace);
}

trivet_status_t tvi_context_finish(trivet_context_t* context) {
  if (!context->is_pending) return TRIVET_OK;
  context->is_pending = false;
  trivet_status_t status = tvi_context_join_queues(context);
  return trivet_status_join(status,
                            tvi_device_call(context->device, stream_synchronize, context->stream));
}

trivet_status_t tvi_context_open_device(trivet_context_t* context, uint32_t graph_count) {
  const tvi_open_device_t* device = context->device;
  const tvi_plan_program_t* program = context->engine->program;
  if (device == NULL) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_device_call(device, stream_create, &context->own_stream));
  context->stream = context->own_stream;
  TRIVET_RETURN_IF_ERROR(tvi_device_call(device, event_create, &context->order_event));
  for (int i = 0; i < 2; ++i) {
    TRIVET_RETURN_IF_ERROR(tvi_device_call(device, event_create, &context->marks[i]));
  }
  TRIVET_RETURN_IF_ERROR(tvi_context_open_queues(context));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&context->arena, program->buffer_count + 1,
                                                      sizeof(uint32_t), &context->device_bindings));
  for (uint32_t b = 0; b < program->buffer_count; ++b) {
    if (program->buffers[b].kind != TVI_PLAN_BUFFER_BINDING ||
        program->buffers[b].memory != TRIVET_MEMORY_DEVICE) {
      continue;
    }
    context->device_bindings[context->device_binding_count++] = b;
  }
  context->graph_limit = graph_count;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&context->arena, graph_count,
                                                      sizeof(*context->graphs), &context->graphs));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&context->arena,
                                                      context->device_binding_count + 1,
                                                      sizeof(void*), &context->spare.addresses));
  for (uint32_t g = 0; g < graph_count; ++g) {
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_alloc_array_zeroed(&context->arena, context->device_binding_count + 1,
                                     sizeof(void*), &context->graphs[g].addresses));
  }
  return TRIVET_OK;
}

trivet_status_t tvi_context_make_events(trivet_context_t* context) {
  if (context->device == NULL || context->events != NULL) return TRIVET_OK;
  size_t count = (size_t)context->engine->block->step_count + 1;
  TRIVET_RETURN_IF_ERROR(
      tvi_alloc_array_zeroed(context->allocator, count, sizeof(void*), &context->events));
  for (size_t i = 0; i < count; ++i) {
    TRIVET_RETURN_IF_ERROR(tvi_device_call(context->device, event_create, &context->events[i]));
  }
  return TRIVET_OK;
}

static void destroy_event(trivet_context_t* context, void* event) {
  if (event != NULL) tvi_device_call(context->device, event_destroy, event);
}

void tvi_context_close_device(trivet_context_t* context) {
  if (context->device == NULL) return;
  tvi_context_drop_graphs(context);
  size_t count = (size_t)context->engine->block->step_count + 1;
  for (size_t i = 0; context->events != NULL && i < count; ++i) {
    destroy_event(context, context->events[i]);
  }
  tvi_free_array(context->allocator, context->events, count, sizeof(void*));
  tvi_context_close_queues(context);
  destroy_event(context, context->order_event);
  destroy_event(context, context->marks[0]);
  destroy_event(context, context->marks[1]);
  if (context->own_stream != NULL) {
    tvi_device_call(context->device, stream_destroy, context->own_stream);
  }
}

// --- For callers ---------------------------------------------------------------------------------

static trivet_status_t context_synchronize(trivet_context_t* context) {
  if (context == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "context is NULL");
  return tvi_context_finish(context);
}

static trivet_status_t context_set_stream(trivet_context_t* context, void* stream) {
  if (context == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "context is NULL");
  const tvi_open_device_t* device = context->device;
  if (device == NULL) {
    return stream == NULL
               ? TRIVET_OK
               : TRIVET_STATUS(INVALID_ARGUMENT, "target '%s' has no streams, but one was given",
                               context->engine->program->target.data);
  }
  if (stream == NULL) stream = context->own_stream;
  if (stream == context->stream) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_device_check_stream(device, stream), "stream %p", stream);
  if (context->is_pending) {
    TRIVET_RETURN_IF_ERROR(
        tvi_device_call(device, event_record, context->order_event, context->stream));
    TRIVET_RETURN_IF_ERROR_ANNOTATED(
        tvi_device_call(device, stream_wait, stream, context->order_event), "stream %p", stream);
  }
  context->stream = stream;
  return TRIVET_OK;
}

// --- Calls whose errors the caller's recorder gets --------------------------------------------

trivet_status_t trivet_context_synchronize(trivet_context_t* context) {
  return tvi_record(context ? &context->engine->runtime->recorder : NULL,
                    "trivet_context_synchronize", context_synchronize(context));
}

trivet_status_t trivet_context_set_stream(trivet_context_t* context, void* stream) {
  return tvi_record(context ? &context->engine->runtime->recorder : NULL,
                    "trivet_context_set_stream", context_set_stream(context, stream));
}
