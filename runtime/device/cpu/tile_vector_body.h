// SPDX-License-Identifier: Apache-2.0
//
// The vector loops of tile instructions, once for all instruction sets: included by
// tile_vector_avx2.c and tile_vector_avx512.c, which define the vector types (vf, vi: 32-bit lanes;
// vd, vl: 64-bit lanes; vh: as many 32-bit lanes as vd has), their helpers, and TABLE. A source
// that is one element per row is spread over a vector once per row and then read without moving, so
// one loop serves all kinds of sources. The last columns are loaded and stored with masks.
#ifndef TRIVET_RUNTIME_DEVICE_CPU_TILE_VECTOR_BODY_H_
#define TRIVET_RUNTIME_DEVICE_CPU_TILE_VECTOR_BODY_H_

#define LANES ((uint32_t)(sizeof(vf) / 4))

typedef struct source_t {
  const char* p;
  ptrdiff_t step;
} source_t;

#define SPREAD(suffix, V, T)                                                                 \
  static inline source_t spread_##suffix(const tvi_tile_args_t* g, uint32_t i, uint32_t row, \
                                         V* memory) {                                        \
    source_t s = {g->s[i] + (ptrdiff_t)row * g->ss[i], (ptrdiff_t)sizeof(V)};                \
    if (g->scalars >> i & 1u) {                                                              \
      T value;                                                                               \
      __builtin_memcpy(&value, s.p, sizeof(value));                                          \
      *memory = suffix##_set(value);                                                         \
      s.p = (const char*)memory;                                                             \
      s.step = 0;                                                                            \
    }                                                                                        \
    return s;                                                                                \
  }
SPREAD(vf, vf, float)
SPREAD(vi, vi, int32_t)
SPREAD(vd, vd, double)
SPREAD(vl, vl, int64_t)
SPREAD(vh, vh, int32_t)

#define LOOP1(name, sa, VA, sd, VD, expression)                          \
  static void name(const tvi_tile_args_t* g) {                           \
    for (uint32_t row = 0; row < g->rows; ++row) {                       \
      VA memory_a;                                                       \
      source_t pa = spread_##sa(g, 0, row, &memory_a);                   \
      char* d = g->d + (ptrdiff_t)row * g->ds;                           \
      uint32_t n = g->cols;                                              \
      const uint32_t lanes = sizeof(VA) / sizeof(memory_a[0]);           \
      for (; n >= lanes; n -= lanes, pa.p += pa.step, d += sizeof(VD)) { \
        const VA a = sa##_load(pa.p);                                    \
        sd##_store(d, (expression));                                     \
      }                                                                  \
      if (n != 0) {                                                      \
        const VA a = sa##_load_part(pa.p, n);                            \
        sd##_store_part(d, (expression), n);                             \
      }                                                                  \
    }                                                                    \
  }

#define LOOP2(name, sa, VA, sd, VD, expression)                                                \
  static void name(const tvi_tile_args_t* g) {                                                 \
    for (uint32_t row = 0; row < g->rows; ++row) {                                             \
      VA memory_a, memory_b;                                                                   \
      source_t pa = spread_##sa(g, 0, row, &memory_a), pb = spread_##sa(g, 1, row, &memory_b); \
      char* d = g->d + (ptrdiff_t)row * g->ds;                                                 \
      uint32_t n = g->cols;                                                                    \
      const uint32_t lanes = sizeof(VA) / sizeof(memory_a[0]);                                 \
      for (; n >= lanes; n -= lanes, pa.p += pa.step, pb.p += pb.step, d += sizeof(VD)) {      \
        const VA a = sa##_load(pa.p), b = sa##_load(pb.p);                                     \
        sd##_store(d, (expression));                                                           \
      }                                                                                        \
      if (n != 0) {                                                                            \
        const VA a = sa##_load_part(pa.p, n), b = sa##_load_part(pb.p, n);                     \
        sd##_store_part(d, (expression), n);                                                   \
      }                                                                                        \
    }                                                                                          \
  }

