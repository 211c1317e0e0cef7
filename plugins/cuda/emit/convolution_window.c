// SPDX-License-Identifier: Apache-2.0
//
// Reading a schedule as a convolution, and what all of its kernels print. See
// convolution_window.h. It decides nothing about how sums are computed.
#include "plugins/cuda/emit/convolution_window.h"

#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"

#define P TVI_CUDA_PRINT
#define MAX_WINDOW 64
#define MAX_UNROLLED 15  // depthwise: a window is printed as it is
#define NO_DIM 255u      // of a match: a dimension that is absent

static bool is_one(trivet_dim_t dim) { return tvi_dim_equals_constant(dim, 1); }

// Both axes of the window; a row is a picture of one line.
static const char* read_axes(tvi_cuda_printer_t* p, tvi_cuda_window_t* w) {
  const tvi_kir_convolution_t* c = &w->match;
  if (c->spatial_rank > 2) return "a window of three dimensions";
  const uint32_t missing = 2 - c->spatial_rank;
  for (uint32_t a = 0; a < 2; ++a) {
    w->window[a] = w->strides[a] = w->dilations[a] = 1;
    w->pads[a] = tvi_cuda_number(p, 0);
    w->input[a] = w->output[a] = tvi_cuda_number(p, 1);
    w->x_strides[1 + a] = w->w_strides[1 + a] = tvi_cuda_number(p, 0);
    if (a < missing) continue;
    const uint32_t s = a - missing;
    if (!tvi_dim_is_constant(c->window[s], &w->window[a]) || w->window[a] > MAX_WINDOW)
      return "a window of unknown or large extent";
    w->strides[a] = c->strides[s];
    w->dilations[a] = c->dilations[s];
    w->pads[a] = c->pads[s];
    w->input[a] = c->input[s];
    w->output[a] = c->output[s];
    w->x_strides[1 + a] = p->strides[c->x.value][c->x_spatial_dims[s]];
    w->w_strides[1 + a] = p->strides[c->weight.value][c->weight_spatial_dims[s]];
  }
  w->x_strides[0] = p->strides[c->x.value][c->x_batch_dim];
  w->x_strides[3] = p->strides[c->x.value][c->x_channel_dim];
  w->w_strides[0] = p->strides[c->weight.value][c->weight_output_dim];
  w->w_strides[3] = p->strides[c->weight.value][c->weight_input_dim];
  return NULL;
}

static const char* read_channels(const tvi_cuda_printer_t* p, tvi_cuda_window_t* w) {
  const tvi_kir_convolution_t* c = &w->match;
  const trivet_dim_t own = p->program->values[c->weight.value].dims[c->weight_input_dim];
  if (!tvi_dim_is_constant(own, &w->channels)) return "a number of channels that is not constant";
  if (is_one(c->groups)) return NULL;
  w->is_depthwise = true;
  if (w->window[0] > MAX_UNROLLED || w->window[1] > MAX_UNROLLED)
    return "a large window of single channels";
  return c->groups == c->input_channels && c->groups == c->output_channels && w->channels == 1
             ? NULL
             : "groups of several channels";
}

static bool is_plain_product(const tvi_cuda_window_t* w) {
  bool plain = !w->is_depthwise;
  for (uint32_t a = 0; a < 2; ++a)
    plain &= w->window[a] == 1 && w->strides[a] == 1 && tvi_dim_equals_constant(w->pads[a], 0);
  return plain;
}

// The merged loop that an index of the result is; TVI_CUDA_NONE: it has one value.
static uint32_t loop_of(const tvi_cuda_printer_t* p, uint32_t stage, uint8_t index) {
  if (index == NO_DIM) return TVI_CUDA_NONE;
  const uint32_t loop = p->schedule->stages[stage].loop_of_index[index];
  return loop == TVI_CUDA_NONE ? TVI_CUDA_NONE : p->loop_of_loop[loop];
}

