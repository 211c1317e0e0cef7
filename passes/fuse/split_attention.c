// SPDX-License-Identifier: Apache-2.0
//
// split-attention: every std.Attention that no kernel of the target runs whole is written out as
// two products and a softmax, which library kernels run; the general kernel would compute a chain
// of two contractions element by element. Stands behind the passes that change types, so that
// kernels are asked about what they would get, and before those that clean up.
//
//   %y = std.Attention(%q, %k, %v, %m) { scale = 0.125 }
//        ->  %t = std.Transpose(%k) { perm = [0, 1, 3, 2] }   %s = std.MatMul(%q, %t)
//            %c = std.Mul(%s, 0.125)   %b = std.Add(%c, %m)   %p = std.Softmax(%b)   (hidden rows:
//            0) %y = std.MatMul(%p, %v)
//
// Means the same, up to rounding of scores and weights to the operands' type. Left whole: counts of
// valid keys, the scores as a result, masks that are shorter than the keys, heads that are not
// known when the plan is built, operands of different types.
#include <math.h>
#include <string.h>

#include "core/base/dtype.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"

typedef struct split_s {
  tvi_edit_t* edit;
  const tvi_node_t* node;
  tvi_value_id_t q, k, v;  // rank 4, with the cache in front
  tvi_value_id_t mask;
  uint32_t dtype;
  trivet_dim_t batch, q_heads, kv_heads, queries, keys, size, v_size;
  trivet_dim_t past;
  bool packed;
} split_t;

static const trivet_type_t* type_of(const split_t* s, tvi_value_id_t value) {
  return &s->edit->graph->values[value]->type;
}

static trivet_dim_t dim_op(const split_t* s, uint32_t op, trivet_dim_t a, trivet_dim_t b) {
  return tvi_dim_binary(s->edit->graph->dims, op, a, b);
}

static tvi_value_id_t output(const tvi_node_t* node, uint32_t index) {
  return index < node->output_count ? node->outputs[index] : 0;
}

static bool is_used(const trivet_graph_t* graph, tvi_value_id_t value) {
  if (value == 0) return false;
  const tvi_value_t* v = graph->values[value];
  return v->use_count != 0 || v->output_uses != 0 || v->observed;
}

// NULL: it can be written out; otherwise why not.
static const char* read_node(tvi_edit_t* edit, const tvi_node_t* node, split_t* s) {
  trivet_graph_t* graph = edit->graph;
  memset(s, 0, sizeof(*s));
  s->edit = edit;
  s->node = node;
  s->q = node->inputs[0], s->k = node->inputs[1], s->v = node->inputs[2];
  s->mask = tvi_match_operand(node, 3);
  const tvi_value_id_t past = tvi_match_operand(node, 4);
  const trivet_type_t *q = type_of(s, s->q), *k = type_of(s, s->k), *v = type_of(s, s->v);
  s->dtype = q->dtype;
  if (tvi_match_operand(node, 6) != 0) return "valid keys are counted";
  if (is_used(graph, output(node, 3))) return "its scores are a result";
  if (k->dtype != q->dtype || v->dtype != q->dtype) return "its operands have different types";
  if (past != 0 && (type_of(s, past)->dtype != q->dtype ||
                    type_of(s, tvi_match_operand(node, 5))->dtype != q->dtype)) {
    return "its operands have different types";
  }
  s->packed = q->rank == 3;
  s->batch = q->dims[0];
  s->queries = q->dims[s->packed ? 1 : 2];
  s->keys = k->dims[s->packed ? 1 : 2];
  if (s->packed) {
    s->q_heads = tvi_dim_constant(graph->dims, tvi_node_attr_i64(node, "q_num_heads", 1));
    s->kv_heads = tvi_dim_constant(graph->dims, tvi_node_attr_i64(node, "kv_num_heads", 1));
    s->size = dim_op(s, TRIVET_DIM_FLOORDIV, q->dims[2], s->q_heads);
    s->v_size = dim_op(s, TRIVET_DIM_FLOORDIV, v->dims[2], s->kv_heads);
  } else {
    s->q_heads = q->dims[1];
    s->kv_heads = k->dims[1];
    s->size = q->dims[3];
    s->v_size = v->dims[3];
  }
  if (s->size == NULL || s->v_size == NULL) return "the extents of its heads are not known";
  int64_t number;
  if (tvi_node_attribute(node, "scale") == NULL && !tvi_dim_is_constant(s->size, &number)) {
    return "the scale is not known";
  }
  if (s->q_heads != s->kv_heads &&
      (!tvi_dim_is_constant(s->q_heads, &number) || !tvi_dim_is_constant(s->kv_heads, &number))) {
    return "the number of its heads is not known";
  }
  if (past != 0) {
    s->past = type_of(s, past)->dims[2];
    s->keys = dim_op(s, TRIVET_DIM_ADD, s->keys, s->past);
    if (s->keys == NULL) return "the number of keys is not known";
  }
  if (s->mask != 0) {
    const trivet_type_t* m = type_of(s, s->mask);
    if (m->dims[m->rank - 1] != s->keys) return "the mask is shorter than the keys";
  }
  return NULL;
}

