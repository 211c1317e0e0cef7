// SPDX-License-Identifier: Apache-2.0
//
// Recognises what a scalar expression of a stage computes, by its values at sample points: every
// way to write an activation is the same activation. Serves anchor_match; knows no region.
#ifndef TRIVET_CORE_TARGET_POST_FUNCTION_H_
#define TRIVET_CORE_TARGET_POST_FUNCTION_H_

#include "core/target/anchor_match.h"

bool tvi_post_is_float(uint32_t dtype);  // f32 and narrower: what counts as f32 here
// Behind casts between floats.
tvi_kir_ref_t tvi_post_skip_casts(const tvi_kir_stage_t* stage, tvi_kir_ref_t ref);
// The function that ends at |ref|, and the instruction that it is applied to: the nearest one with
// which nothing but constants remains and which gives a known function. |depends|: per
// instruction, whether it may be that one.
bool tvi_post_read_function(const tvi_kir_stage_t* stage, tvi_kir_ref_t ref, const bool* depends,
                            tvi_kir_ref_t* out_variable, tvi_post_t* out);

#endif  // TRIVET_CORE_TARGET_POST_FUNCTION_H_
