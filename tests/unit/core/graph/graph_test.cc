// SPDX-License-Identifier: Apache-2.0
//
// Graphs: storage, editing, inference, captures, verification. Operators are those of
// tests/support/test_operators.h.
#include "core/graph/graph.h"

#include <gtest/gtest.h>

#include "tests/support/test_operators.h"

namespace {

using trivet_test::Take;
using trivet_test::View;

class Graph : public trivet_test::GraphTest {
 protected:
  static trivet_type_t Type(trivet_graph_t* graph, uint32_t dtype, std::vector<std::string> dims) {
    trivet_type_t type = {};
    type.dtype = dtype;
    for (const std::string& each : dims) {
      char* end = nullptr;
      long long number = strtoll(each.c_str(), &end, 10);
      type.dims[type.rank++] = *end == '\0' ? tvi_dim_constant(graph->dims, number)
                                            : tvi_dim_symbol(graph->dims, View(each));
    }
    return type;
  }

  static tvi_value_id_t Input(trivet_graph_t* graph, const std::string& name,
                              std::vector<std::string> dims, uint32_t dtype = TRIVET_DTYPE_F32) {
    trivet_type_t type = Type(graph, dtype, dims);
    tvi_value_id_t value = 0;
    EXPECT_EQ(Take(tvi_graph_add_input(graph, View(name), &type, &value)), "OK");
    return value;
  }

  static std::string AddNode(trivet_graph_t* graph, const char* op,
                             std::vector<tvi_value_id_t> inputs, tvi_value_id_t* out_value,
                             uint32_t outputs = 1) {
    tvi_node_desc_t desc = {};
    desc.op = op;
    desc.inputs = inputs.data();
    desc.input_count = static_cast<uint32_t>(inputs.size());
    desc.output_count = outputs;
    tvi_node_id_t node = 0;
    std::string message = Take(tvi_graph_add_node(graph, &desc, &node));
    if (message == "OK" && out_value != nullptr) {
      *out_value = tvi_graph_node(graph, node)->outputs[0];
    }
    return message;
  }
};

TEST_F(Graph, NodesAreInferredAndChecked) {
  trivet_graph_t* graph = NewGraph();
  tvi_value_id_t x = Input(graph, "x", {"batch", "3"});
  tvi_value_id_t b = Input(graph, "b", {"3"});
  tvi_value_id_t i = Input(graph, "i", {"3"}, TRIVET_DTYPE_I64);
  tvi_value_id_t y = 0;
  ASSERT_EQ(AddNode(graph, "test.Add", {x, b}, &y), "OK");
  EXPECT_TRUE(tvi_type_equal(&tvi_graph_value(graph, y)->type, &tvi_graph_value(graph, x)->type));
  EXPECT_EQ(tvi_graph_value(graph, x)->use_count, 1u);
  EXPECT_EQ(AddNode(graph, "test.Nothing", {x}, nullptr), "there is no operator 'test.Nothing'");
  std::string message = AddNode(graph, "test.Add", {x, i}, nullptr);
  EXPECT_EQ(message.find("node of test.Add: "), 0u) << message;
  EXPECT_NE(AddNode(graph, "test.Add", {x}, nullptr), "OK");
  EXPECT_NE(AddNode(graph, "test.Add", {x, 77}, nullptr), "OK");
  // A refused node leaves nothing behind.
  EXPECT_EQ(tvi_graph_value(graph, x)->use_count, 1u);
  EXPECT_EQ(graph->node_count, 2u);
  EXPECT_EQ(Take(tvi_graph_verify(graph)), "OK");
}

TEST_F(Graph, BroadcastAssumptions) {
  trivet_graph_t* graph = NewGraph();
  tvi_value_id_t a = Input(graph, "a", {"3", "4"});
  tvi_value_id_t b = Input(graph, "b", {"3", "5"});
  std::string message = AddNode(graph, "test.Add", {a, b}, nullptr);
  EXPECT_NE(message, "OK");
  EXPECT_NE(message.find("4"), std::string::npos) << message;
  EXPECT_NE(message.find("5"), std::string::npos) << message;
}

TEST_F(Graph, AttributesAreCheckedAndDefaulted) {
  trivet_graph_t* graph = Parse(R"(graph {
    input %x: f32[3]
    %y = test.Scale(%x) { times = 4, axes = [0, -1] } : f32[3]
    output "y": %y
  })");
  ASSERT_NE(graph, nullptr);
  const tvi_node_t* node = tvi_graph_node(graph, graph->first);
  EXPECT_EQ(tvi_node_attr_f64(node, "factor", 9.0), 2.0);
  EXPECT_EQ(tvi_node_attr_i64(node, "times", 9), 4);
  trivet_string_view_t name = tvi_node_attr_string(node, "name");
  EXPECT_EQ(std::string(name.data, name.size), "s");
  uint64_t count = 0;
  const int64_t* axes = tvi_node_attr_i64s(node, "axes", &count);
  ASSERT_EQ(count, 2u);
  EXPECT_EQ(axes[1], -1);
  EXPECT_EQ(tvi_node_attribute(node, "nothing"), nullptr);
  EXPECT_NE(ParseError("graph { input %x: f32[3] %y = test.Scale(%x) { nothing = 1 } }"), "OK");
  EXPECT_NE(ParseError("graph { input %x: f32[3] %y = test.Scale(%x) { times = 1, times = 2 } }"),
            "OK");
}

