// SPDX-License-Identifier: Apache-2.0
//
// Second half of binding: the body of a phase becomes an array of ready calls. Instructions are
// ordered by the innermost level that they depend on, so that what does not change is not computed
// again; registers are placed in the thread's scratch memory; a load that is already in register
// form is not executed at all: its readers get the address; likewise a store.

#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "runtime/device/cpu/tile_emitter.h"

typedef tvi_tile_emitter_t emitter_t;
typedef tvi_tile_place_t place_t;
typedef tvi_tile_node_t node_t;
typedef tvi_tile_join_t join_t;

// ---------------------------------------------------------------------------------------------
// Body
// ---------------------------------------------------------------------------------------------

static trivet_status_t release_operand(emitter_t* e, uint32_t used, uint32_t position) {
  node_t* node = &e->nodes[used];
  if (node->place.kind != TVI_TILE_PLACE_SCRATCH || node->last_use != position) return TRIVET_OK;
  node->last_use = UINT32_MAX;  // once
  return tvi_tile_emitter_give(e, node->place.offset,
                               tvi_tile_emitter_elements(e, node->place.shape) * node->place.bytes);
}

static trivet_status_t place_result(emitter_t* e, uint32_t i) {
  node_t* node = &e->nodes[i];
  const uint32_t bytes = tvi_tile_type_bytes(tvi_tile_result_type(&e->instrs[i]));
  if (node->alias_sink == TVI_TILE_NONE)
    return tvi_tile_emitter_place(e, node->shape, bytes, &node->place);
  const tvi_tile_sink_t* sink = &e->binder->program->sinks[e->phase->sink_first + node->alias_sink];
  const tvi_tile_access_layout_t* access = &e->layout->accesses[sink->accesses[0]];
  memset(&node->place, 0, sizeof(node->place));
  node->place.kind = TVI_TILE_PLACE_MEMORY;
  node->place.shape = node->shape;
  node->place.bytes = bytes;
  node->place.row_stride = access->row_stride;
  return tvi_tile_emitter_address(
      e, e->binder->program->accesses[e->phase->access_first + sink->accesses[0]].slot,
      &access->form, &node->place.address);
}

static trivet_status_t emit_instr(emitter_t* e, uint32_t i) {
  node_t* node = &e->nodes[i];
  const tvi_tile_instr_t* instr = &e->instrs[i];
  const uint32_t operands = tvi_tile_opcode_info(instr->opcode, NULL);
  uint32_t index;
  switch (instr->opcode) {
    case TVI_TILE_OP_CONST:
      return tvi_tile_emitter_constant(e, instr->type, instr->imm, &node->place);
    case TVI_TILE_OP_AFFINE: {
      const tvi_tile_form_t* form = &e->layout->affines[instr->imm];
      const uint32_t row_loop = e->section->row_loop, col_loop = e->layout->col_loop;
      const int64_t row = row_loop == TVI_TILE_NONE ? 0 : form->coefficients[row_loop];
      const int64_t col = col_loop == TVI_TILE_NONE ? 0 : form->coefficients[col_loop];
      TRIVET_RETURN_IF_ERROR(place_result(e, i));
      TRIVET_RETURN_IF_ERROR(
          tvi_tile_emitter_entry(e, tvi_tile_run_affine, node->shape, node->depth, &index));
      TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_destination(e, index, node->shape, &node->place));
      tvi_tile_entry_t* entry = &e->entries.data[index];
      entry->args.ss[0] = tvi_tile_lane_row(node->shape, row);
      entry->args.cs = tvi_tile_lane_col(node->shape, row, col);
      entry->collapses = 0;
      uint32_t address;
      TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_address(e, TVI_TILE_NONE, form, &address));
      return tvi_tile_emitter_patch(e, address, TVI_TILE_ENTRY_OFFSET(index, args.imm));
    }
    case TVI_TILE_OP_LOAD: {
      const uint32_t access_index = (uint32_t)instr->imm;
      if (tvi_tile_emitter_load_is_alias(e, access_index, node->shape)) {
        const tvi_tile_access_layout_t* access = &e->layout->accesses[access_index];
        memset(&node->place, 0, sizeof(node->place));
        node->place.kind = TVI_TILE_PLACE_MEMORY;
        node->place.shape = node->shape;
        node->place.bytes = tvi_tile_type_bytes(instr->type);
        node->place.row_stride = access->row_stride;
        return tvi_tile_emitter_address(
            e, e->binder->program->accesses[e->phase->access_first + access_index].slot,
            &access->form, &node->place.address);
      }
      TRIVET_RETURN_IF_ERROR(place_result(e, i));
      return tvi_tile_emit_load(e, i, access_index);
    }
    default:
      break;
  }
  const uint32_t source_type = tvi_tile_result_type(&e->instrs[instr->args[0]]);
  // The result may take the place of an operand that ends here: calls read before they write.
  // An operand of another shape must not be overwritten while rows are left.
  for (uint32_t a = 0; a < operands; ++a) {
    const node_t* used = &e->nodes[instr->args[a]];
    if (used->place.shape == node->shape &&
        used->place.bytes == tvi_tile_type_bytes(tvi_tile_result_type(instr)))
      TRIVET_RETURN_IF_ERROR(release_operand(e, instr->args[a], node->position));
  }
  TRIVET_RETURN_IF_ERROR(place_result(e, i));
  TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_entry(
      e, tvi_tile_kernel_find(e->isa, instr->opcode, instr->type, source_type), node->shape,
      node->depth, &index));
  e->entries.data[index].args.aux = instr->aux;
  TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_destination(e, index, node->shape, &node->place));
  for (uint32_t a = 0; a < operands; ++a)
    TRIVET_RETURN_IF_ERROR(
        tvi_tile_emitter_source(e, index, a, node->shape, &e->nodes[instr->args[a]].place, 0));
  for (uint32_t a = 0; a < operands; ++a)
    TRIVET_RETURN_IF_ERROR(release_operand(e, instr->args[a], node->position));
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Image
// ---------------------------------------------------------------------------------------------

