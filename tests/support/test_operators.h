// SPDX-License-Identifier: Apache-2.0
//
// A handful of operators in all forms of meaning, and helpers that make graphs of them from text:
// for tests of graph and passes, which must not depend on the operators of the product.
#ifndef TRIVET_TESTS_SUPPORT_TEST_OPERATORS_H_
#define TRIVET_TESTS_SUPPORT_TEST_OPERATORS_H_

#include <gtest/gtest.h>

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/base/allocator.h"
#include "core/graph/graph.h"
#include "core/graph/graph_text.h"
#include "core/pass/pass.h"
#include "core/registry/registry.h"
#include "trivet/plugin.h"

namespace trivet_test {

inline std::string Take(trivet_status_t status) {
  std::string text = status == nullptr ? "OK" : trivet_status_message(status);
  trivet_status_free(status);
  return text;
}

inline trivet_string_view_t View(const std::string& text) {
  return trivet_string_view_t{text.data(), text.size()};
}
inline trivet_string_view_t View(const char* text) {
  return trivet_string_view_t{text, strlen(text)};
}
trivet_string_view_t View(std::string&& text) = delete;

// Shape: contents of the result are the extents of the operand.
inline trivet_status_t InferShape(const trivet_operator_t*, trivet_node_view_t* view) {
  const trivet_type_t* x = view->api->input_type(view, 0);
  trivet_dim_t count = view->api->dim_constant(view, x->rank);
  trivet_status_t status = view->api->set_output(view, 0, TRIVET_DTYPE_I64, 1, &count);
  if (status != nullptr) return status;
  return view->api->set_output_ints(view, 0, x->dims, x->rank);
}

inline trivet_status_t LowerShape(const trivet_operator_t*, trivet_node_view_t* view) {
  const trivet_type_t* x = view->api->input_type(view, 0);
  std::string text = "y[i] = ";
  for (uint32_t d = 0; d + 1 < x->rank; ++d) {
    text += "i == " + std::to_string(d) + " ? x." + std::to_string(d) + " : ";
  }
  text += x->rank != 0 ? "x." + std::to_string(x->rank - 1) : "0";
  return view->api->emit(view, "%s\n", text.c_str());
}

// Fill: a tensor whose shape is the contents of the operand.
inline trivet_status_t InferFill(const trivet_operator_t*, trivet_node_view_t* view) {
  uint64_t count = 0;
  const trivet_dim_t* dims = view->api->input_ints(view, 0, &count);
  if (dims == nullptr) {
    return view->api->error(view, TRIVET_STATUS_INVALID_ARGUMENT, "the shape is not known");
  }
  return view->api->set_output(view, 0, TRIVET_DTYPE_F32, static_cast<uint32_t>(count), dims);
}

inline trivet_status_t LowerFill(const trivet_operator_t*, trivet_node_view_t* view) {
  const trivet_type_t* y = view->api->output_type(view, 0);
  std::string text = "y";
  for (uint32_t d = 0; d < y->rank; ++d) text += (d == 0 ? "[i" : ", i") + std::to_string(d);
  text += y->rank != 0 ? "] = value" : " = value";
  return view->api->emit(view, "%s\n", text.c_str());
}

// Positive: the elements above zero, in order; a data-dependent size.
inline trivet_status_t InferPositive(const trivet_operator_t*, trivet_node_view_t* view) {
  const trivet_type_t* x = view->api->input_type(view, 0);
  trivet_dim_t size = view->api->dim_data_dependent(view, "positive", x->dims[0]);
  return view->api->set_output(view, 0, x->dtype, 1, &size);
}

inline trivet_status_t EvaluatePositive(const trivet_operator_t*, trivet_evaluation_t* e) {
  const trivet_tensor_t* x = e->api->input(e, 0);
  const float* data = static_cast<const float*>(x->data);
  std::vector<float> kept;
  for (int64_t i = 0; i < x->dims[0]; ++i) {
    if (data[i] > 0) kept.push_back(data[i]);
  }
  trivet_tensor_t* y = nullptr;
  int64_t dims[1] = {static_cast<int64_t>(kept.size())};
  trivet_status_t status = e->api->output(e, 0, TRIVET_DTYPE_F32, 1, dims, &y);
  if (status != nullptr || y == nullptr) return status;
  for (size_t i = 0; i < kept.size(); ++i) static_cast<float*>(y->data)[i] = kept[i];
  return nullptr;
}

inline const trivet_plugin_t* TestOperators(uint32_t, uint32_t) {
#define TEST_OPERATOR(variable, name, flags, text, infer, lower, evaluate) \
  static const trivet_operator_t variable = {                              \
      TRIVET_HEADER(trivet_operator_t, TRIVET_STRUCT_OPERATOR),            \
      name,                                                                \
      text,                                                                \
      "for tests",                                                         \
      1,                                                                   \
      flags,                                                               \
      nullptr,                                                             \
      infer,                                                               \
      lower,                                                               \
      evaluate}
#define TEST_BINARY(op, body) \
  "op test." op               \
  "/1 (a: T[bcast D...], b: T[bcast D...]) -> (y: T[D...]) where T: numeric\ny[i...] = " body "\n"
  TEST_OPERATOR(add, "test.Add", TRIVET_OPERATOR_COMMUTATIVE,
                TEST_BINARY("Add", "a[i...] + b[i...]"), nullptr, nullptr, nullptr);
  TEST_OPERATOR(mul, "test.Mul", TRIVET_OPERATOR_COMMUTATIVE,
                TEST_BINARY("Mul", "a[i...] * b[i...]"), nullptr, nullptr, nullptr);
  TEST_OPERATOR(sub, "test.Sub", 0, TEST_BINARY("Sub", "a[i...] - b[i...]"), nullptr, nullptr,
                nullptr);
  TEST_OPERATOR(relu, "test.Relu", 0,
                "op test.Relu/1 (x: f32[D...]) -> (y: f32[D...])\ny[i...] = max(x[i...], 0.0)\n",
                nullptr, nullptr, nullptr);
  TEST_OPERATOR(sigmoid, "test.Sigmoid", 0,
                "op test.Sigmoid/1 (x: f32[D...]) -> (y: f32[D...])\ny[i...] = sigmoid(x[i...])\n",
                nullptr, nullptr, nullptr);
  TEST_OPERATOR(scale, "test.Scale", 0,
                "op test.Scale/1 (x: f32[D...]) -> (y: f32[D...])\nattr factor: f32 = 2.0\n"
                "attr times?: i64\nattr axes?: i64[]\nattr name: string = \"s\"\n"
                "y[i...] = x[i...] * factor\n",
                nullptr, nullptr, nullptr);
  TEST_OPERATOR(concat, "test.Pair", 0,
                "op test.Pair/1 (a: T[N], b: T[M]) -> (y: T[N + M]) where T: any\n"
                "y[i] = i < N ? a[min(i, N - 1)] : b[max(i - N, 0)]\n",
                nullptr, nullptr, nullptr);
  TEST_OPERATOR(pick, "test.Pick", 0,
                "op test.Pick/1 (x: T[N], at: i64[M]) -> (y: T[M]) where T: any\n"
                "y[i] = x[at[i]; wrap]\n",
                nullptr, nullptr, nullptr);
  TEST_OPERATOR(both, "test.Both", 0,
                "op test.Both/1 (x: f32[N]) -> (y: f32[N], z?: f32[N])\n"
                "y[i] = x[i] + 1.0\nz[i] = x[i] - 1.0\n",
                nullptr, nullptr, nullptr);
  TEST_OPERATOR(shape, "test.Shape", 0, "op test.Shape/1 (x: T[*]) -> (y: i64[*]) where T: any\n",
                InferShape, LowerShape, nullptr);
  TEST_OPERATOR(fill, "test.Fill", 0,
                "op test.Fill/1 (shape: i64[N]) -> (y: f32[*])\nattr value: f32 = 0.0\n", InferFill,
                LowerFill, nullptr);
  TEST_OPERATOR(positive, "test.Positive", 0, "op test.Positive/1 (x: f32[N]) -> (y: f32[*])\n",
                InferPositive, nullptr, EvaluatePositive);
  TEST_OPERATOR(swish, "test.Swish", 0,
                "op test.Swish/1 (x: f32[D...]) -> (y: f32[D...])\nattr factor: f32 = 1.0\n"
                "graph {\n  %s = test.Sigmoid(%x)\n  %m = test.Mul(%x, %s)\n"
                "  %y = test.Scale(%m) { factor = factor }\n}\n",
                nullptr, nullptr, nullptr);
  TEST_OPERATOR(endless, "test.Endless", 0,
                "op test.Endless/1 (x: f32[D...]) -> (y: f32[D...])\n"
                "graph {\n  %y = test.Endless(%x)\n}\n",
                nullptr, nullptr, nullptr);
  TEST_OPERATOR(random, "test.Random", TRIVET_OPERATOR_IMPURE,
                "op test.Random/1 (x: f32[D...]) -> (y: f32[D...])\ny[i...] = x[i...]\n", nullptr,
                nullptr, nullptr);
#undef TEST_OPERATOR
#undef TEST_BINARY
  static const void* const definitions[] = {&add,   &mul,      &sub,   &relu,    &sigmoid,
                                            &scale, &concat,   &pick,  &both,    &shape,
                                            &fill,  &positive, &swish, &endless, &random};
  static const trivet_plugin_t plugin = {TRIVET_HEADER(trivet_plugin_t, TRIVET_STRUCT_PLUGIN),
                                         TRIVET_ABI_MAJOR,
                                         TRIVET_ABI_MINOR,
                                         TRIVET_SANITIZER,
                                         TRIVET_HALF_BUILD,
                                         "test",
                                         "1",
                                         "for tests",
                                         definitions,
                                         sizeof(definitions) / sizeof(definitions[0])};
  return &plugin;
}

// A registry of the core operators and the test operators.
inline trivet_status_t MakeRegistry(trivet_allocator_t allocator, tvi_registry_t** out_registry) {
  tvi_registry_options_t options = {TRIVET_HALF_BUILD, 0, tvi_pass_text_parser()};
  tvi_registry_t* registry = nullptr;
  trivet_status_t status = tvi_registry_create(&options, allocator, &registry);
  if (status != nullptr) return status;
  status = tvi_registry_add(registry, tvi_graph_core_operators, nullptr);
  if (status == nullptr) status = tvi_registry_add(registry, TestOperators, nullptr);
  if (status != nullptr) {
    tvi_registry_destroy(registry);
    return status;
  }
  *out_registry = registry;
  return nullptr;
}

class GraphTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string message = Take(MakeRegistry(trivet_allocator_system(), &registry_));
    if (message != "OK") throw std::runtime_error(message);
  }
  void TearDown() override {
    for (trivet_graph_t* graph : graphs_) tvi_graph_destroy(graph);
    tvi_registry_destroy(registry_);
  }

  trivet_graph_t* NewGraph() {
    trivet_graph_t* graph = nullptr;
    EXPECT_EQ(Take(tvi_graph_create(registry_, trivet_allocator_system(), &graph)), "OK");
    graphs_.push_back(graph);
    return graph;
  }

  // NULL and a failure when the text is wrong.
  trivet_graph_t* Parse(const std::string& text) {
    trivet_graph_t* graph = nullptr;
    std::string message =
        Take(tvi_graph_parse(registry_, View(text), trivet_allocator_system(), &graph));
    EXPECT_EQ(message, "OK") << text;
    if (graph == nullptr) return nullptr;
    graphs_.push_back(graph);
    EXPECT_EQ(Take(tvi_graph_verify(graph)), "OK");
    return graph;
  }

  std::string ParseError(const std::string& text) {
    trivet_graph_t* graph = nullptr;
    std::string message =
        Take(tvi_graph_parse(registry_, View(text), trivet_allocator_system(), &graph));
    if (graph != nullptr) graphs_.push_back(graph);
    return message;
  }

  static std::string Print(const trivet_graph_t* graph, uint32_t flags = 0) {
    tvi_string_builder_t builder;
    tvi_string_builder_init(&builder, trivet_allocator_system());
    EXPECT_EQ(Take(tvi_graph_print(graph, flags, &builder)), "OK");
    trivet_string_view_t view = tvi_string_builder_view(&builder);
    std::string text(view.data, view.size);
    tvi_string_builder_deinit(&builder);
    return text;
  }

  // Evaluates a graph of f32 inputs; one vector per output.
  static std::vector<std::vector<float>> Evaluate(const trivet_graph_t* graph,
                                                  const std::vector<std::vector<float>>& inputs) {
    std::vector<trivet_tensor_t> tensors(inputs.size() + 1);
    for (size_t i = 0; i < inputs.size(); ++i) {
      tensors[i].dtype = TRIVET_DTYPE_F32;
      tensors[i].rank = 1;
      tensors[i].dims[0] = static_cast<int64_t>(inputs[i].size());
      tensors[i].data = const_cast<float*>(inputs[i].data());
      tensors[i].size = inputs[i].size() * sizeof(float);
    }
    std::vector<trivet_tensor_t> outputs(graph->output_count + 1);
    std::string message =
        Take(tvi_graph_evaluate_graph(graph, tensors.data(), static_cast<uint32_t>(inputs.size()),
                                      trivet_allocator_system(), outputs.data()));
    EXPECT_EQ(message, "OK");
    std::vector<std::vector<float>> results;
    if (message != "OK") return results;
    for (uint32_t i = 0; i < graph->output_count; ++i) {
      const float* data = static_cast<const float*>(outputs[i].data);
      results.emplace_back(data, data + outputs[i].size / sizeof(float));
      tvi_free(trivet_allocator_system(), outputs[i].data, outputs[i].size);
    }
    return results;
  }

  tvi_registry_t* registry_ = nullptr;
  std::vector<trivet_graph_t*> graphs_;
};

}  // namespace trivet_test

#endif  // TRIVET_TESTS_SUPPORT_TEST_OPERATORS_H_
