// SPDX-License-Identifier: Apache-2.0
//
// A plan as a picture: its steps with their kernels, the tensors between them, and, where a run was
// measured, their times.
#include <stdio.h>
#include <string.h>

#include "core/plan/plan_format.h"
#include "tools/trivet/inspect.h"

typedef struct writer_s {
  uint32_t tensor, node;
} writer_t;

typedef struct drawing_s {
  const tvi_plan_t* plan;
  const tvi_plan_program_t* program;
  picture_t* picture;
  families_t families;
  TVI_VECTOR(writer_t) writers;  // in order of steps
  tvi_string_builder_t text;
} drawing_t;

static trivet_status_t tensor_text(drawing_t* d, uint32_t index, trivet_string_view_t* out_text) {
  const tvi_plan_tensor_t* tensor = &d->program->tensors[index];
  tvi_string_builder_clear(&d->text);
  tvi_string_builder_appendf(&d->text, "%s[", trivet_dtype_name(tensor->dtype));
  for (uint32_t i = 0; i < tensor->rank; ++i) {
    if (i) tvi_string_builder_append_cstr(&d->text, ", ");
    tvi_plan_print_expr(d->plan, tensor->dims[i], &d->text);
  }
  tvi_string_builder_append_cstr(&d->text, "]");
  trivet_status_t status = picture_keep(d->picture, &d->text, out_text);
  tvi_string_builder_clear(&d->text);
  return status;
}

static trivet_status_t add_edge(drawing_t* d, uint32_t from, uint32_t to,
                                trivet_string_view_t label) {
  picture_edge_t edge = {from, to, label, 0, 0};
  return tvi_vector_push(&d->picture->edges, edge);
}

// Who wrote what |tensor| shows: the last writer of the same tensor, otherwise everybody who wrote
// to its buffer (parts of a concatenation).
static trivet_status_t connect(drawing_t* d, uint32_t tensor, uint32_t to,
                               trivet_string_view_t label) {
  for (size_t i = d->writers.count; i-- > 0;) {
    if (d->writers.data[i].tensor == tensor) {
      return add_edge(d, d->writers.data[i].node, to, label);
    }
  }
  uint32_t buffer = d->program->tensors[tensor].buffer;
  for (size_t i = 0; i < d->writers.count; ++i) {
    if (d->program->tensors[d->writers.data[i].tensor].buffer != buffer) continue;
    TRIVET_RETURN_IF_ERROR(add_edge(d, d->writers.data[i].node, to, label));
  }
  return TRIVET_OK;
}

static trivet_status_t operand_row(drawing_t* d, tvi_string_builder_t* html, uint32_t tensor,
                                   bool output, uint32_t node) {
  trivet_string_view_t type;
  TRIVET_RETURN_IF_ERROR(tensor_text(d, tensor, &type));
  const tvi_plan_tensor_t* t = &d->program->tensors[tensor];
  const tvi_plan_buffer_t* buffer = &d->program->buffers[t->buffer];
  bool constant = buffer->kind == TVI_PLAN_BUFFER_CONSTANT;
  char line[600];
  snprintf(line, sizeof(line), "%s%s %.*s", type.data, constant ? " constant" : "",
           (int)t->name.size, t->name.size ? t->name.data : "");
  html_row(html, output ? "gives" : "takes", line);
  if (output) {
    writer_t writer = {tensor, node};
    return tvi_vector_push(&d->writers, writer);
  }
  return constant ? TRIVET_OK : connect(d, tensor, node, type);
}

static trivet_status_t step_details(drawing_t* d, const tvi_plan_step_t* step, uint32_t node,
                                    double time, tvi_string_builder_t* html) {
  char line[300];
  tvi_string_builder_append_cstr(html, "<table>");
  snprintf(line, sizeof(line), "%.*s", (int)step->name.size, step->name.data);
  html_row(html, "nodes", line);
  snprintf(line, sizeof(line), "%.*s", (int)step->made_by.size, step->made_by.data);
  html_row(html, "made by", line);
  if (time >= 0) {
    snprintf(line, sizeof(line), "%.4f ms", time);
    html_row(html, "time", line);
  }
  for (uint32_t a = 0; a < step->alternative_count; ++a) {
    const tvi_plan_alternative_t* each = &step->alternatives[a];
    snprintf(line, sizeof(line), "%.*s %.*s", (int)each->kernel.size, each->kernel.data,
             (int)each->tactic.size, each->tactic.size ? each->tactic.data : "");
    html_row(html, a ? "or kernel" : "kernel", line);
    for (uint32_t r = 0; r < each->requirement_count; ++r) {
      snprintf(line, sizeof(line), "%.*s", (int)each->requirements[r].size,
               each->requirements[r].data);
      html_row(html, "needs", line);
    }
  }
  if (step->alternative_count) {
    const tvi_plan_alternative_t* first = &step->alternatives[0];
    for (uint32_t i = 0; i < first->operand_count; ++i) {
      if (first->operands[i] == TVI_PLAN_NONE) continue;
      TRIVET_RETURN_IF_ERROR(operand_row(d, html, first->operands[i],
                                         i >= first->operand_count - first->output_count, node));
    }
  }
  tvi_string_builder_append_cstr(html, "</table>");
  return TRIVET_OK;
}

