// SPDX-License-Identifier: Apache-2.0
//
// Questions about nodes, values and types that passes and the compiler ask. Nothing here changes
// the graph, but contents of small constants are remembered on their values when first asked for.
#include <stdio.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/hash.h"
#include "core/graph/graph_internal.h"
#include "core/graph/graph_report.h"

const trivet_attribute_t* tvi_node_own_attribute(const tvi_node_t* node, const char* name) {
  for (uint32_t i = 0; i < node->attribute_count; ++i) {
    if (strcmp(node->attributes[i].name, name) == 0) return &node->attributes[i];
  }
  return NULL;
}

const trivet_attribute_t* tvi_node_attribute(const tvi_node_t* node, const char* name) {
  const trivet_attribute_t* own = tvi_node_own_attribute(node, name);
  if (own != NULL || node->op->parsed == NULL) return own;
  const tvi_kir_attribute_t* declared = tvi_kir_operator_attribute(node->op->parsed, tvi_sv(name));
  return declared != NULL ? declared->default_value : NULL;
}

bool tvi_graph_attribute_kind(const tvi_operator_entry_t* op, const char* name, uint32_t* out_kind,
                              uint32_t* out_flags) {
  if (op->parsed == NULL) {
    return tvi_core_operator_attribute(op->definition->name, name, out_kind, out_flags);
  }
  const tvi_kir_attribute_t* declared = tvi_kir_operator_attribute(op->parsed, tvi_sv(name));
  if (declared == NULL) return false;
  *out_kind = declared->kind;
  *out_flags = declared->flags;
  return true;
}

int64_t tvi_node_attr_i64(const tvi_node_t* node, const char* name, int64_t fallback) {
  const trivet_attribute_t* a = tvi_node_attribute(node, name);
  return a != NULL && a->kind == TRIVET_ATTR_I64 && a->count != 0 ? *(const int64_t*)a->data
                                                                  : fallback;
}

double tvi_node_attr_f64(const tvi_node_t* node, const char* name, double fallback) {
  const trivet_attribute_t* a = tvi_node_attribute(node, name);
  return a != NULL && a->kind == TRIVET_ATTR_F32 && a->count != 0 ? *(const double*)a->data
                                                                  : fallback;
}

trivet_string_view_t tvi_node_attr_string(const tvi_node_t* node, const char* name) {
  const trivet_attribute_t* a = tvi_node_attribute(node, name);
  return a != NULL && a->kind == TRIVET_ATTR_STRING && a->count != 0
             ? *(const trivet_string_view_t*)a->data
             : (trivet_string_view_t){NULL, 0};
}

const int64_t* tvi_node_attr_i64s(const tvi_node_t* node, const char* name, uint64_t* out_count) {
  const trivet_attribute_t* a = tvi_node_attribute(node, name);
  *out_count = a != NULL && a->kind == TRIVET_ATTR_I64 ? a->count : 0;
  return *out_count != 0 ? (const int64_t*)a->data : NULL;
}

uint32_t tvi_node_attr_dtype(const tvi_node_t* node, const char* name, uint32_t fallback) {
  const trivet_attribute_t* a = tvi_node_attribute(node, name);
  return a != NULL && a->kind == TRIVET_ATTR_DTYPE && a->count != 0 ? *(const uint32_t*)a->data
                                                                    : fallback;
}

bool tvi_node_is(const tvi_node_t* node, const char* op) {
  return strcmp(node->op->definition->name, op) == 0;
}

bool tvi_node_is_pure(const tvi_node_t* node) {
  if ((node->op->definition->flags & TRIVET_OPERATOR_IMPURE) != 0) return false;
  for (uint32_t i = 0; i < node->subgraph_count; ++i) {
    const trivet_graph_t* graph = node->subgraphs[i];
    TVI_GRAPH_FOR_EACH_NODE(graph, id) {
      if (!tvi_node_is_pure(graph->nodes[id])) return false;
    }
  }
  return true;
}

bool tvi_type_equal(const trivet_type_t* a, const trivet_type_t* b) {
  if (a->dtype != b->dtype || a->rank != b->rank) return false;
  for (uint32_t i = 0; i < a->rank; ++i) {
    if (a->dims[i] != b->dims[i]) return false;
  }
  return true;
}

