// SPDX-License-Identifier: Apache-2.0
//
// Shapes: what a profile refuses, how symbols are bound and compared across inputs, checks and
// divisors of the plan, what callers are told about tensors, profiles and shapes.

#include "tests/unit/runtime/context/runtime_fixture.h"

namespace {

using trivet_test::ExpectOk;
using trivet_test::Factor;
using trivet_test::PlanMaker;
using trivet_test::Session;
using trivet_test::TextOf;

constexpr uint32_t kF32 = TRIVET_DTYPE_F32;

// y[N, M] = x[N, M] * 2 + z[N, M]; v[N * M] is there to be compared only.
struct TwoSymbols {
  TwoSymbols() {
    n = maker.Symbol("N", 1, 16);
    m = maker.Symbol("M", 2, 64, 2);
    x = maker.Input("x", kF32, {n, m});
    z = maker.Input("z", kF32, {n, m});
    v = maker.Input("v", kF32, {maker.Mul(n, m)});
    y = maker.Output("y", kF32, {n, m});
    maker.Launch("step", "test.linear", {x, z}, {y}, Factor(2));
    maker.Profile({{{1, 2}, {4, 8}, {16, 64}}, {{1, 2}, {4, 8}, {16, 64}}, {{2}, {32}, {1024}}});
    maker.Profile(
        {{{8, 32}, {8, 32}, {8, 32}}, {{8, 32}, {8, 32}, {8, 32}}, {{256}, {256}, {256}}});
  }
  PlanMaker maker;
  uint32_t n, m, x, z, v, y;
};

TEST(ContextShapesTest, ProfileRefusesAtOnce) {
  TwoSymbols plan;
  Session s(plan.maker.Bytes());
  ASSERT_EQ(s.load_status, nullptr) << trivet_status_message(s.load_status);
  EXPECT_EQ(TextOf(s.SetShape("x", {17, 8})),
            "OUT_OF_RANGE: input 'x': dimension 0 is 17, profile 0 allows 1 to 16");
  EXPECT_EQ(TextOf(s.SetShape("x", {0, 8})),
            "OUT_OF_RANGE: input 'x': dimension 0 is 0, profile 0 allows 1 to 16");
  EXPECT_EQ(TextOf(s.SetShape("z", {4, -1})),
            "OUT_OF_RANGE: input 'z': dimension 1 is -1, profile 0 allows 2 to 64");
  EXPECT_EQ(TextOf(s.SetShape("x", {4, 8, 1})), "INVALID_ARGUMENT: input 'x': rank is 3, wanted 2");
  EXPECT_EQ(TextOf(s.SetShape("y", {4, 8})),
            "INVALID_ARGUMENT: 'y' is no input; only inputs are given shapes");
  EXPECT_EQ(TextOf(s.SetShape("w", {4, 8})), "NOT_FOUND: the plan has no tensor named 'w'");
  EXPECT_EQ(TextOf(trivet_context_set_shape(s.context, "x", 2, nullptr)),
            "INVALID_ARGUMENT: dims is NULL");
  EXPECT_EQ(TextOf(trivet_context_prepare(s.context)),
            "FAILED_PRECONDITION: input 'x': its shape was not set");
  uint32_t rank = 0;
  int64_t dims[TRIVET_DIMS_MAX];
  EXPECT_EQ(TextOf(trivet_context_shape(s.context, "y", &rank, dims)),
            "FAILED_PRECONDITION: tensor 'y': its shape is known after trivet_context_prepare");
}

TEST(ContextShapesTest, InputsMustAgree) {
  TwoSymbols plan;
  Session s(plan.maker.Bytes());
  ExpectOk(s.SetShape("x", {4, 8}));
  ExpectOk(s.SetShape("z", {5, 8}));
  ExpectOk(s.SetShape("v", {32}));
  EXPECT_EQ(TextOf(trivet_context_prepare(s.context)),
            "INVALID_ARGUMENT: input 'z': dimension 0 is 5, but it is 'N', which dimension 0 of "
            "input 'x' makes 4");
  ExpectOk(s.SetShape("z", {4, 8}));
  ExpectOk(trivet_context_prepare(s.context));
  EXPECT_EQ(s.Shape("y"), (std::vector<int64_t>{4, 8}));
  ExpectOk(s.SetShape("v", {33}));
  EXPECT_EQ(TextOf(trivet_context_prepare(s.context)),
            "INVALID_ARGUMENT: input 'v': dimension 0 is 33, the shapes of the other inputs make "
            "it 32");
  ExpectOk(s.SetShape("v", {32}));
  ExpectOk(trivet_context_prepare(s.context));
}

TEST(ContextShapesTest, DivisorsAndChecks) {
  TwoSymbols plan;
  plan.maker.Check(TVI_PLAN_GUARD_GE, plan.m, plan.n);
  plan.maker.Check(TVI_PLAN_GUARD_DIVISIBLE, plan.m, plan.n);
  Session s(plan.maker.Bytes());
  auto prepare = [&](int64_t n, int64_t m) {
    ExpectOk(s.SetShape("x", {n, m}));
    ExpectOk(s.SetShape("z", {n, m}));
    ExpectOk(s.SetShape("v", {n * m}));
    return TextOf(trivet_context_prepare(s.context));
  };
  EXPECT_EQ(prepare(4, 7),
            "OUT_OF_RANGE: input 'x': dimension 1: 'M' is 7, the plan allows multiples of 2");
  EXPECT_EQ(prepare(8, 4),
            "INVALID_ARGUMENT: check 0 of the plan fails for these shapes: 4 must be at least 8 "
            "(M >= N)");
  EXPECT_EQ(prepare(4, 6),
            "INVALID_ARGUMENT: check 1 of the plan fails for these shapes: 6 must be a multiple of "
            "4 (M divisible by N)");
  EXPECT_EQ(prepare(4, 8), "OK");
}

TEST(ContextShapesTest, ProfileOfOneShapeNeedsNoCall) {
  TwoSymbols plan;
  Session s(plan.maker.Bytes());
  trivet_context_t* context = s.NewContext(1, 1);
  ExpectOk(trivet_context_prepare(context));
  uint32_t rank = 0;
  int64_t dims[TRIVET_DIMS_MAX];
  ExpectOk(trivet_context_shape(context, "y", &rank, dims));
  EXPECT_EQ(rank, 2u);
  EXPECT_EQ(dims[0], 8);
  EXPECT_EQ(dims[1], 32);
  int64_t other[] = {4, 32};
  EXPECT_EQ(TextOf(trivet_context_set_shape(context, "x", 2, other)),
            "OUT_OF_RANGE: input 'x': dimension 0 is 4, profile 1 allows 8 to 8");
  trivet_context_destroy(context);
  trivet_context_options_t options;
  memset(&options, 0, sizeof(options));
  options.header = {sizeof(options), TRIVET_STRUCT_CONTEXT_OPTIONS, nullptr};
  options.profile = 2;
  EXPECT_EQ(TextOf(trivet_context_create(s.engine, &options, &context)),
            "OUT_OF_RANGE: context options: profile is 2, the plan has 2");
}

TEST(ContextShapesTest, FixedExtents) {
  PlanMaker maker;
  auto three = maker.Number(3);
  uint32_t x = maker.Input("x", kF32, {three});
  uint32_t y = maker.Output("y", kF32, {three});
  maker.Launch("step", "test.linear", {x}, {y}, Factor(2));
  Session s(maker.Bytes());
  EXPECT_EQ(TextOf(s.SetShape("x", {4})), "OUT_OF_RANGE: input 'x': dimension 0 is 4, wanted 3");
  ExpectOk(s.SetShape("x", {3}));
  ExpectOk(trivet_context_prepare(s.context));
  EXPECT_EQ(s.Shape("y"), (std::vector<int64_t>{3}));
}

TEST(ContextShapesTest, EngineDescribesItself) {
  TwoSymbols plan;
  uint32_t a = plan.maker.Temporary("hidden", kF32, {plan.n, plan.m}, TVI_PLAN_TENSOR_OBSERVED);
  // A second view of the same value, and an output that is observed too, are listed once.
  plan.maker.ViewOf(a, {plan.n}, {plan.m}, plan.maker.Number(0), "hidden",
                    TVI_PLAN_TENSOR_OBSERVED);
  plan.maker.tensor(plan.y)->flags = TVI_PLAN_TENSOR_OBSERVED;
  plan.maker.Launch("more", "test.linear", {plan.x}, {a}, Factor(2));
  plan.maker.binding(0)->alignment = 64;
  Session s(plan.maker.Bytes());
  ASSERT_EQ(s.load_status, nullptr) << trivet_status_message(s.load_status);
  ASSERT_EQ(trivet_engine_tensor_count(s.engine), 5u);
  const char* const names[] = {"x", "z", "v", "y", "hidden"};
  const uint32_t modes[] = {0, 0, 0, 1, 2};
  trivet_tensor_info_t info;
  memset(&info, 0, sizeof(info));
  info.header = {sizeof(info), TRIVET_STRUCT_TENSOR_INFO, nullptr};
  for (uint32_t i = 0; i < 5; ++i) {
    ExpectOk(trivet_engine_tensor_info(s.engine, i, &info));
    EXPECT_STREQ(info.name, names[i]);
    EXPECT_EQ(info.mode, modes[i]);
    EXPECT_EQ(info.dtype, kF32);
    EXPECT_EQ(info.rank, i == 2 ? 1u : 2u);
    EXPECT_EQ(info.dims[0], -1);
    EXPECT_EQ(info.alignment, i == 0 ? 64u : 4u);
    EXPECT_EQ(trivet_engine_tensor_index(s.engine, names[i]), i);
  }
  EXPECT_EQ(TextOf(trivet_engine_tensor_info(s.engine, 5, &info)), "OUT_OF_RANGE: tensor 5 of 5");
  EXPECT_EQ(trivet_engine_tensor_index(s.engine, "nothing"), UINT32_MAX);
  EXPECT_EQ(trivet_engine_profile_count(s.engine), 2u);
  uint32_t rank = 0;
  int64_t dims[TRIVET_DIMS_MAX];
  ExpectOk(trivet_engine_profile_shape(s.engine, 0, "z", 2, &rank, dims));
  EXPECT_EQ(rank, 2u);
  EXPECT_EQ(dims[0], 16);
  EXPECT_EQ(dims[1], 64);
  EXPECT_EQ(TextOf(trivet_engine_profile_shape(s.engine, 0, "y", 2, &rank, dims)),
            "NOT_FOUND: the plan has no input 'y'");
  EXPECT_EQ(TextOf(trivet_engine_profile_shape(s.engine, 2, "z", 2, &rank, dims)),
            "OUT_OF_RANGE: profile 2 of 2");
  EXPECT_EQ(TextOf(trivet_engine_profile_shape(s.engine, 0, "z", 3, &rank, dims)),
            "OUT_OF_RANGE: which is 3, wanted 0, 1 or 2");
  for (uint32_t format : {TRIVET_INSPECT_TEXT, TRIVET_INSPECT_JSON}) {
    char* text = nullptr;
    ExpectOk(trivet_engine_inspect(s.engine, format, &text));
    ASSERT_NE(text, nullptr);
    EXPECT_NE(strstr(text, "test.linear"), nullptr) << text;
    EXPECT_EQ(text[0] == '{', format == TRIVET_INSPECT_JSON);
    trivet_string_free(s.runtime, text);
  }
}

}  // namespace
