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

// ---------------------------------------------------------------------------------------------
// One join
// ---------------------------------------------------------------------------------------------

// A join that is emitted: states |left| become left joined with |right|.
typedef struct application_t {
  const tvi_tile_sink_t* sink;
  const place_t* left;
  const place_t* right;
  uint64_t right_shift;  // elements that |right| lies further
  uint32_t span;         // elements side by side; 0: the tile, along the shapes of the operands
  uint32_t depth;
  // By instruction of the body: where its value is, how far from there, the last to read it.
  place_t* places;
  bool* is_right;
  uint32_t* last_use;
} application_t;

static const tvi_tile_instr_t* join_body(const emitter_t* e, const tvi_tile_sink_t* sink) {
  return e->binder->program->instrs + sink->join_first;
}

static bool is_left(const application_t* a, const tvi_tile_instr_t* instr, uint32_t state) {
  return instr->opcode == TVI_TILE_OP_ARG && instr->imm == state && state < a->sink->count;
}

// A call over |shape|, or over the span.
static trivet_status_t new_call(emitter_t* e, const application_t* a, tvi_tile_run_t run,
                                uint32_t shape, uint32_t* out_index) {
  TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_entry(e, run, shape, a->depth, out_index));
  if (a->span == 0) return TRIVET_OK;
  tvi_tile_entry_t* entry = &e->entries.data[*out_index];
  entry->shape = TVI_TILE_SHAPE_BLOCK;
  entry->fixed_rows = 1;
  entry->fixed_cols = a->span;
  return TRIVET_OK;
}

static trivet_status_t set_operand(emitter_t* e, const application_t* a, uint32_t index,
                                   uint32_t operand, uint32_t shape, uint32_t ref) {
  const place_t* place = &a->places[ref];
  return tvi_tile_emitter_source(e, index, operand, shape, place,
                                 a->is_right[ref] ? a->right_shift * place->bytes : 0);
}

static trivet_status_t emit_copy(emitter_t* e, const application_t* a, const place_t* from,
                                 uint64_t displacement, const place_t* to) {
  uint32_t index;
  TRIVET_RETURN_IF_ERROR(new_call(e, a, tvi_tile_copy_find(e->isa, to->bytes), to->shape, &index));
  TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_destination(e, index, to->shape, to));
  return tvi_tile_emitter_source(e, index, 0, to->shape, from, displacement);
}

static uint64_t place_bytes(const emitter_t* e, const application_t* a, const place_t* place) {
  const uint64_t elements = a->span == 0 ? tvi_tile_emitter_elements(e, place->shape)
                            : place->shape & TVI_TILE_COL ? a->span
                                                          : 1;
  return elements * place->bytes;
}

static trivet_status_t take_place(emitter_t* e, const application_t* a, uint32_t shape,
                                  uint32_t bytes, place_t* out) {
  memset(out, 0, sizeof(*out));
  out->kind = TVI_TILE_PLACE_SCRATCH;
  out->shape = shape;
  out->bytes = bytes;
  out->row_stride = (int64_t)bytes * e->cols;
  return tvi_tile_emitter_take(e, place_bytes(e, a, out), &out->offset);
}

static trivet_status_t give_place(emitter_t* e, const application_t* a, const place_t* place) {
  return tvi_tile_emitter_give(e, place->offset, place_bytes(e, a, place));
}

// The state that instruction |i| may write at once: nobody reads what it held after that.
static uint32_t state_of_result(const emitter_t* e, const application_t* a, uint32_t i,
                                uint32_t shape) {
  const tvi_tile_sink_t* sink = a->sink;
  const tvi_tile_instr_t* body = join_body(e, sink);
  const uint32_t bytes = tvi_tile_type_bytes(tvi_tile_result_type(&body[i]));
  for (uint32_t s = 0; s < sink->count; ++s) {
    if (sink->join_results[s] != i || a->left[s].shape != shape || a->left[s].bytes != bytes)
      continue;
    bool is_read = false;
    for (uint32_t k = 0; k < sink->join_count; ++k)
      is_read = is_read ||
                (is_left(a, &body[k], s) && a->last_use[k] > i && a->last_use[k] != TVI_TILE_NONE);
    if (!is_read) return s;
  }
  return TVI_TILE_NONE;
}

static bool is_temporary(const emitter_t* e, const application_t* a, uint32_t ref) {
  const tvi_tile_instr_t* instr = &join_body(e, a->sink)[ref];
  if (instr->opcode == TVI_TILE_OP_CONST || instr->opcode == TVI_TILE_OP_ARG) return false;
  for (uint32_t s = 0; s < a->sink->count; ++s)
    if (a->left[s].offset == a->places[ref].offset) return false;
  return true;
}

