// SPDX-License-Identifier: Apache-2.0
//
// Builds the body of one stage: every instruction that is emitted is folded, normalised and merged
// with an equal earlier one. Instantiation, inlining and simplification all emit through it, so
// there is one place that knows identities of index arithmetic. Bounds of loads are proven here.
#ifndef TRIVET_CORE_KERNEL_IR_BUILDER_H_
#define TRIVET_CORE_KERNEL_IR_BUILDER_H_

#include "core/kernel_ir/affine.h"
#include "core/kernel_ir/kernel_ir.h"

#ifdef __cplusplus
extern "C" {
#endif

// Longest body.
#define TVI_KIR_MAX_INSTRS 20000

typedef struct tvi_kir_builder_s {
  tvi_arena_t* arena;  // for instructions and loads while building
  tvi_dim_context_t* dims;
  const tvi_kir_program_t* program;  // whose values are loaded; may gain values meanwhile
  const trivet_dim_t* extents;       // of each index, as INDEX numbers them
  uint32_t conditional;  // above 0: what is emitted may not be needed; loads must not fail then
  uint32_t count;
  uint32_t capacity;
  tvi_kir_instr_t* instrs;
  uint32_t* slots;  // hash table of instructions, position + 1
  uint32_t slot_count;
  trivet_status_t status;  // first failure, owned: memory, or a body that is too long
} tvi_kir_builder_t;

// Instructions whose reserved field says so are never folded, merged or dropped (operands of a
// join).
#define TVI_KIR_INSTR_OPAQUE 1u

void tvi_kir_builder_init(tvi_kir_builder_t* builder, const tvi_kir_program_t* program,
                          const trivet_dim_t* extents, tvi_arena_t* arena);

// Each gives the position of the instruction, TVI_KIR_NONE after a failure (then status is set) or
// where an operand is TVI_KIR_NONE.
tvi_kir_ref_t tvi_kir_build_int(tvi_kir_builder_t* builder, uint32_t dtype, int64_t value);
tvi_kir_ref_t tvi_kir_build_float(tvi_kir_builder_t* builder, uint32_t dtype, double value);
tvi_kir_ref_t tvi_kir_build_index(tvi_kir_builder_t* builder, uint32_t index);
tvi_kir_ref_t tvi_kir_build_extent(tvi_kir_builder_t* builder, trivet_dim_t dim);
tvi_kir_ref_t tvi_kir_build_opaque(tvi_kir_builder_t* builder, uint32_t dtype);
// Types are the caller's duty (tvi_kir_type_error). Unused operands: TVI_KIR_NONE.
tvi_kir_ref_t tvi_kir_build_op(tvi_kir_builder_t* builder, tvi_kir_opcode_t opcode, uint32_t dtype,
                               tvi_kir_ref_t a, tvi_kir_ref_t b, tvi_kir_ref_t c);
// |meaning|, which |device| gives for its arguments |args|. A constant stays one.
tvi_kir_ref_t tvi_kir_build_device(tvi_kir_builder_t* builder, tvi_kir_ref_t meaning,
                                   const tvi_kir_ref_t* args, const tvi_kir_device_t* device);
// |indices| and |wrap| (may be NULL) are read, one per dimension of the value. |pad| TVI_KIR_NONE:
// must be in bounds.
tvi_kir_ref_t tvi_kir_build_load(tvi_kir_builder_t* builder, uint32_t value,
                                 const tvi_kir_ref_t* indices, const uint8_t* wrap,
                                 tvi_kir_ref_t pad);
// Any instruction of another body, its operands already mapped to this one. |load| replaces the
// load of a LOAD.
tvi_kir_ref_t tvi_kir_build_copy(tvi_kir_builder_t* builder, const tvi_kir_instr_t* instr,
                                 const tvi_kir_ref_t* map);

// The value of a constant or extent as a dimension; NULL when the instruction is neither.
trivet_dim_t tvi_kir_instr_dim(tvi_dim_context_t* dims, const tvi_kir_instr_t* instr);

// Hands over the instructions that |results| need, in |arena|, renumbered (results too). The first
// |keep| instructions stay in place. |index_map| (may be NULL) renumbers INDEX.
trivet_status_t tvi_kir_builder_finish(tvi_kir_builder_t* builder, tvi_kir_ref_t* results,
                                       uint32_t result_count, uint32_t keep,
                                       const uint32_t* index_map, tvi_arena_t* arena,
                                       tvi_kir_instr_t** out_instrs, uint32_t* out_count);

// The machinery of affine.h over a bare body.
typedef struct tvi_kir_scope_s {
  tvi_dim_context_t* dims;
  const tvi_kir_instr_t* instrs;
  const trivet_dim_t* extents;
  uint32_t budget;  // steps that may still be taken
} tvi_kir_scope_t;
bool tvi_kir_scope_linear(tvi_kir_scope_t* scope, tvi_kir_ref_t ref, tvi_kir_linear_t* out);
void tvi_kir_scope_range(tvi_kir_scope_t* scope, tvi_kir_ref_t ref, trivet_dim_t* out_min,
                         trivet_dim_t* out_max);
void tvi_kir_scope_linear_range(tvi_kir_scope_t* scope, const tvi_kir_linear_t* linear,
                                trivet_dim_t* out_min, trivet_dim_t* out_max);
bool tvi_kir_linear_add(tvi_dim_context_t* dims, tvi_kir_linear_t* linear, tvi_kir_ref_t atom,
                        trivet_dim_t coefficient);
// Bounds of the index |ref| against an extent: bit 0: never below 0, bit 1: always below.
#define TVI_KIR_BOUND_LOW 1u
#define TVI_KIR_BOUND_HIGH 2u
uint32_t tvi_kir_scope_bounds(tvi_kir_scope_t* scope, tvi_kir_ref_t ref, trivet_dim_t extent);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_KERNEL_IR_BUILDER_H_
