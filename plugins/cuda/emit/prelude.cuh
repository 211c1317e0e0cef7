// SPDX-License-Identifier: Apache-2.0
//
// What every kernel that the CUDA target prints begins with: storage types, loads and stores, and
// the functions of kernel IR. No header is included: it is compiled with each kernel. Where
// TRIVET_EMULATION is defined, a host compiler reads it and the first part comes from there.

#ifndef TRIVET_EMULATION
#define TV_DEVICE __device__ __forceinline__
#define TV_UNROLL _Pragma("unroll")

#if __CUDA_ARCH__ >= 900
// Begins before the kernels ahead have ended, and waits for them; lets the next do the same.
#define TV_BEGIN()                                        \
  asm volatile("griddepcontrol.wait;" ::: "memory");      \
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory")
// Brings what no kernel writes into the second-level cache, all blocks together.
#define TV_AHEAD(p, bytes) tv_ahead((const char*)(p), bytes)
TV_DEVICE void tv_ahead(const char* p, unsigned bytes) {
  unsigned at = (blockIdx.x * blockDim.x + threadIdx.x) * 128, step = gridDim.x * blockDim.x * 128;
  for (; at < bytes; at += step) asm volatile("prefetch.global.L2 [%0];" ::"l"(p + at));
}
#else
#define TV_BEGIN()
#define TV_AHEAD(p, bytes)
#endif

// What a launch gives a block of shared memory, and copies to it that go on while a thread does.
#define TV_MEMORY(name) extern __shared__ __align__(1024) unsigned char name[]
TV_DEVICE unsigned tv_shared(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
// |bytes| of BYTES, the rest are zeros.
template <int BYTES>
TV_DEVICE void tv_copy_async(void* to, const void* from, int bytes) {
  if (BYTES == 16)
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(tv_shared(to)),
                 "l"(from), "r"(bytes) : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(tv_shared(to)), "l"(from),
                 "n"(BYTES), "r"(bytes) : "memory");
}
TV_DEVICE void tv_copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
TV_DEVICE void tv_copy_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

TV_DEVICE float tv_f16_to_f32(unsigned short u) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(u));
  return f;
}
TV_DEVICE unsigned short tv_f32_to_f16(float f) {
  unsigned short u;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(u) : "f"(f));
  return u;
}
TV_DEVICE unsigned short tv_f64_to_f16(double f) {
  unsigned short u;
  asm("cvt.rn.f16.f64 %0, %1;" : "=h"(u) : "d"(f));
  return u;
}
TV_DEVICE unsigned short tv_f32_to_bf16(float f) {
  unsigned short u;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(u) : "f"(f));
  return u;
}
TV_DEVICE float tv_min(float a, float b) {
  float r;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
  return r;
}
TV_DEVICE float tv_max(float a, float b) {
  float r;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
  return r;
}
TV_DEVICE unsigned tv_bits(float f) { return __float_as_uint(f); }
TV_DEVICE float tv_from_bits(unsigned u) { return __uint_as_float(u); }
TV_DEVICE unsigned long long tv_bits(double f) {
  return (unsigned long long)__double_as_longlong(f);
}
TV_DEVICE double tv_from_bits(unsigned long long u) { return __longlong_as_double((long long)u); }
// Near 2^a and 1 / a, in one instruction each.
TV_DEVICE float tv_exp2_near(float a) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a));
  return r;
}
TV_DEVICE float tv_recip_near(float a) {
  float r;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(a));
  return r;
}
TV_DEVICE float tv_tanh_instruction(float a) {
  float r;
  asm("tanh.approx.f32 %0, %1;" : "=f"(r) : "f"(a));
  return r;
}
TV_DEVICE unsigned tv_shuffle_xor(unsigned v, int mask) {
  return __shfl_xor_sync(0xffffffffu, v, mask);
}
TV_DEVICE float tv_odd(double f) {
  // Towards zero, with the lowest bit set where something was lost: may then be rounded again.
  float z = __double2float_rz(f);
  return (double)z == f || f != f ? z : __uint_as_float(__float_as_uint(z) | 1u);
}
#endif

