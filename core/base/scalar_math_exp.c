// SPDX-License-Identifier: Apache-2.0
//
// Exponential, logarithm and what follows from them: powers, roots, hyperbolic functions and their
// inverses, the logistic function. One wide exponential and one wide logarithm carry all of it.

#include <math.h>

#include "core/base/double_double.h"
#include "core/base/math_tables.h"
#include "core/base/scalar_math.h"

static const double infinity = (double)INFINITY;
static const double not_a_number = (double)NAN;

// A positive number fraction * 2^exponent, fraction in [0.99, 2.01).
typedef struct exp_result_t {
  tvi_dd_t fraction;
  int exponent;
} exp_result_t;

// exp(x) for |x| < 800, relative error below 2^-66. With k the integer nearest to 128 x / ln 2,
// exp(x) = 2^(k div 128) * 2^(k mod 128 / 128) * exp(r), |r| <= ln 2 / 256; the second factor is a
// table's, the third a Taylor polynomial.
static exp_result_t exp_wide(tvi_dd_t x) {
  const double to_integer = 0x1.8p52;  // adding it rounds to an integer, ties to even
  double k = (x.high * TVI_EXP_STEPS_PER_UNIT + to_integer) - to_integer;
  int steps = (int)k;
  tvi_dd_t r = tvi_dd_sum(x.high - k * TVI_EXP_STEP_1, -(k * TVI_EXP_STEP_2));
  r = tvi_dd_quick_sum(r.high, r.low + (x.low - k * TVI_EXP_STEP_3));
  double t = r.high;
  double tail =
      t * t * (1.0 / 2 + t * (1.0 / 6 + t * (1.0 / 24 + t * (1.0 / 120 + t * (1.0 / 720)))));
  tvi_dd_t minus_one = tvi_dd_quick_sum(t, tail + (r.low + r.low * t));

  int index = steps & 127;
  tvi_dd_t power = {tvi_exp_table[index][0], tvi_exp_table[index][1]};
  tvi_dd_t product = tvi_dd_product(power.high, minus_one.high);
  tvi_dd_t sum = tvi_dd_quick_sum(power.high, product.high);
  double low =
      sum.low + (product.low + power.low + power.high * minus_one.low + power.low * minus_one.high);
  exp_result_t result = {tvi_dd_quick_sum(sum.high, low), (steps - index) / 128};
  return result;
}

static double exp_narrow(exp_result_t result) {
  return tvi_f64_scale(result.fraction.high, result.exponent);
}

// exp(x) of moderate size as one wide number.
static tvi_dd_t exp_scaled(double x) {
  exp_result_t result = exp_wide(tvi_dd_make(x, 0));
  return tvi_dd_scale(result.fraction, tvi_f64_power_of_two(result.exponent));
}

// The natural logarithm of 1 + r for |r| < 2^-7, relative error below 2^-66: three terms of the
// series wide, the others in double.
static tvi_dd_t log1p_small(tvi_dd_t r) {
  double t = r.high;
  double tail =
      t * t * t *
      (1.0 / 3 +
       t * (-1.0 / 4 +
            t * (1.0 / 5 +
                 t * (-1.0 / 6 + t * (1.0 / 7 + t * (-1.0 / 8 + t * (1.0 / 9 - t / 10)))))));
  tvi_dd_t half_square = tvi_dd_scale(tvi_dd_product(t, t), 0.5);
  tvi_dd_t result = tvi_dd_sum(t, -half_square.high);
  double low = result.low + (r.low - t * r.low - half_square.low + tail);
  return tvi_dd_quick_sum(result.high, low);
}

// A positive finite number as fraction * 2^exponent with the fraction in [sqrt(1/2), sqrt(2)).
static double split_exponent(double x, int* out_exponent) {
  int exponent = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    exponent = -54;
  }
  uint64_t bits = tvi_f64_bits(x);
  exponent += (int)(bits >> 52) - 1023;
  double fraction = tvi_f64_from_bits((bits & 0xFFFFFFFFFFFFF) | (uint64_t)1023 << 52);
  if (fraction >= 0x1.6a09e667f3bcdp0) {
    fraction *= 0.5;
    ++exponent;
  }
  *out_exponent = exponent;
  return fraction;
}

