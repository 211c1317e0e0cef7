// SPDX-License-Identifier: Apache-2.0
//
// Operators that keep the elements in their order and change the shape (Reshape, Flatten, Squeeze,
// Unsqueeze, Identity), and those that report the shape (Shape, Size). All but the last two are
// views of a dense buffer; the text says which element is which.
#include "plugins/ops_standard/ops_util.h"

// Elements [begin, end) of one shape that together are elements [out_begin, out_end) of the other:
// the smallest groups of dimensions whose products agree. Divisions are needed inside a group only.
typedef struct dim_group_s {
  uint32_t in_begin, in_end, out_begin, out_end;
} dim_group_t;

// |a| can only grow when its product is behind; with symbols that cannot be compared everything
// left becomes one group.
static uint32_t group_dims(ops_view_t* v, const trivet_type_t* in, const trivet_type_t* out,
                           dim_group_t* groups) {
  uint32_t count = 0, i = 0, o = 0;
  while (i < in->rank || o < out->rank) {
    dim_group_t g = {i, i, o, o};
    trivet_dim_t a = ops_const(v, 1), b = ops_const(v, 1);
    if (i < in->rank) a = in->dims[i++];
    if (o < out->rank) b = out->dims[o++];
    while (a != b) {
      int64_t x, y;
      if (!a || !b) break;
      if (trivet_view_dim_value(v, a, &x) && trivet_view_dim_value(v, b, &y)) {
        if (x < y ? i == in->rank : o == out->rank) break;
        if (x < y) {
          a = ops_mul(v, a, in->dims[i++]);
        } else {
          b = ops_mul(v, b, out->dims[o++]);
        }
        continue;
      }
      // A symbolic product: try to meet by growing one side alone, else both are at their ends.
      uint32_t met = 0;
      trivet_dim_t p = a;
      for (uint32_t k = i; k < in->rank && !met; ++k) {
        p = ops_mul(v, p, in->dims[k]);
        if (p == b) a = p, i = k + 1, met = 1;
      }
      p = b;
      for (uint32_t k = o; k < out->rank && !met; ++k) {
        p = ops_mul(v, p, out->dims[k]);
        if (p == a) b = p, o = k + 1, met = 1;
      }
      if (met) break;
      if (i == in->rank && o == out->rank) break;
      if (i < in->rank) a = ops_mul(v, a, in->dims[i++]);
      if (o < out->rank) b = ops_mul(v, b, out->dims[o++]);
    }
    if (a != b) i = in->rank, o = out->rank;
    g.in_end = i;
    g.out_end = o;
    groups[count++] = g;
  }
  return count;
}

// Row-major position of the out indices of a group inside it.
static void put_linear(ops_text_t* t, const trivet_type_t* out, const dim_group_t* g) {
  uint32_t first = 1;
  for (uint32_t k = g->out_begin; k < g->out_end; ++k) {
    if (ops_is(t->view, out->dims[k], 1)) continue;
    trivet_dim_t stride = tvi_ops_product(t->view, out->dims, k + 1, g->out_end);
    tvi_ops_put(t, ops_is(t->view, stride, 1) ? "%si%u" : "%si%u*%s", first ? "" : " + ", k,
                tvi_ops_dim_text(t, stride));
    first = 0;
  }
  if (first) tvi_ops_put(t, "0");
}

static trivet_status_t lower_reshape(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *in = ops_in(v, 0), *out = ops_out(v, 0);
  dim_group_t groups[2 * TRIVET_MAX_RANK];
  uint32_t count = group_dims(v, in, out, groups), first = 1;
  tvi_ops_put_lhs(&t, "y", "i", out->rank);
  PUT(" = x[");
  for (uint32_t n = 0; n < count; ++n) {
    const dim_group_t* g = &groups[n];
    for (uint32_t k = g->in_begin; k < g->in_end; ++k) {
      PUT("%s", first ? "" : ", ");
      first = 0;
      trivet_dim_t stride = tvi_ops_product(v, in->dims, k + 1, g->in_end);
      // The outermost dimension that counts needs no remainder.
      uint32_t outermost = ops_is(v, tvi_ops_product(v, in->dims, g->in_begin, k), 1);
      uint32_t divide = !ops_is(v, stride, 1);
      if (ops_is(v, in->dims[k], 1)) {
        PUT("0");
        continue;
      }
      if (!outermost) PUT("mod(");
      if (divide) PUT("floordiv(");
      put_linear(&t, out, g);
      if (divide) PUT(", %s)", DIM(stride));
      if (!outermost) PUT(", %s)", DIM(in->dims[k]));
    }
  }
  PUT("]");
  return tvi_ops_text_end(&t);
}