TEST_F(Graph, ShapesComputedByOrdinaryOperatorsStaySymbolic) {
  trivet_graph_t* graph = Parse(R"(graph {
    symbol batch: 1 .. 64
    input %x: f32[batch, 3, 8]
    const %zero: i64[1] = [0]
    const %two: i64[1] = [2]
    const %four: i64[1] = [4]
    %s = test.Shape(%x)
    %n = test.Pick(%s, %zero)
    %k = test.Pick(%s, %two)
    %m = test.Mul(%n, %four)
    %p = test.Pair(%m, %k)
    %f = test.Fill(%p) { value = 1.5 }
    output "f": %f
  })");
  ASSERT_NE(graph, nullptr);
  tvi_value_id_t p = tvi_graph_find_value(graph, View("p"));
  uint64_t count = 0;
  const trivet_dim_t* ints = tvi_graph_value_ints(graph, p, &count);
  ASSERT_NE(ints, nullptr);
  ASSERT_EQ(count, 2u);
  trivet_dim_t batch = tvi_dim_symbol(graph->dims, View("batch"));
  EXPECT_EQ(ints[0],
            tvi_dim_binary(graph->dims, TRIVET_DIM_MUL, batch, tvi_dim_constant(graph->dims, 4)));
  EXPECT_EQ(ints[1], tvi_dim_constant(graph->dims, 8));
  const trivet_type_t* f = &tvi_graph_value(graph, tvi_graph_find_value(graph, View("f")))->type;
  ASSERT_EQ(f->rank, 2u);
  EXPECT_EQ(f->dims[0], ints[0]);
  EXPECT_EQ(f->dims[1], ints[1]);
}

TEST_F(Graph, PartlyKnownContents) {
  trivet_graph_t* graph = Parse(R"(graph {
    input %n: i64[1]
    const %c: i64[1] = [7]
    const %one: i64[1] = [1]
    const %zero: i64[1] = [0]
    %p = test.Pair(%n, %c)
    %known = test.Pick(%p, %one)
    %unknown = test.Pick(%p, %zero)
    %f = test.Fill(%known)
    output "f": %f
    output "u": %unknown
  })");
  ASSERT_NE(graph, nullptr);
  uint64_t count = 0;
  EXPECT_EQ(tvi_graph_value_ints(graph, tvi_graph_find_value(graph, View("unknown")), &count),
            nullptr);
  const trivet_dim_t* known =
      tvi_graph_value_ints(graph, tvi_graph_find_value(graph, View("known")), &count);
  ASSERT_NE(known, nullptr);
  EXPECT_TRUE(tvi_dim_equals_constant(known[0], 7));
}

TEST_F(Graph, DataDependentSizesKeepTheirSymbols) {
  trivet_graph_t* graph = Parse(R"(graph {
    input %x: f32[10]
    %y = test.Positive(%x)
    %z = test.Relu(%y)
    output "z": %z
  })");
  ASSERT_NE(graph, nullptr);
  tvi_value_id_t y = tvi_graph_find_value(graph, View("y"));
  trivet_dim_t size = tvi_graph_value(graph, y)->type.dims[0];
  EXPECT_EQ(tvi_dim_symbol_origin(size), TVI_SYMBOL_DATA);
  int64_t min = -1, max = -1;
  tvi_dim_range(graph->dims, size, &min, &max);
  EXPECT_EQ(min, 0);
  EXPECT_EQ(max, 10);
  uint32_t symbols = tvi_dim_symbol_count(graph->dims);
  ASSERT_EQ(Take(tvi_graph_infer(graph)), "OK");
  EXPECT_EQ(tvi_graph_value(graph, y)->type.dims[0], size);
  EXPECT_EQ(tvi_dim_symbol_count(graph->dims), symbols);
  auto results = Evaluate(graph, {{1, -1, 2, 0, 3, -2, -3, -4, -5, 4}});
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0], (std::vector<float>{1, 2, 3, 4}));
}

