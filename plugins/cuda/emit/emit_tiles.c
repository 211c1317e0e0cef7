// SPDX-License-Identifier: Apache-2.0
//
// Maps that read across the order in which they write: a block brings a square of the operand to
// shared memory along the one and takes it from there along the other. See emit_map.c.
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "plugins/cuda/emit/emit_print.h"

#define P TVI_CUDA_PRINT
#define LANES 32u  // threads along a row of the tile
#define LINES 8u   // rows of the tile at once

static trivet_dim_t tile_count(tvi_cuda_printer_t* p, uint32_t loop, uint32_t side) {
  return tvi_dim_binary(p->program->dims, TRIVET_DIM_CEILDIV, p->extents[loop],
                        tvi_dim_constant(p->program->dims, side));
}

static void print_below(tvi_cuda_printer_t* p, const char* name, uint32_t loop) {
  P(p, "%s%u < ", name, loop);
  tvi_cuda_print_dim(p, p->extents[loop]);
}

// Tiles of a block beside each other along the last loop: single elements of less than 4 bytes
// would else leave too few bytes on their way.
static uint32_t tiles_of_block(const tvi_cuda_printer_t* p) {
  if (p->shape.vector > 1) return 1;
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    if (tvi_cuda_is_crossing(p, access, p->shape.tile_loop) &&
        tvi_dtype_bits(tvi_cuda_stored_dtype(&p->program->values[access->value])) >= 32)
      return 1;
  }
  return 2;
}

// Brings the tile of one operand to shared memory: row: along the last loop, column: the tile's.
static void print_fill(tvi_cuda_printer_t* p, const tvi_cuda_access_t* access, uint32_t side) {
  const uint32_t last = p->loop_count - 1, across = p->shape.tile_loop, vector = p->shape.vector;
  const char* index = tvi_cuda_index_type(p);
  const char* type =
      tvi_cuda_storage_type(tvi_cuda_stored_dtype(&p->program->values[access->value]));
  P(p, "for (int i = 0; i < %u; ++i) {\n", side / LINES);
  P(p, "const int row = line + %u * i, column = lane * %u;\n", LINES, vector);
  P(p, "const %s q%u = f%u + u * %u + row, b%u = t%u + column;\nif (", index, last, last, side,
    across, across);
  print_below(p, "q", last);
  P(p, " && ");
  print_below(p, "b", across);
  P(p, ") {\n");
  if (vector > 1 && tvi_cuda_is_vector(p, access, across, vector)) {
    P(p, "tv_move<%u>(&tile%u[u][row][column], (const %s*)", vector, access->array, type);
    tvi_cuda_print_pointer(p, access->value);
    P(p, " + ");
    tvi_cuda_print_offset(p, access, across);
    P(p, ");\n");
  } else {
    P(p, "for (int e = 0; e < %u; ++e) {\nconst %s q%u = b%u + e;\n", vector, index, across,
      across);
    P(p, "tile%u[u][row][column + e] = ", access->array);
    tvi_cuda_print_pointer(p, access->value);
    P(p, "[");
    tvi_cuda_print_offset(p, access, TVI_CUDA_NONE);
    P(p, "];\n}\n");
  }
  P(p, "}\n}\n");
}

void tvi_cuda_print_tiles(tvi_cuda_printer_t* p, tvi_cuda_variant_t* variant) {
  tvi_dim_context_t* dims = p->program->dims;
  const uint32_t last = p->loop_count - 1, across = p->shape.tile_loop, vector = p->shape.vector;
  const uint32_t side = LANES * vector;
  const char* index = tvi_cuda_index_type(p);
  const char* count = tvi_cuda_count_type(p);
  const uint32_t tiles = tiles_of_block(p);
  const trivet_dim_t wide = tile_count(p, last, side * tiles), high = tile_count(p, across, side);
  P(p, "const int lane = (int)threadIdx.x %% %u, line = (int)threadIdx.x / %u;\n", LANES, LANES);
  P(p, "%s r = blockIdx.x;\n", count);
  P(p, "const %s f%u = (%s)(r %% (%s)", index, last, index, count);
  tvi_cuda_print_dim(p, wide);
  P(p, ") * %u;\nr /= (%s)", side * tiles, count);
  tvi_cuda_print_dim(p, wide);
  P(p, ";\nconst %s t%u = (%s)(r %% (%s)", index, across, index, count);
  tvi_cuda_print_dim(p, high);
  P(p, ") * %u;\nr /= (%s)", side, count);
  tvi_cuda_print_dim(p, high);
  P(p, ";\n");
  trivet_dim_t blocks = tvi_dim_binary(dims, TRIVET_DIM_MUL, wide, high);
  for (uint32_t l = last; l-- > 0;) {
    if (l == across) continue;
    P(p, "const %s q%u = (%s)(r %% (%s)", index, l, index, count);
    tvi_cuda_print_dim(p, p->extents[l]);
    P(p, ");\nr /= (%s)", count);
    tvi_cuda_print_dim(p, p->extents[l]);
    P(p, ";\n");
    blocks = tvi_dim_binary(dims, TRIVET_DIM_MUL, blocks, p->extents[l]);
  }
  uint32_t arrays = 0;
  for (size_t i = 0; i < p->accesses.count; ++i) {
    tvi_cuda_access_t* access = &p->accesses.data[i];
    access->array = TVI_CUDA_NONE;
    if (!tvi_cuda_is_crossing(p, access, across)) continue;
    access->array = arrays++;
    const char* type =
        tvi_cuda_storage_type(tvi_cuda_stored_dtype(&p->program->values[access->value]));
    // A row more than a multiple of the banks.
    P(p, "__shared__ %s tile%u[%u][%u][%u + (sizeof(%s) < 4 ? 4 / sizeof(%s) : 1)];\n", type,
      access->array, tiles, side, side, type, type);
    P(p, "TV_UNROLL\nfor (int u = 0; u < %u; ++u) {\n", tiles);
    print_fill(p, access, side);
    P(p, "}\n");
  }
  P(p, "__syncthreads();\n");
  P(p, "for (int j = 0; j < %u; ++j) {\n", tiles * side / LINES);
  P(p, "const int row = line + j / %u * %u, u = j %% %u;\n", tiles, LINES, tiles);
  P(p, "const %s q%u = t%u + row, b%u = f%u + u * %u + lane * %u;\nif (", index, across, across,
    last, last, side, vector);
  print_below(p, "q", across);
  P(p, " && ");
  print_below(p, "b", last);
  P(p, ") {\n");
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    if (access->array == TVI_CUDA_NONE) continue;
    P(p,
      "%s x%u[%u];\nTV_UNROLL\nfor (int e = 0; e < %u; ++e) "
      "x%u[e] = tv_get(tile%u[u][lane * %u + e][row]);\n",
      tvi_cuda_register_type(p->program->values[access->value].dtype), access->array, vector,
      vector, access->array, access->array, vector);
  }
  tvi_cuda_print_points(p, last, vector, arrays);
  P(p, "}\n}\n");
  variant->block = LANES * LINES;
  variant->grid = tvi_cuda_parameter(p, blocks);
}
