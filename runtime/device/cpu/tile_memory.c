// SPDX-License-Identifier: Apache-2.0
//
// Tiles between memory and registers: any element type, any stride, transposed blocks, positions
// that are checked or read from registers. Also finds the loop of an instruction. A tile never
// reaches beyond the rows and columns it is given: the last elements of a tensor may end a page.

#include <string.h>

#include "core/base/cpu_info.h"
#include "core/base/dtype.h"
#include "runtime/device/cpu/tile_kernels.h"
#include "trivet/common.h"

#if defined(__x86_64__)
#define HAVE_X86 1
#endif

uint32_t tvi_tile_isa_detect(void) {
  switch (tvi_cpu_level()) {
    case TVI_CPU_AVX512:
      return TVI_TILE_ISA_AVX512;
    case TVI_CPU_AVX2:
      return TVI_TILE_ISA_AVX2;
    default:
      return TVI_TILE_ISA_PLAIN;
  }
}

const tvi_tile_kernel_table_t* tvi_tile_kernel_table(uint32_t isa) {
#ifdef HAVE_X86
  if (isa == TVI_TILE_ISA_AVX512) return &tvi_tile_kernels_avx512;
  if (isa == TVI_TILE_ISA_AVX2) return &tvi_tile_kernels_avx2;
#endif
  (void)isa;
  return &tvi_tile_kernels_plain;
}

// The entry of the instruction set, or the plain one.
#define PICK(isa, field)                                                 \
  (tvi_tile_kernel_table(isa)->field ? tvi_tile_kernel_table(isa)->field \
                                     : tvi_tile_kernels_plain.field)

tvi_tile_run_t tvi_tile_kernel_find(uint32_t isa, uint32_t opcode, uint32_t type,
                                    uint32_t source_type) {
  if (opcode >= TVI_TILE_OPCODE_LIMIT || type >= TVI_TILE_TYPE_COUNT ||
      source_type >= TVI_TILE_TYPE_COUNT)
    return NULL;
  switch (opcode) {
    case TVI_TILE_OP_CONVERT:
      return PICK(isa, convert[source_type][type]);
    case TVI_TILE_OP_BITCAST:
      return tvi_tile_copy_find(
          isa, type == TVI_TILE_F64 || type == TVI_TILE_I64 || type == TVI_TILE_U64 ? 8 : 4);
    case TVI_TILE_OP_NARROW:
    case TVI_TILE_OP_ENCODE:
    case TVI_TILE_OP_DECODE:
      type = TVI_TILE_F32;  // their one column
      break;
    case TVI_TILE_OP_ROUND_TO:
      type = source_type;
      break;
    default:
      break;
  }
  return PICK(isa, arithmetic[opcode][type]);
}

tvi_tile_run_t tvi_tile_row_reduce_find(uint32_t isa, uint32_t join) {
  return join < 4 ? PICK(isa, row_reduce[join]) : NULL;
}

tvi_tile_run_t tvi_tile_row_sum_find(uint32_t isa, uint32_t opcode) {
  if (opcode == TVI_TILE_OP_SUB_SQUARE) return PICK(isa, row_sum_square);
  if (opcode == TVI_TILE_OP_MUL) return PICK(isa, row_sum_product);
  return NULL;
}

tvi_tile_run_t tvi_tile_copy_find(uint32_t isa, uint32_t bytes) {
  return bytes == 4 ? PICK(isa, copy4) : PICK(isa, copy8);
}

void tvi_tile_run_affine(const tvi_tile_args_t* g) {
  for (uint32_t row = 0; row < g->rows; ++row) {
    int64_t* d = (int64_t*)(g->d + (ptrdiff_t)row * g->ds);
    const int64_t first = g->imm + (int64_t)row * g->ss[0];
    for (uint32_t col = 0; col < g->cols; ++col) d[col] = first + (int64_t)col * g->cs;
  }
}

// ---------------------------------------------------------------------------------------------
// Plain loads and stores
// ---------------------------------------------------------------------------------------------

#define CHUNK 256u  // elements converted at a time

typedef uint16_t __attribute__((may_alias, aligned(1))) raw2_t;
typedef uint32_t __attribute__((may_alias, aligned(1))) raw4_t;
typedef uint64_t __attribute__((may_alias, aligned(1))) raw8_t;

