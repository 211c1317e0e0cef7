// SPDX-License-Identifier: Apache-2.0
//
// Cuts operator texts into tokens and gives the parsers their view of them. Line ends within
// brackets of any kind and comments vanish here.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/kernel_ir/operator_ast.h"

static bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

typedef struct {
  trivet_string_view_t text;
  size_t at;
  uint32_t line;
  size_t line_begin;
  uint32_t nesting;
} lexer_t;

static char at(const lexer_t* lexer, size_t ahead) {
  return lexer->at + ahead < lexer->text.size ? lexer->text.data[lexer->at + ahead] : '\0';
}

static trivet_status_t lex_error(const lexer_t* lexer, const char* what) {
  return TRIVET_STATUS(INVALID_ARGUMENT, "line %u, column %zu: %s", lexer->line,
                       lexer->at - lexer->line_begin + 1, what);
}

static size_t number_length(const lexer_t* lexer, bool* out_float) {
  size_t n = 0;
  *out_float = false;
  if (at(lexer, 0) == '0' && (at(lexer, 1) == 'x' || at(lexer, 1) == 'X')) {
    n = 2;
    while (is_digit(at(lexer, n)) || (at(lexer, n) >= 'a' && at(lexer, n) <= 'f') ||
           (at(lexer, n) >= 'A' && at(lexer, n) <= 'F')) {
      ++n;
    }
    return n;
  }
  while (is_digit(at(lexer, n))) ++n;
  if (at(lexer, n) == '.' && is_digit(at(lexer, n + 1))) {
    *out_float = true;
    ++n;
    while (is_digit(at(lexer, n))) ++n;
  }
  if (at(lexer, n) == 'e' || at(lexer, n) == 'E') {
    size_t sign = at(lexer, n + 1) == '-' || at(lexer, n + 1) == '+' ? 1 : 0;
    if (is_digit(at(lexer, n + 1 + sign))) {
      *out_float = true;
      n += 1 + sign;
      while (is_digit(at(lexer, n))) ++n;
    }
  }
  return n;
}

static trivet_status_t next_token(lexer_t* lexer, tvi_kir_token_t* token) {
  for (;;) {
    char c = at(lexer, 0);
    if (c == ' ' || c == '\t' || c == '\r') {
      ++lexer->at;
    } else if (c == '#') {
      while (lexer->at < lexer->text.size && at(lexer, 0) != '\n') ++lexer->at;
    } else if (c == '\n' && lexer->nesting > 0) {
      ++lexer->at;
      ++lexer->line;
      lexer->line_begin = lexer->at;
    } else {
      break;
    }
  }
  memset(token, 0, sizeof(*token));
  token->line = lexer->line;
  token->column = (uint32_t)(lexer->at - lexer->line_begin + 1);
  if (lexer->at >= lexer->text.size) {
    token->kind = TVI_KIR_TOKEN_END;
    return TRIVET_OK;
  }
  char c = at(lexer, 0);
  size_t length = 1;
  if (c == '\n') {
    token->kind = TVI_KIR_TOKEN_NEWLINE;
    token->text = tvi_sv_slice(lexer->text, lexer->at, 1);
    ++lexer->at;
    ++lexer->line;
    lexer->line_begin = lexer->at;
    return TRIVET_OK;
  }
  if (is_name_start(c)) {
    token->kind = TVI_KIR_TOKEN_NAME;
    while (is_name_start(at(lexer, length)) || is_digit(at(lexer, length))) ++length;
  } else if (is_digit(c)) {
    bool is_float;
    length = number_length(lexer, &is_float);
    token->kind = is_float ? TVI_KIR_TOKEN_FLOAT : TVI_KIR_TOKEN_INT;
    if (is_name_start(at(lexer, length))) return lex_error(lexer, "a number runs into a name");
  } else if (c == '"') {
    token->kind = TVI_KIR_TOKEN_STRING;
    while (at(lexer, length) != '"') {
      if (lexer->at + length >= lexer->text.size || at(lexer, length) == '\n') {
        return lex_error(lexer, "a string without end");
      }
      length += at(lexer, length) == '\\' && lexer->at + length + 1 < lexer->text.size ? 2 : 1;
    }
    token->text = tvi_sv_slice(lexer->text, lexer->at + 1, length - 1);
    lexer->at += length + 1;
    return TRIVET_OK;
  } else if (c == '$' && at(lexer, 1) == '(') {
    token->kind = TVI_KIR_TOKEN_DIM;
    length = 2;
    for (uint32_t open = 1; open > 0; ++length) {
      if (lexer->at + length >= lexer->text.size || at(lexer, length) == '\n') {
        return lex_error(lexer, "'$(' without ')'");
      }
      if (at(lexer, length) == '\'') {
        // A quoted symbol may hold anything.
        do {
          length += at(lexer, length) == '\\' ? 2 : 1;
        } while (lexer->at + length < lexer->text.size && at(lexer, length) != '\'');
      } else if (at(lexer, length) == '(') {
        ++open;
      } else if (at(lexer, length) == ')') {
        --open;
      }
    }
    if (lexer->at + length > lexer->text.size) return lex_error(lexer, "'$(' without ')'");
    token->text = tvi_sv_slice(lexer->text, lexer->at + 2, length - 3);
    lexer->at += length;
    return TRIVET_OK;
  } else if (c == '.' && at(lexer, 1) == '.' && at(lexer, 2) == '.') {
    token->kind = TVI_KIR_TOKEN_ELLIPSIS;
    length = 3;
  } else {
    token->kind = TVI_KIR_TOKEN_SYMBOL;
    static const char* const kPairs[] = {"->", "==", "!=", "<=", ">=", "&&", "||", "<<", ">>"};
    for (size_t i = 0; i < sizeof(kPairs) / sizeof(*kPairs); ++i) {
      if (c == kPairs[i][0] && at(lexer, 1) == kPairs[i][1]) length = 2;
    }
    if (length == 1 && strchr("()[]{},:;=+-*/%<>!~&|^?._@", c) == NULL) {
      return lex_error(lexer, "a character that begins nothing");
    }
    if (c == '(' || c == '[' || c == '{') ++lexer->nesting;
    if ((c == ')' || c == ']' || c == '}') && lexer->nesting > 0) --lexer->nesting;
  }
  token->text = tvi_sv_slice(lexer->text, lexer->at, length);
  lexer->at += length;
  return TRIVET_OK;
}

