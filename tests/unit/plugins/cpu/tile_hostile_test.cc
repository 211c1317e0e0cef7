// SPDX-License-Identifier: Apache-2.0
//
// Programs from a stranger: every word of valid programs is replaced by values that hurt, then
// loaded, bound and run. Whatever happens must be a status or a result, never an access out of
// bounds (the address sanitizer watches in its configuration; buffers here end with guards).

#include "tests/unit/plugins/cpu/tile_test_util.h"

namespace tile_test {
namespace {

constexpr size_t kGuard = 256;

struct Counts {
  int refused = 0, unbound = 0, failed = 0, ran = 0;
};

// Loads, binds and runs bytes with the operands of the original program.
void try_bytes(const std::vector<uint8_t>& bytes, const std::vector<trivet_operand_t>& operands,
               const std::vector<int64_t>& parameters, std::vector<std::vector<uint8_t>>& memory,
               Counts* counts) {
  tvi_arena_t arena;
  tvi_arena_init(&arena, trivet_allocator_system(), 0);
  tvi_tile_program_t* program = nullptr;
  trivet_status_t status = tvi_tile_program_decode(bytes.data(), bytes.size(), &arena, &program);
  if (status) {
    EXPECT_NE(std::string(trivet_status_message(status)), "");
    trivet_status_free(status);
    ++counts->refused;
    tvi_arena_deinit(&arena);
    return;
  }
  uint64_t workspace_size = 0;
  tvi_tile_bound_t* bound = nullptr;
  tvi_tile_bind_options_t options = {tvi_tile_isa_detect(), 1};
  status =
      tvi_tile_bind(program, operands.data(), operands.size(), parameters.data(), parameters.size(),
                    &options, trivet_allocator_system(), &workspace_size, &bound);
  if (status || workspace_size > (1u << 26)) {
    trivet_status_free(status);
    tvi_tile_bound_release(bound);
    ++counts->unbound;
    tvi_arena_deinit(&arena);
    return;
  }
  std::vector<void*> addresses;
  for (auto& m : memory) addresses.push_back(m.data());
  std::vector<uint8_t> workspace(workspace_size + 64);
  void* aligned = reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(workspace.data()) + 63) &
                                          ~(uintptr_t)63);
  status = tvi_tile_run(bound, addresses.data(), aligned, nullptr);
  ++(status ? counts->failed : counts->ran);
  trivet_status_free(status);
  tvi_tile_bound_release(bound);
  tvi_arena_deinit(&arena);
  for (auto& m : memory)
    for (size_t i = m.size() - kGuard; i < m.size(); ++i) ASSERT_EQ(m[i], 0xa5) << "guard broken";
}

void mutate_all(Program& p) {
  const tvi_kir_program_t* program = p.get();
  check(tvi_kir_verify(program));
  Compiled compiled(program);
  std::vector<trivet_operand_t> operands;
  std::vector<int64_t> parameters;
  std::vector<std::vector<uint8_t>> memory;
  for (uint32_t i = 0; i < compiled.compiled.parameter_count; ++i)
    parameters.push_back(evaluate(compiled.compiled.parameters[i], {}));
  for (uint32_t i = 0; i < compiled.compiled.operand_count; ++i) {
    const tvi_kir_value_t& value = program->values[compiled.compiled.operands[i]];
    Tensor t = random_tensor(value.dtype, shape_of(value, {}), i, 0, 3);
    trivet_operand_t operand;
    memset(&operand, 0, sizeof(operand));
    operand.dtype = value.dtype;
    operand.rank = value.rank;
    for (uint32_t d = 0; d < value.rank; ++d) {
      operand.dims[d] = t.dims[d];
      operand.strides[d] = t.strides[d];
    }
    operands.push_back(operand);
    t.bytes.resize(t.bytes.size() + kGuard, 0xa5);
    memory.push_back(t.bytes);
  }
  const std::vector<uint8_t> good(compiled.compiled.bytes,
                                  compiled.compiled.bytes + compiled.compiled.size);
  Counts counts;
  try_bytes(good, operands, parameters, memory, &counts);
  ASSERT_EQ(counts.ran, 1);
  std::mt19937 rng(11);
  for (size_t at = 0; at + 2 <= good.size(); at += 2) {
    for (uint32_t width : {2u, 4u}) {
      if (at + width > good.size()) continue;
      uint32_t old = 0;
      memcpy(&old, &good[at], width);
      for (uint32_t value :
           {0u, 1u, 2u, old + 1, old - 1, 0x7fffffffu, 0xffffffffu, (uint32_t)rng() % 64}) {
        if (value == old) continue;
        std::vector<uint8_t> bad = good;
        memcpy(&bad[at], &value, width);
        try_bytes(bad, operands, parameters, memory, &counts);
        if (::testing::Test::HasFailure()) {
          ADD_FAILURE() << "offset " << at << " value " << value << "\n" << compiled.print();
          return;
        }
      }
    }
  }
  for (size_t cut = 0; cut < good.size(); cut += 3) {
    std::vector<uint8_t> bad(good.begin(), good.begin() + (ptrdiff_t)cut);
    const int before = counts.refused;
    try_bytes(bad, operands, parameters, memory, &counts);
    EXPECT_EQ(counts.refused, before + 1) << "a cut at " << cut << " was accepted";
  }
  // The checks of every level must have had something to refuse.
  EXPECT_GT(counts.refused, 100);
  EXPECT_GT(counts.unbound, 3);
  EXPECT_GT(counts.ran, 3);
}