#define STRIDED_COPY(T)                                                \
  for (size_t i = 0; i < count; ++i)                                   \
    *(T*)(d + (ptrdiff_t)i * ds) = *(const T*)(s + (ptrdiff_t)i * ss); \
  break

static void copy_strided(char* d, ptrdiff_t ds, const char* s, ptrdiff_t ss, size_t count,
                         uint32_t bytes) {
  switch (bytes) {
    case 1:
      STRIDED_COPY(char);
    case 2:
      STRIDED_COPY(raw2_t);
    case 4:
      STRIDED_COPY(raw4_t);
    default:
      STRIDED_COPY(raw8_t);
  }
}

static void load_packed(const tvi_tile_args_t* g, int is_float) {
  for (uint32_t row = 0; row < g->rows; ++row) {
    char* d = g->d + (ptrdiff_t)row * g->ds;
    int64_t at = g->imm + (int64_t)row * g->ss[0];
    for (uint32_t col = 0; col < g->cols; ++col, at += g->cs) {
      if (is_float) {
        *(float*)(d + (size_t)col * 4) = (float)tvi_dtype_read_f64(g->aux, g->s[0], at);
      } else {
        *(int32_t*)(d + (size_t)col * 4) = (int32_t)tvi_dtype_read_i64(g->aux, g->s[0], at);
      }
    }
  }
}

void tvi_tile_run_load(const tvi_tile_args_t* g) {
  const tvi_tile_kernel_table_t* table = g->extra;
  const uint32_t dtype = g->aux;
  const uint32_t bytes = tvi_dtype_bytes(dtype);
  if (bytes == 0) {
    load_packed(g, dtype == TRIVET_DTYPE_F4E2M1);
    return;
  }
  void (*widen)(void*, const void*, size_t) =
      table->widen[dtype] ? table->widen[dtype] : tvi_tile_kernels_plain.widen[dtype];
  const uint32_t to = bytes == 8 ? 8 : 4;
  if (g->cs == (ptrdiff_t)bytes) {
    for (uint32_t row = 0; row < g->rows; ++row)
      widen(g->d + (ptrdiff_t)row * g->ds, g->s[0] + (ptrdiff_t)row * g->ss[0], g->cols);
    return;
  }
  if (bytes == 4 && g->ss[0] == 4 && g->rows > 1) {
    (table->transpose4 ? table->transpose4 : tvi_tile_kernels_plain.transpose4)(
        g->d, g->ds, g->s[0], g->cs, g->rows, g->cols);
    if (dtype == TRIVET_DTYPE_F32 || dtype == TRIVET_DTYPE_I32 || dtype == TRIVET_DTYPE_U32) return;
  }
  char buffer[CHUNK * 8];
  for (uint32_t row = 0; row < g->rows; ++row) {
    char* d = g->d + (ptrdiff_t)row * g->ds;
    const char* s = g->s[0] + (ptrdiff_t)row * g->ss[0];
    for (uint32_t col = 0; col < g->cols; col += CHUNK) {
      size_t count = g->cols - col < CHUNK ? g->cols - col : CHUNK;
      copy_strided(buffer, (ptrdiff_t)bytes, s + (ptrdiff_t)col * g->cs, g->cs, count, bytes);
      widen(d + (size_t)col * to, buffer, count);
    }
  }
}

static void store_packed(const tvi_tile_args_t* g, int is_float) {
  const size_t step = (g->scalars & 1u) ? 0 : 4;
  for (uint32_t row = 0; row < g->rows; ++row) {
    const char* s = g->s[0] + (ptrdiff_t)row * g->ss[0];
    int64_t at = g->imm + (int64_t)row * g->ds;
    for (uint32_t col = 0; col < g->cols; ++col, at += g->cs) {
      if (is_float) {
        tvi_dtype_write_f64(g->aux, g->d, at, *(const float*)(s + col * step));
      } else {
        tvi_dtype_write_i64(g->aux, g->d, at, *(const int32_t*)(s + col * step));
      }
    }
  }
}

