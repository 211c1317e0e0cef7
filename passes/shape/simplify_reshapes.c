// SPDX-License-Identifier: Apache-2.0
//
// simplify-reshapes: of two nodes in a row that only change the shape the first one goes; a
// transpose that moves nothing but extents of 1 becomes a reshape; a reshape before a pointwise
// node moves behind it, where it may meet another one.
//
//   %a = std.Unsqueeze(%x, [0]) : f32[1, n, 4]
//   %y = std.Reshape(%a, ..) : f32[n, 2, 2]      ->   %y = std.Reshape(%x, [n, 2, 2])
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

// f(Reshape(x)) with one operand that is no number: Reshape(f(x)).
static trivet_status_t sink_reshape(tvi_edit_t* edit, const tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  uint32_t index;
  if (!tvi_match_unary(graph, node, &index)) return TRIVET_OK;
  tvi_value_id_t shaped = node->inputs[index], y = tvi_match_output(node), result;
  const tvi_node_t* before = tvi_match_node(graph, shaped, NULL);
  if (before == NULL || !tvi_match_reshape(before) || !tvi_match_private(graph, shaped) ||
      graph->values[before->inputs[0]]->type.rank == 0) {
    return TRIVET_OK;
  }
  const trivet_type_t* type = &graph->values[y]->type;
  if (depends_on_data(graph, type) || !tvi_edit_may(edit)) return TRIVET_OK;
  tvi_value_id_t* inputs;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(tvi_pass_scratch(edit->context), node->input_count,
                                               sizeof(*inputs), &inputs));
  for (uint32_t i = 0; i < node->input_count; ++i) {
    inputs[i] = i == index ? before->inputs[0] : node->inputs[i];
  }
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, node->op->definition->name, inputs, node->input_count,
                                     node->attributes, node->attribute_count, &result));
  TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(edit, result, type->dims, type->rank, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "moved before the reshape of its operand");
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  if (tvi_match_pointwise(node)) return sink_reshape(edit, node);
  bool is_transpose = tvi_node_is(node, "std.Transpose");
  if (is_transpose ? !moves_only_ones(graph, node) : !tvi_match_reshape(node)) return TRIVET_OK;
  tvi_value_id_t x = node->inputs[0], y = tvi_match_output(node), result;
  const tvi_node_t* before = tvi_match_node(graph, x, NULL);
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
