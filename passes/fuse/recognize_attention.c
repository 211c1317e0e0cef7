// SPDX-License-Identifier: Apache-2.0
//
// recognize-attention: products of queries and keys, scaled and masked, their softmax, and its
// product with the values become one std.Attention, which targets run whole or split-attention
// writes out again.
//
//   %t = std.Transpose(%k) { perm = [0, 1, 3, 2] }
//   %s = std.MatMul(%q, %t)
//   %c = std.Mul(%s, 0.125)                            %y = std.Attention(%q, %k, %v, %m)
//   %b = std.Add(%c, %m)                         ->        { scale = 0.125, hidden_rows = "nan" }
//   %p = std.Softmax(%b) { axis = -1 }
//   %y = std.MatMul(%p, %v)
//
// Equal up to rounding, for all operands: factors may stand at q, at k, at the scores or behind the
// mask; a row whose scores are all -inf is NaN before and after. A softmax with NaN replaced by 0
// becomes the form whose hidden rows are zeros; there, and only there, scores that are NaN or
// infinite by themselves differ: the operator shows NaN where the model had 0. A mask of numbers is
// kept as it is, since -3.4e38 hides another way than -inf in a row that sees nothing. It becomes
// is_causal where its contents are proven to be 0 at keys j <= i and below -3e38 elsewhere: every
// row then sees a key, and scores below 1e37 give the same bits. Where(seen, scores, c) is taken
// for c = -inf, or when it is causal.
#include <math.h>
#include <string.h>

#include "core/base/dtype.h"
#include "passes/support/attention_operands.h"
#include "passes/support/edit.h"
#include "passes/support/match.h"

#define MAX_STEPS 12

typedef struct attention_s {
  const tvi_node_t* scores;  // the product of queries and keys
  tvi_value_id_t v;
  double scale;    // of the scores before the soft cap
  double softcap;  // 0: none
  tvi_value_id_t mask;
  double mask_scale;
  bool inverted;          // the mask is true where a key is hidden
  tvi_value_id_t causal;  // the mask that hides the keys behind each query
  bool zero_rows;
  const char* reason;
} attention_t;

static const trivet_type_t* type_of(const trivet_graph_t* graph, tvi_value_id_t value) {
  return &graph->values[value]->type;
}

// Behind casts between floats that lose nothing but what a narrow type cannot hold.
static tvi_value_id_t skip_casts(const trivet_graph_t* graph, tvi_value_id_t value) {
  const tvi_node_t* node = tvi_match_node(graph, value, "std.Cast");
  while (node != NULL && tvi_dtype_is_float(type_of(graph, value)->dtype) &&
         tvi_dtype_is_float(type_of(graph, node->inputs[0])->dtype)) {
    value = node->inputs[0];
    node = tvi_match_node(graph, value, "std.Cast");
  }
  return value;
}

// Where(IsNaN(p), 0, p) -> p.
static tvi_value_id_t skip_nan_guard(const trivet_graph_t* graph, tvi_value_id_t value,
                                     bool* out_guarded) {
  const tvi_node_t* where = tvi_match_node(graph, value, "std.Where");
  const tvi_node_t* test =
      where != NULL ? tvi_match_node(graph, where->inputs[0], "std.IsNaN") : NULL;
  *out_guarded = test != NULL && test->inputs[0] == where->inputs[2] &&
                 tvi_match_number(graph, where->inputs[1], 0);
  return *out_guarded ? where->inputs[2] : value;
}

// Does the chain upwards from |value| end in a product of two operands that are not constant?
static bool leads_to_product(const trivet_graph_t* graph, tvi_value_id_t value, uint32_t depth) {
  const tvi_node_t* node = tvi_match_node(graph, value, NULL);
  if (node == NULL || depth == 6) return false;
  if (tvi_node_is(node, "std.MatMul")) return type_of(graph, node->inputs[1])->rank > 2;
  if (!tvi_match_pointwise(node)) return false;
  for (uint32_t i = 0; i < node->input_count; ++i) {
    if (node->inputs[i] != 0 && leads_to_product(graph, node->inputs[i], depth + 1)) return true;
  }
  return false;
}

// |node| has an operand of one number; the other one is returned, 0: no match.
static tvi_value_id_t number_operand(const trivet_graph_t* graph, const tvi_node_t* node,
                                     bool ordered, double* out_number) {
  for (uint32_t i = 0; i < (ordered ? 1u : 2u); ++i) {
    if (tvi_match_splat(graph, node->inputs[1 - i], out_number) &&
        tvi_type_same_shape(type_of(graph, node->inputs[i]),
                            type_of(graph, tvi_match_output(node)))) {
      return node->inputs[i];
    }
  }
  return 0;
}

