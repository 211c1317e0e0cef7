// SPDX-License-Identifier: Apache-2.0
//
// resolve-shape-values: small integer values whose contents are known as dimensions become
// constants of dimensions, so that the chains of Shape, Gather and Concat that computed them die.
// Dimensions that depend on data stay computed: they are bound by the node that finds them.
//
//   input %x: f32[n, 8]
//   %s = std.Shape(%x) : i64[2]
//   %e = std.Gather(%s, %zero) : i64[1]        dims %t: i64[2] = [n, 4]
//   %t = std.Concat(%e, %four) : i64[2]   ->   %y = std.Reshape(%z, %t)
//   %y = std.Reshape(%z, %t)
#include "passes/support/edit.h"

static bool depends_on_data(const trivet_graph_t* graph, const trivet_dim_t* dims, uint64_t count) {
  for (uint32_t s = 0; s < tvi_dim_symbol_count(graph->dims); ++s) {
    trivet_dim_t symbol = tvi_dim_symbol_at(graph->dims, s);
    if (tvi_dim_symbol_origin(symbol) != TVI_SYMBOL_DATA) continue;
    for (uint64_t i = 0; i < count; ++i) {
      if (tvi_dim_uses_symbol(dims[i], symbol)) return true;
    }
  }
  return false;
}

static bool all_numbers(const trivet_dim_t* dims, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    if (!tvi_dim_is_constant(dims[i], NULL)) return false;
  }
  return true;
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  if (!tvi_node_is_pure(node)) return TRIVET_OK;
  bool resolved = false;
  for (uint32_t i = 0; i < node->output_count; ++i) {
    tvi_value_id_t id = node->outputs[i];
    if (id == 0) continue;
    const tvi_value_t* value = graph->values[id];
    uint64_t count;
    if (value->use_count == 0 && value->output_uses == 0) continue;
    const trivet_dim_t* dims = tvi_graph_value_ints(graph, id, &count);
    if (dims == NULL) continue;
    if (depends_on_data(graph, dims, count)) {
      tvi_edit_decline(edit, "its contents depend on data");
      continue;
    }
    if (value->output_uses != 0 && !all_numbers(dims, count)) {
      tvi_edit_decline(edit, "its contents are a result of the graph");
      continue;
    }
    if (!tvi_edit_may(edit)) continue;
    tvi_value_id_t constant;
    TRIVET_RETURN_IF_ERROR(tvi_graph_add_dims_constant(graph, &value->type, dims, &constant));
    if (!resolved) tvi_edit_change(edit, "resolved to dimensions");
    TRIVET_RETURN_IF_ERROR(tvi_graph_replace_value(graph, id, constant));
    resolved = true;
  }
  return resolved ? tvi_edit_sweep(edit, edit->at, 0) : TRIVET_OK;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(resolve_shape_values, "resolve-shape-values",
                "turns shape computations into constants of dimensions", run);
