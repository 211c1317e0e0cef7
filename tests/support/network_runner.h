// SPDX-License-Identifier: Apache-2.0
//
// A network made layer by layer, built for the CPU and run once, all in memory: what tests of the
// public API share. Plugins come from the folders of TRIVET_PLUGIN_PATH, or from the test's data.
#ifndef TRIVET_TESTS_SUPPORT_NETWORK_RUNNER_H_
#define TRIVET_TESTS_SUPPORT_NETWORK_RUNNER_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "trivet/trivet.h"

namespace trivet_test {

inline trivet_status_t AppendToString(void* self, const void* bytes, size_t size) {
  static_cast<std::string*>(self)->append(static_cast<const char*>(bytes), size);
  return nullptr;
}

inline std::string TakeMessage(trivet_status_t status) {
  std::string message = status != nullptr ? trivet_status_message(status) : "";
  trivet_status_free(status);
  return message;
}

#define ASSERT_TRIVET_OK(expression) \
  ASSERT_EQ(trivet_test::TakeMessage(expression), "") << #expression
#define EXPECT_TRIVET_OK(expression) \
  EXPECT_EQ(trivet_test::TakeMessage(expression), "") << #expression

// Absolute paths of what a plan for the CPU needs.
inline std::vector<std::string> PluginPaths() {
  std::vector<std::string> paths;
  for (const char* path : {"plugins/ops_standard/ops_standard.so", "passes/passes.so",
                           "plugins/cpu/cpu.so", "plugins/cpu_onednn/cpu_onednn.so"}) {
    if (access(path, R_OK) == 0) paths.push_back(std::string("./") + path);
  }
  return paths;
}

class NetworkRunner {
 public:
  NetworkRunner() {
    EXPECT_TRIVET_OK(trivet_builder_create(nullptr, &builder_));
    const char* folders = std::getenv("TRIVET_PLUGIN_PATH");
    if (folders != nullptr) {
      EXPECT_TRIVET_OK(trivet_builder_load_plugin_path(builder_, folders));
    } else {
      for (const std::string& path : PluginPaths())
        EXPECT_TRIVET_OK(trivet_builder_load_plugin(builder_, path.c_str()));
    }
    EXPECT_TRIVET_OK(trivet_network_create(builder_, "test", &network_));
  }
  ~NetworkRunner() {
    trivet_network_destroy(network_);
    trivet_builder_destroy(builder_);
  }
  NetworkRunner(const NetworkRunner&) = delete;

  trivet_builder_t* builder() { return builder_; }
  trivet_network_t* network() { return network_; }

  // A fresh input with contents. |Element| decides the type.
  template <typename Element>
  trivet_value_t Input(const std::vector<int64_t>& dims, const std::vector<Element>& data) {
    std::string name = "x" + std::to_string(inputs_.size());
    trivet_value_t value = 0;
    EXPECT_TRIVET_OK(trivet_network_add_input(network_, name.c_str(), TypeOf(Element()),
                                              static_cast<uint32_t>(dims.size()), dims.data(),
                                              nullptr, &value));
    inputs_[name] = Bytes(data);
    shapes_[name] = dims;
    return value;
  }
  template <typename Element>
  trivet_value_t Constant(const std::vector<int64_t>& dims, const std::vector<Element>& data) {
    trivet_tensor_t tensor = {};
    tensor.dtype = TypeOf(Element());
    tensor.rank = static_cast<uint32_t>(dims.size());
    for (size_t i = 0; i < dims.size(); ++i) tensor.dims[i] = dims[i];
    tensor.data = const_cast<Element*>(data.data());
    tensor.size = data.size() * sizeof(Element);
    trivet_value_t value = 0;
    EXPECT_TRIVET_OK(
        trivet_network_add_constant(network_, nullptr, &tensor, TRIVET_CONSTANT_COPY, &value));
    return value;
  }
  void Output(trivet_value_t value) {
    std::string name = "y" + std::to_string(output_count_++);
    EXPECT_TRIVET_OK(trivet_network_mark_output(network_, value, name.c_str()));
  }

  // Builds and runs. False: a failure was reported.
  bool Run() {
    trivet_config_t* config = nullptr;
    std::string message = TakeMessage(trivet_config_create(builder_, &config));
    trivet_sink_t sink = {&plan_, AppendToString};
    if (message.empty()) message = TakeMessage(trivet_build(network_, config, sink, nullptr));
    trivet_config_destroy(config);
    if (message.empty()) message = RunPlan();
    EXPECT_EQ(message, "");
    return message.empty();
  }
  const std::string& plan() const { return plan_; }

