// SPDX-License-Identifier: Apache-2.0
//
// Identities of index arithmetic: divisions and remainders of linear forms, comparisons that ranges
// decide, canonical indices. They make reshapes, slices and concats of one another vanish.
#include <string.h>

#include "core/kernel_ir/builder.h"
#include "core/kernel_ir/builder_internal.h"

#define BUDGET 300

typedef tvi_kir_builder_t builder_t;
typedef tvi_kir_instr_t instr_t;
typedef tvi_kir_ref_t ref_t;
typedef tvi_kir_linear_t linear_t;

static tvi_kir_scope_t scope_of(const builder_t* b) {
  tvi_kir_scope_t scope = {b->dims, b->instrs, b->extents, BUDGET};
  return scope;
}

static trivet_dim_t constant(const builder_t* b, int64_t value) {
  return tvi_dim_constant(b->dims, value);
}

static trivet_dim_t combine(const builder_t* b, uint32_t op, trivet_dim_t x, trivet_dim_t y) {
  return tvi_dim_binary(b->dims, op, x, y);
}

static ref_t extent(builder_t* b, trivet_dim_t dim) { return tvi_kir_build_extent(b, dim); }

static ref_t raw(builder_t* b, tvi_kir_opcode_t opcode, ref_t x, ref_t y) {
  return tvi_kir_builder_push_op(b, opcode, TRIVET_DTYPE_I64, x, y);
}

// Emits a linear form: terms in the order of their atoms, the constant last.
static ref_t emit_linear(builder_t* b, const linear_t* linear) {
  ref_t sum = TVI_KIR_NONE;
  for (uint32_t i = 0; i < linear->term_count; ++i) {
    trivet_dim_t factor = linear->terms[i].coefficient;
    int64_t value;
    bool negative = sum != TVI_KIR_NONE && tvi_dim_is_constant(factor, &value) && value < 0 &&
                    value != INT64_MIN;
    if (negative) factor = constant(b, -value);
    ref_t term = linear->terms[i].atom;
    if (!tvi_dim_equals_constant(factor, 1)) term = raw(b, TVI_KIR_MUL, term, extent(b, factor));
    sum = sum == TVI_KIR_NONE ? term : raw(b, negative ? TVI_KIR_SUB : TVI_KIR_ADD, sum, term);
    if (sum == TVI_KIR_NONE) return sum;
  }
  if (sum == TVI_KIR_NONE) return extent(b, linear->constant);
  int64_t value;
  if (tvi_dim_is_constant(linear->constant, &value)) {
    if (value == 0) return sum;
    if (value < 0 && value != INT64_MIN) {
      return raw(b, TVI_KIR_SUB, sum, extent(b, constant(b, -value)));
    }
  }
  return raw(b, TVI_KIR_ADD, sum, extent(b, linear->constant));
}

ref_t tvi_kir_build_linear(builder_t* b, ref_t ref) {
  switch (b->instrs[ref].opcode) {
    case TVI_KIR_ADD:
    case TVI_KIR_SUB:
    case TVI_KIR_MUL:
    case TVI_KIR_NEG:
      break;
    default:
      return ref;
  }
  tvi_kir_scope_t scope = scope_of(b);
  linear_t linear;
  if (!tvi_kir_scope_linear(&scope, ref, &linear)) return ref;
  if (linear.term_count == 0) return extent(b, linear.constant);
  if (linear.term_count == 1 && tvi_dim_equals_constant(linear.constant, 0) &&
      tvi_dim_equals_constant(linear.terms[0].coefficient, 1)) {
    return linear.terms[0].atom;
  }
  return ref;
}