struct __attribute__((aligned(2))) tv_f16 { unsigned short u; };
struct __attribute__((aligned(2))) tv_bf16 { unsigned short u; };
struct __attribute__((aligned(16))) tv_words { unsigned w[4]; };

// ---- Small floats: E exponent bits, M mantissa bits; flags 1 infinity, 2 IEEE NaN, 4 NaN is all
// ones, 8 NaN is the code of -0, 16 exponent only.
template <int E, int M, int BIAS, int FLAGS>
struct tv_small { unsigned char u; };
typedef tv_small<4, 3, 7, 4> tv_f8e4m3fn;
typedef tv_small<4, 3, 8, 8> tv_f8e4m3fnuz;
typedef tv_small<5, 2, 15, 3> tv_f8e5m2;
typedef tv_small<5, 2, 16, 8> tv_f8e5m2fnuz;
typedef tv_small<8, 0, 127, 20> tv_f8e8m0;
typedef tv_small<2, 1, 1, 0> tv_f4e2m1;

template <int E, int M, int BIAS, int FLAGS>
TV_DEVICE float tv_decode(unsigned code) {
  const unsigned all = (1u << (E + M)) - 1u;
  if (FLAGS & 16) {
    if (code == 255u) return tv_from_bits(0x7fc00000u);
    return code == 0u ? tv_from_bits(0x00400000u) : tv_from_bits(code << 23);
  }
  const unsigned sign = (code >> (E + M)) << 31, rest = code & all;
  if ((FLAGS & 8) && code == (1u << (E + M))) return tv_from_bits(0x7fc00000u);
  if ((FLAGS & 4) && rest == all) return tv_from_bits(sign | 0x7fc00000u);
  if ((FLAGS & 2) && (rest >> M) == ((1u << E) - 1u))
    return tv_from_bits(sign | 0x7f800000u | ((rest & ((1u << M) - 1u)) != 0u ? 0x400000u : 0u));
  float magnitude;
  if ((rest >> M) == 0u)
    magnitude = (float)rest * tv_from_bits((unsigned)(128 - BIAS - M) << 23);
  else
    magnitude = tv_from_bits((rest << (23 - M)) + ((unsigned)(127 - BIAS) << 23));
  return tv_from_bits(tv_bits(magnitude) | sign);
}
template <int E, int M, int BIAS, int FLAGS>
TV_DEVICE unsigned tv_encode(float f, bool saturate) {
  const unsigned bits = tv_bits(f), a = bits & 0x7fffffffu;
  const unsigned all = (1u << (E + M)) - 1u;
  if (FLAGS & 16) {
    if (a > 0x7f800000u) return 255u;
    if ((bits >> 31) != 0u || a < 0x00400000u) return 0u;
    if (a < 0x00800000u) return a > 0x00600000u || a == 0x00600000u ? 1u : 0u;
    unsigned code = a >> 23;
    const unsigned half = a & 0x7fffffu;
    if (half > 0x400000u || (half == 0x400000u && (code & 1u) != 0u)) ++code;
    return code >= 255u ? (saturate ? 254u : 255u) : code;
  }
  const unsigned sign = (bits >> 31) << (E + M);
  const unsigned most = (FLAGS & 2) ? ((((1u << E) - 1u) << M) - 1u) : (FLAGS & 4) ? all - 1u : all;
  if (a > 0x7f800000u)
    return (FLAGS & 8) ? (1u << (E + M)) : (FLAGS & 6) ? (sign | all) : 0u;
  unsigned code;
  const int shift = 23 - M;
  if (a >= ((unsigned)(128 - BIAS) << 23)) {
    unsigned r = a - ((unsigned)(127 - BIAS) << 23);
    r += (1u << (shift - 1)) - 1u + ((r >> shift) & 1u);
    code = r >> shift;
  } else {
    const float magic = tv_from_bits((unsigned)(151 - BIAS - M) << 23);
    code = tv_bits(tv_from_bits(a) + magic) - tv_bits(magic);
  }
  if (code > most) {
    if (saturate || !(FLAGS & 15))
      code = most;
    else if (FLAGS & 1)
      code = ((1u << E) - 1u) << M;
    else
      return (FLAGS & 8) ? (1u << (E + M)) : (sign | all);
  }
  if ((FLAGS & 8) && code == 0u) return 0u;
  return sign | code;
}