#define LOOP3(name, sa, VA, sb, VB, expression)                                                \
  static void name(const tvi_tile_args_t* g) {                                                 \
    for (uint32_t row = 0; row < g->rows; ++row) {                                             \
      VA memory_a;                                                                             \
      VB memory_b, memory_c;                                                                   \
      source_t pa = spread_##sa(g, 0, row, &memory_a), pb = spread_##sb(g, 1, row, &memory_b); \
      source_t pc = spread_##sb(g, 2, row, &memory_c);                                         \
      char* d = g->d + (ptrdiff_t)row * g->ds;                                                 \
      uint32_t n = g->cols;                                                                    \
      const uint32_t lanes = sizeof(VB) / sizeof(memory_b[0]);                                 \
      for (; n >= lanes;                                                                       \
           n -= lanes, pa.p += pa.step, pb.p += pb.step, pc.p += pc.step, d += sizeof(VB)) {   \
        const VA a = sa##_load(pa.p);                                                          \
        const VB b = sb##_load(pb.p), c = sb##_load(pc.p);                                     \
        sb##_store(d, (expression));                                                           \
      }                                                                                        \
      if (n != 0) {                                                                            \
        const VA a = sa##_load_part(pa.p, n);                                                  \
        const VB b = sb##_load_part(pb.p, n), c = sb##_load_part(pc.p, n);                     \
        sb##_store_part(d, (expression), n);                                                   \
      }                                                                                        \
    }                                                                                          \
  }

#define UNARY_F32(name, expression) LOOP1(name, vf, vf, vf, vf, expression)
#define BINARY_F32(name, expression) LOOP2(name, vf, vf, vf, vf, expression)
#define BINARY_I32(name, expression) LOOP2(name, vi, vi, vi, vi, expression)
#define BINARY_F64(name, expression) LOOP2(name, vd, vd, vd, vd, expression)
#define BINARY_I64(name, expression) LOOP2(name, vl, vl, vl, vl, expression)
#define COMPARE_F32(name, expression) LOOP2(name, vf, vf, vi, vi, vm_to_vi(expression))
#define COMPARE_I32(name, expression) LOOP2(name, vi, vi, vi, vi, vm_to_vi(expression))
#define COMPARE_F64(name, expression) \
  LOOP2(name, vd, vd, vh, vh, __builtin_convertvector((vl)(expression), vh) & 1)
#define COMPARE_I64(name, expression) \
  LOOP2(name, vl, vl, vh, vh, __builtin_convertvector((vl)(expression), vh) & 1)

// ---------------------------------------------------------------------------------------------
// Arithmetic
// ---------------------------------------------------------------------------------------------

// NaN in either operand gives NaN.
static inline vf vf_min(vf a, vf b) { return vf_select(vf_ne(a, a), a, vf_min_keep(a, b)); }
static inline vf vf_max(vf a, vf b) { return vf_select(vf_ne(a, a), a, vf_max_keep(a, b)); }

BINARY_F32(k_add_f32, a + b)
BINARY_F32(k_sub_f32, a - b)
BINARY_F32(k_mul_f32, a* b)
BINARY_F32(k_div_f32, a / b)
BINARY_F32(k_min_f32, vf_min(a, b))
BINARY_F32(k_max_f32, vf_max(a, b))
BINARY_F32(k_atan2_f32, math_atan2(a, b))
UNARY_F32(k_neg_f32, -a)
UNARY_F32(k_abs_f32, vf_abs(a))
UNARY_F32(k_sqrt_f32, vf_sqrt(a))
UNARY_F32(k_rsqrt_f32, 1.0f / vf_sqrt(a))
UNARY_F32(k_recip_f32, 1.0f / a)
UNARY_F32(k_floor_f32, vf_floor(a))
UNARY_F32(k_ceil_f32, vf_ceil(a))
UNARY_F32(k_round_even_f32, vf_round(a))
UNARY_F32(k_trunc_f32, vf_trunc(a))
UNARY_F32(k_sign_f32, vf_select(vf_gt(a, vf_set(0.0f)), vf_set(1.0f),
                                vf_select(vf_lt(a, vf_set(0.0f)), vf_set(-1.0f),
                                          vf_select(vf_ne(a, a), a, vf_set(0.0f)))))
