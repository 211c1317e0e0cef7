// SPDX-License-Identifier: Apache-2.0
//
// One phase of a tile program: the bodies of its stages become one, improved as a whole, and what
// they write becomes sinks. See tile_assemble.h.

#include "core/base/status.h"
#include "plugins/cpu/tile_assemble.h"
#include "plugins/cpu/tile_patterns.h"

typedef tvi_tile_assembler_t assembler_t;
typedef tvi_tile_phase_builder_t phase_builder_t;

// Result of stage |producer| that is |value|.
static uint32_t result_number(const tvi_kir_stage_t* producer, uint32_t value) {
  for (uint32_t r = 0; r < TVI_KIR_MAX_STATE; ++r)
    if (producer->values[r] == value) return r;
  return 0;
}

static trivet_status_t remap_form(phase_builder_t* p, const tvi_tile_stage_t* stage, uint32_t form,
                                  tvi_tile_symbolic_t* out) {
  const tvi_tile_symbolic_t* from = &stage->body.affines.data[form];
  memset(out, 0, sizeof(*out));
  out->constant = from->constant;
  for (uint32_t l = 0; l < stage->body.loop_count; ++l)
    if (from->coefficients[l]) out->coefficients[stage->loop_of_index[l]] = from->coefficients[l];
  (void)p;
  return TRIVET_OK;
}

// Appends the body of a stage to that of its phase.
static trivet_status_t append_stage(assembler_t* a, phase_builder_t* p, uint32_t number) {
  const tvi_tile_stage_t* stage = &a->schedule.stages[number];
  const size_t count = stage->body.instrs.count;
  uint32_t* map;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(a->arena, count, sizeof(*map), &map));
  for (size_t i = 0; i < count; ++i) {
    tvi_tile_instr_t instr = stage->body.instrs.data[i];
    const uint32_t operands = tvi_tile_opcode_info(instr.opcode, NULL);
    if (instr.opcode == TVI_TILE_OP_AFFINE) {
      tvi_tile_symbolic_t form;
      TRIVET_RETURN_IF_ERROR(remap_form(p, stage, (uint32_t)instr.imm, &form));
      TRIVET_RETURN_IF_ERROR(tvi_tile_body_affine(&p->body, &form, &map[i]));
      continue;
    }
    if (instr.opcode != TVI_TILE_OP_LOAD) {
      for (uint32_t x = 0; x < operands; ++x) instr.args[x] = (uint16_t)map[instr.args[x]];
      TRIVET_RETURN_IF_ERROR(tvi_tile_body_add(&p->body, &instr, &map[i]));
      continue;
    }
    tvi_tile_body_access_t access = stage->body.accesses.data[instr.imm];
    const uint32_t producer = a->program->values[access.value].stage;
    if (producer != TVI_KIR_NONE && p->is_here[producer] &&
        a->program->stages[producer].kind == TVI_KIR_MAP) {
      // Same phase, same point: the value itself.
      map[i] = p->results[producer][result_number(&a->program->stages[producer], access.value)];
      continue;
    }
    if (access.pad != TVI_TILE_NONE) access.pad = map[access.pad];
    for (uint32_t d = 0; d < access.rank; ++d) {
      tvi_tile_body_index_t* index = &access.indices[d];
      if (index->is_register) {
        index->ref = map[index->ref];
        continue;
      }
      tvi_tile_symbolic_t form;
      TRIVET_RETURN_IF_ERROR(remap_form(p, stage, index->ref, &form));
      TRIVET_RETURN_IF_ERROR(tvi_tile_body_form(&p->body, &form, &index->ref));
    }
    TRIVET_RETURN_IF_ERROR(tvi_tile_body_load(&p->body, &access, instr.type, &map[i]));
  }
  const tvi_kir_stage_t* s = &a->program->stages[number];
  for (uint32_t r = 0; r < TVI_KIR_MAX_STATE; ++r) p->results[number][r] = map[stage->results[r]];
  p->is_here[number] = 1;
  (void)s;
  return TRIVET_OK;
}

