// SPDX-License-Identifier: Apache-2.0
//
// Reductions along axes (Reduce*), positions of extremes (ArgMax, ArgMin) and running sums and
// products. Each becomes one or two reduction stages of kernel IR; floats of 16 bits accumulate in
// f32.
#include <stdio.h>

#include "plugins/ops_standard/ops_util.h"

// Which axes an instance reduces: a bit per axis.
static trivet_status_t reduced_axes(ops_view_t* v, uint32_t* out_mask) {
  const trivet_type_t* x = ops_in(v, 0);
  int64_t axes[TRIVET_MAX_RANK];
  uint32_t count, present;
  OPS_TRY(tvi_ops_known_ints(v, 1, "axes", axes, TRIVET_MAX_RANK, &count, &present));
  if (!count) {
    *out_mask = ops_attr(v, "noop_with_empty_axes") ? 0 : (1u << x->rank) - 1;
    return 0;
  }
  return tvi_ops_axis_mask(v, axes, count, x->rank, out_mask);
}

static uint32_t reduced_dims(ops_view_t* v, const trivet_type_t* x, uint32_t mask, uint32_t keep,
                             trivet_dim_t* dims) {
  uint32_t rank = 0;
  for (uint32_t i = 0; i < x->rank; ++i) {
    if (!(mask >> i & 1)) {
      dims[rank++] = x->dims[i];
    } else if (keep) {
      dims[rank++] = ops_const(v, 1);
    }
  }
  return rank;
}

static trivet_status_t infer_reduce(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t mask;
  OPS_TRY(reduced_axes(v, &mask));
  trivet_dim_t dims[TRIVET_MAX_RANK];
  uint32_t rank = reduced_dims(v, x, mask, ops_attr(v, "keepdims") != 0, dims);
  return trivet_view_set_output(v, 0, x->dtype, rank, dims);
}

// "y[i0, k1, i2]": kept axes are i<d>; a reduced axis that stays with extent 1 has an index of its
// own that nothing reads.
static void put_reduced_lhs(ops_text_t* t, const char* name, uint32_t rank, uint32_t mask,
                            uint32_t keep) {
  uint32_t first = 1;
  tvi_ops_put(t, "%s", name);
  for (uint32_t i = 0; i < rank; ++i) {
    uint32_t reduced = mask >> i & 1;
    if (reduced && !keep) continue;
    tvi_ops_put(t, "%s%s%u", first ? "[" : ", ", reduced ? "k" : "i", i);
    first = 0;
  }
  tvi_ops_put(t, first ? " = " : "] = ");
}

typedef enum reduce_kind_e {
  SUM,
  MEAN,
  MAX,
  MIN,
  PROD,
  SUM_SQUARE,
  L1,
  L2,
  LOG_SUM,
  LOG_SUM_EXP
} reduce_kind_t;

