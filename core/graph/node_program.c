// SPDX-License-Identifier: Apache-2.0
//
// What one node means: its kernel-IR program, or the graph of other operators that it stands for.
// Expansion keeps origins and the node's declared types; it must not look at what any operator is.
#include <stdio.h>

#include "core/base/map.h"
#include "core/base/vector.h"
#include "core/graph/graph_internal.h"

#define OUTPUT_TAG 0x1000u

// Types and presence of the outputs of an existing node, for tvi_kir_node_t.
static trivet_status_t fill_outputs(const trivet_graph_t* graph, const tvi_node_t* node,
                                    tvi_arena_t* arena, tvi_kir_node_t* kir) {
  trivet_type_t* types;
  uint8_t* wanted;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, node->output_count + 1u, sizeof(*types), &types));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, node->output_count + 1u, 1, &wanted));
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (node->outputs[i] == 0) continue;
    types[i] = graph->values[node->outputs[i]]->type;
    wanted[i] = 1;
  }
  kir->outputs = types;
  kir->output_wanted = wanted;
  return TRIVET_OK;
}

static trivet_status_t node_program(const trivet_graph_t* graph, tvi_node_t* node,
                                    tvi_arena_t* arena, tvi_kir_program_t** out_program) {
  if (node->op->parsed == NULL) {
    return TRIVET_STATUS(UNIMPLEMENTED, "a core operator has no kernel-IR program");
  }
  tvi_kir_node_t kir;
  tvi_kir_function_lookup_t lookup;
  TRIVET_RETURN_IF_ERROR(tvi_graph_kir_node(graph, node, NULL, arena, &lookup, &kir));
  TRIVET_RETURN_IF_ERROR(fill_outputs(graph, node, arena, &kir));
  tvi_kir_instance_t instance;
  TRIVET_RETURN_IF_ERROR(tvi_graph_instantiate(graph, node, &kir, arena, &instance));
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (instance.output_values[i] != TVI_KIR_NONE) {
      instance.program->values[instance.output_values[i]].tag = OUTPUT_TAG + i;
    }
  }
  *out_program = instance.program;
  return TRIVET_OK;
}

trivet_status_t tvi_graph_node_program(const trivet_graph_t* graph, tvi_node_id_t node,
                                       tvi_arena_t* arena, tvi_kir_program_t** out_program) {
  trivet_status_t status =
      tvi_graph_result(graph, node_program(graph, graph->nodes[node], arena, out_program));
  if (status == NULL) return TRIVET_OK;
  char label[TVI_NODE_LABEL_SIZE];
  return trivet_status_annotate(status, "%s",
                                tvi_graph_node_label(graph, node, label, sizeof(label)));
}

// ---------------------------------------------------------------------------------------------
// Expansion
// ---------------------------------------------------------------------------------------------

typedef struct expansion_s {
  trivet_graph_t* graph;
  const tvi_node_t* node;
  tvi_node_id_t id;
  tvi_arena_t* arena;
  tvi_map_t names;  // of the values that lines define
  TVI_VECTOR(tvi_node_id_t) added;
} expansion_t;

static const tvi_kir_operand_t* find_operand(const tvi_kir_operator_t* op,
                                             trivet_string_view_t name, uint32_t* out_index) {
  for (uint32_t i = 0; i < op->input_count; ++i) {
    if (tvi_sv_equal(op->inputs[i].name, name)) {
      *out_index = i;
      return &op->inputs[i];
    }
  }
  return NULL;
}

// Appends the value(s) that `name` means: a line's result, an operand, a member or all of a
// variadic operand.
static trivet_status_t resolve(const expansion_t* e, trivet_string_view_t name,
                               tvi_value_id_t* values, uint32_t* count) {
  uint64_t found;
  if (name.size == 0) {
    values[(*count)++] = 0;
    return TRIVET_OK;
  }
  if (tvi_map_get(&e->names, name, &found)) {
    values[(*count)++] = (tvi_value_id_t)found;
    return TRIVET_OK;
  }
  const tvi_node_t* node = e->node;
  uint32_t index;
  trivet_string_view_t base = name;
  bool all = tvi_sv_ends_with(name, tvi_sv("..."));
  if (all) base.size -= 3;
  uint64_t member = 0;
  size_t colon = tvi_sv_find(base, ':');
  if (colon != SIZE_MAX) {
    if (!tvi_sv_parse_u64(tvi_sv_slice(base, colon + 1, SIZE_MAX), &member)) member = UINT32_MAX;
    base = tvi_sv_slice(base, 0, colon);
  }
  if (find_operand(node->op->parsed, base, &index) == NULL || member >= node->input_count + 1u) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%%%.*s is not defined", TVI_SV_ARGS(name));
  }
  if (!all) {
    uint32_t at = index + (uint32_t)member;
    values[(*count)++] = at < node->input_count ? node->inputs[at] : 0;
    return TRIVET_OK;
  }
  for (uint32_t i = index; i < node->input_count; ++i) values[(*count)++] = node->inputs[i];
  return TRIVET_OK;
}

