// SPDX-License-Identifier: Apache-2.0
//
// Reductions taken apart: a stage for each part of a state, as its law says. See monoid.h.
// Between regions, which fuse.c forms, and targets, which then see the simple reductions that they
// have fast code for. Nothing here knows by what law a part is joined but monoid_parts.h.
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/kernel_ir/builder.h"
#include "core/kernel_ir/fuse.h"
#include "core/kernel_ir/monoid.h"
#include "core/kernel_ir/monoid_parts.h"
#include "core/kernel_ir/program.h"

// A part is a reduction, and where it is a mean a division after it.
#define MAX_MADE (2 * TVI_KIR_MAX_STATE)

typedef struct splitter_t {
  tvi_kir_program_t* program;
  tvi_arena_t* scratch;
  const tvi_kir_stage_t* stage;  // that is taken apart
  tvi_kir_part_t parts[TVI_KIR_MAX_STATE];
  uint32_t values[TVI_KIR_MAX_STATE];  // of the parts; TVI_KIR_NONE: nobody needs it
  tvi_kir_stage_t* made;
  uint32_t made_count;
  // Of the stage that is being made.
  tvi_kir_builder_t builder;
  tvi_kir_ref_t* map;  // instructions of |stage|
} splitter_t;

// ---- Bodies ----

static void begin_map(splitter_t* s) {
  tvi_kir_builder_init(&s->builder, s->program, s->stage->extents, s->scratch);
}

static trivet_status_t begin_reduce(splitter_t* s) {
  begin_map(s);
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(s->scratch, (size_t)s->stage->instr_count + 1,
                                               sizeof(*s->map), &s->map));
  for (uint32_t i = 0; i < s->stage->instr_count && s->builder.status == NULL; ++i)
    s->map[i] = tvi_kir_build_copy(&s->builder, &s->stage->instrs[i], s->map);
  return TRIVET_OK;
}

static tvi_kir_ref_t build(splitter_t* s, tvi_kir_opcode_t opcode, uint32_t dtype, tvi_kir_ref_t a,
                           tvi_kir_ref_t b) {
  return tvi_kir_build_op(&s->builder, opcode, dtype, a, b, TVI_KIR_NONE);
}

static tvi_kir_ref_t cast(splitter_t* s, uint32_t from, uint32_t to, tvi_kir_ref_t x) {
  return from == to ? x : build(s, TVI_KIR_CAST, to, x, TVI_KIR_NONE);
}

static tvi_kir_ref_t number(splitter_t* s, uint32_t dtype, double value) {
  return tvi_dtype_is_float(dtype) ? tvi_kir_build_float(&s->builder, dtype, value)
                                   : tvi_kir_build_int(&s->builder, dtype, (int64_t)value);
}

// The element of a predeclared state is one value; the rest are these numbers.
static bool has_constant_element(const splitter_t* s, uint32_t part, double* out_value) {
  const tvi_kir_monoid_t* monoid = s->stage->monoid;
  if (part >= monoid->element_count) {
    *out_value = monoid->kind == TVI_KIR_WELFORD && part == 1 ? 0 : 1;
    return true;
  }
  const tvi_kir_instr_t* element = &s->stage->instrs[s->stage->results[part]];
  if (element->opcode != TVI_KIR_CONST) return false;
  *out_value = tvi_dtype_is_float(element->dtype) ? element->imm.f64 : (double)element->imm.i64;
  return true;
}

static tvi_kir_ref_t element(splitter_t* s, uint32_t part) {
  double value = 0;
  if (part >= s->stage->monoid->element_count && has_constant_element(s, part, &value))
    return number(s, s->stage->monoid->dtypes[part], value);
  return s->map[s->stage->results[part]];
}

// |value|, which has the dimensions of the stage, at the point that is computed.
static tvi_kir_ref_t load(splitter_t* s, uint32_t value) {
  tvi_kir_ref_t indices[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < s->stage->parallel_count; ++i)
    indices[i] = tvi_kir_build_index(&s->builder, i);
  return tvi_kir_build_load(&s->builder, value, indices, NULL, TVI_KIR_NONE);
}