static trivet_status_t lower_reduce(ops_view_t* v, reduce_kind_t kind) {
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t mask, keep = ops_attr(v, "keepdims") != 0;
  OPS_TRY(reduced_axes(v, &mask));
  uint32_t acc = ops_acc(x->dtype);
  // Roots and logarithms of integers are taken in f64.
  uint32_t integer_root =
      !ops_is_float(x->dtype) && (kind == L2 || kind == LOG_SUM || kind == LOG_SUM_EXP);
  if (integer_root) acc = TRIVET_DTYPE_F64;
  uint32_t casts = acc != x->dtype;
  const char* type = tvi_ops_dtype_name(x->dtype);
  const char* acc_name = tvi_ops_dtype_name(acc);
  const char* open = "";
  const char* close = "";
  char cast_open[24] = "";
  if (casts) {
    snprintf(cast_open, sizeof cast_open, "%s(", acc_name);
    open = cast_open;
    close = ")";
  }
  const char* function = "sum";
  if (kind == PROD) function = "prod";
  if (kind == MAX) function = x->dtype == TRIVET_DTYPE_BOOL ? "any" : "max";
  if (kind == MIN) function = x->dtype == TRIVET_DTYPE_BOOL ? "all" : "min";

  if (kind == LOG_SUM_EXP) {
    // The largest element comes out of the logarithm, so that no exponential overflows; an infinite
    // one stays inside.
    PUT("let peak");
    if (mask != (1u << x->rank) - 1) {
      PUT("[");
      tvi_ops_put_ranges(&t, "i", x->dims, x->rank, ~mask);
      PUT("]");
    }
    PUT(" = ");
    if (mask) PUT("max("), tvi_ops_put_ranges(&t, "r", x->dims, x->rank, mask), PUT("){ ");
    PUT("%s", open);
    tvi_ops_put_mixed_load(&t, "x", x->rank, mask);
    PUT("%s%s\n", close, mask ? " }" : "");
  }
  put_reduced_lhs(&t, "y", x->rank, mask, keep);
  char peak[128] = "peak";
  if (kind == LOG_SUM_EXP) {
    uint32_t first = 1;
    size_t n = 4;
    for (uint32_t i = 0; i < x->rank; ++i) {
      if (mask >> i & 1) continue;
      n += (size_t)snprintf(peak + n, sizeof peak - n, "%si%u", first ? "[" : ", ", i);
      first = 0;
    }
    if (!first) snprintf(peak + n, sizeof peak - n, "]");
  }
  uint32_t final_cast = casts || integer_root;
  if (final_cast) PUT("%s(", type);
  if (kind == L2) PUT("sqrt(");
  if (kind == LOG_SUM) PUT("log(");
  if (kind == LOG_SUM_EXP) PUT("(isinf(%s) ? 0.0 : %s) + log(", peak, peak);
  if (kind == MEAN && ops_is_float(x->dtype)) PUT("(");
  if (mask) PUT("%s(", function), tvi_ops_put_ranges(&t, "r", x->dims, x->rank, mask), PUT("){ ");
  if (kind == SUM_SQUARE || kind == L2) PUT("sq(");
  if (kind == L1) PUT("abs(");
  if (kind == LOG_SUM_EXP) PUT("exp(");
  PUT("%s", open);
  tvi_ops_put_mixed_load(&t, "x", x->rank, mask);
  PUT("%s", close);
  if (kind == LOG_SUM_EXP) PUT(" - (isinf(%s) ? 0.0 : %s))", peak, peak);
  if (kind == SUM_SQUARE || kind == L2 || kind == L1) PUT(")");
  if (mask) PUT(" }");
  if (kind == MEAN) {
    trivet_dim_t count = ops_const(v, 1);
    for (uint32_t i = 0; i < x->rank; ++i) {
      if (mask >> i & 1) count = ops_mul(v, count, x->dims[i]);
    }
    PUT("%s / %s(%s)", ops_is_float(x->dtype) ? ")" : "", acc_name, DIM(count));
  }
  if (kind == L2 || kind == LOG_SUM || kind == LOG_SUM_EXP) PUT(")");
  if (final_cast) PUT(")");
  return tvi_ops_text_end(&t);
}

#define REDUCE(name, kind, classes, summary)                                 \
  static trivet_status_t lower_##name(ops_op_t* op, ops_view_t* v) {         \
    return (void)op, lower_reduce(v, kind);                                  \
  }                                                                          \
  OPS_DEFINE(name, 0, summary,                                               \
             "(x: T[*], axes?: i64[N]) -> (y: T[*]) where T: " classes       \
             "\nattr keepdims: i64 = 1\nattr noop_with_empty_axes: i64 = 0", \
             infer_reduce, lower_##name, 0)

#define ORDERED "{f16, bf16, f32, f64, i8, i16, i32, i64, u8, u16, u32, u64, bool}"
REDUCE(ReduceSum, SUM, "numeric", "sum along axes");
REDUCE(ReduceMean, MEAN, "numeric", "mean along axes");
REDUCE(ReduceMax, MAX, ORDERED, "largest element along axes");
REDUCE(ReduceMin, MIN, ORDERED, "smallest element along axes");
REDUCE(ReduceProd, PROD, "numeric", "product along axes");
REDUCE(ReduceSumSquare, SUM_SQUARE, "numeric", "sum of squares along axes");
REDUCE(ReduceL1, L1, "numeric", "sum of absolute values along axes");
REDUCE(ReduceL2, L2, "numeric", "Euclidean norm along axes");
REDUCE(ReduceLogSum, LOG_SUM, "numeric", "logarithm of the sum along axes");
REDUCE(ReduceLogSumExp, LOG_SUM_EXP, "numeric", "logarithm of the sum of exponentials along axes");

static trivet_status_t infer_arg(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t axis;
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), x->rank, &axis));
  trivet_dim_t dims[TRIVET_MAX_RANK];
  uint32_t rank = reduced_dims(v, x, 1u << axis, ops_attr(v, "keepdims") != 0, dims);
  return trivet_view_set_output(v, 0, TRIVET_DTYPE_I64, rank, dims);
}

