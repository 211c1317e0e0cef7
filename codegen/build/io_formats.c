// SPDX-License-Identifier: Apache-2.0
//
// Inputs and outputs in the types and layouts that the caller has: the network's own stand behind a
// transpose and a cast, which passes and fusion merge with what they meet.
//
//   %x: f32[n,3,h,w]  ->  %x: u8[n,h,w,3], std.Cast(std.Transpose(%x)) in its place
#include "codegen/build/build_internal.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/graph/graph.h"

typedef struct chain_s {
  trivet_graph_t* graph;
  tvi_node_id_t before;  // where nodes are added; 0: at the end
  tvi_node_id_t first;   // node of the chain; 0: none yet
  tvi_value_id_t value;  // its last
} chain_t;

static trivet_status_t append(chain_t* chain, const char* op, const trivet_attribute_t* attribute) {
  const tvi_node_desc_t desc = {
      .op = op,
      .inputs = &chain->value,
      .input_count = 1,
      .attributes = attribute,
      .attribute_count = 1,
      .output_count = 1,
      .before = chain->before,
  };
  tvi_node_id_t node;
  TRIVET_RETURN_IF_ERROR(tvi_graph_add_node(chain->graph, &desc, &node));
  if (chain->first == 0) chain->first = node;
  chain->value = tvi_graph_node(chain->graph, node)->outputs[0];
  return TRIVET_OK;
}

// [n, c, ...] from [n, ..., c], or the way back.
static trivet_status_t append_transpose(chain_t* chain, bool to_plain) {
  uint32_t rank = tvi_graph_value(chain->graph, chain->value)->type.rank;
  int64_t order[TRIVET_MAX_RANK];
  for (uint32_t d = 0; d < rank; ++d) {
    if (to_plain) {
      order[d] = d == 0 ? 0 : d == 1 ? (int64_t)rank - 1 : (int64_t)d - 1;
    } else {
      order[d] = d == 0 ? 0 : d == rank - 1 ? 1 : (int64_t)d + 1;
    }
  }
  trivet_attribute_t perm = {"perm", TRIVET_ATTR_I64, TRIVET_ATTR_LIST, rank, order};
  return append(chain, "std.Transpose", &perm);
}

static trivet_status_t append_cast(chain_t* chain, uint32_t dtype) {
  trivet_attribute_t to = {"to", TRIVET_ATTR_DTYPE, 0, 1, &dtype};
  return append(chain, "std.Cast", &to);
}

static bool moves(const tvi_io_format_t* format, const trivet_type_t* type) {
  return format->layout == TRIVET_LAYOUT_CHANNELS_LAST && type->rank > 2;
}

static trivet_status_t apply_to_input(trivet_graph_t* graph, const tvi_io_format_t* format,
                                      tvi_value_id_t input) {
  tvi_value_t* value = tvi_graph_value(graph, input);
  const trivet_type_t inner = value->type;
  trivet_type_t outer = inner;
  if (format->dtype) outer.dtype = format->dtype;
  if (moves(format, &inner)) {
    for (uint32_t d = 1; d < inner.rank; ++d)
      outer.dims[d] = inner.dims[d + 1 < inner.rank ? d + 1 : 1];
  }
  chain_t chain = {graph, graph->first, 0, input};
  value->type = outer;
  trivet_status_t status = TRIVET_OK;
  if (moves(format, &inner)) status = append_transpose(&chain, true);
  if (!status && outer.dtype != inner.dtype) status = append_cast(&chain, inner.dtype);
  value->type = inner;
  TRIVET_RETURN_IF_ERROR(status);
  if (chain.first == 0) return TRIVET_OK;
  // All who read the input read the end of the chain, but for the chain's beginning.
  TRIVET_RETURN_IF_ERROR(tvi_graph_replace_value(graph, input, chain.value));
  TRIVET_RETURN_IF_ERROR(tvi_graph_set_operand(graph, chain.first, 0, input));
  value->type = outer;
  return TRIVET_OK;
}

static trivet_status_t apply_to_output(trivet_graph_t* graph, const tvi_io_format_t* format,
                                       tvi_named_value_t* output) {
  const trivet_type_t inner = tvi_graph_value(graph, output->value)->type;
  chain_t chain = {graph, 0, 0, output->value};
  if (format->dtype && format->dtype != inner.dtype)
    TRIVET_RETURN_IF_ERROR(append_cast(&chain, format->dtype));
  if (moves(format, &inner)) TRIVET_RETURN_IF_ERROR(append_transpose(&chain, false));
  if (chain.first == 0) return TRIVET_OK;
  --tvi_graph_value(graph, output->value)->output_uses;
  ++tvi_graph_value(graph, chain.value)->output_uses;
  output->value = chain.value;
  return TRIVET_OK;
}

static tvi_named_value_t* find(tvi_named_value_t* list, uint32_t count, const char* name) {
  for (uint32_t i = 0; i < count; ++i) {
    if (tvi_sv_equal(list[i].name, tvi_sv(name))) return &list[i];
  }
  return NULL;
}

trivet_status_t tvi_io_formats_apply(const trivet_config_t* config, trivet_graph_t* graph) {
  for (size_t i = 0; i < config->io_formats.count; ++i) {
    const tvi_io_format_t* format = &config->io_formats.data[i];
    tvi_named_value_t* input = find(graph->inputs, graph->input_count, format->name);
    tvi_named_value_t* output = find(graph->outputs, graph->output_count, format->name);
    trivet_status_t status = TRIVET_OK;
    if (input) status = apply_to_input(graph, format, input->value);
    if (output && !status) status = apply_to_output(graph, format, output);
    if (!input && !output) {
      return TRIVET_STATUS(NOT_FOUND, "format: the network has no input or output \"%s\"",
                           format->name);
    }
    TRIVET_RETURN_IF_ERROR_ANNOTATED(status, "format of \"%s\"", format->name);
  }
  return TRIVET_OK;
}
