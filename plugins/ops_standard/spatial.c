// SPDX-License-Identifier: Apache-2.0
//
// Sampling at positions that are computed or given: GridSample, AffineGrid, DeformConv, and Col2Im
// as the sum over the blocks that cover a place. Positions are lets of their own, so that all
// channels share them.
#include <stdio.h>

#include "plugins/ops_standard/ops_util.h"
#include "plugins/ops_standard/ops_window.h"

static trivet_status_t infer_grid_sample(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t *x = ops_in(v, 0), *grid = ops_in(v, 1);
  int64_t axes;
  if (x->rank < 3 || grid->rank != x->rank)
    return OPS_INVALID(v, "operand and grid have ranks %u and %u", x->rank, grid->rank);
  if (trivet_view_dim_value(v, grid->dims[grid->rank - 1], &axes) && axes != (int64_t)x->rank - 2)
    return OPS_INVALID(v, "the grid has %lld coordinates for %u spatial axes", (long long)axes,
                       x->rank - 2);
  trivet_dim_t dims[TRIVET_MAX_RANK] = {x->dims[0], x->dims[1]};
  for (uint32_t i = 2; i < x->rank; ++i) dims[i] = grid->dims[i - 1];
  return trivet_view_set_output(v, 0, x->dtype, x->rank, dims);
}
// "n: extent, i0: extent, ..." of the positions.
static void put_position_ranges(ops_text_t* t, const trivet_type_t* y) {
  tvi_ops_put(t, "n: %s, ", tvi_ops_dim_text(t, y->dims[0]));
  tvi_ops_put_ranges(t, "i", y->dims + 2, y->rank - 2, (1u << (y->rank - 2)) - 1);
}
// Text of a pixel index that may lie outside, by padding mode: as it is (a load with a pad
// follows), clamped, or mirrored.
static void put_pixel(ops_text_t* t, const char* index, trivet_dim_t extent, uint32_t border,
                      uint32_t reflection, uint32_t align) {
  ops_view_t* v = t->view;
  const char* last = tvi_ops_dim_text(t, ops_add_i(v, extent, -1));
  if (border) {
    tvi_ops_put(t, "min(max(%s, 0), %s)", index, last);
  } else if (reflection) {
    // The mirror stands on the outer pixels, or half a pixel outside of them.
    trivet_dim_t turn = align ? ops_mul_i(v, ops_add_i(v, extent, -1), 2) : ops_mul_i(v, extent, 2);
    const char* period = tvi_ops_dim_text(t, ops_max(v, turn, ops_const(v, 1)));
    tvi_ops_put(t, "min(mod(%s, %s), %s - mod(%s, %s))", index, period,
                tvi_ops_dim_text(t, align ? turn : ops_add_i(v, turn, -1)), index, period);
  } else {
    tvi_ops_put(t, "%s", index);
  }
}
static trivet_status_t lower_grid_sample(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *x = ops_in(v, 0), *y = ops_out(v, 0);
  uint32_t n = x->rank - 2, align = ops_attr(v, "align_corners") != 0;
  uint32_t border = ops_attr_is(v, "padding_mode", "border"),
           reflection = ops_attr_is(v, "padding_mode", "reflection");
  uint32_t nearest = ops_attr_is(v, "mode", "nearest"), cubic = ops_attr_is(v, "mode", "cubic");
  if (!border && !reflection && !ops_attr_is(v, "padding_mode", "zeros"))
    return OPS_INVALID(v, "attribute padding_mode must be zeros, border or reflection");
  if (!nearest && !cubic && !ops_attr_is(v, "mode", "linear"))
    return OPS_INVALID(v, "attribute mode must be linear, nearest or cubic");
  const char* acc = x->dtype == TRIVET_DTYPE_F64 ? "f64" : "f32";
  char at[128];
  size_t length = (size_t)snprintf(at, sizeof at, "[n");
  for (uint32_t i = 0; i < n; ++i)
    length += (size_t)snprintf(at + length, sizeof at - length, ", i%u", i);
  snprintf(at + length, sizeof at - length, "]");
  for (uint32_t a = 0; a < n; ++a) {
    trivet_dim_t extent = x->dims[a + 2];
    const char* e = DIM(extent);
    // Coordinates stand innermost axis first. -1 and 1 are the outer pixels, or their outer edges.
    PUT("let raw%u[", a);
    put_position_ranges(&t, y);
    PUT("] = %s", nearest ? "round(" : "");
    char g[160];
    length = (size_t)snprintf(g, sizeof g, "%s(grid[n", acc);
    for (uint32_t i = 0; i < n; ++i)
      length += (size_t)snprintf(g + length, sizeof g - length, ", i%u", i);
    snprintf(g + length, sizeof g - length, ", %u])", n - 1 - a);
    if (align) {
      PUT("(%s + 1.0) * 0.5 * %s(%s)", g, acc, DIM(ops_add_i(v, extent, -1)));
    } else {
      PUT("((%s + 1.0) * %s(%s) - 1.0) * 0.5", g, acc, e);
    }
    PUT("%s\nlet at%u[", nearest ? ")" : "", a);
    put_position_ranges(&t, y);
    PUT("] = ");
    if (border) {
      PUT("min(max(raw%u%s, 0.0), %s(%s))\n", a, at, acc, DIM(ops_add_i(v, extent, -1)));
    } else if (reflection) {
      const char *low = align ? "0.0" : "0.5",
                 *range = DIM(align ? ops_add_i(v, extent, -1) : extent);
      PUT("%s == 0 ? 0.0 : min(mod(raw%u%s + %s, 2.0 * %s(%s)), 2.0 * %s(%s) - mod(raw%u%s + %s, "
          "2.0 * %s(%s))) - %s\n",
          range, a, at, low, acc, range, acc, range, a, at, low, acc, range, low);
    } else {
      PUT("raw%u%s\n", a, at);
    }
    if (nearest) continue;
    PUT("let part%u[", a);
    put_position_ranges(&t, y);
    PUT("] = at%u%s - floor(at%u%s)\nlet weight%u[", a, at, a, at, a);
    put_position_ranges(&t, y);
    PUT(", k: %d] = ", cubic ? 4 : 2);
    char far[200];
    snprintf(far, sizeof far, "abs(%s(k%s) - part%u%s)", acc, cubic ? " - 1" : "", a, at);
    if (cubic) {
      PUT("%s <= 1.0 ? (1.25 * %s - 2.25) * %s * %s + 1.0 : ", far, far, far, far);
      PUT("-0.75 * (((%s - 5.0) * %s + 8.0) * %s - 4.0)\n", far, far, far);
    } else {
      PUT("1.0 - %s\n", far);
    }
  }
  PUT("y[n, c");
  for (uint32_t a = 0; a < n; ++a) PUT(", i%u", a);
  PUT("] = ");
  if (!nearest) {
    PUT("T(sum(");
    for (uint32_t a = 0; a < n; ++a) PUT("%sk%u: %d", a ? ", " : "", a, cubic ? 4 : 2);
    PUT("){ %s(", acc);
  }
  PUT("x[n, c");
  for (uint32_t a = 0; a < n; ++a) {
    char index[200];
    if (nearest) {
      snprintf(index, sizeof index, "i64(at%u%s)", a, at);
    } else {
      snprintf(index, sizeof index, "i64(floor(at%u%s)) + k%u%s", a, at, a, cubic ? " - 1" : "");
    }
    PUT(", ");
    put_pixel(&t, index, x->dims[a + 2], border, reflection, align);
  }
  PUT("; pad = 0]");
  if (!nearest) {
    PUT(")");
    for (uint32_t a = 0; a < n; ++a) PUT(" * weight%u%.*s, k%u]", a, (int)strlen(at) - 1, at, a);
    PUT(" })");
  }
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(GridSample, 0, "x sampled at the positions of a grid",
           "(x: T[*], grid: G[*]) -> (y: T[*]) where T: any, G: float\n"
           "attr align_corners: i64 = 0\nattr mode: string = \"linear\"\nattr padding_mode: string "
           "= \"zeros\"",
           infer_grid_sample, lower_grid_sample, 0);

static trivet_status_t infer_affine_grid(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* theta = ops_in(v, 0);
  const trivet_dim_t* size;
  uint64_t count;
  OPS_TRY(tvi_ops_symbolic_ints(v, 1, "size", &size, &count));
  if (theta->rank != 3 || (count != 4 && count != 5))
    return OPS_INVALID(v, "theta has rank %u, size has %llu elements", theta->rank,
                       (unsigned long long)count);
  uint32_t n = (uint32_t)count - 2;
  trivet_dim_t dims[5] = {size[0]};
  for (uint32_t i = 0; i < n; ++i) dims[1 + i] = size[2 + i];
  dims[1 + n] = ops_const(v, n);
  return trivet_view_set_output(v, 0, theta->dtype, n + 2, dims);
}
static trivet_status_t lower_affine_grid(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t* y = ops_out(v, 0);
  uint32_t n = y->rank - 2, align = ops_attr(v, "align_corners") != 0;
  const char* acc = y->dtype == TRIVET_DTYPE_F64 ? "f64" : "f32";
  tvi_ops_put_lhs(&t, "grid", "i", y->rank);
  PUT(" = T(");
  for (uint32_t k = 0; k < n; ++k) {
    // Column k belongs to the k-th axis from the inside.
    trivet_dim_t extent = y->dims[n - k];
    PUT("%s(theta[i0, i%u, %u]) * ", acc, n + 1, k);
    if (align) {
      PUT("(2.0 * %s(i%u) / %s(%s) - 1.0) + ", acc, n - k, acc,
          DIM(ops_max(v, ops_const(v, 1), ops_add_i(v, extent, -1))));
    } else {
      PUT("(%s(2*i%u + 1) / %s(%s) - 1.0) + ", acc, n - k, acc, DIM(extent));
    }
  }
  PUT("%s(theta[i0, i%u, %u]))", acc, n + 1, n);
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(
    AffineGrid, 0, "grid of positions under an affine map",
    "(theta: T[*], size: i64[N]) -> (grid: T[*]) where T: float\nattr align_corners: i64 = 0",
    infer_affine_grid, lower_affine_grid, 0);

// Col2Im: blocks lie at stride * b - pad; block_shape and dilation say which places one covers.
typedef struct col2im_s {
  uint32_t rank;
  const trivet_dim_t *image, *block;
  int64_t strides[TRIVET_MAX_RANK], dilations[TRIVET_MAX_RANK], pads[2 * TRIVET_MAX_RANK];
  trivet_dim_t blocks[TRIVET_MAX_RANK];
} col2im_t;
static trivet_status_t col2im_geometry(ops_view_t* v, col2im_t* g) {
  uint64_t count, block_count;
  OPS_TRY(tvi_ops_symbolic_ints(v, 1, "image_shape", &g->image, &count));
  OPS_TRY(tvi_ops_symbolic_ints(v, 2, "block_shape", &g->block, &block_count));
  if (!count || count != block_count || count + 2 > TRIVET_MAX_RANK || ops_in(v, 0)->rank != 3)
    return OPS_INVALID(v,
                       "image_shape and block_shape must have one length, and the operand rank 3");
  g->rank = (uint32_t)count;
  OPS_TRY(tvi_ops_list(v, "strides", g->rank, 1, g->strides));
  OPS_TRY(tvi_ops_list(v, "dilations", g->rank, 1, g->dilations));
  OPS_TRY(tvi_ops_list(v, "pads", 2 * g->rank, 0, g->pads));
  for (uint32_t i = 0; i < g->rank; ++i) {
    if (g->strides[i] < 1 || g->dilations[i] < 1)
      return OPS_INVALID(v, "strides and dilations must be positive");
    trivet_dim_t cover =
        ops_add_i(v, ops_mul_i(v, ops_add_i(v, g->block[i], -1), g->dilations[i]), 1);
    trivet_dim_t room =
        ops_sub(v, ops_add_i(v, g->image[i], g->pads[i] + g->pads[g->rank + i]), cover);
    g->blocks[i] = ops_add_i(v, ops_floordiv(v, room, ops_const(v, g->strides[i])), 1);
  }
  return 0;
}
static trivet_status_t infer_col2im(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  col2im_t g;
  OPS_TRY(col2im_geometry(v, &g));
  trivet_dim_t dims[TRIVET_MAX_RANK] = {
      x->dims[0], ops_floordiv(v, x->dims[1], tvi_ops_product(v, g.block, 0, g.rank))};
  memcpy(dims + 2, g.image, g.rank * sizeof dims[0]);
  return trivet_view_set_output(v, 0, x->dtype, g.rank + 2, dims);
}
static trivet_status_t lower_col2im(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  col2im_t g;
  OPS_TRY(col2im_geometry(v, &g));
  PUT("y[n, c, ");
  tvi_ops_put_indices(&t, "i", 0, g.rank);
  PUT("] = sum(");
  for (uint32_t i = 0; i < g.rank; ++i) PUT("%sk%u: %s", i ? ", " : "", i, DIM(g.block[i]));
  PUT("){ ");
  for (uint32_t i = 0; i < g.rank; ++i) {
    char place[160];
    snprintf(place, sizeof place, "i%u + %lld - k%u*%lld", i, (long long)g.pads[i], i,
             (long long)g.dilations[i]);
    PUT("%s%s >= 0 && floordiv(%s, %lld) < %s", i ? " && " : "", place, place,
        (long long)g.strides[i], DIM(g.blocks[i]));
    if (g.strides[i] > 1) PUT(" && mod(%s, %lld) == 0", place, (long long)g.strides[i]);
  }
  PUT(" ? x[n, c*%s", DIM(tvi_ops_product(v, g.block, 0, g.rank)));
  for (uint32_t i = 0; i < g.rank; ++i)
    PUT(" + k%u*%s", i, DIM(tvi_ops_product(v, g.block, i + 1, g.rank)));
  for (uint32_t i = 0; i < g.rank; ++i) {
    PUT("%sfloordiv(i%u + %lld - k%u*%lld, %lld)*%s", i ? " + " : ", ", i, (long long)g.pads[i], i,
        (long long)g.dilations[i], (long long)g.strides[i],
        DIM(tvi_ops_product(v, g.blocks, i + 1, g.rank)));
  }
  PUT("] : 0 }");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Col2Im, 0, "columns of blocks summed back into an image",
           "(x: T[*], image_shape: i64[N], block_shape: i64[N]) -> (y: T[*]) where T: numeric\n"
           "attr dilations?: i64[]\nattr pads?: i64[]\nattr strides?: i64[]",
           infer_col2im, lower_col2im, 0);

static trivet_status_t deform_window(ops_view_t* v, ops_window_t* w) {
  const trivet_type_t *x = ops_in(v, 0), *k = ops_in(v, 1), *offset = ops_in(v, 2);
  if (x->rank < 3 || x->rank > 5 || x->rank != k->rank || x->rank != offset->rank)
    return OPS_INVALID(
        v,
        "operand, weights and offsets have ranks %u, %u and %u; equal ones from 3 to 5 are needed",
        x->rank, k->rank, offset->rank);
  return tvi_ops_window(v, x->rank - 2, x->dims + 2, k->dims + 2, 0, w);
}
static trivet_status_t infer_deform_conv(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t *x = ops_in(v, 0), *k = ops_in(v, 1);
  ops_window_t w;
  OPS_TRY(deform_window(v, &w));
  trivet_dim_t dims[TRIVET_MAX_RANK] = {x->dims[0], k->dims[0]};
  memcpy(dims + 2, w.out, w.rank * sizeof w.out[0]);
  return trivet_view_set_output(v, 0, x->dtype, x->rank, dims);
}
static trivet_status_t lower_deform_conv(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *x = ops_in(v, 0), *k = ops_in(v, 1), *y = ops_out(v, 0);
  ops_window_t w;
  OPS_TRY(deform_window(v, &w));
  const char* acc = x->dtype == TRIVET_DTYPE_F64 ? "f64" : "f32";
  int64_t groups = ops_attr(v, "group"), offset_groups = ops_attr(v, "offset_group");
  if (groups < 1 || offset_groups < 1)
    return OPS_INVALID(v, "attributes group and offset_group must be positive");
  const char* places = DIM(tvi_ops_product(v, w.kernel, 0, w.rank));
  // Where place r of the window of group g lies: the regular position plus an offset.
  for (uint32_t a = 0; a < w.rank; ++a) {
    char r[128];
    snprintf(r, sizeof r, "mod(floordiv(r, %s), %s)",
             DIM(tvi_ops_product(v, w.kernel, a + 1, w.rank)), DIM(w.kernel[a]));
    PUT("let at%u[n: %s, g: %lld, r: %s, ", a, DIM(y->dims[0]), (long long)offset_groups, places);
    tvi_ops_put_ranges(&t, "i", y->dims + 2, w.rank, (1u << w.rank) - 1);
    PUT("] = %s(", acc);
    tvi_ops_put_window_position(&t, &w, a, r);
    PUT(") + %s(offset[n, (g*%s + r)*%u + %u, ", acc, places, w.rank, a);
    tvi_ops_put_indices(&t, "i", 0, w.rank);
    PUT("])\n");
  }
  char at[256], channel[160] = "c";
  size_t n = (size_t)snprintf(at, sizeof at, "[n, ");
  if (groups > 1) {
    snprintf(channel, sizeof channel, "c + floordiv(o, %s)*%s",
             DIM(ops_floordiv(v, k->dims[0], ops_const(v, groups))), DIM(k->dims[1]));
  }
  if (offset_groups > 1) {
    n += (size_t)snprintf(at + n, sizeof at - n, "floordiv(%s, %s), r", channel,
                          DIM(ops_floordiv(v, x->dims[1], ops_const(v, offset_groups))));
  } else {
    n += (size_t)snprintf(at + n, sizeof at - n, "0, r");
  }
  for (uint32_t a = 0; a < w.rank && n < sizeof at; ++a)
    n += (size_t)snprintf(at + n, sizeof at - n, ", i%u", a);
  if (n < sizeof at) n += (size_t)snprintf(at + n, sizeof at - n, "]");
  if (n >= sizeof at) return OPS_INVALID(v, "the extents are too long expressions");
  PUT("y[n, o, ");
  tvi_ops_put_indices(&t, "i", 0, w.rank);
  PUT("] = T(sum(c: %s, r: %s){ %s(w[o, c", DIM(k->dims[1]), places, acc);
  for (uint32_t a = 0; a < w.rank; ++a)
    PUT(", mod(floordiv(r, %s), %s)", DIM(tvi_ops_product(v, w.kernel, a + 1, w.rank)),
        DIM(w.kernel[a]));
  PUT("]) * (");
  for (uint32_t corner = 0; corner < 1u << w.rank; ++corner) {
    PUT("%s%s(x[n, %s", corner ? " + " : "", acc, channel);
    for (uint32_t a = 0; a < w.rank; ++a) PUT(", i64(floor(at%u%s)) + %u", a, at, corner >> a & 1);
    PUT("; pad = 0])");
    for (uint32_t a = 0; a < w.rank; ++a) {
      PUT(corner >> a & 1 ? " * (at%u%s - floor(at%u%s))" : " * (1.0 - at%u%s + floor(at%u%s))", a,
          at, a, at);
    }
  }
  PUT(")");
  if (ops_in(v, 4)) {
    char group[200] = "0";
    if (offset_groups > 1)
      snprintf(group, sizeof group, "floordiv(%s, %s)*%s", channel,
               DIM(ops_floordiv(v, x->dims[1], ops_const(v, offset_groups))), places);
    PUT(" * %s(mask[n, %s + r, ", acc, group);
    tvi_ops_put_indices(&t, "i", 0, w.rank);
    PUT("])");
  }
  PUT(" }%s)", ops_in(v, 3) ? x->dtype == TRIVET_DTYPE_F64 ? " + f64(b[o])" : " + f32(b[o])" : "");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(DeformConv, 0, "convolution whose window places are moved by offsets",
           "(x: T[*], w: T[*], offset: T[*], b?: T[N], mask?: T[*]) -> (y: T[*]) where T: float\n"
           "attr dilations?: i64[]\nattr group: i64 = 1\nattr kernel_shape?: i64[]\nattr "
           "offset_group: i64 = 1\nattr pads?: i64[]\n"
           "attr strides?: i64[]",
           infer_deform_conv, lower_deform_conv, 0);
