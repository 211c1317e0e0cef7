// SPDX-License-Identifier: Apache-2.0
//
// Programs out of programs: chaining, substituting, simplifying, dropping, bounds and cost. Forms
// are checked where a form is the point; everything is checked by value as well.
#include "core/kernel_ir/fuse.h"

#include "core/kernel_ir/affine.h"
#include "tests/unit/core/kernel_ir/kir_test_util.h"

namespace {

class FuseTest : public KirTest {
 protected:
  using V = std::vector<double>;
  // y = text over x: T[*], both shapes given.
  tvi_kir_program_t* One(const std::string& in, const std::string& out, const std::string& text) {
    auto* p = Instantiate("op t.F/1 (x: T[*], t?: i64[*]) -> (y: T[*]) where T: any\n", {in}, {},
                          {out}, text);
    EXPECT_NE(p, nullptr) << error_;
    return p;
  }
  uint32_t Find(const tvi_kir_program_t* p, tvi_kir_value_kind_t kind, uint32_t nth = 0) {
    for (uint32_t v = 0; v < p->value_count; ++v) {
      if (p->values[v].kind == kind && nth-- == 0) return v;
    }
    ADD_FAILURE() << "no such value";
    return 0;
  }
  // first, then second: the output of the one is the input of the other. Everything inlined if
  // asked.
  tvi_kir_program_t* Chain(tvi_kir_program_t* first, tvi_kir_program_t* second,
                           bool inline_all = true) {
    tvi_kir_program_t* p = nullptr;
    EXPECT_EQ(Message(tvi_kir_program_clone(first, &arena_, &p)), "");
    std::vector<uint32_t> map(second->value_count, TVI_KIR_NONE);
    uint32_t between = Find(p, TVI_KIR_OUTPUT);
    map[Find(second, TVI_KIR_INPUT)] = between;
    EXPECT_EQ(Message(tvi_kir_program_append(p, second, 7, map.data())), "");
    EXPECT_EQ(Message(tvi_kir_value_set_kind(p, between, TVI_KIR_TEMP)), "");
    EXPECT_EQ(Message(tvi_kir_verify(p)), "");
    if (inline_all) {
      for (uint32_t s = 0; s < p->stage_count; ++s) {
        if (tvi_kir_can_inline_stage(p, s)) {
          EXPECT_EQ(Message(tvi_kir_inline_stage(p, s)), "");
        }
      }
      EXPECT_EQ(Message(tvi_kir_program_drop_dead(p, true, nullptr)), "");
      EXPECT_EQ(Message(tvi_kir_verify(p)), "") << Print(p);
    }
    return p;
  }
  std::string Body(const tvi_kir_program_t* p) {
    std::string text = Print(p);
    size_t at = text.rfind("stage ");
    return text.substr(at);
  }
  static V Count(int n) {
    V v;
    for (int i = 0; i < n; ++i) v.push_back(i);
    return v;
  }
};

TEST_F(FuseTest, AppendChainsPrograms) {
  auto* p = Chain(One("f32[n, 4]", "f32[n, 4]", "y[i, j] = exp(x[i, j])"),
                  One("f32[n, 4]", "f32[n]", "y[i] = sum(j: x.1){ x[i, j] }"), false);
  EXPECT_EQ(p->stage_count, 2u);
  EXPECT_EQ(p->stages[1].origin, 7u);
  EXPECT_EQ(tvi_kir_value_read_count(p, 1), 1u);
  auto y = Evaluate(p, {Tensor::F32({1, 4}, {0, 0, 0, 0})}, {{"n", 1}});
  ASSERT_EQ(y.size(), 1u) << error_;
  EXPECT_EQ(y[0].Values(), V{4});
}

TEST_F(FuseTest, AppendInFrontSortsStages) {
  auto* consumer = One("f32[4]", "f32[4]", "y[i] = -x[i]");
  auto* producer = One("f32[4]", "f32[4]", "y[i] = x[i] + 1");
  std::vector<uint32_t> map(producer->value_count, TVI_KIR_NONE);
  map[Find(producer, TVI_KIR_OUTPUT)] = Find(consumer, TVI_KIR_INPUT);
  ASSERT_EQ(Message(tvi_kir_program_append(consumer, producer, TVI_KIR_NONE, map.data())), "");
  ASSERT_EQ(Message(tvi_kir_verify(consumer)), "") << Print(consumer);
  auto y = Evaluate(consumer, {Tensor::F32({4}, {0, 1, 2, 3})});
  ASSERT_EQ(y.size(), 1u) << error_;
  EXPECT_EQ(y[0].Values(), (V{-1, -2, -3, -4}));
  map.assign(producer->value_count, TVI_KIR_NONE);
  map[0] = 99;
  EXPECT_EQ(Message(tvi_kir_program_append(consumer, producer, TVI_KIR_NONE, map.data())),
            "value 'x' is mapped to a value that does not exist");
  auto* other = One("f32[5]", "f32[5]", "y[i] = x[i]");
  map.assign(other->value_count, TVI_KIR_NONE);
  map[0] = 0;
  EXPECT_NE(Message(tvi_kir_program_append(consumer, other, TVI_KIR_NONE, map.data())), "");
}

TEST_F(FuseTest, ReshapesOfEachOtherVanish) {
  const char* there =
      "y[i, j] = x[(i*y.1 + j) / (x.1*x.2), (i*y.1 + j) / x.2 % x.1, (i*y.1 + j) % x.2]";
  const char* back = "y[a, b, c] = x[((a*y.1 + b)*y.2 + c) / x.1, ((a*y.1 + b)*y.2 + c) % x.1]";
  auto* p = Chain(One("f32[batch, 12, 64]", "f32[batch, 768]", there),
                  One("f32[batch, 768]", "f32[batch, 12, 64]", back));
  EXPECT_EQ(Body(p),
            "stage map [$(batch), 12, 64] -> v1 origin 7 {\n"
            "  %0 = index i64 0\n"
            "  %1 = index i64 1\n"
            "  %2 = index i64 2\n"
            "  %3 = load f32 v0[%0, %1, %2]\n"
            "  give %3\n"
            "}\n");
  // The other order needs quotient and remainder joined again.
  p = Chain(One("f32[batch, 768]", "f32[batch, 12, 64]", back),
            One("f32[batch, 12, 64]", "f32[batch, 768]", there));
  EXPECT_EQ(Body(p),
            "stage map [$(batch), 768] -> v1 origin 7 {\n"
            "  %0 = index i64 0\n"
            "  %1 = index i64 1\n"
            "  %2 = load f32 v0[%0, %1]\n"
            "  give %2\n"
            "}\n");
  // Symbolic throughout: [n, k] to [n*k] and back.
  p = Chain(One("f32[n, k]", "f32[n*k]", "y[i] = x[i / x.1, i % x.1]"),
            One("f32[n*k]", "f32[n, k]", "y[i, j] = x[i*y.1 + j]"));
  EXPECT_EQ(Body(p),
            "stage map [$(n), $(k)] -> v1 origin 7 {\n"
            "  %0 = index i64 0\n"
            "  %1 = index i64 1\n"
            "  %2 = load f32 v0[%0, %1]\n"
            "  give %2\n"
            "}\n");
}

TEST_F(FuseTest, TransposesAndSlicesVanish) {
  auto* p = Chain(One("f32[2, 3, 4]", "f32[4, 2, 3]", "y[a, b, c] = x[b, c, a]"),
                  One("f32[4, 2, 3]", "f32[2, 3, 4]", "y[a, b, c] = x[c, a, b]"));
  EXPECT_NE(Body(p).find("%0 = index i64 2\n  %1 = index i64 0\n  %2 = index i64 1\n  %3 = load "
                         "f32 v0[%1, %2, %0]"),
            std::string::npos)
      << Body(p);
  p = Chain(One("f32[n]", "f32[n - 2]", "y[i] = x[i + 2]"),
            One("f32[n - 2]", "f32[n - 5]", "y[i] = x[i + 3]"));
  EXPECT_NE(Body(p).find("const i64 5"), std::string::npos) << Body(p);
  EXPECT_EQ(Body(p).find("pad"), std::string::npos) << Body(p);
}

TEST_F(FuseTest, PadsBecomeSelects) {
  // A producer that must not be computed outside: log of nothing would be -inf, not 9.
  auto* producer = One("f32[4]", "f32[4]", "y[i] = x[i] * 2");
  auto* pad = One("f32[4]", "f32[7]", "y[i] = x[i - 2; pad = 9]");
  auto* p = Chain(producer, pad);
  EXPECT_EQ(p->stage_count, 1u) << Print(p);
  auto y = Evaluate(p, {Tensor::F32({4}, {1, 2, 3, 4})});
  ASSERT_EQ(y.size(), 1u) << error_;
  EXPECT_EQ(y[0].Values(), (V{9, 9, 2, 4, 6, 8, 9}));
  // Pad of a pad: the inner value outside of the inner picture, the outer outside of the outer one.
  p = Chain(pad, One("f32[7]", "f32[9]", "y[i] = x[i - 1; pad = 5]"));
  y = Evaluate(p, {Tensor::F32({4}, {1, 2, 3, 4})});
  ASSERT_EQ(y.size(), 1u) << error_;
  EXPECT_EQ(y[0].Values(), (V{5, 9, 9, 1, 2, 3, 4, 9, 5}));
  // A slice that takes the padding away again leaves nothing of it.
  p = Chain(pad, One("f32[7]", "f32[4]", "y[i] = x[i + 2]"));
  EXPECT_EQ(Body(p).find("select"), std::string::npos) << Body(p);
  EXPECT_EQ(Body(p).find("pad"), std::string::npos) << Body(p);
}

TEST_F(FuseTest, IndicesFromDataMayFailOnlyWhereTheyDid) {
  auto* gather = Instantiate("op t.G/1 (x: f32[N], t: i64[M]) -> (y: f32[M])\ny[i] = x[t[i]]\n",
                             {"f32[3]", "i64[4]"});
  ASSERT_NE(gather, nullptr) << error_;
  tvi_kir_program_t* p = nullptr;
  ASSERT_EQ(Message(tvi_kir_program_clone(gather, &arena_, &p)), "");
  auto* pad = One("f32[4]", "f32[6]", "y[i] = x[i - 1; pad = 0]");
  std::vector<uint32_t> map(pad->value_count, TVI_KIR_NONE);
  map[0] = Find(p, TVI_KIR_OUTPUT);
  ASSERT_EQ(Message(tvi_kir_program_append(p, pad, TVI_KIR_NONE, map.data())), "");
  ASSERT_EQ(Message(tvi_kir_value_set_kind(p, map[0], TVI_KIR_TEMP)), "");
  EXPECT_FALSE(tvi_kir_can_inline_stage(p, 0));
  EXPECT_NE(Message(tvi_kir_inline_stage(p, 0)), "");
}

TEST_F(FuseTest, WrapAndClipSurviveSubstitution) {
  auto* producer = One("f32[3]", "f32[3]", "y[i] = x[i] + 10");
  for (const char* text :
       {"y[i] = x[i - 1; wrap]", "y[i] = x[i - 1; clip]", "y[i] = x[i*2 - 3; wrap, pad = 7]"}) {
    auto* reader = One("f32[3]", "f32[4]", text);
    auto* p = Chain(producer, reader, false);
    auto* inlined = Chain(producer, reader, true);
    auto a = Evaluate(p, {Tensor::F32({3}, {0, 1, 2})});
    auto b = Evaluate(inlined, {Tensor::F32({3}, {0, 1, 2})});
    if (std::string(text).find("clip") != std::string::npos) {
      ASSERT_EQ(a.size(), 1u) << error_;
    }
    ASSERT_EQ(a.size(), b.size()) << text;
    if (!a.empty()) {
      EXPECT_EQ(a[0].Values(), b[0].Values()) << text;
    }
  }
}

TEST_F(FuseTest, ConcatReadsTheRightSide) {
  auto* concat = One("f32[n, 6]", "f32[n, 6]", "y[i, j] = j < 2 ? x[i, j] : x[i, j - 2; pad = 1]");
  auto* p = Chain(concat, One("f32[n, 6]", "f32[n, 2]", "y[i, j] = x[i, j]"));
  // The part read lies within the first piece: no choice is left.
  EXPECT_EQ(Body(p).find("select"), std::string::npos) << Body(p);
}

TEST_F(FuseTest, DropDeadRenumbers) {
  auto* p = Instantiate(
      "op t.D/1 (a: f32[N], b: f32[N]) -> (y: f32[N])\nlet u[i: N] = b[i] + 1\ny[i] = a[i] * 2\n",
      {"f32[n]", "f32[n]"});
  ASSERT_NE(p, nullptr) << error_;
  EXPECT_EQ(p->stage_count, 1u);
  EXPECT_EQ(p->value_count, 3u);
  uint32_t map[3];
  ASSERT_EQ(Message(tvi_kir_program_drop_dead(p, true, map)), "");
  EXPECT_EQ(p->value_count, 2u);
  EXPECT_EQ(map[1], TVI_KIR_NONE);
  EXPECT_EQ(Message(tvi_kir_verify(p)), "");
}

TEST_F(FuseTest, BoundsAreProven) {
  auto proven = [&](const std::string& in, const std::string& out, const std::string& text) {
    auto* p = One(in, out, text);
    for (uint32_t s = 0; p != nullptr && s < p->stage_count; ++s) {
      for (uint32_t i = 0; i < p->stages[s].instr_count; ++i) {
        if (p->stages[s].instrs[i].opcode == TVI_KIR_LOAD && !tvi_kir_prove_bounds(p, s, i))
          return false;
      }
    }
    return p != nullptr;
  };
  EXPECT_TRUE(proven("f32[n, 4]", "f32[4, n]", "y[i, j] = x[j, i]"));
  EXPECT_TRUE(proven("f32[n]", "f32[n]", "y[i] = x[$(n) - 1 - i]"));
  EXPECT_TRUE(proven("f32[n]", "f32[floordiv(n - 3, 2) + 1]", "y[i] = sum(k: 3){ x[i*2 + k] }"));
  EXPECT_FALSE(proven("f32[n]", "f32[floordiv(n - 3, 2) + 1]", "y[i] = sum(k: 4){ x[i*2 + k] }"));
  EXPECT_TRUE(proven("f32[n, k]", "f32[n*k]", "y[i] = x[i / $(k), i % $(k)]"));
  EXPECT_FALSE(proven("f32[n]", "f32[m]", "y[i] = x[i]"));
  EXPECT_TRUE(proven("f32[4]", "f32[m]", "y[i] = x[min(i, 3)]"));
  EXPECT_TRUE(proven("f32[4]", "f32[m]", "y[i] = x[i; clip]"));
  EXPECT_TRUE(proven("f32[4]", "f32[12]", "y[i] = x[i % 4]"));
  EXPECT_FALSE(proven("f32[4]", "f32[12]", "y[i] = x[i % 5]"));
}

TEST_F(FuseTest, LinearForms) {
  auto* p =
      One("f32[n, 8, 9]", "f32[n, 3]", "y[i, j] = sum(k: 2){ x[i, j*2 + k*3 - 1 + 1, 4 - j] }");
  ASSERT_NE(p, nullptr);
  const tvi_kir_stage_t* stage = &p->stages[0];
  for (uint32_t r = 0; r < stage->instr_count; ++r) {
    if (stage->instrs[r].opcode != TVI_KIR_LOAD) continue;
    tvi_kir_affine_load_t affine;
    ASSERT_TRUE(tvi_kir_affine_load(p, stage, r, &affine));
    EXPECT_EQ(affine.flags, 0u);
    EXPECT_EQ(Print(affine.constant), "4");
    EXPECT_EQ(Print(affine.strides[0]), "72");
    EXPECT_EQ(Print(affine.strides[1]), "17");
    EXPECT_EQ(Print(affine.strides[2]), "27");
  }
  p = One("f32[8]", "f32[16]", "y[i] = x[i / 2]");
  stage = &p->stages[0];
  tvi_kir_affine_load_t affine;
  ASSERT_TRUE(tvi_kir_affine_load(p, stage, stage->results[0], &affine));
  EXPECT_EQ(affine.flags, TVI_KIR_LINEAR_QUASI);
}

TEST_F(FuseTest, Cost) {
  auto* p = Instantiate(
      "op t.C/1 (x: f32[N, K]) -> (y: f32[N])\ny[i] = sum(k: K){ exp(x[i, k] - 1.0) * x[i, (k + 1) "
      "% K] }\n",
      {"f32[n, 10]"});
  ASSERT_NE(p, nullptr) << error_;
  tvi_kir_cost_t cost;
  tvi_kir_stage_cost(p, 0, &cost);
  EXPECT_EQ(Print(cost.positions), "10*n");
  EXPECT_EQ(cost.loads, 2u);
  EXPECT_EQ(cost.transcendentals, 1u);
  EXPECT_EQ(cost.flops, 3u);  // subtract, multiply, join
  EXPECT_EQ(cost.index_ops, 2u);
  int64_t n = 7;
  EXPECT_EQ(tvi_kir_cost_positions(&cost, &n, 1), 70);
  EXPECT_EQ(tvi_kir_cost_positions(&cost, nullptr, 0), INT64_MAX);
}

TEST_F(FuseTest, EqualAssumptionsJoin) {
  // Two names for one size: chaining takes them to be equal; two numbers are not.
  auto* p =
      Chain(One("f32[n]", "f32[n]", "y[i] = x[i] + 1"), One("f32[m]", "f32[m]", "y[i] = x[i] * 2"));
  auto y = Evaluate(p, {Tensor::F32({2}, {1, 2})}, {{"n", 2}, {"m", 2}});
  ASSERT_EQ(y.size(), 1u) << error_;
  EXPECT_EQ(y[0].Values(), (V{4, 6}));
}

TEST_F(FuseTest, SimplifyFoldsWhatInliningBrings) {
  auto* p = Chain(One("f32[n]", "f32[n]", "y[i] = f32(f16(x[i]))"),
                  One("f32[n]", "f32[n]", "y[i] = f32(f16(x[i])) * 1.0"));
  std::string body = Body(p);
  EXPECT_EQ(body.find("mul"), std::string::npos) << body;
  // Rounding twice to the same type is rounding once.
  EXPECT_EQ(body.find("cast f16"), body.rfind("cast f16")) << body;
}

TEST_F(FuseTest, FailedAllocationsAreErrors) {
  auto* first = One("f32[n, 4]", "f32[n, 4]", "y[i, j] = exp(x[i, j])");
  auto* second = One("f32[n, 4]", "f32[n + 2, 4]", "y[i, j] = x[i - 1, j; pad = 0]");
  int failures = 0;
  for (int n = 0;; ++n) {
    CountingAllocator allocator;
    allocator.left = n;
    tvi_arena_t arena;
    tvi_arena_init(&arena, allocator.Get(), 256);
    tvi_kir_program_t* p = nullptr;
    trivet_status_t status = tvi_kir_program_clone(first, &arena, &p);
    std::vector<uint32_t> map(second->value_count, TVI_KIR_NONE);
    map[0] = 1;
    if (status == nullptr) status = tvi_kir_program_append(p, second, 1, map.data());
    if (status == nullptr) status = tvi_kir_value_set_kind(p, 1, TVI_KIR_TEMP);
    if (status == nullptr) status = tvi_kir_inline_stage(p, 0);
    if (status == nullptr) status = tvi_kir_simplify(p);
    if (status == nullptr) status = tvi_kir_program_drop_dead(p, false, nullptr);
    tvi_arena_deinit(&arena);
    EXPECT_EQ(allocator.alive, 0);
    if (status == nullptr) break;
    EXPECT_EQ(trivet_status_consume(status), TRIVET_STATUS_OUT_OF_MEMORY);
    ++failures;
  }
  EXPECT_GT(failures, 10);
}

}  // namespace
