// SPDX-License-Identifier: Apache-2.0
//
// Regions to steps: finds or makes the places of operands, asks for a tactic, lets its kernel write
// the step. Where a view cannot be expressed by strides, or no kernel takes an operand as it lies,
// a copy is made, which is a region like any other.
#include <string.h>

#include "codegen/schedule/programs.h"
#include "codegen/schedule/schedule.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/graph/graph_report.h"
#include "core/kernel_ir/fuse.h"
#include "core/kernel_ir/operator_text.h"
#include "core/plan/host_blob.h"

static void describe_operand(const tvi_schedule_t* s, tvi_value_id_t value,
                             const tvi_place_t* place, bool is_output,
                             tvi_region_operand_t* out_operand) {
  tvi_layout_t plain = tvi_layout_plain();
  memset(out_operand, 0, sizeof(*out_operand));
  out_operand->value = value;
  out_operand->is_output = is_output;
  out_operand->layout = tvi_schedule_place_layout(s, value, place);
  if (tvi_schedule_place_is_dense(s, value, place, &plain)) out_operand->layout = plain;
  out_operand->dense = tvi_schedule_place_is_dense(s, value, place, &out_operand->layout);
  memcpy(out_operand->strides, place->strides, sizeof(out_operand->strides));
}

static void make_region(tvi_schedule_t* s, const tvi_kir_program_t* program,
                        const tvi_node_id_t* nodes, uint32_t node_count,
                        const tvi_region_operand_t* operands, uint32_t input_count,
                        uint32_t output_count, const char* made_by, trivet_region_t* out_region) {
  tvi_tactic_region_init(s->tactics, s->graph, program, nodes, node_count, made_by, out_region);
  out_region->operands = operands;
  out_region->input_count = input_count;
  out_region->output_count = output_count;
}

static trivet_status_t run_program(tvi_schedule_t* s, const tvi_kir_program_t* program,
                                   const tvi_node_id_t* nodes, uint32_t node_count,
                                   const tvi_region_operand_t* operands, uint32_t input_count,
                                   uint32_t output_count, const tvi_place_t* places,
                                   const char* made_by, bool is_copy) {
  trivet_region_t region;
  make_region(s, program, nodes, node_count, operands, input_count, output_count, made_by, &region);
  region.is_copy = is_copy;
  tvi_tactic_choice_t choice;
  TRIVET_RETURN_IF_ERROR(tvi_tactic_choose(s->tactics, &region, &choice));
  return tvi_schedule_emit_step(s, &region, places, &choice, TVI_COVER_NONE);
}

// Copies a value from one place to another.
static trivet_status_t copy_value(tvi_schedule_t* s, tvi_value_id_t value, const tvi_place_t* from,
                                  const tvi_place_t* to, const char* made_by) {
  const trivet_type_t* type = &tvi_graph_value(s->graph, value)->type;
  tvi_kir_program_t* program = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_kir_make_copy(s->graph->dims, s->arena, type, value, value, &program));
  tvi_region_operand_t operands[2];
  tvi_place_t places[2] = {*from, *to};
  describe_operand(s, value, from, false, &operands[0]);
  describe_operand(s, value, to, true, &operands[1]);
  tvi_node_id_t producer = tvi_graph_value(s->graph, value)->producer;
  // A copy of a view is what its node computes.
  const bool is_copy = producer && s->cover->facts[producer].node_class != TVI_NODE_VIEW;
  return run_program(s, program, &producer, producer ? 1 : 0, operands, 1, 1, places, made_by,
                     is_copy);
}

static trivet_status_t new_place(tvi_schedule_t* s, tvi_value_id_t value,
                                 const tvi_layout_t* layout, tvi_place_t* out_place) {
  TRIVET_RETURN_IF_ERROR(tvi_schedule_add_buffer(s, TVI_PLAN_BUFFER_ARENA, TVI_SCHEDULE_NONE,
                                                 tvi_schedule_value_size(s, value),
                                                 &out_place->buffer));
  out_place->offset = tvi_dim_constant(s->graph->dims, 0);
  tvi_schedule_dense_strides(s, &tvi_graph_value(s->graph, value)->type, layout,
                             out_place->strides);
  return TRIVET_OK;
}

