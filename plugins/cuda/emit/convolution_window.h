// SPDX-License-Identifier: Apache-2.0
//
// A convolution as its kernels see it: which axes a window walks, how operands lie, what is known
// of its sizes. Between the convolution's forms (convolution_code.c, _boxes.c, _lines.c) and the
// printer; nobody else needs it.
#ifndef TRIVET_PLUGINS_CUDA_EMIT_CONVOLUTION_WINDOW_H_
#define TRIVET_PLUGINS_CUDA_EMIT_CONVOLUTION_WINDOW_H_

#include "plugins/cuda/emit/convolution_code.h"
#include "plugins/cuda/emit/matmul_shape.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct window_s {
  tvi_cuda_matmul_shape_t shape;
  tvi_kir_convolution_t match;
  bool is_depthwise;
  bool channels_inside;  // channels of x lie together
  bool weights_follow;   // weights of an output channel lie as the sum walks them
  uint32_t vector_x, vector_w;
  int64_t window[2];                 // down and across
  int64_t strides[2], dilations[2];  // of the window
  int64_t channels;                  // of a window
  trivet_dim_t pads[2], input[2], output[2];
  trivet_dim_t x_strides[4], w_strides[4];  // image or output channel, down, across, channel
  const tvi_cuda_convolution_form_t* form;
} tvi_cuda_window_t;

// Reads the first group of the schedule; |out_reason|, static text, says why it is none of these.
void tvi_cuda_window_read(tvi_cuda_printer_t* p, tvi_cuda_window_t* w, const char** out_reason);
// The strides that weights have when they lie as the sums walk them: a row of a multiple of 16
// bytes for each output channel; depthwise, the channels of each place of the window together.
void tvi_cuda_window_wish_weights(const tvi_cuda_window_t* w, int64_t* out_strides);

// Statements: |name| is an int; sizes and strides of the image under the names that the skeletons
// (convolution.cuh) have for them.
void tvi_cuda_print_int(tvi_cuda_printer_t* p, const char* name, trivet_dim_t dim);
void tvi_cuda_window_print_geometry(tvi_cuda_printer_t* p, const tvi_cuda_window_t* w);
// The copy engine's map of the weights: a row for each channel of the result.
uint32_t tvi_cuda_window_add_weights_map(tvi_cuda_printer_t* p, const tvi_cuda_window_t* w,
                                         const tvi_cuda_matmul_tile_t* t);

// The form for Hopper whose tiles are boxes of pixels (convolution_boxes.c).
bool tvi_cuda_window_has_boxes(const tvi_cuda_printer_t* p, const tvi_cuda_window_t* w);
void tvi_cuda_window_print_boxes(tvi_cuda_printer_t* p, const tvi_cuda_window_t* w,
                                 const tvi_cuda_matmul_tile_t* t, tvi_cuda_variant_t* variant);

// The form for first layers (convolution_lines.c). Its bytes of shared memory; 0: a convolution
// that it cannot compute. |argument| is a window.
uint32_t tvi_cuda_window_line_bytes(const tvi_cuda_window_t* w);
void tvi_cuda_window_print_lines(tvi_cuda_printer_t* p, const void* argument,
                                 tvi_cuda_variant_t* variant);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CUDA_EMIT_CONVOLUTION_WINDOW_H_
