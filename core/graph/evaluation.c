// SPDX-License-Identifier: Apache-2.0
//
// Plain evaluation of nodes and graphs on host tensors: the oracle of tests, the default for
// folding constants, and the host side of trivet_evaluation_t. A node is evaluated in a graph of
// its own, made of the tensors at hand, so shapes are those of the data and no symbol is left. Not
// meant to be fast. Control flow is in evaluation_control.c.
#include "core/graph/evaluation.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/vector.h"
#include "core/kernel_ir/evaluate.h"

#define MAX_DEPTH 200u

void tvi_tensors_free(trivet_allocator_t allocator, trivet_tensor_t* tensors, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    tvi_free(allocator, tensors[i].data, tensors[i].size);
    tensors[i] = (trivet_tensor_t){0};
  }
}

trivet_status_t tvi_tensor_allocate(trivet_allocator_t allocator, uint32_t dtype, uint32_t rank,
                                    const int64_t* dims, trivet_tensor_t* out_tensor) {
  trivet_tensor_t tensor = {.dtype = dtype, .rank = rank};
  int64_t count;
  size_t size;
  if (rank > TRIVET_MAX_RANK) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "rank %u is beyond the limit of %u", rank,
                         TRIVET_MAX_RANK);
  }
  if (rank != 0) memcpy(tensor.dims, dims, rank * sizeof(*dims));
  if (!tvi_checked_element_count(dims, rank, &count)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "a shape is negative or too large");
  }
  if (dtype == TRIVET_DTYPE_STRING) {
    if (!tvi_checked_mul_size((size_t)count, sizeof(trivet_string_view_t), &size)) {
      return TRIVET_STATUS(OUT_OF_RANGE, "a shape is too large");
    }
  } else {
    TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(dtype, count, &size));
  }
  if (size != 0) TRIVET_RETURN_IF_ERROR(tvi_alloc(allocator, size, &tensor.data));
  if (size != 0 && dtype == TRIVET_DTYPE_STRING) memset(tensor.data, 0, size);
  tensor.size = size;
  *out_tensor = tensor;
  return TRIVET_OK;
}

// Strings: views first, their text behind them in the same allocation.
static trivet_status_t copy_strings(trivet_allocator_t allocator, const trivet_tensor_t* from,
                                    trivet_tensor_t* out_tensor) {
  int64_t count = 0;
  tvi_checked_element_count(from->dims, from->rank, &count);
  const trivet_string_view_t* views = from->data;
  size_t size = (size_t)count * sizeof(*views);
  for (int64_t i = 0; i < count; ++i) {
    if (!tvi_checked_add_size(size, views[i].size, &size)) {
      return TRIVET_STATUS(OUT_OF_RANGE, "strings are too large");
    }
  }
  trivet_tensor_t tensor = *from;
  tensor.data = NULL;
  tensor.size = size;
  if (size != 0) TRIVET_RETURN_IF_ERROR(tvi_alloc(allocator, size, &tensor.data));
  trivet_string_view_t* copies = tensor.data;
  char* text = (char*)(copies + count);
  for (int64_t i = 0; i < count; ++i) {
    if (views[i].size != 0) memcpy(text, views[i].data, views[i].size);
    copies[i] = (trivet_string_view_t){text, views[i].size};
    text += views[i].size;
  }
  *out_tensor = tensor;
  return TRIVET_OK;
}

