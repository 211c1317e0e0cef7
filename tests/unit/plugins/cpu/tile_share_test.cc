// SPDX-License-Identifier: Apache-2.0
//
// What phases of a tile program share (costly values that a reduction and a later phase need are
// computed once and kept), and sums that take products and squares as they are computed.

#include "tests/unit/plugins/cpu/tile_test_util.h"

namespace tile_test {
namespace {

size_t count_of(const std::string& text, const std::string& word) {
  size_t count = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++count;
  return count;
}

// y[r..., k] = exp(x[r..., k]) / sum(k){ exp(x[r..., k]) }; |rows| may be empty.
void normalised_exp(std::vector<int64_t> rows, int64_t k, size_t exps) {
  std::vector<int64_t> dims = rows;
  dims.push_back(k);
  Program p;
  auto x = p.input(F32, dims), y = p.output(F32, dims), sum = p.temp(F32, rows);
  {
    Stage s = p.reduce(rows, {k});
    s.finish({sum}, {s.op(TVI_KIR_EXP, F32, s.at(x))}, p.monoid(TVI_KIR_SUM, F32));
  }
  Stage s = p.map(dims);
  std::vector<Ref> row;
  for (size_t d = 0; d < rows.size(); ++d) row.push_back(s.index((int64_t)d));
  s.finish({y}, {s.op(TVI_KIR_DIV, F32, s.op(TVI_KIR_EXP, F32, s.at(x)), s.load(sum, row))});
  std::string listing = Compiled(p.get()).print();
  EXPECT_EQ(count_of(listing, "EXP."), exps) << rows.size() << " outer, " << k << "\n" << listing;
  expect_same(p, {}, {{x, random_tensor(F32, dims)}});
}

TEST(TileShare, ComputesOnceWhatAReductionAndItsReaderNeed) {
  for (int64_t k : {1, 5, 64, 300, 5000}) normalised_exp({9}, k, 1);
  normalised_exp({3, 4}, 65, 1);
}

TEST(TileShare, KeepsNoMoreThanTheCachesHold) {
  normalised_exp({2}, 70000, 2);
  normalised_exp({}, 70000, 2);
}

TEST(TileShare, UnknownExtents) {
  Program p;
  trivet_dim_t n = p.symbol("n"), k = p.symbol("k");
  auto x = p.value(TVI_KIR_INPUT, F32, {n, k}), y = p.value(TVI_KIR_OUTPUT, F32, {n, k});
  auto sum = p.value(TVI_KIR_TEMP, F32, {n});
  {
    Stage s(&p, TVI_KIR_REDUCE, {n}, {k});
    s.finish({sum}, {s.op(TVI_KIR_TANH, F32, s.at(x))}, p.monoid(TVI_KIR_REDUCE_MAX, F32));
  }
  Stage s(&p, TVI_KIR_MAP, {n, k}, {});
  Ref t = s.op(TVI_KIR_TANH, F32, s.at(x));
  s.finish({y}, {s.op(TVI_KIR_SUB, F32, t, s.load(sum, {s.index(0)}))});
  for (auto nk : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {7, 33}, {300, 3}, {2, 1500}})
    expect_same(p, {nk.first, nk.second}, {{x, random_tensor(F32, {nk.first, nk.second})}});
}

// y[i] = sum(k){ x[i, k] * z[i, k] }, or of (x - z) squared, z being one per row or per element.
void sum_of(std::vector<int64_t> dims, bool squares, bool per_row, bool columns,
            std::vector<uint32_t> order) {
  Program p;
  const int64_t kept = dims[columns ? 1 : 0], reduced = dims[columns ? 0 : 1];
  const std::vector<int64_t> z_dims = per_row ? std::vector<int64_t>{kept} : dims;
  auto x = p.input(F32, dims), z = p.input(F32, z_dims), y = p.output(F32, {kept});
  Stage s = p.reduce({kept}, {reduced});
  Ref i = s.index(0), k = s.index(1);
  std::vector<Ref> at = columns ? std::vector<Ref>{k, i} : std::vector<Ref>{i, k};
  Ref a = s.load(x, at), b = s.load(z, per_row ? std::vector<Ref>{i} : at);
  Ref d = s.op(TVI_KIR_SUB, F32, a, b);
  s.finish({y}, {squares ? s.op(TVI_KIR_MUL, F32, d, d) : s.op(TVI_KIR_MUL, F32, a, b)},
           p.monoid(TVI_KIR_SUM, F32));
  Inputs inputs = {{x, random_tensor(F32, dims, 3, -3, 3, order)}, {z, random_tensor(F32, z_dims)}};
  expect_same(p, {}, inputs);
}

TEST(TileShare, SumsOfProductsAndSquares) {
  for (int64_t k : {1, 3, 16, 17, 63, 64, 100, 700, 1500})
    for (int bits = 0; bits < 8; ++bits)
      for (auto order : std::vector<std::vector<uint32_t>>{{}, {1, 0}})
        sum_of({13, k}, bits & 1, bits & 2, bits & 4, order);
}

// Outputs may lie on inputs that are read where they are written: nothing is written before all has
// been read.
TEST(TileShare, SumsOfOneInPlace) {
  for (bool columns : {false, true}) {
    const int64_t n = 37;
    Program p;
    const std::vector<int64_t> dims =
        columns ? std::vector<int64_t>{1, n} : std::vector<int64_t>{n, 1};
    auto x = p.input(F32, dims), y = p.output(F32, {n});
    Stage s = p.reduce({n}, {1});
    Ref i = s.index(0), k = s.index(1);
    s.finish({y}, {s.load(x, columns ? std::vector<Ref>{k, i} : std::vector<Ref>{i, k})},
             p.monoid(TVI_KIR_SUM, F32));
    Compiled compiled(p.get());
    Tensor data = random_tensor(F32, {n}), want = data;
    trivet_operand_t operands[2];
    memset(operands, 0, sizeof(operands));
    operands[0].dtype = operands[1].dtype = F32;
    operands[0].rank = 2;
    for (int d = 0; d < 2; ++d) operands[0].dims[d] = dims[(size_t)d];
    operands[0].strides[0] = columns ? n : 1;
    operands[0].strides[1] = 1;
    operands[1].rank = 1;
    operands[1].dims[0] = n;
    operands[1].strides[0] = 1;
    ASSERT_EQ(compiled.compiled.operands[0], x);
    std::vector<int64_t> parameters;
    for (uint32_t q = 0; q < compiled.compiled.parameter_count; ++q)
      parameters.push_back(evaluate(compiled.compiled.parameters[q], {}));
    for (uint32_t isa = 0; isa <= tvi_tile_isa_detect(); ++isa) {
      data = want;
      tvi_tile_bind_options_t bind = {isa, 1};
      uint64_t workspace_size = 0;
      tvi_tile_bound_t* bound = nullptr;
      check(tvi_tile_bind(compiled.tile, operands, 2, parameters.data(), parameters.size(), &bind,
                          trivet_allocator_system(), &workspace_size, &bound));
      std::vector<uint8_t> workspace(workspace_size + 64);
      void* addresses[2] = {data.bytes.data(), data.bytes.data()};
      trivet_status_t status = tvi_tile_run(bound, addresses, workspace.data(), nullptr);
      tvi_tile_bound_release(bound);
      check(status);
      EXPECT_EQ(data.bytes, want.bytes) << "instruction set " << isa << ", columns " << columns;
    }
  }
}

}  // namespace
}  // namespace tile_test
