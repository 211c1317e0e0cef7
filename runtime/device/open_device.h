// SPDX-License-Identifier: Apache-2.0
//
// Open devices: one for every target and number that is in use, shared by the engines of a runtime,
// or by the measurements of a build. Stands between the registry's definitions and whoever needs
// memory and streams. Knows no target.
#ifndef TRIVET_RUNTIME_DEVICE_OPEN_DEVICE_H_
#define TRIVET_RUNTIME_DEVICE_OPEN_DEVICE_H_

#include <stdbool.h>

#include "core/base/thread.h"
#include "core/registry/registry.h"
#include "trivet/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

// Immutable once it is open. Lives as long as the list.
typedef struct tvi_open_device_s {
  struct tvi_open_device_s* next;
  const trivet_device_t* definition;
  void* state;  // what the functions of the definition take
  uint32_t ordinal;
  bool has_ranges;                   // range_begin and range_end may be called
  trivet_device_info_t info;         // as it was when it was opened
  trivet_device_allocator_t memory;  // of the caller; all NULL: the definition's
} tvi_open_device_t;

typedef struct tvi_device_list_s {
  trivet_allocator_t allocator;
  tvi_mutex_t mutex;
  tvi_open_device_t* first;
  trivet_device_allocator_t memory;  // set before the first device is opened
} tvi_device_list_t;

trivet_status_t tvi_device_list_init(tvi_device_list_t* list, trivet_allocator_t allocator);
// Closes all. Nothing of them may be in use.
void tvi_device_list_deinit(tvi_device_list_t* list);
// The device |ordinal| of |definition|, opened when it is asked for first. Any thread. An error
// names the device and the number.
trivet_status_t tvi_device_list_open(tvi_device_list_t* list, const trivet_device_t* definition,
                                     uint32_t ordinal, const tvi_open_device_t** out_device);

// Calls of the definition, with the state: tvi_device_call(device, copy, stream, to, from, size).
#define tvi_device_call(device, function, ...) \
  ((device)->definition->function((device)->definition, (device)->state, __VA_ARGS__))
// Memory |where| TRIVET_MEMORY_*: the caller's, where he brought an allocator for the device's.
trivet_status_t tvi_device_allocate(const tvi_open_device_t* device, uint32_t where, uint64_t size,
                                    void** out_address);
void tvi_device_release(const tvi_open_device_t* device, uint32_t where, void* address,
                        uint64_t size);
// Whether launches may go to |stream|, where the device can tell.
trivet_status_t tvi_device_check_stream(const tvi_open_device_t* device, void* stream);
// Makes the device current for this thread; nothing for NULL, the host.
trivet_status_t tvi_device_enter(const tvi_open_device_t* device);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_RUNTIME_DEVICE_OPEN_DEVICE_H_
