// SPDX-License-Identifier: Apache-2.0
//
// A pass of 150 lines, for --pass-replace merge-siblings:acme-merge-products. Products of one value
// with several constant matrices become one product with the matrices side by side, and slices of
// its result. It pays where few rows meet wide matrices, so the pass asks how many rows there can
// be, also where that is a symbol, and says why it left something alone.
//
//   %a = std.MatMul(%x, %wa)           %t = std.MatMul(%x, [wa, wb])
//   %b = std.MatMul(%x, %wb)     ->    %a = std.Slice(%t, [0], [na], [last axis])
//                                      %b = std.Slice(%t, [na], [na + nb], [last axis])
#include "trivet/plugin.h"

#define MOST_PRODUCTS 8
#define MOST_ROWS 4096

// What one visit knows. Members are products of one value, in the order in which they run.
typedef struct family_s {
  trivet_pass_context_t* context;
  trivet_graph_t* graph;
  const trivet_pass_api_t* api;
  trivet_value_t x;
  uint32_t count;
  trivet_node_t members[MOST_PRODUCTS];
  trivet_value_t weights[MOST_PRODUCTS];
} family_t;

// A product of a value with a constant matrix, where nothing is broadcast.
static uint32_t is_member(const family_t* f, trivet_node_t node) {
  trivet_tensor_t tensor;
  if (!trivet_pass_is(f->context, f->graph, node, "std.MatMul")) return 0;
  trivet_value_t weights = trivet_pass_input(f->context, f->graph, node, 1);
  return f->api->value_constant(f->context, f->graph, weights, &tensor) && tensor.rank == 2;
}

// Collects the members that read the same value as |first|, if that is the first of them.
static uint32_t collect(family_t* f, trivet_node_t first) {
  f->count = 0;
  f->x = trivet_pass_input(f->context, f->graph, first, 0);
  const trivet_type_t* type = f->api->value_type(f->context, f->graph, f->x);
  if (!type || type->rank < 2) return 0;
  for (trivet_node_t n = first; n; n = f->api->next_node(f->context, f->graph, n)) {
    if (f->count == MOST_PRODUCTS) break;
    if (!is_member(f, n) || trivet_pass_input(f->context, f->graph, n, 0) != f->x) continue;
    if (!f->api->may_change(f->context, f->graph, n)) continue;
    f->members[f->count] = n;
    f->weights[f->count++] = trivet_pass_input(f->context, f->graph, n, 1);
  }
  return f->count >= 2;
}

// The most rows that the left operand can have, from the ranges of its symbols.
static uint32_t rows_are_few(family_t* f) {
  const trivet_type_t* type = f->api->value_type(f->context, f->graph, f->x);
  trivet_dim_t rows = f->api->dim_constant(f->context, f->graph, 1);
  for (uint32_t d = 0; d + 1 < type->rank; ++d) {
    rows = f->api->dim_binary(f->context, f->graph, TRIVET_DIM_MUL, rows, type->dims[d]);
  }
  trivet_dim_t most = f->api->dim_constant(f->context, f->graph, MOST_ROWS);
  if (f->api->dim_at_most(f->context, f->graph, rows, most)) return 1;
  TRIVET_PASS_DECLINE(f->context, f->graph, f->members[0],
                      "%u products of one value stay apart: %s rows may be more than %d", f->count,
                      f->api->dim_text(f->context, f->graph, rows), MOST_ROWS);
  return 0;
}

// Constants of the model are folded afterwards, so the matrices are joined by a node.
static trivet_status_t join(const family_t* f, trivet_value_t* out_product) {
  const int64_t axis = 1;
  const trivet_attribute_t attribute = {"axis", TRIVET_ATTR_I64, 0, 1, &axis};
  trivet_value_t operands[2] = {f->x, 0};
  trivet_status_t status = f->api->add_node(f->context, f->graph, f->members[0], "std.Concat", 0,
                                            f->weights, f->count, &attribute, 1, 1, &operands[1]);
  if (status) return status;
  return f->api->add_node(f->context, f->graph, f->members[0], "std.MatMul", 0, operands, 2, 0, 0,
                          1, out_product);
}

static trivet_status_t number(const family_t* f, trivet_dim_t value, trivet_value_t* out_value) {
  return f->api->add_ints(f->context, f->graph, &value, 1, out_value);
}

// Puts the columns from |begin| on, as many as member |index| makes, in its place.
static trivet_status_t take_columns(const family_t* f, uint32_t index, trivet_value_t product,
                                    trivet_dim_t* begin) {
  trivet_value_t old = trivet_pass_output(f->context, f->graph, f->members[index], 0), part;
  const trivet_type_t* type = f->api->value_type(f->context, f->graph, old);
  const uint32_t last = type->rank - 1;
  trivet_dim_t axis = f->api->dim_constant(f->context, f->graph, last);
  trivet_dim_t end =
      f->api->dim_binary(f->context, f->graph, TRIVET_DIM_ADD, *begin, type->dims[last]);
  trivet_value_t operands[4] = {product, 0, 0, 0};
  trivet_status_t status = number(f, *begin, &operands[1]);
  if (!status) status = number(f, end, &operands[2]);
  if (!status) status = number(f, axis, &operands[3]);
  if (!status) {
    status = f->api->add_node(f->context, f->graph, f->members[index], "std.Slice", 0, operands, 4,
                              0, 0, 1, &part);
  }
  if (status) return status;
  *begin = end;
  return TRIVET_PASS_REPLACE(f->context, f->graph, old, part, "merged, %u products of one value",
                             f->count);
}

static trivet_status_t merge(const family_t* f) {
  trivet_value_t product;
  trivet_status_t status = join(f, &product);
  trivet_dim_t begin = f->api->dim_constant(f->context, f->graph, 0);
  for (uint32_t i = 0; i < f->count && !status; ++i) status = take_columns(f, i, product, &begin);
  return status;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass, (void)out_changed;  // what replace reports is counted
  family_t f = {.context = context, .graph = graph, .api = trivet_pass_api(context)};
  for (trivet_node_t n = 0; (n = f.api->next_node(context, graph, n)) != 0;) {
    if (!is_member(&f, n) || !collect(&f, n) || !rows_are_few(&f)) continue;
    trivet_status_t status = merge(&f);
    if (status) return status;
  }
  return 0;
}

// A pass that says where it belongs: behind what folds scales into weights.
static const char* const kAfter[] = {"fold-scale", 0};
static const trivet_pass_t merge_products = {
    .header = TRIVET_HEADER(trivet_pass_t, TRIVET_STRUCT_PASS),
    .name = "acme-merge-products",
    .summary = "joins products of one value where rows are few",
    .after = kAfter,
    .run = run,
};

TRIVET_PLUGIN("merge_products", "1.0", "a pass in C", &merge_products)
