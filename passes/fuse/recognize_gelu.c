// SPDX-License-Identifier: Apache-2.0
//
// recognize-gelu: 0.5 * x * (1 + erf(x / sqrt(2))), in whatever order an exporter wrote the
// factors, becomes std.Gelu.
//
//   %a = std.Div(%x, 1.41421354)
//   %b = std.Erf(%a)
//   %c = std.Add(%b, 1.0)            ->    %y = std.Gelu(%x) { approximate = "none" }
//   %d = std.Mul(%x, %c)
//   %y = std.Mul(%d, 0.5)
#include "passes/support/gelu.h"

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  static const tvi_polynomial_t wanted = {{0, 0.70710678118654752440}};
  if (!tvi_node_is(node, "std.Erf")) return TRIVET_OK;
  return tvi_gelu_rewrite(edit, node, &wanted, "none");
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(recognize_gelu, "recognize-gelu", "finds Gelu written with erf", run);
