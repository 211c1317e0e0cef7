// SPDX-License-Identifier: Apache-2.0
//
// fold-pad: constant padding of the spatial axes goes into the pads of the convolution or pool that
// reads it: zeros for convolutions and for averages that count them, minus infinity for maxima.
//
//   %p = std.Pad(%x, [0, 0, 1, 1, 0, 0, 1, 1])
//   %y = std.Conv(%p, %w)                   ->   %y = std.Conv(%x, %w) { pads = [1, 1, 1, 1] }
#include <math.h>
#include <string.h>

#include "core/base/string_view.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"

typedef struct padding_s {
  uint32_t rank;
  int64_t before[TRIVET_MAX_RANK];  // per axis of the data
  int64_t after[TRIVET_MAX_RANK];
  double value;
} padding_t;

// NULL: read. Otherwise why not.
static const char* read_padding(const trivet_graph_t* graph, const tvi_node_t* pad,
                                padding_t* out) {
  int64_t pads[2 * TRIVET_MAX_RANK], axes[TRIVET_MAX_RANK];
  uint32_t count, axis_count;
  padding_t p = {.rank = graph->values[pad->inputs[0]]->type.rank};
  if (!tvi_sv_equal_cstr(tvi_node_attr_string(pad, "mode"), "constant")) {
    return "the padding is not constant";
  }
  if (!tvi_match_ints(graph, pad->inputs[1], pads, 2 * TRIVET_MAX_RANK, &count)) {
    return "the amounts are not known";
  }
  tvi_value_id_t given = tvi_match_operand(pad, 3), value = tvi_match_operand(pad, 2);
  if (given != 0) {
    if (!tvi_match_ints(graph, given, axes, TRIVET_MAX_RANK, &axis_count)) {
      return "the axes are not known";
    }
  } else {
    axis_count = p.rank;
    for (uint32_t i = 0; i < p.rank; ++i) axes[i] = i;
  }
  if (count != 2 * axis_count) return "the amounts do not fit the axes";
  for (uint32_t i = 0; i < axis_count; ++i) {
    uint32_t axis;
    if (!tvi_match_axis(axes[i], p.rank, &axis)) return "an axis is out of range";
    p.before[axis] = pads[i];
    p.after[axis] = pads[axis_count + i];
    if (pads[i] < 0 || pads[axis_count + i] < 0) return "it cuts instead of padding";
    if (axis < 2 && (pads[i] != 0 || pads[axis_count + i] != 0)) {
      return "batch or channels are padded";
    }
  }
  if (value != 0 && !tvi_match_splat(graph, value, &p.value)) return "the value is not known";
  *out = p;
  return NULL;
}

// May |node| take |padding|? |counts_zeros|: an average must then count them.
static const char* check_reader(const trivet_graph_t* graph, const tvi_node_t* node,
                                const padding_t* padding, bool* counts_zeros) {
  trivet_string_view_t mode = tvi_node_attr_string(node, "auto_pad");
  uint64_t pad_count, kernel_count;
  const int64_t* pads = tvi_node_attr_i64s(node, "pads", &pad_count);
  const int64_t* kernel = tvi_node_attr_i64s(node, "kernel_shape", &kernel_count);
  *counts_zeros = false;
  if (mode.size != 0 && !tvi_sv_equal_cstr(mode, "NOTSET") && !tvi_sv_equal_cstr(mode, "VALID")) {
    return "the node pads by itself";
  }
  (void)graph;
  bool is_max = tvi_node_is(node, "std.MaxPool");
  if (is_max ? padding->value != -INFINITY : padding->value != 0) {
    return is_max ? "a maximum is padded with minus infinity only" : "the padding is not 0";
  }
  if (tvi_node_is(node, "std.Conv")) return NULL;
  if (tvi_node_attr_i64(node, "ceil_mode", 0) != 0) return "the pool rounds its extents up";
  if (node->output_count > 1 && node->outputs[1] != 0) return "positions are asked for";
  if (kernel_count != padding->rank - 2) return "the window is of another rank";
  bool own = false;
  for (uint64_t i = 0; i < pad_count; ++i) own = own || pads[i] != 0;
  for (uint64_t i = 0; i < kernel_count; ++i) {
    int64_t least =
        kernel[i] - (own ? pads[i] > pads[i + kernel_count] ? pads[i] : pads[i + kernel_count] : 0);
    if (padding->before[i + 2] >= least || padding->after[i + 2] >= least) {
      return "windows would lie in the padding alone";
    }
  }
  if (is_max) return NULL;
  *counts_zeros = tvi_node_attr_i64(node, "count_include_pad", 0) == 0;
  return *counts_zeros && own ? "the average counts some zeros and others not" : NULL;
}

static trivet_status_t rebuild(tvi_edit_t* edit, const tvi_node_t* node, const tvi_node_t* pad,
                               const padding_t* padding, bool counts_zeros,
                               tvi_value_id_t* out_value) {
  trivet_attribute_t* attributes;
  tvi_value_id_t* inputs;
  tvi_arena_t* scratch = tvi_pass_scratch(edit->context);
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(scratch, node->attribute_count + 2u, sizeof(*attributes), &attributes));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(scratch, node->input_count + 1u, sizeof(*inputs), &inputs));
  uint32_t count = 0, spatial = padding->rank - 2;
  uint64_t own_count;
  const int64_t* own = tvi_node_attr_i64s(node, "pads", &own_count);
  int64_t pads[2 * TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < spatial; ++i) {
    bool has_own = own_count == 2 * spatial;
    pads[i] = padding->before[i + 2] + (has_own ? own[i] : 0);
    pads[i + spatial] = padding->after[i + 2] + (has_own ? own[i + spatial] : 0);
  }
  for (uint32_t i = 0; i < node->attribute_count; ++i) {
    const char* name = node->attributes[i].name;
    if (strcmp(name, "pads") == 0 || strcmp(name, "auto_pad") == 0 ||
        (counts_zeros && strcmp(name, "count_include_pad") == 0)) {
      continue;
    }
    attributes[count++] = node->attributes[i];
  }
  const int64_t one = 1;
  attributes[count++] = tvi_edit_i64s("pads", pads, 2 * (uint64_t)spatial);
  if (counts_zeros) attributes[count++] = tvi_edit_i64("count_include_pad", &one);
  memcpy(inputs, node->inputs, node->input_count * sizeof(*inputs));
  inputs[0] = pad->inputs[0];
  return tvi_edit_op(edit, node->op->definition->name, inputs, node->input_count, attributes, count,
                     out_value);
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  if (!tvi_node_is(node, "std.Conv") && !tvi_node_is(node, "std.MaxPool") &&
      !tvi_node_is(node, "std.AveragePool")) {
    return TRIVET_OK;
  }
  const tvi_node_t* pad = tvi_match_node(graph, node->inputs[0], "std.Pad");
  if (pad == NULL || graph->values[node->inputs[0]]->type.rank < 3) return TRIVET_OK;
  padding_t padding;
  bool counts_zeros = false;
  const char* reason = read_padding(graph, pad, &padding);
  if (reason == NULL) reason = check_reader(graph, node, &padding, &counts_zeros);
  if (reason != NULL) {
    tvi_edit_decline(edit, "the padding before it stays: %s", reason);
    return TRIVET_OK;
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  tvi_value_id_t y = tvi_match_output(node), result;
  TRIVET_RETURN_IF_ERROR(rebuild(edit, node, pad, &padding, counts_zeros, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "took the padding before it");
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(fold_pad, "fold-pad", "moves padding into the windows that read it", run);
