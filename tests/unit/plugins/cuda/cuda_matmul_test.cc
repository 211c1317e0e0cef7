// SPDX-License-Identifier: Apache-2.0
//
// Matrix products on tensor cores against the plain evaluator: every tile and every order of the
// factors, odd sizes, batches, parts of the sum, epilogues. On the device where there is one, else
// with the instructions emulated lane by lane.

#include "tests/unit/plugins/cpu/tile_test_util.h"

extern "C" {
#include "plugins/cuda/emit/matmul_code.h"
}

namespace tile_test {
namespace {

struct Form {
  uint32_t tile = 3;
  uint32_t splits = 1;
  bool is_ready = false;  // nobody writes the inputs meanwhile
};

class Matmul : public ::testing::Test {
 protected:
  void SetUp() override { before_ = code_maker(); }
  // The instructions of Hopper are on that device alone; where there is none they are emulated.
  static bool has_wide() {
    const auto* device = (const tvi_cuda_device_t*)Device::get().state;
    return !device || device->major == 9;
  }
  void TearDown() override { code_maker() = before_; }
  static void use(Form form) {
    code_maker() = [form](const tvi_kir_program_t* program, const tvi_cuda_code_options_t* options,
                          tvi_arena_t* arena, tvi_cuda_code_t* out_code) {
      std::unique_ptr<bool[]> ready(new bool[program->value_count]());
      for (uint32_t v = 0; v < program->value_count; ++v)
        ready[v] = program->values[v].kind == TVI_KIR_INPUT;
      tvi_cuda_code_options_t own = *options;
      if (form.is_ready) own.is_constant = ready.get();
      own.allows_tf32 = true;
      return tvi_cuda_matmul_code(program, &own, &tvi_cuda_matmul_tiles[form.tile], form.splits,
                                  arena, trivet_allocator_system(), out_code);
    };
  }

