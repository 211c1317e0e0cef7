// SPDX-License-Identifier: Apache-2.0
//
// What a step of attention reads and writes, and whether it lies in the step's operands.
// The rest of the run half is every step's.
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "plugins/cuda_dnn/dnn_attention_graph.h"
#include "plugins/cuda_dnn/dnn_kind.h"

// What a score is where the key is not seen: its exponential is 0.
#define HIDDEN_SCORE (-1e30f)

// Elements that an operand has from its first to its last.
static uint64_t span(const trivet_operand_t* operand) {
  uint64_t last = 0;
  for (uint32_t d = 0; d < operand->rank; ++d) {
    if (operand->dims[d] < 1 || operand->strides[d] < 0) return 0;
    last += (uint64_t)(operand->dims[d] - 1) * (uint64_t)operand->strides[d];
  }
  return last + 1;
}

// What the step reads has to lie in its operands, whatever the plan's file says.
static trivet_status_t check_operands(const dnn_attention_t* p, const dnn_attention_shape_t* shape,
                                      const trivet_kernel_prepare_t* prepare) {
  uint32_t count = dnn_attention_operand_count(p);
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t kind = i + 1 == count ? DNN_ATTENTION_OPERANDS - 1 : i;
    const trivet_operand_t* operand = &prepare->operands[i];
    const dnn_tensor_t* tensor = &shape->tensors[kind];
    uint64_t last = (uint64_t)shape->offsets[kind];
    for (uint32_t d = 0; d < 4; ++d) {
      uint64_t reach = 0;
      if (__builtin_mul_overflow((uint64_t)(tensor->dims[d] - 1), (uint64_t)tensor->strides[d],
                                 &reach) ||
          __builtin_add_overflow(last, reach, &last)) {
        last = UINT64_MAX;
      }
    }
    if ((operand->flags & TRIVET_OPERAND_ABSENT) || operand->dtype != tensor->dtype ||
        last >= span(operand)) {
      return TRIVET_STATUS(DATA_LOSS, "cuDNN attention: operand %u does not fit", i);
    }
  }
  return TRIVET_OK;
}

static trivet_status_t describe(const dnn_attention_t* p, const trivet_kernel_prepare_t* prepare,
                                dnn_attention_shape_t* out) {
  uint32_t count = dnn_attention_operand_count(p);
  if (prepare->operand_count != count ||
      prepare->parameter_count != dnn_attention_parameter_count(p)) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN attention: %llu operands, %llu parameters",
                         (unsigned long long)prepare->operand_count,
                         (unsigned long long)prepare->parameter_count);
  }
  uint64_t alignments[DNN_ATTENTION_OPERANDS] = {0};
  for (uint32_t i = 0; i < count; ++i) alignments[i] = prepare->operands[i].alignment;
  TRIVET_RETURN_IF_ERROR(dnn_attention_describe(p, prepare->parameters, alignments, out));
  return check_operands(p, out, prepare);
}

static void list_pointers(const dnn_attention_t* p, const dnn_attention_shape_t* shape,
                          dnn_launch_t* launch) {
  uint32_t count = dnn_attention_operand_count(p);
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t kind = i + 1 == count ? DNN_ATTENTION_OPERANDS - 1 : i;
    int64_t size = tvi_dtype_bytes(shape->tensors[kind].dtype);
    dnn_launch_add_operand(launch, DNN_UID_ATTENTION + kind, i, shape->offsets[kind] * size);
  }
  dnn_launch_add_float(launch, DNN_UID_SCALE, (float)p->scale);
  if (!p->has_upper) return;
  dnn_launch_add_float(launch, DNN_UID_HIDDEN, HIDDEN_SCORE);
  if (shape->upper != 0) dnn_launch_add_int(launch, DNN_UID_UPPER, (int32_t)shape->upper);
}

trivet_status_t dnn_attention_prepare(const dnn_step_t* step, const void* problem,
                                      const trivet_kernel_prepare_t* prepare,
                                      dnn_launch_t* launch) {
  const dnn_attention_t* p = (const dnn_attention_t*)problem;
  dnn_attention_shape_t shape;
  TRIVET_RETURN_IF_ERROR(describe(p, prepare, &shape));
  list_pointers(p, &shape, launch);
  dnn_graph_t graph = dnn_attention_graph(p, &shape);
  return dnn_step_find_plan(step, &graph, *prepare->allocator, launch);
}
