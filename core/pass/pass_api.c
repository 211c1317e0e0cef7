// SPDX-License-Identifier: Apache-2.0
//
// The table that passes from outside change graphs through (trivet_pass_api_t of plugin.h), over
// the graph's own functions. Every id that comes in is checked, so that a pass that makes a mistake
// gets a status or a 0, never a crash.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/status.h"
#include "core/base/string_builder.h"
#include "core/base/string_view.h"
#include "core/graph/graph_report.h"
#include "core/pass/pass_internal.h"

static const tvi_node_t* node_or_null(const trivet_graph_t* graph, trivet_node_t node) {
  return node != 0 && node < graph->node_count ? graph->nodes[node] : NULL;
}

static const tvi_node_t* live_node(const trivet_graph_t* graph, trivet_node_t node) {
  const tvi_node_t* n = node_or_null(graph, node);
  return n != NULL && !n->dead ? n : NULL;
}

static const tvi_value_t* live_value(const trivet_graph_t* graph, trivet_value_t value) {
  if (value == 0 || value >= graph->value_count || graph->values[value]->dead) return NULL;
  return graph->values[value];
}

static trivet_node_t next_node(trivet_pass_context_t* context, const trivet_graph_t* graph,
                               trivet_node_t node) {
  (void)context;
  if (node == 0) return graph->first;
  const tvi_node_t* n = node_or_null(graph, node);
  // A removed node still says what followed it, and so do those behind it that went as well.
  trivet_node_t next = n != NULL ? n->next : 0;
  while (next != 0 && graph->nodes[next]->dead) next = graph->nodes[next]->next;
  return next;
}

static const char* node_operator(trivet_pass_context_t* context, const trivet_graph_t* graph,
                                 trivet_node_t node, uint32_t* out_version) {
  (void)context;
  const tvi_node_t* n = live_node(graph, node);
  if (n == NULL) return NULL;
  if (out_version != NULL) *out_version = n->op->definition->version;
  return n->op->definition->name;
}

static const trivet_value_t* node_inputs(trivet_pass_context_t* context,
                                         const trivet_graph_t* graph, trivet_node_t node,
                                         uint32_t* out_count) {
  (void)context;
  const tvi_node_t* n = live_node(graph, node);
  *out_count = n != NULL ? n->input_count : 0;
  return n != NULL ? n->inputs : NULL;
}

static const trivet_value_t* node_outputs(trivet_pass_context_t* context,
                                          const trivet_graph_t* graph, trivet_node_t node,
                                          uint32_t* out_count) {
  (void)context;
  const tvi_node_t* n = live_node(graph, node);
  *out_count = n != NULL ? n->output_count : 0;
  return n != NULL ? n->outputs : NULL;
}

static const trivet_attribute_t* node_attribute(trivet_pass_context_t* context,
                                                const trivet_graph_t* graph, trivet_node_t node,
                                                const char* name) {
  (void)context;
  const tvi_node_t* n = live_node(graph, node);
  return n != NULL && name != NULL ? tvi_node_attribute(n, name) : NULL;
}

static trivet_node_t producer(trivet_pass_context_t* context, const trivet_graph_t* graph,
                              trivet_value_t value, uint32_t* out_index) {
  (void)context;
  const tvi_value_t* v = live_value(graph, value);
  if (v == NULL || v->producer == 0) return 0;
  if (out_index != NULL) *out_index = v->output_index;
  return v->producer;
}

static const trivet_type_t* value_type(trivet_pass_context_t* context, const trivet_graph_t* graph,
                                       trivet_value_t value) {
  (void)context;
  const tvi_value_t* v = live_value(graph, value);
  return v != NULL ? &v->type : NULL;
}

static uint32_t use_count(trivet_pass_context_t* context, const trivet_graph_t* graph,
                          trivet_value_t value) {
  (void)context;
  const tvi_value_t* v = live_value(graph, value);
  return v != NULL ? v->use_count + v->output_uses : 0;
}

