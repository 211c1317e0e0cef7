// SPDX-License-Identifier: Apache-2.0
//
// The host side of trivet_graph_builder_t: frontends make graphs through it. It numbers values over
// all nested graphs, so that a body may simply name a value of an enclosing graph, and records the
// captures. It checks handles; everything else is checked by the graph.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/log.h"
#include "core/base/vector.h"
#include "core/graph/graph_internal.h"

// What a handle stands for.
typedef struct builder_value_s {
  trivet_graph_t* graph;
  tvi_value_id_t value;
  uint32_t reserved;
} builder_value_t;

typedef struct graph_builder_s {
  trivet_graph_builder_t base;
  trivet_allocator_t allocator;
  trivet_graph_t* graph;  // that nodes go to
  trivet_logger_t logger;
  tvi_arena_t scratch;
  TVI_VECTOR(builder_value_t) values;         // handle - 1
  TVI_VECTOR(trivet_graph_t*) subgraphs;      // id - 1
  TVI_VECTOR(trivet_attribute_t) attributes;  // of the node being made
  TVI_VECTOR(trivet_graph_t*) node_subgraphs;
  TVI_VECTOR(tvi_value_id_t) inputs;
} graph_builder_t;

static graph_builder_t* self(const trivet_graph_builder_t* base) { return (graph_builder_t*)base; }

// Frontends speak of control flow in the namespace of ordinary operators.
static const char* operator_alias(const char* op) {
  static const char* const aliases[][2] = {{"std.If", "core.If"},
                                           {"std.Loop", "core.Loop"},
                                           {"std.Scan", "core.Scan"},
                                           {"std.Call", "core.Call"}};
  for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); ++i) {
    if (strcmp(op, aliases[i][0]) == 0) return aliases[i][1];
  }
  return op;
}

static trivet_dim_t builder_dim_constant(trivet_graph_builder_t* base, int64_t value) {
  return tvi_dim_constant(self(base)->graph->dims, value);
}

static trivet_dim_t builder_dim_symbol(trivet_graph_builder_t* base, trivet_string_view_t name) {
  return tvi_dim_symbol(self(base)->graph->dims, name);
}

static trivet_dim_t builder_dim_binary(trivet_graph_builder_t* base, uint32_t op, trivet_dim_t a,
                                       trivet_dim_t b) {
  return tvi_dim_binary(self(base)->graph->dims, op, a, b);
}

static uint32_t builder_dim_value(const trivet_graph_builder_t* base, trivet_dim_t dim,
                                  int64_t* out_value) {
  (void)base;
  return dim != NULL && tvi_dim_is_constant(dim, out_value) ? 1 : 0;
}

static trivet_status_t push_value(graph_builder_t* builder, tvi_value_id_t value,
                                  trivet_value_t* out_value) {
  builder_value_t entry = {builder->graph, value, 0};
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&builder->values, entry));
  *out_value = (trivet_value_t)builder->values.count;
  return TRIVET_OK;
}

static const builder_value_t* find_value(const graph_builder_t* builder, trivet_value_t handle) {
  return handle != 0 && handle <= builder->values.count ? &builder->values.data[handle - 1] : NULL;
}

// The value of `graph` that the entry stands for there: itself, or a capture of it.
static trivet_status_t bring_into(trivet_graph_t* graph, const builder_value_t* entry,
                                  tvi_value_id_t* out_value) {
  if (entry->graph == graph) {
    *out_value = entry->value;
    return TRIVET_OK;
  }
  if (graph->parent == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "a value of a subgraph is used outside of it");
  }
  tvi_value_id_t outer;
  TRIVET_RETURN_IF_ERROR(bring_into(graph->parent, entry, &outer));
  return tvi_graph_capture(graph, outer, out_value);
}

static trivet_status_t resolve(graph_builder_t* builder, trivet_value_t handle,
                               tvi_value_id_t* out_value) {
  const builder_value_t* entry = find_value(builder, handle);
  if (entry == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "there is no value %u", handle);
  return bring_into(builder->graph, entry, out_value);
}

