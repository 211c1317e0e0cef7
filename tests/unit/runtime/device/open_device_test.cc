// SPDX-License-Identifier: Apache-2.0
//
// Memory of devices: the definition's, or that of a caller who brings an allocator, which is asked
// for all of it, with the device's alignment, and gets all of it back.

#include "runtime/device/open_device.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace {

int g_own = 0;  // what the definition gave and did not get back

trivet_status_t Open(const trivet_device_t*, uint32_t, const trivet_allocator_t*, void** out) {
  *out = &g_own;
  return nullptr;
}
void Close(const trivet_device_t*, void*) {}
trivet_status_t Describe(const trivet_device_t*, void*, trivet_device_info_t* info) {
  strncpy(info->target, "fake:one", sizeof(info->target) - 1);
  info->alignment = 256;
  return nullptr;
}
trivet_status_t Enter(const trivet_device_t*, void*) { return nullptr; }
trivet_status_t Allocate(const trivet_device_t*, void*, uint32_t, uint64_t, void** out) {
  ++g_own;
  *out = &g_own;
  return nullptr;
}
void Release(const trivet_device_t*, void*, uint32_t, void*, uint64_t) { --g_own; }

struct Callers {
  alignas(256) char memory[512];
  uint64_t held = 0, offset = 0;
  std::string seen;
  static trivet_status_t Give(void* self, const char* target, uint32_t device, uint64_t size,
                              uint64_t alignment, void** out) {
    auto* callers = static_cast<Callers*>(self);
    callers->seen =
        std::string(target) + " " + std::to_string(device) + " " + std::to_string(alignment);
    callers->held += size;
    *out = callers->memory + callers->offset;
    return nullptr;
  }
  static void Take(void* self, const char*, uint32_t, void*, uint64_t size) {
    static_cast<Callers*>(self)->held -= size;
  }
};

TEST(OpenDevice, WhoseMemoryItIs) {
  trivet_device_t definition;
  memset(&definition, 0, sizeof(definition));
  definition.header = {sizeof(definition), TRIVET_STRUCT_DEVICE, nullptr};
  definition.target = "fake";
  definition.open = Open;
  definition.close = Close;
  definition.describe = Describe;
  definition.enter = Enter;
  definition.allocate = Allocate;
  definition.release = Release;
  for (bool brings : {false, true}) {
    tvi_device_list_t list;
    ASSERT_EQ(tvi_device_list_init(&list, trivet_allocator_system()), nullptr);
    static Callers callers;  // sanitizers align nothing so far on the stack
    if (brings) list.memory = {&callers, Callers::Give, Callers::Take};
    const tvi_open_device_t* device = nullptr;
    ASSERT_EQ(tvi_device_list_open(&list, &definition, 2, &device), nullptr);
    void* address = nullptr;
    ASSERT_EQ(tvi_device_allocate(device, TRIVET_MEMORY_DEVICE, 100, &address), nullptr);
    EXPECT_EQ(g_own, brings ? 0 : 1);
    EXPECT_EQ(callers.held, brings ? 100u : 0u);
    EXPECT_EQ(callers.seen, brings ? "fake:one 2 256" : "");
    tvi_device_release(device, TRIVET_MEMORY_DEVICE, address, 100);
    EXPECT_EQ(callers.held, 0u);
    // Page-locked memory is the driver's business.
    ASSERT_EQ(tvi_device_allocate(device, TRIVET_MEMORY_HOST, 100, &address), nullptr);
    EXPECT_EQ(g_own, 1);
    tvi_device_release(device, TRIVET_MEMORY_HOST, address, 100);
    EXPECT_EQ(g_own, 0);
    if (brings) {
      callers.offset = 64;
      trivet_status_t status = tvi_device_allocate(device, TRIVET_MEMORY_DEVICE, 100, &address);
      EXPECT_STREQ(trivet_status_message(status),
                   "the caller's device allocator gave no memory aligned to 256");
      trivet_status_free(status);
      EXPECT_EQ(callers.held, 0u);
    }
    tvi_device_list_deinit(&list);
  }
}

}  // namespace
