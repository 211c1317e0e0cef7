// SPDX-License-Identifier: Apache-2.0
//
// Where a target has memory of its own, every buffer gets its memory here, after the steps are made
// and before they are ordered: what launches touch lies on the device, what host functions touch on
// the host, and a value that both touch is copied once, by a step of its own. It must not know
// any target.
#include <string.h>

#include "codegen/schedule/schedule.h"
#include "core/base/status.h"

// Bytes of a buffer that its mirror on the host holds already.
typedef struct mirrored_s {
  uint32_t buffer;
  trivet_dim_t offset, size;
} mirrored_t;

typedef struct spaces_s {
  tvi_schedule_t* s;
  uint8_t* launched;  // by buffer: a launch touches it
  uint8_t* hosted;    // a host function does
  uint32_t* mirrors;  // by buffer: the one on the host that stands beside it
  size_t buffer_count;
  TVI_VECTOR(mirrored_t) mirrored;
} spaces_t;

static bool is_output_binding(const tvi_schedule_t* s, const tvi_sched_buffer_t* buffer) {
  return buffer->kind == TVI_PLAN_BUFFER_BINDING && buffer->index >= s->graph->input_count;
}

// The tensor as it is seen in the host's mirror of its buffer. The constant's bytes and the
// caller's inputs are brought there by the runtime; any other buffer gets one in the arena.
static trivet_status_t mirror_tensor(spaces_t* p, uint32_t tensor, uint32_t* out_tensor) {
  tvi_schedule_t* s = p->s;
  tvi_sched_tensor_t copy = s->tensors.data[tensor];
  uint32_t* mirror = &p->mirrors[copy.place.buffer];
  if (*mirror == TVI_SCHEDULE_NONE) {
    tvi_sched_buffer_t buffer = s->buffers.data[copy.place.buffer];
    bool in_arena = buffer.kind == TVI_PLAN_BUFFER_ARENA || is_output_binding(s, &buffer);
    TRIVET_RETURN_IF_ERROR(
        tvi_schedule_add_buffer(s, in_arena ? (uint32_t)TVI_PLAN_BUFFER_ARENA : buffer.kind,
                                in_arena ? TVI_SCHEDULE_NONE : buffer.index, buffer.size, mirror));
    s->buffers.data[*mirror].memory = TRIVET_MEMORY_HOST;
  }
  copy.place.buffer = *mirror;
  copy.flags = 0;  // observed values are read where launches left them
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&s->tensors, copy));
  *out_tensor = (uint32_t)s->tensors.count - 1;
  return TRIVET_OK;
}

static bool is_mirrored(const spaces_t* p, const mirrored_t* wanted) {
  for (size_t i = 0; i < p->mirrored.count; ++i) {
    const mirrored_t* m = &p->mirrored.data[i];
    if (m->buffer == wanted->buffer && m->offset == wanted->offset && m->size == wanted->size) {
      return true;
    }
  }
  return false;
}

// Puts a copy in front of step |at|, with that step's name.
static trivet_status_t insert_copy(spaces_t* p, size_t at, trivet_string_view_t name, uint32_t from,
                                   uint32_t to) {
  tvi_schedule_t* s = p->s;
  tvi_sched_step_t step;
  memset(&step, 0, sizeof(step));
  tvi_vector_init(&step.operands, s->allocator);
  tvi_vector_init(&step.parameters, s->allocator);
  tvi_vector_init(&step.requirements, s->allocator);
  tvi_vector_init(&step.bound, s->allocator);
  tvi_vector_init(&step.others, s->allocator);
  step.kind = TVI_PLAN_STEP_COPY;
  step.kernel = step.tactic = (trivet_string_view_t){"", 0};
  step.name = name;
  step.made_by = "copy";
  step.region = TVI_COVER_NONE;
  step.output_count = 1;
  trivet_status_t status = tvi_vector_push(&step.operands, from);
  if (!status) status = tvi_vector_push(&step.operands, to);
  if (!status) status = tvi_vector_push(&s->steps, step);
  if (status) {
    tvi_vector_deinit(&step.operands);
    return status;
  }
  memmove(s->steps.data + at + 1, s->steps.data + at, (s->steps.count - 1 - at) * sizeof(step));
  s->steps.data[at] = step;
  return TRIVET_OK;
}

