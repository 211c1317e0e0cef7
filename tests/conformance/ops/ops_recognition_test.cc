// SPDX-License-Identifier: Apache-2.0
//
// The statements of convolutions, matrix products and pools are written so that the recognisers
// find them: geometry, groups and roles, with known and with symbolic extents. A change of wording
// that hides one from the library kernels fails here.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/arena.h"
#include "core/kernel_ir/contraction.h"
#include "tests/conformance/ops/ops_harness.h"

namespace {

using ops_test::Attribute;

struct Operand {
  uint32_t dtype;
  std::vector<int64_t> dims;  // -1, -2, ...: symbols
};

Attribute list(const char* name, std::vector<int64_t> values) {
  Attribute a;
  a.name = name;
  a.kind = TRIVET_ATTR_I64;
  a.list = 1;
  a.ints = std::move(values);
  return a;
}
Attribute number(const char* name, int64_t value) {
  Attribute a = list(name, {value});
  a.list = 0;
  return a;
}
Attribute text(const char* name, const char* value) {
  Attribute a;
  a.name = name;
  a.kind = TRIVET_ATTR_STRING;
  a.strings = {value};
  return a;
}

constexpr uint32_t kF32 = TRIVET_DTYPE_F32;

class OpsRecognition : public ops_test::OpsTest {
 protected:
  void SetUp() override {
    ops_test::OpsTest::SetUp();
    tvi_arena_init(&arena_, trivet_allocator_system(), 0);
    ASSERT_EQ(tvi_graph_create(registry_, trivet_allocator_system(), &graph_), nullptr);
  }
  void TearDown() override {
    tvi_arena_deinit(&arena_);
    tvi_graph_destroy(graph_);
    ops_test::OpsTest::TearDown();
  }

  // The program of one node; NULL and a failure if there is none.
  tvi_kir_program_t* program(const char* op, const std::vector<Operand>& operands,
                             const std::vector<Attribute>& attributes, uint32_t outputs = 1) {
    std::vector<tvi_value_id_t> values;
    for (size_t i = 0; i < operands.size(); ++i) {
      tvi_value_id_t id = 0;
      if (operands[i].dtype) {
        trivet_type_t type = {};
        type.dtype = operands[i].dtype;
        type.rank = static_cast<uint32_t>(operands[i].dims.size());
        for (uint32_t d = 0; d < type.rank; ++d) {
          int64_t extent = operands[i].dims[d];
          std::string name = "s" + std::to_string(-extent);
          type.dims[d] = extent < 0 ? tvi_dim_symbol(graph_->dims, {name.data(), name.size()})
                                    : tvi_dim_constant(graph_->dims, extent);
        }
        std::string name = "x" + std::to_string(inputs_++);
        EXPECT_EQ(tvi_graph_add_input(graph_, {name.data(), name.size()}, &type, &id), nullptr);
      }
      values.push_back(id);
    }
    std::vector<trivet_attribute_t> list;
    for (const Attribute& a : attributes) {
      trivet_attribute_t out = {};
      out.name = a.name.c_str();
      out.kind = a.kind;
      out.flags = a.list ? TRIVET_ATTR_LIST : 0;
      std::vector<trivet_string_view_t>& views = views_.emplace_back();
      for (const std::string& s : a.strings) views.push_back({s.data(), s.size()});
      out.count = a.ints.size() + views.size();
      out.data = a.ints.empty() ? static_cast<const void*>(views.data()) : a.ints.data();
      list.push_back(out);
    }
    tvi_node_desc_t desc = {};
    desc.op = op;
    desc.inputs = values.data();
    desc.input_count = static_cast<uint32_t>(values.size());
    desc.attributes = list.data();
    desc.attribute_count = static_cast<uint32_t>(list.size());
    desc.output_count = outputs;
    tvi_node_id_t node = 0;
    trivet_status_t status = tvi_graph_add_node(graph_, &desc, &node);
    tvi_kir_program_t* result = nullptr;
    if (!status) status = tvi_graph_node_program(graph_, node, &arena_, &result);
    EXPECT_EQ(status, nullptr) << op << ": " << trivet_status_message(status);
    trivet_status_free(status);
    return result;
  }

