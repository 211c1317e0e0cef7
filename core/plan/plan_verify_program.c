// SPDX-License-Identifier: Apache-2.0
//
// The rules of one program of a plan: buffers, tensors, blocks, steps and how they refer to each
// other and to the shared sections. Runs after those have been checked. What depends on shapes is
// left to the engine, which binds them; everything else is decided here.
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/checked.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/dimension/dim_code.h"
#include "core/plan/plan_format.h"
#include "core/plan/plan_order.h"

typedef struct buffer_state_s {
  uint32_t written;  // holds data for the steps that follow
  uint32_t writers;  // alternatives of the current step that write it
  uint32_t stamp;    // alternative that was counted last, from 1 on
} buffer_state_t;

typedef struct checker_s {
  const tvi_plan_t* plan;
  const tvi_plan_program_t* program;
  buffer_state_t* buffers;
  uint32_t* symbol_ready;  // first step that may use the symbol; TVI_PLAN_NONE: none
  uint32_t* expr_ready;
  uint32_t stamps;
  bool has_device_memory;
} checker_t;

static trivet_status_t check_expr(const checker_t* c, const char* field, tvi_plan_expr_t expr) {
  if (expr < c->plan->expr_count) return TRIVET_OK;
  return TRIVET_STATUS(DATA_LOSS, "%s is expression %u of %u", field, expr, c->plan->expr_count);
}

static bool constant_of(const checker_t* c, tvi_plan_expr_t expr, int64_t* out_value) {
  const tvi_plan_expr_code_t* code = &c->plan->exprs[expr];
  return tvi_dim_code_is_constant(code->code, (size_t)code->size, out_value);
}

static trivet_status_t check_guard(const checker_t* c, const tvi_plan_guard_t* guard) {
  if (guard->kind > TVI_PLAN_GUARD_DIVISIBLE)
    return TRIVET_STATUS(DATA_LOSS, "kind %u", guard->kind);
  TRIVET_RETURN_IF_ERROR(check_expr(c, "a", guard->a));
  return check_expr(c, "b", guard->b);
}

static trivet_status_t check_buffer(const checker_t* c, const tvi_plan_buffer_t* buffer) {
  const tvi_plan_t* plan = c->plan;
  int64_t size = 0;
  TRIVET_RETURN_IF_ERROR(check_expr(c, "size", buffer->size));
  bool is_constant = constant_of(c, buffer->size, &size);
  if (is_constant && size < 0) return TRIVET_STATUS(DATA_LOSS, "size %lld", (long long)size);
  if (!tvi_is_power_of_two(buffer->alignment) || buffer->alignment > TVI_PLAN_MAX_ALIGNMENT) {
    return TRIVET_STATUS(DATA_LOSS, "alignment %u", buffer->alignment);
  }
  if (buffer->memory > TRIVET_MEMORY_DEVICE) {
    return TRIVET_STATUS(DATA_LOSS, "memory %u", buffer->memory);
  }
  switch (buffer->kind) {
    case TVI_PLAN_BUFFER_ARENA:
      if (buffer->first_step > buffer->last_step ||
          buffer->last_step >= c->program->blocks[0].step_count) {
        return TRIVET_STATUS(DATA_LOSS, "live in steps %u..%u of %u", buffer->first_step,
                             buffer->last_step, c->program->blocks[0].step_count);
      }
      return TRIVET_OK;
    case TVI_PLAN_BUFFER_BINDING:
      if (buffer->index < plan->binding_count) return TRIVET_OK;
      return TRIVET_STATUS(DATA_LOSS, "index is binding %u of %u", buffer->index,
                           plan->binding_count);
    case TVI_PLAN_BUFFER_CONSTANT:
      if (buffer->index >= plan->constant_count) {
        return TRIVET_STATUS(DATA_LOSS, "index is constant %u of %u", buffer->index,
                             plan->constant_count);
      }
      if (!is_constant || (uint64_t)size > plan->constants[buffer->index].size) {
        return TRIVET_STATUS(DATA_LOSS, "size is not a number up to %llu, that of constant %u",
                             (unsigned long long)plan->constants[buffer->index].size,
                             buffer->index);
      }
      return buffer->alignment <= TVI_PLAN_WEIGHT_ALIGNMENT
                 ? TRIVET_OK
                 : TRIVET_STATUS(DATA_LOSS, "alignment %u of a constant", buffer->alignment);
    default:
      return TRIVET_STATUS(DATA_LOSS, "kind %u", buffer->kind);
  }
}

