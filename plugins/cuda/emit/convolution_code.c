// SPDX-License-Identifier: Apache-2.0
//
// Reading a schedule as a convolution, and its kernels. See convolution_code.h; the skeletons of
// the kernels are convolution.cuh and matmul.cuh. It changes how windows are walked, never what is
// summed.
#include "plugins/cuda/emit/convolution_code.h"

#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "plugins/cuda/emit/matmul_shape.h"

#define P TVI_CUDA_PRINT
#define CHANNELS_BLOCK 128u
#define MAX_WINDOW 64
#define MAX_UNROLLED 15  // depthwise: a window is printed as it is
#define MAX_TABLE 512
#define WIDE_BLOCK 384u
// First layers: warps of a block, blocks that stay, and what is worth it.
#define LINE_WARPS 8
#define LINE_BLOCKS (3 * 132)
#define FETCHING_BLOCKS (2 * 132)  // have more registers
#define MAX_LINE_FEATURES 128
#define MAX_LINE_DEPTH 512
#define MAX_LINE_BYTES (200 * 1024)
#define MAX_FETCHED 32
#define MAX_BOX_STEP 4  // pixels that a window moves by, where boxes of the image are brought
#define MULTIPROCESSORS 132
#define NO_DIM 255u  // of a match: a dimension that is absent
#define X_MULTIPLE 8

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
} window_t;

static trivet_dim_t binary(const tvi_cuda_printer_t* p, uint32_t op, trivet_dim_t a,
                           trivet_dim_t b) {
  return a && b ? tvi_dim_binary(p->program->dims, op, a, b) : NULL;
}

static trivet_dim_t number(const tvi_cuda_printer_t* p, int64_t value) {
  return tvi_dim_constant(p->program->dims, value);
}

static bool is_one(trivet_dim_t dim) { return tvi_dim_equals_constant(dim, 1); }

// ---------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------

