// SPDX-License-Identifier: Apache-2.0
//
// Resize. A position in the operand is kept as an exact fraction numerator / denominator of
// integers, so that extents may be symbolic and no mode depends on how a float division rounds.
// Nearest is one load; linear and cubic run axis by axis, each a short weighted sum.
#include <math.h>
#include <stdio.h>

#include "plugins/ops_standard/ops_host.h"

typedef struct resize_s {
  uint32_t resized;  // a bit per axis
  trivet_dim_t out[TRIVET_MAX_RANK];
  trivet_dim_t p[TRIVET_MAX_RANK], q[TRIVET_MAX_RANK];  // scale = p / q
  uint32_t roi[TRIVET_MAX_RANK],
      roi_count;     // element of the region's begin; its end is roi_count later
  uint32_t by_size;  // sizes were given: p and q are the extents
} resize_t;

// A positive float as an exact fraction.
static uint32_t exact_fraction(double scale, int64_t* p, int64_t* q) {
  int exponent;
  if (!(scale > 0) || isinf(scale)) return 0;
  double mantissa = frexp(scale, &exponent);
  int64_t m = (int64_t)ldexp(mantissa, 53);
  exponent -= 53;
  while (m % 2 == 0) m /= 2, ++exponent;
  if (exponent > 30 || exponent < -40 || m > ((int64_t)1 << 53)) return 0;
  *p = exponent > 0 ? m << exponent : m;
  *q = exponent < 0 ? (int64_t)1 << -exponent : 1;
  return 1;
}

static trivet_status_t resize_axes(ops_view_t* v, uint32_t* axes, uint32_t* count) {
  uint32_t rank = ops_in(v, 0)->rank;
  uint64_t given_count;
  const int64_t* given = trivet_view_attr_i64s(v, "axes", &given_count);
  *count = given ? (uint32_t)given_count : rank;
  if (given_count > rank)
    return OPS_INVALID(v, "attribute axes has %llu elements", (unsigned long long)given_count);
  for (uint32_t i = 0; i < *count; ++i)
    OPS_TRY(tvi_ops_axis(v, "an element of axes", given ? given[i] : i, rank, &axes[i]));
  return 0;
}

// Sizes that keep the proportions: one scale for all axes, the smallest or the largest of sizes /
// extents.
static trivet_status_t keep_proportions(ops_view_t* v, resize_t* r, const uint32_t* axes,
                                        uint32_t count, const trivet_dim_t* sizes,
                                        uint32_t smallest) {
  const trivet_type_t* x = ops_in(v, 0);
  int64_t best_p = 0, best_q = 1;
  for (uint32_t i = 0; i < count; ++i) {
    int64_t size, extent;
    if (!trivet_view_dim_value(v, sizes[i], &size) ||
        !trivet_view_dim_value(v, x->dims[axes[i]], &extent) || extent < 1)
      return OPS_UNSUPPORTED(
          v, "keeping proportions needs extents that are known when the plan is built");
    double ratio = (double)size / (double)extent, best = (double)best_p / (double)best_q;
    if (!i || (smallest ? ratio < best : ratio > best)) best_p = size, best_q = extent;
  }
  trivet_dim_t p = ops_const(v, best_p), q = ops_const(v, best_q);
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t a = axes[i];
    r->p[a] = p;
    r->q[a] = q;
    // Rounded to nearest, halves up.
    r->out[a] = ops_floordiv(v, ops_add(v, ops_mul_i(v, ops_mul(v, p, x->dims[a]), 2), q),
                             ops_mul_i(v, q, 2));
  }
  r->by_size = 0;
  return 0;
}

