// SPDX-License-Identifier: Apache-2.0
//
// Parses expressions of operator texts into trees. Recursion is limited; every error names its
// place. What a name means is left to instantiation, but for types and monoids, which the grammar
// needs.
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/kernel_ir/operator_ast.h"

typedef tvi_kir_parser_t parser_t;
typedef tvi_kir_token_t token_t;
typedef const tvi_kir_expr_t* expr_ref_t;

static expr_ref_t parse_ternary(parser_t* p);

// |expr| stands above |part| in the tree.
static bool contain(parser_t* p, const token_t* token, tvi_kir_expr_t* expr, expr_ref_t part) {
  if (part->depth >= expr->depth) expr->depth = part->depth + 1;
  return expr->depth <= TVI_KIR_MAX_TREE_DEPTH ||
         tvi_kir_parse_error(p, token, "nested too deeply");
}

static tvi_kir_expr_t* make(parser_t* p, const token_t* token, tvi_kir_expr_kind_t kind,
                            uint32_t arg_count, const expr_ref_t* args) {
  tvi_kir_expr_t* expr;
  if (!tvi_kir_parse_ok(p, tvi_arena_alloc_zeroed(p->arena, sizeof(*expr), &expr))) return NULL;
  expr->kind = kind;
  expr->line = token->line;
  expr->column = token->column;
  expr->member = TVI_KIR_NONE;
  expr->type.variable = TVI_KIR_NONE;
  expr->arg_count = arg_count;
  expr->depth = 1;
  if (arg_count != 0) {
    void* copy;
    for (uint32_t i = 0; i < arg_count; ++i) {
      if (args[i] == NULL || !contain(p, token, expr, args[i])) return NULL;
    }
    if (!tvi_kir_parse_ok(
            p, tvi_arena_copy(p->arena, (const void*)args, arg_count * sizeof(*args), &copy))) {
      return NULL;
    }
    expr->args = (const tvi_kir_expr_t**)copy;
  }
  return expr;
}

static tvi_kir_expr_t* make_named(parser_t* p, const token_t* token, tvi_kir_expr_kind_t kind,
                                  trivet_string_view_t name, uint32_t arg_count,
                                  const expr_ref_t* args) {
  tvi_kir_expr_t* expr = make(p, token, kind, arg_count, args);
  return expr != NULL && tvi_kir_keep_name(p, name, &expr->name) ? expr : NULL;
}

static expr_ref_t make_opcode(parser_t* p, const token_t* token, tvi_kir_opcode_t opcode,
                              expr_ref_t a, expr_ref_t b) {
  expr_ref_t args[2] = {a, b};
  tvi_kir_expr_t* expr = make(p, token, TVI_KIR_EXPR_OPCODE, b != NULL ? 2 : 1, args);
  if (expr != NULL) expr->opcode = (uint16_t)opcode;
  return expr;
}

static expr_ref_t fail(parser_t* p, const token_t* token, const char* message) {
  tvi_kir_parse_error(p, token, "%s", message);
  return NULL;
}

const tvi_kir_operand_t* tvi_kir_find_operand(const tvi_kir_operator_t* op,
                                              trivet_string_view_t name) {
  if (op == NULL) return NULL;
  for (uint32_t i = 0; i < op->input_count; ++i) {
    if (tvi_sv_equal(op->inputs[i].name, name)) return &op->inputs[i];
  }
  for (uint32_t i = 0; i < op->output_count; ++i) {
    if (tvi_sv_equal(op->outputs[i].name, name)) return &op->outputs[i];
  }
  return NULL;
}

static bool is_variadic(const parser_t* p, trivet_string_view_t name) {
  const tvi_kir_operand_t* operand = tvi_kir_find_operand(p->op, name);
  return operand != NULL && operand->variadic;
}

