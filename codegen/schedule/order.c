// SPDX-License-Identifier: Apache-2.0
//
// Order of steps and sharing of buffers. Three orders are tried: as the cover sorted the regions,
// the order that frees most at each step, and depth-first from the outputs with the largest operand
// first. The one with the smallest peak of live bytes wins; ties go to the first.
#include <string.h>

#include "codegen/schedule/schedule.h"
#include "core/base/status.h"

static uint32_t root_of(const tvi_schedule_t* s, uint32_t buffer) {
  while (s->buffers.data[buffer].merged != TVI_SCHEDULE_NONE)
    buffer = s->buffers.data[buffer].merged;
  return buffer;
}

typedef struct graph_s {
  uint32_t step_count, buffer_count;
  int64_t* bytes;        // per buffer; 0 unless in the arena
  uint32_t* edge_start;  // predecessors of step i: edges[edge_start[i] .. edge_start[i+1])
  uint32_t* edges;
} graph_t;

static uint32_t buffer_of(const tvi_schedule_t* s, const tvi_sched_step_t* step, size_t operand) {
  uint32_t tensor = step->operands.data[operand];
  return tensor == TVI_PLAN_NONE ? TVI_SCHEDULE_NONE
                                 : root_of(s, s->tensors.data[tensor].place.buffer);
}
static bool writes(const tvi_sched_step_t* step, size_t operand) {
  return operand + step->output_count >= step->operands.count;
}

// Every step comes after all earlier writers of what it touches; readers come before later writers.
static trivet_status_t build(tvi_schedule_t* s, tvi_arena_t* arena, graph_t* g) {
  g->step_count = (uint32_t)s->steps.count;
  g->buffer_count = (uint32_t)s->buffers.count;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, g->buffer_count + 1, sizeof(int64_t), &g->bytes));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, g->step_count + 2, sizeof(uint32_t), &g->edge_start));
  for (uint32_t b = 0; b < g->buffer_count; ++b) {
    if (s->buffers.data[b].kind != TVI_PLAN_BUFFER_ARENA) continue;
    trivet_status_t status =
        tvi_dim_evaluate(s->buffers.data[b].size, s->tactics->options.symbols_max,
                         s->tactics->options.symbol_count, &g->bytes[b]);
    trivet_status_free(status);
  }
  TVI_VECTOR(uint32_t) edges;
  tvi_vector_init(&edges, s->allocator);
  trivet_status_t status = TRIVET_OK;
  for (uint32_t i = 0; i < g->step_count && !status; ++i) {
    const tvi_sched_step_t* step = &s->steps.data[i];
    g->edge_start[i] = (uint32_t)edges.count;
    for (uint32_t j = 0; j < i && !status; ++j) {
      const tvi_sched_step_t* earlier = &s->steps.data[j];
      bool depends = false;
      for (size_t a = 0; a < step->operands.count && !depends; ++a) {
        uint32_t mine = buffer_of(s, step, a);
        if (mine == TVI_SCHEDULE_NONE || s->buffers.data[mine].kind == TVI_PLAN_BUFFER_CONSTANT)
          continue;
        for (size_t b = 0; b < earlier->operands.count && !depends; ++b) {
          if (buffer_of(s, earlier, b) != mine || (!writes(step, a) && !writes(earlier, b)))
            continue;
          // Two writers of one buffer fill different parts of a concat.
          depends = !(writes(step, a) && writes(earlier, b));
        }
      }
      if (earlier->bound.count) depends = true;
      if (depends) status = tvi_vector_push(&edges, j);
    }
  }
  g->edge_start[g->step_count] = (uint32_t)edges.count;
  if (!status)
    status = tvi_arena_copy(arena, edges.data, edges.count * sizeof(uint32_t), (void**)&g->edges);
  tvi_vector_deinit(&edges);
  return status;
}

static trivet_status_t peak_of(const tvi_schedule_t* s, const graph_t* g, const uint32_t* order,
                               tvi_arena_t* arena, int64_t* out_peak) {
  uint32_t *first = NULL, *last = NULL;
  int64_t* delta = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(arena, g->buffer_count + 1, sizeof(uint32_t), &first));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, g->buffer_count + 1, sizeof(uint32_t), &last));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, g->step_count + 2, sizeof(int64_t), &delta));
  memset(first, 0xff, (g->buffer_count + 1) * sizeof(uint32_t));
  for (uint32_t i = 0; i < g->step_count; ++i) {
    const tvi_sched_step_t* step = &s->steps.data[order[i]];
    for (size_t k = 0; k < step->operands.count; ++k) {
      uint32_t b = buffer_of(s, step, k);
      if (b == TVI_SCHEDULE_NONE) continue;
      if (first[b] == UINT32_MAX) first[b] = i;
      last[b] = i;
    }
  }
  for (uint32_t b = 0; b < g->buffer_count; ++b) {
    if (first[b] == UINT32_MAX) continue;
    delta[first[b]] += g->bytes[b];
    delta[last[b] + 1] -= g->bytes[b];
  }
  int64_t live = 0, peak = 0;
  for (uint32_t i = 0; i < g->step_count; ++i) {
    live += delta[i];
    if (live > peak) peak = live;
  }
  *out_peak = peak;
  return TRIVET_OK;
}

