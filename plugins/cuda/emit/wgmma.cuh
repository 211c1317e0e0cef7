// SPDX-License-Identifier: Apache-2.0
//
// Matrix products on Hopper (sm_90a), after matmul.cuh: the copy engine brings tiles of the factors
// into shared memory for one or two groups of four warps that multiply with wgmma. One thread of a
// further group gives the copy engine its orders, as far ahead as there is room. Blocks stay and
// take tile after tile. Groups share a tile, or take turns: one multiplies while the other one
// finishes its tile, or finish a tile while the next one is multiplied. Or the blocks of a cluster
// share the sum of a tile and add each other's parts.

#ifndef TRIVET_EMULATION
struct __attribute__((aligned(64))) tv_map { unsigned long long w[16]; };
TV_DEVICE void tv_barrier_init(void* p, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(tv_shared(p)), "r"(count) : "memory");
}
TV_DEVICE void tv_barrier_publish() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
// The one arrival of a stage that fills, and the bytes that it waits for besides.
TV_DEVICE void tv_barrier_expect(void* p, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(tv_shared(p)),
               "r"(bytes) : "memory");
}
TV_DEVICE void tv_barrier_arrive(void* p) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(tv_shared(p)) : "memory");
}
// One arrival once the copies that the thread has begun (tv_copy_async) are there.
TV_DEVICE void tv_copy_arrive(void* p) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(tv_shared(p)) : "memory");
}
// What threads have written to shared memory, before wgmma reads it.
TV_DEVICE void tv_proxy_fence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
TV_DEVICE void tv_barrier_wait(void* p, unsigned parity) {
  int done;
  do {
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
                 "selp.s32 %0, 1, 0, p;\n}"
                 : "=r"(done) : "r"(tv_shared(p)), "r"(parity) : "memory");
  } while (!done);
}
#define TV_BOX(rank, list)                                                                    \
  "cp.async.bulk.tensor." rank "d.shared::cluster.global.tile.mbarrier::complete_tx::bytes " \
  "[%0], [%1, " list "], [%2];"
TV_DEVICE void tv_box(const tv_map& map, void* to, void* bar, int a, int b) {
  asm volatile(TV_BOX("2", "{%3, %4}") ::"r"(tv_shared(to)), "l"(&map), "r"(tv_shared(bar)), "r"(a),
               "r"(b) : "memory");
}
TV_DEVICE void tv_box(const tv_map& map, void* to, void* bar, int a, int b, int c) {
  asm volatile(TV_BOX("3", "{%3, %4, %5}") ::"r"(tv_shared(to)), "l"(&map), "r"(tv_shared(bar)),
               "r"(a), "r"(b), "r"(c) : "memory");
}
TV_DEVICE void tv_box(const tv_map& map, void* to, void* bar, int a, int b, int c, int d) {
  asm volatile(TV_BOX("4", "{%3, %4, %5, %6}") ::"r"(tv_shared(to)), "l"(&map),
               "r"(tv_shared(bar)), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}
TV_DEVICE void tv_box(const tv_map& map, void* to, void* bar, int a, int b, int c, int d, int e) {
  asm volatile(TV_BOX("5", "{%3, %4, %5, %6, %7}") ::"r"(tv_shared(to)), "l"(&map),
               "r"(tv_shared(bar)), "r"(a), "r"(b), "r"(c), "r"(d), "r"(e) : "memory");
}
#define TV_GRID gridDim.x
#define TV_REGISTERS(what, count) asm volatile("setmaxnreg." #what ".sync.aligned.u32 " #count ";")
TV_DEVICE void tv_wide_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
TV_DEVICE void tv_wide_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int N>
TV_DEVICE void tv_wide_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}
// A factor in shared memory, rows of 128 bytes, 16-byte pieces of which change places from row to
// row: |groups| 16-byte units lie between neighbouring 64s of the dimension that is contiguous.
TV_DEVICE unsigned long long tv_describe(const void* p, unsigned groups) {
  return (unsigned long long)((tv_shared(p) & 0x3ffffu) >> 4) | (unsigned long long)groups << 16 |
         64ull << 32 | 1ull << 62;
}
// All threads of all blocks of the cluster.
TV_DEVICE void tv_cluster_wait() {
  asm volatile("barrier.cluster.arrive.release;\nbarrier.cluster.wait.acquire;" ::: "memory");
}
TV_DEVICE void tv_block_wait() { __syncthreads(); }
// |N| floats, 1 or 4, of the shared memory of block |rank| of the cluster; |p| is where they are in
// one's own.
template <int N>
TV_DEVICE void tv_load_of(float* out, const float* p, int rank) {
  unsigned at;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(at) : "r"(tv_shared(p)), "r"(rank));
  if (N == 4)
    asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(out[0]), "=f"(out[N > 1 ? 1 : 0]), "=f"(out[N > 2 ? 2 : 0]),
                   "=f"(out[N > 3 ? 3 : 0]) : "r"(at) : "memory");
  else
    asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(out[0]) : "r"(at) : "memory");
}
#define TV_D(i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
TV_DEVICE void tv_settle(float (&d)[4]) {
  asm volatile("" : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])::"memory");
}
TV_DEVICE void tv_settle(int (&d)[4]) {
  asm volatile("" : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])::"memory");
}
// A flag is raised by one thread for what its warp has written, and waited for by another block.
TV_DEVICE void tv_flag_raise(unsigned* p) {
  asm volatile("fence.acq_rel.gpu;\nst.release.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(1u)
               : "memory");
}
TV_DEVICE void tv_flag_wait(const unsigned* p) {
  unsigned v;
  do asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
  while (!v);
}
// The registers of 8, 16, 24 and 32 pieces of sums: their names in an instruction, and they.
#define TV_NAMES_8 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define TV_NAMES_16 \
  TV_NAMES_8 ", " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define TV_NAMES_24 \
  TV_NAMES_16 ", " \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define TV_NAMES_32 \
  TV_NAMES_24 ", " \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define TV_SUMS_8 TV_D(0), TV_D(1), TV_D(2), TV_D(3), TV_D(4), TV_D(5), TV_D(6), TV_D(7)
