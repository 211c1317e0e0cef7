// SPDX-License-Identifier: Apache-2.0
//
// Parses graph bodies of operators ("%y = std.Mul(%a, %b)") and the literals of attributes.
// Texts come from plugins: an error names line and column, and nothing half parsed is kept.
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/kernel_ir/operator_ast.h"

typedef tvi_kir_parser_t parser_t;
typedef tvi_kir_token_t token_t;

static const uint32_t kElementSize[] = {0,
                                        sizeof(int64_t),
                                        sizeof(double),
                                        sizeof(trivet_string_view_t),
                                        sizeof(uint32_t),
                                        sizeof(trivet_tensor_t),
                                        sizeof(uint32_t)};

// Undoes the escapes of a string literal.
static bool keep_string(parser_t* p, trivet_string_view_t text, trivet_string_view_t* out) {
  char* copy;
  if (!tvi_kir_parse_ok(p, tvi_arena_alloc(p->arena, text.size + 1, &copy))) return false;
  size_t size = 0;
  for (size_t i = 0; i < text.size; ++i) {
    char c = text.data[i];
    if (c == '\\' && i + 1 < text.size) {
      c = text.data[++i];
      if (c == 'n') c = '\n';
      if (c == 't') c = '\t';
    }
    copy[size++] = c;
  }
  copy[size] = '\0';
  *out = tvi_sv_make(copy, size);
  return true;
}

typedef union {
  int64_t i64;
  double f64;
  trivet_string_view_t string;
  uint32_t dtype;
} element_t;

// One element; *kind 0 takes the kind of what stands there.
static bool parse_element(parser_t* p, uint32_t* kind, element_t* out) {
  const token_t* token = tvi_kir_peek(p);
  const token_t* number = tvi_kir_is_symbol(p, "-") ? tvi_kir_peek_at(p, 1) : token;
  trivet_dtype_t dtype =
      token->kind == TVI_KIR_TOKEN_NAME ? tvi_dtype_from_name(token->text) : TRIVET_DTYPE_INVALID;
  bool is_bool = tvi_kir_is_name(p, "true") || tvi_kir_is_name(p, "false");
  bool is_special = number->kind == TVI_KIR_TOKEN_NAME && (tvi_sv_equal_cstr(number->text, "inf") ||
                                                           tvi_sv_equal_cstr(number->text, "nan"));
  uint32_t found = 0;
  if (token->kind == TVI_KIR_TOKEN_STRING) found = TRIVET_ATTR_STRING;
  if (dtype != TRIVET_DTYPE_INVALID) found = TRIVET_ATTR_DTYPE;
  if (is_bool || number->kind == TVI_KIR_TOKEN_INT) found = TRIVET_ATTR_I64;
  if (number->kind == TVI_KIR_TOKEN_FLOAT || is_special) found = TRIVET_ATTR_F32;
  if (found == TRIVET_ATTR_I64 && *kind == TRIVET_ATTR_F32 && !is_bool) found = TRIVET_ATTR_F32;
  if (*kind == 0) *kind = found;
  if (found == 0 || found != *kind) {
    static const char* const kNames[] = {"a literal",       "an integer", "a number", "a string",
                                         "an element type", "a tensor",   "a graph"};
    return tvi_kir_parse_error(p, token, "%s expected", kNames[*kind]);
  }
  switch (found) {
    case TRIVET_ATTR_I64: {
      if (is_bool) {
        out->i64 = token->text.data[0] == 't';
        ++p->at;
        return true;
      }
      bool minus = tvi_kir_accept_symbol(p, "-");
      uint64_t value;
      if (!tvi_sv_parse_u64(number->text, &value) || value > (uint64_t)INT64_MAX + minus) {
        return tvi_kir_parse_error(p, number, "the number is too large");
      }
      out->i64 = minus ? (int64_t)(0 - value) : (int64_t)value;
      ++p->at;
      return true;
    }
    case TRIVET_ATTR_F32: {
      if (!tvi_kir_parse_number(p, &out->f64)) return false;
      out->f64 = (double)(float)out->f64;
      return true;
    }
    case TRIVET_ATTR_STRING:
      ++p->at;
      return keep_string(p, token->text, &out->string);
    default:
      out->dtype = dtype;
      ++p->at;
      return true;
  }
}

