// SPDX-License-Identifier: Apache-2.0
//
// Attention and rotary embeddings of the domain com.microsoft in the terms of ai.onnx. Forms whose
// meaning depends on buffers shared between calls or on packed lengths are refused.
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

static trivet_status_t refuse(const tvi_onnx_node_t* node, const char* what) {
  return tvi_onnx_node_error(node, TRIVET_STATUS_UNIMPLEMENTED, "%s is not read", what);
}

static trivet_status_t pair(tvi_onnx_node_t* node, const char* op, trivet_value_t a,
                            trivet_value_t b, trivet_value_t* out_value) {
  const trivet_value_t operands[2] = {a, b};
  return tvi_onnx_emit(node, op, operands, 2, NULL, 0, out_value);
}

// Parts of |value| of equal size along the last axis.
static trivet_status_t split_last(tvi_onnx_node_t* node, trivet_value_t value, int64_t parts,
                                  trivet_value_t* out_parts) {
  trivet_graph_builder_t* builder = node->onnx->builder;
  const int64_t last = -1;
  const trivet_attribute_t attributes[2] = {TVI_ONNX_ATTR_I64("axis", &last),
                                            TVI_ONNX_ATTR_I64("num_outputs", &parts)};
  return builder->api->add_node(builder, "std.Split", 1, &value, 1, attributes, 2, &node->origin,
                                (uint32_t)parts, out_parts);
}

// A mask of keys, [batch, keys] with 1 for those that count, as a mask of scores.
static trivet_status_t key_mask(tvi_onnx_node_t* node, trivet_value_t* mask) {
  trivet_type_t type;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_value_type(node, *mask, &type));
  if (type.rank != 2) return refuse(node, "a mask that is not of shape [batch, keys]");
  const uint32_t dtype = TRIVET_DTYPE_BOOL;
  const int64_t axes[2] = {1, 2};
  const trivet_attribute_t to = TVI_ONNX_ATTR_DTYPE("to", &dtype);
  trivet_value_t list = 0;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_emit(node, "std.Cast", mask, 1, &to, 1, mask));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_i64s(node, axes, 2, &list));
  return pair(node, "std.Unsqueeze", *mask, list, mask);
}

// std.Attention over q, k, v of shape [batch, sequence, heads * size], with what |node| says about
// heads, scale and causality.
static trivet_status_t attend(tvi_onnx_node_t* node, const trivet_value_t qkv[3],
                              trivet_value_t mask, trivet_value_t past_key,
                              trivet_value_t past_value) {
  int64_t heads = tvi_onnx_attribute_i64(node, "num_heads", 0);
  int64_t causal = tvi_onnx_attribute_i64(node, "unidirectional", 0);
  double scale = tvi_onnx_attribute_f64(node, "scale", 0);
  if (heads < 1)
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS, "num_heads is %lld",
                               (long long)heads);
  if ((past_key == 0) != (past_value == 0))
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS, "one of two past values is given");
  node->op = "std.Attention";
  node->attribute_count = 0;
  const trivet_value_t operands[6] = {qkv[0], qkv[1], qkv[2], mask, past_key, past_value};
  for (uint32_t i = 0; i < 6; ++i) node->inputs[i] = operands[i];
  node->input_count = past_key != 0 ? 6 : mask != 0 ? 4 : 3;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_i64(node, "q_num_heads", heads));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_i64(node, "kv_num_heads", heads));
  if (causal != 0) TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_i64(node, "is_causal", 1));
  // 0 means one over the root of the head size, as an absent scale does in ai.onnx.
  return scale != 0 ? tvi_onnx_set_f64(node, "scale", scale) : NULL;
}

