// SPDX-License-Identifier: Apache-2.0
//
// Numbers to a context that is ready to run: sizes of buffers, offsets in the arena, views proven
// to lie in their buffers, a chosen alternative per step and what its kernel prepared. May
// allocate; nothing here runs a step.
#include <string.h>

#include "core/base/checked.h"
#include "core/base/clock.h"
#include "core/base/dtype.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/plan/memory_planner.h"
#include "runtime/context/context.h"

int64_t tvi_operand_element_count(const trivet_operand_t* operand) {
  int64_t count = 1;
  for (uint32_t d = 0; d < operand->rank; ++d) count *= operand->dims[d];
  return count;
}

bool tvi_operand_is_dense(const trivet_operand_t* operand) {
  if (tvi_operand_element_count(operand) == 0) return true;
  int64_t stride = 1;
  for (uint32_t d = operand->rank; d-- > 0;) {
    if (operand->dims[d] != 1 && operand->strides[d] != stride) return false;
    stride *= operand->dims[d];
  }
  return true;
}

// --- Buffers -------------------------------------------------------------------------------------

// Bytes from the start of the caller's memory to the end of the binding's view: what the caller was
// asked for, whatever the plan says of the buffer.
static trivet_status_t binding_size(const trivet_context_t* context, uint32_t binding,
                                    uint64_t* out_size) {
  const trivet_engine_t* engine = context->engine;
  const tvi_plan_tensor_t* tensor =
      &engine->program->tensors[engine->plan->bindings[binding].tensor];
  int64_t offset, last = 0;
  bool is_empty = false, fits = true;
  TRIVET_RETURN_IF_ERROR(tvi_context_value(context, tensor->offset, &offset));
  for (uint32_t d = 0; d < tensor->rank; ++d) {
    int64_t dim, stride, reach;
    TRIVET_RETURN_IF_ERROR(tvi_context_value(context, tensor->dims[d], &dim));
    TRIVET_RETURN_IF_ERROR(tvi_context_value(context, tensor->strides[d], &stride));
    is_empty = is_empty || dim == 0;
    fits = fits && dim >= 0 && stride >= 0;
    fits = fits && (dim < 2 || (tvi_checked_mul_i64(dim - 1, stride, &reach) &&
                                tvi_checked_add_i64(last, reach, &last)));
  }
  size_t bytes = 0;
  if (!is_empty && fits && last < INT64_MAX) {
    TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(tensor->dtype, last + 1, &bytes));
  }
  uint64_t size;
  if (!fits || offset < 0 || !tvi_checked_add_u64((uint64_t)offset, bytes, &size)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "tensor '%.*s' has no valid size for these shapes",
                         TVI_SV_ARGS(engine->plan->bindings[binding].name));
  }
  *out_size = is_empty ? 0 : size;
  return TRIVET_OK;
}

// Sizes of all buffers that are known before anything has run.
static trivet_status_t size_buffers(trivet_context_t* context, tvi_memory_item_t* items) {
  const trivet_engine_t* engine = context->engine;
  for (uint32_t b = 0; b < engine->program->buffer_count; ++b) {
    const tvi_plan_buffer_t* from = &engine->program->buffers[b];
    tvi_context_buffer_t* buffer = &context->buffers[b];
    items[b] = (tvi_memory_item_t){0, from->alignment, from->first_step, from->last_step};
    if (from->alignment < TVI_CONTEXT_ALIGNMENT) items[b].alignment = TVI_CONTEXT_ALIGNMENT;
    if (engine->buffer_is_late[b]) continue;
    if (from->kind == TVI_PLAN_BUFFER_BINDING) {
      TRIVET_RETURN_IF_ERROR(binding_size(context, from->index, &buffer->size));
    } else if (from->kind == TVI_PLAN_BUFFER_CONSTANT) {
      buffer->size = engine->plan->constants[from->index].size;
      buffer->base = tvi_engine_constant(engine, b);
    } else {
      int64_t size;
      TRIVET_RETURN_IF_ERROR(tvi_context_value(context, from->size, &size));
      if (size < 0) {
        return TRIVET_STATUS(OUT_OF_RANGE, "buffer %u has size %lld for these shapes", b,
                             (long long)size);
      }
      buffer->size = (uint64_t)size;
    }
  }
  return TRIVET_OK;
}

