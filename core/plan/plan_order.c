// SPDX-License-Identifier: Apache-2.0
//
// Clocks of steps, one number per queue, and what follows from them: pairs of steps that touch the
// same bytes and are not ordered, and lifetimes that end before the last step that counts. Whether
// two views of one buffer meet is decided for numbers; where symbols leave it open, they do.
#include "core/plan/plan_order.h"

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/vector.h"
#include "core/dimension/dim_code.h"

trivet_status_t tvi_plan_order_init(tvi_plan_order_t* order, const tvi_plan_block_t* block,
                                    trivet_allocator_t allocator) {
  uint32_t queues = 1, last[TVI_PLAN_MAX_QUEUES] = {0};
  for (uint32_t s = 0; s < block->step_count; ++s) {
    if (block->steps[s].queue >= queues) queues = block->steps[s].queue + 1;
  }
  *order = (tvi_plan_order_t){block->step_count, queues, NULL};
  TRIVET_RETURN_IF_ERROR(tvi_alloc_array_zeroed(allocator, block->step_count,
                                                queues * sizeof(uint32_t), &order->clocks));
  for (uint32_t s = 0; s < block->step_count; ++s) {
    const tvi_plan_step_t* step = &block->steps[s];
    uint32_t* clock = order->clocks + (size_t)s * queues;
    for (uint32_t w = 0; w <= step->wait_count; ++w) {
      uint32_t end = w < step->wait_count ? step->waits[w] + 1 : last[step->queue];
      if (end == 0) continue;
      const uint32_t* before = order->clocks + (size_t)(end - 1) * queues;
      for (uint32_t q = 0; q < queues; ++q) {
        if (before[q] > clock[q]) clock[q] = before[q];
      }
    }
    clock[step->queue] = last[step->queue] = s + 1;
  }
  return TRIVET_OK;
}

void tvi_plan_order_deinit(tvi_plan_order_t* order, trivet_allocator_t allocator) {
  tvi_free_array(allocator, order->clocks, order->step_count,
                 order->queue_count * sizeof(uint32_t));
  *order = (tvi_plan_order_t){0};
}

// --- Whether views meet --------------------------------------------------------------------------

#define ANY_EXTENT INT64_MAX

// A dimension of one view or of two.
typedef struct axis_s {
  int64_t stride;     // elements, positive
  int64_t extent[2];  // of the views; ANY_EXTENT: not known
} axis_t;

typedef struct view_s {
  axis_t axes[TRIVET_MAX_RANK];  // strides ascending, extents of more than 1, joined where dense
  uint32_t count;
  int64_t offset;  // bytes
  bool is_empty;
} view_t;

static bool constant_of(const tvi_plan_t* plan, tvi_plan_expr_t expr, int64_t* out_value) {
  const tvi_plan_expr_code_t* code = &plan->exprs[expr];
  return tvi_dim_code_is_constant(code->code, (size_t)code->size, out_value);
}

// False where offset or strides are no numbers, or go backwards.
static bool view_of(const tvi_plan_t* plan, const tvi_plan_tensor_t* tensor, view_t* view) {
  memset(view, 0, sizeof(*view));
  if (!constant_of(plan, tensor->offset, &view->offset)) return false;
  for (uint32_t d = 0; d < tensor->rank; ++d) {
    int64_t extent = 0, stride = 0;
    if (!constant_of(plan, tensor->dims[d], &extent)) extent = ANY_EXTENT;
    if (extent == 0) view->is_empty = true;
    if (extent == 1) continue;
    if (!constant_of(plan, tensor->strides[d], &stride) || stride < 0) return false;
    if (stride == 0) continue;  // the same bytes again
    uint32_t at = view->count++;
    for (; at > 0 && view->axes[at - 1].stride > stride; --at) view->axes[at] = view->axes[at - 1];
    view->axes[at] = (axis_t){stride, {extent, extent}};
  }
  uint32_t kept = 0;
  for (uint32_t i = 0; i < view->count; ++i) {
    axis_t* below = kept > 0 ? &view->axes[kept - 1] : NULL;
    int64_t reach = 0, extent = 0;
    bool joins = below != NULL && below->extent[0] != ANY_EXTENT &&
                 view->axes[i].extent[0] != ANY_EXTENT &&
                 tvi_checked_mul_i64(below->stride, below->extent[0], &reach) &&
                 reach == view->axes[i].stride &&
                 tvi_checked_mul_i64(below->extent[0], view->axes[i].extent[0], &extent);
    if (joins) {
      below->extent[0] = below->extent[1] = extent;
    } else {
      view->axes[kept++] = view->axes[i];
    }
  }
  view->count = kept;
  return true;
}

