// SPDX-License-Identifier: Apache-2.0
//
// Elementwise arithmetic: elementary functions, the four operations, powers and remainders, and the
// variadic sums and extremes. Nearly all of it is text; hooks exist only where an attribute or the
// number of operands changes the statement.
#include <stdio.h>

#include "plugins/ops_standard/ops_util.h"

// y = f(x) for one operand.
#define UNARY(name, classes, expression, summary) \
  OPS_TEXT(name, summary,                         \
           "(x: T[D...]) -> (y: T[D...]) where T: " classes "\ny[i...] = " expression)

UNARY(Abs, "numeric", "abs(x[i...])", "absolute value");
UNARY(Neg, "numeric", "-x[i...]", "negation");
UNARY(Sign, "numeric", "sign(x[i...])", "-1, 0 or 1 by the sign");
UNARY(Floor, "float", "floor(x[i...])", "rounding down");
UNARY(Ceil, "float", "ceil(x[i...])", "rounding up");
UNARY(Round, "float", "round(x[i...])", "rounding to nearest, ties to even");
UNARY(Sqrt, "float", "sqrt(x[i...])", "square root");
UNARY(Reciprocal, "float", "1.0 / x[i...]", "reciprocal");
UNARY(Exp, "float", "exp(x[i...])", "e to the power x");
UNARY(Log, "float", "log(x[i...])", "natural logarithm");
UNARY(Sin, "float", "sin(x[i...])", "sine");
UNARY(Cos, "float", "cos(x[i...])", "cosine");
UNARY(Tan, "float", "tan(x[i...])", "tangent");
UNARY(Asin, "float", "asin(x[i...])", "inverse sine");
UNARY(Acos, "float", "acos(x[i...])", "inverse cosine");
UNARY(Atan, "float", "atan(x[i...])", "inverse tangent");
UNARY(Sinh, "float", "sinh(x[i...])", "hyperbolic sine");
UNARY(Cosh, "float", "cosh(x[i...])", "hyperbolic cosine");
UNARY(Tanh, "float", "tanh(x[i...])", "hyperbolic tangent");
UNARY(Asinh, "float", "asinh(x[i...])", "inverse hyperbolic sine");
UNARY(Acosh, "float", "acosh(x[i...])", "inverse hyperbolic cosine");
UNARY(Atanh, "float", "atanh(x[i...])", "inverse hyperbolic tangent");
UNARY(Erf, "float", "erf(x[i...])", "error function");

#define BINARY(name, classes, flags, expression, summary)                             \
  OPS_DEFINE(name, flags, summary,                                                    \
             "(a: T[bcast D...], b: T[bcast D...]) -> (y: T[D...]) where T: " classes \
             "\ny[i...] = " expression,                                               \
             0, 0, 0)

BINARY(Add, "numeric", TRIVET_OPERATOR_COMMUTATIVE, "a[i...] + b[i...]", "sum of two operands");
BINARY(Sub, "numeric", 0, "a[i...] - b[i...]", "difference");
BINARY(Mul, "numeric", TRIVET_OPERATOR_COMMUTATIVE, "a[i...] * b[i...]", "product of two operands");
BINARY(Div, "numeric", 0, "a[i...] / b[i...]", "quotient; integers truncate towards zero");

static trivet_status_t lower_mod(ops_op_t* op, ops_view_t* v) {
  (void)op;
  return TRIVET_VIEW_EMIT(v, "y[i...] = %s(a[i...], b[i...])", ops_attr(v, "fmod") ? "rem" : "mod");
}
OPS_DEFINE(
    Mod, 0, "remainder, with the sign of the divisor or (fmod) of the dividend",
    "(a: T[bcast D...], b: T[bcast D...]) -> (y: T[D...]) where T: numeric\nattr fmod: i64 = 0", 0,
    lower_mod, 0);

