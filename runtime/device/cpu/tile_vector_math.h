// SPDX-License-Identifier: Apache-2.0
//
// Elementary functions on vectors of f32, at most 4 units in the last place from the exact value.
// Included by tile_vector_body.h after the instruction set has defined its vector types and
// helpers. Every function evaluates both sides of its branches: no lane waits for another, but
// where an argument needs exact reduction (huge angles) the scalar functions of core/base serve
// that vector.
//
// Polynomials are minimax fits of our own (relative error, iterated reweighted least squares).
#ifndef TRIVET_RUNTIME_DEVICE_CPU_TILE_VECTOR_MATH_H_
#define TRIVET_RUNTIME_DEVICE_CPU_TILE_VECTOR_MATH_H_

static inline vf poly4(vf x, float c0, float c1, float c2, float c3, float c4) {
  vf p = vf_fma(vf_set(c4), x, vf_set(c3));
  p = vf_fma(p, x, vf_set(c2));
  p = vf_fma(p, x, vf_set(c1));
  return vf_fma(p, x, vf_set(c0));
}

// exp(r) = 1 + r + r^2 q(r) for |r| <= ln(2)/2.
static inline vf exp_q(vf r) {
  return poly4(r, 0.49999994f, 0.166665211f, 0.041668389f, 0.00836871564f, 0.00138146f);
}

// x = n ln(2) + r.
static inline vf reduce_exp(vf x, vf* out_r) {
  const vf n = vf_round(x * 1.44269504088896341f);
  const vf r = vf_fma(n, vf_set(-0.693145751953125f), x);
  *out_r = vf_fma(n, vf_set(-1.42860682030941723212e-6f), r);
  return n;
}

// p * 2^n in two steps, so that results below the normal range and infinity come out right.
static inline vf scale_by_power(vf p, vf n) {
  const vi whole = vf_to_vi(n);
  const vi half = whole >> 1;
  const vf a = (vf)((half + 127) << 23);
  const vf b = (vf)((whole - half + 127) << 23);
  return p * a * b;
}

// Bounds keep NaN.
static inline vf clamp_above(vf x, float bound) { return vf_min_keep(vf_set(bound), x); }
static inline vf clamp_below(vf x, float bound) { return vf_max_keep(vf_set(bound), x); }

static inline vf math_exp(vf x) {
  x = clamp_below(clamp_above(x, 89.0f), -105.0f);
  vf r;
  const vf n = reduce_exp(x, &r);
  const vf p = vf_fma(r * r, exp_q(r), r) + 1.0f;
  return scale_by_power(p, n);
}

static inline vf math_exp2(vf x) {
  x = clamp_below(clamp_above(x, 129.0f), -151.0f);
  const vf n = vf_round(x);
  const vf f = x - n;
  // f ln(2) with the lower half of ln(2): the product alone would cost an ulp.
  const vf r = vf_fma(f, vf_set(0.693147182464599609375f), f * -1.904654e-9f);
  const vf p = vf_fma(r * r, exp_q(r), r) + 1.0f;
  return scale_by_power(p, n);
}

static inline vf math_expm1(vf x) {
  const vf y = clamp_below(clamp_above(x, 89.0f), -20.0f);
  vf r;
  const vf n = reduce_exp(y, &r);
  const vf q = poly4(r, 0.49999997f, 0.166665435f, 0.0416672006f, 0.00836651959f, 0.0013882519f);
  const vf p = vf_fma(r * r, q, r);
  // 2^n p + (2^n - 1), all of it halved: 2^128 is no number.
  const vf s = (vf)((vf_to_vi(n) + 126) << 23);
  const vf result = vf_fma(s, p, s - 0.5f) * 2.0f;
  return vf_select(vf_lt(vf_abs(x), vf_set(1e-7f)), x, result);
}

// x = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), for normal x.
static inline vf reduce_log(vf x, vf* out_f) {
  const vu bits = (vu)x;
  const vi e = (vi)(bits - 0x3f3504f3u) >> 23;
  *out_f = (vf)(bits - ((vu)e << 23)) - 1.0f;
  return vi_to_vf(e);
}