UNARY_F32(k_exp_f32, math_exp(a))
UNARY_F32(k_exp2_f32, math_exp2(a))
UNARY_F32(k_expm1_f32, math_expm1(a))
UNARY_F32(k_log_f32, math_log(a))
UNARY_F32(k_log2_f32, math_log2(a))
UNARY_F32(k_log10_f32, math_log10(a))
UNARY_F32(k_log1p_f32, math_log1p(a))
UNARY_F32(k_sin_f32, math_sin(a))
UNARY_F32(k_cos_f32, math_cos(a))
UNARY_F32(k_tan_f32, math_tan(a))
UNARY_F32(k_asin_f32, math_asin(a))
UNARY_F32(k_acos_f32, math_acos(a))
UNARY_F32(k_atan_f32, math_atan(a))
UNARY_F32(k_sinh_f32, math_sinh(a))
UNARY_F32(k_cosh_f32, math_cosh(a))
UNARY_F32(k_tanh_f32, math_tanh(a))
UNARY_F32(k_asinh_f32, math_asinh(a))
UNARY_F32(k_acosh_f32, math_acosh(a))
UNARY_F32(k_atanh_f32, math_atanh(a))
UNARY_F32(k_sigmoid_f32, math_sigmoid(a))
UNARY_F32(k_erf_f32, math_erf(a))
UNARY_F32(k_silu, math_silu(a))
BINARY_F32(k_silu_mul, math_silu(a) * b)
UNARY_F32(k_gelu_erf, math_gelu_erf(a))
UNARY_F32(k_gelu_tanh, math_gelu_tanh(a))
BINARY_F32(k_exp_sub, math_exp(a - b))
UNARY_F32(k_relu, vf_max_keep(vf_set(0.0f), a))
BINARY_F32(k_sub_square, (a - b) * (a - b))
LOOP3(k_fma_f32, vf, vf, vf, vf, vf_fma(a, b, c))
LOOP3(k_quantize, vf, vf, vf, vf, vf_round(a* b) + c)
LOOP3(k_sub_mul, vf, vf, vf, vf, (a - b) * c)
LOOP1(k_isnan_f32, vf, vf, vi, vi, vm_to_vi(vf_ne(a, a)))
LOOP1(k_isinf_f32, vf, vf, vi, vi, vm_to_vi(vf_eq(vf_abs(a), vf_set(__builtin_inff()))))

BINARY_I32(k_add_i32, (vi)((vu)a + (vu)b))
BINARY_I32(k_sub_i32, (vi)((vu)a - (vu)b))
BINARY_I32(k_mul_i32, (vi)((vu)a*(vu)b))
BINARY_I32(k_and_i32, a& b)
BINARY_I32(k_or_i32, a | b)
BINARY_I32(k_xor_i32, a ^ b)
BINARY_I32(k_min_i32, vi_min(a, b))
BINARY_I32(k_max_i32, vi_max(a, b))
COMPARE_I32(k_eq_i32, ~vi_nonzero(a ^ b))
COMPARE_I32(k_ne_i32, vi_nonzero(a ^ b))
COMPARE_I32(k_lt_i32, vi_lt(a, b))
COMPARE_I32(k_le_i32, ~vi_lt(b, a))
// |b| where |a| is not 0; 64-bit lanes of any type.
static inline vl vl_select(vh a, vl b, vl c) {
  const vl mask = __builtin_convertvector((vh)(a != 0), vl);
  return (b & mask) | (c & ~mask);
}
LOOP3(k_select_32, vi, vi, vi, vi, vi_select(vi_nonzero(a), b, c))
LOOP3(k_select_64, vh, vh, vl, vl, vl_select(a, b, c))
LOOP3(k_muladd_i32, vi, vi, vi, vi, (vi)((vu)a*(vu)b + (vu)c))
COMPARE_F32(k_eq_f32, vf_eq(a, b))
COMPARE_F32(k_ne_f32, vf_ne(a, b))
COMPARE_F32(k_lt_f32, vf_lt(a, b))
COMPARE_F32(k_le_f32, vf_le(a, b))