// Offsets of the arena buffers in one memory. |items| of the others are empty.
static trivet_status_t place_buffers(trivet_context_t* context, uint32_t memory,
                                     const tvi_memory_item_t* items, uint64_t* offsets) {
  const tvi_plan_program_t* program = context->engine->program;
  tvi_context_memory_t* arena = &context->arenas[memory];
  uint64_t total, alignment = TVI_CONTEXT_ALIGNMENT;
  TRIVET_RETURN_IF_ERROR(
      tvi_memory_plan(items, program->buffer_count, context->allocator, offsets, &total));
  for (uint32_t b = 0; b < program->buffer_count; ++b) {
    if (items[b].alignment > alignment) alignment = items[b].alignment;
  }
  TRIVET_RETURN_IF_ERROR(tvi_context_grow(context, memory, "arena", total, alignment, arena));
  if (memory == tvi_context_own_memory(context)) {
    context->memory_size = total;
    context->memory_lower_bound = tvi_memory_lower_bound(items, program->buffer_count);
  }
  for (uint32_t b = 0; b < program->buffer_count; ++b) {
    if (program->buffers[b].kind != TVI_PLAN_BUFFER_ARENA) continue;
    if (program->buffers[b].memory != memory || context->engine->buffer_is_late[b]) continue;
    context->buffers[b].base = arena->base != NULL ? arena->base + offsets[b] : NULL;
  }
  return TRIVET_OK;
}

static trivet_status_t place_all(trivet_context_t* context, tvi_memory_item_t* items,
                                 uint64_t* offsets) {
  const tvi_plan_program_t* program = context->engine->program;
  for (uint32_t memory = TRIVET_MEMORY_HOST; memory <= tvi_context_own_memory(context); ++memory) {
    for (uint32_t b = 0; b < program->buffer_count; ++b) {
      bool is_here = program->buffers[b].memory == memory &&
                     program->buffers[b].kind == TVI_PLAN_BUFFER_ARENA &&
                     !context->engine->buffer_is_late[b];
      items[b].size = is_here ? context->buffers[b].size : 0;
    }
    TRIVET_RETURN_IF_ERROR(place_buffers(context, memory, items, offsets));
  }
  return TRIVET_OK;
}

static trivet_status_t plan_memory(trivet_context_t* context) {
  uint32_t count = context->engine->program->buffer_count;
  tvi_memory_item_t* items;
  uint64_t* offsets = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_alloc_array(context->allocator, (size_t)count + 1, sizeof(*items), &items));
  trivet_status_t status =
      tvi_alloc_array(context->allocator, (size_t)count + 1, sizeof(*offsets), &offsets);
  if (status == NULL) status = size_buffers(context, items);
  if (status == NULL) status = place_all(context, items, offsets);
  tvi_free_array(context->allocator, items, (size_t)count + 1, sizeof(*items));
  tvi_free_array(context->allocator, offsets, (size_t)count + 1, sizeof(*offsets));
  return status;
}

trivet_status_t tvi_context_grow_buffer(trivet_context_t* context, uint32_t index, uint64_t size) {
  tvi_context_buffer_t* buffer = &context->buffers[index];
  uint32_t where = context->engine->program->buffers[index].memory;
  if (size > buffer->capacity) {
    tvi_context_memory_t grown = {0}, old = {buffer->base, buffer->capacity, TVI_CONTEXT_ALIGNMENT};
    if (old.capacity == 0) old.base = NULL;
    TRIVET_RETURN_IF_ERROR_ANNOTATED(
        tvi_context_grow(context, where, "buffer", size, TVI_CONTEXT_ALIGNMENT, &grown),
        "buffer %u", index);
    trivet_status_t status =
        tvi_context_copy(context, context->stream, grown.base, old.base, old.capacity);
    status = trivet_status_join(status, tvi_context_finish(context));
    if (status != NULL) {
      tvi_context_release_memory(context, where, &grown);
      return status;
    }
    tvi_context_release_memory(context, where, &old);
    buffer->base = grown.base;
    buffer->capacity = size;
  }
  buffer->size = buffer->capacity;
  return TRIVET_OK;
}

