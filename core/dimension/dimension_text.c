// SPDX-License-Identifier: Apache-2.0
//
// Dimensions as text and back: "2*batch + 1", "floordiv(n - 1, 2)". A symbol whose name is not an
// identifier stands in quotes: 'batch size'. Parsing is limited in depth and builds through the
// arithmetic, so its result is normalised like any other.
#include <string.h>

#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/dimension/dimension_internal.h"

static const struct {
  const char* name;
  uint32_t op;
  tvi_dim_kind_t kind;
} kFunctions[] = {
    {"floordiv", TRIVET_DIM_FLOORDIV, TVI_DIM_FLOORDIV},
    {"ceildiv", TRIVET_DIM_CEILDIV, TVI_DIM_CEILDIV},
    {"mod", TRIVET_DIM_MOD, TVI_DIM_MOD},
    {"min", TRIVET_DIM_MIN, TVI_DIM_MIN},
    {"max", TRIVET_DIM_MAX, TVI_DIM_MAX},
};
#define FUNCTION_COUNT (sizeof(kFunctions) / sizeof(*kFunctions))

static bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_plain(trivet_string_view_t name) {
  if (name.size == 0 || !is_name_start(name.data[0])) return false;
  for (size_t i = 1; i < name.size; ++i) {
    if (!is_name_start(name.data[i]) && !is_digit(name.data[i])) return false;
  }
  for (size_t i = 0; i < FUNCTION_COUNT; ++i) {
    if (tvi_sv_equal_cstr(name, kFunctions[i].name)) return false;
  }
  return true;
}

static void print(trivet_dim_t dim, tvi_string_builder_t* builder) {
  switch (dim->kind) {
    case TVI_DIM_CONSTANT:
      tvi_string_builder_append_i64(builder, dim->value);
      return;
    case TVI_DIM_SYMBOL: {
      trivet_string_view_t name = tvi_dim_as_symbol(dim)->name;
      if (is_plain(name)) {
        tvi_string_builder_append(builder, name);
        return;
      }
      tvi_string_builder_append_char(builder, '\'');
      for (size_t i = 0; i < name.size; ++i) {
        if (name.data[i] == '\'' || name.data[i] == '\\') {
          tvi_string_builder_append_char(builder, '\\');
        }
        tvi_string_builder_append_char(builder, name.data[i]);
      }
      tvi_string_builder_append_char(builder, '\'');
      return;
    }
    case TVI_DIM_SUM:
      for (uint32_t i = 0; i < dim->count; ++i) {
        int64_t c = dim->coefficients[i];
        bool minus = c < 0 && c != INT64_MIN;
        if (i > 0) tvi_string_builder_append_cstr(builder, minus ? " - " : " + ");
        if (i == 0 && minus) tvi_string_builder_append_char(builder, '-');
        if (minus) c = -c;
        if (c != 1) {
          tvi_string_builder_append_i64(builder, c);
          tvi_string_builder_append_char(builder, '*');
        }
        print(dim->operands[i], builder);
      }
      if (dim->value != 0) {
        bool minus = dim->value < 0 && dim->value != INT64_MIN;
        tvi_string_builder_append_cstr(builder, minus ? " - " : " + ");
        tvi_string_builder_append_i64(builder, minus ? -dim->value : dim->value);
      }
      return;
    case TVI_DIM_PRODUCT:
      for (uint32_t i = 0; i < dim->count; ++i) {
        if (i > 0) tvi_string_builder_append_char(builder, '*');
        print(dim->operands[i], builder);
      }
      return;
    default: {
      const char* name = "max";
      for (size_t i = 0; i < FUNCTION_COUNT; ++i) {
        if (kFunctions[i].kind == dim->kind) name = kFunctions[i].name;
      }
      tvi_string_builder_append_cstr(builder, name);
      tvi_string_builder_append_char(builder, '(');
      for (uint32_t i = 0; i < dim->count; ++i) {
        if (i > 0) tvi_string_builder_append_cstr(builder, ", ");
        print(dim->operands[i], builder);
      }
      tvi_string_builder_append_char(builder, ')');
      return;
    }
  }
}

trivet_status_t tvi_dim_print(trivet_dim_t dim, tvi_string_builder_t* builder) {
  if (dim == NULL) {
    tvi_string_builder_append_char(builder, '?');
  } else {
    print(dim, builder);
  }
  return builder->status == NULL ? TRIVET_OK : tvi_string_builder_status(builder);
}

typedef struct {
  tvi_dim_context_t* context;
  trivet_string_view_t text;
  size_t at;
  int depth;
  const char* error;
} parser_t;

static void skip_blanks(parser_t* p) {
  while (p->at < p->text.size && (p->text.data[p->at] == ' ' || p->text.data[p->at] == '\t')) {
    ++p->at;
  }
}

static bool accept(parser_t* p, char c) {
  skip_blanks(p);
  if (p->at >= p->text.size || p->text.data[p->at] != c) return false;
  ++p->at;
  return true;
}

