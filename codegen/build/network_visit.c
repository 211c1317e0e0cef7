// SPDX-License-Identifier: Apache-2.0
//
// Shows a network to a caller: values and nodes in the order in which they run, as plain data. For
// tools that draw or list networks; it changes nothing and gives no ids that other calls take.
#include <string.h>

#include "codegen/build/build_internal.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_builder.h"
#include "core/graph/graph_report.h"

typedef struct visit_s {
  const trivet_graph_t* graph;
  trivet_network_visitor_t visitor;
  tvi_string_builder_t type, name, attributes;
} visit_t;

static const char* text(tvi_string_builder_t* builder) {
  return builder->data ? builder->data : "";
}

static trivet_status_t print_type(const trivet_type_t* type, tvi_string_builder_t* out) {
  tvi_string_builder_appendf(out, "%s[", tvi_dtype_name(type->dtype));
  for (uint32_t d = 0; d < type->rank; ++d) {
    if (d) tvi_string_builder_append_cstr(out, ", ");
    TRIVET_RETURN_IF_ERROR(tvi_dim_print(type->dims[d], out));
  }
  tvi_string_builder_append_cstr(out, "]");
  return TRIVET_OK;
}

static trivet_status_t show_value(visit_t* v, tvi_value_id_t id) {
  const tvi_value_t* value = tvi_graph_value(v->graph, id);
  tvi_string_builder_clear(&v->type);
  tvi_string_builder_clear(&v->name);
  TRIVET_RETURN_IF_ERROR(print_type(&value->type, &v->type));
  if (value->name_count) tvi_string_builder_append(&v->name, value->names[0]);
  trivet_value_info_t info;
  memset(&info, 0, sizeof(info));
  info.header.struct_size = sizeof(info);
  info.header.struct_type = TRIVET_STRUCT_VALUE_INFO;
  info.value = id;
  info.kind = value->is_input   ? TRIVET_VALUE_INPUT
              : value->producer ? TRIVET_VALUE_COMPUTED
                                : TRIVET_VALUE_CONSTANT;
  info.type = text(&v->type);
  info.name = text(&v->name);
  for (uint32_t i = 0; i < v->graph->output_count; ++i) {
    if (v->graph->outputs[i].value == id) info.output = v->graph->outputs[i].name.data;
  }
  TRIVET_RETURN_IF_ERROR(tvi_string_builder_status(&v->type));
  TRIVET_RETURN_IF_ERROR(tvi_string_builder_status(&v->name));
  return v->visitor.value(v->visitor.self, &info);
}

static void print_element(const trivet_attribute_t* attribute, uint64_t i,
                          tvi_string_builder_t* out) {
  switch (attribute->kind) {
    case TRIVET_ATTR_I64:
      tvi_string_builder_append_i64(out, ((const int64_t*)attribute->data)[i]);
      return;
    case TRIVET_ATTR_F32:
      tvi_string_builder_append_f64(out, ((const double*)attribute->data)[i]);
      return;
    case TRIVET_ATTR_STRING:
      tvi_string_builder_append_json(out, ((const trivet_string_view_t*)attribute->data)[i]);
      return;
    case TRIVET_ATTR_DTYPE:
      tvi_string_builder_append_cstr(out, tvi_dtype_name(((const uint32_t*)attribute->data)[i]));
      return;
    case TRIVET_ATTR_TENSOR: {
      const trivet_tensor_t* tensor = &((const trivet_tensor_t*)attribute->data)[i];
      tvi_string_builder_appendf(out, "%s of rank %u", tvi_dtype_name(tensor->dtype), tensor->rank);
      return;
    }
    default:
      tvi_string_builder_append_cstr(out, "graph");
      return;
  }
}

static void print_attributes(const tvi_node_t* node, tvi_string_builder_t* out) {
  for (uint32_t a = 0; a < node->attribute_count; ++a) {
    const trivet_attribute_t* attribute = &node->attributes[a];
    bool list = (attribute->flags & TRIVET_ATTR_LIST) != 0;
    tvi_string_builder_appendf(out, "%s%s = %s", a ? ", " : "", attribute->name, list ? "[" : "");
    for (uint64_t i = 0; i < attribute->count; ++i) {
      if (i) tvi_string_builder_append_cstr(out, ", ");
      print_element(attribute, i, out);
    }
    if (list) tvi_string_builder_append_cstr(out, "]");
  }
}

static trivet_status_t show_node(visit_t* v, tvi_node_id_t id) {
  const tvi_node_t* node = tvi_graph_node(v->graph, id);
  tvi_string_builder_clear(&v->name);
  tvi_string_builder_clear(&v->attributes);
  tvi_graph_describe_node(v->graph, id, 8, &v->name);
  print_attributes(node, &v->attributes);
  TRIVET_RETURN_IF_ERROR(tvi_string_builder_status(&v->name));
  TRIVET_RETURN_IF_ERROR(tvi_string_builder_status(&v->attributes));
  trivet_node_info_t info;
  memset(&info, 0, sizeof(info));
  info.header.struct_size = sizeof(info);
  info.header.struct_type = TRIVET_STRUCT_NODE_INFO;
  info.op = node->op->definition->name;
  info.name = text(&v->name);
  info.attributes = text(&v->attributes);
  info.made_by = node->made_by ? node->made_by : "";
  info.inputs = node->inputs;
  info.outputs = node->outputs;
  info.input_count = node->input_count;
  info.output_count = node->output_count;
  TRIVET_RETURN_IF_ERROR(v->visitor.node(v->visitor.self, &info));
  for (uint32_t i = 0; i < node->output_count; ++i) {
    if (node->outputs[i]) TRIVET_RETURN_IF_ERROR(show_value(v, node->outputs[i]));
  }
  return TRIVET_OK;
}

static trivet_status_t visit_all(visit_t* v) {
  for (uint32_t i = 0; i < v->graph->input_count; ++i) {
    TRIVET_RETURN_IF_ERROR(show_value(v, v->graph->inputs[i].value));
  }
  for (tvi_value_id_t id = 1; id < v->graph->value_count; ++id) {
    const tvi_value_t* value = tvi_graph_value(v->graph, id);
    if (value->dead || !value->constant || value->is_capture || value->producer) continue;
    if (value->use_count || value->output_uses) TRIVET_RETURN_IF_ERROR(show_value(v, id));
  }
  TVI_GRAPH_FOR_EACH_NODE(v->graph, id) { TRIVET_RETURN_IF_ERROR(show_node(v, id)); }
  return TRIVET_OK;
}

trivet_status_t trivet_network_visit(const trivet_network_t* network,
                                     trivet_network_visitor_t visitor) {
  if (!network || !visitor.value || !visitor.node) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "visiting needs a network and both callbacks");
  }
  visit_t v;
  memset(&v, 0, sizeof(v));
  v.graph = network->graph;
  v.visitor = visitor;
  tvi_string_builder_init(&v.type, network->allocator);
  tvi_string_builder_init(&v.name, network->allocator);
  tvi_string_builder_init(&v.attributes, network->allocator);
  trivet_status_t status = visit_all(&v);
  tvi_string_builder_deinit(&v.type);
  tvi_string_builder_deinit(&v.name);
  tvi_string_builder_deinit(&v.attributes);
  return status;
}
