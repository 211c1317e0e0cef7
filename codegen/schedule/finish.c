// SPDX-License-Identifier: Apache-2.0
//
// The schedule as a tvi_plan_t: numbers for expressions, buffers, tensors and steps, nothing
// decided any more.
#include <string.h>

#include "codegen/schedule/schedule.h"
#include "core/base/byte_writer.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/dimension/dim_code.h"
#include "core/plan/memory_planner.h"

#define DEVICE_BINDING_ALIGNMENT 16

typedef struct finish_s {
  tvi_schedule_t* s;
  tvi_arena_t* arena;
  tvi_idmap_t expr_of;  // trivet_dim_t -> index
  TVI_VECTOR(tvi_plan_expr_code_t) exprs;
  uint32_t* constant_number;  // in the plan, of the schedule's constants; UINT32_MAX: left out
  uint32_t constant_count;
} finish_t;

static trivet_status_t expr(finish_t* f, trivet_dim_t dim, tvi_plan_expr_t* out_expr) {
  if (!dim) return TRIVET_STATUS(OUT_OF_RANGE, "an extent, stride or offset overflows 64 bits");
  uint64_t known = 0;
  if (tvi_idmap_get(&f->expr_of, (uint64_t)(uintptr_t)dim, &known)) {
    *out_expr = (tvi_plan_expr_t)known;
    return TRIVET_OK;
  }
  tvi_byte_writer_t writer;
  tvi_byte_writer_init(&writer, f->s->allocator);
  void* copy = NULL;
  trivet_status_t status = tvi_dim_code_encode(dim, NULL, 0, &writer);
  trivet_string_view_t bytes = tvi_string_builder_view(&writer.bytes);
  if (!status) status = tvi_arena_copy(f->arena, bytes.data, bytes.size, &copy);
  tvi_plan_expr_code_t code = {(const uint8_t*)copy, bytes.size};
  tvi_byte_writer_deinit(&writer);
  TRIVET_RETURN_IF_ERROR(status);
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&f->exprs, code));
  *out_expr = (tvi_plan_expr_t)f->exprs.count - 1;
  return tvi_idmap_set(&f->expr_of, (uint64_t)(uintptr_t)dim, *out_expr);
}

static uint32_t root_of(const tvi_schedule_t* s, uint32_t buffer) {
  while (s->buffers.data[buffer].merged != TVI_SCHEDULE_NONE)
    buffer = s->buffers.data[buffer].merged;
  return buffer;
}

static trivet_status_t copy_text(finish_t* f, trivet_string_view_t text,
                                 trivet_string_view_t* out_text) {
  return tvi_arena_strdup(f->arena, text, out_text);
}

// Buffers that no tensor looks at any more (merged, or never used) get no number.
static trivet_status_t buffers(finish_t* f, tvi_plan_program_t* program, uint32_t* number,
                               tvi_plan_buffer_t** out_buffers) {
  tvi_schedule_t* s = f->s;
  tvi_plan_buffer_t* made = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(f->arena, s->buffers.count + 1, sizeof(*made), &made));
  memset(number, 0xff, s->buffers.count * sizeof(uint32_t));
  uint8_t* used = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(f->arena, s->buffers.count + 1, 1, &used));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(f->arena, s->constants.count + 1, sizeof(uint32_t),
                                               &f->constant_number));
  memset(f->constant_number, 0xff, (s->constants.count + 1) * sizeof(uint32_t));
  for (size_t t = 0; t < s->tensors.count; ++t) used[s->tensors.data[t].place.buffer] = 1;
  for (uint32_t b = 0; b < s->buffers.count; ++b) {
    const tvi_sched_buffer_t* buffer = &s->buffers.data[b];
    if (buffer->merged != TVI_SCHEDULE_NONE) continue;
    if (buffer->kind == TVI_PLAN_BUFFER_ARENA && buffer->first == UINT32_MAX) continue;
    // Weights that a kernel packed are in the plan in their packed form only.
    if (buffer->kind == TVI_PLAN_BUFFER_CONSTANT && !used[b]) continue;
    tvi_plan_buffer_t* out = &made[program->buffer_count];
    number[b] = program->buffer_count++;
    out->kind = buffer->kind;
    out->index = buffer->index;
    if (buffer->kind == TVI_PLAN_BUFFER_CONSTANT) {
      uint32_t* constant = &f->constant_number[buffer->index];
      if (*constant == UINT32_MAX) *constant = f->constant_count++;
      out->index = *constant;
    }
    out->alignment = TVI_PLAN_WEIGHT_ALIGNMENT;
    out->memory = buffer->memory;
    out->first_step = buffer->first == UINT32_MAX ? 0 : buffer->first;
    out->last_step = buffer->last;
    TRIVET_RETURN_IF_ERROR(expr(f, buffer->size, &out->size));
  }
  for (uint32_t b = 0; b < s->buffers.count; ++b) number[b] = number[root_of(s, b)];
  program->buffers = *out_buffers = made;
  return TRIVET_OK;
}

