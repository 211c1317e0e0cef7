// SPDX-License-Identifier: Apache-2.0
//
// trivet/plugin.h: everything that an extension of Trivet includes. An extension is one shared
// object with one exported symbol, trivet_plugin_query, and links nothing of Trivet: what it needs
// from the host arrives through handles.
//
// Rules that hold for the whole file
//  - A handle is a pointer to a struct whose first member is a pointer to a constant function
//    table. The inline functions below are the way to call it; plugins never keep a handle beyond
//    the callback that received it.
//  - Every struct that crosses begins with trivet_header_t. Fields are only appended; a reader
//    tests TRIVET_HAS_FIELD before a field newer than the first release. Types are fixed-width
//    integers, pointers and function pointers.
//  - Definitions are constant data of the plugin; the host keeps pointers to them until the
//    registry is destroyed.
//  - Strings in definitions are NUL-terminated UTF-8 constants; elsewhere lifetimes are stated.
//  - No C++ exception and no longjmp crosses. Every callback may be called from any thread;
//    definitions are shared, so callbacks keep no mutable state outside the handles they are given.
//  - The major version is 1: what is here stays. Only appends come; plugins of major 0 and 1 load
//    into every later host of major 1 (docs/abi.md).
#ifndef TRIVET_PLUGIN_H_
#define TRIVET_PLUGIN_H_

#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TRIVET_ABI_MAJOR 1u  // bumped by any change that is not an append
#define TRIVET_ABI_MINOR 4u  // bumped by every append; goes on where 0 ended

// Struct types (trivet_header_t.struct_type). Values are never reused.
#define TRIVET_STRUCT_PLUGIN 0x54500001u
#define TRIVET_STRUCT_OPERATOR 0x54500002u
#define TRIVET_STRUCT_KERNEL 0x54500003u
#define TRIVET_STRUCT_PASS 0x54500004u
#define TRIVET_STRUCT_REWRITE 0x54500005u
#define TRIVET_STRUCT_FRONTEND 0x54500006u
#define TRIVET_STRUCT_TARGET 0x54500007u
#define TRIVET_STRUCT_SCALAR_FUNCTION 0x54500008u
#define TRIVET_STRUCT_CALIBRATOR 0x54500009u
#define TRIVET_STRUCT_ATTRIBUTE 0x5450000au
#define TRIVET_STRUCT_TYPE 0x5450000bu
#define TRIVET_STRUCT_TENSOR 0x5450000cu
#define TRIVET_STRUCT_ORIGIN 0x5450000du
#define TRIVET_STRUCT_DEVICE 0x5450000eu
#define TRIVET_STRUCT_DEVICE_INFO 0x5450000fu
#define TRIVET_STRUCT_DEVICE_CODE 0x54500010u

// Halves of a definition: what it is needed for. A runtime without compiler ignores definitions
// without TRIVET_HALF_RUN.
#define TRIVET_HALF_BUILD 1u
#define TRIVET_HALF_RUN 2u

// -------------------------------------------------------------------------------------------------
// Dimensions: interned symbolic integer expressions. Two equal expressions of one graph are the
// same pointer. A dimension lives as long as its graph. Arithmetic saturates nowhere: an overflow
// yields NULL, and every consumer accepts NULL by returning an error.
// -------------------------------------------------------------------------------------------------
typedef const struct trivet_dim_s* trivet_dim_t;

#define TRIVET_DIM_ADD 1u
#define TRIVET_DIM_SUB 2u
#define TRIVET_DIM_MUL 3u
#define TRIVET_DIM_FLOORDIV 4u  // towards minus infinity
#define TRIVET_DIM_CEILDIV 5u
#define TRIVET_DIM_MOD 6u  // sign of the divisor
#define TRIVET_DIM_MIN 7u
#define TRIVET_DIM_MAX 8u

#define TRIVET_MAX_RANK 12u

// Type of a value: element type and shape.
typedef struct trivet_type_s {
  uint32_t dtype;  // TRIVET_DTYPE_*
  uint32_t rank;   // 0 .. TRIVET_MAX_RANK
  trivet_dim_t dims[TRIVET_MAX_RANK];
} trivet_type_t;

// -------------------------------------------------------------------------------------------------
// Attributes: typed key/values, checked against the operator's declaration when a node is made.
// -------------------------------------------------------------------------------------------------
#define TRIVET_ATTR_I64 1u     // data: int64_t[count]
#define TRIVET_ATTR_F32 2u     // data: double[count] (an f32 attribute is exact in a double)
#define TRIVET_ATTR_STRING 3u  // data: trivet_string_view_t[count]
#define TRIVET_ATTR_DTYPE 4u   // data: uint32_t[count], TRIVET_DTYPE_*
#define TRIVET_ATTR_TENSOR 5u  // data: trivet_tensor_t[count]
#define TRIVET_ATTR_GRAPH 6u   // data: uint32_t[count], ids from begin_subgraph

#define TRIVET_ATTR_LIST 1u  // flag: a list (also of one element); without it count is 1

typedef struct trivet_attribute_s {
  const char* name;
  uint32_t kind;   // TRIVET_ATTR_*
  uint32_t flags;  // TRIVET_ATTR_LIST
  uint64_t count;
  const void* data;  // copied by the callee
} trivet_attribute_t;

// A dense row-major tensor in host memory. 4- and 2-bit types are packed, low bits first.
typedef struct trivet_tensor_s {
  uint32_t dtype;
  uint32_t rank;
  int64_t dims[TRIVET_MAX_RANK];
  void* data;     // strings: trivet_string_view_t[]
  uint64_t size;  // bytes at |data|
} trivet_tensor_t;

// Where something came from; shown in errors, explain, profile and dumps. Views are copied by the
// callee.
typedef struct trivet_origin_s {
  trivet_string_view_t file;
  trivet_string_view_t node;  // name of the node in the model
  trivet_string_view_t op;    // operator as the model calls it, "ai.onnx.Conv"
} trivet_origin_t;

// -------------------------------------------------------------------------------------------------
// Node view: what the infer and lower hooks of an operator see of one node.
// -------------------------------------------------------------------------------------------------
typedef struct trivet_node_view_s trivet_node_view_t;

