// SPDX-License-Identifier: Apache-2.0
//
// Writes ONNX files for tests, byte by byte, so that tests need neither Python nor the library
// under test. Field numbers are those of onnx.proto. It checks nothing: broken files are made with
// it too.
#ifndef TRIVET_TESTS_UNIT_PLUGINS_ONNX_ONNX_WIRE_WRITER_H_
#define TRIVET_TESTS_UNIT_PLUGINS_ONNX_ONNX_WIRE_WRITER_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace onnx_wire {

using Strings = std::vector<std::string>;

// TensorProto.DataType
enum Type {
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kDouble = 11
};

inline std::string Varint(uint64_t v) {
  std::string s;
  for (; v > 0x7f; v >>= 7) s += static_cast<char>((v & 0x7f) | 0x80);
  return s + static_cast<char>(v);
}
inline std::string Int(int field, int64_t v) {
  return Varint(field << 3) + Varint(static_cast<uint64_t>(v));
}
inline std::string Bytes(int field, const std::string& s) {
  return Varint(field << 3 | 2) + Varint(s.size()) + s;
}
inline std::string Float(int field, float v) {
  return Varint(field << 3 | 5) + std::string(reinterpret_cast<const char*>(&v), 4);
}
template <typename T>
std::string Raw(const std::vector<T>& v) {
  return std::string(reinterpret_cast<const char*>(v.data()), v.size() * sizeof(T));
}
inline std::string PackedInts(int field, const std::vector<int64_t>& values) {
  std::string s;
  for (int64_t v : values) s += Varint(static_cast<uint64_t>(v));
  return Bytes(field, s);
}
inline std::string Many(int field, const Strings& items) {
  std::string s;
  for (const std::string& item : items) s += Bytes(field, item);
  return s;
}

// TensorProto: head, then one of the data fields (9 raw, 4 float, 5 int32, 7 int64, 10 double, 11
// uint64).
inline std::string TensorHead(const std::string& name, int type, const std::vector<int64_t>& dims) {
  std::string s;
  for (int64_t d : dims) s += Int(1, d);
  s += Int(2, type);
  return name.empty() ? s : s + Bytes(8, name);
}
template <typename T>
std::string Tensor(const std::string& name, int type, const std::vector<int64_t>& dims,
                   const std::vector<T>& values) {
  return TensorHead(name, type, dims) + Bytes(9, Raw(values));
}
inline std::string Entry(const std::string& key, const std::string& value) {
  return Bytes(1, key) + Bytes(2, value);
}
inline std::string ExternalTensor(const std::string& name, int type,
                                  const std::vector<int64_t>& dims, const Strings& entries) {
  return TensorHead(name, type, dims) + Many(13, entries) + Int(14, 1);
}

// AttributeProto
inline std::string AttrHead(const std::string& name, int type) {
  return Bytes(1, name) + Int(20, type);
}
inline std::string AttrInt(const std::string& name, int64_t v) {
  return AttrHead(name, 2) + Int(3, v);
}
inline std::string AttrFloat(const std::string& name, float v) {
  return AttrHead(name, 1) + Float(2, v);
}
inline std::string AttrString(const std::string& name, const std::string& v) {
  return AttrHead(name, 3) + Bytes(4, v);
}
inline std::string AttrTensor(const std::string& name, const std::string& t) {
  return AttrHead(name, 4) + Bytes(5, t);
}
inline std::string AttrGraph(const std::string& name, const std::string& g) {
  return AttrHead(name, 5) + Bytes(6, g);
}
inline std::string AttrInts(const std::string& name, const std::vector<int64_t>& v) {
  std::string s = AttrHead(name, 7);
  for (int64_t i : v) s += Int(8, i);
  return s;
}
inline std::string AttrFloats(const std::string& name, const std::vector<float>& v) {
  std::string s = AttrHead(name, 6);
  for (float f : v) s += Float(7, f);
  return s;
}
inline std::string AttrStrings(const std::string& name, const Strings& v) {
  return AttrHead(name, 8) + Many(9, v);
}
// A reference to attribute |of| of the enclosing function.
inline std::string AttrRef(const std::string& name, int type, const std::string& of) {
  return AttrHead(name, type) + Bytes(21, of);
}

inline std::string Node(const std::string& op, const Strings& inputs, const Strings& outputs,
                        const Strings& attributes = {}, const std::string& name = "",
                        const std::string& domain = "") {
  std::string s = Many(1, inputs) + Many(2, outputs);
  if (!name.empty()) s += Bytes(3, name);
  s += Bytes(4, op) + Many(5, attributes);
  return domain.empty() ? s : s + Bytes(7, domain);
}

// Extents: a number, a name, or "?" for one that is not given.
inline std::string TensorType(int type, const Strings& dims) {
  std::string shape;
  for (const std::string& d : dims) {
    bool number = !d.empty() && (isdigit(d[0]) || d[0] == '-');
    shape += Bytes(1, d == "?" ? "" : number ? Int(1, std::stoll(d)) : Bytes(2, d));
  }
  return Bytes(1, Int(1, type) + Bytes(2, shape));
}
inline std::string Value(const std::string& name, int type, const Strings& dims) {
  return Bytes(1, name) + Bytes(2, TensorType(type, dims));
}
inline std::string Named(const std::string& name) { return Bytes(1, name); }

struct GraphParts {
  Strings nodes, initializers, inputs, outputs;  // encoded
  Strings sparse;
  std::string name = "g";
};
inline std::string Graph(const GraphParts& p) {
  return Many(1, p.nodes) + Bytes(2, p.name) + Many(5, p.initializers) + Many(15, p.sparse) +
         Many(11, p.inputs) + Many(12, p.outputs);
}
inline std::string Opset(const std::string& domain, int64_t version) {
  return (domain.empty() ? "" : Bytes(1, domain)) + Int(2, version);
}
inline std::string Model(const std::string& graph, int64_t opset, const Strings& functions = {},
                         const Strings& more_opsets = {}) {
  return Int(1, 8) + Bytes(7, graph) + Bytes(8, Opset("", opset)) + Many(8, more_opsets) +
         Many(25, functions);
}
inline std::string Function(const std::string& domain, const std::string& name,
                            const Strings& inputs, const Strings& outputs, const Strings& nodes,
                            int64_t opset, const Strings& attributes = {},
                            const Strings& defaults = {}, const Strings& more_opsets = {}) {
  return Bytes(1, name) + Many(4, inputs) + Many(5, outputs) + Many(6, attributes) +
         Many(7, nodes) + Bytes(9, Opset("", opset)) + Many(9, more_opsets) + Bytes(10, domain) +
         Many(11, defaults);
}

}  // namespace onnx_wire

#endif  // TRIVET_TESTS_UNIT_PLUGINS_ONNX_ONNX_WIRE_WRITER_H_