// log of a fraction in [sqrt(1/2), sqrt(2)): with c near its inverse, log(f) = log1p(c f - 1) -
// log(c). For f near 1, c is 1, so nothing cancels there.
static tvi_dd_t log_fraction(double fraction) {
  int index = (int)(fraction * 128 + 0.5);
  double inverse = 128.0 / index;
  tvi_dd_t product = tvi_dd_product(fraction, inverse);
  tvi_dd_t r = tvi_dd_quick_sum(product.high - 1.0, product.low);
  tvi_dd_t offset = {tvi_log_table[index - 90][0], tvi_log_table[index - 90][1]};
  tvi_dd_t small = log1p_small(r);
  return index == 128 ? small : tvi_dd_add(offset, small);
}

// log of a positive finite number, relative error below 2^-65.
static tvi_dd_t log_wide(double x) {
  int exponent;
  tvi_dd_t fraction = log_fraction(split_exponent(x, &exponent));
  if (exponent == 0) return fraction;
  double e = (double)exponent;
  tvi_dd_t scale = tvi_dd_sum(e * TVI_LN2_SHORT, e * TVI_LN2_REST_HIGH);
  return tvi_dd_add(scale, fraction);
}

// log(1 + x) for a wide x >= 0: the sum's lost bits enter as a first-order correction.
static tvi_dd_t log1p_wide(tvi_dd_t x) {
  tvi_dd_t sum = tvi_dd_sum(1.0, x.high);
  double low = sum.low + x.low;
  return tvi_dd_add_f64(log_wide(sum.high), low / sum.high);
}

double tvi_math_exp(double x) {
  if (x != x) return x;
  if (x > 709.79) return infinity;
  if (x < -745.14) return 0.0;
  return exp_narrow(exp_wide(tvi_dd_make(x, 0)));
}

double tvi_math_exp2(double x) {
  if (x != x) return x;
  if (x >= 1024) return infinity;
  if (x < -1080) return 0.0;
  double whole = __builtin_floor(x);
  tvi_dd_t ln2 = {TVI_LN2_HIGH, TVI_LN2_LOW};
  exp_result_t result = exp_wide(tvi_dd_mul_f64(ln2, x - whole));
  result.exponent += (int)whole;
  return exp_narrow(result);
}

double tvi_math_expm1(double x) {
  if (x != x) return x;
  if (x > 709.79) return infinity;
  if (x < -40) return -1.0;
  if (__builtin_fabs(x) < 0x1p-54) return x;
  if (__builtin_fabs(x) < 0x1p-6) {
    double tail =
        1.0 / 6 +
        x * (1.0 / 24 +
             x * (1.0 / 120 + x * (1.0 / 720 + x * (1.0 / 5040 + x * (1.0 / 40320 + x / 362880)))));
    return x + x * x * (0.5 + x * tail);
  }
  if (x > 700) return tvi_math_exp(x);
  return tvi_dd_add_f64(exp_scaled(x), -1.0).high;
}

double tvi_math_log(double x) {
  if (!(x > 0)) return x == 0 ? -infinity : x != x ? x : not_a_number;
  if (x == infinity) return x;
  return log_wide(x).high;
}

double tvi_math_log2(double x) {
  if (!(x > 0) || x == infinity) return tvi_math_log(x);
  int exponent;
  tvi_dd_t fraction = log_fraction(split_exponent(x, &exponent));
  tvi_dd_t result = tvi_dd_mul(fraction, tvi_dd_make(TVI_LOG2_E_HIGH, TVI_LOG2_E_LOW));
  return tvi_dd_add_f64(result, (double)exponent).high;
}

double tvi_math_log10(double x) {
  if (!(x > 0) || x == infinity) return tvi_math_log(x);
  return tvi_dd_mul(log_wide(x), tvi_dd_make(TVI_LOG10_E_HIGH, TVI_LOG10_E_LOW)).high;
}

