// SPDX-License-Identifier: Apache-2.0
//
// Allocator calls, checked arithmetic, vectors, reference counts.
// Limits are tried from both sides: the last size that fits and the first that does not.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "core/base/allocator.h"
#include "core/base/checked.h"
#include "core/base/refcount.h"
#include "core/base/status.h"
#include "core/base/vector.h"
#include "tests/support/failing_allocator.h"

namespace {

using trivet_test::FailingAllocator;
using trivet_test::ForEachFailure;

TEST(Allocator, SystemAllocatesAligned) {
  for (size_t alignment : {1, 16, 64, 4096}) {
    int* p = nullptr;
    ASSERT_EQ(tvi_alloc_aligned(trivet_allocator_system(), 40, alignment, &p), nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % alignment, 0u);
    p[9] = 1;
    tvi_free_aligned(trivet_allocator_system(), p, 40, alignment);
  }
}

TEST(Allocator, SystemReallocatesAligned) {
  trivet_allocator_t system = trivet_allocator_system();
  auto* p = static_cast<unsigned char*>(system.allocate(system.self, 100, 256));
  for (int i = 0; i < 100; ++i) p[i] = static_cast<unsigned char>(i);
  p = static_cast<unsigned char*>(system.reallocate(system.self, p, 100, 5000, 256));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % 256, 0u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(p[i], i);
  system.deallocate(system.self, p, 5000, 256);
}

TEST(Allocator, MissingMeansSystem) {
  trivet_allocator_t none = {};
  EXPECT_EQ(tvi_allocator_or_system(none).allocate, trivet_allocator_system().allocate);
  FailingAllocator allocator;
  EXPECT_EQ(tvi_allocator_or_system(allocator.get()).self, &allocator);
}

TEST(Allocator, ZeroSizeIsNull) {
  FailingAllocator allocator;
  int dummy;
  int* p = &dummy;
  ASSERT_EQ(tvi_alloc(allocator.get(), 0, &p), nullptr);
  EXPECT_EQ(p, nullptr);
  p = &dummy;
  ASSERT_EQ(tvi_alloc_array_zeroed(allocator.get(), 0, 8, &p), nullptr);
  EXPECT_EQ(p, nullptr);
  EXPECT_EQ(allocator.calls(), 0u);
  tvi_free(allocator.get(), nullptr, 0);
}

TEST(Allocator, FailureLeavesOutputUntouched) {
  FailingAllocator allocator(1);
  int dummy;
  int* p = &dummy;
  trivet_status_t status = tvi_alloc(allocator.get(), 24, &p);
  EXPECT_STREQ(trivet_status_message(status), "cannot allocate 24 bytes");
  EXPECT_EQ(trivet_status_consume(status), TRIVET_STATUS_OUT_OF_MEMORY);
  EXPECT_EQ(p, &dummy);
}

TEST(Allocator, ArrayOverflowIsRefused) {
  FailingAllocator allocator;
  int* p = nullptr;
  EXPECT_EQ(trivet_status_consume(tvi_alloc_array(allocator.get(), SIZE_MAX / 4, 8, &p)),
            TRIVET_STATUS_OUT_OF_RANGE);
  EXPECT_EQ(trivet_status_consume(tvi_realloc_array(allocator.get(), &p, 0, SIZE_MAX, 2)),
            TRIVET_STATUS_OUT_OF_RANGE);
  EXPECT_EQ(allocator.calls(), 0u);
}

TEST(Allocator, ReallocKeepsContents) {
  FailingAllocator allocator;
  for (bool has_reallocate : {true, false}) {
    trivet_allocator_t a = allocator.get();
    if (!has_reallocate) a.reallocate = nullptr;
    int* p = nullptr;
    ASSERT_EQ(tvi_realloc_array(a, &p, 0, 3, sizeof(int)), nullptr);
    for (int i = 0; i < 3; ++i) p[i] = i;
    ASSERT_EQ(tvi_realloc_array(a, &p, 3, 1000, sizeof(int)), nullptr);
    EXPECT_EQ(p[2], 2);
    ASSERT_EQ(tvi_realloc_array(a, &p, 1000, 2, sizeof(int)), nullptr);
    EXPECT_EQ(p[1], 1);
    ASSERT_EQ(tvi_realloc_array(a, &p, 2, 0, sizeof(int)), nullptr);
    EXPECT_EQ(p, nullptr);
  }
  EXPECT_EQ(allocator.live_blocks(), 0u);
  EXPECT_EQ(allocator.bad_frees(), 0u);
}

TEST(Allocator, ReallocFailureKeepsOldArray) {
  FailingAllocator allocator(2);
  int* p = nullptr;
  ASSERT_EQ(tvi_alloc_array_zeroed(allocator.get(), 4, sizeof(int), &p), nullptr);
  int* before = p;
  EXPECT_EQ(trivet_status_consume(tvi_realloc_array(allocator.get(), &p, 4, 8, sizeof(int))),
            TRIVET_STATUS_OUT_OF_MEMORY);
  EXPECT_EQ(p, before);
  EXPECT_EQ(p[3], 0);
  tvi_free_array(allocator.get(), p, 4, sizeof(int));
  EXPECT_EQ(allocator.bad_frees(), 0u);
}

TEST(Checked, AddSubMul) {
  int64_t i = 7;
  EXPECT_TRUE(tvi_checked_add_i64(INT64_MAX - 1, 1, &i));
  EXPECT_EQ(i, INT64_MAX);
  EXPECT_FALSE(tvi_checked_add_i64(INT64_MAX, 1, &i));
  EXPECT_EQ(i, INT64_MAX);
  EXPECT_FALSE(tvi_checked_sub_i64(INT64_MIN, 1, &i));
  EXPECT_FALSE(tvi_checked_mul_i64(INT64_MIN, -1, &i));
  EXPECT_TRUE(tvi_checked_mul_i64(-3, 5, &i));
  EXPECT_EQ(i, -15);
  size_t s = 1;
  EXPECT_FALSE(tvi_checked_sub_size(1, 2, &s));
  EXPECT_FALSE(tvi_checked_mul_size(SIZE_MAX, 2, &s));
  EXPECT_EQ(s, 1u);
  uint64_t u = 1;
  EXPECT_FALSE(tvi_checked_add_u64(UINT64_MAX, 1, &u));
}

TEST(Checked, AlignUp) {
  size_t s = 5;
  EXPECT_TRUE(tvi_checked_align_up_size(0, 64, &s));
  EXPECT_EQ(s, 0u);
  EXPECT_TRUE(tvi_checked_align_up_size(65, 64, &s));
  EXPECT_EQ(s, 128u);
  EXPECT_FALSE(tvi_checked_align_up_size(65, 48, &s));
  EXPECT_FALSE(tvi_checked_align_up_size(65, 0, &s));
  EXPECT_FALSE(tvi_checked_align_up_size(SIZE_MAX, 64, &s));
  uint64_t u;
  EXPECT_FALSE(tvi_checked_align_up_u64(UINT64_MAX - 3, 8, &u));
}

TEST(Checked, ElementCount) {
  int64_t count = -5;
  int64_t shape[] = {2, 3, 4};
  EXPECT_TRUE(tvi_checked_element_count(shape, 3, &count));
  EXPECT_EQ(count, 24);
  EXPECT_TRUE(tvi_checked_element_count(nullptr, 0, &count));
  EXPECT_EQ(count, 1);
  int64_t zero[] = {INT64_MAX, INT64_MAX, 0};
  EXPECT_TRUE(tvi_checked_element_count(zero, 3, &count));
  EXPECT_EQ(count, 0);
  int64_t large[] = {INT64_MAX, 2};
  EXPECT_FALSE(tvi_checked_element_count(large, 2, &count));
  int64_t negative[] = {0, -1};
  EXPECT_FALSE(tvi_checked_element_count(negative, 2, &count));
}

TEST(Checked, RangeAndNarrowing) {
  EXPECT_TRUE(tvi_checked_range(10, 0, 10));
  EXPECT_FALSE(tvi_checked_range(11, 0, 10));
  EXPECT_FALSE(tvi_checked_range(1, UINT64_MAX, 10));
  size_t s;
  EXPECT_FALSE(tvi_checked_i64_to_size(-1, &s));
  int64_t i;
  EXPECT_FALSE(tvi_checked_u64_to_i64(UINT64_C(1) << 63, &i));
  uint32_t u;
  EXPECT_FALSE(tvi_checked_u64_to_u32(UINT64_C(1) << 32, &u));
}

TEST(Checked, FloorDivision) {
  struct {
    int64_t a, b, quotient, remainder;
  } cases[] = {{7, 2, 3, 1},
               {-7, 2, -4, 1},
               {7, -2, -4, -1},
               {-7, -2, 3, -1},
               {6, -3, -2, 0},
               {0, 5, 0, 0},
               {INT64_MIN, 1, INT64_MIN, 0}};
  for (auto& c : cases) {
    int64_t q, r;
    ASSERT_TRUE(tvi_checked_floor_div_i64(c.a, c.b, &q));
    ASSERT_TRUE(tvi_checked_floor_mod_i64(c.a, c.b, &r));
    EXPECT_EQ(q, c.quotient) << c.a << "/" << c.b;
    EXPECT_EQ(r, c.remainder) << c.a << "%" << c.b;
  }
  int64_t out;
  EXPECT_FALSE(tvi_checked_floor_div_i64(1, 0, &out));
  EXPECT_FALSE(tvi_checked_floor_mod_i64(1, 0, &out));
  EXPECT_FALSE(tvi_checked_floor_div_i64(INT64_MIN, -1, &out));
  EXPECT_TRUE(tvi_checked_floor_mod_i64(INT64_MIN, -1, &out));
  EXPECT_EQ(out, 0);
}

TEST(Vector, PushKeepsOrder) {
  FailingAllocator allocator;
  TVI_VECTOR(int) v;
  tvi_vector_init(&v, allocator.get());
  for (int i = 0; i < 100; ++i) ASSERT_EQ(tvi_vector_push(&v, i), nullptr);
  ASSERT_EQ(v.count, 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(v.data[i], i);
  EXPECT_LT(allocator.calls(), 10u);
  tvi_vector_remove_at(&v, 0);
  EXPECT_EQ(v.data[0], 1);
  EXPECT_EQ(v.count, 99u);
  // An element of the vector itself, at a moment when pushing moves it.
  while (v.count < v.capacity) ASSERT_EQ(tvi_vector_push(&v, 5), nullptr);
  ASSERT_EQ(tvi_vector_push(&v, v.data[0]), nullptr);
  EXPECT_EQ(v.data[v.count - 1], 1);
  int more[] = {7, 8};
  ASSERT_EQ(tvi_vector_append(&v, more, 2), nullptr);
  EXPECT_EQ(v.data[v.count - 1], 8);
  size_t before = v.count;
  ASSERT_EQ(tvi_vector_resize(&v, before + 50), nullptr);
  EXPECT_EQ(v.data[before + 49], 0);
  ASSERT_EQ(tvi_vector_resize(&v, 2), nullptr);
  EXPECT_EQ(v.count, 2u);
  tvi_vector_clear(&v);
  EXPECT_EQ(v.count, 0u);
  tvi_vector_deinit(&v);
  EXPECT_EQ(allocator.live_blocks(), 0u);
  EXPECT_EQ(allocator.bad_frees(), 0u);
}

TEST(Vector, EveryFailureIsReported) {
  uint64_t failures = ForEachFailure([](trivet_allocator_t allocator) -> trivet_status_t {
    TVI_VECTOR(double) v;
    tvi_vector_init(&v, allocator);
    trivet_status_t status = TRIVET_OK;
    for (int i = 0; i < 100 && status == nullptr; ++i) {
      status = tvi_vector_push(&v, static_cast<double>(i));
      EXPECT_EQ(v.count, static_cast<size_t>(i) + (status == nullptr ? 1u : 0u));
    }
    tvi_vector_deinit(&v);
    return status;
  });
  EXPECT_GE(failures, 4u);
}

TEST(Vector, HugeReserveIsRefused) {
  TVI_VECTOR(double) v;
  tvi_vector_init(&v, trivet_allocator_system());
  EXPECT_EQ(trivet_status_consume(tvi_vector_reserve(&v, SIZE_MAX / 4)),
            TRIVET_STATUS_OUT_OF_RANGE);
  ASSERT_EQ(tvi_vector_push(&v, 1.0), nullptr);
  EXPECT_EQ(trivet_status_consume(tvi_vector_reserve(&v, SIZE_MAX)), TRIVET_STATUS_OUT_OF_RANGE);
  tvi_vector_deinit(&v);
}

struct Counted {
  tvi_object_t object;
  std::atomic<int>* destroyed;
};

TEST(Refcount, LastReleaseDestroysOnce) {
  static const tvi_object_vtable_t vtable = {
      "counted", [](void* object) { ++*static_cast<Counted*>(object)->destroyed; }};
  std::atomic<int> destroyed{0};
  Counted counted = {{}, &destroyed};
  tvi_object_init(&counted.object, &vtable);
  EXPECT_TRUE(tvi_object_is_unique(&counted.object));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    tvi_object_retain(&counted.object);
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        tvi_object_retain(&counted.object);
        tvi_object_release(&counted.object);
      }
      tvi_object_release(&counted.object);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(destroyed, 0);
  EXPECT_TRUE(tvi_object_is_unique(&counted.object));
  tvi_object_release(&counted.object);
  EXPECT_EQ(destroyed, 1);
  tvi_object_retain(nullptr);
  tvi_object_release(nullptr);
}

}  // namespace
