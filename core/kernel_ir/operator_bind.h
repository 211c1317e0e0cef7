// SPDX-License-Identifier: Apache-2.0
//
// What the names of a signature mean for one node: type variables, extents, operands. For the files
// of core/kernel_ir that check and instantiate nodes.
#ifndef TRIVET_CORE_KERNEL_IR_OPERATOR_BIND_H_
#define TRIVET_CORE_KERNEL_IR_OPERATOR_BIND_H_

#include "core/kernel_ir/operator_ast.h"
#include "core/kernel_ir/operator_instance.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_kir_extent_binding_s {
  bool bound;
  bool pack;
  uint32_t count;  // dimensions of a pack; 1 otherwise
  trivet_dim_t dims[TRIVET_MAX_RANK];
} tvi_kir_extent_binding_t;

typedef struct tvi_kir_binding_s {
  const tvi_kir_node_t* node;
  tvi_arena_t* arena;
  uint32_t types[TVI_KIR_MAX_TYPE_VARIABLES];  // TRIVET_DTYPE_INVALID: not bound
  tvi_kir_extent_binding_t* extents;           // one per extent name of the operator
  uint32_t assumption_count;
  uint32_t assumption_capacity;
  tvi_kir_assumption_t* assumptions;
} tvi_kir_binding_t;

// Checks inputs and attributes of the node against the signature and binds its names.
trivet_status_t tvi_kir_binding_make(const tvi_kir_node_t* node, tvi_arena_t* arena,
                                     tvi_kir_binding_t* out_binding);
// Declared input that node input |index| belongs to, and which member (TVI_KIR_NONE: not variadic).
const tvi_kir_operand_t* tvi_kir_declared_input(const tvi_kir_operator_t* op, uint32_t index,
                                                uint32_t* out_member);
const tvi_kir_operand_t* tvi_kir_declared_output(const tvi_kir_operator_t* op, uint32_t index,
                                                 uint32_t* out_member);
// Takes two extents to be equal: an error when both are constants that differ, an assumption when
// they are different expressions. *out_dim (may be NULL): the more telling one.
trivet_status_t tvi_kir_binding_equate(tvi_kir_binding_t* binding, trivet_dim_t a, trivet_dim_t b,
                                       const char* what, trivet_dim_t* out_dim);

// operator_lower.c: the value of an extent expression.
trivet_status_t tvi_kir_extent_evaluate(tvi_kir_binding_t* binding, const tvi_kir_expr_t* expr,
                                        trivet_dim_t* out_dim);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_KERNEL_IR_OPERATOR_BIND_H_
