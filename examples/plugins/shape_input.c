// SPDX-License-Identifier: Apache-2.0
//
// An operand that is read on the host: its numbers say what shape the result has. They may be
// constants, or come of shapes of other values and stay expressions until shapes are bound.
#include "trivet/plugin.h"

static trivet_status_t infer(const trivet_operator_t* op, trivet_node_view_t* view) {
  (void)op;
  uint64_t count = 0;
  const trivet_dim_t* times = trivet_view_input_ints(view, 1, &count);
  const trivet_type_t* x = trivet_view_input_type(view, 0);
  if (!times || count != 1) {
    return TRIVET_VIEW_ERROR(view, TRIVET_STATUS_INVALID_ARGUMENT,
                             "how often to repeat must be one number that shapes tell");
  }
  trivet_dim_t length = trivet_view_dim_binary(view, TRIVET_DIM_MUL, x->dims[0], times[0]);
  return trivet_view_set_output(view, 0, x->dtype, 1, &length);
}

static trivet_status_t lower(const trivet_operator_t* op, trivet_node_view_t* view) {
  (void)op;
  return TRIVET_VIEW_EMIT(view, "y[i] = x[mod(i, x.0)]\n");
}

TRIVET_OPERATOR_WITH(repeat, "acme.Repeat", 1, 0, "x again and again",
                     "op acme.Repeat/1 (x: T[*], times: i64[*]) -> (y: T[*]) where T: any\n", infer,
                     lower, 0);

TRIVET_PLUGIN("shape_input", "1.0", "one operator", &repeat)
