// SPDX-License-Identifier: Apache-2.0
//
// Matrix products on tensor cores, for architectures from sm_80 on: what a printed kernel of
// matmul_code.c calls, after prelude.cuh. A block computes a tile of BM x BN of the result; copies
// of the next tiles of the operands are under way while a tile is multiplied. Where operands lie
// and what happens to the result comes as functions from the printed kernel.

// Two neighbours along k of a factor of whole numbers, which lies in memory and in fragments as one
// element of 16 bits does. Their sums are whole numbers too.
struct __attribute__((packed)) tv_s8x2 { unsigned short u; };
template <class T>
struct tv_sums { typedef float type; };
template <>
struct tv_sums<tv_s8x2> { typedef int type; };

#ifndef TRIVET_EMULATION
#define TV_UNROLL_BY(n) TV_PRAGMA(unroll n)
#define TV_PRAGMA(x) _Pragma(#x)
// Four 8 x 8 matrices; lane l names row l % 8 of matrix l / 8.
template <bool TRANSPOSED>
TV_DEVICE void tv_load_matrices(unsigned* r, const void* p) {
  if (TRANSPOSED)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(tv_shared(p)) : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(tv_shared(p)) : "memory");
}
TV_DEVICE void tv_multiply(float* c, const unsigned* a, const unsigned* b, tv_f16) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
TV_DEVICE void tv_multiply(float* c, const unsigned* a, const unsigned* b, tv_bf16) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
TV_DEVICE void tv_multiply(int* c, const unsigned* a, const unsigned* b, tv_s8x2) {
  asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// Of f32, which tv_round has rounded.
TV_DEVICE void tv_multiply(float* c, const unsigned* a, const unsigned* b, float) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// To 10 bits behind the point, to the nearest: the unit itself cuts bits off, and every product
// would be too small.
TV_DEVICE void tv_round(unsigned* r, float) {
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(*r) : "f"(__uint_as_float(*r)));
}
#endif
template <class T>
TV_DEVICE void tv_round(unsigned*, T) {}

// Byte offset of a piece of 16 bytes in rows of C pieces: pieces change places from row to row so
// that 8 neighbouring rows lie in different banks, or where pieces are read in PAIRS, 4 of them.
template <int C, bool PAIRS = false>
TV_DEVICE int tv_piece_at(int row, int piece) {
  return (row * C + (piece ^ ((row / (8 / C) * (PAIRS ? 2 : 1)) % C))) * 16;
}

// How a tile lies in shared memory: rows of pieces of E elements, along k, or along x, then W wide.
// SINGLY: no instruction turns it, lanes read elements.
template <class T, int BX, int KT, bool INNER_K>
struct tv_layout {
  static const int E = 16 / sizeof(T), MOST = 8 * E;
  static const int W = BX < MOST ? BX : MOST;
  static const int C = (INNER_K ? KT : W) / E;
  static const bool SINGLY = !INNER_K && sizeof(T) == 4;
  TV_DEVICE static int at(int row, int piece) { return tv_piece_at<C, SINGLY>(row, piece); }
  // Of an element, of tiles that lie along x.
  TV_DEVICE static int element(int x, int k) {
    return at(x / W * KT + k, x % W / E) + x % E * (int)sizeof(T);
  }
};

// WM x WN warps. AK, BK: neighbours in memory are neighbours along k, not along m or n.
template <class T, int BM_, int BN_, int KT_, int WM_, int WN_, int STAGES_, bool AK_, bool BK_>
struct tv_tile {
  typedef T type;
  typedef typename tv_sums<T>::type sum;
  static const int BM = BM_, BN = BN_, KT = KT_, WM = WM_, WN = WN_, STAGES = STAGES_;
  static const bool AK = AK_, BK = BK_;
  static const int THREADS = WM * WN * 32, TM = BM / WM, TN = BN / WN, FM = TM / 16, FN = TN / 8;
  static const int A_BYTES = BM * KT * (int)sizeof(T), B_BYTES = BN * KT * (int)sizeof(T);
  static const int BYTES = A_BYTES + B_BYTES;
  typedef tv_layout<T, BM, KT, AK> a_layout;
  typedef tv_layout<T, BN, KT, BK> b_layout;
};