static trivet_status_t add_form(assembler_t* a, const tvi_tile_symbolic_t* form) {
  tvi_tile_affine_t affine = {.offset = TVI_TILE_NONE};
  if (!tvi_dim_equals_constant(form->constant, 0))
    TRIVET_RETURN_IF_ERROR(tvi_tile_assemble_parameter(a, form->constant, &affine.offset));
  for (uint32_t l = 0; l < TVI_TILE_MAX_LOOPS; ++l) {
    if (!form->coefficients[l]) continue;
    affine.loops[affine.term_count] = l;
    TRIVET_RETURN_IF_ERROR(tvi_tile_assemble_parameter(a, form->coefficients[l],
                                                       &affine.coefficients[affine.term_count]));
    ++affine.term_count;
  }
  return tvi_vector_push(&a->affines, affine);
}

// Where a result of a stage goes: the value at the stage's own parallel indices.
static trivet_status_t add_sink_access(assembler_t* a, phase_builder_t* p, tvi_tile_phase_t* phase,
                                       const tvi_tile_stage_t* stage, uint32_t value,
                                       uint32_t* out_access) {
  const uint32_t slot = value == TVI_KIR_NONE ? TVI_TILE_NONE : a->slot_of_value[value];
  if (slot == TVI_TILE_NONE) {
    *out_access = TVI_TILE_NONE;
    return TRIVET_OK;
  }
  tvi_tile_access_t access = {.slot = slot, .pad = TVI_TILE_NONE, .rank = a->slots.data[slot].rank};
  for (uint32_t d = 0; d < access.rank; ++d) {
    tvi_tile_symbolic_t form;
    memset(&form, 0, sizeof(form));
    form.constant = tvi_dim_constant(a->program->dims, 0);
    form.coefficients[stage->loop_of_index[d]] = tvi_dim_constant(a->program->dims, 1);
    if (!form.constant || !form.coefficients[stage->loop_of_index[d]])
      return TRIVET_STATUS(OUT_OF_MEMORY, "no memory for a dimension");
    TRIVET_RETURN_IF_ERROR(tvi_tile_body_form(&p->body, &form, &access.indices[d].ref));
  }
  *out_access = (uint32_t)a->accesses.count - phase->access_first;
  return tvi_vector_push(&a->accesses, access);
}

static trivet_status_t add_sink(assembler_t* a, phase_builder_t* p, tvi_tile_phase_t* phase,
                                uint32_t number, const uint32_t* map) {
  const tvi_kir_stage_t* s = &a->program->stages[number];
  const tvi_tile_stage_t* stage = &a->schedule.stages[number];
  tvi_tile_sink_t sink = {.count = 1};
  if (s->kind == TVI_KIR_MAP) {
    for (uint32_t r = 0; r < s->result_count; ++r) {
      sink.values[0] = map[p->results[number][r]];
      TRIVET_RETURN_IF_ERROR(add_sink_access(a, p, phase, stage, s->values[r], &sink.accesses[0]));
      // Only used inside its phase.
      if (sink.accesses[0] == TVI_TILE_NONE) continue;
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&a->sinks, sink));
    }
    return TRIVET_OK;
  }
  sink.kind = s->kind == TVI_KIR_SCAN ? TVI_TILE_SINK_SCAN : TVI_TILE_SINK_REDUCE;
  sink.scan_flags = (s->scan_flags & TVI_KIR_SCAN_EXCLUSIVE ? TVI_TILE_SCAN_EXCLUSIVE : 0) |
                    (s->scan_flags & TVI_KIR_SCAN_REVERSE ? TVI_TILE_SCAN_REVERSE : 0);
  const uint32_t dtype = s->instrs[s->results[0]].dtype;
  TRIVET_RETURN_IF_ERROR(tvi_tile_assemble_join(a, s, dtype, &sink));
  for (uint32_t r = 0; r < sink.count; ++r) {
    sink.values[r] = map[p->results[number][r]];
    TRIVET_RETURN_IF_ERROR(add_sink_access(a, p, phase, stage, s->values[r], &sink.accesses[r]));
  }
  return tvi_vector_push(&a->sinks, sink);
}

