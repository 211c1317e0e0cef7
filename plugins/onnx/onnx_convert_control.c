// SPDX-License-Identifier: Apache-2.0
//
// If, Loop and Scan: their bodies become subgraphs. The types of a body's inputs follow from what
// the node gives it, since files often leave them out.
#include <string.h>

#include "plugins/onnx/onnx_frontend.h"

static trivet_status_t find_body(tvi_onnx_node_t* node, const char* name,
                                 tvi_onnx_attribute_t** out_attribute) {
  tvi_onnx_attribute_t* attribute = tvi_onnx_attribute(node, name);
  if (attribute == NULL || attribute->value.kind != TRIVET_ATTR_GRAPH ||
      attribute->value.flags != 0) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS, "graph attribute '%s' is needed",
                               name);
  }
  *out_attribute = attribute;
  return NULL;
}

// Reads the body in |attribute| and puts its id there.
static trivet_status_t read_body(tvi_onnx_node_t* node, tvi_onnx_attribute_t* attribute,
                                 const trivet_type_t* formals, uint32_t formal_count) {
  uint32_t* graph = NULL;
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_arena_allocate(&node->onnx->arena, 1, sizeof *graph, &graph));
  TVI_ONNX_RETURN_IF_ERROR(
      tvi_onnx_read_subgraph(node, attribute, attribute->proto->g, formals, formal_count, graph));
  attribute->value.data = graph;
  return NULL;
}

// The node gives every result of its body but |hidden|, also those that the file does not name.
static trivet_status_t take_results(tvi_onnx_node_t* node, size_t body_outputs, uint32_t hidden) {
  if (body_outputs < hidden || node->output_count > body_outputs - hidden) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS,
                               "%u results are asked for, the body gives %zu", node->output_count,
                               body_outputs < hidden ? 0 : body_outputs - hidden);
  }
  node->output_count = (uint32_t)(body_outputs - hidden);
  return tvi_onnx_arena_allocate(&node->onnx->arena, node->output_count, sizeof *node->outputs,
                                 &node->outputs);
}

// 1 and the value where a condition of one element is known already.
static uint32_t known_condition(const tvi_onnx_node_t* node, trivet_value_t value,
                                int64_t* out_taken) {
  trivet_graph_builder_t* builder = node->onnx->builder;
  const trivet_tensor_t* constant = builder->api->value_constant(builder, value);
  if (constant != NULL && constant->dtype == TRIVET_DTYPE_BOOL && constant->size == 1) {
    *out_taken = *(const uint8_t*)constant->data != 0;
    return 1;
  }
  uint64_t count = 0;
  const trivet_dim_t* ints = builder->api->value_ints(builder, value, &count);
  return ints != NULL && count == 1 && ints[0] != NULL &&
         builder->api->dim_value(builder, ints[0], out_taken);
}

// A branch that is certainly taken stands in place of the node. The other one is not read: it is
// often not even valid for the shapes at hand.
static trivet_status_t convert_if(tvi_onnx_node_t* node) {
  static const trivet_type_t kNone;
  tvi_onnx_attribute_t* branches[2] = {NULL, NULL};
  TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_require_inputs(node, 1, 1));
  TVI_ONNX_RETURN_IF_ERROR(find_body(node, "else_branch", &branches[0]));
  TVI_ONNX_RETURN_IF_ERROR(find_body(node, "then_branch", &branches[1]));
  size_t results[2] = {branches[0]->proto->g->n_output, branches[1]->proto->g->n_output};
  if (results[0] != results[1]) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS,
                               "the branches give %zu and %zu results", results[1], results[0]);
  }
  TVI_ONNX_RETURN_IF_ERROR(take_results(node, results[0], 0));
  int64_t taken = 0;
  if (known_condition(node, node->inputs[0], &taken)) {
    node->emitted = 1;
    return tvi_onnx_inline_subgraph(node, branches[taken != 0]);
  }
  TVI_ONNX_RETURN_IF_ERROR(read_body(node, branches[1], &kNone, 0));
  return read_body(node, branches[0], &kNone, 0);
}

