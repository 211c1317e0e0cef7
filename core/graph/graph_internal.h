// SPDX-License-Identifier: Apache-2.0
//
// What the files of core/graph share and nobody else includes: storage helpers, inference of one
// node, and the rules of the core operators.
#ifndef TRIVET_CORE_GRAPH_GRAPH_INTERNAL_H_
#define TRIVET_CORE_GRAPH_GRAPH_INTERNAL_H_

#include "core/base/status.h"
#include "core/base/string_view.h"
#include "core/graph/graph.h"
#include "core/kernel_ir/operator_instance.h"

// Elements of a value whose contents are carried as dimensions, at most.
#define TVI_GRAPH_MAX_INTS 1024u
// Graph-form operators inside graph-form operators, subgraphs inside subgraphs.
#define TVI_GRAPH_MAX_DEPTH 32u
#define TVI_NODE_LABEL_SIZE 192

// What inference says about one output.
typedef struct tvi_inferred_s {
  trivet_type_t type;
  bool is_set;
  const trivet_dim_t* ints;          // in the graph's arena, or NULL
  const trivet_dim_t* partial_ints;  // likewise
  uint64_t int_count;
} tvi_inferred_t;

// Dimensions are NULL both when they overflow and when there is no memory: what a public function
// returns becomes OUT_OF_MEMORY in the second case. Consumes `status`.
trivet_status_t tvi_graph_result(const trivet_graph_t* graph, trivet_status_t status);
// An allocator for dimensions of the graph, which notes that memory ran out.
trivet_allocator_t tvi_graph_dim_allocator(trivet_graph_t* root);
// A dead value's or node's slot is kept, so ids stay unique.
trivet_status_t tvi_graph_new_value(trivet_graph_t* graph, const trivet_type_t* type,
                                    tvi_value_id_t* out_value);
trivet_status_t tvi_graph_reserve_values(trivet_graph_t* graph, uint32_t extra);
trivet_status_t tvi_graph_add_use(trivet_graph_t* graph, tvi_value_id_t value, tvi_use_t use);
void tvi_graph_remove_use(trivet_graph_t* graph, tvi_value_id_t value, tvi_use_t use);
void tvi_graph_remove_captures(trivet_graph_t* graph, const tvi_node_t* node, tvi_node_id_t id);
bool tvi_graph_value_ok(const trivet_graph_t* graph, tvi_value_id_t value);
// Grows an array of the graph; `capacity` and `count` in elements.
trivet_status_t tvi_graph_grow(trivet_allocator_t allocator, void* array_address,
                               uint32_t* capacity, uint32_t count, uint32_t extra,
                               size_t element_size);
trivet_status_t tvi_graph_copy_attribute(tvi_arena_t* arena, const trivet_attribute_t* from,
                                         trivet_attribute_t* out_to);
trivet_status_t tvi_graph_copy_tensor(tvi_arena_t* arena, const trivet_tensor_t* from,
                                      trivet_tensor_t* out_to);
// Checks that dtype, dims and size of a tensor agree.
trivet_status_t tvi_tensor_check(const trivet_tensor_t* tensor);

// Checks a node against its declaration and infers its outputs; `out_inferred` has
// node->output_count entries. Values of the node's outputs need not exist yet.
trivet_status_t tvi_graph_infer_node(trivet_graph_t* graph, tvi_node_t* node,
                                     const uint8_t* output_wanted, tvi_inferred_t* out_inferred);
// Contents of a value, with NULL for unknown elements; NULL: nothing known.
const trivet_dim_t* tvi_graph_value_partial_ints(const trivet_graph_t* graph, tvi_value_id_t value,
                                                 uint64_t* out_count);
// Data-dependent size number `index` of a node, made on first use; NULL when there is no memory.
trivet_dim_t tvi_node_data_symbol(const trivet_graph_t* graph, tvi_node_t* node, uint32_t index,
                                  const char* prefix, trivet_dim_t upper);
// The facts about a node in the form that kernel IR takes; arrays lie in `arena`.
trivet_status_t tvi_graph_kir_node(const trivet_graph_t* graph, const tvi_node_t* node,
                                   const uint8_t* output_wanted, tvi_arena_t* arena,
                                   tvi_kir_function_lookup_t* lookup, tvi_kir_node_t* out_node);
// Program of a node whose output types are given (as in tvi_kir_node_t).
trivet_status_t tvi_graph_instantiate(const trivet_graph_t* graph, tvi_node_t* node,
                                      const tvi_kir_node_t* kir, tvi_arena_t* arena,
                                      tvi_kir_instance_t* out_instance);
// The text that the lower hook prints, parsed; or the operator's own body.
trivet_status_t tvi_graph_node_body(const trivet_graph_t* graph, tvi_node_t* node,
                                    const tvi_kir_node_t* kir, tvi_arena_t* arena,
                                    const tvi_kir_body_t** out_body);

// Runs the infer (lower) hook of a node; node_view.c.
trivet_status_t tvi_node_view_infer(const trivet_graph_t* graph, tvi_node_t* node,
                                    const tvi_kir_node_t* kir, tvi_arena_t* arena,
                                    tvi_inferred_t* inferred);
trivet_status_t tvi_node_view_lower(const trivet_graph_t* graph, tvi_node_t* node,
                                    const tvi_kir_node_t* kir, tvi_arena_t* arena,
                                    trivet_string_view_t* out_text);

// Position of the subgraph that a graph attribute names; NULL: it has none.
trivet_graph_t* tvi_node_subgraph(const tvi_node_t* node, const char* attribute);

// Core operators; control_operators.c. `inferred` has node->output_count entries.
trivet_status_t tvi_core_operator_infer(trivet_graph_t* graph, tvi_node_t* node,
                                        tvi_inferred_t* inferred);
// Kind and flags of an attribute of a core operator; false: it has none of that name.
bool tvi_core_operator_attribute(const char* op, const char* name, uint32_t* out_kind,
                                 uint32_t* out_flags);

// Label of a node that may not have an id yet.
const char* tvi_node_label(const trivet_graph_t* graph, const tvi_node_t* node, char* buffer,
                           size_t size);
// Infers again from this graph down, without touching assumptions.
trivet_status_t tvi_graph_infer_all(trivet_graph_t* graph);
// The declared default is not applied.
const trivet_attribute_t* tvi_node_own_attribute(const tvi_node_t* node, const char* name);

#endif  // TRIVET_CORE_GRAPH_GRAPH_INTERNAL_H_