// --- Views ---------------------------------------------------------------------------------------

// Bytes that an address is certainly a multiple of.
static uint32_t view_alignment(const trivet_context_t* context, const tvi_plan_buffer_t* buffer,
                               uint32_t dtype, int64_t offset) {
  uint32_t alignment = TVI_CONTEXT_ALIGNMENT;
  if (buffer->kind == TVI_PLAN_BUFFER_BINDING) {
    alignment = context->engine->plan->bindings[buffer->index].alignment;
    uint32_t bytes = tvi_dtype_bytes(dtype);
    if (tvi_dtype_is_complex(dtype)) bytes /= 2;
    if (bytes > alignment) alignment = bytes;
  }
  while (offset % alignment != 0) alignment /= 2;
  return alignment;
}

trivet_status_t tvi_context_view(trivet_context_t* context, uint32_t index,
                                 trivet_operand_t* out_operand, int64_t* out_offset) {
  const trivet_engine_t* engine = context->engine;
  const tvi_plan_tensor_t* tensor = &engine->program->tensors[index];
  const tvi_plan_buffer_t* from = &engine->program->buffers[tensor->buffer];
  tvi_context_buffer_t* buffer = &context->buffers[tensor->buffer];
  trivet_operand_t operand = {.dtype = tensor->dtype, .rank = tensor->rank};
  int64_t offset;
  TRIVET_RETURN_IF_ERROR(tvi_context_value(context, tensor->offset, &offset));
  for (uint32_t d = 0; d < tensor->rank; ++d) {
    TRIVET_RETURN_IF_ERROR(tvi_context_value(context, tensor->dims[d], &operand.dims[d]));
    TRIVET_RETURN_IF_ERROR(tvi_context_value(context, tensor->strides[d], &operand.strides[d]));
  }
  if (engine->buffer_is_late[tensor->buffer] && from->kind == TVI_PLAN_BUFFER_BINDING) {
    TRIVET_RETURN_IF_ERROR(binding_size(context, from->index, &buffer->size));
  }
  int64_t size;
  if (!tvi_checked_u64_to_i64(buffer->size, &size)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "buffer %u is larger than 2^63 bytes", tensor->buffer);
  }
  TRIVET_RETURN_IF_ERROR_ANNOTATED(
      tvi_plan_check_view(operand.dtype, operand.rank, operand.dims, operand.strides, offset, size),
      "tensor %u ('%.*s')", index, TVI_SV_ARGS(tensor->name));
  if (from->kind == TVI_PLAN_BUFFER_CONSTANT) {
    operand.flags = TRIVET_OPERAND_CONSTANT;
    operand.constant = buffer->base + offset;
  }
  operand.alignment = view_alignment(context, from, tensor->dtype, offset);
  *out_operand = operand;
  *out_offset = offset;
  return TRIVET_OK;
}

// --- Steps ---------------------------------------------------------------------------------------

static void release_step(trivet_context_t* context, tvi_context_step_t* step) {
  if (step->is_prepared) {
    const trivet_kernel_t* kernel = step->alternative->kernel;
    kernel->release(kernel, step->prepared, &context->allocator);
  }
  step->prepared = NULL;
  step->alternative = NULL;
  step->is_prepared = false;
  step->is_skipped = false;
}

void tvi_context_release_steps(trivet_context_t* context) {
  if (context->steps == NULL) return;
  for (uint32_t i = 0; i < context->engine->block->step_count; ++i) {
    release_step(context, &context->steps[i]);
  }
}

static trivet_status_t choose_alternative(trivet_context_t* context, uint32_t index,
                                          const tvi_engine_alternative_t** out_alternative) {
  const tvi_engine_step_t* step = &context->engine->steps[index];
  for (uint32_t a = 0; a < step->plan->alternative_count; ++a) {
    const tvi_engine_alternative_t* alternative = &step->alternatives[a];
    if (!alternative->usable) continue;
    bool is_forced = context->forced != NULL && context->forced[index] != TVI_PLAN_NONE;
    if (is_forced && context->forced[index] != a) continue;
    bool holds;
    TRIVET_RETURN_IF_ERROR(tvi_context_guards_hold(context, alternative->plan->guards,
                                                   alternative->plan->guard_count, &holds));
    if (!holds) continue;
    *out_alternative = alternative;
    return TRIVET_OK;
  }
  return TRIVET_STATUS(UNAVAILABLE, "no alternative that this machine can run takes these shapes");
}

