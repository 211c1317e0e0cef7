// SPDX-License-Identifier: Apache-2.0
//
// What tests of the runtime share: a runtime with the test kernels, engines from hand-made plans,
// and errors as text. A Session holds one of each and frees them in order.

#ifndef TRIVET_TESTS_UNIT_RUNTIME_CONTEXT_RUNTIME_FIXTURE_H_
#define TRIVET_TESTS_UNIT_RUNTIME_CONTEXT_RUNTIME_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/failing_allocator.h"
#include "tests/support/plan_maker.h"
#include "trivet/runtime.h"

namespace trivet_test {

#define TEST_KERNELS "tests/support/test_kernels.so"

inline void ExpectOk(trivet_status_t status) {
  EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_OK) << trivet_status_message(status);
  trivet_status_free(status);
}

// "OUT_OF_RANGE: message".
inline std::string TextOf(trivet_status_t status) {
  std::string text = trivet_status_code_name(trivet_status_code(status));
  if (status != nullptr) text += std::string(": ") + trivet_status_message(status);
  trivet_status_free(status);
  return text;
}

inline std::string Factor(float value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

class Session {
 public:
  explicit Session(const std::string& bytes, trivet_allocator_t allocator = trivet_allocator_t(),
                   uint32_t threads = 1)
      : plan_(bytes) {
    trivet_runtime_options_t options;
    memset(&options, 0, sizeof(options));
    options.header = {sizeof(options), TRIVET_STRUCT_RUNTIME_OPTIONS, nullptr};
    options.allocator = allocator;
    ExpectOk(trivet_runtime_create(&options, &runtime));
    ExpectOk(trivet_runtime_load_plugin(runtime, TEST_KERNELS));
    load_status = trivet_engine_load_memory(runtime, plan_.data(), plan_.size(), nullptr, &engine);
    if (load_status != nullptr) return;
    context = NewContext(threads);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() {
    trivet_context_destroy(context);
    trivet_engine_destroy(engine);
    trivet_runtime_destroy(runtime);
    trivet_status_free(load_status);
  }

  trivet_context_t* NewContext(uint32_t threads, uint32_t profile = 0) {
    trivet_context_options_t options;
    memset(&options, 0, sizeof(options));
    options.header = {sizeof(options), TRIVET_STRUCT_CONTEXT_OPTIONS, nullptr};
    options.thread_count = threads;
    options.profile = profile;
    trivet_context_t* made = nullptr;
    ExpectOk(trivet_context_create(engine, &options, &made));
    return made;
  }

  trivet_status_t SetShape(const char* name, const std::vector<int64_t>& dims) {
    return trivet_context_set_shape(context, name, static_cast<uint32_t>(dims.size()), dims.data());
  }
  template <typename T>
  void SetAddress(const char* name, std::vector<T>* values) {
    ExpectOk(trivet_context_set_address(context, name, values->data()));
  }
  std::vector<int64_t> Shape(const char* name) {
    uint32_t rank = 0;
    int64_t dims[TRIVET_DIMS_MAX];
    ExpectOk(trivet_context_shape(context, name, &rank, dims));
    return std::vector<int64_t>(dims, dims + rank);
  }
  trivet_context_statistics_t Statistics() {
    trivet_context_statistics_t statistics;
    memset(&statistics, 0, sizeof(statistics));
    statistics.header = {sizeof(statistics), TRIVET_STRUCT_CONTEXT_STATISTICS, nullptr};
    ExpectOk(trivet_context_statistics(context, &statistics));
    return statistics;
  }

  trivet_runtime_t* runtime = nullptr;
  trivet_engine_t* engine = nullptr;
  trivet_context_t* context = nullptr;
  trivet_status_t load_status = nullptr;

 private:
  AlignedPlan plan_;
};

}  // namespace trivet_test

#endif  // TRIVET_TESTS_UNIT_RUNTIME_CONTEXT_RUNTIME_FIXTURE_H_
