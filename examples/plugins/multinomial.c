// SPDX-License-Identifier: Apache-2.0
//
// Random numbers: classes drawn with the probabilities of each row. The seed is an attribute, so
// two runs of a plan draw the same; nothing drawn at build time, nothing merged with another draw.
#include "trivet/plugin.h"

static trivet_status_t infer(const trivet_operator_t* op, trivet_node_view_t* view) {
  (void)op;
  const trivet_dim_t dims[2] = {trivet_view_input_type(view, 0)->dims[0],
                                trivet_view_dim(view, trivet_view_attr_i64(view, "samples", 1))};
  return trivet_view_set_output(view, 0, TRIVET_DTYPE_I64, 2, dims);
}

// Uniform in [0, 1), from seed and place alone: rows may be drawn in any order.
static double uniform(uint64_t seed, uint64_t place) {
  uint64_t x = seed * 0x9e3779b97f4a7c15u + (place + 1) * 0xd1342543de82ef95u;
  x = (x ^ (x >> 32)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 29)) * 0x94d049bb133111ebu;
  return (double)((x ^ (x >> 32)) >> 11) / 9007199254740992.0;
}

static trivet_status_t evaluate(const trivet_operator_t* op, trivet_evaluation_t* evaluation) {
  (void)op;
  const trivet_tensor_t* x = evaluation->api->input(evaluation, 0);
  const int64_t seed = ((const int64_t*)evaluation->api->attribute(evaluation, "seed")->data)[0];
  const int64_t samples =
      ((const int64_t*)evaluation->api->attribute(evaluation, "samples")->data)[0];
  const int64_t classes = x->dims[1], dims[2] = {x->dims[0], samples};
  trivet_tensor_t* y = 0;
  trivet_status_t status = evaluation->api->output(evaluation, 0, TRIVET_DTYPE_I64, 2, dims, &y);
  if (status || !y) return status;
  for (int64_t i = 0; i < dims[0] * samples; ++i) {
    const float* weights = (const float*)x->data + i / samples * classes;
    double total = 0;
    int64_t drawn = 0;
    for (int64_t c = 0; c < classes; ++c) total += weights[c];
    double left = uniform((uint64_t)seed, (uint64_t)i) * total - weights[0];
    while (left >= 0 && drawn + 1 < classes) left -= weights[++drawn];
    ((int64_t*)y->data)[i] = drawn;
  }
  return 0;
}

TRIVET_OPERATOR_WITH(multinomial, "acme.Multinomial", 1, TRIVET_OPERATOR_IMPURE,
                     "classes drawn by their weights",
                     "op acme.Multinomial/1 (weights: f32[N, C]) -> (y: i64[*])\n"
                     "attr samples: i64 = 1\nattr seed: i64 = 0\n",
                     infer, 0, evaluate);

TRIVET_PLUGIN_HALVES("multinomial", "1.0", "one operator", TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
                     &multinomial)
