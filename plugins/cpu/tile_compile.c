// SPDX-License-Identifier: Apache-2.0
//
// Assembles the tile program of a schedule: values become slots, dimensions parameters, and phases
// what tile_phase.c, tile_join.c and tile_share.c make of their stages.

#include "plugins/cpu/tile_compile.h"

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "plugins/cpu/tile_assemble.h"
#include "plugins/cpu/tile_encode.h"

typedef tvi_tile_assembler_t assembler_t;
typedef tvi_tile_phase_builder_t phase_builder_t;

trivet_status_t tvi_tile_assemble_parameter(assembler_t* a, trivet_dim_t dim,
                                            uint32_t* out_parameter) {
  for (size_t i = 0; i < a->parameters.count; ++i)
    if (a->parameters.data[i] == dim) {
      *out_parameter = (uint32_t)i;
      return TRIVET_OK;
    }
  *out_parameter = (uint32_t)a->parameters.count;
  return tvi_vector_push(&a->parameters, dim);
}

// ---------------------------------------------------------------------------------------------
// Slots
// ---------------------------------------------------------------------------------------------

// Fused values keep the precision that they were computed in; packed types get bytes.
static uint32_t temporary_dtype(uint32_t dtype) {
  switch (tvi_tile_type_of_dtype(dtype)) {
    case TVI_TILE_F32:
      return TRIVET_DTYPE_F32;
    case TVI_TILE_I32:
      return tvi_dtype_bytes(dtype)               ? dtype
             : tvi_dtype_is_signed_integer(dtype) ? TRIVET_DTYPE_I8
                                                  : TRIVET_DTYPE_U8;
    default:
      return dtype;
  }
}

static trivet_status_t make_slots(assembler_t* a) {
  const tvi_kir_program_t* program = a->program;
  uint8_t* is_read;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(a->arena, program->value_count, 1, &is_read));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(a->arena,
                                               program->value_count + TVI_TILE_MAX_EXTRA_VALUES,
                                               sizeof(*a->slot_of_value), &a->slot_of_value));
  for (uint32_t v = 0; v < program->value_count; ++v) a->slot_of_value[v] = TVI_TILE_NONE;
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    const tvi_tile_stage_t* stage = &a->schedule.stages[s];
    for (size_t i = 0; stage->is_computed && i < stage->body.accesses.count; ++i)
      is_read[stage->body.accesses.data[i].value] = 1;
  }
  for (uint32_t v = 0; v < program->value_count; ++v) {
    const tvi_kir_value_t* value = &program->values[v];
    if (value->kind == TVI_KIR_TEMP || (value->kind == TVI_KIR_INPUT && !is_read[v])) continue;
    if (!tvi_tile_type_of_dtype(value->dtype))
      return TRIVET_STATUS(UNIMPLEMENTED, "value '%s' has element type %s", value->name,
                           tvi_dtype_name(value->dtype));
    tvi_tile_slot_t slot = {
        .kind = value->kind == TVI_KIR_INPUT ? TVI_TILE_SLOT_INPUT : TVI_TILE_SLOT_OUTPUT,
        .dtype = value->dtype,
        .rank = value->rank};
    a->slot_of_value[v] = (uint32_t)a->slots.count;
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&a->slots, slot));
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&a->operands, v));
  }
  for (uint32_t v = 0; v < program->value_count; ++v) {
    const tvi_kir_value_t* value = &program->values[v];
    if (value->kind != TVI_KIR_TEMP || !is_read[v]) continue;
    if (value->stage >= program->stage_count || !a->schedule.stages[value->stage].is_computed)
      return TRIVET_STATUS(INTERNAL, "value '%s' is read, but no stage computes it", value->name);
    const tvi_tile_stage_t* stage = &a->schedule.stages[value->stage];
    const uint32_t outer_count = a->schedule.sections.data[stage->section].outer_count;
    tvi_tile_slot_t slot = {
        .kind = a->schedule.is_kept[v] ? TVI_TILE_SLOT_KEPT : TVI_TILE_SLOT_STORED,
        .dtype = temporary_dtype(value->dtype),
        .rank = value->rank};
    if (slot.kind == TVI_TILE_SLOT_KEPT) slot.section = stage->section;
    if (slot.kind == TVI_TILE_SLOT_STORED) ++a->stored_count;
    for (uint32_t d = 0; d < value->rank; ++d) {
      TRIVET_RETURN_IF_ERROR(tvi_tile_assemble_parameter(
          a, a->program->stages[value->stage].extents[d], &slot.dims[d]));
      const uint32_t loop = stage->loop_of_index[d];
      slot.outer[d] = slot.kind == TVI_TILE_SLOT_KEPT && loop < outer_count ? loop : TVI_TILE_NONE;
    }
    a->slot_of_value[v] = (uint32_t)a->slots.count;
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&a->slots, slot));
  }
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Sections
// ---------------------------------------------------------------------------------------------