typedef struct trivet_node_view_api_s {
  uint32_t struct_size;
  uint32_t abi_minor;
  uint32_t (*input_count)(const trivet_node_view_t* view);
  uint32_t (*output_count)(const trivet_node_view_t* view);  // outputs asked for
  // Type of input |index|, NULL if the operand is absent. Valid during the callback.
  const trivet_type_t* (*input_type)(const trivet_node_view_t* view, uint32_t index);
  // Contents of a small integer or bool input (at most 1024 elements) as dimensions, row-major;
  // NULL if unknown at build time.
  const trivet_dim_t* (*input_ints)(const trivet_node_view_t* view, uint32_t index,
                                    uint64_t* out_count);
  // A constant input's contents; NULL if not constant.
  const trivet_tensor_t* (*input_constant)(const trivet_node_view_t* view, uint32_t index);
  // Attribute by name with the declared default applied; NULL: optional and absent, or not
  // declared.
  const trivet_attribute_t* (*attribute)(const trivet_node_view_t* view, const char* name);
  // Output type: in infer what was set so far, in lower what infer decided. NULL: output not asked
  // for.
  const trivet_type_t* (*output_type)(const trivet_node_view_t* view, uint32_t index);
  trivet_dim_t (*dim_constant)(trivet_node_view_t* view, int64_t value);
  trivet_dim_t (*dim_binary)(trivet_node_view_t* view, uint32_t op, trivet_dim_t a, trivet_dim_t b);
  // 1 and the value if |dim| is a constant.
  uint32_t (*dim_value)(const trivet_node_view_t* view, trivet_dim_t dim, int64_t* out_value);
  // Range that |dim| is known to lie in (from profiles and symbol bounds).
  void (*dim_range)(const trivet_node_view_t* view, trivet_dim_t dim, int64_t* out_min,
                    int64_t* out_max);
  // A new symbol for a size that is known only after the node has run, between 0 and |upper|.
  trivet_dim_t (*dim_data_dependent)(trivet_node_view_t* view, const char* name,
                                     trivet_dim_t upper);
  // infer only: states the type of output |index|.
  trivet_status_t (*set_output)(trivet_node_view_t* view, uint32_t index, uint32_t dtype,
                                uint32_t rank, const trivet_dim_t* dims);
  // infer only: states the contents of a small integer output as dimensions (Shape, for example).
  trivet_status_t (*set_output_ints)(trivet_node_view_t* view, uint32_t index,
                                     const trivet_dim_t* values, uint64_t count);
  // lower only: appends printf-formatted kernel-IR (or graph) text; see docs/kernel_ir.md, section
  // 7.
  trivet_status_t (*emit)(trivet_node_view_t* view, const char* format, ...)
      TRIVET_PRINTF_FORMAT(2, 3);
  // Text of a dimension for emit, "$(batch*3)"; valid during the callback.
  const char* (*dim_text)(trivet_node_view_t* view, trivet_dim_t dim);
  // An error that names the node, its operator and origin. The printf-formatted rest says what is
  // wrong.
  trivet_status_t (*error)(const trivet_node_view_t* view, uint32_t code, const char* format, ...)
      TRIVET_PRINTF_FORMAT(3, 4);
  // Types of the outputs of a graph attribute, for operators that hold subgraphs; NULL past the
  // end.
  const trivet_type_t* (*subgraph_output_type)(const trivet_node_view_t* view,
                                               const char* attribute, uint32_t index);
} trivet_node_view_api_t;

struct trivet_node_view_s {
  const trivet_node_view_api_t* api;
};

// Evaluation: what the evaluate hook of an operator sees. Inputs are host tensors; outputs are
// allocated on request.
typedef struct trivet_evaluation_s trivet_evaluation_t;

typedef struct trivet_evaluation_api_s {
  uint32_t struct_size;
  uint32_t abi_minor;
  uint32_t (*input_count)(const trivet_evaluation_t* evaluation);
  uint32_t (*output_count)(const trivet_evaluation_t* evaluation);
  const trivet_tensor_t* (*input)(const trivet_evaluation_t* evaluation,
                                  uint32_t index);  // NULL: absent
  const trivet_attribute_t* (*attribute)(const trivet_evaluation_t* evaluation, const char* name);
  // Memory for output |index| (NULL tensor if the output was not asked for). Its contents are
  // undefined; all of it must be written. Each extent is at most what infer promised.
  trivet_status_t (*output)(trivet_evaluation_t* evaluation, uint32_t index, uint32_t dtype,
                            uint32_t rank, const int64_t* dims, trivet_tensor_t** out_tensor);
  // Scratch memory that lives until the callback returns.
  trivet_status_t (*scratch)(trivet_evaluation_t* evaluation, uint64_t size, void** out_memory);
  trivet_status_t (*error)(const trivet_evaluation_t* evaluation, uint32_t code, const char* format,
                           ...) TRIVET_PRINTF_FORMAT(3, 4);
} trivet_evaluation_api_t;

struct trivet_evaluation_s {
  const trivet_evaluation_api_t* api;
};

// -------------------------------------------------------------------------------------------------
// Operator: what a node means, on no device in particular. States its meaning in exactly one of
// three forms: kernel-IR statements (in |text| or by |lower|), a graph of other operators
// (likewise), or a host function (|evaluate|).
// -------------------------------------------------------------------------------------------------
#define TRIVET_OPERATOR_IMPURE \
  1u  // has effects or draws random numbers: never merged, folded or dropped when used
#define TRIVET_OPERATOR_NONDETERMINISTIC 2u
#define TRIVET_OPERATOR_COMMUTATIVE 4u      // the first two operands may be swapped
#define TRIVET_OPERATOR_LOWERS_TO_GRAPH 8u  // |lower| prints the lines of a graph, not kernel IR

typedef struct trivet_operator_s {
  trivet_header_t header;
  const char* name;     // "acme.LayerNorm": namespace, dot, name; equals the name in |text|
  const char* text;     // declaration, see docs/kernel_ir.md
  const char* summary;  // one line, shown by the tools
  uint32_t version;     // equals the version in |text|
  uint32_t flags;       // TRIVET_OPERATOR_*
  void* self;
  // Optional: NULL means that types and shapes follow from |text|.
  trivet_status_t (*infer)(const struct trivet_operator_s* op, trivet_node_view_t* view);
  // Optional: NULL means that |text| holds the whole meaning, or that |evaluate| does.
  trivet_status_t (*lower)(const struct trivet_operator_s* op, trivet_node_view_t* view);
  // Optional: NULL means that kernel IR or graph says it all.
  trivet_status_t (*evaluate)(const struct trivet_operator_s* op, trivet_evaluation_t* evaluation);
} trivet_operator_t;

// -------------------------------------------------------------------------------------------------
// Graph builder: how a frontend makes a graph.
// -------------------------------------------------------------------------------------------------
typedef uint32_t
    trivet_value_t;  // id of a value in the graph being built; 0: none (absent operand)

typedef struct trivet_graph_builder_s trivet_graph_builder_t;

#define TRIVET_CONSTANT_COPY 0u  // the builder copies the bytes
#define TRIVET_CONSTANT_VIEW 1u  // the bytes belong to the source and outlive the graph: no copy

typedef struct trivet_graph_builder_api_s {
  uint32_t struct_size;
  uint32_t abi_minor;
  trivet_dim_t (*dim_constant)(trivet_graph_builder_t* builder, int64_t value);
  // The symbol called |name|, made on first use (range 0 .. 2^31 until a profile narrows it).
  trivet_dim_t (*dim_symbol)(trivet_graph_builder_t* builder, trivet_string_view_t name);
  trivet_dim_t (*dim_binary)(trivet_graph_builder_t* builder, uint32_t op, trivet_dim_t a,
                             trivet_dim_t b);
  uint32_t (*dim_value)(const trivet_graph_builder_t* builder, trivet_dim_t dim,
                        int64_t* out_value);
  // In a subgraph: a formal input of the body.
  trivet_status_t (*add_input)(trivet_graph_builder_t* builder, trivet_string_view_t name,
                               const trivet_type_t* type, trivet_value_t* out_value);
  // |size| must be what dtype and dims ask for. |name| is the original name (weights are refitted
  // and reported by it).
  trivet_status_t (*add_constant)(trivet_graph_builder_t* builder, trivet_string_view_t name,
                                  const trivet_tensor_t* tensor, uint32_t flags,
                                  trivet_value_t* out_value);
  // Adds a node of operator |op| ("std.Conv"; version 0: newest), checks operands and attributes
  // against its declaration and infers the types of its outputs. Inputs may refer to values of
  // enclosing graphs; the capture is recorded.
  trivet_status_t (*add_node)(trivet_graph_builder_t* builder, const char* op, uint32_t version,
                              const trivet_value_t* inputs, uint32_t input_count,
                              const trivet_attribute_t* attributes, uint32_t attribute_count,
                              const trivet_origin_t* origin, uint32_t output_count,
                              trivet_value_t* out_outputs);
  // Names a value as the model does: for observing, dumping and error texts. A value may have
  // several names.
  trivet_status_t (*name_value)(trivet_graph_builder_t* builder, trivet_value_t value,
                                trivet_string_view_t name);
  trivet_status_t (*add_output)(trivet_graph_builder_t* builder, trivet_string_view_t name,
                                trivet_value_t value);
  // Valid until the next call on the builder.
  const trivet_type_t* (*value_type)(const trivet_graph_builder_t* builder, trivet_value_t value);
  const trivet_dim_t* (*value_ints)(trivet_graph_builder_t* builder, trivet_value_t value,
                                    uint64_t* out_count);
  const trivet_tensor_t* (*value_constant)(const trivet_graph_builder_t* builder,
                                           trivet_value_t value);
  // 1 if the registry holds the operator.
  uint32_t (*has_operator)(const trivet_graph_builder_t* builder, const char* op, uint32_t version);
  // Until end_subgraph, inputs, nodes and outputs go to a new graph; the id serves as a
  // TRIVET_ATTR_GRAPH attribute of a later node.
  trivet_status_t (*begin_subgraph)(trivet_graph_builder_t* builder, trivet_string_view_t name,
                                    uint32_t* out_graph);
  trivet_status_t (*end_subgraph)(trivet_graph_builder_t* builder);
  // Memory from the host's allocator, valid until parse returns.
  trivet_status_t (*scratch)(trivet_graph_builder_t* builder, uint64_t size, void** out_memory);
  trivet_status_t (*error)(const trivet_graph_builder_t* builder, uint32_t code, const char* format,
                           ...) TRIVET_PRINTF_FORMAT(3, 4);
  void (*log)(const trivet_graph_builder_t* builder, uint32_t severity, const char* format, ...)
      TRIVET_PRINTF_FORMAT(3, 4);
} trivet_graph_builder_api_t;

