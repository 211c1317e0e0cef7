// SPDX-License-Identifier: Apache-2.0
//
// The text builder: one growing buffer with a NUL behind the text and a remembered first failure.
// Used wherever text is made. Appending never fails at the place of the call: the end asks once.

#include "core/base/string_builder.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/checked.h"
#include "core/base/status.h"
#include "core/base/string_view.h"

void tvi_string_builder_init(tvi_string_builder_t* builder, trivet_allocator_t allocator) {
  memset(builder, 0, sizeof(*builder));
  builder->allocator = allocator;
}

void tvi_string_builder_deinit(tvi_string_builder_t* builder) {
  tvi_free(builder->allocator, builder->data, builder->capacity);
  trivet_status_free(builder->status);
  tvi_string_builder_init(builder, builder->allocator);
}

void tvi_string_builder_clear(tvi_string_builder_t* builder) {
  builder->size = 0;
  if (builder->data != NULL) builder->data[0] = '\0';
}

// Makes room for `extra` bytes and the NUL; false when the builder has failed.
static bool reserve(tvi_string_builder_t* builder, size_t extra) {
  if (builder->status != NULL) return false;
  size_t needed;
  if (!tvi_checked_add_size(builder->size, extra, &needed) ||
      !tvi_checked_add_size(needed, 1, &needed)) {
    builder->status =
        TRIVET_STATUS(OUT_OF_RANGE, "text of %zu and %zu bytes is too large", builder->size, extra);
    return false;
  }
  if (needed <= builder->capacity) return true;
  size_t grown = builder->capacity > SIZE_MAX / 2 ? needed : builder->capacity * 2;
  if (grown < 64) grown = 64;
  if (grown < needed) grown = needed;
  builder->status =
      tvi_realloc_array(builder->allocator, &builder->data, builder->capacity, grown, 1);
  if (builder->status != NULL) return false;
  builder->capacity = grown;
  return true;
}

void tvi_string_builder_append(tvi_string_builder_t* builder, trivet_string_view_t text) {
  if (text.size == 0 || !reserve(builder, text.size)) return;
  memcpy(builder->data + builder->size, text.data, text.size);
  builder->size += text.size;
  builder->data[builder->size] = '\0';
}

void tvi_string_builder_append_cstr(tvi_string_builder_t* builder, const char* text) {
  tvi_string_builder_append(builder, tvi_sv(text));
}

void tvi_string_builder_append_char(tvi_string_builder_t* builder, char byte) {
  tvi_string_builder_append(builder, tvi_sv_make(&byte, 1));
}

void tvi_string_builder_append_repeated(tvi_string_builder_t* builder, char byte, size_t count) {
  if (count == 0 || !reserve(builder, count)) return;
  memset(builder->data + builder->size, byte, count);
  builder->size += count;
  builder->data[builder->size] = '\0';
}

void tvi_string_builder_append_v(tvi_string_builder_t* builder, const char* format,
                                 va_list arguments) {
  va_list copy;
  va_copy(copy, arguments);
  int length = vsnprintf(NULL, 0, format, copy);
  va_end(copy);
  if (length <= 0 || !reserve(builder, (size_t)length)) return;
  vsnprintf(builder->data + builder->size, (size_t)length + 1, format, arguments);
  builder->size += (size_t)length;
}

void tvi_string_builder_appendf(tvi_string_builder_t* builder, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  tvi_string_builder_append_v(builder, format, arguments);
  va_end(arguments);
}

void tvi_string_builder_append_i64(tvi_string_builder_t* builder, int64_t value) {
  tvi_string_builder_appendf(builder, "%lld", (long long)value);
}

void tvi_string_builder_append_f64(tvi_string_builder_t* builder, double value) {
  char text[TVI_NUMBER_TEXT_SIZE];
  size_t size = tvi_format_f64(value, text);
  tvi_string_builder_append(builder, tvi_sv_make(text, size));
}

