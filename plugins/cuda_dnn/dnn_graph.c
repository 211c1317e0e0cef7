// SPDX-License-Identifier: Apache-2.0
//
// Builds cuDNN's descriptors. All that one build makes is destroyed together at its end.
// Used when a step is prepared or tried out; it must not be called in a run.
#include "plugins/cuda_dnn/dnn_graph.h"

#include <float.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"
#include "core/target/anchor_match.h"

#define MAX_DESCRIPTORS 256u

typedef struct build_s {
  const dnn_library_t* dnn;
  const dnn_problem_t* problem;
  const dnn_tensor_t* tensors;
  const dnn_device_choice_t* device;
  cudnnBackendDescriptor_t made[MAX_DESCRIPTORS];
  uint32_t made_count;
  cudnnBackendDescriptor_t properties;  // of the device that is described
  cudnnBackendDescriptor_t graph;
  cudnnBackendDescriptor_t configs[DNN_MAX_CANDIDATES];
  uint32_t config_count;
} build_t;

#define TRY(call) TRIVET_RETURN_IF_ERROR(call)

static trivet_status_t make(build_t* b, cudnnBackendDescriptorType_t type,
                            cudnnBackendDescriptor_t* out) {
  if (b->made_count == MAX_DESCRIPTORS) return TRIVET_STATUS(INTERNAL, "cuDNN: a graph too large");
  cudnnBackendDescriptor_t descriptor = NULL;
  TRY(dnn_check(b->dnn, b->dnn->cudnnBackendCreateDescriptor(type, &descriptor), "descriptor"));
  b->made[b->made_count++] = descriptor;
  *out = descriptor;
  return TRIVET_OK;
}

static trivet_status_t set(build_t* b, cudnnBackendDescriptor_t descriptor,
                           cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                           int64_t count, const void* values, const char* what) {
  return dnn_check(b->dnn, b->dnn->cudnnBackendSetAttribute(descriptor, name, type, count, values),
                   what);
}

static trivet_status_t finish(build_t* b, cudnnBackendDescriptor_t descriptor, const char* what) {
  return dnn_check(b->dnn, b->dnn->cudnnBackendFinalize(descriptor), what);
}

static void destroy_all(build_t* b) {
  while (b->made_count) {
    (void)b->dnn->cudnnBackendDestroyDescriptor(b->made[--b->made_count]);
  }
}

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

// --- Tensors ----------------------------------------------------------------------------

static cudnnDataType_t data_type(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_F16    ? CUDNN_DATA_HALF
         : dtype == TRIVET_DTYPE_BF16 ? CUDNN_DATA_BFLOAT16
                                      : CUDNN_DATA_FLOAT;
}

static trivet_status_t make_tensor(build_t* b, const dnn_tensor_t* tensor, int64_t uid,
                                   bool is_virtual, bool by_value, cudnnBackendDescriptor_t* out) {
  cudnnBackendDescriptor_t t = NULL;
  cudnnDataType_t type = data_type(tensor->dtype);
  int64_t alignment = tensor->alignment;
  int64_t rank = b->problem->rank;
  TRY(make(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR, &t));
  TRY(set(b, t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type, "type of a tensor"));
  TRY(set(b, t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, rank, tensor->dims,
          "extents of a tensor"));
  TRY(set(b, t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, rank, tensor->strides,
          "strides of a tensor"));
  TRY(set(b, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid, "id of a tensor"));
  TRY(set(b, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment,
          "alignment of a tensor"));
  if (is_virtual) {
    TRY(set(b, t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual,
            "virtual tensor"));
  }
  if (by_value) {
    TRY(set(b, t, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value, "number"));
  }
  TRY(finish(b, t, "tensor"));
  *out = t;
  return TRIVET_OK;
}

static trivet_status_t make_number(build_t* b, int64_t uid, cudnnBackendDescriptor_t* out) {
  dnn_tensor_t tensor;
  memset(&tensor, 0, sizeof(tensor));
  tensor.dtype = TRIVET_DTYPE_F32;
  tensor.alignment = 16;
  for (uint32_t d = 0; d < DNN_MAX_RANK; ++d) tensor.dims[d] = tensor.strides[d] = 1;
  return make_tensor(b, &tensor, uid, false, true, out);
}

