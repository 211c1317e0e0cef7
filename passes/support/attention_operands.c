// SPDX-License-Identifier: Apache-2.0
//
// Implements attention_operands.h. Chains are followed a few steps only, since passes ask for every
// product; a mask is called causal only when its contents, or what computes it, say so for every
// shape that it can have.
#include "passes/support/attention_operands.h"

#include <math.h>

#include "core/base/dtype.h"

#define MAX_STEPS 8
// Contents of masks are read up to this many elements.
#define MAX_MASK_ELEMENTS (1 << 24)

// y = x * number or x / number, of the type of x.
static tvi_value_id_t scaled_operand(const trivet_graph_t* graph, tvi_value_id_t value,
                                     double* out_factor) {
  const tvi_node_t* node = tvi_match_node(graph, value, NULL);
  if (node == NULL) return 0;
  const bool over = tvi_node_is(node, "std.Div");
  if (!over && !tvi_node_is(node, "std.Mul")) return 0;
  for (uint32_t i = 0; i < (over ? 1u : 2u); ++i) {
    double number;
    tvi_value_id_t x = node->inputs[i];
    if (!tvi_match_splat(graph, node->inputs[1 - i], &number) || !isfinite(number) || number <= 0 ||
        !tvi_type_equal(&graph->values[x]->type, &graph->values[value]->type)) {
      continue;
    }
    *out_factor = over ? 1 / number : number;
    return x;
  }
  return 0;
}

static trivet_status_t unscaled(tvi_edit_t* edit, tvi_value_id_t value, uint32_t depth,
                                double* io_scale, tvi_value_id_t* out_value) {
  const trivet_graph_t* graph = edit->graph;
  *out_value = value;
  if (depth == MAX_STEPS) return TRIVET_OK;
  double factor;
  tvi_value_id_t x = scaled_operand(graph, value, &factor);
  if (x != 0) {
    *io_scale *= factor;
    return unscaled(edit, x, depth + 1, io_scale, out_value);
  }
  const tvi_node_t* node = tvi_match_node(graph, value, NULL);
  if (node == NULL || !tvi_match_reshape(node)) return TRIVET_OK;
  tvi_value_id_t inner;
  TRIVET_RETURN_IF_ERROR(unscaled(edit, node->inputs[0], depth + 1, io_scale, &inner));
  if (inner == node->inputs[0]) return TRIVET_OK;
  const trivet_type_t type = graph->values[value]->type;
  return tvi_edit_reshape(edit, inner, type.dims, type.rank, out_value);
}

trivet_status_t tvi_attention_unscaled(tvi_edit_t* edit, tvi_value_id_t value, double* io_scale,
                                       tvi_value_id_t* out_value) {
  return unscaled(edit, value, 0, io_scale, out_value);
}

// |x| transposed by |perm| and then with its last two axes exchanged.
static trivet_status_t exchange(tvi_edit_t* edit, tvi_value_id_t x, const int64_t* perm,
                                uint32_t rank, tvi_value_id_t* out_value) {
  int64_t axes[TRIVET_MAX_RANK];
  bool identity = true;
  for (uint32_t i = 0; i < rank; ++i) {
    uint32_t from = i + 2 == rank ? rank - 1 : i + 1 == rank ? rank - 2 : i;
    axes[i] = perm != NULL ? perm[from] : from;
    if (axes[i] < 0) axes[i] += rank;
    identity = identity && axes[i] == i;
  }
  if (identity) {
    *out_value = x;
    return TRIVET_OK;
  }
  const trivet_attribute_t attribute = tvi_edit_i64s("perm", axes, rank);
  return tvi_edit_op(edit, "std.Transpose", &x, 1, &attribute, 1, out_value);
}

