// SPDX-License-Identifier: Apache-2.0
//
// simplify-concats: a Concat inside a Concat along the same axis joins it, empty operands go, and
// neighbouring slices or parts of one value that follow each other become one.
//
//   %a = std.Concat(%x, %y) { axis = 1 }
//   %b = std.Concat(%a, %z) { axis = 1 }      ->   %b = std.Concat(%x, %y, %z) { axis = 1 }
#include "core/base/vector.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"
#include "passes/support/slice.h"

typedef TVI_VECTOR(tvi_value_id_t) value_list_t;

// Operands after flattening, at most.
#define MAX_OPERANDS 4096

// A run of elements of |source| along the axis of the Concat.
typedef struct piece_s {
  tvi_value_id_t source;
  trivet_dim_t start;
  trivet_dim_t end;
} piece_t;

static bool concat_axis(const trivet_graph_t* graph, const tvi_node_t* node, uint32_t* out_axis) {
  uint32_t rank = graph->values[tvi_match_output(node)]->type.rank;
  return tvi_match_axis(tvi_node_attr_i64(node, "axis", 0), rank, out_axis);
}

static trivet_status_t flatten(const trivet_graph_t* graph, const tvi_node_t* node, uint32_t axis,
                               value_list_t* out_list, bool* out_changed) {
  for (uint32_t i = 0; i < node->input_count; ++i) {
    tvi_value_id_t x = node->inputs[i];
    const tvi_node_t* inner = tvi_match_node(graph, x, "std.Concat");
    uint32_t inner_axis;
    if (inner != NULL && concat_axis(graph, inner, &inner_axis) && inner_axis == axis &&
        tvi_match_only_reader(graph, x, NULL, NULL) != NULL &&
        out_list->count + inner->input_count < MAX_OPERANDS) {
      // One level at a time: the operands of the inner one come later, when this pass runs again.
      TRIVET_RETURN_IF_ERROR(tvi_vector_append(out_list, inner->inputs, inner->input_count));
      *out_changed = true;
    } else if (tvi_dim_equals_constant(graph->values[x]->type.dims[axis], 0)) {
      *out_changed = true;
    } else {
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(out_list, x));
    }
  }
  return TRIVET_OK;
}

static bool read_piece(const trivet_graph_t* graph, tvi_value_id_t value, uint32_t axis,
                       piece_t* out) {
  const tvi_node_t* node = tvi_match_node(graph, value, NULL);
  if (node == NULL) return false;
  trivet_dim_t start = NULL, extent = graph->values[value]->type.dims[axis];
  if (tvi_node_is(node, "std.Slice")) {
    tvi_slice_t slice;
    if (!tvi_slice_read(graph, node, &slice) || !slice.taken[axis] || slice.step[axis] != 1) {
      return false;
    }
    for (uint32_t i = 0; i < slice.rank; ++i) {
      if (slice.taken[i] && i != axis) return false;
    }
    start = tvi_dim_constant(graph->dims, slice.start[axis]);
  } else if (tvi_node_is(node, "std.Split")) {
    uint32_t split_axis;
    if (!tvi_match_axis(tvi_node_attr_i64(node, "axis", 0),
                        graph->values[node->inputs[0]]->type.rank, &split_axis) ||
        split_axis != axis) {
      return false;
    }
    start = tvi_dim_constant(graph->dims, 0);
    for (uint32_t i = 0; i < graph->values[value]->output_index; ++i) {
      if (node->outputs[i] == 0) return false;
      start = tvi_dim_binary(graph->dims, TRIVET_DIM_ADD, start,
                             graph->values[node->outputs[i]]->type.dims[axis]);
    }
  }
  trivet_dim_t end = tvi_dim_binary(graph->dims, TRIVET_DIM_ADD, start, extent);
  if (start == NULL || end == NULL) return false;
  *out = (piece_t){node->inputs[0], start, end};
  return true;
}

// The value of a joined piece; 0: it cannot be said with numbers.
static trivet_status_t write_piece(tvi_edit_t* edit, const piece_t* piece, uint32_t axis,
                                   tvi_value_id_t* out_value) {
  const trivet_type_t* type = &edit->graph->values[piece->source]->type;
  tvi_slice_t slice = {.rank = type->rank};
  int64_t end;
  *out_value = 0;
  if (tvi_dim_equals_constant(piece->start, 0) && piece->end == type->dims[axis]) {
    *out_value = piece->source;
    return TRIVET_OK;
  }
  if (!tvi_dim_is_constant(piece->start, &slice.start[axis]) ||
      !tvi_dim_is_constant(piece->end, &end)) {
    return TRIVET_OK;
  }
  slice.taken[axis] = true;
  slice.step[axis] = 1;
  slice.count[axis] = end - slice.start[axis];
  return tvi_slice_write(edit, piece->source, &slice, out_value);
}

// Puts each run of adjoining pieces of one value in the place of its first operand.
static trivet_status_t join_pieces(tvi_edit_t* edit, uint32_t axis, value_list_t* list,
                                   bool* changed) {
  const trivet_graph_t* graph = edit->graph;
  size_t kept = 0;
  for (size_t i = 0; i < list->count;) {
    piece_t run, next;
    size_t end = i + 1;
    tvi_value_id_t joined = 0;
    if (read_piece(graph, list->data[i], axis, &run)) {
      while (end < list->count && read_piece(graph, list->data[end], axis, &next) &&
             next.source == run.source && next.start == run.end) {
        run.end = next.end;
        ++end;
      }
      if (end - i > 1) TRIVET_RETURN_IF_ERROR(write_piece(edit, &run, axis, &joined));
    }
    if (joined != 0) {
      list->data[kept++] = joined;
      *changed = true;
      i = end;
    } else {
      list->data[kept++] = list->data[i++];
    }
  }
  list->count = kept;
  return TRIVET_OK;
}

static trivet_status_t simplify(tvi_edit_t* edit, const tvi_node_t* node, value_list_t* list) {
  uint32_t axis;
  bool changed = false;
  if (!concat_axis(edit->graph, node, &axis)) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(flatten(edit->graph, node, axis, list, &changed));
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(join_pieces(edit, axis, list, &changed));
  if (!changed || list->count == 0) return TRIVET_OK;
  tvi_value_id_t y = tvi_match_output(node), result = list->data[0];
  if (list->count > 1) {
    TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Concat", list->data, (uint32_t)list->count,
                                       node->attributes, node->attribute_count, &result));
  }
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "%u operands became %zu", node->input_count,
                          list->count);
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  if (!tvi_node_is(node, "std.Concat")) return TRIVET_OK;
  value_list_t list;
  tvi_vector_init(&list, edit->graph->allocator);
  trivet_status_t status = simplify(edit, node, &list);
  tvi_vector_deinit(&list);
  return status;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(simplify_concats, "simplify-concats", "joins Concats and neighbouring slices", run);
