// SPDX-License-Identifier: Apache-2.0
//
// Descriptors of cuDNN, from tensors to serialised plans.
// It stands behind every problem of this plugin; it never executes anything.
#include "plugins/cuda_dnn/dnn_maker.h"

#include <string.h>

#include "core/base/allocator.h"
#include "core/base/status.h"

#define TRY(call) TRIVET_RETURN_IF_ERROR(call)

trivet_status_t dnn_maker_add(dnn_maker_t* m, cudnnBackendDescriptorType_t type,
                              cudnnBackendDescriptor_t* out) {
  if (m->made_count == DNN_MAX_DESCRIPTORS) {
    return TRIVET_STATUS(INTERNAL, "cuDNN: a graph too large");
  }
  cudnnBackendDescriptor_t descriptor = NULL;
  TRY(dnn_check(m->dnn, m->dnn->cudnnBackendCreateDescriptor(type, &descriptor), "descriptor"));
  m->made[m->made_count++] = descriptor;
  *out = descriptor;
  return TRIVET_OK;
}

trivet_status_t dnn_maker_set(dnn_maker_t* m, cudnnBackendDescriptor_t descriptor,
                              cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                              int64_t count, const void* values, const char* what) {
  return dnn_check(m->dnn, m->dnn->cudnnBackendSetAttribute(descriptor, name, type, count, values),
                   what);
}

trivet_status_t dnn_maker_finish(dnn_maker_t* m, cudnnBackendDescriptor_t descriptor,
                                 const char* what) {
  return dnn_check(m->dnn, m->dnn->cudnnBackendFinalize(descriptor), what);
}

void dnn_maker_destroy(dnn_maker_t* m) {
  while (m->made_count) {
    (void)m->dnn->cudnnBackendDestroyDescriptor(m->made[--m->made_count]);
  }
}

static trivet_status_t set_part(dnn_maker_t* m, cudnnBackendDescriptor_t descriptor,
                                cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t part,
                                const char* what) {
  if (!part) return TRIVET_OK;
  return dnn_maker_set(m, descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &part, what);
}

// --- Tensors ----------------------------------------------------------------------------

cudnnDataType_t dnn_data_type(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_F16    ? CUDNN_DATA_HALF
         : dtype == TRIVET_DTYPE_BF16 ? CUDNN_DATA_BFLOAT16
         : dtype == TRIVET_DTYPE_BOOL ? CUDNN_DATA_BOOLEAN
                                      : CUDNN_DATA_FLOAT;
}

trivet_status_t dnn_maker_tensor(dnn_maker_t* m, const dnn_tensor_t* tensor, uint32_t rank,
                                 cudnnDataType_t type, int64_t uid, uint32_t flags,
                                 cudnnBackendDescriptor_t* out) {
  cudnnBackendDescriptor_t t = NULL;
  int64_t alignment = tensor->alignment ? tensor->alignment : 16;
  const bool yes = true;
  TRY(dnn_maker_add(m, CUDNN_BACKEND_TENSOR_DESCRIPTOR, &t));
  TRY(dnn_maker_set(m, t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type,
                    "type of a tensor"));
  TRY(dnn_maker_set(m, t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, rank, tensor->dims,
                    "extents of a tensor"));
  TRY(dnn_maker_set(m, t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, rank, tensor->strides,
                    "strides of a tensor"));
  TRY(dnn_maker_set(m, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid,
                    "id of a tensor"));
  TRY(dnn_maker_set(m, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment,
                    "alignment of a tensor"));
  if (flags & DNN_TENSOR_VIRTUAL) {
    TRY(dnn_maker_set(m, t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &yes,
                      "virtual tensor"));
  }
  if (flags & DNN_TENSOR_BY_VALUE) {
    TRY(dnn_maker_set(m, t, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &yes, "number"));
  }
  TRY(dnn_maker_finish(m, t, "tensor"));
  *out = t;
  return TRIVET_OK;
}

