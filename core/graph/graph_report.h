// SPDX-License-Identifier: Apache-2.0
//
// How errors and reports speak of nodes: by the names that the model gave them.
// For everybody who says something about a node. Ids never reach a person.
#ifndef TRIVET_CORE_GRAPH_GRAPH_REPORT_H_
#define TRIVET_CORE_GRAPH_GRAPH_REPORT_H_

#include "core/graph/graph.h"

// NULL for 0 and unknown ids. Lives as long as the graph.
const trivet_origin_t* tvi_graph_origin(const trivet_graph_t* graph, tvi_origin_id_t id);
// Appends "conv1 + relu1": names of the original nodes, at most |limit| of them; the operator's
// name where there is none.
void tvi_graph_describe_node(const trivet_graph_t* graph, tvi_node_id_t node, uint32_t limit,
                             tvi_string_builder_t* builder);
// An error about a node: "node conv1 (ai.onnx.Conv): ...".
trivet_status_t tvi_graph_node_error(const trivet_graph_t* graph, tvi_node_id_t node, uint32_t code,
                                     const char* format, ...) TRIVET_PRINTF_FORMAT(4, 5);
// Puts "node conv1 (ai.onnx.Conv): " before the message of |status|; consumes it.
trivet_status_t tvi_graph_annotate_error(const trivet_graph_t* graph, tvi_node_id_t node,
                                         trivet_status_t status);
// "f32[batch, 3]".
void tvi_type_print(const trivet_type_t* type, tvi_string_builder_t* builder);

#endif  // TRIVET_CORE_GRAPH_GRAPH_REPORT_H_