tvi_kir_monoid_kind_t tvi_kir_builtin_monoid(trivet_string_view_t name, bool* out_mean) {
  static const struct {
    const char* name;
    tvi_kir_monoid_kind_t kind;
  } kMonoids[] = {
      {"sum", TVI_KIR_SUM},
      {"prod", TVI_KIR_PROD},
      {"min", TVI_KIR_REDUCE_MIN},
      {"max", TVI_KIR_REDUCE_MAX},
      {"any", TVI_KIR_ANY},
      {"all", TVI_KIR_ALL},
      {"argmax", TVI_KIR_ARGMAX},
      {"argmin", TVI_KIR_ARGMIN},
      {"mean", TVI_KIR_SUM},
      {"welford", TVI_KIR_WELFORD},
      {"softmaxstate", TVI_KIR_SOFTMAX_STATE},
  };
  *out_mean = tvi_sv_equal_cstr(name, "mean");
  for (size_t i = 0; i < sizeof(kMonoids) / sizeof(*kMonoids); ++i) {
    if (tvi_sv_equal_cstr(name, kMonoids[i].name)) return kMonoids[i].kind;
  }
  return TVI_KIR_DECLARED;
}

static bool monoid_is_known(const parser_t* p, trivet_string_view_t name) {
  bool mean;
  if (tvi_kir_builtin_monoid(name, &mean) != TVI_KIR_DECLARED) return true;
  for (uint32_t i = 0; i < p->monoid_count; ++i) {
    if (tvi_sv_equal(p->monoids[i]->name, name)) return true;
  }
  for (uint32_t i = 0; p->op != NULL && i < p->op->body.monoid_count; ++i) {
    if (tvi_sv_equal(p->op->body.monoids[i]->name, name)) return true;
  }
  return false;
}

bool tvi_kir_parse_ranges(parser_t* p, const char* close, bool extents, uint32_t* out_count,
                          const tvi_kir_range_t** out_ranges) {
  tvi_kir_range_t ranges[TVI_KIR_MAX_LIST];
  uint32_t count = 0;
  while (!tvi_kir_accept_symbol(p, close)) {
    if (count > 0 && !tvi_kir_expect_symbol(p, ",")) return false;
    if (count == TVI_KIR_MAX_LIST) {
      return tvi_kir_parse_error(p, tvi_kir_peek(p), "more than %d indices", TVI_KIR_MAX_LIST);
    }
    tvi_kir_range_t* range = &ranges[count];
    memset(range, 0, sizeof(*range));
    const token_t* token = tvi_kir_peek(p);
    trivet_string_view_t name;
    if (!tvi_kir_expect_name(p, &name)) return false;
    if (name.data[0] >= 'A' && name.data[0] <= 'Z') {
      return tvi_kir_parse_error(p, token, "index '%.*s' must begin with a lower-case letter",
                                 TVI_SV_ARGS(name));
    }
    for (uint32_t i = 0; i < count; ++i) {
      if (tvi_sv_equal(ranges[i].name, name)) {
        return tvi_kir_parse_error(p, token, "index '%.*s' occurs twice", TVI_SV_ARGS(name));
      }
    }
    if (!tvi_kir_keep_name(p, name, &range->name)) return false;
    if (extents) {
      if (!tvi_kir_expect_symbol(p, ":")) return false;
      range->extent = tvi_kir_parse_expression(p);
      if (range->extent == NULL) return false;
      range->pack = range->extent->kind == TVI_KIR_EXPR_PACK;
    } else if (tvi_kir_peek(p)->kind == TVI_KIR_TOKEN_ELLIPSIS) {
      ++p->at;
      range->pack = true;
    }
    ++count;
  }
  void* copy = NULL;
  if (!tvi_kir_parse_ok(p, tvi_arena_copy(p->arena, ranges, count * sizeof(*ranges), &copy))) {
    return false;
  }
  *out_count = count;
  *out_ranges = (const tvi_kir_range_t*)copy;
  return true;
}

