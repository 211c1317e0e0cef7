// SPDX-License-Identifier: Apache-2.0
//
// fold-scale: a constant factor (or divisor) of every output channel of a product with constant
// weights goes into the weights and the bias; a constant factor of all of a convolution's input
// goes into its weights; the scale of attention goes into the weights of its queries. Only for f32
// and f64: narrower weights could leave their range.
//
//   %a = std.Conv(%x, %w, %b)                  %y = std.Conv(%x, w * s, b * s)
//   %y = std.Mul(%a, %s)  (%s: f32[8, 1, 1])   ->
#include <math.h>
#include <string.h>

#include "core/base/dtype.h"
#include "passes/support/channel.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"

// Nodes between a factor and the weights that take it, and constants added there, at most.
#define MAX_STEPS 16
#define MAX_SUMS 4

static bool is_wide(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_F32 || dtype == TRIVET_DTYPE_F64;
}

// Weights divided by 0 or times infinity would not give what the result divided by 0 is.
static bool is_harmless(const trivet_graph_t* graph, tvi_value_id_t s, bool over) {
  trivet_tensor_t tensor;
  if (!tvi_value_tensor(graph->values[s], &tensor)) return false;
  int64_t count = 1;
  for (uint32_t i = 0; i < tensor.rank; ++i) count *= tensor.dims[i];
  for (int64_t i = 0; i < count; ++i) {
    double number = tvi_dtype_read_f64(tensor.dtype, tensor.data, i);
    if (!isfinite(number) || (over && number == 0)) return false;
  }
  return true;
}

static trivet_status_t fold_after(tvi_edit_t* edit, const tvi_node_t* node, bool over,
                                  tvi_value_id_t x, tvi_value_id_t s) {
  trivet_graph_t* graph = edit->graph;
  tvi_value_id_t y = tvi_match_output(node), result;
  const trivet_type_t* type = &graph->values[y]->type;
  const tvi_node_t* before = tvi_match_node(graph, x, NULL);
  if (before == NULL ||
      !(tvi_node_is(before, "std.Conv") || tvi_node_is(before, "std.Gemm") ||
        tvi_node_is(before, "std.ConvTranspose") || tvi_node_is(before, "std.MatMul"))) {
    return TRIVET_OK;
  }
  tvi_channel_product_t product;
  const char* reason = tvi_channel_match(graph, x, &product);
  if (reason == NULL && !tvi_channel_is_vector(graph, s, type, product.axis)) {
    reason = "the factor is not one number per channel";
  }
  if (reason == NULL && !is_wide(type->dtype)) reason = "the weights are of a narrow type";
  if (reason == NULL && !is_harmless(graph, s, over)) {
    reason = "the factor is infinite or the divisor 0";
  }
  if (reason != NULL) {
    tvi_edit_decline(edit, "not folded into the weights: %s", reason);
    return TRIVET_OK;
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_channel_vector(edit, s, &s));
  TRIVET_RETURN_IF_ERROR(tvi_channel_scale(edit, &product, over ? "std.Div" : "std.Mul", s));
  TRIVET_RETURN_IF_ERROR(tvi_channel_finish(edit, &product, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "folded into the weights of the node before it");
}

// ---------------------------------------------------------------------------------------------
// One number further behind
// ---------------------------------------------------------------------------------------------

// From a scaled value up to the weights that can take the factor: everything between is linear and
// read by nobody else.
typedef struct climb_s {
  tvi_node_id_t product;
  tvi_node_id_t sums[MAX_SUMS];  // each adds a constant
  uint32_t operands[MAX_SUMS];   // which operand that is
  uint32_t sum_count;
} climb_t;

static bool moves_elements(const tvi_node_t* node) {
  return tvi_match_reshape(node) || tvi_node_is(node, "std.Transpose") ||
         tvi_node_is(node, "std.Slice") || tvi_node_is(node, "std.Identity");
}

static bool climb(const trivet_graph_t* graph, tvi_value_id_t value, climb_t* out_climb) {
  climb_t c = {0};
  for (uint32_t step = 0; step < MAX_STEPS; ++step) {
    const tvi_node_t* node = tvi_match_node(graph, value, NULL);
    tvi_channel_product_t product;
    if (node == NULL || tvi_match_only_reader(graph, value, NULL, NULL) == NULL) return false;
    if (tvi_channel_match(graph, value, &product) == NULL) {
      c.product = product.node;
      *out_climb = c;
      return true;
    }
    if (moves_elements(node) || tvi_node_is(node, "std.MatMul")) {
      value = node->inputs[0];
    } else if (tvi_node_is(node, "std.Add") && c.sum_count < MAX_SUMS) {
      uint32_t constant = tvi_match_constant(graph, node->inputs[0]) ? 0 : 1;
      if (!tvi_match_constant(graph, node->inputs[constant])) return false;
      c.sums[c.sum_count] = graph->values[value]->producer;
      c.operands[c.sum_count++] = constant;
      value = node->inputs[1 - constant];
    } else {
      return false;
    }
  }
  return false;
}

// What is scaled on the way no longer holds what its name says.
static void drop_names(trivet_graph_t* graph, tvi_value_id_t value, tvi_node_id_t product) {
  while (value != 0) {
    const tvi_value_t* v = graph->values[value];
    const tvi_node_t* node = graph->nodes[v->producer];
    graph->values[value]->name_count = 0;
    if (v->producer == product) return;
    bool first = !tvi_node_is(node, "std.Add") || !tvi_match_constant(graph, node->inputs[0]);
    value = node->inputs[first ? 0 : 1];
  }
}

// Multiplies a constant operand in place; the node is private to what is scaled.
static trivet_status_t scale_operand(tvi_edit_t* edit, tvi_node_id_t node, uint32_t operand,
                                     const char* op, double number) {
  trivet_graph_t* graph = edit->graph;
  tvi_value_id_t value = graph->nodes[node]->inputs[operand], factor;
  uint32_t dtype = graph->values[value]->type.dtype;
  TRIVET_RETURN_IF_ERROR(tvi_edit_scalar(edit, dtype, number, &factor));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, op, value, factor, &value));
  return tvi_graph_set_operand(graph, node, operand, value);
}

