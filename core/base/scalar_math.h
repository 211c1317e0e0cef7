// SPDX-License-Identifier: Apache-2.0
//
// Elementary functions of our own, in plain C: the scalar reference of constant folding and of the
// kernel IR evaluator. Only + - * / sqrt and bit operations are used, no contraction, so the bits
// are the same on every IEEE 754 host. f64: within 2 ulp (exceptions stated); f32: computed in f64
// and rounded once, so within 0.501 ulp. Infinities, NaN, signed zeros as C99 Annex F. Pure,
// thread-safe.

#ifndef TRIVET_CORE_BASE_SCALAR_MATH_H_
#define TRIVET_CORE_BASE_SCALAR_MATH_H_

#ifdef __cplusplus
extern "C" {
#endif

// Each function tvi_math_<name>(double) and tvi_math_<name>_f32(float):
//   exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh
//   erf sqrt rsqrt cbrt sigmoid floor ceil trunc round_even
// sigmoid is 1/(1+exp(-x)) without cancellation; rsqrt is 1/sqrt(x), two roundings; round_even
// rounds to the nearest integer, ties to even; sin, cos and tan reduce any finite argument exactly.
#define TVI_MATH_UNARY_TABLE(X) \
  X(exp)                        \
  X(exp2)                       \
  X(expm1)                      \
  X(log)                        \
  X(log2)                       \
  X(log10)                      \
  X(log1p)                      \
  X(sin)                        \
  X(cos)                        \
  X(tan)                        \
  X(asin)                       \
  X(acos)                       \
  X(atan)                       \
  X(sinh)                       \
  X(cosh)                       \
  X(tanh)                       \
  X(asinh)                      \
  X(acosh)                      \
  X(atanh) X(erf) X(sqrt) X(rsqrt) X(cbrt) X(sigmoid) X(floor) X(ceil) X(trunc) X(round_even)

#define TVI_MATH_DECLARE_(name)   \
  double tvi_math_##name(double); \
  float tvi_math_##name##_f32(float);
TVI_MATH_UNARY_TABLE(TVI_MATH_DECLARE_)
#undef TVI_MATH_DECLARE_

// x to the power y, with the special cases of C99 Annex F (pow(x, 0) = 1, pow(1, y) = 1, negative x
// with an integer y).
double tvi_math_pow(double x, double y);
float tvi_math_pow_f32(float x, float y);

// Angle of (x, y) in (-pi, pi].
double tvi_math_atan2(double y, double x);
float tvi_math_atan2_f32(float y, float x);

// Remainder of x / y with the sign of x, exact.
double tvi_math_fmod(double x, double y);
float tvi_math_fmod_f32(float x, float y);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_SCALAR_MATH_H_