struct trivet_graph_builder_s {
  const trivet_graph_builder_api_t* api;
};

// Source: the bytes that a frontend reads. Mapped, read-only; they outlive the graph.
typedef struct trivet_source_s trivet_source_t;

typedef struct trivet_source_api_s {
  uint32_t struct_size;
  uint32_t abi_minor;
  trivet_string_view_t (*path)(const trivet_source_t* source);  // empty: read from memory
  const uint8_t* (*bytes)(const trivet_source_t* source, uint64_t* out_size);
  // Maps a file named relative to the model's folder; refuses absolute paths, "..", links that
  // leave the folder. The mapping lives as long as the graph; asking again for the same name gives
  // the same bytes.
  trivet_status_t (*open)(trivet_source_t* source, trivet_string_view_t relative_path,
                          const uint8_t** out_bytes, uint64_t* out_size);
  // Option given by the user to this frontend; NULL: not given.
  const char* (*option)(const trivet_source_t* source, const char* name);
  // The host's allocator, for libraries that take one.
  const trivet_allocator_t* (*allocator)(const trivet_source_t* source);
} trivet_source_api_t;

struct trivet_source_s {
  const trivet_source_api_t* api;
};

// Frontend: reads a model format.
typedef struct trivet_frontend_s {
  trivet_header_t header;
  const char* name;  // "onnx"
  const char* summary;
  uint32_t version;
  uint32_t flags;  // 0
  void* self;
  // Required. How sure the frontend is that the bytes are its own: 0 (no) .. 100. Must be cheap and
  // must not read far.
  uint32_t (*probe)(const struct trivet_frontend_s* frontend, const trivet_source_t* source);
  // Required. Builds the graph. On error the host drops what was built.
  trivet_status_t (*parse)(const struct trivet_frontend_s* frontend, trivet_source_t* source,
                           trivet_graph_builder_t* builder);
} trivet_frontend_t;

// -------------------------------------------------------------------------------------------------
// Pass: graph -> graph.
// -------------------------------------------------------------------------------------------------
typedef struct trivet_graph_s trivet_graph_t;
typedef struct trivet_pass_context_s trivet_pass_context_t;

typedef uint32_t trivet_node_t;  // id of a node of a graph; 0: none

// What a pass asks and does. Every function takes the context and the graph that run received (run
// is called once for each graph, bodies of control flow included). Ids of nodes and values belong
// to one graph; NULL, 0 or a status answers an id that is none. Pointers are valid until the next
// change of the graph, those of dimensions as long as the graph. After a pass that changed
// something the host verifies the whole graph: a pass that breaks one is an error with its name.
typedef struct trivet_pass_api_s {
  uint32_t struct_size;
  uint32_t abi_minor;
  // In the order in which nodes run: the one behind |node|, the first for 0; 0: no further. Also
  // for a node that this pass has removed.
  trivet_node_t (*next_node)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                             trivet_node_t node);
  // "std.Add". NULL: no such node.
  const char* (*node_operator)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                               trivet_node_t node, uint32_t* out_version);
  // Values that it reads (0: absent) and makes (0: not asked for).
  const trivet_value_t* (*node_inputs)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                                       trivet_node_t node, uint32_t* out_count);
  const trivet_value_t* (*node_outputs)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                                        trivet_node_t node, uint32_t* out_count);
  // With the declared default applied; its kind says which type |data| has. NULL: absent or not
  // declared.
  const trivet_attribute_t* (*node_attribute)(trivet_pass_context_t* context,
                                              const trivet_graph_t* graph, trivet_node_t node,
                                              const char* name);
  // The node that makes |value|; 0: an input, constant or value of an enclosing graph. |out_index|
  // (may be NULL): which of its outputs.
  trivet_node_t (*producer)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                            trivet_value_t value, uint32_t* out_index);
  const trivet_type_t* (*value_type)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                                     trivet_value_t value);
  // How many places read |value|: operands of nodes, then results of the graph.
  uint32_t (*use_count)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                        trivet_value_t value);
  // Node and operand of use |index|; 0: a result of the graph, or a body that captures it.
  trivet_node_t (*use)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                       trivet_value_t value, uint32_t index, uint32_t* out_operand);
  // A constant as a tensor in host memory, in any alignment. 0: it is none.
  uint32_t (*value_constant)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                             trivet_value_t value, trivet_tensor_t* out_tensor);
  // 1 and the number, if |value| is a constant whose elements are all that number.
  uint32_t (*value_number)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                           trivet_value_t value, double* out_number);
  // Contents of a small integer value as dimensions, computed ones too; NULL: unknown.
  const trivet_dim_t* (*value_ints)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                                    trivet_value_t value, uint64_t* out_count);
  // Inputs (kind 0) and results (kind 1) of the graph; 0 past the end.
  trivet_value_t (*graph_value)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                                uint32_t kind, uint32_t index);
  // Dimensions. Equal expressions are the same pointer, so == asks whether two are equal.
  trivet_dim_t (*dim_constant)(trivet_pass_context_t* context, trivet_graph_t* graph,
                               int64_t value);
  trivet_dim_t (*dim_binary)(trivet_pass_context_t* context, trivet_graph_t* graph, uint32_t op,
                             trivet_dim_t a, trivet_dim_t b);
  uint32_t (*dim_value)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                        trivet_dim_t dim, int64_t* out_value);
  void (*dim_range)(trivet_pass_context_t* context, const trivet_graph_t* graph, trivet_dim_t dim,
                    int64_t* out_min, int64_t* out_max);
  // A number that certainly divides |dim|; 0 for the constant 0.
  int64_t (*dim_divisor)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                         trivet_dim_t dim);
  // 1 if a <= b for all values of the symbols. 0: not known.
  uint32_t (*dim_at_most)(trivet_pass_context_t* context, trivet_graph_t* graph, trivet_dim_t a,
                          trivet_dim_t b);
  const char* (*dim_text)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                          trivet_dim_t dim);  // "2*batch + 1"; valid until run returns
  // The rewrite holds only where a == b: checked whenever shapes are bound.
  trivet_status_t (*assume)(trivet_pass_context_t* context, trivet_graph_t* graph, trivet_node_t at,
                            trivet_dim_t a, trivet_dim_t b);
  // May the pass rewrite |node|? Asked when a match is complete, before the first change; the user
  // may have excluded the node, or bisects.
  uint32_t (*may_change)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                         trivet_node_t node);
  // Adds a node before |at|, with the origins of that one; version 0: the newest. Operands and
  // attributes are checked, types are inferred. Data of attributes is copied.
  trivet_status_t (*add_node)(trivet_pass_context_t* context, trivet_graph_t* graph,
                              trivet_node_t at, const char* op, uint32_t version,
                              const trivet_value_t* inputs, uint32_t input_count,
                              const trivet_attribute_t* attributes, uint32_t attribute_count,
                              uint32_t output_count, trivet_value_t* out_outputs);
  // A constant with a copy of the bytes; an i64 vector of dimensions.
  trivet_status_t (*add_constant)(trivet_pass_context_t* context, trivet_graph_t* graph,
                                  const trivet_tensor_t* tensor, trivet_value_t* out_value);
  trivet_status_t (*add_ints)(trivet_pass_context_t* context, trivet_graph_t* graph,
                              const trivet_dim_t* dims, uint64_t count, trivet_value_t* out_value);
  // Puts |replacement| in the place of |value|, which a node makes, and reports that with the
  // reason given. Both have the same type, or the status names both types and nothing has changed.
  // Uses, names and origins move; nodes that nobody needs any more are removed.
  trivet_status_t (*replace)(trivet_pass_context_t* context, trivet_graph_t* graph,
                             trivet_value_t value, trivet_value_t replacement, const char* format,
                             ...) TRIVET_PRINTF_FORMAT(5, 6);
  // A near miss: the pattern was almost there. Shown by --explain, in words of the model.
  void (*decline)(trivet_pass_context_t* context, const trivet_graph_t* graph, trivet_node_t node,
                  const char* format, ...) TRIVET_PRINTF_FORMAT(4, 5);
  // Whether the target that is built for has a kernel for |node| as it stands, other than its
  // general one; no without a target.
  trivet_status_t (*accepts)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                             trivet_node_t node, uint32_t* out_accepted);
  // Memory that lives until the pass has ended.
  trivet_status_t (*scratch)(trivet_pass_context_t* context, uint64_t size, void** out_memory);
  trivet_status_t (*error)(trivet_pass_context_t* context, const trivet_graph_t* graph,
                           trivet_node_t node, uint32_t code, const char* format, ...)
      TRIVET_PRINTF_FORMAT(5, 6);
} trivet_pass_api_t;

