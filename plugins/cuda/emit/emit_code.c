// SPDX-License-Identifier: Apache-2.0
//
// A schedule to a text: one kernel per group, the workspace between them, the list of launches. See
// emit_code.h.
#include "plugins/cuda/emit/emit_code.h"

#include <stdio.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/dimension/dimension.h"
#include "core/kernel_ir/fuse.h"
#include "plugins/cuda/emit/emit_print.h"

// Bytes of an input that are worth asking for ahead: fewer cost as much as they save, more would
// throw out of the cache what others need.
#define LEAST_AHEAD (16u << 10)
#define MOST_AHEAD (16u << 20)

#define WORKSPACE_ALIGNMENT 256

static bool is_row_group(const tvi_cuda_printer_t* p) {
  for (uint32_t i = 0; i < p->group->stage_count; ++i) {
    const uint32_t stage = p->schedule->order[p->group->stage_first + i];
    if (p->program->stages[stage].kind == TVI_KIR_REDUCE) return true;
  }
  return false;
}

static void choose_shape(tvi_cuda_printer_t* p) {
  if (p->group->is_scan) {
    memset(&p->shape, 0, sizeof(p->shape));
    p->shape.vector = 1;
  } else if (is_row_group(p)) {
    tvi_cuda_choose_row_shape(p);
  } else {
    tvi_cuda_choose_map_shape(p);
  }
}

// ---------------------------------------------------------------------------------------------
// Values
// ---------------------------------------------------------------------------------------------

static trivet_status_t dense_strides(tvi_cuda_printer_t* p, uint32_t v) {
  const tvi_kir_value_t* value = &p->program->values[v];
  trivet_dim_t stride = tvi_dim_constant(p->program->dims, 1);
  for (uint32_t d = value->rank; d-- > 0;) {
    p->strides[v][d] = stride;
    stride = tvi_dim_binary(p->program->dims, TRIVET_DIM_MUL, stride, value->dims[d]);
    if (!stride)
      return TRIVET_STATUS(OUT_OF_RANGE, "the shape of '%s' overflows 64 bits", value->name);
  }
  return TRIVET_OK;
}

static trivet_status_t place_operands(tvi_cuda_printer_t* p, const tvi_kir_program_t* given,
                                      uint32_t* operand_of_value) {
  for (uint32_t v = 0; v < p->program->value_count; ++v) {
    const tvi_kir_value_t* value = &p->program->values[v];
    if (!tvi_dtype_is_real(value->dtype))
      return TRIVET_STATUS(UNIMPLEMENTED, "value '%s' has element type %s", value->name,
                           tvi_dtype_name(value->dtype));
    TRIVET_RETURN_IF_ERROR(dense_strides(p, v));
  }
  // Inputs and outputs are in the order of the program that was given; inputs first.
  for (int outputs = 0; outputs < 2; ++outputs) {
    uint32_t given_value = 0;
    for (uint32_t v = 0; v < p->program->value_count; ++v) {
      const tvi_kir_value_t* value = &p->program->values[v];
      if (value->kind == TVI_KIR_TEMP) continue;
      while (given_value < given->value_count && given->values[given_value].kind == TVI_KIR_TEMP)
        ++given_value;
      if (given_value == given->value_count)
        return TRIVET_STATUS(INTERNAL, "an operand has vanished");
      const uint32_t number = given_value++;
      if (value->kind != (outputs ? TVI_KIR_OUTPUT : TVI_KIR_INPUT)) continue;
      if (p->options->strides && p->options->strides[number])
        memcpy(p->strides[v], p->options->strides[number], sizeof(p->strides[v]));
      operand_of_value[v] = (uint32_t)p->code->operands.count;
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&p->code->operands, number));
    }
  }
  return TRIVET_OK;
}

// Values of a row that does not fit registers go through memory.
static void store_long_rows(tvi_cuda_printer_t* p) {
  if (p->shape.lanes == 0 || p->shape.chunks != 0 || p->group->is_scan) return;
  for (uint32_t i = 0; i < p->group->stage_count; ++i) {
    const uint32_t stage = p->schedule->order[p->group->stage_first + i];
    const uint32_t value = p->program->stages[stage].values[0];
    if (p->schedule->stages[stage].has_inner && p->program->values[value].kind == TVI_KIR_TEMP &&
        tvi_kir_value_read_count(p->program, value) > 0)
      p->schedule->is_stored[value] = 1;
  }
}

