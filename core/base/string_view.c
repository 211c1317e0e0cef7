// SPDX-License-Identifier: Apache-2.0
//
// Text helpers: comparing, cutting, numbers from and to text. Numbers always use the "C" locale.
// It allocates nothing and must not read past the size that a view states.

#include "core/base/string_view.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

int tvi_sv_compare(trivet_string_view_t a, trivet_string_view_t b) {
  size_t common = a.size < b.size ? a.size : b.size;
  int order = common != 0 ? memcmp(a.data, b.data, common) : 0;
  if (order != 0) return order;
  return a.size < b.size ? -1 : a.size > b.size;
}

bool tvi_sv_starts_with(trivet_string_view_t text, trivet_string_view_t prefix) {
  return text.size >= prefix.size && tvi_sv_equal(tvi_sv_make(text.data, prefix.size), prefix);
}

bool tvi_sv_ends_with(trivet_string_view_t text, trivet_string_view_t suffix) {
  if (text.size < suffix.size) return false;
  if (suffix.size == 0) return true;
  return memcmp(text.data + (text.size - suffix.size), suffix.data, suffix.size) == 0;
}

size_t tvi_sv_find(trivet_string_view_t text, char byte) {
  const char* found = text.size != 0 ? memchr(text.data, byte, text.size) : NULL;
  return found != NULL ? (size_t)(found - text.data) : SIZE_MAX;
}

size_t tvi_sv_find_last(trivet_string_view_t text, char byte) {
  for (size_t i = text.size; i > 0; --i) {
    if (text.data[i - 1] == byte) return i - 1;
  }
  return SIZE_MAX;
}

trivet_string_view_t tvi_sv_slice(trivet_string_view_t text, size_t offset, size_t size) {
  if (text.data == NULL) return text;
  if (offset > text.size) offset = text.size;
  size_t rest = text.size - offset;
  return tvi_sv_make(text.data + offset, size < rest ? size : rest);
}

static bool is_space(char byte) {
  return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

trivet_string_view_t tvi_sv_trim(trivet_string_view_t text) {
  while (text.size != 0 && is_space(text.data[0])) {
    ++text.data;
    --text.size;
  }
  while (text.size != 0 && is_space(text.data[text.size - 1])) --text.size;
  return text;
}

trivet_string_view_t tvi_sv_split(trivet_string_view_t* rest, char byte) {
  size_t at = tvi_sv_find(*rest, byte);
  if (at == SIZE_MAX) {
    trivet_string_view_t all = *rest;
    *rest = tvi_sv_make(NULL, 0);
    return all;
  }
  trivet_string_view_t head = tvi_sv_make(rest->data, at);
  *rest = tvi_sv_make(rest->data + at + 1, rest->size - at - 1);
  return head;
}

static int digit_value(char byte) {
  if (byte >= '0' && byte <= '9') return byte - '0';
  if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
  if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
  return 99;
}

bool tvi_sv_parse_u64(trivet_string_view_t text, uint64_t* out_value) {
  uint64_t base = 10;
  if (text.size > 2 && text.data[0] == '0' && (text.data[1] | 32) == 'x') {
    base = 16;
    text = tvi_sv_slice(text, 2, SIZE_MAX);
  }
  if (text.size == 0) return false;
  uint64_t value = 0;
  for (size_t i = 0; i < text.size; ++i) {
    uint64_t digit = (uint64_t)digit_value(text.data[i]);
    if (digit >= base) return false;
    if (__builtin_mul_overflow(value, base, &value)) return false;
    if (__builtin_add_overflow(value, digit, &value)) return false;
  }
  *out_value = value;
  return true;
}

bool tvi_sv_parse_i64(trivet_string_view_t text, int64_t* out_value) {
  bool negative = false;
  if (text.size != 0 && (text.data[0] == '-' || text.data[0] == '+')) {
    negative = text.data[0] == '-';
    text = tvi_sv_slice(text, 1, SIZE_MAX);
  }
  uint64_t magnitude;
  if (!tvi_sv_parse_u64(text, &magnitude)) return false;
  if (magnitude > (uint64_t)INT64_MAX + (negative ? 1u : 0u)) return false;
  *out_value = (int64_t)(negative ? 0 - magnitude : magnitude);
  return true;
}

// The "C" locale needs no memory: glibc hands out a static object, which freelocale accepts.
static double parse_with_c_locale(const char* text, char** out_end) {
  locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  if (c_locale == (locale_t)0) {
    *out_end = (char*)text;
    return 0.0;
  }
  double value = strtod_l(text, out_end, c_locale);
  freelocale(c_locale);
  return value;
}

bool tvi_sv_parse_f64(trivet_string_view_t text, double* out_value) {
  char buffer[512];
  if (text.size == 0 || text.size >= sizeof(buffer) || is_space(text.data[0])) return false;
  // strtod takes more than numbers: "nan(...)", and letters that we do not want to mean anything.
  if (tvi_sv_find(text, '(') != SIZE_MAX) return false;
  memcpy(buffer, text.data, text.size);
  buffer[text.size] = '\0';
  char* end = buffer;
  errno = 0;
  double value = parse_with_c_locale(buffer, &end);
  if (end != buffer + text.size) return false;
  bool is_word = tvi_sv_find(text, 'n') != SIZE_MAX || tvi_sv_find(text, 'N') != SIZE_MAX;
  if (!is_word && (value - value) != 0) return false;  // a number too large for a double
  *out_value = value;
  return true;
}

static size_t format_shortest(double value, int first_precision, int last_precision, bool is_f32,
                              char* buffer) {
  if (value != value) {
    memcpy(buffer, "nan", 4);
    return 3;
  }
  if ((value - value) != 0) {
    const char* text = value > 0 ? "inf" : "-inf";
    size_t length = strlen(text);
    memcpy(buffer, text, length + 1);
    return length;
  }
  locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
  locale_t previous = c_locale != (locale_t)0 ? uselocale(c_locale) : (locale_t)0;
  for (int precision = first_precision; precision <= last_precision; ++precision) {
    snprintf(buffer, TVI_NUMBER_TEXT_SIZE, "%.*g", precision, value);
    bool same = is_f32 ? strtof(buffer, NULL) == (float)value : strtod(buffer, NULL) == value;
    if (same) break;
  }
  if (c_locale != (locale_t)0) {
    uselocale(previous);
    freelocale(c_locale);
  }
  if (strpbrk(buffer, ".e") == NULL) {
    size_t length = strlen(buffer);
    memcpy(buffer + length, ".0", 3);
  }
  return strlen(buffer);
}

size_t tvi_format_f64(double value, char* buffer) {
  return format_shortest(value, 1, 17, false, buffer);
}

size_t tvi_format_f32(float value, char* buffer) {
  return format_shortest((double)value, 1, 9, true, buffer);
}
