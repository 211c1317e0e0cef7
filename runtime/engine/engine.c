// SPDX-License-Identifier: Apache-2.0
//
// From the bytes of a plan to an engine: map, read and verify, find out what depends on what, load
// the kernels, list the tensors. Weights stay in the mapping. What is wrong with a plan is said
// here or by the reader, never later by a crash.
#include "runtime/engine/engine.h"

#include <string.h>

#include "core/base/clock.h"
#include "core/base/dtype.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/base/thread.h"
#include "core/dimension/dim_code.h"
#include "core/plan/plan_select.h"

trivet_status_t tvi_engine_annotate_step(const trivet_engine_t* engine, uint32_t step,
                                         trivet_status_t status) {
  if (status == NULL) return TRIVET_OK;
  trivet_string_view_t name = engine->block->steps[step].name;
  return trivet_status_annotate(status, "step %u (%.*s)", step, TVI_SV_ARGS(name));
}

static bool alternative_is_late(const trivet_engine_t* engine, const tvi_plan_alternative_t* from) {
  const tvi_plan_program_t* program = engine->program;
  for (uint32_t k = 0; k < from->operand_count; ++k) {
    uint32_t tensor = from->operands[k];
    if (tensor == TVI_PLAN_NONE) continue;
    if (engine->tensor_is_late[tensor] || engine->buffer_is_late[program->tensors[tensor].buffer]) {
      return true;
    }
  }
  for (uint32_t k = 0; k < from->parameter_count; ++k) {
    if (engine->expr_is_late[from->parameters[k]]) return true;
  }
  for (uint32_t k = 0; k < from->guard_count; ++k) {
    if (engine->expr_is_late[from->guards[k].a] || engine->expr_is_late[from->guards[k].b]) {
      return true;
    }
  }
  return false;
}

static bool tensor_is_late(const trivet_engine_t* engine, const tvi_plan_tensor_t* tensor) {
  bool late = engine->expr_is_late[tensor->offset];
  for (uint32_t d = 0; d < tensor->rank; ++d) {
    late =
        late || engine->expr_is_late[tensor->dims[d]] || engine->expr_is_late[tensor->strides[d]];
  }
  return late;
}

// Every symbol that an expression of the program uses must be the extent of an input, or be bound
// by a step.
static trivet_status_t check_symbols(const trivet_engine_t* engine, const bool* is_used,
                                     bool* is_unbound) {
  const tvi_plan_t* plan = engine->plan;
  for (uint32_t i = 0; i < plan->symbol_count; ++i) is_unbound[i] = !engine->symbol_is_late[i];
  for (uint32_t i = 0; i < plan->binding_count; ++i) {
    if (plan->bindings[i].mode != TVI_PLAN_BINDING_INPUT) continue;
    const tvi_plan_tensor_t* tensor = &engine->program->tensors[plan->bindings[i].tensor];
    for (uint32_t d = 0; d < tensor->rank; ++d) {
      uint32_t symbol;
      tvi_plan_expr_code_t code = plan->exprs[tensor->dims[d]];
      if (!tvi_dim_code_is_symbol(code.code, code.size, &symbol)) continue;
      if (symbol < plan->symbol_count) is_unbound[symbol] = false;
    }
  }
  for (uint32_t i = 0; i < plan->expr_count; ++i) {
    uint32_t symbol;
    if (!is_used[i]) continue;
    if (tvi_dim_code_uses(plan->exprs[i].code, plan->exprs[i].size, is_unbound, plan->symbol_count,
                          &symbol)) {
      return TRIVET_STATUS(DATA_LOSS,
                           "expression %u uses symbol '%.*s', which no input and no step binds", i,
                           TVI_SV_ARGS(plan->symbols[symbol].name));
    }
  }
  return TRIVET_OK;
}