trivet_status_t tvi_kir_tokenize(trivet_string_view_t text, tvi_arena_t* arena,
                                 const tvi_kir_token_t** out_tokens) {
  if (text.size > TVI_KIR_MAX_TEXT_SIZE) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "the text has %zu bytes, at most %u are read", text.size,
                         TVI_KIR_MAX_TEXT_SIZE);
  }
  lexer_t lexer = {text, 0, 1, 0, 0};
  // Tokens are cut twice: once to count them, so that the arena holds no more than needed.
  size_t count = 0;
  tvi_kir_token_t token;
  do {
    TRIVET_RETURN_IF_ERROR(next_token(&lexer, &token));
    ++count;
  } while (token.kind != TVI_KIR_TOKEN_END);
  tvi_kir_token_t* tokens;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, count, sizeof(*tokens), &tokens));
  lexer = (lexer_t){text, 0, 1, 0, 0};
  for (size_t i = 0; i < count; ++i) TRIVET_RETURN_IF_ERROR(next_token(&lexer, &tokens[i]));
  *out_tokens = tokens;
  return TRIVET_OK;
}

// ---- The stream ----

const tvi_kir_token_t* tvi_kir_peek_at(const tvi_kir_parser_t* parser, uint32_t ahead) {
  uint32_t i = parser->at;
  while (ahead > 0 && parser->tokens[i].kind != TVI_KIR_TOKEN_END) {
    ++i;
    --ahead;
  }
  return &parser->tokens[i];
}

bool tvi_kir_is_symbol(const tvi_kir_parser_t* parser, const char* symbol) {
  const tvi_kir_token_t* token = tvi_kir_peek(parser);
  return token->kind == TVI_KIR_TOKEN_SYMBOL && tvi_sv_equal_cstr(token->text, symbol);
}

bool tvi_kir_is_name(const tvi_kir_parser_t* parser, const char* name) {
  const tvi_kir_token_t* token = tvi_kir_peek(parser);
  return token->kind == TVI_KIR_TOKEN_NAME && tvi_sv_equal_cstr(token->text, name);
}

bool tvi_kir_accept_symbol(tvi_kir_parser_t* parser, const char* symbol) {
  if (!tvi_kir_is_symbol(parser, symbol)) return false;
  ++parser->at;
  return true;
}

bool tvi_kir_accept_name(tvi_kir_parser_t* parser, const char* name) {
  if (!tvi_kir_is_name(parser, name)) return false;
  ++parser->at;
  return true;
}

static const char* describe(const tvi_kir_token_t* token, char* buffer, size_t size) {
  if (token->kind == TVI_KIR_TOKEN_END) return "the end of the text";
  if (token->kind == TVI_KIR_TOKEN_NEWLINE) return "the end of the line";
  snprintf(buffer, size, "'%.*s'", (int)(token->text.size > 40 ? 40 : token->text.size),
           token->text.data);
  return buffer;
}

bool tvi_kir_expect_symbol(tvi_kir_parser_t* parser, const char* symbol) {
  if (tvi_kir_accept_symbol(parser, symbol)) return true;
  char buffer[64];
  const tvi_kir_token_t* token = tvi_kir_peek(parser);
  return tvi_kir_parse_error(parser, token, "'%s' expected, not %s", symbol,
                             describe(token, buffer, sizeof(buffer)));
}

