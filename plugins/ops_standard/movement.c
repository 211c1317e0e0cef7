// SPDX-License-Identifier: Apache-2.0
//
// Data movement whose source position is an affine function of the destination: transposes,
// concatenation, splitting, slices, padding, expansion and tiling, blocks of space and depth. One
// load each, so that a schedule can make them vanish.
#include <stdio.h>

#include "plugins/ops_standard/ops_util.h"

static trivet_status_t permutation(ops_view_t* v, uint32_t* perm) {
  uint32_t rank = ops_in(v, 0)->rank, seen = 0;
  uint64_t count;
  const int64_t* list = trivet_view_attr_i64s(v, "perm", &count);
  if (list && count != rank)
    return OPS_INVALID(v, "attribute perm has %llu elements for an operand of rank %u",
                       (unsigned long long)count, rank);
  for (uint32_t i = 0; i < rank; ++i) {
    OPS_TRY(tvi_ops_axis(v, "an element of perm", list ? list[i] : rank - 1 - (int64_t)i, rank,
                         &perm[i]));
    if (seen >> perm[i] & 1) return OPS_INVALID(v, "attribute perm names axis %u twice", perm[i]);
    seen |= 1u << perm[i];
  }
  return 0;
}
static trivet_status_t infer_transpose(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t perm[TRIVET_MAX_RANK];
  OPS_TRY(permutation(v, perm));
  trivet_dim_t dims[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < x->rank; ++i) dims[i] = x->dims[perm[i]];
  return trivet_view_set_output(v, 0, x->dtype, x->rank, dims);
}
static trivet_status_t lower_transpose(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  uint32_t rank = ops_in(v, 0)->rank, perm[TRIVET_MAX_RANK], from[TRIVET_MAX_RANK];
  OPS_TRY(permutation(v, perm));
  for (uint32_t i = 0; i < rank; ++i) from[perm[i]] = i;
  tvi_ops_put_lhs(&t, "y", "i", rank);
  PUT(" = x[");
  for (uint32_t i = 0; i < rank; ++i) PUT(i ? ", i%u" : "i%u", from[i]);
  PUT("]");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Transpose, 0, "axes in another order",
           "(x: T[*]) -> (y: T[*]) where T: any\nattr perm?: i64[]", infer_transpose,
           lower_transpose, 0);

static trivet_status_t infer_concat(ops_op_t* op, ops_view_t* v) {
  (void)op;
  uint32_t count = trivet_view_input_count(v), axis;
  if (!count) return OPS_INVALID(v, "at least one operand is needed");
  const trivet_type_t* first = ops_in(v, 0);
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), first->rank, &axis));
  trivet_dim_t dims[TRIVET_MAX_RANK];
  memcpy(dims, first->dims, sizeof dims);
  for (uint32_t n = 1; n < count; ++n) {
    const trivet_type_t* x = ops_in(v, n);
    if (x->rank != first->rank)
      return OPS_INVALID(v, "operand %u has rank %u, operand 0 has rank %u", n, x->rank,
                         first->rank);
    for (uint32_t i = 0; i < x->rank; ++i) {
      int64_t a, b;
      uint32_t known = trivet_view_dim_value(v, x->dims[i], &a);
      if (i == axis) {
        dims[i] = ops_add(v, dims[i], x->dims[i]);
      } else if (known && trivet_view_dim_value(v, dims[i], &b) && a != b) {
        return OPS_INVALID(v, "operand %u has extent %lld along axis %u where operand 0 has %lld",
                           n, (long long)a, i, (long long)b);
      } else if (known) {
        dims[i] = x->dims[i];
      }
    }
  }
  OPS_TRY(trivet_view_set_output(v, 0, first->dtype, first->rank, dims));
  if (first->rank != 1) return 0;
  trivet_dim_t all[1024];
  uint64_t total = 0;
  for (uint32_t n = 0; n < count; ++n) {
    uint64_t part;
    const trivet_dim_t* values = trivet_view_input_ints(v, n, &part);
    if (!values) {
      if (ops_is(v, ops_in(v, n)->dims[0], 0)) continue;
      return 0;
    }
    if (total + part > 1024) return 0;
    memcpy(all + total, values, part * sizeof all[0]);
    total += part;
  }
  return v->api->set_output_ints(v, 0, all, total);
}
static trivet_status_t lower_concat(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  uint32_t count = trivet_view_input_count(v), rank = ops_in(v, 0)->rank, axis;
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), rank, &axis));
  tvi_ops_put_lhs(&t, "y", "i", rank);
  PUT(" = ");
  trivet_dim_t begin = ops_const(v, 0);
  uint32_t last = count;
  for (uint32_t n = 0; n < count; ++n) {
    if (!ops_is(v, ops_in(v, n)->dims[axis], 0)) last = n;
  }
  if (last == count) last = 0;
  for (uint32_t n = 0; n <= last; ++n) {
    trivet_dim_t extent = ops_in(v, n)->dims[axis], end = ops_add(v, begin, extent);
    if (n < last && ops_is(v, extent, 0)) continue;
    if (n < last) PUT("i%u < %s ? ", axis, DIM(end));
    PUT("x:%u[", n);
    for (uint32_t i = 0; i < rank; ++i) {
      PUT(i ? ", i%u" : "i%u", i);
      if (i == axis && !ops_is(v, begin, 0)) PUT(" - %s", DIM(begin));
    }
    PUT(n < last ? "] : " : "]");
    begin = end;
  }
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Concat, 0, "operands one after the other along an axis",
           "(x...: T[*]) -> (y: T[*]) where T: any\nattr axis: i64", infer_concat, lower_concat, 0);

