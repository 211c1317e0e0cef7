// SPDX-License-Identifier: Apache-2.0
//
// Properties of every placement (no overlap, alignment, bound, determinism) over random items and
// over sequences as networks make them, the distance from the optimum where it can be enumerated,
// and how far the arena is from its lower bound.

#include "core/plan/memory_planner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "tests/support/failing_allocator.h"

namespace {

using Items = std::vector<tvi_memory_item_t>;

struct Placement {
  std::vector<uint64_t> offsets;
  uint64_t total = 0;
};

Placement Plan(const Items& items) {
  Placement result;
  result.offsets.resize(items.size());
  trivet_status_t status =
      tvi_memory_plan(items.data(), static_cast<uint32_t>(items.size()), trivet_allocator_system(),
                      result.offsets.data(), &result.total);
  EXPECT_EQ(status, nullptr) << trivet_status_message(status);
  trivet_status_free(status);
  return result;
}

void ExpectSound(const Items& items, const Placement& placement) {
  uint64_t end = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    const tvi_memory_item_t& a = items[i];
    if (a.size == 0) continue;
    uint64_t begin = placement.offsets[i];
    ASSERT_EQ(begin % a.alignment, 0u) << i;
    ASSERT_LE(begin + a.size, placement.total) << i;
    end = std::max(end, begin + a.size);
    for (size_t j = i + 1; j < items.size(); ++j) {
      const tvi_memory_item_t& b = items[j];
      if (b.size == 0 || a.last < b.first || b.last < a.first) continue;
      bool apart = begin + a.size <= placement.offsets[j] || placement.offsets[j] + b.size <= begin;
      ASSERT_TRUE(apart) << i << " and " << j << " overlap";
    }
  }
  EXPECT_EQ(end, placement.total);
  EXPECT_GE(placement.total,
            tvi_memory_lower_bound(items.data(), static_cast<uint32_t>(items.size())));
}

double Ratio(const Items& items, const Placement& placement) {
  uint64_t bound = tvi_memory_lower_bound(items.data(), static_cast<uint32_t>(items.size()));
  return bound == 0 ? 1.0 : static_cast<double>(placement.total) / static_cast<double>(bound);
}

Items RandomItems(std::mt19937* random, size_t count, uint32_t steps, uint32_t longest) {
  Items items(count);
  for (tvi_memory_item_t& item : items) {
    // Sizes over several orders of magnitude, as activations have them.
    item.size = (uint64_t{1} << ((*random)() % 14)) * (1 + (*random)() % 100);
    item.alignment = 64;
    item.first = (*random)() % steps;
    item.last = std::min(steps - 1, static_cast<uint32_t>(item.first + (*random)() % longest));
  }
  return items;
}

// The least arena of all: some order of first-fit placements is optimal (that of its offsets).
uint64_t Optimum(const Items& items) {
  std::vector<size_t> order(items.size());
  std::iota(order.begin(), order.end(), 0);
  uint64_t best = UINT64_MAX;
  do {
    std::vector<uint64_t> offsets(items.size());
    uint64_t total = 0;
    for (size_t i = 0; i < order.size(); ++i) {
      const tvi_memory_item_t& item = items[order[i]];
      uint64_t offset = 0;
      for (bool moved = true; moved;) {
        moved = false;
        for (size_t k = 0; k < i; ++k) {
          const tvi_memory_item_t& other = items[order[k]];
          if (item.last < other.first || other.last < item.first) continue;
          if (offset + item.size <= offsets[order[k]] || offsets[order[k]] + other.size <= offset) {
            continue;
          }
          uint64_t end = offsets[order[k]] + other.size;
          offset = (end + item.alignment - 1) / item.alignment * item.alignment;
          moved = true;
        }
      }
      offsets[order[i]] = offset;
      total = std::max(total, offset + item.size);
    }
    best = std::min(best, total);
  } while (std::next_permutation(order.begin(), order.end()));
  return best;
}

TEST(MemoryPlanner, NothingNeedsNothing) {
  EXPECT_EQ(Plan({}).total, 0u);
  Items items = {{0, 64, 0, 5}, {0, 1, 2, 2}};
  EXPECT_EQ(Plan(items).total, 0u);
}

TEST(MemoryPlanner, ItemsThatNeverMeetShare) {
  Items items = {{100, 64, 0, 1}, {70, 64, 2, 3}, {100, 64, 4, UINT32_MAX}};
  Placement placement = Plan(items);
  ExpectSound(items, placement);
  EXPECT_EQ(placement.total, 100u);
}

