// SPDX-License-Identifier: Apache-2.0
//
// What is certain about a dimension: interval, divisor, sign. Used to drop what cannot matter and
// to prove loads in bounds; an answer is never wrong, only sometimes missing.
#include "core/base/checked.h"
#include "core/dimension/dimension_internal.h"

typedef struct {
  int64_t low, high;
} interval_t;

static int64_t saturate(__int128 value) {
  if (value > INT64_MAX) return INT64_MAX;
  if (value < INT64_MIN) return INT64_MIN;
  return (int64_t)value;
}

static int64_t add_saturating(int64_t a, int64_t b) { return saturate((__int128)a + b); }

// An end at the limit of int64_t means "unbounded" and stays there whatever it is multiplied by.
static int64_t multiply_saturating(int64_t a, int64_t b) {
  if (a == 0 || b == 0) return 0;
  bool unbounded = a == INT64_MAX || a == INT64_MIN || b == INT64_MAX || b == INT64_MIN;
  if (unbounded) return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
  return saturate((__int128)a * b);
}

static interval_t multiply(interval_t a, interval_t b) {
  int64_t corners[4] = {multiply_saturating(a.low, b.low), multiply_saturating(a.low, b.high),
                        multiply_saturating(a.high, b.low), multiply_saturating(a.high, b.high)};
  interval_t result = {corners[0], corners[0]};
  for (int i = 1; i < 4; ++i) {
    if (corners[i] < result.low) result.low = corners[i];
    if (corners[i] > result.high) result.high = corners[i];
  }
  return result;
}

static int64_t floor_divide(int64_t a, int64_t b) {
  if (a == INT64_MAX || a == INT64_MIN) return a;
  if (b == INT64_MAX) return a < 0 ? -1 : 0;
  int64_t result = 0;
  return tvi_checked_floor_div_i64(a, b, &result) ? result : a;
}

// |b| is positive.
static interval_t divide(interval_t a, interval_t b, bool ceiling) {
  if (ceiling) {
    interval_t negated = {a.high == INT64_MAX ? INT64_MIN : -a.high,
                          a.low == INT64_MIN ? INT64_MAX : -a.low};
    interval_t floor = divide(negated, b, false);
    interval_t result = {floor.high == INT64_MAX ? INT64_MIN : -floor.high,
                         floor.low == INT64_MIN ? INT64_MAX : -floor.low};
    return result;
  }
  interval_t result = {floor_divide(a.low, a.low < 0 ? b.low : b.high),
                       floor_divide(a.high, a.high < 0 ? b.high : b.low)};
  return result;
}

static interval_t range_of(trivet_dim_t dim) {
  interval_t all = {INT64_MIN, INT64_MAX};
  switch (dim->kind) {
    case TVI_DIM_CONSTANT: {
      interval_t result = {dim->value, dim->value};
      return result;
    }
    case TVI_DIM_SYMBOL: {
      const tvi_dim_symbol_t* symbol = tvi_dim_as_symbol(dim);
      interval_t result = {symbol->min, symbol->max};
      return result;
    }
    case TVI_DIM_SUM: {
      interval_t result = {dim->value, dim->value};
      for (uint32_t i = 0; i < dim->count; ++i) {
        interval_t factor = {dim->coefficients[i], dim->coefficients[i]};
        interval_t term = multiply(range_of(dim->operands[i]), factor);
        result.low = result.low == INT64_MIN || term.low == INT64_MIN
                         ? INT64_MIN
                         : add_saturating(result.low, term.low);
        result.high = result.high == INT64_MAX || term.high == INT64_MAX
                          ? INT64_MAX
                          : add_saturating(result.high, term.high);
      }
      return result;
    }
    case TVI_DIM_PRODUCT: {
      interval_t result = {1, 1};
      for (uint32_t i = 0; i < dim->count; ++i) {
        result = multiply(result, range_of(dim->operands[i]));
      }
      return result;
    }
    case TVI_DIM_FLOORDIV:
    case TVI_DIM_CEILDIV:
    case TVI_DIM_MOD: {
      interval_t a = range_of(dim->operands[0]), b = range_of(dim->operands[1]);
      if (b.low < 0 || b.high < 1) return all;
      if (b.low == 0) b.low = 1;
      if (dim->kind != TVI_DIM_MOD) return divide(a, b, dim->kind == TVI_DIM_CEILDIV);
      interval_t result = {0, b.high == INT64_MAX ? INT64_MAX : b.high - 1};
      if (a.low >= 0 && a.high < result.high) result.high = a.high;
      return result;
    }
    case TVI_DIM_MIN:
    case TVI_DIM_MAX: {
      bool is_min = dim->kind == TVI_DIM_MIN;
      interval_t result = range_of(dim->operands[0]);
      for (uint32_t i = 1; i < dim->count; ++i) {
        interval_t other = range_of(dim->operands[i]);
        if (is_min ? other.low < result.low : other.low > result.low) result.low = other.low;
        if (is_min ? other.high < result.high : other.high > result.high) result.high = other.high;
      }
      return result;
    }
    default:
      return all;
  }
}