static uint32_t operand_shape(const application_t* a, const tvi_tile_instr_t* instr) {
  uint32_t shape = 0;
  for (uint32_t k = 0; k < tvi_tile_opcode_info(instr->opcode, NULL); ++k)
    shape |= a->places[instr->args[k]].shape;
  return shape;
}

// Gives back the operands that instruction |i| is the last to read: those of the size of its result
// before it gets a place, as calls read before they write, the others after.
static trivet_status_t release_operands(emitter_t* e, application_t* a, uint32_t i, uint32_t shape,
                                        bool are_same) {
  const tvi_tile_instr_t* instr = &join_body(e, a->sink)[i];
  const uint32_t bytes = tvi_tile_type_bytes(tvi_tile_result_type(instr));
  for (uint32_t k = 0; k < tvi_tile_opcode_info(instr->opcode, NULL); ++k) {
    const uint32_t ref = instr->args[k];
    const place_t* place = &a->places[ref];
    if (a->last_use[ref] != i || !is_temporary(e, a, ref) ||
        (place->shape == shape && place->bytes == bytes) != are_same)
      continue;
    a->last_use[ref] = TVI_TILE_NONE;  // once
    TRIVET_RETURN_IF_ERROR(give_place(e, a, place));
  }
  return TRIVET_OK;
}

static trivet_status_t emit_join_instr(emitter_t* e, application_t* a, uint32_t i) {
  const tvi_tile_instr_t* body = join_body(e, a->sink);
  const tvi_tile_instr_t* instr = &body[i];
  place_t* place = &a->places[i];
  if (instr->opcode == TVI_TILE_OP_CONST)
    return tvi_tile_emitter_constant(e, instr->type, instr->imm, place);
  if (instr->opcode == TVI_TILE_OP_ARG) {
    a->is_right[i] = instr->imm >= a->sink->count;
    *place = a->is_right[i] ? a->right[instr->imm - a->sink->count] : a->left[instr->imm];
    return TRIVET_OK;
  }
  const uint32_t shape = operand_shape(a, instr);
  const uint32_t state = state_of_result(e, a, i, shape);
  TRIVET_RETURN_IF_ERROR(release_operands(e, a, i, shape, true));
  if (state != TVI_TILE_NONE) {
    *place = a->left[state];
  } else {
    TRIVET_RETURN_IF_ERROR(
        take_place(e, a, shape, tvi_tile_type_bytes(tvi_tile_result_type(instr)), place));
  }
  uint32_t index;
  TRIVET_RETURN_IF_ERROR(new_call(e, a,
                                  tvi_tile_kernel_find(e->isa, instr->opcode, instr->type,
                                                       tvi_tile_result_type(&body[instr->args[0]])),
                                  shape, &index));
  e->entries.data[index].args.aux = instr->aux;
  TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_destination(e, index, shape, place));
  for (uint32_t k = 0; k < tvi_tile_opcode_info(instr->opcode, NULL); ++k)
    TRIVET_RETURN_IF_ERROR(set_operand(e, a, index, k, shape, instr->args[k]));
  return release_operands(e, a, i, shape, false);
}

// Brings results to the states that did not get them at once.
static trivet_status_t settle_results(emitter_t* e, application_t* a) {
  const tvi_tile_sink_t* sink = a->sink;
  const tvi_tile_instr_t* body = join_body(e, sink);
  place_t results[TVI_TILE_MAX_STATE];
  bool is_copied[TVI_TILE_MAX_STATE] = {false}, is_settled[TVI_TILE_MAX_STATE] = {false};
  // What is another state's must survive that one's copy: through a temporary.
  for (uint32_t s = 0; s < sink->count; ++s) {
    const uint32_t ref = sink->join_results[s];
    results[s] = a->places[ref];
    is_settled[s] = results[s].kind == a->left[s].kind && results[s].offset == a->left[s].offset &&
                    !a->is_right[ref];
    if (is_settled[s] || body[ref].opcode != TVI_TILE_OP_ARG || a->is_right[ref]) continue;
    TRIVET_RETURN_IF_ERROR(take_place(e, a, results[s].shape, results[s].bytes, &results[s]));
    TRIVET_RETURN_IF_ERROR(emit_copy(e, a, &a->places[ref], 0, &results[s]));
    is_copied[s] = true;
  }
  for (uint32_t s = 0; s < sink->count; ++s) {
    if (is_settled[s]) continue;
    const bool is_right = a->is_right[sink->join_results[s]];
    TRIVET_RETURN_IF_ERROR(emit_copy(
        e, a, &results[s], is_right ? a->right_shift * results[s].bytes : 0, &a->left[s]));
  }
  for (uint32_t s = 0; s < sink->count; ++s)
    if (is_copied[s]) TRIVET_RETURN_IF_ERROR(give_place(e, a, &results[s]));
  // A result may be that of two states: given back once.
  for (uint32_t i = 0; i < sink->join_count; ++i)
    if (a->last_use[i] == sink->join_count && is_temporary(e, a, i))
      TRIVET_RETURN_IF_ERROR(give_place(e, a, &a->places[i]));
  return TRIVET_OK;
}

