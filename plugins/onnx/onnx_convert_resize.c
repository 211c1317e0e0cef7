// SPDX-License-Identifier: Apache-2.0
//
// Resampling in the forms of older operator sets: Upsample and the first Resize, names of modes and
// defaults that changed. Steps of the tables that onnx_convert.c applies.
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

// What Upsample and Resize did before coordinates could be chosen.
static trivet_status_t set_old_coordinates(tvi_onnx_node_t* node) {
  node->op = "std.Resize";
  TVI_ONNX_RETURN_IF_ERROR(
      tvi_onnx_set_string(node, "coordinate_transformation_mode", "asymmetric"));
  return tvi_onnx_set_string(node, "nearest_mode", "floor");
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
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_input(node, 2, value));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_input(node, 1, 0));
  const char* mode = tvi_onnx_attribute_string(node, "mode", "nearest");
  if (strcmp(mode, "bilinear") == 0)
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_string(node, "mode", "linear"));
  return set_old_coordinates(node);
}

// Resize in 10: operands X and scales.
static trivet_status_t convert_resize(tvi_onnx_node_t* node) {
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 2, 2));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_input(node, 2, node->inputs[1]));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_set_input(node, 1, 0));
  return set_old_coordinates(node);
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
