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

// sum over k of a * b for operands |a_input| and |b_input|; |a_zero|, |b_zero| are subtracted where
// they are not NULL (then the loads are widened to i32).
static trivet_status_t put_product(ops_text_t* t, uint32_t a_input, uint32_t b_input,
                                   const char* a_zero, const char* b_zero, uint32_t widen) {
  ops_view_t* v = t->view;
  const trivet_type_t *y = ops_out(v, 0), *a = ops_in(v, a_input), *b = ops_in(v, b_input);
  uint32_t batch_rank = y->rank - (a->rank > 1) - (b->rank > 1);
  char row[16], column[16];
  snprintf(row, sizeof row, "i%u", batch_rank);
  snprintf(column, sizeof column, "i%u", y->rank - 1);
  tvi_ops_put(t, "sum(k: %s){ %s%s", tvi_ops_dim_text(t, a->dims[a->rank - 1]), a_zero ? "(" : "",
              widen ? "i32(" : "");
  put_matmul_load(t, "a", a, y, batch_rank, a->rank > 1 ? row : 0, "k");
  tvi_ops_put(t, "%s", widen ? ")" : "");
  if (a_zero) tvi_ops_put(t, " - %s)", a_zero);
  tvi_ops_put(t, " * %s%s", b_zero ? "(" : "", widen ? "i32(" : "");
  put_matmul_load(t, "b", b, y, batch_rank, "k", b->rank > 1 ? column : 0);
  tvi_ops_put(t, "%s", widen ? ")" : "");
  if (b_zero) tvi_ops_put(t, " - %s)", b_zero);
  tvi_ops_put(t, " }");
  return 0;
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
  OPS_TRY(put_product(&t, 0, 1, 0, 0, 0));
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

// Text of a zero point as an i32 at the row (|index|) of its matrix: one for all, or one for each
// row or column.
static const char* zero_text(const ops_view_t* v, uint32_t input, const char* name,
                             const char* index, char* buffer, size_t size) {
  const trivet_type_t* zero = ops_in(v, input);
  if (!zero) return 0;
  if (!zero->rank) {
    snprintf(buffer, size, "i32(%s[])", name);
  } else if (zero->rank == 1) {
    snprintf(buffer, size, "i32(%s[%s])", name, ops_is(v, zero->dims[0], 1) ? "0" : index);
  } else {
    // [..., M, 1] or [..., 1, N]: the batch dimensions are those of the matrix.
    size_t n = (size_t)snprintf(buffer, size, "i32(%s[", name);
    for (uint32_t i = 0; i + 2 < zero->rank; ++i)
      n += (size_t)snprintf(buffer + n, size - n, ops_is(v, zero->dims[i], 1) ? "0, " : "i%u, ", i);
    snprintf(buffer + n, size - n, "%s, %s])",
             ops_is(v, zero->dims[zero->rank - 2], 1) ? "0" : index,
             ops_is(v, zero->dims[zero->rank - 1], 1) ? "0" : index);
  }
  return buffer;
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
  const trivet_type_t *y = ops_out(v, 0), *b = ops_in(v, 1);
  char a_zero[256], b_zero[256], row[16], column[16];
  snprintf(row, sizeof row, "i%u", y->rank - 1 - (b->rank > 1));
  snprintf(column, sizeof column, "i%u", y->rank - 1);
  tvi_ops_put_lhs(&t, "y", "i", y->rank);
  PUT(" = ");
  OPS_TRY(put_product(&t, 0, 1, zero_text(v, 2, "a_zero", row, a_zero, sizeof a_zero),
                      zero_text(v, 3, "b_zero", column, b_zero, sizeof b_zero), 1));
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
// A scale or zero point read for the result's position: a scalar, one per row of a, or one per
// column of b.
static void scale_text(const ops_view_t* v, uint32_t input, const char* name, const char* index,
                       char* buffer, size_t size) {
  const trivet_type_t* x = ops_in(v, input);
  if (!x->rank) {
    snprintf(buffer, size, "f32(%s[])", name);
    return;
  }
  size_t n = (size_t)snprintf(buffer, size, "f32(%s[", name);
  for (uint32_t i = 0; i < x->rank; ++i) {
    const char* at = ops_is(v, x->dims[i], 1) ? "0" : index;
    char batch[16];
    if (i + 2 < x->rank && at == index) {
      snprintf(batch, sizeof batch, "i%u", i);
      at = batch;
    }
    n += (size_t)snprintf(buffer + n, size - n, i ? ", %s" : "%s", at);
  }
  snprintf(buffer + n, size - n, "])");
}
static trivet_status_t lower_qlinear_matmul(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *y = ops_out(v, 0), *b = ops_in(v, 3);
  char a_zero[256], b_zero[256], a_scale[256], b_scale[256], y_scale[256], y_zero[256], row[16],
      column[16];
  snprintf(row, sizeof row, "i%u",
           b->rank > 1 && y->rank > 1 ? y->rank - 2
           : y->rank                  ? y->rank - 1
                                      : 0);
  snprintf(column, sizeof column, "i%u", y->rank ? y->rank - 1 : 0);
  scale_text(v, 1, "a_scale", row, a_scale, sizeof a_scale);
  scale_text(v, 4, "b_scale", column, b_scale, sizeof b_scale);
  scale_text(v, 6, "y_scale", row, y_scale, sizeof y_scale);
  scale_text(v, 7, "y_zero", row, y_zero, sizeof y_zero);
  tvi_ops_put_lhs(&t, "y", "i", y->rank);
  PUT(" = sat(%s, round(f32(", tvi_ops_dtype_name(y->dtype));
  OPS_TRY(put_product(&t, 0, 3, zero_text(v, 2, "a_zero", row, a_zero, sizeof a_zero),
                      zero_text(v, 5, "b_zero", column, b_zero, sizeof b_zero), 1));
  PUT(") * (%s * %s / %s)) + %s)", a_scale, b_scale, y_scale, y_zero);
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(QLinearMatMul, 0, "matrix product of quantised operands, quantised again",
           "(a: A[*], a_scale: S[*], a_zero: A[*], b: B[*], b_scale: S[*], b_zero: B[*], y_scale: "
           "S[*], y_zero: Y[*]) -> (y: Y[*]) "
           "where A: any, B: any, Y: any, S: float",
           infer_qlinear_matmul, lower_qlinear_matmul, 0);
