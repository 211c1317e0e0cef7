// SPDX-License-Identifier: Apache-2.0
//
// The primitive operations that cuDNN's attention engines recognise: product, scale, mask, softmax,
// product.
#include "plugins/cuda_dnn/dnn_attention_graph.h"

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"

#define TRY(call) TRIVET_RETURN_IF_ERROR(call)
#define RESULT (DNN_ATTENTION_OPERANDS - 1)
#define MAX_OPS 16u

typedef struct build_s {
  dnn_maker_t* maker;
  const dnn_attention_t* problem;
  const dnn_attention_shape_t* shape;
  cudnnBackendDescriptor_t ops[MAX_OPS];
  uint32_t op_count;
  int64_t next_uid;
} build_t;

static trivet_status_t operand(build_t* b, uint32_t kind, cudnnBackendDescriptor_t* out) {
  const dnn_tensor_t* tensor = &b->shape->tensors[kind];
  return dnn_maker_tensor(b->maker, tensor, 4, dnn_data_type(tensor->dtype),
                          DNN_UID_ATTENTION + kind, 0, out);
}

// Scores, or one number for each of their rows.
static trivet_status_t between(build_t* b, cudnnDataType_t type, bool is_row,
                               cudnnBackendDescriptor_t* out) {
  const int64_t* extents = b->shape->extents;
  dnn_tensor_t tensor;
  memset(&tensor, 0, sizeof(tensor));
  tensor.dims[0] = extents[DNN_EXTENT_BATCH];
  tensor.dims[1] = extents[DNN_EXTENT_HEADS];
  tensor.dims[2] = extents[DNN_EXTENT_QUERIES];
  tensor.dims[3] = is_row ? 1 : extents[DNN_EXTENT_KEYS];
  tensor.strides[3] = 1;
  for (uint32_t d = 3; d-- > 0;) tensor.strides[d] = tensor.strides[d + 1] * tensor.dims[d + 1];
  return dnn_maker_tensor(b->maker, &tensor, 4, type, b->next_uid++, DNN_TENSOR_VIRTUAL, out);
}

static trivet_status_t number(build_t* b, cudnnDataType_t type, int64_t uid,
                              cudnnBackendDescriptor_t* out) {
  dnn_tensor_t tensor;
  memset(&tensor, 0, sizeof(tensor));
  for (uint32_t d = 0; d < 4; ++d) tensor.dims[d] = tensor.strides[d] = 1;
  return dnn_maker_tensor(b->maker, &tensor, 4, type, uid, DNN_TENSOR_BY_VALUE, out);
}

// y = mode(x, other, select), in |compute|; *out is the new value of |type|.
static trivet_status_t pointwise(build_t* b, cudnnPointwiseMode_t mode, cudnnDataType_t compute,
                                 cudnnDataType_t type, cudnnBackendDescriptor_t x,
                                 cudnnBackendDescriptor_t other, cudnnBackendDescriptor_t select,
                                 int64_t axis, cudnnBackendDescriptor_t* out) {
  dnn_pointwise_how_t how = {.mode = mode, .compute = compute, .axis = axis};
  dnn_operands_t operands = {.x = x, .b = other, .t = select};
  TRY(between(b, type, false, &operands.y));
  TRY(dnn_maker_pointwise(b->maker, &how, &operands, &b->ops[b->op_count]));
  ++b->op_count;
  *out = operands.y;
  return TRIVET_OK;
}

static trivet_status_t arithmetic(build_t* b, cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t x,
                                  cudnnBackendDescriptor_t other, cudnnBackendDescriptor_t* out) {
  return pointwise(b, mode, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, x, other, NULL, 0, out);
}

// Keys behind i + upper are not seen.
static trivet_status_t hide(build_t* b, cudnnBackendDescriptor_t* scores) {
  cudnnBackendDescriptor_t row = NULL, column = NULL, seen = NULL, hidden = NULL, upper = NULL;
  const cudnnDataType_t kIndex = CUDNN_DATA_INT32;
  TRY(pointwise(b, CUDNN_POINTWISE_GEN_INDEX, kIndex, kIndex, *scores, NULL, NULL, 2, &row));
  if (b->shape->upper != 0) {
    TRY(number(b, kIndex, DNN_UID_UPPER, &upper));
    TRY(pointwise(b, CUDNN_POINTWISE_ADD, kIndex, kIndex, row, upper, NULL, 0, &row));
  }
  TRY(pointwise(b, CUDNN_POINTWISE_GEN_INDEX, kIndex, kIndex, *scores, NULL, NULL, 3, &column));
  TRY(pointwise(b, CUDNN_POINTWISE_CMP_GE, CUDNN_DATA_BOOLEAN, CUDNN_DATA_BOOLEAN, row, column,
                NULL, 0, &seen));
  TRY(number(b, CUDNN_DATA_FLOAT, DNN_UID_HIDDEN, &hidden));
  return pointwise(b, CUDNN_POINTWISE_BINARY_SELECT, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, *scores,
                   hidden, seen, 0, scores);
}

