// SPDX-License-Identifier: Apache-2.0
//
// Makes descriptors of cuDNN: tensors, operations, their graph, the heuristic's proposals for it
// and serialised plans. What one maker makes is destroyed together. It knows cuDNN's interface and
// no problem of ours.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_MAKER_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_MAKER_H_

#include "plugins/cuda_dnn/dnn_library.h"
#include "plugins/cuda_dnn/dnn_problem.h"

#define DNN_MAX_DESCRIPTORS 320u

// The device that plans are for. One of the two.
typedef struct dnn_device_choice_s {
  const char* json;  // its properties
  cudnnHandle_t handle;
} dnn_device_choice_t;

typedef struct dnn_maker_s dnn_maker_t;

// A problem for one shape, and how it becomes a graph. It owns nothing: it is of use while problem
// and shape are.
typedef struct dnn_graph_s {
  // Adds the operations, and ends with dnn_maker_graph.
  trivet_status_t (*make)(dnn_maker_t* m, const void* problem, const void* shape);
  const void* problem;  // its last member is a dnn_stored_plan_t
  const void* shape;
  uint64_t problem_size;  // bytes
  uint64_t key[2];        // of the shape: what a stored plan has to be for
  uint32_t candidate;     // which of the heuristic's proposals
  bool exact;             // only ways that do not round f32 operands
} dnn_graph_t;

struct dnn_maker_s {
  const dnn_library_t* dnn;
  const dnn_device_choice_t* device;
  bool exact;
  cudnnBackendDescriptor_t made[DNN_MAX_DESCRIPTORS];
  uint32_t made_count;
  cudnnBackendDescriptor_t properties;  // of the device that is described
  cudnnBackendDescriptor_t graph;
  cudnnBackendDescriptor_t configs[DNN_MAX_CANDIDATES];
  uint32_t config_count;
};

// A descriptor, which the maker owns; its attributes; its end. |what| stands in errors.
trivet_status_t dnn_maker_add(dnn_maker_t* m, cudnnBackendDescriptorType_t type,
                              cudnnBackendDescriptor_t* out);
trivet_status_t dnn_maker_set(dnn_maker_t* m, cudnnBackendDescriptor_t descriptor,
                              cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                              int64_t count, const void* values, const char* what);
trivet_status_t dnn_maker_finish(dnn_maker_t* m, cudnnBackendDescriptor_t descriptor,
                                 const char* what);
void dnn_maker_destroy(dnn_maker_t* m);

cudnnDataType_t dnn_data_type(uint32_t dtype);

#define DNN_TENSOR_VIRTUAL 1u   // between operations
#define DNN_TENSOR_BY_VALUE 2u  // one number, given in host memory
trivet_status_t dnn_maker_tensor(dnn_maker_t* m, const dnn_tensor_t* tensor, uint32_t rank,
                                 cudnnDataType_t type, int64_t uid, uint32_t flags,
                                 cudnnBackendDescriptor_t* out);
// One f32 number of the host, as a tensor of |rank|.
trivet_status_t dnn_maker_number(dnn_maker_t* m, uint32_t rank, int64_t uid,
                                 cudnnBackendDescriptor_t* out);

typedef struct dnn_operands_s {
  cudnnBackendDescriptor_t x, b, t, y;  // b, t: NULL where the mode has none
} dnn_operands_t;
typedef struct dnn_pointwise_number_s {
  cudnnBackendAttributeName_t attribute;  // of type double
  double number;
} dnn_pointwise_number_t;
typedef struct dnn_pointwise_how_s {
  cudnnPointwiseMode_t mode;
  cudnnDataType_t compute;
  int64_t axis;  // that an index is of
  uint32_t number_count;
  dnn_pointwise_number_t numbers[2];
} dnn_pointwise_how_t;
trivet_status_t dnn_maker_pointwise(dnn_maker_t* m, const dnn_pointwise_how_t* how,
                                    const dnn_operands_t* operands, cudnnBackendDescriptor_t* out);
// c = a b over the last two dimensions, summed in f32.
trivet_status_t dnn_maker_matmul(dnn_maker_t* m, cudnnBackendDescriptor_t a,
                                 cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t c,
                                 cudnnBackendDescriptor_t* out);
// The dimensions in which |y| is 1 and |x| is not are reduced.
trivet_status_t dnn_maker_reduction(dnn_maker_t* m, cudnnReduceTensorOp_t op,
                                    cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t y,
                                    cudnnBackendDescriptor_t* out);

// The graph of |ops| and the heuristic's proposals for it: configs, config_count.
trivet_status_t dnn_maker_graph(dnn_maker_t* m, const cudnnBackendDescriptor_t* ops,
                                uint32_t op_count);

// How many ways the library offers (0: it cannot compute the problem).
trivet_status_t dnn_graph_candidates(const dnn_library_t* dnn, const dnn_graph_t* graph,
                                     const dnn_device_choice_t* device, uint32_t* out_count);
// A serialised plan, of |allocator|, by the graph's candidate or the next one that can be built.
// UNIMPLEMENTED: none can.
trivet_status_t dnn_graph_plan(const dnn_library_t* dnn, const dnn_graph_t* graph,
                               const dnn_device_choice_t* device, trivet_allocator_t allocator,
                               char** out_text, uint64_t* out_size);

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_MAKER_H_