TEST(MemoryPlanner, LifetimesAreInclusive) {
  Items items = {{64, 64, 0, 1}, {64, 64, 1, 2}};
  EXPECT_EQ(Plan(items).total, 128u);
}

TEST(MemoryPlanner, MixedAlignments) {
  Items items = {{1, 1, 0, 3}, {10, 4096, 0, 3}, {3, 2, 1, 2}, {100, 128, 0, 9}};
  ExpectSound(items, Plan(items));
}

TEST(MemoryPlanner, BadItemsAreRefused) {
  uint64_t offset = 7, total = 7;
  tvi_memory_item_t item = {8, 3, 0, 0};
  trivet_status_t status = tvi_memory_plan(&item, 1, trivet_allocator_system(), &offset, &total);
  EXPECT_STREQ(trivet_status_message(status), "memory plan: item 0: alignment 3");
  trivet_status_free(status);
  item = {8, 4, 5, 4};
  status = tvi_memory_plan(&item, 1, trivet_allocator_system(), &offset, &total);
  EXPECT_STREQ(trivet_status_message(status), "memory plan: item 0: live from 5 to 4");
  trivet_status_free(status);
  item = {UINT64_MAX - 10, 16, 0, 0};
  status = tvi_memory_plan(&item, 1, trivet_allocator_system(), &offset, &total);
  EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_OUT_OF_RANGE);
  trivet_status_free(status);
  EXPECT_EQ(offset, 7u);
  EXPECT_EQ(total, 7u);
  Items huge = {{UINT64_MAX, 1, 0, 0}, {1, 1, 0, 0}};
  EXPECT_EQ(tvi_memory_lower_bound(huge.data(), 2), UINT64_MAX);
}

TEST(MemoryPlanner, FewItemsAreNearTheOptimum) {
  std::mt19937 random(7);
  int optimal = 0;
  double worst = 1.0;
  const int runs = 150;
  for (int run = 0; run < runs; ++run) {
    Items items = RandomItems(&random, 6, 6, 4);
    Placement placement = Plan(items);
    ExpectSound(items, placement);
    uint64_t optimum = Optimum(items);
    ASSERT_GE(placement.total, optimum);
    optimal += placement.total == optimum;
    worst = std::max(worst, static_cast<double>(placement.total) / static_cast<double>(optimum));
  }
  printf("6 random items: optimal in %d of %d, worst %.3f of the optimum\n", optimal, runs, worst);
  EXPECT_GE(optimal, runs * 99 / 100);
  EXPECT_LE(worst, 1.05);
}

TEST(MemoryPlanner, RandomItemsStaySoundAndNearTheBound) {
  std::mt19937 random(1);
  struct Case {
    size_t count;
    uint32_t steps, longest;
  };
  for (Case c : {Case{10, 10, 5}, Case{40, 40, 6}, Case{100, 100, 10}, Case{300, 200, 20},
                 Case{1000, 1000, 12}, Case{3000, 3000, 30}}) {
    double sum = 0, worst = 1;
    int runs = c.count >= 1000 ? 2 : 12;
    auto begin = std::chrono::steady_clock::now();
    for (int run = 0; run < runs; ++run) {
      Items items = RandomItems(&random, c.count, c.steps, c.longest);
      Placement placement = Plan(items);
      ExpectSound(items, placement);
      sum += Ratio(items, placement);
      worst = std::max(worst, Ratio(items, placement));
    }
    double ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    printf(
        "%4zu random items: arena / lower bound %.4f on average, %.4f at worst, %.1f ms each "
        "with checks\n",
        c.count, sum / runs, worst, ms / runs);
    EXPECT_LE(sum / runs, 1.05);
  }
}