static trivet_status_t expand_line(expansion_t* e, const tvi_kir_graph_line_t* line) {
  tvi_value_id_t* inputs;
  trivet_attribute_t* attributes;
  uint8_t* wanted;
  uint32_t input_count = 0;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(
      e->arena, (size_t)line->input_count + (size_t)line->input_count * e->node->input_count + 1,
      sizeof(*inputs), &inputs));
  for (uint32_t i = 0; i < line->input_count; ++i) {
    TRIVET_RETURN_IF_ERROR(resolve(e, line->inputs[i], inputs, &input_count));
  }
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(e->arena, line->attribute_count + 1u,
                                               sizeof(*attributes), &attributes));
  uint32_t attribute_count = 0;
  for (uint32_t i = 0; i < line->attribute_count; ++i) {
    const tvi_kir_graph_attribute_t* from = &line->attributes[i];
    const trivet_attribute_t* value = from->value;
    if (value == NULL) {
      const char* own = e->node->op->parsed->attributes[from->reference].name.data;
      value = tvi_node_attribute(e->node, own);
      if (value == NULL) continue;
    }
    attributes[attribute_count] = *value;
    attributes[attribute_count++].name = from->name.data;
  }
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(e->arena, line->output_count + 1u, 1, &wanted));
  for (uint32_t i = 0; i < line->output_count; ++i) {
    wanted[i] = !tvi_sv_equal_cstr(line->outputs[i], "_");
  }
  trivet_string_view_t op;
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(e->arena, line->op, &op));
  tvi_node_desc_t desc = {
      .op = op.data,
      .version = line->version,
      .inputs = inputs,
      .input_count = input_count,
      .attributes = attributes,
      .attribute_count = attribute_count,
      .output_count = line->output_count,
      .output_wanted = wanted,
      .origins = e->node->origins,
      .origin_count = e->node->origin_count,
      .before = e->id,
      .expansion_depth = e->node->expansion_depth + 1,
  };
  TRIVET_RETURN_IF_ERROR(tvi_vector_reserve(&e->added, 1));
  tvi_node_id_t added;
  TRIVET_RETURN_IF_ERROR(tvi_graph_add_node(e->graph, &desc, &added));
  e->added.data[e->added.count++] = added;
  for (uint32_t i = 0; i < line->output_count; ++i) {
    if (wanted[i] == 0) continue;
    TRIVET_RETURN_IF_ERROR(
        tvi_map_set(&e->names, line->outputs[i], e->graph->nodes[added]->outputs[i]));
  }
  return TRIVET_OK;
}

// The value that replaces output `index` of the node.
static trivet_status_t find_result(const expansion_t* e, uint32_t index,
                                   tvi_value_id_t* out_value) {
  const tvi_kir_operator_t* op = e->node->op->parsed;
  uint32_t declared = index < op->output_count ? index : op->output_count - 1;
  trivet_string_view_t name = op->outputs[declared].name;
  char member[256];
  if (op->outputs[declared].variadic) {
    int size = snprintf(member, sizeof(member), "%.*s:%u", TVI_SV_ARGS(name), index - declared);
    name = tvi_sv_make(member, (size_t)size < sizeof(member) ? (size_t)size : sizeof(member) - 1);
  }
  uint32_t count = 0;
  TRIVET_RETURN_IF_ERROR(resolve(e, name, out_value, &count));
  if (*out_value == 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%%%.*s is an absent operand", TVI_SV_ARGS(name));
  }
  return TRIVET_OK;
}

