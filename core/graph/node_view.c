// SPDX-License-Identifier: Apache-2.0
//
// The host side of trivet_node_view_t: what the infer and lower hooks of operators see of one node,
// and where their answers go. Hooks come from plugins: every index and every answer is checked.
#include <stdarg.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/dtype.h"
#include "core/base/string_builder.h"
#include "core/graph/graph_internal.h"

typedef struct node_view_s {
  trivet_node_view_t base;
  const trivet_graph_t* graph;
  tvi_node_t* node;
  const tvi_kir_node_t* kir;
  tvi_arena_t* arena;
  tvi_inferred_t* inferred;    // infer; NULL in lower
  tvi_string_builder_t* text;  // lower; NULL in infer
  trivet_tensor_t** tensors;   // one per input, made on request
  uint32_t data_symbols_used;
} node_view_t;

static uint32_t view_input_count(const trivet_node_view_t* base) {
  return ((const node_view_t*)base)->node->input_count;
}

static uint32_t view_output_count(const trivet_node_view_t* base) {
  return ((const node_view_t*)base)->node->output_count;
}

static const trivet_type_t* view_input_type(const trivet_node_view_t* base, uint32_t index) {
  const node_view_t* view = (const node_view_t*)base;
  return index < view->kir->input_count ? view->kir->inputs[index] : NULL;
}

static tvi_value_id_t input_value(const node_view_t* view, uint32_t index) {
  return index < view->node->input_count ? view->node->inputs[index] : 0;
}

static const trivet_dim_t* view_input_ints(const trivet_node_view_t* base, uint32_t index,
                                           uint64_t* out_count) {
  const node_view_t* view = (const node_view_t*)base;
  tvi_value_id_t value = input_value(view, index);
  return value != 0 ? tvi_graph_value_ints(view->graph, value, out_count) : NULL;
}

// Limits of what a hook's question may compute: elements of a value, nodes evaluated.
#define FOLD_MAX_ELEMENTS 1024
#define FOLD_MAX_NODES 64

static bool small_tensor(const trivet_type_t* type) {
  int64_t dims[TRIVET_MAX_RANK], count = 1;
  if (!tvi_type_static_dims(type, dims)) return false;
  for (uint32_t i = 0; i < type->rank; ++i) {
    if (dims[i] > FOLD_MAX_ELEMENTS) return false;
    count *= dims[i];
    if (count > FOLD_MAX_ELEMENTS) return false;
  }
  return true;
}

static bool copy_to_arena(node_view_t* view, const trivet_tensor_t* from, trivet_tensor_t* out) {
  *out = *from;
  out->data = NULL;
  return from->size == 0 || trivet_status_consume(tvi_arena_copy(view->arena, from->data,
                                                                 from->size, &out->data)) == 0;
}

