// SPDX-License-Identifier: Apache-2.0
//
// Losses of classifiers: negative log likelihood, and softmax with cross entropy in front of it. A
// target that is ignored weighs nothing.
#include <stdio.h>

#include "plugins/ops_standard/ops_util.h"

static trivet_status_t infer_loss(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t *x = ops_in(v, 0), *target = ops_in(v, 1);
  if (x->rank < 2 || target->rank + 1 != x->rank)
    return OPS_INVALID(v, "scores and targets have ranks %u and %u", x->rank, target->rank);
  uint32_t none = ops_attr_is(v, "reduction", "none");
  if (!none && !ops_attr_is(v, "reduction", "sum") && !ops_attr_is(v, "reduction", "mean"))
    return OPS_INVALID(v, "attribute reduction must be none, sum or mean");
  OPS_TRY(trivet_view_set_output(v, 0, x->dtype, none ? target->rank : 0, target->dims));
  return trivet_view_output_count(v) > 1 ? trivet_view_set_output(v, 1, x->dtype, x->rank, x->dims)
                                         : 0;
}
// |scores|: name of what holds log probabilities, with x's shape.
static trivet_status_t put_loss(ops_text_t* text, const char* scores, const char* acc) {
  ops_text_t t = *text;
  ops_view_t* v = t.view;
  const trivet_type_t *target = ops_in(v, 1), *weight = ops_in(v, 2), *x = ops_in(v, 0);
  uint32_t rank = target->rank, all = (1u << rank) - 1,
           ignores = trivet_view_attribute(v, "ignore_index") != 0;
  uint32_t widen = strcmp(scores, "x") == 0 && ops_acc(x->dtype) != x->dtype;
  char label[160];
  size_t n = (size_t)snprintf(label, sizeof label, "i64(target[");
  for (uint32_t i = 0; i < rank; ++i)
    n += (size_t)snprintf(label + n, sizeof label - n, i ? ", i%u" : "i%u", i);
  snprintf(label + n, sizeof label - n, "])");
  PUT("let share[");
  tvi_ops_put_ranges(&t, "i", target->dims, rank, all);
  PUT("] = ");
  if (ignores) PUT("%s == ignore_index ? 0.0 : ", label);
  if (weight) {
    PUT("%s(weight[%s; clip])\n", acc, label);
  } else {
    PUT("%s(1.0)\n", acc);
  }
  PUT("let loss_of[");
  tvi_ops_put_ranges(&t, "i", target->dims, rank, all);
  // An ignored target may be out of range; its score is read somewhere and counts for nothing.
  PUT("] = ");
  if (ignores) PUT("%s == ignore_index ? 0.0 : ", label);
  PUT("-%s(%s[i0, %s", widen ? acc : "", scores, label);
  for (uint32_t i = 1; i < rank; ++i) PUT(", i%u", i);
  PUT("; clip]) * ");
  tvi_ops_put_load(&t, "share", "i", rank);
  PUT("\n");
  if (ops_attr_is(v, "reduction", "none")) {
    tvi_ops_put_lhs(&t, "y", "i", rank);
    PUT(" = T(");
    tvi_ops_put_load(&t, "loss_of", "i", rank);
    PUT(")");
  } else {
    PUT("y = T(sum(");
    tvi_ops_put_ranges(&t, "r", target->dims, rank, all);
    PUT("){ ");
    tvi_ops_put_load(&t, "loss_of", "r", rank);
    PUT(" }");
    if (ops_attr_is(v, "reduction", "mean")) {
      if (weight || ignores) {
        PUT(" / sum(");
        tvi_ops_put_ranges(&t, "r", target->dims, rank, all);
        PUT("){ ");
        tvi_ops_put_load(&t, "share", "r", rank);
        PUT(" }");
      } else {
        PUT(" / %s(%s)", acc, DIM(tvi_ops_product(v, target->dims, 0, rank)));
      }
    }
    PUT(")");
  }
  *text = t;
  return 0;
}
static trivet_status_t lower_nll(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  OPS_TRY(put_loss(&t, "x", tvi_ops_dtype_name(ops_acc(ops_in(v, 0)->dtype))));
  return tvi_ops_text_end(&t);
}
#define LOSS_TEXT(outputs)                              \
  "(x: T[*], target: I[*], weight?: T[C]) -> (" outputs \
  ") where T: float, I: {i32, i64}\n"                   \
  "attr ignore_index?: i64\nattr reduction: string = \"mean\""
OPS_DEFINE(NegativeLogLikelihoodLoss, 0,
           "negated log probabilities of the targets, weighted and joined", LOSS_TEXT("y: T[*]"),
           infer_loss, lower_nll, 0);

static trivet_status_t lower_cross_entropy(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  const char* acc = tvi_ops_dtype_name(ops_acc(x->dtype));
  uint32_t widen = ops_acc(x->dtype) != x->dtype, others = ((1u << x->rank) - 1) & ~2u;
  const char *open = widen ? "f32(" : "", *close = widen ? ")" : "";
  char kept[128] = "[i0";
  size_t n = 3;
  for (uint32_t i = 2; i < x->rank; ++i)
    n += (size_t)snprintf(kept + n, sizeof kept - n, ", i%u", i);
  snprintf(kept + n, sizeof kept - n, "]");
  for (uint32_t total = 0; total < 2; ++total) {
    PUT("let %s[", total ? "total" : "peak");
    tvi_ops_put_ranges(&t, "i", x->dims, x->rank, others);
    PUT("] = %s(r1: %s){ %s%s", total ? "sum" : "max", DIM(x->dims[1]), total ? "exp(" : "", open);
    tvi_ops_put_mixed_load(&t, "x", x->rank, 2);
    PUT("%s", close);
    if (total) PUT(" - peak%s)", kept);
    PUT(" }\n");
  }
  PUT("let logp[");
  tvi_ops_put_ranges(&t, "i", x->dims, x->rank, (1u << x->rank) - 1);
  PUT("] = %s", open);
  tvi_ops_put_load(&t, "x", "i", x->rank);
  PUT("%s - peak%s - log(total%s)\n", close, kept, kept);
  OPS_TRY(put_loss(&t, "logp", acc));
  if (ops_out(v, 1)) {
    PUT("\n");
    tvi_ops_put_lhs(&t, "log_prob", "i", x->rank);
    PUT(" = T(");
    tvi_ops_put_load(&t, "logp", "i", x->rank);
    PUT(")");
  }
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(SoftmaxCrossEntropyLoss, 0, "cross entropy of the softmax of scores with the targets",
           LOSS_TEXT("y: T[*], log_prob?: T[*]"), infer_loss, lower_cross_entropy, 0);
