// SPDX-License-Identifier: Apache-2.0
//
// fuse-epilogue: a contraction (or whatever a library kernel runs) and the elementwise nodes behind
// it, as far as a kernel takes them:
//
//   %y = std.Conv(%x, %w)   %s = std.Add(%y, %r)   %z = std.Relu(%s)     ->   one region
//
// Kernels decide by proposing tactics for the longer region; where that leaves a kernel behind, the
// lower price wins. The reason of the last refusal is kept for --explain.
#include "codegen/cover/cover.h"
#include "core/base/status.h"

static bool offers(const tvi_cover_offer_t* offer, const trivet_kernel_t* kernel) {
  for (size_t i = 0; i < offer->list.count; ++i) {
    if (offer->list.data[i].kernel == kernel) return true;
  }
  return false;
}

// Whether the longer region is worth having: it is where every kernel that runs the shorter one
// runs it too; where one is lost, prices decide. Not times: a plan can be made again from a lock,
// which knows winners only.
static trivet_status_t pays(tvi_cover_t* cover, tvi_tactic_context_t* tactics,
                            const tvi_cover_offer_t* longer, uint32_t id, uint32_t reader,
                            bool* out_pays) {
  tvi_cover_offer_t shorter, rest;
  tvi_vector_init(&shorter.list, cover->graph->allocator);
  tvi_vector_init(&rest.list, cover->graph->allocator);
  trivet_status_t status = tvi_cover_ask(cover, tactics, &cover->regions.data[id],
                                         TVI_COVER_ANY_ORDER, 0, NULL, &shorter);
  bool lost = false;
  for (size_t i = 0; i < shorter.list.count; ++i) {
    lost = lost || !offers(longer, shorter.list.data[i].kernel);
  }
  if (!status && lost) {
    status = tvi_cover_region_program(cover, &cover->regions.data[reader]);
    if (!status)
      status = tvi_cover_ask(cover, tactics, &cover->regions.data[reader], TVI_COVER_ANY_ORDER, 0,
                             NULL, &rest);
  }
  *out_pays = !lost || tvi_cover_lowest_price(longer) <
                           tvi_cover_lowest_price(&shorter) + tvi_cover_lowest_price(&rest);
  tvi_vector_deinit(&shorter.list);
  tvi_vector_deinit(&rest.list);
  return status;
}

// The one node that reads |value|, if there is exactly one. Who only observes it gets a copy.
tvi_node_id_t tvi_cover_only_reader(const tvi_cover_t* cover, tvi_value_id_t value) {
  const tvi_value_t* v = tvi_graph_value(cover->graph, value);
  if (v->output_uses || v->use_count == 0) return 0;
  for (uint32_t u = 1; u < v->use_count; ++u) {
    if (v->uses[u].node != v->uses[0].node) return 0;
  }
  return v->uses[0].node;
}

// Tries to extend |region| by the reader of its last value; |*io_value| advances.
static trivet_status_t extend(tvi_cover_t* cover, tvi_tactic_context_t* tactics, uint32_t id,
                              tvi_value_id_t* io_value, bool* out_extended) {
  const trivet_graph_t* graph = cover->graph;
  *out_extended = false;
  tvi_node_id_t reader = tvi_cover_only_reader(cover, *io_value);
  if (!reader) return TRIVET_OK;
  const tvi_node_fact_t* fact = &cover->facts[reader];
  const tvi_node_t* node = tvi_graph_node(graph, reader);
  if (fact->node_class != TVI_NODE_MAP || node->output_count != 1 || fact->region == TVI_COVER_NONE)
    return TRIVET_OK;
  if (cover->regions.data[fact->region].nodes.count != 1 ||
      cover->regions.data[fact->region].anchored) {
    tvi_tactic_note(tactics, "fuse-epilogue", graph, reader, true,
                    "it ends another region already");
    return TRIVET_OK;
  }
  if (!tvi_type_same_shape(&tvi_graph_value(graph, *io_value)->type,
                           &tvi_graph_value(graph, node->outputs[0])->type)) {
    return TRIVET_OK;
  }
  for (uint32_t k = 0; k < node->input_count; ++k) {
    if (node->inputs[k] == *io_value && fact->access[k] != TVI_ACCESS_ALIGNED) return TRIVET_OK;
  }
  bool mergeable = false;
  TRIVET_RETURN_IF_ERROR(tvi_cover_mergeable(cover, id, fact->region, &mergeable));
  if (!mergeable) {
    tvi_tactic_note(tactics, "fuse-epilogue", graph, reader, true,
                    "another operand depends on the value itself");
    return TRIVET_OK;
  }
  tvi_string_builder_t reasons;
  tvi_string_builder_init(&reasons, graph->allocator);
  tvi_cover_offer_t offer;
  tvi_vector_init(&offer.list, graph->allocator);
  bool worth = false;
  trivet_status_t status =
      tvi_cover_ask_longer(cover, tactics, id, reader, TVI_COVER_ANY_ORDER, &reasons, &offer);
  if (!status && offer.accepted) {
    status = pays(cover, tactics, &offer, id, fact->region, &worth);
  }
  if (!status && worth) {
    status = tvi_cover_merge(cover, id, fact->region);
    cover->regions.data[id].made_by = "fuse-epilogue";
    *io_value = node->outputs[0];
    *out_extended = true;
  } else if (!status && offer.accepted) {
    tvi_tactic_note(tactics, "fuse-epilogue", graph, reader, true,
                    "one kernel for both is dearer than two");
  } else if (!status) {
    trivet_string_view_t why = tvi_string_builder_view(&reasons);
    tvi_tactic_note(tactics, "fuse-epilogue", graph, reader, true, "%.*s", (int)why.size,
                    why.data ? why.data : "");
  }
  tvi_string_builder_deinit(&reasons);
  tvi_vector_deinit(&offer.list);
  for (uint32_t k = 0; k < node->input_count && *out_extended && !status; ++k)
    status = tvi_cover_take_widened(cover, tactics, id, node->inputs[k]);
  return status;
}

trivet_status_t tvi_cover_fuse_epilogues(tvi_cover_t* cover, tvi_tactic_context_t* tactics) {
  // What is fused into anything else stays by itself for a kernel that asks for layouts only.
  const bool asks_for_layouts = tvi_tactic_has_flag(tactics, TRIVET_KERNEL_LAYOUTS);
  TVI_GRAPH_FOR_EACH_NODE(cover->graph, id) {
    tvi_node_fact_t* fact = &cover->facts[id];
    if (fact->region == TVI_COVER_NONE) continue;
    const bool anchors =
        fact->node_class == TVI_NODE_CONTRACTION || fact->node_class == TVI_NODE_OTHER;
    if (!anchors && !asks_for_layouts) continue;
    tvi_cover_region_t* region = &cover->regions.data[fact->region];
    if (region->nodes.count != 1) continue;
    TRIVET_RETURN_IF_ERROR(tvi_cover_region_program(cover, region));
    bool accepted = false;
    TRIVET_RETURN_IF_ERROR(tvi_cover_library_accepts(
        cover, tactics, region, anchors ? 0 : TRIVET_KERNEL_LAYOUTS, NULL, &accepted));
    if (!accepted) continue;
    region->anchored = true;
    TRIVET_RETURN_IF_ERROR(tvi_cover_fuse_prologues(cover, tactics, id));
    tvi_value_id_t value = tvi_graph_node(cover->graph, id)->outputs[0];
    for (bool extended = true; extended;) {
      TRIVET_RETURN_IF_ERROR(extend(cover, tactics, fact->region, &value, &extended));
    }
  }
  return TRIVET_OK;
}