static bool decline(attention_t* a, const char* reason) {
  a->reason = reason;
  return false;
}

static bool take_mask(attention_t* a, const trivet_graph_t* graph, tvi_value_id_t mask,
                      tvi_attention_mask_t kind, bool inverted) {
  const bool scaled = kind == TVI_ATTENTION_MASK_ADDED && a->scale < 0.1;
  if (!inverted && !scaled && a->causal == 0 && tvi_attention_is_causal(graph, mask, kind)) {
    a->causal = mask;
    return true;
  }
  if (a->mask != 0) return decline(a, "there are two masks");
  a->mask = mask;
  a->mask_scale = a->scale;
  a->inverted = inverted;
  return true;
}

static bool take_where(attention_t* a, const trivet_graph_t* graph, const tvi_node_t* where,
                       tvi_value_id_t* io_value) {
  for (uint32_t side = 1; side < 3; ++side) {
    double hidden;
    if (!tvi_match_splat(graph, where->inputs[3 - side], &hidden)) continue;
    if (!tvi_type_same_shape(type_of(graph, where->inputs[side]),
                             type_of(graph, tvi_match_output(where)))) {
      return decline(a, "the mask has more dimensions than the scores");
    }
    *io_value = where->inputs[side];
    const bool inverted = side == 2;
    if (hidden == -INFINITY) {
      return take_mask(a, graph, where->inputs[0], TVI_ATTENTION_MASK_VISIBLE, inverted);
    }
    if (!inverted && a->causal == 0 && hidden <= TVI_ATTENTION_HIDDEN && a->scale >= 0.1 &&
        tvi_attention_is_causal(graph, where->inputs[0], TVI_ATTENTION_MASK_VISIBLE)) {
      a->causal = where->inputs[0];
      return true;
    }
    return decline(a, "hidden keys get a finite score, which a row that sees none shows");
  }
  return decline(a, "what is chosen instead of a score is not one number");
}

static bool take_sum(attention_t* a, const trivet_graph_t* graph, const tvi_node_t* add,
                     tvi_value_id_t* io_value) {
  for (uint32_t side = 0; side < 2; ++side) {
    tvi_value_id_t x = add->inputs[side];
    if (!leads_to_product(graph, x, 0) ||
        !tvi_type_equal(type_of(graph, x), type_of(graph, tvi_match_output(add)))) {
      continue;
    }
    *io_value = x;
    // What is scaled behind the mask scales it, too, and must not make infinity of it.
    if (a->scale > 1) return decline(a, "the masked scores are scaled up");
    return take_mask(a, graph, add->inputs[1 - side], TVI_ATTENTION_MASK_ADDED, false);
  }
  return decline(a, "something is added to the scores that is no mask");
}

// One step from what the softmax reads towards the scores.
static bool step(attention_t* a, const trivet_graph_t* graph, const tvi_node_t* node,
                 tvi_value_id_t* io_value) {
  double number;
  const bool over = tvi_node_is(node, "std.Div");
  if (over || tvi_node_is(node, "std.Mul")) {
    tvi_value_id_t x = number_operand(graph, node, over, &number);
    if (x == 0) return decline(a, "the scores are multiplied by more than a number");
    if (!isfinite(number) || number <= 0) return decline(a, "the scale is not positive");
    const tvi_node_t* tanh = tvi_match_node(graph, x, "std.Tanh");
    if (tanh != NULL) {
      if (over || a->scale != 1 || a->softcap != 0) return decline(a, "the soft cap is scaled");
      a->softcap = number;
      a->scale = number;  // tanh reads the scores divided by the cap
      *io_value = tanh->inputs[0];
      return true;
    }
    a->scale *= over ? 1 / number : number;
    *io_value = x;
    return true;
  }
  if (a->softcap != 0) return decline(a, "there is more than a scale within the soft cap");
  if (tvi_node_is(node, "std.Add")) return take_sum(a, graph, node, io_value);
  if (tvi_node_is(node, "std.Where")) return take_where(a, graph, node, io_value);
  return decline(a, "the softmax is not of scores");
}

