// SPDX-License-Identifier: Apache-2.0
//
// The text form of graphs: round trips, contents of constants, errors with their place, hostile
// text.
#include "core/graph/graph_text.h"

#include <gtest/gtest.h>

#include <cstring>

#include "tests/support/failing_allocator.h"
#include "tests/support/test_operators.h"

namespace {

using trivet_test::Take;
using trivet_test::View;

class GraphText : public trivet_test::GraphTest {};

const char kEverything[] = R"(graph "every thing" {
  symbol batch: 1 .. 64 divisor 2
  symbol 'odd name': 0 .. 100
  symbol positive_0: 0 .. 100 data
  input %x: f32[batch, 4]
  input %0 "in put" "alias": f32['odd name']
  input %c: bool[]
  const %w: f32[4] = [1.0, -2.5, 1e-05, inf]
  const %1 "we ight" source "original": f32[2, 3] = splat(0.5)
  const %h: f32[100] = @000102030405060708090a0b0c0d0e0f
  const %i4: i4[3] = [-8, 7, 0]
  const %u64: u64[1] = [18446744073709551615]
  const %flags: bool[2] = [true, false]
  const %text: string[2] = ["a \"b\"", "\x00\x0a"]
  derived %d: f16[] = [0.5]
  dims %s: i64[2] = [2*batch + 1, 7]
  %y = test.Add(%x, %w) : f32[batch, 4]
  %p = test.Positive(%0) : f32[positive_0]
  %q, _ = test.Both(%p) : f32[positive_0]
  %z = test.Scale(%y) { axes = [0, -1], factor = 0.25, name = "n\"x", times = 3 } : f32[batch, 4]
  %if "if" "other" = core.If(%c) { else_branch = graph "else" {
    output "e": %y
  }, then_branch = graph "then" {
    %t = test.Relu(%y) : f32[batch, 4]
    output "t": %t
  } } : f32[batch, 4]
  assume batch == 2*'odd name'
  observe %z
  output "q": %q
  output "z": %z
  output "if": %if
  output "1": %1
  output "h": %h
  output "i4": %i4
  output "u64": %u64
  output "flags": %flags
  output "text": %text
  output "d": %d
  output "s": %s
}
)";

TEST_F(GraphText, PrintsBackWhatItReads) {
  trivet_graph_t* graph = Parse(kEverything);
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(Print(graph), kEverything);
  // Self-contained text holds the same contents, made up for the hash.
  std::string full = Print(graph, TVI_GRAPH_TEXT_CONSTANTS);
  EXPECT_EQ(full.find('@'), std::string::npos);
  trivet_graph_t* again = Parse(full);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(Print(again, TVI_GRAPH_TEXT_CONSTANTS), full);
}

TEST_F(GraphText, ContentsAreExact) {
  trivet_graph_t* graph = Parse(R"(graph {
    const %i4: i4[3] = [-8, 7, 0]
    const %t: string[2] = ["a\x00b", ""]
    const %u: u64[1] = [18446744073709551615]
    output "i4": %i4
    output "t": %t
    output "u": %u
  })");
  ASSERT_NE(graph, nullptr);
  const tvi_value_t* i4 = tvi_graph_value(graph, graph->outputs[0].value);
  ASSERT_EQ(i4->constant->size, 2u);
  EXPECT_EQ(memcmp(i4->constant->data, "\x78\x00", 2), 0);
  const tvi_value_t* t = tvi_graph_value(graph, graph->outputs[1].value);
  const trivet_string_view_t* views = static_cast<const trivet_string_view_t*>(t->constant->data);
  EXPECT_EQ(std::string(views[0].data, views[0].size), std::string("a\0b", 3));
  EXPECT_EQ(views[1].size, 0u);
  uint64_t u = 0;
  memcpy(&u, tvi_graph_value(graph, graph->outputs[2].value)->constant->data, sizeof(u));
  EXPECT_EQ(u, UINT64_MAX);
}

TEST_F(GraphText, OriginsAreComments) {
  trivet_graph_t* graph = NewGraph();
  trivet_graph_builder_t* builder = nullptr;
  ASSERT_EQ(Take(tvi_graph_builder_create(graph, nullptr, &builder)), "OK");
  trivet_type_t type = {};
  type.dtype = TRIVET_DTYPE_F32;
  trivet_value_t x = 0, y = 0;
  ASSERT_EQ(Take(builder->api->add_input(builder, View("x"), &type, &x)), "OK");
  trivet_origin_t origin = {View("m.onnx"), View("node 1"), View("ai.onnx.Relu")};
  ASSERT_EQ(
      Take(builder->api->add_node(builder, "test.Relu", 0, &x, 1, nullptr, 0, &origin, 1, &y)),
      "OK");
  ASSERT_EQ(Take(builder->api->add_output(builder, View("y"), y)), "OK");
  tvi_graph_builder_destroy(builder);
  std::string text = Print(graph, TVI_GRAPH_TEXT_ORIGINS);
  EXPECT_NE(text.find("%0 = test.Relu(%x) : f32[]  # from \"node 1\" ai.onnx.Relu\n"),
            std::string::npos)
      << text;
  EXPECT_NE(Parse(text), nullptr);
}

