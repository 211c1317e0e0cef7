// SPDX-License-Identifier: Apache-2.0
//
// From a problem to cuDNN's operations: a convolution, and pointwise operations on what it
// computes.
// Used when a step is prepared or tried out; it must not be called in a run.
#include "plugins/cuda_dnn/dnn_graph.h"

#include <float.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "core/target/anchor_match.h"

#define TRY(call) TRIVET_RETURN_IF_ERROR(call)

typedef struct build_s {
  dnn_maker_t* maker;
  const dnn_problem_t* problem;
  const dnn_tensor_t* tensors;
} build_t;

// --- Post-operations --------------------------------------------------------------------

static void add(dnn_pointwise_t* list, uint32_t* count, cudnnPointwiseMode_t mode) {
  dnn_pointwise_t* op = &list[(*count)++];
  memset(op, 0, sizeof(*op));
  op->mode = mode;
}

static void add_number(dnn_pointwise_t* list, uint32_t* count, cudnnPointwiseMode_t mode,
                       double number) {
  add(list, count, mode);
  list[*count - 1].with = DNN_WITH_NUMBER;
  list[*count - 1].number = (float)number;
}

static void add_relu(dnn_pointwise_t* list, uint32_t* count, double upper, double slope) {
  add(list, count, CUDNN_POINTWISE_RELU_FWD);
  dnn_pointwise_t* op = &list[*count - 1];
  op->has_clip = true;
  op->upper = upper;
  op->slope = slope;
}

static cudnnPointwiseMode_t binary_mode(uint32_t op) {
  switch (op) {
    case TVI_POST_SUB:
      return CUDNN_POINTWISE_SUB;
    case TVI_POST_MUL:
      return CUDNN_POINTWISE_MUL;
    case TVI_POST_DIV:
      return CUDNN_POINTWISE_DIV;
    case TVI_POST_MIN:
      return CUDNN_POINTWISE_MIN;
    case TVI_POST_MAX:
      return CUDNN_POINTWISE_MAX;
    default:
      return CUDNN_POINTWISE_ADD;
  }
}

static void add_post(const dnn_post_t* post, dnn_pointwise_t* list, uint32_t* count) {
  uint32_t first = *count;
  switch (post->op) {
    case TVI_POST_LINEAR:
      if (post->alpha != 1) add_number(list, count, CUDNN_POINTWISE_MUL, post->alpha);
      if (post->beta != 0) add_number(list, count, CUDNN_POINTWISE_ADD, post->beta);
      return;
    case TVI_POST_RELU:
      add_relu(list, count, (double)FLT_MAX, post->alpha);
      return;
    case TVI_POST_CLIP:
      if (post->alpha == 0) {
        add_relu(list, count, post->beta, 0);
        return;
      }
      if (post->alpha > -(double)FLT_MAX) {
        add_number(list, count, CUDNN_POINTWISE_MAX, post->alpha);
      }
      if (post->beta < (double)FLT_MAX) {
        add_number(list, count, CUDNN_POINTWISE_MIN, post->beta);
      }
      return;
    case TVI_POST_SIGMOID:
      add(list, count, CUDNN_POINTWISE_SIGMOID_FWD);
      return;
    case TVI_POST_TANH:
      add(list, count, CUDNN_POINTWISE_TANH_FWD);
      return;
    case TVI_POST_SWISH:
      add(list, count, CUDNN_POINTWISE_SWISH_FWD);
      list[first].parameter = post->alpha;
      return;
    case TVI_POST_GELU_ERF:
      add(list, count, CUDNN_POINTWISE_GELU_FWD);
      return;
    case TVI_POST_GELU_TANH:
      add(list, count, CUDNN_POINTWISE_GELU_APPROX_TANH_FWD);
      return;
    case TVI_POST_HARD_SWISH:
      add_number(list, count, CUDNN_POINTWISE_ADD, 3);
      add_relu(list, count, 6, 0);
      add(list, count, CUDNN_POINTWISE_MUL);
      list[*count - 1].with = DNN_WITH_SAVED;
      list[*count - 1].saved = first;
      add_number(list, count, CUDNN_POINTWISE_MUL, 1.0 / 6);
      return;
    case TVI_POST_ELU:
      add(list, count, CUDNN_POINTWISE_ELU_FWD);
      list[first].parameter = post->alpha;
      return;
    case TVI_POST_ABS:
      add(list, count, CUDNN_POINTWISE_ABS);
      return;
    default:
      add(list, count, binary_mode(post->op));
      list[first].with = DNN_WITH_OPERAND;
      list[first].operand = post->operand;
      return;
  }
}

