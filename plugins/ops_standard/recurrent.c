// SPDX-License-Identifier: Apache-2.0
//
// Recurrent networks as host reference functions: RNN, GRU and LSTM in all directions, activations
// and layouts, with sequence lengths, clipping and peepholes. One loop over time serves the three;
// they differ in the number of gates and in what a step does with them. Accumulation is in double:
// this is the reference that faster tactics are compared with.
#include <math.h>
#include <strings.h>

#include "plugins/ops_standard/ops_host.h"

typedef enum cell_e { CELL_RNN, CELL_GRU, CELL_LSTM } cell_t;
static uint32_t gate_count(cell_t cell) { return cell == CELL_RNN ? 1 : cell == CELL_GRU ? 3 : 4; }

static trivet_status_t infer_recurrent(ops_view_t* v, cell_t cell) {
  const trivet_type_t *x = ops_in(v, 0), *w = ops_in(v, 1), *r = ops_in(v, 2);
  if (x->rank != 3 || w->rank != 3 || r->rank != 3)
    return OPS_INVALID(v, "x, w and r must have rank 3");
  uint32_t both = ops_attr_is(v, "direction", "bidirectional"),
           batch_first = ops_attr(v, "layout") != 0;
  if (!both && !ops_attr_is(v, "direction", "forward") && !ops_attr_is(v, "direction", "reverse"))
    return OPS_INVALID(v, "attribute direction must be forward, reverse or bidirectional");
  int64_t rows, gates = gate_count(cell), hidden = ops_attr(v, "hidden_size");
  if (trivet_view_dim_value(v, w->dims[1], &rows) && hidden &&
      (rows % gates != 0 || rows / gates != hidden))
    return OPS_INVALID(v, "the weights have %lld rows; %lld gates of hidden_size %lld need others",
                       (long long)rows, (long long)gates, (long long)hidden);
  trivet_dim_t time = x->dims[batch_first], batch = x->dims[!batch_first], h = r->dims[2],
               directions = ops_const(v, 1 + both);
  trivet_dim_t all[4] = {time, directions, batch, h}, last[3] = {directions, batch, h};
  if (batch_first) {
    all[0] = batch, all[1] = time, all[2] = directions;
    last[0] = batch, last[1] = directions;
  }
  for (uint32_t i = 0; i < trivet_view_output_count(v); ++i) {
    OPS_TRY(i ? trivet_view_set_output(v, i, x->dtype, 3, last)
              : trivet_view_set_output(v, i, x->dtype, 4, all));
  }
  return 0;
}

typedef struct activation_s {
  uint32_t kind;
  double alpha, beta;
} activation_t;

static const struct {
  const char* name;
  double alpha, beta;
} kActivations[] = {{"Relu", 0, 0},         {"Tanh", 0, 0},
                    {"Sigmoid", 0, 0},      {"Affine", 1, 0},
                    {"LeakyRelu", 0.01, 0}, {"ThresholdedRelu", 1, 0},
                    {"ScaledTanh", 1, 1},   {"HardSigmoid", 0.2, 0.5},
                    {"Elu", 1, 0},          {"Softsign", 0, 0},
                    {"Softplus", 0, 0}};

static double activate(const activation_t* a, double x, double clip) {
  if (clip > 0) x = x > clip ? clip : x < -clip ? -clip : x;
  switch (a->kind) {
    case 0:
      return x > 0 ? x : 0;
    case 1:
      return tanh(x);
    case 2:
      return 1 / (1 + exp(-x));
    case 3:
      return a->alpha * x + a->beta;
    case 4:
      return x >= 0 ? x : a->alpha * x;
    case 5:
      return x >= a->alpha ? x : 0;
    case 6:
      return a->alpha * tanh(a->beta * x);
    case 7:
      return fmin(fmax(a->alpha * x + a->beta, 0), 1);
    case 8:
      return x >= 0 ? x : a->alpha * expm1(x);
    case 9:
      return x / (1 + fabs(x));
    default:
      return fmax(x, 0) + log1p(exp(-fabs(x)));
  }
}

