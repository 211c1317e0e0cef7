// SPDX-License-Identifier: Apache-2.0
//
// What a Slice node takes, as numbers: where the bounds are known, they are brought into the range
// of the extents, so that passes can compare and join slices.
#ifndef TRIVET_PASSES_SUPPORT_SLICE_H_
#define TRIVET_PASSES_SUPPORT_SLICE_H_

#include "passes/support/edit.h"

typedef struct tvi_slice_s {
  uint32_t rank;
  bool taken[TRIVET_MAX_RANK];  // the axis is sliced; the other entries count for such axes only
  int64_t start[TRIVET_MAX_RANK];
  int64_t step[TRIVET_MAX_RANK];   // not 0; negative: backwards
  int64_t count[TRIVET_MAX_RANK];  // elements of the result
} tvi_slice_t;

// False where a bound, or the extent of a sliced axis, is not a number.
bool tvi_slice_read(const trivet_graph_t* graph, const tvi_node_t* node, tvi_slice_t* out_slice);
// Adds the Slice node; |x| itself where no axis is taken.
trivet_status_t tvi_slice_write(tvi_edit_t* edit, tvi_value_id_t x, const tvi_slice_t* slice,
                                tvi_value_id_t* out_value);

#endif  // TRIVET_PASSES_SUPPORT_SLICE_H_