static trivet_status_t builder_add_input(trivet_graph_builder_t* base, trivet_string_view_t name,
                                         const trivet_type_t* type, trivet_value_t* out_value) {
  graph_builder_t* builder = self(base);
  TRIVET_RETURN_IF_ERROR(tvi_vector_reserve(&builder->values, 1));
  tvi_value_id_t value;
  TRIVET_RETURN_IF_ERROR(tvi_graph_add_input(builder->graph, name, type, &value));
  return push_value(builder, value, out_value);
}

static trivet_status_t builder_add_constant(trivet_graph_builder_t* base, trivet_string_view_t name,
                                            const trivet_tensor_t* tensor, uint32_t flags,
                                            trivet_value_t* out_value) {
  graph_builder_t* builder = self(base);
  TRIVET_RETURN_IF_ERROR(tvi_vector_reserve(&builder->values, 1));
  tvi_value_id_t value;
  TRIVET_RETURN_IF_ERROR(
      tvi_graph_add_constant(builder->graph, name, tensor, flags != TRIVET_CONSTANT_VIEW, &value));
  return push_value(builder, value, out_value);
}

// Graph attributes arrive with ids of begin_subgraph; nodes hold positions in their own list.
static trivet_status_t take_attributes(graph_builder_t* builder,
                                       const trivet_attribute_t* attributes, uint32_t count) {
  tvi_vector_clear(&builder->attributes);
  tvi_vector_clear(&builder->node_subgraphs);
  for (uint32_t i = 0; i < count; ++i) {
    trivet_attribute_t attribute = attributes[i];
    if (attribute.kind == TRIVET_ATTR_GRAPH && attribute.data != NULL) {
      uint32_t* positions;
      if (attribute.count > builder->subgraphs.count) {
        return TRIVET_STATUS(INVALID_ARGUMENT, "attribute '%s' names more subgraphs than there are",
                             attribute.name != NULL ? attribute.name : "");
      }
      TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(&builder->scratch, attribute.count + 1,
                                                   sizeof(*positions), &positions));
      for (uint64_t k = 0; k < attribute.count; ++k) {
        uint32_t id = ((const uint32_t*)attribute.data)[k];
        if (id == 0 || id > builder->subgraphs.count) {
          return TRIVET_STATUS(INVALID_ARGUMENT, "attribute '%s': there is no subgraph %u",
                               attribute.name != NULL ? attribute.name : "", id);
        }
        positions[k] = (uint32_t)builder->node_subgraphs.count;
        TRIVET_RETURN_IF_ERROR(
            tvi_vector_push(&builder->node_subgraphs, builder->subgraphs.data[id - 1]));
      }
      attribute.data = positions;
    }
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&builder->attributes, attribute));
  }
  return TRIVET_OK;
}

static trivet_status_t builder_add_node(trivet_graph_builder_t* base, const char* op,
                                        uint32_t version, const trivet_value_t* inputs,
                                        uint32_t input_count, const trivet_attribute_t* attributes,
                                        uint32_t attribute_count, const trivet_origin_t* origin,
                                        uint32_t output_count, trivet_value_t* out_outputs) {
  graph_builder_t* builder = self(base);
  if (op == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "a node has no operator");
  tvi_vector_clear(&builder->inputs);
  for (uint32_t i = 0; i < input_count; ++i) {
    tvi_value_id_t value = 0;
    if (inputs[i] != 0) {
      TRIVET_RETURN_IF_ERROR_ANNOTATED(resolve(builder, inputs[i], &value), "%s, input %u", op, i);
    }
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&builder->inputs, value));
  }
  TRIVET_RETURN_IF_ERROR_ANNOTATED(take_attributes(builder, attributes, attribute_count), "%s", op);
  TRIVET_RETURN_IF_ERROR(tvi_vector_reserve(&builder->values, output_count));
  tvi_origin_id_t origin_id = 0;
  if (origin != NULL) {
    origin_id = tvi_graph_add_origin(builder->graph, origin);
    if (origin_id == 0) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  }
  tvi_node_desc_t desc = {
      .op = operator_alias(op),
      .version = version,
      .inputs = builder->inputs.data,
      .input_count = input_count,
      .attributes = builder->attributes.data,
      .attribute_count = attribute_count,
      .output_count = output_count,
      .origins = &origin_id,
      .origin_count = origin_id != 0 ? 1 : 0,
      .subgraphs = builder->node_subgraphs.data,
      .subgraph_count = (uint32_t)builder->node_subgraphs.count,
  };
  tvi_node_id_t id;
  TRIVET_RETURN_IF_ERROR(tvi_graph_add_node(builder->graph, &desc, &id));
  const tvi_node_t* node = builder->graph->nodes[id];
  for (uint32_t i = 0; i < output_count; ++i) {
    TRIVET_RETURN_IF_ERROR(push_value(builder, node->outputs[i], &out_outputs[i]));
  }
  return TRIVET_OK;
}