bool tvi_kir_parse_literal(parser_t* p, const char* name, uint32_t kind, uint32_t flags,
                           const trivet_attribute_t** out_attribute) {
  element_t elements[TVI_KIR_MAX_LIST];
  uint32_t count = 0;
  const token_t* token = tvi_kir_peek(p);
  bool list = tvi_kir_accept_symbol(p, "[");
  if (kind != 0 && list != ((flags & TRIVET_ATTR_LIST) != 0)) {
    return tvi_kir_parse_error(p, token, list ? "a single value expected" : "a list expected");
  }
  if (list) {
    while (!tvi_kir_accept_symbol(p, "]")) {
      if (count > 0 && !tvi_kir_expect_symbol(p, ",")) return false;
      if (count == TVI_KIR_MAX_LIST) {
        return tvi_kir_parse_error(p, token, "more than %d elements", TVI_KIR_MAX_LIST);
      }
      if (!parse_element(p, &kind, &elements[count++])) return false;
    }
    if (kind == 0) kind = TRIVET_ATTR_I64;
  } else if (!parse_element(p, &kind, &elements[count++])) {
    return false;
  }
  trivet_attribute_t* attribute;
  char* data;
  size_t size = kElementSize[kind];
  if (!tvi_kir_parse_ok(p, tvi_arena_alloc_zeroed(p->arena, sizeof(*attribute), &attribute)) ||
      !tvi_kir_parse_ok(p, tvi_arena_alloc(p->arena, size * count + 1, &data))) {
    return false;
  }
  for (uint32_t i = 0; i < count; ++i) memcpy(data + i * size, &elements[i], size);
  attribute->name = name;
  attribute->kind = kind;
  attribute->flags = list ? TRIVET_ATTR_LIST : 0;
  attribute->count = count;
  attribute->data = data;
  *out_attribute = attribute;
  return true;
}

// %name, with member ("%x:1") or ellipsis ("%x...").
static bool parse_value(parser_t* p, trivet_string_view_t* out_name) {
  const token_t* percent = tvi_kir_peek(p);
  if (!tvi_kir_expect_symbol(p, "%")) return false;
  const token_t* token = tvi_kir_peek(p);
  if (token->kind != TVI_KIR_TOKEN_NAME && token->kind != TVI_KIR_TOKEN_INT) {
    return tvi_kir_parse_error(p, percent, "a name expected after '%%'");
  }
  ++p->at;
  trivet_string_view_t name = token->text;
  const token_t* last = token;
  if (tvi_kir_is_symbol(p, ":") && tvi_kir_peek_at(p, 1)->kind == TVI_KIR_TOKEN_INT) {
    last = tvi_kir_peek_at(p, 1);
    p->at += 2;
  } else if (tvi_kir_peek(p)->kind == TVI_KIR_TOKEN_ELLIPSIS) {
    last = tvi_kir_peek(p);
    ++p->at;
  }
  name.size = (size_t)(last->text.data + last->text.size - name.data);
  return tvi_kir_keep_name(p, name, out_name);
}

#define MAX_LINES 1024

