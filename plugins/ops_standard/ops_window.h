// SPDX-License-Identifier: Apache-2.0
//
// Geometry of windows that convolutions and poolings share: strides, dilations, padding in its four
// notations, extents of the result.
#ifndef TRIVET_PLUGINS_OPS_STANDARD_OPS_WINDOW_H_
#define TRIVET_PLUGINS_OPS_STANDARD_OPS_WINDOW_H_

#include "plugins/ops_standard/ops_util.h"

typedef struct ops_window_s {
  uint32_t rank;    // spatial axes
  uint32_t padded;  // 1 if a position may lie outside the operand
  trivet_dim_t in[TRIVET_MAX_RANK], kernel[TRIVET_MAX_RANK], out[TRIVET_MAX_RANK];
  trivet_dim_t begin[TRIVET_MAX_RANK], end[TRIVET_MAX_RANK];  // padding
  int64_t strides[TRIVET_MAX_RANK], dilations[TRIVET_MAX_RANK];
} ops_window_t;

// Reads strides, dilations, pads and auto_pad of the node, whose spatial extents and window are
// given. With |ceil_mode| the last window may reach past the padding, but must begin inside the
// operand or the padding before it.
trivet_status_t tvi_ops_window(ops_view_t* v, uint32_t rank, const trivet_dim_t* in,
                               const trivet_dim_t* kernel, uint32_t ceil_mode,
                               ops_window_t* out_window);
// "k0: extent, k1: extent".
void tvi_ops_put_window_ranges(ops_text_t* t, const ops_window_t* w);
// "i0*stride + k0*dilation - begin, ..." for all spatial axes; position |axis| alone with the
// second form.
void tvi_ops_put_window_positions(ops_text_t* t, const ops_window_t* w);
void tvi_ops_put_window_position(ops_text_t* t, const ops_window_t* w, uint32_t axis,
                                 const char* in_window);

#endif  // TRIVET_PLUGINS_OPS_STANDARD_OPS_WINDOW_H_