// At each point the ready step that leaves the fewest bytes live.
static trivet_status_t greedy(const tvi_schedule_t* s, const graph_t* g, tvi_arena_t* arena,
                              uint32_t* order) {
  uint32_t *missing = NULL, *readers = NULL;
  uint8_t *done = NULL, *live = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, g->step_count + 1, sizeof(uint32_t), &missing));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, g->buffer_count + 1, sizeof(uint32_t), &readers));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, g->step_count + 1, 1, &done));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, g->buffer_count + 1, 1, &live));
  for (uint32_t i = 0; i < g->step_count; ++i) {
    missing[i] = g->edge_start[i + 1] - g->edge_start[i];
    for (size_t k = 0; k < s->steps.data[i].operands.count; ++k) {
      uint32_t b = buffer_of(s, &s->steps.data[i], k);
      if (b != TVI_SCHEDULE_NONE) ++readers[b];
    }
  }
  for (uint32_t n = 0; n < g->step_count; ++n) {
    uint32_t best = UINT32_MAX;
    int64_t best_growth = 0;
    for (uint32_t i = 0; i < g->step_count; ++i) {
      if (done[i] || missing[i]) continue;
      int64_t growth = 0;
      const tvi_sched_step_t* step = &s->steps.data[i];
      for (size_t k = 0; k < step->operands.count; ++k) {
        uint32_t b = buffer_of(s, step, k);
        if (b == TVI_SCHEDULE_NONE) continue;
        uint32_t here = 0;
        bool counted = false;
        for (size_t j = 0; j < step->operands.count; ++j) {
          if (buffer_of(s, step, j) != b) continue;
          ++here;
          if (j < k) counted = true;
        }
        if (counted) continue;
        if (!live[b]) growth += g->bytes[b];
        if (readers[b] == here) growth -= g->bytes[b];
      }
      if (best == UINT32_MAX || growth < best_growth) best = i, best_growth = growth;
    }
    if (best == UINT32_MAX)
      return TRIVET_STATUS(INTERNAL, "steps depend on each other in a circle");
    order[n] = best;
    done[best] = 1;
    for (size_t k = 0; k < s->steps.data[best].operands.count; ++k) {
      uint32_t b = buffer_of(s, &s->steps.data[best], k);
      if (b != TVI_SCHEDULE_NONE) live[b] = 1, --readers[b];
    }
    for (uint32_t i = 0; i < g->step_count; ++i) {
      for (uint32_t e = g->edge_start[i]; e < g->edge_start[i + 1]; ++e)
        missing[i] -= g->edges[e] == best;
    }
  }
  return TRIVET_OK;
}

// Post-order from the last step backwards, predecessors with the most output bytes first.
static trivet_status_t depth_first(const tvi_schedule_t* s, const graph_t* g, tvi_arena_t* arena,
                                   uint32_t* order) {
  uint8_t* state = NULL;
  uint32_t* stack = NULL;
  int64_t* weight = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, g->step_count + 1, 1, &state));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, g->step_count + 1, sizeof(uint32_t), &stack));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, g->step_count + 1, sizeof(int64_t), &weight));
  for (uint32_t i = 0; i < g->step_count; ++i) {
    const tvi_sched_step_t* step = &s->steps.data[i];
    for (size_t k = step->operands.count - step->output_count; k < step->operands.count; ++k) {
      uint32_t b = buffer_of(s, step, k);
      if (b != TVI_SCHEDULE_NONE) weight[i] += g->bytes[b];
    }
  }
  uint32_t count = 0;
  for (uint32_t r = g->step_count; r-- > 0;) {
    uint32_t depth = 0;
    if (state[r]) continue;
    stack[depth++] = r;
    state[r] = 1;
    while (depth) {
      uint32_t top = stack[depth - 1], next = UINT32_MAX;
      for (uint32_t e = g->edge_start[top]; e < g->edge_start[top + 1]; ++e) {
        uint32_t p = g->edges[e];
        if (!state[p] && (next == UINT32_MAX || weight[p] > weight[next])) next = p;
      }
      if (next != UINT32_MAX) {
        state[next] = 1;
        stack[depth++] = next;
      } else {
        order[count++] = top;
        --depth;
      }
    }
  }
  return TRIVET_OK;
}

