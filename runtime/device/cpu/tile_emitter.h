// SPDX-License-Identifier: Apache-2.0
//
// The emitter of one phase, shared by tile_emit.c (order, image), tile_emitter.c (registers,
// addresses, entries), tile_emit_access.c (loads and stores), tile_emit_analyse.c (what depends on
// what) and tile_emit_join.c (reductions and scans). Private to these files; it exists while a
// phase is bound.

#ifndef TRIVET_RUNTIME_DEVICE_CPU_TILE_EMITTER_H_
#define TRIVET_RUNTIME_DEVICE_CPU_TILE_EMITTER_H_

#include "core/base/vector.h"
#include "runtime/device/cpu/tile_layout.h"

#ifdef __cplusplus
extern "C" {
#endif

// Shapes of registers are masks of these.
#define TVI_TILE_ROW 1u
#define TVI_TILE_COL 2u

// Where the value of an instruction is.
typedef enum tvi_tile_place_kind_t {
  TVI_TILE_PLACE_NONE = 0,
  TVI_TILE_PLACE_SCRATCH,
  TVI_TILE_PLACE_CONSTANT,
  TVI_TILE_PLACE_MEMORY
} tvi_tile_place_kind_t;
typedef struct tvi_tile_place_t {
  tvi_tile_place_kind_t kind;
  uint32_t shape;    // TVI_TILE_ROW | TVI_TILE_COL: along what it varies
  uint32_t bytes;    // of an element
  uint32_t address;  // MEMORY
  uint64_t offset;   // SCRATCH
  const void* constant;
  int64_t row_stride;  // of FULL shapes
} tvi_tile_place_t;

typedef struct tvi_tile_node_t {
  uint32_t loops;  // bit mask of loops that it depends on
  uint32_t depth;
  uint32_t shape;
  uint32_t position;  // in the order of execution
  uint32_t last_use;  // position; UINT32_MAX: lives to the end
  uint32_t use_count;
  uint32_t alias_sink;  // store whose memory takes the result, TVI_TILE_NONE
  bool is_joined;       // computed by the join that takes it
  tvi_tile_place_t place;
} tvi_tile_node_t;

typedef struct tvi_tile_free_block_t {
  uint64_t offset, size;
} tvi_tile_free_block_t;

typedef struct tvi_tile_patch_t {
  uint32_t address;
  uint32_t offset;  // in the image
} tvi_tile_patch_t;

typedef struct tvi_tile_emitter_t {
  tvi_tile_binder_t* binder;
  const tvi_tile_section_layout_t* section;
  tvi_tile_phase_layout_t* layout;
  const tvi_tile_phase_t* phase;
  const tvi_tile_instr_t* instrs;
  const tvi_tile_kernel_table_t* table;
  uint32_t isa;
  uint32_t rows, cols;  // of a full tile
  uint32_t tile_shape;  // TVI_TILE_ROW, TVI_TILE_COL that the phase has
  uint32_t col_is_reduced;
  uint32_t level_of_loop[TVI_TILE_LOOPS];
  uint32_t level_count, parallel_levels;
  uint64_t scratch;  // used by registers that live on
  tvi_tile_node_t* nodes;
  TVI_VECTOR(tvi_tile_entry_t) entries;
  TVI_VECTOR(tvi_tile_address_t) addresses;
  TVI_VECTOR(tvi_tile_stride_t) strides;
  TVI_VECTOR(tvi_tile_patch_t) patches;
  TVI_VECTOR(tvi_tile_relocation_t) relocations;
  TVI_VECTOR(char) extra;  // gather descriptions, after the entries
  // Fields that wait for the image to be laid out: offsets into |extra|.
  TVI_VECTOR(tvi_tile_free_block_t) free_blocks;
  uint32_t init_count, body_count;
} tvi_tile_emitter_t;

// Offsets of patches and relocations into |extra| carry this mark until the entries are counted.
#define TVI_TILE_EXTRA_MARK 0x80000000u
#define TVI_TILE_ENTRY_OFFSET(index, field) \
  ((uint32_t)((index) * sizeof(tvi_tile_entry_t) + offsetof(tvi_tile_entry_t, field)))

// ---------------------------------------------------------------------------------------------
// Registers, addresses, entries
// ---------------------------------------------------------------------------------------------

// Scratch memory of the thread; blocks that were given back are taken again.
trivet_status_t tvi_tile_emitter_take(tvi_tile_emitter_t* e, uint64_t bytes,
                                      uint64_t* out_offset) TRIVET_MUST_USE;
trivet_status_t tvi_tile_emitter_give(tvi_tile_emitter_t* e, uint64_t offset,
                                      uint64_t bytes) TRIVET_MUST_USE;
// Elements of a register of |shape| in a full tile.
uint64_t tvi_tile_emitter_elements(const tvi_tile_emitter_t* e, uint32_t shape);
// A register of |shape|, elements of |bytes| bytes.
trivet_status_t tvi_tile_emitter_place(tvi_tile_emitter_t* e, uint32_t shape, uint32_t bytes,
                                       tvi_tile_place_t* out) TRIVET_MUST_USE;
// The bits as a place; elements of |type|.
trivet_status_t tvi_tile_emitter_constant(tvi_tile_emitter_t* e, uint32_t type, uint64_t bits,
                                          tvi_tile_place_t* out) TRIVET_MUST_USE;

// An address that follows |form| (NULL: none); loops of extent 1 have index 0.
trivet_status_t tvi_tile_emitter_address(tvi_tile_emitter_t* e, uint32_t slot,
                                         const tvi_tile_form_t* form,
                                         uint32_t* out_address) TRIVET_MUST_USE;
// |offset| of the image gets what |address| says.
trivet_status_t tvi_tile_emitter_patch(tvi_tile_emitter_t* e, uint32_t address,
                                       uint32_t offset) TRIVET_MUST_USE;
// |kind| is TVI_TILE_RELOCATE_*.
trivet_status_t tvi_tile_emitter_relocate(tvi_tile_emitter_t* e, uint32_t offset, uint32_t kind,
                                          uint64_t value) TRIVET_MUST_USE;

// A call of |run| over |shape|, to be run whenever level |depth| moves. UNIMPLEMENTED: |run| is
// NULL.
trivet_status_t tvi_tile_emitter_entry(tvi_tile_emitter_t* e, tvi_tile_run_t run, uint32_t shape,
                                       uint32_t depth, uint32_t* out_index) TRIVET_MUST_USE;
// Sets the pointer at |offset| of the image to where a value lies, |displacement| bytes further.
trivet_status_t tvi_tile_emitter_pointer(tvi_tile_emitter_t* e, uint32_t offset,
                                         const tvi_tile_place_t* place,
                                         uint64_t displacement) TRIVET_MUST_USE;
// Binds source |operand|, or the destination, of entry |index|, of shape |shape|, to a value.
trivet_status_t tvi_tile_emitter_source(tvi_tile_emitter_t* e, uint32_t index, uint32_t operand,
                                        uint32_t shape, const tvi_tile_place_t* place,
                                        uint64_t displacement) TRIVET_MUST_USE;
trivet_status_t tvi_tile_emitter_destination(tvi_tile_emitter_t* e, uint32_t index, uint32_t shape,
                                             const tvi_tile_place_t* place) TRIVET_MUST_USE;

// ---------------------------------------------------------------------------------------------
// Loads and stores
// ---------------------------------------------------------------------------------------------

// Is memory of this element type laid out as a register?
bool tvi_tile_same_as_register(uint32_t dtype);
// The element type in the memory of |slot|: kept values stay in register form.
uint32_t tvi_tile_emitter_memory_dtype(const tvi_tile_emitter_t* e, uint32_t slot);
// Must positions be looked at when the program runs?
static inline bool tvi_tile_access_is_checked(const tvi_tile_access_layout_t* access) {
  return access->check_count != 0 || access->index_count != 0;
}
// Can the readers of this load read memory themselves?
bool tvi_tile_emitter_load_is_alias(const tvi_tile_emitter_t* e, uint32_t access_index,
                                    uint32_t shape);
// Strides of a call of |shape| along which the tile has |row| and |col|.
static inline int64_t tvi_tile_lane_row(uint32_t shape, int64_t row) {
  return shape == (TVI_TILE_ROW | TVI_TILE_COL) ? row : 0;
}
static inline int64_t tvi_tile_lane_col(uint32_t shape, int64_t row, int64_t col) {
  return shape == TVI_TILE_ROW ? row : shape & TVI_TILE_COL ? col : 0;
}
trivet_status_t tvi_tile_emit_load(tvi_tile_emitter_t* e, uint32_t node_index,
                                   uint32_t access_index) TRIVET_MUST_USE;
// Stores a value along |shape|.
trivet_status_t tvi_tile_emit_store(tvi_tile_emitter_t* e, const tvi_tile_place_t* value,
                                    uint32_t access_index, uint32_t shape,
                                    uint32_t depth) TRIVET_MUST_USE;

// ---------------------------------------------------------------------------------------------
// Analysis
// ---------------------------------------------------------------------------------------------

// Fills the nodes: which instructions are needed, what they depend on, in what |order| they run.
trivet_status_t tvi_tile_emit_analyse(tvi_tile_emitter_t* e, uint32_t* order,
                                      uint32_t* out_count) TRIVET_MUST_USE;
// Finds stores whose memory may receive the result of their instruction directly.
void tvi_tile_emit_alias_stores(tvi_tile_emitter_t* e);

// ---------------------------------------------------------------------------------------------
// Joins
// ---------------------------------------------------------------------------------------------

typedef struct tvi_tile_join_t {
  const tvi_tile_sink_t* sink;
  uint32_t types[TVI_TILE_MAX_STATE];
  tvi_tile_place_t states[TVI_TILE_MAX_STATE];
  bool by_row;     // one f32 per row, reduced by one call
  bool in_memory;  // the state lies where the result goes
  uint32_t width;  // columns of the state; a power of two where columns are reduced
} tvi_tile_join_t;

// Places the states of |sink|.
trivet_status_t tvi_tile_join_prepare(tvi_tile_emitter_t* e, const tvi_tile_sink_t* sink,
                                      tvi_tile_join_t* join) TRIVET_MUST_USE;
// The product or square that a sum takes and nobody else: the join computes it.
void tvi_tile_join_absorb(tvi_tile_emitter_t* e, const tvi_tile_sink_t* sink,
                          const tvi_tile_join_t* join);
// The calls of a join: identities at the start of a reduction, one join per tile, and in the end
// one value per row, stored.
trivet_status_t tvi_tile_join_init(tvi_tile_emitter_t* e,
                                   const tvi_tile_join_t* join) TRIVET_MUST_USE;
trivet_status_t tvi_tile_join_step(tvi_tile_emitter_t* e,
                                   const tvi_tile_join_t* join) TRIVET_MUST_USE;
trivet_status_t tvi_tile_join_final(tvi_tile_emitter_t* e, tvi_tile_join_t* join) TRIVET_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_RUNTIME_DEVICE_CPU_TILE_EMITTER_H_
