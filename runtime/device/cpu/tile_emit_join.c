// SPDX-License-Identifier: Apache-2.0
//
// Reductions and scans as calls: states in scratch memory, one join per tile, what remains of the
// lanes joined in the end. See tile_emitter.h.

#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "runtime/device/cpu/tile_emitter.h"

typedef tvi_tile_emitter_t emitter_t;
typedef tvi_tile_place_t place_t;
typedef tvi_tile_node_t node_t;
typedef tvi_tile_join_t join_t;

static uint32_t join_opcode(uint32_t join) {
  switch (join) {
    case TVI_TILE_JOIN_SUM:
      return TVI_TILE_OP_ADD;
    case TVI_TILE_JOIN_PROD:
      return TVI_TILE_OP_MUL;
    case TVI_TILE_JOIN_MIN:
      return TVI_TILE_OP_MIN;
    case TVI_TILE_JOIN_MAX:
      return TVI_TILE_OP_MAX;
    case TVI_TILE_JOIN_OR:
      return TVI_TILE_OP_OR;
    default:
      return TVI_TILE_OP_AND;
  }
}

static void fix_columns(emitter_t* e, uint32_t index, uint32_t cols) {
  tvi_tile_entry_t* entry = &e->entries.data[index];
  if (cols == 0) return;
  entry->shape = TVI_TILE_SHAPE_FIXED;
  entry->collapses = 0;
  entry->fixed_cols = cols;
}

// One join of the state with |right|, displaced by |displacement| bytes; |cols| not 0: so many
// columns instead of the tile's.
static trivet_status_t emit_join(emitter_t* e, const join_t* join, const place_t* right,
                                 uint64_t displacement_columns, uint32_t cols, uint32_t depth) {
  const tvi_tile_sink_t* sink = join->sink;
  const uint32_t shape = cols ? (TVI_TILE_ROW | TVI_TILE_COL) : e->tile_shape;
  uint32_t index;
  if (sink->join < TVI_TILE_JOIN_BODY) {
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_entry(
        e, tvi_tile_kernel_find(e->isa, join_opcode(sink->join), join->types[0], join->types[0]),
        shape, depth, &index));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_destination(e, index, shape, &join->states[0]));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_source(e, index, 0, shape, &join->states[0], 0));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_source(e, index, 1, shape, &right[0],
                                                   displacement_columns * right[0].bytes));
    fix_columns(e, index, cols);
    return TRIVET_OK;
  }
  const tvi_tile_instr_t* body = e->binder->program->instrs + sink->join_first;
  place_t* places;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(e->binder->temporary, sink->join_count,
                                                      sizeof(*places), &places));
  bool* is_taken;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(e->binder->temporary, sink->join_count,
                                                      sizeof(*is_taken), &is_taken));
  uint64_t* displacements;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(e->binder->temporary, sink->join_count,
                                                      sizeof(*displacements), &displacements));
  for (uint32_t i = 0; i < sink->join_count; ++i) {
    const tvi_tile_instr_t* instr = &body[i];
    if (instr->opcode == TVI_TILE_OP_CONST) {
      TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_constant(e, instr->type, instr->imm, &places[i]));
      continue;
    }
    if (instr->opcode == TVI_TILE_OP_ARG) {
      const bool is_right = instr->imm >= sink->count;
      places[i] = is_right ? right[instr->imm - sink->count] : join->states[instr->imm];
      if (is_right) displacements[i] = displacement_columns * places[i].bytes;
      continue;
    }
    const uint32_t operands = tvi_tile_opcode_info(instr->opcode, NULL);
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_place(
        e, e->tile_shape, tvi_tile_type_bytes(tvi_tile_result_type(instr)), &places[i]));
    is_taken[i] = true;
    TRIVET_RETURN_IF_ERROR(
        tvi_tile_emitter_entry(e,
                               tvi_tile_kernel_find(e->isa, instr->opcode, instr->type,
                                                    tvi_tile_result_type(&body[instr->args[0]])),
                               shape, depth, &index));
    e->entries.data[index].args.aux = instr->aux;
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_destination(e, index, shape, &places[i]));
    for (uint32_t a = 0; a < operands; ++a)
      TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_source(e, index, a, shape, &places[instr->args[a]],
                                                     displacements[instr->args[a]]));
    fix_columns(e, index, cols);
  }
  // Results that are operands must survive the first copies: copy through temporaries.
  place_t results[TVI_TILE_MAX_STATE];
  bool is_copied[TVI_TILE_MAX_STATE] = {false};
  for (uint32_t s = 0; s < sink->count; ++s) {
    const uint32_t result = sink->join_results[s];
    results[s] = places[result];
    if (is_taken[result] || results[s].kind == TVI_TILE_PLACE_CONSTANT) continue;
    place_t copy;
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_place(e, e->tile_shape, results[s].bytes, &copy));
    TRIVET_RETURN_IF_ERROR(
        tvi_tile_emitter_entry(e, tvi_tile_copy_find(e->isa, copy.bytes), shape, depth, &index));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_destination(e, index, shape, &copy));
    TRIVET_RETURN_IF_ERROR(
        tvi_tile_emitter_source(e, index, 0, shape, &results[s], displacements[result]));
    fix_columns(e, index, cols);
    results[s] = copy;
    is_copied[s] = true;
  }
  for (uint32_t s = 0; s < sink->count; ++s) {
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_entry(
        e, tvi_tile_copy_find(e->isa, join->states[s].bytes), shape, depth, &index));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_destination(e, index, shape, &join->states[s]));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_source(e, index, 0, shape, &results[s], 0));
    fix_columns(e, index, cols);
  }
  for (uint32_t s = 0; s < sink->count; ++s)
    if (is_copied[s])
      TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_give(
          e, results[s].offset, tvi_tile_emitter_elements(e, results[s].shape) * results[s].bytes));
  for (uint32_t i = 0; i < sink->join_count; ++i)
    if (is_taken[i])
      TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_give(
          e, places[i].offset, tvi_tile_emitter_elements(e, places[i].shape) * places[i].bytes));
  return TRIVET_OK;
}

