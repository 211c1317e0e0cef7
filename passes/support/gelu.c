// SPDX-License-Identifier: Apache-2.0
//
// Implements gelu.h. Starts at f, since few nodes of a graph are one, and climbs: first to
// t = k * (1 + f), then along the product with x.
#include "passes/support/gelu.h"

#include <string.h>

#define MAX_STEPS 4

static bool same_polynomial(uint32_t dtype, const tvi_polynomial_t* a, const tvi_polynomial_t* b) {
  for (int i = 0; i <= TVI_POLYNOMIAL_DEGREE; ++i) {
    if (!tvi_match_near(dtype, a->c[i], b->c[i])) return false;
  }
  return true;
}

// From e = f(..) to t = k * (1 + e).
static bool climb_to_sum(const trivet_graph_t* graph, tvi_value_id_t e, tvi_value_id_t* out_t,
                         double* out_k) {
  uint32_t dtype = graph->values[e]->type.dtype;
  tvi_value_id_t value = e;
  for (int i = 0; i < MAX_STEPS; ++i) {
    const tvi_node_t* node = tvi_match_only_reader(graph, value, NULL, NULL);
    tvi_polynomial_t p;
    if (node == NULL || node->output_count != 1) return false;
    value = tvi_match_output(node);
    if (!tvi_match_polynomial(graph, value, e, &p) || p.c[2] != 0 || p.c[3] != 0) return false;
    if (p.c[1] != 0 && tvi_match_near(dtype, p.c[0], p.c[1])) {
      *out_t = value;
      *out_k = p.c[1];
      return true;
    }
  }
  return false;
}

// Every node of the polynomial is left without use when y is replaced, or is needed elsewhere
// anyway: nothing is computed twice that was computed once.
trivet_status_t tvi_gelu_rewrite(tvi_edit_t* edit, const tvi_node_t* node,
                                 const tvi_polynomial_t* wanted, const char* approximate) {
  trivet_graph_t* graph = edit->graph;
  tvi_value_id_t e = tvi_match_output(node), t, factors[2];
  uint32_t dtype = graph->values[e]->type.dtype;
  double k;
  if (!climb_to_sum(graph, e, &t, &k)) {
    tvi_edit_decline(edit, "1 is not added to its result, or the result is needed elsewhere");
    return TRIVET_OK;
  }
  uint32_t count = tvi_match_factors(graph, t, factors);
  const char* reason = "no product with x follows the sum with 1";
  for (uint32_t i = 0; i < count; ++i) {
    tvi_polynomial_t p;
    tvi_node_id_t root;
    if (!tvi_match_polynomial(graph, node->inputs[0], factors[i], &p)) continue;
    if (!same_polynomial(dtype, &p, wanted)) {
      reason = "the constants before it are others";
      continue;
    }
    if (!tvi_match_product(graph, t, factors[i], 0.5 / k, &root)) {
      reason = "the product with x is not halved, or part of it is needed elsewhere";
      continue;
    }
    tvi_value_id_t y = tvi_match_output(graph->nodes[root]), result;
    tvi_node_id_t at = edit->at;
    edit->at = root;
    trivet_status_t status = TRIVET_OK;
    if (tvi_edit_may(edit)) {
      const trivet_string_view_t text = {approximate, strlen(approximate)};
      const trivet_attribute_t attribute = tvi_edit_string("approximate", &text);
      status = tvi_edit_op(edit, "std.Gelu", &factors[i], 1, &attribute, 1, &result);
      if (status == NULL && tvi_edit_fits(edit, y, result)) {
        status = tvi_edit_replace(edit, y, result, "recognised Gelu");
      }
    }
    edit->at = at;
    return status;
  }
  tvi_edit_decline(edit, "%s", reason);
  return TRIVET_OK;
}
