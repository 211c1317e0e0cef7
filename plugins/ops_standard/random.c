// SPDX-License-Identifier: Apache-2.0
//
// Random numbers, as host functions that are never folded or merged: uniform, normal, Bernoulli,
// multinomial. A seed makes the sequence repeatable (it is ours, not that of another library);
// without one it comes from the system.
#include <math.h>
#include <sys/random.h>

#include "plugins/ops_standard/ops_host.h"

// SplitMix64: the state is a counter, so one word of seed suffices.
typedef struct random_s {
  uint64_t state;
} random_t;
static uint64_t random_next(random_t* r) {
  uint64_t z = r->state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}
static double random_uniform(random_t* r) { return (double)(random_next(r) >> 11) * 0x1p-53; }
// Box and Muller's transform.
static double random_normal(random_t* r) {
  double u = 1.0 - random_uniform(r), a = 6.283185307179586477 * random_uniform(r);
  return sqrt(-2 * log(u)) * cos(a);
}
static random_t random_begin(const ops_eval_t* e) {
  random_t r = {0x5851f42d4c957f2du};
  const trivet_attribute_t* seed = e->api->attribute(e, "seed");
  if (seed && seed->kind == TRIVET_ATTR_F32 && seed->count) {
    memcpy(&r.state, seed->data, sizeof r.state);
  } else if (getrandom(&r.state, sizeof r.state, 0) != (ssize_t)sizeof r.state) {
    r.state ^= (uint64_t)(uintptr_t)e;
  }
  random_next(&r);
  return r;
}

static trivet_status_t infer_random(ops_op_t* op, ops_view_t* v) {
  (void)op;
  uint64_t count;
  const int64_t* shape = trivet_view_attr_i64s(v, "shape", &count);
  trivet_dim_t dims[TRIVET_MAX_RANK];
  if (count > TRIVET_MAX_RANK)
    return OPS_INVALID(v, "attribute shape has %llu elements", (unsigned long long)count);
  for (uint32_t i = 0; i < count; ++i) {
    if (shape[i] < 0) return OPS_INVALID(v, "attribute shape holds %lld", (long long)shape[i]);
    dims[i] = ops_const(v, shape[i]);
  }
  return trivet_view_set_output(v, 0, trivet_view_attr_dtype(v, "dtype", TRIVET_DTYPE_F32),
                                (uint32_t)count, dims);
}
static trivet_status_t infer_random_like(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  return trivet_view_set_output(v, 0, trivet_view_attr_dtype(v, "dtype", x->dtype), x->rank,
                                x->dims);
}
static uint32_t eval_dtype(const ops_eval_t* e, uint32_t fallback) {
  const trivet_attribute_t* type = e->api->attribute(e, "dtype");
  return type && type->kind == TRIVET_ATTR_DTYPE && type->count ? ((const uint32_t*)type->data)[0]
                                                                : fallback;
}
static trivet_status_t evaluate_random(ops_eval_t* e, uint32_t normal) {
  const trivet_tensor_t* like = ops_eval_in(e, 0);
  const trivet_attribute_t* shape = like ? 0 : e->api->attribute(e, "shape");
  trivet_tensor_t* y;
  OPS_TRY(e->api->output(e, 0, eval_dtype(e, like ? like->dtype : TRIVET_DTYPE_F32),
                         like    ? like->rank
                         : shape ? (uint32_t)shape->count
                                 : 0,
                         like    ? like->dims
                         : shape ? (const int64_t*)shape->data
                                 : 0,
                         &y));
  if (!y) return 0;
  random_t r = random_begin(e);
  double base = ops_eval_attr_f(e, normal ? "mean" : "low", 0);
  double scale = normal ? ops_eval_attr_f(e, "scale", 1) : ops_eval_attr_f(e, "high", 1) - base;
  int64_t count = tvi_ops_count(y);
  for (int64_t i = 0; i < count; ++i)
    tvi_ops_put_f64(y, i, base + scale * (normal ? random_normal(&r) : random_uniform(&r)));
  return 0;
}
static trivet_status_t evaluate_normal(ops_op_t* op, ops_eval_t* e) {
  return (void)op, evaluate_random(e, 1);
}
static trivet_status_t evaluate_uniform(ops_op_t* op, ops_eval_t* e) {
  return (void)op, evaluate_random(e, 0);
}
OPS_DEFINE(RandomNormal, TRIVET_OPERATOR_IMPURE, "normally distributed numbers",
           "() -> (y: T[*]) where T: float\nattr dtype?: dtype\nattr mean: f32 = 0.0\nattr scale: "
           "f32 = 1.0\nattr seed?: f32\nattr shape: i64[]",
           infer_random, 0, evaluate_normal);
