// SPDX-License-Identifier: Apache-2.0
//
// Assembles the tile program of a schedule: the bodies of a phase's stages become one, monoids
// become joins, values become slots, dimensions become parameters.

#include "plugins/cpu/tile_compile.h"

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/kernel_ir/monoid.h"
#include "plugins/cpu/tile_encode.h"
#include "plugins/cpu/tile_patterns.h"
#include "plugins/cpu/tile_schedule.h"

typedef struct assembler_t {
  const tvi_kir_program_t* program;
  tvi_tile_schedule_t schedule;
  tvi_arena_t* arena;
  trivet_allocator_t allocator;
  TVI_VECTOR(trivet_dim_t) parameters;
  TVI_VECTOR(uint32_t) operands;
  uint32_t* slot_of_value;
  TVI_VECTOR(tvi_tile_slot_t) slots;
  TVI_VECTOR(tvi_tile_section_t) sections;
  TVI_VECTOR(tvi_tile_phase_t) phases;
  TVI_VECTOR(tvi_tile_instr_t) instrs;
  TVI_VECTOR(tvi_tile_affine_t) affines;
  TVI_VECTOR(tvi_tile_access_t) accesses;
  TVI_VECTOR(tvi_tile_sink_t) sinks;
  uint32_t stored_count;
  uint32_t extra_values;  // kept ones that no kernel-IR value is
} assembler_t;

#define MAX_EXTRA_VALUES 64u

static trivet_status_t add_parameter(assembler_t* a, trivet_dim_t dim, uint32_t* out_parameter) {
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
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(a->arena, program->value_count + MAX_EXTRA_VALUES,
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
      TRIVET_RETURN_IF_ERROR(
          add_parameter(a, a->program->stages[value->stage].extents[d], &slot.dims[d]));
      const uint32_t loop = stage->loop_of_index[d];
      slot.outer[d] = slot.kind == TVI_TILE_SLOT_KEPT && loop < outer_count ? loop : TVI_TILE_NONE;
    }
    a->slot_of_value[v] = (uint32_t)a->slots.count;
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&a->slots, slot));
  }
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Joins
// ---------------------------------------------------------------------------------------------

typedef struct join_builder_t {
  tvi_tile_body_t body;
  trivet_status_t status;
} join_builder_t;

static uint32_t join_op(join_builder_t* b, uint32_t opcode, uint32_t type, uint32_t x, uint32_t y,
                        uint32_t z) {
  uint32_t args[3] = {x, y, z}, ref = 0;
  if (!b->status) b->status = tvi_tile_body_op(&b->body, opcode, type, 0, args, &ref);
  return ref;
}
static uint32_t join_arg(join_builder_t* b, uint32_t type, uint32_t number) {
  tvi_tile_instr_t instr = {.opcode = TVI_TILE_OP_ARG, .type = (uint8_t)type, .imm = number};
  uint32_t ref = 0;
  memset(instr.args, 0xff, sizeof(instr.args));
  if (!b->status) b->status = tvi_tile_body_add(&b->body, &instr, &ref);
  return ref;
}
static uint32_t join_float(join_builder_t* b, uint32_t type, double value) {
  uint32_t ref = 0;
  if (!b->status)
    b->status = tvi_tile_body_constant(&b->body, type, tvi_tile_float_bits(type, value), &ref);
  return ref;
}

