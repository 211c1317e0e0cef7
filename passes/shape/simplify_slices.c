// SPDX-License-Identifier: Apache-2.0
//
// simplify-slices: a slice of a slice becomes one slice; a slice of a Concat that lies in one of
// its operands becomes a slice of that operand; a part that Split cuts out of a Concat where an
// operand lies is that operand; any other Split into known parts becomes slices, each a view of its
// own.
//
//   %c = std.Concat(%a, %b) { axis = 1 }  (%a: f32[n, 4], %b: f32[n, 8])
//   %y = std.Slice(%c, [5], [9], [1])            ->   %y = std.Slice(%b, [1], [5], [1])
#include <string.h>

#include "passes/support/edit.h"
#include "passes/support/match.h"
#include "passes/support/slice.h"

#define MAX_INDICES 64

static trivet_status_t merge_slices(tvi_edit_t* edit, const tvi_node_t* node,
                                    const tvi_node_t* before) {
  trivet_graph_t* graph = edit->graph;
  tvi_slice_t inner, outer, both;
  if (!tvi_slice_read(graph, node, &outer) || !tvi_slice_read(graph, before, &inner)) {
    tvi_edit_decline(edit, "the bounds of two slices in a row are not all known");
    return TRIVET_OK;
  }
  both = inner;
  for (uint32_t i = 0; i < both.rank; ++i) {
    if (!outer.taken[i]) continue;
    if (outer.count[i] == 0) return TRIVET_OK;
    int64_t step = inner.taken[i] ? inner.step[i] : 1, start = inner.taken[i] ? inner.start[i] : 0;
    int64_t moved;
    both.taken[i] = true;
    if (__builtin_mul_overflow(outer.start[i], step, &moved) ||
        __builtin_add_overflow(start, moved, &both.start[i]) ||
        __builtin_mul_overflow(step, outer.step[i], &both.step[i])) {
      return TRIVET_OK;
    }
    both.count[i] = outer.count[i];
    // A single element has no step worth keeping, and a large one would overflow.
    if (both.count[i] == 1) both.step[i] = 1;
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  tvi_value_id_t y = tvi_match_output(node), result;
  TRIVET_RETURN_IF_ERROR(tvi_slice_write(edit, before->inputs[0], &both, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "joined with the slice before it");
}

static trivet_status_t slice_operand(tvi_edit_t* edit, const tvi_node_t* node,
                                     const tvi_node_t* concat) {
  trivet_graph_t* graph = edit->graph;
  tvi_slice_t slice;
  uint32_t axis;
  const trivet_type_t* type = &graph->values[node->inputs[0]]->type;
  if (!tvi_match_axis(tvi_node_attr_i64(concat, "axis", 0), type->rank, &axis) ||
      !tvi_slice_read(graph, node, &slice) || !slice.taken[axis] || slice.count[axis] == 0) {
    return TRIVET_OK;
  }
  int64_t low = slice.start[axis];
  int64_t high = low + (slice.count[axis] - 1) * slice.step[axis], offset = 0, extent;
  if (slice.step[axis] < 0) {
    int64_t swapped = low;
    low = high;
    high = swapped;
  }
  for (uint32_t i = 0; i < concat->input_count; ++i, offset += extent) {
    tvi_value_id_t operand = concat->inputs[i];
    if (!tvi_dim_is_constant(graph->values[operand]->type.dims[axis], &extent)) return TRIVET_OK;
    if (low >= offset + extent) continue;
    if (high >= offset + extent) {
      tvi_edit_decline(edit, "it takes from more than one operand of the Concat before it");
      return TRIVET_OK;
    }
    if (!tvi_edit_may(edit)) return TRIVET_OK;
    slice.start[axis] -= offset;
    tvi_value_id_t y = tvi_match_output(node), result;
    TRIVET_RETURN_IF_ERROR(tvi_slice_write(edit, operand, &slice, &result));
    if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
    return tvi_edit_replace(edit, y, result, "takes from one operand of the Concat before it");
  }
  return TRIVET_OK;
}

// Offsets are compared as dimensions: equal expressions are one pointer.
static trivet_status_t split_operands(tvi_edit_t* edit, const tvi_node_t* node,
                                      const tvi_node_t* concat) {
  trivet_graph_t* graph = edit->graph;
  const trivet_type_t* type = &graph->values[node->inputs[0]]->type;
  uint32_t axis, joined;
  if (!tvi_match_axis(tvi_node_attr_i64(node, "axis", 0), type->rank, &axis) ||
      !tvi_match_axis(tvi_node_attr_i64(concat, "axis", 0), type->rank, &joined) ||
      axis != joined) {
    return TRIVET_OK;
  }
  trivet_dim_t part_offset = tvi_dim_constant(graph->dims, 0), offset = part_offset;
  uint32_t operand = 0;
  bool changed = false;
  for (uint32_t i = 0; i < node->output_count && part_offset != NULL; ++i) {
    tvi_value_id_t part = node->outputs[i];
    if (part == 0) break;
    const trivet_type_t* part_type = &graph->values[part]->type;
    // Operands before the part are passed; offsets that meet nowhere end the walk.
    int64_t a, b;
    while (operand < concat->input_count && offset != part_offset &&
           !(tvi_dim_is_constant(offset, &a) && tvi_dim_is_constant(part_offset, &b) && a > b)) {
      offset = tvi_dim_binary(graph->dims, TRIVET_DIM_ADD, offset,
                              graph->values[concat->inputs[operand++]]->type.dims[axis]);
    }
    if (operand < concat->input_count && offset == part_offset &&
        tvi_type_equal(part_type, &graph->values[concat->inputs[operand]]->type) &&
        (graph->values[part]->use_count != 0 || graph->values[part]->output_uses != 0) &&
        tvi_edit_may(edit)) {
      if (!changed) tvi_edit_change(edit, "its parts are operands of the Concat before it");
      changed = true;
      TRIVET_RETURN_IF_ERROR(tvi_graph_replace_value(graph, part, concat->inputs[operand]));
    }
    part_offset = tvi_dim_binary(graph->dims, TRIVET_DIM_ADD, part_offset, part_type->dims[axis]);
  }
  return changed ? tvi_edit_sweep(edit, edit->at, 0) : TRIVET_OK;
}

static trivet_status_t split_to_slices(tvi_edit_t* edit, const tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  tvi_slice_t slice = {.rank = graph->values[node->inputs[0]]->type.rank};
  uint32_t axis;
  if (!tvi_match_axis(tvi_node_attr_i64(node, "axis", 0), slice.rank, &axis)) return TRIVET_OK;
  for (uint32_t i = 0; i < node->output_count; ++i) {
    tvi_value_id_t part = node->outputs[i];
    if (part == 0 || !tvi_dim_is_constant(graph->values[part]->type.dims[axis], NULL)) {
      tvi_edit_decline(edit, "the extents of its parts are not all known");
      return TRIVET_OK;
    }
  }
  if (node->output_count < 2 || !tvi_edit_may(edit)) return TRIVET_OK;
  slice.taken[axis] = true;
  slice.step[axis] = 1;
  tvi_edit_change(edit, "became %u slices", node->output_count);
  for (uint32_t i = 0; i < node->output_count; ++i) {
    tvi_value_id_t part = node->outputs[i], result;
    const tvi_value_t* value = graph->values[part];
    tvi_dim_is_constant(value->type.dims[axis], &slice.count[axis]);
    if (value->use_count != 0 || value->output_uses != 0 || value->observed) {
      TRIVET_RETURN_IF_ERROR(tvi_slice_write(edit, node->inputs[0], &slice, &result));
      TRIVET_RETURN_IF_ERROR(tvi_graph_replace_value(graph, part, result));
    }
    slice.start[axis] += slice.count[axis];
  }
  return tvi_edit_sweep(edit, edit->at, 0);
}

static trivet_status_t gather_to_slice(tvi_edit_t* edit, const tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  const trivet_type_t* type = &graph->values[node->inputs[0]]->type;
  const trivet_type_t* indices = &graph->values[node->inputs[1]]->type;
  tvi_slice_t slice = {.rank = type->rank};
  int64_t list[MAX_INDICES], extent;
  uint32_t axis, count;
  if (indices->rank > 1 || tvi_match_constant(graph, node->inputs[0]) ||
      !tvi_match_ints(graph, node->inputs[1], list, MAX_INDICES, &count) || count == 0 ||
      !tvi_match_axis(tvi_node_attr_i64(node, "axis", 0), type->rank, &axis) ||
      !tvi_dim_is_constant(type->dims[axis], &extent)) {
    return TRIVET_OK;
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (list[i] < 0) list[i] += extent;
    if (list[i] < 0 || list[i] >= extent) return TRIVET_OK;
  }
  int64_t step = count > 1 ? list[1] - list[0] : 1;
  for (uint32_t i = 1; i < count; ++i) {
    if (step <= 0 || list[i] - list[i - 1] != step) return TRIVET_OK;
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  slice.taken[axis] = true;
  slice.start[axis] = list[0];
  slice.step[axis] = step;
  slice.count[axis] = count;
  tvi_value_id_t y = tvi_match_output(node), result;
  const trivet_type_t* to = &graph->values[y]->type;
  TRIVET_RETURN_IF_ERROR(tvi_slice_write(edit, node->inputs[0], &slice, &result));
  TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(edit, result, to->dims, to->rank, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "its indices are a slice");
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  bool slice = tvi_node_is(node, "std.Slice"), split = tvi_node_is(node, "std.Split");
  if (tvi_node_is(node, "std.Gather")) return gather_to_slice(edit, node);
  if (!slice && !split) return TRIVET_OK;
  const tvi_node_t* before = tvi_match_node(edit->graph, node->inputs[0], NULL);
  bool concat = before != NULL && tvi_node_is(before, "std.Concat");
  if (split) {
    if (concat) TRIVET_RETURN_IF_ERROR(split_operands(edit, node, before));
    return node->dead ? TRIVET_OK : split_to_slices(edit, node);
  }
  if (concat) return slice_operand(edit, node, before);
  return before != NULL && tvi_node_is(before, "std.Slice") ? merge_slices(edit, node, before)
                                                            : TRIVET_OK;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(simplify_slices, "simplify-slices", "joins slices, looks through Concat", run);
