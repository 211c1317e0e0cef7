// SPDX-License-Identifier: Apache-2.0
//
// What turning statements into stages is made of: names in scope, a body under construction, lets,
// lifted reductions. Shared by operator_lower.c, operator_eval.c and operator_reduce.c alone.
#ifndef TRIVET_CORE_KERNEL_IR_OPERATOR_LOWER_H_
#define TRIVET_CORE_KERNEL_IR_OPERATOR_LOWER_H_

#include "core/kernel_ir/builder.h"
#include "core/kernel_ir/operator_bind.h"

#define TVI_KIR_MAX_NAMES 96  // in one scope

typedef enum tvi_kir_name_kind_e {
  TVI_KIR_NAME_INDEX,
  TVI_KIR_NAME_PACK,
  TVI_KIR_NAME_VALUE,  // parameter of a function
  TVI_KIR_NAME_STATE,  // operand of a join
} tvi_kir_name_kind_t;

typedef struct tvi_kir_name_entry_s {
  trivet_string_view_t name;
  tvi_kir_name_kind_t kind;
  uint32_t first;  // slot of an index; first slot of a pack; instruction of a value or state
  uint32_t count;  // of a pack
  const tvi_kir_monoid_decl_t* monoid;  // of a state
} tvi_kir_name_entry_t;

// The indices and local names of one statement. Its own indices have the slots 0, 1, ...; those of
// reductions follow while they are open.
typedef struct tvi_kir_name_scope_s {
  tvi_kir_name_entry_t entries[TVI_KIR_MAX_NAMES];
  uint32_t entry_count;
  uint32_t visible_from;  // entries before it are hidden (within a function)
  uint32_t slot_count;
  trivet_dim_t extents[TVI_KIR_MAX_INDICES];
} tvi_kir_name_scope_t;

// One body under construction.
typedef struct tvi_kir_frame_s {
  tvi_kir_builder_t builder;
  tvi_kir_name_scope_t* scope;
} tvi_kir_frame_t;

typedef enum tvi_kir_let_kind_e {
  TVI_KIR_LET_WAITING,  // not read so far
  TVI_KIR_LET_OPEN,     // being made
  TVI_KIR_LET_VALUE,
  TVI_KIR_LET_CONSTANT,
  TVI_KIR_LET_STATE,  // of a monoid with parts
} tvi_kir_let_kind_t;

typedef struct tvi_kir_let_s {
  tvi_kir_let_kind_t kind;
  uint32_t values[TVI_KIR_MAX_STATE];
  tvi_kir_instr_t constant;
  const tvi_kir_monoid_t* monoid;  // STATE
  uint32_t index_count;            // dimensions as declared
  uint32_t used_count;             // STATE: which of them its values have
  uint8_t used[TVI_KIR_MAX_INDICES];
} tvi_kir_let_t;

typedef struct tvi_kir_lower_s {
  tvi_kir_binding_t* binding;
  const tvi_kir_node_t* node;
  const tvi_kir_body_t* body;  // the statements; NULL when only extents are evaluated
  tvi_arena_t* arena;          // of the result
  tvi_arena_t* scratch;
  tvi_kir_program_t* program;
  tvi_kir_let_t* lets;
  uint32_t* input_values;
  uint32_t* output_values;
  const uint8_t* output_done;
  uint32_t statement;  // being instantiated: lets before it are visible
  uint32_t temp_count;
  uint32_t call_depth;
  uint32_t steps;
  const tvi_kir_function_t* function;  // whose body is being expanded
  uint32_t function_types[TVI_KIR_MAX_PARAMETERS];
  trivet_status_t status;  // first error
} tvi_kir_lower_t;

// A reduction as a stage.
typedef struct tvi_kir_lifted_s {
  uint32_t values[TVI_KIR_MAX_STATE];
  const tvi_kir_monoid_t* monoid;
  uint32_t slot_count;
  uint8_t slots[TVI_KIR_MAX_INDICES];  // of the outer scope, one per dimension of the values
} tvi_kir_lifted_t;

static inline uint32_t tvi_kir_frame_dtype(const tvi_kir_frame_t* frame, tvi_kir_ref_t ref) {
  return frame->builder.instrs[ref].dtype;
}

// ---- operator_lower.c: errors, names, lets ----

// Records the first error, with the place of |expr|. Returns false.
bool tvi_kir_lower_fail(tvi_kir_lower_t* l, const tvi_kir_expr_t* expr, const char* format, ...)
    TRIVET_PRINTF_FORMAT(3, 4);
