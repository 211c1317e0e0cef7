// SPDX-License-Identifier: Apache-2.0
//
// The device of target "null": memory of the host under addresses that nobody can follow by
// mistake, streams that run at once, graphs that are lists of what was queued. Shared by the table
// (null_device.c) and the kernel (null_kernel.c). Not for use: for tests, and to copy from.
#ifndef TRIVET_PLUGINS_NULL_NULL_DEVICE_H_
#define TRIVET_PLUGINS_NULL_NULL_DEVICE_H_

#include "core/base/thread.h"
#include "core/base/vector.h"
#include "trivet/plugin.h"

// What a graph keeps: a copy, or a launch that brings its own function, with its arguments.
typedef struct null_command_s {
  trivet_status_t (*run)(const void* arguments);
  void* arguments;
  size_t size;
} null_command_t;

typedef struct null_graph_s {
  trivet_allocator_t allocator;
  TVI_VECTOR(null_command_t) commands;
} null_graph_t;

typedef struct null_stream_s {
  null_graph_t* capture;  // NULL: commands run at once
} null_stream_t;

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
} null_device_t;

extern const trivet_device_t null_device;
extern const trivet_kernel_t null_kernel;

// The memory behind an address of this device, or the address itself where it is the host's.
void* null_host_address(const void* address);
// Calls |run|, or keeps it with a copy of its arguments for the graph that |stream| captures.
trivet_status_t null_queue(null_stream_t* stream, trivet_status_t (*run)(const void* arguments),
                           const void* arguments, size_t size);

#endif  // TRIVET_PLUGINS_NULL_NULL_DEVICE_H_
