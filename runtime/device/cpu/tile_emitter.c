// SPDX-License-Identifier: Apache-2.0
//
// What emission of every kind stands on: registers in the thread's scratch memory, addresses that
// follow the loops, entries and where their operands lie. See tile_emitter.h.

#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "runtime/device/cpu/tile_emitter.h"

typedef tvi_tile_emitter_t emitter_t;
typedef tvi_tile_place_t place_t;
typedef tvi_tile_free_block_t free_block_t;
typedef tvi_tile_patch_t patch_t;

// ---------------------------------------------------------------------------------------------
// Scratch
// ---------------------------------------------------------------------------------------------

static uint64_t round_64(uint64_t bytes) { return (bytes + 63) & ~(uint64_t)63; }

trivet_status_t tvi_tile_emitter_take(emitter_t* e, uint64_t bytes, uint64_t* out_offset) {
  bytes = round_64(bytes);
  for (size_t i = 0; i < e->free_blocks.count; ++i) {
    if (e->free_blocks.data[i].size != bytes) continue;
    *out_offset = e->free_blocks.data[i].offset;
    tvi_vector_remove_at(&e->free_blocks, i);
    return TRIVET_OK;
  }
  *out_offset = e->scratch;
  e->scratch += bytes;
  if (e->scratch > ((uint64_t)1 << 31))
    return TRIVET_STATUS(OUT_OF_RANGE, "tile program: needs more than 2 GiB of scratch memory");
  return TRIVET_OK;
}

trivet_status_t tvi_tile_emitter_give(emitter_t* e, uint64_t offset, uint64_t bytes) {
  free_block_t block = {offset, round_64(bytes)};
  return tvi_vector_push(&e->free_blocks, block);
}

uint64_t tvi_tile_emitter_elements(const emitter_t* e, uint32_t shape) {
  return (uint64_t)(shape & TVI_TILE_ROW ? e->rows : 1) * (shape & TVI_TILE_COL ? e->cols : 1);
}

trivet_status_t tvi_tile_emitter_place(emitter_t* e, uint32_t shape, uint32_t bytes, place_t* out) {
  memset(out, 0, sizeof(*out));
  out->kind = TVI_TILE_PLACE_SCRATCH;
  out->shape = shape;
  out->bytes = bytes;
  out->row_stride = (int64_t)bytes * e->cols;
  return tvi_tile_emitter_take(e, tvi_tile_emitter_elements(e, shape) * bytes, &out->offset);
}

// ---------------------------------------------------------------------------------------------
// Addresses
// ---------------------------------------------------------------------------------------------

// An address that follows |form|; loops of extent 1 have index 0.
trivet_status_t tvi_tile_emitter_address(emitter_t* e, uint32_t slot, const tvi_tile_form_t* form,
                                         uint32_t* out_address) {
  tvi_tile_address_t address = {
      .slot = slot, .term_first = (uint32_t)e->strides.count, .offset = form ? form->offset : 0};
  for (uint32_t l = 0; form && l < e->phase->loop_count; ++l) {
    if (form->coefficients[l] == 0 || e->layout->extents[l] == 1) continue;
    tvi_tile_stride_t stride = {.loop = l, .stride = form->coefficients[l]};
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&e->strides, stride));
    ++address.term_count;
    if (e->level_of_loop[l] > address.depth) address.depth = e->level_of_loop[l];
  }
  *out_address = (uint32_t)e->addresses.count;
  return tvi_vector_push(&e->addresses, address);
}

trivet_status_t tvi_tile_emitter_patch(emitter_t* e, uint32_t address, uint32_t offset) {
  patch_t patch = {address, offset};
  return tvi_vector_push(&e->patches, patch);
}

trivet_status_t tvi_tile_emitter_relocate(emitter_t* e, uint32_t offset, uint32_t kind,
                                          uint64_t value) {
  tvi_tile_relocation_t relocation = {offset, kind, value};
  return tvi_vector_push(&e->relocations, relocation);
}

// ---------------------------------------------------------------------------------------------
// Entries
// ---------------------------------------------------------------------------------------------

static uint32_t shape_code(uint32_t shape) {
  return shape == 0              ? TVI_TILE_SHAPE_ONE
         : shape == TVI_TILE_ROW ? TVI_TILE_SHAPE_ROWS
         : shape == TVI_TILE_COL ? TVI_TILE_SHAPE_COLS
                                 : TVI_TILE_SHAPE_FULL;
}

