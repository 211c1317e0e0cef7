// SPDX-License-Identifier: Apache-2.0
//
// merge-siblings: products of one value with several constant weights become one product with the
// weights side by side, and slices that are views of the result: the queries, keys and values of
// attention, or convolutions of equal geometry. Biases come along. A pointwise node behind a
// convolution would lose its place in the kernel: it must be the same behind all of them, and then
// comes along too, or there must be none.
//
//   %q = std.MatMul(%x, %wq)           %1 = std.MatMul(%x, [wq, wk])
//   %k = std.MatMul(%x, %wk)      ->   %q = std.Slice(%1, [0], [64], [2])
//                                      %k = std.Slice(%1, [64], [128], [2])
#include <string.h>

#include "core/base/vector.h"
#include "passes/support/channel.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"
#include "passes/support/slice.h"

typedef TVI_VECTOR(tvi_node_id_t) node_list_t;

typedef struct family_s {
  node_list_t nodes;         // siblings, the first one is edit->at
  tvi_value_id_t* weights;   // one each
  tvi_value_id_t* biases;    // one each, or all 0
  tvi_value_id_t* outputs;   // what the parts replace: results, or those of the sums that follow
  tvi_value_id_t* operands;  // what replaces them
  int64_t* channels;
  uint32_t axis;         // of the channels in the result
  uint32_t weight_axis;  // in the weights
  bool sums;             // the biases are sums that follow
  bool activated;        // the same pointwise node follows each
} family_t;

static bool same_numbers(const tvi_node_t* a, const tvi_node_t* b, const char* name) {
  const trivet_attribute_t *x = tvi_node_attribute(a, name), *y = tvi_node_attribute(b, name);
  if (x == NULL || y == NULL) return x == y;
  return x->kind == y->kind && x->count == y->count &&
         (x->count == 0 || memcmp(x->data, y->data, x->count * sizeof(int64_t)) == 0);
}

// The pointwise node that reads the result alone; NULL: none.
static const tvi_node_t* follower(const trivet_graph_t* graph, const tvi_node_t* node) {
  const tvi_node_t* reader = tvi_match_only_reader(graph, tvi_match_output(node), NULL, NULL);
  return reader != NULL && tvi_match_pointwise(reader) ? reader : NULL;
}

// Both are followed by the same pointwise function, or neither by any.
static bool same_followers(const trivet_graph_t* graph, const tvi_node_t* a, const tvi_node_t* b) {
  const tvi_node_t *x = follower(graph, a), *y = follower(graph, b);
  uint32_t i, k;
  if (x == NULL || y == NULL) return x == y;
  if (x->op != y->op || x->attribute_count != 0 || y->attribute_count != 0 ||
      x->input_count != y->input_count || !tvi_match_unary(graph, x, &i) ||
      !tvi_match_unary(graph, y, &k) || i != k) {
    return false;
  }
  for (uint32_t n = 0; n < x->input_count; ++n) {
    if (n != i && x->inputs[n] != y->inputs[n]) return false;
  }
  return true;
}

// NULL: the two have the same geometry; else what differs.
static const char* compare_geometry(const tvi_node_t* a, const tvi_node_t* b) {
  static const char* const conv[] = {"strides", "pads", "dilations", "group"};
  static const char* const gemm[] = {"transA", "transB", "alpha", "beta"};
  bool is_conv = tvi_node_is(a, "std.Conv"), is_gemm = tvi_node_is(a, "std.Gemm");
  for (int i = 0; i < 4; ++i) {
    if (is_conv && !same_numbers(a, b, conv[i])) return conv[i];
    if (is_gemm && !same_numbers(a, b, gemm[i])) return gemm[i];
  }
  if (is_conv) {
    trivet_string_view_t x = tvi_node_attr_string(a, "auto_pad");
    trivet_string_view_t y = tvi_node_attr_string(b, "auto_pad");
    if (x.size != y.size || memcmp(x.data, y.data, x.size) != 0) return "auto_pad";
  }
  return NULL;
}

// Where the channels lie; false: |node| is no candidate at all.
static bool candidate(const trivet_graph_t* graph, const tvi_node_t* node, uint32_t* out_axis,
                      uint32_t* out_weight_axis) {
  if (node->output_count != 1 || node->input_count < 2) return false;
  const trivet_type_t* type = &graph->values[tvi_match_output(node)]->type;
  const trivet_type_t* weights = &graph->values[node->inputs[1]]->type;
  if (!tvi_match_constant(graph, node->inputs[1])) return false;
  *out_axis = 1;
  if (tvi_node_is(node, "std.Conv")) {
    *out_weight_axis = 0;
    return tvi_node_attr_i64(node, "group", 1) == 1;
  }
  *out_weight_axis = 1;
  if (tvi_node_is(node, "std.Gemm")) {
    *out_weight_axis = tvi_node_attr_i64(node, "transB", 0) != 0 ? 0 : 1;
    return true;
  }
  *out_axis = type->rank - 1;
  return tvi_node_is(node, "std.MatMul") && weights->rank == 2 && type->rank >= 2 &&
         graph->values[node->inputs[0]]->type.rank == type->rank;
}

