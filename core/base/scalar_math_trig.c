// SPDX-License-Identifier: Apache-2.0
//
// Sine, cosine, tangent and their inverses. Arguments are reduced exactly, however large: the
// product with 2/pi is formed in integers, of which only the bits that matter are computed (the
// idea is that of Payne and Hanek, 1983).

#include <math.h>
#include <stdbool.h>

#include "core/base/double_double.h"
#include "core/base/math_tables.h"
#include "core/base/scalar_math.h"

__extension__ typedef unsigned __int128 wide_integer_t;

// Word of 2/pi that begins `bit` bits behind the point (negative: zeros stand before it).
static uint64_t two_over_pi_word(int bit) {
  int word = bit >= 0 ? bit / 64 : -((63 - bit) / 64);
  int shift = bit - word * 64;
  uint64_t first = word >= 0 ? tvi_two_over_pi[word] : 0;
  uint64_t second = word >= -1 ? tvi_two_over_pi[word + 1] : 0;
  return shift == 0 ? first : first << shift | second >> (64 - shift);
}

// Reduces a finite x to r in [-pi/4, pi/4] with x = r + quadrant * pi/2 (quadrant modulo 4).
static tvi_dd_t reduce_angle(double x, int* out_quadrant) {
  double magnitude = __builtin_fabs(x);
  if (magnitude <= 0x1.921fb54442d18p-1) {
    *out_quadrant = 0;
    return tvi_dd_make(x, 0);
  }
  uint64_t bits = tvi_f64_bits(magnitude);
  int exponent = (int)(bits >> 52) - 1075;
  uint64_t mantissa = (bits & 0xFFFFFFFFFFFFF) | (uint64_t)1 << 52;
  // x * 2/pi = mantissa * (2/pi * 2^exponent). Bits of the second factor worth 4 and more give
  // whole turns and drop out; of the others 256 are taken, the two highest being worth 2 and 1.
  int first_bit = exponent - 2;
  uint64_t product[4];
  uint64_t carry = 0;
  for (int i = 3; i >= 0; --i) {
    wide_integer_t part = (wide_integer_t)mantissa * two_over_pi_word(first_bit + 64 * i) + carry;
    product[i] = (uint64_t)part;
    carry = (uint64_t)(part >> 64);
  }
  int quadrant = (int)(product[0] >> 62);
  // The fraction of a quarter turn, 128 bits of it and more behind; above one half it is taken from
  // the next quadrant.
  uint64_t high = product[0] << 2 | product[1] >> 62;
  uint64_t middle = product[1] << 2 | product[2] >> 62;
  uint64_t low = product[2] << 2 | product[3] >> 62;
  bool negative = (high >> 63) != 0;
  if (negative) {
    quadrant = (quadrant + 1) & 3;
    // Two's complement of 192 bits; the bits cut off below cannot matter.
    low = ~low + 1;
    middle = ~middle + (low == 0 ? 1 : 0);
    high = ~high + (low == 0 && middle == 0 ? 1 : 0);
  }
  int zeros = 0;
  if (high == 0) {
    high = middle;
    middle = low;
    zeros = 64;
  }
  int shift = high != 0 ? __builtin_clzll(high) : 0;
  if (shift != 0) {
    high = high << shift | middle >> (64 - shift);
    middle = middle << shift | (zeros == 0 ? low >> (64 - shift) : 0);
  }
  // 53 bits and the 64 behind them.
  uint64_t top = high >> 11;
  uint64_t rest = high << 53 | middle >> 11;
  tvi_dd_t fraction = tvi_dd_quick_sum((double)top * 0x1p-53, (double)rest * 0x1p-117);
  fraction = tvi_dd_scale(fraction, tvi_f64_power_of_two(-zeros - shift));
  tvi_dd_t angle = tvi_dd_mul(fraction, tvi_dd_make(TVI_PI_2_HIGH, TVI_PI_2_LOW));
  if (negative != (bool)signbit(x)) angle = tvi_dd_negate(angle);
  *out_quadrant = signbit(x) ? (4 - quadrant) & 3 : quadrant;
  return angle;
}

