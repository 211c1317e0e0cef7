// SPDX-License-Identifier: Apache-2.0
//
// Other memory for the operands of kernels, for `trivet plugin check`. Kernels that may write over
// what they read: the same graph with copies around it, so that the operands of a kernel are nobody
// else's, once as it is planned and once with operands that are observed and so keep memory of
// their own; results must be the same. And graphs whose operands are views of other buffers.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/graph/graph_text.h"
#include "tools/trivet/check_trial.h"

#define ROUNDS 8

static trivet_status_t add_copy(trivet_graph_t* graph, tvi_value_id_t value, tvi_node_id_t before,
                                tvi_value_id_t* out_value) {
  tvi_node_id_t node = 0;
  tvi_node_desc_t copy = {
      .op = "check.Copy", .inputs = &value, .input_count = 1, .output_count = 1, .before = before};
  TRIVET_RETURN_IF_ERROR(tvi_graph_add_node(graph, &copy, &node));
  *out_value = tvi_graph_node(graph, node)->outputs[0];
  return TRIVET_OK;
}

// |copy| in all places of |value| but the node that makes the copy, which lies before |first|.
static trivet_status_t replace_uses(trivet_graph_t* graph, tvi_value_id_t value,
                                    tvi_value_id_t copy, tvi_node_id_t first) {
  for (tvi_node_id_t id = first; id; id = tvi_graph_node(graph, id)->next) {
    const tvi_node_t* node = tvi_graph_node(graph, id);
    for (uint32_t k = 0; k < node->input_count; ++k) {
      if (node->inputs[k] == value)
        TRIVET_RETURN_IF_ERROR(tvi_graph_set_operand(graph, id, k, copy));
    }
  }
  return TRIVET_OK;
}

static trivet_status_t parse(const check_trial_t* t, trivet_graph_t** out_graph) {
  trivet_string_view_t text = {t->text, strlen(t->text)};
  return tvi_graph_parse(t->check->registry, text, trivet_allocator_system(), out_graph);
}

// The graph with a copy of each input and each output, as text. |apart|: the copies of inputs are
// observed.
static trivet_status_t surround(const check_trial_t* t, bool apart, tvi_string_builder_t* out) {
  trivet_graph_t* graph = NULL;
  trivet_status_t status = parse(t, &graph);
  for (uint32_t i = 0; !status && i < graph->input_count; ++i) {
    tvi_value_id_t input = graph->inputs[i].value, copy = 0;
    tvi_node_id_t first = graph->first;
    status = add_copy(graph, input, first, &copy);
    if (!status) status = replace_uses(graph, input, copy, first);
    if (!status) tvi_graph_value(graph, copy)->observed = apart;
  }
  for (uint32_t i = 0; !status && i < graph->output_count; ++i) {
    tvi_value_id_t copy = 0;
    status = add_copy(graph, graph->outputs[i].value, 0, &copy);
    if (!status) graph->outputs[i].value = copy;
  }
  if (!status) status = tvi_graph_print(graph, TVI_GRAPH_TEXT_CONSTANTS, out);
  tvi_graph_destroy(graph);
  return status;
}

static trivet_status_t add_transpose(trivet_graph_t* graph, tvi_value_id_t value,
                                     tvi_node_id_t before, tvi_value_id_t* out_value) {
  uint32_t rank = tvi_graph_value(graph, value)->type.rank;
  int64_t perm[TRIVET_MAX_RANK];
  for (uint32_t d = 0; d < rank; ++d) perm[d] = d + 2 < rank ? d : 2 * rank - 3 - d;
  tvi_node_id_t node = 0;
  trivet_attribute_t attribute = {"perm", TRIVET_ATTR_I64, TRIVET_ATTR_LIST, rank, perm};
  tvi_node_desc_t desc = {.op = "std.Transpose",
                          .inputs = &value,
                          .input_count = 1,
                          .attributes = &attribute,
                          .attribute_count = 1,
                          .output_count = 1,
                          .before = before};
  TRIVET_RETURN_IF_ERROR(tvi_graph_add_node(graph, &desc, &node));
  *out_value = tvi_graph_node(graph, node)->outputs[0];
  return TRIVET_OK;
}

// Behind |value|: it and a copy of it, one after the other along the last axis.
static trivet_status_t add_concat(trivet_graph_t* graph, tvi_value_id_t value,
                                  tvi_value_id_t* out_value) {
  int64_t axis = (int64_t)tvi_graph_value(graph, value)->type.rank - 1;
  tvi_value_id_t parts[2] = {value, 0};
  tvi_node_id_t node = 0;
  trivet_attribute_t attribute = {"axis", TRIVET_ATTR_I64, 0, 1, &axis};
  TRIVET_RETURN_IF_ERROR(add_copy(graph, value, 0, &parts[1]));
  tvi_node_desc_t desc = {.op = "std.Concat",
                          .inputs = parts,
                          .input_count = 2,
                          .attributes = &attribute,
                          .attribute_count = 1,
                          .output_count = 1};
  TRIVET_RETURN_IF_ERROR(tvi_graph_add_node(graph, &desc, &node));
  *out_value = tvi_graph_node(graph, node)->outputs[0];
  return TRIVET_OK;
}

