// SPDX-License-Identifier: Apache-2.0
//
// The bump arena: alignment, stability of pointers, reset, large requests, failures.
// By its public calls alone, over an allocator that counts and fails.

#include "core/base/arena.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/base/string_view.h"
#include "tests/support/failing_allocator.h"

namespace {

using trivet_test::FailingAllocator;
using trivet_test::ForEachFailure;

TEST(Arena, PointersAreAlignedDisjointAndStable) {
  FailingAllocator allocator;
  tvi_arena_t arena;
  tvi_arena_init(&arena, allocator.get(), 1000);
  EXPECT_EQ(allocator.calls(), 0u);
  std::vector<std::pair<unsigned char*, size_t>> parts;
  for (size_t i = 1; i < 300; ++i) {
    size_t size = i * 37 % 900 + 1;
    size_t alignment = size_t{1} << (i % 8);
    unsigned char* p = nullptr;
    ASSERT_EQ(tvi_arena_alloc_aligned(&arena, size, alignment, &p), nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(p) % alignment, 0u);
    memset(p, static_cast<int>(i & 255), size);
    parts.emplace_back(p, size);
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    for (size_t b = 0; b < parts[i].second; ++b) {
      ASSERT_EQ(parts[i].first[b], (i + 1) & 255);
    }
  }
  EXPECT_EQ(arena.reserved_bytes, allocator.live_bytes());
  EXPECT_LE(arena.used_bytes, arena.reserved_bytes);
  tvi_arena_deinit(&arena);
  EXPECT_EQ(allocator.live_blocks(), 0u);
  EXPECT_EQ(allocator.bad_frees(), 0u);
  EXPECT_EQ(arena.reserved_bytes, 0u);
}

TEST(Arena, ResetKeepsOneBlock) {
  FailingAllocator allocator;
  tvi_arena_t arena;
  tvi_arena_init(&arena, allocator.get(), 256);
  void* p = nullptr;
  for (int i = 0; i < 20; ++i) ASSERT_EQ(tvi_arena_alloc(&arena, 100, &p), nullptr);
  EXPECT_GT(allocator.live_blocks(), 1u);
  tvi_arena_reset(&arena);
  EXPECT_EQ(allocator.live_blocks(), 1u);
  EXPECT_EQ(arena.used_bytes, 0u);
  uint64_t calls = allocator.calls();
  ASSERT_EQ(tvi_arena_alloc(&arena, 100, &p), nullptr);
  EXPECT_EQ(allocator.calls(), calls);
  tvi_arena_deinit(&arena);
  EXPECT_EQ(allocator.live_blocks(), 0u);
}

TEST(Arena, LargeRequestLeavesHeadInUse) {
  FailingAllocator allocator;
  tvi_arena_t arena;
  tvi_arena_init(&arena, allocator.get(), 4096);
  void* p = nullptr;
  ASSERT_EQ(tvi_arena_alloc(&arena, 16, &p), nullptr);
  ASSERT_EQ(tvi_arena_alloc(&arena, 1 << 20, &p), nullptr);
  uint64_t calls = allocator.calls();
  ASSERT_EQ(tvi_arena_alloc(&arena, 16, &p), nullptr);
  EXPECT_EQ(allocator.calls(), calls);
  tvi_arena_deinit(&arena);
}

TEST(Arena, TextAndZeros) {
  tvi_arena_t arena;
  tvi_arena_init(&arena, trivet_allocator_system(), 0);
  trivet_string_view_t copy;
  std::string text = "abc";
  ASSERT_EQ(tvi_arena_strdup(&arena, tvi_sv(text.c_str()), &copy), nullptr);
  text[0] = 'x';
  EXPECT_STREQ(copy.data, "abc");
  EXPECT_EQ(copy.size, 3u);
  ASSERT_EQ(tvi_arena_strdup(&arena, tvi_sv_make(nullptr, 0), &copy), nullptr);
  EXPECT_STREQ(copy.data, "");
  uint64_t* zeros = nullptr;
  ASSERT_EQ(tvi_arena_alloc_array_zeroed(&arena, 100, 8, &zeros), nullptr);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(zeros[i], 0u);
  void* none = &arena;
  ASSERT_EQ(tvi_arena_copy(&arena, nullptr, 0, &none), nullptr);
  EXPECT_EQ(none, nullptr);
  tvi_arena_deinit(&arena);
}

TEST(Arena, OverflowAndBadAlignmentAreRefused) {
  tvi_arena_t arena;
  tvi_arena_init(&arena, trivet_allocator_system(), 0);
  int* p = nullptr;
  EXPECT_EQ(trivet_status_consume(tvi_arena_alloc_array(&arena, SIZE_MAX / 2, 4, &p)),
            TRIVET_STATUS_OUT_OF_RANGE);
  EXPECT_EQ(trivet_status_consume(tvi_arena_alloc(&arena, SIZE_MAX - 8, &p)),
            TRIVET_STATUS_OUT_OF_RANGE);
  EXPECT_EQ(trivet_status_consume(tvi_arena_alloc_aligned(&arena, 8, 24, &p)),
            TRIVET_STATUS_INTERNAL);
  EXPECT_EQ(p, nullptr);
  tvi_arena_deinit(&arena);
}

TEST(Arena, EveryFailureIsReported) {
  uint64_t failures = ForEachFailure([](trivet_allocator_t allocator) -> trivet_status_t {
    tvi_arena_t arena;
    tvi_arena_init(&arena, allocator, 128);
    trivet_status_t status = TRIVET_OK;
    for (int i = 0; i < 30 && status == nullptr; ++i) {
      void* p = nullptr;
      status = tvi_arena_alloc(&arena, static_cast<size_t>(i) * 10 + 1, &p);
    }
    tvi_arena_deinit(&arena);
    return status;
  });
  EXPECT_GE(failures, 20u);
}

}  // namespace