// Gives a reshape a buffer by a copy in the shape of what it reads, whose positions are plain
// indices where the reshape's would be divided. |out_done| false: its place is not dense.
static trivet_status_t copy_reshaped(tvi_schedule_t* s, tvi_value_id_t id, tvi_value_id_t source,
                                     const tvi_place_t* from, bool* out_done) {
  const tvi_value_t* value = tvi_graph_value(s->graph, id);
  const trivet_type_t* type = &tvi_graph_value(s->graph, source)->type;
  const tvi_layout_t plain = tvi_layout_plain();
  tvi_place_t places[2] = {*from, s->places[id]};
  *out_done = tvi_schedule_place_is_dense(s, id, &places[1], &plain);
  if (!*out_done) return TRIVET_OK;
  tvi_schedule_dense_strides(s, type, &plain, places[1].strides);
  tvi_kir_program_t* program = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_kir_make_copy(s->graph->dims, s->arena, type, source, source, &program));
  tvi_region_operand_t operands[2];
  describe_operand(s, source, &places[0], false, &operands[0]);
  describe_operand(s, source, &places[1], true, &operands[1]);
  return run_program(s, program, &value->producer, 1, operands, 1, 1, places, "view", true);
}

// Gives a value that no region computes a buffer: a constant of dimensions, or a view that strides
// cannot express.
static trivet_status_t materialize(tvi_schedule_t* s, tvi_value_id_t id) {
  const tvi_value_t* value = tvi_graph_value(s->graph, id);
  tvi_kir_program_t* program = NULL;
  tvi_region_operand_t operands[2];
  tvi_place_t places[2];
  if (value->constant && value->constant->kind == TVI_CONSTANT_DIMS) {
    uint64_t element_count = 0;
    const trivet_dim_t* elements = tvi_graph_value_ints(s->graph, id, &element_count);
    TRIVET_RETURN_IF_ERROR(tvi_kir_make_dims(s->graph->dims, s->arena, &value->type, elements,
                                             element_count, id, &program));
    TRIVET_RETURN_IF_ERROR(tvi_schedule_allocate(s, id));
    describe_operand(s, id, &s->places[id], true, &operands[0]);
    return run_program(s, program, NULL, 0, operands, 0, 1, &s->places[id], "shape-values", false);
  }
  tvi_node_id_t producer = value->producer;
  if (!producer || s->cover->facts[producer].node_class != TVI_NODE_VIEW) {
    return TRIVET_STATUS(INTERNAL, "value %u is read before it is computed", id);
  }
  tvi_value_id_t source = tvi_graph_node(s->graph, producer)->inputs[0];
  bool found = false;
  TRIVET_RETURN_IF_ERROR(tvi_schedule_locate(s, source, &places[0], &found));
  if (!found) {
    TRIVET_RETURN_IF_ERROR(materialize(s, source));
    TRIVET_RETURN_IF_ERROR(tvi_schedule_locate(s, source, &places[0], &found));
    TRIVET_RETURN_IF_ERROR(tvi_schedule_locate(s, id, &places[1], &found));
    if (found) return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(tvi_schedule_allocate(s, id));
  if (s->cover->facts[producer].reshape) {
    bool done = false;
    TRIVET_RETURN_IF_ERROR(copy_reshaped(s, id, source, &places[0], &done));
    if (done) return TRIVET_OK;
  }
  tvi_kir_program_t* copy = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_clone(s->cover->facts[producer].program, s->arena, &copy));
  for (uint32_t v = 0; v < copy->value_count; ++v) {
    if (copy->values[v].kind == TVI_KIR_INPUT) copy->values[v].tag = source;
    if (copy->values[v].kind != TVI_KIR_OUTPUT) continue;
    if (copy->values[v].tag == 0x1000u + value->output_index) {
      copy->values[v].tag = id;
    } else {  // another output of the same node
      TRIVET_RETURN_IF_ERROR(tvi_kir_value_set_kind(copy, v, TVI_KIR_TEMP));
    }
  }
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_drop_dead(copy, true, NULL));
  places[1] = s->places[id];
  describe_operand(s, source, &places[0], false, &operands[0]);
  describe_operand(s, id, &places[1], true, &operands[1]);
  return run_program(s, copy, &producer, 1, operands, 1, 1, places, "view", false);
}