// A small value that constants and known extents determine, though no pass has folded it yet:
// scales or limits that a model computes. |budget|: nodes that may still be evaluated.
static bool fold_value(node_view_t* view, tvi_value_id_t id, uint32_t* budget,
                       trivet_tensor_t* out_tensor) {
  const trivet_graph_t* graph = view->graph;
  const tvi_value_t* value = graph->values[id];
  if (tvi_value_tensor(value, out_tensor)) return true;
  if (value->producer == 0 || *budget == 0 || !small_tensor(&value->type)) return false;
  const tvi_node_t* node = graph->nodes[value->producer];
  if (!tvi_node_is_pure(node) || node->subgraph_count != 0 || node->op->parsed == NULL) {
    return false;
  }
  uint64_t count;
  const trivet_dim_t* ints = tvi_graph_value_ints(graph, id, &count);
  if (ints != NULL && (value->type.dtype == TRIVET_DTYPE_I64)) {
    int64_t* numbers;
    if (trivet_status_consume(
            tvi_arena_alloc_array(view->arena, count + 1, sizeof(*numbers), &numbers)) != 0) {
      return false;
    }
    *out_tensor = (trivet_tensor_t){.dtype = TRIVET_DTYPE_I64,
                                    .rank = value->type.rank,
                                    .data = numbers,
                                    .size = count * sizeof(*numbers)};
    tvi_type_static_dims(&value->type, out_tensor->dims);
    for (uint64_t i = 0; i < count; ++i) {
      if (!tvi_dim_is_constant(ints[i], &numbers[i])) return false;
    }
    return true;
  }
  --*budget;
  trivet_tensor_t *inputs, *outputs;
  if (trivet_status_consume(tvi_arena_alloc_array(view->arena, node->input_count + 1u,
                                                  sizeof(*inputs), &inputs)) != 0 ||
      trivet_status_consume(tvi_arena_alloc_array(view->arena, node->output_count + 1u,
                                                  sizeof(*outputs), &outputs)) != 0) {
    return false;
  }
  memset(inputs, 0, (node->input_count + 1u) * sizeof(*inputs));
  memset(outputs, 0, (node->output_count + 1u) * sizeof(*outputs));
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] != 0 && (!small_tensor(&graph->values[node->inputs[i]]->type) ||
                                 !fold_value(view, node->inputs[i], budget, &inputs[i]))) {
      return false;
    }
  }
  if (trivet_status_consume(tvi_graph_evaluate_plain(graph, value->producer, inputs,
                                                     graph->allocator, outputs)) != 0) {
    return false;
  }
  bool copied = copy_to_arena(view, &outputs[value->output_index], out_tensor);
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (outputs[i].data != NULL) tvi_free(graph->allocator, outputs[i].data, outputs[i].size);
  }
  return copied;
}

static const trivet_tensor_t* view_input_constant(const trivet_node_view_t* base, uint32_t index) {
  node_view_t* view = (node_view_t*)base;
  tvi_value_id_t value = input_value(view, index);
  if (value == 0) return NULL;
  if (view->tensors[index] == NULL) {
    trivet_tensor_t tensor;
    uint32_t budget = FOLD_MAX_NODES;
    if (!fold_value(view, value, &budget, &tensor)) return NULL;
    trivet_tensor_t* kept = NULL;
    if (trivet_status_consume(tvi_arena_alloc(view->arena, sizeof(*kept), &kept)) != 0) return NULL;
    *kept = tensor;
    view->tensors[index] = kept;
  }
  return view->tensors[index];
}

static const trivet_attribute_t* view_attribute(const trivet_node_view_t* base, const char* name) {
  return tvi_node_attribute(((const node_view_t*)base)->node, name);
}

static const trivet_type_t* view_output_type(const trivet_node_view_t* base, uint32_t index) {
  const node_view_t* view = (const node_view_t*)base;
  if (index >= view->node->output_count) return NULL;
  if (view->kir->output_wanted != NULL && view->kir->output_wanted[index] == 0) return NULL;
  if (view->inferred != NULL) {
    return view->inferred[index].is_set ? &view->inferred[index].type : NULL;
  }
  return &view->kir->outputs[index];
}

static trivet_dim_t view_dim_constant(trivet_node_view_t* base, int64_t value) {
  return tvi_dim_constant(((node_view_t*)base)->graph->dims, value);
}

static trivet_dim_t view_dim_binary(trivet_node_view_t* base, uint32_t op, trivet_dim_t a,
                                    trivet_dim_t b) {
  return tvi_dim_binary(((node_view_t*)base)->graph->dims, op, a, b);
}

static uint32_t view_dim_value(const trivet_node_view_t* base, trivet_dim_t dim,
                               int64_t* out_value) {
  (void)base;
  return dim != NULL && tvi_dim_is_constant(dim, out_value) ? 1 : 0;
}

static void view_dim_range(const trivet_node_view_t* base, trivet_dim_t dim, int64_t* out_min,
                           int64_t* out_max) {
  if (dim == NULL) {
    *out_min = INT64_MIN;
    *out_max = INT64_MAX;
    return;
  }
  tvi_dim_range(((const node_view_t*)base)->graph->dims, dim, out_min, out_max);
}

