// SPDX-License-Identifier: Apache-2.0
//
// Compiles small networks through the public API and runs them: what the end-to-end tests share.
// Objects free themselves; errors end the test with their message.

#ifndef TRIVET_TESTS_END_TO_END_COMPILED_H_
#define TRIVET_TESTS_END_TO_END_COMPILED_H_

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "trivet/runtime.h"
#include "trivet/trivet.h"

namespace trivet_test {

#define RETURN_IF_ERROR(expression)         \
  do {                                      \
    trivet_status_t status_ = (expression); \
    if (status_ != nullptr) return status_; \
  } while (0)

inline void ExpectOk(trivet_status_t status) {
  EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_OK) << trivet_status_message(status);
  trivet_status_free(status);
}

inline std::string TextOf(trivet_status_t status) {
  std::string text = trivet_status_code_name(trivet_status_code(status));
  if (status != nullptr) text += std::string(": ") + trivet_status_message(status);
  trivet_status_free(status);
  return text;
}

inline std::vector<float> Noise(size_t count, uint32_t seed) {
  std::vector<float> values(count);
  for (float& value : values) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<float>(static_cast<int32_t>(seed >> 8) % 2001 - 1000) * 0.001f;
  }
  return values;
}

inline trivet_status_t Append(void* self, const void* bytes, size_t size) {
  static_cast<std::string*>(self)->append(static_cast<const char*>(bytes), size);
  return nullptr;
}

// What makes a network, and what is said of its build.
struct Recipe {
  std::function<trivet_status_t(trivet_network_t*)> network;
  std::function<trivet_status_t(trivet_network_t*, trivet_config_t*)> config;  // may be empty
  std::vector<std::string> plugins;
};

inline trivet_status_t CompileNetwork(trivet_builder_t* builder, const Recipe& recipe,
                                      std::string* out_plan) {
  trivet_network_t* network = nullptr;
  trivet_config_t* config = nullptr;
  trivet_status_t status = trivet_network_create(builder, "test", &network);
  if (status == nullptr) status = recipe.network(network);
  if (status == nullptr) status = trivet_config_create(builder, &config);
  if (status == nullptr && recipe.config) status = recipe.config(network, config);
  out_plan->clear();
  if (status == nullptr) status = trivet_build(network, config, {out_plan, Append}, nullptr);
  trivet_config_destroy(config);
  trivet_network_destroy(network);
  return status;
}

inline trivet_status_t Compile(const Recipe& recipe, std::string* out_plan,
                               trivet_allocator_t allocator = trivet_allocator_t()) {
  trivet_builder_options_t options;
  memset(&options, 0, sizeof(options));
  options.header = {sizeof(options), TRIVET_STRUCT_BUILDER_OPTIONS, nullptr};
  options.allocator = allocator;
  trivet_builder_t* builder = nullptr;
  trivet_status_t status = trivet_builder_create(&options, &builder);
  for (size_t i = 0; i < recipe.plugins.size() && status == nullptr; ++i) {
    status = trivet_builder_load_plugin(builder, recipe.plugins[i].c_str());
  }
  if (status == nullptr) status = CompileNetwork(builder, recipe, out_plan);
  trivet_builder_destroy(builder);
  return status;
}

// One engine; contexts are made by whoever runs.
class Loaded {
 public:
  trivet_status_t Load(const std::string& plan, const std::vector<std::string>& plugins,
                       trivet_allocator_t allocator = trivet_allocator_t()) {
    trivet_runtime_options_t options;
    memset(&options, 0, sizeof(options));
    options.header = {sizeof(options), TRIVET_STRUCT_RUNTIME_OPTIONS, nullptr};
    options.allocator = allocator;
    plan_ = plan;
    RETURN_IF_ERROR(trivet_runtime_create(&options, &runtime));
    for (const std::string& each : plugins) {
      RETURN_IF_ERROR(trivet_runtime_load_plugin(runtime, each.c_str()));
    }
    return trivet_engine_load_memory(runtime, plan_.data(), plan_.size(), nullptr, &engine);
  }
  Loaded() = default;
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;
  ~Loaded() {
    trivet_engine_destroy(engine);
    trivet_runtime_destroy(runtime);
  }
  trivet_status_t Context(uint32_t threads, trivet_context_t** out_context) const {
    trivet_context_options_t options;
    memset(&options, 0, sizeof(options));
    options.header = {sizeof(options), TRIVET_STRUCT_CONTEXT_OPTIONS, nullptr};
    options.thread_count = threads;
    return trivet_context_create(engine, &options, out_context);
  }

  trivet_runtime_t* runtime = nullptr;
  trivet_engine_t* engine = nullptr;

 private:
  std::string plan_;
};

// Sets shape and address of f32 input |name|.
inline trivet_status_t SetInput(trivet_context_t* context, const char* name,
                                const std::vector<int64_t>& dims, std::vector<float>* values) {
  RETURN_IF_ERROR(
      trivet_context_set_shape(context, name, static_cast<uint32_t>(dims.size()), dims.data()));
  return trivet_context_set_address(context, name, values->data());
}

inline trivet_status_t AddConstant(trivet_network_t* network, const char* name,
                                   const std::vector<int64_t>& dims, const std::vector<float>& data,
                                   trivet_value_t* out_value) {
  trivet_tensor_t tensor;
  memset(&tensor, 0, sizeof(tensor));
  tensor.dtype = TRIVET_DTYPE_F32;
  tensor.rank = static_cast<uint32_t>(dims.size());
  for (size_t i = 0; i < dims.size(); ++i) tensor.dims[i] = dims[i];
  tensor.data = const_cast<float*>(data.data());
  tensor.size = data.size() * sizeof(float);
  return trivet_network_add_constant(network, name, &tensor, TRIVET_CONSTANT_COPY, out_value);
}

inline trivet_status_t AddNode(trivet_network_t* network, const char* op,
                               const std::vector<trivet_value_t>& inputs, const char* name,
                               trivet_value_t* out_value) {
  return trivet_network_add_node(network, op, inputs.data(), static_cast<uint32_t>(inputs.size()),
                                 nullptr, 0, name, 1, out_value);
}

// The largest difference, relative to 1 + |wanted|.
inline double Difference(const std::vector<float>& found, const std::vector<float>& wanted) {
  double most = found.size() == wanted.size() ? 0 : 1e30;
  for (size_t i = 0; i < found.size() && most < 1e30; ++i) {
    double each = std::fabs(found[i] - wanted[i]) / (1 + std::fabs(wanted[i]));
    if (!(each <= most)) most = each;  // NaN counts
  }
  return most;
}

}  // namespace trivet_test

#endif  // TRIVET_TESTS_END_TO_END_COMPILED_H_
