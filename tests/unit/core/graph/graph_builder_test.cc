// SPDX-License-Identifier: Apache-2.0
//
// The graph builder that frontends get: values over nested graphs, subgraph ids, aliases of control
// flow, checks of every handle.
#include <gtest/gtest.h>

#include "tests/support/test_operators.h"

namespace {

using trivet_test::Take;
using trivet_test::View;

class GraphBuilder : public trivet_test::GraphTest {
 protected:
  void SetUp() override {
    GraphTest::SetUp();
    graph_ = NewGraph();
    ASSERT_EQ(Take(tvi_graph_builder_create(graph_, nullptr, &b_)), "OK");
  }
  void TearDown() override {
    tvi_graph_builder_destroy(b_);
    GraphTest::TearDown();
  }

  trivet_value_t Input(const std::string& name, std::vector<trivet_dim_t> dims,
                       uint32_t dtype = TRIVET_DTYPE_F32) {
    trivet_type_t type = {};
    type.dtype = dtype;
    for (trivet_dim_t dim : dims) type.dims[type.rank++] = dim;
    trivet_value_t value = 0;
    EXPECT_EQ(Take(b_->api->add_input(b_, View(name), &type, &value)), "OK");
    return value;
  }

  std::string Node(const char* op, std::vector<trivet_value_t> inputs,
                   std::vector<trivet_attribute_t> attributes, trivet_value_t* out) {
    std::string name = std::string("node of ") + op;
    trivet_origin_t origin = {View("model"), View(name), View("X")};
    return Take(b_->api->add_node(b_, op, 0, inputs.data(), static_cast<uint32_t>(inputs.size()),
                                  attributes.data(), static_cast<uint32_t>(attributes.size()),
                                  &origin, 1, out));
  }

  trivet_graph_t* graph_ = nullptr;
  trivet_graph_builder_t* b_ = nullptr;
};

TEST_F(GraphBuilder, BuildsInfersPrints) {
  trivet_dim_t batch = b_->api->dim_symbol(b_, View("batch"));
  trivet_dim_t four = b_->api->dim_constant(b_, 4);
  trivet_value_t x = Input("x", {batch, four});
  float data[4] = {1, 2, 3, 4};
  trivet_tensor_t tensor = {};
  tensor.dtype = TRIVET_DTYPE_F32;
  tensor.rank = 1;
  tensor.dims[0] = 4;
  tensor.data = data;
  tensor.size = sizeof(data);
  trivet_value_t w = 0, y = 0, s = 0;
  ASSERT_EQ(Take(b_->api->add_constant(b_, View("w"), &tensor, TRIVET_CONSTANT_COPY, &w)), "OK");
  data[0] = 100;  // copied
  ASSERT_EQ(Node("test.Add", {x, w}, {}, &y), "OK");
  ASSERT_EQ(Take(b_->api->name_value(b_, y, View("sum"))), "OK");
  ASSERT_EQ(Node("test.Shape", {y}, {}, &s), "OK");
  ASSERT_EQ(Take(b_->api->add_output(b_, View("y"), y)), "OK");
  EXPECT_EQ(b_->api->value_type(b_, y)->dims[0], batch);
  uint64_t count = 0;
  const trivet_dim_t* ints = b_->api->value_ints(b_, s, &count);
  ASSERT_NE(ints, nullptr);
  ASSERT_EQ(count, 2u);
  EXPECT_EQ(ints[0], batch);
  ASSERT_NE(b_->api->value_constant(b_, w), nullptr);
  EXPECT_EQ(static_cast<const float*>(b_->api->value_constant(b_, w)->data)[0], 1.0f);
  EXPECT_EQ(b_->api->value_constant(b_, y), nullptr);
  EXPECT_EQ(b_->api->has_operator(b_, "test.Add", 0), 1u);
  EXPECT_EQ(b_->api->has_operator(b_, "test.Add", 2), 0u);
  EXPECT_EQ(b_->api->has_operator(b_, "std.If", 0), 1u);
  EXPECT_EQ(Print(graph_), R"(graph {
  symbol batch: 0 .. 2147483647
  input %x: f32[batch, 4]
  const %w: f32[4] = [1.0, 2.0, 3.0, 4.0]
  %sum = test.Add(%x, %w) : f32[batch, 4]
  %0 = test.Shape(%sum) : i64[2]
  output "y": %sum
}
)");
  EXPECT_EQ(Take(tvi_graph_verify(graph_)), "OK");
}