// x[b, n, h * d] as [b, h, n, d].
static trivet_status_t unpack(const split_t* s, trivet_dim_t heads, trivet_dim_t size,
                              tvi_value_id_t* io_value) {
  if (!s->packed) return TRIVET_OK;
  static const int64_t order[] = {0, 2, 1, 3};
  const trivet_attribute_t perm = tvi_edit_i64s("perm", order, 4);
  const trivet_dim_t dims[4] = {s->batch, type_of(s, *io_value)->dims[1], heads, size};
  TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(s->edit, *io_value, dims, 4, io_value));
  return tvi_edit_op(s->edit, "std.Transpose", io_value, 1, &perm, 1, io_value);
}

static trivet_status_t prepend(const split_t* s, tvi_value_id_t past, tvi_value_id_t* io_value) {
  if (past == 0) return TRIVET_OK;
  static const int64_t along = 2;
  const trivet_attribute_t axis = tvi_edit_i64("axis", &along);
  const tvi_value_id_t parts[2] = {past, *io_value};
  return tvi_edit_op(s->edit, "std.Concat", parts, 2, &axis, 1, io_value);
}

static trivet_status_t scalar_op(const split_t* s, const char* op, double number,
                                 tvi_value_id_t* io_value) {
  tvi_value_id_t factor;
  TRIVET_RETURN_IF_ERROR(tvi_edit_scalar(s->edit, type_of(s, *io_value)->dtype, number, &factor));
  return tvi_edit_op2(s->edit, op, *io_value, factor, io_value);
}

// 0, 1, .. , |count| - 1 as i64[count, 1] or i64[1, count].
static trivet_status_t positions(const split_t* s, trivet_dim_t count, bool rows,
                                 tvi_value_id_t* out_value) {
  tvi_edit_t* edit = s->edit;
  const trivet_type_t scalar = {.dtype = TRIVET_DTYPE_I64, .rank = 0};
  tvi_value_id_t inputs[3];
  TRIVET_RETURN_IF_ERROR(tvi_edit_scalar(edit, TRIVET_DTYPE_I64, 0, &inputs[0]));
  TRIVET_RETURN_IF_ERROR(tvi_graph_add_dims_constant(edit->graph, &scalar, &count, &inputs[1]));
  TRIVET_RETURN_IF_ERROR(tvi_edit_scalar(edit, TRIVET_DTYPE_I64, 1, &inputs[2]));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Range", inputs, 3, NULL, 0, out_value));
  const trivet_dim_t one = tvi_dim_constant(edit->graph->dims, 1);
  const trivet_dim_t dims[2] = {rows ? count : one, rows ? one : count};
  return tvi_edit_reshape(edit, *out_value, dims, 2, out_value);
}

// Adds a condition to |*io_seen| (bool, 0: none).
static trivet_status_t both(const split_t* s, tvi_value_id_t condition, tvi_value_id_t* io_seen) {
  if (*io_seen == 0) {
    *io_seen = condition;
    return TRIVET_OK;
  }
  return tvi_edit_op2(s->edit, "std.And", *io_seen, condition, io_seen);
}

