// SPDX-License-Identifier: Apache-2.0
//
// Reads the text of rewrites (rewrite_text.h). Every rule that needs no graph is checked here: what
// is bound where, that all nodes hang together, that the right side defines results of the anchor.
#include "core/pass/rewrite_text.h"

#include <string.h>

#include "core/base/dtype.h"
#include "core/graph/graph_text_lexer.h"

#define MAX_OPERANDS 32u
#define MAX_ATTRIBUTES 32u
#define MAX_CONDITIONS 32u
#define MAX_LIST 64u

typedef struct parser_s {
  tvi_text_cursor_t cursor;
  tvi_arena_t* arena;
  trivet_string_view_t labels[TVI_REWRITE_MAX_LABELS];
  uint32_t definer[TVI_REWRITE_MAX_LABELS];  // match node that defines the label
  bool bound[TVI_REWRITE_MAX_LABELS];        // by the match
  bool made[TVI_REWRITE_MAX_LABELS];         // by the right side so far
  uint32_t label_count;
  trivet_string_view_t variables[TVI_REWRITE_MAX_VARIABLES];
  uint32_t variable_count;
  bool in_match;
  uint32_t anchor;  // of the match, once it is read
} parser_t;

static trivet_status_t copy_array(parser_t* p, const void* from, uint32_t count, size_t size,
                                  const void** out) {
  void* to = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(p->arena, count + 1u, size, &to));
  if (count != 0) memcpy(to, from, count * size);
  *out = to;
  return TRIVET_OK;
}

static trivet_status_t read_label(parser_t* p, uint32_t* out_label) {
  trivet_string_view_t name;
  TRIVET_RETURN_IF_ERROR(tvi_text_label(&p->cursor, &name));
  for (uint32_t i = 0; i < p->label_count; ++i) {
    if (tvi_sv_equal(p->labels[i], name)) {
      *out_label = i;
      return TRIVET_OK;
    }
  }
  if (p->label_count == TVI_REWRITE_MAX_LABELS) {
    return tvi_text_error(&p->cursor, "more than %u names", TVI_REWRITE_MAX_LABELS);
  }
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(p->arena, name, &p->labels[p->label_count]));
  p->definer[p->label_count] = TVI_REWRITE_NONE;
  *out_label = p->label_count++;
  return TRIVET_OK;
}

static trivet_status_t read_bound_label(parser_t* p, uint32_t* out_label) {
  tvi_text_cursor_t start = tvi_text_here(&p->cursor);
  TRIVET_RETURN_IF_ERROR(read_label(p, out_label));
  if (!p->bound[*out_label]) {
    return tvi_text_error(&start, "%%%.*s is not in the match", TVI_SV_ARGS(p->labels[*out_label]));
  }
  return TRIVET_OK;
}

// `define`: in an attribute of the match; elsewhere the variable must be known.
static trivet_status_t read_variable(parser_t* p, bool define, uint32_t* out_variable) {
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "$"));
  trivet_string_view_t name = tvi_text_word(&p->cursor, "");
  if (name.size == 0) return tvi_text_error(&p->cursor, "expected a name after '$'");
  for (uint32_t i = 0; i < p->variable_count; ++i) {
    if (tvi_sv_equal(p->variables[i], name)) {
      *out_variable = i;
      return TRIVET_OK;
    }
  }
  if (!define) return tvi_text_error(&p->cursor, "$%.*s is not bound", TVI_SV_ARGS(name));
  if (p->variable_count == TVI_REWRITE_MAX_VARIABLES) {
    return tvi_text_error(&p->cursor, "more than %u attributes are bound",
                          TVI_REWRITE_MAX_VARIABLES);
  }
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(p->arena, name, &p->variables[p->variable_count]));
  *out_variable = p->variable_count++;
  return TRIVET_OK;
}

