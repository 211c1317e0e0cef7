// SPDX-License-Identifier: Apache-2.0
//
// Prints graphs as text (graph_text.h). What it prints, graph_parse.c reads back. It changes
// nothing, but hashes of constants are remembered on them.
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/hash.h"
#include "core/base/map.h"
#include "core/graph/graph_internal.h"
#include "core/graph/graph_report.h"
#include "core/graph/graph_text.h"

#define INLINE_ELEMENTS 16

typedef struct scope_s {
  const trivet_graph_t* graph;
  const struct scope_s* outer;
  trivet_string_view_t* labels;  // by value id
} scope_t;

typedef struct printer_s {
  tvi_string_builder_t* out;
  uint32_t flags;
  tvi_arena_t arena;
  tvi_map_t used;  // labels of all graphs
  uint32_t next_number;
} printer_t;

static void put(printer_t* p, const char* text) { tvi_string_builder_append_cstr(p->out, text); }

static void put_indent(printer_t* p, uint32_t depth) {
  tvi_string_builder_append_repeated(p->out, ' ', (size_t)depth * 2);
}

static void put_quoted(printer_t* p, trivet_string_view_t text) {
  tvi_string_builder_append_char(p->out, '"');
  for (size_t i = 0; i < text.size; ++i) {
    unsigned char c = (unsigned char)text.data[i];
    if (c == '"' || c == '\\') {
      tvi_string_builder_appendf(p->out, "\\%c", c);
    } else if (c < 32 || c == 127) {
      tvi_string_builder_appendf(p->out, "\\x%02x", c);
    } else {
      tvi_string_builder_append_char(p->out, (char)c);
    }
  }
  tvi_string_builder_append_char(p->out, '"');
}

static void put_dim(printer_t* p, trivet_dim_t dim) {
  trivet_status_t status = tvi_dim_print(dim, p->out);
  if (status != NULL) p->out->status = status;
}

// ---------------------------------------------------------------------------------------------
// Labels
// ---------------------------------------------------------------------------------------------

static bool is_label(trivet_string_view_t name) {
  bool other_than_digit = false;
  for (size_t i = 0; i < name.size; ++i) {
    char c = name.data[i];
    bool digit = c >= '0' && c <= '9';
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!digit && !letter && c != '_' && c != '.' && c != '/' && c != '-') return false;
    other_than_digit = other_than_digit || !digit;
  }
  return other_than_digit && name.size < 200 && !tvi_sv_equal_cstr(name, "_");
}

static trivet_status_t make_label(printer_t* p, const scope_t* scope, tvi_value_id_t id) {
  const tvi_value_t* value = scope->graph->values[id];
  if (value->name_count != 0 && is_label(value->names[0])) {
    bool inserted;
    uint64_t before;
    TRIVET_RETURN_IF_ERROR(tvi_map_insert(&p->used, value->names[0], 1, &before, &inserted));
    if (inserted) {
      scope->labels[id] = value->names[0];
      return TRIVET_OK;
    }
  }
  char number[16];
  int size = snprintf(number, sizeof(number), "%u", p->next_number++);
  return tvi_arena_strdup(&p->arena, tvi_sv_make(number, (size_t)size), &scope->labels[id]);
}

static trivet_string_view_t label_of(const scope_t* scope, tvi_value_id_t id) {
  const tvi_value_t* value = scope->graph->values[id];
  if (value->is_capture && scope->outer != NULL) return label_of(scope->outer, value->outer);
  return scope->labels[id];
}

static void put_label(printer_t* p, const scope_t* scope, tvi_value_id_t id) {
  tvi_string_builder_append_char(p->out, '%');
  tvi_string_builder_append(p->out, id != 0 ? label_of(scope, id) : tvi_sv("?"));
}

