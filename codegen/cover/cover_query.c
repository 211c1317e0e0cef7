// SPDX-License-Identifier: Apache-2.0
//
// Asks the kernels of a target about one node while passes still rewrite the graph, so that what a
// kernel runs whole is not written out. It stands beside the cover: it forms the region that the
// node would be, and keeps nothing.
#include <string.h>

#include "codegen/cover/cover.h"
#include "core/base/status.h"

static trivet_status_t ask(tvi_cover_t* cover, tvi_tactic_context_t* tactics, tvi_node_id_t node,
                           tvi_string_builder_t* reasons, bool* out_accepted) {
  const trivet_graph_t* graph = cover->graph;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(cover->arena, graph->node_count + 1,
                                                      sizeof(tvi_node_fact_t), &cover->facts));
  tvi_kir_program_t* program = NULL;
  trivet_status_t status = tvi_graph_node_program(graph, node, cover->arena, &program);
  if (status) {  // its meaning is a host function or a graph: no kernel's business
    trivet_status_free(status);
    return TRIVET_OK;
  }
  cover->facts[node].node_class = TVI_NODE_OTHER;
  cover->facts[node].program = program;
  tvi_cover_region_t region;
  memset(&region, 0, sizeof(region));
  tvi_vector_init(&region.nodes, graph->allocator);
  tvi_vector_init(&region.inputs, graph->allocator);
  tvi_vector_init(&region.outputs, graph->allocator);
  region.made_by = "single";
  status = tvi_vector_push(&region.nodes, node);
  if (!status) status = tvi_cover_region_program(cover, &region);
  if (!status)
    status = tvi_cover_library_accepts(cover, tactics, &region, 0, reasons, out_accepted);
  tvi_vector_deinit(&region.nodes);
  tvi_vector_deinit(&region.inputs);
  tvi_vector_deinit(&region.outputs);
  return status;
}

trivet_status_t tvi_cover_node_accepted(const trivet_graph_t* graph, tvi_tactic_context_t* tactics,
                                        tvi_node_id_t node, tvi_string_builder_t* reasons,
                                        bool* out_accepted) {
  tvi_arena_t arena;
  tvi_arena_init(&arena, graph->allocator, 1 << 16);
  tvi_cover_t cover;
  memset(&cover, 0, sizeof(cover));
  cover.graph = graph;
  cover.arena = &arena;
  *out_accepted = false;
  trivet_status_t status = ask(&cover, tactics, node, reasons, out_accepted);
  tvi_arena_deinit(&arena);
  return status;
}
