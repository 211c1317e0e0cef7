// SPDX-License-Identifier: Apache-2.0
//
// Questions about the window of a convolution, transposed or not, that several passes ask. Answers
// come from attributes and shapes alone; changes nothing.
#ifndef TRIVET_PASSES_SUPPORT_WINDOW_H_
#define TRIVET_PASSES_SUPPORT_WINDOW_H_

#include "core/graph/graph.h"

// Do the windows of |node|, an std.Conv or std.ConvTranspose on images, lie side by side: strides
// equal to the window, neither pads nor dilation nor groups? NULL: they do, and |out_dims| are the
// extents of the weights in their order, the last two the window; else why not.
const char* tvi_window_overlap(const trivet_graph_t* graph, const tvi_node_t* node,
                               int64_t out_dims[4]);

#endif  // TRIVET_PASSES_SUPPORT_WINDOW_H_