bool tvi_type_element_count(const trivet_graph_t* graph, const trivet_type_t* type,
                            trivet_dim_t* out_count) {
  trivet_dim_t count = tvi_dim_constant(graph->dims, 1);
  for (uint32_t i = 0; i < type->rank; ++i) {
    count = tvi_dim_binary(graph->dims, TRIVET_DIM_MUL, count, type->dims[i]);
  }
  if (count == NULL) return false;
  *out_count = count;
  return true;
}

bool tvi_type_static_dims(const trivet_type_t* type, int64_t* out_dims) {
  for (uint32_t i = 0; i < type->rank; ++i) {
    if (!tvi_dim_is_constant(type->dims[i], &out_dims[i])) return false;
  }
  return true;
}

static bool static_count(const trivet_type_t* type, int64_t* out_count) {
  int64_t dims[TRIVET_MAX_RANK];
  return tvi_type_static_dims(type, dims) && tvi_checked_element_count(dims, type->rank, out_count);
}

bool tvi_value_static_size(const tvi_value_t* value, uint64_t* out_bytes) {
  int64_t count;
  size_t size;
  if (value->type.dtype == TRIVET_DTYPE_STRING || !static_count(&value->type, &count)) return false;
  if (trivet_status_consume(tvi_dtype_storage_size(value->type.dtype, count, &size)) != 0) {
    return false;
  }
  *out_bytes = size;
  return true;
}

bool tvi_value_tensor(const tvi_value_t* value, trivet_tensor_t* out_tensor) {
  if (value->constant == NULL ||
      (value->constant->data == NULL && value->constant->kind == TVI_CONSTANT_DIMS)) {
    return false;
  }
  trivet_tensor_t tensor = {.dtype = value->type.dtype, .rank = value->type.rank};
  if (!tvi_type_static_dims(&value->type, tensor.dims)) return false;
  tensor.data = (void*)value->constant->data;
  tensor.size = value->constant->size;
  *out_tensor = tensor;
  return true;
}

// A zero is not a negative zero, and a NaN is itself.
static uint64_t bits_of(double number) {
  uint64_t bits;
  memcpy(&bits, &number, sizeof(bits));
  return bits;
}

bool tvi_value_scalar_constant(const tvi_value_t* value, double* out_value) {
  trivet_tensor_t tensor;
  int64_t count;
  if (!tvi_value_tensor(value, &tensor) || !tvi_dtype_is_real(tensor.dtype) ||
      !static_count(&value->type, &count) || count == 0) {
    return false;
  }
  double first = tvi_dtype_read_f64(tensor.dtype, tensor.data, 0);
  for (int64_t i = 1; i < count; ++i) {
    if (bits_of(tvi_dtype_read_f64(tensor.dtype, tensor.data, i)) != bits_of(first)) return false;
  }
  *out_value = first;
  return true;
}

bool tvi_value_is_output(const tvi_value_t* value) { return value->output_uses != 0; }

bool tvi_value_only_use(const tvi_value_t* value, tvi_use_t* out_use) {
  if (value->use_count != 1 || value->output_uses != 0) return false;
  *out_use = value->uses[0];
  return true;
}

const trivet_dim_t* tvi_graph_value_ints(const trivet_graph_t* graph, tvi_value_id_t value,
                                         uint64_t* out_count) {
  tvi_value_t* v = graph->values[value];
  if (v->ints == NULL && v->is_capture) {
    v->ints = tvi_graph_value_ints(graph->parent, v->outer, &v->int_count);
  }
  trivet_tensor_t tensor;
  int64_t count;
  if (v->ints == NULL &&
      (tvi_dtype_is_integer(v->type.dtype) || v->type.dtype == TRIVET_DTYPE_BOOL) &&
      tvi_value_tensor(v, &tensor) && static_count(&v->type, &count) &&
      count <= (int64_t)TVI_GRAPH_MAX_INTS) {
    trivet_dim_t* ints = NULL;
    if (trivet_status_consume(
            tvi_arena_alloc_array(graph->arena, (size_t)count + 1, sizeof(*ints), &ints)) != 0) {
      graph->root->out_of_memory = true;
      return NULL;
    }
    for (int64_t i = 0; i < count; ++i) {
      ints[i] = tvi_dim_constant(graph->dims, tvi_dtype_read_i64(tensor.dtype, tensor.data, i));
      if (ints[i] == NULL) return NULL;
    }
    v->ints = ints;
    v->int_count = (uint64_t)count;
  }
  if (v->ints != NULL) *out_count = v->int_count;
  return v->ints;
}

