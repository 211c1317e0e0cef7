// SPDX-License-Identifier: Apache-2.0
//
// Byte reader and writer: round trips, and every way for input to end too early.
// The plan's reader stands on them: no input may make them read past its end.

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/base/allocator.h"
#include "core/base/byte_reader.h"
#include "core/base/byte_writer.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "tests/support/failing_allocator.h"

namespace {

using trivet_test::FailingAllocator;
using trivet_test::ForEachFailure;

trivet_status_t WriteAll(tvi_byte_writer_t* w) {
  tvi_byte_writer_u8(w, 0xAB);
  tvi_byte_writer_u16(w, 0x1234);
  tvi_byte_writer_align(w, 4);
  tvi_byte_writer_u32(w, 0xDEADBEEF);
  tvi_byte_writer_u64(w, 0x0123456789ABCDEF);
  tvi_byte_writer_i32(w, -2);
  tvi_byte_writer_i64(w, INT64_MIN);
  tvi_byte_writer_f32(w, 1.5f);
  tvi_byte_writer_f64(w, -0.1);
  for (uint64_t v : {uint64_t{0}, uint64_t{127}, uint64_t{128}, uint64_t{300}, UINT64_MAX}) {
    tvi_byte_writer_varint(w, v);
  }
  tvi_byte_writer_string(w, TRIVET_SV("name"));
  tvi_byte_writer_u32(w, 3);  // count
  tvi_byte_writer_bytes(w, "abc", 3);
  return tvi_byte_writer_status(w);
}

trivet_status_t ReadAll(tvi_byte_reader_t* r) {
  uint8_t u8;
  uint16_t u16;
  uint32_t u32;
  uint64_t u64;
  int32_t i32;
  int64_t i64;
  float f32;
  double f64;
  trivet_string_view_t text;
  const uint8_t* bytes;
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u8(r, &u8));
  EXPECT_EQ(u8, 0xAB);
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u16(r, &u16));
  EXPECT_EQ(u16, 0x1234);
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_align(r, 4));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u32(r, &u32));
  EXPECT_EQ(u32, 0xDEADBEEFu);
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_u64(r, &u64));
  EXPECT_EQ(u64, 0x0123456789ABCDEFu);
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_i32(r, &i32));
  EXPECT_EQ(i32, -2);
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_i64(r, &i64));
  EXPECT_EQ(i64, INT64_MIN);
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_f32(r, &f32));
  EXPECT_EQ(f32, 1.5f);
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_f64(r, &f64));
  EXPECT_EQ(f64, -0.1);
  for (uint64_t v : {uint64_t{0}, uint64_t{127}, uint64_t{128}, uint64_t{300}, UINT64_MAX}) {
    TRIVET_RETURN_IF_ERROR(tvi_byte_reader_varint(r, &u64));
    EXPECT_EQ(u64, v);
  }
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_string(r, &text));
  EXPECT_TRUE(tvi_sv_equal(text, TRIVET_SV("name")));
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_count(r, 1, &u32));
  EXPECT_EQ(u32, 3u);
  TRIVET_RETURN_IF_ERROR(tvi_byte_reader_bytes(r, 3, &bytes));
  EXPECT_EQ(memcmp(bytes, "abc", 3), 0);
  return tvi_byte_reader_expect_end(r);
}

TEST(Bytes, RoundTripAndEveryTruncation) {
  tvi_byte_writer_t w;
  tvi_byte_writer_init(&w, trivet_allocator_system());
  ASSERT_EQ(WriteAll(&w), nullptr);
  std::vector<uint8_t> all(tvi_byte_writer_data(&w),
                           tvi_byte_writer_data(&w) + tvi_byte_writer_size(&w));
  tvi_byte_writer_deinit(&w);
  tvi_byte_reader_t r = tvi_byte_reader_make(all.data(), all.size(), "test");
  EXPECT_EQ(ReadAll(&r), nullptr);
  for (size_t size = 0; size < all.size(); ++size) {
    // A copy of exactly that size: a sanitizer sees any read beyond it.
    std::vector<uint8_t> cut(all.begin(), all.begin() + static_cast<long>(size));
    r = tvi_byte_reader_make(cut.data(), cut.size(), "test");
    trivet_status_t status = ReadAll(&r);
    EXPECT_EQ(trivet_status_code(status), TRIVET_STATUS_DATA_LOSS) << size;
    EXPECT_LE(r.offset, size);
    trivet_status_free(status);
  }
}

