// SPDX-License-Identifier: Apache-2.0
//
// Numbers as unevaluated sums of two doubles (about 105 bits), for the elementary functions alone:
// computed wide and rounded once, they come out within a hair of half an ulp. The algorithms are
// the error-free transformations of Dekker (1971) and Knuth (TAOCP 2, 4.2.2). Needs
// round-to-nearest and no contraction. No scaling: arguments must stay within about 2^-900 and
// 2^900.

#ifndef TRIVET_CORE_BASE_DOUBLE_DOUBLE_H_
#define TRIVET_CORE_BASE_DOUBLE_DOUBLE_H_

#include <stdint.h>
#include <string.h>

typedef struct tvi_dd_t {
  double high;  // the value rounded to double
  double low;   // what the rounding lost, rounded
} tvi_dd_t;

static inline uint64_t tvi_f64_bits(double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

static inline double tvi_f64_from_bits(uint64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// 2^exponent for a normal result.
static inline double tvi_f64_power_of_two(int exponent) {
  return tvi_f64_from_bits((uint64_t)(exponent + 1023) << 52);
}

// value * 2^exponent; in two steps, so that results near both ends of the range come out right.
static inline double tvi_f64_scale(double value, int exponent) {
  int half = exponent / 2;
  return value * tvi_f64_power_of_two(half) * tvi_f64_power_of_two(exponent - half);
}

// a + b exactly, for |a| >= |b| or a == 0.
static inline tvi_dd_t tvi_dd_quick_sum(double a, double b) {
  double sum = a + b;
  tvi_dd_t result = {sum, b - (sum - a)};
  return result;
}

// a + b exactly.
static inline tvi_dd_t tvi_dd_sum(double a, double b) {
  double sum = a + b;
  double b_part = sum - a;
  tvi_dd_t result = {sum, (a - (sum - b_part)) + (b - b_part)};
  return result;
}

// a * b exactly: both factors are split into halves of 26 bits.
static inline tvi_dd_t tvi_dd_product(double a, double b) {
  const double splitter = 134217729.0;  // 2^27 + 1
  double a_big = a * splitter;
  double a_high = a_big - (a_big - a);
  double a_low = a - a_high;
  double b_big = b * splitter;
  double b_high = b_big - (b_big - b);
  double b_low = b - b_high;
  double product = a * b;
  double error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low;
  tvi_dd_t result = {product, error};
  return result;
}

static inline tvi_dd_t tvi_dd_make(double high, double low) {
  tvi_dd_t result = {high, low};
  return result;
}

static inline tvi_dd_t tvi_dd_negate(tvi_dd_t a) { return tvi_dd_make(-a.high, -a.low); }

// Multiplied by a power of two.
static inline tvi_dd_t tvi_dd_scale(tvi_dd_t a, double power) {
  return tvi_dd_make(a.high * power, a.low * power);
}

static inline tvi_dd_t tvi_dd_add(tvi_dd_t a, tvi_dd_t b) {
  tvi_dd_t high = tvi_dd_sum(a.high, b.high);
  tvi_dd_t low = tvi_dd_sum(a.low, b.low);
  high = tvi_dd_quick_sum(high.high, high.low + low.high);
  return tvi_dd_quick_sum(high.high, high.low + low.low);
}

static inline tvi_dd_t tvi_dd_add_f64(tvi_dd_t a, double b) {
  tvi_dd_t high = tvi_dd_sum(a.high, b);
  return tvi_dd_quick_sum(high.high, high.low + a.low);
}

static inline tvi_dd_t tvi_dd_mul(tvi_dd_t a, tvi_dd_t b) {
  tvi_dd_t product = tvi_dd_product(a.high, b.high);
  return tvi_dd_quick_sum(product.high, product.low + (a.high * b.low + a.low * b.high));
}

static inline tvi_dd_t tvi_dd_mul_f64(tvi_dd_t a, double b) {
  tvi_dd_t product = tvi_dd_product(a.high, b);
  return tvi_dd_quick_sum(product.high, product.low + a.low * b);
}

static inline tvi_dd_t tvi_dd_div(tvi_dd_t a, tvi_dd_t b) {
  double first = a.high / b.high;
  tvi_dd_t rest = tvi_dd_add(a, tvi_dd_negate(tvi_dd_mul_f64(b, first)));
  double second = rest.high / b.high;
  rest = tvi_dd_add(rest, tvi_dd_negate(tvi_dd_mul_f64(b, second)));
  tvi_dd_t result = tvi_dd_quick_sum(first, second);
  return tvi_dd_add_f64(result, rest.high / b.high);
}

// Square root of a positive number: one step of Newton's iteration in the low part.
static inline tvi_dd_t tvi_dd_sqrt(tvi_dd_t a) {
  if (!(a.high > 0)) return tvi_dd_make(0, 0);
  double root = __builtin_sqrt(a.high);
  tvi_dd_t square = tvi_dd_product(root, root);
  tvi_dd_t rest = tvi_dd_add(a, tvi_dd_negate(square));
  return tvi_dd_quick_sum(root, rest.high / (2 * root));
}

#endif  // TRIVET_CORE_BASE_DOUBLE_DOUBLE_H_