trivet_status_t tvi_tensor_copy(trivet_allocator_t allocator, const trivet_tensor_t* from,
                                trivet_tensor_t* out_tensor) {
  if (from->dtype == TRIVET_DTYPE_STRING) return copy_strings(allocator, from, out_tensor);
  trivet_tensor_t tensor = *from;
  tensor.data = NULL;
  if (from->size != 0) {
    TRIVET_RETURN_IF_ERROR(tvi_alloc(allocator, from->size, &tensor.data));
    memcpy(tensor.data, from->data, from->size);
  }
  *out_tensor = tensor;
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// The evaluate hook
// ---------------------------------------------------------------------------------------------

typedef struct evaluation_s {
  trivet_evaluation_t base;
  const trivet_graph_t* graph;
  const tvi_node_t* node;
  const trivet_tensor_t* inputs;
  trivet_tensor_t* outputs;
  trivet_allocator_t allocator;
  tvi_arena_t scratch;
} evaluation_t;

static uint32_t evaluation_input_count(const trivet_evaluation_t* base) {
  return ((const evaluation_t*)base)->node->input_count;
}

static uint32_t evaluation_output_count(const trivet_evaluation_t* base) {
  return ((const evaluation_t*)base)->node->output_count;
}

static const trivet_tensor_t* evaluation_input(const trivet_evaluation_t* base, uint32_t index) {
  const evaluation_t* e = (const evaluation_t*)base;
  return index < e->node->input_count && e->inputs[index].dtype != 0 ? &e->inputs[index] : NULL;
}

static const trivet_attribute_t* evaluation_attribute(const trivet_evaluation_t* base,
                                                      const char* name) {
  return tvi_node_attribute(((const evaluation_t*)base)->node, name);
}

static trivet_status_t evaluation_output(trivet_evaluation_t* base, uint32_t index, uint32_t dtype,
                                         uint32_t rank, const int64_t* dims,
                                         trivet_tensor_t** out_tensor) {
  evaluation_t* e = (evaluation_t*)base;
  if (index >= e->node->output_count || e->node->outputs[index] == 0) {
    *out_tensor = NULL;
    return TRIVET_OK;
  }
  const trivet_type_t* type = &e->graph->values[e->node->outputs[index]]->type;
  if (type->dtype != dtype || type->rank != rank) {
    return TRIVET_STATUS(
        INVALID_ARGUMENT, "output %u is evaluated as %s of rank %u, inferred as %s of rank %u",
        index, tvi_dtype_name(dtype), rank, tvi_dtype_name(type->dtype), type->rank);
  }
  for (uint32_t i = 0; i < rank; ++i) {
    int64_t min, max;
    tvi_dim_range(e->graph->dims, type->dims[i], &min, &max);
    if (dims[i] > max) {
      return TRIVET_STATUS(OUT_OF_RANGE, "output %u: extent %u is %lld, inferred as at most %lld",
                           index, i, (long long)dims[i], (long long)max);
    }
  }
  trivet_tensor_t tensor;
  TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_tensor_allocate(e->allocator, dtype, rank, dims, &tensor),
                                   "output %u", index);
  tvi_tensors_free(e->allocator, &e->outputs[index], 1);
  e->outputs[index] = tensor;
  *out_tensor = &e->outputs[index];
  return TRIVET_OK;
}

static trivet_status_t evaluation_scratch(trivet_evaluation_t* base, uint64_t size,
                                          void** out_memory) {
  return tvi_arena_alloc(&((evaluation_t*)base)->scratch, size, out_memory);
}

static trivet_status_t evaluation_error(const trivet_evaluation_t* base, uint32_t code,
                                        const char* format, ...) {
  (void)base;
  va_list arguments;
  va_start(arguments, format);
  trivet_status_t status = trivet_status_make_v(
      code == TRIVET_STATUS_OK ? TRIVET_STATUS_INTERNAL : code, NULL, 0, format, arguments);
  va_end(arguments);
  return status;
}

static const trivet_evaluation_api_t evaluation_api = {
    .struct_size = (uint32_t)sizeof(trivet_evaluation_api_t),
    .abi_minor = TRIVET_ABI_MINOR,
    .input_count = evaluation_input_count,
    .output_count = evaluation_output_count,
    .input = evaluation_input,
    .attribute = evaluation_attribute,
    .output = evaluation_output,
    .scratch = evaluation_scratch,
    .error = evaluation_error,
};

static trivet_status_t run_hook(const trivet_graph_t* graph, const tvi_node_t* node,
                                const trivet_tensor_t* inputs, trivet_allocator_t allocator,
                                trivet_tensor_t* outputs) {
  evaluation_t e = {.base = {&evaluation_api},
                    .graph = graph,
                    .node = node,
                    .inputs = inputs,
                    .outputs = outputs,
                    .allocator = allocator};
  tvi_arena_init(&e.scratch, allocator, 0);
  const trivet_operator_t* op = node->op->definition;
  trivet_status_t status = op->evaluate(op, &e.base);
  for (uint32_t i = 0; i < node->output_count && status == NULL; ++i) {
    if (node->outputs[i] == 0) continue;
    if (outputs[i].dtype == 0) {
      status = TRIVET_STATUS(INVALID_ARGUMENT, "evaluate gives no output %u", i);
    } else if (outputs[i].dtype == TRIVET_DTYPE_STRING) {
      // The hook's views point into inputs or scratch.
      trivet_tensor_t own;
      status = copy_strings(allocator, &outputs[i], &own);
      if (status != NULL) break;
      tvi_free(allocator, outputs[i].data, outputs[i].size);
      outputs[i] = own;
    }
  }
  tvi_arena_deinit(&e.scratch);
  return status;
}

