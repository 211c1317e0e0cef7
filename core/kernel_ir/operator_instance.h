// SPDX-License-Identifier: Apache-2.0
//
// From an operator's declaration and the facts about one node to what the node computes: operands
// and attributes are checked, output types inferred, and the text becomes a concrete program with
// packs expanded, types bound and constants folded. Stands between graph and targets; knows
// neither.
#ifndef TRIVET_CORE_KERNEL_IR_OPERATOR_INSTANCE_H_
#define TRIVET_CORE_KERNEL_IR_OPERATOR_INSTANCE_H_

#include "core/kernel_ir/operator_text.h"

#ifdef __cplusplus
extern "C" {
#endif

// What is known about a node. All memory is the caller's and is only read.
typedef struct tvi_kir_node_s {
  const tvi_kir_operator_t* op;
  tvi_dim_context_t* dims;
  uint32_t input_count;                // trailing absent operands may be left out
  const trivet_type_t* const* inputs;  // NULL entry: absent
  uint32_t output_count;               // trailing outputs that nobody asks for may be left out
  const uint8_t* output_wanted;  // one per output, 0: nobody asks for it; NULL: all are wanted
  const trivet_type_t* outputs;  // instantiate only: the types, one per output
  const trivet_attribute_t* attributes;
  uint32_t attribute_count;
  const tvi_kir_function_lookup_t* functions;  // scalar functions of plugins; may be NULL
} tvi_kir_node_t;

// Two extents that were taken to be equal and are not the same expression: the caller checks them
// when shapes are bound (or right away where both are constants it can prove).
typedef struct tvi_kir_assumption_s {
  trivet_dim_t a;
  trivet_dim_t b;
} tvi_kir_assumption_t;

typedef struct tvi_kir_assumptions_s {
  uint32_t count;
  const tvi_kir_assumption_t* items;
} tvi_kir_assumptions_t;

typedef struct tvi_kir_instance_s {
  tvi_kir_program_t* program;     // inputs have their position in the node as tag, outputs too
  const uint32_t* input_values;   // value of each input of the node; TVI_KIR_NONE where absent
  const uint32_t* output_values;  // value of each output; TVI_KIR_NONE where not wanted
  tvi_kir_assumptions_t assumptions;
} tvi_kir_instance_t;

// Checks operand counts, types, ranks and extents, and attributes, against the signature.
// INVALID_ARGUMENT names the operator, the operand or attribute and what was expected.
trivet_status_t tvi_kir_node_check(const tvi_kir_node_t* node);

// The attribute called |name| of the node, or its declared default; NULL: absent and without
// default, or not declared.
const trivet_attribute_t* tvi_kir_node_attribute(const tvi_kir_node_t* node,
                                                 trivet_string_view_t name);

// Types of the outputs as the signature states them (node->output_count of them; those not wanted
// are filled as well where the signature can). Checks the node first. An output with [*], or a type
// variable that no operand binds, is FAILED_PRECONDITION: the infer hook must speak.
trivet_status_t tvi_kir_node_infer(const tvi_kir_node_t* node, tvi_arena_t* arena,
                                   trivet_type_t* out_types,
                                   tvi_kir_assumptions_t* out_assumptions);

// The program of the node, in |arena|. |lowered| is what the lower hook printed
// (tvi_kir_body_parse), or NULL: the operator's own body. A body that is a graph is
// FAILED_PRECONDITION. Outputs that are not wanted and what only they need are left out.
trivet_status_t tvi_kir_node_instantiate(const tvi_kir_node_t* node, const tvi_kir_body_t* lowered,
                                         tvi_arena_t* arena, tvi_kir_instance_t* out_instance);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_KERNEL_IR_OPERATOR_INSTANCE_H_
