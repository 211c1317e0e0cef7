// SPDX-License-Identifier: Apache-2.0
//
// lower-to-f16, lower-to-bf16: what the network computes in f32 between its inputs and its outputs
// is computed on a narrower type; inputs, outputs and values that depend on integers alone (masks,
// positions) keep theirs. Sums inside an operator stay f32, as its meaning says. Numbers beyond the
// range of f16 are clamped to it, so that a mask of -3.4e38 does not become infinity. Rules of the
// caller (core/pass/precision.h) say which nodes go elsewhere.
//
//   %y = std.MatMul(%x, %w)      ->   %a = std.Cast(%x) { to = f16 }   %b = std.Cast(%w) ...
//   %z = std.Relu(%y)                 %z = std.Cast(std.Relu(std.MatMul(%a, %b))) { to = f32 }
#include <math.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/dtype.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"

#define F16_MAX 65504.0
#define MAX_OPERANDS 64
// A constant of so many elements is a weight, and what reads it is worth lowering.
#define WEIGHT_ELEMENTS 1024

typedef struct lower_s {
  tvi_edit_t edit;
  uint32_t dtype;
  uint32_t value_count;    // of the arrays: values that were there before
  tvi_value_id_t* narrow;  // by value: the same in |dtype|; 0: not made
  tvi_value_id_t* wide;    // by value: lowered, and cast back to f32
  bool* lowered;           // by value: its producer was replaced by one that gives |narrow|
} lower_t;

static bool is_f32(const trivet_graph_t* graph, tvi_value_id_t value) {
  return value != 0 && graph->values[value]->type.dtype == TRIVET_DTYPE_F32;
}

static trivet_status_t cast(lower_t* l, tvi_value_id_t x, uint32_t to, tvi_value_id_t* out) {
  trivet_attribute_t attribute = {"to", TRIVET_ATTR_DTYPE, 0, 1, &to};
  return tvi_edit_op(&l->edit, "std.Cast", &x, 1, &attribute, 1, out);
}

static bool within_range(const tvi_value_t* value) {
  trivet_tensor_t tensor;
  if (!tvi_value_tensor(value, &tensor)) return false;
  int64_t count = (int64_t)(tensor.size / sizeof(float));
  for (int64_t i = 0; i < count; ++i) {
    double number = tvi_dtype_read_f64(tensor.dtype, tensor.data, i);
    if (number > F16_MAX || number < -F16_MAX) return false;
  }
  return true;
}

// What |x| was before it was cast to f32; 0: it is no such cast.
static tvi_value_id_t cast_from(const trivet_graph_t* graph, tvi_value_id_t x) {
  const tvi_node_t* node = tvi_match_node(graph, x, "std.Cast");
  return node != NULL ? node->inputs[0] : 0;
}

// |x|, an f32 value, on the narrow type.
static trivet_status_t narrow(lower_t* l, tvi_value_id_t x, tvi_value_id_t* out) {
  trivet_graph_t* graph = l->edit.graph;
  const tvi_value_t* value = graph->values[x];
  *out = l->narrow[x];
  if (*out != 0) return TRIVET_OK;
  tvi_value_id_t from = cast_from(graph, x);
  uint32_t type = from != 0 ? graph->values[from]->type.dtype : TRIVET_DTYPE_F32;
  if (type == l->dtype) {
    *out = l->narrow[x] = from;
    return TRIVET_OK;
  }
  from = x;
  bool is_byte = type == TRIVET_DTYPE_U8 || type == TRIVET_DTYPE_I8 || type == TRIVET_DTYPE_BOOL;
  bool safe = value->is_input || is_byte || l->dtype != TRIVET_DTYPE_F16 ||
              (value->constant != NULL && within_range(value));
  if (!safe) {
    tvi_value_id_t operands[3] = {x, 0, 0};
    TRIVET_RETURN_IF_ERROR(tvi_edit_scalar(&l->edit, TRIVET_DTYPE_F32, -F16_MAX, &operands[1]));
    TRIVET_RETURN_IF_ERROR(tvi_edit_scalar(&l->edit, TRIVET_DTYPE_F32, F16_MAX, &operands[2]));
    TRIVET_RETURN_IF_ERROR(tvi_edit_op(&l->edit, "std.Clip", operands, 3, NULL, 0, &from));
  }
  TRIVET_RETURN_IF_ERROR(cast(l, from, l->dtype, out));
  l->narrow[x] = *out;
  return TRIVET_OK;
}

