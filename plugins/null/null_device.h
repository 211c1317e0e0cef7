// SPDX-License-Identifier: Apache-2.0
//
// The device of target "null": memory of the host under addresses that nobody can follow by
// mistake, streams and graphs that run as late as they may, so that an order which nobody asked
// for shows in the results. Shared by the table (null_device.c), the streams (null_stream.c) and
// the kernel (null_kernel.c). Not for use: for tests, and to copy from.
#ifndef TRIVET_PLUGINS_NULL_NULL_DEVICE_H_
#define TRIVET_PLUGINS_NULL_NULL_DEVICE_H_

#include "core/base/thread.h"
#include "core/base/vector.h"
#include "trivet/plugin.h"

// A copy, or a launch that brings its own function, with its arguments.
typedef struct null_command_s {
  trivet_status_t (*run)(const void* arguments);
  size_t at;  // where they begin among those of the lane
} null_command_t;

// Commands in their order: those of a stream, which go once they have run, or of one stream in a
// graph, which stay. The device keeps lanes until it is closed, so that events may point at them.
typedef struct null_lane_s {
  TVI_VECTOR(null_command_t) commands;
  TVI_VECTOR(uint64_t) arguments;  // kept as room for later ones, so that runs allocate nothing
  uint64_t gone;                   // commands that were there before the first one
  uint64_t done;                   // of |commands|, those that have run
  struct null_graph_s* graph;
  bool is_captured;  // and |graph| is still made
} null_lane_t;

// Lanes, the first one that of the stream where the capture began.
typedef struct null_graph_s {
  trivet_allocator_t allocator;
  TVI_VECTOR(null_lane_t*) lanes;
  TVI_VECTOR(struct null_stream_s*) streams;  // that are captured
} null_graph_t;

typedef struct null_stream_s {
  null_lane_t* own;
  null_lane_t* lane;  // where commands go: its own, or that in the graph which captures it
} null_stream_t;

typedef struct null_event_s {
  int64_t time;       // when it was reached
  null_lane_t* lane;  // where it was recorded, behind how many commands; NULL: nowhere yet
  uint64_t position;
} null_event_t;

typedef struct null_block_s {
  char* address;  // on the host
  uint64_t size;
  uint32_t where;
  uint32_t reserved;
} null_block_t;

typedef struct null_device_s {
  trivet_allocator_t allocator;
  uint32_t ordinal;
  tvi_mutex_t mutex;  // of what follows
  TVI_VECTOR(null_block_t) blocks;
  uint64_t used;  // bytes of TRIVET_MEMORY_DEVICE
  TVI_VECTOR(null_lane_t*) lanes;
} null_device_t;

extern const trivet_device_t null_device;
extern const trivet_kernel_t null_kernel;

// The memory behind an address of this device, or the address itself where it is the host's.
void* null_host_address(const void* address);
// Keeps |run| with a copy of its arguments until somebody waits for it, or for the graph that
// captures |stream|.
trivet_status_t null_queue(null_stream_t* stream, trivet_status_t (*run)(const void* arguments),
                           const void* arguments, size_t size);

// Whether what |stream| holds ends in a wait for another stream.
bool null_ends_in_wait(const null_stream_t* stream);
// Functions of the table. null_stream.c.
trivet_status_t null_stream_create(const trivet_device_t* device, void* state, void** out_stream);
void null_stream_destroy(const trivet_device_t* device, void* state, void* stream);
trivet_status_t null_stream_synchronize(const trivet_device_t* device, void* state, void* stream);
trivet_status_t null_event_create(const trivet_device_t* device, void* state, void** out_event);
void null_event_destroy(const trivet_device_t* device, void* state, void* event);
trivet_status_t null_event_record(const trivet_device_t* device, void* state, void* event,
                                  void* stream);
trivet_status_t null_stream_wait(const trivet_device_t* device, void* state, void* stream,
                                 void* event);
trivet_status_t null_elapsed(const trivet_device_t* device, void* state, void* begin, void* end,
                             uint64_t* out_nanoseconds);
trivet_status_t null_capture_begin(const trivet_device_t* device, void* state, void* stream);
trivet_status_t null_capture_end(const trivet_device_t* device, void* state, void* stream,
                                 void** out_graph);
trivet_status_t null_graph_launch(const trivet_device_t* device, void* state, void* graph,
                                  void* stream);
void null_graph_destroy(const trivet_device_t* device, void* state, void* graph);
// Frees the lanes of a device that is closed.
void null_free_lanes(null_device_t* null);

#endif  // TRIVET_PLUGINS_NULL_NULL_DEVICE_H_
