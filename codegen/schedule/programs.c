// SPDX-License-Identifier: Apache-2.0
//
// Copies and shape values as kernel IR, so that they are regions like any other. The schedule asks
// for them where a region needs memory laid out otherwise; they must not read the graph's other
// nodes.
#include "codegen/schedule/programs.h"

#include <string.h>

#include "core/base/status.h"
#include "core/kernel_ir/fuse.h"

// A MAP stage over the dimensions of |value| with room for |instr_count| instructions.
static trivet_status_t add_stage(tvi_kir_program_t* program, uint32_t value, uint32_t instr_count,
                                 tvi_kir_stage_t** out_stage) {
  tvi_kir_stage_t* stage = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(program->arena, sizeof(*stage), &stage));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(program->arena, instr_count,
                                                      sizeof(tvi_kir_instr_t), &stage->instrs));
  const tvi_kir_value_t* v = &program->values[value];
  stage->kind = TVI_KIR_MAP;
  stage->result_count = 1;
  stage->values[0] = value;
  stage->parallel_count = v->rank;
  memcpy(stage->extents, v->dims, v->rank * sizeof(trivet_dim_t));
  stage->origin = TVI_KIR_NONE;
  program->stages = stage;
  program->stage_count = 1;
  program->values[value].stage = 0;
  *out_stage = stage;
  return TRIVET_OK;
}

static tvi_kir_ref_t push(tvi_kir_stage_t* stage, uint16_t opcode, uint32_t dtype) {
  tvi_kir_instr_t* instr = &stage->instrs[stage->instr_count];
  instr->opcode = opcode;
  instr->dtype = dtype;
  instr->args[0] = instr->args[1] = instr->args[2] = TVI_KIR_NONE;
  return stage->instr_count++;
}

trivet_status_t tvi_kir_make_copy(tvi_dim_context_t* dims, tvi_arena_t* arena,
                                  const trivet_type_t* type, uint32_t in_tag, uint32_t out_tag,
                                  tvi_kir_program_t** out_program) {
  tvi_kir_program_t* program = NULL;
  uint32_t in = 0, out = 0;
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_create(dims, arena, &program));
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_add_value(program, "x", TVI_KIR_INPUT, type, in_tag, &in));
  TRIVET_RETURN_IF_ERROR(
      tvi_kir_program_add_value(program, "y", TVI_KIR_OUTPUT, type, out_tag, &out));
  tvi_kir_stage_t* stage = NULL;
  TRIVET_RETURN_IF_ERROR(add_stage(program, out, type->rank + 1, &stage));
  tvi_kir_load_t* load = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(arena, sizeof(*load), &load));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, type->rank + 1, sizeof(tvi_kir_ref_t), &load->indices));
  load->value = in;
  load->index_count = type->rank;
  load->bounds = TVI_KIR_BOUNDS_PROVEN;
  load->pad = TVI_KIR_NONE;
  for (uint32_t d = 0; d < type->rank; ++d) {
    load->indices[d] = push(stage, TVI_KIR_INDEX, TRIVET_DTYPE_I64);
    stage->instrs[load->indices[d]].imm.i64 = d;
  }
  stage->results[0] = push(stage, TVI_KIR_LOAD, type->dtype);
  stage->instrs[stage->results[0]].imm.load = load;
  *out_program = program;
  return TRIVET_OK;
}

trivet_status_t tvi_kir_make_dims(tvi_dim_context_t* dims, tvi_arena_t* arena,
                                  const trivet_type_t* type, const trivet_dim_t* elements,
                                  uint64_t count, uint32_t out_tag,
                                  tvi_kir_program_t** out_program) {
  if (type->rank > 1 || count == 0 || count > 1024) {
    return TRIVET_STATUS(UNIMPLEMENTED, "shape values of rank %u with %llu elements", type->rank,
                         (unsigned long long)count);
  }
  tvi_kir_program_t* program = NULL;
  uint32_t out = 0;
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_create(dims, arena, &program));
  TRIVET_RETURN_IF_ERROR(
      tvi_kir_program_add_value(program, "y", TVI_KIR_OUTPUT, type, out_tag, &out));
  tvi_kir_stage_t* stage = NULL;
  TRIVET_RETURN_IF_ERROR(add_stage(program, out, (uint32_t)(4 * count + 4), &stage));
  tvi_kir_ref_t index = TVI_KIR_NONE, chain = TVI_KIR_NONE;
  if (type->rank == 1) {
    index = push(stage, TVI_KIR_INDEX, TRIVET_DTYPE_I64);
    stage->instrs[index].imm.i64 = 0;
  }
  // select(i == n-2, e[n-2], e[n-1]) and so on towards the front.
  for (uint64_t k = count; k-- > 0;) {
    tvi_kir_ref_t element = push(stage, TVI_KIR_EXTENT, TRIVET_DTYPE_I64);
    stage->instrs[element].imm.dim = elements[k];
    if (k + 1 == count) {
      chain = element;
      continue;
    }
    tvi_kir_ref_t position = push(stage, TVI_KIR_CONST, TRIVET_DTYPE_I64);
    stage->instrs[position].imm.i64 = (int64_t)k;
    tvi_kir_ref_t equal = push(stage, TVI_KIR_EQ, TRIVET_DTYPE_BOOL);
    stage->instrs[equal].args[0] = index;
    stage->instrs[equal].args[1] = position;
    tvi_kir_ref_t select = push(stage, TVI_KIR_SELECT, TRIVET_DTYPE_I64);
    stage->instrs[select].args[0] = equal;
    stage->instrs[select].args[1] = element;
    stage->instrs[select].args[2] = chain;
    chain = select;
  }
  if (type->dtype != TRIVET_DTYPE_I64) {
    tvi_kir_ref_t cast = push(stage, TVI_KIR_CAST, type->dtype);
    stage->instrs[cast].args[0] = chain;
    chain = cast;
  }
  stage->results[0] = chain;
  *out_program = program;
  return TRIVET_OK;
}
