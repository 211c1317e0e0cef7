// SPDX-License-Identifier: Apache-2.0
//
// Every allocation of a small build and run fails once: each time there is an error, nothing leaks
// and nothing is freed wrongly.

#include "tests/end_to_end/compiled.h"
#include "tests/support/failing_allocator.h"

namespace {

using trivet_test::AddConstant;
using trivet_test::AddNode;
using trivet_test::Compile;
using trivet_test::Loaded;
using trivet_test::Noise;
using trivet_test::Recipe;
using trivet_test::SetInput;

const char kCpu[] = "plugins/cpu/cpu.so";
const char kPasses[] = "passes/passes.so";

Recipe Small() {
  Recipe recipe;
  recipe.plugins = {"tests/end_to_end/few_ops.so", kPasses, kCpu};
  recipe.network = [](trivet_network_t* network) {
    const int64_t dims[2] = {-1, 8};
    const char* const symbols[2] = {"batch", nullptr};
    trivet_value_t x, w, product, y;
    RETURN_IF_ERROR(trivet_network_add_input(network, "x", TRIVET_DTYPE_F32, 2, dims, symbols, &x));
    RETURN_IF_ERROR(AddConstant(network, "w", {8}, Noise(8, 1), &w));
    RETURN_IF_ERROR(AddNode(network, "few.Scaled", {x, w}, "scaled", &product));
    RETURN_IF_ERROR(AddNode(network, "few.Rectified", {product}, "rectified", &y));
    return trivet_network_mark_output(network, y, "y");
  };
  return recipe;
}

TEST(AllocationFailureTest, Build) {
  uint64_t failures = trivet_test::ForEachFailure([](trivet_allocator_t allocator) {
    std::string plan;
    return Compile(Small(), &plan, allocator);
  });
  printf("build: %llu allocations\n", static_cast<unsigned long long>(failures));
  EXPECT_GT(failures, 100u);
}

TEST(AllocationFailureTest, Run) {
  std::string plan;
  trivet_test::ExpectOk(Compile(Small(), &plan));
  uint64_t failures = trivet_test::ForEachFailure([&](trivet_allocator_t allocator) {
    Loaded loaded;
    trivet_context_t* context = nullptr;
    std::vector<float> x = Noise(24, 2), y(24);
    trivet_status_t status = loaded.Load(plan, {}, allocator);
    if (status == nullptr) status = loaded.Context(2, &context);
    if (status == nullptr) status = SetInput(context, "x", {3, 8}, &x);
    if (status == nullptr) status = trivet_context_set_address(context, "y", y.data());
    if (status == nullptr) status = trivet_context_run(context);
    trivet_context_destroy(context);
    return status;
  });
  printf("run: %llu allocations\n", static_cast<unsigned long long>(failures));
  EXPECT_GT(failures, 20u);
}

}  // namespace
