// SPDX-License-Identifier: Apache-2.0
//
// Quantisation: QuantizeLinear and DequantizeLinear per tensor, per axis and per block, and
// DynamicQuantizeLinear.
#include <stdio.h>

#include "plugins/ops_standard/ops_util.h"

// "name[...]": the scale or zero point that belongs to the element at i0, i1, ...
static trivet_status_t put_parameter(ops_text_t* t, const char* name, uint32_t input) {
  ops_view_t* v = t->view;
  const trivet_type_t *x = ops_in(v, 0), *s = ops_in(v, input);
  uint32_t axis = 0;
  int64_t block = ops_attr(v, "block_size");
  if (!s->rank) {
    tvi_ops_put(t, "%s[]", name);
    return 0;
  }
  if (s->rank == 1 && ops_is(v, s->dims[0], 1)) {
    tvi_ops_put(t, "%s[0]", name);
    return 0;
  }
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), x->rank, &axis));
  if (s->rank == 1 && !block) {
    tvi_ops_put(t, "%s[i%u]", name, axis);
    return 0;
  }
  if (s->rank != x->rank)
    return OPS_INVALID(v, "%s has rank %u; 0, 1 or %u is possible", name, s->rank, x->rank);
  if (block < 1) return OPS_INVALID(v, "attribute block_size is %lld", (long long)block);
  tvi_ops_put(t, "%s[", name);
  for (uint32_t i = 0; i < x->rank; ++i) {
    if (i) tvi_ops_put(t, ", ");
    if (i == axis) {
      tvi_ops_put(t, "floordiv(i%u, %lld)", i, (long long)block);
    } else {
      tvi_ops_put(t, "i%u", i);
    }
  }
  tvi_ops_put(t, "]");
  return 0;
}