static bool parse_line(parser_t* p, tvi_kir_graph_line_t* line) {
  trivet_string_view_t names[TVI_KIR_MAX_LIST];
  memset(line, 0, sizeof(*line));
  line->line = tvi_kir_peek(p)->line;
  uint32_t count = 0;
  void* copy;
  do {
    if (count == TVI_KIR_MAX_LIST) {
      return tvi_kir_parse_error(p, tvi_kir_peek(p), "too many values");
    }
    if (tvi_kir_accept_name(p, "_")) {
      names[count++] = TRIVET_SV("_");
    } else if (!parse_value(p, &names[count++])) {
      return false;
    }
  } while (tvi_kir_accept_symbol(p, ","));
  if (!tvi_kir_parse_ok(p, tvi_arena_copy(p->arena, names, count * sizeof(*names), &copy))) {
    return false;
  }
  line->outputs = (const trivet_string_view_t*)copy;
  line->output_count = count;
  if (!tvi_kir_expect_symbol(p, "=")) return false;
  trivet_string_view_t part;
  if (!tvi_kir_expect_name(p, &part)) return false;
  trivet_string_view_t op = part;
  while (tvi_kir_accept_symbol(p, ".")) {
    if (!tvi_kir_expect_name(p, &part)) return false;
    op.size = (size_t)(part.data + part.size - op.data);
  }
  if (!tvi_kir_keep_name(p, op, &line->op)) return false;
  if (tvi_kir_accept_symbol(p, "/") && !tvi_kir_expect_u32(p, &line->version)) return false;
  if (!tvi_kir_expect_symbol(p, "(")) return false;
  count = 0;
  while (!tvi_kir_accept_symbol(p, ")")) {
    if (count > 0 && !tvi_kir_expect_symbol(p, ",")) return false;
    if (count == TVI_KIR_MAX_LIST) {
      return tvi_kir_parse_error(p, tvi_kir_peek(p), "too many operands");
    }
    if (tvi_kir_accept_name(p, "_")) {
      names[count++] = (trivet_string_view_t){"", 0};
    } else if (!parse_value(p, &names[count++])) {
      return false;
    }
  }
  if (!tvi_kir_parse_ok(p, tvi_arena_copy(p->arena, names, count * sizeof(*names), &copy))) {
    return false;
  }
  line->inputs = (const trivet_string_view_t*)copy;
  line->input_count = count;
  if (!tvi_kir_accept_symbol(p, "{")) return true;
  tvi_kir_graph_attribute_t attributes[TVI_KIR_MAX_LIST];
  count = 0;
  while (!tvi_kir_accept_symbol(p, "}")) {
    if (count > 0 && !tvi_kir_expect_symbol(p, ",")) return false;
    if (count == TVI_KIR_MAX_LIST) {
      return tvi_kir_parse_error(p, tvi_kir_peek(p), "too many attributes");
    }
    tvi_kir_graph_attribute_t* attribute = &attributes[count];
    memset(attribute, 0, sizeof(*attribute));
    trivet_string_view_t name;
    if (!tvi_kir_expect_name(p, &name) || !tvi_kir_keep_name(p, name, &attribute->name) ||
        !tvi_kir_expect_symbol(p, "=")) {
      return false;
    }
    const token_t* token = tvi_kir_peek(p);
    const tvi_kir_attribute_t* own =
        token->kind == TVI_KIR_TOKEN_NAME ? tvi_kir_operator_attribute(p->op, token->text) : NULL;
    if (own != NULL) {
      attribute->reference = (uint32_t)(own - p->op->attributes);
      ++p->at;
    } else if (!tvi_kir_parse_literal(p, attribute->name.data, 0, 0, &attribute->value)) {
      return false;
    }
    ++count;
  }
  if (!tvi_kir_parse_ok(p,
                        tvi_arena_copy(p->arena, attributes, count * sizeof(*attributes), &copy))) {
    return false;
  }
  line->attributes = (const tvi_kir_graph_attribute_t*)copy;
  line->attribute_count = count;
  return true;
}

bool tvi_kir_parse_graph_lines(parser_t* p, tvi_kir_body_t* body) {
  tvi_kir_graph_line_t* lines = NULL;
  uint32_t count = 0, capacity = 0;
  for (;;) {
    while (tvi_kir_peek(p)->kind == TVI_KIR_TOKEN_NEWLINE) ++p->at;
    if (tvi_kir_peek(p)->kind == TVI_KIR_TOKEN_END || tvi_kir_is_symbol(p, "}")) break;
    if (count == capacity) {
      if (count == MAX_LINES) {
        return tvi_kir_parse_error(p, tvi_kir_peek(p), "more than %d lines", MAX_LINES);
      }
      tvi_kir_graph_line_t* more;
      capacity = capacity == 0 ? 8 : capacity * 2;
      if (!tvi_kir_parse_ok(p, tvi_arena_alloc_array(p->arena, capacity, sizeof(*more), &more))) {
        return false;
      }
      if (count > 0) memcpy(more, lines, count * sizeof(*lines));
      lines = more;
    }
    if (!parse_line(p, &lines[count])) return false;
    ++count;
  }
  body->kind = TVI_KIR_BODY_GRAPH;
  body->lines = lines;
  body->line_count = count;
  return true;
}
