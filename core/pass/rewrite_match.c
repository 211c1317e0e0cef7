// SPDX-License-Identifier: Apache-2.0
//
// Runs rewrites: finds the pattern of a rewrite in a graph, from its last node backwards, and puts
// the right side in its place, or nothing at all. Reports near misses, so that a pattern that was
// almost there can be explained. It knows no operator: commutative ones say so themselves.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/base/vector.h"
#include "core/kernel_ir/operator_text.h"
#include "core/pass/pass_internal.h"
#include "core/pass/rewrite_text.h"

#define MAX_GOALS 256u
// Choices tried for one anchor: operands of commutative operators double them.
#define MAX_STEPS 4096u
#define REASON_SIZE 256

// "Label must be this value."
typedef struct goal_s {
  uint32_t label;  // TVI_REWRITE_NONE: must be absent
  tvi_value_id_t value;
} goal_t;

// What is bound so far. Copied where a choice is made.
typedef struct bindings_s {
  tvi_value_id_t values[TVI_REWRITE_MAX_LABELS];
  tvi_node_id_t nodes[TVI_REWRITE_MAX_NODES];
  const trivet_attribute_t* attributes[TVI_REWRITE_MAX_VARIABLES];
  goal_t goals[MAX_GOALS];
  uint32_t goal_count;
  uint32_t goal_done;
  uint32_t matched;  // nodes
} bindings_t;

typedef struct matcher_s {
  const tvi_rewrite_pattern_t* pattern;
  trivet_pass_context_t* context;
  trivet_graph_t* graph;
  uint32_t definer[TVI_REWRITE_MAX_LABELS];
  uint32_t steps;
  bool out_of_memory;
  uint32_t best;  // nodes matched by the deepest attempt that failed
  char reason[REASON_SIZE];
} matcher_t;

static void fail(matcher_t* m, const bindings_t* b, const char* format, ...)
    TRIVET_PRINTF_FORMAT(3, 4);
static void fail(matcher_t* m, const bindings_t* b, const char* format, ...) {
  if (b->matched <= m->best) return;
  m->best = b->matched;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(m->reason, sizeof(m->reason), format, arguments);
  va_end(arguments);
}

// ---------------------------------------------------------------------------------------------
// Literals and attributes
// ---------------------------------------------------------------------------------------------

static bool element_equals(const trivet_attribute_t* attribute, uint64_t i,
                           const tvi_literal_t* literal) {
  switch (attribute->kind) {
    case TRIVET_ATTR_I64:
      return literal->kind == TVI_LITERAL_INT &&
             ((const int64_t*)attribute->data)[i] == literal->i64;
    case TRIVET_ATTR_F32:
      return (literal->kind == TVI_LITERAL_INT || literal->kind == TVI_LITERAL_FLOAT) &&
             // An f32 attribute was rounded to f32; so is the number that it is compared with.
             ((float)((const double*)attribute->data)[i] == (float)literal->f64);
    case TRIVET_ATTR_STRING:
      return literal->kind == TVI_LITERAL_STRING &&
             tvi_sv_equal(((const trivet_string_view_t*)attribute->data)[i], literal->text);
    case TRIVET_ATTR_DTYPE:
      return literal->kind == TVI_LITERAL_WORD &&
             ((const uint32_t*)attribute->data)[i] == (uint32_t)literal->i64;
    default:
      return false;
  }
}

static bool attribute_equals(const trivet_attribute_t* attribute, const tvi_literal_t* literal) {
  bool list = (attribute->flags & TRIVET_ATTR_LIST) != 0;
  if (list != (literal->kind == TVI_LITERAL_LIST)) return false;
  if (!list) return element_equals(attribute, 0, literal);
  if (attribute->count != literal->element_count) return false;
  for (uint64_t i = 0; i < attribute->count; ++i) {
    if (!element_equals(attribute, i, &literal->elements[i])) return false;
  }
  return true;
}

static size_t element_size(uint32_t kind) {
  return kind == TRIVET_ATTR_STRING  ? sizeof(trivet_string_view_t)
         : kind == TRIVET_ATTR_DTYPE ? sizeof(uint32_t)
                                     : 8;
}