static trivet_status_t builder_name_value(trivet_graph_builder_t* base, trivet_value_t value,
                                          trivet_string_view_t name) {
  const builder_value_t* entry = find_value(self(base), value);
  if (entry == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "there is no value %u to be called '%.*s'", value,
                         TVI_SV_ARGS(name));
  }
  return tvi_graph_name_value(entry->graph, entry->value, name);
}

static trivet_status_t builder_add_output(trivet_graph_builder_t* base, trivet_string_view_t name,
                                          trivet_value_t value) {
  graph_builder_t* builder = self(base);
  tvi_value_id_t id;
  TRIVET_RETURN_IF_ERROR_ANNOTATED(resolve(builder, value, &id), "output '%.*s'",
                                   TVI_SV_ARGS(name));
  return tvi_graph_add_output(builder->graph, name, id);
}

static const trivet_type_t* builder_value_type(const trivet_graph_builder_t* base,
                                               trivet_value_t value) {
  const builder_value_t* entry = find_value(self(base), value);
  return entry != NULL ? &entry->graph->values[entry->value]->type : NULL;
}

static const trivet_dim_t* builder_value_ints(trivet_graph_builder_t* base, trivet_value_t value,
                                              uint64_t* out_count) {
  const builder_value_t* entry = find_value(self(base), value);
  return entry != NULL ? tvi_graph_value_ints(entry->graph, entry->value, out_count) : NULL;
}

static const trivet_tensor_t* builder_value_constant(const trivet_graph_builder_t* base,
                                                     trivet_value_t value) {
  graph_builder_t* builder = self(base);
  const builder_value_t* entry = find_value(builder, value);
  trivet_tensor_t tensor;
  if (entry == NULL || !tvi_value_tensor(entry->graph->values[entry->value], &tensor)) return NULL;
  trivet_tensor_t* kept = NULL;
  if (trivet_status_consume(tvi_arena_alloc(&builder->scratch, sizeof(*kept), &kept)) != 0) {
    return NULL;
  }
  *kept = tensor;
  return kept;
}

static uint32_t builder_has_operator(const trivet_graph_builder_t* base, const char* op,
                                     uint32_t version) {
  return op != NULL &&
         tvi_registry_operator(self(base)->graph->registry, operator_alias(op), version) != NULL;
}

static trivet_status_t builder_begin_subgraph(trivet_graph_builder_t* base,
                                              trivet_string_view_t name, uint32_t* out_graph) {
  graph_builder_t* builder = self(base);
  TRIVET_RETURN_IF_ERROR(tvi_vector_reserve(&builder->subgraphs, 1));
  trivet_graph_t* graph;
  TRIVET_RETURN_IF_ERROR(tvi_graph_create_subgraph(builder->graph, name, &graph));
  builder->subgraphs.data[builder->subgraphs.count++] = graph;
  builder->graph = graph;
  *out_graph = (uint32_t)builder->subgraphs.count;
  return TRIVET_OK;
}

static trivet_status_t builder_end_subgraph(trivet_graph_builder_t* base) {
  graph_builder_t* builder = self(base);
  if (builder->graph->parent == NULL) {
    return TRIVET_STATUS(FAILED_PRECONDITION, "end_subgraph without begin_subgraph");
  }
  builder->graph = builder->graph->parent;
  return TRIVET_OK;
}