// ---- Elements in memory, and the registers that hold them.
TV_DEVICE float tv_get(tv_f16 v) { return tv_f16_to_f32(v.u); }
TV_DEVICE float tv_get(tv_bf16 v) { return tv_from_bits((unsigned)v.u << 16); }
TV_DEVICE float tv_get(float v) { return v; }
TV_DEVICE double tv_get(double v) { return v; }
TV_DEVICE int tv_get(signed char v) { return v; }
TV_DEVICE unsigned tv_get(unsigned char v) { return v; }
TV_DEVICE int tv_get(short v) { return v; }
TV_DEVICE unsigned tv_get(unsigned short v) { return v; }
TV_DEVICE int tv_get(int v) { return v; }
TV_DEVICE unsigned tv_get(unsigned v) { return v; }
TV_DEVICE long long tv_get(long long v) { return v; }
TV_DEVICE unsigned long long tv_get(unsigned long long v) { return v; }
struct tv_bool { unsigned char u; };
TV_DEVICE bool tv_get(tv_bool v) { return v.u != 0; }
template <int E, int M, int B, int F>
TV_DEVICE float tv_get(tv_small<E, M, B, F> v) { return tv_decode<E, M, B, F>(v.u); }

TV_DEVICE float tv_narrow(float v) { return v; }
TV_DEVICE float tv_narrow(double v) { return tv_odd(v); }
TV_DEVICE void tv_put(tv_f16& d, float v) { d.u = tv_f32_to_f16(v); }
TV_DEVICE void tv_put(tv_bf16& d, float v) { d.u = tv_f32_to_bf16(v); }
TV_DEVICE void tv_put(float& d, float v) { d = v; }
TV_DEVICE void tv_put(double& d, double v) { d = v; }
TV_DEVICE void tv_put(signed char& d, int v) { d = (signed char)v; }
TV_DEVICE void tv_put(unsigned char& d, unsigned v) { d = (unsigned char)v; }
TV_DEVICE void tv_put(short& d, int v) { d = (short)v; }
TV_DEVICE void tv_put(unsigned short& d, unsigned v) { d = (unsigned short)v; }
TV_DEVICE void tv_put(int& d, int v) { d = v; }
TV_DEVICE void tv_put(unsigned& d, unsigned v) { d = v; }
TV_DEVICE void tv_put(long long& d, long long v) { d = v; }
TV_DEVICE void tv_put(unsigned long long& d, unsigned long long v) { d = v; }
TV_DEVICE void tv_put(tv_bool& d, bool v) { d.u = v ? 1 : 0; }
template <int E, int M, int B, int F>
TV_DEVICE void tv_put(tv_small<E, M, B, F>& d, float v) {
  d.u = (unsigned char)tv_encode<E, M, B, F>(v, false);
}
// A float as an element of T holds it, and its code.
template <class T>
TV_DEVICE float tv_through(float v) {
  T t;
  tv_put(t, v);
  return tv_get(t);
}
template <int E, int M, int B, int F>
TV_DEVICE float tv_saturate(tv_small<E, M, B, F>, float v) {
  return tv_decode<E, M, B, F>(tv_encode<E, M, B, F>(v, true));
}
template <class T>
TV_DEVICE unsigned tv_to_code(float v) {
  T t;
  tv_put(t, v);
  return t.u;
}
template <class T>
TV_DEVICE float tv_from_code(unsigned u) {
  T t;
  t.u = u;
  return tv_get(t);
}
// Packed elements of B bits, low ones first.
template <int B>
TV_DEVICE unsigned tv_code(const unsigned char* p, long long i) {
  return ((unsigned)p[i * B >> 3] >> (int)(i * B & 7)) & ((1u << B) - 1u);
}
template <int B>
TV_DEVICE int tv_sign(unsigned code) { return (int)(code << (32 - B)) >> (32 - B); }

