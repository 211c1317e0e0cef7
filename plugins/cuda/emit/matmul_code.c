// SPDX-License-Identifier: Apache-2.0
//
// The form for sm_80 and later: warps multiply with mma.sync what cp.async brings into shared
// memory. See matmul_code.h; the skeleton of the kernel is matmul.cuh.
#include "plugins/cuda/emit/matmul_code.h"

#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "core/kernel_ir/contraction.h"
#include "core/kernel_ir/fuse.h"
#include "plugins/cuda/emit/matmul_shape.h"

#define P TVI_CUDA_PRINT
#define REDUCE_BLOCK 256u

const tvi_cuda_matmul_tile_t tvi_cuda_matmul_tiles[] = {
    {128, 128, 64, 2, 4, 3, 0, 0, 0, 0},   {128, 64, 64, 4, 2, 4, 0, 0, 0, 0},
    {64, 128, 64, 2, 4, 4, 0, 0, 0, 0},    {64, 64, 64, 2, 2, 4, 0, 0, 0, 0},
    {64, 32, 64, 4, 1, 5, 0, 0, 0, 0},     {32, 64, 64, 2, 2, 5, 0, 0, 0, 0},
    {32, 32, 64, 2, 2, 6, 0, 0, 0, 0},     {16, 64, 64, 1, 4, 6, 0, 0, 0, 0},
    {16, 128, 64, 1, 4, 5, 0, 0, 0, 0},    {128, 128, 64, 8, 1, 5, 64, 0, 0, 0},
    {128, 256, 64, 8, 1, 4, 32, 0, 0, 0},  {128, 128, 64, 8, 1, 5, 64, 1, 0, 0},
    {64, 64, 64, 4, 1, 6, 32, 0, 0, 0},    {64, 128, 64, 4, 1, 7, 64, 0, 0, 0},
    {128, 192, 64, 8, 1, 5, 32, 0, 0, 0},  {192, 192, 64, 12, 1, 4, 32, 0, 0, 0},
    {192, 128, 64, 12, 1, 4, 64, 0, 0, 0}, {128, 64, 64, 8, 1, 6, 64, 1, 0, 0},
    {128, 256, 64, 8, 1, 3, 32, 0, 1, 0},  {128, 192, 64, 8, 1, 4, 32, 0, 1, 0},
    {192, 192, 64, 12, 1, 3, 32, 0, 1, 0}, {128, 128, 64, 8, 1, 5, 64, 0, 0, 1},
    {128, 256, 64, 8, 1, 4, 32, 0, 0, 1},  {128, 192, 64, 8, 1, 5, 32, 0, 0, 1},
};
const uint32_t tvi_cuda_matmul_tile_count =
    sizeof(tvi_cuda_matmul_tiles) / sizeof(tvi_cuda_matmul_tiles[0]);

uint32_t tvi_cuda_matmul_shared_bytes(const tvi_cuda_matmul_tile_t* t) {
  const uint32_t pipeline = t->stages * (t->bm + t->bn) * t->kt * 2;
  // Stages, slabs of all warps or a tile of sums, two barriers for each stage and two for groups.
  if (t->late) return pipeline + t->bm * (t->bn + 8) * 2 + t->stages * 16 + 16;
  if (t->slab) return pipeline + t->wm * 16 * (t->slab + 8) * 4 + t->stages * 16 + 16;
  const uint32_t slabs = t->wn * t->bm * (t->bn / t->wn + 8) * 4;
  return pipeline > slabs ? pipeline : slabs;
}

uint32_t tvi_cuda_matmul_depth(const tvi_cuda_matmul_tile_t* t, uint32_t dtype) {
  return dtype == TRIVET_DTYPE_F32 ? t->kt / 2 : t->kt;
}

uint32_t tvi_cuda_matmul_piece(uint32_t dtype) { return dtype == TRIVET_DTYPE_F32 ? 4 : 8; }

const char* tvi_cuda_matmul_check_dtype(uint32_t dtype, uint32_t sum, bool allows_tf32) {
  const bool is_whole = dtype == TRIVET_DTYPE_I8;
  if (dtype == TRIVET_DTYPE_F32 && !allows_tf32) return "factors of f32, which may not be rounded";
  if (!is_whole && dtype != TRIVET_DTYPE_F16 && dtype != TRIVET_DTYPE_BF16 &&
      dtype != TRIVET_DTYPE_F32)
    return "factors that are not f16, bf16, f32 or i8";
  if (is_whole) return sum == TRIVET_DTYPE_I32 ? NULL : "a sum in another type";
  return sum == dtype || sum == TRIVET_DTYPE_F32 ? NULL : "a sum in another type";
}