static trivet_status_t check_tensor(const checker_t* c, const tvi_plan_tensor_t* tensor) {
  int64_t dims[TRIVET_MAX_RANK], strides[TRIVET_MAX_RANK], offset = 0, size = 0;
  if (tvi_dtype_bits(tensor->dtype) == 0) {
    return TRIVET_STATUS(DATA_LOSS, "dtype %u has no storage", tensor->dtype);
  }
  if (tensor->rank > TRIVET_MAX_RANK) return TRIVET_STATUS(DATA_LOSS, "rank %u", tensor->rank);
  if ((tensor->flags & ~TVI_PLAN_TENSOR_OBSERVED) != 0) {
    return TRIVET_STATUS(DATA_LOSS, "flags %#x", tensor->flags);
  }
  if (tensor->buffer >= c->program->buffer_count) {
    return TRIVET_STATUS(DATA_LOSS, "buffer %u of %u", tensor->buffer, c->program->buffer_count);
  }
  TRIVET_RETURN_IF_ERROR(check_expr(c, "offset", tensor->offset));
  bool known = constant_of(c, tensor->offset, &offset) &&
               constant_of(c, c->program->buffers[tensor->buffer].size, &size);
  for (uint32_t d = 0; d < tensor->rank; ++d) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check_expr(c, "dims", tensor->dims[d]), "axis %u", d);
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check_expr(c, "strides", tensor->strides[d]), "axis %u", d);
    known = constant_of(c, tensor->dims[d], &dims[d]) && known;
    known = constant_of(c, tensor->strides[d], &strides[d]) && known;
  }
  if (!known) return TRIVET_OK;
  trivet_status_t status =
      tvi_plan_check_view(tensor->dtype, tensor->rank, dims, strides, offset, size);
  if (status == NULL) return TRIVET_OK;
  // Damage here, whatever it would be at run time.
  trivet_status_t error = TRIVET_STATUS(DATA_LOSS, "%s", trivet_status_message(status));
  trivet_status_free(status);
  return error;
}

static trivet_status_t check_binding(const checker_t* c, uint32_t index) {
  const tvi_plan_binding_t* binding = &c->plan->bindings[index];
  if (binding->tensor >= c->program->tensor_count) {
    return TRIVET_STATUS(DATA_LOSS, "tensor %u of %u", binding->tensor, c->program->tensor_count);
  }
  const tvi_plan_buffer_t* buffer =
      &c->program->buffers[c->program->tensors[binding->tensor].buffer];
  if (buffer->kind != TVI_PLAN_BUFFER_BINDING || buffer->index != index) {
    return TRIVET_STATUS(DATA_LOSS, "tensor %u is not in the memory of this binding",
                         binding->tensor);
  }
  return TRIVET_OK;
}

// --- Steps ---------------------------------------------------------------------------------------

// Everything that says where the tensor lies is known when step |step| begins, or, for its own
// outputs, when it ends.
static trivet_status_t check_ready(const checker_t* c, uint32_t tensor_index, uint32_t ready_at) {
  const tvi_plan_tensor_t* tensor = &c->program->tensors[tensor_index];
  bool is_ready = c->expr_ready[tensor->offset] <= ready_at;
  for (uint32_t d = 0; d < tensor->rank; ++d) {
    is_ready = is_ready && c->expr_ready[tensor->dims[d]] <= ready_at &&
               c->expr_ready[tensor->strides[d]] <= ready_at;
  }
  return is_ready
             ? TRIVET_OK
             : TRIVET_STATUS(DATA_LOSS, "tensor %u has a size that is not known yet", tensor_index);
}