  // How many stages each recogniser takes; the last match is kept.
  void count(const tvi_kir_program_t* p, int* matmuls, int* convolutions, int* pools) {
    *matmuls = *convolutions = *pools = 0;
    for (uint32_t i = 0; p && i < p->stage_count; ++i) {
      *matmuls += tvi_kir_match_matmul(p, i, &matmul_, &reason_);
      *convolutions += tvi_kir_match_convolution(p, i, &convolution_, &reason_);
      *pools += tvi_kir_match_pool(p, i, &pool_, &reason_);
    }
  }
  void expect_convolution(const char* op, const std::vector<Operand>& operands,
                          const std::vector<Attribute>& attributes, int64_t groups,
                          std::vector<int64_t> strides, std::vector<int64_t> dilations,
                          std::vector<int64_t> pads) {
    int matmuls, convolutions, pools;
    count(program(op, operands, attributes), &matmuls, &convolutions, &pools);
    ASSERT_EQ(convolutions, 1) << op << ": " << (reason_ ? reason_ : "");
    EXPECT_EQ(convolution_.spatial_rank, strides.size());
    EXPECT_TRUE(tvi_dim_equals_constant(convolution_.groups, groups)) << op;
    for (size_t i = 0; i < strides.size(); ++i) {
      EXPECT_EQ(convolution_.strides[i], strides[i]);
      EXPECT_EQ(convolution_.dilations[i], dilations[i]);
      EXPECT_TRUE(tvi_dim_equals_constant(convolution_.pads[i], pads[i])) << op << " axis " << i;
    }
  }
  void expect_matmuls(const char* op, const std::vector<Operand>& operands,
                      const std::vector<Attribute>& attributes, int wanted) {
    int matmuls, convolutions, pools;
    count(program(op, operands, attributes), &matmuls, &convolutions, &pools);
    EXPECT_EQ(matmuls, wanted) << op << ": " << (reason_ ? reason_ : "");
  }
  void expect_pool(const char* op, const std::vector<Operand>& operands,
                   const std::vector<Attribute>& attributes) {
    int matmuls, convolutions, pools;
    count(program(op, operands, attributes), &matmuls, &convolutions, &pools);
    EXPECT_EQ(pools, 1) << op << ": " << (reason_ ? reason_ : "");
  }

