// SPDX-License-Identifier: Apache-2.0
//
// Pooling: windows (MaxPool, AveragePool, LpPool), whole planes (Global*), and the way back
// (MaxUnpool). A window is one reduction stage; an average divides by a count that depends on the
// position only where padding is not counted.
#include <stdio.h>

#include "plugins/ops_standard/ops_util.h"
#include "plugins/ops_standard/ops_window.h"

static trivet_status_t pool_window(ops_view_t* v, ops_window_t* w) {
  const trivet_type_t* x = ops_in(v, 0);
  if (x->rank < 3)
    return OPS_INVALID(v, "the operand has rank %u where at least 3 is needed", x->rank);
  uint64_t count;
  const int64_t* shape = trivet_view_attr_i64s(v, "kernel_shape", &count);
  if (count != x->rank - 2)
    return OPS_INVALID(v, "attribute kernel_shape has %llu elements for %u spatial axes",
                       (unsigned long long)count, x->rank - 2);
  trivet_dim_t kernel[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < count; ++i) {
    if (shape[i] < 1)
      return OPS_INVALID(v, "attribute kernel_shape holds %lld", (long long)shape[i]);
    kernel[i] = ops_const(v, shape[i]);
  }
  return tvi_ops_window(v, x->rank - 2, x->dims + 2, kernel, ops_attr(v, "ceil_mode") != 0, w);
}
static trivet_status_t infer_pool(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  ops_window_t w;
  OPS_TRY(pool_window(v, &w));
  trivet_dim_t dims[TRIVET_MAX_RANK] = {x->dims[0], x->dims[1]};
  memcpy(dims + 2, w.out, w.rank * sizeof w.out[0]);
  OPS_TRY(trivet_view_set_output(v, 0, x->dtype, x->rank, dims));
  return ops_out(v, 1) || trivet_view_output_count(v) > 1
             ? trivet_view_set_output(v, 1, TRIVET_DTYPE_I64, x->rank, dims)
             : 0;
}
static void put_pool_lhs(ops_text_t* t, const char* name, uint32_t rank) {
  tvi_ops_put(t, "%s[n, c, ", name);
  tvi_ops_put_indices(t, "i", 0, rank);
  tvi_ops_put(t, "] = ");
}
static void put_window_load(ops_text_t* t, const ops_window_t* w, const char* pad) {
  tvi_ops_put(t, "x[n, c, ");
  tvi_ops_put_window_positions(t, w);
  tvi_ops_put(t, w->padded ? "; pad = %s]" : "]", pad);
}