// Pixels are numbered row after row, image after image, however many loops walk them.
static const char* read_loops(const tvi_cuda_printer_t* p, tvi_cuda_window_t* w) {
  const tvi_kir_convolution_t* c = &w->match;
  tvi_cuda_matmul_shape_t* s = &w->shape;
  const uint32_t channel = loop_of(p, s->core, c->out_channel_dim);
  uint8_t pixels[3] = {c->out_batch_dim, c->out_spatial_dims[0], NO_DIM};
  if (c->spatial_rank == 2) pixels[2] = c->out_spatial_dims[1];
  for (uint32_t i = 0; i < 3; ++i) {
    const uint32_t loop = loop_of(p, s->core, pixels[i]);
    if (loop == TVI_CUDA_NONE) continue;
    if (loop == channel) return "channels that are walked with pixels";
    const uint32_t last = s->m.count ? s->m.loops[s->m.count - 1] : TVI_CUDA_NONE;
    if (last != TVI_CUDA_NONE && last > loop) return "the result in another order";
    if (last != loop) s->m.loops[s->m.count++] = loop;
  }
  if (channel != TVI_CUDA_NONE) s->n.loops[s->n.count++] = channel;
  for (uint32_t l = 0; l < p->loop_count; ++l) {
    bool is_known = p->is_inner[l] || l == channel;
    for (uint32_t i = 0; i < s->m.count; ++i) is_known |= s->m.loops[i] == l;
    if (!is_known) return "a loop of the result that is none of a convolution";
  }
  return NULL;
}

// Elements of an operand that can be moved at once along its last stride.
static uint32_t vector_of(const tvi_cuda_printer_t* p, const trivet_dim_t strides[4],
                          uint32_t inner, int64_t count, uint32_t most) {
  for (uint32_t v = most; v > 1; v /= 2) {
    bool fits = is_one(strides[inner]) && count % v == 0;
    for (uint32_t i = 0; i < 4; ++i)
      if (i != inner) fits &= tvi_dim_divisor(p->program->dims, strides[i]) % v == 0;
    if (fits) return v;
  }
  return 1;
}

// Does no window reach over the left or right edge?
static bool is_flush(const tvi_cuda_window_t* w) {
  int64_t width, pixels;
  return tvi_dim_equals_constant(w->pads[1], 0) && tvi_dim_is_constant(w->input[1], &width) &&
         tvi_dim_is_constant(w->output[1], &pixels) &&
         (pixels - 1) * w->strides[1] + (w->window[1] - 1) * w->dilations[1] < width;
}

// Can |piece| elements of a sum be moved at once wherever so many begin? Either channels that lie
// together, or whole lines of windows that stay inside.
static bool is_gathered_by_pieces(const tvi_cuda_printer_t* p, const tvi_cuda_window_t* w,
                                  int64_t piece) {
  const uint32_t inner = w->channels_inside ? 3 : 2;
  int64_t run = w->channels_inside ? w->channels : w->window[1];
  bool is_line = !w->channels_inside;
  if (w->channels_inside && run % piece != 0 &&
      tvi_dim_equals_constant(w->x_strides[2], w->channels)) {
    run *= w->window[1];
    is_line = true;
  }
  bool fits = is_one(w->x_strides[inner]) && run % piece == 0;
  if (is_line) {
    const int64_t pixel = w->channels_inside ? w->channels : 1;
    fits &= w->dilations[1] == 1 && is_flush(w) && w->strides[1] * pixel % piece == 0;
  }
  for (uint32_t i = 0; i < 4; ++i)
    if (i != inner && !(is_line && i >= 2 && (w->channels_inside || i == 2)))
      fits &= tvi_dim_divisor(p->program->dims, w->x_strides[i]) % piece == 0;
  return fits;
}

void tvi_cuda_window_wish_weights(const tvi_cuda_window_t* w, int64_t* out_strides) {
  const int64_t area = w->window[0] * w->window[1];
  if (w->is_depthwise) {
    int64_t channels = 0;
    // Not constant: they are as they are.
    if (!tvi_dim_is_constant(w->match.output_channels, &channels)) channels = 1;
    out_strides[0] = 1;
    out_strides[1] = w->window[1] * channels;
    out_strides[2] = channels;
    out_strides[3] = 0;
    return;
  }
  const int64_t piece = tvi_cuda_matmul_piece(w->match.weight.dtype);
  out_strides[0] = (area * w->channels + piece - 1) / piece * piece;
  out_strides[1] = w->window[1] * (w->channels_inside ? w->channels : 1);
  out_strides[2] = w->channels_inside ? w->channels : 1;
  out_strides[3] = w->channels_inside ? 1 : area;
}

