// SPDX-License-Identifier: Apache-2.0
//
// Regions to steps: finds or makes the places of operands, asks for a tactic, lets its kernel write
// the step. Where a view cannot be expressed by strides, or no kernel takes an operand as it lies,
// a copy is made, which is a region like any other.
#include <stdio.h>
#include <string.h>

#include "codegen/schedule/programs.h"
#include "codegen/schedule/schedule.h"
#include "core/base/dtype.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/graph/graph_report.h"
#include "core/kernel_ir/fuse.h"
#include "core/kernel_ir/operator_text.h"
#include "core/plan/host_blob.h"

static trivet_status_t run_program(tvi_schedule_t* s, const tvi_kir_program_t* program,
                                   const tvi_node_id_t* nodes, uint32_t node_count,
                                   const tvi_region_operand_t* operands, uint32_t input_count,
                                   uint32_t output_count, const tvi_place_t* places,
                                   const char* made_by, uint32_t region_id);

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

// --- What kernels emit ------------------------------------------------------------------

typedef struct emitter_s {
  tvi_schedule_t* schedule;
  tvi_sched_step_t* step;
  const trivet_region_t* region;
  const tvi_place_t* places;
} emitter_t;

static trivet_status_t emit_operand(void* self, uint32_t index) {
  emitter_t* e = (emitter_t*)self;
  uint32_t count = e->region->input_count + e->region->output_count;
  if (index >= count) return TRIVET_STATUS(INTERNAL, "operand %u of %u emitted", index, count);
  uint32_t tensor = 0;
  TRIVET_RETURN_IF_ERROR(tvi_schedule_add_tensor(e->schedule, e->region->operands[index].value,
                                                 &e->places[index], &tensor));
  if (e->region->operands[index].is_output) ++e->step->output_count;
  return tvi_vector_push(&e->step->operands, tensor);
}

static trivet_status_t emit_absent(void* self) {
  return tvi_vector_push(&((emitter_t*)self)->step->operands, TVI_PLAN_NONE);
}

static trivet_status_t emit_packed(void* self, const tvi_packed_constant_t* packed) {
  emitter_t* e = (emitter_t*)self;
  tvi_schedule_t* s = e->schedule;
  tvi_sched_constant_t made;
  memset(&made, 0, sizeof(made));
  made.name = packed->name;
  made.dtype = packed->dtype;
  made.rank = packed->rank;
  memcpy(made.dims, packed->dims, sizeof(made.dims));
  made.size = packed->size;
  tvi_hash128_t hash = tvi_hash128(packed->data, packed->size, packed->dtype);
  made.hash[0] = hash.low;
  made.hash[1] = hash.high;
  void* data = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_copy(s->arena, packed->data, packed->size, &data));
  made.data = data;
  uint32_t index = 0, buffer = 0;
  TRIVET_RETURN_IF_ERROR(tvi_schedule_add_constant(s, &made, &index));
  trivet_dim_t size = tvi_dim_constant(s->graph->dims, (int64_t)packed->size);
  TRIVET_RETURN_IF_ERROR(
      tvi_schedule_add_buffer(s, TVI_PLAN_BUFFER_CONSTANT, index, size, &buffer));
  tvi_sched_tensor_t tensor;
  memset(&tensor, 0, sizeof(tensor));
  tensor.dtype = packed->dtype;
  tensor.rank = packed->rank;
  tensor.place.buffer = buffer;
  tensor.place.offset = tvi_dim_constant(s->graph->dims, 0);
  trivet_dim_t stride = tvi_dim_constant(s->graph->dims, 1);
  for (uint32_t d = packed->rank; d-- > 0;) {
    tensor.dims[d] = tvi_dim_constant(s->graph->dims, packed->dims[d]);
    tensor.place.strides[d] = stride;
    stride = tvi_dim_binary(s->graph->dims, TRIVET_DIM_MUL, stride, tensor.dims[d]);
  }
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&s->tensors, tensor));
  return tvi_vector_push(&e->step->operands, (uint32_t)s->tensors.count - 1);
}