typedef struct trivet_pass_s {
  trivet_header_t header;
  const char* name;  // "fold-constants"
  const char* summary;
  const char* const* after;  // NULL-terminated names of passes that must have run earlier if they
                             // run at all, or NULL
  const char* const* before;
  void* self;
  // Required. |out_changed| receives 1 if the graph changed.
  trivet_status_t (*run)(const struct trivet_pass_s* pass, trivet_pass_context_t* context,
                         trivet_graph_t* graph, uint32_t* out_changed);
} trivet_pass_t;

// Rewrite: a pass given as text.
//
//   match { %s = std.Sigmoid(%x)  %y = std.Mul(%x, %s) } where one_use(%s) to { %y = acme.Swish(%x)
//   }
//
// Operands of commutative operators match in either order; "%c = const" matches a constant, "%c =
// const 1.0" one whose elements are all that value, "{ axes = $a }" binds an attribute, which may
// be used on the right side. Conditions: one_use(%v), dtype(%v) == f32, rank(%v) == 4,
// last_axis($a, %v), same_shape(%a, %b), scalar(%v), has_const_shape(%v).
typedef struct trivet_rewrite_s {
  trivet_header_t header;
  const char* name;
  const char* summary;
  const char* text;
  const char* const* after;
  const char* const* before;
} trivet_rewrite_t;

// Scalar function: kernel-IR text of one `fn`, usable in every operator text; |cuda| optionally
// gives the body of a CUDA C device function that is used instead where it lands in a CUDA kernel
// and the result is a float. The body is statements; parameters have their names in the text and
// the types that values have in registers (f16, bf16 and 8-bit floats are float, f64 double); type
// variables are names of types. It may call what CUDA C has without includes. It is compiled when
// the plan is built: the error of a body that does not compile names the plugin and the function.
typedef struct trivet_scalar_function_s {
  trivet_header_t header;
  const char* name;  // "acme.mish"
  const char* text;  // "fn mish(x: f32) -> f32 = x * tanh(log1p(exp(x)))"
  const char* cuda;  // Optional: NULL means that the text is printed.
  const char* summary;
} trivet_scalar_function_t;

// -------------------------------------------------------------------------------------------------
// Kernel: one way to run a region on a target. The build half proposes tactics for regions and
// emits the step; the run half executes it from the plan. A step of a plan is: kernel name, blob
// (the kernel's own program or parameters), operands, integer parameters.
// -------------------------------------------------------------------------------------------------
// One operand of a launch. Strides are in elements; an operand may be a view of a larger buffer.
typedef struct trivet_operand_s {
  uint32_t dtype;
  uint32_t rank;
  int64_t dims[TRIVET_MAX_RANK];
  int64_t strides[TRIVET_MAX_RANK];
  uint32_t flags;        // TRIVET_OPERAND_*
  uint32_t alignment;    // bytes that the address is certainly a multiple of
  const void* constant;  // TRIVET_OPERAND_CONSTANT: the address, valid as long as the engine;
                         // otherwise NULL
} trivet_operand_t;

#define TRIVET_OPERAND_OUTPUT 1u
#define TRIVET_OPERAND_CONSTANT 2u
#define TRIVET_OPERAND_ABSENT 4u
#define TRIVET_OPERAND_DENSE 8u  // in a region only: row-major without gaps, whatever the shapes
// Since 1.4; in a region only: as if the second dimension were the last one, without gaps (NHWC);
// for 3 and more dimensions. Not beside DENSE: what lies
// both ways, as extents of 1 let it, is called DENSE.
#define TRIVET_OPERAND_CHANNELS_LAST 16u

// What a kernel may use while it runs on the host: the thread pool of the context.
typedef struct trivet_executor_s trivet_executor_t;
typedef struct trivet_executor_api_s {
  uint32_t struct_size;
  uint32_t abi_minor;
  uint32_t (*thread_count)(const trivet_executor_t* executor);
  // Calls task(argument, i, count) for i in [0, count) on |count| threads at the same time (count
  // <= thread_count), the caller being one of them, and returns when all have. Tasks must not call
  // it again.
  void (*parallel)(trivet_executor_t* executor, uint32_t count,
                   void (*task)(void* argument, uint32_t index, uint32_t count), void* argument);
} trivet_executor_api_t;
struct trivet_executor_s {
  const trivet_executor_api_t* api;
};

struct trivet_kernel_s;

typedef struct trivet_kernel_load_s {
  trivet_header_t header;
  const uint8_t* blob;  // lives as long as the engine
  uint64_t blob_size;
  const trivet_allocator_t* allocator;
  void* device;  // of the target's device table; NULL on the host
  // The run half of the host's general kernel, for addresses of the host; lives as long as the
  // engine. NULL: there is none.
  const struct trivet_kernel_s* host_kernel;
  // Since 1.4. A status with a printf-formatted message for load to return; the host adds which
  // kernel it is of.
  trivet_status_t (*error)(uint32_t code, const char* format, ...) TRIVET_PRINTF_FORMAT(2, 3);
} trivet_kernel_load_t;

typedef struct trivet_kernel_prepare_s {
  trivet_header_t header;
  const trivet_operand_t* operands;  // as |parameters|, valid during the call
  uint64_t operand_count;
  const int64_t* parameters;  // the step's expressions over dimensions, evaluated
  uint64_t parameter_count;
  const trivet_allocator_t* allocator;
  trivet_executor_t* executor;  // NULL: one thread. Lives as long as what prepare makes
} trivet_kernel_prepare_t;

