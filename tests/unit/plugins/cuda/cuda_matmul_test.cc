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
};

class Matmul : public ::testing::Test {
 protected:
  void SetUp() override { before_ = code_maker(); }
  void TearDown() override { code_maker() = before_; }
  static void use(Form form) {
    code_maker() = [form](const tvi_kir_program_t* program, const tvi_cuda_code_options_t* options,
                          tvi_arena_t* arena, tvi_cuda_code_t* out_code) {
      return tvi_cuda_matmul_code(program, options, &tvi_cuda_matmul_tiles[form.tile], form.splits,
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
  expect_same(
      p, {},
      {{a, random_tensor(dtype, a_dims, 1, -1, 1)}, {b, random_tensor(dtype, b_dims, 2, -1, 1)}});
}

TEST_F(Matmul, EveryTile) {
  for (uint32_t tile = 0; tile < tvi_cuda_matmul_tile_count; ++tile) {
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

}  // namespace
}  // namespace tile_test
