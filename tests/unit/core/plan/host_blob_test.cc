// SPDX-License-Identifier: Apache-2.0
//
// Attributes survive the way through a blob; their order does not matter; bytes that encode never
// writes are refused wherever they are cut or changed.

#include "core/plan/host_blob.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/support/failing_allocator.h"

namespace {

class HostBlob : public ::testing::Test {
 protected:
  HostBlob() { tvi_arena_init(&arena_, trivet_allocator_system(), 0); }
  ~HostBlob() override { tvi_arena_deinit(&arena_); }

  std::vector<uint8_t> Encode(const std::vector<trivet_attribute_t>& attributes) {
    const uint8_t* blob = nullptr;
    uint64_t size = 0;
    trivet_status_t status = tvi_host_blob_encode(
        attributes.data(), static_cast<uint32_t>(attributes.size()), &arena_, &blob, &size);
    EXPECT_EQ(status, nullptr) << trivet_status_message(status);
    trivet_status_free(status);
    return std::vector<uint8_t>(blob, blob + size);
  }
  std::string EncodeError(const std::vector<trivet_attribute_t>& attributes) {
    const uint8_t* blob = nullptr;
    uint64_t size = 0;
    trivet_status_t status = tvi_host_blob_encode(
        attributes.data(), static_cast<uint32_t>(attributes.size()), &arena_, &blob, &size);
    std::string message = status != nullptr ? trivet_status_message(status) : "no error";
    trivet_status_free(status);
    return message;
  }
  trivet_status_t Decode(const std::vector<uint8_t>& blob) {
    return tvi_host_blob_decode(blob.data(), blob.size(), &arena_, &decoded_, &decoded_count_);
  }

  std::vector<trivet_attribute_t> Sample() {
    tensors_[0].dtype = TRIVET_DTYPE_F32;
    tensors_[0].rank = 2;
    tensors_[0].dims[0] = 2;
    tensors_[0].dims[1] = 2;
    tensors_[0].data = floats_;
    tensors_[0].size = sizeof(floats_);
    tensors_[1].dtype = TRIVET_DTYPE_STRING;
    tensors_[1].rank = 1;
    tensors_[1].dims[0] = 2;
    tensors_[1].data = texts_;
    tensors_[1].size = sizeof(texts_);
    return {{"axes", TRIVET_ATTR_I64, TRIVET_ATTR_LIST, 3, ints_},
            {"alpha", TRIVET_ATTR_F32, 0, 1, doubles_},
            {"empty", TRIVET_ATTR_I64, TRIVET_ATTR_LIST, 0, nullptr},
            {"mode", TRIVET_ATTR_STRING, 0, 1, texts_},
            {"names", TRIVET_ATTR_STRING, TRIVET_ATTR_LIST, 2, texts_},
            {"to", TRIVET_ATTR_DTYPE, 0, 1, dtypes_},
            {"values", TRIVET_ATTR_TENSOR, TRIVET_ATTR_LIST, 2, tensors_}};
  }

  tvi_arena_t arena_;
  trivet_attribute_t* decoded_ = nullptr;
  uint32_t decoded_count_ = 0;
  int64_t ints_[3] = {-1, INT64_MIN, 7};
  double doubles_[1] = {0.1};
  trivet_string_view_t texts_[2] = {TRIVET_SV_INIT("linear"), TRIVET_SV_INIT("with\0zero")};
  uint32_t dtypes_[1] = {TRIVET_DTYPE_BF16};
  float floats_[4] = {1, 2, 3, 4};
  trivet_tensor_t tensors_[2] = {};
};

TEST_F(HostBlob, EveryKindComesBack) {
  std::vector<uint8_t> blob = Encode(Sample());
  trivet_status_t status = Decode(blob);
  ASSERT_EQ(status, nullptr) << trivet_status_message(status);
  ASSERT_EQ(decoded_count_, 7u);
  const char* sorted[] = {"alpha", "axes", "empty", "mode", "names", "to", "values"};
  for (int i = 0; i < 7; ++i) EXPECT_STREQ(decoded_[i].name, sorted[i]);
  EXPECT_EQ(*static_cast<const double*>(decoded_[0].data), 0.1);
  ASSERT_EQ(decoded_[1].count, 3u);
  EXPECT_EQ(decoded_[1].flags, TRIVET_ATTR_LIST);
  EXPECT_EQ(memcmp(decoded_[1].data, ints_, sizeof(ints_)), 0);
  EXPECT_EQ(decoded_[2].count, 0u);
  const auto* mode = static_cast<const trivet_string_view_t*>(decoded_[3].data);
  EXPECT_STREQ(mode->data, "linear");
  const auto* names = static_cast<const trivet_string_view_t*>(decoded_[4].data);
  EXPECT_EQ(std::string(names[1].data, names[1].size), std::string("with\0zero", 9));
  EXPECT_EQ(*static_cast<const uint32_t*>(decoded_[5].data), TRIVET_DTYPE_BF16);
  const auto* tensors = static_cast<const trivet_tensor_t*>(decoded_[6].data);
  EXPECT_EQ(tensors[0].dtype, TRIVET_DTYPE_F32);
  ASSERT_EQ(tensors[0].size, sizeof(floats_));
  EXPECT_EQ(memcmp(tensors[0].data, floats_, sizeof(floats_)), 0);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensors[0].data) % 16, 0u);
  ASSERT_EQ(tensors[1].dims[0], 2);
  const auto* strings = static_cast<const trivet_string_view_t*>(tensors[1].data);
  EXPECT_STREQ(strings[0].data, "linear");
}