// The activation functions of all directions; parameters are consumed in order by the functions
// that take some.
static trivet_status_t read_activations(const ops_eval_t* e, cell_t cell, uint32_t directions,
                                        activation_t* out) {
  static const char* const kDefaults[3][3] = {
      {"Tanh"}, {"Sigmoid", "Tanh"}, {"Sigmoid", "Tanh", "Tanh"}};
  uint32_t each = cell == CELL_RNN ? 1 : cell == CELL_GRU ? 2 : 3;
  const trivet_attribute_t *names = e->api->attribute(e, "activations"),
                           *alpha = e->api->attribute(e, "activation_alpha");
  const trivet_attribute_t* beta = e->api->attribute(e, "activation_beta");
  uint64_t next_alpha = 0, next_beta = 0;
  if (names && names->count < each * directions)
    return OPS_EVAL_INVALID(e, "attribute activations has %llu elements; %u are needed",
                            (unsigned long long)names->count, each * directions);
  for (uint32_t i = 0; i < each * directions; ++i) {
    const char* fallback = kDefaults[cell][i % each];
    trivet_string_view_t name = {fallback, strlen(fallback)};
    if (names) name = ((const trivet_string_view_t*)names->data)[i];
    uint32_t kind = 0, count = sizeof kActivations / sizeof kActivations[0];
    while (kind < count && (strlen(kActivations[kind].name) != name.size ||
                            strncasecmp(kActivations[kind].name, name.data, name.size) != 0))
      ++kind;
    if (kind == count)
      return OPS_EVAL_INVALID(e, "activation %.*s is unknown", (int)name.size, name.data);
    out[i] = (activation_t){kind, kActivations[kind].alpha, kActivations[kind].beta};
    uint32_t takes_alpha = (kind >= 3 && kind <= 8),
             takes_beta = kind == 3 || kind == 6 || kind == 7;
    if (takes_alpha && alpha && next_alpha < alpha->count)
      out[i].alpha = ((const double*)alpha->data)[next_alpha++];
    if (takes_beta && beta && next_beta < beta->count)
      out[i].beta = ((const double*)beta->data)[next_beta++];
  }
  return 0;
}

// Everything one direction needs. Weights are converted once.
typedef struct direction_s {
  cell_t cell;
  int64_t in, hidden;
  const double *w, *r, *b, *p;  // b: input then recurrent biases; p: i, o, f
  const activation_t* f;
  double clip;
  uint32_t before_reset, coupled;
  double *gates, *recurrent, *next;
} direction_t;

static double dot(const double* a, const double* b, int64_t n) {
  double s = 0;
  for (int64_t i = 0; i < n; ++i) s += a[i] * b[i];
  return s;
}

// One step for one batch entry: h and c are replaced.
static void step(const direction_t* d, const double* x, double* h, double* c) {
  int64_t n = d->hidden, gates = gate_count(d->cell);
  const double *wb = d->b, *rb = d->b + gates * n;
  for (int64_t i = 0; i < gates * n; ++i) {
    d->gates[i] = dot(d->w + i * d->in, x, d->in) + wb[i];
    d->recurrent[i] = dot(d->r + i * n, h, n) + rb[i];
  }
  if (d->cell == CELL_RNN) {
    for (int64_t i = 0; i < n; ++i)
      h[i] = activate(&d->f[0], d->gates[i] + d->recurrent[i], d->clip);
    return;
  }
  if (d->cell == CELL_GRU) {
    // Gates z, r, h.
    double *z = d->gates, *reset = d->gates + n, *cand = d->gates + 2 * n;
    for (int64_t i = 0; i < 2 * n; ++i)
      d->gates[i] = activate(&d->f[0], d->gates[i] + d->recurrent[i], d->clip);
    if (!d->before_reset) {
      for (int64_t i = 0; i < n; ++i) d->next[i] = reset[i] * h[i];
    }
    for (int64_t i = 0; i < n; ++i) {
      double linear = d->before_reset ? reset[i] * d->recurrent[2 * n + i]
                                      : dot(d->r + (2 * n + i) * n, d->next, n) + rb[2 * n + i];
      cand[i] = activate(&d->f[1], cand[i] + linear, d->clip);
    }
    for (int64_t i = 0; i < n; ++i) h[i] = (1 - z[i]) * cand[i] + z[i] * h[i];
    return;
  }
  // Gates i, o, f, c; peepholes i, o, f.
  for (int64_t i = 0; i < n; ++i) {
    double gi = d->gates[i] + d->recurrent[i], go = d->gates[n + i] + d->recurrent[n + i],
           gf = d->gates[2 * n + i] + d->recurrent[2 * n + i];
    double gc = d->gates[3 * n + i] + d->recurrent[3 * n + i];
    double in = activate(&d->f[0], gi + d->p[i] * c[i], d->clip);
    double forget = d->coupled ? 1 - in : activate(&d->f[0], gf + d->p[2 * n + i] * c[i], d->clip);
    double cell = forget * c[i] + in * activate(&d->f[1], gc, d->clip);
    double out = activate(&d->f[0], go + d->p[n + i] * cell, d->clip);
    c[i] = cell;
    d->next[i] = out * activate(&d->f[2], cell, 0);
  }
  memcpy(h, d->next, (uint64_t)n * sizeof h[0]);
}

