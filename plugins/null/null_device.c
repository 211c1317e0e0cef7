// SPDX-License-Identifier: Apache-2.0
//
// The table of device "null", every function of it: what the runtime asks of a target with memory
// of its own. An address of the device is a host address with a bit that no processor follows, so
// that whoever mixes up the memories crashes at once.
#include "plugins/null/null_device.h"

#include <stdio.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/clock.h"
#include "core/base/status.h"

#define TAG ((uintptr_t)1 << 56)
#define ALIGNMENT 256u
#define DEVICE_COUNT 2u
#define MEMORY_SIZE ((uint64_t)1 << 30)

static bool is_tagged(const void* address) { return ((uintptr_t)address & TAG) != 0; }

void* null_host_address(const void* address) { return (void*)((uintptr_t)address & ~TAG); }

static trivet_status_t open_device(const trivet_device_t* device, uint32_t ordinal,
                                   const trivet_allocator_t* allocator, void** out_state) {
  (void)device;
  if (ordinal >= DEVICE_COUNT) {
    return TRIVET_STATUS(UNAVAILABLE, "there are %u null devices, wanted is number %u",
                         DEVICE_COUNT, ordinal);
  }
  null_device_t* null;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(*allocator, sizeof(*null), &null));
  null->allocator = *allocator;
  null->ordinal = ordinal;
  tvi_vector_init(&null->blocks, *allocator);
  trivet_status_t status = tvi_mutex_init(&null->mutex);
  if (status != NULL) {
    tvi_free(*allocator, null, sizeof(*null));
    return status;
  }
  *out_state = null;
  return TRIVET_OK;
}

static void close_device(const trivet_device_t* device, void* state) {
  (void)device;
  null_device_t* null = state;
  for (size_t i = 0; i < null->blocks.count; ++i) {
    tvi_free_aligned(null->allocator, null->blocks.data[i].address, null->blocks.data[i].size,
                     ALIGNMENT);
  }
  tvi_vector_deinit(&null->blocks);
  tvi_mutex_deinit(&null->mutex);
  tvi_free(null->allocator, null, sizeof(*null));
}

static trivet_status_t describe(const trivet_device_t* device, void* state,
                                trivet_device_info_t* out_info) {
  (void)device;
  null_device_t* null = state;
  snprintf(out_info->name, sizeof(out_info->name), "null device %u", null->ordinal);
  snprintf(out_info->target, sizeof(out_info->target), "null:v1");
  snprintf(out_info->signature, sizeof(out_info->signature), "null v1");
  out_info->memory_size = MEMORY_SIZE;
  tvi_mutex_lock(&null->mutex);
  out_info->memory_free = MEMORY_SIZE - null->used;
  tvi_mutex_unlock(&null->mutex);
  out_info->alignment = ALIGNMENT;
  return TRIVET_OK;
}

static trivet_status_t enter(const trivet_device_t* device, void* state) {
  (void)device, (void)state;
  return TRIVET_OK;
}

static uint32_t meets(const trivet_device_t* device, void* state,
                      trivet_string_view_t requirement) {
  (void)device, (void)state;
  static const char known[] = "arch:v1";
  return requirement.size == sizeof(known) - 1 &&
         memcmp(requirement.data, known, requirement.size) == 0;
}

static trivet_status_t allocate(const trivet_device_t* device, void* state, uint32_t where,
                                uint64_t size, void** out_address) {
  (void)device;
  null_device_t* null = state;
  null_block_t block = {NULL, size, where, 0};
  tvi_mutex_lock(&null->mutex);
  trivet_status_t status = TRIVET_OK;
  if (where == TRIVET_MEMORY_DEVICE && size > MEMORY_SIZE - null->used) {
    status = TRIVET_STATUS(OUT_OF_MEMORY, "the null device has %llu of %llu bytes left",
                           (unsigned long long)(MEMORY_SIZE - null->used),
                           (unsigned long long)MEMORY_SIZE);
  }
  if (status == NULL) status = tvi_vector_reserve(&null->blocks, 1);
  if (status == NULL) {
    status = tvi_alloc_aligned(null->allocator, size, ALIGNMENT, &block.address);
  }
  if (status == NULL) {
    memset(block.address, 0xa5, size);  // who reads what nobody wrote sees it
    null->blocks.data[null->blocks.count++] = block;
    if (where == TRIVET_MEMORY_DEVICE) null->used += size;
    uintptr_t tag = where == TRIVET_MEMORY_DEVICE ? TAG : 0;
    *out_address = (void*)((uintptr_t)block.address | tag);
  }
  tvi_mutex_unlock(&null->mutex);
  return status;
}

