// SPDX-License-Identifier: Apache-2.0
//
// The form for Hopper whose tiles are boxes of pixels: the copy engine brings the image and the
// weights. See convolution_window.h; the skeleton is wgmma.cuh.
#include "plugins/cuda/emit/convolution_window.h"

#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"

#define P TVI_CUDA_PRINT
#define MAX_BOX_STEP 4  // pixels that a window moves by, where boxes of the image are brought
#define MULTIPROCESSORS 132

// What a box of pixels needs of one place of their windows is a box of the image, 64 channels of
// which the copy engine lays as rows of a tile. Windows that move by some pixels at once see every
// so many of them: those that are alike lie behind each other's channels, so lines of pixels must
// be dense and made of whole steps.
bool tvi_cuda_window_has_boxes(const tvi_cuda_printer_t* p, const tvi_cuda_window_t* w) {
  const int64_t step = w->strides[0];
  bool fits = !w->is_depthwise && !w->shape.a.is_made && w->shape.width == 1 &&
              w->match.spatial_rank == 2 && w->strides[1] == step && w->channels_inside &&
              w->channels % 64 == 0 && w->vector_x == 8 && w->vector_w == 8;
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
static box_t choose_box(const tvi_cuda_printer_t* p, const tvi_cuda_window_t* w, int64_t rows) {
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

static uint32_t add_image_map(tvi_cuda_printer_t* p, const tvi_cuda_window_t* w, const box_t* box) {
  tvi_cuda_map_t map;
  memset(&map, 0, sizeof(map));
  map.operand = p->operand_of_value[w->shape.a.value];
  // Channels, pixels across, those down, images; steps: channels of pixels that one step passes,
  // steps across, lines that one step passes, steps down, images.
  const trivet_dim_t step = tvi_cuda_number(p, w->strides[0]), one = tvi_cuda_number(p, 1);
  const bool has_steps = w->strides[0] > 1;
  const trivet_dim_t extents[5] = {tvi_cuda_dim(p, TRIVET_DIM_MUL, w->match.input_channels, step),
                                   tvi_cuda_dim(p, TRIVET_DIM_FLOORDIV, w->input[1], step), step,
                                   tvi_cuda_dim(p, TRIVET_DIM_FLOORDIV, w->input[0], step),
                                   w->match.batch};
  const trivet_dim_t strides[5] = {
      one, tvi_cuda_dim(p, TRIVET_DIM_MUL, w->x_strides[2], step), w->x_strides[1],
      tvi_cuda_dim(p, TRIVET_DIM_MUL, w->x_strides[1], step), w->x_strides[0]};
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
static void print_box_finish(tvi_cuda_printer_t* p, const tvi_cuda_window_t* w, const box_t* box) {
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
void tvi_cuda_window_print_boxes(tvi_cuda_printer_t* p, const tvi_cuda_window_t* w,
                                 const tvi_cuda_matmul_tile_t* t, tvi_cuda_variant_t* variant) {
  const tvi_cuda_matmul_shape_t* s = &w->shape;
  const box_t box = choose_box(p, w, t->bm);
  const uint32_t groups = t->wm / 4;
  const uint32_t image = add_image_map(p, w, &box),
                 weights = tvi_cuda_window_add_weights_map(p, w, t);
  const trivet_dim_t boxes_x =
      tvi_cuda_dim(p, TRIVET_DIM_CEILDIV, w->output[1], tvi_cuda_number(p, box.across));
  const trivet_dim_t boxes_y =
      tvi_cuda_dim(p, TRIVET_DIM_CEILDIV, w->output[0], tvi_cuda_number(p, box.down));
  trivet_dim_t rows =
      tvi_cuda_dim(p, TRIVET_DIM_CEILDIV, w->match.batch, tvi_cuda_number(p, box.images));
  rows = tvi_cuda_dim(p, TRIVET_DIM_MUL, rows, tvi_cuda_dim(p, TRIVET_DIM_MUL, boxes_x, boxes_y));
  const trivet_dim_t columns =
      tvi_cuda_dim(p, TRIVET_DIM_CEILDIV, s->columns, tvi_cuda_number(p, t->bn));
  trivet_dim_t tiles = tvi_cuda_dim(p, TRIVET_DIM_MUL, rows, columns);
  P(p, "TV_MEMORY(memory);\n");
  tvi_cuda_matmul_print_extents(p, s);
  tvi_cuda_window_print_geometry(p, w);
  tvi_cuda_print_int(p, "images", w->match.batch);
  tvi_cuda_print_int(p, "boxes_x", boxes_x);
  tvi_cuda_print_int(p, "boxes_y", boxes_y);
  tvi_cuda_print_int(p, "across_m", rows);
  tvi_cuda_print_int(p, "across_n", columns);
  P(p,
    "typedef tv_wide<%s, %u, %u, %u, %u, %u, %s, true, true> tile;\n"
    "const unsigned tiles = (unsigned)across_m * (unsigned)across_n;\n"
    "const int steps = K / tile::KT;\n"
    "tv_wide_memory<tile> work = {memory, 0, 0, 0};\nwork.begin();\n"
    "if (threadIdx.x < 128) {\n%sif (threadIdx.x == 0) {\n",
    tvi_cuda_storage_type(p->program->values[s->a.value].dtype), t->bm, t->bn, t->stages, t->slab,
    groups, t->turns ? "true" : "false", tvi_cuda_matmul_registers(groups, false));
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
    (long long)(box.across * box.down * box.images * 128), image, from, weights,
    tvi_cuda_matmul_registers(groups, true));
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
  if (groups > 1)
    tiles = tvi_cuda_dim(p, TRIVET_DIM_MIN, tiles, tvi_cuda_number(p, MULTIPROCESSORS));
  variant->grid = tvi_cuda_parameter(p, tiles);
}
