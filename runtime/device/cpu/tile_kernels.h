// SPDX-License-Identifier: Apache-2.0
//
// The loops behind tile instructions: one function per opcode and type, over a tile of rows times
// columns, in plain C (tile_generic*.c), AVX2 and AVX-512 (tile_vector_*.c). tile_bind.c picks
// them; nothing here knows loops, slots or shapes.

#ifndef TRIVET_RUNTIME_DEVICE_CPU_TILE_KERNELS_H_
#define TRIVET_RUNTIME_DEVICE_CPU_TILE_KERNELS_H_

#include <stddef.h>
#include <stdint.h>

#include "runtime/device/cpu/tile_format.h"

#ifdef __cplusplus
extern "C" {
#endif

// What one instruction works on. A source is a vector (its row has |cols| elements side by side)
// or, where bit i of |scalars| is set, one element per row. Strides between rows are in bytes, may
// be 0. Tiles may lie exactly on each other (in place), or not overlap.
typedef struct tvi_tile_args_t {
  char* d;
  const char* s[TVI_TILE_MAX_ARGS];
  ptrdiff_t ds;
  ptrdiff_t ss[TVI_TILE_MAX_ARGS];
  ptrdiff_t
      cs;  // loads and stores: bytes between columns in memory; AFFINE: see tvi_tile_run_affine
  int64_t imm;
  const void* extra;  // loads and stores: tvi_tile_kernel_table_t; gathers: tvi_tile_gather_t
  uint32_t* error;    // set to 1 when an index is out of bounds
  uint32_t rows;
  uint32_t cols;
  uint32_t scalars;
  uint32_t aux;  // element type of loads, stores, NARROW, ROUND_TO
} tvi_tile_args_t;

typedef void (*tvi_tile_run_t)(const tvi_tile_args_t* args);

// Instruction sets, each a superset of those before it.
#define TVI_TILE_ISA_PLAIN 0u
#define TVI_TILE_ISA_AVX2 1u    // with FMA and F16C
#define TVI_TILE_ISA_AVX512 2u  // F, BW, DQ, VL
// The best one of this processor.
uint32_t tvi_tile_isa_detect(void);

// The loop of an arithmetic opcode; |type| is the instruction's, |source_type| that of its first
// operand. NULL: there is none. |isa| must not exceed what the processor has.
tvi_tile_run_t tvi_tile_kernel_find(uint32_t isa, uint32_t opcode, uint32_t type,
                                    uint32_t source_type);

// Rows of f32 to one f32 each, joined to what |d| holds: s[0] is the tile, ds the step between
// results. |join| is TVI_TILE_JOIN_SUM, _MIN or _MAX.
tvi_tile_run_t tvi_tile_row_reduce_find(uint32_t isa, uint32_t join);

// The sum over rows of SUB_SQUARE or MUL, s[0] and s[1] being its operands, without storing it.
tvi_tile_run_t tvi_tile_row_sum_find(uint32_t isa, uint32_t opcode);

// Copies registers, elements of 4 or 8 bytes; also fills, with a scalar source.
tvi_tile_run_t tvi_tile_copy_find(uint32_t isa, uint32_t bytes);

// d[r][c] = imm + r * ss[0] + c * cs, all int64.
void tvi_tile_run_affine(const tvi_tile_args_t* args);

typedef struct tvi_tile_kernel_table_t tvi_tile_kernel_table_t;
// The sparse table of an instruction set, which |extra| of loads and stores points to.
const tvi_tile_kernel_table_t* tvi_tile_kernel_table(uint32_t isa);

// Memory at s[0] (rows ss[0] apart, columns cs apart) of element type aux to a register tile. For
// element types of less than a byte s[0] is the tensor's first element, imm the position of the
// tile's and strides count elements.
void tvi_tile_run_load(const tvi_tile_args_t* args);
// A register tile at s[0] (|scalars| may apply) to memory at d (rows ds apart, columns cs apart);
// packed types as for loads.
void tvi_tile_run_store(const tvi_tile_args_t* args);

// A load whose position must be checked, or is read from registers.
typedef struct tvi_tile_condition_t {
  int64_t value;        // of the tile's first element
  int64_t row, column;  // change per row, per column
  int64_t extent;       // in bounds: 0 <= value + r * row + c * column < extent
} tvi_tile_condition_t;
typedef struct tvi_tile_gather_index_t {
  const char* data;       // int64 register
  ptrdiff_t row, column;  // bytes
  int64_t stride;         // of the dimension in memory: bytes (elements of packed types)
  int64_t extent;
  uint32_t wrap;
  uint32_t reserved;
} tvi_tile_gather_index_t;
typedef struct tvi_tile_gather_t {
  const tvi_tile_kernel_table_t* table;
  uint32_t element_bytes;  // in memory; 0: packed
  uint32_t register_bytes;
  uint32_t condition_count;
  uint32_t index_count;
  uint32_t
      is_padded;  // s[1] (a source like any other) is the pad; otherwise out of bounds is an error
  uint32_t reserved;
  tvi_tile_condition_t* conditions;
  tvi_tile_gather_index_t* indices;
} tvi_tile_gather_t;
void tvi_tile_run_gather(const tvi_tile_args_t* args);

// Tables of the files behind the functions above: sparse, NULL where the plain loop serves.
struct tvi_tile_kernel_table_t {
  tvi_tile_run_t arithmetic[TVI_TILE_OPCODE_LIMIT][TVI_TILE_TYPE_COUNT];
  tvi_tile_run_t convert[TVI_TILE_TYPE_COUNT][TVI_TILE_TYPE_COUNT];  // [from][to]
  tvi_tile_run_t row_reduce[4];
  tvi_tile_run_t row_sum_square, row_sum_product;
  tvi_tile_run_t copy4, copy8;
  // Side by side: count elements of the type to registers and back; [27] by TRIVET_DTYPE_*.
  void (*widen[27])(void* d, const void* s, size_t count);
  void (*narrow[27])(void* d, const void* s, size_t count);
  // Rows and columns exchanged while copying 4-byte elements: d[r][c] = s[c][r].
  void (*transpose4)(char* d, ptrdiff_t ds, const char* s, ptrdiff_t ss, size_t rows, size_t cols);
};
extern const tvi_tile_kernel_table_t tvi_tile_kernels_plain;
extern const tvi_tile_kernel_table_t tvi_tile_kernels_avx2;
extern const tvi_tile_kernel_table_t tvi_tile_kernels_avx512;

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_RUNTIME_DEVICE_CPU_TILE_KERNELS_H_