// The contents of a small integer input pass through unchanged.
static trivet_status_t pass_ints(ops_view_t* v) {
  uint64_t count;
  const trivet_dim_t* values = trivet_view_input_ints(v, 0, &count);
  return values ? v->api->set_output_ints(v, 0, values, count) : 0;
}

static trivet_status_t infer_reshape(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  const trivet_dim_t* shape;
  uint64_t count;
  OPS_TRY(tvi_ops_symbolic_ints(v, 1, "shape", &shape, &count));
  if (count > TRIVET_MAX_RANK)
    return OPS_INVALID(v, "shape has %llu elements; at most %u are possible",
                       (unsigned long long)count, TRIVET_MAX_RANK);
  trivet_dim_t dims[TRIVET_MAX_RANK];
  uint32_t rank = (uint32_t)count, rest = rank, copies_zero = !ops_attr(v, "allowzero");
  for (uint32_t i = 0; i < rank; ++i) {
    int64_t value;
    dims[i] = shape[i];
    if (!trivet_view_dim_value(v, shape[i], &value)) continue;
    if (value == -1) {
      if (rest != rank) return OPS_INVALID(v, "shape holds -1 twice");
      rest = i;
    } else if (value < -1) {
      return OPS_INVALID(v, "shape holds %lld", (long long)value);
    } else if (value == 0 && copies_zero) {
      if (i >= x->rank)
        return OPS_INVALID(v, "shape copies dimension %u of an operand of rank %u", i, x->rank);
      dims[i] = x->dims[i];
    }
  }
  if (rest == rank) {
    int64_t from, to;
    trivet_dim_t all_in = tvi_ops_product(v, x->dims, 0, x->rank),
                 all_out = tvi_ops_product(v, dims, 0, rank);
    if (all_in && all_out && trivet_view_dim_value(v, all_in, &from) &&
        trivet_view_dim_value(v, all_out, &to) && from != to)
      return OPS_INVALID(v, "%lld elements cannot take a shape of %lld elements", (long long)from,
                         (long long)to);
  } else {
    // Equal dimensions cancel first: what is left divides more often without a remainder that
    // nobody can see through.
    uint32_t used = 0;
    trivet_dim_t numerator = ops_const(v, 1), denominator = ops_const(v, 1);
    for (uint32_t i = 0; i < rank; ++i) {
      if (i == rest) continue;
      uint32_t k = 0;
      while (k < x->rank && (used >> k & 1 || x->dims[k] != dims[i])) ++k;
      if (k < x->rank && !ops_is(v, dims[i], 0)) {
        used |= 1u << k;
      } else {
        denominator = ops_mul(v, denominator, dims[i]);
      }
    }
    for (uint32_t k = 0; k < x->rank; ++k) {
      if (!(used >> k & 1)) numerator = ops_mul(v, numerator, x->dims[k]);
    }
    int64_t over, under;
    if (ops_is(v, denominator, 0)) {
      dims[rest] = ops_const(v, 0);
    } else {
      if (numerator && denominator && trivet_view_dim_value(v, numerator, &over) &&
          trivet_view_dim_value(v, denominator, &under) && over % under)
        return OPS_INVALID(v, "%lld elements cannot be divided by %lld to resolve -1 in the shape",
                           (long long)over, (long long)under);
      dims[rest] = ops_floordiv(v, numerator, denominator);
    }
  }
  OPS_TRY(trivet_view_set_output(v, 0, x->dtype, rank, dims));
  return pass_ints(v);
}
OPS_DEFINE(Reshape, 0, "the same elements in another shape; 0 copies an extent, -1 takes the rest",
           "(x: T[*], shape: i64[N]) -> (y: T[*]) where T: any\nattr allowzero: i64 = 0",
           infer_reshape, lower_reshape, 0);

