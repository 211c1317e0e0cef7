// SPDX-License-Identifier: Apache-2.0
//
// What the recognisers share. For core/kernel_ir only.
// They read programs and must not change them.
#ifndef TRIVET_CORE_KERNEL_IR_CONTRACTION_INTERNAL_H_
#define TRIVET_CORE_KERNEL_IR_CONTRACTION_INTERNAL_H_

#include "core/kernel_ir/contraction.h"

#define TVI_KIR_NO_DIM 255u

static inline bool tvi_kir_reject(const char** out_reason, const char* reason) {
  if (out_reason != NULL) *out_reason = reason;
  return false;
}

// The factors under a sum of products, without casts that lose nothing.
bool tvi_kir_split_product(const tvi_kir_program_t* program, uint32_t stage,
                           tvi_kir_ref_t* out_left, tvi_kir_ref_t* out_right,
                           const char** out_reason);
// Goes through casts that lose nothing; false at one that does.
bool tvi_kir_strip_casts(const tvi_kir_stage_t* stage, tvi_kir_ref_t* ref);
// An index of the stage as it is, or the constant 0 (TVI_KIR_NO_DIM).
bool tvi_kir_plain_index(const tvi_kir_stage_t* stage, tvi_kir_ref_t ref, uint8_t* out_index);
bool tvi_kir_is_one(trivet_dim_t dim);
// Not certainly different.
bool tvi_kir_same_extent(trivet_dim_t a, trivet_dim_t b);

#endif  // TRIVET_CORE_KERNEL_IR_CONTRACTION_INTERNAL_H_
