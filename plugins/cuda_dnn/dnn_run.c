// SPDX-License-Identifier: Apache-2.0
//
// What a step of a convolution reads and writes, and whether it lies in the step's operands.
// The rest of the run half is every step's.
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "plugins/cuda_dnn/dnn_graph.h"
#include "plugins/cuda_dnn/dnn_kind.h"

static trivet_status_t check_operands(const dnn_problem_t* p,
                                      const trivet_kernel_prepare_t* prepare) {
  if (prepare->operand_count != p->operand_count) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN step: %llu operands, not %u",
                         (unsigned long long)prepare->operand_count, p->operand_count);
  }
  for (uint32_t i = 0; i < p->operand_count; ++i) {
    if (prepare->operands[i].flags & TRIVET_OPERAND_ABSENT) {
      return TRIVET_STATUS(DATA_LOSS, "cuDNN step: operand %u is absent", i);
    }
  }
  if (!p->is_packed) return TRIVET_OK;
  uint64_t wanted = tvi_dtype_bytes(p->dtype), given = 1;
  for (uint32_t d = 0; d < p->rank; ++d) {
    if (__builtin_mul_overflow(wanted, (uint64_t)p->weight_dims[d], &wanted)) wanted = UINT64_MAX;
  }
  const trivet_operand_t* weights = &prepare->operands[1];
  given = tvi_dtype_bytes(weights->dtype);
  for (uint32_t d = 0; d < weights->rank; ++d) given *= (uint64_t)weights->dims[d];
  if (given < wanted) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN step: packed weights of %llu bytes lie in %llu",
                         (unsigned long long)wanted, (unsigned long long)given);
  }
  return TRIVET_OK;
}

static void list_pointers(const dnn_problem_t* p, dnn_launch_t* launch) {
  for (uint32_t i = 0; i < p->operand_count; ++i)
    dnn_launch_add_operand(launch, DNN_UID_OPERAND + i, i, 0);
  dnn_pointwise_t list[DNN_MAX_POINTWISE];
  uint32_t count = dnn_pointwise_list(p, list);
  for (uint32_t i = 0; i < count; ++i) {
    if (list[i].with == DNN_WITH_NUMBER) {
      dnn_launch_add_float(launch, DNN_UID_NUMBER + i, list[i].number);
    }
  }
}

trivet_status_t dnn_convolution_prepare(const dnn_step_t* step, const void* problem,
                                        const trivet_kernel_prepare_t* prepare,
                                        dnn_launch_t* launch) {
  const dnn_problem_t* p = (const dnn_problem_t*)problem;
  TRIVET_RETURN_IF_ERROR(check_operands(p, prepare));
  list_pointers(p, launch);
  dnn_tensor_t tensors[DNN_MAX_OPERANDS];
  memset(tensors, 0, sizeof(tensors));
  TRIVET_RETURN_IF_ERROR(dnn_describe(p, prepare->operands, tensors));
  dnn_graph_t graph = dnn_convolution_graph(p, tensors);
  return dnn_step_find_plan(step, &graph, *prepare->allocator, launch);
}
