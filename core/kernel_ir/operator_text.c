// SPDX-License-Identifier: Apache-2.0
//
// Parses operator declarations: attributes, functions, monoids, statements. Signatures, expressions
// and graph bodies have files of their own. What is left after parsing is immutable.
#include "core/kernel_ir/operator_text.h"

#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/kernel_ir/operator_ast.h"

typedef tvi_kir_parser_t parser_t;
typedef tvi_kir_token_t token_t;
typedef tvi_kir_signature_t signature_t;

// ---- Attributes ----

static bool parse_attribute(parser_t* p, tvi_kir_attribute_t* attribute) {
  static const struct {
    const char* name;
    uint32_t kind;
  } kKinds[] = {
      {"i64", TRIVET_ATTR_I64},     {"f32", TRIVET_ATTR_F32},       {"string", TRIVET_ATTR_STRING},
      {"dtype", TRIVET_ATTR_DTYPE}, {"tensor", TRIVET_ATTR_TENSOR}, {"graph", TRIVET_ATTR_GRAPH},
  };
  memset(attribute, 0, sizeof(*attribute));
  trivet_string_view_t name;
  if (!tvi_kir_expect_name(p, &name) || !tvi_kir_keep_name(p, name, &attribute->name)) return false;
  attribute->required = !tvi_kir_accept_symbol(p, "?");
  if (!tvi_kir_expect_symbol(p, ":")) return false;
  const token_t* token = tvi_kir_peek(p);
  if (!tvi_kir_expect_name(p, &name)) return false;
  for (size_t i = 0; i < sizeof(kKinds) / sizeof(*kKinds); ++i) {
    if (tvi_sv_equal_cstr(name, kKinds[i].name)) attribute->kind = kKinds[i].kind;
  }
  if (attribute->kind == 0) {
    return tvi_kir_parse_error(p, token,
                               "attribute type i64, f32, string, dtype, tensor or graph expected");
  }
  if (tvi_kir_accept_symbol(p, "[")) {
    attribute->flags = TRIVET_ATTR_LIST;
    if (!tvi_kir_expect_symbol(p, "]")) return false;
  }
  if (tvi_kir_accept_symbol(p, "=")) {
    token = tvi_kir_peek(p);
    if (attribute->kind == TRIVET_ATTR_TENSOR || attribute->kind == TRIVET_ATTR_GRAPH) {
      return tvi_kir_parse_error(p, token, "a tensor or graph has no default");
    }
    if (!tvi_kir_parse_literal(p, attribute->name.data, attribute->kind, attribute->flags,
                               &attribute->default_value)) {
      return false;
    }
    attribute->required = false;
  }
  return tvi_kir_expect_line_end(p);
}

// ---- Functions and monoids ----

static bool parse_function(parser_t* p, tvi_kir_function_t* function) {
  if (!tvi_kir_parse_operator_name(p, &function->name)) return false;
  if (!tvi_kir_expect_symbol(p, "(")) return false;
  // While the parameters are read, unknown type names become variables of the function.
  const tvi_kir_function_t* outer = p->function;
  p->function = function;
  bool ok = true;
  while (ok && !tvi_kir_accept_symbol(p, ")")) {
    uint32_t i = function->parameter_count;
    if (i > 0 && !(ok = tvi_kir_expect_symbol(p, ","))) break;
    const token_t* token = tvi_kir_peek(p);
    if (i == TVI_KIR_MAX_PARAMETERS) {
      ok = tvi_kir_parse_error(p, token, "more than %d parameters", TVI_KIR_MAX_PARAMETERS);
      break;
    }
    trivet_string_view_t name;
    ok = tvi_kir_expect_name(p, &name) &&
         tvi_kir_keep_name(p, name, &function->parameter_names[i]) && tvi_kir_expect_symbol(p, ":");
    if (!ok) break;
    ok = tvi_kir_expect_name(p, &name);
    if (!ok) break;
    if (!tvi_kir_find_type(p, name, &function->parameter_types[i])) {
      uint32_t variable = function->variable_count;
      ok = tvi_kir_keep_name(p, name, &function->variables[variable]);
      function->parameter_types[i] = (tvi_kir_type_ref_t){TRIVET_DTYPE_INVALID, variable};
      ++function->variable_count;
    }
    ++function->parameter_count;
  }
  trivet_string_view_t name;
  ok = ok && tvi_kir_expect_symbol(p, "->");
  const token_t* token = tvi_kir_peek(p);
  ok = ok && tvi_kir_expect_name(p, &name);
  if (ok && !tvi_kir_find_type(p, name, &function->result_type)) {
    ok = tvi_kir_parse_error(p, token, "'%.*s' is not an element type", TVI_SV_ARGS(name));
  }
  ok = ok && tvi_kir_expect_symbol(p, "=");
  if (ok) {
    function->body = tvi_kir_parse_expression(p);
    ok = function->body != NULL;
  }
  p->function = outer;
  return ok;
}