struct trivet_kernel_s;

typedef struct trivet_kernel_launch_s {
  void* const* addresses;       // one per operand; NULL where absent
  void* workspace;              // of the size that prepare asked for, aligned to 64 bytes
  trivet_executor_t* executor;  // that of prepare
  void* stream;                 // of the target's device table; NULL on the host
  // ABI 1.4: whose launch is the one before this in the stream; NULL: unknown, or no launch.
  const struct trivet_kernel_s* previous;
} trivet_kernel_launch_t;

// Region: what the build half of a kernel is asked to run: nodes that one step computes. Its
// operands are numbered, inputs first, then outputs. Valid during the callback.
typedef struct trivet_region_s trivet_region_t;

#define TRIVET_REGION_NONE UINT32_MAX  // absent, or computed and used inside the region only

typedef struct trivet_region_api_s {
  uint32_t struct_size;
  uint32_t abi_minor;
  uint32_t (*node_count)(const trivet_region_t* region);  // in the order in which they depend
  const char* (*node_operator)(const trivet_region_t* region, uint32_t node);  // "std.MatMul"
  // With the declared default applied; NULL: absent or not declared.
  const trivet_attribute_t* (*node_attribute)(const trivet_region_t* region, uint32_t node,
                                              const char* name);
  // The operand that input (output) |index| of a node is, or TRIVET_REGION_NONE.
  uint32_t (*node_input)(const trivet_region_t* region, uint32_t node, uint32_t index);
  uint32_t (*node_output)(const trivet_region_t* region, uint32_t node, uint32_t index);
  uint32_t (*input_count)(const trivet_region_t* region);
  uint32_t (*output_count)(const trivet_region_t* region);
  // Extents and strides at the shapes to optimise for; |constant| is its contents, dense and row-
  // major, in any alignment. OUT_OF_RANGE: no such operand, or an extent that no number is known
  // for.
  trivet_status_t (*operand)(const trivet_region_t* region, uint32_t index,
                             trivet_operand_t* out_operand);
  // Its type: extents as expressions. NULL: no such operand.
  const trivet_type_t* (*operand_type)(const trivet_region_t* region, uint32_t index);
  uint32_t (*dim_value)(const trivet_region_t* region, trivet_dim_t dim, int64_t* out_value);
  const char* (*target)(const trivet_region_t* region);  // "cpu", "cuda:sm_90"
  // The general kernel of target "cpu", which has a program for every region; NULL: its plugin is
  // not loaded. A target of a plugin may let its propose and emit work in the name of a kernel of
  // its own (which they get as |kernel|), and run what was emitted with
  // trivet_kernel_load_t.host_kernel.
  const struct trivet_kernel_s* (*host_kernel)(const trivet_region_t* region);
  // Since 0.3. Expressions over the extents of operands, for grids and sizes; NULL: overflow.
  trivet_dim_t (*dim_constant)(const trivet_region_t* region, int64_t value);
  trivet_dim_t (*dim_binary)(const trivet_region_t* region, uint32_t op, trivet_dim_t a,
                             trivet_dim_t b);
  // Since 1.4. Not 0: products of f32 may round their factors to 10 bits behind the point (TF32).
  uint32_t (*allows_tf32)(const trivet_region_t* region);
} trivet_region_api_t;

// Proposal: what propose answers.
typedef struct trivet_proposal_s trivet_proposal_t;

typedef struct trivet_proposal_api_s {
  uint32_t struct_size;
  uint32_t abi_minor;
  // |tactic| comes back in emit. |nanoseconds|: on one core. |name|, copied, below 64 bytes: for
  // people, timing caches and lock files.
  trivet_status_t (*add)(trivet_proposal_t* proposal, const struct trivet_kernel_s* kernel,
                         uint64_t tactic, double nanoseconds, const char* name);
  // Why not, in words of the model; shown by --explain.
  void (*decline)(trivet_proposal_t* proposal, const struct trivet_kernel_s* kernel,
                  const char* format, ...) TRIVET_PRINTF_FORMAT(3, 4);
} trivet_proposal_api_t;

// Code for a device: kernels in the language of the target, run by the target itself, so that a
// plan needs no plugin for them. They are launched one after the other with the same arguments: the
// addresses of |operands| in order, the workspace (a char*) where |workspace| is given,
// |parameters| in order (long long each). A launch may not begin before the one ahead of it has
// ended.
typedef struct trivet_device_launch_s {
  const char* entry;     // of CUDA: extern "C" __global__
  trivet_dim_t grid;     // blocks; 0 of them: not launched
  uint32_t block;        // threads
  uint32_t shared_size;  // bytes of dynamic shared memory
} trivet_device_launch_t;

typedef struct trivet_device_code_s {
  trivet_header_t header;
  const char* source;  // CUDA C for NVRTC, which knows no headers; NULL: |binary|
  const void* binary;  // a cubin
  uint64_t binary_size;
  const char* architecture;  // what |binary| was compiled for: "sm_90a"; plans for others refuse it
  const trivet_device_launch_t* launches;
  uint64_t launch_count;
  const uint32_t* operands;  // of the region; all of its outputs are among them
  uint64_t operand_count;
  const trivet_dim_t* parameters;
  uint64_t parameter_count;
  trivet_dim_t workspace;  // bytes; NULL: none
} trivet_device_code_t;

// Emission: the step that emit writes. Operands in the kernel's own order, outputs last; what load,
// prepare and run get is what was written here.
typedef struct trivet_emission_s trivet_emission_t;

typedef struct trivet_emission_api_s {
  uint32_t struct_size;
  uint32_t abi_minor;
  trivet_status_t (*operand)(trivet_emission_t* emission, uint32_t index);  // of the region
  trivet_status_t (*absent)(trivet_emission_t* emission);
  // Bytes that the kernel made itself (packed weights), copied. They lie in the plan: same input,
  // same bytes. |name| of the source, empty if there are several.
  trivet_status_t (*constant)(trivet_emission_t* emission, trivet_string_view_t name,
                              const trivet_tensor_t* tensor);
  trivet_status_t (*parameter)(trivet_emission_t* emission, trivet_dim_t dim);
  trivet_status_t (*blob)(trivet_emission_t* emission, const void* data, uint64_t size);  // copied
  // "isa:avx512f": where it does not hold the engine refuses the step.
  trivet_status_t (*require)(trivet_emission_t* emission, const char* requirement);
  // Since 0.3. The whole step as code for the device, in place of everything above; the kernel then
  // has a build half only. Read before emit returns. UNIMPLEMENTED: the target takes none.
  trivet_status_t (*device_code)(trivet_emission_t* emission, const trivet_device_code_t* code);
  // Since 1.4. The step works in place: its one output may lie exactly where operand |input| of the
  // region lies (same extents, strides and size of elements), whose elements run then reads no more
  // once it has written over them. The host does so where nobody else needs that operand any more,
  // so that the step costs no memory of its own; addresses of the two are equal then. Once for each
  // operand for which it holds; one of them is overwritten at most. TRIVET_REGION_NONE: none may
  // be, not even where the operator is elementwise, which lets the host do so without being told.
  trivet_status_t (*in_place)(trivet_emission_t* emission, uint32_t input);
} trivet_emission_api_t;

