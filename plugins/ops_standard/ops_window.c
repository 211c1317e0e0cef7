// SPDX-License-Identifier: Apache-2.0
//
// Geometry of windows: result extents from strides, dilations and padding, and the text of a
// position inside a window.
#include "plugins/ops_standard/ops_window.h"

#include <stdio.h>

trivet_status_t tvi_ops_window(ops_view_t* v, uint32_t rank, const trivet_dim_t* in,
                               const trivet_dim_t* kernel, uint32_t ceil_mode, ops_window_t* w) {
  int64_t pads[2 * TRIVET_MAX_RANK];
  memset(w, 0, sizeof *w);
  w->rank = rank;
  OPS_TRY(tvi_ops_list(v, "strides", rank, 1, w->strides));
  OPS_TRY(tvi_ops_list(v, "dilations", rank, 1, w->dilations));
  OPS_TRY(tvi_ops_list(v, "pads", 2 * rank, 0, pads));
  uint64_t shape_count;
  const int64_t* shape = trivet_view_attr_i64s(v, "kernel_shape", &shape_count);
  if (shape && shape_count != rank)
    return OPS_INVALID(v, "attribute kernel_shape has %llu elements for %u spatial axes",
                       (unsigned long long)shape_count, rank);
  uint32_t upper = ops_attr_is(v, "auto_pad", "SAME_UPPER"),
           lower = ops_attr_is(v, "auto_pad", "SAME_LOWER");
  uint32_t valid = ops_attr_is(v, "auto_pad", "VALID");
  if (!upper && !lower && !valid && trivet_view_attribute(v, "auto_pad") &&
      !ops_attr_is(v, "auto_pad", "NOTSET"))
    return OPS_INVALID(v, "attribute auto_pad must be NOTSET, VALID, SAME_UPPER or SAME_LOWER");
  trivet_dim_t zero = ops_const(v, 0), one = ops_const(v, 1), two = ops_const(v, 2);
  for (uint32_t i = 0; i < rank; ++i) {
    int64_t given, extent;
    if (w->strides[i] < 1 || w->dilations[i] < 1)
      return OPS_INVALID(v, "strides and dilations must be positive");
    if (shape && trivet_view_dim_value(v, kernel[i], &given) && given != shape[i])
      return OPS_INVALID(v, "attribute kernel_shape says %lld where the weights have %lld",
                         (long long)shape[i], (long long)given);
    trivet_dim_t stride = ops_const(v, w->strides[i]);
    // Extent that a window covers.
    trivet_dim_t cover = ops_add(v, ops_mul_i(v, ops_sub(v, kernel[i], one), w->dilations[i]), one);
    w->in[i] = in[i];
    w->kernel[i] = kernel[i];
    if (upper || lower) {
      w->out[i] = ops_ceildiv(v, in[i], stride);
      trivet_dim_t total = ops_max(
          v, zero,
          ops_sub(v, ops_add(v, ops_mul(v, ops_sub(v, w->out[i], one), stride), cover), in[i]));
      trivet_dim_t half = ops_floordiv(v, total, two), rest = ops_sub(v, total, half);
      w->begin[i] = upper ? half : rest;
      w->end[i] = upper ? rest : half;
    } else {
      w->begin[i] = valid ? zero : ops_const(v, pads[i]);
      w->end[i] = valid ? zero : ops_const(v, pads[rank + i]);
      trivet_dim_t room = ops_sub(v, ops_add(v, ops_add(v, in[i], w->begin[i]), w->end[i]), cover);
      if (ceil_mode) {
        trivet_dim_t last =
            ops_floordiv(v, ops_add_i(v, ops_add(v, in[i], w->begin[i]), -1), stride);
        w->out[i] = ops_add(v, ops_min(v, ops_ceildiv(v, room, stride), last), one);
      } else {
        w->out[i] = ops_add(v, ops_floordiv(v, room, stride), one);
      }
      if (w->out[i] && trivet_view_dim_value(v, w->out[i], &extent) && extent < 0)
        return OPS_INVALID(v, "the window is larger than the padded operand along spatial axis %u",
                           i);
    }
    if (w->begin[i] != zero || w->end[i] != zero || ceil_mode) w->padded = 1;
  }
  return 0;
}

void tvi_ops_put_window_ranges(ops_text_t* t, const ops_window_t* w) {
  for (uint32_t i = 0; i < w->rank; ++i)
    tvi_ops_put(t, i ? ", k%u: %s" : "k%u: %s", i, tvi_ops_dim_text(t, w->kernel[i]));
}

void tvi_ops_put_window_position(ops_text_t* t, const ops_window_t* w, uint32_t i,
                                 const char* in_window) {
  tvi_ops_put(t, w->strides[i] == 1 ? "i%u" : "i%u*%lld", i, (long long)w->strides[i]);
  tvi_ops_put(t, w->dilations[i] == 1 ? " + %s" : " + %s*%lld", in_window,
              (long long)w->dilations[i]);
  if (!ops_is(t->view, w->begin[i], 0)) tvi_ops_put(t, " - %s", tvi_ops_dim_text(t, w->begin[i]));
}

void tvi_ops_put_window_positions(ops_text_t* t, const ops_window_t* w) {
  for (uint32_t i = 0; i < w->rank; ++i) {
    char name[16];
    snprintf(name, sizeof name, "k%u", i);
    if (i) tvi_ops_put(t, ", ");
    tvi_ops_put_window_position(t, w, i, name);
  }
}
