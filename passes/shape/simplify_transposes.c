// SPDX-License-Identifier: Apache-2.0
//
// simplify-transposes: two transposes in a row become one; transposes that cancel across pointwise
// nodes disappear, and so do two with a reshape between that joins axes which were neighbours; a
// reshape that splits axes behind a transpose goes before it, where it meets another one; a Gemm
// takes the transpose of a matrix before it as its flag, and a product of matrices with one becomes
// a Gemm.
//
//   %a = std.Transpose(%x) { perm = [0, 2, 1] }
//   %b = std.Relu(%a)                             ->   %y = std.Relu(%x)
//   %y = std.Transpose(%b) { perm = [0, 2, 1] }
#include <string.h>

#include "passes/support/edit.h"
#include "passes/support/match.h"

// Pointwise nodes between two transposes that cancel, at most.
#define MAX_POINTWISE 16

typedef struct permutation_s {
  uint32_t rank;
  int64_t axes[TRIVET_MAX_RANK];
} permutation_t;

static permutation_t read_permutation(const trivet_graph_t* graph, const tvi_node_t* node) {
  permutation_t p = {.rank = graph->values[node->inputs[0]]->type.rank};
  uint64_t count;
  const int64_t* given = tvi_node_attr_i64s(node, "perm", &count);
  for (uint32_t i = 0; i < p.rank; ++i) {
    p.axes[i] = given != NULL && i < count ? given[i] : p.rank - 1 - (int64_t)i;
    if (p.axes[i] < 0) p.axes[i] += p.rank;
  }
  return p;
}

// First |a|, then |b|.
static permutation_t compose(const permutation_t* a, const permutation_t* b) {
  permutation_t p = {.rank = a->rank};
  for (uint32_t i = 0; i < p.rank; ++i) p.axes[i] = a->axes[b->axes[i]];
  return p;
}

static bool is_identity(const permutation_t* p) {
  for (uint32_t i = 0; i < p->rank; ++i) {
    if (p->axes[i] != i) return false;
  }
  return true;
}

static trivet_status_t add_transpose(tvi_edit_t* edit, tvi_value_id_t x, const permutation_t* p,
                                     tvi_value_id_t* out_value) {
  if (is_identity(p)) {
    *out_value = x;
    return TRIVET_OK;
  }
  const trivet_attribute_t perm = tvi_edit_i64s("perm", p->axes, p->rank);
  return tvi_edit_op(edit, "std.Transpose", &x, 1, &perm, 1, out_value);
}

// ---------------------------------------------------------------------------------------------
// Across pointwise nodes
// ---------------------------------------------------------------------------------------------

// Can |value| be given with its axes permuted by |p| without moving data?
static bool can_permute(const trivet_graph_t* graph, tvi_value_id_t value, const permutation_t* p,
                        uint32_t* budget, uint32_t* cancelled) {
  const tvi_node_t* node = tvi_match_node(graph, value, NULL);
  if (tvi_match_constant(graph, value)) {
    return tvi_match_single(graph, value) || graph->values[value]->type.rank == p->rank;
  }
  if (node == NULL || graph->values[value]->type.rank != p->rank || *budget == 0) return false;
  --*budget;
  if (tvi_node_is(node, "std.Transpose")) {
    permutation_t inner = read_permutation(graph, node), both = compose(&inner, p);
    if (!is_identity(&both)) return false;
    ++*cancelled;
    return true;
  }
  if (!tvi_match_pointwise(node) || !tvi_match_private(graph, value)) return false;
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] != 0 && !tvi_match_single(graph, node->inputs[i]) &&
        !can_permute(graph, node->inputs[i], p, budget, cancelled)) {
      return false;
    }
  }
  return true;
}

static trivet_status_t permute(tvi_edit_t* edit, tvi_value_id_t value, const permutation_t* p,
                               tvi_value_id_t* out_value) {
  trivet_graph_t* graph = edit->graph;
  const tvi_node_t* node = tvi_match_node(graph, value, NULL);
  if (tvi_match_single(graph, value)) {
    *out_value = value;
    return TRIVET_OK;
  }
  if (tvi_match_constant(graph, value)) return add_transpose(edit, value, p, out_value);
  if (tvi_node_is(node, "std.Transpose")) {
    *out_value = node->inputs[0];
    return TRIVET_OK;
  }
  tvi_value_id_t* inputs;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(
      tvi_pass_scratch(edit->context), node->input_count + 1u, sizeof(*inputs), &inputs));
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] == 0) continue;
    TRIVET_RETURN_IF_ERROR(permute(edit, node->inputs[i], p, &inputs[i]));
  }
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, node->op->definition->name, inputs, node->input_count,
                                     node->attributes, node->attribute_count, out_value));
  return tvi_graph_merge_origins(graph, graph->values[*out_value]->producer,
                                 graph->values[value]->producer);
}