bool tvi_cuda_matmul_can_share(const tvi_cuda_matmul_tile_t* t) {
  return t->slab && t->wm <= 8 && !t->turns && !t->late && !t->even;
}

bool tvi_cuda_matmul_is_plain_wide(const tvi_cuda_matmul_tile_t* t) {
  return tvi_cuda_matmul_can_share(t) && t->wm == 8;
}

typedef struct printing_s {
  const tvi_cuda_matmul_tile_t* tile;
  uint32_t splits;
  tvi_cuda_matmul_shape_t shape;
} printing_t;

// ---------------------------------------------------------------------------------------------
// The product
// ---------------------------------------------------------------------------------------------

// "a_at", the address of an element of a factor, and "a_step", elements from one tile to the next.
static void print_factor(tvi_cuda_printer_t* p, const printing_t* w, bool is_b, bool aligned) {
  const tvi_cuda_factor_t* factor = is_b ? &w->shape.b : &w->shape.a;
  const bool in_place = aligned && tvi_cuda_matmul_is_turned(p, factor);
  if (factor->is_made)
    tvi_cuda_matmul_print_maker(p, &w->shape, is_b, aligned ? factor->vector : 1, in_place);
  if (factor->is_made && !in_place) return;
  const tvi_cuda_access_t* access = tvi_cuda_factor_access(p, &w->shape, factor);
  const char name = is_b ? 'b' : 'a';
  P(p, "const auto %c_at = [&](const int x, const int k) {\n", name);
  tvi_cuda_matmul_print_loops(p, is_b ? &w->shape.n : &w->shape.m, "x", false);
  const bool is_pair = w->shape.width > 1;
  P(p, "const %s q%u = k%s;\nreturn %s", tvi_cuda_index_type(p), w->shape.k, is_pair ? " * 2" : "",
    is_pair ? "(const tv_s8x2*)(" : "");
  tvi_cuda_print_pointer(p, in_place ? factor->raw : factor->value);
  P(p, " + (");
  tvi_cuda_print_offset(p, access, TVI_CUDA_NONE);
  P(p, ")%s;\n};\nconst long long %c_step = (long long)", is_pair ? ")" : "", name);
  tvi_cuda_print_dim(p, access->coefficients[w->shape.k]);
  P(p, " * %u;\n", tvi_cuda_matmul_depth(w->tile, p->program->values[w->shape.a.value].dtype));
}

void tvi_cuda_matmul_print_partial_put(tvi_cuda_printer_t* p, uint32_t vector) {
  P(p,
    "float* part = (float*)w%u + (long long)rest * M * N;\n"
    "const auto put = [&](const int m, const int n, const float* sums) {\n"
    "tv_store<%u>(part + ((long long)m * N + n), sums);\n};\n",
    tvi_cuda_parameter(p, tvi_cuda_number(p, 0)), vector);
  tvi_cuda_add_argument(p, TVI_CUDA_ARGUMENT_WORKSPACE,
                        tvi_cuda_parameter(p, tvi_cuda_number(p, 0)));
}

void tvi_cuda_matmul_print_place(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s,
                                 const tvi_cuda_matmul_tile_t* t, bool a_inner_k, bool b_inner_k,
                                 uint32_t splits) {
  const uint32_t dtype = p->program->values[s->b.value].dtype;
  P(p,
    "typedef tv_tile<%s, %u, %u, %u, %u, %u, %u, %s, %s> tile;\n"
    "int row, column;\nunsigned rest;\n"
    "tv_order<8>(blockIdx.x, (M + tile::BM - 1) / tile::BM, (N + tile::BN - 1) / tile::BN, &row, "
    "&column, &rest);\n"
    "const int m0 = row * tile::BM, n0 = column * tile::BN;\n",
    tvi_cuda_matmul_type(p, s), t->bm, t->bn, tvi_cuda_matmul_depth(t, dtype), t->wm, t->wn,
    t->stages, a_inner_k ? "true" : "false", b_inner_k ? "true" : "false");
  if (splits > 1) {
    P(p,
      "const int depth = ((K + tile::KT - 1) / tile::KT + %u) / %u * tile::KT;\n"
      "const int first = (int)(rest %% %uu) * depth, last = first + depth < K ? first + depth : "
      "K;\n"
      "const unsigned batch = rest / %uu;\n",
      splits - 1, splits, splits, splits);
  } else {
    P(p, "const int first = 0, last = K;\nconst unsigned batch = rest;\n");
  }
  tvi_cuda_matmul_print_loops(p, &s->batch, "batch", false);
}

