// SPDX-License-Identifier: Apache-2.0
//
// Runs one node of a standard operator on given operands and compares with given results: graph,
// inference, lowering, plain evaluator. Shared by the conformance tests of operators.
#ifndef TRIVET_TESTS_CONFORMANCE_OPS_OPS_HARNESS_H_
#define TRIVET_TESTS_CONFORMANCE_OPS_OPS_HARNESS_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "core/base/allocator.h"
#include "core/graph/graph.h"
#include "core/registry/registry.h"

extern "C" {
#include "plugins/ops_standard/ops_host.h"
const trivet_plugin_t* trivet_plugin_query(uint32_t, uint32_t);
}

namespace ops_test {

struct Tensor {
  bool present = false;
  uint32_t dtype = 0;
  std::vector<int64_t> dims;
  std::vector<uint8_t> bytes;
  trivet_tensor_t view() const {
    trivet_tensor_t t = {};
    if (!present) return t;
    t.dtype = dtype;
    t.rank = static_cast<uint32_t>(dims.size());
    std::copy(dims.begin(), dims.end(), t.dims);
    t.data = const_cast<uint8_t*>(bytes.data());
    t.size = bytes.size();
    return t;
  }
};

struct Attribute {
  std::string name;
  uint32_t kind = 0, list = 0;
  std::vector<int64_t> ints;
  std::vector<double> floats;
  std::vector<uint32_t> dtypes;
  std::vector<std::string> strings;
  std::vector<trivet_string_view_t> views;
  std::vector<Tensor> tensors;
  std::vector<trivet_tensor_t> tensor_views;
};

struct Case {
  std::string name, op;
  double rtol = 0, atol = 0;
  std::vector<Attribute> attributes;
  std::vector<Tensor> inputs, outputs;
};

inline std::string take_message(trivet_status_t status) {
  std::string message = trivet_status_message(status);
  trivet_status_free(status);
  return message;
}

inline std::string compare(const Case& c, const Tensor& want, const trivet_tensor_t& got) {
  char text[256];
  if (got.dtype != want.dtype)
    return std::string("type is ") + trivet_dtype_name(got.dtype) + ", want " +
           trivet_dtype_name(want.dtype);
  if (got.rank != want.dims.size() || !std::equal(want.dims.begin(), want.dims.end(), got.dims)) {
    std::string s = "shape is [";
    for (uint32_t i = 0; i < got.rank; ++i) s += std::to_string(got.dims[i]) + " ";
    s += "], want [";
    for (int64_t d : want.dims) s += std::to_string(d) + " ";
    return s + "]";
  }
  trivet_tensor_t w = want.view();
  int64_t count = tvi_ops_count(&w), bad = 0;
  std::string first;
  // Two units in the last place of a bfloat16, as the suite that the cases come from has it.
  double rtol = w.dtype == TRIVET_DTYPE_BF16 ? std::max(c.rtol, 0x1p-6) : c.rtol;
  bool is_float = ops_is_float(w.dtype) || ops_is_small_float(w.dtype);
  for (int64_t i = 0; i < count; ++i) {
    double a = is_float ? tvi_ops_get_f64(&got, i) : static_cast<double>(tvi_ops_get_i64(&got, i));
    double b = is_float ? tvi_ops_get_f64(&w, i) : static_cast<double>(tvi_ops_get_i64(&w, i));
    bool same = is_float ? (std::isnan(a) && std::isnan(b)) || a == b ||
                               std::fabs(a - b) <= c.atol + rtol * std::fabs(b)
                         : tvi_ops_get_i64(&got, i) == tvi_ops_get_i64(&w, i);
    if (same) continue;
    if (!bad++) {
      snprintf(text, sizeof text, "element %lld is %.9g, want %.9g", static_cast<long long>(i), a,
               b);
      first = text;
    }
  }
  if (!bad) return "";
  snprintf(text, sizeof text, " (%lld of %lld differ)", static_cast<long long>(bad),
           static_cast<long long>(count));
  return first + text;
}

class OpsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    tvi_registry_options_t options = {};
    options.halves = TRIVET_HALF_BUILD;
    options.operator_parser = tvi_graph_operator_parser();
    ASSERT_EQ(tvi_registry_create(&options, trivet_allocator_system(), &registry_), nullptr);
    trivet_status_t status = tvi_registry_add(registry_, trivet_plugin_query, "ops_standard");
    ASSERT_EQ(status, nullptr) << trivet_status_message(status);
  }
  void TearDown() override { tvi_registry_destroy(registry_); }

  // Whether an operand's contents decide shapes or structure: it stays a constant in the symbolic
  // run.
  static bool is_shape_operand(const Tensor& t) {
    size_t count = 1;
    for (int64_t d : t.dims) count *= static_cast<size_t>(d);
    return t.dtype == TRIVET_DTYPE_I64 || t.dtype == TRIVET_DTYPE_I32 ||
           (t.dims.size() <= 1 && count <= 8);
  }

  // "" if the case holds; else what went wrong. |symbolic|: extents of operands are symbols.
  std::string run(const Case& c, bool symbolic, bool* out_unsupported) {
    *out_unsupported = false;
    std::string op = "std." + c.op;
    if (!tvi_registry_operator(registry_, op.c_str(), 0)) {
      *out_unsupported = true;
      return "no such operator";
    }
    trivet_graph_t* graph = nullptr;
    trivet_status_t status = tvi_graph_create(registry_, trivet_allocator_system(), &graph);
    if (status) return take_message(status);
    std::string problem = run_in(graph, c, op, symbolic, out_unsupported);
    tvi_graph_destroy(graph);
    return problem;
  }

  std::string run_in(trivet_graph_t* graph, const Case& c, const std::string& op, bool symbolic,
                     bool* out_unsupported) {
    std::vector<trivet_tensor_t> inputs;
    std::vector<tvi_value_id_t> values;
    for (size_t i = 0; i < c.inputs.size(); ++i) {
      const Tensor& t = c.inputs[i];
      inputs.push_back(t.view());
      tvi_value_id_t id = 0;
      std::string name = "x" + std::to_string(i);
      if (t.present && symbolic && !is_shape_operand(t)) {
        trivet_type_t type = {};
        type.dtype = t.dtype;
        type.rank = static_cast<uint32_t>(t.dims.size());
        for (uint32_t d = 0; d < type.rank; ++d) {
          // Equal extents share a symbol, so that what must agree does; 1 stays a number, as it
          // broadcasts.
          std::string symbol = "n" + std::to_string(t.dims[d]);
          type.dims[d] = t.dims[d] <= 2
                             ? tvi_dim_constant(graph->dims, t.dims[d])
                             : tvi_dim_symbol(graph->dims, {symbol.data(), symbol.size()});
        }
        trivet_status_t status = tvi_graph_add_input(graph, {name.data(), name.size()}, &type, &id);
        if (status) return "input: " + take_message(status);
      } else if (t.present) {
        trivet_status_t status =
            tvi_graph_add_constant(graph, {name.data(), name.size()}, &inputs.back(), false, &id);
        if (status) return "constant: " + take_message(status);
      }
      values.push_back(id);
    }
    std::vector<trivet_attribute_t> attributes;
    for (const Attribute& a : c.attributes) {
      trivet_attribute_t out = {};
      out.name = a.name.c_str();
      out.kind = a.kind;
      out.flags = a.list ? TRIVET_ATTR_LIST : 0;
      out.count = a.ints.size() + a.floats.size() + a.dtypes.size() + a.views.size() +
                  a.tensor_views.size();
      out.data = !a.ints.empty()     ? static_cast<const void*>(a.ints.data())
                 : !a.floats.empty() ? static_cast<const void*>(a.floats.data())
                 : !a.dtypes.empty() ? static_cast<const void*>(a.dtypes.data())
                 : !a.views.empty()  ? static_cast<const void*>(a.views.data())
                                     : static_cast<const void*>(a.tensor_views.data());
      attributes.push_back(out);
    }
    std::vector<uint8_t> wanted;
    for (const Tensor& t : c.outputs) wanted.push_back(t.present);
    tvi_node_desc_t desc = {};
    desc.op = op.c_str();
    desc.inputs = values.data();
    desc.input_count = static_cast<uint32_t>(values.size());
    desc.attributes = attributes.data();
    desc.attribute_count = static_cast<uint32_t>(attributes.size());
    desc.output_count = static_cast<uint32_t>(c.outputs.size());
    desc.output_wanted = wanted.data();
    tvi_node_id_t node = 0;
    trivet_status_t status = tvi_graph_add_node(graph, &desc, &node);
    if (status) {
      *out_unsupported = trivet_status_code(status) == TRIVET_STATUS_UNIMPLEMENTED;
      return "infer: " + take_message(status);
    }
    std::vector<trivet_tensor_t> outputs(c.outputs.size());
    status = tvi_graph_evaluate_plain(graph, node, inputs.data(), trivet_allocator_system(),
                                      outputs.data());
    if (status) {
      *out_unsupported = trivet_status_code(status) == TRIVET_STATUS_UNIMPLEMENTED;
      return "evaluate: " + take_message(status);
    }
    std::string problem;
    trivet_allocator_t allocator = trivet_allocator_system();
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (c.outputs[i].present && problem.empty()) {
        problem = compare(c, c.outputs[i], outputs[i]);
        if (!problem.empty()) problem = "output " + std::to_string(i) + ": " + problem;
      }
      if (outputs[i].data) tvi_free(allocator, outputs[i].data, outputs[i].size);
    }
    return problem;
  }

  tvi_registry_t* registry_ = nullptr;
};

}  // namespace ops_test

#endif  // TRIVET_TESTS_CONFORMANCE_OPS_OPS_HARNESS_H_