static trivet_status_t resize_geometry(ops_view_t* v, resize_t* r) {
  const trivet_type_t* x = ops_in(v, 0);
  uint32_t axes[TRIVET_MAX_RANK], count;
  memset(r, 0, sizeof *r);
  OPS_TRY(resize_axes(v, axes, &count));
  r->roi_count = count;
  for (uint32_t i = 0; i < x->rank; ++i) {
    r->out[i] = x->dims[i];
    r->p[i] = r->q[i] = ops_const(v, 1);
  }
  const trivet_type_t* scales = ops_in(v, 2);
  uint32_t crop = ops_attr_is(v, "coordinate_transformation_mode", "tf_crop_and_resize");
  if (scales && !(scales->rank == 1 && ops_is(v, scales->dims[0], 0))) {
    const trivet_tensor_t* values = trivet_view_input_constant(v, 2);
    if (!values)
      return OPS_UNSUPPORTED(
          v, "the contents of scales (input 2) must be known when the plan is built");
    if (tvi_ops_count(values) != count)
      return OPS_INVALID(v, "scales has %lld elements for %u axes",
                         (long long)tvi_ops_count(values), count);
    for (uint32_t i = 0; i < count; ++i) {
      int64_t p, q;
      double scale = tvi_ops_get_f64(values, i);
      if (!exact_fraction(scale, &p, &q)) return OPS_INVALID(v, "a scale is %g", scale);
      uint32_t a = axes[i];
      r->p[a] = ops_const(v, p);
      r->q[a] = ops_const(v, q);
      r->out[a] = ops_floordiv(v, ops_mul(v, x->dims[a], r->p[a]), r->q[a]);
      r->roi[a] = i;
      if (p != q || crop) r->resized |= 1u << a;
    }
    return 0;
  }
  if (!ops_in(v, 3)) return OPS_INVALID(v, "neither scales nor sizes are given");
  const trivet_dim_t* sizes;
  uint64_t size_count;
  OPS_TRY(tvi_ops_symbolic_ints(v, 3, "sizes", &sizes, &size_count));
  if (size_count != count)
    return OPS_INVALID(v, "sizes has %llu elements for %u axes", (unsigned long long)size_count,
                       count);
  r->by_size = 1;
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t a = axes[i];
    r->out[a] = r->p[a] = sizes[i];
    r->q[a] = x->dims[a];
    r->roi[a] = i;
  }
  if (!ops_attr_is(v, "keep_aspect_ratio_policy", "stretch"))
    OPS_TRY(keep_proportions(v, r, axes, count, sizes,
                             ops_attr_is(v, "keep_aspect_ratio_policy", "not_larger")));
  for (uint32_t i = 0; i < count; ++i) {
    if (crop || r->p[axes[i]] != r->q[axes[i]]) r->resized |= 1u << axes[i];
  }
  return 0;
}

static trivet_status_t infer_resize(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  resize_t r;
  OPS_TRY(resize_geometry(v, &r));
  return trivet_view_set_output(v, 0, x->dtype, x->rank, r.out);
}

// Numerator and denominator of the position that belongs to the index |i| of axis |a|, as text.
static trivet_status_t put_fraction(ops_text_t* t, const resize_t* r, uint32_t a, char* numerator,
                                    size_t size, char* denominator, size_t denominator_size) {
  ops_view_t* v = t->view;
  const trivet_type_t* x = ops_in(v, 0);
  trivet_dim_t in = x->dims[a], one = ops_const(v, 1), p = r->p[a], q = r->q[a];
  const char *ps = tvi_ops_dim_text(t, p), *qs = tvi_ops_dim_text(t, q);
  if (ops_attr_is(v, "coordinate_transformation_mode", "asymmetric")) {
    snprintf(numerator, size, ops_is(v, q, 1) ? "i%u" : "i%u*%s", a, qs);
    snprintf(denominator, denominator_size, "%s", ps);
  } else if (ops_attr_is(v, "coordinate_transformation_mode", "align_corners")) {
    // i (in - 1) / (in * scale - 1)
    trivet_dim_t n = r->by_size ? ops_sub(v, in, one) : ops_mul(v, ops_sub(v, in, one), q);
    trivet_dim_t d = r->by_size ? ops_sub(v, r->out[a], one) : ops_sub(v, ops_mul(v, in, p), q);
    snprintf(numerator, size, "i%u*%s", a, tvi_ops_dim_text(t, n));
    snprintf(denominator, denominator_size, "%s", tvi_ops_dim_text(t, ops_max(v, d, one)));
  } else if (ops_attr_is(v, "coordinate_transformation_mode", "half_pixel_symmetric")) {
    // in / 2 - out / (2 scale) + (2 i + 1) / (2 scale) - 1 / 2
    trivet_dim_t shift = ops_sub(v, ops_sub(v, ops_mul(v, in, p), ops_mul(v, r->out[a], q)), p);
    snprintf(numerator, size, "((2*i%u + 1)*%s + %s)", a, qs, tvi_ops_dim_text(t, shift));
    snprintf(denominator, denominator_size, "%s", tvi_ops_dim_text(t, ops_mul_i(v, p, 2)));
  } else if (ops_attr_is(v, "coordinate_transformation_mode", "half_pixel") ||
             ops_attr_is(v, "coordinate_transformation_mode", "pytorch_half_pixel")) {
    int64_t extent;
    uint32_t single = ops_attr_is(v, "coordinate_transformation_mode", "pytorch_half_pixel");
    uint32_t known = trivet_view_dim_value(v, r->out[a], &extent);
    if (single && known && extent == 1) {
      snprintf(numerator, size, "0");
    } else if (single && !known) {
      snprintf(numerator, size, "(%s > 1 ? (2*i%u + 1)*%s - %s : 0)",
               tvi_ops_dim_text(t, r->out[a]), a, qs, ps);
    } else {
      snprintf(numerator, size, "((2*i%u + 1)*%s - %s)", a, qs, ps);
    }
    snprintf(denominator, denominator_size, "%s", tvi_ops_dim_text(t, ops_mul_i(v, p, 2)));
  } else {
    return OPS_INVALID(v, "attribute coordinate_transformation_mode is unknown");
  }
  return 0;
}

