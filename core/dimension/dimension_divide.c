// SPDX-License-Identifier: Apache-2.0
//
// Division of dimensions: floordiv, ceildiv and mod in normal form. What divides exactly leaves the
// quotient, common factors cancel, and a remainder that is certainly within the divisor vanishes.
// Division by a symbol takes it to be positive: evaluation of a zero divisor is an error anyway.
#include "core/base/checked.h"
#include "core/dimension/dimension_internal.h"

static int64_t gcd(int64_t a, int64_t b) {
  if (a < 0) a = a == INT64_MIN ? 0 : -a;
  if (b < 0) b = b == INT64_MIN ? 0 : -b;
  while (b != 0) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

static trivet_dim_t negate(tvi_dim_context_t* context, trivet_dim_t a) {
  return tvi_dim_binary(context, TRIVET_DIM_MUL, a, tvi_dim_constant(context, -1));
}

// True when 0 <= dim < bound for all values of the symbols.
static bool within(tvi_dim_context_t* context, trivet_dim_t dim, trivet_dim_t bound) {
  if (dim == NULL || bound == NULL) return false;
  int64_t low, high;
  tvi_dim_range(context, dim, &low, &high);
  if (low < 0) return false;
  int64_t limit;
  if (tvi_dim_is_constant(bound, &limit)) return high < limit;
  trivet_dim_t rest = tvi_dim_binary(context, TRIVET_DIM_SUB, bound, dim);
  if (rest == NULL) return false;
  tvi_dim_range(context, rest, &low, &high);
  return low >= 1;
}

// a = q*b + r, where no term of r is divisible by the leading term of b. False when that takes too
// many terms or overflows.
static bool divide(tvi_dim_context_t* context, const tvi_poly_t* a, const tvi_poly_t* b,
                   tvi_poly_t* q, tvi_poly_t* r) {
  tvi_poly_t rest = *a;
  q->count = r->count = 0;
  q->constant = r->constant = 0;
  uint32_t at = 0;  // terms before it belong to the remainder
  for (int round = 0; round < 256 && at < rest.count; ++round) {
    bool one = false;
    trivet_dim_t monomial = tvi_monomial_divide(context, rest.monomials[at], b->monomials[0], &one);
    int64_t coefficient = rest.coefficients[at];
    if ((monomial == NULL && !one) || coefficient % b->coefficients[0] != 0) {
      ++at;
      continue;
    }
    coefficient /= b->coefficients[0];
    // Subtract coefficient * monomial * b.
    if (one) {
      if (!tvi_checked_add_i64(q->constant, coefficient, &q->constant)) return false;
      if (!tvi_poly_add(&rest, b, -coefficient)) return false;
      continue;
    }
    if (!tvi_poly_add_term(q, coefficient, monomial)) return false;
    int64_t value;
    if (!tvi_checked_mul_i64(b->constant, -coefficient, &value) ||
        !tvi_poly_add_term(&rest, value, monomial)) {
      return false;
    }
    for (uint32_t i = 0; i < b->count; ++i) {
      trivet_dim_t product = tvi_monomial_multiply(context, monomial, b->monomials[i]);
      if (product == NULL || !tvi_checked_mul_i64(b->coefficients[i], -coefficient, &value) ||
          !tvi_poly_add_term(&rest, value, product)) {
        return false;
      }
    }
  }
  if (at < rest.count) return false;
  *r = rest;
  return true;
}

static bool is_zero(const tvi_poly_t* poly) { return poly->count == 0 && poly->constant == 0; }

// Divides all coefficients and the constant of both by what they have in common: numbers, and one
// by one the factors that occur in every term.
static void cancel(tvi_dim_context_t* context, tvi_poly_t* a, tvi_poly_t* b) {
  int64_t common = gcd(a->constant, b->constant);
  for (uint32_t i = 0; i < a->count; ++i) common = gcd(common, a->coefficients[i]);
  for (uint32_t i = 0; i < b->count; ++i) common = gcd(common, b->coefficients[i]);
  if (common > 1) {
    a->constant /= common;
    b->constant /= common;
    for (uint32_t i = 0; i < a->count; ++i) a->coefficients[i] /= common;
    for (uint32_t i = 0; i < b->count; ++i) b->coefficients[i] /= common;
  }
  if (a->constant != 0 || b->constant != 0 || a->count == 0 || b->count == 0) return;
  trivet_dim_t first = b->monomials[0];
  uint32_t factor_count = first->kind == TVI_DIM_PRODUCT ? first->count : 1;
  trivet_dim_t factors[TVI_DIM_MAX_FACTORS];
  for (uint32_t f = 0; f < factor_count; ++f) {
    factors[f] = first->kind == TVI_DIM_PRODUCT ? first->operands[f] : first;
  }
  for (uint32_t f = 0; f < factor_count; ++f) {
    tvi_poly_t parts[2];
    bool ok = a->constant == 0 && b->constant == 0;
    for (int side = 0; side < 2 && ok; ++side) {
      const tvi_poly_t* from = side == 0 ? a : b;
      parts[side].count = 0;
      parts[side].constant = 0;
      for (uint32_t i = 0; i < from->count && ok; ++i) {
        bool one;
        trivet_dim_t rest = tvi_monomial_divide(context, from->monomials[i], factors[f], &one);
        if (one) {
          parts[side].constant = from->coefficients[i];
        } else {
          ok = rest != NULL && tvi_poly_add_term(&parts[side], from->coefficients[i], rest);
        }
      }
    }
    if (!ok) continue;
    *a = parts[0];
    *b = parts[1];
  }
}

static trivet_dim_t floordiv_constant(tvi_dim_context_t* context, trivet_dim_t a, int64_t c) {
  tvi_poly_t all, q, r;
  tvi_poly_from(a, &all);
  q.count = r.count = 0;
  q.constant = r.constant = 0;
  int64_t common = c;
  for (uint32_t i = 0; i < all.count; ++i) {
    tvi_poly_t* to = all.coefficients[i] % c == 0 ? &q : &r;
    int64_t coefficient = to == &q ? all.coefficients[i] / c : all.coefficients[i];
    if (!tvi_poly_add_term(to, coefficient, all.monomials[i])) return NULL;
    if (to == &r) common = gcd(common, coefficient);
  }
  if (!tvi_checked_floor_div_i64(all.constant, c, &q.constant) ||
      !tvi_checked_floor_mod_i64(all.constant, c, &r.constant)) {
    return NULL;
  }
  if (r.count == 0) return tvi_poly_to_dim(context, &q);
  // floor((g*x + k) / (g*y)) = floor((x + floor(k/g)) / y)
  c /= common;
  r.constant /= common;
  for (uint32_t i = 0; i < r.count; ++i) r.coefficients[i] /= common;
  trivet_dim_t rest = tvi_poly_to_dim(context, &r);
  if (rest == NULL) return NULL;
  trivet_dim_t tail;
  trivet_dim_t divisor = tvi_dim_constant(context, c);
  if (divisor == NULL) return NULL;
  int64_t inner, product;
  if (within(context, rest, divisor)) {
    tail = tvi_dim_constant(context, 0);
  } else if (r.count == 1 && r.coefficients[0] == 1 && r.monomials[0]->kind == TVI_DIM_FLOORDIV &&
             tvi_dim_is_constant(r.monomials[0]->operands[1], &inner) && inner > 0 &&
             tvi_checked_mul_i64(inner, c, &product)) {
    // floor((floor(x/d) + k) / c) = floor((x + k*d) / (c*d))
    trivet_dim_t shifted = tvi_dim_binary(
        context, TRIVET_DIM_ADD, r.monomials[0]->operands[0],
        tvi_dim_binary(context, TRIVET_DIM_MUL, tvi_dim_constant(context, r.constant),
                       tvi_dim_constant(context, inner)));
    tail = tvi_dim_floordiv(context, shifted, tvi_dim_constant(context, product));
  } else {
    trivet_dim_t operands[2] = {rest, divisor};
    tail = tvi_dim_intern(context, TVI_DIM_FLOORDIV, 0, 2, operands, NULL);
  }
  return tvi_dim_binary(context, TRIVET_DIM_ADD, tvi_poly_to_dim(context, &q), tail);
}

// floordiv and ceildiv by an expression that is not constant.
static trivet_dim_t divide_symbolic(tvi_dim_context_t* context, tvi_dim_kind_t kind, trivet_dim_t a,
                                    trivet_dim_t b) {
  tvi_poly_t numerator, denominator, q, r;
  tvi_poly_from(a, &numerator);
  tvi_poly_from(b, &denominator);
  if (is_zero(&numerator)) return a;
  trivet_dim_t head = NULL;
  if (divide(context, &numerator, &denominator, &q, &r)) {
    if (is_zero(&r)) return tvi_poly_to_dim(context, &q);
    if (denominator.count == 1 && denominator.constant == 0 && !is_zero(&q)) {
      head = tvi_poly_to_dim(context, &q);
      if (head == NULL) return NULL;
      numerator = r;
    }
  }
  cancel(context, &numerator, &denominator);
  trivet_dim_t operands[2] = {tvi_poly_to_dim(context, &numerator),
                              tvi_poly_to_dim(context, &denominator)};
  if (operands[0] == NULL || operands[1] == NULL) return NULL;
  trivet_dim_t tail;
  if (tvi_dim_is_constant(operands[1], NULL)) {
    tail =
        tvi_dim_binary(context, kind == TVI_DIM_FLOORDIV ? TRIVET_DIM_FLOORDIV : TRIVET_DIM_CEILDIV,
                       operands[0], operands[1]);
  } else if (kind == TVI_DIM_FLOORDIV && within(context, operands[0], operands[1])) {
    tail = tvi_dim_constant(context, 0);
  } else {
    tail = tvi_dim_intern(context, kind, 0, 2, operands, NULL);
  }
  return head == NULL ? tail : tvi_dim_binary(context, TRIVET_DIM_ADD, head, tail);
}

trivet_dim_t tvi_dim_floordiv(tvi_dim_context_t* context, trivet_dim_t a, trivet_dim_t b) {
  if (a == NULL || b == NULL) return NULL;
  int64_t c, value;
  if (!tvi_dim_is_constant(b, &c)) return divide_symbolic(context, TVI_DIM_FLOORDIV, a, b);
  if (c == 0 || c == INT64_MIN) return NULL;
  if (tvi_dim_is_constant(a, &value)) {
    return tvi_checked_floor_div_i64(value, c, &value) ? tvi_dim_constant(context, value) : NULL;
  }
  if (c < 0) {
    a = negate(context, a);
    c = -c;
  }
  if (a == NULL || c == 1) return a;
  return floordiv_constant(context, a, c);
}

trivet_dim_t tvi_dim_ceildiv(tvi_dim_context_t* context, trivet_dim_t a, trivet_dim_t b) {
  if (a == NULL || b == NULL) return NULL;
  int64_t c;
  if (!tvi_dim_is_constant(b, &c)) return divide_symbolic(context, TVI_DIM_CEILDIV, a, b);
  if (c == 0 || c == INT64_MIN) return NULL;
  if (c < 0) {
    a = negate(context, a);
    c = -c;
  }
  // One form for both: ceil(a/c) = floor((a + c - 1) / c).
  return tvi_dim_floordiv(
      context, tvi_dim_binary(context, TRIVET_DIM_ADD, a, tvi_dim_constant(context, c - 1)),
      tvi_dim_constant(context, c));
}

static trivet_dim_t mod_constant(tvi_dim_context_t* context, trivet_dim_t a, int64_t c) {
  tvi_poly_t all, r;
  tvi_poly_from(a, &all);
  r.count = 0;
  if (!tvi_checked_floor_mod_i64(all.constant, c, &r.constant)) return NULL;
  int64_t common = c;
  for (uint32_t i = 0; i < all.count; ++i) {
    int64_t coefficient, divisor = tvi_dim_divisor(context, all.monomials[i]), multiple;
    if (!tvi_checked_floor_mod_i64(all.coefficients[i], c, &coefficient)) return NULL;
    if (coefficient == 0) continue;
    if (divisor == 0 ||
        (tvi_checked_mul_i64(coefficient, divisor, &multiple) && multiple % c == 0)) {
      continue;
    }
    trivet_dim_t monomial = all.monomials[i];
    int64_t inner;
    if (monomial->kind == TVI_DIM_MOD && tvi_dim_is_constant(monomial->operands[1], &inner) &&
        inner > 0 && inner % c == 0) {
      // Another round, since its terms may be divisible.
      trivet_dim_t rest = tvi_dim_binary(
          context, TRIVET_DIM_SUB, a,
          tvi_dim_binary(context, TRIVET_DIM_MUL, tvi_dim_constant(context, all.coefficients[i]),
                         tvi_dim_binary(context, TRIVET_DIM_SUB, monomial, monomial->operands[0])));
      return tvi_dim_mod(context, rest, tvi_dim_constant(context, c));
    }
    if (!tvi_poly_add_term(&r, coefficient, monomial)) return NULL;
    common = gcd(common, coefficient);
  }
  if (r.count == 0) return tvi_dim_constant(context, r.constant);
  // mod(g*x + k, g*y) = g*mod(x + floor(k/g), y) + mod(k, g)
  int64_t shift = r.constant % common;
  r.constant /= common;
  c /= common;
  for (uint32_t i = 0; i < r.count; ++i) r.coefficients[i] /= common;
  trivet_dim_t operands[2] = {tvi_poly_to_dim(context, &r), tvi_dim_constant(context, c)};
  if (operands[0] == NULL || operands[1] == NULL) return NULL;
  trivet_dim_t rest = c == 1 ? tvi_dim_constant(context, 0)
                      : within(context, operands[0], operands[1])
                          ? operands[0]
                          : tvi_dim_intern(context, TVI_DIM_MOD, 0, 2, operands, NULL);
  rest = tvi_dim_binary(context, TRIVET_DIM_MUL, tvi_dim_constant(context, common), rest);
  return tvi_dim_binary(context, TRIVET_DIM_ADD, rest, tvi_dim_constant(context, shift));
}

trivet_dim_t tvi_dim_mod(tvi_dim_context_t* context, trivet_dim_t a, trivet_dim_t b) {
  if (a == NULL || b == NULL) return NULL;
  int64_t c, value;
  if (tvi_dim_is_constant(b, &c)) {
    if (c == 0 || c == INT64_MIN) return NULL;
    if (tvi_dim_is_constant(a, &value)) {
      return tvi_checked_floor_mod_i64(value, c, &value) ? tvi_dim_constant(context, value) : NULL;
    }
    if (c < 0) {
      return negate(context,
                    tvi_dim_mod(context, negate(context, a), tvi_dim_constant(context, -c)));
    }
    if (c == 1) return tvi_dim_constant(context, 0);
    return mod_constant(context, a, c);
  }
  tvi_poly_t numerator, denominator, q, r;
  tvi_poly_from(a, &numerator);
  tvi_poly_from(b, &denominator);
  trivet_dim_t rest = a;
  if (divide(context, &numerator, &denominator, &q, &r)) {
    if (is_zero(&r)) return tvi_dim_constant(context, 0);
    if (denominator.count == 1 && denominator.constant == 0) rest = tvi_poly_to_dim(context, &r);
  }
  if (rest == NULL) return NULL;
  if (within(context, rest, b)) return rest;
  trivet_dim_t operands[2] = {rest, b};
  return tvi_dim_intern(context, TVI_DIM_MOD, 0, 2, operands, NULL);
}
