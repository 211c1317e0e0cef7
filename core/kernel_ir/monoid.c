// SPDX-License-Identifier: Apache-2.0
//
// Properties of joins, found by trying them, and reductions taken apart. See monoid.h.
// Between regions, which fuse.c forms, and targets, which then see the simple reductions that they
// have fast code for; what order lanes join in is theirs to choose.
#include "core/kernel_ir/monoid.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/kernel_ir/builder.h"
#include "core/kernel_ir/fuse.h"
#include "core/kernel_ir/program.h"
#include "core/kernel_ir/scalar.h"

// Longest join that is tried; longer ones are taken to be in order.
#define MAX_TRIED 256
#define TRIALS 48

typedef tvi_kir_scalar_t scalar_t;

// ---- Trying ----

// Joins two states; false: the body is too long.
static bool apply_join(const tvi_kir_monoid_t* monoid, const scalar_t* a, const scalar_t* b,
                       scalar_t* out) {
  const uint32_t n = monoid->state_count;
  scalar_t values[MAX_TRIED];
  if (monoid->join_count > MAX_TRIED) return false;
  for (uint32_t i = 0; i < monoid->join_count; ++i) {
    const tvi_kir_instr_t* instr = &monoid->join[i];
    if (i < 2 * n) {
      values[i] = i < n ? a[i] : b[i - n];
      continue;
    }
    if (instr->opcode == TVI_KIR_CONST) {
      values[i].i = instr->imm.i64;  // the bits of a float lie in the same place
      continue;
    }
    const uint32_t count = tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
    if (count == 0) return false;
    const scalar_t* args[3];
    for (uint32_t k = 0; k < 3; ++k) args[k] = &values[instr->args[k < count ? k : 0]];
    tvi_kir_scalar_apply((tvi_kir_opcode_t)instr->opcode, instr->dtype,
                         monoid->join[instr->args[0]].dtype, 1, args[0], args[1], args[2],
                         &values[i]);
  }
  for (uint32_t i = 0; i < n; ++i) out[i] = values[monoid->join_results[i]];
  return true;
}

static bool is_same(uint32_t dtype, scalar_t a, scalar_t b, double tolerance) {
  if (!tvi_dtype_is_float(dtype)) return a.i == b.i;
  if (isnan(a.f) || isnan(b.f)) return isnan(a.f) && isnan(b.f);
  if (isinf(a.f) || isinf(b.f)) return a.f == b.f;
  return fabs(a.f - b.f) <= tolerance * (1 + fabs(a.f) + fabs(b.f));
}

// Every other trial draws from few values, so that parts of two states are equal. All are above 0,
// as counts and weights are in states that occur.
static scalar_t draw(uint32_t dtype, bool is_coarse, uint32_t* seed) {
  scalar_t value;
  *seed = *seed * 1664525u + 1013904223u;
  const uint32_t bits = *seed >> 8;
  if (tvi_dtype_is_float(dtype)) {
    value.f = is_coarse ? (double)(bits % 3 + 1) : (double)(bits + 1) / (1 << 22);
  } else {
    value.i = dtype == TRIVET_DTYPE_BOOL ? bits & 1 : bits % (is_coarse ? 3 : 100) + 1;
  }
  return value;
}

bool tvi_kir_monoid_is_commutative(const tvi_kir_monoid_t* monoid) {
  if (monoid->kind != TVI_KIR_DECLARED) return true;
  uint32_t seed = 1;
  for (uint32_t trial = 0; trial < TRIALS; ++trial) {
    scalar_t a[TVI_KIR_MAX_STATE], b[TVI_KIR_MAX_STATE];
    scalar_t left[TVI_KIR_MAX_STATE], right[TVI_KIR_MAX_STATE];
    for (uint32_t i = 0; i < monoid->state_count; ++i) {
      a[i] = draw(monoid->dtypes[i], trial % 2 != 0, &seed);
      b[i] = draw(monoid->dtypes[i], trial % 2 != 0, &seed);
    }
    if (!apply_join(monoid, a, b, left) || !apply_join(monoid, b, a, right)) return false;
    for (uint32_t i = 0; i < monoid->state_count; ++i)
      if (!is_same(monoid->dtypes[i], left[i], right[i], 1e-5)) return false;
  }
  return true;
}

