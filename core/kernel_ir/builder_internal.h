// SPDX-License-Identifier: Apache-2.0
//
// What builder.c and builder_index.c share.
// For these two files only; programs leave them verified.
#ifndef TRIVET_CORE_KERNEL_IR_BUILDER_INTERNAL_H_
#define TRIVET_CORE_KERNEL_IR_BUILDER_INTERNAL_H_

#include "core/kernel_ir/builder.h"

// Adds an instruction as it is, or finds an equal one.
tvi_kir_ref_t tvi_kir_builder_push(tvi_kir_builder_t* builder, const tvi_kir_instr_t* instr);
tvi_kir_ref_t tvi_kir_builder_push_op(tvi_kir_builder_t* builder, tvi_kir_opcode_t opcode,
                                      uint32_t dtype, tvi_kir_ref_t x, tvi_kir_ref_t y);

// A better way to say an operation on i64 operands; TVI_KIR_NONE where none is known.
tvi_kir_ref_t tvi_kir_build_index_op(tvi_kir_builder_t* builder, tvi_kir_opcode_t opcode,
                                     const tvi_kir_ref_t* args);
// The instruction itself, or what its linear form boils down to: a constant, an extent, an atom.
tvi_kir_ref_t tvi_kir_build_linear(tvi_kir_builder_t* builder, tvi_kir_ref_t ref);
// The index of a load in canonical form. Drops *wrap where it does nothing; clears *safe unless the
// index is certainly within |extent|.
tvi_kir_ref_t tvi_kir_build_canonical_index(tvi_kir_builder_t* builder, tvi_kir_ref_t ref,
                                            trivet_dim_t extent, uint8_t* wrap, bool* safe);

#endif  // TRIVET_CORE_KERNEL_IR_BUILDER_INTERNAL_H_