// May the state be built up in the memory that takes the result? Not in operands: a caller may let
// outputs lie on inputs, which are read until the last join.
static bool state_goes_to_memory(const emitter_t* e, const tvi_tile_sink_t* sink,
                                 const join_t* join) {
  if (sink->kind != TVI_TILE_SINK_REDUCE || sink->count != 1 ||
      sink->accesses[0] == TVI_TILE_NONE || sink->join >= TVI_TILE_JOIN_BODY ||
      (e->col_is_reduced && !join->by_row))
    return false;
  const tvi_tile_access_layout_t* access = &e->layout->accesses[sink->accesses[0]];
  const uint32_t slot =
      e->binder->program->accesses[e->phase->access_first + sink->accesses[0]].slot;
  const uint32_t dtype = tvi_tile_emitter_memory_dtype(e, slot);
  if (slot < e->binder->program->operand_count || !tvi_tile_same_as_register(dtype)) return false;
  const int64_t bytes = tvi_dtype_bytes(dtype);
  const uint32_t shape = join->by_row ? e->tile_shape & TVI_TILE_ROW : e->tile_shape;
  return shape & TVI_TILE_COL   ? access->col_stride == bytes
         : shape & TVI_TILE_ROW ? access->row_stride == bytes
                                : true;
}

// The product or square that a sum takes and nobody else: the join computes it.
void tvi_tile_join_absorb(emitter_t* e, const tvi_tile_sink_t* sink, const join_t* join) {
  if (sink->join != TVI_TILE_JOIN_SUM || join->types[0] != TVI_TILE_F32 ||
      e->layout->is_empty_reduction)
    return;
  node_t* node = &e->nodes[sink->values[0]];
  const tvi_tile_instr_t* instr = &e->instrs[sink->values[0]];
  if (node->use_count != 1 || node->depth != e->level_count) return;
  if (join->by_row) {
    node->is_joined =
        node->shape & TVI_TILE_COL && tvi_tile_row_sum_find(e->isa, instr->opcode) != NULL;
  } else if (!e->col_is_reduced) {
    node->is_joined = instr->opcode == TVI_TILE_OP_MUL;
  }
}

