// SPDX-License-Identifier: Apache-2.0
//
// Copies the body of a graph into a graph of the same root: how control flow that is decided when a
// plan is built disappears, and how observed values are computed beside what passes make. Origins,
// names, constants and subgraphs of the nodes come along.
#ifndef TRIVET_CORE_GRAPH_GRAPH_CLONE_H_
#define TRIVET_CORE_GRAPH_GRAPH_CLONE_H_

#include "core/graph/graph.h"

// Copies the nodes of |from| into |to| before the node |before| (0: at the end). |map| has
// from->value_count entries, 0 where a value has no counterpart yet; the caller fills in those of
// the inputs (and of the captures, unless |to| is the parent of |from|), and finds those of the
// outputs afterwards. |keep_names|: values take their names along; not for a second copy.
trivet_status_t tvi_graph_clone_body(trivet_graph_t* to, tvi_node_id_t before,
                                     const trivet_graph_t* from, bool keep_names,
                                     tvi_arena_t* scratch, tvi_value_id_t* map);

#endif  // TRIVET_CORE_GRAPH_GRAPH_CLONE_H_
