// SPDX-License-Identifier: Apache-2.0
//
// The form for first layers, whose images have few channels: lines of the image in shared memory.
// See convolution_window.h; the skeleton is in convolution.cuh.
#include "plugins/cuda/emit/convolution_window.h"

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"

#define P TVI_CUDA_PRINT
// Warps of a block, blocks that stay, and what is worth it.
#define LINE_WARPS 8
#define LINE_BLOCKS (3 * 132)
#define FETCHING_BLOCKS (2 * 132)  // have more registers
#define MAX_LINE_FEATURES 128
#define MAX_LINE_DEPTH 512
#define MAX_LINE_BYTES (200 * 1024)
#define MAX_FETCHED 32

// First layers. What the tile is follows from the sizes of the convolution.
static uint32_t line_warps(const tvi_cuda_window_t* w) {
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
uint32_t tvi_cuda_window_line_bytes(const tvi_cuda_window_t* w) {
  int64_t features;
  if (w->is_depthwise || w->shape.width > 1 || w->match.weight.dtype == TRIVET_DTYPE_F32 ||
      w->dilations[0] != 1 || w->dilations[1] != 1 || w->strides[1] * w->channels % 2 != 0 ||
      w->channels > 4 || w->vector_x == 8 || !tvi_dim_is_constant(w->shape.columns, &features) ||
      features > MAX_LINE_FEATURES)
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
static bool fetches_lines(const tvi_cuda_window_t* w, uint32_t warps) {
  const int64_t pixels = (int64_t)warps * 16, threads = (int64_t)warps * 32;
  const int64_t elements = ((pixels - 1) * w->strides[1] + w->window[1]) * w->channels;
  return w->channels_inside && !w->shape.a.is_made &&
         tvi_dim_equals_constant(w->x_strides[2], w->channels) &&
         w->window[0] * ((elements + threads - 1) / threads) <= MAX_FETCHED;
}

void tvi_cuda_window_print_lines(tvi_cuda_printer_t* p, const void* argument,
                                 tvi_cuda_variant_t* variant) {
  const tvi_cuda_window_t* w = (const tvi_cuda_window_t*)argument;
  const tvi_cuda_matmul_shape_t* s = &w->shape;
  const uint32_t vector = variant->alignment > 1 ? s->vector : 1;
  const uint32_t warps = line_warps(w);
  const char* type = tvi_cuda_index_type(p);
  int64_t features = 1;
  if (!tvi_dim_is_constant(s->columns, &features)) features = 1;
  P(p, "TV_MEMORY(memory);\n");
  tvi_cuda_matmul_print_extents(p, s);
  tvi_cuda_window_print_geometry(p, w);
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
  if (s->a.is_made) tvi_cuda_matmul_print_make(p, &s->a, 1, false);
  P(p,
    "for (unsigned number = blockIdx.x; number < tiles; number += TV_GRID) {\n"
    "const int line = (int)(number / segments), pixel = (int)(number %% segments) * lines::P;\n");
  tvi_cuda_matmul_print_put(p, s, vector);
  if (is_fetched) {
    P(p,
      "__syncthreads();\npieces.keep(memory);\n__syncthreads();\n"
      "if (number + TV_GRID < tiles) fetch(number + TV_GRID);\n");
  } else {
    P(p, "const auto image = [&](const int y, const int x, const int c) {%s",
      s->a.is_made ? "\nlines::type v;\nmake(" : " return (");
    if (!s->a.is_made) {
      tvi_cuda_print_pointer(p, s->a.value);
      P(p, " + ");
    }
    P(p, "(%s)(line / rows) * x_image%sy * x_row + x * x_pixel + c * x_channel%s\n", type,
      s->a.is_made ? " + " : ")[", s->a.is_made ? ", &v);\nreturn v;\n};" : "]; };");
    P(p,
      "__syncthreads();\n"
      "tv_lines_load<lines>(memory, image, line %% rows * %lld - down, pixel * %lld - across, "
      "height, width);\n__syncthreads();\n",
      (long long)w->strides[0], (long long)w->strides[1]);
  }
  P(p,
    "float sums[lines::NB / 8][4] = {};\ntv_lines_multiply<lines>(sums, memory);\n"
    "tv_lines_put<lines, %u>(sums, memory, line * pixels + pixel, (line + 1) * pixels, N, put);\n"
    "}\n",
    vector);
  const int64_t blocks = is_fetched ? FETCHING_BLOCKS : LINE_BLOCKS;
  variant->block = warps * 32;
  variant->shared_bytes = tvi_cuda_window_line_bytes(w);
  trivet_dim_t tiles =
      tvi_cuda_dim(p, TRIVET_DIM_CEILDIV, w->output[1], tvi_cuda_number(p, warps * 16));
  tiles = tvi_cuda_dim(p, TRIVET_DIM_MUL, tiles, w->output[0]);
  tiles = tvi_cuda_dim(p, TRIVET_DIM_MUL, tiles, w->match.batch);
  variant->grid =
      tvi_cuda_parameter(p, tvi_cuda_dim(p, TRIVET_DIM_MIN, tiles, tvi_cuda_number(p, blocks)));
}