static trivet_status_t lower_max_pool(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  ops_window_t w;
  OPS_TRY(pool_window(v, &w));
  const char* pad = ops_is_float(x->dtype) ? "-inf" : "lowest(T)";
  put_pool_lhs(&t, "y", w.rank);
  PUT("max(");
  tvi_ops_put_window_ranges(&t, &w);
  PUT("){ ");
  put_window_load(&t, &w, pad);
  PUT(" }");
  if (!ops_out(v, 1)) return tvi_ops_text_end(&t);
  // Which place of the window holds the largest element, counted row by row; then where in x that
  // is.
  trivet_dim_t size = tvi_ops_product(v, w.kernel, 0, w.rank);
  PUT("\nlet place[n: %s, c: %s, ", DIM(x->dims[0]), DIM(x->dims[1]));
  tvi_ops_put_ranges(&t, "i", w.out, w.rank, (1u << w.rank) - 1);
  PUT("] = argmax(r: %s){ x[n, c", DIM(size));
  char parts[TRIVET_MAX_RANK][320];
  for (uint32_t pass = 0; pass < 2; ++pass) {
    char r[160];
    if (pass) {
      size_t n = (size_t)snprintf(r, sizeof r, "place[n, c");
      for (uint32_t i = 0; i < w.rank; ++i) n += (size_t)snprintf(r + n, sizeof r - n, ", i%u", i);
      snprintf(r + n, sizeof r - n, "]");
    } else {
      snprintf(r, sizeof r, "r");
    }
    for (uint32_t i = 0; i < w.rank; ++i) {
      trivet_dim_t stride = tvi_ops_product(v, w.kernel, i + 1, w.rank);
      snprintf(parts[i], sizeof parts[i], "mod(floordiv(%s, %s), %s)", r, DIM(stride),
               DIM(w.kernel[i]));
    }
    if (!pass) {
      for (uint32_t i = 0; i < w.rank; ++i) {
        PUT(", ");
        tvi_ops_put_window_position(&t, &w, i, parts[i]);
      }
      PUT("; pad = %s] }\n", pad);
    }
  }
  put_pool_lhs(&t, "indices", w.rank);
  PUT("(n*%s + c)*%s", DIM(x->dims[1]), DIM(tvi_ops_product(v, w.in, 0, w.rank)));
  uint32_t column_major = ops_attr(v, "storage_order") != 0;
  for (uint32_t i = 0; i < w.rank; ++i) {
    PUT(" + (");
    tvi_ops_put_window_position(&t, &w, i, parts[i]);
    PUT(")*%s", DIM(column_major ? tvi_ops_product(v, w.in, 0, i)
                                 : tvi_ops_product(v, w.in, i + 1, w.rank)));
  }
  return tvi_ops_text_end(&t);
}
#define POOL_ATTRIBUTES                                                                        \
  "attr auto_pad: string = \"NOTSET\"\nattr ceil_mode: i64 = 0\nattr dilations?: i64[]\nattr " \
  "kernel_shape: i64[]\n"                                                                      \
  "attr pads?: i64[]\nattr strides?: i64[]"
OPS_DEFINE(MaxPool, 0, "largest element of each window, and where it was",
           "(x: T[*]) -> (y: T[*], indices?: i64[*]) where T: numeric\n" POOL_ATTRIBUTES
           "\nattr storage_order: i64 = 0",
           infer_pool, lower_max_pool, 0);