TEST(Bytes, LittleEndianOnEveryHost) {
  tvi_byte_writer_t w;
  tvi_byte_writer_init(&w, trivet_allocator_system());
  tvi_byte_writer_u32(&w, 0x01020304);
  EXPECT_EQ(memcmp(tvi_byte_writer_data(&w), "\x04\x03\x02\x01", 4), 0);
  tvi_byte_writer_patch_u32(&w, 0, 0x0A0B0C0D);
  EXPECT_EQ(tvi_load_u32(tvi_byte_writer_data(&w)), 0x0A0B0C0Du);
  tvi_byte_writer_u64(&w, 0);
  tvi_byte_writer_patch_u64(&w, 4, 77);
  EXPECT_EQ(tvi_load_u64(tvi_byte_writer_data(&w) + 4), 77u);
  EXPECT_EQ(tvi_load_u16(tvi_byte_writer_data(&w)), 0x0C0Du);
  ASSERT_EQ(tvi_byte_writer_status(&w), nullptr);
  tvi_byte_writer_patch_u64(&w, 5, 1);
  EXPECT_EQ(trivet_status_consume(tvi_byte_writer_status(&w)), TRIVET_STATUS_INTERNAL);
  tvi_byte_writer_deinit(&w);
}

TEST(Bytes, MessagesNameInputAndOffset) {
  uint8_t data[6] = {};
  tvi_byte_reader_t r = tvi_byte_reader_make(data, sizeof(data), "plan header");
  uint32_t u32;
  uint64_t u64;
  ASSERT_EQ(tvi_byte_reader_u32(&r, &u32), nullptr);
  trivet_status_t status = tvi_byte_reader_u64(&r, &u64);
  EXPECT_STREQ(trivet_status_message(status),
               "plan header: 8 bytes wanted at offset 4, but only 2 are left");
  trivet_status_free(status);
  status = tvi_byte_reader_seek(&r, 7);
  EXPECT_STREQ(trivet_status_message(status),
               "plan header: offset 7 lies behind the end, which is at 6");
  trivet_status_free(status);
  EXPECT_EQ(tvi_byte_reader_seek(&r, 6), nullptr);
  EXPECT_EQ(tvi_byte_reader_expect_end(&r), nullptr);
  EXPECT_EQ(trivet_status_consume(tvi_byte_reader_skip(&r, UINT64_MAX)), TRIVET_STATUS_DATA_LOSS);
}

TEST(Bytes, HostileNumbersAreRefused) {
  std::vector<uint8_t> long_varint(11, 0xFF);
  uint64_t u64 = 9;
  tvi_byte_reader_t r = tvi_byte_reader_make(long_varint.data(), long_varint.size(), "v");
  EXPECT_EQ(trivet_status_consume(tvi_byte_reader_varint(&r, &u64)), TRIVET_STATUS_DATA_LOSS);
  // 65 bits.
  std::vector<uint8_t> wide(9, 0x80);
  wide.push_back(0x02);
  r = tvi_byte_reader_make(wide.data(), wide.size(), "v");
  EXPECT_EQ(trivet_status_consume(tvi_byte_reader_varint(&r, &u64)), TRIVET_STATUS_DATA_LOSS);
  EXPECT_EQ(u64, 9u);
  EXPECT_EQ(r.offset, 0u);

  uint8_t count[8] = {0xFF, 0xFF, 0xFF, 0x7F, 0, 0, 0, 0};
  uint32_t u32 = 0;
  r = tvi_byte_reader_make(count, sizeof(count), "v");
  EXPECT_EQ(trivet_status_consume(tvi_byte_reader_count(&r, 4, &u32)), TRIVET_STATUS_DATA_LOSS);
  trivet_string_view_t text;
  EXPECT_EQ(trivet_status_consume(tvi_byte_reader_string(&r, &text)), TRIVET_STATUS_DATA_LOSS);
  EXPECT_EQ(r.offset, 0u);

  uint8_t padding[4] = {1, 0, 9, 0};
  r = tvi_byte_reader_make(padding, sizeof(padding), "v");
  ASSERT_EQ(tvi_byte_reader_skip(&r, 1), nullptr);
  trivet_status_t status = tvi_byte_reader_align(&r, 4);
  EXPECT_STREQ(trivet_status_message(status), "v: padding at offset 2 is not zero");
  trivet_status_free(status);
}

TEST(Bytes, EveryFailureIsReported) {
  uint64_t failures = ForEachFailure([](trivet_allocator_t allocator) -> trivet_status_t {
    tvi_byte_writer_t w;
    tvi_byte_writer_init(&w, allocator);
    trivet_status_t status = WriteAll(&w);
    for (uint64_t i = 0; i < 1000; ++i) tvi_byte_writer_u64(&w, i);
    uint8_t* bytes = nullptr;
    size_t size = 0;
    if (status == nullptr) status = tvi_byte_writer_take(&w, &bytes, &size);
    if (bytes != nullptr) tvi_free(allocator, bytes, size + 1);
    tvi_byte_writer_deinit(&w);
    return status;
  });
  EXPECT_GE(failures, 5u);
}

}  // namespace
