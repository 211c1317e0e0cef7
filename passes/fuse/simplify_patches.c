// SPDX-License-Identifier: Apache-2.0
//
// simplify-patches: a convolution of few channels whose windows lie side by side (a picture cut
// into patches, as vision transformers begin) reads every element once, so it is a matrix product
// per patch. Kernels of convolutions work on vectors of channels, which three channels do not
// fill; a product has the whole patch to sum over, for one copy of the picture.
//
//   %y = std.Conv(%x, %w, %b)          %1 = std.Reshape(%x, [N, C, H, p, W, p])
//     { strides = [p, p] }         ->  %2 = std.Transpose(%1) { perm = [0, 2, 4, 1, 3, 5] }
//                                      %3 = std.Reshape(%2, [N, H, W, C * p * p])
//                                      %4 = std.MatMul(%3, [%w as C * p * p, M])
//                                      %5 = std.Add(%4, %b)
//                                      %y = std.Transpose(%5) { perm = [0, 3, 1, 2] }
#include "core/dimension/dimension.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"
#include "passes/support/window.h"

// Eight elements of two bytes are the vector that kernels of convolutions load.
#define MAX_CHANNELS 7

// NULL: |out_dims| are the extents of the weights, [M, C, p, q]; else why not.
static const char* check(const trivet_graph_t* graph, const tvi_node_t* node, int64_t* out_dims) {
  const char* reason = tvi_window_overlap(graph, node, out_dims);
  if (reason != NULL) return reason;
  if (out_dims[2] == 1 && out_dims[3] == 1) return "a window of one element is a product already";
  if (out_dims[1] > MAX_CHANNELS) return "it has channels enough";
  const trivet_type_t* x = &graph->values[node->inputs[0]]->type;
  for (uint32_t i = 2; i < 4; ++i) {
    if (tvi_dim_divisor(graph->dims, x->dims[i]) % out_dims[i] != 0) {
      return "the windows may leave a rest of the image";
    }
  }
  return NULL;
}

// The image as [N, H, W, a patch's elements in the order of the weights].
static trivet_status_t cut(tvi_edit_t* edit, tvi_value_id_t x, const trivet_type_t* y,
                           const int64_t* dims, tvi_value_id_t* out_value) {
  static const int64_t by_patch[] = {0, 2, 4, 1, 3, 5};
  tvi_dim_context_t* all = edit->graph->dims;
  const trivet_dim_t* image = edit->graph->values[x]->type.dims;
  const trivet_dim_t split[] = {image[0],   image[1],
                                y->dims[2], tvi_dim_constant(all, dims[2]),
                                y->dims[3], tvi_dim_constant(all, dims[3])};
  const trivet_dim_t joined[] = {image[0], y->dims[2], y->dims[3],
                                 tvi_dim_constant(all, dims[1] * dims[2] * dims[3])};
  trivet_attribute_t perm = tvi_edit_i64s("perm", by_patch, 6);
  tvi_value_id_t parts, turned;
  if (!split[3] || !split[5] || !joined[3]) return TRIVET_STATUS(OUT_OF_MEMORY, "a dimension");
  TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(edit, x, split, 6, &parts));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Transpose", &parts, 1, &perm, 1, &turned));
  return tvi_edit_reshape(edit, turned, joined, 4, out_value);
}

// The weights as [a patch's elements, M].
static trivet_status_t turn(tvi_edit_t* edit, tvi_value_id_t weights, const int64_t* dims,
                            tvi_value_id_t* out_value) {
  static const int64_t by_element[] = {1, 0};
  const int64_t flat[] = {dims[0], dims[1] * dims[2] * dims[3]};
  trivet_attribute_t perm = tvi_edit_i64s("perm", by_element, 2);
  tvi_value_id_t shape, rows;
  TRIVET_RETURN_IF_ERROR(tvi_edit_ints(edit, flat, 2, &shape));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Reshape", weights, shape, &rows));
  return tvi_edit_op(edit, "std.Transpose", &rows, 1, &perm, 1, out_value);
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  static const int64_t by_channel[] = {0, 3, 1, 2};
  int64_t dims[4];
  if (!tvi_node_is(node, "std.Conv")) return TRIVET_OK;
  const char* reason = check(edit->graph, node, dims);
  if (reason != NULL) {
    tvi_edit_decline(edit, "no product per patch: %s", reason);
    return TRIVET_OK;
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  const tvi_value_id_t y = tvi_match_output(node), bias = tvi_match_operand(node, 2);
  const trivet_type_t type = edit->graph->values[y]->type;
  const trivet_attribute_t perm = tvi_edit_i64s("perm", by_channel, 4);
  tvi_value_id_t patches, weights = node->inputs[1], result;
  TRIVET_RETURN_IF_ERROR(cut(edit, node->inputs[0], &type, dims, &patches));
  TRIVET_RETURN_IF_ERROR(turn(edit, weights, dims, &weights));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.MatMul", patches, weights, &result));
  if (bias != 0) TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Add", result, bias, &result));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Transpose", &result, 1, &perm, 1, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "made it a product per patch");
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(simplify_patches, "simplify-patches",
                "turns convolutions that cut a picture into patches into products per patch", run);
