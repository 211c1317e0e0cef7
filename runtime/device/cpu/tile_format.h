// SPDX-License-Identifier: Apache-2.0
//
// The tile program: what the CPU executor runs, as it lies in a plan. Little-endian, position
// independent; every number below is a file format and never reused. Written by the compiler in
// plugins/cpu, read and verified by tile_program.c. Nothing here knows an address, a stride or a
// value of a dimension: those arrive at prepare.
//
// A program has parameters (integers given at prepare: extents, coefficients), slots (operands of
// the launch first, then temporaries) and sections. A section has outer loops, all parallel, and
// phases that run one after the other for every block of outer points; a barrier stands between
// sections. A phase has loops of its own (parallel ones, then reduced ones), a body of typed
// instructions in SSA form that runs on tiles of points, and sinks: what is stored or reduced.

#ifndef TRIVET_RUNTIME_DEVICE_CPU_TILE_FORMAT_H_
#define TRIVET_RUNTIME_DEVICE_CPU_TILE_FORMAT_H_

#include <stdint.h>

#define TVI_TILE_MAGIC 0x454c4954u  // "TILE"
#define TVI_TILE_VERSION 1u         // another one is refused

#define TVI_TILE_NONE 0xffffffffu
#define TVI_TILE_NO_ARG 0xffffu
#define TVI_TILE_MAX_LOOPS 24u           // outer and own loops of a phase
#define TVI_TILE_MAX_STATE 4u            // values of one sink
#define TVI_TILE_MAX_INSTRUCTIONS 8192u  // of one body
#define TVI_TILE_MAX_PARAMETERS 65536u
#define TVI_TILE_MAX_SLOTS 4096u

// Types of a register. Smaller elements are widened by loads: f16, bf16, 8-bit floats to F32; bool
// (as 0 or 1) and integers of at most 16 bits to I32. Integers of 8 and 16 bits are kept in range
// by NARROW instructions.
#define TVI_TILE_F32 1u
#define TVI_TILE_F64 2u
#define TVI_TILE_I32 3u
#define TVI_TILE_U32 4u
#define TVI_TILE_I64 5u
#define TVI_TILE_U64 6u
#define TVI_TILE_TYPE_COUNT 7u

// Shapes of instructions: which types operands and result have. t is the type of the instruction.
#define TVI_TILE_SIG_CONST 0u     // imm: bits of t
#define TVI_TILE_SIG_AFFINE 1u    // imm: index into the affine table; t is I64
#define TVI_TILE_SIG_LOAD 2u      // imm: index into the access table
#define TVI_TILE_SIG_ARG 3u       // join bodies: operand of the join (imm: which)
#define TVI_TILE_SIG_SAME 4u      // all operands t
#define TVI_TILE_SIG_FLOAT 5u     // all operands t, which is F32 or F64
#define TVI_TILE_SIG_INT 6u       // all operands t, an integer type
#define TVI_TILE_SIG_COMPARE 7u   // operands of one type, result I32 (0 or 1)
#define TVI_TILE_SIG_TEST 8u      // float operand, result I32 (0 or 1)
#define TVI_TILE_SIG_SELECT 9u    // I32, t, t
#define TVI_TILE_SIG_CONVERT 10u  // operand of any type
#define TVI_TILE_SIG_NARROW 11u   // I32 to I32; aux: i8, u8, i16, u16, i4 or u4
#define TVI_TILE_SIG_ROUND 12u    // F32 or F64 to F32; aux: a float type of at most 16 bits
#define TVI_TILE_SATURATES 0x40u  // added to the aux of ROUND_TO: no infinity in 8-bit floats
#define TVI_TILE_SIG_BITCAST 13u  // operand of the same size
#define TVI_TILE_SIG_ENCODE 14u   // F32 to I32; aux as ROUND: the bits of the rounded value
#define TVI_TILE_SIG_DECODE 15u   // I32 to F32; aux as ROUND
#define TVI_TILE_SIG_MACRO 16u    // all operands and result F32