void tvi_dim_range(const tvi_dim_context_t* context, trivet_dim_t dim, int64_t* out_min,
                   int64_t* out_max) {
  (void)context;
  interval_t range = {INT64_MIN, INT64_MAX};
  if (dim != NULL) range = range_of(dim);
  *out_min = range.low;
  *out_max = range.high;
}

static int64_t gcd(int64_t a, int64_t b) {
  while (b != 0) {
    int64_t rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}

static int64_t magnitude(int64_t value) {
  if (value == INT64_MIN) return 1;  // its magnitude does not fit; 1 divides everything
  return value < 0 ? -value : value;
}

int64_t tvi_dim_divisor(const tvi_dim_context_t* context, trivet_dim_t dim) {
  if (dim == NULL) return 1;
  switch (dim->kind) {
    case TVI_DIM_CONSTANT:
      return magnitude(dim->value);
    case TVI_DIM_SYMBOL:
      return tvi_dim_as_symbol(dim)->divisor;
    case TVI_DIM_SUM: {
      int64_t result = magnitude(dim->value);
      for (uint32_t i = 0; i < dim->count; ++i) {
        int64_t coefficient = magnitude(dim->coefficients[i]), term;
        if (!tvi_checked_mul_i64(coefficient, tvi_dim_divisor(context, dim->operands[i]), &term)) {
          term = coefficient;
        }
        result = gcd(result, term);
      }
      return result;
    }
    case TVI_DIM_PRODUCT: {
      int64_t result = 1;
      for (uint32_t i = 0; i < dim->count; ++i) {
        int64_t product;
        if (tvi_checked_mul_i64(result, tvi_dim_divisor(context, dim->operands[i]), &product)) {
          result = product;
        }
      }
      return result;
    }
    case TVI_DIM_MOD:
    case TVI_DIM_MIN:
    case TVI_DIM_MAX: {
      int64_t result = 0;
      for (uint32_t i = 0; i < dim->count; ++i) {
        result = gcd(result, tvi_dim_divisor(context, dim->operands[i]));
      }
      return result;
    }
    default:
      return 1;
  }
}

// dim with the term at |index| (coefficient c, counted as positive |c|) replaced by what bounds it
// from below: scale * (dim - term) + bound.
static trivet_dim_t replace_term(tvi_dim_context_t* context, trivet_dim_t dim, uint32_t index,
                                 int64_t scale, trivet_dim_t bound) {
  trivet_dim_t term = tvi_dim_binary(context, TRIVET_DIM_MUL, dim->operands[index],
                                     tvi_dim_constant(context, dim->coefficients[index]));
  trivet_dim_t rest = tvi_dim_binary(context, TRIVET_DIM_SUB, dim, term);
  rest = tvi_dim_binary(context, TRIVET_DIM_MUL, rest, tvi_dim_constant(context, scale));
  return tvi_dim_binary(context, TRIVET_DIM_ADD, rest, bound);
}

static trivet_dim_t times(tvi_dim_context_t* context, trivet_dim_t dim, int64_t factor) {
  return tvi_dim_binary(context, TRIVET_DIM_MUL, dim, tvi_dim_constant(context, factor));
}

static bool nonnegative(tvi_dim_context_t* context, trivet_dim_t dim, int depth);

// Replaces a term by a bound of it, in each way that is known for its kind.
static bool nonnegative_by_term(tvi_dim_context_t* context, trivet_dim_t dim, uint32_t index,
                                int depth) {
  trivet_dim_t atom = dim->operands[index];
  int64_t c = dim->coefficients[index], s;
  switch (atom->kind) {
    case TVI_DIM_FLOORDIV:
      if (!tvi_dim_is_constant(atom->operands[1], &s) || s <= 0) return false;
      {
        // s*floordiv(x, s) is at least x - s + 1 and at most x.
        trivet_dim_t x = atom->operands[0];
        if (c > 0) {
          x = tvi_dim_binary(context, TRIVET_DIM_SUB, x, tvi_dim_constant(context, s - 1));
        }
        return nonnegative(context, replace_term(context, dim, index, s, times(context, x, c)),
                           depth - 1);
      }
    case TVI_DIM_MOD:
      if (c > 0) return false;
      {
        trivet_dim_t most = tvi_dim_binary(context, TRIVET_DIM_SUB, atom->operands[1],
                                           tvi_dim_constant(context, 1));
        return nonnegative(context, replace_term(context, dim, index, 1, times(context, most, c)),
                           depth - 1);
      }
    case TVI_DIM_MIN:
    case TVI_DIM_MAX: {
      // One operand bounds it on one side; on the other every operand must do.
      bool any = (atom->kind == TVI_DIM_MIN) == (c < 0);
      for (uint32_t i = 0; i < atom->count; ++i) {
        bool proven = nonnegative(
            context, replace_term(context, dim, index, 1, times(context, atom->operands[i], c)),
            depth - 1);
        if (proven == any) return any;
      }
      return !any;
    }
    case TVI_DIM_SYMBOL: {
      trivet_dim_t upper = tvi_dim_as_symbol(atom)->upper;
      if (c > 0 || upper == NULL) return false;
      return nonnegative(context, replace_term(context, dim, index, 1, times(context, upper, c)),
                         depth - 1);
    }
    default:
      return false;
  }
}

static bool nonnegative(tvi_dim_context_t* context, trivet_dim_t dim, int depth) {
  if (dim == NULL) return false;
  if (range_of(dim).low >= 0) return true;
  if (depth == 0 || dim->kind != TVI_DIM_SUM || dim->count > 16) return false;
  // A factor of all terms that is not negative decides nothing: N*K - N is N*(K - 1).
  if (dim->value == 0) {
    trivet_dim_t first = dim->operands[0];
    uint32_t factors = first->kind == TVI_DIM_PRODUCT ? first->count : 1;
    for (uint32_t f = 0; f < factors; ++f) {
      trivet_dim_t factor = first->kind == TVI_DIM_PRODUCT ? first->operands[f] : first;
      if (range_of(factor).low < 0) continue;
      tvi_poly_t rest;
      rest.count = 0;
      rest.constant = 0;
      bool ok = true;
      for (uint32_t i = 0; i < dim->count && ok; ++i) {
        bool one;
        trivet_dim_t monomial = tvi_monomial_divide(context, dim->operands[i], factor, &one);
        if (one) {
          rest.constant = dim->coefficients[i];
        } else {
          ok = monomial != NULL && tvi_poly_add_term(&rest, dim->coefficients[i], monomial);
        }
      }
      if (ok) return nonnegative(context, tvi_poly_to_dim(context, &rest), depth - 1);
    }
  }
  for (uint32_t i = 0; i < dim->count; ++i) {
    if (nonnegative_by_term(context, dim, i, depth)) return true;
  }
  return false;
}

bool tvi_dim_is_nonnegative(tvi_dim_context_t* context, trivet_dim_t dim) {
  return nonnegative(context, dim, 4);
}

bool tvi_dim_is_positive(tvi_dim_context_t* context, trivet_dim_t dim) {
  if (dim == NULL) return false;
  return nonnegative(context,
                     tvi_dim_binary(context, TRIVET_DIM_SUB, dim, tvi_dim_constant(context, 1)), 4);
}
