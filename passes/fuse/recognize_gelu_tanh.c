// SPDX-License-Identifier: Apache-2.0
//
// recognize-gelu-tanh: 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x^3))), however the cube
// and the factors are written, becomes std.Gelu by tanh.
//
//   %a = std.Pow(%x, 3.0)
//   %b = std.Mul(%a, 0.044715)
//   %c = std.Add(%x, %b)
//   %d = std.Mul(%c, 0.797884583)    ->    %y = std.Gelu(%x) { approximate = "tanh" }
//   %e = std.Tanh(%d)
//   %f = std.Add(%e, 1.0)
//   %g = std.Mul(%x, 0.5)
//   %y = std.Mul(%g, %f)
#include "passes/support/gelu.h"

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  static const double slope = 0.79788456080286535588;
  static const tvi_polynomial_t wanted = {{0, slope, 0, slope * 0.044715}};
  // A tanh alone is nothing to report.
  if (!tvi_node_is(node, "std.Tanh") ||
      tvi_match_node(edit->graph, node->inputs[0], NULL) == NULL) {
    return TRIVET_OK;
  }
  return tvi_gelu_rewrite(edit, node, &wanted, "tanh");
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(recognize_gelu_tanh, "recognize-gelu-tanh", "finds Gelu written with tanh", run);
