// SPDX-License-Identifier: Apache-2.0
//
// Implements slice.h. Bounds follow the rules of the operator: negative ones count from the end,
// all are clamped.
#include "passes/support/slice.h"

#include "passes/support/match.h"

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
  return value < low ? low : value > high ? high : value;
}

bool tvi_slice_read(const trivet_graph_t* graph, const tvi_node_t* node, tvi_slice_t* out_slice) {
  const trivet_type_t* type = &graph->values[node->inputs[0]]->type;
  const trivet_type_t* result = &graph->values[tvi_match_output(node)]->type;
  tvi_slice_t s = {.rank = type->rank};
  int64_t starts[TRIVET_MAX_RANK], axes[TRIVET_MAX_RANK], steps[TRIVET_MAX_RANK];
  uint32_t count, others;
  if (!tvi_match_ints(graph, node->inputs[1], starts, TRIVET_MAX_RANK, &count)) return false;
  for (uint32_t i = 0; i < count; ++i) {
    axes[i] = i;
    steps[i] = 1;
  }
  tvi_value_id_t given = tvi_match_operand(node, 3);
  if (given != 0 &&
      (!tvi_match_ints(graph, given, axes, TRIVET_MAX_RANK, &others) || others != count)) {
    return false;
  }
  given = tvi_match_operand(node, 4);
  if (given != 0 &&
      (!tvi_match_ints(graph, given, steps, TRIVET_MAX_RANK, &others) || others != count)) {
    return false;
  }
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t axis;
    int64_t extent;
    if (!tvi_match_axis(axes[i], s.rank, &axis) || steps[i] == 0 ||
        !tvi_dim_is_constant(type->dims[axis], &extent) ||
        !tvi_dim_is_constant(result->dims[axis], &s.count[axis])) {
      return false;
    }
    int64_t start = starts[i] < 0 ? starts[i] + extent : starts[i];
    s.taken[axis] = true;
    s.start[axis] = clamp(start, 0, steps[i] > 0 ? extent : extent - 1);
    s.step[axis] = steps[i];
  }
  *out_slice = s;
  return true;
}

trivet_status_t tvi_slice_write(tvi_edit_t* edit, tvi_value_id_t x, const tvi_slice_t* slice,
                                tvi_value_id_t* out_value) {
  int64_t starts[TRIVET_MAX_RANK], ends[TRIVET_MAX_RANK], axes[TRIVET_MAX_RANK];
  int64_t steps[TRIVET_MAX_RANK];
  uint32_t count = 0;
  bool has_steps = false;
  for (uint32_t i = 0; i < slice->rank; ++i) {
    if (!slice->taken[i]) continue;
    int64_t end = slice->start[i] + slice->count[i] * slice->step[i];
    axes[count] = i;
    starts[count] = slice->start[i];
    // Backwards to the first element: there is no number before 0 that does not count from the end.
    ends[count] = end < 0 ? INT64_MIN : end;
    steps[count++] = slice->step[i];
    has_steps = has_steps || slice->step[i] != 1;
  }
  if (count == 0) {
    *out_value = x;
    return TRIVET_OK;
  }
  tvi_value_id_t inputs[5] = {x};
  TRIVET_RETURN_IF_ERROR(tvi_edit_ints(edit, starts, count, &inputs[1]));
  TRIVET_RETURN_IF_ERROR(tvi_edit_ints(edit, ends, count, &inputs[2]));
  TRIVET_RETURN_IF_ERROR(tvi_edit_ints(edit, axes, count, &inputs[3]));
  if (has_steps) TRIVET_RETURN_IF_ERROR(tvi_edit_ints(edit, steps, count, &inputs[4]));
  return tvi_edit_op(edit, "std.Slice", inputs, has_steps ? 5 : 4, NULL, 0, out_value);
}
