// SPDX-License-Identifier: Apache-2.0
//
// A context as its caller sees it: created on an engine, given shapes and addresses, asked for
// shapes and statistics. What it is given is checked at once, so that errors name the call that
// made them.
#include "runtime/context/context.h"

#include <string.h>

#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/dimension/dim_code.h"

#define DEFAULT_GRAPH_COUNT 8

static const int64_t* profile_dims(const trivet_context_t* context, uint32_t input) {
  const tvi_plan_t* plan = context->engine->plan;
  if (plan->profile_count == 0) return NULL;
  return plan->profiles[context->profile].dims + (size_t)input * 3 * TRIVET_MAX_RANK;
}

static const tvi_plan_tensor_t* tensor_of(const trivet_context_t* context, uint32_t index) {
  return &context->engine->program->tensors[context->engine->tensors[index].tensor];
}

// An input whose shape cannot be anything else needs no call.
static void set_fixed_shape(trivet_context_t* context, uint32_t index) {
  tvi_context_input_t* input = &context->inputs[index];
  const tvi_plan_tensor_t* tensor = tensor_of(context, index);
  const int64_t* profile = profile_dims(context, index);
  input->is_set = true;
  for (uint32_t d = 0; d < tensor->rank; ++d) {
    tvi_plan_expr_code_t code = context->engine->plan->exprs[tensor->dims[d]];
    if (tvi_dim_code_is_constant(code.code, code.size, &input->dims[d])) continue;
    bool is_fixed = profile != NULL && profile[d] == profile[2 * TRIVET_MAX_RANK + d];
    if (is_fixed) input->dims[d] = profile[d];
    input->is_set = input->is_set && is_fixed;
  }
}

static trivet_status_t allocate_arrays(trivet_context_t* context) {
  const trivet_engine_t* engine = context->engine;
  tvi_arena_t* arena = &context->arena;
  uint32_t symbols = engine->plan->symbol_count;
#define ALLOCATE(field, count)                                                    \
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, (size_t)(count) + 1, \
                                                      sizeof(*context->field), &context->field))
  ALLOCATE(inputs, engine->input_count);
  ALLOCATE(addresses, engine->tensor_count);
  ALLOCATE(staged, engine->tensor_count);
  ALLOCATE(staged_list, engine->tensor_count);
  ALLOCATE(symbols, symbols);
  ALLOCATE(symbol_is_unknown, symbols);
  ALLOCATE(values, engine->plan->expr_count);
  ALLOCATE(buffers, engine->program->buffer_count);
  ALLOCATE(steps, engine->block->step_count);
  if (engine->has_control) ALLOCATE(controls, engine->block->step_count);
  ALLOCATE(operand_offsets, engine->operand_total);
  ALLOCATE(operand_addresses, engine->operand_total);
  ALLOCATE(step_operands, engine->operand_most);
  ALLOCATE(step_parameters, engine->parameter_most);
  ALLOCATE(step_tensors, engine->operand_most);
#undef ALLOCATE
  return TRIVET_OK;
}

static trivet_status_t fill_context(trivet_context_t* context, uint32_t graph_count) {
  TRIVET_RETURN_IF_ERROR(allocate_arrays(context));
  TRIVET_RETURN_IF_ERROR(tvi_device_enter(context->device));
  TRIVET_RETURN_IF_ERROR(tvi_context_open_device(context, graph_count));
  for (uint32_t i = 0; i < context->engine->input_count; ++i) set_fixed_shape(context, i);
  if (context->thread_count == 1 || context->executor != NULL) return TRIVET_OK;
  return tvi_device_pool_create(context->thread_count, context->allocator, &context->pool,
                                &context->executor);
}

static trivet_status_t read_options(const trivet_context_options_t* from,
                                    trivet_context_options_t* options) {
  if (from == NULL) return TRIVET_OK;
  if (from->thread_count != 0) options->thread_count = from->thread_count;
  options->profile = from->profile;
  if (!TRIVET_HAS_FIELD(from, trivet_context_options_t, memory_limit)) return TRIVET_OK;
  uint32_t known = TRIVET_CONTEXT_NO_GRAPH | TRIVET_CONTEXT_DEVICE_ADDRESSES |
                   TRIVET_CONTEXT_FILL_ZEROS | TRIVET_CONTEXT_FILL_ONES;
  if ((from->flags & ~known) != 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "context options: flags are 0x%x, of which 0x%x are unknown", from->flags,
                         from->flags & ~known);
  }
  options->flags = from->flags;
  if (from->graph_count != 0) options->graph_count = from->graph_count;
  options->memory_limit = from->memory_limit;
  if (!TRIVET_HAS_FIELD(from, trivet_context_options_t, executor) || from->executor == NULL) {
    return TRIVET_OK;
  }
  uint32_t threads = from->executor->api->thread_count(from->executor);
  if (from->thread_count > threads) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "context options: thread_count is %u, the executor has %u threads",
                         from->thread_count, threads);
  }
  options->executor = from->executor;
  options->thread_count = threads;
  return TRIVET_OK;
}