static void release(const trivet_device_t* device, void* state, uint32_t where, void* address,
                    uint64_t size) {
  (void)device;
  null_device_t* null = state;
  tvi_mutex_lock(&null->mutex);
  for (size_t i = 0; i < null->blocks.count; ++i) {
    null_block_t block = null->blocks.data[i];
    if (block.address != null_host_address(address) || block.where != where || block.size != size) {
      continue;
    }
    if (where == TRIVET_MEMORY_DEVICE) null->used -= size;
    tvi_free_aligned(null->allocator, block.address, size, ALIGNMENT);
    null->blocks.data[i] = null->blocks.data[--null->blocks.count];
    break;
  }
  tvi_mutex_unlock(&null->mutex);
}

static trivet_status_t locate(const trivet_device_t* device, void* state, const void* address,
                              uint32_t* out_where) {
  (void)device, (void)state;
  *out_where = is_tagged(address) ? TRIVET_MEMORY_DEVICE : TRIVET_MEMORY_HOST;
  return TRIVET_OK;
}

// --- Streams and copies --------------------------------------------------------------------------

static trivet_status_t stream_create(const trivet_device_t* device, void* state,
                                     void** out_stream) {
  (void)device;
  null_stream_t* stream;
  TRIVET_RETURN_IF_ERROR(
      tvi_alloc_zeroed(((null_device_t*)state)->allocator, sizeof(*stream), &stream));
  *out_stream = stream;
  return TRIVET_OK;
}

static void graph_destroy(const trivet_device_t* device, void* state, void* graph_pointer) {
  (void)device, (void)state;
  null_graph_t* graph = graph_pointer;
  for (size_t i = 0; i < graph->commands.count; ++i) {
    tvi_free(graph->allocator, graph->commands.data[i].arguments, graph->commands.data[i].size);
  }
  tvi_vector_deinit(&graph->commands);
  tvi_free(graph->allocator, graph, sizeof(*graph));
}

static void stream_destroy(const trivet_device_t* device, void* state, void* stream_pointer) {
  null_stream_t* stream = stream_pointer;
  if (stream->capture != NULL) graph_destroy(device, state, stream->capture);
  tvi_free(((null_device_t*)state)->allocator, stream, sizeof(*stream));
}

static trivet_status_t stream_synchronize(const trivet_device_t* device, void* state,
                                          void* stream) {
  (void)device, (void)state;
  if (((null_stream_t*)stream)->capture == NULL) return TRIVET_OK;
  return TRIVET_STATUS(FAILED_PRECONDITION, "a stream that is captured cannot be waited for");
}

trivet_status_t null_queue(null_stream_t* stream, trivet_status_t (*run)(const void* arguments),
                           const void* arguments, size_t size) {
  null_graph_t* graph = stream->capture;
  if (graph == NULL) return run(arguments);
  null_command_t command = {run, NULL, size};
  TRIVET_RETURN_IF_ERROR(tvi_alloc(graph->allocator, size, &command.arguments));
  memcpy(command.arguments, arguments, size);
  trivet_status_t status = tvi_vector_push(&graph->commands, command);
  if (status != NULL) tvi_free(graph->allocator, command.arguments, size);
  return status;
}

typedef struct copy_s {
  null_device_t* device;
  void* target;
  const void* source;
  uint64_t size;
} copy_t;

// Bytes of the device must lie in one allocation of it.
static trivet_status_t check_range(null_device_t* null, const void* address, uint64_t size) {
  if (!is_tagged(address)) return TRIVET_OK;
  const char* begin = null_host_address(address);
  bool found = false;
  tvi_mutex_lock(&null->mutex);
  for (size_t i = 0; i < null->blocks.count && !found; ++i) {
    const null_block_t* block = &null->blocks.data[i];
    found = begin >= block->address && size <= block->size &&
            (uint64_t)(begin - block->address) <= block->size - size;
  }
  tvi_mutex_unlock(&null->mutex);
  if (found) return TRIVET_OK;
  return TRIVET_STATUS(OUT_OF_RANGE, "%llu bytes at %p are in no allocation of the device",
                       (unsigned long long)size, address);
}