BINARY_F64(k_add_f64, a + b)
BINARY_F64(k_sub_f64, a - b)
BINARY_F64(k_mul_f64, a* b)
BINARY_F64(k_div_f64, a / b)
COMPARE_F64(k_lt_f64, a < b)
COMPARE_F64(k_le_f64, a <= b)
COMPARE_F64(k_eq_f64, a == b)
COMPARE_F64(k_ne_f64, a != b)
BINARY_I64(k_add_i64, (vl)((vw)a + (vw)b))
BINARY_I64(k_sub_i64, (vl)((vw)a - (vw)b))
COMPARE_I64(k_lt_i64, a < b)
COMPARE_I64(k_le_i64, a <= b)
COMPARE_I64(k_eq_i64, a == b)
COMPARE_I64(k_ne_i64, a != b)

LOOP1(k_copy_4, vi, vi, vi, vi, a)
LOOP1(k_copy_8, vl, vl, vl, vl, a)

// (a - b) * c * d + e with one b and c per row: the end of most normalisations.
static void norm_affine_rows(const tvi_tile_args_t* g) {
  for (uint32_t row = 0; row < g->rows; ++row) {
    const vf mean = vf_set(*(const float*)(g->s[1] + (ptrdiff_t)row * g->ss[1]));
    const vf scale = vf_set(*(const float*)(g->s[2] + (ptrdiff_t)row * g->ss[2]));
    const char* x = g->s[0] + (ptrdiff_t)row * g->ss[0];
    const char* p = g->s[3] + (ptrdiff_t)row * g->ss[3];
    const char* q = g->s[4] + (ptrdiff_t)row * g->ss[4];
    char* d = g->d + (ptrdiff_t)row * g->ds;
    const size_t whole = (size_t)(g->cols - g->cols % LANES) * 4;
    for (size_t i = 0; i < whole; i += sizeof(vf))
      vf_store(d + i, vf_fma((vf_load(x + i) - mean) * scale, vf_load(p + i), vf_load(q + i)));
    const uint32_t n = g->cols % LANES;
    if (n != 0)
      vf_store_part(d + whole,
                    vf_fma((vf_load_part(x + whole, n) - mean) * scale, vf_load_part(p + whole, n),
                           vf_load_part(q + whole, n)),
                    n);
  }
}

// The same for any kinds of sources.
static void k_norm_affine(const tvi_tile_args_t* g) {
  if (g->scalars == 6u) {
    norm_affine_rows(g);
    return;
  }
  for (uint32_t row = 0; row < g->rows; ++row) {
    vf memory[5];
    source_t s[5];
    for (uint32_t i = 0; i < 5; ++i) s[i] = spread_vf(g, i, row, &memory[i]);
    char* d = g->d + (ptrdiff_t)row * g->ds;
    uint32_t n = g->cols;
    for (; n >= LANES; n -= LANES, d += sizeof(vf)) {
      const vf x = (vf_load(s[0].p) - vf_load(s[1].p)) * vf_load(s[2].p);
      vf_store(d, vf_fma(x, vf_load(s[3].p), vf_load(s[4].p)));
      for (uint32_t i = 0; i < 5; ++i) s[i].p += s[i].step;
    }
    if (n != 0) {
      const vf x = (vf_load_part(s[0].p, n) - vf_load_part(s[1].p, n)) * vf_load_part(s[2].p, n);
      vf_store_part(d, vf_fma(x, vf_load_part(s[3].p, n), vf_load_part(s[4].p, n)), n);
    }
  }
}

// ---------------------------------------------------------------------------------------------
// Conversions
// ---------------------------------------------------------------------------------------------

// Truncates, saturates, NaN gives 0.
static inline vi f32_to_i32(vf a) {
  const vi low = vf_to_vi_trunc(a);  // 0x80000000 where it does not fit
  const vi high = vi_select(vf_le(vf_set(2147483648.0f), a), vi_set(INT32_MAX), low);
  return vi_select(vf_ne(a, a), vi_set(0), high);
}
LOOP1(c_f32_i32, vf, vf, vi, vi, f32_to_i32(a))
LOOP1(c_i32_f32, vi, vi, vf, vf, vi_to_vf(a))

