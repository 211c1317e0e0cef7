// SPDX-License-Identifier: Apache-2.0
//
// Reads the attributes of convolutions for the questions of window.h. An attribute that is absent
// has its default.
#include "passes/support/window.h"

#include "core/base/string_view.h"
#include "core/dimension/dimension.h"

// Every number that attribute |name| has is |wanted|; true where it is absent.
static bool all_are(const tvi_node_t* node, const char* name, int64_t wanted) {
  uint64_t count;
  const int64_t* values = tvi_node_attr_i64s(node, name, &count);
  for (uint64_t i = 0; values != NULL && i < count; ++i) {
    if (values[i] != wanted) return false;
  }
  return true;
}

static bool has_list(const tvi_node_t* node, const char* name) {
  uint64_t count;
  const int64_t* values = tvi_node_attr_i64s(node, name, &count);
  return values != NULL && count != 0;
}

static bool has_strides(const tvi_node_t* node, const int64_t* window) {
  uint64_t count;
  const int64_t* values = tvi_node_attr_i64s(node, "strides", &count);
  if (values == NULL) return window[0] == 1 && window[1] == 1;
  return count == 2 && values[0] == window[0] && values[1] == window[1];
}

const char* tvi_window_overlap(const trivet_graph_t* graph, const tvi_node_t* node,
                               int64_t out_dims[4]) {
  const trivet_type_t* weights = &graph->values[node->inputs[1]]->type;
  trivet_string_view_t mode = tvi_node_attr_string(node, "auto_pad");
  if (weights->rank != 4) return "it does not work on images";
  for (uint32_t i = 0; i < 4; ++i) {
    if (!tvi_dim_is_constant(weights->dims[i], &out_dims[i])) return "the weights' shape is open";
  }
  if (!has_strides(node, out_dims + 2)) return "the strides are not those of the window";
  if (mode.size != 0 && !tvi_sv_equal_cstr(mode, "NOTSET") && !tvi_sv_equal_cstr(mode, "VALID")) {
    return "the node pads by itself";
  }
  if (!all_are(node, "pads", 0) || !all_are(node, "output_padding", 0)) return "it has pads";
  if (!all_are(node, "dilations", 1)) return "the window is dilated";
  if (has_list(node, "output_shape")) return "the extents are given";
  if (tvi_node_attr_i64(node, "group", 1) != 1) return "it has groups";
  return NULL;
}
