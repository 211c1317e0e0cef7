// SPDX-License-Identifier: Apache-2.0
//
// Storage of graphs: creation, inputs, constants, outputs, origins, names and captures. What it
// stores is well-formed by itself; rules about operators are elsewhere (graph_node.c,
// graph_infer.c).
#include "core/graph/graph.h"

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/vector.h"
#include "core/graph/graph_internal.h"

trivet_status_t tvi_graph_grow(trivet_allocator_t allocator, void* array_address,
                               uint32_t* capacity, uint32_t count, uint32_t extra,
                               size_t element_size) {
  if (extra <= *capacity - count) return TRIVET_OK;
  if (extra > UINT32_MAX / 4 - count) {
    return TRIVET_STATUS(OUT_OF_RANGE, "a graph cannot hold more than %u parts", UINT32_MAX / 4);
  }
  size_t wide = *capacity;
  TRIVET_RETURN_IF_ERROR(
      tvi_vector_reserve_memory(allocator, array_address, &wide, count, extra, element_size));
  *capacity = (uint32_t)wide;
  return TRIVET_OK;
}

static void* allocate_noted(void* self, size_t size, size_t alignment) {
  trivet_graph_t* root = self;
  void* memory = root->allocator.allocate(root->allocator.self, size, alignment);
  if (memory == NULL) root->out_of_memory = true;
  return memory;
}

static void deallocate_noted(void* self, void* memory, size_t size, size_t alignment) {
  trivet_graph_t* root = self;
  root->allocator.deallocate(root->allocator.self, memory, size, alignment);
}

trivet_allocator_t tvi_graph_dim_allocator(trivet_graph_t* root) {
  return (trivet_allocator_t){root, allocate_noted, NULL, deallocate_noted};
}

trivet_status_t tvi_graph_result(const trivet_graph_t* graph, trivet_status_t status) {
  if (!graph->root->out_of_memory || trivet_status_code(status) == TRIVET_STATUS_OUT_OF_MEMORY) {
    return status;
  }
  trivet_status_free(status);
  return TRIVET_STATUS(OUT_OF_MEMORY, "no memory for the dimensions of a graph");
}

static trivet_status_t init_graph(trivet_graph_t* graph) {
  // Id 0 means none, so slot 0 is taken.
  TRIVET_RETURN_IF_ERROR(tvi_graph_grow(graph->allocator, &graph->values, &graph->value_capacity, 0,
                                        16, sizeof(*graph->values)));
  TRIVET_RETURN_IF_ERROR(tvi_graph_grow(graph->allocator, &graph->nodes, &graph->node_capacity, 0,
                                        16, sizeof(*graph->nodes)));
  graph->values[0] = NULL;
  graph->nodes[0] = NULL;
  graph->value_count = 1;
  graph->node_count = 1;
  return TRIVET_OK;
}

trivet_status_t tvi_graph_create(const tvi_registry_t* registry, trivet_allocator_t allocator,
                                 trivet_graph_t** out_graph) {
  allocator = tvi_allocator_or_system(allocator);
  trivet_graph_t* graph;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(allocator, sizeof(*graph), &graph));
  graph->allocator = allocator;
  graph->registry = registry;
  graph->root = graph;
  trivet_status_t status = tvi_alloc_zeroed(allocator, sizeof(*graph->arena), &graph->arena);
  if (status == NULL) {
    tvi_arena_init(graph->arena, allocator, 64 * 1024);
    status = tvi_dim_context_create(tvi_graph_dim_allocator(graph), &graph->dims);
  }
  if (status == NULL) status = init_graph(graph);
  if (status != NULL) {
    tvi_graph_destroy(graph);
    return status;
  }
  *out_graph = graph;
  return TRIVET_OK;
}

static void free_lists(trivet_graph_t* graph) {
  trivet_allocator_t allocator = graph->allocator;
  tvi_free_array(allocator, graph->values, graph->value_capacity, sizeof(*graph->values));
  tvi_free_array(allocator, graph->nodes, graph->node_capacity, sizeof(*graph->nodes));
  tvi_free_array(allocator, graph->inputs, graph->input_capacity, sizeof(*graph->inputs));
  tvi_free_array(allocator, graph->outputs, graph->output_capacity, sizeof(*graph->outputs));
  tvi_free_array(allocator, graph->origins, graph->origin_capacity, sizeof(*graph->origins));
  tvi_free_array(allocator, graph->assumptions, graph->assumption_capacity,
                 sizeof(*graph->assumptions));
}

