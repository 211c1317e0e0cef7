// SPDX-License-Identifier: Apache-2.0
//
// What a step of a normalisation reads and writes, and whether it lies in the step's operands.
// The rest of the run half is every step's.
#include "core/base/status.h"
#include "plugins/cuda_dnn/dnn_kind.h"
#include "plugins/cuda_dnn/dnn_norm_graph.h"

// What the step reads and writes has to lie in its operands, whatever the plan's file says.
static trivet_status_t check_operand(const dnn_tensor_t* tensor, const trivet_operand_t* operand) {
  uint64_t needed = 1, have = 1;
  for (uint32_t d = 0; d < 4; ++d) needed += (uint64_t)((tensor->dims[d] - 1) * tensor->strides[d]);
  for (uint32_t d = 0; d < operand->rank; ++d) {
    uint64_t reach = 0;
    if (operand->dims[d] < 1 || operand->strides[d] < 0) have = 0;
    if (__builtin_mul_overflow((uint64_t)(operand->dims[d] - 1), (uint64_t)operand->strides[d],
                               &reach) ||
        __builtin_add_overflow(have, reach, &have)) {
      have = 0;
    }
  }
  if ((operand->flags & TRIVET_OPERAND_ABSENT) || operand->dtype != tensor->dtype ||
      needed > have) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN normalisation: an operand does not fit");
  }
  return TRIVET_OK;
}

static trivet_status_t describe(const dnn_norm_t* p, const trivet_kernel_prepare_t* prepare,
                                dnn_norm_shape_t* out) {
  uint32_t count = dnn_norm_operand_count(p);
  if (prepare->operand_count != count || prepare->parameter_count != DNN_NORM_PARAMETERS) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN normalisation: %llu operands, %llu parameters",
                         (unsigned long long)prepare->operand_count,
                         (unsigned long long)prepare->parameter_count);
  }
  uint64_t alignments[DNN_NORM_OPERANDS] = {0};
  for (uint32_t i = 0; i < count; ++i) alignments[i] = prepare->operands[i].alignment;
  TRIVET_RETURN_IF_ERROR(dnn_norm_describe(p, prepare->parameters, alignments, out));
  for (uint32_t i = 0; i < count; ++i) {
    TRIVET_RETURN_IF_ERROR(
        check_operand(&out->tensors[dnn_norm_operand_kind(p, i)], &prepare->operands[i]));
  }
  return TRIVET_OK;
}

trivet_status_t dnn_norm_prepare(const dnn_step_t* step, const void* problem,
                                 const trivet_kernel_prepare_t* prepare, dnn_launch_t* launch) {
  const dnn_norm_t* p = (const dnn_norm_t*)problem;
  dnn_norm_shape_t shape;
  TRIVET_RETURN_IF_ERROR(describe(p, prepare, &shape));
  for (uint32_t i = 0; i < dnn_norm_operand_count(p); ++i) {
    dnn_launch_add_operand(launch, DNN_UID_NORM + dnn_norm_operand_kind(p, i), i, 0);
  }
  dnn_launch_add_float(launch, DNN_UID_EPSILON, (float)p->epsilon);
  dnn_graph_t graph = dnn_norm_graph(p, &shape);
  return dnn_step_find_plan(step, &graph, *prepare->allocator, launch);
}