// The result, or what becomes it: virtual tensors are f32.
static trivet_status_t make_result(build_t* b, bool is_last, int64_t uid,
                                   cudnnBackendDescriptor_t* out) {
  uint32_t result = b->problem->operand_count - 1;
  dnn_tensor_t tensor = b->tensors[result];
  if (is_last) return make_tensor(b, &tensor, DNN_UID_OPERAND + result, false, false, out);
  tensor.dtype = TRIVET_DTYPE_F32;
  return make_tensor(b, &tensor, uid, true, false, out);
}

// --- Operations -------------------------------------------------------------------------

static trivet_status_t make_convolution(build_t* b, cudnnBackendDescriptor_t y,
                                        cudnnBackendDescriptor_t* out) {
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
  TRY(make(b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, &how));
  TRY(set(b, how, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute,
          "type of sums"));
  TRY(set(b, how, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode, "mode"));
  TRY(set(b, how, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &spatial,
          "spatial dimensions"));
  TRY(set(b, how, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, spatial, p->pads, "pads"));
  TRY(set(b, how, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, spatial, after, "pads"));
  TRY(set(b, how, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, spatial, p->dilations,
          "dilations"));
  TRY(set(b, how, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, spatial, p->strides,
          "strides"));
  TRY(finish(b, how, "convolution"));
  TRY(make_tensor(b, x, DNN_UID_OPERAND, false, false, &tx));
  TRY(make_tensor(b, w, DNN_UID_OPERAND + 1, false, false, &tw));
  float alpha = 1, beta = 0;
  TRY(make(b, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, &op));
  const struct {
    cudnnBackendAttributeName_t name;
    const cudnnBackendDescriptor_t* value;
  } parts[] = {{CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, &how},
               {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, &tx},
               {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, &tw},
               {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, &y}};
  for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); ++i) {
    TRY(set(b, op, parts[i].name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, parts[i].value,
            "part of a convolution"));
  }
  TRY(set(b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_TYPE_FLOAT, 1, &alpha,
          "alpha"));
  TRY(set(b, op, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, CUDNN_TYPE_FLOAT, 1, &beta,
          "beta"));
  TRY(finish(b, op, "convolution"));
  *out = op;
  return TRIVET_OK;
}

static trivet_status_t make_pointwise(build_t* b, const dnn_pointwise_t* from,
                                      cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t other,
                                      cudnnBackendDescriptor_t y, cudnnBackendDescriptor_t* out) {
  cudnnBackendDescriptor_t how = NULL, op = NULL;
  cudnnDataType_t compute = CUDNN_DATA_FLOAT;
  TRY(make(b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, &how));
  TRY(set(b, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &from->mode,
          "pointwise mode"));
  TRY(set(b, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute,
          "pointwise type"));
  if (from->has_clip) {
    if (from->upper < (double)FLT_MAX) {
      TRY(set(b, how, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, CUDNN_TYPE_DOUBLE, 1, &from->upper,
              "upper clip"));
    }
    if (from->slope != 0) {
      TRY(set(b, how, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, CUDNN_TYPE_DOUBLE, 1,
              &from->slope, "slope"));
    }
  }
  if (from->mode == CUDNN_POINTWISE_SWISH_FWD) {
    TRY(set(b, how, CUDNN_ATTR_POINTWISE_SWISH_BETA, CUDNN_TYPE_DOUBLE, 1, &from->parameter,
            "swish"));
  }
  if (from->mode == CUDNN_POINTWISE_ELU_FWD) {
    TRY(set(b, how, CUDNN_ATTR_POINTWISE_ELU_ALPHA, CUDNN_TYPE_DOUBLE, 1, &from->parameter, "elu"));
  }
  TRY(finish(b, how, "pointwise"));
  TRY(make(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, &op));
  TRY(set(b, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
          &how, "pointwise"));
  TRY(set(b, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &x,
          "pointwise x"));
  if (other) {
    TRY(set(b, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other,
            "pointwise b"));
  }
  TRY(set(b, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &y,
          "pointwise y"));
  TRY(finish(b, op, "pointwise operation"));
  *out = op;
  return TRIVET_OK;
}