static bool parse_monoid(parser_t* p, tvi_kir_monoid_decl_t* monoid) {
  const token_t* token = tvi_kir_peek(p);
  trivet_string_view_t name;
  if (!tvi_kir_expect_name(p, &name) || !tvi_kir_keep_name(p, name, &monoid->name)) return false;
  bool mean;
  if (tvi_kir_builtin_monoid(name, &mean) != TVI_KIR_DECLARED) {
    return tvi_kir_parse_error(p, token, "'%.*s' is declared already", TVI_SV_ARGS(name));
  }
  if (!tvi_kir_expect_symbol(p, "(")) return false;
  do {
    uint32_t i = monoid->state_count;
    token = tvi_kir_peek(p);
    if (i == TVI_KIR_MAX_STATE) {
      return tvi_kir_parse_error(p, token, "a state of more than %d values", TVI_KIR_MAX_STATE);
    }
    if (!tvi_kir_expect_name(p, &name) || !tvi_kir_keep_name(p, name, &monoid->state_names[i]) ||
        !tvi_kir_expect_symbol(p, ":")) {
      return false;
    }
    token = tvi_kir_peek(p);
    if (!tvi_kir_expect_name(p, &name)) return false;
    if (!tvi_kir_find_type(p, name, &monoid->state_types[i])) {
      return tvi_kir_parse_error(p, token, "'%.*s' is not an element type", TVI_SV_ARGS(name));
    }
    ++monoid->state_count;
  } while (tvi_kir_accept_symbol(p, ","));
  if (!tvi_kir_expect_symbol(p, ")") || !tvi_kir_expect_symbol(p, "=")) return false;
  if (!tvi_kir_accept_name(p, "identity")) {
    return tvi_kir_parse_error(p, tvi_kir_peek(p), "'identity' expected");
  }
  if (!tvi_kir_expect_symbol(p, "(")) return false;
  for (uint32_t i = 0; i < monoid->state_count; ++i) {
    if (i > 0 && !tvi_kir_expect_symbol(p, ",")) return false;
    if (!tvi_kir_parse_number(p, &monoid->identity[i])) return false;
  }
  if (!tvi_kir_expect_symbol(p, ")")) return false;
  tvi_kir_skip_newlines(p);
  if (!tvi_kir_accept_name(p, "join")) {
    return tvi_kir_parse_error(p, tvi_kir_peek(p), "'join' expected");
  }
  if (!tvi_kir_expect_symbol(p, "(") || !tvi_kir_expect_name(p, &name) ||
      !tvi_kir_keep_name(p, name, &monoid->left) || !tvi_kir_expect_symbol(p, ",") ||
      !tvi_kir_expect_name(p, &name) || !tvi_kir_keep_name(p, name, &monoid->right) ||
      !tvi_kir_expect_symbol(p, ")") || !tvi_kir_expect_symbol(p, "->")) {
    return false;
  }
  token = tvi_kir_peek(p);
  const tvi_kir_expr_t* joined = tvi_kir_parse_expression(p);
  if (joined == NULL) return false;
  bool tuple = joined->kind == TVI_KIR_EXPR_TUPLE;
  if ((tuple ? joined->arg_count : 1) != monoid->state_count) {
    return tvi_kir_parse_error(p, token, "the join must give %u values", monoid->state_count);
  }
  for (uint32_t i = 0; i < monoid->state_count; ++i) {
    monoid->join[i] = tuple ? joined->args[i] : joined;
  }
  return true;
}

