// SPDX-License-Identifier: Apache-2.0
//
// Kernel IR in memory: what a region of the graph computes, on no device in particular.
// docs/kernel_ir.md is the language; this is the concrete form, for known ranks, element types and
// attributes, with symbolic extents. It stands between the graph (operators are instantiated to
// programs, programs are fused) and the targets (programs are compiled to tile programs or CUDA C).
// Nothing of a target, a layout or an address may enter it.
#ifndef TRIVET_CORE_KERNEL_IR_KERNEL_IR_H_
#define TRIVET_CORE_KERNEL_IR_KERNEL_IR_H_

#include <stdbool.h>

#include "core/base/arena.h"
#include "core/dimension/dimension.h"
#include "trivet/plugin.h"

#define TVI_KIR_NONE UINT32_MAX
#define TVI_KIR_MAX_INDICES 24  // parallel and reduced indices of one stage
#define TVI_KIR_MAX_STATE 4     // values in the state of a monoid

#ifdef __cplusplus
extern "C" {
#endif

// Scalar instructions. X(enumerator, text name, operand count). Result types are in the
// instruction. Float arithmetic on f16, bf16 and 8-bit floats means: in f32 (docs/kernel_ir.md,
// section 3).
// clang-format off
#define TVI_KIR_OPCODES(X)                                                                         \
  X(CONST, "const", 0) /* imm, of the instruction's dtype */                                       \
  X(INDEX, "index", 0) /* imm.i64: which index of the stage (parallel first, then reduced); i64 */ \
  X(EXTENT, "extent", 0) /* dim: a symbolic extent; i64 */                                         \
  X(LOAD, "load", 0) /* element of a value; see tvi_kir_load_t */                                  \
  X(CAST, "cast", 1) /* to dtype, rules of docs/kernel_ir.md section 3 */                          \
  X(SATCAST, "sat", 1) /* round to nearest even, saturate */                                       \
  X(BITCAST, "bits", 1)                                                                            \
  X(SELECT, "select", 3) /* a (bool) ? b : c */                                                    \
  X(ADD, "add", 2) X(SUB, "sub", 2) X(MUL, "mul", 2) X(DIV, "div", 2) X(REM, "rem", 2)             \
  X(FLOORDIV, "floordiv", 2) X(CEILDIV, "ceildiv", 2) X(MOD, "mod", 2) X(MIN, "min", 2)            \
  X(MAX, "max", 2) X(POW, "pow", 2) X(ATAN2, "atan2", 2)                                           \
  X(FMA, "fma", 3) /* a * b + c, rounded once */                                                   \
  X(AND, "and", 2) X(OR, "or", 2) X(XOR, "xor", 2) X(NOT, "not", 1) X(SHL, "shl", 2)               \
  X(SHR, "shr", 2) X(POPCOUNT, "popcount", 1) X(EQ, "eq", 2) X(NE, "ne", 2) X(LT, "lt", 2)         \
  X(LE, "le", 2) X(GT, "gt", 2)                                                                    \
  X(GE, "ge", 2) /* to bool */                                                                     \
  X(NEG, "neg", 1) X(ABS, "abs", 1) X(SIGN, "sign", 1) X(SQRT, "sqrt", 1) X(RSQRT, "rsqrt", 1)     \
  X(RECIP, "recip", 1) X(EXP, "exp", 1) X(EXP2, "exp2", 1) X(EXPM1, "expm1", 1)                    \
  X(LOG, "log", 1) X(LOG2, "log2", 1) X(LOG10, "log10", 1) X(LOG1P, "log1p", 1)                    \
  X(SIN, "sin", 1) X(COS, "cos", 1) X(TAN, "tan", 1) X(ASIN, "asin", 1) X(ACOS, "acos", 1)         \
  X(ATAN, "atan", 1) X(SINH, "sinh", 1) X(COSH, "cosh", 1) X(TANH, "tanh", 1)                      \
  X(ASINH, "asinh", 1) X(ACOSH, "acosh", 1) X(ATANH, "atanh", 1) X(SIGMOID, "sigmoid", 1)          \
  X(ERF, "erf", 1) X(FLOOR, "floor", 1) X(CEIL, "ceil", 1) X(ROUND, "round", 1)                    \
  X(TRUNC, "trunc", 1) X(ISNAN, "isnan", 1) X(ISINF, "isinf", 1)                                   \
  X(WITH, "with", 2) /* a; b stands beside it in the arguments of a DEVICE, nowhere else */        \
  X(DEVICE, "device", 2) /* a, which the function of a plugin gives for arguments b; see below */
// clang-format on

typedef enum tvi_kir_opcode_e {
#define TVI_KIR_OPCODE_ENUM(name, text, operands) TVI_KIR_##name,
  TVI_KIR_OPCODES(TVI_KIR_OPCODE_ENUM)
#undef TVI_KIR_OPCODE_ENUM
      TVI_KIR_OPCODE_COUNT
} tvi_kir_opcode_t;

// What happens to an index out of bounds in a load.
typedef enum tvi_kir_bounds_e {
  TVI_KIR_BOUNDS_PROVEN =
      0,  // must be in bounds: proven where affine, else checked at run time (an error status)
  TVI_KIR_BOUNDS_PAD = 1,  // the load gives |pad| instead
} tvi_kir_bounds_t;

// Per-dimension treatment of an index before the bounds rule.
#define TVI_KIR_WRAP_NONE 0u
#define TVI_KIR_WRAP_NEGATIVE 1u  // index < 0 gets the extent added ("wrap")
#define TVI_KIR_WRAP_CLIP 2u      // clamped to [0, extent-1]

typedef uint32_t tvi_kir_ref_t;  // position of an instruction in its stage's body

typedef struct tvi_kir_load_s {
  uint32_t value;          // index into program->values
  uint32_t index_count;    // rank of the value
  tvi_kir_ref_t* indices;  // i64 instructions, one per dimension
  uint8_t* wrap;           // TVI_KIR_WRAP_*, one per dimension; NULL: none
  tvi_kir_bounds_t bounds;
  tvi_kir_ref_t pad;  // TVI_KIR_NONE unless bounds is PAD
} tvi_kir_load_t;

// A scalar function of a plugin that has code of its own for CUDA. What it means is expanded like
// that of any other function; the result is then given by a DEVICE instruction, which names the
// function and its arguments (the last one, or WITH(WITH(first, second), third)). Targets that
// print CUDA C may call the code; for all others the instruction is its first operand.
#define TVI_KIR_MAX_PARAMETERS 8
typedef struct tvi_kir_device_s {
  const char* name;    // "acme.mish"
  const char* plugin;  // that brought it
  const char* cuda;    // statements of a CUDA C function
  uint32_t parameter_count;
  const char* parameters[TVI_KIR_MAX_PARAMETERS];
  // Type variable that the argument binds, "" where the type is fixed; of the result likewise.
  const char* variables[TVI_KIR_MAX_PARAMETERS];
} tvi_kir_device_t;

typedef struct tvi_kir_instr_s {
  uint16_t opcode;  // tvi_kir_opcode_t
  uint16_t reserved;
  uint32_t dtype;  // of the result, TRIVET_DTYPE_*
  tvi_kir_ref_t args[3];
  union {
    int64_t i64;           // CONST of an integer or bool type, INDEX
    double f64;            // CONST of a float type
    trivet_dim_t dim;      // EXTENT
    tvi_kir_load_t* load;  // LOAD
    // DEVICE. Lives as long as the plugin, or as the memory of the text that it was read from.
    const tvi_kir_device_t* device;
  } imm;
} tvi_kir_instr_t;

// A commutative-enough monoid: identity and join over a tuple state. Predeclared ones are
// recognised by kind so that targets can map them to their own instructions; a declared one carries
// its join as instructions.
typedef enum tvi_kir_monoid_kind_e {
  TVI_KIR_SUM = 0,
  TVI_KIR_PROD,
  TVI_KIR_REDUCE_MIN,  // NaN wins
  TVI_KIR_REDUCE_MAX,
  TVI_KIR_ANY,
  TVI_KIR_ALL,
  TVI_KIR_ARGMAX,  // state (value, i64 position); first extreme wins; NaN beats every number
  TVI_KIR_ARGMIN,
  TVI_KIR_WELFORD,        // (mean, m2, count); element is one value
  TVI_KIR_SOFTMAX_STATE,  // (m, s) with s = sum of exp(x - m); element is one value
  TVI_KIR_DECLARED,
} tvi_kir_monoid_kind_t;

typedef struct tvi_kir_monoid_s {
  tvi_kir_monoid_kind_t kind;
  uint32_t state_count;
  uint32_t element_count;  // results that a body gives: 1 for WELFORD and SOFTMAX_STATE,
                           // state_count otherwise
  uint32_t dtypes[TVI_KIR_MAX_STATE];
  const char* name;
  const char* state_names[TVI_KIR_MAX_STATE];
  // DECLARED only. identity: constants. join: a body whose first 2*state_count instructions are the
  // operands (opcode CONST, ignored), a's state then b's; results name the joined state.
  double identity[TVI_KIR_MAX_STATE];
  tvi_kir_instr_t* join;
  uint32_t join_count;
  tvi_kir_ref_t join_results[TVI_KIR_MAX_STATE];
} tvi_kir_monoid_t;

typedef enum tvi_kir_stage_kind_e {
  TVI_KIR_MAP = 0,     // out[p] = body(p)
  TVI_KIR_REDUCE = 1,  // out[p] = join over r of body(p, r)
  TVI_KIR_SCAN = 2,    // running join along the last parallel index
} tvi_kir_stage_kind_t;

#define TVI_KIR_SCAN_EXCLUSIVE 1u
#define TVI_KIR_SCAN_REVERSE 2u

typedef enum tvi_kir_placement_e {
  TVI_KIR_STORED = 0,
  TVI_KIR_KEPT = 1,
  TVI_KIR_INLINED = 2,
} tvi_kir_placement_t;

// One stage. It defines result_count values, whose dimensions are exactly the parallel indices, in
// order.
typedef struct tvi_kir_stage_s {
  tvi_kir_stage_kind_t kind;
  tvi_kir_placement_t placement;       // set by the scheduler; STORED until then
  uint32_t result_count;               // 1 for MAP, else state_count of the monoid
  uint32_t values[TVI_KIR_MAX_STATE];  // values written; TVI_KIR_NONE: that part of the state is
                                       // not kept
  tvi_kir_ref_t results[TVI_KIR_MAX_STATE];  // instructions whose values are written or joined: 1
                                             // for MAP, else element_count
  uint32_t parallel_count;
  uint32_t reduced_count;  // 0 unless REDUCE
  uint32_t scan_flags;
  uint32_t
      origin;  // index of the graph node it came from (caller's numbering), TVI_KIR_NONE if unknown
  trivet_dim_t extents[TVI_KIR_MAX_INDICES];  // parallel, then reduced
  const tvi_kir_monoid_t* monoid;             // NULL for MAP
  uint32_t instr_count;
  tvi_kir_instr_t* instrs;
} tvi_kir_stage_t;

typedef enum tvi_kir_value_kind_e {
  TVI_KIR_INPUT = 0,
  TVI_KIR_OUTPUT = 1,
  TVI_KIR_TEMP = 2,
} tvi_kir_value_kind_t;

typedef struct tvi_kir_value_s {
  const char* name;
  tvi_kir_value_kind_t kind;
  uint32_t dtype;
  uint32_t rank;
  uint32_t stage;  // that defines it; TVI_KIR_NONE for inputs
  uint32_t tag;    // caller's number (graph value id, or operand position); TVI_KIR_NONE if none
  trivet_dim_t dims[TRIVET_MAX_RANK];
} tvi_kir_value_t;

// A program. All memory is in |arena|; stages are in an order in which every value is defined
// before it is read.
typedef struct tvi_kir_program_s {
  tvi_arena_t* arena;
  tvi_dim_context_t* dims;
  uint32_t value_count;
  uint32_t stage_count;
  tvi_kir_value_t* values;
  tvi_kir_stage_t* stages;
} tvi_kir_program_t;

const char* tvi_kir_opcode_name(tvi_kir_opcode_t opcode);
uint32_t tvi_kir_opcode_operands(tvi_kir_opcode_t opcode);

// Checks every rule of the form: ids, order, types, ranks, extents. An error names stage and
// instruction.
trivet_status_t tvi_kir_verify(const tvi_kir_program_t* program);

// The concrete text: a readable listing that tvi_kir_program_parse reads back to an equal program
// (golden tests, bug reports).
trivet_status_t tvi_kir_program_print(const tvi_kir_program_t* program,
                                      tvi_string_builder_t* builder);
trivet_status_t tvi_kir_program_parse(trivet_string_view_t text, tvi_dim_context_t* dims,
                                      tvi_arena_t* arena, tvi_kir_program_t** out_program);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_KERNEL_IR_KERNEL_IR_H_