static trivet_status_t read_literal(parser_t* p, uint32_t depth, tvi_literal_t* out) {
  tvi_literal_t literal = {0};
  char next = tvi_text_peek(&p->cursor);
  if (next == '$' && depth == 0) {
    literal.kind = TVI_LITERAL_VARIABLE;
    TRIVET_RETURN_IF_ERROR(read_variable(p, p->in_match, &literal.variable));
  } else if (next == '"') {
    literal.kind = TVI_LITERAL_STRING;
    TRIVET_RETURN_IF_ERROR(tvi_text_string(&p->cursor, p->arena, &literal.text));
  } else if (next == '[' && depth == 0) {
    literal.kind = TVI_LITERAL_LIST;
    tvi_literal_t elements[MAX_LIST];
    tvi_text_accept(&p->cursor, "[");
    if (!tvi_text_accept(&p->cursor, "]")) {
      do {
        if (literal.element_count == MAX_LIST) {
          return tvi_text_error(&p->cursor, "a list of more than %u elements", MAX_LIST);
        }
        TRIVET_RETURN_IF_ERROR(read_literal(p, 1, &elements[literal.element_count++]));
      } while (tvi_text_accept(&p->cursor, ","));
      TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "]"));
    }
    const void* copy;
    TRIVET_RETURN_IF_ERROR(
        copy_array(p, elements, literal.element_count, sizeof(*elements), &copy));
    literal.elements = copy;
  } else {
    trivet_string_view_t word = tvi_text_word(&p->cursor, "+-.");
    if (tvi_sv_parse_i64(word, &literal.i64)) {
      literal.kind = TVI_LITERAL_INT;
      literal.f64 = (double)literal.i64;
    } else if (tvi_sv_parse_f64(word, &literal.f64)) {
      literal.kind = TVI_LITERAL_FLOAT;
    } else if (tvi_dtype_from_name(word) != TRIVET_DTYPE_INVALID) {
      literal.kind = TVI_LITERAL_WORD;
      literal.i64 = tvi_dtype_from_name(word);
    } else {
      p->cursor.at -= word.size;
      return tvi_text_error(&p->cursor, "expected a value");
    }
  }
  *out = literal;
  return TRIVET_OK;
}

static trivet_status_t read_attributes(parser_t* p, tvi_rewrite_node_t* node) {
  // A '{' belongs to the node only on the way to its attributes: nothing else begins with one.
  if (!tvi_text_accept(&p->cursor, "{")) return TRIVET_OK;
  tvi_rewrite_attribute_t attributes[MAX_ATTRIBUTES];
  if (!tvi_text_accept(&p->cursor, "}")) {
    do {
      if (node->attribute_count == MAX_ATTRIBUTES) {
        return tvi_text_error(&p->cursor, "more than %u attributes", MAX_ATTRIBUTES);
      }
      trivet_string_view_t name = tvi_text_word(&p->cursor, "");
      if (name.size == 0) return tvi_text_error(&p->cursor, "expected the name of an attribute");
      TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(p->arena, name, &name));
      tvi_rewrite_attribute_t* attribute = &attributes[node->attribute_count++];
      attribute->name = name.data;
      TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "="));
      TRIVET_RETURN_IF_ERROR(read_literal(p, 0, &attribute->value));
    } while (tvi_text_accept(&p->cursor, ","));
    TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "}"));
  }
  const void* copy;
  TRIVET_RETURN_IF_ERROR(
      copy_array(p, attributes, node->attribute_count, sizeof(*attributes), &copy));
  node->attributes = copy;
  return TRIVET_OK;
}

// A name on the right side: bound by the match, or made before. Results of the anchor go away.
static trivet_status_t check_operand(const parser_t* p, const tvi_text_cursor_t* start,
                                     uint32_t label) {
  if (p->made[label]) return TRIVET_OK;
  if (!p->bound[label]) {
    return tvi_text_error(start, "%%%.*s is not defined", TVI_SV_ARGS(p->labels[label]));
  }
  if (p->definer[label] == p->anchor) {
    return tvi_text_error(start, "%%%.*s is what is replaced", TVI_SV_ARGS(p->labels[label]));
  }
  return TRIVET_OK;
}