static trivet_dim_t view_dim_data_dependent(trivet_node_view_t* base, const char* name,
                                            trivet_dim_t upper) {
  node_view_t* view = (node_view_t*)base;
  return tvi_node_data_symbol(view->graph, view->node, view->data_symbols_used++, name, upper);
}

static trivet_status_t view_set_output(trivet_node_view_t* base, uint32_t index, uint32_t dtype,
                                       uint32_t rank, const trivet_dim_t* dims) {
  node_view_t* view = (node_view_t*)base;
  if (view->inferred == NULL) {
    return TRIVET_STATUS(FAILED_PRECONDITION, "set_output belongs to infer");
  }
  if (index >= view->node->output_count) return TRIVET_OK;  // not asked for
  if (!tvi_dtype_is_valid(dtype)) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "output %u: %u is no element type", index, dtype);
  }
  if (rank > TRIVET_MAX_RANK) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "output %u: rank %u is beyond the limit of %u", index,
                         rank, TRIVET_MAX_RANK);
  }
  trivet_type_t type = {.dtype = dtype, .rank = rank};
  for (uint32_t i = 0; i < rank; ++i) {
    int64_t extent;
    if (dims[i] == NULL) {
      return TRIVET_STATUS(OUT_OF_RANGE, "output %u: extent %u overflows", index, i);
    }
    if (tvi_dim_is_constant(dims[i], &extent) && extent < 0) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "output %u: extent %u is %lld", index, i,
                           (long long)extent);
    }
    type.dims[i] = dims[i];
  }
  view->inferred[index].type = type;
  view->inferred[index].is_set = true;
  return TRIVET_OK;
}

static trivet_status_t view_set_output_ints(trivet_node_view_t* base, uint32_t index,
                                            const trivet_dim_t* values, uint64_t count) {
  node_view_t* view = (node_view_t*)base;
  if (view->inferred == NULL) {
    return TRIVET_STATUS(FAILED_PRECONDITION, "set_output_ints belongs to infer");
  }
  if (index >= view->node->output_count) return TRIVET_OK;
  // More is not carried, which is no error.
  if (count > TVI_GRAPH_MAX_INTS) return TRIVET_OK;
  trivet_dim_t* own;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(view->graph->arena, count + 1, sizeof(*own), &own));
  for (uint64_t i = 0; i < count; ++i) {
    if (values[i] == NULL) {
      return TRIVET_STATUS(OUT_OF_RANGE, "output %u: element %llu overflows", index,
                           (unsigned long long)i);
    }
    own[i] = values[i];
  }
  view->inferred[index].ints = own;
  view->inferred[index].int_count = count;
  return TRIVET_OK;
}

static trivet_status_t view_emit(trivet_node_view_t* base, const char* format, ...) {
  node_view_t* view = (node_view_t*)base;
  if (view->text == NULL) return TRIVET_STATUS(FAILED_PRECONDITION, "emit belongs to lower");
  va_list arguments;
  va_start(arguments, format);
  tvi_string_builder_append_v(view->text, format, arguments);
  va_end(arguments);
  return tvi_string_builder_status(view->text);
}

static const char* view_dim_text(trivet_node_view_t* base, trivet_dim_t dim) {
  node_view_t* view = (node_view_t*)base;
  if (dim == NULL) return "$()";  // refused by the parser
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, view->graph->allocator);
  tvi_string_builder_append_cstr(&text, "$(");
  trivet_status_t status = tvi_dim_print(dim, &text);
  tvi_string_builder_append_char(&text, ')');
  trivet_string_view_t kept = {NULL, 0};
  if (status == NULL) {
    status = tvi_arena_strdup(view->arena, tvi_string_builder_view(&text), &kept);
  }
  tvi_string_builder_deinit(&text);
  if (trivet_status_consume(status) != TRIVET_STATUS_OK) return "$()";
  return kept.data;
}