// name(k: K, ...){ element }, the token after the name being "(".
static expr_ref_t parse_reduction(parser_t* p, const token_t* token, trivet_string_view_t name) {
  bool is_scan = tvi_sv_equal_cstr(name, "scan");
  if (!is_scan && !monoid_is_known(p, name)) {
    tvi_kir_parse_error(p, token, "'%.*s' is not a reduction", TVI_SV_ARGS(name));
    return NULL;
  }
  ++p->at;
  uint32_t range_count;
  const tvi_kir_range_t* ranges;
  if (!tvi_kir_parse_ranges(p, ")", true, &range_count, &ranges)) return NULL;
  if (range_count == 0) return fail(p, token, "a reduction needs an index");
  if (!tvi_kir_expect_symbol(p, "{")) return NULL;
  expr_ref_t element = tvi_kir_parse_expression(p);
  if (element == NULL || !tvi_kir_expect_symbol(p, "}")) return NULL;
  bool tuple = element->kind == TVI_KIR_EXPR_TUPLE;
  expr_ref_t single[1] = {element};
  tvi_kir_expr_t* expr =
      make_named(p, token, is_scan ? TVI_KIR_EXPR_SCAN : TVI_KIR_EXPR_REDUCE, name,
                 tuple ? element->arg_count : 1, tuple ? (const expr_ref_t*)element->args : single);
  if (expr == NULL) return NULL;
  expr->range_count = range_count;
  expr->ranges = ranges;
  for (uint32_t i = 0; i < range_count; ++i) {
    if (!contain(p, token, expr, ranges[i].extent)) return NULL;
  }
  if (is_scan) {
    if (range_count != 1) return fail(p, token, "a scan runs along one index");
    const token_t* place = tvi_kir_peek(p);
    trivet_string_view_t monoid;
    if (!tvi_kir_accept_name(p, "with")) return fail(p, place, "'with' expected after a scan");
    place = tvi_kir_peek(p);
    if (!tvi_kir_expect_name(p, &monoid)) return NULL;
    bool mean;
    tvi_kir_monoid_kind_t kind = tvi_kir_builtin_monoid(monoid, &mean);
    if (mean || kind == TVI_KIR_ARGMAX || kind == TVI_KIR_ARGMIN || !monoid_is_known(p, monoid)) {
      return fail(p, place, "a scan runs with a monoid such as sum, prod, min or max");
    }
    if (!tvi_kir_keep_name(p, monoid, &expr->name)) return NULL;
    for (;;) {
      if (tvi_kir_accept_name(p, "exclusive")) {
        expr->scan_flags |= TVI_KIR_SCAN_EXCLUSIVE;
      } else if (tvi_kir_accept_name(p, "reverse")) {
        expr->scan_flags |= TVI_KIR_SCAN_REVERSE;
      } else {
        break;
      }
    }
  }
  return expr;
}

// name[indices; options], the current token being "[".
static expr_ref_t parse_load(parser_t* p, const token_t* token, trivet_string_view_t name,
                             uint32_t member) {
  ++p->at;
  expr_ref_t args[TVI_KIR_MAX_LIST];
  uint32_t count = 0;
  while (!tvi_kir_is_symbol(p, "]") && !tvi_kir_is_symbol(p, ";")) {
    if (count > 0 && !tvi_kir_expect_symbol(p, ",")) return NULL;
    if (count == TVI_KIR_MAX_LIST) return fail(p, token, "too many indices");
    args[count] = tvi_kir_parse_expression(p);
    if (args[count++] == NULL) return NULL;
  }
  tvi_kir_expr_t* expr = make_named(p, token, TVI_KIR_EXPR_LOAD, name, count, args);
  if (expr == NULL) return NULL;
  expr->member = member;
  if (tvi_kir_accept_symbol(p, ";")) {
    do {
      const token_t* option = tvi_kir_peek(p);
      if (tvi_kir_accept_name(p, "wrap")) {
        expr->wrap = TVI_KIR_WRAP_NEGATIVE;
      } else if (tvi_kir_accept_name(p, "clip")) {
        expr->wrap = TVI_KIR_WRAP_CLIP;
      } else if (tvi_kir_accept_name(p, "pad")) {
        if (!tvi_kir_expect_symbol(p, "=")) return NULL;
        expr->pad = tvi_kir_parse_expression(p);
        if (expr->pad == NULL || !contain(p, option, expr, expr->pad)) return NULL;
      } else {
        return fail(p, option, "'wrap', 'clip' or 'pad = value' expected");
      }
    } while (tvi_kir_accept_symbol(p, ","));
  }
  return tvi_kir_expect_symbol(p, "]") ? expr : NULL;
}

