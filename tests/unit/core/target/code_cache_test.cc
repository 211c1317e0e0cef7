// SPDX-License-Identifier: Apache-2.0
//
// The code cache of a build: what is asked for is made once, on several threads, and what fails is
// not there.
#include "core/target/code_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <string>
#include <vector>

#include "core/base/allocator.h"
#include "core/base/file.h"
#include "core/base/status.h"

extern "C" {
#include "runtime/device/device.h"
}

namespace {

struct Request {
  std::string text;
  bool fails = false;
  std::atomic<int> count{0};
};

trivet_status_t Make(const void* self, trivet_allocator_t allocator, uint8_t** out_data,
                     size_t* out_size) {
  auto* request = static_cast<Request*>(const_cast<void*>(self));
  ++request->count;
  if (request->fails) return TRIVET_STATUS(INTERNAL, "it does not compile");
  TRIVET_RETURN_IF_ERROR(tvi_alloc(allocator, request->text.size(), out_data));
  std::memcpy(*out_data, request->text.data(), request->text.size());
  *out_size = request->text.size();
  return TRIVET_OK;
}

class CodeCacheTest : public ::testing::TestWithParam<uint32_t> {
 protected:
  void SetUp() override {
    tvi_code_cache_init(&cache_, trivet_allocator_system());
    if (GetParam() == 0) return;
    ASSERT_EQ(tvi_device_pool_create(GetParam(), trivet_allocator_system(), &pool_, &executor_),
              nullptr);
  }
  void TearDown() override {
    tvi_device_pool_destroy(pool_);
    tvi_code_cache_deinit(&cache_);
  }
  static tvi_hash128_t Key(uint64_t number) { return tvi_hash128(&number, sizeof(number), 0); }

  tvi_code_cache_t cache_;
  tvi_device_pool_t* pool_ = nullptr;
  trivet_executor_t* executor_ = nullptr;
};

TEST_P(CodeCacheTest, MakesEveryRequestOnce) {
  std::vector<Request> requests(40);
  cache_.is_collecting = true;
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].text = "code " + std::to_string(i);
    requests[i].fails = i % 7 == 3;
    for (int twice = 0; twice < 2; ++twice) {
      ASSERT_EQ(tvi_code_cache_request(&cache_, Key(i), Make, &requests[i]), nullptr);
    }
  }
  ASSERT_EQ(tvi_code_cache_make_all(&cache_, executor_), nullptr);
  EXPECT_FALSE(cache_.is_collecting);
  EXPECT_EQ(cache_.requests.count, 0u);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(requests[i].count.load(), 1);
    const tvi_cached_code_t* code = tvi_code_cache_find(&cache_, Key(i));
    if (requests[i].fails) {
      EXPECT_EQ(code, nullptr);
      continue;
    }
    ASSERT_NE(code, nullptr);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(code->data), code->size), requests[i].text);
  }
}

TEST_P(CodeCacheTest, NothingAskedForIsNothingMade) {
  cache_.is_collecting = true;
  ASSERT_EQ(tvi_code_cache_make_all(&cache_, executor_), nullptr);
  EXPECT_EQ(cache_.items.count, 0u);
}

