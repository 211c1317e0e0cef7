// SPDX-License-Identifier: Apache-2.0
//
// Properties of joins, found by trying them. See monoid.h. Targets ask for them when they choose
// what order lanes join in; the laws of single parts are found in monoid_parts.c.
#include "core/kernel_ir/monoid.h"

#include <math.h>

#include "core/base/dtype.h"
#include "core/kernel_ir/monoid_parts.h"

// Longest join that is tried; longer ones are taken to be in order.
#define MAX_TRIED 256
#define TRIALS 48

typedef tvi_kir_scalar_t scalar_t;

// ---- Trying ----

static uint32_t exact_dtype(uint32_t dtype, bool is_exact) {
  return is_exact && tvi_dtype_is_float(dtype) ? TRIVET_DTYPE_F64 : dtype;
}

bool tvi_kir_monoid_apply(const tvi_kir_monoid_t* monoid, bool is_exact, const scalar_t* a,
                          const scalar_t* b, scalar_t* out) {
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
    tvi_kir_scalar_apply((tvi_kir_opcode_t)instr->opcode, exact_dtype(instr->dtype, is_exact),
                         exact_dtype(monoid->join[instr->args[0]].dtype, is_exact), 1, args[0],
                         args[1], args[2], &values[i]);
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
// as counts and weights are in states that occur; multiples of |unit| unless it is 0.
static scalar_t draw(uint32_t dtype, double unit, bool is_coarse, uint32_t* seed) {
  scalar_t value;
  *seed = *seed * 1664525u + 1013904223u;
  const uint32_t bits = *seed >> 8;
  if (tvi_dtype_is_float(dtype)) {
    value.f = is_coarse   ? (double)(bits % 3 + 1)
              : unit != 0 ? (double)(bits % 1000 + 1)
                          : (double)(bits + 1) / (1 << 22);
    if (unit != 0) value.f *= unit;
  } else {
    value.i = dtype == TRIVET_DTYPE_BOOL ? bits & 1 : bits % (is_coarse ? 3 : 100) + 1;
  }
  return value;
}

bool tvi_kir_stage_is_commutative(const tvi_kir_stage_t* stage) {
  const tvi_kir_monoid_t* monoid = stage->monoid;
  if (monoid->kind != TVI_KIR_DECLARED) return true;
  double units[TVI_KIR_MAX_STATE];
  tvi_kir_stage_units(stage, units);
  uint32_t seed = 1;
  for (uint32_t trial = 0; trial < TRIALS; ++trial) {
    scalar_t a[TVI_KIR_MAX_STATE], b[TVI_KIR_MAX_STATE];
    scalar_t left[TVI_KIR_MAX_STATE], right[TVI_KIR_MAX_STATE];
    for (uint32_t i = 0; i < monoid->state_count; ++i) {
      a[i] = draw(monoid->dtypes[i], units[i], trial % 2 != 0, &seed);
      b[i] = draw(monoid->dtypes[i], units[i], trial % 2 != 0, &seed);
    }
    if (!tvi_kir_monoid_apply(monoid, false, a, b, left) ||
        !tvi_kir_monoid_apply(monoid, false, b, a, right))
      return false;
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
  if (!tvi_kir_monoid_apply(monoid, false, identity, identity, joined)) return false;
  for (uint32_t i = 0; i < monoid->state_count; ++i)
    if (!is_same(monoid->dtypes[i], identity[i], joined[i], 0)) return false;
  return true;
}
