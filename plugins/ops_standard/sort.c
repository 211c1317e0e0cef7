// SPDX-License-Identifier: Apache-2.0
//
// Sorting and selection, as host functions: TopK, Unique, NonZero, Compress. The sizes of the last
// three depend on data.
#include "plugins/ops_standard/ops_host.h"

// Merge sort of positions: stable, no recursion, |scratch| as long as |order|. |before| says
// whether a must stand before b.
typedef int (*order_fn_t)(const void* argument, int64_t a, int64_t b);
static void sort_positions(int64_t* order, int64_t* scratch, int64_t count, order_fn_t compare,
                           const void* argument) {
  for (int64_t width = 1; width < count; width *= 2) {
    for (int64_t begin = 0; begin < count; begin += 2 * width) {
      int64_t middle = begin + width < count ? begin + width : count,
              end = begin + 2 * width < count ? begin + 2 * width : count;
      int64_t a = begin, b = middle;
      for (int64_t i = begin; i < end; ++i) {
        scratch[i] = a < middle && (b >= end || compare(argument, order[a], order[b]) <= 0)
                         ? order[a++]
                         : order[b++];
      }
    }
    memcpy(order, scratch, (uint64_t)count * sizeof order[0]);
  }
}

static void copy_element(trivet_tensor_t* y, int64_t to, const trivet_tensor_t* x, int64_t from,
                         uint32_t size) {
  if (size) {
    memcpy((uint8_t*)y->data + (uint64_t)to * size, (const uint8_t*)x->data + (uint64_t)from * size,
           size);
  } else {
    tvi_ops_put_i64(y, to, tvi_ops_get_i64(x, from));
  }
}

static trivet_status_t infer_top_k(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  const trivet_dim_t* k;
  uint64_t count;
  uint32_t axis;
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), x->rank, &axis));
  OPS_TRY(tvi_ops_symbolic_ints(v, 1, "k", &k, &count));
  if (count != 1) return OPS_INVALID(v, "k must hold one number");
  trivet_dim_t dims[TRIVET_MAX_RANK];
  memcpy(dims, x->dims, sizeof dims);
  dims[axis] = k[0];
  OPS_TRY(trivet_view_set_output(v, 0, x->dtype, x->rank, dims));
  return trivet_view_output_count(v) > 1
             ? trivet_view_set_output(v, 1, TRIVET_DTYPE_I64, x->rank, dims)
             : 0;
}
typedef struct top_k_s {
  const trivet_tensor_t* x;
  int64_t base, stride;
  int sign;
} top_k_t;
static int compare_top_k(const void* argument, int64_t a, int64_t b) {
  const top_k_t* t = argument;
  return t->sign * tvi_ops_compare(t->x, t->base + a * t->stride, t->base + b * t->stride);
}
static trivet_status_t evaluate_top_k(ops_op_t* op, ops_eval_t* e) {
  (void)op;
  const trivet_tensor_t* x = ops_eval_in(e, 0);
  uint32_t axis, size = tvi_ops_element_size(x->dtype);
  OPS_TRY(tvi_ops_eval_axis(e, ops_eval_attr(e, "axis", -1), x->rank, &axis));
  int64_t k = tvi_ops_get_i64(ops_eval_in(e, 1), 0), extent = x->dims[axis], dims[TRIVET_MAX_RANK];
  if (k < 0 || k > extent)
    return OPS_EVAL_INVALID(e, "k is %lld for an extent of %lld", (long long)k, (long long)extent);
  memcpy(dims, x->dims, sizeof dims);
  dims[axis] = k;
  trivet_tensor_t *values, *indices = 0;
  OPS_TRY(e->api->output(e, 0, x->dtype, x->rank, dims, &values));
  if (e->api->output_count(e) > 1)
    OPS_TRY(e->api->output(e, 1, TRIVET_DTYPE_I64, x->rank, dims, &indices));
  void* memory;
  OPS_TRY(e->api->scratch(e, (uint64_t)(extent ? extent : 1) * 2 * sizeof(int64_t), &memory));
  int64_t* order = memory;
  top_k_t t = {x, 0, tvi_ops_span(x, axis + 1, x->rank), ops_eval_attr(e, "largest", 1) ? -1 : 1};
  int64_t outer = tvi_ops_span(x, 0, axis);
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t inner = 0; inner < t.stride; ++inner) {
      t.base = o * extent * t.stride + inner;
      for (int64_t i = 0; i < extent; ++i) order[i] = i;
      sort_positions(order, order + extent, extent, compare_top_k, &t);
      for (int64_t i = 0; i < k; ++i) {
        int64_t to = (o * k + i) * t.stride + inner;
        if (values) copy_element(values, to, x, t.base + order[i] * t.stride, size);
        if (indices) ((int64_t*)indices->data)[to] = order[i];
      }
    }
  }
  return 0;
}
OPS_DEFINE(TopK, 0, "the k largest or smallest elements along an axis, in order",
           "(x: T[*], k: i64[*]) -> (values: T[*], indices?: i64[*]) where T: numeric\n"
           "attr axis: i64 = -1\nattr largest: i64 = 1\nattr sorted: i64 = 1",
           infer_top_k, 0, evaluate_top_k);