static bool same_attribute(const trivet_attribute_t* a, const trivet_attribute_t* b) {
  if (a->kind != b->kind || a->flags != b->flags || a->count != b->count) return false;
  if (a->kind == TRIVET_ATTR_TENSOR || a->kind == TRIVET_ATTR_GRAPH) return a->data == b->data;
  if (a->kind == TRIVET_ATTR_STRING) {
    for (uint64_t i = 0; i < a->count; ++i) {
      if (!tvi_sv_equal(((const trivet_string_view_t*)a->data)[i],
                        ((const trivet_string_view_t*)b->data)[i])) {
        return false;
      }
    }
    return true;
  }
  return a->count == 0 || memcmp(a->data, b->data, a->count * element_size(a->kind)) == 0;
}

static bool compare(tvi_comparison_t comparison, int64_t a, int64_t b) {
  switch (comparison) {
    case TVI_COMPARE_EQ:
      return a == b;
    case TVI_COMPARE_NE:
      return a != b;
    case TVI_COMPARE_LT:
      return a < b;
    case TVI_COMPARE_LE:
      return a <= b;
    case TVI_COMPARE_GT:
      return a > b;
    default:
      return a >= b;
  }
}

// ---------------------------------------------------------------------------------------------
// Conditions
// ---------------------------------------------------------------------------------------------

static bool last_axis(const trivet_attribute_t* attribute, uint32_t rank) {
  if (attribute == NULL || attribute->kind != TRIVET_ATTR_I64 || attribute->count != 1) {
    return false;
  }
  int64_t axis = *(const int64_t*)attribute->data;
  return axis == -1 || axis == (int64_t)rank - 1;
}

static bool variable_holds(const bindings_t* b, const tvi_condition_t* condition) {
  const trivet_attribute_t* attribute = b->attributes[condition->variable];
  if (condition->value.kind == TVI_LITERAL_VARIABLE) {
    bool same = same_attribute(attribute, b->attributes[condition->value.variable]);
    return condition->comparison == TVI_COMPARE_EQ   ? same
           : condition->comparison == TVI_COMPARE_NE ? !same
                                                     : false;
  }
  if (condition->comparison <= TVI_COMPARE_NE) {
    return attribute_equals(attribute, &condition->value) ==
           (condition->comparison == TVI_COMPARE_EQ);
  }
  return attribute->kind == TRIVET_ATTR_I64 && attribute->count == 1 &&
         condition->value.kind == TVI_LITERAL_INT &&
         compare(condition->comparison, *(const int64_t*)attribute->data, condition->value.i64);
}

static bool condition_holds(const matcher_t* m, const bindings_t* b, const tvi_condition_t* c) {
  if (c->kind == TVI_CONDITION_VARIABLE) return variable_holds(b, c);
  const tvi_value_t* a = tvi_graph_value(m->graph, b->values[c->a]);
  tvi_use_t use;
  int64_t dims[TRIVET_MAX_RANK];
  switch (c->kind) {
    case TVI_CONDITION_ONE_USE:
      return tvi_value_only_use(a, &use) && !a->observed;
    case TVI_CONDITION_DTYPE:
      return compare(c->comparison, a->type.dtype, c->value.i64);
    case TVI_CONDITION_RANK:
      return compare(c->comparison, a->type.rank, c->value.i64);
    case TVI_CONDITION_LAST_AXIS:
      return last_axis(b->attributes[c->variable], a->type.rank);
    case TVI_CONDITION_SCALAR:
      for (uint32_t i = 0; i < a->type.rank; ++i) {
        if (!tvi_dim_equals_constant(a->type.dims[i], 1)) return false;
      }
      return true;
    case TVI_CONDITION_CONST_SHAPE:
      return tvi_type_static_dims(&a->type, dims);
    default: {
      const tvi_value_t* other = tvi_graph_value(m->graph, b->values[c->b]);
      if (c->kind == TVI_CONDITION_SAME_DTYPE) return a->type.dtype == other->type.dtype;
      trivet_type_t type = other->type;
      type.dtype = a->type.dtype;
      return tvi_type_equal(&a->type, &type);
    }
  }
}

