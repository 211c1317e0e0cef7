// SPDX-License-Identifier: Apache-2.0
//
// Conversion of element types. The casts of kernel IR are those of the operators except where 8-bit
// floats saturate.
#include "plugins/ops_standard/ops_util.h"

// f8e8m0 is the exponent of an f32 alone: the rounding mode decides what becomes of the mantissa.
static trivet_status_t lower_to_exponent(ops_view_t* v) {
  uint32_t saturates = ops_attr(v, "saturate") != 0,
           nearest = ops_attr_is(v, "round_mode", "nearest");
  const char* carry = "((bits(u32, f32(x[i...])) & 8388607) != 0)";
  if (nearest) {
    // Half way goes to the even exponent: adding the last bit of it to just under a half.
    carry =
        "(((bits(u32, f32(x[i...])) & 8388607) + 4194303 + (bits(u32, f32(x[i...])) >> 23 & 1)) >> "
        "23 != 0)";
  } else if (ops_attr_is(v, "round_mode", "down")) {
    carry = "false";
  } else if (!ops_attr_is(v, "round_mode", "up")) {
    return OPS_INVALID(v, "attribute round_mode must be up, down or nearest");
  }
  // 255 is NaN; 254 the largest power.
  return TRIVET_VIEW_EMIT(
      v,
      "fn code(word: u32, up: bool) -> u32 = (word >> 23 & 255) + u32(up)\n"
      "y[i...] = bits(f8e8m0, u8(isnan(f32(x[i...]))%s ? 255 : min(code(bits(u32, "
      "f32(x[i...])), %s), %d)))",
      saturates ? "" : " || f32(x[i...]) == 0.0", carry, saturates ? 254 : 255);
}

static trivet_status_t lower_to(ops_view_t* v) {
  uint32_t from = ops_in(v, 0)->dtype, to = ops_out(v, 0)->dtype;
  if (from == to) return TRIVET_VIEW_EMIT(v, "y[i...] = x[i...]");
  const char* name = tvi_ops_dtype_name(to);
  if (to == TRIVET_DTYPE_F8E8M0) return lower_to_exponent(v);
  uint32_t real = ops_is_float(from) || ops_is_small_float(from);
  // Packed integers keep the low bits of the truncated number; f4e2m1 has no NaN and gives -0.
  if (real && (to == TRIVET_DTYPE_I4 || to == TRIVET_DTYPE_U4 || to == TRIVET_DTYPE_I2 ||
               to == TRIVET_DTYPE_U2))
    return TRIVET_VIEW_EMIT(v, "y[i...] = %s(i32(x[i...]))", name);
  if (real && to == TRIVET_DTYPE_F4E2M1)
    return TRIVET_VIEW_EMIT(v, "y[i...] = f4e2m1(isnan(x[i...]) ? -0.0 : f32(x[i...]))");
  if (ops_is_small_float(to) && ops_attr(v, "saturate") && to != TRIVET_DTYPE_F4E2M1)
    return TRIVET_VIEW_EMIT(v, "y[i...] = sat(%s, x[i...])", name);
  return TRIVET_VIEW_EMIT(v, "y[i...] = %s(x[i...])", name);
}

static trivet_status_t infer_cast(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  OPS_TRY(
      trivet_view_set_output(v, 0, trivet_view_attr_dtype(v, "to", x->dtype), x->rank, x->dims));
  // Integers that are extents stay extents when they are only widened.
  uint32_t to = trivet_view_attr_dtype(v, "to", x->dtype);
  if (to == TRIVET_DTYPE_I64 || to == TRIVET_DTYPE_I32) {
    uint64_t count;
    const trivet_dim_t* values = trivet_view_input_ints(v, 0, &count);
    if (values && x->dtype != TRIVET_DTYPE_BOOL)
      return v->api->set_output_ints(v, 0, values, count);
  }
  return 0;
}
static trivet_status_t lower_cast(ops_op_t* op, ops_view_t* v) { return (void)op, lower_to(v); }
OPS_DEFINE(Cast, 0, "conversion to another element type",
           "(x: S[D...]) -> (y: T[D...]) where S: any, T: any, T = to\n"
           "attr to: dtype\nattr saturate: i64 = 1\nattr round_mode: string = \"up\"",
           infer_cast, lower_cast, 0);

static trivet_status_t infer_cast_like(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  return trivet_view_set_output(v, 0, ops_in(v, 1)->dtype, x->rank, x->dims);
}
OPS_DEFINE(CastLike, 0, "conversion to the element type of another operand",
           "(x: S[D...], like: T[*]) -> (y: T[D...]) where S: any, T: any\n"
           "attr saturate: i64 = 1\nattr round_mode: string = \"up\"",
           infer_cast_like, lower_cast, 0);

static trivet_status_t infer_bit_cast(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t to = trivet_view_attr_dtype(v, "to", x->dtype);
  if (!tvi_ops_dtype_bits(to) || tvi_ops_dtype_bits(to) != tvi_ops_dtype_bits(x->dtype))
    return OPS_INVALID(v, "%s and %s differ in width", tvi_ops_dtype_name(x->dtype),
                       tvi_ops_dtype_name(to));
  return trivet_view_set_output(v, 0, trivet_view_attr_dtype(v, "to", x->dtype), x->rank, x->dims);
}
static trivet_status_t lower_bit_cast(ops_op_t* op, ops_view_t* v) {
  (void)op;
  uint32_t from = ops_in(v, 0)->dtype, to = ops_out(v, 0)->dtype;
  if (from == to) return TRIVET_VIEW_EMIT(v, "y[i...] = x[i...]");
  if (tvi_ops_dtype_bits(to) % 8) {
    // Packed integers of one width wrap into each other.
    if (from == TRIVET_DTYPE_F4E2M1 || to == TRIVET_DTYPE_F4E2M1)
      return OPS_UNSUPPORTED(v, "the bits of f4e2m1 cannot be taken apart");
    return TRIVET_VIEW_EMIT(v, "y[i...] = %s(x[i...])", tvi_ops_dtype_name(to));
  }
  return TRIVET_VIEW_EMIT(v, "y[i...] = bits(%s, x[i...])", tvi_ops_dtype_name(to));
}
OPS_DEFINE(BitCast, 0, "the same bits as another element type of the same width",
           "(x: S[D...]) -> (y: T[D...]) where S: any, T: any, T = to\nattr to: dtype",
           infer_bit_cast, lower_bit_cast, 0);