// What waits for data: symbols that steps bind, expressions over them, and so on.
static trivet_status_t find_late(trivet_engine_t* engine) {
  const tvi_plan_t* plan = engine->plan;
  const tvi_plan_program_t* program = engine->program;
  tvi_arena_t* arena = &engine->arena;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, plan->symbol_count + 1, 1, &engine->symbol_is_late));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, plan->expr_count + 1, 1, &engine->expr_is_late));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, program->tensor_count + 1, 1, &engine->tensor_is_late));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, program->buffer_count + 1, 1, &engine->buffer_is_late));
  for (uint32_t i = 0; i < engine->block->step_count; ++i) {
    const tvi_plan_step_t* step = &engine->block->steps[i];
    for (uint32_t k = 0; k < step->bound_symbol_count; ++k) {
      engine->symbol_is_late[step->bound_symbols[k].symbol] = true;
      engine->has_late = true;
    }
  }
  bool *is_unbound, *is_used;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, plan->symbol_count + 1, 1, &is_unbound));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, plan->expr_count + 1, 1, &is_used));
  tvi_plan_mark_exprs(program, is_used);
  TRIVET_RETURN_IF_ERROR(check_symbols(engine, is_used, is_unbound));
  // What only other programs use is never known, and never asked for.
  for (uint32_t i = 0; i < plan->expr_count; ++i) engine->expr_is_late[i] = !is_used[i];
  if (!engine->has_late) return TRIVET_OK;
  for (uint32_t i = 0; i < plan->expr_count; ++i) {
    uint32_t symbol;
    engine->expr_is_late[i] =
        !is_used[i] || tvi_dim_code_uses(plan->exprs[i].code, plan->exprs[i].size,
                                         engine->symbol_is_late, plan->symbol_count, &symbol);
  }
  for (uint32_t i = 0; i < program->tensor_count; ++i) {
    engine->tensor_is_late[i] = tensor_is_late(engine, &program->tensors[i]);
  }
  for (uint32_t i = 0; i < plan->binding_count; ++i) {
    const tvi_plan_binding_t* binding = &plan->bindings[i];
    if (binding->mode != TVI_PLAN_BINDING_INPUT || !engine->tensor_is_late[binding->tensor])
      continue;
    return TRIVET_STATUS(DATA_LOSS, "the shape of input '%.*s' depends on what a step computes",
                         TVI_SV_ARGS(binding->name));
  }
  for (uint32_t i = 0; i < program->buffer_count; ++i) {
    const tvi_plan_buffer_t* buffer = &program->buffers[i];
    if (buffer->kind == TVI_PLAN_BUFFER_ARENA) {
      engine->buffer_is_late[i] = engine->expr_is_late[buffer->size];
    } else if (buffer->kind == TVI_PLAN_BUFFER_BINDING) {
      engine->buffer_is_late[i] = engine->tensor_is_late[plan->bindings[buffer->index].tensor];
    }
  }
  return TRIVET_OK;
}

static trivet_status_t make_steps(trivet_engine_t* engine) {
  uint32_t count = engine->block->step_count;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&engine->arena, count + 1,
                                                      sizeof(tvi_engine_step_t), &engine->steps));
  uint64_t total = 0;
  for (uint32_t i = 0; i < count; ++i) {
    tvi_engine_step_t* step = &engine->steps[i];
    step->plan = &engine->block->steps[i];
    step->first_operand = (uint32_t)total;
    engine->has_host = engine->has_host || step->plan->kind == TVI_PLAN_STEP_HOST;
    if (step->plan->kind > TVI_PLAN_STEP_COPY) {
      return tvi_engine_annotate_step(
          engine, i,
          TRIVET_STATUS(UNIMPLEMENTED, "this version cannot run steps of kind %u",
                        step->plan->kind));
    }
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_alloc_array_zeroed(&engine->arena, step->plan->alternative_count,
                                     sizeof(*step->alternatives), &step->alternatives));
    uint32_t most = 0;
    for (uint32_t a = 0; a < step->plan->alternative_count; ++a) {
      const tvi_plan_alternative_t* from = &step->plan->alternatives[a];
      step->alternatives[a].plan = from;
      if (from->operand_count > most) most = from->operand_count;
      if (from->parameter_count > engine->parameter_most) {
        engine->parameter_most = from->parameter_count;
      }
      step->is_late = step->is_late || alternative_is_late(engine, from);
    }
    total += most;
    if (most > engine->operand_most) engine->operand_most = most;
    if (total > UINT32_MAX) return TRIVET_STATUS(DATA_LOSS, "the steps have too many operands");
  }
  engine->operand_total = (uint32_t)total;
  return TRIVET_OK;
}