uint32_t dnn_pointwise_list(const dnn_problem_t* problem,
                            dnn_pointwise_t out_list[DNN_MAX_POINTWISE]) {
  uint32_t count = 0;
  // A post-operation is at most four of cuDNN's.
  for (uint32_t i = 0; i < problem->post_count; ++i) add_post(&problem->posts[i], out_list, &count);
  return count;
}

// --- Operations -------------------------------------------------------------------------

static trivet_status_t make_operand(build_t* b, uint32_t operand, cudnnBackendDescriptor_t* out) {
  const dnn_tensor_t* tensor = &b->tensors[operand];
  return dnn_maker_tensor(b->maker, tensor, b->problem->rank, dnn_data_type(tensor->dtype),
                          DNN_UID_OPERAND + operand, 0, out);
}

// The result, or what becomes it: virtual tensors are f32.
static trivet_status_t make_result(build_t* b, bool is_last, int64_t uid,
                                   cudnnBackendDescriptor_t* out) {
  uint32_t result = b->problem->operand_count - 1;
  if (is_last) return make_operand(b, result, out);
  return dnn_maker_tensor(b->maker, &b->tensors[result], b->problem->rank, CUDNN_DATA_FLOAT, uid,
                          DNN_TENSOR_VIRTUAL, out);
}

static trivet_status_t make_convolution(build_t* b, cudnnBackendDescriptor_t y,
                                        cudnnBackendDescriptor_t* out) {
  dnn_maker_t* m = b->maker;
  const dnn_problem_t* p = b->problem;
  const dnn_tensor_t *x = &b->tensors[0], *w = &b->tensors[1];
  const dnn_tensor_t* result = &b->tensors[p->operand_count - 1];
  int64_t spatial = p->rank - 2, after[DNN_MAX_SPATIAL] = {0};
  for (int64_t s = 0; s < spatial; ++s) {
    int64_t needed =
        (result->dims[2 + s] - 1) * p->strides[s] + (w->dims[2 + s] - 1) * p->dilations[s] + 1;
    after[s] = needed - p->pads[s] - x->dims[2 + s];
    if (after[s] < 0) after[s] = 0;
  }
  cudnnBackendDescriptor_t how = NULL, op = NULL, tx = NULL, tw = NULL;
  cudnnDataType_t compute = CUDNN_DATA_FLOAT;
  cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  TRY(dnn_maker_add(m, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, &how));
  TRY(dnn_maker_set(m, how, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute,
                    "type of sums"));
  TRY(dnn_maker_set(m, how, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode,
                    "mode"));
  const struct {
    cudnnBackendAttributeName_t name;
    int64_t count;
    const int64_t* values;
  } numbers[] = {{CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 1, &spatial},
                 {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, spatial, p->pads},
                 {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, spatial, after},
                 {CUDNN_ATTR_CONVOLUTION_DILATIONS, spatial, p->dilations},
                 {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, spatial, p->strides}};
  for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); ++i) {
    TRY(dnn_maker_set(m, how, numbers[i].name, CUDNN_TYPE_INT64, numbers[i].count,
                      numbers[i].values, "window of a convolution"));
  }
  TRY(dnn_maker_finish(m, how, "convolution"));
  TRY(make_operand(b, 0, &tx));
  TRY(make_operand(b, 1, &tw));
  float alpha = 1, beta = 0;
  TRY(dnn_maker_add(m, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, &op));
  const struct {
    cudnnBackendAttributeName_t name;
    const cudnnBackendDescriptor_t* value;
  } parts[] = {{CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, &how},
               {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, &tx},
               {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, &tw},
               {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, &y}};
  for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); ++i) {
    TRY(dnn_maker_set(m, op, parts[i].name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, parts[i].value,
                      "part of a convolution"));
  }
  TRY(dnn_maker_set(m, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1,
                    &alpha, "alpha"));
  TRY(dnn_maker_set(m, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1,
                    &beta, "beta"));
  TRY(dnn_maker_finish(m, op, "convolution"));
  *out = op;
  return TRIVET_OK;
}

static void add_setting(dnn_pointwise_how_t* how, cudnnBackendAttributeName_t attribute,
                        double number) {
  how->numbers[how->number_count++] = (dnn_pointwise_number_t){attribute, number};
}

