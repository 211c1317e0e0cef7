// SPDX-License-Identifier: Apache-2.0
//
// Implements observation.h. The copy has the observed values as its outputs, so that no pass takes
// them away there; it shares the inputs and the contents of constants with the graph, and nothing
// else.
#include "codegen/build/observation.h"

#include <string.h>

#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/graph/graph_clone.h"

static trivet_status_t copy_graph(trivet_graph_t* graph, tvi_arena_t* arena, trivet_graph_t** out,
                                  tvi_value_id_t** out_map) {
  trivet_graph_t* copy;
  tvi_value_id_t* map;
  TRIVET_RETURN_IF_ERROR(tvi_graph_create_subgraph(graph, graph->name, &copy));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, graph->value_count + 1u, sizeof(*map), &map));
  for (uint32_t i = 0; i < graph->input_count; ++i) {
    const tvi_named_value_t* input = &graph->inputs[i];
    const trivet_type_t* type = &tvi_graph_value(graph, input->value)->type;
    TRIVET_RETURN_IF_ERROR(tvi_graph_add_input(copy, input->name, type, &map[input->value]));
  }
  TRIVET_RETURN_IF_ERROR(tvi_graph_clone_body(copy, 0, graph, false, arena, map));
  *out = copy;
  *out_map = map;
  return TRIVET_OK;
}

trivet_status_t tvi_observation_begin(trivet_graph_t* graph, tvi_arena_t* arena,
                                      tvi_observation_t* out_observation) {
  tvi_observation_t found;
  memset(&found, 0, sizeof(found));
  for (tvi_value_id_t id = 1; id < graph->value_count; ++id) {
    const tvi_value_t* value = tvi_graph_value(graph, id);
    if (!value->dead && value->observed && value->name_count) ++found.count;
  }
  if (found.count) {
    tvi_value_id_t* map = NULL;
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_alloc_array_zeroed(arena, found.count, sizeof(*found.values), &found.values));
    TRIVET_RETURN_IF_ERROR(copy_graph(graph, arena, &found.copy, &map));
    uint32_t at = 0;
    for (tvi_value_id_t id = 1; id < graph->value_count; ++id) {
      tvi_value_t* value = tvi_graph_value(graph, id);
      if (value->dead || !value->observed || !value->name_count) continue;
      value->observed = false;
      const tvi_observed_value_t entry = {value->names[0], value->type, map[id]};
      found.values[at++] = entry;
    }
  }
  *out_observation = found;
  return TRIVET_OK;
}

// The value of that name, if it still is what it was.
static tvi_value_id_t survivor(const trivet_graph_t* graph, const tvi_observed_value_t* observed) {
  const tvi_value_id_t id = tvi_graph_find_value(graph, observed->name);
  if (!id) return 0;
  const tvi_value_t* value = tvi_graph_value(graph, id);
  return !value->dead && tvi_type_equal(&value->type, &observed->type) ? id : 0;
}

// The name goes to |value| alone.
static trivet_status_t take_name(trivet_graph_t* graph, tvi_value_id_t value,
                                 trivet_string_view_t name) {
  for (tvi_value_id_t id = 1; id < graph->value_count; ++id) {
    tvi_value_t* other = tvi_graph_value(graph, id);
    for (uint32_t i = 0; i < other->name_count; ++i) {
      if (!tvi_sv_equal(other->names[i], name)) continue;
      other->names[i--] = other->names[--other->name_count];
    }
  }
  TRIVET_RETURN_IF_ERROR(tvi_graph_name_value(graph, value, name));
  tvi_graph_value(graph, value)->observed = true;
  return TRIVET_OK;
}

// Adds what the copy computes to |graph|.
static trivet_status_t add_copy(trivet_graph_t* copy, tvi_arena_t* arena, trivet_graph_t* graph) {
  tvi_value_id_t* map;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, copy->value_count + 1u, sizeof(*map), &map));
  for (uint32_t i = 0; i < copy->input_count; ++i) {
    for (uint32_t k = 0; k < graph->input_count; ++k) {
      if (tvi_sv_equal(copy->inputs[i].name, graph->inputs[k].name))
        map[copy->inputs[i].value] = graph->inputs[k].value;
    }
  }
  TRIVET_RETURN_IF_ERROR(tvi_graph_clone_body(graph, 0, copy, false, arena, map));
  for (uint32_t i = 0; i < copy->output_count; ++i) {
    TRIVET_RETURN_IF_ERROR(take_name(graph, map[copy->outputs[i].value], copy->outputs[i].name));
  }
  return TRIVET_OK;
}

trivet_status_t tvi_observation_end(const tvi_observation_t* observation,
                                    const trivet_config_t* config, trivet_builder_t* builder,
                                    const char* pipeline, tvi_arena_t* arena,
                                    trivet_graph_t* graph) {
  bool gone = false;
  for (uint32_t i = 0; i < observation->count; ++i) {
    const tvi_observed_value_t* observed = &observation->values[i];
    const tvi_value_id_t value = survivor(graph, observed);
    if (value) {
      tvi_graph_value(graph, value)->observed = true;
      continue;
    }
    TRIVET_RETURN_IF_ERROR(tvi_graph_add_output(observation->copy, observed->name, observed->copy));
    gone = true;
  }
  if (!gone) return TRIVET_OK;
  // What is dumped, counted and bisected are the passes over the graph itself.
  trivet_config_t quiet = *config;
  quiet.dump_folder = NULL;
  quiet.stop_after = -1;
  tvi_pass_manager_t* manager = NULL;
  trivet_status_t status =
      tvi_config_run_passes(&quiet, builder, observation->copy, pipeline, NULL, &manager);
  tvi_pass_manager_destroy(manager);
  if (!status) status = add_copy(observation->copy, arena, graph);
  return status;
}