// A lowered value for those who want it in f32.
static trivet_status_t widen(lower_t* l, tvi_value_id_t x, tvi_value_id_t* out) {
  if (l->wide[x] == 0) {
    TRIVET_RETURN_IF_ERROR(cast(l, l->narrow[x], TRIVET_DTYPE_F32, &l->wide[x]));
  }
  *out = l->wide[x];
  return TRIVET_OK;
}

// Operators whose numbers are positions, counts or scales of other types.
static bool is_exact(const tvi_node_t* node) {
  static const char* const names[] = {"std.QuantizeLinear",
                                      "std.DequantizeLinear",
                                      "std.DynamicQuantizeLinear",
                                      "std.Range",
                                      "std.NonMaxSuppression",
                                      "std.GridSample",
                                      "std.RoiAlign",
                                      "std.AffineGrid",
                                      "std.CumSum",
                                      "std.RandomNormal",
                                      "std.RandomNormalLike",
                                      "std.RandomUniform",
                                      "std.Bernoulli",
                                      "std.RandomUniformLike",
                                      "std.ConstantOfShape",
                                      "std.DFT",
                                      "std.MelWeightMatrix",
                                      "std.HannWindow"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i) {
    if (tvi_node_is(node, names[i])) return true;
  }
  return false;
}

// An input, or one that came in another floating-point type or layout.
static bool is_given(const trivet_graph_t* graph, tvi_value_id_t x) {
  tvi_value_id_t from = cast_from(graph, x);
  if (from != 0 && !tvi_dtype_is_float(graph->values[from]->type.dtype)) return false;
  if (from != 0) x = from;
  const tvi_node_t* node = tvi_match_node(graph, x, "std.Transpose");
  return graph->values[node != NULL ? node->inputs[0] : x]->is_input;
}

static bool is_activation(const lower_t* l, tvi_value_id_t x) {
  const tvi_value_t* value = l->edit.graph->values[x];
  if (l->lowered[x] || is_given(l->edit.graph, x)) return true;
  trivet_tensor_t tensor;
  return value->constant != NULL && tvi_value_tensor(value, &tensor) &&
         tensor.size >= WEIGHT_ELEMENTS * sizeof(float);
}

// |is_rule|: the caller of the build wants it lowered, whatever it is.
static bool is_candidate(const lower_t* l, const tvi_node_t* node, bool is_rule) {
  const trivet_graph_t* graph = l->edit.graph;
  if (!tvi_node_is_pure(node) || node->subgraph_count != 0 || is_exact(node) ||
      node->input_count > MAX_OPERANDS) {
    return false;
  }
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] >= l->value_count) return false;
    if (is_f32(graph, node->inputs[i]) && (is_rule || is_activation(l, node->inputs[i])))
      return true;
  }
  return false;
}

// The node once more, its first |count| operands of f32 narrow. |out_node| 0: it does not take
// them.
static trivet_status_t rebuild(lower_t* l, const tvi_node_t* node, uint32_t count,
                               tvi_node_id_t* out_node) {
  trivet_graph_t* graph = l->edit.graph;
  tvi_value_id_t inputs[MAX_OPERANDS];
  uint8_t wanted[MAX_OPERANDS];
  *out_node = 0;
  if (node->output_count > MAX_OPERANDS) return TRIVET_OK;
  for (uint32_t i = 0; i < node->input_count; ++i) {
    inputs[i] = node->inputs[i];
    if (!is_f32(graph, inputs[i])) continue;
    if (i < count) {
      TRIVET_RETURN_IF_ERROR(narrow(l, inputs[i], &inputs[i]));
    } else if (l->lowered[inputs[i]]) {
      TRIVET_RETURN_IF_ERROR(widen(l, inputs[i], &inputs[i]));
    }
  }
  for (uint32_t i = 0; i < node->output_count; ++i) wanted[i] = node->outputs[i] != 0;
  const tvi_node_desc_t desc = {
      .op = node->op->definition->name,
      .version = node->op->definition->version,
      .inputs = inputs,
      .input_count = node->input_count,
      .attributes = node->attributes,
      .attribute_count = node->attribute_count,
      .output_count = node->output_count,
      .origins = node->origins,
      .origin_count = node->origin_count,
      .before = l->edit.at,
      .expansion_depth = node->expansion_depth,
      .output_wanted = wanted,
  };
  trivet_status_t status = tvi_graph_add_node(graph, &desc, out_node);
  if (trivet_status_code(status) == TRIVET_STATUS_OUT_OF_MEMORY) return status;
  if (status != NULL) *out_node = 0;
  trivet_status_free(status);
  return TRIVET_OK;
}