// Where keys are seen by their position: bool[queries, keys], 0: everywhere.
static trivet_status_t write_seen(const split_t* s, tvi_value_id_t* out_seen) {
  const bool causal = tvi_node_attr_i64(s->node, "is_causal", 0) != 0;
  const int64_t left = tvi_node_attr_i64(s->node, "left_window_size", -1),
                right = tvi_node_attr_i64(s->node, "right_window_size", -1);
  *out_seen = 0;
  if (!causal && left < 0 && right < 0) return TRIVET_OK;
  tvi_value_id_t i, j, bound, condition;
  TRIVET_RETURN_IF_ERROR(positions(s, s->queries, true, &i));
  TRIVET_RETURN_IF_ERROR(positions(s, s->keys, false, &j));
  if (s->past != NULL) {
    const trivet_type_t scalar = {.dtype = TRIVET_DTYPE_I64, .rank = 0};
    TRIVET_RETURN_IF_ERROR(tvi_graph_add_dims_constant(s->edit->graph, &scalar, &s->past, &bound));
    TRIVET_RETURN_IF_ERROR(tvi_edit_op2(s->edit, "std.Add", i, bound, &i));
  }
  if (causal || right >= 0) {
    bound = i;
    if (!causal && right > 0) {
      TRIVET_RETURN_IF_ERROR(scalar_op(s, "std.Add", (double)right, &bound));
    }
    TRIVET_RETURN_IF_ERROR(tvi_edit_op2(s->edit, "std.LessOrEqual", j, bound, &condition));
    TRIVET_RETURN_IF_ERROR(both(s, condition, out_seen));
  }
  if (left >= 0) {
    bound = i;
    TRIVET_RETURN_IF_ERROR(scalar_op(s, "std.Sub", (double)left, &bound));
    TRIVET_RETURN_IF_ERROR(tvi_edit_op2(s->edit, "std.GreaterOrEqual", j, bound, &condition));
    TRIVET_RETURN_IF_ERROR(both(s, condition, out_seen));
  }
  return TRIVET_OK;
}

static trivet_status_t choose(const split_t* s, tvi_value_id_t condition, tvi_value_id_t a,
                              tvi_value_id_t b, tvi_value_id_t* out_value) {
  const tvi_value_id_t inputs[3] = {condition, a, b};
  return tvi_edit_op(s->edit, "std.Where", inputs, 3, NULL, 0, out_value);
}

// Hides keys of |*io_scores| [b, h, i, j].
static trivet_status_t hide(const split_t* s, tvi_value_id_t* io_scores) {
  tvi_edit_t* edit = s->edit;
  tvi_value_id_t seen, added = s->mask, infinity;
  TRIVET_RETURN_IF_ERROR(write_seen(s, &seen));
  if (added != 0 && type_of(s, added)->dtype == TRIVET_DTYPE_BOOL) {
    TRIVET_RETURN_IF_ERROR(both(s, added, &seen));
  } else if (added != 0) {
    if (type_of(s, added)->dtype != s->dtype) {
      const trivet_attribute_t to = {"to", TRIVET_ATTR_DTYPE, 0, 1, &s->dtype};
      TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Cast", &added, 1, &to, 1, &added));
    }
    TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Add", *io_scores, added, io_scores));
  }
  if (seen == 0) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(tvi_edit_scalar(edit, s->dtype, -INFINITY, &infinity));
  return choose(s, seen, *io_scores, infinity, io_scores);
}

// Weights of rows that see nothing become 0; a row's largest score tells.
static trivet_status_t zero_hidden_rows(const split_t* s, tvi_value_id_t scores,
                                        tvi_value_id_t* io_weights) {
  tvi_edit_t* edit = s->edit;
  static const int64_t last = -1;
  tvi_value_id_t inputs[2] = {scores, 0}, peak, infinity, hidden, zero;
  TRIVET_RETURN_IF_ERROR(tvi_edit_ints(edit, &last, 1, &inputs[1]));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.ReduceMax", inputs, 2, NULL, 0, &peak));
  TRIVET_RETURN_IF_ERROR(tvi_edit_scalar(edit, s->dtype, -INFINITY, &infinity));
  TRIVET_RETURN_IF_ERROR(tvi_edit_scalar(edit, s->dtype, 0, &zero));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Equal", peak, infinity, &hidden));
  return choose(s, hidden, zero, *io_weights, io_weights);
}