trivet_status_t dnn_maker_number(dnn_maker_t* m, uint32_t rank, int64_t uid,
                                 cudnnBackendDescriptor_t* out) {
  dnn_tensor_t tensor;
  memset(&tensor, 0, sizeof(tensor));
  for (uint32_t d = 0; d < DNN_MAX_RANK; ++d) tensor.dims[d] = tensor.strides[d] = 1;
  return dnn_maker_tensor(m, &tensor, rank, CUDNN_DATA_FLOAT, uid, DNN_TENSOR_BY_VALUE, out);
}

// --- Operations -------------------------------------------------------------------------

trivet_status_t dnn_maker_pointwise(dnn_maker_t* m, const dnn_pointwise_how_t* from,
                                    const dnn_operands_t* operands, cudnnBackendDescriptor_t* out) {
  cudnnBackendDescriptor_t how = NULL, op = NULL;
  TRY(dnn_maker_add(m, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, &how));
  TRY(dnn_maker_set(m, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &from->mode,
                    "pointwise mode"));
  TRY(dnn_maker_set(m, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &from->compute,
                    "pointwise type"));
  for (uint32_t i = 0; i < from->number_count; ++i) {
    TRY(dnn_maker_set(m, how, from->numbers[i].attribute, CUDNN_TYPE_DOUBLE, 1,
                      &from->numbers[i].number, "number of a pointwise operation"));
  }
  if (from->mode == CUDNN_POINTWISE_GEN_INDEX) {
    TRY(dnn_maker_set(m, how, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, &from->axis, "axis"));
  }
  TRY(dnn_maker_finish(m, how, "pointwise"));
  TRY(dnn_maker_add(m, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, &op));
  TRY(set_part(m, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how, "pointwise"));
  TRY(set_part(m, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, operands->x, "pointwise x"));
  TRY(set_part(m, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, operands->b, "pointwise b"));
  TRY(set_part(m, op, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, operands->t, "pointwise t"));
  TRY(set_part(m, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, operands->y, "pointwise y"));
  TRY(dnn_maker_finish(m, op, "pointwise operation"));
  *out = op;
  return TRIVET_OK;
}

trivet_status_t dnn_maker_matmul(dnn_maker_t* m, cudnnBackendDescriptor_t a,
                                 cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t c,
                                 cudnnBackendDescriptor_t* out) {
  cudnnBackendDescriptor_t how = NULL, op = NULL;
  cudnnDataType_t compute = CUDNN_DATA_FLOAT;
  TRY(dnn_maker_add(m, CUDNN_BACKEND_MATMUL_DESCRIPTOR, &how));
  TRY(dnn_maker_set(m, how, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute,
                    "type of sums"));
  TRY(dnn_maker_finish(m, how, "matrix product"));
  TRY(dnn_maker_add(m, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, &op));
  TRY(set_part(m, op, CUDNN_ATTR_OPERATION_MATMUL_DESC, how, "matrix product"));
  TRY(set_part(m, op, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a, "a of a product"));
  TRY(set_part(m, op, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b, "b of a product"));
  TRY(set_part(m, op, CUDNN_ATTR_OPERATION_MATMUL_CDESC, c, "c of a product"));
  TRY(dnn_maker_finish(m, op, "matrix product"));
  *out = op;
  return TRIVET_OK;
}