TEST_F(Graph, ReplaceMovesUsesNamesOutputsAndObservation) {
  trivet_graph_t* graph = Parse(R"(graph {
    input %x: f32[4]
    %a = test.Relu(%x)
    %b = test.Sigmoid(%x)
    %c = test.Add(%a, %a)
    observe %a
    output "a": %a
    output "c": %c
  })");
  ASSERT_NE(graph, nullptr);
  tvi_value_id_t a = tvi_graph_find_value(graph, View("a"));
  tvi_value_id_t b = tvi_graph_find_value(graph, View("b"));
  ASSERT_EQ(Take(tvi_graph_replace_value(graph, a, b)), "OK");
  EXPECT_EQ(tvi_graph_value(graph, a)->use_count, 0u);
  EXPECT_EQ(tvi_graph_value(graph, b)->use_count, 2u);
  EXPECT_EQ(tvi_graph_value(graph, b)->output_uses, 1u);
  EXPECT_TRUE(tvi_graph_value(graph, b)->observed);
  EXPECT_EQ(tvi_graph_find_value(graph, View("a")), b);
  // %a (node) is before %b: nothing reads it now.
  uint32_t removed = 0;
  ASSERT_EQ(Take(tvi_graph_remove_dead(graph, &removed)), "OK");
  EXPECT_EQ(removed, 1u);
  EXPECT_EQ(Take(tvi_graph_verify(graph)), "OK");
  // Other types are refused.
  tvi_value_id_t i = Input(graph, "i", {"4"}, TRIVET_DTYPE_I64);
  EXPECT_NE(Take(tvi_graph_replace_value(graph, b, i)), "OK");
}

TEST_F(Graph, InsertingAfterAValue) {
  trivet_graph_t* graph = Parse(R"(graph {
    input %x: f32[4]
    %a = test.Relu(%x)
    %c = test.Sigmoid(%a)
    output "c": %c
  })");
  ASSERT_NE(graph, nullptr);
  tvi_value_id_t a = tvi_graph_find_value(graph, View("a"));
  tvi_node_desc_t desc = {};
  desc.op = "test.Scale";
  desc.inputs = &a;
  desc.input_count = 1;
  desc.output_count = 1;
  desc.before = tvi_graph_node(graph, graph->first)->next;
  tvi_node_id_t node = 0;
  ASSERT_EQ(Take(tvi_graph_add_node(graph, &desc, &node)), "OK");
  ASSERT_EQ(Take(tvi_graph_replace_value(graph, a, tvi_graph_node(graph, node)->outputs[0])), "OK");
  EXPECT_EQ(tvi_graph_node(graph, node)->inputs[0], a);
  EXPECT_EQ(Take(tvi_graph_verify(graph)), "OK");
  EXPECT_EQ(Evaluate(graph, {{0, 0, 0, 0}})[0], (std::vector<float>{0.5, 0.5, 0.5, 0.5}));
}

TEST_F(Graph, DeadCodeKeepsImpureNodesAndDropsOptionalOutputs) {
  trivet_graph_t* graph = Parse(R"(graph {
    input %x: f32[4]
    %r = test.Random(%x)
    %d = test.Relu(%x)
    %e = test.Relu(%d)
    %y, %z = test.Both(%x)
    output "y": %y
  })");
  ASSERT_NE(graph, nullptr);
  uint32_t removed = 0;
  ASSERT_EQ(Take(tvi_graph_remove_dead(graph, &removed)), "OK");
  EXPECT_EQ(removed, 3u);  // two nodes, one output
  EXPECT_EQ(Print(graph), R"(graph {
  input %x: f32[4]
  %r = test.Random(%x) : f32[4]
  %y, _ = test.Both(%x) : f32[4]
  output "y": %y
}
)");
  EXPECT_EQ(Take(tvi_graph_verify(graph)), "OK");
}

