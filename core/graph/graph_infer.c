// SPDX-License-Identifier: Apache-2.0
//
// The rules of operators applied to nodes: operands are checked and output types inferred from the
// declaration, by a hook, or (core operators) by code; contents of small integer outputs are
// carried as dimensions, so that shape computations written with ordinary operators stay symbolic.
#include <string.h>

#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/graph/graph_internal.h"
#include "core/kernel_ir/evaluate.h"

trivet_dim_t tvi_node_data_symbol(const trivet_graph_t* graph, tvi_node_t* node, uint32_t index,
                                  const char* prefix, trivet_dim_t upper) {
  // Inferred again, a node keeps its symbols: others may refer to them. What bounds them may be
  // known better now.
  if (index < node->data_symbol_count) {
    int64_t low = 0, high = INT64_MAX;
    if (upper != NULL) tvi_dim_range(graph->dims, upper, &low, &high);
    trivet_status_free(
        tvi_dim_symbol_restrict(graph->dims, node->data_symbols[index], 0, high < 0 ? 0 : high, 1));
    return node->data_symbols[index];
  }
  trivet_dim_t symbol = tvi_dim_fresh(graph->dims, prefix, TVI_SYMBOL_DATA, upper);
  if (symbol == NULL) return NULL;
  trivet_dim_t* symbols = NULL;
  if (trivet_status_consume(
          tvi_arena_alloc_array(graph->arena, index + 1u, sizeof(*symbols), &symbols)) != 0) {
    return NULL;
  }
  if (index != 0) memcpy(symbols, node->data_symbols, index * sizeof(*symbols));
  symbols[index] = symbol;
  node->data_symbols = symbols;
  node->data_symbol_count = index + 1;
  return symbol;
}

static const tvi_kir_function_t* find_function(void* self, trivet_string_view_t name) {
  return tvi_registry_parsed_function(self, name);
}

trivet_status_t tvi_graph_kir_node(const trivet_graph_t* graph, const tvi_node_t* node,
                                   const uint8_t* output_wanted, tvi_arena_t* arena,
                                   tvi_kir_function_lookup_t* lookup, tvi_kir_node_t* out_node) {
  const trivet_type_t** inputs;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(arena, node->input_count + 1u, sizeof(*inputs), &inputs));
  for (uint32_t i = 0; i < node->input_count; ++i) {
    inputs[i] = node->inputs[i] != 0 ? &graph->values[node->inputs[i]]->type : NULL;
  }
  *lookup = (tvi_kir_function_lookup_t){(void*)graph->registry, find_function};
  *out_node = (tvi_kir_node_t){
      .op = node->op->parsed,
      .dims = graph->dims,
      .input_count = node->input_count,
      .inputs = inputs,
      .output_count = node->output_count,
      .output_wanted = output_wanted,
      .attributes = node->attributes,
      .attribute_count = node->attribute_count,
      .functions = lookup,
  };
  return TRIVET_OK;
}

trivet_status_t tvi_graph_node_body(const trivet_graph_t* graph, tvi_node_t* node,
                                    const tvi_kir_node_t* kir, tvi_arena_t* arena,
                                    const tvi_kir_body_t** out_body) {
  const trivet_operator_t* op = node->op->definition;
  if (op->lower == NULL) {
    *out_body = &node->op->parsed->body;
    return TRIVET_OK;
  }
  trivet_string_view_t text;
  TRIVET_RETURN_IF_ERROR(tvi_node_view_lower(graph, node, kir, arena, &text));
  bool is_graph = (op->flags & TRIVET_OPERATOR_LOWERS_TO_GRAPH) != 0;
  trivet_status_t status = tvi_kir_body_parse(node->op->parsed, text, is_graph, arena, out_body);
  return trivet_status_annotate(status, "lowered text");
}

trivet_status_t tvi_graph_instantiate(const trivet_graph_t* graph, tvi_node_t* node,
                                      const tvi_kir_node_t* kir, tvi_arena_t* arena,
                                      tvi_kir_instance_t* out_instance) {
  if (node->op->parsed == NULL) {
    return TRIVET_STATUS(UNIMPLEMENTED, "a core operator has no kernel-IR program");
  }
  const tvi_kir_body_t* body;
  TRIVET_RETURN_IF_ERROR(tvi_graph_node_body(graph, node, kir, arena, &body));
  if (body->kind != TVI_KIR_BODY_STATEMENTS) {
    return TRIVET_STATUS(UNIMPLEMENTED, "the operator's meaning is %s, not kernel IR",
                         body->kind == TVI_KIR_BODY_GRAPH ? "a graph" : "a host function");
  }
  return tvi_kir_node_instantiate(kir, node->op->definition->lower != NULL ? body : NULL, arena,
                                  out_instance);
}