static trivet_status_t lower_average_pool(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  ops_window_t w;
  OPS_TRY(pool_window(v, &w));
  uint32_t include = ops_attr(v, "count_include_pad") != 0,
           ceil_mode = ops_attr(v, "ceil_mode") != 0;
  const char* acc = tvi_ops_dtype_name(ops_acc(x->dtype));
  uint32_t cast = ops_acc(x->dtype) != x->dtype;
  put_pool_lhs(&t, "y", w.rank);
  if (cast) PUT("T(");
  PUT("sum(");
  tvi_ops_put_window_ranges(&t, &w);
  PUT("){ %s", cast ? "f32(" : "");
  put_window_load(&t, &w, "0");
  PUT("%s } / %s(", cast ? ")" : "", acc);
  for (uint32_t i = 0; i < w.rank; ++i) {
    PUT("%s", i ? " * " : "");
    if (!w.padded || (include && !ceil_mode)) {
      PUT("%s", DIM(w.kernel[i]));
      continue;
    }
    // Places of the window between the first and the last position that count: ceil((limit - start)
    // / dilation) of them at most.
    char start[256];
    trivet_dim_t limit = include ? ops_add(v, w.in[i], w.end[i]) : w.in[i];
    snprintf(start, sizeof start, "i%u*%lld - %s", i, (long long)w.strides[i], DIM(w.begin[i]));
    PUT("(min(%s, ceildiv(%s - (%s), %lld))", DIM(w.kernel[i]), DIM(limit), start,
        (long long)w.dilations[i]);
    if (include) {
      PUT(")");
    } else {
      PUT(" - max(0, ceildiv(-(%s), %lld)))", start, (long long)w.dilations[i]);
    }
  }
  PUT(")%s", cast ? ")" : "");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(AveragePool, 0, "mean of each window",
           "(x: T[*]) -> (y: T[*]) where T: float\n" POOL_ATTRIBUTES
           "\nattr count_include_pad: i64 = 0",
           infer_pool, lower_average_pool, 0);

static trivet_status_t lower_lp(ops_view_t* v, const ops_window_t* w) {
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  long long p = (long long)ops_attr(v, "p");
  const char* acc = tvi_ops_dtype_name(ops_acc(x->dtype));
  if (p < 1) return OPS_INVALID(v, "attribute p is %lld", p);
  put_pool_lhs(&t, "y", w->rank);
  PUT(p == 1 ? "T(" : p == 2 ? "T(sqrt(" : "T(pow(");
  PUT("sum(");
  tvi_ops_put_window_ranges(&t, w);
  PUT(p == 1 ? "){ abs(%s(" : p == 2 ? "){ sq(%s(" : "){ pow(abs(%s(", acc);
  put_window_load(&t, w, "0");
  if (p < 3) {
    PUT(p == 1 ? ")) })" : ")) }))");
  } else {
    PUT(")), %lld.0) }, 1.0 / %lld.0))", p, p);
  }
  return tvi_ops_text_end(&t);
}
static trivet_status_t lower_lp_pool(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_window_t w;
  OPS_TRY(pool_window(v, &w));
  return lower_lp(v, &w);
}
OPS_DEFINE(LpPool, 0, "p-norm of each window",
           "(x: T[*]) -> (y: T[*]) where T: float\n" POOL_ATTRIBUTES "\nattr p: i64 = 2",
           infer_pool, lower_lp_pool, 0);

// Global pools: the window is the whole plane, the result keeps the axes with extent 1.
static trivet_status_t infer_global(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  if (x->rank < 3)
    return OPS_INVALID(v, "the operand has rank %u where at least 3 is needed", x->rank);
  trivet_dim_t dims[TRIVET_MAX_RANK] = {x->dims[0], x->dims[1]};
  for (uint32_t i = 2; i < x->rank; ++i) dims[i] = ops_const(v, 1);
  return trivet_view_set_output(v, 0, x->dtype, x->rank, dims);
}
static trivet_status_t lower_global(ops_view_t* v, const char* function) {
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t cast = ops_acc(x->dtype) != x->dtype, average = strcmp(function, "sum") == 0;
  put_pool_lhs(&t, "y", x->rank - 2);
  PUT("%s%s(", cast ? "T(" : "", function);
  tvi_ops_put_ranges(&t, "k", x->dims, x->rank, ((1u << x->rank) - 1) & ~3u);
  PUT("){ %sx[n, c", cast ? "f32(" : "");
  for (uint32_t i = 2; i < x->rank; ++i) PUT(", k%u", i);
  PUT("]%s }", cast ? ")" : "");
  if (average)
    PUT(" / %s(%s)", tvi_ops_dtype_name(ops_acc(x->dtype)),
        DIM(tvi_ops_product(v, x->dims, 2, x->rank)));
  PUT("%s", cast ? ")" : "");
  return tvi_ops_text_end(&t);
}
static trivet_status_t lower_global_average(ops_op_t* op, ops_view_t* v) {
  return (void)op, lower_global(v, "sum");
}
static trivet_status_t lower_global_max(ops_op_t* op, ops_view_t* v) {
  return (void)op, lower_global(v, "max");
}
static trivet_status_t lower_global_lp(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  ops_window_t w;
  memset(&w, 0, sizeof w);
  w.rank = x->rank - 2;
  for (uint32_t i = 0; i < w.rank; ++i) {
    w.kernel[i] = x->dims[i + 2];
    w.begin[i] = ops_const(v, 0);
    w.strides[i] = w.dilations[i] = 1;
  }
  return lower_lp(v, &w);
}
OPS_DEFINE(GlobalAveragePool, 0, "mean of each plane", "(x: T[*]) -> (y: T[*]) where T: float",
           infer_global, lower_global_average, 0);
OPS_DEFINE(GlobalMaxPool, 0, "largest element of each plane",
           "(x: T[*]) -> (y: T[*]) where T: float", infer_global, lower_global_max, 0);
OPS_DEFINE(GlobalLpPool, 0, "p-norm of each plane",
           "(x: T[*]) -> (y: T[*]) where T: float\nattr p: i64 = 2", infer_global, lower_global_lp,
           0);