// Makes the label and prints it with the names that it does not say by itself.
static trivet_status_t define(printer_t* p, const scope_t* scope, tvi_value_id_t id) {
  TRIVET_RETURN_IF_ERROR(make_label(p, scope, id));
  put_label(p, scope, id);
  const tvi_value_t* value = scope->graph->values[id];
  bool implied = value->name_count == 0 ||
                 (value->name_count == 1 && tvi_sv_equal(value->names[0], scope->labels[id]));
  for (uint32_t i = 0; i < value->name_count && !implied; ++i) {
    tvi_string_builder_append_char(p->out, ' ');
    put_quoted(p, value->names[i]);
  }
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Contents
// ---------------------------------------------------------------------------------------------

static void put_element(printer_t* p, uint32_t dtype, const void* data, int64_t index) {
  uint64_t wide;
  float f;
  double parts[2];
  switch (dtype) {
    case TRIVET_DTYPE_STRING: {
      trivet_string_view_t view;
      memcpy(&view, (const uint8_t*)data + (size_t)index * sizeof(view), sizeof(view));
      put_quoted(p, view);
      return;
    }
    case TRIVET_DTYPE_BOOL:
      put(p, tvi_dtype_read_i64(dtype, data, index) != 0 ? "true" : "false");
      return;
    case TRIVET_DTYPE_U64:
      memcpy(&wide, (const uint8_t*)data + (size_t)index * 8, sizeof(wide));
      tvi_string_builder_appendf(p->out, "%llu", (unsigned long long)wide);
      return;
    case TRIVET_DTYPE_F32:
      memcpy(&f, (const uint8_t*)data + (size_t)index * 4, sizeof(f));
      tvi_string_builder_append_f32(p->out, f);
      return;
    case TRIVET_DTYPE_C64:
    case TRIVET_DTYPE_C128: {
      uint32_t part = dtype == TRIVET_DTYPE_C64 ? TRIVET_DTYPE_F32 : TRIVET_DTYPE_F64;
      for (int i = 0; i < 2; ++i) parts[i] = tvi_dtype_read_f64(part, data, index * 2 + i);
      tvi_string_builder_append_f64(p->out, parts[0]);
      put(p, ", ");
      tvi_string_builder_append_f64(p->out, parts[1]);
      return;
    }
    default:
      if (tvi_dtype_is_integer(dtype)) {
        tvi_string_builder_append_i64(p->out, tvi_dtype_read_i64(dtype, data, index));
      } else {
        tvi_string_builder_append_f64(p->out, tvi_dtype_read_f64(dtype, data, index));
      }
  }
}

static bool all_equal(uint32_t dtype, const trivet_tensor_t* tensor, int64_t count) {
  uint32_t bytes = dtype == TRIVET_DTYPE_STRING ? 0 : tvi_dtype_bytes(dtype);
  if (bytes == 0 || count < 2 || tvi_dtype_is_complex(dtype)) return false;
  const uint8_t* data = tensor->data;
  return memcmp(data, data + bytes, (size_t)(count - 1) * bytes) == 0;
}

// `constant` may be NULL: contents of an attribute, always inline.
static trivet_status_t put_contents(printer_t* p, const trivet_tensor_t* tensor,
                                    tvi_constant_t* constant, const trivet_type_t* type) {
  int64_t count = 0;
  tvi_checked_element_count(tensor->dims, tensor->rank, &count);
  if (all_equal(tensor->dtype, tensor, count)) {
    put(p, "splat(");
    put_element(p, tensor->dtype, tensor->data, 0);
    put(p, ")");
    return TRIVET_OK;
  }
  if (constant != NULL && count > INLINE_ELEMENTS && (p->flags & TVI_GRAPH_TEXT_CONSTANTS) == 0) {
    uint64_t hash[2];
    TRIVET_RETURN_IF_ERROR(tvi_constant_hash(constant, type, hash));
    char text[TVI_HASH128_TEXT_SIZE];
    tvi_hash128_format((tvi_hash128_t){hash[0], hash[1]}, text);
    tvi_string_builder_appendf(p->out, "@%s", text);
    return TRIVET_OK;
  }
  put(p, "[");
  for (int64_t i = 0; i < count && p->out->status == NULL; ++i) {
    if (i != 0) put(p, ", ");
    put_element(p, tensor->dtype, tensor->data, i);
  }
  put(p, "]");
  return TRIVET_OK;
}

static trivet_status_t put_constant(printer_t* p, const scope_t* scope, tvi_value_id_t id,
                                    uint32_t depth) {
  const tvi_value_t* value = scope->graph->values[id];
  tvi_constant_t* constant = value->constant;
  put_indent(p, depth);
  bool is_dims = constant->kind == TVI_CONSTANT_DIMS;
  put(p, is_dims ? "dims " : constant->kind == TVI_CONSTANT_DERIVED ? "derived " : "const ");
  TRIVET_RETURN_IF_ERROR(define(p, scope, id));
  trivet_string_view_t first =
      value->name_count != 0 ? value->names[0] : (trivet_string_view_t){NULL, 0};
  if (!tvi_sv_equal(first, constant->name) && constant->kind == TVI_CONSTANT_SOURCE) {
    put(p, " source ");
    put_quoted(p, constant->name);
  }
  put(p, ": ");
  tvi_type_print(&value->type, p->out);
  put(p, " = ");
  if (is_dims) {
    put(p, "[");
    for (uint64_t i = 0; i < value->int_count; ++i) {
      if (i != 0) put(p, ", ");
      put_dim(p, value->ints[i]);
    }
    put(p, "]");
  } else {
    trivet_tensor_t tensor;
    if (!tvi_value_tensor(value, &tensor)) {
      return TRIVET_STATUS(INTERNAL, "a constant has a symbolic shape");
    }
    TRIVET_RETURN_IF_ERROR(put_contents(p, &tensor, constant, &value->type));
  }
  put(p, "\n");
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Nodes
// ---------------------------------------------------------------------------------------------

static trivet_status_t put_graph(printer_t* p, const trivet_graph_t* graph, const scope_t* outer,
                                 uint32_t depth);

static trivet_status_t put_value(printer_t* p, const scope_t* scope, const tvi_node_t* node,
                                 const trivet_attribute_t* attribute, uint64_t i, uint32_t depth) {
  switch (attribute->kind) {
    case TRIVET_ATTR_I64:
      tvi_string_builder_append_i64(p->out, ((const int64_t*)attribute->data)[i]);
      return TRIVET_OK;
    case TRIVET_ATTR_F32:
      tvi_string_builder_append_f64(p->out, ((const double*)attribute->data)[i]);
      return TRIVET_OK;
    case TRIVET_ATTR_STRING:
      put_quoted(p, ((const trivet_string_view_t*)attribute->data)[i]);
      return TRIVET_OK;
    case TRIVET_ATTR_DTYPE:
      put(p, tvi_dtype_name(((const uint32_t*)attribute->data)[i]));
      return TRIVET_OK;
    case TRIVET_ATTR_TENSOR: {
      const trivet_tensor_t* tensor = &((const trivet_tensor_t*)attribute->data)[i];
      tvi_string_builder_appendf(p->out, "tensor %s[", tvi_dtype_name(tensor->dtype));
      for (uint32_t d = 0; d < tensor->rank; ++d) {
        tvi_string_builder_appendf(p->out, "%s%lld", d != 0 ? ", " : "",
                                   (long long)tensor->dims[d]);
      }
      put(p, "] = ");
      return put_contents(p, tensor, NULL, NULL);
    }
    default:
      return put_graph(p, node->subgraphs[((const uint32_t*)attribute->data)[i]], scope, depth);
  }
}

static trivet_status_t put_attributes(printer_t* p, const scope_t* scope, const tvi_node_t* node,
                                      uint32_t depth) {
  if (node->attribute_count == 0) return TRIVET_OK;
  put(p, " { ");
  for (uint32_t k = 0; k < node->attribute_count; ++k) {
    const trivet_attribute_t* attribute = &node->attributes[k];
    tvi_string_builder_appendf(p->out, "%s%s = ", k != 0 ? ", " : "", attribute->name);
    bool list = (attribute->flags & TRIVET_ATTR_LIST) != 0;
    if (list) put(p, "[");
    for (uint64_t i = 0; i < attribute->count; ++i) {
      if (i != 0) put(p, ", ");
      TRIVET_RETURN_IF_ERROR(put_value(p, scope, node, attribute, i, depth));
    }
    if (list) put(p, "]");
  }
  put(p, " }");
  return TRIVET_OK;
}

static void put_origins(printer_t* p, const trivet_graph_t* graph, const tvi_node_t* node) {
  if ((p->flags & TVI_GRAPH_TEXT_ORIGINS) == 0) return;
  if (node->origin_count != 0) put(p, "  # from");
  for (uint32_t i = 0; i < node->origin_count; ++i) {
    const trivet_origin_t* origin = tvi_graph_origin(graph, node->origins[i]);
    put(p, i != 0 ? ", " : " ");
    put_quoted(p, origin->node);
    if (origin->op.size != 0) put(p, " ");
    for (size_t k = 0; k < origin->op.size; ++k) {
      char c = origin->op.data[k];
      tvi_string_builder_append_char(p->out, c == '\n' || c == '\r' ? ' ' : c);
    }
  }
  if (node->made_by != NULL) {
    tvi_string_builder_appendf(p->out, "%s made by %s", node->origin_count != 0 ? "," : "  #",
                               node->made_by);
  }
}

static trivet_status_t put_node(printer_t* p, const scope_t* scope, const tvi_node_t* node,
                                uint32_t depth) {
  const trivet_graph_t* graph = scope->graph;
  put_indent(p, depth);
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (i != 0) put(p, ", ");
    if (node->outputs[i] == 0) {
      put(p, "_");
    } else {
      TRIVET_RETURN_IF_ERROR(define(p, scope, node->outputs[i]));
    }
  }
  const trivet_operator_t* op = node->op->definition;
  tvi_string_builder_appendf(p->out, " = %s", op->name);
  if (tvi_registry_operator(graph->registry, op->name, 0) != node->op) {
    tvi_string_builder_appendf(p->out, "/%u", op->version);
  }
  put(p, "(");
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (i != 0) put(p, ", ");
    if (node->inputs[i] == 0) {
      put(p, "_");
    } else {
      put_label(p, scope, node->inputs[i]);
    }
  }
  put(p, ")");
  TRIVET_RETURN_IF_ERROR(put_attributes(p, scope, node, depth));
  const char* before = " : ";
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (node->outputs[i] == 0) continue;
    put(p, before);
    tvi_type_print(&graph->values[node->outputs[i]]->type, p->out);
    before = ", ";
  }
  put_origins(p, graph, node);
  put(p, "\n");
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Graphs
// ---------------------------------------------------------------------------------------------

