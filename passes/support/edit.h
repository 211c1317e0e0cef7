// SPDX-License-Identifier: Apache-2.0
//
// How passes change a graph: one handle that walks the nodes, asks the pass manager for permission,
// adds nodes beside the one that is rewritten and replaces values. It keeps what every pass must
// keep: origins are merged, types stay what they were, nodes left without use disappear. It knows
// no operator.
#ifndef TRIVET_PASSES_SUPPORT_EDIT_H_
#define TRIVET_PASSES_SUPPORT_EDIT_H_

#include "core/base/status.h"
#include "core/graph/graph.h"
#include "core/pass/pass.h"
#include "passes/passes.h"

// One walk of a pass over one graph. Lives as long as the walk.
typedef struct tvi_edit_s {
  trivet_pass_context_t* context;
  trivet_graph_t* graph;
  // The node that is being rewritten: new nodes are inserted before it and take its origins.
  tvi_node_id_t at;
  uint32_t changes;
} tvi_edit_t;

// Called for one node; edit->at is its id. May change the graph at and before it.
typedef trivet_status_t (*tvi_edit_visit_t)(tvi_edit_t* edit, tvi_node_t* node);

// Calls |visit| for every node in order, also for those that it adds behind the current one.
trivet_status_t tvi_edit_run(trivet_pass_context_t* context, trivet_graph_t* graph,
                             tvi_edit_visit_t visit, uint32_t* out_changed);

// May the pass rewrite edit->at? Asked when a match is complete, before the first change.
static inline bool tvi_edit_may(const tvi_edit_t* edit) {
  return tvi_pass_may_change(edit->context, edit->graph, edit->at);
}
// A near miss at edit->at, with its reason: tvi_edit_decline(edit, "has %u uses", n).
#define tvi_edit_decline(edit, ...) \
  tvi_pass_decline((edit)->context, (edit)->graph, (edit)->at, __VA_ARGS__)
// Reports a change at edit->at; tvi_edit_replace does it by itself.
#define tvi_edit_change(edit, ...) \
  (++(edit)->changes, tvi_pass_change((edit)->context, (edit)->graph, (edit)->at, __VA_ARGS__))

// Adds a node before edit->at. |output_count| outputs, all asked for.
trivet_status_t tvi_edit_node(tvi_edit_t* edit, const char* op, const tvi_value_id_t* inputs,
                              uint32_t input_count, const trivet_attribute_t* attributes,
                              uint32_t attribute_count, uint32_t output_count,
                              tvi_node_id_t* out_node);
// The same for one output.
trivet_status_t tvi_edit_op(tvi_edit_t* edit, const char* op, const tvi_value_id_t* inputs,
                            uint32_t input_count, const trivet_attribute_t* attributes,
                            uint32_t attribute_count, tvi_value_id_t* out_value);
// Without attributes; |b| 0: one input.
trivet_status_t tvi_edit_op2(tvi_edit_t* edit, const char* op, tvi_value_id_t a, tvi_value_id_t b,
                             tvi_value_id_t* out_value);
// |x| in the shape |dims| (rank |rank|); |x| itself when that is its shape.
trivet_status_t tvi_edit_reshape(tvi_edit_t* edit, tvi_value_id_t x, const trivet_dim_t* dims,
                                 uint32_t rank, tvi_value_id_t* out_value);

// New constants: a scalar (rank 0) rounded to |dtype|; i64[count]; i64[count] of dimensions; |dims|
// static, all elements |value|.
trivet_status_t tvi_edit_scalar(tvi_edit_t* edit, uint32_t dtype, double value,
                                tvi_value_id_t* out_value);
trivet_status_t tvi_edit_ints(tvi_edit_t* edit, const int64_t* values, uint64_t count,
                              tvi_value_id_t* out_value);
trivet_status_t tvi_edit_dims(tvi_edit_t* edit, const trivet_dim_t* dims, uint64_t count,
                              tvi_value_id_t* out_value);
trivet_status_t tvi_edit_splat(tvi_edit_t* edit, uint32_t dtype, double value, const int64_t* dims,
                               uint32_t rank, tvi_value_id_t* out_value);

// True when |replacement| has the type of |value|. Otherwise a replacement made by this pass is
// taken back: a constant that broadcasts, for example, may have given it another shape.
bool tvi_edit_fits(tvi_edit_t* edit, tvi_value_id_t value, tvi_value_id_t replacement);
// Puts |replacement| in the place of |value|, an output of edit->at. Nodes that lose their last use
// are removed and their origins go to the replacement's producer. The report comes first, so that
// it can name the node: tvi_edit_replace(edit, y, x, "removed %s", op).
#define tvi_edit_replace(edit, value, replacement, ...) \
  (tvi_edit_change(edit, __VA_ARGS__), tvi_edit_replace_value(edit, value, replacement))
trivet_status_t tvi_edit_replace_value(tvi_edit_t* edit, tvi_value_id_t value,
                                       tvi_value_id_t replacement);
// Removes |node| if nobody uses it, and then what only it used. |into| takes the origins; 0: none
// does.
trivet_status_t tvi_edit_sweep(tvi_edit_t* edit, tvi_node_id_t node, tvi_node_id_t into);

// Attributes for the calls above: static const int64_t perm[] = ..;
// trivet_attribute_t a = tvi_edit_i64s("perm", perm, 4).
static inline trivet_attribute_t tvi_edit_i64s(const char* name, const int64_t* values,
                                               uint64_t count) {
  return (trivet_attribute_t){name, TRIVET_ATTR_I64, TRIVET_ATTR_LIST, count, values};
}
static inline trivet_attribute_t tvi_edit_i64(const char* name, const int64_t* value) {
  return (trivet_attribute_t){name, TRIVET_ATTR_I64, 0, 1, value};
}
static inline trivet_attribute_t tvi_edit_f32(const char* name, const double* value) {
  return (trivet_attribute_t){name, TRIVET_ATTR_F32, 0, 1, value};
}
static inline trivet_attribute_t tvi_edit_string(const char* name,
                                                 const trivet_string_view_t* value) {
  return (trivet_attribute_t){name, TRIVET_ATTR_STRING, 0, 1, value};
}

#endif  // TRIVET_PASSES_SUPPORT_EDIT_H_