static trivet_status_t find_place(tvi_schedule_t* s, tvi_value_id_t value, tvi_place_t* out_place) {
  bool found = false;
  TRIVET_RETURN_IF_ERROR(tvi_schedule_locate(s, value, out_place, &found));
  if (found) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(materialize(s, value));
  TRIVET_RETURN_IF_ERROR(tvi_schedule_locate(s, value, out_place, &found));
  return found ? TRIVET_OK : TRIVET_STATUS(INTERNAL, "value %u has no place", value);
}

// A dense place of the value, plain or channels last, by a copy if it lies otherwise.
static trivet_status_t find_dense_place(tvi_schedule_t* s, tvi_value_id_t value, bool channels_last,
                                        tvi_place_t* out_place) {
  uint32_t rank = tvi_graph_value(s->graph, value)->type.rank;
  tvi_layout_t layout = channels_last ? tvi_layout_channels_last(rank) : tvi_layout_plain();
  TRIVET_RETURN_IF_ERROR(find_place(s, value, out_place));
  if (tvi_schedule_place_is_dense(s, value, out_place, &layout)) return TRIVET_OK;
  tvi_place_t* kept = &s->dense_copies[channels_last][value];
  if (kept->buffer == TVI_SCHEDULE_NONE) {
    tvi_place_t copy;
    TRIVET_RETURN_IF_ERROR(new_place(s, value, &layout, &copy));
    TRIVET_RETURN_IF_ERROR(copy_value(s, value, out_place, &copy, "reformat"));
    *kept = copy;
  }
  *out_place = *kept;
  return TRIVET_OK;
}

// --- Kinds of regions -------------------------------------------------------------------

typedef struct located_s {
  uint32_t region;
  uint32_t inputs, outputs;
  const tvi_value_id_t* values;  // of all operands
  tvi_place_t* places;
  tvi_region_operand_t* operands;
  bool channels_last;  // the order that what it reads was priced in
} located_t;

static bool is_image(const tvi_schedule_t* s, tvi_value_id_t value) {
  const tvi_value_t* v = tvi_graph_value(s->graph, value);
  return !v->constant && v->type.rank >= 4 && v->type.rank <= 5;
}

static trivet_status_t choose_tactic(tvi_schedule_t* s, const located_t* l, trivet_region_t* asked,
                                     tvi_tactic_choice_t* out_choice) {
  const tvi_cover_region_t* region = &s->cover->regions.data[l->region];
  for (uint32_t i = 0; i < l->inputs + l->outputs; ++i) {
    describe_operand(s, l->values[i], &l->places[i], i >= l->inputs, &l->operands[i]);
  }
  make_region(s, region->program, region->nodes.data, (uint32_t)region->nodes.count, l->operands,
              l->inputs, l->outputs, region->made_by, asked);
  return tvi_tactic_choose(s->tactics, asked, out_choice);
}

// Gives a kernel that is particular about layouts what it was priced with. |out_changed| false:
// everything lies so already.
static trivet_status_t make_dense(tvi_schedule_t* s, located_t* l, bool* out_changed) {
  *out_changed = false;
  for (uint32_t i = 0; i < l->inputs + l->outputs; ++i) {
    tvi_value_id_t value = l->values[i];
    bool last = l->channels_last && is_image(s, value);
    if (i >= l->inputs) {
      if (!s->concat_parent[value]) continue;
      s->concat_parent[value] = 0;  // the concat will copy it
      s->places[value].buffer = TVI_SCHEDULE_NONE;
      TRIVET_RETURN_IF_ERROR(tvi_schedule_allocate(s, value));
      l->places[i] = s->places[value];
      *out_changed = true;
      continue;
    }
    tvi_place_t before = l->places[i];
    TRIVET_RETURN_IF_ERROR(find_dense_place(s, value, last, &l->places[i]));
    if (before.buffer != l->places[i].buffer) *out_changed = true;
  }
  return TRIVET_OK;
}

