// SPDX-License-Identifier: Apache-2.0
//
// Implements normalize_match.h. Starts at the division, since it closes the pattern; everything it
// needs lies before it.
#include "passes/support/normalize_match.h"

bool tvi_normalize_mean_axis(const trivet_graph_t* graph, const tvi_node_t* node,
                             uint32_t* out_axis) {
  uint32_t mask, rank = graph->values[node->inputs[0]]->type.rank;
  if (!tvi_match_reduced(graph, node, &mask) || mask == 0) return false;
  uint32_t first = (uint32_t)__builtin_ctz(mask);
  if (mask != ((1u << rank) - 1) - ((1u << first) - 1)) return false;
  *out_axis = first;
  return true;
}

// sqrt(v): as Sqrt, or as a power of 0.5.
static tvi_value_id_t under_root(const trivet_graph_t* graph, tvi_value_id_t value, double power) {
  const tvi_node_t* node = tvi_match_node(graph, value, NULL);
  if (node == NULL) return 0;
  if (power == 0.5 && tvi_node_is(node, "std.Sqrt")) return node->inputs[0];
  if (tvi_node_is(node, "std.Pow") && tvi_match_number(graph, node->inputs[1], power)) {
    return node->inputs[0];
  }
  return 0;
}

// n = d / sqrt(v) or d * (1 / sqrt(v)) or d * v^-0.5.
static bool match_division(const trivet_graph_t* graph, const tvi_node_t* node,
                           tvi_value_id_t* out_d, tvi_value_id_t* out_v) {
  if (tvi_node_is(node, "std.Div")) {
    *out_d = node->inputs[0];
    *out_v = under_root(graph, node->inputs[1], 0.5);
    return *out_v != 0;
  }
  if (!tvi_node_is(node, "std.Mul")) return false;
  for (uint32_t i = 0; i < 2; ++i) {
    const tvi_node_t* inverse = tvi_match_node(graph, node->inputs[i], NULL);
    tvi_value_id_t root = 0;
    if (inverse == NULL) continue;
    if (tvi_node_is(inverse, "std.Reciprocal")) root = inverse->inputs[0];
    if (tvi_node_is(inverse, "std.Div") && tvi_match_number(graph, inverse->inputs[0], 1)) {
      root = inverse->inputs[1];
    }
    *out_d = node->inputs[1 - i];
    *out_v = root != 0 ? under_root(graph, root, 0.5) : under_root(graph, node->inputs[i], -0.5);
    if (*out_v != 0) return true;
  }
  return false;
}

// The operand of a square: Pow 2, or a product with itself.
static tvi_value_id_t under_square(const trivet_graph_t* graph, tvi_value_id_t value) {
  const tvi_node_t* node = tvi_match_node(graph, value, NULL);
  if (node == NULL) return 0;
  if (tvi_node_is(node, "std.Pow") && tvi_match_number(graph, node->inputs[1], 2)) {
    return node->inputs[0];
  }
  if (tvi_node_is(node, "std.Mul") && node->inputs[0] == node->inputs[1]) return node->inputs[0];
  return 0;
}

bool tvi_normalize_match(const trivet_graph_t* graph, const tvi_node_t* node,
                         tvi_normalization_t* out_match) {
  tvi_normalization_t m = {.n = tvi_match_output(node)};
  tvi_value_id_t d, v, mean_value = 0;
  *out_match = m;
  if (!match_division(graph, node, &d, &v)) return false;
  const tvi_node_t* sum = tvi_match_node(graph, v, "std.Add");
  if (sum == NULL) return false;
  for (uint32_t i = 0; i < 2; ++i) {
    if (tvi_match_splat(graph, sum->inputs[i], &m.epsilon)) mean_value = sum->inputs[1 - i];
  }
  const tvi_node_t* mean = tvi_match_node(graph, mean_value, "std.ReduceMean");
  if (mean == NULL) return false;
  tvi_value_id_t squared = under_square(graph, mean->inputs[0]);
  if (squared == 0) return false;
  m.d = d;
  if (squared != d) {
    m.reason = "what is divided is not what is squared";
  } else if (!tvi_normalize_mean_axis(graph, mean, &m.axis)) {
    m.reason = "the mean is not over trailing axes that are kept";
  } else if (!tvi_type_equal(&graph->values[d]->type, &graph->values[m.n]->type)) {
    m.reason = "the epsilon changes the shape";
  }
  *out_match = m;
  return m.reason == NULL;
}

static bool has_shape_from(const trivet_graph_t* graph, tvi_value_id_t value,
                           const trivet_type_t* type, uint32_t axis) {
  const trivet_type_t* own = &graph->values[value]->type;
  if (own->rank != type->rank - axis) return false;
  for (uint32_t i = 0; i < own->rank; ++i) {
    if (own->dims[i] != type->dims[axis + i]) return false;
  }
  return true;
}

tvi_value_id_t tvi_normalize_follow(const trivet_graph_t* graph, tvi_value_id_t value,
                                    const char* op, uint32_t axis, tvi_node_id_t* out_node) {
  uint32_t operand;
  tvi_node_id_t id;
  const tvi_node_t* reader = tvi_match_only_reader(graph, value, &id, &operand);
  if (reader == NULL || !tvi_node_is(reader, op)) return 0;
  tvi_value_id_t other = reader->inputs[1 - operand];
  if (!has_shape_from(graph, other, &graph->values[value]->type, axis)) return 0;
  *out_node = id;
  return other;
}

trivet_status_t tvi_normalize_ones(tvi_edit_t* edit, tvi_value_id_t x, uint32_t axis,
                                   tvi_value_id_t* out_scale) {
  const trivet_type_t* type = &edit->graph->values[x]->type;
  int64_t dims[TRIVET_MAX_RANK];
  *out_scale = 0;
  for (uint32_t i = axis; i < type->rank; ++i) {
    if (!tvi_dim_is_constant(type->dims[i], &dims[i - axis])) return TRIVET_OK;
  }
  return tvi_edit_splat(edit, type->dtype, 1, dims, type->rank - axis, out_scale);
}
