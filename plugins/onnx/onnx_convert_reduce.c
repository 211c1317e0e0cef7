// SPDX-License-Identifier: Apache-2.0
//
// Reductions in the forms of older operator sets: the axes became an input in 13 (ReduceSum) and 18
// (the others). Steps of the tables that onnx_convert.c applies.
#include "plugins/onnx/onnx_frontend.h"

static trivet_status_t convert_reduce(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 1));
  // An empty list meant all axes, as an absent one does today.
  uint64_t count = 0;
  tvi_onnx_attribute_i64s(node, "axes", &count);
  if (count == 0) tvi_onnx_drop_attribute(node, "axes");
  return tvi_onnx_attribute_to_input(node, "axes", 1);
}

// DFT before 20: the axis was an attribute with another default.
static trivet_status_t convert_dft(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 2));
  trivet_value_t axis = 0;
  TVI_ONNX_RETURN_IF_ERROR(
      tvi_onnx_constant_i64(node, tvi_onnx_attribute_i64(node, "axis", 1), &axis));
  tvi_onnx_drop_attribute(node, "axis");
  return tvi_onnx_set_input(node, 2, axis);
}

const tvi_onnx_conversion_t tvi_onnx_conversions_reduce[] = {
    {"", "DFT", 20, NULL, convert_dft},
    {"", "ReduceL1", 18, NULL, convert_reduce},
    {"", "ReduceL2", 18, NULL, convert_reduce},
    {"", "ReduceLogSum", 18, NULL, convert_reduce},
    {"", "ReduceLogSumExp", 18, NULL, convert_reduce},
    {"", "ReduceMax", 18, NULL, convert_reduce},
    {"", "ReduceMean", 18, NULL, convert_reduce},
    {"", "ReduceMin", 18, NULL, convert_reduce},
    {"", "ReduceProd", 18, NULL, convert_reduce},
    {"", "ReduceSum", 13, NULL, convert_reduce},
    {"", "ReduceSumSquare", 18, NULL, convert_reduce},
    {NULL, NULL, 0, NULL, NULL},
};
