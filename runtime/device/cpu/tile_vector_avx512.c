// SPDX-License-Identifier: Apache-2.0
//
// Vector loops of tile instructions for AVX-512 (F, BW, DQ, VL): 16 lanes. Runs only where
// tvi_tile_isa_detect found it. The loops themselves are in tile_vector_body.h.

#include "core/base/scalar_math.h"
#include "runtime/device/cpu/tile_kernels.h"
#include "trivet/common.h"

#if defined(__x86_64__)

#include <immintrin.h>

typedef float vf __attribute__((vector_size(64)));
typedef int32_t vi __attribute__((vector_size(64)));
typedef uint32_t vu __attribute__((vector_size(64)));
typedef double vd __attribute__((vector_size(64)));
typedef int64_t vl __attribute__((vector_size(64)));
typedef uint64_t vw __attribute__((vector_size(64)));
typedef int32_t vh __attribute__((vector_size(32)));

static inline vf vf_set(float x) { return (vf)_mm512_set1_ps(x); }
static inline vi vi_set(int32_t x) { return (vi)_mm512_set1_epi32(x); }
static inline vd vd_set(double x) { return (vd)_mm512_set1_pd(x); }
static inline vl vl_set(int64_t x) { return (vl)_mm512_set1_epi64(x); }
static inline vf vf_load(const char* p) { return (vf)_mm512_loadu_ps(p); }
static inline vi vi_load(const char* p) { return (vi)_mm512_loadu_si512(p); }
static inline vd vd_load(const char* p) { return (vd)_mm512_loadu_pd(p); }
static inline vl vl_load(const char* p) { return (vl)_mm512_loadu_si512(p); }
static inline void vf_store(char* p, vf x) { _mm512_storeu_ps(p, (__m512)x); }
static inline void vi_store(char* p, vi x) { _mm512_storeu_si512(p, (__m512i)x); }
static inline void vd_store(char* p, vd x) { _mm512_storeu_pd(p, (__m512d)x); }
static inline void vl_store(char* p, vl x) { _mm512_storeu_si512(p, (__m512i)x); }
static inline vh vh_set(int32_t x) { return (vh)_mm256_set1_epi32(x); }
static inline vh vh_load(const char* p) { return (vh)_mm256_loadu_si256((const __m256i*)p); }
static inline void vh_store(char* p, vh x) { _mm256_storeu_si256((__m256i*)p, (__m256i)x); }

static inline __mmask16 first_lanes(uint32_t n) { return (__mmask16)((1u << n) - 1u); }
static inline vf vf_load_part(const char* p, uint32_t n) {
  return (vf)_mm512_maskz_loadu_ps(first_lanes(n), p);
}
static inline vf vf_load_part_or(const char* p, uint32_t n, vf other) {
  return (vf)_mm512_mask_loadu_ps((__m512)other, first_lanes(n), p);
}
static inline vi vi_load_part(const char* p, uint32_t n) {
  return (vi)_mm512_maskz_loadu_epi32(first_lanes(n), p);
}
static inline vd vd_load_part(const char* p, uint32_t n) {
  return (vd)_mm512_maskz_loadu_pd((__mmask8)first_lanes(n), p);
}
static inline vl vl_load_part(const char* p, uint32_t n) {
  return (vl)_mm512_maskz_loadu_epi64((__mmask8)first_lanes(n), p);
}
static inline void vf_store_part(char* p, vf x, uint32_t n) {
  _mm512_mask_storeu_ps(p, first_lanes(n), (__m512)x);
}
static inline void vi_store_part(char* p, vi x, uint32_t n) {
  _mm512_mask_storeu_epi32(p, first_lanes(n), (__m512i)x);
}
static inline void vd_store_part(char* p, vd x, uint32_t n) {
  _mm512_mask_storeu_pd(p, (__mmask8)first_lanes(n), (__m512d)x);
}
static inline void vl_store_part(char* p, vl x, uint32_t n) {
  _mm512_mask_storeu_epi64(p, (__mmask8)first_lanes(n), (__m512i)x);
}
static inline vh vh_load_part(const char* p, uint32_t n) {
  return (vh)_mm256_maskz_loadu_epi32((__mmask8)first_lanes(n), p);
}
static inline void vh_store_part(char* p, vh x, uint32_t n) {
  _mm256_mask_storeu_epi32(p, (__mmask8)first_lanes(n), (__m256i)x);
}

