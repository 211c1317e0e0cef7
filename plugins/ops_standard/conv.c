// SPDX-License-Identifier: Apache-2.0
//
// Convolutions: Conv, ConvTranspose, ConvInteger, QLinearConv, DeformConv. The sum runs over
// channels of one group and the window; its two loads are affine (floordiv for groups), so that the
// recogniser of convolutions finds geometry and layout in the statement itself.
#include <stdio.h>

#include "plugins/ops_standard/ops_util.h"
#include "plugins/ops_standard/ops_window.h"

#define CONV_ATTRIBUTES                                                                    \
  "attr auto_pad: string = \"NOTSET\"\nattr dilations?: i64[]\nattr group: i64 = 1\nattr " \
  "kernel_shape?: i64[]\n"                                                                 \
  "attr pads?: i64[]\nattr strides?: i64[]"

// Geometry of a convolution of operand 0 with the weights in operand |weight|.
static trivet_status_t conv_window(ops_view_t* v, uint32_t weight, ops_window_t* w) {
  const trivet_type_t *x = ops_in(v, 0), *k = ops_in(v, weight);
  if (x->rank < 3 || x->rank != k->rank)
    return OPS_INVALID(
        v, "operand and weights have ranks %u and %u; equal ones of at least 3 are needed", x->rank,
        k->rank);
  trivet_dim_t kernel[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i + 2 < x->rank; ++i) kernel[i] = k->dims[i + 2];
  return tvi_ops_window(v, x->rank - 2, x->dims + 2, kernel, 0, w);
}
// Checks channels against groups; |*out_group| is the attribute.
static trivet_status_t conv_groups(ops_view_t* v, trivet_dim_t channels,
                                   trivet_dim_t weight_channels, trivet_dim_t outputs,
                                   int64_t* out_group) {
  int64_t group = ops_attr(v, "group"), c, wc, o;
  if (group < 1) return OPS_INVALID(v, "attribute group is %lld", (long long)group);
  if (trivet_view_dim_value(v, channels, &c) && trivet_view_dim_value(v, weight_channels, &wc) &&
      c != wc * group)
    return OPS_INVALID(v, "%lld channels do not fit weights for %lld channels in %lld groups",
                       (long long)c, (long long)wc, (long long)group);
  if (trivet_view_dim_value(v, outputs, &o) && o % group)
    return OPS_INVALID(v, "%lld output channels cannot be divided into %lld groups", (long long)o,
                       (long long)group);
  *out_group = group;
  return 0;
}
static trivet_status_t conv_type(ops_view_t* v, uint32_t weight, uint32_t dtype) {
  const trivet_type_t *x = ops_in(v, 0), *k = ops_in(v, weight);
  ops_window_t w;
  OPS_TRY(conv_window(v, weight, &w));
  int64_t group;
  OPS_TRY(conv_groups(v, x->dims[1], k->dims[1], k->dims[0], &group));
  trivet_dim_t dims[TRIVET_MAX_RANK] = {x->dims[0], k->dims[0]};
  memcpy(dims + 2, w.out, w.rank * sizeof w.out[0]);
  return trivet_view_set_output(v, 0, dtype, x->rank, dims);
}

