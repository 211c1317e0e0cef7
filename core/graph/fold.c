// SPDX-License-Identifier: Apache-2.0
//
// Evaluates nodes over constants inside a graph: results become derived constants, which remember
// how they were computed so that they can be computed again from their sources (refit).
#include <string.h>

#include "core/graph/evaluation.h"

// A constant that stands for `value`: its own, or one made of contents that are known as numbers.
static trivet_status_t input_constant(trivet_graph_t* graph, tvi_value_id_t value,
                                      const tvi_constant_t** out_constant,
                                      trivet_tensor_t* out_tensor) {
  const tvi_value_t* v = graph->values[value];
  if (tvi_value_tensor(v, out_tensor)) {
    *out_constant = v->constant;
    return TRIVET_OK;
  }
  uint64_t count;
  const trivet_dim_t* ints = tvi_graph_value_ints(graph, value, &count);
  bool numbers = ints != NULL;
  for (uint64_t i = 0; i < count && numbers; ++i) numbers = tvi_dim_is_constant(ints[i], NULL);
  if (!numbers) return TRIVET_STATUS(FAILED_PRECONDITION, "an input is not constant");
  tvi_value_id_t made;
  TRIVET_RETURN_IF_ERROR(tvi_graph_add_dims_constant(graph, &v->type, ints, &made));
  tvi_value_t* constant = graph->values[made];
  tvi_value_tensor(constant, out_tensor);
  *out_constant = constant->constant;
  constant->dead = true;  // only its contents are wanted
  return TRIVET_OK;
}

// By the graph's evaluator where it can, else by the plain one. Data of `outputs` is in
// `allocator`.
static trivet_status_t evaluate(trivet_graph_t* graph, tvi_node_id_t id,
                                const trivet_tensor_t* inputs, trivet_tensor_t* outputs) {
  const tvi_node_t* node = graph->nodes[id];
  const tvi_graph_evaluator_t* evaluator = &graph->root->evaluator;
  bool fast = evaluator->evaluate != NULL && node->op->parsed != NULL &&
              node->op->definition->evaluate == NULL && node->subgraph_count == 0;
  int64_t dims[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < node->output_count && fast; ++i) {
    if (node->outputs[i] == 0) continue;
    fast = tvi_type_static_dims(&graph->values[node->outputs[i]]->type, dims);
  }
  if (fast) {
    for (uint32_t i = 0; i < node->output_count; ++i) {
      if (node->outputs[i] == 0) continue;
      const trivet_type_t* type = &graph->values[node->outputs[i]]->type;
      tvi_type_static_dims(type, dims);
      TRIVET_RETURN_IF_ERROR(
          tvi_tensor_allocate(graph->allocator, type->dtype, type->rank, dims, &outputs[i]));
    }
    trivet_status_t status = evaluator->evaluate(evaluator->self, graph, id, inputs, outputs);
    if (trivet_status_code(status) != TRIVET_STATUS_UNIMPLEMENTED) return status;
    trivet_status_free(status);
    tvi_tensors_free(graph->allocator, outputs, node->output_count);
  }
  return tvi_evaluate_node(graph, id, inputs, NULL, 0, graph->allocator, outputs);
}

static trivet_status_t make_derivation(trivet_graph_t* graph, const tvi_node_t* node,
                                       const tvi_constant_t* const* constants, uint32_t output,
                                       const trivet_type_t* types, tvi_derivation_t** out) {
  tvi_derivation_t* derivation;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(graph->arena, sizeof(*derivation), &derivation));
  *derivation = (tvi_derivation_t){
      .op = node->op,
      .attributes = node->attributes,
      .attribute_count = node->attribute_count,
      .input_count = node->input_count,
      .output_index = output,
      .inputs = constants,
      .input_types = types,
  };
  *out = derivation;
  return TRIVET_OK;
}

static trivet_status_t add_results(trivet_graph_t* graph, const tvi_node_t* node,
                                   const tvi_constant_t* const* constants,
                                   const trivet_tensor_t* outputs, tvi_value_id_t* values) {
  trivet_type_t* types;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(graph->arena, node->input_count + 1u, sizeof(*types), &types));
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] != 0) types[i] = graph->values[node->inputs[i]]->type;
  }
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (node->outputs[i] == 0) continue;
    tvi_derivation_t* derivation;
    TRIVET_RETURN_IF_ERROR(make_derivation(graph, node, constants, i, types, &derivation));
    TRIVET_RETURN_IF_ERROR(
        tvi_graph_add_constant(graph, (trivet_string_view_t){0}, &outputs[i], true, &values[i]));
    tvi_constant_t* constant = graph->values[values[i]]->constant;
    constant->kind = TVI_CONSTANT_DERIVED;
    constant->derivation = derivation;
  }
  return TRIVET_OK;
}

static trivet_status_t fold(trivet_graph_t* graph, tvi_node_id_t id, tvi_arena_t* arena,
                            tvi_value_id_t* out_values) {
  const tvi_node_t* node = graph->nodes[id];
  if (!tvi_node_is_pure(node)) {
    return TRIVET_STATUS(FAILED_PRECONDITION, "the operator is not pure");
  }
  // A derivation records operators and attributes only.
  if (node->subgraph_count != 0) {
    return TRIVET_STATUS(FAILED_PRECONDITION, "the operator has subgraphs");
  }
  trivet_tensor_t* inputs;
  trivet_tensor_t* outputs;
  tvi_value_id_t* values;
  const tvi_constant_t** constants;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, node->input_count + 1u, sizeof(*inputs), &inputs));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, node->output_count + 1u, sizeof(*outputs), &outputs));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, node->output_count + 1u, sizeof(*values), &values));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(graph->arena, node->input_count + 1u,
                                                      sizeof(*constants), &constants));
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] == 0) continue;
    TRIVET_RETURN_IF_ERROR(input_constant(graph, node->inputs[i], &constants[i], &inputs[i]));
  }
  trivet_status_t status = evaluate(graph, id, inputs, outputs);
  if (status == NULL) status = add_results(graph, node, constants, outputs, values);
  tvi_tensors_free(graph->allocator, outputs, node->output_count);
  if (status != NULL) return status;
  memcpy(out_values, values, node->output_count * sizeof(*values));
  return TRIVET_OK;
}

trivet_status_t tvi_graph_evaluate_node(trivet_graph_t* graph, tvi_node_id_t node,
                                        tvi_value_id_t* out_values) {
  tvi_arena_t arena;
  tvi_arena_init(&arena, graph->allocator, 0);
  trivet_status_t status = fold(graph, node, &arena, out_values);
  tvi_arena_deinit(&arena);
  if (status == NULL) return TRIVET_OK;
  char label[TVI_NODE_LABEL_SIZE];
  return trivet_status_annotate(status, "%s",
                                tvi_graph_node_label(graph, node, label, sizeof(label)));
}
