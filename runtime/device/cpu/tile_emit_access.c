// SPDX-License-Identifier: Apache-2.0
//
// Loads, stores and gathers as calls. A load or store of what is in register form already is none:
// its readers get the address. See tile_emitter.h.

#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "runtime/device/cpu/tile_emitter.h"

typedef tvi_tile_emitter_t emitter_t;
typedef tvi_tile_place_t place_t;
typedef tvi_tile_node_t node_t;

bool tvi_tile_same_as_register(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_F32 || dtype == TRIVET_DTYPE_F64 || dtype == TRIVET_DTYPE_I32 ||
         dtype == TRIVET_DTYPE_U32 || dtype == TRIVET_DTYPE_I64 || dtype == TRIVET_DTYPE_U64;
}

uint32_t tvi_tile_emitter_memory_dtype(const emitter_t* e, uint32_t slot) {
  const tvi_tile_slot_t* s = &e->binder->program->slots[slot];
  if (s->kind != TVI_TILE_SLOT_KEPT) return s->dtype;
  // Kept values stay in register form.
  switch (tvi_tile_type_of_dtype(s->dtype)) {
    case TVI_TILE_F32:
      return TRIVET_DTYPE_F32;
    case TVI_TILE_I32:
      return TRIVET_DTYPE_I32;
    default:
      return s->dtype;
  }
}

// Can the readers of this load read memory themselves?
bool tvi_tile_emitter_load_is_alias(const emitter_t* e, uint32_t access_index, uint32_t shape) {
  const tvi_tile_access_layout_t* access = &e->layout->accesses[access_index];
  const uint32_t slot = e->binder->program->accesses[e->phase->access_first + access_index].slot;
  const uint32_t dtype = tvi_tile_emitter_memory_dtype(e, slot);
  if (tvi_tile_access_is_checked(access) || !tvi_tile_same_as_register(dtype)) return false;
  const int64_t bytes = tvi_dtype_bytes(dtype);
  if (shape & TVI_TILE_COL) return access->col_stride == bytes;
  if (shape & TVI_TILE_ROW) return access->row_stride == bytes;
  return true;
}

// Memory side of a load or store entry. Packed elements: base in the pointer, position in imm.
static trivet_status_t set_memory(emitter_t* e, uint32_t index, uint32_t pointer_offset,
                                  uint32_t slot, const tvi_tile_access_layout_t* access) {
  uint32_t address;
  if (access->element_bytes == 0) {
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_address(e, slot, NULL, &address));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_patch(e, address, pointer_offset));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_address(e, TVI_TILE_NONE, &access->form, &address));
    return tvi_tile_emitter_patch(e, address, TVI_TILE_ENTRY_OFFSET(index, args.imm));
  }
  TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_address(e, slot, &access->form, &address));
  return tvi_tile_emitter_patch(e, address, pointer_offset);
}

