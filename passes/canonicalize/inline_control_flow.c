// SPDX-License-Identifier: Apache-2.0
//
// inline-control-flow: an If whose condition is known becomes the branch that is taken, a Call
// becomes its body, and a Loop or Scan of a few known rounds becomes that many copies of its body.
//
//   const %c: bool[] = [true]
//   %y = core.If(%c) { then_branch = graph { %1 = std.Exp(%x) .. }, else_branch = .. }
//                                                                      ->   %y = std.Exp(%x)
#include <string.h>

#include "core/base/dtype.h"
#include "core/graph/graph_clone.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"

#define MAX_ROUNDS 8
#define MAX_NODES 512

static bool known_number(const trivet_graph_t* graph, tvi_value_id_t value, int64_t* out_number) {
  uint32_t count;
  return tvi_match_ints(graph, value, out_number, 1, &count) && count == 1;
}

static trivet_graph_t* subgraph(const tvi_node_t* node, const char* attribute) {
  const trivet_attribute_t* found = tvi_node_attribute(node, attribute);
  return found != NULL ? node->subgraphs[*(const uint32_t*)found->data] : NULL;
}

// Puts |values| in the place of the node's outputs; types may have become more exact.
static trivet_status_t replace_outputs(tvi_edit_t* edit, const tvi_node_t* node,
                                       const tvi_value_id_t* values) {
  trivet_graph_t* graph = edit->graph;
  bool same = true;
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (node->outputs[i] == 0) continue;
    same = same &&
           tvi_type_equal(&graph->values[node->outputs[i]]->type, &graph->values[values[i]]->type);
    TRIVET_RETURN_IF_ERROR(tvi_graph_replace_value(graph, node->outputs[i], values[i]));
  }
  TRIVET_RETURN_IF_ERROR(tvi_edit_sweep(edit, edit->at, 0));
  return same ? TRIVET_OK : tvi_graph_infer(graph);
}

static trivet_status_t new_map(tvi_edit_t* edit, const trivet_graph_t* body,
                               tvi_value_id_t** out_map) {
  return tvi_arena_alloc_array_zeroed(tvi_pass_scratch(edit->context), body->value_count + 1u,
                                      sizeof(**out_map), out_map);
}

// The body once, with the node's inputs as its own (none for an If).
static trivet_status_t inline_body(tvi_edit_t* edit, const tvi_node_t* node,
                                   const trivet_graph_t* body, const char* what) {
  tvi_value_id_t *map, *values;
  for (uint32_t i = 0; i < node->output_count; ++i) {
    const trivet_type_t* inner = &body->values[body->outputs[i].value]->type;
    if (node->outputs[i] == 0) continue;
    const trivet_type_t* outer = &edit->graph->values[node->outputs[i]]->type;
    if (inner->rank != outer->rank || inner->dtype != outer->dtype) {
      tvi_edit_decline(edit, "output %u has another rank than the branch that is taken gives", i);
      return TRIVET_OK;
    }
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(new_map(edit, body, &map));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      tvi_pass_scratch(edit->context), node->output_count + 1u, sizeof(*values), &values));
  for (uint32_t i = 0; i < body->input_count; ++i) {
    map[body->inputs[i].value] = tvi_match_operand(node, i);
  }
  tvi_edit_change(edit, "%s", what);
  TRIVET_RETURN_IF_ERROR(tvi_graph_clone_body(edit->graph, edit->at, body, true,
                                              tvi_pass_scratch(edit->context), map));
  for (uint32_t i = 0; i < node->output_count; ++i) values[i] = map[body->outputs[i].value];
  return replace_outputs(edit, node, values);
}

static trivet_status_t visit_if(tvi_edit_t* edit, const tvi_node_t* node) {
  int64_t condition;
  if (!known_number(edit->graph, node->inputs[0], &condition)) return TRIVET_OK;
  return inline_body(edit, node, subgraph(node, condition != 0 ? "then_branch" : "else_branch"),
                     condition != 0 ? "its condition is true" : "its condition is false");
}

// ---------------------------------------------------------------------------------------------
// Loop
// ---------------------------------------------------------------------------------------------

static bool known_rounds(const trivet_graph_t* graph, const tvi_node_t* node,
                         const trivet_graph_t* body, int64_t* out_rounds) {
  tvi_value_id_t limit = tvi_match_operand(node, 0), start = tvi_match_operand(node, 1);
  tvi_value_id_t next = body->outputs[0].value;
  int64_t number;
  if (!known_number(graph, limit, out_rounds)) return false;
  if (start != 0 && (!known_number(graph, start, &number) || number == 0)) return false;
  if (*out_rounds < 0) *out_rounds = 0;
  return next == body->inputs[1].value || (known_number(body, next, &number) && number != 0);
}

static uint64_t count_nodes(const trivet_graph_t* graph) {
  uint64_t count = 0;
  TVI_GRAPH_FOR_EACH_NODE(graph, id)++ count;
  return count;
}