static trivet_status_t emit_join(emitter_t* e, application_t* a) {
  const tvi_tile_sink_t* sink = a->sink;
  uint32_t index;
  if (sink->join < TVI_TILE_JOIN_BODY) {
    const place_t* state = &a->left[0];
    const uint32_t type = tvi_tile_result_type(&e->instrs[sink->values[0]]);
    TRIVET_RETURN_IF_ERROR(
        new_call(e, a, tvi_tile_kernel_find(e->isa, join_opcode(sink->join), type, type),
                 state->shape, &index));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_destination(e, index, state->shape, state));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_source(e, index, 0, state->shape, state, 0));
    return tvi_tile_emitter_source(e, index, 1, state->shape, &a->right[0],
                                   a->right_shift * state->bytes);
  }
  const tvi_tile_instr_t* body = join_body(e, sink);
  const uint32_t count = sink->join_count;
  tvi_arena_t* arena = e->binder->temporary;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, count, sizeof(*a->places), &a->places));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, count, sizeof(*a->is_right), &a->is_right));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, count, sizeof(*a->last_use), &a->last_use));
  for (uint32_t i = 0; i < count; ++i)
    for (uint32_t k = 0; k < tvi_tile_opcode_info(body[i].opcode, NULL); ++k)
      a->last_use[body[i].args[k]] = i;
  for (uint32_t s = 0; s < sink->count; ++s) a->last_use[sink->join_results[s]] = count;
  for (uint32_t i = 0; i < count; ++i) TRIVET_RETURN_IF_ERROR(emit_join_instr(e, a, i));
  return settle_results(e, a);
}

// ---------------------------------------------------------------------------------------------
// States
// ---------------------------------------------------------------------------------------------

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

// What each part of a state varies along: no more than the elements that it is made of, so that
// counts, say, are joined once for all rows. Reduced columns are lanes, which differ where the last
// tile does not fill them.
static trivet_status_t find_shapes(emitter_t* e, const tvi_tile_sink_t* sink, uint32_t* shapes) {
  const tvi_tile_instr_t* body = join_body(e, sink);
  uint32_t* of_instr;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(e->binder->temporary, sink->join_count,
                                                      sizeof(*of_instr), &of_instr));
  for (uint32_t s = 0; s < sink->count; ++s)
    shapes[s] = e->nodes[sink->values[s]].shape | (e->col_is_reduced ? TVI_TILE_COL : 0);
  for (bool is_changed = true; is_changed;) {
    is_changed = false;
    for (uint32_t i = 0; i < sink->join_count; ++i) {
      of_instr[i] = 0;
      if (body[i].opcode == TVI_TILE_OP_ARG)
        of_instr[i] = body[i].imm < sink->count
                          ? shapes[body[i].imm]
                          : e->nodes[sink->values[body[i].imm - sink->count]].shape;
      for (uint32_t k = 0; k < tvi_tile_opcode_info(body[i].opcode, NULL); ++k)
        of_instr[i] |= of_instr[body[i].args[k]];
    }
    for (uint32_t s = 0; s < sink->count; ++s) {
      const uint32_t shape = shapes[s] | of_instr[sink->join_results[s]];
      is_changed = is_changed || shape != shapes[s];
      shapes[s] = shape;
    }
  }
  return TRIVET_OK;
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
  uint32_t shapes[TVI_TILE_MAX_STATE];
  if (sink->join >= TVI_TILE_JOIN_BODY) TRIVET_RETURN_IF_ERROR(find_shapes(e, sink, shapes));
  for (uint32_t v = 0; v < sink->count; ++v) {
    place_t* place = &join->states[v];
    memset(place, 0, sizeof(*place));
    place->kind = TVI_TILE_PLACE_SCRATCH;
    place->bytes = tvi_tile_type_bytes(join->types[v]);
    place->shape = sink->join >= TVI_TILE_JOIN_BODY ? shapes[v]
                   : join->by_row                   ? e->tile_shape & TVI_TILE_ROW
                                                    : e->tile_shape;
    place->row_stride = (int64_t)join->width * place->bytes;
    const uint64_t rows = place->shape & TVI_TILE_ROW ? e->rows : 1;
    const uint64_t cols = place->shape & TVI_TILE_COL ? join->width : 1;
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_take(e, rows * cols * place->bytes, &place->offset));
  }
  return TRIVET_OK;
}