static trivet_status_t emit_parameter(void* self, trivet_dim_t dim) {
  if (!dim) return TRIVET_STATUS(OUT_OF_RANGE, "a parameter of a step overflows 64 bits");
  return tvi_vector_push(&((emitter_t*)self)->step->parameters, dim);
}

static trivet_status_t emit_blob(void* self, const void* data, uint64_t size) {
  emitter_t* e = (emitter_t*)self;
  void* copy = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_copy(e->schedule->arena, data, size, &copy));
  e->step->blob = (const uint8_t*)copy;
  e->step->blob_size = size;
  return TRIVET_OK;
}

static trivet_status_t emit_require(void* self, const char* requirement) {
  emitter_t* e = (emitter_t*)self;
  trivet_string_view_t view = {requirement, strlen(requirement)}, kept;
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(e->schedule->arena, view, &kept));
  return tvi_vector_push(&e->step->requirements, kept);
}

static trivet_status_t emit_in_place(void* self, uint32_t input) {
  emitter_t* e = (emitter_t*)self;
  if (input == TRIVET_REGION_NONE) e->step->is_apart = true;
  if (input < 31) e->step->in_place_inputs |= 1u << input;
  return TRIVET_OK;
}

// --- Steps ------------------------------------------------------------------------------

static void init_step(const tvi_schedule_t* s, tvi_sched_step_t* step, uint32_t region) {
  memset(step, 0, sizeof(*step));
  tvi_vector_init(&step->operands, s->allocator);
  tvi_vector_init(&step->parameters, s->allocator);
  tvi_vector_init(&step->requirements, s->allocator);
  tvi_vector_init(&step->bound, s->allocator);
  tvi_vector_init(&step->others, s->allocator);
  step->region = region;
}

void tvi_sched_step_deinit(tvi_sched_step_t* step) {
  for (size_t i = 0; i < step->others.count; ++i) tvi_sched_step_deinit(&step->others.data[i]);
  tvi_vector_deinit(&step->operands);
  tvi_vector_deinit(&step->parameters);
  tvi_vector_deinit(&step->requirements);
  tvi_vector_deinit(&step->bound);
  tvi_vector_deinit(&step->others);
}

tvi_sched_step_t* tvi_sched_step_way(tvi_sched_step_t* step, size_t index) {
  if (index == 0) return step;
  return index <= step->others.count ? &step->others.data[index - 1] : NULL;
}

// "conv1 + relu1": the original nodes, at most eight of them. The copy of a value that no node made
// is called like |value|.
static trivet_status_t name_step(tvi_schedule_t* s, tvi_sched_step_t* step,
                                 const tvi_node_id_t* nodes, uint32_t count, tvi_value_id_t value) {
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, s->allocator);
  const tvi_value_t* v = tvi_graph_value(s->graph, value);
  if (count == 0 && v->name_count) tvi_string_builder_append(&text, v->names[0]);
  for (uint32_t i = 0; i < count && i < 8; ++i) {
    if (i) tvi_string_builder_append_cstr(&text, " + ");
    tvi_graph_describe_node(s->graph, nodes[i], 4, &text);
  }
  if (count > 8) tvi_string_builder_appendf(&text, " + %u more", count - 8);
  trivet_status_t status = tvi_string_builder_status(&text);
  if (!status) status = tvi_arena_strdup(s->arena, tvi_string_builder_view(&text), &step->name);
  tvi_string_builder_deinit(&text);
  return status;
}

// Inputs whose every load is at the position that the output writes.
static uint32_t read_in_place(const trivet_region_t* region) {
  const tvi_kir_program_t* program = region->program;
  if (!program || region->output_count != 1) return 0;
  uint32_t mask = region->input_count < 31 ? (1u << region->input_count) - 1 : 0;
  for (uint32_t st = 0; st < program->stage_count; ++st) {
    const tvi_kir_stage_t* stage = &program->stages[st];
    if (stage->kind != TVI_KIR_MAP) return 0;
    for (uint32_t i = 0; i < stage->instr_count; ++i) {
      if (stage->instrs[i].opcode != TVI_KIR_LOAD) continue;
      const tvi_kir_load_t* load = stage->instrs[i].imm.load;
      const tvi_kir_value_t* value = &program->values[load->value];
      if (value->kind != TVI_KIR_INPUT) continue;
      bool same = load->index_count == stage->parallel_count;
      for (uint32_t d = 0; same && d < load->index_count; ++d) {
        const tvi_kir_instr_t* index = &stage->instrs[load->indices[d]];
        same = (index->opcode == TVI_KIR_INDEX && index->imm.i64 == d) ||
               tvi_dim_equals_constant(value->dims[d], 1);
        same = same && stage->extents[d] == value->dims[d];
      }
      for (uint32_t k = 0; !same && k < region->input_count; ++k) {
        if (region->operands[k].value == value->tag) mask &= ~(1u << k);
      }
    }
  }
  return mask;
}