static trivet_node_t use(trivet_pass_context_t* context, const trivet_graph_t* graph,
                         trivet_value_t value, uint32_t index, uint32_t* out_operand) {
  (void)context;
  const tvi_value_t* v = live_value(graph, value);
  if (v == NULL || index >= v->use_count || (v->uses[index].operand & TVI_USE_CAPTURE) != 0) {
    return 0;
  }
  if (out_operand != NULL) *out_operand = v->uses[index].operand;
  return v->uses[index].node;
}

static uint32_t value_constant(trivet_pass_context_t* context, const trivet_graph_t* graph,
                               trivet_value_t value, trivet_tensor_t* out_tensor) {
  (void)context;
  const tvi_value_t* v = live_value(graph, value);
  trivet_tensor_t tensor;
  if (v == NULL || !tvi_value_tensor(v, &tensor)) return 0;
  *out_tensor = tensor;
  return 1;
}

static uint32_t value_number(trivet_pass_context_t* context, const trivet_graph_t* graph,
                             trivet_value_t value, double* out_number) {
  (void)context;
  const tvi_value_t* v = live_value(graph, value);
  return v != NULL && tvi_value_scalar_constant(v, out_number);
}

static const trivet_dim_t* value_ints(trivet_pass_context_t* context, const trivet_graph_t* graph,
                                      trivet_value_t value, uint64_t* out_count) {
  (void)context;
  *out_count = 0;
  return live_value(graph, value) != NULL ? tvi_graph_value_ints(graph, value, out_count) : NULL;
}

static trivet_value_t graph_value(trivet_pass_context_t* context, const trivet_graph_t* graph,
                                  uint32_t kind, uint32_t index) {
  (void)context;
  if (kind == 0 && index < graph->input_count) return graph->inputs[index].value;
  if (kind == 1 && index < graph->output_count) return graph->outputs[index].value;
  return 0;
}

static trivet_dim_t dim_constant(trivet_pass_context_t* context, trivet_graph_t* graph,
                                 int64_t value) {
  (void)context;
  return tvi_dim_constant(graph->dims, value);
}

static trivet_dim_t dim_binary(trivet_pass_context_t* context, trivet_graph_t* graph, uint32_t op,
                               trivet_dim_t a, trivet_dim_t b) {
  (void)context;
  return tvi_dim_binary(graph->dims, op, a, b);
}

static uint32_t dim_value(trivet_pass_context_t* context, const trivet_graph_t* graph,
                          trivet_dim_t dim, int64_t* out_value) {
  (void)context, (void)graph;
  return dim != NULL && tvi_dim_is_constant(dim, out_value);
}

static void dim_range(trivet_pass_context_t* context, const trivet_graph_t* graph, trivet_dim_t dim,
                      int64_t* out_min, int64_t* out_max) {
  (void)context;
  *out_min = INT64_MIN;
  *out_max = INT64_MAX;
  if (dim != NULL) tvi_dim_range(graph->dims, dim, out_min, out_max);
}

static int64_t dim_divisor(trivet_pass_context_t* context, const trivet_graph_t* graph,
                           trivet_dim_t dim) {
  (void)context;
  return dim != NULL ? tvi_dim_divisor(graph->dims, dim) : 1;
}

static uint32_t dim_at_most(trivet_pass_context_t* context, trivet_graph_t* graph, trivet_dim_t a,
                            trivet_dim_t b) {
  (void)context;
  trivet_dim_t rest = tvi_dim_binary(graph->dims, TRIVET_DIM_SUB, b, a);
  return rest != NULL && tvi_dim_is_nonnegative(graph->dims, rest);
}

static const char* dim_text(trivet_pass_context_t* context, const trivet_graph_t* graph,
                            trivet_dim_t dim) {
  if (dim == NULL) return "?";
  tvi_string_builder_t text;
  trivet_string_view_t kept = {NULL, 0};
  tvi_string_builder_init(&text, graph->allocator);
  trivet_status_t status = tvi_dim_print(dim, &text);
  if (status == NULL) status = tvi_string_builder_status(&text);
  if (status == NULL) {
    status = tvi_arena_strdup(context->scratch, tvi_string_builder_view(&text), &kept);
  }
  tvi_string_builder_deinit(&text);
  return trivet_status_consume(status) == TRIVET_STATUS_OK ? kept.data : "?";
}

