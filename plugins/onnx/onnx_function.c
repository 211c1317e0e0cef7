// SPDX-License-Identifier: Apache-2.0
//
// Model-local functions: found by domain, name and overload, inlined at each call with their own
// names and operator sets. Attributes of the call replace references to them (onnx_attribute.c). A
// function that calls itself is refused.
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

static trivet_status_t function_key(tvi_onnx_t* onnx, const char* domain, const char* name,
                                    const char* overload, const char** out_key) {
  return tvi_onnx_format(onnx, out_key, "%s:%s:%s", tvi_onnx_domain(domain), tvi_onnx_text(name),
                         tvi_onnx_text(overload));
}

trivet_status_t tvi_onnx_index_functions(tvi_onnx_t* onnx) {
  const Onnx__ModelProto* model = onnx->model;
  onnx->function_count = model->n_functions;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_arena_allocate(&onnx->arena, model->n_functions,
                                                   sizeof *onnx->functions, &onnx->functions));
  for (size_t i = 0; i < model->n_functions; ++i) {
    tvi_onnx_function_t* function = &onnx->functions[i];
    uint32_t added = 0;
    function->proto = model->functions[i];
    TVI_ONNX_RETURN_IF_ERROR(function_key(onnx, function->proto->domain, function->proto->name,
                                          function->proto->overload, &function->key));
    TVI_ONNX_RETURN_IF_ERROR(
        tvi_onnx_map_add(&onnx->arena, &onnx->function_map, function->key, i, &added));
    if (!added) {
      return tvi_onnx_error(onnx, TRIVET_STATUS_DATA_LOSS, "function '%.200s' is defined twice",
                            function->key);
    }
  }
  return NULL;
}

trivet_status_t tvi_onnx_find_function(tvi_onnx_t* onnx, const Onnx__NodeProto* proto,
                                       tvi_onnx_function_t** out_function) {
  *out_function = NULL;
  if (onnx->function_count == 0) return NULL;
  const char* domain = tvi_onnx_domain(proto->domain);
  const char* text = NULL;
  if (domain[0] != 0) {
    // Somebody who registers an operator under the name of a function does so to replace it.
    TVI_ONNX_RETURN_IF_ERROR(
        tvi_onnx_format(onnx, &text, "%s.%s", domain, tvi_onnx_text(proto->op_type)));
    if (onnx->builder->api->has_operator(onnx->builder, text, 0)) return NULL;
  }
  TVI_ONNX_RETURN_IF_ERROR(function_key(onnx, domain, proto->op_type, proto->overload, &text));
  const uint64_t* index = tvi_onnx_map_find(&onnx->function_map, text);
  if (index != NULL) *out_function = &onnx->functions[*index];
  return NULL;
}

trivet_status_t tvi_onnx_inline_function(tvi_onnx_node_t* node, tvi_onnx_function_t* function) {
  tvi_onnx_t* onnx = node->onnx;
  const Onnx__FunctionProto* proto = function->proto;
  if (function->active != 0) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS, "function '%.200s' calls itself",
                               function->key);
  }
  if (++onnx->nesting > TVI_ONNX_MAX_NESTING) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_OUT_OF_RANGE,
                               "graphs and function calls are nested deeper than %d levels",
                               TVI_ONNX_MAX_NESTING);
  }
  if (node->input_count > proto->n_input || node->output_count > proto->n_output) {
    return tvi_onnx_node_error(
        node, TRIVET_STATUS_DATA_LOSS,
        "function '%.200s' takes %zu inputs and gives %zu outputs, not %u and %u", function->key,
        proto->n_input, proto->n_output, node->input_count, node->output_count);
  }
  const char* name = tvi_onnx_text(node->proto->name);
  tvi_onnx_frame_t frame = {0};
  frame.function = function;
  frame.call = node;
  frame.opsets = proto->opset_import;
  frame.opset_count = proto->n_opset_import;
  if (name[0] != 0) {
    TVI_ONNX_RETURN_IF_ERROR(
        tvi_onnx_format(onnx, &frame.prefix, "%s%s/", node->scope->frame->prefix, name));
  } else {
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_format(onnx, &frame.prefix, "%s%s_%zu/",
                                             node->scope->frame->prefix, node->type, node->index));
  }
  tvi_onnx_scope_t scope = {0};
  scope.frame = &frame;
  scope.nodes = proto->node;
  scope.node_count = proto->n_node;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_format(onnx, &scope.place,
                                           "function '%.100s' called by node '%.100s'",
                                           tvi_onnx_text(proto->name), frame.prefix));
  for (size_t i = 0; i < proto->n_input; ++i) {
    if (proto->input[i][0] == 0) continue;
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_scope_bind(onnx, &scope, proto->input[i],
                                                 i < node->input_count ? node->inputs[i] : 0));
  }
  ++function->active;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_read_nodes(onnx, &scope));
  --function->active;
  for (uint32_t i = 0; i < node->output_count; ++i) {
    const uint64_t* value = tvi_onnx_scope_find(&scope, proto->output[i]);
    if (value == NULL) {
      return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS,
                                 "output '%.200s' of %s is not defined", proto->output[i],
                                 scope.place);
    }
    node->outputs[i] = (trivet_value_t)*value;
  }
  --onnx->nesting;
  return NULL;
}
