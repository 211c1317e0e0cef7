// SPDX-License-Identifier: Apache-2.0
//
// What a program that holds the library gives it: memory, a log, progress with the right to cancel,
// a recorder of errors, threads. Each gets all that belongs to it, and nothing is left at the end.
#include <atomic>
#include <cstdlib>
#include <set>
#include <utility>

#include "tests/end_to_end/compiled.h"

namespace {

using trivet_test::AddNode;
using trivet_test::Append;
using trivet_test::ExpectOk;
using trivet_test::TextOf;

const char* const kPlugins[] = {"passes/passes.so", "plugins/cpu/cpu.so",
                                "plugins/ops_standard/ops_standard.so"};

struct Memory {
  std::atomic<int64_t> held{0}, calls{0};
  static void* Allocate(void* self, size_t size, size_t alignment) {
    void* memory = nullptr;
    if (posix_memalign(&memory, alignment < sizeof(void*) ? sizeof(void*) : alignment, size) != 0) {
      return nullptr;
    }
    static_cast<Memory*>(self)->held += static_cast<int64_t>(size);
    ++static_cast<Memory*>(self)->calls;
    return memory;
  }
  static void Free(void* self, void* memory, size_t size, size_t) {
    static_cast<Memory*>(self)->held -= static_cast<int64_t>(size);
    free(memory);
  }
  trivet_allocator_t allocator() { return {this, Allocate, nullptr, Free}; }
};

struct Recorder {
  std::vector<std::pair<std::string, std::string>> errors;
  static void Record(void* self, const char* call, trivet_status_t status) {
    static_cast<Recorder*>(self)->errors.emplace_back(call, trivet_status_message(status));
  }
  trivet_error_recorder_t recorder() { return {this, Record}; }
  // The status that a call returned, which must be the one error that was recorded since.
  void Expect(const char* call, trivet_status_t status) {
    ASSERT_NE(status, nullptr) << call;
    ASSERT_EQ(errors.size(), 1u) << call;
    EXPECT_EQ(errors[0].first, call);
    EXPECT_EQ(errors[0].second, trivet_status_message(status));
    trivet_status_free(status);
    errors.clear();
  }
};

struct Log {
  std::vector<std::string> lines;
  static void Write(void* self, trivet_severity_t, trivet_string_view_t message) {
    static_cast<Log*>(self)->lines.emplace_back(message.data, message.size);
  }
};

trivet_status_t MakeNetwork(trivet_builder_t* builder, trivet_network_t** out_network) {
  const int64_t dims[2] = {-1, 4};
  const char* symbols[2] = {"batch", nullptr};
  trivet_value_t x = 0, s = 0, y = 0;
  RETURN_IF_ERROR(trivet_network_create(builder, "embedded", out_network));
  RETURN_IF_ERROR(
      trivet_network_add_input(*out_network, "x", TRIVET_DTYPE_F32, 2, dims, symbols, &x));
  RETURN_IF_ERROR(AddNode(*out_network, "std.Sigmoid", {x}, "s", &s));
  RETURN_IF_ERROR(AddNode(*out_network, "std.Mul", {x, s}, "y", &y));
  return trivet_network_mark_output(*out_network, y, "y");
}

class Embedding : public testing::Test {
 protected:
  void SetUp() override {
    trivet_builder_options_t options;
    memset(&options, 0, sizeof(options));
    options.header = {sizeof(options), TRIVET_STRUCT_BUILDER_OPTIONS, nullptr};
    options.allocator = memory_.allocator();
    options.logger = {&log_, Log::Write, TRIVET_SEVERITY_VERBOSE, 0};
    options.error_recorder = recorder_.recorder();
    ExpectOk(trivet_builder_create(&options, &builder_));
    for (const char* plugin : kPlugins) ExpectOk(trivet_builder_load_plugin(builder_, plugin));
  }
  void TearDown() override {
    trivet_builder_destroy(builder_);
    EXPECT_EQ(memory_.held, 0);
    EXPECT_GT(memory_.calls, 0);
    EXPECT_TRUE(recorder_.errors.empty()) << recorder_.errors[0].second;
  }

  struct Cancel {
    std::string at;  // empty: nowhere
    std::vector<std::string> phases;
    static uint32_t Update(void* self, const char* phase, uint32_t done, uint32_t total) {
      Cancel* cancel = static_cast<Cancel*>(self);
      EXPECT_LE(done, total);
      cancel->phases.emplace_back(phase);
      return cancel->at == phase;
    }
  };