// |linear| = divisor * q + r, where r holds the terms that the divisor does not divide.
static bool split(builder_t* b, const linear_t* linear, trivet_dim_t divisor, linear_t* q,
                  linear_t* r) {
  memset(q, 0, sizeof(*q));
  memset(r, 0, sizeof(*r));
  for (uint32_t i = 0; i < linear->term_count; ++i) {
    trivet_dim_t factor = linear->terms[i].coefficient;
    if (tvi_dim_equals_constant(combine(b, TRIVET_DIM_MOD, factor, divisor), 0)) {
      factor = combine(b, TRIVET_DIM_FLOORDIV, factor, divisor);
      if (factor == NULL) return false;
      q->terms[q->term_count].atom = linear->terms[i].atom;
      q->terms[q->term_count++].coefficient = factor;
    } else {
      r->terms[r->term_count++] = linear->terms[i];
    }
  }
  q->constant = combine(b, TRIVET_DIM_FLOORDIV, linear->constant, divisor);
  r->constant = combine(b, TRIVET_DIM_MOD, linear->constant, divisor);
  if (q->constant == NULL || r->constant == NULL) return false;
  // Only numbers and multiples part cleanly.
  int64_t value;
  if (!tvi_dim_is_constant(r->constant, &value)) {
    q->constant = constant(b, 0);
    r->constant = linear->constant;
  }
  return true;
}

// Is 0 <= linear < bound certain?
static bool within(builder_t* b, const linear_t* linear, trivet_dim_t bound) {
  tvi_kir_scope_t scope = scope_of(b);
  trivet_dim_t low, high;
  tvi_kir_scope_linear_range(&scope, linear, &low, &high);
  return tvi_dim_is_nonnegative(b->dims, low) &&
         tvi_dim_is_positive(b->dims, combine(b, TRIVET_DIM_SUB, bound, high));
}

