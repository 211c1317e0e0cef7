// SPDX-License-Identifier: Apache-2.0
//
// What the frontend makes of bytes that are not, or not quite, an ONNX file: probing, cut and
// altered files, nesting, memory that runs out. Nothing here may crash, and every refusal says
// where.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/plugins/onnx/onnx_mock.h"
#include "tests/unit/plugins/onnx/onnx_wire_writer.h"

namespace {

using namespace onnx_wire;
using testing::HasSubstr;
using testing::StartsWith;

// A bit of everything: typed, raw, external and sparse tensors, a function, a body, all kinds of
// attributes.
std::string Kitchen() {
  std::string body = Graph({{Node("Add", {"s", "w"}, {"t"})}, {}, {}, {Named("t")}, {}, "body"});
  GraphParts p;
  p.nodes = {
      Node("Constant", {}, {"k"}, {AttrFloats("value_floats", {1, 2})}),
      Node("Mul", {"x", "k"}, {"s"}, {}, "mul"),
      Node("If", {"c"}, {"r"}, {AttrGraph("then_branch", body), AttrGraph("else_branch", body)},
           "if"),
      Node("Twice", {"r"}, {"u"}, {AttrFloat("a", 2)}, "call", "local"),
      Node("Op", {"u", "", "e"}, {"y", "z"},
           {AttrInt("i", -1), AttrInts("is", {1, 2}), AttrString("s", "t"),
            AttrStrings("ss", {"a", "b"}), AttrTensor("t", Tensor<float>("", kFloat, {1}, {1}))},
           "custom", "acme"),
  };
  p.initializers = {
      Tensor<float>("w", kFloat, {2}, {1, 2}),
      TensorHead("v", kInt8, {3}) + PackedInts(5, {1, -1, 2}),
      ExternalTensor("e", kFloat, {2}, {Entry("location", "w.bin"), Entry("offset", "4")})};
  p.sparse = {Bytes(1, Tensor<float>("sp", kFloat, {1}, {5})) +
              Bytes(2, Tensor<int64_t>("", kInt64, {1}, {2})) + Int(3, 4)};
  p.inputs = {Value("x", kFloat, {"batch size", "2"}), Value("c", kBool, {})};
  p.outputs = {Named("y"), Named("sp")};
  std::string twice = Function("local", "Twice", {"p"}, {"q"},
                               {Node("Constant", {}, {"f"}, {AttrRef("value_float", 1, "a")}),
                                Node("Mul", {"p", "f"}, {"q"})},
                               17, {"a"});
  return Model(Graph(p), 17, {twice}, {Opset("acme", 1), Opset("local", 1)});
}

class OnnxWire : public testing::Test {
 protected:
  OnnxWire() {
    mock.registered = {"acme.Op"};
    mock.files["w.bin"] = std::string(12, 0);
  }
  OnnxMock mock;
};

TEST_F(OnnxWire, KitchenParses) {
  EXPECT_EQ(mock.Parse(Kitchen()),
            "%1 w = view f32[2] {1, 2}\n"
            "%2 v = const i8[3] hex 01ff02\n"
            "%3 e = view f32[2] {0, 0}\n"
            "%4 sp = const f32[4] {0, 0, 5, 0}\n"
            "%5 x = input f32[batch_size,2]\n"
            "%6 c = input bool[]\n"
            "%7 k = const f32[2] {1, 2}\n"
            "%8 s = std.Mul(%5, %7) @mul ai.onnx.Mul\n"
            "graph @1 body {\n"
            "  %9 t = std.Add(%8, %1) @t ai.onnx.Add\n"
            "  output t = %9\n"
            "}\n"
            "graph @2 body {\n"
            "  %10 t = std.Add(%8, %1) @t ai.onnx.Add\n"
            "  output t = %10\n"
            "}\n"
            "%11 r = std.If(%6) {then_branch=@1, else_branch=@2} @if ai.onnx.If\n"
            "%12 call/f = const f32[] {2}\n"
            "%13 call/q u = std.Mul(%11, %12) @call/q ai.onnx.Mul\n"
            "%14 y, %15 z = acme.Op/0(%13, _, %3) {i=-1, is=[1,2], s=\"t\", ss=[\"a\",\"b\"], "
            "t=tensor f32 {1}} @custom acme.Op\n"
            "output y = %14\n"
            "output sp = %4\n");
  EXPECT_EQ(mock.viewed, 16u);
}

TEST_F(OnnxWire, Probe) {
  EXPECT_GE(mock.Probe(Kitchen()), 90u);
  EXPECT_GE(mock.Probe(Model(Graph({}), 17)), 90u);
  // Fields in another order.
  EXPECT_GE(mock.Probe(Bytes(7, Graph({})) + Bytes(8, Opset("", 17)) + Bytes(2, "pytorch")), 90u);
  // A cut model is claimed, so that its reader can say that it is cut.
  EXPECT_GE(mock.Probe(Kitchen().substr(0, 40)), 50u);
  for (const char* other : {"", "graph {\n", "PK\x03\x04", "\x89PNG\r\n", "{\"a\": 1}",
                            "op acme.X/1 (x: f32[]) -> ()", "\x93NUMPY"}) {
    EXPECT_EQ(mock.Probe(other), 0u) << other;
  }
  EXPECT_EQ(mock.Probe(std::string(1000, '\0')), 0u);
  EXPECT_EQ(mock.Probe(std::string(1000, '\xff')), 0u);
}

TEST_F(OnnxWire, CutAnywhere) {
  // A prefix that ends between two top-level fields is a model with something missing, never a
  // crash.
  const std::string whole = Kitchen();
  int refused = 0;
  for (size_t size = 0; size < whole.size(); ++size) {
    // A copy of exactly this size, so that a read past the end shows under sanitizers.
    refused += mock.Parse(std::string(whole.data(), size)).compare(0, 10, "DATA_LOSS:") == 0;
  }
  EXPECT_GE(refused, static_cast<int>(whole.size()) - 6);
  EXPECT_THAT(
      mock.Parse(whole.substr(0, 50)),
      StartsWith("DATA_LOSS: m.onnx: not a valid ONNX file: at byte 2, ModelProto.graph: "));
}

TEST_F(OnnxWire, EveryByteAltered) {
  const std::string whole = Kitchen();
  int refused = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (int bit : {0, 1, 4, 7}) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
      refused += isupper(mock.Parse(bytes)[0]) ? 1 : 0;
    }
  }
  // Most changes hit lengths, names and keys.
  EXPECT_GT(refused, static_cast<int>(whole.size()));
}