static bool conditions_hold(matcher_t* m, const bindings_t* b) {
  for (uint32_t i = 0; i < m->pattern->condition_count; ++i) {
    const tvi_condition_t* condition = &m->pattern->conditions[i];
    if (condition_holds(m, b, condition) != condition->negated) continue;
    fail(m, b, "%.*s does not hold", TVI_SV_ARGS(condition->text));
    return false;
  }
  return true;
}

// ---------------------------------------------------------------------------------------------
// Matching
// ---------------------------------------------------------------------------------------------

static const char* producer_name(const matcher_t* m, tvi_value_id_t value) {
  const tvi_value_t* v = tvi_graph_value(m->graph, value);
  if (v->producer != 0) return tvi_graph_node(m->graph, v->producer)->op->definition->name;
  return v->constant != NULL ? "a constant" : v->is_capture ? "a captured value" : "an input";
}

static bool solve(matcher_t* m, bindings_t* b);

static bool push_goal(bindings_t* b, uint32_t label, tvi_value_id_t value) {
  if (b->goal_count == MAX_GOALS) return false;
  b->goals[b->goal_count++] = (goal_t){label, value};
  return true;
}

static bool match_attributes(matcher_t* m, bindings_t* b, const tvi_rewrite_node_t* wanted,
                             const tvi_node_t* node) {
  for (uint32_t i = 0; i < wanted->attribute_count; ++i) {
    const tvi_rewrite_attribute_t* attribute = &wanted->attributes[i];
    const trivet_attribute_t* found = tvi_node_attribute(node, attribute->name);
    bool good = found != NULL;
    if (good && attribute->value.kind == TVI_LITERAL_VARIABLE) {
      const trivet_attribute_t** bound = &b->attributes[attribute->value.variable];
      good = *bound == NULL || same_attribute(*bound, found);
      *bound = found;
    } else if (good) {
      good = attribute_equals(found, &attribute->value);
    }
    if (!good) {
      fail(m, b, "attribute %s of %s is another", attribute->name, wanted->op);
      return false;
    }
  }
  return true;
}

// Binds pattern node `index` to a graph node and adds goals for its operands; `swapped`: the first
// two exchanged.
static bool match_node(matcher_t* m, bindings_t* b, uint32_t index, tvi_node_id_t id,
                       bool swapped) {
  const tvi_rewrite_node_t* wanted = &m->pattern->match[index];
  const tvi_node_t* node = tvi_graph_node(m->graph, id);
  if (!tvi_pass_may_change(m->context, m->graph, id)) {
    fail(m, b, "%s may not be changed", wanted->op);
    return false;
  }
  b->nodes[index] = id;
  for (uint32_t i = 0; i < node->output_count; ++i) {
    uint32_t label = i < wanted->output_count ? wanted->outputs[i] : TVI_REWRITE_NONE;
    if (label != TVI_REWRITE_NONE) b->values[label] = node->outputs[i];
    // A result that the pattern does not know of must not be in use.
    if (i >= wanted->output_count && node->outputs[i] != 0) {
      const tvi_value_t* value = tvi_graph_value(m->graph, node->outputs[i]);
      if (value->use_count != 0 || value->output_uses != 0) {
        fail(m, b, "%s has more results in use", wanted->op);
        return false;
      }
    }
  }
  for (uint32_t i = 0; i < wanted->output_count; ++i) {
    if (wanted->outputs[i] != TVI_REWRITE_NONE && b->values[wanted->outputs[i]] == 0) {
      fail(m, b, "%s has no result %u", wanted->op, i);
      return false;
    }
  }
  if (!match_attributes(m, b, wanted, node)) return false;
  ++b->matched;
  uint32_t count =
      node->input_count > wanted->input_count ? node->input_count : wanted->input_count;
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t from = swapped && i < 2 ? 1 - i : i;
    uint32_t label = i < wanted->input_count ? wanted->inputs[i] : TVI_REWRITE_NONE;
    tvi_value_id_t value = from < node->input_count ? node->inputs[from] : 0;
    if ((label == TVI_REWRITE_NONE) != (value == 0)) {
      fail(m, b, "operand %u of %s is %s", i, wanted->op, value == 0 ? "absent" : "present");
      return false;
    }
    if (value != 0 && !push_goal(b, label, value)) return false;
  }
  return true;
}

