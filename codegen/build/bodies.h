// SPDX-License-Identifier: Apache-2.0
//
// Compiles bodies of control flow, for tvi_tactic_options_t.bodies. Made for build.c; whoever forms
// steps calls it through those options and must not know it.
#ifndef TRIVET_CODEGEN_BUILD_BODIES_H_
#define TRIVET_CODEGEN_BUILD_BODIES_H_

#include "codegen/tactic/tactic.h"

// |self|: the graph that is built (trivet_graph_t*).
trivet_status_t tvi_bodies_compile(void* self, const tvi_tactic_context_t* around,
                                   const trivet_graph_t* body, tvi_arena_t* arena,
                                   tvi_body_plan_t* out_plan);

#endif  // TRIVET_CODEGEN_BUILD_BODIES_H_