// Operations on numbers as the program says them, whatever a kernel makes of it. NULL: not known.
static trivet_dim_t flops_of(tvi_dim_context_t* dims, const tvi_kir_program_t* program) {
  trivet_dim_t sum = program ? tvi_dim_constant(dims, 0) : NULL;
  for (uint32_t i = 0; sum && i < program->stage_count; ++i) {
    tvi_kir_cost_t cost;
    tvi_kir_stage_cost(program, i, &cost);
    if (!cost.positions) return NULL;
    trivet_dim_t each = tvi_dim_constant(dims, (int64_t)cost.flops + cost.transcendentals);
    trivet_dim_t all = each ? tvi_dim_binary(dims, TRIVET_DIM_MUL, cost.positions, each) : NULL;
    sum = all ? tvi_dim_binary(dims, TRIVET_DIM_ADD, sum, all) : NULL;
  }
  return sum;
}

// Inputs of the region that the output may overwrite, whichever way is taken.
static uint32_t in_place_mask(const trivet_region_t* region, tvi_sched_step_t* step) {
  const uint32_t read = read_in_place(region);
  uint32_t mask = region->output_count == 1 ? UINT32_MAX : 0;
  for (size_t i = 0; i <= step->others.count; ++i) {
    const tvi_sched_step_t* way = tvi_sched_step_way(step, i);
    mask &= way->is_apart ? 0 : read | way->in_place_inputs;
  }
  return mask;
}

// One way to do the step: what the tactic's kernel emits. After an error the caller frees |step|.
static trivet_status_t emit_way(tvi_schedule_t* s, const trivet_region_t* region,
                                const tvi_place_t* places, const tvi_tactic_t* tactic,
                                tvi_sched_step_t* step) {
  step->kind = TVI_PLAN_STEP_LAUNCH;
  step->made_by = region->made_by;
  step->flops = flops_of(s->graph->dims, region->program);
  step->price = tactic->price;
  trivet_string_view_t name = {tactic->name, strlen(tactic->name)};
  TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(s->arena, name, &step->tactic));
  tvi_arena_t scratch;
  tvi_arena_init(&scratch, s->allocator, 1 << 16);
  emitter_t emitter = {s, step, region, places};
  struct trivet_emission_s emission = {.api = tvi_emission_api(),
                                       .self = &emitter,
                                       .arena = &scratch,
                                       .add_operand = emit_operand,
                                       .add_absent = emit_absent,
                                       .add_packed = emit_packed,
                                       .add_parameter = emit_parameter,
                                       .set_blob = emit_blob,
                                       .require = emit_require,
                                       .in_place = emit_in_place};
  const trivet_kernel_t* kernel = tactic->kernel;
  trivet_status_t status =
      tvi_kernel_emit(s->tactics->registry, region, tactic, &emission, &kernel);
  tvi_arena_deinit(&scratch);
  step->kernel.data = kernel->name;
  step->kernel.size = strlen(kernel->name);
  step->kernel_version = kernel->version;
  if (!status && step->output_count != region->output_count) {
    status = TRIVET_STATUS(INTERNAL, "kernel %s emitted %u outputs for a region of %u",
                           tactic->kernel->name, step->output_count, region->output_count);
  }
  return status;
}

static uint32_t buffer_of(const tvi_schedule_t* s, const tvi_sched_step_t* step, size_t k) {
  if (step->operands.data[k] == TVI_PLAN_NONE) return TVI_SCHEDULE_NONE;
  return s->tensors.data[step->operands.data[k]].place.buffer;
}