static bool parse_arguments(parser_t* p, expr_ref_t* args, uint32_t* out_count) {
  uint32_t count = 0;
  if (!tvi_kir_expect_symbol(p, "(")) return false;
  while (!tvi_kir_accept_symbol(p, ")")) {
    if (count > 0 && !tvi_kir_expect_symbol(p, ",")) return false;
    if (count == TVI_KIR_MAX_LIST) {
      return tvi_kir_parse_error(p, tvi_kir_peek(p), "too many arguments");
    }
    args[count] = parse_ternary(p);
    if (args[count++] == NULL) return false;
  }
  *out_count = count;
  return true;
}

// "T" as the first argument of sat, bits, maxof, ...
static bool parse_type_argument(parser_t* p, tvi_kir_type_ref_t* out_type) {
  trivet_string_view_t name;
  if (!tvi_kir_expect_symbol(p, "(")) return false;
  const token_t* token = tvi_kir_peek(p);
  if (!tvi_kir_expect_name(p, &name)) return false;
  if (!tvi_kir_find_type(p, name, out_type)) {
    return tvi_kir_parse_error(p, token, "'%.*s' is not an element type", TVI_SV_ARGS(name));
  }
  return true;
}

static expr_ref_t expect_count(parser_t* p, const token_t* token, expr_ref_t expr, uint32_t count) {
  if (expr == NULL || expr->arg_count == count) return expr;
  tvi_kir_parse_error(p, token, "'%.*s' takes %u argument%s, not %u", TVI_SV_ARGS(token->text),
                      count, count == 1 ? "" : "s", expr->arg_count);
  return NULL;
}

// name(...): a cast, a built-in or a declared function.
static expr_ref_t parse_call(parser_t* p, const token_t* token, trivet_string_view_t name) {
  expr_ref_t args[TVI_KIR_MAX_LIST];
  uint32_t count = 0;
  tvi_kir_type_ref_t type;
  if (tvi_kir_find_type(p, name, &type)) {
    if (!parse_arguments(p, args, &count)) return NULL;
    tvi_kir_expr_t* expr = make(p, token, TVI_KIR_EXPR_CAST, count, args);
    if (expr != NULL) expr->type = type;
    return expect_count(p, token, expr, 1);
  }
  bool sat = tvi_sv_equal_cstr(name, "sat"), bits = tvi_sv_equal_cstr(name, "bits");
  if (sat || bits) {
    if (!parse_type_argument(p, &type) || !tvi_kir_expect_symbol(p, ",")) return NULL;
    args[0] = parse_ternary(p);
    if (args[0] == NULL || !tvi_kir_expect_symbol(p, ")")) return NULL;
    tvi_kir_expr_t* expr =
        make(p, token, sat ? TVI_KIR_EXPR_SATCAST : TVI_KIR_EXPR_BITCAST, 1, args);
    if (expr != NULL) expr->type = type;
    return expr;
  }
  static const char* const kLimits[] = {"maxof", "lowest", "epsof"};
  for (int i = 0; i < 3; ++i) {
    if (!tvi_sv_equal_cstr(name, kLimits[i])) continue;
    if (!parse_type_argument(p, &type) || !tvi_kir_expect_symbol(p, ")")) return NULL;
    tvi_kir_expr_t* expr = make(p, token, TVI_KIR_EXPR_TYPE_LIMIT, 0, NULL);
    if (expr == NULL) return NULL;
    expr->type = type;
    expr->integer = i;
    return expr;
  }
  if (tvi_sv_equal_cstr(name, "has")) {
    trivet_string_view_t operand;
    uint32_t member = TVI_KIR_NONE;
    ++p->at;
    const token_t* place = tvi_kir_peek(p);
    if (!tvi_kir_expect_name(p, &operand)) return NULL;
    if (tvi_kir_find_operand(p->op, operand) == NULL) {
      tvi_kir_parse_error(p, place, "'%.*s' is not an operand", TVI_SV_ARGS(operand));
      return NULL;
    }
    if (tvi_kir_accept_symbol(p, ":") && !tvi_kir_expect_u32(p, &member)) return NULL;
    if (!tvi_kir_expect_symbol(p, ")")) return NULL;
    tvi_kir_expr_t* expr = make_named(p, token, TVI_KIR_EXPR_HAS, operand, 0, NULL);
    if (expr != NULL) expr->member = member;
    return expr;
  }
  if (!parse_arguments(p, args, &count)) return NULL;
  if (tvi_sv_equal_cstr(name, "select")) {
    return expect_count(p, token, make(p, token, TVI_KIR_EXPR_SELECT, count, args), 3);
  }
  if (tvi_sv_equal_cstr(name, "sq")) {
    if (count != 1) return fail(p, token, "'sq' takes 1 argument");
    return make_opcode(p, token, TVI_KIR_MUL, args[0], NULL);
  }
  for (int opcode = TVI_KIR_ADD; opcode < TVI_KIR_WITH; ++opcode) {
    if (!tvi_sv_equal_cstr(name, tvi_kir_opcode_name((tvi_kir_opcode_t)opcode))) continue;
    tvi_kir_expr_t* expr = make(p, token, TVI_KIR_EXPR_OPCODE, count, args);
    if (expr != NULL) expr->opcode = (uint16_t)opcode;
    return expect_count(p, token, expr, tvi_kir_opcode_operands((tvi_kir_opcode_t)opcode));
  }
  return make_named(p, token, TVI_KIR_EXPR_CALL, name, count, args);
}