trivet_status_t tvi_tile_join_prepare(emitter_t* e, const tvi_tile_sink_t* sink, join_t* join) {
  memset(join, 0, sizeof(*join));
  join->sink = sink;
  join->width = e->cols;
  for (uint32_t v = 0; v < sink->count; ++v)
    join->types[v] = tvi_tile_result_type(&e->instrs[sink->values[v]]);
  if (e->col_is_reduced) {
    join->by_row = sink->join <= TVI_TILE_JOIN_MAX && join->types[0] == TVI_TILE_F32 &&
                   e->nodes[sink->values[0]].shape & TVI_TILE_COL &&
                   tvi_tile_row_reduce_find(e->isa, sink->join) != NULL &&
                   sink->join != TVI_TILE_JOIN_PROD;
    for (join->width = 1; join->width < e->cols;) join->width *= 2;
  }
  if (state_goes_to_memory(e, sink, join)) {
    join->in_memory = true;
    const tvi_tile_access_layout_t* access = &e->layout->accesses[sink->accesses[0]];
    place_t* place = &join->states[0];
    memset(place, 0, sizeof(*place));
    place->kind = TVI_TILE_PLACE_MEMORY;
    place->bytes = tvi_tile_type_bytes(join->types[0]);
    place->shape = join->by_row ? e->tile_shape & TVI_TILE_ROW : e->tile_shape;
    place->row_stride = access->row_stride;
    return tvi_tile_emitter_address(
        e, e->binder->program->accesses[e->phase->access_first + sink->accesses[0]].slot,
        &access->form, &place->address);
  }
  for (uint32_t v = 0; v < sink->count; ++v) {
    place_t* place = &join->states[v];
    memset(place, 0, sizeof(*place));
    place->kind = TVI_TILE_PLACE_SCRATCH;
    place->bytes = tvi_tile_type_bytes(join->types[v]);
    place->shape = join->by_row ? e->tile_shape & TVI_TILE_ROW : e->tile_shape;
    place->row_stride = (int64_t)join->width * place->bytes;
    const uint64_t rows = place->shape & TVI_TILE_ROW ? e->rows : 1;
    const uint64_t cols = place->shape & TVI_TILE_COL ? join->width : 1;
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_take(e, rows * cols * place->bytes, &place->offset));
  }
  return TRIVET_OK;
}

trivet_status_t tvi_tile_join_init(emitter_t* e, const join_t* join) {
  for (uint32_t v = 0; v < join->sink->count; ++v) {
    place_t identity;
    uint32_t index;
    TRIVET_RETURN_IF_ERROR(
        tvi_tile_emitter_constant(e, join->types[v], join->sink->identity[v], &identity));
    const place_t* state = &join->states[v];
    const bool is_wide = e->col_is_reduced && !join->by_row;
    const uint32_t shape = is_wide ? (TVI_TILE_ROW | TVI_TILE_COL) : state->shape;
    TRIVET_RETURN_IF_ERROR(
        tvi_tile_emitter_entry(e, tvi_tile_copy_find(e->isa, state->bytes), shape, 0, &index));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_destination(e, index, shape, state));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_source(e, index, 0, shape, &identity, 0));
    fix_columns(e, index, is_wide ? join->width : 0);
  }
  return TRIVET_OK;
}