TEST_F(Graph, OriginsAreMergedAsSets) {
  trivet_graph_t* graph = NewGraph();
  tvi_value_id_t x = Input(graph, "x", {"2"});
  tvi_node_id_t nodes[2];
  for (int i = 0; i < 2; ++i) {
    std::string name = i == 0 ? "first" : "second";
    trivet_origin_t origin = {View("model.onnx"), View(name), View("ai.onnx.Relu")};
    tvi_origin_id_t id = tvi_graph_add_origin(graph, &origin);
    ASSERT_NE(id, 0u);
    tvi_node_desc_t desc = {};
    desc.op = "test.Relu";
    desc.inputs = &x;
    desc.input_count = 1;
    desc.output_count = 1;
    desc.origins = &id;
    desc.origin_count = 1;
    ASSERT_EQ(Take(tvi_graph_add_node(graph, &desc, &nodes[i])), "OK");
  }
  ASSERT_EQ(Take(tvi_graph_merge_origins(graph, nodes[0], nodes[1])), "OK");
  ASSERT_EQ(Take(tvi_graph_merge_origins(graph, nodes[0], nodes[1])), "OK");
  EXPECT_EQ(tvi_graph_node(graph, nodes[0])->origin_count, 2u);
  char label[100];
  EXPECT_STREQ(tvi_graph_node_label(graph, nodes[1], label, sizeof(label)),
               "node 'second' (test.Relu, ai.onnx.Relu)");
}

TEST_F(Graph, CapturesAreUses) {
  trivet_graph_t* graph = Parse(R"(graph {
    input %c: bool[]
    input %x: f32[4]
    %h = test.Relu(%x)
    %y = core.If(%c) { then_branch = graph {
        %t = test.Sigmoid(%h)
        output "t": %t
      }, else_branch = graph {
        output "e": %h
      } } : f32[4]
    output "y": %y
  })");
  ASSERT_NE(graph, nullptr);
  tvi_value_id_t h = tvi_graph_find_value(graph, View("h"));
  EXPECT_EQ(tvi_graph_value(graph, h)->use_count, 2u);
  uint32_t removed = 9;
  ASSERT_EQ(Take(tvi_graph_remove_dead(graph, &removed)), "OK");
  EXPECT_EQ(removed, 0u);
  // Replacing the outer value retargets the captures.
  tvi_value_id_t x = tvi_graph_find_value(graph, View("x"));
  ASSERT_EQ(Take(tvi_graph_replace_value(graph, h, x)), "OK");
  EXPECT_EQ(tvi_graph_value(graph, h)->use_count, 0u);
  ASSERT_EQ(Take(tvi_graph_remove_dead(graph, &removed)), "OK");
  EXPECT_EQ(removed, 1u);
  ASSERT_EQ(Take(tvi_graph_verify(graph)), "OK");
}

TEST_F(Graph, ConstantsHashAndScalars) {
  trivet_graph_t* graph = Parse(R"(graph {
    const %a: f32[2] = [1.0, 1.0]
    const %b: f32[2] = splat(1.0)
    const %c: f32[1, 2] = splat(1.0)
    const %d: f32[2] = [1.0, 2.0]
    output "a": %a
    output "b": %b
    output "c": %c
    output "d": %d
  })");
  ASSERT_NE(graph, nullptr);
  uint64_t hash[4][2];
  for (int i = 0; i < 4; ++i) {
    tvi_value_t* value = tvi_graph_value(graph, graph->outputs[i].value);
    ASSERT_EQ(Take(tvi_constant_hash(value->constant, &value->type, hash[i])), "OK");
    double number = 0;
    EXPECT_EQ(tvi_value_scalar_constant(value, &number), i != 3);
    if (i != 3) {
      EXPECT_EQ(number, 1.0);
    }
  }
  EXPECT_EQ(hash[0][0], hash[1][0]);
  EXPECT_NE(hash[0][0], hash[2][0]);
  EXPECT_NE(hash[0][0], hash[3][0]);
}

TEST_F(Graph, ConstantsMustFitTheirShape) {
  trivet_graph_t* graph = NewGraph();
  float data[3] = {};
  trivet_tensor_t tensor = {};
  tensor.dtype = TRIVET_DTYPE_F32;
  tensor.rank = 1;
  tensor.dims[0] = 4;
  tensor.data = data;
  tensor.size = sizeof(data);
  tvi_value_id_t value = 0;
  EXPECT_EQ(Take(tvi_graph_add_constant(graph, View("w"), &tensor, false, &value)),
            "constant 'w': 12 bytes are given, the shape asks for 16");
  tensor.dims[0] = -4;
  EXPECT_EQ(Take(tvi_graph_add_constant(graph, View("w"), &tensor, false, &value)),
            "constant 'w': the shape is negative or too large");
  tensor.dtype = 99;
  EXPECT_EQ(Take(tvi_graph_add_constant(graph, View("w"), &tensor, false, &value)),
            "constant 'w': 99 is no element type");
}