// First byte behind the view. False where that is not known.
static bool end_of(const view_t* view, int64_t bits, int64_t* out_end) {
  int64_t last = 0, reach = 0;
  for (uint32_t i = 0; i < view->count; ++i) {
    if (view->axes[i].extent[0] == ANY_EXTENT ||
        !tvi_checked_mul_i64(view->axes[i].extent[0] - 1, view->axes[i].stride, &reach) ||
        !tvi_checked_add_i64(last, reach, &last)) {
      return false;
    }
  }
  return last < INT64_MAX && tvi_checked_mul_i64(last + 1, bits, &reach) &&
         tvi_checked_add_i64(reach, 7, &reach) &&
         tvi_checked_add_i64(view->offset, reach / 8, out_end);
}

// The axes of both views by stride, beginning with stride 1. Axes that a view lacks have extent 1
// there.
static uint32_t join_axes(const view_t* a, const view_t* b, axis_t* axes) {
  uint32_t count = 0, i = 0, j = 0;
  axes[count++] = (axis_t){1, {1, 1}};
  while (i < a->count || j < b->count) {
    bool take_a = i < a->count && (j == b->count || a->axes[i].stride <= b->axes[j].stride);
    const axis_t* from = take_a ? &a->axes[i++] : &b->axes[j++];
    if (axes[count - 1].stride != from->stride) axes[count++] = (axis_t){from->stride, {1, 1}};
    axes[count - 1].extent[take_a ? 0 : 1] = from->extent[0];
  }
  return count;
}

// Two boxes in one array: |a| at the origin, |b| |distance| elements behind it. They are apart when
// the array holds every element of the box around both once, and they are apart along an axis.
static bool are_boxes_apart(const view_t* a, const view_t* b, int64_t distance) {
  axis_t axes[2 * TRIVET_MAX_RANK + 1];
  uint32_t count = join_axes(a, b, axes);
  bool is_apart = false;
  for (uint32_t i = count; i-- > 0;) {
    int64_t shift = distance / axes[i].stride, around = 0, reach = 0;
    distance -= shift * axes[i].stride;
    is_apart = is_apart || shift >= axes[i].extent[0];
    if (i + 1 == count) continue;  // nothing lies above
    if (!tvi_checked_add_i64(shift, axes[i].extent[1], &around)) return false;
    if (around < axes[i].extent[0]) around = axes[i].extent[0];
    if (!tvi_checked_mul_i64(around, axes[i].stride, &reach) || reach > axes[i + 1].stride) {
      return false;
    }
  }
  return is_apart;
}

static bool may_meet(const tvi_plan_t* plan, const tvi_plan_tensor_t* x,
                     const tvi_plan_tensor_t* y) {
  view_t a, b;
  if (!view_of(plan, x, &a) || !view_of(plan, y, &b)) return true;
  if (a.is_empty || b.is_empty) return false;
  if (a.offset > b.offset) {
    view_t swap = a;
    a = b;
    b = swap;
    const tvi_plan_tensor_t* other = x;
    x = y;
    y = other;
  }
  int64_t end = 0;
  if (end_of(&a, tvi_dtype_bits(x->dtype), &end) && end <= b.offset) return false;
  int64_t bytes = tvi_dtype_bits(x->dtype) / 8;
  int64_t distance = 0;
  if (bytes == 0 || x->dtype != y->dtype || a.offset < 0) return true;
  distance = b.offset - a.offset;
  return distance % bytes != 0 || !are_boxes_apart(&a, &b, distance / bytes);
}

// --- Pairs of steps ------------------------------------------------------------------------------

typedef struct access_s {
  uint32_t step, tensor;
  bool writes;
  uint32_t before;  // of the same memory and queue; TVI_PLAN_NONE: none
} access_t;

