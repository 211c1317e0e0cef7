// SPDX-License-Identifier: Apache-2.0
//
// Laws of joins. Sums, extremes and sums scaled by a power are known by their form; means and
// products of deviations are written in too many ways for that, so the join is tried: what is made
// of + - * / alone and agrees with a law on random states is that law. See monoid_parts.h.
#include "core/kernel_ir/monoid_parts.h"

#include <math.h>

#include "core/base/dtype.h"

typedef tvi_kir_scalar_t scalar_t;
typedef tvi_kir_part_t part_t;

#define TRIALS 64
#define MAX_JOIN 64         // instructions of a join that is tried
#define LAW_TOLERANCE 1e-7  // of the greatest term; below what f32 can tell

// ---- By form ----

static bool has_args(const tvi_kir_instr_t* instr, tvi_kir_ref_t x, tvi_kir_ref_t y) {
  return (instr->args[0] == x && instr->args[1] == y) ||
         (instr->args[0] == y && instr->args[1] == x);
}

static bool is_simple(const tvi_kir_monoid_t* monoid, uint32_t part, tvi_kir_monoid_kind_t* kind) {
  const uint32_t dtype = monoid->dtypes[part];
  const tvi_kir_instr_t* result = &monoid->join[monoid->join_results[part]];
  const double identity = monoid->identity[part];
  if (dtype == TRIVET_DTYPE_BOOL || !has_args(result, part, monoid->state_count + part))
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
      return tvi_dtype_is_float(dtype) && isinf(identity) && identity < 0;
    case TVI_KIR_MIN:
      *kind = TVI_KIR_REDUCE_MIN;
      return tvi_dtype_is_float(dtype) && isinf(identity) && identity > 0;
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

void tvi_kir_stage_units(const tvi_kir_stage_t* stage, double units[TVI_KIR_MAX_STATE]) {
  for (uint32_t i = 0; i < TVI_KIR_MAX_STATE; ++i) units[i] = 0;
  if (stage->monoid->kind != TVI_KIR_DECLARED) return;
  for (uint32_t i = 0; i < stage->monoid->state_count; ++i) {
    tvi_kir_monoid_kind_t kind;
    const tvi_kir_instr_t* element = &stage->instrs[stage->results[i]];
    if (element->opcode == TVI_KIR_CONST && tvi_dtype_is_float(element->dtype) &&
        element->imm.f64 > 0 && is_simple(stage->monoid, i, &kind) && kind == TVI_KIR_SUM)
      units[i] = element->imm.f64;
  }
}

// ---- By trying ----

// Is |part| joined by + - * / of parts, with coefficients and conditions that see nothing but the
// weight? Then it is one formula for all states of two weights, and trying it on random states
// decides what formula.
static bool is_rational(const tvi_kir_monoid_t* monoid, uint32_t part, uint32_t weight) {
  const uint32_t n = monoid->state_count;
  bool sees_others[MAX_JOIN], is_needed[MAX_JOIN] = {false};
  if (monoid->join_count > MAX_JOIN) return false;
  is_needed[monoid->join_results[part]] = true;
  for (uint32_t i = monoid->join_count; i-- > 2 * n;) {
    const tvi_kir_instr_t* instr = &monoid->join[i];
    const uint32_t count = tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
    for (uint32_t k = 0; is_needed[i] && k < count; ++k) is_needed[instr->args[k]] = true;
  }
  for (uint32_t i = 0; i < monoid->join_count; ++i) {
    const tvi_kir_instr_t* instr = &monoid->join[i];
    if (i < 2 * n) {
      sees_others[i] = i % n != weight;
      continue;
    }
    const uint32_t count = tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
    sees_others[i] = false;
    for (uint32_t k = 0; k < count; ++k)
      sees_others[i] = sees_others[i] || sees_others[instr->args[k]];
    if (!sees_others[i] || !is_needed[i]) continue;
    switch (instr->opcode) {
      case TVI_KIR_ADD:
      case TVI_KIR_SUB:
      case TVI_KIR_MUL:
      case TVI_KIR_NEG:
      case TVI_KIR_FMA:
        break;
      case TVI_KIR_DIV:
        if (sees_others[instr->args[1]]) return false;
        break;
      case TVI_KIR_SELECT:
        if (sees_others[instr->args[0]]) return false;
        break;
      default:
        return false;
    }
  }
  return true;
}

static double random_unit(uint32_t* seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return (double)(*seed >> 8) / (1 << 24);
}

// What is known of the states of a stage.
typedef struct states_t {
  const tvi_kir_monoid_t* monoid;
  const part_t* parts;
  double units[TVI_KIR_MAX_STATE];
} states_t;

// Weights are counts or numbers above 0, small ones and great ones; other parts have signs.
static void draw_state(const states_t* s, uint32_t trial, uint32_t* seed, scalar_t* state) {
  const tvi_kir_monoid_t* monoid = s->monoid;
  const part_t* parts = s->parts;
  for (uint32_t i = 0; i < monoid->state_count; ++i) {
    const double unit = random_unit(seed);
    const bool is_sum = parts[i].law == TVI_KIR_LAW_SIMPLE && parts[i].kind == TVI_KIR_SUM;
    if (!tvi_dtype_is_float(monoid->dtypes[i])) {
      state[i].i = 1 + (int64_t)(unit * (trial % 2 ? 3 : 100));
    } else if (!is_sum) {
      state[i].f = 8 * unit - 4;
    } else if (s->units[i] > 0) {
      state[i].f = s->units[i] * (1 + floor(unit * (trial % 2 ? 3 : 1000)));
    } else if (trial % 4 == 0) {
      state[i].f = 1;
    } else {
      state[i].f = trial % 2 ? 1 + floor(unit * 1000) : 0.001 + 4 * unit;
    }
  }
}

static double weight_of(const tvi_kir_monoid_t* monoid, uint32_t part, const scalar_t* state) {
  return tvi_dtype_is_float(monoid->dtypes[part]) ? state[part].f : (double)state[part].i;
}

// What |law| makes of the part, and the sum of the sizes of its terms.
static double expected_part(const tvi_kir_monoid_t* monoid, const part_t* law, uint32_t part,
                            const scalar_t* a, const scalar_t* b, double* out_size) {
  const double wa = weight_of(monoid, law->weight, a), wb = weight_of(monoid, law->weight, b);
  const double w = wa + wb;
  const uint32_t x = law->others[0], y = law->others[1];
  double terms[5] = {a[part].f, b[part].f};
  switch (law->law) {
    case TVI_KIR_LAW_MEAN:
      break;
    case TVI_KIR_LAW_CENTRED_CUBE: {
      const double d = b[x].f - a[x].f;
      terms[2] = wa * wb * (wa - wb) / (w * w) * d * d * d;
      terms[3] = 3 * d * wa * b[y].f / w;
      terms[4] = -3 * d * wb * a[y].f / w;
      break;
    }
    default:
      terms[2] = wa * wb / w * (a[x].f - b[x].f) * (a[y].f - b[y].f);
  }
  if (law->law == TVI_KIR_LAW_MEAN || law->law == TVI_KIR_LAW_CENTRED_MEAN) {
    terms[0] *= wa / w;
    terms[1] *= wb / w;
    terms[2] /= w;
  }
  double sum = 0;
  *out_size = 1;
  for (uint32_t i = 0; i < 5; ++i) {
    sum += terms[i];
    *out_size += fabs(terms[i]);
  }
  return sum;
}

// Does the join agree with |law| on random states, and leave a state alone that meets nothing?
static bool holds(const states_t* s, const part_t* law, uint32_t part) {
  const tvi_kir_monoid_t* monoid = s->monoid;
  const uint32_t n = monoid->state_count;
  uint32_t seed = 7;
  for (uint32_t trial = 0; trial < TRIALS; ++trial) {
    scalar_t a[TVI_KIR_MAX_STATE], b[TVI_KIR_MAX_STATE], joined[TVI_KIR_MAX_STATE];
    draw_state(s, trial, &seed, a);
    draw_state(s, trial, &seed, b);
    double expected, size;
    if (trial < TRIALS - 4) {
      expected = expected_part(monoid, law, part, a, b, &size);
    } else {
      scalar_t* empty = trial % 2 ? a : b;
      for (uint32_t i = 0; i < n; ++i) {
        if (tvi_dtype_is_float(monoid->dtypes[i])) {
          empty[i].f = monoid->identity[i];
        } else {
          empty[i].i = (int64_t)monoid->identity[i];
        }
      }
      expected = (trial % 2 ? b : a)[part].f;
      size = 1 + fabs(expected);
    }
    if (!tvi_kir_monoid_apply(monoid, true, a, b, joined) ||
        !(fabs(joined[part].f - expected) <= LAW_TOLERANCE * size))
      return false;
  }
  return true;
}

static bool find_law(const states_t* s, part_t law, uint32_t part, part_t* out) {
  if (!holds(s, &law, part)) return false;
  *out = law;
  return true;
}

// Is |x| known as a mean by the weight |w|, in numbers of |dtype|?
static bool is_mean(const states_t* s, uint32_t x, uint32_t w, uint32_t dtype) {
  return s->parts[x].law == TVI_KIR_LAW_MEAN && s->parts[x].weight == w &&
         s->monoid->dtypes[x] == dtype;
}

// Tries |part| as a sum of powers or products of deviations from the mean |x|.
static bool find_centred(const states_t* s, uint32_t part, uint32_t w, uint32_t x, part_t* out) {
  const uint32_t dtype = s->monoid->dtypes[part];
  for (uint32_t y = 0; y < s->monoid->state_count; ++y) {
    part_t law = {TVI_KIR_LAW_CENTRED, TVI_KIR_SUM, TVI_KIR_NONE, w, {x, y}};
    if (y >= x && is_mean(s, y, w, dtype)) {
      if (find_law(s, law, part, out)) return true;
      law.law = TVI_KIR_LAW_CENTRED_MEAN;
      if (find_law(s, law, part, out)) return true;
    }
    const part_t* squares = &s->parts[y];
    if (squares->law == TVI_KIR_LAW_CENTRED && squares->weight == w && squares->others[0] == x &&
        squares->others[1] == x && s->monoid->dtypes[y] == dtype) {
      law.law = TVI_KIR_LAW_CENTRED_CUBE;
      if (find_law(s, law, part, out)) return true;
    }
  }
  return false;
}

// Tries |part| as a mean, or with the means that are known as made of deviations from them.
static bool find_weighted(const states_t* s, uint32_t part, part_t* out) {
  const tvi_kir_monoid_t* monoid = s->monoid;
  const uint32_t dtype = monoid->dtypes[part];
  if (dtype != TRIVET_DTYPE_F32 && dtype != TRIVET_DTYPE_F64) return false;
  for (uint32_t w = 0; w < monoid->state_count; ++w) {
    if (s->parts[w].law != TVI_KIR_LAW_SIMPLE || s->parts[w].kind != TVI_KIR_SUM ||
        !is_rational(monoid, part, w))
      continue;
    const part_t law = {TVI_KIR_LAW_MEAN, TVI_KIR_SUM, TVI_KIR_NONE, w, {0}};
    if (find_law(s, law, part, out)) return true;
    for (uint32_t x = 0; x < monoid->state_count; ++x)
      if (is_mean(s, x, w, dtype) && find_centred(s, part, w, x, out)) return true;
  }
  return false;
}

// ---- The whole ----

bool tvi_kir_stage_find_parts(const tvi_kir_stage_t* stage, part_t parts[TVI_KIR_MAX_STATE]) {
  const tvi_kir_monoid_t* monoid = stage->monoid;
  const uint32_t n = monoid->state_count;
  const part_t none = {TVI_KIR_LAW_NONE, TVI_KIR_SUM, TVI_KIR_NONE, TVI_KIR_NONE, {0}};
  for (uint32_t i = 0; i < TVI_KIR_MAX_STATE; ++i) parts[i] = none;
  if (monoid->kind == TVI_KIR_SOFTMAX_STATE) {
    parts[0].law = TVI_KIR_LAW_SIMPLE;
    parts[0].kind = TVI_KIR_REDUCE_MAX;
    parts[1].law = TVI_KIR_LAW_SCALED;
    parts[1].by = 0;
    return true;
  }
  if (monoid->kind == TVI_KIR_WELFORD) {
    for (uint32_t i = 0; i < 2; ++i) parts[i].weight = 2;
    parts[0].law = TVI_KIR_LAW_MEAN;
    parts[1].law = TVI_KIR_LAW_CENTRED;
    parts[2].law = TVI_KIR_LAW_SIMPLE;
    return true;
  }
  if (monoid->kind != TVI_KIR_DECLARED) return false;
  for (uint32_t i = 0; i < n; ++i)
    if (is_simple(monoid, i, &parts[i].kind)) parts[i].law = TVI_KIR_LAW_SIMPLE;
  for (uint32_t i = 0; i < n; ++i) {
    for (uint32_t by = 0; by < n && parts[i].law == TVI_KIR_LAW_NONE; ++by) {
      if (by == i || parts[by].law != TVI_KIR_LAW_SIMPLE || !is_scaled(monoid, i, by)) continue;
      parts[i].law = TVI_KIR_LAW_SCALED;
      parts[i].by = by;
    }
  }
  states_t states = {.monoid = monoid, .parts = parts};
  tvi_kir_stage_units(stage, states.units);
  // Deviations are known where means are, their third powers where their squares are.
  for (uint32_t turn = 0; turn < 3; ++turn)
    for (uint32_t i = 0; i < n; ++i)
      if (parts[i].law == TVI_KIR_LAW_NONE) (void)find_weighted(&states, i, &parts[i]);
  for (uint32_t i = 0; i < n; ++i)
    if (parts[i].law == TVI_KIR_LAW_NONE) return false;
  return true;
}
