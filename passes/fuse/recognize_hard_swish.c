// SPDX-License-Identifier: Apache-2.0
//
// recognize-hard-swish: x * clip(x + 3, 0, 6) / 6 in any order of the factors, and x times the hard
// sigmoid of slope 1/6, become std.HardSwish.
//
//   %a = std.Add(%x, 3.0)
//   %b = std.Clip(%a, 0.0, 6.0)
//   %c = std.Mul(%x, %b)        ->    %y = std.HardSwish(%x)
//   %y = std.Div(%c, 6.0)
#include "passes/support/edit.h"
#include "passes/support/match.h"

// |node| computes scale * hard sigmoid of some x. Fills the operand that is x or holds it in a
// polynomial, and that polynomial.
static bool match_core(const trivet_graph_t* graph, const tvi_node_t* node,
                       tvi_polynomial_t* wanted, double* scale) {
  if (tvi_node_is(node, "std.HardSigmoid")) {
    double alpha = tvi_node_attr_f64(node, "alpha", 0.2),
           beta = tvi_node_attr_f64(node, "beta", 0.5);
    if (!tvi_match_near(TRIVET_DTYPE_F32, alpha, 1.0 / 6) || beta != 0.5) return false;
    *wanted = (tvi_polynomial_t){{0, 1}};
    *scale = 1;
    return true;
  }
  if (!tvi_node_is(node, "std.Clip") || !tvi_match_number(graph, tvi_match_operand(node, 1), 0) ||
      !tvi_match_number(graph, tvi_match_operand(node, 2), 6)) {
    return false;
  }
  *wanted = (tvi_polynomial_t){{3, 1}};
  *scale = 1.0 / 6;
  return true;
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  tvi_polynomial_t wanted, p;
  double scale;
  if (!match_core(graph, node, &wanted, &scale)) return TRIVET_OK;
  tvi_value_id_t t = tvi_match_output(node), factors[2], result;
  tvi_node_id_t root, at = edit->at;
  uint32_t dtype = graph->values[t]->type.dtype;
  uint32_t count = tvi_match_factors(graph, t, factors);
  for (uint32_t i = 0; i < count; ++i) {
    if (!tvi_match_polynomial(graph, node->inputs[0], factors[i], &p) ||
        !tvi_match_near(dtype, p.c[0], wanted.c[0]) || !tvi_match_near(dtype, p.c[1], 1) ||
        p.c[2] != 0 || p.c[3] != 0) {
      continue;
    }
    if (!tvi_match_product(graph, t, factors[i], scale, &root)) {
      tvi_edit_decline(edit, "the product with x has another factor or is needed elsewhere");
      return TRIVET_OK;
    }
    tvi_value_id_t y = tvi_match_output(graph->nodes[root]);
    edit->at = root;
    trivet_status_t status = TRIVET_OK;
    if (tvi_edit_may(edit)) {
      status = tvi_edit_op2(edit, "std.HardSwish", factors[i], 0, &result);
      if (status == NULL && tvi_edit_fits(edit, y, result)) {
        status = tvi_edit_replace(edit, y, result, "recognised HardSwish");
      }
    }
    edit->at = at;
    return status;
  }
  return TRIVET_OK;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(recognize_hard_swish, "recognize-hard-swish", "finds x times its hard sigmoid",
                run);