static trivet_status_t make_graph(build_t* b) {
  const dnn_problem_t* p = b->problem;
  dnn_pointwise_t list[DNN_MAX_POINTWISE];
  uint32_t count = dnn_pointwise_list(p, list);
  cudnnBackendDescriptor_t ops[DNN_MAX_POINTWISE + 1];
  cudnnBackendDescriptor_t inputs[DNN_MAX_POINTWISE + 1];  // of each pointwise operation
  TRY(make_result(b, count == 0, DNN_UID_VIRTUAL, &inputs[0]));
  TRY(make_convolution(b, inputs[0], &ops[0]));
  for (uint32_t i = 0; i < count; ++i) {
    cudnnBackendDescriptor_t other = NULL;
    if (list[i].with == DNN_WITH_OPERAND) {
      TRY(make_tensor(b, &b->tensors[list[i].operand], DNN_UID_OPERAND + list[i].operand, false,
                      false, &other));
    } else if (list[i].with == DNN_WITH_NUMBER) {
      TRY(make_number(b, DNN_UID_NUMBER + i, &other));
    } else if (list[i].with == DNN_WITH_SAVED) {
      other = inputs[list[i].saved];
    }
    TRY(make_result(b, i + 1 == count, DNN_UID_VIRTUAL + 1 + i, &inputs[i + 1]));
    TRY(make_pointwise(b, &list[i], inputs[i], other, inputs[i + 1], &ops[i + 1]));
  }
  TRY(make(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, &b->graph));
  TRY(set(b, b->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count + 1, ops,
          "operations"));
  if (b->device->handle) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    TRY(set(b, b->graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &b->device->handle,
            "handle"));
#pragma GCC diagnostic pop
  }
  return finish(b, b->graph, "graph of operations");
}

// --- Candidates -------------------------------------------------------------------------

// f32 means f32: ways that round the operands first are left out.
static trivet_status_t is_exact(build_t* b, cudnnBackendDescriptor_t config, bool* out_exact) {
  *out_exact = true;
  if (b->problem->dtype != TRIVET_DTYPE_F32) return TRIVET_OK;
  cudnnBackendDescriptor_t engine = NULL;
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  int64_t count = 0;
  TRY(make(b, CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine));
  TRY(dnn_check(b->dnn,
                b->dnn->cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine),
                "engine of a candidate"));
  TRY(dnn_check(b->dnn,
                b->dnn->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                 CUDNN_TYPE_NUMERICAL_NOTE,
                                                 CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes),
                "notes of an engine"));
  for (int64_t i = 0; i < count; ++i) {
    if (notes[i] != CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP &&
        notes[i] != CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) {
      *out_exact = false;
    }
  }
  return TRIVET_OK;
}

static trivet_status_t ask_heuristic(build_t* b, cudnnBackendHeurMode_t mode) {
  cudnnBackendDescriptor_t heuristic = NULL, offered[DNN_MAX_CANDIDATES];
  TRY(make(b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristic));
  TRY(set(b, heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
          &b->graph, "graph of a heuristic"));
  TRY(set(b, heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode,
          "mode of a heuristic"));
  if (b->properties) {
    TRY(set(b, heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
            &b->properties, "device of a heuristic"));
  }
  TRY(finish(b, heuristic, "heuristic"));
  for (uint32_t i = 0; i < DNN_MAX_CANDIDATES; ++i) {
    TRY(make(b, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &offered[i]));
  }
  int64_t count = 0;
  TRY(dnn_check(b->dnn,
                b->dnn->cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, DNN_MAX_CANDIDATES,
                                                 &count, offered),
                "results of a heuristic"));
  for (int64_t i = 0; i < count && b->config_count < DNN_MAX_CANDIDATES; ++i) {
    bool exact = false;
    TRY(is_exact(b, offered[i], &exact));
    if (exact) b->configs[b->config_count++] = offered[i];
  }
  return TRIVET_OK;
}

