// SPDX-License-Identifier: Apache-2.0
//
// Plans made by hand are run: chains of steps through the arena, strided views, weights, several
// shapes, alternatives, observed values, empty tensors, profiling, overlapping bindings.

#include "tests/unit/runtime/context/runtime_fixture.h"

namespace {

using trivet_test::AlignedPlan;
using trivet_test::ExpectOk;
using trivet_test::Factor;
using trivet_test::PlanMaker;
using trivet_test::Session;
using trivet_test::TextOf;

constexpr uint32_t kF32 = TRIVET_DTYPE_F32;

// y = ((x * 2 + w) * 3) + N with x: f32[N, 4], N in 1..8.
std::string Chain() {
  PlanMaker maker;
  auto n = maker.Symbol("N", 1, 8);
  auto four = maker.Number(4);
  uint32_t x = maker.Input("x", kF32, {n, four});
  uint32_t y = maker.Output("y", kF32, {n, four});
  uint32_t w = maker.Weight("w", {10, 20, 30, 40});
  uint32_t row = maker.ViewOf(w, {n, four}, {maker.Number(0), maker.Number(1)}, maker.Number(0));
  uint32_t a = maker.Temporary("a", kF32, {n, four}, TVI_PLAN_TENSOR_OBSERVED);
  uint32_t b = maker.Temporary("b", kF32, {n, four});
  maker.Launch("first", "test.linear", {x, row}, {a}, Factor(2));
  maker.Launch("second", "test.linear", {a}, {b}, Factor(3));
  PlanMaker::StepOptions options;
  options.parameters = {n};
  maker.Launch("third", "test.linear", {b}, {y}, Factor(1), options);
  maker.Profile({{{1, 4}, {4, 4}, {8, 4}}});
  maker.Plugin("test_kernels", "1.0");
  return maker.Bytes();
}

std::vector<float> ChainExpected(const std::vector<float>& x) {
  std::vector<float> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    float w = 10.0f * static_cast<float>(i % 4 + 1);
    y[i] = (x[i] * 2 + w) * 3 + static_cast<float>(x.size() / 4);
  }
  return y;
}

std::vector<float> Ramp(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i) - 3;
  return values;
}

TEST(ContextRunTest, ChainForSeveralShapes) {
  for (uint32_t threads : {1u, 3u}) {
    Session s(Chain(), trivet_allocator_t(), threads);
    ASSERT_EQ(s.load_status, nullptr) << trivet_status_message(s.load_status);
    for (int64_t n : {1, 8, 3, 3, 8}) {
      std::vector<float> x = Ramp(static_cast<size_t>(n) * 4), y(x.size());
      ExpectOk(s.SetShape("x", {n, 4}));
      s.SetAddress("x", &x);
      s.SetAddress("y", &y);
      ExpectOk(trivet_context_run(s.context));
      EXPECT_EQ(y, ChainExpected(x));
      EXPECT_EQ(s.Shape("y"), (std::vector<int64_t>{n, 4}));
    }
    // The second 3 is no change.
    EXPECT_EQ(s.Statistics().prepare_count, 4u);
    EXPECT_EQ(s.Statistics().run_count, 5u);
  }
}

TEST(ContextRunTest, AddressesMayChangeFromRunToRun) {
  Session s(Chain());
  ExpectOk(s.SetShape("x", {2, 4}));
  for (int i = 0; i < 3; ++i) {
    std::vector<float> x = Ramp(8), y(8);
    x[0] = static_cast<float>(i);
    s.SetAddress("x", &x);
    s.SetAddress("y", &y);
    ExpectOk(trivet_context_run(s.context));
    EXPECT_EQ(y, ChainExpected(x));
  }
  EXPECT_EQ(s.Statistics().prepare_count, 1u);
}

