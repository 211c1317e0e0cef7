// SPDX-License-Identifier: Apache-2.0
//
// What kernels offer for a region before layouts are chosen: the fusers ask with regions that they
// might make and compare prices. It changes no region.
#include <math.h>
#include <string.h>

#include "codegen/cover/cover.h"
#include "core/base/status.h"

// The region with dense operands in one order, as kernels are asked before layouts are chosen.
static trivet_status_t dense_region(tvi_cover_t* cover, tvi_tactic_context_t* tactics,
                                    const tvi_cover_region_t* source, bool channels_last,
                                    trivet_region_t* out_region) {
  size_t count = source->inputs.count + source->outputs.count;
  tvi_region_operand_t* operands = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(cover->arena, count ? count : 1, sizeof(*operands), &operands));
  for (size_t i = 0; i < count; ++i) {
    bool output = i >= source->inputs.count;
    operands[i].value =
        output ? source->outputs.data[i - source->inputs.count] : source->inputs.data[i];
    operands[i].is_output = output;
    const tvi_value_t* value = tvi_graph_value(cover->graph, operands[i].value);
    bool last = channels_last && !value->constant && value->type.rank >= 4;
    tvi_region_operand_set_dense(
        cover->graph, &operands[i],
        last ? tvi_layout_channels_last(value->type.rank) : tvi_layout_plain());
  }
  tvi_tactic_region_init(tactics, cover->graph, source->program, source->nodes.data,
                         (uint32_t)source->nodes.count, source->made_by, out_region);
  out_region->operands = operands;
  out_region->input_count = (uint32_t)source->inputs.count;
  out_region->output_count = (uint32_t)source->outputs.count;
  return TRIVET_OK;
}

trivet_status_t tvi_cover_ask(tvi_cover_t* cover, tvi_tactic_context_t* tactics,
                              const tvi_cover_region_t* region, tvi_cover_order_t order,
                              uint32_t flags, tvi_string_builder_t* reasons,
                              tvi_cover_offer_t* offer) {
  offer->accepted = false;
  if (!region->program) return TRIVET_OK;
  for (int last = 0; last < 2 && !offer->accepted; ++last) {
    trivet_region_t asked;
    if (order == (last ? TVI_COVER_PLAIN : TVI_COVER_CHANNELS_LAST)) continue;
    if (last && reasons) tvi_string_builder_clear(reasons);
    TRIVET_RETURN_IF_ERROR(dense_region(cover, tactics, region, last != 0, &asked));
    TRIVET_RETURN_IF_ERROR(tvi_tactic_enumerate(tactics, &asked, &offer->list, reasons));
    for (size_t i = 0; i < offer->list.count; ++i) {
      const trivet_kernel_t* kernel = offer->list.data[i].kernel;
      if (!tvi_tactic_is_general(kernel) && (kernel->flags & flags) == flags) {
        offer->accepted = true;
      }
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_cover_library_accepts(tvi_cover_t* cover, tvi_tactic_context_t* tactics,
                                          const tvi_cover_region_t* region, uint32_t flags,
                                          tvi_string_builder_t* reasons, bool* out_accepted) {
  tvi_cover_offer_t offer;
  tvi_vector_init(&offer.list, cover->graph->allocator);
  trivet_status_t status =
      tvi_cover_ask(cover, tactics, region, TVI_COVER_ANY_ORDER, flags, reasons, &offer);
  *out_accepted = offer.accepted;
  tvi_vector_deinit(&offer.list);
  return status;
}

double tvi_cover_lowest_price(const tvi_cover_offer_t* offer) {
  double best = HUGE_VAL;
  for (size_t i = 0; i < offer->list.count; ++i) best = fmin(best, offer->list.data[i].price);
  return best;
}

trivet_status_t tvi_cover_ask_longer(tvi_cover_t* cover, tvi_tactic_context_t* tactics, uint32_t id,
                                     tvi_node_id_t node, tvi_cover_order_t order,
                                     tvi_string_builder_t* reasons, tvi_cover_offer_t* offer) {
  // A copy of the region, so that a refusal leaves nothing behind.
  const tvi_cover_region_t* region = &cover->regions.data[id];
  tvi_cover_region_t longer = *region;
  trivet_allocator_t allocator = cover->graph->allocator;
  tvi_vector_init(&longer.nodes, allocator);
  tvi_vector_init(&longer.inputs, allocator);
  tvi_vector_init(&longer.outputs, allocator);
  offer->accepted = false;
  size_t at = 0;
  while (at < region->nodes.count &&
         cover->facts[region->nodes.data[at]].position < cover->facts[node].position)
    ++at;
  trivet_status_t status = tvi_vector_append(&longer.nodes, region->nodes.data, at);
  if (!status) status = tvi_vector_push(&longer.nodes, node);
  if (!status)
    status = tvi_vector_append(&longer.nodes, region->nodes.data + at, region->nodes.count - at);
  if (!status) status = tvi_cover_region_program(cover, &longer);
  if (!status) status = tvi_cover_ask(cover, tactics, &longer, order, 0, reasons, offer);
  tvi_vector_deinit(&longer.nodes);
  tvi_vector_deinit(&longer.inputs);
  tvi_vector_deinit(&longer.outputs);
  return status;
}
