// SPDX-License-Identifier: Apache-2.0
//
// A graph as text through compiler and runtime, beside the plain evaluation of the same graph: what
// a kernel or pass does to results shows here, and what it does to memory.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/graph/graph_text.h"
#include "tools/trivet/check_trial.h"

void* check_must(void* memory) {
  if (!memory) exit(3);
  return memory;
}

const char* check_name(const tvi_named_value_t* named, char* buffer, size_t size) {
  snprintf(buffer, size, "%.*s", (int)named->name.size, named->name.data);
  return buffer;
}

static trivet_status_t make_shapes(const check_trial_t* t, int set, check_shapes_t* s) {
  const trivet_graph_t* graph = t->graph;
  uint32_t symbols = tvi_dim_symbol_count(graph->dims);
  if (symbols > 64 || graph->input_count > CHECK_MOST || graph->output_count > CHECK_MOST)
    return TRIVET_STATUS(UNIMPLEMENTED, "the graph is larger than a trial");
  for (uint32_t i = 0; i < symbols; ++i) {
    int64_t least, most, value = set == 0 ? 2 + i % 3 : 7 - i % 3;
    tvi_dim_range(graph->dims, tvi_dim_symbol_at(graph->dims, i), &least, &most);
    s->symbols[i] = value < least ? least : value > most ? most : value;
  }
  for (uint32_t i = 0; i < graph->input_count; ++i) {
    const trivet_type_t* type = &tvi_graph_value(graph, graph->inputs[i].value)->type;
    trivet_tensor_t* tensor = &s->inputs[i];
    int64_t count = 1;
    tensor->dtype = type->dtype;
    tensor->rank = type->rank;
    for (uint32_t d = 0; d < type->rank; ++d) {
      TRIVET_RETURN_IF_ERROR(
          tvi_dim_evaluate(type->dims[d], s->symbols, symbols, &tensor->dims[d]));
      count *= tensor->dims[d];
    }
    size_t size = 0;
    TRIVET_RETURN_IF_ERROR(trivet_dtype_storage_size(type->dtype, count, &size));
    tensor->size = size;
    tensor->data = check_must(calloc(1, size + 64));
    check_fill(tensor, 1000u * (uint32_t)set + i + 1);
  }
  return tvi_graph_evaluate_graph(graph, s->inputs, graph->input_count, trivet_allocator_system(),
                                  s->outputs);
}

// The types that were inferred beside what the evaluation gave. Sizes that depend on data have no
// other rule.
static void judge_shape_rule(const check_trial_t* t, const check_shapes_t* s) {
  const trivet_graph_t* graph = t->graph;
  TVI_GRAPH_FOR_EACH_NODE(graph, id) {
    if (tvi_graph_node(graph, id)->data_symbol_count) return;
  }
  for (uint32_t i = 0; i < graph->output_count; ++i) {
    const trivet_type_t* type = &tvi_graph_value(graph, graph->outputs[i].value)->type;
    const trivet_tensor_t* made = &s->outputs[i];
    for (uint32_t d = 0; d < type->rank && made->rank == type->rank; ++d) {
      int64_t ruled = made->dims[d];
      trivet_status_free(
          tvi_dim_evaluate(type->dims[d], s->symbols, tvi_dim_symbol_count(graph->dims), &ruled));
      if (ruled == made->dims[d]) continue;
      check_fault(t->check,
                  "output %u: the shape rule says that dimension %u is %lld, evaluated it is %lld",
                  i, d, (long long)ruled, (long long)made->dims[d]);
      return;
    }
  }
}

static void free_shapes(const check_trial_t* t, check_shapes_t* s) {
  for (uint32_t i = 0; t->graph && i < t->graph->input_count && i < CHECK_MOST; ++i)
    free(s->inputs[i].data);
  for (uint32_t i = 0; i < CHECK_MOST; ++i) {
    tvi_free(trivet_allocator_system(), s->outputs[i].data, s->outputs[i].size);
  }
}