// Every result is what it was, or f32 become the narrow type.
static bool is_lowered_form(const lower_t* l, const tvi_node_t* node, tvi_node_id_t made) {
  const trivet_graph_t* graph = l->edit.graph;
  if (made == 0) return false;
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (node->outputs[i] == 0) continue;
    const trivet_type_t* before = &graph->values[node->outputs[i]]->type;
    const trivet_type_t* after = &graph->values[graph->nodes[made]->outputs[i]]->type;
    bool same = after->dtype == before->dtype && before->dtype != TRIVET_DTYPE_F32;
    bool lower = before->dtype == TRIVET_DTYPE_F32 && after->dtype == l->dtype;
    if ((!same && !lower) || !tvi_type_same_shape(before, after)) return false;
  }
  return true;
}

// Names and observation go from |before| to |after|.
static trivet_status_t inherit(lower_t* l, tvi_value_id_t before, tvi_value_id_t after) {
  trivet_graph_t* graph = l->edit.graph;
  tvi_value_t* from = graph->values[before];
  for (uint32_t i = 0; i < from->name_count; ++i) {
    TRIVET_RETURN_IF_ERROR(tvi_graph_name_value(graph, after, from->names[i]));
  }
  graph->values[after]->observed = from->observed;
  from->observed = false;
  return TRIVET_OK;
}

static trivet_status_t take(lower_t* l, const tvi_node_t* node, tvi_node_id_t made) {
  trivet_graph_t* graph = l->edit.graph;
  for (uint32_t i = 0; i < node->output_count; ++i) {
    tvi_value_id_t before = node->outputs[i];
    if (before == 0) continue;
    tvi_value_id_t after = graph->nodes[made]->outputs[i];
    if (!is_f32(graph, before)) {
      TRIVET_RETURN_IF_ERROR(tvi_graph_replace_value(graph, before, after));
      continue;
    }
    if (graph->values[before]->output_uses == 0) TRIVET_RETURN_IF_ERROR(inherit(l, before, after));
    l->narrow[before] = after;
    l->lowered[before] = true;
  }
  tvi_edit_change(&l->edit, "computed on %s", tvi_dtype_name(l->dtype));
  return TRIVET_OK;
}

// A node that stays as it is sees f32 values.
static trivet_status_t keep(lower_t* l, const tvi_node_t* node) {
  trivet_graph_t* graph = l->edit.graph;
  for (uint32_t i = 0; i < node->input_count; ++i) {
    tvi_value_id_t x = node->inputs[i];
    if (x == 0 || x >= l->value_count || !l->lowered[x]) continue;
    TRIVET_RETURN_IF_ERROR(widen(l, x, &x));
    TRIVET_RETURN_IF_ERROR(tvi_graph_set_operand(graph, l->edit.at, i, x));
  }
  return TRIVET_OK;
}

static bool has_f32(const trivet_graph_t* graph, const tvi_node_t* node) {
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (is_f32(graph, node->outputs[i])) return true;
  }
  return false;
}

