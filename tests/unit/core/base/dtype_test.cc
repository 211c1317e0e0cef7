// SPDX-License-Identifier: Apache-2.0
//
// Element types: the table, sizes, packing, every code of the small float formats, rounding at
// every tie, and array conversion against element-wise definitions.

#include "core/base/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/base/status.h"
#include "core/base/string_view.h"

namespace {

const double kInf = std::numeric_limits<double>::infinity();
const double kNan = std::numeric_limits<double>::quiet_NaN();

TEST(Dtype, TableAgreesWithPublicOne) {
#define CHECK_ROW(NAME, text, bit_count, CLASS)                                            \
  EXPECT_STREQ(tvi_dtype_name(TRIVET_DTYPE_##NAME), text);                                 \
  EXPECT_EQ(tvi_dtype_bits(TRIVET_DTYPE_##NAME), static_cast<uint32_t>(bit_count));        \
  EXPECT_EQ(tvi_dtype_info(TRIVET_DTYPE_##NAME)->dtype_class, TRIVET_DTYPE_CLASS_##CLASS); \
  EXPECT_EQ(tvi_dtype_from_name(tvi_sv(text)), TRIVET_DTYPE_##NAME);
  TRIVET_DTYPE_TABLE(CHECK_ROW)
  EXPECT_EQ(tvi_dtype_from_name(TRIVET_SV("float")), TRIVET_DTYPE_INVALID);
  EXPECT_STREQ(trivet_dtype_name(12345), "invalid");
  EXPECT_FALSE(tvi_dtype_is_valid(TRIVET_DTYPE_COUNT));
  EXPECT_TRUE(tvi_dtype_is_real(TRIVET_DTYPE_BOOL));
  EXPECT_FALSE(tvi_dtype_is_integer(TRIVET_DTYPE_BOOL));
  EXPECT_FALSE(tvi_dtype_is_real(TRIVET_DTYPE_C64));
  EXPECT_EQ(tvi_dtype_info(TRIVET_DTYPE_I8)->int_min, -128);
  EXPECT_EQ(tvi_dtype_info(TRIVET_DTYPE_I8)->int_max, 127u);
  EXPECT_EQ(tvi_dtype_info(TRIVET_DTYPE_I2)->int_min, -2);
  EXPECT_EQ(tvi_dtype_info(TRIVET_DTYPE_U64)->int_max, UINT64_MAX);
  EXPECT_EQ(tvi_dtype_info(TRIVET_DTYPE_I64)->int_min, INT64_MIN);
}

TEST(Dtype, StorageSize) {
  size_t size = 99;
  struct {
    trivet_dtype_t dtype;
    int64_t count;
    size_t bytes;
  } cases[] = {{TRIVET_DTYPE_F32, 3, 12}, {TRIVET_DTYPE_I4, 3, 2},    {TRIVET_DTYPE_U2, 5, 2},
               {TRIVET_DTYPE_U2, 4, 1},   {TRIVET_DTYPE_F64, 0, 0},   {TRIVET_DTYPE_C128, 2, 32},
               {TRIVET_DTYPE_BOOL, 7, 7}, {TRIVET_DTYPE_F4E2M1, 1, 1}};
  for (auto& c : cases) {
    ASSERT_EQ(trivet_dtype_storage_size(c.dtype, c.count, &size), nullptr);
    EXPECT_EQ(size, c.bytes);
  }
  // Four elements a byte: the largest count is no problem.
  ASSERT_EQ(tvi_dtype_storage_size(TRIVET_DTYPE_I2, INT64_MAX, &size), nullptr);
  EXPECT_EQ(size, static_cast<size_t>(INT64_MAX / 4 + 1));
  size = 99;
  EXPECT_EQ(trivet_status_consume(tvi_dtype_storage_size(TRIVET_DTYPE_F64, INT64_MAX, &size)),
            TRIVET_STATUS_OUT_OF_RANGE);
  EXPECT_EQ(trivet_status_consume(tvi_dtype_storage_size(TRIVET_DTYPE_F32, -1, &size)),
            TRIVET_STATUS_INVALID_ARGUMENT);
  EXPECT_EQ(trivet_status_consume(tvi_dtype_storage_size(TRIVET_DTYPE_STRING, 1, &size)),
            TRIVET_STATUS_INVALID_ARGUMENT);
  EXPECT_EQ(trivet_status_consume(tvi_dtype_storage_size(1000, 1, &size)),
            TRIVET_STATUS_INVALID_ARGUMENT);
  EXPECT_EQ(size, 99u);
}

// Values from the formats' definitions (OCP 8-bit floating point, OCP microscaling formats, IEEE
// 754).
TEST(Dtype, KnownCodes) {
  struct {
    trivet_dtype_t dtype;
    uint32_t code;
    double value;
  } cases[] = {
      {TRIVET_DTYPE_F16, 0x3C00, 1.0},          {TRIVET_DTYPE_F16, 0x7BFF, 65504.0},
      {TRIVET_DTYPE_F16, 0x0001, 0x1p-24},      {TRIVET_DTYPE_F16, 0xFC00, -kInf},
      {TRIVET_DTYPE_BF16, 0x3F80, 1.0},         {TRIVET_DTYPE_BF16, 0x0001, 0x1p-133},
      {TRIVET_DTYPE_BF16, 0x7F80, kInf},        {TRIVET_DTYPE_F8E4M3FN, 0x38, 1.0},
      {TRIVET_DTYPE_F8E4M3FN, 0x7E, 448.0},     {TRIVET_DTYPE_F8E4M3FN, 0x01, 0x1p-9},
      {TRIVET_DTYPE_F8E4M3FN, 0x08, 0x1p-6},    {TRIVET_DTYPE_F8E4M3FN, 0x7F, kNan},
      {TRIVET_DTYPE_F8E4M3FN, 0xFF, kNan},      {TRIVET_DTYPE_F8E4M3FNUZ, 0x7F, 240.0},
      {TRIVET_DTYPE_F8E4M3FNUZ, 0x01, 0x1p-10}, {TRIVET_DTYPE_F8E4M3FNUZ, 0x80, kNan},
      {TRIVET_DTYPE_F8E4M3FNUZ, 0x40, 1.0},     {TRIVET_DTYPE_F8E5M2, 0x3C, 1.0},
      {TRIVET_DTYPE_F8E5M2, 0x7B, 57344.0},     {TRIVET_DTYPE_F8E5M2, 0x7C, kInf},
      {TRIVET_DTYPE_F8E5M2, 0x7D, kNan},        {TRIVET_DTYPE_F8E5M2, 0x01, 0x1p-16},
      {TRIVET_DTYPE_F8E5M2FNUZ, 0x7F, 57344.0}, {TRIVET_DTYPE_F8E5M2FNUZ, 0x01, 0x1p-17},
      {TRIVET_DTYPE_F8E5M2FNUZ, 0x80, kNan},    {TRIVET_DTYPE_F8E8M0, 0x00, 0x1p-127},
      {TRIVET_DTYPE_F8E8M0, 0x7F, 1.0},         {TRIVET_DTYPE_F8E8M0, 0xFE, 0x1p127},
      {TRIVET_DTYPE_F8E8M0, 0xFF, kNan},        {TRIVET_DTYPE_F4E2M1, 0x1, 0.5},
      {TRIVET_DTYPE_F4E2M1, 0x2, 1.0},          {TRIVET_DTYPE_F4E2M1, 0x7, 6.0},
      {TRIVET_DTYPE_F4E2M1, 0xF, -6.0},
  };
  for (auto& c : cases) {
    double value = tvi_float_decode(c.dtype, c.code);
    if (std::isnan(c.value)) {
      EXPECT_TRUE(std::isnan(value)) << tvi_dtype_name(c.dtype) << " " << c.code;
    } else {
      EXPECT_EQ(value, c.value) << tvi_dtype_name(c.dtype) << " " << c.code;
      EXPECT_EQ(tvi_float_encode(c.dtype, c.value, false), c.code) << tvi_dtype_name(c.dtype);
    }
  }
}

class SmallFloat : public ::testing::TestWithParam<trivet_dtype_t> {
 protected:
  bool IsUnsigned() const { return GetParam() == TRIVET_DTYPE_F8E8M0; }
};

// Between neighbours a < b every number goes to the nearer one, the middle to the even code:
// checked at the middle and right beside it, for all neighbours of the format, with both signs.
TEST_P(SmallFloat, RoundsToNearestEven) {
  trivet_dtype_t dtype = GetParam();
  uint32_t bits = tvi_dtype_bits(dtype);
  uint32_t sign = IsUnsigned() ? 0 : 1u << (bits - 1);
  uint32_t end = IsUnsigned() ? 255 : sign;
  int pairs = 0;
  for (uint32_t code = 0; code + 1 < end; ++code) {
    double a = tvi_float_decode(dtype, code);
    double b = tvi_float_decode(dtype, code + 1);
    if (!std::isfinite(a) || !std::isfinite(b)) break;
    ASSERT_LT(a, b);
    ++pairs;
    double middle = (a + b) / 2;
    uint32_t even = code % 2 == 0 ? code : code + 1;
    for (uint32_t s : {0u, sign}) {
      double f = s != 0 ? -1 : 1;
      bool no_negative_zero = dtype == TRIVET_DTYPE_F8E4M3FNUZ || dtype == TRIVET_DTYPE_F8E5M2FNUZ;
      auto expect = [&](double value, uint32_t magnitude) {
        uint32_t want = magnitude == 0 && no_negative_zero ? 0 : magnitude | s;
        ASSERT_EQ(tvi_float_encode(dtype, f * value, false), want) << value;
        ASSERT_EQ(tvi_float_encode(dtype, f * value, true), want) << value;
      };
      expect(a, code);
      expect(middle, even);
      expect(std::nextafter(middle, 0), code);
      expect(std::nextafter(middle, kInf), code + 1);
      if (s == sign) break;
    }
  }
  EXPECT_GE(pairs, static_cast<int>(end) - (1 << (bits > 8 ? 10 : 3)) - 1);
}

TEST_P(SmallFloat, TooLargeAndNan) {
  trivet_dtype_t dtype = GetParam();
  const tvi_dtype_info_t* row = tvi_dtype_info(dtype);
  bool wide = row->bits == 16;
  bool has_infinity = (row->float_flags & TVI_FLOAT_HAS_INFINITY) != 0;
  bool has_nan = dtype != TRIVET_DTYPE_F4E2M1;
  for (double value : {kInf, 1e300, row->float_max * 4}) {
    double saturated = tvi_float_decode(dtype, tvi_float_encode(dtype, value, true));
    EXPECT_EQ(saturated, wide ? kInf : row->float_max);
    double plain = tvi_float_decode(dtype, tvi_float_encode(dtype, value, false));
    if (has_infinity) {
      EXPECT_EQ(plain, kInf);
    } else if (has_nan && !IsUnsigned()) {
      EXPECT_TRUE(std::isnan(plain));
    } else {
      EXPECT_EQ(plain, row->float_max);
    }
    if (!IsUnsigned()) {
      saturated = tvi_float_decode(dtype, tvi_float_encode(dtype, -value, true));
      EXPECT_EQ(saturated, wide ? -kInf : -row->float_max);
    }
  }
  double nan = tvi_float_decode(dtype, tvi_float_encode(dtype, kNan, true));
  EXPECT_TRUE(has_nan ? std::isnan(nan) : nan == 6.0);
}

INSTANTIATE_TEST_SUITE_P(Formats, SmallFloat,
                         ::testing::Values(TRIVET_DTYPE_F16, TRIVET_DTYPE_BF16,
                                           TRIVET_DTYPE_F8E4M3FN, TRIVET_DTYPE_F8E4M3FNUZ,
                                           TRIVET_DTYPE_F8E5M2, TRIVET_DTYPE_F8E5M2FNUZ,
                                           TRIVET_DTYPE_F8E8M0, TRIVET_DTYPE_F4E2M1),
                         [](const auto& info) { return std::string(tvi_dtype_name(info.param)); });

TEST(Dtype, HalfRoundTripsEveryCode) {
  for (uint32_t code = 0; code < 65536; ++code) {
    float value = tvi_f16_to_f32(static_cast<uint16_t>(code));
    bool is_nan = (code & 0x7C00) == 0x7C00 && (code & 0x3FF) != 0;
    ASSERT_EQ(std::isnan(value), is_nan);
    uint32_t expected = is_nan ? code | 0x200 : code;
    ASSERT_EQ(tvi_f32_to_f16(value), expected);
    ASSERT_EQ(tvi_f64_to_f16(static_cast<double>(value)), expected);
    value = tvi_bf16_to_f32(static_cast<uint16_t>(code));
    is_nan = (code & 0x7F80) == 0x7F80 && (code & 0x7F) != 0;
    expected = is_nan ? code | 0x40 : code;
    ASSERT_EQ(tvi_f32_to_bf16(value), expected);
    ASSERT_EQ(tvi_f64_to_bf16(static_cast<double>(value)), expected);
  }
}

// Through f32 these would be rounded twice, to the wrong side.
TEST(Dtype, DoubleToHalfRoundsOnce) {
  EXPECT_EQ(tvi_f64_to_f16(1.0 + 0x1p-11 + 0x1p-40), 0x3C01);
  EXPECT_EQ(tvi_f64_to_f16(1.0 + 0x1p-11), 0x3C00);
  EXPECT_EQ(tvi_f64_to_f16(1.0 + 0x3p-11 - 0x1p-40), 0x3C01);
  EXPECT_EQ(tvi_f64_to_bf16(1.0 + 0x1p-8 + 0x1p-50), 0x3F81);
  EXPECT_EQ(tvi_f64_to_bf16(-1.0 - 0x1p-8 - 0x1p-50), 0xBF81);
  EXPECT_EQ(tvi_f64_to_f16(1e-300), 0);
  EXPECT_EQ(tvi_f64_to_f16(-1e300), 0xFC00);
  EXPECT_EQ(tvi_f64_to_bf16(0x1.ffp127), 0x7F80);
  EXPECT_EQ(tvi_f64_to_bf16(std::nextafter(0x1.ffp127, 0)), 0x7F7F);
}

TEST(Dtype, PackedElements) {
  for (trivet_dtype_t dtype :
       {TRIVET_DTYPE_I4, TRIVET_DTYPE_U4, TRIVET_DTYPE_I2, TRIVET_DTYPE_U2, TRIVET_DTYPE_F4E2M1}) {
    const tvi_dtype_info_t* row = tvi_dtype_info(dtype);
    std::vector<uint8_t> bytes(8, 0xFF);
    std::vector<double> expected;
    for (int64_t i = 0; i < 16; ++i) {
      int64_t low = row->dtype_class == TRIVET_DTYPE_CLASS_FLOAT ? -4 : row->int_min;
      int64_t range = row->dtype_class == TRIVET_DTYPE_CLASS_FLOAT
                          ? 8
                          : static_cast<int64_t>(row->int_max) - low + 1;
      double value = static_cast<double>(low + i * 5 % range);
      tvi_dtype_write_f64(dtype, bytes.data(), i, value);
      expected.push_back(tvi_float_decode(dtype, tvi_float_encode(dtype, value, true)));
      if (row->dtype_class != TRIVET_DTYPE_CLASS_FLOAT) expected.back() = value;
    }
    for (int64_t i = 0; i < 16; ++i) {
      EXPECT_EQ(tvi_dtype_read_f64(dtype, bytes.data(), i), expected[static_cast<size_t>(i)])
          << row->name << " " << i;
    }
  }
  uint8_t byte = 0;
  tvi_dtype_write_i64(TRIVET_DTYPE_U4, &byte, 0, 3);
  tvi_dtype_write_i64(TRIVET_DTYPE_U4, &byte, 1, 10);
  EXPECT_EQ(byte, 0xA3);
}

TEST(Dtype, SingleElementsSaturate) {
  int8_t i8 = 0;
  tvi_dtype_write_f64(TRIVET_DTYPE_I8, &i8, 0, 1000);
  EXPECT_EQ(i8, 127);
  tvi_dtype_write_f64(TRIVET_DTYPE_I8, &i8, 0, -1000);
  EXPECT_EQ(i8, -128);
  tvi_dtype_write_f64(TRIVET_DTYPE_I8, &i8, 0, kNan);
  EXPECT_EQ(i8, 0);
  tvi_dtype_write_f64(TRIVET_DTYPE_I8, &i8, 0, -2.9);
  EXPECT_EQ(i8, -2);
  uint64_t u64 = 0;
  tvi_dtype_write_f64(TRIVET_DTYPE_U64, &u64, 0, kInf);
  EXPECT_EQ(u64, UINT64_MAX);
  tvi_dtype_write_i64(TRIVET_DTYPE_U64, &u64, 0, -1);
  EXPECT_EQ(u64, 0u);
  uint64_t large = UINT64_MAX;
  EXPECT_EQ(tvi_dtype_read_i64(TRIVET_DTYPE_U64, &large, 0), -1);
  EXPECT_EQ(tvi_dtype_read_f64(TRIVET_DTYPE_U64, &large, 0), 0x1p64);
  int64_t exact = (INT64_C(1) << 53) + 1;
  EXPECT_EQ(tvi_dtype_read_i64(TRIVET_DTYPE_I64, &exact, 0), exact);
  double d = 1e300;
  EXPECT_EQ(tvi_dtype_read_i64(TRIVET_DTYPE_F64, &d, 0), INT64_MAX);
  d = -1e300;
  EXPECT_EQ(tvi_dtype_read_i64(TRIVET_DTYPE_F64, &d, 0), INT64_MIN);
  d = kNan;
  EXPECT_EQ(tvi_dtype_read_i64(TRIVET_DTYPE_F64, &d, 0), 0);
  uint8_t boolean = 77;
  EXPECT_EQ(tvi_dtype_read_i64(TRIVET_DTYPE_BOOL, &boolean, 0), 1);
  tvi_dtype_write_f64(TRIVET_DTYPE_BOOL, &boolean, 0, kNan);
  EXPECT_EQ(boolean, 1);
  // Types without numbers neither read nor write.
  EXPECT_EQ(tvi_dtype_read_f64(TRIVET_DTYPE_STRING, &d, 0), 0.0);
  tvi_dtype_write_f64(999, &boolean, 0, 0);
  EXPECT_EQ(boolean, 1);
}

// One rounding from 64-bit integers, too.
TEST(Dtype, IntegersToFloats) {
  int64_t values[] = {(INT64_C(1) << 24) + 1,
                      -((INT64_C(1) << 62) + (INT64_C(1) << 38) + 1),
                      (INT64_C(1) << 62) + (INT64_C(1) << 54) + 1,
                      INT64_MAX,
                      INT64_MIN,
                      0};
  float f[6];
  double d[6];
  uint16_t b[6];
  ASSERT_EQ(tvi_dtype_convert(TRIVET_DTYPE_F32, f, TRIVET_DTYPE_I64, values, 6, false), nullptr);
  ASSERT_EQ(tvi_dtype_convert(TRIVET_DTYPE_F64, d, TRIVET_DTYPE_I64, values, 6, false), nullptr);
  ASSERT_EQ(tvi_dtype_convert(TRIVET_DTYPE_BF16, b, TRIVET_DTYPE_I64, values, 6, false), nullptr);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(f[i], static_cast<float>(values[i]));
    EXPECT_EQ(d[i], static_cast<double>(values[i]));
  }
  // Half of bf16's last place at 2^62 is 2^54; one more rounds up.
  EXPECT_EQ(tvi_bf16_to_f32(b[2]), 0x1.02p62f);
  EXPECT_EQ(tvi_bf16_to_f32(b[3]), 0x1p63f);
  float single = 0;
  tvi_dtype_write_i64(TRIVET_DTYPE_F32, &single, 0, values[1]);
  EXPECT_EQ(single, static_cast<float>(values[1]));
}

TEST(Dtype, IntegersWrapOrClamp) {
  int32_t source[] = {300, -300, 127, -129, 5};
  int8_t wrapped[5];
  int8_t clamped[5];
  uint8_t unsigned_clamped[5];
  ASSERT_EQ(tvi_dtype_convert(TRIVET_DTYPE_I8, wrapped, TRIVET_DTYPE_I32, source, 5, false),
            nullptr);
  ASSERT_EQ(tvi_dtype_convert(TRIVET_DTYPE_I8, clamped, TRIVET_DTYPE_I32, source, 5, true),
            nullptr);
  ASSERT_EQ(tvi_dtype_convert(TRIVET_DTYPE_U8, unsigned_clamped, TRIVET_DTYPE_I32, source, 5, true),
            nullptr);
  int8_t want_wrapped[] = {44, -44, 127, 127, 5};
  int8_t want_clamped[] = {127, -128, 127, -128, 5};
  uint8_t want_unsigned[] = {255, 0, 127, 0, 5};
  EXPECT_EQ(memcmp(wrapped, want_wrapped, 5), 0);
  EXPECT_EQ(memcmp(clamped, want_clamped, 5), 0);
  EXPECT_EQ(memcmp(unsigned_clamped, want_unsigned, 5), 0);
  double numbers[] = {-1.5, 300.7, kNan, 1e300, -0x1p63};
  uint8_t bytes[5];
  ASSERT_EQ(tvi_dtype_convert(TRIVET_DTYPE_U8, bytes, TRIVET_DTYPE_F64, numbers, 5, false),
            nullptr);
  uint8_t want_bytes[] = {255, 44, 0, 0, 0};
  EXPECT_EQ(memcmp(bytes, want_bytes, 5), 0);
  uint64_t top = UINT64_MAX;
  int64_t i64 = 0;
  ASSERT_EQ(tvi_dtype_convert(TRIVET_DTYPE_I64, &i64, TRIVET_DTYPE_U64, &top, 1, true), nullptr);
  EXPECT_EQ(i64, INT64_MAX);
}

// Every pair of real types, each element against the single-element functions.
TEST(Dtype, ConvertAgreesWithElements) {
  std::mt19937 random(5);
  // Above 256, where small formats are read through a table; odd, so that packed bytes are not
  // full.
  const int64_t count = 301;
  for (trivet_dtype_t from = 1; from < TRIVET_DTYPE_COUNT; ++from) {
    if (!tvi_dtype_is_real(from)) continue;
    size_t from_size;
    ASSERT_EQ(tvi_dtype_storage_size(from, count, &from_size), nullptr);
    // One byte more in front, so that unaligned input is covered as well.
    for (size_t shift : {0, 1}) {
      std::vector<uint8_t> source(from_size + shift);
      for (int64_t i = 0; i < count; ++i) {
        tvi_dtype_write_f64(from, source.data() + shift, i,
                            static_cast<double>(static_cast<int>(random() % 400)) / 2 - 100);
      }
      for (trivet_dtype_t to = 1; to < TRIVET_DTYPE_COUNT; ++to) {
        if (!tvi_dtype_is_real(to)) continue;
        size_t to_size;
        ASSERT_EQ(tvi_dtype_storage_size(to, count, &to_size), nullptr);
        std::vector<uint8_t> result(to_size, 0xCD);
        ASSERT_EQ(tvi_dtype_convert(to, result.data(), from, source.data() + shift, count, true),
                  nullptr);
        for (int64_t i = 0; i < count; ++i) {
          double value = tvi_dtype_read_f64(from, source.data() + shift, i);
          uint64_t want = 0;
          tvi_dtype_write_f64(to, &want, 0, value);
          double want_value = tvi_dtype_read_f64(to, &want, 0);
          double got = tvi_dtype_read_f64(to, result.data(), i);
          ASSERT_TRUE(got == want_value || (std::isnan(got) && std::isnan(want_value)))
              << tvi_dtype_name(from) << " to " << tvi_dtype_name(to) << ": " << value << " gives "
              << got << ", not " << want_value;
        }
        // Padding bits are zero.
        uint32_t used = static_cast<uint32_t>(count) * tvi_dtype_bits(to) % 8;
        if (used != 0) {
          EXPECT_EQ(result.back() >> used, 0);
        }
      }
    }
  }
}

TEST(Dtype, ConvertComplex) {
  float source[] = {1, 2, 3, 4};
  double wide[4] = {};
  ASSERT_EQ(tvi_dtype_convert(TRIVET_DTYPE_C128, wide, TRIVET_DTYPE_C64, source, 2, false),
            nullptr);
  EXPECT_EQ(wide[3], 4.0);
  ASSERT_EQ(tvi_dtype_convert(TRIVET_DTYPE_C128, wide, TRIVET_DTYPE_F32, source, 2, false),
            nullptr);
  EXPECT_EQ(wide[2], 2.0);
  EXPECT_EQ(wide[3], 0.0);
  trivet_status_t status =
      tvi_dtype_convert(TRIVET_DTYPE_F32, source, TRIVET_DTYPE_C64, wide, 1, false);
  EXPECT_STREQ(trivet_status_message(status), "cannot convert c64 to f32");
  EXPECT_EQ(trivet_status_consume(status), TRIVET_STATUS_INVALID_ARGUMENT);
  EXPECT_EQ(trivet_status_consume(
                tvi_dtype_convert(TRIVET_DTYPE_F32, source, TRIVET_DTYPE_STRING, wide, 1, false)),
            TRIVET_STATUS_INVALID_ARGUMENT);
  EXPECT_EQ(source[0], 1.0f);
}

}  // namespace