// The states of welford and softmaxstate grow from one value each.
static trivet_status_t complete_states(assembler_t* a, phase_builder_t* p, uint32_t number) {
  const tvi_kir_stage_t* s = &a->program->stages[number];
  if (s->kind == TVI_KIR_MAP) return TRIVET_OK;
  uint32_t* results = p->results[number];
  const uint32_t type = tvi_tile_type_of_dtype(s->instrs[s->results[0]].dtype);
  if (s->monoid->kind == TVI_KIR_WELFORD) {
    TRIVET_RETURN_IF_ERROR(
        tvi_tile_body_constant(&p->body, type, tvi_tile_number_bits(type, 0.0), &results[1]));
    return tvi_tile_body_constant(&p->body, type, tvi_tile_number_bits(type, 1.0), &results[2]);
  }
  if (s->monoid->kind == TVI_KIR_SOFTMAX_STATE)
    return tvi_tile_body_constant(&p->body, type, tvi_tile_number_bits(type, 1.0), &results[1]);
  return TRIVET_OK;
}

static trivet_status_t append_access(assembler_t* a, const tvi_tile_body_access_t* from) {
  tvi_tile_access_t access = {.slot = a->slot_of_value[from->value],
                              .bounds = from->bounds,
                              .pad = from->pad,
                              .rank = from->rank};
  for (uint32_t d = 0; d < from->rank; ++d) {
    access.indices[d].is_register = from->indices[d].is_register;
    access.indices[d].ref = from->indices[d].ref;
    access.indices[d].wrap = from->indices[d].wrap;
  }
  return tvi_vector_push(&a->accesses, access);
}

static trivet_status_t append_accesses(assembler_t* a, const tvi_tile_body_t* body) {
  for (size_t i = 0; i < body->accesses.count; ++i)
    TRIVET_RETURN_IF_ERROR(append_access(a, &body->accesses.data[i]));
  return TRIVET_OK;
}

trivet_status_t tvi_tile_phase_start(assembler_t* a, phase_builder_t* p,
                                     const tvi_tile_schedule_phase_t* scheduled) {
  const size_t stages = a->program->stage_count;
  memset(p, 0, sizeof(*p));
  tvi_tile_body_init(&p->body, a->program->dims, a->allocator);
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(a->arena, stages, sizeof(*p->results), &p->results));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(a->arena, stages, 1, &p->is_here));
  p->reduced_count = scheduled->reduced_count;
  p->stages = a->schedule.order.data + scheduled->stage_first;
  p->stage_count = scheduled->stage_count;
  p->body.loop_count = scheduled->loop_count;
  memcpy(p->body.extents, scheduled->extents, sizeof(p->body.extents));
  for (uint32_t i = 0; i < p->stage_count; ++i) {
    TRIVET_RETURN_IF_ERROR(append_stage(a, p, p->stages[i]));
    TRIVET_RETURN_IF_ERROR(complete_states(a, p, p->stages[i]));
  }
  return TRIVET_OK;
}