// log(1 + f) - f.
static inline vf log_tail(vf f) {
  const vf f2 = f * f;
  vf p = vf_fma(vf_set(-0.0763442963f), f, vf_set(0.127615497f));
  p = vf_fma(p, f, vf_set(-0.131601945f));
  p = vf_fma(p, f, vf_set(0.142017618f));
  p = vf_fma(p, f, vf_set(-0.166233569f));
  p = vf_fma(p, f, vf_set(0.200012267f));
  p = vf_fma(p, f, vf_set(-0.250008225f));
  p = vf_fma(p, f, vf_set(0.333333313f));
  return vf_fma(f2 * f, p, f2 * -0.5f);
}

// What logarithms share: subnormal arguments scaled, then the special values.
static inline vf log_argument(vf x, vf* out_shift) {
  const vm tiny = vf_lt(x, vf_set(1.17549435e-38f));
  *out_shift = vf_select(tiny, vf_set(-23.0f), vf_set(0.0f));
  return vf_select(tiny, x * 8388608.0f, x);
}
static inline vf log_special(vf x, vf result) {
  result = vf_select(vf_eq(x, vf_set(0.0f)), vf_set(-__builtin_inff()), result);
  result = vf_select(vf_lt(x, vf_set(0.0f)), vf_set(__builtin_nanf("")), result);
  result = vf_select(vf_eq(x, vf_set(__builtin_inff())), x, result);
  return vf_select(vf_ne(x, x), x, result);
}

static inline vf math_log(vf x) {
  vf shift, f;
  const vf y = log_argument(x, &shift);
  const vf e = reduce_log(y, &f) + shift;
  const vf low = vf_fma(e, vf_set(-2.12194440e-4f), log_tail(f));
  return log_special(x, vf_fma(e, vf_set(0.693359375f), f + low));
}

// (f + tail) * scale + e * unit, with the lower half of scale.
static inline vf log_scaled(vf x, float scale, float scale_low, float unit, float unit_low) {
  vf shift, f;
  const vf y = log_argument(x, &shift);
  const vf e = reduce_log(y, &f) + shift;
  const vf tail = log_tail(f);
  const vf high = f + tail;
  const vf rest = (f - high) + tail;
  vf low = vf_fma(high, vf_set(scale_low), rest * scale);
  low = vf_fma(e, vf_set(unit_low), low);
  const vf main = vf_fma(e, vf_set(unit), low);
  return log_special(x, vf_fma(high, vf_set(scale), main));
}
static inline vf math_log2(vf x) {
  return log_scaled(x, 1.44269502162933349609375f, 1.9259629e-8f, 1.0f, 0.0f);
}
static inline vf math_log10(vf x) {
  return log_scaled(x, 0.434294492006301879882812f, -1.0103050e-8f, 0.301025390625f,
                    4.605038981e-6f);
}

static inline vf math_log1p(vf x) {
  const vf u = x + 1.0f;
  // What the sum lost, of the smaller operand.
  const vf lost = vf_select(vf_gt(u, vf_set(2.0f)), (1.0f - u) + x, x - (u - 1.0f));
  vf f;
  const vf e = reduce_log(u, &f);
  const vf low = vf_fma(e, vf_set(-2.12194440e-4f), log_tail(f) + lost / u);
  const vf result = vf_fma(e, vf_set(0.693359375f), f + low);
  return vf_select(vf_lt(vf_abs(x), vf_set(1e-7f)), x,
                   log_special(u, vf_select(vf_eq(u, vf_set(__builtin_inff())), u, result)));
}

// ---- Angles ----

#define ANGLE_LIMIT 20000.0f