// The sum of |part| over all points, each of which has the same number; in a MAP.
static tvi_kir_ref_t constant_sum(splitter_t* s, uint32_t part, double each) {
  const tvi_kir_stage_t* stage = s->stage;
  const uint32_t dtype = stage->monoid->dtypes[part];
  tvi_kir_ref_t count = tvi_kir_build_int(&s->builder, TRIVET_DTYPE_I64, 1);
  for (uint32_t i = 0; i < stage->reduced_count; ++i)
    count = build(s, TVI_KIR_MUL, TRIVET_DTYPE_I64, count,
                  tvi_kir_build_extent(&s->builder, stage->extents[stage->parallel_count + i]));
  return build(s, TVI_KIR_MUL, dtype, cast(s, TRIVET_DTYPE_I64, dtype, count),
               number(s, dtype, each));
}

// ---- Stages ----

static trivet_status_t add_temporary(splitter_t* s, uint32_t part, uint32_t* out_value) {
  const tvi_kir_stage_t* stage = s->stage;
  trivet_type_t type = {stage->monoid->dtypes[part], stage->parallel_count, {0}};
  memcpy(type.dims, stage->extents, stage->parallel_count * sizeof(*type.dims));
  return tvi_kir_program_add_value(s->program, stage->monoid->state_names[part], TVI_KIR_TEMP,
                                   &type, TVI_KIR_NONE, out_value);
}

// Ends the body that was begun: its |result| is |value|, reduced with |kind| unless it is a MAP.
static trivet_status_t finish(splitter_t* s, tvi_kir_ref_t result, bool is_map,
                              tvi_kir_monoid_kind_t kind, uint32_t part, uint32_t value) {
  tvi_kir_stage_t made = *s->stage;
  TRIVET_RETURN_IF_ERROR(tvi_kir_builder_finish(&s->builder, &result, 1, 0, NULL, s->program->arena,
                                                &made.instrs, &made.instr_count));
  made.results[0] = result;
  made.monoid = NULL;
  made.result_count = 1;
  made.values[0] = value;
  if (is_map) {
    made.kind = TVI_KIR_MAP;
    made.reduced_count = 0;
  } else {
    tvi_kir_monoid_t* monoid;
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(s->program->arena, sizeof(*monoid), &monoid));
    monoid->kind = kind;
    TRIVET_RETURN_IF_ERROR(tvi_kir_monoid_fill(monoid, s->stage->monoid->dtypes[part]));
    made.monoid = monoid;
  }
  s->made[s->made_count++] = made;
  return TRIVET_OK;
}

// |value| is |sum|, the sum of what was multiplied with the weight, divided by all of the weight;
// of no weight at all there is but the identity.
static trivet_status_t make_quotient(splitter_t* s, uint32_t part, uint32_t sum, uint32_t value) {
  const tvi_kir_monoid_t* monoid = s->stage->monoid;
  const uint32_t dtype = monoid->dtypes[part], weight = s->parts[part].weight;
  double each;
  const bool is_constant = has_constant_element(s, weight, &each);
  bool is_certain = is_constant && each > 0;
  for (uint32_t i = 0; i < s->stage->reduced_count; ++i)
    is_certain = is_certain && tvi_dim_is_positive(s->program->dims,
                                                   s->stage->extents[s->stage->parallel_count + i]);
  begin_map(s);
  const tvi_kir_ref_t own =
      is_constant ? constant_sum(s, weight, each) : load(s, s->values[weight]);
  const tvi_kir_ref_t all = cast(s, monoid->dtypes[weight], dtype, own);
  const tvi_kir_ref_t quotient = build(s, TVI_KIR_DIV, dtype, load(s, sum), all);
  if (is_certain) return finish(s, quotient, true, TVI_KIR_SUM, part, value);
  const tvi_kir_ref_t is_empty = build(s, TVI_KIR_EQ, TRIVET_DTYPE_BOOL, all, number(s, dtype, 0));
  const double identity = monoid->kind == TVI_KIR_DECLARED ? monoid->identity[part] : 0;
  const tvi_kir_ref_t result = tvi_kir_build_op(&s->builder, TVI_KIR_SELECT, dtype, is_empty,
                                                number(s, dtype, identity), quotient);
  return finish(s, result, true, TVI_KIR_SUM, part, value);
}

