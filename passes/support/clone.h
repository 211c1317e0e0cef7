// SPDX-License-Identifier: Apache-2.0
//
// Copies the body of a subgraph into a graph: how control flow that is decided at build time
// disappears. Origins, names, constants and subgraphs of the nodes come along.
#ifndef TRIVET_PASSES_SUPPORT_CLONE_H_
#define TRIVET_PASSES_SUPPORT_CLONE_H_

#include "passes/support/edit.h"

// Copies the nodes of |from| into |to| before the node |before| (0: at the end). |map| has
// from->value_count entries, 0 where a value has no counterpart yet; the caller fills in those of
// the inputs (and of the captures, unless |to| is the parent of |from|), and finds those of the
// outputs afterwards. |keep_names|: values take their names along; not for a second copy.
trivet_status_t tvi_clone_body(trivet_graph_t* to, tvi_node_id_t before, const trivet_graph_t* from,
                               bool keep_names, tvi_arena_t* scratch, tvi_value_id_t* map);

#endif  // TRIVET_PASSES_SUPPORT_CLONE_H_