// Hooks and kernels read elements in place, so an address is aligned to whole elements at least.
static uint32_t address_alignment(uint32_t dtype, uint32_t asked) {
  uint32_t bytes = tvi_dtype_bytes(dtype);
  if (tvi_dtype_is_complex(dtype)) bytes /= 2;
  return bytes > asked ? bytes : asked < 1 ? 1 : asked;
}

static void add_tensor(trivet_engine_t* engine, uint32_t mode, trivet_string_view_t name,
                       uint32_t binding, uint32_t tensor, uint32_t alignment) {
  uint32_t dtype = engine->program->tensors[tensor].dtype;
  if (binding != TVI_PLAN_NONE) engine->binding_tensors[binding] = engine->tensor_count;
  engine->tensors[engine->tensor_count++] =
      (tvi_engine_tensor_t){name.data,
                            mode,
                            binding,
                            tensor,
                            address_alignment(dtype, engine->device != NULL ? 1 : alignment),
                            false};
}

// The caller has to give memory for what steps touch.
static void find_used(trivet_engine_t* engine) {
  for (uint32_t i = 0; i < engine->block->step_count; ++i) {
    const tvi_plan_step_t* step = &engine->block->steps[i];
    for (uint32_t a = 0; a < step->alternative_count; ++a) {
      for (uint32_t k = 0; k < step->alternatives[a].operand_count; ++k) {
        uint32_t tensor = step->alternatives[a].operands[k];
        if (tensor == TVI_PLAN_NONE) continue;
        const tvi_plan_buffer_t* buffer =
            &engine->program->buffers[engine->program->tensors[tensor].buffer];
        if (buffer->kind != TVI_PLAN_BUFFER_BINDING) continue;
        engine->tensors[engine->binding_tensors[buffer->index]].is_used = true;
      }
    }
  }
}

static trivet_status_t list_tensors(trivet_engine_t* engine) {
  const tvi_plan_t* plan = engine->plan;
  const tvi_plan_program_t* program = engine->program;
  uint64_t most = plan->binding_count;
  for (uint32_t i = 0; i < program->tensor_count; ++i) {
    most += (program->tensors[i].flags & TVI_PLAN_TENSOR_OBSERVED) != 0;
  }
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&engine->arena, most + 1,
                                                      sizeof(*engine->tensors), &engine->tensors));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      &engine->arena, (size_t)plan->binding_count + 1, sizeof(uint32_t), &engine->binding_tensors));
  for (uint32_t mode = TVI_PLAN_BINDING_INPUT; mode <= TVI_PLAN_BINDING_OUTPUT; ++mode) {
    for (uint32_t i = 0; i < plan->binding_count; ++i) {
      const tvi_plan_binding_t* binding = &plan->bindings[i];
      if (binding->mode != mode) continue;
      uint32_t shown = mode == TVI_PLAN_BINDING_INPUT ? TRIVET_TENSOR_INPUT : TRIVET_TENSOR_OUTPUT;
      add_tensor(engine, shown, binding->name, i, binding->tensor, binding->alignment);
    }
    if (mode == TVI_PLAN_BINDING_INPUT) engine->input_count = engine->tensor_count;
  }
  engine->output_count = engine->tensor_count - engine->input_count;
  find_used(engine);
  for (uint32_t i = 0; i < program->tensor_count; ++i) {
    const tvi_plan_tensor_t* tensor = &program->tensors[i];
    if ((tensor->flags & TVI_PLAN_TENSOR_OBSERVED) == 0 || tensor->name.size == 0) continue;
    // Several tensors may be views of one value; an input or output is there to be read anyway.
    if (trivet_engine_tensor_index(engine, tensor->name.data) != UINT32_MAX) continue;
    add_tensor(engine, TRIVET_TENSOR_OBSERVED, tensor->name, TVI_PLAN_NONE, i, 1);
  }
  return TRIVET_OK;
}