void tvi_tile_run_store(const tvi_tile_args_t* g) {
  const tvi_tile_kernel_table_t* table = g->extra;
  const uint32_t dtype = g->aux;
  const uint32_t bytes = tvi_dtype_bytes(dtype);
  if (bytes == 0) {
    store_packed(g, dtype == TRIVET_DTYPE_F4E2M1);
    return;
  }
  void (*narrow)(void*, const void*, size_t) =
      table->narrow[dtype] ? table->narrow[dtype] : tvi_tile_kernels_plain.narrow[dtype];
  const uint32_t from = bytes == 8 ? 8 : 4;
  const int is_scalar = (g->scalars & 1u) != 0;
  char buffer[CHUNK * 8], splat[CHUNK * 8];
  for (uint32_t row = 0; row < g->rows; ++row) {
    const char* s = g->s[0] + (ptrdiff_t)row * g->ss[0];
    char* d = g->d + (ptrdiff_t)row * g->ds;
    if (!is_scalar && g->cs == (ptrdiff_t)bytes) {
      narrow(d, s, g->cols);
      continue;
    }
    if (is_scalar)
      copy_strided(splat, (ptrdiff_t)from, s, 0, g->cols < CHUNK ? g->cols : CHUNK, from);
    for (uint32_t col = 0; col < g->cols; col += CHUNK) {
      size_t count = g->cols - col < CHUNK ? g->cols - col : CHUNK;
      narrow(buffer, is_scalar ? splat : s + (size_t)col * from, count);
      copy_strided(d + (ptrdiff_t)col * g->cs, g->cs, buffer, (ptrdiff_t)bytes, count, bytes);
    }
  }
}

// ---------------------------------------------------------------------------------------------
// Checked loads
// ---------------------------------------------------------------------------------------------

// Cuts [*first, *last) to where 0 <= value + i * step < extent.
static void cut_interval(int64_t value, int64_t step, int64_t extent, int64_t* first,
                         int64_t* last) {
  int64_t low = *first, high = *last;
  if (step == 0) {
    if (value < 0 || value >= extent) high = low;
  } else {
    // Steps and values are bounded by extents that were checked at prepare; the loops of a tile are
    // short, so no product here overflows.
    if (step < 0) {
      value = value + (low + high - 1) * step;  // walk backwards
      step = -step;
      int64_t mirror = low + high;
      int64_t begin = value >= 0 ? 0 : (-value + step - 1) / step;
      int64_t end = value >= extent ? 0 : (extent - value + step - 1) / step;
      if (begin < low) begin = low;
      if (end > high) end = high;
      if (end < begin) end = begin;
      *first = mirror - end;
      *last = mirror - begin;
      return;
    }
    int64_t begin = value >= 0 ? 0 : (-value + step - 1) / step;
    int64_t end = value >= extent ? 0 : (extent - value + step - 1) / step;
    if (begin > low) low = begin;
    if (end < high) high = end;
    if (high < low) high = low;
  }
  *first = low;
  *last = high;
}

static void fill_pad(const tvi_tile_args_t* g, uint32_t bytes) {
  const size_t step = (g->scalars >> 1 & 1u) ? 0 : bytes;
  for (uint32_t row = 0; row < g->rows; ++row)
    copy_strided(g->d + (ptrdiff_t)row * g->ds, bytes, g->s[1] + (ptrdiff_t)row * g->ss[1],
                 (ptrdiff_t)step, g->cols, bytes);
}

// Reads one position; false when it is out of bounds.
static int resolve(const tvi_tile_gather_t* gather, uint32_t row, uint32_t col,
                   int64_t* out_offset) {
  int64_t offset = 0;
  for (uint32_t i = 0; i < gather->condition_count; ++i) {
    const tvi_tile_condition_t* c = &gather->conditions[i];
    int64_t value = c->value + (int64_t)row * c->row + (int64_t)col * c->column;
    if (value < 0 || value >= c->extent) return 0;
  }
  for (uint32_t i = 0; i < gather->index_count; ++i) {
    const tvi_tile_gather_index_t* index = &gather->indices[i];
    int64_t value = *(const int64_t*)(index->data + (ptrdiff_t)row * index->row +
                                      (ptrdiff_t)col * index->column);
    if (index->wrap == TVI_TILE_WRAP_NEGATIVE) {
      if (value < 0) value += index->extent;
    } else if (index->wrap == TVI_TILE_WRAP_CLIP) {
      if (value >= index->extent) value = index->extent - 1;
      if (value < 0) value = 0;
    }
    if (value < 0 || value >= index->extent) return 0;
    offset += value * index->stride;
  }
  *out_offset = offset;
  return 1;
}

