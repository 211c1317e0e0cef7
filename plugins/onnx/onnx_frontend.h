// SPDX-License-Identifier: Apache-2.0
//
// What the files of the ONNX frontend share. The way of a model: onnx_wire.c checks the bytes and
// strips the weights from them, protobuf-c unpacks the rest, onnx_survey.c lists operators nobody
// knows, onnx_graph.c walks the graphs, and the onnx_convert_*.c files turn each node into the form
// of the newest operator set. Weights stay views into the file. All memory comes from the builder's
// scratch and ends with parse; nothing here is freed, so no error path can leak.
#ifndef TRIVET_PLUGINS_ONNX_ONNX_FRONTEND_H_
#define TRIVET_PLUGINS_ONNX_ONNX_FRONTEND_H_

#include <stddef.h>
#include <stdint.h>

#include "third_party/onnx/onnx.pb-c.h"
#include "trivet/plugin.h"

#define TVI_ONNX_OLDEST_OPSET 7
#define TVI_ONNX_NEWEST_OPSET 28
// Levels of messages inside messages. The C++ protobuf library reads no more than this, so no tool
// wrote a deeper file.
#define TVI_ONNX_MAX_MESSAGE_DEPTH 100
// Graphs inside graphs plus functions called by functions: bounds our own recursion.
#define TVI_ONNX_MAX_NESTING 96
// Nodes and calls after inlining, for a model of |nodes| nodes: functions that call functions can
// grow without bound from a small file.
#define TVI_ONNX_MAX_NODES(nodes) (((uint64_t)1 << 17) + 256 * (uint64_t)(nodes))
#define TVI_ONNX_MAX_OPERANDS 65536u

#define TVI_ONNX_RETURN_IF_ERROR(expression) \
  do {                                       \
    trivet_status_t status_ = (expression);  \
    if (status_ != NULL) return status_;     \
  } while (0)

// ---- memory (onnx_memory.c) ----

typedef struct tvi_onnx_arena_s {
  trivet_graph_builder_t* builder;
  uint8_t* next;
  uint64_t left;
  uint64_t used;            // bytes handed out
  uint64_t budget;          // |used| may not pass this through the protobuf-c allocator
  trivet_status_t pending;  // error behind |failed|, to be returned by whoever called protobuf-c;
                            // NULL: the budget
  uint32_t failed;          // 1: the allocator for protobuf-c ran dry or passed the budget
  uint32_t reserved;
} tvi_onnx_arena_t;

// Zeroed memory, 16-byte aligned; lives until parse returns.
trivet_status_t tvi_onnx_arena_allocate(tvi_onnx_arena_t* arena, uint64_t count, uint64_t size,
                                        void* out_memory);
// The arena as an allocator for protobuf-c. Frees do nothing.
ProtobufCAllocator tvi_onnx_arena_protobuf(tvi_onnx_arena_t* arena);

// Hash map from names to numbers. Keys are borrowed. A zeroed struct is an empty map.
typedef struct tvi_onnx_map_entry_s {
  const char* key;  // NULL: free
  uint64_t value;
} tvi_onnx_map_entry_t;
typedef struct tvi_onnx_map_s {
  tvi_onnx_map_entry_t* entries;
  uint64_t capacity;  // 0 or a power of two
  uint64_t count;
} tvi_onnx_map_t;

const uint64_t* tvi_onnx_map_find(const tvi_onnx_map_t* map, const char* key);  // NULL: not there
// |out_added| receives 0 if the key was there already; its value then stays.
trivet_status_t tvi_onnx_map_add(tvi_onnx_arena_t* arena, tvi_onnx_map_t* map, const char* key,
                                 uint64_t value, uint32_t* out_added);

// ---- the wire format (onnx_wire.c) ----

// What stands in TensorProto.raw_data of the stripped copy instead of the bytes.
typedef struct tvi_onnx_raw_s {
  uint64_t offset;  // in the file
  uint64_t size;
} tvi_onnx_raw_t;