static trivet_status_t build_section(assembler_t* a, uint32_t number, phase_builder_t* phases,
                                     uint32_t* count) {
  const tvi_tile_schedule_section_t* from = &a->schedule.sections.data[number];
  tvi_tile_section_t section = {.outer_count = from->outer_count,
                                .phase_first = (uint32_t)a->phases.count};
  for (uint32_t p = 0; p < from->phase_count; ++p) {
    ++*count;
    TRIVET_RETURN_IF_ERROR(
        tvi_tile_phase_start(a, &phases[p], &a->schedule.phases.data[from->phase_first + p]));
  }
  for (uint32_t p = 0; p < *count; ++p) {
    phase_builder_t before;
    bool is_shared;
    trivet_status_t status =
        tvi_tile_phase_share(a, phases, *count, p, number, &before, &is_shared);
    if (is_shared) {
      if (!status) status = tvi_tile_phase_finish(a, &before);
      tvi_tile_body_deinit(&before.body);
    }
    TRIVET_RETURN_IF_ERROR(status);
    TRIVET_RETURN_IF_ERROR(tvi_tile_phase_finish(a, &phases[p]));
  }
  section.phase_count = (uint32_t)a->phases.count - section.phase_first;
  return tvi_vector_push(&a->sections, section);
}

static trivet_status_t build_phases(assembler_t* a) {
  for (uint32_t s = 0; s < a->schedule.sections.count; ++s) {
    phase_builder_t* phases;
    uint32_t count = 0;
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
        a->arena, a->schedule.sections.data[s].phase_count, sizeof(*phases), &phases));
    trivet_status_t status = build_section(a, s, phases, &count);
    for (uint32_t p = 0; p < count; ++p) tvi_tile_body_deinit(&phases[p].body);
    TRIVET_RETURN_IF_ERROR(status);
  }
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// The whole
// ---------------------------------------------------------------------------------------------

