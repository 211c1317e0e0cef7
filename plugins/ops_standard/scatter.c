// SPDX-License-Identifier: Apache-2.0
//
// Writing at positions that come from data: ScatterElements, ScatterND and MaxUnpool are host
// functions, since the order of colliding writes is part of their meaning; TensorScatter writes one
// range and is kernel IR.
#include <math.h>
#include <stdio.h>

#include "plugins/ops_standard/ops_host.h"

typedef enum scatter_join_e { JOIN_NONE, JOIN_ADD, JOIN_MUL, JOIN_MAX, JOIN_MIN } scatter_join_t;

static trivet_status_t scatter_join(const ops_eval_t* e, scatter_join_t* out_join) {
  static const char* const kNames[] = {"none", "add", "mul", "max", "min"};
  for (uint32_t i = 0; i < 5; ++i) {
    if (ops_eval_attr_is(e, "reduction", kNames[i])) {
      *out_join = (scatter_join_t)i;
      return 0;
    }
  }
  return OPS_EVAL_INVALID(e, "attribute reduction must be none, add, mul, max or min");
}
// y[to] = join(y[to], u[from])
static void scatter_element(trivet_tensor_t* y, int64_t to, const trivet_tensor_t* u, int64_t from,
                            scatter_join_t join, uint32_t size) {
  if (join == JOIN_NONE) {
    if (size) {
      memcpy((uint8_t*)y->data + (uint64_t)to * size,
             (const uint8_t*)u->data + (uint64_t)from * size, size);
    } else {
      tvi_ops_put_i64(y, to, tvi_ops_get_i64(u, from));
    }
  } else if (ops_is_float(y->dtype) || ops_is_small_float(y->dtype)) {
    double a = tvi_ops_get_f64(y, to), b = tvi_ops_get_f64(u, from);
    double r = join == JOIN_ADD                ? a + b
               : join == JOIN_MUL              ? a * b
               : isnan(a) || isnan(b)          ? NAN
               : (join == JOIN_MAX) == (a > b) ? a
                                               : b;
    tvi_ops_put_f64(y, to, r);
  } else {
    uint64_t a = (uint64_t)tvi_ops_get_i64(y, to), b = (uint64_t)tvi_ops_get_i64(u, from);
    uint32_t above = y->dtype == TRIVET_DTYPE_U64 ? a > b : (int64_t)a > (int64_t)b;
    tvi_ops_put_i64(y, to,
                    (int64_t)(join == JOIN_ADD              ? a + b
                              : join == JOIN_MUL            ? a * b
                              : (join == JOIN_MAX) == above ? a
                                                            : b));
  }
}
// Output 0 as a copy of input 0.
static trivet_status_t copy_input(ops_eval_t* e, trivet_tensor_t** out_y) {
  const trivet_tensor_t* x = ops_eval_in(e, 0);
  OPS_TRY(e->api->output(e, 0, x->dtype, x->rank, x->dims, out_y));
  if (*out_y && x->size) memcpy((*out_y)->data, x->data, x->size);
  return 0;
}

static trivet_status_t evaluate_scatter_elements(ops_op_t* op, ops_eval_t* e) {
  (void)op;
  const trivet_tensor_t *x = ops_eval_in(e, 0), *at = ops_eval_in(e, 1), *u = ops_eval_in(e, 2);
  trivet_tensor_t* y;
  scatter_join_t join;
  uint32_t axis, size = tvi_ops_element_size(x->dtype);
  OPS_TRY(scatter_join(e, &join));
  OPS_TRY(tvi_ops_eval_axis(e, ops_eval_attr(e, "axis", 0), x->rank, &axis));
  if (at->rank != x->rank || u->rank != x->rank || tvi_ops_count(at) != tvi_ops_count(u))
    return OPS_EVAL_INVALID(
        e, "operand, indices and updates must have one rank, indices and updates one shape");
  for (uint32_t d = 0; d < x->rank; ++d) {
    if (u->dims[d] != at->dims[d] || (d != axis && at->dims[d] > x->dims[d]))
      return OPS_EVAL_INVALID(e, "indices have extent %lld along axis %u", (long long)at->dims[d],
                              d);
  }
  OPS_TRY(copy_input(e, &y));
  if (!y) return 0;
  int64_t count = tvi_ops_count(at), position[TRIVET_MAX_RANK] = {0};
  for (int64_t i = 0; i < count; ++i) {
    int64_t index = tvi_ops_get_i64(at, i), to = 0;
    if (index < 0) index += x->dims[axis];
    if (index < 0 || index >= x->dims[axis])
      return OPS_EVAL_INVALID(e, "index %lld is out of range", (long long)tvi_ops_get_i64(at, i));
    for (uint32_t d = 0; d < x->rank; ++d) to = to * x->dims[d] + (d == axis ? index : position[d]);
    scatter_element(y, to, u, i, join, size);
    for (uint32_t d = x->rank; d-- > 0;) {
      if (++position[d] < at->dims[d]) break;
      position[d] = 0;
    }
  }
  return 0;
}
OPS_DEFINE(ScatterElements, 0, "x with updates joined in at indices along an axis",
           "(x: T[*], indices: I[*], updates: T[*]) -> (y: T[*]) where T: any, I: {i32, i64}\n"
           "attr axis: i64 = 0\nattr reduction: string = \"none\"",
           tvi_ops_infer_same, 0, evaluate_scatter_elements);

