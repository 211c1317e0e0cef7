// SPDX-License-Identifier: Apache-2.0
//
// Normalisations: by stored statistics (BatchNormalization), over planes, groups, trailing axes or
// neighbouring channels, and the softmax family. Statistics are taken in f32 for floats of 16 bits
// and in two passes: mean first, then squared distances from it.
#include <stdio.h>

#include "plugins/ops_standard/ops_util.h"

// Names used by every text below: the type of the arithmetic, and what turns a load into it.
typedef struct norm_s {
  const trivet_type_t* x;
  const char* acc;
  const char* open;  // "f32(" or ""
  const char* close;
} norm_t;
static norm_t norm_of(const ops_view_t* v) {
  norm_t n = {ops_in(v, 0), 0, "", ""};
  n.acc = tvi_ops_dtype_name(ops_acc(n.x->dtype));
  if (ops_acc(n.x->dtype) != n.x->dtype) n.open = "f32(", n.close = ")";
  return n;
}
// A load of a per-channel operand in the type of the arithmetic.
static void put_vector(ops_text_t* t, const norm_t* n, uint32_t input, const char* name,
                       const char* index) {
  uint32_t same = ops_in(t->view, input)->dtype == ops_acc(n->x->dtype);
  tvi_ops_put(t, same ? "%s%s[%s]" : "%s(%s[%s])", same ? "" : n->acc, name, index);
}