static bool match_scores(attention_t* a, const trivet_graph_t* graph, tvi_value_id_t value) {
  for (uint32_t i = 0; i < MAX_STEPS; ++i) {
    value = skip_casts(graph, value);
    const tvi_node_t* node = tvi_match_node(graph, value, NULL);
    if (node == NULL) return decline(a, "the softmax is not of scores");
    if (!tvi_match_private(graph, value)) return decline(a, "the scores are needed elsewhere");
    if (tvi_node_is(node, "std.MatMul")) {
      a->scores = node;
      return true;
    }
    if (!step(a, graph, node, &value)) return false;
  }
  return decline(a, "there are too many steps between the scores and the softmax");
}

// Shapes: q[b, h, i, d] k[b, h, d, j] v[b, h, j, e], or the same without h.
static bool match_shapes(attention_t* a, const trivet_graph_t* graph) {
  const trivet_type_t *q = type_of(graph, a->scores->inputs[0]),
                      *k = type_of(graph, a->scores->inputs[1]), *v = type_of(graph, a->v);
  const uint32_t rank = q->rank;
  if ((rank != 3 && rank != 4) || k->rank != rank || v->rank != rank) {
    return decline(a, "the operands have other ranks than 3 and 4");
  }
  for (uint32_t i = 0; i + 2 < rank; ++i) {
    if (q->dims[i] != k->dims[i] || q->dims[i] != v->dims[i]) {
      return decline(a, "queries, keys and values are broadcast");
    }
  }
  if (k->dims[rank - 1] != v->dims[rank - 2]) return decline(a, "keys and values differ in number");
  if (q->dtype != k->dtype || q->dtype != v->dtype) {
    return decline(a, "queries, keys and values have different types");
  }
  if (a->causal != 0) {
    const trivet_type_t* c = type_of(graph, a->causal);
    if (c->rank < 2 || c->rank > rank || c->dims[c->rank - 2] != q->dims[rank - 2] ||
        c->dims[c->rank - 1] != k->dims[rank - 1]) {
      return decline(a, "the causal mask has another shape than the scores");
    }
  }
  if (a->mask == 0) return true;
  const trivet_type_t* m = type_of(graph, a->mask);
  if (m->rank == 0 || m->rank > rank || m->dims[m->rank - 1] != k->dims[rank - 1]) {
    return decline(a, "the mask is broadcast along the keys");
  }
  for (uint32_t i = 0; i < m->rank; ++i) {
    const uint32_t axis = rank - m->rank + i;
    const trivet_dim_t extent = axis == rank - 1 ? k->dims[axis] : q->dims[axis];
    if (m->dims[i] != extent && !tvi_dim_equals_constant(m->dims[i], 1)) {
      return decline(a, "the mask has another shape than the scores");
    }
  }
  return true;
}

// |x| [b, i, d] as [b, 1, i, d].
static trivet_status_t add_head(tvi_edit_t* edit, tvi_value_id_t* io_value) {
  const trivet_type_t type = *type_of(edit->graph, *io_value);
  if (type.rank != 3) return TRIVET_OK;
  const trivet_dim_t dims[4] = {type.dims[0], tvi_dim_constant(edit->graph->dims, 1), type.dims[1],
                                type.dims[2]};
  return tvi_edit_reshape(edit, *io_value, dims, 4, io_value);
}

static trivet_status_t write_mask(tvi_edit_t* edit, const attention_t* a, tvi_value_id_t* out) {
  trivet_graph_t* graph = edit->graph;
  *out = a->mask;
  if (a->mask == 0) return TRIVET_OK;
  if (a->inverted) TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Not", *out, 0, out));
  if (type_of(graph, *out)->dtype != TRIVET_DTYPE_BOOL && a->mask_scale != 1) {
    tvi_value_id_t factor;
    TRIVET_RETURN_IF_ERROR(
        tvi_edit_scalar(edit, type_of(graph, *out)->dtype, a->mask_scale, &factor));
    TRIVET_RETURN_IF_ERROR(tvi_edit_op2(edit, "std.Mul", *out, factor, out));
  }
  return type_of(graph, a->scores->inputs[0])->rank == 3 ? add_head(edit, out) : TRIVET_OK;
}

