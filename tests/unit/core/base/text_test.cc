// SPDX-License-Identifier: Apache-2.0
//
// String views, numbers from and to text, the string builder.
// Numbers must survive the way to text and back to the bit, whatever the locale.

#include <gtest/gtest.h>

#include <clocale>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "core/base/allocator.h"
#include "core/base/sink.h"
#include "core/base/status.h"
#include "core/base/string_builder.h"
#include "core/base/string_view.h"
#include "tests/support/failing_allocator.h"

namespace {

using trivet_test::FailingAllocator;
using trivet_test::ForEachFailure;

std::string Text(trivet_string_view_t view) {
  return view.size == 0 ? "" : std::string(view.data, view.size);
}

TEST(StringView, ComparesAndCuts) {
  EXPECT_TRUE(tvi_sv_equal(TRIVET_SV("ab"), tvi_sv("ab")));
  EXPECT_FALSE(tvi_sv_equal(TRIVET_SV("ab"), TRIVET_SV("abc")));
  EXPECT_TRUE(tvi_sv_equal(tvi_sv(nullptr), TRIVET_SV("")));
  EXPECT_LT(tvi_sv_compare(TRIVET_SV("ab"), TRIVET_SV("abc")), 0);
  EXPECT_GT(tvi_sv_compare(TRIVET_SV("b"), TRIVET_SV("abc")), 0);
  EXPECT_EQ(tvi_sv_compare(TRIVET_SV("abc"), TRIVET_SV("abc")), 0);
  EXPECT_TRUE(tvi_sv_starts_with(TRIVET_SV("model.onnx"), TRIVET_SV("model")));
  EXPECT_FALSE(tvi_sv_starts_with(TRIVET_SV("mo"), TRIVET_SV("model")));
  EXPECT_TRUE(tvi_sv_ends_with(TRIVET_SV("model.onnx"), TRIVET_SV(".onnx")));
  EXPECT_TRUE(tvi_sv_ends_with(TRIVET_SV(""), TRIVET_SV("")));
  EXPECT_EQ(tvi_sv_find(TRIVET_SV("a/b/c"), '/'), 1u);
  EXPECT_EQ(tvi_sv_find_last(TRIVET_SV("a/b/c"), '/'), 3u);
  EXPECT_EQ(tvi_sv_find(TRIVET_SV("abc"), '/'), SIZE_MAX);
  EXPECT_EQ(Text(tvi_sv_slice(TRIVET_SV("abcdef"), 2, 3)), "cde");
  EXPECT_EQ(Text(tvi_sv_slice(TRIVET_SV("abcdef"), 9, 3)), "");
  EXPECT_EQ(Text(tvi_sv_trim(TRIVET_SV(" \t a b\r\n"))), "a b");
  EXPECT_EQ(Text(tvi_sv_trim(TRIVET_SV("  "))), "");
  trivet_string_view_t rest = TRIVET_SV("a,,b");
  EXPECT_EQ(Text(tvi_sv_split(&rest, ',')), "a");
  EXPECT_EQ(Text(tvi_sv_split(&rest, ',')), "");
  EXPECT_EQ(Text(tvi_sv_split(&rest, ',')), "b");
  EXPECT_EQ(rest.data, nullptr);
}

TEST(StringView, ParsesIntegers) {
  int64_t i = 5;
  EXPECT_TRUE(tvi_sv_parse_i64(TRIVET_SV("-9223372036854775808"), &i));
  EXPECT_EQ(i, INT64_MIN);
  EXPECT_TRUE(tvi_sv_parse_i64(TRIVET_SV("+9223372036854775807"), &i));
  EXPECT_EQ(i, INT64_MAX);
  EXPECT_TRUE(tvi_sv_parse_i64(TRIVET_SV("-0x10"), &i));
  EXPECT_EQ(i, -16);
  for (const char* bad : {"", "-", "+", "0x", "1x", " 1", "1 ", "--1", "9223372036854775808",
                          "-9223372036854775809", "99999999999999999999999"}) {
    EXPECT_FALSE(tvi_sv_parse_i64(tvi_sv(bad), &i)) << bad;
  }
  EXPECT_EQ(i, -16);
  uint64_t u;
  EXPECT_TRUE(tvi_sv_parse_u64(TRIVET_SV("18446744073709551615"), &u));
  EXPECT_EQ(u, UINT64_MAX);
  EXPECT_TRUE(tvi_sv_parse_u64(TRIVET_SV("0xFfFfFfFfFfFfFfFf"), &u));
  EXPECT_EQ(u, UINT64_MAX);
  EXPECT_FALSE(tvi_sv_parse_u64(TRIVET_SV("18446744073709551616"), &u));
  EXPECT_FALSE(tvi_sv_parse_u64(TRIVET_SV("-1"), &u));
}

TEST(StringView, ParsesFloats) {
  double d = 0;
  EXPECT_TRUE(tvi_sv_parse_f64(TRIVET_SV("1e-5"), &d));
  EXPECT_EQ(d, 1e-5);
  EXPECT_TRUE(tvi_sv_parse_f64(TRIVET_SV("-0x1.8p3"), &d));
  EXPECT_EQ(d, -12.0);
  EXPECT_TRUE(tvi_sv_parse_f64(TRIVET_SV("4.9e-324"), &d));
  EXPECT_EQ(d, std::numeric_limits<double>::denorm_min());
  EXPECT_TRUE(tvi_sv_parse_f64(TRIVET_SV("-inf"), &d));
  EXPECT_EQ(d, -INFINITY);
  EXPECT_TRUE(tvi_sv_parse_f64(TRIVET_SV("nan"), &d));
  EXPECT_TRUE(std::isnan(d));
  d = 3;
  for (const char* bad : {"", " 1", "1 ", "1,5", "1e999", "0x", "nan(1)", "e5", "1.0f", "--1"}) {
    EXPECT_FALSE(tvi_sv_parse_f64(tvi_sv(bad), &d)) << bad;
  }
  EXPECT_EQ(d, 3.0);
}

TEST(Number, FormatsShortest) {
  char buffer[TVI_NUMBER_TEXT_SIZE];
  struct {
    double value;
    const char* text;
  } cases[] = {
      {0.1, "0.1"},      {1, "1.0"},          {-0.0, "-0.0"}, {1e300, "1e+300"},
      {INFINITY, "inf"}, {-INFINITY, "-inf"}, {NAN, "nan"},   {1.0 / 3, "0.3333333333333333"}};
  for (auto& c : cases) {
    EXPECT_EQ(tvi_format_f64(c.value, buffer), strlen(c.text));
    EXPECT_STREQ(buffer, c.text);
  }
  tvi_format_f32(0.1f, buffer);
  EXPECT_STREQ(buffer, "0.1");
  tvi_format_f32(16777216.0f, buffer);
  EXPECT_STREQ(buffer, "16777216.0");
}

TEST(Number, RoundTripsBits) {
  std::mt19937_64 random(3);
  char buffer[TVI_NUMBER_TEXT_SIZE];
  for (int i = 0; i < 20000; ++i) {
    uint64_t bits = random();
    double value;
    memcpy(&value, &bits, sizeof(value));
    if (value != value) continue;
    double back = 0;
    size_t size = tvi_format_f64(value, buffer);
    ASSERT_LT(size, sizeof(buffer));
    ASSERT_TRUE(tvi_sv_parse_f64(tvi_sv_make(buffer, size), &back)) << buffer;
    ASSERT_EQ(memcmp(&back, &value, sizeof(value)), 0) << buffer;
    float narrow = static_cast<float>(value);
    size = tvi_format_f32(narrow, buffer);
    ASSERT_TRUE(tvi_sv_parse_f64(tvi_sv_make(buffer, size), &back)) << buffer;
    ASSERT_EQ(static_cast<float>(back), narrow) << buffer;
  }
}

// A locale with a decimal comma must change nothing. Where none is installed, the loop does nothing
// beyond what the tests above do.
TEST(Number, IgnoresLocale) {
  for (const char* name : {"C", "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8"}) {
    if (setlocale(LC_ALL, name) == nullptr) continue;
    char buffer[TVI_NUMBER_TEXT_SIZE];
    tvi_format_f64(1.5, buffer);
    EXPECT_STREQ(buffer, "1.5");
    double d = 0;
    EXPECT_TRUE(tvi_sv_parse_f64(TRIVET_SV("1.5"), &d));
    EXPECT_EQ(d, 1.5);
  }
  setlocale(LC_ALL, "C");
}

std::string Take(tvi_string_builder_t* builder) {
  char* text = nullptr;
  size_t size = 0;
  EXPECT_EQ(tvi_string_builder_take(builder, &text, &size), nullptr);
  std::string copy(text, size);
  EXPECT_EQ(text[size], '\0');
  tvi_free(builder->allocator, text, size + 1);
  return copy;
}

TEST(StringBuilder, Appends) {
  FailingAllocator allocator;
  tvi_string_builder_t b;
  tvi_string_builder_init(&b, allocator.get());
  tvi_string_builder_append(&b, TRIVET_SV("x="));
  tvi_string_builder_appendf(&b, "%d,%s", 42, "y");
  tvi_string_builder_append_char(&b, ';');
  tvi_string_builder_append_repeated(&b, '-', 100);
  tvi_string_builder_append_i64(&b, INT64_MIN);
  tvi_string_builder_append_cstr(&b, "");
  tvi_string_builder_append_f64(&b, 0.5);
  tvi_string_builder_append_f32(&b, 2.0f);
  EXPECT_EQ(Take(&b), "x=42,y;" + std::string(100, '-') + "-92233720368547758080.52.0");
  EXPECT_EQ(Take(&b), "");
  tvi_string_builder_append_cstr(&b, "gone");
  tvi_string_builder_clear(&b);
  tvi_string_builder_append_cstr(&b, "kept");
  EXPECT_EQ(Text(tvi_string_builder_view(&b)), "kept");
  tvi_string_builder_deinit(&b);
  EXPECT_EQ(allocator.live_blocks(), 0u);
  EXPECT_EQ(allocator.bad_frees(), 0u);
}

TEST(StringBuilder, EscapesJson) {
  tvi_string_builder_t b;
  tvi_string_builder_init(&b, trivet_allocator_system());
  tvi_string_builder_append_json(&b, TRIVET_SV("a\"\\\n\t\x01\x7f"));
  EXPECT_EQ(Take(&b), "\"a\\\"\\\\\\n\\t\\u0001\\u007f\"");
  // Well-formed sequences of every length stay.
  std::string good = "\xC2\x80\xE2\x82\xAC\xF0\x9F\x98\x80";
  tvi_string_builder_append_json(&b, tvi_sv(good.c_str()));
  EXPECT_EQ(Take(&b), "\"" + good + "\"");
  // Overlong, surrogate, too large, cut off, lone continuation.
  for (const char* bad : {"\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE2\x82", "\x80"}) {
    tvi_string_builder_append_json(&b, tvi_sv(bad));
    std::string text = Take(&b);
    EXPECT_NE(text.find("\xEF\xBF\xBD"), std::string::npos) << bad;
    EXPECT_EQ(text.find(bad), std::string::npos);
  }
  tvi_string_builder_append_html(&b, TRIVET_SV("<a href=\"x\">'&'"));
  EXPECT_EQ(Take(&b), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;");
  tvi_string_builder_deinit(&b);
}

TEST(StringBuilder, RemembersFirstFailure) {
  FailingAllocator allocator(2);
  tvi_string_builder_t b;
  tvi_string_builder_init(&b, allocator.get());
  tvi_string_builder_append_cstr(&b, "short");
  tvi_string_builder_append_repeated(&b, 'x', 1000);
  tvi_string_builder_append_cstr(&b, "later");
  EXPECT_EQ(Text(tvi_string_builder_view(&b)), "short");
  char* text = nullptr;
  size_t size = 0;
  EXPECT_EQ(trivet_status_consume(tvi_string_builder_take(&b, &text, &size)),
            TRIVET_STATUS_OUT_OF_MEMORY);
  EXPECT_EQ(text, nullptr);
  tvi_string_builder_append_repeated(&b, 'x', SIZE_MAX);
  EXPECT_EQ(trivet_status_consume(tvi_string_builder_status(&b)), TRIVET_STATUS_OUT_OF_RANGE);
  tvi_string_builder_append_repeated(&b, 'x', SIZE_MAX);
  tvi_string_builder_deinit(&b);  // frees the failure that nobody took
  EXPECT_EQ(allocator.live_blocks(), 0u);
}

TEST(StringBuilder, EveryFailureIsReported) {
  uint64_t failures = ForEachFailure([](trivet_allocator_t allocator) -> trivet_status_t {
    tvi_string_builder_t b;
    tvi_string_builder_init(&b, allocator);
    trivet_sink_t sink = tvi_string_builder_sink(&b);
    trivet_status_t status = TRIVET_OK;
    for (int i = 0; i < 100 && status == nullptr; ++i) {
      status = tvi_sink_write_text(sink, TRIVET_SV("some text of a line"));
    }
    if (status == nullptr) status = tvi_sink_write_zeros(sink, 10000);
    char* text = nullptr;
    size_t size = 0;
    if (status == nullptr) status = tvi_string_builder_take(&b, &text, &size);
    if (text != nullptr) {
      EXPECT_EQ(size, 11900u);
      tvi_free(allocator, text, size + 1);
    }
    tvi_string_builder_deinit(&b);
    return status;
  });
  EXPECT_GE(failures, 4u);
}

TEST(Sink, WithoutWriteIsRefused) {
  trivet_sink_t sink = {};
  EXPECT_EQ(trivet_status_consume(tvi_sink_write(sink, "x", 1)), TRIVET_STATUS_INVALID_ARGUMENT);
}

}  // namespace