// |count| elements of |from| at |begin| as doubles, or zeros.
static trivet_status_t to_doubles(ops_eval_t* e, const trivet_tensor_t* from, int64_t begin,
                                  int64_t count, double** out) {
  void* memory;
  OPS_TRY(e->api->scratch(e, (uint64_t)(count ? count : 1) * sizeof(double), &memory));
  *out = memory;
  for (int64_t i = 0; i < count; ++i) (*out)[i] = from ? tvi_ops_get_f64(from, begin + i) : 0;
  return 0;
}

static trivet_status_t evaluate_recurrent(ops_eval_t* e, cell_t cell) {
  const trivet_tensor_t *x = ops_eval_in(e, 0), *w = ops_eval_in(e, 1), *r = ops_eval_in(e, 2),
                        *b = ops_eval_in(e, 3);
  const trivet_tensor_t *lengths = ops_eval_in(e, 4), *h0 = ops_eval_in(e, 5);
  const trivet_tensor_t *c0 = cell == CELL_LSTM ? ops_eval_in(e, 6) : 0,
                        *peep = cell == CELL_LSTM ? ops_eval_in(e, 7) : 0;
  uint32_t both = ops_eval_attr_is(e, "direction", "bidirectional"),
           reverse = ops_eval_attr_is(e, "direction", "reverse");
  uint32_t batch_first = ops_eval_attr(e, "layout", 0) != 0, directions = 1 + both;
  int64_t time = x->dims[batch_first], batch = x->dims[!batch_first], in = x->dims[2],
          n = r->dims[2], gates = gate_count(cell);
  if (w->dims[0] != directions || w->dims[1] != gates * n || w->dims[2] != in ||
      r->dims[0] != directions || r->dims[1] != gates * n)
    return OPS_EVAL_INVALID(e, "operand and weights do not belong together");
  if ((b && tvi_ops_count(b) != directions * 2 * gates * n) ||
      (lengths && tvi_ops_count(lengths) != batch) ||
      (h0 && tvi_ops_count(h0) != directions * batch * n) ||
      (c0 && tvi_ops_count(c0) != directions * batch * n) ||
      (peep && tvi_ops_count(peep) != directions * 3 * n))
    return OPS_EVAL_INVALID(e, "an operand has another shape than the weights ask for");
  activation_t activations[6];
  OPS_TRY(read_activations(e, cell, directions, activations));
  int64_t all[4] = {time, directions, batch, n}, last[3] = {directions, batch, n};
  if (batch_first) {
    all[0] = batch, all[1] = time, all[2] = directions;
    last[0] = batch, last[1] = directions;
  }
  trivet_tensor_t* out[3] = {0, 0, 0};
  for (uint32_t i = 0; i < e->api->output_count(e) && i < 3; ++i) {
    OPS_TRY(e->api->output(e, i, x->dtype, i ? 3 : 4, i ? last : all, &out[i]));
  }
  double *h, *c, *input, *scratch;
  OPS_TRY(to_doubles(e, 0, 0, n, &h));
  OPS_TRY(to_doubles(e, 0, 0, n, &c));
  OPS_TRY(to_doubles(e, 0, 0, in, &input));
  OPS_TRY(to_doubles(e, 0, 0, (2 * gates + 1) * n, &scratch));
  for (uint32_t d = 0; d < directions; ++d) {
    double *dw, *dr, *db, *dp;
    OPS_TRY(to_doubles(e, w, d * gates * n * in, gates * n * in, &dw));
    OPS_TRY(to_doubles(e, r, d * gates * n * n, gates * n * n, &dr));
    OPS_TRY(to_doubles(e, b, d * 2 * gates * n, 2 * gates * n, &db));
    OPS_TRY(to_doubles(e, peep, d * 3 * n, 3 * n, &dp));
    direction_t dir = {cell,
                       in,
                       n,
                       dw,
                       dr,
                       db,
                       dp,
                       activations + d * (cell == CELL_RNN   ? 1
                                          : cell == CELL_GRU ? 2
                                                             : 3),
                       ops_eval_attr_f(e, "clip", 0),
                       ops_eval_attr(e, "linear_before_reset", 0) != 0,
                       ops_eval_attr(e, "input_forget", 0) != 0,
                       scratch,
                       scratch + gates * n,
                       scratch + 2 * gates * n};
    uint32_t backwards = reverse || d == 1;
    for (int64_t k = 0; k < batch; ++k) {
      int64_t state = batch_first ? (k * directions + d) * n : (d * batch + k) * n;
      for (int64_t i = 0; i < n; ++i) {
        h[i] = h0 ? tvi_ops_get_f64(h0, state + i) : 0;
        c[i] = c0 ? tvi_ops_get_f64(c0, state + i) : 0;
      }
      int64_t length = lengths ? tvi_ops_get_i64(lengths, k) : time;
      if (length < 0 || length > time)
        return OPS_EVAL_INVALID(e, "sequence %lld has length %lld", (long long)k,
                                (long long)length);
      for (int64_t s = 0; s < time; ++s) {
        // Behind the end of its sequence an entry gives zeros and keeps its state.
        int64_t t = backwards && s < length ? length - 1 - s : s;
        if (s < length) {
          int64_t from = (batch_first ? k * time + t : t * batch + k) * in;
          for (int64_t i = 0; i < in; ++i) input[i] = tvi_ops_get_f64(x, from + i);
          step(&dir, input, h, c);
        }
        int64_t to =
            (batch_first ? (k * time + t) * directions + d : (t * directions + d) * batch + k) * n;
        for (int64_t i = 0; out[0] && i < n; ++i)
          tvi_ops_put_f64(out[0], to + i, s < length ? h[i] : 0);
      }
      for (int64_t i = 0; i < n; ++i) {
        if (out[1]) tvi_ops_put_f64(out[1], state + i, h[i]);
        if (out[2]) tvi_ops_put_f64(out[2], state + i, c[i]);
      }
    }
  }
  return 0;
}

