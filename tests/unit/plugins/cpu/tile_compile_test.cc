// SPDX-License-Identifier: Apache-2.0
//
// Programs of every kind through compiler and interpreter, compared with the plain evaluator on
// every instruction set of this machine.

#include "tests/unit/plugins/cpu/tile_test_util.h"

extern "C" {
#include "runtime/device/cpu/thread_pool.h"
}

namespace tile_test {
namespace {

TEST(TileCompile, AddsWithBroadcast) {
  Program p;
  auto a = p.input(F32, {3, 1000}), b = p.input(F32, {1000}), y = p.output(F32, {3, 1000});
  Stage s = p.map({3, 1000});
  s.finish({y}, {s.op(TVI_KIR_ADD, F32, s.at(a), s.load(b, {s.index(1)}))});
  expect_same(p, {}, {{a, random_tensor(F32, {3, 1000})}, {b, random_tensor(F32, {1000}, 2)}});
}

// x[n, c, h] with the maximum and the sum along |axis| of the three.
void softmax(std::vector<int64_t> dims, uint32_t axis, std::vector<uint32_t> x_order,
             std::vector<uint32_t> y_order) {
  Program p;
  std::vector<int64_t> outer;
  for (uint32_t d = 0; d < dims.size(); ++d)
    if (d != axis) outer.push_back(dims[d]);
  const uint32_t last = (uint32_t)dims.size() - 1;
  auto x = p.input(F32, dims), y = p.output(F32, dims);
  auto top = p.temp(F32, outer), sum = p.temp(F32, outer);
  auto own = [&](Stage& s) {  // indices of x in a reduction
    std::vector<Ref> out;
    for (uint32_t d = 0, o = 0; d <= last; ++d) out.push_back(s.index(d == axis ? last : o++));
    return out;
  };
  {
    Stage s = p.reduce(outer, {dims[axis]});
    s.finish({top}, {s.load(x, own(s))}, p.monoid(TVI_KIR_REDUCE_MAX, F32));
  }
  {
    Stage s = p.reduce(outer, {dims[axis]});
    Ref e = s.op(TVI_KIR_EXP, F32, s.op(TVI_KIR_SUB, F32, s.load(x, own(s)), s.at(top)));
    s.finish({sum}, {e}, p.monoid(TVI_KIR_SUM, F32));
  }
  Stage s = p.map(dims);
  std::vector<Ref> at;
  for (uint32_t d = 0; d <= last; ++d)
    if (d != axis) at.push_back(s.index(d));
  Ref e = s.op(TVI_KIR_EXP, F32, s.op(TVI_KIR_SUB, F32, s.at(x), s.load(top, at)));
  s.finish({y}, {s.op(TVI_KIR_DIV, F32, e, s.load(sum, at))});
  Options options;
  options.output_orders = {y_order};
  expect_same(p, {}, {{x, random_tensor(F32, dims, 3, -3, 3, x_order)}}, options);
}

TEST(TileCompile, SoftmaxAlongLastAxis) {
  for (int64_t n : {1, 3, 7, 100, 256, 700}) softmax({37, n}, 1, {}, {});
}

TEST(TileCompile, SoftmaxAlongMiddleAxis) {
  softmax({3, 5, 33}, 1, {}, {});
  softmax({3, 5, 33}, 1, {0, 2, 1}, {0, 2, 1});
  softmax({3, 5, 33}, 1, {0, 2, 1}, {});
  softmax({300, 9}, 0, {}, {});
}

TEST(TileCompile, TransposesAllTypes) {
  for (uint32_t dtype : {F32, F64, F16, BF16, U8, I8, I16, U16, I32, U32, I64, U64, BOOL})
    for (auto mn : std::vector<std::pair<int64_t, int64_t>>{{5, 7}, {70, 130}, {17, 1000}}) {
      Program p;
      auto x = p.input(dtype, {2, mn.first, mn.second});
      auto y = p.output(dtype, {2, mn.second, mn.first});
      Stage s = p.map({2, mn.second, mn.first});
      s.finish({y}, {s.load(x, {s.index(0), s.index(2), s.index(1)})});
      expect_same(p, {}, {{x, random_tensor(dtype, {2, mn.first, mn.second})}});
    }
}

TEST(TileCompile, MemoryOrdersAndGaps) {
  const std::vector<int64_t> dims = {2, 6, 5, 7};
  const std::vector<std::vector<uint32_t>> orders = {{}, {0, 2, 3, 1}, {3, 2, 1, 0}, {1, 0, 3, 2}};
  for (const auto& xo : orders)
    for (const auto& yo : orders)
      for (int64_t gap : {0, 3}) {
        Program p;
        auto x = p.input(F32, dims), b = p.input(F32, {6}), y = p.output(F32, dims);
        Stage s = p.map(dims);
        Ref sum = s.op(TVI_KIR_ADD, F32, s.at(x), s.load(b, {s.index(1)}));
        s.finish({y}, {s.op(TVI_KIR_MAX, F32, sum, s.f(0))});
        Options options;
        options.output_orders = {yo};
        options.output_gap = gap;
        expect_same(
            p, {},
            {{x, random_tensor(F32, dims, 1, -3, 3, xo, gap)}, {b, random_tensor(F32, {6}, 2)}},
            options);
      }
}

TEST(TileCompile, Windows) {
  for (bool padded : {false, true})
    for (auto kind : {TVI_KIR_REDUCE_MAX, TVI_KIR_SUM})
      for (const auto& order : std::vector<std::vector<uint32_t>>{{}, {0, 2, 3, 1}}) {
        Program p;
        const int64_t oh = padded ? 5 : 4, ow = padded ? 6 : 5;
        auto x = p.input(F32, {2, 3, 9, 11}), y = p.output(F32, {2, 3, oh, ow});
        Stage s = p.reduce({2, 3, oh, ow}, {3, 3});
        Ref two = s.i(2);
        Ref h = s.op(TVI_KIR_ADD, I64, s.op(TVI_KIR_MUL, I64, s.index(2), two), s.index(4));
        Ref w = s.op(TVI_KIR_ADD, I64, s.op(TVI_KIR_MUL, I64, s.index(3), two), s.index(5));
        if (padded) {
          h = s.op(TVI_KIR_SUB, I64, h, s.i(1));
          w = s.op(TVI_KIR_SUB, I64, w, s.i(1));
        }
        Ref pad = padded ? s.f(kind == TVI_KIR_SUM ? 0 : -INFINITY) : TVI_KIR_NONE;
        s.finish({y}, {s.load(x, {s.index(0), s.index(1), h, w}, pad)}, p.monoid(kind, F32));
        Options options;
        options.output_orders = {order};
        expect_same(p, {}, {{x, random_tensor(F32, {2, 3, 9, 11}, 1, -3, 3, order)}}, options);
      }
}

TEST(TileCompile, MatrixProducts) {
  for (bool transposed : {false, true}) {
    Program p;
    const int64_t m = 5, n = 37, k = 19;
    auto a = p.input(F32, {m, k}), b = p.input(F32, {k, n}), y = p.output(F32, {m, n});
    Stage s = p.reduce({m, n}, {k});
    Ref product = s.op(TVI_KIR_MUL, F32, s.load(a, {s.index(0), s.index(2)}),
                       s.load(b, {s.index(2), s.index(1)}));
    s.finish({y}, {product}, p.monoid(TVI_KIR_SUM, F32));
    std::vector<uint32_t> order;
    if (transposed) order = {1, 0};
    expect_same(p, {},
                {{a, random_tensor(F32, {m, k}, 1, -3, 3, order)},
                 {b, random_tensor(F32, {k, n}, 2, -3, 3, order)}});
  }
}

TEST(TileCompile, Convolution) {
  Program p;
  auto x = p.input(F32, {2, 3, 8, 9}), w = p.input(F32, {4, 3, 3, 3});
  auto y = p.output(F32, {2, 4, 8, 9});
  Stage s = p.reduce({2, 4, 8, 9}, {3, 3, 3});
  Ref one = s.i(1);
  Ref h = s.op(TVI_KIR_SUB, I64, s.op(TVI_KIR_ADD, I64, s.index(2), s.index(5)), one);
  Ref v = s.op(TVI_KIR_SUB, I64, s.op(TVI_KIR_ADD, I64, s.index(3), s.index(6)), one);
  Ref product = s.op(TVI_KIR_MUL, F32, s.load(x, {s.index(0), s.index(4), h, v}, s.f(0)),
                     s.load(w, {s.index(1), s.index(4), s.index(5), s.index(6)}));
  s.finish({y}, {product}, p.monoid(TVI_KIR_SUM, F32));
  expect_same(p, {},
              {{x, random_tensor(F32, {2, 3, 8, 9})}, {w, random_tensor(F32, {4, 3, 3, 3}, 2)}});
}

TEST(TileCompile, ReductionsOfAllTypes) {
  const int64_t m = 13, n = 301;
  for (uint32_t dtype : {F32, F64, F16, BF16, I8, U8, I16, U16, I32, U32, I64, U64})
    for (auto kind : {TVI_KIR_SUM, TVI_KIR_PROD, TVI_KIR_REDUCE_MIN, TVI_KIR_REDUCE_MAX})
      for (bool along_rows : {false, true}) {
        Program p;
        auto x = p.input(dtype, {m, n}), y = p.output(dtype, {along_rows ? m : n});
        Stage s = along_rows ? p.reduce({m}, {n}) : p.reduce({n}, {m});
        Ref i0 = s.index(0), i1 = s.index(1);
        s.finish({y}, {along_rows ? s.load(x, {i0, i1}) : s.load(x, {i1, i0})},
                 p.monoid(kind, dtype));
        const bool narrow = kind == TVI_KIR_PROD && tvi_dtype_is_float(dtype);
        expect_same(p, {},
                    {{x, random_tensor(dtype, {m, n}, 4, narrow ? 0.9 : -3, narrow ? 1.1 : 3)}});
      }
}

TEST(TileCompile, LogicalReductions) {
  for (auto kind : {TVI_KIR_ANY, TVI_KIR_ALL})
    for (int64_t n : {1, 2, 300}) {
      Program p;
      auto x = p.input(BOOL, {40, n}), y = p.output(BOOL, {40});
      Stage s = p.reduce({40}, {n});
      s.finish({y}, {s.load(x, {s.index(0), s.index(1)})}, p.monoid(kind, BOOL));
      expect_same(p, {}, {{x, random_tensor(BOOL, {40, n})}});
    }
}

TEST(TileCompile, PositionsOfExtremes) {
  const int64_t m = 13, n = 301;
  for (uint32_t dtype : {F32, I32, U8, I64})
    for (auto kind : {TVI_KIR_ARGMAX, TVI_KIR_ARGMIN})
      for (bool along_rows : {false, true}) {
        Program p;
        auto x = p.input(dtype, {m, n}), y = p.output(I64, {along_rows ? m : n});
        Stage s = along_rows ? p.reduce({m}, {n}) : p.reduce({n}, {m});
        Ref i0 = s.index(0), i1 = s.index(1);
        Ref element = along_rows ? s.load(x, {i0, i1}) : s.load(x, {i1, i0});
        s.finish({TVI_KIR_NONE, y}, {element, i1}, p.monoid(kind, dtype));
        Tensor t = random_tensor(dtype, {m, n});
        tvi_kir_scalar_t nan;
        nan.f = NAN;
        if (dtype == F32) t.set(5 * n + 7, nan);
        expect_same(p, {}, {{x, t}});
      }
}

TEST(TileCompile, Scans) {
  const int64_t m = 6, n = 41;
  for (uint32_t flags = 0; flags < 4; ++flags)
    for (bool along_rows : {false, true})
      for (auto kind : {TVI_KIR_SUM, TVI_KIR_REDUCE_MAX}) {
        Program p;
        auto x = p.input(F32, {m, n});
        auto y =
            p.output(F32, along_rows ? std::vector<int64_t>{m, n} : std::vector<int64_t>{n, m});
        Stage s = along_rows ? p.scan({m, n}) : p.scan({n, m});
        Ref element = along_rows ? s.at(x) : s.load(x, {s.index(1), s.index(0)});
        s.finish({y}, {element}, p.monoid(kind, F32), flags);
        expect_same(p, {}, {{x, random_tensor(F32, {m, n})}});
      }
}

TEST(TileCompile, TupleStates) {
  for (auto kind : {TVI_KIR_WELFORD, TVI_KIR_SOFTMAX_STATE})
    for (int64_t n : {1, 9, 300, 1111}) {
      Program p;
      auto x = p.input(F32, {5, n}), a = p.output(F32, {5}), b = p.output(F32, {5});
      Stage s = p.reduce({5}, {n});
      std::vector<uint32_t> values = {a, b};
      if (kind == TVI_KIR_WELFORD) values.push_back(TVI_KIR_NONE);
      s.finish(values, {s.load(x, {s.index(0), s.index(1)})}, p.monoid(kind, F32));
      Options options;
      options.tolerance = 1e-4;
      expect_same(p, {}, {{x, random_tensor(F32, {5, n})}}, options);
    }
}

TEST(TileCompile, DeclaredMonoid) {
  // (sum, product of 1 + x / 100), joined by hand.
  for (bool along_rows : {false, true}) {
    Program p;
    const int64_t m = 20, n = 70;
    auto x = p.input(F32, {m, n}), a = p.output(F32, {along_rows ? m : n}),
         b = p.output(F32, {along_rows ? m : n});
    tvi_kir_monoid_t monoid;
    memset(&monoid, 0, sizeof(monoid));
    monoid.kind = TVI_KIR_DECLARED;
    monoid.state_count = monoid.element_count = 2;
    monoid.dtypes[0] = monoid.dtypes[1] = F32;
    monoid.name = "both";
    monoid.identity[1] = 1.0;
    tvi_kir_instr_t join[6];
    memset(join, 0, sizeof(join));
    for (auto& instr : join) {
      instr.opcode = TVI_KIR_CONST;
      instr.dtype = F32;
    }
    join[4].opcode = TVI_KIR_ADD;
    join[4].args[0] = 0;
    join[4].args[1] = 2;
    join[5].opcode = TVI_KIR_MUL;
    join[5].args[0] = 1;
    join[5].args[1] = 3;
    monoid.join = join;
    monoid.join_count = 6;
    monoid.join_results[0] = 4;
    monoid.join_results[1] = 5;
    Stage s = along_rows ? p.reduce({m}, {n}) : p.reduce({n}, {m});
    Ref i0 = s.index(0), i1 = s.index(1);
    Ref e = along_rows ? s.load(x, {i0, i1}) : s.load(x, {i1, i0});
    Ref near_one = s.op(TVI_KIR_ADD, F32, s.op(TVI_KIR_MUL, F32, e, s.f(0.01)), s.f(1));
    s.finish({a, b}, {e, near_one}, &monoid);
    Options options;
    options.tolerance = 1e-4;
    expect_same(p, {}, {{x, random_tensor(F32, {m, n})}}, options);
  }
}

// A declared monoid of two f32 parts, its join given as instructions behind the four operands.
struct Declared {
  explicit Declared(double first, double second) {
    memset(&monoid, 0, sizeof(monoid));
    monoid.kind = TVI_KIR_DECLARED;
    monoid.state_count = monoid.element_count = 2;
    monoid.dtypes[0] = monoid.dtypes[1] = F32;
    monoid.name = "declared";
    monoid.identity[0] = first;
    monoid.identity[1] = second;
    for (int i = 0; i < 4; ++i) op(TVI_KIR_CONST, 0, 0);
  }
  Ref op(uint32_t opcode, Ref a, Ref b, Ref c = 0, uint32_t dtype = F32) {
    tvi_kir_instr_t instr;
    memset(&instr, 0, sizeof(instr));
    instr.opcode = (uint16_t)opcode;
    instr.dtype = dtype;
    instr.args[0] = a;
    instr.args[1] = b;
    instr.args[2] = c;
    join.push_back(instr);
    return (Ref)join.size() - 1;
  }
  const tvi_kir_monoid_t* give(Ref first, Ref second) {
    monoid.join = join.data();
    monoid.join_count = (uint32_t)join.size();
    monoid.join_results[0] = first;
    monoid.join_results[1] = second;
    return &monoid;
  }
  tvi_kir_monoid_t monoid;
  std::vector<tvi_kir_instr_t> join;
};

// Reduces rows of several lengths, and columns. |scale| 0: the second part is the position; 1: it
// is 1; otherwise so many times the element.
void expect_declared(const tvi_kir_monoid_t* monoid, bool coarse, double scale) {
  for (bool along_rows : {true, false})
    for (int64_t m : {1, 6, 37})
      for (int64_t n : {1, 5, 65, 300, 1111}) {
        Program p;
        const std::vector<int64_t> dims = {along_rows ? m : n, along_rows ? n : m};
        auto x = p.input(F32, dims), a = p.output(F32, {m}), b = p.output(F32, {m});
        Stage s = p.reduce({m}, {n});
        Ref e = s.load(x, {s.index(along_rows ? 0 : 1), s.index(along_rows ? 1 : 0)});
        if (coarse) e = s.op(TVI_KIR_FLOOR, F32, e);
        Ref at = s.op(TVI_KIR_ADD, F32, s.op(TVI_KIR_CAST, F32, s.index(1)), s.f(1));
        Ref second = scale == 0 ? at : s.op(TVI_KIR_MUL, F32, e, s.f(scale));
        s.finish({a, b}, {e, scale == 1 ? s.f(1) : second}, monoid);
        Options options;
        options.tolerance = 1e-4;
        expect_same(p, {}, {{x, random_tensor(F32, dims, 3, -1, 1)}}, options);
      }
}

// Joining two identities gives inf - inf: lanes without a point must take no part.
TEST(TileCompile, DeclaredMonoidWhoseIdentitiesMustNotMeet) {
  Declared d(-HUGE_VAL, 0);
  Ref top = d.op(TVI_KIR_MAX, 0, 2), terms[2];
  for (Ref side = 0; side < 2; ++side)
    terms[side] =
        d.op(TVI_KIR_MUL, 2 * side + 1, d.op(TVI_KIR_EXP, d.op(TVI_KIR_SUB, 2 * side, top), 0));
  expect_declared(d.give(top, d.op(TVI_KIR_ADD, terms[0], terms[1])), false, 1);
}

// Maps y = p x + q, one after the other: sides must not be exchanged.
TEST(TileCompile, DeclaredMonoidInOrder) {
  Declared d(1, 0);
  Ref p = d.op(TVI_KIR_MUL, 0, 2);
  expect_declared(d.give(p, d.op(TVI_KIR_ADD, d.op(TVI_KIR_MUL, 2, 1), 3)), false, 0.5);
}

// The first of equal extremes wins: that is an order, too.
TEST(TileCompile, DeclaredMonoidFirstOfEquals) {
  Declared d(-HUGE_VAL, 0);
  Ref keeps = d.op(TVI_KIR_GE, 0, 2, 0, BOOL);
  Ref value = d.op(TVI_KIR_SELECT, keeps, 0, 2), at = d.op(TVI_KIR_SELECT, keeps, 1, 3);
  expect_declared(d.give(value, at), true, 0);
}

// A mean and its count, which is one number for all rows.
TEST(TileCompile, DeclaredMonoidWithACount) {
  Declared d(0, 0);
  Ref count = d.op(TVI_KIR_ADD, 1, 3);
  Ref share = d.op(TVI_KIR_DIV, 3, count);
  Ref mean = d.op(TVI_KIR_ADD, 0, d.op(TVI_KIR_MUL, d.op(TVI_KIR_SUB, 2, 0), share));
  expect_declared(d.give(mean, count), false, 1);
}

// Results that are operands, of the other part too; one result for two parts; a part that is read
// after the other one is known.
TEST(TileCompile, DeclaredMonoidsThatMoveParts) {
  {
    Declared d(0, 0);
    expect_declared(d.give(2, 1), false, 0);  // the last element, and what was there
  }
  {
    Declared d(-HUGE_VAL, -HUGE_VAL);
    Ref top = d.op(TVI_KIR_MAX, d.op(TVI_KIR_MAX, 0, 1), d.op(TVI_KIR_MAX, 2, 3));
    expect_declared(d.give(top, top), false, 0.5);
  }
  {
    // Two greatest of one: the second looks at what the first was.
    Declared d(-HUGE_VAL, -HUGE_VAL);
    Ref top = d.op(TVI_KIR_MAX, 0, 2);
    Ref next = d.op(TVI_KIR_MAX, d.op(TVI_KIR_MIN, 0, 2), d.op(TVI_KIR_MAX, 1, 3));
    expect_declared(d.give(top, next), false, -1);
  }
}

TEST(TileCompile, Gathers) {
  const int64_t v = 50, d = 30, n = 20;
  for (uint8_t wrap = 0; wrap < 3; ++wrap)
    for (bool padded : {false, true})
      for (uint32_t dtype : {F32, I8, F64, BF16}) {
        const double low = padded || wrap ? -49 : 0;
        {
          Program p;
          auto table = p.input(dtype, {v, d}), rows = p.input(I64, {n}),
               y = p.output(dtype, {n, d});
          Stage s = p.map({n, d});
          Ref pad = !padded                     ? TVI_KIR_NONE
                    : tvi_dtype_is_float(dtype) ? s.f(7, dtype)
                                                : s.i(7, dtype);
          s.finish({y}, {s.load(table, {s.load(rows, {s.index(0)}), s.index(1)}, pad, {wrap, 0})});
          expect_same(
              p, {},
              {{table, random_tensor(dtype, {v, d})}, {rows, random_tensor(I64, {n}, 5, low, 49)}});
        }
        Program p;
        auto table = p.input(dtype, {v, d}), rows = p.input(I32, {n, d}),
             y = p.output(dtype, {n, d});
        Stage s = p.map({n, d});
        Ref pad = !padded                     ? TVI_KIR_NONE
                  : tvi_dtype_is_float(dtype) ? s.f(7, dtype)
                                              : s.i(7, dtype);
        Ref row = s.op(TVI_KIR_CAST, I64, s.at(rows));
        s.finish({y}, {s.load(table, {row, s.index(1)}, pad, {wrap, 0})});
        expect_same(p, {},
                    {{table, random_tensor(dtype, {v, d})},
                     {rows, random_tensor(I32, {n, d}, 5, low, 49)}});
      }
}

TEST(TileCompile, GatherOutOfBoundsIsAnError) {
  Program p;
  auto table = p.input(F32, {10, 4}), rows = p.input(I64, {3}), y = p.output(F32, {3, 4});
  Stage s = p.map({3, 4});
  s.finish({y}, {s.load(table, {s.load(rows, {s.index(0)}), s.index(1)})});
  Tensor t = random_tensor(I64, {3}, 1, 0, 9);
  tvi_kir_scalar_t bad;
  bad.i = 10;
  t.set(1, bad);
  EXPECT_THROW(run_tile(p.get(), {}, {{table, random_tensor(F32, {10, 4})}, {rows, t}}, {}),
               std::runtime_error);
}

TEST(TileCompile, Concatenation) {
  Program p;
  auto a = p.input(F32, {4, 30}), b = p.input(F32, {4, 50}), y = p.output(F32, {4, 80});
  Stage s = p.map({4, 80});
  Ref k = s.index(1), n = s.i(30), zero = s.f(0);
  Ref first = s.op(TVI_KIR_LT, BOOL, k, n);
  Ref x0 = s.load(a, {s.index(0), k}, zero);
  Ref x1 = s.load(b, {s.index(0), s.op(TVI_KIR_SUB, I64, k, n)}, zero);
  s.finish({y}, {s.op(TVI_KIR_SELECT, F32, first, x0, x1)});
  expect_same(p, {}, {{a, random_tensor(F32, {4, 30})}, {b, random_tensor(F32, {4, 50}, 2)}});
}

TEST(TileCompile, ReshapesByDivision) {
  Program p;
  auto a = p.input(F32, {6, 10}), y = p.output(F32, {15, 4});
  Stage s = p.map({15, 4});
  Ref at = s.op(TVI_KIR_ADD, I64, s.op(TVI_KIR_MUL, I64, s.index(0), s.i(4)), s.index(1));
  Ref m = s.i(10);
  s.finish({y}, {s.load(a, {s.op(TVI_KIR_FLOORDIV, I64, at, m), s.op(TVI_KIR_MOD, I64, at, m)})});
  expect_same(p, {}, {{a, random_tensor(F32, {6, 10})}});
}

TEST(TileCompile, DividesAwayWhereExact) {
  // (i * 4 + j) / 4 is i and the remainder j: no division is left.
  Program p;
  auto a = p.input(F32, {15, 4}), y = p.output(F32, {15, 4});
  Stage s = p.map({15, 4});
  Ref m = s.i(4);
  Ref at = s.op(TVI_KIR_ADD, I64, s.op(TVI_KIR_MUL, I64, s.index(0), m), s.index(1));
  s.finish({y}, {s.load(a, {s.op(TVI_KIR_FLOORDIV, I64, at, m), s.op(TVI_KIR_MOD, I64, at, m)})});
  EXPECT_EQ(Compiled(p.get()).print().find("DIV"), std::string::npos);
  expect_same(p, {}, {{a, random_tensor(F32, {15, 4})}});
}

TEST(TileCompile, ReductionOfEverythingThenMap) {
  for (int64_t n : {20, 3000}) {
    Program p;
    auto x = p.input(F32, {n, 33}), y = p.output(F32, {n, 33}), t = p.temp(F32, {});
    {
      Stage s = p.reduce({}, {n, 33});
      s.finish({t}, {s.load(x, {s.index(0), s.index(1)})}, p.monoid(TVI_KIR_SUM, F32));
    }
    Stage s = p.map({n, 33});
    s.finish({y}, {s.op(TVI_KIR_DIV, F32, s.at(x), s.load(t, {}))});
    expect_same(p, {}, {{x, random_tensor(F32, {n, 33}, 1, 0.1, 1)}});
  }
}

TEST(TileCompile, EmptyShapes) {
  for (auto kind : {TVI_KIR_SUM, TVI_KIR_REDUCE_MAX, TVI_KIR_PROD}) {
    Program p;
    auto x = p.input(F32, {5, 0}), y = p.output(F32, {5});
    Stage s = p.reduce({5}, {0});
    s.finish({y}, {s.load(x, {s.index(0), s.index(1)})}, p.monoid(kind, F32));
    expect_same(p, {}, {{x, random_tensor(F32, {5, 0})}});
  }
  Program p;
  auto x = p.input(F32, {0, 7}), y = p.output(F32, {0, 7});
  Stage s = p.map({0, 7});
  s.finish({y}, {s.op(TVI_KIR_EXP, F32, s.at(x))});
  expect_same(p, {}, {{x, random_tensor(F32, {0, 7})}});
}

TEST(TileCompile, LayerNorm) {
  for (int64_t k : {5, 768, 1000}) {
    Program p;
    const int64_t n = 11;
    auto x = p.input(F32, {n, k}), g = p.input(F32, {k}), b = p.input(F32, {k});
    auto y = p.output(F32, {n, k}), sum = p.temp(F32, {n}), mean = p.temp(F32, {n});
    auto squares = p.temp(F32, {n}), var = p.temp(F32, {n});
    auto count = [&](Stage& s) { return s.op(TVI_KIR_CAST, F32, s.extent(p.dim(k))); };
    {
      Stage s = p.reduce({n}, {k});
      s.finish({sum}, {s.load(x, {s.index(0), s.index(1)})}, p.monoid(TVI_KIR_SUM, F32));
    }
    {
      Stage s = p.map({n});
      s.finish({mean}, {s.op(TVI_KIR_DIV, F32, s.at(sum), count(s))});
    }
    {
      Stage s = p.reduce({n}, {k});
      Ref d = s.op(TVI_KIR_SUB, F32, s.load(x, {s.index(0), s.index(1)}), s.at(mean));
      s.finish({squares}, {s.op(TVI_KIR_MUL, F32, d, d)}, p.monoid(TVI_KIR_SUM, F32));
    }
    {
      Stage s = p.map({n});
      s.finish({var}, {s.op(TVI_KIR_DIV, F32, s.at(squares), count(s))});
    }
    Stage s = p.map({n, k});
    Ref d = s.op(TVI_KIR_SUB, F32, s.at(x), s.at(mean));
    Ref r = s.op(TVI_KIR_RSQRT, F32, s.op(TVI_KIR_ADD, F32, s.at(var), s.f(1e-5)));
    Ref z = s.op(TVI_KIR_MUL, F32, s.op(TVI_KIR_MUL, F32, d, r), s.load(g, {s.index(1)}));
    s.finish({y}, {s.op(TVI_KIR_ADD, F32, z, s.load(b, {s.index(1)}))});
    Options options;
    options.tolerance = 1e-4;
    expect_same(p, {},
                {{x, random_tensor(F32, {n, k})},
                 {g, random_tensor(F32, {k}, 2)},
                 {b, random_tensor(F32, {k}, 3)}},
                options);
  }
}

TEST(TileCompile, StencilOverATemporary) {
  for (int64_t n : {3, 100}) {
    Program p;
    auto x = p.input(F32, {n, 50}), y = p.output(F32, {n, 50}), t = p.temp(F32, {n, 50});
    {
      Stage s = p.map({n, 50});
      s.finish({t}, {s.op(TVI_KIR_EXP, F32, s.at(x))});
    }
    Stage s = p.map({n, 50});
    Ref one = s.i(1), zero = s.f(0);
    Ref a = s.load(t, {s.index(0), s.op(TVI_KIR_ADD, I64, s.index(1), one)}, zero);
    Ref b = s.load(t, {s.index(0), s.op(TVI_KIR_SUB, I64, s.index(1), one)}, zero);
    s.finish({y}, {s.op(TVI_KIR_SUB, F32, a, b)});
    expect_same(p, {}, {{x, random_tensor(F32, {n, 50})}});
  }
}

TEST(TileCompile, SymbolicExtents) {
  Program p;
  auto n = p.symbol("n"), k = p.symbol("k");
  auto x = p.value(TVI_KIR_INPUT, F32, {n, k}), y = p.value(TVI_KIR_OUTPUT, F32, {k, n});
  Stage s(&p, TVI_KIR_MAP, {k, n}, {});
  Ref flipped = s.op(TVI_KIR_SUB, I64, s.op(TVI_KIR_SUB, I64, s.extent(k), s.i(1)), s.index(0));
  s.finish({y}, {s.load(x, {s.index(1), flipped})});
  for (auto nk : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {3, 700}, {33, 40}})
    expect_same(p, {nk.first, nk.second}, {{x, random_tensor(F32, {nk.first, nk.second})}});
}

TEST(TileCompile, IntegersWrapInTheirType) {
  for (uint32_t dtype : {I8, U8, I16, U16, I32, U32, I64, U64})
    for (auto op : {TVI_KIR_ADD, TVI_KIR_SUB, TVI_KIR_MUL, TVI_KIR_DIV, TVI_KIR_REM,
                    TVI_KIR_FLOORDIV, TVI_KIR_CEILDIV, TVI_KIR_MOD, TVI_KIR_MIN, TVI_KIR_MAX,
                    TVI_KIR_AND, TVI_KIR_OR, TVI_KIR_XOR, TVI_KIR_SHL, TVI_KIR_SHR, TVI_KIR_POW}) {
      Program p;
      auto a = p.input(dtype, {777}), b = p.input(dtype, {777});
      auto y = p.output(dtype, {777}), z = p.output(BOOL, {777});
      {
        Stage s = p.map({777});
        Ref r = s.op(op, dtype, s.at(a), s.at(b));
        s.finish({y}, {s.op(TVI_KIR_ADD, dtype, s.op(TVI_KIR_NOT, dtype, r),
                            s.op(TVI_KIR_ABS, dtype, s.op(TVI_KIR_NEG, dtype, r)))});
      }
      Stage s = p.map({777});
      s.finish({z}, {s.op(TVI_KIR_GE, BOOL, s.op(op, dtype, s.at(a), s.at(b)), s.at(a))});
      const double reach = tvi_dtype_bits(dtype) == 8 ? 130 : 40000;
      expect_same(p, {},
                  {{a, random_tensor(dtype, {777}, 1, -reach, reach)},
                   {b, random_tensor(dtype, {777}, 2, -9, 9)}});
    }
}

TEST(TileCompile, CastsBetweenAllTypes) {
  const uint32_t types[] = {F32,
                            F64,
                            F16,
                            BF16,
                            I8,
                            U8,
                            I16,
                            U16,
                            I32,
                            U32,
                            I64,
                            U64,
                            BOOL,
                            TRIVET_DTYPE_F8E4M3FN,
                            TRIVET_DTYPE_F8E5M2,
                            TRIVET_DTYPE_I4,
                            TRIVET_DTYPE_U4};
  for (uint32_t from : types)
    for (uint32_t to : types)
      for (auto op : {TVI_KIR_CAST, TVI_KIR_SATCAST}) {
        if (op == TVI_KIR_SATCAST && (from == BOOL || to == BOOL)) continue;
        Program p;
        auto x = p.input(from, {300}), y = p.output(to, {300});
        Stage s = p.map({300});
        s.finish({y}, {s.op(op, to, s.at(x))});
        SCOPED_TRACE(std::string(tvi_dtype_name(from)) + " to " + tvi_dtype_name(to) +
                     (op == TVI_KIR_CAST ? "" : ", saturated"));
        const double reach = tvi_dtype_bits(from) <= 8 ? 100 : 3000;
        expect_same(p, {}, {{x, random_tensor(from, {300}, 3, -reach, reach)}});
      }
}

TEST(TileCompile, QuantiseChain) {
  Program p;
  auto x = p.input(I8, {5, 999}), scale = p.input(F32, {}), y = p.output(U8, {5, 999});
  Stage s = p.map({5, 999});
  Ref v = s.op(TVI_KIR_MUL, F32, s.op(TVI_KIR_CAST, F32, s.at(x)), s.load(scale, {}));
  v = s.op(TVI_KIR_MAX, F32, v, s.f(0));
  v = s.op(TVI_KIR_DIV, F32, v, s.f(0.05));
  s.finish({y}, {s.op(TVI_KIR_SATCAST, U8, s.op(TVI_KIR_ADD, F32, v, s.f(3)))});
  Tensor t = Tensor::make(F32, {});
  tvi_kir_scalar_t value;
  value.f = 0.25;
  t.set(0, value);
  expect_same(p, {}, {{x, random_tensor(I8, {5, 999}, 3, -128, 127)}, {scale, t}});
}

// The same program gives the same bytes and, on any number of threads, the same bits.
TEST(TileCompile, ThreadsDoNotChangeResults) {
  Program p;
  const int64_t n = 500, k = 600;
  auto x = p.input(F32, {n, k}), y = p.output(F32, {n, k}), t = p.temp(F32, {n});
  {
    Stage s = p.reduce({n}, {k});
    s.finish({t}, {s.op(TVI_KIR_EXP, F32, s.load(x, {s.index(0), s.index(1)}))},
             p.monoid(TVI_KIR_SUM, F32));
  }
  Stage s = p.map({n, k});
  s.finish({y}, {s.op(TVI_KIR_DIV, F32, s.op(TVI_KIR_EXP, F32, s.at(x)), s.at(t))});
  const Inputs inputs = {{x, random_tensor(F32, {n, k})}};
  Compiled first(p.get()), second(p.get());
  ASSERT_EQ(first.compiled.size, second.compiled.size);
  EXPECT_EQ(memcmp(first.compiled.bytes, second.compiled.bytes, first.compiled.size), 0);
  for (uint32_t isa = 0; isa <= tvi_tile_isa_detect(); ++isa) {
    Options options;
    options.isa = isa;
    const Tensor alone = run_tile(p.get(), {}, inputs, options)[y];
    for (uint32_t threads : {2, 3, 7}) {
      tvi_thread_pool_options_t pool_options = {threads, 0};
      tvi_thread_pool_t* pool = nullptr;
      check(tvi_thread_pool_create(&pool_options, trivet_allocator_system(), &pool));
      options.threads = threads;
      options.executor = tvi_thread_pool_executor(pool);
      EXPECT_EQ(run_tile(p.get(), {}, inputs, options)[y].bytes, alone.bytes);
      tvi_thread_pool_destroy(pool);
    }
  }
}

}  // namespace
}  // namespace tile_test