// (value, position) with the first extreme; NaN is greater than every number for argmax and wins
// for argmin too.
static void build_arg_extreme(join_builder_t* b, uint32_t type, bool is_max, uint32_t* results) {
  const bool is_float = type == TVI_TILE_F32 || type == TVI_TILE_F64;
  const uint32_t av = join_arg(b, type, 0), ap = join_arg(b, TVI_TILE_I64, 1);
  const uint32_t bv = join_arg(b, type, 2), bp = join_arg(b, TVI_TILE_I64, 3);
  uint32_t better = is_max ? join_op(b, TVI_TILE_OP_LT, type, av, bv, 0)
                           : join_op(b, TVI_TILE_OP_LT, type, bv, av, 0);
  uint32_t equal = join_op(b, TVI_TILE_OP_EQ, type, av, bv, 0);
  if (is_float) {
    const uint32_t a_nan = join_op(b, TVI_TILE_OP_ISNAN, type, av, 0, 0);
    const uint32_t b_nan = join_op(b, TVI_TILE_OP_ISNAN, type, bv, 0, 0);
    const uint32_t only_b = join_op(b, TVI_TILE_OP_LT, TVI_TILE_I32, a_nan, b_nan, 0);
    const uint32_t both = join_op(b, TVI_TILE_OP_AND, TVI_TILE_I32, a_nan, b_nan, 0);
    better = join_op(b, TVI_TILE_OP_OR, TVI_TILE_I32, better, only_b, 0);
    equal = join_op(b, TVI_TILE_OP_OR, TVI_TILE_I32, equal, both, 0);
  }
  const uint32_t earlier = join_op(b, TVI_TILE_OP_LT, TVI_TILE_I64, bp, ap, 0);
  const uint32_t tie = join_op(b, TVI_TILE_OP_AND, TVI_TILE_I32, equal, earlier, 0);
  const uint32_t take = join_op(b, TVI_TILE_OP_OR, TVI_TILE_I32, better, tie, 0);
  results[0] = join_op(b, TVI_TILE_OP_SELECT, type, take, bv, av);
  results[1] = join_op(b, TVI_TILE_OP_SELECT, TVI_TILE_I64, take, bp, ap);
}

// Chan's update of (mean, m2, count); two empty states give an empty one.
static void build_welford(join_builder_t* b, uint32_t type, uint32_t* results) {
  uint32_t s[6];
  for (uint32_t i = 0; i < 6; ++i) s[i] = join_arg(b, type, i);
  const uint32_t zero = join_float(b, type, 0.0);
  const uint32_t count = join_op(b, TVI_TILE_OP_ADD, type, s[2], s[5], 0);
  const uint32_t is_empty = join_op(b, TVI_TILE_OP_EQ, type, count, zero, 0);
  const uint32_t quotient = join_op(b, TVI_TILE_OP_DIV, type, s[5], count, 0);
  const uint32_t share = join_op(b, TVI_TILE_OP_SELECT, type, is_empty, zero, quotient);
  const uint32_t delta = join_op(b, TVI_TILE_OP_SUB, type, s[3], s[0], 0);
  const uint32_t step = join_op(b, TVI_TILE_OP_MUL, type, delta, share, 0);
  results[0] = join_op(b, TVI_TILE_OP_ADD, type, s[0], step, 0);
  const uint32_t both = join_op(b, TVI_TILE_OP_ADD, type, s[1], s[4], 0);
  const uint32_t weighted = join_op(b, TVI_TILE_OP_MUL, type, step, s[2], 0);
  const uint32_t between = join_op(b, TVI_TILE_OP_MUL, type, weighted, delta, 0);
  results[1] = join_op(b, TVI_TILE_OP_ADD, type, both, between, 0);
  results[2] = count;
}

// (m, s) with s = sum of exp(x - m). A state whose maximum is the common one keeps its sum, which
// also covers two empty states.
static void build_softmax_state(join_builder_t* b, uint32_t type, uint32_t* results) {
  uint32_t s[4];
  for (uint32_t i = 0; i < 4; ++i) s[i] = join_arg(b, type, i);
  results[0] = join_op(b, TVI_TILE_OP_MAX, type, s[0], s[2], 0);
  uint32_t part[2];
  for (uint32_t i = 0; i < 2; ++i) {
    const uint32_t is_top = join_op(b, TVI_TILE_OP_EQ, type, s[2 * i], results[0], 0);
    const uint32_t below = join_op(b, TVI_TILE_OP_SUB, type, s[2 * i], results[0], 0);
    const uint32_t factor = join_op(b, TVI_TILE_OP_EXP, type, below, 0, 0);
    const uint32_t scaled = join_op(b, TVI_TILE_OP_MUL, type, s[2 * i + 1], factor, 0);
    part[i] = join_op(b, TVI_TILE_OP_SELECT, type, is_top, s[2 * i + 1], scaled);
  }
  results[1] = join_op(b, TVI_TILE_OP_ADD, type, part[0], part[1], 0);
}

