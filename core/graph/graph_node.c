// SPDX-License-Identifier: Apache-2.0
//
// Making nodes: operands, attributes and subgraphs are copied and checked, the operator's rules are
// applied (graph_infer.c), and only then does anything become visible in the graph.
#include <stdlib.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/graph/graph_internal.h"

#define MAX_OPERANDS 65536u
#define MAX_EXPANSION_DEPTH 16u

trivet_status_t tvi_graph_add_use(trivet_graph_t* graph, tvi_value_id_t value, tvi_use_t use) {
  tvi_value_t* v = graph->values[value];
  if (v->use_count == v->use_capacity) {
    uint32_t capacity = v->use_capacity == 0 ? 2 : v->use_capacity * 2;
    tvi_use_t* uses;
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(graph->arena, capacity, sizeof(*uses), &uses));
    if (v->use_count != 0) memcpy(uses, v->uses, v->use_count * sizeof(*uses));
    v->uses = uses;
    v->use_capacity = capacity;
  }
  v->uses[v->use_count++] = use;
  return TRIVET_OK;
}

void tvi_graph_remove_use(trivet_graph_t* graph, tvi_value_id_t value, tvi_use_t use) {
  tvi_value_t* v = graph->values[value];
  for (uint32_t i = 0; i < v->use_count; ++i) {
    if (v->uses[i].node == use.node && v->uses[i].operand == use.operand) {
      // Order is kept: uses are visited in the order in which they were made.
      memmove(v->uses + i, v->uses + i + 1, (v->use_count - i - 1) * sizeof(*v->uses));
      --v->use_count;
      return;
    }
  }
}

static trivet_status_t copy_strings(tvi_arena_t* arena, const trivet_attribute_t* from,
                                    const void** out_data) {
  trivet_string_view_t* copies;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, from->count + 1, sizeof(*copies), &copies));
  for (uint64_t i = 0; i < from->count; ++i) {
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_strdup(arena, ((const trivet_string_view_t*)from->data)[i], &copies[i]));
  }
  *out_data = copies;
  return TRIVET_OK;
}

static trivet_status_t copy_tensors(tvi_arena_t* arena, const trivet_attribute_t* from,
                                    const void** out_data) {
  trivet_tensor_t* copies;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, from->count + 1, sizeof(*copies), &copies));
  for (uint64_t i = 0; i < from->count; ++i) {
    const trivet_tensor_t* tensor = &((const trivet_tensor_t*)from->data)[i];
    TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_tensor_check(tensor), "attribute '%s'", from->name);
    TRIVET_RETURN_IF_ERROR(tvi_graph_copy_tensor(arena, tensor, &copies[i]));
  }
  *out_data = copies;
  return TRIVET_OK;
}

trivet_status_t tvi_graph_copy_attribute(tvi_arena_t* arena, const trivet_attribute_t* from,
                                         trivet_attribute_t* out_to) {
  if (from->name == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "an attribute has no name");
  if (from->data == NULL && from->count != 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "attribute '%s': data is NULL", from->name);
  }
  if (from->count != 1 && (from->flags & TRIVET_ATTR_LIST) == 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "attribute '%s': %llu values, but it is no list",
                         from->name, (unsigned long long)from->count);
  }
  trivet_attribute_t to = *from;
  trivet_string_view_t name;
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(arena, tvi_sv(from->name), &name));
  to.name = name.data;
  size_t element;
  switch (from->kind) {
    case TRIVET_ATTR_I64:
    case TRIVET_ATTR_F32:
      element = 8;
      break;
    case TRIVET_ATTR_DTYPE:
    case TRIVET_ATTR_GRAPH:
      element = 4;
      break;
    case TRIVET_ATTR_STRING:
      TRIVET_RETURN_IF_ERROR(copy_strings(arena, from, &to.data));
      *out_to = to;
      return TRIVET_OK;
    case TRIVET_ATTR_TENSOR:
      TRIVET_RETURN_IF_ERROR(copy_tensors(arena, from, &to.data));
      *out_to = to;
      return TRIVET_OK;
    default:
      return TRIVET_STATUS(INVALID_ARGUMENT, "attribute '%s': %u is no kind of attribute",
                           from->name, from->kind);
  }
  size_t size;
  if (!tvi_checked_mul_size(from->count, element, &size)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "attribute '%s': %llu values", from->name,
                         (unsigned long long)from->count);
  }
  void* bytes = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc(arena, size + 8, &bytes));
  if (size != 0) memcpy(bytes, from->data, size);
  to.data = bytes;
  *out_to = to;
  return TRIVET_OK;
}