// Operands: trip count, condition, carried values. Body: iteration, condition, carried values in;
// condition, carried values, scanned values out.
static trivet_status_t convert_loop(tvi_onnx_node_t* node) {
  // An absent count or condition may have been cut off as a trailing operand.
  uint32_t count = node->input_count < 2 ? 2 : node->input_count;
  trivet_type_t* formals = NULL;
  TVI_ONNX_RETURN_IF_ERROR(
      tvi_onnx_arena_allocate(&node->onnx->arena, count, sizeof *formals, &formals));
  formals[0].dtype = TRIVET_DTYPE_I64;
  formals[1].dtype = TRIVET_DTYPE_BOOL;
  for (uint32_t i = 2; i < count; ++i)
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_input_type(node, i, &formals[i]));
  tvi_onnx_attribute_t* body = NULL;
  TVI_ONNX_RETURN_IF_ERROR(find_body(node, "body", &body));
  TVI_ONNX_RETURN_IF_ERROR(read_body(node, body, formals, count));
  size_t results = body->proto->g->n_output;
  if (results < count - 1) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS,
                               "the body gives %zu results, %u are needed", results, count - 1);
  }
  return take_results(node, results, 1);
}

static trivet_status_t convert_scan(tvi_onnx_node_t* node) {
  if (node->opset < 9) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_UNIMPLEMENTED,
                               "the batched form of opset 8 is not read");
  }
  int64_t scanned = tvi_onnx_attribute_i64(node, "num_scan_inputs", 0);
  if (scanned < 1 || scanned > node->input_count) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS,
                               "num_scan_inputs is %lld, with %u inputs", (long long)scanned,
                               node->input_count);
  }
  uint32_t states = node->input_count - (uint32_t)scanned;
  uint64_t axis_count = 0;
  const int64_t* axes = tvi_onnx_attribute_i64s(node, "scan_input_axes", &axis_count);
  if (axis_count != 0 && axis_count != (uint64_t)scanned) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS,
                               "scan_input_axes has %llu elements, num_scan_inputs is %lld",
                               (unsigned long long)axis_count, (long long)scanned);
  }
  trivet_type_t* formals = NULL;
  TVI_ONNX_RETURN_IF_ERROR(
      tvi_onnx_arena_allocate(&node->onnx->arena, node->input_count, sizeof *formals, &formals));
  for (uint32_t i = 0; i < node->input_count; ++i) {
    trivet_type_t* type = &formals[i];
    TVI_ONNX_RETURN_IF_ERROR(tvi_onnx_input_type(node, i, type));
    if (i < states) continue;
    // The body sees one slice: the scanned axis is gone.
    int64_t axis = axis_count != 0 ? axes[i - states] : 0;
    if (axis < 0) axis += type->rank;
    if (axis < 0 || axis >= (int64_t)type->rank) {
      return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS,
                                 "scan input %u has %u dimensions, none to scan along", i - states,
                                 type->rank);
    }
    memmove(&type->dims[axis], &type->dims[axis + 1],
            sizeof type->dims[0] * (size_t)(type->rank - 1 - axis));
    type->dims[--type->rank] = NULL;
  }
  tvi_onnx_attribute_t* body = NULL;
  TVI_ONNX_RETURN_IF_ERROR(find_body(node, "body", &body));
  TVI_ONNX_RETURN_IF_ERROR(read_body(node, body, formals, node->input_count));
  size_t results = body->proto->g->n_output;
  if (results < states) {
    return tvi_onnx_node_error(node, TRIVET_STATUS_DATA_LOSS,
                               "the body gives %zu results for %u state variables", results,
                               states);
  }
  return take_results(node, results, 0);
}

const tvi_onnx_conversion_t tvi_onnx_conversions_control[] = {
    {"", "If", TVI_ONNX_ALWAYS, NULL, convert_if},
    {"", "Loop", TVI_ONNX_ALWAYS, NULL, convert_loop},
    {"", "Scan", TVI_ONNX_ALWAYS, NULL, convert_scan},
    {NULL, NULL, 0, NULL, NULL},
};