// Sums and products of narrow integers stay in their type.
static void build_narrow(join_builder_t* b, uint32_t opcode, uint32_t dtype, uint32_t* results) {
  const uint32_t x = join_arg(b, TVI_TILE_I32, 0), y = join_arg(b, TVI_TILE_I32, 1);
  uint32_t ref = join_op(b, opcode, TVI_TILE_I32, x, y, 0);
  if (!b->status)
    b->status =
        tvi_tile_body_op(&b->body, TVI_TILE_OP_NARROW, TVI_TILE_I32, dtype, &ref, &results[0]);
}

static uint64_t number_bits(uint32_t type, double value) {
  switch (type) {
    case TVI_TILE_F32:
    case TVI_TILE_F64:
      return tvi_tile_float_bits(type, value);
    case TVI_TILE_I64:
      return (uint64_t)(value >= 9223372036854775808.0 ? INT64_MAX : (int64_t)value);
    case TVI_TILE_U64:
      return value <= 0 ? 0 : (uint64_t)value;
    default:
      return (uint64_t)(uint32_t)(int64_t)value;
  }
}

static uint64_t extreme_bits(uint32_t dtype, bool is_greatest) {
  const uint32_t type = tvi_tile_type_of_dtype(dtype);
  if (type == TVI_TILE_F32 || type == TVI_TILE_F64)
    return tvi_tile_float_bits(type, is_greatest ? __builtin_inf() : -__builtin_inf());
  const tvi_dtype_info_t* info = tvi_dtype_info(dtype);
  const uint64_t bits = is_greatest ? info->int_max : (uint64_t)info->int_min;
  return tvi_tile_type_bytes(type) == 8 ? bits : (uint64_t)(uint32_t)bits;
}

static uint32_t state_count(const tvi_kir_monoid_t* monoid) {
  switch (monoid->kind) {
    case TVI_KIR_ARGMAX:
    case TVI_KIR_ARGMIN:
    case TVI_KIR_SOFTMAX_STATE:
      return 2;
    case TVI_KIR_WELFORD:
      return 3;
    case TVI_KIR_DECLARED:
      return monoid->state_count;
    default:
      return 1;
  }
}