// 0..100: how sure the bytes are an ONNX model. Reads top-level field headers only.
uint32_t tvi_onnx_wire_probe(const uint8_t* bytes, uint64_t size);

typedef struct tvi_onnx_wire_error_s {
  char text[256];
} tvi_onnx_wire_error_t;

// Checks every message of the file (lengths, wire types, nesting) and writes a copy without
// documentation, unknown fields and raw_data (each replaced by a tvi_onnx_raw_t). With |out| NULL
// only counts. Returns TRIVET_STATUS_OK, or the code of the error whose text is in |error|.
uint32_t tvi_onnx_wire_strip(const uint8_t* bytes, uint64_t size, uint8_t* out, uint64_t* out_size,
                             tvi_onnx_wire_error_t* error);

// ---- the model being read ----

typedef struct tvi_onnx_node_s tvi_onnx_node_t;
typedef struct tvi_onnx_scope_s tvi_onnx_scope_t;

typedef struct tvi_onnx_function_s {
  const Onnx__FunctionProto* proto;
  const char* key;  // "domain:name:overload"
  uint32_t surveyed;
  uint32_t active;  // calls of it that are being inlined
} tvi_onnx_function_t;

typedef struct tvi_onnx_s {
  trivet_graph_builder_t* builder;
  trivet_source_t* source;
  trivet_string_view_t file;  // for messages and origins
  const uint8_t* bytes;
  uint64_t size;
  tvi_onnx_arena_t arena;
  const Onnx__ModelProto* model;
  tvi_onnx_function_t* functions;
  uint64_t function_count;
  tvi_onnx_map_t function_map;
  tvi_onnx_map_t symbols;       // dim_param -> trivet_dim_t
  tvi_onnx_map_t symbol_names;  // names of symbols that are taken
  uint32_t nesting;
  uint32_t node_count;       // nodes and calls so far
  uint32_t file_node_count;  // nodes of the file, those of functions once
  uint32_t renamed_symbols;
  uint32_t constant_count;
  uint64_t viewed_bytes;
  uint64_t copied_bytes;
} tvi_onnx_t;

// Whose nodes are converted: the model's own, or those of a function at one call.
typedef struct tvi_onnx_frame_s {
  const tvi_onnx_function_t* function;  // NULL: the model
  const tvi_onnx_node_t* call;          // the calling node; NULL: the model
  const char* prefix;  // put before the names of nodes and values, "" for the model
  Onnx__OperatorSetIdProto* const* opsets;
  size_t opset_count;
} tvi_onnx_frame_t;

// Names visible at one place: one graph or function body and what encloses it.
struct tvi_onnx_scope_s {
  const tvi_onnx_scope_t* outer;  // NULL: nothing visible outside
  const tvi_onnx_frame_t* frame;
  const char* place;  // "graph 'main'", for messages
  tvi_onnx_map_t values;
  Onnx__NodeProto* const* nodes;
  size_t node_count;
};

// An attribute of a node with references to function attributes resolved.
typedef struct tvi_onnx_attribute_s {
  trivet_attribute_t value;           // graphs: data is NULL until they are built
  const Onnx__AttributeProto* proto;  // NULL: made by a conversion
  const tvi_onnx_scope_t* scope;      // where a graph attribute sees its outer names
} tvi_onnx_attribute_t;

#define TVI_ONNX_MAX_ATTRIBUTES 64u

// A node on its way to the builder. Conversions edit operator, operands and attributes; what is
// left is emitted.
struct tvi_onnx_node_s {
  tvi_onnx_t* onnx;
  tvi_onnx_scope_t* scope;
  const Onnx__NodeProto* proto;
  size_t index;        // in its graph
  const char* domain;  // "" for ai.onnx
  const char* type;    // ONNX operator
  int64_t opset;       // version of the domain in force
  const char* op;      // operator to emit, "std.Conv"
  uint32_t op_version;
  uint32_t emitted;  // 1: the conversion has set |outputs| itself
  trivet_value_t* inputs;
  uint32_t input_count;
  uint32_t input_capacity;
  uint32_t output_count;
  uint32_t attribute_count;
  trivet_value_t* outputs;
  tvi_onnx_attribute_t attributes[TVI_ONNX_MAX_ATTRIBUTES];
  trivet_origin_t origin;
};

