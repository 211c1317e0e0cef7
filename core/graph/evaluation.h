// SPDX-License-Identifier: Apache-2.0
//
// What the files of plain evaluation share: tensors with memory, and the frame of a graph that is
// being evaluated. Included by evaluation.c, evaluation_control.c and fold.c only.
#ifndef TRIVET_CORE_GRAPH_EVALUATION_H_
#define TRIVET_CORE_GRAPH_EVALUATION_H_

#include "core/base/allocator.h"
#include "core/graph/graph_internal.h"

// A graph that is being evaluated: what its values hold so far.
typedef struct tvi_frame_s {
  const trivet_graph_t* graph;
  struct tvi_frame_s* outer;  // of the enclosing graph; NULL: captures are constants only
  trivet_allocator_t allocator;
  trivet_tensor_t* tensors;  // by value id; dtype 0: nothing yet
  uint8_t* owned;            // the frame frees the tensor
  uint32_t* reads;           // by how many nodes a value has been read
  int64_t* symbols;          // -1: not bound
  uint32_t symbol_count;
} tvi_frame_t;

// Frees data and leaves empty tensors.
void tvi_tensors_free(trivet_allocator_t allocator, trivet_tensor_t* tensors, uint32_t count);
// Memory for a tensor; contents undefined, views of strings empty. Size 0: data is NULL.
trivet_status_t tvi_tensor_allocate(trivet_allocator_t allocator, uint32_t dtype, uint32_t rank,
                                    const int64_t* dims, trivet_tensor_t* out_tensor);
trivet_status_t tvi_tensor_copy(trivet_allocator_t allocator, const trivet_tensor_t* from,
                                trivet_tensor_t* out_tensor);

// A tensor of the frame, of an enclosing one, or a constant. Borrowed.
trivet_status_t tvi_frame_tensor(tvi_frame_t* frame, tvi_value_id_t value,
                                 trivet_tensor_t* out_tensor);
// `out_outputs`: zeroed by the caller; on error they hold nothing.
trivet_status_t tvi_evaluate_frame(const trivet_graph_t* graph, const trivet_tensor_t* inputs,
                                   uint32_t input_count, tvi_frame_t* outer, uint32_t depth,
                                   trivet_allocator_t allocator, trivet_tensor_t* out_outputs);
trivet_status_t tvi_evaluate_node(const trivet_graph_t* graph, tvi_node_id_t id,
                                  const trivet_tensor_t* inputs, tvi_frame_t* frame, uint32_t depth,
                                  trivet_allocator_t allocator, trivet_tensor_t* out_outputs);
trivet_status_t tvi_evaluate_control(const trivet_graph_t* graph, tvi_node_id_t id,
                                     const trivet_tensor_t* inputs, tvi_frame_t* frame,
                                     uint32_t depth, trivet_allocator_t allocator,
                                     trivet_tensor_t* out_outputs);

#endif  // TRIVET_CORE_GRAPH_EVALUATION_H_
