// SPDX-License-Identifier: Apache-2.0
//
// .npy and .npz: files written by NumPy (testdata/make_npy.py), round trips, every truncation and
// every flipped byte, failures of the allocator.

#include "core/base/npy.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/base/dtype.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/base/string_builder.h"
#include "core/base/string_view.h"
#include "tests/support/failing_allocator.h"

namespace {

using trivet_test::ForEachFailure;

std::string DataPath(const std::string& name) { return "tests/unit/core/base/testdata/" + name; }

class Npy : public ::testing::Test {
 protected:
  void SetUp() override { tvi_arena_init(&arena_, trivet_allocator_system(), 0); }
  void TearDown() override { tvi_arena_deinit(&arena_); }
  void Load(const std::string& name) {
    trivet_status_t status = tvi_npy_read_file(DataPath(name).c_str(), &arena_, &arrays_, &count_);
    ASSERT_EQ(status, nullptr) << trivet_status_message(status);
  }
  std::string Bytes(const std::string& name) {
    char* data = nullptr;
    size_t size = 0;
    EXPECT_EQ(tvi_file_read(DataPath(name).c_str(), trivet_allocator_system(), &data, &size),
              nullptr);
    std::string bytes(data, size);
    tvi_free(trivet_allocator_system(), data, size + 1);
    return bytes;
  }
  std::vector<double> Values(const tvi_npy_array_t& array) {
    std::vector<double> values;
    int64_t count = static_cast<int64_t>(array.size / tvi_dtype_bytes(array.dtype));
    for (int64_t i = 0; i < count; ++i) {
      values.push_back(tvi_dtype_read_f64(array.dtype, array.data, i));
    }
    return values;
  }
  std::vector<double> Range(int count, double factor) {
    std::vector<double> values;
    for (int i = 0; i < count; ++i) values.push_back(i * factor);
    return values;
  }
  tvi_arena_t arena_;
  tvi_npy_array_t* arrays_ = nullptr;
  size_t count_ = 0;
};

TEST_F(Npy, ReadsWhatNumpyWrites) {
  Load("f32.npy");
  ASSERT_EQ(count_, 1u);
  EXPECT_EQ(arrays_[0].dtype, TRIVET_DTYPE_F32);
  ASSERT_EQ(arrays_[0].rank, 2u);
  EXPECT_EQ(arrays_[0].shape[0], 3);
  EXPECT_EQ(arrays_[0].shape[1], 4);
  EXPECT_EQ(Values(arrays_[0]), Range(12, 0.5));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(arrays_[0].data) % 64, 0u);

  Load("big_endian.npy");
  EXPECT_EQ(arrays_[0].dtype, TRIVET_DTYPE_I32);
  EXPECT_EQ(Values(arrays_[0]), Range(6, 1));
  Load("fortran.npy");
  EXPECT_EQ(arrays_[0].rank, 3u);
  EXPECT_EQ(Values(arrays_[0]), Range(24, 1));
  Load("scalar.npy");
  EXPECT_EQ(arrays_[0].rank, 0u);
  EXPECT_EQ(Values(arrays_[0]), std::vector<double>{2.5});
  Load("empty.npy");
  EXPECT_EQ(arrays_[0].dtype, TRIVET_DTYPE_F16);
  EXPECT_EQ(arrays_[0].shape[1], 5);
  EXPECT_EQ(arrays_[0].size, 0u);
  Load("version2.npy");
  EXPECT_EQ(arrays_[0].dtype, TRIVET_DTYPE_BOOL);
  EXPECT_EQ(Values(arrays_[0]), (std::vector<double>{1, 0, 1}));
}

TEST_F(Npy, ReadsArchives) {
  for (const char* name : {"stored.npz", "deflated.npz"}) {
    Load(name);
    ASSERT_EQ(count_, 3u) << name;
    EXPECT_TRUE(tvi_sv_equal(arrays_[0].name, TRIVET_SV("weight")));
    EXPECT_EQ(Values(arrays_[0]), Range(1000, 1));
    EXPECT_TRUE(tvi_sv_equal(arrays_[1].name, TRIVET_SV("bias")));
    EXPECT_EQ(Values(arrays_[1]), (std::vector<double>{1, 2, 3}));
    EXPECT_EQ(arrays_[2].dtype, TRIVET_DTYPE_C128);
    EXPECT_EQ(static_cast<const double*>(arrays_[2].data)[1], 2.0);
  }
}

