// SPDX-License-Identifier: Apache-2.0
//
// One engine, eight contexts in eight threads, some of them with threads of their own: right
// results for shapes that change all the time. Meant to run under ThreadSanitizer too.

#include <thread>
#include <vector>

#include "tests/unit/runtime/context/runtime_fixture.h"

namespace {

using trivet_test::ExpectOk;
using trivet_test::Factor;
using trivet_test::PlanMaker;
using trivet_test::Session;

constexpr uint32_t kF32 = TRIVET_DTYPE_F32;

TEST(ContextThreadsTest, EightThreadsEightContextsOneEngine) {
  PlanMaker maker;
  auto n = maker.Symbol("N", 1, 300);
  uint32_t x = maker.Input("x", kF32, {n});
  uint32_t y = maker.Output("y", kF32, {n});
  uint32_t a = maker.Temporary("a", kF32, {n});
  uint32_t b = maker.Temporary("b", kF32, {n});
  uint32_t c = maker.Temporary("c", kF32, {n});
  double factor = 5;
  trivet_attribute_t attribute = {"factor", TRIVET_ATTR_F32, 0, 1, &factor};
  maker.Launch("a", "test.linear", {x}, {a}, Factor(2));
  maker.Launch("b", "test.linear", {a, x}, {b}, Factor(1));
  maker.Host("c", "test.Scale", {b}, {c}, {attribute});
  PlanMaker::StepOptions options;
  options.parameters = {n};
  maker.Launch("d", "test.linear", {c, a}, {y}, Factor(1), options);
  Session s(maker.Bytes());
  ASSERT_EQ(s.load_status, nullptr) << trivet_status_message(s.load_status);
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 8; ++t) {
    threads.emplace_back([&s, t] {
      trivet_context_t* context = s.NewContext(t % 3 == 2 ? 2 : 1);
      for (int round = 0; round < 40; ++round) {
        int64_t extent = 1 + (round * 7 + t * 31) % 300;
        std::vector<float> in(static_cast<size_t>(extent)), out(in.size());
        for (size_t i = 0; i < in.size(); ++i) in[i] = static_cast<float>(i + t);
        ExpectOk(trivet_context_set_shape(context, "x", 1, &extent));
        ExpectOk(trivet_context_set_address(context, "x", in.data()));
        ExpectOk(trivet_context_set_address(context, "y", out.data()));
        for (int again = 0; again < 3; ++again) ExpectOk(trivet_context_run(context));
        for (size_t i = 0; i < in.size(); ++i) {
          ASSERT_EQ(out[i], in[i] * 17 + static_cast<float>(extent));
        }
      }
      trivet_context_destroy(context);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// A pool of the caller's: threads for each call, all tasks at the same time.
struct CallersPool {
  explicit CallersPool(uint32_t threads) : thread_count(threads) {
    static const trivet_executor_api_t kApi = {sizeof(trivet_executor_api_t), TRIVET_ABI_MINOR,
                                               ThreadCount, Parallel};
    executor.api = &kApi;
  }
  static uint32_t ThreadCount(const trivet_executor_t* executor) {
    return reinterpret_cast<const CallersPool*>(executor)->thread_count;
  }
  static void Parallel(trivet_executor_t* executor, uint32_t count,
                       void (*task)(void*, uint32_t, uint32_t), void* argument) {
    auto* pool = reinterpret_cast<CallersPool*>(executor);
    pool->calls += 1;
    pool->tasks += count;
    std::vector<std::thread> threads;
    for (uint32_t i = 1; i < count; ++i) threads.emplace_back(task, argument, i, count);
    task(argument, 0, count);
    for (std::thread& thread : threads) thread.join();
  }
  trivet_executor_t executor;
  uint32_t thread_count;
  uint32_t calls = 0, tasks = 0;
};

TEST(ContextThreadsTest, TheCallersPoolRunsEveryTask) {
  PlanMaker maker;
  auto n = maker.Number(100);
  uint32_t x = maker.Input("x", kF32, {n});
  uint32_t a = maker.Temporary("a", kF32, {n});
  uint32_t y = maker.Output("y", kF32, {n});
  maker.Launch("a", "test.linear", {x}, {a}, Factor(2));
  maker.Launch("b", "test.linear", {a}, {y}, Factor(3));
  Session s(maker.Bytes());
  ASSERT_EQ(s.load_status, nullptr) << trivet_status_message(s.load_status);
  CallersPool pool(3);
  trivet_context_options_t options;
  memset(&options, 0, sizeof(options));
  options.header = {sizeof(options), TRIVET_STRUCT_CONTEXT_OPTIONS, nullptr};
  options.executor = &pool.executor;
  trivet_context_t* context = nullptr;
  options.thread_count = 4;
  EXPECT_EQ(trivet_test::TextOf(trivet_context_create(s.engine, &options, &context)),
            "INVALID_ARGUMENT: context options: thread_count is 4, the executor has 3 threads");
  options.thread_count = 0;
  ExpectOk(trivet_context_create(s.engine, &options, &context));
  std::vector<float> in(100, 7), out(100);
  ExpectOk(trivet_context_set_address(context, "x", in.data()));
  ExpectOk(trivet_context_set_address(context, "y", out.data()));
  for (int i = 0; i < 5; ++i) ExpectOk(trivet_context_run(context));
  EXPECT_EQ(out, std::vector<float>(100, 42));
  EXPECT_EQ(pool.calls, 10u);
  EXPECT_EQ(pool.tasks, 30u);
  trivet_context_destroy(context);
}

TEST(ContextThreadsTest, EnginesAreLoadedInParallel) {
  PlanMaker maker;
  auto n = maker.Number(4);
  uint32_t x = maker.Input("x", kF32, {n});
  uint32_t y = maker.Output("y", kF32, {n});
  maker.Launch("a", "test.linear", {x}, {y}, Factor(2));
  std::string bytes = maker.Bytes();
  Session s(bytes);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&s, &bytes] {
      for (int i = 0; i < 10; ++i) {
        trivet_engine_t* engine = nullptr;
        ExpectOk(
            trivet_engine_load_memory(s.runtime, bytes.data(), bytes.size(), nullptr, &engine));
        trivet_engine_destroy(engine);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