// ---------------------------------------------------------------------------------------------
// One node
// ---------------------------------------------------------------------------------------------

static trivet_status_t run_program(const trivet_graph_t* graph, tvi_node_id_t id,
                                   const trivet_tensor_t* inputs, trivet_allocator_t allocator,
                                   tvi_arena_t* arena, trivet_tensor_t* outputs) {
  const tvi_node_t* node = graph->nodes[id];
  tvi_kir_program_t* program;
  TRIVET_RETURN_IF_ERROR(tvi_graph_node_program(graph, id, arena, &program));
  trivet_tensor_t* tensors;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, program->value_count + 1u, sizeof(*tensors), &tensors));
  for (uint32_t i = 0; i < program->value_count; ++i) {
    const tvi_kir_value_t* value = &program->values[i];
    if (value->kind == TVI_KIR_INPUT && value->tag < node->input_count) {
      tensors[i] = inputs[value->tag];
    } else if (value->kind == TVI_KIR_OUTPUT) {
      uint32_t index = value->tag - 0x1000u;
      int64_t dims[TRIVET_MAX_RANK];
      const trivet_type_t* type = &graph->values[node->outputs[index]]->type;
      if (!tvi_type_static_dims(type, dims)) {
        return TRIVET_STATUS(FAILED_PRECONDITION, "the shape of output %u depends on data", index);
      }
      TRIVET_RETURN_IF_ERROR(
          tvi_tensor_allocate(allocator, type->dtype, type->rank, dims, &outputs[index]));
      tensors[i] = outputs[index];
    }
  }
  trivet_status_t status = tvi_kir_evaluate(program, NULL, 0, tensors, allocator);
  if (status != NULL) return status;
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (node->outputs[i] != 0 && outputs[i].dtype == 0) {
      return TRIVET_STATUS(INTERNAL, "the program gives no output %u", i);
    }
  }
  return TRIVET_OK;
}

// `graph` holds one node over constants that are `inputs`.
static trivet_status_t evaluate_concrete(trivet_graph_t* graph, tvi_node_id_t id,
                                         const trivet_tensor_t* inputs, uint32_t depth,
                                         trivet_allocator_t allocator, trivet_tensor_t* outputs) {
  const tvi_node_t* node = graph->nodes[id];
  if (node->op->definition->evaluate != NULL) {
    return run_hook(graph, node, inputs, allocator, outputs);
  }
  uint32_t output_count = node->output_count;
  for (uint32_t i = 0; i < output_count; ++i) {
    char name[16];
    int size = snprintf(name, sizeof(name), "%u", i);
    if (node->outputs[i] == 0) continue;
    TRIVET_RETURN_IF_ERROR(
        tvi_graph_add_output(graph, tvi_sv_make(name, (size_t)size), node->outputs[i]));
  }
  uint32_t* positions = NULL;
  tvi_arena_t arena;
  tvi_arena_init(&arena, allocator, 0);
  trivet_status_t status =
      tvi_arena_alloc_array(&arena, output_count + 1u, sizeof(*positions), &positions);
  for (uint32_t i = 0, k = 0; i < output_count && status == NULL; ++i) {
    positions[i] = node->outputs[i] != 0 ? k++ : UINT32_MAX;
  }
  bool expanded = false;
  if (status == NULL) status = tvi_graph_expand_node(graph, id, &expanded);
  if (status == NULL && !expanded) {
    status = run_program(graph, id, inputs, allocator, &arena, outputs);
  } else if (status == NULL) {
    trivet_tensor_t* results = NULL;
    status =
        tvi_arena_alloc_array_zeroed(&arena, graph->output_count + 1u, sizeof(*results), &results);
    if (status == NULL) {
      status = tvi_evaluate_frame(graph, NULL, 0, NULL, depth + 1, allocator, results);
    }
    for (uint32_t i = 0; i < output_count && status == NULL; ++i) {
      if (positions[i] != UINT32_MAX) outputs[i] = results[positions[i]];
    }
  }
  tvi_arena_deinit(&arena);
  return status;
}