// Emits floordiv and mod of |linear| by |divisor| (positive). Either output may be NULL.
static bool divide(builder_t* b, const linear_t* linear, trivet_dim_t divisor, ref_t* out_quotient,
                   ref_t* out_remainder, int depth) {
  linear_t q, r;
  if (!split(b, linear, divisor, &q, &r)) return false;
  if (r.term_count == 0 && tvi_dim_equals_constant(r.constant, 0)) {
    if (out_quotient != NULL) *out_quotient = emit_linear(b, &q);
    if (out_remainder != NULL) *out_remainder = extent(b, constant(b, 0));
    return true;
  }
  if (within(b, &r, divisor)) {
    if (out_quotient != NULL) *out_quotient = emit_linear(b, &q);
    if (out_remainder != NULL) *out_remainder = emit_linear(b, &r);
    return true;
  }
  // With a common factor g of the divisor and some terms: (g*p + s) / (g*k) = p / k for 0 <= s < g.
  for (uint32_t i = 0; i < r.term_count && depth > 0; ++i) {
    trivet_dim_t g = r.terms[i].coefficient;
    int64_t g_value, d_value;
    if (tvi_dim_is_constant(g, &g_value) && tvi_dim_is_constant(divisor, &d_value)) {
      if (g_value < 0) g_value = g_value == INT64_MIN ? 1 : -g_value;
      for (int64_t rest = d_value; rest != 0;) {
        int64_t t = g_value % rest;
        g_value = rest;
        rest = t;
      }
      g = constant(b, g_value);
    }
    if (g == NULL || tvi_dim_equals_constant(g, 1) ||
        !tvi_dim_equals_constant(combine(b, TRIVET_DIM_MOD, divisor, g), 0)) {
      continue;
    }
    linear_t p, s;
    if (!split(b, &r, g, &p, &s) || !within(b, &s, g)) continue;
    trivet_dim_t smaller = combine(b, TRIVET_DIM_FLOORDIV, divisor, g);
    if (smaller == NULL) continue;
    ref_t quotient = TVI_KIR_NONE, remainder = TVI_KIR_NONE;
    if (!divide(b, &p, smaller, out_quotient != NULL ? &quotient : NULL,
                out_remainder != NULL ? &remainder : NULL, depth - 1)) {
      continue;
    }
    if (out_quotient != NULL) {
      *out_quotient = tvi_kir_build_op(b, TVI_KIR_ADD, TRIVET_DTYPE_I64, emit_linear(b, &q),
                                       quotient, TVI_KIR_NONE);
    }
    if (out_remainder != NULL) {
      ref_t scaled =
          tvi_kir_build_op(b, TVI_KIR_MUL, TRIVET_DTYPE_I64, remainder, extent(b, g), TVI_KIR_NONE);
      *out_remainder = tvi_kir_build_op(b, TVI_KIR_ADD, TRIVET_DTYPE_I64, scaled,
                                        emit_linear(b, &s), TVI_KIR_NONE);
    }
    return true;
  }
  // Divisions of divisions.
  if (r.term_count == 1 && tvi_dim_equals_constant(r.constant, 0) &&
      tvi_dim_equals_constant(r.terms[0].coefficient, 1) && depth > 0) {
    const instr_t atom = b->instrs[r.terms[0].atom];
    trivet_dim_t inner = atom.opcode == TVI_KIR_FLOORDIV || atom.opcode == TVI_KIR_MOD
                             ? tvi_kir_instr_dim(b->dims, &b->instrs[atom.args[1]])
                             : NULL;
    int64_t low, high;
    tvi_dim_range(b->dims, inner, &low, &high);
    if (inner != NULL && low >= 0) {
      tvi_kir_scope_t scope = scope_of(b);
      linear_t x;
      if (atom.opcode == TVI_KIR_FLOORDIV && out_quotient != NULL && out_remainder == NULL) {
        // x / a / b = x / (a*b)
        trivet_dim_t product = combine(b, TRIVET_DIM_MUL, inner, divisor);
        ref_t quotient;
        if (product != NULL && tvi_kir_scope_linear(&scope, atom.args[0], &x) &&
            divide(b, &x, product, &quotient, NULL, depth - 1)) {
          *out_quotient = tvi_kir_build_op(b, TVI_KIR_ADD, TRIVET_DTYPE_I64, emit_linear(b, &q),
                                           quotient, TVI_KIR_NONE);
          return true;
        }
      } else if (atom.opcode == TVI_KIR_MOD &&
                 tvi_dim_equals_constant(combine(b, TRIVET_DIM_MOD, inner, divisor), 0) &&
                 tvi_kir_scope_linear(&scope, atom.args[0], &x)) {
        // x % (a*b) % b = x % b;  x % (a*b) / b = x / b % a
        trivet_dim_t outer = combine(b, TRIVET_DIM_FLOORDIV, inner, divisor);
        bool done = outer != NULL;
        if (done && out_remainder != NULL) {
          done = divide(b, &x, divisor, NULL, out_remainder, depth - 1);
        }
        if (done && out_quotient != NULL) {
          ref_t quotient;
          done = divide(b, &x, divisor, &quotient, NULL, depth - 1);
          if (done) {
            quotient = tvi_kir_build_op(b, TVI_KIR_MOD, TRIVET_DTYPE_I64, quotient,
                                        extent(b, outer), TVI_KIR_NONE);
            *out_quotient = tvi_kir_build_op(b, TVI_KIR_ADD, TRIVET_DTYPE_I64, emit_linear(b, &q),
                                             quotient, TVI_KIR_NONE);
          }
        }
        if (done) return true;
      }
    }
  }
  ref_t rest = emit_linear(b, &r), by = extent(b, divisor);
  if (out_quotient != NULL) {
    ref_t quotient = raw(b, TVI_KIR_FLOORDIV, rest, by);
    *out_quotient = tvi_kir_build_op(b, TVI_KIR_ADD, TRIVET_DTYPE_I64, emit_linear(b, &q), quotient,
                                     TVI_KIR_NONE);
  }
  if (out_remainder != NULL) *out_remainder = raw(b, TVI_KIR_MOD, rest, by);
  return true;
}

