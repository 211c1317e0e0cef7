// SPDX-License-Identifier: Apache-2.0
//
// Build half of kernels that run tile programs: "cpu.tile", and targets of tests that borrow its
// interpreter. Callbacks of trivet_kernel_t.
#ifndef TRIVET_PLUGINS_CPU_TILE_TACTIC_H_
#define TRIVET_PLUGINS_CPU_TILE_TACTIC_H_

#include "core/target/target.h"

#ifdef __cplusplus
extern "C" {
#endif

// Proposes one tactic, "tile", for every region that has kernel IR.
trivet_status_t tvi_tile_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                 trivet_proposal_t* proposal);
// Operands, parameters and the compiled program.
trivet_status_t tvi_tile_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                              uint64_t tactic, trivet_emission_t* emission);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CPU_TILE_TACTIC_H_