OPS_DEFINE(RandomUniform, TRIVET_OPERATOR_IMPURE, "uniformly distributed numbers",
           "() -> (y: T[*]) where T: float\nattr dtype?: dtype\nattr high: f32 = 1.0\nattr low: "
           "f32 = 0.0\nattr seed?: f32\nattr shape: i64[]",
           infer_random, 0, evaluate_uniform);
OPS_DEFINE(RandomNormalLike, TRIVET_OPERATOR_IMPURE,
           "normally distributed numbers in the shape of an operand",
           "(like: S[*]) -> (y: T[*]) where S: any, T: float\nattr dtype?: dtype\nattr mean: f32 = "
           "0.0\nattr scale: f32 = 1.0\nattr seed?: f32",
           infer_random_like, 0, evaluate_normal);
OPS_DEFINE(RandomUniformLike, TRIVET_OPERATOR_IMPURE,
           "uniformly distributed numbers in the shape of an operand",
           "(like: S[*]) -> (y: T[*]) where S: any, T: float\nattr dtype?: dtype\nattr high: f32 = "
           "1.0\nattr low: f32 = 0.0\nattr seed?: f32",
           infer_random_like, 0, evaluate_uniform);

static trivet_status_t evaluate_bernoulli(ops_op_t* op, ops_eval_t* e) {
  (void)op;
  const trivet_tensor_t* x = ops_eval_in(e, 0);
  trivet_tensor_t* y;
  OPS_TRY(e->api->output(e, 0, eval_dtype(e, x->dtype), x->rank, x->dims, &y));
  if (!y) return 0;
  random_t r = random_begin(e);
  int64_t count = tvi_ops_count(x);
  for (int64_t i = 0; i < count; ++i)
    tvi_ops_put_f64(y, i, random_uniform(&r) < tvi_ops_get_f64(x, i));
  return 0;
}
OPS_DEFINE(Bernoulli, TRIVET_OPERATOR_IMPURE,
           "1 with the probability that each element gives, else 0",
           "(x: S[*]) -> (y: T[*]) where S: float, T: any\nattr dtype?: dtype\nattr seed?: f32",
           infer_random_like, 0, evaluate_bernoulli);

static trivet_status_t infer_multinomial(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  if (x->rank != 2) return OPS_INVALID(v, "the operand has rank %u where 2 is needed", x->rank);
  trivet_dim_t dims[2] = {x->dims[0], ops_const(v, ops_attr(v, "sample_size"))};
  return trivet_view_set_output(v, 0, trivet_view_attr_dtype(v, "dtype", TRIVET_DTYPE_I32), 2,
                                dims);
}
static trivet_status_t evaluate_multinomial(ops_op_t* op, ops_eval_t* e) {
  (void)op;
  const trivet_tensor_t* x = ops_eval_in(e, 0);
  int64_t samples = ops_eval_attr(e, "sample_size", 1), classes = x->dims[1],
          dims[2] = {x->dims[0], samples};
  trivet_tensor_t* y;
  OPS_TRY(e->api->output(e, 0, eval_dtype(e, TRIVET_DTYPE_I32), 2, dims, &y));
  if (!y) return 0;
  random_t r = random_begin(e);
  for (int64_t n = 0; n < dims[0]; ++n) {
    // The operand holds logarithms of weights; the largest comes out first.
    double peak = -INFINITY, total = 0;
    for (int64_t c = 0; c < classes; ++c) peak = fmax(peak, tvi_ops_get_f64(x, n * classes + c));
    for (int64_t c = 0; c < classes; ++c) total += exp(tvi_ops_get_f64(x, n * classes + c) - peak);
    for (int64_t s = 0; s < samples; ++s) {
      double left = random_uniform(&r) * total;
      int64_t c = 0;
      while (c + 1 < classes && (left -= exp(tvi_ops_get_f64(x, n * classes + c) - peak)) >= 0) ++c;
      tvi_ops_put_i64(y, n * samples + s, c);
    }
  }
  return 0;
}
OPS_DEFINE(Multinomial, TRIVET_OPERATOR_IMPURE,
           "classes drawn with the probabilities whose logarithms each row gives",
           "(x: S[*]) -> (y: T[*]) where S: float, T: {i32, i64}\nattr dtype?: dtype\nattr "
           "sample_size: i64 = 1\nattr seed?: f32",
           infer_multinomial, 0, evaluate_multinomial);