static trivet_status_t infer_quantize(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t *x = ops_in(v, 0), *zero = ops_in(v, 2);
  uint32_t dtype = zero ? zero->dtype : trivet_view_attr_dtype(v, "output_dtype", TRIVET_DTYPE_U8);
  if (zero && trivet_view_attr_dtype(v, "output_dtype", dtype) != dtype)
    return OPS_INVALID(v, "attribute output_dtype differs from the type of the zero point");
  return trivet_view_set_output(v, 0, dtype, x->rank, x->dims);
}
static trivet_status_t lower_quantize(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *x = ops_in(v, 0), *zero = ops_in(v, 2), *y = ops_out(v, 0);
  // The type of the division: rounded to it if it is narrower than f32.
  uint32_t scale = ops_in(v, 1)->dtype;
  uint32_t division =
      trivet_view_attr_dtype(v, "precision", ops_is_float(scale) ? scale : TRIVET_DTYPE_F32);
  if (x->dtype == TRIVET_DTYPE_F32 && !trivet_view_attribute(v, "precision"))
    division = TRIVET_DTYPE_F32;
  if (!ops_is_float(division)) return OPS_INVALID(v, "attribute precision must be a float type");
  const char *type = tvi_ops_dtype_name(y->dtype), *in = tvi_ops_dtype_name(division);
  uint32_t integer = !ops_is_small_float(y->dtype);
  tvi_ops_put_lhs(&t, "y", "i", x->rank);
  uint32_t saturates = integer || (ops_attr(v, "saturate") && y->dtype != TRIVET_DTYPE_F4E2M1);
  PUT(saturates ? " = sat(%s, " : " = %s(", type);
  PUT("%sf32(%s(%s(", integer ? "round(" : "", in, in);
  tvi_ops_put_load(&t, "x", "i", x->rank);
  PUT(") / %s(", in);
  OPS_TRY(put_parameter(&t, "y_scale", 1));
  PUT(")))%s", integer ? ")" : "");
  if (zero && (integer || y->dtype == TRIVET_DTYPE_F4E2M1)) {
    PUT(" + f32(");
    OPS_TRY(put_parameter(&t, "y_zero_point", 2));
    PUT(")");
  }
  PUT(")");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(
    QuantizeLinear, 0, "x / scale + zero point, rounded and saturated",
    "(x: T[*], y_scale: S[*], y_zero_point?: Y[*]) -> (y: Y[*]) where T: {f32, f16, bf16, f64, "
    "i32}, S: {f32, f16, bf16, f64, i32, f8e8m0}, Y: any\n"
    "attr axis: i64 = 1\nattr block_size: i64 = 0\nattr output_dtype?: dtype\nattr precision?: "
    "dtype\nattr saturate: i64 = 1",
    infer_quantize, lower_quantize, 0);

static trivet_status_t infer_dequantize(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t scale = ops_in(v, 1)->dtype;
  return trivet_view_set_output(
      v, 0,
      trivet_view_attr_dtype(v, "output_dtype", ops_is_float(scale) ? scale : TRIVET_DTYPE_F32),
      x->rank, x->dims);
}
static trivet_status_t lower_dequantize(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *x = ops_in(v, 0), *zero = ops_in(v, 2);
  tvi_ops_put_lhs(&t, "y", "i", x->rank);
  PUT(" = %s(%sf32(", tvi_ops_dtype_name(ops_out(v, 0)->dtype), zero ? "(" : "");
  tvi_ops_put_load(&t, "x", "i", x->rank);
  PUT(")");
  if (zero) {
    PUT(" - f32(");
    OPS_TRY(put_parameter(&t, "x_zero_point", 2));
    PUT("))");
  }
  PUT(" * f32(");
  OPS_TRY(put_parameter(&t, "x_scale", 1));
  PUT("))");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(DequantizeLinear, 0, "(x - zero point) * scale",
           "(x: T[*], x_scale: S[*], x_zero_point?: T[*]) -> (y: Y[*]) where T: any, S: {f32, f16, "
           "bf16, f64, f8e8m0}, Y: float\n"
           "attr axis: i64 = 1\nattr block_size: i64 = 0\nattr output_dtype?: dtype",
           infer_dequantize, lower_dequantize, 0);

static trivet_status_t infer_dynamic_quantize(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  OPS_TRY(trivet_view_set_output(v, 0, TRIVET_DTYPE_U8, x->rank, x->dims));
  if (trivet_view_output_count(v) > 1)
    OPS_TRY(trivet_view_set_output(v, 1, TRIVET_DTYPE_F32, 0, 0));
  if (trivet_view_output_count(v) > 2) OPS_TRY(trivet_view_set_output(v, 2, TRIVET_DTYPE_U8, 0, 0));
  return 0;
}
static trivet_status_t lower_dynamic_quantize(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t all = (1u << x->rank) - 1;
  // The range of the values, widened so that it holds 0.
  for (uint32_t high = 0; high < 2; ++high) {
    const char* function = high ? "max" : "min";
    PUT("let %s = %s(0.0, ", high ? "high" : "low", function);
    if (all) PUT("%s(", function), tvi_ops_put_ranges(&t, "r", x->dims, x->rank, all), PUT("){ ");
    tvi_ops_put_load(&t, "x", "r", x->rank);
    PUT(all ? " })\n" : ")\n");
  }
  // A range without extent has every value at its zero point, whatever the scale.
  PUT("let step = high == low ? 1.0 : (high - low) / 255.0\n");
  PUT("let zero = round(min(max(-low / step, 0.0), 255.0))\n");
  tvi_ops_put_lhs(&t, "y", "i", x->rank);
  PUT(" = sat(u8, round(");
  tvi_ops_put_load(&t, "x", "i", x->rank);
  PUT(" / step) + zero)");
  if (ops_out(v, 1)) PUT("\ny_scale = step");
  if (ops_out(v, 2)) PUT("\ny_zero_point = u8(zero)");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(DynamicQuantizeLinear, 0, "quantised to u8 by the range of the values",
           "(x: f32[*]) -> (y: u8[*], y_scale: f32[*], y_zero_point: u8[*])",
           infer_dynamic_quantize, lower_dynamic_quantize, 0);