void tvi_graph_destroy(trivet_graph_t* graph) {
  if (graph == NULL || graph->root != graph) return;
  trivet_allocator_t allocator = graph->allocator;
  for (trivet_graph_t* each = graph->next_subgraph; each != NULL; each = each->next_subgraph) {
    free_lists(each);
  }
  free_lists(graph);
  tvi_dim_context_destroy(graph->dims);
  if (graph->arena != NULL) {
    tvi_arena_deinit(graph->arena);
    tvi_free(allocator, graph->arena, sizeof(*graph->arena));
  }
  if (graph->release_keepalive != NULL) graph->release_keepalive(graph->keepalive);
  tvi_free(allocator, graph, sizeof(*graph));
}

trivet_status_t tvi_graph_create_subgraph(trivet_graph_t* parent, trivet_string_view_t name,
                                          trivet_graph_t** out_graph) {
  uint32_t depth = 0;
  for (const trivet_graph_t* each = parent; each != NULL; each = each->parent) ++depth;
  if (depth > TVI_GRAPH_MAX_DEPTH) {
    return TRIVET_STATUS(OUT_OF_RANGE, "subgraphs are nested deeper than %u", TVI_GRAPH_MAX_DEPTH);
  }
  trivet_graph_t* root = parent->root;
  trivet_graph_t* graph;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(root->arena, sizeof(*graph), &graph));
  graph->allocator = root->allocator;
  graph->arena = root->arena;
  graph->dims = root->dims;
  graph->registry = root->registry;
  graph->parent = parent;
  graph->root = root;
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(root->arena, name, &graph->name));
  trivet_status_t status = init_graph(graph);
  if (status != NULL) {
    free_lists(graph);
    return status;
  }
  graph->next_subgraph = root->next_subgraph;
  root->next_subgraph = graph;
  *out_graph = graph;
  return TRIVET_OK;
}

bool tvi_graph_value_ok(const trivet_graph_t* graph, tvi_value_id_t value) {
  return value != 0 && value < graph->value_count && !graph->values[value]->dead;
}

trivet_status_t tvi_graph_reserve_values(trivet_graph_t* graph, uint32_t extra) {
  return tvi_graph_grow(graph->allocator, &graph->values, &graph->value_capacity,
                        graph->value_count, extra, sizeof(*graph->values));
}

trivet_status_t tvi_graph_new_value(trivet_graph_t* graph, const trivet_type_t* type,
                                    tvi_value_id_t* out_value) {
  TRIVET_RETURN_IF_ERROR(tvi_graph_reserve_values(graph, 1));
  tvi_value_t* value;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(graph->arena, sizeof(*value), &value));
  value->type = *type;
  graph->values[graph->value_count] = value;
  *out_value = graph->value_count++;
  return TRIVET_OK;
}

static trivet_status_t check_type(const trivet_type_t* type) {
  if (!tvi_dtype_is_valid(type->dtype)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%u is no element type", type->dtype);
  }
  if (type->rank > TRIVET_MAX_RANK) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "rank %u is beyond the limit of %u", type->rank,
                         TRIVET_MAX_RANK);
  }
  for (uint32_t i = 0; i < type->rank; ++i) {
    int64_t extent;
    if (type->dims[i] == NULL) {
      return TRIVET_STATUS(OUT_OF_RANGE, "extent %u overflows", i);
    }
    if (tvi_dim_is_constant(type->dims[i], &extent) && extent < 0) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "extent %u is %lld", i, (long long)extent);
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_graph_add_input(trivet_graph_t* graph, trivet_string_view_t name,
                                    const trivet_type_t* type, tvi_value_id_t* out_value) {
  TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_graph_result(graph, check_type(type)), "input '%.*s'",
                                   TVI_SV_ARGS(name));
  if (graph->parent == NULL) {
    for (uint32_t i = 0; i < graph->input_count; ++i) {
      if (tvi_sv_equal(graph->inputs[i].name, name)) {
        return TRIVET_STATUS(ALREADY_EXISTS, "the graph already has an input '%.*s'",
                             TVI_SV_ARGS(name));
      }
    }
  }
  TRIVET_RETURN_IF_ERROR(tvi_graph_grow(graph->allocator, &graph->inputs, &graph->input_capacity,
                                        graph->input_count, 1, sizeof(*graph->inputs)));
  trivet_string_view_t own_name;
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(graph->arena, name, &own_name));
  tvi_value_id_t id;
  TRIVET_RETURN_IF_ERROR(tvi_graph_new_value(graph, type, &id));
  tvi_value_t* value = graph->values[id];
  value->is_input = true;
  value->output_index = graph->input_count;
  if (name.size != 0) {
    trivet_status_t status = tvi_graph_name_value(graph, id, name);
    if (status != NULL) {
      value->dead = true;
      return status;
    }
  }
  graph->inputs[graph->input_count++] = (tvi_named_value_t){own_name, id, 0};
  *out_value = id;
  return TRIVET_OK;
}

