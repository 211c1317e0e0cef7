// SPDX-License-Identifier: Apache-2.0
//
// Comparing, cutting and parsing borrowed text. Nothing here allocates or depends on the locale.
// All functions are pure and thread-safe; views returned point into the argument.

#ifndef TRIVET_CORE_BASE_STRING_VIEW_H_
#define TRIVET_CORE_BASE_STRING_VIEW_H_

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

// For printf: printf("name " TVI_SV_FORMAT, TVI_SV_ARGS(view)). At most 64 KiB are shown.
#define TVI_SV_FORMAT "%.*s"
#define TVI_SV_ARGS(view) \
  (int)((view).size > 65536 ? 65536 : (view).size), ((view).data != NULL ? (view).data : "")

static inline trivet_string_view_t tvi_sv_make(const char* data, size_t size) {
  trivet_string_view_t view;
  view.data = data;
  view.size = size;
  return view;
}

// A view of a NUL-terminated string; empty for NULL.
static inline trivet_string_view_t tvi_sv(const char* text) {
  return tvi_sv_make(text, text != NULL ? strlen(text) : 0);
}

static inline bool tvi_sv_equal(trivet_string_view_t a, trivet_string_view_t b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
static inline bool tvi_sv_equal_cstr(trivet_string_view_t a, const char* b) {
  return tvi_sv_equal(a, tvi_sv(b));
}

// Order by bytes, shorter first on a common prefix: negative, 0, positive.
int tvi_sv_compare(trivet_string_view_t a, trivet_string_view_t b);

bool tvi_sv_starts_with(trivet_string_view_t text, trivet_string_view_t prefix);
bool tvi_sv_ends_with(trivet_string_view_t text, trivet_string_view_t suffix);

// Position of the first (last) `byte`, or SIZE_MAX.
size_t tvi_sv_find(trivet_string_view_t text, char byte);
size_t tvi_sv_find_last(trivet_string_view_t text, char byte);

// At most `size` bytes from `offset`; both are clipped to the text.
trivet_string_view_t tvi_sv_slice(trivet_string_view_t text, size_t offset, size_t size);

// Without blanks, tabs, line feeds and carriage returns at both ends.
trivet_string_view_t tvi_sv_trim(trivet_string_view_t text);

// Cuts at the first `byte`: what stands before it is returned, `*rest` becomes what follows
// (without the byte). When there is none, all of it is returned and `*rest` becomes empty with NULL
// data.
trivet_string_view_t tvi_sv_split(trivet_string_view_t* rest, char byte);

// Parse the whole text as a number; false (output untouched) when it is not one or is out of range.
// Integers: optional sign (i64), decimal, or hexadecimal after 0x. Floats: decimal or hexadecimal
// (0x1.8p3), "inf", "-inf", "nan"; correctly rounded, always with a point whatever the locale.
bool tvi_sv_parse_i64(trivet_string_view_t text, int64_t* out_value);
bool tvi_sv_parse_u64(trivet_string_view_t text, uint64_t* out_value);
bool tvi_sv_parse_f64(trivet_string_view_t text, double* out_value);

// Writes the shortest decimal text that parses back to the same double (f32: to the same float),
// always with a ".", an exponent, "inf" or "nan" in it, so that it never looks like an integer.
// `buffer` holds at least TVI_NUMBER_TEXT_SIZE bytes; NUL-terminated; returns the length.
#define TVI_NUMBER_TEXT_SIZE 40
size_t tvi_format_f64(double value, char* buffer);
size_t tvi_format_f32(float value, char* buffer);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_STRING_VIEW_H_
