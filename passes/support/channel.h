// SPDX-License-Identifier: Apache-2.0
//
// Products with constant weights, as the folding passes see them: a convolution, a transposed one,
// Gemm or a matrix product, with one number per output channel to multiply or add. Writes the new
// weights and bias as nodes over constants.
#ifndef TRIVET_PASSES_SUPPORT_CHANNEL_H_
#define TRIVET_PASSES_SUPPORT_CHANNEL_H_

#include "passes/support/edit.h"

typedef struct tvi_channel_product_s {
  tvi_node_id_t node;
  uint32_t axis;           // of the channels in the result
  uint32_t weight_axis;    // of the channels in the weights
  trivet_dim_t channels;   // how many
  tvi_value_id_t weights;  // what the new node will have; tvi_channel_scale and _add change them
  tvi_value_id_t bias;     // 0: none. Rank 1, or 0 where one number serves all channels
  bool takes_bias;         // the operator has a bias operand; otherwise a sum follows it
  bool is_prepared;        // the bias of a Gemm has been brought into the form above
} tvi_channel_product_t;

// Is |value| the private result of such a product? NULL: yes, and |out_product| is filled; else why
// not, as text for a report.
const char* tvi_channel_match(const trivet_graph_t* graph, tvi_value_id_t value,
                              tvi_channel_product_t* out_product);
// Multiplies ("std.Mul") or divides ("std.Div") the result by |s|: a scalar or one number per
// channel, rank 0 or 1.
trivet_status_t tvi_channel_scale(tvi_edit_t* edit, tvi_channel_product_t* product, const char* op,
                                  tvi_value_id_t s);
// Adds |t| likewise.
trivet_status_t tvi_channel_add(tvi_edit_t* edit, tvi_channel_product_t* product, tvi_value_id_t t);
// Makes the new node; its result has the type of the old one.
trivet_status_t tvi_channel_finish(tvi_edit_t* edit, const tvi_channel_product_t* product,
                                   tvi_value_id_t* out_value);
// |t| of rank 1 in the shape that broadcasts along |axis| of rank |rank|: [C, 1, 1]. A scalar
// stays.
trivet_status_t tvi_channel_align(tvi_edit_t* edit, tvi_value_id_t t, uint32_t rank, uint32_t axis,
                                  tvi_value_id_t* out_value);
// |t| is a constant of one element, or of one per index of |axis| of |type|.
bool tvi_channel_is_vector(const trivet_graph_t* graph, tvi_value_id_t t, const trivet_type_t* type,
                           uint32_t axis);
// Such a constant in rank 0 or 1; adds a node where the shape changes.
trivet_status_t tvi_channel_vector(tvi_edit_t* edit, tvi_value_id_t t, tvi_value_id_t* out_value);

#endif  // TRIVET_PASSES_SUPPORT_CHANNEL_H_