static int compare_attributes(const void* a, const void* b) {
  return strcmp(((const trivet_attribute_t*)a)->name, ((const trivet_attribute_t*)b)->name);
}

static trivet_status_t copy_attributes(trivet_graph_t* graph, const tvi_node_desc_t* desc,
                                       tvi_node_t* node) {
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(graph->arena, desc->attribute_count,
                                               sizeof(*node->attributes), &node->attributes));
  for (uint32_t i = 0; i < desc->attribute_count; ++i) {
    TRIVET_RETURN_IF_ERROR(
        tvi_graph_copy_attribute(graph->arena, &desc->attributes[i], &node->attributes[i]));
  }
  node->attribute_count = desc->attribute_count;
  // Sorted, so that equal nodes look equal.
  if (node->attribute_count > 1) {
    qsort(node->attributes, node->attribute_count, sizeof(*node->attributes), compare_attributes);
  }
  for (uint32_t i = 1; i < node->attribute_count; ++i) {
    if (strcmp(node->attributes[i].name, node->attributes[i - 1].name) == 0) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "attribute '%s' is given twice",
                           node->attributes[i].name);
    }
  }
  return TRIVET_OK;
}

static trivet_status_t check_subgraphs(const trivet_graph_t* graph, const tvi_node_t* node) {
  for (uint32_t i = 0; i < node->subgraph_count; ++i) {
    const trivet_graph_t* each = node->subgraphs[i];
    if (each == NULL || each->parent != graph) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "subgraph %u was not made for this graph", i);
    }
    bool twice = each->owner != 0;
    for (uint32_t k = 0; k < i; ++k) twice = twice || node->subgraphs[k] == each;
    if (twice) return TRIVET_STATUS(INVALID_ARGUMENT, "subgraph %u already belongs to a node", i);
  }
  uint32_t named = 0;
  for (uint32_t i = 0; i < node->attribute_count; ++i) {
    const trivet_attribute_t* attribute = &node->attributes[i];
    if (attribute->kind != TRIVET_ATTR_GRAPH) continue;
    for (uint64_t k = 0; k < attribute->count; ++k, ++named) {
      if (((const uint32_t*)attribute->data)[k] >= node->subgraph_count) {
        return TRIVET_STATUS(INVALID_ARGUMENT, "attribute '%s': there is no subgraph %u",
                             attribute->name, ((const uint32_t*)attribute->data)[k]);
      }
    }
  }
  if (named != node->subgraph_count) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%u subgraphs are given, attributes name %u",
                         node->subgraph_count, named);
  }
  return TRIVET_OK;
}

static int compare_ids(const void* a, const void* b) {
  tvi_origin_id_t x = *(const tvi_origin_id_t*)a;
  tvi_origin_id_t y = *(const tvi_origin_id_t*)b;
  return x < y ? -1 : x > y;
}

static trivet_status_t copy_origins(trivet_graph_t* graph, const tvi_node_desc_t* desc,
                                    tvi_node_t* node) {
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(graph->arena, desc->origin_count,
                                               sizeof(*node->origins), &node->origins));
  for (uint32_t i = 0; i < desc->origin_count; ++i) {
    if (desc->origins[i] == 0) continue;
    if (desc->origins[i] > graph->root->origin_count) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "there is no origin %u", desc->origins[i]);
    }
    node->origins[node->origin_count++] = desc->origins[i];
  }
  if (node->origin_count > 1) {
    qsort(node->origins, node->origin_count, sizeof(*node->origins), compare_ids);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < node->origin_count; ++i) {
      if (node->origins[i] != node->origins[kept - 1]) node->origins[kept++] = node->origins[i];
    }
    node->origin_count = kept;
  }
  return TRIVET_OK;
}