TEST_F(HostBlob, NoAttributes) {
  std::vector<uint8_t> blob = Encode({});
  trivet_status_t status = Decode(blob);
  EXPECT_EQ(status, nullptr);
  EXPECT_EQ(decoded_count_, 0u);
}

TEST_F(HostBlob, OrderDoesNotMatter) {
  std::vector<trivet_attribute_t> attributes = Sample();
  std::vector<uint8_t> one = Encode(attributes);
  std::vector<trivet_attribute_t> reversed(attributes.rbegin(), attributes.rend());
  EXPECT_EQ(one, Encode(reversed));
}

TEST_F(HostBlob, WhatCannotBeKeptIsRefused) {
  EXPECT_EQ(EncodeError({{"body", TRIVET_ATTR_GRAPH, 0, 1, dtypes_}}),
            "attribute 'body': attributes of kind 6 cannot be kept in a plan");
  EXPECT_EQ(EncodeError({{"a", TRIVET_ATTR_I64, 0, 1, ints_}, {"a", TRIVET_ATTR_I64, 0, 1, ints_}}),
            "two attributes 'a'");
  EXPECT_EQ(EncodeError({{"a", TRIVET_ATTR_I64, 0, 2, ints_}}),
            "attribute 'a': flags 0 with 2 values");
  std::vector<trivet_attribute_t> sample = Sample();
  tensors_[0].size = 15;
  EXPECT_EQ(EncodeError(sample), "attribute 'values': the tensor has 15 bytes of 16");
  tensors_[0].dims[0] = -1;
  EXPECT_EQ(EncodeError(sample), "attribute 'values': the shape of the tensor is not one");
}

TEST_F(HostBlob, CutAnywhereIsRefused) {
  std::vector<uint8_t> blob = Encode(Sample());
  for (size_t size = 0; size < blob.size(); ++size) {
    std::vector<uint8_t> cut(blob.begin(), blob.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_EQ(trivet_status_consume(Decode(cut)), TRIVET_STATUS_DATA_LOSS) << size;
  }
  blob.push_back(0);
  EXPECT_EQ(trivet_status_consume(Decode(blob)), TRIVET_STATUS_DATA_LOSS);
}

TEST_F(HostBlob, ChangedAnywhereIsSafe) {
  std::vector<uint8_t> blob = Encode(Sample());
  size_t refused = 0, tried = 0;
  for (size_t at = 0; at < blob.size(); ++at) {
    for (int value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
      std::vector<uint8_t> changed = blob;
      changed[at] = static_cast<uint8_t>(value);
      trivet_status_code_t code = trivet_status_consume(Decode(changed));
      EXPECT_TRUE(code == TRIVET_STATUS_OK || code == TRIVET_STATUS_DATA_LOSS) << at;
      refused += code != TRIVET_STATUS_OK;
      ++tried;
    }
  }
  EXPECT_GT(refused, tried / 4);  // values may change, form may not
}

TEST_F(HostBlob, HostileCountsAllocateNothing) {
  std::vector<uint8_t> blob = Encode({{"a", TRIVET_ATTR_I64, TRIVET_ATTR_LIST, 1, ints_}});
  // The count of values stands before the last value.
  for (size_t i = 0; i < 8; ++i) blob[blob.size() - 16 + i] = 0x7f;
  trivet_test::FailingAllocator allocator;
  tvi_arena_t arena;
  tvi_arena_init(&arena, allocator.get(), 0);
  trivet_attribute_t* attributes = nullptr;
  uint32_t count = 0;
  trivet_status_t status =
      tvi_host_blob_decode(blob.data(), blob.size(), &arena, &attributes, &count);
  EXPECT_EQ(trivet_status_consume(status), TRIVET_STATUS_DATA_LOSS);
  EXPECT_LT(allocator.peak_bytes(), 20000u);
  tvi_arena_deinit(&arena);
}

TEST_F(HostBlob, EveryAllocationMayFail) {
  std::vector<trivet_attribute_t> attributes = Sample();
  uint64_t failures = trivet_test::ForEachFailure([&](trivet_allocator_t allocator) {
    tvi_arena_t arena;
    tvi_arena_init(&arena, allocator, 64);
    const uint8_t* blob = nullptr;
    uint64_t size = 0;
    trivet_attribute_t* decoded = nullptr;
    uint32_t count = 0;
    trivet_status_t status = tvi_host_blob_encode(
        attributes.data(), static_cast<uint32_t>(attributes.size()), &arena, &blob, &size);
    if (status == nullptr) status = tvi_host_blob_decode(blob, size, &arena, &decoded, &count);
    tvi_arena_deinit(&arena);
    return status;
  });
  EXPECT_GT(failures, 5u);
}

}  // namespace
