// SPDX-License-Identifier: Apache-2.0
//
// Runs a prepared context: addresses from what the caller gave, then the steps in their order.
// Nothing is allocated, locked or looked up by name here, but for steps that depend on computed
// extents: those are prepared when their turn comes.
#include "core/base/clock.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/base/string_view.h"
#include "runtime/context/context.h"

// Bytes of a binding, 0 where that is not known yet.
static uint64_t binding_bytes(const trivet_context_t* context, uint32_t index) {
  const trivet_engine_t* engine = context->engine;
  uint32_t buffer = engine->program->tensors[engine->tensors[index].tensor].buffer;
  return engine->buffer_is_late[buffer] ? 0 : context->buffers[buffer].size;
}

// Two bindings may lie on each other only where the plan says so, and then only exactly.
static trivet_status_t check_overlaps(const trivet_context_t* context) {
  const trivet_engine_t* engine = context->engine;
  uint32_t bindings = engine->input_count + engine->output_count;
  for (uint32_t o = engine->input_count; o < bindings; ++o) {
    uintptr_t begin = (uintptr_t)context->addresses[o];
    uintptr_t end = begin + binding_bytes(context, o);
    uint32_t alias = engine->plan->bindings[engine->tensors[o].binding].alias;
    for (uint32_t i = 0; i < o; ++i) {
      uintptr_t other = (uintptr_t)context->addresses[i];
      if (begin >= other + binding_bytes(context, i) || other >= end) continue;
      if (engine->tensors[i].binding == alias && begin == other) continue;
      return TRIVET_STATUS(INVALID_ARGUMENT, "output '%s' overlaps %s '%s'",
                           engine->tensors[o].name, i < engine->input_count ? "input" : "output",
                           engine->tensors[i].name);
    }
  }
  return TRIVET_OK;
}

static trivet_status_t check_addresses(const trivet_context_t* context) {
  const trivet_engine_t* engine = context->engine;
  for (uint32_t i = 0; i < engine->input_count + engine->output_count; ++i) {
    if (context->addresses[i] != NULL || !engine->tensors[i].is_used) continue;
    uint32_t buffer = engine->program->tensors[engine->tensors[i].tensor].buffer;
    if (!engine->buffer_is_late[buffer] && context->buffers[buffer].size == 0) continue;
    return TRIVET_STATUS(FAILED_PRECONDITION, "%s '%s': its address was not set",
                         i < engine->input_count ? "input" : "output", engine->tensors[i].name);
  }
  return check_overlaps(context);
}

void tvi_context_resolve_step(trivet_context_t* context, uint32_t index) {
  const tvi_context_step_t* step = &context->steps[index];
  if (step->alternative == NULL) return;
  const tvi_plan_alternative_t* plan = step->alternative->plan;
  uint32_t first = context->engine->steps[index].first_operand;
  for (uint32_t k = 0; k < plan->operand_count; ++k) {
    void* address = NULL;
    if (plan->operands[k] != TVI_PLAN_NONE) {
      uint32_t buffer = context->engine->program->tensors[plan->operands[k]].buffer;
      char* base = context->buffers[buffer].base;
      if (base != NULL) address = base + context->operand_offsets[first + k];
    }
    context->operand_addresses[first + k] = address;
  }
}

static trivet_status_t resolve(trivet_context_t* context) {
  const trivet_engine_t* engine = context->engine;
  TRIVET_RETURN_IF_ERROR(check_addresses(context));
  for (uint32_t b = 0; b < engine->program->buffer_count; ++b) {
    const tvi_plan_buffer_t* buffer = &engine->program->buffers[b];
    if (buffer->kind != TVI_PLAN_BUFFER_BINDING) continue;
    context->buffers[b].base = context->addresses[engine->binding_tensors[buffer->index]];
  }
  for (uint32_t i = 0; i < engine->block->step_count; ++i) tvi_context_resolve_step(context, i);
  context->is_resolved = true;
  return TRIVET_OK;
}

static trivet_status_t prepare_late(trivet_context_t* context, uint32_t index) {
  tvi_context_step_t* step = &context->steps[index];
  if (step->alternative == NULL || step->epoch != context->epoch) {
    uint64_t workspace = context->workspace_size;
    TRIVET_RETURN_IF_ERROR(tvi_context_prepare_step(context, index, &workspace));
    step->epoch = context->epoch;
    TRIVET_RETURN_IF_ERROR(tvi_context_grow_workspace(context, workspace));
  }
  tvi_context_resolve_step(context, index);
  return TRIVET_OK;
}

static trivet_status_t run_step(trivet_context_t* context, uint32_t index) {
  const tvi_engine_step_t* from = &context->engine->steps[index];
  const tvi_context_step_t* step = &context->steps[index];
  if (from->is_late) TRIVET_RETURN_IF_ERROR(prepare_late(context, index));
  if (step->is_skipped) return TRIVET_OK;
  if (from->plan->kind == TVI_PLAN_STEP_HOST) return tvi_context_run_host(context, index);
  const trivet_kernel_t* kernel = step->alternative->kernel;
  trivet_kernel_launch_t launch = {
      .addresses = context->operand_addresses + from->first_operand,
      .workspace = context->workspace,
      .executor = context->executor,
  };
  return kernel->run(kernel, step->prepared, &launch);
}

static trivet_status_t run_steps(trivet_context_t* context) {
  const trivet_engine_t* engine = context->engine;
  if (engine->has_late) {
    for (uint32_t i = 0; i < engine->plan->symbol_count; ++i) {
      context->symbol_is_unknown[i] = engine->symbol_is_late[i];
    }
  }
  for (uint32_t i = 0; i < engine->block->step_count; ++i) {
    int64_t begin = context->is_profiled ? tvi_clock_now_ns() : 0;
    trivet_status_t status = run_step(context, i);
    if (status != NULL) return tvi_engine_annotate_step(engine, i, status);
    if (!context->is_profiled) continue;
    context->steps[i].nanoseconds += (uint64_t)(tvi_clock_now_ns() - begin);
    ++context->steps[i].count;
  }
  return TRIVET_OK;
}

trivet_status_t trivet_context_run(trivet_context_t* context) {
  if (context == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "context is NULL");
  TRIVET_RETURN_IF_ERROR(trivet_context_prepare(context));
  if (!context->is_resolved) TRIVET_RETURN_IF_ERROR(resolve(context));
  TRIVET_RETURN_IF_ERROR(run_steps(context));
  TRIVET_RETURN_IF_ERROR(tvi_context_copy_observed(context));
  ++context->run_count;
  return TRIVET_OK;
}