static int by_depth(const tvi_tile_entry_t* a, const tvi_tile_entry_t* b) {
  return (int)a->depth - (int)b->depth;
}

static trivet_status_t finish(emitter_t* e, tvi_tile_bound_phase_t* out,
                              tvi_tile_image_t* out_image) {
  tvi_arena_t* arena = e->binder->arena;
  const uint32_t entry_count = (uint32_t)e->entries.count;
  const uint32_t entries_size = (uint32_t)(entry_count * sizeof(tvi_tile_entry_t));
  for (uint32_t i = 1; i < e->body_count; ++i)
    if (by_depth(&e->entries.data[e->init_count + i - 1], &e->entries.data[e->init_count + i]) > 0)
      return TRIVET_STATUS(INTERNAL, "tile program: calls out of order");
  uint32_t depth = 0;
  for (uint32_t i = 0; i <= e->body_count; ++i) {
    const uint32_t until =
        i < e->body_count ? e->entries.data[e->init_count + i].depth : e->level_count + 1;
    while (depth <= until && depth <= e->level_count + 1) out->body_start[depth++] = i;
  }
  // Addresses by depth, each with its patches.
  tvi_tile_address_t* addresses;
  tvi_tile_stride_t* strides;
  uint32_t* patches;
  tvi_tile_relocation_t* relocations;
  char* bytes;
  const uint32_t size = entries_size + (uint32_t)e->extra.count;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, e->addresses.count, sizeof(*addresses), &addresses));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, e->strides.count, sizeof(*strides), &strides));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, e->patches.count, sizeof(*patches), &patches));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, e->relocations.count,
                                                      sizeof(*relocations), &relocations));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(arena, size, &bytes));
  if (e->strides.count) memcpy(strides, e->strides.data, e->strides.count * sizeof(*strides));
  uint32_t filled = 0, patched = 0;
  for (uint32_t level = 0; level <= e->level_count + 1; ++level) {
    out->address_start[level] = filled;
    for (uint32_t i = 0; i < e->addresses.count; ++i) {
      if (e->addresses.data[i].depth != level) continue;
      addresses[filled] = e->addresses.data[i];
      addresses[filled].patch_first = patched;
      for (uint32_t p = 0; p < e->patches.count; ++p) {
        if (e->patches.data[p].address != i) continue;
        uint32_t offset = e->patches.data[p].offset;
        patches[patched++] =
            offset & TVI_TILE_EXTRA_MARK ? (offset & ~TVI_TILE_EXTRA_MARK) + entries_size : offset;
      }
      addresses[filled].patch_count = patched - addresses[filled].patch_first;
      ++filled;
    }
  }
  if (entries_size) memcpy(bytes, e->entries.data, entries_size);
  if (e->extra.count) memcpy(bytes + entries_size, e->extra.data, e->extra.count);
  uint32_t relocation_count = 0;
  for (uint32_t i = 0; i < e->relocations.count; ++i) {
    tvi_tile_relocation_t r = e->relocations.data[i];
    if (r.offset & TVI_TILE_EXTRA_MARK) r.offset = (r.offset & ~TVI_TILE_EXTRA_MARK) + entries_size;
    if (r.kind == TVI_TILE_RELOCATE_IMAGE)
      r.value = (r.value & ~(uint64_t)TVI_TILE_EXTRA_MARK) + entries_size;
    if (r.kind == 3) {
      memcpy(bytes + r.offset, &r.value, sizeof(r.value));
      continue;
    }
    relocations[relocation_count++] = r;
  }
  out->init_count = e->init_count;
  out->body_count = e->body_count;
  out->final_count = entry_count - e->init_count - e->body_count;
  out->addresses = addresses;
  out->address_count = filled;
  out->strides = strides;
  out->patches = patches;
  out->image_size = size;
  out_image->bytes = bytes;
  out_image->size = size;
  out_image->relocations = relocations;
  out_image->relocation_count = relocation_count;
  return TRIVET_OK;
}

