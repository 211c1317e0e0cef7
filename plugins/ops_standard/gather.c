// SPDX-License-Identifier: Apache-2.0
//
// Reading at positions that come from data: Gather, GatherElements, GatherND. Negative indices
// count from the end; what is then still out of range is an error at run time.
#include <stdio.h>

#include "plugins/ops_standard/ops_util.h"

static trivet_status_t infer_gather(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t *x = ops_in(v, 0), *at = ops_in(v, 1);
  uint32_t axis, rank = 0;
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), x->rank, &axis));
  if (x->rank + at->rank - 1 > TRIVET_MAX_RANK)
    return OPS_INVALID(v, "the result would have rank %u", x->rank + at->rank - 1);
  trivet_dim_t dims[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < axis; ++i) dims[rank++] = x->dims[i];
  for (uint32_t i = 0; i < at->rank; ++i) dims[rank++] = at->dims[i];
  for (uint32_t i = axis + 1; i < x->rank; ++i) dims[rank++] = x->dims[i];
  OPS_TRY(trivet_view_set_output(v, 0, x->dtype, rank, dims));
  // Elements of a shape taken at known places.
  uint64_t count, place_count;
  const trivet_dim_t* ints = x->rank == 1 ? trivet_view_input_ints(v, 0, &count) : 0;
  const trivet_dim_t* places = ints ? trivet_view_input_ints(v, 1, &place_count) : 0;
  if (!places || place_count > 1024) return 0;
  trivet_dim_t taken[1024];
  for (uint64_t i = 0; i < place_count; ++i) {
    int64_t place;
    if (!trivet_view_dim_value(v, places[i], &place)) return 0;
    if (place < 0) place += (int64_t)count;
    if (place < 0 || (uint64_t)place >= count)
      return OPS_INVALID(v, "index %lld is out of range", (long long)place);
    taken[i] = ints[place];
  }
  return v->api->set_output_ints(v, 0, taken, place_count);
}
static trivet_status_t lower_gather(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *x = ops_in(v, 0), *at = ops_in(v, 1);
  uint32_t axis;
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), x->rank, &axis));
  tvi_ops_put_lhs(&t, "y", "i", ops_out(v, 0)->rank);
  PUT(" = x[");
  for (uint32_t i = 0; i < x->rank; ++i) {
    if (i) PUT(", ");
    if (i == axis) {
      PUT("i64(indices[");
      tvi_ops_put_indices(&t, "i", axis, axis + at->rank);
      PUT("])");
    } else {
      PUT("i%u", i < axis ? i : i + at->rank - 1);
    }
  }
  PUT("; wrap]");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Gather, 0, "slices of x at indices along an axis",
           "(x: T[*], indices: I[*]) -> (y: T[*]) where T: any, I: {i32, i64}\nattr axis: i64 = 0",
           infer_gather, lower_gather, 0);

static trivet_status_t infer_gather_elements(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t *x = ops_in(v, 0), *at = ops_in(v, 1);
  if (x->rank != at->rank)
    return OPS_INVALID(v, "operand and indices have ranks %u and %u", x->rank, at->rank);
  return trivet_view_set_output(v, 0, x->dtype, at->rank, at->dims);
}
static trivet_status_t lower_gather_elements(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  uint32_t axis, rank = ops_in(v, 0)->rank;
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), rank, &axis));
  tvi_ops_put_lhs(&t, "y", "i", rank);
  PUT(" = x[");
  for (uint32_t i = 0; i < rank; ++i) {
    if (i) PUT(", ");
    if (i == axis) {
      PUT("i64(");
      tvi_ops_put_load(&t, "indices", "i", rank);
      PUT(")");
    } else {
      PUT("i%u", i);
    }
  }
  PUT("; wrap]");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(GatherElements, 0, "elements of x at indices along an axis, one index per result",
           "(x: T[*], indices: I[*]) -> (y: T[*]) where T: any, I: {i32, i64}\nattr axis: i64 = 0",
           infer_gather_elements, lower_gather_elements, 0);

// Length of an index tuple: the last extent of the indices, which must be known.
static trivet_status_t tuple_length(ops_view_t* v, uint32_t batch, uint32_t* out_length) {
  const trivet_type_t *x = ops_in(v, 0), *at = ops_in(v, 1);
  int64_t length;
  if (!at->rank || !trivet_view_dim_value(v, at->dims[at->rank - 1], &length))
    return OPS_UNSUPPORTED(v,
                           "the last extent of the indices must be known when the plan is built");
  if (length < 0 || length + batch > x->rank || batch >= at->rank || batch > x->rank)
    return OPS_INVALID(v, "index tuples of %lld with %u batch axes for an operand of rank %u",
                       (long long)length, batch, x->rank);
  *out_length = (uint32_t)length;
  return 0;
}
static trivet_status_t infer_gather_nd(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t *x = ops_in(v, 0), *at = ops_in(v, 1);
  uint32_t length, rank = 0;
  int64_t batch = ops_attr(v, "batch_dims");
  if (batch < 0 || batch > TRIVET_MAX_RANK)
    return OPS_INVALID(v, "attribute batch_dims is %lld", (long long)batch);
  OPS_TRY(tuple_length(v, (uint32_t)batch, &length));
  trivet_dim_t dims[2 * TRIVET_MAX_RANK];
  for (uint32_t i = 0; i + 1 < at->rank; ++i) dims[rank++] = at->dims[i];
  for (uint32_t i = (uint32_t)batch + length; i < x->rank; ++i) dims[rank++] = x->dims[i];
  if (rank > TRIVET_MAX_RANK) return OPS_INVALID(v, "the result would have rank %u", rank);
  return trivet_view_set_output(v, 0, x->dtype, rank, dims);
}
static trivet_status_t lower_gather_nd(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *x = ops_in(v, 0), *at = ops_in(v, 1);
  uint32_t length, batch = (uint32_t)ops_attr(v, "batch_dims");
  OPS_TRY(tuple_length(v, batch, &length));
  tvi_ops_put_lhs(&t, "y", "i", ops_out(v, 0)->rank);
  PUT(" = x[");
  for (uint32_t i = 0; i < x->rank; ++i) {
    if (i) PUT(", ");
    if (i < batch) {
      PUT("i%u", i);
    } else if (i < batch + length) {
      PUT("indices[");
      tvi_ops_put_indices(&t, "i", 0, at->rank - 1);
      PUT("%s%u]", at->rank > 1 ? ", " : "", i - batch);
    } else {
      PUT("i%u", at->rank - 1 + i - batch - length);
    }
  }
  PUT("%s]", length ? "; wrap" : "");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(GatherND, 0, "slices of x at index tuples",
           "(x: T[*], indices: i64[*]) -> (y: T[*]) where T: any\nattr batch_dims: i64 = 0",
           infer_gather_nd, lower_gather_nd, 0);
