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
// |steps|: how many the plan has; 0: any number.
void ExpectRun(const std::function<trivet_status_t(trivet_network_t*)>& network,
               const char* without, const std::vector<int64_t>& dims, std::vector<float> x,
               const std::vector<float>& expected, uint64_t steps = 0) {
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
  trivet_context_statistics_t statistics;
  memset(&statistics, 0, sizeof(statistics));
  statistics.header = {sizeof(statistics), TRIVET_STRUCT_CONTEXT_STATISTICS, nullptr};
  ExpectOk(trivet_context_statistics(context, &statistics));
  if (steps != 0) {
    EXPECT_EQ(statistics.step_count, steps);
  }
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

std::function<trivet_status_t(trivet_network_t*)> Text(const char* text) {
  return [text](trivet_network_t* network) {
    return trivet_network_parse_text(network, text, strlen(text));
  };
}

// An output that is all of a value in another shape, or turned as the value lies in memory, is
// computed where the caller wants it.
TEST(SmallNetworksTest, OutputThatIsAView) {
  ExpectRun(Text("graph \"reshape\" {\n"
                 "  input %x: f32[2, 2]\n"
                 "  const %s: i64[1] = [4]\n"
                 "  %1 = std.Neg(%x)\n"
                 "  %y = std.Reshape(%1, %s)\n"
                 "  output \"y\": %y\n"
                 "}\n"),
            nullptr, {2, 2}, {1, 2, 3, 4}, {-1, -2, -3, -4}, 1);
}

// One that is a part of it has no place for the rest, and one in another order is copied.
TEST(SmallNetworksTest, OutputThatIsAPart) {
  ExpectRun(Text("graph \"part\" {\n"
                 "  input %x: f32[2, 2]\n"
                 "  const %starts: i64[1] = [0]\n"
                 "  const %ends: i64[1] = [1]\n"
                 "  %1 = std.Softmax(%x) { axis = 0 }\n"
                 "  %y = std.Slice(%1, %starts, %ends)\n"
                 "  output \"y\": %y\n"
                 "}\n"),
            nullptr, {2, 2}, {1, 5, 1, 5}, {0.5, 0.5}, 2);
  ExpectRun(Text("graph \"turned\" {\n"
                 "  input %x: f32[2, 2]\n"
                 "  %1 = std.Neg(%x)\n"
                 "  %y = std.Transpose(%1) { perm = [1, 0] }\n"
                 "  output \"y\": %y\n"
                 "}\n"),
            nullptr, {2, 2}, {1, 2, 3, 4}, {-1, -3, -2, -4});
}

}  // namespace