// A bias operand that can be joined with others: one number per channel, rank 1.
static bool is_plain_bias(const trivet_graph_t* graph, tvi_value_id_t bias, trivet_dim_t channels) {
  if (bias == 0) return true;
  const trivet_type_t* type = &graph->values[bias]->type;
  return tvi_match_constant(graph, bias) && type->rank == 1 && type->dims[0] == channels;
}

// May |other| join |first|? NULL: yes. Both are candidates of one operator.
static const char* compare(const trivet_graph_t* graph, const tvi_node_t* first,
                           const tvi_node_t* other, uint32_t weight_axis) {
  const trivet_type_t* a = &graph->values[first->inputs[1]]->type;
  const trivet_type_t* b = &graph->values[other->inputs[1]]->type;
  const char* differs = compare_geometry(first, other);
  if (differs != NULL) return differs;
  if (a->rank != b->rank || a->dtype != b->dtype) return "the type of the weights";
  for (uint32_t i = 0; i < a->rank; ++i) {
    if (i != weight_axis && a->dims[i] != b->dims[i]) return "the window";
  }
  tvi_value_id_t x = tvi_match_operand(first, 2), y = tvi_match_operand(other, 2);
  if ((x == 0) != (y == 0) || !is_plain_bias(graph, x, a->dims[weight_axis]) ||
      !is_plain_bias(graph, y, b->dims[weight_axis])) {
    return "the form of the bias";
  }
  if (tvi_node_is(first, "std.Conv") && !same_followers(graph, first, other)) {
    return "what follows";
  }
  return NULL;
}

static trivet_status_t find_siblings(tvi_edit_t* edit, const tvi_node_t* node, family_t* family) {
  const trivet_graph_t* graph = edit->graph;
  const tvi_value_t* x = graph->values[node->inputs[0]];
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&family->nodes, edit->at));
  for (uint32_t i = 0; i < x->use_count; ++i) {
    const tvi_node_t* other = graph->nodes[x->uses[i].node];
    uint32_t axis, weight_axis;
    if (x->uses[i].operand != 0 || x->uses[i].node == edit->at || other->op != node->op ||
        !candidate(graph, other, &axis, &weight_axis) || weight_axis != family->weight_axis ||
        !tvi_pass_may_change(edit->context, graph, x->uses[i].node)) {
      continue;
    }
    const char* differs = compare(graph, node, other, weight_axis);
    if (differs == NULL) {
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&family->nodes, x->uses[i].node));
    } else {
      tvi_edit_decline(edit, "not merged with another product of the same value: %s differs",
                       differs);
    }
  }
  return TRIVET_OK;
}

// The sums that follow matrix products, where every product has one.
static void find_sums(const trivet_graph_t* graph, family_t* family) {
  family->sums = true;
  for (size_t i = 0; i < family->nodes.count && family->sums; ++i) {
    tvi_value_id_t y = tvi_match_output(graph->nodes[family->nodes.data[i]]);
    uint32_t operand;
    const tvi_node_t* sum = tvi_match_only_reader(graph, y, NULL, &operand);
    family->sums =
        sum != NULL && tvi_node_is(sum, "std.Add") &&
        is_plain_bias(graph, sum->inputs[1 - operand], graph->values[y]->type.dims[family->axis]);
    if (!family->sums) break;
    family->biases[i] = sum->inputs[1 - operand];
    family->outputs[i] = tvi_match_output(sum);
  }
}

static trivet_status_t fill(tvi_edit_t* edit, family_t* family, bool* out_static) {
  const trivet_graph_t* graph = edit->graph;
  tvi_arena_t* scratch = tvi_pass_scratch(edit->context);
  size_t count = family->nodes.count;
  tvi_value_id_t** arrays[] = {&family->weights, &family->biases, &family->outputs,
                               &family->operands};
  for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); ++i) {
    TRIVET_RETURN_IF_ERROR(
        tvi_arena_alloc_array_zeroed(scratch, count, sizeof(**arrays[i]), arrays[i]));
  }
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(scratch, count, sizeof(*family->channels), &family->channels));
  bool matmul = tvi_node_is(graph->nodes[edit->at], "std.MatMul");
  family->activated = tvi_node_is(graph->nodes[edit->at], "std.Conv") &&
                      follower(graph, graph->nodes[edit->at]) != NULL;
  if (matmul) find_sums(graph, family);
  *out_static = true;
  for (size_t i = 0; i < count; ++i) {
    const tvi_node_t* node = graph->nodes[family->nodes.data[i]];
    family->weights[i] = node->inputs[1];
    if (!family->sums) {
      family->biases[i] = matmul ? 0 : tvi_match_operand(node, 2);
      family->outputs[i] = tvi_match_output(family->activated ? follower(graph, node) : node);
    }
    *out_static = *out_static && tvi_dim_is_constant(
                                     graph->values[node->inputs[1]]->type.dims[family->weight_axis],
                                     &family->channels[i]);
  }
  return TRIVET_OK;
}