static trivet_status_t no_node(trivet_node_t node) {
  return TRIVET_STATUS(INVALID_ARGUMENT, "the graph has no node %u", node);
}

static trivet_status_t assume(trivet_pass_context_t* context, trivet_graph_t* graph,
                              trivet_node_t at, trivet_dim_t a, trivet_dim_t b) {
  (void)context;
  const tvi_node_t* n = live_node(graph, at);
  if (n == NULL) return no_node(at);
  if (a == NULL || b == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "an assumption lacks a dimension");
  }
  return tvi_graph_assume(graph, a, b, n->origin_count != 0 ? n->origins[0] : 0);
}

static uint32_t may_change(trivet_pass_context_t* context, const trivet_graph_t* graph,
                           trivet_node_t node) {
  return live_node(graph, node) != NULL && tvi_pass_may_change(context, graph, node);
}

static trivet_status_t add_node(trivet_pass_context_t* context, trivet_graph_t* graph,
                                trivet_node_t at, const char* op, uint32_t version,
                                const trivet_value_t* inputs, uint32_t input_count,
                                const trivet_attribute_t* attributes, uint32_t attribute_count,
                                uint32_t output_count, trivet_value_t* out_outputs) {
  context->edited = true;
  const tvi_node_t* n = live_node(graph, at);
  if (n == NULL) return no_node(at);
  if (op == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "a node has no operator");
  for (uint32_t i = 0; i < attribute_count; ++i) {
    if (attributes[i].kind == TRIVET_ATTR_GRAPH) {
      return TRIVET_STATUS(UNIMPLEMENTED, "%s: passes cannot make graphs inside graphs", op);
    }
  }
  const tvi_node_desc_t desc = {
      .op = op,
      .version = version,
      .inputs = inputs,
      .input_count = input_count,
      .attributes = attributes,
      .attribute_count = attribute_count,
      .output_count = output_count,
      .origins = n->origins,
      .origin_count = n->origin_count,
      .before = at,
  };
  tvi_node_id_t added;
  TRIVET_RETURN_IF_ERROR(tvi_graph_add_node(graph, &desc, &added));
  memcpy(out_outputs, graph->nodes[added]->outputs, output_count * sizeof(*out_outputs));
  return TRIVET_OK;
}

static trivet_status_t add_constant(trivet_pass_context_t* context, trivet_graph_t* graph,
                                    const trivet_tensor_t* tensor, trivet_value_t* out_value) {
  context->edited = true;
  return tvi_graph_add_constant(graph, (trivet_string_view_t){NULL, 0}, tensor, true, out_value);
}

static trivet_status_t add_ints(trivet_pass_context_t* context, trivet_graph_t* graph,
                                const trivet_dim_t* dims, uint64_t count,
                                trivet_value_t* out_value) {
  context->edited = true;
  for (uint64_t i = 0; i < count; ++i) {
    if (dims[i] == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "dimension %zu is none", (size_t)i);
  }
  trivet_type_t type = {.dtype = TRIVET_DTYPE_I64, .rank = 1};
  type.dims[0] = tvi_dim_constant(graph->dims, (int64_t)count);
  return tvi_graph_add_dims_constant(graph, &type, dims, out_value);
}

