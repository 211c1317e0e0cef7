// SPDX-License-Identifier: Apache-2.0
//
// Implements channel.h. The one place that knows where the output channels of each product lie in
// its weights. What it writes over constants is computed by fold-constants.
#include "passes/support/channel.h"

#include <string.h>

#include "passes/support/match.h"

static const char* match_transposed(const trivet_graph_t* graph, const tvi_node_t* node,
                                    uint32_t* out_axis) {
  const trivet_type_t* w = &graph->values[node->inputs[1]]->type;
  int64_t group = tvi_node_attr_i64(node, "group", 1);
  if (group == 1) {
    *out_axis = 1;
    return NULL;
  }
  if (!tvi_dim_equals_constant(w->dims[0], group) || !tvi_dim_equals_constant(w->dims[1], 1)) {
    return "it is a grouped transposed convolution";
  }
  *out_axis = 0;
  return NULL;
}

const char* tvi_channel_match(const trivet_graph_t* graph, tvi_value_id_t value,
                              tvi_channel_product_t* out_product) {
  tvi_channel_product_t p = {.axis = 1, .takes_bias = true};
  const tvi_node_t* node = tvi_match_node(graph, value, NULL);
  if (node == NULL) return "nothing is computed before it";
  const trivet_type_t* type = &graph->values[value]->type;
  p.node = graph->values[value]->producer;
  bool gemm = tvi_node_is(node, "std.Gemm"), matmul = tvi_node_is(node, "std.MatMul");
  bool transposed = tvi_node_is(node, "std.ConvTranspose");
  if (!gemm && !matmul && !transposed && !tvi_node_is(node, "std.Conv")) {
    return "the node before it has no weights";
  }
  p.weights = node->inputs[1];
  if (!tvi_match_constant(graph, p.weights)) return "the weights are not constant";
  if (tvi_match_only_reader(graph, value, NULL, NULL) == NULL) {
    return "the result of the node before it is needed elsewhere";
  }
  const trivet_type_t* weights = &graph->values[p.weights]->type;
  if (transposed) {
    const char* reason = match_transposed(graph, node, &p.weight_axis);
    if (reason != NULL) return reason;
  } else if (gemm) {
    p.weight_axis = tvi_node_attr_i64(node, "transB", 0) != 0 ? 0 : 1;
  } else if (matmul) {
    if (weights->rank != 2 || type->rank < 2 ||
        graph->values[node->inputs[0]]->type.rank != type->rank) {
      return "the weights are no matrix";
    }
    p.axis = type->rank - 1;
    p.weight_axis = 1;
    p.takes_bias = false;
  }
  p.channels = weights->dims[p.weight_axis];
  p.bias = matmul ? 0 : tvi_match_operand(node, 2);
  if (p.bias != 0 && !tvi_match_constant(graph, p.bias)) return "the bias is not constant";
  // Gemm broadcasts its third operand, a convolution has one number per channel.
  if (p.bias != 0 && gemm && !tvi_channel_is_vector(graph, p.bias, type, p.axis)) {
    return "what it adds is not one number per channel";
  }
  *out_product = p;
  return NULL;
}

bool tvi_channel_is_vector(const trivet_graph_t* graph, tvi_value_id_t t, const trivet_type_t* type,
                           uint32_t axis) {
  if (!tvi_match_constant(graph, t)) return false;
  if (tvi_match_per_channel(graph, t, type, axis)) return true;
  const trivet_type_t* own = &graph->values[t]->type;
  for (uint32_t i = 0; i < own->rank; ++i) {
    if (!tvi_dim_equals_constant(own->dims[i], 1)) return false;
  }
  return true;
}

trivet_status_t tvi_channel_vector(tvi_edit_t* edit, tvi_value_id_t t, tvi_value_id_t* out_value) {
  const trivet_type_t* type = &edit->graph->values[t]->type;
  trivet_dim_t dim = NULL;
  for (uint32_t i = 0; i < type->rank; ++i) {
    if (!tvi_dim_equals_constant(type->dims[i], 1)) dim = type->dims[i];
  }
  return tvi_edit_reshape(edit, t, &dim, dim != NULL ? 1 : 0, out_value);
}

