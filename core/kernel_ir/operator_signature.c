// SPDX-License-Identifier: Apache-2.0
//
// Signatures of operators: operands, extents, type variables and the where clause, read and
// printed. The rest of a text is operator_text.c's. See operator_ast.h.
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/kernel_ir/operator_ast.h"

typedef tvi_kir_parser_t parser_t;
typedef tvi_kir_token_t token_t;
typedef tvi_kir_signature_t signature_t;

static bool add_variable(parser_t* p, signature_t* s, const token_t* token,
                         trivet_string_view_t name, uint32_t* out_variable) {
  tvi_kir_operator_t* op = s->op;
  for (uint32_t i = 0; i < op->type_variable_count; ++i) {
    if (tvi_sv_equal(s->variables[i].name, name)) {
      *out_variable = i;
      return true;
    }
  }
  if (op->type_variable_count == TVI_KIR_MAX_TYPE_VARIABLES) {
    return tvi_kir_parse_error(p, token, "more than %d type variables", TVI_KIR_MAX_TYPE_VARIABLES);
  }
  tvi_kir_type_variable_t* variable = &s->variables[op->type_variable_count];
  memset(variable, 0, sizeof(*variable));
  variable->dtypes = UINT64_MAX;
  variable->attribute = TVI_KIR_NONE;
  if (!tvi_kir_keep_name(p, name, &variable->name)) return false;
  *out_variable = op->type_variable_count++;
  op->type_variables = s->variables;
  return true;
}

static bool add_extent_name(parser_t* p, signature_t* s, const token_t* token,
                            trivet_string_view_t name, uint32_t* out_name) {
  tvi_kir_operator_t* op = s->op;
  if (name.data[0] < 'A' || name.data[0] > 'Z') {
    return tvi_kir_parse_error(p, token, "extent '%.*s' must begin with an upper-case letter",
                               TVI_SV_ARGS(name));
  }
  for (uint32_t i = 0; i < op->extent_name_count; ++i) {
    if (tvi_sv_equal(s->extent_names[i], name)) {
      *out_name = i;
      return true;
    }
  }
  if (op->extent_name_count == TVI_KIR_MAX_LIST) {
    return tvi_kir_parse_error(p, token, "more than %d extents", TVI_KIR_MAX_LIST);
  }
  if (!tvi_kir_keep_name(p, name, &s->extent_names[op->extent_name_count])) return false;
  *out_name = op->extent_name_count++;
  op->extent_names = s->extent_names;
  return true;
}

static bool parse_extents(parser_t* p, signature_t* s, tvi_kir_operand_t* operand) {
  tvi_kir_extent_t extents[TRIVET_MAX_RANK];
  uint32_t count = 0, packs = 0;
  if (tvi_kir_accept_symbol(p, "*")) {
    operand->any_rank = true;
    return tvi_kir_expect_symbol(p, "]");
  }
  while (!tvi_kir_accept_symbol(p, "]")) {
    if (count > 0 && !tvi_kir_expect_symbol(p, ",")) return false;
    const token_t* token = tvi_kir_peek(p);
    if (count == TRIVET_MAX_RANK) {
      return tvi_kir_parse_error(p, token, "more than %u extents", TRIVET_MAX_RANK);
    }
    tvi_kir_extent_t* extent = &extents[count++];
    memset(extent, 0, sizeof(*extent));
    extent->name = TVI_KIR_NONE;
    bool bcast = tvi_kir_is_name(p, "bcast");
    if (bcast) ++p->at;
    token = tvi_kir_peek(p);
    const token_t* after = tvi_kir_peek_at(p, 1);
    bool is_name = token->kind == TVI_KIR_TOKEN_NAME;
    if (is_name && after->kind == TVI_KIR_TOKEN_ELLIPSIS) {
      extent->kind = bcast ? TVI_KIR_EXTENT_BCAST : TVI_KIR_EXTENT_PACK;
      if (!add_extent_name(p, s, token, token->text, &extent->name)) return false;
      if (++packs > 1) {
        return tvi_kir_parse_error(p, token, "operand '%.*s' has two packs",
                                   TVI_SV_ARGS(operand->name));
      }
      p->at += 2;
      continue;
    }
    if (bcast) return tvi_kir_parse_error(p, token, "a pack such as D... expected after 'bcast'");
    if (is_name && after->kind == TVI_KIR_TOKEN_SYMBOL && token->text.data[0] >= 'A' &&
        token->text.data[0] <= 'Z' &&
        (tvi_sv_equal_cstr(after->text, ",") || tvi_sv_equal_cstr(after->text, "]"))) {
      extent->kind = TVI_KIR_EXTENT_NAME;
      if (!add_extent_name(p, s, token, token->text, &extent->name)) return false;
      ++p->at;
      continue;
    }
    extent->kind = TVI_KIR_EXTENT_EXPR;
    extent->expr = tvi_kir_parse_expression(p);
    if (extent->expr == NULL) return false;
  }
  operand->extent_count = count;
  return tvi_kir_parse_copy(p, extents, count * sizeof(*extents), (const void*)&operand->extents);
}

