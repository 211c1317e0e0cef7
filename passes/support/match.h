// SPDX-License-Identifier: Apache-2.0
//
// Questions that patterns are made of: which node made a value, is it read once, is it a constant
// of a given number. Shared by the passes; changes nothing. Every value id may be 0 (absent) and
// then matches nothing.
#ifndef TRIVET_PASSES_SUPPORT_MATCH_H_
#define TRIVET_PASSES_SUPPORT_MATCH_H_

#include "core/graph/graph.h"

// The node that made |value| if it is of operator |op| ("std.Mul"; NULL: any); else NULL.
tvi_node_t* tvi_match_node(const trivet_graph_t* graph, tvi_value_id_t value, const char* op);
// Operand |index| of |node|; 0: absent.
static inline tvi_value_id_t tvi_match_operand(const tvi_node_t* node, uint32_t index) {
  return index < node->input_count ? node->inputs[index] : 0;
}
// The first output of |node|.
static inline tvi_value_id_t tvi_match_output(const tvi_node_t* node) { return node->outputs[0]; }
// The value is a constant whose bytes are known.
bool tvi_match_constant(const trivet_graph_t* graph, tvi_value_id_t value);
// All elements of the constant are one number. Constants of more than 65536 elements are not read.
bool tvi_match_splat(const trivet_graph_t* graph, tvi_value_id_t value, double* out_number);
// The number is |wanted|, or as near as 1e-6 of it, or what |dtype| makes of it.
bool tvi_match_near(uint32_t dtype, double number, double wanted);
// Both: a constant of one number near |wanted|.
bool tvi_match_number(const trivet_graph_t* graph, tvi_value_id_t value, double wanted);
// |node| has two operands, one of which is such a constant; the other one is returned, 0: no match.
tvi_value_id_t tvi_match_other(const trivet_graph_t* graph, const tvi_node_t* node, double wanted);
// The only reader of |value|, which is neither an output of the graph nor observed; else NULL.
// |out_operand| may be NULL.
tvi_node_t* tvi_match_only_reader(const trivet_graph_t* graph, tvi_value_id_t value,
                                  tvi_node_id_t* out_node, uint32_t* out_operand);
// Exactly one node reads |value| (perhaps twice), and nobody else can see it.
bool tvi_match_private(const trivet_graph_t* graph, tvi_value_id_t value);
// Contents of a small integer operand as numbers, at most |capacity|; false: unknown or absent.
bool tvi_match_ints(const trivet_graph_t* graph, tvi_value_id_t value, int64_t* out_ints,
                    uint32_t capacity, uint32_t* out_count);
// |axis| brought into 0 .. rank - 1; false: out of range.
bool tvi_match_axis(int64_t axis, uint32_t rank, uint32_t* out_axis);
// Axes that a Reduce* node with keepdims reduces, as a bit mask; false: unknown, or dims are lost.
bool tvi_match_reduced(const trivet_graph_t* graph, const tvi_node_t* node, uint32_t* out_mask);

// |node| computes each element of its one result from the elements in the same place of its
// operands, which broadcast.
bool tvi_match_pointwise(const tvi_node_t* node);
// |value| has one element and rank 0 or 1: it broadcasts the same way whatever the axes are.
bool tvi_match_single(const trivet_graph_t* graph, tvi_value_id_t value);
// |node| is pointwise, and all operands but one (|out_index|) are single elements.
bool tvi_match_unary(const trivet_graph_t* graph, const tvi_node_t* node, uint32_t* out_index);
// |node| gives the elements of its first operand in the same order in another shape.
bool tvi_match_reshape(const tvi_node_t* node);

// |value| is a constant with one element per index of axis |axis| of |type|, all other extents 1,
// aligned from the right as broadcasting does; scalars do not count.
bool tvi_match_per_channel(const trivet_graph_t* graph, tvi_value_id_t value,
                           const trivet_type_t* type, uint32_t axis);

// A polynomial in one value, sum of c[i] * x^i.
#define TVI_POLYNOMIAL_DEGREE 3
typedef struct tvi_polynomial_s {
  double c[TVI_POLYNOMIAL_DEGREE + 1];
} tvi_polynomial_t;
// Reads additions, products, powers and divisions by numbers as a polynomial in |x|: every way to
// write one matches. False: it is none of at most degree 3.
bool tvi_match_polynomial(const trivet_graph_t* graph, tvi_value_id_t value, tvi_value_id_t x,
                          tvi_polynomial_t* out_polynomial);

// Products y = scale * x * t, however they are written: the nodes above |t| multiply by x (itself
// times a number, perhaps) and by numbers in any order, each intermediate read once. |out_root| is
// the node that gives y.
bool tvi_match_product(const trivet_graph_t* graph, tvi_value_id_t t, tvi_value_id_t x,
                       double scale, tvi_node_id_t* out_root);
// What x may be in such a product above |t|: the first operand that is no number, and that operand
// without a number that it is multiplied or divided by. Returns how many there are.
uint32_t tvi_match_factors(const trivet_graph_t* graph, tvi_value_id_t t,
                           tvi_value_id_t out_factors[2]);

#endif  // TRIVET_PASSES_SUPPORT_MATCH_H_