static inline vf reduce_angle(vf x, vi* out_quadrant) {
  const vf n = vf_round(x * 0.636619772367581343f);
  *out_quadrant = vf_to_vi(n);
  vf r = vf_fma(n, vf_set(-1.57079637050628662109375f), x);
  r = vf_fma(n, vf_set(4.37113882867379e-8f), r);
  return vf_fma(n, vf_set(1.71512451e-15f), r);
}
static inline vf sin_core(vf r) {
  const vf z = r * r;
  vf p = vf_fma(vf_set(2.71812178e-06f), z, vf_set(-0.000198393129f));
  p = vf_fma(p, z, vf_set(0.00833332911f));
  p = vf_fma(p, z, vf_set(-0.166666672f));
  return vf_fma(p * z, r, r);
}
static inline vf cos_core(vf r) {
  const vf z = r * r;
  vf p = vf_fma(vf_set(-2.72057548e-07f), z, vf_set(2.47994594e-05f));
  p = vf_fma(p, z, vf_set(-0.00138888834f));
  p = vf_fma(p, z, vf_set(0.0416666679f));
  return vf_fma(p * z, z, vf_fma(z, vf_set(-0.5f), vf_set(1.0f)));
}
// Changes the sign where bit 1 is set.
static inline vf negate_by(vi bit, vf x) { return (vf)((vi)x ^ (bit << 30)); }
static inline vf math_sin(vf x) {
  if (vm_any(vf_gt(vf_abs(x), vf_set(ANGLE_LIMIT)))) return vf_by_scalar(x, tvi_math_sin_f32);
  vi q;
  const vf r = reduce_angle(x, &q);
  const vf y = vf_select(vi_nonzero(q & 1), cos_core(r), sin_core(r));
  const vf result = negate_by(q & 2, y);
  return vf_select(vf_eq(x, vf_set(0.0f)), x, result);
}
static inline vf math_cos(vf x) {
  if (vm_any(vf_gt(vf_abs(x), vf_set(ANGLE_LIMIT)))) return vf_by_scalar(x, tvi_math_cos_f32);
  vi q;
  const vf r = reduce_angle(x, &q);
  const vf y = vf_select(vi_nonzero(q & 1), sin_core(r), cos_core(r));
  return negate_by((q + 1) & 2, y);
}
static inline vf math_tan(vf x) {
  if (vm_any(vf_gt(vf_abs(x), vf_set(ANGLE_LIMIT)))) return vf_by_scalar(x, tvi_math_tan_f32);
  vi q;
  const vf r = reduce_angle(x, &q);
  const vf s = sin_core(r), c = cos_core(r);
  const vm odd = vi_nonzero(q & 1);
  const vf result = vf_select(odd, c, s) / vf_select(odd, s, c);
  return vf_select(vf_eq(x, vf_set(0.0f)), x, negate_by((q & 1) << 1, result));
}

// atan for 0 <= x <= 1.
static inline vf atan_core(vf x) {
  const vf z = x * x;
  vf p = vf_fma(vf_set(-0.00179361599f), z, vf_set(0.0109145818f));
  p = vf_fma(p, z, vf_set(-0.0311778039f));
  p = vf_fma(p, z, vf_set(0.0579575561f));
  p = vf_fma(p, z, vf_set(-0.0840344802f));
  p = vf_fma(p, z, vf_set(0.109521851f));
  p = vf_fma(p, z, vf_set(-0.142642409f));
  p = vf_fma(p, z, vf_set(0.199985489f));
  p = vf_fma(p, z, vf_set(-0.333332986f));
  return vf_fma(p * z, x, x);
}
static inline vf copy_sign(vf x, vf sign) {
  return (vf)(((vi)x & 0x7fffffff) | ((vi)sign & (int32_t)0x80000000));
}
static inline vf math_atan(vf x) {
  const vf t = vf_abs(x);
  const vm above = vf_gt(t, vf_set(1.0f));
  const vf a = atan_core(vf_select(above, 1.0f / t, t));
  const vf flipped = (1.57079637050628662109375f - a) - 4.37113882867379e-8f;
  const vf result = copy_sign(vf_select(above, flipped, a), x);
  return vf_select(vf_ne(x, x), x, result);
}
static inline vf math_atan2(vf y, vf x) {
  const vf ay = vf_abs(y), ax = vf_abs(x);
  const vm steep = vf_gt(ay, ax);
  const vf top = vf_select(steep, ax, ay), bottom = vf_select(steep, ay, ax);
  vf ratio = top / bottom;
  ratio = vf_select(vf_eq(bottom, vf_set(0.0f)), vf_set(0.0f), ratio);
  ratio = vf_select(vf_eq(top, vf_set(__builtin_inff())), vf_set(1.0f), ratio);
  vf a = atan_core(ratio);
  a = vf_select(steep, (1.57079637050628662109375f - a) - 4.37113882867379e-8f, a);
  const vm left = vi_negative((vi)x);
  a = vf_select(left, (3.1415927410125732421875f - a) - 8.74227765734758e-8f, a);
  a = copy_sign(a, y);
  return vf_select((vf_ne(x, x)) | (vf_ne(y, y)), x + y, a);
}

