// SPDX-License-Identifier: Apache-2.0
//
// Measuring on a target with memory of its own: what all measurements of a build, or of the
// tuning of a plan, share. Stands behind whoever prepared the step; knows no kernel.
#ifndef TRIVET_RUNTIME_DEVICE_MEASURE_DEVICE_H_
#define TRIVET_RUNTIME_DEVICE_MEASURE_DEVICE_H_

#include "runtime/device/open_device.h"

typedef struct tvi_measure_device_s tvi_measure_device_t;

// |device| must outlive it.
trivet_status_t tvi_measure_device_create(const tvi_open_device_t* device,
                                          trivet_allocator_t allocator,
                                          tvi_measure_device_t** out_measure);
void tvi_measure_device_destroy(tvi_measure_device_t* measure);  // accepts NULL
const tvi_open_device_t* tvi_measure_device_device(const tvi_measure_device_t* measure);

// Replaces |count| addresses on the host by copies on the device, which live until the next call.
trivet_status_t tvi_measure_device_upload(tvi_measure_device_t* measure, void** addresses,
                                          const uint64_t* sizes, size_t count);
// Median nanoseconds of a run on the device itself, each after something else has gone through its
// caches. At least 5 runs, at most 50, some 15 ms in all.
trivet_status_t tvi_measure_device_run(tvi_measure_device_t* measure, const trivet_kernel_t* kernel,
                                       void* prepared, void* const* addresses,
                                       uint64_t workspace_size, double* out_nanoseconds);

#endif  // TRIVET_RUNTIME_DEVICE_MEASURE_DEVICE_H_
