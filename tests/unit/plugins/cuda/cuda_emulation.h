// SPDX-License-Identifier: Apache-2.0
//
// Stands before a printed CUDA text that a host compiler reads: the threads of a block are fibers
// that take turns at barriers and shuffles. Only for tests: slow, and blind to races.
#ifndef TRIVET_TESTS_UNIT_PLUGINS_CUDA_CUDA_EMULATION_H_
#define TRIVET_TESTS_UNIT_PLUGINS_CUDA_CUDA_EMULATION_H_

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <utility>

#define TRIVET_EMULATION 1
#define __device__
#define __global__
#define __launch_bounds__(...)
#define __cluster_dims__(...)
#define __shared__ static
#define __restrict__
#define TV_DEVICE inline
#define TV_UNROLL
#define TV_BEGIN()
#define TV_AHEAD(p, bytes)

struct tv_dim3 {
  unsigned x;
};
static tv_dim3 threadIdx, blockIdx;
static unsigned tv_blocks;
// Blocks of a cluster run side by side: the threads of block |rank| of it follow those before.
static unsigned tv_rank, tv_cluster = 1;
#define TV_GRID tv_blocks

// ---- Fibers.
enum { TV_MAX_THREADS = 4096, TV_MAX_CLUSTER = 8, TV_STACK = 64 * 1024 };
static ucontext_t tv_fibers[TV_MAX_THREADS], tv_scheduler;
static char* tv_stacks;
static bool tv_done[TV_MAX_THREADS];
static unsigned tv_threads, tv_exchange[TV_MAX_THREADS];
static void (*tv_entry)(void** arguments);
static void** tv_arguments;

static void tv_yield() {
  const unsigned self = threadIdx.x, block = blockIdx.x, rank = tv_rank;
  swapcontext(&tv_fibers[rank * tv_threads + self], &tv_scheduler);
  threadIdx.x = self;
  blockIdx.x = block;
  tv_rank = rank;
}
static void tv_fiber() {
  tv_entry(tv_arguments);
  tv_done[tv_rank * tv_threads + threadIdx.x] = true;
}
// Until |count| threads have come to the barrier of |state|.
static void tv_gather(unsigned* state, unsigned count) {
  const unsigned round = state[1];
  if (++state[0] == count) {
    state[0] = 0;
    ++state[1];
  }
  while (state[1] == round) tv_yield();
}
// All threads of the block take the same way through barriers and shuffles, so that one turn of
// every fiber is one barrier.
static inline void __syncthreads() { tv_yield(); }
static inline unsigned tv_shuffle_xor(unsigned v, int mask) {
  const unsigned self = threadIdx.x;
  tv_exchange[self] = v;
  tv_yield();
  const unsigned other = (self & ~31u) | ((self ^ (unsigned)mask) & 31u);
  const unsigned got = tv_exchange[other];
  tv_yield();
  return got;
}
static inline unsigned tv_shuffle_up(unsigned v, int by) {
  const unsigned self = threadIdx.x;
  tv_exchange[self] = v;
  tv_yield();
  const unsigned got = (self & 31u) >= (unsigned)by ? tv_exchange[self - (unsigned)by] : v;
  tv_yield();
  return got;
}