TEST(MemoryPlanner, NetworksStayNearTheBound) {
  const uint64_t kib = 1024;
  std::vector<std::pair<std::string, Items>> networks;
  // A chain: every value lives until the next step.
  Items chain;
  for (uint32_t i = 0; i < 60; ++i) chain.push_back({(3000 - i * 37) * kib + i, 64, i, i + 1});
  networks.emplace_back("chain", chain);
  // Residual blocks of three convolutions, halving the size in each of four stages.
  Items residual;
  for (uint32_t stage = 0, step = 0; stage < 4; ++stage) {
    uint64_t wide = (3136 >> stage) * kib, narrow = wide / 4;
    for (uint32_t block = 0; block < 4; ++block, step += 3) {
      residual.push_back({narrow, 64, step, step + 1});
      residual.push_back({narrow, 64, step + 1, step + 2});
      residual.push_back({wide, 64, step + 2, step + 5});
    }
  }
  networks.emplace_back("residual", residual);
  // Encoder and decoder with skips.
  Items unet;
  for (uint32_t level = 0; level < 6; ++level) {
    uint64_t size = (4096 >> level) * kib + 192 * level;
    unet.push_back({size, 64, 2 * level, 2 * level + 1});
    unet.push_back({size, 64, 2 * level + 1, 23 - 2 * level});
    unet.push_back({size * 2, 64, 22 - 2 * level, 23 - 2 * level});
    unet.push_back({size, 64, 23 - 2 * level, 24 - 2 * level});
  }
  networks.emplace_back("unet", unet);
  // Attention: q, k, v, scores, context, two residual streams, wide feed-forward.
  Items transformer;
  for (uint32_t layer = 0; layer < 12; ++layer) {
    uint32_t s = layer * 8;
    uint64_t hidden = 384 * kib, scores = 12 * 64 * kib;
    transformer.push_back({hidden, 64, s, s + 3});      // q
    transformer.push_back({hidden, 64, s + 1, s + 3});  // k
    transformer.push_back({hidden, 64, s + 2, s + 4});  // v
    transformer.push_back({scores, 64, s + 3, s + 4});
    transformer.push_back({hidden, 64, s + 4, s + 5});
    transformer.push_back({hidden, 64, s + 5, s + 7});
    transformer.push_back({hidden * 4, 64, s + 6, s + 7});
    transformer.push_back({hidden, 64, s + 7, s + 13});
  }
  networks.emplace_back("transformer", transformer);
  // Inverted residuals with odd sizes.
  Items mobile;
  for (uint32_t block = 0, step = 0; block < 17; ++block, step += 3) {
    uint64_t size = (1204224 >> (block / 4)) + block * 100;
    mobile.push_back({size * 6, 64, step, step + 1});
    mobile.push_back({size * 6 / (block % 4 == 3 ? 4 : 1), 64, step + 1, step + 2});
    mobile.push_back({size, 64, step + 2, step + 5});
  }
  networks.emplace_back("mobile", mobile);
  // Dense blocks: every value is read by all later layers of its block.
  Items dense;
  for (uint32_t block = 0, step = 0; block < 3; ++block, step += 12) {
    for (uint32_t layer = 0; layer < 12; ++layer) {
      dense.push_back({(401408u >> block) + layer * 64, 64, step + layer, step + 12});
      dense.push_back({(1605632u >> block) + layer, 64, step + layer, step + layer + 1});
    }
  }
  networks.emplace_back("dense", dense);
  double sum = 0;
  for (const auto& network : networks) {
    Placement placement = Plan(network.second);
    ExpectSound(network.second, placement);
    double ratio = Ratio(network.second, placement);
    printf("%-12s %3zu buffers: arena / lower bound %.4f\n", network.first.c_str(),
           network.second.size(), ratio);
    sum += ratio;
  }
  printf("average %.4f\n", sum / static_cast<double>(networks.size()));
  EXPECT_LE(sum / static_cast<double>(networks.size()), 1.01);
}

TEST(MemoryPlanner, SameItemsSameOffsets) {
  std::mt19937 random(3);
  for (size_t count : {5u, 50u, 200u}) {
    Items items = RandomItems(&random, count, 40, 9);
    Placement one = Plan(items), two = Plan(items);
    EXPECT_EQ(one.offsets, two.offsets);
    EXPECT_EQ(one.total, two.total);
  }
}

TEST(MemoryPlanner, ManyItemsTakeOneOrder) {
  std::mt19937 random(5);
  Items items = RandomItems(&random, 9000, 20000, 6);
  ExpectSound(items, Plan(items));
}

TEST(MemoryPlanner, EveryAllocationMayFail) {
  std::mt19937 random(9);
  Items items = RandomItems(&random, 20, 20, 5);
  std::vector<uint64_t> offsets(items.size());
  uint64_t total = 0;
  EXPECT_EQ(trivet_test::ForEachFailure([&](trivet_allocator_t allocator) {
              return tvi_memory_plan(items.data(), static_cast<uint32_t>(items.size()), allocator,
                                     offsets.data(), &total);
            }),
            2u);
}

}  // namespace