trivet_status_t tvi_tensor_check(const trivet_tensor_t* tensor) {
  if (!tvi_dtype_is_valid(tensor->dtype)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%u is no element type", tensor->dtype);
  }
  if (tensor->rank > TRIVET_MAX_RANK) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "rank %u is beyond the limit of %u", tensor->rank,
                         TRIVET_MAX_RANK);
  }
  int64_t count;
  if (!tvi_checked_element_count(tensor->dims, tensor->rank, &count)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "the shape is negative or too large");
  }
  size_t size;
  if (tensor->dtype == TRIVET_DTYPE_STRING) {
    if (!tvi_checked_mul_size((size_t)count, sizeof(trivet_string_view_t), &size)) {
      return TRIVET_STATUS(OUT_OF_RANGE, "the shape is too large");
    }
    // An evaluated tensor of strings holds its text behind the views.
    if (tensor->size >= size) size = tensor->size;
  } else {
    TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(tensor->dtype, count, &size));
  }
  if (tensor->size != size) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%llu bytes are given, the shape asks for %zu",
                         (unsigned long long)tensor->size, size);
  }
  if (tensor->data == NULL && size != 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "data is NULL");
  }
  return TRIVET_OK;
}

trivet_status_t tvi_graph_copy_tensor(tvi_arena_t* arena, const trivet_tensor_t* from,
                                      trivet_tensor_t* out_to) {
  trivet_tensor_t to = *from;
  to.data = NULL;
  if (from->dtype == TRIVET_DTYPE_STRING) {
    int64_t count = 0;
    tvi_checked_element_count(from->dims, from->rank, &count);
    trivet_string_view_t* views = NULL;
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(arena, (size_t)count, sizeof(*views), &views));
    for (int64_t i = 0; i < count; ++i) {
      trivet_string_view_t view;
      memcpy(&view, (const uint8_t*)from->data + (size_t)i * sizeof(view), sizeof(view));
      TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(arena, view, &views[i]));
    }
    to.data = views;
    to.size = (uint64_t)count * sizeof(*views);
  } else if (from->size != 0) {
    void* bytes;
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_aligned(arena, from->size, 64, &bytes));
    memcpy(bytes, from->data, from->size);
    to.data = bytes;
  }
  *out_to = to;
  return TRIVET_OK;
}

static trivet_status_t tensor_type(const trivet_graph_t* graph, const trivet_tensor_t* tensor,
                                   trivet_type_t* out_type) {
  trivet_type_t type = {.dtype = tensor->dtype, .rank = tensor->rank};
  for (uint32_t i = 0; i < tensor->rank; ++i) {
    type.dims[i] = tvi_dim_constant(graph->dims, tensor->dims[i]);
    if (type.dims[i] == NULL) return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  }
  *out_type = type;
  return TRIVET_OK;
}

trivet_status_t tvi_graph_add_constant(trivet_graph_t* graph, trivet_string_view_t name,
                                       const trivet_tensor_t* tensor, bool copy,
                                       tvi_value_id_t* out_value) {
  TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_tensor_check(tensor), "constant '%.*s'", TVI_SV_ARGS(name));
  trivet_type_t type;
  TRIVET_RETURN_IF_ERROR(tensor_type(graph, tensor, &type));
  trivet_tensor_t own = *tensor;
  if (copy) TRIVET_RETURN_IF_ERROR(tvi_graph_copy_tensor(graph->arena, tensor, &own));
  tvi_constant_t* constant;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(graph->arena, sizeof(*constant), &constant));
  constant->kind = TVI_CONSTANT_SOURCE;
  constant->data = own.data;
  constant->size = own.size;
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(graph->arena, name, &constant->name));
  tvi_value_id_t id;
  TRIVET_RETURN_IF_ERROR(tvi_graph_new_value(graph, &type, &id));
  graph->values[id]->constant = constant;
  if (name.size != 0) {
    trivet_status_t status = tvi_graph_name_value(graph, id, name);
    if (status != NULL) {
      graph->values[id]->dead = true;
      return status;
    }
  }
  *out_value = id;
  return TRIVET_OK;
}

