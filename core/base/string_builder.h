// SPDX-License-Identifier: Apache-2.0
//
// Builds text piece by piece. The first failure (no memory, size overflow) is remembered and later
// appends do nothing, so printers need no check per piece: the take, or tvi_string_builder_status,
// reports it. Not for output of unbounded size: that goes to a sink. One thread at a time.

#ifndef TRIVET_CORE_BASE_STRING_BUILDER_H_
#define TRIVET_CORE_BASE_STRING_BUILDER_H_

#include <stdarg.h>

#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_string_builder_t {
  trivet_allocator_t allocator;
  char* data;  // NUL-terminated whenever it is not NULL
  size_t size;
  size_t capacity;
  trivet_status_t status;  // first failure, owned
} tvi_string_builder_t;

// Prepares an empty builder; allocates nothing.
void tvi_string_builder_init(tvi_string_builder_t* builder, trivet_allocator_t allocator);
// Frees text and remembered failure. Accepts a builder of zero bytes.
void tvi_string_builder_deinit(tvi_string_builder_t* builder);
// Forgets the text, keeps the memory and the remembered failure.
void tvi_string_builder_clear(tvi_string_builder_t* builder);

void tvi_string_builder_append(tvi_string_builder_t* builder, trivet_string_view_t text);
void tvi_string_builder_append_cstr(tvi_string_builder_t* builder, const char* text);
void tvi_string_builder_append_char(tvi_string_builder_t* builder, char byte);
void tvi_string_builder_append_repeated(tvi_string_builder_t* builder, char byte, size_t count);
void tvi_string_builder_appendf(tvi_string_builder_t* builder, const char* format, ...)
    TRIVET_PRINTF_FORMAT(2, 3);
void tvi_string_builder_append_v(tvi_string_builder_t* builder, const char* format,
                                 va_list arguments) TRIVET_PRINTF_FORMAT(2, 0);
void tvi_string_builder_append_i64(tvi_string_builder_t* builder, int64_t value);
// Shortest text that parses back to the same number (tvi_format_f64, tvi_format_f32).
void tvi_string_builder_append_f64(tvi_string_builder_t* builder, double value);
void tvi_string_builder_append_f32(tvi_string_builder_t* builder, float value);

// Appends text as a JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD.
void tvi_string_builder_append_json(tvi_string_builder_t* builder, trivet_string_view_t text);
// Appends text with & < > " ' written as entities, for HTML.
void tvi_string_builder_append_html(tvi_string_builder_t* builder, trivet_string_view_t text);

// What was built so far; valid until the next append.
trivet_string_view_t tvi_string_builder_view(const tvi_string_builder_t* builder);

// The remembered failure, handed over: the builder then counts as healthy again.
trivet_status_t tvi_string_builder_status(tvi_string_builder_t* builder) TRIVET_MUST_USE;

// Hands over the text, or the failure. *out_text is NUL-terminated, never NULL, and owned by the
// caller: tvi_free(allocator, text, size + 1). The builder is empty afterwards.
trivet_status_t tvi_string_builder_take(tvi_string_builder_t* builder, char** out_text,
                                        size_t* out_size) TRIVET_MUST_USE;

// A sink that appends to the builder, which must outlive it.
trivet_sink_t tvi_string_builder_sink(tvi_string_builder_t* builder);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_BASE_STRING_BUILDER_H_