// tf_crop_and_resize: "let at<a>[i<a>: extent] = position" as a float, from the region that an
// operand gives.
static void put_crop_position(ops_text_t* t, const resize_t* r, uint32_t a, const char* acc) {
  ops_view_t* v = t->view;
  trivet_dim_t one = ops_const(v, 1);
  const char* last = tvi_ops_dim_text(t, ops_sub(v, ops_in(v, 0)->dims[a], one));
  uint32_t begin = r->roi[a], end = begin + r->roi_count;
  tvi_ops_put(t, "let at%u[i%u: %s] = ", a, a, tvi_ops_dim_text(t, r->out[a]));
  if (ops_is(v, r->out[a], 1)) {
    tvi_ops_put(t, "0.5 * (%s(roi[%u]) + %s(roi[%u])) * %s(%s)\n", acc, begin, acc, end, acc, last);
  } else {
    tvi_ops_put(t,
                "%s(roi[%u]) * %s(%s) + %s(i%u) * (%s(roi[%u]) - %s(roi[%u])) * %s(%s) / %s(%s)\n",
                acc, begin, acc, last, acc, a, acc, end, acc, begin, acc, last, acc,
                tvi_ops_dim_text(t, ops_max(v, ops_sub(v, r->out[a], one), one)));
  }
}

static trivet_status_t put_nearest(ops_text_t* t, const resize_t* r, uint32_t a, uint32_t crop) {
  ops_view_t* v = t->view;
  const char* last = tvi_ops_dim_text(t, ops_add_i(v, ops_in(v, 0)->dims[a], -1));
  uint32_t down = ops_attr_is(v, "nearest_mode", "floor"),
           up = ops_attr_is(v, "nearest_mode", "ceil");
  uint32_t half_down = ops_attr_is(v, "nearest_mode", "round_prefer_floor"),
           half_up = ops_attr_is(v, "nearest_mode", "round_prefer_ceil");
  if (!down && !up && !half_down && !half_up)
    return OPS_INVALID(v, "attribute nearest_mode is unknown");
  if (crop) {
    tvi_ops_put(t, "min(max(i64(%s(at%u[i%u]%s)), 0), %s)", up || half_down ? "ceil" : "floor", a,
                a,
                half_down ? " - 0.5"
                : half_up ? " + 0.5"
                          : "",
                last);
    return 0;
  }
  char n[400], d[200];
  OPS_TRY(put_fraction(t, r, a, n, sizeof n, d, sizeof d));
  if (down && ops_attr_is(v, "coordinate_transformation_mode", "asymmetric")) {
    tvi_ops_put(t, "floordiv(%s, %s)", n, d);  // never outside
  } else if (down || up) {
    tvi_ops_put(t, "min(max(%s(%s, %s), 0), %s)", down ? "floordiv" : "ceildiv", n, d, last);
  } else {
    tvi_ops_put(t, "min(max(%s(2*%s %s %s, 2*%s), 0), %s)", half_down ? "ceildiv" : "floordiv", n,
                half_down ? "-" : "+", d, d, last);
  }
  return 0;
}