// Masks, and comparisons that are false for NaN (but for ne).
typedef __mmask16 vm;
static inline vm vf_lt(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ); }
static inline vm vf_gt(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ); }
static inline vm vf_le(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LE_OQ); }
static inline vm vf_eq(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_EQ_OQ); }
static inline vm vf_ne(vf a, vf b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_NEQ_UQ); }
static inline vm vi_lt(vi a, vi b) { return _mm512_cmplt_epi32_mask((__m512i)a, (__m512i)b); }
static inline vm vi_nonzero(vi a) { return _mm512_test_epi32_mask((__m512i)a, (__m512i)a); }
static inline vm vi_negative(vi a) { return _mm512_movepi32_mask((__m512i)a); }
static inline int vm_any(vm mask) { return mask != 0; }
static inline vf vf_select(vm mask, vf a, vf b) {
  return (vf)_mm512_mask_mov_ps((__m512)b, mask, (__m512)a);
}
static inline vi vi_select(vm mask, vi a, vi b) {
  return (vi)_mm512_mask_mov_epi32((__m512i)b, mask, (__m512i)a);
}
// 1 where the mask is set.
static inline vi vm_to_vi(vm mask) { return (vi)_mm512_maskz_set1_epi32(mask, 1); }
// The second operand where either is NaN.
static inline vf vf_min_keep(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
static inline vf vf_max_keep(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
static inline vi vi_min(vi a, vi b) { return (vi)_mm512_min_epi32((__m512i)a, (__m512i)b); }
static inline vi vi_max(vi a, vi b) { return (vi)_mm512_max_epi32((__m512i)a, (__m512i)b); }
// Joins halves, then quarters, down to neighbours: every lane ends with the whole.
#define FOLD(x, join)                                                  \
  do {                                                                 \
    x = join(x, (vf)_mm512_shuffle_f32x4((__m512)x, (__m512)x, 0x4e)); \
    x = join(x, (vf)_mm512_shuffle_f32x4((__m512)x, (__m512)x, 0xb1)); \
    x = join(x, (vf)_mm512_permute_ps((__m512)x, 0x4e));               \
    x = join(x, (vf)_mm512_permute_ps((__m512)x, 0xb1));               \
  } while (0)
static inline vf vf_fma(vf a, vf b, vf c) {
  return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
static inline vf vf_abs(vf x) { return (vf)((vi)x & 0x7fffffff); }
static inline vf vf_sqrt(vf x) { return (vf)_mm512_sqrt_ps((__m512)x); }
static inline vf vf_round(vf x) { return (vf)_mm512_roundscale_ps((__m512)x, 8); }
static inline vf vf_floor(vf x) { return (vf)_mm512_roundscale_ps((__m512)x, 9); }
static inline vf vf_ceil(vf x) { return (vf)_mm512_roundscale_ps((__m512)x, 10); }
static inline vf vf_trunc(vf x) { return (vf)_mm512_roundscale_ps((__m512)x, 11); }
static inline vi vf_to_vi(vf x) { return (vi)_mm512_cvtps_epi32((__m512)x); }
static inline vi vf_to_vi_trunc(vf x) { return (vi)_mm512_cvttps_epi32((__m512)x); }
static inline vf vi_to_vf(vi x) { return (vf)_mm512_cvtepi32_ps((__m512i)x); }

static inline vi load_i8(const char* p) {
  return (vi)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)p));
}
static inline vi load_u8(const char* p) {
  return (vi)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)p));
}
static inline vi load_i16(const char* p) {
  return (vi)_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i*)p));
}
static inline vi load_u16(const char* p) {
  return (vi)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p));
}
static inline vf load_f16(const char* p) {
  return (vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p));
}
static inline void store_8(char* p, vi x) {
  _mm_storeu_si128((__m128i*)p, _mm512_cvtepi32_epi8((__m512i)x));
}
static inline void store_16(char* p, vi x) {
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtepi32_epi16((__m512i)x));
}
static inline void store_f16(char* p, vf x) {
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph((__m512)x, 8));
}

static inline void transpose_block(char* d, ptrdiff_t ds, const char* s, ptrdiff_t ss) {
  __m512i a[16], b[16];
  for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_si512(s + i * ss);
  for (int i = 0; i < 8; ++i) {
    b[2 * i] = _mm512_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm512_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
  }
  for (int i = 0; i < 4; ++i) {
    a[4 * i] = _mm512_unpacklo_epi64(b[4 * i], b[4 * i + 2]);
    a[4 * i + 1] = _mm512_unpackhi_epi64(b[4 * i], b[4 * i + 2]);
    a[4 * i + 2] = _mm512_unpacklo_epi64(b[4 * i + 1], b[4 * i + 3]);
    a[4 * i + 3] = _mm512_unpackhi_epi64(b[4 * i + 1], b[4 * i + 3]);
  }
  for (int i = 0; i < 4; ++i) {
    b[i] = _mm512_shuffle_i32x4(a[i], a[4 + i], 0x88);
    b[4 + i] = _mm512_shuffle_i32x4(a[i], a[4 + i], 0xdd);
    b[8 + i] = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0x88);
    b[12 + i] = _mm512_shuffle_i32x4(a[8 + i], a[12 + i], 0xdd);
  }
  for (int i = 0; i < 4; ++i) {
    _mm512_storeu_si512(d + (i)*ds, _mm512_shuffle_i32x4(b[i], b[8 + i], 0x88));
    _mm512_storeu_si512(d + (8 + i) * ds, _mm512_shuffle_i32x4(b[i], b[8 + i], 0xdd));
    _mm512_storeu_si512(d + (4 + i) * ds, _mm512_shuffle_i32x4(b[4 + i], b[12 + i], 0x88));
    _mm512_storeu_si512(d + (12 + i) * ds, _mm512_shuffle_i32x4(b[4 + i], b[12 + i], 0xdd));
  }
}

static vf vf_by_scalar(vf x, float (*function)(float)) {
  float lanes[16];
  vf_store((char*)lanes, x);
  for (int i = 0; i < 16; ++i) lanes[i] = function(lanes[i]);
  return vf_load((const char*)lanes);
}

#define TABLE tvi_tile_kernels_avx512
#include "runtime/device/cpu/tile_vector_math.h"
// After the functions, which it uses.
#include "runtime/device/cpu/tile_vector_body.h"

#endif  // __x86_64__