static trivet_status_t check_profiles(const trivet_engine_t* engine) {
  for (uint32_t i = 0; i < engine->plan->profile_count; ++i) {
    uint32_t count = engine->plan->profiles[i].binding_count;
    if (count == engine->input_count) continue;
    return TRIVET_STATUS(DATA_LOSS, "profile %u has shapes of %u inputs, the plan has %u inputs", i,
                         count, engine->input_count);
  }
  return TRIVET_OK;
}

// What is done beside something else, on a thread of its own, or where there is none in its turn.
typedef struct beside_s {
  trivet_engine_t* engine;
  const bool* is_used;  // constants
  trivet_status_t status;
  tvi_thread_t thread;
  bool is_running;
} beside_t;

static void begin_beside(beside_t* beside, void (*run)(void* self)) {
  trivet_status_t status = tvi_thread_start(&beside->thread, "trivet-load", run, beside);
  beside->is_running = status == NULL;
  trivet_status_free(status);
  if (!beside->is_running) run(beside);
}

static trivet_status_t end_beside(beside_t* beside) {
  if (beside->is_running) tvi_thread_join(&beside->thread);
  return beside->status;
}

static bool is_first_of_kernel(const tvi_plan_block_t* block, uint32_t step) {
  const char* name = block->steps[step].alternatives[0].kernel.data;
  for (uint32_t i = 0; i < step; ++i) {
    if (block->steps[i].kind == TVI_PLAN_STEP_LAUNCH &&
        strcmp(block->steps[i].alternatives[0].kernel.data, name) == 0) {
      return false;
    }
  }
  return true;
}

static void warm_up(void* self) {
  const trivet_engine_t* engine = ((const beside_t*)self)->engine;
  for (uint32_t p = 0; p < engine->plan->program_count; ++p) {
    const tvi_plan_block_t* block = &engine->plan->programs[p].blocks[0];
    for (uint32_t i = 0; i < block->step_count; ++i) {
      if (block->steps[i].kind != TVI_PLAN_STEP_LAUNCH || !is_first_of_kernel(block, i)) continue;
      const tvi_plan_alternative_t* first = &block->steps[i].alternatives[0];
      const trivet_kernel_t* kernel =
          tvi_engine_kernel(engine, first->kernel.data, first->kernel_version);
      if (kernel != NULL && TRIVET_HAS_FIELD(kernel, trivet_kernel_t, warm_up) &&
          kernel->warm_up != NULL) {
        kernel->warm_up(kernel);
      }
    }
  }
}

static void copy_weights(void* self) {
  beside_t* beside = (beside_t*)self;
  beside->status = tvi_engine_copy_weights(beside->engine, beside->is_used);
}

static bool has_devices(const tvi_plan_t* plan) {
  for (uint32_t p = 0; p < plan->program_count; ++p) {
    if (tvi_plan_program_has_device_memory(&plan->programs[p])) return true;
  }
  return false;
}

static double milliseconds_since(int64_t* inout_time) {
  int64_t now = tvi_clock_now_ns();
  double milliseconds = (double)(now - *inout_time) * 1e-6;
  *inout_time = now;
  return milliseconds;
}