typedef struct finder_s {
  const tvi_plan_t* plan;
  const tvi_plan_program_t* program;
  const tvi_plan_order_t* order;  // NULL: every pair counts
  tvi_plan_conflict_sink_t sink;
  uint32_t queue_count;
  uint32_t* memory_of;  // by buffer: the first one that lies at the same address
  uint32_t* last;       // [memory][queue]: the last access
  TVI_VECTOR(access_t) accesses;
} finder_t;

// Bindings are at one address where an output may be given the address of an input.
static void find_memories(finder_t* f) {
  const tvi_plan_program_t* program = f->program;
  for (uint32_t b = 0; b < program->buffer_count; ++b) {
    f->memory_of[b] = b;
    if (program->buffers[b].kind != TVI_PLAN_BUFFER_BINDING) continue;
    uint32_t binding = program->buffers[b].index, alias = f->plan->bindings[binding].alias;
    for (uint32_t o = 0; o < b; ++o) {
      if (program->buffers[o].kind != TVI_PLAN_BUFFER_BINDING) continue;
      uint32_t other = program->buffers[o].index;
      uint32_t other_alias = f->plan->bindings[other].alias;
      if ((alias != TVI_PLAN_NONE ? alias : binding) !=
          (other_alias != TVI_PLAN_NONE ? other_alias : other)) {
        continue;
      }
      f->memory_of[b] = f->memory_of[o];
      break;
    }
  }
}

static trivet_status_t visit_access(finder_t* f, uint32_t step, uint32_t tensor, bool writes) {
  const tvi_plan_tensor_t* mine = &f->program->tensors[tensor];
  if (f->program->buffers[mine->buffer].kind == TVI_PLAN_BUFFER_CONSTANT) return TRIVET_OK;
  uint32_t* last = f->last + (size_t)f->memory_of[mine->buffer] * f->queue_count;
  uint32_t queue = f->order != NULL ? f->program->blocks[0].steps[step].queue : 0;
  for (uint32_t q = 0; q < f->queue_count; ++q) {
    uint32_t ended = f->order != NULL ? f->order->clocks[(size_t)step * f->queue_count + q] : 0;
    for (uint32_t i = last[q]; i != TVI_PLAN_NONE; i = f->accesses.data[i].before) {
      const access_t* other = &f->accesses.data[i];
      if (other->step < ended) break;  // and so are those before it
      if (other->step == step || (!writes && !other->writes)) continue;
      if (!may_meet(f->plan, &f->program->tensors[other->tensor], mine)) continue;
      TRIVET_RETURN_IF_ERROR(f->sink.found(f->sink.self, other->step, step, mine->buffer));
    }
  }
  access_t access = {step, tensor, writes, last[queue]};
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&f->accesses, access));
  last[queue] = (uint32_t)f->accesses.count - 1;
  return TRIVET_OK;
}