static trivet_status_t rewrite(tvi_edit_t* edit, const tvi_node_t* node, const attention_t* a) {
  trivet_graph_t* graph = edit->graph;
  const tvi_value_id_t y = tvi_match_output(node);
  const trivet_type_t result_type = *type_of(graph, y);
  tvi_value_id_t inputs[4] = {0}, result;
  double scale = a->scale;
  TRIVET_RETURN_IF_ERROR(tvi_attention_unscaled(edit, a->scores->inputs[0], &scale, &inputs[0]));
  TRIVET_RETURN_IF_ERROR(tvi_attention_transposed(edit, a->scores->inputs[1], &scale, &inputs[1]));
  inputs[2] = a->v;
  TRIVET_RETURN_IF_ERROR(write_mask(edit, a, &inputs[3]));
  for (uint32_t i = 0; i < 3; ++i) TRIVET_RETURN_IF_ERROR(add_head(edit, &inputs[i]));
  // Heads of keys and values that are repeated for several heads of queries are shared by them.
  tvi_value_id_t k, v;
  trivet_dim_t k_heads, v_heads;
  if (tvi_attention_repeated(graph, inputs[1], &k, &k_heads) &&
      tvi_attention_repeated(graph, inputs[2], &v, &v_heads) && k_heads == v_heads) {
    trivet_type_t type = *type_of(graph, inputs[1]);
    type.dims[1] = k_heads;
    TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(edit, k, type.dims, 4, &inputs[1]));
    type = *type_of(graph, inputs[2]);
    type.dims[1] = k_heads;
    TRIVET_RETURN_IF_ERROR(tvi_edit_reshape(edit, v, type.dims, 4, &inputs[2]));
  }
  const int64_t one = 1;
  const trivet_string_view_t nan = {"nan", 3};
  trivet_attribute_t attributes[4];
  uint32_t count = 0;
  attributes[count++] = tvi_edit_f32("scale", &scale);
  const bool hides = a->mask != 0 || a->causal != 0;
  if (hides && !a->zero_rows) attributes[count++] = tvi_edit_string("hidden_rows", &nan);
  if (a->causal != 0) attributes[count++] = tvi_edit_i64("is_causal", &one);
  if (a->softcap != 0) attributes[count++] = tvi_edit_f32("softcap", &a->softcap);
  TRIVET_RETURN_IF_ERROR(tvi_edit_op(edit, "std.Attention", inputs, inputs[3] != 0 ? 4 : 3,
                                     attributes, count, &result));
  TRIVET_RETURN_IF_ERROR(
      tvi_edit_reshape(edit, result, result_type.dims, result_type.rank, &result));
  if (!tvi_edit_fits(edit, y, result)) return TRIVET_OK;
  return tvi_edit_replace(edit, y, result, "recognised Attention");
}

// With the test for NaN the softmax has two readers, of which one reads the other.
static bool is_private_softmax(const trivet_graph_t* graph, tvi_value_id_t share, bool guarded) {
  const tvi_value_t* value = graph->values[share];
  return guarded ? value->use_count == 2 && value->output_uses == 0
                 : tvi_match_private(graph, share);
}

static trivet_status_t visit(tvi_edit_t* edit, tvi_node_t* node) {
  const trivet_graph_t* graph = edit->graph;
  if (!tvi_node_is(node, "std.MatMul")) return TRIVET_OK;
  attention_t a = {.v = node->inputs[1], .scale = 1, .mask_scale = 1};
  tvi_value_id_t outer = skip_casts(graph, node->inputs[0]);
  tvi_value_id_t share = skip_casts(graph, skip_nan_guard(graph, outer, &a.zero_rows));
  const tvi_node_t* softmax = tvi_match_node(graph, share, "std.Softmax");
  if (softmax == NULL) return TRIVET_OK;
  uint32_t axis;
  const uint32_t rank = type_of(graph, share)->rank;
  bool matched = true;
  if (!tvi_match_axis(tvi_node_attr_i64(softmax, "axis", -1), rank, &axis) || axis + 1 != rank) {
    matched = decline(&a, "the softmax is not along the last axis");
  } else if (!is_private_softmax(graph, share, a.zero_rows) || !tvi_match_private(graph, outer)) {
    matched = decline(&a, "the weights are needed elsewhere");
  }
  matched = matched && match_scores(&a, graph, softmax->inputs[0]) && match_shapes(&a, graph);
  if (!matched) {
    tvi_edit_decline(edit, "no attention: %s", a.reason);
    return TRIVET_OK;
  }
  if (!tvi_edit_may(edit)) return TRIVET_OK;
  return rewrite(edit, node, &a);
}

static trivet_status_t run(const trivet_pass_t* pass, trivet_pass_context_t* context,
                           trivet_graph_t* graph, uint32_t* out_changed) {
  (void)pass;
  return tvi_edit_run(context, graph, visit, out_changed);
}

TVI_PASS_DEFINE(recognize_attention, "recognize-attention", "finds attention written out", run);