static expr_ref_t parse_name(parser_t* p) {
  const token_t* token = tvi_kir_peek(p);
  trivet_string_view_t name = token->text;
  ++p->at;
  if (tvi_sv_equal_cstr(name, "true") || tvi_sv_equal_cstr(name, "false")) {
    tvi_kir_expr_t* expr = make(p, token, TVI_KIR_EXPR_BOOL, 0, NULL);
    if (expr != NULL) expr->integer = name.data[0] == 't';
    return expr;
  }
  if (tvi_sv_equal_cstr(name, "inf") || tvi_sv_equal_cstr(name, "nan")) {
    tvi_kir_expr_t* expr = make(p, token, TVI_KIR_EXPR_FLOAT, 0, NULL);
    if (expr != NULL) expr->number = name.data[0] == 'i' ? __builtin_inf() : __builtin_nan("");
    return expr;
  }
  if (tvi_kir_peek(p)->kind == TVI_KIR_TOKEN_ELLIPSIS) {
    ++p->at;
    return make_named(p, token, TVI_KIR_EXPR_PACK, name, 0, NULL);
  }
  uint32_t member = TVI_KIR_NONE;
  if (tvi_kir_is_symbol(p, ":") && is_variadic(p, name)) {
    ++p->at;
    const token_t* number = tvi_kir_peek(p);
    if (number->kind == TVI_KIR_TOKEN_FLOAT) {
      // "x:1.0" reads as a number: member 1, dimension 0.
      size_t point = tvi_sv_find(number->text, '.');
      int64_t left, right;
      if (point != SIZE_MAX && tvi_sv_parse_i64(tvi_sv_slice(number->text, 0, point), &left) &&
          tvi_sv_parse_i64(tvi_sv_slice(number->text, point + 1, number->text.size), &right) &&
          left < TVI_KIR_NONE) {
        ++p->at;
        tvi_kir_expr_t* expr = make_named(p, token, TVI_KIR_EXPR_DIM_OF, name, 0, NULL);
        if (expr == NULL) return NULL;
        expr->member = (uint32_t)left;
        expr->integer = right;
        return expr;
      }
    }
    if (!tvi_kir_expect_u32(p, &member)) return NULL;
  }
  if (tvi_kir_is_symbol(p, "[")) return parse_load(p, token, name, member);
  if (tvi_kir_is_symbol(p, ".") && tvi_kir_peek_at(p, 1)->kind == TVI_KIR_TOKEN_INT) {
    uint32_t dim;
    ++p->at;
    if (!tvi_kir_expect_u32(p, &dim)) return NULL;
    tvi_kir_expr_t* expr = make_named(p, token, TVI_KIR_EXPR_DIM_OF, name, 0, NULL);
    if (expr == NULL) return NULL;
    expr->member = member;
    expr->integer = dim;
    return expr;
  }
  if (tvi_kir_is_symbol(p, ".") && tvi_kir_peek_at(p, 1)->kind == TVI_KIR_TOKEN_NAME) {
    const token_t* after = tvi_kir_peek_at(p, 2);
    if (after->kind == TVI_KIR_TOKEN_SYMBOL && tvi_sv_equal_cstr(after->text, "(")) {
      // A plugin's function: "acme.mish(x)". Both parts lie side by side in the text.
      trivet_string_view_t second = tvi_kir_peek_at(p, 1)->text;
      name.size = (size_t)(second.data + second.size - name.data);
      p->at += 2;
      return parse_call(p, token, name);
    }
  }
  if (tvi_kir_is_symbol(p, "(")) {
    const token_t* first = tvi_kir_peek_at(p, 1);
    const token_t* second = tvi_kir_peek_at(p, 2);
    bool is_range = first->kind == TVI_KIR_TOKEN_NAME && second->kind == TVI_KIR_TOKEN_SYMBOL &&
                    tvi_sv_equal_cstr(second->text, ":") && !is_variadic(p, first->text) &&
                    !tvi_sv_equal_cstr(name, "has");
    return is_range ? parse_reduction(p, token, name) : parse_call(p, token, name);
  }
  tvi_kir_expr_t* expr = make_named(p, token, TVI_KIR_EXPR_NAME, name, 0, NULL);
  if (expr != NULL) expr->member = member;
  return expr;
}