// The weights of one axis: let weight<a>[i<a>, k] for |taps| positions from first<a>[i<a>] on, and
// total<a> where they are not 1 together.
static trivet_status_t put_weights(ops_text_t* t, const resize_t* r, uint32_t a, uint32_t crop,
                                   const char* acc, trivet_dim_t* out_taps,
                                   uint32_t* out_normalised) {
  ops_view_t* v = t->view;
  trivet_dim_t in = ops_in(v, 0)->dims[a];
  uint32_t cubic = ops_attr_is(v, "mode", "cubic"), exclude = ops_attr(v, "exclude_outside") != 0;
  uint32_t antialias = ops_attr(v, "antialias") != 0;
  trivet_dim_t reach = ops_const(v, cubic ? 2 : 1);
  const char* out = tvi_ops_dim_text(t, r->out[a]);
  char stretch[256] = "";
  if (antialias) {
    // Shrinking widens the filter by 1 / scale.
    reach = ops_max(v, reach, ops_ceildiv(v, ops_mul(v, reach, r->q[a]), r->p[a]));
    snprintf(stretch, sizeof stretch, " * min(1.0, %s(%s) / %s(%s))", acc,
             tvi_ops_dim_text(t, r->p[a]), acc, tvi_ops_dim_text(t, r->q[a]));
  }
  *out_taps = ops_mul_i(v, reach, 2);
  *out_normalised = antialias || exclude;
  char n[400] = "", d[200] = "";
  if (crop) {
    tvi_ops_put(t, "let first%u[i%u: %s] = i64(floor(at%u[i%u])) + 1 - %s\n", a, a, out, a, a,
                tvi_ops_dim_text(t, reach));
    tvi_ops_put(t, "let part%u[i%u: %s] = at%u[i%u] - floor(at%u[i%u])\n", a, a, out, a, a, a, a);
  } else {
    OPS_TRY(put_fraction(t, r, a, n, sizeof n, d, sizeof d));
    tvi_ops_put(t, "let first%u[i%u: %s] = floordiv(%s, %s) + 1 - %s\n", a, a, out, n, d,
                tvi_ops_dim_text(t, reach));
    tvi_ops_put(t, "let part%u[i%u: %s] = %s(mod(%s, %s)) / %s(%s)\n", a, a, out, acc, n, d, acc,
                d);
  }
  const char* taps = tvi_ops_dim_text(t, *out_taps);
  tvi_ops_put(t, "let far%u[i%u: %s, k: %s] = abs(%s(k + 1 - %s) - part%u[i%u])%s\n", a, a, out,
              taps, acc, tvi_ops_dim_text(t, reach), a, a, stretch);
  tvi_ops_put(t, "let weight%u[i%u: %s, k: %s] = ", a, a, out, taps);
  if (exclude)
    tvi_ops_put(t, "first%u[i%u] + k < 0 || first%u[i%u] + k >= %s ? 0.0 : ", a, a, a, a,
                tvi_ops_dim_text(t, in));
  if (cubic) {
    char c[48], f[48];
    snprintf(f, sizeof f, "far%u[i%u, k]", a, a);
    snprintf(c, sizeof c, "%s(cubic_coeff_a)", acc);
    tvi_ops_put(t, "%s <= 1.0 ? ((%s + 2.0) * %s - (%s + 3.0)) * %s * %s + 1.0 : ", f, c, f, c, f,
                f);
    tvi_ops_put(t, "%s < 2.0 ? %s * (((%s - 5.0) * %s + 8.0) * %s - 4.0) : 0.0\n", f, c, f, f, f);
  } else {
    tvi_ops_put(t, "max(0.0, 1.0 - far%u[i%u, k])\n", a, a);
  }
  if (*out_normalised)
    tvi_ops_put(t, "let total%u[i%u: %s] = sum(k: %s){ weight%u[i%u, k] }\n", a, a, out, taps, a,
                a);
  return 0;
}

