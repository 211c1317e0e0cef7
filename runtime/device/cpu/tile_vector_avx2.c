// SPDX-License-Identifier: Apache-2.0
//
// Vector loops of tile instructions for AVX2 with FMA and F16C: 8 lanes. Runs only where
// tvi_tile_isa_detect found it. The loops themselves are in tile_vector_body.h.

#include "core/base/scalar_math.h"
#include "runtime/device/cpu/tile_kernels.h"
#include "trivet/common.h"

#if defined(__x86_64__)

#include <immintrin.h>

typedef float vf __attribute__((vector_size(32)));
typedef int32_t vi __attribute__((vector_size(32)));
typedef uint32_t vu __attribute__((vector_size(32)));
typedef double vd __attribute__((vector_size(32)));
typedef int64_t vl __attribute__((vector_size(32)));
typedef uint64_t vw __attribute__((vector_size(32)));
typedef int32_t vh __attribute__((vector_size(16)));

static inline vf vf_set(float x) { return (vf)_mm256_set1_ps(x); }
static inline vi vi_set(int32_t x) { return (vi)_mm256_set1_epi32(x); }
static inline vd vd_set(double x) { return (vd)_mm256_set1_pd(x); }
static inline vl vl_set(int64_t x) { return (vl)_mm256_set1_epi64x(x); }
static inline vf vf_load(const char* p) { return (vf)_mm256_loadu_ps((const float*)p); }
static inline vi vi_load(const char* p) { return (vi)_mm256_loadu_si256((const __m256i*)p); }
static inline vd vd_load(const char* p) { return (vd)_mm256_loadu_pd((const double*)p); }
static inline vl vl_load(const char* p) { return (vl)_mm256_loadu_si256((const __m256i*)p); }
static inline void vf_store(char* p, vf x) { _mm256_storeu_ps((float*)p, (__m256)x); }
static inline void vi_store(char* p, vi x) { _mm256_storeu_si256((__m256i*)p, (__m256i)x); }
static inline void vd_store(char* p, vd x) { _mm256_storeu_pd((double*)p, (__m256d)x); }
static inline void vl_store(char* p, vl x) { _mm256_storeu_si256((__m256i*)p, (__m256i)x); }
static inline vh vh_set(int32_t x) { return (vh)_mm_set1_epi32(x); }
static inline vh vh_load(const char* p) { return (vh)_mm_loadu_si128((const __m128i*)p); }
static inline void vh_store(char* p, vh x) { _mm_storeu_si128((__m128i*)p, (__m128i)x); }