  trivet_status_t Build(Cancel* cancel, std::string* out_plan) {
    trivet_network_t* network = nullptr;
    trivet_config_t* config = nullptr;
    ExpectOk(MakeNetwork(builder_, &network));
    ExpectOk(trivet_config_create(builder_, &config));
    ExpectOk(trivet_config_set_progress(config, {cancel, Cancel::Update}));
    trivet_status_t status = trivet_build(network, config, {out_plan, Append}, nullptr);
    trivet_config_destroy(config);
    trivet_network_destroy(network);
    return status;
  }

  Memory memory_;
  Log log_;
  Recorder recorder_;
  trivet_builder_t* builder_ = nullptr;
};

TEST_F(Embedding, CancelledInEveryPhase) {
  Cancel none;
  std::string plan;
  ExpectOk(Build(&none, &plan));
  EXPECT_FALSE(log_.lines.empty());
  std::set<std::string> phases(none.phases.begin(), none.phases.end());
  EXPECT_GE(phases.size(), 4u);
  for (const std::string& phase : phases) {
    Cancel cancel{phase, {}};
    std::string rest;
    trivet_status_t status = Build(&cancel, &rest);
    EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_CANCELLED) << phase;
    EXPECT_NE(std::string(trivet_status_message(status)).find(phase), std::string::npos);
    recorder_.Expect("trivet_build", status);
  }
}

TEST_F(Embedding, BuildersErrorsAreRecordedOnce) {
  recorder_.Expect("trivet_builder_load_plugin",
                   trivet_builder_load_plugin(builder_, "./nowhere.so"));
  trivet_network_t* network = nullptr;
  ExpectOk(trivet_network_create(builder_, "empty", &network));
  recorder_.Expect("trivet_network_parse_text", trivet_network_parse_text(network, "graph {", 7));
  recorder_.Expect("trivet_network_parse_memory",
                   trivet_network_parse_memory(network, "?", 1, nullptr));
  trivet_value_t value = 99;
  recorder_.Expect(
      "trivet_network_add_node",
      trivet_network_add_node(network, "std.Relu", &value, 1, nullptr, 0, "n", 1, &value));
  recorder_.Expect("trivet_network_mark_output", trivet_network_mark_output(network, 99, "y"));
  recorder_.Expect("trivet_network_run_passes",
                   trivet_network_run_passes(network, "no-such-pass", nullptr));
  trivet_network_destroy(network);
}

TEST_F(Embedding, RuntimesErrorsAreRecordedOnce) {
  Cancel none;
  std::string plan;
  ExpectOk(Build(&none, &plan));
  Memory memory;
  trivet_runtime_options_t options;
  memset(&options, 0, sizeof(options));
  options.header = {sizeof(options), TRIVET_STRUCT_RUNTIME_OPTIONS, nullptr};
  options.allocator = memory.allocator();
  options.error_recorder = recorder_.recorder();
  trivet_runtime_t* runtime = nullptr;
  trivet_engine_t* engine = nullptr;
  trivet_context_t* context = nullptr;
  ExpectOk(trivet_runtime_create(&options, &runtime));
  recorder_.Expect("trivet_engine_load_memory",
                   trivet_engine_load_memory(runtime, "no plan", 7, nullptr, &engine));
  ExpectOk(trivet_engine_load_memory(runtime, plan.data(), plan.size(), nullptr, &engine));
  ExpectOk(trivet_context_create(engine, nullptr, &context));
  const int64_t large[2] = {1000, 4}, good[2] = {2, 4};
  recorder_.Expect("trivet_context_set_shape", trivet_context_set_shape(context, "x", 2, large));
  ExpectOk(trivet_context_set_shape(context, "x", 2, good));
  recorder_.Expect("trivet_context_run", trivet_context_run(context));  // no addresses yet
  alignas(64) float x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, y[8];
  ExpectOk(trivet_context_set_address(context, "x", x));
  ExpectOk(trivet_context_set_address(context, "y", y));
  ExpectOk(trivet_context_run(context));
  EXPECT_NEAR(y[0], 0.7310586f, 1e-6f);
  trivet_context_destroy(context);
  trivet_engine_destroy(engine);
  trivet_runtime_destroy(runtime);
  EXPECT_EQ(memory.held, 0);
}

}  // namespace
