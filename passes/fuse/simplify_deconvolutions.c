// SPDX-License-Identifier: Apache-2.0
//
// simplify-deconvolutions: a transposed convolution whose windows lie side by side (strides equal
// to the window, no pads) is a matrix product per pixel, whose channels are then spread over the
// window. Such products are what every library is fastest at. Runs after the foldings, which know
// the transposed form too.
//
//   %1 = std.ConvTranspose(%x, %w, %b)     %1 = std.Conv(%x, [w by window], [b, b, b, b])
//     { strides = [2, 2] }                 %2 = std.Relu(%1)
//   %y = std.Relu(%1)                  ->  %3 = std.Reshape(%2, [N, 2, 2, M, H, W])
//                                          %4 = std.Transpose(%3) { perm = [0, 3, 4, 1, 5, 2] }
//                                          %y = std.Reshape(%4, [N, M, 2 * H, 2 * W])
#include "core/dimension/dimension.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"
#include "passes/support/window.h"

#define MAX_BLOCK 4

// NULL: |out_dims| are the extents of the weights, [C, M, block, block]; else why not.
static const char* check(const trivet_graph_t* graph, const tvi_node_t* node, int64_t* out_dims) {
  const char* reason = tvi_window_overlap(graph, node, out_dims);
  if (reason != NULL) return reason;
  if (!tvi_match_constant(graph, node->inputs[1])) return "the weights are no constant";
  if (out_dims[2] != out_dims[3]) return "the window is no square";
  if (out_dims[2] < 2 || out_dims[2] > MAX_BLOCK) return "the window is too small or too large";
  return NULL;
}

// The product, whose channels are [block, block, M]. |dims| as check() found them.
static trivet_status_t multiply(tvi_edit_t* edit, const tvi_node_t* node, const int64_t* dims,
                                tvi_value_id_t* out_value) {
  static const int64_t by_window[] = {2, 3, 1, 0};
  const int64_t block = dims[2], cells = block * block;
  const int64_t shape[] = {cells * dims[1], dims[0], 1, 1}, first = 0;
  tvi_value_id_t inputs[3], copies[MAX_BLOCK * MAX_BLOCK], shape_value, turned;
  tvi_value_id_t bias = tvi_match_operand(node, 2);
  uint32_t input_count = 2;
  trivet_attribute_t perm = tvi_edit_i64s("perm", by_window, 4);
  inputs[0] = node->inputs[0];
  TRIVET_RETURN_IF_ERROR(
      tvi_edit_op(edit, "std.Transpose", &node->inputs[1], 1, &perm, 1, &turned));
  TRIVET_RETURN_IF_ERROR(tvi_edit_ints(edit, shape, 4, &shape_value));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Reshape", turned, shape_value, &inputs[1]));
  if (bias != 0) {
    trivet_attribute_t axis = tvi_edit_i64("axis", &first);
    for (int64_t i = 0; i < cells; ++i) copies[i] = bias;
    TRIVET_RETURN_IF_ERROR(
        tvi_edit_op(edit, "std.Concat", copies, (uint32_t)cells, &axis, 1, &inputs[2]));
    input_count = 3;
  }
  return tvi_edit_op(edit, "std.Conv", inputs, input_count, NULL, 0, out_value);
}

// From channels [block, block, M] to height and width, in the shape of |type|.
static trivet_status_t spread(tvi_edit_t* edit, tvi_value_id_t product, const int64_t* dims,
                              const trivet_type_t* type, tvi_value_id_t* out_value) {
  static const int64_t by_place[] = {0, 3, 4, 1, 5, 2};
  const trivet_dim_t* given = edit->graph->values[product]->type.dims;
  trivet_dim_t block = tvi_dim_constant(edit->graph->dims, dims[2]);
  const trivet_dim_t split[] = {given[0], block, block, type->dims[1], given[2], given[3]};
  trivet_attribute_t perm = tvi_edit_i64s("perm", by_place, 6);
  tvi_value_id_t parts, turned;
  if (!block) return TRIVET_STATUS(OUT_OF_MEMORY, "a dimension");
  TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(edit, product, split, 6, &parts));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Transpose", &parts, 1, &perm, 1, &turned));
  return tvi_edit_reshape(edit, turned, type->dims, type->rank, out_value);
}

// The functions of one operand that follow can join the product, before its channels are spread.
static trivet_status_t take_followers(tvi_edit_t* edit, tvi_value_id_t y, tvi_value_id_t* product,
                                      tvi_value_id_t* out_y, tvi_node_id_t* out_root) {
  const uint32_t dtype = edit->graph->values[y]->type.dtype;
  tvi_node_id_t id;
  *out_y = y;
  *out_root = edit->at;
  for (;;) {
    const tvi_node_t* reader = tvi_match_only_reader(edit->graph, *out_y, &id, NULL);
    if (reader == NULL || reader->input_count != 1 || !tvi_match_pointwise(reader) ||
        edit->graph->values[tvi_match_output(reader)]->type.dtype != dtype) {
      return TRIVET_OK;
    }
    TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, reader->op->definition->name, product, 1,
                                       reader->attributes, reader->attribute_count, product));
    *out_y = tvi_match_output(reader);
    *out_root = id;
  }
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  int64_t dims[4];
  if (!tvi_node_is(node, "std.ConvTranspose")) return TRIVET_OK;
  const char* reason = check(edit->graph, node, dims);
  if (reason != NULL) {
    tvi_edit_decline(edit, "no product per pixel: %s", reason);
    return TRIVET_OK;
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  const tvi_node_id_t at = edit->at;
  tvi_value_id_t y, product, result;
  TRIVET_RETURN_IF_ERROR(multiply(edit, node, dims, &product));
  TRIVET_RETURN_IF_ERROR(take_followers(edit, tvi_match_output(node), &product, &y, &edit->at));
  const trivet_type_t type = edit->graph->values[y]->type;
  trivet_status_t status = spread(edit, product, dims, &type, &result);
  if (status == NULL && tvi_edit_fits(edit, y, result)) {
    status = tvi_edit_replace(edit, y, result, "made it a product per pixel");
  }
  edit->at = at;
  return status;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(simplify_deconvolutions, "simplify-deconvolutions",
                "turns transposed convolutions without overlap into products per pixel", run);
