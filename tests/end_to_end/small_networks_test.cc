// SPDX-License-Identifier: Apache-2.0
//
// Networks of a few nodes that were once compiled wrongly: one test per cause. Compiled with the
// plugins as they are shipped and judged by closed formulas.

#include "tests/end_to_end/compiled.h"

namespace {

using trivet_test::AddConstant;
using trivet_test::AddNode;
using trivet_test::Compile;
using trivet_test::ExpectOk;
using trivet_test::Loaded;
using trivet_test::Recipe;
using trivet_test::SetInput;

const char kCpu[] = "plugins/cpu/cpu.so";
const char kPasses[] = "passes/passes.so";
const char kOps[] = "plugins/ops_standard/ops_standard.so";

// Runs a network of one f32 input and one f32 output. |without|: a pass that would hide the case.
void ExpectRun(const std::function<trivet_status_t(trivet_network_t*)>& network,
               const char* without, const std::vector<int64_t>& dims, std::vector<float> x,
               const std::vector<float>& expected) {
  Recipe recipe;
  recipe.plugins = {kOps, kPasses, kCpu};
  recipe.network = network;
  recipe.config = [without](trivet_network_t*, trivet_config_t* config) {
    return without == nullptr ? nullptr : trivet_config_disable_pass(config, without);
  };
  std::string plan;
  ExpectOk(Compile(recipe, &plan));
  Loaded loaded;
  ExpectOk(loaded.Load(plan, {}));
  trivet_context_t* context = nullptr;
  ExpectOk(loaded.Context(1, &context));
  std::vector<float> y(expected.size(), -7);
  ExpectOk(SetInput(context, "x", dims, &x));
  ExpectOk(trivet_context_set_address(context, "y", y.data()));
  ExpectOk(trivet_context_run(context));
  EXPECT_EQ(y, expected);
  trivet_context_destroy(context);
}

// A value that is computed, but read for its type alone: its step goes, and so must its tensor.
TEST(SmallNetworksTest, ReadForItsTypeOnly) {
  auto network = [](trivet_network_t* network) {
    const int64_t dims[1] = {3};
    trivet_value_t x, shape, like, number, y;
    RETURN_IF_ERROR(trivet_network_add_input(network, "x", TRIVET_DTYPE_F32, 1, dims, nullptr, &x));
    RETURN_IF_ERROR(AddNode(network, "std.Shape", {x}, "shape", &shape));
    RETURN_IF_ERROR(AddNode(network, "std.Exp", {x}, "exp", &like));
    RETURN_IF_ERROR(AddNode(network, "std.CastLike", {shape, like}, "cast", &number));
    RETURN_IF_ERROR(AddNode(network, "std.Add", {x, number}, "add", &y));
    return trivet_network_mark_output(network, y, "y");
  };
  ExpectRun(network, "remove-identity", {3}, {1, 2, -4}, {4, 5, -1});
}

}  // namespace