static void k_narrow(const tvi_tile_args_t* g) {
  const uint32_t dtype = g->aux;
  uint32_t bits = 8;
  int is_signed = 0;
  switch (dtype) {
    case TRIVET_DTYPE_I8:
      is_signed = 1;
      break;
    case TRIVET_DTYPE_U8:
      break;
    case TRIVET_DTYPE_I16:
      is_signed = 1;
      bits = 16;
      break;
    case TRIVET_DTYPE_U16:
      bits = 16;
      break;
    default:
      tvi_tile_kernels_plain.arithmetic[TVI_TILE_OP_NARROW][TVI_TILE_F32](g);
      return;
  }
  const int32_t shift = (int32_t)(32 - bits);
  for (uint32_t row = 0; row < g->rows; ++row) {
    vi memory;
    source_t s = spread_vi(g, 0, row, &memory);
    char* d = g->d + (ptrdiff_t)row * g->ds;
    for (uint32_t n = g->cols; n != 0;) {
      const uint32_t part = n < LANES ? n : LANES;
      const vu a = (vu)(part == LANES ? vi_load(s.p) : vi_load_part(s.p, part)) << shift;
      const vi narrow = is_signed ? (vi)a >> shift : (vi)(a >> shift);
      if (part == LANES) {
        vi_store(d, narrow);
      } else {
        vi_store_part(d, narrow, part);
      }
      s.p += s.step;
      d += sizeof(vi);
      n -= part;
    }
  }
}

// ---------------------------------------------------------------------------------------------
// Row reductions
// ---------------------------------------------------------------------------------------------

// The lanes are joined by halves, so that the result is the same for every lane count that divides.
#define ROW_REDUCE(name, start, join)                                            \
  static void name(const tvi_tile_args_t* g) {                                   \
    for (uint32_t row = 0; row < g->rows; ++row) {                               \
      const char* s = g->s[0] + (ptrdiff_t)row * g->ss[0];                       \
      float* d = (float*)(g->d + (ptrdiff_t)row * g->ds);                        \
      vf x0 = vf_set(start), x1 = x0, x2 = x0, x3 = x0;                          \
      uint32_t n = g->cols;                                                      \
      for (; n >= 4 * LANES; n -= 4 * LANES, s += 4 * sizeof(vf)) {              \
        x0 = join(x0, vf_load(s));                                               \
        x1 = join(x1, vf_load(s + sizeof(vf)));                                  \
        x2 = join(x2, vf_load(s + 2 * sizeof(vf)));                              \
        x3 = join(x3, vf_load(s + 3 * sizeof(vf)));                              \
      }                                                                          \
      for (; n >= LANES; n -= LANES, s += sizeof(vf)) x0 = join(x0, vf_load(s)); \
      if (n != 0) x1 = join(x1, vf_load_part_or(s, n, vf_set(start)));           \
      x0 = join(join(x0, x1), join(x2, x3));                                     \
      FOLD(x0, join);                                                            \
      x0 = join(vf_set(*d), x0);                                                 \
      vf_store_part((char*)d, x0, 1);                                            \
    }                                                                            \
  }
static inline vf vf_add(vf a, vf b) { return a + b; }
ROW_REDUCE(row_sum, 0.0f, vf_add)
ROW_REDUCE(row_min, __builtin_inff(), vf_min)
ROW_REDUCE(row_max, -__builtin_inff(), vf_max)

