// SPDX-License-Identifier: Apache-2.0
//
// Matrix products: MatMul, Gemm, Einsum and the integer and quantised forms. Each is one sum over a
// product of two affine loads, which the recogniser of contractions matches to library kernels,
// followed by what the operator adds.
#include <stdio.h>

#include "plugins/ops_standard/ops_util.h"

// The shape rule of a matrix product with broadcast batch dimensions; operands of rank 1 are a row
// or a column that vanishes.
static trivet_status_t matmul_type(ops_view_t* v, const trivet_type_t* a, const trivet_type_t* b,
                                   trivet_type_t* y) {
  if (!a->rank || !b->rank)
    return OPS_INVALID(v, "a matrix product needs operands of rank 1 or more");
  trivet_dim_t ka = a->dims[a->rank - 1], kb = b->dims[b->rank > 1 ? b->rank - 2 : 0];
  int64_t x, z;
  if (trivet_view_dim_value(v, ka, &x) && trivet_view_dim_value(v, kb, &z) && x != z)
    return OPS_INVALID(v, "the inner extents of a matrix product are %lld and %lld", (long long)x,
                       (long long)z);
  trivet_type_t batch_a = *a, batch_b = *b;
  batch_a.rank = a->rank > 2 ? a->rank - 2 : 0;
  batch_b.rank = b->rank > 2 ? b->rank - 2 : 0;
  y->rank = batch_a.rank;
  memcpy(y->dims, batch_a.dims, sizeof y->dims);
  OPS_TRY(tvi_ops_broadcast(v, &batch_b, y->dims, &y->rank));
  if (a->rank > 1) y->dims[y->rank++] = a->dims[a->rank - 2];
  if (b->rank > 1) y->dims[y->rank++] = b->dims[b->rank - 1];
  return 0;
}

// "name[batch..., row, column]" where the batch indices are those of the result.
static void put_matmul_load(ops_text_t* t, const char* name, const trivet_type_t* x,
                            const trivet_type_t* y, uint32_t batch_rank, const char* row,
                            const char* column) {
  tvi_ops_put(t, "%s[", name);
  uint32_t batch = x->rank > 2 ? x->rank - 2 : 0, shift = batch_rank - batch;
  for (uint32_t i = 0; i < batch; ++i) {
    trivet_dim_t d = x->dims[i];
    if (d == y->dims[i + shift]) {
      tvi_ops_put(t, "i%u, ", i + shift);
    } else if (ops_is(t->view, d, 1)) {
      tvi_ops_put(t, "0, ");
    } else {
      int64_t known;
      uint32_t fixed = trivet_view_dim_value(t->view, d, &known);
      tvi_ops_put(t, fixed ? "i%u, " : "i%u %% %s, ", i + shift,
                  fixed ? "" : tvi_ops_dim_text(t, d));
    }
  }
  tvi_ops_put(t, row && column ? "%s, %s]" : "%s]", row ? row : column, column);
}

// sum over k of a * b for operands |a_input| and |b_input|. |wide|: the loads are cast to it and
// |a_zero| and |b_zero| subtracted unless they are empty; NULL: nothing of that.
static void put_product(ops_text_t* t, uint32_t a_input, uint32_t b_input, const char* a_zero,
                        const char* b_zero, const char* wide) {
  ops_view_t* v = t->view;
  const trivet_type_t *y = ops_out(v, 0), *a = ops_in(v, a_input), *b = ops_in(v, b_input);
  uint32_t batch_rank = y->rank - (a->rank > 1) - (b->rank > 1);
  char index[16];
  tvi_ops_put(t, "sum(k: %s){ ", tvi_ops_dim_text(t, a->dims[a->rank - 1]));
  for (uint32_t side = 0; side < 2; ++side) {
    const char* zero = wide ? side ? b_zero : a_zero : "";
    tvi_ops_put(t, "%s%s%s%s", side ? " * " : "", *zero ? "(" : "", wide ? wide : "",
                wide ? "(" : "");
    snprintf(index, sizeof index, "i%u", side ? y->rank - 1 : batch_rank);
    if (side) {
      put_matmul_load(t, "b", b, y, batch_rank, "k", b->rank > 1 ? index : 0);
    } else {
      put_matmul_load(t, "a", a, y, batch_rank, a->rank > 1 ? index : 0, "k");
    }
    tvi_ops_put(t, "%s", wide ? ")" : "");
    if (*zero) tvi_ops_put(t, " - %s)", zero);
  }
  tvi_ops_put(t, " }");
}

