// SPDX-License-Identifier: Apache-2.0
//
// One step: what the kernels of its tactics emit, what it is called, which operands it may
// overwrite, what it costs. Called by steps.c, which has chosen tactics and places.
#include <stdio.h>
#include <string.h>

#include "codegen/schedule/schedule.h"
#include "core/base/dtype.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/graph/graph_report.h"
#include "core/kernel_ir/fuse.h"

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

void tvi_sched_step_init(const tvi_schedule_t* s, tvi_sched_step_t* step, uint32_t region) {
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

trivet_status_t tvi_schedule_name_step(tvi_schedule_t* s, tvi_sched_step_t* step,
                                       const tvi_node_id_t* nodes, uint32_t count,
                                       tvi_value_id_t value) {
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
  tvi_sched_step_init(s, &other, step->region);
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
// Whether a step's result is what it loads, in another type.
static bool is_cast(const tvi_kir_program_t* program) {
  if (!program || program->stage_count != 1 || program->stages[0].kind != TVI_KIR_MAP) return false;
  const tvi_kir_stage_t* stage = &program->stages[0];
  const tvi_kir_instr_t* result = &stage->instrs[stage->results[0]];
  return result->opcode == TVI_KIR_CAST && stage->instrs[result->args[0]].opcode == TVI_KIR_LOAD;
}

trivet_status_t tvi_schedule_emit_step(tvi_schedule_t* s, const trivet_region_t* region,
                                       const tvi_place_t* places, const tvi_tactic_choice_t* choice,
                                       uint32_t region_id) {
  tvi_sched_step_t step;
  tvi_sched_step_init(s, &step, region_id);
  trivet_status_t status = emit_way(s, region, places, &choice->tactics[0], &step);
  if (!status)
    status = tvi_schedule_name_step(s, &step, region->nodes, region->node_count,
                                    region->operands[0].value);
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
  // tvi_plan_count_moves tells casts by this name.
  if (is_cast(region->program)) step.made_by = "cast";
  if (!status) status = tvi_vector_push(&s->steps, step);
  if (status) tvi_sched_step_deinit(&step);
  return status;
}
