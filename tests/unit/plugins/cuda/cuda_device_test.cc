// SPDX-License-Identifier: Apache-2.0
//
// The device of target "cuda" on a driver that the test brings: open and close, every function,
// errors, sharing, refusals, and that nothing is left.
#include "plugins/cuda/device/cuda_device.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/base/allocator.h"

namespace {

const char kFake[] = "tests/unit/plugins/cuda/libfake_cuda.so";
const char kOld[] = "tests/unit/plugins/cuda/libfake_cuda_old.so";

std::string Take(trivet_status_t status) {
  std::string text = status ? trivet_status_message(status) : "";
  trivet_status_free(status);
  return text;
}

class CudaDevice : public ::testing::Test {
 protected:
  void SetUp() override {
    library_ = dlopen(kFake, RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library_, nullptr) << dlerror();
    set_ = reinterpret_cast<void (*)(int, int, const char*, int)>(dlsym(library_, "fake_cuda_set"));
    live_ = reinterpret_cast<int (*)()>(dlsym(library_, "fake_cuda_live"));
    loads_ = reinterpret_cast<int (*)()>(dlsym(library_, "fake_cuda_loads"));
    launches_ = reinterpret_cast<int (*)()>(dlsym(library_, "fake_cuda_launches"));
    set_(1, 13000, "", 0);
    definition_ = tvi_cuda_device_definition;
    definition_.self = const_cast<char*>(kFake);
    allocator_ = tvi_allocator_or_system({});
  }
  void TearDown() override {
    Close();
    EXPECT_EQ(live_(), 0);
    dlclose(library_);
  }
  std::string Open(uint32_t ordinal = 0) {
    return Take(definition_.open(&definition_, ordinal, &allocator_, &state_));
  }
  void Close() {
    if (state_) definition_.close(&definition_, state_);
    state_ = nullptr;
  }
  tvi_cuda_device_t* device() { return static_cast<tvi_cuda_device_t*>(state_); }