// The counter and the condition, in the shape that the body gives them.
static trivet_status_t body_number(tvi_edit_t* edit, const trivet_graph_t* body, uint32_t input,
                                   int64_t number, tvi_value_id_t* out_value) {
  const trivet_type_t* type = &body->values[body->inputs[input].value]->type;
  const trivet_dim_t dim = tvi_dim_constant(edit->graph->dims, number);
  return tvi_graph_add_dims_constant(edit->graph, type, &dim, out_value);
}

// What the rounds give, one after the other along a new axis; |backwards|: the last one first.
static trivet_status_t stack_rounds(tvi_edit_t* edit, const tvi_value_id_t* values, uint32_t rounds,
                                    int64_t axis, bool backwards, tvi_value_id_t* out_value) {
  tvi_value_id_t rows[MAX_ROUNDS], axes;
  TRIVET_RETURN_IF_ERROR(tvi_edit_ints(edit, &axis, 1, &axes));
  for (uint32_t i = 0; i < rounds; ++i) {
    TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Unsqueeze",
                                        values[backwards ? rounds - 1 - i : i], axes, &rows[i]));
  }
  const trivet_attribute_t attribute = tvi_edit_i64("axis", &axis);
  return tvi_edit_op(edit, "std.Concat", rows, rounds, &attribute, 1, out_value);
}

static trivet_status_t unroll(tvi_edit_t* edit, const tvi_node_t* node, const trivet_graph_t* body,
                              uint32_t rounds) {
  uint32_t carried = node->input_count > 2 ? node->input_count - 2 : 0;
  uint32_t stacked = node->output_count - carried;
  tvi_arena_t* scratch = tvi_pass_scratch(edit->context);
  tvi_value_id_t *values, *rows;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(scratch, node->output_count + 1u, sizeof(*values), &values));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(scratch, (size_t)stacked * MAX_ROUNDS + 1u,
                                                      sizeof(*rows), &rows));
  for (uint32_t i = 0; i < carried; ++i) values[i] = node->inputs[2 + i];
  for (uint32_t round = 0; round < rounds; ++round) {
    tvi_value_id_t* map;
    TRIVET_RETURN_IF_ERROR(new_map(edit, body, &map));
    TRIVET_RETURN_IF_ERROR(body_number(edit, body, 0, round, &map[body->inputs[0].value]));
    TRIVET_RETURN_IF_ERROR(body_number(edit, body, 1, 1, &map[body->inputs[1].value]));
    for (uint32_t i = 0; i < carried; ++i) map[body->inputs[2 + i].value] = values[i];
    TRIVET_RETURN_IF_ERROR(
        tvi_graph_clone_body(edit->graph, edit->at, body, round == 0, scratch, map));
    for (uint32_t i = 0; i < carried; ++i) values[i] = map[body->outputs[1 + i].value];
    for (uint32_t i = 0; i < stacked; ++i) {
      rows[i * MAX_ROUNDS + round] = map[body->outputs[1 + carried + i].value];
    }
  }
  for (uint32_t i = 0; i < stacked; ++i) {
    if (node->outputs[carried + i] == 0) continue;
    TRIVET_RETURN_IF_ERROR(
        stack_rounds(edit, rows + i * MAX_ROUNDS, rounds, 0, false, &values[carried + i]));
  }
  return replace_outputs(edit, node, values);
}

// Else the reason is reported.
static bool few_enough(const tvi_edit_t* edit, const trivet_graph_t* body, int64_t rounds) {
  uint64_t nodes = count_nodes(body);
  if (rounds <= MAX_ROUNDS && (uint64_t)rounds * nodes <= MAX_NODES) return true;
  tvi_edit_decline(edit, "%lld rounds of %llu nodes are too many to write out", (long long)rounds,
                   (unsigned long long)nodes);
  return false;
}