#define TV_SUMS_16 \
  TV_SUMS_8, TV_D(8), TV_D(9), TV_D(10), TV_D(11), TV_D(12), TV_D(13), TV_D(14), TV_D(15)
#define TV_SUMS_24 \
  TV_SUMS_16, TV_D(16), TV_D(17), TV_D(18), TV_D(19), TV_D(20), TV_D(21), TV_D(22), TV_D(23)
#define TV_SUMS_32 \
  TV_SUMS_24, TV_D(24), TV_D(25), TV_D(26), TV_D(27), TV_D(28), TV_D(29), TV_D(30), TV_D(31)
// |f| pieces of eight columns; |a| and the numbers behind it are those of the operands in order.
#define TV_MULTIPLY(f, n, type, name, a, b, add, at, bt)                                      \
  template <bool AT, bool BT>                                                                 \
  TV_DEVICE void tv_multiply_wide(float (&d)[f][4], unsigned long long x, unsigned long long y, \
                                  int sum, type) {                                            \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #add ", 0;\n"                           \
                 "wgmma.mma_async.sync.aligned.m64n" #n "k16.f32." #name "." #name " {"       \
                 TV_NAMES_##f "}, %" #a ", %" #b ", p, 1, 1, %" #at ", %" #bt ";\n}"          \
                 : TV_SUMS_##f                                                                \
                 : "l"(x), "l"(y), "r"(sum), "n"(AT ? 1 : 0), "n"(BT ? 1 : 0));               \
  }
#define TV_MULTIPLY_BOTH(f, n, ...)             \
  TV_MULTIPLY(f, n, tv_f16, f16, __VA_ARGS__) \
  TV_MULTIPLY(f, n, tv_bf16, bf16, __VA_ARGS__)
TV_MULTIPLY_BOTH(8, 64, 32, 33, 34, 35, 36)
TV_MULTIPLY_BOTH(16, 128, 64, 65, 66, 67, 68)
TV_MULTIPLY_BOTH(24, 192, 96, 97, 98, 99, 100)
TV_MULTIPLY_BOTH(32, 256, 128, 129, 130, 131, 132)
// Whole numbers, which lie along k only.
#undef TV_D
#define TV_D(i) "+r"(d[i][0]), "+r"(d[i][1]), "+r"(d[i][2]), "+r"(d[i][3])
#define TV_MULTIPLY_WHOLE(f, n, a, b, add)                                                      \
  template <bool AT, bool BT>                                                                   \
  TV_DEVICE void tv_multiply_wide(int (&d)[f][4], unsigned long long x, unsigned long long y,   \
                                  int sum, tv_s8x2) {                                           \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, %" #add ", 0;\n"                             \
                 "wgmma.mma_async.sync.aligned.m64n" #n "k32.s32.s8.s8 {"                       \
                 TV_NAMES_##f "}, %" #a ", %" #b ", p;\n}"                                      \
                 : TV_SUMS_##f                                                                  \
                 : "l"(x), "l"(y), "r"(sum));                                                   \
  }
