// SPDX-License-Identifier: Apache-2.0
//
// Substitution and simplification of stages, bounds, cost. Every change of a body is a rebuild
// through the builder, so what substitution makes foldable is folded on the way.
#include "core/kernel_ir/fuse.h"

#include <string.h>

#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/kernel_ir/builder.h"
#include "core/kernel_ir/program.h"

typedef tvi_kir_program_t program_t;
typedef tvi_kir_stage_t stage_t;
typedef tvi_kir_ref_t ref_t;

// ---- Bounds ----

bool tvi_kir_prove_bounds(const program_t* program, uint32_t stage_index, ref_t ref) {
  const stage_t* stage = &program->stages[stage_index];
  if (stage->instrs[ref].opcode != TVI_KIR_LOAD) return false;
  const tvi_kir_load_t* load = stage->instrs[ref].imm.load;
  const tvi_kir_value_t* value = &program->values[load->value];
  for (uint32_t d = 0; d < load->index_count; ++d) {
    uint8_t wrap = load->wrap != NULL ? load->wrap[d] : TVI_KIR_WRAP_NONE;
    if (wrap == TVI_KIR_WRAP_CLIP && tvi_dim_is_positive(program->dims, value->dims[d])) continue;
    tvi_kir_scope_t scope = {program->dims, stage->instrs, stage->extents, 400};
    if (tvi_kir_scope_bounds(&scope, load->indices[d], value->dims[d]) !=
        (TVI_KIR_BOUND_LOW | TVI_KIR_BOUND_HIGH)) {
      return false;
    }
  }
  return true;
}

// ---- Rebuilding ----

// The body of stage |source| at the given indices, in the builder of another stage.
static ref_t splice(tvi_kir_builder_t* b, const stage_t* source, const ref_t* indices, ref_t* map) {
  for (uint32_t i = 0; i < source->instr_count; ++i) {
    const tvi_kir_instr_t* instr = &source->instrs[i];
    map[i] = instr->opcode == TVI_KIR_INDEX ? indices[instr->imm.i64]
                                            : tvi_kir_build_copy(b, instr, map);
  }
  return map[source->results[0]];
}

// What a load gives when the stage that computes its value is computed in its place.
static ref_t substitute(tvi_kir_builder_t* b, const stage_t* source, const tvi_kir_value_t* value,
                        const tvi_kir_load_t* load, const ref_t* map, ref_t* scratch) {
  ref_t indices[TRIVET_MAX_RANK];
  ref_t inside = TVI_KIR_NONE;
  ref_t zero = tvi_kir_build_int(b, TRIVET_DTYPE_I64, 0);
  for (uint32_t d = 0; d < load->index_count; ++d) {
    ref_t index = map[load->indices[d]];
    ref_t extent = tvi_kir_build_extent(b, value->dims[d]);
    uint8_t wrap = load->wrap != NULL ? load->wrap[d] : TVI_KIR_WRAP_NONE;
    if (wrap == TVI_KIR_WRAP_NEGATIVE) {
      ref_t below = tvi_kir_build_op(b, TVI_KIR_LT, TRIVET_DTYPE_BOOL, index, zero, TVI_KIR_NONE);
      ref_t more = tvi_kir_build_op(b, TVI_KIR_ADD, TRIVET_DTYPE_I64, index, extent, TVI_KIR_NONE);
      index = tvi_kir_build_op(b, TVI_KIR_SELECT, TRIVET_DTYPE_I64, below, more, index);
    } else if (wrap == TVI_KIR_WRAP_CLIP) {
      ref_t last = tvi_kir_build_op(b, TVI_KIR_SUB, TRIVET_DTYPE_I64, extent,
                                    tvi_kir_build_int(b, TRIVET_DTYPE_I64, 1), TVI_KIR_NONE);
      index = tvi_kir_build_op(b, TVI_KIR_MIN, TRIVET_DTYPE_I64, index, last, TVI_KIR_NONE);
      index = tvi_kir_build_op(b, TVI_KIR_MAX, TRIVET_DTYPE_I64, index, zero, TVI_KIR_NONE);
    }
    indices[d] = index;
    if (load->bounds != TVI_KIR_BOUNDS_PAD) continue;
    ref_t low = tvi_kir_build_op(b, TVI_KIR_GE, TRIVET_DTYPE_BOOL, index, zero, TVI_KIR_NONE);
    ref_t high = tvi_kir_build_op(b, TVI_KIR_LT, TRIVET_DTYPE_BOOL, index, extent, TVI_KIR_NONE);
    ref_t both = tvi_kir_build_op(b, TVI_KIR_AND, TRIVET_DTYPE_BOOL, low, high, TVI_KIR_NONE);
    inside = inside == TVI_KIR_NONE
                 ? both
                 : tvi_kir_build_op(b, TVI_KIR_AND, TRIVET_DTYPE_BOOL, inside, both, TVI_KIR_NONE);
  }
  if (inside == TVI_KIR_NONE) return splice(b, source, indices, scratch);
  ++b->conditional;
  ref_t body = splice(b, source, indices, scratch);
  --b->conditional;
  return tvi_kir_build_op(b, TVI_KIR_SELECT, value->dtype, inside, body, map[load->pad]);
}

