// SPDX-License-Identifier: Apache-2.0
//
// Implements match.h. Reads the graph, never writes it. Work is bounded whatever the graph looks
// like, since the passes ask for every node.
#include "passes/support/match.h"

#include <math.h>
#include <string.h>

#include "core/base/dtype.h"

#define MAX_SPLAT_ELEMENTS 65536
#define MAX_POLYNOMIAL_NODES 64
#define MAX_PRODUCT_NODES 8

tvi_node_t* tvi_match_node(const trivet_graph_t* graph, tvi_value_id_t value, const char* op) {
  if (value == 0 || graph->values[value]->producer == 0) return NULL;
  tvi_node_t* node = graph->nodes[graph->values[value]->producer];
  return op == NULL || tvi_node_is(node, op) ? node : NULL;
}

bool tvi_match_constant(const trivet_graph_t* graph, tvi_value_id_t value) {
  trivet_tensor_t tensor;
  return value != 0 && tvi_value_tensor(graph->values[value], &tensor);
}

bool tvi_match_splat(const trivet_graph_t* graph, tvi_value_id_t value, double* out_number) {
  uint64_t bytes;
  if (value == 0 || graph->values[value]->constant == NULL) return false;
  const tvi_value_t* v = graph->values[value];
  uint32_t width = tvi_dtype_bytes(v->type.dtype);
  return tvi_value_static_size(v, &bytes) &&
         bytes <= (uint64_t)MAX_SPLAT_ELEMENTS * (width != 0 ? width : 1) &&
         tvi_value_scalar_constant(v, out_number);
}

bool tvi_match_near(uint32_t dtype, double number, double wanted) {
  double tolerance = dtype == TRIVET_DTYPE_F16 ? 1e-3 : dtype == TRIVET_DTYPE_BF16 ? 8e-3 : 1e-6;
  return number == wanted || fabs(number - wanted) <= tolerance * fabs(wanted);
}

bool tvi_match_number(const trivet_graph_t* graph, tvi_value_id_t value, double wanted) {
  double number;
  return tvi_match_splat(graph, value, &number) &&
         tvi_match_near(graph->values[value]->type.dtype, number, wanted);
}

tvi_value_id_t tvi_match_other(const trivet_graph_t* graph, const tvi_node_t* node, double wanted) {
  if (node->input_count != 2) return 0;
  for (uint32_t i = 0; i < 2; ++i) {
    if (tvi_match_number(graph, node->inputs[i], wanted)) return node->inputs[1 - i];
  }
  return 0;
}

tvi_node_t* tvi_match_only_reader(const trivet_graph_t* graph, tvi_value_id_t value,
                                  tvi_node_id_t* out_node, uint32_t* out_operand) {
  const tvi_value_t* v = graph->values[value];
  tvi_use_t use;
  if (v->observed || !tvi_value_only_use(v, &use) || (use.operand & TVI_USE_CAPTURE) != 0) {
    return NULL;
  }
  if (out_node != NULL) *out_node = use.node;
  if (out_operand != NULL) *out_operand = use.operand;
  return graph->nodes[use.node];
}

bool tvi_match_private(const trivet_graph_t* graph, tvi_value_id_t value) {
  const tvi_value_t* v = graph->values[value];
  if (v->observed || v->output_uses != 0 || v->use_count == 0) return false;
  for (uint32_t i = 0; i < v->use_count; ++i) {
    if (v->uses[i].node != v->uses[0].node || (v->uses[i].operand & TVI_USE_CAPTURE) != 0) {
      return false;
    }
  }
  return true;
}

bool tvi_match_ints(const trivet_graph_t* graph, tvi_value_id_t value, int64_t* out_ints,
                    uint32_t capacity, uint32_t* out_count) {
  uint64_t count;
  if (value == 0) return false;
  const trivet_dim_t* dims = tvi_graph_value_ints(graph, value, &count);
  if (dims == NULL || count > capacity) return false;
  for (uint64_t i = 0; i < count; ++i) {
    if (!tvi_dim_is_constant(dims[i], &out_ints[i])) return false;
  }
  *out_count = (uint32_t)count;
  return true;
}

bool tvi_match_axis(int64_t axis, uint32_t rank, uint32_t* out_axis) {
  if (axis < 0) axis += rank;
  if (axis < 0 || axis >= (int64_t)rank) return false;
  *out_axis = (uint32_t)axis;
  return true;
}

bool tvi_match_reduced(const trivet_graph_t* graph, const tvi_node_t* node, uint32_t* out_mask) {
  if (tvi_node_attr_i64(node, "keepdims", 1) == 0) return false;
  uint32_t rank = graph->values[node->inputs[0]]->type.rank, count = 0, mask = 0;
  int64_t axes[TRIVET_MAX_RANK];
  tvi_value_id_t given = tvi_match_operand(node, 1);
  if (given != 0 && !tvi_match_ints(graph, given, axes, TRIVET_MAX_RANK, &count)) return false;
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t axis;
    if (!tvi_match_axis(axes[i], rank, &axis)) return false;
    mask |= 1u << axis;
  }
  if (count == 0) {
    if (tvi_node_attr_i64(node, "noop_with_empty_axes", 0) != 0) return false;
    mask = (1u << rank) - 1;
  }
  *out_mask = mask;
  return true;
}