static trivet_status_t infer_flatten(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  int64_t axis = ops_attr(v, "axis");
  if (axis < -(int64_t)x->rank || axis > (int64_t)x->rank)
    return OPS_INVALID(v, "attribute axis is %lld for an operand of rank %u", (long long)axis,
                       x->rank);
  uint32_t at = (uint32_t)(axis < 0 ? axis + x->rank : axis);
  trivet_dim_t dims[2] = {tvi_ops_product(v, x->dims, 0, at),
                          tvi_ops_product(v, x->dims, at, x->rank)};
  return trivet_view_set_output(v, 0, x->dtype, 2, dims);
}
OPS_DEFINE(Flatten, 0, "the same elements as a matrix",
           "(x: T[*]) -> (y: T[*]) where T: any\nattr axis: i64 = 1", infer_flatten, lower_reshape,
           0);

static trivet_status_t infer_squeeze(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  int64_t axes[TRIVET_MAX_RANK];
  uint32_t count, present, mask = 0;
  OPS_TRY(tvi_ops_known_ints(v, 1, "axes", axes, TRIVET_MAX_RANK, &count, &present));
  if (present) {
    OPS_TRY(tvi_ops_axis_mask(v, axes, count, x->rank, &mask));
  } else {
    for (uint32_t i = 0; i < x->rank; ++i) mask |= ops_is(v, x->dims[i], 1) << i;
  }
  trivet_dim_t dims[TRIVET_MAX_RANK];
  uint32_t rank = 0;
  for (uint32_t i = 0; i < x->rank; ++i) {
    int64_t extent;
    if (!(mask >> i & 1)) {
      dims[rank++] = x->dims[i];
    } else if (trivet_view_dim_value(v, x->dims[i], &extent) && extent != 1) {
      return OPS_INVALID(v, "axis %u has extent %lld and cannot be squeezed", i, (long long)extent);
    }
  }
  OPS_TRY(trivet_view_set_output(v, 0, x->dtype, rank, dims));
  return pass_ints(v);
}
// A squeezed axis whose extent is a symbol is 1 at run time: its only index is 0.
static trivet_status_t lower_squeeze(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  int64_t axes[TRIVET_MAX_RANK];
  uint32_t count, present, mask = 0, next = 0;
  OPS_TRY(tvi_ops_known_ints(v, 1, "axes", axes, TRIVET_MAX_RANK, &count, &present));
  OPS_TRY(tvi_ops_axis_mask(v, axes, count, x->rank, &mask));
  for (uint32_t i = 0; !present && i < x->rank; ++i) mask |= ops_is(v, x->dims[i], 1) << i;
  tvi_ops_put_lhs(&t, "y", "i", ops_out(v, 0)->rank);
  PUT(" = x[");
  for (uint32_t i = 0; i < x->rank; ++i) {
    if (i) PUT(", ");
    if (mask >> i & 1) {
      PUT("0");
    } else {
      PUT("i%u", next++);
    }
  }
  PUT("]");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Squeeze, 0, "without axes of extent 1",
           "(x: T[*], axes?: i64[N]) -> (y: T[*]) where T: any", infer_squeeze, lower_squeeze, 0);