TEST_F(Graph, ExpandKeepsOriginsAndAttributes) {
  trivet_graph_t* graph = Parse(R"(graph {
    input %x: f32[3]
    %y = test.Swish(%x) { factor = 3.0 }
    output "y": %y
  })");
  ASSERT_NE(graph, nullptr);
  bool expanded = false;
  ASSERT_EQ(Take(tvi_graph_expand_node(graph, graph->first, &expanded)), "OK");
  EXPECT_TRUE(expanded);
  EXPECT_EQ(Print(graph), R"(graph {
  input %x: f32[3]
  %0 = test.Sigmoid(%x) : f32[3]
  %1 = test.Mul(%x, %0) : f32[3]
  %y = test.Scale(%1) { factor = 3.0 } : f32[3]
  output "y": %y
}
)");
  ASSERT_EQ(Take(tvi_graph_verify(graph)), "OK");
  ASSERT_EQ(Take(tvi_graph_expand_node(graph, graph->first, &expanded)), "OK");
  EXPECT_FALSE(expanded);
}

TEST_F(Graph, EndlessExpansionIsRefused) {
  trivet_graph_t* graph = Parse(R"(graph {
    input %x: f32[3]
    %y = test.Endless(%x)
    output "y": %y
  })");
  ASSERT_NE(graph, nullptr);
  std::string message = "OK";
  for (int i = 0; i < 100 && message == "OK"; ++i) {
    bool expanded = false;
    message = Take(tvi_graph_expand_node(graph, graph->first, &expanded));
    ASSERT_TRUE(message != "OK" || expanded);
  }
  EXPECT_NE(message.find("operators expand to each other without end"), std::string::npos)
      << message;
  EXPECT_EQ(Take(tvi_graph_verify(graph)), "OK");
  float data[3] = {1, 2, 3};
  trivet_tensor_t input = {};
  input.dtype = TRIVET_DTYPE_F32;
  input.rank = 1;
  input.dims[0] = 3;
  input.data = data;
  input.size = sizeof(data);
  trivet_tensor_t output = {};
  EXPECT_NE(Take(tvi_graph_evaluate_graph(graph, &input, 1, trivet_allocator_system(), &output)),
            "OK");
}

TEST_F(Graph, FoldingMakesDerivedConstants) {
  trivet_graph_t* graph = Parse(R"(graph {
    const %a: f32[3] = [1.0, -2.0, 3.0]
    %y = test.Relu(%a)
    %r = test.Random(%a)
    output "y": %y
    output "r": %r
  })");
  ASSERT_NE(graph, nullptr);
  tvi_value_id_t made = 0;
  ASSERT_EQ(Take(tvi_graph_evaluate_node(graph, graph->first, &made)), "OK");
  const tvi_value_t* value = tvi_graph_value(graph, made);
  ASSERT_NE(value->constant, nullptr);
  EXPECT_EQ(value->constant->kind, TVI_CONSTANT_DERIVED);
  ASSERT_NE(value->constant->derivation, nullptr);
  EXPECT_STREQ(value->constant->derivation->op->definition->name, "test.Relu");
  trivet_tensor_t tensor;
  ASSERT_TRUE(tvi_value_tensor(value, &tensor));
  EXPECT_EQ(static_cast<const float*>(tensor.data)[1], 0.0f);
  EXPECT_EQ(static_cast<const float*>(tensor.data)[2], 3.0f);
  ASSERT_EQ(Take(tvi_graph_replace_value(graph, tvi_graph_find_value(graph, View("y")), made)),
            "OK");
  tvi_graph_remove_node(graph, graph->first);
  EXPECT_EQ(Take(tvi_graph_verify(graph)), "OK");
  EXPECT_NE(Take(tvi_graph_evaluate_node(graph, graph->first, &made)), "OK");
}

