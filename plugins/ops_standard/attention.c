// SPDX-License-Identifier: Apache-2.0
//
// Attention and its companions: scaled dot products with masks, caches and shared key heads; rotary
// position embedding; the causal convolution with a carried state; linear attention as a recurrence
// on the host.
#include <math.h>
#include <stdio.h>

#include "plugins/ops_standard/ops_host.h"

typedef struct attention_s {
  uint32_t packed;  // rank 3: heads lie in the last axis
  trivet_dim_t batch, q_heads, kv_heads, q_length, kv_length, past, total, size, v_size, share;
} attention_t;

static trivet_status_t attention_geometry(ops_view_t* v, attention_t* g) {
  const trivet_type_t *q = ops_in(v, 0), *k = ops_in(v, 1), *x = ops_in(v, 2), *past = ops_in(v, 4);
  if (q->rank != k->rank || q->rank != x->rank || (q->rank != 3 && q->rank != 4))
    return OPS_INVALID(v, "q, k and v have ranks %u, %u and %u; all must be 3 or all 4", q->rank,
                       k->rank, x->rank);
  g->packed = q->rank == 3;
  g->batch = q->dims[0];
  if (g->packed) {
    int64_t qh = ops_attr(v, "q_num_heads"), kh = ops_attr(v, "kv_num_heads");
    if (qh < 1 || kh < 1)
      return OPS_INVALID(v, "operands of rank 3 need attributes q_num_heads and kv_num_heads");
    g->q_heads = ops_const(v, qh);
    g->kv_heads = ops_const(v, kh);
    g->q_length = q->dims[1];
    g->kv_length = k->dims[1];
    g->size = ops_floordiv(v, q->dims[2], g->q_heads);
    g->v_size = ops_floordiv(v, x->dims[2], g->kv_heads);
  } else {
    g->q_heads = q->dims[1];
    g->kv_heads = k->dims[1];
    g->q_length = q->dims[2];
    g->kv_length = k->dims[2];
    g->size = q->dims[3];
    g->v_size = x->dims[3];
  }
  if ((past == 0) != (ops_in(v, 5) == 0))
    return OPS_INVALID(v, "past_key and past_value must be given together");
  g->past = past ? past->dims[2] : ops_const(v, 0);
  g->total = ops_add(v, g->past, g->kv_length);
  g->share = ops_floordiv(v, g->q_heads, g->kv_heads);
  int64_t a, b;
  if (trivet_view_dim_value(v, g->q_heads, &a) && trivet_view_dim_value(v, g->kv_heads, &b) &&
      (b < 1 || a % b))
    return OPS_INVALID(v, "%lld query heads cannot share %lld key heads", (long long)a,
                       (long long)b);
  return 0;
}
static trivet_status_t infer_attention(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t *q = ops_in(v, 0), *k = ops_in(v, 1), *x = ops_in(v, 2);
  attention_t g;
  OPS_TRY(attention_geometry(v, &g));
  trivet_dim_t y[4] = {g.batch, g.q_heads, g.q_length, g.v_size},
               key[4] = {g.batch, g.kv_heads, g.total, g.size};
  trivet_dim_t value[4] = {g.batch, g.kv_heads, g.total, g.v_size},
               qk[4] = {g.batch, g.q_heads, g.q_length, g.total};
  if (g.packed) y[1] = g.q_length, y[2] = ops_mul(v, g.q_heads, g.v_size);
  uint32_t count = trivet_view_output_count(v);
  OPS_TRY(trivet_view_set_output(v, 0, q->dtype, g.packed ? 3 : 4, y));
  if (count > 1) OPS_TRY(trivet_view_set_output(v, 1, k->dtype, 4, key));
  if (count > 2) OPS_TRY(trivet_view_set_output(v, 2, x->dtype, 4, value));
  if (count > 3) OPS_TRY(trivet_view_set_output(v, 3, q->dtype, 4, qk));
  return 0;
}
// One element of the keys (|name| "k") or values ("x") with the cache in front: head |head|,
// position |at|, component |part|.
static void put_cached(ops_text_t* t, const attention_t* g, const char* name, const char* past,
                       const char* head, const char* at, const char* part, trivet_dim_t size) {
  uint32_t cached = ops_in(t->view, 4) != 0;
  const char* begin = tvi_ops_dim_text(t, g->past);
  char shifted[256];
  snprintf(shifted, sizeof shifted, cached ? "%s - %s" : "%s", at, begin);
  if (cached) tvi_ops_put(t, "%s < %s ? %s[b, %s, %s, %s] : ", at, begin, past, head, at, part);
  if (g->packed) {
    tvi_ops_put(t, "%s[b, %s, %s*%s + %s]", name, shifted, head, tvi_ops_dim_text(t, size), part);
  } else {
    tvi_ops_put(t, "%s[b, %s, %s, %s]", name, head, shifted, part);
  }
}
// Conditions under which query i may see key j; returns how many were written.
static uint32_t put_visible(ops_text_t* t, const attention_t* g) {
  ops_view_t* v = t->view;
  uint32_t count = 0, causal = ops_attr(v, "is_causal") != 0, lengths = ops_in(v, 6) != 0;
  int64_t left = ops_attr(v, "left_window_size"), right = ops_attr(v, "right_window_size");
  char offset[256] = "";
  if (ops_in(v, 4)) {
    snprintf(offset, sizeof offset, " + %s", tvi_ops_dim_text(t, g->past));
  } else if (lengths) {
    snprintf(offset, sizeof offset, " + lengths[b] - %s", tvi_ops_dim_text(t, g->q_length));
  }
  if (causal) tvi_ops_put(t, "j <= i%s", offset), ++count;
  if (left >= 0)
    tvi_ops_put(t, "%si%s - j <= %lld", count++ ? " && " : "", offset, (long long)left);
  if (right >= 0)
    tvi_ops_put(t, "%sj - (i%s) <= %lld", count++ ? " && " : "", offset, (long long)right);
  if (lengths) tvi_ops_put(t, "%sj < lengths[b]", count++ ? " && " : "");
  return count;
}
static void put_mask_load(ops_text_t* t, const attention_t* g, const trivet_type_t* mask) {
  static const char* const kIndices[] = {"b", "h", "i", "j"};
  trivet_dim_t extents[4] = {g->batch, g->q_heads, g->q_length, g->total};
  tvi_ops_put(t, "mask[");
  for (uint32_t d = 0; d < mask->rank; ++d) {
    uint32_t axis = 4 - mask->rank + d;
    uint32_t single =
        ops_is(t->view, mask->dims[d], 1) && !ops_is(t->view, extents[axis], 1) && axis != 3;
    tvi_ops_put(t, d ? ", %s" : "%s", single ? "0" : kIndices[axis]);
  }
  if (mask->dims[mask->rank - 1] != g->total)
    tvi_ops_put(t, mask->dtype == TRIVET_DTYPE_BOOL ? "; pad = false" : "; pad = -inf");
  tvi_ops_put(t, "]");
}
static trivet_status_t lower_attention(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *q = ops_in(v, 0), *mask = ops_in(v, 3);
  attention_t g;
  OPS_TRY(attention_geometry(v, &g));
  if (mask && (!mask->rank || mask->rank > 4))
    return OPS_INVALID(v, "the mask has rank %u", mask->rank);
  const char* acc = q->dtype == TRIVET_DTYPE_F64 ? "f64" : "f32";
  const char *open = ops_acc(q->dtype) == q->dtype ? "" : "f32(", *close = *open ? ")" : "";
  const char *b = DIM(g.batch), *qh = DIM(g.q_heads), *ql = DIM(g.q_length), *total = DIM(g.total);
  char head[128] = "h", over[256];
  if (!ops_is(v, g.share, 1)) snprintf(head, sizeof head, "floordiv(h, %s)", DIM(g.share));
  snprintf(over, sizeof over, "b: %s, h: %s, i: %s, j: %s", b, qh, ql, total);

  // Keys and values with the cache in front are values of their own where there is a cache.
  const uint32_t cached = ops_in(v, 4) != 0;
  if (cached) {
    PUT("let keys[b: %s, g: %s, j: %s, d: %s] = ", b, DIM(g.kv_heads), total, DIM(g.size));
    put_cached(&t, &g, "k", "past_key", "g", "j", "d", g.size);
    PUT("\nlet values[b: %s, g: %s, j: %s, e: %s] = ", b, DIM(g.kv_heads), total, DIM(g.v_size));
    put_cached(&t, &g, "x", "past_value", "g", "j", "e", g.v_size);
    PUT("\n");
  }
  PUT("let score[%s] = sum(d: %s){ %s", over, DIM(g.size), open);
  PUT(g.packed ? "q[b, i, h*%s + d]" : "q[b, h, i, d]", DIM(g.size));
  PUT("%s * %s", close, open);
  if (cached) {
    PUT("keys[b, %s, j, d]", head);
  } else {
    put_cached(&t, &g, "k", "", head, "j", "d", g.size);
  }
  PUT("%s } * ", close);
  if (trivet_view_attribute(v, "scale")) {
    PUT("%s(scale)\n", acc);
  } else {
    PUT("(1.0 / sqrt(%s(%s)))\n", acc, DIM(g.size));
  }
  const char* logit = "score";
  if (ops_attr_f(v, "softcap") > 0) {
    PUT("let capped[%s] = %s(softcap) * tanh(score[b, h, i, j] / %s(softcap))\n", over, acc, acc);
    logit = "capped";
  }
  // Without anything that hides a key this is the plain softmax.
  const char* biased = logit;
  uint32_t hides = mask || ops_in(v, 6) || ops_attr(v, "is_causal") ||
                   ops_attr(v, "left_window_size") >= 0 || ops_attr(v, "right_window_size") >= 0;
  if (hides) {
    biased = "biased";
    PUT("let biased[%s] = ", over);
    uint32_t conditions = put_visible(&t, &g);
    if (mask && mask->dtype == TRIVET_DTYPE_BOOL) {
      if (conditions++) PUT(" && ");
      put_mask_load(&t, &g, mask);
    }
    if (conditions) PUT(" ? ");
    PUT("%s[b, h, i, j]", logit);
    if (mask && mask->dtype != TRIVET_DTYPE_BOOL) {
      PUT(" + %s(", acc);
      put_mask_load(&t, &g, mask);
      PUT(")");
    }
    PUT("%s\n", conditions ? " : -inf" : "");
  }
  // A row that sees nothing has the largest element -inf and gives zeros, or NaN as a plain
  // softmax.
  const uint32_t plain = ops_attr_is(v, "hidden_rows", "nan");
  if (!plain && !ops_attr_is(v, "hidden_rows", "zero"))
    return OPS_INVALID(v, "attribute hidden_rows must be zero or nan");
  hides = hides && !plain;
  PUT("let peak[b: %s, h: %s, i: %s] = max(j: %s){ %s[b, h, i, j] }\n", b, qh, ql, total, biased);
  PUT("let rise[%s] = %sexp(%s[b, h, i, j] - peak[b, h, i])\n", over,
      hides ? "peak[b, h, i] == -inf ? 0.0 : " : "", biased);
  PUT("let sum_of[b: %s, h: %s, i: %s] = sum(j: %s){ rise[b, h, i, j] }\n", b, qh, ql, total);
  PUT("let share[%s] = %srise[b, h, i, j] / sum_of[b, h, i]\n", over,
      hides ? "sum_of[b, h, i] == 0.0 ? 0.0 : " : "");
  if (g.packed) PUT("let mixed[b: %s, h: %s, i: %s, e: %s] = ", b, qh, ql, DIM(g.v_size));
  if (!g.packed) PUT("y[b, h, i, e] = %s", *open ? "T(" : "");
  PUT("sum(j: %s){ share[b, h, i, j] * ", total);
  uint32_t widen =
      ops_acc(ops_in(v, 2)->dtype) != ops_in(v, 2)->dtype || ops_in(v, 2)->dtype != q->dtype;
  if (widen) PUT("%s(", acc);
  if (cached) {
    PUT("values[b, %s, j, e]", head);
  } else {
    put_cached(&t, &g, "x", "", head, "j", "e", g.v_size);
  }
  PUT("%s }", widen ? ")" : "");
  if (g.packed) {
    PUT("\ny[b, i, c] = %smixed[b, floordiv(c, %s), i, mod(c, %s)]", *open ? "T(" : "",
        DIM(g.v_size), DIM(g.v_size));
  }
  PUT("%s", close);
  for (uint32_t i = 1; i < 3; ++i) {
    if (!ops_out(v, i)) continue;
    PUT("\n%s[b, g, j, d] = ", i == 1 ? "present_key" : "present_value");
    if (cached) {
      PUT(i == 1 ? "keys[b, g, j, d]" : "values[b, g, j, d]");
    } else {
      put_cached(&t, &g, i == 1 ? "k" : "x", "", "g", "j", "d", i == 1 ? g.size : g.v_size);
    }
  }
  if (ops_out(v, 3)) {
    int64_t mode = ops_attr(v, "qk_matmul_output_mode");
    PUT("\nqk[b, h, i, j] = %s%s[b, h, i, j]%s", *open ? "T(" : "",
        mode == 0   ? "score"
        : mode == 1 ? logit
        : mode == 2 ? biased
                    : "share",
        close);
  }
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Attention, 0,
           "softmax(q k' * scale + mask) v, with caches, shared key heads, windows and soft cap",
           "(q: T[*], k: T[*], x: V[*], mask?: M[*], past_key?: T[*], past_value?: V[*], lengths?: "
           "i64[N]) -> "
           "(y: T[*], present_key?: T[*], present_value?: V[*], qk?: T[*]) where T: float, V: "
           "float, M: any\n"
           "attr hidden_rows: string = \"zero\"\nattr is_causal: i64 = 0\nattr kv_num_heads?: "
           "i64\nattr left_window_size: i64 = "
           "-1\nattr q_num_heads?: i64\n"
           "attr qk_matmul_output_mode: i64 = 0\nattr right_window_size: i64 = -1\nattr scale?: "
           "f32\nattr softcap: f32 = 0.0\n"
           "attr softmax_precision?: dtype",
           infer_attention, lower_attention, 0);