  trivet_graph_t* graph_ = nullptr;
  tvi_arena_t arena_ = {};
  std::vector<std::vector<trivet_string_view_t>> views_;
  tvi_kir_matmul_t matmul_ = {};
  tvi_kir_convolution_t convolution_ = {};
  tvi_kir_pool_t pool_ = {};
  const char* reason_ = nullptr;
  int inputs_ = 0;
};

TEST_F(OpsRecognition, Convolutions) {
  for (int64_t batch : {2, -1}) {
    for (int64_t extent : {15, -1}) {
      Operand x = {kF32, {batch, 6, extent, extent}};
      expect_convolution("std.Conv", {x, {kF32, {8, 6, 3, 3}}, {kF32, {8}}},
                         {list("pads", {1, 1, 1, 1})}, 1, {1, 1}, {1, 1}, {1, 1});
      expect_convolution("std.Conv", {x, {kF32, {8, 6, 1, 1}}}, {}, 1, {1, 1}, {1, 1}, {0, 0});
      expect_convolution("std.Conv", {x, {kF32, {9, 2, 3, 5}}, {kF32, {9}}},
                         {list("pads", {0, 2, 1, 2}), list("strides", {2, 1}),
                          list("dilations", {1, 2}), number("group", 3)},
                         3, {2, 1}, {1, 2}, {0, 2});
      expect_convolution("std.Conv", {x, {kF32, {6, 1, 3, 3}}},
                         {list("pads", {1, 1, 1, 1}), number("group", 6)}, 6, {1, 1}, {1, 1},
                         {1, 1});
      expect_convolution("std.ConvTranspose", {x, {kF32, {6, 4, 2, 2}}}, {list("strides", {2, 2})},
                         1, {2, 2}, {1, 1}, {0, 0});
      EXPECT_TRUE(convolution_.transposed);
    }
  }
  expect_convolution("std.Conv", {{kF32, {1, 3, 32}}, {kF32, {4, 3, 5}}}, {list("strides", {2})}, 1,
                     {2}, {1}, {0});
  expect_convolution("std.Conv",
                     {{TRIVET_DTYPE_F16, {1, 3, 8, 8}}, {TRIVET_DTYPE_F16, {4, 3, 3, 3}}}, {}, 1,
                     {1, 1}, {1, 1}, {0, 0});
  expect_convolution("std.ConvInteger",
                     {{TRIVET_DTYPE_U8, {1, 3, 8, 8}}, {TRIVET_DTYPE_I8, {4, 3, 3, 3}}}, {}, 1,
                     {1, 1}, {1, 1}, {0, 0});
}

TEST_F(OpsRecognition, MatrixProducts) {
  expect_matmuls("std.MatMul", {{kF32, {5, 6}}, {kF32, {6, 7}}}, {}, 1);
  expect_matmuls("std.MatMul", {{kF32, {-1, -1, 64}}, {kF32, {64, 32}}}, {}, 1);
  expect_matmuls("std.MatMul", {{kF32, {-1, 12, -2, 64}}, {kF32, {-1, 12, 64, -3}}}, {}, 1);
  expect_matmuls("std.MatMul", {{TRIVET_DTYPE_BF16, {5, 6}}, {TRIVET_DTYPE_BF16, {6, 7}}}, {}, 1);
  expect_matmuls("std.Gemm", {{kF32, {-1, 6}}, {kF32, {7, 6}}, {kF32, {7}}}, {number("transB", 1)},
                 1);
  expect_matmuls("std.Gemm", {{kF32, {6, 5}}, {kF32, {6, 7}}}, {number("transA", 1)}, 1);
  expect_matmuls("std.Einsum", {{kF32, {2, 5, 6}}, {kF32, {2, 6, 7}}},
                 {text("equation", "bij,bjk->bik")}, 1);
  expect_matmuls("std.MatMulInteger", {{TRIVET_DTYPE_U8, {5, 6}}, {TRIVET_DTYPE_I8, {6, 7}}}, {},
                 1);
  expect_matmuls("std.Attention",
                 {{kF32, {2, 4, 9, 16}}, {kF32, {2, 4, 11, 16}}, {kF32, {2, 4, 11, 8}}}, {}, 2);
}

TEST_F(OpsRecognition, Pools) {
  for (int64_t extent : {15, -1}) {
    Operand x = {kF32, {-1, 6, extent, extent}};
    std::vector<Attribute> a = {list("kernel_shape", {3, 3}), list("strides", {2, 2}),
                                list("pads", {1, 1, 1, 1})};
    expect_pool("std.MaxPool", {x}, a);
    EXPECT_EQ(pool_.kind, TVI_KIR_POOL_MAX);
    expect_pool("std.AveragePool", {x}, a);
    EXPECT_EQ(pool_.kind, TVI_KIR_POOL_SUM);
    EXPECT_EQ(pool_.strides[1], 2);
  }
}

// A limit that the model computes from constants is known to the operator although nothing was
// folded.
TEST_F(OpsRecognition, SmallConstantsAreComputedWhereTheyDecideShapes) {
  int64_t five = 5;
  float zero = 0.0f, one = 1.0f;
  trivet_tensor_t scalars[3] = {};
  scalars[0].dtype = TRIVET_DTYPE_I64, scalars[0].data = &five, scalars[0].size = sizeof five;
  scalars[1].dtype = kF32, scalars[1].data = &zero, scalars[1].size = sizeof zero;
  scalars[2].dtype = kF32, scalars[2].data = &one, scalars[2].size = sizeof one;
  tvi_value_id_t values[3] = {};
  for (int i = 0; i < 3; ++i) {
    std::string name = "c" + std::to_string(i);
    ASSERT_EQ(
        tvi_graph_add_constant(graph_, {name.data(), name.size()}, &scalars[i], true, &values[i]),
        nullptr);
  }
  uint32_t to = kF32;
  trivet_attribute_t attribute = {};
  attribute.name = "to";
  attribute.kind = TRIVET_ATTR_DTYPE;
  attribute.count = 1;
  attribute.data = &to;
  tvi_node_desc_t cast = {};
  cast.op = "std.Cast";
  cast.inputs = values;
  cast.input_count = 1;
  cast.attributes = &attribute;
  cast.attribute_count = 1;
  cast.output_count = 1;
  tvi_node_id_t node = 0;
  ASSERT_EQ(tvi_graph_add_node(graph_, &cast, &node), nullptr);
  tvi_value_id_t operands[3] = {values[1], tvi_graph_node(graph_, node)->outputs[0], values[2]};
  tvi_node_desc_t range = {};
  range.op = "std.Range";
  range.inputs = operands;
  range.input_count = 3;
  range.output_count = 1;
  trivet_status_t status = tvi_graph_add_node(graph_, &range, &node);
  ASSERT_EQ(status, nullptr) << trivet_status_message(status);
  const trivet_type_t& type =
      tvi_graph_value(graph_, tvi_graph_node(graph_, node)->outputs[0])->type;
  EXPECT_TRUE(tvi_dim_equals_constant(type.dims[0], 5));
}

}  // namespace
