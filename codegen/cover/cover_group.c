// SPDX-License-Identifier: Apache-2.0
//
// fuse-elementwise and fuse-reduction: nodes that walk the same index space become one region, so
// that what lies between them stays in fast memory:
//
//   %a = std.Add(%x, %r)   %y = std.LayerNormalization(%a, ...)   ->   one region with outputs %a,
//   %y
//
// Rule: a node joins the region that computes one of its operands if it has the region's number of
// elements, or, where the region reduces, its number of rows; reductions in one region have the
// same rows.
#include "codegen/cover/cover.h"
#include "core/base/status.h"

#define MAX_NODES 96u

static const char* fuser_of(const tvi_node_fact_t* fact, const tvi_cover_region_t* region) {
  return fact->rows || region->rows ? "fuse-reduction" : "fuse-elementwise";
}

static trivet_dim_t element_count(const trivet_graph_t* graph, tvi_value_id_t value) {
  trivet_dim_t count = NULL;
  return tvi_type_element_count(graph, &tvi_graph_value(graph, value)->type, &count) ? count : NULL;
}

static bool groupable(const tvi_node_fact_t* fact) {
  return fact->region != TVI_COVER_NONE &&
         (fact->node_class == TVI_NODE_MAP || fact->node_class == TVI_NODE_REDUCE);
}

// Why a node whose operand |k| is computed by |region| cannot join it; NULL: it can.
static const char* obstacle(const tvi_cover_t* cover, const tvi_node_t* node,
                            const tvi_node_fact_t* fact, uint32_t k,
                            const tvi_cover_region_t* region) {
  const trivet_graph_t* graph = cover->graph;
  trivet_dim_t count = element_count(graph, node->inputs[k]);
  trivet_dim_t out_count =
      node->output_count && node->outputs[0] ? element_count(graph, node->outputs[0]) : NULL;
  if (!count || !out_count || !region->domain || !fact->domain) return "sizes are not known";
  if (fact->access[k] == TVI_ACCESS_COMPLEX) return "it reads elements at computed positions";
  bool ordered =
      fact->access[k] == TVI_ACCESS_ALIGNED && tvi_cover_order_preserving(cover, node->inputs[k]);
  if (!ordered) return "it reads the value in another order";
  if (fact->rows) {
    if (fact->domain != region->domain) return "the index spaces differ";
    if (region->rows && region->rows != fact->rows) return "it reduces over other dimensions";
    return NULL;
  }
  if (out_count == region->domain) return NULL;
  if (region->rows && out_count == region->rows) return NULL;
  return "the index spaces differ";
}

static trivet_status_t join(tvi_cover_t* cover, tvi_tactic_context_t* tactics, tvi_node_id_t id) {
  const trivet_graph_t* graph = cover->graph;
  const tvi_node_t* node = tvi_graph_node(graph, id);
  for (uint32_t k = 0; k < node->input_count; ++k) {
    tvi_node_fact_t* fact = &cover->facts[id];
    if (!node->inputs[k] || fact->access[k] == TVI_ACCESS_NONE) continue;
    tvi_node_id_t producer =
        tvi_graph_value(graph, tvi_cover_base(cover, node->inputs[k]))->producer;
    if (!producer || !groupable(&cover->facts[producer])) continue;
    uint32_t theirs = cover->facts[producer].region, ours = fact->region;
    tvi_cover_region_t* region = &cover->regions.data[theirs];
    if (theirs == ours || region->anchored) continue;
    const tvi_cover_region_t* own = &cover->regions.data[ours];
    const char* fuser = fuser_of(fact, region);
    if (!tvi_tactic_fuser_enabled(tactics, fuser)) continue;
    const char* why = NULL;
    if (own->nodes.count > 1) {
      // The node has joined a region already; the two become one if they walk the same space.
      if (own->domain != region->domain || (own->rows && region->rows && own->rows != region->rows))
        why = "the index spaces differ";
      if (!why) why = obstacle(cover, node, fact, k, region);
    } else {
      why = obstacle(cover, node, fact, k, region);
    }
    if (!why && region->nodes.count + own->nodes.count > MAX_NODES)
      why = "the region would be too large";
    bool mergeable = false;
    if (!why) TRIVET_RETURN_IF_ERROR(tvi_cover_mergeable(cover, theirs, ours, &mergeable));
    if (!why && !mergeable) why = "another operand depends on the region";
    if (why) {
      tvi_tactic_note(tactics, fuser, graph, id, true, "not joined with operand %u: %s", k, why);
      continue;
    }
    trivet_dim_t rows = region->rows ? region->rows : cover->regions.data[ours].rows;
    TRIVET_RETURN_IF_ERROR(tvi_cover_merge(cover, theirs, ours));
    region = &cover->regions.data[theirs];
    region->rows = rows;
    region->made_by = rows ? "fuse-reduction" : "fuse-elementwise";
  }
  return TRIVET_OK;
}

trivet_status_t tvi_cover_fuse_groups(tvi_cover_t* cover, tvi_tactic_context_t* tactics) {
  TVI_GRAPH_FOR_EACH_NODE(cover->graph, id) {
    const tvi_node_fact_t* fact = &cover->facts[id];
    if (!groupable(fact) || cover->regions.data[fact->region].anchored) continue;
    TRIVET_RETURN_IF_ERROR(join(cover, tactics, id));
  }
  return TRIVET_OK;
}