// Whether |step|, whose operands say what lives when, touches all that |other| touches.
static bool covers(const tvi_schedule_t* s, const tvi_sched_step_t* step,
                   const tvi_sched_step_t* other) {
  for (size_t k = 0; k < other->operands.count; ++k) {
    uint32_t buffer = buffer_of(s, other, k);
    bool found =
        buffer == TVI_SCHEDULE_NONE || s->buffers.data[buffer].kind == TVI_PLAN_BUFFER_CONSTANT;
    for (size_t j = 0; j < step->operands.count && !found; ++j) {
      found = buffer_of(s, step, j) == buffer;
    }
    if (!found) return false;
  }
  return true;
}

// Where the kernel's code lies in another plugin than the device's, a machine without that plugin
// falls back on a later way.
static trivet_status_t require_plugin(tvi_schedule_t* s, tvi_sched_step_t* step) {
  const tvi_registry_t* registry = s->tactics->registry;
  for (uint32_t p = 0; p < tvi_registry_plugin_count(registry); ++p) {
    const trivet_plugin_t* plugin = tvi_registry_plugin(registry, p);
    bool has_kernel = false, has_device = false;
    for (uint64_t d = 0; d < plugin->definition_count; ++d) {
      const trivet_header_t* header = (const trivet_header_t*)plugin->definitions[d];
      has_device = has_device || header == (const void*)s->tactics->options.device;
      if (header->struct_type != TRIVET_STRUCT_KERNEL) continue;
      const char* name = ((const trivet_kernel_t*)header)->name;
      has_kernel = has_kernel || (strlen(name) == step->kernel.size &&
                                  memcmp(name, step->kernel.data, step->kernel.size) == 0);
    }
    if (!has_kernel || has_device ||
        strcmp(tvi_registry_plugin_path(registry, p), "built in") == 0) {
      continue;
    }
    char text[160];
    trivet_string_view_t view = {text, 0}, kept;
    view.size = (size_t)snprintf(text, sizeof(text), "plugin:%s", plugin->name);
    bool is_known = view.size >= sizeof(text);
    for (size_t r = 0; r < step->requirements.count && !is_known; ++r) {
      is_known = tvi_sv_equal(step->requirements.data[r], view);
    }
    if (is_known) continue;
    TRIVET_RETURN_IF_ERROR(tvi_arena_strdup(s->arena, view, &kept));
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&step->requirements, kept));
  }
  return TRIVET_OK;
}

static trivet_status_t emit_other(tvi_schedule_t* s, const trivet_region_t* region,
                                  const tvi_place_t* places, const tvi_tactic_t* tactic,
                                  tvi_sched_step_t* step) {
  tvi_sched_step_t other;
  init_step(s, &other, step->region);
  trivet_status_t status = emit_way(s, region, places, tactic, &other);
  bool is_taken = !status && covers(s, step, &other);
  if (is_taken) status = tvi_vector_push(&step->others, other);
  if (status || !is_taken) tvi_sched_step_deinit(&other);
  return status;
}

// Ways behind the first are offers: what cannot be emitted is left out.
static trivet_status_t emit_others(tvi_schedule_t* s, const trivet_region_t* region,
                                   const tvi_place_t* places, const tvi_tactic_choice_t* choice,
                                   tvi_sched_step_t* step) {
  for (uint32_t i = 1; i < choice->count; ++i) {
    const tvi_tactic_t* tactic = &choice->tactics[i];
    trivet_status_t status = emit_other(s, region, places, tactic, step);
    if (trivet_status_code(status) == TRIVET_STATUS_OUT_OF_MEMORY) return status;
    if (!status) continue;
    tvi_tactic_note(s->tactics, tactic->kernel->name, s->graph,
                    region->node_count ? region->nodes[0] : 0, true, "%s: %s", tactic->name,
                    trivet_status_message(status));
    trivet_status_free(status);
  }
  for (size_t i = 0; i < step->others.count; ++i) {
    TRIVET_RETURN_IF_ERROR(require_plugin(s, tvi_sched_step_way(step, i)));
  }
  return TRIVET_OK;
}