static bool is_one_of(const tvi_node_t* node, const char* const* names, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    if (tvi_node_is(node, names[i])) return true;
  }
  return false;
}

bool tvi_match_pointwise(const tvi_node_t* node) {
  // clang-format off
  static const char* const names[] = {
      "std.Abs", "std.Neg", "std.Sqrt", "std.Reciprocal", "std.Exp", "std.Log", "std.Tanh",
      "std.Erf", "std.Relu", "std.Sigmoid", "std.Swish", "std.HardSwish", "std.Gelu",
      "std.LeakyRelu", "std.Elu", "std.Clip", "std.HardSigmoid", "std.Softplus", "std.Mish",
      "std.Cast", "std.Add", "std.Sub", "std.Mul", "std.Div", "std.Max", "std.Min", "std.Pow",
      "std.Floor", "std.Round", "std.Identity", "std.Equal", "std.Less", "std.LessOrEqual",
      "std.Greater", "std.GreaterOrEqual", "std.And", "std.Or", "std.Not", "std.Where",
  };
  // clang-format on
  return node->output_count == 1 && is_one_of(node, names, sizeof(names) / sizeof(names[0]));
}

bool tvi_match_single(const trivet_graph_t* graph, tvi_value_id_t value) {
  const trivet_type_t* type = &graph->values[value]->type;
  return type->rank == 0 || (type->rank == 1 && tvi_dim_equals_constant(type->dims[0], 1));
}

bool tvi_match_unary(const trivet_graph_t* graph, const tvi_node_t* node, uint32_t* out_index) {
  uint32_t found = 0;
  if (!tvi_match_pointwise(node)) return false;
  const trivet_type_t* type = &graph->values[tvi_match_output(node)]->type;
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] == 0) continue;
    if (tvi_type_same_shape(type, &graph->values[node->inputs[i]]->type) &&
        !tvi_match_constant(graph, node->inputs[i])) {
      *out_index = i;
      ++found;
    } else if (!tvi_match_single(graph, node->inputs[i])) {
      return false;
    }
  }
  return found == 1;
}

bool tvi_match_reshape(const tvi_node_t* node) {
  static const char* const names[] = {"std.Reshape", "std.Flatten", "std.Squeeze", "std.Unsqueeze"};
  return is_one_of(node, names, sizeof(names) / sizeof(names[0]));
}

bool tvi_match_per_channel(const trivet_graph_t* graph, tvi_value_id_t value,
                           const trivet_type_t* type, uint32_t axis) {
  if (!tvi_match_constant(graph, value)) return false;
  const trivet_type_t* own = &graph->values[value]->type;
  if (own->rank > type->rank || type->rank - own->rank > axis) return false;
  uint32_t offset = type->rank - own->rank;
  for (uint32_t i = 0; i < own->rank; ++i) {
    bool channel = i + offset == axis;
    if (channel ? own->dims[i] != type->dims[axis] : !tvi_dim_equals_constant(own->dims[i], 1)) {
      return false;
    }
  }
  return true;
}

// ---------------------------------------------------------------------------------------------
// Polynomials
// ---------------------------------------------------------------------------------------------

static bool multiply(const tvi_polynomial_t* a, const tvi_polynomial_t* b, tvi_polynomial_t* out) {
  tvi_polynomial_t product = {{0}};
  for (int i = 0; i <= TVI_POLYNOMIAL_DEGREE; ++i) {
    for (int k = 0; k <= TVI_POLYNOMIAL_DEGREE; ++k) {
      double c = a->c[i] * b->c[k];
      if (c == 0) continue;
      if (i + k > TVI_POLYNOMIAL_DEGREE) return false;
      product.c[i + k] += c;
    }
  }
  *out = product;
  return true;
}

static bool is_number(const tvi_polynomial_t* p) {
  for (int i = 1; i <= TVI_POLYNOMIAL_DEGREE; ++i) {
    if (p->c[i] != 0) return false;
  }
  return true;
}

