// SPDX-License-Identifier: Apache-2.0
//
// One operation of cuDNN: a normalisation as inference has it, without statistics as results. It
// knows cuDNN's interface and no region.
#include "plugins/cuda_dnn/dnn_norm_graph.h"

#include "core/base/status.h"

#define TRY(call) TRIVET_RETURN_IF_ERROR(call)

static trivet_status_t set_operand(dnn_maker_t* m, const dnn_norm_shape_t* shape, uint32_t kind,
                                   cudnnBackendDescriptor_t op, cudnnBackendAttributeName_t name) {
  const dnn_tensor_t* tensor = &shape->tensors[kind];
  cudnnBackendDescriptor_t t = NULL;
  TRY(dnn_maker_tensor(m, tensor, 4, dnn_data_type(tensor->dtype), DNN_UID_NORM + kind, 0, &t));
  return dnn_maker_set(m, op, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &t,
                       "tensor of a normalisation");
}

static trivet_status_t make_graph(dnn_maker_t* m, const void* problem, const void* of) {
  const dnn_norm_t* p = (const dnn_norm_t*)problem;
  const dnn_norm_shape_t* shape = (const dnn_norm_shape_t*)of;
  cudnnBackendDescriptor_t op = NULL, epsilon = NULL;
  cudnnBackendNormFwdPhase_t phase = CUDNN_NORM_FWD_INFERENCE;
  cudnnBackendNormMode_t mode = p->kind == DNN_NORM_LAYER ? CUDNN_LAYER_NORM
                                : p->kind == DNN_NORM_RMS ? CUDNN_RMS_NORM
                                                          : CUDNN_INSTANCE_NORM;
  TRY(dnn_maker_add(m, CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR, &op));
  TRY(dnn_maker_set(m, op, CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_TYPE_NORM_MODE, 1, &mode,
                    "kind of a normalisation"));
  TRY(dnn_maker_set(m, op, CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_TYPE_NORM_FWD_PHASE, 1,
                    &phase, "phase of a normalisation"));
  TRY(set_operand(m, shape, DNN_NORM_X, op, CUDNN_ATTR_OPERATION_NORM_FWD_XDESC));
  TRY(set_operand(m, shape, DNN_NORM_SCALE, op, CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC));
  if (p->has_shift) {
    TRY(set_operand(m, shape, DNN_NORM_SHIFT, op, CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC));
  }
  TRY(dnn_maker_number(m, 4, DNN_UID_EPSILON, &epsilon));
  TRY(dnn_maker_set(m, op, CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC,
                    CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &epsilon, "epsilon"));
  TRY(set_operand(m, shape, DNN_NORM_RESULT, op, CUDNN_ATTR_OPERATION_NORM_FWD_YDESC));
  TRY(dnn_maker_finish(m, op, "normalisation"));
  return dnn_maker_graph(m, &op, 1);
}

dnn_graph_t dnn_norm_graph(const dnn_norm_t* problem, const dnn_norm_shape_t* shape) {
  dnn_graph_t graph = {.make = make_graph,
                       .problem = problem,
                       .shape = shape,
                       .problem_size = sizeof(*problem),
                       .candidate = problem->candidate};
  dnn_norm_key(problem, shape, graph.key);
  return graph;
}
