// SPDX-License-Identifier: Apache-2.0
//
// Bodies under construction: typed SSA instructions of a tile program with symbolic affine forms.
// The lowering of one kernel-IR stage, with inlined stages substituted, to such a body (loops are
// numbered as the stage numbers its indices). Between the schedule's choice of inlined stages and
// the assembly of phases; knows nothing of sections.

#ifndef TRIVET_PLUGINS_CPU_TILE_BODY_H_
#define TRIVET_PLUGINS_CPU_TILE_BODY_H_

#include "core/base/vector.h"
#include "core/kernel_ir/kernel_ir.h"
#include "runtime/device/cpu/tile_program.h"

#ifdef __cplusplus
extern "C" {
#endif

// constant + sum of coefficients[l] * loop l; NULL coefficient: 0.
typedef struct tvi_tile_symbolic_t {
  trivet_dim_t constant;
  trivet_dim_t coefficients[TVI_TILE_MAX_LOOPS];
} tvi_tile_symbolic_t;

typedef struct tvi_tile_body_index_t {
  bool is_register;
  uint32_t ref;  // symbolic form or instruction
  uint32_t wrap;
} tvi_tile_body_index_t;

typedef struct tvi_tile_body_access_t {
  uint32_t value;  // of the kernel-IR program
  uint32_t bounds;
  uint32_t pad;
  uint32_t rank;
  tvi_tile_body_index_t indices[TRIVET_MAX_RANK];
} tvi_tile_body_access_t;

// Instructions refer to |affines| and |accesses| of the same body.
typedef struct tvi_tile_body_t {
  tvi_dim_context_t* dims;
  uint32_t loop_count;
  trivet_dim_t extents[TVI_TILE_MAX_LOOPS];
  TVI_VECTOR(tvi_tile_instr_t) instrs;
  TVI_VECTOR(tvi_tile_symbolic_t) affines;
  TVI_VECTOR(tvi_tile_body_access_t) accesses;
} tvi_tile_body_t;

void tvi_tile_body_init(tvi_tile_body_t* body, tvi_dim_context_t* dims,
                        trivet_allocator_t allocator);
void tvi_tile_body_deinit(tvi_tile_body_t* body);

// Appends an instruction, or finds an equal one. Unused operands are TVI_TILE_NO_ARG.
trivet_status_t tvi_tile_body_add(tvi_tile_body_t* body, const tvi_tile_instr_t* instr,
                                  uint32_t* out_ref) TRIVET_MUST_USE;
trivet_status_t tvi_tile_body_op(tvi_tile_body_t* body, uint32_t opcode, uint32_t type,
                                 uint32_t aux, const uint32_t* args,
                                 uint32_t* out_ref) TRIVET_MUST_USE;
trivet_status_t tvi_tile_body_constant(tvi_tile_body_t* body, uint32_t type, uint64_t bits,
                                       uint32_t* out_ref) TRIVET_MUST_USE;
trivet_status_t tvi_tile_body_affine(tvi_tile_body_t* body, const tvi_tile_symbolic_t* form,
                                     uint32_t* out_ref) TRIVET_MUST_USE;
// The form alone, found or added: its number in |affines|.
trivet_status_t tvi_tile_body_form(tvi_tile_body_t* body, const tvi_tile_symbolic_t* form,
                                   uint32_t* out_form) TRIVET_MUST_USE;
trivet_status_t tvi_tile_body_load(tvi_tile_body_t* body, const tvi_tile_body_access_t* access,
                                   uint32_t type, uint32_t* out_ref) TRIVET_MUST_USE;

// A form that is loop |loop| itself; TVI_TILE_NONE: it is not one.
uint32_t tvi_tile_symbolic_loop(const tvi_tile_symbolic_t* form);

typedef struct tvi_tile_lowering_t {
  const tvi_kir_program_t* program;
  const uint8_t* is_inlined;  // by stage
  tvi_arena_t* arena;
} tvi_tile_lowering_t;

// Lowers |stage|; results[i] are the instructions of stage->results[i]. The body must be empty; its
// loops are the stage's indices.
trivet_status_t tvi_tile_lower_stage(const tvi_tile_lowering_t* lowering, uint32_t stage,
                                     tvi_tile_body_t* body,
                                     uint32_t results[TVI_KIR_MAX_STATE]) TRIVET_MUST_USE;
// Lowers the join of a declared monoid to a body of ARG instructions.
trivet_status_t tvi_tile_lower_join(const tvi_tile_lowering_t* lowering,
                                    const tvi_kir_monoid_t* monoid, tvi_tile_body_t* body,
                                    uint32_t results[TVI_KIR_MAX_STATE]) TRIVET_MUST_USE;
// Bits of a number in a register of |type|.
uint64_t tvi_tile_float_bits(uint32_t type, double value);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CPU_TILE_BODY_H_
