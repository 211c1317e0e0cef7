// SPDX-License-Identifier: Apache-2.0
//
// The hash map against std::map under random operations; order of visits; failures.
// Order is part of the promise: what is printed from a map must not vary.

#include "core/base/map.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/base/string_view.h"
#include "tests/support/failing_allocator.h"

namespace {

using trivet_test::FailingAllocator;
using trivet_test::ForEachFailure;

trivet_string_view_t View(const std::string& text) { return tvi_sv_make(text.data(), text.size()); }

// A key may be gone once it was handed over.
TEST(Map, KeepsItsOwnKeys) {
  FailingAllocator allocator;
  tvi_map_t map;
  tvi_map_init(&map, allocator.get());
  char key[8];
  for (uint64_t i = 0; i < 100; ++i) {
    snprintf(key, sizeof(key), "key%u", static_cast<unsigned>(i));
    ASSERT_EQ(tvi_map_set(&map, View(key), i), nullptr);
    memset(key, 'x', sizeof(key));
  }
  uint64_t found = 0;
  EXPECT_TRUE(tvi_map_get(&map, View("key73"), &found));
  EXPECT_EQ(found, 73u);
  EXPECT_TRUE(tvi_map_remove(&map, View("key73")));
  EXPECT_FALSE(tvi_map_get(&map, View("key73"), &found));
  EXPECT_EQ(tvi_map_set(&map, View("key73"), 7), nullptr);
  EXPECT_TRUE(tvi_map_get(&map, View("key73"), &found));
  EXPECT_EQ(found, 7u);
  tvi_map_clear(&map);
  EXPECT_FALSE(tvi_map_get(&map, View("key1"), &found));
  EXPECT_EQ(tvi_map_set(&map, View("key1"), 1), nullptr);
  tvi_map_deinit(&map);
  EXPECT_EQ(allocator.live_blocks(), 0u);
  EXPECT_EQ(allocator.bad_frees(), 0u);
}

TEST(Map, BehavesLikeStdMap) {
  std::vector<std::string> names;
  for (int i = 0; i < 500; ++i) names.push_back("name" + std::to_string(i));
  names[0] = "";
  FailingAllocator allocator;
  tvi_map_t map;
  tvi_map_init(&map, allocator.get());
  std::map<std::string, uint64_t> model;
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    const std::string& name = names[random() % names.size()];
    uint64_t value = random();
    uint64_t found = 0;
    bool inserted = false;
    switch (random() % 4) {
      case 0:
        ASSERT_EQ(tvi_map_set(&map, View(name), value), nullptr);
        model[name] = value;
        break;
      case 1:
        ASSERT_EQ(tvi_map_remove(&map, View(name)), model.erase(name) == 1);
        break;
      case 2:
        ASSERT_EQ(tvi_map_insert(&map, View(name), value, &found, &inserted), nullptr);
        ASSERT_EQ(inserted, model.count(name) == 0);
        model.emplace(name, value);
        ASSERT_EQ(found, model[name]);
        break;
      default:
        ASSERT_EQ(tvi_map_get(&map, View(name), &found), model.count(name) == 1);
        if (model.count(name) == 1) {
          ASSERT_EQ(found, model[name]);
        }
    }
    ASSERT_EQ(tvi_map_count(&map), model.size());
  }
  std::map<std::string, uint64_t> visited;
  size_t cursor = 0;
  for (const tvi_map_entry_t* e; (e = tvi_map_next(&map, &cursor)) != nullptr;) {
    trivet_string_view_t key = tvi_map_entry_key(e);
    visited[std::string(key.data, key.size)] = e->value;
  }
  EXPECT_EQ(visited, model);
  tvi_map_deinit(&map);
  EXPECT_EQ(allocator.live_blocks(), 0u);
  EXPECT_EQ(allocator.bad_frees(), 0u);
}

TEST(Map, VisitsInOrderOfInsertion) {
  tvi_idmap_t map;
  tvi_idmap_init(&map, trivet_allocator_system());
  std::vector<uint64_t> expected;
  for (uint64_t i = 0; i < 1000; ++i) {
    uint64_t key = i * 7919 % 1009;
    ASSERT_EQ(tvi_idmap_set(&map, key, i), nullptr);
    expected.push_back(key);
  }
  EXPECT_TRUE(tvi_idmap_remove(&map, expected[10]));
  EXPECT_FALSE(tvi_idmap_remove(&map, expected[10]));
  expected.erase(expected.begin() + 10);
  std::vector<uint64_t> visited;
  size_t cursor = 0;
  for (const tvi_map_entry_t* e; (e = tvi_idmap_next(&map, &cursor)) != nullptr;) {
    visited.push_back(e->key);
  }
  EXPECT_EQ(visited, expected);
  tvi_idmap_clear(&map);
  EXPECT_EQ(tvi_idmap_count(&map), 0u);
  EXPECT_FALSE(tvi_idmap_get(&map, expected[0], nullptr));
  tvi_idmap_deinit(&map);
}

// A cycle of adding and removing must neither grow for ever nor search for ever.
TEST(Map, ChurnStaysSmall) {
  FailingAllocator allocator;
  tvi_idmap_t map;
  tvi_idmap_init(&map, allocator.get());
  for (uint64_t i = 0; i < 100000; ++i) {
    ASSERT_EQ(tvi_idmap_set(&map, i, i), nullptr);
    if (i >= 10) {
      ASSERT_TRUE(tvi_idmap_remove(&map, i - 10));
    }
  }
  EXPECT_LT(allocator.peak_bytes(), 4096u);
  tvi_idmap_deinit(&map);
}

TEST(Map, PointersAsValues) {
  tvi_map_t map;
  tvi_map_init(&map, trivet_allocator_system());
  int x = 0;
  ASSERT_EQ(tvi_map_set_pointer(&map, TRIVET_SV("x"), &x), nullptr);
  EXPECT_EQ(tvi_map_get_pointer(&map, TRIVET_SV("x")), &x);
  EXPECT_EQ(tvi_map_get_pointer(&map, TRIVET_SV("y")), nullptr);
  tvi_map_deinit(&map);
}

TEST(Map, FailureLeavesMapAsItWas) {
  uint64_t failures = ForEachFailure([](trivet_allocator_t allocator) -> trivet_status_t {
    tvi_idmap_t map;
    tvi_idmap_init(&map, allocator);
    trivet_status_t status = TRIVET_OK;
    for (uint64_t i = 0; i < 200 && status == nullptr; ++i) {
      status = tvi_idmap_set(&map, i, i * 2);
      uint64_t present = status == nullptr ? i + 1 : i;
      EXPECT_EQ(tvi_idmap_count(&map), present);
      for (uint64_t k = 0; k < present; ++k) {
        uint64_t value = 0;
        EXPECT_TRUE(tvi_idmap_get(&map, k, &value));
        EXPECT_EQ(value, k * 2);
      }
    }
    tvi_idmap_deinit(&map);
    return status;
  });
  EXPECT_GE(failures, 9u);
}

}  // namespace