static trivet_status_t transposed(tvi_edit_t* edit, tvi_value_id_t value, uint32_t depth,
                                  double* io_scale, tvi_value_id_t* out_value) {
  const trivet_graph_t* graph = edit->graph;
  const trivet_type_t type = graph->values[value]->type;
  double factor;
  tvi_value_id_t x = scaled_operand(graph, value, &factor);
  if (x != 0 && depth < MAX_STEPS) {
    *io_scale *= factor;
    return transposed(edit, x, depth + 1, io_scale, out_value);
  }
  const tvi_node_t* node = tvi_match_node(graph, value, NULL);
  if (node != NULL && tvi_node_is(node, "std.Transpose")) {
    uint64_t count;
    const int64_t* perm = tvi_node_attr_i64s(node, "perm", &count);
    int64_t reversed[TRIVET_MAX_RANK];
    for (uint32_t i = 0; i < type.rank; ++i) reversed[i] = type.rank - 1 - (int64_t)i;
    x = node->inputs[0];
    TRIVET_RETURN_IF_ERROR(exchange(edit, x, perm != NULL ? perm : reversed, type.rank, out_value));
    return unscaled(edit, *out_value, depth, io_scale, out_value);
  }
  // Leading axes are merged for the transpose and split again behind it.
  if (node != NULL && tvi_match_reshape(node) && depth < MAX_STEPS) {
    const trivet_type_t* inner = &graph->values[node->inputs[0]]->type;
    if (inner->rank >= 2 && inner->dims[inner->rank - 1] == type.dims[type.rank - 1] &&
        inner->dims[inner->rank - 2] == type.dims[type.rank - 2]) {
      trivet_dim_t dims[TRIVET_MAX_RANK];
      for (uint32_t i = 0; i < type.rank; ++i) dims[i] = type.dims[i];
      dims[type.rank - 1] = type.dims[type.rank - 2];
      dims[type.rank - 2] = type.dims[type.rank - 1];
      TRIVET_RETURN_IF_ERROR(transposed(edit, node->inputs[0], depth + 1, io_scale, &x));
      // A reshape of a reshape is a reshape of what is before it.
      for (uint32_t i = 0; i < MAX_STEPS; ++i) {
        const tvi_node_t* before = tvi_match_node(graph, x, NULL);
        if (before == NULL || !tvi_match_reshape(before)) break;
        x = before->inputs[0];
      }
      return tvi_edit_reshape(edit, x, dims, type.rank, out_value);
    }
  }
  return exchange(edit, value, NULL, type.rank, out_value);
}

trivet_status_t tvi_attention_transposed(tvi_edit_t* edit, tvi_value_id_t value, double* io_scale,
                                         tvi_value_id_t* out_value) {
  return transposed(edit, value, 0, io_scale, out_value);
}

bool tvi_attention_repeated(const trivet_graph_t* graph, tvi_value_id_t value,
                            tvi_value_id_t* out_source, trivet_dim_t* out_heads) {
  const trivet_type_t* type = &graph->values[value]->type;
  if (type->rank != 4) return false;
  const tvi_node_t* node = tvi_match_node(graph, value, NULL);
  for (uint32_t i = 0; i < MAX_STEPS && node != NULL && tvi_match_reshape(node); ++i) {
    node = tvi_match_node(graph, node->inputs[0], NULL);
  }
  if (node == NULL || !(tvi_node_is(node, "std.Expand") || tvi_node_is(node, "std.Tile"))) {
    return false;
  }
  const trivet_type_t *from = &graph->values[node->inputs[0]]->type,
                      *to = &graph->values[tvi_match_output(node)]->type;
  if (from->rank != 5 || to->rank != 5 || !tvi_dim_equals_constant(from->dims[2], 1)) return false;
  for (uint32_t i = 0; i < 5; ++i) {
    if (i != 2 && from->dims[i] != to->dims[i]) return false;
  }
  if (to->dims[0] != type->dims[0] || to->dims[3] != type->dims[2] ||
      to->dims[4] != type->dims[3] ||
      tvi_dim_binary(graph->dims, TRIVET_DIM_MUL, to->dims[1], to->dims[2]) != type->dims[1]) {
    return false;
  }
  *out_source = node->inputs[0];
  *out_heads = from->dims[1];
  return true;
}

// ---------------------------------------------------------------------------------------------
// Causal masks
// ---------------------------------------------------------------------------------------------

static bool contents_are_causal(const trivet_graph_t* graph, tvi_value_id_t mask,
                                tvi_attention_mask_t kind) {
  trivet_tensor_t tensor;
  if (!tvi_value_tensor(graph->values[mask], &tensor) || tensor.rank < 2) return false;
  const int64_t rows = tensor.dims[tensor.rank - 2], columns = tensor.dims[tensor.rank - 1];
  int64_t outer = 1, count;
  for (uint32_t i = 0; i + 2 < tensor.rank; ++i) {
    if (tensor.dims[i] != 1) return false;
  }
  if (__builtin_mul_overflow(rows, columns, &count) || count > MAX_MASK_ELEMENTS || outer != 1) {
    return false;
  }
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      const double number = tvi_dtype_read_f64(tensor.dtype, tensor.data, i * columns + j);
      const bool seen = kind == TVI_ATTENTION_MASK_VISIBLE ? number != 0 : number == 0;
      if (seen != (j <= i)) return false;
      if (kind == TVI_ATTENTION_MASK_ADDED && !seen && !(number <= TVI_ATTENTION_HIDDEN)) {
        return false;
      }
    }
  }
  return true;
}