trivet_status_t tvi_channel_align(tvi_edit_t* edit, tvi_value_id_t t, uint32_t rank, uint32_t axis,
                                  tvi_value_id_t* out_value) {
  const trivet_type_t* type = &edit->graph->values[t]->type;
  trivet_dim_t dims[TRIVET_MAX_RANK];
  if (type->rank == 0) {
    *out_value = t;
    return TRIVET_OK;
  }
  dims[0] = type->dims[0];
  for (uint32_t i = 1; i < rank - axis; ++i) dims[i] = tvi_dim_constant(edit->graph->dims, 1);
  return tvi_edit_reshape(edit, t, dims, rank - axis, out_value);
}

// Brings the bias into rank 0 or 1 and applies the factor that a Gemm gives it.
static trivet_status_t prepare(tvi_edit_t* edit, tvi_channel_product_t* product) {
  const tvi_node_t* node = edit->graph->nodes[product->node];
  if (product->is_prepared) return TRIVET_OK;
  product->is_prepared = true;
  if (product->bias == 0) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_channel_vector(edit, product->bias, &product->bias));
  double beta = tvi_node_is(node, "std.Gemm") ? tvi_node_attr_f64(node, "beta", 1) : 1;
  if (beta == 1) return TRIVET_OK;
  tvi_value_id_t factor;
  uint32_t dtype = edit->graph->values[product->bias]->type.dtype;
  TRIVET_RETURN_IF_ERROR(tvi_edit_scalar(edit, dtype, beta, &factor));
  return tvi_edit_op2(edit, "std.Mul", product->bias, factor, &product->bias);
}

trivet_status_t tvi_channel_scale(tvi_edit_t* edit, tvi_channel_product_t* product, const char* op,
                                  tvi_value_id_t s) {
  TRIVET_RETURN_IF_ERROR(prepare(edit, product));
  uint32_t rank = edit->graph->values[product->weights]->type.rank;
  tvi_value_id_t aligned;
  TRIVET_RETURN_IF_ERROR(tvi_channel_align(edit, s, rank, product->weight_axis, &aligned));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, op, product->weights, aligned, &product->weights));
  if (product->bias == 0) return TRIVET_OK;
  return tvi_edit_op2(edit, op, product->bias, s, &product->bias);
}

trivet_status_t tvi_channel_add(tvi_edit_t* edit, tvi_channel_product_t* product,
                                tvi_value_id_t t) {
  TRIVET_RETURN_IF_ERROR(prepare(edit, product));
  if (product->bias == 0) {
    product->bias = t;
    return TRIVET_OK;
  }
  return tvi_edit_op2(edit, "std.Add", product->bias, t, &product->bias);
}

trivet_status_t tvi_channel_finish(tvi_edit_t* edit, const tvi_channel_product_t* product,
                                   tvi_value_id_t* out_value) {
  trivet_graph_t* graph = edit->graph;
  const tvi_node_t* node = graph->nodes[product->node];
  tvi_value_id_t bias = product->bias, result;
  if (bias != 0 && product->takes_bias && graph->values[bias]->type.rank == 0) {
    tvi_value_id_t inputs[2] = {bias, 0};
    TRIVET_RETURN_IF_ERROR(tvi_edit_dims(edit, &product->channels, 1, &inputs[1]));
    TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Expand", inputs, 2, NULL, 0, &bias));
  }
  trivet_attribute_t* attributes;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(tvi_pass_scratch(edit->context),
                                               node->attribute_count + 1u, sizeof(*attributes),
                                               &attributes));
  uint32_t count = 0;
  for (uint32_t i = 0; i < node->attribute_count; ++i) {
    // The factor of a Gemm's bias is in the bias already.
    bool is_factor = product->is_prepared && strcmp(node->attributes[i].name, "beta") == 0;
    if (!is_factor) attributes[count++] = node->attributes[i];
  }
  const tvi_value_id_t inputs[3] = {node->inputs[0], product->weights,
                                    product->takes_bias ? bias : 0};
  TRIVET_RETURN_IF_ERROR(
      tvi_edit_op(edit, node->op->definition->name, inputs, 3, attributes, count, &result));
  TRIVET_RETURN_IF_ERROR(
      tvi_graph_merge_origins(graph, graph->values[result]->producer, product->node));
  if (bias != 0 && !product->takes_bias) {
    TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Add", result, bias, &result));
  }
  *out_value = result;
  return TRIVET_OK;
}