// Takes a status; true when it is OK.
bool tvi_kir_lower_ok(tvi_kir_lower_t* l, trivet_status_t status);
// Passes |ref| on; where it is TVI_KIR_NONE, the builder's failure becomes ours.
tvi_kir_ref_t tvi_kir_lower_check(tvi_kir_lower_t* l, tvi_kir_frame_t* f,
                                  const tvi_kir_expr_t* expr, tvi_kir_ref_t ref);
void tvi_kir_frame_init(tvi_kir_lower_t* l, tvi_kir_frame_t* f, tvi_kir_name_scope_t* scope,
                        uint32_t conditional);
const tvi_kir_name_entry_t* tvi_kir_find_entry(const tvi_kir_name_scope_t* scope,
                                               trivet_string_view_t name);
tvi_kir_name_entry_t* tvi_kir_add_entry(tvi_kir_lower_t* l, tvi_kir_name_scope_t* scope,
                                        const tvi_kir_expr_t* place, trivet_string_view_t name,
                                        tvi_kir_name_kind_t kind);
bool tvi_kir_add_slots(tvi_kir_lower_t* l, tvi_kir_name_scope_t* scope, const tvi_kir_expr_t* place,
                       const trivet_dim_t* dims, uint32_t count);
bool tvi_kir_resolve_type(tvi_kir_lower_t* l, const tvi_kir_expr_t* place, tvi_kir_type_ref_t type,
                          uint32_t* out_dtype);
// The bound extent called |name|; NULL: none. Functions see parameters only.
const tvi_kir_extent_binding_t* tvi_kir_find_extent(const tvi_kir_lower_t* l,
                                                    trivet_string_view_t name);
// Position of an operand among the inputs or outputs of the node. False: no operand of that name,
// or an error.
bool tvi_kir_node_operand(tvi_kir_lower_t* l, const tvi_kir_expr_t* expr, bool* out_is_input,
                          uint32_t* out_index, const tvi_kir_operand_t** out_operand);
const trivet_type_t* tvi_kir_operand_type(const tvi_kir_lower_t* l, bool is_input, uint32_t index);
bool tvi_kir_make_let(tvi_kir_lower_t* l, uint32_t index);
bool tvi_kir_new_temp(tvi_kir_lower_t* l, const char* name, uint32_t dtype,
                      const trivet_dim_t* dims, uint32_t rank, uint32_t* out_value);

// ---- operator_eval.c: expressions ----

// The instruction of an expression; |expected| is the type that literals take
// (TRIVET_DTYPE_INVALID: their own). TVI_KIR_NONE after an error.
tvi_kir_ref_t tvi_kir_lower_eval(tvi_kir_lower_t* l, tvi_kir_frame_t* f, const tvi_kir_expr_t* expr,
                                 uint32_t expected);
// The let that |expr| names and that is visible here, made if need be; NULL: none (or an error).
const tvi_kir_let_t* tvi_kir_find_let(tvi_kir_lower_t* l, const tvi_kir_expr_t* expr);
tvi_kir_ref_t tvi_kir_load_let(tvi_kir_lower_t* l, tvi_kir_frame_t* f, const tvi_kir_expr_t* expr,
                               const tvi_kir_let_t* let, uint32_t part);
// The value of an expression that must be an extent.
bool tvi_kir_extent_of(tvi_kir_lower_t* l, tvi_kir_frame_t* f, const tvi_kir_expr_t* expr,
                       trivet_dim_t* out_dim);

// ---- operator_reduce.c: reductions ----

// Brings the indices of ranges into scope, as the next slots.
bool tvi_kir_open_ranges(tvi_kir_lower_t* l, tvi_kir_frame_t* f, const tvi_kir_expr_t* place,
                         const tvi_kir_range_t* ranges, uint32_t count);
// Makes the stage of a reduction or scan and names the slots that its values depend on.
bool tvi_kir_lift(tvi_kir_lower_t* l, tvi_kir_frame_t* f, const tvi_kir_expr_t* expr,
                  tvi_kir_lifted_t* out);
tvi_kir_ref_t tvi_kir_eval_reduce(tvi_kir_lower_t* l, tvi_kir_frame_t* f,
                                  const tvi_kir_expr_t* expr);
// "base.name": a part of a state.
tvi_kir_ref_t tvi_kir_eval_field(tvi_kir_lower_t* l, tvi_kir_frame_t* f,
                                 const tvi_kir_expr_t* expr);

#endif  // TRIVET_CORE_KERNEL_IR_OPERATOR_LOWER_H_