static trivet_status_t infer_matmul(ops_op_t* op, ops_view_t* v) {
  (void)op;
  trivet_type_t y;
  OPS_TRY(matmul_type(v, ops_in(v, 0), ops_in(v, 1), &y));
  return trivet_view_set_output(v, 0, ops_in(v, 0)->dtype, y.rank, y.dims);
}
static trivet_status_t lower_matmul(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  tvi_ops_put_lhs(&t, "y", "i", ops_out(v, 0)->rank);
  PUT(" = ");
  put_product(&t, 0, 1, 0, 0, 0);
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(MatMul, 0, "matrix product, batch dimensions broadcast",
           "(a: T[*], b: T[*]) -> (y: T[*]) where T: numeric", infer_matmul, lower_matmul, 0);

static trivet_status_t infer_gemm(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t *a = ops_in(v, 0), *b = ops_in(v, 1), *c = ops_in(v, 2);
  if (a->rank != 2 || b->rank != 2)
    return OPS_INVALID(v, "a and b have ranks %u and %u where 2 is needed", a->rank, b->rank);
  uint32_t ta = ops_attr(v, "transA") != 0, tb = ops_attr(v, "transB") != 0;
  int64_t x, z;
  if (trivet_view_dim_value(v, a->dims[!ta], &x) && trivet_view_dim_value(v, b->dims[tb], &z) &&
      x != z)
    return OPS_INVALID(v, "the inner extents of a matrix product are %lld and %lld", (long long)x,
                       (long long)z);
  trivet_dim_t dims[2] = {a->dims[ta], b->dims[!tb]};
  if (c) {
    trivet_dim_t all[TRIVET_MAX_RANK] = {dims[0], dims[1]};
    uint32_t rank = 2;
    OPS_TRY(tvi_ops_broadcast(v, c, all, &rank));
    if (rank != 2) return OPS_INVALID(v, "c has rank %u where at most 2 is possible", c->rank);
  }
  return trivet_view_set_output(v, 0, a->dtype, 2, dims);
}
// Appends " * <value>" in the type of the sum, unless it is 1.
static void put_scale(ops_text_t* t, double scale, uint32_t dtype) {
  if (scale == 1.0) return;
  if (!ops_is_float(dtype)) {
    tvi_ops_put(t, " * %lld", (long long)scale);
    return;
  }
  tvi_ops_put(t, " * ");
  tvi_ops_put_float(t, scale);
}
static trivet_status_t lower_gemm(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *a = ops_in(v, 0), *c = ops_in(v, 2);
  uint32_t ta = ops_attr(v, "transA") != 0, tb = ops_attr(v, "transB") != 0;
  double beta = ops_attr_f(v, "beta");
  PUT("y[i0, i1] = sum(k: %s){ %s * %s }", DIM(a->dims[!ta]), ta ? "a[k, i0]" : "a[i0, k]",
      tb ? "b[i1, k]" : "b[k, i1]");
  put_scale(&t, ops_attr_f(v, "alpha"), a->dtype);
  if (c && beta != 0.0) {
    PUT(" + ");
    tvi_ops_put_broadcast_load(&t, "c", "i", c, ops_out(v, 0));
    put_scale(&t, beta, a->dtype);
  }
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(
    Gemm, 0, "alpha * a * b + beta * c, either matrix transposed",
    "(a: T[*], b: T[*], c?: T[*]) -> (y: T[*]) where T: numeric\n"
    "attr alpha: f32 = 1.0\nattr beta: f32 = 1.0\nattr transA: i64 = 0\nattr transB: i64 = 0",
    infer_gemm, lower_gemm, 0);

// Text of a scale or zero point, as the type |wide|, for an element of the result: one for all, one
// for each row (or column) of its matrix, whose index of the result is |axis|, or one per row and
// batch entry, [..., M, 1]. |axis| is -1 where the matrix has none. Absent: an empty text.
static trivet_status_t put_parameter(const ops_view_t* v, uint32_t input, const char* wide,
                                     const char* name, int64_t axis, char* buffer, size_t size) {
  const trivet_type_t *x = ops_in(v, input), *y = ops_out(v, 0);
  *buffer = 0;
  if (!x) return 0;
  size_t n = (size_t)snprintf(buffer, size, "%s(%s[", wide, name);
  for (uint32_t i = 0; i < x->rank; ++i) {
    int64_t at = i + 2 < x->rank ? (int64_t)y->rank - x->rank + i : axis;
    uint32_t single = ops_is(v, x->dims[i], 1);
    if (!single && at < 0) return OPS_INVALID(v, "%s does not fit the matrices", name);
    n += (size_t)snprintf(buffer + n, size - n, single ? "%s0" : "%si%lld", i ? ", " : "",
                          (long long)at);
  }
  snprintf(buffer + n, size - n, "])");
  return 0;
}
// Indices of the result that are row and column of its matrices; -1: none.
static void matmul_axes(const trivet_type_t* a, const trivet_type_t* b, const trivet_type_t* y,
                        int64_t* out_row, int64_t* out_column) {
  *out_row = a->rank > 1 ? (int64_t)y->rank - 1 - (b->rank > 1) : -1;
  *out_column = b->rank > 1 ? (int64_t)y->rank - 1 : -1;
}
static trivet_status_t infer_matmul_integer(ops_op_t* op, ops_view_t* v) {
  (void)op;
  trivet_type_t y;
  OPS_TRY(matmul_type(v, ops_in(v, 0), ops_in(v, 1), &y));
  return trivet_view_set_output(v, 0, TRIVET_DTYPE_I32, y.rank, y.dims);
}
static trivet_status_t lower_matmul_integer(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  char a_zero[256], b_zero[256];
  int64_t row, column;
  matmul_axes(ops_in(v, 0), ops_in(v, 1), ops_out(v, 0), &row, &column);
  OPS_TRY(put_parameter(v, 2, "i32", "a_zero", row, a_zero, sizeof a_zero));
  OPS_TRY(put_parameter(v, 3, "i32", "b_zero", column, b_zero, sizeof b_zero));
  tvi_ops_put_lhs(&t, "y", "i", ops_out(v, 0)->rank);
  PUT(" = ");
  put_product(&t, 0, 1, a_zero, b_zero, "i32");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(MatMulInteger, 0, "matrix product of 8-bit integers with zero points, in i32",
           "(a: A[*], b: B[*], a_zero?: A[*], b_zero?: B[*]) -> (y: i32[*]) where A: {i8, u8}, B: "
           "{i8, u8}",
           infer_matmul_integer, lower_matmul_integer, 0);

static trivet_status_t infer_qlinear_matmul(ops_op_t* op, ops_view_t* v) {
  (void)op;
  trivet_type_t y;
  OPS_TRY(matmul_type(v, ops_in(v, 0), ops_in(v, 3), &y));
  return trivet_view_set_output(v, 0, ops_in(v, 7)->dtype, y.rank, y.dims);
}
static trivet_status_t lower_qlinear_matmul(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *y = ops_out(v, 0), *a = ops_in(v, 0), *b = ops_in(v, 3);
  const char* wide = ops_is_small_float(a->dtype) || ops_is_small_float(b->dtype) ? "f32" : "i32";
  char a_zero[256], b_zero[256], a_scale[256], b_scale[256], y_scale[256], y_zero[256];
  int64_t row, column;
  matmul_axes(a, b, y, &row, &column);
  OPS_TRY(put_parameter(v, 1, "f32", "a_scale", row, a_scale, sizeof a_scale));
  OPS_TRY(put_parameter(v, 2, wide, "a_zero", row, a_zero, sizeof a_zero));
  OPS_TRY(put_parameter(v, 4, "f32", "b_scale", column, b_scale, sizeof b_scale));
  OPS_TRY(put_parameter(v, 5, wide, "b_zero", column, b_zero, sizeof b_zero));
  OPS_TRY(put_parameter(v, 6, "f32", "y_scale", row, y_scale, sizeof y_scale));
  OPS_TRY(put_parameter(v, 7, "f32", "y_zero", row, y_zero, sizeof y_zero));
  tvi_ops_put_lhs(&t, "y", "i", y->rank);
  uint32_t integer = !ops_is_small_float(y->dtype);
  PUT(" = sat(%s, %sf32(", tvi_ops_dtype_name(y->dtype), integer ? "round(" : "(");
  put_product(&t, 0, 3, a_zero, b_zero, wide);
  PUT(") * (%s * %s / %s)) + %s)", a_scale, b_scale, y_scale, y_zero);
  return tvi_ops_text_end(&t);
}
#define QUANTISED "{i8, u8, f8e4m3fn, f8e4m3fnuz, f8e5m2, f8e5m2fnuz}"
OPS_DEFINE(QLinearMatMul, 0, "matrix product of quantised operands, quantised again",
           "(a: A[*], a_scale: S[*], a_zero: A[*], b: B[*], b_scale: S[*], b_zero: B[*], y_scale: "
           "S[*], y_zero: Y[*]) -> (y: Y[*]) "
           "where A: " QUANTISED ", B: " QUANTISED ", Y: " QUANTISED ", S: float",
           infer_qlinear_matmul, lower_qlinear_matmul, 0);