static trivet_dim_t fail(parser_t* p, const char* error) {
  if (p->error == NULL) p->error = error;
  return NULL;
}

static trivet_dim_t parse_sum(parser_t* p);

static trivet_dim_t parse_quoted(parser_t* p) {
  size_t begin = p->at, end = begin;
  while (end < p->text.size && p->text.data[end] != '\'') end += p->text.data[end] == '\\' ? 2 : 1;
  if (end >= p->text.size) return fail(p, "a quote without end");
  char* name;
  if (trivet_status_consume(tvi_arena_alloc(&p->context->arena, end - begin + 1, &name)) !=
      TRIVET_STATUS_OK) {
    return fail(p, "out of memory");
  }
  size_t size = 0;
  for (size_t i = begin; i < end; ++i) {
    if (p->text.data[i] == '\\' && i + 1 < end) ++i;
    name[size++] = p->text.data[i];
  }
  p->at = end + 1;
  return tvi_dim_symbol(p->context, tvi_sv_make(name, size));
}

static trivet_dim_t parse_atom(parser_t* p) {
  skip_blanks(p);
  if (p->at >= p->text.size) return fail(p, "an operand is missing");
  char c = p->text.data[p->at];
  if (c == '(') {
    ++p->at;
    trivet_dim_t inner = parse_sum(p);
    if (inner != NULL && !accept(p, ')')) return fail(p, "')' is missing");
    return inner;
  }
  if (c == '\'') {
    ++p->at;
    return parse_quoted(p);
  }
  size_t begin = p->at;
  if (is_digit(c)) {
    while (p->at < p->text.size && is_digit(p->text.data[p->at])) ++p->at;
    int64_t value;
    if (!tvi_sv_parse_i64(tvi_sv_slice(p->text, begin, p->at - begin), &value)) {
      return fail(p, "a number is too large");
    }
    return tvi_dim_constant(p->context, value);
  }
  if (!is_name_start(c)) return fail(p, "an unexpected character");
  while (p->at < p->text.size &&
         (is_name_start(p->text.data[p->at]) || is_digit(p->text.data[p->at]))) {
    ++p->at;
  }
  trivet_string_view_t name = tvi_sv_slice(p->text, begin, p->at - begin);
  for (size_t i = 0; i < FUNCTION_COUNT; ++i) {
    if (!tvi_sv_equal_cstr(name, kFunctions[i].name)) continue;
    if (!accept(p, '(')) return fail(p, "'(' is missing");
    trivet_dim_t result = parse_sum(p);
    uint32_t count = 1;
    for (; result != NULL && accept(p, ','); ++count) {
      result = tvi_dim_binary(p->context, kFunctions[i].op, result, parse_sum(p));
    }
    if (result == NULL) return fail(p, "overflow or division by zero");
    if (count < 2 || (count > 2 && kFunctions[i].op < TRIVET_DIM_MIN)) {
      return fail(p, "a function takes two operands");
    }
    if (!accept(p, ')')) return fail(p, "')' is missing");
    return result;
  }
  return tvi_dim_symbol(p->context, name);
}

static trivet_dim_t parse_product(parser_t* p) {
  bool minus = false;
  while (accept(p, '-')) minus = !minus;
  trivet_dim_t result = parse_atom(p);
  while (result != NULL && accept(p, '*')) {
    result = tvi_dim_binary(p->context, TRIVET_DIM_MUL, result, parse_atom(p));
  }
  if (result != NULL && minus) {
    result = tvi_dim_binary(p->context, TRIVET_DIM_MUL, result, tvi_dim_constant(p->context, -1));
  }
  return result != NULL ? result : fail(p, "overflow");
}

static trivet_dim_t parse_sum(parser_t* p) {
  if (++p->depth > TVI_DIM_MAX_DEPTH) return fail(p, "nested too deeply");
  trivet_dim_t result = parse_product(p);
  while (result != NULL) {
    if (accept(p, '+')) {
      result = tvi_dim_binary(p->context, TRIVET_DIM_ADD, result, parse_product(p));
    } else if (accept(p, '-')) {
      result = tvi_dim_binary(p->context, TRIVET_DIM_SUB, result, parse_product(p));
    } else {
      break;
    }
  }
  --p->depth;
  return result != NULL ? result : fail(p, "overflow");
}

trivet_status_t tvi_dim_parse(tvi_dim_context_t* context, trivet_string_view_t text,
                              trivet_dim_t* out_dim) {
  parser_t parser = {context, text, 0, 0, NULL};
  trivet_dim_t dim = parse_sum(&parser);
  skip_blanks(&parser);
  if (dim != NULL && parser.at != text.size) dim = fail(&parser, "text after its end");
  if (dim == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "dimension '" TVI_SV_FORMAT "', column %zu: %s",
                         TVI_SV_ARGS(tvi_sv_slice(text, 0, 200)), parser.at + 1, parser.error);
  }
  *out_dim = dim;
  return TRIVET_OK;
}
