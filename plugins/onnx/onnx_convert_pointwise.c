// SPDX-License-Identifier: Apache-2.0
//
// Pointwise operators in the forms of older operator sets: steps of the tables that onnx_convert.c
// applies to a node before it reaches the builder.
#include "plugins/onnx/onnx_frontend.h"

// Clip before 11: the bounds were attributes. They take the type of the data.
static trivet_status_t convert_clip(tvi_onnx_node_t* node) {
  static const char* const kBounds[2] = {"min", "max"};
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 1));
  trivet_type_t type;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_input_type(node, 0, &type));
  for (uint32_t i = 0; i < 2; ++i) {
    if (tvi_onnx_attribute(node, kBounds[i]) == NULL) continue;
    trivet_value_t bound = 0;
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_scalar(
        node, type.dtype, tvi_onnx_attribute_f64(node, kBounds[i], 0), &bound));
    tvi_onnx_drop_attribute(node, kBounds[i]);
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_input(node, 1 + i, bound));
  }
  return NULL;
}

const tvi_onnx_conversion_t tvi_onnx_conversions_pointwise[] = {
    {"", "Clip", 11, NULL, convert_clip},
    {NULL, NULL, 0, NULL, NULL},
};