trivet_status_t tvi_context_create(trivet_engine_t* engine, const trivet_context_options_t* options,
                                   trivet_context_t** out_context) {
  if (engine == NULL || out_context == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "engine or out_context is NULL");
  }
  TRIVET_RETURN_IF_ERROR(tvi_check_options(options != NULL ? &options->header : NULL,
                                           "context options", TRIVET_STRUCT_CONTEXT_OPTIONS,
                                           (uint32_t)offsetof(trivet_context_options_t, flags)));
  trivet_context_options_t own = {.thread_count = 1, .graph_count = DEFAULT_GRAPH_COUNT};
  TRIVET_RETURN_IF_ERROR(read_options(options, &own));
  uint32_t profile = own.profile;
  if (profile != 0 && profile >= engine->plan->profile_count) {
    return TRIVET_STATUS(OUT_OF_RANGE, "context options: profile is %u, the plan has %u", profile,
                         engine->plan->profile_count);
  }
  trivet_context_t* context;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(engine->allocator, sizeof(*context), &context));
  context->engine = engine;
  context->allocator = engine->allocator;
  context->profile = profile;
  context->thread_count = own.thread_count;
  context->executor = own.thread_count == 1 ? NULL : own.executor;
  context->device = engine->device;
  context->queue_count = 1;
  context->memory_limit = own.memory_limit;
  context->is_replay_off = (own.flags & TRIVET_CONTEXT_NO_GRAPH) != 0;
  context->fill = own.flags & (TRIVET_CONTEXT_FILL_ZEROS | TRIVET_CONTEXT_FILL_ONES);
  context->wants_device_addresses = (own.flags & TRIVET_CONTEXT_DEVICE_ADDRESSES) != 0;
  tvi_arena_init(&context->arena, context->allocator, 0);
  trivet_status_t status = fill_context(context, own.graph_count);
  if (status != NULL) {
    trivet_context_destroy(context);
    return status;
  }
  *out_context = context;
  return TRIVET_OK;
}

void trivet_context_destroy(trivet_context_t* context) {
  if (context == NULL) return;
  // On a device that fails there is nothing better to do than to go on.
  trivet_status_free(tvi_device_enter(context->device));
  trivet_status_free(tvi_context_finish(context));
  tvi_context_release_steps(context);
  tvi_context_free_controls(context);
  tvi_device_pool_destroy(context->pool);
  const tvi_plan_program_t* program = context->engine->program;
  for (uint32_t b = 0; context->buffers != NULL && b < program->buffer_count; ++b) {
    tvi_context_memory_t late = {context->buffers[b].base, context->buffers[b].capacity,
                                 TVI_CONTEXT_ALIGNMENT};
    if (late.capacity != 0) tvi_context_release_memory(context, program->buffers[b].memory, &late);
  }
  for (uint32_t i = 0; context->staged != NULL && i < context->engine->tensor_count; ++i) {
    tvi_context_release_memory(context, 0, &context->staged[i].memory[0]);
    tvi_context_release_memory(context, 1, &context->staged[i].memory[1]);
  }
  tvi_context_release_memory(context, 0, &context->arenas[0]);
  tvi_context_release_memory(context, 1, &context->arenas[1]);
  tvi_context_release_memory(context, tvi_context_own_memory(context), &context->workspace);
  tvi_context_close_device(context);
  tvi_context_free_scratch(context);
  tvi_arena_deinit(&context->arena);
  tvi_free(context->allocator, context, sizeof(*context));
}

static trivet_status_t find_tensor(const trivet_context_t* context, const char* name,
                                   uint32_t* out_index) {
  if (context == NULL || name == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "%s is NULL", context == NULL ? "context" : "name");
  }
  uint32_t index = trivet_engine_tensor_index(context->engine, name);
  if (index == UINT32_MAX) {
    return TRIVET_STATUS(NOT_FOUND, "the plan has no tensor named '%s'", name);
  }
  *out_index = index;
  return TRIVET_OK;
}

