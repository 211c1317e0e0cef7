// SPDX-License-Identifier: Apache-2.0
//
// What recognize-attention reads off a graph beside the chain from scores to result: keys however
// they were transposed, heads of keys that were repeated for several heads of queries, and masks
// that hide exactly the keys behind the query. May add nodes that look at operands in another way;
// replaces nothing.
#ifndef TRIVET_PASSES_SUPPORT_ATTENTION_OPERANDS_H_
#define TRIVET_PASSES_SUPPORT_ATTENTION_OPERANDS_H_

#include "passes/support/edit.h"
#include "passes/support/match.h"

// Numbers at or below this hide a key as -inf does, whatever scores below 1e37 are added.
#define TVI_ATTENTION_HIDDEN (-3e38)

// |value| without factors of one number above it, through reshapes; *io_scale takes their product.
trivet_status_t tvi_attention_unscaled(tvi_edit_t* edit, tvi_value_id_t value, double* io_scale,
                                       tvi_value_id_t* out_value);
// |value| [.., d, j] as [.., j, d]: what was transposed before is not transposed twice. Factors of
// one number go to *io_scale.
trivet_status_t tvi_attention_transposed(tvi_edit_t* edit, tvi_value_id_t value, double* io_scale,
                                         tvi_value_id_t* out_value);
// |value| [b, g * n, j, d] that repeats each of g heads n times: what it repeats, [b, g, j, d], is
// *out_source (nothing is added to the graph: of any rank) and g *out_heads. False: it does not.
bool tvi_attention_repeated(const trivet_graph_t* graph, tvi_value_id_t value,
                            tvi_value_id_t* out_source, trivet_dim_t* out_heads);

// How a mask says what it hides.
typedef enum tvi_attention_mask_e {
  TVI_ATTENTION_MASK_VISIBLE,  // bool: true where a key is seen
  TVI_ATTENTION_MASK_ADDED,    // float: 0 where it is seen, below TVI_ATTENTION_HIDDEN elsewhere
} tvi_attention_mask_t;
// Does |mask| let query i see the keys j <= i, and no others, for every shape that it can have?
// Read from contents, from slices of contents, and from comparisons of positions.
bool tvi_attention_is_causal(const trivet_graph_t* graph, tvi_value_id_t mask,
                             tvi_attention_mask_t kind);

#endif  // TRIVET_PASSES_SUPPORT_ATTENTION_OPERANDS_H_
