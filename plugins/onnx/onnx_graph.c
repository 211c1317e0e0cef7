// SPDX-License-Identifier: Apache-2.0
//
// Walks the graphs of a model in file order: constants, inputs, nodes, outputs. Names are looked up
// through nested scopes; values that are missing, defined twice or used too early are refused with
// what is wrong. Conversion of a node stands elsewhere (onnx_convert.c).
#include <stdio.h>
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

const uint64_t* tvi_onnx_scope_find(const tvi_onnx_scope_t* scope, const char* name) {
  for (; scope != NULL; scope = scope->outer) {
    const uint64_t* value = tvi_onnx_map_find(&scope->values, name);
    if (value != NULL) return value;
  }
  return NULL;
}

trivet_status_t tvi_onnx_full_name(tvi_onnx_t* onnx, const tvi_onnx_scope_t* scope,
                                   const char* name, const char** out_name) {
  if (scope->frame->prefix[0] == 0) {
    *out_name = name;
    return NULL;
  }
  return tvi_onnx_format(onnx, out_name, "%s%s", scope->frame->prefix, name);
}

trivet_status_t tvi_onnx_scope_bind(tvi_onnx_t* onnx, tvi_onnx_scope_t* scope, const char* name,
                                    trivet_value_t value) {
  uint32_t added = 0;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_map_add(&onnx->arena, &scope->values, name, value, &added));
  if (added) return NULL;
  return tvi_onnx_error(onnx, TRIVET_STATUS_DATA_LOSS, "value '%.200s' of %s is defined twice",
                        name, scope->place);
}

// ---- names that are not there: only on the way to an error ----

// Whether node |from| needs, through the nodes of the scope, something that node |target| makes.
static trivet_status_t depends_on(tvi_onnx_t* onnx, const tvi_onnx_scope_t* scope, size_t from,
                                  size_t target, uint32_t* out_depends) {
  tvi_onnx_map_t makers = {0};
  uint32_t added;
  for (size_t i = 0; i < scope->node_count; ++i) {
    for (size_t k = 0; k < scope->nodes[i]->n_output; ++k) {
      TVI_ONNX_RETURN_IF_ERROR(
          tvi_onnx_map_add(&onnx->arena, &makers, scope->nodes[i]->output[k], i, &added));
    }
  }
  size_t* open = NULL;
  uint8_t* seen = NULL;
  TVI_ONNX_RETURN_IF_ERROR(
      tvi_onnx_arena_allocate(&onnx->arena, scope->node_count, sizeof *open, &open));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_arena_allocate(&onnx->arena, scope->node_count, 1, &seen));
  size_t count = 1;
  open[0] = from;
  seen[from] = 1;
  *out_depends = 0;
  while (count > 0) {
    const Onnx__NodeProto* node = scope->nodes[open[--count]];
    for (size_t k = 0; k < node->n_input; ++k) {
      const uint64_t* maker =
          node->input[k][0] != 0 ? tvi_onnx_map_find(&makers, node->input[k]) : NULL;
      if (maker == NULL || seen[*maker]) continue;
      seen[*maker] = 1;
      open[count++] = (size_t)*maker;
    }
  }
  *out_depends = seen[target];
  return NULL;
}

static trivet_status_t missing(const tvi_onnx_node_t* node, size_t operand, const char* name) {
  const tvi_onnx_scope_t* scope = node->scope;
  for (size_t i = node->index; i < scope->node_count; ++i) {
    const Onnx__NodeProto* other = scope->nodes[i];
    for (size_t k = 0; k < other->n_output; ++k) {
      if (strcmp(other->output[k], name) != 0) continue;
      uint32_t cycle = 0;
      TVI_ONNX_RETURN_IF_ERROR(depends_on(node->onnx, scope, i, node->index, &cycle));
      return tvi_onnx_node_error(
          node, TRIVET_STATUS_DATA_LOSS,
          "input %zu, '%.200s', is made by the later node %zu ('%.80s', %.40s): %s", operand, name,
          i, tvi_onnx_text(other->name), tvi_onnx_text(other->op_type),
          cycle ? "the nodes form a cycle" : "the nodes are not in order");
    }
  }
  return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS, "input %zu, '%.200s', is not defined",
                             operand, name);
}

// ---- nodes ----