static bool draws_numbers(const trivet_graph_t* graph) {
  TVI_GRAPH_FOR_EACH_NODE(graph, id) {
    uint32_t flags = tvi_graph_node(graph, id)->op->definition->flags;
    if (flags & (TRIVET_OPERATOR_IMPURE | TRIVET_OPERATOR_NONDETERMINISTIC)) return true;
  }
  return false;
}

// On the host. A kernel is also tried where others are cheaper.
static trivet_status_t build_and_run(check_trial_t* t) {
  check_bytes_t plan = {0};
  uint32_t faults = t->check->tally->faults;
  trivet_status_t status = check_build(t, t->text, t->target, 1, true, &plan);
  if (!status) status = check_run(t, &plan, !t->plain);
  free(plan.data);
  if (status || !t->kernel || t->plain || t->check->tally->faults != faults) return status;
  bool is_first = t->used;
  plan = (check_bytes_t){0};
  status = check_build(t, t->text, t->target, 32, false, &plan);
  if (!status && t->used) status = check_run_alternatives(t, &plan, !is_first);
  free(plan.data);
  return status || !is_first ? status : check_in_place(t, t->target);
}

static void try_graph(check_t* check, const char* text, const trivet_kernel_t* kernel,
                      const char* pass, bool plain, bool* out_used);

// The same with operands that are views, where the graph can be had so.
static void try_views(const check_trial_t* t) {
  tvi_string_builder_t text;
  bool used = false;
  char before[200], place[240];
  snprintf(before, sizeof(before), "%s", check_operator_place());
  snprintf(place, sizeof(place), "%s%soperands that are views", before, *before ? ", " : "");
  check_set_place(place);
  tvi_string_builder_init(&text, trivet_allocator_system());
  check_doing(t->check, "making the graph");
  trivet_status_t status = check_write_views(t, &text);
  if (!status) try_graph(t->check, text.data, t->kernel, NULL, true, &used);
  trivet_status_free(status);
  tvi_string_builder_deinit(&text);
  check_set_place(before);
}

static void try_graph(check_t* check, const char* text, const trivet_kernel_t* kernel,
                      const char* pass, bool plain, bool* out_used) {
  check_trial_t* t = check_must(calloc(1, sizeof(*t)));
  t->check = check;
  t->text = text;
  t->kernel = kernel;
  t->pass = pass;
  t->target = "cpu";
  t->plain = plain;
  ++check->tally->cases;
  trivet_string_view_t view = {text, strlen(text)};
  check_doing(check, "reading the graph");
  trivet_status_t status =
      tvi_graph_parse(check->registry, view, trivet_allocator_system(), &t->graph);
  for (int i = 0; i < CHECK_SETS && !status; ++i) {
    check_doing(check, "evaluating");
    status = make_shapes(t, i, &t->sets[i]);
    if (!status) judge_shape_rule(t, &t->sets[i]);
  }
  if (status && strstr(trivet_status_message(status), "inferred as")) {
    check_fault(check, "the shape rule is wrong: %s", trivet_status_message(status));
    trivet_status_free(status);
  } else if (status) {
    check_refused(check, status);
  } else {
    // From here on the graph is right and an error is a fault.
    uint32_t faults = check->tally->faults;
    t->random = draws_numbers(t->graph);
    if (!kernel || strcmp(kernel->target, t->target) == 0) status = build_and_run(t);
    if (status) check_fault(check, "%s", trivet_status_message(status));
    trivet_status_free(status);
    if (check->tally->faults == faults) check_targets(t);
    if (check->tally->faults == faults && kernel && t->used && !plain) try_views(t);
  }
  if (out_used) *out_used = t->used;
  for (int i = 0; i < CHECK_SETS; ++i) free_shapes(t, &t->sets[i]);
  tvi_graph_destroy(t->graph);
  free(t);
}

void check_graph(check_t* check, const char* text, const trivet_kernel_t* kernel, const char* pass,
                 bool* out_used) {
  try_graph(check, text, kernel, pass, false, out_used);
}
