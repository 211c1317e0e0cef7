// SPDX-License-Identifier: Apache-2.0
//
// Two builds of the runtime library, of different names, in one process, both with their symbols in
// the global scope: each works with its own functions alone, which shows in that closing the first
// one unloads it while the second one goes on.

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "trivet/runtime.h"

namespace {

struct Library {
  explicit Library(const char* file) : path(file) {
    handle = dlopen(file, RTLD_NOW | RTLD_GLOBAL);
    EXPECT_NE(handle, nullptr) << dlerror();
  }
  template <typename F>
  F* Find(const char* name) {
    void* address = dlsym(handle, name);
    EXPECT_NE(address, nullptr) << name;
    return reinterpret_cast<F*>(address);
  }
  // A runtime that refuses what is no plan, and says so.
  std::string Use() {
    trivet_runtime_t* runtime = nullptr;
    trivet_engine_t* engine = nullptr;
    EXPECT_EQ(Find<decltype(trivet_runtime_create)>("trivet_runtime_create")(nullptr, &runtime),
              nullptr);
    trivet_status_t status = Find<decltype(trivet_engine_load_memory)>("trivet_engine_load_memory")(
        runtime, "no plan at all", 14, nullptr, &engine);
    std::string text = Find<decltype(trivet_status_message)>("trivet_status_message")(status);
    Find<decltype(trivet_status_free)>("trivet_status_free")(status);
    Find<decltype(trivet_runtime_destroy)>("trivet_runtime_destroy")(runtime);
    return text;
  }
  const char* path;
  void* handle = nullptr;
};

TEST(TwoLibraries, InOneProcess) {
  Library first("runtime/libtrivet_runtime.so"), second("tests/end_to_end/libtrivet_other.so");
  ASSERT_NE(first.handle, second.handle);
  EXPECT_NE(first.Find<void>("trivet_runtime_create"), second.Find<void>("trivet_runtime_create"));
  const char* const kRefusal = "plan: does not begin as a plan does";
  EXPECT_EQ(first.Use(), kRefusal);
  EXPECT_EQ(second.Use(), kRefusal);
  ASSERT_EQ(dlclose(first.handle), 0);
  EXPECT_EQ(dlopen(first.path, RTLD_NOW | RTLD_NOLOAD), nullptr) << "the second one holds it";
  EXPECT_EQ(second.Use(), kRefusal);
  EXPECT_EQ(dlclose(second.handle), 0);
}

}  // namespace
