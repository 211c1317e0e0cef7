// SPDX-License-Identifier: Apache-2.0
//
// Every tile instruction in plain C, with the exact meaning of docs/kernel_ir.md: what runs where
// no vector loop exists. One element at a time; speed is the business of tile_vector_*.c.

#include <math.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/scalar_math.h"
#include "runtime/device/cpu/tile_kernels.h"

// Registers of one size serve several types.
typedef float __attribute__((may_alias)) f32_t;
typedef double __attribute__((may_alias)) f64_t;
typedef int32_t __attribute__((may_alias)) i32_t;
typedef uint32_t __attribute__((may_alias)) u32_t;
typedef int64_t __attribute__((may_alias)) i64_t;
typedef uint64_t __attribute__((may_alias)) u64_t;

#define STEP(i, type) ((g->scalars >> (i)&1u) ? 0 : (ptrdiff_t)sizeof(type))

#define LOOP1(name, T, D, expression)                              \
  static void name(const tvi_tile_args_t* g) {                     \
    const ptrdiff_t step_a = STEP(0, T);                           \
    for (uint32_t row = 0; row < g->rows; ++row) {                 \
      const char* pa = g->s[0] + (ptrdiff_t)row * g->ss[0];        \
      D* pd = (D*)(g->d + (ptrdiff_t)row * g->ds);                 \
      for (uint32_t col = 0; col < g->cols; ++col, pa += step_a) { \
        const T a = *(const T*)pa;                                 \
        pd[col] = (D)(expression);                                 \
      }                                                            \
    }                                                              \
  }

#define LOOP2(name, T, D, expression)                                            \
  static void name(const tvi_tile_args_t* g) {                                   \
    const ptrdiff_t step_a = STEP(0, T), step_b = STEP(1, T);                    \
    for (uint32_t row = 0; row < g->rows; ++row) {                               \
      const char* pa = g->s[0] + (ptrdiff_t)row * g->ss[0];                      \
      const char* pb = g->s[1] + (ptrdiff_t)row * g->ss[1];                      \
      D* pd = (D*)(g->d + (ptrdiff_t)row * g->ds);                               \
      for (uint32_t col = 0; col < g->cols; ++col, pa += step_a, pb += step_b) { \
        const T a = *(const T*)pa, b = *(const T*)pb;                            \
        pd[col] = (D)(expression);                                               \
      }                                                                          \
    }                                                                            \
  }

#define LOOP3(name, A, T, D, expression)                                                       \
  static void name(const tvi_tile_args_t* g) {                                                 \
    const ptrdiff_t step_a = STEP(0, A), step_b = STEP(1, T), step_c = STEP(2, T);             \
    for (uint32_t row = 0; row < g->rows; ++row) {                                             \
      const char* pa = g->s[0] + (ptrdiff_t)row * g->ss[0];                                    \
      const char* pb = g->s[1] + (ptrdiff_t)row * g->ss[1];                                    \
      const char* pc = g->s[2] + (ptrdiff_t)row * g->ss[2];                                    \
      D* pd = (D*)(g->d + (ptrdiff_t)row * g->ds);                                             \
      for (uint32_t col = 0; col < g->cols; ++col, pa += step_a, pb += step_b, pc += step_c) { \
        const A a = *(const A*)pa;                                                             \
        const T b = *(const T*)pb, c = *(const T*)pc;                                          \
        pd[col] = (D)(expression);                                                             \
      }                                                                                        \
    }                                                                                          \
  }

// ---------------------------------------------------------------------------------------------
// Scalar helpers
// ---------------------------------------------------------------------------------------------

