// SPDX-License-Identifier: Apache-2.0
//
// Attention on Hopper (sm_90a), after attention.cuh, whose places, masks and softmax it uses, and
// wgmma.cuh: the copy engine brings queries, keys and values into shared memory; TVA_GROUPS groups
// of four warps, each with 64 rows, multiply with wgmma. The scores of a tile are computed while
// the exponentials of the tile before are multiplied with its values. Its orders to the copy engine
// are given by a group of its own (TVA_ORDERER), or by the first thread. TVA_TURNS: groups issue
// products in turn, so that one takes exponentials while the other multiplies.

#ifndef TRIVET_EMULATION
// Rows of 128 bytes, swizzled; |groups|: 16-byte units between 64s of the contiguous dimension.
TV_DEVICE unsigned long long tva_describe(const void* p, unsigned groups) {
  return (unsigned long long)((tv_shared(p) & 0x3ffffu) >> 4) | (unsigned long long)groups << 16 |
         64ull << 32 | 1ull << 62;
}
TV_DEVICE void tva_group_wait(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
TV_DEVICE void tva_group_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
TV_DEVICE void tva_publish() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
TV_DEVICE void tva_settle(unsigned (&r)[4]) {
  asm volatile("" : "+r"(r[0]), "+r"(r[1]), "+r"(r[2]), "+r"(r[3])::"memory");
}
#endif

#define TVA_QS (TVA_DP / 64 * TVA_BM * 128)
#define TVA_KB (TVA_DP / 64 * TVA_BN * 128)
#define TVA_VB (TVA_EP / 64 * TVA_BN * 128)
#define TVA_WORKERS (TVA_GROUPS * 128)
// Registers of those who give orders, for those who multiply.
#if TVA_GROUPS == 3
#define TVA_LESS() TV_REGISTERS(dec, 32)
#define TVA_MORE() TV_REGISTERS(inc, 160)
#else
#define TVA_LESS() TV_REGISTERS(dec, 24)
#define TVA_MORE() TV_REGISTERS(inc, 240)
#endif

// Shared memory: queries, then keys and values by stage, then barriers.
struct tvf_memory {
  unsigned char* base;
  TV_DEVICE unsigned char* q() const { return base; }
  TV_DEVICE unsigned char* k(int s) const { return base + TVA_QS + s * (TVA_KB + TVA_VB); }
  TV_DEVICE unsigned char* v(int s) const { return k(s) + TVA_KB; }
  TV_DEVICE unsigned char* bar(int n) const { return k(TVA_STAGES) + n * 8; }
  TV_DEVICE unsigned char* full_q() const { return bar(0); }
  TV_DEVICE unsigned char* full_k(int s) const { return bar(1 + s); }
  TV_DEVICE unsigned char* full_v(int s) const { return bar(1 + TVA_STAGES + s); }
  TV_DEVICE unsigned char* empty_k(int s) const { return bar(1 + 2 * TVA_STAGES + s); }
  TV_DEVICE unsigned char* empty_v(int s) const { return bar(1 + 3 * TVA_STAGES + s); }
};

// A place in the ring of stages.
struct tvf_ring {
  int stage;
  unsigned parity;
  TV_DEVICE void next() {
    if (++stage == TVA_STAGES) {
      stage = 0;
      parity ^= 1u;
    }
  }
};

// Orders a tile of keys and values as soon as its stage is free.
template <class K, class V>
TV_DEVICE void tvf_order(const tvf_memory& m, const tvf_ring& r, const tva_place& p, int tile,
                         K bring_k, V bring_v) {
  tv_barrier_wait(m.empty_k(r.stage), r.parity ^ 1u);
  tv_barrier_expect(m.full_k(r.stage), TVA_KB);
  TV_UNROLL
  for (int x = 0; x < TVA_DP; x += 64)
    bring_k(m.k(r.stage) + x * (TVA_BN * 2), m.full_k(r.stage), x, tile * TVA_BN, p.key_head, p.b);
  tv_barrier_wait(m.empty_v(r.stage), r.parity ^ 1u);
  tv_barrier_expect(m.full_v(r.stage), TVA_VB);
  TV_UNROLL
  for (int x = 0; x < TVA_EP; x += 64)
    bring_v(m.v(r.stage) + x * (TVA_BN * 2), m.full_v(r.stage), x, tile * TVA_BN, p.key_head, p.b);
}

// The largest scores and the sums of a tile; s becomes exp(s - most). |shrink|: what earlier sums
// are multiplied with.
TV_DEVICE void tvf_rise(float (&s)[1][TVA_BN / 8][4], float (&most)[2], float (&sum)[2],
                        float (&shrink)[2]) {
  TV_UNROLL
  for (int half = 0; half < 2; ++half) {
    float peak = most[half];
    TV_UNROLL
    for (int n = 0; n < TVA_BN / 8; ++n)
      peak = fmaxf(peak, fmaxf(s[0][n][2 * half], s[0][n][2 * half + 1]));
    peak = fmaxf(peak, tv_from_bits(tv_shuffle_xor(tv_bits(peak), 1)));
    peak = fmaxf(peak, tv_from_bits(tv_shuffle_xor(tv_bits(peak), 2)));
    const float base = peak == -TVA_INFINITY ? 0.0f : peak;
    shrink[half] = tva_power(most[half], base);
    float part[2] = {0.0f, 0.0f};
    TV_UNROLL
    for (int n = 0; n < TVA_BN / 8; ++n) {
      TV_UNROLL
      for (int side = 0; side < 2; ++side) {
        float& x = s[0][n][2 * half + side];
        x = tva_power(x, base);
        part[side] += x;
      }
    }
    most[half] = peak;
    sum[half] = sum[half] * shrink[half] + (part[0] + part[1]);
  }
}

// Rows of a last tile that hold no values may hold anything: zeros, as they are multiplied, too.
TV_DEVICE void tvf_clear(const tvf_memory& m, const tva_place& p, int stage, int tile) {
  const int rows = p.end - tile * TVA_BN;
  if (rows >= TVA_BN) return;
  for (int c = (int)threadIdx.x; c < (TVA_BN - rows) * (TVA_EP / 8); c += TVA_WORKERS) {
    const int row = rows + c / (TVA_EP / 8), piece = c % (TVA_EP / 8);
    unsigned char* slab = m.v(stage) + piece / 8 * (TVA_BN * 128);
    unsigned* to = (unsigned*)(slab + row * 128 + piece % 8 * 16);
    to[0] = to[1] = to[2] = to[3] = 0;
  }
  tva_publish();
  tva_group_wait(7, TVA_WORKERS);
}

// What a group does with the tiles that come. |orders|, |ordered|: the ring and the next tile of
// the first thread, where that one gives the orders.
template <class K, class V>
TV_DEVICE void tvf_work(const tva_args& a, const tvf_memory& m, const tva_place& p, tvf_ring orders,
                        int ordered, K bring_k, V bring_v) {
  const int warp = (int)threadIdx.x >> 5, group = warp >> 2;
  const int lane = (int)threadIdx.x & 31, g = lane >> 2, t = lane & 3;
  const int row0 = p.row0 + warp * 16, row64 = p.row0 + group * 64;
  float o[TVA_EP / 8][4], s[1][TVA_BN / 8][4], most[2], sum[2], shrink[2];
  unsigned mix[TVA_BN / 16][4];
  most[0] = most[1] = -TVA_INFINITY;
  sum[0] = sum[1] = 0.0f;
  TV_UNROLL
  for (int n = 0; n < TVA_EP / 8; ++n) {
    TV_UNROLL
    for (int i = 0; i < 4; ++i) o[n][i] = 0.0f;
  }
  // Tiles that rows of the group see.
  int begin = p.tile0, end = p.tile1;
  if (TVA_SKIPS) {
    const int last = (int)tva_least(row64 + 64, p.rows) - 1;
    const bool any = row64 < p.rows;
    begin = any ? max(begin, tva_see_begin(p, row64) / TVA_BN) : end;
    end = any ? min(end, (tva_see_end(p, last) + TVA_BN - 1) / TVA_BN) : end;
    begin = min(begin, end);
  }
  const unsigned long long q = tva_describe(m.q() + group * 64 * 128, 1);
  tvf_ring now = {0, 0};
  // A tile's keys are there, and it is the group's turn.
  auto enter = [&](int tile) {
    tv_barrier_wait(m.full_k(now.stage), now.parity);
    if (TVA_CLEAR && (tile + 1) * TVA_BN > p.end) {
      tv_barrier_wait(m.full_v(now.stage), now.parity);
      tvf_clear(m, p, now.stage, tile);
    }
    if (TVA_TURNS) tva_group_wait(1 + group, 256);
  };
  auto leave = [&]() {
    if (TVA_TURNS) tva_group_arrive(2 - group, 256);
  };
  // Orders a tile into the stage of one that is done with.
  auto order = [&]() {
    if (TVA_ORDERER || warp != 0) return;
    if (lane == 0 && ordered < p.tile1) {
      tvf_order(m, orders, p, ordered, bring_k, bring_v);
      orders.next();
      ++ordered;
    }
    __syncwarp();
  };
  auto multiply_keys = [&]() {
    const unsigned long long k = tva_describe(m.k(now.stage), 1);
    tv_wide_begin();
    TV_UNROLL
    for (int d = 0; d < TVA_DP / 16; ++d)
      tva_wide_scores(s[0], q + d / 4 * (TVA_BM * 8) + d % 4 * 2,
                      k + d / 4 * (TVA_BN * 8) + d % 4 * 2, d > 0);
    tv_wide_commit();
  };
  auto multiply_values = [&](const tvf_ring& at) {
    tv_barrier_wait(m.full_v(at.stage), at.parity);
    const unsigned long long v = tva_describe(m.v(at.stage), TVA_BN * 8);
    tv_wide_begin();
    TV_UNROLL
    for (int j = 0; j < TVA_BN / 16; ++j) tva_wide_mix(o, mix[j], v + j * 128, 1);
    tv_wide_commit();
  };
  auto settle_scores = [&]() {
    TV_UNROLL
    for (int n = 0; n < TVA_BN / 8; ++n) tv_settle(s[0][n]);
    if (lane == 0) tv_barrier_arrive(m.empty_k(now.stage));
  };
  auto settle_values = [&](const tvf_ring& at) {
    tv_wide_wait<0>();
    TV_UNROLL
    for (int n = 0; n < TVA_EP / 8; ++n) tv_settle(o[n]);
    TV_UNROLL
    for (int j = 0; j < TVA_BN / 16; ++j) tva_settle(mix[j]);
    if (lane == 0) tv_barrier_arrive(m.empty_v(at.stage));
  };
  auto pack = [&]() {
    TV_UNROLL
    for (int j = 0; j < TVA_BN / 16; ++j) {
      mix[j][0] = tva_pack(s[0][2 * j][0], s[0][2 * j][1]);
      mix[j][1] = tva_pack(s[0][2 * j][2], s[0][2 * j][3]);
      mix[j][2] = tva_pack(s[0][2 * j + 1][0], s[0][2 * j + 1][1]);
      mix[j][3] = tva_pack(s[0][2 * j + 1][2], s[0][2 * j + 1][3]);
    }
  };
  // A tile that only other groups see.
  auto pass = [&](int tile) {
    enter(tile);
    leave();
    tv_barrier_wait(m.full_v(now.stage), now.parity);
    if (lane == 0) {
      tv_barrier_arrive(m.empty_k(now.stage));
      tv_barrier_arrive(m.empty_v(now.stage));
    }
    now.next();
    order();
  };

  if (TVA_TURNS && group == 1) tva_group_arrive(1, 256);
  if (p.tile0 < p.tile1) tv_barrier_wait(m.full_q(), 0);
  int tile = p.tile0;
  if (TVA_SKIPS) {
    TV_ROLL
    for (; tile < begin; ++tile) pass(tile);
  }
  if (tile < end) {
    enter(tile);
    multiply_keys();
    leave();
    tv_wide_wait<0>();
    settle_scores();
    tva_change(a, p, s, row0, tile * TVA_BN);
    tvf_rise(s, most, sum, shrink);
    pack();
    tvf_ring before = now;
    now.next();
    TV_ROLL
    for (++tile; tile < end; ++tile) {
      enter(tile);
      multiply_keys();
      multiply_values(before);
      leave();
      tv_wide_wait<1>();
      settle_scores();
      tva_change(a, p, s, row0, tile * TVA_BN);
      tvf_rise(s, most, sum, shrink);
      settle_values(before);
      TV_UNROLL
      for (int n = 0; n < TVA_EP / 8; ++n) {
        TV_UNROLL
        for (int i = 0; i < 4; ++i) o[n][i] *= shrink[i >> 1];
      }
      pack();
      before = now;
      now.next();
      order();
    }
    multiply_values(before);
    settle_values(before);
    order();
  }
  if (TVA_SKIPS) {
    TV_ROLL
    for (; tile < p.tile1; ++tile) pass(tile);
  }
  // Each turn that was given is taken.
  if (TVA_TURNS && group == 0) tva_group_wait(1, 256);
  // Through the memory of the group's queries, which nobody reads any more, to whole pieces.
  tva_group_wait(3 + group, 128);
  unsigned char* slab = m.q() + warp * 16 * 128;
  TV_UNROLL
  for (int half = 0; half < 2; ++half) {
    float total = sum[half];
    total += tv_from_bits(tv_shuffle_xor(tv_bits(total), 1));
    total += tv_from_bits(tv_shuffle_xor(tv_bits(total), 2));
    const float by = total == 0.0f ? 0.0f : 1.0f / total;
    const int row = g + 8 * half;
    TV_UNROLL
    for (int n = 0; n < TVA_EP / 8; ++n)
      *(unsigned*)(slab + n / 8 * (TVA_BM * 128) + row * 128 + ((n % 8) ^ (row & 7)) * 16 + t * 4) =
          tva_pack(o[n][2 * half] * by, o[n][2 * half + 1] * by);
  }
  __syncwarp();
  TV_UNROLL
  for (int c = lane; c < 16 * (TVA_EP / 8); c += 32) {
    const int row = c / (TVA_EP / 8), n = c % (TVA_EP / 8);
    const unsigned char* from = slab + n / 8 * (TVA_BM * 128) + row * 128;
    if (row0 + row < p.rows && n * 8 < TVA_E)
      *(tv_words*)(tva_out(a, p, row0 + row) + n * 8) =
          *(const tv_words*)(from + ((n % 8) ^ (row & 7)) * 16);
  }
}

template <class Q, class K, class V>
TV_DEVICE void tvf_forward(const tva_args& a, unsigned char* shared, Q bring_q, K bring_k,
                           V bring_v) {
  const tvf_memory m = {shared};
  const tva_place p = tva_find_place(a, (int)blockIdx.x);
  if (threadIdx.x == 0) {
    tv_barrier_init(m.full_q(), 1);
    for (int s = 0; s < TVA_STAGES; ++s) {
      tv_barrier_init(m.full_k(s), 1);
      tv_barrier_init(m.full_v(s), 1);
      tv_barrier_init(m.empty_k(s), TVA_GROUPS * 4);
      tv_barrier_init(m.empty_v(s), TVA_GROUPS * 4);
    }
    tv_barrier_publish();
  }
  __syncthreads();
  tvf_ring orders = {0, 0};
  int ordered = p.tile0;
  auto begin = [&](int end) {
    if (ordered >= p.tile1) return;
    tv_barrier_expect(m.full_q(), TVA_QS);
    TV_UNROLL
    for (int x = 0; x < TVA_DP; x += 64)
      bring_q(m.q() + x * (TVA_BM * 2), m.full_q(), x, p.row0, p.unit, p.b);
    TV_ROLL
    for (; ordered < end; ++ordered) {
      tvf_order(m, orders, p, ordered, bring_k, bring_v);
      orders.next();
    }
  };
#if TVA_ORDERER
  if ((int)threadIdx.x >= TVA_WORKERS) {
    TVA_LESS();
    if ((int)threadIdx.x == TVA_WORKERS) begin(p.tile1);
  } else {
    TVA_MORE();
    tvf_work(a, m, p, orders, ordered, bring_k, bring_v);
  }
#else
  if (threadIdx.x == 0) begin(min(p.tile1, p.tile0 + TVA_STAGES));
  __syncwarp();
  tvf_work(a, m, p, orders, ordered, bring_k, bring_v);
#endif
}
