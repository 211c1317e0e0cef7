// SPDX-License-Identifier: Apache-2.0
//
// Memory of the runtime: everything comes from the caller's allocator, nothing is allocated by a
// run after prepare, every allocation may fail, the arena has the size that the planner says.

#include "tests/unit/runtime/context/runtime_fixture.h"

namespace {

using trivet_test::AlignedPlan;
using trivet_test::ExpectOk;
using trivet_test::Factor;
using trivet_test::FailingAllocator;
using trivet_test::PlanMaker;
using trivet_test::Session;

constexpr uint32_t kF32 = TRIVET_DTYPE_F32;

// A chain of `length` steps over x[N, 16].
std::string Chain(int length) {
  PlanMaker maker;
  auto n = maker.Symbol("N", 1, 64);
  auto width = maker.Number(16);
  uint32_t x = maker.Input("x", kF32, {n, width});
  uint32_t y = maker.Output("y", kF32, {n, width});
  uint32_t w = maker.Weight("w", std::vector<float>(16, 0.5f));
  uint32_t row = maker.ViewOf(w, {n, width}, {maker.Number(0), maker.Number(1)}, maker.Number(0));
  uint32_t last = x;
  for (int i = 0; i + 1 < length; ++i) {
    uint32_t next = maker.Temporary("t" + std::to_string(i), kF32, {n, width},
                                    i == 0 ? TVI_PLAN_TENSOR_OBSERVED : 0);
    maker.Launch("step" + std::to_string(i), "test.linear", {last, row}, {next}, Factor(1));
    last = next;
  }
  maker.Launch("last", "test.linear", {last}, {y}, Factor(1));
  return maker.Bytes();
}

TEST(ContextMemoryTest, RunAllocatesNothingAfterPrepare) {
  for (uint32_t threads : {1u, 2u}) {
    FailingAllocator allocator;
    {
      Session s(Chain(6), allocator.get(), threads);
      ASSERT_EQ(s.load_status, nullptr) << trivet_status_message(s.load_status);
      std::vector<float> x(64 * 16, 1), y(64 * 16), t(64 * 16);
      s.SetAddress("x", &x);
      s.SetAddress("y", &y);
      for (int64_t n : {32, 64}) {
        ExpectOk(s.SetShape("x", {n, 16}));
        ExpectOk(trivet_context_prepare(s.context));
        uint64_t calls = allocator.calls();
        for (int i = 0; i < 3; ++i) ExpectOk(trivet_context_run(s.context));
        // Other addresses, observing and profiling are part of running.
        std::vector<float> other(64 * 16, 2);
        s.SetAddress("x", &other);
        s.SetAddress("t0", &t);
        ExpectOk(trivet_context_enable_profile(s.context, 1));
        ExpectOk(trivet_context_run(s.context));
        EXPECT_EQ(allocator.calls(), calls);
        EXPECT_EQ(y[0], 4.5f);
        EXPECT_EQ(t[0], 2.5f);
        s.SetAddress("x", &x);
      }
      // Going back to shapes that fit takes no larger arena.
      size_t live = allocator.live_bytes();
      ExpectOk(s.SetShape("x", {8, 16}));
      ExpectOk(trivet_context_run(s.context));
      EXPECT_EQ(allocator.live_bytes(), live);
    }
    EXPECT_EQ(allocator.live_blocks(), 0u);
    EXPECT_EQ(allocator.bad_frees(), 0u);
  }
}

TEST(ContextMemoryTest, ArenaIsPlannedForTheBoundShapes) {
  Session s(Chain(7));
  for (int64_t n : {1, 64}) {
    ExpectOk(s.SetShape("x", {n, 16}));
    ExpectOk(trivet_context_prepare(s.context));
    trivet_context_statistics_t statistics = s.Statistics();
    // The observed value stays; two more are live at once.
    uint64_t value = static_cast<uint64_t>(n) * 16 * 4;
    EXPECT_EQ(statistics.arena_lower_bound, 3 * value);
    EXPECT_EQ(statistics.arena_size, 3 * value);
    EXPECT_EQ(statistics.workspace_size, 256u);
    EXPECT_EQ(statistics.weights_size, 64u);
    EXPECT_EQ(statistics.step_count, 7u);
  }
}

// Loads, prepares and runs with a host step of data-dependent extents; releases everything.
trivet_status_t LoadAndRun(trivet_allocator_t allocator, AlignedPlan* bytes, uint32_t threads) {
  trivet_runtime_options_t runtime_options;
  memset(&runtime_options, 0, sizeof(runtime_options));
  runtime_options.header = {sizeof(runtime_options), TRIVET_STRUCT_RUNTIME_OPTIONS, nullptr};
  runtime_options.allocator = allocator;
  trivet_context_options_t options;
  memset(&options, 0, sizeof(options));
  options.header = {sizeof(options), TRIVET_STRUCT_CONTEXT_OPTIONS, nullptr};
  options.thread_count = threads;
  trivet_runtime_t* runtime = nullptr;
  trivet_engine_t* engine = nullptr;
  trivet_context_t* context = nullptr;
  std::vector<float> x = {1, -1, 2, 3}, y(4);
  const std::vector<float> result = {10, 20, 30, 0};
  int64_t dims[] = {4};
  char* text = nullptr;
  trivet_status_t status = trivet_runtime_create(&runtime_options, &runtime);
  if (status == nullptr) status = trivet_runtime_load_plugin(runtime, TEST_KERNELS);
  if (status == nullptr) {
    status = trivet_engine_load_memory(runtime, bytes->data(), bytes->size(), nullptr, &engine);
  }
  if (status == nullptr) status = trivet_engine_inspect(engine, TRIVET_INSPECT_JSON, &text);
  trivet_string_free(runtime, text);
  if (status == nullptr) status = trivet_context_create(engine, &options, &context);
  if (status == nullptr) status = trivet_context_set_shape(context, "x", 1, dims);
  if (status == nullptr) status = trivet_context_set_address(context, "x", x.data());
  if (status == nullptr) status = trivet_context_set_address(context, "y", y.data());
  if (status == nullptr) status = trivet_context_run(context);
  trivet_status_t first = status;
  // A context that failed is as it was: trying again gives the result or the same error.
  if (context != nullptr && first != nullptr) {
    trivet_status_t again = trivet_context_run(context);
    EXPECT_TRUE(again != nullptr || y == result);
    trivet_status_free(again);
  }
  EXPECT_TRUE(status != nullptr || y == result);
  trivet_context_destroy(context);
  trivet_engine_destroy(engine);
  trivet_runtime_destroy(runtime);
  return status;
}

TEST(ContextMemoryTest, EveryAllocationMayFail) {
  PlanMaker maker;
  PlanMaker::StepOptions host;
  auto n = maker.Symbol("N", 1, 1000);
  auto m = maker.Symbol("M", 0, 1000, 1, TVI_SYMBOL_DATA);
  uint32_t x = maker.Input("x", kF32, {n});
  uint32_t y = maker.Output("y", kF32, {m});
  uint32_t a = maker.Temporary("a", kF32, {n});
  uint32_t b = maker.Temporary("b", kF32, {n});
  uint32_t p = maker.Temporary("p", kF32, {m});
  double factor = 5;
  trivet_attribute_t attribute = {"factor", TRIVET_ATTR_F32, 0, 1, &factor};
  maker.Launch("two", "test.linear", {x}, {a}, Factor(2));
  maker.Host("five", "test.Scale", {a}, {b}, {attribute});
  host.bound = {{1, 0, 0}};
  maker.Host("positive", "test.Positive", {b}, {p, TVI_PLAN_NONE}, {}, host);
  maker.Launch("copy", "test.linear", {p}, {y}, Factor(1));
  std::string bytes = maker.Bytes();
  for (size_t shift : {size_t{0}, size_t{1}}) {
    AlignedPlan plan(bytes, shift);
    for (uint32_t threads : {1u, 2u}) {
      uint64_t failures = trivet_test::ForEachFailure(
          [&](trivet_allocator_t allocator) { return LoadAndRun(allocator, &plan, threads); });
      EXPECT_GT(failures, 20u);
    }
  }
}

}  // namespace