static trivet_status_t check_operand(checker_t* c, uint32_t step, uint32_t tensor_index,
                                     bool is_output) {
  if (tensor_index == TVI_PLAN_NONE) return TRIVET_OK;
  if (tensor_index >= c->program->tensor_count) {
    return TRIVET_STATUS(DATA_LOSS, "tensor %u of %u", tensor_index, c->program->tensor_count);
  }
  uint32_t buffer_index = c->program->tensors[tensor_index].buffer;
  const tvi_plan_buffer_t* buffer = &c->program->buffers[buffer_index];
  buffer_state_t* state = &c->buffers[buffer_index];
  bool is_input_memory = buffer->kind == TVI_PLAN_BUFFER_CONSTANT ||
                         (buffer->kind == TVI_PLAN_BUFFER_BINDING &&
                          c->plan->bindings[buffer->index].mode == TVI_PLAN_BINDING_INPUT);
  TRIVET_RETURN_IF_ERROR(check_ready(c, tensor_index, is_output ? step + 1 : step));
  if (buffer->kind == TVI_PLAN_BUFFER_ARENA &&
      (step < buffer->first_step || step > buffer->last_step)) {
    return TRIVET_STATUS(DATA_LOSS, "tensor %u: buffer %u is live in steps %u..%u only",
                         tensor_index, buffer_index, buffer->first_step, buffer->last_step);
  }
  if (!is_output) {
    if (is_input_memory || state->written) return TRIVET_OK;
    return TRIVET_STATUS(DATA_LOSS, "tensor %u: buffer %u is read before it is written",
                         tensor_index, buffer_index);
  }
  if (is_input_memory) {
    return TRIVET_STATUS(DATA_LOSS, "tensor %u: buffer %u cannot be written", tensor_index,
                         buffer_index);
  }
  if (state->stamp != c->stamps) {
    state->stamp = c->stamps;
    ++state->writers;
  }
  return TRIVET_OK;
}

// Host functions follow addresses on the host, kernels those of their target; copies take both.
static trivet_status_t check_memory(const checker_t* c, uint32_t kind, uint32_t tensor) {
  if (tensor == TVI_PLAN_NONE || kind == TVI_PLAN_STEP_COPY) return TRIVET_OK;
  uint32_t buffer = c->program->tensors[tensor].buffer;
  uint32_t wanted = kind == TVI_PLAN_STEP_LAUNCH && c->has_device_memory ? TRIVET_MEMORY_DEVICE
                                                                         : TRIVET_MEMORY_HOST;
  if (c->program->buffers[buffer].memory == wanted) return TRIVET_OK;
  return TRIVET_STATUS(DATA_LOSS, "tensor %u: buffer %u lies in the memory of the %s", tensor,
                       buffer, wanted == TRIVET_MEMORY_HOST ? "device" : "host");
}

// Extents and strides are compared when shapes are bound.
static trivet_status_t check_copy(const checker_t* c, const tvi_plan_alternative_t* a) {
  if (a->operand_count != 2 || a->output_count != 1 || a->operands[0] == TVI_PLAN_NONE ||
      a->operands[1] == TVI_PLAN_NONE) {
    return TRIVET_STATUS(DATA_LOSS, "a copy with %u operands, %u of them outputs", a->operand_count,
                         a->output_count);
  }
  const tvi_plan_tensor_t* from = &c->program->tensors[a->operands[0]];
  const tvi_plan_tensor_t* to = &c->program->tensors[a->operands[1]];
  if (from->dtype == to->dtype && from->rank == to->rank) return TRIVET_OK;
  return TRIVET_STATUS(DATA_LOSS, "a copy from %s of rank %u to %s of rank %u",
                       tvi_dtype_name(from->dtype), from->rank, tvi_dtype_name(to->dtype),
                       to->rank);
}