// Fills what the sink says about the join of |stage|, whose elements are of |dtype|.
static trivet_status_t make_join(assembler_t* a, const tvi_kir_stage_t* stage, uint32_t dtype,
                                 tvi_tile_sink_t* sink) {
  const tvi_kir_monoid_t* monoid = stage->monoid;
  const uint32_t type = tvi_tile_type_of_dtype(dtype);
  const bool is_narrow =
      type == TVI_TILE_I32 && dtype != TRIVET_DTYPE_I32 && dtype != TRIVET_DTYPE_BOOL;
  join_builder_t b = {0};
  tvi_tile_body_init(&b.body, a->program->dims, a->allocator);
  uint32_t results[TVI_KIR_MAX_STATE] = {0};
  sink->count = 1;
  sink->join = TVI_TILE_JOIN_BODY;
  switch (monoid->kind) {
    case TVI_KIR_SUM:
      if (!is_narrow) sink->join = TVI_TILE_JOIN_SUM;
      sink->identity[0] = number_bits(type, 0.0);
      if (is_narrow) build_narrow(&b, TVI_TILE_OP_ADD, dtype, results);
      break;
    case TVI_KIR_PROD:
      if (!is_narrow) sink->join = TVI_TILE_JOIN_PROD;
      sink->identity[0] = number_bits(type, 1.0);
      if (is_narrow) build_narrow(&b, TVI_TILE_OP_MUL, dtype, results);
      break;
    case TVI_KIR_REDUCE_MIN:
      sink->join = TVI_TILE_JOIN_MIN;
      sink->identity[0] = extreme_bits(dtype, true);
      break;
    case TVI_KIR_REDUCE_MAX:
      sink->join = TVI_TILE_JOIN_MAX;
      sink->identity[0] = extreme_bits(dtype, false);
      break;
    case TVI_KIR_ANY:
      sink->join = TVI_TILE_JOIN_OR;
      break;
    case TVI_KIR_ALL:
      sink->join = TVI_TILE_JOIN_AND;
      sink->identity[0] = 1;
      break;
    case TVI_KIR_ARGMAX:
    case TVI_KIR_ARGMIN:
      sink->count = 2;
      sink->identity[0] = extreme_bits(dtype, monoid->kind == TVI_KIR_ARGMIN);
      sink->identity[1] = (uint64_t)INT64_MAX;
      build_arg_extreme(&b, type, monoid->kind == TVI_KIR_ARGMAX, results);
      break;
    case TVI_KIR_WELFORD:
      sink->count = 3;
      for (uint32_t i = 0; i < 3; ++i) sink->identity[i] = number_bits(type, 0.0);
      build_welford(&b, type, results);
      break;
    case TVI_KIR_SOFTMAX_STATE:
      sink->count = 2;
      sink->identity[0] = extreme_bits(dtype, false);
      sink->identity[1] = number_bits(type, 0.0);
      build_softmax_state(&b, type, results);
      break;
    default: {
      // What a declared join makes of two identities is not known.
      sink->join = tvi_kir_stage_is_commutative(stage) ? TVI_TILE_JOIN_LANES : TVI_TILE_JOIN_SERIAL;
      sink->count = monoid->state_count;
      for (uint32_t i = 0; i < monoid->state_count; ++i)
        sink->identity[i] =
            number_bits(tvi_tile_type_of_dtype(monoid->dtypes[i]), monoid->identity[i]);
      tvi_tile_lowering_t lowering = {
          .program = a->program, .is_inlined = a->schedule.is_inlined, .arena = a->arena};
      b.status = tvi_tile_lower_join(&lowering, monoid, &b.body, results);
      uint32_t* map;
      if (!b.status)
        b.status = tvi_tile_body_improve(&b.body, results, monoid->state_count, a->arena, &map);
      for (uint32_t i = 0; !b.status && i < monoid->state_count; ++i) results[i] = map[results[i]];
    }
  }
  if (!b.status && sink->join >= TVI_TILE_JOIN_BODY) {
    sink->join_first = (uint32_t)a->instrs.count;
    sink->join_count = (uint32_t)b.body.instrs.count;
    memcpy(sink->join_results, results, sizeof(results));
    b.status = tvi_vector_append(&a->instrs, b.body.instrs.data, b.body.instrs.count);
  }
  tvi_tile_body_deinit(&b.body);
  return b.status;
}

// ---------------------------------------------------------------------------------------------
// Phases
// ---------------------------------------------------------------------------------------------

// Result of stage |producer| that is |value|.
static uint32_t result_number(const tvi_kir_stage_t* producer, uint32_t value) {
  for (uint32_t r = 0; r < TVI_KIR_MAX_STATE; ++r)
    if (producer->values[r] == value) return r;
  return 0;
}

typedef struct phase_builder_t {
  tvi_tile_body_t body;
  uint32_t (*results)[TVI_KIR_MAX_STATE];  // by stage, in the phase's body
  uint8_t* is_here;                        // by stage
  uint32_t reduced_count;
  const uint32_t* stages;  // in the order of the schedule
  uint32_t stage_count;    // 0: the phase stores |kept_root| to |kept_value|
  uint32_t kept_root;
  uint32_t kept_value;
} phase_builder_t;

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
    TRIVET_RETURN_IF_ERROR(add_parameter(a, form->constant, &affine.offset));
  for (uint32_t l = 0; l < TVI_TILE_MAX_LOOPS; ++l) {
    if (!form->coefficients[l]) continue;
    affine.loops[affine.term_count] = l;
    TRIVET_RETURN_IF_ERROR(
        add_parameter(a, form->coefficients[l], &affine.coefficients[affine.term_count]));
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
  TRIVET_RETURN_IF_ERROR(make_join(a, s, dtype, &sink));
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
        tvi_tile_body_constant(&p->body, type, number_bits(type, 0.0), &results[1]));
    return tvi_tile_body_constant(&p->body, type, number_bits(type, 1.0), &results[2]);
  }
  if (s->monoid->kind == TVI_KIR_SOFTMAX_STATE)
    return tvi_tile_body_constant(&p->body, type, number_bits(type, 1.0), &results[1]);
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

