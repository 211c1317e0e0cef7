// SPDX-License-Identifier: Apache-2.0
//
// Convolutions, for architectures from sm_80 on: what a printed kernel of convolution_code.c calls,
// after prelude.cuh and matmul.cuh. The first factor of a matrix product is gathered from the image
// while it is multiplied; windows of single channels are summed in registers. Where operands lie
// comes as functions from the printed kernel.

#ifndef TV_GRID
#define TV_GRID gridDim.x
#endif

// Rows of a tile of the first factor: row m are the elements of the image under the window of pixel
// m. |at|(m, &y, &x): address of its first element, at |y| and |x|, which may lie outside;
// |tap|(k, &dy, &dx): how many elements behind, and how far down and right, the k-th one is.
// Elements of 16 bytes lie together from every k on that is a multiple of their number.
// |From|: an address, or a position.
template <class T, int BX, int KT, int THREADS, class From>
struct tv_window_rows {
  static const int E = 16 / sizeof(T);
  static const int C = KT / E, COUNT = BX * C, PER = (COUNT + THREADS - 1) / THREADS;
  static_assert(THREADS % C == 0, "a thread has one piece of all its rows");
  From from[PER];
  int y[PER], x[PER];
  template <class At>
  TV_DEVICE void begin(At at, int m0, int M) {
    TV_UNROLL
    for (int i = 0; i < PER; ++i) {
      const int m = m0 + ((int)threadIdx.x + i * THREADS) / C;
      from[i] = at(m < M ? m : 0, &y[i], &x[i]);
      if (m >= M) y[i] = -(1 << 30);
    }
  }
  // visit(i, to, offset, ok) for each piece: where it lies in the tile, how far behind |from[i]|,
  // and whether it lies in the image, of |height| and |width|.
  template <class Tap, class Visit>
  TV_DEVICE void each(Tap tap, unsigned char* to, int k, int last, int height, int width, Visit visit) const {
    const int piece = (int)threadIdx.x % C, at_k = k + piece * E;
    int dy = 0, dx = 0;
    const auto offset = tap(at_k < last ? at_k : 0, &dy, &dx);
    TV_UNROLL
    for (int i = 0; i < PER; ++i) {
      const int id = (int)threadIdx.x + i * THREADS;
      const bool ok = at_k < last && (unsigned)(y[i] + dy) < (unsigned)height &&
                      (unsigned)(x[i] + dx) < (unsigned)width;
      if (COUNT % THREADS == 0 || id < COUNT)
        visit(i, to + tv_piece_at<C>(id / C, piece), offset, ok);
    }
  }
};
template <class T, int BX, int KT, int THREADS>
struct tv_window_copier : tv_window_rows<T, BX, KT, THREADS, const T*> {
  template <class Tap>
  TV_DEVICE void copy(Tap tap, unsigned char* to, int k, int last, int height, int width) {
    this->each(tap, to, k, last, height, width,
               [&](int i, unsigned char* piece, long long offset, bool ok) {
                 tv_copy_async<16>(piece, this->from[i] + (ok ? offset : 0), ok ? 16 : 0);
               });
  }
};

// The same for an image that is computed of one that lies as it does, at |image|: |at| names
// positions instead, and each thread computes of its own pieces when they have arrived;
// make(position, elements) finds there what it leaves its results in. What lies outside stays zero,
// whatever would be computed of zeros.
template <class T, int BX, int KT, int THREADS, class Index>
struct tv_window_turner : tv_window_rows<T, BX, KT, THREADS, Index> {
  template <class Tap>
  TV_DEVICE void copy(Tap tap, const T* image, unsigned char* to, int k, int last, int height, int width) {
    this->each(tap, to, k, last, height, width,
               [&](int i, unsigned char* piece, Index offset, bool ok) {
                 tv_copy_async<16>(piece, image + (ok ? this->from[i] + offset : 0), ok ? 16 : 0);
               });
  }
  template <class Tap, class Make>
  TV_DEVICE void turn(Tap tap, Make make, unsigned char* to, int k, int last, int height, int width) {
    this->each(tap, to, k, last, height, width,
               [&](int i, unsigned char* piece, Index offset, bool ok) {
                 if (ok) tv_turn<T>(piece, [&](T* elements) { make(this->from[i] + offset, elements); });
               });
  }
};

