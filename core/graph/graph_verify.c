// SPDX-License-Identifier: Apache-2.0
//
// Checks every rule of the form of a graph, so that a pass that breaks one is caught at once: ids,
// order, use lists, captures, constants, attributes and types. It changes nothing that can be seen.
#include <stdlib.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/graph/graph_internal.h"

typedef struct verifier_s {
  trivet_graph_t* graph;
  tvi_arena_t arena;
  uint32_t* order;        // by node id: 1, 2, ... in list order; 0: not in the list
  uint32_t* uses;         // by value id: operands and captures found
  uint32_t* output_uses;  // likewise
} verifier_t;

static trivet_status_t broken(const char* what, uint32_t id) {
  return TRIVET_STATUS(INTERNAL, "%s %u", what, id);
}

// Is a value of this graph there before the node at `order` runs?
static bool is_available(const verifier_t* v, tvi_value_id_t value, uint32_t order) {
  if (!tvi_graph_value_ok(v->graph, value)) return false;
  tvi_node_id_t producer = v->graph->values[value]->producer;
  return producer == 0 || (v->order[producer] != 0 && v->order[producer] < order);
}

static trivet_status_t verify_list(verifier_t* v) {
  const trivet_graph_t* graph = v->graph;
  uint32_t count = 0;
  tvi_node_id_t previous = 0;
  for (tvi_node_id_t id = graph->first; id != 0; id = graph->nodes[id]->next) {
    if (id >= graph->node_count || v->order[id] != 0) return broken("the list breaks at node", id);
    const tvi_node_t* node = graph->nodes[id];
    if (node->dead) return broken("the list holds the removed node", id);
    if (node->previous != previous) return broken("the list breaks before node", id);
    v->order[id] = ++count;
    previous = id;
  }
  if (graph->last != previous) return broken("the list does not end at node", graph->last);
  for (tvi_node_id_t id = 1; id < graph->node_count; ++id) {
    if (!graph->nodes[id]->dead && v->order[id] == 0) return broken("the list misses node", id);
  }
  return TRIVET_OK;
}

static bool has_use(const tvi_value_t* value, tvi_use_t use) {
  for (uint32_t i = 0; i < value->use_count; ++i) {
    if (value->uses[i].node == use.node && value->uses[i].operand == use.operand) return true;
  }
  return false;
}

static trivet_status_t verify_operands(verifier_t* v, tvi_node_id_t id) {
  const trivet_graph_t* graph = v->graph;
  const tvi_node_t* node = graph->nodes[id];
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] == 0) continue;
    if (!is_available(v, node->inputs[i], v->order[id])) {
      return broken("it reads a value that is not there yet: input", i);
    }
    if (!has_use(graph->values[node->inputs[i]], (tvi_use_t){id, i})) {
      return broken("the value does not know of its use as input", i);
    }
    ++v->uses[node->inputs[i]];
  }
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (node->outputs[i] == 0) continue;
    const tvi_value_t* value =
        node->outputs[i] < graph->value_count ? graph->values[node->outputs[i]] : NULL;
    if (value == NULL || value->dead || value->producer != id || value->output_index != i) {
      return broken("it does not own its output", i);
    }
  }
  return TRIVET_OK;
}

static trivet_status_t verify_attributes(const tvi_node_t* node) {
  for (uint32_t i = 0; i < node->attribute_count; ++i) {
    const trivet_attribute_t* attribute = &node->attributes[i];
    if (i != 0 && strcmp(node->attributes[i - 1].name, attribute->name) >= 0) {
      return broken("attributes are not sorted at", i);
    }
    if (attribute->kind != TRIVET_ATTR_GRAPH) continue;
    for (uint64_t k = 0; k < attribute->count; ++k) {
      if (((const uint32_t*)attribute->data)[k] >= node->subgraph_count) {
        return broken("there is no such subgraph: attribute", i);
      }
    }
  }
  return TRIVET_OK;
}

static trivet_status_t verify_subgraphs(verifier_t* v, tvi_node_id_t id) {
  const tvi_node_t* node = v->graph->nodes[id];
  for (uint32_t i = 0; i < node->subgraph_count; ++i) {
    const trivet_graph_t* subgraph = node->subgraphs[i];
    if (subgraph->parent != v->graph || subgraph->owner != id || subgraph->owner_index != i) {
      return broken("it does not own its subgraph", i);
    }
    for (tvi_value_id_t k = 1; k < subgraph->value_count; ++k) {
      const tvi_value_t* value = subgraph->values[k];
      if (value->dead || !value->is_capture) continue;
      if (!is_available(v, value->outer, v->order[id])) {
        return broken("a subgraph captures a value that is not there yet: capture", k);
      }
      if (!has_use(v->graph->values[value->outer], (tvi_use_t){id, TVI_USE_CAPTURE | i})) {
        return broken("the outer value does not know of capture", k);
      }
      ++v->uses[value->outer];
    }
    TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_graph_verify(subgraph), "subgraph %u", i);
  }
  return TRIVET_OK;
}

