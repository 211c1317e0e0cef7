// SPDX-License-Identifier: Apache-2.0
//
// Schedule: the order of its parts.
// Between cover and plan. What the parts do is said in schedule.h; none of them names a kernel.
#include "codegen/schedule/schedule.h"

#include <string.h>

#include "core/base/status.h"

static trivet_status_t create(tvi_schedule_t* s) {
  size_t count = s->graph->value_count + 1;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(s->arena, count, sizeof(*s->places), &s->places));
  for (int last = 0; last < 2; ++last) {
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
        s->arena, count, sizeof(*s->dense_copies[last]), &s->dense_copies[last]));
  }
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(s->arena, count, sizeof(*s->layouts), &s->layouts));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(s->arena, count, sizeof(*s->concat_parent), &s->concat_parent));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(s->arena, count, sizeof(*s->concat_offset), &s->concat_offset));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(s->arena, count, 1, &s->concat_axis));
  for (size_t v = 0; v < count; ++v) {
    s->places[v].buffer = TVI_SCHEDULE_NONE;
    s->dense_copies[0][v].buffer = s->dense_copies[1][v].buffer = TVI_SCHEDULE_NONE;
    s->layouts[v] = tvi_layout_plain();
  }
  TRIVET_RETURN_IF_ERROR(tvi_schedule_choose_layouts(s));
  TRIVET_RETURN_IF_ERROR(tvi_schedule_plan_concats(s));
  TRIVET_RETURN_IF_ERROR(tvi_schedule_make_steps(s));
  TRIVET_RETURN_IF_ERROR(tvi_schedule_place_memories(s));
  TRIVET_RETURN_IF_ERROR(tvi_schedule_order(s));
  return tvi_schedule_share_in_place(s);
}

trivet_status_t tvi_schedule_create(tvi_cover_t* cover, tvi_tactic_context_t* tactics,
                                    tvi_schedule_t** out_schedule) {
  trivet_allocator_t allocator = cover->graph->allocator;
  tvi_schedule_t* s = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*s), &s));
  s->cover = cover;
  s->graph = cover->graph;
  s->tactics = tactics;
  s->allocator = allocator;
  tvi_vector_init(&s->buffers, allocator);
  tvi_vector_init(&s->tensors, allocator);
  tvi_vector_init(&s->constants, allocator);
  tvi_vector_init(&s->steps, allocator);
  tvi_vector_init(&s->body_plugins, allocator);
  tvi_map_init(&s->constant_by_hash, allocator);
  trivet_status_t status = tvi_alloc_zeroed(allocator, sizeof(*s->arena), &s->arena);
  if (!status) {
    tvi_arena_init(s->arena, allocator, 1 << 18);
    status = create(s);
  }
  if (status) {
    tvi_schedule_destroy(s);
    return status;
  }
  *out_schedule = s;
  return TRIVET_OK;
}

void tvi_schedule_destroy(tvi_schedule_t* s) {
  if (!s) return;
  trivet_allocator_t allocator = s->allocator;
  for (size_t i = 0; i < s->steps.count; ++i) {
    tvi_sched_step_deinit(&s->steps.data[i]);
  }
  tvi_vector_deinit(&s->buffers);
  tvi_vector_deinit(&s->tensors);
  tvi_vector_deinit(&s->constants);
  tvi_vector_deinit(&s->steps);
  tvi_vector_deinit(&s->body_plugins);
  tvi_map_deinit(&s->constant_by_hash);
  if (s->arena) {
    tvi_arena_deinit(s->arena);
    tvi_free(allocator, s->arena, sizeof(*s->arena));
  }
  tvi_free(allocator, s, sizeof(*s));
}