static trivet_status_t check_result(const expansion_t* e, uint32_t index, tvi_value_id_t value) {
  const trivet_type_t* declared = &e->graph->values[e->node->outputs[index]]->type;
  const trivet_type_t* found = &e->graph->values[value]->type;
  if (declared->dtype != found->dtype || declared->rank != found->rank) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "output %u is of type %s and rank %u, its graph gives %s and rank %u",
                         index, trivet_dtype_name(declared->dtype), declared->rank,
                         trivet_dtype_name(found->dtype), found->rank);
  }
  tvi_origin_id_t origin = e->node->origin_count != 0 ? e->node->origins[0] : 0;
  for (uint32_t i = 0; i < found->rank; ++i) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(
        tvi_graph_assume(e->graph, declared->dims[i], found->dims[i], origin),
        "output %u, dimension %u", index, i);
  }
  return TRIVET_OK;
}

static trivet_status_t expand_body(expansion_t* e, const tvi_kir_body_t* body) {
  for (uint32_t i = 0; i < body->line_count; ++i) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(expand_line(e, &body->lines[i]), "line %u of its graph",
                                     body->lines[i].line);
  }
  tvi_value_id_t* results;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(e->arena, e->node->output_count + 1u,
                                                      sizeof(*results), &results));
  for (uint32_t i = 0; i < e->node->output_count; ++i) {
    if (e->node->outputs[i] == 0) continue;
    TRIVET_RETURN_IF_ERROR(find_result(e, i, &results[i]));
    TRIVET_RETURN_IF_ERROR(check_result(e, i, results[i]));
  }
  for (uint32_t i = 0; i < e->node->output_count; ++i) {
    if (results[i] == 0) continue;
    TRIVET_RETURN_IF_ERROR(tvi_graph_replace_value(e->graph, e->node->outputs[i], results[i]));
  }
  return TRIVET_OK;
}

static trivet_status_t expand(trivet_graph_t* graph, tvi_node_id_t id, tvi_arena_t* arena,
                              bool* out_expanded) {
  tvi_node_t* node = graph->nodes[id];
  tvi_kir_node_t kir;
  tvi_kir_function_lookup_t lookup;
  const tvi_kir_body_t* body;
  TRIVET_RETURN_IF_ERROR(tvi_graph_kir_node(graph, node, NULL, arena, &lookup, &kir));
  TRIVET_RETURN_IF_ERROR(fill_outputs(graph, node, arena, &kir));
  TRIVET_RETURN_IF_ERROR(tvi_graph_node_body(graph, node, &kir, arena, &body));
  if (body->kind != TVI_KIR_BODY_GRAPH) {
    *out_expanded = false;
    return TRIVET_OK;
  }
  expansion_t e = {.graph = graph, .node = node, .id = id, .arena = arena};
  tvi_map_init(&e.names, graph->allocator);
  tvi_vector_init(&e.added, graph->allocator);
  trivet_status_t status = expand_body(&e, body);
  if (status == NULL) {
    tvi_graph_remove_node(graph, id);
    *out_expanded = true;
  } else {
    for (size_t i = e.added.count; i-- > 0;) tvi_graph_remove_node(graph, e.added.data[i]);
  }
  tvi_vector_deinit(&e.added);
  tvi_map_deinit(&e.names);
  return status;
}

trivet_status_t tvi_graph_expand_node(trivet_graph_t* graph, tvi_node_id_t node,
                                      bool* out_expanded) {
  const tvi_node_t* n = graph->nodes[node];
  const trivet_operator_t* op = n->op->definition;
  // A hook is only asked when its answer can be a graph.
  if (n->op->parsed == NULL ||
      (op->lower != NULL ? (op->flags & TRIVET_OPERATOR_LOWERS_TO_GRAPH) == 0
                         : n->op->parsed->body.kind != TVI_KIR_BODY_GRAPH)) {
    *out_expanded = false;
    return TRIVET_OK;
  }
  tvi_arena_t arena;
  tvi_arena_init(&arena, graph->allocator, 0);
  trivet_status_t status = tvi_graph_result(graph, expand(graph, node, &arena, out_expanded));
  tvi_arena_deinit(&arena);
  if (status == NULL) return TRIVET_OK;
  char label[TVI_NODE_LABEL_SIZE];
  return trivet_status_annotate(status, "%s",
                                tvi_graph_node_label(graph, node, label, sizeof(label)));
}