static trivet_status_t tensor_of(finish_t* f, const tvi_sched_tensor_t* from,
                                 const uint32_t* number, tvi_plan_tensor_t* out) {
  tvi_schedule_t* s = f->s;
  memset(out, 0, sizeof(*out));
  if (from->value) {
    const tvi_value_t* value = tvi_graph_value(s->graph, from->value);
    if (value->name_count) TRIVET_RETURN_IF_ERROR(copy_text(f, value->names[0], &out->name));
  }
  out->dtype = from->dtype;
  out->rank = from->rank;
  out->flags = from->flags;
  out->buffer = number[from->place.buffer];
  // Offsets of values are in elements, those of plans in bytes.
  uint32_t bits = tvi_dtype_bits(from->dtype);
  trivet_dim_t offset =
      tvi_dim_binary(s->graph->dims, TRIVET_DIM_MUL, from->place.offset,
                     tvi_dim_constant(s->graph->dims, bits >= 8 ? bits / 8 : bits));
  if (bits < 8)
    offset = tvi_dim_binary(s->graph->dims, TRIVET_DIM_FLOORDIV, offset,
                            tvi_dim_constant(s->graph->dims, 8));
  TRIVET_RETURN_IF_ERROR(expr(f, offset, &out->offset));
  for (uint32_t d = 0; d < from->rank; ++d) {
    TRIVET_RETURN_IF_ERROR(expr(f, from->dims[d], &out->dims[d]));
    TRIVET_RETURN_IF_ERROR(expr(f, from->place.strides[d], &out->strides[d]));
  }
  return TRIVET_OK;
}

static trivet_status_t alternative_of(finish_t* f, const tvi_sched_step_t* from,
                                      tvi_plan_alternative_t* out) {
  TRIVET_RETURN_IF_ERROR(copy_text(f, from->kernel, &out->kernel));
  TRIVET_RETURN_IF_ERROR(copy_text(f, from->tactic, &out->tactic));
  out->kernel_version = from->kernel_version;
  out->operand_count = (uint32_t)from->operands.count;
  out->output_count = from->output_count;
  out->blob = from->blob;
  out->blob_size = from->blob_size;
  out->parameter_count = (uint32_t)from->parameters.count;
  out->requirement_count = (uint32_t)from->requirements.count;
  void* copy = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_copy(f->arena, from->operands.data,
                                        from->operands.count * sizeof(uint32_t), &copy));
  out->operands = (const uint32_t*)copy;
  TRIVET_RETURN_IF_ERROR(tvi_arena_copy(f->arena, from->requirements.data,
                                        from->requirements.count * sizeof(trivet_string_view_t),
                                        &copy));
  out->requirements = (const trivet_string_view_t*)copy;
  tvi_plan_expr_t* parameters = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(f->arena, from->parameters.count + 1,
                                               sizeof(*parameters), &parameters));
  for (size_t p = 0; p < from->parameters.count; ++p)
    TRIVET_RETURN_IF_ERROR(expr(f, from->parameters.data[p], &parameters[p]));
  out->parameters = parameters;
  return TRIVET_OK;
}

static trivet_status_t step_of(finish_t* f, tvi_sched_step_t* from, tvi_plan_step_t* out) {
  tvi_plan_alternative_t* alternatives = NULL;
  uint32_t count = (uint32_t)from->others.count + 1;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(f->arena, count, sizeof(*alternatives), &alternatives));
  for (uint32_t w = 0; w < count; ++w) {
    TRIVET_RETURN_IF_ERROR(alternative_of(f, tvi_sched_step_way(from, w), &alternatives[w]));
  }
  trivet_string_view_t made_by = {from->made_by, strlen(from->made_by)};
  out->kind = from->kind;
  out->alternatives = alternatives;
  out->alternative_count = count;
  out->bound_symbol_count = (uint32_t)from->bound.count;
  void* copy = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_copy(
      f->arena, from->bound.data, from->bound.count * sizeof(tvi_plan_bound_symbol_t), &copy));
  out->bound_symbols = (const tvi_plan_bound_symbol_t*)copy;
  TRIVET_RETURN_IF_ERROR(copy_text(f, made_by, &out->made_by));
  // Where nothing runs but the host, plans stay as they were before costs were known.
  if (from->flops && f->s->tactics->options.device) {
    tvi_plan_expr_t flops = 0;
    TRIVET_RETURN_IF_ERROR(expr(f, from->flops, &flops));
    out->flops = flops + 1;
  }
  return copy_text(f, from->name, &out->name);
}