void tvi_string_builder_append_f32(tvi_string_builder_t* builder, float value) {
  char text[TVI_NUMBER_TEXT_SIZE];
  size_t size = tvi_format_f32(value, text);
  tvi_string_builder_append(builder, tvi_sv_make(text, size));
}

// Length of the well-formed UTF-8 sequence that `text` begins with (the table of RFC 3629,
// section 4), or 0.
static size_t utf8_length(trivet_string_view_t text) {
  const uint8_t* bytes = (const uint8_t*)text.data;
  uint8_t first = bytes[0];
  if (first < 0x80) return 1;
  size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || length > text.size) return 0;
  uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (bytes[1] < low || bytes[1] > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((bytes[i] & 0xC0) != 0x80) return 0;
  }
  return length;
}

void tvi_string_builder_append_json(tvi_string_builder_t* builder, trivet_string_view_t text) {
  tvi_string_builder_append_char(builder, '"');
  while (text.size != 0) {
    size_t length = utf8_length(text);
    uint8_t byte = (uint8_t)text.data[0];
    if (length == 0) {
      tvi_string_builder_append_cstr(builder, "\xEF\xBF\xBD");
      length = 1;
    } else if (byte == '"' || byte == '\\') {
      tvi_string_builder_append_char(builder, '\\');
      tvi_string_builder_append_char(builder, (char)byte);
    } else if (byte == '\n') {
      tvi_string_builder_append_cstr(builder, "\\n");
    } else if (byte == '\t') {
      tvi_string_builder_append_cstr(builder, "\\t");
    } else if (byte < 0x20 || byte == 0x7F) {
      tvi_string_builder_appendf(builder, "\\u%04x", byte);
    } else {
      tvi_string_builder_append(builder, tvi_sv_make(text.data, length));
    }
    text = tvi_sv_make(text.data + length, text.size - length);
  }
  tvi_string_builder_append_char(builder, '"');
}

void tvi_string_builder_append_html(tvi_string_builder_t* builder, trivet_string_view_t text) {
  for (size_t i = 0; i < text.size; ++i) {
    switch (text.data[i]) {
      case '&':
        tvi_string_builder_append_cstr(builder, "&amp;");
        break;
      case '<':
        tvi_string_builder_append_cstr(builder, "&lt;");
        break;
      case '>':
        tvi_string_builder_append_cstr(builder, "&gt;");
        break;
      case '"':
        tvi_string_builder_append_cstr(builder, "&quot;");
        break;
      case '\'':
        tvi_string_builder_append_cstr(builder, "&#39;");
        break;
      default:
        tvi_string_builder_append_char(builder, text.data[i]);
    }
  }
}

trivet_string_view_t tvi_string_builder_view(const tvi_string_builder_t* builder) {
  return tvi_sv_make(builder->data, builder->size);
}

trivet_status_t tvi_string_builder_status(tvi_string_builder_t* builder) {
  trivet_status_t status = builder->status;
  builder->status = NULL;
  return status;
}

trivet_status_t tvi_string_builder_take(tvi_string_builder_t* builder, char** out_text,
                                        size_t* out_size) {
  // Room for the NUL of an empty text.
  (void)reserve(builder, 0);
  TRIVET_RETURN_IF_ERROR(tvi_string_builder_status(builder));
  builder->data[builder->size] = '\0';
  // The caller frees by size, so the block must have exactly that size.
  TRIVET_RETURN_IF_ERROR(tvi_realloc_array(builder->allocator, &builder->data, builder->capacity,
                                           builder->size + 1, 1));
  *out_text = builder->data;
  *out_size = builder->size;
  tvi_string_builder_init(builder, builder->allocator);
  return TRIVET_OK;
}

static trivet_status_t write_to_builder(void* self, const void* bytes, size_t size) {
  tvi_string_builder_t* builder = self;
  tvi_string_builder_append(builder, tvi_sv_make(bytes, size));
  return tvi_string_builder_status(builder);
}

trivet_sink_t tvi_string_builder_sink(tvi_string_builder_t* builder) {
  trivet_sink_t sink = {builder, write_to_builder};
  return sink;
}
