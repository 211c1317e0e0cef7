// SPDX-License-Identifier: Apache-2.0
//
// Operators that move data: lists that were attributes in older operator sets become constant
// inputs.
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

// Squeeze and Unsqueeze before 13.
static trivet_status_t convert_axes(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 1));
  return tvi_onnx_attribute_to_input(node, "axes", 1);
}

// Slice before 10.
static trivet_status_t convert_slice(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 1));
  if (tvi_onnx_attribute(node, "starts") == NULL || tvi_onnx_attribute(node, "ends") == NULL) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS,
                               "attributes 'starts' and 'ends' are needed");
  }
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_attribute_to_input(node, "starts", 1));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_attribute_to_input(node, "ends", 2));
  return tvi_onnx_attribute_to_input(node, "axes", 3);
}

// Split before 13: the sizes were an attribute.
static trivet_status_t convert_split_sizes(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 1));
  return tvi_onnx_attribute_to_input(node, "split", 1);
}

// Split before 18: without sizes there are as many equal parts as results.
static trivet_status_t convert_split_count(tvi_onnx_node_t* node) {
  if (tvi_onnx_input(node, 1) != 0) return NULL;
  return tvi_onnx_set_i64(node, "num_outputs", (int64_t)node->proto->n_output);
}

// Pad before 11. The padding has the type of the data.
static trivet_status_t convert_pad(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 1));
  if (tvi_onnx_attribute(node, "pads") == NULL) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS, "attribute 'pads' is needed");
  }
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_attribute_to_input(node, "pads", 1));
  if (tvi_onnx_attribute(node, "value") == NULL) return NULL;
  trivet_type_t type;
  trivet_value_t value = 0;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_input_type(node, 0, &type));
  TVI_ONNX_RETURN_IF_ERROR(
      tvi_onnx_constant_scalar(node, type.dtype, tvi_onnx_attribute_f64(node, "value", 0), &value));
  tvi_onnx_drop_attribute(node, "value");
  return tvi_onnx_set_input(node, 2, value);
}

// TopK before 10.
static trivet_status_t convert_top_k(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 1));
  if (tvi_onnx_attribute(node, "k") == NULL)
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS, "attribute 'k' is needed");
  int64_t k = tvi_onnx_attribute_i64(node, "k", 0);
  trivet_value_t value = 0;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_i64s(node, &k, 1, &value));
  tvi_onnx_drop_attribute(node, "k");
  return tvi_onnx_set_input(node, 1, value);
}

static trivet_status_t convert_scatter(tvi_onnx_node_t* node) {
  node->op = "std.ScatterElements";
  return NULL;
}

const tvi_onnx_conversion_t tvi_onnx_conversions_shape[] = {
    {"", "Pad", 11, NULL, convert_pad},
    {"", "Scatter", TVI_ONNX_ALWAYS, "std.ScatterElements", convert_scatter},
    {"", "Slice", 10, NULL, convert_slice},
    {"", "Split", 13, NULL, convert_split_sizes},
    {"", "Split", 18, NULL, convert_split_count},
    {"", "Squeeze", 13, NULL, convert_axes},
    {"", "TopK", 10, NULL, convert_top_k},
    {"", "Unsqueeze", 13, NULL, convert_axes},
    {NULL, NULL, 0, NULL, NULL},
};