// Bindings refer to tensors of their own: dense views of the caller's buffers.
static trivet_status_t tensors_and_bindings(finish_t* f, tvi_plan_t* plan,
                                            tvi_plan_program_t* program, const uint32_t* number) {
  tvi_schedule_t* s = f->s;
  const trivet_graph_t* graph = s->graph;
  uint32_t binding_count = graph->input_count + graph->output_count;
  tvi_plan_tensor_t* tensors = NULL;
  tvi_plan_binding_t* made = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      f->arena, s->tensors.count + binding_count + 1, sizeof(*tensors), &tensors));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(f->arena, binding_count + 1, sizeof(*made), &made));
  for (size_t t = 0; t < s->tensors.count; ++t) {
    TRIVET_RETURN_IF_ERROR(tensor_of(f, &s->tensors.data[t], number, &tensors[t]));
  }
  program->tensor_count = (uint32_t)s->tensors.count;
  tvi_layout_t plain = tvi_layout_plain();
  for (uint32_t i = 0; i < binding_count; ++i) {
    bool is_output = i >= graph->input_count;
    const tvi_named_value_t* named =
        is_output ? &graph->outputs[i - graph->input_count] : &graph->inputs[i];
    const trivet_type_t* type = &tvi_graph_value(graph, named->value)->type;
    tvi_sched_tensor_t tensor;
    memset(&tensor, 0, sizeof(tensor));
    tensor.value = named->value;
    tensor.dtype = type->dtype;
    tensor.rank = type->rank;
    memcpy(tensor.dims, type->dims, sizeof(tensor.dims));
    tensor.place.buffer = i;  // the schedule makes the buffers of bindings first
    tensor.place.offset = tvi_dim_constant(graph->dims, 0);
    tvi_schedule_dense_strides(s, type, &plain, tensor.place.strides);
    TRIVET_RETURN_IF_ERROR(tensor_of(f, &tensor, number, &tensors[program->tensor_count]));
    TRIVET_RETURN_IF_ERROR(copy_text(f, named->name, &made[i].name));
    made[i].mode = is_output ? TVI_PLAN_BINDING_OUTPUT : TVI_PLAN_BINDING_INPUT;
    made[i].tensor = program->tensor_count++;
    // What is aligned less is copied by the runtime, so that kernels may use wide accesses.
    made[i].alignment = s->tactics->options.device ? DEVICE_BINDING_ALIGNMENT : 1;
    made[i].alias = is_output ? s->buffers.data[i].alias : TVI_PLAN_NONE;
  }
  program->tensors = tensors;
  plan->bindings = made;
  plan->binding_count = binding_count;
  return TRIVET_OK;
}

// What the weight source writes from, in the plan's order.
static trivet_status_t constants(finish_t* f, tvi_plan_t* plan) {
  tvi_schedule_t* s = f->s;
  tvi_plan_constant_t* made = NULL;
  uint32_t* order = NULL;
  size_t room = (size_t)f->constant_count + 1;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(f->arena, room, sizeof(*made), &made));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(s->arena, room, sizeof(*order), &order));
  for (size_t c = 0; c < s->constants.count; ++c) {
    uint32_t number = f->constant_number[c];
    if (number == UINT32_MAX) continue;
    const tvi_sched_constant_t* from = &s->constants.data[c];
    tvi_plan_constant_t* to = &made[number];
    TRIVET_RETURN_IF_ERROR(copy_text(f, from->name, &to->name));
    to->dtype = from->dtype;
    to->rank = from->rank;
    memcpy(to->dims, from->dims, sizeof(to->dims));
    to->size = from->size;
    memcpy(to->hash, from->hash, sizeof(to->hash));
    order[number] = (uint32_t)c;
  }
  plan->constants = made;
  plan->constant_count = f->constant_count;
  s->constant_order = order;
  return TRIVET_OK;
}

