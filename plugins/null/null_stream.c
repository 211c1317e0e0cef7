// SPDX-License-Identifier: Apache-2.0
//
// Streams, events and graphs of device "null". A command runs when somebody waits for it, and what
// it waits for runs just before: of all orders that a device might take, the one in which a stream
// that nobody waits for comes last. One thread at a time for streams that wait for each other.
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/clock.h"
#include "core/base/status.h"
#include "plugins/null/null_device.h"

static void clear_lane(null_lane_t* lane) {
  lane->gone += lane->commands.count;
  lane->done = 0;
  tvi_vector_clear(&lane->commands);
  tvi_vector_clear(&lane->arguments);
}

static trivet_status_t make_lane(null_device_t* null, null_graph_t* graph, null_lane_t** out_lane) {
  null_lane_t* lane;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(null->allocator, sizeof(*lane), &lane));
  lane->graph = graph;
  lane->is_captured = graph != NULL;
  tvi_vector_init(&lane->commands, null->allocator);
  tvi_vector_init(&lane->arguments, null->allocator);
  tvi_mutex_lock(&null->mutex);
  trivet_status_t status = tvi_vector_push(&null->lanes, lane);
  tvi_mutex_unlock(&null->mutex);
  if (status != NULL) {
    tvi_free(null->allocator, lane, sizeof(*lane));
    return status;
  }
  *out_lane = lane;
  return TRIVET_OK;
}

void null_free_lanes(null_device_t* null) {
  for (size_t i = 0; i < null->lanes.count; ++i) {
    tvi_vector_deinit(&null->lanes.data[i]->commands);
    tvi_vector_deinit(&null->lanes.data[i]->arguments);
    tvi_free(null->allocator, null->lanes.data[i], sizeof(null_lane_t));
  }
  tvi_vector_deinit(&null->lanes);
}

// Runs the commands up to |position|. After an error those of a stream that follow are dropped.
static trivet_status_t run_lane(null_lane_t* lane, uint64_t position) {
  while (lane->gone + lane->done < position && lane->done < lane->commands.count) {
    null_command_t command = lane->commands.data[lane->done++];
    trivet_status_t status = command.run(lane->arguments.data + command.at);
    if (status != NULL) {
      if (lane->graph == NULL) clear_lane(lane);
      return status;
    }
  }
  if (lane->graph == NULL && lane->done == lane->commands.count) clear_lane(lane);
  return TRIVET_OK;
}

trivet_status_t null_queue(null_stream_t* stream, trivet_status_t (*run)(const void* arguments),
                           const void* arguments, size_t size) {
  null_lane_t* lane = stream->lane;
  const size_t at = lane->arguments.count, words = (size + 7) / 8;
  const null_command_t command = {run, at};
  TRIVET_RETURN_IF_ERROR(tvi_vector_reserve(&lane->arguments, words));
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&lane->commands, command));
  memcpy(lane->arguments.data + at, arguments, size);
  lane->arguments.count += words;
  return TRIVET_OK;
}

trivet_status_t null_stream_create(const trivet_device_t* device, void* state, void** out_stream) {
  (void)device;
  null_device_t* null = state;
  null_stream_t* stream;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(null->allocator, sizeof(*stream), &stream));
  trivet_status_t status = make_lane(null, NULL, &stream->own);
  if (status != NULL) {
    tvi_free(null->allocator, stream, sizeof(*stream));
    return status;
  }
  stream->lane = stream->own;
  *out_stream = stream;
  return TRIVET_OK;
}

void null_stream_destroy(const trivet_device_t* device, void* state, void* stream_pointer) {
  null_stream_t* stream = stream_pointer;
  void* graph = NULL;
  if (stream->lane != stream->own) {
    trivet_status_free(null_capture_end(device, state, stream, &graph));
  }
  if (graph != NULL) null_graph_destroy(device, state, graph);
  trivet_status_free(run_lane(stream->own, UINT64_MAX));
  tvi_free(((null_device_t*)state)->allocator, stream, sizeof(*stream));
}

trivet_status_t null_stream_synchronize(const trivet_device_t* device, void* state,
                                        void* stream_pointer) {
  (void)device, (void)state;
  const null_stream_t* stream = stream_pointer;
  if (stream->lane == stream->own) return run_lane(stream->own, UINT64_MAX);
  return TRIVET_STATUS(FAILED_PRECONDITION, "a stream that is captured cannot be waited for");
}

// --- Events --------------------------------------------------------------------------------------

typedef struct reach_s {
  null_event_t* event;
} reach_t;

typedef struct wait_s {
  null_lane_t* lane;
  uint64_t position;
} wait_t;

static trivet_status_t run_reach(const void* arguments) {
  ((const reach_t*)arguments)->event->time = tvi_clock_now_ns();
  return TRIVET_OK;
}

static trivet_status_t run_wait(const void* arguments) {
  const wait_t* wait = arguments;
  return run_lane(wait->lane, wait->position);
}

bool null_ends_in_wait(const null_stream_t* stream) {
  const null_lane_t* lane = stream->lane;
  return lane->commands.count != 0 && lane->commands.data[lane->commands.count - 1].run == run_wait;
}

trivet_status_t null_event_create(const trivet_device_t* device, void* state, void** out_event) {
  (void)device;
  null_event_t* event;
  TRIVET_RETURN_IF_ERROR(
      tvi_alloc_zeroed(((null_device_t*)state)->allocator, sizeof(*event), &event));
  *out_event = event;
  return TRIVET_OK;
}

static trivet_status_t reach(const null_event_t* event) {
  if (event->lane == NULL || event->lane->graph != NULL) return TRIVET_OK;
  return run_lane(event->lane, event->position);
}