static trivet_status_t evaluate_scatter_nd(ops_op_t* op, ops_eval_t* e) {
  (void)op;
  const trivet_tensor_t *x = ops_eval_in(e, 0), *at = ops_eval_in(e, 1), *u = ops_eval_in(e, 2);
  trivet_tensor_t* y;
  scatter_join_t join;
  uint32_t size = tvi_ops_element_size(x->dtype);
  OPS_TRY(scatter_join(e, &join));
  int64_t length = at->rank ? at->dims[at->rank - 1] : -1;
  if (length < 0 || length > (int64_t)x->rank)
    return OPS_EVAL_INVALID(e, "index tuples of %lld for rank %u", (long long)length, x->rank);
  int64_t tuples = tvi_ops_span(at, 0, at->rank - 1),
          slice = tvi_ops_span(x, (uint32_t)length, x->rank);
  if (tvi_ops_count(u) != tuples * slice)
    return OPS_EVAL_INVALID(e, "updates do not have the shape that indices and operand ask for");
  OPS_TRY(copy_input(e, &y));
  if (!y) return 0;
  for (int64_t i = 0; i < tuples; ++i) {
    int64_t to = 0;
    for (int64_t d = 0; d < length; ++d) {
      int64_t index = tvi_ops_get_i64(at, i * length + d);
      if (index < 0) index += x->dims[d];
      if (index < 0 || index >= x->dims[d])
        return OPS_EVAL_INVALID(e, "an index is out of range along axis %lld", (long long)d);
      to = to * x->dims[d] + index;
    }
    for (int64_t k = 0; k < slice; ++k)
      scatter_element(y, to * slice + k, u, i * slice + k, join, size);
  }
  return 0;
}
OPS_DEFINE(ScatterND, 0, "x with slices of updates joined in at index tuples",
           "(x: T[*], indices: i64[*], updates: T[*]) -> (y: T[*]) where T: any\nattr reduction: "
           "string = \"none\"",
           tvi_ops_infer_same, 0, evaluate_scatter_nd);

static trivet_status_t lower_tensor_scatter(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *x = ops_in(v, 0), *u = ops_in(v, 1);
  uint32_t axis, circular = ops_attr_is(v, "mode", "circular");
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), x->rank, &axis));
  if (!axis || u->rank != x->rank)
    return OPS_INVALID(v, "the first axis is the batch; cache and update need one rank");
  if (!circular && !ops_attr_is(v, "mode", "linear"))
    return OPS_INVALID(v, "attribute mode must be linear or circular");
  // Position inside the update that is written here.
  char from[200];
  const char* begin = ops_in(v, 2) ? "write_indices[i0]" : "0";
  if (circular) {
    snprintf(from, sizeof from, "mod(i%u - %s, %s)", axis, begin, DIM(x->dims[axis]));
  } else {
    snprintf(from, sizeof from, "i%u - %s", axis, begin);
  }
  tvi_ops_put_lhs(&t, "y", "i", x->rank);
  PUT(" = %s >= 0 && %s < %s ? update[", from, from, DIM(u->dims[axis]));
  for (uint32_t i = 0; i < x->rank; ++i) {
    if (i) PUT(", ");
    if (i == axis) {
      PUT("%s", from);
    } else {
      PUT("i%u", i);
    }
  }
  PUT("; clip] : ");
  tvi_ops_put_load(&t, "x", "i", x->rank);
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(TensorScatter, 0, "a cache with an update written at a position of each batch entry",
           "(x: T[D...], update: T[*], write_indices?: i64[N]) -> (y: T[D...]) where T: any\n"
           "attr axis: i64 = -2\nattr mode: string = \"linear\"",
           0, lower_tensor_scatter, 0);