static trivet_status_t infer_non_zero(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  trivet_dim_t all = tvi_ops_product(v, x->dims, 0, x->rank);
  trivet_dim_t dims[2] = {ops_const(v, x->rank), v->api->dim_data_dependent(v, "nonzero", all)};
  return trivet_view_set_output(v, 0, TRIVET_DTYPE_I64, 2, dims);
}
static trivet_status_t evaluate_non_zero(ops_op_t* op, ops_eval_t* e) {
  (void)op;
  const trivet_tensor_t* x = ops_eval_in(e, 0);
  uint32_t is_float = ops_is_float(x->dtype) || ops_is_small_float(x->dtype);
  int64_t count = tvi_ops_count(x), found = 0;
  for (int64_t i = 0; i < count; ++i)
    found += is_float ? tvi_ops_get_f64(x, i) != 0 : tvi_ops_get_i64(x, i) != 0;
  int64_t dims[2] = {x->rank, found}, next = 0;
  trivet_tensor_t* y;
  OPS_TRY(e->api->output(e, 0, TRIVET_DTYPE_I64, 2, dims, &y));
  if (!y) return 0;
  for (int64_t i = 0; i < count; ++i) {
    if (is_float ? tvi_ops_get_f64(x, i) == 0 : tvi_ops_get_i64(x, i) == 0) continue;
    int64_t rest = i;
    for (uint32_t d = x->rank; d-- > 0; rest /= x->dims[d])
      ((int64_t*)y->data)[d * found + next] = rest % x->dims[d];
    ++next;
  }
  return 0;
}
OPS_DEFINE(NonZero, 0, "positions of the elements that are not zero, one column each",
           "(x: T[*]) -> (y: i64[*]) where T: any", infer_non_zero, 0, evaluate_non_zero);

static trivet_status_t infer_compress(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  trivet_dim_t dims[TRIVET_MAX_RANK];
  if (!trivet_view_attribute(v, "axis")) {
    dims[0] = v->api->dim_data_dependent(v, "compressed", tvi_ops_product(v, x->dims, 0, x->rank));
    return trivet_view_set_output(v, 0, x->dtype, 1, dims);
  }
  uint32_t axis;
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), x->rank, &axis));
  memcpy(dims, x->dims, sizeof dims);
  dims[axis] = v->api->dim_data_dependent(v, "compressed", x->dims[axis]);
  return trivet_view_set_output(v, 0, x->dtype, x->rank, dims);
}
static trivet_status_t evaluate_compress(ops_op_t* op, ops_eval_t* e) {
  (void)op;
  const trivet_tensor_t *x = ops_eval_in(e, 0), *condition = ops_eval_in(e, 1);
  uint32_t flat = !e->api->attribute(e, "axis"), axis = 0, size = tvi_ops_element_size(x->dtype);
  if (!flat) OPS_TRY(tvi_ops_eval_axis(e, ops_eval_attr(e, "axis", 0), x->rank, &axis));
  int64_t outer = flat ? 1 : tvi_ops_span(x, 0, axis),
          extent = flat ? tvi_ops_count(x) : x->dims[axis];
  int64_t inner = flat ? 1 : tvi_ops_span(x, axis + 1, x->rank), length = tvi_ops_count(condition),
          kept = 0, dims[TRIVET_MAX_RANK];
  if (length > extent) length = extent;
  for (int64_t i = 0; i < length; ++i) kept += tvi_ops_get_i64(condition, i) != 0;
  memcpy(dims, x->dims, sizeof dims);
  dims[axis] = kept;
  trivet_tensor_t* y;
  OPS_TRY(e->api->output(e, 0, x->dtype, flat ? 1 : x->rank, dims, &y));
  if (!y) return 0;
  int64_t to = 0;
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < length; ++i) {
      if (!tvi_ops_get_i64(condition, i)) continue;
      for (int64_t n = 0; n < inner; ++n)
        copy_element(y, to++, x, (o * extent + i) * inner + n, size);
    }
  }
  return 0;
}
OPS_DEFINE(Compress, 0, "slices along an axis for which a condition holds",
           "(x: T[*], condition: bool[N]) -> (y: T[*]) where T: any\nattr axis?: i64",
           infer_compress, 0, evaluate_compress);