// ---- errors (onnx_plugin.c) ----

// "FILE: text".
trivet_status_t tvi_onnx_error(const tvi_onnx_t* onnx, uint32_t code, const char* format, ...)
    TRIVET_PRINTF_FORMAT(3, 4);
// "FILE: node 'NAME' (ai.onnx.Conv, node 12 of graph 'main'): text".
trivet_status_t tvi_onnx_node_error(const tvi_onnx_node_t* node, uint32_t code, const char* format,
                                    ...) TRIVET_PRINTF_FORMAT(3, 4);
// A formatted string in the arena.
trivet_status_t tvi_onnx_format(tvi_onnx_t* onnx, const char** out_text, const char* format, ...)
    TRIVET_PRINTF_FORMAT(3, 4);
static inline const char* tvi_onnx_text(const char* text) { return text != NULL ? text : ""; }
trivet_string_view_t tvi_onnx_view(const char* text);

// ---- types and tensors (onnx_type.c, onnx_tensor.c) ----

// TRIVET_DTYPE_INVALID for types that have no counterpart.
uint32_t tvi_onnx_dtype(int64_t onnx_type);
const char* tvi_onnx_dtype_name(
    int64_t onnx_type);  // "FLOAT16"; "type 77" numbers are the caller's to print: NULL
// Bits of one element, 0 for none.
uint32_t tvi_onnx_dtype_bits(uint32_t dtype);
// The type that input |index| of |graph| declares. |out_has_shape| 0: the element type is known (or
// INVALID), the rank is not.
trivet_status_t tvi_onnx_value_info_type(tvi_onnx_t* onnx, const Onnx__GraphProto* graph,
                                         size_t index, const char* place, trivet_type_t* out_type,
                                         uint32_t* out_has_shape);

// Decodes a tensor. |out_flags| says whether data may be viewed. |what| names the tensor in
// messages.
trivet_status_t tvi_onnx_tensor(tvi_onnx_t* onnx, const Onnx__TensorProto* proto, const char* what,
                                trivet_tensor_t* out_tensor, uint32_t* out_flags);
trivet_status_t tvi_onnx_sparse_tensor(tvi_onnx_t* onnx, const Onnx__SparseTensorProto* proto,
                                       const char* what, trivet_tensor_t* out_tensor);
trivet_status_t tvi_onnx_add_constant(tvi_onnx_t* onnx, const char* name,
                                      const trivet_tensor_t* tensor, uint32_t flags,
                                      trivet_value_t* out_value);

// ---- attributes (onnx_attribute.c) ----

// Resolves references and decodes everything but graphs into |node->attributes|.
trivet_status_t tvi_onnx_read_attributes(tvi_onnx_node_t* node);
tvi_onnx_attribute_t* tvi_onnx_attribute(tvi_onnx_node_t* node, const char* name);  // NULL: absent
int64_t tvi_onnx_attribute_i64(tvi_onnx_node_t* node, const char* name, int64_t fallback);
double tvi_onnx_attribute_f64(tvi_onnx_node_t* node, const char* name, double fallback);
const char* tvi_onnx_attribute_string(tvi_onnx_node_t* node, const char* name,
                                      const char* fallback);
// NULL and 0 if absent or of another kind.
const int64_t* tvi_onnx_attribute_i64s(tvi_onnx_node_t* node, const char* name,
                                       uint64_t* out_count);
const double* tvi_onnx_attribute_f64s(tvi_onnx_node_t* node, const char* name, uint64_t* out_count);
void tvi_onnx_drop_attribute(tvi_onnx_node_t* node, const char* name);
trivet_status_t tvi_onnx_set_i64(tvi_onnx_node_t* node, const char* name, int64_t value);
trivet_status_t tvi_onnx_set_i64s(tvi_onnx_node_t* node, const char* name, const int64_t* values,
                                  uint64_t count);