// Scales the weights that |x|, which edit->at reads, is computed from; false: none can take it.
static trivet_status_t scale_far(tvi_edit_t* edit, const char* op, tvi_value_id_t x, double number,
                                 bool* out_scaled) {
  trivet_graph_t* graph = edit->graph;
  climb_t c;
  *out_scaled = false;
  if (!is_wide(graph->values[x]->type.dtype) || !isfinite(number) || number == 0 ||
      !climb(graph, x, &c) || !tvi_edit_may(edit)) {
    return TRIVET_OK;
  }
  const tvi_node_t* product = graph->nodes[c.product];
  tvi_node_id_t at = edit->at;
  TRIVET_RETURN_IF_ERROR(tvi_graph_merge_origins(graph, c.product, at));
  drop_names(graph, x, c.product);
  // The new constants stand before the node that reads them.
  edit->at = c.product;
  trivet_status_t status = scale_operand(edit, c.product, 1, op, number);
  if (status == NULL && tvi_match_operand(product, 2) != 0) {
    status = scale_operand(edit, c.product, 2, op, number);
  }
  for (uint32_t i = 0; i < c.sum_count && status == NULL; ++i) {
    status = scale_operand(edit, c.sums[i], c.operands[i], op, number);
  }
  edit->at = at;
  *out_scaled = status == NULL;
  return status;
}

static trivet_status_t fold_far(tvi_edit_t* edit, const tvi_node_t* node, bool over,
                                tvi_value_id_t x, double number) {
  bool scaled;
  TRIVET_RETURN_IF_ERROR(scale_far(edit, over ? "std.Div" : "std.Mul", x, number, &scaled));
  if (!scaled) return TRIVET_OK;
  return tvi_edit_replace(edit, tvi_match_output(node), x, "folded into weights further before it");
}

