// SPDX-License-Identifier: Apache-2.0
//
// Standard operators against results that numpy computed: the node tests of the onnx package,
// turned into one file by make_cases.py. Every case runs twice through graph, lowering and plain
// evaluator: with constant operands, and with operands whose extents are symbols. Needs
// TRIVET_OPS_CASES to name the file; TRIVET_OPS_FILTER picks cases by a part of their name,
// TRIVET_OPS_VERBOSE lists failures.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <map>

#include "tests/conformance/ops/ops_harness.h"

namespace {

using ops_test::Attribute;
using ops_test::Case;
using ops_test::Tensor;

class Reader {
 public:
  explicit Reader(std::vector<uint8_t> bytes) : bytes_(std::move(bytes)) {}
  template <typename T>
  T read() {
    T value{};
    take(&value, sizeof value);
    return value;
  }
  void take(void* to, size_t size) {
    ASSERT_LE(at_ + size, bytes_.size());
    if (size) memcpy(to, bytes_.data() + at_, size);
    at_ += size;
  }
  std::string text() {
    std::string s(read<uint64_t>(), '\0');
    take(s.data(), s.size());
    return s;
  }
  Tensor tensor() {
    Tensor t;
    t.present = true;
    t.dtype = read<uint32_t>();
    t.dims.resize(read<uint32_t>());
    for (int64_t& d : t.dims) d = read<int64_t>();
    t.bytes.resize(read<uint64_t>());
    take(t.bytes.data(), t.bytes.size());
    return t;
  }
  Attribute attribute() {
    Attribute a;
    a.name = text();
    a.kind = read<uint32_t>();
    a.list = read<uint32_t>();
    uint64_t count = read<uint64_t>();
    for (uint64_t i = 0; i < count; ++i) {
      if (a.kind == TRIVET_ATTR_I64) a.ints.push_back(read<int64_t>());
      if (a.kind == TRIVET_ATTR_F32) a.floats.push_back(read<double>());
      if (a.kind == TRIVET_ATTR_DTYPE) a.dtypes.push_back(read<uint32_t>());
      if (a.kind == TRIVET_ATTR_STRING) a.strings.push_back(text());
      if (a.kind == TRIVET_ATTR_TENSOR) a.tensors.push_back(tensor());
    }
    for (const std::string& s : a.strings) a.views.push_back({s.data(), s.size()});
    for (const Tensor& t : a.tensors) a.tensor_views.push_back(t.view());
    return a;
  }

 private:
  std::vector<uint8_t> bytes_;
  size_t at_ = 0;
};

std::vector<Case> read_cases(const char* path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<uint8_t> bytes((std::istreambuf_iterator<char>(file)),
                             std::istreambuf_iterator<char>());
  Reader reader(std::move(bytes));
  char magic[9] = {};
  reader.take(magic, 8);
  EXPECT_STREQ(magic, "TVOPS001");
  std::vector<Case> cases(reader.read<uint32_t>());
  for (Case& c : cases) {
    c.name = reader.text();
    c.op = reader.text();
    c.rtol = reader.read<double>();
    c.atol = reader.read<double>();
    // Where a transform is exactly 0, numpy's f32 arithmetic leaves a rounding error of the others.
    if (c.op == "DFT") c.atol = std::max(c.atol, 1e-6);
    uint32_t attributes = reader.read<uint32_t>();
    for (uint32_t i = 0; i < attributes; ++i) c.attributes.push_back(reader.attribute());
    for (std::vector<Tensor>* side : {&c.inputs, &c.outputs}) {
      side->resize(reader.read<uint32_t>());
      for (Tensor& t : *side) {
        if (reader.read<uint8_t>()) t = reader.tensor();
      }
    }
  }
  return cases;
}

// What numpy drew at random cannot be drawn again.
bool is_random(const std::string& op) { return op == "Bernoulli"; }

using OpsConformance = ops_test::OpsTest;

TEST_F(OpsConformance, NodeTests) {
  const char* path = getenv("TRIVET_OPS_CASES");
  if (!path)
    GTEST_SKIP() << "TRIVET_OPS_CASES does not name a file of cases "
                    "(tests/conformance/ops/make_cases.py makes one)";
  const char* filter = getenv("TRIVET_OPS_FILTER");
  std::vector<Case> cases = read_cases(path);
  ASSERT_FALSE(cases.empty());
  for (bool symbolic : {false, true}) {
    int passed = 0, failed = 0, unsupported = 0;
    std::map<std::string, int> by_op;
    for (const Case& c : cases) {
      if (filter && c.name.find(filter) == std::string::npos) continue;
      if (is_random(c.op)) continue;
      bool not_there = false;
      std::string problem = run(c, symbolic, &not_there);
      if (problem.empty()) {
        ++passed;
        continue;
      }
      ++(not_there ? unsupported : failed);
      printf("%s %s %s: %s\n", symbolic ? "symbolic" : "static",
             not_there ? "unsupported" : "FAILED", c.name.c_str(), problem.c_str());
      if (!not_there) ++by_op[c.op];
    }
    printf("%s extents: %d passed, %d failed, %d unsupported\n", symbolic ? "symbolic" : "static",
           passed, failed, unsupported);
    for (const auto& [op, count] : by_op) printf("  %s %d\n", op.c_str(), count);
    EXPECT_EQ(failed, 0);
    EXPECT_GT(passed, 0);
  }
}

}  // namespace