// A transpose of extents of 1 that a reshape put in: of the others alone, between reshapes that
// simplify-reshapes joins with their neighbours.
static trivet_status_t drop_ones(tvi_edit_t* edit, const tvi_node_t* node, const permutation_t* p) {
  trivet_graph_t* graph = edit->graph;
  tvi_value_id_t x = node->inputs[0], y = tvi_match_output(node), result;
  const trivet_type_t *from = &graph->values[x]->type, *to = &graph->values[y]->type;
  permutation_t q = {0};
  trivet_dim_t dims[TRIVET_MAX_RANK];
  uint32_t position[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < from->rank; ++i) {
    if (tvi_dim_equals_constant(from->dims[i], 1)) continue;
    position[i] = q.rank;
    dims[q.rank++] = from->dims[i];
  }
  uint32_t kept = 0;
  for (uint32_t i = 0; i < to->rank; ++i) {
    if (!tvi_dim_equals_constant(to->dims[i], 1)) q.axes[kept++] = position[p->axes[i]];
  }
  if (q.rank == from->rank || is_identity(&q) || !tvi_edit_may(edit)) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(edit, x, dims, q.rank, &result));
  TRIVET_RETURN_IF_ERROR(add_transpose(edit, result, &q, &result));
  TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(edit, result, to->dims, to->rank, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "leaves extents of 1 where they are");
}

// How many axes of |to| each axis of |from| is split into. False: something else happens, or
// extents of 1 come in.
static bool splits(tvi_dim_context_t* context, const trivet_type_t* from, const trivet_type_t* to,
                   uint32_t* out_parts) {
  uint32_t at = 0;
  for (uint32_t i = 0; i < from->rank; ++i) {
    trivet_dim_t product = NULL;
    uint32_t first = at;
    while (at < to->rank && product != from->dims[i]) {
      if (tvi_dim_equals_constant(to->dims[at], 1)) return false;
      product =
          product ? tvi_dim_binary(context, TRIVET_DIM_MUL, product, to->dims[at]) : to->dims[at];
      ++at;
    }
    if (product != from->dims[i]) return false;
    out_parts[i] = at - first;
  }
  return at == to->rank && to->rank > from->rank;
}