// Copies X-tiles of one operand, BX x KT elements each, VECTOR elements at once.
template <class T, int BX, int KT, int THREADS, bool INNER_K, int VECTOR>
struct tv_copier {
  typedef tv_layout<T, BX, KT, INNER_K> layout;
  static const int E = layout::E, W = layout::W, C = layout::C;
  static const int COUNT = BX * KT / E, PER = (COUNT + THREADS - 1) / THREADS;
  const T* from[PER];
  template <class At>
  TV_DEVICE void begin(At at, int x0, int extent, int k) {
    TV_UNROLL
    for (int i = 0; i < PER; ++i) {
      const int id = (int)threadIdx.x + i * THREADS, row = id / C, piece = id % C;
      int x = x0 + (INNER_K ? row : row / KT * W + piece * E);
      if (x >= extent) x = 0;
      from[i] = at(x, k + (INNER_K ? piece * E : row % KT));
    }
  }
  // The tile at k, which is |step| elements before the next one.
  template <class At>
  TV_DEVICE void copy(At at, unsigned char* to, int x0, int extent, int k, int last, long long step) {
    TV_UNROLL
    for (int i = 0; i < PER; ++i) {
      const int id = (int)threadIdx.x + i * THREADS, row = id / C, piece = id % C;
      const int x = x0 + (INNER_K ? row : row / KT * W + piece * E);
      const int at_k = k + (INNER_K ? piece * E : row % KT);
      int have = INNER_K ? (x < extent ? last - at_k : 0) : (at_k < last ? extent - x : 0);
      if (have > E) have = E;
      if (have < 0) have = 0;
      unsigned char* target = to + layout::at(row, piece);
      if (COUNT % THREADS == 0 || id < COUNT) {
        if (VECTOR > 1) {
          TV_UNROLL
          for (int v = 0; v < E; v += VECTOR) {
            const int count = have - v < 0 ? 0 : have - v > VECTOR ? VECTOR : have - v;
            const int size = (int)sizeof(T);
            tv_copy_async<(VECTOR > 1 ? VECTOR : 2) * sizeof(T)>(target + v * size, from[i] + v,
                                                                 count * size);
          }
        } else {
          tv_pack<E, T> pack;
          TV_UNROLL
          for (int v = 0; v < E; ++v) {
            pack.part[v] = T();
            if (v < have) pack.part[v] = *(INNER_K ? at(x, at_k + v) : at(x + v, at_k));
          }
          *(tv_words*)target = pack.whole[0];
        }
      }
      from[i] += step;
    }
  }
  static const bool HOLDS = false;
  TV_DEVICE void put(unsigned char*) const {}
  template <class Make>
  TV_DEVICE void turn(Make, unsigned char*, int, int, int, int) const {}
};