static trivet_status_t unsqueezed_axes(ops_view_t* v, uint32_t* out_mask, uint32_t* out_rank) {
  int64_t axes[TRIVET_MAX_RANK];
  uint32_t count, present;
  OPS_TRY(tvi_ops_known_ints(v, 1, "axes", axes, TRIVET_MAX_RANK, &count, &present));
  *out_rank = ops_in(v, 0)->rank + count;
  if (*out_rank > TRIVET_MAX_RANK)
    return OPS_INVALID(v, "the result would have rank %u; at most %u is possible", *out_rank,
                       TRIVET_MAX_RANK);
  return tvi_ops_axis_mask(v, axes, count, *out_rank, out_mask);
}
static trivet_status_t infer_unsqueeze(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t mask, rank, next = 0;
  OPS_TRY(unsqueezed_axes(v, &mask, &rank));
  trivet_dim_t dims[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < rank; ++i) dims[i] = mask >> i & 1 ? ops_const(v, 1) : x->dims[next++];
  OPS_TRY(trivet_view_set_output(v, 0, x->dtype, rank, dims));
  return pass_ints(v);
}
static trivet_status_t lower_unsqueeze(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  uint32_t mask, rank, first = 1;
  OPS_TRY(unsqueezed_axes(v, &mask, &rank));
  tvi_ops_put_lhs(&t, "y", "i", rank);
  PUT(" = x[");
  for (uint32_t i = 0; i < rank; ++i) {
    if (mask >> i & 1) continue;
    PUT(first ? "i%u" : ", i%u", i);
    first = 0;
  }
  PUT("]");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Unsqueeze, 0, "with further axes of extent 1",
           "(x: T[*], axes: i64[N]) -> (y: T[*]) where T: any", infer_unsqueeze, lower_unsqueeze,
           0);

static trivet_status_t infer_identity(ops_op_t* op, ops_view_t* v) {
  OPS_TRY(tvi_ops_infer_same(op, v));
  return pass_ints(v);
}
OPS_DEFINE(Identity, 0, "the operand itself",
           "(x: T[D...]) -> (y: T[D...]) where T: any\ny[i...] = x[i...]", infer_identity, 0, 0);

// Axes [begin, end) that Shape reports.
static void shape_range(ops_view_t* v, uint32_t* out_begin, uint32_t* out_end) {
  int64_t rank = ops_in(v, 0)->rank;
  int64_t begin = ops_attr(v, "start"), end = trivet_view_attr_i64(v, "end", rank);
  if (begin < 0) begin += rank;
  if (end < 0) end += rank;
  begin = begin < 0 ? 0 : begin > rank ? rank : begin;
  end = end < 0 ? 0 : end > rank ? rank : end;
  *out_begin = (uint32_t)begin;
  *out_end = (uint32_t)(end < begin ? begin : end);
}
static trivet_status_t infer_shape(ops_op_t* op, ops_view_t* v) {
  (void)op;
  uint32_t begin, end;
  shape_range(v, &begin, &end);
  trivet_dim_t count = ops_const(v, end - begin);
  OPS_TRY(trivet_view_set_output(v, 0, TRIVET_DTYPE_I64, 1, &count));
  return v->api->set_output_ints(v, 0, ops_in(v, 0)->dims + begin, end - begin);
}
static trivet_status_t lower_shape(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  uint32_t begin, end;
  shape_range(v, &begin, &end);
  PUT("y[i] = ");
  for (uint32_t i = begin; i + 1 < end; ++i)
    PUT("i == %u ? %s : ", i - begin, DIM(ops_in(v, 0)->dims[i]));
  PUT("%s", begin < end ? DIM(ops_in(v, 0)->dims[end - 1]) : "i");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Shape, 0, "extents of the operand",
           "(x: T[*]) -> (y: i64[*]) where T: any\nattr start: i64 = 0\nattr end?: i64",
           infer_shape, lower_shape, 0);

static trivet_status_t infer_size(ops_op_t* op, ops_view_t* v) {
  (void)op;
  trivet_dim_t size = tvi_ops_product(v, ops_in(v, 0)->dims, 0, ops_in(v, 0)->rank);
  OPS_TRY(trivet_view_set_output(v, 0, TRIVET_DTYPE_I64, 0, 0));
  return v->api->set_output_ints(v, 0, &size, 1);
}
static trivet_status_t lower_size(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  PUT("y = %s", DIM(tvi_ops_product(v, ops_in(v, 0)->dims, 0, ops_in(v, 0)->rank)));
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Size, 0, "number of elements of the operand", "(x: T[*]) -> (y: i64[*]) where T: any",
           infer_size, lower_size, 0);