// ---- Statements ----

#define MAX_STATEMENTS 256
#define MAX_DECLARATIONS 64

typedef struct {
  uint32_t statement_count;
  tvi_kir_statement_t* statements;
  const tvi_kir_function_t* functions[MAX_DECLARATIONS];
  const tvi_kir_monoid_decl_t* monoids[MAX_DECLARATIONS];
  uint32_t function_count, monoid_count, attribute_count;
} collection_t;

static bool parse_statement(parser_t* p, collection_t* c, bool is_let) {
  const token_t* token = tvi_kir_peek(p);
  if (c->statement_count == MAX_STATEMENTS) {
    return tvi_kir_parse_error(p, token, "more than %d statements", MAX_STATEMENTS);
  }
  tvi_kir_statement_t* statement = &c->statements[c->statement_count];
  memset(statement, 0, sizeof(*statement));
  statement->is_let = is_let;
  statement->line = token->line;
  statement->column = token->column;
  statement->member = TVI_KIR_NONE;
  statement->type.variable = TVI_KIR_NONE;
  trivet_string_view_t name;
  if (!tvi_kir_expect_name(p, &name) || !tvi_kir_keep_name(p, name, &statement->name)) return false;
  bool is_output = false;
  for (uint32_t i = 0; i < p->op->output_count; ++i) {
    is_output = is_output || tvi_sv_equal(p->op->outputs[i].name, name);
  }
  if (is_let) {
    bool taken = tvi_kir_find_operand(p->op, name) != NULL ||
                 tvi_kir_operator_attribute(p->op, name) != NULL;
    for (uint32_t i = 0; i < c->statement_count; ++i) {
      taken = taken || tvi_sv_equal(c->statements[i].name, name);
    }
    if (taken) {
      return tvi_kir_parse_error(p, token, "'%.*s' is taken already", TVI_SV_ARGS(name));
    }
  } else if (!is_output) {
    return tvi_kir_parse_error(p, token, "'%.*s' is not an output", TVI_SV_ARGS(name));
  }
  if (!is_let && tvi_kir_accept_symbol(p, ":") && !tvi_kir_expect_u32(p, &statement->member)) {
    return false;
  }
  for (uint32_t i = 0; !is_let && i < c->statement_count; ++i) {
    if (tvi_sv_equal(c->statements[i].name, name) && c->statements[i].member == statement->member) {
      return tvi_kir_parse_error(p, token, "output '%.*s' is defined twice", TVI_SV_ARGS(name));
    }
  }
  if (tvi_kir_accept_symbol(p, "[")) {
    statement->has_indices = true;
    if (!tvi_kir_parse_ranges(p, "]", is_let, &statement->index_count, &statement->indices)) {
      return false;
    }
  }
  if (is_let && tvi_kir_accept_symbol(p, ":")) {
    token = tvi_kir_peek(p);
    if (!tvi_kir_expect_name(p, &name)) return false;
    if (!tvi_kir_find_type(p, name, &statement->type)) {
      return tvi_kir_parse_error(p, token, "'%.*s' is not an element type", TVI_SV_ARGS(name));
    }
  }
  if (!tvi_kir_expect_symbol(p, "=")) return false;
  statement->expr = tvi_kir_parse_expression(p);
  if (statement->expr == NULL) return false;
  ++c->statement_count;
  return tvi_kir_expect_line_end(p);
}