static trivet_status_t check_alternative(checker_t* c, uint32_t step,
                                         const tvi_plan_alternative_t* a, bool is_last) {
  uint32_t kind = c->program->blocks[0].steps[step].kind;
  if (a->kernel.size == 0 && kind != TVI_PLAN_STEP_COPY) {
    return TRIVET_STATUS(DATA_LOSS, "kernel is empty");
  }
  if (is_last && a->guard_count != 0) {
    return TRIVET_STATUS(DATA_LOSS, "the last one has %u guards", a->guard_count);
  }
  for (uint32_t i = 0; i < a->guard_count; ++i) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check_guard(c, &a->guards[i]), "guard %u", i);
    if (c->expr_ready[a->guards[i].a] > step || c->expr_ready[a->guards[i].b] > step) {
      return TRIVET_STATUS(DATA_LOSS, "guard %u uses a size that is not known yet", i);
    }
  }
  for (uint32_t i = 0; i < a->requirement_count; ++i) {
    if (a->requirements[i].size == 0) return TRIVET_STATUS(DATA_LOSS, "requirement %u is empty", i);
  }
  for (uint32_t i = 0; i < a->parameter_count; ++i) {
    if (a->parameters[i] >= c->plan->expr_count) {
      return TRIVET_STATUS(DATA_LOSS, "parameter %u is expression %u of %u", i, a->parameters[i],
                           c->plan->expr_count);
    }
    if (c->expr_ready[a->parameters[i]] > step) {
      return TRIVET_STATUS(DATA_LOSS, "parameter %u uses a size that is not known yet", i);
    }
  }
  if (a->output_count > a->operand_count) {
    return TRIVET_STATUS(DATA_LOSS, "%u outputs among %u operands", a->output_count,
                         a->operand_count);
  }
  ++c->stamps;
  for (uint32_t i = 0; i < a->operand_count; ++i) {
    bool is_output = i >= a->operand_count - a->output_count;
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check_operand(c, step, a->operands[i], is_output),
                                     "operand %u", i);
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check_memory(c, kind, a->operands[i]), "operand %u", i);
  }
  return kind == TVI_PLAN_STEP_COPY ? check_copy(c, a) : TRIVET_OK;
}

static trivet_status_t check_bound_symbol(checker_t* c, const tvi_plan_step_t* step,
                                          const tvi_plan_bound_symbol_t* bound) {
  for (uint32_t i = 0; i < step->alternative_count; ++i) {
    const tvi_plan_alternative_t* a = &step->alternatives[i];
    if (bound->output >= a->output_count || a->output_count > a->operand_count) {
      return TRIVET_STATUS(DATA_LOSS, "output %u of %u", bound->output, a->output_count);
    }
    uint32_t tensor = a->operands[a->operand_count - a->output_count + bound->output];
    if (tensor >= c->program->tensor_count || bound->axis >= c->program->tensors[tensor].rank) {
      return TRIVET_STATUS(DATA_LOSS, "axis %u of output %u does not exist", bound->axis,
                           bound->output);
    }
    const tvi_plan_expr_code_t* code =
        &c->plan->exprs[c->program->tensors[tensor].dims[bound->axis]];
    size_t cursor = 0;
    uint8_t op = 0;
    int64_t symbol = 0;
    if (!tvi_dim_code_next(code->code, (size_t)code->size, &cursor, &op, &symbol) ||
        op != TVI_DIM_CODE_SYMBOL || cursor != code->size || symbol != bound->symbol) {
      return TRIVET_STATUS(DATA_LOSS, "axis %u of output %u is not symbol %u", bound->axis,
                           bound->output, bound->symbol);
    }
  }
  return TRIVET_OK;
}