// Extents of the parts of a Split.
static trivet_status_t split_sizes(ops_view_t* v, uint32_t axis, trivet_dim_t* sizes,
                                   uint32_t count) {
  trivet_dim_t extent = ops_in(v, 0)->dims[axis];
  if (ops_in(v, 1)) {
    const trivet_dim_t* given;
    uint64_t given_count;
    OPS_TRY(tvi_ops_symbolic_ints(v, 1, "split", &given, &given_count));
    if (given_count != count)
      return OPS_INVALID(v, "split has %llu elements for %u results",
                         (unsigned long long)given_count, count);
    memcpy(sizes, given, count * sizeof sizes[0]);
    return 0;
  }
  int64_t parts = trivet_view_attr_i64(v, "num_outputs", count);
  if (parts < (int64_t)count)
    return OPS_INVALID(v, "attribute num_outputs is %lld for %u results", (long long)parts, count);
  // All parts but the last are equal; the last takes what is left.
  trivet_dim_t size = ops_ceildiv(v, extent, ops_const(v, parts));
  for (uint32_t i = 0; i < count; ++i) {
    sizes[i] = i + 1 < parts ? size : ops_sub(v, extent, ops_mul_i(v, size, parts - 1));
  }
  return 0;
}
static trivet_status_t infer_split(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t axis, count = trivet_view_output_count(v);
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), x->rank, &axis));
  if (count > 1024) return OPS_INVALID(v, "%u results; at most 1024 are possible", count);
  trivet_dim_t sizes[1024], dims[TRIVET_MAX_RANK];
  OPS_TRY(split_sizes(v, axis, sizes, count));
  memcpy(dims, x->dims, sizeof dims);
  uint64_t int_count, begin = 0;
  const trivet_dim_t* ints = x->rank == 1 ? trivet_view_input_ints(v, 0, &int_count) : 0;
  for (uint32_t i = 0; i < count; ++i) {
    dims[axis] = sizes[i];
    OPS_TRY(trivet_view_set_output(v, i, x->dtype, x->rank, dims));
    int64_t size;
    if (!ints || !trivet_view_dim_value(v, sizes[i], &size) || size < 0 ||
        begin + (uint64_t)size > int_count) {
      ints = 0;
    } else {
      OPS_TRY(v->api->set_output_ints(v, i, ints + begin, (uint64_t)size));
      begin += (uint64_t)size;
    }
  }
  return 0;
}
static trivet_status_t lower_split(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t axis, count = trivet_view_output_count(v);
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), x->rank, &axis));
  trivet_dim_t sizes[1024], begin = ops_const(v, 0);
  OPS_TRY(split_sizes(v, axis, sizes, count));
  for (uint32_t n = 0; n < count; ++n) {
    if (ops_out(v, n)) {
      char name[24];
      snprintf(name, sizeof name, "y:%u", n);
      tvi_ops_put_lhs(&t, name, "i", x->rank);
      PUT(" = x[");
      for (uint32_t i = 0; i < x->rank; ++i) {
        PUT(i ? ", i%u" : "i%u", i);
        if (i == axis && !ops_is(v, begin, 0)) PUT(" + %s", DIM(begin));
      }
      PUT("]\n");
    }
    begin = ops_add(v, begin, sizes[n]);
  }
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Split, 0, "parts of the operand along an axis",
           "(x: T[*], split?: i64[N]) -> (y...: T[*]) where T: any\nattr axis: i64 = 0\nattr "
           "num_outputs?: i64",
           infer_split, lower_split, 0);

