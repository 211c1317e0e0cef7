// SPDX-License-Identifier: Apache-2.0
//
// Resampling in the forms of older operator sets: Upsample and the first Resize, names of modes and
// defaults that changed. Steps of the tables that onnx_convert.c applies.
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

// What Upsample and Resize did before coordinates could be chosen: output i reads position i /
// scale. The old documents do not say how "nearest" rounds it; runtimes of the time rounded down
// where an axis grows and up where it shrinks, and models rely on it.
// |*scales| becomes what the node itself still has to do.
static trivet_status_t set_old_coordinates(tvi_onnx_node_t* node, trivet_value_t* scales) {
  trivet_graph_builder_t* builder = node->onnx->builder;
  node->op = "std.Resize";
  TVI_ONNX_RETURN_IF_ERROR(
      tvi_onnx_set_string(node, "coordinate_transformation_mode", "asymmetric"));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_string(node, "nearest_mode", "floor"));
  const trivet_tensor_t* known = builder->api->value_constant(builder, *scales);
  if (strcmp(tvi_onnx_attribute_string(node, "mode", "nearest"), "nearest") != 0 || known == NULL ||
      known->dtype != TRIVET_DTYPE_F32 || known->rank != 1 || known->dims[0] > TRIVET_MAX_RANK) {
    return NULL;
  }
  double grow[TRIVET_MAX_RANK], shrink[TRIVET_MAX_RANK];
  uint32_t count = (uint32_t)known->dims[0], grows = 0, shrinks = 0;
  for (uint32_t i = 0; i < count; ++i) {
    float scale;
    memcpy(&scale, (const uint8_t*)known->data + 4 * (size_t)i, 4);
    grow[i] = scale >= 1 ? (double)scale : 1;
    shrink[i] = scale < 1 ? (double)scale : 1;
    grows |= scale > 1;
    shrinks |= scale < 1;
  }
  if (!shrinks) return NULL;
  if (grows) {
    // One node rounds one way: the growing axes get one of their own.
    trivet_value_t some = 0;
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_f32s(node, grow, count, &some));
    const trivet_value_t operands[3] = {node->inputs[0], 0, some};
    trivet_attribute_t attributes[2];
    attributes[0] = tvi_onnx_attribute(node, "coordinate_transformation_mode")->value;
    attributes[1] = tvi_onnx_attribute(node, "nearest_mode")->value;
    TVI_ONNX_RETURN_IF_ERROR(
        tvi_onnx_emit(node, "std.Resize", operands, 3, attributes, 2, &node->inputs[0]));
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_f32s(node, shrink, count, scales));
  }
  return tvi_onnx_set_string(node, "nearest_mode", "ceil");
}

// Upsample: scales were an attribute before 9, then an input.
static trivet_status_t convert_upsample(tvi_onnx_node_t* node) {
  uint64_t count = 0;
  const double* scales = tvi_onnx_attribute_f64s(node, "scales", &count);
  trivet_value_t value = tvi_onnx_input(node, 1);
  if (value == 0) {
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 1));
    if (scales == NULL)
      return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS, "scales are needed");
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_constant_f32s(node, scales, count, &value));
  }
  tvi_onnx_drop_attribute(node, "scales");
  const char* mode = tvi_onnx_attribute_string(node, "mode", "nearest");
  if (strcmp(mode, "bilinear") == 0)
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_string(node, "mode", "linear"));
  TVI_ONNX_RETURN_IF_ERROR(set_old_coordinates(node, &value));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_input(node, 2, value));
  return tvi_onnx_set_input(node, 1, 0);
}

// Resize in 10: operands X and scales.
static trivet_status_t convert_resize(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 2, 2));
  trivet_value_t scales = node->inputs[1];
  TVI_ONNX_RETURN_IF_ERROR(set_old_coordinates(node, &scales));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_input(node, 2, scales));
  return tvi_onnx_set_input(node, 1, 0);
}

// Before 13 operands could not be left out, and an empty tensor stood for "absent"; exporters still
// write them.
static trivet_status_t convert_empty_operands(tvi_onnx_node_t* node) {
  for (uint32_t i = 1; i < 4; ++i) {
    trivet_value_t value = tvi_onnx_input(node, i);
    if (value == 0) continue;
    trivet_type_t type;
    int64_t extent = 1;
    trivet_graph_builder_t* builder = node->onnx->builder;
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_value_type(node, value, &type));
    if (type.rank == 1 && builder->api->dim_value(builder, type.dims[0], &extent) && extent == 0) {
      TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_input(node, i, 0));
    }
  }
  return NULL;
}

// GridSample before 20 had other names for its modes.
static trivet_status_t convert_grid_sample(tvi_onnx_node_t* node) {
  const char* mode = tvi_onnx_attribute_string(node, "mode", "bilinear");
  if (strcmp(mode, "bilinear") == 0) return tvi_onnx_set_string(node, "mode", "linear");
  if (strcmp(mode, "bicubic") == 0) return tvi_onnx_set_string(node, "mode", "cubic");
  return NULL;
}

// RoiAlign before 16 did not shift by half a pixel.
static trivet_status_t convert_roi_align(tvi_onnx_node_t* node) {
  return tvi_onnx_set_string(node, "coordinate_transformation_mode", "output_half_pixel");
}

const tvi_onnx_conversion_t tvi_onnx_conversions_resize[] = {
    {"", "GridSample", 20, NULL, convert_grid_sample},
    {"", "Resize", 11, NULL, convert_resize},
    {"", "Resize", TVI_ONNX_ALWAYS, NULL, convert_empty_operands},
    {"", "RoiAlign", 16, NULL, convert_roi_align},
    {"", "Upsample", TVI_ONNX_ALWAYS, "std.Resize", convert_upsample},
    {NULL, NULL, 0, NULL, NULL},
};
