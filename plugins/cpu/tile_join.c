// SPDX-License-Identifier: Apache-2.0
//
// Monoids as joins of a tile program: predeclared ones by number or as bodies written here,
// declared ones as their authors' bodies. See tile_assemble.h.

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/kernel_ir/monoid.h"
#include "plugins/cpu/tile_assemble.h"
#include "plugins/cpu/tile_patterns.h"

typedef tvi_tile_assembler_t assembler_t;

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

uint64_t tvi_tile_number_bits(uint32_t type, double value) {
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

uint32_t tvi_tile_state_count(const tvi_kir_monoid_t* monoid) {
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
trivet_status_t tvi_tile_assemble_join(assembler_t* a, const tvi_kir_stage_t* stage, uint32_t dtype,
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
      sink->identity[0] = tvi_tile_number_bits(type, 0.0);
      if (is_narrow) build_narrow(&b, TVI_TILE_OP_ADD, dtype, results);
      break;
    case TVI_KIR_PROD:
      if (!is_narrow) sink->join = TVI_TILE_JOIN_PROD;
      sink->identity[0] = tvi_tile_number_bits(type, 1.0);
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
      for (uint32_t i = 0; i < 3; ++i) sink->identity[i] = tvi_tile_number_bits(type, 0.0);
      build_welford(&b, type, results);
      break;
    case TVI_KIR_SOFTMAX_STATE:
      sink->count = 2;
      sink->identity[0] = extreme_bits(dtype, false);
      sink->identity[1] = tvi_tile_number_bits(type, 0.0);
      build_softmax_state(&b, type, results);
      break;
    default: {
      // What a declared join makes of two identities is not known.
      sink->join = tvi_kir_stage_is_commutative(stage) ? TVI_TILE_JOIN_LANES : TVI_TILE_JOIN_SERIAL;
      sink->count = monoid->state_count;
      for (uint32_t i = 0; i < monoid->state_count; ++i)
        sink->identity[i] =
            tvi_tile_number_bits(tvi_tile_type_of_dtype(monoid->dtypes[i]), monoid->identity[i]);
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
