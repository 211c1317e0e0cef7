// SPDX-License-Identifier: Apache-2.0
//
// Convolutions as kernels: of gathered windows, depthwise, and which form prints what. See
// convolution_code.h; the skeletons of the kernels are convolution.cuh and matmul.cuh. It changes
// how windows are walked, never what is summed.
#include "plugins/cuda/emit/convolution_code.h"

#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "plugins/cuda/emit/convolution_window.h"

#define P TVI_CUDA_PRINT
#define CHANNELS_BLOCK 128u
#define MAX_TABLE 512
#define WIDE_BLOCK 384u
#define MULTIPROCESSORS 132

// ---------------------------------------------------------------------------------------------
// Kernels
// ---------------------------------------------------------------------------------------------

// What makes an address one of the kernel's elements.
static const char* as_pairs(const tvi_cuda_window_t* w) {
  return w->shape.width > 1 ? "(const tv_s8x2*)" : "";
}

// "at", the address under the corner of the window of a pixel; of an image that is made, the
// position.
static void print_at(tvi_cuda_printer_t* p, const tvi_cuda_window_t* w) {
  P(p,
    "const auto at = [&](const int m, int* y, int* x) {\n"
    "const unsigned line = (unsigned)m / (unsigned)pixels;\n"
    "*y = (int)(line %% (unsigned)rows) * %lld - down;\n"
    "*x = (int)((unsigned)m %% (unsigned)pixels) * %lld - across;\nreturn %s",
    (long long)w->strides[0], (long long)w->strides[1], as_pairs(w));
  if (!w->shape.a.is_made) {
    tvi_cuda_print_pointer(p, w->shape.a.value);
    P(p, " + ");
  }
  P(p, "((%s)(line / (unsigned)rows) * x_image + *y * x_row + *x * x_pixel);\n};\n",
    tvi_cuda_index_type(p));
}