trivet_status_t dnn_maker_reduction(dnn_maker_t* m, cudnnReduceTensorOp_t kind,
                                    cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t y,
                                    cudnnBackendDescriptor_t* out) {
  cudnnBackendDescriptor_t how = NULL, op = NULL;
  cudnnDataType_t compute = CUDNN_DATA_FLOAT;
  TRY(dnn_maker_add(m, CUDNN_BACKEND_REDUCTION_DESCRIPTOR, &how));
  TRY(dnn_maker_set(m, how, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1,
                    &kind, "kind of a reduction"));
  TRY(dnn_maker_set(m, how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute,
                    "type of a reduction"));
  TRY(dnn_maker_finish(m, how, "reduction"));
  TRY(dnn_maker_add(m, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, &op));
  TRY(set_part(m, op, CUDNN_ATTR_OPERATION_REDUCTION_DESC, how, "reduction"));
  TRY(set_part(m, op, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x, "x of a reduction"));
  TRY(set_part(m, op, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y, "y of a reduction"));
  TRY(dnn_maker_finish(m, op, "reduction"));
  *out = op;
  return TRIVET_OK;
}

// --- Candidates -------------------------------------------------------------------------

// Whether an engine computes what the graph says: sums in f32, of f32 operands as they are.
static bool is_harmless(const dnn_maker_t* m, cudnnBackendNumericalNote_t note) {
  if (!m->exact) return note != CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
  return note == CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP ||
         note == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC;
}

static trivet_status_t is_faithful(dnn_maker_t* m, cudnnBackendDescriptor_t config,
                                   bool* out_faithful) {
  cudnnBackendDescriptor_t engine = NULL;
  cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  int64_t count = 0;
  TRY(dnn_maker_add(m, CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine));
  TRY(dnn_check(m->dnn,
                m->dnn->cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine),
                "engine of a candidate"));
  TRY(dnn_check(m->dnn,
                m->dnn->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                 CUDNN_TYPE_NUMERICAL_NOTE,
                                                 CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes),
                "notes of an engine"));
  *out_faithful = true;
  for (int64_t i = 0; i < count; ++i) *out_faithful = *out_faithful && is_harmless(m, notes[i]);
  return TRIVET_OK;
}

static trivet_status_t ask_heuristic(dnn_maker_t* m, cudnnBackendHeurMode_t mode) {
  cudnnBackendDescriptor_t heuristic = NULL, offered[DNN_MAX_CANDIDATES];
  TRY(dnn_maker_add(m, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristic));
  TRY(set_part(m, heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, m->graph,
               "graph of a heuristic"));
  TRY(dnn_maker_set(m, heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode,
                    "mode of a heuristic"));
  TRY(set_part(m, heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, m->properties,
               "device of a heuristic"));
  TRY(dnn_maker_finish(m, heuristic, "heuristic"));
  for (uint32_t i = 0; i < DNN_MAX_CANDIDATES; ++i) {
    TRY(dnn_maker_add(m, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &offered[i]));
  }
  int64_t count = 0;
  TRY(dnn_check(m->dnn,
                m->dnn->cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                 CUDNN_TYPE_BACKEND_DESCRIPTOR, DNN_MAX_CANDIDATES,
                                                 &count, offered),
                "results of a heuristic"));
  for (int64_t i = 0; i < count && m->config_count < DNN_MAX_CANDIDATES; ++i) {
    bool faithful = false;
    TRY(is_faithful(m, offered[i], &faithful));
    if (faithful) m->configs[m->config_count++] = offered[i];
  }
  return TRIVET_OK;
}

trivet_status_t dnn_maker_graph(dnn_maker_t* m, const cudnnBackendDescriptor_t* ops,
                                uint32_t op_count) {
  TRY(dnn_maker_add(m, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, &m->graph));
  TRY(dnn_maker_set(m, m->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                    op_count, ops, "operations"));
  if (m->device->handle) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    TRY(dnn_maker_set(m, m->graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1,
                      &m->device->handle, "handle"));
#pragma GCC diagnostic pop
  }
  TRY(dnn_maker_finish(m, m->graph, "graph of operations"));
  // The heuristic first; what always works where it has nothing, or nothing exact.
  TRY(ask_heuristic(m, CUDNN_HEUR_MODE_A));
  if (m->config_count && !m->exact) return TRIVET_OK;
  return ask_heuristic(m, CUDNN_HEUR_MODE_FALLBACK);
}

