// SPDX-License-Identifier: Apache-2.0
//
// Changing a graph: moving uses, replacing operands, removing what is dead. Every function leaves
// use lists, names and origins consistent, so a pass cannot forget them.
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/vector.h"
#include "core/graph/graph_internal.h"

static void retarget_capture(trivet_graph_t* subgraph, tvi_value_id_t from, tvi_value_id_t to) {
  for (tvi_value_id_t id = 1; id < subgraph->value_count; ++id) {
    tvi_value_t* value = subgraph->values[id];
    if (value->is_capture && !value->dead && value->outer == from) {
      value->outer = to;
      // What is known about the contents belongs to the outer value.
      const tvi_value_t* outer = subgraph->parent->values[to];
      value->constant = outer->constant;
      value->ints = outer->ints;
      value->partial_ints = outer->partial_ints;
      value->int_count = outer->int_count;
      return;
    }
  }
}

trivet_status_t tvi_graph_replace_value(trivet_graph_t* graph, tvi_value_id_t old_value,
                                        tvi_value_id_t new_value) {
  if (!tvi_graph_value_ok(graph, old_value) || !tvi_graph_value_ok(graph, new_value)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "there is no value %u to replace by value %u", old_value,
                         new_value);
  }
  if (old_value == new_value) return TRIVET_OK;
  tvi_value_t* from = graph->values[old_value];
  tvi_value_t* to = graph->values[new_value];
  if (from->type.dtype != to->type.dtype || from->type.rank != to->type.rank) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "a value of type %s and rank %u cannot replace one of type %s and rank %u",
                         tvi_dtype_name(to->type.dtype), to->type.rank,
                         tvi_dtype_name(from->type.dtype), from->type.rank);
  }
  // All memory first.
  if (to->use_count + from->use_count > to->use_capacity) {
    uint32_t capacity = to->use_count + from->use_count;
    tvi_use_t* uses;
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(graph->arena, capacity, sizeof(*uses), &uses));
    if (to->use_count != 0) memcpy(uses, to->uses, to->use_count * sizeof(*uses));
    to->uses = uses;
    to->use_capacity = capacity;
  }
  // A graph input keeps its name: callers bind by it.
  if (!from->is_input) {
    for (uint32_t i = 0; i < from->name_count; ++i) {
      TRIVET_RETURN_IF_ERROR(tvi_graph_name_value(graph, new_value, from->names[i]));
    }
    from->name_count = 0;
    to->observed = to->observed || from->observed;
    from->observed = false;
  }
  uint32_t kept = 0;
  for (uint32_t i = 0; i < from->use_count; ++i) {
    tvi_use_t use = from->uses[i];
    // The producer of the new value may read the old one: inserting after a value is replacing it.
    if (to->producer != 0 && use.node == to->producer) {
      from->uses[kept++] = use;
      continue;
    }
    tvi_node_t* node = graph->nodes[use.node];
    if ((use.operand & TVI_USE_CAPTURE) != 0) {
      retarget_capture(node->subgraphs[use.operand & ~TVI_USE_CAPTURE], old_value, new_value);
    } else {
      node->inputs[use.operand] = new_value;
    }
    to->uses[to->use_count++] = use;
  }
  from->use_count = kept;
  for (uint32_t i = 0; i < graph->output_count && from->output_uses != 0; ++i) {
    if (graph->outputs[i].value != old_value) continue;
    graph->outputs[i].value = new_value;
    --from->output_uses;
    ++to->output_uses;
  }
  return TRIVET_OK;
}

trivet_status_t tvi_graph_set_operand(trivet_graph_t* graph, tvi_node_id_t node, uint32_t operand,
                                      tvi_value_id_t value) {
  if (node == 0 || node >= graph->node_count || graph->nodes[node]->dead ||
      operand >= graph->nodes[node]->input_count) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "node %u has no operand %u", node, operand);
  }
  if (value != 0 && !tvi_graph_value_ok(graph, value)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "there is no value %u", value);
  }
  tvi_node_t* n = graph->nodes[node];
  if (n->inputs[operand] == value) return TRIVET_OK;
  tvi_use_t use = {node, operand};
  if (value != 0) TRIVET_RETURN_IF_ERROR(tvi_graph_add_use(graph, value, use));
  if (n->inputs[operand] != 0) tvi_graph_remove_use(graph, n->inputs[operand], use);
  n->inputs[operand] = value;
  return TRIVET_OK;
}

void tvi_graph_remove_node(trivet_graph_t* graph, tvi_node_id_t node) {
  tvi_node_t* n = graph->nodes[node];
  if (n->dead) return;
  for (uint32_t i = 0; i < n->output_count; ++i) {
    if (n->outputs[i] == 0) continue;
    const tvi_value_t* value = graph->values[n->outputs[i]];
    if (value->use_count != 0 || value->output_uses != 0) return;
  }
  for (uint32_t i = 0; i < n->output_count; ++i) {
    if (n->outputs[i] != 0) graph->values[n->outputs[i]]->dead = true;
  }
  for (uint32_t i = 0; i < n->input_count; ++i) {
    if (n->inputs[i] != 0) tvi_graph_remove_use(graph, n->inputs[i], (tvi_use_t){node, i});
  }
  tvi_graph_remove_captures(graph, n, node);
  for (uint32_t i = 0; i < n->subgraph_count; ++i) n->subgraphs[i]->owner = 0;
  if (n->previous != 0) {
    graph->nodes[n->previous]->next = n->next;
  } else {
    graph->first = n->next;
  }
  if (n->next != 0) {
    graph->nodes[n->next]->previous = n->previous;
  } else {
    graph->last = n->previous;
  }
  n->dead = true;
}

