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

dnn_graph_t dnn_norm_graph(const dnn_norm_t* problem, const dnn_norm_shape_t* shape);

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_NORM_GRAPH_H_