// asin(s) - s for s^2 = z <= 1/4.
static inline vf asin_tail(vf s, vf z) {
  return poly4(z, 0.166667521f, 0.0749529749f, 0.0454703569f, 0.0241796039f, 0.042166166f) *
         (z * s);
}
static inline vf math_asin(vf x) {
  const vf t = vf_abs(x);
  const vm large = vf_gt(t, vf_set(0.5f));
  const vf half = vf_fma(t, vf_set(-0.5f), vf_set(0.5f));
  const vf z = vf_select(large, half, t * t);
  const vf s = vf_select(large, vf_sqrt(half), t);
  const vf a = s + asin_tail(s, z);
  const vf flipped = vf_fma(a, vf_set(-2.0f), vf_set(1.57079637050628662109375f));
  return copy_sign(vf_select(large, flipped, a), x);
}
static inline vf math_acos(vf x) {
  const vf t = vf_abs(x);
  const vm large = vf_gt(t, vf_set(0.5f));
  const vf half = vf_fma(t, vf_set(-0.5f), vf_set(0.5f));
  const vf z = vf_select(large, half, t * t);
  const vf s = vf_select(large, vf_sqrt(half), t);
  const vf a = s + asin_tail(s, z);
  const vf far = 2.0f * a;
  const vf negative = (3.1415927410125732421875f - far) - 8.74227765734758e-8f;
  const vf outer = vf_select(vf_lt(x, vf_set(0.0f)), negative, far);
  const vf inner = 1.57079637050628662109375f - (copy_sign(a, x) + 4.37113882867379e-8f);
  return vf_select(large, outer, inner);
}

// ---- Hyperbolic ----

static inline vf math_tanh(vf x) {
  const vf t = clamp_above(vf_abs(x), 10.0f);
  const vf e = math_expm1(2.0f * t);
  return copy_sign(e / (e + 2.0f), x);
}
static inline vf math_sinh(vf x) {
  const vf t = vf_abs(x);
  const vf e = math_expm1(t);
  const vf small = 0.5f * (e + e / (e + 1.0f));
  const vf root = math_exp(0.5f * t);
  return copy_sign(vf_select(vf_gt(t, vf_set(40.0f)), (0.5f * root) * root, small), x);
}
static inline vf math_cosh(vf x) {
  const vf t = vf_abs(x);
  const vf e = math_exp(t);
  const vf root = math_exp(0.5f * t);
  return vf_select(vf_gt(t, vf_set(40.0f)), (0.5f * root) * root,
                   vf_fma(vf_set(0.5f), e, 0.5f / e));
}
static inline vf math_asinh(vf x) {
  const vf t = vf_abs(x);
  const vf z = t * t;
  const vf small = math_log1p(t + z / (1.0f + vf_sqrt(z + 1.0f)));
  const vf large = math_log(t) + 0.693147180559945309f;
  return copy_sign(vf_select(vf_gt(t, vf_set(1e9f)), large, small), x);
}
static inline vf math_acosh(vf x) {
  const vf t = x - 1.0f;
  const vf small = math_log1p(t + vf_sqrt(vf_fma(t, t, 2.0f * t)));
  const vf large = math_log(x) + 0.693147180559945309f;
  const vf result = vf_select(vf_gt(x, vf_set(1e9f)), large, small);
  return vf_select(vf_lt(x, vf_set(1.0f)), vf_set(__builtin_nanf("")), result);
}
static inline vf math_atanh(vf x) {
  const vf t = vf_abs(x);
  return copy_sign(0.5f * math_log1p(2.0f * t / (1.0f - t)), x);
}