static trivet_status_t read_operands(parser_t* p, tvi_rewrite_node_t* node) {
  uint32_t inputs[MAX_OPERANDS];
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "("));
  if (!tvi_text_accept(&p->cursor, ")")) {
    do {
      if (node->input_count == MAX_OPERANDS) {
        return tvi_text_error(&p->cursor, "more than %u operands", MAX_OPERANDS);
      }
      tvi_text_cursor_t start = tvi_text_here(&p->cursor);
      uint32_t label = TVI_REWRITE_NONE;
      if (!tvi_text_accept_word(&p->cursor, "_")) TRIVET_RETURN_IF_ERROR(read_label(p, &label));
      inputs[node->input_count++] = label;
      if (label == TVI_REWRITE_NONE) continue;
      if (p->in_match) {
        p->bound[label] = true;
      } else {
        TRIVET_RETURN_IF_ERROR(check_operand(p, &start, label));
      }
    } while (tvi_text_accept(&p->cursor, ","));
    TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, ")"));
  }
  const void* copy;
  TRIVET_RETURN_IF_ERROR(copy_array(p, inputs, node->input_count, sizeof(*inputs), &copy));
  node->inputs = copy;
  return TRIVET_OK;
}

static trivet_status_t read_outputs(parser_t* p, uint32_t index, tvi_rewrite_node_t* node) {
  uint32_t outputs[MAX_OPERANDS];
  do {
    if (node->output_count == MAX_OPERANDS) {
      return tvi_text_error(&p->cursor, "more than %u results", MAX_OPERANDS);
    }
    tvi_text_cursor_t start = tvi_text_here(&p->cursor);
    uint32_t label = TVI_REWRITE_NONE;
    if (!tvi_text_accept_word(&p->cursor, "_")) {
      TRIVET_RETURN_IF_ERROR(read_label(p, &label));
      if (p->in_match ? p->definer[label] != TVI_REWRITE_NONE : p->made[label]) {
        return tvi_text_error(&start, "%%%.*s is defined twice", TVI_SV_ARGS(p->labels[label]));
      }
      if (p->in_match) {
        if (p->bound[label]) {
          return tvi_text_error(&start, "%%%.*s is used before it is defined",
                                TVI_SV_ARGS(p->labels[label]));
        }
        p->definer[label] = index;
        p->bound[label] = true;
      }
    }
    outputs[node->output_count++] = label;
  } while (tvi_text_accept(&p->cursor, ","));
  const void* copy;
  TRIVET_RETURN_IF_ERROR(copy_array(p, outputs, node->output_count, sizeof(*outputs), &copy));
  node->outputs = copy;
  return TRIVET_OK;
}

static trivet_status_t read_constant(parser_t* p, tvi_rewrite_node_t* node) {
  node->kind = TVI_REWRITE_CONSTANT;
  node->dtype_of = TVI_REWRITE_NONE;
  if (node->output_count != 1 || node->outputs[0] == TVI_REWRITE_NONE) {
    return tvi_text_error(&p->cursor, "a constant has one name");
  }
  char next = tvi_text_peek(&p->cursor);
  if ((next >= '0' && next <= '9') || next == '-' || next == '+' || next == '.' || next == 'i' ||
      next == 'n') {
    tvi_literal_t literal;
    TRIVET_RETURN_IF_ERROR(read_literal(p, 1, &literal));
    if (literal.kind != TVI_LITERAL_INT && literal.kind != TVI_LITERAL_FLOAT) {
      return tvi_text_error(&p->cursor, "expected a number");
    }
    node->has_number = true;
    node->number = literal.f64;
  }
  if (p->in_match) return TRIVET_OK;
  if (!node->has_number) return tvi_text_error(&p->cursor, "expected a number");
  if (!tvi_text_accept_word(&p->cursor, "dtype")) {
    return tvi_text_error(&p->cursor, "expected 'dtype(%%name)': the type of the constant");
  }
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "("));
  TRIVET_RETURN_IF_ERROR(read_bound_label(p, &node->dtype_of));
  return tvi_text_expect(&p->cursor, ")");
}