bool tvi_kir_monoid_has_plain_identity(const tvi_kir_monoid_t* monoid) {
  if (monoid->kind != TVI_KIR_DECLARED) return true;
  scalar_t identity[TVI_KIR_MAX_STATE], joined[TVI_KIR_MAX_STATE];
  for (uint32_t i = 0; i < monoid->state_count; ++i) {
    if (tvi_dtype_is_float(monoid->dtypes[i])) {
      identity[i].f = monoid->identity[i];
    } else {
      identity[i].i = (int64_t)monoid->identity[i];
    }
  }
  if (!apply_join(monoid, identity, identity, joined)) return false;
  for (uint32_t i = 0; i < monoid->state_count; ++i)
    if (!is_same(monoid->dtypes[i], identity[i], joined[i], 0)) return false;
  return true;
}

// ---- Taking apart ----

// How one part of a state is joined.
typedef struct part_t {
  tvi_kir_monoid_kind_t kind;  // of the reduction that it becomes
  uint32_t scaled_by;          // part whose difference scales it; TVI_KIR_NONE: none
} part_t;

static bool has_args(const tvi_kir_instr_t* instr, tvi_kir_ref_t x, tvi_kir_ref_t y) {
  return (instr->args[0] == x && instr->args[1] == y) ||
         (instr->args[0] == y && instr->args[1] == x);
}

static bool is_simple(const tvi_kir_monoid_t* monoid, uint32_t part, tvi_kir_monoid_kind_t* kind) {
  const uint32_t dtype = monoid->dtypes[part];
  const tvi_kir_instr_t* result = &monoid->join[monoid->join_results[part]];
  const double identity = monoid->identity[part];
  if (!tvi_dtype_is_float(dtype) || !has_args(result, part, monoid->state_count + part))
    return false;
  switch (result->opcode) {
    case TVI_KIR_ADD:
      *kind = TVI_KIR_SUM;
      return identity == 0;
    case TVI_KIR_MUL:
      *kind = TVI_KIR_PROD;
      return identity == 1;
    case TVI_KIR_MAX:
      *kind = TVI_KIR_REDUCE_MAX;
      return isinf(identity) && identity < 0;
    case TVI_KIR_MIN:
      *kind = TVI_KIR_REDUCE_MIN;
      return isinf(identity) && identity > 0;
    default:
      return false;
  }
}

// side.part * exp(side.by - joined.by), the factors in either order?
static bool is_scaled_term(const tvi_kir_monoid_t* monoid, tvi_kir_ref_t ref, uint32_t first,
                           uint32_t part, uint32_t by) {
  const tvi_kir_instr_t* product = &monoid->join[ref];
  if (product->opcode != TVI_KIR_MUL) return false;
  for (uint32_t k = 0; k < 2; ++k) {
    const tvi_kir_instr_t* power = &monoid->join[product->args[1 - k]];
    if (product->args[k] != first + part || power->opcode != TVI_KIR_EXP) continue;
    const tvi_kir_instr_t* difference = &monoid->join[power->args[0]];
    if (difference->opcode == TVI_KIR_SUB && difference->args[0] == first + by &&
        difference->args[1] == monoid->join_results[by])
      return true;
  }
  return false;
}

static bool is_scaled(const tvi_kir_monoid_t* monoid, uint32_t part, uint32_t by) {
  const uint32_t n = monoid->state_count;
  const tvi_kir_instr_t* sum = &monoid->join[monoid->join_results[part]];
  if (sum->opcode != TVI_KIR_ADD || monoid->identity[part] != 0 ||
      !tvi_dtype_is_float(monoid->dtypes[part]) || monoid->dtypes[part] != monoid->dtypes[by])
    return false;
  for (uint32_t k = 0; k < 2; ++k)
    if (is_scaled_term(monoid, sum->args[k], 0, part, by) &&
        is_scaled_term(monoid, sum->args[1 - k], n, part, by))
      return true;
  return false;
}

