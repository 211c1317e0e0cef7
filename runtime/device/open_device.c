// SPDX-License-Identifier: Apache-2.0
//
// Opens devices once and keeps them.
// Engines and builds share one of a target through it; it must not know any target by name.
#include "runtime/device/open_device.h"

#include "core/base/allocator.h"
#include "core/base/status.h"

trivet_status_t tvi_device_list_init(tvi_device_list_t* list, trivet_allocator_t allocator) {
  list->allocator = allocator;
  list->first = NULL;
  list->memory = (trivet_device_allocator_t){0};
  return tvi_mutex_init(&list->mutex);
}

void tvi_device_list_deinit(tvi_device_list_t* list) {
  while (list->first != NULL) {
    tvi_open_device_t* device = list->first;
    list->first = device->next;
    device->definition->close(device->definition, device->state);
    tvi_free(list->allocator, device, sizeof(*device));
  }
  tvi_mutex_deinit(&list->mutex);
}

static trivet_status_t open_device(tvi_device_list_t* list, const trivet_device_t* definition,
                                   uint32_t ordinal, tvi_open_device_t** out_device) {
  tvi_open_device_t* device;
  TRIVET_RETURN_IF_ERROR(tvi_alloc_zeroed(list->allocator, sizeof(*device), &device));
  device->definition = definition;
  device->ordinal = ordinal;
  device->memory = list->memory;
  device->has_ranges =
      TRIVET_HAS_FIELD(definition, trivet_device_t, range_end) && definition->range_begin != NULL;
  device->info.header =
      (trivet_header_t)TRIVET_HEADER(trivet_device_info_t, TRIVET_STRUCT_DEVICE_INFO);
  trivet_status_t status = definition->open(definition, ordinal, &list->allocator, &device->state);
  if (status == NULL) {
    status = tvi_device_call(device, describe, &device->info);
    if (status == NULL && (device->info.alignment & (device->info.alignment - 1)) != 0) {
      status = TRIVET_STATUS(INTERNAL, "it aligns memory to %u", device->info.alignment);
    }
    if (status != NULL) definition->close(definition, device->state);
  }
  if (status != NULL) {
    tvi_free(list->allocator, device, sizeof(*device));
    return status;
  }
  device->info.name[sizeof(device->info.name) - 1] = '\0';
  device->info.target[sizeof(device->info.target) - 1] = '\0';
  device->info.signature[sizeof(device->info.signature) - 1] = '\0';
  *out_device = device;
  return TRIVET_OK;
}

trivet_status_t tvi_device_list_open(tvi_device_list_t* list, const trivet_device_t* definition,
                                     uint32_t ordinal, const tvi_open_device_t** out_device) {
  tvi_mutex_lock(&list->mutex);
  tvi_open_device_t* device = list->first;
  while (device != NULL && (device->definition != definition || device->ordinal != ordinal)) {
    device = device->next;
  }
  trivet_status_t status = TRIVET_OK;
  if (device == NULL) {
    status = open_device(list, definition, ordinal, &device);
    if (status == NULL) {
      device->next = list->first;
      list->first = device;
    }
  }
  tvi_mutex_unlock(&list->mutex);
  if (status != NULL) {
    return trivet_status_annotate(status, "device %u of target '%s'", ordinal, definition->target);
  }
  *out_device = device;
  return TRIVET_OK;
}

trivet_status_t tvi_device_enter(const tvi_open_device_t* device) {
  return device != NULL ? device->definition->enter(device->definition, device->state) : TRIVET_OK;
}

trivet_status_t tvi_device_check_stream(const tvi_open_device_t* device, void* stream) {
  const trivet_device_t* definition = device->definition;
  if (!TRIVET_HAS_FIELD(definition, trivet_device_t, stream_check) || !definition->stream_check) {
    return TRIVET_OK;
  }
  return definition->stream_check(definition, device->state, stream);
}

trivet_status_t tvi_device_allocate(const tvi_open_device_t* device, uint32_t where, uint64_t size,
                                    void** out_address) {
  const trivet_device_allocator_t* memory = &device->memory;
  if (where != TRIVET_MEMORY_DEVICE || memory->allocate == NULL) {
    return tvi_device_call(device, allocate, where, size, out_address);
  }
  TRIVET_RETURN_IF_ERROR(tvi_device_enter(device));
  const trivet_device_info_t* info = &device->info;
  void* address = NULL;
  TRIVET_RETURN_IF_ERROR_ANNOTATED(memory->allocate(memory->self, info->target, device->ordinal,
                                                    size, info->alignment, &address),
                                   "the caller's device allocator");
  if (address == NULL || (uintptr_t)address % (info->alignment != 0 ? info->alignment : 1) != 0) {
    if (address != NULL) {
      memory->release(memory->self, info->target, device->ordinal, address, size);
    }
    return TRIVET_STATUS(OUT_OF_MEMORY,
                         "the caller's device allocator gave no memory aligned to %u",
                         info->alignment);
  }
  *out_address = address;
  return TRIVET_OK;
}

void tvi_device_release(const tvi_open_device_t* device, uint32_t where, void* address,
                        uint64_t size) {
  const trivet_device_allocator_t* memory = &device->memory;
  if (where != TRIVET_MEMORY_DEVICE || memory->release == NULL) {
    tvi_device_call(device, release, where, address, size);
  } else {
    memory->release(memory->self, device->info.target, device->ordinal, address, size);
  }
}
