// SPDX-License-Identifier: Apache-2.0
//
// Implements graph_clone.h. Subgraphs of copied nodes are copied by recursion, as deep as the graph
// lets them nest.
#include "core/graph/graph_clone.h"

#include "core/base/status.h"

typedef struct clone_s {
  trivet_graph_t* to;
  tvi_node_id_t before;
  const trivet_graph_t* from;
  bool keep_names;
  tvi_arena_t* scratch;
  tvi_value_id_t* map;
} clone_t;

static trivet_status_t take_names(const clone_t* c, const tvi_value_t* value, tvi_value_id_t to) {
  if (!c->keep_names) return TRIVET_OK;
  for (uint32_t i = 0; i < value->name_count; ++i) {
    TRIVET_RETURN_IF_ERROR(tvi_graph_name_value(c->to, to, value->names[i]));
  }
  c->to->values[to]->observed |= value->observed;
  return TRIVET_OK;
}

static trivet_status_t clone_constant(const clone_t* c, const tvi_value_t* value,
                                      tvi_value_id_t* out_value) {
  trivet_tensor_t tensor;
  if (value->constant->kind == TVI_CONSTANT_DIMS) {
    TRIVET_RETURN_IF_ERROR(
        tvi_graph_add_dims_constant(c->to, &value->type, value->ints, out_value));
  } else if (tvi_value_tensor(value, &tensor)) {
    TRIVET_RETURN_IF_ERROR(
        tvi_graph_add_constant(c->to, value->constant->name, &tensor, false, out_value));
  } else {
    return TRIVET_STATUS(INTERNAL, "a constant has a symbolic shape");
  }
  // One object for both: where it came from and its hash stay known.
  c->to->values[*out_value]->constant = value->constant;
  return take_names(c, value, *out_value);
}

static trivet_status_t clone_subgraph(const clone_t* c, const trivet_graph_t* inner,
                                      trivet_graph_t** out_graph) {
  trivet_graph_t* copy;
  TRIVET_RETURN_IF_ERROR(tvi_graph_create_subgraph(c->to, inner->name, &copy));
  tvi_value_id_t* map;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(c->scratch, inner->value_count + 1u, sizeof(*map), &map));
  for (uint32_t i = 0; i < inner->input_count; ++i) {
    tvi_value_id_t value = inner->inputs[i].value;
    TRIVET_RETURN_IF_ERROR(
        tvi_graph_add_input(copy, inner->inputs[i].name, &inner->values[value]->type, &map[value]));
  }
  for (tvi_value_id_t id = 1; id < inner->value_count; ++id) {
    const tvi_value_t* value = inner->values[id];
    if (!value->is_capture || value->dead) continue;
    TRIVET_RETURN_IF_ERROR(tvi_graph_capture(copy, c->map[value->outer], &map[id]));
  }
  TRIVET_RETURN_IF_ERROR(tvi_graph_clone_body(copy, 0, inner, c->keep_names, c->scratch, map));
  for (uint32_t i = 0; i < inner->output_count; ++i) {
    TRIVET_RETURN_IF_ERROR(
        tvi_graph_add_output(copy, inner->outputs[i].name, map[inner->outputs[i].value]));
  }
  *out_graph = copy;
  return TRIVET_OK;
}

static trivet_status_t clone_node(const clone_t* c, const tvi_node_t* node) {
  tvi_value_id_t* inputs;
  trivet_graph_t** subgraphs;
  uint8_t* wanted;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(c->scratch, node->input_count + 1u, sizeof(*inputs), &inputs));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(c->scratch, node->subgraph_count + 1u,
                                                      sizeof(*subgraphs), &subgraphs));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(c->scratch, node->output_count + 1u, 1, &wanted));
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] != 0) inputs[i] = c->map[node->inputs[i]];
  }
  for (uint32_t i = 0; i < node->output_count; ++i) wanted[i] = node->outputs[i] != 0;
  for (uint32_t i = 0; i < node->subgraph_count; ++i) {
    TRIVET_RETURN_IF_ERROR(clone_subgraph(c, node->subgraphs[i], &subgraphs[i]));
  }
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
      .subgraphs = subgraphs,
      .subgraph_count = node->subgraph_count,
      .before = c->before,
      .expansion_depth = node->expansion_depth,
      .output_wanted = wanted,
  };
  tvi_node_id_t copy;
  TRIVET_RETURN_IF_ERROR(tvi_graph_add_node(c->to, &desc, &copy));
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (node->outputs[i] == 0) continue;
    tvi_value_id_t value = c->to->nodes[copy]->outputs[i];
    c->map[node->outputs[i]] = value;
    TRIVET_RETURN_IF_ERROR(take_names(c, c->from->values[node->outputs[i]], value));
  }
  return TRIVET_OK;
}

trivet_status_t tvi_graph_clone_body(trivet_graph_t* to, tvi_node_id_t before,
                                     const trivet_graph_t* from, bool keep_names,
                                     tvi_arena_t* scratch, tvi_value_id_t* map) {
  const clone_t c = {to, before, from, keep_names, scratch, map};
  for (tvi_value_id_t id = 1; id < from->value_count; ++id) {
    const tvi_value_t* value = from->values[id];
    if (value->dead || map[id] != 0) continue;
    if (value->is_capture) {
      map[id] = value->outer;
    } else if (value->constant != NULL && value->producer == 0) {
      TRIVET_RETURN_IF_ERROR(clone_constant(&c, value, &map[id]));
    }
  }
  TVI_GRAPH_FOR_EACH_NODE(from, id) { TRIVET_RETURN_IF_ERROR(clone_node(&c, from->nodes[id])); }
  return TRIVET_OK;
}
