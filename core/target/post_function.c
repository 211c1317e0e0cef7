// SPDX-License-Identifier: Apache-2.0
//
// Functions of one value, told by their values. For kernels of libraries that know a fixed set of
// activations; who is not told stays with the general kernel.
#include "core/target/post_function.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "core/base/scalar_math.h"

#define MAX_INSTRUCTIONS 48u  // visited for one value of one function
#define SAMPLES 41

bool tvi_post_is_float(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_F32 || dtype == TRIVET_DTYPE_F16 || dtype == TRIVET_DTYPE_BF16;
}

tvi_kir_ref_t tvi_post_skip_casts(const tvi_kir_stage_t* stage, tvi_kir_ref_t ref) {
  for (;;) {
    const tvi_kir_instr_t* instr = &stage->instrs[ref];
    if (instr->opcode != TVI_KIR_CAST || !tvi_post_is_float(instr->dtype) ||
        !tvi_post_is_float(stage->instrs[instr->args[0]].dtype)) {
      return ref;
    }
    ref = instr->args[0];
  }
}

typedef struct scope_s {
  const tvi_kir_stage_t* stage;
  tvi_kir_ref_t variable;
  double x;
  uint32_t budget;
} scope_t;

static bool evaluate(scope_t* s, tvi_kir_ref_t ref, double* out);

static bool apply(const tvi_kir_instr_t* instr, const double* v, double* out) {
  switch (instr->opcode) {
#define CASE(opcode, value) \
  case TVI_KIR_##opcode:    \
    *out = (double)(value); \
    return true
    CASE(CAST, v[0]);
    CASE(ADD, v[0] + v[1]);
    CASE(SUB, v[0] - v[1]);
    CASE(MUL, v[0] * v[1]);
    CASE(DIV, v[0] / v[1]);
    CASE(FMA, v[0] * v[1] + v[2]);
    CASE(MIN, v[0] < v[1] ? v[0] : v[1]);
    CASE(MAX, v[0] > v[1] ? v[0] : v[1]);
    CASE(NEG, -v[0]);
    CASE(ABS, v[0] < 0 ? -v[0] : v[0]);
    CASE(RECIP, 1 / v[0]);
    CASE(EXP, tvi_math_exp(v[0]));
    CASE(EXPM1, tvi_math_expm1(v[0]));
    CASE(LOG1P, tvi_math_log1p(v[0]));
    CASE(TANH, tvi_math_tanh(v[0]));
    CASE(ERF, tvi_math_erf(v[0]));
    CASE(SIGMOID, 1 / (1 + tvi_math_exp(-v[0])));
    CASE(LT, v[0] < v[1]);
    CASE(LE, v[0] <= v[1]);
    CASE(GT, v[0] > v[1]);
    CASE(GE, v[0] >= v[1]);
    CASE(SELECT, v[0] != 0 ? v[1] : v[2]);
    CASE(WITH, v[0]);
    CASE(DEVICE, v[0]);
#undef CASE
    default:
      return false;
  }
}

static bool evaluate(scope_t* s, tvi_kir_ref_t ref, double* out) {
  if (ref == s->variable) {
    *out = s->x;
    return true;
  }
  if (s->budget == 0) return false;
  --s->budget;
  const tvi_kir_instr_t* instr = &s->stage->instrs[ref];
  if (!tvi_post_is_float(instr->dtype) && instr->dtype != TRIVET_DTYPE_BOOL) return false;
  if (instr->opcode == TVI_KIR_CONST) {
    *out = instr->dtype == TRIVET_DTYPE_BOOL ? (double)instr->imm.i64 : instr->imm.f64;
    return true;
  }
  double v[3] = {0, 0, 0};
  uint32_t operands = tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
  for (uint32_t a = 0; a < operands; ++a) {
    if (!evaluate(s, instr->args[a], &v[a])) return false;
  }
  return apply(instr, v, out);
}

