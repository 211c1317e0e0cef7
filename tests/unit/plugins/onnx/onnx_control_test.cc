// SPDX-License-Identifier: Apache-2.0
//
// If, Loop and Scan: bodies become subgraphs, outer values are seen by name, inputs of bodies get
// the types of what they are given, and counts that do not fit are refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/plugins/onnx/onnx_mock.h"
#include "tests/unit/plugins/onnx/onnx_wire_writer.h"

namespace {

using namespace onnx_wire;
using testing::HasSubstr;

const Strings kInputs = {Value("x", kFloat, {"n", "3"}), Value("c", kBool, {}),
                         Value("m", kInt64, {})};

std::string Nodes(const Strings& nodes, const Strings& outputs) {
  GraphParts p;
  p.nodes = nodes;
  p.inputs = kInputs;
  for (const std::string& name : outputs) p.outputs.push_back(Named(name));
  return Model(Graph(p), 17);
}

const std::string kInputText = "%1 x = input f32[n,3]\n%2 c = input bool[]\n%3 m = input i64[]\n";

TEST(OnnxControl, If) {
  OnnxMock mock;
  std::string then_branch = Graph({{Node("Add", {"x", "w"}, {"t"}, {}, "add")},
                                   {Tensor<float>("w", kFloat, {1}, {1})},
                                   {},
                                   {Named("t")},
                                   {},
                                   "then"});
  // A branch may give an outer value as it is.
  std::string else_branch = Graph({{}, {}, {}, {Named("x")}, {}, "else"});
  auto node = [&](const Strings& outputs) {
    return Node("If", {"c"}, outputs,
                {AttrGraph("then_branch", then_branch), AttrGraph("else_branch", else_branch)},
                "if");
  };
  EXPECT_EQ(mock.Parse(Nodes({node({"y"})}, {"y"})),
            kInputText +
                "graph @1 then {\n"
                "  %4 w = view f32[1] {1}\n"
                "  %5 t = std.Add(%1, %4) @add ai.onnx.Add\n"
                "  output t = %5\n"
                "}\n"
                "graph @2 else {\n"
                "  output x = %1\n"
                "}\n"
                "%6 y = std.If(%2) {then_branch=@1, else_branch=@2} @if ai.onnx.If\n"
                "output y = %6\n");
  EXPECT_THAT(mock.Parse(Nodes({node({"y", "z"})}, {"y"})),
              HasSubstr("node 'if' (ai.onnx.If, node 0 of the graph): 2 results are asked for, the "
                        "body gives 1"));
  // What a branch defines stays inside.
  EXPECT_THAT(mock.Parse(Nodes({node({"y"}), Node("Relu", {"t"}, {"z"})}, {"y"})),
              HasSubstr("input 0, 't', is not defined"));
  EXPECT_THAT(
      mock.Parse(
          Nodes({Node("If", {"c"}, {"y"}, {AttrGraph("then_branch", then_branch)}, "if")}, {"y"})),
      HasSubstr("graph attribute 'else_branch' is needed"));
  EXPECT_THAT(
      mock.Parse(Nodes(
          {Node("If", {"c"}, {"y"},
                {AttrGraph("then_branch", then_branch), AttrGraph("else_branch", Graph({}))})},
          {"y"})),
      HasSubstr("the branches give 1 and 0 results"));
  EXPECT_THAT(
      mock.Parse(
          Nodes({Node("If", {"c"}, {"y"},
                      {AttrGraph("then_branch",
                                 Graph({{}, {}, {Value("q", kFloat, {})}, {Named("q")}, {}, "g"})),
                       AttrGraph("else_branch", else_branch)})},
                {"y"})),
      HasSubstr("graph 'g' (then_branch of node '') has 1 inputs, the node gives it 0"));
}

TEST(OnnxControl, IfWithAKnownCondition) {
  OnnxMock mock;
  // The branch stands in place of the node; the other one is not read at all.
  std::string good = Graph({{Node("Add", {"x", "w"}, {"t"}, {}, "add")},
                            {Tensor<float>("w", kFloat, {1}, {1})},
                            {},
                            {Named("t")},
                            {},
                            "good"});
  std::string bad = Graph({{Node("Relu", {"nowhere"}, {"t"})}, {}, {}, {Named("t")}, {}, "bad"});
  auto parse = [&](uint8_t condition, const std::string& then_branch,
                   const std::string& else_branch) {
    GraphParts p;
    p.inputs = {kInputs[0]};
    p.initializers = {Tensor<uint8_t>("k", kBool, {}, {condition})};
    p.nodes = {
        Node("If", {"k"}, {"y"},
             {AttrGraph("then_branch", then_branch), AttrGraph("else_branch", else_branch)}, "if"),
        Node("Relu", {"y"}, {"z"})};
    p.outputs = {Named("z")};
    return mock.Parse(Model(Graph(p), 17));
  };
  const std::string expected =
      "%2 x = input f32[n,3]\n%3 w = view f32[1] {1}\n%4 t y = std.Add(%2, %3) @add ai.onnx.Add\n"
      "%5 z = std.Relu(%4) @z ai.onnx.Relu\noutput z = %5\n";
  EXPECT_EQ(parse(1, good, bad), "%1 k = view bool[] hex 01\n" + expected);
  EXPECT_EQ(parse(0, bad, good), "%1 k = view bool[] hex 00\n" + expected);
  EXPECT_THAT(parse(0, good, bad), HasSubstr("input 0, 'nowhere', is not defined"));
  EXPECT_THAT(parse(1, Graph({{}, {}, {Value("q", kFloat, {})}, {Named("q")}, {}, "g"}), bad),
              HasSubstr("has 1 inputs, the node gives it 0"));
  EXPECT_THAT(parse(1, Graph({{}, {}, {}, {Named("q")}, {}, "g"}), bad),
              HasSubstr("output 'q' of graph 'g' (then_branch of node 'if') is not defined"));
}

TEST(OnnxControl, Loop) {
  OnnxMock mock;
  // Types of the inputs are left out, as many exporters do; a body inside of the body sees all
  // levels.
  std::string inner = Graph({{Node("Add", {"a", "x"}, {"q"})}, {}, {}, {Named("q")}, {}, "inner"});
  std::string body =
      Graph({{Node("If", {"k"}, {"b"},
                   {AttrGraph("then_branch", inner), AttrGraph("else_branch", inner)}),
              Node("Identity", {"k"}, {"ko"}), Node("Relu", {"b"}, {"s"})},
             {},
             {Named("i"), Named("k"), Named("a")},
             {Named("ko"), Named("b"), Named("s")},
             {},
             "body"});
  EXPECT_EQ(mock.Parse(Nodes(
                {Node("Loop", {"m", "", "x"}, {"y", "all"}, {AttrGraph("body", body)}, "loop")},
                {"y", "all"})),
            kInputText +
                "graph @1 body {\n"
                "  %4 i = input i64[]\n"
                "  %5 k = input bool[]\n"
                "  %6 a = input f32[n,3]\n"
                "  graph @2 inner {\n"
                "    %7 q = std.Add(%6, %1) @q ai.onnx.Add\n"
                "    output q = %7\n"
                "  }\n"
                "  graph @3 inner {\n"
                "    %8 q = std.Add(%6, %1) @q ai.onnx.Add\n"
                "    output q = %8\n"
                "  }\n"
                "  %9 b = std.If(%5) {then_branch=@2, else_branch=@3} @b ai.onnx.If\n"
                "  %10 ko = std.Identity(%5) @ko ai.onnx.Identity\n"
                "  %11 s = std.Relu(%9) @s ai.onnx.Relu\n"
                "  output ko = %10\n"
                "  output b = %9\n"
                "  output s = %11\n"
                "}\n"
                "%12 y, %13 all = std.Loop(%3, _, %1) {body=@1} @loop ai.onnx.Loop\n"
                "output y = %12\n"
                "output all = %13\n");
  EXPECT_THAT(mock.Parse(Nodes({Node("Loop", {"m", "c"}, {"y"}, {AttrGraph("body", body)}, "loop")},
                               {"y"})),
              HasSubstr("graph 'body' (body of node 'loop') has 3 inputs, the node gives it 2"));
  EXPECT_THAT(mock.Parse(Nodes({Node("Loop", {"m", "c", "x"}, {"y", "a", "b"},
                                     {AttrGraph("body", body)}, "loop")},
                               {"y"})),
              HasSubstr("3 results are asked for, the body gives 2"));
  std::string typed = Graph({{},
                             {},
                             {Named("i"), Named("k"), Value("a", kInt32, {})},
                             {Named("k"), Named("a")},
                             {},
                             "body"});
  EXPECT_THAT(
      mock.Parse(Nodes({Node("Loop", {"m", "c", "x"}, {"y"}, {AttrGraph("body", typed)})}, {"y"})),
      HasSubstr("input 'a' of graph 'body' (body of node '') is declared with another element type "
                "than it gets"));
}

TEST(OnnxControl, ResultsThatNobodyNames) {
  OnnxMock mock;
  // The node gives all that its body gives.
  std::string body = Graph({{Node("Relu", {"a"}, {"s"})},
                            {},
                            {Named("i"), Named("k"), Named("a")},
                            {Named("k"), Named("s"), Named("a")},
                            {},
                            "body"});
  EXPECT_THAT(mock.Parse(Nodes(
                  {Node("Loop", {"m", "c", "x"}, {"y", ""}, {AttrGraph("body", body)})}, {"y"})),
              HasSubstr("%8 y, %9 = std.Loop(%3, %2, %1) {body=@1}"));
}

TEST(OnnxControl, LoopWithoutOperands) {
  OnnxMock mock;
  std::string body = Graph({{Node("Relu", {"x"}, {"s"})},
                            {},
                            {Named("i"), Named("k")},
                            {Named("k"), Named("s")},
                            {},
                            "body"});
  EXPECT_THAT(
      mock.Parse(Nodes({Node("Loop", {"m", ""}, {"all"}, {AttrGraph("body", body)})}, {"all"})),
      HasSubstr("%7 all = std.Loop(%3) {body=@1}"));
}

TEST(OnnxControl, Scan) {
  OnnxMock mock;
  std::string body = Graph({{Node("Add", {"s", "e"}, {"t"})},
                            {},
                            {Named("s"), Named("e")},
                            {Named("t"), Named("e")},
                            {},
                            "body"});
  auto scan = [&](const Strings& attributes, const Strings& inputs = {"m", "x"}) {
    Strings all = attributes;
    all.push_back(AttrGraph("body", body));
    return mock.Parse(Nodes({Node("Scan", inputs, {"y", "all"}, all, "scan")}, {"y"}));
  };
  EXPECT_THAT(scan({AttrInt("num_scan_inputs", 1)}),
              HasSubstr("  %4 s = input i64[]\n  %5 e = input f32[3]\n"));
  EXPECT_THAT(scan({AttrInt("num_scan_inputs", 1), AttrInts("scan_input_axes", {-1})}),
              HasSubstr("%7 y, %8 all = std.Scan(%3, %1) {num_scan_inputs=1, scan_input_axes=[-1], "
                        "body=@1} @scan ai.onnx.Scan\n"));
  EXPECT_THAT(scan({AttrInt("num_scan_inputs", 1), AttrInts("scan_input_axes", {1})}),
              HasSubstr("%5 e = input f32[n]\n"));
  EXPECT_THAT(scan({AttrInt("num_scan_inputs", 1), AttrInts("scan_input_axes", {2})}),
              HasSubstr("scan input 0 has 2 dimensions, none to scan along"));
  EXPECT_THAT(scan({AttrInt("num_scan_inputs", 1), AttrInts("scan_input_axes", {0, 0})}),
              HasSubstr("scan_input_axes has 2 elements, num_scan_inputs is 1"));
  EXPECT_THAT(scan({AttrInt("num_scan_inputs", 1)}, {"x", "m"}),
              HasSubstr("scan input 0 has 0 dimensions"));
  EXPECT_THAT(scan({AttrInt("num_scan_inputs", 3)}),
              HasSubstr("num_scan_inputs is 3, with 2 inputs"));
  EXPECT_THAT(scan({}), HasSubstr("num_scan_inputs is 0"));
}

TEST(OnnxControl, BodyOfACustomOperator) {
  OnnxMock mock;
  mock.registered = {"acme.Map"};
  std::string body = Graph(
      {{Node("Relu", {"e"}, {"r"})}, {}, {Value("e", kFloat, {"3"})}, {Named("r")}, {}, "body"});
  EXPECT_THAT(mock.Parse(Nodes(
                  {Node("Map", {"x"}, {"y"}, {AttrGraph("body", body)}, "map", "acme")}, {"y"})),
              HasSubstr("%6 y = acme.Map/0(%1) {body=@1} @map acme.Map\n"));
}

}  // namespace