// A window of ones before zeros: at 8 - n it has n ones.
static const int32_t kFirst4[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
static const int64_t kFirst8[8] = {-1, -1, -1, -1, 0, 0, 0, 0};
static inline __m256i first_lanes(uint32_t n) {
  return _mm256_loadu_si256((const __m256i*)(kFirst4 + 8 - n));
}
static inline __m256i first_wide_lanes(uint32_t n) {
  return _mm256_loadu_si256((const __m256i*)(kFirst8 + 4 - n));
}
static inline vf vf_load_part(const char* p, uint32_t n) {
  return (vf)_mm256_maskload_ps((const float*)p, first_lanes(n));
}
static inline vf vf_load_part_or(const char* p, uint32_t n, vf other) {
  return (vf)_mm256_blendv_ps((__m256)other, (__m256)vf_load_part(p, n), (__m256)first_lanes(n));
}
static inline vi vi_load_part(const char* p, uint32_t n) {
  return (vi)_mm256_maskload_epi32((const int*)p, first_lanes(n));
}
static inline vd vd_load_part(const char* p, uint32_t n) {
  return (vd)_mm256_maskload_pd((const double*)p, first_wide_lanes(n));
}
static inline vl vl_load_part(const char* p, uint32_t n) {
  return (vl)_mm256_maskload_epi64((const long long*)p, first_wide_lanes(n));
}
static inline void vf_store_part(char* p, vf x, uint32_t n) {
  _mm256_maskstore_ps((float*)p, first_lanes(n), (__m256)x);
}
static inline void vi_store_part(char* p, vi x, uint32_t n) {
  _mm256_maskstore_epi32((int*)p, first_lanes(n), (__m256i)x);
}
static inline void vd_store_part(char* p, vd x, uint32_t n) {
  _mm256_maskstore_pd((double*)p, first_wide_lanes(n), (__m256d)x);
}
static inline void vl_store_part(char* p, vl x, uint32_t n) {
  _mm256_maskstore_epi64((long long*)p, first_wide_lanes(n), (__m256i)x);
}
static inline vh vh_load_part(const char* p, uint32_t n) {
  return (vh)_mm_maskload_epi32(
      (const int*)p, _mm256_castsi256_si128(_mm256_loadu_si256((const __m256i*)(kFirst4 + 8 - n))));
}
static inline void vh_store_part(char* p, vh x, uint32_t n) {
  _mm_maskstore_epi32((int*)p,
                      _mm256_castsi256_si128(_mm256_loadu_si256((const __m256i*)(kFirst4 + 8 - n))),
                      (__m128i)x);
}

// Masks, and comparisons that are false for NaN (but for ne).
typedef vi vm;
static inline vm vf_lt(vf a, vf b) { return (vm)_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_LT_OQ); }
static inline vm vf_gt(vf a, vf b) { return (vm)_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GT_OQ); }
static inline vm vf_le(vf a, vf b) { return (vm)_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_LE_OQ); }
static inline vm vf_eq(vf a, vf b) { return (vm)_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_EQ_OQ); }
static inline vm vf_ne(vf a, vf b) { return (vm)_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_NEQ_UQ); }
static inline vm vi_lt(vi a, vi b) { return a < b; }
static inline vm vi_nonzero(vi a) { return a != 0; }
static inline vm vi_negative(vi a) { return a; }  // only the sign bit is used
static inline int vm_any(vm mask) { return _mm256_movemask_ps((__m256)mask) != 0; }
static inline vf vf_select(vm mask, vf a, vf b) {
  return (vf)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)mask);
}
static inline vi vi_select(vm mask, vi a, vi b) {
  return (vi)_mm256_blendv_epi8((__m256i)b, (__m256i)a, (__m256i)mask);
}
// 1 where the mask is set.
static inline vi vm_to_vi(vm mask) { return mask & 1; }
// The second operand where either is NaN.
static inline vf vf_min_keep(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
static inline vf vf_max_keep(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
static inline vi vi_min(vi a, vi b) { return (vi)_mm256_min_epi32((__m256i)a, (__m256i)b); }
static inline vi vi_max(vi a, vi b) { return (vi)_mm256_max_epi32((__m256i)a, (__m256i)b); }
// Joins halves, then quarters, down to neighbours: every lane ends with the whole.
#define FOLD(x, join)                                                    \
  do {                                                                   \
    x = join(x, (vf)_mm256_permute2f128_ps((__m256)x, (__m256)x, 0x01)); \
    x = join(x, (vf)_mm256_permute_ps((__m256)x, 0x4e));                 \
    x = join(x, (vf)_mm256_permute_ps((__m256)x, 0xb1));                 \
  } while (0)
static inline vf vf_fma(vf a, vf b, vf c) {
  return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
static inline vf vf_abs(vf x) { return (vf)((vi)x & 0x7fffffff); }
static inline vf vf_sqrt(vf x) { return (vf)_mm256_sqrt_ps((__m256)x); }
static inline vf vf_round(vf x) { return (vf)_mm256_round_ps((__m256)x, 8); }
static inline vf vf_floor(vf x) { return (vf)_mm256_round_ps((__m256)x, 9); }
static inline vf vf_ceil(vf x) { return (vf)_mm256_round_ps((__m256)x, 10); }
static inline vf vf_trunc(vf x) { return (vf)_mm256_round_ps((__m256)x, 11); }
static inline vi vf_to_vi(vf x) { return (vi)_mm256_cvtps_epi32((__m256)x); }
static inline vi vf_to_vi_trunc(vf x) { return (vi)_mm256_cvttps_epi32((__m256)x); }
static inline vf vi_to_vf(vi x) { return (vf)_mm256_cvtepi32_ps((__m256i)x); }

static inline vi load_i8(const char* p) {
  return (vi)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)p));
}
static inline vi load_u8(const char* p) {
  return (vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)p));
}
static inline vi load_i16(const char* p) {
  return (vi)_mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i*)p));
}
static inline vi load_u16(const char* p) {
  return (vi)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p));
}
static inline vf load_f16(const char* p) {
  return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
}
// The low 16 bits of each lane, side by side.
static inline __m128i low_halves(vi x) {
  const __m256i masked = (__m256i)(x & 0xffff);
  const __m256i packed = _mm256_packus_epi32(masked, masked);
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x88));
}
static inline void store_16(char* p, vi x) { _mm_storeu_si128((__m128i*)p, low_halves(x)); }
static inline void store_8(char* p, vi x) {
  const __m128i halves = low_halves(x & 0xff);
  _mm_storel_epi64((__m128i*)p, _mm_packus_epi16(halves, halves));
}
static inline void store_f16(char* p, vf x) {
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph((__m256)x, 8));
}

static inline void transpose_block(char* d, ptrdiff_t ds, const char* s, ptrdiff_t ss) {
  __m256 a[8], b[8];
  for (int i = 0; i < 8; ++i) a[i] = _mm256_loadu_ps((const float*)(s + i * ss));
  for (int i = 0; i < 4; ++i) {
    b[2 * i] = _mm256_unpacklo_ps(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm256_unpackhi_ps(a[2 * i], a[2 * i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    a[4 * i] = _mm256_shuffle_ps(b[4 * i], b[4 * i + 2], 0x44);
    a[4 * i + 1] = _mm256_shuffle_ps(b[4 * i], b[4 * i + 2], 0xee);
    a[4 * i + 2] = _mm256_shuffle_ps(b[4 * i + 1], b[4 * i + 3], 0x44);
    a[4 * i + 3] = _mm256_shuffle_ps(b[4 * i + 1], b[4 * i + 3], 0xee);
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps((float*)(d + i * ds), _mm256_permute2f128_ps(a[i], a[4 + i], 0x20));
    _mm256_storeu_ps((float*)(d + (4 + i) * ds), _mm256_permute2f128_ps(a[i], a[4 + i], 0x31));
  }
}

static vf vf_by_scalar(vf x, float (*function)(float)) {
  float lanes[8];
  vf_store((char*)lanes, x);
  for (int i = 0; i < 8; ++i) lanes[i] = function(lanes[i]);
  return vf_load((const char*)lanes);
}

#define TABLE tvi_tile_kernels_avx2
#include "runtime/device/cpu/tile_vector_math.h"
// After the functions, which it uses.
#include "runtime/device/cpu/tile_vector_body.h"

#endif  // __x86_64__