// Division of index expressions. Data may have any value and wraps: it is left alone.
static ref_t build_division(builder_t* b, tvi_kir_opcode_t opcode, ref_t x, ref_t y) {
  trivet_dim_t divisor = tvi_kir_instr_dim(b->dims, &b->instrs[y]);
  int64_t low, high;
  tvi_dim_range(b->dims, divisor, &low, &high);
  if (divisor == NULL || low < 0 || tvi_dim_equals_constant(divisor, 0)) return TVI_KIR_NONE;
  tvi_kir_scope_t scope = scope_of(b);
  linear_t linear;
  if (!tvi_kir_scope_linear(&scope, x, &linear) || (linear.flags & TVI_KIR_LINEAR_DATA)) {
    return TVI_KIR_NONE;
  }
  if (opcode == TVI_KIR_DIV || opcode == TVI_KIR_REM) {
    // Truncation is the floor where nothing is negative.
    trivet_dim_t least, most;
    tvi_kir_scope_linear_range(&scope, &linear, &least, &most);
    if (!tvi_dim_is_nonnegative(b->dims, least)) return TVI_KIR_NONE;
  }
  if (opcode == TVI_KIR_CEILDIV) {
    trivet_dim_t more = combine(b, TRIVET_DIM_SUB, divisor, constant(b, 1));
    linear.constant = combine(b, TRIVET_DIM_ADD, linear.constant, more);
    if (linear.constant == NULL) return TVI_KIR_NONE;
  }
  if (linear.term_count == 0) {
    bool mod = opcode == TVI_KIR_MOD || opcode == TVI_KIR_REM;
    trivet_dim_t value =
        combine(b, mod ? TRIVET_DIM_MOD : TRIVET_DIM_FLOORDIV, linear.constant, divisor);
    return value != NULL ? extent(b, value) : TVI_KIR_NONE;
  }
  ref_t result = TVI_KIR_NONE;
  bool mod = opcode == TVI_KIR_MOD || opcode == TVI_KIR_REM;
  if (!divide(b, &linear, divisor, mod ? NULL : &result, mod ? &result : NULL, 4)) {
    return TVI_KIR_NONE;
  }
  return result;
}

static ref_t build_bool(builder_t* b, bool value) {
  return tvi_kir_build_int(b, TRIVET_DTYPE_BOOL, value);
}

// x op y where the range of x - y decides.
static ref_t build_comparison(builder_t* b, tvi_kir_opcode_t opcode, ref_t x, ref_t y) {
  if (x == y) {
    return build_bool(b, opcode == TVI_KIR_EQ || opcode == TVI_KIR_LE || opcode == TVI_KIR_GE);
  }
  tvi_kir_scope_t scope = scope_of(b);
  linear_t left, right;
  if (!tvi_kir_scope_linear(&scope, x, &left) || !tvi_kir_scope_linear(&scope, y, &right)) {
    return TVI_KIR_NONE;
  }
  if ((left.flags | right.flags) & TVI_KIR_LINEAR_DATA) return TVI_KIR_NONE;
  trivet_dim_t minus = constant(b, -1);
  for (uint32_t i = 0; i < right.term_count; ++i) {
    if (!tvi_kir_linear_add(b->dims, &left, right.terms[i].atom,
                            combine(b, TRIVET_DIM_MUL, right.terms[i].coefficient, minus))) {
      return TVI_KIR_NONE;
    }
  }
  left.constant = combine(b, TRIVET_DIM_SUB, left.constant, right.constant);
  if (left.constant == NULL) return TVI_KIR_NONE;
  trivet_dim_t low, high;
  tvi_kir_scope_linear_range(&scope, &left, &low, &high);
  trivet_dim_t high_negated = combine(b, TRIVET_DIM_MUL, high, minus);
  bool never_negative = tvi_dim_is_nonnegative(b->dims, low);
  bool never_positive = tvi_dim_is_nonnegative(b->dims, high_negated);
  bool positive = tvi_dim_is_positive(b->dims, low);
  bool negative = tvi_dim_is_positive(b->dims, high_negated);
  switch (opcode) {
    case TVI_KIR_LT:
      return negative ? build_bool(b, true) : never_negative ? build_bool(b, false) : TVI_KIR_NONE;
    case TVI_KIR_LE:
      return never_positive ? build_bool(b, true) : positive ? build_bool(b, false) : TVI_KIR_NONE;
    case TVI_KIR_GT:
      return positive ? build_bool(b, true) : never_positive ? build_bool(b, false) : TVI_KIR_NONE;
    case TVI_KIR_GE:
      return never_negative ? build_bool(b, true) : negative ? build_bool(b, false) : TVI_KIR_NONE;
    case TVI_KIR_EQ:
      if (never_negative && never_positive) return build_bool(b, true);
      return positive || negative ? build_bool(b, false) : TVI_KIR_NONE;
    case TVI_KIR_NE:
      if (never_negative && never_positive) return build_bool(b, false);
      return positive || negative ? build_bool(b, true) : TVI_KIR_NONE;
    default:
      return TVI_KIR_NONE;
  }
}

