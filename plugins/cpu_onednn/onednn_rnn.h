// SPDX-License-Identifier: Apache-2.0
//
// Recurrent layers on oneDNN: LSTM, GRU and simple ones, forward, reverse or both. The operators
// are host functions, so there is no kernel IR to be recognised by: this is the one place of the
// plugin that reads operators and attributes.
#ifndef TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_RNN_H_
#define TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_RNN_H_

#include <oneapi/dnnl/dnnl.h>

#include "core/target/target.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ONEDNN_RNN_MAGIC 0x524e4431u
#define ONEDNN_RNN_VERSION 1u

enum {
  ONEDNN_CELL_TANH = 0,
  ONEDNN_CELL_RELU = 1,
  ONEDNN_CELL_GRU = 2,
  ONEDNN_CELL_GRU_LINEAR_BEFORE_RESET = 3,
  ONEDNN_CELL_LSTM = 4,
};

// Operands of the step; initial states may be absent, and results that nobody reads are left out.
// Weights lie as
// [directions, in, gates, hidden] and [directions, hidden, gates, hidden], biases as
// [directions, biases, hidden], gates in the library's order.
enum {
  ONEDNN_RNN_X = 0,  // [time, batch, in]
  ONEDNN_RNN_W,
  ONEDNN_RNN_R,
  ONEDNN_RNN_B,
  ONEDNN_RNN_H0,  // [directions, batch, hidden]
  ONEDNN_RNN_C0,
  ONEDNN_RNN_Y,  // [time, directions, batch, hidden]
  ONEDNN_RNN_YH,
  ONEDNN_RNN_YC,
  ONEDNN_RNN_OPERANDS,
};

typedef struct onednn_rnn_s {
  uint32_t magic, version;
  uint32_t cell;
  uint32_t directions;  // 1, 2
  uint32_t reverse;     // of one direction
  uint32_t outputs;     // bits: y, y_h, y_c; those without a bit are no operands
  int64_t in, hidden;
} onednn_rnn_t;

// Position among the step's operands; TVI_KIR_NONE: a result that is left out.
uint32_t onednn_rnn_position(const onednn_rnn_t* problem, uint32_t role);
uint32_t onednn_rnn_gates(uint32_t cell);
uint32_t onednn_rnn_biases(uint32_t cell);

// Checks a problem that comes from a plan.
trivet_status_t onednn_rnn_verify(const onednn_rnn_t* problem, uint64_t size);

trivet_status_t onednn_rnn_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                   trivet_proposal_t* proposal);
trivet_status_t onednn_rnn_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                uint64_t tactic, trivet_emission_t* emission);
trivet_status_t onednn_rnn_load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* load,
                                void** out_loaded);
trivet_status_t onednn_rnn_prepare(const trivet_kernel_t* kernel, void* loaded,
                                   const trivet_kernel_prepare_t* prepare,
                                   uint64_t* out_workspace_size, void** out_prepared);
void onednn_rnn_release(const trivet_kernel_t* kernel, void* prepared,
                        const trivet_allocator_t* allocator);
trivet_status_t onednn_rnn_run(const trivet_kernel_t* kernel, void* prepared,
                               const trivet_kernel_launch_t* launch);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_RNN_H_