trivet_status_t tvi_graph_add_dims_constant(trivet_graph_t* graph, const trivet_type_t* type,
                                            const trivet_dim_t* dims, tvi_value_id_t* out_value) {
  TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_graph_result(graph, check_type(type)),
                                   "constant of dimensions");
  int64_t extents[TRIVET_MAX_RANK];
  int64_t count;
  if (!tvi_type_static_dims(type, extents) ||
      !tvi_checked_element_count(extents, type->rank, &count) || count > TVI_GRAPH_MAX_INTS) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "a constant of dimensions has at most %u elements and a known shape",
                         TVI_GRAPH_MAX_INTS);
  }
  if (!tvi_dtype_is_integer(type->dtype) && type->dtype != TRIVET_DTYPE_BOOL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "a constant of dimensions cannot be of type %s",
                         tvi_dtype_name(type->dtype));
  }
  trivet_dim_t* own = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(graph->arena, (size_t)count + 1, sizeof(*own), &own));
  bool numbers = true;
  for (int64_t i = 0; i < count; ++i) {
    if (dims[i] == NULL) {
      return TRIVET_STATUS(OUT_OF_RANGE, "element %lld of a constant of dimensions overflows",
                           (long long)i);
    }
    own[i] = dims[i];
    numbers = numbers && tvi_dim_is_constant(dims[i], NULL);
  }
  tvi_constant_t* constant;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(graph->arena, sizeof(*constant), &constant));
  constant->kind = TVI_CONSTANT_DIMS;
  if (numbers) {
    size_t size;
    void* bytes;
    TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(type->dtype, count, &size));
    TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(graph->arena, size + 1, &bytes));
    for (int64_t i = 0; i < count; ++i) {
      int64_t number = 0;
      tvi_dim_is_constant(dims[i], &number);
      tvi_dtype_write_i64(type->dtype, bytes, i, number);
    }
    constant->data = bytes;
    constant->size = size;
  }
  tvi_value_id_t id;
  TRIVET_RETURN_IF_ERROR(tvi_graph_new_value(graph, type, &id));
  tvi_value_t* value = graph->values[id];
  value->constant = constant;
  value->ints = own;
  value->int_count = (uint64_t)count;
  *out_value = id;
  return TRIVET_OK;
}

trivet_status_t tvi_graph_add_output(trivet_graph_t* graph, trivet_string_view_t name,
                                     tvi_value_id_t value) {
  if (!tvi_graph_value_ok(graph, value)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "output '%.*s': there is no value %u", TVI_SV_ARGS(name),
                         value);
  }
  if (graph->parent == NULL) {
    for (uint32_t i = 0; i < graph->output_count; ++i) {
      if (tvi_sv_equal(graph->outputs[i].name, name)) {
        return TRIVET_STATUS(ALREADY_EXISTS, "the graph already has an output '%.*s'",
                             TVI_SV_ARGS(name));
      }
    }
  }
  TRIVET_RETURN_IF_ERROR(tvi_graph_grow(graph->allocator, &graph->outputs, &graph->output_capacity,
                                        graph->output_count, 1, sizeof(*graph->outputs)));
  trivet_string_view_t own_name;
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(graph->arena, name, &own_name));
  graph->outputs[graph->output_count++] = (tvi_named_value_t){own_name, value, 0};
  ++graph->values[value]->output_uses;
  return TRIVET_OK;
}

tvi_origin_id_t tvi_graph_add_origin(trivet_graph_t* graph, const trivet_origin_t* origin) {
  trivet_graph_t* root = graph->root;
  trivet_origin_t own;
  trivet_status_t status = tvi_graph_grow(root->allocator, &root->origins, &root->origin_capacity,
                                          root->origin_count, 1, sizeof(*root->origins));
  // All origins of one model share its file name.
  bool same_file = root->origin_count != 0 &&
                   tvi_sv_equal(root->origins[root->origin_count - 1].file, origin->file);
  if (status == NULL && !same_file) status = tvi_arena_strdup(root->arena, origin->file, &own.file);
  if (status == NULL) status = tvi_arena_strdup(root->arena, origin->node, &own.node);
  if (status == NULL) status = tvi_arena_strdup(root->arena, origin->op, &own.op);
  if (status != NULL) {
    trivet_status_free(status);
    return 0;
  }
  if (same_file) own.file = root->origins[root->origin_count - 1].file;
  root->origins[root->origin_count] = own;
  return ++root->origin_count;
}

