// SPDX-License-Identifier: Apache-2.0
//
// The balance of loading: libraries once, equal steps once, and nothing beyond the bound. Prices
// come from kernels made here, so no library is needed.
#include "codegen/tactic/load_price.h"

#include <gtest/gtest.h>

#include "core/base/allocator.h"

namespace {

constexpr uint64_t kOne[2] = {1, 1}, kTwo[2] = {2, 2}, kThree[2] = {3, 3};

trivet_kernel_t Kernel(const char* name, uint32_t first, uint32_t each) {
  trivet_kernel_t kernel = {};
  kernel.header.struct_size = sizeof(kernel);
  kernel.header.struct_type = TRIVET_STRUCT_KERNEL;
  kernel.name = name;
  kernel.load_first_us = first;
  kernel.load_each_us = each;
  return kernel;
}

class LoadPriceTest : public ::testing::Test {
 protected:
  void SetUp() override { tvi_load_price_init(&price_, trivet_allocator_system()); }
  void TearDown() override { tvi_load_price_deinit(&price_); }
  // Leaves |milliseconds| to kernels.
  void Leave(double milliseconds) {
    tvi_load_price_bound(&price_, 1, 0);
    tvi_load_price_bound(&price_, price_.spent_us * 1e-3 + milliseconds, 0);
  }
  bool Fits(const trivet_kernel_t& kernel, const uint64_t signature[2]) {
    return tvi_load_price_fits(&price_, &kernel, signature);
  }
  void Pay(const trivet_kernel_t& kernel, const uint64_t signature[2]) {
    ASSERT_EQ(tvi_load_price_pay(&price_, &kernel, signature), nullptr);
  }
  tvi_load_price_t price_;
};

TEST_F(LoadPriceTest, WithoutABoundEverythingFits) {
  trivet_kernel_t slow = Kernel("slow.kernel", 1000000000, 1000000000);
  EXPECT_TRUE(Fits(slow, kOne));
  Pay(slow, kOne);
  EXPECT_EQ(price_.spent_us, 0);
}

TEST_F(LoadPriceTest, LibrariesAndEqualStepsCostOnce) {
  trivet_kernel_t graph = Kernel("dnn.graph", 40000, 30000),
                  other = Kernel("dnn.other", 40000, 10000);
  Leave(105);
  EXPECT_TRUE(Fits(graph, kOne));
  Pay(graph, kOne);  // 70 of 105
  EXPECT_TRUE(Fits(graph, kOne));
  Pay(graph, kOne);
  EXPECT_TRUE(Fits(graph, kTwo));
  EXPECT_TRUE(Fits(other, kTwo));
  Pay(other, kTwo);  // 80: the library is there
  EXPECT_FALSE(Fits(graph, kTwo));
  EXPECT_TRUE(Fits(graph, kOne));
  EXPECT_TRUE(Fits(other, kThree));
  // Another library begins with other letters.
  EXPECT_FALSE(Fits(Kernel("dn.graph", 40000, 0), kOne));
  EXPECT_FALSE(Fits(Kernel("dnnx.graph", 40000, 0), kOne));
}

TEST_F(LoadPriceTest, WhatCostsNothingAlwaysFits) {
  Leave(-10);
  EXPECT_TRUE(Fits(Kernel("cuda.kernel", 0, 0), kOne));
  EXPECT_FALSE(Fits(Kernel("dnn.graph", 0, 1), kOne));
  // A kernel of an older plugin says nothing of loading.
  trivet_kernel_t old = Kernel("old.kernel", 1000000, 1000000);
  old.header.struct_size = offsetof(trivet_kernel_t, load_first_us);
  EXPECT_TRUE(Fits(old, kOne));
}

TEST_F(LoadPriceTest, WeightsTakeTheirPart) {
  tvi_load_price_bound(&price_, 50, 0);
  double without = price_.spent_us;
  tvi_load_price_bound(&price_, 50, 70000000);
  EXPECT_NEAR(price_.spent_us - without, 10000, 1);
}

}  // namespace
