// SPDX-License-Identifier: Apache-2.0
//
// A normalisation as a graph of cuDNN, and plans for it. Both halves use it; it keeps nothing.
// It never runs a plan.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_NORM_GRAPH_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_NORM_GRAPH_H_

#include "plugins/cuda_dnn/dnn_maker.h"
#include "plugins/cuda_dnn/dnn_norm.h"

// Unique ids in the graph and its variant pack.
#define DNN_UID_NORM 1      // + DNN_NORM_X, ...
#define DNN_UID_EPSILON 20  // f32, host

// How many ways the library offers (0: it cannot compute the problem).
trivet_status_t dnn_norm_candidates(const dnn_library_t* dnn, const dnn_norm_t* problem,
                                    const dnn_norm_shape_t* shape,
                                    const dnn_device_choice_t* device, uint32_t* out_count);
// A serialised plan by candidate |problem->candidate|, or the next one that can be built.
// UNIMPLEMENTED: none can.
trivet_status_t dnn_norm_plan(const dnn_library_t* dnn, const dnn_norm_t* problem,
                              const dnn_norm_shape_t* shape, const dnn_device_choice_t* device,
                              trivet_allocator_t allocator, char** out_text, uint64_t* out_size);

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_NORM_GRAPH_H_