static trivet_status_t fill_engine(trivet_engine_t* engine, const uint8_t* bytes, uint64_t size,
                                   const trivet_engine_options_t* options) {
  uint32_t read_flags = 0;
  int64_t time = tvi_clock_now_ns();
  engine->loads_all = (options->flags & TRIVET_ENGINE_ALL_ALTERNATIVES) != 0;
  if ((options->flags & TRIVET_ENGINE_VERIFY_WEIGHTS) != 0)
    read_flags |= TVI_PLAN_READ_VERIFY_WEIGHTS;
  TRIVET_RETURN_IF_ERROR(tvi_plan_read(bytes, size, read_flags, engine->allocator, &engine->plan));
  TRIVET_RETURN_IF_ERROR(tvi_engine_find_plugins(engine, options));
  double read_ms = milliseconds_since(&time);
  beside_t warming = {.engine = engine}, weights = {.engine = engine};
  if (has_devices(engine->plan)) begin_beside(&warming, warm_up);
  trivet_status_t status = tvi_engine_find_program(engine, options->device);
  TRIVET_RETURN_IF_ERROR(trivet_status_join(status, end_beside(&warming)));
  double device_ms = milliseconds_since(&time);
  TRIVET_RETURN_IF_ERROR(find_late(engine));
  TRIVET_RETURN_IF_ERROR(make_steps(engine));
  TRIVET_RETURN_IF_ERROR(list_tensors(engine));
  TRIVET_RETURN_IF_ERROR(check_profiles(engine));
  TRIVET_RETURN_IF_ERROR(tvi_engine_place_weights(engine, options->memory_limit, &weights.is_used));
  if (weights.is_used) begin_beside(&weights, copy_weights);
  status = tvi_engine_load_steps(engine);
  TRIVET_RETURN_IF_ERROR(trivet_status_join(status, end_beside(&weights)));
  tvi_log(engine->runtime->logger, TRIVET_SEVERITY_INFO,
          "loaded: reading %.1f ms, device %.1f, weights and kernels %.1f", read_ms, device_ms,
          milliseconds_since(&time));
  return TRIVET_OK;
}

static trivet_status_t make_engine(trivet_runtime_t* runtime,
                                   const trivet_engine_options_t* options,
                                   trivet_engine_t** out_engine,
                                   trivet_engine_options_t* out_options) {
  TRIVET_RETURN_IF_ERROR(tvi_check_options(
      options != NULL ? &options->header : NULL, "engine options", TRIVET_STRUCT_ENGINE_OPTIONS,
      (uint32_t)offsetof(trivet_engine_options_t, memory_limit)));
  memset(out_options, 0, sizeof(*out_options));
  if (options != NULL) {
    out_options->flags = options->flags;
    out_options->device = options->device;
    if (TRIVET_HAS_FIELD(options, trivet_engine_options_t, memory_limit)) {
      out_options->memory_limit = options->memory_limit;
    }
    if (TRIVET_HAS_FIELD(options, trivet_engine_options_t, carried_hash_count)) {
      out_options->carried_hashes = options->carried_hashes;
      out_options->carried_hash_count = options->carried_hash_count;
    }
  }
  uint32_t known =
      TRIVET_ENGINE_VERIFY_WEIGHTS | TRIVET_ENGINE_ALLOW_CARRIED | TRIVET_ENGINE_ALL_ALTERNATIVES;
  uint32_t unknown = out_options->flags & ~known;
  if (unknown != 0) {
    return TRIVET_STATUS(INVALID_ARGUMENT,
                         "engine options: flags are 0x%x, of which 0x%x are unknown",
                         out_options->flags, unknown);
  }
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(runtime->allocator, sizeof(**out_engine), out_engine));
  (*out_engine)->runtime = runtime;
  (*out_engine)->allocator = runtime->allocator;
  tvi_arena_init(&(*out_engine)->arena, runtime->allocator, 0);
  return TRIVET_OK;
}

static trivet_status_t engine_load(trivet_runtime_t* runtime, const char* path,
                                   const trivet_engine_options_t* options,
                                   trivet_engine_t** out_engine) {
  if (runtime == NULL || path == NULL || out_engine == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "runtime, path or out_engine is NULL");
  }
  trivet_engine_t* engine = NULL;
  trivet_engine_options_t own;
  TRIVET_RETURN_IF_ERROR(make_engine(runtime, options, &engine, &own));
  trivet_status_t status =
      tvi_file_map(path, 0, TVI_FILE_TO_END, engine->allocator, &engine->mapping);
  if (status == NULL) {
    status = trivet_status_annotate(
        fill_engine(engine, engine->mapping->data, engine->mapping->size, &own), "%s", path);
  }
  if (status != NULL) {
    trivet_engine_destroy(engine);
    return status;
  }
  *out_engine = engine;
  return TRIVET_OK;
}

