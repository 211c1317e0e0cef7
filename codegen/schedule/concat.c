// SPDX-License-Identifier: Apache-2.0
//
// Concats in place: whoever computes an operand of a concat writes it straight into its part of the
// result, as a strided view.
#include "codegen/schedule/schedule.h"
#include "core/base/status.h"

bool tvi_schedule_is_concat(const tvi_schedule_t* s, uint32_t id, uint32_t* out_axis) {
  const tvi_cover_region_t* region = &s->cover->regions.data[id];
  if (region->nodes.count != 1) return false;
  const tvi_node_t* node = tvi_graph_node(s->graph, region->nodes.data[0]);
  if (!tvi_node_is(node, "std.Concat") || node->output_count != 1) return false;
  uint32_t rank = tvi_graph_value(s->graph, node->outputs[0])->type.rank;
  int64_t axis = tvi_node_attr_i64(node, "axis", 0);
  if (axis < 0) axis += rank;
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (!node->inputs[i] || tvi_graph_value(s->graph, node->inputs[i])->type.rank != rank)
      return false;
  }
  *out_axis = (uint32_t)axis;
  return axis >= 0 && axis < rank;
}

static bool placeable(const tvi_schedule_t* s, const tvi_node_t* concat, tvi_value_id_t id) {
  const tvi_value_t* value = tvi_graph_value(s->graph, id);
  if (value->constant || !value->producer || value->output_uses || value->observed ||
      s->concat_parent[id])
    return false;
  uint32_t region = s->cover->facts[value->producer].region;
  if (region == TVI_COVER_NONE || !s->cover->regions.data[region].program)
    return false;  // views and host functions
  const tvi_value_t* whole = tvi_graph_value(s->graph, concat->outputs[0]);
  if (!tvi_layout_equal(&s->layouts[id], &s->layouts[concat->outputs[0]], whole->type.rank))
    return false;
  uint32_t times = 0;
  for (uint32_t i = 0; i < concat->input_count; ++i) times += concat->inputs[i] == id;
  return times == 1;
}

trivet_status_t tvi_schedule_plan_concats(tvi_schedule_t* s) {
  if (!tvi_tactic_fuser_enabled(s->tactics, "concat-in-place")) return TRIVET_OK;
  for (uint32_t i = 0; i < s->cover->order_count; ++i) {
    uint32_t axis = 0;
    if (!tvi_schedule_is_concat(s, s->cover->order[i], &axis)) continue;
    tvi_node_id_t id = s->cover->regions.data[s->cover->order[i]].nodes.data[0];
    const tvi_node_t* node = tvi_graph_node(s->graph, id);
    trivet_dim_t offset = tvi_dim_constant(s->graph->dims, 0);
    for (uint32_t k = 0; k < node->input_count && offset; ++k) {
      tvi_value_id_t value = node->inputs[k];
      if (placeable(s, node, value)) {
        s->concat_parent[value] = node->outputs[0];
        s->concat_offset[value] = offset;
        s->concat_axis[value] = (uint8_t)axis;
      } else {
        tvi_tactic_note(
            s->tactics, "concat-in-place", s->graph, id, true,
            "operand %u is copied: it is a view, a constant, an output, or lies elsewhere already",
            k);
      }
      offset = tvi_dim_binary(s->graph->dims, TRIVET_DIM_ADD, offset,
                              tvi_graph_value(s->graph, value)->type.dims[axis]);
    }
  }
  return TRIVET_OK;
}