// What holds for steps of every block and kind.
static trivet_status_t check_step_form(const checker_t* c, uint32_t block, uint32_t index) {
  const tvi_plan_step_t* step = &c->program->blocks[block].steps[index];
  const char* kind = tvi_plan_step_kind_name(step->kind);
  if (kind == NULL) return TRIVET_STATUS(DATA_LOSS, "kind %u", step->kind);
  if (step->flops > c->plan->expr_count) return check_expr(c, "flops", step->flops - 1);
  if (step->queue >= TVI_PLAN_MAX_QUEUES) {
    return TRIVET_STATUS(DATA_LOSS, "queue %u of %u", step->queue, TVI_PLAN_MAX_QUEUES);
  }
  for (uint32_t i = 0; i < step->wait_count; ++i) {
    if (step->waits[i] >= index ||
        c->program->blocks[block].steps[step->waits[i]].queue == step->queue) {
      return TRIVET_STATUS(DATA_LOSS, "wait %u is for step %u, not an earlier one of another queue",
                           i, step->waits[i]);
    }
  }
  bool calls = step->kind == TVI_PLAN_STEP_IF || step->kind == TVI_PLAN_STEP_LOOP;
  if (step->block_count != 0 && !calls) {
    return TRIVET_STATUS(DATA_LOSS, "%u blocks in a step of kind %s", step->block_count, kind);
  }
  for (uint32_t i = 0; i < step->block_count; ++i) {
    // Only later blocks are called, so calls cannot go round in circles.
    if (step->blocks[i] <= block || step->blocks[i] >= c->program->block_count) {
      return TRIVET_STATUS(DATA_LOSS, "block %u is block %u, called from block %u of %u", i,
                           step->blocks[i], block, c->program->block_count);
    }
  }
  if (step->bound_symbol_count != 0 && step->kind != TVI_PLAN_STEP_HOST) {
    return TRIVET_STATUS(DATA_LOSS, "%u bound symbols in a step of kind %s",
                         step->bound_symbol_count, kind);
  }
  if (step->kind != TVI_PLAN_STEP_LAUNCH && step->kind != TVI_PLAN_STEP_HOST &&
      step->kind != TVI_PLAN_STEP_COPY) {
    return TRIVET_STATUS(UNIMPLEMENTED, "steps of kind %s cannot be run by this version", kind);
  }
  if (step->alternative_count == 0) return TRIVET_STATUS(DATA_LOSS, "no alternatives");
  return TRIVET_OK;
}

static trivet_status_t check_main_step(checker_t* c, uint32_t index) {
  const tvi_plan_step_t* step = &c->program->blocks[0].steps[index];
  for (uint32_t i = 0; i < step->alternative_count; ++i) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(
        check_alternative(c, index, &step->alternatives[i], i + 1 == step->alternative_count),
        "alternative %u", i);
  }
  // Written: whichever alternative is taken.
  for (uint32_t i = 0; i < step->alternative_count; ++i) {
    const tvi_plan_alternative_t* a = &step->alternatives[i];
    for (uint32_t o = a->operand_count - a->output_count; o < a->operand_count; ++o) {
      if (a->operands[o] == TVI_PLAN_NONE) continue;
      buffer_state_t* state = &c->buffers[c->program->tensors[a->operands[o]].buffer];
      if (state->writers == step->alternative_count) state->written = 1;
      if (i + 1 == step->alternative_count) state->writers = 0;
    }
  }
  // An output that the last alternative lacks was counted by others; it must not add up.
  for (uint32_t i = 0; i + 1 < step->alternative_count; ++i) {
    const tvi_plan_alternative_t* a = &step->alternatives[i];
    for (uint32_t o = a->operand_count - a->output_count; o < a->operand_count; ++o) {
      if (a->operands[o] == TVI_PLAN_NONE) continue;
      c->buffers[c->program->tensors[a->operands[o]].buffer].writers = 0;
    }
  }
  return TRIVET_OK;
}

