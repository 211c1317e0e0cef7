// SPDX-License-Identifier: Apache-2.0
//
// Steps that an operator's host function runs: attributes, scratch, data-dependent extents and the
// steps behind them, and functions that do not do what the plan says.

#include "tests/unit/runtime/context/runtime_fixture.h"

namespace {

using trivet_test::ExpectOk;
using trivet_test::Factor;
using trivet_test::PlanMaker;
using trivet_test::Session;
using trivet_test::TextOf;

constexpr uint32_t kF32 = TRIVET_DTYPE_F32;

TEST(HostStepTest, AttributesAndScratch) {
  PlanMaker maker;
  auto n = maker.Symbol("N", 0, 100000);
  uint32_t x = maker.Input("x", kF32, {n});
  uint32_t y = maker.Output("y", kF32, {n});
  uint32_t t = maker.Temporary("t", kF32, {n});
  double factor = 2.5;
  trivet_attribute_t attribute = {"factor", TRIVET_ATTR_F32, 0, 1, &factor};
  maker.Host("scale", "test.Scale", {x}, {t}, {attribute});
  maker.Launch("add", "test.linear", {t}, {y}, Factor(2));
  trivet_test::FailingAllocator counter;
  Session s(maker.Bytes(), counter.get());
  ASSERT_EQ(s.load_status, nullptr) << trivet_status_message(s.load_status);
  for (int64_t extent : {5, 60000, 5, 0}) {
    std::vector<float> in(static_cast<size_t>(extent), 3.0f), out(in.size());
    ExpectOk(s.SetShape("x", {extent}));
    s.SetAddress("x", &in);
    s.SetAddress("y", &out);
    ExpectOk(trivet_context_run(s.context));
    EXPECT_EQ(out, std::vector<float>(in.size(), 15.0f));
    // Scratch is kept.
    uint64_t calls = counter.calls();
    ExpectOk(trivet_context_run(s.context));
    EXPECT_EQ(counter.calls(), calls);
  }
}

TEST(HostStepTest, ErrorsNameStepAndOperator) {
  PlanMaker maker;
  auto n = maker.Number(3);
  uint32_t x = maker.Input("x", kF32, {n});
  uint32_t y = maker.Output("y", kF32, {n});
  maker.Host("scale", "test.Scale", {x}, {y});
  Session s(maker.Bytes());
  std::vector<float> in(3), out(3);
  s.SetAddress("x", &in);
  s.SetAddress("y", &out);
  EXPECT_EQ(TextOf(trivet_context_run(s.context)),
            "INVALID_ARGUMENT: step 0 (scale): operator test.Scale: no factor for 7");
}

TEST(HostStepTest, FunctionsThatBreakTheirPromise) {
  const char* const wanted[] = {
      "INVALID_ARGUMENT: step 0 (broken): operator test.Broken did not make its output 0",
      "INVALID_ARGUMENT: step 0 (broken): output 0: extent 0 is 4, the plan says 3",
      "INVALID_ARGUMENT: step 0 (broken): output 0 is i64 of rank 1, the plan says f32 of rank 1",
      "INVALID_ARGUMENT: step 0 (broken): output 0: extent 0 is -5, the plan says 3",
      "UNAVAILABLE: step 0 (broken): operator test.Broken: says so",
  };
  for (int64_t fault = 0; fault < 5; ++fault) {
    PlanMaker maker;
    auto n = maker.Number(3);
    uint32_t x = maker.Input("x", kF32, {n});
    uint32_t y = maker.Output("y", kF32, {n});
    trivet_attribute_t attribute = {"fault", TRIVET_ATTR_I64, 0, 1, &fault};
    maker.Host("broken", "test.Broken", {x}, {y}, {attribute});
    Session s(maker.Bytes());
    std::vector<float> in(3), out(3);
    s.SetAddress("x", &in);
    s.SetAddress("y", &out);
    EXPECT_EQ(TextOf(trivet_context_run(s.context)), wanted[fault]);
  }
}

TEST(HostStepTest, OperandsMustBeDense) {
  PlanMaker maker;
  auto three = maker.Number(3);
  uint32_t x = maker.Input("x", kF32, {maker.Number(6)});
  uint32_t every_other = maker.ViewOf(x, {three}, {maker.Number(2)}, maker.Number(0));
  uint32_t y = maker.Output("y", kF32, {three});
  maker.Host("scale", "test.Scale", {every_other}, {y});
  Session s(maker.Bytes());
  EXPECT_EQ(TextOf(trivet_context_prepare(s.context)),
            "DATA_LOSS: step 0 (scale): operand 0 of a host function is not dense");
}

// x[N] -> its positive elements p[M] (M known only then) -> y[M] = p * 10, z[M] = y + p; the count.
struct Positive {
  explicit Positive(bool p_is_output) {
    PlanMaker::StepOptions host, with_m;
    n = maker.Symbol("N", 1, 1000);
    m = maker.Symbol("M", 0, 1000, 1, TVI_SYMBOL_DATA);
    x = maker.Input("x", kF32, {n});
    count = maker.Output("count", TRIVET_DTYPE_I64, {});
    uint32_t z = maker.Output("z", kF32, {m});
    p = p_is_output ? maker.Output("p", kF32, {m})
                    : maker.Temporary("p", kF32, {m}, TVI_PLAN_TENSOR_OBSERVED);
    uint32_t y = maker.Temporary("y", kF32, {m}, TVI_PLAN_TENSOR_OBSERVED);
    host.bound = {{1, 0, 0}};
    with_m.parameters = {m};
    maker.Host("positive", "test.Positive", {x}, {p, count}, {}, host);
    maker.Launch("ten", "test.linear", {p}, {y}, Factor(10));
    maker.Launch("sum", "test.linear", {y, p}, {z}, Factor(1), with_m);
  }
  PlanMaker maker;
  uint32_t n, m, x, count, p;
};

void RunPositive(Session* s, const std::vector<float>& x, bool p_is_output) {
  std::vector<float> expected, p(x.size(), -1), z(x.size(), -1), in = x;
  for (float value : x) {
    if (value > 0) expected.push_back(value);
  }
  int64_t count = -1;
  ExpectOk(s->SetShape("x", {static_cast<int64_t>(x.size())}));
  s->SetAddress("x", &in);
  s->SetAddress("z", &z);
  s->SetAddress("p", &p);
  ExpectOk(trivet_context_set_address(s->context, "count", &count));
  ExpectOk(trivet_context_run(s->context));
  EXPECT_EQ(count, static_cast<int64_t>(expected.size()));
  EXPECT_EQ(s->Shape("z"), (std::vector<int64_t>{count}));
  EXPECT_EQ(s->Shape("p"), (std::vector<int64_t>{count}));
  for (size_t i = 0; i < x.size(); ++i) {
    bool inside = i < expected.size();
    EXPECT_EQ(p[i], inside ? expected[i] : -1);
    EXPECT_EQ(z[i], inside ? expected[i] * 11 + static_cast<float>(count) : -1);
  }
  (void)p_is_output;
}

TEST(HostStepTest, DataDependentExtents) {
  for (bool p_is_output : {false, true}) {
    for (uint32_t threads : {1u, 2u}) {
      Positive plan(p_is_output);
      Session s(plan.maker.Bytes(), trivet_allocator_t(), threads);
      ASSERT_EQ(s.load_status, nullptr) << trivet_status_message(s.load_status);
      RunPositive(&s, {1, -1, 2, 0, 3}, p_is_output);
      RunPositive(&s, {1, 5, 2, -7, 3}, p_is_output);
      RunPositive(&s, {-1, -5, -2, -7, -3}, p_is_output);
      RunPositive(&s, std::vector<float>(1000, 1.5f), p_is_output);
      RunPositive(&s, {4}, p_is_output);
      RunPositive(&s, {-4}, p_is_output);
    }
  }
}

TEST(HostStepTest, ShapeIsOpenBeforeTheRun) {
  Positive plan(false);
  Session s(plan.maker.Bytes());
  ExpectOk(s.SetShape("x", {7}));
  ExpectOk(trivet_context_prepare(s.context));
  EXPECT_EQ(s.Shape("z"), (std::vector<int64_t>{-1}));
  EXPECT_EQ(s.Shape("count"), (std::vector<int64_t>{}));
}

TEST(HostStepTest, SameExtentsAllocateOnce) {
  Positive plan(false);
  trivet_test::FailingAllocator counter;
  Session s(plan.maker.Bytes(), counter.get());
  RunPositive(&s, {1, -1, 2}, false);
  uint64_t calls = counter.calls();
  RunPositive(&s, {-8, 3, 9}, false);
  EXPECT_EQ(counter.calls(), calls);
}

TEST(HostStepTest, DataDependentExtentsAreChecked) {
  Positive plan(false);
  plan.maker.Check(TVI_PLAN_GUARD_GE, plan.maker.Number(3), plan.m);
  Session s(plan.maker.Bytes());
  RunPositive(&s, {1, 2, 3, -1}, false);
  std::vector<float> in(4, 1), out(4);
  int64_t count;
  s.SetAddress("x", &in);
  s.SetAddress("z", &out);
  ExpectOk(trivet_context_set_address(s.context, "count", &count));
  EXPECT_EQ(TextOf(trivet_context_run(s.context)),
            "INVALID_ARGUMENT: step 0 (positive): check 0 of the plan fails for these shapes: 3 "
            "must be at least 4 (3 >= M)");
  RunPositive(&s, {1, 2, -3, -1}, false);
}

TEST(HostStepTest, SymbolHasARange) {
  PlanMaker maker;
  PlanMaker::StepOptions host;
  auto n = maker.Symbol("N", 1, 1000);
  auto m = maker.Symbol("M", 0, 2, 1, TVI_SYMBOL_DATA);
  uint32_t x = maker.Input("x", kF32, {n});
  uint32_t y = maker.Output("y", kF32, {m});
  host.bound = {{1, 0, 0}};
  maker.Host("positive", "test.Positive", {x}, {y, TVI_PLAN_NONE}, {}, host);
  Session s(maker.Bytes());
  ASSERT_EQ(s.load_status, nullptr) << trivet_status_message(s.load_status);
  std::vector<float> in(3, 1), out(3);
  ExpectOk(s.SetShape("x", {3}));
  s.SetAddress("x", &in);
  s.SetAddress("y", &out);
  EXPECT_EQ(
      TextOf(trivet_context_run(s.context)),
      "OUT_OF_RANGE: step 0 (positive): output 0: extent 0: 'M' is 3, the plan allows 0 to 2");
}

}  // namespace