static trivet_status_t emit_calls(emitter_t* e) {
  const tvi_tile_sink_t* sinks = e->binder->program->sinks + e->phase->sink_first;
  const uint32_t sink_count = e->phase->sink_count;
  uint32_t* order;
  uint32_t order_count = 0;
  join_t* joins;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(e->binder->temporary, sink_count, sizeof(*joins), &joins));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(e->binder->temporary, e->phase->instr_count,
                                                      sizeof(*order), &order));
  if (!e->layout->is_empty_reduction) {
    TRIVET_RETURN_IF_ERROR(tvi_tile_emit_analyse(e, order, &order_count));
    tvi_tile_emit_alias_stores(e);
  }
  for (uint32_t s = 0; s < sink_count; ++s) {
    if (sinks[s].kind == TVI_TILE_SINK_STORE) continue;
    TRIVET_RETURN_IF_ERROR(tvi_tile_join_prepare(e, &sinks[s], &joins[s]));
    tvi_tile_join_absorb(e, &sinks[s], &joins[s]);
    TRIVET_RETURN_IF_ERROR(tvi_tile_join_init(e, &joins[s]));
  }
  e->init_count = (uint32_t)e->entries.count;
  for (uint32_t i = 0; i < order_count; ++i)
    if (!e->nodes[order[i]].is_joined) TRIVET_RETURN_IF_ERROR(emit_instr(e, order[i]));
  for (uint32_t s = 0; s < sink_count && !e->layout->is_empty_reduction; ++s) {
    const tvi_tile_sink_t* sink = &sinks[s];
    if (sink->kind == TVI_TILE_SINK_STORE) {
      const node_t* node = &e->nodes[sink->values[0]];
      if (node->alias_sink != s)
        TRIVET_RETURN_IF_ERROR(
            tvi_tile_emit_store(e, &node->place, sink->accesses[0], e->tile_shape, e->level_count));
      continue;
    }
    const bool is_scan = sink->kind == TVI_TILE_SINK_SCAN;
    const bool is_exclusive = is_scan && sink->scan_flags & TVI_TILE_SCAN_EXCLUSIVE;
    if (!is_exclusive) TRIVET_RETURN_IF_ERROR(tvi_tile_join_step(e, &joins[s]));
    for (uint32_t v = 0; is_scan && v < sink->count; ++v)
      if (sink->accesses[v] != TVI_TILE_NONE)
        TRIVET_RETURN_IF_ERROR(tvi_tile_emit_store(e, &joins[s].states[v], sink->accesses[v],
                                                   e->tile_shape, e->level_count));
    if (is_exclusive) TRIVET_RETURN_IF_ERROR(tvi_tile_join_step(e, &joins[s]));
  }
  e->body_count = (uint32_t)e->entries.count - e->init_count;
  for (uint32_t s = 0; s < sink_count; ++s)
    if (sinks[s].kind == TVI_TILE_SINK_REDUCE)
      TRIVET_RETURN_IF_ERROR(tvi_tile_join_final(e, &joins[s]));
  return TRIVET_OK;
}