static trivet_status_t program_region(tvi_schedule_t* s, uint32_t id) {
  const tvi_cover_region_t* region = &s->cover->regions.data[id];
  located_t l;
  memset(&l, 0, sizeof(l));
  l.region = id;
  l.channels_last = s->reads_last[id];
  l.inputs = (uint32_t)region->inputs.count;
  l.outputs = (uint32_t)region->outputs.count;
  uint32_t count = l.inputs + l.outputs;
  tvi_value_id_t* values = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(s->arena, count + 1, sizeof(*values), &values));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(s->arena, count + 1, sizeof(*l.operands), &l.operands));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(s->arena, count + 1, sizeof(*l.places), &l.places));
  l.values = values;
  for (uint32_t i = 0; i < count; ++i) {
    values[i] = i < l.inputs ? region->inputs.data[i] : region->outputs.data[i - l.inputs];
    if (i < l.inputs) {
      TRIVET_RETURN_IF_ERROR(find_place(s, values[i], &l.places[i]));
      continue;
    }
    TRIVET_RETURN_IF_ERROR(tvi_schedule_allocate(s, values[i]));
    l.places[i] = s->places[values[i]];
  }
  trivet_region_t asked;
  tvi_tactic_choice_t choice;
  trivet_status_t status = choose_tactic(s, &l, &asked, &choice);
  bool missing = trivet_status_code(status) == TRIVET_STATUS_NOT_FOUND;
  if (missing || (!status && region->anchored && tvi_tactic_is_general(choice.tactics[0].kernel))) {
    bool changed = false;
    trivet_status_t copied = make_dense(s, &l, &changed);
    if (copied) return trivet_status_join(copied, status);
    if (changed) {
      trivet_status_free(status);
      status = choose_tactic(s, &l, &asked, &choice);
    }
  }
  return status ? status : tvi_schedule_emit_step(s, &asked, l.places, &choice, id);
}

static trivet_status_t concat_region(tvi_schedule_t* s, uint32_t id, uint32_t axis) {
  const tvi_cover_region_t* region = &s->cover->regions.data[id];
  const tvi_node_t* node = tvi_graph_node(s->graph, region->nodes.data[0]);
  tvi_value_id_t output = node->outputs[0];
  TRIVET_RETURN_IF_ERROR(tvi_schedule_allocate(s, output));
  trivet_dim_t offset = tvi_dim_constant(s->graph->dims, 0);
  for (uint32_t i = 0; i < node->input_count; ++i) {
    tvi_value_id_t value = node->inputs[i];
    tvi_place_t from, part = s->places[output];
    part.offset =
        tvi_dim_binary(s->graph->dims, TRIVET_DIM_ADD, part.offset,
                       tvi_dim_binary(s->graph->dims, TRIVET_DIM_MUL, offset, part.strides[axis]));
    offset = tvi_dim_binary(s->graph->dims, TRIVET_DIM_ADD, offset,
                            tvi_graph_value(s->graph, value)->type.dims[axis]);
    TRIVET_RETURN_IF_ERROR(find_place(s, value, &from));
    if (from.buffer == part.buffer) continue;  // computed in place
    TRIVET_RETURN_IF_ERROR(copy_value(s, value, &from, &part, "concat"));
  }
  return TRIVET_OK;
}

// The runtime parses no operator texts, so the blob has declared defaults too.
static trivet_status_t encode_attributes(tvi_schedule_t* s, const tvi_node_t* node,
                                         tvi_sched_step_t* step) {
  const tvi_kir_operator_t* declared = node->op->parsed;
  trivet_attribute_t* attributes = NULL;
  uint32_t most = declared ? declared->attribute_count : 0, count = 0;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array(s->arena, most + 1, sizeof(*attributes), &attributes));
  for (uint32_t i = 0; i < most; ++i) {
    const trivet_attribute_t* value = tvi_node_attribute(node, declared->attributes[i].name.data);
    if (value) attributes[count++] = *value;
  }
  return tvi_host_blob_encode(attributes, count, s->arena, &step->blob, &step->blob_size);
}