static trivet_status_t place_temporaries(tvi_cuda_printer_t* p) {
  tvi_dim_context_t* dims = p->program->dims;
  const trivet_dim_t alignment = tvi_dim_constant(dims, WORKSPACE_ALIGNMENT);
  trivet_dim_t size = tvi_dim_constant(dims, 0);
  for (uint32_t v = 0; v < p->program->value_count; ++v) {
    const tvi_kir_value_t* value = &p->program->values[v];
    if (value->kind != TVI_KIR_TEMP || !p->schedule->is_stored[v]) continue;
    p->workspace_offsets[v] = size;
    trivet_dim_t bytes = tvi_dim_constant(dims, tvi_dtype_bytes(tvi_cuda_stored_dtype(value)));
    for (uint32_t d = 0; d < value->rank; ++d)
      bytes = tvi_dim_binary(dims, TRIVET_DIM_MUL, bytes, value->dims[d]);
    bytes = tvi_dim_binary(dims, TRIVET_DIM_MUL, alignment,
                           tvi_dim_binary(dims, TRIVET_DIM_CEILDIV, bytes, alignment));
    size = tvi_dim_binary(dims, TRIVET_DIM_ADD, size, bytes);
    if (!size) return TRIVET_STATUS(OUT_OF_RANGE, "the workspace overflows 64 bits");
  }
  for (uint32_t g = 0; g < p->schedule->group_count && !p->status; ++g) {
    p->group = &p->schedule->groups[g];
    tvi_cuda_collect_accesses(p);
    choose_shape(p);
    for (uint32_t i = 0; i < p->group->stage_count && p->shape.parts > 1; ++i) {
      const uint32_t stage = p->schedule->order[p->group->stage_first + i];
      if (p->program->stages[stage].kind != TVI_KIR_REDUCE) continue;
      p->state_offsets[stage] = size;
      trivet_dim_t bytes = tvi_cuda_states_size(p, stage);
      bytes = tvi_dim_binary(dims, TRIVET_DIM_MUL, alignment,
                             tvi_dim_binary(dims, TRIVET_DIM_CEILDIV, bytes, alignment));
      size = tvi_dim_binary(dims, TRIVET_DIM_ADD, size, bytes);
      if (!size) return TRIVET_STATUS(OUT_OF_RANGE, "the workspace overflows 64 bits");
    }
  }
  p->code->workspace = tvi_cuda_parameter(p, size);
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Kernels
// ---------------------------------------------------------------------------------------------

// Appends |text| with two blanks for each open brace.
static void append_indented(tvi_string_builder_t* out, trivet_string_view_t text) {
  size_t depth = 0;
  while (text.size > 0) {
    trivet_string_view_t line = tvi_sv_split(&text, '\n');
    size_t opened = 0, closed = 0;
    for (size_t i = 0; i < line.size; ++i) {
      opened += line.data[i] == '{';
      closed += line.data[i] == '}';
    }
    const bool leads = line.size > 0 && line.data[0] == '}';
    if (leads && depth > 0) --depth, --closed;
    if (line.size > 0) tvi_string_builder_append_repeated(out, ' ', 2 * depth);
    tvi_string_builder_append(out, line);
    tvi_string_builder_append_char(out, '\n');
    depth += opened;
    depth = closed > depth ? 0 : depth - closed;
  }
}

static void print_signature(tvi_cuda_printer_t* p, const tvi_cuda_variant_t* variant) {
  tvi_string_builder_t* out = &p->code->source;
  tvi_string_builder_append_cstr(out, "\nextern \"C\" __global__ void ");
  if (variant->cluster)
    tvi_string_builder_appendf(out, "__cluster_dims__(%u, 1, 1) ", variant->cluster);
  tvi_string_builder_appendf(out, "__launch_bounds__(%u) %s(", variant->block, variant->name);
  for (size_t i = 0; i < p->arguments.count; ++i) {
    const tvi_cuda_argument_t* argument = &p->arguments.data[i];
    if (i) tvi_string_builder_append_cstr(out, ", ");
    switch (argument->kind) {
      case TVI_CUDA_ARGUMENT_OPERAND:
        for (uint32_t v = 0; v < p->program->value_count; ++v) {
          const tvi_kir_value_t* value = &p->program->values[v];
          if (value->kind == TVI_KIR_TEMP || p->operand_of_value[v] != argument->index) continue;
          tvi_string_builder_appendf(out, "%s%s* __restrict__ p%u",
                                     value->kind == TVI_KIR_INPUT ? "const " : "",
                                     tvi_cuda_storage_type(value->dtype), argument->index);
        }
        break;
      case TVI_CUDA_ARGUMENT_WORKSPACE:
        tvi_string_builder_appendf(out, "char* w%u", argument->index);
        break;
      case TVI_CUDA_ARGUMENT_MAP:
        tvi_string_builder_appendf(out, "const __grid_constant__ tv_map t%u", argument->index);
        break;
      default:
        tvi_string_builder_appendf(out, "%s n%u",
                                   argument->kind == TVI_CUDA_ARGUMENT_I32 ? "int" : "long long",
                                   argument->index);
    }
  }
  tvi_string_builder_append_cstr(out, ") {\n");
}

static uint32_t variant_alignment(const tvi_cuda_printer_t* p) {
  uint32_t alignment = 1;
  const bool has_columns = p->shape.columns > 1;
  const uint32_t vector = has_columns ? p->shape.columns : p->shape.vector;
  const uint32_t loop = has_columns ? p->shape.column_loop : p->loop_count - 1;
  for (size_t i = 0; i < p->accesses.count && vector > 1; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    if (access->load == TVI_KIR_NONE && !tvi_cuda_is_written(p, access->value)) continue;
    const bool crosses = p->shape.is_tiled && tvi_cuda_is_crossing(p, access, p->shape.tile_loop) &&
                         tvi_cuda_is_vector(p, access, p->shape.tile_loop, p->shape.vector);
    if (!crosses && !tvi_cuda_is_piece(p, access, loop, vector)) continue;
    uint32_t bytes =
        vector * tvi_dtype_bytes(tvi_cuda_stored_dtype(&p->program->values[access->value]));
    if (bytes > 16) bytes = 16;
    if (bytes > alignment) alignment = bytes;
  }
  return alignment;
}

static void print_variant(tvi_cuda_printer_t* p, uint32_t number, tvi_cuda_variant_t* variant) {
  snprintf(variant->name, sizeof(variant->name), "%s_%u%s", p->options->name, number,
           p->shape.is_joining                                                       ? "_joined"
           : variant->alignment == 1 && p->shape.vector == 1 && p->shape.columns < 2 ? ""
                                                                                     : "_v");
  variant->shared_bytes = 0;
  if (p->group->is_scan) {
    tvi_cuda_print_scan(p, variant);
  } else if (is_row_group(p)) {
    tvi_cuda_print_row(p, variant);
  } else {
    tvi_cuda_print_map(p, variant);
  }
}

// Bytes that a constant input takes from its address on; 0: none, or too many to be worth it.
static uint64_t constant_bytes(const tvi_cuda_printer_t* p, uint32_t v) {
  const tvi_kir_value_t* value = &p->program->values[v];
  const trivet_dim_t* strides = p->options->strides ? p->options->strides[v] : NULL;
  uint64_t last = 0;
  if (value->kind != TVI_KIR_INPUT || !strides) return 0;
  for (uint32_t d = 0; d < value->rank; ++d) {
    int64_t extent = 0, stride = 0;
    if (!tvi_dim_is_constant(value->dims[d], &extent) || extent < 1 ||
        !tvi_dim_is_constant(strides[d], &stride) || stride < 0)
      return 0;
    last += (uint64_t)(extent - 1) * (uint64_t)stride;
    if (last > MOST_AHEAD) return 0;
  }
  uint64_t bytes = (last + 1) * tvi_dtype_bytes(tvi_cuda_stored_dtype(value));
  return bytes < LEAST_AHEAD || bytes > MOST_AHEAD ? 0 : bytes;
}

static bool has_argument(const tvi_cuda_printer_t* p, uint32_t kind, uint32_t index) {
  for (size_t i = 0; i < p->arguments.count; ++i) {
    if (p->arguments.data[i].kind == kind && p->arguments.data[i].index == index) return true;
  }
  return false;
}

// A tensor map hides the address of its operand, which is needed to fetch from there.
static void add_mapped(tvi_cuda_printer_t* p) {
  const size_t count = p->arguments.count;
  for (size_t i = 0; i < count && p->options->is_constant; ++i) {
    const tvi_cuda_argument_t* argument = &p->arguments.data[i];
    if (argument->kind != TVI_CUDA_ARGUMENT_MAP) continue;
    const tvi_cuda_argument_t address = {TVI_CUDA_ARGUMENT_OPERAND,
                                         p->code->maps.data[argument->index].operand};
    for (uint32_t v = 0; v < p->program->value_count; ++v) {
      if (!p->options->is_constant[v] || p->operand_of_value[v] != address.index) continue;
      if (constant_bytes(p, v) == 0 || has_argument(p, address.kind, address.index)) continue;
      trivet_status_t status = tvi_vector_push(&p->arguments, address);
      if (status) tvi_cuda_fail(p, status);
    }
  }
}

// What does not depend on other kernels is fetched while they run.
static void print_ahead(tvi_cuda_printer_t* p, tvi_string_builder_t* text) {
  for (size_t i = 0; i < p->arguments.count && p->options->is_constant; ++i) {
    const tvi_cuda_argument_t* argument = &p->arguments.data[i];
    if (argument->kind != TVI_CUDA_ARGUMENT_OPERAND) continue;
    for (uint32_t v = 0; v < p->program->value_count; ++v) {
      if (!p->options->is_constant[v] || p->operand_of_value[v] != argument->index) continue;
      uint64_t bytes = constant_bytes(p, v);
      if (bytes)
        tvi_string_builder_appendf(text, "TV_AHEAD(p%u, %llu);\n", argument->index,
                                   (unsigned long long)bytes);
    }
  }
}

void tvi_cuda_print_kernel(tvi_cuda_printer_t* p, const tvi_cuda_variant_t* variant,
                           trivet_string_view_t body) {
  add_mapped(p);
  print_signature(p, variant);
  tvi_string_builder_t text, indented;
  tvi_string_builder_init(&text, p->code->allocator);
  tvi_string_builder_init(&indented, p->code->allocator);
  tvi_string_builder_append_cstr(&text, "{\n");
  if (!variant->begins_itself) {
    print_ahead(p, &text);
    tvi_string_builder_append_cstr(&text, "TV_BEGIN();\n");
  }
  tvi_string_builder_append(&text, body);
  tvi_string_builder_append_cstr(&text, "}\n");
  // The first brace stands in the line of the signature.
  append_indented(&indented, tvi_string_builder_view(&text));
  trivet_string_view_t view = tvi_string_builder_view(&indented);
  if (view.size > 2) tvi_string_builder_append(&p->code->source, tvi_sv_slice(view, 2, view.size));
  trivet_status_t status = tvi_string_builder_status(&text);
  if (status) tvi_cuda_fail(p, status);
  status = tvi_string_builder_status(&indented);
  if (status) tvi_cuda_fail(p, status);
  tvi_string_builder_deinit(&text);
  tvi_string_builder_deinit(&indented);
}

// The kernel of the group with |p->shape|, and a second variant of it for any addresses.
static trivet_status_t print_launch(tvi_cuda_printer_t* p, uint32_t number) {
  tvi_cuda_code_t* code = p->code;
  tvi_string_builder_t* bodies[2];
  tvi_string_builder_t first;
  tvi_vector_clear(&p->arguments);
  tvi_cuda_launch_t launch;
  memset(&launch, 0, sizeof(launch));
  tvi_string_builder_init(&first, code->allocator);
  launch.variants[0].alignment = variant_alignment(p);
  tvi_string_builder_clear(&p->body);
  print_variant(p, number, &launch.variants[0]);
  launch.variant_count = 1;
  bodies[0] = &p->body;
  if (launch.variants[0].alignment > 1) {
    tvi_string_builder_append(&first, tvi_string_builder_view(&p->body));
    bodies[0] = &first;
    bodies[1] = &p->body;
    tvi_string_builder_clear(&p->body);
    p->shape.chunks *= p->shape.vector;
    p->shape.is_shifted = false;
    p->shape.vector = p->shape.columns = 1;
    launch.variants[1].alignment = 1;
    print_variant(p, number, &launch.variants[1]);
    launch.variant_count = 2;
  }
  for (uint32_t i = 0; i < launch.variant_count; ++i)
    tvi_cuda_print_kernel(p, &launch.variants[i], tvi_string_builder_view(bodies[i]));
  trivet_status_t status = tvi_string_builder_status(&first);
  if (status) tvi_cuda_fail(p, status);
  tvi_string_builder_deinit(&first);
  launch.argument_first = (uint32_t)code->arguments.count;
  launch.argument_count = (uint32_t)p->arguments.count;
  TRIVET_RETURN_IF_ERROR(
      tvi_vector_append(&code->arguments, p->arguments.data, p->arguments.count));
  return tvi_vector_push(&code->launches, launch);
}

static trivet_status_t print_group(tvi_cuda_printer_t* p, uint32_t number) {
  tvi_cuda_code_t* code = p->code;
  p->group = &p->schedule->groups[number];
  tvi_cuda_collect_accesses(p);
  if (p->status) return TRIVET_OK;
  for (uint32_t i = 0; i < p->group->stage_count; ++i) {
    const uint32_t stage = p->schedule->order[p->group->stage_first + i];
    if (p->program->stages[stage].kind == TVI_KIR_MAP) continue;
    tvi_string_builder_clear(&p->body);
    TVI_CUDA_PRINT(p, "\n");
    tvi_cuda_print_monoid(p, stage);
    append_indented(&code->source, tvi_string_builder_view(&p->body));
  }
  choose_shape(p);
  TRIVET_RETURN_IF_ERROR(print_launch(p, number));
  if (p->shape.parts < 2 || p->status) return TRIVET_OK;
  tvi_cuda_choose_joining_shape(p);
  return print_launch(p, number);
}

static trivet_status_t make(tvi_cuda_printer_t* p, const tvi_kir_program_t* given) {
  tvi_cuda_schedule_t schedule;
  uint32_t* operand_of_value = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_cuda_schedule_make(given, p->options->symbols,
                                                p->options->symbol_count, p->options->keeps_factors,
                                                p->arena, &schedule));
  p->schedule = &schedule;
  p->program = schedule.program;
  const size_t values = (size_t)p->program->value_count + 1;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(p->arena, values, sizeof(*p->strides), &p->strides));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      p->arena, values, sizeof(*p->workspace_offsets), &p->workspace_offsets));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(p->arena, values, sizeof(*operand_of_value), &operand_of_value));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(p->arena, (size_t)p->program->stage_count + 1,
                                                      sizeof(*p->is_short), &p->is_short));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      p->arena, (size_t)p->program->stage_count + 1, sizeof(*p->state_offsets), &p->state_offsets));
  p->operand_of_value = operand_of_value;
  TRIVET_RETURN_IF_ERROR(place_operands(p, given, operand_of_value));
  if (p->options->print) {
    tvi_cuda_print_prelude(p);
    trivet_status_t status = p->options->print(p, p->options->print_argument);
    p->schedule = NULL;
    return status;
  }
  for (uint32_t g = 0; g < schedule.group_count && !p->status; ++g) {
    p->group = &schedule.groups[g];
    tvi_cuda_collect_accesses(p);
    choose_shape(p);
    store_long_rows(p);
  }
  TRIVET_RETURN_IF_ERROR(place_temporaries(p));
  tvi_cuda_print_prelude(p);
  for (uint32_t g = 0; g < schedule.group_count && !p->status; ++g)
    TRIVET_RETURN_IF_ERROR(print_group(p, g));
  p->schedule = NULL;
  return TRIVET_OK;
}