TEST(ContextRunTest, LoadsFromFileAndFromUnalignedMemory) {
  std::string bytes = Chain();
  std::string path = ::testing::TempDir() + "/chain.plan";
  FILE* file = fopen(path.c_str(), "wb");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(fwrite(bytes.data(), 1, bytes.size(), file), bytes.size());
  fclose(file);
  Session s(bytes);
  AlignedPlan shifted(bytes, 5);
  for (int from_file = 0; from_file < 2; ++from_file) {
    trivet_engine_t* engine = nullptr;
    ExpectOk(from_file != 0 ? trivet_engine_load(s.runtime, path.c_str(), nullptr, &engine)
                            : trivet_engine_load_memory(s.runtime, shifted.data(), shifted.size(),
                                                        nullptr, &engine));
    ASSERT_NE(engine, nullptr);
    trivet_context_t* context = nullptr;
    ExpectOk(trivet_context_create(engine, nullptr, &context));
    std::vector<float> x = Ramp(4), y(4);
    int64_t dims[] = {1, 4};
    ExpectOk(trivet_context_set_shape(context, "x", 2, dims));
    ExpectOk(trivet_context_set_address(context, "x", x.data()));
    ExpectOk(trivet_context_set_address(context, "y", y.data()));
    ExpectOk(trivet_context_run(context));
    EXPECT_EQ(y, ChainExpected(x));
    trivet_context_destroy(context);
    trivet_engine_destroy(engine);
  }
}

TEST(ContextRunTest, ObservedValuesAreCopiedOut) {
  Session s(Chain());
  std::vector<float> x = Ramp(8), y(8), a(8, -1.0f);
  ExpectOk(s.SetShape("x", {2, 4}));
  s.SetAddress("x", &x);
  s.SetAddress("y", &y);
  s.SetAddress("a", &a);
  ExpectOk(trivet_context_run(s.context));
  EXPECT_EQ(y, ChainExpected(x));
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i], x[i] * 2 + 10.0f * static_cast<float>(i % 4 + 1));
  }
  EXPECT_EQ(s.Shape("a"), (std::vector<int64_t>{2, 4}));
}