// The same one by one: a thread has pieces of one row, so that neighbours have neighbouring pixels.
// Where the elements of a row are is kept for DEPTH of them; 0: it is computed again and again.
struct tv_tap { int offset; short dy, dx; };
template <class T, int BX, int KT, int THREADS, int DEPTH>
struct tv_single_copier {
  static const int E = 16 / sizeof(T), C = KT / E, PER = BX * C / THREADS;
  static_assert(THREADS % BX == 0 && PER * THREADS == BX * C, "a thread has one row");
  const T* from;
  const tv_tap* taps;
  int y, x;
  template <class At, class Tap>
  TV_DEVICE void begin(At at, Tap tap, int m0, int M, int K) {
    const int m = m0 + (int)threadIdx.x % BX;
    from = at(m < M ? m : 0, &y, &x);
    if (m >= M) y = -(1 << 30);
    if (DEPTH == 0) return;
    __shared__ tv_tap table[DEPTH > 0 ? DEPTH : 1];
    for (int k = (int)threadIdx.x; k < DEPTH; k += THREADS) {
      int dy = 0, dx = 0;
      const int offset = (int)tap(k < K ? k : 0, &dy, &dx);
      table[k].offset = offset;
      table[k].dy = (short)(k < K ? dy : -32768);
      table[k].dx = (short)dx;
    }
    taps = table;
    __syncthreads();
  }
  template <class Tap>
  TV_DEVICE void copy(Tap tap, unsigned char* to, int k, int last, int height, int width) {
    const int row = (int)threadIdx.x % BX;
    TV_UNROLL
    for (int i = 0; i < PER; ++i) {
      const int piece = (int)threadIdx.x / BX + i * (THREADS / BX), at_k = k + piece * E;
      tv_pack<E, T> pack;
      TV_UNROLL
      for (int v = 0; v < E; ++v) {
        int dy = 0, dx = 0;
        long long offset = 0;
        if (DEPTH > 0) {
          const tv_tap t = taps[at_k + v];
          dy = t.dy;
          dx = t.dx;
          offset = t.offset;
        } else {
          offset = tap(at_k + v < last ? at_k + v : 0, &dy, &dx);
          if (at_k + v >= last) dy = -(1 << 30);
        }
        pack.part[v] = T();
        if ((unsigned)(y + dy) < (unsigned)height && (unsigned)(x + dx) < (unsigned)width)
          pack.part[v] = from[offset];
      }
      *(tv_words*)(to + tv_piece_at<C>(row, piece)) = pack.whole[0];
    }
  }
};

// The same for any other image that is computed: VECTOR elements at once, which wait in registers
// while the tiles that are there are multiplied.
template <class T, int BX, int KT, int THREADS, int VECTOR, class Index>
struct tv_window_maker : tv_window_rows<T, BX, KT, THREADS, Index> {
  typedef tv_window_rows<T, BX, KT, THREADS, Index> rows;
  static const int E = rows::E, EACH = E / VECTOR, C = rows::C, PER = rows::PER;
  tv_pack<E, T> packs[PER];
  template <class Tap, class Make>
  TV_DEVICE void copy(Tap tap, Make make, int k, int last, int height, int width) {
    TV_UNROLL
    for (int v = 0; v < EACH; ++v) {
      const int at_k = k + (int)threadIdx.x % C * E + v * VECTOR;
      int dy = 0, dx = 0;
      const Index offset = tap(at_k < last ? at_k : 0, &dy, &dx);
      TV_UNROLL
      for (int i = 0; i < PER; ++i) {
        const bool ok = at_k < last && (unsigned)(this->y[i] + dy) < (unsigned)height &&
                        (unsigned)(this->x[i] + dx) < (unsigned)width;
        make(ok ? this->from[i] + offset : 0, packs[i].part + v * VECTOR);
        TV_UNROLL
        for (int e = 0; e < VECTOR; ++e)
          if (!ok) packs[i].part[v * VECTOR + e] = T();
      }
    }
  }
  TV_DEVICE void put(unsigned char* to) const {
    TV_UNROLL
    for (int i = 0; i < PER; ++i) {
      const int id = (int)threadIdx.x + i * THREADS;
      if (rows::COUNT % THREADS == 0 || id < rows::COUNT)
        *(tv_words*)(to + tv_piece_at<C>(id / C, id % C)) = packs[i].whole[0];
    }
  }
};

