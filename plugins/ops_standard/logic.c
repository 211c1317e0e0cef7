// SPDX-License-Identifier: Apache-2.0
//
// Elementwise logic: comparisons, boolean and bitwise operators, shifts, classification of floats,
// selection.
#include "plugins/ops_standard/ops_util.h"

#define COMPARE(name, classes, flags, operator_text, summary)                            \
  OPS_DEFINE(name, flags, summary,                                                       \
             "(a: T[bcast D...], b: T[bcast D...]) -> (y: bool[D...]) where T: " classes \
             "\ny[i...] = a[i...] " operator_text " b[i...]",                            \
             0, 0, 0)
COMPARE(Equal, "any", TRIVET_OPERATOR_COMMUTATIVE, "==", "a == b");
COMPARE(Less, "numeric", 0, "<", "a < b");
COMPARE(LessOrEqual, "numeric", 0, "<=", "a <= b");
COMPARE(Greater, "numeric", 0, ">", "a > b");
COMPARE(GreaterOrEqual, "numeric", 0, ">=", "a >= b");
COMPARE(And, "bool", TRIVET_OPERATOR_COMMUTATIVE, "&&", "a and b");
COMPARE(Or, "bool", TRIVET_OPERATOR_COMMUTATIVE, "||", "a or b");
COMPARE(Xor, "bool", TRIVET_OPERATOR_COMMUTATIVE, "!=", "either a or b");
OPS_TEXT(Not, "logical negation", "(x: bool[D...]) -> (y: bool[D...])\ny[i...] = !x[i...]");

#define BITWISE(name, operator_text, summary)                                                    \
  OPS_DEFINE(name, TRIVET_OPERATOR_COMMUTATIVE, summary,                                         \
             "(a: T[bcast D...], b: T[bcast D...]) -> (y: T[D...]) where T: integer\ny[i...] = " \
             "a[i...] " operator_text " b[i...]",                                                \
             0, 0, 0)
BITWISE(BitwiseAnd, "&", "bitwise and");
BITWISE(BitwiseOr, "|", "bitwise or");
BITWISE(BitwiseXor, "^", "bitwise exclusive or");
OPS_TEXT(BitwiseNot, "bitwise complement",
         "(x: T[D...]) -> (y: T[D...]) where T: integer\ny[i...] = ~x[i...]");

static trivet_status_t lower_bit_shift(ops_op_t* op, ops_view_t* v) {
  (void)op;
  uint32_t left = ops_attr_is(v, "direction", "LEFT");
  if (!left && !ops_attr_is(v, "direction", "RIGHT"))
    return OPS_INVALID(v, "attribute direction must be LEFT or RIGHT");
  uint32_t dtype = ops_in(v, 0)->dtype;
  // The language shifts zeros in at the width; signed numbers fill with their sign.
  if (left || ops_is_unsigned(dtype))
    return TRIVET_VIEW_EMIT(v, "y[i...] = a[i...] %s b[i...]", left ? "<<" : ">>");
  return TRIVET_VIEW_EMIT(
      v, "y[i...] = b[i...] < 0 || b[i...] >= %u ? (a[i...] < 0 ? -1 : 0) : a[i...] >> b[i...]",
      8 * (dtype == TRIVET_DTYPE_I8    ? 1
           : dtype == TRIVET_DTYPE_I16 ? 2
           : dtype == TRIVET_DTYPE_I32 ? 4
                                       : 8));
}
OPS_DEFINE(
    BitShift, 0, "shift of a by b bits, left or right",
    "(a: T[bcast D...], b: T[bcast D...]) -> (y: T[D...]) where T: integer\nattr direction: string",
    0, lower_bit_shift, 0);

OPS_TEXT(IsNaN, "whether x is not a number",
         "(x: T[D...]) -> (y: bool[D...]) where T: {f16, bf16, f32, f64, f8e4m3fn, f8e4m3fnuz, "
         "f8e5m2, f8e5m2fnuz}\n"
         "y[i...] = isnan(x[i...])");
OPS_TEXT(
    IsInf, "whether x is infinite, of either or of one sign",
    "(x: T[D...]) -> (y: bool[D...]) where T: {f16, bf16, f32, f64, f8e4m3fn, f8e4m3fnuz, f8e5m2, "
    "f8e5m2fnuz}\n"
    "attr detect_negative: i64 = 1\nattr detect_positive: i64 = 1\n"
    "y[i...] = isinf(x[i...]) && (x[i...] > 0.0 ? detect_positive != 0 : detect_negative != 0)");

OPS_TEXT(Where, "a where the condition holds, else b",
         "(condition: bool[bcast D...], a: T[bcast D...], b: T[bcast D...]) -> (y: T[D...]) where "
         "T: any\n"
         "y[i...] = condition[i...] ? a[i...] : b[i...]");