// The target's own kernel that runs every kernel-IR program; others are asked first.
#define TRIVET_KERNEL_GENERAL 1u
// Asked about host functions, too: regions of one node whose operator has neither kernel IR nor a
// graph. They are read by node_operator, node_attribute, node_input and node_output.
#define TRIVET_KERNEL_HOST_FUNCTIONS 2u
// Since 1.4. Asks for layouts, as kernels of products and convolutions do without saying so.
// Wherever propose adds a tactic for one node alone, a region is formed around that node, even
// where it would be fused with its neighbours; it grows by what propose takes behind it. propose is
// then asked with images (4 and 5 dimensions; constants are never among them) in each memory order:
// all of them row-major, all channels last, and those read in one and those written in the other.
// It declines the orders that it does not want and prices the others; the builder settles the
// orders of the whole network by these prices and those of the copies, and copies what still lies
// otherwise. TRIVET_OPERAND_CHANNELS_LAST tells them apart.
#define TRIVET_KERNEL_LAYOUTS 4u

typedef struct trivet_kernel_s {
  trivet_header_t header;
  const char* name;    // "cpu.tile", "cpu_onednn.convolution"
  const char* target;  // "cpu"
  const char* summary;
  uint32_t version;  // of the blob's form; a plan names it, and load refuses another
  uint32_t halves;   // TRIVET_HALF_*
  uint32_t flags;    // TRIVET_KERNEL_*
  uint32_t reserved;
  void* self;
  // Build half. Optional: NULL means that the kernel is only emitted by its own target. Adds a
  // tactic per way to run |region|, with its price, or declines with a reason. Concurrent for
  // different regions.
  trivet_status_t (*propose)(const struct trivet_kernel_s* kernel, const trivet_region_t* region,
                             trivet_proposal_t* proposal);
  // Writes the step for a chosen tactic.
  trivet_status_t (*emit)(const struct trivet_kernel_s* kernel, const trivet_region_t* region,
                          uint64_t tactic, trivet_emission_t* emission);
  // Run half. Required where halves has TRIVET_HALF_RUN. load: once per step and engine; checks
  // every byte of the blob; what it returns is immutable and shared by threads. prepare: once per
  // context and set of shapes; may allocate. run: allocates nothing, takes no lock.
  trivet_status_t (*load)(const struct trivet_kernel_s* kernel, const trivet_kernel_load_t* load,
                          void** out_loaded);
  void (*unload)(const struct trivet_kernel_s* kernel, void* loaded,
                 const trivet_allocator_t* allocator);
  trivet_status_t (*prepare)(const struct trivet_kernel_s* kernel, void* loaded,
                             const trivet_kernel_prepare_t* prepare, uint64_t* out_workspace_size,
                             void** out_prepared);
  void (*release)(const struct trivet_kernel_s* kernel, void* prepared,
                  const trivet_allocator_t* allocator);
  trivet_status_t (*run)(const struct trivet_kernel_s* kernel, void* prepared,
                         const trivet_kernel_launch_t* launch);
  // The rest is of ABI 1.4. What loading costs, in microseconds, for builds that bound it: where
  // the kernel's library is used at all, and each step (or set of equal steps) of the kernel.
  // Kernels of one library have names that begin alike, up to the point.
  uint32_t load_first_us;
  uint32_t load_each_us;
  // Optional: NULL means that there is nothing to do. Begins what takes long and needs no device,
  // such as opening a library. Called on any thread, while a device is opened, for kernels that the
  // plan names; load works without it.
  void (*warm_up)(const struct trivet_kernel_s* kernel);
} trivet_kernel_t;

// -------------------------------------------------------------------------------------------------
// Device: memory, order and time of a target that is not the host. Run half. Every function that
// is not called optional is required; each may be called from any thread; |state| is what open made
// and is what kernels of the target get as trivet_kernel_load_t.device. Errors carry the device
// library's own name of the error and the call.
// -------------------------------------------------------------------------------------------------
#define TRIVET_MEMORY_HOST 0u
#define TRIVET_MEMORY_DEVICE 1u

typedef struct trivet_device_info_s {
  trivet_header_t header;
  char name[96];         // "NVIDIA H100 80GB HBM3"
  char target[32];       // what plans for it are built with: "cuda:sm_90"
  char signature[128];   // all that measured times depend on: device, clocks, driver; keys caches
  uint64_t memory_size;  // bytes
  uint64_t memory_free;
  uint32_t alignment;  // bytes, of what allocate gives
  uint32_t reserved;
  // ABI 1.4: operations a second that products of matrices of f16 may reach at most; 0: not known.
  uint64_t peak_flops;
} trivet_device_info_t;

typedef struct trivet_device_s {
  trivet_header_t header;
  const char* target;  // "cuda": plans whose target is this, or begins with it and ':', run here
  const char* summary;
  uint32_t version;
  uint32_t flags;  // 0
  void* self;
  // UNAVAILABLE says what was looked for and where: library, driver, device number.
  trivet_status_t (*open)(const struct trivet_device_s* device, uint32_t ordinal,
                          const trivet_allocator_t* allocator, void** out_state);
  void (*close)(const struct trivet_device_s* device, void* state);
  trivet_status_t (*describe)(const struct trivet_device_s* device, void* state,
                              trivet_device_info_t* out_info);
  // Makes the device current for the calling thread. The engine calls it before load, prepare, run,
  // release and unload of the target's kernels; the functions below do it themselves.
  trivet_status_t (*enter)(const struct trivet_device_s* device, void* state);
  // Whether the device meets a requirement of a step that the engine does not know itself
  // ("arch:sm_90a").
  uint32_t (*meets)(const struct trivet_device_s* device, void* state,
                    trivet_string_view_t requirement);
  // |where| TRIVET_MEMORY_*; HOST means page-locked memory that copies run fastest with.
  trivet_status_t (*allocate)(const struct trivet_device_s* device, void* state, uint32_t where,
                              uint64_t size, void** out_address);
  void (*release)(const struct trivet_device_s* device, void* state, uint32_t where, void* address,
                  uint64_t size);
  // Where |address| of a caller lies: TRIVET_MEMORY_*.
  trivet_status_t (*locate)(const struct trivet_device_s* device, void* state, const void* address,
                            uint32_t* out_where);
  trivet_status_t (*stream_create)(const struct trivet_device_s* device, void* state,
                                   void** out_stream);
  void (*stream_destroy)(const struct trivet_device_s* device, void* state, void* stream);
  trivet_status_t (*stream_synchronize)(const struct trivet_device_s* device, void* state,
                                        void* stream);
  // In any direction; in order of the stream; returns at once where the device can.
  trivet_status_t (*copy)(const struct trivet_device_s* device, void* state, void* stream,
                          void* target, const void* source, uint64_t size);
  // Times. elapsed waits for |end|.
  trivet_status_t (*event_create)(const struct trivet_device_s* device, void* state,
                                  void** out_event);
  void (*event_destroy)(const struct trivet_device_s* device, void* state, void* event);
  trivet_status_t (*event_record)(const struct trivet_device_s* device, void* state, void* event,
                                  void* stream);
  trivet_status_t (*stream_wait)(const struct trivet_device_s* device, void* state, void* stream,
                                 void* event);
  trivet_status_t (*elapsed)(const struct trivet_device_s* device, void* state, void* begin,
                             void* end, uint64_t* out_nanoseconds);
  // What is launched on |stream| between begin and end becomes a graph instead of running;
  // UNIMPLEMENTED: the device has no graphs. After an error in between, end must still be called.
  trivet_status_t (*capture_begin)(const struct trivet_device_s* device, void* state, void* stream);
  trivet_status_t (*capture_end)(const struct trivet_device_s* device, void* state, void* stream,
                                 void** out_graph);
  trivet_status_t (*graph_launch)(const struct trivet_device_s* device, void* state, void* graph,
                                  void* stream);
  void (*graph_destroy)(const struct trivet_device_s* device, void* state, void* graph);
  // The rest is of ABI 1.4. Optional: NULL means that any stream is taken. Whether launches may go
  // to |stream| of a caller; INVALID_ARGUMENT says whose it is.
  trivet_status_t (*stream_check)(const struct trivet_device_s* device, void* state, void* stream);
  // Optional, both or none: NULL means that no profiler is told. Names what the calling thread
  // queues between, for profilers that listen; ranges nest. Called for every step, so it has to
  // cost next to nothing where none listens.
  void (*range_begin)(const struct trivet_device_s* device, void* state, const char* name);
  void (*range_end)(const struct trivet_device_s* device, void* state);
} trivet_device_t;