static trivet_status_t view_error(const trivet_node_view_t* base, uint32_t code, const char* format,
                                  ...) {
  (void)base;  // whoever called the hook names the node
  va_list arguments;
  va_start(arguments, format);
  trivet_status_t status = trivet_status_make_v(
      code == TRIVET_STATUS_OK ? TRIVET_STATUS_INTERNAL : code, NULL, 0, format, arguments);
  va_end(arguments);
  return status;
}

static const trivet_type_t* view_subgraph_output_type(const trivet_node_view_t* base,
                                                      const char* attribute, uint32_t index) {
  const node_view_t* view = (const node_view_t*)base;
  const trivet_attribute_t* found = tvi_node_own_attribute(view->node, attribute);
  if (found == NULL || found->kind != TRIVET_ATTR_GRAPH || found->count == 0) return NULL;
  uint32_t position = *(const uint32_t*)found->data;
  if (position >= view->node->subgraph_count) return NULL;
  const trivet_graph_t* graph = view->node->subgraphs[position];
  if (index >= graph->output_count) return NULL;
  return &graph->values[graph->outputs[index].value]->type;
}

static const trivet_node_view_api_t view_api = {
    .struct_size = (uint32_t)sizeof(trivet_node_view_api_t),
    .abi_minor = TRIVET_ABI_MINOR,
    .input_count = view_input_count,
    .output_count = view_output_count,
    .input_type = view_input_type,
    .input_ints = view_input_ints,
    .input_constant = view_input_constant,
    .attribute = view_attribute,
    .output_type = view_output_type,
    .dim_constant = view_dim_constant,
    .dim_binary = view_dim_binary,
    .dim_value = view_dim_value,
    .dim_range = view_dim_range,
    .dim_data_dependent = view_dim_data_dependent,
    .set_output = view_set_output,
    .set_output_ints = view_set_output_ints,
    .emit = view_emit,
    .dim_text = view_dim_text,
    .error = view_error,
    .subgraph_output_type = view_subgraph_output_type,
};

static trivet_status_t view_init(node_view_t* view, const trivet_graph_t* graph, tvi_node_t* node,
                                 const tvi_kir_node_t* kir, tvi_arena_t* arena) {
  *view =
      (node_view_t){.base = {&view_api}, .graph = graph, .node = node, .kir = kir, .arena = arena};
  return tvi_arena_alloc_array_zeroed(arena, node->input_count + 1u, sizeof(*view->tensors),
                                      &view->tensors);
}

trivet_status_t tvi_node_view_infer(const trivet_graph_t* graph, tvi_node_t* node,
                                    const tvi_kir_node_t* kir, tvi_arena_t* arena,
                                    tvi_inferred_t* inferred) {
  node_view_t view;
  TRIVET_RETURN_IF_ERROR(view_init(&view, graph, node, kir, arena));
  view.inferred = inferred;
  const trivet_operator_t* op = node->op->definition;
  TRIVET_RETURN_IF_ERROR(op->infer(op, &view.base));
  for (uint32_t i = 0; i < node->output_count; ++i) {
    bool wanted = kir->output_wanted == NULL || kir->output_wanted[i] != 0;
    if (wanted && !inferred[i].is_set) {
      return TRIVET_STATUS(INVALID_ARGUMENT, "the operator says nothing about output %u", i);
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_node_view_lower(const trivet_graph_t* graph, tvi_node_t* node,
                                    const tvi_kir_node_t* kir, tvi_arena_t* arena,
                                    trivet_string_view_t* out_text) {
  node_view_t view;
  TRIVET_RETURN_IF_ERROR(view_init(&view, graph, node, kir, arena));
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, graph->allocator);
  view.text = &text;
  const trivet_operator_t* op = node->op->definition;
  trivet_status_t status = op->lower(op, &view.base);
  if (status == NULL) status = tvi_string_builder_status(&text);
  if (status == NULL) status = tvi_arena_strdup(arena, tvi_string_builder_view(&text), out_text);
  tvi_string_builder_deinit(&text);
  return status;
}
