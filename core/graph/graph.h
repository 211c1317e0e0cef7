// SPDX-License-Identifier: Apache-2.0
//
// Graph: nodes and values addressed by ids, in one arena, freed at once. Pointers to nodes and
// values stay valid as long as the graph. It stands between frontends (which build it), passes
// (which rewrite it) and cover (after which it is const). The core knows only the operators
// core.If, core.Loop, core.Scan and core.Call; every other operator is a definition in the
// registry. Nothing of a target, layout, stride or memory space may enter it.
//
// A graph and its subgraphs share the arena, the dimension context and the registry; they belong to
// one thread at a time.
#ifndef TRIVET_CORE_GRAPH_GRAPH_H_
#define TRIVET_CORE_GRAPH_GRAPH_H_

#include <stdbool.h>

#include "core/base/arena.h"
#include "core/dimension/dimension.h"
#include "core/kernel_ir/kernel_ir.h"
#include "core/registry/registry.h"
#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef uint32_t tvi_value_id_t;  // 0: none
typedef uint32_t tvi_node_id_t;   // 0: none

// Origin ids refer to a table in the root graph; a node carries a sorted set of them. Rewriting
// merges sets, so no pass can forget one.
typedef uint32_t tvi_origin_id_t;

typedef enum tvi_constant_kind_e {
  TVI_CONSTANT_SOURCE = 0,   // bytes of the model under their original name
  TVI_CONSTANT_DERIVED = 1,  // computed from other constants by |derivation|
  TVI_CONSTANT_DIMS = 2,     // small integers given as dimensions; no bytes
} tvi_constant_kind_t;

typedef struct tvi_constant_s {
  tvi_constant_kind_t kind;
  bool hashed;
  trivet_string_view_t name;  // original name; empty for DERIVED and DIMS
  const void* data;  // dense row-major, any alignment; NULL for DIMS that are not all numbers
  uint64_t size;
  uint64_t hash[2];  // of type and content, computed on first use by tvi_constant_hash
  // DERIVED: the node that computed it, kept as a record (its inputs are constants), so that the
  // value can be computed again.
  const struct tvi_derivation_s* derivation;
} tvi_constant_t;

typedef struct tvi_derivation_s {
  const tvi_operator_entry_t* op;
  const trivet_attribute_t* attributes;
  uint32_t attribute_count;
  uint32_t input_count;
  uint32_t output_index;
  uint32_t reserved;
  const tvi_constant_t* const* inputs;  // NULL entries: absent
  const trivet_type_t* input_types;
} tvi_derivation_t;

// Operand of a use by a capture: this bit, and the position of the subgraph in its node.
#define TVI_USE_CAPTURE 0x80000000u

typedef struct tvi_use_s {
  tvi_node_id_t node;
  uint32_t operand;  // position among the inputs, or TVI_USE_CAPTURE | position among the subgraphs
} tvi_use_t;

typedef struct tvi_value_s {
  trivet_type_t type;
  tvi_node_id_t producer;  // 0: graph input, constant or capture
  uint32_t output_index;   // of the producer; of the graph for inputs
  bool is_input;
  bool is_capture;  // stands for a value of the enclosing graph (tvi_graph_capture)
  bool observed;    // keeps a buffer and can be dumped by name
  bool dead;
  tvi_value_id_t outer;      // captured value in the parent graph
  tvi_constant_t* constant;  // NULL: not constant
  const trivet_dim_t* ints;  // known contents as dimensions, or NULL; ask tvi_graph_value_ints
  uint64_t int_count;
  const trivet_dim_t* partial_ints;  // the same with NULL where an element is unknown
  trivet_string_view_t* names;       // original names; the first is used in reports
  uint32_t name_count;
  uint32_t use_count;  // uses by nodes; graph outputs not counted
  tvi_use_t* uses;
  uint32_t use_capacity;
  uint32_t output_uses;  // how often it is a graph output
} tvi_value_t;

typedef struct tvi_node_s {
  const tvi_operator_entry_t* op;
  trivet_attribute_t* attributes;
  uint32_t attribute_count;
  uint32_t input_count;
  uint32_t output_count;
  bool dead;
  tvi_value_id_t* inputs;   // 0: absent
  tvi_value_id_t* outputs;  // 0: not asked for
  tvi_origin_id_t* origins;
  uint32_t origin_count;
  uint32_t subgraph_count;
  uint32_t data_symbol_count;
  uint32_t expansion_depth;      // how many graph-form operators were expanded to make it
  trivet_graph_t** subgraphs;    // graph attributes hold positions in this list
  trivet_dim_t* data_symbols;    // data-dependent sizes that its inference made
  const char* made_by;           // pass that made it; NULL: the frontend
  tvi_node_id_t previous, next;  // list in topological order
} tvi_node_t;