// acc += A B for k in [first, last): copy_a(to, k) and copy_b(to, k) bring the tiles at k, in order;
// put(to) leaves there what they hold back; turn(to, k) is called when what a thread has brought has
// arrived, for that thread alone. ALWAYS: also past the end, without a branch between
// what is read and what is multiplied meanwhile.
template <class Tile, bool ALWAYS, class CopyA, class CopyB, class Put, class Turn>
TV_DEVICE void tv_sum_tiles(typename Tile::sum (&acc)[Tile::FM][Tile::FN][4], unsigned char* memory,
                            CopyA copy_a, CopyB copy_b, Put put, Turn turn, int first, int last) {
  typedef typename Tile::type T;
  typedef typename Tile::a_layout LA;
  typedef typename Tile::b_layout LB;
  const int KT = Tile::KT;
  const int steps = last > first ? (last - first + KT - 1) / KT : 0;
  TV_UNROLL_BY(1)
  for (int s = 0; s < Tile::STAGES - 1; ++s) {
    if (s < steps) {
      unsigned char* to = memory + s * Tile::BYTES;
      copy_a(to, first + s * KT);
      copy_b(to + Tile::A_BYTES, first + s * KT);
      put(to);
    }
    tv_copy_commit();
  }
  const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
  const int wm = warp / Tile::WN * Tile::TM, wn = warp % Tile::WN * Tile::TN;
  const int in = lane % 8, low = lane / 8 % 2, high = lane / 16;
  const int group = lane / 4, of_group = lane % 4;
  TV_UNROLL_BY(1)
  for (int s = 0; s < steps; ++s) {
    tv_copy_wait<Tile::STAGES - 2>();
    turn(memory + s % Tile::STAGES * Tile::BYTES, first + s * KT);
    __syncthreads();
    const int ahead = s + Tile::STAGES - 1;
    unsigned char* to = memory + ahead % Tile::STAGES * Tile::BYTES;
    if (ALWAYS || ahead < steps) {
      copy_a(to, first + ahead * KT);
      copy_b(to + Tile::A_BYTES, first + ahead * KT);
    }
    tv_copy_commit();
    const unsigned char* as = memory + s % Tile::STAGES * Tile::BYTES;
    const unsigned char* bs = as + Tile::A_BYTES;
    TV_UNROLL
    for (int k = 0; k < KT; k += 2 * LA::E) {
      unsigned af[Tile::FM][4], bf[Tile::FN][2];
      TV_UNROLL
      for (int i = 0; i < Tile::FM; ++i) {
        const int x = wm + i * 16, turned = x + low * 8;
        if (Tile::AK) {
          tv_load_matrices<false>(af[i], as + LA::at(turned + in, k / LA::E + high));
        } else if (LA::SINGLY) {
          TV_UNROLL
          for (int r = 0; r < 4; ++r)
            af[i][r] = *(const unsigned*)(as + LA::element(x + r % 2 * 8 + group,
                                                           k + r / 2 * 4 + of_group));
        } else {
          tv_load_matrices<true>(
              af[i],
              as + LA::at(turned / LA::W * KT + k + high * 8 + in, turned % LA::W / LA::E));
        }
        TV_UNROLL
        for (int r = 0; r < 4; ++r) tv_round(&af[i][r], T());
      }
      TV_UNROLL
      for (int j = 0; j < Tile::FN; j += 2) {
        const int x = wn + j * 8, turned = x + high * 8;
        unsigned f[4];
        if (Tile::BK) {
          tv_load_matrices<false>(f, bs + LB::at(turned + in, k / LB::E + low));
        } else if (LB::SINGLY) {
          TV_UNROLL
          for (int r = 0; r < 4; ++r)
            f[r] = *(const unsigned*)(bs + LB::element(x + r / 2 * 8 + group,
                                                       k + r % 2 * 4 + of_group));
        } else {
          tv_load_matrices<true>(
              f, bs + LB::at(turned / LB::W * KT + k + low * 8 + in, turned % LB::W / LB::E));
        }
        TV_UNROLL
        for (int r = 0; r < 4; ++r) {
          tv_round(&f[r], T());
          bf[j + r / 2][r % 2] = f[r];
        }
      }
      TV_UNROLL
      for (int i = 0; i < Tile::FM; ++i)
        TV_UNROLL
        for (int j = 0; j < Tile::FN; ++j) tv_multiply(acc[i][j], af[i], bf[j], T());
    }
    put(to);
  }
  // What was copied past the end, zeros, must not arrive when the sums lie there.
  if (ALWAYS) tv_copy_wait<0>();
}