// ---- Matrices: what the lanes of a warp give each other. A turn of every fiber is one step.
#define TV_UNROLL_BY(n)
#define TV_MEMORY(name) unsigned char* const name = tv_memory[tv_rank]
alignas(1024) static unsigned char tv_memory[TV_MAX_CLUSTER][256 * 1024];
static const void* tv_addresses[TV_MAX_THREADS];
static unsigned tv_fragments[TV_MAX_THREADS][6];
// Warps of one block may be at different places: all lanes must have come.
static unsigned tv_warps[TV_MAX_THREADS / 32][2];
static inline void __syncwarp() {
  tv_gather(tv_warps[(tv_rank * tv_threads + threadIdx.x) / 32], 32);
}
static unsigned tv_of_blocks[TV_MAX_CLUSTER][2], tv_of_cluster[2];
static inline void tv_block_wait() { tv_gather(tv_of_blocks[tv_rank], tv_threads); }
static inline void tv_cluster_wait() { tv_gather(tv_of_cluster, tv_threads * tv_cluster); }
template <int N>
static inline void tv_load_of(float* out, const float* p, int rank) {
  const size_t at = (size_t)((const unsigned char*)p - tv_memory[tv_rank]);
  if (at >= sizeof(tv_memory[0]) || at % (4 * N)) abort();
  memcpy(out, tv_memory[rank] + at, 4 * N);
}
template <int BYTES>
static inline void tv_copy_async(void* to, const void* from, int bytes) {
  if ((uintptr_t)to % BYTES || (uintptr_t)from % (bytes ? BYTES : 1) || bytes > BYTES) abort();
  memset(to, 0, BYTES);
  if (bytes > 0) memcpy(to, from, (size_t)bytes);
}
static inline void tv_copy_commit() {}
template <int N>
static inline void tv_copy_wait() {}
template <bool TRANSPOSED>
static inline void tv_load_matrices(unsigned* r, const void* p) {
  const unsigned self = threadIdx.x, lane = self % 32, warp = self - lane;
  if ((uintptr_t)p % 16) abort();
  tv_addresses[self] = p;
  tv_yield();
  for (unsigned i = 0; i < 4; ++i) {
    unsigned short halves[2];
    for (unsigned h = 0; h < 2; ++h) {
      const unsigned row = TRANSPOSED ? lane % 4 * 2 + h : lane / 4;
      const unsigned column = TRANSPOSED ? lane / 4 : lane % 4 * 2 + h;
      halves[h] = ((const unsigned short*)tv_addresses[warp + i * 8 + row])[column];
    }
    r[i] = halves[0] | (unsigned)halves[1] << 16;
  }
  tv_yield();
}
static inline float tv_of_bits(unsigned u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}
// What an element of 16 bits of each factor adds to a sum: one product, or that of two whole
// numbers each.
template <class T>
static inline float tv_product(const float*, T x, T y) {
  return tv_get(x) * tv_get(y);
}
template <class T>
static inline int tv_product(const int*, T x, T y) {
  return (signed char)x.u * (signed char)y.u + (signed char)(x.u >> 8) * (signed char)(y.u >> 8);
}
// m16n8k16, or k32 of whole numbers, as the instruction set's description spreads it over the
// lanes.
template <class Sum, class T>
static inline void tv_multiply(Sum* c, const unsigned* a, const unsigned* b, T) {
  const unsigned self = threadIdx.x, lane = self % 32, warp = self - lane;
  memcpy(tv_fragments[self], a, 16);
  memcpy(tv_fragments[self] + 4, b, 8);
  tv_yield();
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    for (unsigned k = 0; k < 16; ++k) {
      const unsigned shift = k % 2 * 16;
      T x, y;
      x.u = (unsigned short)(tv_fragments[warp + row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2] >>
                             shift);
      y.u = (unsigned short)(tv_fragments[warp + column * 4 + k % 8 / 2][4 + k / 8] >> shift);
      c[i] += tv_product(c, x, y);
    }
  }
  tv_yield();
}
// m16n8k8 of f32 that have been rounded. The unit does not look at the other bits.
static inline void tv_multiply(float* c, const unsigned* a, const unsigned* b, float) {
  const unsigned self = threadIdx.x, lane = self % 32, warp = self - lane;
  memcpy(tv_fragments[self], a, 16);
  memcpy(tv_fragments[self] + 4, b, 8);
  tv_yield();
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    for (unsigned k = 0; k < 8; ++k) {
      const unsigned x = tv_fragments[warp + row % 8 * 4 + k % 4][row / 8 + k / 4 * 2];
      const unsigned y = tv_fragments[warp + column * 4 + k % 4][4 + k / 4];
      c[i] += tv_of_bits(x & ~0x1fffu) * tv_of_bits(y & ~0x1fffu);
    }
  }
  tv_yield();
}
// To the nearest, ties away from zero.
static inline void tv_round(unsigned* r, float) {
  if ((*r & 0x7f800000u) != 0x7f800000u) *r += 0x1000u;
}