static trivet_status_t fill_node(trivet_graph_t* graph, const tvi_node_desc_t* desc,
                                 tvi_node_t* node) {
  TRIVET_RETURN_IF_ERROR(copy_origins(graph, desc, node));
  if (desc->input_count > MAX_OPERANDS || desc->output_count > MAX_OPERANDS) {
    return TRIVET_STATUS(OUT_OF_RANGE, "%u inputs and %u outputs are too many", desc->input_count,
                         desc->output_count);
  }
  uint32_t input_count = desc->input_count;
  while (input_count != 0 && desc->inputs[input_count - 1] == 0) --input_count;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(graph->arena, input_count, sizeof(*node->inputs), &node->inputs));
  for (uint32_t i = 0; i < input_count; ++i) {
    if (desc->inputs[i] != 0 && !tvi_graph_value_ok(graph, desc->inputs[i])) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "input %u: there is no value %u", i, desc->inputs[i]);
    }
    node->inputs[i] = desc->inputs[i];
  }
  node->input_count = input_count;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(graph->arena, desc->output_count,
                                                      sizeof(*node->outputs), &node->outputs));
  node->output_count = desc->output_count;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(graph->arena, desc->subgraph_count,
                                               sizeof(*node->subgraphs), &node->subgraphs));
  for (uint32_t i = 0; i < desc->subgraph_count; ++i) node->subgraphs[i] = desc->subgraphs[i];
  node->subgraph_count = desc->subgraph_count;
  TRIVET_RETURN_IF_ERROR(copy_attributes(graph, desc, node));
  TRIVET_RETURN_IF_ERROR(check_subgraphs(graph, node));
  node->made_by = graph->root->current_pass;
  node->expansion_depth = desc->expansion_depth;
  if (node->expansion_depth > MAX_EXPANSION_DEPTH) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "operators expand to each other without end");
  }
  return TRIVET_OK;
}

// All memory that linking the node needs, so that linking itself cannot fail half-way. Uses are the
// exception: they are taken back.
static trivet_status_t add_uses(trivet_graph_t* graph, const tvi_node_t* node, tvi_node_id_t id) {
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] == 0) continue;
    TRIVET_RETURN_IF_ERROR(tvi_graph_add_use(graph, node->inputs[i], (tvi_use_t){id, i}));
  }
  for (uint32_t i = 0; i < node->subgraph_count; ++i) {
    const trivet_graph_t* subgraph = node->subgraphs[i];
    for (tvi_value_id_t k = 1; k < subgraph->value_count; ++k) {
      const tvi_value_t* value = subgraph->values[k];
      if (!value->is_capture || value->dead) continue;
      TRIVET_RETURN_IF_ERROR(
          tvi_graph_add_use(graph, value->outer, (tvi_use_t){id, TVI_USE_CAPTURE | i}));
    }
  }
  return TRIVET_OK;
}

void tvi_graph_remove_captures(trivet_graph_t* graph, const tvi_node_t* node, tvi_node_id_t id) {
  for (uint32_t i = 0; i < node->subgraph_count; ++i) {
    const trivet_graph_t* subgraph = node->subgraphs[i];
    for (tvi_value_id_t k = 1; k < subgraph->value_count; ++k) {
      const tvi_value_t* value = subgraph->values[k];
      if (!value->is_capture || value->dead) continue;
      tvi_graph_remove_use(graph, value->outer, (tvi_use_t){id, TVI_USE_CAPTURE | i});
    }
  }
}

static void insert_before(trivet_graph_t* graph, tvi_node_id_t id, tvi_node_id_t before) {
  tvi_node_t* node = graph->nodes[id];
  node->next = before;
  node->previous = before != 0 ? graph->nodes[before]->previous : graph->last;
  if (node->previous != 0) {
    graph->nodes[node->previous]->next = id;
  } else {
    graph->first = id;
  }
  if (before != 0) {
    graph->nodes[before]->previous = id;
  } else {
    graph->last = id;
  }
}

