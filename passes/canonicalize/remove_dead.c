// SPDX-License-Identifier: Apache-2.0
//
// remove-dead: nodes, optional results, constants and captures that nobody reads. Graph inputs and
// impure nodes stay. It runs often, since other passes count uses.
//
//   %a = std.Exp(%x)                     %y = std.Neg(%x)
//   %y = std.Neg(%x)               ->    output "y": %y
//   output "y": %y
#include "passes/support/edit.h"

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  uint32_t removed = 0;
  *out_changed = 0;
  if (!tvi_pass_may_change(context, graph, 0)) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_graph_remove_dead(graph, &removed));
  if (removed != 0) tvi_pass_change(context, graph, 0, "removed %u that nobody reads", removed);
  *out_changed = removed != 0;
  return TRIVET_OK;
}

TVI_PASS_DEFINE(remove_dead, "remove-dead", "removes what nobody reads", run);