// Rebuilds the body of a stage; loads of the value of |source| (NULL: none) are replaced by its
// body.
static trivet_status_t rebuild_in(program_t* program, stage_t* stage, const stage_t* source,
                                  tvi_arena_t* scratch) {
  tvi_kir_builder_t b;
  tvi_kir_builder_init(&b, program, stage->extents, scratch);
  ref_t *map, *inner = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(scratch, stage->instr_count, sizeof(*map), &map));
  if (source != NULL) {
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_alloc_array(scratch, source->instr_count, sizeof(*inner), &inner));
  }
  for (uint32_t i = 0; i < stage->instr_count && b.status == NULL; ++i) {
    const tvi_kir_instr_t* instr = &stage->instrs[i];
    if (source != NULL && instr->opcode == TVI_KIR_LOAD &&
        instr->imm.load->value == source->values[0]) {
      map[i] =
          substitute(&b, source, &program->values[source->values[0]], instr->imm.load, map, inner);
    } else {
      map[i] = tvi_kir_build_copy(&b, instr, map);
    }
  }
  ref_t results[TVI_KIR_MAX_STATE];
  uint32_t count = tvi_kir_element_count(stage);
  for (uint32_t i = 0; i < count && b.status == NULL; ++i) results[i] = map[stage->results[i]];
  tvi_kir_instr_t* instrs;
  uint32_t instr_count;
  TRIVET_RETURN_IF_ERROR(
      tvi_kir_builder_finish(&b, results, count, 0, NULL, program->arena, &instrs, &instr_count));
  stage->instrs = instrs;
  stage->instr_count = instr_count;
  memcpy(stage->results, results, count * sizeof(*results));
  return TRIVET_OK;
}

static trivet_status_t rebuild(program_t* program, stage_t* stage, const stage_t* source) {
  tvi_arena_t scratch;
  tvi_arena_init(&scratch, program->arena->allocator, 16384);
  trivet_status_t status = rebuild_in(program, stage, source, &scratch);
  tvi_arena_deinit(&scratch);
  return status;
}

trivet_status_t tvi_kir_simplify(program_t* program) {
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    TRIVET_RETURN_IF_ERROR(rebuild(program, &program->stages[s], NULL));
  }
  return TRIVET_OK;
}

// ---- Substitution ----

// Does the stage read the value under a pad? Then what is substituted may not be needed there.
static bool reads_padded(const stage_t* stage, uint32_t value) {
  for (uint32_t i = 0; i < stage->instr_count; ++i) {
    const tvi_kir_instr_t* instr = &stage->instrs[i];
    if (instr->opcode == TVI_KIR_LOAD && instr->imm.load->value == value &&
        instr->imm.load->bounds == TVI_KIR_BOUNDS_PAD) {
      return true;
    }
  }
  return false;
}

static bool may_fail(const program_t* program, uint32_t stage_index) {
  const stage_t* stage = &program->stages[stage_index];
  for (uint32_t i = 0; i < stage->instr_count; ++i) {
    const tvi_kir_instr_t* instr = &stage->instrs[i];
    if (instr->opcode == TVI_KIR_LOAD && instr->imm.load->bounds == TVI_KIR_BOUNDS_PROVEN &&
        !tvi_kir_prove_bounds(program, stage_index, i)) {
      return true;
    }
  }
  return false;
}

static bool can_inline_into(const program_t* program, uint32_t stage, uint32_t reader) {
  return !reads_padded(&program->stages[reader], program->stages[stage].values[0]) ||
         !may_fail(program, stage);
}

bool tvi_kir_can_inline_stage(const program_t* program, uint32_t stage) {
  const stage_t* source = &program->stages[stage];
  if (source->kind != TVI_KIR_MAP || program->values[source->values[0]].kind != TVI_KIR_TEMP) {
    return false;
  }
  for (uint32_t s = stage + 1; s < program->stage_count; ++s) {
    if (!can_inline_into(program, stage, s)) return false;
  }
  return true;
}