// ---- Hopper: the copy engine, barriers that count bytes, wgmma.
#define __grid_constant__
#define TV_REGISTERS(what, count)
struct tv_map {
  const unsigned char* base;
  int rank, bytes;  // bytes of an element
  int box[5];
  long long extents[5], strides[5];  // strides in bytes
};
struct tv_barrier {
  int count, pending, bytes;
  unsigned parity;
};
static tv_barrier& tv_state(void* p) {
  // Eight bytes of shared memory name a barrier of this table.
  static tv_barrier table[64 * TV_MAX_CLUSTER];
  static int used;
  long long id;
  memcpy(&id, p, 8);
  if (id < 0) {
    id = used++ % (64 * TV_MAX_CLUSTER);
    memcpy(p, &id, 8);
  }
  return table[id];
}
static void tv_barrier_turn(tv_barrier& b) {
  if (b.pending != 0 || b.bytes != 0) return;
  b.parity ^= 1u;
  b.pending = b.count;
}
static inline void tv_barrier_init(void* p, int count) {
  memset(p, 0xff, 8);
  tv_state(p) = {count, count, 0, 0};
}
static inline void tv_barrier_publish() {}
static inline void tv_barrier_arrive(void* p) {
  tv_barrier& b = tv_state(p);
  if (--b.pending < 0) abort();
  tv_barrier_turn(b);
}
static inline void tv_copy_arrive(void* p) { tv_barrier_arrive(p); }
static inline void tv_proxy_fence() {}
static inline void tv_barrier_expect(void* p, int bytes) {
  tv_state(p).bytes += bytes;
  tv_barrier_arrive(p);
}
static inline void tv_barrier_wait(void* p, unsigned parity) {
  while (tv_state(p).parity == (parity & 1u)) tv_yield();
}
template <class... C>
static void tv_box(const tv_map& map, void* to, void* bar, C... coordinates) {
  const int at[5] = {coordinates...};
  if (sizeof...(coordinates) != (size_t)map.rank || map.box[0] * map.bytes != 128 ||
      (uintptr_t)to % 1024)
    abort();
  int count = 1;
  for (int d = 0; d < map.rank; ++d) count *= map.box[d];
  for (int i = 0; i < count; ++i) {
    long long offset = 0;
    bool inside = true;
    for (int d = 0, rest = i; d < map.rank; rest /= map.box[d], ++d) {
      const long long x = at[d] + rest % map.box[d];
      inside = inside && x >= 0 && x < map.extents[d];
      offset += x * map.strides[d];
    }
    unsigned short value = 0;
    if (inside) memcpy(&value, map.base + offset, (size_t)map.bytes);
    const unsigned byte = (unsigned)(i * map.bytes);
    memcpy((unsigned char*)to + (byte ^ (byte >> 7 & 7) << 4), &value, (size_t)map.bytes);
  }
  tv_barrier& b = tv_state(bar);
  b.bytes -= count * map.bytes;
  tv_barrier_turn(b);
}
// Where block |rank| of the cluster has what is at |p| in one's own memory.
static inline void* tv_in_block(const void* p, unsigned rank) {
  const size_t at = (size_t)((const unsigned char*)p - tv_memory[tv_rank]);
  if (at >= sizeof(tv_memory[0]) || rank >= tv_cluster) abort();
  return tv_memory[rank] + at;
}
// Blocks run one after the other: who waits for a later one would wait for ever.
static inline void tv_flag_raise(unsigned* p) { *p = 1; }
static inline void tv_flag_wait(const unsigned* p) {
  if (*p != 1) abort();
}
static inline void tv_wide_begin() {}
static inline void tv_wide_commit() {}
template <int N>
static inline void tv_wide_wait() {}
template <class Sum>
static inline void tv_settle(Sum*) {}
// An address for addresses of descriptors: 16 bytes a unit.
static inline unsigned long long tv_describe(const void* p, unsigned) {
  return (unsigned long long)(uintptr_t)p >> 4;
}
// Element of a factor as wgmma finds it: |x| along m or n, |k|. The bits of the address are
// exchanged, not those of the offset.
template <class T>
static T tv_element(unsigned long long descriptor, bool turned, unsigned x, unsigned k) {
  const uintptr_t base = (uintptr_t)(descriptor << 4);
  uintptr_t byte = turned ? base + x / 64 * 8192 + k / 8 * 1024 + k % 8 * 128 + x % 64 * 2
                          : base + x / 8 * 1024 + x % 8 * 128 + k * 2;
  byte ^= (byte >> 7 & 7) << 4;
  T t;
  memcpy(&t, (const void*)byte, 2);
  return t;
}
template <bool AT, bool BT, class Sum, int F, class T>
static void tv_multiply_wide(Sum (&d)[F][4], unsigned long long a, unsigned long long b, int add,
                             T) {
  const unsigned thread = threadIdx.x % 128, lane = thread % 32;
  for (unsigned i = 0; i < F * 4; ++i) {
    const unsigned row = thread / 32 * 16 + lane / 4 + i % 4 / 2 * 8;
    const unsigned column = i / 4 * 8 + lane % 4 * 2 + i % 2;
    Sum sum = add ? d[i / 4][i % 4] : 0;
    for (unsigned k = 0; k < 16; ++k)
      sum += tv_product(&sum, tv_element<T>(a, AT, row, k), tv_element<T>(b, BT, column, k));
    d[i / 4][i % 4] = sum;
  }
}

