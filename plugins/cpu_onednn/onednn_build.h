// SPDX-License-Identifier: Apache-2.0
//
// The build half of the oneDNN kernels: callbacks of trivet_kernel_t.
// What they make lies in the plan; the run half finds it again. No primitive outlives a build.
#ifndef TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_BUILD_H_
#define TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_BUILD_H_

#include "core/target/target.h"

#ifdef __cplusplus
extern "C" {
#endif

// Operands of a step for the shapes to optimise for. |region_operands|: the region's operand for
// each; TVI_KIR_NONE: absent. False: an extent is not known.
bool onednn_concrete(const trivet_region_t* region, const uint32_t* region_operands, uint32_t count,
                     trivet_operand_t* out_operands);

trivet_status_t onednn_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal);
trivet_status_t onednn_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_BUILD_H_
