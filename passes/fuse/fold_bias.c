// SPDX-License-Identifier: Apache-2.0
//
// fold-bias: a constant that is added to (or subtracted from) every output channel of a
// convolution or Gemm becomes its bias. A product of matrices with such a sum becomes a Gemm.
//
//   %a = std.Conv(%x, %w) : f32[n, 8, h, w]
//   %y = std.Add(%a, %c)  (%c: f32[8, 1, 1])   ->   %y = std.Conv(%x, %w, %c1)  (%c1: f32[8])
#include "passes/support/channel.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"

// MatMul of two matrices plus a vector: Gemm.
static trivet_status_t make_gemm(tvi_edit_t* edit, tvi_value_id_t y, tvi_value_id_t product,
                                 tvi_value_id_t c) {
  trivet_graph_t* graph = edit->graph;
  tvi_node_id_t id = graph->values[product]->producer;
  const tvi_node_t* node = graph->nodes[id];
  const tvi_value_id_t inputs[3] = {node->inputs[0], node->inputs[1], c};
  tvi_value_id_t result;
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Gemm", inputs, 3, NULL, 0, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "a product of matrices and a bias became a Gemm");
}

static bool is_matrix_product(const trivet_graph_t* graph, tvi_value_id_t value) {
  const tvi_node_t* node = tvi_match_node(graph, value, "std.MatMul");
  return node != NULL && graph->values[node->inputs[0]]->type.rank == 2 &&
         graph->values[node->inputs[1]]->type.rank == 2 &&
         tvi_match_only_reader(graph, value, NULL, NULL) != NULL;
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  bool subtract = tvi_node_is(node, "std.Sub");
  if (!subtract && !tvi_node_is(node, "std.Add")) return TRIVET_OK;
  tvi_value_id_t y = tvi_match_output(node);
  const trivet_type_t* type = &graph->values[y]->type;
  for (uint32_t i = 0; i < 2; ++i) {
    tvi_value_id_t x = node->inputs[i], c = node->inputs[1 - i];
    // A constant minus a product is none with a bias.
    if (subtract && i == 1) break;
    if (!tvi_match_constant(graph, c) || !tvi_type_equal(type, &graph->values[x]->type)) continue;
    if (!subtract && is_matrix_product(graph, x) &&
        tvi_channel_is_vector(graph, c, type, type->rank - 1)) {
      return make_gemm(edit, y, x, c);
    }
    tvi_channel_product_t product;
    const char* reason = tvi_channel_match(graph, x, &product);
    const tvi_node_t* before = tvi_match_node(graph, x, NULL);
    bool has_bias_operand = before != NULL && (tvi_node_is(before, "std.Conv") ||
                                               tvi_node_is(before, "std.ConvTranspose") ||
                                               tvi_node_is(before, "std.Gemm"));
    if (!has_bias_operand) return TRIVET_OK;
    if (reason == NULL && !tvi_channel_is_vector(graph, c, type, product.axis)) {
      reason = "the constant is not one number per channel";
    }
    if (reason != NULL) {
      tvi_edit_decline(edit, "not folded into the bias: %s", reason);
      return TRIVET_OK;
    }
    if (!tvi_edit_may(edit)) return TRIVET_OK;
    tvi_value_id_t t, result;
    TRIVET_RETURN_IF_ERROR(tvi_channel_vector(edit, c, &t));
    if (subtract) TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Neg", t, 0, &t));
    TRIVET_RETURN_IF_ERROR(tvi_channel_add(edit, &product, t));
    TRIVET_RETURN_IF_ERROR(tvi_channel_finish(edit, &product, &result));
    if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
    return tvi_edit_replace(edit, y, result, "folded into the bias of the node before it");
  }
  return TRIVET_OK;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(fold_bias, "fold-bias", "moves constant sums into the bias before them", run);
