// SPDX-License-Identifier: Apache-2.0
//
// cuDNN's graph interface in C, opened by name. The build half opens it without a handle, as plans
// are made for a device that is described; the run half shares one handle and the plans of a
// device.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_LIBRARY_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_LIBRARY_H_

#include <cudnn_graph.h>
#include <stdatomic.h>

#include "core/base/hash.h"
#include "core/base/library.h"
#include "core/base/thread.h"
#include "plugins/cuda/device/cuda_device.h"

// clang-format off
#define DNN_FUNCTIONS(X)                                                               \
  X(cudnnGetVersion) X(cudnnGetErrorString) X(cudnnGetLastErrorString)                 \
  X(cudnnCreate) X(cudnnDestroy) X(cudnnSetStream)                                     \
  X(cudnnBackendCreateDescriptor) X(cudnnBackendDestroyDescriptor)                     \
  X(cudnnBackendSetAttribute) X(cudnnBackendGetAttribute) X(cudnnBackendFinalize)      \
  X(cudnnBackendExecute)
// clang-format on

typedef struct dnn_library_s {
  tvi_library_t* library;
#define DNN_MEMBER(name) __typeof__(name)* name;
  DNN_FUNCTIONS(DNN_MEMBER)
#undef DNN_MEMBER
} dnn_library_t;

// UNAVAILABLE names what was looked for.
trivet_status_t dnn_library_open(trivet_allocator_t allocator, dnn_library_t* out_library);
// Has it and what it opens itself for convolutions mapped.
void dnn_library_warm_up(const trivet_kernel_t* kernel);
void dnn_library_close(dnn_library_t* library);
// A status for an error of the library: its name, its last message and |what|.
trivet_status_t dnn_check(const dnn_library_t* library, cudnnStatus_t result, const char* what);

// A plan that steps share, by its text.
typedef struct dnn_plan_s {
  struct dnn_plan_s* next;
  tvi_hash128_t hash;
  uint64_t size;
  uint64_t use_count;
  cudnnBackendDescriptor_t descriptor;
  int64_t workspace_size;
} dnn_plan_t;

// What the steps of a device share.
typedef struct dnn_device_s {
  dnn_library_t library;
  cudnnHandle_t handle;
  atomic_flag is_busy;  // the handle, while a step sets its stream and launches
  tvi_mutex_t mutex;
  dnn_plan_t* plans;
} dnn_device_t;

// The device owns it.
trivet_status_t dnn_device_get(tvi_cuda_device_t* device, dnn_device_t** out_device);
// The plan of |text|, which is kept until as many releases.
trivet_status_t dnn_plan_get(tvi_cuda_device_t* cuda, dnn_device_t* device, const void* text,
                             uint64_t size, dnn_plan_t** out_plan);
void dnn_plan_release(tvi_cuda_device_t* cuda, dnn_device_t* device, dnn_plan_t* plan);

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_LIBRARY_H_