static trivet_status_t symbols(finish_t* f, tvi_plan_t* plan) {
  const tvi_dim_context_t* dims = f->s->graph->dims;
  uint32_t count = tvi_dim_symbol_count(dims);
  tvi_plan_symbol_t* made = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(f->arena, count + 1, sizeof(*made), &made));
  for (uint32_t i = 0; i < count; ++i) {
    trivet_dim_t symbol = tvi_dim_symbol_at(dims, i);
    TRIVET_RETURN_IF_ERROR(copy_text(f, tvi_dim_symbol_name(symbol), &made[i].name));
    tvi_dim_range(dims, symbol, &made[i].min, &made[i].max);
    made[i].divisor = tvi_dim_divisor(dims, symbol);
    made[i].origin = (uint32_t)tvi_dim_symbol_origin(symbol);
  }
  plan->symbols = made;
  plan->symbol_count = count;
  return TRIVET_OK;
}

static trivet_status_t checks(finish_t* f, tvi_plan_program_t* program) {
  const trivet_graph_t* graph = f->s->graph;
  tvi_plan_guard_t* made = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(f->arena, graph->assumption_count + 1, sizeof(*made), &made));
  for (uint32_t i = 0; i < graph->assumption_count; ++i) {
    made[i].kind = TVI_PLAN_GUARD_EQ;
    TRIVET_RETURN_IF_ERROR(expr(f, graph->assumptions[i].a, &made[i].a));
    TRIVET_RETURN_IF_ERROR(expr(f, graph->assumptions[i].b, &made[i].b));
  }
  program->checks = made;
  program->check_count = graph->assumption_count;
  return TRIVET_OK;
}

// Plugins whose code the steps call. Operators given as text leave nothing to load.
static trivet_status_t plugins(finish_t* f, tvi_plan_t* plan) {
  tvi_schedule_t* s = f->s;
  uint32_t total = tvi_registry_plugin_count(s->tactics->registry);
  tvi_plan_plugin_t* made = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(f->arena, total + 1, sizeof(*made), &made));
  for (uint32_t p = 0; p < total; ++p) {
    const trivet_plugin_t* plugin = tvi_registry_plugin(s->tactics->registry, p);
    bool used = false;
    for (size_t i = 0; i < s->steps.count && !used; ++i) {
      // Ways before the last say themselves which plugin they require.
      const tvi_sched_step_t* step =
          tvi_sched_step_way(&s->steps.data[i], s->steps.data[i].others.count);
      for (uint64_t d = 0; d < plugin->definition_count && !used; ++d) {
        const trivet_header_t* header = (const trivet_header_t*)plugin->definitions[d];
        bool host = step->kind == TVI_PLAN_STEP_HOST;
        const char* name = NULL;
        // A kernel's build half may be a plugin's while the runtime itself holds the run half.
        if (!host && header->struct_type == TRIVET_STRUCT_KERNEL &&
            (((const trivet_kernel_t*)header)->halves & TRIVET_HALF_RUN) != 0) {
          name = ((const trivet_kernel_t*)header)->name;
        }
        if (host && header->struct_type == TRIVET_STRUCT_OPERATOR)
          name = ((const trivet_operator_t*)header)->name;
        used = name && strlen(name) == step->kernel.size &&
               memcmp(name, step->kernel.data, step->kernel.size) == 0;
        used = used || (header->struct_type == TRIVET_STRUCT_DEVICE &&
                        header == (const void*)s->tactics->options.device);
      }
    }
    for (size_t i = 0; i < s->body_plugins.count && !used; ++i)
      used = tvi_sv_equal_cstr(s->body_plugins.data[i], plugin->name);
    // The runtime brings the target's own kernels itself.
    if (!used || strcmp(tvi_registry_plugin_path(s->tactics->registry, p), "built in") == 0)
      continue;
    tvi_plan_plugin_t* out = &made[plan->plugin_count++];
    trivet_string_view_t name = {plugin->name, strlen(plugin->name)},
                         version = {plugin->version, strlen(plugin->version)};
    TRIVET_RETURN_IF_ERROR(copy_text(f, name, &out->name));
    TRIVET_RETURN_IF_ERROR(copy_text(f, version, &out->version));
  }
  plan->plugins = made;
  return TRIVET_OK;
}