// Bytes of a value at the shapes to optimise for; 0 where they are not known.
static uint64_t value_bytes(const tvi_schedule_t* s, const tvi_kir_value_t* value) {
  uint64_t bytes = tvi_dtype_bytes(value->dtype);
  for (uint32_t d = 0; d < value->rank; ++d) {
    int64_t extent = 0;
    trivet_status_t status = tvi_dim_evaluate(value->dims[d], s->tactics->options.symbols,
                                              s->tactics->options.symbol_count, &extent);
    trivet_status_free(status);
    bytes *= (uint64_t)extent;
  }
  return bytes;
}

static void count_reformat(tvi_schedule_t* s, const tvi_kir_program_t* program) {
  ++s->reformat_count;
  for (uint32_t v = 0; v < program->value_count; ++v)
    s->reformat_bytes += value_bytes(s, &program->values[v]);
}

// Counts a step whose result is what it loads, in another type.
static void count_cast(tvi_schedule_t* s, const tvi_kir_program_t* program) {
  if (!program || program->stage_count != 1 || program->stages[0].kind != TVI_KIR_MAP) return;
  const tvi_kir_stage_t* stage = &program->stages[0];
  const tvi_kir_instr_t* result = &stage->instrs[stage->results[0]];
  if (result->opcode != TVI_KIR_CAST || stage->instrs[result->args[0]].opcode != TVI_KIR_LOAD)
    return;
  ++s->cast_count;
  for (uint32_t v = 0; v < program->value_count; ++v)
    s->cast_bytes += value_bytes(s, &program->values[v]);
}

static trivet_status_t emit_step(tvi_schedule_t* s, const trivet_region_t* region,
                                 const tvi_place_t* places, const tvi_tactic_choice_t* choice,
                                 uint32_t region_id) {
  tvi_sched_step_t step;
  init_step(s, &step, region_id);
  trivet_status_t status = emit_way(s, region, places, &choice->tactics[0], &step);
  if (!status)
    status = name_step(s, &step, region->nodes, region->node_count, region->operands[0].value);
  if (!status) status = emit_others(s, region, places, choice, &step);
  // Bits of the mask refer to the region's operands, those of the step to what the kernel emitted.
  uint32_t mask = in_place_mask(region, &step);
  for (size_t k = 0; !status && k < step.operands.count && k < 31; ++k) {
    if (step.operands.data[k] == TVI_PLAN_NONE) continue;
    const tvi_sched_tensor_t* tensor = &s->tensors.data[step.operands.data[k]];
    for (uint32_t i = 0; i < region->input_count && i < 31; ++i) {
      if ((mask >> i & 1) && region->operands[i].value == tensor->value) step.in_place |= 1u << k;
    }
  }
  if (!status) status = tvi_vector_push(&s->steps, step);
  if (status) {
    tvi_sched_step_deinit(&step);
  } else {
    count_cast(s, region->program);
  }
  return status;
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
                                   const char* made_by, uint32_t region_id) {
  trivet_region_t region;
  make_region(s, program, nodes, node_count, operands, input_count, output_count, made_by, &region);
  tvi_tactic_choice_t choice;
  TRIVET_RETURN_IF_ERROR(tvi_tactic_choose(s->tactics, &region, &choice));
  return emit_step(s, &region, places, &choice, region_id);
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
  count_reformat(s, program);
  return run_program(s, program, &producer, producer ? 1 : 0, operands, 1, 1, places, made_by,
                     TVI_COVER_NONE);
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
  count_reformat(s, program);
  return run_program(s, program, &value->producer, 1, operands, 1, 1, places, "view",
                     TVI_COVER_NONE);
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
    return run_program(s, program, NULL, 0, operands, 0, 1, &s->places[id], "shape-values",
                       TVI_COVER_NONE);
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
  count_reformat(s, copy);
  return run_program(s, copy, &producer, 1, operands, 1, 1, places, "view", TVI_COVER_NONE);
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
  bool channels_last;  // the order that the region was priced in
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
    tvi_layout_t plain = tvi_layout_plain();
    uint32_t rank = tvi_graph_value(s->graph, values[i])->type.rank;
    if (!tvi_layout_equal(&s->layouts[values[i]], &plain, rank)) l.channels_last = true;
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
  return status ? status : emit_step(s, &asked, l.places, &choice, id);
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
  if (!tvi_tactic_takes_host_functions(s->tactics)) return TRIVET_OK;
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
  return emit_step(s, &asked, places, &choice, id);
}