void tvi_cuda_matmul_set_grid(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s,
                              const tvi_cuda_matmul_tile_t* t, uint32_t splits,
                              tvi_cuda_variant_t* variant) {
  variant->block = t->wm * t->wn * 32;
  variant->shared_bytes = tvi_cuda_matmul_shared_bytes(t);
  trivet_dim_t blocks = tvi_cuda_dim(
      p, TRIVET_DIM_MUL, tvi_cuda_dim(p, TRIVET_DIM_CEILDIV, s->rows, tvi_cuda_number(p, t->bm)),
      tvi_cuda_dim(p, TRIVET_DIM_CEILDIV, s->columns, tvi_cuda_number(p, t->bn)));
  blocks = tvi_cuda_dim(p, TRIVET_DIM_MUL, blocks,
                        tvi_cuda_dim(p, TRIVET_DIM_MUL, s->batches, tvi_cuda_number(p, splits)));
  variant->grid = tvi_cuda_parameter(p, blocks);
}

// What the form for Hopper does where addresses are not as the copy engine wants them.
static const tvi_cuda_matmul_tile_t plain_tile = {128, 64, 64, 4, 2, 4, 0, 0, 0, 0};

// The program rounds the sums as the factors are before anything follows them.
static bool is_narrow(const tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s) {
  const tvi_kir_value_t* values = p->program->values;
  return values[p->program->stages[s->core].values[0]].dtype == values[s->a.value].dtype;
}

static bool is_made(const tvi_cuda_matmul_shape_t* s) { return s->a.is_made || s->b.is_made; }

// What brings tiles of a factor along |side|, 'M' or 'N'; the last one ends the list.
static void print_bring(tvi_cuda_printer_t* p, const tvi_cuda_factor_t* factor, char side,
                        bool aligned) {
  P(p, "%s<tile::type, tile::B%c, tile::KT, tile::THREADS, tile::%cK, %u>%s",
    !factor->is_made                                  ? "tv_copier"
    : aligned && tvi_cuda_matmul_is_turned(p, factor) ? "tv_turner"
                                                      : "tv_maker",
    side, side == 'M' ? 'A' : 'B', aligned ? factor->vector : 1, side == 'M' ? ", " : " >");
}

static void print_product(tvi_cuda_printer_t* p, const void* argument,
                          tvi_cuda_variant_t* variant) {
  printing_t own = *(const printing_t*)argument;
  const printing_t* w = &own;
  if (own.tile->slab && variant->alignment == 16) {
    tvi_cuda_matmul_print_wide(p, &own.shape, own.tile, own.splits, variant);
    return;
  }
  if (own.tile->slab) {
    own.tile = &plain_tile;
    own.splits = 1;
  }
  const tvi_cuda_matmul_shape_t* s = &w->shape;
  const tvi_cuda_matmul_tile_t* t = w->tile;
  const bool aligned = variant->alignment > 1;
  const uint32_t vector = aligned ? s->vector : 1;
  P(p, "TV_MEMORY(memory);\n");
  tvi_cuda_matmul_print_extents(p, s);
  tvi_cuda_matmul_print_place(p, s, t, s->a.inner_k, s->b.inner_k, w->splits);
  print_factor(p, w, false, aligned);
  print_factor(p, w, true, aligned);
  if (w->splits > 1) {
    tvi_cuda_matmul_print_partial_put(p, vector);
  } else {
    tvi_cuda_matmul_print_put(p, s, vector);
  }
  P(p, "tile::sum sums[tile::FM][tile::FN][4] = {};\ntv_matmul");
  if (is_made(s)) {
    P(p, "_by<tile, ");
    print_bring(p, &s->a, 'M', aligned);
    print_bring(p, &s->b, 'N', aligned);
  } else {
    P(p, "<tile, %u, %u>", aligned ? s->a.vector : 1, aligned ? s->b.vector : 1);
  }
  const bool a_turned = aligned && tvi_cuda_matmul_is_turned(p, &s->a);
  const bool b_turned = aligned && tvi_cuda_matmul_is_turned(p, &s->b);
  P(p, "(sums, memory, a_at, b_at, ");
  if (is_made(s))
    P(p, "%s, %s, ", a_turned ? "a_make" : "tv_none()", b_turned ? "b_make" : "tv_none()");
  P(p,
    "m0, n0, M, N, first, last, a_step, b_step);\n"
    "tv_finish<tile, %u>(sums, memory, m0, n0, M, N, put);\n",
    vector);
  tvi_cuda_matmul_set_grid(p, s, t, w->splits, variant);
}