// Attention(x, weights, bias, mask?, past?, attention_bias?): q, k and v lie side by side in x *
// weights + bias.
static trivet_status_t convert_attention(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 2, 7));
  uint64_t sizes = 0;
  tvi_onnx_attribute_i64s(node, "qkv_hidden_sizes", &sizes);
  if (sizes != 0) return refuse(node, "qkv_hidden_sizes");
  if (tvi_onnx_attribute_i64(node, "do_rotary", 0) != 0) return refuse(node, "do_rotary");
  if (tvi_onnx_input(node, 4) != 0 || node->output_count > 1)
    return refuse(node, "the past in one tensor");
  trivet_value_t mask = tvi_onnx_input(node, 3), bias = tvi_onnx_input(node, 5);
  if (mask != 0 && bias != 0) return refuse(node, "a mask beside attention_bias");
  trivet_value_t all = 0, qkv[3] = {0, 0, 0};
  TVI_ONNX_RETURN_IF_ERROR(pair(node, "std.MatMul", node->inputs[0], node->inputs[1], &all));
  if (tvi_onnx_input(node, 2) != 0)
    TVI_ONNX_RETURN_IF_ERROR(pair(node, "std.Add", all, node->inputs[2], &all));
  TVI_ONNX_RETURN_IF_ERROR(split_last(node, all, 3, qkv));
  if (mask != 0) TVI_ONNX_RETURN_IF_ERROR(key_mask(node, &mask));
  return attend(node, qkv, mask != 0 ? mask : bias, 0, 0);
}

// MultiHeadAttention(q, k, v, bias?, mask?, attention_bias?, past_key?, past_value?)
static trivet_status_t convert_multi_head_attention(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 8));
  trivet_value_t qkv[3], mask = tvi_onnx_input(node, 4), bias = tvi_onnx_input(node, 5);
  for (uint32_t i = 0; i < 3; ++i) {
    trivet_type_t type;
    qkv[i] = tvi_onnx_input(node, i);
    if (qkv[i] == 0) return refuse(node, "packed q, k and v");
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_value_type(node, qkv[i], &type));
    if (type.rank != 3)
      return refuse(node, "q, k or v that is not of shape [batch, sequence, hidden]");
  }
  if (mask != 0 && bias != 0) return refuse(node, "a mask beside attention_bias");
  if (tvi_onnx_input(node, 3) != 0) {
    // The bias holds those of q, k and v one after the other. They have one size unless v differs,
    // which is refused by shape.
    trivet_value_t parts[3] = {0, 0, 0};
    TVI_ONNX_RETURN_IF_ERROR(split_last(node, node->inputs[3], 3, parts));
    for (uint32_t i = 0; i < 3; ++i)
      TVI_ONNX_RETURN_IF_ERROR(pair(node, "std.Add", qkv[i], parts[i], &qkv[i]));
  }
  if (mask != 0) TVI_ONNX_RETURN_IF_ERROR(key_mask(node, &mask));
  return attend(node, qkv, mask != 0 ? mask : bias, tvi_onnx_input(node, 6),
                tvi_onnx_input(node, 7));
}

// RotaryEmbedding(x, positions, cos, sin): the operands of ai.onnx in another order.
static trivet_status_t convert_rotary_embedding(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 4, 4));
  trivet_type_t type;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_input_type(node, 1, &type));
  if (type.rank != 2) return refuse(node, "an offset instead of positions");
  if (tvi_onnx_attribute_f64(node, "scale", 1) != 1) return refuse(node, "a scale other than 1");
  tvi_onnx_drop_attribute(node, "scale");
  tvi_onnx_drop_attribute(node, "is_packed_batching");
  trivet_value_t positions = node->inputs[1];
  node->inputs[1] = node->inputs[2];
  node->inputs[2] = node->inputs[3];
  node->inputs[3] = positions;
  node->op = "std.RotaryEmbedding";
  return NULL;
}

const tvi_onnx_conversion_t tvi_onnx_conversions_attention[] = {
    {"com.microsoft", "Attention", TVI_ONNX_ALWAYS, "std.Attention", convert_attention},
    {"com.microsoft", "MultiHeadAttention", TVI_ONNX_ALWAYS, "std.Attention",
     convert_multi_head_attention},
    {"com.microsoft", "RotaryEmbedding", TVI_ONNX_ALWAYS, "std.RotaryEmbedding",
     convert_rotary_embedding},
    {NULL, NULL, 0, NULL, NULL},
};