TV_MULTIPLY_WHOLE(8, 64, 32, 33, 34)
TV_MULTIPLY_WHOLE(16, 128, 64, 65, 66)
TV_MULTIPLY_WHOLE(24, 192, 96, 97, 98)
TV_MULTIPLY_WHOLE(32, 256, 128, 129, 130)

#endif

// A tile of BM x BN for GROUPS groups of four warps. TURNS: each group has a tile of its own, else
// the groups share its rows. SLAB: columns that a warp turns at once. LATE: all of them; warps lay
// their sums, rounded to T, in shared memory and finish them while the next tile is multiplied.
template <class T, int BM_, int BN_, int STAGES_, int SLAB_, int GROUPS_, bool TURNS_, bool AK_,
          bool BK_, bool LATE_ = false>
struct tv_wide {
  typedef T type;
  typedef typename tv_sums<T>::type sum;
  static const int BM = BM_, BN = BN_, KT = 64, STAGES = STAGES_, SLAB = SLAB_, GROUPS = GROUPS_;
  static const bool TURNS = TURNS_, AK = AK_, BK = BK_;
  // Threads that bring the first factor themselves; 0: the copy engine brings it.
  static const int GATHERERS = 0;
  static const int A_BYTES = BM * KT * 2, BYTES = A_BYTES + BN * KT * 2;
  static const int SHARERS = TURNS ? 1 : GROUPS, FM = BM / 64 / SHARERS, FN = BN / 8;
  static const int SLAB_BYTES = LATE_ ? FM * 16 * TV_SLAB(BN) * 2 : 16 * TV_SLAB(SLAB) * 4;
};

// What of shared memory is what: stages, then slabs, then barriers.
template <class Tile>
struct tv_wide_memory {
  unsigned char* memory;
  int stage;
  unsigned parity, round;
  TV_DEVICE unsigned char* data() const { return memory + stage * Tile::BYTES; }
  TV_DEVICE float* slab(int warp) const {
    return (float*)(memory + Tile::STAGES * Tile::BYTES + warp * Tile::SLAB_BYTES);
  }
  TV_DEVICE unsigned char* full(int s) const {
    return (unsigned char*)slab(Tile::GROUPS * 4) + s * 8;
  }
  TV_DEVICE unsigned char* empty(int s) const { return full(Tile::STAGES) + s * 8; }
  TV_DEVICE unsigned char* turn(int group) const { return empty(Tile::STAGES) + group * 8; }
  TV_DEVICE void begin() {
    if (threadIdx.x == 0) {
      for (int s = 0; s < Tile::STAGES; ++s) {
        tv_barrier_init(full(s), 1 + Tile::GATHERERS);
        tv_barrier_init(empty(s), Tile::SHARERS * 4);
      }
      for (int g = 0; Tile::TURNS && g < 2; ++g) tv_barrier_init(turn(g), 4);
      tv_barrier_publish();
    }
    __syncthreads();
  }
  // Stage |s| is free for what comes next, by a warp.
  TV_DEVICE void leave(int s) {
    if (threadIdx.x % 32 == 0) tv_barrier_arrive(empty(s));
  }
  TV_DEVICE void next() {
    if (++stage == Tile::STAGES) {
      stage = 0;
      parity ^= 1u;
    }
  }
  // Past the stages of a tile of the other group.
  TV_DEVICE void skip(int steps) {
    stage += steps;
    parity ^= (unsigned)(stage / Tile::STAGES) & 1u;
    stage %= Tile::STAGES;
  }
  // Groups multiply one after the other, so that each looks at a stage when its own data is the
  // next to come.
  TV_DEVICE void take_turn(int group) {
    if (Tile::TURNS) tv_barrier_wait(turn(group), (round ^ (unsigned)(1 - group)) & 1u);
    ++round;
  }
  TV_DEVICE void pass_turn(int group, int steps) {
    if (!Tile::TURNS) return;
    if (threadIdx.x % 32 == 0) tv_barrier_arrive(turn(1 - group));
    skip(steps);
  }
};

