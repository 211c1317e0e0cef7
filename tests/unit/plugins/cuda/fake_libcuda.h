// SPDX-License-Identifier: Apache-2.0
//
// What tests read of the driver that is none: the launch that came last, the node that a graph got.
// Functions are found by name, as a driver's are.
#ifndef TRIVET_TESTS_UNIT_PLUGINS_CUDA_FAKE_LIBCUDA_H_
#define TRIVET_TESTS_UNIT_PLUGINS_CUDA_FAKE_LIBCUDA_H_

#include <stdint.h>

typedef struct fake_cuda_launch_s {
  uintptr_t function;
  unsigned int grid, shared_bytes;
  unsigned int cluster;  // 0: none was asked for
  int is_early;          // programmatic stream serialization
  int argument;          // the first, of four bytes
  const void* stream;
} fake_cuda_launch_t;

// The kernel that was added to a graph last.
typedef struct fake_cuda_fill_s {
  int before, after;  // the nodes on both sides, counted from 1; 0: none
  uintptr_t function;
  unsigned int threads;
  uint64_t at, count;  // its arguments
  uint32_t value;
} fake_cuda_fill_t;

#endif  // TRIVET_TESTS_UNIT_PLUGINS_CUDA_FAKE_LIBCUDA_H_