trivet_status_t tvi_tile_join_init(emitter_t* e, const join_t* join) {
  for (uint32_t v = 0; v < join->sink->count; ++v) {
    const place_t* state = &join->states[v];
    place_t identity;
    uint32_t index;
    TRIVET_RETURN_IF_ERROR(
        tvi_tile_emitter_constant(e, join->types[v], join->sink->identity[v], &identity));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_entry(e, tvi_tile_copy_find(e->isa, state->bytes),
                                                  state->shape, 0, &index));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_destination(e, index, state->shape, state));
    TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_source(e, index, 0, state->shape, &identity, 0));
    if (!e->col_is_reduced || join->by_row) continue;
    // All lanes, whatever the first tile fills.
    tvi_tile_entry_t* entry = &e->entries.data[index];
    entry->shape = TVI_TILE_SHAPE_BLOCK;
    entry->collapses = 0;
    entry->fixed_rows = state->shape & TVI_TILE_ROW ? e->rows : 1;
    entry->fixed_cols = join->width;
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
    application_t a = {.sink = sink, .left = join->states, .right = right, .depth = e->level_count};
    return emit_join(e, &a);
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

// Joins the lanes of each row. They are brought side by side first, the first lane of all rows,
// then the second, so that a call joins half of all lanes with the other half.
static trivet_status_t fold_lanes(emitter_t* e, join_t* join) {
  const tvi_tile_sink_t* sink = join->sink;
  const uint32_t rows = e->tile_shape & TVI_TILE_ROW ? e->rows : 1;
  for (uint32_t v = 0; v < sink->count; ++v) {
    const place_t from = join->states[v];
    place_t* to = &join->states[v];
    if (e->tile_shape & TVI_TILE_ROW) {
      uint32_t index;
      to->shape = TVI_TILE_COL;
      TRIVET_RETURN_IF_ERROR(
          tvi_tile_emitter_take(e, (uint64_t)join->width * rows * from.bytes, &to->offset));
      TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_entry(e, tvi_tile_run_load, TVI_TILE_COL, 0, &index));
      TRIVET_RETURN_IF_ERROR(tvi_tile_emitter_destination(e, index, TVI_TILE_COL, to));
      TRIVET_RETURN_IF_ERROR(
          tvi_tile_emitter_pointer(e, TVI_TILE_ENTRY_OFFSET(index, args.s[0]), &from, 0));
      tvi_tile_entry_t* entry = &e->entries.data[index];
      entry->shape = TVI_TILE_SHAPE_BLOCK;
      entry->fixed_rows = e->cols;
      entry->fixed_cols = rows;
      entry->args.ds = (ptrdiff_t)rows * from.bytes;
      entry->args.ss[0] = from.bytes;
      entry->args.cs = from.shape & TVI_TILE_ROW ? from.row_stride : 0;
      entry->args.aux = from.bytes == 8 ? TRIVET_DTYPE_I64 : TRIVET_DTYPE_I32;
      entry->args.extra = e->table;
    }
  }
  // Lanes that got no point take no part: what a join makes of identities is not known.
  uint32_t filled = e->cols;
  for (uint32_t half = join->width / 2; half > 0; half /= 2) {
    application_t a = {.sink = sink,
                       .left = join->states,
                       .right = join->states,
                       .right_shift = (uint64_t)half * rows,
                       .span = (filled - half) * rows};
    TRIVET_RETURN_IF_ERROR(emit_join(e, &a));
    filled = half;
  }
  for (uint32_t v = 0; v < sink->count; ++v) join->states[v].shape = e->tile_shape & TVI_TILE_ROW;
  return TRIVET_OK;
}

trivet_status_t tvi_tile_join_final(emitter_t* e, join_t* join) {
  const tvi_tile_sink_t* sink = join->sink;
  const uint32_t shape = e->col_is_reduced ? e->tile_shape & TVI_TILE_ROW : e->tile_shape;
  if (e->col_is_reduced && !join->by_row) TRIVET_RETURN_IF_ERROR(fold_lanes(e, join));
  for (uint32_t v = 0; !join->in_memory && v < sink->count; ++v)
    if (sink->accesses[v] != TVI_TILE_NONE)
      TRIVET_RETURN_IF_ERROR(tvi_tile_emit_store(e, &join->states[v], sink->accesses[v], shape, 0));
  return TRIVET_OK;
}