static trivet_status_t visit_loop(tvi_edit_t* edit, const tvi_node_t* node) {
  const trivet_graph_t* body = subgraph(node, "body");
  int64_t rounds;
  uint32_t carried = node->input_count > 2 ? node->input_count - 2 : 0;
  if (!known_rounds(edit->graph, node, body, &rounds) || !few_enough(edit, body, rounds)) {
    return TRIVET_OK;
  }
  if (rounds == 0 && node->output_count > carried) {
    tvi_edit_decline(edit, "it makes no round, and its results are empty");
    return TRIVET_OK;
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  tvi_edit_change(edit, "written out: %lld rounds", (long long)rounds);
  return unroll(edit, node, body, (uint32_t)rounds);
}

// ---------------------------------------------------------------------------------------------
// Scan
// ---------------------------------------------------------------------------------------------

static bool backwards(const tvi_node_t* node, const char* attribute, uint32_t index) {
  uint64_t count;
  const int64_t* directions = tvi_node_attr_i64s(node, attribute, &count);
  return index < count && directions[index] != 0;
}

// One element of a scan input along its axis; the axis goes.
static trivet_status_t take_slice(tvi_edit_t* edit, const tvi_node_t* node, uint32_t index,
                                  tvi_value_id_t value, int64_t place, tvi_value_id_t* out_value) {
  uint32_t axis = 0;
  tvi_scan_axis(node, "scan_input_axes", index, edit->graph->values[value]->type.rank, &axis);
  const int64_t bounds[2] = {place, place + 1}, along = axis;
  tvi_value_id_t operands[4] = {value, 0, 0, 0}, slice;
  TRIVET_RETURN_IF_ERROR(tvi_edit_ints(edit, &bounds[0], 1, &operands[1]));
  TRIVET_RETURN_IF_ERROR(tvi_edit_ints(edit, &bounds[1], 1, &operands[2]));
  TRIVET_RETURN_IF_ERROR(tvi_edit_ints(edit, &along, 1, &operands[3]));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Slice", operands, 4, NULL, 0, &slice));
  return tvi_edit_op2(edit, "std.Squeeze", slice, operands[3], out_value);
}

static trivet_status_t unroll_scan(tvi_edit_t* edit, const tvi_node_t* node,
                                   const trivet_graph_t* body, uint32_t states, uint32_t rounds) {
  uint32_t stacked = node->output_count - states, scanned = node->input_count - states;
  tvi_arena_t* scratch = tvi_pass_scratch(edit->context);
  tvi_value_id_t *values, *rows;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(scratch, node->output_count + 1u, sizeof(*values), &values));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(scratch, (size_t)stacked * MAX_ROUNDS + 1u,
                                                      sizeof(*rows), &rows));
  for (uint32_t i = 0; i < states; ++i) values[i] = node->inputs[i];
  for (uint32_t round = 0; round < rounds; ++round) {
    tvi_value_id_t* map;
    TRIVET_RETURN_IF_ERROR(new_map(edit, body, &map));
    for (uint32_t i = 0; i < states; ++i) map[body->inputs[i].value] = values[i];
    for (uint32_t i = 0; i < scanned; ++i) {
      uint32_t place = backwards(node, "scan_input_directions", i) ? rounds - 1 - round : round;
      TRIVET_RETURN_IF_ERROR(take_slice(edit, node, i, node->inputs[states + i], place,
                                        &map[body->inputs[states + i].value]));
    }
    TRIVET_RETURN_IF_ERROR(
        tvi_graph_clone_body(edit->graph, edit->at, body, round == 0, scratch, map));
    for (uint32_t i = 0; i < states; ++i) values[i] = map[body->outputs[i].value];
    for (uint32_t i = 0; i < stacked; ++i) {
      rows[i * MAX_ROUNDS + round] = map[body->outputs[states + i].value];
    }
  }
  for (uint32_t i = 0; i < stacked; ++i) {
    uint32_t axis = 0, rank = body->values[body->outputs[states + i].value]->type.rank + 1;
    if (node->outputs[states + i] == 0) continue;
    tvi_scan_axis(node, "scan_output_axes", i, rank, &axis);
    TRIVET_RETURN_IF_ERROR(stack_rounds(edit, rows + i * MAX_ROUNDS, rounds, axis,
                                        backwards(node, "scan_output_directions", i),
                                        &values[states + i]));
  }
  return replace_outputs(edit, node, values);
}

static trivet_status_t visit_scan(tvi_edit_t* edit, const tvi_node_t* node) {
  const trivet_graph_t* body = subgraph(node, "body");
  uint32_t states = node->input_count - (uint32_t)tvi_node_attr_i64(node, "num_scan_inputs", 0);
  const trivet_type_t* type = &edit->graph->values[node->inputs[states]]->type;
  uint32_t axis = 0;
  int64_t rounds;
  if (!tvi_scan_axis(node, "scan_input_axes", 0, type->rank, &axis) ||
      !tvi_dim_is_constant(type->dims[axis], &rounds)) {
    tvi_edit_decline(edit, "its length is not known when the plan is built");
    return TRIVET_OK;
  }
  if (rounds == 0) {
    tvi_edit_decline(edit, "it makes no round");
    return TRIVET_OK;
  }
  if (!few_enough(edit, body, rounds) || !tvi_edit_may(edit)) return TRIVET_OK;
  tvi_edit_change(edit, "written out: %lld rounds", (long long)rounds);
  return unroll_scan(edit, node, body, states, (uint32_t)rounds);
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  if (node->subgraph_count == 0) return TRIVET_OK;
  if (tvi_node_is(node, "core.If")) return visit_if(edit, node);
  if (tvi_node_is(node, "core.Loop")) return visit_loop(edit, node);
  if (tvi_node_is(node, "core.Scan")) return visit_scan(edit, node);
  if (tvi_node_is(node, "core.Call")) {
    return inline_body(edit, node, subgraph(node, "body"), "its body is here now");
  }
  return TRIVET_OK;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(inline_control_flow, "inline-control-flow",
                "removes control flow that is decided at build time", run);