// Both orders of a commutative operator, each with all goals that remain.
static bool try_node(matcher_t* m, bindings_t* b, uint32_t index, tvi_node_id_t id) {
  const tvi_rewrite_node_t* wanted = &m->pattern->match[index];
  const tvi_node_t* node = tvi_graph_node(m->graph, id);
  bool commutes = (node->op->definition->flags & TRIVET_OPERATOR_COMMUTATIVE) != 0 &&
                  wanted->input_count >= 2 && wanted->inputs[0] != wanted->inputs[1];
  if (!commutes) return match_node(m, b, index, id, false) && solve(m, b);
  bindings_t* saved = NULL;
  if (trivet_status_consume(
          tvi_arena_alloc(tvi_pass_scratch(m->context), sizeof(*saved), &saved)) != 0) {
    m->out_of_memory = true;
    return false;
  }
  *saved = *b;
  if (match_node(m, b, index, id, false) && solve(m, b)) return true;
  *b = *saved;
  return match_node(m, b, index, id, true) && solve(m, b);
}

static bool solve(matcher_t* m, bindings_t* b) {
  while (b->goal_done < b->goal_count) {
    if (++m->steps > MAX_STEPS) return false;
    goal_t goal = b->goals[b->goal_done++];
    const tvi_value_t* value = tvi_graph_value(m->graph, goal.value);
    uint32_t definer = m->definer[goal.label];
    if (definer == TVI_REWRITE_NONE) {
      if (b->values[goal.label] != 0 && b->values[goal.label] != goal.value) {
        fail(m, b, "%%%.*s would have to be two values",
             TVI_SV_ARGS(m->pattern->labels[goal.label]));
        return false;
      }
      b->values[goal.label] = goal.value;
      continue;
    }
    const tvi_rewrite_node_t* wanted = &m->pattern->match[definer];
    if (wanted->kind == TVI_REWRITE_CONSTANT) {
      double number;
      bool good = value->constant != NULL &&
                  (!wanted->has_number || (tvi_value_scalar_constant(value, &number) &&
                                           ((float)number == (float)wanted->number)));
      if (!good || (b->values[goal.label] != 0 && b->values[goal.label] != goal.value)) {
        fail(m, b, "%%%.*s is %s, wanted %s constant", TVI_SV_ARGS(m->pattern->labels[goal.label]),
             producer_name(m, goal.value), wanted->has_number ? "another" : "a");
        return false;
      }
      if (b->nodes[definer] == 0) ++b->matched;
      b->nodes[definer] = UINT32_MAX;
      b->values[goal.label] = goal.value;
      continue;
    }
    if (b->nodes[definer] != 0) {
      if (b->values[goal.label] == goal.value) continue;
      fail(m, b, "%%%.*s would have to be two values", TVI_SV_ARGS(m->pattern->labels[goal.label]));
      return false;
    }
    bool right = value->producer != 0 &&
                 tvi_node_is(tvi_graph_node(m->graph, value->producer), wanted->op) &&
                 value->output_index < wanted->output_count &&
                 wanted->outputs[value->output_index] == goal.label;
    if (!right) {
      fail(m, b, "%%%.*s is made by %s, wanted %s", TVI_SV_ARGS(m->pattern->labels[goal.label]),
           producer_name(m, goal.value), wanted->op);
      return false;
    }
    return try_node(m, b, definer, value->producer);
  }
  return conditions_hold(m, b);
}

// ---------------------------------------------------------------------------------------------
// Replacing
// ---------------------------------------------------------------------------------------------

typedef TVI_VECTOR(tvi_node_id_t) node_list_t;

