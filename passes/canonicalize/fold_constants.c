// SPDX-License-Identifier: Apache-2.0
//
// fold-constants: a node whose operands are all constants becomes the constants that it computes.
// Results that are much larger than the operands stay computed: a plan should not store a million
// copies of a number.
//
//   const %a: f32[2] = [1.0, 2.0]
//   const %b: f32[2] = [3.0, 4.0]        derived %y: f32[2] = [4.0, 6.0]
//   %y = std.Add(%a, %b) : f32[2]   ->
#include <string.h>

#include "passes/support/bulk.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"

// Results of at most this many bytes are always stored.
#define SMALL_BYTES 16384u
#define MAX_OPERANDS 4

static bool only_repeats(const tvi_node_t* node) {
  static const char* const names[] = {"std.Expand", "std.Tile",   "std.ConstantOfShape",
                                      "std.Range",  "std.OneHot", "std.EyeLike",
                                      "std.Gather"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); ++i) {
    if (tvi_node_is(node, names[i])) return true;
  }
  return false;
}

static bool is_foldable(const trivet_graph_t* graph, const tvi_node_t* node, uint64_t* out_bytes) {
  if (node->subgraph_count != 0 || node->op->parsed == NULL || !tvi_node_is_pure(node) ||
      (node->op->definition->flags & TRIVET_OPERATOR_NONDETERMINISTIC) != 0) {
    return false;
  }
  uint64_t total = 0;
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] == 0) continue;
    if (!tvi_match_constant(graph, node->inputs[i])) return false;
    total += graph->values[node->inputs[i]]->constant->size;
  }
  *out_bytes = total;
  return true;
}

// Whether |user|, which reads |value|, has its shape from another operand.
static bool is_broadcast_to(const trivet_graph_t* graph, const tvi_node_t* user,
                            tvi_value_id_t value) {
  if (user->subgraph_count != 0 || !tvi_match_pointwise(user)) return false;
  const trivet_type_t* type = &graph->values[tvi_match_output(user)]->type;
  for (uint32_t i = 0; i < user->input_count; ++i) {
    tvi_value_id_t x = user->inputs[i];
    if (x != 0 && x != value && tvi_type_same_shape(&graph->values[x]->type, type)) return true;
  }
  return false;
}

// One number in many places, which no constant should hold, is read as one number where the reader
// repeats it anyway.
//
//   %t = std.Equal(%ones_column, %ones_row) : bool[1024, 1024]     %t = std.Equal(1, 1) : bool[]
//   %y = std.And(%x, %t)                                      ->   %y = std.And(%x, %t)
static trivet_status_t shrink(tvi_edit_t* edit, const tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  double numbers[MAX_OPERANDS];
  tvi_value_id_t operands[MAX_OPERANDS], small = 0, large = tvi_match_output(node);
  if (!tvi_match_pointwise(node) || node->input_count > MAX_OPERANDS) return TRIVET_OK;
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (!tvi_match_splat(graph, node->inputs[i], &numbers[i])) return TRIVET_OK;
  }
  for (uint32_t u = graph->values[large]->use_count; u-- > 0;) {
    tvi_use_t use = graph->values[large]->uses[u];
    if ((use.operand & TVI_USE_CAPTURE) != 0 ||
        !is_broadcast_to(graph, graph->nodes[use.node], large) || !tvi_edit_may(edit)) {
      continue;
    }
    for (uint32_t i = 0; i < node->input_count && small == 0; ++i) {
      uint32_t dtype = graph->values[node->inputs[i]]->type.dtype;
      TRIVET_RETURN_IF_ERROR(tvi_edit_scalar(edit, dtype, numbers[i], &operands[i]));
    }
    if (small == 0) {
      TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, node->op->definition->name, operands,
                                         node->input_count, node->attributes, node->attribute_count,
                                         &small));
    }
    TRIVET_RETURN_IF_ERROR(tvi_graph_set_operand(graph, use.node, use.operand, small));
    tvi_edit_change(edit, "%s", "read as one number, which it is everywhere");
  }
  return small != 0 ? tvi_edit_sweep(edit, edit->at, 0) : TRIVET_OK;
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  uint64_t from, to = 0;
  if (!is_foldable(graph, node, &from)) return TRIVET_OK;
  for (uint32_t i = 0; i < node->output_count; ++i) {
    uint64_t bytes;
    if (node->outputs[i] == 0) continue;
    if (!tvi_value_static_size(graph->values[node->outputs[i]], &bytes)) return TRIVET_OK;
    to += bytes;
  }
  if (to > SMALL_BYTES && to > from * (only_repeats(node) ? 1 : 4)) {
    const uint32_t before = edit->changes;
    TRIVET_RETURN_IF_ERROR(shrink(edit, node));
    if (edit->changes == before) {
      tvi_edit_decline(edit, "the result has %llu bytes, its operands have %llu",
                       (unsigned long long)to, (unsigned long long)from);
    }
    return TRIVET_OK;
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  tvi_value_id_t* values;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      tvi_pass_scratch(edit->context), node->output_count + 1u, sizeof(*values), &values));
  trivet_status_t status = tvi_graph_evaluate_node(graph, edit->at, values);
  if (status != NULL) {
    if (trivet_status_code(status) == TRIVET_STATUS_OUT_OF_MEMORY) return status;
    // What cannot be computed now fails when it is run, if it is run at all.
    tvi_edit_decline(edit, "evaluation failed: %s", trivet_status_message(status));
    trivet_status_free(status);
    return TRIVET_OK;
  }
  tvi_edit_change(edit, "folded to a constant of %llu bytes", (unsigned long long)to);
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (node->outputs[i] == 0) continue;
    TRIVET_RETURN_IF_ERROR(tvi_graph_replace_value(graph, node->outputs[i], values[i]));
  }
  return tvi_edit_sweep(edit, edit->at, 0);
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  tvi_graph_evaluator_t* evaluator = &graph->root->evaluator;
  bool has_own = evaluator->evaluate != NULL;
  if (!has_own) *evaluator = tvi_bulk_evaluator();
  trivet_status_t status = tvi_edit_run(context, graph, visit, out_changed);
  if (!has_own) *evaluator = (tvi_graph_evaluator_t){NULL, NULL};
  return status;
}

TVI_PASS_DEFINE(fold_constants, "fold-constants", "computes nodes over constants", run);