// When each symbol, and with it each expression, becomes known.
static trivet_status_t find_ready(checker_t* c) {
  const tvi_plan_t* plan = c->plan;
  for (uint32_t i = 0; i < plan->symbol_count; ++i) {
    c->symbol_ready[i] = plan->symbols[i].origin == TVI_SYMBOL_DATA ? TVI_PLAN_NONE : 0;
  }
  const tvi_plan_block_t* block = &c->program->blocks[0];
  for (uint32_t s = 0; s < block->step_count; ++s) {
    for (uint32_t i = 0; i < block->steps[s].bound_symbol_count; ++i) {
      const tvi_plan_bound_symbol_t* bound = &block->steps[s].bound_symbols[i];
      if (bound->symbol >= plan->symbol_count ||
          plan->symbols[bound->symbol].origin != TVI_SYMBOL_DATA) {
        return TRIVET_STATUS(DATA_LOSS, "step %u: bound symbol %u: symbol %u is not data-dependent",
                             s, i, bound->symbol);
      }
      TRIVET_RETURN_IF_ERROR_ANNOTATED(check_bound_symbol(c, &block->steps[s], bound),
                                       "step %u: bound symbol %u", s, i);
      if (c->symbol_ready[bound->symbol] > s + 1) c->symbol_ready[bound->symbol] = s + 1;
    }
  }
  for (uint32_t i = 0; i < plan->expr_count; ++i) {
    size_t cursor = 0;
    uint8_t op = 0;
    int64_t operand = 0;
    c->expr_ready[i] = 0;
    while (tvi_dim_code_next(plan->exprs[i].code, (size_t)plan->exprs[i].size, &cursor, &op,
                             &operand)) {
      if (op == TVI_DIM_CODE_SYMBOL && c->symbol_ready[operand] > c->expr_ready[i]) {
        c->expr_ready[i] = c->symbol_ready[operand];
      }
    }
  }
  return TRIVET_OK;
}

static trivet_status_t check_blocks(checker_t* c) {
  const tvi_plan_program_t* program = c->program;
  for (uint32_t b = 0; b < program->block_count; ++b) {
    for (uint32_t s = 0; s < program->blocks[b].step_count; ++s) {
      TRIVET_RETURN_IF_ERROR_ANNOTATED(check_step_form(c, b, s), "block %u: step %u", b, s);
    }
  }
  // Without IF and LOOP nothing calls a second block.
  if (program->block_count != 1) {
    return TRIVET_STATUS(DATA_LOSS, "block 1 is never called");
  }
  TRIVET_RETURN_IF_ERROR(find_ready(c));
  for (uint32_t s = 0; s < program->blocks[0].step_count; ++s) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check_main_step(c, s), "step %u", s);
  }
  for (uint32_t i = 0; i < c->plan->binding_count; ++i) {
    const tvi_plan_binding_t* binding = &c->plan->bindings[i];
    if (binding->mode == TVI_PLAN_BINDING_OUTPUT &&
        !c->buffers[program->tensors[binding->tensor].buffer].written) {
      return TRIVET_STATUS(DATA_LOSS, "no step writes binding %u", i);
    }
  }
  return TRIVET_OK;
}

// --- Order ---------------------------------------------------------------------------------------

static trivet_status_t refuse_conflict(void* self, uint32_t earlier, uint32_t later,
                                       uint32_t buffer) {
  const tvi_plan_step_t* steps = ((const checker_t*)self)->program->blocks[0].steps;
  return TRIVET_STATUS(DATA_LOSS,
                       "step %u ('" TVI_SV_FORMAT "') and step %u ('" TVI_SV_FORMAT
                       "') touch buffer %u, one writes it, and no wait orders them",
                       earlier, TVI_SV_ARGS(steps[earlier].name), later,
                       TVI_SV_ARGS(steps[later].name), buffer);
}

