// SPDX-License-Identifier: Apache-2.0
//
// Operators that make a tensor from little: ranges, constants of a shape, unit matrices, one-hot
// vectors, window functions.
#include <math.h>
#include <stdio.h>

#include "plugins/ops_standard/ops_host.h"

static trivet_status_t infer_range(ops_op_t* op, ops_view_t* v) {
  (void)op;
  uint32_t dtype = ops_in(v, 0)->dtype;
  trivet_dim_t extent = 0;
  static const char* const kNames[] = {"start", "limit", "delta"};
  for (uint32_t i = 0; i < 3; ++i) OPS_TRY(tvi_ops_single(v, i, kNames[i]));
  if (ops_is_float(dtype)) {
    double value[3];
    for (uint32_t i = 0; i < 3; ++i) {
      const trivet_tensor_t* constant = trivet_view_input_constant(v, i);
      if (!constant)
        return OPS_UNSUPPORTED(v,
                               "a range of floats needs a start, limit and delta that are known "
                               "when the plan is built");
      value[i] = tvi_ops_get_f64(constant, 0);
    }
    double count = ceil((value[1] - value[0]) / value[2]);
    if (!(count < 9e15))
      return OPS_INVALID(v, "a range from %g to %g by %g has no end", value[0], value[1], value[2]);
    extent = ops_const(v, count > 0 ? (int64_t)count : 0);
    return trivet_view_set_output(v, 0, dtype, 1, &extent);
  }
  trivet_dim_t value[3];
  for (uint32_t i = 0; i < 3; ++i) {
    uint64_t count;
    const trivet_dim_t* ints;
    OPS_TRY(tvi_ops_symbolic_ints(v, i, kNames[i], &ints, &count));
    if (count != 1) return OPS_INVALID(v, "%s must hold one number", kNames[i]);
    value[i] = ints[0];
  }
  int64_t delta;
  if (!trivet_view_dim_value(v, value[2], &delta))
    return OPS_UNSUPPORTED(v, "delta must be a number that is known when the plan is built");
  if (delta == 0 || delta == INT64_MIN) return OPS_INVALID(v, "delta is %lld", (long long)delta);
  trivet_dim_t length = delta > 0 ? ops_sub(v, value[1], value[0]) : ops_sub(v, value[0], value[1]);
  extent =
      ops_max(v, ops_const(v, 0), ops_ceildiv(v, length, ops_const(v, delta > 0 ? delta : -delta)));
  return trivet_view_set_output(v, 0, dtype, 1, &extent);
}
static trivet_status_t lower_range(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  uint32_t dtype = ops_in(v, 0)->dtype;
  const char* acc = tvi_ops_dtype_name(ops_acc(dtype));
  const char* at[3];
  for (uint32_t i = 0; i < 3; ++i) at[i] = ops_in(v, i)->rank ? "[0]" : "[]";
  if (ops_acc(dtype) == dtype) {
    PUT("y[i] = start%s + T(i) * delta%s", at[0], at[2]);
  } else {
    PUT("y[i] = T(%s(start%s) + %s(i) * %s(delta%s))", acc, at[0], acc, acc, at[2]);
  }
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Range, 0, "numbers from start to below limit by delta",
           "(start: T[*], limit: T[*], delta: T[*]) -> (y: T[*]) where T: numeric\nattr "
           "stash_type: dtype = f32",
           infer_range, lower_range, 0);

