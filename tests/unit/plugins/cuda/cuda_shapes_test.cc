// SPDX-License-Identifier: Apache-2.0
//
// Shapes that make the generator choose other kernels than the programs of the CPU target's tests
// do: long columns, long rows with values that go through memory, transpositions by pairs.

#include "tests/unit/plugins/cpu/tile_test_util.h"

namespace tile_test {
namespace {

TEST(CudaShapes, LongColumns) {
  for (int64_t n : {2000, 4099}) {
    for (uint32_t dtype : {F16, F64}) {
      Program p;
      auto x = p.input(dtype, {2, n, 24}), y = p.output(dtype, {2, 24});
      auto top = p.output(dtype, {2, 24});
      {
        Stage s = p.reduce({2, 24}, {n});
        s.finish({y}, {s.load(x, {s.index(0), s.index(2), s.index(1)})},
                 p.monoid(TVI_KIR_SUM, dtype));
      }
      Stage s = p.reduce({2, 24}, {n});
      s.finish({top}, {s.load(x, {s.index(0), s.index(2), s.index(1)})},
               p.monoid(TVI_KIR_REDUCE_MAX, dtype));
      expect_same(p, {}, {{x, random_tensor(dtype, {2, n, 24})}});
    }
  }
}

// exp(x - max) is read twice and does not fit the registers of a block.
TEST(CudaShapes, LongRowsThroughMemory) {
  Program p;
  const int64_t rows = 70, n = 33001;
  auto x = p.input(F32, {rows, n}), y = p.output(F32, {rows, n});
  auto top = p.temp(F32, {rows}), e = p.temp(F32, {rows, n}), sum = p.temp(F32, {rows});
  {
    Stage s = p.reduce({rows}, {n});
    s.finish({top}, {s.load(x, {s.index(0), s.index(1)})}, p.monoid(TVI_KIR_REDUCE_MAX, F32));
  }
  {
    Stage s = p.map({rows, n});
    s.finish({e},
             {s.op(TVI_KIR_EXP, F32, s.op(TVI_KIR_SUB, F32, s.at(x), s.load(top, {s.index(0)})))});
  }
  {
    Stage s = p.reduce({rows}, {n});
    s.finish({sum}, {s.load(e, {s.index(0), s.index(1)})}, p.monoid(TVI_KIR_SUM, F32));
  }
  Stage s = p.map({rows, n});
  s.finish({y}, {s.op(TVI_KIR_DIV, F32, s.at(e), s.load(sum, {s.index(0)}))});
  expect_same(p, {}, {{x, random_tensor(F32, {rows, n})}});
}

TEST(CudaShapes, TranspositionsByPairs) {
  for (uint32_t dtype : {F16, U8, I64}) {
    Program p;
    const int64_t n = 3, a = 130, b = 98;
    auto x = p.input(dtype, {n, a, b}), r = p.input(dtype, {n, b, a});
    auto y = p.output(dtype, {n, b, a});
    Stage s = p.map({n, b, a});
    s.finish({y},
             {s.op(TVI_KIR_ADD, dtype, s.load(x, {s.index(0), s.index(2), s.index(1)}), s.at(r))});
    expect_same(p, {},
                {{x, random_tensor(dtype, {n, a, b})}, {r, random_tensor(dtype, {n, b, a}, 2)}});
  }
}

// The channels of pictures: a thread takes all three of a pixel.
TEST(CudaShapes, FewChannels) {
  Program p;
  const int64_t pixels = 67600, channels = 3;
  auto x = p.input(F32, {channels, pixels});
  auto y = p.output(F16, {pixels, channels});
  Stage s = p.map({pixels, channels});
  s.finish({y}, {s.op(TVI_KIR_CAST, F16, s.load(x, {s.index(1), s.index(0)}))});
  expect_same(p, {}, {{x, random_tensor(F32, {channels, pixels})}});
}

// The code is called, in a map and in a reduction: it gives 1 more than the meaning.
TEST(CudaShapes, FunctionsWithCode) {
  tvi_kir_device_t function = {};
  function.name = "acme.twice";
  function.plugin = "p";
  function.cuda = "  const F two = 2;\n  return x * two + 1;";
  function.parameter_count = 1;
  function.parameters[0] = "x";
  function.variables[0] = "F";
  for (uint32_t dtype : {F32, F16, F64}) {
    Program called, written;
    for (Program* p : {&called, &written}) {
      auto x = p->input(dtype, {4, 300}), y = p->output(dtype, {4, 300}),
           sum = p->output(dtype, {4});
      for (bool reduces : {false, true}) {
        Stage s = reduces ? p->reduce({4}, {300}) : p->map({4, 300});
        Ref e = s.load(x, {s.index(0), s.index(1)}), twice = s.op(TVI_KIR_ADD, dtype, e, e);
        Ref result = p == &called ? s.call(&function, dtype, twice, e)
                                  : s.op(TVI_KIR_ADD, dtype, twice, s.f(1, dtype));
        if (reduces) {
          s.finish({sum}, {result}, p->monoid(TVI_KIR_SUM, dtype));
        } else {
          s.finish({y}, {result});
        }
      }
    }
    const Inputs inputs = {{0, random_tensor(dtype, {4, 300})}};
    const std::vector<Tensor> want = reference(written.get(), {}, inputs);
    for (bool unaligned : {false, true}) {
      std::string text;
      expect_equal(called.get(), run_cuda(called, {}, inputs, Options(), unaligned, &text), want,
                   1e-3);
      if (HasFailure()) FAIL() << text;
    }
  }
}

// Rows of odd length begin at odd addresses, each at another: in registers and too long for them,
// with a sum that elements outside of the row would spoil, and means with squares of differences.
TEST(CudaShapes, OddRows) {
  for (uint32_t dtype : {F16, F32}) {
    for (int64_t n : {197, 4099, 33001}) {  // the first one too short to be cut
      Program p;
      const int64_t rows = n > 30000 ? 9 : 11;
      auto x = p.input(dtype, {rows, n}), y = p.output(dtype, {rows, n});
      auto sum = p.temp(F32, {rows}), mean = p.output(F32, {rows}), m2 = p.output(F32, {rows});
      {
        Stage s = p.reduce({rows}, {n});
        s.finish(
            {sum},
            {s.op(TVI_KIR_EXP, F32, s.op(TVI_KIR_CAST, F32, s.load(x, {s.index(0), s.index(1)})))},
            p.monoid(TVI_KIR_SUM, F32));
      }
      {
        Stage s = p.reduce({rows}, {n});
        s.finish({mean, m2, TVI_KIR_NONE},
                 {s.op(TVI_KIR_CAST, F32, s.load(x, {s.index(0), s.index(1)}))},
                 p.monoid(TVI_KIR_WELFORD, F32));
      }
      Stage s = p.map({rows, n});
      s.finish({y}, {s.op(TVI_KIR_CAST, dtype,
                          s.op(TVI_KIR_DIV, F32,
                               s.op(TVI_KIR_EXP, F32, s.op(TVI_KIR_CAST, F32, s.at(x))),
                               s.load(sum, {s.index(0)})))});
      expect_same(p, {}, {{x, random_tensor(dtype, {rows, n})}});
    }
  }
}

// exp(x) / sum(exp(x)) over rows of |n|, which is |most| at most; gives the aligned kernel's text.
// |limit|: bytes of shared memory that may hold a row.
std::string run_long_rows(uint32_t dtype, int64_t n, int64_t most, uint32_t limit) {
  Program p;
  const trivet_dim_t rows = p.dim(64);
  const trivet_dim_t length = n == most ? p.dim(n) : p.symbol("n");
  if (n != most) check(tvi_dim_symbol_restrict(p.dims(), length, 1, most, 1));
  auto x = p.value(TVI_KIR_INPUT, dtype, {rows, length});
  auto y = p.value(TVI_KIR_OUTPUT, dtype, {rows, length});
  auto sum = p.temp(F32, {64});
  const auto point = [&](Stage& s) {
    return s.op(TVI_KIR_EXP, F32, s.op(TVI_KIR_CAST, F32, s.load(x, {s.index(0), s.index(1)})));
  };
  {
    Stage s(&p, TVI_KIR_REDUCE, {rows}, {length});
    s.finish({sum}, {point(s)}, p.monoid(TVI_KIR_SUM, F32));
  }
  Stage s(&p, TVI_KIR_MAP, {rows, length}, {});
  s.finish({y}, {s.op(TVI_KIR_CAST, dtype,
                      s.op(TVI_KIR_DIV, F32, point(s), s.load(sum, {s.index(0)})))});
  shared_limit() = limit;
  const std::vector<int64_t> symbols(n == most ? 0 : 1, n);
  const Inputs inputs = {{x, random_tensor(dtype, {64, n})}};
  expect_same(p, symbols, inputs);
  std::string text;
  run_cuda(p, symbols, inputs, {}, false, &text);
  shared_limit() = 0;
  return text;
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

TEST(CudaShapes, LongRowsInSharedMemory) {
  const uint32_t large = 227u << 10, small = 99u << 10;
  // Two blocks beside each other; pieces of 16 bytes though the length is odd.
  std::string text = run_long_rows(F16, 33001, 33001, large);
  EXPECT_TRUE(has(text, "tv_hold<8>(") && has(text, "__launch_bounds__(512)")) << text;
  // One block: two would need 264 KB.
  text = run_long_rows(F32, 33004, 33004, large);
  EXPECT_TRUE(has(text, "tv_hold<4>(") && has(text, "__launch_bounds__(1024)")) << text;
  // The largest length counts, and how near to it the common one is.
  text = run_long_rows(F16, 33001, 40000, large);
  EXPECT_TRUE(has(text, "tv_hold<")) << text;
  text = run_long_rows(F16, 33001, 90000, large);
  EXPECT_FALSE(has(text, "tv_hold<")) << text;
  text = run_long_rows(F16, 33001, 33001, small);
  EXPECT_TRUE(has(text, "tv_hold<8>(")) << text;
  text = run_long_rows(F32, 33001, 33001, small);
  EXPECT_FALSE(has(text, "tv_hold<")) << text;
}

TEST(CudaShapes, FewLongRows) {
  Program p;
  auto x = p.input(F32, {2, 40000}), y = p.output(F32, {2, 40000}), m = p.temp(F32, {2});
  {
    Stage s = p.reduce({2}, {40000});
    s.finish({m}, {s.load(x, {s.index(0), s.index(1)})}, p.monoid(TVI_KIR_REDUCE_MAX, F32));
  }
  Stage s = p.map({2, 40000});
  s.finish({y}, {s.op(TVI_KIR_SUB, F32, s.at(x), s.load(m, {s.index(0)}))});
  expect_same(p, {}, {{x, random_tensor(F32, {2, 40000})}});
}

// Too few rows for the device: blocks share each, and a second kernel joins what they found.
TEST(CudaShapes, SharedRows) {
  for (int64_t n : {20001, 65540}) {
    Program p;
    auto x = p.input(F32, {2, n}), mean = p.output(F32, {2}), sum = p.temp(F32, {2});
    auto at = p.output(I64, {2});
    {
      Stage s = p.reduce({2}, {n});
      s.finish({sum}, {s.load(x, {s.index(0), s.index(1)})}, p.monoid(TVI_KIR_SUM, F32));
    }
    {
      Stage s = p.map({2});
      s.finish({mean}, {s.op(TVI_KIR_DIV, F32, s.at(sum), s.f(static_cast<double>(n), F32))});
    }
    Stage s = p.reduce({2}, {n});
    s.finish({TVI_KIR_NONE, at}, {s.load(x, {s.index(0), s.index(1)}), s.index(1)},
             p.monoid(TVI_KIR_ARGMAX, F32));
    expect_same(p, {}, {{x, random_tensor(F32, {2, n})}});
  }
}

TEST(CudaShapes, SharedColumnsAndVariances) {
  Program p;
  const int64_t n = 9001;
  auto x = p.input(F32, {n, 6}), mean = p.output(F32, {6}), m2 = p.output(F32, {6});
  Stage s = p.reduce({6}, {n});
  s.finish({mean, m2, TVI_KIR_NONE}, {s.load(x, {s.index(1), s.index(0)})},
           p.monoid(TVI_KIR_WELFORD, F32));
  expect_same(p, {}, {{x, random_tensor(F32, {n, 6})}});
}

// Windows of pictures whose channels lie together: a thread has several channels. Outside of the
// picture there is nothing; the third case has channels that cannot be moved at once.
TEST(CudaShapes, PoolingOfSeveralChannels) {
  for (int64_t channels : {64, 96, 62}) {
    Program p;
    const int64_t height = 30, width = 75;
    auto x = p.input(F16, {2 * height, 2 * width, channels});
    auto bias = p.input(F16, {channels}), y = p.output(F16, {height, width, channels});
    auto top = p.temp(F16, {height, width, channels});
    {
      Stage s = p.reduce({height, width, channels}, {3, 3});
      const auto at = [&](uint32_t outer, uint32_t inner) {
        return s.op(
            TVI_KIR_SUB, I64,
            s.op(TVI_KIR_ADD, I64, s.op(TVI_KIR_MUL, I64, s.index(outer), s.i(2)), s.index(inner)),
            s.i(1));
      };
      s.finish({top}, {s.load(x, {at(0, 3), at(1, 4), s.index(2)}, s.f(-1000, F16))},
               p.monoid(TVI_KIR_REDUCE_MAX, F16));
    }
    Stage s = p.map({height, width, channels});
    s.finish({y}, {s.op(TVI_KIR_ADD, F16, s.load(top, {s.index(0), s.index(1), s.index(2)}),
                        s.load(bias, {s.index(2)}))});
    expect_same(p, {},
                {{x, random_tensor(F16, {2 * height, 2 * width, channels})},
                 {bias, random_tensor(F16, {channels}, 2)}});
  }
}

// Sums over all but the last dimension, in lanes of a block and in blocks that share a column.
TEST(CudaShapes, NeighbouringColumns) {
  const struct {
    int64_t rows, columns;
    uint32_t dtype;
  } cases[] = {{49, 22528, F16}, {2200, 768, F16}, {80, 8448, F32}, {70, 8448, U8}};
  for (const auto& c : cases) {
    Program p;
    auto x = p.input(c.dtype, {c.rows, c.columns}), y = p.output(c.dtype, {c.columns});
    auto at = p.output(I64, {c.columns});
    {
      Stage s = p.reduce({c.columns}, {c.rows});
      s.finish({y}, {s.load(x, {s.index(1), s.index(0)})},
               p.monoid(c.dtype == U8 ? TVI_KIR_REDUCE_MAX : TVI_KIR_SUM, c.dtype));
    }
    Stage s = p.reduce({c.columns}, {c.rows});
    s.finish({TVI_KIR_NONE, at}, {s.load(x, {s.index(1), s.index(0)}), s.index(1)},
             p.monoid(TVI_KIR_ARGMAX, c.dtype));
    expect_same(p, {}, {{x, random_tensor(c.dtype, {c.rows, c.columns})}});
  }
}

// Rows of a table: read in pieces, also where a position is out of bounds.
TEST(CudaShapes, RowsOfTables) {
  for (uint32_t dtype : {F16, F32, U8}) {
    Program p;
    auto table = p.input(dtype, {50, 64}), ids = p.input(I64, {33}), y = p.output(dtype, {33, 64});
    Stage s = p.map({33, 64});
    s.finish({y}, {s.load(table, {s.load(ids, {s.index(0)}), s.index(1)}, s.i(0, dtype),
                          {TVI_KIR_WRAP_NEGATIVE, TVI_KIR_WRAP_NONE})});
    Tensor t = random_tensor(I64, {33});
    for (int64_t i = 0; i < 33; ++i) reinterpret_cast<int64_t*>(t.bytes.data())[i] = 3 * i - 60;
    expect_same(p, {}, {{table, random_tensor(dtype, {50, 64})}, {ids, t}});
  }
}

// Two operands beside each other: a piece lies within one of them, or (at 44) does not.
TEST(CudaShapes, PiecesWithinBounds) {
  for (int64_t border : {48, 44, 41}) {
    Program p;
    const int64_t rows = 20, width = 128;
    auto a = p.input(F16, {rows, border}), b = p.input(F16, {rows, width - border});
    auto y = p.output(F16, {rows, width});
    Stage s = p.map({rows, width});
    Ref i = s.index(0), k = s.index(1), at = s.i(border), none = s.f(0, F16);
    s.finish({y}, {s.op(TVI_KIR_SELECT, F16, s.op(TVI_KIR_LT, BOOL, k, at), s.load(a, {i, k}, none),
                        s.load(b, {i, s.op(TVI_KIR_SUB, I64, k, at)}, none))});
    expect_same(p, {},
                {{a, random_tensor(F16, {rows, border})},
                 {b, random_tensor(F16, {rows, width - border}, 2)}});
  }
}

}  // namespace
}  // namespace tile_test