void tvi_context_put_shape(trivet_context_t* context, uint32_t index, uint32_t rank,
                           const int64_t* dims) {
  tvi_context_input_t* input = &context->inputs[index];
  if (input->is_set && (rank == 0 || memcmp(input->dims, dims, rank * sizeof(*dims)) == 0)) return;
  if (rank != 0) memcpy(input->dims, dims, rank * sizeof(*dims));
  input->is_set = true;
  context->is_prepared = false;
}

void tvi_context_put_address(trivet_context_t* context, uint32_t index, void* address) {
  if (context->addresses[index] == address) return;
  context->addresses[index] = address;
  context->is_resolved = false;
}

static trivet_status_t context_set_shape(trivet_context_t* context, const char* name, uint32_t rank,
                                         const int64_t* dims) {
  uint32_t index;
  TRIVET_RETURN_IF_ERROR(find_tensor(context, name, &index));
  if (index >= context->engine->input_count) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "'%s' is no input; only inputs are given shapes", name);
  }
  const tvi_plan_tensor_t* tensor = tensor_of(context, index);
  if (rank != tensor->rank) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "input '%s': rank is %u, wanted %u", name, rank,
                         tensor->rank);
  }
  if (rank != 0 && dims == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "dims is NULL");
  const int64_t* profile = profile_dims(context, index);
  for (uint32_t d = 0; d < rank; ++d) {
    int64_t constant;
    tvi_plan_expr_code_t code = context->engine->plan->exprs[tensor->dims[d]];
    if (tvi_dim_code_is_constant(code.code, code.size, &constant)) {
      if (dims[d] == constant) continue;
      return TRIVET_STATUS(OUT_OF_RANGE, "input '%s': dimension %u is %lld, wanted %lld", name, d,
                           (long long)dims[d], (long long)constant);
    }
    int64_t min = profile != NULL ? profile[d] : 0;
    int64_t max = profile != NULL ? profile[2 * TRIVET_MAX_RANK + d] : INT64_MAX;
    if (dims[d] >= min && dims[d] <= max) continue;
    return TRIVET_STATUS(OUT_OF_RANGE,
                         "input '%s': dimension %u is %lld, profile %u allows %lld to %lld", name,
                         d, (long long)dims[d], context->profile, (long long)min, (long long)max);
  }
  tvi_context_put_shape(context, index, rank, dims);
  return TRIVET_OK;
}

static trivet_status_t context_set_address(trivet_context_t* context, const char* name,
                                           void* address) {
  uint32_t index;
  TRIVET_RETURN_IF_ERROR(find_tensor(context, name, &index));
  // What is not aligned enough for a device is staged.
  uint32_t alignment = context->engine->tensors[index].alignment;
  if ((uintptr_t)address % alignment != 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "tensor '%s': address %p is no multiple of %u", name,
                         address, alignment);
  }
  tvi_context_put_address(context, index, address);
  return TRIVET_OK;
}

trivet_status_t trivet_context_shape(const trivet_context_t* context, const char* name,
                                     uint32_t* out_rank, int64_t* out_dims) {
  uint32_t index;
  TRIVET_RETURN_IF_ERROR(find_tensor(context, name, &index));
  if (out_rank == NULL || out_dims == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "out_rank or out_dims is NULL");
  }
  const tvi_plan_tensor_t* tensor = tensor_of(context, index);
  bool is_given = index < context->engine->input_count && context->inputs[index].is_set;
  if (!is_given && !context->is_prepared) {
    return TRIVET_STATUS(FAILED_PRECONDITION,
                         "tensor '%s': its shape is known after trivet_context_prepare", name);
  }
  for (uint32_t d = 0; d < tensor->rank; ++d) {
    if (is_given) {
      out_dims[d] = context->inputs[index].dims[d];
      continue;
    }
    trivet_status_t status = tvi_context_value(context, tensor->dims[d], &out_dims[d]);
    if (trivet_status_consume(status) != TRIVET_STATUS_OK) out_dims[d] = -1;
  }
  *out_rank = tensor->rank;
  return TRIVET_OK;
}

