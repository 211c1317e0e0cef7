// SPDX-License-Identifier: Apache-2.0
//
// Runs a prepared context: addresses from what the caller gave, then the steps in their order.
// Nothing is allocated, locked or looked up by name here, but for steps that depend on computed
// extents: those are prepared when their turn comes.
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/status.h"
#include "runtime/context/context.h"

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

static trivet_status_t prepare_late(trivet_context_t* context, uint32_t index) {
  tvi_context_step_t* step = &context->steps[index];
  if (step->alternative == NULL || step->epoch != context->epoch) {
    uint64_t workspace = tvi_context_workspace_share(context);
    TRIVET_RETURN_IF_ERROR(tvi_context_prepare_step(context, index, &workspace));
    step->epoch = context->epoch;
    TRIVET_RETURN_IF_ERROR(tvi_context_grow_workspace(context, workspace));
  }
  tvi_context_resolve_step(context, index);
  return TRIVET_OK;
}

static trivet_status_t queue_step(trivet_context_t* context, uint32_t index) {
  const tvi_engine_step_t* from = &context->engine->steps[index];
  const tvi_context_step_t* step = &context->steps[index];
  if (step->is_skipped) return TRIVET_OK;
  void* const* addresses = context->operand_addresses + from->first_operand;
  if (from->plan->kind == TVI_PLAN_STEP_HOST) {
    for (uint32_t q = 0; q < context->queue_count; ++q) context->queues[q].last_kernel = NULL;
    TRIVET_RETURN_IF_ERROR(tvi_context_finish(context));
    return tvi_context_run_host(context, index);
  }
  uint32_t queue = tvi_context_queue_of(context, index);
  void* stream = tvi_context_queue_stream(context, queue);
  const trivet_kernel_t* previous = context->queues[queue].last_kernel;
  context->queues[queue].last_kernel = NULL;
  if (from->plan->kind == TVI_PLAN_STEP_COPY) {
    return tvi_context_copy(context, stream, addresses[1], addresses[0], step->copy_size);
  }
  const trivet_kernel_t* kernel = step->alternative->kernel;
  trivet_kernel_launch_t launch = {
      .addresses = addresses,
      .workspace = tvi_context_workspace_of(context, queue),
      .executor = context->executor,
      .stream = stream,
      .previous = previous,
  };
  context->is_pending = context->device != NULL;
  context->queues[queue].last_kernel = kernel;
  return kernel->run(kernel, step->prepared, &launch);
}

// Who waits for a step that is skipped waits for what it waits for.
static trivet_status_t run_step(trivet_context_t* context, uint32_t index) {
  if (context->engine->steps[index].is_late) {
    TRIVET_RETURN_IF_ERROR(prepare_late(context, index));
  }
  TRIVET_RETURN_IF_ERROR(tvi_context_begin_step(context, index));
  TRIVET_RETURN_IF_ERROR(queue_step(context, index));
  return tvi_context_end_step(context, index);
}

// Where a step begins: on the host a time, on the device an event in the stream.
static trivet_status_t mark_step(trivet_context_t* context, uint32_t index, int64_t* out_time) {
  if (context->device == NULL) {
    *out_time = tvi_clock_now_ns();
    return TRIVET_OK;
  }
  return tvi_device_call(context->device, event_record, context->events[index], context->stream);
}

static trivet_status_t read_events(trivet_context_t* context) {
  for (uint32_t i = 0; i < context->engine->block->step_count; ++i) {
    uint64_t nanoseconds = 0;
    TRIVET_RETURN_IF_ERROR(tvi_device_call(context->device, elapsed, context->events[i],
                                           context->events[i + 1], &nanoseconds));
    context->steps[i].nanoseconds += nanoseconds;
    ++context->steps[i].count;
  }
  return TRIVET_OK;
}