static bool find_parts(const tvi_kir_monoid_t* monoid, part_t parts[TVI_KIR_MAX_STATE]) {
  bool is_known[TVI_KIR_MAX_STATE] = {false};
  if (monoid->kind == TVI_KIR_SOFTMAX_STATE) {
    parts[0] = (part_t){TVI_KIR_REDUCE_MAX, TVI_KIR_NONE};
    parts[1] = (part_t){TVI_KIR_SUM, 0};
    return true;
  }
  if (monoid->kind != TVI_KIR_DECLARED) return false;
  for (uint32_t i = 0; i < monoid->state_count; ++i) {
    parts[i].scaled_by = TVI_KIR_NONE;
    is_known[i] = is_simple(monoid, i, &parts[i].kind);
  }
  for (uint32_t i = 0; i < monoid->state_count; ++i) {
    for (uint32_t by = 0; by < monoid->state_count && !is_known[i]; ++by) {
      if (by == i || parts[by].scaled_by != TVI_KIR_NONE || !is_known[by] ||
          !is_scaled(monoid, i, by))
        continue;
      parts[i] = (part_t){TVI_KIR_SUM, by};
      is_known[i] = true;
    }
    if (!is_known[i]) return false;
  }
  return true;
}

// A stage that reduces part |part| of |stage| to |value|; |scale|: the value of the part that it is
// relative to, TVI_KIR_NONE: none.
static trivet_status_t make_part(tvi_kir_program_t* program, const tvi_kir_stage_t* stage,
                                 const part_t* parts, uint32_t part, uint32_t value, uint32_t scale,
                                 tvi_arena_t* scratch, tvi_kir_stage_t* out) {
  const uint32_t dtype = stage->monoid->dtypes[part];
  tvi_kir_monoid_t* monoid;
  tvi_kir_ref_t* map;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(program->arena, sizeof(*monoid), &monoid));
  monoid->kind = parts[part].kind;
  TRIVET_RETURN_IF_ERROR(tvi_kir_monoid_fill(monoid, dtype));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(scratch, (size_t)stage->instr_count + 1, sizeof(*map), &map));
  tvi_kir_builder_t b;
  tvi_kir_builder_init(&b, program, stage->extents, scratch);
  for (uint32_t i = 0; i < stage->instr_count && b.status == NULL; ++i)
    map[i] = tvi_kir_build_copy(&b, &stage->instrs[i], map);
  tvi_kir_ref_t result = TVI_KIR_NONE;
  if (b.status == NULL) {
    // The second part of "softmaxstate" is 1 for each element.
    result = part < stage->monoid->element_count ? map[stage->results[part]]
                                                 : tvi_kir_build_float(&b, dtype, 1);
  }
  if (scale != TVI_KIR_NONE && b.status == NULL) {
    tvi_kir_ref_t indices[TRIVET_MAX_RANK];
    for (uint32_t i = 0; i < stage->parallel_count; ++i) indices[i] = tvi_kir_build_index(&b, i);
    const tvi_kir_ref_t most = tvi_kir_build_load(&b, scale, indices, NULL, TVI_KIR_NONE);
    const tvi_kir_ref_t own = map[stage->results[parts[part].scaled_by]];
    const tvi_kir_ref_t difference =
        tvi_kir_build_op(&b, TVI_KIR_SUB, dtype, own, most, TVI_KIR_NONE);
    const tvi_kir_ref_t power =
        tvi_kir_build_op(&b, TVI_KIR_EXP, dtype, difference, TVI_KIR_NONE, TVI_KIR_NONE);
    result = tvi_kir_build_op(&b, TVI_KIR_MUL, dtype, result, power, TVI_KIR_NONE);
  }
  tvi_kir_stage_t made = *stage;
  made.monoid = monoid;
  made.result_count = 1;
  made.values[0] = value;
  TRIVET_RETURN_IF_ERROR(tvi_kir_builder_finish(&b, &result, 1, 0, NULL, program->arena,
                                                &made.instrs, &made.instr_count));
  made.results[0] = result;
  *out = made;
  return TRIVET_OK;
}

