// SPDX-License-Identifier: Apache-2.0
//
// The table of device "null": what the runtime asks of a target with memory of its own. An address
// of the device is a host address with a bit that no processor follows, so that whoever mixes up
// the memories crashes at once.
#include "plugins/null/null_device.h"

#include <stdio.h>
#include <string.h>

#include "core/base/allocator.h"
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
  tvi_vector_init(&null->lanes, *allocator);
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
  null_free_lanes(null);
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

// --- Copies --------------------------------------------------------------------------------------

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
    .stream_create = null_stream_create,
    .stream_destroy = null_stream_destroy,
    .stream_synchronize = null_stream_synchronize,
    .copy = copy,
    .event_create = null_event_create,
    .event_destroy = null_event_destroy,
    .event_record = null_event_record,
    .stream_wait = null_stream_wait,
    .elapsed = null_elapsed,
    .capture_begin = null_capture_begin,
    .capture_end = null_capture_end,
    .graph_launch = null_graph_launch,
    .graph_destroy = null_graph_destroy,
};