static trivet_status_t read_alias(parser_t* p, tvi_rewrite_node_t* node) {
  uint32_t label;
  tvi_text_cursor_t start = tvi_text_here(&p->cursor);
  if (node->output_count != 1 || node->outputs[0] == TVI_REWRITE_NONE) {
    return tvi_text_error(&start, "one name can stand for one value");
  }
  TRIVET_RETURN_IF_ERROR(read_label(p, &label));
  TRIVET_RETURN_IF_ERROR(check_operand(p, &start, label));
  const void* copy;
  TRIVET_RETURN_IF_ERROR(copy_array(p, &label, 1, sizeof(label), &copy));
  node->kind = TVI_REWRITE_ALIAS;
  node->inputs = copy;
  node->input_count = 1;
  return TRIVET_OK;
}

static trivet_status_t read_nodes(parser_t* p, const tvi_rewrite_node_t** out_nodes,
                                  uint32_t* out_count) {
  tvi_rewrite_node_t nodes[TVI_REWRITE_MAX_NODES];
  uint32_t count = 0;
  TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "{"));
  while (!tvi_text_accept(&p->cursor, "}")) {
    if (count == TVI_REWRITE_MAX_NODES) {
      return tvi_text_error(&p->cursor, "more than %u nodes", TVI_REWRITE_MAX_NODES);
    }
    tvi_rewrite_node_t* node = &nodes[count];
    *node = (tvi_rewrite_node_t){.dtype_of = TVI_REWRITE_NONE};
    TRIVET_RETURN_IF_ERROR(read_outputs(p, count, node));
    TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "="));
    if (tvi_text_accept_word(&p->cursor, "const")) {
      TRIVET_RETURN_IF_ERROR(read_constant(p, node));
    } else if (!p->in_match && tvi_text_peek(&p->cursor) == '%') {
      TRIVET_RETURN_IF_ERROR(read_alias(p, node));
    } else {
      trivet_string_view_t op = tvi_text_word(&p->cursor, ".");
      if (tvi_sv_find(op, '.') == SIZE_MAX) {
        p->cursor.at -= op.size;
        return tvi_text_error(&p->cursor, "expected an operator such as std.Add, or 'const'");
      }
      TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(p->arena, op, &op));
      node->op = op.data;
      TRIVET_RETURN_IF_ERROR(read_operands(p, node));
      TRIVET_RETURN_IF_ERROR(read_attributes(p, node));
    }
    for (uint32_t i = 0; i < node->output_count && !p->in_match; ++i) {
      if (node->outputs[i] != TVI_REWRITE_NONE) p->made[node->outputs[i]] = true;
    }
    ++count;
  }
  if (count == 0) return tvi_text_error(&p->cursor, "there is no node");
  const void* copy;
  TRIVET_RETURN_IF_ERROR(copy_array(p, nodes, count, sizeof(*nodes), &copy));
  *out_nodes = copy;
  *out_count = count;
  return TRIVET_OK;
}

static trivet_status_t read_comparison(parser_t* p, tvi_comparison_t* out) {
  static const struct {
    const char* text;
    tvi_comparison_t comparison;
  } all[] = {{"==", TVI_COMPARE_EQ}, {"!=", TVI_COMPARE_NE}, {"<=", TVI_COMPARE_LE},
             {">=", TVI_COMPARE_GE}, {"<", TVI_COMPARE_LT},  {">", TVI_COMPARE_GT}};
  for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); ++i) {
    if (tvi_text_accept(&p->cursor, all[i].text)) {
      *out = all[i].comparison;
      return TRIVET_OK;
    }
  }
  return tvi_text_error(&p->cursor, "expected a comparison");
}

