// SPDX-License-Identifier: Apache-2.0
//
// The library as build halves use it: for a device that is described, on machines with no driver,
// too. Equal layers share one plan.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_OFFLINE_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_OFFLINE_H_

#include "core/target/target.h"
#include "plugins/cuda_dnn/dnn_library.h"

#define DNN_REASON_SIZE 160u

// The properties of the architecture that |target| ("cuda:sm_90") names; NULL: they are not known.
const char* dnn_target_properties(const char* target);

// Opens the library where it can ask a driver.
trivet_status_t dnn_offline_open(trivet_allocator_t allocator, dnn_library_t* out_library);

// Writes the message of |status| into |text|, frees it, and gives |text|: what a kernel declines
// by.
const char* dnn_offline_reason(trivet_status_t status, char text[DNN_REASON_SIZE]);

// Builds a plan: its text, of |allocator|.
typedef trivet_status_t (*dnn_plan_builder_t)(void* self, const dnn_library_t* library,
                                              trivet_allocator_t allocator, char** out_text,
                                              uint64_t* out_size);
// Sets the emission's blob: |head| with the plan that |build| makes behind it, which is built once
// for equal |key|s of one build of a network. Without a plan where cuDNN cannot build it here, and
// then the device's machine does.
typedef struct dnn_offline_blob_s {
  void* self;
  uint64_t self_size;  // it is copied where the plan is built later, beside others
  dnn_plan_builder_t build;
  tvi_hash128_t key;
  void* head;
  uint64_t head_size;
  uint64_t* plan_size;  // in the head
} dnn_offline_blob_t;
trivet_status_t dnn_offline_set_blob(const trivet_region_t* region, const dnn_offline_blob_t* blob,
                                     trivet_emission_t* emission);

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_OFFLINE_H_