static trivet_status_t evaluate_alone(const trivet_graph_t* graph, const tvi_node_t* node,
                                      const trivet_tensor_t* inputs, uint32_t depth,
                                      trivet_allocator_t allocator, trivet_graph_t* alone,
                                      trivet_tensor_t* outputs) {
  (void)graph;
  tvi_value_id_t* values;
  uint8_t* wanted;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(alone->arena, node->input_count + 1u, sizeof(*values), &values));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(alone->arena, node->output_count + 1u, 1, &wanted));
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (inputs[i].dtype == 0) continue;
    TRIVET_RETURN_IF_ERROR_ANNOTATED(
        tvi_graph_add_constant(alone, (trivet_string_view_t){0}, &inputs[i], false, &values[i]),
        "input %u", i);
  }
  for (uint32_t i = 0; i < node->output_count; ++i) wanted[i] = node->outputs[i] != 0;
  tvi_node_desc_t desc = {
      .op = node->op->definition->name,
      .version = node->op->definition->version,
      .inputs = values,
      .input_count = node->input_count,
      .attributes = node->attributes,
      .attribute_count = node->attribute_count,
      .output_count = node->output_count,
      .output_wanted = wanted,
      .expansion_depth = node->expansion_depth,
  };
  tvi_node_id_t id;
  TRIVET_RETURN_IF_ERROR(tvi_graph_add_node(alone, &desc, &id));
  return evaluate_concrete(alone, id, inputs, depth, allocator, outputs);
}

trivet_status_t tvi_evaluate_node(const trivet_graph_t* graph, tvi_node_id_t id,
                                  const trivet_tensor_t* inputs, tvi_frame_t* frame, uint32_t depth,
                                  trivet_allocator_t allocator, trivet_tensor_t* out_outputs) {
  const tvi_node_t* node = graph->nodes[id];
  if (depth > MAX_DEPTH) {
    return TRIVET_STATUS(OUT_OF_RANGE, "graphs are nested deeper than %u", MAX_DEPTH);
  }
  if (node->op->parsed == NULL) {
    return tvi_evaluate_control(graph, id, inputs, frame, depth, allocator, out_outputs);
  }
  if (node->subgraph_count != 0) {
    return TRIVET_STATUS(UNIMPLEMENTED, "only core operators with subgraphs can be evaluated");
  }
  trivet_graph_t* alone;
  TRIVET_RETURN_IF_ERROR(tvi_graph_create(graph->registry, allocator, &alone));
  trivet_status_t status =
      evaluate_alone(graph, node, inputs, depth, allocator, alone, out_outputs);
  tvi_graph_destroy(alone);
  if (status != NULL) tvi_tensors_free(allocator, out_outputs, node->output_count);
  return status;
}

trivet_status_t tvi_graph_evaluate_plain(const trivet_graph_t* graph, tvi_node_id_t id,
                                         const trivet_tensor_t* inputs,
                                         trivet_allocator_t allocator,
                                         trivet_tensor_t* out_outputs) {
  const tvi_node_t* node = graph->nodes[id];
  allocator = tvi_allocator_or_system(allocator);
  trivet_tensor_t* outputs;
  TRIVET_RETURN_IF_ERROR(
      tvi_alloc_array_zeroed(allocator, node->output_count + 1u, sizeof(*outputs), &outputs));
  trivet_status_t status = tvi_evaluate_node(graph, id, inputs, NULL, 0, allocator, outputs);
  if (status == NULL && node->output_count != 0) {
    memcpy(out_outputs, outputs, node->output_count * sizeof(*outputs));
  }
  tvi_free_array(allocator, outputs, node->output_count + 1u, sizeof(*outputs));
  if (status == NULL) return TRIVET_OK;
  char label[TVI_NODE_LABEL_SIZE];
  return trivet_status_annotate(status, "%s",
                                tvi_graph_node_label(graph, id, label, sizeof(label)));
}

// ---------------------------------------------------------------------------------------------
// A graph
// ---------------------------------------------------------------------------------------------

static trivet_status_t bind_dim(tvi_frame_t* frame, trivet_dim_t dim, int64_t value) {
  if (tvi_dim_kind(dim) != TVI_DIM_SYMBOL) return TRIVET_OK;
  uint32_t index = tvi_dim_symbol_index(dim);
  if (index < frame->symbol_count && frame->symbols[index] < 0) frame->symbols[index] = value;
  return TRIVET_OK;
}

static trivet_status_t bind_shape(tvi_frame_t* frame, const trivet_type_t* type,
                                  const trivet_tensor_t* tensor) {
  for (uint32_t i = 0; i < type->rank && i < tensor->rank; ++i) {
    TRIVET_RETURN_IF_ERROR(bind_dim(frame, type->dims[i], tensor->dims[i]));
  }
  return TRIVET_OK;
}