double tvi_math_log1p(double x) {
  if (x != x || x == infinity) return x;
  if (x <= -1) return x == -1 ? -infinity : not_a_number;
  if (__builtin_fabs(x) < 0x1p-54) return x;
  if (x > 0x1p60) return log_wide(x).high;
  return log1p_wide(tvi_dd_make(x, 0)).high;
}

// y for which x^y follows the parity rules: 0 no integer, 1 odd, 2 even.
static int integer_kind(double y) {
  double magnitude = __builtin_fabs(y);
  if (magnitude >= 0x1p53) return 2;
  if (magnitude != __builtin_floor(magnitude)) return 0;
  return ((int64_t)magnitude & 1) != 0 ? 1 : 2;
}

double tvi_math_pow(double x, double y) {
  if (y == 0 || x == 1) return 1.0;
  if (x != x || y != y) return not_a_number;
  double magnitude = __builtin_fabs(x);
  int kind = integer_kind(y);
  double sign = signbit(x) && kind == 1 ? -1.0 : 1.0;
  if (magnitude == 0) return sign * (y > 0 ? 0.0 : infinity);
  if (magnitude == infinity) return sign * (y > 0 ? infinity : 0.0);
  if (y == infinity || y == -infinity) {
    if (magnitude == 1) return 1.0;
    return (magnitude > 1) == (y > 0) ? infinity : 0.0;
  }
  if (x < 0 && kind == 0) return not_a_number;
  tvi_dd_t logarithm = log_wide(magnitude);
  // Far outside of the range a product that overflows or is inexact does not matter.
  double estimate = logarithm.high * y;
  if (estimate > 710) return sign * infinity;
  if (estimate < -746) return sign * 0.0;
  if (__builtin_fabs(estimate) < 0x1p-60) return sign;
  tvi_dd_t exponent = tvi_dd_mul_f64(logarithm, y);
  if (__builtin_fabs(y) > 0x1p900) exponent = tvi_dd_make(estimate, 0);
  return sign * exp_narrow(exp_wide(exponent));
}

double tvi_math_cbrt(double x) {
  double magnitude = __builtin_fabs(x);
  if (!(magnitude > 0) || magnitude == infinity) return x;
  tvi_dd_t third = tvi_dd_div(log_wide(magnitude), tvi_dd_make(3.0, 0));
  return __builtin_copysign(exp_narrow(exp_wide(third)), x);
}

double tvi_math_sqrt(double x) { return x < 0 ? not_a_number : __builtin_sqrt(x); }

double tvi_math_rsqrt(double x) { return 1.0 / tvi_math_sqrt(x); }

// (exp(a) +- exp(-a)) / 2 for a >= 0.25.
static double half_exponentials(double a, double sign) {
  if (a > 711) return infinity;
  exp_result_t grown = exp_wide(tvi_dd_make(a, 0));
  if (a < 40) {
    tvi_dd_t value = tvi_dd_scale(grown.fraction, tvi_f64_power_of_two(grown.exponent));
    tvi_dd_t inverse = tvi_dd_div(tvi_dd_make(sign, 0), value);
    return 0.5 * tvi_dd_add(value, inverse).high;
  }
  grown.exponent -= 1;
  return exp_narrow(grown);
}

// sinh(x) / x - 1 and cosh(x) - 1 for |x| <= 0.25, by their series.
static double sinh_tail(double x) {
  double s = x * x;
  return s * (1.0 / 6 +
              s * (1.0 / 120 +
                   s * (1.0 / 5040 +
                        s * (1.0 / 362880 + s * (1.0 / 39916800 + s * (1.0 / 6227020800.0))))));
}

static double cosh_tail(double x) {
  double s = x * x;
  return s * (1.0 / 2 +
              s * (1.0 / 24 + s * (1.0 / 720 + s * (1.0 / 40320 + s * (1.0 / 3628800 +
                                                                       s * (1.0 / 479001600.0))))));
}