TEST_P(CodeCacheTest, AFileKeepsWhatWasUsed) {
  const std::string path = ::testing::TempDir() + "code_cache_test." + std::to_string(GetParam());
  Request used, tried;
  used.text = "used";
  tried.text = "tried";
  cache_.is_collecting = true;
  ASSERT_EQ(tvi_code_cache_request(&cache_, Key(1), Make, &used), nullptr);
  ASSERT_EQ(tvi_code_cache_request(&cache_, Key(2), Make, &tried), nullptr);
  ASSERT_EQ(tvi_code_cache_make_all(&cache_, executor_), nullptr);
  cache_.is_trying = true;
  EXPECT_NE(tvi_code_cache_find(&cache_, Key(2)), nullptr);
  cache_.is_trying = false;
  EXPECT_NE(tvi_code_cache_find(&cache_, Key(1)), nullptr);
  ASSERT_EQ(tvi_code_cache_save(&cache_, path.c_str()), nullptr);

  tvi_code_cache_t read;
  tvi_code_cache_init(&read, trivet_allocator_system());
  ASSERT_EQ(tvi_code_cache_load(&read, path.c_str()), nullptr);
  ASSERT_EQ(read.items.count, 1u);
  const tvi_cached_code_t* code = tvi_code_cache_find(&read, Key(1));
  ASSERT_NE(code, nullptr);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(code->data), code->size), "used");
  // A lock file's own has what the plan uses and nothing else, whatever was there.
  const std::string own = path + ".own";
  ASSERT_EQ(tvi_code_cache_add(&read, Key(4), "made now", 8), nullptr);
  for (bool is_trying : {true, false}) {
    read.items.data[0].is_used = false;
    read.is_trying = is_trying;
    EXPECT_NE(tvi_code_cache_find(&read, Key(1)), nullptr);
    read.is_trying = false;
    ASSERT_EQ(tvi_code_cache_save_used(&read, own.c_str()), nullptr);
    tvi_code_cache_t locked;
    tvi_code_cache_init(&locked, trivet_allocator_system());
    ASSERT_EQ(tvi_code_cache_load(&locked, own.c_str()), nullptr);
    EXPECT_EQ(locked.items.count, is_trying ? 1u : 2u);
    EXPECT_NE(tvi_code_cache_find(&locked, Key(4)), nullptr);
    tvi_code_cache_deinit(&locked);
  }
  // What was read is kept, used or not, and so is what another build saved meanwhile.
  read.items.data[0].is_used = false;
  tvi_code_cache_t other;
  tvi_code_cache_init(&other, trivet_allocator_system());
  ASSERT_EQ(tvi_code_cache_add(&other, Key(3), "other", 5), nullptr);
  const std::string shared = path + ".shared";
  remove(shared.c_str());
  ASSERT_EQ(tvi_code_cache_save(&other, shared.c_str()), nullptr);
  ASSERT_EQ(tvi_code_cache_save(&read, shared.c_str()), nullptr);
  tvi_code_cache_deinit(&other);
  tvi_code_cache_init(&other, trivet_allocator_system());
  ASSERT_EQ(tvi_code_cache_load(&other, shared.c_str()), nullptr);
  EXPECT_EQ(other.items.count, 3u);
  EXPECT_NE(tvi_code_cache_find(&other, Key(1)), nullptr);
  EXPECT_NE(tvi_code_cache_find(&other, Key(3)), nullptr);
  tvi_code_cache_deinit(&other);
  tvi_code_cache_deinit(&read);

  // A file that is cut off, changed or missing gives what is whole, and no error.
  char* data = nullptr;
  size_t size = 0;
  ASSERT_EQ(tvi_file_read(path.c_str(), trivet_allocator_system(), &data, &size), nullptr);
  for (size_t cut = 0; cut <= size; ++cut) {
    std::string bytes(data, size - cut);
    if (cut == size) bytes = std::string(data, size - 1) + "!";
    ASSERT_EQ(tvi_file_write(path.c_str(), bytes.data(), bytes.size(), trivet_allocator_system()),
              nullptr);
    tvi_code_cache_init(&read, trivet_allocator_system());
    ASSERT_EQ(tvi_code_cache_load(&read, path.c_str()), nullptr);
    EXPECT_EQ(read.items.count, cut == 0 ? 1u : 0u) << cut;
    tvi_code_cache_deinit(&read);
  }
  tvi_free(trivet_allocator_system(), data, size + 1);
  tvi_code_cache_init(&read, trivet_allocator_system());
  EXPECT_EQ(tvi_code_cache_load(&read, "there/is/no.code"), nullptr);
  EXPECT_EQ(read.items.count, 0u);
  tvi_code_cache_deinit(&read);
}

INSTANTIATE_TEST_SUITE_P(Threads, CodeCacheTest, ::testing::Values(0u, 1u, 4u));

}  // namespace
