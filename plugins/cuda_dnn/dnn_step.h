// SPDX-License-Identifier: Apache-2.0
//
// A step of a plan that cuDNN runs: the run half of every kernel here, as callbacks of
// trivet_kernel_t. It knows problems as bytes; what is in them, the kernel's kind knows.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_STEP_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_STEP_H_

#include "plugins/cuda_dnn/dnn_launch.h"
#include "plugins/cuda_dnn/dnn_maker.h"

// A loaded step: a copy of its problem, the plan that came with it, the device. Immutable.
typedef struct dnn_step_s dnn_step_t;

// What trivet_kernel_t asks for; a prepared step is a dnn_launch_t.
trivet_status_t dnn_step_load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* load,
                              void** out_loaded);
void dnn_step_unload(const trivet_kernel_t* kernel, void* loaded,
                     const trivet_allocator_t* allocator);
trivet_status_t dnn_step_prepare(const trivet_kernel_t* kernel, void* loaded,
                                 const trivet_kernel_prepare_t* prepare,
                                 uint64_t* out_workspace_size, void** out_prepared);
void dnn_step_release(const trivet_kernel_t* kernel, void* prepared,
                      const trivet_allocator_t* allocator);
trivet_status_t dnn_step_run(const trivet_kernel_t* kernel, void* prepared,
                             const trivet_kernel_launch_t* launch);

// The plan of |graph|: the step's own where it is for this shape, else one that is built for the
// device, which takes long. |allocator|: for what is needed meanwhile. The launch owns it.
trivet_status_t dnn_step_find_plan(const dnn_step_t* step, const dnn_graph_t* graph,
                                   trivet_allocator_t allocator, dnn_launch_t* launch);

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_STEP_H_