// A literal as the attribute that the operator declares.
static trivet_status_t make_attribute(matcher_t* m, const bindings_t* b,
                                      const tvi_operator_entry_t* op,
                                      const tvi_rewrite_attribute_t* from,
                                      trivet_attribute_t* out) {
  const tvi_literal_t* literal = &from->value;
  if (literal->kind == TVI_LITERAL_VARIABLE) {
    *out = *b->attributes[literal->variable];
    out->name = from->name;
    return TRIVET_OK;
  }
  bool list = literal->kind == TVI_LITERAL_LIST;
  const tvi_literal_t* elements = list ? literal->elements : literal;
  uint32_t count = list ? literal->element_count : 1;
  trivet_attribute_t attribute = {.name = from->name, .count = count};
  uint32_t kind = TRIVET_ATTR_I64;
  uint32_t flags = list ? TRIVET_ATTR_LIST : 0;
  tvi_graph_attribute_kind(op, from->name, &kind, &flags);
  attribute.kind = kind;
  attribute.flags = flags;
  uint8_t* data = NULL;
  tvi_arena_t* arena = tvi_pass_scratch(m->context);
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, count + 1u, sizeof(trivet_string_view_t), &data));
  for (uint32_t i = 0; i < count; ++i) {
    switch (kind) {
      case TRIVET_ATTR_I64:
        ((int64_t*)data)[i] = elements[i].i64;
        break;
      case TRIVET_ATTR_F32:
        ((double*)data)[i] = elements[i].f64;
        break;
      case TRIVET_ATTR_DTYPE:
        ((uint32_t*)data)[i] = (uint32_t)elements[i].i64;
        break;
      case TRIVET_ATTR_STRING:
        ((trivet_string_view_t*)data)[i] = elements[i].text;
        break;
      default:
        return TRIVET_STATUS(INVALID_ARGUMENT, "attribute '%s' cannot be given as text",
                             from->name);
    }
  }
  attribute.data = data;
  *out = attribute;
  return TRIVET_OK;
}

static trivet_status_t make_constant(matcher_t* m, const tvi_rewrite_node_t* from,
                                     const tvi_value_id_t* values, tvi_value_id_t* out_value) {
  uint32_t dtype = tvi_graph_value(m->graph, values[from->dtype_of])->type.dtype;
  uint8_t bytes[16] = {0};
  trivet_tensor_t tensor = {.dtype = dtype, .data = bytes};
  size_t size;
  TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(dtype, 1, &size));
  if (!tvi_dtype_is_real(dtype) || size > sizeof(bytes)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "there is no %s number", tvi_dtype_name(dtype));
  }
  tvi_dtype_write_f64(dtype, bytes, 0, from->number);
  tensor.size = size;
  return tvi_graph_add_constant(m->graph, (trivet_string_view_t){NULL, 0}, &tensor, true,
                                out_value);
}

static trivet_status_t make_node(matcher_t* m, const bindings_t* b, const tvi_rewrite_node_t* from,
                                 tvi_node_id_t anchor, tvi_value_id_t* values, node_list_t* added) {
  const tvi_operator_entry_t* op = tvi_registry_operator(m->graph->registry, from->op, 0);
  if (op == NULL) return TRIVET_STATUS(NOT_FOUND, "there is no operator '%s'", from->op);
  tvi_arena_t* arena = tvi_pass_scratch(m->context);
  trivet_attribute_t* attributes;
  tvi_value_id_t* inputs;
  uint8_t* wanted;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(arena, from->attribute_count + 1u, sizeof(*attributes), &attributes));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(arena, from->input_count + 1u, sizeof(*inputs), &inputs));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, from->output_count + 1u, 1, &wanted));
  for (uint32_t i = 0; i < from->attribute_count; ++i) {
    TRIVET_RETURN_IF_ERROR(make_attribute(m, b, op, &from->attributes[i], &attributes[i]));
  }
  for (uint32_t i = 0; i < from->input_count; ++i) {
    inputs[i] = from->inputs[i] != TVI_REWRITE_NONE ? values[from->inputs[i]] : 0;
  }
  for (uint32_t i = 0; i < from->output_count; ++i) {
    wanted[i] = from->outputs[i] != TVI_REWRITE_NONE;
  }
  tvi_node_desc_t desc = {
      .op = from->op,
      .inputs = inputs,
      .input_count = from->input_count,
      .attributes = attributes,
      .attribute_count = from->attribute_count,
      .output_count = from->output_count,
      .output_wanted = wanted,
      .before = anchor,
  };
  TRIVET_RETURN_IF_ERROR(tvi_vector_reserve(added, 1));
  tvi_node_id_t id;
  TRIVET_RETURN_IF_ERROR(tvi_graph_add_node(m->graph, &desc, &id));
  added->data[added->count++] = id;
  for (uint32_t i = 0; i < m->pattern->match_count; ++i) {
    if (b->nodes[i] == 0 || b->nodes[i] == UINT32_MAX) continue;
    TRIVET_RETURN_IF_ERROR(tvi_graph_merge_origins(m->graph, id, b->nodes[i]));
  }
  for (uint32_t i = 0; i < from->output_count; ++i) {
    if (wanted[i] != 0) values[from->outputs[i]] = tvi_graph_node(m->graph, id)->outputs[i];
  }
  return TRIVET_OK;
}