static expr_ref_t parse_primary(parser_t* p) {
  const token_t* token = tvi_kir_peek(p);
  switch (token->kind) {
    case TVI_KIR_TOKEN_NAME:
      return parse_name(p);
    case TVI_KIR_TOKEN_INT: {
      tvi_kir_expr_t* expr = make(p, token, TVI_KIR_EXPR_INT, 0, NULL);
      uint64_t value = 0;
      if (expr == NULL) return NULL;
      if (!tvi_sv_parse_u64(token->text, &value)) return fail(p, token, "the number is too large");
      expr->integer = (int64_t)value;
      expr->number = (double)value;
      ++p->at;
      return expr;
    }
    case TVI_KIR_TOKEN_FLOAT: {
      tvi_kir_expr_t* expr = make(p, token, TVI_KIR_EXPR_FLOAT, 0, NULL);
      if (expr == NULL) return NULL;
      if (!tvi_sv_parse_f64(token->text, &expr->number)) return fail(p, token, "not a number");
      ++p->at;
      return expr;
    }
    case TVI_KIR_TOKEN_DIM:
      ++p->at;
      return make_named(p, token, TVI_KIR_EXPR_GRAPH_DIM, token->text, 0, NULL);
    default:
      break;
  }
  if (tvi_kir_accept_symbol(p, "(")) {
    expr_ref_t args[TVI_KIR_MAX_STATE];
    uint32_t count = 0;
    do {
      if (count == TVI_KIR_MAX_STATE) return fail(p, token, "a tuple of more than 4");
      args[count] = parse_ternary(p);
      if (args[count++] == NULL) return NULL;
    } while (tvi_kir_accept_symbol(p, ","));
    if (!tvi_kir_expect_symbol(p, ")")) return NULL;
    return count == 1 ? args[0] : make(p, token, TVI_KIR_EXPR_TUPLE, count, args);
  }
  return fail(p, token,
              token->kind == TVI_KIR_TOKEN_END || token->kind == TVI_KIR_TOKEN_NEWLINE
                  ? "an expression expected, but the line ends"
                  : "an expression expected");
}

static expr_ref_t parse_postfix(parser_t* p) {
  expr_ref_t expr = parse_primary(p);
  while (expr != NULL && tvi_kir_is_symbol(p, ".") &&
         tvi_kir_peek_at(p, 1)->kind == TVI_KIR_TOKEN_NAME) {
    const token_t* token = tvi_kir_peek_at(p, 1);
    p->at += 2;
    expr = make_named(p, token, TVI_KIR_EXPR_FIELD, token->text, 1, &expr);
  }
  return expr;
}