static trivet_status_t read_node(tvi_onnx_t* onnx, tvi_onnx_scope_t* scope, size_t index) {
  const Onnx__NodeProto* proto = scope->nodes[index];
  const tvi_onnx_frame_t* frame = scope->frame;
  tvi_onnx_node_t node;
  memset(&node, 0, offsetof(tvi_onnx_node_t, attributes));
  memset(&node.origin, 0, sizeof node.origin);
  node.onnx = onnx;
  node.scope = scope;
  node.proto = proto;
  node.index = index;
  node.domain = tvi_onnx_domain(proto->domain);
  node.type = tvi_onnx_text(proto->op_type);
  node.opset = tvi_onnx_opset(frame->opsets, frame->opset_count, node.domain);
  if (node.type[0] == 0)
    return tvi_onnx_node_error(&node, TRIVET_STATUS_DATA_LOSS, "the node has no operator");
  if (node.opset <= 0 && node.domain[0] == 0) {
    return tvi_onnx_node_error(&node, TRIVET_STATUS_DATA_LOSS,
                               "no version of the domain ai.onnx is imported");
  }
  const uint64_t most = TVI_ONNX_MAX_NODES(onnx->file_node_count);
  if (++onnx->node_count > most) {
    return tvi_onnx_node_error(&node, TRIVET_STATUS_OUT_OF_RANGE,
                               "%u nodes become more than %llu when functions are inlined",
                               onnx->file_node_count, (unsigned long long)most);
  }
  if (proto->n_input > TVI_ONNX_MAX_OPERANDS || proto->n_output > TVI_ONNX_MAX_OPERANDS) {
    return tvi_onnx_node_error(&node, TRIVET_STATUS_OUT_OF_RANGE,
                               "more than %u operands or results", TVI_ONNX_MAX_OPERANDS);
  }

  // Origin: the node's name, or the name of what it makes.
  const char* label = tvi_onnx_text(proto->name);
  for (size_t i = 0; label[0] == 0 && i < proto->n_output; ++i) label = proto->output[i];
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_full_name(onnx, scope, label, &label));
  const char* op = NULL;
  TVI_ONNX_RETURN_IF_ERROR(
      tvi_onnx_format(onnx, &op, "%s.%s", tvi_onnx_domain_name(node.domain), node.type));
  node.origin = (trivet_origin_t){onnx->file, tvi_onnx_view(label), tvi_onnx_view(op)};

  // Absent trailing operands and results mean the same as shorter lists.
  size_t inputs = proto->n_input, outputs = proto->n_output;
  while (inputs > 0 && proto->input[inputs - 1][0] == 0) --inputs;
  while (outputs > 0 && proto->output[outputs - 1][0] == 0) --outputs;
  node.input_count = (uint32_t)inputs;
  node.input_capacity = node.input_count + 8;
  node.output_count = (uint32_t)outputs;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_arena_allocate(&onnx->arena, node.input_capacity,
                                                   sizeof *node.inputs, &node.inputs));
  TVI_ONNX_RETURN_IF_ERROR(
      tvi_onnx_arena_allocate(&onnx->arena, outputs, sizeof *node.outputs, &node.outputs));
  for (size_t i = 0; i < inputs; ++i) {
    if (proto->input[i][0] == 0) continue;
    const uint64_t* value = tvi_onnx_scope_find(scope, proto->input[i]);
    if (value == NULL) return missing(&node, i, proto->input[i]);
    node.inputs[i] = (trivet_value_t)*value;
  }

  // In a function, what the caller left out is absent too.
  while (node.input_count > 0 && node.inputs[node.input_count - 1] == 0) --node.input_count;

  tvi_onnx_function_t* function = NULL;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_find_function(onnx, proto, &function));
  if (function != NULL) {
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_inline_function(&node, function));
  } else {
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_read_attributes(&node));
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_convert_node(&node));
  }
  for (size_t i = 0; i < outputs; ++i) {
    if (proto->output[i][0] == 0) continue;
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_scope_bind(onnx, scope, proto->output[i], node.outputs[i]));
    if (node.outputs[i] == 0) continue;
    const char* name = NULL;
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_full_name(onnx, scope, proto->output[i], &name));
    TVI_ONNX_RETURN_IF_ERROR(
        onnx->builder->api->name_value(onnx->builder, node.outputs[i], tvi_onnx_view(name)));
  }
  return NULL;
}

trivet_status_t tvi_onnx_read_nodes(tvi_onnx_t* onnx, tvi_onnx_scope_t* scope) {
  for (size_t i = 0; i < scope->node_count; ++i)
    TVI_ONNX_RETURN_IF_ERROR(read_node(onnx, scope, i));
  return NULL;
}

// ---- graphs ----