// --- Plans ------------------------------------------------------------------------------

static trivet_status_t write_plan(dnn_maker_t* m, cudnnBackendDescriptor_t config,
                                  trivet_allocator_t allocator, char** out_text,
                                  uint64_t* out_size) {
  cudnnBackendDescriptor_t plan = NULL;
  TRY(dnn_maker_add(m, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan));
  TRY(set_part(m, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config, "candidate of a plan"));
  if (m->device->handle) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    TRY(dnn_maker_set(m, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1,
                      &m->device->handle, "handle of a plan"));
#pragma GCC diagnostic pop
  } else {
    TRY(set_part(m, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, m->properties, "device of a plan"));
  }
  TRY(dnn_maker_finish(m, plan, "plan"));
  int64_t size = 0, written = 0;
  TRY(dnn_check(
      m->dnn,
      m->dnn->cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
                                       CUDNN_TYPE_CHAR, 0, &size, NULL),
      "size of a plan's text"));
  if (size <= 0) return TRIVET_STATUS(INTERNAL, "cuDNN: a plan without text");
  char* text = NULL;
  TRY(tvi_alloc(allocator, (size_t)size, &text));
  trivet_status_t status = dnn_check(
      m->dnn,
      m->dnn->cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION,
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

static trivet_status_t make_plan(dnn_maker_t* m, uint32_t candidate, trivet_allocator_t allocator,
                                 char** out_text, uint64_t* out_size) {
  uint32_t count = m->config_count;
  trivet_status_t status = TRIVET_OK;
  if (!count) return TRIVET_STATUS(UNIMPLEMENTED, "cuDNN offers no way to compute it");
  for (uint32_t i = 0; i < count && m->made_count < DNN_MAX_DESCRIPTORS; ++i) {
    trivet_status_free(status);
    status = write_plan(m, m->configs[(candidate + i) % count], allocator, out_text, out_size);
    if (!status) break;
  }
  return status;
}

// --- Graphs -----------------------------------------------------------------------------

static trivet_status_t set_device(dnn_maker_t* m) {
  if (!m->device->json) return TRIVET_OK;
  TRY(dnn_maker_add(m, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &m->properties));
  TRY(dnn_maker_set(m, m->properties, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                    (int64_t)strlen(m->device->json) + 1, m->device->json,
                    "properties of a device"));
  return dnn_maker_finish(m, m->properties, "properties of a device");
}

// |m| has to be destroyed after an error, too.
static trivet_status_t begin(const dnn_library_t* dnn, const dnn_graph_t* graph,
                             const dnn_device_choice_t* device, dnn_maker_t* m) {
  memset(m, 0, sizeof(*m));
  m->dnn = dnn;
  m->device = device;
  m->exact = graph->exact;
  TRY(set_device(m));
  return graph->make(m, graph->problem, graph->shape);
}

trivet_status_t dnn_graph_candidates(const dnn_library_t* dnn, const dnn_graph_t* graph,
                                     const dnn_device_choice_t* device, uint32_t* out_count) {
  dnn_maker_t m;
  trivet_status_t status = begin(dnn, graph, device, &m);
  uint32_t count = m.config_count;
  dnn_maker_destroy(&m);
  if (trivet_status_code(status) == TRIVET_STATUS_UNIMPLEMENTED) {
    trivet_status_free(status);
    status = TRIVET_OK;
    count = 0;
  }
  if (!status) *out_count = count;
  return status;
}

trivet_status_t dnn_graph_plan(const dnn_library_t* dnn, const dnn_graph_t* graph,
                               const dnn_device_choice_t* device, trivet_allocator_t allocator,
                               char** out_text, uint64_t* out_size) {
  dnn_maker_t m;
  trivet_status_t status = begin(dnn, graph, device, &m);
  if (!status) status = make_plan(&m, graph->candidate, allocator, out_text, out_size);
  dnn_maker_destroy(&m);
  return status;
}