typedef struct tvi_named_value_s {
  trivet_string_view_t name;
  tvi_value_id_t value;
  uint32_t reserved;
} tvi_named_value_t;

// A check that must hold when shapes are bound: what rewrites and broadcasting assumed.
typedef struct tvi_assumption_s {
  trivet_dim_t a, b;  // a == b
  tvi_origin_id_t origin;
  uint32_t by_rewrite;  // 0: from inference, which finds it again
} tvi_assumption_t;

// Evaluates one node over constants; set by whoever owns the graph (the compiler gives its fastest
// executor). NULL: the plain evaluator.
typedef struct tvi_graph_evaluator_s {
  void* self;
  trivet_status_t (*evaluate)(void* self, const trivet_graph_t* graph, tvi_node_id_t node,
                              const trivet_tensor_t* inputs, trivet_tensor_t* outputs);
} tvi_graph_evaluator_t;

struct trivet_graph_s {
  trivet_allocator_t allocator;
  tvi_arena_t* arena;
  tvi_dim_context_t* dims;
  const tvi_registry_t* registry;
  trivet_graph_t* parent;  // NULL: root
  trivet_graph_t* root;
  tvi_node_id_t owner;   // node of the parent that holds this subgraph; 0: none yet, or root
  uint32_t owner_index;  // position among its subgraphs
  trivet_string_view_t name;
  tvi_value_t** values;  // [0] unused
  uint32_t value_count, value_capacity;
  tvi_node_t** nodes;  // [0] unused
  uint32_t node_count, node_capacity;
  tvi_node_id_t first, last;
  tvi_named_value_t* inputs;
  uint32_t input_count, input_capacity;
  tvi_named_value_t* outputs;
  uint32_t output_count, output_capacity;
  // root only
  trivet_origin_t* origins;  // id - 1; tvi_graph_origin (graph_report.h)
  uint32_t origin_count, origin_capacity;
  tvi_assumption_t* assumptions;
  uint32_t assumption_count, assumption_capacity;
  tvi_graph_evaluator_t evaluator;
  const char* current_pass;       // stamped into made_by
  bool out_of_memory;             // a dimension could not be made; every later call says so
  trivet_graph_t* next_subgraph;  // all subgraphs ever made, to be destroyed with the root
  void* keepalive;                // owner of mapped bytes, released with the graph
  void (*release_keepalive)(void* keepalive);
};

// The core operators (If, Loop, Scan, Call) as a plugin, for tvi_registry_add.
const trivet_plugin_t* tvi_graph_core_operators(uint32_t host_major, uint32_t host_minor);
// Parses the texts of operators and scalar functions, for tvi_registry_options_t; rewrites are not
// looked at (tvi_pass_text_parser in core/pass/pass.h does that too).
const tvi_operator_parser_t* tvi_graph_operator_parser(void);
trivet_status_t tvi_graph_parse_operator(const trivet_operator_t* definition,
                                         trivet_allocator_t allocator,
                                         struct tvi_kir_operator_s** out_parsed);
trivet_status_t tvi_graph_parse_function(const trivet_scalar_function_t* definition,
                                         const char* plugin, trivet_allocator_t allocator,
                                         struct tvi_kir_function_s** out_parsed);

trivet_status_t tvi_graph_create(const tvi_registry_t* registry, trivet_allocator_t allocator,
                                 trivet_graph_t** out_graph);
void tvi_graph_destroy(trivet_graph_t* graph);  // accepts NULL; a root destroys its subgraphs
trivet_status_t tvi_graph_create_subgraph(trivet_graph_t* parent, trivet_string_view_t name,
                                          trivet_graph_t** out_graph);

static inline tvi_value_t* tvi_graph_value(const trivet_graph_t* graph, tvi_value_id_t id) {
  return graph->values[id];
}
static inline tvi_node_t* tvi_graph_node(const trivet_graph_t* graph, tvi_node_id_t id) {
  return graph->nodes[id];
}
#define TVI_GRAPH_FOR_EACH_NODE(graph, id) \
  for (tvi_node_id_t id = (graph)->first; id; id = (graph)->nodes[id]->next)

trivet_status_t tvi_graph_add_input(trivet_graph_t* graph, trivet_string_view_t name,
                                    const trivet_type_t* type, tvi_value_id_t* out_value);
// |copy|: the bytes are copied into the arena; otherwise they must outlive the graph.
trivet_status_t tvi_graph_add_constant(trivet_graph_t* graph, trivet_string_view_t name,
                                       const trivet_tensor_t* tensor, bool copy,
                                       tvi_value_id_t* out_value);
// A constant of small integers given as dimensions (rank 0 or 1 unless |type| says otherwise).
trivet_status_t tvi_graph_add_dims_constant(trivet_graph_t* graph, const trivet_type_t* type,
                                            const trivet_dim_t* dims, tvi_value_id_t* out_value);