// Transpose(Reshape(Transpose(x))), where the reshape joins axes that are neighbours in x as well:
// the axes are joined first, and the two transposes are one. |q| is the outer one.
static trivet_status_t join_axes(tvi_edit_t* edit, const tvi_node_t* node, const permutation_t* q,
                                 bool* out_done) {
  trivet_graph_t* graph = edit->graph;
  const tvi_value_id_t joined = node->inputs[0], y = tvi_match_output(node);
  const tvi_value_id_t turned = tvi_match_node(graph, joined, NULL)->inputs[0];
  const tvi_node_t* transpose = tvi_match_node(graph, turned, "std.Transpose");
  const trivet_type_t *from = &graph->values[turned]->type, *to = &graph->values[joined]->type;
  uint32_t parts[TRIVET_MAX_RANK], group_at[TRIVET_MAX_RANK] = {0};
  *out_done = false;
  if (transpose == NULL || !splits(graph->dims, to, from, parts)) return TRIVET_OK;
  const permutation_t p = read_permutation(graph, transpose);
  for (uint32_t group = 0, first = 0; group < to->rank; first += parts[group++]) {
    for (uint32_t k = 1; k < parts[group]; ++k) {
      if (p.axes[first + k] != p.axes[first] + k) return TRIVET_OK;
    }
    group_at[p.axes[first]] = group + 1;  // 0: within a group
  }
  trivet_dim_t dims[TRIVET_MAX_RANK];
  permutation_t inner = {.rank = to->rank};
  for (uint32_t axis = 0, count = 0; axis < p.rank; ++axis) {
    if (group_at[axis] == 0) continue;
    inner.axes[group_at[axis] - 1] = count;
    dims[count++] = to->dims[group_at[axis] - 1];
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  const permutation_t both = compose(&inner, q);
  tvi_value_id_t result;
  TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(edit, transpose->inputs[0], dims, to->rank, &result));
  TRIVET_RETURN_IF_ERROR(add_transpose(edit, result, &both, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  *out_done = true;
  return tvi_edit_replace(edit, y, result, "joined axes before both transposes");
}

static trivet_status_t visit_transpose(tvi_edit_t* edit, const tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  tvi_value_id_t x = node->inputs[0], y = tvi_match_output(node), result;
  permutation_t p = read_permutation(graph, node);
  const tvi_node_t* before = tvi_match_node(graph, x, NULL);
  if (before == NULL) return TRIVET_OK;
  if (tvi_node_is(before, "std.Transpose")) {
    permutation_t inner = read_permutation(graph, before), both = compose(&inner, &p);
    if (!tvi_edit_may(edit)) return TRIVET_OK;
    TRIVET_RETURN_IF_ERROR(add_transpose(edit, before->inputs[0], &both, &result));
    return tvi_edit_replace(edit, y, result, "joined with the transpose before it");
  }
  if (tvi_match_reshape(before)) {
    bool done = false;
    TRIVET_RETURN_IF_ERROR(join_axes(edit, node, &p, &done));
    return done ? TRIVET_OK : drop_ones(edit, node, &p);
  }
  uint32_t budget = MAX_POINTWISE, cancelled = 0;
  if (!tvi_match_pointwise(before) || !can_permute(graph, x, &p, &budget, &cancelled) ||
      cancelled == 0) {
    return TRIVET_OK;
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(permute(edit, x, &p, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "cancelled across pointwise nodes");
}

// ---------------------------------------------------------------------------------------------
// Between reshapes
// ---------------------------------------------------------------------------------------------

// Reshape(Transpose(Reshape(x))): Transpose(Reshape(x)), where the last reshape only splits axes.
static trivet_status_t visit_reshape(tvi_edit_t* edit, const tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  tvi_value_id_t turned = node->inputs[0], y = tvi_match_output(node), result;
  const tvi_node_t* transpose = tvi_match_node(graph, turned, "std.Transpose");
  if (transpose == NULL || !tvi_match_private(graph, turned)) return TRIVET_OK;
  const tvi_node_t* before = tvi_match_node(graph, transpose->inputs[0], NULL);
  uint32_t parts[TRIVET_MAX_RANK];
  const trivet_type_t *from = &graph->values[turned]->type, *to = &graph->values[y]->type;
  if (before == NULL || !tvi_match_reshape(before) || !splits(graph->dims, from, to, parts) ||
      !tvi_edit_may(edit)) {
    return TRIVET_OK;
  }
  permutation_t p = read_permutation(graph, transpose), q = {.rank = to->rank};
  trivet_dim_t dims[TRIVET_MAX_RANK];
  uint32_t first[TRIVET_MAX_RANK], start[TRIVET_MAX_RANK], at = 0, count = 0;
  for (uint32_t i = 0; i < p.rank; ++i) {
    first[i] = at;
    at += parts[i];
  }
  for (uint32_t source = 0; source < p.rank; ++source) {
    for (uint32_t i = 0; i < p.rank; ++i) {
      if (p.axes[i] != source) continue;
      start[i] = count;
      for (uint32_t k = 0; k < parts[i]; ++k) dims[count++] = to->dims[first[i] + k];
    }
  }
  for (uint32_t i = 0; i < p.rank; ++i) {
    for (uint32_t k = 0; k < parts[i]; ++k) q.axes[first[i] + k] = (int64_t)start[i] + k;
  }
  TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(edit, transpose->inputs[0], dims, q.rank, &result));
  TRIVET_RETURN_IF_ERROR(add_transpose(edit, result, &q, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "split its axes before the transpose");
}

// ---------------------------------------------------------------------------------------------
// Products of matrices
// ---------------------------------------------------------------------------------------------

// The matrix that |value| is the transpose of; 0: it is none.
static tvi_value_id_t transposed_matrix(const trivet_graph_t* graph, tvi_value_id_t value) {
  const tvi_node_t* node = tvi_match_node(graph, value, "std.Transpose");
  if (node == NULL || graph->values[value]->type.rank != 2) return 0;
  permutation_t p = read_permutation(graph, node);
  return is_identity(&p) ? 0 : node->inputs[0];
}

static trivet_status_t visit_product(tvi_edit_t* edit, const tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  bool gemm = tvi_node_is(node, "std.Gemm");
  tvi_value_id_t inputs[3] = {node->inputs[0], node->inputs[1], tvi_match_operand(node, 2)};
  int64_t flags[2] = {gemm ? tvi_node_attr_i64(node, "transA", 0) : 0,
                      gemm ? tvi_node_attr_i64(node, "transB", 0) : 0};
  bool found = false;
  for (uint32_t i = 0; i < 2; ++i) {
    if (graph->values[inputs[i]]->type.rank != 2) return TRIVET_OK;
    tvi_value_id_t x = transposed_matrix(graph, inputs[i]);
    if (x == 0) continue;
    inputs[i] = x;
    flags[i] = flags[i] == 0;
    found = true;
  }
  if (!found || !tvi_edit_may(edit)) return TRIVET_OK;
  trivet_attribute_t attributes[4];
  uint32_t count = 0;
  for (uint32_t i = 0; i < node->attribute_count && count < 2; ++i) {
    const char* name = node->attributes[i].name;
    if (strcmp(name, "alpha") == 0 || strcmp(name, "beta") == 0) {
      attributes[count++] = node->attributes[i];
    }
  }
  if (flags[0] != 0) attributes[count++] = tvi_edit_i64("transA", &flags[0]);
  if (flags[1] != 0) attributes[count++] = tvi_edit_i64("transB", &flags[1]);
  tvi_value_id_t y = tvi_match_output(node), result;
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Gemm", inputs, 3, attributes, count, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "took the transpose of a matrix as a flag");
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  if (tvi_node_is(node, "std.Transpose")) return visit_transpose(edit, node);
  if (tvi_node_is(node, "std.Gemm") || tvi_node_is(node, "std.MatMul")) {
    return visit_product(edit, node);
  }
  return tvi_match_reshape(node) ? visit_reshape(edit, node) : TRIVET_OK;
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(simplify_transposes, "simplify-transposes", "joins and cancels transposes", run);