trivet_status_t tvi_cuda_code_make(const tvi_kir_program_t* program,
                                   const tvi_cuda_code_options_t* options, tvi_arena_t* arena,
                                   trivet_allocator_t allocator, tvi_cuda_code_t* out_code) {
  tvi_cuda_code_t code;
  memset(&code, 0, sizeof(code));
  code.allocator = allocator;
  tvi_string_builder_init(&code.source, allocator);
  tvi_vector_init(&code.operands, allocator);
  tvi_vector_init(&code.parameters, allocator);
  tvi_vector_init(&code.arguments, allocator);
  tvi_vector_init(&code.launches, allocator);
  tvi_vector_init(&code.maps, allocator);
  tvi_cuda_printer_t printer;
  memset(&printer, 0, sizeof(printer));
  printer.code = &code;
  printer.options = options;
  printer.arena = arena;
  tvi_string_builder_init(&printer.body, allocator);
  tvi_vector_init(&printer.accesses, allocator);
  tvi_vector_init(&printer.arguments, allocator);
  trivet_status_t status = make(&printer, program);
  if (!status) status = tvi_string_builder_status(&printer.body);
  if (!status) status = tvi_string_builder_status(&code.source);
  if (!status) {
    status = printer.status;
  } else {
    trivet_status_free(printer.status);
  }
  tvi_string_builder_deinit(&printer.body);
  tvi_vector_deinit(&printer.accesses);
  tvi_vector_deinit(&printer.arguments);
  if (status) {
    tvi_cuda_code_deinit(&code);
  } else {
    *out_code = code;
  }
  return status;
}

void tvi_cuda_code_deinit(tvi_cuda_code_t* code) {
  tvi_string_builder_deinit(&code->source);
  tvi_vector_deinit(&code->operands);
  tvi_vector_deinit(&code->parameters);
  tvi_vector_deinit(&code->arguments);
  tvi_vector_deinit(&code->launches);
  tvi_vector_deinit(&code->maps);
}
