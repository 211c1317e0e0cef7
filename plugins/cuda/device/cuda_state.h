// SPDX-License-Identifier: Apache-2.0
//
// What is behind tvi_cuda_device_t, for the files of this folder: the driver that was opened, and
// what the kernels of the device share.
#ifndef TRIVET_PLUGINS_CUDA_DEVICE_CUDA_STATE_H_
#define TRIVET_PLUGINS_CUDA_DEVICE_CUDA_STATE_H_

#include "core/base/hash.h"
#include "core/base/library.h"
#include "core/base/thread.h"
#include "plugins/cuda/device/cuda_device.h"

typedef struct cuda_module_s {
  struct cuda_module_s* next;
  tvi_hash128_t hash;
  uint64_t size;
  CUmodule module;
  uint64_t use_count;
} cuda_module_t;

typedef struct cuda_resource_s {
  struct cuda_resource_s* next;
  char name[64];
  void* object;
  void (*destroy)(tvi_cuda_device_t* device, void* object);
} cuda_resource_t;

typedef struct cuda_state_s {
  tvi_cuda_device_t device;  // first: the state is what kernels get
  trivet_allocator_t allocator;
  tvi_library_t* library;
  tvi_cuda_driver_t driver;
  bool is_retained;  // the primary context
  tvi_mutex_t modules_mutex;
  cuda_module_t* modules;
  // One more lock, as making a resource may load modules.
  tvi_mutex_t resources_mutex;
  cuda_resource_t* resources;  // the newest first
} cuda_state_t;

// Opens libcuda.so.1, or |path| where that is not NULL, and finds every function. UNAVAILABLE names
// the library, or the driver's version and the function that it lacks.
trivet_status_t cuda_driver_open(const char* path, cuda_state_t* state);
void cuda_driver_close(cuda_state_t* state);

// Sets the functions of the device that share modules and resources.
trivet_status_t cuda_shared_init(cuda_state_t* state);
// Destroys resources, the newest first, then modules.
void cuda_shared_deinit(cuda_state_t* state);

// Puts kernels in the place of memsets in |graph|, which has not been instantiated. Memsets that
// cannot be replaced, or that the driver's version hides, stay.
void cuda_fill_by_kernels(cuda_state_t* state, CUgraph graph);

// Sets the functions of the device that record.
void cuda_record_init(cuda_state_t* state);

#endif  // TRIVET_PLUGINS_CUDA_DEVICE_CUDA_STATE_H_
