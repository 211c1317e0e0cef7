// SPDX-License-Identifier: Apache-2.0
//
// recognize-swish: x * sigmoid(alpha * x) becomes std.Swish (SiLU where alpha is 1; alpha 1.702 is
// the quick form of Gelu).
//
//   %s = std.Sigmoid(%x)
//   %y = std.Mul(%x, %s)      ->    %y = std.Swish(%x)
#include "passes/support/edit.h"
#include "passes/support/match.h"

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  if (!tvi_node_is(node, "std.Mul")) return TRIVET_OK;
  for (uint32_t i = 0; i < 2; ++i) {
    tvi_value_id_t x = node->inputs[i], s = node->inputs[1 - i], y = tvi_match_output(node), result;
    const tvi_node_t* sigmoid = tvi_match_node(graph, s, "std.Sigmoid");
    tvi_polynomial_t p;
    if (sigmoid == NULL || tvi_match_constant(graph, x) ||
        !tvi_match_polynomial(graph, sigmoid->inputs[0], x, &p) || p.c[1] == 0 || p.c[0] != 0 ||
        p.c[2] != 0 || p.c[3] != 0) {
      continue;
    }
    if (!tvi_match_private(graph, s)) {
      tvi_edit_decline(edit, "the sigmoid is needed elsewhere");
      return TRIVET_OK;
    }
    if (!tvi_edit_may(edit)) return TRIVET_OK;
    const trivet_attribute_t alpha = tvi_edit_f32("alpha", &p.c[1]);
    TRIVET_RETURN_IF_ERROR(
        tvi_edit_op(edit, "std.Swish", &x, 1, &alpha, p.c[1] != 1 ? 1 : 0, &result));
    if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
    return tvi_edit_replace(edit, y, result, "recognised Swish");
  }
  return TRIVET_OK;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(recognize_swish, "recognize-swish", "finds x times its sigmoid", run);
