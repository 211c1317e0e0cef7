// SPDX-License-Identifier: Apache-2.0
//
// Attention as a graph of cuDNN, and plans for it. Both halves use it; it keeps nothing.
// It never runs a plan.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_ATTENTION_GRAPH_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_ATTENTION_GRAPH_H_

#include "plugins/cuda_dnn/dnn_attention.h"
#include "plugins/cuda_dnn/dnn_maker.h"

// Unique ids in the graph and its variant pack.
#define DNN_UID_ATTENTION 1  // + DNN_Q, ..., the result last
#define DNN_UID_SCALE 20     // f32, host
#define DNN_UID_HIDDEN 21    // f32, host: the score of a key that is not seen
#define DNN_UID_UPPER 22     // i32, host
#define DNN_UID_BETWEEN 40   // virtual tensors

dnn_graph_t dnn_attention_graph(const dnn_attention_t* problem, const dnn_attention_shape_t* shape);

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_ATTENTION_GRAPH_H_