static void put_symbols(printer_t* p, const trivet_graph_t* graph, uint32_t depth) {
  for (uint32_t i = 0; i < tvi_dim_symbol_count(graph->dims); ++i) {
    trivet_dim_t symbol = tvi_dim_symbol_at(graph->dims, i);
    int64_t min, max;
    tvi_dim_range(graph->dims, symbol, &min, &max);
    put_indent(p, depth);
    put(p, "symbol ");
    put_dim(p, symbol);
    tvi_string_builder_appendf(p->out, ": %lld .. %lld", (long long)min, (long long)max);
    int64_t divisor = tvi_dim_divisor(graph->dims, symbol);
    if (divisor > 1) tvi_string_builder_appendf(p->out, " divisor %lld", (long long)divisor);
    if (tvi_dim_symbol_origin(symbol) == TVI_SYMBOL_DATA) put(p, " data");
    put(p, "\n");
  }
}

static trivet_status_t put_body(printer_t* p, const scope_t* scope, uint32_t depth) {
  const trivet_graph_t* graph = scope->graph;
  if (graph->parent == NULL) put_symbols(p, graph, depth);
  for (uint32_t i = 0; i < graph->input_count; ++i) {
    tvi_value_id_t value = graph->inputs[i].value;
    put_indent(p, depth);
    put(p, "input ");
    TRIVET_RETURN_IF_ERROR(define(p, scope, value));
    put(p, ": ");
    tvi_type_print(&graph->values[value]->type, p->out);
    put(p, "\n");
  }
  for (tvi_value_id_t id = 1; id < graph->value_count; ++id) {
    const tvi_value_t* value = graph->values[id];
    if (value->dead || value->constant == NULL || value->is_capture || value->producer != 0) {
      continue;
    }
    if (value->use_count == 0 && value->output_uses == 0 && !value->observed) continue;
    TRIVET_RETURN_IF_ERROR(put_constant(p, scope, id, depth));
  }
  TVI_GRAPH_FOR_EACH_NODE(graph, id) {
    TRIVET_RETURN_IF_ERROR(put_node(p, scope, graph->nodes[id], depth));
  }
  for (uint32_t i = 0; i < graph->assumption_count; ++i) {
    if (graph->assumptions[i].by_rewrite == 0) continue;
    put_indent(p, depth);
    put(p, "assume ");
    put_dim(p, graph->assumptions[i].a);
    put(p, " == ");
    put_dim(p, graph->assumptions[i].b);
    put(p, "\n");
  }
  for (tvi_value_id_t id = 1; id < graph->value_count; ++id) {
    if (graph->values[id]->dead || !graph->values[id]->observed) continue;
    put_indent(p, depth);
    put(p, "observe ");
    put_label(p, scope, id);
    put(p, "\n");
  }
  for (uint32_t i = 0; i < graph->output_count; ++i) {
    put_indent(p, depth);
    put(p, "output ");
    put_quoted(p, graph->outputs[i].name);
    put(p, ": ");
    put_label(p, scope, graph->outputs[i].value);
    put(p, "\n");
  }
  return TRIVET_OK;
}

static trivet_status_t put_graph(printer_t* p, const trivet_graph_t* graph, const scope_t* outer,
                                 uint32_t depth) {
  scope_t scope = {.graph = graph, .outer = outer};
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&p->arena, graph->value_count,
                                                      sizeof(*scope.labels), &scope.labels));
  put(p, "graph ");
  if (graph->name.size != 0) {
    put_quoted(p, graph->name);
    put(p, " ");
  }
  put(p, "{\n");
  TRIVET_RETURN_IF_ERROR(put_body(p, &scope, depth + 1));
  put_indent(p, depth);
  put(p, "}");
  if (depth == 0) put(p, "\n");
  return TRIVET_OK;
}

trivet_status_t tvi_graph_print(const trivet_graph_t* graph, uint32_t flags,
                                tvi_string_builder_t* builder) {
  printer_t p = {.out = builder, .flags = flags};
  tvi_arena_init(&p.arena, graph->allocator, 0);
  tvi_map_init(&p.used, graph->allocator);
  trivet_status_t status = put_graph(&p, graph, NULL, 0);
  tvi_map_deinit(&p.used);
  tvi_arena_deinit(&p.arena);
  if (status != NULL) return status;
  return tvi_string_builder_status(builder);
}