static inline vf math_sigmoid(vf x) {
  const vf e = math_exp(-vf_abs(x));
  return vf_select(vf_lt(x, vf_set(0.0f)), e, vf_set(1.0f)) / (1.0f + e);
}

// ---- Error function ----

static inline vf math_erf(vf x) {
  const vf t = vf_abs(x);
  const vf z = t * t;
  vf p = vf_fma(vf_set(8.31690922e-05f), z, vf_set(-0.000813005026f));
  p = vf_fma(p, z, vf_set(0.00519991061f));
  p = vf_fma(p, z, vf_set(-0.0268589444f));
  p = vf_fma(p, z, vf_set(0.112836875f));
  p = vf_fma(p, z, vf_set(-0.376126319f));
  const vf small = vf_fma(p, z * t, t * 0.128379226f) + t;
  const vf u = clamp_above(t, 4.0f);
  // log(erfc(u)) for 0.9 <= u <= 4.
  vf q = vf_fma(vf_set(-2.08286183e-05f), u, vf_set(0.000431393564f));
  q = vf_fma(q, u, vf_set(-0.0041562547f));
  q = vf_fma(q, u, vf_set(0.0250806157f));
  q = vf_fma(q, u, vf_set(-0.108220384f));
  q = vf_fma(q, u, vf_set(-0.633400857f));
  q = vf_fma(q, u, vf_set(-1.12948835f));
  q = vf_fma(q, u, vf_set(0.00016920513f));
  const vf large = 1.0f - math_exp(q);
  return copy_sign(vf_select(vf_gt(t, vf_set(0.92f)), large, small), x);
}

// x Phi(x), with Phi(-t) = erfc(t / sqrt(2)) / 2 as exp(-t^2/2) times a polynomial of 1/(1 + c t):
// no cancellation on the negative side.
static inline vf math_gelu_erf(vf x) {
  const vf t = vf_abs(x) * 0.707106781186547524f;
  const vf u = 1.0f / vf_fma(t, vf_set(0.3f), vf_set(1.0f));
  vf p = vf_fma(vf_set(-0.129434079f), u, vf_set(0.485096455f));
  p = vf_fma(p, u, vf_set(-0.511226475f));
  p = vf_fma(p, u, vf_set(0.546395063f));
  p = vf_fma(p, u, vf_set(-0.0936312526f));
  p = vf_fma(p, u, vf_set(0.214436278f));
  p = vf_fma(p, u, vf_set(0.148482427f));
  p = vf_fma(p, u, vf_set(0.170691937f));
  p = vf_fma(p, u, vf_set(0.169189617f));
  const vf tail = p * u * math_exp(t * -t) * 0.5f;
  const vf phi = vf_select(vf_lt(x, vf_set(0.0f)), tail, 1.0f - tail);
  // -inf times 0 would be NaN.
  return vf_select(vf_lt(x, vf_set(-20.0f)), vf_set(-0.0f), x * phi);
}
static inline vf math_silu(vf x) {
  const vf y = clamp_below(x, -110.0f);
  const vf e = math_exp(-vf_abs(y));
  return y * vf_select(vf_lt(x, vf_set(0.0f)), e, vf_set(1.0f)) / (1.0f + e);
}
static inline vf math_gelu_tanh(vf x) {
  const vf y = clamp_below(x, -20.0f);
  const vf z = 1.59576912160573071f * (y * vf_fma(y * y, vf_set(0.044715f), vf_set(1.0f)));
  const vf e = math_exp(-vf_abs(z));
  return y * vf_select(vf_lt(z, vf_set(0.0f)), e, vf_set(1.0f)) / (1.0f + e);
}

#endif  // TRIVET_RUNTIME_DEVICE_CPU_TILE_VECTOR_MATH_H_