// The place in the window and the channel of element k of a sum.
static void print_walk(tvi_cuda_printer_t* p, const tvi_cuda_window_t* w) {
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

static void print_tap(tvi_cuda_printer_t* p, const tvi_cuda_window_t* w) {
  P(p, "const auto tap = [&](const int k, int* dy, int* dx) {\n");
  print_walk(p, w);
  P(p,
    "*dy = ky * %lld;\n*dx = kx * %lld;\n"
    "return *dy * x_row + *dx * x_pixel + (%s)channel * x_channel;\n};\n",
    (long long)w->dilations[0], (long long)w->dilations[1], tvi_cuda_index_type(p));
}

// "b_at", the address of an element of the weights.
static void print_weights(tvi_cuda_printer_t* p, const tvi_cuda_window_t* w) {
  const char* type = tvi_cuda_index_type(p);
  P(p, "const auto b_at = [&](const int x, const int k) {\n");
  if (w->weights_follow) {
    P(p, "return %s", as_pairs(w));
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

// The form for Hopper: blocks stay and take tile after tile.
static void print_wide(tvi_cuda_printer_t* p, const tvi_cuda_window_t* w,
                       const tvi_cuda_matmul_tile_t* t, tvi_cuda_variant_t* variant) {
  const tvi_cuda_matmul_shape_t* s = &w->shape;
  const uint32_t at = tvi_cuda_window_add_weights_map(p, w, t);
  P(p, "TV_MEMORY(memory);\n");
  tvi_cuda_matmul_print_extents(p, s);
  tvi_cuda_window_print_geometry(p, w);
  P(p,
    "typedef tv_wide_window<tv_wide<%s, %u, %u, %u, %u, 2, false, true, true> > tile;\n"
    "const unsigned across_m = (unsigned)(M + tile::BM - 1) / tile::BM;\n"
    "const unsigned across_n = (unsigned)(N + tile::BN - 1) / tile::BN;\n"
    "const unsigned tiles = across_m * across_n;\n"
    "const int steps = (K + tile::KT - 1) / tile::KT;\n"
    "tv_wide_memory<tile> work = {memory, 0, 0, 0};\nwork.begin();\n"
    "if (threadIdx.x < 128) {\nTV_REGISTERS(dec, 72);\n",
    tvi_cuda_matmul_type(p, s), t->bm, t->bn, t->stages, t->slab);
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
    "tv_box(t%u, to + tile::A_BYTES, bar, k%s, n0);\n}\n"
    "windows.copy(tap, to, k, K, height, width);\ntv_copy_arrive(bar);\nwork.next();\n}\n}\n"
    "} else {\nTV_REGISTERS(inc, 216);\n",
    at, s->width > 1 ? " * 2" : "");
  print_wide_place(p);
  tvi_cuda_matmul_print_put(p, s, s->vector);
  P(p,
    "tile::sum sums[tile::FM][tile::FN][4];\ntv_wide_matmul<tile>(sums, work, steps);\n"
    "tv_wide_finish<tile, %u>(sums, work, m0, n0, M, N, put);\n}\n}\n",
    s->vector);
  variant->block = WIDE_BLOCK;
  variant->shared_bytes = tvi_cuda_matmul_shared_bytes(t);
  const trivet_dim_t rows = tvi_cuda_dim(p, TRIVET_DIM_CEILDIV, s->rows, tvi_cuda_number(p, t->bm));
  const trivet_dim_t columns =
      tvi_cuda_dim(p, TRIVET_DIM_CEILDIV, s->columns, tvi_cuda_number(p, t->bn));
  const trivet_dim_t tiles = tvi_cuda_dim(p, TRIVET_DIM_MUL, rows, columns);
  variant->grid = tvi_cuda_parameter(
      p, tvi_cuda_dim(p, TRIVET_DIM_MIN, tiles, tvi_cuda_number(p, MULTIPROCESSORS)));
}

// What the form for Hopper does where addresses are not multiples of 16 bytes.
static const tvi_cuda_matmul_tile_t plain_tile = {128, 64, 64, 4, 2, 4, 0, 0, 0, 0};

// How much of a window is kept in a table; 0: it is too large, or an image's extent is.
static int64_t table_depth(const tvi_cuda_printer_t* p, const tvi_cuda_window_t* w, uint32_t tile) {
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
  const tvi_cuda_window_t* w = (const tvi_cuda_window_t*)argument;
  const tvi_cuda_matmul_shape_t* s = &w->shape;
  const tvi_cuda_matmul_tile_t* t = &tvi_cuda_matmul_tiles[w->form->tile];
  if (t->slab && variant->alignment == 16) {
    if (w->form->by_boxes) {
      tvi_cuda_window_print_boxes(p, w, t, variant);
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
  tvi_cuda_window_print_geometry(p, w);
  print_at(p, w);
  print_tap(p, w);
  const bool in_place = aligned && tvi_cuda_matmul_is_turned(p, &s->a);
  if (s->a.is_made) tvi_cuda_matmul_print_make(p, &s->a, aligned ? w->vector_x : 1, in_place);
  print_weights(p, w);
  if (w->form->splits > 1) {
    tvi_cuda_matmul_print_partial_put(p, vector);
  } else {
    tvi_cuda_matmul_print_put(p, s, vector);
  }
  P(p, "tile::sum sums[tile::FM][tile::FN][4] = {};\n");
  const uint32_t dtype = w->match.weight.dtype;
  if (in_place) {
    P(p, "tv_convolve_turned<tile, %u>(sums, memory, at, tap, ", w->vector_w);
    tvi_cuda_print_pointer(p, s->a.raw);
    P(p, ", make, b_at, height, width, m0, n0, M, N, first, last);\n");
  } else if (s->a.is_made) {
    P(p,
      "tv_convolve_made<tile, %u, %u>(sums, memory, at, tap, make, b_at, height, width, m0, n0, M, "
      "N, first, last);\n",
      aligned ? w->vector_w : 1, aligned ? w->vector_x : 1);
  } else if (aligned && w->vector_x > 1) {
    P(p,
      "tv_convolve<tile, %u>(sums, memory, at, tap, b_at, height, width, m0, n0, M, N, first, "
      "last);\n",
      w->vector_w);
  } else {
    P(p,
      "tv_convolve_singly<tile, %u, %lld>(sums, memory, at, tap, b_at, height, width, m0, n0, "
      "M, N, K, first, last);\n",
      aligned ? w->vector_w : 1, (long long)table_depth(p, w, tvi_cuda_matmul_depth(t, dtype)));
  }
  P(p, "tv_finish<tile, %u>(sums, memory, m0, n0, M, N, put);\n", vector);
  tvi_cuda_matmul_set_grid(p, s, t, w->form->splits, variant);
}

static void print_sum(tvi_cuda_printer_t* p, const void* argument, tvi_cuda_variant_t* variant) {
  const tvi_cuda_window_t* w = (const tvi_cuda_window_t*)argument;
  tvi_cuda_matmul_print_join(p, &w->shape, w->form->splits, variant);
}

static uint32_t smallest(uint32_t a, uint32_t b) { return a < b ? a : b; }

// A thread computes |across| neighbours of a row in some channels that lie together.
static void print_channels(tvi_cuda_printer_t* p, const void* argument,
                           tvi_cuda_variant_t* variant) {
  const tvi_cuda_window_t* w = (const tvi_cuda_window_t*)argument;
  const tvi_cuda_matmul_shape_t* s = &w->shape;
  const uint32_t most =
      variant->alignment > 1 ? smallest(s->vector, smallest(w->vector_x, w->vector_w)) : 1;
  const uint32_t vector = most > w->form->sharers ? most / w->form->sharers : 1;
  const char* type = tvi_cuda_index_type(p);
  const trivet_dim_t groups =
      tvi_cuda_dim(p, TRIVET_DIM_CEILDIV, w->output[1], tvi_cuda_number(p, w->form->across));
  tvi_cuda_matmul_print_extents(p, s);
  tvi_cuda_window_print_geometry(p, w);
  tvi_cuda_print_int(p, "groups", groups);
  P(p,
    "(void)K;\nunsigned point = blockIdx.x * %uu + threadIdx.x;\n"
    "const int c = (int)(point %% ((unsigned)N / %uu)) * %u;\npoint /= (unsigned)N / %uu;\n"
    "const int pixel = (int)(point %% (unsigned)groups) * %u;\npoint /= (unsigned)groups;\n"
    "const int row = (int)(point %% (unsigned)rows);\n"
    "const int image = (int)(point / (unsigned)rows);\n"
    "const int m = (image * rows + row) * pixels + pixel;\nif (m >= M) return;\n",
    CHANNELS_BLOCK, vector, vector, vector, w->form->across);
  tvi_cuda_matmul_print_put(p, s, vector);
  if (s->a.is_made) tvi_cuda_matmul_print_make(p, &s->a, vector, false);
  const char* storage = tvi_cuda_storage_type(w->match.x.dtype);
  if (s->a.is_made) {
    P(p,
      "const auto load = [&](float* here, const %s at) {\n%s made[%u];\nmake(at, made);\n"
      "TV_UNROLL\nfor (int e = 0; e < %u; ++e) here[e] = tv_get(made[e]);\n};\n",
      type, storage, vector, vector);
  } else {
    P(p, "const auto load = [](float* here, const %s* at) { tv_load<%u>(here, at); };\n", storage,
      vector);
  }
  P(p, "const int y = row * %lld - down, x = pixel * %lld - across;\nfloat sums[%u][%u];\n",
    (long long)w->strides[0], (long long)w->strides[1], w->form->across, vector);
  P(p, "tv_convolve_channels<%u, %u, %lld, %lld, %lld, %lld, %lld, %s>(\nsums, load, ", vector,
    w->form->across, (long long)w->window[0], (long long)w->window[1], (long long)w->strides[1],
    (long long)w->dilations[0], (long long)w->dilations[1],
    w->form->sharers > 1 ? "true" : "false");
  if (!s->a.is_made) {
    tvi_cuda_print_pointer(p, s->a.value);
    P(p, " + ");
  }
  P(p,
    "(image * x_image + y * x_row + x * x_pixel + c * x_channel), x_row, x_pixel, y, x, height, "
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
  trivet_dim_t points =
      tvi_cuda_dim(p, TRIVET_DIM_FLOORDIV, s->columns, tvi_cuda_number(p, vector));
  points = tvi_cuda_dim(p, TRIVET_DIM_MUL, points, groups);
  points = tvi_cuda_dim(p, TRIVET_DIM_MUL, points, w->output[0]);
  points = tvi_cuda_dim(p, TRIVET_DIM_MUL, points, w->match.batch);
  variant->grid = tvi_cuda_parameter(
      p, tvi_cuda_dim(p, TRIVET_DIM_CEILDIV, points, tvi_cuda_number(p, CHANNELS_BLOCK)));
}

static trivet_status_t print_all(tvi_cuda_printer_t* p, void* argument) {
  tvi_cuda_window_t* w = (tvi_cuda_window_t*)argument;
  const char* reason = NULL;
  tvi_cuda_window_read(p, w, &reason);
  if (p->status) return TRIVET_OK;
  if (reason) return TRIVET_STATUS(UNIMPLEMENTED, "no convolution: %s", reason);
  const uint32_t splits = w->is_depthwise ? 1 : w->form->splits;
  if (w->shape.width > 1 && (splits > 1 || w->vector_x != 8 || w->vector_w != 8))
    return TRIVET_STATUS(UNIMPLEMENTED, "weights of i8 that do not follow the sum, or its parts");
  if (w->form->by_lines && tvi_cuda_window_line_bytes(w) == 0)
    return TRIVET_STATUS(UNIMPLEMENTED, "no lines of few channels");
  const bool is_wide =
      !w->is_depthwise && !w->form->by_lines && tvi_cuda_matmul_tiles[w->form->tile].slab != 0;
  const tvi_cuda_matmul_tile_t* tile = &tvi_cuda_matmul_tiles[w->form->tile];
  if (is_wide && (splits > 1 || w->vector_x != 8 || w->vector_w != 8 || w->shape.a.is_made))
    return TRIVET_STATUS(UNIMPLEMENTED, "operands that cannot be moved 16 bytes at once");
  if (w->form->by_boxes
          ? !tvi_cuda_window_has_boxes(p, w) || tile->slab == 0 || tile->late || tile->even
          : is_wide && !tvi_cuda_matmul_is_plain_wide(tile))
    return TRIVET_STATUS(UNIMPLEMENTED, "a tile that is not made for this convolution");
  tvi_cuda_matmul_set_workspace(p, &w->shape, splits);
  tvi_string_builder_append_cstr(&p->code->source, tvi_cuda_matmul_text);
  if (is_wide) tvi_string_builder_append_cstr(&p->code->source, tvi_cuda_wgmma_text);
  tvi_string_builder_append_cstr(&p->code->source, tvi_cuda_convolution_text);
  const tvi_cuda_matmul_print_fn_t print = w->is_depthwise     ? print_channels
                                           : w->form->by_lines ? tvi_cuda_window_print_lines
                                                               : print_product;
  TRIVET_RETURN_IF_ERROR(tvi_cuda_matmul_print_launch(p, &w->shape, 0, print, w));
  return splits > 1 ? tvi_cuda_matmul_print_launch(p, &w->shape, 1, print_sum, w) : TRIVET_OK;
}

trivet_status_t tvi_cuda_convolution_code(const tvi_kir_program_t* program,
                                          const tvi_cuda_code_options_t* options,
                                          const tvi_cuda_convolution_form_t* form,
                                          tvi_arena_t* arena, trivet_allocator_t allocator,
                                          tvi_cuda_code_t* out_code) {
  tvi_cuda_window_t w;
  memset(&w, 0, sizeof(w));
  w.form = form;
  tvi_cuda_code_options_t own = *options;
  own.print = print_all;
  own.print_argument = &w;
  own.keeps_factors = true;
  return tvi_cuda_code_make(program, &own, arena, allocator, out_code);
}

// ---------------------------------------------------------------------------------------------
// What prices are made of
// ---------------------------------------------------------------------------------------------

static trivet_status_t read_problem(tvi_cuda_printer_t* p, void* argument) {
  tvi_cuda_convolution_problem_t* out = (tvi_cuda_convolution_problem_t*)argument;
  tvi_cuda_window_t w;
  memset(&w, 0, sizeof(w));
  tvi_cuda_window_read(p, &w, &out->reason);
  if (p->status || out->reason) return TRIVET_OK;
  const tvi_cuda_matmul_shape_t* s = &w.shape;
  out->match = w.match;
  out->is_depthwise = w.is_depthwise;
  out->has_lines = tvi_cuda_window_line_bytes(&w) != 0;
  out->has_boxes = tvi_cuda_window_has_boxes(p, &w);
  if (!s->a.is_made) out->x = p->code->operands.data[p->operand_of_value[s->a.value]];
  out->weight = p->code->operands.data[p->operand_of_value[s->b.value]];
  int64_t wish[4];
  tvi_cuda_window_wish_weights(&w, wish);
  for (uint32_t i = 0; i < 3; ++i) wish[i] *= s->width;
  const uint32_t missing = 2 - w.match.spatial_rank;
  for (uint32_t d = 0; d < TRIVET_MAX_RANK; ++d) out->weight_strides[d] = tvi_cuda_number(p, 0);
  out->weight_strides[w.match.weight_output_dim] = tvi_cuda_number(p, wish[0]);
  out->weight_strides[w.match.weight_input_dim] = tvi_cuda_number(p, wish[3]);
  for (uint32_t a = missing; a < 2; ++a)
    out->weight_strides[w.match.weight_spatial_dims[a - missing]] = tvi_cuda_number(p, wish[1 + a]);
  tvi_cuda_matmul_problem_t* product = &out->product;
  product->m = tvi_cuda_printer_estimate(p, s->rows);
  product->n = tvi_cuda_printer_estimate(p, s->columns);
  product->k = tvi_cuda_printer_estimate(p, s->depth);
  product->batch = 1;
  product->dtype = w.match.weight.dtype;
  product->makes_a = s->a.is_made;
  product->waits = s->a.is_made && !tvi_cuda_matmul_is_turned(p, &s->a);
  product->a = out->x;
  product->b = out->weight;
  product->vector_a = w.vector_x;
  product->vector_b = w.vector_w;
  product->vector_c = s->vector;
  // What makes the image reads operands, which are counted with what others read.
  product->factor_bytes = tvi_cuda_value_bytes(p, s->b.value);
  if (!product->makes_a) product->factor_bytes += tvi_cuda_value_bytes(p, s->a.value);
  tvi_cuda_matmul_weigh(p, s, product);
  // Made again for every window that has it.
  const double elements = tvi_cuda_value_bytes(p, s->a.value) / tvi_dtype_bytes(w.match.x.dtype);
  const double windows = (double)product->m * (w.is_depthwise ? (double)product->n : 1);
  product->work_a *= windows * (double)product->k / (elements > 1 ? elements : 1);
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
  own.keeps_factors = true;
  TRIVET_RETURN_IF_ERROR(tvi_cuda_code_make(program, &own, arena, allocator, &code));
  tvi_cuda_code_deinit(&code);
  *out_problem = problem;
  return TRIVET_OK;
}