static trivet_status_t emit_gather(emitter_t* e, uint32_t node_index, uint32_t access_index,
                                   uint32_t dtype) {
  const node_t* node = &e->nodes[node_index];
  const tvi_tile_access_t* access =
      &e->binder->program->accesses[e->phase->access_first + access_index];
  const tvi_tile_access_layout_t* layout = &e->layout->accesses[access_index];
  const uint32_t shape = node->shape;
  uint32_t index;
  TRIVET_RETURN_IF_ERROR(
      tvi_tile_emitter_entry(e, tvi_tile_run_gather, shape, node->depth, &index));
  e->entries.data[index].collapses = 0;
  TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_destination(e, index, shape, &node->place));
  TRIVET_RETURN_IF_ERROR(
      set_memory(e, index, TVI_TILE_ENTRY_OFFSET(index, args.s[0]), access->slot, layout));
  tvi_tile_args_t* args = &e->entries.data[index].args;
  args->ss[0] = tvi_tile_lane_row(shape, layout->row_stride);
  args->cs = tvi_tile_lane_col(shape, layout->row_stride, layout->col_stride);
  args->aux = dtype;
  if (access->bounds == TVI_TILE_BOUNDS_PAD)
    TRIVET_RETURN_IF_ERROR(
        tvi_tile_emitter_source(e, index, 1, shape, &e->nodes[access->pad].place, 0));
  e->entries.data[index].collapses = 0;
  TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_relocate(e, TVI_TILE_ENTRY_OFFSET(index, args.error),
                                                   TVI_TILE_RELOCATE_ERROR, 0));

  // The description, behind the entries.
  const size_t at = e->extra.count;
  const size_t conditions_at = at + sizeof(tvi_tile_gather_t);
  const size_t indices_at = conditions_at + layout->check_count * sizeof(tvi_tile_condition_t);
  const size_t end = indices_at + layout->index_count * sizeof(tvi_tile_gather_index_t);
  TRIVET_RETURN_IF_ERROR(tvi_vector_resize(&e->extra, end));
  TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_relocate(e, TVI_TILE_ENTRY_OFFSET(index, args.extra),
                                                   TVI_TILE_RELOCATE_IMAGE,
                                                   TVI_TILE_EXTRA_MARK | at));
  tvi_tile_gather_t gather;
  memset(&gather, 0, sizeof(gather));
  gather.table = e->table;
  gather.element_bytes = tvi_dtype_bytes(dtype);
  gather.register_bytes = node->place.bytes;
  gather.condition_count = layout->check_count;
  gather.index_count = layout->index_count;
  gather.is_padded = access->bounds == TVI_TILE_BOUNDS_PAD;
  memcpy(e->extra.data + at, &gather, sizeof(gather));
  TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_relocate(
      e, TVI_TILE_EXTRA_MARK | (uint32_t)(at + offsetof(tvi_tile_gather_t, conditions)),
      TVI_TILE_RELOCATE_IMAGE, TVI_TILE_EXTRA_MARK | conditions_at));
  TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_relocate(
      e, TVI_TILE_EXTRA_MARK | (uint32_t)(at + offsetof(tvi_tile_gather_t, indices)),
      TVI_TILE_RELOCATE_IMAGE, TVI_TILE_EXTRA_MARK | indices_at));
  const uint32_t row_loop = e->section->row_loop, col_loop = e->layout->col_loop;
  for (uint32_t i = 0; i < layout->check_count; ++i) {
    const tvi_tile_check_t* check = &layout->checks[i];
    const int64_t row = row_loop == TVI_TILE_NONE ? 0 : check->form.coefficients[row_loop];
    const int64_t col = col_loop == TVI_TILE_NONE ? 0 : check->form.coefficients[col_loop];
    tvi_tile_condition_t condition = {.row = tvi_tile_lane_row(shape, row),
                                      .column = tvi_tile_lane_col(shape, row, col),
                                      .extent = check->extent};
    const size_t condition_at = conditions_at + i * sizeof(condition);
    memcpy(e->extra.data + condition_at, &condition, sizeof(condition));
    uint32_t address;
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_address(e, TVI_TILE_NONE, &check->form, &address));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_patch(
        e, address,
        TVI_TILE_EXTRA_MARK | (uint32_t)(condition_at + offsetof(tvi_tile_condition_t, value))));
  }
  for (uint32_t i = 0; i < layout->index_count; ++i) {
    const uint32_t d = layout->indices[i];
    const place_t* place = &e->nodes[access->indices[d].ref].place;
    int64_t row = place->shape == (TVI_TILE_ROW | TVI_TILE_COL) ? place->row_stride
                  : place->shape == TVI_TILE_ROW                ? 8
                                                                : 0;
    int64_t col = place->shape & TVI_TILE_COL ? 8 : 0;
    if (shape == TVI_TILE_ROW) {
      col = row;
      row = 0;
    }
    tvi_tile_gather_index_t entry = {.row = row,
                                     .column = col,
                                     .stride = layout->strides[d],
                                     .extent = layout->dims[d],
                                     .wrap = access->indices[d].wrap};
    const size_t entry_at = indices_at + i * sizeof(entry);
    memcpy(e->extra.data + entry_at, &entry, sizeof(entry));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_pointer(
        e, TVI_TILE_EXTRA_MARK | (uint32_t)(entry_at + offsetof(tvi_tile_gather_index_t, data)),
        place, 0));
  }
  return TRIVET_OK;
}

trivet_status_t tvi_tile_emit_load(emitter_t* e, uint32_t node_index, uint32_t access_index) {
  const node_t* node = &e->nodes[node_index];
  const tvi_tile_access_layout_t* layout = &e->layout->accesses[access_index];
  const uint32_t slot = e->binder->program->accesses[e->phase->access_first + access_index].slot;
  const uint32_t dtype = tvi_tile_emitter_memory_dtype(e, slot);
  if (tvi_tile_access_is_checked(layout)) return emit_gather(e, node_index, access_index, dtype);
  const uint32_t shape = node->shape;
  uint32_t index;
  TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_entry(e, tvi_tile_run_load, shape, node->depth, &index));
  TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_destination(e, index, shape, &node->place));
  TRIVET_RETURN_IF_ERROR(
      set_memory(e, index, TVI_TILE_ENTRY_OFFSET(index, args.s[0]), slot, layout));
  tvi_tile_entry_t* entry = &e->entries.data[index];
  entry->args.ss[0] = tvi_tile_lane_row(shape, layout->row_stride);
  entry->args.cs = tvi_tile_lane_col(shape, layout->row_stride, layout->col_stride);
  entry->args.aux = dtype;
  entry->args.extra = e->table;
  if (entry->args.ss[0] != entry->args.cs * (int64_t)e->cols) entry->collapses = 0;
  return TRIVET_OK;
}

// Stores a value along |shape|.
trivet_status_t tvi_tile_emit_store(emitter_t* e, const place_t* value, uint32_t access_index,
                                    uint32_t shape, uint32_t depth) {
  const tvi_tile_access_layout_t* layout = &e->layout->accesses[access_index];
  const uint32_t slot = e->binder->program->accesses[e->phase->access_first + access_index].slot;
  uint32_t index;
  TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_entry(e, tvi_tile_run_store, shape, depth, &index));
  TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_source(e, index, 0, shape, value, 0));
  TRIVET_RETURN_IF_ERROR(set_memory(e, index, TVI_TILE_ENTRY_OFFSET(index, args.d), slot, layout));
  tvi_tile_entry_t* entry = &e->entries.data[index];
  entry->args.ds = tvi_tile_lane_row(shape, layout->row_stride);
  entry->args.cs = tvi_tile_lane_col(shape, layout->row_stride, layout->col_stride);
  entry->args.aux = tvi_tile_emitter_memory_dtype(e, slot);
  entry->args.extra = e->table;
  if (entry->args.ds != entry->args.cs * (int64_t)e->cols) entry->collapses = 0;
  return TRIVET_OK;
}
