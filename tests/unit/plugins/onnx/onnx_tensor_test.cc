// SPDX-License-Identifier: Apache-2.0
//
// Tensors of an ONNX file in every encoding, and what is said about those that do not fit their
// type and shape.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/plugins/onnx/onnx_mock.h"
#include "tests/unit/plugins/onnx/onnx_wire_writer.h"

namespace {

using namespace onnx_wire;
using testing::HasSubstr;

std::string With(const std::string& tensor) {
  GraphParts p;
  p.initializers = {tensor};
  return Model(Graph(p), 21);
}
std::string Text(OnnxMock& mock, const std::string& tensor) { return mock.Parse(With(tensor)); }

TEST(OnnxTensor, RawDataIsViewed) {
  OnnxMock mock;
  EXPECT_EQ(Text(mock, Tensor<float>("w", kFloat, {2, 1}, {1.5f, -2})),
            "%1 w = view f32[2,1] {1.5, -2}\n");
  EXPECT_EQ(Text(mock, Tensor<float>("w", kFloat, {}, {3})), "%1 w = view f32[] {3}\n");
  EXPECT_EQ(Text(mock, Tensor<float>("w", kFloat, {2, 0}, {})), "%1 w = view f32[2,0] {}\n");
  EXPECT_EQ(Text(mock, Tensor<int64_t>("w", kInt64, {1}, {-7})), "%1 w = view i64[1] {-7}\n");
  EXPECT_EQ(Text(mock, Tensor<uint8_t>("w", 22, {3}, {0x21, 0x03})),
            "%1 w = view i4[3] hex 2103\n");
  EXPECT_EQ(mock.copied, 0u);
}

TEST(OnnxTensor, TypedFields) {
  OnnxMock mock;
  auto typed = [&](int type, const std::vector<int64_t>& dims, const std::string& data) {
    return Text(mock, TensorHead("w", type, dims) + data);
  };
  EXPECT_EQ(typed(kFloat, {2}, Bytes(4, Raw<float>({1, 2}))), "%1 w = const f32[2] {1, 2}\n");
  EXPECT_EQ(typed(kFloat, {2}, Float(4, 1) + Float(4, 2)),
            "%1 w = const f32[2] {1, 2}\n");  // not packed
  EXPECT_EQ(typed(kFloat, {0}, ""), "%1 w = const f32[0] {}\n");
  EXPECT_EQ(typed(kDouble, {1}, Bytes(10, Raw<double>({0.1}))), "%1 w = const f64[1] {0.1}\n");
  EXPECT_EQ(typed(kInt64, {2}, PackedInts(7, {-1, 300})), "%1 w = const i64[2] {-1, 300}\n");
  EXPECT_EQ(typed(kInt32, {2}, PackedInts(5, {-1, 300})),
            "%1 w = const i32[2] hex ffffffff2c010000\n");
  EXPECT_EQ(typed(kInt8, {3}, PackedInts(5, {-1, 2, -128})), "%1 w = const i8[3] hex ff0280\n");
  EXPECT_EQ(typed(kUint8, {2}, PackedInts(5, {255, 2})), "%1 w = const u8[2] hex ff02\n");
  EXPECT_EQ(typed(5, {2}, PackedInts(5, {-2, 258})), "%1 w = const i16[2] hex feff0201\n");
  EXPECT_EQ(typed(kBool, {2}, PackedInts(5, {1, 0})), "%1 w = const bool[2] hex 0100\n");
  EXPECT_EQ(typed(kFloat16, {2}, PackedInts(5, {0x3c00, 0xc000})),
            "%1 w = const f16[2] hex 003c00c0\n");
  EXPECT_EQ(typed(16, {1}, PackedInts(5, {0x3f80})), "%1 w = const bf16[1] hex 803f\n");
  EXPECT_EQ(typed(17, {2}, PackedInts(5, {0x38, 0xb8})), "%1 w = const f8e4m3fn[2] hex 38b8\n");
  EXPECT_EQ(typed(12, {2}, PackedInts(11, {0xffffffff, 1})),
            "%1 w = const u32[2] hex ffffffff01000000\n");
  EXPECT_EQ(typed(13, {1}, PackedInts(11, {-1})), "%1 w = const u64[1] hex ffffffffffffffff\n");
  EXPECT_EQ(typed(21, {3}, PackedInts(5, {0x21, 0x0f})), "%1 w = const u4[3] hex 210f\n");
  EXPECT_EQ(typed(25, {5}, PackedInts(5, {0xe4, 0x01})), "%1 w = const u2[5] hex e401\n");
  EXPECT_EQ(typed(14, {1}, Bytes(4, Raw<float>({1, 0}))),
            "%1 w = const c64[1] hex 0000803f00000000\n");
}

TEST(OnnxTensor, Refusals) {
  OnnxMock mock;
  struct {
    std::string tensor, message;
  } cases[] = {
      {Tensor<float>("w", kFloat, {3}, {1, 2}),
       "DATA_LOSS: m.onnx: tensor 'w' of the graph: raw_data holds 8 bytes, type FLOAT and shape "
       "ask for 12"},
      {Tensor<float>("w", kFloat, {1}, {1, 2}),
       "DATA_LOSS: m.onnx: tensor 'w' of the graph: raw_data holds 8 bytes, type FLOAT and shape "
       "ask for 4"},
      {Tensor<float>("w", kFloat, {1}, {1}) + Bytes(4, Raw<float>({1})),
       "DATA_LOSS: m.onnx: tensor 'w' of the graph: raw_data holds 4 bytes, type FLOAT and shape "
       "ask for 4; a typed data field is given too"},
      {TensorHead("w", kFloat, {2}) + Bytes(4, Raw<float>({1})),
       "DATA_LOSS: m.onnx: tensor 'w' of the graph: float_data holds 1 elements (1 in all data "
       "fields), type FLOAT and shape ask for 2"},
      {TensorHead("w", kFloat, {1}) + PackedInts(5, {1}),
       "DATA_LOSS: m.onnx: tensor 'w' of the graph: float_data holds 0 elements (1 in all data "
       "fields), type FLOAT and shape ask for 1"},
      {TensorHead("w", kFloat, {-1}),
       "DATA_LOSS: m.onnx: tensor 'w' of the graph: dimension 0 is -1"},
      {TensorHead("w", kFloat, {int64_t{1} << 40, int64_t{1} << 40}),
       "OUT_OF_RANGE: m.onnx: tensor 'w' of the graph: the number of elements does not fit into 64 "
       "bits"},
      {TensorHead("w", kFloat, std::vector<int64_t>(13, 1)),
       "OUT_OF_RANGE: m.onnx: tensor 'w' of the graph: 13 dimensions; at most 12 are possible"},
      {TensorHead("w", kString, {1}) + Bytes(6, "a"),
       "UNIMPLEMENTED: m.onnx: tensor 'w' of the graph: element type STRING (8) is not read"},
      {TensorHead("w", 0, {1}),
       "UNIMPLEMENTED: m.onnx: tensor 'w' of the graph: element type UNDEFINED (0) is not read"},
      {TensorHead("w", kFloat, {}) + Bytes(3, Int(1, 0)),
       "UNIMPLEMENTED: m.onnx: tensor 'w' of the graph: data in segments is not read"},
      {TensorHead("", kFloat, {}), "DATA_LOSS: m.onnx: initializer 0 of the graph has no name"},
  };
  for (const auto& c : cases) EXPECT_EQ(Text(mock, c.tensor), c.message);
}

TEST(OnnxTensor, ExternalData) {
  OnnxMock mock;
  mock.files["w.bin"] = Raw<float>({1, 2, 3, 4});
  auto external = [&](const Strings& entries) {
    return Text(mock, ExternalTensor("w", kFloat, {2}, entries));
  };
  const std::string at = Entry("location", "w.bin");
  EXPECT_EQ(external({at}), "%1 w = view f32[2] {1, 2}\n");
  EXPECT_EQ(external({at, Entry("offset", "8")}), "%1 w = view f32[2] {3, 4}\n");
  EXPECT_EQ(external({Entry("offset", "4"), Entry("length", "8"), Entry("checksum", "x"), at}),
            "%1 w = view f32[2] {2, 3}\n");
  EXPECT_EQ(mock.viewed, 8u);
  EXPECT_EQ(mock.copied, 0u);
  const std::string where = "DATA_LOSS: m.onnx: tensor 'w' of the graph: external data";
  EXPECT_EQ(external({}), where + " without a location");
  EXPECT_EQ(external({at, Entry("offset", "12")}),
            where + " in 'w.bin': 8 bytes at offset 12 are asked for, the file has 16");
  EXPECT_EQ(
      external({at, Entry("offset", "18446744073709551615")}),
      where + " in 'w.bin': 8 bytes at offset 18446744073709551615 are asked for, the file has 16");
  EXPECT_EQ(external({at, Entry("length", "4")}),
            where + " in 'w.bin': length is 4, type and shape ask for 8 bytes");
  EXPECT_EQ(external({at, Entry("offset", "-1")}), where + ": offset '-1' is not a number");
  EXPECT_EQ(external({at, Entry("offset", "")}), where + ": offset '' is not a number");
  EXPECT_EQ(external({at, Entry("length", "99999999999999999999")}),
            where + ": length '99999999999999999999' is not a number");
  EXPECT_EQ(external({Entry("location", "none.bin")}), "NOT_FOUND: mock: no file 'none.bin'");
}

TEST(OnnxTensor, SparseInitializers) {
  OnnxMock mock;
  auto sparse = [&](const std::string& values, const std::string& indices,
                    const std::vector<int64_t>& dims) {
    std::string s = Bytes(1, values) + Bytes(2, indices);
    for (int64_t d : dims) s += Int(3, d);
    GraphParts p;
    p.sparse = {s};
    return mock.Parse(Model(Graph(p), 17));
  };
  const std::string values = Tensor<float>("w", kFloat, {2}, {7, 8});
  EXPECT_EQ(sparse(values, Tensor<int64_t>("", kInt64, {2}, {1, 5}), {2, 3}),
            "%1 w = const f32[2,3] {0, 7, 0, 0, 0, 8}\n");
  EXPECT_EQ(sparse(values, Tensor<int64_t>("", kInt64, {2, 2}, {0, 2, 1, 0}), {2, 3}),
            "%1 w = const f32[2,3] {0, 0, 7, 8, 0, 0}\n");
  EXPECT_THAT(sparse(values, Tensor<int64_t>("", kInt64, {2}, {1, 6}), {2, 3}),
              HasSubstr("tensor 'w' of the graph: sparse index 6 lies outside 0..6"));
  EXPECT_THAT(sparse(values, Tensor<int64_t>("", kInt64, {2, 2}, {0, 3, 1, 0}), {2, 3}),
              HasSubstr("sparse index 3 lies outside 0..3"));
  EXPECT_THAT(sparse(values, Tensor<int64_t>("", kInt64, {2, 2}, {0, -1, 1, 0}), {2, 3}),
              HasSubstr("sparse index -1 lies outside"));
  EXPECT_THAT(sparse(values, Tensor<int64_t>("", kInt64, {1}, {1}), {2, 3}),
              HasSubstr("indices of shape [NNZ]"));
  EXPECT_THAT(sparse(values, Tensor<int64_t>("", kInt64, {2}, {0, 1}), {1 << 20, 1 << 20}),
              HasSubstr("would take 4398046511104 bytes"));
}

TEST(OnnxTensor, ConstantNodes) {
  OnnxMock mock;
  auto constant = [&](const Strings& attributes) {
    GraphParts p;
    p.nodes = {Node("Constant", {}, {"k"}, attributes, "n")};
    p.outputs = {Named("k")};
    return mock.Parse(Model(Graph(p), 17));
  };
  EXPECT_EQ(constant({AttrTensor("value", Tensor<float>("", kFloat, {1}, {4}))}),
            "%1 k = view f32[1] {4}\noutput k = %1\n");
  EXPECT_EQ(constant({AttrFloat("value_float", 0.5f)}),
            "%1 k = const f32[] {0.5}\noutput k = %1\n");
  EXPECT_EQ(constant({AttrFloats("value_floats", {1, 2})}),
            "%1 k = const f32[2] {1, 2}\noutput k = %1\n");
  EXPECT_EQ(constant({AttrFloats("value_floats", {})}), "%1 k = const f32[0] {}\noutput k = %1\n");
  EXPECT_EQ(constant({AttrInt("value_int", -3)}), "%1 k = const i64[] {-3}\noutput k = %1\n");
  EXPECT_EQ(constant({AttrInts("value_ints", {1, 2})}),
            "%1 k = const i64[2] {1, 2}\noutput k = %1\n");
  EXPECT_EQ(constant({AttrHead("sparse_value", 11) +
                      Bytes(22, Bytes(1, Tensor<float>("", kFloat, {1}, {9})) +
                                    Bytes(2, Tensor<int64_t>("", kInt64, {1}, {1})) + Int(3, 2))}),
            "%1 k = const f32[2] {0, 9}\noutput k = %1\n");
  EXPECT_EQ(constant({AttrString("value_string", "a")}),
            "UNIMPLEMENTED: m.onnx: node 'n' (ai.onnx.Constant, node 0 of the graph): a constant "
            "given as 'value_string' is not read");
  EXPECT_EQ(constant({}),
            "DATA_LOSS: m.onnx: node 'n' (ai.onnx.Constant, node 0 of the graph): one value and "
            "one output are needed, not 0 and 1");
}

}  // namespace