static trivet_status_t choose(tvi_schedule_t* s, tvi_arena_t* arena) {
  graph_t g;
  memset(&g, 0, sizeof(g));
  TRIVET_RETURN_IF_ERROR(build(s, arena, &g));
  uint32_t* orders[3];
  int64_t peaks[3];
  for (int i = 0; i < 3; ++i) {
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_alloc_array_zeroed(arena, g.step_count + 1, sizeof(uint32_t), &orders[i]));
  }
  for (uint32_t i = 0; i < g.step_count; ++i) orders[0][i] = i;
  TRIVET_RETURN_IF_ERROR(greedy(s, &g, arena, orders[1]));
  TRIVET_RETURN_IF_ERROR(depth_first(s, &g, arena, orders[2]));
  int best = 0;
  for (int i = 0; i < 3; ++i) {
    TRIVET_RETURN_IF_ERROR(peak_of(s, &g, orders[i], arena, &peaks[i]));
    if (peaks[i] < peaks[best]) best = i;
  }
  if (best) {
    tvi_sched_step_t* sorted = NULL;
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, g.step_count, sizeof(*sorted), &sorted));
    for (uint32_t i = 0; i < g.step_count; ++i) sorted[i] = s->steps.data[orders[best][i]];
    memcpy(s->steps.data, sorted, g.step_count * sizeof(*sorted));
  }
  return TRIVET_OK;
}

static void lifetimes(tvi_schedule_t* s) {
  for (size_t b = 0; b < s->buffers.count; ++b)
    s->buffers.data[b].first = UINT32_MAX, s->buffers.data[b].last = 0;
  for (uint32_t i = 0; i < s->steps.count; ++i) {
    for (size_t k = 0; k < s->steps.data[i].operands.count; ++k) {
      uint32_t b = buffer_of(s, &s->steps.data[i], k);
      if (b == TVI_SCHEDULE_NONE) continue;
      if (s->buffers.data[b].first == UINT32_MAX) s->buffers.data[b].first = i;
      s->buffers.data[b].last = i;
    }
  }
  // What can be dumped after the run stays until the end.
  for (size_t t = 0; t < s->tensors.count; ++t) {
    if (!(s->tensors.data[t].flags & TVI_PLAN_TENSOR_OBSERVED)) continue;
    uint32_t b = root_of(s, s->tensors.data[t].place.buffer);
    if (s->buffers.data[b].first != UINT32_MAX && s->steps.count)
      s->buffers.data[b].last = (uint32_t)s->steps.count - 1;
  }
}

// Copies that turned out not to be needed: nobody reads what they write.
static trivet_status_t drop_unread(tvi_schedule_t* s) {
  uint8_t* read = NULL;
  size_t count = s->buffers.count + 1;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_array_zeroed(s->allocator, count, 1, &read));
  for (size_t t = 0; t < s->tensors.count; ++t) {
    if (s->tensors.data[t].flags & TVI_PLAN_TENSOR_OBSERVED) {
      read[root_of(s, s->tensors.data[t].place.buffer)] = 1;
    }
  }
  for (size_t i = s->steps.count; i-- > 0;) {
    tvi_sched_step_t* step = &s->steps.data[i];
    bool needed = step->bound.count != 0;
    for (size_t k = step->operands.count - step->output_count; k < step->operands.count; ++k) {
      uint32_t b = buffer_of(s, step, k);
      if (b == TVI_SCHEDULE_NONE) continue;
      needed = needed || read[b] || s->buffers.data[b].kind != TVI_PLAN_BUFFER_ARENA;
    }
    if (needed) {
      for (size_t k = 0; k + step->output_count < step->operands.count; ++k) {
        uint32_t b = buffer_of(s, step, k);
        if (b != TVI_SCHEDULE_NONE) read[b] = 1;
      }
      continue;
    }
    tvi_sched_step_deinit(step);
    tvi_vector_remove_at(&s->steps, i);
  }
  tvi_free_array(s->allocator, read, count, 1);
  return TRIVET_OK;
}

// Views that only dropped steps had; their buffers may have gone.
static trivet_status_t drop_unused_tensors(tvi_schedule_t* s) {
  uint32_t* number = NULL;
  size_t count = s->tensors.count + 1, kept = 0;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_array_zeroed(s->allocator, count, sizeof(*number), &number));
  for (size_t i = 0; i < s->steps.count; ++i) {
    const tvi_sched_step_t* way = NULL;
    for (size_t w = 0; (way = tvi_sched_step_way(&s->steps.data[i], w)) != NULL; ++w) {
      for (size_t k = 0; k < way->operands.count; ++k) {
        if (way->operands.data[k] != TVI_PLAN_NONE) number[way->operands.data[k]] = 1;
      }
    }
  }
  for (size_t t = 0; t < s->tensors.count; ++t) {
    if (!number[t] && !(s->tensors.data[t].flags & TVI_PLAN_TENSOR_OBSERVED)) continue;
    number[t] = (uint32_t)kept;
    s->tensors.data[kept++] = s->tensors.data[t];
  }
  s->tensors.count = kept;
  for (size_t i = 0; i < s->steps.count; ++i) {
    tvi_sched_step_t* way = NULL;
    for (size_t w = 0; (way = tvi_sched_step_way(&s->steps.data[i], w)) != NULL; ++w) {
      for (size_t k = 0; k < way->operands.count; ++k) {
        uint32_t* operand = &way->operands.data[k];
        if (*operand != TVI_PLAN_NONE) *operand = number[*operand];
      }
    }
  }
  tvi_free_array(s->allocator, number, count, sizeof(*number));
  return TRIVET_OK;
}