// -------------------------------------------------------------------------------------------------
// Plugin: what trivet_plugin_query returns.
// -------------------------------------------------------------------------------------------------
// Sanitizers that the objects were built with; host and plugin must agree, as mixing them crashes.
#define TRIVET_SANITIZER_NONE 0u
#define TRIVET_SANITIZER_ADDRESS 1u
#define TRIVET_SANITIZER_THREAD 2u
#if defined(__SANITIZE_ADDRESS__)
#define TRIVET_SANITIZER TRIVET_SANITIZER_ADDRESS
#elif defined(__SANITIZE_THREAD__)
#define TRIVET_SANITIZER TRIVET_SANITIZER_THREAD
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TRIVET_SANITIZER TRIVET_SANITIZER_ADDRESS
#elif __has_feature(thread_sanitizer)
#define TRIVET_SANITIZER TRIVET_SANITIZER_THREAD
#endif
#endif
#ifndef TRIVET_SANITIZER
#define TRIVET_SANITIZER TRIVET_SANITIZER_NONE
#endif

typedef struct trivet_plugin_s {
  trivet_header_t header;
  uint32_t abi_major;  // of the header that the plugin was compiled against
  uint32_t abi_minor;
  uint32_t sanitizer;  // TRIVET_SANITIZER
  uint32_t halves;     // TRIVET_HALF_*: which halves this object holds
  const char* name;    // [a-z0-9_]+, equals the base name of the file
  const char* version;
  const char* summary;
  const void* const*
      definitions;  // definition_count pointers to structs that begin with trivet_header_t
  uint64_t definition_count;
} trivet_plugin_t;

// The one exported symbol. Pure: no allocation, no state. NULL means "not for this host".
typedef const trivet_plugin_t* (*trivet_plugin_query_fn_t)(uint32_t host_major,
                                                           uint32_t host_minor);
#define TRIVET_PLUGIN_QUERY_SYMBOL "trivet_plugin_query"

#if defined(__cplusplus)
#define TRIVET_EXTERN_C extern "C"
#else
#define TRIVET_EXTERN_C
#endif

#define TRIVET_HEADER(type, tag) \
  { (uint32_t)sizeof(type), (tag), 0 }

// A plugin that is linked in instead of loaded gives its query function another name: compile it
// with -DTRIVET_PLUGIN_STATIC_NAME=trivet_plugin_query_<name>.
#if defined(TRIVET_PLUGIN_STATIC_NAME)
#define TRIVET_PLUGIN_QUERY_NAME TRIVET_PLUGIN_STATIC_NAME
#else
#define TRIVET_PLUGIN_QUERY_NAME trivet_plugin_query
#endif

// TRIVET_PLUGIN("acme_ops", "1.0", "what it brings", &op1, &op2): the whole of a plugin's entry.
#define TRIVET_PLUGIN_HALVES(plugin_name, plugin_version, plugin_summary, plugin_halves, ...) \
  static const void* const trivet_plugin_definitions_[] = {__VA_ARGS__};                      \
  static const trivet_plugin_t trivet_plugin_ = {                                             \
      TRIVET_HEADER(trivet_plugin_t, TRIVET_STRUCT_PLUGIN),                                   \
      TRIVET_ABI_MAJOR,                                                                       \
      TRIVET_ABI_MINOR,                                                                       \
      TRIVET_SANITIZER,                                                                       \
      (plugin_halves),                                                                        \
      (plugin_name),                                                                          \
      (plugin_version),                                                                       \
      (plugin_summary),                                                                       \
      trivet_plugin_definitions_,                                                             \
      sizeof(trivet_plugin_definitions_) / sizeof(trivet_plugin_definitions_[0])};            \
  TRIVET_EXTERN_C __attribute__((visibility("default"))) const trivet_plugin_t*               \
  TRIVET_PLUGIN_QUERY_NAME(uint32_t host_major, uint32_t host_minor);                         \
  TRIVET_EXTERN_C __attribute__((visibility("default"))) const trivet_plugin_t*               \
  TRIVET_PLUGIN_QUERY_NAME(uint32_t host_major, uint32_t host_minor) {                        \
    (void)host_minor;                                                                         \
    return host_major == TRIVET_ABI_MAJOR ? &trivet_plugin_ : 0;                              \
  }
#define TRIVET_PLUGIN(plugin_name, plugin_version, plugin_summary, ...) \
  TRIVET_PLUGIN_HALVES(plugin_name, plugin_version, plugin_summary, TRIVET_HALF_BUILD, __VA_ARGS__)

// TRIVET_OPERATOR(variable, "acme.AddScalar", 1, "summary", "text"): an operator that its text says
// wholly.
#define TRIVET_OPERATOR(variable, op_name, op_version, op_summary, op_text) \
  static const trivet_operator_t variable = {                               \
      TRIVET_HEADER(trivet_operator_t, TRIVET_STRUCT_OPERATOR),             \
      (op_name),                                                            \
      (op_text),                                                            \
      (op_summary),                                                         \
      (op_version),                                                         \
      0,                                                                    \
      0,                                                                    \
      0,                                                                    \
      0,                                                                    \
      0}
// With hooks; each may be NULL.
#define TRIVET_OPERATOR_WITH(variable, op_name, op_version, op_flags, op_summary, op_text, \
                             op_infer, op_lower, op_evaluate)                              \
  static const trivet_operator_t variable = {                                              \
      TRIVET_HEADER(trivet_operator_t, TRIVET_STRUCT_OPERATOR),                            \
      (op_name),                                                                           \
      (op_text),                                                                           \
      (op_summary),                                                                        \
      (op_version),                                                                        \
      (op_flags),                                                                          \
      0,                                                                                   \
      (op_infer),                                                                          \
      (op_lower),                                                                          \
      (op_evaluate)}
// TRIVET_SCALAR_FUNCTION(variable, "acme.mish", "summary", "fn mish(x: F) -> F = ...", "CUDA C"): a
// scalar function; the last may be NULL.
#define TRIVET_SCALAR_FUNCTION(variable, function_name, function_summary, function_text,       \
                               function_cuda)                                                  \
  static const trivet_scalar_function_t variable = {                                           \
      TRIVET_HEADER(trivet_scalar_function_t, TRIVET_STRUCT_SCALAR_FUNCTION), (function_name), \
      (function_text), (function_cuda), (function_summary)}
// TRIVET_REWRITE(variable, "acme-swish", "summary", "match {...} to {...}")
#define TRIVET_REWRITE(variable, rewrite_name, rewrite_summary, rewrite_text) \
  static const trivet_rewrite_t variable = {                                  \
      TRIVET_HEADER(trivet_rewrite_t, TRIVET_STRUCT_REWRITE),                 \
      (rewrite_name),                                                         \
      (rewrite_summary),                                                      \
      (rewrite_text),                                                         \
      0,                                                                      \
      0}

// TRIVET_PASS(variable, "acme-merge", "summary", run): a pass in C, without demands on its place.
#define TRIVET_PASS(variable, pass_name, pass_summary, pass_run)                           \
  static const trivet_pass_t variable = {TRIVET_HEADER(trivet_pass_t, TRIVET_STRUCT_PASS), \
                                         (pass_name),                                      \
                                         (pass_summary),                                   \
                                         0,                                                \
                                         0,                                                \
                                         0,                                                \
                                         (pass_run)}