static trivet_status_t check_types(const matcher_t* m, const bindings_t* b,
                                   const tvi_value_id_t* values) {
  for (uint32_t label = 0; label < m->pattern->label_count; ++label) {
    if (b->values[label] == 0 || values[label] == b->values[label]) continue;
    if (!tvi_type_equal(&tvi_graph_value(m->graph, b->values[label])->type,
                        &tvi_graph_value(m->graph, values[label])->type)) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "%%%.*s would get another type",
                           TVI_SV_ARGS(m->pattern->labels[label]));
    }
  }
  return TRIVET_OK;
}

// Are results of the anchor that are in use all defined again?
static bool covers_anchor(const matcher_t* m, const bindings_t* b, const tvi_value_id_t* values) {
  const tvi_rewrite_node_t* anchor = &m->pattern->match[m->pattern->match_count - 1];
  for (uint32_t i = 0; i < anchor->output_count; ++i) {
    uint32_t label = anchor->outputs[i];
    if (label != TVI_REWRITE_NONE && values[label] != b->values[label]) continue;
    const tvi_node_t* node = tvi_graph_node(m->graph, b->nodes[m->pattern->match_count - 1]);
    if (i >= node->output_count || node->outputs[i] == 0) continue;
    const tvi_value_t* value = tvi_graph_value(m->graph, node->outputs[i]);
    if (value->use_count != 0 || value->output_uses != 0) return false;
  }
  return true;
}

static trivet_status_t build(matcher_t* m, const bindings_t* b, tvi_node_id_t anchor,
                             tvi_value_id_t* values, node_list_t* added) {
  for (uint32_t i = 0; i < m->pattern->result_count; ++i) {
    const tvi_rewrite_node_t* from = &m->pattern->results[i];
    if (from->kind == TVI_REWRITE_CONSTANT) {
      TRIVET_RETURN_IF_ERROR(make_constant(m, from, b->values, &values[from->outputs[0]]));
    } else if (from->kind == TVI_REWRITE_ALIAS) {
      values[from->outputs[0]] = values[from->inputs[0]];
    } else {
      TRIVET_RETURN_IF_ERROR(make_node(m, b, from, anchor, values, added));
    }
  }
  TRIVET_RETURN_IF_ERROR(check_types(m, b, values));
  if (!covers_anchor(m, b, values)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "a result that is in use is not replaced");
  }
  return TRIVET_OK;
}

static trivet_status_t replace(matcher_t* m, const bindings_t* b, tvi_node_id_t anchor,
                               const node_list_t* added, const tvi_value_id_t* values) {
  for (uint32_t label = 0; label < m->pattern->label_count; ++label) {
    if (b->values[label] == 0 || values[label] == b->values[label]) continue;
    TRIVET_RETURN_IF_ERROR(tvi_graph_replace_value(m->graph, b->values[label], values[label]));
  }
  const char* made =
      added->count != 0
          ? tvi_graph_node(m->graph, added->data[added->count - 1])->op->definition->name
          : "an operand";
  tvi_pass_change(m->context, m->graph, anchor, "became %s", made);
  // Consumers first, so that producers are free when their turn comes.
  for (uint32_t i = m->pattern->match_count; i-- > 0;) {
    tvi_node_id_t id = b->nodes[i];
    if (id == 0 || id == UINT32_MAX || !tvi_node_is_pure(tvi_graph_node(m->graph, id))) continue;
    const tvi_node_t* node = tvi_graph_node(m->graph, id);
    bool observed = false;
    for (uint32_t k = 0; k < node->output_count; ++k) {
      observed = observed ||
                 (node->outputs[k] != 0 && tvi_graph_value(m->graph, node->outputs[k])->observed);
    }
    if (!observed) tvi_graph_remove_node(m->graph, id);
  }
  return TRIVET_OK;
}