TEST_F(GraphBuilder, SubgraphsSeeOuterValues) {
  trivet_value_t x = Input("x", {b_->api->dim_constant(b_, 2)});
  trivet_value_t c = Input("c", {}, TRIVET_DTYPE_BOOL);
  trivet_value_t h = 0, t = 0, u = 0, inner = 0, y = 0;
  ASSERT_EQ(Node("test.Relu", {x}, {}, &h), "OK");
  uint32_t then_id = 0, else_id = 0, nested_then = 0, nested_else = 0;
  ASSERT_EQ(Take(b_->api->begin_subgraph(b_, View("then"), &then_id)), "OK");
  // Two levels deep, the value goes through both.
  ASSERT_EQ(Take(b_->api->begin_subgraph(b_, View("a"), &nested_then)), "OK");
  ASSERT_EQ(Node("test.Scale", {h}, {}, &inner), "OK");
  ASSERT_EQ(Take(b_->api->add_output(b_, View("o"), inner)), "OK");
  ASSERT_EQ(Take(b_->api->end_subgraph(b_)), "OK");
  ASSERT_EQ(Take(b_->api->begin_subgraph(b_, View("b"), &nested_else)), "OK");
  ASSERT_EQ(Take(b_->api->add_output(b_, View("o"), h)), "OK");
  ASSERT_EQ(Take(b_->api->end_subgraph(b_)), "OK");
  trivet_attribute_t nested[2] = {{"then_branch", TRIVET_ATTR_GRAPH, 0, 1, &nested_then},
                                  {"else_branch", TRIVET_ATTR_GRAPH, 0, 1, &nested_else}};
  ASSERT_EQ(Node("std.If", {c}, {nested[0], nested[1]}, &t), "OK");
  ASSERT_EQ(Take(b_->api->add_output(b_, View("o"), t)), "OK");
  ASSERT_EQ(Take(b_->api->end_subgraph(b_)), "OK");
  ASSERT_EQ(Take(b_->api->begin_subgraph(b_, View("else"), &else_id)), "OK");
  ASSERT_EQ(Node("test.Sigmoid", {h}, {}, &u), "OK");
  ASSERT_EQ(Take(b_->api->add_output(b_, View("o"), u)), "OK");
  ASSERT_EQ(Take(b_->api->end_subgraph(b_)), "OK");
  EXPECT_NE(Take(b_->api->end_subgraph(b_)), "OK");
  trivet_attribute_t attributes[2] = {{"then_branch", TRIVET_ATTR_GRAPH, 0, 1, &then_id},
                                      {"else_branch", TRIVET_ATTR_GRAPH, 0, 1, &else_id}};
  ASSERT_EQ(Node("std.If", {c}, {attributes[0], attributes[1]}, &y), "OK");
  ASSERT_EQ(Take(b_->api->add_output(b_, View("y"), y)), "OK");
  EXPECT_EQ(Take(tvi_graph_verify(graph_)), "OK");
  // A subgraph belongs to one node.
  EXPECT_NE(Node("std.If", {c}, {attributes[0], attributes[1]}, &y), "OK");
  // A value of a closed subgraph is not visible outside.
  EXPECT_EQ(Node("test.Relu", {u}, {}, &y),
            "test.Relu, input 0: a value of a subgraph is used outside of it");
  std::string text = Print(graph_);
  EXPECT_NE(Parse(text), nullptr);
}

TEST_F(GraphBuilder, HandlesAreChecked) {
  trivet_value_t y = 0;
  EXPECT_EQ(Node("test.Relu", {7}, {}, &y), "test.Relu, input 0: there is no value 7");
  EXPECT_EQ(Take(b_->api->add_output(b_, View("o"), 9)), "output 'o': there is no value 9");
  EXPECT_EQ(Take(b_->api->name_value(b_, 0, View("n"))), "there is no value 0 to be called 'n'");
  EXPECT_EQ(b_->api->value_type(b_, 3), nullptr);
  uint32_t id = 3;
  trivet_attribute_t attribute = {"then_branch", TRIVET_ATTR_GRAPH, 0, 1, &id};
  trivet_value_t c = Input("c", {}, TRIVET_DTYPE_BOOL);
  EXPECT_EQ(Node("std.If", {c}, {attribute}, &y),
            "std.If: attribute 'then_branch' names more subgraphs than there are");
}

TEST_F(GraphBuilder, ErrorsNameTheNode) {
  trivet_value_t x = Input("x", {}, TRIVET_DTYPE_I64);
  trivet_value_t y = 0;
  std::string message = Node("test.Relu", {x}, {}, &y);
  EXPECT_EQ(message.find("node 'node of test.Relu' (test.Relu, X): "), 0u) << message;
}

}  // namespace
