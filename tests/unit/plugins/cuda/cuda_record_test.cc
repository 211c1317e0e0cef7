// SPDX-License-Identifier: Apache-2.0
//
// Recorded calls of libraries on a driver that the test brings: when a call is replaced by what it
// launched, with what, when not, and that nothing is left.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "plugins/cuda/device/cuda_device.h"
#include "tests/unit/plugins/cuda/fake_libcuda.h"

namespace {

const char kFake[] = "tests/unit/plugins/cuda/libfake_cuda.so";

std::string Take(trivet_status_t status) {
  std::string text = status ? trivet_status_message(status) : "";
  trivet_status_free(status);
  return text;
}

class CudaRecord : public ::testing::Test {
 protected:
  void SetUp() override {
    library_ = dlopen(kFake, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library_, nullptr) << dlerror();
    Find("fake_cuda_set", &set_);
    Find("fake_cuda_live", &live_);
    Find("fake_cuda_launches", &launches_);
    Find("fake_cuda_graph", &graph_);
    Find("fake_cuda_last_launch", &last_);
    Find("fake_cuda_last_fill", &fill_);
    Find("fake_cuda_nodes", &nodes_);
    set_(1, 13000, "", 0);
    graph_("k");
    definition_ = tvi_cuda_device_definition;
    definition_.self = const_cast<char*>(kFake);
    void* state = nullptr;
    ASSERT_EQ(Take(definition_.open(&definition_, 0, &allocator_, &state)), "");
    device_ = static_cast<tvi_cuda_device_t*>(state);
    ASSERT_EQ(Take(device_->recorder_create(device_, allocator_, 2, &recorder_)), "");
  }
  void TearDown() override {
    set_(1, 13000, "", 0);
    if (recorder_) device_->recorder_destroy(recorder_);
    definition_.close(&definition_, device_);
    EXPECT_EQ(live_(), 0);
    dlclose(library_);
  }
  template <typename T>
  void Find(const char* name, T* out) {
    *out = reinterpret_cast<T>(dlsym(library_, name));
    ASSERT_NE(*out, nullptr) << name;
  }
  static trivet_status_t Call(void* self, const trivet_kernel_launch_t* launch) {
    auto test = static_cast<CudaRecord*>(self);
    ++test->calls_;
    test->stream_ = launch->stream;
    if (test->refuses_) return TRIVET_STATUS(INTERNAL, "the library refuses");
    CUlaunchConfig config = {};
    config.hStream = static_cast<CUstream>(launch->stream);
    TVI_CUDA_RETURN_IF_ERROR(test->device_, cuLaunchKernelEx(&config, nullptr, nullptr, nullptr));
    return nullptr;
  }
  std::string Run(void* x, void* y, void* workspace = nullptr) {
    void* addresses[] = {x, y};
    trivet_kernel_launch_t launch = {};
    launch.addresses = addresses;
    launch.workspace = workspace;
    launch.stream = &own_;
    return Take(device_->recorder_run(recorder_, &launch, Call, this));
  }
  // Runs until calls are replaced, or would be.
  void Repeat(void* x, void* y, void* workspace = nullptr) {
    for (int i = 0; i < 40; ++i) ASSERT_EQ(Run(x, y, workspace), "");
  }
  // Whether a run with these addresses goes past the library; it launches once, either way.
  bool IsRecorded(void* x, void* y, void* workspace = nullptr) {
    int calls = calls_, launches = launches_();
    EXPECT_EQ(Run(x, y, workspace), "");
    EXPECT_GE(launches_(), launches + 1);
    return calls_ == calls;
  }