static trivet_status_t read_condition(parser_t* p, tvi_condition_t* out) {
  static const struct {
    const char* name;
    tvi_condition_kind_t kind;
    uint32_t labels;
    bool compares;
  } all[] = {
      {"one_use", TVI_CONDITION_ONE_USE, 1, false},
      {"dtype", TVI_CONDITION_DTYPE, 1, true},
      {"rank", TVI_CONDITION_RANK, 1, true},
      {"last_axis", TVI_CONDITION_LAST_AXIS, 1, false},
      {"same_shape", TVI_CONDITION_SAME_SHAPE, 2, false},
      {"same_dtype", TVI_CONDITION_SAME_DTYPE, 2, false},
      {"scalar", TVI_CONDITION_SCALAR, 1, false},
      {"has_const_shape", TVI_CONDITION_CONST_SHAPE, 1, false},
  };
  tvi_condition_t condition = {0};
  tvi_text_skip(&p->cursor);
  size_t begin = p->cursor.at;
  condition.negated = tvi_text_accept_word(&p->cursor, "not");
  if (tvi_text_peek(&p->cursor) == '$') {
    condition.kind = TVI_CONDITION_VARIABLE;
    TRIVET_RETURN_IF_ERROR(read_variable(p, false, &condition.variable));
    TRIVET_RETURN_IF_ERROR(read_comparison(p, &condition.comparison));
    TRIVET_RETURN_IF_ERROR(read_literal(p, 0, &condition.value));
  } else {
    tvi_text_cursor_t start = tvi_text_here(&p->cursor);
    trivet_string_view_t name = tvi_text_word(&p->cursor, "");
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); ++i) {
      if (tvi_sv_equal_cstr(name, all[i].name)) found = i;
    }
    if (found == SIZE_MAX) {
      return tvi_text_error(&start, "there is no condition '%.*s'", TVI_SV_ARGS(name));
    }
    condition.kind = all[found].kind;
    TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, "("));
    if (condition.kind == TVI_CONDITION_LAST_AXIS) {
      TRIVET_RETURN_IF_ERROR(read_variable(p, false, &condition.variable));
      TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, ","));
    }
    TRIVET_RETURN_IF_ERROR(read_bound_label(p, &condition.a));
    if (all[found].labels == 2) {
      TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, ","));
      TRIVET_RETURN_IF_ERROR(read_bound_label(p, &condition.b));
    }
    TRIVET_RETURN_IF_ERROR(tvi_text_expect(&p->cursor, ")"));
    if (all[found].compares) {
      TRIVET_RETURN_IF_ERROR(read_comparison(p, &condition.comparison));
      start = tvi_text_here(&p->cursor);
      TRIVET_RETURN_IF_ERROR(read_literal(p, 1, &condition.value));
      tvi_literal_kind_t wanted =
          condition.kind == TVI_CONDITION_DTYPE ? TVI_LITERAL_WORD : TVI_LITERAL_INT;
      if (condition.value.kind != wanted ||
          (wanted == TVI_LITERAL_WORD && condition.comparison > TVI_COMPARE_NE)) {
        return tvi_text_error(&start, "this cannot be compared with %s", all[found].name);
      }
    }
  }
  condition.text = tvi_sv_slice(p->cursor.text, begin, p->cursor.at - begin);
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(p->arena, condition.text, &condition.text));
  *out = condition;
  return TRIVET_OK;
}

static trivet_status_t read_conditions(parser_t* p, tvi_rewrite_pattern_t* pattern) {
  tvi_condition_t conditions[MAX_CONDITIONS];
  do {
    if (pattern->condition_count == MAX_CONDITIONS) {
      return tvi_text_error(&p->cursor, "more than %u conditions", MAX_CONDITIONS);
    }
    TRIVET_RETURN_IF_ERROR(read_condition(p, &conditions[pattern->condition_count++]));
  } while (tvi_text_accept(&p->cursor, ",") || tvi_text_accept(&p->cursor, "&&"));
  const void* copy;
  TRIVET_RETURN_IF_ERROR(
      copy_array(p, conditions, pattern->condition_count, sizeof(*conditions), &copy));
  pattern->conditions = copy;
  return TRIVET_OK;
}