// The heuristic first; what always works where it has nothing, or nothing exact.
static trivet_status_t find_candidates(build_t* b) {
  TRY(ask_heuristic(b, CUDNN_HEUR_MODE_A));
  if (b->config_count && b->problem->dtype != TRIVET_DTYPE_F32) return TRIVET_OK;
  return ask_heuristic(b, CUDNN_HEUR_MODE_FALLBACK);
}

static trivet_status_t prepare(build_t* b) {
  if (b->device->json) {
    TRY(make(b, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &b->properties));
    TRY(set(b, b->properties, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
            (int64_t)strlen(b->device->json) + 1, b->device->json, "properties of a device"));
    TRY(finish(b, b->properties, "properties of a device"));
  }
  TRY(make_graph(b));
  return find_candidates(b);
}

trivet_status_t dnn_graph_candidates(const dnn_library_t* dnn, const dnn_problem_t* problem,
                                     const dnn_tensor_t* tensors, const dnn_device_choice_t* device,
                                     uint32_t* out_count) {
  build_t b = {.dnn = dnn, .problem = problem, .tensors = tensors, .device = device};
  trivet_status_t status = prepare(&b);
  uint32_t count = b.config_count;
  destroy_all(&b);
  if (trivet_status_code(status) == TRIVET_STATUS_UNIMPLEMENTED) {
    trivet_status_free(status);
    status = TRIVET_OK;
    count = 0;
  }
  if (!status) *out_count = count;
  return status;
}

// --- Plans ------------------------------------------------------------------------------

static trivet_status_t write_plan(build_t* b, cudnnBackendDescriptor_t config,
                                  trivet_allocator_t allocator, char** out_text,
                                  uint64_t* out_size) {
  cudnnBackendDescriptor_t plan = NULL;
  TRY(make(b, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan));
  TRY(set(b, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
          &config, "candidate of a plan"));
  if (b->device->handle) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    TRY(set(b, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &b->device->handle,
            "handle of a plan"));
#pragma GCC diagnostic pop
  } else {
    TRY(set(b, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
            &b->properties, "device of a plan"));
  }
  TRY(finish(b, plan, "plan"));
  int64_t size = 0, written = 0;
  TRY(dnn_check(
      b->dnn,
      b->dnn->cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                       CUDNN_TYPE_CHAR, 0, &size, NULL),
      "size of a plan's text"));
  if (size <= 0) return TRIVET_STATUS(INTERNAL, "cuDNN: a plan without text");
  char* text = NULL;
  TRY(tvi_alloc(allocator, (size_t)size, &text));
  trivet_status_t status = dnn_check(
      b->dnn,
      b->dnn->cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                       CUDNN_TYPE_CHAR, size, &written, text),
      "text of a plan");
  if (status) {
    tvi_free(allocator, text, (size_t)size);
    return status;
  }
  *out_text = text;
  *out_size = (uint64_t)size;
  return TRIVET_OK;
}

trivet_status_t dnn_graph_plan(const dnn_library_t* dnn, const dnn_problem_t* problem,
                               const dnn_tensor_t* tensors, const dnn_device_choice_t* device,
                               trivet_allocator_t allocator, char** out_text, uint64_t* out_size) {
  build_t b = {.dnn = dnn, .problem = problem, .tensors = tensors, .device = device};
  trivet_status_t status = prepare(&b);
  if (!status && b.config_count == 0) {
    status = TRIVET_STATUS(UNIMPLEMENTED, "cuDNN offers no way to compute it");
  }
  uint32_t count = b.config_count;
  for (uint32_t i = 0; i < count && b.made_count < MAX_DESCRIPTORS; ++i) {
    uint32_t at = (problem->candidate + i) % count;
    trivet_status_free(status);
    status = write_plan(&b, b.configs[at], allocator, out_text, out_size);
    if (!status) break;
  }
  destroy_all(&b);
  return status;
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