static bool parse_declaration(parser_t* p, collection_t* c, bool is_function) {
  const token_t* token = tvi_kir_peek(p);
  if ((is_function ? c->function_count : c->monoid_count) == MAX_DECLARATIONS) {
    return tvi_kir_parse_error(p, token, "more than %d declarations", MAX_DECLARATIONS);
  }
  if (is_function) {
    tvi_kir_function_t* function;
    if (!tvi_kir_parse_ok(p, tvi_arena_alloc_zeroed(p->arena, sizeof(*function), &function)) ||
        !parse_function(p, function)) {
      return false;
    }
    c->functions[c->function_count++] = function;
  } else {
    tvi_kir_monoid_decl_t* monoid;
    if (!tvi_kir_parse_ok(p, tvi_arena_alloc_zeroed(p->arena, sizeof(*monoid), &monoid)) ||
        !parse_monoid(p, monoid)) {
      return false;
    }
    c->monoids[c->monoid_count++] = monoid;
    p->monoids = c->monoids;
    p->monoid_count = c->monoid_count;
  }
  return tvi_kir_expect_line_end(p);
}

static bool parse_graph(parser_t* p, tvi_kir_body_t* body) {
  if (!tvi_kir_expect_symbol(p, "{") || !tvi_kir_parse_graph_lines(p, body) ||
      !tvi_kir_expect_symbol(p, "}")) {
    return false;
  }
  tvi_kir_skip_newlines(p);
  if (tvi_kir_peek(p)->kind == TVI_KIR_TOKEN_END) return true;
  return tvi_kir_parse_error(p, tvi_kir_peek(p), "nothing may follow a graph");
}

// The lines after the signature. |attributes| NULL: none may be declared here.
static bool parse_lines(parser_t* p, collection_t* c, tvi_kir_attribute_t* attributes,
                        tvi_kir_operator_t* op, tvi_kir_body_t* body) {
  for (;;) {
    tvi_kir_skip_newlines(p);
    const token_t* token = tvi_kir_peek(p);
    if (token->kind == TVI_KIR_TOKEN_END) break;
    if (tvi_kir_is_name(p, "graph") && tvi_kir_peek_at(p, 1)->kind == TVI_KIR_TOKEN_SYMBOL &&
        tvi_sv_equal_cstr(tvi_kir_peek_at(p, 1)->text, "{")) {
      if (c->statement_count > 0) {
        return tvi_kir_parse_error(p, token, "a body is statements or a graph, not both");
      }
      ++p->at;
      if (!parse_graph(p, body)) return false;
      break;
    }
    // A keyword is one only before a name, so that outputs may be called "fn".
    bool keyword = tvi_kir_peek_at(p, 1)->kind == TVI_KIR_TOKEN_NAME;
    if (keyword && attributes != NULL && tvi_kir_accept_name(p, "attr")) {
      token = tvi_kir_peek(p);
      if (c->attribute_count == MAX_DECLARATIONS) {
        return tvi_kir_parse_error(p, token, "more than %d attributes", MAX_DECLARATIONS);
      }
      tvi_kir_attribute_t* attribute = &attributes[c->attribute_count];
      if (!parse_attribute(p, attribute)) return false;
      if (tvi_kir_operator_attribute(op, attribute->name) != NULL ||
          tvi_kir_find_operand(op, attribute->name) != NULL) {
        return tvi_kir_parse_error(p, token, "'%.*s' is taken already",
                                   TVI_SV_ARGS(attribute->name));
      }
      op->attributes = attributes;
      op->attribute_count = ++c->attribute_count;
    } else if (keyword && tvi_kir_accept_name(p, "fn")) {
      if (!parse_declaration(p, c, true)) return false;
    } else if (keyword && tvi_kir_accept_name(p, "monoid")) {
      if (!parse_declaration(p, c, false)) return false;
    } else {
      bool is_let = keyword && tvi_kir_accept_name(p, "let");
      if (!parse_statement(p, c, is_let)) return false;
    }
  }
  if (c->statement_count > 0) body->kind = TVI_KIR_BODY_STATEMENTS;
  body->statement_count = c->statement_count;
  body->function_count = c->function_count;
  body->monoid_count = c->monoid_count;
  return tvi_kir_parse_copy(p, c->statements, c->statement_count * sizeof(*c->statements),
                            (const void*)&body->statements) &&
         tvi_kir_parse_copy(p, (const void*)c->functions, c->function_count * sizeof(*c->functions),
                            (const void*)&body->functions) &&
         tvi_kir_parse_copy(p, (const void*)c->monoids, c->monoid_count * sizeof(*c->monoids),
                            (const void*)&body->monoids);
}