// -------------------------------------------------------------------------------------------------
// Inline helpers over the handles.
// -------------------------------------------------------------------------------------------------
static inline uint32_t trivet_view_input_count(const trivet_node_view_t* v) {
  return v->api->input_count(v);
}
static inline uint32_t trivet_view_output_count(const trivet_node_view_t* v) {
  return v->api->output_count(v);
}
static inline const trivet_type_t* trivet_view_input_type(const trivet_node_view_t* v, uint32_t i) {
  return v->api->input_type(v, i);
}
static inline const trivet_type_t* trivet_view_output_type(const trivet_node_view_t* v,
                                                           uint32_t i) {
  return v->api->output_type(v, i);
}
static inline const trivet_dim_t* trivet_view_input_ints(const trivet_node_view_t* v, uint32_t i,
                                                         uint64_t* out_count) {
  return v->api->input_ints(v, i, out_count);
}
static inline const trivet_tensor_t* trivet_view_input_constant(const trivet_node_view_t* v,
                                                                uint32_t i) {
  return v->api->input_constant(v, i);
}
static inline const trivet_attribute_t* trivet_view_attribute(const trivet_node_view_t* v,
                                                              const char* name) {
  return v->api->attribute(v, name);
}
// Scalar attributes; |fallback| where the attribute is absent.
static inline int64_t trivet_view_attr_i64(const trivet_node_view_t* v, const char* name,
                                           int64_t fallback) {
  const trivet_attribute_t* a = v->api->attribute(v, name);
  return a && a->kind == TRIVET_ATTR_I64 && a->count ? ((const int64_t*)a->data)[0] : fallback;
}
static inline double trivet_view_attr_f64(const trivet_node_view_t* v, const char* name,
                                          double fallback) {
  const trivet_attribute_t* a = v->api->attribute(v, name);
  return a && a->kind == TRIVET_ATTR_F32 && a->count ? ((const double*)a->data)[0] : fallback;
}
static inline uint32_t trivet_view_attr_dtype(const trivet_node_view_t* v, const char* name,
                                              uint32_t fallback) {
  const trivet_attribute_t* a = v->api->attribute(v, name);
  return a && a->kind == TRIVET_ATTR_DTYPE && a->count ? ((const uint32_t*)a->data)[0] : fallback;
}
static inline const int64_t* trivet_view_attr_i64s(const trivet_node_view_t* v, const char* name,
                                                   uint64_t* out_count) {
  const trivet_attribute_t* a = v->api->attribute(v, name);
  *out_count = a && a->kind == TRIVET_ATTR_I64 ? a->count : 0;
  return *out_count ? (const int64_t*)a->data : (const int64_t*)0;
}
static inline trivet_string_view_t trivet_view_attr_string(const trivet_node_view_t* v,
                                                           const char* name) {
  const trivet_attribute_t* a = v->api->attribute(v, name);
  trivet_string_view_t none = {0, 0};
  return a && a->kind == TRIVET_ATTR_STRING && a->count ? ((const trivet_string_view_t*)a->data)[0]
                                                        : none;
}
static inline trivet_dim_t trivet_view_dim(trivet_node_view_t* v, int64_t value) {
  return v->api->dim_constant(v, value);
}
static inline trivet_dim_t trivet_view_dim_binary(trivet_node_view_t* v, uint32_t op,
                                                  trivet_dim_t a, trivet_dim_t b) {
  return v->api->dim_binary(v, op, a, b);
}
static inline uint32_t trivet_view_dim_value(const trivet_node_view_t* v, trivet_dim_t dim,
                                             int64_t* out_value) {
  return v->api->dim_value(v, dim, out_value);
}
static inline trivet_status_t trivet_view_set_output(trivet_node_view_t* v, uint32_t i,
                                                     uint32_t dtype, uint32_t rank,
                                                     const trivet_dim_t* dims) {
  return v->api->set_output(v, i, dtype, rank, dims);
}
// Printf-formatted variadic calls go through the table: v->api->emit(v, "...", ...),
// v->api->error(v, code, "...", ...).
#define TRIVET_VIEW_EMIT(view, ...) ((view)->api->emit((view), __VA_ARGS__))
#define TRIVET_VIEW_ERROR(view, code, ...) ((view)->api->error((view), (code), __VA_ARGS__))

// Passes. The context begins with a pointer to its table.
static inline const trivet_pass_api_t* trivet_pass_api(const trivet_pass_context_t* context) {
  return *(const trivet_pass_api_t* const*)(const void*)context;
}
// 1 if |node| is of operator |op|, "std.Add", in any version.
static inline uint32_t trivet_pass_is(trivet_pass_context_t* context, const trivet_graph_t* graph,
                                      trivet_node_t node, const char* op) {
  const char* name = trivet_pass_api(context)->node_operator(context, graph, node, 0);
  if (!name) return 0;
  while (*name && *name == *op) ++name, ++op;
  return *name == *op;
}
// Operand |index| of |node|, and output |index|; 0: absent, or no such.
static inline trivet_value_t trivet_pass_input(trivet_pass_context_t* context,
                                               const trivet_graph_t* graph, trivet_node_t node,
                                               uint32_t index) {
  uint32_t count = 0;
  const trivet_value_t* v = trivet_pass_api(context)->node_inputs(context, graph, node, &count);
  return index < count ? v[index] : 0;
}
static inline trivet_value_t trivet_pass_output(trivet_pass_context_t* context,
                                                const trivet_graph_t* graph, trivet_node_t node,
                                                uint32_t index) {
  uint32_t count = 0;
  const trivet_value_t* v = trivet_pass_api(context)->node_outputs(context, graph, node, &count);
  return index < count ? v[index] : 0;
}
// A single number of an attribute; |fallback| where it is absent or of another kind.
static inline int64_t trivet_pass_attr_i64(trivet_pass_context_t* context,
                                           const trivet_graph_t* graph, trivet_node_t node,
                                           const char* name, int64_t fallback) {
  const trivet_attribute_t* a =
      trivet_pass_api(context)->node_attribute(context, graph, node, name);
  return a && a->kind == TRIVET_ATTR_I64 && a->count ? ((const int64_t*)a->data)[0] : fallback;
}
static inline double trivet_pass_attr_f64(trivet_pass_context_t* context,
                                          const trivet_graph_t* graph, trivet_node_t node,
                                          const char* name, double fallback) {
  const trivet_attribute_t* a =
      trivet_pass_api(context)->node_attribute(context, graph, node, name);
  return a && a->kind == TRIVET_ATTR_F32 && a->count ? ((const double*)a->data)[0] : fallback;
}
#define TRIVET_PASS_REPLACE(context, graph, value, replacement, ...) \
  (trivet_pass_api(context)->replace((context), (graph), (value), (replacement), __VA_ARGS__))
#define TRIVET_PASS_DECLINE(context, graph, node, ...) \
  (trivet_pass_api(context)->decline((context), (graph), (node), __VA_ARGS__))

// Build half of kernels. Regions, proposals and emissions begin with a pointer to their table too.
static inline const trivet_region_api_t* trivet_region_api(const trivet_region_t* region) {
  return *(const trivet_region_api_t* const*)(const void*)region;
}
static inline const trivet_proposal_api_t* trivet_proposal_api(const trivet_proposal_t* proposal) {
  return *(const trivet_proposal_api_t* const*)(const void*)proposal;
}
static inline const trivet_emission_api_t* trivet_emission_api(const trivet_emission_t* emission) {
  return *(const trivet_emission_api_t* const*)(const void*)emission;
}
#define TRIVET_PROPOSAL_DECLINE(proposal, kernel, ...) \
  (trivet_proposal_api(proposal)->decline((proposal), (kernel), __VA_ARGS__))

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_PLUGIN_H_