static const trivet_tensor_t* shape_value(ops_view_t* v) {
  const trivet_attribute_t* a = trivet_view_attribute(v, "value");
  return a && a->kind == TRIVET_ATTR_TENSOR && a->count ? (const trivet_tensor_t*)a->data : 0;
}
static trivet_status_t infer_constant_of_shape(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_dim_t* shape;
  uint64_t count;
  const trivet_tensor_t* value = shape_value(v);
  OPS_TRY(tvi_ops_symbolic_ints(v, 0, "shape", &shape, &count));
  if (count > TRIVET_MAX_RANK)
    return OPS_INVALID(v, "shape has %llu elements; at most %u are possible",
                       (unsigned long long)count, TRIVET_MAX_RANK);
  if (value && tvi_ops_count(value) != 1)
    return OPS_INVALID(v, "attribute value must hold one element");
  return trivet_view_set_output(v, 0, value ? value->dtype : TRIVET_DTYPE_F32, (uint32_t)count,
                                shape);
}
static trivet_status_t lower_constant_of_shape(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_tensor_t* value = shape_value(v);
  const char* type = tvi_ops_dtype_name(value ? value->dtype : TRIVET_DTYPE_F32);
  tvi_ops_put_lhs(&t, "y", "i", ops_out(v, 0)->rank);
  if (!value) {
    PUT(" = 0.0");
  } else if (value->dtype == TRIVET_DTYPE_BOOL) {
    PUT(" = %s", tvi_ops_get_i64(value, 0) ? "true" : "false");
  } else if (ops_is_float(value->dtype) || ops_is_small_float(value->dtype)) {
    PUT(" = %s(", type);
    tvi_ops_put_float(&t, tvi_ops_get_f64(value, 0));
    PUT(")");
  } else {
    int64_t number = tvi_ops_get_i64(value, 0);
    PUT(" = %s(", type);
    if (number == INT64_MIN) {
      PUT("-9223372036854775807 - 1");
    } else {
      PUT("%lld", (long long)number);
    }
    PUT(")");
  }
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(ConstantOfShape, 0, "one value in a given shape",
           "(shape: i64[N]) -> (y: T[*]) where T: any\nattr value?: tensor",
           infer_constant_of_shape, lower_constant_of_shape, 0);

static trivet_status_t infer_eye_like(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  if (x->rank != 2) return OPS_INVALID(v, "the operand has rank %u where 2 is needed", x->rank);
  return trivet_view_set_output(v, 0, trivet_view_attr_dtype(v, "dtype", x->dtype), 2, x->dims);
}
static trivet_status_t lower_eye_like(ops_op_t* op, ops_view_t* v) {
  (void)op;
  return TRIVET_VIEW_EMIT(v, "y[i, j] = %s(j - i == k)", tvi_ops_dtype_name(ops_out(v, 0)->dtype));
}
OPS_DEFINE(EyeLike, 0, "ones on a diagonal, zeros elsewhere",
           "(x: S[*]) -> (y: T[*]) where S: any, T: any\nattr dtype?: dtype\nattr k: i64 = 0",
           infer_eye_like, lower_eye_like, 0);

static trivet_status_t infer_one_hot(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t *indices = ops_in(v, 0), *values = ops_in(v, 2);
  uint64_t count;
  const trivet_dim_t* ints = trivet_view_input_ints(v, 1, &count);
  const trivet_tensor_t* constant = trivet_view_input_constant(v, 1);
  trivet_dim_t depth;
  if (ints && count == 1) {
    depth = ints[0];
  } else if (constant && tvi_ops_count(constant) == 1) {
    depth = ops_const(v, tvi_ops_get_i64(constant, 0));
  } else {
    return OPS_UNSUPPORTED(v, "depth must hold one number that is known when the plan is built");
  }
  uint32_t axis, rank = indices->rank + 1;
  if (rank > TRIVET_MAX_RANK) return OPS_INVALID(v, "the result would have rank %u", rank);
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), rank, &axis));
  trivet_dim_t dims[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < rank; ++i) dims[i] = i == axis ? depth : indices->dims[i - (i > axis)];
  return trivet_view_set_output(v, 0, values->dtype, rank, dims);
}
static trivet_status_t lower_one_hot(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t* y = ops_out(v, 0);
  uint32_t axis;
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), y->rank, &axis));
  char at[256] = "";
  size_t n = 0;
  for (uint32_t i = 0; i < y->rank; ++i) {
    if (i == axis) continue;
    n += (size_t)snprintf(at + n, sizeof at - n, n ? ", i%u" : "i%u", i);
  }
  tvi_ops_put_lhs(&t, "y", "i", y->rank);
  // A negative index counts from the end; one that is out of range matches nothing.
  PUT(" = i%u == (i64(indices[%s]) < 0 ? i64(indices[%s]) + %s : i64(indices[%s])) ? values[1] : "
      "values[0]",
      axis, at, at, DIM(y->dims[axis]), at);
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(OneHot, 0, "values[1] at the index along a new axis, values[0] elsewhere",
           "(indices: I[*], depth: E[*], values: T[N]) -> (y: T[*]) where I: numeric, E: numeric, "
           "T: any\nattr axis: i64 = -1",
           infer_one_hot, lower_one_hot, 0);

static trivet_status_t infer_window(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_dim_t* size;
  uint64_t count;
  OPS_TRY(tvi_ops_symbolic_ints(v, 0, "size", &size, &count));
  if (count != 1) return OPS_INVALID(v, "size must hold one number");
  return trivet_view_set_output(
      v, 0, trivet_view_attr_dtype(v, "output_datatype", TRIVET_DTYPE_F32), 1, size);
}
// a - b cos(2 pi i / n) + c cos(4 pi i / n), where n is the size, or one less for a symmetric
// window.
static trivet_status_t lower_window(ops_view_t* v, const char* a, const char* b, const char* c) {
  ops_text_t t = {v, 0};
  const trivet_type_t* y = ops_out(v, 0);
  const char* acc = y->dtype == TRIVET_DTYPE_F64 ? "f64" : "f32";
  const char* n = DIM(ops_attr(v, "periodic") ? y->dims[0] : ops_add_i(v, y->dims[0], -1));
  PUT("y[i] = %s(%s - %s * cos(6.28318530717958648 * %s(i) / %s(%s))", tvi_ops_dtype_name(y->dtype),
      a, b, acc, acc, n);
  if (c) PUT(" + %s * cos(12.5663706143591730 * %s(i) / %s(%s))", c, acc, acc, n);
  PUT(")");
  return tvi_ops_text_end(&t);
}
#define WINDOW(name, a, b, c, summary)                                     \
  static trivet_status_t lower_##name(ops_op_t* op, ops_view_t* v) {       \
    return (void)op, lower_window(v, a, b, c);                             \
  }                                                                        \
  OPS_DEFINE(name, 0, summary,                                             \
             "(size: I[*]) -> (y: T[*]) where I: {i32, i64}, T: numeric\n" \
             "attr periodic: i64 = 1\nattr output_datatype: dtype = f32",  \
             infer_window, lower_##name, 0)
WINDOW(HannWindow, "0.5", "0.5", 0, "Hann window");
WINDOW(HammingWindow, "0.54347826086956522", "0.45652173913043478", 0, "Hamming window");
WINDOW(BlackmanWindow, "0.42", "0.5", "0.08", "Blackman window");