// The sum of a convolution. |x_zero|, |w_zero|: text subtracted, or NULL; |widen|: loads become
// i32. Positions outside x count as the zero point, hence as nothing.
static trivet_status_t put_convolution(ops_text_t* t, uint32_t weight, const char* x_zero,
                                       const char* w_zero, uint32_t widen) {
  ops_view_t* v = t->view;
  const trivet_type_t *x = ops_in(v, 0), *k = ops_in(v, weight);
  ops_window_t w;
  OPS_TRY(conv_window(v, weight, &w));
  int64_t group;
  OPS_TRY(conv_groups(v, x->dims[1], k->dims[1], k->dims[0], &group));
  tvi_ops_put(t, "sum(c: %s, ", tvi_ops_dim_text(t, k->dims[1]));
  tvi_ops_put_window_ranges(t, &w);
  tvi_ops_put(t, "){ %s%sx[n, c", x_zero ? "(" : "", widen ? "i32(" : "");
  if (group > 1) {
    trivet_dim_t per_group = ops_floordiv(v, k->dims[0], ops_const(v, group));
    tvi_ops_put(t, " + floordiv(o, %s)*%s", tvi_ops_dim_text(t, per_group),
                tvi_ops_dim_text(t, k->dims[1]));
  }
  tvi_ops_put(t, ", ");
  tvi_ops_put_window_positions(t, &w);
  if (w.padded) tvi_ops_put(t, "; pad = %s", x_zero ? "x_zero[]" : "0");
  tvi_ops_put(t, "]%s", widen ? ")" : "");
  if (x_zero) tvi_ops_put(t, " - %s)", x_zero);
  tvi_ops_put(t, " * %s%sw[o, c, ", w_zero ? "(" : "", widen ? "i32(" : "");
  tvi_ops_put_indices(t, "k", 0, w.rank);
  tvi_ops_put(t, "]%s", widen ? ")" : "");
  if (w_zero) tvi_ops_put(t, " - %s)", w_zero);
  tvi_ops_put(t, " }");
  return 0;
}
static void put_conv_lhs(ops_text_t* t, uint32_t rank) {
  tvi_ops_put(t, "y[n, o, ");
  tvi_ops_put_indices(t, "i", 0, rank - 2);
  tvi_ops_put(t, "] = ");
}

static trivet_status_t infer_conv(ops_op_t* op, ops_view_t* v) {
  return (void)op, conv_type(v, 1, ops_in(v, 0)->dtype);
}
static trivet_status_t lower_conv(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  put_conv_lhs(&t, ops_in(v, 0)->rank);
  OPS_TRY(put_convolution(&t, 1, 0, 0, 0));
  if (ops_in(v, 2)) PUT(" + b[o]");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Conv, 0, "convolution over any number of spatial axes, in groups, with bias",
           "(x: T[*], w: T[*], b?: T[N]) -> (y: T[*]) where T: float\n" CONV_ATTRIBUTES, infer_conv,
           lower_conv, 0);