static trivet_status_t run_all(trivet_context_t* context, bool is_measured) {
  const trivet_engine_t* engine = context->engine;
  int64_t begin = 0, end = 0;
  if (engine->has_late) {
    for (uint32_t i = 0; i < engine->plan->symbol_count; ++i) {
      context->symbol_is_unknown[i] = engine->symbol_is_late[i];
    }
  }
  if (!context->is_steps_resolved) {
    for (uint32_t i = 0; i < engine->block->step_count; ++i) tvi_context_resolve_step(context, i);
    context->is_steps_resolved = true;
  }
  if (is_measured) TRIVET_RETURN_IF_ERROR(mark_step(context, 0, &begin));
  const tvi_open_device_t* ranges =
      context->device != NULL && context->device->has_ranges ? context->device : NULL;
  for (uint32_t i = 0; i < engine->block->step_count; ++i) {
    if (ranges != NULL) tvi_device_call(ranges, range_begin, engine->block->steps[i].name.data);
    trivet_status_t status = run_step(context, i);
    if (ranges != NULL) ranges->definition->range_end(ranges->definition, ranges->state);
    if (status != NULL) return tvi_engine_annotate_step(engine, i, status);
    if (!is_measured) continue;
    TRIVET_RETURN_IF_ERROR(mark_step(context, i + 1, &end));
    if (context->device != NULL) continue;
    context->steps[i].nanoseconds += (uint64_t)(end - begin);
    ++context->steps[i].count;
    begin = end;
  }
  return is_measured && context->device != NULL ? read_events(context) : TRIVET_OK;
}

trivet_status_t tvi_context_run_steps(trivet_context_t* context) {
  bool is_measured = context->is_profiled && !context->is_capturing;
  TRIVET_RETURN_IF_ERROR(tvi_context_begin_queues(context, is_measured));
  trivet_status_t status = run_all(context, is_measured);
  // Also after an error: no queue goes on behind the back of the context's stream.
  return trivet_status_join(status, tvi_context_join_queues(context));
}

static trivet_status_t enqueue(trivet_context_t* context) {
  TRIVET_RETURN_IF_ERROR(tvi_context_prepare(context));
  TRIVET_RETURN_IF_ERROR(tvi_device_enter(context->device));
  // Addresses that stay have a graph of their own from the second run on.
  bool is_again = context->current == &context->spare && context->spare.run_count != 0;
  if (!context->is_resolved || is_again) TRIVET_RETURN_IF_ERROR(tvi_context_resolve(context));
  if (context->staged_count != 0) TRIVET_RETURN_IF_ERROR(tvi_context_stage_inputs(context));
  TRIVET_RETURN_IF_ERROR(tvi_context_fill_memory(context));
  TRIVET_RETURN_IF_ERROR(tvi_context_queue_steps(context));
  if (context->staged_count != 0) TRIVET_RETURN_IF_ERROR(tvi_context_stage_outputs(context));
  if (context->engine->tensor_count > context->engine->input_count + context->engine->output_count)
    TRIVET_RETURN_IF_ERROR(tvi_context_copy_observed(context));
  ++context->run_count;
  return TRIVET_OK;
}

static trivet_status_t enqueue_context(trivet_context_t* context) {
  if (context == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "context is NULL");
  return enqueue(context);
}

trivet_status_t tvi_context_run(trivet_context_t* context) {
  if (context == NULL) return TRIVET_STATUS(INVALID_ARGUMENT, "context is NULL");
  trivet_status_t status = enqueue(context);
  // Also after an error: nothing of a run that failed goes on behind the caller's back.
  return trivet_status_join(status, tvi_context_finish(context));
}

trivet_status_t trivet_context_mark(trivet_context_t* context, uint32_t mark) {
  if (context == NULL || mark > 1) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "context is NULL, or mark %u is neither 0 nor 1", mark);
  }
  if (context->device == NULL) {
    context->mark_times[mark] = tvi_clock_now_ns();
    return TRIVET_OK;
  }
  return tvi_device_call(context->device, event_record, context->marks[mark], context->stream);
}

trivet_status_t trivet_context_elapsed(trivet_context_t* context, uint64_t* out_nanoseconds) {
  if (context == NULL || out_nanoseconds == NULL) {
    return TRIVET_STATUS(INVALID_ARGUMENT, "context or out_nanoseconds is NULL");
  }
  if (context->device == NULL) {
    *out_nanoseconds = (uint64_t)(context->mark_times[1] - context->mark_times[0]);
    return TRIVET_OK;
  }
  return tvi_device_call(context->device, elapsed, context->marks[0], context->marks[1],
                         out_nanoseconds);
}

// --- Calls whose errors the caller's recorder gets --------------------------------------------

trivet_status_t trivet_context_enqueue(trivet_context_t* context) {
  return tvi_record(context ? &context->engine->runtime->recorder : NULL, "trivet_context_enqueue",
                    enqueue_context(context));
}

trivet_status_t trivet_context_run(trivet_context_t* context) {
  return tvi_record(context ? &context->engine->runtime->recorder : NULL, "trivet_context_run",
                    tvi_context_run(context));
}
