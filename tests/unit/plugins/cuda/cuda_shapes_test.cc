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

}  // namespace
}  // namespace tile_test