// Slice: per axis a first position, a step and an extent.
typedef struct slice_s {
  trivet_dim_t begin, extent;
  int64_t step;
} slice_t;

// Start or end of a slice: negative positions count from the end, then the position is limited to
// [low, high].
static trivet_dim_t slice_bound(ops_view_t* v, trivet_dim_t value, trivet_dim_t extent,
                                trivet_dim_t low, trivet_dim_t high) {
  int64_t min, max, number;
  if (!value) return 0;
  v->api->dim_range(v, value, &min, &max);
  if (trivet_view_dim_value(v, value, &number)) {
    if (number < 0) {
      // Positions far below the front are the front: keeps the arithmetic away from the ends of 64
      // bits.
      if (number < -((int64_t)1 << 40)) return low;
      value = ops_add(v, extent, value);
    } else if (number > ((int64_t)1 << 40)) {
      return high;
    }
  } else if (max < 0) {
    value = ops_add(v, extent, value);
  } else if (min < 0) {
    // The sign is known at run time only: value + extent * (value < 0).
    trivet_dim_t negative = ops_min(
        v, ops_const(v, 1), ops_max(v, ops_const(v, 0), ops_sub(v, ops_const(v, 0), value)));
    value = ops_add(v, value, ops_mul(v, extent, negative));
  }
  return ops_max(v, low, ops_min(v, high, value));
}

static trivet_status_t slices(ops_view_t* v, slice_t* result) {
  const trivet_type_t* x = ops_in(v, 0);
  const trivet_dim_t *starts, *ends;
  uint64_t count, end_count;
  OPS_TRY(tvi_ops_symbolic_ints(v, 1, "starts", &starts, &count));
  OPS_TRY(tvi_ops_symbolic_ints(v, 2, "ends", &ends, &end_count));
  int64_t axes[TRIVET_MAX_RANK], steps[TRIVET_MAX_RANK];
  uint32_t axis_count, step_count, has_axes, has_steps;
  OPS_TRY(tvi_ops_known_ints(v, 3, "axes", axes, TRIVET_MAX_RANK, &axis_count, &has_axes));
  OPS_TRY(tvi_ops_known_ints(v, 4, "steps", steps, TRIVET_MAX_RANK, &step_count, &has_steps));
  if (count != end_count || (has_axes && axis_count != count) ||
      (has_steps && step_count != count) || count > x->rank)
    return OPS_INVALID(
        v, "starts, ends, axes and steps must have the same number of elements, at most the rank");
  trivet_dim_t zero = ops_const(v, 0);
  for (uint32_t i = 0; i < x->rank; ++i) result[i] = (slice_t){zero, x->dims[i], 1};
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t axis;
    OPS_TRY(tvi_ops_axis(v, "an element of axes", has_axes ? axes[i] : i, x->rank, &axis));
    slice_t* s = &result[axis];
    trivet_dim_t extent = x->dims[axis], last = ops_add_i(v, extent, -1), before = ops_const(v, -1);
    s->step = has_steps ? steps[i] : 1;
    if (s->step == 0 || s->step == INT64_MIN)
      return OPS_INVALID(v, "a step of a slice is %lld", (long long)s->step);
    if (s->step > 0) {
      s->begin = slice_bound(v, starts[i], extent, zero, extent);
      trivet_dim_t end = slice_bound(v, ends[i], extent, zero, extent);
      s->extent =
          ops_max(v, zero, ops_ceildiv(v, ops_sub(v, end, s->begin), ops_const(v, s->step)));
    } else {
      s->begin = slice_bound(v, starts[i], extent, zero, last);
      trivet_dim_t end = slice_bound(v, ends[i], extent, before, last);
      s->extent =
          ops_max(v, zero, ops_ceildiv(v, ops_sub(v, s->begin, end), ops_const(v, -s->step)));
    }
  }
  return 0;
}
static trivet_status_t infer_slice(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  slice_t s[TRIVET_MAX_RANK];
  OPS_TRY(slices(v, s));
  trivet_dim_t dims[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < x->rank; ++i) dims[i] = s[i].extent;
  OPS_TRY(trivet_view_set_output(v, 0, x->dtype, x->rank, dims));
  uint64_t count;
  int64_t begin, extent;
  const trivet_dim_t* ints = x->rank == 1 ? trivet_view_input_ints(v, 0, &count) : 0;
  if (!ints || !trivet_view_dim_value(v, s[0].begin, &begin) ||
      !trivet_view_dim_value(v, s[0].extent, &extent))
    return 0;
  trivet_dim_t taken[1024];
  if (extent > 1024) return 0;
  for (int64_t i = 0; i < extent; ++i) {
    int64_t from = begin + i * s[0].step;
    if (from < 0 || (uint64_t)from >= count) return 0;
    taken[i] = ints[from];
  }
  return v->api->set_output_ints(v, 0, taken, (uint64_t)extent);
}
static trivet_status_t lower_slice(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  slice_t s[TRIVET_MAX_RANK];
  OPS_TRY(slices(v, s));
  tvi_ops_put_lhs(&t, "y", "i", x->rank);
  PUT(" = x[");
  for (uint32_t i = 0; i < x->rank; ++i) {
    PUT("%s", i ? ", " : "");
    if (s[i].step < 0) {
      PUT("%s - i%u*%lld", DIM(s[i].begin), i, -(long long)s[i].step);
    } else {
      PUT("i%u", i);
      if (s[i].step != 1) PUT("*%lld", (long long)s[i].step);
      if (!ops_is(v, s[i].begin, 0)) PUT(" + %s", DIM(s[i].begin));
    }
  }
  PUT("]");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Slice, 0, "every step-th element from start to end along axes",
           "(x: T[*], starts: I[N], ends: I[N], axes?: I[N], steps?: I[N]) -> (y: T[*]) where T: "
           "any, I: {i32, i64}",
           infer_slice, lower_slice, 0);