static trivet_status_t host_region(tvi_schedule_t* s, uint32_t id) {
  bool taken = false;
  TRIVET_RETURN_IF_ERROR(offer_host_region(s, id, &taken));
  if (taken) return TRIVET_OK;
  const tvi_cover_region_t* region = &s->cover->regions.data[id];
  tvi_node_id_t node_id = region->nodes.data[0];
  const tvi_node_t* node = tvi_graph_node(s->graph, node_id);
  if (node->subgraph_count || !node->op->definition->evaluate) {
    return tvi_graph_node_error(s->graph, node_id, TRIVET_STATUS_UNIMPLEMENTED,
                                "operator %s cannot be compiled for target %s",
                                node->op->definition->name, s->tactics->options.target);
  }
  tvi_sched_step_t step;
  init_step(s, &step, id);
  step.kind = TVI_PLAN_STEP_HOST;
  step.kernel.data = node->op->definition->name;
  step.kernel.size = strlen(step.kernel.data);
  step.kernel_version = node->op->definition->version;
  step.made_by = "host";
  trivet_status_t status = name_step(s, &step, &node_id, 1, 0);
  for (uint32_t i = 0; !status && i < node->input_count; ++i) {
    uint32_t tensor = TVI_PLAN_NONE;
    tvi_place_t place;
    if (node->inputs[i]) status = find_dense_place(s, node->inputs[i], false, &place);
    if (!status && node->inputs[i])
      status = tvi_schedule_add_tensor(s, node->inputs[i], &place, &tensor);
    if (!status) status = tvi_vector_push(&step.operands, tensor);
  }
  for (uint32_t i = 0; !status && i < node->output_count; ++i) {
    uint32_t tensor = TVI_PLAN_NONE;
    tvi_value_id_t value = node->outputs[i];
    if (value) {
      s->concat_parent[value] = 0;
      s->layouts[value] = tvi_layout_plain();
      status = tvi_schedule_allocate(s, value);
      if (!status) status = tvi_schedule_add_tensor(s, value, &s->places[value], &tensor);
      const trivet_type_t* type = &tvi_graph_value(s->graph, value)->type;
      for (uint32_t d = 0; !status && d < type->rank; ++d) {
        if (tvi_dim_kind(type->dims[d]) != TVI_DIM_SYMBOL ||
            tvi_dim_symbol_origin(type->dims[d]) != TVI_SYMBOL_DATA)
          continue;
        tvi_plan_bound_symbol_t bound = {tvi_dim_symbol_index(type->dims[d]), i, d};
        status = tvi_vector_push(&step.bound, bound);
      }
    }
    if (!status) status = tvi_vector_push(&step.operands, tensor);
    ++step.output_count;
  }
  if (!status) status = encode_attributes(s, node, &step);
  if (!status) status = tvi_vector_push(&s->steps, step);
  if (status) tvi_sched_step_deinit(&step);
  return status;
}

// Inputs and outputs of the graph are the caller's memory, dense and plain.
static trivet_status_t place_bindings(tvi_schedule_t* s) {
  tvi_layout_t plain = tvi_layout_plain();
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
    tvi_node_id_t producer = tvi_graph_value(s->graph, value)->producer;
    bool computed = producer && s->cover->facts[producer].region != TVI_COVER_NONE;
    tvi_place_t* place = &s->places[value];
    if (is_output && (!computed || place->buffer != TVI_SCHEDULE_NONE))
      continue;  // copied at the end
    if (is_output &&
        !tvi_layout_equal(&s->layouts[value], &plain, tvi_graph_value(s->graph, value)->type.rank))
      continue;
    s->concat_parent[value] = 0;
    place->buffer = buffer;
    place->offset = tvi_dim_constant(s->graph->dims, 0);
    tvi_schedule_dense_strides(s, &tvi_graph_value(s->graph, value)->type, &plain, place->strides);
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