TEST_F(OnnxWire, EveryAllocationFails) {
  const std::string whole = Kitchen();
  mock.Parse(whole);
  const uint64_t calls = mock.scratch_calls;
  ASSERT_GE(calls, 1u);
  for (uint64_t n = 1; n <= calls; ++n) {
    mock.fail_scratch = n;
    EXPECT_EQ(mock.Parse(whole), "OUT_OF_MEMORY: mock: out of scratch") << n;
  }
}

std::string Nested(int depth) {
  std::string graph = Graph({{Node("Abs", {"x"}, {"r"})}, {}, {}, {Named("r")}, {}, "leaf"});
  for (int i = 0; i < depth; ++i) {
    graph = Graph({{Node("If", {"c"}, {"r"},
                         {AttrGraph("then_branch", graph),
                          AttrGraph("else_branch", Graph({{}, {}, {}, {Named("x")}, {}}))})},
                   {},
                   {},
                   {Named("r")},
                   {},
                   "level"});
  }
  // The outermost graph gets the inputs.
  return Model(graph + Bytes(11, Value("x", kFloat, {"2"})) + Bytes(11, Value("c", kBool, {})), 17);
}

TEST_F(OnnxWire, Nesting) {
  EXPECT_THAT(mock.Parse(Nested(30)), HasSubstr("std.If"));
  std::string error = mock.Parse(Nested(40));
  EXPECT_THAT(error, StartsWith("OUT_OF_RANGE: m.onnx: not a valid ONNX file: at byte "));
  EXPECT_THAT(error, HasSubstr("messages are nested deeper than 100 levels"));
}