// acc += windows times weights for pixels from m0, channels from n0 and k in [first, last). put(to)
// leaves what copy_a holds back, if it HOLDS anything; turn(to, k) as in tv_sum_tiles.
template <class Tile, int VB, bool HOLDS, class CopyA, class PutA, class TurnA, class AtB>
TV_DEVICE void tv_convolve_by(typename Tile::sum (&acc)[Tile::FM][Tile::FN][4],
                              unsigned char* memory, CopyA copy_a, PutA put_a, TurnA turn_a, AtB b_at, int n0, int N, int first,
                              int last) {
  tv_copier<typename Tile::type, Tile::BN, Tile::KT, Tile::THREADS, true, VB> b;
  b.begin(b_at, n0, N, first);
  tv_sum_tiles<Tile, HOLDS>(
      acc, memory, copy_a,
      [&](unsigned char* to, int k) { b.copy(b_at, to, n0, N, k, last, Tile::KT); }, put_a,
      turn_a, first, last);
}
// 16 bytes of a window at once, or one element: then DEPTH as above.
template <class Tile, int VB, class At, class Tap, class AtB>
TV_DEVICE void tv_convolve(typename Tile::sum (&acc)[Tile::FM][Tile::FN][4],
                           unsigned char* memory, At at, Tap tap, AtB b_at, int height, int width, int m0, int n0, int M, int N,
                           int first, int last) {
  tv_window_copier<typename Tile::type, Tile::BM, Tile::KT, Tile::THREADS> a;
  a.begin(at, m0, M);
  tv_convolve_by<Tile, VB, false>(
      acc, memory,
      [&](unsigned char* to, int k) { a.copy(tap, to, k, last, height, width); },
      [](unsigned char*) {}, [](unsigned char*, int) {}, b_at, n0, N, first, last);
}
template <class Tile, int VB, int DEPTH, class At, class Tap, class AtB>
TV_DEVICE void tv_convolve_singly(typename Tile::sum (&acc)[Tile::FM][Tile::FN][4],
                                  unsigned char* memory, At at, Tap tap, AtB b_at, int height, int width, int m0, int n0, int M,
                                  int N, int K, int first, int last) {
  tv_single_copier<typename Tile::type, Tile::BM, Tile::KT, Tile::THREADS, DEPTH> a;
  a.begin(at, tap, m0, M, K);
  tv_convolve_by<Tile, VB, false>(
      acc, memory,
      [&](unsigned char* to, int k) { a.copy(tap, to, k, last, height, width); },
      [](unsigned char*) {}, [](unsigned char*, int) {}, b_at, n0, N, first, last);
}

template <class Tile, int VB, int VECTOR, class At, class Tap, class Make, class AtB>
TV_DEVICE void tv_convolve_made(typename Tile::sum (&acc)[Tile::FM][Tile::FN][4],
                                unsigned char* memory, At at, Tap tap, Make make, AtB b_at, int height, int width, int m0, int n0,
                                int M, int N, int first, int last) {
  typedef decltype(at(0, (int*)0, (int*)0)) Index;
  tv_window_maker<typename Tile::type, Tile::BM, Tile::KT, Tile::THREADS, VECTOR, Index> a;
  a.begin(at, m0, M);
  tv_convolve_by<Tile, VB, true>(
      acc, memory, [&](unsigned char*, int k) { a.copy(tap, make, k, last, height, width); },
      [&](unsigned char* to) { a.put(to); }, [](unsigned char*, int) {}, b_at, n0, N, first, last);
}
template <class Tile, int VB, class At, class Tap, class Make, class AtB>
TV_DEVICE void tv_convolve_turned(typename Tile::sum (&acc)[Tile::FM][Tile::FN][4],
                                  unsigned char* memory, At at, Tap tap, const typename Tile::type* image, Make make, AtB b_at,
                                  int height, int width, int m0, int n0, int M, int N, int first, int last) {
  typedef decltype(at(0, (int*)0, (int*)0)) Index;
  tv_window_turner<typename Tile::type, Tile::BM, Tile::KT, Tile::THREADS, Index> a;
  a.begin(at, m0, M);
  tv_convolve_by<Tile, VB, false>(
      acc, memory,
      [&](unsigned char* to, int k) { a.copy(tap, image, to, k, last, height, width); },
      [](unsigned char*) {},
      [&](unsigned char* to, int k) { a.turn(tap, make, to, k, last, height, width); }, b_at, n0, N,
      first, last);
}

