// SPDX-License-Identifier: Apache-2.0
//
// recognize-rms-norm: x divided by the root of its mean square over trailing axes, and the scale
// that follows, become std.RMSNormalization. Runs behind recognize-layer-norm, of which it is the
// greater half.
//
//   %q = std.Pow(%x, 2.0)
//   %v = std.ReduceMean(%q, [-1])
//   %e = std.Add(%v, 1e-5)
//   %s = std.Sqrt(%e)                 ->   %y = std.RMSNormalization(%x, %g)
//   %r = std.Reciprocal(%s)                    { axis = 2, epsilon = 1e-5 }
//   %n = std.Mul(%x, %r)
//   %y = std.Mul(%g, %n)
#include "passes/support/normalize_match.h"

static trivet_status_t rewrite(tvi_edit_t* edit, const tvi_normalization_t* m, tvi_value_id_t scale,
                               tvi_node_id_t root) {
  trivet_graph_t* graph = edit->graph;
  tvi_value_id_t y = tvi_match_output(graph->nodes[root]), result;
  edit->at = root;
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  if (scale == 0) TRIVET_RETURN_IF_ERROR(tvi_normalize_ones(edit, m->d, m->axis, &scale));
  if (scale == 0) {
    tvi_edit_decline(edit, "it has no scale, and the extents of one are unknown");
    return TRIVET_OK;
  }
  const int64_t axis = m->axis;
  const trivet_attribute_t attributes[2] = {tvi_edit_i64("axis", &axis),
                                            tvi_edit_f32("epsilon", &m->epsilon)};
  const tvi_value_id_t inputs[2] = {m->d, scale};
  TRIVET_RETURN_IF_ERROR(
      tvi_edit_op(edit, "std.RMSNormalization", inputs, 2, attributes, 2, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "recognised RMSNormalization");
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  tvi_normalization_t m;
  if (!tvi_normalize_match(graph, node, &m)) {
    if (m.d != 0) tvi_edit_decline(edit, "%s", m.reason);
    return TRIVET_OK;
  }
  tvi_node_id_t root, at = edit->at;
  tvi_value_id_t scale = tvi_normalize_follow(graph, m.n, "std.Mul", m.axis, &root);
  if (scale == 0) root = at;
  trivet_status_t status = rewrite(edit, &m, scale, root);
  edit->at = at;
  return status;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

static const char* const after[] = {"recognize-layer-norm", NULL};

TVI_PASS_DEFINE_AFTER(recognize_rms_norm, "recognize-rms-norm",
                      "finds root-mean-square normalisation written out", run, after);