// The same tiles of an operand that is computed on its way: at(x, k, to) leaves VECTOR elements.
// They wait in registers while the tiles that are there are multiplied.
template <class T, int BX, int KT, int THREADS, bool INNER_K, int VECTOR>
struct tv_maker {
  typedef tv_layout<T, BX, KT, INNER_K> layout;
  static const int E = layout::E, W = layout::W, C = layout::C;
  static const int COUNT = BX * KT / E, PER = (COUNT + THREADS - 1) / THREADS;
  tv_pack<E, T> packs[PER];
  template <class At>
  TV_DEVICE void begin(At, int, int, int) {}
  template <class At>
  TV_DEVICE void copy(At at, unsigned char*, int x0, int extent, int k, int last, long long) {
    TV_UNROLL
    for (int i = 0; i < PER; ++i) {
      const int id = (int)threadIdx.x + i * THREADS, row = id / C, piece = id % C;
      TV_UNROLL
      for (int v = 0; v < E; v += VECTOR) {
        const int x = x0 + (INNER_K ? row : row / KT * W + piece * E + v);
        const int at_k = k + (INNER_K ? piece * E + v : row % KT);
        const bool is_there = x < extent && at_k < last;
        at(is_there ? x : 0, is_there ? at_k : 0, packs[i].part + v);
        TV_UNROLL
        for (int e = 0; e < VECTOR; ++e)
          if (!is_there) packs[i].part[v + e] = T();
      }
    }
  }
  static const bool HOLDS = true;
  TV_DEVICE void put(unsigned char* to) const {
    TV_UNROLL
    for (int i = 0; i < PER; ++i) {
      const int id = (int)threadIdx.x + i * THREADS;
      if (COUNT % THREADS == 0 || id < COUNT)
        *(tv_words*)(to + layout::at(id / C, id % C)) = packs[i].whole[0];
    }
  }
  template <class Make>
  TV_DEVICE void turn(Make, unsigned char*, int, int, int, int) const {}
};

// A piece of 16 bytes in shared memory becomes what make(elements) makes of it.
template <class T, class Make>
TV_DEVICE void tv_turn(unsigned char* at, Make make) {
  tv_pack<16 / sizeof(T), T> pack;
  pack.whole[0] = *(const tv_words*)at;
  make(pack.part);
  *(tv_words*)at = pack.whole[0];
}

// The same tiles of an operand that is computed of one that lies as it does: that is copied, and
// each thread computes of its own pieces when they have arrived: make(x, k, elements) finds there
// what it leaves its results in. Nothing waits for memory but what it reads besides.
template <class T, int BX, int KT, int THREADS, bool INNER_K, int VECTOR>
struct tv_turner : tv_copier<T, BX, KT, THREADS, INNER_K, VECTOR> {
  typedef tv_layout<T, BX, KT, INNER_K> layout;
  static const int E = layout::E, W = layout::W, C = layout::C;
  static const int COUNT = BX * KT / E, PER = (COUNT + THREADS - 1) / THREADS;
  static_assert(VECTOR == E, "pieces are copied as a whole");
  template <class Make>
  TV_DEVICE void turn(Make make, unsigned char* to, int x0, int extent, int k, int last) const {
    TV_UNROLL
    for (int i = 0; i < PER; ++i) {
      const int id = (int)threadIdx.x + i * THREADS, row = id / C, piece = id % C;
      const int x = x0 + (INNER_K ? row : row / KT * W + piece * E);
      const int at_k = k + (INNER_K ? piece * E : row % KT);
      if (x < extent && at_k < last && (COUNT % THREADS == 0 || id < COUNT))
        tv_turn<T>(to + layout::at(row, piece), [&](T* elements) { make(x, at_k, elements); });
    }
  }
};

// Of what is not computed.
struct tv_none {};

// acc += A B for rows from m0, columns from n0 and k in [first, last); what brings their tiles.
template <class Tile, class BringA, class BringB, class AtA, class AtB, class MakeA, class MakeB>
TV_DEVICE void tv_matmul_by(typename Tile::sum (&acc)[Tile::FM][Tile::FN][4],
                            unsigned char* memory, AtA a_at, AtB b_at, MakeA a_make, MakeB b_make, int m0, int n0, int M, int N,
                            int first, int last, long long a_step, long long b_step) {
  BringA a;
  BringB b;
  a.begin(a_at, m0, M, first);
  b.begin(b_at, n0, N, first);
  tv_sum_tiles<Tile, BringA::HOLDS || BringB::HOLDS>(
      acc, memory, [&](unsigned char* to, int k) { a.copy(a_at, to, m0, M, k, last, a_step); },
      [&](unsigned char* to, int k) { b.copy(b_at, to, n0, N, k, last, b_step); },
      [&](unsigned char* to) {
        a.put(to);
        b.put(to + Tile::A_BYTES);
      },
      [&](unsigned char* to, int k) {
        a.turn(a_make, to, m0, M, k, last);
        b.turn(b_make, to + Tile::A_BYTES, n0, N, k, last);
      },
      first, last);
}