// Everything of an operator that lies on the parser's stack moves into its arena.
static bool settle(parser_t* p, tvi_kir_operator_t* op) {
  return tvi_kir_parse_copy(p, op->type_variables,
                            op->type_variable_count * sizeof(*op->type_variables),
                            (const void*)&op->type_variables) &&
         tvi_kir_parse_copy(p, op->extent_names, op->extent_name_count * sizeof(*op->extent_names),
                            (const void*)&op->extent_names) &&
         tvi_kir_parse_copy(p, op->attributes, op->attribute_count * sizeof(*op->attributes),
                            (const void*)&op->attributes);
}

trivet_status_t tvi_kir_operator_parse(trivet_string_view_t text, trivet_allocator_t allocator,
                                       tvi_kir_operator_t** out_operator) {
  tvi_arena_t scratch;  // tokens and growing lists: not kept
  tvi_arena_init(&scratch, allocator, 0);
  tvi_kir_operator_t* op = NULL;
  tvi_kir_attribute_t* attributes;
  signature_t* signature;
  collection_t* collection;
  parser_t parser = {0};
  trivet_status_t status;
  TRIVET_GOTO_IF_ERROR(status, tvi_alloc_zeroed(allocator, sizeof(*op), &op), done);
  tvi_arena_init(&op->arena, allocator, 2048);
  TRIVET_GOTO_IF_ERROR(status, tvi_arena_alloc_zeroed(&scratch, sizeof(*signature), &signature),
                       done);
  TRIVET_GOTO_IF_ERROR(status, tvi_arena_alloc_zeroed(&scratch, sizeof(*collection), &collection),
                       done);
  TRIVET_GOTO_IF_ERROR(status,
                       tvi_arena_alloc_array(&scratch, MAX_STATEMENTS, sizeof(tvi_kir_statement_t),
                                             &collection->statements),
                       done);
  TRIVET_GOTO_IF_ERROR(
      status, tvi_arena_alloc_array(&scratch, MAX_DECLARATIONS, sizeof(*attributes), &attributes),
      done);
  TRIVET_GOTO_IF_ERROR(status, tvi_kir_tokenize(text, &scratch, &parser.tokens), done);
  parser.arena = &op->arena;
  parser.op = op;
  signature->op = op;
  if (tvi_kir_parse_signature(&parser, signature) &&
      parse_lines(&parser, collection, attributes, op, &op->body) &&
      tvi_kir_resolve_fixed_types(&parser, signature)) {
    settle(&parser, op);
  }
  status = parser.status;
done:
  tvi_arena_deinit(&scratch);
  if (status != NULL) {
    tvi_kir_operator_destroy(op);
    return status;
  }
  *out_operator = op;
  return TRIVET_OK;
}

void tvi_kir_operator_destroy(tvi_kir_operator_t* op) {
  if (op == NULL) return;
  trivet_allocator_t allocator = op->arena.allocator;
  tvi_arena_deinit(&op->arena);
  tvi_free(allocator, op, sizeof(*op));
}

trivet_status_t tvi_kir_body_parse(const tvi_kir_operator_t* op, trivet_string_view_t text,
                                   bool graph, tvi_arena_t* arena,
                                   const tvi_kir_body_t** out_body) {
  tvi_kir_body_t* body;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(arena, sizeof(*body), &body));
  collection_t* collection;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(arena, sizeof(*collection), &collection));
  parser_t parser = {0};
  parser.arena = arena;
  parser.op = op;
  TRIVET_RETURN_IF_ERROR(tvi_kir_tokenize(text, arena, &parser.tokens));
  if (graph && !tvi_kir_is_name(&parser, "graph")) {
    if (tvi_kir_parse_graph_lines(&parser, body) &&
        tvi_kir_peek(&parser)->kind != TVI_KIR_TOKEN_END) {
      tvi_kir_parse_error(&parser, tvi_kir_peek(&parser), "'%%' and a name expected");
    }
  } else {
    // No text has more statements than lines.
    size_t lines = 1;
    for (size_t i = 0; i < text.size; ++i) lines += text.data[i] == '\n';
    if (lines > MAX_STATEMENTS) lines = MAX_STATEMENTS;
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_alloc_array(arena, lines, sizeof(tvi_kir_statement_t), &collection->statements));
    parse_lines(&parser, collection, NULL, NULL, body);
  }
  if (parser.status == NULL && body->kind == TVI_KIR_BODY_NONE) {
    parser.status = TRIVET_STATUS(INVALID_ARGUMENT, "the text says nothing");
  }
  if (parser.status != NULL) return parser.status;
  *out_body = body;
  return TRIVET_OK;
}

