// SPDX-License-Identifier: Apache-2.0
//
// simplify-reshapes: of two nodes in a row that only change the shape the first one goes; a
// transpose that moves nothing but extents of 1 becomes a reshape; a reshape before a pointwise
// node moves behind it, where it may meet another one; a reduction keeps the extents of 1 that a
// reshape puts in.
//
//   %a = std.Unsqueeze(%x, [0]) : f32[1, n, 4]
//   %y = std.Reshape(%a, ..) : f32[n, 2, 2]      ->   %y = std.Reshape(%x, [n, 2, 2])
#include <string.h>

#include "passes/support/edit.h"
#include "passes/support/match.h"

static bool moves_only_ones(const trivet_graph_t* graph, const tvi_node_t* node) {
  const trivet_type_t* type = &graph->values[node->inputs[0]]->type;
  uint64_t count;
  const int64_t* perm = tvi_node_attr_i64s(node, "perm", &count);
  int64_t last = -1;
  for (uint32_t i = 0; i < type->rank; ++i) {
    int64_t from = perm != NULL && i < count ? perm[i] : type->rank - 1 - (int64_t)i;
    if (from < 0) from += type->rank;
    if (tvi_dim_equals_constant(type->dims[from], 1)) continue;
    if (from < last) return false;
    last = from;
  }
  return true;
}

static bool depends_on_data(const trivet_graph_t* graph, const trivet_type_t* type) {
  for (uint32_t s = 0; s < tvi_dim_symbol_count(graph->dims); ++s) {
    trivet_dim_t symbol = tvi_dim_symbol_at(graph->dims, s);
    if (tvi_dim_symbol_origin(symbol) != TVI_SYMBOL_DATA) continue;
    for (uint32_t i = 0; i < type->rank; ++i) {
      if (tvi_dim_uses_symbol(type->dims[i], symbol)) return true;
    }
  }
  return false;
}

// The reshape from |from| to |to| puts in and takes out extents of 1 only: |out_place| gets, for
// each axis of |from|, the one of |to| that it becomes, or TRIVET_MAX_RANK for an extent of 1.
static bool changes_only_ones(const trivet_type_t* from, const trivet_type_t* to,
                              uint32_t* out_place) {
  uint32_t at = 0;
  for (uint32_t i = 0; i < from->rank; ++i) {
    out_place[i] = TRIVET_MAX_RANK;
    if (tvi_dim_equals_constant(from->dims[i], 1)) continue;
    while (at < to->rank && tvi_dim_equals_constant(to->dims[at], 1)) ++at;
    if (at == to->rank || to->dims[at] != from->dims[i]) return false;
    out_place[i] = at++;
  }
  while (at < to->rank && tvi_dim_equals_constant(to->dims[at], 1)) ++at;
  return at == to->rank;
}

// A constant that is combined with |to| in the shape in which it is combined with |from|.
static trivet_status_t shape_constant(tvi_edit_t* edit, tvi_value_id_t constant,
                                      const trivet_type_t* from, const trivet_type_t* to,
                                      const uint32_t* place, tvi_value_id_t* out_value) {
  const trivet_type_t* own = &edit->graph->values[constant]->type;
  trivet_dim_t dims[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < from->rank; ++i) {
    dims[i] = tvi_dim_constant(edit->graph->dims, 1);
    uint32_t missing = to->rank - own->rank;
    if (place[i] != TRIVET_MAX_RANK && place[i] >= missing) dims[i] = own->dims[place[i] - missing];
  }
  return tvi_edit_reshape(edit, constant, dims, from->rank, out_value);
}

