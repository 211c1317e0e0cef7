// SPDX-License-Identifier: Apache-2.0
//
// The form for Hopper: blocks stay and take tile after tile, the copy engine fills shared memory by
// tensor maps, groups of four warps multiply with wgmma. The skeleton is wgmma.cuh.
#include <stdio.h>
#include <string.h>

#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "plugins/cuda/emit/matmul_shape.h"

#define P TVI_CUDA_PRINT
#define MULTIPROCESSORS 132
#define START_BLOCK 256u

bool tvi_cuda_factor_can_map(const tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s,
                             const tvi_cuda_factor_t* factor, const tvi_cuda_loops_t* x) {
  const tvi_cuda_access_t* access = tvi_cuda_factor_access(p, s, factor);
  return !factor->is_made && factor->vector == 8 && x->count == 1 && !access->constant &&
         2 + s->batch.count <= TVI_CUDA_MAP_RANK;
}

// The map of a factor: the contiguous dimension, the other one, batches.
static uint32_t add_map(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s, bool is_b,
                        const tvi_cuda_matmul_tile_t* t) {
  const tvi_cuda_factor_t* factor = is_b ? &s->b : &s->a;
  const uint32_t x = (is_b ? &s->n : &s->m)->loops[0];
  const tvi_cuda_access_t* access = tvi_cuda_factor_access(p, s, factor);
  const uint32_t loops[2] = {factor->inner_k ? s->k : x, factor->inner_k ? x : s->k};
  tvi_cuda_map_t map;
  memset(&map, 0, sizeof(map));
  map.operand = p->operand_of_value[factor->value];
  map.rank = 2 + s->batch.count;
  for (uint32_t d = 0; d < map.rank; ++d) {
    const uint32_t loop = d < 2 ? loops[d] : s->batch.loops[s->batch.count + 1 - d];
    map.extents[d] = tvi_cuda_parameter(p, p->extents[loop]);
    map.strides[d] = tvi_cuda_parameter(p, access->coefficients[loop]);
    map.box[d] = 1;
  }
  map.box[0] = 64 * s->width;
  map.box[1] = factor->inner_k ? (is_b ? t->bn : t->bm) : t->kt;
  const uint32_t at = (uint32_t)p->code->maps.count;
  trivet_status_t status = tvi_vector_push(&p->code->maps, map);
  if (status) tvi_cuda_fail(p, status);
  return at;
}

// The orders that bring the tile of a factor at k.
static void print_copy(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s, bool is_b,
                       uint32_t map) {
  const tvi_cuda_factor_t* factor = is_b ? &s->b : &s->a;
  const char* first = is_b ? "n0" : "m0";
  const char* to = is_b ? "to + tile::A_BYTES" : "to";
  tvi_cuda_add_argument(p, TVI_CUDA_ARGUMENT_MAP, map);
  if (factor->inner_k) {
    P(p, "tv_box(t%u, %s, bar, k%s, %s", map, to, s->width > 1 ? " * 2" : "", first);
  } else {
    P(p,
      "TV_UNROLL\nfor (int x = 0; x < tile::%s; x += 64)\ntv_box(t%u, %s + x * (tile::KT * 2), "
      "bar, %s + x, k",
      is_b ? "BN" : "BM", map, to, first);
  }
  for (uint32_t i = s->batch.count; i-- > 0;) P(p, ", (int)q%u", s->batch.loops[i]);
  P(p, ");\n");
}

// Where tile |number| is.
static void print_tile(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s) {
  P(p,
    "int row, column;\nunsigned batch;\n"
    "tv_order<16>(number, rows, columns, &row, &column, &batch);\n"
    "const int m0 = row * tile::BM, n0 = column * tile::BN;\n");
  tvi_cuda_matmul_print_loops(p, &s->batch, "batch", false);
}

// The statements that find a tile: the loop over those of this group, or of all groups.
static void print_place(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s,
                        const tvi_cuda_matmul_tile_t* t, uint32_t splits, bool takes_turns) {
  if (t->even) {
    P(p,
      "for (tv_share share(tiles, whole); share.next();) {\n"
      "const unsigned number = share.number;\n"
      "const int first = share.first, steps = share.steps;\n");
  } else if (splits > 1) {
    P(p, "{\nconst unsigned number = blockIdx.x / %uu;\n", splits);
  } else {
    P(p, "for (unsigned number = blockIdx.x%s; number < tiles; number += %sTV_GRID) {\n",
      takes_turns ? " + group * (TV_GRID)" : "", takes_turns ? "2 * " : "");
  }
  print_tile(p, s);
}