double tvi_math_sinh(double x) {
  double magnitude = __builtin_fabs(x);
  if (!(magnitude < infinity)) return x;
  if (magnitude < 0.25) return x + x * sinh_tail(x);
  return __builtin_copysign(half_exponentials(magnitude, -1.0), x);
}

double tvi_math_cosh(double x) {
  double magnitude = __builtin_fabs(x);
  if (x != x) return x;
  if (magnitude < 0.25) return 1.0 + cosh_tail(x);
  return half_exponentials(magnitude, 1.0);
}

double tvi_math_tanh(double x) {
  double magnitude = __builtin_fabs(x);
  if (x != x || magnitude < 0x1p-28) return x;
  double result = 1.0;
  if (magnitude < 0.25) {
    tvi_dd_t sine = tvi_dd_quick_sum(magnitude, magnitude * sinh_tail(magnitude));
    tvi_dd_t cosine = tvi_dd_quick_sum(1.0, cosh_tail(magnitude));
    result = tvi_dd_div(sine, cosine).high;
  } else if (magnitude < 20) {
    tvi_dd_t square = exp_scaled(2 * magnitude);
    result = tvi_dd_div(tvi_dd_add_f64(square, -1.0), tvi_dd_add_f64(square, 1.0)).high;
  }
  return __builtin_copysign(result, x);
}

// asinh(x) = log1p(x + x^2 / (1 + sqrt(1 + x^2))) for x > 0.
double tvi_math_asinh(double x) {
  double magnitude = __builtin_fabs(x);
  if (!(magnitude > 0 && magnitude < infinity)) return x;
  if (magnitude < 0x1p-28) return x - x * x * x / 6;
  tvi_dd_t result;
  if (magnitude > 0x1p32) {
    result = tvi_dd_add(log_wide(magnitude), tvi_dd_make(TVI_LN2_HIGH, TVI_LN2_LOW));
  } else {
    tvi_dd_t square = tvi_dd_product(magnitude, magnitude);
    tvi_dd_t root = tvi_dd_sqrt(tvi_dd_add_f64(square, 1.0));
    tvi_dd_t part = tvi_dd_div(square, tvi_dd_add_f64(root, 1.0));
    result = log1p_wide(tvi_dd_add_f64(part, magnitude));
  }
  return __builtin_copysign(result.high, x);
}

// acosh(x) = log1p(t + sqrt(2 t + t^2)) with t = x - 1.
double tvi_math_acosh(double x) {
  if (!(x >= 1)) return x != x ? x : not_a_number;
  if (x == infinity) return x;
  if (x > 0x1p32) {
    return tvi_dd_add(log_wide(x), tvi_dd_make(TVI_LN2_HIGH, TVI_LN2_LOW)).high;
  }
  tvi_dd_t t = tvi_dd_sum(x, -1.0);
  tvi_dd_t inside = tvi_dd_add(tvi_dd_scale(t, 2.0), tvi_dd_mul(t, t));
  return log1p_wide(tvi_dd_add(t, tvi_dd_sqrt(inside))).high;
}

// atanh(x) = log1p(2 x / (1 - x)) / 2 for x > 0.
double tvi_math_atanh(double x) {
  double magnitude = __builtin_fabs(x);
  if (!(magnitude < 1)) return magnitude == 1 ? x * infinity : x != x ? x : not_a_number;
  if (magnitude < 0x1p-28) return x + x * x * x / 3;
  tvi_dd_t ratio = tvi_dd_div(tvi_dd_make(2 * magnitude, 0), tvi_dd_sum(1.0, -magnitude));
  return __builtin_copysign(0.5 * log1p_wide(ratio).high, x);
}

double tvi_math_sigmoid(double x) {
  if (x != x) return x;
  if (x > 40) return 1.0;
  // Below, 1 + exp(x) rounds to 1.
  if (x < -40) return tvi_math_exp(x);
  tvi_dd_t shrunk = exp_scaled(-__builtin_fabs(x));
  tvi_dd_t numerator = x < 0 ? shrunk : tvi_dd_make(1.0, 0);
  return tvi_dd_div(numerator, tvi_dd_add_f64(shrunk, 1.0)).high;
}
