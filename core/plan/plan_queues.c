// SPDX-License-Identifier: Apache-2.0
//
// Steps into queues: what has to come before what, as the verifier sees it, and the fewest waits
// that see to it. Which queue a step gets is the builder's decision.
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "core/base/vector.h"
#include "core/plan/plan_order.h"

typedef struct edge_list_s {
  TVI_VECTOR(uint32_t) before;
  uint32_t* start;
  uint32_t step;   // whose edges are being collected
  uint32_t* mark;  // by step: 1 + the last step that it was found to come before
} edge_list_t;

static void end_steps(edge_list_t* list, uint32_t step) {
  while (list->step < step) list->start[++list->step] = (uint32_t)list->before.count;
}

static trivet_status_t add_edge(void* self, uint32_t earlier, uint32_t later, uint32_t buffer) {
  edge_list_t* list = self;
  (void)buffer;
  end_steps(list, later);
  if (list->mark[earlier] == later + 1) return TRIVET_OK;
  list->mark[earlier] = later + 1;
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&list->before, earlier));
  uint32_t at = (uint32_t)list->before.count - 1;
  for (; at > list->start[later] && list->before.data[at - 1] > earlier; --at) {
    list->before.data[at] = list->before.data[at - 1];
  }
  list->before.data[at] = earlier;
  return TRIVET_OK;
}

trivet_status_t tvi_plan_find_edges(const tvi_plan_t* plan, const tvi_plan_program_t* program,
                                    trivet_allocator_t allocator, tvi_arena_t* arena,
                                    tvi_plan_edges_t* out_edges) {
  uint32_t count = program->blocks[0].step_count;
  edge_list_t list;
  memset(&list, 0, sizeof(list));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, (size_t)count + 1, sizeof(uint32_t), &list.start));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, (size_t)count + 1, sizeof(uint32_t), &list.mark));
  tvi_vector_init(&list.before, allocator);
  trivet_status_t status = tvi_plan_find_conflicts(plan, program, NULL, allocator,
                                                   (tvi_plan_conflict_sink_t){&list, add_edge});
  void* before = NULL;
  if (status == NULL) {
    end_steps(&list, count);
    status = tvi_arena_copy(arena, list.before.data, list.before.count * sizeof(uint32_t), &before);
  }
  tvi_vector_deinit(&list.before);
  TRIVET_RETURN_IF_ERROR(status);
  *out_edges = (tvi_plan_edges_t){list.start, before};
  return TRIVET_OK;
}

static void raise_clock(uint32_t* clock, const uint32_t* other) {
  for (uint32_t q = 0; q < TVI_PLAN_MAX_QUEUES; ++q) {
    if (other[q] > clock[q]) clock[q] = other[q];
  }
}

// The last steps of other queues that must come before |step|, without those that come before it
// anyway. |clocks|: of all steps up to |step|, whose own holds its queue's past.
static uint32_t find_waits(const tvi_plan_edges_t* edges, const uint32_t* queues, uint32_t step,
                           uint32_t (*clocks)[TVI_PLAN_MAX_QUEUES], uint32_t* waits) {
  uint32_t count = 0;
  for (uint32_t e = edges->start[step + 1]; e-- > edges->start[step];) {
    uint32_t before = edges->before[e];  // descending: a later one may bring the earlier ones along
    if (clocks[step][queues[before]] > before) continue;
    raise_clock(clocks[step], clocks[before]);
    waits[count++] = before;
  }
  return count;
}

static trivet_status_t write_waits(const tvi_plan_program_t* program, const tvi_plan_edges_t* edges,
                                   const uint32_t* queues, tvi_arena_t* arena,
                                   uint32_t (*clocks)[TVI_PLAN_MAX_QUEUES],
                                   tvi_plan_step_t* steps) {
  uint32_t last[TVI_PLAN_MAX_QUEUES] = {0};
  for (uint32_t s = 0; s < program->blocks[0].step_count; ++s) {
    uint32_t waits[TVI_PLAN_MAX_QUEUES];  // never two of one queue
    if (last[queues[s]] != 0) raise_clock(clocks[s], clocks[last[queues[s]] - 1]);
    uint32_t count = find_waits(edges, queues, s, clocks, waits);
    clocks[s][queues[s]] = last[queues[s]] = s + 1;
    void* copy = NULL;
    TRIVET_RETURN_IF_ERROR(tvi_arena_copy(arena, waits, count * sizeof(*waits), &copy));
    steps[s].queue = queues[s];
    steps[s].waits = copy;
    steps[s].wait_count = count;
  }
  return TRIVET_OK;
}

trivet_status_t tvi_plan_put_in_queues(const tvi_plan_program_t* program,
                                       const tvi_plan_edges_t* edges, const uint32_t* queues,
                                       trivet_allocator_t allocator, tvi_arena_t* arena,
                                       tvi_plan_step_t* steps, tvi_plan_buffer_t* buffers) {
  const tvi_plan_block_t* block = &program->blocks[0];
  uint32_t(*clocks)[TVI_PLAN_MAX_QUEUES] = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_alloc_array_zeroed(allocator, block->step_count, sizeof(*clocks), &clocks));
  trivet_status_t status = write_waits(program, edges, queues, arena, clocks, steps);
  tvi_free_array(allocator, clocks, block->step_count, sizeof(*clocks));
  TRIVET_RETURN_IF_ERROR(status);
  tvi_plan_order_t order;
  tvi_plan_reuse_t reuse;
  TRIVET_RETURN_IF_ERROR(tvi_plan_order_init(&order, block, allocator));
  status = tvi_plan_check_reuse(program, &order, allocator, buffers, &reuse);
  tvi_plan_order_deinit(&order, allocator);
  return status;
}
