// SPDX-License-Identifier: Apache-2.0
//
// The cursor over graph text that the parser of graphs and the parser of rewrites share: blanks and
// comments, names, strings, numbers, and errors with line and column. It must not know any grammar.
#ifndef TRIVET_CORE_GRAPH_GRAPH_TEXT_LEXER_H_
#define TRIVET_CORE_GRAPH_GRAPH_TEXT_LEXER_H_

#include "core/base/arena.h"
#include "core/base/status.h"
#include "core/base/string_view.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_text_cursor_s {
  trivet_string_view_t text;
  size_t at;
} tvi_text_cursor_t;

// INVALID_ARGUMENT "line L, column C: ..." for the cursor's place.
trivet_status_t tvi_text_error(const tvi_text_cursor_t* cursor, const char* format, ...)
    TRIVET_PRINTF_FORMAT(2, 3);
// Puts the cursor's place before a message; NULL stays NULL.
trivet_status_t tvi_text_annotate(const tvi_text_cursor_t* cursor, trivet_status_t status);
// Skips blanks, line ends and comments.
void tvi_text_skip(tvi_text_cursor_t* cursor);
// The place of the next byte that is no blank, for errors about what begins there.
tvi_text_cursor_t tvi_text_here(tvi_text_cursor_t* cursor);
bool tvi_text_at_end(tvi_text_cursor_t* cursor);
// The next byte after blanks; 0 at the end.
char tvi_text_peek(tvi_text_cursor_t* cursor);
// Takes a punctuation (no word) if it comes next.
bool tvi_text_accept(tvi_text_cursor_t* cursor, const char* punctuation);
trivet_status_t tvi_text_expect(tvi_text_cursor_t* cursor, const char* punctuation);
// Takes a word (letters, digits, '_') if it comes next and is this one.
bool tvi_text_accept_word(tvi_text_cursor_t* cursor, const char* word);
// A run of letters, digits and any byte of `more`; empty when none comes.
trivet_string_view_t tvi_text_word(tvi_text_cursor_t* cursor, const char* more);
// "..." with \" \\ and \xHH; in the arena, NUL-terminated.
trivet_status_t tvi_text_string(tvi_text_cursor_t* cursor, tvi_arena_t* arena,
                                trivet_string_view_t* out_text);
trivet_status_t tvi_text_i64(tvi_text_cursor_t* cursor, int64_t* out_value);
// A label after '%': letters, digits, '_', '.', '/', '-'.
trivet_status_t tvi_text_label(tvi_text_cursor_t* cursor, trivet_string_view_t* out_label);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_CORE_GRAPH_GRAPH_TEXT_LEXER_H_
