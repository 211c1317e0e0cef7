// SPDX-License-Identifier: Apache-2.0
//
// fuse-prologue: elementwise nodes ahead of a product of matrices or a convolution that nothing
// else reads, as far as a kernel computes them where it reads its factors:
//
//   %w = std.DequantizeLinear(%codes, %scale)   %y = std.MatMul(%x, %w)     ->   one region
//
// A factor is computed once for every block that reads it, and kernels that only copy their factors
// are lost: the lower price wins. A node that what comes before it could take costs nothing there
// and stays. Before fuse-epilogue, which goes on from the region and asks here for what its nodes
// read besides, where that is narrower than what is made of it: a residual that is dequantised.
#include <math.h>

#include "codegen/cover/cover.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/kernel_ir/contraction.h"

// Nodes in a row, one behind the other.
#define MAX_DEPTH 8u

// The elementwise node that computes |value| for one reader alone; 0: there is none.
static tvi_node_id_t maker_of(const tvi_cover_t* cover, tvi_value_id_t value) {
  tvi_node_id_t maker = value ? tvi_graph_value(cover->graph, value)->producer : 0;
  if (!maker || !tvi_cover_only_reader(cover, value)) return 0;
  const tvi_node_fact_t* fact = &cover->facts[maker];
  if (fact->node_class != TVI_NODE_MAP || fact->region == TVI_COVER_NONE) return 0;
  const tvi_cover_region_t* region = &cover->regions.data[fact->region];
  if (region->anchored || region->nodes.count != 1) return 0;
  return tvi_graph_node(cover->graph, maker)->output_count == 1 ? maker : 0;
}

// Is none of the operands from which |id| makes its result element by element, or what they are
// made of in the same way for nobody else, computed by a region that the node could join instead?
static bool is_apart(const tvi_cover_t* cover, tvi_node_id_t id, uint32_t depth) {
  const tvi_node_t* node = tvi_graph_node(cover->graph, id);
  const trivet_type_t* result = &tvi_graph_value(cover->graph, node->outputs[0])->type;
  trivet_dim_t points = NULL, count = NULL;
  const bool is_counted = tvi_type_element_count(cover->graph, result, &points);
  for (uint32_t k = 0; k < node->input_count; ++k) {
    if (!node->inputs[k]) continue;
    const trivet_type_t* type = &tvi_graph_value(cover->graph, node->inputs[k])->type;
    if (is_counted && tvi_type_element_count(cover->graph, type, &count) && count != points)
      continue;
    tvi_node_id_t maker = maker_of(cover, node->inputs[k]);
    if (maker && depth < MAX_DEPTH && is_apart(cover, maker, depth + 1)) continue;
    tvi_node_id_t from =
        tvi_graph_value(cover->graph, tvi_cover_base(cover, node->inputs[k]))->producer;
    if (from && cover->facts[from].region != TVI_COVER_NONE &&
        !cover->regions.data[cover->facts[from].region].anchored)
      return false;
  }
  return true;
}

typedef struct prices_s {
  double together, apart;  // of the longer region; of both
  bool accepted;           // the longer one, by another kernel than the general one
} prices_t;

// Asks in one memory order and keeps what is lower. Why no kernel takes the longer region is in
// |reasons|.
static trivet_status_t ask_both(tvi_cover_t* cover, tvi_tactic_context_t* tactics, uint32_t id,
                                tvi_node_id_t producer, tvi_cover_order_t order,
                                tvi_string_builder_t* reasons, prices_t* prices) {
  const uint32_t regions[] = {id, cover->facts[producer].region};
  tvi_cover_offer_t offer;
  double sum = 0;
  tvi_vector_init(&offer.list, cover->graph->allocator);
  trivet_status_t status =
      tvi_cover_ask_longer(cover, tactics, id, producer, order, reasons, &offer);
  if (!status && offer.accepted) {
    prices->accepted = true;
    prices->together = fmin(prices->together, tvi_cover_lowest_price(&offer));
  }
  for (uint32_t i = 0; i < 2 && !status && prices->accepted; ++i) {
    tvi_cover_region_t* region = &cover->regions.data[regions[i]];
    tvi_vector_clear(&offer.list);
    status = tvi_cover_region_program(cover, region);
    if (!status) status = tvi_cover_ask(cover, tactics, region, order, 0, NULL, &offer);
    sum += tvi_cover_lowest_price(&offer);
  }
  if (prices->accepted) prices->apart = fmin(prices->apart, sum);
  tvi_vector_deinit(&offer.list);
  return status;
}

