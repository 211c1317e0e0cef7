// SPDX-License-Identifier: Apache-2.0
//
// Operator declarations as read from text (docs/kernel_ir.md): signature, attributes and body. The
// registry parses each declaration once and keeps it; nodes are checked and instantiated against it
// (operator_instance.h). Parsing knows no node: no rank, element type or attribute value.
#ifndef TRIVET_CORE_KERNEL_IR_OPERATOR_TEXT_H_
#define TRIVET_CORE_KERNEL_IR_OPERATOR_TEXT_H_

#include "core/base/arena.h"
#include "core/kernel_ir/kernel_ir.h"

#ifdef __cplusplus
extern "C" {
#endif

// Most operands of one side of a signature, attributes, and type variables.
#define TVI_KIR_MAX_OPERANDS 64
#define TVI_KIR_MAX_TYPE_VARIABLES 16

typedef struct tvi_kir_expr_s tvi_kir_expr_t;  // core/kernel_ir/operator_ast.h

// One entry between the brackets of an operand.
typedef enum tvi_kir_extent_kind_e {
  TVI_KIR_EXTENT_NAME = 0,   // binds or must equal |name|
  TVI_KIR_EXTENT_EXPR = 1,   // a constant or an expression over bound extents and attributes
  TVI_KIR_EXTENT_PACK = 2,   // any number of dimensions
  TVI_KIR_EXTENT_BCAST = 3,  // the same, broadcastable to the pack
} tvi_kir_extent_kind_t;

typedef struct tvi_kir_extent_s {
  tvi_kir_extent_kind_t kind;
  uint32_t name;  // index into the operator's extent names; TVI_KIR_NONE for EXPR
  const tvi_kir_expr_t* expr;
} tvi_kir_extent_t;

typedef struct tvi_kir_operand_s {
  trivet_string_view_t name;  // NUL-terminated
  bool optional;
  bool variadic;           // the last of its side
  bool any_rank;           // [*]
  uint32_t dtype;          // TRIVET_DTYPE_INVALID where a variable stands
  uint32_t type_variable;  // TVI_KIR_NONE where a type stands
  uint32_t extent_count;
  const tvi_kir_extent_t* extents;
} tvi_kir_operand_t;

typedef struct tvi_kir_type_variable_s {
  trivet_string_view_t name;
  uint64_t dtypes;     // bit i: the element type i is allowed
  uint32_t attribute;  // "T = to": the attribute that fixes it, or TVI_KIR_NONE
} tvi_kir_type_variable_t;

typedef struct tvi_kir_attribute_s {
  trivet_string_view_t name;                // NUL-terminated
  uint32_t kind;                            // TRIVET_ATTR_*
  uint32_t flags;                           // TRIVET_ATTR_LIST
  bool required;                            // neither default nor "?"
  const trivet_attribute_t* default_value;  // NULL: none
} tvi_kir_attribute_t;

// A line of a graph body: %outputs = op(%inputs) { attributes }.
typedef struct tvi_kir_graph_attribute_s {
  trivet_string_view_t name;  // NUL-terminated
  const trivet_attribute_t*
      value;           // a literal; NULL: the attribute |reference| of the operator itself
  uint32_t reference;  // index into the operator's attributes (absent there: absent here)
} tvi_kir_graph_attribute_t;

typedef struct tvi_kir_graph_line_s {
  uint32_t line;
  trivet_string_view_t op;  // "std.MatMul"
  uint32_t version;         // 0: newest
  uint32_t output_count;
  const trivet_string_view_t* outputs;  // names without %; "_" where not asked for
  uint32_t input_count;
  const trivet_string_view_t* inputs;  // names without %; empty: absent operand. "x:1" is member 1
                                       // of a variadic x, "x..." all of it
  uint32_t attribute_count;
  const tvi_kir_graph_attribute_t* attributes;
} tvi_kir_graph_line_t;

typedef struct tvi_kir_statement_s tvi_kir_statement_t;
typedef struct tvi_kir_monoid_decl_s tvi_kir_monoid_decl_t;

// A scalar function: declared in an operator, or by a plugin for all.
typedef struct tvi_kir_function_s tvi_kir_function_t;

// Finds a scalar function by name ("mish", "acme.mish"); NULL: unknown. The result outlives every
// use of the operator.
typedef struct tvi_kir_function_lookup_s {
  void* self;
  const tvi_kir_function_t* (*find)(void* self, trivet_string_view_t name);
} tvi_kir_function_lookup_t;

// What an operator or a lower hook says: statements or a graph.
typedef enum tvi_kir_body_kind_e {
  TVI_KIR_BODY_NONE = 0,        // a signature only: hooks say the rest
  TVI_KIR_BODY_STATEMENTS = 1,  // kernel IR
  TVI_KIR_BODY_GRAPH = 2,
} tvi_kir_body_kind_t;

typedef struct tvi_kir_body_s {
  tvi_kir_body_kind_t kind;
  uint32_t statement_count;
  const tvi_kir_statement_t* statements;
  uint32_t function_count;
  const tvi_kir_function_t* const* functions;
  uint32_t monoid_count;
  const tvi_kir_monoid_decl_t* const* monoids;
  uint32_t line_count;
  const tvi_kir_graph_line_t* lines;
} tvi_kir_body_t;

typedef struct tvi_kir_operator_s {
  tvi_arena_t arena;          // holds everything below
  trivet_string_view_t name;  // "acme.LayerNorm", NUL-terminated
  uint32_t version;
  uint32_t input_count;
  const tvi_kir_operand_t* inputs;
  uint32_t output_count;
  const tvi_kir_operand_t* outputs;
  uint32_t type_variable_count;
  const tvi_kir_type_variable_t* type_variables;
  uint32_t extent_name_count;
  const trivet_string_view_t* extent_names;
  uint32_t attribute_count;
  const tvi_kir_attribute_t* attributes;
  tvi_kir_body_t body;
} tvi_kir_operator_t;

// Parses a declaration. Errors are INVALID_ARGUMENT and read "line 3, column 14: ...". The operator
// copies what it keeps of |text|; immutable and shared by threads until destroyed.
trivet_status_t tvi_kir_operator_parse(trivet_string_view_t text, trivet_allocator_t allocator,
                                       tvi_kir_operator_t** out_operator);
void tvi_kir_operator_destroy(tvi_kir_operator_t* op);  // accepts NULL

// Parses what a lower hook printed for one node of |op|: statements, or with |graph| the lines of a
// graph (also with "graph { }" around). The result lies in |arena|.
trivet_status_t tvi_kir_body_parse(const tvi_kir_operator_t* op, trivet_string_view_t text,
                                   bool graph, tvi_arena_t* arena, const tvi_kir_body_t** out_body);

// Parses "fn name(x: f32) -> f32 = ..." of a plugin, in memory of its own.
trivet_status_t tvi_kir_function_parse(trivet_string_view_t text, trivet_allocator_t allocator,
                                       tvi_kir_function_t** out_function);
void tvi_kir_function_destroy(tvi_kir_function_t* function);  // accepts NULL
trivet_string_view_t tvi_kir_function_name(const tvi_kir_function_t* function);
// Gives the function the code that it is called by on CUDA; texts are copied. Calls whose result is
// no float keep the expanded meaning.
trivet_status_t tvi_kir_function_set_device(tvi_kir_function_t* function, const char* name,
                                            const char* plugin, const char* cuda);

// The attribute's declaration; NULL when there is none of that name.
const tvi_kir_attribute_t* tvi_kir_operator_attribute(const tvi_kir_operator_t* op,
                                                      trivet_string_view_t name);

// The signature as text, one line: for listings and error messages.
trivet_status_t tvi_kir_signature_print(const tvi_kir_operator_t* op,
                                        tvi_string_builder_t* builder);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_KERNEL_IR_OPERATOR_TEXT_H_