// Every node of the match must be reached from the anchor through operands.
static trivet_status_t check_connected(parser_t* p, const tvi_rewrite_pattern_t* pattern) {
  bool reached[TVI_REWRITE_MAX_NODES] = {false};
  uint32_t anchor = pattern->match_count - 1;
  if (pattern->match[anchor].kind == TVI_REWRITE_CONSTANT) {
    return tvi_text_error(&p->cursor, "the last line of a match must be a node");
  }
  reached[anchor] = true;
  // Operands are defined before they are used, so one walk backwards suffices.
  for (uint32_t i = pattern->match_count; i-- > 0;) {
    for (uint32_t k = 0; k < pattern->match[i].input_count && reached[i]; ++k) {
      uint32_t label = pattern->match[i].inputs[k];
      if (label != TVI_REWRITE_NONE && p->definer[label] != TVI_REWRITE_NONE) {
        reached[p->definer[label]] = true;
      }
    }
  }
  for (uint32_t i = 0; i < pattern->match_count; ++i) {
    if (!reached[i]) {
      return tvi_text_error(&p->cursor, "line %u of the match is no operand of what follows",
                            i + 1);
    }
  }
  return TRIVET_OK;
}

static trivet_status_t check_results(parser_t* p, const tvi_rewrite_pattern_t* pattern) {
  bool replaces = false;
  for (uint32_t label = 0; label < p->label_count; ++label) {
    if (!p->made[label] || !p->bound[label]) continue;
    if (p->definer[label] != pattern->match_count - 1) {
      return tvi_text_error(&p->cursor,
                            "%%%.*s cannot be replaced: it is no result of the match's last node",
                            TVI_SV_ARGS(p->labels[label]));
    }
    replaces = true;
  }
  if (!replaces) return tvi_text_error(&p->cursor, "the right side replaces nothing");
  return TRIVET_OK;
}

trivet_status_t tvi_rewrite_parse(trivet_string_view_t text, tvi_arena_t* arena,
                                  tvi_rewrite_pattern_t* out_pattern) {
  parser_t p = {.cursor = {text, 0}, .arena = arena, .in_match = true};
  tvi_rewrite_pattern_t pattern = {0};
  if (!tvi_text_accept_word(&p.cursor, "match")) {
    return tvi_text_error(&p.cursor, "expected 'match'");
  }
  TRIVET_RETURN_IF_ERROR(read_nodes(&p, &pattern.match, &pattern.match_count));
  TRIVET_RETURN_IF_ERROR(check_connected(&p, &pattern));
  p.in_match = false;
  p.anchor = pattern.match_count - 1;
  if (tvi_text_accept_word(&p.cursor, "where")) {
    TRIVET_RETURN_IF_ERROR(read_conditions(&p, &pattern));
  }
  if (!tvi_text_accept_word(&p.cursor, "to")) return tvi_text_error(&p.cursor, "expected 'to'");
  TRIVET_RETURN_IF_ERROR(read_nodes(&p, &pattern.results, &pattern.result_count));
  TRIVET_RETURN_IF_ERROR(check_results(&p, &pattern));
  if (!tvi_text_at_end(&p.cursor)) {
    return tvi_text_error(&p.cursor, "something follows the rewrite");
  }
  const void* copy;
  TRIVET_RETURN_IF_ERROR(copy_array(&p, p.labels, p.label_count, sizeof(*p.labels), &copy));
  pattern.labels = copy;
  pattern.label_count = p.label_count;
  TRIVET_RETURN_IF_ERROR(
      copy_array(&p, p.variables, p.variable_count, sizeof(*p.variables), &copy));
  pattern.variables = copy;
  pattern.variable_count = p.variable_count;
  *out_pattern = pattern;
  return TRIVET_OK;
}
