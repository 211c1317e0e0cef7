// SPDX-License-Identifier: Apache-2.0
//
// fold-batch-norm: a batch normalisation with constant statistics becomes part of the weights and
// the bias of the convolution or matrix product before it; one that stands alone becomes a product
// and a sum. The new weights are written as nodes over constants: fold-constants computes them, and
// they stay derivable from the model's own.
//
//   %a = std.Conv(%x, %w)                                 s = scale / sqrt(var + epsilon)
//   %y = std.BatchNormalization(%a, scale, b, mean, var)  %y = std.Conv(%x, w * s, b - mean * s)
#include "passes/support/channel.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"

// s = scale / sqrt(var + epsilon), t = b - mean * s, both one per channel.
static trivet_status_t factor_and_term(tvi_edit_t* edit, const tvi_node_t* node,
                                       tvi_value_id_t* out_s, tvi_value_id_t* out_t) {
  uint32_t dtype = edit->graph->values[node->inputs[4]]->type.dtype;
  tvi_value_id_t epsilon, v, s, m;
  TRIVET_RETURN_IF_ERROR(
      tvi_edit_scalar(edit, dtype, tvi_node_attr_f64(node, "epsilon", 1e-5), &epsilon));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Add", node->inputs[4], epsilon, &v));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Sqrt", v, 0, &v));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Div", node->inputs[1], v, &s));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Mul", node->inputs[3], s, &m));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Sub", node->inputs[2], m, out_t));
  *out_s = s;
  return TRIVET_OK;
}

static bool wants_statistics(const tvi_node_t* node) {
  for (uint32_t i = 1; i < node->output_count; ++i) {
    if (node->outputs[i] != 0) return true;
  }
  return tvi_node_attr_i64(node, "training_mode", 0) != 0;
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  if (!tvi_node_is(node, "std.BatchNormalization")) return TRIVET_OK;
  if (wants_statistics(node)) {
    tvi_edit_decline(edit, "it is in training mode");
    return TRIVET_OK;
  }
  tvi_value_id_t x = node->inputs[0], y = tvi_match_output(node);
  for (uint32_t i = 1; i < 5; ++i) {
    if (!tvi_match_constant(graph, node->inputs[i])) {
      tvi_edit_decline(edit, "operand %u is not constant", i);
      return TRIVET_OK;
    }
    if (graph->values[node->inputs[i]]->type.dtype != graph->values[x]->type.dtype) {
      tvi_edit_decline(edit, "operand %u is of another type than the data", i);
      return TRIVET_OK;
    }
  }
  if (graph->values[x]->type.rank < 2) {
    tvi_edit_decline(edit, "the data has no channels");
    return TRIVET_OK;
  }
  tvi_channel_product_t product;
  const char* reason = tvi_channel_match(graph, x, &product);
  if (reason == NULL && product.axis != 1) reason = "its channels lie along another axis";
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  tvi_value_id_t s, t, result;
  if (reason == NULL) {
    TRIVET_RETURN_IF_ERROR(factor_and_term(edit, node, &s, &t));
    TRIVET_RETURN_IF_ERROR(tvi_channel_scale(edit, &product, "std.Mul", s));
    TRIVET_RETURN_IF_ERROR(tvi_channel_add(edit, &product, t));
    TRIVET_RETURN_IF_ERROR(tvi_channel_finish(edit, &product, &result));
    return tvi_edit_replace(edit, y, result, "folded into the node before it");
  }
  if (tvi_match_node(graph, x, NULL) != NULL) {
    tvi_edit_decline(edit, "not folded into the node before it: %s", reason);
  }
  TRIVET_RETURN_IF_ERROR(factor_and_term(edit, node, &s, &t));
  TRIVET_RETURN_IF_ERROR(tvi_channel_align(edit, s, graph->values[x]->type.rank, 1, &s));
  TRIVET_RETURN_IF_ERROR(tvi_channel_align(edit, t, graph->values[x]->type.rank, 1, &t));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Mul", x, s, &result));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Add", result, t, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "became a product and a sum");
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(fold_batch_norm, "fold-batch-norm",
                "moves batch normalisations into the weights before them", run);