  void* library_ = nullptr;
  void (*set_)(int, int, const char*, int) = nullptr;
  int (*live_)() = nullptr;
  int (*launches_)() = nullptr;
  void (*graph_)(const char*) = nullptr;
  const fake_cuda_launch_t* (*last_)() = nullptr;
  const fake_cuda_fill_t* (*fill_)() = nullptr;
  const char* (*nodes_)() = nullptr;
  trivet_device_t definition_;
  trivet_allocator_t allocator_ = tvi_allocator_or_system({});
  tvi_cuda_device_t* device_ = nullptr;
  tvi_cuda_recorder_t* recorder_ = nullptr;
  int calls_ = 0;
  bool refuses_ = false;
  const void* stream_ = nullptr;  // of the last call
  char own_ = 0, a_ = 0, b_ = 0, c_ = 0, d_ = 0;
};

TEST_F(CudaRecord, AddressesThatComeAgainGoPastTheLibrary) {
  const int live = live_();
  EXPECT_FALSE(IsRecorded(&a_, &b_));
  EXPECT_EQ(stream_, &own_);
  EXPECT_FALSE(IsRecorded(&a_, &b_));
  EXPECT_EQ(live_(), live);
  Repeat(&a_, &b_);
  EXPECT_TRUE(IsRecorded(&a_, &b_));
  // The last call was captured, on a stream that is gone; the graph holds the arguments.
  EXPECT_NE(stream_, &own_);
  EXPECT_EQ(live_(), live + 1);
  EXPECT_EQ(last_()->function, 101u);
  EXPECT_EQ(last_()->grid, 6u);
  EXPECT_EQ(last_()->shared_bytes, 8u);
  EXPECT_EQ(last_()->argument, 10);
  EXPECT_EQ(last_()->stream, &own_);
  EXPECT_EQ(last_()->cluster, 0u);
  EXPECT_EQ(last_()->is_early, 0);
}

TEST_F(CudaRecord, OtherAddressesAreForTheLibrary) {
  Repeat(&a_, &b_, &c_);
  EXPECT_TRUE(IsRecorded(&a_, &b_, &c_));
  EXPECT_FALSE(IsRecorded(&a_, &d_, &c_));
  EXPECT_FALSE(IsRecorded(&a_, &b_, &d_));
  EXPECT_FALSE(IsRecorded(&d_, &b_, &c_));
}

TEST_F(CudaRecord, TwoSetsOfAddressesAreKept) {
  const int live = live_();
  for (int i = 0; i < 40; ++i) {
    ASSERT_EQ(Run(&a_, &b_), "");
    ASSERT_EQ(Run(&b_, &a_), "");
  }
  EXPECT_TRUE(IsRecorded(&a_, &b_));
  EXPECT_TRUE(IsRecorded(&b_, &a_));
  // One that comes between takes the place of the one that was not used last.
  EXPECT_FALSE(IsRecorded(&c_, &c_));
  EXPECT_TRUE(IsRecorded(&b_, &a_));
  EXPECT_EQ(live_(), live + 1);
  EXPECT_FALSE(IsRecorded(&a_, &b_));
}

TEST_F(CudaRecord, KernelsComeInOrderWithWhatTheyWereToldBesides) {
  graph_("ke");
  Repeat(&a_, &b_);
  const int launches = launches_();
  EXPECT_TRUE(IsRecorded(&a_, &b_));
  EXPECT_EQ(launches_(), launches + 2);
  EXPECT_EQ(last_()->function, 102u);
  EXPECT_EQ(last_()->argument, 20);
  EXPECT_EQ(last_()->cluster, 2u);
  EXPECT_EQ(last_()->is_early, 1);
  graph_("kk");
  Repeat(&b_, &a_);
  EXPECT_TRUE(IsRecorded(&b_, &a_));
  EXPECT_EQ(last_()->is_early, 0);
}

TEST_F(CudaRecord, OtherGraphsStayWithTheLibrary) {
  for (const char* graph : {"", "n", "kb", "kkf", "kkkkk"}) {
    const int live = live_();
    graph_(graph);
    Repeat(&a_, &b_);
    EXPECT_FALSE(IsRecorded(&a_, &b_)) << graph;
    // It is not tried again.
    EXPECT_EQ(calls_, 42) << graph;
    EXPECT_EQ(live_(), live) << graph;
    device_->recorder_destroy(recorder_);
    ASSERT_EQ(Take(device_->recorder_create(device_, allocator_, 2, &recorder_)), "");
    calls_ = 0;
  }
}

TEST_F(CudaRecord, MemsetsBecomeKernels) {
  graph_("kmk");
  Repeat(&a_, &b_);
  const int launches = launches_();
  EXPECT_TRUE(IsRecorded(&a_, &b_));
  EXPECT_EQ(launches_(), launches + 3);
  EXPECT_STREQ(nodes_(), "kzk");
  EXPECT_EQ(fill_()->before, 1);
  EXPECT_EQ(fill_()->after, 3);
  EXPECT_EQ(fill_()->at, 4096u);
  EXPECT_EQ(fill_()->count, 8u);  // 16 times two bytes
  EXPECT_EQ(fill_()->value, 0xababababu);
  EXPECT_GE(fill_()->threads, 8u);
  EXPECT_NE(fill_()->function, 0u);
}

// Graphs of whole runs, at their ends as well; what is no row of words stays, as does all where the
// driver has no way.
TEST_F(CudaRecord, MemsetsOfRunsBecomeKernels) {
  const int live = live_();
  auto capture = [&](const char* graph) {
    void* captured = nullptr;
    graph_(graph);
    EXPECT_EQ(Take(definition_.capture_begin(&definition_, device_, &own_)), "");
    EXPECT_EQ(Take(definition_.capture_end(&definition_, device_, &own_, &captured)), "");
    definition_.graph_destroy(&definition_, device_, captured);
    return std::string(nodes_());
  };
  EXPECT_EQ(capture("kk"), "kk");
  EXPECT_EQ(live_(), live);
  EXPECT_EQ(capture("mknbkmkm"), "zknbkzkz");
  EXPECT_EQ(fill_()->before, 7);
  EXPECT_EQ(fill_()->after, 0);
  EXPECT_EQ(live_(), live + 1);  // the module
  for (const char* call : {"cuGraphGetNodes", "cuGraphMemsetNodeGetParams", "cuGraphAddKernelNode",
                           "cuGraphAddDependencies", "cuGraphNodeGetDependencies"}) {
    set_(1, 13000, call, CUDA_ERROR_UNKNOWN);
    EXPECT_EQ(capture("kmk"), "kmk") << call;
  }
  set_(1, 13000, "", 0);
  const_cast<tvi_cuda_driver_t*>(device_->driver)->cuGraphAddDependencies = nullptr;
  EXPECT_EQ(capture("kmk"), "kmk");
}

TEST_F(CudaRecord, MemsetsStayWhereTheDriverCannotTranslate) {
  graph_("kmk");
  set_(1, 13000, "cuModuleLoadData", CUDA_ERROR_NO_BINARY_FOR_GPU);
  Repeat(&a_, &b_);
  EXPECT_FALSE(IsRecorded(&a_, &b_));
  EXPECT_STREQ(nodes_(), "kmk");
}

TEST_F(CudaRecord, WhatFailsMeanwhileIsNoError) {
  for (const char* call : {"cuStreamCreate", "cuStreamBeginCapture", "cuStreamEndCapture",
                           "cuGraphGetRootNodes", "cuGraphKernelNodeGetParams",
                           "cuGraphKernelNodeGetAttribute", "cuGraphNodeGetDependentNodes"}) {
    const int live = live_();
    set_(1, 13000, call, CUDA_ERROR_UNKNOWN);
    Repeat(&a_, &b_);
    EXPECT_FALSE(IsRecorded(&a_, &b_)) << call;
    EXPECT_EQ(live_(), live) << call;
    set_(1, 13000, "", 0);
    device_->recorder_destroy(recorder_);
    ASSERT_EQ(Take(device_->recorder_create(device_, allocator_, 2, &recorder_)), "");
  }
}

TEST_F(CudaRecord, DriversThatCannotTellAGraphLeaveItToTheLibrary) {
  device_->recorder_destroy(recorder_);
  const_cast<tvi_cuda_driver_t*>(device_->driver)->cuGraphNodeGetDependentNodes = nullptr;
  ASSERT_EQ(Take(device_->recorder_create(device_, allocator_, 2, &recorder_)), "");
  Repeat(&a_, &b_);
  EXPECT_FALSE(IsRecorded(&a_, &b_));
}

TEST_F(CudaRecord, NothingIsRecordedInsideOfACapture) {
  const CUstream stream = reinterpret_cast<CUstream>(&own_);
  const int live = live_();
  ASSERT_EQ(device_->driver->cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_RELAXED),
            CUDA_SUCCESS);
  Repeat(&a_, &b_);
  EXPECT_EQ(calls_, 40);
  CUgraph graph = nullptr;
  ASSERT_EQ(device_->driver->cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
  ASSERT_EQ(device_->driver->cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(live_(), live);
  EXPECT_EQ(Run(&a_, &b_), "");
  EXPECT_TRUE(IsRecorded(&a_, &b_));
}

TEST_F(CudaRecord, ErrorsAreThoseOfTheCallAndOfLaunches) {
  refuses_ = true;
  for (int i = 0; i < 40; ++i) EXPECT_EQ(Run(&a_, &b_), "the library refuses");
  refuses_ = false;
  device_->recorder_destroy(recorder_);
  ASSERT_EQ(Take(device_->recorder_create(device_, allocator_, 2, &recorder_)), "");
  Repeat(&a_, &b_);
  set_(1, 13000, "cuLaunchKernelEx", CUDA_ERROR_UNKNOWN);
  const std::string text = Run(&a_, &b_);
  EXPECT_EQ(text.find("cuLaunchKernelEx: CUDA_ERROR_FAKE"), 0u) << text;
}

}  // namespace