static trivet_status_t visit_steps(finder_t* f) {
  const tvi_plan_block_t* block = &f->program->blocks[0];
  for (uint32_t s = 0; s < block->step_count; ++s) {
    for (uint32_t w = 0; w < block->steps[s].alternative_count; ++w) {
      const tvi_plan_alternative_t* a = &block->steps[s].alternatives[w];
      for (uint32_t k = 0; k < a->operand_count; ++k) {
        if (a->operands[k] == TVI_PLAN_NONE) continue;
        TRIVET_RETURN_IF_ERROR(
            visit_access(f, s, a->operands[k], k >= a->operand_count - a->output_count));
      }
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_plan_find_conflicts(const tvi_plan_t* plan, const tvi_plan_program_t* program,
                                        const tvi_plan_order_t* order, trivet_allocator_t allocator,
                                        tvi_plan_conflict_sink_t sink) {
  finder_t f = {.plan = plan,
                .program = program,
                .order = order,
                .sink = sink,
                .queue_count = order != NULL ? order->queue_count : 1};
  size_t room = f.queue_count * sizeof(uint32_t);
  tvi_vector_init(&f.accesses, allocator);
  trivet_status_t status =
      tvi_alloc_array(allocator, program->buffer_count, sizeof(uint32_t), &f.memory_of);
  if (status == NULL) status = tvi_alloc_array(allocator, program->buffer_count, room, &f.last);
  if (status == NULL) {
    if (program->buffer_count != 0) memset(f.last, 0xff, program->buffer_count * room);
    find_memories(&f);
    status = visit_steps(&f);
  }
  tvi_free_array(allocator, f.last, program->buffer_count, room);
  tvi_free_array(allocator, f.memory_of, program->buffer_count, sizeof(uint32_t));
  tvi_vector_deinit(&f.accesses);
  return status;
}

// --- Bytes that are used again -------------------------------------------------------------------

typedef struct reuse_s {
  const tvi_plan_program_t* program;
  const tvi_plan_order_t* order;
  uint32_t* touched;  // [buffer][queue]: 1 + the last step that touches it
  uint32_t* next;     // [step][queue]: the first from the step on; step_count: none
} reuse_t;

static void find_touched(reuse_t* r) {
  const tvi_plan_block_t* block = &r->program->blocks[0];
  uint32_t queues = r->order->queue_count, count = block->step_count;
  for (uint32_t s = 0; s < count; ++s) {
    for (uint32_t w = 0; w < block->steps[s].alternative_count; ++w) {
      const tvi_plan_alternative_t* a = &block->steps[s].alternatives[w];
      for (uint32_t k = 0; k < a->operand_count; ++k) {
        if (a->operands[k] == TVI_PLAN_NONE) continue;
        size_t buffer = r->program->tensors[a->operands[k]].buffer;
        r->touched[buffer * queues + block->steps[s].queue] = s + 1;
      }
    }
  }
  for (uint32_t q = 0; q < queues; ++q) r->next[(size_t)count * queues + q] = count;
  for (uint32_t s = count; s-- > 0;) {
    uint32_t* next = r->next + (size_t)s * queues;
    memcpy(next, next + queues, queues * sizeof(*next));
    next[block->steps[s].queue] = s;
  }
}

// The toucher of |buffer| that |step| does not wait for, TVI_PLAN_NONE: it waits for all.
static uint32_t open_toucher(const reuse_t* r, uint32_t buffer, uint32_t step) {
  uint32_t queues = r->order->queue_count;
  for (uint32_t q = 0; q < queues; ++q) {
    uint32_t end = r->touched[(size_t)buffer * queues + q];
    if (end > r->order->clocks[(size_t)step * queues + q]) return end - 1;
  }
  return TVI_PLAN_NONE;
}

static void check_reuse(const reuse_t* r, tvi_plan_buffer_t* buffers, tvi_plan_reuse_t* out) {
  uint32_t queues = r->order->queue_count, count = r->order->step_count;
  for (uint32_t b = 0; b < r->program->buffer_count; ++b) {
    if (r->program->buffers[b].kind != TVI_PLAN_BUFFER_ARENA) continue;
    uint32_t last = r->program->buffers[b].last_step;
    for (uint32_t q = 0; q < queues; ++q) {
      // Once a step of a queue waits for all, those behind it do.
      for (uint32_t s = r->next[(size_t)(r->program->buffers[b].last_step + 1) * queues + q];
           s < count; s = r->next[(size_t)(s + 1) * queues + q]) {
        uint32_t toucher = open_toucher(r, b, s);
        if (toucher == TVI_PLAN_NONE) break;
        if (buffers == NULL) {
          *out = (tvi_plan_reuse_t){b, toucher, s};
          return;
        }
        if (s > last) last = s;
      }
    }
    if (buffers != NULL) buffers[b].last_step = last;
  }
}

trivet_status_t tvi_plan_check_reuse(const tvi_plan_program_t* program,
                                     const tvi_plan_order_t* order, trivet_allocator_t allocator,
                                     tvi_plan_buffer_t* buffers, tvi_plan_reuse_t* out_reuse) {
  reuse_t r = {program, order, NULL, NULL};
  size_t room = order->queue_count * sizeof(uint32_t), steps = (size_t)order->step_count + 1;
  *out_reuse = (tvi_plan_reuse_t){TVI_PLAN_NONE, 0, 0};
  trivet_status_t status =
      tvi_alloc_array_zeroed(allocator, program->buffer_count, room, &r.touched);
  if (status == NULL) status = tvi_alloc_array(allocator, steps, room, &r.next);
  if (status == NULL) {
    find_touched(&r);
    check_reuse(&r, buffers, out_reuse);
  }
  tvi_free_array(allocator, r.next, steps, room);
  tvi_free_array(allocator, r.touched, program->buffer_count, room);
  return status;
}
