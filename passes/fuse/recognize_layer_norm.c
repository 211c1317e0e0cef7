// SPDX-License-Identifier: Apache-2.0
//
// recognize-layer-norm: the mean over trailing axes subtracted, the result divided by the root of
// its mean square, and the scale and bias that follow, become std.LayerNormalization.
//
//   %m = std.ReduceMean(%x, [-1])
//   %d = std.Sub(%x, %m)
//   %q = std.Pow(%d, 2.0)
//   %v = std.ReduceMean(%q, [-1])
//   %e = std.Add(%v, 1e-12)             ->   %y = std.LayerNormalization(%x, %g, %b)
//   %s = std.Sqrt(%e)                            { axis = 2, epsilon = 1e-12 }
//   %n = std.Div(%d, %s)
//   %o = std.Mul(%n, %g)
//   %y = std.Add(%o, %b)
#include "passes/support/normalize_match.h"

static trivet_status_t rewrite(tvi_edit_t* edit, tvi_value_id_t x, const tvi_normalization_t* m) {
  trivet_graph_t* graph = edit->graph;
  tvi_node_id_t root = edit->at;
  tvi_value_id_t scale = tvi_normalize_follow(graph, m->n, "std.Mul", m->axis, &root);
  tvi_value_id_t scaled = scale != 0 ? tvi_match_output(graph->nodes[root]) : m->n;
  tvi_value_id_t bias = tvi_normalize_follow(graph, scaled, "std.Add", m->axis, &root), result;
  edit->at = root;
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  if (scale == 0) TRIVET_RETURN_IF_ERROR(tvi_normalize_ones(edit, x, m->axis, &scale));
  if (scale == 0) {
    tvi_edit_decline(edit, "it has no scale, and the extents of one are unknown");
    return TRIVET_OK;
  }
  const int64_t axis = m->axis;
  const trivet_attribute_t attributes[2] = {tvi_edit_i64("axis", &axis),
                                            tvi_edit_f32("epsilon", &m->epsilon)};
  const tvi_value_id_t inputs[3] = {x, scale, bias};
  const tvi_value_id_t y = tvi_match_output(graph->nodes[root]);
  TRIVET_RETURN_IF_ERROR(
      tvi_edit_op(edit, "std.LayerNormalization", inputs, 3, attributes, 2, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "recognised LayerNormalization");
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  tvi_normalization_t m;
  bool matched = tvi_normalize_match(graph, node, &m);
  const tvi_node_t* difference = tvi_match_node(graph, m.d, "std.Sub");
  const tvi_node_t* mean =
      difference != NULL ? tvi_match_node(graph, difference->inputs[1], "std.ReduceMean") : NULL;
  // Without the subtraction it is a root-mean-square normalisation: another pass.
  if (mean == NULL || mean->inputs[0] != difference->inputs[0]) return TRIVET_OK;
  tvi_value_id_t x = difference->inputs[0];
  uint32_t axis;
  if (matched && (!tvi_normalize_mean_axis(graph, mean, &axis) || axis != m.axis)) {
    matched = false;
    m.reason = "the means are over different axes";
  }
  if (matched && !tvi_type_equal(&graph->values[x]->type, &graph->values[m.n]->type)) {
    matched = false;
    m.reason = "the shape changes on the way";
  }
  if (!matched) {
    tvi_edit_decline(edit, "%s", m.reason);
    return TRIVET_OK;
  }
  tvi_node_id_t at = edit->at;
  trivet_status_t status = rewrite(edit, x, &m);
  edit->at = at;
  return status;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(recognize_layer_norm, "recognize-layer-norm",
                "finds layer normalisation written out", run);