// Gives a host function to a kernel of the target that takes it over. |out_taken| false: none does.
static trivet_status_t offer_host_region(tvi_schedule_t* s, uint32_t id, bool* out_taken) {
  const tvi_cover_region_t* region = &s->cover->regions.data[id];
  const tvi_node_t* node = tvi_graph_node(s->graph, region->nodes.data[0]);
  tvi_region_operand_t* operands = NULL;
  tvi_place_t* places = NULL;
  uint32_t count = 0, inputs = 0;
  *out_taken = false;
  if (!tvi_tactic_has_flag(s->tactics, TRIVET_KERNEL_HOST_FUNCTIONS)) return TRIVET_OK;
  const uint32_t most = node->input_count + node->output_count + 1;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(s->arena, most, sizeof(*operands), &operands));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(s->arena, most, sizeof(*places), &places));
  for (uint32_t i = 0; i < node->input_count; ++i) {
    bool known = node->inputs[i] == 0;
    for (uint32_t k = 0; k < count; ++k) known = known || operands[k].value == node->inputs[i];
    if (known) continue;
    TRIVET_RETURN_IF_ERROR(find_dense_place(s, node->inputs[i], false, &places[count]));
    describe_operand(s, node->inputs[i], &places[count], false, &operands[count]);
    ++count;
  }
  inputs = count;
  for (uint32_t i = 0; i < node->output_count; ++i) {
    const tvi_value_id_t value = node->outputs[i];
    if (!value) continue;
    s->concat_parent[value] = 0;
    s->layouts[value] = tvi_layout_plain();
    TRIVET_RETURN_IF_ERROR(tvi_schedule_allocate(s, value));
    places[count] = s->places[value];
    describe_operand(s, value, &places[count], true, &operands[count]);
    ++count;
  }
  trivet_region_t asked;
  tvi_tactic_choice_t choice;
  make_region(s, NULL, region->nodes.data, 1, operands, inputs, count - inputs, "host", &asked);
  tvi_tactic_list_t list;
  tvi_string_builder_t reasons;
  tvi_vector_init(&list, s->allocator);
  tvi_string_builder_init(&reasons, s->allocator);
  trivet_status_t status = tvi_tactic_enumerate(s->tactics, &asked, &list, &reasons);
  if (!status && !list.count) {
    const trivet_string_view_t why = tvi_string_builder_view(&reasons);
    tvi_tactic_note(s->tactics, "host", s->graph, region->nodes.data[0], true, "%.*s",
                    (int)why.size, why.data ? why.data : "");
  }
  *out_taken = list.count != 0;
  tvi_vector_deinit(&list);
  tvi_string_builder_deinit(&reasons);
  if (status || !*out_taken) return status;
  TRIVET_RETURN_IF_ERROR(tvi_tactic_choose(s->tactics, &asked, &choice));
  return tvi_schedule_emit_step(s, &asked, places, &choice, id);
}

// 0: absent.
static trivet_status_t add_host_input(tvi_schedule_t* s, tvi_value_id_t value,
                                      tvi_sched_step_t* step) {
  uint32_t tensor = TVI_PLAN_NONE;
  tvi_place_t place;
  if (value) {
    TRIVET_RETURN_IF_ERROR(find_dense_place(s, value, false, &place));
    TRIVET_RETURN_IF_ERROR(tvi_schedule_add_tensor(s, value, &place, &tensor));
  }
  return tvi_vector_push(&step->operands, tensor);
}

static trivet_status_t add_host_output(tvi_schedule_t* s, tvi_value_id_t value, uint32_t index,
                                       tvi_sched_step_t* step) {
  uint32_t tensor = TVI_PLAN_NONE;
  if (value) {
    s->concat_parent[value] = 0;
    s->layouts[value] = tvi_layout_plain();
    TRIVET_RETURN_IF_ERROR(tvi_schedule_allocate(s, value));
    TRIVET_RETURN_IF_ERROR(tvi_schedule_add_tensor(s, value, &s->places[value], &tensor));
    const trivet_type_t* type = &tvi_graph_value(s->graph, value)->type;
    for (uint32_t d = 0; d < type->rank; ++d) {
      if (tvi_dim_kind(type->dims[d]) != TVI_DIM_SYMBOL ||
          tvi_dim_symbol_origin(type->dims[d]) != TVI_SYMBOL_DATA)
        continue;
      tvi_plan_bound_symbol_t bound = {tvi_dim_symbol_index(type->dims[d]), index, d};
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&step->bound, bound));
    }
  }
  ++step->output_count;
  return tvi_vector_push(&step->operands, tensor);
}