// X(name, number, operands, signature)
#define TVI_TILE_OPCODES(X)     \
  X(CONST, 1, 0, CONST)         \
  X(AFFINE, 2, 0, AFFINE)       \
  X(LOAD, 3, 0, LOAD)           \
  X(ARG, 4, 0, ARG)             \
  X(ADD, 10, 2, SAME)           \
  X(SUB, 11, 2, SAME)           \
  X(MUL, 12, 2, SAME)           \
  X(DIV, 13, 2, SAME)           \
  X(REM, 14, 2, SAME)           \
  X(FLOORDIV, 15, 2, SAME)      \
  X(CEILDIV, 16, 2, SAME)       \
  X(MOD, 17, 2, SAME)           \
  X(MIN, 18, 2, SAME)           \
  X(MAX, 19, 2, SAME)           \
  X(POW, 20, 2, SAME)           \
  X(ATAN2, 21, 2, FLOAT)        \
  X(FMA, 22, 3, FLOAT)          \
  X(MULADD, 23, 3, SAME)        \
  X(AND, 24, 2, INT)            \
  X(OR, 25, 2, INT)             \
  X(XOR, 26, 2, INT)            \
  X(NOT, 27, 1, INT)            \
  X(SHL, 28, 2, INT)            \
  X(SHR, 29, 2, INT)            \
  X(POPCOUNT, 30, 1, INT)       \
  X(EQ, 31, 2, COMPARE)         \
  X(NE, 32, 2, COMPARE)         \
  X(LT, 33, 2, COMPARE)         \
  X(LE, 34, 2, COMPARE)         \
  X(SELECT, 35, 3, SELECT)      \
  X(NEG, 40, 1, SAME)           \
  X(ABS, 41, 1, SAME)           \
  X(SIGN, 42, 1, SAME)          \
  X(SQRT, 43, 1, FLOAT)         \
  X(RSQRT, 44, 1, FLOAT)        \
  X(RECIP, 45, 1, FLOAT)        \
  X(EXP, 46, 1, FLOAT)          \
  X(EXP2, 47, 1, FLOAT)         \
  X(EXPM1, 48, 1, FLOAT)        \
  X(LOG, 49, 1, FLOAT)          \
  X(LOG2, 50, 1, FLOAT)         \
  X(LOG10, 51, 1, FLOAT)        \
  X(LOG1P, 52, 1, FLOAT)        \
  X(SIN, 53, 1, FLOAT)          \
  X(COS, 54, 1, FLOAT)          \
  X(TAN, 55, 1, FLOAT)          \
  X(ASIN, 56, 1, FLOAT)         \
  X(ACOS, 57, 1, FLOAT)         \
  X(ATAN, 58, 1, FLOAT)         \
  X(SINH, 59, 1, FLOAT)         \
  X(COSH, 60, 1, FLOAT)         \
  X(TANH, 61, 1, FLOAT)         \
  X(ASINH, 62, 1, FLOAT)        \
  X(ACOSH, 63, 1, FLOAT)        \
  X(ATANH, 64, 1, FLOAT)        \
  X(SIGMOID, 65, 1, FLOAT)      \
  X(ERF, 66, 1, FLOAT)          \
  X(FLOOR, 67, 1, FLOAT)        \
  X(CEIL, 68, 1, FLOAT)         \
  X(ROUND_EVEN, 69, 1, FLOAT)   \
  X(TRUNC, 70, 1, FLOAT)        \
  X(ISNAN, 71, 1, TEST)         \
  X(ISINF, 72, 1, TEST)         \
  X(CONVERT, 80, 1, CONVERT)    \
  X(NARROW, 81, 1, NARROW)      \
  X(ROUND_TO, 82, 1, ROUND)     \
  X(BITCAST, 83, 1, BITCAST)    \
  X(ENCODE, 84, 1, ENCODE)      \
  X(DECODE, 85, 1, DECODE)      \
  X(SILU, 100, 1, MACRO)        \
  X(SILU_MUL, 101, 2, MACRO)    \
  X(GELU_ERF, 102, 1, MACRO)    \
  X(GELU_TANH, 103, 1, MACRO)   \
  X(EXP_SUB, 104, 2, MACRO)     \
  X(RELU, 105, 1, MACRO)        \
  X(SUB_SQUARE, 106, 2, MACRO)  \
  X(NORM_AFFINE, 107, 5, MACRO) \
  X(QUANTIZE, 108, 3, MACRO)    \
  X(SUB_MUL, 109, 3, MACRO)

// Meaning of the opcodes that kernel IR does not have:
//   CONVERT    float to integer truncates, saturates, NaN gives 0; integer to integer modulo 2^bits
//   MULADD     a * b + c, rounded once or twice
//   EXP_SUB    exp(a - b)
//   SUB_SQUARE (a - b)^2
//   NORM_AFFINE (a - b) * c * d + e
//   QUANTIZE   round_even(a * b) + c, NaN stays
//   SUB_MUL    (a - b) * c
// SILU and the two GELUs give their limit, 0, at minus infinity, where the product would be NaN.

typedef enum tvi_tile_opcode_e {
#define TVI_TILE_OPCODE_ENUM(name, number, operands, signature) TVI_TILE_OP_##name = number,
  TVI_TILE_OPCODES(TVI_TILE_OPCODE_ENUM)
#undef TVI_TILE_OPCODE_ENUM
} tvi_tile_opcode_t;
#define TVI_TILE_OPCODE_LIMIT 128u
#define TVI_TILE_MAX_ARGS 5u

// Bounds of an access.
#define TVI_TILE_BOUNDS_PROVEN 0u  // affine indices: checked at prepare; others: an error at run
#define TVI_TILE_BOUNDS_PAD 1u     // out of bounds gives the pad value

// Treatment of an index that is read from a register, before the bounds rule.
#define TVI_TILE_WRAP_NONE 0u
#define TVI_TILE_WRAP_NEGATIVE 1u
#define TVI_TILE_WRAP_CLIP 2u

// Sinks.
#define TVI_TILE_SINK_STORE 0u
#define TVI_TILE_SINK_REDUCE 1u
#define TVI_TILE_SINK_SCAN 2u  // along the last own parallel loop

// Joins. All below BODY have one state value.
#define TVI_TILE_JOIN_SUM 0u
#define TVI_TILE_JOIN_PROD 1u
#define TVI_TILE_JOIN_MIN 2u
#define TVI_TILE_JOIN_MAX 3u
#define TVI_TILE_JOIN_OR 4u
#define TVI_TILE_JOIN_AND 5u
#define TVI_TILE_JOIN_BODY 6u
#define TVI_TILE_JOIN_SERIAL 7u  // a body that is joined in the order of the points
#define TVI_TILE_JOIN_LANES 8u   // a body in any order, for which identities must not meet

#define TVI_TILE_SCAN_EXCLUSIVE 1u
#define TVI_TILE_SCAN_REVERSE 2u

#endif  // TRIVET_RUNTIME_DEVICE_CPU_TILE_FORMAT_H_
