// SPDX-License-Identifier: Apache-2.0
//
// fold-scale: a constant factor (or divisor) of every output channel of a product with constant
// weights goes into the weights and the bias; a constant factor of all of a convolution's input
// goes into its weights. Only for f32 and f64: narrower weights could leave their range.
//
//   %a = std.Conv(%x, %w, %b)                  %y = std.Conv(%x, w * s, b * s)
//   %y = std.Mul(%a, %s)  (%s: f32[8, 1, 1])   ->
#include <math.h>

#include "core/base/dtype.h"
#include "passes/support/channel.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"

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
  bool over = tvi_node_is(node, "std.Div");
  if (!over && !tvi_node_is(node, "std.Mul")) return TRIVET_OK;
  const trivet_type_t* type = &graph->values[tvi_match_output(node)]->type;
  for (uint32_t i = 0; i < (over ? 1u : 2u); ++i) {
    tvi_value_id_t x = node->inputs[i], s = node->inputs[1 - i];
    if (tvi_match_constant(graph, s) && tvi_type_equal(type, &graph->values[x]->type)) {
      return fold_after(edit, node, over, x, s);
    }
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
