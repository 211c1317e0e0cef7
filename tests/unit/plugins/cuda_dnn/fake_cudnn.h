// SPDX-License-Identifier: Apache-2.0
//
// A cuDNN that computes nothing and remembers what it was told, with a device that hands it out:
// enough for steps to be loaded, prepared and run where no GPU is. In C, as the library's table is.
#ifndef TRIVET_TESTS_UNIT_PLUGINS_CUDA_DNN_FAKE_CUDNN_H_
#define TRIVET_TESTS_UNIT_PLUGINS_CUDA_DNN_FAKE_CUDNN_H_

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FAKE_CUDNN_WORKSPACE 100  // bytes, of every plan

typedef struct fake_cudnn_s {
  int descriptors;             // that live
  int graphs;                  // that were finished
  int packs;                   // of addresses, that were finished
  int executions;              // of plans
  int recorders;               // that live
  uint64_t recorded_operands;  // of the last recorder
  int refuses_plans;           // set by the test: texts of plans are not understood
  char plan[64];               // the text that was read last
  int64_t pointer_count;
  const void* pointers[64];  // of the last pack
  const void* stream;        // of the last execution
} fake_cudnn_t;

// All zero. It stands until it is called again, which forgets everything.
fake_cudnn_t* fake_cudnn_begin(void);
// What load gets as its device. Its recorders call each time.
void* fake_cudnn_device(void);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_TESTS_UNIT_PLUGINS_CUDA_DNN_FAKE_CUDNN_H_
