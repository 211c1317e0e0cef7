// SPDX-License-Identifier: Apache-2.0
//
// What the pass manager and rewrites share.
// For core/pass only: passes themselves see core/pass/pass.h or the public plugin.h.
#ifndef TRIVET_CORE_PASS_PASS_INTERNAL_H_
#define TRIVET_CORE_PASS_PASS_INTERNAL_H_

#include "core/pass/pass.h"

#ifdef __cplusplus
extern "C" {
#endif

// What a pass gets: who it is, and scratch memory.
struct trivet_pass_context_s {
  const trivet_pass_api_t* api;  // first, as plugin.h says
  tvi_pass_manager_t* manager;
  const char* name;
  tvi_arena_t* scratch;
  uint32_t changes;
  bool edited;  // through |api|, by a pass that we have not tested: the graph is verified
};

extern const trivet_pass_api_t tvi_pass_api;

// Runs a rewrite over one graph, once from first to last node.
trivet_status_t tvi_rewrite_run(const trivet_rewrite_t* rewrite, trivet_pass_context_t* context,
                                trivet_graph_t* graph, uint32_t* out_changed);
// Checks the text of a rewrite alone.
trivet_status_t tvi_rewrite_check(const trivet_rewrite_t* rewrite, trivet_allocator_t allocator);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_CORE_PASS_PASS_INTERNAL_H_