  void* library_ = nullptr;
  void (*set_)(int, int, const char*, int) = nullptr;
  int (*live_)() = nullptr;
  int (*loads_)() = nullptr;
  int (*launches_)() = nullptr;
  trivet_device_t definition_;
  trivet_allocator_t allocator_;
  void* state_ = nullptr;
};

TEST_F(CudaDevice, OpensDescribesAndMeets) {
  ASSERT_EQ(Open(), "");
  trivet_device_info_t info;
  memset(&info, 0, sizeof(info));
  ASSERT_EQ(Take(definition_.describe(&definition_, state_, &info)), "");
  EXPECT_STREQ(info.name, "Fake H100");
  EXPECT_STREQ(info.target, "cuda:sm_90");
  EXPECT_NE(std::string(info.signature).find("CUDA 13000"), std::string::npos);
  EXPECT_EQ(info.memory_free * 2, info.memory_size);
  EXPECT_EQ(info.alignment, 256u);
  auto meets = [&](const char* text) {
    return definition_.meets(&definition_, state_, {text, strlen(text)});
  };
  EXPECT_EQ(meets("arch:sm_90"), 1u);
  EXPECT_EQ(meets("arch:sm_90a"), 1u);
  EXPECT_EQ(meets("arch:sm_90f"), 1u);
  EXPECT_EQ(meets("arch:sm_80"), 0u);
  EXPECT_EQ(meets("arch:sm_100"), 0u);
  EXPECT_EQ(meets("arch:sm_91"), 0u);
  EXPECT_EQ(meets("arch:sm_90b"), 0u);
  EXPECT_EQ(meets("arch:sm_"), 0u);
  EXPECT_EQ(meets("isa:avx2"), 0u);
}

TEST_F(CudaDevice, RefusesWithWhatWasLookedFor) {
  definition_.self = const_cast<char*>("libno-such-cuda.so.1");
  std::string text = Open();
  EXPECT_NE(text.find("no driver of CUDA is installed"), std::string::npos) << text;
  EXPECT_NE(text.find("libno-such-cuda.so.1"), std::string::npos) << text;
  definition_.self = const_cast<char*>(kOld);
  text = Open();
  EXPECT_NE(text.find("has no function cuTensorMapEncodeTiled"), std::string::npos) << text;
  definition_.self = const_cast<char*>(kFake);
  set_(1, 11040, "", 0);
  text = Open();
  EXPECT_NE(text.find("is of CUDA 11.4; 12.0 or newer is needed"), std::string::npos) << text;
  set_(0, 13000, "", 0);
  text = Open();
  EXPECT_NE(text.find("device 0 of CUDA was asked for"), std::string::npos) << text;
  EXPECT_NE(text.find("reports 0"), std::string::npos) << text;
  set_(1, 13000, "", 0);
  text = Open(3);
  EXPECT_NE(text.find("device 3 of CUDA was asked for"), std::string::npos) << text;
  for (const char* call : {"cuInit", "cuDeviceGetAttribute", "cuDevicePrimaryCtxRetain"}) {
    set_(1, 13000, call, CUDA_ERROR_UNKNOWN);
    text = Open();
    EXPECT_NE(text.find(std::string(call) + ": CUDA_ERROR_FAKE"), std::string::npos) << text;
    EXPECT_EQ(state_, nullptr);
    EXPECT_EQ(live_(), 0);
  }
}

TEST_F(CudaDevice, AllocatesLocatesAndCopies) {
  ASSERT_EQ(Open(), "");
  void *memory = nullptr, *pinned = nullptr, *stream = nullptr;
  ASSERT_EQ(Take(definition_.allocate(&definition_, state_, TRIVET_MEMORY_DEVICE, 1024, &memory)),
            "");
  ASSERT_EQ(Take(definition_.allocate(&definition_, state_, TRIVET_MEMORY_HOST, 1024, &pinned)),
            "");
  std::vector<uint64_t> plain(16, 7);
  uint32_t where = 9;
  ASSERT_EQ(Take(definition_.locate(&definition_, state_, memory, &where)), "");
  EXPECT_EQ(where, TRIVET_MEMORY_DEVICE);
  ASSERT_EQ(Take(definition_.locate(&definition_, state_, pinned, &where)), "");
  EXPECT_EQ(where, TRIVET_MEMORY_HOST);
  where = 9;
  ASSERT_EQ(Take(definition_.locate(&definition_, state_, plain.data() + 1, &where)), "");
  EXPECT_EQ(where, TRIVET_MEMORY_HOST);
  ASSERT_EQ(Take(definition_.stream_create(&definition_, state_, &stream)), "");
  ASSERT_EQ(Take(definition_.copy(&definition_, state_, stream, memory, plain.data(), 128)), "");
  ASSERT_EQ(Take(definition_.copy(&definition_, state_, stream, pinned, memory, 128)), "");
  ASSERT_EQ(Take(definition_.stream_synchronize(&definition_, state_, stream)), "");
  EXPECT_EQ(memcmp(pinned, plain.data(), 128), 0);
  set_(1, 13000, "cuMemAlloc", CUDA_ERROR_OUT_OF_MEMORY);
  void* none = nullptr;
  trivet_status_t status =
      definition_.allocate(&definition_, state_, TRIVET_MEMORY_DEVICE, 4096, &none);
  EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_OUT_OF_MEMORY);
  std::string text = Take(status);
  EXPECT_NE(text.find("4096 bytes"), std::string::npos) << text;
  EXPECT_NE(text.find("cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY"), std::string::npos) << text;
  EXPECT_EQ(none, nullptr);
  set_(1, 13000, "", 0);
  definition_.stream_destroy(&definition_, state_, stream);
  definition_.release(&definition_, state_, TRIVET_MEMORY_DEVICE, memory, 1024);
  definition_.release(&definition_, state_, TRIVET_MEMORY_HOST, pinned, 1024);
}

TEST_F(CudaDevice, MeasuresAndCaptures) {
  ASSERT_EQ(Open(), "");
  void *stream = nullptr, *begin = nullptr, *end = nullptr, *graph = nullptr;
  ASSERT_EQ(Take(definition_.stream_create(&definition_, state_, &stream)), "");
  ASSERT_EQ(Take(definition_.event_create(&definition_, state_, &begin)), "");
  ASSERT_EQ(Take(definition_.event_create(&definition_, state_, &end)), "");
  ASSERT_EQ(Take(definition_.event_record(&definition_, state_, begin, stream)), "");
  ASSERT_EQ(Take(definition_.stream_wait(&definition_, state_, stream, begin)), "");
  uint64_t nanoseconds = 0;
  ASSERT_EQ(Take(definition_.elapsed(&definition_, state_, begin, end, &nanoseconds)), "");
  EXPECT_EQ(nanoseconds, 2500u);
  ASSERT_EQ(Take(definition_.capture_begin(&definition_, state_, stream)), "");
  ASSERT_EQ(Take(definition_.capture_end(&definition_, state_, stream, &graph)), "");
  int before = launches_();
  ASSERT_EQ(Take(definition_.graph_launch(&definition_, state_, graph, stream)), "");
  EXPECT_EQ(launches_(), before + 1);
  definition_.graph_destroy(&definition_, state_, graph);
  // A graph that cannot be made leaves nothing.
  for (const char* call : {"cuStreamEndCapture", "cuGraphInstantiate", "cuGraphUpload"}) {
    ASSERT_EQ(Take(definition_.capture_begin(&definition_, state_, stream)), "");
    set_(1, 13000, call, CUDA_ERROR_UNKNOWN);
    int live = live_();
    std::string text = Take(definition_.capture_end(&definition_, state_, stream, &graph));
    EXPECT_NE(text.find(call), std::string::npos) << text;
    EXPECT_EQ(live_(), live);
    set_(1, 13000, "", 0);
  }
  definition_.event_destroy(&definition_, state_, begin);
  definition_.event_destroy(&definition_, state_, end);
  definition_.stream_destroy(&definition_, state_, stream);
}

