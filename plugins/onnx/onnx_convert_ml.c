// SPDX-License-Identifier: Apache-2.0
//
// Operators of the domain ai.onnx.ml that a few of today's ai.onnx say as well. Trees, vectorisers
// and everything over strings or maps are not among them.
#include <math.h>
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

static trivet_status_t emit(tvi_onnx_node_t* node, const char* op, trivet_value_t a,
                            trivet_value_t b, trivet_value_t c, trivet_value_t* out_value) {
  const trivet_value_t operands[3] = {a, b, c};
  return tvi_onnx_emit(node, op, operands, c != 0 ? 3 : b != 0 ? 2 : 1, NULL, 0, out_value);
}

static trivet_status_t cast(tvi_onnx_node_t* node, uint32_t dtype, trivet_value_t* value) {
  const trivet_attribute_t to = TVI_ONNX_ATTR_DTYPE("to", &dtype);
  return tvi_onnx_emit(node, "std.Cast", value, 1, &to, 1, value);
}

// Binarizer(x) = x > threshold ? 1 : 0, in the type of x.
static trivet_status_t convert_binarizer(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 1));
  trivet_type_t type;
  trivet_value_t threshold = 0;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_input_type(node, 0, &type));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_scalar(
      node, type.dtype, tvi_onnx_attribute_f64(node, "threshold", 0), &threshold));
  TVI_ONNX_RETURN_IF_ERROR(
      emit(node, "std.Greater", node->inputs[0], threshold, 0, &node->outputs[0]));
  node->emitted = 1;
  return cast(node, type.dtype, &node->outputs[0]);
}

// Scaler(x) = (f32(x) - offset) * scale, both of one element or one per column.
static trivet_status_t convert_scaler(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 1));
  trivet_type_t type;
  trivet_value_t value = node->inputs[0], list = 0;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_input_type(node, 0, &type));
  if (type.dtype != TRIVET_DTYPE_F32)
    TVI_ONNX_RETURN_IF_ERROR(cast(node, TRIVET_DTYPE_F32, &value));
  static const char* const kSteps[2][2] = {{"offset", "std.Sub"}, {"scale", "std.Mul"}};
  for (uint32_t i = 0; i < 2; ++i) {
    uint64_t count = 0;
    const double* values = tvi_onnx_attribute_f64s(node, kSteps[i][0], &count);
    if (count == 0)
      return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS, "attribute '%s' is needed",
                                 kSteps[i][0]);
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_f32s(node, values, count, &list));
    TVI_ONNX_RETURN_IF_ERROR(emit(node, kSteps[i][1], value, list, 0, &value));
  }
  node->outputs[0] = value;
  node->emitted = 1;
  return NULL;
}

// Imputer(x): elements equal to the replaced value become the imputed one, which is one or one per
// column.
static trivet_status_t convert_imputer(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 1));
  trivet_type_t type;
  trivet_value_t imputed = 0, replaced = 0, is_replaced = 0;
  uint64_t float_count = 0, int_count = 0;
  const double* floats = tvi_onnx_attribute_f64s(node, "imputed_value_floats", &float_count);
  const int64_t* ints = tvi_onnx_attribute_i64s(node, "imputed_value_int64s", &int_count);
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_input_type(node, 0, &type));
  if (type.dtype == TRIVET_DTYPE_F32 && float_count != 0) {
    double value = tvi_onnx_attribute_f64(node, "replaced_value_float", 0);
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_f32s(node, floats, float_count, &imputed));
    if (isnan(value)) {
      TVI_ONNX_RETURN_IF_ERROR(emit(node, "std.IsNaN", node->inputs[0], 0, 0, &is_replaced));
    } else {
      TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_scalar(node, type.dtype, value, &replaced));
    }
  } else if (type.dtype == TRIVET_DTYPE_I64 && int_count != 0) {
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_i64s(node, ints, int_count, &imputed));
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_i64(
        node, tvi_onnx_attribute_i64(node, "replaced_value_int64", 0), &replaced));
  } else {
    return tvi_onnx_node_error(
        node, TRIVET_STATUS_UNIMPLEMENTED,
        "floats with imputed_value_floats or int64 with imputed_value_int64s are read");
  }
  if (replaced != 0)
    TVI_ONNX_RETURN_IF_ERROR(emit(node, "std.Equal", node->inputs[0], replaced, 0, &is_replaced));
  node->emitted = 1;
  return emit(node, "std.Where", is_replaced, imputed, node->inputs[0], &node->outputs[0]);
}

// ArrayFeatureExtractor(x, y): columns of x by index; a vector counts as one row.
static trivet_status_t convert_array_feature_extractor(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 2, 2));
  trivet_type_t type;
  const int64_t flat = -1, first = 0;
  trivet_value_t shape = 0, axes = 0, indices = 0;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_input_type(node, 0, &type));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_i64s(node, &flat, 1, &shape));
  TVI_ONNX_RETURN_IF_ERROR(emit(node, "std.Reshape", node->inputs[1], shape, 0, &indices));
  const trivet_attribute_t axis = TVI_ONNX_ATTR_I64("axis", &flat);
  const trivet_value_t operands[2] = {node->inputs[0], indices};
  TVI_ONNX_RETURN_IF_ERROR(
      tvi_onnx_emit(node, "std.Gather", operands, 2, &axis, 1, &node->outputs[0]));
  node->emitted = 1;
  if (type.rank != 1) return NULL;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_i64s(node, &first, 1, &axes));
  return emit(node, "std.Unsqueeze", node->outputs[0], axes, 0, &node->outputs[0]);
}

const tvi_onnx_conversion_t tvi_onnx_conversions_ml[] = {
    {"ai.onnx.ml", "ArrayFeatureExtractor", TVI_ONNX_ALWAYS, "std.Gather",
     convert_array_feature_extractor},
    {"ai.onnx.ml", "Binarizer", TVI_ONNX_ALWAYS, "std.Greater", convert_binarizer},
    {"ai.onnx.ml", "Imputer", TVI_ONNX_ALWAYS, "std.Where", convert_imputer},
    {"ai.onnx.ml", "Scaler", TVI_ONNX_ALWAYS, "std.Mul", convert_scaler},
    {NULL, NULL, 0, NULL, NULL},
};
