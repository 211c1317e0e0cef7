// SPDX-License-Identifier: Apache-2.0
//
// simplify-reshapes: of two nodes in a row that only change the shape the first one goes; a
// transpose that moves nothing but extents of 1 becomes a reshape.
//
//   %a = std.Unsqueeze(%x, [0]) : f32[1, n, 4]
//   %y = std.Reshape(%a, ..) : f32[n, 2, 2]      ->   %y = std.Reshape(%x, [n, 2, 2])
#include "passes/support/edit.h"
#include "passes/support/match.h"

static bool changes_shape_only(const tvi_node_t* node) {
  return tvi_node_is(node, "std.Reshape") || tvi_node_is(node, "std.Flatten") ||
         tvi_node_is(node, "std.Squeeze") || tvi_node_is(node, "std.Unsqueeze");
}

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

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  bool is_transpose = tvi_node_is(node, "std.Transpose");
  if (is_transpose ? !moves_only_ones(graph, node) : !changes_shape_only(node)) return TRIVET_OK;
  tvi_value_id_t x = node->inputs[0], y = tvi_match_output(node), result;
  const tvi_node_t* before = tvi_match_node(graph, x, NULL);
  bool merges = before != NULL && changes_shape_only(before);
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
