// SPDX-License-Identifier: Apache-2.0
//
// Names of nodes in errors and reports.
// Read by errors, notes and the explain report; it must not fail them: what is unknown is left out.
#include "core/graph/graph_report.h"

#include <stdarg.h>

#include "core/base/status.h"

const trivet_origin_t* tvi_graph_origin(const trivet_graph_t* graph, tvi_origin_id_t id) {
  const trivet_graph_t* root = graph->root ? graph->root : graph;
  return id && id <= root->origin_count ? &root->origins[id - 1] : NULL;
}

void tvi_graph_describe_node(const trivet_graph_t* graph, tvi_node_id_t id, uint32_t limit,
                             tvi_string_builder_t* builder) {
  const tvi_node_t* node = tvi_graph_node(graph, id);
  uint32_t named = 0;
  for (uint32_t i = 0; i < node->origin_count; ++i) {
    const trivet_origin_t* origin = tvi_graph_origin(graph, node->origins[i]);
    if (!origin) continue;
    if (++named > limit) continue;
    if (named > 1) tvi_string_builder_append_cstr(builder, " + ");
    tvi_string_builder_append(builder, origin->node.size ? origin->node : origin->op);
  }
  if (named > limit) tvi_string_builder_appendf(builder, " + %u more", named - limit);
  if (!named) tvi_string_builder_append_cstr(builder, node->op->definition->name);
}

trivet_status_t tvi_graph_annotate_error(const trivet_graph_t* graph, tvi_node_id_t id,
                                         trivet_status_t status) {
  if (!status) return status;
  const tvi_node_t* node = tvi_graph_node(graph, id);
  const trivet_origin_t* origin =
      node->origin_count ? tvi_graph_origin(graph, node->origins[0]) : NULL;
  if (!origin)
    return trivet_status_annotate(status, "node of operator %s", node->op->definition->name);
  return trivet_status_annotate(status, "node %.*s (%.*s)", (int)origin->node.size,
                                origin->node.data ? origin->node.data : "", (int)origin->op.size,
                                origin->op.data ? origin->op.data : "");
}

trivet_status_t tvi_graph_node_error(const trivet_graph_t* graph, tvi_node_id_t id, uint32_t code,
                                     const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  trivet_status_t status = trivet_status_make_v(code, NULL, 0, format, arguments);
  va_end(arguments);
  return tvi_graph_annotate_error(graph, id, status);
}

bool tvi_type_same_shape(const trivet_type_t* a, const trivet_type_t* b) {
  if (a->rank != b->rank) return false;
  for (uint32_t d = 0; d < a->rank; ++d) {
    if (a->dims[d] != b->dims[d]) return false;
  }
  return true;
}