static trivet_status_t arena_size(finish_t* f, const tvi_schedule_plan_options_t* options,
                                  tvi_plan_program_t* program, const uint32_t* number) {
  tvi_schedule_t* s = f->s;
  tvi_memory_item_t* items = NULL;
  uint64_t* offsets = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(f->arena, s->buffers.count + 1, sizeof(*items), &items));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(f->arena, s->buffers.count + 1, sizeof(*offsets), &offsets));
  uint32_t count = 0;
  for (size_t b = 0; b < s->buffers.count; ++b) {
    const tvi_sched_buffer_t* buffer = &s->buffers.data[b];
    if (buffer->kind != TVI_PLAN_BUFFER_ARENA || buffer->merged != TVI_SCHEDULE_NONE ||
        buffer->first == UINT32_MAX)
      continue;
    // The arena that counts is that of the target.
    if (s->tactics->options.device && buffer->memory != TRIVET_MEMORY_DEVICE) continue;
    int64_t size = 0;
    TRIVET_RETURN_IF_ERROR(
        tvi_dim_evaluate(buffer->size, options->symbols_max, options->symbol_count, &size));
    items[count].size = (uint64_t)size;
    items[count].alignment = TVI_PLAN_WEIGHT_ALIGNMENT;
    items[count].first = buffer->first;
    items[count].last = program->buffers[number[b]].last_step;
    ++count;
  }
  program->arena_lower_bound = tvi_memory_lower_bound(items, count);
  return tvi_memory_plan(items, count, s->allocator, offsets, &program->arena_size);
}

static trivet_status_t write_weight(void* self, uint32_t index, trivet_sink_t sink) {
  const tvi_schedule_t* s = (const tvi_schedule_t*)self;
  const tvi_sched_constant_t* constant = &s->constants.data[s->constant_order[index]];
  return constant->size ? sink.write(sink.self, constant->data, constant->size) : TRIVET_OK;
}

static trivet_status_t fill(finish_t* f, const tvi_schedule_plan_options_t* options,
                            tvi_plan_t* plan) {
  tvi_schedule_t* s = f->s;
  tvi_plan_program_t* program = NULL;
  tvi_plan_block_t* block = NULL;
  tvi_plan_step_t* steps = NULL;
  tvi_plan_buffer_t* made = NULL;
  uint32_t* number = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(f->arena, sizeof(*program), &program));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(f->arena, sizeof(*block), &block));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(f->arena, s->steps.count + 1, sizeof(*steps), &steps));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(f->arena, s->buffers.count + 1, sizeof(uint32_t), &number));
  trivet_string_view_t target = {options->target, strlen(options->target)};
  TRIVET_RETURN_IF_ERROR(copy_text(f, target, &program->target));
  TRIVET_RETURN_IF_ERROR(copy_text(f, options->name, &plan->name));
  TRIVET_RETURN_IF_ERROR(copy_text(f, options->build_info, &plan->build_info));
  TRIVET_RETURN_IF_ERROR(symbols(f, plan));
  TRIVET_RETURN_IF_ERROR(buffers(f, program, number, &made));
  TRIVET_RETURN_IF_ERROR(tensors_and_bindings(f, plan, program, number));
  for (size_t i = 0; i < s->steps.count; ++i)
    TRIVET_RETURN_IF_ERROR(step_of(f, &s->steps.data[i], &steps[i]));
  TRIVET_RETURN_IF_ERROR(constants(f, plan));
  TRIVET_RETURN_IF_ERROR(checks(f, program));
  TRIVET_RETURN_IF_ERROR(plugins(f, plan));
  block->step_count = (uint32_t)s->steps.count;
  block->steps = steps;
  program->blocks = block;
  program->block_count = 1;
  plan->programs = program;
  plan->program_count = 1;
  plan->profiles = options->profiles;
  plan->profile_count = options->profile_count;
  void* copy = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_copy(f->arena, f->exprs.data,
                                        f->exprs.count * sizeof(tvi_plan_expr_code_t), &copy));
  plan->exprs = (const tvi_plan_expr_code_t*)copy;
  plan->expr_count = (uint32_t)f->exprs.count;
  TRIVET_RETURN_IF_ERROR(tvi_schedule_put_in_queues(s, plan, program, steps, made));
  return arena_size(f, options, program, number);
}

trivet_status_t tvi_schedule_plan(tvi_schedule_t* s, const tvi_schedule_plan_options_t* options,
                                  tvi_arena_t* arena, tvi_plan_t* out_plan,
                                  tvi_plan_weight_source_t* out_weights) {
  finish_t f;
  memset(&f, 0, sizeof(f));
  f.s = s;
  f.arena = arena;
  tvi_idmap_init(&f.expr_of, s->allocator);
  tvi_vector_init(&f.exprs, s->allocator);
  tvi_plan_t plan;
  memset(&plan, 0, sizeof(plan));
  plan.arena = arena;
  trivet_status_t status = fill(&f, options, &plan);
  tvi_idmap_deinit(&f.expr_of);
  tvi_vector_deinit(&f.exprs);
  TRIVET_RETURN_IF_ERROR(status);
  *out_plan = plan;
  out_weights->self = s;
  out_weights->write = write_weight;
  return TRIVET_OK;
}
