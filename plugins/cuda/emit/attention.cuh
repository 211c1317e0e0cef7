// SPDX-License-Identifier: Apache-2.0
//
// Attention in one pass over the keys, with the largest score and the sum of exponentials of each
// row kept up to date. The printer puts it behind prelude.cuh and a list of constants (TVA_*), and
// writes the entries that fill tva_args. Knows no graph and no plan.
//
// Rows are pairs of query and head: of one head, or (TVA_PACK) of all heads that share a key head.
// A block has TVA_WM x TVA_WN warps; a warp has TVA_MT tiles of 16 rows and looks at TVA_BN keys at
// a time, the TVA_WN warps of the same rows at different keys; what they find is joined at the end.
// TVA_SPLIT: blocks share the keys of a row, too, and a second kernel joins.

#ifndef TRIVET_EMULATION
TV_DEVICE unsigned tva_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }
TV_DEVICE void tva_copy16(void* to, const void* from, bool valid) {
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(tva_address(to)), "l"(from),
               "r"(bytes)
               : "memory");
}
TV_DEVICE void tva_copies_end() { asm volatile("cp.async.commit_group;" ::: "memory"); }
TV_DEVICE void tva_copies_wait() { asm volatile("cp.async.wait_group 0;" ::: "memory"); }
TV_DEVICE float tva_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
TV_DEVICE void tva_matrices(unsigned (&r)[4], const void* p) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(tva_address(p))
               : "memory");
}
TV_DEVICE void tva_matrices_turned(unsigned (&r)[4], const void* p) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(tva_address(p))
               : "memory");
}
TV_DEVICE void tva_product(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  if (TVA_TYPE == 0)
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
TV_DEVICE unsigned tva_pack(float low, float high) {
  unsigned r;
  if (TVA_TYPE == 0)
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  else
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
TV_DEVICE void tva_product_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
TV_DEVICE unsigned tva_tf32(float f) {
  unsigned r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(f));
  return r;
}
#define TV_ROLL _Pragma("unroll 1")
#define TVA_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#endif

#if TVA_TYPE == 2
typedef float tva_t;
#else
typedef unsigned short tva_t;
#endif

struct tva_args {
  const tva_t *q, *k, *v, *past_k, *past_v;
  const void* mask;
  const long long* lengths;
  tva_t* out;
  float* partial;
  // Strides in elements: batch, head, position, component.
  long long q_b, q_h, q_i, q_d, k_b, k_h, k_j, k_d, v_b, v_h, v_j, v_e, out_b, out_h, out_i, out_e;
  long long past_k_b, past_k_h, past_k_j, past_k_d, past_v_b, past_v_h, past_v_j, past_v_e;
  long long mask_b, mask_h, mask_i, mask_j, lengths_b;
  long long upper, lower;
  int batch, heads, share, queries, keys, past, mask_length, splits;
};

// What a block and its threads work on.
struct tva_place {
  int b, unit, key_head, split;  // |unit|: a head, or a key head with TVA_PACK
  int row0, rows;                // first row of the block; rows of the unit
  int begin, end;                // keys that any row of the block may see
  int tile0, tile1;              // tiles of TVA_STEP keys
  int length;                    // keys that exist
  int lower, upper;              // query i sees keys from i + lower up to before i + upper
};

TV_DEVICE int tva_head(const tva_args& a, const tva_place& p, int row) {
  return TVA_PACK ? p.unit * a.share + row % a.share : p.unit;
}
TV_DEVICE int tva_query(const tva_args& a, int row) { return TVA_PACK ? row / a.share : row; }
TV_DEVICE long long tva_least(long long a, long long b) { return a < b ? a : b; }
TV_DEVICE long long tva_most(long long a, long long b) { return a > b ? a : b; }

TV_DEVICE int tva_see_end(const tva_place& p, int query) {
  return TVA_UPPER ? max(0, min(p.length, query + p.upper)) : p.length;
}
TV_DEVICE int tva_see_begin(const tva_place& p, int query) {
  return TVA_LOWER ? max(0, min(p.length, query + p.lower)) : 0;
}
// Bounds beyond all sizes stay there.
TV_DEVICE int tva_limit(long long bound) {
  return (int)tva_least(1 << 30, tva_most(-(1 << 30), bound));
}

TV_DEVICE tva_place tva_find_place(const tva_args& a, int x) {
  tva_place p;
  const int units = TVA_PACK ? a.heads / a.share : a.heads;
  p.rows = TVA_PACK ? a.queries * a.share : a.queries;
  const int tiles = (p.rows + TVA_BM - 1) / TVA_BM;
  p.split = 0;
  if (TVA_SPLIT) {
    p.split = x % a.splits;
    x /= a.splits;
  }
  int tile;
  if (TVA_UPPER) {
    // The last rows see the most keys: they begin first.
    tile = tiles - 1 - x / (units * a.batch);
    x %= units * a.batch;
  } else {
    tile = x % tiles;
    x /= tiles;
  }
  p.b = x / units;
  p.unit = x % units;
  p.key_head = TVA_PACK ? p.unit : p.unit / a.share;
  p.row0 = tile * TVA_BM;
  p.length = a.keys;
  long long shift = 0;
  if (TVA_LENGTH) {
    const long long n = a.lengths[p.b * a.lengths_b];
    if (TVA_LENGTH & 1) p.length = (int)tva_most(0, tva_least(n, a.keys));
    if (TVA_LENGTH & 2) shift = n;
  }
  p.upper = TVA_UPPER ? tva_limit(a.upper + shift + 1) : 0;
  p.lower = TVA_LOWER ? tva_limit(a.lower + shift) : 0;
  if (TVA_MASK_PART) p.length = (int)tva_least(p.length, a.mask_length);
  const int last = (int)tva_least(p.row0 + TVA_BM, p.rows) - 1;
  p.begin = tva_see_begin(p, tva_query(a, p.row0));
  p.end = tva_see_end(p, tva_query(a, last));
  p.tile0 = p.begin / TVA_STEP;
  p.tile1 = p.end > p.begin ? (p.end + TVA_STEP - 1) / TVA_STEP : p.tile0;
  if (TVA_SPLIT) {
    const int each = (p.tile1 - p.tile0 + a.splits - 1) / a.splits;
    p.tile0 += p.split * each;
    p.tile1 = (int)tva_most(p.tile0, tva_least(p.tile1, p.tile0 + each));
  }
  return p;
}

// ---- Tiles of keys and values in shared memory: TVA_STEP rows of TVA_KS and TVA_VS elements.

template <int VECTOR, int WIDTH, int PADDED, int STRIDE>
TV_DEVICE void tva_load_rows(tva_t* to, const tva_t* from, const tva_t* past, long long row_stride,
                             long long stride, long long past_row_stride, long long past_stride,
                             int past_rows, int first, int end) {
  const int each = VECTOR ? 16 / (int)sizeof(tva_t) : 1, pieces = PADDED / each;
  const int count = TVA_STEP * pieces;
  if (VECTOR && !TVA_PAST && TVA_THREADS % pieces == 0) {
    // A thread stays in its column. Rows behind the end give zeros and are not read.
    const int rows = TVA_THREADS / pieces, row = (int)threadIdx.x / pieces;
    const int d = (int)threadIdx.x % pieces * each, left = d < WIDTH ? end - first - row : 0;
    const tva_t* source = from + (first + row) * row_stride + d;
    TV_UNROLL
    for (int n = 0; n < TVA_STEP; n += rows) {
      if (TVA_STEP % rows != 0 && n + row >= TVA_STEP) break;
      tva_copy16(to + (n + row) * STRIDE + d, source + n * row_stride, n < left);
    }
    return;
  }
  if (VECTOR) {
    TV_UNROLL
    for (int c0 = 0; c0 < count; c0 += TVA_THREADS) {
      const int c = c0 + (int)threadIdx.x;
      if (count % TVA_THREADS != 0 && c >= count) break;
      const int row = c / pieces, d = c % pieces * each, j = first + row;
      const bool valid = j < end && d < WIDTH;
      const tva_t* source = from;
      if (valid) {
        source = TVA_PAST && j < past_rows
                     ? past + j * past_row_stride + d
                     : from + (j - (TVA_PAST ? past_rows : 0)) * row_stride + d;
      }
      tva_copy16(to + row * STRIDE + d, source, valid);
    }
    return;
  }
  TV_ROLL
  for (int c = (int)threadIdx.x; c < count; c += TVA_THREADS) {
    const int row = c / pieces, d = c % pieces, j = first + row;
    tva_t value = 0;
    if (j < end && d < WIDTH) {
      value = TVA_PAST && j < past_rows
                  ? past[j * past_row_stride + d * past_stride]
                  : from[(j - (TVA_PAST ? past_rows : 0)) * row_stride + d * stride];
    }
    to[row * STRIDE + d] = value;
  }
}

template <int VECTOR>
TV_DEVICE void tva_load_tile(const tva_args& a, const tva_place& p, tva_t* stage, int tile) {
  const int first = tile * TVA_STEP;
  tva_load_rows<VECTOR, TVA_D, TVA_DP, TVA_KS>(
      stage, a.k + p.b * a.k_b + p.key_head * a.k_h,
      TVA_PAST ? a.past_k + p.b * a.past_k_b + p.key_head * a.past_k_h : a.k, a.k_j, a.k_d,
      a.past_k_j, a.past_k_d, a.past, first, p.end);
  tva_load_rows<VECTOR, TVA_E, TVA_EP, TVA_VS>(
      stage + TVA_STEP * TVA_KS, a.v + p.b * a.v_b + p.key_head * a.v_h,
      TVA_PAST ? a.past_v + p.b * a.past_v_b + p.key_head * a.past_v_h : a.v, a.v_j, a.v_e,
      a.past_v_j, a.past_v_e, a.past, first, p.end);
  if (VECTOR) tva_copies_end();
}

// ---- Queries in registers: fragments of 16 rows by 16 components (8 of f32, where the components
// 2t and 2t + 1 of a thread stand in the places t and t + 4; keys are read alike).

#if TVA_TYPE == 2
#define TVA_K 8
#else
#define TVA_K 16
#endif

template <int VECTOR>
TV_DEVICE void tva_load_queries(const tva_args& a, const tva_place& p, int row0,
                                unsigned (&q)[TVA_DP / TVA_K][4]) {
  const int lane = (int)threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  TV_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int row = row0 + g + 8 * half;
    const bool inside = row < p.rows;
    const int safe = inside ? row : p.row0;
    const tva_t* from = a.q + p.b * a.q_b + tva_head(a, p, safe) * a.q_h + tva_query(a, safe) * a.q_i;
    TV_UNROLL
    for (int kk = 0; kk < TVA_DP / TVA_K; ++kk) {
      TV_UNROLL
      for (int side = 0; side < 2; ++side) {
        unsigned value = 0;
        if (TVA_TYPE == 2) {
          const int d = kk * TVA_K + 2 * t + side;
          if (inside && d < TVA_D) value = tv_bits((float)from[d * (VECTOR ? 1 : a.q_d)]);
        } else {
          const int d = kk * TVA_K + 2 * t + 8 * side;
          if (inside && d < TVA_D) {
            if (VECTOR)
              value = *(const unsigned*)(from + d);
            else
              value = (unsigned)from[d * a.q_d] | (unsigned)from[(d + 1) * a.q_d] << 16;
          }
        }
        q[kk][half + 2 * side] = value;
      }
    }
  }
}