#define DEFINE_INTEGER_HELPERS(suffix, T, U, min_value, is_signed)                                 \
  static inline T div_##suffix(T a, T b) {                                                         \
    if (b == 0) return 0;                                                                          \
    if (is_signed && a == (T)(min_value) && b == (T)-1) return a;                                  \
    return (T)(a / b);                                                                             \
  }                                                                                                \
  static inline T rem_##suffix(T a, T b) {                                                         \
    if (b == 0 || (is_signed && b == (T)-1)) return 0;                                             \
    return (T)(a % b);                                                                             \
  }                                                                                                \
  static inline T floordiv_##suffix(T a, T b) {                                                    \
    T q = div_##suffix(a, b), r = rem_##suffix(a, b);                                              \
    return is_signed && r != 0 && ((r < 0) != (b < 0)) ? (T)(q - 1) : q;                           \
  }                                                                                                \
  static inline T ceildiv_##suffix(T a, T b) {                                                     \
    T q = div_##suffix(a, b), r = rem_##suffix(a, b);                                              \
    return r != 0 && (!(is_signed) || (r < 0) == (b < 0)) ? (T)(q + 1) : q;                        \
  }                                                                                                \
  static inline T mod_##suffix(T a, T b) {                                                         \
    T r = rem_##suffix(a, b);                                                                      \
    return is_signed && r != 0 && ((r < 0) != (b < 0)) ? (T)(r + b) : r;                           \
  }                                                                                                \
  static inline T pow_##suffix(T a, T b) {                                                         \
    U base = (U)a, result = 1;                                                                     \
    if (is_signed && b < 0) return a == 1 ? 1 : a == (T)-1 ? ((U)b & 1u ? (T)-1 : 1) : 0;          \
    for (U e = (U)b; e != 0; e >>= 1, base = (U)(base * base))                                     \
      if (e & 1u) result = (U)(result * base);                                                     \
    return (T)result;                                                                              \
  }                                                                                                \
  static inline T shl_##suffix(T a, T b) {                                                         \
    return (U)b >= 8 * sizeof(T) ? (T)0 : (T)((U)a << (U)b);                                       \
  }                                                                                                \
  static inline T shr_##suffix(T a, T b) { return (U)b >= 8 * sizeof(T) ? (T)0 : (T)(a >> (U)b); } \
  static inline T sign_##suffix(T a) {                                                             \
    return a == 0 ? (T)0 : (is_signed && a < 0) ? (T)-1 : (T)1;                                    \
  }                                                                                                \
  static inline T abs_##suffix(T a) { return is_signed && a < 0 ? (T)(0 - (U)a) : a; }

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wtype-limits"
DEFINE_INTEGER_HELPERS(i32, int32_t, uint32_t, INT32_MIN, 1)
DEFINE_INTEGER_HELPERS(u32, uint32_t, uint32_t, 0, 0)
DEFINE_INTEGER_HELPERS(i64, int64_t, uint64_t, INT64_MIN, 1)
DEFINE_INTEGER_HELPERS(u64, uint64_t, uint64_t, 0, 0)
#pragma GCC diagnostic pop

#define DEFINE_FLOAT_HELPERS(suffix, T, floor_of, ceil_of, fmod_of)          \
  static inline T min_##suffix(T a, T b) { return a < b || a != a ? a : b; } \
  static inline T max_##suffix(T a, T b) { return a > b || a != a ? a : b; } \
  static inline T floordiv_##suffix(T a, T b) { return floor_of(a / b); }    \
  static inline T ceildiv_##suffix(T a, T b) { return ceil_of(a / b); }      \
  static inline T mod_##suffix(T a, T b) {                                   \
    T r = fmod_of(a, b);                                                     \
    if (r != 0 && ((r < 0) != (b < 0))) r += b;                              \
    return r == 0 ? (T)copysign(0.0, (double)b) : r;                         \
  }                                                                          \
  static inline T sign_##suffix(T a) { return a > 0 ? (T)1 : a < 0 ? (T)-1 : a != a ? a : 0; }
DEFINE_FLOAT_HELPERS(f32, float, tvi_math_floor_f32, tvi_math_ceil_f32, tvi_math_fmod_f32)
DEFINE_FLOAT_HELPERS(f64, double, tvi_math_floor, tvi_math_ceil, tvi_math_fmod)

// ---------------------------------------------------------------------------------------------
// Arithmetic
// ---------------------------------------------------------------------------------------------

LOOP2(k_add_f32, f32_t, f32_t, a + b)
LOOP2(k_sub_f32, f32_t, f32_t, a - b)
LOOP2(k_mul_f32, f32_t, f32_t, a* b)
LOOP2(k_div_f32, f32_t, f32_t, a / b)
LOOP2(k_add_f64, f64_t, f64_t, a + b)
LOOP2(k_sub_f64, f64_t, f64_t, a - b)
LOOP2(k_mul_f64, f64_t, f64_t, a* b)
LOOP2(k_div_f64, f64_t, f64_t, a / b)
LOOP2(k_add_u32, u32_t, u32_t, a + b)
LOOP2(k_sub_u32, u32_t, u32_t, a - b)
LOOP2(k_mul_u32, u32_t, u32_t, a* b)
LOOP2(k_add_u64, u64_t, u64_t, a + b)
LOOP2(k_sub_u64, u64_t, u64_t, a - b)
LOOP2(k_mul_u64, u64_t, u64_t, a* b)
LOOP2(k_and_u32, u32_t, u32_t, a& b)
LOOP2(k_or_u32, u32_t, u32_t, a | b)
LOOP2(k_xor_u32, u32_t, u32_t, a ^ b)
LOOP2(k_and_u64, u64_t, u64_t, a& b)
LOOP2(k_or_u64, u64_t, u64_t, a | b)
LOOP2(k_xor_u64, u64_t, u64_t, a ^ b)
LOOP1(k_not_u32, u32_t, u32_t, ~a)
LOOP1(k_not_u64, u64_t, u64_t, ~a)
LOOP1(k_popcount_u32, u32_t, u32_t, __builtin_popcount(a))
LOOP1(k_popcount_u64, u64_t, u64_t, __builtin_popcountll(a))
LOOP1(k_neg_f32, f32_t, f32_t, -a)
LOOP1(k_neg_f64, f64_t, f64_t, -a)
LOOP1(k_neg_u32, u32_t, u32_t, 0u - a)
LOOP1(k_neg_u64, u64_t, u64_t, 0u - a)
LOOP1(k_abs_f32, f32_t, f32_t, fabsf(a))
LOOP1(k_abs_f64, f64_t, f64_t, fabs(a))