static void tv_launch(void (*entry)(void**), void** arguments, unsigned blocks, unsigned threads,
                      unsigned cluster) {
  if (!tv_stacks) tv_stacks = (char*)malloc((size_t)TV_MAX_THREADS * TV_STACK);
  if (cluster == 0) cluster = 1;
  if (blocks % cluster || cluster > TV_MAX_CLUSTER || threads * cluster > TV_MAX_THREADS) abort();
  tv_entry = entry;
  tv_arguments = arguments;
  tv_threads = threads;
  tv_blocks = blocks;
  tv_cluster = cluster;
  const unsigned fibers = threads * cluster;
  for (unsigned b = 0; b < blocks; b += cluster) {
    for (unsigned t = 0; t < fibers; ++t) {
      tv_done[t] = false;
      getcontext(&tv_fibers[t]);
      tv_fibers[t].uc_stack.ss_sp = tv_stacks + (size_t)t * TV_STACK;
      tv_fibers[t].uc_stack.ss_size = TV_STACK;
      tv_fibers[t].uc_link = &tv_scheduler;
      makecontext(&tv_fibers[t], tv_fiber, 0);
    }
    for (bool any = true; any;) {
      any = false;
      for (unsigned t = 0; t < fibers; ++t) {
        if (tv_done[t]) continue;
        any = true;
        threadIdx.x = t % threads;
        tv_rank = t / threads;
        blockIdx.x = b + tv_rank;
        swapcontext(&tv_scheduler, &tv_fibers[t]);
      }
    }
  }
}

// Calls a kernel with arguments that are given as addresses, as the driver does.
template <class... A, size_t... I>
static void tv_apply(void (*f)(A...), void** a, std::index_sequence<I...>) {
  f(*(A*)a[I]...);
}
template <class... A>
static void tv_call(void (*f)(A...), void** a) {
  tv_apply(f, a, std::index_sequence_for<A...>());
}

// ---- What the device has instructions for.
static inline unsigned tv_bits(float f) {
  unsigned u;
  memcpy(&u, &f, 4);
  return u;
}
static inline float tv_from_bits(unsigned u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}
static inline unsigned long long tv_bits(double f) {
  unsigned long long u;
  memcpy(&u, &f, 8);
  return u;
}
static inline double tv_from_bits(unsigned long long u) {
  double f;
  memcpy(&f, &u, 8);
  return f;
}
static inline float tv_f16_to_f32(unsigned short u) {
  const unsigned sign = (unsigned)(u & 0x8000u) << 16, rest = u & 0x7fffu;
  if (rest >= 0x7c00u) return tv_from_bits(sign | 0x7f800000u | ((rest & 0x3ffu) << 13));
  const float magnitude =
      rest < 0x400u ? (float)rest * 0x1p-24f : tv_from_bits((rest << 13) + (112u << 23));
  return tv_from_bits(tv_bits(magnitude) | sign);
}
static inline unsigned short tv_f64_to_f16(double f) {
  const unsigned sign = signbit(f) ? 0x8000u : 0;
  const double a = fabs(f);
  if (a != a) return (unsigned short)(sign | 0x7e00u);
  if (a >= 65520.0) return (unsigned short)(sign | 0x7c00u);
  if (a == 0) return (unsigned short)sign;
  int exponent;
  frexp(a, &exponent);
  if (exponent < -13) return (unsigned short)(sign | (unsigned)rint(a * 0x1p24));
  const unsigned mantissa = (unsigned)rint(ldexp(a, 11 - exponent));  // 1024 .. 2048
  return (unsigned short)(sign | (((unsigned)(exponent + 14) << 10) + (mantissa - 1024u)));
}
static inline unsigned short tv_f32_to_f16(float f) { return tv_f64_to_f16(f); }
static inline unsigned short tv_f32_to_bf16(float f) {
  unsigned u = tv_bits(f);
  if (f != f) return (unsigned short)((u >> 16) | 0x40u);
  u += 0x7fffu + ((u >> 16) & 1u);
  return (unsigned short)(u >> 16);
}
static inline float tv_min(float a, float b) {
  if (a != a) return a;
  if (b != b) return b;
  if (a == b) return signbit(a) ? a : b;
  return a < b ? a : b;
}
static inline float tv_max(float a, float b) {
  if (a != a) return a;
  if (b != b) return b;
  if (a == b) return signbit(a) ? b : a;
  return a > b ? a : b;
}
static inline float tv_odd(double f) {
  float z = (float)f;
  if (f != f || (double)z == f) return z;
  if (fabs((double)z) > fabs(f)) z = tv_from_bits(tv_bits(z) - 1u);
  return tv_from_bits(tv_bits(z) | 1u);
}
static inline float tv_exp2_near(float a) { return exp2f(a); }
static inline float tv_tanh_instruction(float a) { return tanhf(a); }
static inline float tv_recip_near(float a) { return 1.0f / a; }
static inline int __popcll(unsigned long long v) { return __builtin_popcountll(v); }

#endif  // TRIVET_TESTS_UNIT_PLUGINS_CUDA_CUDA_EMULATION_H_