trivet_status_t tvi_onnx_set_f64(tvi_onnx_node_t* node, const char* name, double value);
trivet_status_t tvi_onnx_set_string(tvi_onnx_node_t* node, const char* name, const char* value);

// ---- graphs (onnx_graph.c, onnx_function.c, onnx_survey.c) ----

trivet_status_t tvi_onnx_read_graph(tvi_onnx_t* onnx);
// Builds |graph|, a body of |attribute|, between begin_subgraph and end_subgraph. |formal_types|
// (|formal_count|) are the types of its inputs, which must be as many; NULL: the body declares
// them.
trivet_status_t tvi_onnx_read_subgraph(tvi_onnx_node_t* node, const tvi_onnx_attribute_t* attribute,
                                       const Onnx__GraphProto* graph,
                                       const trivet_type_t* formal_types, uint32_t formal_count,
                                       uint32_t* out_graph);
// Puts the nodes of the one body in |attribute|, which has no inputs, in the place of |node|. The
// body must have |output_count| outputs or more.
trivet_status_t tvi_onnx_inline_subgraph(tvi_onnx_node_t* node,
                                         const tvi_onnx_attribute_t* attribute);
// Converts a list of nodes in a scope.
trivet_status_t tvi_onnx_read_nodes(tvi_onnx_t* onnx, tvi_onnx_scope_t* scope);
// Makes |name| visible. Fails if the scope itself has it already; a name of an outer scope may be
// hidden. |value| 0: an operand that the caller of a function left out.
trivet_status_t tvi_onnx_scope_bind(tvi_onnx_t* onnx, tvi_onnx_scope_t* scope, const char* name,
                                    trivet_value_t value);
// NULL: not visible.
const uint64_t* tvi_onnx_scope_find(const tvi_onnx_scope_t* scope, const char* name);
// |name| with the prefix of the scope's frame.
trivet_status_t tvi_onnx_full_name(tvi_onnx_t* onnx, const tvi_onnx_scope_t* scope,
                                   const char* name, const char** out_name);

trivet_status_t tvi_onnx_index_functions(tvi_onnx_t* onnx);
// The model-local function that a node calls; NULL: none. A registered operator of the same name
// comes first.
trivet_status_t tvi_onnx_find_function(tvi_onnx_t* onnx, const Onnx__NodeProto* proto,
                                       tvi_onnx_function_t** out_function);
trivet_status_t tvi_onnx_inline_function(tvi_onnx_node_t* node, tvi_onnx_function_t* function);

// "" for ai.onnx.
const char* tvi_onnx_domain(const char* domain);
const char* tvi_onnx_domain_name(const char* domain);  // "ai.onnx" for ""
// Version of |domain| in force in a list of imports; 0: not imported.
int64_t tvi_onnx_opset(Onnx__OperatorSetIdProto* const* opsets, size_t count, const char* domain);

// One UNIMPLEMENTED error that lists every operator that neither the registry nor a conversion
// knows.
trivet_status_t tvi_onnx_survey(tvi_onnx_t* onnx);

// ---- conversion (onnx_convert.c and its families) ----

// One step towards the newest form: applies to |type| of |domain| in opsets below |below|. The
// steps of an operator stand in ascending order of |below| and are applied one after the other.
typedef struct tvi_onnx_conversion_s {
  const char* domain;
  const char* type;
  int64_t below;       // TVI_ONNX_ALWAYS: every opset
  const char* target;  // operator that must exist, "std.Resize"; NULL: std.<type>; "": none
  trivet_status_t (*convert)(tvi_onnx_node_t* node);
} tvi_onnx_conversion_t;
#define TVI_ONNX_ALWAYS INT64_MAX