static bool parse_operands(parser_t* p, signature_t* s, bool outputs) {
  tvi_kir_operator_t* op = s->op;
  tvi_kir_operand_t operands[TVI_KIR_MAX_OPERANDS];
  uint32_t count = 0;
  bool optional_seen = false;
  if (!tvi_kir_expect_symbol(p, "(")) return false;
  while (!tvi_kir_accept_symbol(p, ")")) {
    if (count > 0 && !tvi_kir_expect_symbol(p, ",")) return false;
    const token_t* token = tvi_kir_peek(p);
    if (count == TVI_KIR_MAX_OPERANDS) {
      return tvi_kir_parse_error(p, token, "more than %d operands", TVI_KIR_MAX_OPERANDS);
    }
    if (count > 0 && operands[count - 1].variadic) {
      return tvi_kir_parse_error(p, token, "a variadic operand must be the last");
    }
    tvi_kir_operand_t* operand = &operands[count];
    memset(operand, 0, sizeof(*operand));
    operand->type_variable = TVI_KIR_NONE;
    trivet_string_view_t name;
    if (!tvi_kir_expect_name(p, &name)) return false;
    bool taken = tvi_kir_find_operand(op, name) != NULL;
    for (uint32_t i = 0; i < count; ++i) taken = taken || tvi_sv_equal(operands[i].name, name);
    if (taken) {
      return tvi_kir_parse_error(p, token, "operand '%.*s' occurs twice", TVI_SV_ARGS(name));
    }
    if (!tvi_kir_keep_name(p, name, &operand->name)) return false;
    operand->optional = tvi_kir_accept_symbol(p, "?");
    optional_seen = optional_seen || operand->optional;
    if (tvi_kir_peek(p)->kind == TVI_KIR_TOKEN_ELLIPSIS) {
      ++p->at;
      operand->variadic = true;
    }
    if (!tvi_kir_expect_symbol(p, ":")) return false;
    token = tvi_kir_peek(p);
    if (!tvi_kir_expect_name(p, &name)) return false;
    operand->dtype = tvi_dtype_from_name(name);
    if (operand->dtype == TRIVET_DTYPE_INVALID &&
        !add_variable(p, s, token, name, &operand->type_variable)) {
      return false;
    }
    if (tvi_kir_accept_symbol(p, "[") && !parse_extents(p, s, operand)) return false;
    ++count;
  }
  const tvi_kir_operand_t* copy = NULL;
  if (!tvi_kir_parse_copy(p, operands, count * sizeof(*operands), (const void*)&copy)) return false;
  if (outputs) {
    op->outputs = copy;
    op->output_count = count;
  } else {
    op->inputs = copy;
    op->input_count = count;
  }
  return true;
}

static uint64_t class_bits(trivet_string_view_t name) {
  const uint64_t one = 1;
  const uint64_t floats = one << TRIVET_DTYPE_F16 | one << TRIVET_DTYPE_BF16 |
                          one << TRIVET_DTYPE_F32 | one << TRIVET_DTYPE_F64;
  const uint64_t ints = one << TRIVET_DTYPE_I8 | one << TRIVET_DTYPE_I16 | one << TRIVET_DTYPE_I32 |
                        one << TRIVET_DTYPE_I64;
  const uint64_t uints = one << TRIVET_DTYPE_U8 | one << TRIVET_DTYPE_U16 |
                         one << TRIVET_DTYPE_U32 | one << TRIVET_DTYPE_U64;
  if (tvi_sv_equal_cstr(name, "float")) return floats;
  if (tvi_sv_equal_cstr(name, "int")) return ints;
  if (tvi_sv_equal_cstr(name, "uint")) return uints;
  if (tvi_sv_equal_cstr(name, "integer")) return ints | uints;
  if (tvi_sv_equal_cstr(name, "numeric")) return floats | ints | uints;
  if (tvi_sv_equal_cstr(name, "any")) return UINT64_MAX;
  trivet_dtype_t dtype = tvi_dtype_from_name(name);
  return dtype != TRIVET_DTYPE_INVALID ? one << dtype : 0;
}