// Late buffers get their memory from whoever writes them.
static trivet_status_t grow_output(trivet_context_t* context, uint32_t tensor) {
  const trivet_engine_t* engine = context->engine;
  uint32_t b = engine->program->tensors[tensor].buffer;
  const tvi_plan_buffer_t* buffer = &engine->program->buffers[b];
  if (!engine->buffer_is_late[b] || buffer->kind != TVI_PLAN_BUFFER_ARENA) return TRIVET_OK;
  int64_t size;
  TRIVET_RETURN_IF_ERROR(tvi_context_value(context, buffer->size, &size));
  if (size < 0) return TRIVET_STATUS(OUT_OF_RANGE, "buffer %u has size %lld", b, (long long)size);
  return tvi_context_grow_buffer(context, b, (uint64_t)size);
}

// Outputs of a host function whose extents it will say itself.
static bool is_open_output(const trivet_context_t* context, uint32_t step, uint32_t tensor) {
  const trivet_engine_t* engine = context->engine;
  return engine->steps[step].plan->kind == TVI_PLAN_STEP_HOST && engine->tensor_is_late[tensor];
}

static trivet_status_t fill_operands(trivet_context_t* context, uint32_t index,
                                     const tvi_plan_alternative_t* plan, bool* out_is_empty,
                                     uint64_t* out_bytes) {
  const trivet_engine_t* engine = context->engine;
  int64_t* offsets = context->operand_offsets + engine->steps[index].first_operand;
  bool is_empty = plan->output_count != 0;
  uint64_t bytes = 0;
  for (uint32_t k = 0; k < plan->operand_count; ++k) {
    trivet_operand_t* operand = &context->step_operands[k];
    bool is_output = k >= plan->operand_count - plan->output_count;
    uint32_t tensor = plan->operands[k];
    offsets[k] = 0;
    if (tensor == TVI_PLAN_NONE) {
      *operand = (trivet_operand_t){.flags = TRIVET_OPERAND_ABSENT};
      continue;
    }
    if (is_output && is_open_output(context, index, tensor)) {
      *operand = (trivet_operand_t){.flags = TRIVET_OPERAND_OUTPUT};
      is_empty = false;
      continue;
    }
    if (is_output) TRIVET_RETURN_IF_ERROR(grow_output(context, tensor));
    TRIVET_RETURN_IF_ERROR_ANNOTATED(tvi_context_view(context, tensor, operand, &offsets[k]),
                                     "operand %u", k);
    if (is_output && (operand->flags & TRIVET_OPERAND_CONSTANT) != 0) {
      return TRIVET_STATUS(DATA_LOSS, "operand %u is written, but lies in a constant", k);
    }
    if (is_output) operand->flags |= TRIVET_OPERAND_OUTPUT;
    int64_t count = tvi_operand_element_count(operand);
    if (is_output && count != 0) is_empty = false;
    size_t size;
    TRIVET_RETURN_IF_ERROR(tvi_dtype_storage_size(operand->dtype, count, &size));
    bytes += size;
    if (engine->steps[index].plan->kind == TVI_PLAN_STEP_HOST && !tvi_operand_is_dense(operand)) {
      return TRIVET_STATUS(DATA_LOSS, "operand %u of a host function is not dense", k);
    }
  }
  *out_is_empty = is_empty;
  *out_bytes = bytes;
  return TRIVET_OK;
}