TEST(ContextRunTest, ObservedViewIsMadeDense) {
  PlanMaker maker;
  auto two = maker.Number(2), three = maker.Number(3), one = maker.Number(1);
  uint32_t x = maker.Input("x", kF32, {two, three});
  uint32_t y = maker.Output("y", kF32, {two, three});
  uint32_t t = maker.Temporary("", kF32, {two, three});
  maker.ViewOf(t, {three, two}, {one, three}, maker.Number(0), "turned", TVI_PLAN_TENSOR_OBSERVED);
  maker.ViewOf(t, {two}, {three}, maker.Number(4), "column", TVI_PLAN_TENSOR_OBSERVED);
  maker.Launch("a", "test.linear", {x}, {t}, Factor(1));
  maker.Launch("b", "test.linear", {t}, {y}, Factor(1));
  Session s(maker.Bytes());
  ASSERT_EQ(s.load_status, nullptr) << trivet_status_message(s.load_status);
  std::vector<float> in = {0, 1, 2, 3, 4, 5}, out(6), turned(6), column(2);
  s.SetAddress("x", &in);
  s.SetAddress("y", &out);
  s.SetAddress("turned", &turned);
  s.SetAddress("column", &column);
  ExpectOk(trivet_context_run(s.context));
  EXPECT_EQ(turned, (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(column, (std::vector<float>{1, 4}));
}

TEST(ContextRunTest, ConcatenatesThroughViewsOfOneBuffer) {
  PlanMaker maker;
  auto n = maker.Symbol("N", 0, 5);
  auto m = maker.Symbol("M", 0, 5);
  auto one = maker.Number(1);
  uint32_t x = maker.Input("x", kF32, {n});
  uint32_t z = maker.Input("z", kF32, {m});
  uint32_t y = maker.Output("y", kF32, {maker.Add(n, m)});
  uint32_t head = maker.ViewOf(y, {n}, {one}, maker.Number(0));
  uint32_t tail = maker.ViewOf(y, {m}, {one}, maker.Mul(n, maker.Number(4)));
  maker.Launch("head", "test.linear", {x}, {head}, Factor(1));
  maker.Launch("tail", "test.linear", {z}, {tail}, Factor(-1));
  Session s(maker.Bytes());
  ASSERT_EQ(s.load_status, nullptr) << trivet_status_message(s.load_status);
  for (int64_t a : {2, 0, 5}) {
    for (int64_t b : {0, 3}) {
      std::vector<float> first = Ramp(static_cast<size_t>(a)),
                         second = Ramp(static_cast<size_t>(b));
      std::vector<float> out(static_cast<size_t>(a + b), 99), expected = first;
      for (float value : second) expected.push_back(-value);
      ExpectOk(s.SetShape("x", {a}));
      ExpectOk(s.SetShape("z", {b}));
      s.SetAddress("x", &first);
      s.SetAddress("z", &second);
      s.SetAddress("y", &out);
      ExpectOk(trivet_context_run(s.context));
      EXPECT_EQ(out, expected);
      EXPECT_EQ(s.Shape("y"), (std::vector<int64_t>{a + b}));
    }
  }
}

TEST(ContextRunTest, AlternativesByGuardAndRequirement) {
  PlanMaker maker;
  auto n = maker.Symbol("N", 1, 64);
  uint32_t x = maker.Input("x", kF32, {n});
  uint32_t y = maker.Output("y", kF32, {n});
  PlanMaker::StepOptions missing, large, even, plain;
  missing.requirements = {"plugin:not_here"};
  large.guards = {{TVI_PLAN_GUARD_GE, n, maker.Number(32)}};
  large.requirements = {"plugin:test_kernels", "isa:plain"};
  even.guards = {{TVI_PLAN_GUARD_DIVISIBLE, n, maker.Number(2)}};
  plain.tactic = "fallback";
  maker.Launch("step", "no.such_kernel", {x}, {y}, Factor(100), missing);
  maker.Alternative("test.linear", {x}, {y}, Factor(1000), large);
  maker.Alternative("test.linear", {x}, {y}, Factor(2000), even);
  maker.Alternative("test.linear", {x}, {y}, Factor(3000), plain);
  Session s(maker.Bytes());
  ASSERT_EQ(s.load_status, nullptr) << trivet_status_message(s.load_status);
  for (int64_t extent : {33, 32, 8, 7}) {
    std::vector<float> in(static_cast<size_t>(extent), 1), out(in.size());
    ExpectOk(s.SetShape("x", {extent}));
    s.SetAddress("x", &in);
    s.SetAddress("y", &out);
    ExpectOk(trivet_context_run(s.context));
    EXPECT_EQ(out[0], extent >= 32 ? 1000 : extent % 2 == 0 ? 2000 : 3000);
  }
  trivet_layer_record_t record;
  memset(&record, 0, sizeof(record));
  record.header = {sizeof(record), TRIVET_STRUCT_LAYER_RECORD, nullptr};
  ExpectOk(trivet_context_layer(s.context, 0, &record));
  EXPECT_STREQ(record.tactic, "fallback");
}

TEST(ContextRunTest, EmptyOutputsAreSkipped) {
  PlanMaker maker;
  auto n = maker.Symbol("N", 0, 4);
  uint32_t x = maker.Input("x", kF32, {n});
  uint32_t y = maker.Output("y", kF32, {n});
  maker.Launch("step", "test.linear", {x}, {y}, Factor(2));
  Session s(maker.Bytes());
  ExpectOk(s.SetShape("x", {0}));
  // Nothing lies behind an empty tensor, so no address is needed.
  ExpectOk(trivet_context_run(s.context));
  EXPECT_EQ(s.Shape("y"), (std::vector<int64_t>{0}));
  ExpectOk(s.SetShape("x", {2}));
  EXPECT_EQ(TextOf(trivet_context_run(s.context)),
            "FAILED_PRECONDITION: input 'x': its address was not set");
}

TEST(ContextRunTest, Profile) {
  Session s(Chain());
  std::vector<float> x = Ramp(8), y(8);
  ExpectOk(s.SetShape("x", {2, 4}));
  s.SetAddress("x", &x);
  s.SetAddress("y", &y);
  ExpectOk(trivet_context_run(s.context));
  ExpectOk(trivet_context_enable_profile(s.context, 1));
  for (int i = 0; i < 3; ++i) ExpectOk(trivet_context_run(s.context));
  ExpectOk(trivet_context_enable_profile(s.context, 0));
  ExpectOk(trivet_context_run(s.context));
  ASSERT_EQ(trivet_context_layer_count(s.context), 3u);
  trivet_layer_record_t record;
  memset(&record, 0, sizeof(record));
  EXPECT_EQ(TextOf(trivet_context_layer(s.context, 0, &record)),
            "INVALID_ARGUMENT: struct to be filled: header.struct_type is 0x00000000, wanted "
            "0x52540006");
  record.header = {sizeof(record), TRIVET_STRUCT_LAYER_RECORD, nullptr};
  ExpectOk(trivet_context_layer(s.context, 0, &record));
  EXPECT_STREQ(record.name, "first");
  EXPECT_STREQ(record.kernel, "test.linear");
  EXPECT_EQ(record.count, 3u);
  EXPECT_GT(record.nanoseconds, 0u);
  EXPECT_EQ(record.bytes, 3u * 2 * 4 * 4);
  EXPECT_EQ(TextOf(trivet_context_layer(s.context, 3, &record)), "OUT_OF_RANGE: layer 3 of 3");
}

TEST(ContextRunTest, OverlappingBindings) {
  PlanMaker maker;
  auto n = maker.Symbol("N", 1, 8);
  uint32_t x = maker.Input("x", kF32, {n});
  uint32_t z = maker.Input("z", kF32, {n});
  uint32_t y = maker.Output("y", kF32, {n}, 0);
  maker.Launch("step", "test.linear", {x, z}, {y}, Factor(2));
  Session s(maker.Bytes());
  std::vector<float> memory = Ramp(16);
  auto address = [&](const char* name, size_t at) {
    ExpectOk(trivet_context_set_address(s.context, name, &memory[at]));
  };
  ExpectOk(s.SetShape("x", {4}));
  ExpectOk(s.SetShape("z", {4}));
  address("x", 0);
  address("z", 4);
  address("y", 8);
  ExpectOk(trivet_context_run(s.context));
  address("y", 0);  // the plan declares this
  ExpectOk(trivet_context_run(s.context));
  EXPECT_EQ(memory[1], 2 * -2.0f + 2.0f);
  address("y", 1);
  EXPECT_EQ(TextOf(trivet_context_run(s.context)),
            "INVALID_ARGUMENT: output 'y' overlaps input 'x'");
  address("y", 5);
  EXPECT_EQ(TextOf(trivet_context_run(s.context)),
            "INVALID_ARGUMENT: output 'y' overlaps input 'z'");
  address("y", 8);
  ExpectOk(trivet_context_run(s.context));
}

TEST(ContextRunTest, RefusesAddresses) {
  Session s(Chain());
  char memory[64] __attribute__((aligned(64)));
  EXPECT_EQ(TextOf(trivet_context_set_address(s.context, "q", memory)),
            "NOT_FOUND: the plan has no tensor named 'q'");
  std::string text = TextOf(trivet_context_set_address(s.context, "x", memory + 2));
  EXPECT_EQ(text.substr(0, 40), "INVALID_ARGUMENT: tensor 'x': address 0x");
  EXPECT_NE(text.find("is no multiple of 4"), std::string::npos);
  EXPECT_EQ(TextOf(trivet_context_run(s.context)),
            "FAILED_PRECONDITION: input 'x': its shape was not set");
}

}  // namespace