ref_t tvi_kir_build_index_op(builder_t* b, tvi_kir_opcode_t opcode, const ref_t* args) {
  switch (opcode) {
    case TVI_KIR_DIV:
    case TVI_KIR_REM:
    case TVI_KIR_FLOORDIV:
    case TVI_KIR_CEILDIV:
    case TVI_KIR_MOD:
      return build_division(b, opcode, args[0], args[1]);
    case TVI_KIR_EQ:
    case TVI_KIR_NE:
    case TVI_KIR_LT:
    case TVI_KIR_LE:
    case TVI_KIR_GT:
    case TVI_KIR_GE:
      return build_comparison(b, opcode, args[0], args[1]);
    case TVI_KIR_MIN:
    case TVI_KIR_MAX: {
      trivet_dim_t x = tvi_kir_instr_dim(b->dims, &b->instrs[args[0]]);
      trivet_dim_t y = tvi_kir_instr_dim(b->dims, &b->instrs[args[1]]);
      if (x != NULL && y != NULL) {
        trivet_dim_t value =
            combine(b, opcode == TVI_KIR_MIN ? TRIVET_DIM_MIN : TRIVET_DIM_MAX, x, y);
        return value != NULL ? extent(b, value) : TVI_KIR_NONE;
      }
      ref_t less = build_comparison(b, TVI_KIR_LE, args[0], args[1]);
      if (less == TVI_KIR_NONE) return TVI_KIR_NONE;
      bool first = (b->instrs[less].imm.i64 != 0) == (opcode == TVI_KIR_MIN);
      return first ? args[0] : args[1];
    }
    default:
      return TVI_KIR_NONE;
  }
}

ref_t tvi_kir_build_canonical_index(builder_t* b, ref_t ref, trivet_dim_t dim, uint8_t* wrap,
                                    bool* safe) {
  const instr_t* instr = &b->instrs[ref];
  if (instr->opcode == TVI_KIR_INDEX && b->extents[instr->imm.i64] == dim) {
    *wrap = TVI_KIR_WRAP_NONE;
    return ref;
  }
  tvi_kir_scope_t scope = scope_of(b);
  linear_t linear;
  if (tvi_kir_scope_linear(&scope, ref, &linear)) {
    ref = emit_linear(b, &linear);
    if (ref == TVI_KIR_NONE) return ref;
    scope = scope_of(b);
    trivet_dim_t low, high;
    tvi_kir_scope_linear_range(&scope, &linear, &low, &high);
    bool above = tvi_dim_is_nonnegative(b->dims, low);
    bool below = tvi_dim_is_positive(b->dims, combine(b, TRIVET_DIM_SUB, dim, high));
    if (*wrap == TVI_KIR_WRAP_NEGATIVE) {
      trivet_dim_t most = combine(b, TRIVET_DIM_MUL, high, constant(b, -1));
      if (above) {
        *wrap = TVI_KIR_WRAP_NONE;
      } else if (tvi_dim_is_positive(b->dims, most)) {
        // Always negative: counted from the end once and for all.
        *wrap = TVI_KIR_WRAP_NONE;
        ref = tvi_kir_build_op(b, TVI_KIR_ADD, TRIVET_DTYPE_I64, ref, extent(b, dim), TVI_KIR_NONE);
        return ref == TVI_KIR_NONE ? ref : tvi_kir_build_canonical_index(b, ref, dim, wrap, safe);
      }
    }
    if (above && below) {
      *wrap = TVI_KIR_WRAP_NONE;
      return ref;
    }
  }
  // Clipping keeps an index within any extent that is not empty.
  if (*wrap != TVI_KIR_WRAP_CLIP || !tvi_dim_is_positive(b->dims, dim)) *safe = false;
  return ref;
}