static trivet_status_t lower_pow(ops_op_t* op, ops_view_t* v) {
  (void)op;
  uint32_t base = ops_in(v, 0)->dtype, exponent = ops_in(v, 1)->dtype;
  if (ops_is_float(base)) {
    const char* acc = tvi_ops_dtype_name(ops_acc(base));
    if (base == exponent) return TRIVET_VIEW_EMIT(v, "y[i...] = pow(x[i...], e[i...])");
    return TRIVET_VIEW_EMIT(v, "y[i...] = T(pow(%s(x[i...]), %s(e[i...])))", acc, acc);
  }
  // Integers go through f64, whose power is exact up to rounding; a fractional exponent truncates
  // like a cast.
  if (ops_is_float(exponent))
    return TRIVET_VIEW_EMIT(v, "y[i...] = T(pow(f64(x[i...]), f64(e[i...])))");
  return TRIVET_VIEW_EMIT(v, "y[i...] = T(round(pow(f64(x[i...]), f64(e[i...]))))");
}
OPS_DEFINE(Pow, 0, "x to the power e, in the type of x",
           "(x: T[bcast D...], e: E[bcast D...]) -> (y: T[D...]) where T: numeric, E: numeric", 0,
           lower_pow, 0);

// Variadic operators: one nested expression over broadcast loads.
static trivet_status_t infer_variadic(ops_op_t* op, ops_view_t* v) {
  (void)op;
  trivet_dim_t dims[TRIVET_MAX_RANK];
  uint32_t rank = 0, count = trivet_view_input_count(v);
  if (!count) return OPS_INVALID(v, "at least one operand is needed");
  for (uint32_t i = 0; i < count; ++i) OPS_TRY(tvi_ops_broadcast(v, ops_in(v, i), dims, &rank));
  return trivet_view_set_output(v, 0, ops_in(v, 0)->dtype, rank, dims);
}

static trivet_status_t lower_variadic(ops_view_t* v, const char* function, uint32_t mean) {
  ops_text_t t = {v, 0};
  const trivet_type_t* out = ops_out(v, 0);
  uint32_t count = trivet_view_input_count(v);
  tvi_ops_put_lhs(&t, "y", "i", out->rank);
  PUT(" = %s", mean ? "(" : "");
  for (uint32_t i = 0; function && i + 1 < count; ++i) PUT("%s(", function);
  for (uint32_t i = 0; i < count; ++i) {
    char name[24];
    snprintf(name, sizeof name, "x:%u", i);
    if (i) PUT(function ? ", " : " + ");
    tvi_ops_put_broadcast_load(&t, name, "i", ops_in(v, i), out);
    if (i && function) PUT(")");
  }
  if (mean) PUT(") / %u.0", count);
  return tvi_ops_text_end(&t);
}
static trivet_status_t lower_max(ops_op_t* op, ops_view_t* v) {
  return (void)op, lower_variadic(v, "max", 0);
}
static trivet_status_t lower_min(ops_op_t* op, ops_view_t* v) {
  return (void)op, lower_variadic(v, "min", 0);
}
static trivet_status_t lower_sum(ops_op_t* op, ops_view_t* v) {
  return (void)op, lower_variadic(v, 0, 0);
}
static trivet_status_t lower_mean(ops_op_t* op, ops_view_t* v) {
  return (void)op, lower_variadic(v, 0, 1);
}

#define VARIADIC(name, classes, lower, summary)                                               \
  OPS_DEFINE(name, 0, summary, "(x...: T[*]) -> (y: T[*]) where T: " classes, infer_variadic, \
             lower, 0)
VARIADIC(Max, "numeric", lower_max, "largest of the operands, element by element");
VARIADIC(Min, "numeric", lower_min, "smallest of the operands, element by element");
VARIADIC(Sum, "float", lower_sum, "sum of the operands, element by element");
VARIADIC(Mean, "float", lower_mean, "mean of the operands, element by element");

OPS_TEXT(Clip, "x limited to [lo, hi]",
         "(x: T[D...], lo?: T[], hi?: T[]) -> (y: T[D...]) where T: numeric\n"
         "let low[i: D...] = select(has(lo), max(x[i...], lo[]), x[i...])\n"
         "y[i...] = select(has(hi), min(low[i...], hi[]), low[i...])");
