// SPDX-License-Identifier: Apache-2.0
//
// Control flow whose course is known when the plan runs only: a step of the host whose blob holds
// the bodies as plans of their own. What is decided when the plan is built, a pass has written out
// before. Bodies are compiled by whoever builds (tvi_body_compiler_t), not here.
#include <string.h>

#include "codegen/schedule/schedule.h"
#include "core/base/status.h"
#include "core/graph/graph_report.h"
#include "core/plan/control_blob.h"

static uint32_t kind_of(const tvi_node_t* node) {
  if (tvi_node_is(node, "core.Loop")) return TVI_CONTROL_LOOP;
  return tvi_node_is(node, "core.Scan") ? TVI_CONTROL_SCAN : TVI_CONTROL_IF;
}

static trivet_status_t add_capture(tvi_sched_control_t* control, tvi_value_id_t value) {
  for (size_t i = 0; i < control->captures.count; ++i) {
    if (control->captures.data[i] == value) return TRIVET_OK;
  }
  return tvi_vector_push(&control->captures, value);
}

trivet_status_t tvi_schedule_compile_bodies(tvi_schedule_t* s, tvi_node_id_t id,
                                            tvi_sched_control_t* control) {
  static const char* const names[2][2] = {{"then_branch", "else_branch"}, {"body", NULL}};
  const tvi_node_t* node = tvi_graph_node(s->graph, id);
  const tvi_body_compiler_t* compiler = &s->tactics->options.bodies;
  control->kind = kind_of(node);
  control->body_count = control->kind == TVI_CONTROL_IF ? 2 : 1;
  if (control->kind == TVI_CONTROL_LOOP && node->input_count > 2)
    control->state_count = node->input_count - 2;
  if (control->kind == TVI_CONTROL_SCAN) {
    control->state_count =
        node->input_count - (uint32_t)tvi_node_attr_i64(node, "num_scan_inputs", 0);
  }
  for (uint32_t i = 0; i < control->body_count; ++i) {
    const char* name = names[control->kind != TVI_CONTROL_IF][i];
    const trivet_attribute_t* attribute = tvi_node_attribute(node, name);
    if (!attribute) {
      return tvi_graph_node_error(s->graph, id, TRIVET_STATUS_UNIMPLEMENTED,
                                  "operator %s cannot be compiled for target %s",
                                  node->op->definition->name, s->tactics->options.target);
    }
    const trivet_graph_t* body = node->subgraphs[*(const uint32_t*)attribute->data];
    tvi_body_plan_t* plan = &control->bodies[i];
    TRIVET_RETURN_IF_ERROR_ANNOTATED(
        compiler->compile(compiler->self, s->tactics, body, s->arena, plan), "%s", name);
    for (uint32_t k = 0; k < plan->capture_count; ++k)
      TRIVET_RETURN_IF_ERROR(add_capture(control, plan->captures[k]));
    for (uint32_t k = 0; k < plan->plugin_count; ++k)
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&s->body_plugins, plan->plugins[k]));
  }
  return TRIVET_OK;
}

static trivet_status_t fill_body(tvi_schedule_t* s, const tvi_node_t* node,
                                 const tvi_sched_control_t* control, const tvi_body_plan_t* plan,
                                 tvi_sched_step_t* step, tvi_control_body_t* out_body) {
  uint32_t *captures, *symbols;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(s->arena, plan->capture_count + 1u, sizeof(*captures), &captures));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(s->arena, plan->symbol_count + 1u, sizeof(*symbols), &symbols));
  for (uint32_t i = 0; i < plan->capture_count; ++i) {
    uint32_t at = 0;
    while (control->captures.data[at] != plan->captures[i]) ++at;
    captures[i] = node->input_count + at;
  }
  for (uint32_t i = 0; i < plan->symbol_count; ++i) {
    uint32_t at = 0;
    while (at < step->parameters.count && step->parameters.data[at] != plan->symbols[i]) ++at;
    if (at == step->parameters.count)
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&step->parameters, plan->symbols[i]));
    symbols[i] = at;
  }
  *out_body = (tvi_control_body_t){captures,           symbols,     plan->capture_count,
                                   plan->symbol_count, plan->bytes, plan->size};
  return TRIVET_OK;
}

// Axes of the slices, then of the outputs.
static trivet_status_t scan_axes(tvi_schedule_t* s, const tvi_node_t* node,
                                 tvi_control_t* control) {
  static const char* const kNames[2][2] = {
      {"scan_input_axes", "scan_input_directions"},
      {"scan_output_axes", "scan_output_directions"},
  };
  tvi_control_axis_t* axes;
  const uint32_t counts[2] = {node->input_count - control->state_count,
                              node->output_count - control->state_count};
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(s->arena, (size_t)counts[0] + counts[1] + 1,
                                                      sizeof(*axes), &axes));
  for (uint32_t side = 0; side < 2; ++side) {
    uint64_t count;
    const int64_t* directions = tvi_node_attr_i64s(node, kNames[side][1], &count);
    const tvi_value_id_t* values = side ? node->outputs : node->inputs;
    for (uint32_t i = 0; i < counts[side]; ++i) {
      tvi_control_axis_t* axis = &axes[control->axis_count++];
      const tvi_value_id_t value = values[control->state_count + i];
      if (!value) continue;
      const uint32_t rank = tvi_graph_value(s->graph, value)->type.rank;
      if (!tvi_scan_axis(node, kNames[side][0], i, rank, &axis->axis))
        return TRIVET_STATUS(INVALID_ARGUMENT, "%s %u", kNames[side][0], i);
      axis->is_backwards = i < count && directions[i] != 0;
    }
  }
  control->axes = axes;
  return TRIVET_OK;
}

trivet_status_t tvi_schedule_emit_control(tvi_schedule_t* s, tvi_node_id_t id,
                                          const tvi_sched_control_t* made, tvi_sched_step_t* step) {
  const tvi_node_t* node = tvi_graph_node(s->graph, id);
  tvi_control_body_t bodies[2];
  tvi_control_t control = {.kind = made->kind,
                           .state_count = made->state_count,
                           .input_count = node->input_count,
                           .body_count = made->body_count,
                           .bodies = bodies};
  for (uint32_t i = 0; i < made->body_count; ++i)
    TRIVET_RETURN_IF_ERROR(fill_body(s, node, made, &made->bodies[i], step, &bodies[i]));
  if (made->kind == TVI_CONTROL_SCAN) TRIVET_RETURN_IF_ERROR(scan_axes(s, node, &control));
  return tvi_control_blob_encode(&control, s->arena, &step->blob, &step->blob_size);
}

void tvi_sched_control_deinit(tvi_sched_control_t* control) {
  tvi_vector_deinit(&control->captures);
}