void null_event_destroy(const trivet_device_t* device, void* state, void* event) {
  (void)device;
  trivet_status_free(reach(event));  // no command may come upon it any more
  tvi_free(((null_device_t*)state)->allocator, event, sizeof(null_event_t));
}

trivet_status_t null_event_record(const trivet_device_t* device, void* state, void* event_pointer,
                                  void* stream_pointer) {
  (void)device, (void)state;
  null_event_t* event = event_pointer;
  null_stream_t* stream = stream_pointer;
  if (stream->lane == stream->own) {  // a graph has no times
    const reach_t reach = {event};
    TRIVET_RETURN_IF_ERROR(null_queue(stream, run_reach, &reach, sizeof(reach)));
  }
  event->lane = stream->lane;
  event->position = stream->lane->gone + stream->lane->commands.count;
  return TRIVET_OK;
}

// A stream that waits for what is captured is captured from then on.
static trivet_status_t join_capture(null_device_t* null, null_stream_t* stream,
                                    null_graph_t* graph) {
  null_lane_t* lane;
  TRIVET_RETURN_IF_ERROR(tvi_vector_reserve(&graph->lanes, 1));
  TRIVET_RETURN_IF_ERROR(tvi_vector_reserve(&graph->streams, 1));
  TRIVET_RETURN_IF_ERROR(make_lane(null, graph, &lane));
  graph->lanes.data[graph->lanes.count++] = lane;
  graph->streams.data[graph->streams.count++] = stream;
  stream->lane = lane;
  return TRIVET_OK;
}

trivet_status_t null_stream_wait(const trivet_device_t* device, void* state, void* stream_pointer,
                                 void* event_pointer) {
  (void)device;
  null_stream_t* stream = stream_pointer;
  const null_event_t* event = event_pointer;
  if (event->lane == NULL) return TRIVET_OK;
  if (event->lane->is_captured && stream->lane == stream->own) {
    TRIVET_RETURN_IF_ERROR(join_capture(state, stream, event->lane->graph));
  }
  if (event->lane->graph != stream->lane->graph) {
    return TRIVET_STATUS(FAILED_PRECONDITION,
                         "a wait goes from a capture to what lies outside, or the other way");
  }
  const wait_t wait = {event->lane, event->position};
  return null_queue(stream, run_wait, &wait, sizeof(wait));
}

trivet_status_t null_elapsed(const trivet_device_t* device, void* state, void* begin, void* end,
                             uint64_t* out_nanoseconds) {
  (void)device, (void)state;
  TRIVET_RETURN_IF_ERROR(reach(begin));
  TRIVET_RETURN_IF_ERROR(reach(end));
  *out_nanoseconds = (uint64_t)(((null_event_t*)end)->time - ((null_event_t*)begin)->time);
  return TRIVET_OK;
}

// --- Graphs --------------------------------------------------------------------------------------

trivet_status_t null_capture_begin(const trivet_device_t* device, void* state,
                                   void* stream_pointer) {
  null_device_t* null = state;
  null_stream_t* stream = stream_pointer;
  if (stream->lane != stream->own) {
    return TRIVET_STATUS(FAILED_PRECONDITION, "the stream is captured already");
  }
  null_graph_t* graph;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(null->allocator, sizeof(*graph), &graph));
  graph->allocator = null->allocator;
  tvi_vector_init(&graph->lanes, null->allocator);
  tvi_vector_init(&graph->streams, null->allocator);
  trivet_status_t status = join_capture(null, stream, graph);
  if (status != NULL) null_graph_destroy(device, state, graph);
  return status;
}

trivet_status_t null_capture_end(const trivet_device_t* device, void* state, void* stream_pointer,
                                 void** out_graph) {
  (void)device, (void)state;
  null_graph_t* graph = ((null_stream_t*)stream_pointer)->lane->graph;
  if (graph == NULL) return TRIVET_STATUS(FAILED_PRECONDITION, "the stream is not captured");
  for (size_t i = 0; i < graph->streams.count; ++i) {
    graph->streams.data[i]->lane = graph->streams.data[i]->own;
    graph->lanes.data[i]->is_captured = false;
  }
  *out_graph = graph;
  return TRIVET_OK;
}

typedef struct replay_s {
  const null_graph_t* graph;
} replay_t;

// What the first stream does not wait for would still run when the graph has ended.
static trivet_status_t run_graph(const void* arguments) {
  const null_graph_t* graph = ((const replay_t*)arguments)->graph;
  for (size_t i = 0; i < graph->lanes.count; ++i) graph->lanes.data[i]->done = 0;
  TRIVET_RETURN_IF_ERROR(run_lane(graph->lanes.data[0], UINT64_MAX));
  for (size_t i = 0; i < graph->lanes.count; ++i) {
    if (graph->lanes.data[i]->done == graph->lanes.data[i]->commands.count) continue;
    return TRIVET_STATUS(FAILED_PRECONDITION, "nothing waits for stream %zu of the graph", i);
  }
  return TRIVET_OK;
}

trivet_status_t null_graph_launch(const trivet_device_t* device, void* state, void* graph,
                                  void* stream) {
  (void)device, (void)state;
  const replay_t replay = {graph};
  return null_queue(stream, run_graph, &replay, sizeof(replay));
}

void null_graph_destroy(const trivet_device_t* device, void* state, void* graph_pointer) {
  (void)device, (void)state;
  null_graph_t* graph = graph_pointer;
  for (size_t i = 0; i < graph->lanes.count; ++i) clear_lane(graph->lanes.data[i]);
  tvi_vector_deinit(&graph->lanes);
  tvi_vector_deinit(&graph->streams);
  tvi_free(graph->allocator, graph, sizeof(*graph));
}