static trivet_status_t draw_step(drawing_t* d, const tvi_plan_step_t* step, double time,
                                 double total) {
  picture_node_t node;
  memset(&node, 0, sizeof(node));
  char title[160], subtitle[200];
  uint32_t index = (uint32_t)d->picture->nodes.count;
  const tvi_plan_alternative_t* first = step->alternative_count ? &step->alternatives[0] : NULL;
  snprintf(title, sizeof(title), "%.*s", first ? (int)first->kernel.size : 1,
           first ? first->kernel.data : "?");
  node.shape = PICTURE_NODE;
  node.share = time >= 0 && total > 0 ? time / total : -1;
  node.family = family_of(&d->families, title);
  snprintf(subtitle, sizeof(subtitle), "%.*s", step->name.size < 150 ? (int)step->name.size : 150,
           step->name.data);
  if (time >= 0) {
    size_t used = strlen(title);
    snprintf(title + used, sizeof(title) - used, "  %.3f ms", time);
  }
  TRIVET_RETURN_IF_ERROR(picture_short(d->picture, title, 48, &node.title));
  TRIVET_RETURN_IF_ERROR(picture_short(d->picture, subtitle, 44, &node.subtitle));
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&d->picture->nodes, node));
  tvi_string_builder_t html;
  tvi_string_builder_init(&html, trivet_allocator_system());
  trivet_status_t status = step_details(d, step, index, time, &html);
  trivet_string_view_t details = {NULL, 0};
  if (!status) status = picture_keep(d->picture, &html, &details);
  tvi_string_builder_deinit(&html);
  d->picture->nodes.data[index].details = details;
  return status;
}

static trivet_status_t draw_binding(drawing_t* d, const tvi_plan_binding_t* binding) {
  bool input = binding->mode == TVI_PLAN_BINDING_INPUT;
  uint32_t index = (uint32_t)d->picture->nodes.count;
  picture_node_t node;
  memset(&node, 0, sizeof(node));
  node.shape = input ? PICTURE_INPUT : PICTURE_OUTPUT;
  node.share = -1;
  TRIVET_RETURN_IF_ERROR(
      picture_short(d->picture, binding->name.size ? binding->name.data : "", 40, &node.title));
  TRIVET_RETURN_IF_ERROR(tensor_text(d, binding->tensor, &node.subtitle));
  tvi_string_builder_append_cstr(&d->text, "<table>");
  html_row(&d->text, input ? "input" : "output", node.subtitle.data);
  tvi_string_builder_append_cstr(&d->text, "</table>");
  TRIVET_RETURN_IF_ERROR(picture_keep(d->picture, &d->text, &node.details));
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&d->picture->nodes, node));
  if (!input) return connect(d, binding->tensor, index, node.subtitle);
  writer_t writer = {binding->tensor, index};
  return tvi_vector_push(&d->writers, writer);
}

static trivet_status_t draw(drawing_t* d, const double* times) {
  const tvi_plan_t* plan = d->plan;
  const tvi_plan_block_t* block = &d->program->blocks[0];
  double total = 0;
  for (uint32_t s = 0; times && s < block->step_count; ++s) total += times[s];
  for (uint32_t b = 0; b < plan->binding_count; ++b) {
    if (plan->bindings[b].mode == TVI_PLAN_BINDING_INPUT) {
      TRIVET_RETURN_IF_ERROR(draw_binding(d, &plan->bindings[b]));
    }
  }
  for (uint32_t s = 0; s < block->step_count; ++s) {
    TRIVET_RETURN_IF_ERROR(draw_step(d, &block->steps[s], times ? times[s] : -1, total));
  }
  for (uint32_t b = 0; b < plan->binding_count; ++b) {
    if (plan->bindings[b].mode != TVI_PLAN_BINDING_INPUT) {
      TRIVET_RETURN_IF_ERROR(draw_binding(d, &plan->bindings[b]));
    }
  }
  tvi_string_builder_clear(&d->text);
  tvi_string_builder_appendf(
      &d->text, "<p>A plan for %.*s: %u steps, %.1f MB of weights, at most %.1f MB of arena",
      (int)d->program->target.size, d->program->target.data, block->step_count,
      (double)plan->weights_size * 1e-6, (double)d->program->arena_size * 1e-6);
  if (times) tvi_string_builder_appendf(&d->text, ", %.3f ms in steps", total);
  tvi_string_builder_append_cstr(&d->text, ".</p>");
  return picture_keep(d->picture, &d->text, &d->picture->summary);
}

trivet_status_t plan_to_picture(const tvi_plan_t* plan, const double* times, picture_t* picture) {
  drawing_t d;
  memset(&d, 0, sizeof(d));
  d.plan = plan;
  d.program = &plan->programs[0];
  d.picture = picture;
  tvi_vector_init(&d.writers, trivet_allocator_system());
  tvi_string_builder_init(&d.text, trivet_allocator_system());
  trivet_status_t status = draw(&d, times);
  tvi_string_builder_deinit(&d.text);
  tvi_vector_deinit(&d.writers);
  return status;
}
