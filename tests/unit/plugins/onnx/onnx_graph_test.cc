// SPDX-License-Identifier: Apache-2.0
//
// Graphs of an ONNX file: names, order, inputs and their dimensions, functions, unknown operators,
// custom domains.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/plugins/onnx/onnx_mock.h"
#include "tests/unit/plugins/onnx/onnx_wire_writer.h"

namespace {

using namespace onnx_wire;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kX = Value("x", kFloat, {"2"});

std::string Nodes(const Strings& nodes, const Strings& outputs = {}, const Strings& inputs = {kX},
                  const Strings& functions = {}, const Strings& opsets = {}) {
  GraphParts p;
  p.nodes = nodes;
  p.inputs = inputs;
  for (const std::string& name : outputs) p.outputs.push_back(Named(name));
  return Model(Graph(p), 17, functions, opsets);
}

TEST(OnnxGraph, Names) {
  OnnxMock mock;
  struct {
    std::string bytes, message;
  } cases[] = {
      {Nodes({Node("Relu", {"q"}, {"y"}, {}, "r")}),
       "node 'r' (ai.onnx.Relu, node 0 of the graph): input 0, 'q', is not defined"},
      {Nodes({Node("Add", {"x", "b"}, {"a"}), Node("Relu", {"x"}, {"b"}, {}, "late")}),
       "node (ai.onnx.Add, node 0 of the graph): input 1, 'b', is made by the later node 1 "
       "('late', Relu): the nodes are not in order"},
      {Nodes({Node("Add", {"x", "c"}, {"a"}), Node("Relu", {"a"}, {"b"}),
              Node("Relu", {"b"}, {"c"})}),
       "node (ai.onnx.Add, node 0 of the graph): input 1, 'c', is made by the later node 2 ('', "
       "Relu): the nodes form a cycle"},
      {Nodes({Node("Add", {"x", "a"}, {"a"})}),
       "node (ai.onnx.Add, node 0 of the graph): input 1, 'a', is made by the later node 0 ('', "
       "Add): the nodes form a cycle"},
      {Nodes({Node("Relu", {"x"}, {"a"}), Node("Relu", {"x"}, {"a"})}),
       "value 'a' of the graph is defined twice"},
      {Nodes({Node("Relu", {"x"}, {"x"})}), "value 'x' of the graph is defined twice"},
      {Nodes({}, {}, {kX, kX}), "input 'x' of the graph is defined twice"},
      {Nodes({}, {"y"}), "output 'y' of the graph is not defined"},
      {Nodes({}, {"x", "x"}), "output 'x' of the graph is listed twice"},
      {Nodes({}, {}, {Bytes(2, TensorType(kFloat, {}))}), "input 0 of the graph has no name"},
      {Nodes({Node("", {"x"}, {"y"})}),
       "node (ai.onnx., node 0 of the graph): the node has no operator"},
      {Nodes({Node("Relu", {"x"}, {})}),
       "node (ai.onnx.Relu, node 0 of the graph): the node gives no results"},
      {Nodes({Node("Elu", {"x"}, {"y"}, {AttrFloat("alpha", 1), AttrFloat("alpha", 2)})}),
       "node (ai.onnx.Elu, node 0 of the graph): attribute 'alpha' is given twice"},
      {Nodes({Node("Elu", {"x"}, {"y"}, {AttrHead("alpha", 0)})}),
       "node (ai.onnx.Elu, node 0 of the graph): attribute 'alpha' has no value"},
      {Nodes({Node("Elu", {"x"}, {"y"}, {AttrRef("alpha", 1, "a")})}),
       "node (ai.onnx.Elu, node 0 of the graph): attribute 'alpha' refers to attribute 'a' of a "
       "function, but stands outside of one"},
  };
  for (const auto& c : cases) EXPECT_EQ(mock.Parse(c.bytes), "DATA_LOSS: m.onnx: " + c.message);
}

TEST(OnnxGraph, NoImportOfTheDefaultDomain) {
  OnnxMock mock;
  GraphParts p;
  p.inputs = {kX};
  p.nodes = {Node("Relu", {"x"}, {"y"})};
  EXPECT_THAT(mock.Parse(Int(1, 8) + Bytes(7, Graph(p)) + Bytes(8, Opset("acme", 1))),
              HasSubstr("is not supported: ai.onnx.Relu-0"));
  // "ai.onnx" is the long name of the default domain.
  EXPECT_THAT(mock.Parse(Int(1, 8) + Bytes(7, Graph(p)) + Bytes(8, Opset("ai.onnx", 17))),
              HasSubstr("std.Relu(%1)"));
}

TEST(OnnxGraph, InputDimensions) {
  OnnxMock mock;
  EXPECT_EQ(mock.Parse(Nodes({}, {},
                             {Value("x", kFloat, {"batch", "3", "?", "-1", "0"}),
                              Value("y", kFloat16, {"batch", "a b", "a+b"}), Value("z", kInt64, {}),
                              Value("x 1", kFloat, {"?", "x_dim2"})})),
            "%1 x = input f32[batch,3,x_dim2,x_dim3,0]\n"
            "%2 y = input f16[batch,a_b,a_b_2]\n"
            "%3 z = input i64[]\n"
            "%4 x 1 = input f32[x_1_dim0,x_dim2_3]\n");
}

// A name without letters says that a dimension is unknown, not which one it is.
TEST(OnnxGraph, DimensionsWithoutANameDiffer) {
  OnnxMock mock;
  std::string x = Value("x", kFloat, {"??", "??", "batch size", "batch size"});
  EXPECT_THAT(mock.Parse(Nodes({}, {"x"}, {x})),
              HasSubstr("[x_dim0,x_dim1,batch_size,batch_size]"));
}

TEST(OnnxGraph, InputTypes) {
  OnnxMock mock;
  struct {
    std::string value, message;
  } cases[] = {
      {Named("x"),
       "DATA_LOSS: m.onnx: input 'x' of the graph has no type: the number of dimensions must be "
       "known"},
      {Bytes(1, "x") + Bytes(2, Bytes(1, Int(1, kFloat))),
       "DATA_LOSS: m.onnx: input 'x' of the graph has no shape: the number of dimensions must be "
       "known"},
      {Value("x", kString, {}),
       "UNIMPLEMENTED: m.onnx: input 'x' of the graph, read by Identity, has element type STRING "
       "(8), which is not read"},
      {Value("x", 99, {}),
       "UNIMPLEMENTED: m.onnx: input 'x' of the graph, read by Identity, has element type unknown "
       "(99), which is not read"},
      {Value("x", 27, {}),
       "UNIMPLEMENTED: m.onnx: input 'x' of the graph, read by Identity, has element type "
       "FLOAT6E2M3 (27), which is not read"},
      {Bytes(1, "x") + Bytes(2, Bytes(4, Bytes(1, TensorType(kFloat, {})))),
       "UNIMPLEMENTED: m.onnx: input 'x' of the graph, read by Identity, is a sequence; only "
       "tensors are read"},
      {Bytes(1, "x") + Bytes(2, Bytes(9, Bytes(1, TensorType(kFloat, {})))),
       "UNIMPLEMENTED: m.onnx: input 'x' of the graph, read by Identity, is an optional; only "
       "tensors are read"},
      {Bytes(1, "x") + Bytes(2, Bytes(5, Int(1, kInt64))),
       "UNIMPLEMENTED: m.onnx: input 'x' of the graph, read by Identity, is a map; only tensors "
       "are read"},
      {Value("x", kFloat, Strings(13, "1")),
       "OUT_OF_RANGE: m.onnx: input 'x' of the graph has 13 dimensions; at most 12 are possible"},
  };
  for (const auto& c : cases)
    EXPECT_EQ(mock.Parse(Nodes({Node("Identity", {"x"}, {"y"})}, {"y"}, {c.value})), c.message);
}

TEST(OnnxGraph, AnInitializerThatIsAnInputIsAConstant) {
  OnnxMock mock;
  GraphParts p;
  p.initializers = {Tensor<float>("x", kFloat, {2}, {1, 2})};
  p.inputs = {kX, Value("a", kFloat, {"2"})};
  p.nodes = {Node("Add", {"x", "a"}, {"y"})};
  p.outputs = {Named("y")};
  EXPECT_EQ(mock.Parse(Model(Graph(p), 7)),
            "%1 x = view f32[2] {1, 2}\n%2 a = input f32[2]\n%3 y = std.Add(%1, %2) @y "
            "ai.onnx.Add\noutput y = %3\n");
}

TEST(OnnxGraph, AbsentOperandsAndResults) {
  OnnxMock mock;
  mock.registered = {"acme.Op"};
  EXPECT_EQ(
      mock.Parse(Nodes({Node("Op", {"", "x", "", ""}, {"", "b", ""}, {}, "n", "acme")}, {"b"})),
      "%1 x = input f32[2]\n%2, %3 b = acme.Op/0(_, %1) @n acme.Op\noutput b = %3\n");
}

TEST(OnnxGraph, UnknownOperatorsAreListedTogether) {
  OnnxMock mock;
  mock.missing = {"std.NonZero", "std.Unique"};
  std::string body =
      Graph({{Node("NonZero", {"x"}, {"t"}), Node("Odd", {"x"}, {"q"}, {}, "", "acme")},
             {},
             {},
             {Named("t")},
             {}});
  std::string function = Function("local", "F", {"a"}, {"b"}, {Node("NonZero", {"a"}, {"b"})}, 13);
  EXPECT_EQ(
      mock.Parse(Nodes(
          {Node("Relu", {"x"}, {"a"}), Node("NonZero", {"x"}, {"b"}), Node("Unique", {"x"}, {"c"}),
           Node("If", {"x"}, {"d"},
                {AttrGraph("then_branch", body), AttrGraph("else_branch", body)}),
           Node("F", {"x"}, {"e"}, {}, "", "local"), Node("F", {"x"}, {"f"}, {}, "", "local")},
          {"a"}, {kX}, {function}, {Opset("acme", 3), Opset("local", 1)})),
      "UNIMPLEMENTED: m.onnx: 4 operators are not supported: ai.onnx.NonZero-17 (3 nodes), "
      "ai.onnx.Unique-17 (1 node), "
      "acme.Odd-3 (2 nodes), ai.onnx.NonZero-13 (1 node)");
}

TEST(OnnxGraph, OldOpsets) {
  OnnxMock mock;
  GraphParts p;
  p.inputs = {kX};
  p.nodes = {Node("Not", {"x"}, {"a"}), Node("Relu", {"x"}, {"b"})};
  EXPECT_THAT(mock.Parse(Model(Graph(p), 6)), HasSubstr("std.Relu"));
  EXPECT_EQ(mock.Parse(Model(Graph(p), 1)),
            "UNIMPLEMENTED: m.onnx: 1 operator is not supported: ai.onnx.Relu-1 (1 node) (opset 7 "
            "is the oldest that is read; before it, "
            "operators that did not change)");
}

TEST(OnnxGraph, ManyUnknownOperatorsAreCounted) {
  OnnxMock mock;
  Strings nodes;
  for (int i = 0; i < 200; ++i) {
    nodes.push_back(
        Node("Operator" + std::to_string(i), {"x"}, {"v" + std::to_string(i)}, {}, "", "acme"));
  }
  std::string error = mock.Parse(Nodes(nodes));
  EXPECT_THAT(
      error,
      StartsWith(
          "UNIMPLEMENTED: m.onnx: 200 operators are not supported: acme.Operator0-0 (1 node), "));
  EXPECT_THAT(error, HasSubstr(" more"));
}

// ---- functions ----

TEST(OnnxFunction, InlinedWithAttributesAndOwnNames) {
  OnnxMock mock;
  // Inner(p, q?) { alpha } is called by Outer with a reference to an attribute of Outer; the opset
  // of a function is its own.
  std::string inner = Function(
      "local", "Inner", {"p", "q"}, {"r"},
      {Node("Elu", {"p"}, {"x"}, {AttrRef("alpha", 1, "alpha")}), Node("Clip", {"x", "q"}, {"r"})},
      17, {"alpha"});
  std::string outer =
      Function("local", "Outer", {"x"}, {"y", "unused"},
               {Node("Inner", {"x"}, {"t"}, {AttrRef("alpha", 1, "beta")}, "in", "local"),
                Node("Squeeze", {"t"}, {"y"}, {AttrRef("axes", 7, "axes")}),
                Node("Relu", {"t"}, {"unused"})},
               11, {}, {AttrFloat("beta", 0.25f), AttrInts("axes", {1})}, {Opset("local", 1)});
  EXPECT_EQ(
      mock.Parse(Nodes({Node("Outer", {"x"}, {"a"}, {AttrFloat("beta", 0.5f)}, "first", "local"),
                        Node("Outer", {"a"}, {"b"}, {}, "", "local")},
                       {"b"}, {kX}, {inner, outer}, {Opset("local", 1)})),
      "%1 x = input f32[2]\n"
      "%2 first/in/x = std.Elu(%1) {alpha=0.5} @first/in/x ai.onnx.Elu\n"
      "%3 first/in/r first/t = std.Clip(%2) @first/in/r ai.onnx.Clip\n"
      "%4 = const i64[1] {1}\n"
      "%5 first/y a = std.Squeeze(%3, %4) @first/y ai.onnx.Squeeze\n"
      "%6 first/unused = std.Relu(%3) @first/unused ai.onnx.Relu\n"
      "%7 Outer_1/in/x = std.Elu(%5) {alpha=0.25} @Outer_1/in/x ai.onnx.Elu\n"
      "%8 Outer_1/in/r Outer_1/t = std.Clip(%7) @Outer_1/in/r ai.onnx.Clip\n"
      "%9 = const i64[1] {1}\n"
      "%10 Outer_1/y b = std.Squeeze(%8, %9) @Outer_1/y ai.onnx.Squeeze\n"
      "%11 Outer_1/unused = std.Relu(%8) @Outer_1/unused ai.onnx.Relu\n"
      "output b = %10\n");
}

TEST(OnnxFunction, AGraphPassedAsAttributeSeesTheCaller) {
  OnnxMock mock;
  std::string body = Graph({{Node("Neg", {"mine"}, {"t"})}, {}, {}, {Named("t")}, {}, "b"});
  std::string function =
      Function("local", "F", {"c"}, {"y"},
               {Node("Abs", {"c"}, {"mine"}),
                Node("If", {"c"}, {"y"},
                     {AttrRef("then_branch", 5, "body"), AttrRef("else_branch", 5, "body")})},
               17, {"body"});
  std::string text =
      mock.Parse(Nodes({Node("Relu", {"x"}, {"mine"}),
                        Node("F", {"x"}, {"y"}, {AttrGraph("body", body)}, "f", "local")},
                       {"y"}, {kX}, {function}, {Opset("local", 1)}));
  EXPECT_THAT(text, HasSubstr("%2 mine = std.Relu(%1)"));
  EXPECT_THAT(text, HasSubstr("%4 t = std.Neg(%2)"));
}

TEST(OnnxFunction, ARegisteredOperatorReplacesAFunction) {
  OnnxMock mock;
  std::string function = Function("acme", "F", {"a"}, {"b"}, {Node("Relu", {"a"}, {"b"})}, 17);
  std::string bytes = Nodes({Node("F", {"x"}, {"y"}, {AttrInt("k", 1)}, "", "acme")}, {"y"}, {kX},
                            {function}, {Opset("acme", 1)});
  EXPECT_THAT(mock.Parse(bytes), HasSubstr("std.Relu(%1) @F_0/b"));
  mock.registered = {"acme.F"};
  EXPECT_THAT(mock.Parse(bytes), HasSubstr("acme.F/0(%1) {k=1}"));
}

TEST(OnnxFunction, Refusals) {
  OnnxMock mock;
  auto function = [](const char* name, const Strings& nodes) {
    return Function("f", name, {"a"}, {"b"}, nodes, 17, {}, {}, {Opset("f", 1)});
  };
  auto call = [](const char* name, const Strings& in = {"a"}, const Strings& out = {"b"}) {
    return Node(name, in, out, {}, "", "f");
  };
  struct {
    Strings functions;
    std::string node, message;
  } cases[] = {
      {{function("A", {call("A")})},
       call("A", {"x"}, {"y"}),
       "node (f.A, node 0 of function 'A' called by node 'A_0/'): function 'f:A:' calls itself"},
      {{function("A", {call("B")}), function("B", {call("A")})},
       call("A", {"x"}, {"y"}),
       "node (f.A, node 0 of function 'B' called by node 'A_0/B_0/'): function 'f:A:' calls "
       "itself"},
      {{function("A", {}), function("A", {})},
       call("A", {"x"}, {"y"}),
       "function 'f:A:' is defined twice"},
      {{function("A", {})},
       call("A", {"x"}, {"y"}),
       "node (f.A, node 0 of the graph): output 'b' of function 'A' called by node 'A_0/' is not "
       "defined"},
      {{function("A", {})},
       call("A", {"x", "x"}, {"y"}),
       "node (f.A, node 0 of the graph): function 'f:A:' takes 1 inputs and gives 1 outputs, not 2 "
       "and 1"},
      // Names of the caller are not visible inside.
      {{function("A", {Node("Relu", {"x"}, {"b"})})},
       call("A", {"x"}, {"y"}),
       "node (ai.onnx.Relu, node 0 of function 'A' called by node 'A_0/'): input 0, 'x', is not "
       "defined"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(mock.Parse(Nodes({c.node}, {}, {kX}, c.functions, {Opset("f", 1)})),
              "DATA_LOSS: m.onnx: " + c.message);
  }
}

TEST(OnnxFunction, GrowthIsBounded) {
  OnnxMock mock;
  mock.record = false;
  // Each function calls the next one twice: two to the power of 60 nodes.
  Strings functions;
  for (int i = 0; i < 60; ++i) {
    std::string next = "F" + std::to_string(i + 1);
    functions.push_back(Function(
        "f", "F" + std::to_string(i), {"a"}, {"b"},
        {Node(next, {"a"}, {"t"}, {}, "l", "f"), Node(next, {"t"}, {"b"}, {}, "r", "f")}, 17));
  }
  functions.push_back(Function("f", "F60", {"a"}, {"b"}, {Node("Relu", {"a"}, {"b"})}, 17));
  EXPECT_THAT(mock.Parse(Nodes({Node("F0", {"x"}, {"y"}, {}, "", "f")}, {}, {kX}, functions,
                               {Opset("f", 1)})),
              HasSubstr("122 nodes become more than 162304 when functions are inlined"));
  // A chain of calls is bounded by its depth.
  functions.clear();
  for (int i = 0; i < 200; ++i) {
    functions.push_back(Function("f", "F" + std::to_string(i), {"a"}, {"b"},
                                 {Node("F" + std::to_string(i + 1), {"a"}, {"b"}, {}, "", "f")},
                                 17));
  }
  EXPECT_THAT(mock.Parse(Nodes({Node("F0", {"x"}, {"y"}, {}, "", "f")}, {}, {kX}, functions,
                               {Opset("f", 1)})),
              HasSubstr("graphs and function calls are nested deeper than 96 levels"));
}

}  // namespace