static trivet_status_t other_type(const trivet_graph_t* graph, const tvi_value_t* value,
                                  const tvi_value_t* replacement) {
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, graph->allocator);
  tvi_string_builder_append_cstr(&text, "a value of type ");
  tvi_type_print(&value->type, &text);
  tvi_string_builder_append_cstr(&text, " cannot be replaced by one of type ");
  tvi_type_print(&replacement->type, &text);
  trivet_status_t status = tvi_string_builder_status(&text);
  if (status == NULL) {
    trivet_string_view_t view = tvi_string_builder_view(&text);
    status = tvi_graph_node_error(graph, value->producer, TRIVET_STATUS_INVALID_ARGUMENT, "%.*s",
                                  TVI_SV_ARGS(view));
  }
  tvi_string_builder_deinit(&text);
  return status;
}

static trivet_status_t replace(trivet_pass_context_t* context, trivet_graph_t* graph,
                               trivet_value_t value, trivet_value_t replacement, const char* format,
                               ...) {
  const tvi_value_t* from = live_value(graph, value);
  const tvi_value_t* to = live_value(graph, replacement);
  if (from == NULL || to == NULL || value == replacement || from->producer == 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "value %u cannot be replaced by value %u%s", value,
                         replacement,
                         from != NULL && from->producer == 0 ? ": no node makes it" : "");
  }
  if (!tvi_type_equal(&from->type, &to->type)) return other_type(graph, from, to);
  context->edited = true;
  char reason[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof(reason), format, arguments);
  va_end(arguments);
  // Before the change, so that the report can name the node.
  tvi_pass_change(context, graph, from->producer, "%s", reason);
  return tvi_graph_supersede(graph, value, replacement);
}

static void decline(trivet_pass_context_t* context, const trivet_graph_t* graph, trivet_node_t node,
                    const char* format, ...) {
  char reason[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, sizeof(reason), format, arguments);
  va_end(arguments);
  tvi_pass_decline(context, graph, live_node(graph, node) != NULL ? node : 0, "%s", reason);
}

static trivet_status_t accepts(trivet_pass_context_t* context, const trivet_graph_t* graph,
                               trivet_node_t node, uint32_t* out_accepted) {
  if (live_node(graph, node) == NULL) return no_node(node);
  bool accepted = false;
  TRIVET_RETURN_IF_ERROR(tvi_pass_accepts(context, graph, node, &accepted));
  *out_accepted = accepted;
  return TRIVET_OK;
}

static trivet_status_t scratch(trivet_pass_context_t* context, uint64_t size, void** out_memory) {
  return tvi_arena_alloc(context->scratch, size, out_memory);
}

static trivet_status_t error(trivet_pass_context_t* context, const trivet_graph_t* graph,
                             trivet_node_t node, uint32_t code, const char* format, ...) {
  (void)context;
  if (code == TRIVET_STATUS_OK || code >= TRIVET_STATUS_CODE_COUNT) code = TRIVET_STATUS_INTERNAL;
  va_list arguments;
  va_start(arguments, format);
  trivet_status_t status = trivet_status_make_v(code, NULL, 0, format, arguments);
  va_end(arguments);
  return live_node(graph, node) != NULL ? tvi_graph_annotate_error(graph, node, status) : status;
}

const trivet_pass_api_t tvi_pass_api = {
    .struct_size = (uint32_t)sizeof(trivet_pass_api_t),
    .abi_minor = TRIVET_ABI_MINOR,
    .next_node = next_node,
    .node_operator = node_operator,
    .node_inputs = node_inputs,
    .node_outputs = node_outputs,
    .node_attribute = node_attribute,
    .producer = producer,
    .value_type = value_type,
    .use_count = use_count,
    .use = use,
    .value_constant = value_constant,
    .value_number = value_number,
    .value_ints = value_ints,
    .graph_value = graph_value,
    .dim_constant = dim_constant,
    .dim_binary = dim_binary,
    .dim_value = dim_value,
    .dim_range = dim_range,
    .dim_divisor = dim_divisor,
    .dim_at_most = dim_at_most,
    .dim_text = dim_text,
    .assume = assume,
    .may_change = may_change,
    .add_node = add_node,
    .add_constant = add_constant,
    .add_ints = add_ints,
    .replace = replace,
    .decline = decline,
    .accepts = accepts,
    .scratch = scratch,
    .error = error,
};