static trivet_status_t infer_unique(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t axis = 0, flat = !trivet_view_attribute(v, "axis");
  trivet_dim_t dims[TRIVET_MAX_RANK], extent;
  if (!flat) OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), x->rank, &axis));
  memcpy(dims, x->dims, sizeof dims);
  extent = flat ? tvi_ops_product(v, x->dims, 0, x->rank) : x->dims[axis];
  dims[axis] = v->api->dim_data_dependent(v, "unique", extent);
  OPS_TRY(trivet_view_set_output(v, 0, x->dtype, flat ? 1 : x->rank, dims));
  for (uint32_t i = 1; i < trivet_view_output_count(v); ++i) {
    OPS_TRY(trivet_view_set_output(v, i, TRIVET_DTYPE_I64, 1, i == 2 ? &extent : &dims[axis]));
  }
  return 0;
}
// Slices along the axis compared element by element.
typedef struct slices_s {
  const trivet_tensor_t* x;
  int64_t outer, extent, inner;
} slices_t;
static int compare_slices(const void* argument, int64_t a, int64_t b) {
  const slices_t* s = argument;
  for (int64_t o = 0; o < s->outer; ++o) {
    for (int64_t n = 0; n < s->inner; ++n) {
      int c = tvi_ops_compare(s->x, (o * s->extent + a) * s->inner + n,
                              (o * s->extent + b) * s->inner + n);
      if (c) return c;
    }
  }
  return 0;
}
static int compare_numbers(const void* argument, int64_t a, int64_t b) {
  const int64_t* values = argument;
  return (values[a] > values[b]) - (values[a] < values[b]);
}
static trivet_status_t evaluate_unique(ops_op_t* op, ops_eval_t* e) {
  (void)op;
  const trivet_tensor_t* x = ops_eval_in(e, 0);
  uint32_t flat = !e->api->attribute(e, "axis"), axis = 0, size = tvi_ops_element_size(x->dtype);
  if (!flat) OPS_TRY(tvi_ops_eval_axis(e, ops_eval_attr(e, "axis", 0), x->rank, &axis));
  slices_t s = {x, flat ? 1 : tvi_ops_span(x, 0, axis), flat ? tvi_ops_count(x) : x->dims[axis],
                flat ? 1 : tvi_ops_span(x, axis + 1, x->rank)};
  void* memory;
  OPS_TRY(e->api->scratch(e, (uint64_t)(s.extent ? s.extent : 1) * 6 * sizeof(int64_t), &memory));
  int64_t *order = memory, *scratch = order + s.extent, *first = scratch + s.extent,
          *inverse = first + s.extent;
  int64_t *counts = inverse + s.extent, *rank = counts + s.extent, found = 0;
  for (int64_t i = 0; i < s.extent; ++i) order[i] = i;
  sort_positions(order, scratch, s.extent, compare_slices, &s);
  for (int64_t i = 0; i < s.extent; ++i) {
    // The sort is stable: the first of a run of equals is the first occurrence.
    if (!i || compare_slices(&s, order[i - 1], order[i])) {
      first[found] = order[i];
      counts[found++] = 0;
    }
    inverse[order[i]] = found - 1;
    ++counts[found - 1];
  }
  // Unsorted: in the order of first occurrence. order[k] is the k-th result, rank its inverse.
  for (int64_t i = 0; i < found; ++i) order[i] = i;
  if (!ops_eval_attr(e, "sorted", 1)) sort_positions(order, scratch, found, compare_numbers, first);
  for (int64_t i = 0; i < found; ++i) rank[order[i]] = i;
  int64_t dims[TRIVET_MAX_RANK];
  memcpy(dims, x->dims, sizeof dims);
  dims[axis] = found;
  trivet_tensor_t *y, *more[3] = {0, 0, 0};
  OPS_TRY(e->api->output(e, 0, x->dtype, flat ? 1 : x->rank, dims, &y));
  for (uint32_t i = 1; i < 4 && i < e->api->output_count(e); ++i) {
    OPS_TRY(e->api->output(e, i, TRIVET_DTYPE_I64, 1, i == 2 ? &s.extent : &found, &more[i - 1]));
  }
  for (int64_t k = 0; k < found; ++k) {
    for (int64_t o = 0; y && o < s.outer; ++o) {
      for (int64_t n = 0; n < s.inner; ++n)
        copy_element(y, (o * found + k) * s.inner + n, x,
                     (o * s.extent + first[order[k]]) * s.inner + n, size);
    }
    if (more[0]) ((int64_t*)more[0]->data)[k] = first[order[k]];
    if (more[2]) ((int64_t*)more[2]->data)[k] = counts[order[k]];
  }
  for (int64_t i = 0; more[1] && i < s.extent; ++i) ((int64_t*)more[1]->data)[i] = rank[inverse[i]];
  return 0;
}
OPS_DEFINE(Unique, 0,
           "different elements or slices, where they first are, which is which, and how often",
           "(x: T[*]) -> (y: T[*], indices?: i64[*], inverse?: i64[*], counts?: i64[*]) where T: "
           "any\nattr axis?: i64\nattr sorted: i64 = 1",
           infer_unique, 0, evaluate_unique);