// f(Reshape(x), numbers and constants): Reshape(f(x, ..)).
static trivet_status_t sink_reshape(tvi_edit_t* edit, const tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  tvi_value_id_t y = tvi_match_output(node), result;
  const trivet_type_t* type = &graph->values[y]->type;
  uint32_t index = UINT32_MAX, place[TRIVET_MAX_RANK];
  bool has_constant = false;
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] == 0 || tvi_match_single(graph, node->inputs[i])) continue;
    if (tvi_match_constant(graph, node->inputs[i])) {
      has_constant = true;
    } else if (index == UINT32_MAX) {
      index = i;
    } else {
      return TRIVET_OK;
    }
  }
  if (index == UINT32_MAX) return TRIVET_OK;
  tvi_value_id_t shaped = node->inputs[index];
  const tvi_node_t* before = tvi_match_node(graph, shaped, NULL);
  if (before == NULL || !tvi_match_reshape(before) || !tvi_match_private(graph, shaped) ||
      !tvi_type_same_shape(type, &graph->values[shaped]->type)) {
    return TRIVET_OK;
  }
  tvi_value_id_t x = before->inputs[0];
  const trivet_type_t* from = &graph->values[x]->type;
  if (from->rank == 0 || (has_constant && !changes_only_ones(from, type, place)) ||
      depends_on_data(graph, type) || !tvi_edit_may(edit)) {
    return TRIVET_OK;
  }
  tvi_value_id_t* inputs;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(tvi_pass_scratch(edit->context),
                                                      node->input_count, sizeof(*inputs), &inputs));
  for (uint32_t i = 0; i < node->input_count; ++i) {
    inputs[i] = i == index ? x : node->inputs[i];
    if (i == index || node->inputs[i] == 0 || tvi_match_single(graph, node->inputs[i])) continue;
    TRIVET_RETURN_IF_ERROR(shape_constant(edit, node->inputs[i], from, type, place, &inputs[i]));
  }
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, node->op->definition->name, inputs, node->input_count,
                                     node->attributes, node->attribute_count, &result));
  TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(edit, result, type->dims, type->rank, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "moved before the reshape of its operand");
}

// A reduction without keepdims whose only reader puts the extents of 1 back.
static trivet_status_t keep_dims(tvi_edit_t* edit, const tvi_node_t* node,
                                 const tvi_node_t* reduction) {
  trivet_graph_t* graph = edit->graph;
  tvi_value_id_t y = tvi_match_output(node), result;
  if (strncmp(reduction->op->definition->name, "std.Reduce", 10) != 0 ||
      tvi_node_attr_i64(reduction, "keepdims", 1) != 0 ||
      !tvi_match_private(graph, node->inputs[0]) || !tvi_edit_may(edit)) {
    return TRIVET_OK;
  }
  trivet_attribute_t attributes[4];
  uint32_t count = 0;
  for (uint32_t i = 0; i < reduction->attribute_count && count < 4; ++i) {
    if (strcmp(reduction->attributes[i].name, "keepdims") == 0) continue;
    attributes[count++] = reduction->attributes[i];
  }
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, reduction->op->definition->name, reduction->inputs,
                                     reduction->input_count, attributes, count, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "the reduction before it keeps its axes");
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  if (tvi_match_pointwise(node)) return sink_reshape(edit, node);
  bool is_transpose = tvi_node_is(node, "std.Transpose");
  if (is_transpose ? !moves_only_ones(graph, node) : !tvi_match_reshape(node)) return TRIVET_OK;
  tvi_value_id_t x = node->inputs[0], y = tvi_match_output(node), result;
  const tvi_node_t* before = tvi_match_node(graph, x, NULL);
  if (before != NULL && !is_transpose) {
    TRIVET_RETURN_IF_ERROR(keep_dims(edit, node, before));
    if (node->dead) return TRIVET_OK;
  }
  bool merges = before != NULL && tvi_match_reshape(before);
  if (!merges && !is_transpose) return TRIVET_OK;
  if (merges) x = before->inputs[0];
  const trivet_type_t* type = &graph->values[y]->type;
  if (!tvi_type_equal(type, &graph->values[x]->type) && depends_on_data(graph, type)) {
    tvi_edit_decline(edit, "its shape depends on data");
    return TRIVET_OK;
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(edit, x, type->dims, type->rank, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result,
                          merges ? "skipped the shape before it" : "became a reshape");
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(simplify_reshapes, "simplify-reshapes", "joins nodes that only change the shape",
                run);