// The sums of a tile, by the warps of all groups that share it. |meanwhile| is done once a step,
// while the products are on their way.
template <class Tile, class Meanwhile>
TV_DEVICE void tv_wide_matmul_beside(typename Tile::sum (&acc)[Tile::FM][Tile::FN][4],
                                     tv_wide_memory<Tile>& m, int steps, Meanwhile meanwhile) {
  const int group = (int)threadIdx.x / 128 - 1;
  const int first = Tile::TURNS ? 0 : group * Tile::FM;
  int before = 0;
  TV_UNROLL_BY(1)
  for (int s = 0; s < steps; ++s) {
    tv_barrier_wait(m.full(m.stage), m.parity);
    if (Tile::GATHERERS) tv_proxy_fence();
    const unsigned long long a = tv_describe(m.data() + first * 64 * Tile::KT * 2, 512);
    const unsigned long long b = tv_describe(m.data() + Tile::A_BYTES, 512);
    tv_wide_begin();
    TV_UNROLL
    for (int k = 0; k < Tile::KT / 16; ++k)
      TV_UNROLL
      for (int f = 0; f < Tile::FM; ++f)
        tv_multiply_wide<!Tile::AK, !Tile::BK>(
            acc[f], a + f * (64 * Tile::KT * 2 / 16) + k * (Tile::AK ? 2 : 128),
            b + k * (Tile::BK ? 2 : 128), s | k, typename Tile::type());
    tv_wide_commit();
    if (s > 0) {
      tv_wide_wait<1>();
      m.leave(before);
    }
    meanwhile();
    before = m.stage;
    m.next();
  }
  tv_wide_wait<0>();
  if (steps > 0) m.leave(before);
  TV_UNROLL
  for (int f = 0; f < Tile::FM; ++f)
    TV_UNROLL
    for (int i = 0; i < Tile::FN; ++i) tv_settle(acc[f][i]);
}

template <class Tile>
TV_DEVICE void tv_wide_matmul(typename Tile::sum (&acc)[Tile::FM][Tile::FN][4],
                              tv_wide_memory<Tile>& m, int steps) {
  tv_wide_matmul_beside<Tile>(acc, m, steps, [] {});
}

// 16 rows of the slab to |put|. WHOLE: all of them and all columns are in the result, and what is
// read besides can be on its way for several pieces at once.
template <int COLUMNS, int V, bool WHOLE, class Put>
TV_DEVICE void tv_wide_put_rows(const float* slab, int m0, int n0, int M, int N, Put put) {
  const int PIECES = COLUMNS / V;
  __syncwarp();
  if (WHOLE) {
    TV_UNROLL_BY(4)
    for (int i = (int)threadIdx.x % 32; i < 16 * PIECES; i += 32) {
      const int r = i / PIECES, c = i % PIECES * V;
      put(m0 + r, n0 + c, slab + r * TV_SLAB(COLUMNS) + c);
    }
  } else {
    TV_UNROLL_BY(1)
    for (int i = (int)threadIdx.x % 32; i < 16 * PIECES; i += 32) {
      const int r = i / PIECES, c = i % PIECES * V;
      if (m0 + r < M && n0 + c < N) put(m0 + r, n0 + c, slab + r * TV_SLAB(COLUMNS) + c);
    }
  }
  __syncwarp();
}

template <class Tile, int V, bool WHOLE, class Put>
TV_DEVICE void tv_wide_put(const typename Tile::sum (&acc)[Tile::FM][Tile::FN][4], float* slab, int m0, int n0,
                           int M, int N, Put put) {
  const int SLABS = Tile::BN / Tile::SLAB;
  TV_UNROLL_BY(1)
  for (int c = 0; c < Tile::FM * SLABS; ++c) {
    // Registers have no numbers at run time.
    TV_UNROLL
    for (int f = 0; f < Tile::FM; ++f)
      TV_UNROLL
      for (int i = 0; i < SLABS; ++i)
        if (c == f * SLABS + i)
          tv_keep_rows<Tile::SLAB>(acc[f] + i * (Tile::SLAB / 8), slab);
    tv_wide_put_rows<Tile::SLAB, V, WHOLE>(slab, m0 + c / SLABS * 64, n0 + c % SLABS * Tile::SLAB,
                                           M, N, put);
  }
}