static trivet_status_t builder_scratch(trivet_graph_builder_t* base, uint64_t size,
                                       void** out_memory) {
  return tvi_arena_alloc(&self(base)->scratch, size, out_memory);
}

static trivet_status_t builder_error(const trivet_graph_builder_t* base, uint32_t code,
                                     const char* format, ...) {
  (void)base;
  va_list arguments;
  va_start(arguments, format);
  trivet_status_t status = trivet_status_make_v(
      code == TRIVET_STATUS_OK ? TRIVET_STATUS_INTERNAL : code, NULL, 0, format, arguments);
  va_end(arguments);
  return status;
}

static void builder_log(const trivet_graph_builder_t* base, uint32_t severity, const char* format,
                        ...) {
  const graph_builder_t* builder = self(base);
  if (!tvi_log_enabled(builder->logger, severity)) return;
  char line[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof(line), format, arguments);
  va_end(arguments);
  tvi_log(builder->logger, severity, "%s", line);
}

static const trivet_graph_builder_api_t builder_api = {
    .struct_size = (uint32_t)sizeof(trivet_graph_builder_api_t),
    .abi_minor = TRIVET_ABI_MINOR,
    .dim_constant = builder_dim_constant,
    .dim_symbol = builder_dim_symbol,
    .dim_binary = builder_dim_binary,
    .dim_value = builder_dim_value,
    .add_input = builder_add_input,
    .add_constant = builder_add_constant,
    .add_node = builder_add_node,
    .name_value = builder_name_value,
    .add_output = builder_add_output,
    .value_type = builder_value_type,
    .value_ints = builder_value_ints,
    .value_constant = builder_value_constant,
    .has_operator = builder_has_operator,
    .begin_subgraph = builder_begin_subgraph,
    .end_subgraph = builder_end_subgraph,
    .scratch = builder_scratch,
    .error = builder_error,
    .log = builder_log,
};

trivet_status_t tvi_graph_builder_create(trivet_graph_t* graph, const trivet_logger_t* logger,
                                         trivet_graph_builder_t** out_builder) {
  graph_builder_t* builder;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(graph->allocator, sizeof(*builder), &builder));
  builder->base.api = &builder_api;
  builder->allocator = graph->allocator;
  builder->graph = graph;
  builder->logger = logger != NULL ? *logger : tvi_logger_null();
  tvi_arena_init(&builder->scratch, graph->allocator, 0);
  tvi_vector_init(&builder->values, graph->allocator);
  tvi_vector_init(&builder->subgraphs, graph->allocator);
  tvi_vector_init(&builder->attributes, graph->allocator);
  tvi_vector_init(&builder->node_subgraphs, graph->allocator);
  tvi_vector_init(&builder->inputs, graph->allocator);
  *out_builder = &builder->base;
  return TRIVET_OK;
}

trivet_value_t tvi_graph_builder_find(const trivet_graph_builder_t* base,
                                      trivet_string_view_t name) {
  const graph_builder_t* builder = self(base);
  const trivet_graph_t* root = builder->graph->root;
  tvi_value_id_t value = tvi_graph_find_value(root, name);
  for (size_t i = 0; i < builder->values.count && value != 0; ++i) {
    const builder_value_t* entry = &builder->values.data[i];
    if (entry->graph == root && entry->value == value) return (trivet_value_t)(i + 1);
  }
  return 0;
}

void tvi_graph_builder_destroy(trivet_graph_builder_t* base) {
  if (base == NULL) return;
  graph_builder_t* builder = self(base);
  tvi_arena_deinit(&builder->scratch);
  tvi_vector_deinit(&builder->values);
  tvi_vector_deinit(&builder->subgraphs);
  tvi_vector_deinit(&builder->attributes);
  tvi_vector_deinit(&builder->node_subgraphs);
  tvi_vector_deinit(&builder->inputs);
  tvi_free(builder->allocator, builder, sizeof(*builder));
}