void tvi_graph_move_node(trivet_graph_t* graph, tvi_node_id_t id, tvi_node_id_t before) {
  if (id == before) return;
  tvi_node_t* node = graph->nodes[id];
  if (node->previous != 0) {
    graph->nodes[node->previous]->next = node->next;
  } else {
    graph->first = node->next;
  }
  if (node->next != 0) {
    graph->nodes[node->next]->previous = node->previous;
  } else {
    graph->last = node->previous;
  }
  insert_before(graph, id, before);
}

static trivet_status_t infer_and_link(trivet_graph_t* graph, const tvi_node_desc_t* desc,
                                      tvi_node_t* node, tvi_node_id_t* out_node) {
  tvi_inferred_t* inferred = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(graph->arena, desc->output_count + 1u,
                                                      sizeof(*inferred), &inferred));
  TRIVET_RETURN_IF_ERROR(tvi_graph_infer_node(graph, node, desc->output_wanted, inferred));
  TRIVET_RETURN_IF_ERROR(tvi_graph_reserve_values(graph, desc->output_count));
  TRIVET_RETURN_IF_ERROR(tvi_graph_grow(graph->allocator, &graph->nodes, &graph->node_capacity,
                                        graph->node_count, 1, sizeof(*graph->nodes)));
  uint32_t value_count = graph->value_count;
  tvi_node_id_t id = graph->node_count;
  trivet_status_t status = TRIVET_OK;
  for (uint32_t i = 0; i < desc->output_count && status == NULL; ++i) {
    if (desc->output_wanted != NULL && desc->output_wanted[i] == 0) continue;
    status = tvi_graph_new_value(graph, &inferred[i].type, &node->outputs[i]);
    if (status != NULL) break;
    tvi_value_t* value = graph->values[node->outputs[i]];
    value->producer = id;
    value->output_index = i;
    value->ints = inferred[i].ints;
    value->partial_ints = inferred[i].partial_ints;
    value->int_count = inferred[i].int_count;
  }
  if (status == NULL) status = add_uses(graph, node, id);
  if (status != NULL) {
    for (uint32_t i = 0; i < node->input_count; ++i) {
      if (node->inputs[i] != 0) tvi_graph_remove_use(graph, node->inputs[i], (tvi_use_t){id, i});
    }
    tvi_graph_remove_captures(graph, node, id);
    graph->value_count = value_count;
    return status;
  }
  for (uint32_t i = 0; i < node->subgraph_count; ++i) {
    node->subgraphs[i]->owner = id;
    node->subgraphs[i]->owner_index = i;
  }
  graph->nodes[id] = node;
  ++graph->node_count;
  insert_before(graph, id, desc->before);
  *out_node = id;
  return TRIVET_OK;
}

trivet_status_t tvi_graph_add_node(trivet_graph_t* graph, const tvi_node_desc_t* desc,
                                   tvi_node_id_t* out_node) {
  const tvi_operator_entry_t* op = tvi_registry_operator(graph->registry, desc->op, desc->version);
  if (op == NULL) {
    return desc->version != 0
               ? TRIVET_STATUS(NOT_FOUND, "there is no operator '%s/%u'", desc->op, desc->version)
               : TRIVET_STATUS(NOT_FOUND, "there is no operator '%s'", desc->op);
  }
  if (desc->before != 0 &&
      (desc->before >= graph->node_count || graph->nodes[desc->before]->dead)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "there is no node %u to insert before", desc->before);
  }
  tvi_node_t* node;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(graph->arena, sizeof(*node), &node));
  node->op = op;
  trivet_status_t status = fill_node(graph, desc, node);
  if (status == NULL) status = infer_and_link(graph, desc, node, out_node);
  status = tvi_graph_result(graph, status);
  if (status != NULL) {
    char label[TVI_NODE_LABEL_SIZE];
    return trivet_status_annotate(status, "%s", tvi_node_label(graph, node, label, sizeof(label)));
  }
  return TRIVET_OK;
}