static trivet_status_t reduce(build_t* b, cudnnReduceTensorOp_t kind, cudnnBackendDescriptor_t x,
                              cudnnBackendDescriptor_t* out) {
  TRY(between(b, CUDNN_DATA_FLOAT, true, out));
  TRY(dnn_maker_reduction(b->maker, kind, x, *out, &b->ops[b->op_count]));
  ++b->op_count;
  return TRIVET_OK;
}

// The logarithm of a row's sum. Nothing reads it; engines know attention by it.
static trivet_status_t row_statistics(build_t* b, cudnnBackendDescriptor_t largest,
                                      cudnnBackendDescriptor_t sum) {
  dnn_pointwise_how_t how = {.mode = CUDNN_POINTWISE_LOG, .compute = CUDNN_DATA_FLOAT};
  dnn_operands_t operands = {.x = sum};
  TRY(between(b, CUDNN_DATA_FLOAT, true, &operands.y));
  TRY(dnn_maker_pointwise(b->maker, &how, &operands, &b->ops[b->op_count]));
  ++b->op_count;
  operands = (dnn_operands_t){.x = largest, .b = operands.y};
  how.mode = CUDNN_POINTWISE_ADD;
  TRY(between(b, CUDNN_DATA_FLOAT, true, &operands.y));
  TRY(dnn_maker_pointwise(b->maker, &how, &operands, &b->ops[b->op_count]));
  ++b->op_count;
  return TRIVET_OK;
}

static trivet_status_t softmax(build_t* b, cudnnBackendDescriptor_t x,
                               cudnnBackendDescriptor_t* out) {
  cudnnBackendDescriptor_t largest = NULL, sum = NULL;
  TRY(reduce(b, CUDNN_REDUCE_TENSOR_MAX, x, &largest));
  TRY(arithmetic(b, CUDNN_POINTWISE_SUB, x, largest, &x));
  TRY(arithmetic(b, CUDNN_POINTWISE_EXP, x, NULL, &x));
  TRY(reduce(b, CUDNN_REDUCE_TENSOR_ADD, x, &sum));
  TRY(row_statistics(b, largest, sum));
  return pointwise(b, CUDNN_POINTWISE_DIV, CUDNN_DATA_FLOAT, dnn_data_type(b->problem->dtype), x,
                   sum, NULL, 0, out);
}

static trivet_status_t product(build_t* b, cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t y,
                               cudnnBackendDescriptor_t z) {
  TRY(dnn_maker_matmul(b->maker, x, y, z, &b->ops[b->op_count]));
  ++b->op_count;
  return TRIVET_OK;
}

static trivet_status_t make_operations(build_t* b) {
  cudnnBackendDescriptor_t q = NULL, k = NULL, v = NULL, result = NULL, scale = NULL;
  cudnnBackendDescriptor_t scores = NULL, weights = NULL, mask = NULL;
  TRY(operand(b, DNN_Q, &q));
  TRY(operand(b, DNN_K, &k));
  TRY(operand(b, DNN_V, &v));
  TRY(operand(b, RESULT, &result));
  TRY(between(b, CUDNN_DATA_FLOAT, false, &scores));
  TRY(product(b, q, k, scores));
  TRY(number(b, CUDNN_DATA_FLOAT, DNN_UID_SCALE, &scale));
  TRY(arithmetic(b, CUDNN_POINTWISE_MUL, scores, scale, &scores));
  if (b->problem->has_mask) {
    TRY(operand(b, DNN_MASK, &mask));
    TRY(arithmetic(b, CUDNN_POINTWISE_ADD, scores, mask, &scores));
  }
  if (b->problem->has_upper) TRY(hide(b, &scores));
  TRY(softmax(b, scores, &weights));
  TRY(product(b, weights, v, result));
  return dnn_maker_graph(b->maker, b->ops, b->op_count);
}

static trivet_status_t make_graph(dnn_maker_t* m, const void* problem, const void* shape) {
  build_t b = {.maker = m,
               .problem = (const dnn_attention_t*)problem,
               .shape = (const dnn_attention_shape_t*)shape,
               .next_uid = DNN_UID_BETWEEN};
  return make_operations(&b);
}

dnn_graph_t dnn_attention_graph(const dnn_attention_t* problem,
                                const dnn_attention_shape_t* shape) {
  dnn_graph_t graph = {.make = make_graph,
                       .problem = problem,
                       .shape = shape,
                       .problem_size = sizeof(*problem),
                       .candidate = problem->candidate};
  dnn_attention_key(problem, shape, graph.key);
  return graph;
}
