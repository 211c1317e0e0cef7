// SPDX-License-Identifier: Apache-2.0
//
// Activation functions: elementwise functions of one operand (PRelu and SwiGLU: two) with
// attributes for parameters. Written so that no branch overflows where the result is finite.
#include "plugins/ops_standard/ops_host.h"

#define ACTIVATION(name, attributes, expression, summary) \
  OPS_TEXT(name, summary,                                 \
           "(x: T[D...]) -> (y: T[D...]) where T: float\n" attributes "y[i...] = " expression)

OPS_TEXT(Relu, "x where it is positive, else 0",
         "(x: T[D...]) -> (y: T[D...]) where T: numeric\ny[i...] = max(x[i...], 0)");
ACTIVATION(Sigmoid, "", "sigmoid(x[i...])", "1 / (1 + exp(-x))");
ACTIVATION(Softplus, "", "max(x[i...], 0.0) + log1p(exp(-abs(x[i...])))", "log(1 + exp(x))");
ACTIVATION(Softsign, "", "x[i...] / (1.0 + abs(x[i...]))", "x / (1 + |x|)");
ACTIVATION(HardSwish, "", "x[i...] * max(0.0, min(1.0, x[i...] / 6.0 + 0.5))",
           "x times the hard sigmoid of slope 1/6");
ACTIVATION(Mish, "", "x[i...] * tanh(max(x[i...], 0.0) + log1p(exp(-abs(x[i...]))))",
           "x * tanh(softplus(x))");
ACTIVATION(Elu, "attr alpha: f32 = 1.0\n", "x[i...] < 0.0 ? T(alpha) * expm1(x[i...]) : x[i...]",
           "alpha * (exp(x) - 1) where x is negative");
ACTIVATION(Celu, "attr alpha: f32 = 1.0\n",
           "max(x[i...], 0.0) + min(0.0, T(alpha) * expm1(x[i...] / T(alpha)))",
           "continuously differentiable exponential linear unit");
ACTIVATION(
    Selu,
    "attr alpha: f32 = 1.67326319217681884765625\nattr gamma: f32 = 1.05070102214813232421875\n",
    "x[i...] <= 0.0 ? T(gamma) * (T(alpha) * expm1(x[i...])) : T(gamma) * x[i...]",
    "scaled exponential linear unit");
ACTIVATION(LeakyRelu, "attr alpha: f32 = 0.01\n", "x[i...] < 0.0 ? T(alpha) * x[i...] : x[i...]",
           "alpha * x where x is negative");
ACTIVATION(ThresholdedRelu, "attr alpha: f32 = 1.0\n", "x[i...] > T(alpha) ? x[i...] : 0.0",
           "x where it is above alpha, else 0");
ACTIVATION(HardSigmoid, "attr alpha: f32 = 0.2\nattr beta: f32 = 0.5\n",
           "max(0.0, min(1.0, T(alpha) * x[i...] + T(beta)))",
           "alpha * x + beta limited to [0, 1]");
ACTIVATION(Swish, "attr alpha: f32 = 1.0\n", "x[i...] * sigmoid(T(alpha) * x[i...])",
           "x * sigmoid(alpha * x)");
OPS_TEXT(
    Shrink, "x moved towards 0 by bias where |x| is above lambd, else 0",
    "(x: T[D...]) -> (y: T[D...]) where T: numeric\nattr bias: f32 = 0.0\nattr lambd: f32 = 0.5\n"
    "y[i...] = f32(x[i...]) < -lambd ? x[i...] + T(bias) : f32(x[i...]) > lambd ? x[i...] - "
    "T(bias) : 0");
OPS_TEXT(SwiGLU, "gate * sigmoid(alpha * gate) * up",
         "(gate: T[D...], up: T[D...]) -> (y: T[D...]) where T: float\nattr alpha: f32 = 1.0\n"
         "y[i...] = gate[i...] * sigmoid(T(alpha) * gate[i...]) * up[i...]");

// The result has the shape of x: the slope is broadcast to x only.
OPS_TEXT(PRelu, "slope * x where x is negative",
         "(x: T[bcast D...], slope: T[bcast D...]) -> (y: T[D...]) where T: numeric\n"
         "y[i...] = x[i...] < 0 ? slope[i...] * x[i...] : x[i...]");

static trivet_status_t lower_gelu(ops_op_t* op, ops_view_t* v) {
  (void)op;
  if (ops_attr_is(v, "approximate", "tanh")) {
    // sqrt(2 / pi) = 0.797884560802865...
    return TRIVET_VIEW_EMIT(v,
                            "y[i...] = 0.5 * x[i...] * (1.0 + tanh(0.79788456080286536 * "
                            "(x[i...] + 0.044715 * (x[i...] * x[i...] * x[i...]))))");
  }
  if (!ops_attr_is(v, "approximate", "none"))
    return OPS_INVALID(v, "attribute approximate must be none or tanh");
  return TRIVET_VIEW_EMIT(v,
                          "y[i...] = 0.5 * x[i...] * (1.0 + erf(x[i...] * 0.70710678118654752))");
}
OPS_DEFINE(Gelu, 0, "Gaussian error linear unit, exact or by tanh",
           "(x: T[D...]) -> (y: T[D...]) where T: float\nattr approximate: string = \"none\"", 0,
           lower_gelu, 0);

// Inference: nothing is dropped. Training mode is accepted where the ratio makes it the same.
static trivet_status_t infer_dropout(ops_op_t* op, ops_view_t* v) {
  OPS_TRY(tvi_ops_infer_same(op, v));
  const trivet_type_t* x = ops_in(v, 0);
  return trivet_view_output_count(v) > 1
             ? trivet_view_set_output(v, 1, TRIVET_DTYPE_BOOL, x->rank, x->dims)
             : 0;
}
static trivet_status_t lower_dropout(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_tensor_t *ratio = trivet_view_input_constant(v, 1),
                        *training = trivet_view_input_constant(v, 2);
  uint32_t drops_nothing = ratio && tvi_ops_count(ratio) == 1 && tvi_ops_get_f64(ratio, 0) == 0;
  if (ops_in(v, 2) && !drops_nothing &&
      (!training || tvi_ops_count(training) != 1 || tvi_ops_get_i64(training, 0)))
    return OPS_UNSUPPORTED(v, "training mode is not available");
  OPS_TRY(TRIVET_VIEW_EMIT(v, "y[i...] = x[i...]"));
  return ops_out(v, 1) ? TRIVET_VIEW_EMIT(v, "\nmask[i...] = true") : 0;
}
OPS_DEFINE(Dropout, 0, "the operand itself, as nothing is dropped in inference",
           "(x: T[D...], ratio?: R[*], training_mode?: bool[*]) -> (y: T[D...], mask?: bool[D...]) "
           "where T: float, R: float\n"
           "attr seed?: i64",
           infer_dropout, lower_dropout, 0);