// ---------------------------------------------------------------------------------------------
// The sum of what several blocks found
// ---------------------------------------------------------------------------------------------

void tvi_cuda_matmul_print_join(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s,
                                uint32_t splits, tvi_cuda_variant_t* variant) {
  const uint32_t vector = variant->alignment > 1 ? s->vector : 1;
  const uint32_t zero = tvi_cuda_parameter(p, tvi_cuda_number(p, 0));
  tvi_cuda_matmul_print_extents(p, s);
  P(p,
    "const long long size = (long long)M * N;\nunsigned point = blockIdx.x * %uu + threadIdx.x;\n"
    "const unsigned pieces = (unsigned)N / %uu;\nconst int n = (int)(point %% pieces) * %u;\n"
    "point /= pieces;\nconst int m = (int)(point %% (unsigned)M);\nconst unsigned batch = point / "
    "(unsigned)M;\nif (batch >= (unsigned)",
    REDUCE_BLOCK, vector, vector);
  tvi_cuda_print_dim(p, s->batches);
  P(p, ") return;\n");
  tvi_cuda_matmul_print_loops(p, &s->batch, "batch", false);
  tvi_cuda_matmul_print_put(p, s, vector);
  P(p,
    "const float* part = (const float*)w%u + (long long)batch * %u * size + (long long)m * N + n;\n"
    "float sums[%u];\ntv_load<%u>(sums, part);\nTV_UNROLL\nfor (int s = 1; s < %u; ++s) {\n"
    "float other[%u];\ntv_load<%u>(other, part + s * size);\nTV_UNROLL\n"
    "for (int e = 0; e < %u; ++e) sums[e] += other[e];\n}\nput(m, n, sums);\n",
    zero, splits, vector, vector, splits, vector, vector, vector);
  tvi_cuda_add_argument(p, TVI_CUDA_ARGUMENT_WORKSPACE, zero);
  variant->block = REDUCE_BLOCK;
  trivet_dim_t points =
      tvi_cuda_dim(p, TRIVET_DIM_FLOORDIV, s->columns, tvi_cuda_number(p, vector));
  points =
      tvi_cuda_dim(p, TRIVET_DIM_MUL, tvi_cuda_dim(p, TRIVET_DIM_MUL, points, s->rows), s->batches);
  variant->grid = tvi_cuda_parameter(
      p, tvi_cuda_dim(p, TRIVET_DIM_CEILDIV, points, tvi_cuda_number(p, REDUCE_BLOCK)));
}

trivet_status_t tvi_cuda_matmul_print_launch(tvi_cuda_printer_t* p,
                                             const tvi_cuda_matmul_shape_t* shape, uint32_t step,
                                             tvi_cuda_matmul_print_fn_t print,
                                             const void* argument) {
  tvi_cuda_launch_t launch;
  tvi_string_builder_t bodies[2];
  memset(&launch, 0, sizeof(launch));
  tvi_vector_clear(&p->arguments);
  const uint32_t alignment = tvi_cuda_matmul_alignment(p, shape);
  launch.variant_count = alignment > 1 ? 2 : 1;
  for (uint32_t v = 0; v < launch.variant_count; ++v) {
    tvi_cuda_variant_t* variant = &launch.variants[v];
    variant->alignment = v + 1 < launch.variant_count ? alignment : 1;
    snprintf(variant->name, sizeof(variant->name), "%s_%u%s", p->options->name, step,
             variant->alignment > 1 ? "_v" : "");
    tvi_string_builder_clear(&p->body);
    print(p, argument, variant);
    tvi_string_builder_init(&bodies[v], p->code->allocator);
    tvi_string_builder_append(&bodies[v], tvi_string_builder_view(&p->body));
  }
  // Both take the same arguments, which are known now.
  for (uint32_t v = 0; v < launch.variant_count; ++v) {
    tvi_cuda_print_kernel(p, &launch.variants[v], tvi_string_builder_view(&bodies[v]));
    trivet_status_t status = tvi_string_builder_status(&bodies[v]);
    if (status) tvi_cuda_fail(p, status);
    tvi_string_builder_deinit(&bodies[v]);
  }
  launch.argument_first = (uint32_t)p->code->arguments.count;
  launch.argument_count = (uint32_t)p->arguments.count;
  TRIVET_RETURN_IF_ERROR(
      tvi_vector_append(&p->code->arguments, p->arguments.data, p->arguments.count));
  return tvi_vector_push(&p->code->launches, launch);
}