// First layers: few channels, so that the lines of the image under a row of pixels fit into shared
// memory, where they lie pixel by pixel. A line of a window is then RUN elements that follow each
// other, of which the last may be none, and fragments are read from where they are. WARPS x 16
// pixels, NB channels of the result.
template <class T, int WARPS_, int NB_, int KY_, int KX_, int C_, int SX_, bool INSIDE_>
struct tv_lines {
  typedef T type;
  static const int WARPS = WARPS_, NB = NB_, KY = KY_, KX = KX_, C = C_, SX = SX_;
  static const bool INSIDE = INSIDE_;
  static const int THREADS = WARPS * 32, P = WARPS * 16, USED = KX * C, RUN = (USED + 1) / 2 * 2;
  static const int DEPTH = (KY * RUN + 15) / 16 * 16, PITCH = DEPTH + 8;
  static const int WIDE = (P - 1) * SX + KX, LINE = (WIDE * C + 3) / 2 * 2;
  static const int WEIGHTS = NB * PITCH * 2, LINES = (KY * LINE * 2 + 15) / 16 * 16;
  static const int SLAB = 16 * TV_SLAB(NB) * 4;
};

// |at|(n, ky, kx, c): a weight. Rows of the channels of the result.
template <class L, class At>
TV_DEVICE void tv_lines_weights(unsigned char* memory, At at, int N) {
  typename L::type* to = (typename L::type*)memory;
  TV_UNROLL_BY(4)
  for (int i = (int)threadIdx.x; i < L::NB * L::DEPTH; i += L::THREADS) {
    const int n = i / L::DEPTH, k = i % L::DEPTH, ky = k / L::RUN, j = k % L::RUN;
    typename L::type v;
    v.u = 0;
    if (n < N && ky < L::KY && j < L::USED) v = at(n, ky, j / L::C, j % L::C);
    to[n * L::PITCH + k] = v;
  }
}

// The lines from (y, x) on; |at|(y, x, c): an element of the image.
template <class L, class At>
TV_DEVICE void tv_lines_load(unsigned char* memory, At at, int y, int x, int height, int width) {
  typename L::type* to = (typename L::type*)(memory + L::WEIGHTS);
  TV_UNROLL_BY(8)
  for (int i = (int)threadIdx.x; i < L::KY * L::WIDE * L::C; i += L::THREADS) {
    const int ky = i / (L::WIDE * L::C), rest = i % (L::WIDE * L::C);
    const int px = L::INSIDE ? rest / L::C : rest % L::WIDE;
    const int c = L::INSIDE ? rest % L::C : rest / L::WIDE;
    typename L::type v;
    v.u = 0;
    if ((unsigned)(y + ky) < (unsigned)height && (unsigned)(x + px) < (unsigned)width)
      v = at(y + ky, x + px, c);
    to[ky * L::LINE + px * L::C + c] = v;
  }
}

// The same for images whose lines lie together, in two steps between which the lines of the tile
// before can still be read: |row|(y): address of the first element of a line.
template <class L>
struct tv_line_pieces {
  static const int ELEMENTS = L::WIDE * L::C;
  static const int EACH = (ELEMENTS + L::THREADS - 1) / L::THREADS;
  typename L::type v[L::KY][EACH];
  template <class Row>
  TV_DEVICE void fetch(Row row, int y, int x, int height, int width) {
    TV_UNROLL
    for (int ky = 0; ky < L::KY; ++ky) {
      const bool exists = (unsigned)(y + ky) < (unsigned)height;
      const typename L::type* const from = row(exists ? y + ky : 0);
      TV_UNROLL
      for (int i = 0; i < EACH; ++i) {
        const int e = (int)threadIdx.x + i * L::THREADS, at = x * L::C + e;
        v[ky][i].u = 0;
        if (exists && e < ELEMENTS && (unsigned)at < (unsigned)(width * L::C)) v[ky][i] = from[at];
      }
    }
  }
  TV_DEVICE void keep(unsigned char* memory) const {
    typename L::type* to = (typename L::type*)(memory + L::WEIGHTS);
    TV_UNROLL
    for (int ky = 0; ky < L::KY; ++ky)
      TV_UNROLL
      for (int i = 0; i < EACH; ++i) {
        const int e = (int)threadIdx.x + i * L::THREADS;
        if (e < ELEMENTS) to[ky * L::LINE + e] = v[ky][i];
      }
  }
};