double tvi_post_evaluate(const tvi_post_t* post, double x) {
  double alpha = post->alpha, beta = post->beta, t;
  switch (post->op) {
    case TVI_POST_LINEAR:
      return alpha * x + beta;
    case TVI_POST_RELU:
      return x > 0 ? x : alpha * x;
    case TVI_POST_CLIP:
      return x < alpha ? alpha : x > beta ? beta : x;
    case TVI_POST_SIGMOID:
      return 1 / (1 + tvi_math_exp(-x));
    case TVI_POST_TANH:
      return tvi_math_tanh(x);
    case TVI_POST_SWISH:
      return x / (1 + tvi_math_exp(-alpha * x));
    case TVI_POST_GELU_ERF:
      return 0.5 * x * (1 + tvi_math_erf(x * 0.70710678118654752440));
    case TVI_POST_GELU_TANH:
      return 0.5 * x * (1 + tvi_math_tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case TVI_POST_HARD_SWISH:
      t = x / 6 + 0.5;
      return x * (t < 0 ? 0 : t > 1 ? 1 : t);
    case TVI_POST_ELU:
      return x > 0 ? x : alpha * tvi_math_expm1(x);
    case TVI_POST_ABS:
      return x < 0 ? -x : x;
    default:
      return NAN;
  }
}

static double sample_point(int i) {
  const int zero = SAMPLES / 2;
  return (i - zero) * 0.371;  // -7.42 .. 7.42, 0 included
}

// The largest difference from the function; infinite where one is no number.
static double distance(const double* values, const tvi_post_t* post) {
  double largest = 0;
  for (int i = 0; i < SAMPLES; ++i) {
    double difference = values[i] - tvi_post_evaluate(post, sample_point(i));
    if (difference < 0) difference = -difference;
    if (!(difference <= (double)FLT_MAX)) return INFINITY;
    if (difference > largest) largest = difference;
  }
  return largest;
}

// Which function has these values. Constants of narrow types are rounded, so that what they make
// of a function is a little beside it: |tolerance|. The nearest one wins, as the two forms of gelu
// are nearer to each other than that.
static bool classify(const double* values, double tolerance, tvi_post_t* out) {
  double zero = values[SAMPLES / 2], low = values[0], high = values[SAMPLES - 1];
  double last = sample_point(SAMPLES - 1);
  const tvi_post_t tries[] = {
      {.op = TVI_POST_SIGMOID},
      {.op = TVI_POST_TANH},
      {.op = TVI_POST_GELU_ERF},
      {.op = TVI_POST_GELU_TANH},
      {.op = TVI_POST_HARD_SWISH},
      {.op = TVI_POST_ABS},
      {.op = TVI_POST_RELU, .alpha = -low / last},
      {.op = TVI_POST_LINEAR, .alpha = (high - zero) / last, .beta = zero},
      {.op = TVI_POST_SWISH, .alpha = 1},
      {.op = TVI_POST_ELU, .alpha = 1},
      {.op = TVI_POST_CLIP, .alpha = low, .beta = high},
  };
  double nearest = INFINITY;
  for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); ++i) {
    const tvi_post_t* post = &tries[i];
    // A line is no relu.
    if (post->op == TVI_POST_RELU && post->alpha > 0.9999) continue;
    // What the samples show to be limits must lie within them.
    if (post->op == TVI_POST_CLIP && !(low < high && low > -last && high < last)) continue;
    bool exact = post->op == TVI_POST_RELU || post->op == TVI_POST_LINEAR ||
                 post->op == TVI_POST_ELU || post->op == TVI_POST_CLIP;
    double difference = distance(values, post);
    if (difference >= (exact ? 2e-7 : tolerance) || difference >= nearest) continue;
    nearest = difference;
    *out = *post;
  }
  return nearest < INFINITY;
}

static double constant_of(const tvi_kir_instr_t* instr) { return instr->imm.f64; }

// min and max with constants, exactly: sample points cannot see limits that lie beyond them.
static bool read_clip(const tvi_kir_stage_t* stage, tvi_kir_ref_t ref, tvi_kir_ref_t* out_variable,
                      tvi_post_t* out) {
  double low = -(double)FLT_MAX, high = (double)FLT_MAX;
  bool any = false;
  for (;;) {
    const tvi_kir_instr_t* instr = &stage->instrs[ref];
    if (instr->opcode != TVI_KIR_MIN && instr->opcode != TVI_KIR_MAX) break;
    tvi_kir_ref_t sides[2] = {tvi_post_skip_casts(stage, instr->args[0]),
                              tvi_post_skip_casts(stage, instr->args[1])};
    bool first = stage->instrs[sides[0]].opcode == TVI_KIR_CONST;
    if (!first && stage->instrs[sides[1]].opcode != TVI_KIR_CONST) break;
    double limit = constant_of(&stage->instrs[sides[first ? 0 : 1]]);
    // From the outside inwards: an outer limit holds whatever the inner one does.
    if (instr->opcode == TVI_KIR_MIN && limit < high) high = limit;
    if (instr->opcode == TVI_KIR_MAX && limit > low) low = limit;
    if (low > high) return false;
    ref = sides[first ? 1 : 0];
    any = true;
  }
  if (!any) return false;
  *out_variable = ref;
  memset(out, 0, sizeof(*out));
  bool relu = low == 0 && high == (double)FLT_MAX;
  out->op = relu ? TVI_POST_RELU : TVI_POST_CLIP;
  out->alpha = low;
  out->beta = high;
  if (relu) out->beta = 0;
  return true;
}

bool tvi_post_read_function(const tvi_kir_stage_t* stage, tvi_kir_ref_t ref, const bool* depends,
                            tvi_kir_ref_t* out_variable, tvi_post_t* out) {
  if (read_clip(stage, ref, out_variable, out)) return true;
  for (tvi_kir_ref_t candidate = ref; candidate-- > 0;) {
    if (!depends[candidate] || !tvi_post_is_float(stage->instrs[candidate].dtype)) continue;
    double values[SAMPLES];
    bool closed = true;
    for (int i = 0; i < SAMPLES && closed; ++i) {
      scope_t scope = {stage, candidate, sample_point(i), MAX_INSTRUCTIONS};
      closed = evaluate(&scope, ref, &values[i]);
    }
    double tolerance = stage->instrs[ref].dtype == TRIVET_DTYPE_F32 ? 2e-7 : 2e-3;
    if (closed && classify(values, tolerance, out)) {
      *out_variable = candidate;
      return true;
    }
  }
  return false;
}