// Puts the right side in the place of a match. A right side that does not fit is a near miss.
static trivet_status_t apply(matcher_t* m, const bindings_t* b, tvi_node_id_t anchor,
                             uint32_t* out_changed) {
  tvi_value_id_t values[TVI_REWRITE_MAX_LABELS];
  memcpy(values, b->values, sizeof(values));
  node_list_t added;
  tvi_vector_init(&added, m->graph->allocator);
  trivet_status_t status = build(m, b, anchor, values, &added);
  if (status == NULL) {
    status = replace(m, b, anchor, &added, values);
    *out_changed = 1;
  } else {
    for (size_t i = added.count; i-- > 0;) tvi_graph_remove_node(m->graph, added.data[i]);
    trivet_status_code_t code = trivet_status_code(status);
    if (code != TRIVET_STATUS_OUT_OF_MEMORY && code != TRIVET_STATUS_NOT_FOUND) {
      tvi_pass_decline(m->context, m->graph, anchor, "%s", trivet_status_message(status));
      trivet_status_free(status);
      status = TRIVET_OK;
    }
  }
  tvi_vector_deinit(&added);
  return status;
}

static trivet_status_t run_pattern(matcher_t* m, bindings_t* b, uint32_t* out_changed) {
  const tvi_rewrite_pattern_t* pattern = m->pattern;
  uint32_t anchor = pattern->match_count - 1;
  // How much of a pattern must be there for its absence to be worth a word.
  uint32_t near = pattern->match_count > 2 ? pattern->match_count - 1 : pattern->match_count;
  tvi_node_id_t next;
  for (tvi_node_id_t id = m->graph->first; id != 0; id = next) {
    next = tvi_graph_node(m->graph, id)->next;
    if (!tvi_node_is(tvi_graph_node(m->graph, id), pattern->match[anchor].op)) continue;
    memset(b, 0, sizeof(*b));
    m->steps = 0;
    m->best = 0;
    if (try_node(m, b, anchor, id)) {
      TRIVET_RETURN_IF_ERROR(apply(m, b, id, out_changed));
    } else if (m->out_of_memory) {
      return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
    } else if (m->best >= near) {
      tvi_pass_decline(m->context, m->graph, id, "%s", m->reason);
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_rewrite_run(const trivet_rewrite_t* rewrite, trivet_pass_context_t* context,
                                trivet_graph_t* graph, uint32_t* out_changed) {
  tvi_arena_t* arena = tvi_pass_scratch(context);
  tvi_rewrite_pattern_t pattern;
  TRIVET_RETURN_IF_ERROR(tvi_rewrite_parse(tvi_sv(rewrite->text), arena, &pattern));
  matcher_t m = {.pattern = &pattern, .context = context, .graph = graph};
  for (uint32_t i = 0; i < TVI_REWRITE_MAX_LABELS; ++i) m.definer[i] = TVI_REWRITE_NONE;
  for (uint32_t i = 0; i < pattern.match_count; ++i) {
    for (uint32_t k = 0; k < pattern.match[i].output_count; ++k) {
      if (pattern.match[i].outputs[k] != TVI_REWRITE_NONE) {
        m.definer[pattern.match[i].outputs[k]] = i;
      }
    }
  }
  bindings_t* bindings;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc(arena, sizeof(*bindings), &bindings));
  return run_pattern(&m, bindings, out_changed);
}

trivet_status_t tvi_rewrite_check(const trivet_rewrite_t* rewrite, trivet_allocator_t allocator) {
  tvi_arena_t arena;
  tvi_arena_init(&arena, allocator, 0);
  tvi_rewrite_pattern_t pattern;
  trivet_status_t status = tvi_rewrite_parse(tvi_sv(rewrite->text), &arena, &pattern);
  tvi_arena_deinit(&arena);
  return status;
}

const tvi_operator_parser_t* tvi_pass_text_parser(void) {
  static const tvi_operator_parser_t parser = {
      .parse = tvi_graph_parse_operator,
      .release = tvi_kir_operator_destroy,
      .parse_function = tvi_graph_parse_function,
      .release_function = tvi_kir_function_destroy,
      .check_rewrite = tvi_rewrite_check,
  };
  return &parser;
}