trivet_status_t check_write_views(const check_trial_t* t, tvi_string_builder_t* out) {
  trivet_graph_t* graph = NULL;
  trivet_status_t status = parse(t, &graph);
  for (uint32_t i = 0; !status && i < graph->input_count; ++i) {
    tvi_value_id_t input = graph->inputs[i].value, turned = 0, copy = 0, view = 0;
    tvi_node_id_t first = graph->first;
    if (tvi_graph_value(graph, input)->type.rank < 2) continue;
    // A copy between the two, or they would cancel each other.
    status = add_transpose(graph, input, first, &turned);
    if (!status) status = add_copy(graph, turned, first, &copy);
    if (!status) status = add_transpose(graph, copy, first, &view);
    if (!status) status = replace_uses(graph, input, view, first);
  }
  for (uint32_t i = 0; !status && i < graph->output_count; ++i) {
    if (tvi_graph_value(graph, graph->outputs[i].value)->type.rank)
      status = add_concat(graph, graph->outputs[i].value, &graph->outputs[i].value);
  }
  if (!status) status = tvi_graph_print(graph, TVI_GRAPH_TEXT_CONSTANTS, out);
  tvi_graph_destroy(graph);
  return status;
}

// Whether a step of the kernel gives its output the memory of an operand.
static bool shares(const check_trial_t* t, const tvi_plan_t* plan) {
  const tvi_plan_program_t* program = &plan->programs[0];
  for (uint32_t s = 0; s < program->blocks[0].step_count; ++s) {
    const tvi_plan_step_t* step = &program->blocks[0].steps[s];
    if (!step->alternative_count || !check_is_kernel(t, &step->alternatives[0])) continue;
    const tvi_plan_alternative_t* a = &step->alternatives[0];
    uint32_t inputs = a->operand_count - a->output_count;
    for (uint32_t i = 0; i < inputs; ++i) {
      for (uint32_t o = inputs; o < a->operand_count; ++o) {
        if (a->operands[i] == TVI_PLAN_NONE || a->operands[o] == TVI_PLAN_NONE) continue;
        if (program->tensors[a->operands[i]].buffer == program->tensors[a->operands[o]].buffer)
          return true;
      }
    }
  }
  return false;
}

static trivet_status_t run_both(check_trial_t* t, const check_bytes_t* shared,
                                const check_bytes_t* apart) {
  for (int set = 0; set < CHECK_SETS; ++set) {
    check_results_t a, b;
    check_doing(t->check, "running %s with operands in shared and in separate memory",
                t->kernel->name);
    trivet_status_t status = check_run_once(t, apart, set, &b);
    bool differs = false;
    // Threads of a device that read what others overwrite need not do so every time.
    const int rounds = strcmp(t->target, "cpu") == 0 ? 1 : ROUNDS;
    for (int round = 0; round < rounds && !status && !differs; ++round) {
      status = check_run_once(t, shared, set, &a);
      differs = !status && !check_results_same(t, &a, &b);
      check_results_free(&a);
    }
    check_results_free(&b);
    TRIVET_RETURN_IF_ERROR(status);
    if (!differs) continue;
    check_fault(t->check,
                "kernel %s gives other results when its output lies where an operand lies: it does "
                "not work in place, and must not say so (or must say that nothing may be "
                "overwritten, TRIVET_REGION_NONE)",
                t->kernel->name);
    return TRIVET_OK;
  }
  return TRIVET_OK;
}

trivet_status_t check_in_place(check_trial_t* t, const char* target) {
  check_bytes_t plans[2] = {{0}, {0}};
  trivet_status_t status = TRIVET_OK;
  bool used = t->used;
  for (int k = 0; k < 2 && !status; ++k) {
    tvi_string_builder_t text;
    tvi_string_builder_init(&text, trivet_allocator_system());
    check_doing(t->check, "putting copies around the graph");
    status = surround(t, k == 1, &text);
    if (!status) status = check_build(t, text.data, target, 1, false, &plans[k]);
    tvi_string_builder_deinit(&text);
  }
  void* copy = NULL;
  tvi_plan_t* plan = NULL;
  if (!status) status = check_read_plan(&plans[0], &copy, &plan);
  if (!status && shares(t, plan)) status = run_both(t, &plans[0], &plans[1]);
  tvi_plan_destroy(plan);
  free(copy);
  free(plans[0].data);
  free(plans[1].data);
  t->used = used;
  return status;
}