 private:
  CodeMaker before_;
};

// c[m, n] = sum of a b, either of them stored the other way round.
void check_product(uint32_t dtype, int64_t m, int64_t n, int64_t k, bool a_turned, bool b_turned) {
  Program p;
  const std::vector<int64_t> a_dims =
      a_turned ? std::vector<int64_t>{k, m} : std::vector<int64_t>{m, k};
  const std::vector<int64_t> b_dims =
      b_turned ? std::vector<int64_t>{n, k} : std::vector<int64_t>{k, n};
  auto a = p.input(dtype, a_dims), b = p.input(dtype, b_dims), c = p.output(dtype, {m, n});
  Stage s = p.reduce({m, n}, {k});
  Ref i = s.index(0), j = s.index(1), l = s.index(2);
  Ref x = s.load(a, a_turned ? std::vector<Ref>{l, i} : std::vector<Ref>{i, l});
  Ref y = s.load(b, b_turned ? std::vector<Ref>{j, l} : std::vector<Ref>{l, j});
  s.finish({c}, {s.op(TVI_KIR_MUL, dtype, x, y)}, p.monoid(TVI_KIR_SUM, dtype));
  SCOPED_TRACE(std::to_string(m) + " x " + std::to_string(n) + " x " + std::to_string(k) +
               (a_turned ? " A'" : " A") + (b_turned ? " B'" : " B"));
  expect_same(p, {}, {{a, random_factor(dtype, a_dims, 1)}, {b, random_factor(dtype, b_dims, 2)}});
}

TEST_F(Matmul, EveryTile) {
  for (uint32_t tile = 0; tile < tvi_cuda_matmul_tile_count; ++tile) {
    if (tvi_cuda_matmul_tiles[tile].slab) continue;
    use({tile, 1});
    SCOPED_TRACE("tile " + std::to_string(tile));
    const bool turned = tile % 2 != 0;
    check_product(F16, 72, 136, 72, turned, !turned);
    if (HasFailure()) return;
    check_product(F16, 72, 136, 200, false, turned);
    if (HasFailure()) return;
  }
}

TEST_F(Matmul, OddSizesAndOrders) {
  for (int orders = 0; orders < 4; ++orders) {
    use({orders % 2 ? 6u : 7u, 1});
    check_product(F16, 33, 50, 67, (orders & 1) != 0, (orders & 2) != 0);
    if (HasFailure()) return;
    check_product(BF16, 20, 68, 36, (orders & 1) != 0, (orders & 2) != 0);
    if (HasFailure()) return;
  }
}

TEST_F(Matmul, PartsOfTheSum) {
  for (uint32_t splits : {2, 3, 8}) {
    use({6, splits});
    check_product(F16, 40, 72, 328, false, true);
    if (HasFailure()) return;
  }
  use({7, 4});
  check_product(BF16, 5, 33, 130, false, false);
}

// Heads of a sequence: c[b, h, i, j] = sum over d of q[b, i, h, d] k[b, j, h, d] / 8 + mask[b, j].
TEST_F(Matmul, BatchesOfViews) {
  for (Form form : {Form{6, 1}, Form{3, 2}}) {
    use(form);
    const int64_t b = 2, h = 3, n = 40, d = 64;
    Program p;
    auto q = p.input(F16, {b, n, h, d}), k = p.input(F16, {b, n, h, d});
    auto mask = p.input(F32, {b, n}), out = p.output(F16, {b, h, n, n});
    auto sum = p.temp(F32, {b, h, n, n});
    {
      Stage s = p.reduce({b, h, n, n}, {d});
      Ref x = s.load(q, {s.index(0), s.index(2), s.index(1), s.index(4)});
      Ref y = s.load(k, {s.index(0), s.index(3), s.index(1), s.index(4)});
      s.finish({sum},
               {s.op(TVI_KIR_MUL, F32, s.op(TVI_KIR_CAST, F32, x), s.op(TVI_KIR_CAST, F32, y))},
               p.monoid(TVI_KIR_SUM, F32));
    }
    Stage s = p.map({b, h, n, n});
    Ref scaled = s.op(TVI_KIR_MUL, F32, s.at(sum), s.f(0.125));
    Ref added = s.op(TVI_KIR_ADD, F32, scaled, s.load(mask, {s.index(0), s.index(3)}));
    s.finish({out}, {s.op(TVI_KIR_CAST, F16, added)});
    expect_same(p, {},
                {{q, random_tensor(F16, {b, n, h, d}, 1, -1, 1)},
                 {k, random_tensor(F16, {b, n, h, d}, 2, -1, 1)},
                 {mask, random_tensor(F32, {b, n}, 3)}});
    if (HasFailure()) return;
  }
}

// gelu(x w + bias) + residual, and the sum itself quantised as a second result.
TEST_F(Matmul, Epilogues) {
  for (Form form : {Form{6, 1}, Form{7, 3}}) {
    for (int64_t n : {72, 75}) {
      use(form);
      const int64_t m = 20, k = 200;
      Program p;
      auto x = p.input(F16, {2, m, k}), w = p.input(F16, {k, n}), bias = p.input(F16, {n});
      auto residual = p.input(F16, {2, m, n});
      auto out = p.output(F16, {2, m, n}), codes = p.output(I8, {2, m, n});
      auto sum = p.temp(F16, {2, m, n});
      {
        Stage s = p.reduce({2, m, n}, {k});
        s.finish({sum},
                 {s.op(TVI_KIR_MUL, F16, s.load(x, {s.index(0), s.index(1), s.index(3)}),
                       s.load(w, {s.index(3), s.index(2)}))},
                 p.monoid(TVI_KIR_SUM, F16));
      }
      {
        Stage s = p.map({2, m, n});
        Ref t = s.op(TVI_KIR_ADD, F16, s.at(sum), s.load(bias, {s.index(2)}));
        Ref erf = s.op(TVI_KIR_ERF, F16, s.op(TVI_KIR_MUL, F16, t, s.f(0.70710678, F16)));
        Ref half = s.op(TVI_KIR_MUL, F16, t, s.f(0.5, F16));
        Ref gelu = s.op(TVI_KIR_MUL, F16, half, s.op(TVI_KIR_ADD, F16, erf, s.f(1, F16)));
        s.finish({out}, {s.op(TVI_KIR_ADD, F16, gelu, s.at(residual))});
      }
      Stage s = p.map({2, m, n});
      s.finish({codes}, {s.op(TVI_KIR_SATCAST, I8, s.op(TVI_KIR_FLOOR, F16, s.at(sum)))});
      Tensor a = random_tensor(F16, {2, m, k}, 1, -1, 1), b = random_tensor(F16, {k, n}, 2, -1, 1);
      // Small whole numbers: sums are exact, so that codes are.
      for (Tensor* t : {&a, &b}) {
        for (int64_t i = 0; i < t->count(); ++i) {
          tvi_kir_scalar_t v = t->get(i);
          v.f = std::floor(v.f * 3);
          t->set(i, v);
        }
      }
      expect_same(p, {},
                  {{x, a},
                   {w, b},
                   {bias, random_tensor(F16, {n}, 3)},
                   {residual, random_tensor(F16, {2, m, n}, 4)}});
      if (HasFailure()) return;
    }
  }
}

// c[m, n] = scale[n] * sum of a[m, k] b[n, k], a and b of 8 bits, and c quantised again.
void check_whole(int64_t m, int64_t n, int64_t k) {
  Program p;
  auto a = p.input(I8, {m, k}), b = p.input(I8, {n, k}), scale = p.input(F32, {n});
  auto sums = p.output(I32, {m, n}), c = p.output(F32, {m, n}), codes = p.output(I8, {m, n});
  {
    Stage s = p.reduce({m, n}, {k});
    Ref x = s.op(TVI_KIR_CAST, I32, s.load(a, {s.index(0), s.index(2)}));
    Ref y = s.op(TVI_KIR_CAST, I32, s.load(b, {s.index(1), s.index(2)}));
    s.finish({sums}, {s.op(TVI_KIR_MUL, I32, x, y)}, p.monoid(TVI_KIR_SUM, I32));
  }
  {
    Stage s = p.map({m, n});
    Ref x = s.op(TVI_KIR_CAST, F32, s.at(sums));
    s.finish({c}, {s.op(TVI_KIR_MUL, F32, x, s.load(scale, {s.index(1)}))});
  }
  Stage s = p.map({m, n});
  s.finish({codes}, {s.op(TVI_KIR_SATCAST, I8, s.at(c))});
  SCOPED_TRACE(std::to_string(m) + " x " + std::to_string(n) + " x " + std::to_string(k));
  expect_same(p, {},
              {{a, random_tensor(I8, {m, k}, 1, -128, 127)},
               {b, random_tensor(I8, {n, k}, 2, -128, 127)},
               {scale, random_tensor(F32, {n}, 3, 0.0001, 0.001)}});
}

// c = i8(scale * sum + residual): the residual is dequantised ahead of the product, for its
// epilogue.
TEST_F(Matmul, DequantisedResidual) {
  for (uint32_t tile : {6u, 12u}) {
    if (tvi_cuda_matmul_tiles[tile].slab && !has_wide()) continue;
    use({tile, 1});
    const int64_t m = 40, n = 72, k = 160;
    Program p;
    auto a = p.input(I8, {m, k}), b = p.input(I8, {n, k}), scale = p.input(F32, {n});
    auto codes = p.input(I8, {m, n}), y = p.output(I8, {m, n});
    auto residual = p.temp(F32, {m, n}), sums = p.temp(I32, {m, n});
    {
      Stage s = p.map({m, n});
      s.finish({residual},
               {s.op(TVI_KIR_MUL, F32, s.op(TVI_KIR_CAST, F32, s.at(codes)), s.f(0.25))});
    }
    {
      Stage s = p.reduce({m, n}, {k});
      Ref x = s.op(TVI_KIR_CAST, I32, s.load(a, {s.index(0), s.index(2)}));
      Ref w = s.op(TVI_KIR_CAST, I32, s.load(b, {s.index(1), s.index(2)}));
      s.finish({sums}, {s.op(TVI_KIR_MUL, I32, x, w)}, p.monoid(TVI_KIR_SUM, I32));
    }
    Stage s = p.map({m, n});
    Ref v =
        s.op(TVI_KIR_MUL, F32, s.op(TVI_KIR_CAST, F32, s.at(sums)), s.load(scale, {s.index(1)}));
    s.finish({y}, {s.op(TVI_KIR_SATCAST, I8, s.op(TVI_KIR_ADD, F32, v, s.at(residual)))});
    expect_same(p, {},
                {{a, random_tensor(I8, {m, k}, 1, -128, 127)},
                 {b, random_tensor(I8, {n, k}, 2, -128, 127)},
                 {scale, random_tensor(F32, {n}, 3, 0.0001, 0.001)},
                 {codes, random_tensor(I8, {m, n}, 4, -128, 127)}});
    if (HasFailure()) return;
  }
}

TEST_F(Matmul, WholeNumbers) {
  for (uint32_t tile = 0; tile < tvi_cuda_matmul_tile_count; ++tile) {
    if (tvi_cuda_matmul_tiles[tile].slab) continue;
    use({tile, 1});
    SCOPED_TRACE("tile " + std::to_string(tile));
    check_whole(72, tile % 2 ? 136 : 133, tile % 2 ? 144 : 272);
    if (HasFailure()) return;
  }
}

// f32 in units that look at 10 bits behind the point: every tile, every order of the factors with
// and without vectors, parts of the sum.
TEST_F(Matmul, Tf32) {
  for (uint32_t tile = 0; tile < tvi_cuda_matmul_tile_count; ++tile) {
    if (tvi_cuda_matmul_tiles[tile].slab) continue;
    use({tile, 1});
    SCOPED_TRACE("tile " + std::to_string(tile));
    check_product(F32, 72, 136, 72, (tile & 1) != 0, (tile & 2) != 0);
    if (HasFailure()) return;
  }
  for (int orders = 0; orders < 4; ++orders) {
    use({orders % 2 ? 6u : 7u, orders == 3 ? 2u : 1u});
    check_product(F32, 36, 52, 68, (orders & 1) != 0, (orders & 2) != 0);
    if (HasFailure()) return;
    check_product(F32, 33, 50, 67, (orders & 1) != 0, (orders & 2) != 0);
    if (HasFailure()) return;
    check_product(F32, 18, 54, 66, (orders & 1) != 0, (orders & 2) != 0);
    if (HasFailure()) return;
  }
}

// What follows a product of f32, and a factor that is computed on its way.
TEST_F(Matmul, Tf32Epilogues) {
  for (Form form : {Form{6, 1}, Form{3, 2}}) {
    use(form);
    const int64_t m = 20, n = 72, k = 200;
    Program p;
    auto x = p.input(F32, {2, m, k}), codes = p.input(I8, {n, k}), bias = p.input(F32, {n});
    auto residual = p.input(F32, {2, m, n}), out = p.output(F32, {2, m, n});
    auto w = p.temp(F32, {n, k}), sum = p.temp(F32, {2, m, n});
    {
      Stage s = p.map({n, k});
      s.finish({w}, {s.op(TVI_KIR_MUL, F32, s.op(TVI_KIR_CAST, F32, s.at(codes)), s.f(0.0078125))});
    }
    {
      Stage s = p.reduce({2, m, n}, {k});
      s.finish({sum},
               {s.op(TVI_KIR_MUL, F32, s.load(x, {s.index(0), s.index(1), s.index(3)}),
                     s.load(w, {s.index(2), s.index(3)}))},
               p.monoid(TVI_KIR_SUM, F32));
    }
    Stage s = p.map({2, m, n});
    Ref t = s.op(TVI_KIR_ADD, F32, s.at(sum), s.load(bias, {s.index(2)}));
    s.finish({out}, {s.op(TVI_KIR_ADD, F32, s.op(TVI_KIR_TANH, F32, t), s.at(residual))});
    expect_same(p, {},
                {{x, random_factor(F32, {2, m, k}, 1)},
                 {codes, random_tensor(I8, {n, k}, 2, -127, 127)},
                 {bias, random_tensor(F32, {n}, 3)},
                 {residual, random_tensor(F32, {2, m, n}, 4)}});
    if (HasFailure()) return;
  }
}

// To the nearest and not cut off: half a step counts as a whole one, on either side of 0.
TEST_F(Matmul, Tf32RoundsToTheNearest) {
  use({7, 1});
  const int64_t n = 16;
  Program p;
  auto a = p.input(F32, {n, n}), b = p.input(F32, {n, n}), c = p.output(F32, {n, n});
  Stage s = p.reduce({n, n}, {n});
  s.finish({c},
           {s.op(TVI_KIR_MUL, F32, s.load(a, {s.index(0), s.index(2)}),
                 s.load(b, {s.index(2), s.index(1)}))},
           p.monoid(TVI_KIR_SUM, F32));
  Tensor x = Tensor::make(F32, {n, n}), one = Tensor::make(F32, {n, n});
  const double parts[] = {0x1p-11, 0x1.8p-11, 0x1.fp-12, 0x1p-10, 0x1.8p-10, 0, 0x1.8p-12, 0x1p-12};
  const double rounded[] = {0x1p-10, 0x1p-10, 0, 0x1p-10, 0x1p-9, 0, 0, 0};
  for (int64_t i = 0; i < n; ++i) {
    tvi_kir_scalar_t v;
    v.f = 1;
    one.set(i * n + i, v);
    v.f = (i < 8 ? 1 : -1) * (1 + parts[i % 8]);
    x.set(i * n, v);
  }
  const Inputs inputs = {{a, x}, {b, one}};
  const std::vector<Tensor> got = run_cuda(p, {}, inputs, Options(), false, nullptr);
  for (int64_t i = 0; i < n; ++i)
    EXPECT_EQ(got[c].get(i * n).f, (i < 8 ? 1 : -1) * (1 + rounded[i % 8])) << i;
}

// They are not taken where nobody allows it.
TEST_F(Matmul, Tf32IsAsked) {
  Program p;
  auto a = p.input(F32, {64, 64}), b = p.input(F32, {64, 64}), c = p.output(F32, {64, 64});
  Stage s = p.reduce({64, 64}, {64});
  s.finish({c},
           {s.op(TVI_KIR_MUL, F32, s.load(a, {s.index(0), s.index(2)}),
                 s.load(b, {s.index(2), s.index(1)}))},
           p.monoid(TVI_KIR_SUM, F32));
  for (bool allows : {false, true}) {
    tvi_arena_t arena;
    tvi_arena_init(&arena, trivet_allocator_system(), 0);
    tvi_cuda_code_options_t options = {};
    options.name = "test";
    options.allows_tf32 = allows;
    tvi_cuda_matmul_problem_t problem = {};
    check(tvi_cuda_matmul_read(p.get(), &options, &arena, trivet_allocator_system(), &problem));
    EXPECT_EQ(problem.reason == nullptr, allows);
    EXPECT_FALSE(problem.can_map_a);
    tvi_arena_deinit(&arena);
  }
}

// The form for Hopper: more tiles than blocks, both orders of both factors, batches, symbols.
class MatmulWide : public Matmul {
 protected:
  void SetUp() override {
    Matmul::SetUp();
    if (!has_wide()) GTEST_SKIP() << "the device is no Hopper";
    for (uint32_t tile = 0; tile < tvi_cuda_matmul_tile_count; ++tile) {
      if (tvi_cuda_matmul_tiles[tile].slab) tiles.push_back(tile);
    }
  }
  std::vector<uint32_t> tiles;
};

TEST_F(MatmulWide, OrdersOfFactors) {
  for (uint32_t tile : tiles) {
    for (int orders = 0; orders < 4; ++orders) {
      // Emulated they take long; TileAfterTile has those that finish late.
      if (!Device::get().state && tvi_cuda_matmul_tiles[tile].late) continue;
      if (!Device::get().state && tile != tiles[0] && orders != 1) continue;
      use({tile, 1});
      SCOPED_TRACE("tile " + std::to_string(tile));
      check_product(orders & 1 ? F16 : BF16, 136, 136, 136, (orders & 1) != 0, (orders & 2) != 0);
      if (HasFailure()) return;
    }
  }
}

TEST_F(MatmulWide, WholeNumbers) {
  for (uint32_t tile : tiles) {
    // Rounds sums, or has no shares of these.
    if (tvi_cuda_matmul_tiles[tile].late || tvi_cuda_matmul_tiles[tile].even) continue;
    // Emulated they take long.
    if (!Device::get().state && tile % 2) continue;
    use({tile, 1});
    SCOPED_TRACE("tile " + std::to_string(tile));
    check_whole(136, 136, 272);
    if (HasFailure()) return;
  }
}

TEST_F(MatmulWide, LongSums) {
  for (uint32_t tile : tiles) {
    if (!Device::get().state && tvi_cuda_matmul_tiles[tile].late) continue;
    use({tile, 1});
    SCOPED_TRACE("tile " + std::to_string(tile));
    check_product(F16, 24, 40, 520, false, true);
    if (HasFailure()) return;
  }
}

TEST_F(MatmulWide, MoreTilesThanBlocks) {
  if (!Device::get().state) GTEST_SKIP() << "too slow to emulate";
  for (uint32_t tile : tiles) {
    // The reference takes long: one plain tile stands for all that keep nothing from tile to tile.
    const tvi_cuda_matmul_tile_t& t = tvi_cuda_matmul_tiles[tile];
    if (tile != tiles[0] && !t.turns && !t.late) continue;
    use({tile, 1});
    check_product(F16, 12 * t.bm + 8, t.bn * 11 + 8, 8, false, false);
    if (HasFailure()) return;
  }
}

// Few blocks, so that each takes several tiles, and sums shorter and longer than the stages.
TEST_F(MatmulWide, TileAfterTile) {
  for (uint32_t tile : tiles) {
    const tvi_cuda_matmul_tile_t& t = tvi_cuda_matmul_tiles[tile];
    // Emulated they take long; those with a state between tiles are what can go wrong.
    if (!Device::get().state && !t.turns && !t.late) continue;
    use({tile, 1, true});
    SCOPED_TRACE("tile " + std::to_string(tile));
    most_blocks() = 1;
    for (int64_t k : {136, 456}) {
      check_product(F16, 2 * t.bm + 8, t.bn + 8, k, false, k == 136);
      if (HasFailure()) break;
    }
    most_blocks() = 0;
    if (HasFailure()) return;
  }
}

// Three tiles of seven steps among blocks of which some have a part of one tile and some of two,
// and among one more than there are steps; what lies in the workspace before does not matter.
TEST_F(MatmulWide, EvenShares) {
  for (uint32_t tile : tiles) {
    const tvi_cuda_matmul_tile_t& t = tvi_cuda_matmul_tiles[tile];
    if (!t.even) continue;
    SCOPED_TRACE("tile " + std::to_string(tile));
    for (unsigned blocks : {2u, 5u, 22u}) {
      if (!Device::get().state && tile != tiles.back() && blocks != 5) continue;
      use({tile, 1, blocks == 5});
      most_blocks() = blocks;
      check_product(blocks == 5 ? F16 : BF16, 2 * t.bm + 8, t.bn - 8, 440, false, blocks == 2);
      most_blocks() = 0;
      if (HasFailure()) return;
    }
  }
}

// Blocks of a cluster share the sum.
TEST_F(MatmulWide, Clusters) {
  for (uint32_t tile : tiles) {
    const tvi_cuda_matmul_tile_t& t = tvi_cuda_matmul_tiles[tile];
    if (!tvi_cuda_matmul_can_share(&t)) continue;
    for (uint32_t splits : {2, 4, 8}) {
      use({tile, splits, splits == 4});
      SCOPED_TRACE("tile " + std::to_string(tile) + " splits " + std::to_string(splits));
      check_product(F16, 72, t.bn + (splits == 4 ? 5 : 8), 200, splits == 2, splits == 4);
      if (HasFailure()) return;
      check_product(BF16, 5, 40, 520, false, true);
      if (HasFailure()) return;
    }
  }
}

TEST_F(MatmulWide, BatchesOfViews) {
  for (Form form : {Form{tiles[0], 1}, Form{tiles[1], 1}, Form{tiles[2], 1}, Form{tiles[3], 2}}) {
    use(form);
    const int64_t b = 2, h = 3, n = 40, d = 64;
    Program p;
    auto x = p.input(F16, {b, n, h, d}), y = p.input(F16, {b, n, h, d});
    auto mask = p.input(F32, {b, n}), out = p.output(F16, {b, h, n, n});
    auto sum = p.temp(F32, {b, h, n, n});
    {
      Stage s = p.reduce({b, h, n, n}, {d});
      Ref q = s.load(x, {s.index(0), s.index(2), s.index(1), s.index(4)});
      Ref k = s.load(y, {s.index(0), s.index(3), s.index(1), s.index(4)});
      s.finish({sum},
               {s.op(TVI_KIR_MUL, F32, s.op(TVI_KIR_CAST, F32, q), s.op(TVI_KIR_CAST, F32, k))},
               p.monoid(TVI_KIR_SUM, F32));
    }
    Stage s = p.map({b, h, n, n});
    Ref added = s.op(TVI_KIR_ADD, F32, s.at(sum), s.load(mask, {s.index(0), s.index(3)}));
    s.finish({out}, {s.op(TVI_KIR_CAST, F16, added)});
    expect_same(p, {},
                {{x, random_tensor(F16, {b, n, h, d}, 1, -1, 1)},
                 {y, random_tensor(F16, {b, n, h, d}, 2, -1, 1)},
                 {mask, random_tensor(F32, {b, n}, 3)}});
    if (HasFailure()) return;
  }
}

TEST_F(MatmulWide, SymbolicSizes) {
  use({tiles[0], 1});
  Program p;
  trivet_dim_t m = p.symbol("m");
  check(tvi_dim_symbol_restrict(p.dims(), m, 1, 4096, 1));
  auto a = p.value(TVI_KIR_INPUT, F16, {m, p.dim(80)}), b = p.input(F16, {80, 144});
  auto bias = p.input(F16, {144}), c = p.value(TVI_KIR_OUTPUT, F32, {m, p.dim(144)});
  auto sum = p.value(TVI_KIR_TEMP, F32, {m, p.dim(144)});
  {
    Stage s(&p, TVI_KIR_REDUCE, {m, p.dim(144)}, {p.dim(80)});
    Ref x = s.load(a, {s.index(0), s.index(2)}), y = s.load(b, {s.index(2), s.index(1)});
    s.finish({sum},
             {s.op(TVI_KIR_MUL, F32, s.op(TVI_KIR_CAST, F32, x), s.op(TVI_KIR_CAST, F32, y))},
             p.monoid(TVI_KIR_SUM, F32));
  }
  Stage s(&p, TVI_KIR_MAP, {m, p.dim(144)}, {});
  Ref t = s.op(TVI_KIR_CAST, F32, s.load(bias, {s.index(1)}));
  s.finish({c}, {s.op(TVI_KIR_TANH, F32, s.op(TVI_KIR_ADD, F32, s.at(sum), t))});
  for (int64_t size : {150, 1}) {
    expect_same(p, {size},
                {{a, random_tensor(F16, {size, 80}, 1, -1, 1)},
                 {b, random_tensor(F16, {80, 144}, 2, -1, 1)},
                 {bias, random_tensor(F16, {144}, 3)}});
    if (HasFailure()) return;
  }
}

// Factors that are computed on their way: weights of a byte with a scale for each column, and an
// activation ahead of the product, stored either way, with vectors and without.
TEST_F(Matmul, Prologues) {
  for (Form form : {Form{3, 1}, Form{6, 1}, Form{7, 3}}) {
    for (int64_t n : {72, 75}) {
      for (int turned = 0; turned < 2; ++turned) {
        use(form);
        const int64_t m = 20, k = 200;
        const std::vector<int64_t> w_dims =
            turned ? std::vector<int64_t>{n, k} : std::vector<int64_t>{k, n};
        Program p;
        auto x = p.input(F16, {2, m, k}), shift = p.input(F16, {k});
        auto codes = p.input(I8, w_dims), scale = p.input(F16, {n}), bias = p.input(F16, {n});
        auto a = p.temp(F16, {2, m, k}), w = p.temp(F16, w_dims);
        auto sum = p.temp(F16, {2, m, n}), out = p.output(F16, {2, m, n});
        {
          Stage s = p.map({2, m, k});
          Ref moved = s.op(TVI_KIR_ADD, F16, s.at(x), s.load(shift, {s.index(2)}));
          s.finish({a}, {s.op(TVI_KIR_MAX, F16, moved, s.f(0, F16))});
        }
        {
          Stage s = p.map(w_dims);
          s.finish({w}, {s.op(TVI_KIR_MUL, F16, s.op(TVI_KIR_CAST, F16, s.at(codes)),
                              s.load(scale, {s.index(turned ? 0 : 1)}))});
        }
        {
          Stage s = p.reduce({2, m, n}, {k});
          Ref i = s.index(3), j = s.index(2);
          s.finish({sum},
                   {s.op(TVI_KIR_MUL, F16, s.load(a, {s.index(0), s.index(1), i}),
                         s.load(w, turned ? std::vector<Ref>{j, i} : std::vector<Ref>{i, j}))},
                   p.monoid(TVI_KIR_SUM, F16));
        }
        Stage s = p.map({2, m, n});
        s.finish({out}, {s.op(TVI_KIR_ADD, F16, s.at(sum), s.load(bias, {s.index(2)}))});
        SCOPED_TRACE("tile " + std::to_string(form.tile) + " n " + std::to_string(n) +
                     (turned ? " turned" : ""));
        expect_same(p, {},
                    {{x, random_tensor(F16, {2, m, k}, 1, -1, 1)},
                     {shift, random_tensor(F16, {k}, 2, -1, 1)},
                     {codes, random_tensor(I8, w_dims, 3, -127, 127)},
                     {scale, random_tensor(F16, {n}, 4, 0.001, 0.01)},
                     {bias, random_tensor(F16, {n}, 5)}});
        if (HasFailure()) return;
      }
    }
  }
}

// What was measured in a chain of 196x128x512 with a norm ahead of each: 12.5 us in four parts, 5
// apart.
TEST_F(Matmul, PartsThatMakeAFactorAreDear) {
  tvi_cuda_matmul_problem_t apart = {}, made;
  apart.m = 196, apart.n = 128, apart.k = 512, apart.batch = 1;
  apart.dtype = F16;
  apart.vector_a = apart.vector_b = apart.vector_c = 8;
  apart.factor_bytes = 2.0 * (196 + 128) * 512;
  made = apart;
  made.makes_a = true;
  made.work_a = 3.0 * 196 * 512;
  for (uint32_t tile = 0; tile < tvi_cuda_matmul_tile_count; ++tile) {
    const tvi_cuda_matmul_tile_t* t = &tvi_cuda_matmul_tiles[tile];
    if (t->slab) continue;
    EXPECT_GT(tvi_cuda_matmul_price(&made, t, 4, false), 10000) << tile;
    EXPECT_LT(tvi_cuda_matmul_price(&apart, t, 4, false), 9000) << tile;
  }
}

// A factor that is never stored lies as what it is made of: a convolution with a window of one
// whose picture has its channels inside, in a program that numbers them before the pixels.
TEST_F(Matmul, PrologueInTheOrderOfItsOperand) {
  for (Form form : {Form{3, 1}, Form{7, 2}}) {
    for (int64_t channels : {40, 36}) {
      use(form);
      const int64_t n = 2, h = 5, w = 6, features = 48;
      Program p;
      auto x = p.input(F16, {n, h, w, channels}), gate = p.input(F16, {n, channels});
      auto weights = p.input(F16, {features, channels});
      auto gated = p.temp(F16, {n, channels, h, w}), y = p.output(F16, {n, h, w, features});
      {
        Stage s = p.map({n, channels, h, w});
        Ref v = s.load(x, {s.index(0), s.index(2), s.index(3), s.index(1)});
        s.finish({gated}, {s.op(TVI_KIR_MUL, F16, v, s.load(gate, {s.index(0), s.index(1)}))});
      }
      Stage s = p.reduce({n, h, w, features}, {channels});
      Ref a = s.load(gated, {s.index(0), s.index(4), s.index(1), s.index(2)});
      s.finish({y}, {s.op(TVI_KIR_MUL, F16, a, s.load(weights, {s.index(3), s.index(4)}))},
               p.monoid(TVI_KIR_SUM, F16));
      expect_same(p, {},
                  {{x, random_tensor(F16, {n, h, w, channels}, 1, -1, 1)},
                   {gate, random_tensor(F16, {n, channels}, 2, 0, 1)},
                   {weights, random_tensor(F16, {features, channels}, 3, -1, 1)}});
      if (HasFailure()) return;
    }
  }
}

// The result turned: neighbours in memory are rows.
TEST_F(Matmul, TurnedResults) {
  use({6, 1});
  Program p;
  const int64_t m = 48, n = 40, k = 64;
  auto a = p.input(F16, {m, k}), b = p.input(F16, {k, n}), c = p.output(F16, {m, n});
  Stage s = p.reduce({m, n}, {k});
  s.finish({c},
           {s.op(TVI_KIR_MUL, F16, s.load(a, {s.index(0), s.index(2)}),
                 s.load(b, {s.index(2), s.index(1)}))},
           p.monoid(TVI_KIR_SUM, F16));
  Options options;
  options.output_orders = {{1, 0}};
  expect_same(
      p, {}, {{a, random_tensor(F16, {m, k}, 1, -1, 1)}, {b, random_tensor(F16, {k, n}, 2, -1, 1)}},
      options);
}

TEST_F(Matmul, SymbolicSizes) {
  use({3, 1});
  Program p;
  trivet_dim_t m = p.symbol("m"), n = p.symbol("n");
  for (trivet_dim_t symbol : {m, n}) check(tvi_dim_symbol_restrict(p.dims(), symbol, 1, 4096, 1));
  auto a = p.value(TVI_KIR_INPUT, F16, {m, p.dim(80)});
  auto b = p.value(TVI_KIR_INPUT, F16, {n, p.dim(80)});
  auto c = p.value(TVI_KIR_OUTPUT, F32, {m, n});
  Stage s(&p, TVI_KIR_REDUCE, {m, n}, {p.dim(80)});
  Ref x = s.load(a, {s.index(0), s.index(2)}), y = s.load(b, {s.index(1), s.index(2)});
  s.finish({c}, {s.op(TVI_KIR_MUL, F32, s.op(TVI_KIR_CAST, F32, x), s.op(TVI_KIR_CAST, F32, y))},
           p.monoid(TVI_KIR_SUM, F32));
  for (std::vector<int64_t> sizes : {std::vector<int64_t>{70, 33}, std::vector<int64_t>{1, 64}}) {
    expect_same(p, sizes,
                {{a, random_tensor(F16, {sizes[0], 80}, 1, -1, 1)},
                 {b, random_tensor(F16, {sizes[1], 80}, 2, -1, 1)}});
    if (HasFailure()) return;
  }
}

TEST_F(Matmul, PositionsOfExtremesAreNoProducts) {
  Program p;
  auto x = p.input(F16, {3, 8}), y = p.output(I64, {3});
  Stage s = p.reduce({3}, {8});
  s.finish({TVI_KIR_NONE, y}, {s.load(x, {s.index(0), s.index(1)}), s.index(1)},
           p.monoid(TVI_KIR_ARGMAX, F16));
  const std::vector<int64_t> plain[] = {{8, 1}, {1}};
  std::vector<trivet_dim_t> dims[2];
  std::vector<const trivet_dim_t*> strides(p.get()->value_count);
  for (size_t v = 0; v < 2; ++v) {
    for (int64_t stride : plain[v]) dims[v].push_back(p.dim(stride));
    strides[v] = dims[v].data();
  }
  tvi_cuda_code_options_t options;
  memset(&options, 0, sizeof(options));
  options.name = "matmul";
  options.strides = strides.data();
  tvi_arena_t arena;
  tvi_arena_init(&arena, trivet_allocator_system(), 0);
  tvi_cuda_matmul_problem_t problem;
  check(tvi_cuda_matmul_read(p.get(), &options, &arena, trivet_allocator_system(), &problem));
  EXPECT_STREQ(problem.reason, "no contraction followed by elementwise stages");
  tvi_arena_deinit(&arena);
}

}  // namespace
}  // namespace tile_test