trivet_status_t tvi_kir_inline_into(program_t* program, uint32_t stage, uint32_t reader) {
  if (stage >= program->stage_count || reader >= program->stage_count || reader <= stage) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "stage %u cannot be substituted into stage %u", stage,
                         reader);
  }
  if (program->stages[stage].kind != TVI_KIR_MAP) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "stage %u is not a map: it cannot be substituted",
                         stage);
  }
  if (!can_inline_into(program, stage, reader)) {
    return TRIVET_STATUS(FAILED_PRECONDITION,
                         "stage %u may fail where stage %u does not need its value", stage, reader);
  }
  return rebuild(program, &program->stages[reader], &program->stages[stage]);
}

trivet_status_t tvi_kir_inline_stage(program_t* program, uint32_t stage) {
  if (stage >= program->stage_count || !tvi_kir_can_inline_stage(program, stage)) {
    return TRIVET_STATUS(FAILED_PRECONDITION, "stage %u cannot be substituted", stage);
  }
  uint32_t value = program->stages[stage].values[0];
  for (uint32_t s = stage + 1; s < program->stage_count; ++s) {
    bool reads = false;
    const stage_t* reader = &program->stages[s];
    for (uint32_t i = 0; i < reader->instr_count && !reads; ++i) {
      reads =
          reader->instrs[i].opcode == TVI_KIR_LOAD && reader->instrs[i].imm.load->value == value;
    }
    if (reads) TRIVET_RETURN_IF_ERROR(tvi_kir_inline_into(program, stage, s));
  }
  return TRIVET_OK;
}

// ---- Cost ----

static bool is_transcendental(uint16_t opcode) {
  return opcode == TVI_KIR_POW || opcode == TVI_KIR_ATAN2 ||
         (opcode >= TVI_KIR_EXP && opcode <= TVI_KIR_ERF);
}

static void count_instr(const tvi_kir_instr_t* instr, tvi_kir_cost_t* cost) {
  if (instr->opcode == TVI_KIR_LOAD) {
    ++cost->loads;
  } else if (is_transcendental(instr->opcode)) {
    ++cost->transcendentals;
  } else if (tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode) > 0) {
    cost->flops += instr->opcode == TVI_KIR_FMA ? 2 : 1;
  }
}

void tvi_kir_stage_cost(const program_t* program, uint32_t stage_index, tvi_kir_cost_t* out_cost) {
  const stage_t* stage = &program->stages[stage_index];
  tvi_kir_cost_t cost;
  memset(&cost, 0, sizeof(cost));
  cost.positions = tvi_dim_constant(program->dims, 1);
  for (uint32_t i = 0; i < stage->parallel_count + stage->reduced_count; ++i) {
    cost.positions =
        tvi_dim_binary(program->dims, TRIVET_DIM_MUL, cost.positions, stage->extents[i]);
  }
  // An i64 instruction that reads no data is arithmetic on indices, whatever uses it; so is the
  // comparison of two such.
  for (uint32_t i = 0; i < stage->instr_count; ++i) {
    const tvi_kir_instr_t* instr = &stage->instrs[i];
    uint32_t operands = tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
    bool index_only =
        operands > 0 && (instr->dtype == TRIVET_DTYPE_I64 || instr->dtype == TRIVET_DTYPE_BOOL);
    for (uint32_t j = 0; j < operands; ++j) {
      index_only = index_only && stage->instrs[instr->args[j]].dtype == TRIVET_DTYPE_I64 &&
                   stage->instrs[instr->args[j]].opcode != TVI_KIR_LOAD;
    }
    if (index_only) {
      ++cost.index_ops;
    } else {
      count_instr(instr, &cost);
    }
  }
  if (stage->monoid != NULL) {
    switch (stage->monoid->kind) {
      case TVI_KIR_ARGMAX:
      case TVI_KIR_ARGMIN:
        cost.flops += 2;
        break;
      case TVI_KIR_WELFORD:
        cost.flops += 6;
        break;
      case TVI_KIR_SOFTMAX_STATE:
        cost.flops += 4;
        cost.transcendentals += 1;
        break;
      case TVI_KIR_DECLARED:
        for (uint32_t i = 2 * stage->monoid->state_count; i < stage->monoid->join_count; ++i) {
          count_instr(&stage->monoid->join[i], &cost);
        }
        break;
      default:
        cost.flops += 1;
        break;
    }
  }
  *out_cost = cost;
}

int64_t tvi_kir_cost_positions(const tvi_kir_cost_t* cost, const int64_t* symbols,
                               uint32_t symbol_count) {
  int64_t value;
  if (trivet_status_consume(tvi_dim_evaluate(cost->positions, symbols, symbol_count, &value)) !=
      TRIVET_STATUS_OK) {
    return INT64_MAX;
  }
  return value < 0 ? 0 : value;
}