// ---------------------------------------------------------------------------------------------
// Even shares
// ---------------------------------------------------------------------------------------------

// Each block leaves at most one tile of sums, and a flag for each warp that has laid its part.
static int64_t even_flags_at(const tvi_cuda_matmul_tile_t* t) {
  return (int64_t)MULTIPROCESSORS * t->bm * t->bn * 4;
}

static uint32_t even_flag_count(const tvi_cuda_matmul_tile_t* t) { return MULTIPROCESSORS * t->wm; }

// The addresses of both.
static void print_even(tvi_cuda_printer_t* p, const tvi_cuda_matmul_tile_t* t) {
  const uint32_t parts = tvi_cuda_parameter(p, tvi_cuda_number(p, 0));
  const uint32_t flags = tvi_cuda_parameter(p, tvi_cuda_number(p, even_flags_at(t)));
  tvi_cuda_add_argument(p, TVI_CUDA_ARGUMENT_WORKSPACE, parts);
  tvi_cuda_add_argument(p, TVI_CUDA_ARGUMENT_WORKSPACE, flags);
  P(p, "float* const parts = (float*)w%u;\nunsigned* const flags = (unsigned*)w%u;\n", parts,
    flags);
}

void tvi_cuda_matmul_set_even_workspace(tvi_cuda_printer_t* p, const tvi_cuda_matmul_tile_t* t) {
  p->code->workspace =
      tvi_cuda_parameter(p, tvi_cuda_number(p, even_flags_at(t) + 4 * (int64_t)even_flag_count(t)));
}

void tvi_cuda_matmul_print_even_start(tvi_cuda_printer_t* p, const void* tile,
                                      tvi_cuda_variant_t* variant) {
  const tvi_cuda_matmul_tile_t* t = (const tvi_cuda_matmul_tile_t*)tile;
  const uint32_t flags = tvi_cuda_parameter(p, tvi_cuda_number(p, even_flags_at(t)));
  tvi_cuda_add_argument(p, TVI_CUDA_ARGUMENT_WORKSPACE, flags);
  P(p,
    "const unsigned at = blockIdx.x * %uu + threadIdx.x;\nif (at < %uu) ((unsigned*)w%u)[at] = "
    "0;\n",
    START_BLOCK, even_flag_count(t), flags);
  variant->block = START_BLOCK;
  variant->grid = tvi_cuda_parameter(
      p, tvi_cuda_number(p, (even_flag_count(t) + START_BLOCK - 1) / START_BLOCK));
}

// No kernel of the plan writes it.
static bool is_ready(const tvi_cuda_printer_t* p, const tvi_cuda_factor_t* factor) {
  const bool* constants = p->options->is_constant;
  return constants && constants[p->code->operands.data[p->operand_of_value[factor->value]]];
}