bool tvi_kir_expect_name(tvi_kir_parser_t* parser, trivet_string_view_t* out_name) {
  const tvi_kir_token_t* token = tvi_kir_peek(parser);
  if (token->kind == TVI_KIR_TOKEN_NAME) {
    *out_name = token->text;
    ++parser->at;
    return true;
  }
  char buffer[64];
  return tvi_kir_parse_error(parser, token, "a name expected, not %s",
                             describe(token, buffer, sizeof(buffer)));
}

bool tvi_kir_expect_u32(tvi_kir_parser_t* parser, uint32_t* out_value) {
  const tvi_kir_token_t* token = tvi_kir_peek(parser);
  int64_t value;
  if (token->kind == TVI_KIR_TOKEN_INT && tvi_sv_parse_i64(token->text, &value) &&
      value < UINT32_MAX) {
    *out_value = (uint32_t)value;
    ++parser->at;
    return true;
  }
  return tvi_kir_parse_error(parser, token, "a whole number expected");
}

bool tvi_kir_parse_error(tvi_kir_parser_t* parser, const tvi_kir_token_t* token, const char* format,
                         ...) {
  if (parser->status != NULL) return false;
  va_list arguments;
  va_start(arguments, format);
  trivet_status_t status = trivet_status_make_v(TRIVET_STATUS_INVALID_ARGUMENT, TVI_FILE_NAME,
                                                __LINE__, format, arguments);
  va_end(arguments);
  parser->status = trivet_status_annotate(status, "line %u, column %u", token->line, token->column);
  return false;
}

bool tvi_kir_parse_ok(tvi_kir_parser_t* parser, trivet_status_t status) {
  if (parser->status != NULL) {
    trivet_status_free(status);
    return false;
  }
  parser->status = status;
  return status == NULL;
}

bool tvi_kir_find_type(const tvi_kir_parser_t* parser, trivet_string_view_t name,
                       tvi_kir_type_ref_t* out_type) {
  trivet_dtype_t dtype = tvi_dtype_from_name(name);
  if (dtype != TRIVET_DTYPE_INVALID) {
    *out_type = (tvi_kir_type_ref_t){dtype, TVI_KIR_NONE};
    return true;
  }
  if (parser->function != NULL) {
    for (uint32_t i = 0; i < parser->function->variable_count; ++i) {
      if (tvi_sv_equal(parser->function->variables[i], name)) {
        *out_type = (tvi_kir_type_ref_t){TRIVET_DTYPE_INVALID, i};
        return true;
      }
    }
    return false;
  }
  if (parser->op == NULL) return false;
  for (uint32_t i = 0; i < parser->op->type_variable_count; ++i) {
    if (tvi_sv_equal(parser->op->type_variables[i].name, name)) {
      *out_type = (tvi_kir_type_ref_t){TRIVET_DTYPE_INVALID, i};
      return true;
    }
  }
  return false;
}

bool tvi_kir_keep_name(tvi_kir_parser_t* parser, trivet_string_view_t name,
                       trivet_string_view_t* out_name) {
  return tvi_kir_parse_ok(parser, tvi_arena_strdup(parser->arena, name, out_name));
}

bool tvi_kir_parse_number(tvi_kir_parser_t* parser, double* out_number) {
  bool minus = tvi_kir_accept_symbol(parser, "-");
  const tvi_kir_token_t* token = tvi_kir_peek(parser);
  double value;
  int64_t integer;
  if (token->kind == TVI_KIR_TOKEN_INT && tvi_sv_parse_i64(token->text, &integer)) {
    value = (double)integer;
  } else if ((token->kind == TVI_KIR_TOKEN_FLOAT ||
              (token->kind == TVI_KIR_TOKEN_NAME &&
               (tvi_sv_equal_cstr(token->text, "inf") || tvi_sv_equal_cstr(token->text, "nan")))) &&
             tvi_sv_parse_f64(token->text, &value)) {
  } else {
    return tvi_kir_parse_error(parser, token, "a number expected");
  }
  ++parser->at;
  *out_number = minus ? -value : value;
  return true;
}

bool tvi_kir_parse_copy(tvi_kir_parser_t* p, const void* from, size_t bytes, const void* out_copy) {
  void* copy = NULL;
  if (bytes != 0 && !tvi_kir_parse_ok(p, tvi_arena_copy(p->arena, from, bytes, &copy)))
    return false;
  memcpy((void*)(uintptr_t)out_copy, &copy, sizeof(copy));
  return true;
}

void tvi_kir_skip_newlines(tvi_kir_parser_t* p) {
  while (tvi_kir_peek(p)->kind == TVI_KIR_TOKEN_NEWLINE) ++p->at;
}

bool tvi_kir_expect_line_end(tvi_kir_parser_t* p) {
  const tvi_kir_token_t* token = tvi_kir_peek(p);
  if (token->kind == TVI_KIR_TOKEN_END) return true;
  if (token->kind == TVI_KIR_TOKEN_NEWLINE) {
    ++p->at;
    return true;
  }
  return tvi_kir_parse_error(p, token, "'%.*s' after the end of a statement",
                             TVI_SV_ARGS(tvi_sv_slice(token->text, 0, 40)));
}