static trivet_status_t lower_rotary(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *x = ops_in(v, 0), *cache = ops_in(v, 1);
  uint32_t packed = x->rank == 3, ids = ops_in(v, 3) != 0;
  if (!packed && x->rank != 4)
    return OPS_INVALID(v, "the operand has rank %u where 3 or 4 is needed", x->rank);
  if (cache->rank != (ids ? 2u : 3u) || ops_in(v, 2)->rank != cache->rank ||
      (ids && ops_in(v, 3)->rank != 2))
    return OPS_INVALID(v, "the caches must have rank %u and the positions rank 2", ids ? 2 : 3);
  int64_t rotated = ops_attr(v, "rotary_embedding_dim"), heads = ops_attr(v, "num_heads");
  if (packed && heads < 1) return OPS_INVALID(v, "an operand of rank 3 needs attribute num_heads");
  trivet_dim_t size = packed ? ops_floordiv(v, x->dims[2], ops_const(v, heads)) : x->dims[3];
  trivet_dim_t width = rotated ? ops_const(v, rotated) : size;
  const char *half = DIM(ops_floordiv(v, width, ops_const(v, 2))),
             *acc = x->dtype == TRIVET_DTYPE_F64 ? "f64" : "f32";
  char d[96] = "d", place[256];
  if (packed) snprintf(d, sizeof d, "mod(d, %s)", DIM(size));
  uint32_t interleaved = ops_attr(v, "interleaved") != 0;
  if (interleaved) {
    snprintf(place, sizeof place, "floordiv(%s, 2)", d);
  } else {
    snprintf(place, sizeof place, "mod(%s, %s)", d, half);
  }
  const char* at = ids ? "ids[b, s]" : "b, s";
  const char* from = packed ? "x[b, s, " : "x[b, h, s, ";
  PUT(packed ? "y[b, s, d] = " : "y[b, h, s, d] = ");
  uint32_t partial = width != size;
  if (partial) PUT("%s < %s ? ", d, DIM(width));
  // Pairs (x1, x2) turn by an angle: x1 cos - x2 sin, x2 cos + x1 sin.
  PUT("T(%s(%sd]) * %s(cos_cache[%s, %s]) + ", acc, from, acc, at, place);
  if (interleaved) {
    PUT("(mod(%s, 2) == 0 ? -%s(%sd + 1]) : %s(%sd - 1]))", d, acc, from, acc, from);
  } else {
    PUT("(%s < %s ? -%s(%sd + %s]) : %s(%sd - %s]))", d, half, acc, from, half, acc, from, half);
  }
  PUT(" * %s(sin_cache[%s, %s]))", acc, at, place);
  if (partial) PUT(" : %sd]", from);
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(
    RotaryEmbedding, 0, "pairs of components turned by angles that depend on the position",
    "(x: T[D...], cos_cache: T[*], sin_cache: T[*], ids?: i64[*]) -> (y: T[D...]) where T: float\n"
    "attr interleaved: i64 = 0\nattr num_heads?: i64\nattr rotary_embedding_dim: i64 = 0",
    0, lower_rotary, 0);

static trivet_status_t infer_causal_conv(ops_op_t* op, ops_view_t* v) {
  const trivet_type_t *x = ops_in(v, 0), *w = ops_in(v, 1);
  if (x->rank != 3 || w->rank != 3)
    return OPS_INVALID(v, "operand and weights have ranks %u and %u where 3 is needed", x->rank,
                       w->rank);
  OPS_TRY(tvi_ops_infer_same(op, v));
  trivet_dim_t dims[3] = {x->dims[0], x->dims[1], ops_add_i(v, w->dims[2], -1)};
  return trivet_view_output_count(v) > 1 ? trivet_view_set_output(v, 1, x->dtype, 3, dims) : 0;
}
static trivet_status_t lower_causal_conv(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t *x = ops_in(v, 0), *w = ops_in(v, 1);
  const char *acc = x->dtype == TRIVET_DTYPE_F64 ? "f64" : "f32",
             *carried = DIM(ops_add_i(v, w->dims[2], -1)), *length = DIM(x->dims[2]);
  uint32_t past = ops_in(v, 3) != 0,
           silu = ops_attr_is(v, "activation", "silu") || ops_attr_is(v, "activation", "swish");
  if (!silu && !ops_attr_is(v, "activation", "none"))
    return OPS_INVALID(v, "attribute activation must be none, silu or swish");
  if (past) {
    PUT("let line[b: %s, c: %s, i: %s] = i < %s ? past_state[b, c, i] : x[b, c, i - %s]\n",
        DIM(x->dims[0]), DIM(x->dims[1]), DIM(ops_add(v, x->dims[2], ops_add_i(v, w->dims[2], -1))),
        carried, carried);
  }
  PUT("let linear[b: %s, c: %s, i: %s] = sum(k: %s){ %s(", DIM(x->dims[0]), DIM(x->dims[1]), length,
      DIM(w->dims[2]), acc);
  if (past) {
    PUT("line[b, c, i + k]");
  } else {
    PUT("x[b, c, i + k - %s; pad = 0]", carried);
  }
  PUT(") * %s(w[c, 0, k]) }", acc);
  if (ops_in(v, 2)) PUT(" + %s(bias[c])", acc);
  PUT("\ny[b, c, i] = T(linear[b, c, i]%s)", silu ? " * sigmoid(linear[b, c, i])" : "");
  if (ops_out(v, 1)) {
    PUT("\npresent_state[b, c, i] = ");
    if (past) {
      PUT("line[b, c, i + %s]", length);
    } else {
      PUT("x[b, c, i + %s - %s; pad = 0]", length, carried);
    }
  }
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(CausalConvWithState, 0,
           "depthwise convolution over the past of each position, which a state carries on",
           "(x: T[*], w: T[*], bias?: T[C], past_state?: T[*]) -> (y: T[*], present_state?: T[*]) "
           "where T: float\n"
           "attr activation: string = \"none\"",
           infer_causal_conv, lower_causal_conv, 0);

static trivet_status_t infer_linear_attention(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t *q = ops_in(v, 0), *x = ops_in(v, 2), *past = ops_in(v, 3);
  int64_t qh = ops_attr(v, "q_num_heads"), kh = ops_attr(v, "kv_num_heads");
  if (q->rank != 3 || x->rank != 3 || ops_in(v, 1)->rank != 3)
    return OPS_INVALID(v, "q, k and v must have rank 3");
  if (kh < 1 || qh < 1 || qh % kh)
    return OPS_INVALID(v, "%lld query heads cannot share %lld key heads", (long long)qh,
                       (long long)kh);
  trivet_dim_t size = ops_floordiv(v, q->dims[2], ops_const(v, qh)),
               v_size = ops_floordiv(v, x->dims[2], ops_const(v, kh));
  trivet_dim_t y[3] = {q->dims[0], q->dims[1], ops_mul_i(v, v_size, qh)},
               state[4] = {q->dims[0], ops_const(v, kh), size, v_size};
  OPS_TRY(trivet_view_set_output(v, 0, q->dtype, 3, y));
  return trivet_view_output_count(v) > 1
             ? trivet_view_set_output(v, 1, past ? past->dtype : q->dtype, 4, state)
             : 0;
}
static trivet_status_t evaluate_linear_attention(ops_op_t* op, ops_eval_t* e) {
  (void)op;
  const trivet_tensor_t *q = ops_eval_in(e, 0), *k = ops_eval_in(e, 1), *x = ops_eval_in(e, 2),
                        *past = ops_eval_in(e, 3);
  const trivet_tensor_t *decay = ops_eval_in(e, 4), *beta = ops_eval_in(e, 5);
  int64_t qh = ops_eval_attr(e, "q_num_heads", 1), kh = ops_eval_attr(e, "kv_num_heads", 1),
          batch = q->dims[0], time = q->dims[1];
  int64_t n = q->dims[2] / qh, m = x->dims[2] / kh, share = qh / kh;
  uint32_t delta = ops_eval_attr_is(e, "update_rule", "delta") ||
                   ops_eval_attr_is(e, "update_rule", "gated_delta");
  uint32_t gated = ops_eval_attr_is(e, "update_rule", "gated") ||
                   ops_eval_attr_is(e, "update_rule", "gated_delta");
  if (!delta && !gated && !ops_eval_attr_is(e, "update_rule", "linear"))
    return OPS_EVAL_INVALID(e, "attribute update_rule is unknown");
  if (gated != (decay != 0) || delta != (beta != 0))
    return OPS_EVAL_INVALID(e, "decay and beta do not fit attribute update_rule");
  if (k->dims[0] != batch || k->dims[1] != time || k->dims[2] != kh * n || x->dims[0] != batch ||
      x->dims[1] != time || (past && tvi_ops_count(past) != batch * kh * n * m) ||
      (decay && decay->dims[2] != kh && decay->dims[2] != kh * n) ||
      (beta && beta->dims[2] != kh && beta->dims[2] != 1))
    return OPS_EVAL_INVALID(e, "the operands do not belong together");
  double scale = ops_eval_attr_f(e, "scale", 0);
  if (scale == 0) scale = 1 / sqrt((double)n);
  int64_t y_dims[3] = {batch, time, qh * m}, state_dims[4] = {batch, kh, n, m};
  trivet_tensor_t *y, *present = 0;
  OPS_TRY(e->api->output(e, 0, q->dtype, 3, y_dims, &y));
  if (e->api->output_count(e) > 1)
    OPS_TRY(e->api->output(e, 1, past ? past->dtype : q->dtype, 4, state_dims, &present));
  void* memory;
  OPS_TRY(e->api->scratch(e, (uint64_t)(n * m + m + 1) * sizeof(double), &memory));
  double *state = memory, *write = state + n * m;
  for (int64_t b = 0; b < batch; ++b) {
    for (int64_t h = 0; h < kh; ++h) {
      int64_t base = (b * kh + h) * n * m;
      for (int64_t i = 0; i < n * m; ++i) state[i] = past ? tvi_ops_get_f64(past, base + i) : 0;
      for (int64_t t = 0; t < time; ++t) {
        int64_t row = b * time + t;
        for (int64_t i = 0; decay && i < n; ++i) {
          int64_t at = decay->dims[2] == kh ? row * kh + h : row * kh * n + h * n + i;
          double factor = exp(tvi_ops_get_f64(decay, at));
          for (int64_t j = 0; j < m; ++j) state[i * m + j] *= factor;
        }
        for (int64_t j = 0; j < m; ++j) {
          write[j] = tvi_ops_get_f64(x, (row * kh + h) * m + j);
          if (!delta) continue;
          double held = 0;
          for (int64_t i = 0; i < n; ++i)
            held += state[i * m + j] * tvi_ops_get_f64(k, (row * kh + h) * n + i);
          write[j] =
              tvi_ops_get_f64(beta, beta->dims[2] == 1 ? row : row * kh + h) * (write[j] - held);
        }
        for (int64_t i = 0; i < n; ++i) {
          double key = tvi_ops_get_f64(k, (row * kh + h) * n + i);
          for (int64_t j = 0; j < m; ++j) state[i * m + j] += key * write[j];
        }
        for (int64_t g = h * share; y && g < (h + 1) * share; ++g) {
          for (int64_t j = 0; j < m; ++j) {
            double sum = 0;
            for (int64_t i = 0; i < n; ++i)
              sum += tvi_ops_get_f64(q, (row * qh + g) * n + i) * state[i * m + j];
            tvi_ops_put_f64(y, (row * qh + g) * m + j, scale * sum);
          }
        }
      }
      for (int64_t i = 0; present && i < n * m; ++i) tvi_ops_put_f64(present, base + i, state[i]);
    }
  }
  return 0;
}
OPS_DEFINE(LinearAttention, 0, "attention as a recurrence over a state of keys by values",
           "(q: T[*], k: T[*], x: T[*], past_state?: S[*], decay?: T[*], beta?: T[*]) -> (y: T[*], "
           "present_state?: S[*]) "
           "where T: float, S: float\nattr chunk_size: i64 = 64\nattr kv_num_heads: i64\nattr "
           "q_num_heads: i64\nattr scale: f32 = 0.0\n"
           "attr update_rule: string = \"gated_delta\"",
           infer_linear_attention, 0, evaluate_linear_attention);