// What a new node is made from. Attribute data is copied. Everything is checked against the
// operator's declaration, and types are inferred.
typedef struct tvi_node_desc_s {
  const char* op;    // "std.Add"
  uint32_t version;  // 0: newest
  const tvi_value_id_t* inputs;
  uint32_t input_count;
  const trivet_attribute_t* attributes;
  uint32_t attribute_count;
  uint32_t output_count;
  const tvi_origin_id_t* origins;
  uint32_t origin_count;
  trivet_graph_t* const* subgraphs;
  uint32_t subgraph_count;
  tvi_node_id_t before;          // inserted before this node; 0: at the end
  uint32_t expansion_depth;      // of the node that it replaces, plus 1
  const uint8_t* output_wanted;  // one per output; 0: not asked for. NULL: all are
} tvi_node_desc_t;

trivet_status_t tvi_graph_add_node(trivet_graph_t* graph, const tvi_node_desc_t* desc,
                                   tvi_node_id_t* out_node);
trivet_status_t tvi_graph_add_output(trivet_graph_t* graph, trivet_string_view_t name,
                                     tvi_value_id_t value);
tvi_origin_id_t tvi_graph_add_origin(trivet_graph_t* graph,
                                     const trivet_origin_t* origin);  // 0 on failure
trivet_status_t tvi_graph_name_value(trivet_graph_t* graph, tvi_value_id_t value,
                                     trivet_string_view_t name);
// The value of a subgraph that stands for |outer| of the parent; made on first use (through all
// levels between).
trivet_status_t tvi_graph_capture(trivet_graph_t* subgraph, tvi_value_id_t outer,
                                  tvi_value_id_t* out_value);

// Editing. Names, uses and observation of a replaced value move to the replacement. Origins of a
// removed node are merged into its successor by tvi_graph_merge_origins.
trivet_status_t tvi_graph_replace_value(trivet_graph_t* graph, tvi_value_id_t old_value,
                                        tvi_value_id_t new_value);
trivet_status_t tvi_graph_set_operand(trivet_graph_t* graph, tvi_node_id_t node, uint32_t operand,
                                      tvi_value_id_t value);
void tvi_graph_remove_node(trivet_graph_t* graph,
                           tvi_node_id_t node);  // its outputs must be unused
trivet_status_t tvi_graph_merge_origins(trivet_graph_t* graph, tvi_node_id_t into,
                                        tvi_node_id_t from);
// Removes nodes, constants and captures that nobody uses, also in subgraphs; inputs stay. IMPURE
// nodes stay.
trivet_status_t tvi_graph_remove_dead(trivet_graph_t* graph, uint32_t* out_removed);
// Removes |node| if nobody uses it, and then what only it used. |into| takes the origins; 0: none
// does.
trivet_status_t tvi_graph_sweep(trivet_graph_t* graph, tvi_node_id_t node, tvi_node_id_t into);
// Puts |replacement| in the place of |value|, which a node makes: uses, names and origins move, and
// what nobody uses afterwards is removed.
trivet_status_t tvi_graph_supersede(trivet_graph_t* graph, tvi_value_id_t value,
                                    tvi_value_id_t replacement);
// Moves a node before |before| (0: to the end). The caller keeps the order right.
void tvi_graph_move_node(trivet_graph_t* graph, tvi_node_id_t node, tvi_node_id_t before);
// Records that a == b must hold when shapes are bound. Two different numbers: INVALID_ARGUMENT.
trivet_status_t tvi_graph_assume(trivet_graph_t* graph, trivet_dim_t a, trivet_dim_t b,
                                 tvi_origin_id_t origin);
// Infers the types of all nodes again (after operand changes or narrowed symbols).
trivet_status_t tvi_graph_infer(trivet_graph_t* graph);

// Queries.
const trivet_attribute_t* tvi_node_attribute(const tvi_node_t* node,
                                             const char* name);  // default applied; NULL: absent
int64_t tvi_node_attr_i64(const tvi_node_t* node, const char* name, int64_t fallback);
double tvi_node_attr_f64(const tvi_node_t* node, const char* name, double fallback);
trivet_string_view_t tvi_node_attr_string(const tvi_node_t* node, const char* name);
bool tvi_node_is(const tvi_node_t* node, const char* op);  // "std.Add", any version
bool tvi_type_equal(const trivet_type_t* a, const trivet_type_t* b);
bool tvi_type_same_shape(const trivet_type_t* a, const trivet_type_t* b);  // any element types
bool tvi_type_element_count(const trivet_graph_t* graph, const trivet_type_t* type,
                            trivet_dim_t* out_count);
bool tvi_value_static_size(const tvi_value_t* value, uint64_t* out_bytes);    // false: symbolic
bool tvi_value_scalar_constant(const tvi_value_t* value, double* out_value);  // all elements equal
trivet_status_t tvi_constant_hash(tvi_constant_t* constant, const trivet_type_t* type,
                                  uint64_t out_hash[2]);
