// SPDX-License-Identifier: Apache-2.0
//
// remove-identity: nodes whose result is one of their operands. Adding 0, multiplying by 1,
// reshaping to the same shape, slicing all of it, casting to the type that it has, negating twice.
// A cast of a cast that loses nothing becomes one cast.
//
//   %a = std.Mul(%x, %one)
//   %b = std.Transpose(%a) { perm = [0, 1] }  ->  %y = std.Relu(%x)
//   %y = std.Relu(%b)
#include <math.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/string_view.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"

// Returns the operand that the result of |node| equals; 0: none. Types are compared by the caller.
typedef tvi_value_id_t (*identity_rule_t)(const trivet_graph_t* graph, const tvi_node_t* node);

static tvi_value_id_t first_operand(const trivet_graph_t* graph, const tvi_node_t* node) {
  (void)graph;
  return node->inputs[0];
}

static tvi_value_id_t only_operand(const trivet_graph_t* graph, const tvi_node_t* node) {
  (void)graph;
  return node->input_count == 1 && node->output_count == 1 ? node->inputs[0] : 0;
}

// Split into one part.
static tvi_value_id_t only_part(const trivet_graph_t* graph, const tvi_node_t* node) {
  (void)graph;
  return node->output_count == 1 ? node->inputs[0] : 0;
}

static tvi_value_id_t dropout(const trivet_graph_t* graph, const tvi_node_t* node) {
  tvi_value_id_t training = tvi_match_operand(node, 2);
  if (node->output_count > 1 && node->outputs[1] != 0) return 0;
  return training == 0 || tvi_match_number(graph, training, 0) ? node->inputs[0] : 0;
}

static bool is_permutation_of_ones(const trivet_type_t* type, const int64_t* perm) {
  int64_t last = -1;
  for (uint32_t i = 0; i < type->rank; ++i) {
    if (tvi_dim_equals_constant(type->dims[perm[i]], 1)) continue;
    if (perm[i] < last) return false;
    last = perm[i];
  }
  return true;
}

static tvi_value_id_t transpose(const trivet_graph_t* graph, const tvi_node_t* node) {
  const trivet_type_t* type = &graph->values[node->inputs[0]]->type;
  uint64_t count;
  const int64_t* given = tvi_node_attr_i64s(node, "perm", &count);
  int64_t perm[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < type->rank; ++i) {
    perm[i] = given != NULL && i < count ? given[i] : type->rank - 1 - (int64_t)i;
    if (perm[i] < 0) perm[i] += type->rank;
  }
  return is_permutation_of_ones(type, perm) ? node->inputs[0] : 0;
}

// Of equal extents and a positive step, a slice is all of the operand.
static tvi_value_id_t slice(const trivet_graph_t* graph, const tvi_node_t* node) {
  tvi_value_id_t steps = tvi_match_operand(node, 4);
  int64_t values[TRIVET_MAX_RANK];
  uint32_t count = 0;
  if (steps != 0 && !tvi_match_ints(graph, steps, values, TRIVET_MAX_RANK, &count)) return 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (values[i] <= 0) return 0;
  }
  return node->inputs[0];
}

static tvi_value_id_t pad(const trivet_graph_t* graph, const tvi_node_t* node) {
  int64_t pads[2 * TRIVET_MAX_RANK];
  uint32_t count;
  if (!tvi_match_ints(graph, node->inputs[1], pads, 2 * TRIVET_MAX_RANK, &count)) return 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (pads[i] != 0) return 0;
  }
  return node->inputs[0];
}