// What we write is byte for byte what NumPy writes.
TEST_F(Npy, WritesWhatNumpyWrites) {
  for (const char* name : {"f32.npy", "scalar.npy", "empty.npy"}) {
    Load(name);
    tvi_string_builder_t out;
    tvi_string_builder_init(&out, trivet_allocator_system());
    ASSERT_EQ(tvi_npy_write(arrays_, tvi_string_builder_sink(&out), trivet_allocator_system()),
              nullptr);
    trivet_string_view_t text = tvi_string_builder_view(&out);
    EXPECT_EQ(std::string(text.data, text.size), Bytes(name));
    tvi_string_builder_deinit(&out);
  }
}

TEST_F(Npy, ArchivesRoundTrip) {
  Load("stored.npz");
  tvi_string_builder_t first;
  tvi_string_builder_t second;
  tvi_string_builder_init(&first, trivet_allocator_system());
  tvi_string_builder_init(&second, trivet_allocator_system());
  trivet_allocator_t system = trivet_allocator_system();
  ASSERT_EQ(tvi_npz_write(arrays_, count_, tvi_string_builder_sink(&first), system), nullptr);
  ASSERT_EQ(tvi_npz_write(arrays_, count_, tvi_string_builder_sink(&second), system), nullptr);
  trivet_string_view_t bytes = tvi_string_builder_view(&first);
  EXPECT_TRUE(tvi_sv_equal(bytes, tvi_string_builder_view(&second)));
  tvi_npy_array_t* again = nullptr;
  size_t count = 0;
  ASSERT_EQ(tvi_npz_parse(bytes.data, bytes.size, &arena_, &again, &count), nullptr);
  ASSERT_EQ(count, count_);
  for (size_t i = 0; i < count; ++i) {
    EXPECT_TRUE(tvi_sv_equal(again[i].name, arrays_[i].name));
    ASSERT_EQ(again[i].size, arrays_[i].size);
    EXPECT_EQ(memcmp(again[i].data, arrays_[i].data, again[i].size), 0);
  }
  // An archive of nothing.
  tvi_string_builder_clear(&second);
  ASSERT_EQ(tvi_npz_write(nullptr, 0, tvi_string_builder_sink(&second), system), nullptr);
  bytes = tvi_string_builder_view(&second);
  ASSERT_EQ(tvi_npz_parse(bytes.data, bytes.size, &arena_, &again, &count), nullptr);
  EXPECT_EQ(count, 0u);
  tvi_string_builder_deinit(&first);
  tvi_string_builder_deinit(&second);
}

TEST_F(Npy, RefusesToWriteNonsense) {
  tvi_npy_array_t array = {};
  array.dtype = TRIVET_DTYPE_F32;
  array.rank = 1;
  array.shape[0] = 2;
  float data[2] = {1, 2};
  array.data = data;
  array.size = 4;
  tvi_string_builder_t out;
  tvi_string_builder_init(&out, trivet_allocator_system());
  trivet_sink_t sink = tvi_string_builder_sink(&out);
  EXPECT_EQ(trivet_status_consume(tvi_npy_write(&array, sink, trivet_allocator_system())),
            TRIVET_STATUS_INVALID_ARGUMENT);
  array.dtype = TRIVET_DTYPE_I4;
  array.size = 1;
  EXPECT_EQ(trivet_status_consume(tvi_npy_write(&array, sink, trivet_allocator_system())),
            TRIVET_STATUS_UNIMPLEMENTED);
  EXPECT_EQ(tvi_string_builder_view(&out).size, 0u);
  tvi_string_builder_deinit(&out);
}

