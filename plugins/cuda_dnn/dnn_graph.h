// SPDX-License-Identifier: Apache-2.0
//
// A problem as a graph of cuDNN, and plans for it: for the device of a handle, or for one that is
// described. Both halves use it; it keeps nothing.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_GRAPH_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_GRAPH_H_

#include "core/base/string_builder.h"
#include "plugins/cuda_dnn/dnn_maker.h"
#include "plugins/cuda_dnn/dnn_problem.h"

#define DNN_MAX_POINTWISE 32u

// One pointwise operation on what came before: with nothing, an operand of the step, a number, or
// an earlier value.
enum { DNN_WITH_NOTHING = 0, DNN_WITH_OPERAND, DNN_WITH_NUMBER, DNN_WITH_SAVED };
typedef struct dnn_pointwise_s {
  cudnnPointwiseMode_t mode;
  uint32_t with;
  uint32_t operand;
  float number;
  uint32_t saved;  // position of the operation whose input it is
  bool has_clip;   // of relu
  double lower, upper, slope;
  double parameter;  // of elu and swish
} dnn_pointwise_t;

// The post-operations of |problem| as cuDNN's.
uint32_t dnn_pointwise_list(const dnn_problem_t* problem,
                            dnn_pointwise_t out_list[DNN_MAX_POINTWISE]);

// Unique ids in a graph and its variant pack.
#define DNN_UID_OPERAND 1   // + operand of the step
#define DNN_UID_NUMBER 100  // + position of the pointwise operation
#define DNN_UID_VIRTUAL 200

// The properties of an architecture ("sm_90"), NULL where they are not known.
const char* dnn_device_properties(const char* architecture);

// |tensors|: of the step's operands.
dnn_graph_t dnn_convolution_graph(const dnn_problem_t* problem, const dnn_tensor_t* tensors);

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_GRAPH_H_