// Contents that are known as dimensions only.
static trivet_status_t make_ints(tvi_frame_t* frame, tvi_value_id_t id, const trivet_dim_t* ints,
                                 uint64_t count) {
  const trivet_type_t* type = &frame->graph->values[id]->type;
  int64_t dims[TRIVET_MAX_RANK];
  trivet_tensor_t tensor;
  if (!tvi_type_static_dims(type, dims)) {
    return TRIVET_STATUS(FAILED_PRECONDITION, "a constant of dimensions has a symbolic shape");
  }
  TRIVET_RETURN_IF_ERROR(
      tvi_tensor_allocate(frame->allocator, type->dtype, type->rank, dims, &tensor));
  frame->tensors[id] = tensor;
  frame->owned[id] = 1;
  for (uint64_t i = 0; i < count; ++i) {
    int64_t value;
    TRIVET_RETURN_IF_ERROR(tvi_dim_evaluate(ints[i], frame->symbols, frame->symbol_count, &value));
    tvi_dtype_write_i64(type->dtype, tensor.data, (int64_t)i, value);
  }
  return TRIVET_OK;
}

trivet_status_t tvi_frame_tensor(tvi_frame_t* frame, tvi_value_id_t id,
                                 trivet_tensor_t* out_tensor) {
  if (frame->tensors[id].dtype != 0) {
    *out_tensor = frame->tensors[id];
    return TRIVET_OK;
  }
  const tvi_value_t* value = frame->graph->values[id];
  if (tvi_value_tensor(value, out_tensor)) return TRIVET_OK;
  if (value->is_capture && frame->outer != NULL) {
    return tvi_frame_tensor(frame->outer, value->outer, out_tensor);
  }
  if (value->ints != NULL) {
    TRIVET_RETURN_IF_ERROR(make_ints(frame, id, value->ints, value->int_count));
    *out_tensor = frame->tensors[id];
    return TRIVET_OK;
  }
  return TRIVET_STATUS(
      FAILED_PRECONDITION, "value %u%s%.*s has no contents here", id,
      value->name_count != 0 ? " called " : "",
      TVI_SV_ARGS(value->name_count != 0 ? value->names[0] : ((trivet_string_view_t){0})));
}

static trivet_status_t evaluate_in_frame(tvi_frame_t* frame, tvi_node_id_t id, uint32_t depth,
                                         tvi_arena_t* arena) {
  const trivet_graph_t* graph = frame->graph;
  const tvi_node_t* node = graph->nodes[id];
  trivet_tensor_t* inputs;
  trivet_tensor_t* outputs;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, node->input_count + 1u, sizeof(*inputs), &inputs));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, node->output_count + 1u, sizeof(*outputs), &outputs));
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] == 0) continue;
    TRIVET_RETURN_IF_ERROR(tvi_frame_tensor(frame, node->inputs[i], &inputs[i]));
  }
  TRIVET_RETURN_IF_ERROR(
      tvi_evaluate_node(graph, id, inputs, frame, depth, frame->allocator, outputs));
  for (uint32_t i = 0; i < node->output_count; ++i) {
    tvi_value_id_t value = node->outputs[i];
    if (value == 0) continue;
    frame->tensors[value] = outputs[i];
    frame->owned[value] = 1;
    TRIVET_RETURN_IF_ERROR(bind_shape(frame, &graph->values[value]->type, &outputs[i]));
  }
  // Free what nobody reads any more. A capture counts as a use that never ends.
  for (uint32_t i = 0; i < node->input_count; ++i) {
    tvi_value_id_t value = node->inputs[i];
    if (value == 0 || frame->owned[value] == 0) continue;
    if (++frame->reads[value] == graph->values[value]->use_count &&
        graph->values[value]->output_uses == 0) {
      tvi_tensors_free(frame->allocator, &frame->tensors[value], 1);
      frame->owned[value] = 0;
    }
  }
  return TRIVET_OK;
}

static trivet_status_t take_outputs(tvi_frame_t* frame, trivet_tensor_t* outputs) {
  const trivet_graph_t* graph = frame->graph;
  for (uint32_t i = 0; i < graph->output_count; ++i) {
    tvi_value_id_t value = graph->outputs[i].value;
    trivet_tensor_t tensor;
    TRIVET_RETURN_IF_ERROR(tvi_frame_tensor(frame, value, &tensor));
    if (frame->owned[value] != 0 && graph->values[value]->output_uses == 1) {
      outputs[i] = tensor;
      frame->owned[value] = 0;
      frame->tensors[value] = (trivet_tensor_t){0};
    } else {
      TRIVET_RETURN_IF_ERROR(tvi_tensor_copy(frame->allocator, &tensor, &outputs[i]));
    }
  }
  return TRIVET_OK;
}