// Series on [-pi/4, pi/4]; the leading terms wide, so that only the tail is rounded.
static tvi_dd_t sine_small(tvi_dd_t r) {
  double x = r.high;
  double s = x * x;
  double tail =
      s * (-1.0 / 6 +
           s * (1.0 / 120 + s * (-1.0 / 5040 +
                                 s * (1.0 / 362880 +
                                      s * (-1.0 / 39916800 +
                                           s * (1.0 / 6227020800.0 +
                                                s * (-1.0 / 1307674368000.0 +
                                                     s * (1.0 / 355687428096000.0 -
                                                          s * (1.0 / 121645100408832000.0)))))))));
  // The derivative, 1 - s/2, carries the argument's low part.
  return tvi_dd_quick_sum(x, x * tail + r.low * (1 - 0.5 * s));
}

static tvi_dd_t cosine_small(tvi_dd_t r) {
  double x = r.high;
  tvi_dd_t square = tvi_dd_product(x, x);
  double s = square.high;
  double tail =
      s * s *
      (1.0 / 24 +
       s * (-1.0 / 720 +
            s * (1.0 / 40320 +
                 s * (-1.0 / 3628800 +
                      s * (1.0 / 479001600.0 +
                           s * (-1.0 / 87178291200.0 +
                                s * (1.0 / 20922789888000.0 - s * (1.0 / 6402373705728000.0))))))));
  tvi_dd_t sum = tvi_dd_quick_sum(1.0, -0.5 * s);
  return tvi_dd_quick_sum(sum.high, sum.low + (tail - 0.5 * square.low - x * r.low));
}

double tvi_math_sin(double x) {
  if (!(__builtin_fabs(x) < (double)INFINITY)) return x != x ? x : (double)NAN;
  if (__builtin_fabs(x) < 0x1p-27) return x;
  int quadrant;
  tvi_dd_t r = reduce_angle(x, &quadrant);
  double result = ((quadrant & 1) != 0 ? cosine_small(r) : sine_small(r)).high;
  return (quadrant & 2) != 0 ? -result : result;
}

double tvi_math_cos(double x) {
  if (!(__builtin_fabs(x) < (double)INFINITY)) return x != x ? x : (double)NAN;
  int quadrant;
  tvi_dd_t r = reduce_angle(x, &quadrant);
  double result = ((quadrant & 1) != 0 ? sine_small(r) : cosine_small(r)).high;
  return quadrant == 1 || quadrant == 2 ? -result : result;
}

double tvi_math_tan(double x) {
  if (!(__builtin_fabs(x) < (double)INFINITY)) return x != x ? x : (double)NAN;
  if (__builtin_fabs(x) < 0x1p-27) return x;
  int quadrant;
  tvi_dd_t r = reduce_angle(x, &quadrant);
  tvi_dd_t sine = sine_small(r);
  tvi_dd_t cosine = cosine_small(r);
  if ((quadrant & 1) != 0) return -tvi_dd_div(cosine, sine).high;
  return tvi_dd_div(sine, cosine).high;
}

// atan(y / x) for 0 <= y <= x, x near 1 in size. With c = i/64 near y/x,
// atan(y/x) = atan(c) + atan((y - c x) / (x + c y)).
static tvi_dd_t atan_ratio(tvi_dd_t y, tvi_dd_t x) {
  int index = (int)(64 * (y.high / x.high) + 0.5);
  double c = index / 64.0;
  tvi_dd_t numerator = tvi_dd_add(y, tvi_dd_mul_f64(x, -c));
  tvi_dd_t denominator = tvi_dd_add(x, tvi_dd_mul_f64(y, c));
  tvi_dd_t r = tvi_dd_div(numerator, denominator);
  double s = r.high * r.high;
  double tail = r.high * s * (-1.0 / 3 + s * (1.0 / 5 + s * (-1.0 / 7 + s * (1.0 / 9 - s / 11))));
  tvi_dd_t small = tvi_dd_quick_sum(r.high, r.low + tail);
  if (index == 0) return small;
  return tvi_dd_add(tvi_dd_make(tvi_atan_table[index][0], tvi_atan_table[index][1]), small);
}