trivet_status_t tvi_tile_emitter_entry(emitter_t* e, tvi_tile_run_t run, uint32_t shape,
                                       uint32_t depth, uint32_t* out_index) {
  if (!run) return TRIVET_STATUS(UNIMPLEMENTED, "tile program: an instruction has no loop");
  tvi_tile_entry_t entry;
  memset(&entry, 0, sizeof(entry));
  entry.run = run;
  entry.shape = (uint8_t)shape_code(shape);
  entry.depth = (uint16_t)depth;
  entry.collapses = entry.shape == TVI_TILE_SHAPE_FULL;
  *out_index = (uint32_t)e->entries.count;
  return tvi_vector_push(&e->entries, entry);
}

// Sets a pointer field of an entry to where a value lies.
trivet_status_t tvi_tile_emitter_pointer(emitter_t* e, uint32_t offset, const place_t* place,
                                         uint64_t displacement) {
  switch (place->kind) {
    case TVI_TILE_PLACE_SCRATCH:
      return tvi_tile_emitter_relocate(e, offset, TVI_TILE_RELOCATE_SCRATCH,
                                       place->offset + displacement);
    case TVI_TILE_PLACE_MEMORY:
      return tvi_tile_emitter_patch(e, place->address, offset);
    case TVI_TILE_PLACE_CONSTANT: {
      // Written when the image exists: constants do not move.
      return tvi_tile_emitter_relocate(e, offset, 3, (uint64_t)(uintptr_t)place->constant);
    }
    default:
      return TRIVET_STATUS(INTERNAL, "tile program: a value without place");
  }
}

// Binds source |operand| of an entry of shape |shape| to a value.
trivet_status_t tvi_tile_emitter_source(emitter_t* e, uint32_t index, uint32_t operand,
                                        uint32_t shape, const place_t* place,
                                        uint64_t displacement) {
  tvi_tile_entry_t* entry = &e->entries.data[index];
  bool is_scalar;
  int64_t stride = 0;
  switch (shape) {
    case TVI_TILE_ROW | TVI_TILE_COL:
      is_scalar = !(place->shape & TVI_TILE_COL);
      if (place->shape == (TVI_TILE_ROW | TVI_TILE_COL)) stride = place->row_stride;
      if (place->shape == TVI_TILE_ROW) stride = place->bytes;
      if (is_scalar ? stride != 0 : stride != (int64_t)place->bytes * e->cols) entry->collapses = 0;
      break;
    case TVI_TILE_ROW:
      is_scalar = !(place->shape & TVI_TILE_ROW);
      break;
    case TVI_TILE_COL:
      is_scalar = !(place->shape & TVI_TILE_COL);
      break;
    default:
      is_scalar = true;
  }
  entry->args.ss[operand] = stride;
  if (is_scalar) entry->args.scalars |= 1u << operand;
  return tvi_tile_emitter_pointer(
      e, TVI_TILE_ENTRY_OFFSET(index, args.s[0]) + operand * (uint32_t)sizeof(char*), place,
      displacement);
}

trivet_status_t tvi_tile_emitter_destination(emitter_t* e, uint32_t index, uint32_t shape,
                                             const place_t* place) {
  tvi_tile_entry_t* entry = &e->entries.data[index];
  entry->args.ds = shape == (TVI_TILE_ROW | TVI_TILE_COL) ? place->row_stride : 0;
  if (shape == (TVI_TILE_ROW | TVI_TILE_COL) &&
      place->row_stride != (int64_t)place->bytes * e->cols)
    entry->collapses = 0;
  return tvi_tile_emitter_pointer(e, TVI_TILE_ENTRY_OFFSET(index, args.d), place, 0);
}

trivet_status_t tvi_tile_emitter_constant(emitter_t* e, uint32_t type, uint64_t bits,
                                          place_t* out) {
  memset(out, 0, sizeof(*out));
  uint64_t* memory;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc(e->binder->arena, sizeof(*memory), &memory));
  *memory = 0;
  if (tvi_tile_type_bytes(type) == 8) {
    memcpy(memory, &bits, 8);
  } else {
    uint32_t low = (uint32_t)bits;
    memcpy(memory, &low, 4);
  }
  out->kind = TVI_TILE_PLACE_CONSTANT;
  out->bytes = tvi_tile_type_bytes(type);
  out->constant = memory;
  return TRIVET_OK;
}