static trivet_status_t join(tvi_edit_t* edit, const tvi_value_id_t* values, size_t count,
                            int64_t axis, tvi_value_id_t* out_value) {
  const trivet_attribute_t attribute = tvi_edit_i64("axis", &axis);
  return tvi_edit_op(edit, "std.Concat", values, (uint32_t)count, &attribute, 1, out_value);
}

static trivet_status_t add_follower(tvi_edit_t* edit, const tvi_node_t* node,
                                    tvi_value_id_t* value) {
  uint32_t index = 0;
  tvi_value_id_t* inputs;
  tvi_match_unary(edit->graph, node, &index);
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array(tvi_pass_scratch(edit->context), node->input_count,
                                               sizeof(*inputs), &inputs));
  for (uint32_t i = 0; i < node->input_count; ++i) {
    inputs[i] = i == index ? *value : node->inputs[i];
  }
  return tvi_edit_op(edit, node->op->definition->name, inputs, node->input_count, NULL, 0, value);
}

static trivet_status_t merge(tvi_edit_t* edit, const tvi_node_t* node, const family_t* family) {
  trivet_graph_t* graph = edit->graph;
  size_t count = family->nodes.count;
  tvi_value_id_t inputs[3] = {node->inputs[0], 0, 0}, bias = 0, y;
  TRIVET_RETURN_IF_ERROR(join(edit, family->weights, count, family->weight_axis, &inputs[1]));
  if (family->biases[0] != 0) TRIVET_RETURN_IF_ERROR(join(edit, family->biases, count, 0, &bias));
  if (!family->sums) inputs[2] = bias;
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, node->op->definition->name, inputs, 3, node->attributes,
                                     node->attribute_count, &y));
  tvi_node_id_t product = graph->values[y]->producer;
  if (family->sums) TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Add", y, bias, &y));
  if (family->activated) TRIVET_RETURN_IF_ERROR(add_follower(edit, follower(graph, node), &y));
  tvi_slice_t slice = {.rank = graph->values[y]->type.rank};
  slice.taken[family->axis] = true;
  slice.step[family->axis] = 1;
  // All parts first: replacing the first result removes the node that they are inserted before.
  tvi_value_id_t* parts = family->operands;
  for (size_t i = 0; i < count; ++i) {
    slice.count[family->axis] = family->channels[i];
    TRIVET_RETURN_IF_ERROR(tvi_slice_write(edit, y, &slice, &parts[i]));
    slice.start[family->axis] += family->channels[i];
    tvi_value_id_t old = family->outputs[i];
    if (!tvi_type_equal(&graph->values[old]->type, &graph->values[parts[i]]->type)) {
      return TRIVET_STATUS(INTERNAL, "a part of a merged product has another type");
    }
  }
  for (size_t i = 0; i < count; ++i) {
    tvi_node_id_t old = graph->values[family->outputs[i]]->producer;
    TRIVET_RETURN_IF_ERROR(tvi_graph_merge_origins(graph, product, family->nodes.data[i]));
    TRIVET_RETURN_IF_ERROR(tvi_graph_merge_origins(graph, graph->values[parts[i]]->producer, old));
    TRIVET_RETURN_IF_ERROR(tvi_graph_replace_value(graph, family->outputs[i], parts[i]));
    TRIVET_RETURN_IF_ERROR(tvi_edit_sweep(edit, old, product));
  }
  return TRIVET_OK;
}

static trivet_status_t visit_family(tvi_edit_t* edit, const tvi_node_t* node, family_t* family) {
  bool is_static;
  TRIVET_RETURN_IF_ERROR(find_siblings(edit, node, family));
  if (family->nodes.count < 2 || !tvi_edit_may(edit)) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(fill(edit, family, &is_static));
  if (!is_static) return TRIVET_OK;
  tvi_edit_change(edit, "merged with %zu products of the same value", family->nodes.count - 1);
  return merge(edit, node, family);
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  family_t family = {.sums = false};
  if (!tvi_node_is(node, "std.MatMul") && !tvi_node_is(node, "std.Gemm") &&
      !tvi_node_is(node, "std.Conv")) {
    return TRIVET_OK;
  }
  const tvi_value_t* x = edit->graph->values[node->inputs[0]];
  if (x->use_count < 2 || !candidate(edit->graph, node, &family.axis, &family.weight_axis)) {
    return TRIVET_OK;
  }
  tvi_vector_init(&family.nodes, edit->graph->allocator);
  trivet_status_t status = visit_family(edit, node, &family);
  tvi_vector_deinit(&family.nodes);
  return status;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(merge_siblings, "merge-siblings", "joins products of one value", run);
