// SPDX-License-Identifier: Apache-2.0
//
// Signal processing: discrete Fourier transforms as sums over exact angles (the product of both
// indices is reduced modulo the length before it becomes an angle), short-time transforms, and the
// mel filter bank.
#include <math.h>
#include <stdio.h>

#include "plugins/ops_standard/ops_host.h"

// A scalar integer operand as a dimension; |*out| stays where it is absent.
static trivet_status_t scalar_operand(ops_view_t* v, uint32_t input, const char* what,
                                      trivet_dim_t* out) {
  if (!ops_in(v, input)) return 0;
  const trivet_dim_t* ints;
  uint64_t count;
  OPS_TRY(tvi_ops_symbolic_ints(v, input, what, &ints, &count));
  if (count != 1) return OPS_INVALID(v, "%s must hold one number", what);
  *out = ints[0];
  return 0;
}

typedef struct dft_s {
  uint32_t axis, inverse, onesided, complex_in;
  trivet_dim_t length, out;
} dft_t;
static trivet_status_t dft_geometry(ops_view_t* v, dft_t* g) {
  const trivet_type_t* x = ops_in(v, 0);
  int64_t parts;
  trivet_dim_t axis_dim = ops_const(v, -2);
  int64_t axis;
  if (x->rank < 2 || !trivet_view_dim_value(v, x->dims[x->rank - 1], &parts) ||
      (parts != 1 && parts != 2))
    return OPS_INVALID(v, "the last extent must be 1 (real) or 2 (complex)");
  OPS_TRY(scalar_operand(v, 2, "axis", &axis_dim));
  if (!trivet_view_dim_value(v, axis_dim, &axis))
    return OPS_UNSUPPORTED(v, "axis must be known when the plan is built");
  OPS_TRY(tvi_ops_axis(v, "axis", axis, x->rank, &g->axis));
  if (g->axis + 1 == x->rank) return OPS_INVALID(v, "the last axis holds real and imaginary parts");
  g->inverse = ops_attr(v, "inverse") != 0;
  g->onesided = ops_attr(v, "onesided") != 0;
  g->complex_in = parts == 2;
  g->length = x->dims[g->axis];
  if (g->inverse && g->onesided) g->length = ops_mul_i(v, ops_add_i(v, g->length, -1), 2);
  OPS_TRY(scalar_operand(v, 1, "dft_length", &g->length));
  g->out = g->length;
  if (g->onesided && !g->inverse)
    g->out = ops_add_i(v, ops_floordiv(v, g->length, ops_const(v, 2)), 1);
  return 0;
}
static trivet_status_t infer_dft(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  dft_t g;
  OPS_TRY(dft_geometry(v, &g));
  trivet_dim_t dims[TRIVET_MAX_RANK];
  memcpy(dims, x->dims, sizeof dims);
  dims[g.axis] = g.out;
  dims[x->rank - 1] = ops_const(v, g.inverse && g.onesided ? 1 : 2);
  return trivet_view_set_output(v, 0, x->dtype, x->rank, dims);
}
// x at the summation index, part 0 or 1, zero behind the end of the signal.
static void put_part(ops_text_t* t, uint32_t rank, uint32_t axis, const char* acc, uint32_t part) {
  tvi_ops_put(t, "%s(x[", acc);
  for (uint32_t i = 0; i + 1 < rank; ++i) tvi_ops_put(t, i == axis ? "r, " : "i%u, ", i);
  tvi_ops_put(t, "%u; pad = 0])", part);
}
static trivet_status_t lower_dft(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  const trivet_type_t* x = ops_in(v, 0);
  dft_t g;
  OPS_TRY(dft_geometry(v, &g));
  const char *acc = "f64", *length = DIM(g.length);
  PUT("let angle[i: %s] = 6.28318530717958648 * %s(i) / %s(%s)\n", length, acc, acc, length);
  char at[256];
  snprintf(at, sizeof at, "angle[mod(r*i%u, %s)]", g.axis, length);
  tvi_ops_put_lhs(&t, "y", "i", x->rank);
  uint32_t one_side_back = g.inverse && g.onesided;
  // A one-sided spectrum stands for both sides: all but its ends count twice.
  trivet_dim_t terms =
      one_side_back ? ops_add_i(v, ops_floordiv(v, g.length, ops_const(v, 2)), 1) : g.length;
  PUT(" = T(sum(r: %s){ ", DIM(terms));
  if (one_side_back) PUT("(r == 0 || 2*r == %s ? 1.0 : 2.0) * (", length);
  // (a + i b)(cos -+ i sin): real a cos +- b sin, imaginary b cos -+ a sin.
  if (!one_side_back) PUT("i%u == 0 ? ", x->rank - 1);
  put_part(&t, x->rank, g.axis, acc, 0);
  PUT(" * cos(%s)", at);
  if (g.complex_in) {
    PUT(g.inverse ? " - " : " + ");
    put_part(&t, x->rank, g.axis, acc, 1);
    PUT(" * sin(%s)", at);
  }
  if (one_side_back) {
    PUT(")");
  } else {
    PUT(" : ");
    if (g.complex_in) {
      put_part(&t, x->rank, g.axis, acc, 1);
      PUT(" * cos(%s) ", at);
    }
    PUT(g.inverse ? "%s" : "- ", g.complex_in ? "+ " : "");
    put_part(&t, x->rank, g.axis, acc, 0);
    PUT(" * sin(%s)", at);
  }
  PUT(" }");
  if (g.inverse) PUT(" / %s(%s)", acc, length);
  PUT(")");
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(
    DFT, 0,
    "discrete Fourier transform along an axis, forwards or back, of real or complex numbers",
    "(x: T[*], dft_length?: I[*], axis?: i64[*]) -> (y: T[*]) where T: float, I: {i32, i64}\n"
    "attr inverse: i64 = 0\nattr onesided: i64 = 0",
    infer_dft, lower_dft, 0);

typedef struct stft_s {
  trivet_dim_t step, length, frames, bins;
  uint32_t complex_in;
} stft_t;
static trivet_status_t stft_geometry(ops_view_t* v, stft_t* g) {
  const trivet_type_t *x = ops_in(v, 0), *window = ops_in(v, 2);
  int64_t parts;
  if (x->rank != 3 || !trivet_view_dim_value(v, x->dims[2], &parts) || (parts != 1 && parts != 2))
    return OPS_INVALID(v,
                       "the signal must have rank 3 and a last extent of 1 (real) or 2 (complex)");
  g->complex_in = parts == 2;
  g->length = window ? window->dims[0] : x->dims[1];
  OPS_TRY(scalar_operand(v, 1, "frame_step", &g->step));
  OPS_TRY(scalar_operand(v, 3, "frame_length", &g->length));
  g->frames = ops_add_i(v, ops_floordiv(v, ops_sub(v, x->dims[1], g->length), g->step), 1);
  g->bins = ops_attr(v, "onesided") && !g->complex_in
                ? ops_add_i(v, ops_floordiv(v, g->length, ops_const(v, 2)), 1)
                : g->length;
  return 0;
}
static trivet_status_t infer_stft(ops_op_t* op, ops_view_t* v) {
  (void)op;
  const trivet_type_t* x = ops_in(v, 0);
  stft_t g;
  OPS_TRY(stft_geometry(v, &g));
  trivet_dim_t dims[4] = {x->dims[0], g.frames, g.bins, ops_const(v, 2)};
  return trivet_view_set_output(v, 0, x->dtype, 4, dims);
}
static trivet_status_t lower_stft(ops_op_t* op, ops_view_t* v) {
  (void)op;
  ops_text_t t = {v, 0};
  stft_t g;
  OPS_TRY(stft_geometry(v, &g));
  const char *acc = "f64", *length = DIM(g.length), *step = DIM(g.step);
  char weight[64] = "";
  if (ops_in(v, 2)) snprintf(weight, sizeof weight, " * %s(window[r])", acc);
  PUT("let angle[i: %s] = 6.28318530717958648 * %s(i) / %s(%s)\n", length, acc, acc, length);
  PUT("y[n, f, k, p] = T(sum(r: %s){ p == 0 ? %s(x[n, f*%s + r, 0])%s * cos(angle[mod(r*k, %s)])",
      length, acc, step, weight, length);
  if (g.complex_in)
    PUT(" + %s(x[n, f*%s + r, 1])%s * sin(angle[mod(r*k, %s)])", acc, step, weight, length);
  PUT(" : ");
  if (g.complex_in)
    PUT("%s(x[n, f*%s + r, 1])%s * cos(angle[mod(r*k, %s)]) ", acc, step, weight, length);
  PUT("- %s(x[n, f*%s + r, 0])%s * sin(angle[mod(r*k, %s)]) })", acc, step, weight, length);
  return tvi_ops_text_end(&t);
}
OPS_DEFINE(STFT, 0, "Fourier transforms of windows that slide over a signal",
           "(x: T[*], frame_step: I[*], window?: T[*], frame_length?: I[*]) -> (y: T[*]) where T: "
           "float, I: {i32, i64}\n"
           "attr onesided: i64 = 1",
           infer_stft, lower_stft, 0);

static trivet_status_t infer_mel(ops_op_t* op, ops_view_t* v) {
  (void)op;
  trivet_dim_t dims[2] = {0, 0};
  OPS_TRY(scalar_operand(v, 0, "num_mel_bins", &dims[1]));
  OPS_TRY(scalar_operand(v, 1, "dft_length", &dims[0]));
  dims[0] = ops_add_i(v, ops_floordiv(v, dims[0], ops_const(v, 2)), 1);
  return trivet_view_set_output(
      v, 0, trivet_view_attr_dtype(v, "output_datatype", TRIVET_DTYPE_F32), 2, dims);
}
// Triangles over the bins of a spectrum, whose corners are equally far apart on the mel scale (2595
// log10(1 + f / 700)).
static trivet_status_t evaluate_mel(ops_op_t* op, ops_eval_t* e) {
  (void)op;
  for (uint32_t i = 0; i < 5; ++i) {
    if (tvi_ops_count(ops_eval_in(e, i)) != 1)
      return OPS_EVAL_INVALID(e, "operand %u must hold one number", i);
  }
  int64_t bins = tvi_ops_get_i64(ops_eval_in(e, 0), 0),
          length = tvi_ops_get_i64(ops_eval_in(e, 1), 0);
  double rate = tvi_ops_get_f64(ops_eval_in(e, 2), 0), low = tvi_ops_get_f64(ops_eval_in(e, 3), 0),
         high = tvi_ops_get_f64(ops_eval_in(e, 4), 0);
  int64_t rows = length / 2 + 1, dims[2] = {rows, bins};
  if (bins < 0 || length < 0 || bins > 1 << 20 || rate <= 0)
    return OPS_EVAL_INVALID(e, "a number of bins, length or rate is out of range");
  const trivet_attribute_t* type = e->api->attribute(e, "output_datatype");
  trivet_tensor_t* y;
  OPS_TRY(e->api->output(e, 0, type ? ((const uint32_t*)type->data)[0] : TRIVET_DTYPE_F32, 2, dims,
                         &y));
  if (!y) return 0;
  if (y->size) memset(y->data, 0, y->size);
  double low_mel = 2595 * log10(1 + low / 700),
         step = (2595 * log10(1 + high / 700) - low_mel) / (double)(bins + 2);
  for (int64_t i = 0; i < bins; ++i) {
    int64_t corner[3];
    for (int64_t k = 0; k < 3; ++k) {
      double hertz = 700 * (pow(10, ((double)(i + k) * step + low_mel) / 2595) - 1);
      corner[k] = (int64_t)floor((double)(length + 1) * hertz / rate);
      if (corner[k] < 0 || corner[k] > rows)
        return OPS_EVAL_INVALID(e, "a frequency lies outside the spectrum");
    }
    if (corner[0] == corner[1] && corner[1] < rows) tvi_ops_put_f64(y, corner[1] * bins + i, 1);
    for (int64_t j = corner[0]; j <= corner[1] && j < rows && corner[0] < corner[1]; ++j)
      tvi_ops_put_f64(y, j * bins + i, (double)(j - corner[0]) / (double)(corner[1] - corner[0]));
    for (int64_t j = corner[1]; j < corner[2] && j < rows; ++j)
      tvi_ops_put_f64(y, j * bins + i, (double)(corner[2] - j) / (double)(corner[2] - corner[1]));
  }
  return 0;
}
OPS_DEFINE(MelWeightMatrix, 0, "filter bank from the bins of a spectrum to bins on the mel scale",
           "(num_mel_bins: I[*], dft_length: I[*], sample_rate: I[*], lower_edge_hertz: F[*], "
           "upper_edge_hertz: F[*]) -> (y: T[*]) "
           "where I: {i32, i64}, F: float, T: numeric\nattr output_datatype: dtype = f32",
           infer_mel, 0, evaluate_mel);