static trivet_status_t lower_resize(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  resize_t r;
  OPS_TRY(resize_geometry(v, &r));
  uint32_t crop = ops_attr_is(v, "coordinate_transformation_mode", "tf_crop_and_resize");
  const char* acc = x->dtype == TRIVET_DTYPE_F64 ? "f64" : "f32";
  if (crop && !ops_in(v, 1)) return OPS_INVALID(v, "tf_crop_and_resize needs a region (input 1)");
  for (uint32_t a = 0; crop && a < x->rank; ++a) {
    if (r.resized >> a & 1) put_crop_position(&t, &r, a, acc);
  }
  // Positions outside the operand take a fixed value in this mode.
  char outside[1024] = "";
  size_t length = 0;
  for (uint32_t a = 0; crop && a < x->rank; ++a) {
    if (!(r.resized >> a & 1)) continue;
    length += (size_t)snprintf(outside + length, sizeof outside - length,
                               "%sat%u[i%u] < 0.0 || at%u[i%u] > %s(%s)", length ? " || " : "", a,
                               a, a, a, acc, DIM(ops_add_i(v, x->dims[a], -1)));
    if (length >= sizeof outside) return OPS_INVALID(v, "too many axes");
  }
  if (ops_attr_is(v, "mode", "nearest") || !r.resized) {
    tvi_ops_put_lhs(&t, "y", "i", x->rank);
    if (length) PUT(" = %s ? T(extrapolation_value) : x[", outside);
    if (!length) PUT(" = x[");
    for (uint32_t a = 0; a < x->rank; ++a) {
      if (a) PUT(", ");
      if (r.resized >> a & 1) {
        OPS_TRY(put_nearest(&t, &r, a, crop));
      } else {
        PUT("i%u", a);
      }
    }
    PUT("]");
    return tvi_ops_text_end(&t);
  }
  if (!ops_attr_is(v, "mode", "linear") && !ops_attr_is(v, "mode", "cubic"))
    return OPS_INVALID(v, "attribute mode must be nearest, linear or cubic");
  // One weighted sum per axis; |dims| are the extents of what has been made so far.
  trivet_dim_t dims[TRIVET_MAX_RANK];
  memcpy(dims, x->dims, sizeof dims);
  char source[24] = "x";
  uint32_t left = r.resized;
  for (uint32_t a = 0; a < x->rank; ++a) {
    if (!(r.resized >> a & 1)) continue;
    trivet_dim_t taps;
    uint32_t normalised;
    left &= ~(1u << a);
    dims[a] = r.out[a];
    OPS_TRY(put_weights(&t, &r, a, crop, acc, &taps, &normalised));
    if (left) {
      PUT("let along%u[", a);
      tvi_ops_put_ranges(&t, "i", dims, x->rank, (1u << x->rank) - 1);
      PUT("] = ");
    } else {
      tvi_ops_put_lhs(&t, "y", "i", x->rank);
      if (length) {
        PUT(" = %s ? T(extrapolation_value) : T(", outside);
      } else {
        PUT(" = T(");
      }
    }
    PUT("sum(k: %s){ %s(%s[", DIM(taps), acc, source);
    for (uint32_t i = 0; i < x->rank; ++i) {
      if (i) PUT(", ");
      if (i == a) {
        PUT("min(max(first%u[i%u] + k, 0), %s)", a, a, DIM(ops_add_i(v, x->dims[a], -1)));
      } else {
        PUT("i%u", i);
      }
    }
    PUT("]) * weight%u[i%u, k] }", a, a);
    if (normalised) PUT(" / total%u[i%u]", a, a);
    PUT(left ? "\n" : ")");
    snprintf(source, sizeof source, "along%u", a);
  }
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(
    Resize, 0, "another size by nearest, linear or cubic interpolation",
    "(x: T[*], roi?: R[*], scales?: f32[*], sizes?: i64[*]) -> (y: T[*]) where T: any, R: float\n"
    "attr antialias: i64 = 0\nattr axes?: i64[]\nattr coordinate_transformation_mode: string = "
    "\"half_pixel\"\n"
    "attr cubic_coeff_a: f32 = -0.75\nattr exclude_outside: i64 = 0\nattr extrapolation_value: f32 "
    "= 0.0\n"
    "attr keep_aspect_ratio_policy: string = \"stretch\"\nattr mode: string = \"nearest\"\n"
    "attr nearest_mode: string = \"round_prefer_floor\"",
    infer_resize, lower_resize, 0);