static trivet_status_t infer_batch_norm(ops_op_t* op, ops_view_t* v) {
  const trivet_type_t* mean = ops_in(v, 3);
  OPS_TRY(tvi_ops_infer_same(op, v));
  for (uint32_t i = 1; i < trivet_view_output_count(v); ++i) {
    if (!ops_attr(v, "training_mode"))
      return OPS_INVALID(v, "running statistics exist in training mode only");
    OPS_TRY(trivet_view_set_output(v, i, mean->dtype, mean->rank, mean->dims));
  }
  return 0;
}
static trivet_status_t lower_batch_norm(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  norm_t n = norm_of(v);
  uint32_t rank = n.x->rank, training = ops_attr(v, "training_mode") != 0;
  if (rank < 2) return OPS_INVALID(v, "the operand has rank %u where at least 2 is needed", rank);
  uint32_t others = ((1u << rank) - 1) & ~2u;
  const char* channels = DIM(n.x->dims[1]);
  if (training) {
    trivet_dim_t count = ops_mul(v, n.x->dims[0], tvi_ops_product(v, n.x->dims, 2, rank));
    for (uint32_t variance = 0; variance < 2; ++variance) {
      PUT("let %s[i1: %s] = sum(", variance ? "variance" : "center", channels);
      tvi_ops_put_ranges(&t, "r", n.x->dims, rank, others);
      PUT("){ %s%s", variance ? "sq(" : "", n.open);
      tvi_ops_put_mixed_load(&t, "x", rank, others);
      PUT("%s%s } / %s(%s)\n", n.close, variance ? " - center[i1])" : "", n.acc, DIM(count));
    }
  } else {
    PUT("let center[i1: %s] = ", channels);
    put_vector(&t, &n, 3, "input_mean", "i1");
    PUT("\nlet variance[i1: %s] = ", channels);
    put_vector(&t, &n, 4, "input_var", "i1");
    PUT("\n");
  }
  PUT("let factor[i1: %s] = ", channels);
  put_vector(&t, &n, 1, "scale", "i1");
  PUT(" / sqrt(variance[i1] + %s(epsilon))\n", n.acc);
  tvi_ops_put_lhs(&t, "y", "i", rank);
  PUT(" = %s(%s", *n.open ? "T(" : "", n.open);
  tvi_ops_put_load(&t, "x", "i", rank);
  PUT("%s - center[i1]) * factor[i1] + ", n.close);
  put_vector(&t, &n, 2, "b", "i1");
  PUT("%s", n.close);
  if (training && ops_out(v, 1)) {
    PUT("\nrunning_mean[i1] = S(");
    put_vector(&t, &n, 3, "input_mean", "i1");
    PUT(" * %s(momentum) + center[i1] * (1.0 - %s(momentum)))", n.acc, n.acc);
  }
  if (training && ops_out(v, 2)) {
    PUT("\nrunning_var[i1] = S(");
    put_vector(&t, &n, 4, "input_var", "i1");
    PUT(" * %s(momentum) + variance[i1] * (1.0 - %s(momentum)))", n.acc, n.acc);
  }
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(BatchNormalization, 0,
           "(x - mean) / sqrt(variance + epsilon) * scale + b for each channel",
           "(x: T[*], scale: R[C], b: R[C], input_mean: S[C], input_var: S[C]) -> (y: T[*], "
           "running_mean?: S[*], running_var?: S[*]) "
           "where T: float, R: float, S: float\n"
           "attr epsilon: f32 = 1e-5\nattr momentum: f32 = 0.9\nattr training_mode: i64 = 0",
           infer_batch_norm, lower_batch_norm, 0);

// "let name[kept indices] = " over the axes outside |mask|, with a rank-0 form.
static void put_let(ops_text_t* t, const char* name, const trivet_type_t* x, uint32_t mask) {
  uint32_t kept = ~mask & ((1u << x->rank) - 1);
  tvi_ops_put(t, "let %s", name);
  if (kept) {
    tvi_ops_put(t, "[");
    tvi_ops_put_ranges(t, "i", x->dims, x->rank, kept);
    tvi_ops_put(t, "]");
  }
  tvi_ops_put(t, " = ");
}
// "name[kept indices]": a read of such a let.
static void put_kept(ops_text_t* t, const char* name, uint32_t rank, uint32_t mask) {
  uint32_t first = 1;
  tvi_ops_put(t, "%s", name);
  for (uint32_t i = 0; i < rank; ++i) {
    if (mask >> i & 1) continue;
    tvi_ops_put(t, first ? "[i%u" : ", i%u", i);
    first = 0;
  }
  tvi_ops_put(t, first ? "" : "]");
}
// Text of the mean of x over |mask| as let "center", and of the mean squared distance from it as
// let "variance".
static void put_moments(ops_text_t* t, const norm_t* n, uint32_t mask) {
  trivet_dim_t count = ops_const(t->view, 1);
  for (uint32_t i = 0; i < n->x->rank; ++i) {
    if (mask >> i & 1) count = ops_mul(t->view, count, n->x->dims[i]);
  }
  for (uint32_t variance = 0; variance < 2; ++variance) {
    put_let(t, variance ? "variance" : "center", n->x, mask);
    tvi_ops_put(t, "sum(");
    tvi_ops_put_ranges(t, "r", n->x->dims, n->x->rank, mask);
    tvi_ops_put(t, "){ %s%s", variance ? "sq(" : "", n->open);
    tvi_ops_put_mixed_load(t, "x", n->x->rank, mask);
    tvi_ops_put(t, "%s", n->close);
    if (variance) {
      tvi_ops_put(t, " - ");
      put_kept(t, "center", n->x->rank, mask);
      tvi_ops_put(t, ")");
    }
    tvi_ops_put(t, " } / %s(%s)\n", n->acc, tvi_ops_dim_text(t, count));
  }
}

// scale and b have a number for each channel, as far as numbers are known.
static trivet_status_t check_channels(const norm_t* n, ops_view_t* v) {
  int64_t channels, given;
  for (uint32_t i = 1; i <= 2; ++i) {
    if (!trivet_view_dim_value(v, n->x->dims[1], &channels) ||
        !trivet_view_dim_value(v, ops_in(v, i)->dims[0], &given) || given == channels)
      continue;
    return OPS_INVALID(v, "%s of %lld numbers for %lld channels", i == 1 ? "scale" : "b",
                       (long long)given, (long long)channels);
  }
  return 0;
}

static trivet_status_t lower_instance_norm(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  norm_t n = norm_of(v);
  uint32_t rank = n.x->rank, planes = ((1u << rank) - 1) & ~3u;
  if (rank < 3) return OPS_INVALID(v, "the operand has rank %u where at least 3 is needed", rank);
  OPS_TRY(check_channels(&n, v));
  put_moments(&t, &n, planes);
  tvi_ops_put_lhs(&t, "y", "i", rank);
  PUT(" = T((%s", n.open);
  tvi_ops_put_load(&t, "x", "i", rank);
  PUT("%s - center[i0, i1]) / sqrt(variance[i0, i1] + %s(epsilon)) * ", n.close, n.acc);
  put_vector(&t, &n, 1, "scale", "i1");
  PUT(" + ");
  put_vector(&t, &n, 2, "b", "i1");
  PUT(")");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(
    InstanceNormalization, 0,
    "each plane to mean 0 and variance 1, then scale and b for each channel",
    "(x: T[D...], scale: T[C], b: T[C]) -> (y: T[D...]) where T: float\nattr epsilon: f32 = 1e-5",
    0, lower_instance_norm, 0);

static trivet_status_t lower_group_norm(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  norm_t n = norm_of(v);
  uint32_t rank = n.x->rank;
  int64_t groups = ops_attr(v, "num_groups"), channels;
  if (rank < 2 || groups < 1)
    return OPS_INVALID(v, "an operand of rank %u and %lld groups", rank, (long long)groups);
  if (trivet_view_dim_value(v, n.x->dims[1], &channels) && channels % groups)
    return OPS_INVALID(v, "%lld channels cannot be divided into %lld groups", (long long)channels,
                       (long long)groups);
  OPS_TRY(check_channels(&n, v));
  trivet_dim_t size = ops_floordiv(v, n.x->dims[1], ops_const(v, groups));
  trivet_dim_t count = ops_mul(v, size, tvi_ops_product(v, n.x->dims, 2, rank));
  for (uint32_t variance = 0; variance < 2; ++variance) {
    PUT("let %s[i0: %s, g: %lld] = sum(c: %s", variance ? "variance" : "center", DIM(n.x->dims[0]),
        (long long)groups, DIM(size));
    for (uint32_t i = 2; i < rank; ++i) PUT(", r%u: %s", i, DIM(n.x->dims[i]));
    PUT("){ %s%sx[i0, g*%s + c", variance ? "sq(" : "", n.open, DIM(size));
    for (uint32_t i = 2; i < rank; ++i) PUT(", r%u", i);
    PUT("]%s%s } / %s(%s)\n", n.close, variance ? " - center[i0, g])" : "", n.acc, DIM(count));
  }
  tvi_ops_put_lhs(&t, "y", "i", rank);
  PUT(" = T((%s", n.open);
  tvi_ops_put_load(&t, "x", "i", rank);
  PUT("%s - center[i0, floordiv(i1, %s)]) / sqrt(variance[i0, floordiv(i1, %s)] + %s(epsilon)) * ",
      n.close, DIM(size), DIM(size), n.acc);
  put_vector(&t, &n, 1, "scale", "i1");
  PUT(" + ");
  put_vector(&t, &n, 2, "b", "i1");
  PUT(")");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(GroupNormalization, 0,
           "each group of channels to mean 0 and variance 1, then scale and b for each channel",
           "(x: T[D...], scale: T[C], b: T[C]) -> (y: T[D...]) where T: float\n"
           "attr epsilon: f32 = 1e-5\nattr num_groups: i64\nattr stash_type: dtype = f32",
           0, lower_group_norm, 0);

// Layer and RMS normalisation work on the axes from |axis| on; scale and b are broadcast to x.
static trivet_status_t infer_layer_norm(ops_op_t* op, ops_view_t* v) {
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t axis;
  (void)op;
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), x->rank, &axis));
  OPS_TRY(trivet_view_set_output(v, 0, x->dtype, x->rank, x->dims));
  trivet_dim_t dims[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < x->rank; ++i) dims[i] = i < axis ? x->dims[i] : ops_const(v, 1);
  for (uint32_t i = 1; i < trivet_view_output_count(v); ++i) {
    OPS_TRY(trivet_view_set_output(v, i, trivet_view_attr_dtype(v, "stash_type", TRIVET_DTYPE_F32),
                                   x->rank, dims));
  }
  return 0;
}
static void put_scaled(ops_text_t* t, const norm_t* n, uint32_t input, const char* name) {
  const trivet_type_t* s = ops_in(t->view, input);
  uint32_t same = s->dtype == ops_acc(n->x->dtype);
  if (!same) tvi_ops_put(t, "%s(", n->acc);
  tvi_ops_put_broadcast_load(t, name, "i", s, ops_out(t->view, 0));
  if (!same) tvi_ops_put(t, ")");
}
static trivet_status_t lower_layer_norm(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  norm_t n = norm_of(v);
  uint32_t rank = n.x->rank, axis;
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), rank, &axis));
  uint32_t mask = ((1u << rank) - 1) & ~((1u << axis) - 1);
  put_moments(&t, &n, mask);
  tvi_ops_put_lhs(&t, "y", "i", rank);
  PUT(" = T((%s", n.open);
  tvi_ops_put_load(&t, "x", "i", rank);
  PUT("%s - ", n.close);
  put_kept(&t, "center", rank, mask);
  PUT(") / sqrt(");
  put_kept(&t, "variance", rank, mask);
  PUT(" + %s(epsilon)) * ", n.acc);
  put_scaled(&t, &n, 1, "scale");
  if (ops_in(v, 2)) {
    PUT(" + ");
    put_scaled(&t, &n, 2, "b");
  }
  PUT(")");
  const char* stash = tvi_ops_dtype_name(trivet_view_attr_dtype(v, "stash_type", TRIVET_DTYPE_F32));
  for (uint32_t i = 1; i < 3; ++i) {
    if (!ops_out(v, i)) continue;
    PUT("\n");
    tvi_ops_put_lhs(&t, i == 1 ? "mean_out" : "inv_std_dev", "i", rank);
    PUT(i == 1 ? " = %s(" : " = %s(1.0 / sqrt(", stash);
    put_kept(&t, i == 1 ? "center" : "variance", rank, mask);
    if (i == 2) PUT(" + %s(epsilon))", n.acc);
    PUT(")");
  }
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(LayerNormalization, 0, "the trailing axes to mean 0 and variance 1, then scale and b",
           "(x: T[*], scale: T[*], b?: T[*]) -> (y: T[*], mean_out?: U[*], inv_std_dev?: U[*]) "
           "where T: float, U: float\n"
           "attr axis: i64 = -1\nattr epsilon: f32 = 1e-5\nattr stash_type: dtype = f32",
           infer_layer_norm, lower_layer_norm, 0);

