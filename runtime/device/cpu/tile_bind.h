// SPDX-License-Identifier: Apache-2.0
//
// A tile program bound to shapes: `tvi_tile_bind` checks every access against the operands it is
// given, orders and collapses loops, picks the axes that tiles run along, places registers and lays
// out one array of ready calls per phase and thread; `tvi_tile_run` walks them. Binding may
// allocate; running does not.

#ifndef TRIVET_RUNTIME_DEVICE_CPU_TILE_BIND_H_
#define TRIVET_RUNTIME_DEVICE_CPU_TILE_BIND_H_

#include "runtime/device/cpu/tile_kernels.h"
#include "runtime/device/cpu/tile_program.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_tile_bind_options_t {
  uint32_t isa;           // TVI_TILE_ISA_*; not above tvi_tile_isa_detect()
  uint32_t thread_count;  // most threads that a run may use; at least 1
} tvi_tile_bind_options_t;

// A bound program: belongs to one context, runs on one thread (and its executor) at a time.
typedef struct tvi_tile_bound_t tvi_tile_bound_t;

// Binds |program|, which must outlive the result. Operands and parameters are in the order of the
// program. Results do not depend on thread_count. OUT_OF_RANGE: an index leaves its operand;
// INVALID_ARGUMENT: operands are not what the program was compiled for.
trivet_status_t tvi_tile_bind(const tvi_tile_program_t* program, const trivet_operand_t* operands,
                              uint64_t operand_count, const int64_t* parameters,
                              uint64_t parameter_count, const tvi_tile_bind_options_t* options,
                              trivet_allocator_t allocator, uint64_t* out_workspace_size,
                              tvi_tile_bound_t** out_bound) TRIVET_MUST_USE;
void tvi_tile_bound_release(tvi_tile_bound_t* bound);

// Runs; |workspace| has the size that bind asked for, aligned to 64 bytes; |executor| may be NULL.
// OUT_OF_RANGE: an index read from data is out of bounds (outputs are then undefined).
trivet_status_t tvi_tile_run(tvi_tile_bound_t* bound, void* const* addresses, void* workspace,
                             trivet_executor_t* executor) TRIVET_MUST_USE;

// ---------------------------------------------------------------------------------------------
// Inside of a bound program, shared by tile_bind*.c and tile_run.c
// ---------------------------------------------------------------------------------------------

// How the rows and columns of a call follow those of the tile.
#define TVI_TILE_SHAPE_ONE 0u    // 1 x 1
#define TVI_TILE_SHAPE_ROWS 1u   // 1 x rows
#define TVI_TILE_SHAPE_COLS 2u   // 1 x cols
#define TVI_TILE_SHAPE_FULL 3u   // rows x cols
#define TVI_TILE_SHAPE_BLOCK 4u  // fixed_rows x fixed_cols

typedef struct tvi_tile_entry_t {
  tvi_tile_run_t run;
  tvi_tile_args_t args;
  uint8_t shape;
  uint8_t collapses;  // FULL tiles of full width are one row
  uint16_t depth;     // innermost level that it depends on
  uint32_t fixed_rows, fixed_cols;
} tvi_tile_entry_t;

// An address or an integer that follows the loops: base + sum of stride * index, written to
// |patches| of the thread's image whenever a level at or above |depth| moves.
typedef struct tvi_tile_address_t {
  uint32_t slot;  // TVI_TILE_NONE: an integer
  uint32_t depth;
  uint32_t term_first, term_count;
  uint32_t patch_first, patch_count;
  int64_t offset;
} tvi_tile_address_t;
typedef struct tvi_tile_stride_t {
  uint32_t loop;
  uint32_t reserved;
  int64_t stride;
} tvi_tile_stride_t;

typedef struct tvi_tile_level_t {
  uint32_t loop;
  uint32_t reverse;
  int64_t step;
  int64_t count;
  int64_t extent;
} tvi_tile_level_t;

typedef struct tvi_tile_bound_phase_t {
  uint32_t level_count;      // own loops that are walked one step at a time, parallel ones first
  uint32_t parallel_levels;  // of them; a change there begins a new reduction
  uint32_t is_empty_reduction;
  uint32_t col_level;  // level (from 1) that moves columns; 0: none
  uint32_t cols;       // of a tile; when |cols_from_outer| at most that
  uint32_t cols_from_outer;
  int64_t col_extent;
  tvi_tile_level_t levels[TVI_TILE_MAX_LOOPS];
  // Entries: [0, init_count), body, final.
  uint32_t init_count, body_count, final_count;
  uint32_t body_start[TVI_TILE_MAX_LOOPS + 2];     // by depth
  uint32_t address_start[TVI_TILE_MAX_LOOPS + 2];  // by depth
  uint32_t address_count;
  const tvi_tile_address_t* addresses;
  const tvi_tile_stride_t* strides;
  const uint32_t* patches;  // byte offsets into the image
  uint32_t image_size;
  uint32_t image_offset;  // in the thread's memory
} tvi_tile_bound_phase_t;

typedef struct tvi_tile_bound_section_t {
  uint32_t level_count;  // outer loops, slowest first, in steps
  uint32_t thread_count;
  int64_t tile_count;
  uint32_t row_loop;    // TVI_TILE_NONE: tiles have one row
  uint32_t col_loop;    // outer loop that gives columns, TVI_TILE_NONE: phases choose their own
  uint32_t rows, cols;  // of a tile
  int64_t row_extent, col_extent;
  tvi_tile_level_t levels[TVI_TILE_MAX_LOOPS];
  uint32_t phase_count;
  tvi_tile_bound_phase_t* phases;
} tvi_tile_bound_section_t;

typedef struct tvi_tile_thread_t {
  char* memory;       // images of all phases, then scratch
  char** bases;       // by slot
  uint32_t* extents;  // rows and columns that each phase's entries are set to
  uint32_t error;
  uint32_t reserved;
  int64_t indices[TVI_TILE_MAX_LOOPS];
} tvi_tile_thread_t;

struct tvi_tile_bound_t {
  trivet_allocator_t allocator;
  tvi_arena_t arena;
  const tvi_tile_program_t* program;
  uint32_t section_count;
  uint32_t thread_count;
  tvi_tile_bound_section_t* sections;
  uint64_t workspace_size;
  uint64_t* slot_offsets;  // stored: in the workspace; kept: in the thread's memory
  tvi_tile_thread_t* threads;
  uint64_t thread_memory_size;  // of each
  // Of the run in progress.
  uint32_t current_section;
};

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_RUNTIME_DEVICE_CPU_TILE_BIND_H_
