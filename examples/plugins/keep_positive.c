// SPDX-License-Identifier: Apache-2.0
//
// An output whose extent only the data knows: the positive elements, in order. infer names a symbol
// with an upper bound, evaluate says what it turned out to be; what follows computes with it.
#include "trivet/plugin.h"

static trivet_status_t infer(const trivet_operator_t* op, trivet_node_view_t* view) {
  (void)op;
  const trivet_type_t* x = trivet_view_input_type(view, 0);
  trivet_dim_t kept = view->api->dim_data_dependent(view, "kept", x->dims[0]);
  return trivet_view_set_output(view, 0, TRIVET_DTYPE_F32, 1, &kept);
}

static trivet_status_t evaluate(const trivet_operator_t* op, trivet_evaluation_t* evaluation) {
  (void)op;
  const trivet_tensor_t* x = evaluation->api->input(evaluation, 0);
  const float* values = (const float*)x->data;
  int64_t kept = 0;
  for (int64_t i = 0; i < x->dims[0]; ++i) kept += values[i] > 0;
  trivet_tensor_t* y = 0;
  trivet_status_t status = evaluation->api->output(evaluation, 0, TRIVET_DTYPE_F32, 1, &kept, &y);
  if (status || !y) return status;
  float* next = (float*)y->data;
  for (int64_t i = 0; i < x->dims[0]; ++i) {
    if (values[i] > 0) *next++ = values[i];
  }
  return 0;
}

TRIVET_OPERATOR_WITH(keep, "acme.KeepPositive", 1, 0, "the positive elements",
                     "op acme.KeepPositive/1 (x: f32[N]) -> (y: f32[*])\n", infer, 0, evaluate);

TRIVET_PLUGIN_HALVES("keep_positive", "1.0", "one operator", TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
                     &keep)
