// SPDX-License-Identifier: Apache-2.0
// A pass in C: x * a * b with two numbers becomes x * (a * b), which text cannot compute.
// Where the product in between is read elsewhere too, it says why it leaves it alone.
#include "trivet/plugin.h"
static trivet_value_t scale(trivet_pass_context_t* c, const trivet_graph_t* g, trivet_node_t node,
                            double* out_factor) {
  if (!trivet_pass_is(c, g, node, "std.Mul")) return 0;
  for (uint32_t i = 0; i < 2; ++i)
    if (trivet_pass_api(c)->value_number(c, g, trivet_pass_input(c, g, node, i), out_factor))
      return trivet_pass_input(c, g, node, 1 - i);
  return 0;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* c, trivet_graph_t* g,
                           uint32_t* out_changed) {
  (void)pass, (void)out_changed;  // what replace reports is counted
  const trivet_pass_api_t* p = trivet_pass_api(c);
  for (trivet_node_t n = 0; (n = p->next_node(c, g, n)) != 0;) {
    double a, b;
    trivet_value_t between = scale(c, g, n, &b);
    trivet_value_t x = between ? scale(c, g, p->producer(c, g, between, 0), &a) : 0;
    if (!x || p->value_type(c, g, x)->dtype != TRIVET_DTYPE_F32 || !p->may_change(c, g, n))
      continue;
    if (p->use_count(c, g, between) != 1) {
      TRIVET_PASS_DECLINE(c, g, n, "the product in between is read elsewhere too");
      continue;
    }
    float factor = (float)(a * b);
    trivet_tensor_t number = {TRIVET_DTYPE_F32, 0, {0}, &factor, sizeof(factor)};
    trivet_value_t inputs[2] = {x}, y = trivet_pass_output(c, g, n, 0);
    trivet_status_t status = p->add_constant(c, g, &number, &inputs[1]);
    if (!status) status = p->add_node(c, g, n, "std.Mul", 0, inputs, 2, 0, 0, 1, &inputs[0]);
    if (!status) status = TRIVET_PASS_REPLACE(c, g, y, inputs[0], "%g times %g", a, b);
    if (status) return status;
  }
  return 0;
}

TRIVET_PASS(merge_scales, "acme-merge-scales", "joins products with numbers", run);
TRIVET_PLUGIN("merge_scales", "1.0", "a pass in C", &merge_scales)