// Both axes of the window; a row is a picture of one line.
static const char* read_axes(tvi_cuda_printer_t* p, window_t* w) {
  const tvi_kir_convolution_t* c = &w->match;
  if (c->spatial_rank > 2) return "a window of three dimensions";
  const uint32_t missing = 2 - c->spatial_rank;
  for (uint32_t a = 0; a < 2; ++a) {
    w->window[a] = w->strides[a] = w->dilations[a] = 1;
    w->pads[a] = number(p, 0);
    w->input[a] = w->output[a] = number(p, 1);
    w->x_strides[1 + a] = w->w_strides[1 + a] = number(p, 0);
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

static const char* read_channels(const tvi_cuda_printer_t* p, window_t* w) {
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

static bool is_plain_product(const window_t* w) {
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
static const char* read_loops(const tvi_cuda_printer_t* p, window_t* w) {
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
                          uint32_t inner, int64_t count) {
  for (uint32_t v = 8; v > 1; v /= 2) {
    bool fits = is_one(strides[inner]) && count % v == 0;
    for (uint32_t i = 0; i < 4; ++i)
      if (i != inner) fits &= tvi_dim_divisor(p->program->dims, strides[i]) % v == 0;
    if (fits) return v;
  }
  return 1;
}

// Does no window reach over the left or right edge?
static bool is_flush(const tvi_cuda_printer_t* p, const window_t* w) {
  int64_t width, pixels;
  (void)p;
  return tvi_dim_equals_constant(w->pads[1], 0) && tvi_dim_is_constant(w->input[1], &width) &&
         tvi_dim_is_constant(w->output[1], &pixels) &&
         (pixels - 1) * w->strides[1] + (w->window[1] - 1) * w->dilations[1] < width;
}

// Can eight elements of a sum be moved at once wherever eight begin? Either channels that lie
// together, or whole lines of windows that stay inside.
static bool is_gathered_by_eight(const tvi_cuda_printer_t* p, const window_t* w) {
  const uint32_t inner = w->channels_inside ? 3 : 2;
  int64_t run = w->channels_inside ? w->channels : w->window[1];
  bool is_line = !w->channels_inside;
  if (w->channels_inside && run % 8 != 0 && tvi_dim_equals_constant(w->x_strides[2], w->channels)) {
    run *= w->window[1];
    is_line = true;
  }
  bool fits = is_one(w->x_strides[inner]) && run % 8 == 0;
  if (is_line) {
    const int64_t pixel = w->channels_inside ? w->channels : 1;
    fits &= w->dilations[1] == 1 && is_flush(p, w) && w->strides[1] * pixel % 8 == 0;
  }
  for (uint32_t i = 0; i < 4; ++i)
    if (i != inner && !(is_line && i >= 2 && (w->channels_inside || i == 2)))
      fits &= tvi_dim_divisor(p->program->dims, w->x_strides[i]) % 8 == 0;
  return fits;
}

// The strides that weights have when they lie as the sums walk them: a row of a multiple of 16
// bytes for each output channel; depthwise, the channels of each place of the window together.
static void wish_weights(const tvi_cuda_printer_t* p, const window_t* w, int64_t* out_strides) {
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
  out_strides[0] = (area * w->channels + X_MULTIPLE - 1) / X_MULTIPLE * X_MULTIPLE;
  out_strides[1] = w->window[1] * (w->channels_inside ? w->channels : 1);
  out_strides[2] = w->channels_inside ? w->channels : 1;
  out_strides[3] = w->channels_inside ? 1 : area;
  (void)p;
}

static void measure_operands(const tvi_cuda_printer_t* p, window_t* w) {
  int64_t wish[4], channels = 1;
  w->channels_inside = is_one(w->x_strides[3]);
  wish_weights(p, w, wish);
  w->weights_follow = true;
  const int64_t extents[4] = {2, w->window[0], w->window[1], w->channels};
  for (uint32_t i = w->is_depthwise ? 0 : 1; i < 4; ++i)
    w->weights_follow &= extents[i] == 1 || tvi_dim_equals_constant(w->w_strides[i], wish[i]);
  if (w->is_depthwise) {
    if (!tvi_dim_is_constant(w->match.output_channels, &channels)) channels = 1;
    w->vector_x = vector_of(p, w->x_strides, 3, channels);
    trivet_dim_t strides[4];
    memcpy(strides, w->w_strides, sizeof(strides));
    strides[3] = number(p, 0);  // one channel a group
    w->vector_w = vector_of(p, strides, 0, channels);
    return;
  }
  w->vector_x = is_gathered_by_eight(p, w) ? 8 : 1;
  w->vector_w =
      w->weights_follow && tvi_dim_divisor(p->program->dims, w->w_strides[0]) % 8 == 0 ? 8 : 1;
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

static void read_window(tvi_cuda_printer_t* p, window_t* w, const char** out_reason) {
  tvi_cuda_matmul_shape_t* s = &w->shape;
  *out_reason = NULL;
  if (p->schedule->group_count == 0) {
    *out_reason = "nothing to compute";
    return;
  }
  p->group = &p->schedule->groups[0];
  *out_reason = tvi_cuda_matmul_check_stages(p);
  if (*out_reason) return;
  s->core = p->schedule->order[p->group->stage_first];
  if (!tvi_kir_match_convolution(p->program, s->core, &w->match, out_reason)) return;
  const tvi_kir_convolution_t* c = &w->match;
  if (c->transposed) {
    *out_reason = "a transposed convolution";
    return;
  }
  const uint32_t type = c->weight.dtype;
  if (c->x.dtype != type || (type != TRIVET_DTYPE_F16 && type != TRIVET_DTYPE_BF16)) {
    *out_reason = "operands that are not both f16 or both bf16";
    return;
  }
  if (c->accumulate_dtype != type && c->accumulate_dtype != TRIVET_DTYPE_F32) {
    *out_reason = "a sum in another type";
    return;
  }
  tvi_cuda_collect_accesses(p);
  if (p->status) return;
  s->a.load = c->x.load;
  s->a.value = c->x.value;
  s->b.load = c->weight.load;
  s->b.value = c->weight.value;
  s->k = TVI_CUDA_NONE;
  *out_reason = read_axes(p, w);
  if (!*out_reason) *out_reason = read_channels(p, w);
  if (!*out_reason && is_plain_product(w)) *out_reason = "a matrix product";
  if (!*out_reason) *out_reason = read_loops(p, w);
  if (*out_reason) return;
  s->depth = number(p, w->window[0] * w->window[1] * w->channels);
  *out_reason = tvi_cuda_matmul_measure(p, s);
  if (p->status || *out_reason) return;
  measure_operands(p, w);
  if (!has_channels_together(p, s)) *out_reason = "channels of the result do not lie together";
  s->a.vector = w->vector_x;
  s->b.vector = w->vector_w;
  s->a.inner_k = s->b.inner_k = true;
}

// ---------------------------------------------------------------------------------------------
// Kernels
// ---------------------------------------------------------------------------------------------

static void print_number(tvi_cuda_printer_t* p, const char* name, trivet_dim_t dim) {
  P(p, "const int %s = (int)(", name);
  tvi_cuda_print_dim(p, dim);
  P(p, ");\n");
}

static void print_geometry(tvi_cuda_printer_t* p, const window_t* w) {
  const char* type = tvi_cuda_index_type(p);
  print_number(p, "height", w->input[0]);
  print_number(p, "width", w->input[1]);
  print_number(p, "rows", w->output[0]);
  print_number(p, "pixels", w->output[1]);
  print_number(p, "down", w->pads[0]);
  print_number(p, "across", w->pads[1]);
  const char* names[] = {"x_image", "x_row", "x_pixel", "x_channel"};
  for (uint32_t i = 0; i < 4; ++i) {
    P(p, "const %s %s = (%s)", type, names[i], type);
    tvi_cuda_print_dim(p, w->x_strides[i]);
    P(p, ";\n");
  }
}

// "at", the address under the corner of the window of a pixel.
static void print_at(tvi_cuda_printer_t* p, const window_t* w) {
  P(p,
    "const auto at = [&](const int m, int* y, int* x) {\n"
    "const unsigned line = (unsigned)m / (unsigned)pixels;\n"
    "*y = (int)(line %% (unsigned)rows) * %lld - down;\n"
    "*x = (int)((unsigned)m %% (unsigned)pixels) * %lld - across;\nreturn ",
    (long long)w->strides[0], (long long)w->strides[1]);
  tvi_cuda_print_pointer(p, w->shape.a.value);
  P(p, " + ((%s)(line / (unsigned)rows) * x_image + *y * x_row + *x * x_pixel);\n};\n",
    tvi_cuda_index_type(p));
}

// The place in the window and the channel of element k of a sum.
static void print_walk(tvi_cuda_printer_t* p, const window_t* w) {
  const long long area = (long long)w->window[0] * w->window[1];
  if (w->channels_inside) {
    P(p, "const unsigned place = (unsigned)k / %lluu, channel = (unsigned)k %% %lluu;\n",
      (unsigned long long)w->channels, (unsigned long long)w->channels);
  } else {
    P(p, "const unsigned channel = (unsigned)k / %lldu, place = (unsigned)k %% %lldu;\n", area,
      area);
  }
  P(p, "const int ky = (int)(place / %lluu), kx = (int)(place %% %lluu);\n",
    (unsigned long long)w->window[1], (unsigned long long)w->window[1]);
}

static void print_tap(tvi_cuda_printer_t* p, const window_t* w) {
  P(p, "const auto tap = [&](const int k, int* dy, int* dx) {\n");
  print_walk(p, w);
  P(p,
    "*dy = ky * %lld;\n*dx = kx * %lld;\n"
    "return *dy * x_row + *dx * x_pixel + (%s)channel * x_channel;\n};\n",
    (long long)w->dilations[0], (long long)w->dilations[1], tvi_cuda_index_type(p));
}

// "b_at", the address of an element of the weights.
static void print_weights(tvi_cuda_printer_t* p, const window_t* w) {
  const char* type = tvi_cuda_index_type(p);
  P(p, "const auto b_at = [&](const int x, const int k) {\n");
  if (w->weights_follow) {
    P(p, "return ");
    tvi_cuda_print_pointer(p, w->shape.b.value);
    P(p, " + ((%s)x * ", type);
    tvi_cuda_print_dim(p, w->w_strides[0]);
    P(p, " + k);\n};\n");
    return;
  }
  print_walk(p, w);
  P(p, "return ");
  tvi_cuda_print_pointer(p, w->shape.b.value);
  const char* walked[] = {"x", "ky", "kx", "channel"};
  for (uint32_t i = 0; i < 4; ++i) {
    P(p, "%s(%s)%s * ", i ? " + " : " + (", type, walked[i]);
    tvi_cuda_print_dim(p, w->w_strides[i]);
  }
  P(p, ");\n};\n");
}

// The statements that find a tile.
static void print_wide_place(tvi_cuda_printer_t* p) {
  P(p,
    "for (unsigned number = blockIdx.x; number < tiles; number += TV_GRID) {\n"
    "int row, column;\nunsigned rest;\n"
    "tv_order<16>(number, across_m, across_n, &row, &column, &rest);\n"
    "const int m0 = row * tile::BM, n0 = column * tile::BN;\n");
}

// The weights: a row for each channel of the result.
static uint32_t add_weights_map(tvi_cuda_printer_t* p, const window_t* w,
                                const tvi_cuda_matmul_tile_t* t) {
  const tvi_cuda_matmul_shape_t* s = &w->shape;
  const uint32_t at = (uint32_t)p->code->maps.count;
  tvi_cuda_map_t map;
  memset(&map, 0, sizeof(map));
  map.operand = p->operand_of_value[s->b.value];
  map.rank = 2;
  map.extents[0] = tvi_cuda_parameter(p, s->depth);
  map.extents[1] = tvi_cuda_parameter(p, s->columns);
  map.strides[0] = tvi_cuda_parameter(p, number(p, 1));
  map.strides[1] = tvi_cuda_parameter(p, w->w_strides[0]);
  map.box[0] = t->kt;
  map.box[1] = t->bn;
  trivet_status_t status = tvi_vector_push(&p->code->maps, map);
  if (status) tvi_cuda_fail(p, status);
  return at;
}

// The form for Hopper: blocks stay and take tile after tile.
static void print_wide(tvi_cuda_printer_t* p, const window_t* w, const tvi_cuda_matmul_tile_t* t,
                       tvi_cuda_variant_t* variant) {
  const tvi_cuda_matmul_shape_t* s = &w->shape;
  const uint32_t at = add_weights_map(p, w, t);
  P(p, "TV_MEMORY(memory);\n");
  tvi_cuda_matmul_print_extents(p, s);
  print_geometry(p, w);
  P(p,
    "typedef tv_wide_window<tv_wide<%s, %u, %u, %u, %u, 2, false, true, true> > tile;\n"
    "const unsigned across_m = (unsigned)(M + tile::BM - 1) / tile::BM;\n"
    "const unsigned across_n = (unsigned)(N + tile::BN - 1) / tile::BN;\n"
    "const unsigned tiles = across_m * across_n;\n"
    "const int steps = (K + tile::KT - 1) / tile::KT;\n"
    "tv_wide_memory<tile> work = {memory, 0, 0, 0};\nwork.begin();\n"
    "if (threadIdx.x < 128) {\nTV_REGISTERS(dec, 72);\n",
    tvi_cuda_storage_type(p->program->values[s->a.value].dtype), t->bm, t->bn, t->stages, t->slab);
  print_at(p, w);
  print_tap(p, w);
  print_wide_place(p);
  tvi_cuda_add_argument(p, TVI_CUDA_ARGUMENT_MAP, at);
  P(p,
    "tv_window_copier<tile::type, tile::BM, tile::KT, 128> windows;\n"
    "windows.begin(at, m0, M);\n"
    "for (int k = 0; k < K; k += tile::KT) {\n"
    "tv_barrier_wait(work.empty(work.stage), work.parity ^ 1u);\n"
    "unsigned char* const to = work.data();\nunsigned char* const bar = work.full(work.stage);\n"
    "if (threadIdx.x == 0) {\ntv_barrier_expect(bar, tile::BYTES - tile::A_BYTES);\n"
    "tv_box(t%u, to + tile::A_BYTES, bar, k, n0);\n}\n"
    "windows.copy(tap, to, k, K, height, width);\ntv_copy_arrive(bar);\nwork.next();\n}\n}\n"
    "} else {\nTV_REGISTERS(inc, 216);\n",
    at);
  print_wide_place(p);
  tvi_cuda_matmul_print_put(p, s, s->vector);
  P(p,
    "float sums[tile::FM][tile::FN][4];\ntv_wide_matmul<tile>(sums, work, steps);\n"
    "tv_wide_finish<tile, %u>(sums, work, m0, n0, M, N, put);\n}\n}\n",
    s->vector);
  variant->block = WIDE_BLOCK;
  variant->shared_bytes = tvi_cuda_matmul_shared_bytes(t);
  const trivet_dim_t rows = binary(p, TRIVET_DIM_CEILDIV, s->rows, number(p, t->bm));
  const trivet_dim_t columns = binary(p, TRIVET_DIM_CEILDIV, s->columns, number(p, t->bn));
  const trivet_dim_t tiles = binary(p, TRIVET_DIM_MUL, rows, columns);
  variant->grid =
      tvi_cuda_parameter(p, binary(p, TRIVET_DIM_MIN, tiles, number(p, MULTIPROCESSORS)));
}

// ---------------------------------------------------------------------------------------------
// Boxes of the image
// ---------------------------------------------------------------------------------------------

bool tvi_cuda_convolution_can_box(const tvi_cuda_matmul_tile_t* tile) { return tile->slab != 0; }

// What a box of pixels needs of one place of their windows is a box of the image, 64 channels of
// which the copy engine lays as rows of a tile. Windows that move by some pixels at once see every
// so many of them: those that are alike lie behind each other's channels, so lines of pixels must
// be dense and made of whole steps.
static bool has_boxes(const tvi_cuda_printer_t* p, const window_t* w) {
  const int64_t step = w->strides[0];
  bool fits = !w->is_depthwise && w->match.spatial_rank == 2 && w->strides[1] == step &&
              w->channels_inside && w->channels % 64 == 0 && w->vector_x == 8 && w->vector_w == 8;
  if (step == 1) return fits;
  fits &= step <= MAX_BOX_STEP && tvi_dim_equals_constant(w->x_strides[2], w->channels);
  for (uint32_t a = 0; a < 2; ++a)
    fits &= tvi_dim_divisor(p->program->dims, w->input[a]) % step == 0;
  return fits;
}

typedef struct box_s {
  int64_t across, down, images;
  bool is_exact;  // all boxes are full and all their pixels exist
} box_t;

static int64_t boxes_along(int64_t extent, int64_t size) { return (extent + size - 1) / size; }

// The box of at most |rows| pixels of which the fewest cover the result.
static box_t choose_box(const tvi_cuda_printer_t* p, const window_t* w, int64_t rows) {
  const int64_t pixels = tvi_cuda_printer_estimate(p, w->output[1]);
  const int64_t lines = tvi_cuda_printer_estimate(p, w->output[0]);
  const int64_t images = tvi_cuda_printer_estimate(p, w->match.batch);
  box_t best = {1, 1, 1, false};
  double least = -1;
  for (int64_t x = 1; x <= rows && x <= pixels; ++x) {
    for (int64_t y = 1; x * y <= rows && y <= lines; ++y) {
      const int64_t room = rows / (x * y), n = room < images ? room : images;
      const double count = (double)boxes_along(pixels, x) * (double)boxes_along(lines, y) *
                           (double)boxes_along(images, n < 1 ? 1 : n);
      if (least >= 0 && (count > least || (count == least && x * y < best.across * best.down)))
        continue;
      least = count;
      best.across = x, best.down = y, best.images = n < 1 ? 1 : n;
    }
  }
  const tvi_dim_context_t* dims = p->program->dims;
  best.is_exact = best.across * best.down * best.images == rows &&
                  tvi_dim_divisor(dims, w->output[1]) % best.across == 0 &&
                  tvi_dim_divisor(dims, w->output[0]) % best.down == 0 &&
                  tvi_dim_divisor(dims, w->match.batch) % best.images == 0;
  return best;
}

static uint32_t add_image_map(tvi_cuda_printer_t* p, const window_t* w, const box_t* box) {
  tvi_cuda_map_t map;
  memset(&map, 0, sizeof(map));
  map.operand = p->operand_of_value[w->shape.a.value];
  // Channels, pixels across, those down, images; steps: channels of pixels that one step passes,
  // steps across, lines that one step passes, steps down, images.
  const trivet_dim_t step = number(p, w->strides[0]), one = number(p, 1);
  const bool has_steps = w->strides[0] > 1;
  const trivet_dim_t extents[5] = {binary(p, TRIVET_DIM_MUL, w->match.input_channels, step),
                                   binary(p, TRIVET_DIM_FLOORDIV, w->input[1], step), step,
                                   binary(p, TRIVET_DIM_FLOORDIV, w->input[0], step),
                                   w->match.batch};
  const trivet_dim_t strides[5] = {
      one, binary(p, TRIVET_DIM_MUL, w->x_strides[2], step), w->x_strides[1],
      binary(p, TRIVET_DIM_MUL, w->x_strides[1], step), w->x_strides[0]};
  const int64_t sizes[5] = {64, box->across, 1, box->down, box->images};
  for (uint32_t d = 0; d < 5; ++d) {
    if (d == 2 && !has_steps) continue;
    map.extents[map.rank] = tvi_cuda_parameter(p, extents[d]);
    map.strides[map.rank] = tvi_cuda_parameter(p, strides[d]);
    map.box[map.rank++] = (uint32_t)sizes[d];
  }
  const uint32_t at = (uint32_t)p->code->maps.count;
  trivet_status_t status = tvi_vector_push(&p->code->maps, map);
  if (status) tvi_cuda_fail(p, status);
  return at;
}

// The loop over the tiles of this group, or of all groups.
static void print_box_place(tvi_cuda_printer_t* p, const box_t* box, bool takes_turns) {
  P(p,
    "for (unsigned number = blockIdx.x%s; number < tiles; number += %sTV_GRID) {\n"
    "int row, column;\nunsigned rest;\n"
    "tv_order<16>(number, across_m, across_n, &row, &column, &rest);\n"
    "const int n0 = column * tile::BN, left = (int)((unsigned)row %% boxes_x) * %lld;\n"
    "const int top = (int)((unsigned)row / boxes_x %% boxes_y) * %lld;\n"
    "const int image = (int)((unsigned)row / (boxes_x * boxes_y)) * %lld;\n",
    takes_turns ? " + group * TV_GRID" : "", takes_turns ? "2 * " : "", (long long)box->across,
    (long long)box->down, (long long)box->images);
}

// The sums of a box: row r of the tile is a pixel.
static void print_box_finish(tvi_cuda_printer_t* p, const window_t* w, const box_t* box) {
  const long long across = box->across, down = box->down, images = box->images;
  tvi_cuda_matmul_print_put(p, &w->shape, w->shape.vector);
  P(p,
    "const auto put_pixel = [&](const int r, const int n, const float* sums) {\n"
    "const int x = left + r %% %lld, y = top + r / %lld %% %lld, i = image + r / %lld;\n",
    across, across, down, across * down);
  if (!box->is_exact)
    P(p, "if (r < %lld && x < pixels && y < rows && i < images) ", across * down * images);
  P(p, "put((i * rows + y) * pixels + x, n, sums);\n};\n");
}

// The form for Hopper whose tiles are boxes of pixels: the copy engine brings both factors.
static void print_boxes(tvi_cuda_printer_t* p, const window_t* w, const tvi_cuda_matmul_tile_t* t,
                        tvi_cuda_variant_t* variant) {
  const tvi_cuda_matmul_shape_t* s = &w->shape;
  const box_t box = choose_box(p, w, t->bm);
  const uint32_t groups = t->wm / 4;
  // One group of warps needs no more registers than it gets anyway.
  const char* fewer = groups > 2   ? "TV_REGISTERS(dec, 32);\n"
                      : groups > 1 ? "TV_REGISTERS(dec, 40);\n"
                                   : "";
  const char* more = groups > 2   ? "TV_REGISTERS(inc, 160);\n"
                     : groups > 1 ? "TV_REGISTERS(inc, 232);\n"
                                  : "";
  const uint32_t image = add_image_map(p, w, &box), weights = add_weights_map(p, w, t);
  const trivet_dim_t boxes_x = binary(p, TRIVET_DIM_CEILDIV, w->output[1], number(p, box.across));
  const trivet_dim_t boxes_y = binary(p, TRIVET_DIM_CEILDIV, w->output[0], number(p, box.down));
  trivet_dim_t rows = binary(p, TRIVET_DIM_CEILDIV, w->match.batch, number(p, box.images));
  rows = binary(p, TRIVET_DIM_MUL, rows, binary(p, TRIVET_DIM_MUL, boxes_x, boxes_y));
  const trivet_dim_t columns = binary(p, TRIVET_DIM_CEILDIV, s->columns, number(p, t->bn));
  trivet_dim_t tiles = binary(p, TRIVET_DIM_MUL, rows, columns);
  P(p, "TV_MEMORY(memory);\n");
  tvi_cuda_matmul_print_extents(p, s);
  print_geometry(p, w);
  print_number(p, "images", w->match.batch);
  print_number(p, "boxes_x", boxes_x);
  print_number(p, "boxes_y", boxes_y);
  print_number(p, "across_m", rows);
  print_number(p, "across_n", columns);
  P(p,
    "typedef tv_wide<%s, %u, %u, %u, %u, %u, %s, true, true> tile;\n"
    "const unsigned tiles = (unsigned)across_m * (unsigned)across_n;\n"
    "const int steps = K / tile::KT;\n"
    "tv_wide_memory<tile> work = {memory, 0, 0, 0};\nwork.begin();\n"
    "if (threadIdx.x < 128) {\n%sif (threadIdx.x == 0) {\n",
    tvi_cuda_storage_type(p->program->values[s->a.value].dtype), t->bm, t->bn, t->stages, t->slab,
    groups, t->turns ? "true" : "false", fewer);
  print_box_place(p, &box, false);
  tvi_cuda_add_argument(p, TVI_CUDA_ARGUMENT_MAP, image);
  tvi_cuda_add_argument(p, TVI_CUDA_ARGUMENT_MAP, weights);
  P(p,
    "TV_UNROLL_BY(1)\nfor (int s = 0; s < steps; ++s) {\n"
    "const int place = s / %lld, channel = s %% %lld * 64;\n"
    "const int dy = place / %lld * %lld - down, dx = place %% %lld * %lld - across;\n",
    (long long)w->channels / 64, (long long)w->channels / 64, (long long)w->window[1],
    (long long)w->dilations[0], (long long)w->window[1], (long long)w->dilations[1]);
  const long long step = w->strides[0];
  char from[96] = "channel, left + dx, top + dy, image";
  if (step > 1) {
    P(p,
      "const int rest_y = (dy %% %lld + %lld) %% %lld, rest_x = (dx %% %lld + %lld) %% %lld;\n"
      "const int step_y = (dy - rest_y) / %lld, step_x = (dx - rest_x) / %lld;\n",
      step, step, step, step, step, step, step, step);
    snprintf(from, sizeof(from),
             "rest_x * %lld + channel, left + step_x, rest_y, top + step_y, image",
             (long long)w->channels);
  }
  P(p,
    "tv_barrier_wait(work.empty(work.stage), work.parity ^ 1u);\n"
    "unsigned char* const to = work.data();\nunsigned char* const bar = work.full(work.stage);\n"
    "tv_barrier_expect(bar, %lld + tile::BN * 128);\n"
    "tv_box(t%u, to, bar, %s);\n"
    "tv_box(t%u, to + tile::A_BYTES, bar, s * tile::KT, n0);\nwork.next();\n}\n}\n}\n"
    "} else {\n%s",
    (long long)(box.across * box.down * box.images * 128), image, from, weights, more);
  if (t->turns)
    P(p, "const int group = (int)threadIdx.x / 128 - 1;\nif (group == 1) work.skip(steps);\n");
  print_box_place(p, &box, t->turns != 0);
  print_box_finish(p, w, &box);
  P(p,
    "float sums[tile::FM][tile::FN][4] = {};\n%stv_wide_matmul<tile>(sums, work, steps);\n%s"
    "tv_wide_finish<tile, %u>(sums, work, 0, n0, tile::BM, N, put_pixel);\n}\n}\n",
    t->turns ? "work.take_turn(group);\n" : "", t->turns ? "work.pass_turn(group, steps);\n" : "",
    s->vector);
  variant->block = 128 + groups * 128;
  variant->shared_bytes = tvi_cuda_matmul_shared_bytes(t);
  if (groups > 1) tiles = binary(p, TRIVET_DIM_MIN, tiles, number(p, MULTIPROCESSORS));
  variant->grid = tvi_cuda_parameter(p, tiles);
}

// What the form for Hopper does where addresses are not multiples of 16 bytes.
static const tvi_cuda_matmul_tile_t plain_tile = {128, 64, 64, 4, 2, 4, 0, 0, 0};

// How much of a window is kept in a table; 0: it is too large, or an image's extent is.
static int64_t table_depth(const tvi_cuda_printer_t* p, const window_t* w, uint32_t tile) {
  int64_t depth = 0, low, high;
  for (uint32_t a = 0; a < 2; ++a) {
    tvi_dim_range(p->program->dims, w->input[a], &low, &high);
    if (high > INT16_MAX / 2) return 0;
  }
  if (p->is_wide || !tvi_dim_is_constant(w->shape.depth, &depth) || depth > MAX_TABLE) return 0;
  return (depth + tile - 1) / tile * tile;
}

static void print_product(tvi_cuda_printer_t* p, const void* argument,
                          tvi_cuda_variant_t* variant) {
  const window_t* w = (const window_t*)argument;
  const tvi_cuda_matmul_shape_t* s = &w->shape;
  const tvi_cuda_matmul_tile_t* t = &tvi_cuda_matmul_tiles[w->form->tile];
  if (t->slab && variant->alignment == 16) {
    if (w->form->by_boxes) {
      print_boxes(p, w, t, variant);
    } else {
      print_wide(p, w, t, variant);
    }
    return;
  }
  if (t->slab) t = &plain_tile;
  const bool aligned = variant->alignment > 1;
  const uint32_t vector = aligned ? s->vector : 1;
  P(p, "TV_MEMORY(memory);\n");
  tvi_cuda_matmul_print_extents(p, s);
  tvi_cuda_matmul_print_place(p, s, t, true, true, w->form->splits);
  print_geometry(p, w);
  print_at(p, w);
  print_tap(p, w);
  print_weights(p, w);
  if (w->form->splits > 1) {
    tvi_cuda_matmul_print_partial_put(p, vector);
  } else {
    tvi_cuda_matmul_print_put(p, s, vector);
  }
  P(p, "float sums[tile::FM][tile::FN][4] = {};\n");
  if (aligned && w->vector_x == 8) {
    P(p,
      "tv_convolve<tile, %u>(sums, memory, at, tap, b_at, height, width, m0, n0, M, N, first, "
      "last);\n",
      w->vector_w);
  } else {
    P(p,
      "tv_convolve_singly<tile, %u, %lld>(sums, memory, at, tap, b_at, height, width, m0, n0, "
      "M, N, K, first, last);\n",
      aligned ? w->vector_w : 1, (long long)table_depth(p, w, t->kt));
  }
  P(p, "tv_finish<tile, %u>(sums, memory, m0, n0, M, N, put);\n", vector);
  tvi_cuda_matmul_set_grid(p, s, t, w->form->splits, variant);
}

// First layers. What the tile is follows from the sizes of the convolution.
static uint32_t line_warps(const window_t* w) {
  int64_t pixels;
  if (!tvi_dim_is_constant(w->output[1], &pixels) || pixels < 1) return LINE_WARPS;
  const int64_t segments = (pixels + LINE_WARPS * 16 - 1) / (LINE_WARPS * 16);
  return (uint32_t)(((pixels + segments - 1) / segments + 15) / 16);
}

static int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Bytes of shared memory, the same sums as those of tv_lines; 0: a convolution that is none of
// these.
static uint32_t line_bytes(const window_t* w) {
  int64_t features;
  if (w->is_depthwise || w->dilations[0] != 1 || w->dilations[1] != 1 ||
      w->strides[1] * w->channels % 2 != 0 || w->channels > 4 || w->vector_x == 8 ||
      !tvi_dim_is_constant(w->shape.columns, &features) || features > MAX_LINE_FEATURES)
    return 0;
  const int64_t pixels = (int64_t)line_warps(w) * 16, columns = round_up(features, 16);
  const int64_t depth = round_up(w->window[0] * round_up(w->window[1] * w->channels, 2), 16);
  if (depth > MAX_LINE_DEPTH) return 0;
  const int64_t wide = (pixels - 1) * w->strides[1] + w->window[1];
  const int64_t line = (wide * w->channels + 3) / 2 * 2;
  const int64_t bytes = columns * (depth + 8) * 2 + round_up(w->window[0] * line * 2, 16) +
                        pixels * (columns + 8) * 4;
  return bytes <= MAX_LINE_BYTES ? (uint32_t)bytes : 0;
}

// Do lines lie together, and do a thread's elements of those of a tile fit its registers? Then they
// are on their way while the tile before is multiplied.
static bool fetches_lines(const window_t* w, uint32_t warps) {
  const int64_t pixels = (int64_t)warps * 16, threads = (int64_t)warps * 32;
  const int64_t elements = ((pixels - 1) * w->strides[1] + w->window[1]) * w->channels;
  return w->channels_inside && tvi_dim_equals_constant(w->x_strides[2], w->channels) &&
         w->window[0] * ((elements + threads - 1) / threads) <= MAX_FETCHED;
}

static void print_lines(tvi_cuda_printer_t* p, const void* argument, tvi_cuda_variant_t* variant) {
  const window_t* w = (const window_t*)argument;
  const tvi_cuda_matmul_shape_t* s = &w->shape;
  const uint32_t vector = variant->alignment > 1 ? s->vector : 1;
  const uint32_t warps = line_warps(w);
  const char* type = tvi_cuda_index_type(p);
  int64_t features = 1;
  if (!tvi_dim_is_constant(s->columns, &features)) features = 1;
  P(p, "TV_MEMORY(memory);\n");
  tvi_cuda_matmul_print_extents(p, s);
  print_geometry(p, w);
  P(p, "(void)K;\ntypedef tv_lines<%s, %u, %lld, %lld, %lld, %lld, %lld, %s> lines;\n",
    tvi_cuda_storage_type(p->program->values[s->b.value].dtype), warps,
    (long long)round_up(features, 16), (long long)w->window[0], (long long)w->window[1],
    (long long)w->channels, (long long)w->strides[1], w->channels_inside ? "true" : "false");
  P(p,
    "tv_lines_weights<lines>(memory, [&](const int x, const int ky, const int kx, const int "
    "channel) { return ");
  tvi_cuda_print_pointer(p, s->b.value);
  const char* walked[] = {"x", "ky", "kx", "channel"};
  for (uint32_t i = 0; i < 4; ++i) {
    P(p, "%s(%s)%s * ", i ? " + " : "[", type, walked[i]);
    tvi_cuda_print_dim(p, w->w_strides[i]);
  }
  P(p,
    "]; }, N);\nconst unsigned segments = (unsigned)(pixels + lines::P - 1) / lines::P;\n"
    "const unsigned tiles = (unsigned)M / (unsigned)pixels * segments;\n");
  const bool is_fetched = fetches_lines(w, warps);
  if (is_fetched) {
    P(p,
      "tv_line_pieces<lines> pieces;\nconst auto fetch = [&](const unsigned number) {\n"
      "const int line = (int)(number / segments), pixel = (int)(number %% segments) * lines::P;\n"
      "const auto row = [&](const int y) { return ");
    tvi_cuda_print_pointer(p, s->a.value);
    P(p,
      " + ((%s)(line / rows) * x_image + y * x_row); };\n"
      "pieces.fetch(row, line %% rows * %lld - down, pixel * %lld - across, height, width);\n};\n"
      "if (blockIdx.x < tiles) fetch(blockIdx.x);\n",
      type, (long long)w->strides[0], (long long)w->strides[1]);
  }
  P(p,
    "for (unsigned number = blockIdx.x; number < tiles; number += TV_GRID) {\n"
    "const int line = (int)(number / segments), pixel = (int)(number %% segments) * lines::P;\n");
  tvi_cuda_matmul_print_put(p, s, vector);
  if (is_fetched) {
    P(p,
      "__syncthreads();\npieces.keep(memory);\n__syncthreads();\n"
      "if (number + TV_GRID < tiles) fetch(number + TV_GRID);\n");
  } else {
    P(p,
      "const auto image = [&](const int y, const int x, const int c) { return "
      "(");
    tvi_cuda_print_pointer(p, s->a.value);
    P(p,
      " + (%s)(line / rows) * x_image)[y * x_row + x * x_pixel + c * x_channel]; };\n"
      "__syncthreads();\n"
      "tv_lines_load<lines>(memory, image, line %% rows * %lld - down, pixel * %lld - across, "
      "height, width);\n__syncthreads();\n",
      type, (long long)w->strides[0], (long long)w->strides[1]);
  }
  P(p,
    "float sums[lines::NB / 8][4] = {};\ntv_lines_multiply<lines>(sums, memory);\n"
    "tv_lines_put<lines, %u>(sums, memory, line * pixels + pixel, (line + 1) * pixels, N, put);\n"
    "}\n",
    vector);
  const int64_t blocks = is_fetched ? FETCHING_BLOCKS : LINE_BLOCKS;
  variant->block = warps * 32;
  variant->shared_bytes = line_bytes(w);
  trivet_dim_t tiles = binary(p, TRIVET_DIM_CEILDIV, w->output[1], number(p, warps * 16));
  tiles = binary(p, TRIVET_DIM_MUL, tiles, w->output[0]);
  tiles = binary(p, TRIVET_DIM_MUL, tiles, w->match.batch);
  variant->grid = tvi_cuda_parameter(p, binary(p, TRIVET_DIM_MIN, tiles, number(p, blocks)));
}

static void print_sum(tvi_cuda_printer_t* p, const void* argument, tvi_cuda_variant_t* variant) {
  const window_t* w = (const window_t*)argument;
  tvi_cuda_matmul_print_join(p, &w->shape, w->form->splits, variant);
}

static uint32_t smallest(uint32_t a, uint32_t b) { return a < b ? a : b; }

// A thread computes |across| neighbours of a row in some channels that lie together.
static void print_channels(tvi_cuda_printer_t* p, const void* argument,
                           tvi_cuda_variant_t* variant) {
  const window_t* w = (const window_t*)argument;
  const tvi_cuda_matmul_shape_t* s = &w->shape;
  const uint32_t vector =
      variant->alignment > 1 ? smallest(s->vector, smallest(w->vector_x, w->vector_w)) : 1;
  const char* type = tvi_cuda_index_type(p);
  const trivet_dim_t groups =
      binary(p, TRIVET_DIM_CEILDIV, w->output[1], number(p, w->form->across));
  tvi_cuda_matmul_print_extents(p, s);
  print_geometry(p, w);
  print_number(p, "groups", groups);
  P(p,
    "(void)K;\nunsigned point = blockIdx.x * %uu + threadIdx.x;\n"
    "const int c = (int)(point %% ((unsigned)N / %uu)) * %u;\npoint /= (unsigned)N / %uu;\n"
    "const int pixel = (int)(point %% (unsigned)groups) * %u;\npoint /= (unsigned)groups;\n"
    "const int row = (int)(point %% (unsigned)rows);\n"
    "const int image = (int)(point / (unsigned)rows);\n"
    "const int m = (image * rows + row) * pixels + pixel;\nif (m >= M) return;\n",
    CHANNELS_BLOCK, vector, vector, vector, w->form->across);
  tvi_cuda_matmul_print_put(p, s, vector);
  P(p, "const int y = row * %lld - down, x = pixel * %lld - across;\nfloat sums[%u][%u];\n",
    (long long)w->strides[0], (long long)w->strides[1], w->form->across, vector);
  P(p, "tv_convolve_channels<%u, %u, %lld, %lld, %lld, %lld, %lld>(\nsums, ", vector,
    w->form->across, (long long)w->window[0], (long long)w->window[1], (long long)w->strides[1],
    (long long)w->dilations[0], (long long)w->dilations[1]);
  tvi_cuda_print_pointer(p, s->a.value);
  P(p,
    " + (image * x_image + y * x_row + x * x_pixel + c * x_channel), x_row, x_pixel, y, x, height, "
    "width,\n[&](const int ky, const int kx) { return ");
  tvi_cuda_print_pointer(p, s->b.value);
  const char* walked[] = {"c", "ky", "kx"};
  for (uint32_t i = 0; i < 3; ++i) {
    P(p, "%s(%s)%s * ", i ? " + " : " + (", type, walked[i]);
    tvi_cuda_print_dim(p, w->w_strides[i]);
  }
  P(p,
    "); });\nTV_UNROLL\nfor (int t = 0; t < %u; ++t)\nif (pixel + t < pixels) put(m + t, c, "
    "sums[t]);\n",
    w->form->across);
  variant->block = CHANNELS_BLOCK;
  trivet_dim_t points = binary(p, TRIVET_DIM_FLOORDIV, s->columns, number(p, vector));
  points = binary(p, TRIVET_DIM_MUL, points, groups);
  points = binary(p, TRIVET_DIM_MUL, points, w->output[0]);
  points = binary(p, TRIVET_DIM_MUL, points, w->match.batch);
  variant->grid =
      tvi_cuda_parameter(p, binary(p, TRIVET_DIM_CEILDIV, points, number(p, CHANNELS_BLOCK)));
}

static trivet_status_t print_all(tvi_cuda_printer_t* p, void* argument) {
  window_t* w = (window_t*)argument;
  const char* reason = NULL;
  read_window(p, w, &reason);
  if (p->status) return TRIVET_OK;
  if (reason) return TRIVET_STATUS(UNIMPLEMENTED, "no convolution: %s", reason);
  const uint32_t splits = w->is_depthwise ? 1 : w->form->splits;
  if (w->form->by_lines && line_bytes(w) == 0)
    return TRIVET_STATUS(UNIMPLEMENTED, "no lines of few channels");
  const bool is_wide =
      !w->is_depthwise && !w->form->by_lines && tvi_cuda_matmul_tiles[w->form->tile].slab != 0;
  const tvi_cuda_matmul_tile_t* tile = &tvi_cuda_matmul_tiles[w->form->tile];
  if (is_wide && (splits > 1 || w->vector_x != 8 || w->vector_w != 8))
    return TRIVET_STATUS(UNIMPLEMENTED, "operands that cannot be moved 16 bytes at once");
  if (w->form->by_boxes ? !has_boxes(p, w) || !tvi_cuda_convolution_can_box(tile)
                        : is_wide && !tvi_cuda_matmul_is_plain_wide(tile))
    return TRIVET_STATUS(UNIMPLEMENTED, "a tile that is not made for this convolution");
  tvi_cuda_matmul_set_workspace(p, &w->shape, splits);
  tvi_string_builder_append_cstr(&p->code->source, tvi_cuda_matmul_text);
  if (is_wide) tvi_string_builder_append_cstr(&p->code->source, tvi_cuda_wgmma_text);
  tvi_string_builder_append_cstr(&p->code->source, tvi_cuda_convolution_text);
  const tvi_cuda_matmul_print_fn_t print = w->is_depthwise     ? print_channels
                                           : w->form->by_lines ? print_lines
                                                               : print_product;
  TRIVET_RETURN_IF_ERROR(tvi_cuda_matmul_print_launch(p, &w->shape, 0, print, w));
  return splits > 1 ? tvi_cuda_matmul_print_launch(p, &w->shape, 1, print_sum, w) : TRIVET_OK;
}

trivet_status_t tvi_cuda_convolution_code(const tvi_kir_program_t* program,
                                          const tvi_cuda_code_options_t* options,
                                          const tvi_cuda_convolution_form_t* form,
                                          tvi_arena_t* arena, trivet_allocator_t allocator,
                                          tvi_cuda_code_t* out_code) {
  window_t w;
  memset(&w, 0, sizeof(w));
  w.form = form;
  tvi_cuda_code_options_t own = *options;
  own.print = print_all;
  own.print_argument = &w;
  return tvi_cuda_code_make(program, &own, arena, allocator, out_code);
}

// ---------------------------------------------------------------------------------------------
// What prices are made of
// ---------------------------------------------------------------------------------------------

static trivet_status_t read_problem(tvi_cuda_printer_t* p, void* argument) {
  tvi_cuda_convolution_problem_t* out = (tvi_cuda_convolution_problem_t*)argument;
  window_t w;
  memset(&w, 0, sizeof(w));
  read_window(p, &w, &out->reason);
  if (p->status || out->reason) return TRIVET_OK;
  const tvi_cuda_matmul_shape_t* s = &w.shape;
  out->match = w.match;
  out->is_depthwise = w.is_depthwise;
  out->has_lines = line_bytes(&w) != 0;
  out->has_boxes = has_boxes(p, &w);
  out->x = p->code->operands.data[p->operand_of_value[s->a.value]];
  out->weight = p->code->operands.data[p->operand_of_value[s->b.value]];
  int64_t wish[4];
  wish_weights(p, &w, wish);
  const uint32_t missing = 2 - w.match.spatial_rank;
  for (uint32_t d = 0; d < TRIVET_MAX_RANK; ++d) out->weight_strides[d] = number(p, 0);
  out->weight_strides[w.match.weight_output_dim] = number(p, wish[0]);
  out->weight_strides[w.match.weight_input_dim] = number(p, wish[3]);
  for (uint32_t a = missing; a < 2; ++a)
    out->weight_strides[w.match.weight_spatial_dims[a - missing]] = number(p, wish[1 + a]);
  tvi_cuda_matmul_problem_t* product = &out->product;
  product->m = tvi_cuda_printer_estimate(p, s->rows);
  product->n = tvi_cuda_printer_estimate(p, s->columns);
  product->k = tvi_cuda_printer_estimate(p, s->depth);
  product->batch = 1;
  product->dtype = w.match.weight.dtype;
  product->a = out->x;
  product->b = out->weight;
  product->vector_a = w.vector_x;
  product->vector_b = w.vector_w;
  product->vector_c = s->vector;
  product->factor_bytes = tvi_cuda_value_bytes(p, s->a.value) + tvi_cuda_value_bytes(p, s->b.value);
  tvi_cuda_matmul_weigh(p, s, product);
  return TRIVET_OK;
}

trivet_status_t tvi_cuda_convolution_read(const tvi_kir_program_t* program,
                                          const tvi_cuda_code_options_t* options,
                                          tvi_arena_t* arena, trivet_allocator_t allocator,
                                          tvi_cuda_convolution_problem_t* out_problem) {
  tvi_cuda_convolution_problem_t problem;
  memset(&problem, 0, sizeof(problem));
  tvi_cuda_code_options_t own = *options;
  tvi_cuda_code_t code;
  memset(&code, 0, sizeof(code));
  own.print = read_problem;
  own.print_argument = &problem;
  TRIVET_RETURN_IF_ERROR(tvi_cuda_code_make(program, &own, arena, allocator, &code));
  tvi_cuda_code_deinit(&code);
  *out_problem = problem;
  return TRIVET_OK;
}
