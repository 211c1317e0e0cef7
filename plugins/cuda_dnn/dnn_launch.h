// SPDX-License-Identifier: Apache-2.0
//
// A plan of cuDNN with what it reads and writes: the run half of every kernel here. It knows
// addresses and numbers, and nothing of what the plan computes.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_LAUNCH_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_LAUNCH_H_

#include "plugins/cuda_dnn/dnn_library.h"
#include "trivet/plugin.h"

#define DNN_MAX_POINTERS 48u

typedef struct dnn_launch_s {
  tvi_cuda_device_t* cuda;
  dnn_device_t* device;
  dnn_plan_t* plan;
  tvi_cuda_recorder_t* recorder;
  uint32_t pointer_count;
  int64_t uids[DNN_MAX_POINTERS];
  uint32_t operands[DNN_MAX_POINTERS];  // of the step; UINT32_MAX: a number
  int64_t offsets[DNN_MAX_POINTERS];    // bytes behind the operand's address
  uint32_t numbers[DNN_MAX_POINTERS];   // the bits of it
  // The pack of the last addresses: cuDNN wants a new one for others.
  cudnnBackendDescriptor_t pack;
  const void* pointers[DNN_MAX_POINTERS];
  const void* workspace;
} dnn_launch_t;

void dnn_launch_add_operand(dnn_launch_t* l, int64_t uid, uint32_t operand, int64_t offset);
void dnn_launch_add_float(dnn_launch_t* l, int64_t uid, float number);
void dnn_launch_add_int(dnn_launch_t* l, int64_t uid, int32_t number);
// Bytes of workspace that run wants.
uint64_t dnn_launch_workspace(const dnn_launch_t* l);
trivet_status_t dnn_launch_run(dnn_launch_t* l, const trivet_kernel_launch_t* launch);
// Gives the plan back and destroys what runs left.
void dnn_launch_deinit(dnn_launch_t* l);

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_LAUNCH_H_