static trivet_status_t infer_expand(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  const trivet_dim_t* shape;
  uint64_t count;
  OPS_TRY(tvi_ops_symbolic_ints(v, 1, "shape", &shape, &count));
  if (count > TRIVET_MAX_RANK)
    return OPS_INVALID(v, "shape has %llu elements; at most %u are possible",
                       (unsigned long long)count, TRIVET_MAX_RANK);
  trivet_type_t target = {x->dtype, (uint32_t)count, {0}};
  memcpy(target.dims, shape, count * sizeof shape[0]);
  trivet_dim_t dims[TRIVET_MAX_RANK];
  uint32_t rank = x->rank;
  memcpy(dims, x->dims, sizeof dims);
  OPS_TRY(tvi_ops_broadcast(v, &target, dims, &rank));
  return trivet_view_set_output(v, 0, x->dtype, rank, dims);
}
static trivet_status_t lower_expand(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  tvi_ops_put_lhs(&t, "y", "i", ops_out(v, 0)->rank);
  PUT(" = ");
  tvi_ops_put_broadcast_load(&t, "x", "i", ops_in(v, 0), ops_out(v, 0));
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Expand, 0, "broadcast to a shape", "(x: T[*], shape: i64[N]) -> (y: T[*]) where T: any",
           infer_expand, lower_expand, 0);

static trivet_status_t infer_tile(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  const trivet_dim_t* repeats;
  uint64_t count;
  OPS_TRY(tvi_ops_symbolic_ints(v, 1, "repeats", &repeats, &count));
  if (count != x->rank)
    return OPS_INVALID(v, "repeats has %llu elements for an operand of rank %u",
                       (unsigned long long)count, x->rank);
  trivet_dim_t dims[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < x->rank; ++i) dims[i] = ops_mul(v, x->dims[i], repeats[i]);
  return trivet_view_set_output(v, 0, x->dtype, x->rank, dims);
}
static trivet_status_t lower_tile(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *x = ops_in(v, 0), *y = ops_out(v, 0);
  tvi_ops_put_lhs(&t, "y", "i", x->rank);
  PUT(" = x[");
  for (uint32_t i = 0; i < x->rank; ++i) {
    PUT("%s", i ? ", " : "");
    if (ops_is(v, x->dims[i], 1)) {
      PUT("0");
    } else if (x->dims[i] == y->dims[i]) {
      PUT("i%u", i);
    } else {
      PUT("mod(i%u, %s)", i, DIM(x->dims[i]));
    }
  }
  PUT("]");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Tile, 0, "the operand repeated along its axes",
           "(x: T[*], repeats: i64[N]) -> (y: T[*]) where T: any", infer_tile, lower_tile, 0);