static trivet_status_t start_phase(assembler_t* a, phase_builder_t* p,
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
    const uint32_t count = is_state ? state_count(s->monoid) : s->result_count;
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
static trivet_status_t identity_access(phase_builder_t* p, uint32_t value,
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

static trivet_status_t finish_phase(assembler_t* a, phase_builder_t* p) {
  uint32_t* map = NULL;
  TRIVET_RETURN_IF_ERROR(improve_phase(a, p, &map));
  tvi_tile_phase_t phase = {.loop_count = p->body.loop_count,
                            .reduced_count = p->reduced_count,
                            .instr_first = (uint32_t)a->instrs.count,
                            .affine_first = (uint32_t)a->affines.count,
                            .access_first = (uint32_t)a->accesses.count,
                            .sink_first = (uint32_t)a->sinks.count};
  for (uint32_t l = 0; l < phase.loop_count; ++l)
    TRIVET_RETURN_IF_ERROR(add_parameter(a, p->body.extents[l], &phase.extents[l]));
  TRIVET_RETURN_IF_ERROR(tvi_vector_append(&a->instrs, p->body.instrs.data, p->body.instrs.count));
  phase.instr_count = (uint32_t)p->body.instrs.count;
  TRIVET_RETURN_IF_ERROR(append_accesses(a, &p->body));
  for (uint32_t i = 0; i < p->stage_count; ++i)
    TRIVET_RETURN_IF_ERROR(add_sink(a, p, &phase, p->stages[i], map));
  if (p->stage_count == 0) {
    tvi_tile_body_access_t access;
    TRIVET_RETURN_IF_ERROR(identity_access(p, p->kept_value, &access));
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

// ---------------------------------------------------------------------------------------------
// Sharing between phases
// ---------------------------------------------------------------------------------------------

// A softmax reduces exp(x - m) and then divides it: what a reduction computes at great cost and a
// later phase computes again at the same points becomes a phase of its own, whose values are kept.

#define SHARED_COST 8u
#define SHARED_ELEMENTS 65536  // of one outer point; every thread keeps a few of them

static uint32_t instr_cost(const tvi_tile_instr_t* instr) {
  switch (instr->opcode) {
    case TVI_TILE_OP_CONST:
    case TVI_TILE_OP_AFFINE:
      return 0;
    case TVI_TILE_OP_POW:
    case TVI_TILE_OP_ATAN2:
      return 20;
    default:
      return instr->opcode >= TVI_TILE_OP_EXP && instr->opcode <= TVI_TILE_OP_ERF ? 8 : 1;
  }
}

static bool same_access(const tvi_tile_body_t* x, const tvi_tile_body_access_t* a,
                        const tvi_tile_body_t* y, const tvi_tile_body_access_t* b,
                        const uint32_t* map) {
  if (a->value != b->value || a->bounds != b->bounds || a->rank != b->rank) return false;
  if (a->bounds == TVI_TILE_BOUNDS_PAD && map[a->pad] != b->pad) return false;
  for (uint32_t d = 0; d < a->rank; ++d) {
    const tvi_tile_body_index_t *i = &a->indices[d], *j = &b->indices[d];
    if (i->is_register != j->is_register || i->wrap != j->wrap) return false;
    if (i->is_register ? map[i->ref] != j->ref
                       : memcmp(&x->affines.data[i->ref], &y->affines.data[j->ref],
                                sizeof(tvi_tile_symbolic_t)) != 0)
      return false;
  }
  return true;
}

// The instruction of |y| that computes what |root| computes in |x|, loop for loop; TVI_TILE_NONE.
static trivet_status_t find_same(assembler_t* a, const tvi_tile_body_t* x, uint32_t root,
                                 const tvi_tile_body_t* y, uint32_t* out_ref) {
  uint32_t* map;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(a->arena, root + 1, sizeof(*map), &map));
  for (uint32_t i = 0; i <= root; ++i) {
    const tvi_tile_instr_t* instr = &x->instrs.data[i];
    const uint32_t operands = tvi_tile_opcode_info(instr->opcode, NULL);
    map[i] = TVI_TILE_NONE;
    for (uint32_t j = 0; j < y->instrs.count && map[i] == TVI_TILE_NONE; ++j) {
      const tvi_tile_instr_t* other = &y->instrs.data[j];
      bool same =
          other->opcode == instr->opcode && other->type == instr->type && other->aux == instr->aux;
      for (uint32_t k = 0; same && k < operands; ++k) same = map[instr->args[k]] == other->args[k];
      if (!same) continue;
      if (instr->opcode == TVI_TILE_OP_AFFINE) {
        same = memcmp(&x->affines.data[instr->imm], &y->affines.data[other->imm],
                      sizeof(tvi_tile_symbolic_t)) == 0;
      } else if (instr->opcode == TVI_TILE_OP_LOAD) {
        same = same_access(x, &x->accesses.data[instr->imm], y, &y->accesses.data[other->imm], map);
      } else {
        same = instr->imm == other->imm;
      }
      if (same) map[i] = j;
    }
  }
  *out_ref = map[root];
  return TRIVET_OK;
}

static uint32_t cone_cost(const tvi_tile_body_t* body, uint32_t root, uint8_t* is_in) {
  uint32_t cost = 0;
  is_in[root] = 1;
  for (uint32_t i = root + 1; i-- > 0;) {
    if (!is_in[i]) continue;
    const tvi_tile_instr_t* instr = &body->instrs.data[i];
    cost += instr_cost(instr);
    for (uint32_t k = 0; k < tvi_tile_opcode_info(instr->opcode, NULL); ++k)
      is_in[instr->args[k]] = 1;
  }
  return cost;
}

// A kept slot with the loops of a phase as dimensions; a number after those of all values.
static trivet_status_t add_kept_value(assembler_t* a, const phase_builder_t* p, uint32_t section,
                                      uint32_t type, uint32_t* out_value) {
  tvi_tile_slot_t slot = {.kind = TVI_TILE_SLOT_KEPT,
                          .dtype = type == TVI_TILE_F32 ? TRIVET_DTYPE_F32 : TRIVET_DTYPE_F64,
                          .rank = p->body.loop_count,
                          .section = section};
  const uint32_t outer_count = a->schedule.sections.data[section].outer_count;
  for (uint32_t d = 0; d < slot.rank; ++d) {
    TRIVET_RETURN_IF_ERROR(add_parameter(a, p->body.extents[d], &slot.dims[d]));
    slot.outer[d] = d < outer_count ? d : TVI_TILE_NONE;
  }
  *out_value = a->program->value_count + a->extra_values++;
  a->slot_of_value[*out_value] = (uint32_t)a->slots.count;
  return tvi_vector_push(&a->slots, slot);
}

static trivet_status_t replace_by_load(phase_builder_t* p, uint32_t ref, uint32_t value) {
  tvi_tile_body_access_t access;
  TRIVET_RETURN_IF_ERROR(identity_access(p, value, &access));
  tvi_tile_instr_t* instr = &p->body.instrs.data[ref];
  instr->opcode = TVI_TILE_OP_LOAD;
  instr->aux = 0;
  memset(instr->args, 0xff, sizeof(instr->args));
  instr->imm = p->body.accesses.count;
  return tvi_vector_push(&p->body.accesses, access);
}

// Are all values of one outer point few enough to be kept? Extents that are not known are taken to
// be, as long as there is an outer loop.
static bool is_small_enough(const assembler_t* a, const phase_builder_t* p, uint32_t section) {
  const uint32_t outer_count = a->schedule.sections.data[section].outer_count;
  int64_t inner = 1;
  for (uint32_t d = outer_count; d < p->body.loop_count; ++d) {
    int64_t extent;
    if (!tvi_dim_is_constant(p->body.extents[d], &extent)) {
      if (outer_count == 0) return false;
    } else {
      if (extent > SHARED_ELEMENTS) return false;
      if (extent > 0) inner *= extent;
      if (inner > SHARED_ELEMENTS) return false;
    }
  }
  return true;
}

// Looks for what phase |at| may share with later ones; *out_new is the phase to run before it.
static trivet_status_t share_phase(assembler_t* a, phase_builder_t* phases, uint32_t count,
                                   uint32_t at, uint32_t section, phase_builder_t* out_new,
                                   bool* out_shared) {
  phase_builder_t* p = &phases[at];
  *out_shared = false;
  if (p->stage_count != 1 || p->reduced_count == 0 || p->body.loop_count > TRIVET_MAX_RANK ||
      a->extra_values >= MAX_EXTRA_VALUES || !is_small_enough(a, p, section))
    return TRIVET_OK;
  const tvi_kir_stage_t* s = &a->program->stages[p->stages[0]];
  if (state_count(s->monoid) != 1) return TRIVET_OK;
  const uint32_t root = p->results[p->stages[0]][0];
  const uint32_t type = tvi_tile_result_type(&p->body.instrs.data[root]);
  if (type != TVI_TILE_F32 && type != TVI_TILE_F64) return TRIVET_OK;
  uint8_t* is_in;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(a->arena, root + 1, 1, &is_in));
  if (cone_cost(&p->body, root, is_in) < SHARED_COST) return TRIVET_OK;
  uint32_t value = TVI_TILE_NONE;
  for (uint32_t q = at + 1; q < count; ++q) {
    if (phases[q].body.loop_count != p->body.loop_count ||
        memcmp(phases[q].body.extents, p->body.extents,
               p->body.loop_count * sizeof(p->body.extents[0])) != 0)
      continue;
    uint32_t same;
    TRIVET_RETURN_IF_ERROR(find_same(a, &p->body, root, &phases[q].body, &same));
    if (same == TVI_TILE_NONE) continue;
    if (value == TVI_TILE_NONE) TRIVET_RETURN_IF_ERROR(add_kept_value(a, p, section, type, &value));
    TRIVET_RETURN_IF_ERROR(replace_by_load(&phases[q], same, value));
  }
  if (value == TVI_TILE_NONE) return TRIVET_OK;
  // The old body computes and stores; the reduction gets a new one that reads.
  *out_new = *p;
  out_new->reduced_count = 0;
  out_new->stage_count = 0;
  out_new->kept_root = root;
  out_new->kept_value = value;
  *out_shared = true;
  tvi_tile_body_init(&p->body, a->program->dims, a->allocator);
  p->body.loop_count = out_new->body.loop_count;
  memcpy(p->body.extents, out_new->body.extents, sizeof(p->body.extents));
  tvi_tile_body_access_t access;
  TRIVET_RETURN_IF_ERROR(identity_access(p, value, &access));
  return tvi_tile_body_load(&p->body, &access, type, &p->results[p->stages[0]][0]);
}

static trivet_status_t build_section(assembler_t* a, uint32_t number, phase_builder_t* phases,
                                     uint32_t* count) {
  const tvi_tile_schedule_section_t* from = &a->schedule.sections.data[number];
  tvi_tile_section_t section = {.outer_count = from->outer_count,
                                .phase_first = (uint32_t)a->phases.count};
  for (uint32_t p = 0; p < from->phase_count; ++p) {
    ++*count;
    TRIVET_RETURN_IF_ERROR(
        start_phase(a, &phases[p], &a->schedule.phases.data[from->phase_first + p]));
  }
  for (uint32_t p = 0; p < *count; ++p) {
    phase_builder_t before;
    bool is_shared;
    trivet_status_t status = share_phase(a, phases, *count, p, number, &before, &is_shared);
    if (is_shared) {
      if (!status) status = finish_phase(a, &before);
      tvi_tile_body_deinit(&before.body);
    }
    TRIVET_RETURN_IF_ERROR(status);
    TRIVET_RETURN_IF_ERROR(finish_phase(a, &phases[p]));
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
