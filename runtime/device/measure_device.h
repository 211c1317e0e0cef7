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

// What lives on the device at once: the operands of a region, and beside them what one of its
// tactics brings.
#define TVI_MEASURE_REGION 0u
#define TVI_MEASURE_TACTIC 1u

// Replaces |count| addresses on the host (NULL: none) by copies on the device, which live until the
// next call for the same |area|.
trivet_status_t tvi_measure_device_upload(tvi_measure_device_t* measure, uint32_t area,
                                          void** addresses, const uint64_t* sizes, size_t count);
// From here on every run is one alone, with whatever the caches hold: for what watches the device
// and makes it slow. Its time is no measurement.
void tvi_measure_device_run_once(tvi_measure_device_t* measure);
// Median nanoseconds of a run on the device itself, each after something else has gone through its
// caches. At least 5 runs, at most 50, some 15 ms in all; two where they take more than half as
// long again as |best| (0: nothing to compare with).
trivet_status_t tvi_measure_device_run(tvi_measure_device_t* measure, const trivet_kernel_t* kernel,
                                       void* prepared, void* const* addresses,
                                       uint64_t workspace_size, double best,
                                       double* out_nanoseconds);

#endif  // TRIVET_RUNTIME_DEVICE_MEASURE_DEVICE_H_