TEST_F(Graph, VerifyFindsWhatIsBroken) {
  const char* text = R"(graph {
    input %x: f32[4]
    %a = test.Relu(%x)
    %b = test.Sigmoid(%a)
    output "b": %b
  })";
  trivet_graph_t* graph = Parse(text);
  ASSERT_NE(graph, nullptr);
  tvi_graph_move_node(graph, graph->first, 0);
  EXPECT_NE(Take(tvi_graph_verify(graph)).find("not there yet"), std::string::npos);
  graph = Parse(text);
  tvi_graph_value(graph, tvi_graph_find_value(graph, View("a")))->use_count = 0;
  EXPECT_NE(Take(tvi_graph_verify(graph)), "OK");
  graph = Parse(text);
  tvi_graph_value(graph, tvi_graph_find_value(graph, View("a")))->type.dims[0] =
      tvi_dim_constant(graph->dims, 5);
  EXPECT_NE(Take(tvi_graph_verify(graph)).find("inference"), std::string::npos);
  graph = Parse(text);
  tvi_graph_node(graph, graph->first)->dead = true;
  EXPECT_NE(Take(tvi_graph_verify(graph)), "OK");
  graph = Parse(text);
  tvi_graph_value(graph, graph->outputs[0].value)->output_uses = 2;
  EXPECT_NE(Take(tvi_graph_verify(graph)), "OK");
}

TEST_F(Graph, LoopsAndScansAreInferredAndEvaluated) {
  trivet_graph_t* graph = Parse(R"(graph {
    input %x: f32[2]
    const %trips: i64[] = [3]
    %last, %all = core.Loop(%trips, _, %x) { body = graph {
        input %i: i64[]
        input %go: bool[]
        input %v: f32[2]
        %w = test.Add(%v, %x)
        output "go": %go
        output "w": %w
        output "w2": %w
      } } : f32[2], f32[3, 2]
    %sum, %running = core.Scan(%x, %all) { num_scan_inputs = 1, body = graph {
        input %s: f32[2]
        input %row: f32[2]
        %t = test.Add(%s, %row)
        output "t": %t
        output "t2": %t
      } } : f32[2], f32[3, 2]
    output "last": %last
    output "all": %all
    output "sum": %sum
    output "running": %running
  })");
  ASSERT_NE(graph, nullptr);
  auto results = Evaluate(graph, {{1, 10}});
  ASSERT_EQ(results.size(), 4u);
  EXPECT_EQ(results[0], (std::vector<float>{4, 40}));
  EXPECT_EQ(results[1], (std::vector<float>{2, 20, 3, 30, 4, 40}));
  EXPECT_EQ(results[2], (std::vector<float>{10, 100}));
  EXPECT_EQ(results[3], (std::vector<float>{3, 30, 6, 60, 10, 100}));
}

TEST_F(Graph, BranchesAreEvaluatedWithTheirCaptures) {
  trivet_graph_t* graph = Parse(R"(graph {
    input %x: f32[2]
    const %yes: bool[] = [true]
    const %no: bool[] = [false]
    %h = test.Scale(%x)
    %a = core.If(%yes) { then_branch = graph { %t = test.Add(%h, %x) output "t": %t },
                         else_branch = graph { output "e": %x } }
    %b = core.If(%no) { then_branch = graph { %t2 = test.Add(%h, %x) output "t": %t2 },
                        else_branch = graph { output "e": %x } }
    output "a": %a
    output "b": %b
  })");
  ASSERT_NE(graph, nullptr);
  auto results = Evaluate(graph, {{1, 2}});
  ASSERT_EQ(results.size(), 2u);
  EXPECT_EQ(results[0], (std::vector<float>{3, 6}));
  EXPECT_EQ(results[1], (std::vector<float>{1, 2}));
}

TEST_F(Graph, BranchesOfDifferentSizeGiveADataDependentOne) {
  trivet_graph_t* graph = Parse(R"(graph {
    input %c: bool[]
    input %x: f32[2]
    input %y: f32[5]
    %a = core.If(%c) { then_branch = graph { output "t": %x },
                       else_branch = graph { output "e": %y } }
    output "a": %a
  })");
  ASSERT_NE(graph, nullptr);
  trivet_dim_t size = tvi_graph_value(graph, tvi_graph_find_value(graph, View("a")))->type.dims[0];
  EXPECT_EQ(tvi_dim_symbol_origin(size), TVI_SYMBOL_DATA);
  int64_t min = 0, max = 0;
  tvi_dim_range(graph->dims, size, &min, &max);
  EXPECT_EQ(max, 5);
  EXPECT_EQ(
      ParseError(R"(graph {
    input %c: bool[]
    input %x: f32[2]
    input %y: f32[5, 1]
    %a = core.If(%c) { then_branch = graph { output "t": %x },
                       else_branch = graph { output "e": %y } }
  })"),
      "line 5, column 5: node of core.If: output 0 has rank 1 in one branch and rank 2 in the "
      "other, and the condition is not known at build time");
}

}  // namespace