// Brings the operands of the host function at |*at| to the host: copies before it for what it
// reads, after it for what it writes. |*at| becomes its last copy, or the step itself.
static trivet_status_t host_step(spaces_t* p, size_t* at) {
  tvi_schedule_t* s = p->s;
  const tvi_sched_step_t step = s->steps.data[*at];  // its operands stay where they are
  size_t inputs = step.operands.count - step.output_count, self = *at;
  for (size_t k = 0; k < step.operands.count; ++k) {
    uint32_t tensor = step.operands.data[k], on_host = 0;
    if (tensor == TVI_PLAN_NONE) continue;
    const tvi_place_t* place = &s->tensors.data[tensor].place;
    uint32_t buffer = place->buffer;
    if (s->buffers.data[buffer].memory == TRIVET_MEMORY_HOST) continue;
    mirrored_t bytes = {buffer, place->offset,
                        tvi_schedule_value_size(s, s->tensors.data[tensor].value)};
    TRIVET_RETURN_IF_ERROR(mirror_tensor(p, tensor, &on_host));
    step.operands.data[k] = on_host;
    if (s->buffers.data[p->mirrors[buffer]].kind != TVI_PLAN_BUFFER_ARENA) continue;
    bool known = is_mirrored(p, &bytes);
    if (!known) TRIVET_RETURN_IF_ERROR(tvi_vector_push(&p->mirrored, bytes));
    if (k >= inputs) {
      TRIVET_RETURN_IF_ERROR(insert_copy(p, ++*at, step.name, on_host, tensor));
    } else if (!known) {
      TRIVET_RETURN_IF_ERROR(insert_copy(p, self++, step.name, tensor, on_host));
      ++*at;
    }
  }
  return TRIVET_OK;
}

static void find_touched(spaces_t* p) {
  const tvi_schedule_t* s = p->s;
  for (size_t i = 0; i < s->steps.count; ++i) {
    const tvi_sched_step_t* way = NULL;
    for (size_t w = 0; (way = tvi_sched_step_way(&s->steps.data[i], w)) != NULL; ++w) {
      for (size_t k = 0; k < way->operands.count; ++k) {
        if (way->operands.data[k] == TVI_PLAN_NONE) continue;
        uint32_t buffer = s->tensors.data[way->operands.data[k]].place.buffer;
        (way->kind == TVI_PLAN_STEP_HOST ? p->hosted : p->launched)[buffer] = 1;
      }
    }
  }
}

static trivet_status_t make_spaces(spaces_t* p) {
  tvi_schedule_t* s = p->s;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(s->arena, p->buffer_count + 1, 1, &p->launched));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(s->arena, p->buffer_count + 1, 1, &p->hosted));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(s->arena, p->buffer_count + 1, sizeof(uint32_t), &p->mirrors));
  memset(p->mirrors, 0xff, (p->buffer_count + 1) * sizeof(uint32_t));
  find_touched(p);
  for (size_t b = 0; b < p->buffer_count; ++b) {
    s->buffers.data[b].memory = p->launched[b] ? TRIVET_MEMORY_DEVICE : TRIVET_MEMORY_HOST;
  }
  for (size_t i = 0; i < s->steps.count; ++i) {
    if (s->steps.data[i].kind == TVI_PLAN_STEP_HOST) TRIVET_RETURN_IF_ERROR(host_step(p, &i));
  }
  return TRIVET_OK;
}

trivet_status_t tvi_schedule_place_memories(tvi_schedule_t* s) {
  if (!s->tactics->options.device) return TRIVET_OK;
  spaces_t p;
  memset(&p, 0, sizeof(p));
  p.s = s;
  p.buffer_count = s->buffers.count;
  tvi_vector_init(&p.mirrored, s->allocator);
  trivet_status_t status = make_spaces(&p);
  tvi_vector_deinit(&p.mirrored);
  return status;
}