static trivet_status_t read_initializers(tvi_onnx_t* onnx, const Onnx__GraphProto* graph,
                                         tvi_onnx_scope_t* scope) {
  for (size_t i = 0; i < graph->n_initializer + graph->n_sparse_initializer; ++i) {
    uint32_t sparse = i >= graph->n_initializer;
    const Onnx__SparseTensorProto* from =
        sparse ? graph->sparse_initializer[i - graph->n_initializer] : NULL;
    const Onnx__TensorProto* proto = sparse ? from->values : graph->initializer[i];
    const char* name = proto != NULL ? tvi_onnx_text(proto->name) : "";
    if (name[0] == 0) {
      return tvi_onnx_error(onnx, TRIVET_STATUS_DATA_LOSS, "%s %zu of %s has no name",
                            sparse ? "sparse initializer" : "initializer",
                            sparse ? i - graph->n_initializer : i, scope->place);
    }
    const char* what = NULL;
    const char* full = NULL;
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_format(onnx, &what, "tensor '%s' of %s", name, scope->place));
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_full_name(onnx, scope, name, &full));
    trivet_tensor_t tensor;
    trivet_value_t value = 0;
    uint32_t flags = TRIVET_CONSTANT_COPY;
    if (sparse) {
      TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_sparse_tensor(onnx, from, what, &tensor));
    } else {
      TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_tensor(onnx, proto, what, &tensor, &flags));
    }
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_add_constant(onnx, full, &tensor, flags, &value));
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_scope_bind(onnx, scope, name, value));
  }
  return NULL;
}

// |formal_types| as in tvi_onnx_read_subgraph. |out_count| receives how many inputs there are
// besides initializers.
static trivet_status_t read_inputs(tvi_onnx_t* onnx, const Onnx__GraphProto* graph,
                                   tvi_onnx_scope_t* scope, const trivet_type_t* formal_types,
                                   uint32_t formal_count, uint32_t* out_count) {
  tvi_onnx_map_t seen = {0};
  *out_count = 0;
  for (size_t i = 0; i < graph->n_input; ++i) {
    const char* name = tvi_onnx_text(graph->input[i]->name);
    uint32_t added = 0;
    if (name[0] == 0)
      return tvi_onnx_error(onnx, TRIVET_STATUS_DATA_LOSS, "input %zu of %s has no name", i,
                            scope->place);
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_map_add(&onnx->arena, &seen, name, 0, &added));
    if (!added) {
      return tvi_onnx_error(onnx, TRIVET_STATUS_DATA_LOSS, "input '%.200s' of %s is defined twice",
                            name, scope->place);
    }
    // A weight that is listed as an input too: old files list all of them.
    if (tvi_onnx_map_find(&scope->values, name) != NULL) continue;
    if (formal_types != NULL && *out_count >= formal_count) {
      // Too many: the caller says so.
      ++*out_count;
      continue;
    }
    trivet_type_t type;
    uint32_t has_shape = 0;
    TVI_ONNX_RETURN_IF_ERROR(
        tvi_onnx_value_info_type(onnx, graph, i, scope->place, &type, &has_shape));
    const trivet_type_t* formal = formal_types != NULL && *out_count < formal_count &&
                                          formal_types[*out_count].dtype != TRIVET_DTYPE_INVALID
                                      ? &formal_types[*out_count]
                                      : NULL;
    if (formal != NULL) {
      if (type.dtype != TRIVET_DTYPE_INVALID && type.dtype != formal->dtype) {
        return tvi_onnx_error(
            onnx, TRIVET_STATUS_DATA_LOSS,
            "input '%.200s' of %s is declared with another element type than it gets", name,
            scope->place);
      }
      type = *formal;
    } else if (type.dtype == TRIVET_DTYPE_INVALID || !has_shape) {
      return tvi_onnx_error(
          onnx, TRIVET_STATUS_DATA_LOSS,
          "input '%.200s' of %s has no %s: the number of dimensions must be known", name,
          scope->place, type.dtype == TRIVET_DTYPE_INVALID ? "type" : "shape");
    }
    trivet_value_t value = 0;
    TVI_ONNX_RETURN_IF_ERROR(
        onnx->builder->api->add_input(onnx->builder, tvi_onnx_view(name), &type, &value));
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_scope_bind(onnx, scope, name, value));
    ++*out_count;
  }
  return NULL;
}

static trivet_status_t read_outputs(tvi_onnx_t* onnx, const Onnx__GraphProto* graph,
                                    const tvi_onnx_scope_t* scope) {
  tvi_onnx_map_t seen = {0};
  for (size_t i = 0; i < graph->n_output; ++i) {
    const char* name = tvi_onnx_text(graph->output[i]->name);
    const uint64_t* value = tvi_onnx_scope_find(scope, name);
    uint32_t added = 0;
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_map_add(&onnx->arena, &seen, name, 0, &added));
    if (!added) {
      return tvi_onnx_error(onnx, TRIVET_STATUS_DATA_LOSS, "output '%.200s' of %s is listed twice",
                            name, scope->place);
    }
    if (value == NULL || *value == 0) {
      return tvi_onnx_error(onnx, TRIVET_STATUS_DATA_LOSS, "output '%.200s' of %s is not defined",
                            name, scope->place);
    }
    TVI_ONNX_RETURN_IF_ERROR(
        onnx->builder->api->add_output(onnx->builder, tvi_onnx_view(name), (trivet_value_t)*value));
  }
  return NULL;
}

