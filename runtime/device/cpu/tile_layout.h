// SPDX-License-Identifier: Apache-2.0
//
// Between the two halves of binding: tile_layout.c checks accesses and chooses loops and axes,
// tile_emit*.c turn bodies into calls. Private to the tile interpreter.

#ifndef TRIVET_RUNTIME_DEVICE_CPU_TILE_LAYOUT_H_
#define TRIVET_RUNTIME_DEVICE_CPU_TILE_LAYOUT_H_

#include "runtime/device/cpu/tile_bind.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TVI_TILE_LOOPS TVI_TILE_MAX_LOOPS

// offset + sum of coefficients[l] * loop l, in numbers.
typedef struct tvi_tile_form_t {
  int64_t offset;
  int64_t coefficients[TVI_TILE_LOOPS];
} tvi_tile_form_t;

// A position that must be checked.
typedef struct tvi_tile_check_t {
  tvi_tile_form_t form;
  int64_t extent;
} tvi_tile_check_t;

// An access in numbers: form in bytes (elements of packed types) without register indices.
typedef struct tvi_tile_access_layout_t {
  tvi_tile_form_t form;  // kept slots: without outer loops
  uint32_t element_bytes;
  uint32_t is_kept;
  uint32_t is_store;
  uint32_t is_used;
  uint32_t check_count;
  uint32_t index_count;  // register indices
  tvi_tile_check_t* checks;
  uint32_t indices[TRIVET_MAX_RANK];  // dimension of each
  int64_t strides[TRIVET_MAX_RANK];   // of the slot, by dimension
  int64_t dims[TRIVET_MAX_RANK];
  int64_t row_stride, col_stride;  // when axes are chosen
} tvi_tile_access_layout_t;

typedef struct tvi_tile_phase_layout_t {
  const tvi_tile_phase_t* phase;
  int64_t extents[TVI_TILE_LOOPS];  // collapsed loops have 1
  tvi_tile_form_t* affines;
  uint8_t* affine_used;  // by an AFFINE instruction
  tvi_tile_access_layout_t* accesses;
  uint32_t is_dead;             // some parallel extent is 0
  uint32_t is_empty_reduction;  // some reduced extent is 0
  uint32_t has_scan;
  uint32_t is_serial;  // columns must not run along reduced loops
  uint32_t has_fold;   // lanes of a row are joined by a body in the end
  uint32_t own_count;  // own loops with extent above 1, parallel ones first
  uint32_t own_parallel;
  uint32_t own[TVI_TILE_LOOPS];
  uint32_t col_loop;  // TVI_TILE_NONE: none
  uint32_t cols;      // of a tile
} tvi_tile_phase_layout_t;

typedef struct tvi_tile_section_layout_t {
  const tvi_tile_section_t* section;
  uint32_t index;
  tvi_tile_phase_layout_t* phases;
  uint32_t outer_count;  // loops with extent above 1, slowest first
  uint32_t outer[TVI_TILE_LOOPS];
  int64_t extents[TVI_TILE_LOOPS];
  uint32_t is_dead;
  uint32_t row_loop, col_loop;  // TVI_TILE_NONE
  uint32_t rows, cols;
} tvi_tile_section_layout_t;

typedef struct tvi_tile_binder_t {
  const tvi_tile_program_t* program;
  const trivet_operand_t* operands;
  const int64_t* parameters;
  const tvi_tile_bind_options_t* options;
  tvi_arena_t* arena;  // of the bound program
  tvi_arena_t* temporary;
  tvi_tile_bound_t* bound;
  // By slot: element strides and extents. Kept ones: row-major over inner dimensions.
  int64_t (*slot_dims)[TRIVET_MAX_RANK];
  int64_t (*slot_strides)[TRIVET_MAX_RANK];
  int64_t* kept_inner;  // kept: elements of one outer point
} tvi_tile_binder_t;

// Extents, strides and sizes of all slots; workspace offsets of stored ones.
trivet_status_t tvi_tile_layout_slots(tvi_tile_binder_t* binder) TRIVET_MUST_USE;
// One section: checks its accesses, collapses its loops, chooses axes and tile sizes.
trivet_status_t tvi_tile_layout_section(tvi_tile_binder_t* binder, uint32_t index,
                                        tvi_tile_section_layout_t* out_layout) TRIVET_MUST_USE;
// What emission leaves to do per thread: images to copy, pointers to add a base to.
typedef struct tvi_tile_relocation_t {
  uint32_t offset;  // in the image
  uint32_t kind;    // TVI_TILE_RELOCATE_*
  uint64_t value;
} tvi_tile_relocation_t;
#define TVI_TILE_RELOCATE_SCRATCH 0u  // scratch of the thread + value
#define TVI_TILE_RELOCATE_IMAGE 1u    // image + value
#define TVI_TILE_RELOCATE_ERROR 2u    // the thread's error word
typedef struct tvi_tile_image_t {
  const char* bytes;
  uint32_t size;
  uint32_t relocation_count;
  const tvi_tile_relocation_t* relocations;
} tvi_tile_image_t;
// One phase to calls. |scratch| is what is taken of the scratch memory already (kept slots); it
// grows to what the phase needs.
trivet_status_t tvi_tile_emit_phase(tvi_tile_binder_t* binder,
                                    const tvi_tile_section_layout_t* section,
                                    tvi_tile_phase_layout_t* layout,
                                    tvi_tile_bound_phase_t* out_phase, tvi_tile_image_t* out_image,
                                    uint64_t* scratch) TRIVET_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_RUNTIME_DEVICE_CPU_TILE_LAYOUT_H_