const trivet_dim_t* tvi_graph_value_partial_ints(const trivet_graph_t* graph, tvi_value_id_t value,
                                                 uint64_t* out_count) {
  const trivet_dim_t* ints = tvi_graph_value_ints(graph, value, out_count);
  if (ints != NULL) return ints;
  const tvi_value_t* v = graph->values[value];
  if (v->partial_ints != NULL) *out_count = v->int_count;
  return v->partial_ints;
}

trivet_status_t tvi_constant_hash(tvi_constant_t* constant, const trivet_type_t* type,
                                  uint64_t out_hash[2]) {
  if (!constant->hashed) {
    if (constant->data == NULL && constant->kind == TVI_CONSTANT_DIMS) {
      return TRIVET_STATUS(FAILED_PRECONDITION, "a constant of symbolic dimensions has no bytes");
    }
    int64_t head[TRIVET_MAX_RANK + 2] = {type->dtype, type->rank};
    if (!tvi_type_static_dims(type, head + 2)) {
      return TRIVET_STATUS(INTERNAL, "a constant has a symbolic shape");
    }
    tvi_hash128_state_t state;
    tvi_hash128_init(&state, 0);
    tvi_hash128_update(&state, head, (2 + type->rank) * sizeof(head[0]));
    if (type->dtype == TRIVET_DTYPE_STRING) {
      int64_t count = 0;
      static_count(type, &count);
      const trivet_string_view_t* views = constant->data;
      for (int64_t i = 0; i < count; ++i) {
        uint64_t size = views[i].size;
        tvi_hash128_update(&state, &size, sizeof(size));
        tvi_hash128_update(&state, views[i].data, views[i].size);
      }
    } else {
      tvi_hash128_update(&state, constant->data, constant->size);
    }
    tvi_hash128_t digest = tvi_hash128_digest(&state);
    constant->hash[0] = digest.low;
    constant->hash[1] = digest.high;
    constant->hashed = true;
  }
  out_hash[0] = constant->hash[0];
  out_hash[1] = constant->hash[1];
  return TRIVET_OK;
}

const char* tvi_node_label(const trivet_graph_t* graph, const tvi_node_t* node, char* buffer,
                           size_t size) {
  const char* op = node->op->definition->name;
  const trivet_origin_t* origin =
      node->origin_count != 0 ? tvi_graph_origin(graph, node->origins[0]) : NULL;
  if (origin != NULL) {
    snprintf(buffer, size, "node '%.*s' (%s%s%.*s)", TVI_SV_ARGS(origin->node), op,
             origin->op.size != 0 ? ", " : "", TVI_SV_ARGS(origin->op));
  } else {
    snprintf(buffer, size, "node of %s", op);
  }
  return buffer;
}

const char* tvi_graph_node_label(const trivet_graph_t* graph, tvi_node_id_t node, char* buffer,
                                 size_t size) {
  if (node == 0 || node >= graph->node_count) {
    snprintf(buffer, size, "no node");
    return buffer;
  }
  return tvi_node_label(graph, graph->nodes[node], buffer, size);
}

tvi_value_id_t tvi_graph_find_value(const trivet_graph_t* graph, trivet_string_view_t name) {
  for (tvi_value_id_t id = 1; id < graph->value_count; ++id) {
    const tvi_value_t* value = graph->values[id];
    for (uint32_t i = 0; i < value->name_count && !value->dead; ++i) {
      if (tvi_sv_equal(value->names[i], name)) return id;
    }
  }
  return 0;
}

void tvi_type_print(const trivet_type_t* type, tvi_string_builder_t* builder) {
  tvi_string_builder_append_cstr(builder, tvi_dtype_name(type->dtype));
  tvi_string_builder_append_char(builder, '[');
  for (uint32_t i = 0; i < type->rank; ++i) {
    if (i != 0) tvi_string_builder_append_cstr(builder, ", ");
    trivet_status_t status = tvi_dim_print(type->dims[i], builder);
    if (status != NULL && builder->status == NULL) {
      builder->status = status;
    } else {
      trivet_status_free(status);
    }
  }
  tvi_string_builder_append_char(builder, ']');
}