static bool carries_ints(const tvi_inferred_t* inferred) {
  int64_t dims[TRIVET_MAX_RANK];
  int64_t count = 0;
  return inferred->is_set && inferred->ints == NULL &&
         (tvi_dtype_is_integer(inferred->type.dtype) ||
          inferred->type.dtype == TRIVET_DTYPE_BOOL) &&
         tvi_type_static_dims(&inferred->type, dims) &&
         tvi_checked_element_count(dims, inferred->type.rank, &count) &&
         count <= (int64_t)TVI_GRAPH_MAX_INTS;
}

// Elements that evaluation found, kept in the graph: as `ints` when all are known.
static trivet_status_t keep_ints(const trivet_graph_t* graph, const tvi_kir_dim_tensor_t* from,
                                 tvi_inferred_t* to) {
  if (from->elements == NULL || from->count > TVI_GRAPH_MAX_INTS) return TRIVET_OK;
  uint64_t known = 0;
  for (uint64_t i = 0; i < from->count; ++i) known += from->elements[i] != NULL;
  if (known == 0 && from->count != 0) return TRIVET_OK;
  trivet_dim_t* own;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(graph->arena, from->count + 1, sizeof(*own), &own));
  if (from->count != 0) memcpy(own, from->elements, from->count * sizeof(*own));
  to->int_count = from->count;
  if (known == from->count) {
    to->ints = own;
  } else {
    to->partial_ints = own;
  }
  return TRIVET_OK;
}

// Contents of integer outputs. What cannot be said is left unknown; running out of memory is the
// only error.
static trivet_status_t infer_contents(const trivet_graph_t* graph, tvi_node_t* node,
                                      tvi_kir_node_t* kir, tvi_arena_t* arena,
                                      tvi_inferred_t* inferred) {
  bool wanted = false;
  for (uint32_t i = 0; i < node->output_count; ++i) wanted = wanted || carries_ints(&inferred[i]);
  if (!wanted || !tvi_node_is_pure(node)) return TRIVET_OK;
  uint32_t present = 0, known = 0;
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] == 0) continue;
    uint64_t count;
    trivet_tensor_t tensor;
    ++present;
    known += tvi_graph_value_partial_ints(graph, node->inputs[i], &count) != NULL ||
             tvi_value_tensor(graph->values[node->inputs[i]], &tensor);
  }
  if (present != 0 && known == 0) return TRIVET_OK;
  trivet_type_t* types;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(arena, node->output_count + 1u, sizeof(*types), &types));
  for (uint32_t i = 0; i < node->output_count; ++i) types[i] = inferred[i].type;
  kir->outputs = types;
  tvi_kir_instance_t instance;
  trivet_status_t status = tvi_graph_instantiate(graph, node, kir, arena, &instance);
  if (status != NULL) {
    trivet_status_code_t code = trivet_status_code(status);
    // A text that does not fit its node is reported where the program is needed.
    if (code == TRIVET_STATUS_OUT_OF_MEMORY) return status;
    trivet_status_free(status);
    return TRIVET_OK;
  }
  tvi_kir_dim_tensor_t* values;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, instance.program->value_count + 1u,
                                                      sizeof(*values), &values));
  trivet_tensor_t* tensors;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(arena, node->input_count + 1u, sizeof(*tensors), &tensors));
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] == 0 || instance.input_values[i] == TVI_KIR_NONE) continue;
    tvi_kir_dim_tensor_t* value = &values[instance.input_values[i]];
    value->elements = tvi_graph_value_partial_ints(graph, node->inputs[i], &value->count);
    if (value->elements == NULL && tvi_value_tensor(graph->values[node->inputs[i]], &tensors[i])) {
      value->constant = &tensors[i];
    }
  }
  TRIVET_RETURN_IF_ERROR(tvi_kir_evaluate_dims(instance.program, values, arena));
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (!carries_ints(&inferred[i]) || instance.output_values[i] == TVI_KIR_NONE) continue;
    TRIVET_RETURN_IF_ERROR(keep_ints(graph, &values[instance.output_values[i]], &inferred[i]));
  }
  return TRIVET_OK;
}

static trivet_status_t record_assumptions(trivet_graph_t* graph, const tvi_node_t* node,
                                          const tvi_kir_assumptions_t* assumptions) {
  tvi_origin_id_t origin = node->origin_count != 0 ? node->origins[0] : 0;
  for (uint32_t i = 0; i < assumptions->count; ++i) {
    uint32_t before = graph->root->assumption_count;
    TRIVET_RETURN_IF_ERROR(
        tvi_graph_assume(graph, assumptions->items[i].a, assumptions->items[i].b, origin));
    if (graph->root->assumption_count != before) {
      graph->root->assumptions[before].by_rewrite = 0;
    }
  }
  return TRIVET_OK;
}