static trivet_status_t make_pointwise(build_t* b, const dnn_pointwise_t* from,
                                      const dnn_operands_t* operands,
                                      cudnnBackendDescriptor_t* out) {
  dnn_pointwise_how_t how = {.mode = from->mode, .compute = CUDNN_DATA_FLOAT};
  if (from->has_clip && from->upper < (double)FLT_MAX) {
    add_setting(&how, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, from->upper);
  }
  if (from->has_clip && from->slope != 0) {
    add_setting(&how, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, from->slope);
  }
  if (from->mode == CUDNN_POINTWISE_SWISH_FWD) {
    add_setting(&how, CUDNN_ATTR_POINTWISE_SWISH_BETA, from->parameter);
  }
  if (from->mode == CUDNN_POINTWISE_ELU_FWD) {
    add_setting(&how, CUDNN_ATTR_POINTWISE_ELU_ALPHA, from->parameter);
  }
  return dnn_maker_pointwise(b->maker, &how, operands, out);
}

static trivet_status_t make_operations(build_t* b) {
  const dnn_problem_t* p = b->problem;
  dnn_pointwise_t list[DNN_MAX_POINTWISE];
  uint32_t count = dnn_pointwise_list(p, list);
  cudnnBackendDescriptor_t ops[DNN_MAX_POINTWISE + 1];
  cudnnBackendDescriptor_t inputs[DNN_MAX_POINTWISE + 1];  // of each pointwise operation
  TRY(make_result(b, count == 0, DNN_UID_VIRTUAL, &inputs[0]));
  TRY(make_convolution(b, inputs[0], &ops[0]));
  for (uint32_t i = 0; i < count; ++i) {
    dnn_operands_t operands = {.x = inputs[i]};
    if (list[i].with == DNN_WITH_OPERAND) {
      TRY(make_operand(b, list[i].operand, &operands.b));
    } else if (list[i].with == DNN_WITH_NUMBER) {
      TRY(dnn_maker_number(b->maker, p->rank, DNN_UID_NUMBER + i, &operands.b));
    } else if (list[i].with == DNN_WITH_SAVED) {
      operands.b = inputs[list[i].saved];
    }
    TRY(make_result(b, i + 1 == count, DNN_UID_VIRTUAL + 1 + i, &inputs[i + 1]));
    operands.y = inputs[i + 1];
    TRY(make_pointwise(b, &list[i], &operands, &ops[i + 1]));
  }
  return dnn_maker_graph(b->maker, ops, count + 1);
}

static trivet_status_t make_graph(dnn_maker_t* m, const void* problem, const void* shape) {
  build_t b = {
      .maker = m, .problem = (const dnn_problem_t*)problem, .tensors = (const dnn_tensor_t*)shape};
  return make_operations(&b);
}

dnn_graph_t dnn_convolution_graph(const dnn_problem_t* problem, const dnn_tensor_t* tensors) {
  dnn_graph_t graph = {.make = make_graph,
                       .problem = problem,
                       .shape = tensors,
                       .problem_size = sizeof(*problem),
                       .candidate = problem->candidate,
                       .exact = problem->dtype == TRIVET_DTYPE_F32 && !problem->allows_tf32};
  dnn_tensors_key(problem, tensors, graph.key);
  return graph;
}

const char* dnn_device_properties(const char* architecture) {
  // Found by what the library asks for; limits of the architecture, clocks of the usual board.
  static const char sm_90[] =
      "{\"deviceVer\":900,\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],"
      "\"regsPerBlock\":65536,\"multiProcessorCount\":132,\"warpSize\":32,"
      "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":232448,"
      "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":32,"
      "\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"pciDeviceId\":0,\"isTccDriver\":0,"
      "\"supportCoopLaunch\":1,\"smClockRateKHz\":1980000,\"memClockRateKHz\":2619000,"
      "\"l2CacheSize\":52428800,\"deviceName\":\"NVIDIA H100 80GB HBM3\","
      "\"totalGlobalMem\":85017624576,\"driverVer\":13000,\"cudaDeviceId\":0}";
  static const char sm_80[] =
      "{\"deviceVer\":800,\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],"
      "\"regsPerBlock\":65536,\"multiProcessorCount\":108,\"warpSize\":32,"
      "\"maxSharedMemoryPerBlock\":49152,\"maxSharedMemoryPerBlockOptin\":166912,"
      "\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,\"maxCtasPerSM\":32,"
      "\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":2048,\"pciDeviceId\":0,\"isTccDriver\":0,"
      "\"supportCoopLaunch\":1,\"smClockRateKHz\":1410000,\"memClockRateKHz\":1593000,"
      "\"l2CacheSize\":41943040,\"deviceName\":\"NVIDIA A100-SXM4-80GB\","
      "\"totalGlobalMem\":85094825984,\"driverVer\":13000,\"cudaDeviceId\":0}";
  if (strcmp(architecture, "sm_90") == 0 || strcmp(architecture, "sm_90a") == 0) return sm_90;
  if (strcmp(architecture, "sm_80") == 0) return sm_80;
  return NULL;
}