// f32 as two numbers of the tensor cores' precision, whose sum is near enough.
struct tva_pair {
  unsigned high, low;
};
TV_DEVICE tva_pair tva_divide(float f) {
  tva_pair r;
  r.high = tva_tf32(f);
  r.low = tva_tf32(f - tv_from_bits(r.high));
  return r;
}
TV_DEVICE void tva_product_f32(float (&c)[4], const tva_pair (&a)[4], const tva_pair (&b)[2]) {
  const unsigned high[4] = {a[0].high, a[1].high, a[2].high, a[3].high};
  const unsigned low[4] = {a[0].low, a[1].low, a[2].low, a[3].low};
  const unsigned b_high[2] = {b[0].high, b[1].high}, b_low[2] = {b[0].low, b[1].low};
  // Tensor cores cut off what they add to a sum: the long sums are not left to them.
  float part[4] = {0.0f, 0.0f, 0.0f, 0.0f};
  tva_product_tf32(part, low, b_high);
  tva_product_tf32(part, high, b_low);
  tva_product_tf32(part, high, b_high);
  TV_UNROLL
  for (int i = 0; i < 4; ++i) c[i] += part[i];
}

// s[m][n] += q k' for the warp's keys, which begin at |keys|.
TV_DEVICE void tva_scores(float (&s)[TVA_MT][TVA_BN / 8][4],
                          const unsigned (&q)[TVA_MT][TVA_DP / TVA_K][4], const tva_t* keys) {
  const int lane = (int)threadIdx.x & 31, g = lane >> 2, t = lane & 3;
#if TVA_TYPE == 2
  TV_UNROLL
  for (int kk = 0; kk < TVA_DP / 8; ++kk) {
    tva_pair a[TVA_MT][4];
    TV_UNROLL
    for (int m = 0; m < TVA_MT; ++m) {
      TV_UNROLL
      for (int i = 0; i < 4; ++i) a[m][i] = tva_divide(tv_from_bits(q[m][kk][i]));
    }
    TV_UNROLL
    for (int n = 0; n < TVA_BN / 8; ++n) {
      const tva_t* at = keys + (n * 8 + g) * TVA_KS + kk * 8 + 2 * t;
      const tva_pair b[2] = {tva_divide(at[0]), tva_divide(at[1])};
      TV_UNROLL
      for (int m = 0; m < TVA_MT; ++m) tva_product_f32(s[m][n], a[m], b);
    }
  }
#else
  // Rows 0-7 and 8-15 of the keys, components 0-7 and 8-15 of them.
  const tva_t* at = keys + ((lane & 7) + (lane >> 4) * 8) * TVA_KS + (lane >> 3 & 1) * 8;
  TV_UNROLL
  for (int kk = 0; kk < TVA_DP / 16; ++kk) {
    TV_UNROLL
    for (int n = 0; n < TVA_BN / 16; ++n) {
      unsigned b[4];
      tva_matrices(b, at + n * 16 * TVA_KS + kk * 16);
      TV_UNROLL
      for (int m = 0; m < TVA_MT; ++m) {
        tva_product(s[m][2 * n], q[m][kk], b[0], b[1]);
        tva_product(s[m][2 * n + 1], q[m][kk], b[2], b[3]);
      }
    }
  }
  (void)g, (void)t;
#endif
}