static bool parse_where(parser_t* p, signature_t* s) {
  do {
    const token_t* token = tvi_kir_peek(p);
    trivet_string_view_t name;
    uint32_t variable;
    if (!tvi_kir_expect_name(p, &name)) return false;
    if (tvi_dtype_from_name(name) != TRIVET_DTYPE_INVALID) {
      return tvi_kir_parse_error(p, token, "'%.*s' is a type, not a type variable",
                                 TVI_SV_ARGS(name));
    }
    if (!add_variable(p, s, token, name, &variable)) return false;
    if (tvi_kir_accept_symbol(p, "=")) {
      s->fixed_at[variable] = tvi_kir_peek(p);
      if (!tvi_kir_expect_name(p, &s->fixed_by[variable])) return false;
      continue;
    }
    if (!tvi_kir_expect_symbol(p, ":")) return false;
    bool list = tvi_kir_accept_symbol(p, "{");
    uint64_t bits = 0;
    do {
      token = tvi_kir_peek(p);
      if (!tvi_kir_expect_name(p, &name)) return false;
      uint64_t found = class_bits(name);
      if (found == 0) {
        return tvi_kir_parse_error(
            p, token, "'%.*s' is neither an element type nor a class of them", TVI_SV_ARGS(name));
      }
      bits |= found;
    } while (list && tvi_kir_accept_symbol(p, ","));
    if (list && !tvi_kir_expect_symbol(p, "}")) return false;
    s->variables[variable].dtypes = bits;
  } while (tvi_kir_accept_symbol(p, ","));
  return true;
}

// A continuation on the next line, for signatures that are long.
static bool accept_after_newlines(parser_t* p, const char* name_or_symbol) {
  uint32_t begin = p->at;
  tvi_kir_skip_newlines(p);
  if (tvi_kir_accept_symbol(p, name_or_symbol) || tvi_kir_accept_name(p, name_or_symbol)) {
    return true;
  }
  p->at = begin;
  return false;
}

bool tvi_kir_parse_operator_name(parser_t* p, trivet_string_view_t* out_name) {
  trivet_string_view_t part;
  if (!tvi_kir_expect_name(p, &part)) return false;
  trivet_string_view_t name = part;
  while (tvi_kir_accept_symbol(p, ".")) {
    if (!tvi_kir_expect_name(p, &part)) return false;
    name.size = (size_t)(part.data + part.size - name.data);
  }
  return tvi_kir_keep_name(p, name, out_name);
}

bool tvi_kir_parse_signature(parser_t* p, signature_t* s) {
  tvi_kir_operator_t* op = s->op;
  tvi_kir_skip_newlines(p);
  if (tvi_kir_accept_name(p, "language")) {
    const token_t* token = tvi_kir_peek(p);
    uint32_t language;
    if (!tvi_kir_expect_u32(p, &language)) return false;
    if (language != 1) {
      return tvi_kir_parse_error(p, token, "language %u is newer than this library, which reads 1",
                                 language);
    }
    if (!tvi_kir_expect_line_end(p)) return false;
    tvi_kir_skip_newlines(p);
  }
  if (!tvi_kir_accept_name(p, "op")) {
    return tvi_kir_parse_error(p, tvi_kir_peek(p), "'op' expected");
  }
  if (!tvi_kir_parse_operator_name(p, &op->name)) return false;
  if (!tvi_kir_expect_symbol(p, "/") || !tvi_kir_expect_u32(p, &op->version)) return false;
  if (op->version == 0) {
    return tvi_kir_parse_error(p, tvi_kir_peek(p), "versions begin with 1");
  }
  if (!parse_operands(p, s, false)) return false;
  if (!accept_after_newlines(p, "->")) return tvi_kir_expect_symbol(p, "->");
  if (!parse_operands(p, s, true)) return false;
  if (op->output_count == 0) {
    return tvi_kir_parse_error(p, tvi_kir_peek(p), "an operator has at least one output");
  }
  if (accept_after_newlines(p, "where") && !parse_where(p, s)) return false;
  for (uint32_t i = 0; i < op->type_variable_count; ++i) {
    for (uint32_t j = 0; j < op->extent_name_count; ++j) {
      if (tvi_sv_equal(s->variables[i].name, s->extent_names[j])) {
        return tvi_kir_parse_error(p, tvi_kir_peek(p), "'%.*s' is both a type and an extent",
                                   TVI_SV_ARGS(s->variables[i].name));
      }
    }
  }
  return tvi_kir_expect_line_end(p);
}