static trivet_status_t infer_declared(trivet_graph_t* graph, tvi_node_t* node,
                                      const uint8_t* output_wanted, tvi_arena_t* arena,
                                      tvi_inferred_t* inferred) {
  tvi_kir_node_t kir;
  tvi_kir_function_lookup_t lookup;
  TRIVET_RETURN_IF_ERROR(tvi_graph_kir_node(graph, node, output_wanted, arena, &lookup, &kir));
  if (node->op->definition->infer != NULL) {
    TRIVET_RETURN_IF_ERROR(tvi_kir_node_check(&kir));
    TRIVET_RETURN_IF_ERROR(tvi_node_view_infer(graph, node, &kir, arena, inferred));
  } else {
    trivet_type_t* types;
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_alloc_array_zeroed(arena, node->output_count + 1u, sizeof(*types), &types));
    tvi_kir_assumptions_t assumptions = {0};
    TRIVET_RETURN_IF_ERROR(tvi_kir_node_infer(&kir, arena, types, &assumptions));
    TRIVET_RETURN_IF_ERROR(record_assumptions(graph, node, &assumptions));
    for (uint32_t i = 0; i < node->output_count; ++i) {
      inferred[i].type = types[i];
      inferred[i].is_set = true;
    }
  }
  return infer_contents(graph, node, &kir, arena, inferred);
}

trivet_status_t tvi_graph_infer_node(trivet_graph_t* graph, tvi_node_t* node,
                                     const uint8_t* output_wanted, tvi_inferred_t* out_inferred) {
  if (node->op->parsed == NULL) return tvi_core_operator_infer(graph, node, out_inferred);
  tvi_arena_t arena;
  tvi_arena_init(&arena, graph->allocator, 0);
  trivet_status_t status = infer_declared(graph, node, output_wanted, &arena, out_inferred);
  tvi_arena_deinit(&arena);
  return status;
}

static trivet_status_t infer_again(trivet_graph_t* graph, tvi_node_t* node) {
  tvi_arena_t arena;
  tvi_arena_init(&arena, graph->allocator, 0);
  tvi_inferred_t* inferred = NULL;
  uint8_t* wanted = NULL;
  trivet_status_t status =
      tvi_arena_alloc_array_zeroed(&arena, node->output_count + 1u, sizeof(*inferred), &inferred);
  if (status == NULL) {
    status = tvi_arena_alloc_array_zeroed(&arena, node->output_count + 1u, 1, &wanted);
  }
  if (status == NULL) {
    for (uint32_t i = 0; i < node->output_count; ++i) wanted[i] = node->outputs[i] != 0;
    status = tvi_graph_infer_node(graph, node, wanted, inferred);
  }
  for (uint32_t i = 0; i < node->output_count && status == NULL; ++i) {
    if (node->outputs[i] == 0) continue;
    tvi_value_t* value = graph->values[node->outputs[i]];
    value->type = inferred[i].type;
    value->ints = inferred[i].ints;
    value->partial_ints = inferred[i].partial_ints;
    value->int_count = inferred[i].int_count;
  }
  tvi_arena_deinit(&arena);
  if (status != NULL) {
    char label[TVI_NODE_LABEL_SIZE];
    return trivet_status_annotate(status, "%s", tvi_node_label(graph, node, label, sizeof(label)));
  }
  return TRIVET_OK;
}

static void refresh_captures(trivet_graph_t* graph) {
  for (tvi_value_id_t id = 1; id < graph->value_count; ++id) {
    tvi_value_t* value = graph->values[id];
    if (!value->is_capture || value->dead) continue;
    const tvi_value_t* outer = graph->parent->values[value->outer];
    value->type = outer->type;
    value->constant = outer->constant;
    value->ints = outer->ints;
    value->partial_ints = outer->partial_ints;
    value->int_count = outer->int_count;
  }
}

trivet_status_t tvi_graph_infer_all(trivet_graph_t* graph) {
  TVI_GRAPH_FOR_EACH_NODE(graph, id) {
    tvi_node_t* node = graph->nodes[id];
    for (uint32_t i = 0; i < node->subgraph_count; ++i) {
      refresh_captures(node->subgraphs[i]);
      TRIVET_RETURN_IF_ERROR(tvi_graph_infer_all(node->subgraphs[i]));
    }
    TRIVET_RETURN_IF_ERROR(infer_again(graph, node));
  }
  return TRIVET_OK;
}

trivet_status_t tvi_graph_infer(trivet_graph_t* graph) {
  if (graph->parent == NULL) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < graph->assumption_count; ++i) {
      if (graph->assumptions[i].by_rewrite != 0) {
        graph->assumptions[kept++] = graph->assumptions[i];
      }
    }
    graph->assumption_count = kept;
  } else {
    refresh_captures(graph);
  }
  return tvi_graph_result(graph, tvi_graph_infer_all(graph));
}
