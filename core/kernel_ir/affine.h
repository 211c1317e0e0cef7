// SPDX-License-Identifier: Apache-2.0
//
// Index expressions as linear forms: constant + sum of coefficient * atom, where an atom is an
// index of the stage or an instruction that is not linear (a division, an element read). Targets
// derive strides from it, the recognisers of contractions and pools their roles.
#ifndef TRIVET_CORE_KERNEL_IR_AFFINE_H_
#define TRIVET_CORE_KERNEL_IR_AFFINE_H_

#include "core/kernel_ir/kernel_ir.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TVI_KIR_MAX_TERMS 24

typedef struct tvi_kir_term_s {
  tvi_kir_ref_t atom;        // an INDEX or a non-linear instruction of the stage's body
  trivet_dim_t coefficient;  // not the constant 0
} tvi_kir_term_t;

// What an index expression depends on.
#define TVI_KIR_LINEAR_QUASI \
  1u  // has an atom that divides, takes a remainder, a minimum, a select ... of indices
#define TVI_KIR_LINEAR_DATA 2u  // has an atom that reads data

typedef struct tvi_kir_linear_s {
  trivet_dim_t constant;
  uint32_t flags;  // TVI_KIR_LINEAR_*; 0: affine in the indices
  uint32_t term_count;
  tvi_kir_term_t terms[TVI_KIR_MAX_TERMS];
} tvi_kir_linear_t;

// The linear form of the i64 instruction at |ref|. False when it has too many terms or overflows.
bool tvi_kir_linear_form(const tvi_kir_program_t* program, const tvi_kir_stage_t* stage,
                         tvi_kir_ref_t ref, tvi_kir_linear_t* out_linear);

// A load that is affine in the indices of its stage: element offset into the dense value =
// constant + sum over indices of strides[i] * index i.
typedef struct tvi_kir_affine_load_s {
  uint32_t flags;  // TVI_KIR_LINEAR_*; unless 0 the rest is not set
  trivet_dim_t constant;
  trivet_dim_t strides[TVI_KIR_MAX_INDICES];
} tvi_kir_affine_load_t;
bool tvi_kir_affine_load(const tvi_kir_program_t* program, const tvi_kir_stage_t* stage,
                         tvi_kir_ref_t load, tvi_kir_affine_load_t* out_affine);

// Certain bounds of an i64 instruction, over all positions of the stage (which has at least one);
// NULL where none is known.
void tvi_kir_index_range(const tvi_kir_program_t* program, const tvi_kir_stage_t* stage,
                         tvi_kir_ref_t ref, trivet_dim_t* out_min, trivet_dim_t* out_max);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_KERNEL_IR_AFFINE_H_
