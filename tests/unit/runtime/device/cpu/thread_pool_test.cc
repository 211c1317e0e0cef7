// SPDX-License-Identifier: Apache-2.0
//
// The fork-join pool: every task runs, all at once, from any caller.
// Tagged for ThreadSanitizer; results must not depend on how many threads there are.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

extern "C" {
#include "runtime/device/cpu/thread_pool.h"
}

namespace {

class Pool {
 public:
  explicit Pool(uint32_t threads, uint32_t spin = 0) {
    tvi_thread_pool_options_t options = {threads, spin};
    EXPECT_EQ(tvi_thread_pool_create(&options, trivet_allocator_system(), &pool_), nullptr);
  }
  ~Pool() { tvi_thread_pool_destroy(pool_); }
  void run(uint32_t count, void (*task)(void*, uint32_t, uint32_t), void* argument) {
    trivet_executor_t* executor = tvi_thread_pool_executor(pool_);
    executor->api->parallel(executor, count, task, argument);
  }
  uint32_t thread_count() {
    trivet_executor_t* executor = tvi_thread_pool_executor(pool_);
    return executor->api->thread_count(executor);
  }

 private:
  tvi_thread_pool_t* pool_ = nullptr;
};

TEST(ThreadPool, RunsEveryTaskOnce) {
  Pool pool(4);
  EXPECT_EQ(pool.thread_count(), 4u);
  for (uint32_t count = 1; count <= 4; ++count) {
    for (int round = 0; round < 200; ++round) {
      std::atomic<uint32_t> seen{0};
      pool.run(
          count,
          [](void* argument, uint32_t index, uint32_t) {
            static_cast<std::atomic<uint32_t>*>(argument)->fetch_add(1u << (8 * index));
          },
          &seen);
      uint32_t expected = 0;
      for (uint32_t i = 0; i < count; ++i) expected += 1u << (8 * i);
      ASSERT_EQ(seen.load(), expected);
    }
  }
}

// Tasks that wait for each other end only when all run at the same time.
struct Barrier {
  std::atomic<uint32_t> arrived{0};
};

TEST(ThreadPool, TasksRunAtTheSameTime) {
  Pool pool(5);
  for (int round = 0; round < 50; ++round) {
    Barrier barrier;
    pool.run(
        5,
        [](void* argument, uint32_t, uint32_t count) {
          auto* b = static_cast<Barrier*>(argument);
          b->arrived.fetch_add(1);
          while (b->arrived.load() < count) std::this_thread::yield();
        },
        &barrier);
    ASSERT_EQ(barrier.arrived.load(), 5u);
  }
}

TEST(ThreadPool, IndexZeroIsTheCaller) {
  Pool pool(3);
  struct Ids {
    std::thread::id ids[3];
  } ids;
  pool.run(
      3,
      [](void* argument, uint32_t index, uint32_t) {
        static_cast<Ids*>(argument)->ids[index] = std::this_thread::get_id();
      },
      &ids);
  EXPECT_EQ(ids.ids[0], std::this_thread::get_id());
  EXPECT_NE(ids.ids[1], ids.ids[0]);
  EXPECT_NE(ids.ids[2], ids.ids[1]);
}

TEST(ThreadPool, WakesSleepingWorkers) {
  Pool pool(3, 1000);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<uint32_t> count{0};
    pool.run(
        3,
        [](void* argument, uint32_t, uint32_t) {
          static_cast<std::atomic<uint32_t>*>(argument)->fetch_add(1);
        },
        &count);
    ASSERT_EQ(count.load(), 3u);
  }
}

TEST(ThreadPool, SeveralCallersTakeTurns) {
  Pool pool(3);
  struct Counter {
    uint64_t plain[3] = {0, 0, 0};  // of one caller: no two tasks of one index at once
  };
  std::vector<std::thread> callers;
  std::vector<Counter> counters(4);
  for (auto& counter : counters)
    callers.emplace_back([&pool, &counter] {
      for (int round = 0; round < 300; ++round)
        pool.run(
            3,
            [](void* argument, uint32_t index, uint32_t) {
              ++static_cast<Counter*>(argument)->plain[index];
            },
            &counter);
    });
  for (auto& caller : callers) caller.join();
  for (auto& counter : counters)
    for (uint64_t n : counter.plain) EXPECT_EQ(n, 300u);
}

TEST(ThreadPool, DestroysAtOnceAndWhileAsleep) {
  for (int round = 0; round < 20; ++round) {
    Pool pool(4, 1000);
    if (round % 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

TEST(ThreadPool, RefusesTooManyThreads) {
  tvi_thread_pool_options_t options = {1u << 20, 0};
  tvi_thread_pool_t* pool = nullptr;
  trivet_status_t status = tvi_thread_pool_create(&options, trivet_allocator_system(), &pool);
  EXPECT_EQ(trivet_status_consume(status), TRIVET_STATUS_INVALID_ARGUMENT);
  EXPECT_EQ(pool, nullptr);
}

}  // namespace