trivet_status_t tvi_tile_join_step(emitter_t* e, const join_t* join) {
  const tvi_tile_sink_t* sink = join->sink;
  const node_t* taken = &e->nodes[sink->values[0]];
  const tvi_tile_instr_t* instr = &e->instrs[sink->values[0]];
  if (taken->is_joined && !join->by_row) {
    uint32_t index;
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_entry(
        e, tvi_tile_kernel_find(e->isa, TVI_TILE_OP_MULADD, TVI_TILE_F32, TVI_TILE_F32),
        e->tile_shape, e->level_count, &index));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_destination(e, index, e->tile_shape, &join->states[0]));
    for (uint32_t a = 0; a < 2; ++a)
      TRIVET_RETURN_IF_ERROR(
          tvi_tile_emitter_source(e, index, a, e->tile_shape, &e->nodes[instr->args[a]].place, 0));
    return tvi_tile_emitter_source(e, index, 2, e->tile_shape, &join->states[0], 0);
  }
  if (!join->by_row) {
    place_t right[TVI_TILE_MAX_STATE];
    for (uint32_t v = 0; v < sink->count; ++v) right[v] = e->nodes[sink->values[v]].place;
    return emit_join(e, join, right, 0, 0, e->level_count);
  }
  uint32_t index;
  const tvi_tile_run_t run = taken->is_joined ? tvi_tile_row_sum_find(e->isa, instr->opcode)
                                              : tvi_tile_row_reduce_find(e->isa, sink->join);
  TRIVET_RETURN_IF_ERROR(
      tvi_tile_emitter_entry(e, run, TVI_TILE_ROW | TVI_TILE_COL, e->level_count, &index));
  for (uint32_t a = 0; taken->is_joined && a < 2; ++a)
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_source(e, index, a, TVI_TILE_ROW | TVI_TILE_COL,
                                                   &e->nodes[instr->args[a]].place, 0));
  if (!taken->is_joined)
    TRIVET_RETURN_IF_ERROR(
        tvi_tile_emitter_source(e, index, 0, TVI_TILE_ROW | TVI_TILE_COL, &taken->place, 0));
  TRIVET_RETURN_IF_ERROR(
      tvi_tile_emitter_pointer(e, TVI_TILE_ENTRY_OFFSET(index, args.d), &join->states[0], 0));
  e->entries.data[index].args.ds = join->states[0].bytes;
  e->entries.data[index].collapses = 0;
  return TRIVET_OK;
}

// The state becomes one value per row (columns are reduced) and is stored.
trivet_status_t tvi_tile_join_final(emitter_t* e, join_t* join) {
  const tvi_tile_sink_t* sink = join->sink;
  uint32_t shape = e->tile_shape;
  if (e->col_is_reduced) {
    shape &= TVI_TILE_ROW;
    if (!join->by_row) {
      // Lanes that got no point take no part: what a join makes of identities is not known.
      uint32_t filled = e->cols;
      for (uint32_t half = join->width / 2; half > 0; half /= 2) {
        TRIVET_RETURN_IF_ERROR(emit_join(e, join, join->states, half, filled - half, 0));
        filled = half;
      }
      for (uint32_t v = 0; v < sink->count; ++v) {
        place_t packed = join->states[v];
        packed.shape = shape;
        if (shape & TVI_TILE_ROW) {
          TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_place(e, TVI_TILE_ROW, packed.bytes, &packed));
          uint32_t index;
          TRIVET_RETURN_IF_ERROR(
              tvi_tile_emitter_entry(e, tvi_tile_run_load, TVI_TILE_ROW, 0, &index));
          TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_destination(e, index, TVI_TILE_ROW, &packed));
          TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_pointer(
              e, TVI_TILE_ENTRY_OFFSET(index, args.s[0]), &join->states[v], 0));
          tvi_tile_args_t* args = &e->entries.data[index].args;
          args->cs = join->states[v].row_stride;
          args->aux = packed.bytes == 8 ? TRIVET_DTYPE_I64 : TRIVET_DTYPE_I32;
          args->extra = e->table;
        }
        join->states[v] = packed;
      }
    }
  }
  for (uint32_t v = 0; !join->in_memory && v < sink->count; ++v)
    if (sink->accesses[v] != TVI_TILE_NONE)
      TRIVET_RETURN_IF_ERROR(tvi_tile_emit_store(e, &join->states[v], sink->accesses[v], shape, 0));
  return TRIVET_OK;
}
