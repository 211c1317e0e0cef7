// SPDX-License-Identifier: Apache-2.0
//
// recognize-softmax: exponentials of x minus its maximum, divided by their sum along the same axis,
// become std.Softmax. Without the maximum the pattern is left alone: it overflows where Softmax
// does not.
//
//   %m = std.ReduceMax(%x, [-1])
//   %d = std.Sub(%x, %m)
//   %e = std.Exp(%d)              ->    %y = std.Softmax(%x) { axis = 2 }
//   %s = std.ReduceSum(%e, [-1])
//   %y = std.Div(%e, %s)
#include "passes/support/edit.h"
#include "passes/support/match.h"

// y = e / s: as a division, or as a product with the reciprocal.
static bool match_quotient(const trivet_graph_t* graph, const tvi_node_t* node,
                           tvi_value_id_t* out_e, tvi_value_id_t* out_s) {
  if (tvi_node_is(node, "std.Div")) {
    *out_e = node->inputs[0];
    *out_s = node->inputs[1];
    return true;
  }
  if (!tvi_node_is(node, "std.Mul")) return false;
  for (uint32_t i = 0; i < 2; ++i) {
    const tvi_node_t* reciprocal = tvi_match_node(graph, node->inputs[i], "std.Reciprocal");
    if (reciprocal == NULL) continue;
    *out_e = node->inputs[1 - i];
    *out_s = reciprocal->inputs[0];
    return true;
  }
  return false;
}

static bool single_axis(uint32_t mask, int64_t* out_axis) {
  if (mask == 0 || (mask & (mask - 1)) != 0) return false;
  *out_axis = __builtin_ctz(mask);
  return true;
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  tvi_value_id_t e, s, result;
  if (!match_quotient(graph, node, &e, &s)) return TRIVET_OK;
  const tvi_node_t* exponential = tvi_match_node(graph, e, "std.Exp");
  const tvi_node_t* sum = tvi_match_node(graph, s, "std.ReduceSum");
  uint32_t summed, greatest;
  int64_t axis;
  if (exponential == NULL || sum == NULL || sum->inputs[0] != e) return TRIVET_OK;
  if (!tvi_match_reduced(graph, sum, &summed) || !single_axis(summed, &axis)) {
    tvi_edit_decline(edit, "the sum is not along one known axis that is kept");
    return TRIVET_OK;
  }
  const tvi_node_t* difference = tvi_match_node(graph, exponential->inputs[0], "std.Sub");
  tvi_value_id_t x = difference != NULL ? difference->inputs[0] : 0;
  const tvi_node_t* maximum =
      difference != NULL ? tvi_match_node(graph, difference->inputs[1], "std.ReduceMax") : NULL;
  if (maximum == NULL || maximum->inputs[0] != x || !tvi_match_reduced(graph, maximum, &greatest) ||
      greatest != summed) {
    tvi_edit_decline(edit, "the maximum along the axis is not subtracted first");
    return TRIVET_OK;
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  const trivet_attribute_t attribute = tvi_edit_i64("axis", &axis);
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Softmax", &x, 1, &attribute, 1, &result));
  if (!tvi_edit_fits(edit, tvi_match_output(node), result)) return TRIVET_OK;
  return tvi_edit_replace(edit, tvi_match_output(node), result, "recognised Softmax");
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(recognize_softmax, "recognize-softmax", "finds Softmax written out", run);