static expr_ref_t parse_unary(parser_t* p) {
  const token_t* token = tvi_kir_peek(p);
  if (++p->depth > TVI_KIR_MAX_EXPR_DEPTH) return fail(p, token, "nested too deeply");
  expr_ref_t expr;
  if (tvi_kir_accept_symbol(p, "-")) {
    expr = parse_unary(p);
    if (expr != NULL) expr = make_opcode(p, token, TVI_KIR_NEG, expr, NULL);
  } else if (tvi_kir_accept_symbol(p, "!") || tvi_kir_accept_symbol(p, "~")) {
    expr = parse_unary(p);
    if (expr != NULL) expr = make_opcode(p, token, TVI_KIR_NOT, expr, NULL);
  } else {
    expr = parse_postfix(p);
  }
  --p->depth;
  return expr;
}

static const struct {
  const char* symbol;
  int precedence;
  tvi_kir_opcode_t opcode;
  bool logical;
} kBinaries[] = {
    {"||", 1, TVI_KIR_OR, true},   {"&&", 2, TVI_KIR_AND, true}, {"==", 3, TVI_KIR_EQ, false},
    {"!=", 3, TVI_KIR_NE, false},  {"<", 3, TVI_KIR_LT, false},  {"<=", 3, TVI_KIR_LE, false},
    {">", 3, TVI_KIR_GT, false},   {">=", 3, TVI_KIR_GE, false}, {"|", 4, TVI_KIR_OR, false},
    {"^", 5, TVI_KIR_XOR, false},  {"&", 6, TVI_KIR_AND, false}, {"<<", 7, TVI_KIR_SHL, false},
    {">>", 7, TVI_KIR_SHR, false}, {"+", 8, TVI_KIR_ADD, false}, {"-", 8, TVI_KIR_SUB, false},
    {"*", 9, TVI_KIR_MUL, false},  {"/", 9, TVI_KIR_DIV, false}, {"%", 9, TVI_KIR_REM, false},
};

static expr_ref_t parse_binary(parser_t* p, int least) {
  expr_ref_t left = parse_unary(p);
  while (left != NULL) {
    const token_t* token = tvi_kir_peek(p);
    const int count = (int)(sizeof(kBinaries) / sizeof(*kBinaries));
    int found = -1;
    for (int i = 0; i < count && token->kind == TVI_KIR_TOKEN_SYMBOL; ++i) {
      if (tvi_sv_equal_cstr(token->text, kBinaries[i].symbol)) found = i;
    }
    if (found < 0 || kBinaries[found].precedence < least) break;
    ++p->at;
    expr_ref_t right = parse_binary(p, kBinaries[found].precedence + 1);
    if (right == NULL) return NULL;
    if (kBinaries[found].logical) {
      expr_ref_t args[2] = {left, right};
      tvi_kir_expr_t* expr = make(p, token, TVI_KIR_EXPR_LOGICAL, 2, args);
      if (expr != NULL) expr->opcode = (uint16_t)kBinaries[found].opcode;
      left = expr;
    } else {
      left = make_opcode(p, token, kBinaries[found].opcode, left, right);
    }
  }
  return left;
}

static expr_ref_t parse_ternary(parser_t* p) {
  const token_t* token = tvi_kir_peek(p);
  if (++p->depth > TVI_KIR_MAX_EXPR_DEPTH) return fail(p, token, "nested too deeply");
  expr_ref_t expr = parse_binary(p, 1);
  if (expr != NULL && tvi_kir_is_symbol(p, "?")) {
    token = tvi_kir_peek(p);
    ++p->at;
    expr_ref_t args[3] = {expr, NULL, NULL};
    args[1] = parse_ternary(p);
    if (args[1] == NULL || !tvi_kir_expect_symbol(p, ":")) return NULL;
    args[2] = parse_ternary(p);
    expr = args[2] != NULL ? make(p, token, TVI_KIR_EXPR_SELECT, 3, args) : NULL;
  }
  --p->depth;
  return expr;
}

const tvi_kir_expr_t* tvi_kir_parse_expression(parser_t* p) { return parse_ternary(p); }
