// SPDX-License-Identifier: Apache-2.0
//
// The tile interpreter as a kernel of the runtime, "cpu.tile": run half only. A step names it, with
// a tile program as blob.

#ifndef TRIVET_RUNTIME_DEVICE_CPU_TILE_KERNEL_H_
#define TRIVET_RUNTIME_DEVICE_CPU_TILE_KERNEL_H_

#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const trivet_kernel_t tvi_tile_kernel_definition;
static inline const trivet_kernel_t* tvi_tile_kernel(void) { return &tvi_tile_kernel_definition; }

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_RUNTIME_DEVICE_CPU_TILE_KERNEL_H_
