// SPDX-License-Identifier: Apache-2.0
//
// What layer and root-mean-square normalisation share: d / sqrt(mean(d^2) + epsilon) over trailing
// axes, in the ways that exporters write it, and the scale and bias that follow.
#ifndef TRIVET_PASSES_SUPPORT_NORMALIZE_MATCH_H_
#define TRIVET_PASSES_SUPPORT_NORMALIZE_MATCH_H_

#include "passes/support/edit.h"
#include "passes/support/match.h"

typedef struct tvi_normalization_s {
  tvi_value_id_t d;  // what is normalised
  tvi_value_id_t n;  // the result, before scale and bias
  uint32_t axis;     // first of the axes
  double epsilon;
  const char* reason;  // where d is set and the match failed all the same: why
} tvi_normalization_t;

// |node| gives n = d / sqrt(..): a Div, or a Mul with a reciprocal or a power of -0.5.
bool tvi_normalize_match(const trivet_graph_t* graph, const tvi_node_t* node,
                         tvi_normalization_t* out_match);
// |node| (ReduceMean) takes the mean over trailing axes; the first of them.
bool tvi_normalize_mean_axis(const trivet_graph_t* graph, const tvi_node_t* node,
                             uint32_t* out_axis);
// The only reader of |value| applies |op| with an operand that has the shape of the axes from
// |axis| on and does not depend on |value|: the operand, and the reader. 0: none.
tvi_value_id_t tvi_normalize_follow(const trivet_graph_t* graph, tvi_value_id_t value,
                                    const char* op, uint32_t axis, tvi_node_id_t* out_node);

// A scale of ones with the extents of |x| from |axis| on, for a normalisation that has none; 0:
// they are not known.
trivet_status_t tvi_normalize_ones(tvi_edit_t* edit, tvi_value_id_t x, uint32_t axis,
                                   tvi_value_id_t* out_scale);

#endif  // TRIVET_PASSES_SUPPORT_NORMALIZE_MATCH_H_