static void measure_operands(const tvi_cuda_printer_t* p, tvi_cuda_window_t* w) {
  int64_t wish[4], channels = 1;
  const uint32_t piece = tvi_cuda_matmul_piece(w->match.weight.dtype);
  w->channels_inside = is_one(w->x_strides[3]);
  tvi_cuda_window_wish_weights(w, wish);
  w->weights_follow = true;
  const int64_t extents[4] = {2, w->window[0], w->window[1], w->channels};
  for (uint32_t i = w->is_depthwise ? 0 : 1; i < 4; ++i)
    w->weights_follow &= extents[i] == 1 || tvi_dim_equals_constant(w->w_strides[i], wish[i]);
  if (w->is_depthwise) {
    if (!tvi_dim_is_constant(w->match.output_channels, &channels)) channels = 1;
    w->vector_x = vector_of(p, w->x_strides, 3, channels, piece);
    trivet_dim_t strides[4];
    memcpy(strides, w->w_strides, sizeof(strides));
    strides[3] = tvi_cuda_number(p, 0);  // one channel a group
    w->vector_w = vector_of(p, strides, 0, channels, piece);
    return;
  }
  // What is computed on its way is taken apart into channels and pixels again, so that pieces may
  // not reach into the next pixel.
  const bool reaches = w->shape.a.is_made && (!w->channels_inside || w->channels % piece != 0);
  w->vector_x = is_gathered_by_pieces(p, w, piece) && !reaches ? piece : 1;
  w->vector_w = w->weights_follow && tvi_dim_divisor(p->program->dims, w->w_strides[0]) % piece == 0
                    ? piece
                    : 1;
}

static bool has_channels_together(const tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s) {
  bool together = s->last == TVI_CUDA_NONE;
  for (size_t i = 0; i < p->accesses.count && !together; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    together = access->load == TVI_KIR_NONE && tvi_cuda_is_written(p, access->value) &&
               access->coefficients[s->last] && is_one(access->coefficients[s->last]);
  }
  return together;
}

// Whole numbers go in pairs of channels: from here on sizes and strides count these.
static const char* count_pairs(tvi_cuda_printer_t* p, tvi_cuda_window_t* w) {
  const trivet_dim_t two = tvi_cuda_number(p, 2);
  bool fits = !w->is_depthwise && w->channels % 16 == 0 && is_one(w->x_strides[3]);
  for (uint32_t i = 0; i < 3; ++i) {
    fits &= tvi_dim_divisor(p->program->dims, w->x_strides[i]) % 16 == 0;
    w->x_strides[i] = tvi_cuda_dim(p, TRIVET_DIM_FLOORDIV, w->x_strides[i], two);
    w->w_strides[i] = tvi_cuda_dim(p, TRIVET_DIM_FLOORDIV, w->w_strides[i], two);
  }
  w->channels /= 2;
  return fits ? NULL : "a picture of i8 without 16 neighbouring channels";
}