trivet_status_t tvi_schedule_order(tvi_schedule_t* s) {
  tvi_arena_t arena;
  TRIVET_RETURN_IF_ERROR(drop_unread(s));
  TRIVET_RETURN_IF_ERROR(drop_unused_tensors(s));
  tvi_arena_init(&arena, s->allocator, 1 << 16);
  trivet_status_t status = s->steps.count ? choose(s, &arena) : TRIVET_OK;
  tvi_arena_deinit(&arena);
  lifetimes(s);
  return status;
}

// May the result of step |i| take the memory of operand |k|, which is read where it is written and
// by nobody later?
static bool may_overwrite(const tvi_schedule_t* s, uint32_t i, uint32_t k) {
  const tvi_sched_step_t* step = &s->steps.data[i];
  if (!(step->in_place >> k & 1) || step->operands.data[k] == TVI_PLAN_NONE) return false;
  const tvi_sched_tensor_t* out = &s->tensors.data[step->operands.data[step->operands.count - 1]];
  const tvi_sched_tensor_t* in = &s->tensors.data[step->operands.data[k]];
  const uint32_t source = root_of(s, in->place.buffer), target = root_of(s, out->place.buffer);
  const tvi_sched_buffer_t *a = &s->buffers.data[source], *b = &s->buffers.data[target];
  if (source == target || a->kind != b->kind || a->memory != b->memory) return false;
  if (a->last != i || b->first != i || a->size != b->size || in->rank != out->rank) return false;
  if (in->place.offset != out->place.offset) return false;
  if (memcmp(in->place.strides, out->place.strides, in->rank * sizeof(trivet_dim_t)) != 0)
    return false;
  if (memcmp(in->dims, out->dims, in->rank * sizeof(trivet_dim_t)) != 0) return false;
  // Another operand that looks at the same buffer in another way would see what is being written.
  for (size_t j = 0; j + 1 < step->operands.count; ++j) {
    if (j == k || buffer_of(s, step, j) != source) continue;
    if (!(step->in_place >> j & 1) || step->operands.data[j] != step->operands.data[k])
      return false;
  }
  return true;
}

// The caller may give an output the memory of an input that is not needed any more when the output
// is first written, or is overwritten by that very step.
static void find_aliases(tvi_schedule_t* s) {
  const uint32_t inputs = s->graph->input_count;
  for (uint32_t o = inputs; o < inputs + s->graph->output_count; ++o) {
    tvi_sched_buffer_t* b = &s->buffers.data[o];
    for (uint32_t i = 0; i < inputs && b->alias == TVI_SCHEDULE_NONE; ++i) {
      const tvi_sched_buffer_t* a = &s->buffers.data[i];
      if (a->first != UINT32_MAX && a->size == b->size && a->last < b->first) b->alias = i;
    }
  }
}

trivet_status_t tvi_schedule_share_in_place(tvi_schedule_t* s) {
  if (!tvi_tactic_fuser_enabled(s->tactics, "share-in-place")) return TRIVET_OK;
  // Where queues run side by side another one may still read an input.
  const bool in_order = !s->tactics->options.device || s->tactics->options.queues < 2;
  for (uint32_t i = 0; i < s->steps.count; ++i) {
    const tvi_sched_step_t* step = &s->steps.data[i];
    if (!step->in_place || step->output_count != 1) continue;
    for (uint32_t k = 0; k + 1 < step->operands.count && k < 31; ++k) {
      if (!may_overwrite(s, i, k)) continue;
      const uint32_t source = buffer_of(s, step, k);
      tvi_sched_buffer_t *a = &s->buffers.data[source],
                         *b = &s->buffers.data[buffer_of(s, step, step->operands.count - 1)];
      if (a->kind == TVI_PLAN_BUFFER_ARENA) {
        b->merged = source;
        a->last = b->last;
        break;
      }
      if (in_order && source < s->graph->input_count && b->alias == TVI_SCHEDULE_NONE)
        b->alias = source;
    }
  }
  if (in_order) find_aliases(s);
  return TRIVET_OK;
}