static trivet_status_t host_region(tvi_schedule_t* s, uint32_t id) {
  bool taken = false;
  TRIVET_RETURN_IF_ERROR(offer_host_region(s, id, &taken));
  if (taken) return TRIVET_OK;
  const tvi_cover_region_t* region = &s->cover->regions.data[id];
  tvi_node_id_t node_id = region->nodes.data[0];
  const tvi_node_t* node = tvi_graph_node(s->graph, node_id);
  const bool is_control = node->subgraph_count != 0;
  if (is_control ? !s->tactics->options.bodies.compile : !node->op->definition->evaluate) {
    return tvi_graph_node_error(s->graph, node_id, TRIVET_STATUS_UNIMPLEMENTED,
                                "operator %s cannot be compiled for target %s",
                                node->op->definition->name, s->tactics->options.target);
  }
  tvi_sched_control_t control;
  memset(&control, 0, sizeof(control));
  tvi_vector_init(&control.captures, s->allocator);
  tvi_sched_step_t step;
  tvi_sched_step_init(s, &step, id);
  step.kind = TVI_PLAN_STEP_HOST;
  step.kernel.data = node->op->definition->name;
  step.kernel.size = strlen(step.kernel.data);
  step.kernel_version = node->op->definition->version;
  step.made_by = "host";
  trivet_status_t status = tvi_schedule_name_step(s, &step, &node_id, 1, 0);
  if (!status && is_control) status = tvi_schedule_compile_bodies(s, node_id, &control);
  for (uint32_t i = 0; !status && i < node->input_count; ++i)
    status = add_host_input(s, node->inputs[i], &step);
  for (size_t i = 0; !status && i < control.captures.count; ++i)
    status = add_host_input(s, control.captures.data[i], &step);
  for (uint32_t i = 0; !status && i < node->output_count; ++i)
    status = add_host_output(s, node->outputs[i], i, &step);
  if (!status) {
    status = is_control ? tvi_schedule_emit_control(s, node_id, &control, &step)
                        : encode_attributes(s, node, &step);
  }
  if (!status) status = tvi_vector_push(&s->steps, step);
  tvi_sched_control_deinit(&control);
  if (status) tvi_sched_step_deinit(&step);
  return status;
}

// Makes |buffer|, of the value's size, the place of the value.
static void take_buffer(tvi_schedule_t* s, tvi_value_id_t value, uint32_t buffer) {
  tvi_place_t* place = &s->places[value];
  place->buffer = buffer;
  place->offset = tvi_dim_constant(s->graph->dims, 0);
  tvi_schedule_dense_strides(s, &tvi_graph_value(s->graph, value)->type, &s->layouts[value],
                             place->strides);
}

// The value is computed into the caller's |buffer| if it lies there dense and plain then: it itself
// or, where it is a view, what it is a view of. Otherwise it is copied at the end.
static trivet_status_t place_output(tvi_schedule_t* s, tvi_value_id_t value, uint32_t buffer) {
  const tvi_layout_t plain = tvi_layout_plain();
  tvi_value_id_t source = value;
  tvi_node_id_t producer = tvi_graph_value(s->graph, source)->producer;
  while (producer && s->cover->facts[producer].node_class == TVI_NODE_VIEW &&
         s->cover->facts[producer].region == TVI_COVER_NONE) {
    source = tvi_graph_node(s->graph, producer)->inputs[0];
    producer = tvi_graph_value(s->graph, source)->producer;
  }
  if (!producer || s->cover->facts[producer].region == TVI_COVER_NONE ||
      s->places[source].buffer != TVI_SCHEDULE_NONE ||
      tvi_schedule_value_size(s, source) != tvi_schedule_value_size(s, value)) {
    return TRIVET_OK;
  }
  const tvi_value_id_t concat = s->concat_parent[source];
  tvi_place_t place;
  bool found = false;
  s->concat_parent[source] = 0;
  take_buffer(s, source, buffer);
  TRIVET_RETURN_IF_ERROR(tvi_schedule_locate(s, value, &place, &found));
  if (!found || !tvi_schedule_place_is_dense(s, value, &place, &plain)) {
    s->places[source].buffer = TVI_SCHEDULE_NONE;
    s->concat_parent[source] = concat;
  }
  return TRIVET_OK;
}