trivet_status_t tvi_kir_function_parse(trivet_string_view_t text, trivet_allocator_t allocator,
                                       tvi_kir_function_t** out_function) {
  tvi_kir_function_t* function;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*function), &function));
  tvi_arena_init(&function->arena, allocator, 1024);
  parser_t parser = {0};
  parser.arena = &function->arena;
  trivet_status_t status = tvi_kir_tokenize(text, &function->arena, &parser.tokens);
  if (status == NULL) {
    tvi_kir_skip_newlines(&parser);
    if (!tvi_kir_accept_name(&parser, "fn")) {
      tvi_kir_parse_error(&parser, tvi_kir_peek(&parser), "'fn' expected");
    } else if (parse_function(&parser, function) && tvi_kir_expect_line_end(&parser)) {
      tvi_kir_skip_newlines(&parser);
      if (tvi_kir_peek(&parser)->kind != TVI_KIR_TOKEN_END) {
        tvi_kir_parse_error(&parser, tvi_kir_peek(&parser), "nothing may follow a function");
      }
    }
    status = parser.status;
  }
  if (status != NULL) {
    tvi_kir_function_destroy(function);
    return status;
  }
  *out_function = function;
  return TRIVET_OK;
}

void tvi_kir_function_destroy(tvi_kir_function_t* function) {
  if (function == NULL) return;
  trivet_allocator_t allocator = function->arena.allocator;
  tvi_arena_deinit(&function->arena);
  tvi_free(allocator, function, sizeof(*function));
}

trivet_string_view_t tvi_kir_function_name(const tvi_kir_function_t* function) {
  return function->name;
}

static trivet_status_t copy_text(tvi_arena_t* arena, trivet_string_view_t text, const char** out) {
  trivet_string_view_t copy;
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(arena, text, &copy));
  *out = copy.data;
  return TRIVET_OK;
}

trivet_status_t tvi_kir_function_set_device(tvi_kir_function_t* function, const char* name,
                                            const char* plugin, const char* cuda) {
  tvi_kir_device_t* device;
  tvi_arena_t* arena = &function->arena;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(arena, sizeof(*device), &device));
  TRIVET_RETURN_IF_ERROR(copy_text(arena, tvi_sv(name), &device->name));
  TRIVET_RETURN_IF_ERROR(copy_text(arena, tvi_sv(plugin), &device->plugin));
  TRIVET_RETURN_IF_ERROR(copy_text(arena, tvi_sv(cuda), &device->cuda));
  device->parameter_count = function->parameter_count;
  for (uint32_t i = 0; i < function->parameter_count; ++i) {
    const uint32_t variable = function->parameter_types[i].variable;
    TRIVET_RETURN_IF_ERROR(copy_text(arena, function->parameter_names[i], &device->parameters[i]));
    TRIVET_RETURN_IF_ERROR(
        copy_text(arena, variable == TVI_KIR_NONE ? tvi_sv("") : function->variables[variable],
                  &device->variables[i]));
  }
  function->device = device;
  return TRIVET_OK;
}

const tvi_kir_attribute_t* tvi_kir_operator_attribute(const tvi_kir_operator_t* op,
                                                      trivet_string_view_t name) {
  for (uint32_t i = 0; op != NULL && i < op->attribute_count; ++i) {
    if (tvi_sv_equal(op->attributes[i].name, name)) return &op->attributes[i];
  }
  return NULL;
}