#define RECURRENT(name, cell, inputs, outputs, more, summary)                                    \
  static trivet_status_t infer_##name(ops_op_t* op, ops_view_t* v) {                             \
    return (void)op, infer_recurrent(v, cell);                                                   \
  }                                                                                              \
  static trivet_status_t evaluate_##name(ops_op_t* op, ops_eval_t* e) {                          \
    return (void)op, evaluate_recurrent(e, cell);                                                \
  }                                                                                              \
  OPS_DEFINE(                                                                                    \
      name, 0, summary,                                                                          \
      "(x: T[*], w: T[*], r: T[*], b?: T[*], sequence_lens?: i32[*], initial_h?: T[*]" inputs    \
      ") -> (y?: T[*], y_h?: T[*]" outputs                                                       \
      ") where T: float\n"                                                                       \
      "attr activation_alpha?: f32[]\nattr activation_beta?: f32[]\nattr activations?: "         \
      "string[]\nattr clip?: f32\n"                                                              \
      "attr direction: string = \"forward\"\nattr hidden_size?: i64\nattr layout: i64 = 0" more, \
      infer_##name, 0, evaluate_##name)
RECURRENT(RNN, CELL_RNN, "", "", "", "simple recurrent network over a sequence");
RECURRENT(GRU, CELL_GRU, "", "", "\nattr linear_before_reset: i64 = 0",
          "gated recurrent unit over a sequence");
RECURRENT(LSTM, CELL_LSTM, ", initial_c?: T[*], p?: T[*]", ", y_c?: T[*]",
          "\nattr input_forget: i64 = 0", "long short-term memory over a sequence");