// Inputs and outputs of the graph are the caller's memory, dense and plain.
static trivet_status_t place_bindings(tvi_schedule_t* s) {
  for (uint32_t i = 0; i < s->graph->input_count + s->graph->output_count; ++i) {
    bool is_output = i >= s->graph->input_count;
    const tvi_named_value_t* binding =
        is_output ? &s->graph->outputs[i - s->graph->input_count] : &s->graph->inputs[i];
    tvi_value_id_t value = binding->value;
    uint32_t buffer = 0;
    TRIVET_RETURN_IF_ERROR_ANNOTATED(
        tvi_schedule_add_buffer(s, TVI_PLAN_BUFFER_BINDING, i, tvi_schedule_value_size(s, value),
                                &buffer),
        "%s '%.*s'", is_output ? "output" : "input", (int)binding->name.size, binding->name.data);
    if (is_output) {
      TRIVET_RETURN_IF_ERROR(place_output(s, value, buffer));
    } else {
      take_buffer(s, value, buffer);
    }
  }
  return TRIVET_OK;
}

static trivet_status_t finish_outputs(tvi_schedule_t* s) {
  tvi_layout_t plain = tvi_layout_plain();
  for (uint32_t i = 0; i < s->graph->output_count; ++i) {
    tvi_value_id_t value = s->graph->outputs[i].value;
    uint32_t buffer = s->graph->input_count + i;  // place_bindings made them first, in this order
    tvi_place_t from, to;
    TRIVET_RETURN_IF_ERROR(find_place(s, value, &from));
    if (from.buffer == buffer) continue;
    to.buffer = buffer;
    to.offset = tvi_dim_constant(s->graph->dims, 0);
    tvi_schedule_dense_strides(s, &tvi_graph_value(s->graph, value)->type, &plain, to.strides);
    TRIVET_RETURN_IF_ERROR(copy_value(s, value, &from, &to, "output"));
  }
  return TRIVET_OK;
}

trivet_status_t tvi_schedule_make_steps(tvi_schedule_t* s) {
  TRIVET_RETURN_IF_ERROR(place_bindings(s));
  for (uint32_t i = 0; i < s->cover->order_count; ++i) {
    uint32_t id = s->cover->order[i], axis = 0;
    TRIVET_RETURN_IF_ERROR(tvi_tactic_progress(s->tactics, "kernels", i, s->cover->order_count));
    const tvi_cover_region_t* region = &s->cover->regions.data[id];
    trivet_status_t status;
    if (!region->program) {
      status = host_region(s, id);
    } else if (tvi_schedule_is_concat(s, id, &axis)) {
      status = concat_region(s, id, axis);
    } else if (region->outputs.count) {
      status = program_region(s, id);
    } else {
      continue;  // nothing of it is used
    }
    if (status) {
      tvi_node_id_t first = region->nodes.data[0];
      return tvi_graph_annotate_error(s->graph, first, status);
    }
  }
  // Observed views keep a tensor, so that they can be dumped.
  for (uint32_t v = 1; v < s->graph->value_count; ++v) {
    if (!tvi_graph_value(s->graph, v)->observed || tvi_graph_value(s->graph, v)->dead) continue;
    tvi_place_t place;
    uint32_t tensor = 0;
    TRIVET_RETURN_IF_ERROR(find_place(s, v, &place));
    TRIVET_RETURN_IF_ERROR(tvi_schedule_add_tensor(s, v, &place, &tensor));
  }
  return finish_outputs(s);
}