// Extents of MaxUnpool without an output shape: (in - 1) * stride - pads + kernel.
static trivet_status_t unpooled_extents(ops_view_t* v, trivet_dim_t* dims) {
  const trivet_type_t* x = ops_in(v, 0);
  uint64_t count;
  const int64_t* kernel = trivet_view_attr_i64s(v, "kernel_shape", &count);
  int64_t strides[TRIVET_MAX_RANK], pads[2 * TRIVET_MAX_RANK], checked[TRIVET_MAX_RANK];
  if (x->rank < 3 || count != x->rank - 2)
    return OPS_INVALID(v, "an operand of rank %u and %llu spatial axes", x->rank,
                       (unsigned long long)count);
  uint32_t n = (uint32_t)count;
  OPS_TRY(tvi_ops_list(v, "kernel_shape", n, 1, checked));
  OPS_TRY(tvi_ops_list(v, "strides", n, 1, strides));
  OPS_TRY(tvi_ops_list(v, "pads", 2 * n, 0, pads));
  dims[0] = x->dims[0];
  dims[1] = x->dims[1];
  for (uint32_t i = 0; i < n; ++i) {
    dims[i + 2] = ops_add_i(v, ops_mul_i(v, ops_add_i(v, x->dims[i + 2], -1), strides[i]),
                            kernel[i] - pads[i] - pads[n + i]);
  }
  return 0;
}
static trivet_status_t infer_max_unpool(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  trivet_dim_t dims[TRIVET_MAX_RANK];
  OPS_TRY(unpooled_extents(v, dims));
  if (ops_in(v, 2)) {
    const trivet_dim_t* shape;
    uint64_t count;
    OPS_TRY(tvi_ops_symbolic_ints(v, 2, "output_shape", &shape, &count));
    if (count != x->rank)
      return OPS_INVALID(v, "output_shape has %llu elements", (unsigned long long)count);
    memcpy(dims, shape, count * sizeof dims[0]);
  }
  return trivet_view_set_output(v, 0, x->dtype, x->rank, dims);
}
// Indices count in the tensor without an output shape; with one, that tensor lies in the front
// corner of the result.
static trivet_status_t evaluate_max_unpool(ops_op_t* op, ops_eval_t* e) {
  (void)op;
  const trivet_tensor_t *x = ops_eval_in(e, 0), *at = ops_eval_in(e, 1), *shape = ops_eval_in(e, 2);
  int64_t inner[TRIVET_MAX_RANK] = {x->dims[0], x->dims[1]}, dims[TRIVET_MAX_RANK];
  uint32_t n = x->rank - 2, size = tvi_ops_element_size(x->dtype);
  if (tvi_ops_count(at) != tvi_ops_count(x) || (shape && tvi_ops_count(shape) != x->rank))
    return OPS_EVAL_INVALID(e, "the operands do not belong together");
  for (uint32_t i = 0; i < n; ++i) {
    inner[i + 2] = (x->dims[i + 2] - 1) * ops_eval_list(e, "strides", i, 1) +
                   ops_eval_list(e, "kernel_shape", i, 1) - ops_eval_list(e, "pads", i, 0) -
                   ops_eval_list(e, "pads", n + i, 0);
  }
  for (uint32_t i = 0; i < x->rank; ++i) dims[i] = shape ? tvi_ops_get_i64(shape, i) : inner[i];
  trivet_tensor_t* y;
  OPS_TRY(e->api->output(e, 0, x->dtype, x->rank, dims, &y));
  if (!y) return 0;
  if (y->size) memset(y->data, 0, y->size);
  int64_t count = tvi_ops_count(x);
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = tvi_ops_get_i64(at, i), to = 0, scale = 1;
    uint32_t inside = rest >= 0;
    for (uint32_t d = x->rank; d-- > 0;) {
      int64_t position = inner[d] > 0 ? rest % inner[d] : 0;
      rest = inner[d] > 0 ? rest / inner[d] : 0;
      inside &= position < dims[d];
      to += position * scale;
      scale *= dims[d];
    }
    if (rest || !inside)
      return OPS_EVAL_INVALID(e, "index %lld is out of range", (long long)tvi_ops_get_i64(at, i));
    scatter_element(y, to, x, i, JOIN_NONE, size);
  }
  return 0;
}
OPS_DEFINE(MaxUnpool, 0, "elements put back where a MaxPool found them, zeros elsewhere",
           "(x: T[*], indices: i64[*], output_shape?: i64[N]) -> (y: T[*]) where T: float\n"
           "attr kernel_shape: i64[]\nattr pads?: i64[]\nattr strides?: i64[]",
           infer_max_unpool, 0, evaluate_max_unpool);