trivet_status_t tvi_graph_merge_origins(trivet_graph_t* graph, tvi_node_id_t into,
                                        tvi_node_id_t from) {
  tvi_node_t* a = graph->nodes[into];
  const tvi_node_t* b = graph->nodes[from];
  if (b->origin_count == 0) return TRIVET_OK;
  tvi_origin_id_t* merged;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(
      graph->arena, (size_t)a->origin_count + b->origin_count, sizeof(*merged), &merged));
  uint32_t i = 0, k = 0, count = 0;
  while (i < a->origin_count || k < b->origin_count) {
    tvi_origin_id_t next;
    if (k == b->origin_count || (i < a->origin_count && a->origins[i] <= b->origins[k])) {
      next = a->origins[i++];
    } else {
      next = b->origins[k++];
    }
    if (count == 0 || merged[count - 1] != next) merged[count++] = next;
  }
  a->origins = merged;
  a->origin_count = count;
  return TRIVET_OK;
}

static bool value_is_needed(const tvi_value_t* value) {
  return value->use_count != 0 || value->output_uses != 0 || value->observed;
}

static bool output_is_optional(const tvi_node_t* node, uint32_t index) {
  const tvi_kir_operator_t* parsed = node->op->parsed;
  return parsed != NULL && index < parsed->output_count && parsed->outputs[index].optional;
}

trivet_status_t tvi_graph_remove_dead(trivet_graph_t* graph, uint32_t* out_removed) {
  uint32_t removed = 0;
  tvi_node_id_t next;
  for (tvi_node_id_t id = graph->last; id != 0; id = next) {
    tvi_node_t* node = graph->nodes[id];
    next = node->previous;
    bool needed = !tvi_node_is_pure(node);
    for (uint32_t i = 0; i < node->output_count && !needed; ++i) {
      needed = node->outputs[i] != 0 && value_is_needed(graph->values[node->outputs[i]]);
    }
    if (!needed) {
      tvi_graph_remove_node(graph, id);
      ++removed;
      continue;
    }
    for (uint32_t i = 0; i < node->output_count; ++i) {
      if (node->outputs[i] == 0 || !output_is_optional(node, i)) continue;
      tvi_value_t* value = graph->values[node->outputs[i]];
      if (value_is_needed(value)) continue;
      value->dead = true;
      node->outputs[i] = 0;
      ++removed;
    }
    for (uint32_t i = 0; i < node->subgraph_count; ++i) {
      uint32_t inner = 0;
      TRIVET_RETURN_IF_ERROR(tvi_graph_remove_dead(node->subgraphs[i], &inner));
      removed += inner;
    }
  }
  for (tvi_value_id_t id = 1; id < graph->value_count; ++id) {
    tvi_value_t* value = graph->values[id];
    if (value->dead || value->producer != 0 || value->is_input || value_is_needed(value)) continue;
    if (value->is_capture && graph->owner != 0) {
      tvi_graph_remove_use(graph->parent, value->outer,
                           (tvi_use_t){graph->owner, TVI_USE_CAPTURE | graph->owner_index});
    }
    value->dead = true;
  }
  if (out_removed != NULL) *out_removed = removed;
  return TRIVET_OK;
}

static bool node_is_needed(const trivet_graph_t* graph, const tvi_node_t* node) {
  if (!tvi_node_is_pure(node)) return true;
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (node->outputs[i] != 0 && value_is_needed(graph->values[node->outputs[i]])) return true;
  }
  return false;
}

typedef TVI_VECTOR(tvi_node_id_t) node_list_t;

// A list instead of recursion: chains of nodes can be as long as the model makes them.
static trivet_status_t sweep(trivet_graph_t* graph, node_list_t* pending, tvi_node_id_t into) {
  while (pending->count != 0) {
    tvi_node_id_t id = pending->data[--pending->count];
    const tvi_node_t* node = graph->nodes[id];
    if (node->dead || id == into || node_is_needed(graph, node)) continue;
    if (into != 0) TRIVET_RETURN_IF_ERROR(tvi_graph_merge_origins(graph, into, id));
    for (uint32_t i = 0; i < node->input_count; ++i) {
      if (node->inputs[i] == 0) continue;
      tvi_node_id_t producer = graph->values[node->inputs[i]]->producer;
      if (producer != 0) TRIVET_RETURN_IF_ERROR(tvi_vector_push(pending, producer));
    }
    tvi_graph_remove_node(graph, id);
  }
  return TRIVET_OK;
}

trivet_status_t tvi_graph_sweep(trivet_graph_t* graph, tvi_node_id_t node, tvi_node_id_t into) {
  node_list_t pending;
  tvi_vector_init(&pending, graph->allocator);
  trivet_status_t status = tvi_vector_push(&pending, node);
  if (status == NULL) status = sweep(graph, &pending, into);
  tvi_vector_deinit(&pending);
  return status;
}

trivet_status_t tvi_graph_supersede(trivet_graph_t* graph, tvi_value_id_t value,
                                    tvi_value_id_t replacement) {
  tvi_node_id_t from = graph->values[value]->producer;
  tvi_node_id_t into = graph->values[replacement]->producer;
  if (into != 0) {
    TRIVET_RETURN_IF_ERROR(tvi_graph_merge_origins(graph, into, from));
  } else if (graph->values[replacement]->constant == NULL) {
    // An input has no producer to carry the origins: those who read the value do.
    const tvi_value_t* old = graph->values[value];
    for (uint32_t i = 0; i < old->use_count; ++i) {
      TRIVET_RETURN_IF_ERROR(tvi_graph_merge_origins(graph, old->uses[i].node, from));
    }
  }
  TRIVET_RETURN_IF_ERROR(tvi_graph_replace_value(graph, value, replacement));
  return tvi_graph_sweep(graph, from, into);
}