// N elements at once, in pieces of 16 bytes. The address is a multiple of the smaller of 16 and
// what they take.
template <int BYTES>
struct tv_piece { typedef tv_words type; };
template <>
struct tv_piece<8> { typedef unsigned long long type; };
template <>
struct tv_piece<4> { typedef unsigned type; };
template <>
struct tv_piece<2> { typedef unsigned short type; };
template <>
struct tv_piece<1> { typedef unsigned char type; };
template <int N, class T>
union tv_pack {
  typedef typename tv_piece<(N * sizeof(T) > 16 ? 16 : N * (int)sizeof(T))>::type piece;
  piece whole[N * sizeof(T) / sizeof(piece)];
  T part[N];
};
template <int N, class T, class R>
TV_DEVICE void tv_load(R* out, const T* p) {
  tv_pack<N, T> pack;
  TV_UNROLL
  for (int i = 0; i < (int)(sizeof(pack) / sizeof(pack.whole[0])); ++i)
    pack.whole[i] = ((const typename tv_pack<N, T>::piece*)p)[i];
  TV_UNROLL
  for (int i = 0; i < N; ++i) out[i] = tv_get(pack.part[i]);
}
template <int N, class T, class R>
TV_DEVICE void tv_store(T* p, const R* in) {
  tv_pack<N, T> pack;
  TV_UNROLL
  for (int i = 0; i < N; ++i) tv_put(pack.part[i], in[i]);
  TV_UNROLL
  for (int i = 0; i < (int)(sizeof(pack) / sizeof(pack.whole[0])); ++i)
    ((typename tv_pack<N, T>::piece*)p)[i] = pack.whole[i];
}
// The same where some of the elements lie outside of a row: the first of N is element |at| of
// |count|, maybe before the row's first. In place of those outside stand the nearest inside.
template <class I>
TV_DEVICE I tv_within(I at, I count) { return at < 0 ? 0 : at < count ? at : count - 1; }
template <int N, class I>
TV_DEVICE bool tv_is_within(I at, I count) { return at >= 0 && at + N <= count; }
template <int N, class T, class R, class I>
TV_DEVICE void tv_load_row(R* out, const T* p, I at, I count) {
  if (tv_is_within<N>(at, count)) {
    tv_load<N>(out, p);
  } else {
    TV_UNROLL
    for (int i = 0; i < N; ++i) out[i] = tv_get(p[tv_within(at + i, count) - at]);
  }
}
template <int N, class T, class R, class I>
TV_DEVICE void tv_store_row(T* p, const R* in, I at, I count) {
  if (tv_is_within<N>(at, count)) {
    tv_store<N>(p, in);
  } else {
    TV_UNROLL
    for (int i = 0; i < N; ++i)
      if (tv_is_within<1>(at + i, count)) tv_put(p[i], in[i]);
  }
}
// Begins to bring N elements to shared memory, no more than |count| of them; what is in their place
// otherwise is not said. Who reads them waits for the copies.
template <int N, class T, class I>
TV_DEVICE void tv_hold(T* to, const T* from, I count) {
  const int bytes = N * (int)sizeof(T), whole = bytes > 16 ? 16 : bytes < 4 ? 4 : bytes;
  const int given = count < N ? (int)count * (int)sizeof(T) : bytes;
  if (bytes < 4) {
    for (int i = 0; i < N; ++i)
      if (i < count) to[i] = from[i];
    return;
  }
  TV_UNROLL
  for (int at = 0; at < bytes; at += whole)
    tv_copy_async<whole>((char*)to + at, (const char*)from + at,
                         given < at ? 0 : given - at < whole ? given - at : whole);
}
// N elements as they are; the target may be aligned for one alone.
template <int N, class T>
TV_DEVICE void tv_move(T* out, const T* p) {
  tv_pack<N, T> pack;
  TV_UNROLL
  for (int i = 0; i < (int)(sizeof(pack) / sizeof(pack.whole[0])); ++i)
    pack.whole[i] = ((const typename tv_pack<N, T>::piece*)p)[i];
  TV_UNROLL
  for (int i = 0; i < N; ++i) out[i] = pack.part[i];
}

