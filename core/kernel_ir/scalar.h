// SPDX-License-Identifier: Apache-2.0
//
// What each scalar instruction means, in numbers: one function that constant folding and the
// evaluator share, so that both give the same bits. Rules: docs/kernel_ir.md, section 3.
#ifndef TRIVET_CORE_KERNEL_IR_SCALAR_H_
#define TRIVET_CORE_KERNEL_IR_SCALAR_H_

#include "core/kernel_ir/kernel_ir.h"

#ifdef __cplusplus
extern "C" {
#endif

// One number. Floats in |f|, of f32 precision for every type but f64; integers (u64 as its bits)
// and bool in |i|.
typedef union tvi_kir_scalar_u {
  int64_t i;
  double f;
} tvi_kir_scalar_t;

// out[j] = opcode(a[j], b[j], c[j]) for j < count, with result type |dtype| and operands of type
// |operand_dtype| (SELECT: of a bool, and of the result's type). Not for CONST, INDEX, EXTENT,
// LOAD. |out| may be one of the operands.
void tvi_kir_scalar_apply(tvi_kir_opcode_t opcode, uint32_t dtype, uint32_t operand_dtype,
                          uint32_t count, const tvi_kir_scalar_t* a, const tvi_kir_scalar_t* b,
                          const tvi_kir_scalar_t* c, tvi_kir_scalar_t* out);

// Element |index| of packed storage of |dtype|, and back. Writing a float rounds to the type.
tvi_kir_scalar_t tvi_kir_scalar_read(uint32_t dtype, const void* data, int64_t index);
void tvi_kir_scalar_write(uint32_t dtype, void* data, int64_t index, tvi_kir_scalar_t value);

// Limits: 0 maxof, 1 lowest, 2 epsof (the distance from 1 to the next number; 1 for integers).
tvi_kir_scalar_t tvi_kir_scalar_limit(uint32_t dtype, int which);

// Neither storage-only nor a type that programs cannot hold.
bool tvi_kir_dtype_is_arithmetic(uint32_t dtype);
// May values of this type be in a program at all (complex and strings may not)?
bool tvi_kir_dtype_is_allowed(uint32_t dtype);

// NULL when an instruction of these types is right, otherwise what is wrong with it.
const char* tvi_kir_type_error(tvi_kir_opcode_t opcode, uint32_t dtype, const uint32_t* operands);
// The type that an instruction gives for operands of these types (bool for comparisons, the type
// of the operands otherwise). Not for casts.
uint32_t tvi_kir_result_dtype(tvi_kir_opcode_t opcode, const uint32_t* operands);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_KERNEL_IR_SCALAR_H_