// Levels of the phase: own parallel loops, then reduced ones (or that of a scan), the column loop
// last in its group.
static void set_levels(emitter_t* e, tvi_tile_bound_phase_t* out) {
  const tvi_tile_phase_layout_t* layout = e->layout;
  const uint32_t col = layout->col_loop;
  const bool own_col = col != TVI_TILE_NONE && e->section->col_loop == TVI_TILE_NONE;
  const bool cols_in_levels = own_col && layout->extents[col] > (int64_t)layout->cols;
  for (uint32_t group = 0; group < 2; ++group) {
    const uint32_t first = group ? layout->own_parallel : 0;
    const uint32_t last = group ? layout->own_count : layout->own_parallel;
    bool has_col = false;
    for (uint32_t i = first; i < last; ++i) {
      const uint32_t loop = layout->own[i];
      if (own_col && loop == col) {
        has_col = true;
        continue;
      }
      tvi_tile_level_t level = {
          .loop = loop, .step = 1, .count = layout->extents[loop], .extent = layout->extents[loop]};
      if (group && layout->has_scan)
        level.reverse = (e->binder->program->sinks[e->phase->sink_first].scan_flags &
                         TVI_TILE_SCAN_REVERSE) != 0;
      out->levels[e->level_count++] = level;
      e->level_of_loop[loop] = e->level_count;
    }
    if (has_col && group) e->col_is_reduced = 1;
    if (has_col && cols_in_levels) {
      tvi_tile_level_t level = {.loop = col,
                                .step = layout->cols,
                                .extent = layout->extents[col],
                                .count = (layout->extents[col] + layout->cols - 1) / layout->cols};
      out->levels[e->level_count++] = level;
      e->level_of_loop[col] = e->level_count;
      out->col_level = e->level_count;
    }
    if (group == 0) out->parallel_levels = e->level_count;
  }
  out->level_count = e->level_count;
  out->cols = layout->cols;
  out->cols_from_outer = e->section->col_loop != TVI_TILE_NONE;
  out->col_extent = col == TVI_TILE_NONE ? 1 : layout->extents[col];
  out->is_empty_reduction = layout->is_empty_reduction;
  e->parallel_levels = out->parallel_levels;
}

trivet_status_t tvi_tile_emit_phase(tvi_tile_binder_t* binder,
                                    const tvi_tile_section_layout_t* section,
                                    tvi_tile_phase_layout_t* layout,
                                    tvi_tile_bound_phase_t* out_phase, tvi_tile_image_t* out_image,
                                    uint64_t* scratch) {
  emitter_t e;
  memset(&e, 0, sizeof(e));
  e.binder = binder;
  e.section = section;
  e.layout = layout;
  e.phase = layout->phase;
  e.instrs = binder->program->instrs + layout->phase->instr_first;
  e.isa = binder->options->isa;
  e.table = tvi_tile_kernel_table(e.isa);
  e.rows = section->rows;
  e.cols = layout->cols;
  e.tile_shape = (section->row_loop != TVI_TILE_NONE ? TVI_TILE_ROW : 0) |
                 (layout->col_loop != TVI_TILE_NONE ? TVI_TILE_COL : 0);
  e.scratch = *scratch;
  const trivet_allocator_t allocator = binder->temporary->allocator;
  tvi_vector_init(&e.entries, allocator);
  tvi_vector_init(&e.addresses, allocator);
  tvi_vector_init(&e.strides, allocator);
  tvi_vector_init(&e.patches, allocator);
  tvi_vector_init(&e.relocations, allocator);
  tvi_vector_init(&e.extra, allocator);
  tvi_vector_init(&e.free_blocks, allocator);
  set_levels(&e, out_phase);
  trivet_status_t status = tvi_arena_alloc_array_zeroed(
      binder->temporary, layout->phase->instr_count, sizeof(*e.nodes), &e.nodes);
  if (!status) status = emit_calls(&e);
  if (!status) status = finish(&e, out_phase, out_image);
  tvi_vector_deinit(&e.entries);
  tvi_vector_deinit(&e.addresses);
  tvi_vector_deinit(&e.strides);
  tvi_vector_deinit(&e.patches);
  tvi_vector_deinit(&e.relocations);
  tvi_vector_deinit(&e.extra);
  tvi_vector_deinit(&e.free_blocks);
  if (!status) *scratch = e.scratch;
  return status;
}