// ---- Arithmetic.
TV_DEVICE double tv_min(double a, double b) {
  if (a != a) return a;
  if (b != b) return b;
  if (a == b) return tv_bits(a) >> 63 ? a : b;
  return a < b ? a : b;
}
TV_DEVICE double tv_max(double a, double b) {
  if (a != a) return a;
  if (b != b) return b;
  if (a == b) return tv_bits(a) >> 63 ? b : a;
  return a > b ? a : b;
}
template <class T>
TV_DEVICE T tv_min(T a, T b) { return b < a ? b : a; }
template <class T>
TV_DEVICE T tv_max(T a, T b) { return a < b ? b : a; }
template <class T>
struct tv_signed { static const bool value = (T)-1 < (T)0; };

template <class T>
TV_DEVICE T tv_neg(T a) { return (T)(0ull - (unsigned long long)a); }
TV_DEVICE float tv_neg(float a) { return -a; }
TV_DEVICE double tv_neg(double a) { return -a; }
template <class T>
TV_DEVICE T tv_div(T a, T b) {
  if (b == 0) return 0;
  if (tv_signed<T>::value && b == (T)-1) return tv_neg(a);
  return a / b;
}
template <class T>
TV_DEVICE T tv_rem(T a, T b) {
  if (b == 0 || (tv_signed<T>::value && b == (T)-1)) return 0;
  return a % b;
}
template <class T>
TV_DEVICE T tv_floordiv(T a, T b) {
  const T q = tv_div(a, b), r = tv_rem(a, b);
  return tv_signed<T>::value && r != 0 && (r < 0) != (b < 0) ? q - 1 : q;
}
template <class T>
TV_DEVICE T tv_ceildiv(T a, T b) {
  const T q = tv_div(a, b), r = tv_rem(a, b);
  return r != 0 && (!tv_signed<T>::value || (r < 0) == (b < 0)) ? q + 1 : q;
}
template <class T>
TV_DEVICE T tv_mod(T a, T b) {
  const T r = tv_rem(a, b);
  return tv_signed<T>::value && r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
TV_DEVICE float tv_div(float a, float b) { return a / b; }
TV_DEVICE double tv_div(double a, double b) { return a / b; }
// a / b where many are divided by one b: what depends on b alone is computed once. The remainder
// corrects the last bit; where there is none (infinities, zeros) the product is the quotient. The
// factor keeps the reciprocal from leaving the normal numbers.
TV_DEVICE float tv_div_by(float a, float b) {
  const float m = fabsf(b), f = m < 5.4210109e-20f ? 1.8446744e19f : m > 1.8446744e19f ? 5.4210109e-20f : 1.0f;
  const float d = b * f, r = 1.0f / d;
  const float n = a * f, q = n * r, c = fmaf(fmaf(-q, d, n), r, q);
  return c == c ? c : q;
}
// The same where b is a square root, which is never too small for its reciprocal.
TV_DEVICE float tv_div_by_root(float a, float b) { return a * (1.0f / b); }
TV_DEVICE float tv_rem(float a, float b) { return fmodf(a, b); }
TV_DEVICE double tv_rem(double a, double b) { return fmod(a, b); }
TV_DEVICE float tv_floordiv(float a, float b) { return floorf(a / b); }
TV_DEVICE double tv_floordiv(double a, double b) { return floor(a / b); }
TV_DEVICE float tv_ceildiv(float a, float b) { return ceilf(a / b); }
TV_DEVICE double tv_ceildiv(double a, double b) { return ceil(a / b); }
TV_DEVICE float tv_mod(float a, float b) {
  float r = fmodf(a, b);
  if (r != 0 && (r < 0) != (b < 0)) r += b;
  return r == 0 ? copysignf(0.0f, b) : r;
}
TV_DEVICE double tv_mod(double a, double b) {
  double r = fmod(a, b);
  if (r != 0 && (r < 0) != (b < 0)) r += b;
  return r == 0 ? copysign(0.0, b) : r;
}
template <class T>
TV_DEVICE T tv_pow(T base, T exponent) {
  if (tv_signed<T>::value && exponent < 0)
    return base == 1 ? 1 : base == (T)-1 ? (exponent % 2 != 0 ? -1 : 1) : 0;
  unsigned long long result = 1, square = (unsigned long long)base;
  for (unsigned long long e = (unsigned long long)exponent; e != 0; e >>= 1) {
    if (e & 1) result *= square;
    square *= square;
  }
  return (T)result;
}
TV_DEVICE float tv_pow(float a, float b) { return powf(a, b); }
TV_DEVICE double tv_pow(double a, double b) { return pow(a, b); }
TV_DEVICE float tv_atan2(float a, float b) { return atan2f(a, b); }
TV_DEVICE double tv_atan2(double a, double b) { return atan2(a, b); }
TV_DEVICE float tv_fma(float a, float b, float c) { return fmaf(a, b, c); }
TV_DEVICE double tv_fma(double a, double b, double c) { return fma(a, b, c); }
template <class T>
TV_DEVICE T tv_fma(T a, T b, T c) {
  return (T)((unsigned long long)a * (unsigned long long)b + (unsigned long long)c);
}
// Shifts of a type of W bits.
template <int W, class T>
TV_DEVICE T tv_shl(T a, T b) {
  return (unsigned long long)b >= W ? (T)0 : (T)((unsigned long long)a << (int)b);
}
template <int W, class T>
TV_DEVICE T tv_shr(T a, T b) { return (unsigned long long)b >= W ? (T)0 : (T)(a >> (int)b); }
template <int W, class T>
TV_DEVICE T tv_popcount(T a) {
  const unsigned long long mask = W == 64 ? ~0ull : (1ull << (W & 63)) - 1ull;
  return (T)__popcll((unsigned long long)a & mask);
}
template <class T>
TV_DEVICE T tv_abs(T a) { return tv_signed<T>::value && a < 0 ? tv_neg(a) : a; }
TV_DEVICE float tv_abs(float a) { return fabsf(a); }
TV_DEVICE double tv_abs(double a) { return fabs(a); }
template <class T>
TV_DEVICE T tv_sign_of(T a) { return (T)((a > 0) - (a < 0)); }
TV_DEVICE float tv_sign_of(float a) { return a != a ? a : (float)((a > 0) - (a < 0)); }
TV_DEVICE double tv_sign_of(double a) { return a != a ? a : (double)((a > 0) - (a < 0)); }
TV_DEVICE bool tv_isinf(float a) { return (tv_bits(a) & 0x7fffffffu) == 0x7f800000u; }
TV_DEVICE bool tv_isinf(double a) {
  return (tv_bits(a) & 0x7fffffffffffffffull) == 0x7ff0000000000000ull;
}
#define TV_FUNCTION(name, single, twice)                  \
  TV_DEVICE float tv_##name(float a) { return single; }   \
  TV_DEVICE double tv_##name(double a) { return twice; }
TV_FUNCTION(sqrt, sqrtf(a), sqrt(a))
TV_FUNCTION(rsqrt, 1.0f / sqrtf(a), 1.0 / sqrt(a))
TV_FUNCTION(recip, 1.0f / a, 1.0 / a)
TV_FUNCTION(exp, expf(a), exp(a))
TV_FUNCTION(exp2, exp2f(a), exp2(a))
TV_FUNCTION(expm1, expm1f(a), expm1(a))
TV_FUNCTION(log, logf(a), log(a))
TV_FUNCTION(log2, log2f(a), log2(a))
TV_FUNCTION(log10, log10f(a), log10(a))
TV_FUNCTION(log1p, log1pf(a), log1p(a))
TV_FUNCTION(sin, sinf(a), sin(a))
TV_FUNCTION(cos, cosf(a), cos(a))
TV_FUNCTION(tan, tanf(a), tan(a))
TV_FUNCTION(asin, asinf(a), asin(a))
TV_FUNCTION(acos, acosf(a), acos(a))
TV_FUNCTION(atan, atanf(a), atan(a))
TV_FUNCTION(sinh, sinhf(a), sinh(a))
TV_FUNCTION(cosh, coshf(a), cosh(a))
TV_FUNCTION(tanh, tanhf(a), tanh(a))
TV_FUNCTION(asinh, asinhf(a), asinh(a))
TV_FUNCTION(acosh, acoshf(a), acosh(a))
TV_FUNCTION(atanh, atanhf(a), atanh(a))
// For results of 16 bits. erf is tanh of an odd polynomial (a fit whose relative error is below
// 2^-14, for a * a up to 16, behind which both are 1): the instruction errs by 2^-11 at most, as
// rounding to f16 does.
TV_DEVICE float tv_erf_near(float a) {
  const float s = fminf(a * a, 16.0f);
  float q = fmaf(-0.00161724676f, s, 0.10364441f);
  q = fmaf(q, s, 1.12831343f);
  return tv_tanh_instruction(a * q);
}
// A quotient of exponentials, near zero the first terms of the series: relative errors below 2^-13.
TV_DEVICE float tv_tanh_near(float a) {
  const float t = fabsf(a);
  const float r = copysignf(fmaf(-2.0f, tv_recip_near(tv_exp2_near(t * 2.88539008f) + 1.0f), 1.0f), a);
  return t < 0.03f ? fmaf(a * a, a * -0.333333333f, a) : r;
}
TV_FUNCTION(erf, erff(a), erf(a))
TV_FUNCTION(floor, floorf(a), floor(a))
TV_FUNCTION(ceil, ceilf(a), ceil(a))
TV_FUNCTION(round, rintf(a), rint(a))
TV_FUNCTION(trunc, truncf(a), trunc(a))
TV_DEVICE float tv_sigmoid(float a) {
  const float e = expf(-fabsf(a));
  return (a < 0 ? e : 1.0f) / (1.0f + e);
}
TV_DEVICE double tv_sigmoid(double a) {
  const double e = exp(-fabs(a));
  return (a < 0 ? e : 1.0) / (1.0 + e);
}
// Float to integer: towards zero, saturating, NaN gives 0.
template <class T, class F>
TV_DEVICE T tv_to_int(F a, T low, T high) {
  if (a != a) return 0;
  if (a <= (F)low) return low;
  if (a >= (F)high) return high;
  return (T)a;
}
template <class T>
TV_DEVICE T tv_clamp(T a, T low, T high) { return a < low ? low : a > high ? high : a; }

// ---- Joining the states of L lanes; every lane gets the result. A state is made of 32-bit words.
template <class S>
TV_DEVICE S tv_lane_xor(const S& s, int mask) {
  union { S s; unsigned w[sizeof(S) / 4]; } from, to;
  from.s = s;
  TV_UNROLL
  for (int i = 0; i < (int)(sizeof(S) / 4); ++i) to.w[i] = tv_shuffle_xor(from.w[i], mask);
  return to.s;
}
template <int L, class J, class S>
TV_DEVICE void tv_join_lanes(S& s) {
  TV_UNROLL
  for (int mask = L / 2; mask > 0; mask >>= 1) s = J::join(s, tv_lane_xor(s, mask));
}
// L lanes of one row, neighbours in the block; |shared|: a state per warp of the block, or nothing.
template <int L, class J, class S>
TV_DEVICE void tv_join_row(S& s, void* shared) {
  if (L <= 32) {
    tv_join_lanes<(L <= 32 ? L : 32), J>(s);
  } else {
    S* states = (S*)shared;
    const int W = L / 32;
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    tv_join_lanes<32, J>(s);
    __syncthreads();
    if (lane == 0) states[warp] = s;
    __syncthreads();
    s = states[warp / W * W + lane % W];
    tv_join_lanes<(W <= 32 ? W : 32), J>(s);
  }
}
// L lanes of each of P rows; neighbours in the block are of neighbouring rows. |shared|: a state per
// thread.
template <int L, int P, class J, class S>
TV_DEVICE void tv_join_column(S& s, void* shared) {
  if (L == 1) return;
  S* states = (S*)shared;
  const int row = (int)threadIdx.x % P, lane = (int)threadIdx.x / P;
  __syncthreads();
  states[threadIdx.x] = s;
  for (int step = L / 2; step > 0; step >>= 1) {
    __syncthreads();
    if (lane < step) {
      s = J::join(s, states[(lane + step) * P + row]);
      states[threadIdx.x] = s;
    }
  }
  __syncthreads();
  s = states[row];
}
