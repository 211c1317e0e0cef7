// SPDX-License-Identifier: Apache-2.0
//
// Syntax trees of operator texts: what the parser makes and instantiation walks. For the files of
// core/kernel_ir only; others see operator_text.h. Names are unresolved: a tree knows no node.
#ifndef TRIVET_CORE_KERNEL_IR_OPERATOR_AST_H_
#define TRIVET_CORE_KERNEL_IR_OPERATOR_AST_H_

#include "core/kernel_ir/operator_text.h"

#ifdef __cplusplus
extern "C" {
#endif

// Limits of texts, so that hostile ones cost little.
#define TVI_KIR_MAX_TEXT_SIZE (1u << 22)
#define TVI_KIR_MAX_EXPR_DEPTH 100
#define TVI_KIR_MAX_TREE_DEPTH 500
#define TVI_KIR_MAX_LIST 64  // arguments, indices, ranges

// An element type as written: a type, or a variable (index into the variables of the operator, or
// of the function that it stands in).
typedef struct tvi_kir_type_ref_s {
  uint32_t dtype;     // TRIVET_DTYPE_INVALID where a variable stands
  uint32_t variable;  // TVI_KIR_NONE where a type stands
} tvi_kir_type_ref_t;

typedef enum tvi_kir_expr_kind_e {
  TVI_KIR_EXPR_INT,        // integer
  TVI_KIR_EXPR_FLOAT,      // number
  TVI_KIR_EXPR_BOOL,       // integer
  TVI_KIR_EXPR_NAME,       // name
  TVI_KIR_EXPR_PACK,       // name, as an index or an extent: "i..."
  TVI_KIR_EXPR_DIM_OF,     // name, member, integer: "x.0", also element 0 of a list attribute
  TVI_KIR_EXPR_FIELD,      // args[0], name: a part of a monoid's state
  TVI_KIR_EXPR_GRAPH_DIM,  // name: the text between $( and )
  TVI_KIR_EXPR_OPCODE,     // opcode over args; MUL over one argument: its square
  TVI_KIR_EXPR_LOGICAL,    // opcode AND or OR over bools: the right side may be left out
  TVI_KIR_EXPR_SELECT,     // args: condition, then, else
  TVI_KIR_EXPR_CALL,       // name, args: a scalar function
  TVI_KIR_EXPR_CAST,       // type, args[0]
  TVI_KIR_EXPR_SATCAST,
  TVI_KIR_EXPR_BITCAST,
  TVI_KIR_EXPR_TYPE_LIMIT,  // type; integer 0: maxof, 1: lowest, 2: epsof
  TVI_KIR_EXPR_HAS,         // name, member
  TVI_KIR_EXPR_LOAD,        // name, member, args: indices; wrap; pad
  TVI_KIR_EXPR_REDUCE,      // name: the monoid; ranges; args: the element
  TVI_KIR_EXPR_SCAN,        // the same, scan_flags
  TVI_KIR_EXPR_TUPLE,       // args; only as the element of a reduction
} tvi_kir_expr_kind_t;

// "k: K", "i: D...".
typedef struct tvi_kir_range_s {
  trivet_string_view_t name;
  bool pack;
  const tvi_kir_expr_t* extent;  // NULL in the indices of an output
} tvi_kir_range_t;

struct tvi_kir_expr_s {
  tvi_kir_expr_kind_t kind;
  uint32_t line, column;
  trivet_string_view_t name;
  uint32_t member;  // of a variadic operand; TVI_KIR_NONE
  uint16_t opcode;  // tvi_kir_opcode_t
  uint8_t wrap;     // TVI_KIR_WRAP_*, for all indices of a load
  uint8_t scan_flags;
  uint32_t depth;  // of the tree, at most TVI_KIR_MAX_TREE_DEPTH
  int64_t integer;
  double number;
  tvi_kir_type_ref_t type;
  uint32_t arg_count;
  uint32_t range_count;
  const tvi_kir_expr_t** args;
  const tvi_kir_range_t* ranges;
  const tvi_kir_expr_t* pad;  // NULL: none
};

struct tvi_kir_statement_s {
  bool is_let;
  uint32_t line, column;
  trivet_string_view_t name;
  uint32_t member;  // of a variadic output; TVI_KIR_NONE
  uint32_t index_count;
  const tvi_kir_range_t* indices;
  bool has_indices;         // brackets were written
  tvi_kir_type_ref_t type;  // both fields empty: from the expression
  const tvi_kir_expr_t* expr;
};

struct tvi_kir_monoid_decl_s {
  trivet_string_view_t name;
  uint32_t state_count;
  trivet_string_view_t state_names[TVI_KIR_MAX_STATE];
  tvi_kir_type_ref_t state_types[TVI_KIR_MAX_STATE];
  double identity[TVI_KIR_MAX_STATE];
  trivet_string_view_t left, right;
  const tvi_kir_expr_t* join[TVI_KIR_MAX_STATE];
};

struct tvi_kir_function_s {
  tvi_arena_t arena;  // of a function that stands alone; zero otherwise
  trivet_string_view_t name;
  uint32_t parameter_count;
  trivet_string_view_t parameter_names[TVI_KIR_MAX_PARAMETERS];
  tvi_kir_type_ref_t parameter_types[TVI_KIR_MAX_PARAMETERS];
  tvi_kir_type_ref_t result_type;
  uint32_t variable_count;  // of its own, bound by the arguments
  trivet_string_view_t variables[TVI_KIR_MAX_PARAMETERS];
  const tvi_kir_expr_t* body;
  const tvi_kir_device_t* device;  // NULL: no code of its own
};

// ---- Tokens ----

typedef enum tvi_kir_token_kind_e {
  TVI_KIR_TOKEN_END,
  TVI_KIR_TOKEN_NEWLINE,
  TVI_KIR_TOKEN_NAME,
  TVI_KIR_TOKEN_INT,
  TVI_KIR_TOKEN_FLOAT,
  TVI_KIR_TOKEN_STRING,
  TVI_KIR_TOKEN_DIM,     // text between $( and )
  TVI_KIR_TOKEN_SYMBOL,  // one or two characters
  TVI_KIR_TOKEN_ELLIPSIS,
} tvi_kir_token_kind_t;

typedef struct tvi_kir_token_s {
  tvi_kir_token_kind_t kind;
  uint32_t line, column;
  trivet_string_view_t text;  // of a STRING: between the quotes
} tvi_kir_token_t;

typedef struct tvi_kir_parser_s {
  tvi_arena_t* arena;
  const tvi_kir_token_t* tokens;  // the last is END
  uint32_t at;
  int depth;
  trivet_status_t status;  // first error
  // Where names are looked up.
  const tvi_kir_operator_t* op;                 // its signature; NULL while none
  const tvi_kir_function_t* function;           // the function whose body is parsed
  const tvi_kir_monoid_decl_t* const* monoids;  // declared so far in this text
  uint32_t monoid_count;
} tvi_kir_parser_t;

// Cuts |text| into tokens in |arena|. The views point into |text|.
trivet_status_t tvi_kir_tokenize(trivet_string_view_t text, tvi_arena_t* arena,
                                 const tvi_kir_token_t** out_tokens);

// Helpers on the token stream. All are harmless after an error.
static inline const tvi_kir_token_t* tvi_kir_peek(const tvi_kir_parser_t* parser) {
  return &parser->tokens[parser->at];
}
// Token |ahead| of the current one; END past the end.
const tvi_kir_token_t* tvi_kir_peek_at(const tvi_kir_parser_t* parser, uint32_t ahead);
bool tvi_kir_is_symbol(const tvi_kir_parser_t* parser, const char* symbol);
bool tvi_kir_is_name(const tvi_kir_parser_t* parser, const char* name);
bool tvi_kir_accept_symbol(tvi_kir_parser_t* parser, const char* symbol);
bool tvi_kir_accept_name(tvi_kir_parser_t* parser, const char* name);
// False and an error "... expected" when something else stands there.
bool tvi_kir_expect_symbol(tvi_kir_parser_t* parser, const char* symbol);
bool tvi_kir_expect_name(tvi_kir_parser_t* parser, trivet_string_view_t* out_name);
bool tvi_kir_expect_u32(tvi_kir_parser_t* parser, uint32_t* out_value);
// Records the first error, with the place of |token|. Returns false.
bool tvi_kir_parse_error(tvi_kir_parser_t* parser, const tvi_kir_token_t* token, const char* format,
                         ...) TRIVET_PRINTF_FORMAT(3, 4);
// Takes a status into the parser; true when it is OK.
bool tvi_kir_parse_ok(tvi_kir_parser_t* parser, trivet_status_t status);

// "f32", "T": false when the token names no type that is known here.
bool tvi_kir_find_type(const tvi_kir_parser_t* parser, trivet_string_view_t name,
                       tvi_kir_type_ref_t* out_type);
// A name of our own memory, NUL-terminated.
bool tvi_kir_keep_name(tvi_kir_parser_t* parser, trivet_string_view_t name,
                       trivet_string_view_t* out_name);
// A number with sign, "inf" and "nan" included.
bool tvi_kir_parse_number(tvi_kir_parser_t* parser, double* out_number);

// A copy of |bytes| bytes in the arena; |out_copy| is the address of a pointer, of any type.
bool tvi_kir_parse_copy(tvi_kir_parser_t* parser, const void* from, size_t bytes,
                        const void* out_copy);
void tvi_kir_skip_newlines(tvi_kir_parser_t* parser);
// A line or the text ends here.
bool tvi_kir_expect_line_end(tvi_kir_parser_t* parser);

// operator_signature.c: a signature that is read, with what must be looked up when attributes are
// known.
typedef struct tvi_kir_signature_s {
  tvi_kir_operator_t* op;
  tvi_kir_type_variable_t variables[TVI_KIR_MAX_TYPE_VARIABLES];
  trivet_string_view_t fixed_by[TVI_KIR_MAX_TYPE_VARIABLES];  // attribute named in "T = to"
  const tvi_kir_token_t* fixed_at[TVI_KIR_MAX_TYPE_VARIABLES];
  trivet_string_view_t extent_names[TVI_KIR_MAX_LIST];
} tvi_kir_signature_t;
// "acme.LayerNorm": names with dots between them.
bool tvi_kir_parse_operator_name(tvi_kir_parser_t* parser, trivet_string_view_t* out_name);
bool tvi_kir_parse_signature(tvi_kir_parser_t* parser, tvi_kir_signature_t* signature);
bool tvi_kir_resolve_fixed_types(tvi_kir_parser_t* parser, tvi_kir_signature_t* signature);

// operator_expression.c: NULL after an error.
const tvi_kir_expr_t* tvi_kir_parse_expression(tvi_kir_parser_t* parser);
bool tvi_kir_parse_ranges(tvi_kir_parser_t* parser, const char* close, bool extents,
                          uint32_t* out_count, const tvi_kir_range_t** out_ranges);
// Operand of that name; *out_variadic. NULL: none.
const tvi_kir_operand_t* tvi_kir_find_operand(const tvi_kir_operator_t* op,
                                              trivet_string_view_t name);

// operator_graph.c: the lines up to "}" or the end.
bool tvi_kir_parse_graph_lines(tvi_kir_parser_t* parser, tvi_kir_body_t* body);
// A literal; |kind| 0: whatever stands there. False also where a name stands that is none.
bool tvi_kir_parse_literal(tvi_kir_parser_t* parser, const char* name, uint32_t kind,
                           uint32_t flags, const trivet_attribute_t** out_attribute);

// Reductions that every text knows; TVI_KIR_DECLARED when |name| is none of them. *out_mean:
// "mean".
tvi_kir_monoid_kind_t tvi_kir_builtin_monoid(trivet_string_view_t name, bool* out_mean);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_KERNEL_IR_OPERATOR_AST_H_