// What sinks take must survive improvement.
static trivet_status_t improve_phase(assembler_t* a, phase_builder_t* p, uint32_t** out_map) {
  TVI_VECTOR(uint32_t) roots;
  tvi_vector_init(&roots, a->allocator);
  trivet_status_t status = TRIVET_OK;
  if (p->stage_count == 0) status = tvi_vector_push(&roots, p->kept_root);
  for (uint32_t i = 0; !status && i < p->stage_count; ++i) {
    const tvi_kir_stage_t* s = &a->program->stages[p->stages[i]];
    const bool is_state = s->kind != TVI_KIR_MAP;
    const uint32_t count = is_state ? tvi_tile_state_count(s->monoid) : s->result_count;
    for (uint32_t r = 0; !status && r < count; ++r) {
      if (is_state || a->slot_of_value[s->values[r]] != TVI_TILE_NONE)
        status = tvi_vector_push(&roots, p->results[p->stages[i]][r]);
    }
  }
  if (!status) status = tvi_tile_body_improve(&p->body, roots.data, roots.count, a->arena, out_map);
  tvi_vector_deinit(&roots);
  return status;
}

// An access at the phase's own loops, one per dimension.
trivet_status_t tvi_tile_phase_access(phase_builder_t* p, uint32_t value,
                                      tvi_tile_body_access_t* out) {
  memset(out, 0, sizeof(*out));
  out->value = value;
  out->pad = TVI_TILE_NONE;
  out->rank = p->body.loop_count;
  for (uint32_t d = 0; d < out->rank; ++d) {
    tvi_tile_symbolic_t form;
    memset(&form, 0, sizeof(form));
    form.constant = tvi_dim_constant(p->body.dims, 0);
    form.coefficients[d] = tvi_dim_constant(p->body.dims, 1);
    if (!form.constant || !form.coefficients[d])
      return TRIVET_STATUS(OUT_OF_MEMORY, "no memory for a dimension");
    TRIVET_RETURN_IF_ERROR(tvi_tile_body_form(&p->body, &form, &out->indices[d].ref));
  }
  return TRIVET_OK;
}

trivet_status_t tvi_tile_phase_finish(assembler_t* a, phase_builder_t* p) {
  uint32_t* map = NULL;
  TRIVET_RETURN_IF_ERROR(improve_phase(a, p, &map));
  tvi_tile_phase_t phase = {.loop_count = p->body.loop_count,
                            .reduced_count = p->reduced_count,
                            .instr_first = (uint32_t)a->instrs.count,
                            .affine_first = (uint32_t)a->affines.count,
                            .access_first = (uint32_t)a->accesses.count,
                            .sink_first = (uint32_t)a->sinks.count};
  for (uint32_t l = 0; l < phase.loop_count; ++l)
    TRIVET_RETURN_IF_ERROR(tvi_tile_assemble_parameter(a, p->body.extents[l], &phase.extents[l]));
  TRIVET_RETURN_IF_ERROR(tvi_vector_append(&a->instrs, p->body.instrs.data, p->body.instrs.count));
  phase.instr_count = (uint32_t)p->body.instrs.count;
  TRIVET_RETURN_IF_ERROR(append_accesses(a, &p->body));
  for (uint32_t i = 0; i < p->stage_count; ++i)
    TRIVET_RETURN_IF_ERROR(add_sink(a, p, &phase, p->stages[i], map));
  if (p->stage_count == 0) {
    tvi_tile_body_access_t access;
    TRIVET_RETURN_IF_ERROR(tvi_tile_phase_access(p, p->kept_value, &access));
    tvi_tile_sink_t sink = {.count = 1, .values = {map[p->kept_root]}};
    sink.accesses[0] = (uint32_t)a->accesses.count - phase.access_first;
    TRIVET_RETURN_IF_ERROR(append_access(a, &access));
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&a->sinks, sink));
  }
  phase.access_count = (uint32_t)a->accesses.count - phase.access_first;
  phase.sink_count = (uint32_t)a->sinks.count - phase.sink_first;
  for (size_t i = 0; i < p->body.affines.count; ++i)
    TRIVET_RETURN_IF_ERROR(add_form(a, &p->body.affines.data[i]));
  phase.affine_count = (uint32_t)a->affines.count - phase.affine_first;
  return tvi_vector_push(&a->phases, phase);
}