TEST_F(CudaDevice, SaysWhoseAStreamIsAndNamesRanges) {
  ASSERT_EQ(Open(), "");
  void* stream = nullptr;
  ASSERT_EQ(Take(definition_.stream_create(&definition_, state_, &stream)), "");
  EXPECT_EQ(Take(definition_.stream_check(&definition_, state_, stream)), "");
  void* foreign = reinterpret_cast<void*>(3);
  trivet_status_t status = definition_.stream_check(&definition_, state_, foreign);
  EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_INVALID_ARGUMENT);
  std::string text = Take(status);
  EXPECT_NE(text.find("it belongs to another context of CUDA"), std::string::npos) << text;
  set_(1, 13000, "cuStreamGetCtx", CUDA_ERROR_UNKNOWN);
  text = Take(definition_.stream_check(&definition_, state_, stream));
  EXPECT_NE(text.find("cuStreamGetCtx: CUDA_ERROR_FAKE"), std::string::npos) << text;
  set_(1, 13000, "", 0);
  definition_.range_begin(&definition_, state_, "conv1");
  definition_.range_end(&definition_, state_);
  definition_.stream_destroy(&definition_, state_, stream);
}

TEST_F(CudaDevice, SharesModulesByContent) {
  ASSERT_EQ(Open(), "");
  char a[] = "cubin one", b[] = "cubin one", c[] = "cubin two";
  CUmodule first, second, third;
  int before = loads_();
  ASSERT_EQ(Take(device()->module(device(), a, sizeof(a), &first)), "");
  ASSERT_EQ(Take(device()->module(device(), b, sizeof(b), &second)), "");
  ASSERT_EQ(Take(device()->module(device(), c, sizeof(c), &third)), "");
  EXPECT_EQ(first, second);
  EXPECT_NE(first, third);
  EXPECT_EQ(loads_(), before + 2);
  int live = live_();
  device()->module_release(device(), first);
  EXPECT_EQ(live_(), live);
  device()->module_release(device(), second);
  EXPECT_EQ(live_(), live - 1);
  // The third is left to close. A failure is told and kept from the list.
  set_(1, 13000, "cuModuleLoadData", CUDA_ERROR_INVALID_IMAGE);
  std::string text = Take(device()->module(device(), a, sizeof(a), &first));
  EXPECT_NE(text.find("cuModuleLoadData: CUDA_ERROR_FAKE"), std::string::npos) << text;
  set_(1, 13000, "", 0);
  ASSERT_EQ(Take(device()->module(device(), a, sizeof(a), &first)), "");
}

int created, destroyed;
trivet_status_t Create(tvi_cuda_device_t*, void** out_object) {
  *out_object = &++created;
  return nullptr;
}
trivet_status_t CreateFails(tvi_cuda_device_t* device, void**) {
  return device->check(device, CUDA_ERROR_UNKNOWN, "cuSomething(1, 2)");
}
void Destroy(tvi_cuda_device_t*, void*) { ++destroyed; }

TEST_F(CudaDevice, KeepsOneResourceByName) {
  created = destroyed = 0;
  ASSERT_EQ(Open(), "");
  void *a = nullptr, *b = nullptr;
  std::string text = Take(device()->resource(device(), "lib", CreateFails, Destroy, &a));
  EXPECT_EQ(text.find("cuSomething: CUDA_ERROR_FAKE"), 0u) << text;
  ASSERT_EQ(Take(device()->resource(device(), "lib", Create, Destroy, &a)), "");
  ASSERT_EQ(Take(device()->resource(device(), "lib", CreateFails, Destroy, &b)), "");
  EXPECT_EQ(a, b);
  EXPECT_EQ(created, 1);
  EXPECT_EQ(destroyed, 0);
  Close();
  EXPECT_EQ(destroyed, 1);
}

}  // namespace