trivet_status_t tvi_onnx_read_graph(tvi_onnx_t* onnx) {
  const Onnx__GraphProto* graph = onnx->model->graph;
  tvi_onnx_frame_t frame = {0};
  frame.prefix = "";
  frame.opsets = onnx->model->opset_import;
  frame.opset_count = onnx->model->n_opset_import;
  tvi_onnx_scope_t scope = {0};
  scope.frame = &frame;
  scope.place = "the graph";
  scope.nodes = graph->node;
  scope.node_count = graph->n_node;
  uint32_t inputs = 0;
  TVI_ONNX_RETURN_IF_ERROR(read_initializers(onnx, graph, &scope));
  TVI_ONNX_RETURN_IF_ERROR(read_inputs(onnx, graph, &scope, NULL, 0, &inputs));
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_read_nodes(onnx, &scope));
  return read_outputs(onnx, graph, &scope);
}

// Enters a body of |attribute|: its nodes see the names around it.
static trivet_status_t open_body(tvi_onnx_node_t* node, const tvi_onnx_attribute_t* attribute,
                                 const Onnx__GraphProto* graph, tvi_onnx_scope_t* scope) {
  tvi_onnx_t* onnx = node->onnx;
  if (++onnx->nesting > TVI_ONNX_MAX_NESTING) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_OUT_OF_RANGE,
                               "graphs and function calls are nested deeper than %d levels",
                               TVI_ONNX_MAX_NESTING);
  }
  memset(scope, 0, sizeof *scope);
  scope->outer = attribute->scope;
  scope->frame = attribute->scope->frame;
  scope->nodes = graph->node;
  scope->node_count = graph->n_node;
  return tvi_onnx_format(onnx, &scope->place, "graph '%.100s' (%s of node '%.100s')",
                         tvi_onnx_text(graph->name), attribute->value.name,
                         tvi_onnx_text(node->proto->name));
}

static trivet_status_t read_body(tvi_onnx_node_t* node, const Onnx__GraphProto* graph,
                                 tvi_onnx_scope_t* scope, const trivet_type_t* formal_types,
                                 uint32_t formal_count) {
  tvi_onnx_t* onnx = node->onnx;
  uint32_t inputs = 0;
  TVI_ONNX_RETURN_IF_ERROR(read_initializers(onnx, graph, scope));
  TVI_ONNX_RETURN_IF_ERROR(read_inputs(onnx, graph, scope, formal_types, formal_count, &inputs));
  if (formal_types != NULL && inputs != formal_count) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS,
                               "%s has %u inputs, the node gives it %u", scope->place, inputs,
                               formal_count);
  }
  return tvi_onnx_read_nodes(onnx, scope);
}

trivet_status_t tvi_onnx_read_subgraph(tvi_onnx_node_t* node, const tvi_onnx_attribute_t* attribute,
                                       const Onnx__GraphProto* graph,
                                       const trivet_type_t* formal_types, uint32_t formal_count,
                                       uint32_t* out_graph) {
  trivet_graph_builder_t* builder = node->onnx->builder;
  tvi_onnx_scope_t scope;
  TVI_ONNX_RETURN_IF_ERROR(open_body(node, attribute, graph, &scope));
  TVI_ONNX_RETURN_IF_ERROR(
      builder->api->begin_subgraph(builder, tvi_onnx_view(tvi_onnx_text(graph->name)), out_graph));
  TVI_ONNX_RETURN_IF_ERROR(read_body(node, graph, &scope, formal_types, formal_count));
  TVI_ONNX_RETURN_IF_ERROR(read_outputs(node->onnx, graph, &scope));
  --node->onnx->nesting;
  return builder->api->end_subgraph(builder);
}

trivet_status_t tvi_onnx_inline_subgraph(tvi_onnx_node_t* node,
                                         const tvi_onnx_attribute_t* attribute) {
  static const trivet_type_t kNone;
  const Onnx__GraphProto* graph = attribute->proto->g;
  tvi_onnx_scope_t scope;
  TVI_ONNX_RETURN_IF_ERROR(open_body(node, attribute, graph, &scope));
  TVI_ONNX_RETURN_IF_ERROR(read_body(node, graph, &scope, &kNone, 0));
  for (uint32_t i = 0; i < node->output_count; ++i) {
    const char* name = tvi_onnx_text(graph->output[i]->name);
    const uint64_t* value = tvi_onnx_scope_find(&scope, name);
    if (value == NULL || *value == 0) {
      return tvi_onnx_error(node->onnx, TRIVET_STATUS_DATA_LOSS,
                            "output '%.200s' of %s is not defined", name, scope.place);
    }
    node->outputs[i] = (trivet_value_t)*value;
  }
  --node->onnx->nesting;
  return NULL;
}
