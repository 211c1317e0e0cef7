// SPDX-License-Identifier: Apache-2.0
//
// Queues of a plan as streams of the device: queue 0 is the context's stream, every other one has a
// stream of its own that leaves it when its first step comes and is waited for at the end, so that
// whoever knows the context's stream sees one run, also while a graph is captured. Where there are
// no streams, and while steps are timed, all steps run in their order in one.
#include "core/base/checked.h"
#include "core/base/status.h"
#include "runtime/context/context.h"

// Where the share of a queue begins in the workspace.
#define WORKSPACE_ALIGNMENT 256u

// Events for the steps that others wait for. What a host function did is done when it returns.
static trivet_status_t make_step_events(trivet_context_t* context) {
  const tvi_plan_block_t* block = context->engine->block;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(&context->arena, block->step_count + 1,
                                                      sizeof(void*), &context->step_events));
  for (uint32_t s = 0; s < block->step_count; ++s) {
    for (uint32_t w = 0; w < block->steps[s].wait_count; ++w) {
      uint32_t step = block->steps[s].waits[w];
      if (context->step_events[step] != NULL) continue;
      if (block->steps[step].kind == TVI_PLAN_STEP_HOST) continue;
      TRIVET_RETURN_IF_ERROR(
          tvi_device_call(context->device, event_create, &context->step_events[step]));
    }
  }
  return TRIVET_OK;
}

trivet_status_t tvi_context_open_queues(trivet_context_t* context) {
  const tvi_plan_block_t* block = context->engine->block;
  for (uint32_t s = 0; s < block->step_count; ++s) {
    if (block->steps[s].queue >= context->queue_count) {
      context->queue_count = block->steps[s].queue + 1;
    }
  }
  if (context->queue_count == 1) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_device_call(context->device, event_create, &context->fork_event));
  for (uint32_t q = 1; q < context->queue_count; ++q) {
    tvi_context_queue_t* queue = &context->queues[q];
    TRIVET_RETURN_IF_ERROR(tvi_device_call(context->device, stream_create, &queue->stream));
    TRIVET_RETURN_IF_ERROR(tvi_device_call(context->device, event_create, &queue->end));
  }
  return make_step_events(context);
}

static void destroy_event(trivet_context_t* context, void* event) {
  if (event != NULL) tvi_device_call(context->device, event_destroy, event);
}

void tvi_context_close_queues(trivet_context_t* context) {
  for (uint32_t s = 0; context->step_events != NULL && s < context->engine->block->step_count;
       ++s) {
    destroy_event(context, context->step_events[s]);
  }
  for (uint32_t q = 1; q < context->queue_count; ++q) {
    destroy_event(context, context->queues[q].end);
    if (context->queues[q].stream != NULL) {
      tvi_device_call(context->device, stream_destroy, context->queues[q].stream);
    }
  }
  destroy_event(context, context->fork_event);
}

trivet_status_t tvi_context_begin_queues(trivet_context_t* context, bool in_order) {
  context->is_in_order = in_order || context->queue_count == 1;
  for (uint32_t q = 0; q < context->queue_count; ++q) context->queues[q].last_kernel = NULL;
  if (context->is_in_order) return TRIVET_OK;
  return tvi_device_call(context->device, event_record, context->fork_event, context->stream);
}

uint32_t tvi_context_queue_of(const trivet_context_t* context, uint32_t step) {
  return context->is_in_order ? 0 : context->engine->steps[step].plan->queue;
}

void* tvi_context_queue_stream(const trivet_context_t* context, uint32_t queue) {
  return queue == 0 ? context->stream : context->queues[queue].stream;
}

// What lies between two launches keeps the second from beginning while the first still runs.
static trivet_status_t wait_for(trivet_context_t* context, uint32_t queue, void* event) {
  context->queues[queue].last_kernel = NULL;
  return tvi_device_call(context->device, stream_wait, tvi_context_queue_stream(context, queue),
                         event);
}

trivet_status_t tvi_context_begin_step(trivet_context_t* context, uint32_t step) {
  const tvi_plan_step_t* plan = context->engine->steps[step].plan;
  // A host function waits for everything that was queued, and before what is queued after it.
  if (context->is_in_order || plan->kind == TVI_PLAN_STEP_HOST) return TRIVET_OK;
  tvi_context_queue_t* queue = &context->queues[plan->queue];
  if (plan->queue != 0 && !queue->is_open) {
    queue->is_open = true;
    TRIVET_RETURN_IF_ERROR(wait_for(context, plan->queue, context->fork_event));
  }
  for (uint32_t w = 0; w < plan->wait_count; ++w) {
    void* event = context->step_events[plan->waits[w]];
    if (event != NULL) TRIVET_RETURN_IF_ERROR(wait_for(context, plan->queue, event));
  }
  return TRIVET_OK;
}

trivet_status_t tvi_context_end_step(trivet_context_t* context, uint32_t step) {
  if (context->is_in_order || context->step_events[step] == NULL) return TRIVET_OK;
  uint32_t queue = context->engine->steps[step].plan->queue;
  context->queues[queue].last_kernel = NULL;
  return tvi_device_call(context->device, event_record, context->step_events[step],
                         tvi_context_queue_stream(context, queue));
}

trivet_status_t tvi_context_join_queues(trivet_context_t* context) {
  trivet_status_t status = TRIVET_OK;
  for (uint32_t q = 1; q < context->queue_count; ++q) {
    tvi_context_queue_t* queue = &context->queues[q];
    if (!queue->is_open) continue;
    queue->is_open = false;
    trivet_status_t joined =
        tvi_device_call(context->device, event_record, queue->end, queue->stream);
    if (joined == NULL) joined = wait_for(context, 0, queue->end);
    status = trivet_status_join(status, joined);
  }
  return status;
}

// --- The workspace: a share for every queue, since their steps run side by side ------------------

uint64_t tvi_context_workspace_share(const trivet_context_t* context) {
  uint64_t share = context->workspace.capacity / context->queue_count;
  return context->queue_count == 1 ? share : share & ~(uint64_t)(WORKSPACE_ALIGNMENT - 1);
}

void* tvi_context_workspace_of(const trivet_context_t* context, uint32_t queue) {
  if (queue == 0 || context->workspace.base == NULL) return context->workspace.base;
  return context->workspace.base + queue * tvi_context_workspace_share(context);
}

trivet_status_t tvi_context_grow_workspace(trivet_context_t* context, uint64_t share) {
  uint64_t size = share;
  if (context->queue_count > 1 && (!tvi_checked_align_up_u64(share, WORKSPACE_ALIGNMENT, &size) ||
                                   !tvi_checked_mul_u64(size, context->queue_count, &size))) {
    return TRIVET_STATUS(OUT_OF_RANGE, "workspaces of %llu bytes for %u queues overflow",
                         (unsigned long long)share, context->queue_count);
  }
  return tvi_context_grow(context, tvi_context_own_memory(context), "workspace", size,
                          TVI_CONTEXT_ALIGNMENT, &context->workspace);
}
