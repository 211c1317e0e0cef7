// SPDX-License-Identifier: Apache-2.0
//
// Elementary functions: accuracy against the C library's long double functions, special values, and
// a checksum over all functions that must be the same on every host and for every compiler.

#include "core/base/scalar_math.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace {

static_assert(std::numeric_limits<long double>::digits >= 64, "the oracle must be wider");

const double kInf = std::numeric_limits<double>::infinity();
const double kNan = std::numeric_limits<double>::quiet_NaN();

class Random {
 public:
  uint64_t Bits() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  double Unit() { return static_cast<double>(Bits() >> 11) * 0x1p-53; }

 private:
  uint64_t state_ = 88172645463325252u;
};

// Distance in units of the last place of the reference.
double Ulps(double got, long double reference) {
  if (static_cast<long double>(got) == reference) return 0;
  double rounded = static_cast<double>(reference);
  if (std::isinf(rounded) || !std::isfinite(got)) return got == rounded ? 0 : 1e9;
  double magnitude = std::fabs(rounded);
  double ulp = std::nextafter(magnitude, kInf) - magnitude;
  return static_cast<double>(std::fabs(static_cast<long double>(got) - reference) / ulp);
}

struct Case {
  const char* name;
  double (*function)(double);
  long double (*oracle)(long double);
  double low;
  double high;
  bool logarithmic;
  double most_ulps;
};

long double Sigmoid(long double x) { return 1 / (1 + expl(-x)); }
long double Rsqrt(long double x) { return 1 / sqrtl(x); }