void tvi_cuda_matmul_set_workspace(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s,
                                   uint32_t splits) {
  trivet_dim_t workspace = tvi_cuda_number(p, 0);
  if (splits > 1) {
    workspace = tvi_cuda_dim(p, TRIVET_DIM_MUL, s->rows, s->columns);
    workspace = tvi_cuda_dim(p, TRIVET_DIM_MUL, workspace, s->batches);
    workspace = tvi_cuda_dim(p, TRIVET_DIM_MUL, workspace, tvi_cuda_number(p, 4 * (int64_t)splits));
  }
  p->code->workspace = tvi_cuda_parameter(p, workspace);
}

static void print_sum(tvi_cuda_printer_t* p, const void* argument, tvi_cuda_variant_t* variant) {
  const printing_t* w = (const printing_t*)argument;
  tvi_cuda_matmul_print_join(p, &w->shape, w->splits, variant);
}

static trivet_status_t print_all(tvi_cuda_printer_t* p, void* argument) {
  printing_t* w = (printing_t*)argument;
  const char* reason = NULL;
  tvi_cuda_matmul_shape(p, &w->shape, &reason);
  if (p->status) return TRIVET_OK;
  if (reason) return TRIVET_STATUS(UNIMPLEMENTED, "no matrix product: %s", reason);
  if (w->shape.width > 1 && (w->splits > 1 || !w->shape.b.inner_k || w->shape.b.vector < 8))
    return TRIVET_STATUS(UNIMPLEMENTED,
                         "factors of i8 that do not lie along the sum, or its parts");
  const bool joins = w->splits > 1 && !w->tile->slab;
  if (w->tile->even && w->shape.width > 1)
    return TRIVET_STATUS(UNIMPLEMENTED, "factors of i8 in even shares");
  if (w->tile->even) {
    tvi_cuda_matmul_set_even_workspace(p, w->tile);
  } else {
    tvi_cuda_matmul_set_workspace(p, &w->shape, joins ? w->splits : 1);
  }
  tvi_string_builder_append_cstr(&p->code->source, tvi_cuda_matmul_text);
  if (w->tile->slab) {
    if ((w->splits > 1 && !tvi_cuda_matmul_can_share(w->tile)) ||
        !tvi_cuda_factor_can_map(p, &w->shape, &w->shape.a, &w->shape.m) ||
        !tvi_cuda_factor_can_map(p, &w->shape, &w->shape.b, &w->shape.n))
      return TRIVET_STATUS(UNIMPLEMENTED, "a factor that the copy engine cannot bring");
    if (w->tile->late && !is_narrow(p, &w->shape))
      return TRIVET_STATUS(UNIMPLEMENTED, "sums that are not to be rounded");
    tvi_string_builder_append_cstr(&p->code->source, tvi_cuda_wgmma_text);
  }
  if (w->tile->even)
    TRIVET_RETURN_IF_ERROR(
        tvi_cuda_matmul_print_launch(p, &w->shape, 1, tvi_cuda_matmul_print_even_start, w->tile));
  TRIVET_RETURN_IF_ERROR(tvi_cuda_matmul_print_launch(p, &w->shape, 0, print_product, w));
  return joins ? tvi_cuda_matmul_print_launch(p, &w->shape, 1, print_sum, w) : TRIVET_OK;
}

trivet_status_t tvi_cuda_matmul_code(const tvi_kir_program_t* program,
                                     const tvi_cuda_code_options_t* options,
                                     const tvi_cuda_matmul_tile_t* tile, uint32_t splits,
                                     tvi_arena_t* arena, trivet_allocator_t allocator,
                                     tvi_cuda_code_t* out_code) {
  printing_t w;
  memset(&w, 0, sizeof(w));
  w.tile = tile;
  w.splits = splits;
  tvi_cuda_code_options_t own = *options;
  own.print = print_all;
  own.print_argument = &w;
  own.keeps_factors = true;
  return tvi_cuda_code_make(program, &own, arena, allocator, out_code);
}

// ---------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------