TEST(TileHostile, Softmax) {
  Program p;
  auto x = p.input(F32, {5, 9}), y = p.output(F32, {5, 9}), top = p.temp(F32, {5}),
       sum = p.temp(F32, {5});
  {
    Stage s = p.reduce({5}, {9});
    s.finish({top}, {s.load(x, {s.index(0), s.index(1)})}, p.monoid(TVI_KIR_REDUCE_MAX, F32));
  }
  {
    Stage s = p.reduce({5}, {9});
    Ref e = s.op(TVI_KIR_EXP, F32,
                 s.op(TVI_KIR_SUB, F32, s.load(x, {s.index(0), s.index(1)}), s.at(top)));
    s.finish({sum}, {e}, p.monoid(TVI_KIR_SUM, F32));
  }
  Stage s = p.map({5, 9});
  Ref e = s.op(TVI_KIR_EXP, F32, s.op(TVI_KIR_SUB, F32, s.at(x), s.at(top)));
  s.finish({y}, {s.op(TVI_KIR_DIV, F32, e, s.at(sum))});
  mutate_all(p);
}

TEST(TileHostile, GatherPadAndScan) {
  Program p;
  auto table = p.input(F32, {6, 4}), rows = p.input(I64, {3}), y = p.output(F32, {3, 4}),
       z = p.output(F32, {3, 4});
  {
    Stage s = p.map({3, 4});
    s.finish({y}, {s.load(table,
                          {s.load(rows, {s.index(0)}), s.op(TVI_KIR_ADD, I64, s.index(1), s.i(1))},
                          s.f(2), {2, 0})});
  }
  Stage s = p.scan({3, 4});
  s.finish({z}, {s.load(table, {s.index(0), s.index(1)})}, p.monoid(TVI_KIR_SUM, F32), 2);
  mutate_all(p);
}

TEST(TileHostile, PositionsAndSections) {
  Program p;
  auto x = p.input(I8, {7, 40}), y = p.output(I64, {7}), z = p.output(U8, {7, 40}),
       t = p.temp(I32, {});
  {
    Stage s = p.reduce({7}, {40});
    s.finish({TVI_KIR_NONE, y}, {s.load(x, {s.index(0), s.index(1)}), s.index(1)},
             p.monoid(TVI_KIR_ARGMAX, I8));
  }
  {
    Stage s = p.reduce({}, {7, 40});
    s.finish({t}, {s.op(TVI_KIR_CAST, I32, s.load(x, {s.index(0), s.index(1)}))},
             p.monoid(TVI_KIR_SUM, I32));
  }
  Stage s = p.map({7, 40});
  s.finish({z}, {s.op(TVI_KIR_CAST, U8,
                      s.op(TVI_KIR_ADD, I32, s.op(TVI_KIR_CAST, I32, s.at(x)), s.load(t, {})))});
  mutate_all(p);
}

}  // namespace
}  // namespace tile_test