#define ROW_SUM_OF(name, expression)                                                       \
  static void name(const tvi_tile_args_t* g) {                                             \
    for (uint32_t row = 0; row < g->rows; ++row) {                                         \
      vf memory_a, memory_b;                                                               \
      source_t pa = spread_vf(g, 0, row, &memory_a), pb = spread_vf(g, 1, row, &memory_b); \
      float* d = (float*)(g->d + (ptrdiff_t)row * g->ds);                                  \
      vf sums[4] = {vf_set(0.0f), vf_set(0.0f), vf_set(0.0f), vf_set(0.0f)};               \
      uint32_t n = g->cols;                                                                \
      for (; n >= 4 * LANES; n -= 4 * LANES)                                               \
        for (int k = 0; k < 4; ++k, pa.p += pa.step, pb.p += pb.step) {                    \
          const vf a = vf_load(pa.p), b = vf_load(pb.p), c = sums[k];                      \
          sums[k] = (expression);                                                          \
        }                                                                                  \
      for (; n >= LANES; n -= LANES, pa.p += pa.step, pb.p += pb.step) {                   \
        const vf a = vf_load(pa.p), b = vf_load(pb.p), c = sums[0];                        \
        sums[0] = (expression);                                                            \
      }                                                                                    \
      if (n != 0) {                                                                        \
        /* Lanes beyond the end must add nothing. */                                       \
        const vf a = vf_load_part(pa.p, n), b = vf_load_part(pb.p, n), c = vf_set(0.0f);   \
        const vf last = (expression);                                                      \
        float lanes[LANES] = {0};                                                          \
        vf_store_part((char*)lanes, last, n);                                              \
        sums[1] += vf_load((const char*)lanes);                                            \
      }                                                                                    \
      vf x = (sums[0] + sums[1]) + (sums[2] + sums[3]);                                    \
      FOLD(x, vf_add);                                                                     \
      vf_store_part((char*)d, vf_set(*d) + x, 1);                                          \
    }                                                                                      \
  }
ROW_SUM_OF(row_sum_square, vf_fma(a - b, a - b, c))
ROW_SUM_OF(row_sum_product, vf_fma(a, b, c))

// ---------------------------------------------------------------------------------------------
// Elements of memory
// ---------------------------------------------------------------------------------------------

// |load| gives LANES elements from memory, |store| writes so many; the last ones go one at a time.
#define WIDEN(name, dtype, from_bytes, V, suffix, load)                                   \
  static void name(void* d, const void* s, size_t count) {                                \
    const char* from = s;                                                                 \
    char* to = d;                                                                         \
    for (; count >= LANES; count -= LANES, from += LANES * (from_bytes), to += sizeof(V)) \
      suffix##_store(to, load(from));                                                     \
    if (count != 0) tvi_tile_kernels_plain.widen[dtype](to, from, count);                 \
  }