static tvi_value_id_t add(const trivet_graph_t* graph, const tvi_node_t* node) {
  return tvi_match_other(graph, node, 0);
}
static tvi_value_id_t multiply(const trivet_graph_t* graph, const tvi_node_t* node) {
  double number;
  for (uint32_t i = 0; i < 2; ++i) {
    if (tvi_match_splat(graph, node->inputs[i], &number) && number == 1) return node->inputs[1 - i];
  }
  return 0;
}
// The larger of x and minus infinity, the smaller of x and infinity.
static tvi_value_id_t beyond(const trivet_graph_t* graph, const tvi_node_t* node, double number) {
  double found;
  if (node->input_count == 1) return node->inputs[0];
  for (uint32_t i = 0; i < 2 && node->input_count == 2; ++i) {
    if (tvi_match_splat(graph, node->inputs[i], &found) && found == number) {
      return node->inputs[1 - i];
    }
  }
  return 0;
}
static tvi_value_id_t maximum(const trivet_graph_t* graph, const tvi_node_t* node) {
  return beyond(graph, node, -INFINITY);
}
static tvi_value_id_t minimum(const trivet_graph_t* graph, const tvi_node_t* node) {
  return beyond(graph, node, INFINITY);
}
static tvi_value_id_t subtract(const trivet_graph_t* graph, const tvi_node_t* node) {
  return tvi_match_number(graph, node->inputs[1], 0) ? node->inputs[0] : 0;
}
// Div and Pow by exactly 1.
static tvi_value_id_t second_is_one(const trivet_graph_t* graph, const tvi_node_t* node) {
  double number;
  return tvi_match_splat(graph, node->inputs[1], &number) && number == 1 ? node->inputs[0] : 0;
}

// |neutral| changes nothing, |absorbing| is always the result.
static tvi_value_id_t logic(const trivet_graph_t* graph, const tvi_node_t* node, double neutral) {
  if (node->inputs[0] == node->inputs[1]) return node->inputs[0];
  for (uint32_t i = 0; i < 2; ++i) {
    if (tvi_match_number(graph, node->inputs[i], neutral)) return node->inputs[1 - i];
    if (tvi_match_number(graph, node->inputs[i], 1 - neutral)) return node->inputs[i];
  }
  return 0;
}
static tvi_value_id_t logical_and(const trivet_graph_t* graph, const tvi_node_t* node) {
  return logic(graph, node, 1);
}
static tvi_value_id_t logical_or(const trivet_graph_t* graph, const tvi_node_t* node) {
  return logic(graph, node, 0);
}

static tvi_value_id_t where(const trivet_graph_t* graph, const tvi_node_t* node) {
  double number;
  if (node->inputs[1] == node->inputs[2]) return node->inputs[1];
  if (!tvi_match_splat(graph, node->inputs[0], &number)) return 0;
  return node->inputs[number != 0 ? 1 : 2];
}

// f(f(x)) = x.
static tvi_value_id_t involution(const trivet_graph_t* graph, const tvi_node_t* node) {
  const tvi_node_t* inner = tvi_match_node(graph, node->inputs[0], node->op->definition->name);
  return inner != NULL ? inner->inputs[0] : 0;
}
// f(f(x)) = f(x).
static tvi_value_id_t idempotent(const trivet_graph_t* graph, const tvi_node_t* node) {
  const tvi_node_t* inner = tvi_match_node(graph, node->inputs[0], node->op->definition->name);
  return inner != NULL ? node->inputs[0] : 0;
}

// Every number of type |from| is also one of type |to|.
static bool holds_all(uint32_t from, uint32_t to) {
  const tvi_dtype_info_t *a = tvi_dtype_info(from), *b = tvi_dtype_info(to);
  if (from == to) return true;
  if (!tvi_dtype_is_real(from) || !tvi_dtype_is_real(to)) return false;
  if (tvi_dtype_is_float(from)) {
    // Formats of 8 bits and less differ in infinities and NaNs.
    return tvi_dtype_is_float(to) && a->bits >= 16 && b->exponent_bits >= a->exponent_bits &&
           b->mantissa_bits >= a->mantissa_bits;
  }
  if (tvi_dtype_is_float(to)) {
    return b->bits >= 16 && a->int_max <= (1ull << (b->mantissa_bits + 1)) &&
           (double)a->int_max <= b->float_max;
  }
  return to != TRIVET_DTYPE_BOOL && b->int_min <= a->int_min && b->int_max >= a->int_max;
}

static tvi_value_id_t cast(const trivet_graph_t* graph, const tvi_node_t* node) {
  const tvi_value_t* y = graph->values[tvi_match_output(node)];
  const tvi_value_t* x = graph->values[node->inputs[0]];
  if (x->type.dtype == y->type.dtype) return node->inputs[0];
  const tvi_node_t* inner = tvi_match_node(graph, node->inputs[0], "std.Cast");
  if (inner == NULL) return 0;
  uint32_t from = graph->values[inner->inputs[0]]->type.dtype;
  return from == y->type.dtype && holds_all(from, x->type.dtype) ? inner->inputs[0] : 0;
}