static trivet_status_t run_frame(tvi_frame_t* frame, tvi_arena_t* arena,
                                 const trivet_tensor_t* inputs, uint32_t input_count,
                                 uint32_t depth, trivet_tensor_t* outputs) {
  const trivet_graph_t* graph = frame->graph;
  if (input_count != graph->input_count) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%u inputs are given, the graph has %u", input_count,
                         graph->input_count);
  }
  uint32_t symbols = tvi_dim_symbol_count(graph->dims);
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, graph->value_count,
                                                      sizeof(*frame->tensors), &frame->tensors));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, graph->value_count, 1, &frame->owned));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, graph->value_count,
                                                      sizeof(*frame->reads), &frame->reads));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(arena, symbols + 1u, sizeof(*frame->symbols), &frame->symbols));
  frame->symbol_count = symbols;
  for (uint32_t i = 0; i < symbols; ++i) {
    bool known = frame->outer != NULL && i < frame->outer->symbol_count;
    frame->symbols[i] = known ? frame->outer->symbols[i] : -1;
  }
  for (uint32_t i = 0; i < input_count; ++i) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_tensor_check(&inputs[i]), "input %u", i);
    tvi_value_id_t value = graph->inputs[i].value;
    const trivet_type_t* type = &graph->values[value]->type;
    if (type->dtype != inputs[i].dtype || type->rank != inputs[i].rank) {
      return TRIVET_STATUS(INVALID_ARGUMENT,
                           "input '%.*s' is given as %s of rank %u, wanted %s of rank %u",
                           TVI_SV_ARGS(graph->inputs[i].name), tvi_dtype_name(inputs[i].dtype),
                           inputs[i].rank, tvi_dtype_name(type->dtype), type->rank);
    }
    frame->tensors[value] = inputs[i];
    TRIVET_RETURN_IF_ERROR(bind_shape(frame, type, &inputs[i]));
  }
  TVI_GRAPH_FOR_EACH_NODE(graph, id) {
    trivet_status_t status = evaluate_in_frame(frame, id, depth, arena);
    if (status != NULL) {
      char label[TVI_NODE_LABEL_SIZE];
      return trivet_status_annotate(status, "%s",
                                    tvi_graph_node_label(graph, id, label, sizeof(label)));
    }
  }
  return take_outputs(frame, outputs);
}

trivet_status_t tvi_evaluate_frame(const trivet_graph_t* graph, const trivet_tensor_t* inputs,
                                   uint32_t input_count, tvi_frame_t* outer, uint32_t depth,
                                   trivet_allocator_t allocator, trivet_tensor_t* out_outputs) {
  tvi_arena_t arena;
  tvi_arena_init(&arena, allocator, 0);
  tvi_frame_t frame = {.graph = graph, .outer = outer, .allocator = allocator};
  trivet_status_t status = run_frame(&frame, &arena, inputs, input_count, depth, out_outputs);
  if (frame.tensors != NULL && frame.owned != NULL) {
    for (uint32_t i = 0; i < graph->value_count; ++i) {
      if (frame.owned[i] != 0) tvi_tensors_free(allocator, &frame.tensors[i], 1);
    }
  }
  if (status != NULL) tvi_tensors_free(allocator, out_outputs, graph->output_count);
  tvi_arena_deinit(&arena);
  return status;
}

trivet_status_t tvi_graph_evaluate_graph(const trivet_graph_t* graph, const trivet_tensor_t* inputs,
                                         uint32_t input_count, trivet_allocator_t allocator,
                                         trivet_tensor_t* out_outputs) {
  allocator = tvi_allocator_or_system(allocator);
  trivet_tensor_t* outputs;
  TRIVET_RETURN_IF_ERROR(
      tvi_alloc_array_zeroed(allocator, graph->output_count + 1u, sizeof(*outputs), &outputs));
  trivet_status_t status =
      tvi_evaluate_frame(graph, inputs, input_count, NULL, 0, allocator, outputs);
  if (status == NULL && graph->output_count != 0) {
    memcpy(out_outputs, outputs, graph->output_count * sizeof(*outputs));
  }
  tvi_free_array(allocator, outputs, graph->output_count + 1u, sizeof(*outputs));
  return status;
}