static trivet_status_t infer_rms_norm(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  return trivet_view_set_output(v, 0, ops_in(v, 1)->dtype, x->rank, x->dims);
}
static trivet_status_t lower_rms_norm(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  norm_t n = norm_of(v);
  uint32_t rank = n.x->rank, axis;
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), rank, &axis));
  uint32_t mask = ((1u << rank) - 1) & ~((1u << axis) - 1);
  put_let(&t, "square", n.x, mask);
  PUT("sum(");
  tvi_ops_put_ranges(&t, "r", n.x->dims, rank, mask);
  PUT("){ sq(%s", n.open);
  tvi_ops_put_mixed_load(&t, "x", rank, mask);
  PUT("%s) } / %s(%s)\n", n.close, n.acc, DIM(tvi_ops_product(v, n.x->dims, axis, rank)));
  tvi_ops_put_lhs(&t, "y", "i", rank);
  PUT(" = V(%s", n.open);
  tvi_ops_put_load(&t, "x", "i", rank);
  PUT("%s / sqrt(", n.close);
  put_kept(&t, "square", rank, mask);
  PUT(" + %s(epsilon)) * ", n.acc);
  put_scaled(&t, &n, 1, "scale");
  PUT(")");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(RMSNormalization, 0, "the trailing axes to mean square 1, then scale",
           "(x: T[*], scale: V[*]) -> (y: V[*]) where T: float, V: float\n"
           "attr axis: i64 = -1\nattr epsilon: f32 = 1e-5\nattr stash_type: dtype = f32",
           infer_rms_norm, lower_rms_norm, 0);

