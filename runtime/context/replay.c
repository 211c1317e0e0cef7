// SPDX-License-Identifier: Apache-2.0
//
// Graphs: a run whose steps are all launches and copies is captured when its addresses are seen for
// the second time, and replayed from then on with one call. A bounded number is kept; the one not
// used for longest goes. Shapes that change drop all. What cannot be captured runs step by step.
#include <string.h>

#include "core/base/log.h"
#include "core/base/status.h"
#include "runtime/context/context.h"

static void drop_graph(trivet_context_t* context, tvi_context_graph_t* graph) {
  if (graph->graph != NULL) {
    trivet_status_free(
        tvi_context_finish(context));  // it may still run; the next call will fail too
    tvi_device_call(context->device, graph_destroy, graph->graph);
  }
  graph->graph = NULL;
  graph->last_used = 0;
  graph->run_count = 0;
}

void tvi_context_drop_graphs(trivet_context_t* context) {
  for (uint32_t i = 0; context->graphs != NULL && i < context->graph_limit; ++i) {
    drop_graph(context, &context->graphs[i]);
  }
  drop_graph(context, &context->spare);
  context->current = NULL;
  context->is_warm = false;
}

bool tvi_context_can_replay(const trivet_context_t* context) {
  return context->device != NULL && !context->is_replay_off && !context->engine->has_host &&
         !context->engine->has_late;
}

static bool is_for(const trivet_context_t* context, const tvi_context_graph_t* graph) {
  bool same = graph->last_used != 0;
  for (uint32_t i = 0; same && i < context->device_binding_count; ++i) {
    same = graph->addresses[i] == context->buffers[context->device_bindings[i]].base;
  }
  return same;
}

static void make_for(trivet_context_t* context, tvi_context_graph_t* graph) {
  drop_graph(context, graph);
  for (uint32_t i = 0; i < context->device_binding_count; ++i) {
    graph->addresses[i] = context->buffers[context->device_bindings[i]].base;
  }
  graph->last_used = context->run_count + 1;
}

// What goes for a new one: addresses without a graph before graphs, and of these the oldest.
static bool goes_before(const tvi_context_graph_t* a, const tvi_context_graph_t* b) {
  if ((a->graph == NULL) != (b->graph == NULL)) return a->graph == NULL;
  return a->last_used < b->last_used;
}

tvi_context_graph_t* tvi_context_find_graph(trivet_context_t* context, bool* out_is_known) {
  tvi_context_graph_t* first = &context->graphs[0];
  for (uint32_t g = 0; g < context->graph_limit; ++g) {
    tvi_context_graph_t* graph = &context->graphs[g];
    if (goes_before(graph, first)) first = graph;
    if (!is_for(context, graph)) continue;
    *out_is_known = true;
    return graph;
  }
  make_for(context, first);
  *out_is_known = false;
  return first;
}

void tvi_context_take_spare(trivet_context_t* context) {
  if (!is_for(context, &context->spare)) make_for(context, &context->spare);
  context->spare.run_count = 0;
  context->current = &context->spare;
}

// The context's own stream is captured, since a caller's may be one that cannot be.
static trivet_status_t capture(trivet_context_t* context, void** out_graph) {
  const tvi_open_device_t* device = context->device;
  void* stream = context->stream;
  TRIVET_RETURN_IF_ERROR(tvi_device_call(device, capture_begin, context->own_stream));
  context->stream = context->own_stream;
  context->is_capturing = true;
  trivet_status_t status = tvi_context_run_steps(context);
  context->is_capturing = false;
  context->stream = stream;
  void* graph = NULL;
  status =
      trivet_status_join(status, tvi_device_call(device, capture_end, context->own_stream, &graph));
  if (status != NULL) {
    if (graph != NULL) tvi_device_call(device, graph_destroy, graph);
    return status;
  }
  *out_graph = graph;
  return TRIVET_OK;
}

static trivet_status_t run_eagerly(trivet_context_t* context) {
  TRIVET_RETURN_IF_ERROR(tvi_context_run_steps(context));
  context->is_warm = true;
  return TRIVET_OK;
}

trivet_status_t tvi_context_queue_steps(trivet_context_t* context) {
  tvi_context_graph_t* graph = context->is_profiled ? NULL : context->current;
  if (graph == NULL) return run_eagerly(context);
  graph->last_used = context->run_count + 1;
  ++graph->run_count;
  // Libraries load lazily, which a capture does not allow: the first run is not captured.
  if (graph->graph == NULL && !context->is_warm) return run_eagerly(context);
  if (graph->graph == NULL) {
    trivet_status_t status = capture(context, &graph->graph);
    if (status != NULL) {
      tvi_log(context->engine->runtime->logger, TRIVET_SEVERITY_WARNING,
              "runs are not replayed: %s", trivet_status_message(status));
      trivet_status_free(status);
      context->is_replay_off = true;
      tvi_context_drop_graphs(context);
      return run_eagerly(context);
    }
  }
  context->is_pending = true;
  ++context->replay_count;
  return tvi_device_call(context->device, graph_launch, graph->graph, context->stream);
}