#define NARROW(name, dtype, to_bytes, V, suffix, store)                                 \
  static void name(void* d, const void* s, size_t count) {                              \
    const char* from = s;                                                               \
    char* to = d;                                                                       \
    for (; count >= LANES; count -= LANES, from += sizeof(V), to += LANES * (to_bytes)) \
      store(to, suffix##_load(from));                                                   \
    if (count != 0) tvi_tile_kernels_plain.narrow[dtype](to, from, count);              \
  }
static inline vi load_bool(const char* p) { return vm_to_vi(vi_nonzero(load_u8(p))); }
static inline void store_bool(char* p, vi a) { store_8(p, vm_to_vi(vi_nonzero(a))); }
static inline vf load_bf16(const char* p) { return (vf)(load_u16(p) << 16); }
static inline void store_bf16(char* p, vf a) {
  const vu bits = (vu)a;
  const vu rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  const vu nan = bits >> 16 | 0x40;
  store_16(p, vi_select(vf_ne(a, a), (vi)nan, (vi)rounded));
}
WIDEN(widen_i8, TRIVET_DTYPE_I8, 1, vi, vi, load_i8)
WIDEN(widen_u8, TRIVET_DTYPE_U8, 1, vi, vi, load_u8)
WIDEN(widen_i16, TRIVET_DTYPE_I16, 2, vi, vi, load_i16)
WIDEN(widen_u16, TRIVET_DTYPE_U16, 2, vi, vi, load_u16)
WIDEN(widen_bool, TRIVET_DTYPE_BOOL, 1, vi, vi, load_bool)
WIDEN(widen_f16, TRIVET_DTYPE_F16, 2, vf, vf, load_f16)
WIDEN(widen_bf16, TRIVET_DTYPE_BF16, 2, vf, vf, load_bf16)
NARROW(narrow_i8, TRIVET_DTYPE_I8, 1, vi, vi, store_8)
NARROW(narrow_i16, TRIVET_DTYPE_I16, 2, vi, vi, store_16)
NARROW(narrow_bool, TRIVET_DTYPE_BOOL, 1, vi, vi, store_bool)
NARROW(narrow_f16, TRIVET_DTYPE_F16, 2, vf, vf, store_f16)
NARROW(narrow_bf16, TRIVET_DTYPE_BF16, 2, vf, vf, store_bf16)

// Blocks of LANES x LANES in registers; what remains, one element at a time.
static void transpose4(char* d, ptrdiff_t ds, const char* s, ptrdiff_t ss, size_t rows,
                       size_t cols) {
  const size_t whole_rows = rows - rows % LANES, whole_cols = cols - cols % LANES;
  for (size_t r = 0; r < whole_rows; r += LANES)
    for (size_t c = 0; c < whole_cols; c += LANES)
      transpose_block(d + (ptrdiff_t)r * ds + (ptrdiff_t)c * 4, ds,
                      s + (ptrdiff_t)c * ss + (ptrdiff_t)r * 4, ss);
  if (whole_cols < cols)
    tvi_tile_kernels_plain.transpose4(d + (ptrdiff_t)whole_cols * 4, ds,
                                      s + (ptrdiff_t)whole_cols * ss, ss, whole_rows,
                                      cols - whole_cols);
  if (whole_rows < rows)
    tvi_tile_kernels_plain.transpose4(d + (ptrdiff_t)whole_rows * ds, ds,
                                      s + (ptrdiff_t)whole_rows * 4, ss, rows - whole_rows, cols);
}

// ---------------------------------------------------------------------------------------------
// The table
// ---------------------------------------------------------------------------------------------

#define F(op, name) [TVI_TILE_OP_##op] = {[TVI_TILE_F32] = name}
#define ALL(op, f32, f64, i32, u32, i64, u64)                                             \
  [TVI_TILE_OP_##op] = {[TVI_TILE_F32] = f32, [TVI_TILE_F64] = f64, [TVI_TILE_I32] = i32, \
                        [TVI_TILE_U32] = u32, [TVI_TILE_I64] = i64, [TVI_TILE_U64] = u64}

const tvi_tile_kernel_table_t TABLE = {
    .arithmetic =
        {
            ALL(ADD, k_add_f32, k_add_f64, k_add_i32, k_add_i32, k_add_i64, k_add_i64),
            ALL(SUB, k_sub_f32, k_sub_f64, k_sub_i32, k_sub_i32, k_sub_i64, k_sub_i64),
            ALL(MUL, k_mul_f32, k_mul_f64, k_mul_i32, k_mul_i32, NULL, NULL),
            ALL(DIV, k_div_f32, k_div_f64, NULL, NULL, NULL, NULL),
            ALL(MIN, k_min_f32, NULL, k_min_i32, NULL, NULL, NULL),
            ALL(MAX, k_max_f32, NULL, k_max_i32, NULL, NULL, NULL),
            ALL(AND, NULL, NULL, k_and_i32, k_and_i32, NULL, NULL),
            ALL(OR, NULL, NULL, k_or_i32, k_or_i32, NULL, NULL),
            ALL(XOR, NULL, NULL, k_xor_i32, k_xor_i32, NULL, NULL),
            ALL(EQ, k_eq_f32, k_eq_f64, k_eq_i32, k_eq_i32, k_eq_i64, k_eq_i64),
            ALL(NE, k_ne_f32, k_ne_f64, k_ne_i32, k_ne_i32, k_ne_i64, k_ne_i64),
            ALL(LT, k_lt_f32, k_lt_f64, k_lt_i32, NULL, k_lt_i64, NULL),
            ALL(LE, k_le_f32, k_le_f64, k_le_i32, NULL, k_le_i64, NULL),
            ALL(SELECT, k_select_32, k_select_64, k_select_32, k_select_32, k_select_64,
                k_select_64),
            ALL(MULADD, k_fma_f32, NULL, k_muladd_i32, k_muladd_i32, NULL, NULL),
            F(FMA, k_fma_f32),
            F(ATAN2, k_atan2_f32),
            F(NEG, k_neg_f32),
            F(ABS, k_abs_f32),
            F(SIGN, k_sign_f32),
            F(SQRT, k_sqrt_f32),
            F(RSQRT, k_rsqrt_f32),
            F(RECIP, k_recip_f32),
            F(EXP, k_exp_f32),
            F(EXP2, k_exp2_f32),
            F(EXPM1, k_expm1_f32),
            F(LOG, k_log_f32),
            F(LOG2, k_log2_f32),
            F(LOG10, k_log10_f32),
            F(LOG1P, k_log1p_f32),
            F(SIN, k_sin_f32),
            F(COS, k_cos_f32),
            F(TAN, k_tan_f32),
            F(ASIN, k_asin_f32),
            F(ACOS, k_acos_f32),
            F(ATAN, k_atan_f32),
            F(SINH, k_sinh_f32),
            F(COSH, k_cosh_f32),
            F(TANH, k_tanh_f32),
            F(ASINH, k_asinh_f32),
            F(ACOSH, k_acosh_f32),
            F(ATANH, k_atanh_f32),
            F(SIGMOID, k_sigmoid_f32),
            F(ERF, k_erf_f32),
            F(FLOOR, k_floor_f32),
            F(CEIL, k_ceil_f32),
            F(ROUND_EVEN, k_round_even_f32),
            F(TRUNC, k_trunc_f32),
            F(ISNAN, k_isnan_f32),
            F(ISINF, k_isinf_f32),
            F(NARROW, k_narrow),
            F(SILU, k_silu),
            F(SILU_MUL, k_silu_mul),
            F(GELU_ERF, k_gelu_erf),
            F(GELU_TANH, k_gelu_tanh),
            F(EXP_SUB, k_exp_sub),
            F(RELU, k_relu),
            F(SUB_SQUARE, k_sub_square),
            F(NORM_AFFINE, k_norm_affine),
            F(QUANTIZE, k_quantize),
            F(SUB_MUL, k_sub_mul),
        },
    .convert = {[TVI_TILE_F32] = {[TVI_TILE_I32] = c_f32_i32},
                [TVI_TILE_I32] = {[TVI_TILE_F32] = c_i32_f32, [TVI_TILE_U32] = k_copy_4},
                [TVI_TILE_U32] = {[TVI_TILE_I32] = k_copy_4}},
    .row_reduce = {[TVI_TILE_JOIN_SUM] = row_sum,
                   [TVI_TILE_JOIN_MIN] = row_min,
                   [TVI_TILE_JOIN_MAX] = row_max},
    .row_sum_square = row_sum_square,
    .row_sum_product = row_sum_product,
    .copy4 = k_copy_4,
    .copy8 = k_copy_8,
    .widen = {[TRIVET_DTYPE_I8] = widen_i8,
              [TRIVET_DTYPE_U8] = widen_u8,
              [TRIVET_DTYPE_I16] = widen_i16,
              [TRIVET_DTYPE_U16] = widen_u16,
              [TRIVET_DTYPE_BOOL] = widen_bool,
              [TRIVET_DTYPE_F16] = widen_f16,
              [TRIVET_DTYPE_BF16] = widen_bf16},
    .narrow = {[TRIVET_DTYPE_I8] = narrow_i8,
               [TRIVET_DTYPE_U8] = narrow_i8,
               [TRIVET_DTYPE_I16] = narrow_i16,
               [TRIVET_DTYPE_U16] = narrow_i16,
               [TRIVET_DTYPE_BOOL] = narrow_bool,
               [TRIVET_DTYPE_F16] = narrow_f16,
               [TRIVET_DTYPE_BF16] = narrow_bf16},
    .transpose4 = transpose4,
};

#endif  // TRIVET_RUNTIME_DEVICE_CPU_TILE_VECTOR_BODY_H_
