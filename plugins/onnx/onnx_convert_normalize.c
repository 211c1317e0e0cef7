// SPDX-License-Identifier: Apache-2.0
//
// Normalisations, the softmax family and dropout in the forms of older operator sets: steps of the
// tables that onnx_convert.c applies to a node before it reaches the builder.
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

// Softmax, LogSoftmax and Hardmax before 13 see their operand as a matrix cut at |axis| and
// normalise its rows.
static trivet_status_t convert_flat_softmax(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 1));
  trivet_type_t type;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_input_type(node, 0, &type));
  int64_t axis = tvi_onnx_attribute_i64(node, "axis", 1);
  int64_t rank = type.rank;
  if (axis < -rank || axis > rank) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS,
                               "axis %lld lies outside of %lld dimensions", (long long)axis,
                               (long long)rank);
  }
  if (axis < 0) axis += rank;
  if (rank > 0 && axis == rank - 1) return tvi_onnx_set_i64(node, "axis", axis);
  trivet_value_t x = node->inputs[0], shape = 0, flat = 0;
  const trivet_attribute_t cut = TVI_ONNX_ATTR_I64("axis", &axis);
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_emit(node, "std.Shape", &x, 1, NULL, 0, &shape));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_emit(node, "std.Flatten", &x, 1, &cut, 1, &flat));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_i64(node, "axis", 1));
  node->inputs[0] = flat;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_emit_node(node));
  if (node->output_count == 0) return NULL;
  const trivet_value_t operands[2] = {node->outputs[0], shape};
  return tvi_onnx_emit(node, "std.Reshape", operands, 2, NULL, 0, &node->outputs[0]);
}

// BatchNormalization before 14 had no training_mode: more than one result meant training.
static trivet_status_t convert_batch_norm(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 5, 5));
  if (tvi_onnx_attribute_i64(node, "spatial", 1) == 0) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_UNIMPLEMENTED,
                               "spatial = 0 (one statistic per element) is not read");
  }
  tvi_onnx_drop_attribute(node, "spatial");
  if (node->output_count > 1) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_UNIMPLEMENTED,
                               "results for training are not read");
  }
  return NULL;
}

// Dropout before 12: the ratio was an attribute; inference was the only mode that a model could
// mean.
static trivet_status_t convert_dropout(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 1));
  trivet_value_t ratio = 0;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_scalar(
      node, TRIVET_DTYPE_F32, tvi_onnx_attribute_f64(node, "ratio", 0.5), &ratio));
  tvi_onnx_drop_attribute(node, "ratio");
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_input(node, 1, ratio));
  if (node->opset >= 10 || node->output_count < 2) return NULL;
  // Before 10 the mask had the type of the data.
  trivet_type_t type;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_input_type(node, 0, &type));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_emit_node(node));
  const trivet_attribute_t to = TVI_ONNX_ATTR_DTYPE("to", &type.dtype);
  return tvi_onnx_emit(node, "std.Cast", &node->outputs[1], 1, &to, 1, &node->outputs[1]);
}

// GroupNormalization before 21: scale and bias had one element per group, now one per channel.
static trivet_status_t convert_group_norm(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 3, 3));
  trivet_type_t type;
  int64_t channels = 0, groups = tvi_onnx_attribute_i64(node, "num_groups", 0);
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_input_type(node, 0, &type));
  trivet_graph_builder_t* builder = node->onnx->builder;
  if (type.rank < 2 || !builder->api->dim_value(builder, type.dims[1], &channels)) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_UNIMPLEMENTED,
                               "the number of channels must be a constant before opset 21");
  }
  if (groups <= 0 || channels % groups != 0) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS,
                               "%lld channels cannot be split into %lld groups",
                               (long long)channels, (long long)groups);
  }
  const int64_t axis = 1, repeat[2] = {1, channels / groups}, flat = -1;
  trivet_value_t axes = 0, shape = 0, all = 0;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_i64s(node, &axis, 1, &axes));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_i64s(node, repeat, 2, &shape));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_i64s(node, &flat, 1, &all));
  for (uint32_t i = 1; i < 3; ++i) {
    trivet_value_t value = node->inputs[i];
    const trivet_value_t column[2] = {value, axes};
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_emit(node, "std.Unsqueeze", column, 2, NULL, 0, &value));
    const trivet_value_t wide[2] = {value, shape};
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_emit(node, "std.Expand", wide, 2, NULL, 0, &value));
    const trivet_value_t line[2] = {value, all};
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_emit(node, "std.Reshape", line, 2, NULL, 0, &value));
    node->inputs[i] = value;
  }
  return NULL;
}

// SimplifiedLayerNormalization: a name that onnxruntime's tools write into ai.onnx for what is
// RMSNormalization today.
static trivet_status_t convert_simplified_layer_norm(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 2, 2));
  if (node->output_count > 1) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_UNIMPLEMENTED, "the second result is not read");
  }
  node->op = "std.RMSNormalization";
  return NULL;
}

const tvi_onnx_conversion_t tvi_onnx_conversions_normalize[] = {
    {"", "BatchNormalization", 14, NULL, convert_batch_norm},
    {"", "Dropout", 12, NULL, convert_dropout},
    {"", "GroupNormalization", 21, NULL, convert_group_norm},
    {"", "Hardmax", 13, NULL, convert_flat_softmax},
    {"", "LogSoftmax", 13, NULL, convert_flat_softmax},
    {"", "SimplifiedLayerNormalization", TVI_ONNX_ALWAYS, "std.RMSNormalization",
     convert_simplified_layer_norm},
    {"", "Softmax", 13, NULL, convert_flat_softmax},
    {NULL, NULL, 0, NULL, NULL},
};