// o[m][n] += s v for the warp's keys.
TV_DEVICE void tva_mix(float (&o)[TVA_MT][TVA_EP / 8][4],
                       const float (&s)[TVA_MT][TVA_BN / 8][4], const tva_t* values) {
  const int lane = (int)threadIdx.x & 31, g = lane >> 2, t = lane & 3;
#if TVA_TYPE == 2
  TV_UNROLL
  for (int kk = 0; kk < TVA_BN / 8; ++kk) {
    tva_pair a[TVA_MT][4];
    TV_UNROLL
    for (int m = 0; m < TVA_MT; ++m) {
      a[m][0] = tva_divide(s[m][kk][0]);
      a[m][1] = tva_divide(s[m][kk][2]);
      a[m][2] = tva_divide(s[m][kk][1]);
      a[m][3] = tva_divide(s[m][kk][3]);
    }
    TV_UNROLL
    for (int n = 0; n < TVA_EP / 8; ++n) {
      const tva_t* at = values + (kk * 8 + 2 * t) * TVA_VS + n * 8 + g;
      const tva_pair b[2] = {tva_divide(at[0]), tva_divide(at[TVA_VS])};
      TV_UNROLL
      for (int m = 0; m < TVA_MT; ++m) tva_product_f32(o[m][n], a[m], b);
    }
  }
#else
  const tva_t* at = values + (lane & 15) * TVA_VS + (lane >> 4) * 8;
  TV_UNROLL
  for (int kk = 0; kk < TVA_BN / 16; ++kk) {
    unsigned a[TVA_MT][4];
    TV_UNROLL
    for (int m = 0; m < TVA_MT; ++m) {
      a[m][0] = tva_pack(s[m][2 * kk][0], s[m][2 * kk][1]);
      a[m][1] = tva_pack(s[m][2 * kk][2], s[m][2 * kk][3]);
      a[m][2] = tva_pack(s[m][2 * kk + 1][0], s[m][2 * kk + 1][1]);
      a[m][3] = tva_pack(s[m][2 * kk + 1][2], s[m][2 * kk + 1][3]);
    }
    TV_UNROLL
    for (int n = 0; n < TVA_EP / 16; ++n) {
      unsigned b[4];
      tva_matrices_turned(b, at + kk * 16 * TVA_VS + n * 16);
      TV_UNROLL
      for (int m = 0; m < TVA_MT; ++m) {
        tva_product(o[m][2 * n], a[m], b[0], b[1]);
        tva_product(o[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
  (void)g, (void)t;
#endif
}

// ---- Scores that are hidden, capped or have something added.

TV_DEVICE float tva_mask_at(const tva_args& a, long long at) {
  if (TVA_MASK == 2) return tv_f16_to_f32(((const unsigned short*)a.mask)[at]);
  if (TVA_MASK == 3) return tv_from_bits((unsigned)((const unsigned short*)a.mask)[at] << 16);
  return ((const float*)a.mask)[at];
}

TV_DEVICE void tva_change(const tva_args& a, const tva_place& p,
                          float (&s)[TVA_MT][TVA_BN / 8][4], int row0, int key0) {
  const int lane = (int)threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  const int last = (int)tva_least(row0 + 16 * TVA_MT, p.rows) - 1;
  // Most tiles are seen whole.
  const bool whole = key0 + TVA_BN <= tva_see_end(p, tva_query(a, row0)) &&
                     key0 >= tva_see_begin(p, tva_query(a, last));
  if (!TVA_MASK && !TVA_EXPLICIT && whole) return;
  TV_UNROLL
  for (int m = 0; m < TVA_MT; ++m) {
    TV_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int row = (int)tva_least(row0 + m * 16 + g + 8 * half, p.rows - 1);
      const int query = tva_query(a, row);
      const int begin = tva_see_begin(p, query), end = tva_see_end(p, query);
      const long long mask = TVA_MASK ? p.b * a.mask_b + tva_head(a, p, row) * a.mask_h +
                                            query * a.mask_i
                                      : 0;
      TV_UNROLL
      for (int n = 0; n < TVA_BN / 8; ++n) {
        TV_UNROLL
        for (int side = 0; side < 2; ++side) {
          float& x = s[m][n][2 * half + side];
          const int j = key0 + n * 8 + 2 * t + side;
          bool seen = j >= begin && j < end;
          if (TVA_EXPLICIT) {
            x *= TVA_SCALE;
            if (TVA_CAP > 0.0f) x = TVA_CAP * tanhf(x * (1.0f / TVA_CAP));
          }
          if (TVA_MASK == 1 && seen) seen = ((const unsigned char*)a.mask)[mask + j * a.mask_j] != 0;
          if (TVA_MASK > 1 && seen) x += tva_mask_at(a, mask + j * a.mask_j);
          if (!seen) x = -TVA_INFINITY;
        }
      }
    }
  }
}

// exp(x - most) where |x| may still have to be scaled: exp2 of what is in units of TVA_C.
TV_DEVICE float tva_power(float x, float most) {
  return tva_exp2(TVA_EXPLICIT ? (x - most) * TVA_C : fmaf(x, TVA_C, -most * TVA_C));
}

// The softmax of a tile: s becomes exp(s - most), o and |sum| shrink as |most| grows.
TV_DEVICE void tva_soften(float (&s)[TVA_MT][TVA_BN / 8][4], float (&o)[TVA_MT][TVA_EP / 8][4],
                          float (&most)[TVA_MT][2], float (&sum)[TVA_MT][2]) {
  TV_UNROLL
  for (int m = 0; m < TVA_MT; ++m) {
    TV_UNROLL
    for (int half = 0; half < 2; ++half) {
      float peak = most[m][half];
      TV_UNROLL
      for (int n = 0; n < TVA_BN / 8; ++n)
        peak = fmaxf(peak, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
      peak = fmaxf(peak, tv_from_bits(tv_shuffle_xor(tv_bits(peak), 1)));
      peak = fmaxf(peak, tv_from_bits(tv_shuffle_xor(tv_bits(peak), 2)));
      const float base = peak == -TVA_INFINITY ? 0.0f : peak;
      const float shrink = tva_power(most[m][half], base);
      float part = 0.0f;
      TV_UNROLL
      for (int n = 0; n < TVA_BN / 8; ++n) {
        TV_UNROLL
        for (int side = 0; side < 2; ++side) {
          float& x = s[m][n][2 * half + side];
          x = tva_power(x, base);
          part += x;
        }
      }
      most[m][half] = peak;
      sum[m][half] = sum[m][half] * shrink + part;
      TV_UNROLL
      for (int n = 0; n < TVA_EP / 8; ++n) {
        o[m][n][2 * half] *= shrink;
        o[m][n][2 * half + 1] *= shrink;
      }
    }
  }
}

// ---- Results.

template <int VECTOR>
TV_DEVICE void tva_store2(const tva_args& a, tva_t* to, int e, float x, float y) {
  if (e >= TVA_E) return;
#if TVA_TYPE == 2
  const long long step = VECTOR ? 1 : a.out_e;
  to[e * step] = x;
  to[(e + 1) * step] = y;
#else
  const unsigned both = tva_pack(x, y);
  if (VECTOR) {
    *(unsigned*)(to + e) = both;
  } else {
    to[e * a.out_e] = (tva_t)both;
    to[(e + 1) * a.out_e] = (tva_t)(both >> 16);
  }
#endif
}

TV_DEVICE tva_t* tva_out(const tva_args& a, const tva_place& p, int row) {
  return a.out + p.b * a.out_b + tva_head(a, p, row) * a.out_h + tva_query(a, row) * a.out_i;
}
// Of blocks that share a row: TVA_EP sums, the largest score, the sum of exponentials.
TV_DEVICE float* tva_partial(const tva_args& a, const tva_place& p, int row) {
  const long long units = (long long)a.batch * (TVA_PACK ? a.heads / a.share : a.heads);
  const long long unit = (long long)p.b * (TVA_PACK ? a.heads / a.share : a.heads) + p.unit;
  return a.partial + ((p.split * units + unit) * p.rows + row) * (TVA_EP + 4);
}

// Two neighbouring elements of a row, whose sums may still be of a part of the keys.
template <int VECTOR>
TV_DEVICE void tva_finish2(const tva_args& a, const tva_place& p, int row, int e, float x, float y,
                           float most, float sum) {
  if (row >= p.rows) return;
  if (TVA_SPLIT) {
    float* to = tva_partial(a, p, row);
    to[e] = x;
    to[e + 1] = y;
    if (e == 0) to[TVA_EP] = most, to[TVA_EP + 1] = sum;
    return;
  }
  const float by = sum == 0.0f ? 0.0f : 1.0f / sum;
  tva_store2<VECTOR>(a, tva_out(a, p, row), e, x * by, y * by);
}

// Joins what warps of the same rows found, through shared memory.
template <int VECTOR>
TV_DEVICE void tva_join(const tva_args& a, const tva_place& p, float* shared,
                        const float (&o)[TVA_MT][TVA_EP / 8][4], const float (&most)[TVA_MT][2],
                        const float (&sum)[TVA_MT][2], int wm, int wn) {
  const int lane = (int)threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  float* states = shared + TVA_WN * TVA_BM * TVA_RS;
  __syncthreads();
  TV_UNROLL
  for (int m = 0; m < TVA_MT; ++m) {
    TV_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int row = wn * TVA_BM + (wm * TVA_MT + m) * 16 + g + 8 * half;
      TV_UNROLL
      for (int n = 0; n < TVA_EP / 8; ++n) {
        shared[row * TVA_RS + n * 8 + 2 * t] = o[m][n][2 * half];
        shared[row * TVA_RS + n * 8 + 2 * t + 1] = o[m][n][2 * half + 1];
      }
      if (t == 0) states[2 * row] = most[m][half], states[2 * row + 1] = sum[m][half];
    }
  }
  __syncthreads();
  for (int c = (int)threadIdx.x; c < TVA_BM * TVA_EP / 2; c += TVA_THREADS) {
    const int row = c / (TVA_EP / 2), e = c % (TVA_EP / 2) * 2;
    float peak = -TVA_INFINITY, x = 0.0f, y = 0.0f, total = 0.0f;
    TV_UNROLL
    for (int w = 0; w < TVA_WN; ++w) peak = fmaxf(peak, states[2 * (w * TVA_BM + row)]);
    const float base = peak == -TVA_INFINITY ? 0.0f : peak;
    TV_UNROLL
    for (int w = 0; w < TVA_WN; ++w) {
      const int from = w * TVA_BM + row;
      const float weight = tva_power(states[2 * from], base);
      x += shared[from * TVA_RS + e] * weight;
      y += shared[from * TVA_RS + e + 1] * weight;
      total += states[2 * from + 1] * weight;
    }
    tva_finish2<VECTOR>(a, p, p.row0 + row, e, x, y, peak, total);
  }
}

// ---- The kernels.

template <int VECTOR>
TV_DEVICE void tva_forward(const tva_args& a, unsigned char* shared) {
  const int warp = (int)threadIdx.x >> 5, wm = warp % TVA_WM, wn = warp / TVA_WM;
  const int lane = (int)threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  const tva_place p = tva_find_place(a, (int)blockIdx.x);
  const int row0 = p.row0 + wm * TVA_MT * 16;
  // Two tiles in turn: one is looked at while the next one comes.
  const int turn = TVA_STEP * (TVA_KS + TVA_VS);
  tva_t* const tiles = (tva_t*)shared;
  if (p.tile0 < p.tile1) tva_load_tile<VECTOR>(a, p, tiles, p.tile0);
  unsigned q[TVA_MT][TVA_DP / TVA_K][4];
  float o[TVA_MT][TVA_EP / 8][4], most[TVA_MT][2], sum[TVA_MT][2];
  TV_UNROLL
  for (int m = 0; m < TVA_MT; ++m) {
    tva_load_queries<VECTOR>(a, p, row0 + m * 16, q[m]);
    most[m][0] = most[m][1] = -TVA_INFINITY;
    sum[m][0] = sum[m][1] = 0.0f;
    TV_UNROLL
    for (int n = 0; n < TVA_EP / 8; ++n) {
      TV_UNROLL
      for (int i = 0; i < 4; ++i) o[m][n][i] = 0.0f;
    }
  }
  const int last = (int)tva_least(row0 + 16 * TVA_MT, p.rows) - 1;
  const int begin = row0 < p.rows ? tva_see_begin(p, tva_query(a, row0)) : p.end;
  const int end = row0 < p.rows ? tva_see_end(p, tva_query(a, last)) : 0;
  for (int tile = p.tile0; tile < p.tile1; ++tile) {
    const tva_t* stage = tiles + ((tile - p.tile0) & 1) * turn;
    if (VECTOR) tva_copies_wait();
    __syncthreads();
    if (tile + 1 < p.tile1)
      tva_load_tile<VECTOR>(a, p, tiles + ((tile + 1 - p.tile0) & 1) * turn, tile + 1);
    const int key = wn * TVA_BN, key0 = tile * TVA_STEP + key;
    if (key0 >= end || key0 + TVA_BN <= begin) continue;
    float s[TVA_MT][TVA_BN / 8][4];
    TV_UNROLL
    for (int m = 0; m < TVA_MT; ++m) {
      TV_UNROLL
      for (int n = 0; n < TVA_BN / 8; ++n) {
        TV_UNROLL
        for (int i = 0; i < 4; ++i) s[m][n][i] = 0.0f;
      }
    }
    tva_scores(s, q, stage + key * TVA_KS);
    tva_change(a, p, s, row0, key0);
    tva_soften(s, o, most, sum);
    tva_mix(o, s, stage + TVA_STEP * TVA_KS + key * TVA_VS);
  }
  TV_UNROLL
  for (int m = 0; m < TVA_MT; ++m) {
    TV_UNROLL
    for (int half = 0; half < 2; ++half) {
      float total = sum[m][half];
      total += tv_from_bits(tv_shuffle_xor(tv_bits(total), 1));
      total += tv_from_bits(tv_shuffle_xor(tv_bits(total), 2));
      sum[m][half] = total;
    }
  }
  if (TVA_WN > 1) {
    tva_join<VECTOR>(a, p, (float*)shared, o, most, sum, wm, wn);
    return;
  }
  TV_UNROLL
  for (int m = 0; m < TVA_MT; ++m) {
    TV_UNROLL
    for (int half = 0; half < 2; ++half) {
      TV_UNROLL
      for (int n = 0; n < TVA_EP / 8; ++n)
        tva_finish2<VECTOR>(a, p, row0 + m * 16 + g + 8 * half, n * 8 + 2 * t, o[m][n][2 * half],
                            o[m][n][2 * half + 1], most[m][half], sum[m][half]);
    }
  }
}

// Joins what blocks found: a thread has two elements of a row.
template <int VECTOR>
TV_DEVICE void tva_gather(const tva_args& a) {
  tva_place p;
  const int units = TVA_PACK ? a.heads / a.share : a.heads;
  p.rows = TVA_PACK ? a.queries * a.share : a.queries;
  const long long c = (long long)blockIdx.x * 128 + (int)threadIdx.x;
  const int e = (int)(c % (TVA_EP / 2)) * 2;
  const long long row = c / (TVA_EP / 2);
  if (row >= (long long)a.batch * units * p.rows) return;
  const int at = (int)(row % p.rows);
  p.unit = (int)(row / p.rows % units);
  p.b = (int)(row / p.rows / units);
  float peak = -TVA_INFINITY, x = 0.0f, y = 0.0f, total = 0.0f;
  for (p.split = 0; p.split < a.splits; ++p.split)
    peak = fmaxf(peak, tva_partial(a, p, at)[TVA_EP]);
  const float base = peak == -TVA_INFINITY ? 0.0f : peak;
  for (p.split = 0; p.split < a.splits; ++p.split) {
    const float* from = tva_partial(a, p, at);
    const float weight = tva_power(from[TVA_EP], base);
    x += from[e] * weight;
    y += from[e + 1] * weight;
    total += from[TVA_EP + 1] * weight;
  }
  const float by = total == 0.0f ? 0.0f : 1.0f / total;
  tva_store2<VECTOR>(a, tva_out(a, p, at), e, x * by, y * by);
}
