// SPDX-License-Identifier: Apache-2.0
//
// Low-level work on programs that the files of core/kernel_ir share: adding stages, comparing them,
// rebuilding bodies. Others use fuse.h.
#ifndef TRIVET_CORE_KERNEL_IR_PROGRAM_H_
#define TRIVET_CORE_KERNEL_IR_PROGRAM_H_

#include "core/kernel_ir/builder.h"
#include "core/kernel_ir/kernel_ir.h"

#ifdef __cplusplus
extern "C" {
#endif

// Appends a copy of |stage| (its body and monoid stay where they are) and enters it as the stage of
// its values.
trivet_status_t tvi_kir_program_add_stage(tvi_kir_program_t* program, const tvi_kir_stage_t* stage);

// Do two stages compute the same, apart from the values that they write?
bool tvi_kir_same_computation(const tvi_kir_stage_t* a, const tvi_kir_stage_t* b);

// Fills the rest of a predeclared monoid of |monoid->kind| for elements of |dtype|.
// INVALID_ARGUMENT when it cannot reduce them.
trivet_status_t tvi_kir_monoid_fill(tvi_kir_monoid_t* monoid, uint32_t dtype);

// How many instructions a stage's body gives to values or joins.
static inline uint32_t tvi_kir_element_count(const tvi_kir_stage_t* stage) {
  return stage->kind == TVI_KIR_MAP ? 1 : stage->monoid->element_count;
}

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_KERNEL_IR_PROGRAM_H_
