// SPDX-License-Identifier: Apache-2.0
//
// A tile program in memory, decoded from the bytes of tile_format.h and verified: after
// tvi_tile_program_decode every reference is in range, every type fits and bodies are in SSA form.
// What depends on shapes is checked later, at prepare (tile_bind.c). Immutable, shared by threads.

#ifndef TRIVET_RUNTIME_DEVICE_CPU_TILE_PROGRAM_H_
#define TRIVET_RUNTIME_DEVICE_CPU_TILE_PROGRAM_H_

#include "core/base/arena.h"
#include "runtime/device/cpu/tile_format.h"
#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

// offset + sum of coefficient * loop; offset and coefficients are parameters.
typedef struct tvi_tile_affine_t {
  uint32_t offset;  // parameter, TVI_TILE_NONE: 0
  uint32_t term_count;
  uint32_t loops[TVI_TILE_MAX_LOOPS];         // distinct, ascending
  uint32_t coefficients[TVI_TILE_MAX_LOOPS];  // parameters
} tvi_tile_affine_t;

typedef struct tvi_tile_index_t {
  uint32_t is_register;  // 0: ref is an affine form; 1: an I64 instruction
  uint32_t ref;
  uint32_t wrap;  // TVI_TILE_WRAP_*
} tvi_tile_index_t;

// Element of a slot at one index per dimension.
typedef struct tvi_tile_access_t {
  uint32_t slot;
  uint32_t bounds;  // TVI_TILE_BOUNDS_*
  uint32_t pad;     // instruction; TVI_TILE_NONE unless bounds is PAD
  uint32_t rank;
  tvi_tile_index_t indices[TRIVET_MAX_RANK];
} tvi_tile_access_t;

typedef struct tvi_tile_instr_t {
  uint16_t opcode;
  uint8_t type;  // TVI_TILE_F32 ...: of the result but for COMPARE and TEST, whose result is I32
  uint8_t aux;   // element type, see the signatures
  uint16_t args[TVI_TILE_MAX_ARGS];
  uint16_t reserved;
  uint64_t imm;
} tvi_tile_instr_t;

// Results of a join body are given by |join_results|; its ARG instructions name state value imm of
// the left side (imm < count) or of the right side (imm - count).
typedef struct tvi_tile_sink_t {
  uint32_t kind;                          // TVI_TILE_SINK_*
  uint32_t count;                         // values; 1 unless the join is a body
  uint32_t values[TVI_TILE_MAX_STATE];    // instructions
  uint32_t accesses[TVI_TILE_MAX_STATE];  // where they go, affine in parallel loops; TVI_TILE_NONE:
                                          // nowhere
  uint32_t join;                          // TVI_TILE_JOIN_*
  uint32_t scan_flags;
  uint64_t identity[TVI_TILE_MAX_STATE];  // bits
  uint32_t join_first;                    // range of the program's instructions
  uint32_t join_count;
  uint32_t join_results[TVI_TILE_MAX_STATE];  // relative to join_first
} tvi_tile_sink_t;

typedef struct tvi_tile_phase_t {
  uint32_t loop_count;                   // outer ones of the section included
  uint32_t reduced_count;                // the last ones of them
  uint32_t extents[TVI_TILE_MAX_LOOPS];  // parameters
  uint32_t instr_first, instr_count;
  uint32_t affine_first, affine_count;
  uint32_t access_first, access_count;
  uint32_t sink_first, sink_count;
} tvi_tile_phase_t;

typedef struct tvi_tile_section_t {
  uint32_t outer_count;
  uint32_t phase_first, phase_count;
} tvi_tile_section_t;

// Slots: operands, then temporaries. A stored temporary lies in the workspace and may be read by
// other sections; a kept one exists per block of outer points of the section that it belongs to.
#define TVI_TILE_SLOT_INPUT 0u
#define TVI_TILE_SLOT_OUTPUT 1u
#define TVI_TILE_SLOT_STORED 2u
#define TVI_TILE_SLOT_KEPT 3u
typedef struct tvi_tile_slot_t {
  uint32_t kind;
  uint32_t dtype;  // TRIVET_DTYPE_*
  uint32_t rank;
  uint32_t section;                // kept: the section
  uint32_t dims[TRIVET_MAX_RANK];  // temporaries: parameters
  // kept: the outer loop that the dimension is, or TVI_TILE_NONE. An access has that loop itself as
  // index.
  uint32_t outer[TRIVET_MAX_RANK];
} tvi_tile_slot_t;

typedef struct tvi_tile_program_t {
  uint32_t parameter_count;
  uint32_t operand_count;  // of slots
  uint32_t slot_count;
  uint32_t section_count;
  uint32_t phase_count;
  uint32_t instr_count;
  uint32_t affine_count;
  uint32_t access_count;
  uint32_t sink_count;
  tvi_tile_slot_t* slots;
  tvi_tile_section_t* sections;
  tvi_tile_phase_t* phases;
  tvi_tile_instr_t* instrs;    // refs in a body count from its first instruction
  tvi_tile_affine_t* affines;  // refs count from the phase's first, as do those of accesses
  tvi_tile_access_t* accesses;
  tvi_tile_sink_t* sinks;
} tvi_tile_program_t;

// Operands of an opcode; TVI_TILE_NONE for a number that is no opcode. *out_signature may be NULL.
uint32_t tvi_tile_opcode_info(uint32_t opcode, uint32_t* out_signature);
const char* tvi_tile_opcode_name(uint32_t opcode);
// The register type that elements of |dtype| have; 0: cannot be loaded.
uint32_t tvi_tile_type_of_dtype(uint32_t dtype);
// Bytes of a register element.
static inline uint32_t tvi_tile_type_bytes(uint32_t type) {
  return type == TVI_TILE_F64 || type == TVI_TILE_I64 || type == TVI_TILE_U64 ? 8u : 4u;
}
// The type of an instruction's result.
uint32_t tvi_tile_result_type(const tvi_tile_instr_t* instr);

// Reads and verifies a program; what it returns lies in |arena|. DATA_LOSS says what is wrong,
// INCOMPATIBLE that the version is another one.
trivet_status_t tvi_tile_program_decode(const uint8_t* bytes, uint64_t size, tvi_arena_t* arena,
                                        tvi_tile_program_t** out_program) TRIVET_MUST_USE;
// The checks alone, for a program that the compiler has just built.
trivet_status_t tvi_tile_program_verify(const tvi_tile_program_t* program) TRIVET_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_RUNTIME_DEVICE_CPU_TILE_PROGRAM_H_