trivet_status_t tvi_graph_name_value(trivet_graph_t* graph, tvi_value_id_t value,
                                     trivet_string_view_t name) {
  if (!tvi_graph_value_ok(graph, value)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "there is no value %u to be called '%.*s'", value,
                         TVI_SV_ARGS(name));
  }
  tvi_value_t* v = graph->values[value];
  for (uint32_t i = 0; i < v->name_count; ++i) {
    if (tvi_sv_equal(v->names[i], name)) return TRIVET_OK;
  }
  trivet_string_view_t* names;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(graph->arena, (size_t)v->name_count + 1, sizeof(*names), &names));
  if (v->name_count != 0) memcpy(names, v->names, v->name_count * sizeof(*names));
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(graph->arena, name, &names[v->name_count]));
  v->names = names;
  ++v->name_count;
  return TRIVET_OK;
}

trivet_status_t tvi_graph_capture(trivet_graph_t* subgraph, tvi_value_id_t outer,
                                  tvi_value_id_t* out_value) {
  trivet_graph_t* parent = subgraph->parent;
  if (parent == NULL || !tvi_graph_value_ok(parent, outer)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "there is no outer value %u to capture", outer);
  }
  for (tvi_value_id_t id = 1; id < subgraph->value_count; ++id) {
    const tvi_value_t* each = subgraph->values[id];
    if (each->is_capture && !each->dead && each->outer == outer) {
      *out_value = id;
      return TRIVET_OK;
    }
  }
  const tvi_value_t* from = parent->values[outer];
  tvi_value_id_t id;
  TRIVET_RETURN_IF_ERROR(tvi_graph_new_value(subgraph, &from->type, &id));
  tvi_value_t* value = subgraph->values[id];
  if (subgraph->owner != 0) {
    trivet_status_t status = tvi_graph_add_use(
        parent, outer, (tvi_use_t){subgraph->owner, TVI_USE_CAPTURE | subgraph->owner_index});
    if (status != NULL) {
      value->dead = true;
      return status;
    }
  }
  value->is_capture = true;
  value->outer = outer;
  value->constant = from->constant;
  value->ints = from->ints;
  value->int_count = from->int_count;
  value->partial_ints = from->partial_ints;
  *out_value = id;
  return TRIVET_OK;
}

trivet_status_t tvi_graph_assume(trivet_graph_t* graph, trivet_dim_t a, trivet_dim_t b,
                                 tvi_origin_id_t origin) {
  if (a == NULL || b == NULL) {
    return tvi_graph_result(graph, TRIVET_STATUS(OUT_OF_RANGE, "an extent overflows"));
  }
  if (a == b) return TRIVET_OK;
  trivet_graph_t* root = graph->root;
  int64_t min_a, max_a, min_b, max_b;
  tvi_dim_range(root->dims, a, &min_a, &max_a);
  tvi_dim_range(root->dims, b, &min_b, &max_b);
  if (max_a < min_b || max_b < min_a) {
    tvi_string_builder_t text;
    tvi_string_builder_init(&text, root->allocator);
    trivet_status_t status = tvi_dim_print(a, &text);
    tvi_string_builder_append_cstr(&text, " and ");
    if (status == NULL) status = tvi_dim_print(b, &text);
    if (status == NULL) {
      trivet_string_view_t view = tvi_string_builder_view(&text);
      status = TRIVET_STATUS(INVALID_ARGUMENT, "extents %.*s must be equal and are not",
                             TVI_SV_ARGS(view));
    }
    tvi_string_builder_deinit(&text);
    return status;
  }
  for (uint32_t i = 0; i < root->assumption_count; ++i) {
    const tvi_assumption_t* each = &root->assumptions[i];
    if ((each->a == a && each->b == b) || (each->a == b && each->b == a)) return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(tvi_graph_grow(root->allocator, &root->assumptions,
                                        &root->assumption_capacity, root->assumption_count, 1,
                                        sizeof(*root->assumptions)));
  root->assumptions[root->assumption_count++] = (tvi_assumption_t){a, b, origin, 1};
  return TRIVET_OK;
}