TEST_F(GraphText, ErrorsSayWhere) {
  EXPECT_EQ(ParseError(""), "line 1, column 1: expected 'graph'");
  EXPECT_EQ(ParseError("graph {"), "line 1, column 8: expected a statement");
  EXPECT_EQ(ParseError("graph { } x"), "line 1, column 11: something follows the graph");
  EXPECT_EQ(ParseError("graph {\n  nonsense\n}"), "line 2, column 3: expected a statement");
  EXPECT_EQ(ParseError("graph {\n  %y = test.Relu(%x)\n}"), "line 2, column 18: %x is not defined");
  EXPECT_EQ(ParseError("graph {\n  %y = test.Nothing()\n}"),
            "line 2, column 8: there is no operator 'test.Nothing'");
  EXPECT_EQ(ParseError("graph { input %x: f32[3] input %x: f32[3] }"),
            "line 1, column 32: the graph already has an input 'x'");
  EXPECT_EQ(ParseError("graph { input %x: f32[3]\n%y = test.Relu(%x) : f32[4] }"),
            "line 2, column 22: output 0 is inferred as f32[3]");
  EXPECT_EQ(ParseError("graph { const %c: f32[n] = [] }"),
            "line 1, column 23: there is no symbol 'n'");
  EXPECT_EQ(ParseError("graph { const %c: i8[1] = [200] }"),
            "line 1, column 28: the number does not fit i8");
  EXPECT_EQ(ParseError("graph { const %c: f32[2] = [1.0] }"),
            "line 1, column 32: expected ',', found ']'");
  EXPECT_EQ(ParseError("graph { input %x: f99[1] }"),
            "line 1, column 19: expected an element type");
  EXPECT_EQ(ParseError("graph { const %c: string[1] = [\"a }"),
            "line 1, column 33: a string without end");
}

TEST_F(GraphText, HostileSizesAreRefused) {
  EXPECT_NE(ParseError("graph { const %c: f32[1000000000000] = splat(0.0) }"), "OK");
  EXPECT_NE(ParseError("graph { const %c: f32[4294967296, 4294967296] = splat(0.0) }"), "OK");
  EXPECT_NE(ParseError("graph { const %c: f32[1000000] = [1.0] }"), "OK");
  EXPECT_NE(ParseError("graph { const %c: f32[-1] = [] }"), "OK");
  EXPECT_NE(ParseError("graph { input %x: f32[9223372036854775807 * 2] }"), "OK");
  EXPECT_NE(ParseError("graph { input %x: f32[1,1,1,1,1,1,1,1,1,1,1,1,1] }"), "OK");
  std::string deep;
  for (int i = 0; i < 100; ++i) {
    deep += "graph { %y" + std::to_string(i) + " = core.Call() { body = ";
  }
  EXPECT_NE(ParseError(deep), "OK");
}

// Cutting or changing the text anywhere gives a graph or an error, never anything else.
TEST_F(GraphText, MutationsNeverCrash) {
  std::string text = kEverything;
  size_t refused = 0;
  for (size_t i = 0; i < text.size(); i += 3) {
    refused += ParseError(text.substr(0, i)) != "OK";
    for (char c : {'"', '%', '0', ']', '\0'}) {
      std::string changed = text;
      changed[i] = c;
      refused += ParseError(changed) != "OK";
    }
    for (trivet_graph_t* graph : graphs_) tvi_graph_destroy(graph);
    graphs_.clear();
  }
  EXPECT_GT(refused, text.size());
}

TEST(GraphTextMemory, EveryFailingAllocationIsAnError) {
  std::string text = kEverything;
  trivet_test::ForEachFailure([&text](trivet_allocator_t allocator) -> trivet_status_t {
    tvi_registry_t* registry = nullptr;
    trivet_status_t status = trivet_test::MakeRegistry(allocator, &registry);
    if (status != nullptr) return status;
    trivet_graph_t* graph = nullptr;
    status = tvi_graph_parse(registry, View(text), allocator, &graph);
    if (status == nullptr) {
      tvi_string_builder_t builder;
      tvi_string_builder_init(&builder, allocator);
      status = tvi_graph_print(graph, 0, &builder);
      tvi_string_builder_deinit(&builder);
    }
    if (status == nullptr) status = tvi_graph_verify(graph);
    tvi_graph_destroy(graph);
    tvi_registry_destroy(registry);
    return status;
  });
}

}  // namespace