static bool polynomial(const trivet_graph_t* graph, tvi_value_id_t value, tvi_value_id_t x,
                       uint32_t* budget, tvi_polynomial_t* out) {
  tvi_polynomial_t a = {{0}}, b;
  if (value == x) {
    *out = (tvi_polynomial_t){{0, 1}};
    return true;
  }
  if (tvi_match_splat(graph, value, &a.c[0])) {
    *out = a;
    return true;
  }
  const tvi_node_t* node = tvi_match_node(graph, value, NULL);
  if (node == NULL || *budget == 0) return false;
  --*budget;
  if (tvi_node_is(node, "std.Neg")) {
    if (!polynomial(graph, node->inputs[0], x, budget, &a)) return false;
    for (int i = 0; i <= TVI_POLYNOMIAL_DEGREE; ++i) out->c[i] = -a.c[i];
    return true;
  }
  bool add = tvi_node_is(node, "std.Add"), subtract = tvi_node_is(node, "std.Sub");
  bool times = tvi_node_is(node, "std.Mul"), over = tvi_node_is(node, "std.Div");
  bool power = tvi_node_is(node, "std.Pow");
  if (!(add || subtract || times || over || power) || node->input_count != 2 ||
      !polynomial(graph, node->inputs[0], x, budget, &a) ||
      !polynomial(graph, node->inputs[1], x, budget, &b)) {
    return false;
  }
  if (times) return multiply(&a, &b, out);
  if (over) {
    if (!is_number(&b) || b.c[0] == 0) return false;
    for (int i = 0; i <= TVI_POLYNOMIAL_DEGREE; ++i) out->c[i] = a.c[i] / b.c[0];
    return true;
  }
  if (power) {
    double exponent = b.c[0];
    if (!is_number(&b) || exponent != floor(exponent) || exponent < 0 ||
        exponent > TVI_POLYNOMIAL_DEGREE) {
      return false;
    }
    *out = (tvi_polynomial_t){{1}};
    for (int i = 0; i < (int)exponent; ++i) {
      if (!multiply(out, &a, out)) return false;
    }
    return true;
  }
  for (int i = 0; i <= TVI_POLYNOMIAL_DEGREE; ++i) {
    out->c[i] = subtract ? a.c[i] - b.c[i] : a.c[i] + b.c[i];
  }
  return true;
}

bool tvi_match_polynomial(const trivet_graph_t* graph, tvi_value_id_t value, tvi_value_id_t x,
                          tvi_polynomial_t* out_polynomial) {
  uint32_t budget = MAX_POLYNOMIAL_NODES;
  tvi_polynomial_t result;
  if (value == 0 || x == 0 || !polynomial(graph, value, x, &budget, &result)) return false;
  *out_polynomial = result;
  return true;
}

// ---------------------------------------------------------------------------------------------
// Products
// ---------------------------------------------------------------------------------------------

// |value| is x times a number.
static bool scaled(const trivet_graph_t* graph, tvi_value_id_t value, tvi_value_id_t x,
                   double* scale) {
  tvi_polynomial_t p;
  if (!tvi_match_polynomial(graph, value, x, &p) || p.c[0] != 0 || p.c[2] != 0 || p.c[3] != 0) {
    return false;
  }
  *scale *= p.c[1];
  return true;
}

bool tvi_match_product(const trivet_graph_t* graph, tvi_value_id_t t, tvi_value_id_t x,
                       double scale, tvi_node_id_t* out_root) {
  uint32_t dtype = graph->values[t]->type.dtype;
  double product = 1;
  bool has_x = false;
  for (uint32_t depth = 0; depth < MAX_PRODUCT_NODES; ++depth) {
    tvi_node_id_t id;
    uint32_t operand;
    double number;
    const tvi_node_t* node = tvi_match_only_reader(graph, t, &id, &operand);
    if (node == NULL || node->input_count != 2) return false;
    tvi_value_id_t other = node->inputs[1 - operand];
    if (tvi_node_is(node, "std.Mul")) {
      if (tvi_match_splat(graph, other, &number)) {
        product *= number;
      } else if (!has_x && scaled(graph, other, x, &product)) {
        has_x = true;
      } else {
        return false;
      }
    } else if (tvi_node_is(node, "std.Div") && operand == 0 &&
               tvi_match_splat(graph, other, &number) && number != 0) {
      product /= number;
    } else {
      return false;
    }
    if (has_x && tvi_match_near(dtype, product, scale)) {
      *out_root = id;
      return true;
    }
    t = tvi_match_output(node);
  }
  return false;
}

uint32_t tvi_match_factors(const trivet_graph_t* graph, tvi_value_id_t t,
                           tvi_value_id_t out_factors[2]) {
  for (uint32_t depth = 0; depth < MAX_PRODUCT_NODES; ++depth) {
    uint32_t operand;
    double number;
    const tvi_node_t* node = tvi_match_only_reader(graph, t, NULL, &operand);
    if (node == NULL || node->input_count != 2 ||
        !(tvi_node_is(node, "std.Mul") || tvi_node_is(node, "std.Div"))) {
      return 0;
    }
    tvi_value_id_t other = node->inputs[1 - operand];
    if (!tvi_match_splat(graph, other, &number)) {
      if (!tvi_node_is(node, "std.Mul")) return 0;
      out_factors[0] = other;
      const tvi_node_t* inner = tvi_match_node(graph, other, NULL);
      if (inner == NULL || inner->input_count != 2) return 1;
      bool times = tvi_node_is(inner, "std.Mul"), over = tvi_node_is(inner, "std.Div");
      if ((times || over) && tvi_match_splat(graph, inner->inputs[1], &number)) {
        out_factors[1] = inner->inputs[0];
        return 2;
      }
      if (times && tvi_match_splat(graph, inner->inputs[0], &number)) {
        out_factors[1] = inner->inputs[1];
        return 2;
      }
      return 1;
    }
    t = tvi_match_output(node);
  }
  return 0;
}