bool tvi_kir_resolve_fixed_types(parser_t* p, signature_t* s) {
  tvi_kir_operator_t* op = s->op;
  for (uint32_t i = 0; i < op->type_variable_count; ++i) {
    if (s->fixed_at[i] == NULL) continue;
    const tvi_kir_attribute_t* attribute = tvi_kir_operator_attribute(op, s->fixed_by[i]);
    if (attribute == NULL || attribute->kind != TRIVET_ATTR_DTYPE || attribute->flags != 0) {
      return tvi_kir_parse_error(p, s->fixed_at[i], "'%.*s' is not an attribute of type dtype",
                                 TVI_SV_ARGS(s->fixed_by[i]));
    }
    s->variables[i].attribute = (uint32_t)(attribute - op->attributes);
  }
  return true;
}

// ---- Printing ----

static void print_operands(const tvi_kir_operator_t* op, const tvi_kir_operand_t* operands,
                           uint32_t count, tvi_string_builder_t* builder) {
  tvi_string_builder_append_char(builder, '(');
  for (uint32_t i = 0; i < count; ++i) {
    const tvi_kir_operand_t* operand = &operands[i];
    if (i > 0) tvi_string_builder_append_cstr(builder, ", ");
    tvi_string_builder_append(builder, operand->name);
    if (operand->optional) tvi_string_builder_append_char(builder, '?');
    if (operand->variadic) tvi_string_builder_append_cstr(builder, "...");
    tvi_string_builder_append_cstr(builder, ": ");
    if (operand->type_variable != TVI_KIR_NONE) {
      tvi_string_builder_append(builder, op->type_variables[operand->type_variable].name);
    } else {
      tvi_string_builder_append_cstr(builder, tvi_dtype_name(operand->dtype));
    }
    if (operand->any_rank) tvi_string_builder_append_cstr(builder, "[*]");
    if (operand->extent_count > 0) tvi_string_builder_append_char(builder, '[');
    for (uint32_t j = 0; j < operand->extent_count; ++j) {
      const tvi_kir_extent_t* extent = &operand->extents[j];
      if (j > 0) tvi_string_builder_append_cstr(builder, ", ");
      if (extent->kind == TVI_KIR_EXTENT_BCAST) tvi_string_builder_append_cstr(builder, "bcast ");
      if (extent->kind == TVI_KIR_EXTENT_EXPR) {
        if (extent->expr->kind == TVI_KIR_EXPR_INT) {
          tvi_string_builder_append_i64(builder, extent->expr->integer);
        } else {
          tvi_string_builder_append_cstr(builder, "(...)");
        }
      } else {
        tvi_string_builder_append(builder, op->extent_names[extent->name]);
        if (extent->kind != TVI_KIR_EXTENT_NAME) tvi_string_builder_append_cstr(builder, "...");
      }
    }
    if (operand->extent_count > 0) tvi_string_builder_append_char(builder, ']');
  }
  tvi_string_builder_append_char(builder, ')');
}

trivet_status_t tvi_kir_signature_print(const tvi_kir_operator_t* op,
                                        tvi_string_builder_t* builder) {
  tvi_string_builder_append(builder, op->name);
  tvi_string_builder_appendf(builder, "/%u ", op->version);
  print_operands(op, op->inputs, op->input_count, builder);
  tvi_string_builder_append_cstr(builder, " -> ");
  print_operands(op, op->outputs, op->output_count, builder);
  return builder->status == NULL ? TRIVET_OK : tvi_string_builder_status(builder);
}