static trivet_status_t prepare_launch(trivet_context_t* context, tvi_context_step_t* step,
                                      uint64_t* inout_workspace_size) {
  const tvi_plan_alternative_t* plan = step->alternative->plan;
  const trivet_kernel_t* kernel = step->alternative->kernel;
  for (uint32_t p = 0; p < plan->parameter_count; ++p) {
    TRIVET_RETURN_IF_ERROR(
        tvi_context_value(context, plan->parameters[p], &context->step_parameters[p]));
  }
  trivet_kernel_prepare_t prepare = {
      .header = {(uint32_t)sizeof(prepare), TRIVET_STRUCT_KERNEL, NULL},
      .operands = context->step_operands,
      .operand_count = plan->operand_count,
      .parameters = context->step_parameters,
      .parameter_count = plan->parameter_count,
      .allocator = &context->allocator,
      .executor = context->executor,
  };
  uint64_t workspace = 0;
  TRIVET_RETURN_IF_ERROR_ANNOTATED(
      kernel->prepare(kernel, step->alternative->loaded, &prepare, &workspace, &step->prepared),
      "kernel '%s'", kernel->name);
  step->is_prepared = true;
  if (workspace > *inout_workspace_size) *inout_workspace_size = workspace;
  return TRIVET_OK;
}

// The verifier has compared types; extents are known only now.
static trivet_status_t prepare_copy(const trivet_context_t* context, tvi_context_step_t* step) {
  const trivet_operand_t *from = &context->step_operands[0], *to = &context->step_operands[1];
  bool same = tvi_operand_is_dense(from) && tvi_operand_is_dense(to);
  for (uint32_t d = 0; d < from->rank; ++d) same = same && from->dims[d] == to->dims[d];
  if (!same) return TRIVET_STATUS(DATA_LOSS, "a copy between different or strided shapes");
  size_t size;
  TRIVET_RETURN_IF_ERROR(
      tvi_dtype_storage_size(from->dtype, tvi_operand_element_count(from), &size));
  step->copy_size = size;
  return TRIVET_OK;
}

trivet_status_t tvi_context_prepare_step(trivet_context_t* context, uint32_t index,
                                         uint64_t* inout_workspace_size) {
  tvi_context_step_t* step = &context->steps[index];
  release_step(context, step);
  const tvi_engine_alternative_t* alternative;
  TRIVET_RETURN_IF_ERROR(choose_alternative(context, index, &alternative));
  bool is_empty = false;
  TRIVET_RETURN_IF_ERROR(fill_operands(context, index, alternative->plan, &is_empty, &step->bytes));
  step->alternative = alternative;
  step->is_skipped = is_empty;
  uint32_t kind = context->engine->steps[index].plan->kind;
  if (is_empty || kind == TVI_PLAN_STEP_HOST) return TRIVET_OK;
  if (kind == TVI_PLAN_STEP_COPY) return prepare_copy(context, step);
  return prepare_launch(context, step, inout_workspace_size);
}

static trivet_status_t prepare(trivet_context_t* context) {
  const trivet_engine_t* engine = context->engine;
  uint64_t workspace = 0;
  TRIVET_RETURN_IF_ERROR(tvi_context_bind_shapes(context));
  TRIVET_RETURN_IF_ERROR(plan_memory(context));
  for (uint32_t i = 0; i < engine->block->step_count; ++i) {
    if (engine->steps[i].is_late) continue;
    int64_t start = tvi_clock_now_ns();
    TRIVET_RETURN_IF_ERROR(
        tvi_engine_annotate_step(engine, i, tvi_context_prepare_step(context, i, &workspace)));
    tvi_engine_log_slow_step(engine, i, "prepared", start);
  }
  return tvi_context_grow_workspace(context, workspace);
}

trivet_status_t tvi_context_prepare(trivet_context_t* context) {
  if (context == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "context is NULL");
  if (context->is_prepared) return TRIVET_OK;
  context->is_resolved = false;
  context->epoch = 0;
  TRIVET_RETURN_IF_ERROR(tvi_device_enter(context->device));
  TRIVET_RETURN_IF_ERROR(tvi_context_finish(context));
  tvi_context_drop_graphs(context);
  tvi_context_release_steps(context);
  trivet_status_t status = prepare(context);
  if (status != NULL) {
    tvi_context_release_steps(context);
    return status;
  }
  context->is_prepared = true;
  ++context->prepare_count;
  return TRIVET_OK;
}

// --- Calls whose errors the caller's recorder gets --------------------------------------------

trivet_status_t trivet_context_prepare(trivet_context_t* context) {
  return tvi_record(context ? &context->engine->runtime->recorder : NULL, "trivet_context_prepare",
                    tvi_context_prepare(context));
}