#define CASE(name, low, high, logarithmic, ulps) \
  { #name, tvi_math_##name, name##l, low, high, logarithmic, ulps }

const Case kCases[] = {
    CASE(exp, -745, 709.7, false, 1.0),
    CASE(exp, -1, 1, false, 0.51),
    CASE(exp2, -1074, 1023.9, false, 1.0),
    CASE(expm1, -50, 709, false, 0.52),
    CASE(expm1, -0.05, 0.05, false, 0.52),
    CASE(expm1, 1e-300, 1, true, 0.52),
    CASE(log, 1e-320, 1e308, true, 0.51),
    CASE(log, 0.9, 1.1, false, 0.51),
    CASE(log2, 1e-308, 1e308, true, 0.51),
    CASE(log2, 0.5, 2, false, 0.51),
    CASE(log10, 1e-308, 1e308, true, 0.51),
    CASE(log1p, -0.9999, 1, false, 0.51),
    CASE(log1p, 1e-20, 1e300, true, 0.7),
    CASE(sin, -10, 10, false, 0.8),
    CASE(sin, 1e-10, 1e15, true, 0.8),
    CASE(cos, -10, 10, false, 0.8),
    CASE(cos, 1e-10, 1e15, true, 0.8),
    CASE(tan, -10, 10, false, 1.0),
    CASE(tan, 1e-10, 1e15, true, 1.0),
    CASE(asin, -1, 1, false, 0.51),
    CASE(asin, 1e-20, 1, true, 0.51),
    CASE(acos, -1, 1, false, 0.51),
    CASE(acos, 0.999, 1, false, 0.51),
    CASE(atan, -3, 3, false, 0.51),
    CASE(atan, 1e-20, 1e30, true, 0.51),
    CASE(sinh, -710, 710, false, 0.55),
    CASE(sinh, -1, 1, false, 0.55),
    CASE(sinh, 1e-300, 1, true, 0.55),
    CASE(cosh, -710, 710, false, 0.55),
    CASE(cosh, -2, 2, false, 0.55),
    CASE(tanh, -25, 25, false, 0.6),
    CASE(tanh, -1, 1, false, 0.6),
    CASE(tanh, 1e-300, 1, true, 0.6),
    CASE(asinh, 1e-300, 1e300, true, 0.51),
    CASE(asinh, -3, 3, false, 0.51),
    CASE(acosh, 1, 3, false, 0.51),
    CASE(acosh, 1, 1e300, true, 0.51),
    CASE(atanh, -0.99999, 0.99999, false, 0.51),
    CASE(atanh, 1e-300, 0.99, true, 0.51),
    CASE(erf, -6, 6, false, 0.8),
    CASE(erf, 1e-300, 1, true, 0.8),
    CASE(cbrt, 1e-320, 1e308, true, 0.51),
    {"sigmoid", tvi_math_sigmoid, Sigmoid, -740, 50, false, 1.0},
    {"sigmoid", tvi_math_sigmoid, Sigmoid, -6, 6, false, 0.51},
    {"rsqrt", tvi_math_rsqrt, Rsqrt, 1e-300, 1e300, true, 1.5},
};

TEST(ScalarMath, IsAccurate) {
  Random random;
  for (const Case& c : kCases) {
    double worst = 0;
    double worst_at = 0;
    for (int i = 0; i < 20000; ++i) {
      double x = c.low + random.Unit() * (c.high - c.low);
      if (c.logarithmic) {
        x = std::exp(std::log(c.low) + random.Unit() * (std::log(c.high) - std::log(c.low)));
      }
      if (x > c.high) x = c.high;
      double ulps = Ulps(c.function(x), c.oracle(static_cast<long double>(x)));
      if (ulps > worst) {
        worst = ulps;
        worst_at = x;
      }
    }
    EXPECT_LE(worst, c.most_ulps) << c.name << " at " << worst_at;
  }
}

TEST(ScalarMath, PowIsAccurate) {
  Random random;
  int checked = 0;
  for (int i = 0; i < 40000; ++i) {
    double x = std::exp((random.Unit() - 0.5) * 20);
    double y = (random.Unit() - 0.5) * 100;
    long double reference = powl(static_cast<long double>(x), static_cast<long double>(y));
    if (reference > 1e308L || reference < 1e-307L) continue;
    ++checked;
    ASSERT_LE(Ulps(tvi_math_pow(x, y), reference), 0.6) << x << " " << y;
    ASSERT_LE(Ulps(tvi_math_atan2(y, x), atan2l(y, x)), 0.51) << x << " " << y;
    ASSERT_LE(Ulps(tvi_math_atan2(y, -x), atan2l(y, -x)), 0.51) << x << " " << y;
  }
  EXPECT_GT(checked, 20000);
}

// Integer powers and roots that are representable come out exactly.
TEST(ScalarMath, ExactResults) {
  for (int base = -9; base <= 9; ++base) {
    double power = 1;
    for (int n = 0; n <= 15; ++n) {
      EXPECT_EQ(tvi_math_pow(base, n), power) << base << "^" << n;
      power *= base;
    }
    EXPECT_EQ(tvi_math_cbrt(static_cast<double>(base) * base * base), base);
  }
  for (int n = -1074; n <= 1023; ++n) {
    EXPECT_EQ(tvi_math_exp2(n), std::ldexp(1.0, n));
    EXPECT_EQ(tvi_math_log2(std::ldexp(1.0, n)), n);
  }
  double ten = 1;
  for (int n = 0; n <= 22; ++n, ten *= 10) EXPECT_EQ(tvi_math_log10(ten), n);
}

// Arguments whose reduction is hard: huge ones, and the double nearest to a multiple of pi/2.
TEST(ScalarMath, HardAngles) {
  for (double x : {1e22, 0x1.fffffffffffffp1023, 6381956970095103.0 * 0x1p797, 0x1p500, 3e5, 11.0,
                   0x1.921fb54442d18p0, 0x1.921fb54442d18p1, 0x1.921fb54442d18p10}) {
    for (double s : {1.0, -1.0}) {
      EXPECT_LE(Ulps(tvi_math_sin(s * x), sinl(s * x)), 0.8) << s * x;
      EXPECT_LE(Ulps(tvi_math_cos(s * x), cosl(s * x)), 0.8) << s * x;
      EXPECT_LE(Ulps(tvi_math_tan(s * x), tanl(s * x)), 1.0) << s * x;
    }
  }
}

// The functions of C99 Annex F at infinities, NaN, signed zeros and the ends of their domains: the
// C library follows it too.
TEST(ScalarMath, SpecialValues) {
  struct {
    const char* name;
    double (*function)(double);
    double (*library)(double);
  } functions[] = {
#define ROW(name) {#name, tvi_math_##name, name}
      ROW(exp),   ROW(exp2),
      ROW(expm1), ROW(log),
      ROW(log2),  ROW(log10),
      ROW(log1p), ROW(sin),
      ROW(cos),   ROW(tan),
      ROW(asin),  ROW(acos),
      ROW(atan),  ROW(sinh),
      ROW(cosh),  ROW(tanh),
      ROW(asinh), ROW(acosh),
      ROW(atanh), ROW(erf),
      ROW(sqrt),  ROW(cbrt),
      ROW(floor), ROW(ceil),
      ROW(trunc), {"round_even", tvi_math_round_even, nearbyint},
  };
  const double values[] = {0.0,
                           -0.0,
                           1,
                           -1,
                           2,
                           -2,
                           0.5,
                           -0.5,
                           1.5,
                           2.5,
                           -2.5,
                           kInf,
                           -kInf,
                           kNan,
                           1e308,
                           -1e308,
                           5e-324,
                           -5e-324,
                           800,
                           -800,
                           4503599627370497.0,
                           2251799813685248.5};
  for (auto& f : functions) {
    for (double x : values) {
      double got = f.function(x);
      double want = f.library(x);
      if (std::isnan(want)) {
        EXPECT_TRUE(std::isnan(got)) << f.name << "(" << x << ") = " << got;
      } else if (want == 0 || std::isinf(want)) {
        EXPECT_EQ(got, want) << f.name << "(" << x << ")";
        EXPECT_EQ(std::signbit(got), std::signbit(want)) << f.name << "(" << x << ")";
      } else {
        EXPECT_LE(std::fabs(got - want), std::fabs(want) * 4e-16) << f.name << "(" << x << ")";
      }
    }
  }
  EXPECT_EQ(tvi_math_sigmoid(kInf), 1.0);
  EXPECT_EQ(tvi_math_sigmoid(-kInf), 0.0);
  EXPECT_EQ(tvi_math_sigmoid(0), 0.5);
  EXPECT_TRUE(std::isnan(tvi_math_sigmoid(kNan)));
  EXPECT_EQ(tvi_math_rsqrt(0.0), kInf);
  EXPECT_EQ(tvi_math_rsqrt(4.0), 0.5);
  EXPECT_TRUE(std::isnan(tvi_math_rsqrt(-1.0)));
}

TEST(ScalarMath, SpecialPairs) {
  const double values[] = {0.0,
                           -0.0,
                           1,
                           -1,
                           2,
                           -2,
                           3,
                           -3,
                           0.5,
                           -0.5,
                           kInf,
                           -kInf,
                           kNan,
                           1e300,
                           -1e300,
                           5e-324,
                           9007199254740993.0};
  auto check = [](const char* name, double x, double y, double got, double want) {
    if (std::isnan(want)) {
      EXPECT_TRUE(std::isnan(got)) << name << "(" << x << ", " << y << ") = " << got;
    } else {
      EXPECT_TRUE(std::fabs(got - want) <= std::fabs(want) * 3e-16 || got == want)
          << name << "(" << x << ", " << y << ") = " << got << ", not " << want;
      EXPECT_EQ(std::signbit(got), std::signbit(want)) << name << "(" << x << ", " << y << ")";
    }
  };
  for (double x : values) {
    for (double y : values) {
      check("pow", x, y, tvi_math_pow(x, y), std::pow(x, y));
      check("atan2", x, y, tvi_math_atan2(x, y), std::atan2(x, y));
      check("fmod", x, y, tvi_math_fmod(x, y), std::fmod(x, y));
    }
  }
}

TEST(ScalarMath, SinglePrecisionRoundsOnce) {
  Random random;
  for (int i = 0; i < 20000; ++i) {
    float x = static_cast<float>((random.Unit() - 0.5) * 20);
    auto half_ulp = [](float got, long double want) {
      float rounded = static_cast<float>(want);
      float ulp = std::nextafter(std::fabs(rounded), INFINITY) - std::fabs(rounded);
      return std::fabs(static_cast<long double>(got) - want) <=
             0.501L * static_cast<long double>(ulp);
    };
    ASSERT_TRUE(half_ulp(tvi_math_exp_f32(x), expl(x))) << x;
    ASSERT_TRUE(half_ulp(tvi_math_sin_f32(x), sinl(x))) << x;
    ASSERT_TRUE(half_ulp(tvi_math_tanh_f32(x), tanhl(x))) << x;
    ASSERT_TRUE(half_ulp(tvi_math_erf_f32(x), erfl(x))) << x;
    ASSERT_TRUE(half_ulp(tvi_math_pow_f32(std::fabs(x), 1.7f),
                         powl(std::fabs(static_cast<long double>(x)), 1.7f)))
        << x;
  }
}

// Folding a constant on one machine and computing it on another must agree: any change of this
// number changes results, and plans with folded constants.
TEST(ScalarMath, BitsAreFixed) {
  Random random;
  uint64_t sum = 0;
  for (int i = 0; i < 20000; ++i) {
    // Exponents between -30 and 29, any sign and fraction.
    uint64_t bits = (random.Bits() & 0x800FFFFFFFFFFFFFu) | (1023 - 30 + random.Bits() % 60) << 52;
    double x;
    memcpy(&x, &bits, sizeof(x));
    auto add = [&sum](double result) {
      uint64_t result_bits = 7;
      if (result == result) memcpy(&result_bits, &result, sizeof(result));
      sum = sum * 31 + result_bits;
    };
#define ADD(name)          \
  add(tvi_math_##name(x)); \
  add(static_cast<double>(tvi_math_##name##_f32(static_cast<float>(x))));
    TVI_MATH_UNARY_TABLE(ADD)
    add(tvi_math_pow(std::fabs(x), 1.25));
    add(tvi_math_atan2(x, 3.0));
    add(tvi_math_fmod(x, 0.7));
  }
  EXPECT_EQ(sum, 5670415494595700244u);
}

}  // namespace