// Both as they lie in memory, VA and VB elements at once.
template <class Tile, int VA, int VB, class AtA, class AtB>
TV_DEVICE void tv_matmul(typename Tile::sum (&acc)[Tile::FM][Tile::FN][4],
                         unsigned char* memory, AtA a_at, AtB b_at, int m0, int n0, int M, int N, int first, int last,
                         long long a_step, long long b_step) {
  typedef typename Tile::type T;
  tv_matmul_by<Tile, tv_copier<T, Tile::BM, Tile::KT, Tile::THREADS, Tile::AK, VA>,
               tv_copier<T, Tile::BN, Tile::KT, Tile::THREADS, Tile::BK, VB> >(
      acc, memory, a_at, b_at, tv_none(), tv_none(), m0, n0, M, N, first, last, a_step, b_step);
}

// Rows of the slab of shared memory through which a warp turns its sums: 8 neighbouring rows and 4
// neighbouring pairs of columns are in different banks.
#define TV_SLAB(width) ((width) + 8)

// Slabs hold the bits of sums, whatever type these have.
TV_DEVICE float tv_kept(float v) { return v; }
TV_DEVICE float tv_kept(int v) { return tv_from_bits((unsigned)v); }

// 16 rows of a warp's sums, COLUMNS wide, into its slab.
template <int COLUMNS, class Sum>
TV_DEVICE void tv_keep_rows(const Sum (*acc)[4], float* slab) {
  const int lane = (int)threadIdx.x % 32, row = lane / 4, column = lane % 4 * 2;
  TV_UNROLL
  for (int j = 0; j < COLUMNS / 8; ++j) {
    float* at = slab + row * TV_SLAB(COLUMNS) + j * 8 + column;
    at[0] = tv_kept(acc[j][0]);
    at[1] = tv_kept(acc[j][1]);
    at[8 * TV_SLAB(COLUMNS)] = tv_kept(acc[j][2]);
    at[8 * TV_SLAB(COLUMNS) + 1] = tv_kept(acc[j][3]);
  }
}
// ROWS rows of the slab to |put|(row, column, V sums that follow each other).
template <int ROWS, int COLUMNS, int V, class Put>
TV_DEVICE void tv_put_rows(const float* slab, int m0, int n0, int M, int N, Put put) {
  const int PIECES = COLUMNS / V, COUNT = ROWS * PIECES;
  __syncwarp();
  TV_UNROLL_BY(2)
  for (int i = (int)threadIdx.x % 32; i < COUNT; i += 32) {
    const int r = i / PIECES, c = i % PIECES * V;
    if (m0 + r < M && n0 + c < N) put(m0 + r, n0 + c, slab + r * TV_SLAB(COLUMNS) + c);
  }
  __syncwarp();
}

template <class Tile, int V, class Put>
TV_DEVICE void tv_finish(const typename Tile::sum (&acc)[Tile::FM][Tile::FN][4], unsigned char* memory, int m0,
                         int n0, int M, int N, Put put) {
  const int warp = (int)threadIdx.x / 32;
  const int wm = warp / Tile::WN * Tile::TM, wn = warp % Tile::WN * Tile::TN;
  __syncthreads();
  float* slab = (float*)memory + warp * Tile::TM * TV_SLAB(Tile::TN);
  TV_UNROLL
  for (int i = 0; i < Tile::FM; ++i)
    tv_keep_rows<Tile::TN>(acc[i], slab + i * 16 * TV_SLAB(Tile::TN));
  tv_put_rows<Tile::TM, Tile::TN, V>(slab, m0 + wm, n0 + wn, M, N, put);
}

// Tile |number| of |rows| x |columns|: GROUP rows of tiles are walked together, so that what they
// read stays in the cache. |rest|: what is above, batches and parts of k.
template <int GROUP>
TV_DEVICE void tv_order(unsigned number, unsigned rows, unsigned columns, int* row, int* column,
                        unsigned* rest) {
  const unsigned tiles = rows * columns;
  *rest = number / tiles;
  number %= tiles;
  const unsigned group = number / (GROUP * columns), first = group * GROUP;
  const unsigned height = rows - first < GROUP ? rows - first : GROUP;
  number -= first * columns;
  *row = (int)(first + number % height);
  *column = (int)(number / height);
}
