// SPDX-License-Identifier: Apache-2.0
//
// Padding and cropping, blocks of space and depth, triangles, sequences reversed: one load at a
// quasi-affine position each.
#include "plugins/ops_standard/ops_util.h"

// What is before and behind each axis.
static trivet_status_t padding(ops_view_t* v, trivet_dim_t* before, trivet_dim_t* behind) {
  const trivet_type_t* x = ops_in(v, 0);
  const trivet_dim_t* pads;
  uint64_t pad_count;
  int64_t axes[TRIVET_MAX_RANK];
  uint32_t count, present;
  OPS_TRY(tvi_ops_symbolic_ints(v, 1, "pads", &pads, &pad_count));
  OPS_TRY(tvi_ops_known_ints(v, 3, "axes", axes, TRIVET_MAX_RANK, &count, &present));
  if (!present) count = x->rank;
  if (pad_count != 2u * count)
    return OPS_INVALID(v, "pads has %llu elements for %u axes", (unsigned long long)pad_count,
                       count);
  for (uint32_t i = 0; i < x->rank; ++i) before[i] = behind[i] = ops_const(v, 0);
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t axis;
    OPS_TRY(tvi_ops_axis(v, "an element of axes", present ? axes[i] : i, x->rank, &axis));
    before[axis] = pads[i];
    behind[axis] = pads[count + i];
  }
  return 0;
}
static trivet_status_t infer_pad(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  trivet_dim_t before[TRIVET_MAX_RANK], behind[TRIVET_MAX_RANK], dims[TRIVET_MAX_RANK];
  OPS_TRY(padding(v, before, behind));
  for (uint32_t i = 0; i < x->rank; ++i)
    dims[i] = ops_add(v, ops_add(v, x->dims[i], before[i]), behind[i]);
  return trivet_view_set_output(v, 0, x->dtype, x->rank, dims);
}
static trivet_status_t lower_pad(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  trivet_dim_t before[TRIVET_MAX_RANK], behind[TRIVET_MAX_RANK], zero = ops_const(v, 0);
  OPS_TRY(padding(v, before, behind));
  uint32_t constant = ops_attr_is(v, "mode", "constant"), edge = ops_attr_is(v, "mode", "edge"),
           wrap = ops_attr_is(v, "mode", "wrap");
  if (!constant && !edge && !wrap && !ops_attr_is(v, "mode", "reflect"))
    return OPS_INVALID(v, "attribute mode must be constant, reflect, edge or wrap");
  tvi_ops_put_lhs(&t, "y", "i", x->rank);
  PUT(" = x[");
  for (uint32_t i = 0; i < x->rank; ++i) {
    const char* extent = DIM(x->dims[i]);
    PUT("%s", i ? ", " : "");
    uint32_t untouched = before[i] == zero && behind[i] == zero;
    if (untouched || constant) {
      PUT(before[i] == zero ? "i%u" : "i%u - %s", i, DIM(before[i]));
    } else if (edge) {
      PUT("min(max(i%u - %s, 0), %s - 1)", i, DIM(before[i]), extent);
    } else if (wrap) {
      PUT("mod(i%u - %s, %s)", i, DIM(before[i]), extent);
    } else {
      // Positions repeat with the period 2 (extent - 1), mirrored in its second half.
      trivet_dim_t turn = ops_mul_i(v, ops_add_i(v, x->dims[i], -1), 2);
      const char* period = DIM(ops_max(v, turn, ops_const(v, 1)));
      PUT("min(mod(i%u - %s, %s), ", i, DIM(before[i]), period);
      PUT("%s - mod(i%u - %s, %s))", DIM(turn), i, DIM(before[i]), period);
    }
  }
  if (constant) {
    OPS_TRY(tvi_ops_single(v, 2, "value"));
    const trivet_type_t* value = ops_in(v, 2);
    PUT("; pad = %s", value                           ? value->rank ? "value[0]" : "value[]"
                      : x->dtype == TRIVET_DTYPE_BOOL ? "false"
                                                      : "0");
  }
  PUT("]");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(
    Pad, 0,
    "further elements before and behind the axes: a constant, the mirror image, the edge, or the "
    "other end",
    "(x: T[*], pads: i64[N], value?: T[*], axes?: I[M]) -> (y: T[*]) where T: any, I: {i32, i64}\n"
    "attr mode: string = \"constant\"",
    infer_pad, lower_pad, 0);

static trivet_status_t crop_or_pad(ops_view_t* v, trivet_dim_t* dims, trivet_dim_t* shifts) {
  const trivet_type_t* x = ops_in(v, 0);
  const trivet_dim_t* shape;
  uint64_t count, axis_count;
  OPS_TRY(tvi_ops_symbolic_ints(v, 1, "shape", &shape, &count));
  const int64_t* axes = trivet_view_attr_i64s(v, "axes", &axis_count);
  if (!axes) axis_count = x->rank;
  if (count != axis_count)
    return OPS_INVALID(v, "shape has %llu elements for %llu axes", (unsigned long long)count,
                       (unsigned long long)axis_count);
  for (uint32_t i = 0; i < x->rank; ++i) {
    dims[i] = x->dims[i];
    shifts[i] = ops_const(v, 0);
  }
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t axis;
    OPS_TRY(tvi_ops_axis(v, "an element of axes", axes ? axes[i] : i, x->rank, &axis));
    trivet_dim_t zero = ops_const(v, 0), two = ops_const(v, 2), from = x->dims[axis], to = shape[i];
    dims[axis] = to;
    // Half of the difference, towards zero: positive where elements are cut off, negative where
    // they are added.
    shifts[axis] = ops_sub(v, ops_floordiv(v, ops_max(v, zero, ops_sub(v, from, to)), two),
                           ops_floordiv(v, ops_max(v, zero, ops_sub(v, to, from)), two));
  }
  return 0;
}
static trivet_status_t infer_center_crop_pad(ops_op_t* op, ops_view_t* v) {
  (void)op;
  trivet_dim_t dims[TRIVET_MAX_RANK], shifts[TRIVET_MAX_RANK];
  OPS_TRY(crop_or_pad(v, dims, shifts));
  return trivet_view_set_output(v, 0, ops_in(v, 0)->dtype, ops_in(v, 0)->rank, dims);
}
static trivet_status_t lower_center_crop_pad(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  trivet_dim_t dims[TRIVET_MAX_RANK], shifts[TRIVET_MAX_RANK];
  OPS_TRY(crop_or_pad(v, dims, shifts));
  tvi_ops_put_lhs(&t, "y", "i", x->rank);
  PUT(" = x[");
  for (uint32_t i = 0; i < x->rank; ++i) {
    PUT(i ? ", i%u" : "i%u", i);
    if (!ops_is(v, shifts[i], 0)) PUT(" + %s", DIM(shifts[i]));
  }
  PUT("; pad = %s]", x->dtype == TRIVET_DTYPE_BOOL ? "false" : "0");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(CenterCropPad, 0, "cut or padded with zeros around the middle to a shape",
           "(x: T[*], shape: I[N]) -> (y: T[*]) where T: any, I: {i32, i64}\nattr axes?: i64[]",
           infer_center_crop_pad, lower_center_crop_pad, 0);

static trivet_status_t block_size(ops_view_t* v, int64_t* out_block, uint32_t* out_depth_first) {
  const trivet_type_t* x = ops_in(v, 0);
  *out_block = ops_attr(v, "blocksize");
  *out_depth_first = ops_attr_is(v, "mode", "DCR");
  if (x->rank != 4) return OPS_INVALID(v, "the operand has rank %u where 4 is needed", x->rank);
  if (*out_block < 1 || *out_block > 65536)
    return OPS_INVALID(v, "attribute blocksize is %lld", (long long)*out_block);
  if (!*out_depth_first && !ops_attr_is(v, "mode", "CRD"))
    return OPS_INVALID(v, "attribute mode must be DCR or CRD");
  return 0;
}
static trivet_status_t infer_depth_to_space(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  int64_t b, channels;
  uint32_t depth_first;
  OPS_TRY(block_size(v, &b, &depth_first));
  if (trivet_view_dim_value(v, x->dims[1], &channels) && channels % (b * b))
    return OPS_INVALID(v, "%lld channels cannot be divided into blocks of %lld",
                       (long long)channels, (long long)(b * b));
  trivet_dim_t dims[4] = {x->dims[0], ops_floordiv(v, x->dims[1], ops_const(v, b * b)),
                          ops_mul_i(v, x->dims[2], b), ops_mul_i(v, x->dims[3], b)};
  return trivet_view_set_output(v, 0, x->dtype, 4, dims);
}
static trivet_status_t lower_depth_to_space(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  int64_t block;
  uint32_t depth_first;
  OPS_TRY(block_size(v, &block, &depth_first));
  long long b = block;
  PUT("y[n, c, h, w] = x[n, ");
  if (depth_first) {
    PUT("(mod(h, %lld)*%lld + mod(w, %lld))*%s + c", b, b, b, DIM(ops_out(v, 0)->dims[1]));
  } else {
    PUT("c*%lld + mod(h, %lld)*%lld + mod(w, %lld)", b * b, b, b, b);
  }
  PUT(", floordiv(h, %lld), floordiv(w, %lld)]", b, b);
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(DepthToSpace, 0, "blocks of channels spread over height and width",
           "(x: T[*]) -> (y: T[*]) where T: any\nattr blocksize: i64\nattr mode: string = \"DCR\"",
           infer_depth_to_space, lower_depth_to_space, 0);

static trivet_status_t infer_space_to_depth(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  int64_t b, extent;
  uint32_t depth_first;
  OPS_TRY(block_size(v, &b, &depth_first));
  for (uint32_t i = 2; i < 4; ++i) {
    if (trivet_view_dim_value(v, x->dims[i], &extent) && extent % b)
      return OPS_INVALID(v, "extent %lld cannot be divided into blocks of %lld", (long long)extent,
                         (long long)b);
  }
  trivet_dim_t block = ops_const(v, b);
  trivet_dim_t dims[4] = {x->dims[0], ops_mul_i(v, x->dims[1], b * b),
                          ops_floordiv(v, x->dims[2], block), ops_floordiv(v, x->dims[3], block)};
  return trivet_view_set_output(v, 0, x->dtype, 4, dims);
}
static trivet_status_t lower_space_to_depth(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  int64_t block;
  uint32_t depth_first;
  OPS_TRY(block_size(v, &block, &depth_first));
  long long b = block;
  const char* channels = DIM(ops_in(v, 0)->dims[1]);
  if (depth_first) {
    PUT("y[n, c, h, w] = x[n, mod(c, %s), h*%lld + floordiv(c, %s*%lld), ", channels, b, channels,
        b);
    PUT("w*%lld + mod(floordiv(c, %s), %lld)]", b, channels, b);
  } else {
    PUT("y[n, c, h, w] = x[n, floordiv(c, %lld), h*%lld + mod(floordiv(c, %lld), %lld), ", b * b, b,
        b, b);
    PUT("w*%lld + mod(c, %lld)]", b, b);
  }
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(SpaceToDepth, 0, "blocks of height and width gathered in channels",
           "(x: T[*]) -> (y: T[*]) where T: any\nattr blocksize: i64\nattr mode: string = \"DCR\"",
           infer_space_to_depth, lower_space_to_depth, 0);

static trivet_status_t lower_trilu(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *x = ops_in(v, 0), *k = ops_in(v, 1);
  if (x->rank < 2)
    return OPS_INVALID(v, "the operand has rank %u where at least 2 is needed", x->rank);
  OPS_TRY(tvi_ops_single(v, 1, "k"));
  tvi_ops_put_lhs(&t, "y", "i", x->rank);
  PUT(" = i%u - i%u %s %s ? ", x->rank - 1, x->rank - 2,
      ops_attr(v, "upper") ? ">=" : "<=", k ? k->rank ? "k[0]" : "k[]" : "0");
  tvi_ops_put_load(&t, "x", "i", x->rank);
  PUT(" : %s", x->dtype == TRIVET_DTYPE_BOOL ? "false" : "0");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Trilu, 0, "upper or lower triangle of the innermost matrices",
           "(x: T[D...], k?: i64[*]) -> (y: T[D...]) where T: any\nattr upper: i64 = 1", 0,
           lower_trilu, 0);

static trivet_status_t lower_reverse_sequence(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t batch, time;
  OPS_TRY(tvi_ops_axis(v, "attribute batch_axis", ops_attr(v, "batch_axis"), x->rank, &batch));
  OPS_TRY(tvi_ops_axis(v, "attribute time_axis", ops_attr(v, "time_axis"), x->rank, &time));
  tvi_ops_put_lhs(&t, "y", "i", x->rank);
  PUT(" = x[");
  for (uint32_t i = 0; i < x->rank; ++i) {
    PUT("%s", i ? ", " : "");
    if (i == time) {
      PUT("i%u < lengths[i%u] ? lengths[i%u] - 1 - i%u : i%u", i, batch, batch, i, i);
    } else {
      PUT("i%u", i);
    }
  }
  PUT("; clip]");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(ReverseSequence, 0, "the first elements of each sequence in reverse order",
           "(x: T[D...], lengths: i64[N]) -> (y: T[D...]) where T: any\nattr batch_axis: i64 = "
           "1\nattr time_axis: i64 = 0",
           0, lower_reverse_sequence, 0);
