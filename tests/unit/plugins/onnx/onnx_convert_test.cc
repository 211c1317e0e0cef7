// SPDX-License-Identifier: Apache-2.0
//
// Nodes of older operator sets in the form of the newest one, a golden text per operator and
// version. x is f32[n,8,4], h the same in f16, i in i64; p .. are small inputs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "tests/unit/plugins/onnx/onnx_mock.h"
#include "tests/unit/plugins/onnx/onnx_wire_writer.h"

namespace {

using namespace onnx_wire;
using testing::HasSubstr;

class OnnxConvert : public testing::Test {
 protected:
  // What becomes of one node called n, without the lines of the inputs.
  std::string Of(int64_t opset, const std::string& op, const Strings& inputs,
                 const Strings& outputs, const Strings& attributes = {},
                 const std::string& domain = "") {
    GraphParts p;
    p.nodes = {Node(op, inputs, outputs, attributes, "n", domain)};
    p.inputs = {Value("x", kFloat, {"n", "8", "4"}),
                Value("h", kFloat16, {"n", "8", "4"}),
                Value("i", kInt64, {"n", "8", "4"}),
                Value("p", kFloat, {"2"}),
                Value("q", kInt64, {"2"}),
                Value("e", kFloat, {"0"}),
                Value("r", kFloat, {})};
    for (const std::string& name : outputs) {
      if (!name.empty()) p.outputs.push_back(Named(name));
    }
    std::string text =
        mock.Parse(Model(Graph(p), opset, {}, {Opset("com.microsoft", 1), Opset("ai.onnx.ml", 3)}));
    if (text.find("%7 r = input f32[]\n") == std::string::npos) return text;
    text = text.substr(text.find("%7 r = input f32[]\n") + 19);
    // Origins and outputs are tested elsewhere.
    const std::string origin = " @n " + (domain.empty() ? "ai.onnx" : domain) + "." + op;
    for (size_t at; (at = text.find(origin)) != std::string::npos;) text.erase(at, origin.size());
    return text.substr(0, text.find("output "));
  }
  OnnxMock mock;
};

const Strings kY = {"y"};

TEST_F(OnnxConvert, NewestFormsPass) {
  EXPECT_EQ(Of(28, "Relu", {"x"}, kY), "%8 y = std.Relu(%1)\n");
  EXPECT_EQ(Of(7, "Relu", {"x"}, kY), "%8 y = std.Relu(%1)\n");
  EXPECT_EQ(Of(13, "Squeeze", {"x", "q"}, kY), "%8 y = std.Squeeze(%1, %5)\n");
  EXPECT_EQ(Of(17, "LayerNormalization", {"x", "p"}, {"y", "m"},
               {AttrInt("stash_type", 1), AttrInt("axis", -1)}),
            "%8 y, %9 m = std.LayerNormalization(%1, %4) {stash_type=f32, axis=-1}\n");
}

TEST_F(OnnxConvert, ElementTypesAreAttributesOfTheirOwnKind) {
  EXPECT_EQ(Of(13, "Cast", {"x"}, kY, {AttrInt("to", kFloat16)}), "%8 y = std.Cast(%1) {to=f16}\n");
  EXPECT_EQ(Of(22, "EyeLike", {"x"}, kY, {AttrInt("dtype", kInt64), AttrInt("k", 1)}),
            "%8 y = std.EyeLike(%1) {dtype=i64, k=1}\n");
  EXPECT_EQ(Of(21, "QuantizeLinear", {"x", "r"}, kY,
               {AttrInt("output_dtype", 0), AttrInt("block_size", 0)}),
            "%8 y = std.QuantizeLinear(%1, %7) {block_size=0}\n");
  EXPECT_EQ(Of(13, "Cast", {"x"}, kY, {AttrInt("to", 27)}),
            "UNIMPLEMENTED: m.onnx: node 'n' (ai.onnx.Cast, node 0 of the graph): attribute 'to': "
            "element type FLOAT6E2M3 (27) is not read");
}

TEST_F(OnnxConvert, Squeeze) {
  for (const char* op : {"Squeeze", "Unsqueeze"}) {
    EXPECT_EQ(Of(11, op, {"x"}, kY, {AttrInts("axes", {0, -1})}),
              "%8 = const i64[2] {0, -1}\n%9 y = std." + std::string(op) + "(%1, %8)\n");
  }
  EXPECT_EQ(Of(11, "Squeeze", {"x"}, kY), "%8 y = std.Squeeze(%1)\n");
  EXPECT_THAT(Of(11, "Squeeze", {"x", "q"}, kY),
              HasSubstr("node 'n' (ai.onnx.Squeeze, node 0 of the graph): 2 inputs are given, 1 to "
                        "1 are possible"));
  EXPECT_THAT(Of(11, "Squeeze", {"x"}, kY, {AttrInt("axes", 1)}),
              HasSubstr("attribute 'axes' is not a list of integers"));
}

TEST_F(OnnxConvert, Slice) {
  EXPECT_EQ(Of(9, "Slice", {"x"}, kY,
               {AttrInts("starts", {0, 1}), AttrInts("ends", {2, 3}), AttrInts("axes", {1, 2})}),
            "%8 = const i64[2] {0, 1}\n%9 = const i64[2] {2, 3}\n%10 = const i64[2] {1, 2}\n%11 y "
            "= std.Slice(%1, %8, %9, %10)\n");
  EXPECT_EQ(Of(9, "Slice", {"x"}, kY, {AttrInts("starts", {0}), AttrInts("ends", {2})}),
            "%8 = const i64[1] {0}\n%9 = const i64[1] {2}\n%10 y = std.Slice(%1, %8, %9)\n");
  EXPECT_EQ(Of(10, "Slice", {"x", "q", "q"}, kY), "%8 y = std.Slice(%1, %5, %5)\n");
  EXPECT_THAT(Of(9, "Slice", {"x"}, kY), HasSubstr("attributes 'starts' and 'ends' are needed"));
}

TEST_F(OnnxConvert, Split) {
  EXPECT_EQ(Of(11, "Split", {"x"}, {"a", "b"}, {AttrInt("axis", 1), AttrInts("split", {3, 5})}),
            "%8 = const i64[2] {3, 5}\n%9 a, %10 b = std.Split(%1, %8) {axis=1}\n");
  EXPECT_EQ(Of(11, "Split", {"x"}, {"a", "b"}, {AttrInt("axis", 1)}),
            "%8 a, %9 b = std.Split(%1) {axis=1, num_outputs=2}\n");
  EXPECT_EQ(Of(13, "Split", {"x", "q"}, {"a", "b"}), "%8 a, %9 b = std.Split(%1, %5)\n");
  EXPECT_EQ(Of(13, "Split", {"x"}, {"a", "b"}), "%8 a, %9 b = std.Split(%1) {num_outputs=2}\n");
  EXPECT_EQ(Of(18, "Split", {"x"}, {"a", "b"}, {AttrInt("num_outputs", 2)}),
            "%8 a, %9 b = std.Split(%1) {num_outputs=2}\n");
}

TEST_F(OnnxConvert, Pad) {
  EXPECT_EQ(Of(10, "Pad", {"x"}, kY,
               {AttrString("mode", "constant"), AttrInts("pads", {0, 0, 1, 0, 0, 1}),
                AttrFloat("value", 2.5f)}),
            "%8 = const i64[6] {0, 0, 1, 0, 0, 1}\n%9 = const f32[] {2.5}\n%10 y = std.Pad(%1, %8, "
            "%9) {mode=\"constant\"}\n");
  EXPECT_EQ(Of(10, "Pad", {"h"}, kY, {AttrInts("pads", {0, 0, 1, 0, 0, 1}), AttrFloat("value", 1)}),
            "%8 = const i64[6] {0, 0, 1, 0, 0, 1}\n%9 = const f16[] hex 003c\n%10 y = std.Pad(%2, "
            "%8, %9)\n");
  EXPECT_EQ(Of(10, "Pad", {"x"}, kY, {AttrInts("pads", {0, 0, 1, 0, 0, 1})}),
            "%8 = const i64[6] {0, 0, 1, 0, 0, 1}\n%9 y = std.Pad(%1, %8)\n");
  EXPECT_EQ(Of(13, "Pad", {"x", "q", "r"}, kY), "%8 y = std.Pad(%1, %5, %7)\n");
  EXPECT_THAT(Of(10, "Pad", {"x"}, kY), HasSubstr("attribute 'pads' is needed"));
}

TEST_F(OnnxConvert, TopK) {
  EXPECT_EQ(Of(9, "TopK", {"x"}, {"v", "k"}, {AttrInt("k", 3), AttrInt("axis", 1)}),
            "%8 = const i64[1] {3}\n%9 v, %10 k = std.TopK(%1, %8) {axis=1}\n");
  EXPECT_EQ(Of(11, "TopK", {"x", "q"}, {"v", "k"}, {AttrInt("largest", 0)}),
            "%8 v, %9 k = std.TopK(%1, %5) {largest=0}\n");
  EXPECT_THAT(Of(9, "TopK", {"x"}, {"v", "k"}), HasSubstr("attribute 'k' is needed"));
}

TEST_F(OnnxConvert, Scatter) {
  EXPECT_EQ(Of(9, "Scatter", {"x", "i", "x"}, kY, {AttrInt("axis", 1)}),
            "%8 y = std.ScatterElements(%1, %3, %1) {axis=1}\n");
}

TEST_F(OnnxConvert, Reductions) {
  for (const char* op : {"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
                         "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare"}) {
    EXPECT_EQ(Of(17, op, {"x"}, kY, {AttrInts("axes", {1}), AttrInt("keepdims", 0)}),
              "%8 = const i64[1] {1}\n%9 y = std." + std::string(op) + "(%1, %8) {keepdims=0}\n");
    EXPECT_EQ(Of(18, op, {"x", "q"}, kY), "%8 y = std." + std::string(op) + "(%1, %5)\n");
  }
  EXPECT_EQ(Of(12, "ReduceSum", {"x"}, kY, {AttrInts("axes", {1})}),
            "%8 = const i64[1] {1}\n%9 y = std.ReduceSum(%1, %8)\n");
  EXPECT_EQ(Of(13, "ReduceSum", {"x", "q"}, kY, {AttrInt("noop_with_empty_axes", 1)}),
            "%8 y = std.ReduceSum(%1, %5) {noop_with_empty_axes=1}\n");
  // All axes: no list and an empty one.
  EXPECT_EQ(Of(12, "ReduceSum", {"x"}, kY), "%8 y = std.ReduceSum(%1)\n");
  EXPECT_EQ(Of(12, "ReduceSum", {"x"}, kY, {AttrInts("axes", {})}), "%8 y = std.ReduceSum(%1)\n");
}

TEST_F(OnnxConvert, Dft) {
  EXPECT_EQ(Of(17, "DFT", {"x"}, kY, {AttrInt("onesided", 1)}),
            "%8 = const i64[] {1}\n%9 y = std.DFT(%1, _, %8) {onesided=1}\n");
  EXPECT_EQ(Of(17, "DFT", {"x", "q"}, kY, {AttrInt("axis", 0)}),
            "%8 = const i64[] {0}\n%9 y = std.DFT(%1, %5, %8)\n");
  EXPECT_EQ(Of(20, "DFT", {"x", "q", "q"}, kY), "%8 y = std.DFT(%1, %5, %5)\n");
}

TEST_F(OnnxConvert, FlatSoftmax) {
  for (const char* op : {"Softmax", "LogSoftmax", "Hardmax"}) {
    const std::string name = "std." + std::string(op);
    // The default axis was 1: [n, 8, 4] is seen as [n, 32].
    EXPECT_EQ(Of(12, op, {"x"}, kY), "%8 = std.Shape(%1)\n%9 = std.Flatten(%1) {axis=1}\n%10 = " +
                                         name + "(%9) {axis=1}\n%11 y = std.Reshape(%10, %8)\n");
    EXPECT_EQ(Of(12, op, {"x"}, kY, {AttrInt("axis", 0)}),
              "%8 = std.Shape(%1)\n%9 = std.Flatten(%1) {axis=0}\n%10 = " + name +
                  "(%9) {axis=1}\n%11 y = std.Reshape(%10, %8)\n");
    EXPECT_EQ(Of(11, op, {"x"}, kY, {AttrInt("axis", -2)}),
              "%8 = std.Shape(%1)\n%9 = std.Flatten(%1) {axis=1}\n%10 = " + name +
                  "(%9) {axis=1}\n%11 y = std.Reshape(%10, %8)\n");
    // Along the last axis both forms agree.
    EXPECT_EQ(Of(12, op, {"x"}, kY, {AttrInt("axis", 2)}), "%8 y = " + name + "(%1) {axis=2}\n");
    EXPECT_EQ(Of(12, op, {"x"}, kY, {AttrInt("axis", -1)}), "%8 y = " + name + "(%1) {axis=2}\n");
    EXPECT_EQ(Of(13, op, {"x"}, kY), "%8 y = " + name + "(%1)\n");
    EXPECT_THAT(Of(12, op, {"x"}, kY, {AttrInt("axis", 4)}),
                HasSubstr("axis 4 lies outside of 3 dimensions"));
  }
}

TEST_F(OnnxConvert, BatchNormalization) {
  const Strings in = {"x", "p", "p", "p", "p"};
  EXPECT_EQ(
      Of(7, "BatchNormalization", in, kY, {AttrInt("spatial", 1), AttrFloat("epsilon", 0.5f)}),
      "%8 y = std.BatchNormalization(%1, %4, %4, %4, %4) {epsilon=0.5}\n");
  EXPECT_EQ(Of(15, "BatchNormalization", in, kY, {AttrInt("training_mode", 0)}),
            "%8 y = std.BatchNormalization(%1, %4, %4, %4, %4) {training_mode=0}\n");
  EXPECT_THAT(Of(7, "BatchNormalization", in, kY, {AttrInt("spatial", 0)}),
              HasSubstr("spatial = 0"));
  EXPECT_THAT(Of(9, "BatchNormalization", in, {"y", "m", "v"}),
              HasSubstr("results for training are not read"));
}

TEST_F(OnnxConvert, Dropout) {
  EXPECT_EQ(Of(10, "Dropout", {"x"}, {"y", "m"}, {AttrFloat("ratio", 0.25f)}),
            "%8 = const f32[] {0.25}\n%9 y, %10 m = std.Dropout(%1, %8)\n");
  EXPECT_EQ(Of(7, "Dropout", {"h"}, kY), "%8 = const f32[] {0.5}\n%9 y = std.Dropout(%2, %8)\n");
  // The mask had the type of the data.
  EXPECT_EQ(
      Of(7, "Dropout", {"h"}, {"y", "m"}),
      "%8 = const f32[] {0.5}\n%9 y, %10 = std.Dropout(%2, %8)\n%11 m = std.Cast(%10) {to=f16}\n");
  EXPECT_EQ(Of(13, "Dropout", {"x", "r"}, kY, {AttrInt("seed", 1)}),
            "%8 y = std.Dropout(%1, %7) {seed=1}\n");
}

TEST_F(OnnxConvert, GroupNormalization) {
  // Two groups of four channels.
  EXPECT_EQ(Of(18, "GroupNormalization", {"x", "p", "p"}, kY, {AttrInt("num_groups", 2)}),
            "%8 = const i64[1] {1}\n%9 = const i64[2] {1, 4}\n%10 = const i64[1] {-1}\n"
            "%11 = std.Unsqueeze(%4, %8)\n%12 = std.Expand(%11, %9)\n%13 = std.Reshape(%12, %10)\n"
            "%14 = std.Unsqueeze(%4, %8)\n%15 = std.Expand(%14, %9)\n%16 = std.Reshape(%15, %10)\n"
            "%17 y = std.GroupNormalization(%1, %13, %16) {num_groups=2}\n");
  EXPECT_EQ(Of(21, "GroupNormalization", {"x", "p", "p"}, kY, {AttrInt("num_groups", 2)}),
            "%8 y = std.GroupNormalization(%1, %4, %4) {num_groups=2}\n");
  EXPECT_THAT(Of(18, "GroupNormalization", {"x", "p", "p"}, kY, {AttrInt("num_groups", 3)}),
              HasSubstr("8 channels cannot be split into 3 groups"));
  EXPECT_THAT(Of(18, "GroupNormalization", {"x", "p", "p"}, kY),
              HasSubstr("8 channels cannot be split into 0 groups"));
}

TEST_F(OnnxConvert, Clip) {
  EXPECT_EQ(Of(6, "Clip", {"x"}, kY, {AttrFloat("min", 0), AttrFloat("max", 6)}),
            "%8 = const f32[] {0}\n%9 = const f32[] {6}\n%10 y = std.Clip(%1, %8, %9)\n");
  EXPECT_EQ(Of(10, "Clip", {"x"}, kY, {AttrFloat("max", 6)}),
            "%8 = const f32[] {6}\n%9 y = std.Clip(%1, _, %8)\n");
  EXPECT_EQ(Of(10, "Clip", {"x"}, kY), "%8 y = std.Clip(%1)\n");
  EXPECT_EQ(Of(11, "Clip", {"x", "", "r"}, kY), "%8 y = std.Clip(%1, _, %7)\n");
  // In the type of the data, rounded to nearest even; the largest f32 is infinite in f16.
  EXPECT_EQ(Of(10, "Clip", {"h"}, kY,
               {AttrFloat("min", -0.1f), AttrFloat("max", 3.4028234663852886e+38f)}),
            "%8 = const f16[] hex 66ae\n%9 = const f16[] hex 007c\n%10 y = std.Clip(%2, %8, %9)\n");
  EXPECT_EQ(
      Of(10, "Clip", {"i"}, kY, {AttrFloat("min", -3.4028234663852886e+38f), AttrFloat("max", 7)}),
      "%8 = const i64[] {-9223372036854775808}\n%9 = const i64[] {7}\n%10 y = std.Clip(%3, %8, "
      "%9)\n");
}

TEST_F(OnnxConvert, ConstantsInHalfPrecision) {
  // Values whose bits are known: subnormals, ties, the largest number, overflow, signs.
  struct {
    float value;
    const char* bits;
  } cases[] = {{1, "003c"},
               {-2, "00c0"},
               {65504, "ff7b"},
               {65519, "ff7b"},
               {65520, "007c"},
               {-65520, "00fc"},
               {6.1035156e-5f, "0004"},
               {5.9604645e-8f, "0100"},
               {2.9802322e-8f, "0000"},
               {2.9802326e-8f, "0100"},
               {8.9406967e-8f, "0200"},
               {1.0004883f, "003c"},
               {1.0014648f, "023c"},
               {-0.0f, "0080"},
               {6.0975552e-5f, "ff03"}};
  for (const auto& c : cases) {
    EXPECT_EQ(Of(10, "Clip", {"h"}, kY, {AttrFloat("min", c.value)}),
              "%8 = const f16[] hex " + std::string(c.bits) + "\n%9 y = std.Clip(%2, %8)\n")
        << c.value;
  }
}

TEST_F(OnnxConvert, Upsample) {
  const std::string old =
      "coordinate_transformation_mode=\"asymmetric\", nearest_mode=\"floor\"}\n";
  EXPECT_EQ(Of(7, "Upsample", {"x"}, kY, {AttrFloats("scales", {1, 2, 2})}),
            "%8 = const f32[3] {1, 2, 2}\n%9 y = std.Resize(%1, _, %8) {" + old);
  EXPECT_EQ(Of(7, "Upsample", {"x"}, kY,
               {AttrFloats("scales", {1, 2, 2}), AttrString("mode", "bilinear")}),
            "%8 = const f32[3] {1, 2, 2}\n%9 y = std.Resize(%1, _, %8) {mode=\"linear\", " + old);
  EXPECT_EQ(Of(9, "Upsample", {"x", "p"}, kY, {AttrString("mode", "linear")}),
            "%8 y = std.Resize(%1, _, %4) {mode=\"linear\", " + old);
  EXPECT_THAT(Of(7, "Upsample", {"x"}, kY), HasSubstr("scales are needed"));
}

TEST_F(OnnxConvert, Resize) {
  EXPECT_EQ(Of(10, "Resize", {"x", "p"}, kY, {AttrString("mode", "nearest")}),
            "%8 y = std.Resize(%1, _, %4) {mode=\"nearest\", "
            "coordinate_transformation_mode=\"asymmetric\", nearest_mode=\"floor\"}\n");
  // An axis that shrinks rounds up; one that grows gets a node of its own.
  const std::string old = "coordinate_transformation_mode=\"asymmetric\", nearest_mode=";
  EXPECT_EQ(Of(10, "Upsample", {"x"}, kY, {AttrFloats("scales", {1, 0.5f, 1})}),
            "%8 = const f32[3] {1, 0.5, 1}\n%9 y = std.Resize(%1, _, %8) {" + old + "\"ceil\"}\n");
  EXPECT_EQ(
      Of(10, "Upsample", {"x"}, kY, {AttrFloats("scales", {1, 0.5f, 2})}),
      "%8 = const f32[3] {1, 0.5, 2}\n%9 = const f32[3] {1, 1, 2}\n%10 = std.Resize(%1, _, %9) {" +
          old +
          "\"floor\"}\n"
          "%11 = const f32[3] {1, 0.5, 1}\n%12 y = std.Resize(%10, _, %11) {" +
          old + "\"ceil\"}\n");
  // Empty tensors stand for absent operands.
  EXPECT_EQ(Of(11, "Resize", {"x", "e", "p"}, kY), "%8 y = std.Resize(%1, _, %4)\n");
  EXPECT_EQ(Of(11, "Resize", {"x", "e", "e", "q"}, kY), "%8 y = std.Resize(%1, _, _, %5)\n");
  EXPECT_EQ(Of(19, "Resize", {"x", "p", "p"}, kY), "%8 y = std.Resize(%1, %4, %4)\n");
  EXPECT_EQ(Of(19, "Resize", {"x", "", "p"}, kY, {AttrInts("axes", {2})}),
            "%8 y = std.Resize(%1, _, %4) {axes=[2]}\n");
}

TEST_F(OnnxConvert, GridSample) {
  EXPECT_EQ(Of(16, "GridSample", {"x", "x"}, kY),
            "%8 y = std.GridSample(%1, %1) {mode=\"linear\"}\n");
  EXPECT_EQ(Of(16, "GridSample", {"x", "x"}, kY, {AttrString("mode", "bicubic")}),
            "%8 y = std.GridSample(%1, %1) {mode=\"cubic\"}\n");
  EXPECT_EQ(Of(16, "GridSample", {"x", "x"}, kY, {AttrString("mode", "nearest")}),
            "%8 y = std.GridSample(%1, %1) {mode=\"nearest\"}\n");
  EXPECT_EQ(Of(20, "GridSample", {"x", "x"}, kY), "%8 y = std.GridSample(%1, %1)\n");
}

TEST_F(OnnxConvert, RoiAlign) {
  EXPECT_EQ(
      Of(10, "RoiAlign", {"x", "x", "q"}, kY),
      "%8 y = std.RoiAlign(%1, %1, %5) {coordinate_transformation_mode=\"output_half_pixel\"}\n");
  EXPECT_EQ(Of(16, "RoiAlign", {"x", "x", "q"}, kY), "%8 y = std.RoiAlign(%1, %1, %5)\n");
}

TEST_F(OnnxConvert, Microsoft) {
  auto of = [&](const std::string& op, const Strings& in, const Strings& out,
                const Strings& attributes = {}) {
    return Of(17, op, in, out, attributes, "com.microsoft");
  };
  EXPECT_EQ(of("Gelu", {"x"}, kY), "%8 y = std.Gelu(%1)\n");
  EXPECT_EQ(of("BiasGelu", {"x", "p"}, kY), "%8 = std.Add(%1, %4)\n%9 y = std.Gelu(%8)\n");
  EXPECT_EQ(of("FastGelu", {"x", "p"}, kY),
            "%8 = std.Add(%1, %4)\n%9 y = std.Gelu(%8) {approximate=\"tanh\"}\n");
  EXPECT_EQ(of("FastGelu", {"x"}, kY), "%8 y = std.Gelu(%1) {approximate=\"tanh\"}\n");
  EXPECT_EQ(of("QuickGelu", {"x"}, kY), "%8 y = std.Swish(%1) {alpha=1.702}\n");
  EXPECT_EQ(of("LayerNormalization", {"x", "p", "p"}, kY, {AttrInt("axis", -1)}),
            "%8 y = std.LayerNormalization(%1, %4, %4) {axis=-1}\n");
  EXPECT_EQ(of("SimplifiedLayerNormalization", {"x", "p"}, kY, {AttrInt("stash_type", 1)}),
            "%8 y = std.RMSNormalization(%1, %4)\n");
  EXPECT_EQ(of("SkipLayerNormalization", {"x", "x", "p", "p", "p"}, {"y", "", "", "s"},
               {AttrFloat("epsilon", 0.5f)}),
            "%8 = std.Add(%1, %1)\n%9 s = std.Add(%8, %4)\n%10 y = std.LayerNormalization(%9, %4, "
            "%4) {epsilon=0.5, axis=-1}\n");
  EXPECT_EQ(of("SkipSimplifiedLayerNormalization", {"x", "x", "p"}, kY),
            "%8 = std.Add(%1, %1)\n%9 y = std.RMSNormalization(%8, %4) {epsilon=1e-05, axis=-1}\n");
  EXPECT_THAT(of("SkipLayerNormalization", {"x", "x", "p"}, {"y", "m"}),
              HasSubstr("result 1 (a statistic) is not read"));
  EXPECT_EQ(of("FusedMatMul", {"x", "x"}, kY), "%8 y = std.MatMul(%1, %1)\n");
  EXPECT_EQ(of("FusedMatMul", {"h", "h"}, kY,
               {AttrInt("transA", 1), AttrInt("transB", 1), AttrFloat("alpha", 0.5f)}),
            "%8 = std.Transpose(%2) {perm=[0,2,1]}\n%9 = std.Transpose(%2) {perm=[0,2,1]}\n%10 = "
            "std.MatMul(%8, %9)\n"
            "%11 = const f16[] hex 0038\n%12 y = std.Mul(%10, %11)\n");
  EXPECT_EQ(of("FusedConv", {"x", "x", "p", "x"}, kY,
               {AttrString("activation", "LeakyRelu"), AttrFloats("activation_params", {0.5f}),
                AttrInts("strides", {2})}),
            "%8 = std.Conv(%1, %1, %4) {strides=[2]}\n%9 = std.Add(%8, %1)\n%10 y = "
            "std.LeakyRelu(%9) {alpha=0.5}\n");
  EXPECT_EQ(of("FusedConv", {"x", "x"}, kY,
               {AttrString("activation", "Clip"), AttrFloats("activation_params", {0, 6})}),
            "%8 = std.Conv(%1, %1)\n%9 = const f32[] {0}\n%10 = const f32[] {6}\n%11 y = "
            "std.Clip(%8, %9, %10)\n");
  EXPECT_THAT(of("FusedConv", {"x", "x"}, kY, {AttrString("activation", "Mystery")}),
              HasSubstr("activation 'Mystery' is not read"));
  EXPECT_EQ(
      of("FusedGemm", {"p", "p"}, kY, {AttrString("activation", "Relu"), AttrInt("transB", 1)}),
      "%8 = std.Gemm(%4, %4) {transB=1}\n%9 y = std.Relu(%8)\n");
  mock.registered = {"com.microsoft.Gelu"};
  EXPECT_EQ(of("Gelu", {"x"}, kY), "%8 y = com.microsoft.Gelu/0(%1)\n");
}

TEST_F(OnnxConvert, OneElementInAnotherShape) {
  // r is a scalar, o a vector of one: computed ones are reshaped, constants are made anew.
  EXPECT_EQ(Of(13, "Squeeze", {"x", "r"}, kY),
            "%8 = const i64[1] {1}\n%9 = std.Reshape(%7, %8)\n%10 y = std.Squeeze(%1, %9)\n");
  GraphParts p;
  p.inputs = {Value("x", kFloat, {"n"}), Value("o", kFloat, {"1"})};
  p.initializers = {Tensor<float>("k", kFloat, {1}, {7})};
  p.nodes = {Node("Clip", {"x", "k", "o"}, {"y"})};
  EXPECT_EQ(
      mock.Parse(Model(Graph(p), 13)),
      "%1 k = view f32[1] {7}\n%2 x = input f32[n]\n%3 o = input f32[1]\n%4 = const f32[] {7}\n%5 "
      "= const i64[0] {}\n"
      "%6 = std.Reshape(%3, %5) @y ai.onnx.Clip\n%7 y = std.Clip(%2, %4, %6) @y ai.onnx.Clip\n");
  // Anything else stays for the operator to judge.
  EXPECT_EQ(Of(13, "Clip", {"x", "p"}, kY), "%8 y = std.Clip(%1, %4)\n");
}

TEST_F(OnnxConvert, MicrosoftAttention) {
  auto of = [&](const std::string& op, const Strings& in, const Strings& out,
                const Strings& attributes) {
    return Of(17, op, in, out, attributes, "com.microsoft");
  };
  const std::string heads = AttrInt("num_heads", 2);
  EXPECT_EQ(of("Attention", {"x", "x", "p"}, kY, {heads, AttrInt("unidirectional", 1)}),
            "%8 = std.MatMul(%1, %1)\n%9 = std.Add(%8, %4)\n"
            "%10, %11, %12 = std.Split(%9) {axis=-1, num_outputs=3}\n"
            "%13 y = std.Attention(%10, %11, %12) {q_num_heads=2, kv_num_heads=2, is_causal=1}\n");
  EXPECT_THAT(of("Attention", {"x", "x", "p", "q"}, kY, {heads}),
              HasSubstr("a mask that is not of shape [batch, keys] is not read"));
  EXPECT_THAT(of("Attention", {"x", "x", "p"}, {"y", "z"}, {heads}),
              HasSubstr("the past in one tensor is not read"));
  EXPECT_THAT(of("Attention", {"x", "x", "p"}, kY, {}), HasSubstr("num_heads is 0"));
  EXPECT_EQ(of("MultiHeadAttention", {"x", "x", "x", "p", "", "h", "x", "x"}, {"y", "a", "b"},
               {heads, AttrFloat("scale", 0.5f)}),
            "%8, %9, %10 = std.Split(%4) {axis=-1, num_outputs=3}\n"
            "%11 = std.Add(%1, %8)\n%12 = std.Add(%1, %9)\n%13 = std.Add(%1, %10)\n"
            "%14 y, %15 a, %16 b = std.Attention(%11, %12, %13, %2, %1, %1) "
            "{q_num_heads=2, kv_num_heads=2, scale=0.5}\n");
  EXPECT_THAT(of("MultiHeadAttention", {"x"}, kY, {heads}), HasSubstr("packed q, k and v"));
  EXPECT_THAT(of("RotaryEmbedding", {"x", "q", "x", "x"}, kY, {}), HasSubstr("an offset instead"));
}

TEST_F(OnnxConvert, MachineLearning) {
  auto of = [&](const std::string& op, const Strings& in, const Strings& attributes) {
    return Of(17, op, in, kY, attributes, "ai.onnx.ml");
  };
  EXPECT_EQ(of("Binarizer", {"x"}, {AttrFloat("threshold", 0.5f)}),
            "%8 = const f32[] {0.5}\n%9 = std.Greater(%1, %8)\n%10 y = std.Cast(%9) {to=f32}\n");
  EXPECT_EQ(of("Scaler", {"i"}, {AttrFloats("offset", {1}), AttrFloats("scale", {2, 3})}),
            "%8 = std.Cast(%3) {to=f32}\n%9 = const f32[1] {1}\n%10 = std.Sub(%8, %9)\n"
            "%11 = const f32[2] {2, 3}\n%12 y = std.Mul(%10, %11)\n");
  EXPECT_THAT(of("Scaler", {"x"}, {AttrFloats("offset", {1})}),
              HasSubstr("attribute 'scale' is needed"));
  EXPECT_EQ(of("Imputer", {"x"},
               {AttrFloats("imputed_value_floats", {7}), AttrFloat("replaced_value_float", NAN)}),
            "%8 = const f32[1] {7}\n%9 = std.IsNaN(%1)\n%10 y = std.Where(%9, %8, %1)\n");
  EXPECT_EQ(of("Imputer", {"i"}, {AttrInts("imputed_value_int64s", {7})}),
            "%8 = const i64[1] {7}\n%9 = const i64[] {0}\n%10 = std.Equal(%3, %9)\n"
            "%11 y = std.Where(%10, %8, %3)\n");
  EXPECT_EQ(of("ArrayFeatureExtractor", {"x", "q"}, {}),
            "%8 = const i64[1] {-1}\n%9 = std.Reshape(%5, %8)\n"
            "%10 y = std.Gather(%1, %9) {axis=-1}\n");
  EXPECT_EQ(of("ArrayFeatureExtractor", {"p", "q"}, {}),
            "%8 = const i64[1] {-1}\n%9 = std.Reshape(%5, %8)\n"
            "%10 = std.Gather(%4, %9) {axis=-1}\n%11 = const i64[1] {0}\n"
            "%12 y = std.Unsqueeze(%10, %11)\n");
}

}  // namespace