// Takes |producer| into region |id| if that is cheaper than both apart: in the same memory order,
// or for a picture each in the order in which it is cheapest.
static trivet_status_t take(tvi_cover_t* cover, tvi_tactic_context_t* tactics, uint32_t id,
                            tvi_node_id_t producer, bool is_picture, bool* out_taken) {
  *out_taken = false;
  const uint32_t theirs = cover->facts[producer].region;
  bool mergeable = false;
  TRIVET_RETURN_IF_ERROR(tvi_cover_mergeable(cover, id, theirs, &mergeable));
  if (!mergeable) return TRIVET_OK;
  prices_t prices = {HUGE_VAL, HUGE_VAL, false};
  tvi_string_builder_t reasons;
  tvi_string_builder_init(&reasons, cover->graph->allocator);
  trivet_status_t status = TRIVET_OK;
  if (is_picture) {
    // Kernels for pictures want channels last; who takes none of those is not asked again.
    status = ask_both(cover, tactics, id, producer, TVI_COVER_CHANNELS_LAST, &reasons, &prices);
    if (!status && prices.accepted)
      status = ask_both(cover, tactics, id, producer, TVI_COVER_PLAIN, NULL, &prices);
  } else {
    status = ask_both(cover, tactics, id, producer, TVI_COVER_ANY_ORDER, &reasons, &prices);
  }
  *out_taken = !status && prices.accepted && prices.together < prices.apart;
  if (*out_taken) {
    status = tvi_cover_merge(cover, id, theirs);
    cover->regions.data[id].made_by = "fuse-prologue";
  } else if (!status && prices.accepted) {
    tvi_tactic_note(tactics, "fuse-prologue", cover->graph, producer, true,
                    "computing it where the product reads it is dearer than once before");
  } else if (!status) {
    trivet_string_view_t why = tvi_string_builder_view(&reasons);
    tvi_tactic_note(tactics, "fuse-prologue", cover->graph, producer, true, "%.*s", (int)why.size,
                    why.data ? why.data : "");
  }
  tvi_string_builder_deinit(&reasons);
  return status;
}

// What computes the operands of |node|, which is in the region, and what computes theirs.
static trivet_status_t grow(tvi_cover_t* cover, tvi_tactic_context_t* tactics, uint32_t region,
                            tvi_node_id_t node, bool is_picture, uint32_t depth) {
  for (uint32_t k = 0; k < tvi_graph_node(cover->graph, node)->input_count; ++k) {
    tvi_node_id_t producer = maker_of(cover, tvi_graph_node(cover->graph, node)->inputs[k]);
    if (!producer || !is_apart(cover, producer, 0)) continue;
    bool taken = false;
    TRIVET_RETURN_IF_ERROR(take(cover, tactics, region, producer, is_picture, &taken));
    if (taken && depth < MAX_DEPTH)
      TRIVET_RETURN_IF_ERROR(grow(cover, tactics, region, producer, is_picture, depth + 1));
  }
  return TRIVET_OK;
}

// Are elements of its result wider than what it reads for each?
static bool widens(const tvi_cover_t* cover, tvi_node_id_t id) {
  const tvi_node_t* node = tvi_graph_node(cover->graph, id);
  const trivet_type_t* result = &tvi_graph_value(cover->graph, node->outputs[0])->type;
  uint64_t bits = 0;
  for (uint32_t k = 0; k < node->input_count; ++k) {
    if (!node->inputs[k]) continue;
    const trivet_type_t* type = &tvi_graph_value(cover->graph, node->inputs[k])->type;
    if (tvi_type_same_shape(type, result)) bits += tvi_dtype_bits(type->dtype);
  }
  return bits < tvi_dtype_bits(result->dtype);
}

trivet_status_t tvi_cover_take_widened(tvi_cover_t* cover, tvi_tactic_context_t* tactics,
                                       uint32_t region, tvi_value_id_t value) {
  tvi_node_id_t producer = maker_of(cover, value);
  bool taken = false;
  if (!tvi_tactic_fuser_enabled(tactics, "fuse-prologue") || !producer ||
      !widens(cover, producer) || !is_apart(cover, producer, 0))
    return TRIVET_OK;
  const char* made_by = cover->regions.data[region].made_by;
  TRIVET_RETURN_IF_ERROR(take(cover, tactics, region, producer, false, &taken));
  cover->regions.data[region].made_by = made_by;
  return TRIVET_OK;
}

static bool is_convolution(const tvi_kir_program_t* program) {
  tvi_kir_convolution_t convolution;
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    if (tvi_kir_match_convolution(program, s, &convolution, NULL)) return true;
  }
  return false;
}

trivet_status_t tvi_cover_fuse_prologues(tvi_cover_t* cover, tvi_tactic_context_t* tactics,
                                         tvi_node_id_t node) {
  const tvi_node_fact_t* fact = &cover->facts[node];
  if (!tvi_tactic_fuser_enabled(tactics, "fuse-prologue") ||
      fact->node_class != TVI_NODE_CONTRACTION)
    return TRIVET_OK;
  return grow(cover, tactics, fact->region, node, is_convolution(fact->program), 0);
}