// A slice that begins at 0 along the last two axes and takes every element.
static bool is_corner(const trivet_graph_t* graph, const tvi_node_t* node) {
  int64_t starts[TRIVET_MAX_RANK], axes[TRIVET_MAX_RANK], steps[TRIVET_MAX_RANK];
  uint32_t count, axis_count, step_count = 0;
  if (!tvi_match_ints(graph, tvi_match_operand(node, 1), starts, TRIVET_MAX_RANK, &count)) {
    return false;
  }
  const uint32_t rank = graph->values[node->inputs[0]]->type.rank;
  const tvi_value_id_t given = tvi_match_operand(node, 3), by = tvi_match_operand(node, 4);
  if (given != 0 && !tvi_match_ints(graph, given, axes, TRIVET_MAX_RANK, &axis_count)) return false;
  if (by != 0 && !tvi_match_ints(graph, by, steps, TRIVET_MAX_RANK, &step_count)) return false;
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t axis = i;
    if (given != 0 && !tvi_match_axis(axes[i], rank, &axis)) return false;
    if (starts[i] != 0 || (i < step_count && steps[i] != 1)) return false;
  }
  return true;
}

// A constant of 0, 1, 2, ..
static bool counts(const trivet_graph_t* graph, tvi_value_id_t value) {
  trivet_tensor_t tensor;
  uint64_t count = 0;
  if (tvi_value_tensor(graph->values[value], &tensor)) {
    const uint32_t width = tvi_dtype_bytes(tensor.dtype);
    const int64_t numbers = width != 0 ? (int64_t)(tensor.size / width) : 0;
    for (int64_t i = 0; i < numbers; ++i) {
      if (tvi_dtype_read_f64(tensor.dtype, tensor.data, i) != (double)i) return false;
    }
    return numbers != 0;
  }
  const trivet_dim_t* ints = tvi_graph_value_ints(graph, value, &count);
  for (uint64_t i = 0; i < count && ints != NULL; ++i) {
    if (!tvi_dim_equals_constant(ints[i], (int64_t)i)) return false;
  }
  return ints != NULL && count != 0;
}

// Counts 0, 1, 2, .. along axis |from_end| from the end, with all other extents 1.
static bool is_positions(const trivet_graph_t* graph, tvi_value_id_t value, uint32_t from_end) {
  const trivet_type_t* type = &graph->values[value]->type;
  if (type->rank < from_end) return false;
  for (uint32_t i = 0; i < type->rank; ++i) {
    if (i != type->rank - from_end && !tvi_dim_equals_constant(type->dims[i], 1)) return false;
  }
  const tvi_node_t* node = tvi_match_node(graph, value, NULL);
  for (uint32_t i = 0; i < MAX_STEPS && node != NULL; ++i) {
    if (!tvi_match_reshape(node) && !tvi_node_is(node, "std.Cast")) break;
    value = node->inputs[0];
    node = tvi_match_node(graph, value, NULL);
  }
  if (graph->values[value]->constant != NULL) return counts(graph, value);
  if (node == NULL || !tvi_node_is(node, "std.Range")) return false;
  return tvi_match_number(graph, node->inputs[0], 0) && tvi_match_number(graph, node->inputs[2], 1);
}

bool tvi_attention_is_causal(const trivet_graph_t* graph, tvi_value_id_t mask,
                             tvi_attention_mask_t kind) {
  for (uint32_t step = 0; step < MAX_STEPS; ++step) {
    if (tvi_match_constant(graph, mask)) return contents_are_causal(graph, mask, kind);
    const tvi_node_t* node = tvi_match_node(graph, mask, NULL);
    if (node == NULL) return false;
    const trivet_type_t* type = &graph->values[mask]->type;
    if (tvi_node_is(node, "std.Slice")) {
      if (!is_corner(graph, node)) return false;
      mask = node->inputs[0];
    } else if (tvi_match_reshape(node) || tvi_node_is(node, "std.Expand")) {
      const trivet_type_t* inner = &graph->values[node->inputs[0]]->type;
      if (inner->rank < 2 || type->rank < 2 ||
          inner->dims[inner->rank - 1] != type->dims[type->rank - 1] ||
          inner->dims[inner->rank - 2] != type->dims[type->rank - 2]) {
        return false;
      }
      mask = node->inputs[0];
    } else if (tvi_node_is(node, "std.Where") && kind == TVI_ATTENTION_MASK_ADDED) {
      double seen, hidden;
      if (!tvi_match_splat(graph, node->inputs[1], &seen) || seen != 0 ||
          !tvi_match_splat(graph, node->inputs[2], &hidden) || !(hidden <= TVI_ATTENTION_HIDDEN)) {
        return false;
      }
      kind = TVI_ATTENTION_MASK_VISIBLE;
      mask = node->inputs[0];
    } else if (tvi_node_is(node, "std.LessOrEqual")) {
      return kind == TVI_ATTENTION_MASK_VISIBLE && is_positions(graph, node->inputs[0], 1) &&
             is_positions(graph, node->inputs[1], 2);
    } else if (tvi_node_is(node, "std.GreaterOrEqual")) {
      return kind == TVI_ATTENTION_MASK_VISIBLE && is_positions(graph, node->inputs[1], 1) &&
             is_positions(graph, node->inputs[0], 2);
    } else {
      return false;
    }
  }
  return false;
}