// Symbols that depend on data count with the largest value that they can take.
static trivet_status_t largest_size(const trivet_context_t* context,
                                    const tvi_plan_tensor_t* tensor, int64_t* symbols,
                                    uint64_t* out_size) {
  const tvi_plan_t* plan = context->engine->plan;
  for (uint32_t s = 0; s < plan->symbol_count; ++s) {
    symbols[s] = context->engine->symbol_is_late[s] ? plan->symbols[s].max : context->symbols[s];
  }
  int64_t count = 1;
  for (uint32_t d = 0; d < tensor->rank; ++d) {
    tvi_plan_expr_code_t code = plan->exprs[tensor->dims[d]];
    int64_t extent = 0;
    TRIVET_RETURN_IF_ERROR(
        tvi_dim_code_evaluate(code.code, code.size, symbols, plan->symbol_count, &extent));
    if (!tvi_checked_mul_i64(count, extent, &count)) {
      return TRIVET_STATUS(OUT_OF_RANGE, "the largest size overflows 64 bits");
    }
  }
  size_t size = 0;
  TRIVET_RETURN_IF_ERROR(trivet_dtype_storage_size(tensor->dtype, count, &size));
  *out_size = size;
  return TRIVET_OK;
}

trivet_status_t tvi_context_largest_size(const trivet_context_t* context, uint32_t index,
                                         uint64_t* out_size) {
  uint32_t count = context->engine->plan->symbol_count;
  int64_t* symbols = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_array(context->allocator, count + 1, sizeof(int64_t), &symbols));
  trivet_status_t status = largest_size(context, tensor_of(context, index), symbols, out_size);
  tvi_free_array(context->allocator, symbols, count + 1, sizeof(int64_t));
  return trivet_status_annotate(status, "tensor '%s'", context->engine->tensors[index].name);
}

trivet_status_t trivet_context_tensor_size(const trivet_context_t* context, const char* name,
                                           uint64_t* out_size) {
  uint32_t index;
  TRIVET_RETURN_IF_ERROR(find_tensor(context, name, &index));
  if (out_size == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "out_size is NULL");
  if (!context->is_prepared) {
    return TRIVET_STATUS(FAILED_PRECONDITION,
                         "tensor '%s': its size is known after trivet_context_prepare", name);
  }
  return tvi_context_largest_size(context, index, out_size);
}

trivet_status_t trivet_context_statistics(const trivet_context_t* context,
                                          trivet_context_statistics_t* out_statistics) {
  if (context == NULL || out_statistics == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "context or out_statistics is NULL");
  }
  trivet_context_statistics_t statistics = {
      .arena_size = context->memory_size,
      .arena_lower_bound = context->memory_lower_bound,
      .workspace_size = context->workspace.capacity,
      .weights_size = context->engine->plan->weights_size,
      .run_count = context->run_count,
      .prepare_count = context->prepare_count,
      .step_count = context->engine->block->step_count,
      .host_size = context->used[TRIVET_MEMORY_HOST],
      .replay_count = context->replay_count,
  };
  if (context->device != NULL) {
    statistics.device_size =
        context->used[TRIVET_MEMORY_DEVICE] + context->engine->device_weights_size;
  }
  for (uint32_t i = 0; i < context->engine->tensor_count; ++i) {
    statistics.staging_size += context->staged[i].memory[TRIVET_MEMORY_DEVICE].capacity;
  }
  statistics.graph_count = context->spare.graph != NULL;
  for (uint32_t g = 0; g < context->graph_limit; ++g) {
    statistics.graph_count += context->graphs[g].graph != NULL;
  }
  for (uint32_t b = 0; b < context->engine->program->buffer_count; ++b) {
    if (context->engine->program->buffers[b].memory != tvi_context_own_memory(context)) continue;
    statistics.arena_size += context->buffers[b].capacity;
    statistics.arena_lower_bound += context->buffers[b].capacity;
  }
  return tvi_fill_struct(out_statistics, &statistics, TRIVET_STRUCT_CONTEXT_STATISTICS,
                         (uint32_t)offsetof(trivet_context_statistics_t, device_size),
                         (uint32_t)sizeof(statistics));
}

// --- Calls whose errors the caller's recorder gets --------------------------------------------

trivet_status_t trivet_context_create(trivet_engine_t* engine,
                                      const trivet_context_options_t* options,
                                      trivet_context_t** out_context) {
  return tvi_record(engine ? &engine->runtime->recorder : NULL, "trivet_context_create",
                    tvi_context_create(engine, options, out_context));
}

// --- Calls whose errors the caller's recorder gets --------------------------------------------

trivet_status_t trivet_context_set_shape(trivet_context_t* context, const char* name, uint32_t rank,
                                         const int64_t* dims) {
  return tvi_record(context ? &context->engine->runtime->recorder : NULL,
                    "trivet_context_set_shape", context_set_shape(context, name, rank, dims));
}

trivet_status_t trivet_context_set_address(trivet_context_t* context, const char* name,
                                           void* address) {
  return tvi_record(context ? &context->engine->runtime->recorder : NULL,
                    "trivet_context_set_address", context_set_address(context, name, address));
}