#define INTEGER_LOOPS(suffix, T)                            \
  LOOP2(k_div_##suffix, T, T, div_##suffix(a, b))           \
  LOOP2(k_rem_##suffix, T, T, rem_##suffix(a, b))           \
  LOOP2(k_floordiv_##suffix, T, T, floordiv_##suffix(a, b)) \
  LOOP2(k_ceildiv_##suffix, T, T, ceildiv_##suffix(a, b))   \
  LOOP2(k_mod_##suffix, T, T, mod_##suffix(a, b))           \
  LOOP2(k_pow_##suffix, T, T, pow_##suffix(a, b))           \
  LOOP2(k_shl_##suffix, T, T, shl_##suffix(a, b))           \
  LOOP2(k_shr_##suffix, T, T, shr_##suffix(a, b))           \
  LOOP2(k_min_##suffix, T, T, a < b ? a : b)                \
  LOOP2(k_max_##suffix, T, T, a > b ? a : b)                \
  LOOP1(k_sign_##suffix, T, T, sign_##suffix(a))            \
  LOOP1(k_abs_##suffix, T, T, abs_##suffix(a))
INTEGER_LOOPS(i32, i32_t)
INTEGER_LOOPS(u32, u32_t)
INTEGER_LOOPS(i64, i64_t)
INTEGER_LOOPS(u64, u64_t)

#define COMPARE_LOOPS(suffix, T)         \
  LOOP2(k_eq_##suffix, T, i32_t, a == b) \
  LOOP2(k_ne_##suffix, T, i32_t, a != b) \
  LOOP2(k_lt_##suffix, T, i32_t, a < b)  \
  LOOP2(k_le_##suffix, T, i32_t, a <= b)
COMPARE_LOOPS(f32, f32_t)
COMPARE_LOOPS(f64, f64_t)
COMPARE_LOOPS(i32, i32_t)
COMPARE_LOOPS(u32, u32_t)
COMPARE_LOOPS(i64, i64_t)
COMPARE_LOOPS(u64, u64_t)

LOOP3(k_select_32, i32_t, u32_t, u32_t, a != 0 ? b : c)
LOOP3(k_select_64, i32_t, u64_t, u64_t, a != 0 ? b : c)
LOOP3(k_fma_f32, f32_t, f32_t, f32_t, fmaf(a, b, c))
LOOP3(k_fma_f64, f64_t, f64_t, f64_t, fma(a, b, c))
LOOP3(k_muladd_f32, f32_t, f32_t, f32_t, a* b + c)
LOOP3(k_muladd_f64, f64_t, f64_t, f64_t, a* b + c)
LOOP3(k_muladd_u32, u32_t, u32_t, u32_t, a* b + c)
LOOP3(k_muladd_u64, u64_t, u64_t, u64_t, a* b + c)

#define FLOAT_FUNCTIONS(X) \
  X(exp)                   \
  X(exp2)                  \
  X(expm1)                 \
  X(log)                   \
  X(log2)                  \
  X(log10)                 \
  X(log1p)                 \
  X(sin)                   \
  X(cos)                   \
  X(tan)                   \
  X(asin)                  \
  X(acos)                  \
  X(atan)                  \
  X(sinh)                  \
  X(cosh)                  \
  X(tanh)                  \
  X(asinh)                 \
  X(acosh) X(atanh) X(sigmoid) X(erf) X(sqrt) X(rsqrt) X(floor) X(ceil) X(round_even) X(trunc)
#define FUNCTION_LOOPS(name)                                    \
  LOOP1(k_##name##_f32, f32_t, f32_t, tvi_math_##name##_f32(a)) \
  LOOP1(k_##name##_f64, f64_t, f64_t, tvi_math_##name(a))
FLOAT_FUNCTIONS(FUNCTION_LOOPS)

#define FLOAT_LOOPS(suffix, T, math_suffix)                          \
  LOOP1(k_recip_##suffix, T, T, 1 / a)                               \
  LOOP1(k_sign_##suffix, T, T, sign_##suffix(a))                     \
  LOOP1(k_isnan_##suffix, T, i32_t, a != a)                          \
  LOOP1(k_isinf_##suffix, T, i32_t, a == INFINITY || a == -INFINITY) \
  LOOP2(k_min_##suffix, T, T, min_##suffix(a, b))                    \
  LOOP2(k_max_##suffix, T, T, max_##suffix(a, b))                    \
  LOOP2(k_floordiv_##suffix, T, T, floordiv_##suffix(a, b))          \
  LOOP2(k_ceildiv_##suffix, T, T, ceildiv_##suffix(a, b))            \
  LOOP2(k_mod_##suffix, T, T, mod_##suffix(a, b))                    \
  LOOP2(k_rem_##suffix, T, T, tvi_math_fmod##math_suffix(a, b))      \
  LOOP2(k_pow_##suffix, T, T, tvi_math_pow##math_suffix(a, b))       \
  LOOP2(k_atan2_##suffix, T, T, tvi_math_atan2##math_suffix(a, b))
FLOAT_LOOPS(f32, f32_t, _f32)
FLOAT_LOOPS(f64, f64_t, )

// ---------------------------------------------------------------------------------------------
// Macro functions
// ---------------------------------------------------------------------------------------------

static inline float silu(float a) { return a * tvi_math_sigmoid_f32(a); }
static inline float gelu_erf(float a) {
  return 0.5f * a * (1.0f + tvi_math_erf_f32(a * 0.70710678118654752f));
}
static inline float gelu_tanh(float a) {
  return 0.5f * a *
         (1.0f + tvi_math_tanh_f32(0.79788456080286536f * (a + 0.044715f * (a * a * a))));
}
LOOP1(k_silu, f32_t, f32_t, silu(a))
LOOP2(k_silu_mul, f32_t, f32_t, silu(a) * b)
LOOP1(k_gelu_erf, f32_t, f32_t, gelu_erf(a))
LOOP1(k_gelu_tanh, f32_t, f32_t, gelu_tanh(a))
LOOP2(k_exp_sub, f32_t, f32_t, tvi_math_exp_f32(a - b))
LOOP1(k_relu, f32_t, f32_t, max_f32(a, 0.0f))
LOOP2(k_sub_square, f32_t, f32_t, (a - b) * (a - b))
LOOP3(k_quantize, f32_t, f32_t, f32_t, tvi_math_round_even_f32(a* b) + c)
LOOP3(k_sub_mul, f32_t, f32_t, f32_t, (a - b) * c)

static void k_norm_affine(const tvi_tile_args_t* g) {
  for (uint32_t row = 0; row < g->rows; ++row) {
    const char* p[5];
    for (uint32_t i = 0; i < 5; ++i) p[i] = g->s[i] + (ptrdiff_t)row * g->ss[i];
    f32_t* d = (f32_t*)(g->d + (ptrdiff_t)row * g->ds);
    for (uint32_t col = 0; col < g->cols; ++col) {
      float v[5];
      for (uint32_t i = 0; i < 5; ++i) v[i] = ((const f32_t*)p[i])[STEP(i, float) ? col : 0];
      d[col] = (v[0] - v[1]) * v[2] * v[3] + v[4];
    }
  }
}

// ---------------------------------------------------------------------------------------------
// Conversions
// ---------------------------------------------------------------------------------------------

// Largest values below the end of the range, so that the comparison is exact.
#define DEFINE_SATURATION(name, F, T, low, high, min_value, max_value) \
  static inline T name(F a) {                                          \
    if (a != a) return 0;                                              \
    if (a <= (F)(low)) return (T)(min_value);                          \
    if (a >= (F)(high)) return (T)(max_value);                         \
    return (T)a;                                                       \
  }
DEFINE_SATURATION(f32_to_i32, float, int32_t, -2147483648.0, 2147483648.0, INT32_MIN, INT32_MAX)
DEFINE_SATURATION(f64_to_i32, double, int32_t, -2147483648.0, 2147483647.0, INT32_MIN, INT32_MAX)
DEFINE_SATURATION(f32_to_u32, float, uint32_t, 0.0, 4294967296.0, 0, UINT32_MAX)
DEFINE_SATURATION(f64_to_u32, double, uint32_t, 0.0, 4294967295.0, 0, UINT32_MAX)
DEFINE_SATURATION(f32_to_i64, float, int64_t, -9223372036854775808.0, 9223372036854775808.0,
                  INT64_MIN, INT64_MAX)
DEFINE_SATURATION(f64_to_i64, double, int64_t, -9223372036854775808.0, 9223372036854775808.0,
                  INT64_MIN, INT64_MAX)
DEFINE_SATURATION(f32_to_u64, float, uint64_t, 0.0, 18446744073709551616.0, 0, UINT64_MAX)
DEFINE_SATURATION(f64_to_u64, double, uint64_t, 0.0, 18446744073709551616.0, 0, UINT64_MAX)

LOOP1(c_f32_f64, f32_t, f64_t, a)
LOOP1(c_f32_i32, f32_t, i32_t, f32_to_i32(a))
LOOP1(c_f32_u32, f32_t, u32_t, f32_to_u32(a))
LOOP1(c_f32_i64, f32_t, i64_t, f32_to_i64(a))
LOOP1(c_f32_u64, f32_t, u64_t, f32_to_u64(a))
LOOP1(c_f64_f32, f64_t, f32_t, a)
LOOP1(c_f64_i32, f64_t, i32_t, f64_to_i32(a))
LOOP1(c_f64_u32, f64_t, u32_t, f64_to_u32(a))
LOOP1(c_f64_i64, f64_t, i64_t, f64_to_i64(a))
LOOP1(c_f64_u64, f64_t, u64_t, f64_to_u64(a))
LOOP1(c_i32_f32, i32_t, f32_t, a)
LOOP1(c_i32_f64, i32_t, f64_t, a)
LOOP1(c_i32_i64, i32_t, i64_t, a)
LOOP1(c_u32_f32, u32_t, f32_t, a)
LOOP1(c_u32_f64, u32_t, f64_t, a)
LOOP1(c_u32_i64, u32_t, i64_t, a)
LOOP1(c_i64_f32, i64_t, f32_t, a)
LOOP1(c_i64_f64, i64_t, f64_t, a)
LOOP1(c_i64_i32, u64_t, u32_t, a)
LOOP1(c_u64_f32, u64_t, f32_t, a)
LOOP1(c_u64_f64, u64_t, f64_t, a)
LOOP1(c_copy_32, u32_t, u32_t, a)
LOOP1(c_copy_64, u64_t, u64_t, a)

static inline int32_t narrow_to(uint32_t dtype, int32_t a) {
  switch (dtype) {
    case TRIVET_DTYPE_I8:
      return (int8_t)a;
    case TRIVET_DTYPE_U8:
      return (uint8_t)a;
    case TRIVET_DTYPE_I16:
      return (int16_t)a;
    case TRIVET_DTYPE_U16:
      return (uint16_t)a;
    case TRIVET_DTYPE_I4:
      return (int32_t)((uint32_t)a << 28) >> 28;
    case TRIVET_DTYPE_U4:
      return a & 15;
    case TRIVET_DTYPE_I2:
      return (int32_t)((uint32_t)a << 30) >> 30;
    default:
      return a & 3;
  }
}
static inline float round_to(uint32_t aux, double a) {
  const uint32_t dtype = aux & ~TVI_TILE_SATURATES;
  if (dtype == TRIVET_DTYPE_F16) return tvi_f16_to_f32(tvi_f64_to_f16(a));
  if (dtype == TRIVET_DTYPE_BF16) return tvi_bf16_to_f32(tvi_f64_to_bf16(a));
  return (float)tvi_float_decode(dtype,
                                 tvi_float_encode(dtype, a, (aux & TVI_TILE_SATURATES) != 0));
}
LOOP1(k_narrow, i32_t, i32_t, narrow_to(g->aux, a))
LOOP1(k_round_to_f32, f32_t, f32_t, round_to(g->aux, a))
LOOP1(k_round_to_f64, f64_t, f32_t, round_to(g->aux, a))
LOOP1(k_encode, f32_t, u32_t, tvi_float_encode(g->aux, a, false))
LOOP1(k_decode, u32_t, f32_t, tvi_float_decode(g->aux, a))

// ---------------------------------------------------------------------------------------------
// Row reductions
// ---------------------------------------------------------------------------------------------

#define ROW_REDUCE(name, start, expression)                                      \
  static void name(const tvi_tile_args_t* g) {                                   \
    for (uint32_t row = 0; row < g->rows; ++row) {                               \
      const f32_t* s = (const f32_t*)(g->s[0] + (ptrdiff_t)row * g->ss[0]);      \
      f32_t* d = (f32_t*)(g->d + (ptrdiff_t)row * g->ds);                        \
      float lanes[8] = {start, start, start, start, start, start, start, start}; \
      for (uint32_t col = 0; col < g->cols; ++col) {                             \
        const float a = lanes[col & 7], b = s[col];                              \
        lanes[col & 7] = (expression);                                           \
      }                                                                          \
      for (uint32_t half = 4; half > 0; half >>= 1)                              \
        for (uint32_t i = 0; i < half; ++i) {                                    \
          const float a = lanes[i], b = lanes[i + half];                         \
          lanes[i] = (expression);                                               \
        }                                                                        \
      const float a = *d, b = lanes[0];                                          \
      *d = (expression);                                                         \
    }                                                                            \
  }
ROW_REDUCE(row_sum, 0.0f, a + b)
ROW_REDUCE(row_min, INFINITY, min_f32(a, b))
ROW_REDUCE(row_max, -INFINITY, max_f32(a, b))

// ---------------------------------------------------------------------------------------------
// Elements of memory
// ---------------------------------------------------------------------------------------------

#define WIDEN(name, S, T, expression)                        \
  static void name(void* d, const void* s, size_t count) {   \
    for (size_t i = 0; i < count; ++i) {                     \
      S a;                                                   \
      memcpy(&a, (const char*)s + i * sizeof(S), sizeof(S)); \
      T v = (T)(expression);                                 \
      memcpy((char*)d + i * sizeof(T), &v, sizeof(T));       \
    }                                                        \
  }
WIDEN(widen_i8, int8_t, int32_t, a)
WIDEN(widen_u8, uint8_t, int32_t, a)
WIDEN(widen_i16, int16_t, int32_t, a)
WIDEN(widen_u16, uint16_t, int32_t, a)
WIDEN(widen_bool, uint8_t, int32_t, a != 0)
WIDEN(widen_f16, uint16_t, float, tvi_f16_to_f32(a))
WIDEN(widen_bf16, uint16_t, float, tvi_bf16_to_f32(a))
WIDEN(narrow_8, uint32_t, uint8_t, a)
WIDEN(narrow_16, uint32_t, uint16_t, a)
WIDEN(narrow_bool, uint32_t, uint8_t, a != 0)
WIDEN(narrow_f16, float, uint16_t, tvi_f32_to_f16(a))
WIDEN(narrow_bf16, float, uint16_t, tvi_f32_to_bf16(a))
#define SMALL_FLOAT(name, dtype)                                  \
  WIDEN(widen_##name, uint8_t, float, tvi_float_decode(dtype, a)) \
  WIDEN(narrow_##name, float, uint8_t, tvi_float_encode(dtype, a, false))
SMALL_FLOAT(f8e4m3fn, TRIVET_DTYPE_F8E4M3FN)
SMALL_FLOAT(f8e4m3fnuz, TRIVET_DTYPE_F8E4M3FNUZ)
SMALL_FLOAT(f8e5m2, TRIVET_DTYPE_F8E5M2)
SMALL_FLOAT(f8e5m2fnuz, TRIVET_DTYPE_F8E5M2FNUZ)
SMALL_FLOAT(f8e8m0, TRIVET_DTYPE_F8E8M0)
static void copy_4(void* d, const void* s, size_t count) { memmove(d, s, count * 4); }
static void copy_8(void* d, const void* s, size_t count) { memmove(d, s, count * 8); }

// Blocks keep both sides within a few cache lines.
static void transpose4(char* d, ptrdiff_t ds, const char* s, ptrdiff_t ss, size_t rows,
                       size_t cols) {
  for (size_t r0 = 0; r0 < rows; r0 += 16) {
    size_t r1 = r0 + 16 < rows ? r0 + 16 : rows;
    for (size_t c = 0; c < cols; ++c)
      for (size_t r = r0; r < r1; ++r)
        *(u32_t*)(d + (ptrdiff_t)r * ds + (ptrdiff_t)c * 4) =
            *(const u32_t*)(s + (ptrdiff_t)c * ss + (ptrdiff_t)r * 4);
  }
}

// ---------------------------------------------------------------------------------------------
// The table
// ---------------------------------------------------------------------------------------------

#define ALL(op, f32, f64, i32, u32, i64, u64)                                             \
  [TVI_TILE_OP_##op] = {[TVI_TILE_F32] = f32, [TVI_TILE_F64] = f64, [TVI_TILE_I32] = i32, \
                        [TVI_TILE_U32] = u32, [TVI_TILE_I64] = i64, [TVI_TILE_U64] = u64}
#define ALL_TYPES(op, name)                                                               \
  ALL(op, k_##name##_f32, k_##name##_f64, k_##name##_i32, k_##name##_u32, k_##name##_i64, \
      k_##name##_u64)
#define WRAPPING(op, name)                                                                \
  ALL(op, k_##name##_f32, k_##name##_f64, k_##name##_u32, k_##name##_u32, k_##name##_u64, \
      k_##name##_u64)
#define BITWISE(op, name) \
  ALL(op, NULL, NULL, k_##name##_u32, k_##name##_u32, k_##name##_u64, k_##name##_u64)
#define INTEGERS(op, name) \
  ALL(op, NULL, NULL, k_##name##_i32, k_##name##_u32, k_##name##_i64, k_##name##_u64)
#define FLOATS(op, name) \
  [TVI_TILE_OP_##op] = {[TVI_TILE_F32] = k_##name##_f32, [TVI_TILE_F64] = k_##name##_f64}
#define MACRO(op, name) [TVI_TILE_OP_##op] = {[TVI_TILE_F32] = k_##name}

const tvi_tile_kernel_table_t tvi_tile_kernels_plain = {
    .arithmetic =
        {
            WRAPPING(ADD, add),
            WRAPPING(SUB, sub),
            WRAPPING(MUL, mul),
            ALL_TYPES(DIV, div),
            ALL_TYPES(REM, rem),
            ALL_TYPES(FLOORDIV, floordiv),
            ALL_TYPES(CEILDIV, ceildiv),
            ALL_TYPES(MOD, mod),
            ALL_TYPES(MIN, min),
            ALL_TYPES(MAX, max),
            ALL_TYPES(POW, pow),
            FLOATS(ATAN2, atan2),
            FLOATS(FMA, fma),
            WRAPPING(MULADD, muladd),
            BITWISE(AND, and),
            BITWISE(OR, or),
            BITWISE(XOR, xor),
            BITWISE(NOT, not ),
            INTEGERS(SHL, shl),
            INTEGERS(SHR, shr),
            BITWISE(POPCOUNT, popcount),
            ALL_TYPES(EQ, eq),
            ALL_TYPES(NE, ne),
            ALL_TYPES(LT, lt),
            ALL_TYPES(LE, le),
            ALL(SELECT, k_select_32, k_select_64, k_select_32, k_select_32, k_select_64,
                k_select_64),
            WRAPPING(NEG, neg),
            ALL_TYPES(ABS, abs),
            ALL_TYPES(SIGN, sign),
            FLOATS(SQRT, sqrt),
            FLOATS(RSQRT, rsqrt),
            FLOATS(RECIP, recip),
            FLOATS(EXP, exp),
            FLOATS(EXP2, exp2),
            FLOATS(EXPM1, expm1),
            FLOATS(LOG, log),
            FLOATS(LOG2, log2),
            FLOATS(LOG10, log10),
            FLOATS(LOG1P, log1p),
            FLOATS(SIN, sin),
            FLOATS(COS, cos),
            FLOATS(TAN, tan),
            FLOATS(ASIN, asin),
            FLOATS(ACOS, acos),
            FLOATS(ATAN, atan),
            FLOATS(SINH, sinh),
            FLOATS(COSH, cosh),
            FLOATS(TANH, tanh),
            FLOATS(ASINH, asinh),
            FLOATS(ACOSH, acosh),
            FLOATS(ATANH, atanh),
            FLOATS(SIGMOID, sigmoid),
            FLOATS(ERF, erf),
            FLOATS(FLOOR, floor),
            FLOATS(CEIL, ceil),
            FLOATS(ROUND_EVEN, round_even),
            FLOATS(TRUNC, trunc),
            FLOATS(ISNAN, isnan),
            FLOATS(ISINF, isinf),
            MACRO(NARROW, narrow),
            MACRO(ENCODE, encode),
            MACRO(DECODE, decode),
            MACRO(SILU, silu),
            MACRO(SILU_MUL, silu_mul),
            MACRO(GELU_ERF, gelu_erf),
            MACRO(GELU_TANH, gelu_tanh),
            MACRO(EXP_SUB, exp_sub),
            MACRO(RELU, relu),
            MACRO(SUB_SQUARE, sub_square),
            MACRO(NORM_AFFINE, norm_affine),
            MACRO(QUANTIZE, quantize),
            MACRO(SUB_MUL, sub_mul),
            // By type of the operand.
            [TVI_TILE_OP_ROUND_TO] =
                {[TVI_TILE_F32] = k_round_to_f32, [TVI_TILE_F64] = k_round_to_f64},
        },
    .convert =
        {
            [TVI_TILE_F32] = {[TVI_TILE_F64] = c_f32_f64,
                              [TVI_TILE_I32] = c_f32_i32,
                              [TVI_TILE_U32] = c_f32_u32,
                              [TVI_TILE_I64] = c_f32_i64,
                              [TVI_TILE_U64] = c_f32_u64},
            [TVI_TILE_F64] = {[TVI_TILE_F32] = c_f64_f32,
                              [TVI_TILE_I32] = c_f64_i32,
                              [TVI_TILE_U32] = c_f64_u32,
                              [TVI_TILE_I64] = c_f64_i64,
                              [TVI_TILE_U64] = c_f64_u64},
            [TVI_TILE_I32] = {[TVI_TILE_F32] = c_i32_f32,
                              [TVI_TILE_F64] = c_i32_f64,
                              [TVI_TILE_U32] = c_copy_32,
                              [TVI_TILE_I64] = c_i32_i64,
                              [TVI_TILE_U64] = c_i32_i64},
            [TVI_TILE_U32] = {[TVI_TILE_F32] = c_u32_f32,
                              [TVI_TILE_F64] = c_u32_f64,
                              [TVI_TILE_I32] = c_copy_32,
                              [TVI_TILE_I64] = c_u32_i64,
                              [TVI_TILE_U64] = c_u32_i64},
            [TVI_TILE_I64] = {[TVI_TILE_F32] = c_i64_f32,
                              [TVI_TILE_F64] = c_i64_f64,
                              [TVI_TILE_I32] = c_i64_i32,
                              [TVI_TILE_U32] = c_i64_i32,
                              [TVI_TILE_U64] = c_copy_64},
            [TVI_TILE_U64] = {[TVI_TILE_F32] = c_u64_f32,
                              [TVI_TILE_F64] = c_u64_f64,
                              [TVI_TILE_I32] = c_i64_i32,
                              [TVI_TILE_U32] = c_i64_i32,
                              [TVI_TILE_I64] = c_copy_64},
        },
    .row_reduce = {[TVI_TILE_JOIN_SUM] = row_sum,
                   [TVI_TILE_JOIN_MIN] = row_min,
                   [TVI_TILE_JOIN_MAX] = row_max},
    .copy4 = c_copy_32,
    .copy8 = c_copy_64,
    .widen = {[TRIVET_DTYPE_F32] = copy_4,
              [TRIVET_DTYPE_I32] = copy_4,
              [TRIVET_DTYPE_U32] = copy_4,
              [TRIVET_DTYPE_F64] = copy_8,
              [TRIVET_DTYPE_I64] = copy_8,
              [TRIVET_DTYPE_U64] = copy_8,
              [TRIVET_DTYPE_I8] = widen_i8,
              [TRIVET_DTYPE_U8] = widen_u8,
              [TRIVET_DTYPE_I16] = widen_i16,
              [TRIVET_DTYPE_U16] = widen_u16,
              [TRIVET_DTYPE_BOOL] = widen_bool,
              [TRIVET_DTYPE_F16] = widen_f16,
              [TRIVET_DTYPE_BF16] = widen_bf16,
              [TRIVET_DTYPE_F8E4M3FN] = widen_f8e4m3fn,
              [TRIVET_DTYPE_F8E4M3FNUZ] = widen_f8e4m3fnuz,
              [TRIVET_DTYPE_F8E5M2] = widen_f8e5m2,
              [TRIVET_DTYPE_F8E5M2FNUZ] = widen_f8e5m2fnuz,
              [TRIVET_DTYPE_F8E8M0] = widen_f8e8m0},
    .narrow = {[TRIVET_DTYPE_F32] = copy_4,
               [TRIVET_DTYPE_I32] = copy_4,
               [TRIVET_DTYPE_U32] = copy_4,
               [TRIVET_DTYPE_F64] = copy_8,
               [TRIVET_DTYPE_I64] = copy_8,
               [TRIVET_DTYPE_U64] = copy_8,
               [TRIVET_DTYPE_I8] = narrow_8,
               [TRIVET_DTYPE_U8] = narrow_8,
               [TRIVET_DTYPE_I16] = narrow_16,
               [TRIVET_DTYPE_U16] = narrow_16,
               [TRIVET_DTYPE_BOOL] = narrow_bool,
               [TRIVET_DTYPE_F16] = narrow_f16,
               [TRIVET_DTYPE_BF16] = narrow_bf16,
               [TRIVET_DTYPE_F8E4M3FN] = narrow_f8e4m3fn,
               [TRIVET_DTYPE_F8E4M3FNUZ] = narrow_f8e4m3fnuz,
               [TRIVET_DTYPE_F8E5M2] = narrow_f8e5m2,
               [TRIVET_DTYPE_F8E5M2FNUZ] = narrow_f8e5m2fnuz,
               [TRIVET_DTYPE_F8E8M0] = narrow_f8e8m0},
    .transpose4 = transpose4,
};