// Takes over |engine|.
static trivet_status_t fill_from_memory(trivet_engine_t* engine, const void* bytes, uint64_t size,
                                        const trivet_engine_options_t* options,
                                        trivet_engine_t** out_engine) {
  trivet_status_t status = TRIVET_OK;
  if ((uintptr_t)bytes % TVI_PLAN_WEIGHT_ALIGNMENT != 0 && size != 0) {
    status = tvi_alloc_aligned(engine->allocator, size, TVI_PLAN_WEIGHT_ALIGNMENT, &engine->copy);
    if (status == NULL) {
      engine->copy_size = size;
      memcpy(engine->copy, bytes, size);
      bytes = engine->copy;
    }
  }
  if (status == NULL) status = fill_engine(engine, bytes, size, options);
  if (status != NULL) {
    trivet_engine_destroy(engine);
    return status;
  }
  *out_engine = engine;
  return TRIVET_OK;
}

static trivet_status_t engine_load_memory(trivet_runtime_t* runtime, const void* bytes,
                                          uint64_t size, const trivet_engine_options_t* options,
                                          trivet_engine_t** out_engine) {
  if (runtime == NULL || (bytes == NULL && size != 0) || out_engine == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "runtime, bytes or out_engine is NULL");
  }
  trivet_engine_t* engine = NULL;
  trivet_engine_options_t own;
  TRIVET_RETURN_IF_ERROR(make_engine(runtime, options, &engine, &own));
  return fill_from_memory(engine, bytes, size, &own, out_engine);
}

trivet_status_t tvi_engine_load_body(trivet_engine_t* around, const uint8_t* bytes, uint64_t size,
                                     trivet_engine_t** out_engine) {
  if (around->depth == TVI_CONTROL_MAX_DEPTH) {
    return TRIVET_STATUS(DATA_LOSS, "bodies of control flow are nested deeper than %u",
                         TVI_CONTROL_MAX_DEPTH);
  }
  trivet_engine_t* engine = NULL;
  trivet_engine_options_t own;
  TRIVET_RETURN_IF_ERROR(make_engine(around->runtime, NULL, &engine, &own));
  engine->around = around;
  engine->depth = around->depth + 1;
  return fill_from_memory(engine, bytes, size, &own, out_engine);
}

void trivet_engine_destroy(trivet_engine_t* engine) {
  if (engine == NULL) return;
  tvi_engine_unload_steps(engine);
  tvi_engine_release_device(engine);
  tvi_registry_destroy(engine->carried);
  tvi_plan_destroy(engine->plan);
  tvi_file_mapping_release(engine->mapping);
  tvi_free_aligned(engine->allocator, engine->copy, engine->copy_size, TVI_PLAN_WEIGHT_ALIGNMENT);
  tvi_arena_deinit(&engine->arena);
  tvi_free(engine->allocator, engine, sizeof(*engine));
}

// --- Calls whose errors the caller's recorder gets --------------------------------------------

trivet_status_t trivet_engine_load(trivet_runtime_t* runtime, const char* path,
                                   const trivet_engine_options_t* options,
                                   trivet_engine_t** out_engine) {
  return tvi_record(runtime ? &runtime->recorder : NULL, "trivet_engine_load",
                    engine_load(runtime, path, options, out_engine));
}

trivet_status_t trivet_engine_load_memory(trivet_runtime_t* runtime, const void* bytes,
                                          uint64_t size, const trivet_engine_options_t* options,
                                          trivet_engine_t** out_engine) {
  return tvi_record(runtime ? &runtime->recorder : NULL, "trivet_engine_load_memory",
                    engine_load_memory(runtime, bytes, size, options, out_engine));
}