// Scores and weights in rank 4: query heads that share a key head are rows of one product.
static trivet_status_t write(const split_t* s, tvi_value_id_t* out_y) {
  tvi_edit_t* edit = s->edit;
  static const int64_t exchanged[] = {0, 1, 3, 2}, heads_inside[] = {0, 2, 1, 3};
  static const int64_t last = -1;
  const trivet_attribute_t perm = tvi_edit_i64s("perm", exchanged, 4);
  const trivet_attribute_t axis = tvi_edit_i64("axis", &last);
  const bool shared = s->q_heads != s->kv_heads;
  const trivet_dim_t rows =
      shared ? dim_op(s, TRIVET_DIM_MUL, dim_op(s, TRIVET_DIM_FLOORDIV, s->q_heads, s->kv_heads),
                      s->queries)
             : s->queries;
  const trivet_dim_t q_dims[4] = {s->batch, s->kv_heads, rows, s->size},
                     score_dims[4] = {s->batch, s->q_heads, s->queries, s->keys},
                     weight_dims[4] = {s->batch, s->kv_heads, rows, s->keys},
                     y_dims[4] = {s->batch, s->q_heads, s->queries, s->v_size};
  tvi_value_id_t q, t, scores, weights;
  TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(edit, s->q, q_dims, 4, &q));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Transpose", &s->k, 1, &perm, 1, &t));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.MatMul", q, t, &scores));

  int64_t size = 1;
  tvi_dim_is_constant(s->size, &size);
  const double scale = tvi_node_attr_f64(s->node, "scale", 1 / sqrt((double)size)),
               cap = tvi_node_attr_f64(s->node, "softcap", 0);
  const double factor = cap > 0 ? scale / cap : scale;
  if (factor != 1) TRIVET_RETURN_IF_ERROR(scalar_op(s, "std.Mul", factor, &scores));
  if (cap > 0) {
    TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Tanh", scores, 0, &scores));
    TRIVET_RETURN_IF_ERROR(scalar_op(s, "std.Mul", cap, &scores));
  }
  const bool hides = s->mask != 0 || tvi_node_attr_i64(s->node, "is_causal", 0) != 0 ||
                     tvi_node_attr_i64(s->node, "left_window_size", -1) >= 0 ||
                     tvi_node_attr_i64(s->node, "right_window_size", -1) >= 0;
  if (hides) {
    TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(edit, scores, score_dims, 4, &scores));
    TRIVET_RETURN_IF_ERROR(hide(s, &scores));
  }
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Softmax", &scores, 1, &axis, 1, &weights));
  const trivet_string_view_t hidden_rows = tvi_node_attr_string(s->node, "hidden_rows");
  const bool plain = hidden_rows.size == 3 && memcmp(hidden_rows.data, "nan", 3) == 0;
  if (hides && !plain) TRIVET_RETURN_IF_ERROR(zero_hidden_rows(s, scores, &weights));
  TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(edit, weights, weight_dims, 4, &weights));
  TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.MatMul", weights, s->v, out_y));
  TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(edit, *out_y, y_dims, 4, out_y));
  if (!s->packed) return TRIVET_OK;
  const trivet_attribute_t outside = tvi_edit_i64s("perm", heads_inside, 4);
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Transpose", out_y, 1, &outside, 1, out_y));
  const trivet_type_t* type = type_of(s, tvi_match_output(s->node));
  return tvi_edit_reshape(edit, *out_y, type->dims, type->rank, out_y);
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  trivet_graph_t* graph = edit->graph;
  if (!tvi_node_is(node, "std.Attention")) return TRIVET_OK;
  split_t s;
  const char* reason = read_node(edit, node, &s);
  if (reason != NULL) {
    tvi_edit_decline(edit, "left whole: %s", reason);
    return TRIVET_OK;
  }
  bool accepted = false;
  TRIVET_RETURN_IF_ERROR(tvi_pass_accepts(edit->context, graph, edit->at, &accepted));
  if (accepted || !tvi_edit_may(edit)) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(unpack(&s, s.q_heads, s.size, &s.q));
  TRIVET_RETURN_IF_ERROR(unpack(&s, s.kv_heads, s.size, &s.k));
  TRIVET_RETURN_IF_ERROR(unpack(&s, s.kv_heads, s.v_size, &s.v));
  TRIVET_RETURN_IF_ERROR(prepend(&s, tvi_match_operand(node, 4), &s.k));
  TRIVET_RETURN_IF_ERROR(prepend(&s, tvi_match_operand(node, 5), &s.v));
  tvi_value_id_t y;
  TRIVET_RETURN_IF_ERROR(write(&s, &y));
  const tvi_value_id_t results[3] = {y, s.k, s.v};
  for (uint32_t i = 0; i < 3; ++i) {
    const tvi_value_id_t old = output(node, i);
    if (old == 0 || (i != 0 && !is_used(graph, old))) continue;
    if (!tvi_edit_fits(edit, old, results[i])) return TRIVET_OK;
  }
  for (uint32_t i = 2; i > 0; --i) {
    const tvi_value_id_t old = output(node, i);
    if (is_used(graph, old)) {
      TRIVET_RETURN_IF_ERROR(tvi_edit_replace_value(edit, old, results[i]));
    }
  }
  return tvi_edit_replace(edit, tvi_match_output(node), y, "written out");
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(split_attention, "split-attention",
                "writes out attention that no kernel of the target runs whole", run);