static trivet_status_t visit(lower_t* l, const tvi_node_t* node) {
  trivet_graph_t* graph = l->edit.graph;
  bool is_rule;
  uint32_t wanted = tvi_pass_precision(l->edit.context, graph, l->edit.at, &is_rule);
  if (wanted != 0 && wanted != l->dtype) return keep(l, node);
  if (is_candidate(l, node, is_rule) && tvi_edit_may(&l->edit)) {
    // A cast of a lowered value to f32 is that value.
    if (tvi_node_is(node, "std.Cast") && is_f32(graph, node->outputs[0])) {
      tvi_value_id_t y = node->outputs[0];
      TRIVET_RETURN_IF_ERROR(narrow(l, node->inputs[0], &l->narrow[y]));
      l->lowered[y] = true;
      return TRIVET_OK;
    }
    // All operands; where an operator wants scales or positions in f32, the first.
    const uint32_t counts[2] = {node->input_count, 1};
    for (uint32_t i = 0; i < 2; ++i) {
      tvi_node_id_t made;
      TRIVET_RETURN_IF_ERROR(rebuild(l, node, counts[i], &made));
      if (is_lowered_form(l, node, made)) return take(l, node, made);
      if (made != 0) tvi_graph_remove_node(graph, made);
    }
    tvi_edit_decline(&l->edit, "stays f32: the operator does not take %s there",
                     tvi_dtype_name(l->dtype));
  }
  if (is_rule && !tvi_node_is(node, "std.Cast") && has_f32(graph, node)) {
    TRIVET_RETURN_IF_ERROR(tvi_pass_precision_missed(l->edit.context, graph, l->edit.at, l->dtype));
  }
  return keep(l, node);
}

// Outputs of the network keep their type.
static trivet_status_t widen_outputs(lower_t* l) {
  trivet_graph_t* graph = l->edit.graph;
  for (uint32_t i = 0; i < graph->output_count; ++i) {
    tvi_value_id_t before = graph->outputs[i].value, after;
    if (before >= l->value_count || !l->lowered[before]) continue;
    TRIVET_RETURN_IF_ERROR(widen(l, before, &after));
    TRIVET_RETURN_IF_ERROR(tvi_graph_replace_value(graph, before, after));
  }
  return TRIVET_OK;
}

static trivet_status_t lower(lower_t* l, uint32_t* out_changed) {
  trivet_graph_t* graph = l->edit.graph;
  tvi_node_id_t next, last = 0;
  for (tvi_node_id_t id = graph->first; id != 0; id = next) {
    next = graph->nodes[id]->next;
    l->edit.at = last = id;
    TRIVET_RETURN_IF_ERROR(visit(l, graph->nodes[id]));
  }
  // Everything lowered stands before the last node that was there, and so may the casts.
  if (last != 0) TRIVET_RETURN_IF_ERROR(widen_outputs(l));
  uint32_t removed = 0;
  TRIVET_RETURN_IF_ERROR(tvi_graph_remove_dead(graph, &removed));
  *out_changed = l->edit.changes != 0;
  return TRIVET_OK;
}

static trivet_status_t run(trivet_pass_context_t* context, trivet_graph_t* graph, uint32_t dtype,
                           uint32_t* out_changed) {
  lower_t l = {{context, graph, 0, 0}, dtype, graph->value_count, NULL, NULL, NULL};
  trivet_allocator_t allocator = graph->allocator;
  uint32_t count = l.value_count;
  trivet_status_t status = tvi_alloc_array_zeroed(allocator, count, sizeof(*l.narrow), &l.narrow);
  if (status == NULL) {
    status = tvi_alloc_array_zeroed(allocator, count, sizeof(*l.wide), &l.wide);
  }
  if (status == NULL) {
    status = tvi_alloc_array_zeroed(allocator, count, sizeof(*l.lowered), &l.lowered);
  }
  if (status == NULL) status = lower(&l, out_changed);
  tvi_free_array(allocator, l.lowered, count, sizeof(*l.lowered));
  tvi_free_array(allocator, l.wide, count, sizeof(*l.wide));
  tvi_free_array(allocator, l.narrow, count, sizeof(*l.narrow));
  return status;
}

static trivet_status_t run_f16(const trivet_pass_t* pass, trivet_pass_context_t* context,
                               trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return run(context, graph, TRIVET_DTYPE_F16, out_changed);
}
static trivet_status_t run_bf16(const trivet_pass_t* pass, trivet_pass_context_t* context,
                                trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return run(context, graph, TRIVET_DTYPE_BF16, out_changed);
}

TVI_PASS_DEFINE(lower_to_f16, "lower-to-f16", "computes on f16 what the network computes on f32",
                run_f16);
TVI_PASS_DEFINE(lower_to_bf16, "lower-to-bf16", "computes on bf16 what the network computes on f32",
                run_bf16);