// The group that orders tiles. What no kernel of the plan writes is on its way before the kernels
// ahead have ended.
static void print_orders(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s,
                         const tvi_cuda_matmul_tile_t* t, uint32_t splits, uint32_t map_a,
                         uint32_t map_b) {
  const bool early_a = is_ready(p, &s->a), early_b = is_ready(p, &s->b);
  P(p, "if (threadIdx.x == 0) {\n");
  if (early_a || early_b) {
    P(p, "int early = 0;\n");
    if (t->even) {
      print_place(p, s, t, splits, false);
    } else {
      P(p, "{\nconst unsigned number = blockIdx.x / %uu;\n", splits);
      print_tile(p, s);
    }
    P(p,
      "early = steps < tile::STAGES ? steps : tile::STAGES;\nTV_UNROLL_BY(1)\nfor (int s = 0; s < "
      "early; ++s) {\nconst int k = (first + s) * tile::KT;\n"
      "unsigned char* const to = memory + s * tile::BYTES;\n"
      "unsigned char* const bar = work.full(s);\ntv_barrier_expect(bar, tile::BYTES);\n");
    if (early_a) print_copy(p, s, false, map_a);
    if (early_b) print_copy(p, s, true, map_b);
    P(p, "}\n%s}\n", t->even ? "break;\n" : "");
  }
  P(p, "TV_BEGIN();\n");
  print_place(p, s, t, splits, false);
  P(p,
    "TV_UNROLL_BY(1)\nfor (int s = 0; s < steps; ++s) {\nconst int k = (first + s) * tile::KT;\n"
    "unsigned char* const to = work.data();\nunsigned char* const bar = work.full(work.stage);\n");
  if (early_a || early_b) P(p, "if (s >= early) {\n");
  P(p,
    "tv_barrier_wait(work.empty(work.stage), work.parity ^ 1u);\n"
    "tv_barrier_expect(bar, tile::BYTES);\n");
  if (early_a) print_copy(p, s, false, map_a);
  if (early_b) print_copy(p, s, true, map_b);
  if (early_a || early_b) P(p, "}\n");
  if (!early_a) print_copy(p, s, false, map_a);
  if (!early_b) print_copy(p, s, true, map_b);
  P(p, "work.next();\n}\n%s}\n} else {\nTV_BEGIN();\n}\n",
    early_a || early_b ? "early = 0;\n" : "");
}

const char* tvi_cuda_matmul_registers(uint32_t groups, bool multiplies) {
  if (groups < 2) return "";
  if (groups == 2) return multiplies ? "TV_REGISTERS(inc, 232);\n" : "TV_REGISTERS(dec, 40);\n";
  return multiplies ? "TV_REGISTERS(inc, 160);\n" : "TV_REGISTERS(dec, 32);\n";
}

// The groups that multiply a tile and finish the one before it meanwhile.
static void print_late(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s,
                       const tvi_cuda_matmul_tile_t* t) {
  P(p,
    "} else {\n%sTV_BEGIN();\nfor (unsigned next = blockIdx.x;; next += TV_GRID) {\n"
    "const bool is_first = next == blockIdx.x, is_end = next >= tiles;\n"
    "const unsigned number = is_first ? next : next - TV_GRID;\n",
    tvi_cuda_matmul_registers(t->wm / 4, true));
  print_tile(p, s);
  tvi_cuda_matmul_print_put(p, s, s->vector);
  P(p,
    "tv_late<tile, %u> late(work, m0, n0, steps, is_first);\n"
    "float sums[tile::FM][tile::FN][4] = {};\n"
    "const auto finish = [&] { late.some(M, N, put); };\n"
    "tv_wide_matmul_beside<tile>(sums, work, is_end ? 0 : steps, finish);\n"
    "late.rest(M, N, put);\nif (is_end) break;\nlate.lay(sums);\n}\n}\n",
    s->vector);
}

// The groups that multiply and finish what they have.
static void print_groups(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s,
                         const tvi_cuda_matmul_tile_t* t, uint32_t splits) {
  const uint32_t groups = t->wm / 4;
  const bool moves = groups > 1;
  P(p, "} else {\n%sTV_BEGIN();\n", tvi_cuda_matmul_registers(groups, true));
  if (t->turns)
    P(p, "const int group = (int)threadIdx.x / 128 - 1;\nif (group == 1) work.skip(steps);\n");
  if (splits > 1) {
    P(p,
      "float sums[tile::FM][tile::FN][4] = {};\ntv_wide_matmul<tile>(sums, work, steps);\n"
      "tv_block_wait();\ntv_wide_lay<tile>(sums, memory);\n%s",
      moves ? "" : "}\n");
    print_place(p, s, t, splits, false);
    tvi_cuda_matmul_print_put(p, s, s->vector);
    P(p, "tv_wide_join<tile, %u, %u, %u>(memory, rank, m0, n0, M, N, put);\n}\n%s", s->vector,
      splits, moves ? 128u : 0u, moves ? "}\n" : "");
  } else {
    print_place(p, s, t, splits, t->turns != 0);
    tvi_cuda_matmul_print_put(p, s, s->vector);
    P(p, "tile::sum sums[tile::FM][tile::FN][4] = {};\n%s",
      t->turns ? "work.take_turn(group);\n" : "");
    P(p, "tv_wide_matmul<tile>(sums, work, steps);\n%s",
      t->turns ? "work.pass_turn(group, steps);\n" : "");
    if (t->even)
      P(p,
        "if (!share.ends_tile()) {\ntv_share_give<tile>(sums, parts, flags);\ncontinue;\n}\n"
        "tv_share_take<tile>(sums, share, parts, flags);\n");
    P(p, "tv_wide_finish<tile, %u>(sums, work, m0, n0, M, N, put);\n}\n}\n", s->vector);
  }
}