static const struct {
  const char* op;
  identity_rule_t rule;
} rules[] = {
    {"std.Identity", first_operand},
    {"std.Dropout", dropout},
    {"std.Cast", cast},
    {"std.CastLike", cast},
    {"std.BitCast", cast},
    {"std.Reshape", first_operand},
    {"std.Flatten", first_operand},
    {"std.Squeeze", first_operand},
    {"std.Unsqueeze", first_operand},
    {"std.Expand", first_operand},
    {"std.Tile", first_operand},
    {"std.Transpose", transpose},
    {"std.Slice", slice},
    {"std.Pad", pad},
    {"std.Concat", only_operand},
    {"std.Split", only_part},
    {"std.Sum", only_operand},
    {"std.Mean", only_operand},
    {"std.Max", maximum},
    {"std.Min", minimum},
    {"std.Add", add},
    {"std.Sub", subtract},
    {"std.Mul", multiply},
    {"std.Div", second_is_one},
    {"std.Pow", second_is_one},
    {"std.And", logical_and},
    {"std.Or", logical_or},
    {"std.Where", where},
    {"std.Not", involution},
    {"std.Neg", involution},
    {"std.Relu", idempotent},
    {"std.Abs", idempotent},
    {"std.Floor", idempotent},
    {"std.Ceil", idempotent},
    {"std.Round", idempotent},
};

// Cast(Cast(x)) where the inner cast loses nothing: Cast(x).
static trivet_status_t shorten_cast(tvi_edit_t* edit, const tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  const tvi_node_t* inner = tvi_match_node(graph, node->inputs[0], "std.Cast");
  if (inner == NULL) return TRIVET_OK;
  tvi_value_id_t x = inner->inputs[0];
  tvi_node_id_t inner_id = graph->values[node->inputs[0]]->producer;
  uint32_t middle = graph->values[node->inputs[0]]->type.dtype;
  if (!holds_all(graph->values[x]->type.dtype, middle)) return TRIVET_OK;
  // To bool, a NaN or a denormal counts as the wider type sees it: as not 0. So does ours.
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  tvi_edit_change(edit, "skipped a cast to %s that loses nothing", tvi_dtype_name(middle));
  TRIVET_RETURN_IF_ERROR(tvi_graph_set_operand(graph, edit->at, 0, x));
  return tvi_edit_sweep(edit, inner_id, edit->at);
}

// A CastLike is a Cast once types are known: the other operand need not be computed.
static trivet_status_t cast_by_name(tvi_edit_t* edit, const tvi_node_t* node) {
  tvi_value_id_t y = tvi_match_output(node), made;
  const uint32_t to = edit->graph->values[y]->type.dtype;
  trivet_attribute_t attributes[3] = {{"to", TRIVET_ATTR_DTYPE, 0, 1, &to}};
  uint32_t count = 1;
  for (uint32_t i = 0; i < node->attribute_count && count < 3; ++i) {
    attributes[count++] = node->attributes[i];  // Cast has the same
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Cast", node->inputs, 1, attributes, count, &made));
  return tvi_edit_replace(edit, y, made, "casts to %s", tvi_dtype_name(to));
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  const char* op = node->op->definition->name;
  // Optional outputs that nobody asked for may leave slot 0 empty.
  if (strncmp(op, "std.", 4) != 0 || node->output_count == 0 || node->outputs[0] == 0 ||
      node->input_count == 0 || node->inputs[0] == 0) {
    return TRIVET_OK;
  }
  for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); ++i) {
    if (strcmp(op, rules[i].op) != 0) continue;
    tvi_value_id_t x = rules[i].rule(graph, node);
    tvi_value_id_t y = tvi_match_output(node);
    if (x == 0) break;
    if (!tvi_type_equal(&graph->values[x]->type, &graph->values[y]->type)) break;
    if (!tvi_edit_may(edit)) return TRIVET_OK;
    return tvi_edit_replace(edit, y, x, "removed: its result is its operand");
  }
  if (tvi_node_is(node, "std.CastLike")) return cast_by_name(edit, node);
  return tvi_node_is(node, "std.Cast") ? shorten_cast(edit, node) : TRIVET_OK;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(remove_identity, "remove-identity", "removes nodes that change nothing", run);