static trivet_status_t hand_over(assembler_t* a, tvi_tile_compiled_t* out) {
  tvi_tile_program_t program = {.parameter_count = (uint32_t)a->parameters.count,
                                .operand_count = (uint32_t)a->operands.count,
                                .slot_count = (uint32_t)a->slots.count,
                                .section_count = (uint32_t)a->sections.count,
                                .phase_count = (uint32_t)a->phases.count,
                                .instr_count = (uint32_t)a->instrs.count,
                                .affine_count = (uint32_t)a->affines.count,
                                .access_count = (uint32_t)a->accesses.count,
                                .sink_count = (uint32_t)a->sinks.count,
                                .slots = a->slots.data,
                                .sections = a->sections.data,
                                .phases = a->phases.data,
                                .instrs = a->instrs.data,
                                .affines = a->affines.data,
                                .accesses = a->accesses.data,
                                .sinks = a->sinks.data};
  // What load would refuse is a mistake of ours, found here.
  trivet_status_t status = tvi_tile_program_verify(&program);
  if (status) {
    status = trivet_status_make(TRIVET_STATUS_INTERNAL, TVI_FILE_NAME, __LINE__, "%s",
                                trivet_status_message(status));
    return status;
  }
  tvi_byte_writer_t writer;
  tvi_byte_writer_init(&writer, a->allocator);
  tvi_tile_program_encode(&program, &writer);
  tvi_tile_compiled_t compiled = {.allocator = a->allocator,
                                  .parameter_count = program.parameter_count,
                                  .operand_count = program.operand_count,
                                  .section_count = program.section_count,
                                  .phase_count = program.phase_count,
                                  .stored_count = a->stored_count};
  status = tvi_byte_writer_take(&writer, &compiled.bytes, &compiled.size);
  if (!status)
    status = tvi_alloc_array(a->allocator, program.parameter_count, sizeof(trivet_dim_t),
                             &compiled.parameters);
  if (!status)
    status =
        tvi_alloc_array(a->allocator, program.operand_count, sizeof(uint32_t), &compiled.operands);
  tvi_byte_writer_deinit(&writer);
  if (status) {
    tvi_tile_compiled_deinit(&compiled);
    return status;
  }
  if (program.parameter_count)
    memcpy((void*)compiled.parameters, (const void*)a->parameters.data,
           program.parameter_count * sizeof(trivet_dim_t));
  if (program.operand_count)
    memcpy(compiled.operands, a->operands.data, program.operand_count * sizeof(uint32_t));
  *out = compiled;
  return TRIVET_OK;
}

trivet_status_t tvi_tile_compile(const tvi_kir_program_t* program, trivet_allocator_t allocator,
                                 tvi_tile_compiled_t* out_compiled) {
  tvi_arena_t arena;
  tvi_arena_init(&arena, allocator, 0);
  assembler_t a = {.program = program, .arena = &arena, .allocator = allocator};
  tvi_vector_init(&a.parameters, allocator);
  tvi_vector_init(&a.operands, allocator);
  tvi_vector_init(&a.slots, allocator);
  tvi_vector_init(&a.sections, allocator);
  tvi_vector_init(&a.phases, allocator);
  tvi_vector_init(&a.instrs, allocator);
  tvi_vector_init(&a.affines, allocator);
  tvi_vector_init(&a.accesses, allocator);
  tvi_vector_init(&a.sinks, allocator);
  trivet_status_t status = tvi_tile_schedule_make(program, &arena, allocator, &a.schedule);
  if (!status) {
    status = make_slots(&a);
    if (!status) status = build_phases(&a);
    if (!status) status = hand_over(&a, out_compiled);
    tvi_tile_schedule_deinit(&a.schedule);
  }
  tvi_vector_deinit(&a.parameters);
  tvi_vector_deinit(&a.operands);
  tvi_vector_deinit(&a.slots);
  tvi_vector_deinit(&a.sections);
  tvi_vector_deinit(&a.phases);
  tvi_vector_deinit(&a.instrs);
  tvi_vector_deinit(&a.affines);
  tvi_vector_deinit(&a.accesses);
  tvi_vector_deinit(&a.sinks);
  tvi_arena_deinit(&arena);
  return status;
}

void tvi_tile_compiled_deinit(tvi_tile_compiled_t* compiled) {
  if (!compiled->bytes && !compiled->parameters && !compiled->operands) return;
  if (compiled->bytes) tvi_free(compiled->allocator, compiled->bytes, compiled->size + 1);
  tvi_free_array(compiled->allocator, (void*)compiled->parameters, compiled->parameter_count,
                 sizeof(trivet_dim_t));
  tvi_free_array(compiled->allocator, compiled->operands, compiled->operand_count,
                 sizeof(uint32_t));
  memset(compiled, 0, sizeof(*compiled));
}
