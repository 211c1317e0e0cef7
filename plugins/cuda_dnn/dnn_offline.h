// SPDX-License-Identifier: Apache-2.0
//
// The build half of every kernel here, as callbacks of trivet_kernel_t: the library is asked for a
// device that is described, on machines with no driver, too. Equal layers share one plan.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_OFFLINE_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_OFFLINE_H_

#include "core/target/target.h"
#include "plugins/cuda_dnn/dnn_maker.h"

// What the heuristic is asked before tactics are proposed.
typedef enum dnn_question_e {
  DNN_ASK_NOTHING = 0,  // the library is known to compute it: |most| tactics
  DNN_ASK_WHETHER,      // |most| tactics where it offers any way
  DNN_ASK_HOW_MANY,     // as many tactics as it offers ways, at most |most|
} dnn_question_t;

// What a kernel asks the library for, for one region.
typedef struct dnn_asked_s {
  const char* reason;  // why it asks for nothing; NULL: it does
  dnn_graph_t graph;   // its problem without a plan
  double price;        // nanoseconds, of the first tactic
  dnn_question_t question;
  uint32_t most;
  uint32_t operand_count, parameter_count;
  const uint32_t* operands;        // of the region, for each of the step's
  const trivet_dim_t* parameters;  // of the step
  // Optional: NULL means that all operands are read as they lie. Adds the packed operand 1.
  trivet_status_t (*pack)(const void* self, const trivet_region_t* region,
                          trivet_emission_t* emission);
  const void* self;  // pack's
} dnn_asked_t;

// What trivet_kernel_t asks for. emit sets a blob: the problem with its plan behind it, which is
// built once for equal problems of one build of a network; without a plan where cuDNN cannot build
// it here, and then the device's machine does.
trivet_status_t dnn_offline_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                    trivet_proposal_t* proposal);
trivet_status_t dnn_offline_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                 uint64_t tactic, trivet_emission_t* emission);

// Numbers for the shapes to optimise for. False: one of |dims| is not known when a plan is built.
bool dnn_offline_evaluate(const trivet_region_t* region, const trivet_dim_t* dims, uint32_t count,
                          int64_t* out_numbers);

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_OFFLINE_H_
