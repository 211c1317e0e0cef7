// SPDX-License-Identifier: Apache-2.0
//
// The error function, rounding to integers, and the f32 forms of all elementary functions, which
// round the f64 result once.

#include "core/base/scalar_math.h"

#include <math.h>

#include "core/base/double_double.h"
#include "core/base/math_tables.h"

// erf(c + h) for c = i/16, |h| <= 1/32: erf' = 2/sqrt(pi) exp(-x^2) is expanded at c. With
// g(h) = exp(-2 c h - h^2) = sum of b[n] h^n, g' = (-2 c - 2 h) g gives
// b[n + 1] = -2 (c b[n] + b[n - 1]) / (n + 1).
static double erf_near(double x) {
  int index = (int)(x * 16 + 0.5);
  double c = index / 16.0;
  double h = x - c;
  const double* row = tvi_erf_table[index - 8];
  double previous = 0;
  double current = 1;
  double power = h;
  double integral = h;
  for (int n = 0; n < 12; ++n) {
    double next = -2 * (c * current + previous) / (n + 1);
    previous = current;
    current = next;
    power *= h;
    integral += current * power / (n + 2);
  }
  return row[0] + (row[1] + row[2] * integral);
}

double tvi_math_erf(double x) {
  double magnitude = __builtin_fabs(x);
  if (x != x || x == 0) return x;
  if (magnitude >= 5.96875) return __builtin_copysign(1.0, x);
  if (magnitude >= 0.5) return __builtin_copysign(erf_near(magnitude), x);
  // 2/sqrt(pi) x times the sum of (-x^2)^n / (n! (2 n + 1)).
  double s = -x * x;
  double term = 1;
  double tail = 0;
  double terms[15];
  for (int n = 1; n < 15; ++n) {
    term *= s / n;
    terms[n] = term / (2 * n + 1);
  }
  // The smallest first.
  for (int n = 14; n >= 1; --n) tail += terms[n];
  double small = magnitude < 0x1p-900 ? 0x1p100 : 1;  // keeps the wide product exact
  tvi_dd_t scale = {TVI_TWO_OVER_SQRT_PI_HIGH, TVI_TWO_OVER_SQRT_PI_LOW};
  tvi_dd_t lead = tvi_dd_mul_f64(scale, x * small);
  return (lead.high + (lead.low + lead.high * tail)) / small;
}

double tvi_math_floor(double x) { return floor(x); }
double tvi_math_ceil(double x) { return ceil(x); }
double tvi_math_trunc(double x) { return trunc(x); }

// Adding and taking away 2^52 rounds to an integer, ties to even, in the default rounding mode.
double tvi_math_round_even(double x) {
  double magnitude = __builtin_fabs(x);
  if (!(magnitude < 0x1p52)) return x;
  return __builtin_copysign((magnitude + 0x1p52) - 0x1p52, x);
}

// The remainder is exact by definition, so the C library has no choice.
double tvi_math_fmod(double x, double y) { return fmod(x, y); }

#define TVI_MATH_DEFINE_F32(name) \
  float tvi_math_##name##_f32(float x) { return (float)tvi_math_##name((double)x); }
TVI_MATH_UNARY_TABLE(TVI_MATH_DEFINE_F32)

float tvi_math_pow_f32(float x, float y) { return (float)tvi_math_pow((double)x, (double)y); }
float tvi_math_atan2_f32(float y, float x) { return (float)tvi_math_atan2((double)y, (double)x); }
float tvi_math_fmod_f32(float x, float y) { return (float)tvi_math_fmod((double)x, (double)y); }