// Contents of a small integer or bool value as dimensions, whether computed or constant; NULL:
// unknown. At most 1024 elements.
const trivet_dim_t* tvi_graph_value_ints(const trivet_graph_t* graph, tvi_value_id_t value,
                                         uint64_t* out_count);
// A constant as a tensor; false: no constant, or one of symbolic dimensions.
bool tvi_value_tensor(const tvi_value_t* value, trivet_tensor_t* out_tensor);
bool tvi_type_static_dims(const trivet_type_t* type, int64_t* out_dims);  // false: symbolic
bool tvi_value_is_output(const tvi_value_t* value);
// The only use of |value|; false when it has none or several or is a graph output.
bool tvi_value_only_use(const tvi_value_t* value, tvi_use_t* out_use);
const int64_t* tvi_node_attr_i64s(const tvi_node_t* node, const char* name, uint64_t* out_count);
uint32_t tvi_node_attr_dtype(const tvi_node_t* node, const char* name, uint32_t fallback);
// Axis `index` of a list attribute of core.Scan, brought into 0 .. rank - 1; false: out of range.
bool tvi_scan_axis(const tvi_node_t* node, const char* attribute, uint32_t index, uint32_t rank,
                   uint32_t* out_axis);
// Kind and flags that an operator declares for an attribute; false: it declares none of that name.
bool tvi_graph_attribute_kind(const tvi_operator_entry_t* op, const char* name, uint32_t* out_kind,
                              uint32_t* out_flags);
bool tvi_node_is_pure(const tvi_node_t* node);  // may be merged, folded, dropped
// "node 'conv1' (std.Conv)": how messages call a node. Text in |buffer|, cut to its size.
const char* tvi_graph_node_label(const trivet_graph_t* graph, tvi_node_id_t node, char* buffer,
                                 size_t size);
tvi_value_id_t tvi_graph_find_value(const trivet_graph_t* graph,
                                    trivet_string_view_t name);  // by original name; 0: none

// Kernel-IR program of one node: the operator's text, or what its lower hook prints, instantiated.
// Values carry the operand position as tag (inputs) or 0x1000 + position (outputs). Fails with
// UNIMPLEMENTED for operators whose meaning is a graph or a host function.
trivet_status_t tvi_graph_node_program(const trivet_graph_t* graph, tvi_node_id_t node,
                                       tvi_arena_t* arena, tvi_kir_program_t** out_program);
// Replaces a node whose meaning is a graph of other operators by that graph. |out_expanded| false:
// its meaning is not a graph.
trivet_status_t tvi_graph_expand_node(trivet_graph_t* graph, tvi_node_id_t node,
                                      bool* out_expanded);
// Evaluates a node whose inputs are constants, by |graph->evaluator|; outputs become derived
// constants. Symbolic shapes: FAILED_PRECONDITION.
trivet_status_t tvi_graph_evaluate_node(trivet_graph_t* graph, tvi_node_id_t node,
                                        tvi_value_id_t* out_values);
// One node on host tensors with the plain evaluator: kernel IR, evaluate hook, graph or subgraphs.
// Shapes are those of |inputs| (entries without data and dtype are absent), whatever the graph
// says. |out_outputs|: node->output_count tensors; data is the caller's, tvi_free(allocator, data,
// size); entries not asked for have dtype 0. Strings hold their text in the same allocation (size
// covers it).
trivet_status_t tvi_graph_evaluate_plain(const trivet_graph_t* graph, tvi_node_id_t node,
                                         const trivet_tensor_t* inputs,
                                         trivet_allocator_t allocator,
                                         trivet_tensor_t* out_outputs);
// A whole graph likewise: one tensor per graph input, one per graph output.
trivet_status_t tvi_graph_evaluate_graph(const trivet_graph_t* graph, const trivet_tensor_t* inputs,
                                         uint32_t input_count, trivet_allocator_t allocator,
                                         trivet_tensor_t* out_outputs);

// Every rule of the form: order, types, use lists, captures, attributes. An error names the node
// and its origin.
trivet_status_t tvi_graph_verify(const trivet_graph_t* graph);

// The handle that a frontend gets. Destroyed by the caller; the graph stays.
trivet_status_t tvi_graph_builder_create(trivet_graph_t* graph, const trivet_logger_t* logger,
                                         trivet_graph_builder_t** out_builder);
// The handle of the value of the outermost graph that is called |name|; 0: none.
trivet_value_t tvi_graph_builder_find(const trivet_graph_builder_t* builder,
                                      trivet_string_view_t name);
void tvi_graph_builder_destroy(trivet_graph_builder_t* builder);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_CORE_GRAPH_GRAPH_H_