void tvi_cuda_matmul_weigh(const tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s,
                           tvi_cuda_matmul_problem_t* out) {
  for (uint32_t i = 0; i < p->program->stage_count; ++i) {
    tvi_kir_cost_t cost;
    if (i == s->core) continue;
    tvi_kir_stage_cost(p->program, i, &cost);
    const double work =
        (cost.flops + 2.0 * cost.loads + 30.0 * cost.transcendentals) *
        (double)tvi_kir_cost_positions(&cost, p->options->symbols, p->options->symbol_count);
    if (s->a.is_made && i == p->program->values[s->a.value].stage) {
      out->work_a = work;
    } else if (s->b.is_made && i == p->program->values[s->b.value].stage) {
      out->work_b = work;
    } else {
      out->epilogue_work += work;
    }
  }
  for (uint32_t v = 0; v < p->program->value_count; ++v) {
    const tvi_kir_value_t* value = &p->program->values[v];
    if (value->kind == TVI_KIR_TEMP || v == s->a.value || v == s->b.value) continue;
    out->epilogue_bytes += tvi_cuda_value_bytes(p, v);
  }
}

// The dimensions of b along n and k, where it has no others.
static void read_packing(const tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s,
                         tvi_cuda_matmul_problem_t* out) {
  const tvi_kir_value_t* value = &p->program->values[s->b.value];
  tvi_kir_matmul_t match;
  const char* reason = NULL;
  if (value->rank != 2 || s->batch.count != 0 || s->b.is_made ||
      !tvi_kir_match_matmul(p->program, s->core, &match, &reason))
    return;
  const tvi_kir_contraction_operand_t* b = match.b.value == s->b.value ? &match.b : &match.a;
  if (match.roles.k_count != 1 || b->dim_of_index[match.roles.k[0]] > 1) return;
  out->b_rank = 2;
  out->b_k_dim = b->dim_of_index[match.roles.k[0]];
  out->b_n_dim = 1 - out->b_k_dim;
}

static trivet_status_t read_problem(tvi_cuda_printer_t* p, void* argument) {
  tvi_cuda_matmul_problem_t* out = (tvi_cuda_matmul_problem_t*)argument;
  tvi_cuda_matmul_shape_t s;
  tvi_cuda_matmul_shape(p, &s, &out->reason);
  if (p->status || out->reason) return TRIVET_OK;
  out->m = tvi_cuda_printer_estimate(p, s.rows);
  out->n = tvi_cuda_printer_estimate(p, s.columns);
  out->k = tvi_cuda_printer_estimate(p, s.depth);
  out->batch = tvi_cuda_printer_estimate(p, s.batches);
  out->dtype = p->program->values[s.a.value].dtype;
  out->is_narrow = is_narrow(p, &s);
  out->makes_a = s.a.is_made;
  out->makes_b = s.b.is_made;
  out->waits = (s.a.is_made && !tvi_cuda_matmul_is_turned(p, &s.a)) ||
               (s.b.is_made && !tvi_cuda_matmul_is_turned(p, &s.b));
  if (!out->makes_a) out->a = p->code->operands.data[p->operand_of_value[s.a.value]];
  if (!out->makes_b) out->b = p->code->operands.data[p->operand_of_value[s.b.value]];
  out->vector_a = s.a.vector;
  out->vector_b = s.b.vector;
  out->vector_c = s.vector;
  int64_t unused;
  out->is_symbolic = !tvi_dim_is_constant(s.rows, &unused) ||
                     !tvi_dim_is_constant(s.columns, &unused) ||
                     !tvi_dim_is_constant(s.depth, &unused);
  read_packing(p, &s, out);
  out->can_map_a = tvi_cuda_factor_can_map(p, &s, &s.a, &s.m);
  out->can_map_b = tvi_cuda_factor_can_map(p, &s, &s.b, &s.n);
  tvi_cuda_matmul_weigh(p, &s, out);
  // What makes a factor reads operands, which were counted with what others read.
  out->factor_bytes = ((out->makes_a ? 0 : (double)out->m * (double)out->k) +
                       (out->makes_b ? 0 : (double)out->n * (double)out->k)) *
                      (double)out->batch * 16 / tvi_cuda_matmul_piece(out->dtype);
  return TRIVET_OK;
}

trivet_status_t tvi_cuda_matmul_read(const tvi_kir_program_t* program,
                                     const tvi_cuda_code_options_t* options, tvi_arena_t* arena,
                                     trivet_allocator_t allocator,
                                     tvi_cuda_matmul_problem_t* out_problem) {
  tvi_cuda_matmul_problem_t problem;
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