void tvi_tile_run_gather(const tvi_tile_args_t* g) {
  const tvi_tile_gather_t* gather = g->extra;
  tvi_tile_args_t part = *g;
  part.extra = gather->table;
  if (gather->is_padded) fill_pad(g, gather->register_bytes);

  // The part of the tile that is in bounds, where conditions depend on rows or on columns alone and
  // indices are the same for a whole row.
  int64_t row0 = 0, row1 = g->rows, col0 = 0, col1 = g->cols;
  int by_row = 1;
  for (uint32_t i = 0; i < gather->index_count; ++i) by_row &= gather->indices[i].column == 0;
  for (uint32_t i = 0; by_row && i < gather->condition_count; ++i) {
    const tvi_tile_condition_t* c = &gather->conditions[i];
    if (c->column == 0) {
      cut_interval(c->value, c->row, c->extent, &row0, &row1);
    } else if (c->row == 0) {
      cut_interval(c->value, c->column, c->extent, &col0, &col1);
    } else {
      by_row = 0;
    }
  }
  const ptrdiff_t unit = gather->register_bytes;
  if (by_row) {
    if (row0 >= row1 || col0 >= col1) return;
    part.cols = (uint32_t)(col1 - col0);
    const int is_uniform = gather->index_count == 0;
    part.rows = is_uniform ? (uint32_t)(row1 - row0) : 1;
    for (int64_t row = row0; row < row1; row += is_uniform ? row1 - row0 : 1) {
      int64_t offset = 0;
      tvi_tile_gather_t only_indices = *gather;
      only_indices.condition_count = 0;
      if (!resolve(&only_indices, (uint32_t)row, 0, &offset)) {
        if (!gather->is_padded) *g->error = 1;
        if (!gather->is_padded)
          for (int64_t c = col0; c < col1; ++c)
            memset(g->d + row * g->ds + c * unit, 0, (size_t)unit);
        continue;
      }
      offset += row * g->ss[0] + col0 * g->cs;
      part.d = g->d + row * g->ds + col0 * unit;
      if (gather->element_bytes == 0) {
        part.imm = g->imm + offset;
      } else {
        part.s[0] = g->s[0] + offset;
      }
      tvi_tile_run_load(&part);
    }
    return;
  }
  part.rows = part.cols = 1;
  part.cs = 0;
  if (gather->element_bytes == 4 && gather->register_bytes == 4 &&
      (g->aux == TRIVET_DTYPE_F32 || g->aux == TRIVET_DTYPE_I32 || g->aux == TRIVET_DTYPE_U32)) {
    for (uint32_t row = 0; row < g->rows; ++row)
      for (uint32_t col = 0; col < g->cols; ++col) {
        int64_t offset;
        raw4_t* d = (raw4_t*)(g->d + (ptrdiff_t)row * g->ds + (ptrdiff_t)col * 4);
        if (resolve(gather, row, col, &offset)) {
          *d = *(const raw4_t*)(g->s[0] + offset + (ptrdiff_t)row * g->ss[0] +
                                (ptrdiff_t)col * g->cs);
        } else if (!gather->is_padded) {
          *g->error = 1;
          *d = 0;
        }
      }
    return;
  }
  for (uint32_t row = 0; row < g->rows; ++row)
    for (uint32_t col = 0; col < g->cols; ++col) {
      int64_t offset;
      part.d = g->d + (ptrdiff_t)row * g->ds + (ptrdiff_t)col * unit;
      if (!resolve(gather, row, col, &offset)) {
        if (!gather->is_padded) {
          *g->error = 1;
          memset(part.d, 0, (size_t)unit);
        }
        continue;
      }
      offset += (int64_t)row * g->ss[0] + (int64_t)col * g->cs;
      if (gather->element_bytes == 0) {
        part.imm = g->imm + offset;
      } else {
        part.s[0] = g->s[0] + offset;
        part.cs = gather->element_bytes;
      }
      tvi_tile_run_load(&part);
    }
}
