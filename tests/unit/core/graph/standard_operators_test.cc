// SPDX-License-Identifier: Apache-2.0
//
// Loads the operators of the product as the shared object that users get, and takes a small graph
// of them through building, inference, printing and evaluation.
#include <gtest/gtest.h>

#include <cmath>

#include "core/graph/graph_text.h"
#include "core/pass/pass.h"
#include "tests/support/test_operators.h"

namespace {

using trivet_test::Take;
using trivet_test::View;

TEST(StandardOperators, LoadBuildPrintEvaluate) {
  tvi_registry_options_t options = {TRIVET_HALF_BUILD, 0, tvi_pass_text_parser()};
  tvi_registry_t* registry = nullptr;
  ASSERT_EQ(Take(tvi_registry_create(&options, trivet_allocator_system(), &registry)), "OK");
  ASSERT_EQ(Take(tvi_registry_add(registry, tvi_graph_core_operators, nullptr)), "OK");
  ASSERT_EQ(Take(tvi_registry_load(registry, "./plugins/ops_standard/ops_standard.so")), "OK");
  trivet_graph_t* graph = nullptr;
  ASSERT_EQ(Take(tvi_graph_parse(registry, View(R"(graph {
    input %x: f32[batch, 3]
    const %w: f32[3, 2] = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    const %b: f32[2] = [0.5, -0.5]
    %m = std.MatMul(%x, %w)
    %s = std.Add(%m, %b)
    %r = std.Relu(%s)
    %t = std.Transpose(%r) { perm = [1, 0] }
    output "t": %t
  })"),
                                 trivet_allocator_system(), &graph)),
            "OK");
  ASSERT_EQ(Take(tvi_graph_verify(graph)), "OK");
  const trivet_type_t* type = &tvi_graph_value(graph, graph->outputs[0].value)->type;
  ASSERT_EQ(type->rank, 2u);
  EXPECT_TRUE(tvi_dim_equals_constant(type->dims[0], 2));
  EXPECT_EQ(type->dims[1], tvi_dim_symbol(graph->dims, View("batch")));
  float data[6] = {1, 2, 3, -4, -5, -6};
  trivet_tensor_t input = {};
  input.dtype = TRIVET_DTYPE_F32;
  input.rank = 2;
  input.dims[0] = 2;
  input.dims[1] = 3;
  input.data = data;
  input.size = sizeof(data);
  trivet_tensor_t output = {};
  ASSERT_EQ(Take(tvi_graph_evaluate_graph(graph, &input, 1, trivet_allocator_system(), &output)),
            "OK");
  ASSERT_EQ(output.size, 16u);
  const float* result = static_cast<const float*>(output.data);
  EXPECT_EQ(std::vector<float>(result, result + 4), (std::vector<float>{4.5f, 0, 4.5f, 0}));
  tvi_free(trivet_allocator_system(), output.data, output.size);
  tvi_graph_destroy(graph);
  tvi_registry_destroy(registry);
}

}  // namespace