template <class L>
TV_DEVICE void tv_lines_multiply(float (&acc)[L::NB / 8][4], const unsigned char* memory) {
  const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
  const int in = lane % 8, low = lane / 8 % 2, high = lane / 16;
  const unsigned char* lines =
      memory + L::WEIGHTS + (warp * 16 + lane / 4) * (L::SX * L::C * 2);
  TV_UNROLL_BY(2)
  for (int k = 0; k < L::DEPTH; k += 16) {
    unsigned a[4];
    TV_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int at = k + h * 8 + lane % 4 * 2, ky = at / L::RUN, j = at % L::RUN;
      const bool ok = ky < L::KY;
      const unsigned char* from = lines + (ok ? ky * L::LINE + j : 0) * 2;
      // What is in no window may be anything.
      const unsigned mask = !ok ? 0u : j + 1 < L::USED ? 0xffffffffu : 0xffffu;
      a[h * 2] = *(const unsigned*)from & mask;
      a[h * 2 + 1] = *(const unsigned*)(from + 8 * (L::SX * L::C * 2)) & mask;
    }
    TV_UNROLL
    for (int j = 0; j < L::NB / 8; j += 2) {
      unsigned r[4];
      tv_load_matrices<false>(
          r, memory + ((j * 8 + high * 8 + in) * L::PITCH + k + low * 8) * 2);
      const unsigned b0[2] = {r[0], r[1]}, b1[2] = {r[2], r[3]};
      tv_multiply(acc[j], a, b0, typename L::type());
      tv_multiply(acc[j + 1], a, b1, typename L::type());
    }
  }
}

// Pixels from m0 on, of a row that ends before |end|.
template <class L, int V, class Put>
TV_DEVICE void tv_lines_put(const float (&acc)[L::NB / 8][4], unsigned char* memory, int m0,
                            int end, int N, Put put) {
  const int warp = (int)threadIdx.x / 32;
  float* slab = (float*)(memory + L::WEIGHTS + L::LINES + warp * L::SLAB);
  tv_keep_rows<L::NB>(acc, slab);
  tv_put_rows<16, L::NB, V>(slab, m0 + warp * 16, 0, end, N, put);
}

// Windows of single channels: sums[t][c] for ACROSS pixels from (y, x) of the window's corner on,
// which are SX elements of the image apart, and V channels that lie together. |corner| is the address
// or the position of that, load(here, at) gets the V elements of the image from such a place on.
// |weights|(ky, kx): address of the weights of the V channels. EARLY: lines outside are zeros rather
// than passed over, so that no load waits for the sums of the line before.
template <int V, int ACROSS, int KY, int KX, int SX, int DY, int DX, bool EARLY, class Load,
          class From, class Index, class Weights>
TV_DEVICE void tv_convolve_channels(float (&sums)[ACROSS][V], Load load, From corner, Index y_step,
                                    Index x_step, int y, int x, int height, int width,
                                    Weights weights) {
  TV_UNROLL
  for (int t = 0; t < ACROSS; ++t)
    TV_UNROLL
    for (int v = 0; v < V; ++v) sums[t][v] = 0;
  TV_UNROLL
  for (int ky = 0; ky < KY; ++ky) {
    const bool is_line = (unsigned)(y + ky * DY) < (unsigned)height;
    if (!EARLY && !is_line) continue;
    const From row = corner + (Index)(ky * DY) * y_step;
    float w[KX][V];
    TV_UNROLL
    for (int kx = 0; kx < KX; ++kx) tv_load<V>(w[kx], weights(ky, kx));
    TV_UNROLL
    for (int j = 0; j <= (ACROSS - 1) * SX + (KX - 1) * DX; ++j) {
      bool is_used = false;
      TV_UNROLL
      for (int t = 0; t < ACROSS; ++t)
        TV_UNROLL
        for (int kx = 0; kx < KX; ++kx) is_used |= t * SX + kx * DX == j;
      const bool is_inside = is_line && (unsigned)(x + j) < (unsigned)width;
      if (!is_used || (!EARLY && !is_inside)) continue;
      float here[V];
      TV_UNROLL
      for (int v = 0; v < V; ++v) here[v] = 0;
      if (is_inside) load(here, row + (Index)j * x_step);
      TV_UNROLL
      for (int t = 0; t < ACROSS; ++t)
        TV_UNROLL
        for (int kx = 0; kx < KX; ++kx)
          if (t * SX + kx * DX == j)
            TV_UNROLL
            for (int v = 0; v < V; ++v) sums[t][v] = tv_fma(w[kx][v], here[v], sums[t][v]);
    }
  }
}
template <class Wide>
struct tv_wide_window : Wide {
  static const int GATHERERS = 128;
};