template <class Tile, int V, class Put>
TV_DEVICE void tv_wide_finish(const typename Tile::sum (&acc)[Tile::FM][Tile::FN][4],
                              const tv_wide_memory<Tile>& m, int m0, int n0, int M, int N,
                              Put put) {
  const int warp = (int)threadIdx.x / 32 - 4, group = Tile::TURNS ? 0 : warp / 4;
  const int row = m0 + group * Tile::FM * 64 + warp % 4 * 16;
  if (m0 + Tile::BM <= M && n0 + Tile::BN <= N)
    tv_wide_put<Tile, V, true>(acc, m.slab(warp), row, n0, M, N, put);
  else
    tv_wide_put<Tile, V, false>(acc, m.slab(warp), row, n0, M, N, put);
}

// A warp's share of a tile that is finished late, at |m0|, |n0|: 32 pieces of V columns at once,
// |next| of COUNT next, |due| at each step of the product meanwhile.
template <class Tile, int V>
struct tv_late {
  static const int PIECES = Tile::BN / V, COUNT = Tile::FM * 16 * PIECES / 32;
  typename Tile::type* slab;
  int m0, n0, next, due;
  TV_DEVICE tv_late(const tv_wide_memory<Tile>& m, int m0_, int n0_, int steps, bool is_empty) {
    const int warp = (int)threadIdx.x / 32 - 4;
    slab = (typename Tile::type*)m.slab(warp);
    m0 = m0_ + warp / 4 * Tile::FM * 64 + warp % 4 * 16;
    n0 = n0_;
    next = is_empty ? COUNT : 0;
    due = steps > 0 ? (COUNT + steps - 1) / steps : COUNT;
  }
  // 8 neighbouring rows and 4 neighbouring pairs of columns are in different banks.
  TV_DEVICE void lay(const float (&acc)[Tile::FM][Tile::FN][4]) {
    const int lane = (int)threadIdx.x % 32;
    typename Tile::type* const to = slab + lane / 4 * TV_SLAB(Tile::BN) + lane % 4 * 2;
    __syncwarp();
    TV_UNROLL
    for (int f = 0; f < Tile::FM; ++f)
      TV_UNROLL
      for (int i = 0; i < Tile::FN; ++i)
        TV_UNROLL
        for (int h = 0; h < 2; ++h)
          tv_store<2>(to + (f * 16 + h * 8) * TV_SLAB(Tile::BN) + i * 8, acc[f][i] + h * 2);
    __syncwarp();
  }
  template <bool WHOLE, class Put>
  TV_DEVICE void piece(int at, int M, int N, Put put) const {
    const int i = at * 32 + (int)threadIdx.x % 32, r = i / PIECES, c = i % PIECES * V;
    const int m = m0 + r / 16 * 64 + r % 16, n = n0 + c;
    if (!WHOLE && (m >= M || n >= N)) return;
    float sums[V];
    tv_load<V>(sums, slab + r * TV_SLAB(Tile::BN) + c);
    put(m, n, sums);
  }
  template <class Put>
  TV_DEVICE void some(int M, int N, Put put) {
    TV_UNROLL_BY(1)
    for (const int end = next + due; next < end && next < COUNT; ++next)
      piece<false>(next, M, N, put);
  }
  template <class Put>
  TV_DEVICE void rest(int M, int N, Put put) {
    if (m0 + (Tile::FM - 1) * 64 + 16 <= M && n0 + Tile::BN <= N) {
      TV_UNROLL_BY(4)
      for (; next < COUNT; ++next) piece<true>(next, M, N, put);
    } else {
      TV_UNROLL_BY(1)
      for (; next < COUNT; ++next) piece<false>(next, M, N, put);
    }
  }
};

// The sums of a tile are in parts in the blocks of a cluster: each block lays its own where its
// stages were, and adds the parts of some rows, always in the same order.
template <class Tile>
TV_DEVICE void tv_wide_lay(const float (&acc)[Tile::FM][Tile::FN][4], unsigned char* memory) {
  const int warp = (int)threadIdx.x / 32 - 4;
  const int row = warp / 4 * Tile::FM * 64 + warp % 4 * 16;
  TV_UNROLL
  for (int f = 0; f < Tile::FM; ++f)
    tv_keep_rows<Tile::BN>(acc[f], (float*)memory + (row + f * 64) * TV_SLAB(Tile::BN));
}
// Threads from FIRST on add; the others wait as often.
template <class Tile, int V, int PARTS, int FIRST, class Put>
TV_DEVICE void tv_wide_join(unsigned char* memory, int rank, int m0, int n0, int M, int N,
                            Put put) {
  const int ROWS = Tile::BM / PARTS, PIECES = Tile::BN / V, COUNT = ROWS * PIECES;
  const int W = V < 4 ? 1 : 4;
  tv_cluster_wait();
  TV_UNROLL_BY(1)
  for (int i = (int)threadIdx.x - FIRST; i < COUNT; i += 128 + Tile::GROUPS * 128 - FIRST) {
    const int r = rank * ROWS + i / PIECES, c = i % PIECES * V;
    if (m0 + r >= M || n0 + c >= N) continue;
    const float* at = (const float*)memory + r * TV_SLAB(Tile::BN) + c;
    float sums[V] = {};
    TV_UNROLL
    for (int part = 0; part < PARTS; ++part)
      TV_UNROLL
      for (int e = 0; e < V; e += W) {
        float other[W];
        tv_load_of<W>(other, at + e, part);
        TV_UNROLL
        for (int x = 0; x < W; ++x) sums[e + x] += other[x];
      }
    put(m0 + r, n0 + c, sums);
  }
  // What others read of this block's memory must outlive it.
  tv_cluster_wait();
}