void tvi_cuda_window_read(tvi_cuda_printer_t* p, tvi_cuda_window_t* w, const char** out_reason) {
  tvi_cuda_matmul_shape_t* s = &w->shape;
  *out_reason = NULL;
  if (p->schedule->group_count == 0) {
    *out_reason = "nothing to compute";
    return;
  }
  uint32_t makers = 0;
  p->group = &p->schedule->groups[p->schedule->group_count - 1];
  *out_reason = tvi_cuda_matmul_check_makers(p);
  if (!*out_reason) *out_reason = tvi_cuda_matmul_check_stages(p);
  if (*out_reason) return;
  s->core = p->schedule->order[p->group->stage_first];
  if (!tvi_kir_match_convolution(p->program, s->core, &w->match, out_reason)) return;
  const tvi_kir_convolution_t* c = &w->match;
  if (c->transposed) {
    *out_reason = "a transposed convolution";
    return;
  }
  const bool is_whole = c->weight.dtype == TRIVET_DTYPE_I8;
  // Windows of single channels need no tensor cores.
  const bool allows_tf32 = p->options->allows_tf32 || !is_one(c->groups);
  *out_reason =
      c->x.dtype != c->weight.dtype
          ? "operands of two types"
          : tvi_cuda_matmul_check_dtype(c->weight.dtype, c->accumulate_dtype, allows_tf32);
  if (*out_reason) return;
  tvi_cuda_collect_accesses(p);
  if (p->status) return;
  s->a.load = c->x.load;
  s->a.value = c->x.value;
  s->b.load = c->weight.load;
  s->b.value = c->weight.value;
  s->k = TVI_CUDA_NONE;
  *out_reason = tvi_cuda_matmul_set_maker(p, &s->a, &makers);
  if (!*out_reason && makers != p->group->stage_first)
    *out_reason = "a stage before the convolution that is not its picture";
  if (!*out_reason && makers && is_whole) *out_reason = "a picture of i8 that is computed";
  if (!*out_reason) *out_reason = read_axes(p, w);
  if (!*out_reason) *out_reason = read_channels(p, w);
  if (!*out_reason && is_plain_product(w)) *out_reason = "a matrix product";
  if (!*out_reason) *out_reason = read_loops(p, w);
  s->width = is_whole ? 2 : 1;
  if (!*out_reason && is_whole) *out_reason = count_pairs(p, w);
  if (*out_reason) return;
  s->depth = tvi_cuda_number(p, w->window[0] * w->window[1] * w->channels);
  *out_reason = tvi_cuda_matmul_measure(p, s);
  if (p->status || *out_reason) return;
  measure_operands(p, w);
  if (!has_channels_together(p, s)) *out_reason = "channels of the result do not lie together";
  s->a.vector = w->vector_x;
  s->b.vector = w->vector_w;
  s->a.inner_k = s->b.inner_k = true;
}

void tvi_cuda_print_int(tvi_cuda_printer_t* p, const char* name, trivet_dim_t dim) {
  P(p, "const int %s = (int)(", name);
  tvi_cuda_print_dim(p, dim);
  P(p, ");\n");
}

void tvi_cuda_window_print_geometry(tvi_cuda_printer_t* p, const tvi_cuda_window_t* w) {
  const char* type = tvi_cuda_index_type(p);
  tvi_cuda_print_int(p, "height", w->input[0]);
  tvi_cuda_print_int(p, "width", w->input[1]);
  tvi_cuda_print_int(p, "rows", w->output[0]);
  tvi_cuda_print_int(p, "pixels", w->output[1]);
  tvi_cuda_print_int(p, "down", w->pads[0]);
  tvi_cuda_print_int(p, "across", w->pads[1]);
  const char* names[] = {"x_image", "x_row", "x_pixel", "x_channel"};
  for (uint32_t i = 0; i < 4; ++i) {
    P(p, "const %s %s = (%s)", type, names[i], type);
    tvi_cuda_print_dim(p, w->x_strides[i]);
    P(p, ";\n");
  }
}

uint32_t tvi_cuda_window_add_weights_map(tvi_cuda_printer_t* p, const tvi_cuda_window_t* w,
                                         const tvi_cuda_matmul_tile_t* t) {
  const tvi_cuda_matmul_shape_t* s = &w->shape;
  const uint32_t at = (uint32_t)p->code->maps.count;
  tvi_cuda_map_t map;
  memset(&map, 0, sizeof(map));
  map.operand = p->operand_of_value[s->b.value];
  map.rank = 2;
  const trivet_dim_t width = tvi_cuda_number(p, s->width);
  map.extents[0] = tvi_cuda_parameter(p, tvi_cuda_dim(p, TRIVET_DIM_MUL, s->depth, width));
  map.extents[1] = tvi_cuda_parameter(p, s->columns);
  map.strides[0] = tvi_cuda_parameter(p, tvi_cuda_number(p, 1));
  map.strides[1] = tvi_cuda_parameter(p, tvi_cuda_dim(p, TRIVET_DIM_MUL, w->w_strides[0], width));
  map.box[0] = t->kt * s->width;
  map.box[1] = t->bn;
  trivet_status_t status = tvi_vector_push(&p->code->maps, map);
  if (status) tvi_cuda_fail(p, status);
  return at;
}