static trivet_status_t check_order(checker_t* c, const tvi_plan_order_t* order,
                                   trivet_allocator_t allocator) {
  TRIVET_RETURN_IF_ERROR(tvi_plan_find_conflicts(c->plan, c->program, order, allocator,
                                                 (tvi_plan_conflict_sink_t){c, refuse_conflict}));
  tvi_plan_reuse_t reuse;
  TRIVET_RETURN_IF_ERROR(tvi_plan_check_reuse(c->program, order, allocator, NULL, &reuse));
  if (reuse.buffer == TVI_PLAN_NONE) return TRIVET_OK;
  const tvi_plan_step_t* steps = c->program->blocks[0].steps;
  return TRIVET_STATUS(
      DATA_LOSS,
      "buffer %u is live up to step %u, and step %u ('" TVI_SV_FORMAT
      "') behind it does not wait for step %u ('" TVI_SV_FORMAT "'), which touches it",
      reuse.buffer, c->program->buffers[reuse.buffer].last_step, reuse.step,
      TVI_SV_ARGS(steps[reuse.step].name), reuse.toucher, TVI_SV_ARGS(steps[reuse.toucher].name));
}

// The order of one queue is that of the steps.
static trivet_status_t check_queues(checker_t* c, trivet_allocator_t allocator) {
  tvi_plan_order_t order;
  const tvi_plan_block_t* block = &c->program->blocks[0];
  uint32_t last = 0;
  for (uint32_t s = 0; s < block->step_count; ++s) {
    if (block->steps[s].queue > last) last = block->steps[s].queue;
  }
  if (last == 0) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_plan_order_init(&order, block, allocator));
  trivet_status_t status = check_order(c, &order, allocator);
  tvi_plan_order_deinit(&order, allocator);
  return status;
}

static trivet_status_t check_program(checker_t* c) {
  const tvi_plan_program_t* program = c->program;
  if (program->target.size == 0) return TRIVET_STATUS(DATA_LOSS, "target is empty");
  if (program->block_count == 0) return TRIVET_STATUS(DATA_LOSS, "no blocks");
  if (program->arena_size > INT64_MAX || program->arena_lower_bound > program->arena_size) {
    return TRIVET_STATUS(DATA_LOSS, "arena of %llu bytes, at least %llu",
                         (unsigned long long)program->arena_size,
                         (unsigned long long)program->arena_lower_bound);
  }
  for (uint32_t i = 0; i < program->buffer_count; ++i) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check_buffer(c, &program->buffers[i]), "buffer %u", i);
  }
  for (uint32_t i = 0; i < program->tensor_count; ++i) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check_tensor(c, &program->tensors[i]), "tensor %u", i);
  }
  for (uint32_t i = 0; i < c->plan->binding_count; ++i) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check_binding(c, i), "binding %u", i);
  }
  for (uint32_t i = 0; i < program->check_count; ++i) {
    TRIVET_RETURN_IF_ERROR_ANNOTATED(check_guard(c, &program->checks[i]), "check %u", i);
  }
  return check_blocks(c);
}

trivet_status_t tvi_plan_verify_program(const tvi_plan_t* plan, const tvi_plan_program_t* program,
                                        trivet_allocator_t allocator) {
  checker_t checker = {
      plan, program, NULL, NULL, NULL, 0, tvi_plan_program_has_device_memory(program)};
  trivet_status_t status = tvi_alloc_array_zeroed(allocator, program->buffer_count,
                                                  sizeof(*checker.buffers), &checker.buffers);
  if (status == NULL) {
    status =
        tvi_alloc_array(allocator, plan->symbol_count, sizeof(uint32_t), &checker.symbol_ready);
  }
  if (status == NULL) {
    status = tvi_alloc_array(allocator, plan->expr_count, sizeof(uint32_t), &checker.expr_ready);
  }
  if (status == NULL) status = check_program(&checker);
  if (status == NULL) status = check_queues(&checker, allocator);
  tvi_free_array(allocator, checker.expr_ready, plan->expr_count, sizeof(uint32_t));
  tvi_free_array(allocator, checker.symbol_ready, plan->symbol_count, sizeof(uint32_t));
  tvi_free_array(allocator, checker.buffers, program->buffer_count, sizeof(*checker.buffers));
  return status;
}
