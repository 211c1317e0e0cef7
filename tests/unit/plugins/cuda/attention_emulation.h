// SPDX-License-Identifier: Apache-2.0
//
// What attention.cuh has instructions for, on a host: warps that go different ways between
// barriers, matrices in fragments. Stands before its text, behind cuda_emulation.h. Only for tests.
#ifndef TRIVET_TESTS_UNIT_PLUGINS_CUDA_ATTENTION_EMULATION_H_
#define TRIVET_TESTS_UNIT_PLUGINS_CUDA_ATTENTION_EMULATION_H_

#include "tests/unit/plugins/cuda/cuda_emulation.h"

#define TV_ROLL
#define TVA_SHARED(name) alignas(16) static unsigned char name[256 * 1024]

// All threads arrive before any goes on. Each takes at least one turn, so that the lanes of a warp
// stay in step.
static unsigned tva_arrived, tva_generation;
static inline void tva_barrier() {
  const unsigned generation = tva_generation;
  if (++tva_arrived == tv_threads) tva_arrived = 0, ++tva_generation;
  do {
    tv_yield();
  } while (generation == tva_generation);
}
#define __syncthreads() tva_barrier()

static inline void tva_copy16(void* to, const void* from, bool valid) {
  if ((uintptr_t)to % 16 || (valid && (uintptr_t)from % 16)) abort();
  memset(to, 0, 16);
  if (valid) memcpy(to, from, 16);
}
static inline void tva_copies_end() {}
static inline void tva_copies_wait() {}
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline float tva_exp2(float x) { return exp2f(x); }

static const void* tva_addresses[TV_MAX_THREADS];
static unsigned tva_fragments[TV_MAX_THREADS][6];
static inline void tva_take(unsigned (&r)[4], const void* p, bool is_turned) {
  const unsigned self = threadIdx.x, lane = self % 32, warp = self - lane;
  if ((uintptr_t)p % 16) abort();
  tva_addresses[self] = p;
  tv_yield();
  for (unsigned i = 0; i < 4; ++i) {
    unsigned both = 0;
    for (unsigned h = 0; h < 2; ++h) {
      const unsigned row = is_turned ? lane % 4 * 2 + h : lane / 4;
      const unsigned column = is_turned ? lane / 4 : lane % 4 * 2 + h;
      both |= (unsigned)((const unsigned short*)tva_addresses[warp + i * 8 + row])[column]
              << (16 * h);
    }
    r[i] = both;
  }
  tv_yield();
}
static inline void tva_matrices(unsigned (&r)[4], const void* p) { tva_take(r, p, false); }
static inline void tva_matrices_turned(unsigned (&r)[4], const void* p) { tva_take(r, p, true); }

static inline void tva_give(const unsigned* a, const unsigned* b, unsigned b_count) {
  memcpy(tva_fragments[threadIdx.x], a, 16);
  memcpy(tva_fragments[threadIdx.x] + 4, b, 4 * b_count);
  tv_yield();
}
static inline float tva_half(unsigned pair, unsigned which) {
  const unsigned short u = (unsigned short)(pair >> (16 * which));
#ifdef TVA_EMULATE_BF16
  return tv_from_bits((unsigned)u << 16);
#else
  return tv_f16_to_f32(u);
#endif
}
// m16n8k16 and m16n8k8, as the description of the instruction set spreads them over lanes.
static inline void tva_product(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x - lane, b[2] = {b0, b1};
  tva_give(a, b, 2);
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    for (unsigned k = 0; k < 16; ++k)
      c[i] += tva_half(tva_fragments[warp + row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2], k % 2) *
              tva_half(tva_fragments[warp + column * 4 + k % 8 / 2][4 + k / 8], k % 2);
  }
  tv_yield();
}
static inline void tva_product_tf32(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x - lane;
  tva_give(a, b, 2);
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    for (unsigned k = 0; k < 8; ++k)
      c[i] += tv_from_bits(tva_fragments[warp + row % 8 * 4 + k % 4][row / 8 + k / 4 * 2]) *
              tv_from_bits(tva_fragments[warp + column * 4 + k % 4][4 + k / 4]);
  }
  tv_yield();
}
// Ten bits behind the point, halves away from zero.
static inline unsigned tva_tf32(float f) { return (tv_bits(f) + 0x1000u) & ~0x1fffu; }
static inline unsigned tva_pack(float low, float high) {
#ifdef TVA_EMULATE_BF16
  return tv_f32_to_bf16(low) | (unsigned)tv_f32_to_bf16(high) << 16;
#else
  return tv_f32_to_f16(low) | (unsigned)tv_f32_to_f16(high) << 16;
#endif
}

// ---- Hopper: what flash.cuh has beside the copy engine and its barriers (cuda_emulation.h).

static int tva_count[16];
static unsigned tva_round[16];
static inline void tva_group_arrive(int id, int threads) {
  if (++tva_count[id] == threads) tva_count[id] = 0, ++tva_round[id];
}
static inline void tva_group_wait(int id, int threads) {
  const unsigned round = tva_round[id];
  tva_group_arrive(id, threads);
  do {
    tv_yield();
  } while (round == tva_round[id]);
}
static inline void tva_publish() {}
static inline void tva_settle(unsigned (&)[4]) {}
// An address, and how far 64s of the contiguous dimension are apart.
static inline unsigned long long tva_describe(const void* p, unsigned groups) {
  return (unsigned long long)(uintptr_t)p >> 4 | (unsigned long long)groups << 48;
}
static inline float tva_element(unsigned long long descriptor, bool is_turned, unsigned x,
                                unsigned k) {
  const uintptr_t base = (uintptr_t)((descriptor & 0xffffffffffffull) << 4);
  uintptr_t byte =
      is_turned ? base + x / 64 * 16 * (descriptor >> 48) + k / 8 * 1024 + k % 8 * 128 + x % 64 * 2
                : base + x / 8 * 1024 + x % 8 * 128 + k * 2;
  byte ^= (byte >> 7 & 7) << 4;
  unsigned short half;
  memcpy(&half, (const void*)byte, 2);
  return tva_half(half, 0);
}
template <int F>
static void tva_wide_scores(float (&d)[F][4], unsigned long long a, unsigned long long b, int add) {
  const unsigned thread = threadIdx.x % 128, lane = thread % 32;
  for (unsigned i = 0; i < F * 4; ++i) {
    const unsigned row = thread / 32 * 16 + lane / 4 + i % 4 / 2 * 8;
    const unsigned column = i / 4 * 8 + lane % 4 * 2 + i % 2;
    float sum = add ? d[i / 4][i % 4] : 0;
    for (unsigned k = 0; k < 16; ++k)
      sum += tva_element(a, false, row, k) * tva_element(b, false, column, k);
    d[i / 4][i % 4] = sum;
  }
}
template <int F>
static void tva_wide_mix(float (&d)[F][4], const unsigned (&a)[4], unsigned long long b, int add) {
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x - lane;
  tva_give(a, a, 0);
  for (unsigned i = 0; i < F * 4; ++i) {
    const unsigned row = lane / 4 + i % 4 / 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
    float sum = add ? d[i / 4][i % 4] : 0;
    for (unsigned k = 0; k < 16; ++k)
      sum += tva_half(tva_fragments[warp + row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2], k % 2) *
             tva_element(b, true, column, k);
    d[i / 4][i % 4] = sum;
  }
  tv_yield();
}

#endif  // TRIVET_TESTS_UNIT_PLUGINS_CUDA_ATTENTION_EMULATION_H_