// Attention with a scale: the queries' weights take it.
static trivet_status_t fold_attention(tvi_edit_t* edit, const tvi_node_t* node) {
  const double scale = tvi_node_attr_f64(node, "scale", 1);
  const tvi_value_id_t q = node->inputs[0];
  if (scale == 1 || node->inputs[1] == q || node->inputs[2] == q) return TRIVET_OK;
  bool scaled;
  TRIVET_RETURN_IF_ERROR(scale_far(edit, "std.Mul", q, scale, &scaled));
  if (!scaled) return TRIVET_OK;
  double* one = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc(edit->graph->arena, sizeof(*one), (void**)&one));
  *one = 1;
  for (uint32_t i = 0; i < node->attribute_count; ++i) {
    if (strcmp(node->attributes[i].name, "scale") == 0) node->attributes[i].data = one;
  }
  tvi_edit_change(edit, "its scale was folded into the weights of its queries");
  return TRIVET_OK;
}

// Conv(x * s, w) with one number s: Conv(x, w * s). Padding is 0 either way.
static trivet_status_t fold_before(tvi_edit_t* edit, const tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  const tvi_node_t* scale = tvi_match_node(graph, node->inputs[0], NULL);
  double number;
  if (scale == NULL) return TRIVET_OK;
  bool over = tvi_node_is(scale, "std.Div");
  if (!over && !tvi_node_is(scale, "std.Mul")) return TRIVET_OK;
  uint32_t factor = 1;
  if (!over && tvi_match_splat(graph, scale->inputs[0], &number)) factor = 0;
  tvi_value_id_t x = scale->inputs[1 - factor], s = scale->inputs[factor], w = node->inputs[1];
  if (!tvi_match_splat(graph, s, &number) || number == 0 || !isfinite(number) ||
      !tvi_type_equal(&graph->values[x]->type, &graph->values[node->inputs[0]]->type)) {
    return TRIVET_OK;
  }
  const char* reason = !tvi_match_constant(graph, w)            ? "the weights are not constant"
                       : !is_wide(graph->values[w]->type.dtype) ? "the weights are of a narrow type"
                       : !tvi_match_private(graph, node->inputs[0])
                           ? "the scaled value is needed elsewhere"
                           : NULL;
  if (reason != NULL) {
    tvi_edit_decline(edit, "the factor before it is not folded into the weights: %s", reason);
    return TRIVET_OK;
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  tvi_node_id_t scale_id = graph->values[node->inputs[0]]->producer;
  tvi_value_id_t scalar;
  TRIVET_RETURN_IF_ERROR(tvi_edit_scalar(edit, graph->values[w]->type.dtype, number, &scalar));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, over ? "std.Div" : "std.Mul", w, scalar, &w));
  tvi_edit_change(edit, "took the factor before it into the weights");
  TRIVET_RETURN_IF_ERROR(tvi_graph_set_operand(graph, edit->at, 1, w));
  TRIVET_RETURN_IF_ERROR(tvi_graph_set_operand(graph, edit->at, 0, x));
  return tvi_edit_sweep(edit, scale_id, edit->at);
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  const trivet_graph_t* graph = edit->graph;
  if (tvi_node_is(node, "std.Conv")) return fold_before(edit, node);
  if (tvi_node_is(node, "std.Attention")) return fold_attention(edit, node);
  bool over = tvi_node_is(node, "std.Div");
  if (!over && !tvi_node_is(node, "std.Mul")) return TRIVET_OK;
  const trivet_type_t* type = &graph->values[tvi_match_output(node)]->type;
  for (uint32_t i = 0; i < (over ? 1u : 2u); ++i) {
    tvi_value_id_t x = node->inputs[i], s = node->inputs[1 - i];
    if (!tvi_match_constant(graph, s) || !tvi_type_equal(type, &graph->values[x]->type)) continue;
    double number;
    tvi_channel_product_t product;
    if (tvi_channel_match(graph, x, &product) != NULL && tvi_match_splat(graph, s, &number)) {
      TRIVET_RETURN_IF_ERROR(fold_far(edit, node, over, x, number));
      if (node->dead) return TRIVET_OK;
    }
    return fold_after(edit, node, over, x, s);
  }
  return TRIVET_OK;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(fold_scale, "fold-scale", "moves constant factors into the weights before them",
                run);
