// SPDX-License-Identifier: Apache-2.0
//
// expand-operators: a node whose operator is defined as a graph of other operators becomes that
// graph, and so do the nodes of that graph. Stands before all passes that look for patterns.
//
//   %y = acme.SwiGLU(%x, %g, %u)    ->    %1 = std.MatMul(%x, %g)
//                                         %2 = std.MatMul(%x, %u)
//                                         %3 = std.Sigmoid(%1)  ...
#include "passes/support/edit.h"

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  tvi_edit_t edit = {context, graph, 0, 0};
  tvi_node_id_t id = graph->first;
  while (id != 0) {
    const tvi_node_t* node = graph->nodes[id];
    tvi_node_id_t previous = node->previous;
    bool expanded = false;
    edit.at = id;
    if (tvi_edit_may(&edit)) TRIVET_RETURN_IF_ERROR(tvi_graph_expand_node(graph, id, &expanded));
    if (!expanded) {
      id = graph->nodes[id]->next;
      continue;
    }
    tvi_edit_change(&edit, "expanded to its graph");
    // What came in its place is looked at too; the graph limits how deep this goes.
    id = previous != 0 ? graph->nodes[previous]->next : graph->first;
  }
  *out_changed = edit.changes != 0;
  return TRIVET_OK;
}

TVI_PASS_DEFINE(expand_operators, "expand-operators", "replaces operators defined as graphs", run);