static trivet_status_t run_copy(const void* arguments) {
  const copy_t* copy = arguments;
  TRIVET_RETURN_IF_ERROR(check_range(copy->device, copy->target, copy->size));
  TRIVET_RETURN_IF_ERROR(check_range(copy->device, copy->source, copy->size));
  memmove(null_host_address(copy->target), null_host_address(copy->source), copy->size);
  return TRIVET_OK;
}

static trivet_status_t copy(const trivet_device_t* device, void* state, void* stream, void* target,
                            const void* source, uint64_t size) {
  (void)device;
  const copy_t copy = {state, target, source, size};
  return null_queue(stream, run_copy, &copy, sizeof(copy));
}

// --- Events: the time at which they were recorded ------------------------------------------------

static trivet_status_t event_create(const trivet_device_t* device, void* state, void** out_event) {
  (void)device;
  int64_t* event;
  TRIVET_RETURN_IF_ERROR(
      tvi_alloc_zeroed(((null_device_t*)state)->allocator, sizeof(*event), &event));
  *out_event = event;
  return TRIVET_OK;
}

static void event_destroy(const trivet_device_t* device, void* state, void* event) {
  (void)device;
  tvi_free(((null_device_t*)state)->allocator, event, sizeof(int64_t));
}

static trivet_status_t event_record(const trivet_device_t* device, void* state, void* event,
                                    void* stream) {
  (void)device, (void)state, (void)stream;
  *(int64_t*)event = tvi_clock_now_ns();
  return TRIVET_OK;
}

static trivet_status_t stream_wait(const trivet_device_t* device, void* state, void* stream,
                                   void* event) {
  (void)device, (void)state, (void)stream, (void)event;  // everything has run already
  return TRIVET_OK;
}

static trivet_status_t elapsed(const trivet_device_t* device, void* state, void* begin, void* end,
                               uint64_t* out_nanoseconds) {
  (void)device, (void)state;
  *out_nanoseconds = (uint64_t)(*(int64_t*)end - *(int64_t*)begin);
  return TRIVET_OK;
}

// --- Graphs --------------------------------------------------------------------------------------

static trivet_status_t capture_begin(const trivet_device_t* device, void* state,
                                     void* stream_pointer) {
  (void)device;
  null_device_t* null = state;
  null_stream_t* stream = stream_pointer;
  if (stream->capture != NULL) {
    return TRIVET_STATUS(FAILED_PRECONDITION, "the stream is captured already");
  }
  null_graph_t* graph;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(null->allocator, sizeof(*graph), &graph));
  graph->allocator = null->allocator;
  tvi_vector_init(&graph->commands, null->allocator);
  stream->capture = graph;
  return TRIVET_OK;
}

static trivet_status_t capture_end(const trivet_device_t* device, void* state, void* stream,
                                   void** out_graph) {
  (void)device, (void)state;
  *out_graph = ((null_stream_t*)stream)->capture;
  ((null_stream_t*)stream)->capture = NULL;
  return TRIVET_OK;
}

static trivet_status_t graph_launch(const trivet_device_t* device, void* state, void* graph_pointer,
                                    void* stream) {
  (void)device, (void)state, (void)stream;
  const null_graph_t* graph = graph_pointer;
  for (size_t i = 0; i < graph->commands.count; ++i) {
    TRIVET_RETURN_IF_ERROR(graph->commands.data[i].run(graph->commands.data[i].arguments));
  }
  return TRIVET_OK;
}

const trivet_device_t null_device = {
    .header = TRIVET_HEADER(trivet_device_t, TRIVET_STRUCT_DEVICE),
    .target = "null",
    .summary = "a device for tests: its memory is the host's, under other addresses",
    .version = 1,
    .open = open_device,
    .close = close_device,
    .describe = describe,
    .enter = enter,
    .meets = meets,
    .allocate = allocate,
    .release = release,
    .locate = locate,
    .stream_create = stream_create,
    .stream_destroy = stream_destroy,
    .stream_synchronize = stream_synchronize,
    .copy = copy,
    .event_create = event_create,
    .event_destroy = event_destroy,
    .event_record = event_record,
    .stream_wait = stream_wait,
    .elapsed = elapsed,
    .capture_begin = capture_begin,
    .capture_end = capture_end,
    .graph_launch = graph_launch,
    .graph_destroy = graph_destroy,
};