static trivet_status_t lower_mean_variance(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  norm_t n = norm_of(v);
  uint64_t count;
  const int64_t* axes = trivet_view_attr_i64s(v, "axes", &count);
  uint32_t mask;
  OPS_TRY(tvi_ops_axis_mask(v, axes, (uint32_t)count, n.x->rank, &mask));
  if (!mask) return OPS_INVALID(v, "attribute axes is empty");
  put_moments(&t, &n, mask);
  tvi_ops_put_lhs(&t, "y", "i", n.x->rank);
  PUT(" = T((%s", n.open);
  tvi_ops_put_load(&t, "x", "i", n.x->rank);
  PUT("%s - ", n.close);
  put_kept(&t, "center", n.x->rank, mask);
  PUT(") / (sqrt(");
  put_kept(&t, "variance", n.x->rank, mask);
  PUT(") + 1e-9))");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(MeanVarianceNormalization, 0, "to mean 0 and variance 1 over some axes",
           "(x: T[D...]) -> (y: T[D...]) where T: float\nattr axes: i64[] = [0, 2, 3]", 0,
           lower_mean_variance, 0);

static trivet_status_t lower_lp_normalization(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  norm_t n = norm_of(v);
  uint32_t axis;
  int64_t p = ops_attr(v, "p");
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), n.x->rank, &axis));
  if (p != 1 && p != 2)
    return OPS_INVALID(v, "attribute p is %lld where 1 or 2 is possible", (long long)p);
  put_let(&t, "norm", n.x, 1u << axis);
  PUT("%ssum(r%u: %s){ %s(%s", p == 2 ? "sqrt(" : "", axis, DIM(n.x->dims[axis]),
      p == 2 ? "sq" : "abs", n.open);
  tvi_ops_put_mixed_load(&t, "x", n.x->rank, 1u << axis);
  PUT("%s) }%s\n", n.close, p == 2 ? ")" : "");
  tvi_ops_put_lhs(&t, "y", "i", n.x->rank);
  // A vector of zeros stays one.
  PUT(" = T(");
  put_kept(&t, "norm", n.x->rank, 1u << axis);
  PUT(" == 0.0 ? 0.0 : %s", n.open);
  tvi_ops_put_load(&t, "x", "i", n.x->rank);
  PUT("%s / ", n.close);
  put_kept(&t, "norm", n.x->rank, 1u << axis);
  PUT(")");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(LpNormalization, 0, "to norm 1 along an axis",
           "(x: T[D...]) -> (y: T[D...]) where T: float\nattr axis: i64 = -1\nattr p: i64 = 2", 0,
           lower_lp_normalization, 0);