TEST_F(OnnxWire, DeepTypesAreBounded) {
  // Types nest too: sequence of sequence of ...
  std::string type = TensorType(kFloat, {});
  for (int i = 0; i < 20000; ++i) type = Bytes(4, Bytes(1, type));
  GraphParts p;
  p.inputs = {Bytes(1, "x") + Bytes(2, type)};
  EXPECT_THAT(mock.Parse(Model(Graph(p), 17)), HasSubstr("nested deeper"));
}

TEST_F(OnnxWire, MemoryIsBoundedByTheFile) {
  // Two bytes a message on the wire, two hundred unpacked.
  std::string node;
  for (int i = 0; i < 1 << 20; ++i) node += Bytes(5, "");
  std::string error = mock.Parse(Model(Bytes(1, node), 17));
  EXPECT_THAT(error, StartsWith("OUT_OF_MEMORY: m.onnx: the model needs more than "));
  EXPECT_LT(mock.scratch_bytes, uint64_t{1} << 30);
}

TEST_F(OnnxWire, Refusals) {
  struct {
    std::string bytes, message;
  } cases[] = {
      {"", "DATA_LOSS: m.onnx: the model has no graph"},
      {Int(1, 8) + Bytes(8, Opset("", 17)), "DATA_LOSS: m.onnx: the model has no graph"},
      {Model(Graph({}), 0), "DATA_LOSS: m.onnx: the model imports opset 0 of ai.onnx"},
      {Int(7, 1),
       "DATA_LOSS: m.onnx: not a valid ONNX file: at byte 0, ModelProto.graph: a field has the "
       "wrong wire type"},
      {std::string("\x3b\x01"),
       "DATA_LOSS: m.onnx: not a valid ONNX file: at byte 0, ModelProto.graph: a wire type is not "
       "valid"},
      {std::string("\0\0", 2),
       "DATA_LOSS: m.onnx: not a valid ONNX file: at byte 0, ModelProto: a field key is not valid"},
      {std::string("\x08\x80"),
       "DATA_LOSS: m.onnx: not a valid ONNX file: at byte 0, ModelProto.ir_version: a number is "
       "cut off"},
      {std::string("\x3a\x80"),
       "DATA_LOSS: m.onnx: not a valid ONNX file: at byte 0, ModelProto.graph: a length is cut "
       "off"},
      {Bytes(7, Bytes(2, std::string("a\0b", 3))),
       "DATA_LOSS: m.onnx: not a valid ONNX file: at byte 2, GraphProto.name: a string holds a "
       "zero byte"},
      {Bytes(7, Varint(1 << 3 | 2) + Varint(100)),
       "DATA_LOSS: m.onnx: not a valid ONNX file: at byte 2, GraphProto.node: 100 bytes are "
       "announced, 0 are left"},
  };
  for (const auto& c : cases) EXPECT_EQ(mock.Parse(c.bytes), c.message);
}

TEST_F(OnnxWire, UnknownFieldsAndDocumentationAreSkipped) {
  GraphParts p;
  p.inputs = {Value("x", kFloat, {"2"})};
  p.nodes = {Node("Relu", {"x"}, {"y"}) + Bytes(6, "doc") + Bytes(99, "later")};
  p.outputs = {Named("y")};
  // Field 10 is the documentation; a training graph may hold anything well-formed.
  EXPECT_THAT(mock.Parse(Model(Graph(p) + Bytes(10, std::string("a\0b", 3)) + Int(500, 1), 17) +
                         Bytes(20, Bytes(1, "\x08\x01"))),
              HasSubstr("std.Relu"));
}

TEST_F(OnnxWire, NewerOpsetIsReadWithAWarning) {
  GraphParts p;
  p.inputs = {Value("x", kFloat, {"2"})};
  p.nodes = {Node("Relu", {"x"}, {"y"})};
  EXPECT_THAT(mock.Parse(Model(Graph(p), 99)), HasSubstr("std.Relu"));
  ASSERT_EQ(mock.log.size(), 1u);
  EXPECT_EQ(mock.log[0],
            "m.onnx: the model uses opset 99 of ai.onnx; operators are read as in opset 28");
}

}  // namespace
