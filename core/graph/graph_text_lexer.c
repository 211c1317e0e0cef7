// SPDX-License-Identifier: Apache-2.0
//
// The cursor over graph text. Everything it returns points into the text or the caller's arena; the
// text may hold any bytes.
#include "core/graph/graph_text_lexer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void place(const tvi_text_cursor_t* cursor, size_t* out_line, size_t* out_column) {
  size_t line = 1, column = 1;
  for (size_t i = 0; i < cursor->at && i < cursor->text.size; ++i) {
    ++column;
    if (cursor->text.data[i] == '\n') {
      ++line;
      column = 1;
    }
  }
  *out_line = line;
  *out_column = column;
}

trivet_status_t tvi_text_error(const tvi_text_cursor_t* cursor, const char* format, ...) {
  char message[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof(message), format, arguments);
  va_end(arguments);
  size_t line, column;
  place(cursor, &line, &column);
  return TRIVET_STATUS(INVALID_ARGUMENT, "line %zu, column %zu: %s", line, column, message);
}

trivet_status_t tvi_text_annotate(const tvi_text_cursor_t* cursor, trivet_status_t status) {
  if (status == NULL) return TRIVET_OK;
  size_t line, column;
  place(cursor, &line, &column);
  return trivet_status_annotate(status, "line %zu, column %zu", line, column);
}

void tvi_text_skip(tvi_text_cursor_t* cursor) {
  while (cursor->at < cursor->text.size) {
    char c = cursor->text.data[cursor->at];
    if (c == '#') {
      while (cursor->at < cursor->text.size && cursor->text.data[cursor->at] != '\n') ++cursor->at;
    } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      ++cursor->at;
    } else {
      return;
    }
  }
}

tvi_text_cursor_t tvi_text_here(tvi_text_cursor_t* cursor) {
  tvi_text_skip(cursor);
  return *cursor;
}

bool tvi_text_at_end(tvi_text_cursor_t* cursor) {
  tvi_text_skip(cursor);
  return cursor->at >= cursor->text.size;
}

char tvi_text_peek(tvi_text_cursor_t* cursor) {
  return tvi_text_at_end(cursor) ? '\0' : cursor->text.data[cursor->at];
}

bool tvi_text_accept(tvi_text_cursor_t* cursor, const char* punctuation) {
  tvi_text_skip(cursor);
  size_t size = strlen(punctuation);
  if (cursor->text.size - cursor->at < size ||
      memcmp(cursor->text.data + cursor->at, punctuation, size) != 0) {
    return false;
  }
  cursor->at += size;
  return true;
}

trivet_status_t tvi_text_expect(tvi_text_cursor_t* cursor, const char* punctuation) {
  if (tvi_text_accept(cursor, punctuation)) return TRIVET_OK;
  if (tvi_text_at_end(cursor)) {
    return tvi_text_error(cursor, "expected '%s', found the end", punctuation);
  }
  return tvi_text_error(cursor, "expected '%s', found '%c'", punctuation,
                        cursor->text.data[cursor->at]);
}

static bool is_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

trivet_string_view_t tvi_text_word(tvi_text_cursor_t* cursor, const char* more) {
  tvi_text_skip(cursor);
  size_t begin = cursor->at;
  while (cursor->at < cursor->text.size) {
    char c = cursor->text.data[cursor->at];
    if (!is_word(c) && (c == '\0' || strchr(more, c) == NULL)) break;
    ++cursor->at;
  }
  return tvi_sv_slice(cursor->text, begin, cursor->at - begin);
}

bool tvi_text_accept_word(tvi_text_cursor_t* cursor, const char* word) {
  tvi_text_skip(cursor);
  size_t begin = cursor->at;
  if (tvi_sv_equal_cstr(tvi_text_word(cursor, ""), word)) return true;
  cursor->at = begin;
  return false;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

trivet_status_t tvi_text_string(tvi_text_cursor_t* cursor, tvi_arena_t* arena,
                                trivet_string_view_t* out_text) {
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(cursor, "\""));
  size_t begin = cursor->at;
  const char* data = cursor->text.data;
  size_t end = begin;
  while (end < cursor->text.size && data[end] != '"') {
    end += data[end] == '\\' && end + 1 < cursor->text.size ? 2 : 1;
  }
  if (end >= cursor->text.size) return tvi_text_error(cursor, "a string without end");
  char* copy;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc(arena, end - begin + 1, &copy));
  size_t size = 0;
  for (size_t i = begin; i < end; ++i) {
    char c = data[i];
    if (c == '\\') {
      c = data[++i];
      if (c == 'x') {
        int high = end - i > 2 ? hex_digit(data[i + 1]) : -1;
        int low = end - i > 2 ? hex_digit(data[i + 2]) : -1;
        if (high < 0 || low < 0) {
          cursor->at = i;
          return tvi_text_error(cursor, "two hexadecimal digits must follow \\x");
        }
        c = (char)(high * 16 + low);
        i += 2;
      } else if (c != '"' && c != '\\') {
        cursor->at = i;
        return tvi_text_error(cursor, "\\%c is no escape", c);
      }
    }
    copy[size++] = c;
  }
  copy[size] = '\0';
  cursor->at = end + 1;
  *out_text = tvi_sv_make(copy, size);
  return TRIVET_OK;
}

trivet_status_t tvi_text_i64(tvi_text_cursor_t* cursor, int64_t* out_value) {
  trivet_string_view_t word = tvi_text_word(cursor, "+-");
  if (word.size == 0 || !tvi_sv_parse_i64(word, out_value)) {
    cursor->at -= word.size;
    return tvi_text_error(cursor, "expected an integer");
  }
  return TRIVET_OK;
}

trivet_status_t tvi_text_label(tvi_text_cursor_t* cursor, trivet_string_view_t* out_label) {
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(cursor, "%"));
  size_t begin = cursor->at;
  trivet_string_view_t label = tvi_text_word(cursor, "./-");
  if (label.size == 0 || label.data != cursor->text.data + begin) {
    return tvi_text_error(cursor, "expected a name after '%%'");
  }
  *out_label = label;
  return TRIVET_OK;
}