// The families; each ends with a row whose type is NULL.
extern const tvi_onnx_conversion_t tvi_onnx_conversions_shape[];
extern const tvi_onnx_conversion_t tvi_onnx_conversions_reduce[];
extern const tvi_onnx_conversion_t tvi_onnx_conversions_normalize[];
extern const tvi_onnx_conversion_t tvi_onnx_conversions_pointwise[];
extern const tvi_onnx_conversion_t tvi_onnx_conversions_resize[];
extern const tvi_onnx_conversion_t tvi_onnx_conversions_control[];
extern const tvi_onnx_conversion_t tvi_onnx_conversions_constant[];
extern const tvi_onnx_conversion_t tvi_onnx_conversions_microsoft[];
extern const tvi_onnx_conversion_t tvi_onnx_conversions_attention[];
extern const tvi_onnx_conversion_t tvi_onnx_conversions_ml[];

// The name under which an operator is looked up, "std.Conv" or "acme.Op"; what the first matching
// conversion asks for.
// "" if it needs none.
trivet_status_t tvi_onnx_target(tvi_onnx_t* onnx, const char* domain, const char* type,
                                int64_t opset, const char** out_op);
trivet_status_t tvi_onnx_convert_node(tvi_onnx_node_t* node);

// What conversions are made of. Operands: 0 is absent.
trivet_value_t tvi_onnx_input(const tvi_onnx_node_t* node, uint32_t index);
trivet_status_t tvi_onnx_set_input(tvi_onnx_node_t* node, uint32_t index, trivet_value_t value);
trivet_status_t tvi_onnx_require_inputs(const tvi_onnx_node_t* node, uint32_t least, uint32_t most);
trivet_status_t tvi_onnx_input_type(const tvi_onnx_node_t* node, uint32_t index,
                                    trivet_type_t* out_type);
trivet_status_t tvi_onnx_value_type(const tvi_onnx_node_t* node, trivet_value_t value,
                                    trivet_type_t* out_type);
trivet_status_t tvi_onnx_constant_i64s(tvi_onnx_node_t* node, const int64_t* values, uint64_t count,
                                       trivet_value_t* out_value);
trivet_status_t tvi_onnx_constant_f32s(tvi_onnx_node_t* node, const double* values, uint64_t count,
                                       trivet_value_t* out_value);
trivet_status_t tvi_onnx_constant_i64(tvi_onnx_node_t* node, int64_t value,
                                      trivet_value_t* out_value);
// A scalar of type |dtype| (any float or integer type).
trivet_status_t tvi_onnx_constant_scalar(tvi_onnx_node_t* node, uint32_t dtype, double value,
                                         trivet_value_t* out_value);
// Adds a helper node with the origin of |node|.
trivet_status_t tvi_onnx_emit(tvi_onnx_node_t* node, const char* op, const trivet_value_t* inputs,
                              uint32_t input_count, const trivet_attribute_t* attributes,
                              uint32_t attribute_count, trivet_value_t* out_value);
// Adds the node as it now stands; sets |outputs| and |emitted|.
trivet_status_t tvi_onnx_emit_node(tvi_onnx_node_t* node);
// Moves an i64 list attribute to operand |index| as a constant; absent stays absent.
trivet_status_t tvi_onnx_attribute_to_input(tvi_onnx_node_t* node, const char* name,
                                            uint32_t index);

#define TVI_ONNX_ATTR_I64(attr_name, pointer) \
  { (attr_name), TRIVET_ATTR_I64, 0, 1, (pointer) }
#define TVI_ONNX_ATTR_I64S(attr_name, pointer, n) \
  { (attr_name), TRIVET_ATTR_I64, TRIVET_ATTR_LIST, (n), (pointer) }
#define TVI_ONNX_ATTR_F32(attr_name, pointer) \
  { (attr_name), TRIVET_ATTR_F32, 0, 1, (pointer) }
#define TVI_ONNX_ATTR_DTYPE(attr_name, pointer) \
  { (attr_name), TRIVET_ATTR_DTYPE, 0, 1, (pointer) }
#define TVI_ONNX_ATTR_STRING(attr_name, pointer) \
  { (attr_name), TRIVET_ATTR_STRING, 0, 1, (pointer) }

#endif  // TRIVET_PLUGINS_ONNX_ONNX_FRONTEND_H_