// Angle of the point (x, y), y >= 0, not both 0, sizes between 2^-300 and 2^300.
static tvi_dd_t angle_wide(tvi_dd_t y, tvi_dd_t x) {
  bool negative = x.high < 0;
  if (negative) x = tvi_dd_negate(x);
  tvi_dd_t angle;
  if (y.high > x.high) {
    tvi_dd_t rest = atan_ratio(x, y);
    if (!negative) rest = tvi_dd_negate(rest);
    return tvi_dd_add(tvi_dd_make(TVI_PI_2_HIGH, TVI_PI_2_LOW), rest);
  }
  angle = atan_ratio(y, x);
  if (!negative) return angle;
  return tvi_dd_add(tvi_dd_make(TVI_PI_HIGH, TVI_PI_LOW), tvi_dd_negate(angle));
}

double tvi_math_atan(double x) {
  double magnitude = __builtin_fabs(x);
  if (x != x || magnitude < 0x1p-27) return x;
  double result = TVI_PI_2_HIGH;
  if (magnitude < 0x1p60) {
    result = angle_wide(tvi_dd_make(magnitude, 0), tvi_dd_make(1.0, 0)).high;
  }
  return __builtin_copysign(result, x);
}

double tvi_math_atan2(double y, double x) {
  if (x != x || y != y) return (double)NAN;
  double a = __builtin_fabs(y);
  double b = __builtin_fabs(x);
  if (a == (double)INFINITY || b == (double)INFINITY) {
    // Infinities count as equal, finite numbers beside them as zero.
    a = a == (double)INFINITY ? 1.0 : 0.0;
    b = b == (double)INFINITY ? 1.0 : 0.0;
  }
  double result;
  if (a == 0 || b == 0) {
    result = a == 0 ? (signbit(x) ? TVI_PI_HIGH : 0.0) : TVI_PI_2_HIGH;
  } else {
    // One power of two brings the larger one near 1; both ends of the range need two steps.
    double larger = a > b ? a : b;
    if (larger < 0x1p-900) {
      a *= 0x1p200;
      b *= 0x1p200;
      larger *= 0x1p200;
    }
    int exponent = (int)(tvi_f64_bits(larger) >> 52) - 1023;
    double ratio = a / b;
    if (ratio < 0x1p-60 && !signbit(x)) {
      result = ratio;
    } else if (ratio < 0x1p-60 || ratio > 0x1p60) {
      result = ratio > 1 ? TVI_PI_2_HIGH : TVI_PI_HIGH;
    } else {
      a = tvi_f64_scale(a, -exponent);
      b = tvi_f64_scale(b, -exponent);
      result = angle_wide(tvi_dd_make(a, 0), tvi_dd_make(signbit(x) ? -b : b, 0)).high;
    }
  }
  return __builtin_copysign(result, y);
}

// sqrt(1 - x^2), wide, for |x| <= 1.
static tvi_dd_t complement(double x) {
  tvi_dd_t square = tvi_dd_product(x, x);
  return tvi_dd_sqrt(tvi_dd_add(tvi_dd_make(1.0, 0), tvi_dd_negate(square)));
}

double tvi_math_asin(double x) {
  double magnitude = __builtin_fabs(x);
  if (!(magnitude <= 1)) return x != x ? x : (double)NAN;
  if (magnitude < 0x1p-27) return x;
  double result = angle_wide(tvi_dd_make(magnitude, 0), complement(x)).high;
  return __builtin_copysign(result, x);
}

double tvi_math_acos(double x) {
  if (!(__builtin_fabs(x) <= 1)) return x != x ? x : (double)NAN;
  if (x == 1) return 0.0;
  if (__builtin_fabs(x) < 0x1p-60) return TVI_PI_2_HIGH;
  return angle_wide(complement(x), tvi_dd_make(x, 0)).high;
}