static trivet_status_t lower_arg(ops_view_t* v, const char* function) {
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t axis, last = ops_attr(v, "select_last_index") != 0;
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), x->rank, &axis));
  const char* extent = DIM(x->dims[axis]);
  put_reduced_lhs(&t, "y", x->rank, 1u << axis, ops_attr(v, "keepdims") != 0);
  if (last) PUT("%s - 1 - ", extent);
  PUT("%s(r%u: %s){ x[", function, axis, extent);
  for (uint32_t i = 0; i < x->rank; ++i) {
    if (i) PUT(", ");
    if (i != axis) {
      PUT("i%u", i);
    } else if (last) {
      PUT("%s - 1 - r%u", extent, i);
    } else {
      PUT("r%u", i);
    }
  }
  PUT("] }");
  return tvi_ops_text_end(&t);
}

#define ARG(name, function, summary)                                                            \
  static trivet_status_t lower_##name(ops_op_t* op, ops_view_t* v) {                            \
    return (void)op, lower_arg(v, function);                                                    \
  }                                                                                             \
  OPS_DEFINE(                                                                                   \
      name, 0, summary,                                                                         \
      "(x: T[*]) -> (y: i64[*]) where T: numeric\nattr axis: i64 = 0\nattr keepdims: i64 = 1\n" \
      "attr select_last_index: i64 = 0",                                                        \
      infer_arg, lower_##name, 0)
ARG(ArgMax, "argmax", "position of the largest element along an axis");
ARG(ArgMin, "argmin", "position of the smallest element along an axis");

static trivet_status_t lower_scan(ops_view_t* v, const char* monoid) {
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  int64_t given;
  uint32_t axis, count, present;
  OPS_TRY(tvi_ops_known_ints(v, 1, "axis", &given, 1, &count, &present));
  if (count != 1) return OPS_INVALID(v, "axis must hold one number");
  OPS_TRY(tvi_ops_axis(v, "axis", given, x->rank, &axis));
  tvi_ops_put_lhs(&t, "y", "i", x->rank);
  PUT(" = scan(i%u: %s){ ", axis, DIM(x->dims[axis]));
  tvi_ops_put_load(&t, "x", "i", x->rank);
  PUT(" } with %s%s%s", monoid, ops_attr(v, "exclusive") ? " exclusive" : "",
      ops_attr(v, "reverse") ? " reverse" : "");
  return tvi_ops_text_end(&t);
}
#define SCAN(name, monoid, summary)                                                 \
  static trivet_status_t lower_##name(ops_op_t* op, ops_view_t* v) {                \
    return (void)op, lower_scan(v, monoid);                                         \
  }                                                                                 \
  OPS_DEFINE(name, 0, summary,                                                      \
             "(x: T[*], axis: A[*]) -> (y: T[*]) where T: numeric, A: {i32, i64}\n" \
             "attr exclusive: i64 = 0\nattr reverse: i64 = 0",                      \
             tvi_ops_infer_same, lower_##name, 0)
SCAN(CumSum, "sum", "running sum along an axis");
SCAN(CumProd, "prod", "running product along an axis");