// Whatever is cut or flipped: a status or an array, never a crash (a sanitizer watches); a cut file
// is always refused.
TEST_F(Npy, DamagedInputIsRefusedOrRead) {
  for (const char* name :
       {"f32.npy", "fortran.npy", "version2.npy", "stored.npz", "deflated.npz"}) {
    std::string bytes = Bytes(name);
    bool is_archive = strstr(name, ".npz") != nullptr;
    auto parse = [&](const std::string& damaged) {
      // Exactly as large as the input.
      std::vector<char> copy(damaged.begin(), damaged.end());
      tvi_arena_t arena;
      tvi_arena_init(&arena, trivet_allocator_system(), 0);
      tvi_npy_array_t array;
      tvi_npy_array_t* arrays = nullptr;
      size_t count = 0;
      trivet_status_t status =
          is_archive ? tvi_npz_parse(copy.data(), copy.size(), &arena, &arrays, &count)
                     : tvi_npy_parse(copy.data(), copy.size(), &arena, &array);
      trivet_status_code_t code = trivet_status_consume(status);
      tvi_arena_deinit(&arena);
      return code;
    };
    ASSERT_EQ(parse(bytes), TRIVET_STATUS_OK);
    for (size_t size = 0; size < bytes.size(); ++size) {
      ASSERT_NE(parse(bytes.substr(0, size)), TRIVET_STATUS_OK) << name << " cut to " << size;
    }
    size_t refused = 0;
    for (size_t at = 0; at < bytes.size(); ++at) {
      for (int mask : {0x01, 0x80, 0xFF}) {
        std::string flipped = bytes;
        flipped[at] = static_cast<char>(flipped[at] ^ mask);
        refused += parse(flipped) != TRIVET_STATUS_OK;
      }
    }
    EXPECT_GT(refused, 0u);
    // Checksums see every change of an archive's data.
    if (is_archive) {
      EXPECT_GT(refused, bytes.size() * 3 / 2) << name;
    }
  }
}

TEST_F(Npy, HostileHeadersAreNamed) {
  auto parse = [&](const std::string& header) {
    std::string bytes = "\x93NUMPY\x01" + std::string(1, '\0');
    bytes += static_cast<char>(header.size() & 255);
    bytes += static_cast<char>(header.size() >> 8);
    bytes += header + std::string(64, 'd');
    tvi_npy_array_t array;
    trivet_status_t status = tvi_npy_parse(bytes.data(), bytes.size(), &arena_, &array);
    std::string message = trivet_status_message(status);
    trivet_status_free(status);
    return message;
  };
  EXPECT_EQ(parse("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"), "OK");
  EXPECT_EQ(parse("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }"),
            "npy: the shape has too many elements");
  EXPECT_EQ(parse("{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }"),
            "npy header: element type '|O'");
  EXPECT_EQ(parse("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }"),
            "npy header: records of several fields");
  EXPECT_EQ(parse("{'descr': '<f4', 'shape': (2, 3), }"),
            "npy header: descr, fortran_order and shape expected");
  EXPECT_EQ(parse("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3), }"),
            "npy header: bad extent at '-2, 3), }'");
  EXPECT_EQ(parse("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'x': 1}"),
            "npy header: unexpected key 'x'");
  EXPECT_EQ(parse("{'descr': '<f4', 'fortran_order': False, 'shape': (99,), }"),
            "npy: 396 bytes wanted at offset 68, but only 64 are left");
  EXPECT_EQ(parse("{'descr': '<f4"), "npy header: text without end");
}

TEST_F(Npy, EveryFailureIsReported) {
  for (const char* name : {"fortran.npy", "stored.npz", "deflated.npz"}) {
    std::string path = DataPath(name);
    uint64_t failures = ForEachFailure([&](trivet_allocator_t allocator) -> trivet_status_t {
      tvi_arena_t arena;
      tvi_arena_init(&arena, allocator, 512);
      tvi_npy_array_t* arrays = nullptr;
      size_t count = 0;
      trivet_status_t status = tvi_npy_read_file(path.c_str(), &arena, &arrays, &count);
      tvi_string_builder_t out;
      tvi_string_builder_init(&out, allocator);
      if (status == nullptr) {
        status = tvi_npz_write(arrays, count, tvi_string_builder_sink(&out), allocator);
      }
      tvi_string_builder_deinit(&out);
      tvi_arena_deinit(&arena);
      return status;
    });
    EXPECT_GE(failures, 5u) << name;
  }
}

}  // namespace