static tvi_kir_ref_t times_weight(splitter_t* s, uint32_t part, tvi_kir_ref_t x) {
  const uint32_t dtype = s->stage->monoid->dtypes[part], weight = s->parts[part].weight;
  return build(s, TVI_KIR_MUL, dtype, x,
               cast(s, s->stage->monoid->dtypes[weight], dtype, element(s, weight)));
}

static tvi_kir_ref_t deviation(splitter_t* s, uint32_t mean) {
  return build(s, TVI_KIR_SUB, s->stage->monoid->dtypes[mean], element(s, mean),
               load(s, s->values[mean]));
}

// What a point of the reduction adds to |part|.
static tvi_kir_ref_t term(splitter_t* s, uint32_t part) {
  const tvi_kir_part_t* law = &s->parts[part];
  const uint32_t dtype = s->stage->monoid->dtypes[part];
  double own;
  switch (law->law) {
    case TVI_KIR_LAW_SCALED:
      return build(s, TVI_KIR_MUL, dtype, element(s, part),
                   build(s, TVI_KIR_EXP, dtype, deviation(s, law->by), TVI_KIR_NONE));
    case TVI_KIR_LAW_MEAN:
      return times_weight(s, part, element(s, part));
    case TVI_KIR_LAW_CENTRED:
    case TVI_KIR_LAW_CENTRED_MEAN: {
      const bool is_mean = law->law == TVI_KIR_LAW_CENTRED_MEAN;
      const tvi_kir_ref_t x = deviation(s, law->others[0]), y = deviation(s, law->others[1]);
      tvi_kir_ref_t product = build(s, TVI_KIR_MUL, dtype, x, y);
      if (!is_mean) product = times_weight(s, part, product);
      if (!has_constant_element(s, part, &own) || own != 0)
        product = build(s, TVI_KIR_ADD, dtype, element(s, part), product);
      return is_mean ? times_weight(s, part, product) : product;
    }
    case TVI_KIR_LAW_CENTRED_CUBE: {
      const tvi_kir_ref_t x = deviation(s, law->others[0]);
      const tvi_kir_ref_t square = build(s, TVI_KIR_MUL, dtype, x, x);
      tvi_kir_ref_t cube = times_weight(s, part, build(s, TVI_KIR_MUL, dtype, square, x));
      if (!has_constant_element(s, law->others[1], &own) || own != 0) {
        const tvi_kir_ref_t moved = build(s, TVI_KIR_MUL, dtype, x, element(s, law->others[1]));
        cube = build(s, TVI_KIR_ADD, dtype, cube,
                     build(s, TVI_KIR_MUL, dtype, number(s, dtype, 3), moved));
      }
      return has_constant_element(s, part, &own) && own == 0
                 ? cube
                 : build(s, TVI_KIR_ADD, dtype, element(s, part), cube);
    }
    default:
      return element(s, part);
  }
}

static trivet_status_t make_part(splitter_t* s, uint32_t part) {
  const tvi_kir_part_t* law = &s->parts[part];
  double each;
  if (law->law == TVI_KIR_LAW_SIMPLE && law->kind == TVI_KIR_SUM &&
      has_constant_element(s, part, &each)) {
    begin_map(s);
    return finish(s, constant_sum(s, part, each), true, TVI_KIR_SUM, part, s->values[part]);
  }
  const bool is_quotient = law->law == TVI_KIR_LAW_MEAN || law->law == TVI_KIR_LAW_CENTRED_MEAN;
  uint32_t reduced = s->values[part];
  if (is_quotient) TRIVET_RETURN_IF_ERROR(add_temporary(s, part, &reduced));
  TRIVET_RETURN_IF_ERROR(begin_reduce(s));
  TRIVET_RETURN_IF_ERROR(finish(s, term(s, part), false, law->kind, part, reduced));
  return is_quotient ? make_quotient(s, part, reduced, s->values[part]) : TRIVET_OK;
}

// Gives |part| a value if it has none.
static trivet_status_t need(splitter_t* s, uint32_t part) {
  return s->values[part] == TVI_KIR_NONE ? add_temporary(s, part, &s->values[part]) : TRIVET_OK;
}

