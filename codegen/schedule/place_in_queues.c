// SPDX-License-Identifier: Apache-2.0
//
// Queues: which steps run side by side. Steps keep their order; each goes where it could begin
// first, were every step to take what its tactic costs, a wait for another queue what an event
// costs, and steps that fill the device the whole of it. Where that ends no sooner than one queue
// does, there is one.
#include <string.h>

#include "codegen/schedule/schedule.h"
#include "core/base/status.h"
#include "core/plan/plan_order.h"

// From the end of a step in one queue to the beginning of one that waits for it in another.
#define EVENT_NS 3000.0
// What a step must write to keep a large device busy: fewer elements leave room beside it.
#define FILLING_ELEMENTS ((int64_t)1 << 19)
// What is gained must show beside what the prices do not tell.
#define LEAST_GAIN 0.02

typedef struct chooser_s {
  const tvi_schedule_t* s;
  const tvi_plan_edges_t* edges;
  uint32_t queue_count;
  uint32_t* queues;                     // by step
  double* ends;                         // by step, nanoseconds
  double free_at[TVI_PLAN_MAX_QUEUES];  // by queue
} chooser_t;

// Elements that a step writes, at the shapes to optimise for; many where they are not known.
static int64_t written_elements(const tvi_schedule_t* s, const tvi_sched_step_t* step) {
  int64_t sum = 0;
  for (size_t k = step->operands.count - step->output_count; k < step->operands.count; ++k) {
    if (step->operands.data[k] == TVI_PLAN_NONE) continue;
    const tvi_sched_tensor_t* tensor = &s->tensors.data[step->operands.data[k]];
    int64_t count = 1;
    for (uint32_t d = 0; d < tensor->rank && count < FILLING_ELEMENTS; ++d) {
      int64_t extent = FILLING_ELEMENTS;
      trivet_status_free(tvi_dim_evaluate(tensor->dims[d], s->tactics->options.symbols,
                                          s->tactics->options.symbol_count, &extent));
      count *= extent < FILLING_ELEMENTS ? extent : FILLING_ELEMENTS;
    }
    sum += count;
  }
  return sum;
}

// When |step| could begin in |queue|.
static double begin_in(const chooser_t* c, uint32_t step, uint32_t queue) {
  double begin = c->free_at[queue];
  for (uint32_t e = c->edges->start[step]; e < c->edges->start[step + 1]; ++e) {
    uint32_t before = c->edges->before[e];
    double ready = c->ends[before] + (c->queues[before] != queue ? EVENT_NS : 0);
    if (ready > begin) begin = ready;
  }
  return begin;
}

// Ties go to the queue of the step that it waits for longest, so that chains stay together.
static uint32_t home_of(const chooser_t* c, uint32_t step) {
  uint32_t home = 0;
  double latest = -1;
  for (uint32_t e = c->edges->start[step]; e < c->edges->start[step + 1]; ++e) {
    uint32_t before = c->edges->before[e];
    if (c->ends[before] <= latest) continue;
    latest = c->ends[before];
    home = c->queues[before];
  }
  return home;
}

static double place_step(chooser_t* c, uint32_t step) {
  const tvi_sched_step_t* from = &c->s->steps.data[step];
  uint32_t best = home_of(c, step);
  double begin = begin_in(c, step, best);
  for (uint32_t q = 0; q < c->queue_count; ++q) {
    double here = begin_in(c, step, q);
    if (here < begin) best = q, begin = here;
  }
  bool fills = written_elements(c->s, from) >= FILLING_ELEMENTS;
  for (uint32_t q = 0; fills && q < c->queue_count; ++q) {
    if (c->free_at[q] > begin) begin = c->free_at[q];
  }
  double end = begin + from->price;
  for (uint32_t q = 0; q < c->queue_count; ++q) {
    if (fills || q == best) c->free_at[q] = end;
  }
  c->queues[step] = best;
  c->ends[step] = end;
  return end;
}

// Whether several queues end sooner than one, and what each step's is then.
static bool place_steps(chooser_t* c) {
  double serial = 0, end = 0;
  uint32_t most = 0;
  for (uint32_t i = 0; i < c->s->steps.count; ++i) {
    double step_end = place_step(c, i);
    serial += c->s->steps.data[i].price;
    if (step_end > end) end = step_end;
    if (c->queues[i] > most) most = c->queues[i];
  }
  return most != 0 && end + EVENT_NS < serial * (1 - LEAST_GAIN);
}

// Steps of the host are waited for by the host: no queue goes on beside them.
static bool can_have_queues(const tvi_schedule_t* s) {
  if (!s->tactics->options.device || s->tactics->options.queues < 2) return false;
  for (size_t i = 0; i < s->steps.count; ++i) {
    if (s->steps.data[i].kind == TVI_PLAN_STEP_HOST) return false;
  }
  return true;
}

trivet_status_t tvi_schedule_put_in_queues(const tvi_schedule_t* s, const tvi_plan_t* plan,
                                           const tvi_plan_program_t* program,
                                           tvi_plan_step_t* steps, tvi_plan_buffer_t* buffers) {
  if (!can_have_queues(s)) return TRIVET_OK;
  tvi_plan_edges_t edges;
  chooser_t c;
  memset(&c, 0, sizeof(c));
  TRIVET_RETURN_IF_ERROR(tvi_plan_find_edges(plan, program, s->allocator, s->arena, &edges));
  c.s = s;
  c.edges = &edges;
  c.queue_count = s->tactics->options.queues;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(s->arena, s->steps.count + 1, sizeof(*c.queues), &c.queues));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(s->arena, s->steps.count + 1, sizeof(*c.ends), &c.ends));
  if (!place_steps(&c)) return TRIVET_OK;
  return tvi_plan_put_in_queues(program, &edges, c.queues, s->allocator, plan->arena, steps,
                                buffers);
}