static trivet_status_t lower_lrn(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  norm_t n = norm_of(v);
  uint32_t rank = n.x->rank;
  int64_t size = ops_attr(v, "size");
  if (rank < 2 || size < 1)
    return OPS_INVALID(v, "an operand of rank %u and a size of %lld", rank, (long long)size);
  // Channels from floor((size-1)/2) before to ceil((size-1)/2) behind.
  tvi_ops_put_lhs(&t, "y", "i", rank);
  PUT(" = T(%s", n.open);
  tvi_ops_put_load(&t, "x", "i", rank);
  PUT("%s / pow(%s(bias) + %s(alpha) / %lld.0 * sum(r: %lld){ sq(%sx[i0, i1 + r - %lld", n.close,
      n.acc, n.acc, (long long)size, (long long)size, n.open, (long long)(size - 1) / 2);
  for (uint32_t i = 2; i < rank; ++i) PUT(", i%u", i);
  PUT("; pad = 0]%s) }, %s(beta)))", n.close, n.acc);
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(LRN, 0, "local response normalisation over neighbouring channels",
           "(x: T[D...]) -> (y: T[D...]) where T: float\n"
           "attr alpha: f32 = 0.0001\nattr beta: f32 = 0.75\nattr bias: f32 = 1.0\nattr size: i64",
           0, lower_lrn, 0);

// Softmax family: the largest element comes out of the exponentials first.
static trivet_status_t lower_softmax(ops_view_t* v, uint32_t logarithm) {
  ops_text_t t = {v, 0};
  norm_t n = norm_of(v);
  uint32_t axis, rank = n.x->rank;
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), rank, &axis));
  uint32_t mask = 1u << axis;
  put_let(&t, "peak", n.x, mask);
  PUT("max(r%u: %s){ %s", axis, DIM(n.x->dims[axis]), n.open);
  tvi_ops_put_mixed_load(&t, "x", rank, mask);
  PUT("%s }\n", n.close);
  put_let(&t, "total", n.x, mask);
  PUT("sum(r%u: %s){ exp(%s", axis, DIM(n.x->dims[axis]), n.open);
  tvi_ops_put_mixed_load(&t, "x", rank, mask);
  PUT("%s - ", n.close);
  put_kept(&t, "peak", rank, mask);
  PUT(") }\n");
  tvi_ops_put_lhs(&t, "y", "i", rank);
  PUT(" = %s%s%s", *n.open ? "T(" : "", logarithm ? "" : "exp(", n.open);
  tvi_ops_put_load(&t, "x", "i", rank);
  PUT("%s - ", n.close);
  put_kept(&t, "peak", rank, mask);
  PUT(logarithm ? " - log(" : ") / ");
  put_kept(&t, "total", rank, mask);
  PUT("%s%s", logarithm ? ")" : "", n.close);
  return tvi_ops_text_end(&t);
}
static trivet_status_t lower_soft_max(ops_op_t* op, ops_view_t* v) {
  return (void)op, lower_softmax(v, 0);
}
static trivet_status_t lower_log_softmax(ops_op_t* op, ops_view_t* v) {
  return (void)op, lower_softmax(v, 1);
}
OPS_DEFINE(Softmax, 0, "exp(x) divided by its sum along an axis",
           "(x: T[D...]) -> (y: T[D...]) where T: float\nattr axis: i64 = -1", 0, lower_soft_max,
           0);
OPS_DEFINE(LogSoftmax, 0, "logarithm of the softmax along an axis",
           "(x: T[D...]) -> (y: T[D...]) where T: float\nattr axis: i64 = -1", 0, lower_log_softmax,
           0);

static trivet_status_t lower_hardmax(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t axis;
  OPS_TRY(tvi_ops_axis(v, "attribute axis", ops_attr(v, "axis"), x->rank, &axis));
  put_let(&t, "place", x, 1u << axis);
  PUT("argmax(r%u: %s){ ", axis, DIM(x->dims[axis]));
  tvi_ops_put_mixed_load(&t, "x", x->rank, 1u << axis);
  PUT(" }\n");
  tvi_ops_put_lhs(&t, "y", "i", x->rank);
  PUT(" = T(i%u == ", axis);
  put_kept(&t, "place", x->rank, 1u << axis);
  PUT(")");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(Hardmax, 0, "1 at the first largest element along an axis, else 0",
           "(x: T[D...]) -> (y: T[D...]) where T: float\nattr axis: i64 = -1", 0, lower_hardmax, 0);