// Appends the stages of the parts to |out|, those that others are relative to first.
static trivet_status_t split_stage(tvi_kir_program_t* program, const tvi_kir_stage_t* stage,
                                   const part_t* parts, tvi_arena_t* scratch, tvi_kir_stage_t* out,
                                   uint32_t* count) {
  uint32_t values[TVI_KIR_MAX_STATE];
  memcpy(values, stage->values, sizeof(values));
  for (uint32_t i = 0; i < stage->monoid->state_count; ++i) {
    const uint32_t by = parts[i].scaled_by;
    if (by == TVI_KIR_NONE || values[i] == TVI_KIR_NONE || values[by] != TVI_KIR_NONE) continue;
    trivet_type_t type = {stage->monoid->dtypes[by], stage->parallel_count, {0}};
    memcpy(type.dims, stage->extents, stage->parallel_count * sizeof(*type.dims));
    TRIVET_RETURN_IF_ERROR(tvi_kir_program_add_value(
        program, stage->monoid->state_names[by], TVI_KIR_TEMP, &type, TVI_KIR_NONE, &values[by]));
  }
  for (int scaled = 0; scaled < 2; ++scaled) {
    for (uint32_t i = 0; i < stage->monoid->state_count; ++i) {
      const uint32_t by = parts[i].scaled_by;
      if ((by != TVI_KIR_NONE) != (scaled != 0) || values[i] == TVI_KIR_NONE) continue;
      TRIVET_RETURN_IF_ERROR(make_part(program, stage, parts, i, values[i],
                                       by == TVI_KIR_NONE ? by : values[by], scratch,
                                       &out[*count]));
      ++*count;
    }
  }
  return TRIVET_OK;
}

static trivet_status_t split_in(tvi_kir_program_t* program, uint32_t found, tvi_arena_t* scratch) {
  const uint32_t old_count = program->stage_count;
  const tvi_kir_stage_t* old = program->stages;
  tvi_kir_stage_t* stages;
  uint32_t capacity = 4, count = 0;
  // As program.c keeps it: room for the next power of two.
  while (capacity < 2 * (old_count + found * TVI_KIR_MAX_STATE)) capacity *= 2;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(program->arena, capacity, sizeof(*stages), &stages));
  for (uint32_t s = 0; s < old_count; ++s) {
    part_t parts[TVI_KIR_MAX_STATE];
    if (old[s].kind == TVI_KIR_REDUCE && find_parts(old[s].monoid, parts)) {
      TRIVET_RETURN_IF_ERROR(split_stage(program, &old[s], parts, scratch, stages, &count));
    } else {
      stages[count++] = old[s];
    }
  }
  program->stages = stages;
  program->stage_count = count;
  for (uint32_t s = 0; s < count; ++s)
    for (uint32_t i = 0; i < stages[s].result_count; ++i)
      if (stages[s].values[i] != TVI_KIR_NONE) program->values[stages[s].values[i]].stage = s;
  return TRIVET_OK;
}

trivet_status_t tvi_kir_split_monoids(tvi_kir_program_t* program) {
  uint32_t found = 0;
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    part_t parts[TVI_KIR_MAX_STATE];
    const tvi_kir_stage_t* stage = &program->stages[s];
    found += stage->kind == TVI_KIR_REDUCE && find_parts(stage->monoid, parts);
  }
  if (found == 0) return TRIVET_OK;
  tvi_arena_t scratch;
  tvi_arena_init(&scratch, program->arena->allocator, 16384);
  trivet_status_t status = split_in(program, found, &scratch);
  tvi_arena_deinit(&scratch);
  return status;
}