// Blocks share the steps of all tiles evenly (stream-K): each has steps that follow each other and
// takes the last ones first. The block with the last step of a tile finishes it; the others, whose
// numbers are lower, have begun with theirs and leave their sums to it: nobody waits in a chain, nor
// for a block that begins later.
struct tv_share {
  unsigned begin, end;  // steps of this block, of all, that are to be done
  unsigned tiles;
  int whole;  // steps of a tile
  unsigned number;
  int first, steps;  // what this block does of tile |number|
  TV_DEVICE tv_share(unsigned tiles_, int whole_) : tiles(tiles_), whole(whole_) {
    begin = from(blockIdx.x);
    end = from(blockIdx.x + 1);
  }
  TV_DEVICE unsigned from(unsigned block) const {
    return (unsigned)((unsigned long long)tiles * (unsigned)whole * block / (TV_GRID));
  }
  TV_DEVICE bool next() {
    if (begin == end) return false;
    number = (end - 1) / (unsigned)whole;
    const unsigned start = number * (unsigned)whole;
    first = begin > start ? (int)(begin - start) : 0;
    steps = (int)(end - start) - first;
    end -= (unsigned)steps;
    return true;
  }
  TV_DEVICE bool ends_tile() const { return first + steps == whole; }
};

// Where this thread has its sums in the part of a block, and the flag of its warp.
template <class Tile>
TV_DEVICE float* tv_part_of(float* parts, unsigned block) {
  return parts + (unsigned long long)block * (Tile::BM * Tile::BN) + (threadIdx.x - 128) * 4;
}
template <class Tile>
TV_DEVICE unsigned* tv_flag_of(unsigned* flags, unsigned block) {
  return flags + block * (Tile::GROUPS * 4) + (threadIdx.x - 128) / 32;
}
template <class Tile>
TV_DEVICE void tv_share_give(const float (&acc)[Tile::FM][Tile::FN][4], float* parts,
                             unsigned* flags) {
  float* const to = tv_part_of<Tile>(parts, blockIdx.x);
  TV_UNROLL
  for (int f = 0; f < Tile::FM; ++f)
    TV_UNROLL
    for (int i = 0; i < Tile::FN; ++i)
      tv_store<4>(to + (f * Tile::FN + i) * (Tile::GROUPS * 512), acc[f][i]);
  __syncwarp();
  if (threadIdx.x % 32 == 0) tv_flag_raise(tv_flag_of<Tile>(flags, blockIdx.x));
}
// Adds what the blocks before have left of the tile, from the next one down.
template <class Tile>
TV_DEVICE void tv_share_take(float (&acc)[Tile::FM][Tile::FN][4], const tv_share& share,
                             float* parts, unsigned* flags) {
  const unsigned start = share.number * (unsigned)share.whole;
  TV_UNROLL_BY(1)
  for (unsigned block = blockIdx.x; share.from(block) > start;) {
    --block;
    if (share.from(block) == share.from(block + 1)) continue;
    tv_flag_wait(tv_flag_of<Tile>(flags, block));
    const float* const at = tv_part_of<Tile>(parts, block);
    TV_UNROLL
    for (int f = 0; f < Tile::FM; ++f)
      TV_UNROLL
      for (int i = 0; i < Tile::FN; ++i) {
        float other[4];
        tv_load<4>(other, at + (f * Tile::FN + i) * (Tile::GROUPS * 512));
        TV_UNROLL
        for (int e = 0; e < 4; ++e) acc[f][i][e] += other[e];
      }
  }
}