  const std::vector<int64_t>& shape(size_t output) { return shapes_["y" + std::to_string(output)]; }
  template <typename Element>
  std::vector<Element> Result(size_t output) {
    const std::string& bytes = results_["y" + std::to_string(output)];
    std::vector<Element> data(bytes.size() / sizeof(Element));
    if (!data.empty()) std::memcpy(data.data(), bytes.data(), data.size() * sizeof(Element));
    return data;
  }

  static uint32_t TypeOf(float) { return TRIVET_DTYPE_F32; }
  static uint32_t TypeOf(double) { return TRIVET_DTYPE_F64; }
  static uint32_t TypeOf(int64_t) { return TRIVET_DTYPE_I64; }
  static uint32_t TypeOf(int32_t) { return TRIVET_DTYPE_I32; }
  static uint32_t TypeOf(int8_t) { return TRIVET_DTYPE_I8; }
  static uint32_t TypeOf(uint8_t) { return TRIVET_DTYPE_U8; }
  static uint32_t TypeOf(bool) { return TRIVET_DTYPE_BOOL; }

 private:
  template <typename Element>
  static std::string Bytes(const std::vector<Element>& data) {
    std::string bytes;
    for (Element element : data)
      bytes.append(reinterpret_cast<const char*>(&element), sizeof(element));
    return bytes;
  }

  std::string RunPlan() {
    trivet_runtime_t* runtime = nullptr;
    trivet_engine_t* engine = nullptr;
    trivet_context_t* context = nullptr;
    std::string message = TakeMessage(trivet_runtime_create(nullptr, &runtime));
    const char* folders = std::getenv("TRIVET_PLUGIN_PATH");
    if (message.empty() && folders != nullptr) {
      message = TakeMessage(trivet_runtime_load_plugin_path(runtime, folders));
    } else if (message.empty()) {
      for (const std::string& path : PluginPaths())
        if (message.empty())
          message = TakeMessage(trivet_runtime_load_plugin(runtime, path.c_str()));
    }
    if (message.empty()) {
      message = TakeMessage(
          trivet_engine_load_memory(runtime, plan_.data(), plan_.size(), nullptr, &engine));
    }
    if (message.empty()) message = TakeMessage(trivet_context_create(engine, nullptr, &context));
    if (message.empty()) message = RunContext(engine, context);
    trivet_context_destroy(context);
    trivet_engine_destroy(engine);
    trivet_runtime_destroy(runtime);
    return message;
  }

  std::string RunContext(trivet_engine_t* engine, trivet_context_t* context) {
    std::string message;
    for (auto& input : inputs_) {
      input.second.resize(input.second.size() + 1);  // an address also for empty tensors
      message +=
          TakeMessage(trivet_context_set_address(context, input.first.c_str(), &input.second[0]));
    }
    message += TakeMessage(trivet_context_prepare(context));
    for (size_t i = 0; message.empty() && i < output_count_; ++i) {
      std::string name = "y" + std::to_string(i);
      uint64_t size = 0;
      message += TakeMessage(trivet_context_tensor_size(context, name.c_str(), &size));
      results_[name].assign(size + 1, '\x7f');
      message += TakeMessage(trivet_context_set_address(context, name.c_str(), &results_[name][0]));
    }
    if (message.empty()) message += TakeMessage(trivet_context_run(context));
    for (size_t i = 0; message.empty() && i < output_count_; ++i) {
      std::string name = "y" + std::to_string(i);
      uint32_t rank = 0;
      int64_t dims[TRIVET_DIMS_MAX];
      message += TakeMessage(trivet_context_shape(context, name.c_str(), &rank, dims));
      trivet_tensor_info_t info = {};
      info.header = {sizeof(info), TRIVET_STRUCT_TENSOR_INFO, nullptr};
      message += TakeMessage(trivet_engine_tensor_info(
          engine, trivet_engine_tensor_index(engine, name.c_str()), &info));
      int64_t count = 1;
      for (uint32_t d = 0; d < rank; ++d) count *= dims[d];
      size_t size = 0;
      message += TakeMessage(trivet_dtype_storage_size(info.dtype, count, &size));
      results_[name].resize(size);
      shapes_[name].assign(dims, dims + rank);
    }
    return message;
  }

  trivet_builder_t* builder_ = nullptr;
  trivet_network_t* network_ = nullptr;
  std::string plan_;
  std::map<std::string, std::string> inputs_, results_;
  std::map<std::string, std::vector<int64_t>> shapes_;
  size_t output_count_ = 0;
};

}  // namespace trivet_test

#endif  // TRIVET_TESTS_SUPPORT_NETWORK_RUNNER_H_