void tvi_cuda_matmul_print_wide(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s,
                                const tvi_cuda_matmul_tile_t* t, uint32_t splits,
                                tvi_cuda_variant_t* variant) {
  tvi_dim_context_t* dims = p->program->dims;
  const uint32_t map_a = add_map(p, s, false, t), map_b = add_map(p, s, true, t);
  const uint32_t groups = t->wm / 4;
  P(p, "TV_MEMORY(memory);\n");
  tvi_cuda_matmul_print_extents(p, s);
  P(p,
    "typedef tv_wide<%s, %u, %u, %u, %u, %u, %s, %s, %s%s> tile;\n"
    "const unsigned rows = (unsigned)(M + tile::BM - 1) / tile::BM;\n"
    "const unsigned columns = (unsigned)(N + tile::BN - 1) / tile::BN;\n",
    tvi_cuda_matmul_type(p, s), t->bm, t->bn, t->stages, t->slab, groups,
    t->turns ? "true" : "false", s->a.inner_k ? "true" : "false", s->b.inner_k ? "true" : "false",
    t->late ? ", true" : "");
  if (splits > 1) {
    P(p,
      "const int rank = (int)(blockIdx.x %% %uu), whole = (K + tile::KT - 1) / tile::KT;\n"
      "const int first = rank * whole / %u, steps = (rank + 1) * whole / %u - first;\n",
      splits, splits, splits);
  } else {
    P(p, "const unsigned tiles = rows * columns * (unsigned)");
    tvi_cuda_print_dim(p, s->batches);
    P(p, t->even ? ";\nconst int whole = K > 0 ? (K + tile::KT - 1) / tile::KT : 1;\n"
                 : ";\nconst int first = 0, steps = (K + tile::KT - 1) / tile::KT;\n");
    if (t->even) print_even(p, t);
  }
  P(p, "tv_wide_memory<tile> work = {memory, 0, 0, 0};\nwork.begin();\n");
  const bool moves = groups > 1;
  P(p, "if (threadIdx.x < 128) {\n%s", tvi_cuda_matmul_registers(groups, false));
  print_orders(p, s, t, splits, map_a, map_b);
  if (splits > 1)
    P(p, "tv_block_wait();\n%s", moves ? "tv_cluster_wait();\ntv_cluster_wait();\n" : "");
  if (t->late) {
    print_late(p, s, t);
  } else {
    print_groups(p, s, t, splits);
  }
  variant->begins_itself = true;
  variant->block = 128 + groups * 128;
  variant->shared_bytes = tvi_cuda_matmul_shared_bytes(t);
  variant->cluster = splits > 1 ? splits : 0;
  trivet_dim_t rows = tvi_dim_binary(dims, TRIVET_DIM_CEILDIV, s->rows, tvi_cuda_number(p, t->bm));
  trivet_dim_t columns =
      tvi_dim_binary(dims, TRIVET_DIM_CEILDIV, s->columns, tvi_cuda_number(p, t->bn));
  trivet_dim_t tiles = rows && columns ? tvi_dim_binary(dims, TRIVET_DIM_MUL, rows, columns) : NULL;
  if (tiles) tiles = tvi_dim_binary(dims, TRIVET_DIM_MUL, tiles, s->batches);
  if (tiles && t->even)
    tiles = tvi_dim_binary(dims, TRIVET_DIM_MUL, tiles, tvi_cuda_number(p, MULTIPROCESSORS));
  if (tiles && groups > 1 && splits == 1)
    tiles = tvi_dim_binary(dims, TRIVET_DIM_MIN, tiles, tvi_cuda_number(p, MULTIPROCESSORS));
  if (tiles && splits > 1)
    tiles = tvi_dim_binary(dims, TRIVET_DIM_MUL, tiles, tvi_cuda_number(p, splits));
  variant->grid = tvi_cuda_parameter(p, tiles);
}