static trivet_status_t verify_types(verifier_t* v, tvi_node_t* node) {
  tvi_inferred_t* inferred;
  uint8_t* wanted;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&v->arena, node->output_count + 1u,
                                                      sizeof(*inferred), &inferred));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&v->arena, node->output_count + 1u, 1, &wanted));
  for (uint32_t i = 0; i < node->output_count; ++i) wanted[i] = node->outputs[i] != 0;
  // What inference finds to assume is known already, or follows from what a rewrite changed.
  uint32_t assumptions = v->graph->root->assumption_count;
  trivet_status_t status = tvi_graph_infer_node(v->graph, node, wanted, inferred);
  v->graph->root->assumption_count = assumptions;
  TRIVET_RETURN_IF_ERROR(status);
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (node->outputs[i] == 0) continue;
    const trivet_type_t* held = &v->graph->values[node->outputs[i]]->type;
    const trivet_type_t* found = &inferred[i].type;
    bool equal = held->dtype == found->dtype && held->rank == found->rank;
    for (uint32_t d = 0; d < held->rank && equal; ++d) {
      // Two symbolic extents may be equal by assumption; two numbers may not.
      equal = held->dims[d] == found->dims[d] || !tvi_dim_is_constant(held->dims[d], NULL) ||
              !tvi_dim_is_constant(found->dims[d], NULL);
    }
    if (!equal) return broken("its type is not what inference finds: output", i);
  }
  return TRIVET_OK;
}

static trivet_status_t verify_value(const verifier_t* v, tvi_value_id_t id) {
  const tvi_value_t* value = v->graph->values[id];
  if (value->dead) return TRIVET_OK;
  if (!tvi_dtype_is_valid(value->type.dtype) || value->type.rank > TRIVET_MAX_RANK) {
    return broken("it has no valid type: value", id);
  }
  for (uint32_t i = 0; i < value->type.rank; ++i) {
    if (value->type.dims[i] == NULL) return broken("an extent is missing: value", id);
  }
  if (value->producer != 0 &&
      (value->producer >= v->graph->node_count || v->graph->nodes[value->producer]->dead)) {
    return broken("its producer is gone: value", id);
  }
  if (value->use_count != v->uses[id]) return broken("its use list is wrong: value", id);
  if (value->output_uses != v->output_uses[id])
    return broken("its output count is wrong: value", id);
  if (value->is_capture &&
      (v->graph->parent == NULL || !tvi_graph_value_ok(v->graph->parent, value->outer))) {
    return broken("it captures nothing: value", id);
  }
  trivet_tensor_t tensor;
  if (value->constant != NULL && tvi_value_tensor(value, &tensor)) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_tensor_check(&tensor), "constant value %u", id);
  }
  return TRIVET_OK;
}

static trivet_status_t verify_node(verifier_t* v, tvi_node_id_t id) {
  tvi_node_t* node = v->graph->nodes[id];
  TRIVET_RETURN_IF_ERROR(verify_operands(v, id));
  TRIVET_RETURN_IF_ERROR(verify_attributes(node));
  TRIVET_RETURN_IF_ERROR(verify_subgraphs(v, id));
  for (uint32_t i = 0; i < node->origin_count; ++i) {
    if (node->origins[i] == 0 || node->origins[i] > v->graph->root->origin_count ||
        (i != 0 && node->origins[i] <= node->origins[i - 1])) {
      return broken("origins are not a sorted set at", i);
    }
  }
  return verify_types(v, node);
}

static trivet_status_t verify(verifier_t* v) {
  const trivet_graph_t* graph = v->graph;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&v->arena, graph->node_count, sizeof(*v->order), &v->order));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(&v->arena, graph->value_count, sizeof(*v->uses), &v->uses));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&v->arena, graph->value_count,
                                                      sizeof(*v->output_uses), &v->output_uses));
  TRIVET_RETURN_IF_ERROR(verify_list(v));
  for (uint32_t i = 0; i < graph->input_count; ++i) {
    tvi_value_id_t value = graph->inputs[i].value;
    if (!tvi_graph_value_ok(graph, value) || !graph->values[value]->is_input ||
        graph->values[value]->output_index != i) {
      return broken("there is no value for graph input", i);
    }
  }
  for (uint32_t i = 0; i < graph->output_count; ++i) {
    tvi_value_id_t value = graph->outputs[i].value;
    if (!is_available(v, value, UINT32_MAX)) return broken("there is no value for graph output", i);
    ++v->output_uses[value];
  }
  TVI_GRAPH_FOR_EACH_NODE(graph, id) {
    trivet_status_t status = verify_node(v, id);
    if (status == NULL) continue;
    char label[TVI_NODE_LABEL_SIZE];
    return trivet_status_annotate(status, "%s",
                                  tvi_graph_node_label(graph, id, label, sizeof(label)));
  }
  for (tvi_value_id_t id = 1; id < graph->value_count; ++id) {
    TRIVET_RETURN_IF_ERROR(verify_value(v, id));
  }
  return TRIVET_OK;
}

trivet_status_t tvi_graph_verify(const trivet_graph_t* graph) {
  // Inference takes a graph that it may write to; what it writes is taken back.
  verifier_t v = {.graph = (trivet_graph_t*)graph};
  tvi_arena_init(&v.arena, graph->allocator, 0);
  trivet_status_t status = tvi_graph_result(graph, verify(&v));
  tvi_arena_deinit(&v.arena);
  return status;
}