// Zero point as an i32: one for all, or one per output channel.
static trivet_status_t conv_zero(const ops_view_t* v, uint32_t input, const char* name,
                                 char* buffer, size_t size) {
  const trivet_type_t* zero = ops_in(v, input);
  *buffer = 0;
  if (!zero) return 0;
  if (zero->rank > 1)
    return OPS_INVALID(v, "%s has rank %u where 0 or 1 is possible", name, zero->rank);
  snprintf(buffer, size, "i32(%s[%s])", name,
           !zero->rank                   ? ""
           : ops_is(v, zero->dims[0], 1) ? "0"
                                         : "o");
  return 0;
}
static trivet_status_t infer_conv_integer(ops_op_t* op, ops_view_t* v) {
  return (void)op, conv_type(v, 1, TRIVET_DTYPE_I32);
}
static trivet_status_t lower_conv_integer(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  char x_zero[64], w_zero[64];
  put_conv_lhs(&t, ops_in(v, 0)->rank);
  OPS_TRY(conv_zero(v, 2, "x_zero", x_zero, sizeof x_zero));
  OPS_TRY(conv_zero(v, 3, "w_zero", w_zero, sizeof w_zero));
  OPS_TRY(put_convolution(&t, 1, *x_zero ? x_zero : 0, *w_zero ? w_zero : 0, 1));
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(ConvInteger, 0, "convolution of 8-bit integers with zero points, in i32",
           "(x: X[*], w: W[*], x_zero?: X[], w_zero?: W[*]) -> (y: i32[*]) where X: {i8, u8}, W: "
           "{i8, u8}\n" CONV_ATTRIBUTES,
           infer_conv_integer, lower_conv_integer, 0);

static trivet_status_t infer_qlinear_conv(ops_op_t* op, ops_view_t* v) {
  return (void)op, conv_type(v, 3, ops_in(v, 7)->dtype);
}
static trivet_status_t lower_qlinear_conv(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  char x_zero[64], w_zero[64];
  const trivet_type_t* w_scale = ops_in(v, 4);
  OPS_TRY(conv_zero(v, 2, "x_zero", x_zero, sizeof x_zero));
  OPS_TRY(conv_zero(v, 5, "w_zero", w_zero, sizeof w_zero));
  if (w_scale->rank > 1)
    return OPS_INVALID(v, "w_scale has rank %u where 0 or 1 is possible", w_scale->rank);
  put_conv_lhs(&t, ops_in(v, 0)->rank);
  PUT("sat(%s, round(f32(", tvi_ops_dtype_name(ops_out(v, 0)->dtype));
  OPS_TRY(put_convolution(&t, 3, *x_zero ? x_zero : 0, *w_zero ? w_zero : 0, 1));
  if (ops_in(v, 8)) PUT(" + b[o]");
  PUT(") * (x_scale[] * w_scale[%s] / y_scale[])) + f32(y_zero[]))",
      !w_scale->rank                   ? ""
      : ops_is(v, w_scale->dims[0], 1) ? "0"
                                       : "o");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(QLinearConv, 0, "convolution of quantised operands, quantised again",
           "(x: X[*], x_scale: f32[], x_zero: X[], w: W[*], w_scale: f32[*], w_zero: W[*], "
           "y_scale: f32[], y_zero: Y[], b?: i32[N]) -> "
           "(y: Y[*]) where X: {i8, u8}, W: {i8, u8}, Y: {i8, u8}\n" CONV_ATTRIBUTES,
           infer_qlinear_conv, lower_qlinear_conv, 0);

// Transposed convolution: which input positions reach an output position.
typedef struct transposed_s {
  uint32_t rank;
  int64_t strides[TRIVET_MAX_RANK], dilations[TRIVET_MAX_RANK];
  trivet_dim_t begin[TRIVET_MAX_RANK], out[TRIVET_MAX_RANK];
} transposed_t;

static trivet_status_t transposed_geometry(ops_view_t* v, transposed_t* g) {
  const trivet_type_t *x = ops_in(v, 0), *k = ops_in(v, 1);
  if (x->rank < 3 || x->rank != k->rank)
    return OPS_INVALID(
        v, "operand and weights have ranks %u and %u; equal ones of at least 3 are needed", x->rank,
        k->rank);
  uint32_t n = g->rank = x->rank - 2;
  int64_t pads[2 * TRIVET_MAX_RANK], extra[TRIVET_MAX_RANK];
  OPS_TRY(tvi_ops_list(v, "strides", n, 1, g->strides));
  OPS_TRY(tvi_ops_list(v, "dilations", n, 1, g->dilations));
  OPS_TRY(tvi_ops_list(v, "pads", 2 * n, 0, pads));
  OPS_TRY(tvi_ops_list(v, "output_padding", n, 0, extra));
  uint64_t given_count;
  const int64_t* given = trivet_view_attr_i64s(v, "output_shape", &given_count);
  // Some files give batch and channels as well.
  if (given && given_count == n + 2) given += 2, given_count = n;
  if (given && given_count != n)
    return OPS_INVALID(v, "attribute output_shape has %llu elements",
                       (unsigned long long)given_count);
  uint32_t upper = ops_attr_is(v, "auto_pad", "SAME_UPPER"),
           lower = ops_attr_is(v, "auto_pad", "SAME_LOWER");
  for (uint32_t i = 0; i < n; ++i) {
    if (g->strides[i] < 1 || g->dilations[i] < 1)
      return OPS_INVALID(v, "strides and dilations must be positive");
    trivet_dim_t in = x->dims[i + 2], one = ops_const(v, 1);
    // The extent without padding: stride * (in - 1) + output_padding + (kernel - 1) * dilation + 1.
    trivet_dim_t window =
        ops_add(v, ops_mul_i(v, ops_sub(v, k->dims[i + 2], one), g->dilations[i]), one);
    trivet_dim_t full = ops_add(
        v, ops_add_i(v, ops_mul_i(v, ops_sub(v, in, one), g->strides[i]), extra[i]), window);
    if (given || upper || lower) {
      g->out[i] = given ? ops_const(v, given[i]) : ops_mul_i(v, in, g->strides[i]);
      trivet_dim_t total = ops_sub(v, full, g->out[i]);
      if (!given) total = ops_max(v, total, ops_const(v, 0));
      trivet_dim_t half = ops_floordiv(v, total, ops_const(v, 2));
      g->begin[i] = upper ? half : ops_sub(v, total, half);
    } else if (ops_attr_is(v, "auto_pad", "VALID")) {
      g->out[i] = full;
      g->begin[i] = ops_const(v, 0);
    } else {
      g->out[i] = ops_add_i(v, full, -(pads[i] + pads[n + i]));
      g->begin[i] = ops_const(v, pads[i]);
    }
  }
  return 0;
}
static trivet_status_t infer_conv_transpose(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t *x = ops_in(v, 0), *k = ops_in(v, 1);
  transposed_t g;
  OPS_TRY(transposed_geometry(v, &g));
  int64_t group = ops_attr(v, "group"), a, b;
  if (group < 1) return OPS_INVALID(v, "attribute group is %lld", (long long)group);
  if (trivet_view_dim_value(v, x->dims[1], &a) && trivet_view_dim_value(v, k->dims[0], &b) &&
      (a != b || a % group))
    return OPS_INVALID(v, "%lld channels do not fit weights for %lld channels in %lld groups",
                       (long long)a, (long long)b, (long long)group);
  trivet_dim_t dims[TRIVET_MAX_RANK] = {x->dims[0], ops_mul_i(v, k->dims[1], group)};
  memcpy(dims + 2, g.out, g.rank * sizeof g.out[0]);
  return trivet_view_set_output(v, 0, x->dtype, x->rank, dims);
}
static trivet_status_t lower_conv_transpose(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *x = ops_in(v, 0), *k = ops_in(v, 1);
  transposed_t g;
  OPS_TRY(transposed_geometry(v, &g));
  int64_t group = ops_attr(v, "group");
  trivet_dim_t channels = ops_floordiv(v, k->dims[0], ops_const(v, group));
  const char* per_group = DIM(k->dims[1]);
  put_conv_lhs(&t, x->rank);
  PUT("sum(c: %s, ", DIM(channels));
  for (uint32_t i = 0; i < g.rank; ++i) PUT(i ? ", k%u: %s" : "k%u: %s", i, DIM(k->dims[i + 2]));
  PUT("){ ");
  // Only positions that the stride divides receive anything.
  uint32_t strided = 0;
  for (uint32_t i = 0; i < g.rank; ++i) {
    if (g.strides[i] == 1) continue;
    PUT("%smod(i%u + %s - k%u*%lld, %lld) == 0", strided ? " && " : "(", i, DIM(g.begin[i]), i,
        (long long)g.dilations[i], (long long)g.strides[i]);
    strided = 1;
  }
  if (strided) PUT(" ? ");
  char group_text[256] = "";
  if (group > 1)
    snprintf(group_text, sizeof group_text, " + floordiv(o, %s)*%s", per_group, DIM(channels));
  PUT("x[n, c%s", group_text);
  for (uint32_t i = 0; i < g.rank; ++i) {
    if (g.strides[i] == 1) {
      PUT(", i%u + %s - k%u*%lld", i, DIM(g.begin[i]), i, (long long)g.dilations[i]);
    } else {
      PUT(", floordiv(i%u + %s - k%u*%lld, %lld)", i, DIM(g.begin[i]), i, (long long)g.dilations[i],
          (long long)g.strides[i]);
    }
  }
  PUT("; pad = 0]%s * w[c%s, ", strided ? " : 0.0)" : "", group_text);
  if (group > 1) {
    PUT("mod(o, %s)", per_group);
  } else {
    PUT("o");
  }
  for (uint32_t i = 0; i < g.rank; ++i) PUT(", k%u", i);
  PUT("] }");
  if (ops_in(v, 2)) PUT(" + b[o]");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(ConvTranspose, 0, "transposed convolution (deconvolution) in groups, with bias",
           "(x: T[*], w: T[*], b?: T[N]) -> (y: T[*]) where T: float\n" CONV_ATTRIBUTES
           "\nattr output_padding?: i64[]\nattr output_shape?: i64[]",
           infer_conv_transpose, lower_conv_transpose, 0);