// Parts that others are relative to get values: the last ones first.
static trivet_status_t need_others(splitter_t* s) {
  const uint32_t n = s->stage->monoid->state_count;
  double each;
  for (uint32_t turn = 0; turn < 2; ++turn) {
    for (uint32_t i = 0; i < n; ++i) {
      const tvi_kir_part_t* law = &s->parts[i];
      if (s->values[i] == TVI_KIR_NONE || law->law == TVI_KIR_LAW_SIMPLE) continue;
      if (law->law == TVI_KIR_LAW_SCALED) {
        TRIVET_RETURN_IF_ERROR(need(s, law->by));
        continue;
      }
      if ((law->law == TVI_KIR_LAW_MEAN || law->law == TVI_KIR_LAW_CENTRED_MEAN) &&
          !has_constant_element(s, law->weight, &each))
        TRIVET_RETURN_IF_ERROR(need(s, law->weight));
      const uint32_t means = law->law == TVI_KIR_LAW_MEAN           ? 0
                             : law->law == TVI_KIR_LAW_CENTRED_CUBE ? 1
                                                                    : 2;
      for (uint32_t k = 0; k < means; ++k) TRIVET_RETURN_IF_ERROR(need(s, law->others[k]));
    }
  }
  return TRIVET_OK;
}

// Appends the stages of the parts to |made|, those that others are relative to first.
static trivet_status_t split_stage(splitter_t* s) {
  static const uint8_t order[] = {
      [TVI_KIR_LAW_SIMPLE] = 0,  [TVI_KIR_LAW_MEAN] = 1,         [TVI_KIR_LAW_SCALED] = 2,
      [TVI_KIR_LAW_CENTRED] = 2, [TVI_KIR_LAW_CENTRED_MEAN] = 2, [TVI_KIR_LAW_CENTRED_CUBE] = 2};
  memcpy(s->values, s->stage->values, sizeof(s->values));
  TRIVET_RETURN_IF_ERROR(need_others(s));
  for (uint8_t turn = 0; turn < 3; ++turn)
    for (uint32_t i = 0; i < s->stage->monoid->state_count; ++i)
      if (order[s->parts[i].law] == turn && s->values[i] != TVI_KIR_NONE)
        TRIVET_RETURN_IF_ERROR(make_part(s, i));
  return TRIVET_OK;
}

// ---- Programs ----

static bool is_split(const tvi_kir_stage_t* stage, tvi_kir_part_t* parts) {
  return stage->kind == TVI_KIR_REDUCE && tvi_kir_stage_find_parts(stage, parts);
}

static trivet_status_t split_in(tvi_kir_program_t* program, uint32_t found, tvi_arena_t* scratch) {
  const uint32_t old_count = program->stage_count;
  const tvi_kir_stage_t* old = program->stages;
  splitter_t s = {.program = program, .scratch = scratch};
  uint32_t capacity = 4;
  // As program.c keeps it: room for the next power of two.
  while (capacity < 2 * (old_count + found * MAX_MADE)) capacity *= 2;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(program->arena, capacity, sizeof(*s.made), &s.made));
  for (uint32_t i = 0; i < old_count; ++i) {
    s.stage = &old[i];
    if (is_split(s.stage, s.parts)) {
      TRIVET_RETURN_IF_ERROR(split_stage(&s));
    } else {
      s.made[s.made_count++] = old[i];
    }
  }
  program->stages = s.made;
  program->stage_count = s.made_count;
  for (uint32_t i = 0; i < s.made_count; ++i)
    for (uint32_t r = 0; r < s.made[i].result_count; ++r)
      if (s.made[i].values[r] != TVI_KIR_NONE) program->values[s.made[i].values[r]].stage = i;
  return TRIVET_OK;
}

trivet_status_t tvi_kir_split_monoids(tvi_kir_program_t* program) {
  uint32_t found = 0;
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    tvi_kir_part_t parts[TVI_KIR_MAX_STATE];
    found += is_split(&program->stages[s], parts);
  }
  if (found == 0) return TRIVET_OK;
  tvi_arena_t scratch;
  tvi_arena_init(&scratch, program->arena->allocator, 16384);
  trivet_status_t status = split_in(program, found, &scratch);
  tvi_arena_deinit(&scratch);
  return status;
}
