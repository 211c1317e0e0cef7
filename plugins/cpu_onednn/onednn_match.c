// SPDX-License-Identifier: Apache-2.0
//
// From kernel IR to a oneDNN problem. The contraction or pool is found by its form; what follows it
// is taken apart from the result backwards into post-operations. A function of one value is
// recognised by what it computes, at sample points, so that every way to write an activation is
// the same activation.
#include <float.h>
#include <math.h>
#include <oneapi/dnnl/dnnl.h>
#include <string.h>

#include "core/base/scalar_math.h"
#include "core/base/status.h"
#include "core/kernel_ir/contraction.h"
#include "core/kernel_ir/fuse.h"
#include "plugins/cpu_onednn/onednn_problem.h"

#define MAX_FUNCTION 40u  // instructions of one activation
#define SAMPLES 41

typedef struct matcher_s {
  const trivet_region_t* region;
  tvi_kir_program_t* program;
  onednn_match_t* match;
  const tvi_kir_stage_t* tail;           // the MAP stage behind the contraction; NULL: none
  uint32_t core_value;                   // what the contraction writes
  uint8_t result_dims[TRIVET_MAX_RANK];  // dimension of the region's result for each of the
                                         // primitive's
  const char* reason;
} matcher_t;

static bool decline(matcher_t* m, const char* reason) {
  if (!m->reason) m->reason = reason;
  return false;
}

// Operand of the region that holds the graph value of a program's value.
static bool region_operand(const matcher_t* m, uint32_t value, bool output, uint32_t* out_index) {
  uint32_t count = m->region->input_count + m->region->output_count;
  for (uint32_t i = 0; i < count; ++i) {
    const tvi_region_operand_t* operand = &m->region->operands[i];
    if (operand->value == m->program->values[value].tag && operand->is_output == output) {
      *out_index = i;
      return true;
    }
  }
  return false;
}

static const tvi_kir_instr_t* tail_instr(const matcher_t* m, tvi_kir_ref_t ref) {
  return &m->tail->instrs[ref];
}

static bool is_core_load(const matcher_t* m, tvi_kir_ref_t ref) {
  const tvi_kir_instr_t* instr = tail_instr(m, ref);
  return instr->opcode == TVI_KIR_LOAD && instr->imm.load->value == m->core_value;
}

// Does the value at |ref| depend on what the contraction computed?
static bool depends(const matcher_t* m, tvi_kir_ref_t ref, uint8_t* memo) {
  if (memo[ref]) return memo[ref] == 2;
  bool found = is_core_load(m, ref);
  const tvi_kir_instr_t* instr = tail_instr(m, ref);
  uint32_t operands = tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
  for (uint32_t a = 0; a < operands && !found; ++a) found = depends(m, instr->args[a], memo);
  memo[ref] = found ? 2 : 1;
  return found;
}

static tvi_kir_ref_t skip_casts(const matcher_t* m, tvi_kir_ref_t ref) {
  while (tail_instr(m, ref)->opcode == TVI_KIR_CAST &&
         tail_instr(m, ref)->dtype == TRIVET_DTYPE_F32 &&
         tail_instr(m, tail_instr(m, ref)->args[0])->dtype == TRIVET_DTYPE_F32) {
    ref = tail_instr(m, ref)->args[0];
  }
  return ref;
}

// --- Functions of one value -------------------------------------------------------------

// Value of |ref| when |variable| is x. False: it depends on something else.
static bool evaluate(const matcher_t* m, tvi_kir_ref_t ref, tvi_kir_ref_t variable, double x,
                     uint32_t* budget, double* out) {
  if (ref == variable) {
    *out = x;
    return true;
  }
  if (*budget == 0) return false;
  --*budget;
  const tvi_kir_instr_t* instr = tail_instr(m, ref);
  double v[3] = {0, 0, 0};
  uint32_t operands = tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode);
  for (uint32_t a = 0; a < operands; ++a) {
    if (!evaluate(m, instr->args[a], variable, x, budget, &v[a])) return false;
  }
  bool integer = instr->dtype != TRIVET_DTYPE_F32 && instr->dtype != TRIVET_DTYPE_BOOL;
  if (integer) return false;
  switch (instr->opcode) {
    case TVI_KIR_CONST:
      *out = instr->dtype == TRIVET_DTYPE_BOOL ? (double)instr->imm.i64 : instr->imm.f64;
      return true;
    case TVI_KIR_CAST:
      *out = v[0];
      return true;
    case TVI_KIR_ADD:
      *out = v[0] + v[1];
      return true;
    case TVI_KIR_SUB:
      *out = v[0] - v[1];
      return true;
    case TVI_KIR_MUL:
      *out = v[0] * v[1];
      return true;
    case TVI_KIR_DIV:
      *out = v[0] / v[1];
      return true;
    case TVI_KIR_FMA:
      *out = v[0] * v[1] + v[2];
      return true;
    case TVI_KIR_MIN:
      *out = v[0] < v[1] ? v[0] : v[1];
      return true;
    case TVI_KIR_MAX:
      *out = v[0] > v[1] ? v[0] : v[1];
      return true;
    case TVI_KIR_NEG:
      *out = -v[0];
      return true;
    case TVI_KIR_ABS:
      *out = v[0] < 0 ? -v[0] : v[0];
      return true;
    case TVI_KIR_RECIP:
      *out = 1 / v[0];
      return true;
    case TVI_KIR_EXP:
      *out = tvi_math_exp(v[0]);
      return true;
    case TVI_KIR_EXPM1:
      *out = tvi_math_expm1(v[0]);
      return true;
    case TVI_KIR_LOG1P:
      *out = tvi_math_log1p(v[0]);
      return true;
    case TVI_KIR_TANH:
      *out = tvi_math_tanh(v[0]);
      return true;
    case TVI_KIR_ERF:
      *out = tvi_math_erf(v[0]);
      return true;
    case TVI_KIR_SIGMOID:
      *out = 1 / (1 + tvi_math_exp(-v[0]));
      return true;
    case TVI_KIR_LT:
      *out = v[0] < v[1];
      return true;
    case TVI_KIR_LE:
      *out = v[0] <= v[1];
      return true;
    case TVI_KIR_GT:
      *out = v[0] > v[1];
      return true;
    case TVI_KIR_GE:
      *out = v[0] >= v[1];
      return true;
    case TVI_KIR_SELECT:
      *out = v[0] != 0 ? v[1] : v[2];
      return true;
    default:
      return false;
  }
}

static double sample_point(int i) {
  const int zero = SAMPLES / 2;
  return (i - zero) * 0.371;  // -7.42 .. 7.42, 0 included
}

static double reference(uint32_t alg, double alpha, double beta, double x) {
  switch (alg) {
    case dnnl_eltwise_relu:
      return x > 0 ? x : alpha * x;
    case dnnl_eltwise_linear:
      return alpha * x + beta;
    case dnnl_eltwise_clip:
      return x < alpha ? alpha : x > beta ? beta : x;
    case dnnl_eltwise_logistic:
      return 1 / (1 + tvi_math_exp(-x));
    case dnnl_eltwise_tanh:
      return tvi_math_tanh(x);
    case dnnl_eltwise_swish:
      return x / (1 + tvi_math_exp(-alpha * x));
    case dnnl_eltwise_gelu_erf:
      return 0.5 * x * (1 + tvi_math_erf(x * 0.70710678118654752440));
    case dnnl_eltwise_hardswish: {
      double t = x / 6 + 0.5;
      return x * (t < 0 ? 0 : t > 1 ? 1 : t);
    }
    case dnnl_eltwise_elu:
      return x > 0 ? x : alpha * tvi_math_expm1(x);
    case dnnl_eltwise_abs:
      return x < 0 ? -x : x;
    default:
      return NAN;
  }
}

static bool same_function(const double* values, uint32_t alg, double alpha, double beta) {
  for (int i = 0; i < SAMPLES; ++i) {
    double want = reference(alg, alpha, beta, sample_point(i));
    double difference = values[i] - want;
    if (!(difference < 2e-7 && difference > -2e-7)) return false;
  }
  return true;
}

// Which activation has these values at the sample points.
static bool classify(const double* values, onednn_postop_t* out) {
  // oneDNN's tanh form of gelu is ten times less exact than the others: tiles compute it.
  static const uint32_t plain[] = {dnnl_eltwise_logistic, dnnl_eltwise_tanh, dnnl_eltwise_gelu_erf,
                                   dnnl_eltwise_hardswish, dnnl_eltwise_abs};
  memset(out, 0, sizeof(*out));
  out->kind = ONEDNN_POST_ELTWISE;
  for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); ++i) {
    if (!same_function(values, plain[i], 0, 0)) continue;
    out->alg = plain[i];
    return true;
  }
  double zero = values[SAMPLES / 2], low = values[0], high = values[SAMPLES - 1];
  double last = sample_point(SAMPLES - 1);
  double slope = (high - zero) / last;
  struct {
    uint32_t alg;
    double alpha, beta;
  } tries[] = {{dnnl_eltwise_relu, -low / last, 0},
               {dnnl_eltwise_linear, slope, zero},
               {dnnl_eltwise_swish, 1, 0},
               {dnnl_eltwise_elu, 1, 0},
               {dnnl_eltwise_clip, low, high}};
  for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); ++i) {
    if (!same_function(values, tries[i].alg, tries[i].alpha, tries[i].beta)) continue;
    // Limits beyond the last sample look like none; the constants say more, see read_clip.
    if (tries[i].alg == dnnl_eltwise_relu && tries[i].alpha > 0.9999) continue;
    out->alg = tries[i].alg;
    out->alpha = (float)tries[i].alpha;
    out->beta = (float)tries[i].beta;
    return true;
  }
  return false;
}

// min and max with constants, exactly: sample points cannot see limits that lie beyond them.
static bool read_clip(const matcher_t* m, tvi_kir_ref_t ref, tvi_kir_ref_t* out_variable,
                      onednn_postop_t* out) {
  double low = -(double)FLT_MAX, high = (double)FLT_MAX;
  bool any = false;
  for (;;) {
    const tvi_kir_instr_t* instr = tail_instr(m, ref);
    if (instr->opcode != TVI_KIR_MIN && instr->opcode != TVI_KIR_MAX) break;
    const tvi_kir_instr_t *a = tail_instr(m, instr->args[0]), *b = tail_instr(m, instr->args[1]);
    bool first = a->opcode == TVI_KIR_CONST;
    if (!first && b->opcode != TVI_KIR_CONST) break;
    double limit = first ? a->imm.f64 : b->imm.f64;
    // From the outside inwards: an outer limit holds whatever the inner one does.
    if (instr->opcode == TVI_KIR_MIN) {
      if (limit < high) high = limit;
      if (low > high) return false;
    } else {
      if (limit > low) low = limit;
      if (low > high) return false;
    }
    ref = skip_casts(m, first ? instr->args[1] : instr->args[0]);
    any = true;
  }
  if (!any) return false;
  *out_variable = ref;
  memset(out, 0, sizeof(*out));
  out->kind = ONEDNN_POST_ELTWISE;
  if (low == 0 && high == (double)FLT_MAX) {
    out->alg = dnnl_eltwise_relu;
    return true;
  }
  out->alg = dnnl_eltwise_clip;
  out->alpha = (float)low;
  out->beta = (float)high;
  return true;
}

// The activation that ends at |ref|, and the value that it is applied to: the nearest one behind
// which nothing but constants remains and that is a known function.
static bool read_function(const matcher_t* m, tvi_kir_ref_t ref, const uint8_t* memo,
                          tvi_kir_ref_t* out_variable, onednn_postop_t* out) {
  if (read_clip(m, ref, out_variable, out)) return true;
  for (tvi_kir_ref_t candidate = ref; candidate-- > 0;) {
    if (memo[candidate] != 2 || tail_instr(m, candidate)->dtype != TRIVET_DTYPE_F32) continue;
    double values[SAMPLES];
    bool closed = true;
    for (int i = 0; i < SAMPLES && closed; ++i) {
      uint32_t budget = MAX_FUNCTION;
      closed = evaluate(m, ref, candidate, sample_point(i), &budget, &values[i]);
    }
    if (closed && classify(values, out)) {
      *out_variable = candidate;
      return true;
    }
  }
  return false;
}

// --- Post-operations --------------------------------------------------------------------

// A load of another operand at positions of the result: which dimension of it follows which of the
// primitive's.
static bool read_operand(matcher_t* m, tvi_kir_ref_t ref, onednn_postop_t* out) {
  const tvi_kir_instr_t* instr = tail_instr(m, ref);
  if (instr->opcode != TVI_KIR_LOAD || instr->dtype != TRIVET_DTYPE_F32) {
    return decline(m, "an operand of the epilogue is not a plain f32 value");
  }
  const tvi_kir_load_t* load = instr->imm.load;
  if (load->bounds != TVI_KIR_BOUNDS_PROVEN) return decline(m, "an operand is padded");
  memset(out->dims, ONEDNN_NONE, sizeof(out->dims));
  for (uint32_t d = 0; d < load->index_count; ++d) {
    const tvi_kir_instr_t* index = tail_instr(m, load->indices[d]);
    if (index->opcode == TVI_KIR_CONST && index->imm.i64 == 0) continue;
    if (tvi_dim_equals_constant(m->program->values[load->value].dims[d], 1)) continue;
    if (index->opcode != TVI_KIR_INDEX) return decline(m, "an operand is read at other positions");
    bool found = false;
    for (uint32_t p = 0; p < m->match->problem.rank; ++p) {
      if (m->result_dims[p] != (uint8_t)index->imm.i64) continue;
      if (out->dims[p] != ONEDNN_NONE) return decline(m, "an operand is read on a diagonal");
      out->dims[p] = (uint8_t)d;
      found = true;
    }
    if (!found) return decline(m, "an operand is read at other positions");
  }
  uint32_t operand = 0;
  if (!region_operand(m, load->value, false, &operand)) {
    return decline(m, "an operand is no input of the region");
  }
  out->operand = m->match->problem.operand_count;
  m->match->region_operands[m->match->problem.operand_count++] = operand;
  return true;
}

// An operation with one constant number is a linear function.
static bool read_scalar(const matcher_t* m, const tvi_kir_instr_t* load, uint16_t opcode,
                        onednn_postop_t* out) {
  uint32_t id = m->program->values[load->imm.load->value].tag;
  const tvi_value_t* value = tvi_graph_value(m->region->graph, id);
  float number = 0;
  if (!value->constant || !value->constant->data || value->constant->size != sizeof(number) ||
      value->type.dtype != TRIVET_DTYPE_F32) {
    return false;
  }
  memcpy(&number, value->constant->data, sizeof(number));
  out->kind = ONEDNN_POST_ELTWISE;
  out->alg = dnnl_eltwise_linear;
  out->alpha = 1;
  switch (opcode) {
    case TVI_KIR_ADD:
      out->beta = number;
      return true;
    case TVI_KIR_SUB:
      out->beta = -number;
      return true;
    case TVI_KIR_MUL:
      out->alpha = number;
      return true;
    default:
      return false;
  }
}

static bool read_binary(matcher_t* m, const tvi_kir_instr_t* instr, uint8_t* memo,
                        onednn_postop_t* out, tvi_kir_ref_t* out_next) {
  uint32_t alg;
  switch (instr->opcode) {
    case TVI_KIR_ADD:
      alg = dnnl_binary_add;
      break;
    case TVI_KIR_MUL:
      alg = dnnl_binary_mul;
      break;
    case TVI_KIR_SUB:
      alg = dnnl_binary_sub;
      break;
    case TVI_KIR_DIV:
      alg = dnnl_binary_div;
      break;
    case TVI_KIR_MAX:
      alg = dnnl_binary_max;
      break;
    case TVI_KIR_MIN:
      alg = dnnl_binary_min;
      break;
    default:
      return false;
  }
  tvi_kir_ref_t a = skip_casts(m, instr->args[0]), b = skip_casts(m, instr->args[1]);
  bool left = depends(m, a, memo), right = depends(m, b, memo);
  if (left == right) return false;
  if (!left && (instr->opcode == TVI_KIR_SUB || instr->opcode == TVI_KIR_DIV)) return false;
  tvi_kir_ref_t other = left ? b : a;
  if (tail_instr(m, other)->opcode != TVI_KIR_LOAD) return false;
  memset(out, 0, sizeof(*out));
  *out_next = left ? a : b;
  if (read_scalar(m, tail_instr(m, other), instr->opcode, out)) return true;
  out->kind = ONEDNN_POST_BINARY;
  out->alg = alg;
  return read_operand(m, other, out);
}

// A per-channel (or per-column) addition right behind the sum is the bias of the primitive.
static void find_bias(onednn_problem_t* problem, uint32_t channel) {
  if (!problem->postop_count || problem->kind == ONEDNN_POOL) return;
  onednn_postop_t* first = &problem->postops[0];
  if (first->kind != ONEDNN_POST_BINARY || first->alg != dnnl_binary_add) return;
  for (uint32_t p = 0; p < problem->rank; ++p) {
    if ((first->dims[p] != ONEDNN_NONE) != (p == channel)) return;
  }
  first->kind = ONEDNN_POST_BIAS;
}

// Appends |postop|; a linear function of a linear function is one.
static void append_postop(onednn_problem_t* problem, const onednn_postop_t* postop) {
  onednn_postop_t* last =
      problem->postop_count ? &problem->postops[problem->postop_count - 1] : NULL;
  if (last && last->kind == ONEDNN_POST_ELTWISE && last->alg == dnnl_eltwise_linear &&
      postop->kind == ONEDNN_POST_ELTWISE && postop->alg == dnnl_eltwise_linear) {
    last->beta = (float)((double)postop->alpha * last->beta + postop->beta);
    last->alpha = (float)((double)postop->alpha * last->alpha);
    return;
  }
  problem->postops[problem->postop_count++] = *postop;
}

// oneDNN 2.6 keeps one set of constants per kind of eltwise function in its generated kernels: of
// two linear functions in one epilogue both get the constants of the same one.
static bool repeats_function(const onednn_problem_t* problem) {
  for (uint32_t i = 0; i < problem->postop_count; ++i) {
    const onednn_postop_t* a = &problem->postops[i];
    for (uint32_t k = 0; k < i; ++k) {
      const onednn_postop_t* b = &problem->postops[k];
      if (a->kind != ONEDNN_POST_ELTWISE || b->kind != a->kind || b->alg != a->alg) continue;
      if (a->alpha != b->alpha || a->beta != b->beta) return true;
    }
  }
  return false;
}

// An operand that differs from pixel to pixel, but not from channel to channel: the convolutions
// that go through matrix products read it at wrong places.
static bool varies_by_pixel_only(const onednn_problem_t* problem) {
  if (problem->kind != ONEDNN_CONVOLUTION && problem->kind != ONEDNN_DECONVOLUTION) return false;
  for (uint32_t i = 0; i < problem->postop_count; ++i) {
    const onednn_postop_t* postop = &problem->postops[i];
    if (postop->kind != ONEDNN_POST_BINARY) continue;
    uint32_t spatial = 0;
    for (uint32_t p = 2; p < problem->rank; ++p) spatial += postop->dims[p] != ONEDNN_NONE;
    bool full = postop->dims[1] != ONEDNN_NONE && spatial + 2 == problem->rank;
    if (spatial != 0 && !full) return true;
  }
  return false;
}

static bool read_tail(matcher_t* m, tvi_arena_t* arena) {
  onednn_problem_t* problem = &m->match->problem;
  if (!m->tail) return true;
  uint8_t* memo = NULL;
  trivet_status_t status = tvi_arena_alloc_array_zeroed(arena, m->tail->instr_count + 1, 1, &memo);
  if (status) {
    trivet_status_free(status);
    return decline(m, "out of memory");
  }
  onednn_postop_t reversed[ONEDNN_MAX_POSTOPS];
  uint32_t count = 0;
  tvi_kir_ref_t at = skip_casts(m, m->tail->results[0]);
  if (!depends(m, at, memo)) return decline(m, "the result does not depend on the sum");
  while (!is_core_load(m, at)) {
    if (count == ONEDNN_MAX_POSTOPS) return decline(m, "more than 8 post-operations");
    const tvi_kir_instr_t* instr = tail_instr(m, at);
    onednn_postop_t postop;
    tvi_kir_ref_t next = at;
    for (tvi_kir_ref_t r = 0; r <= at; ++r) depends(m, r, memo);
    if (!read_binary(m, instr, memo, &postop, &next)) {
      if (m->reason) return false;
      if (!read_function(m, at, memo, &next, &postop)) {
        return decline(m, "the epilogue holds a function that oneDNN has not");
      }
    }
    reversed[count++] = postop;
    at = skip_casts(m, next);
  }
  const tvi_kir_load_t* core = tail_instr(m, at)->imm.load;
  for (uint32_t d = 0; d < core->index_count; ++d) {
    const tvi_kir_instr_t* index = tail_instr(m, core->indices[d]);
    bool same = index->opcode == TVI_KIR_INDEX && index->imm.i64 == d;
    if (!same && !tvi_dim_equals_constant(m->tail->extents[d], 1)) {
      return decline(m, "the sum is read in another order");
    }
  }
  for (uint32_t i = count; i-- > 0;) append_postop(problem, &reversed[i]);
  if (varies_by_pixel_only(problem)) {
    return decline(m, "an operand of the epilogue has pixels, but no channels");
  }
  return !repeats_function(problem) ||
         decline(m, "two functions of one kind, which oneDNN gives the constants of one of them");
}

// --- The contraction itself -------------------------------------------------------------

static bool constant_dim(trivet_dim_t dim, int64_t* out) {
  return dim && tvi_dim_is_constant(dim, out);
}

static bool read_convolution(matcher_t* m, const tvi_kir_convolution_t* c) {
  onednn_problem_t* p = &m->match->problem;
  p->kind = c->transposed ? ONEDNN_DECONVOLUTION : ONEDNN_CONVOLUTION;
  p->rank = c->spatial_rank + 2;
  if (c->x.dtype != TRIVET_DTYPE_F32 || c->weight.dtype != TRIVET_DTYPE_F32 ||
      c->accumulate_dtype != TRIVET_DTYPE_F32) {
    return decline(m, "types other than f32");
  }
  if (!constant_dim(c->groups, &p->groups)) return decline(m, "groups are not constant");
  if (c->out_batch_dim == ONEDNN_NONE || c->out_channel_dim == ONEDNN_NONE) {
    return decline(m, "no batch or channel dimension");
  }
  p->x_dims[0] = c->x_batch_dim;
  p->x_dims[1] = c->x_channel_dim;
  p->w_dims[0] = c->weight_output_dim;
  p->w_dims[1] = c->weight_input_dim;
  p->y_dims[0] = c->out_batch_dim;
  p->y_dims[1] = c->out_channel_dim;
  for (uint32_t s = 0; s < c->spatial_rank; ++s) {
    p->strides[s] = c->strides[s];
    p->dilations[s] = c->dilations[s];
    if (!constant_dim(c->pads[s], &p->pads[s]) || !constant_dim(c->window[s], &p->window[s])) {
      return decline(m, "pads or window depend on shapes");
    }
    if (p->pads[s] < 0) return decline(m, "negative pads");
    if (c->out_spatial_dims[s] == ONEDNN_NONE) return decline(m, "a spatial dimension is missing");
    p->x_dims[2 + s] = c->x_spatial_dims[s];
    p->w_dims[2 + s] = c->weight_spatial_dims[s];
    p->y_dims[2 + s] = c->out_spatial_dims[s];
  }
  memcpy(m->result_dims, p->y_dims, sizeof(m->result_dims));
  p->operand_count = 2;
  return (region_operand(m, c->x.value, false, &m->match->region_operands[0]) &&
          region_operand(m, c->weight.value, false, &m->match->region_operands[1])) ||
         decline(m, "an operand of the convolution is computed inside the region");
}

// A product whose columns are no last dimension of the result is a convolution with a window of
// one: out[n, oc, o...] = sum over ic of x[n, ic, o...] * w[oc, ic].
static bool is_pointwise(const tvi_kir_matmul_t* c, const tvi_kir_value_t* result) {
  const tvi_kir_roles_t* r = &c->roles;
  if (r->batch_count != 0 || r->n_count != 1 || r->k_count != 1) return false;
  if (result->rank < 3 || result->rank > 5 || r->n[0] + 1u == result->rank) return false;
  return r->m_count + 1 == result->rank && r->n[0] != 0;
}

static bool read_pointwise(matcher_t* m, const tvi_kir_matmul_t* c, const tvi_kir_value_t* result) {
  onednn_problem_t* p = &m->match->problem;
  uint8_t channel = c->roles.n[0];
  p->kind = ONEDNN_CONVOLUTION;
  p->rank = result->rank;
  p->groups = 1;
  p->x_dims[1] = c->a.dim_of_index[c->roles.k[0]];
  p->w_dims[0] = c->b.dim_of_index[channel];
  p->w_dims[1] = c->b.dim_of_index[c->roles.k[0]];
  p->y_dims[1] = channel;
  uint32_t at = 0;
  for (uint8_t d = 0; d < result->rank; ++d) {
    if (d == channel) continue;
    uint32_t to = at == 0 ? 0 : at + 1;  // batch, then spatial dimensions behind the channel
    p->x_dims[to] = c->a.dim_of_index[d];
    p->y_dims[to] = d;
    ++at;
  }
  for (uint32_t s = 0; s + 2 < p->rank; ++s) {
    p->strides[s] = p->dilations[s] = p->window[s] = 1;
    p->w_dims[2 + s] = ONEDNN_NONE;
  }
  memcpy(m->result_dims, p->y_dims, sizeof(m->result_dims));
  p->operand_count = 2;
  return (region_operand(m, c->a.value, false, &m->match->region_operands[0]) &&
          region_operand(m, c->b.value, false, &m->match->region_operands[1])) ||
         decline(m, "an operand of the convolution is computed inside the region");
}

static bool read_matmul(matcher_t* m, const tvi_kir_matmul_t* c) {
  onednn_problem_t* p = &m->match->problem;
  const tvi_kir_roles_t* r = &c->roles;
  p->kind = ONEDNN_MATMUL;
  if (c->a.dtype != TRIVET_DTYPE_F32 || c->b.dtype != TRIVET_DTYPE_F32 ||
      c->accumulate_dtype != TRIVET_DTYPE_F32) {
    return decline(m, "types other than f32");
  }
  if (r->k_count == 0) return decline(m, "no summed dimension");
  const tvi_kir_value_t* result = &m->program->values[m->core_value];
  if (is_pointwise(c, result)) return read_pointwise(m, c, result);
  p->batch_count = r->batch_count;
  p->m_count = r->m_count;
  p->n_count = r->n_count;
  p->k_count = r->k_count;
  // The primitive sees batch dimensions one by one and m, n, k as one dimension each.
  p->rank = r->batch_count + 2;
  if (p->rank > TRIVET_MAX_RANK) return decline(m, "too many dimensions");
  uint32_t at = 0;
  const uint8_t* lists[4] = {r->batch, r->m, r->n, r->k};
  uint32_t counts[4] = {r->batch_count, r->m_count, r->n_count, r->k_count};
  memset(m->result_dims, ONEDNN_NONE, sizeof(m->result_dims));
  for (uint32_t role = 0; role < 4; ++role) {
    for (uint32_t i = 0; i < counts[role]; ++i, ++at) {
      uint8_t index = lists[role][i];
      p->a_role[at] = c->a.dim_of_index[index];
      p->b_role[at] = c->b.dim_of_index[index];
      p->c_role[at] = role == 3 ? ONEDNN_NONE : index;
      if (role == 0) m->result_dims[i] = index;
      // Operands of the epilogue may follow a role of one dimension, or the last of several; then
      // the others must be broadcast or collapse, which the run half checks.
      if (role == 1 && r->m_count == 1) m->result_dims[r->batch_count] = index;
      if (role == 2 && r->n_count == 1) m->result_dims[r->batch_count + 1] = index;
    }
  }
  p->operand_count = 2;
  return (region_operand(m, c->a.value, false, &m->match->region_operands[0]) &&
          region_operand(m, c->b.value, false, &m->match->region_operands[1])) ||
         decline(m, "an operand of the product is computed inside the region");
}

static bool read_pool(matcher_t* m, const tvi_kir_pool_t* c) {
  onednn_problem_t* p = &m->match->problem;
  const tvi_kir_value_t* x = &m->program->values[c->value];
  p->kind = ONEDNN_POOL;
  p->rank = c->spatial_rank + 2;
  p->groups = 1;
  if (x->dtype != TRIVET_DTYPE_F32) return decline(m, "types other than f32");
  if (x->rank != p->rank) return decline(m, "not batch, channel and spatial dimensions");
  p->pool_alg = c->kind == TVI_KIR_POOL_MAX ? dnnl_pooling_max : dnnl_pooling_avg_include_padding;
  uint32_t next = 0;
  for (uint32_t d = 0; d < x->rank; ++d) {
    bool spatial = false;
    for (uint32_t s = 0; s < c->spatial_rank; ++s) spatial = spatial || c->spatial_dims[s] == d;
    if (!spatial && next < 2) p->x_dims[next++] = (uint8_t)d;
  }
  for (uint32_t s = 0; s < c->spatial_rank; ++s) {
    p->x_dims[2 + s] = c->spatial_dims[s];
    p->strides[s] = c->strides[s];
    p->dilations[s] = c->dilations[s];
    if (!constant_dim(c->pads[s], &p->pads[s]) || !constant_dim(c->window[s], &p->window[s])) {
      return decline(m, "pads or window depend on shapes");
    }
    if (p->pads[s] < 0 || p->pads[s] >= p->window[s]) return decline(m, "pads beyond the window");
  }
  memcpy(p->y_dims, p->x_dims, sizeof(p->y_dims));
  memcpy(m->result_dims, p->y_dims, sizeof(m->result_dims));
  p->operand_count = 2;
  m->match->region_operands[1] = TVI_KIR_NONE;
  return region_operand(m, c->value, false, &m->match->region_operands[0]) ||
         decline(m, "the operand of the pool is computed inside the region");
}

// oneDNN averages, the program sums: the division has to follow, by the size of the window.
static bool absorb_division(matcher_t* m) {
  onednn_problem_t* p = &m->match->problem;
  if (p->kind != ONEDNN_POOL || p->pool_alg == dnnl_pooling_max) return true;
  double size = 1;
  for (uint32_t s = 0; s + 2 < p->rank; ++s) size *= (double)p->window[s];
  if (!p->postop_count || p->postops[0].kind != ONEDNN_POST_ELTWISE ||
      p->postops[0].alg != dnnl_eltwise_linear || p->postops[0].beta != 0) {
    return decline(m, "a sum over windows that is not divided by their size");
  }
  double error = (double)p->postops[0].alpha * size - 1;
  if (!(error < 1e-6 && error > -1e-6)) return decline(m, "an average that leaves out the pads");
  if (size > 32) return decline(m, "an average of many, which oneDNN sums in one chain");
  --p->postop_count;
  memmove(p->postops, p->postops + 1, p->postop_count * sizeof(p->postops[0]));
  return true;
}

static bool read_core(matcher_t* m, uint32_t stage) {
  const char* reason = NULL;
  tvi_kir_convolution_t convolution;
  tvi_kir_matmul_t matmul;
  tvi_kir_pool_t pool;
  if (tvi_kir_match_matmul(m->program, stage, &matmul, &reason)) return read_matmul(m, &matmul);
  if (tvi_kir_match_convolution(m->program, stage, &convolution, &reason)) {
    return read_convolution(m, &convolution);
  }
  if (tvi_kir_match_pool(m->program, stage, &pool, &reason)) return read_pool(m, &pool);
  return decline(m, reason ? reason : "neither a contraction nor a pool");
}

// Inlines what lies between, so that one reduction and at most one elementwise stage remain.
static trivet_status_t reduce_to_two(matcher_t* m) {
  tvi_kir_program_t* program = m->program;
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    const tvi_kir_stage_t* stage = &program->stages[s];
    if (stage->kind != TVI_KIR_MAP) continue;
    bool temporary = program->values[stage->values[0]].kind == TVI_KIR_TEMP;
    if (!temporary || !tvi_kir_can_inline_stage(program, s)) continue;
    TRIVET_RETURN_IF_ERROR(tvi_kir_inline_stage(program, s));
  }
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_drop_dead(program, true, NULL));
  TRIVET_RETURN_IF_ERROR(tvi_kir_simplify(program));
  return tvi_kir_program_drop_dead(program, true, NULL);
}

trivet_status_t onednn_match_region(const trivet_region_t* region, tvi_arena_t* arena,
                                    onednn_match_t* out_match, const char** out_reason) {
  matcher_t m;
  memset(&m, 0, sizeof(m));
  *out_reason = NULL;
  memset(out_match, 0, sizeof(*out_match));
  m.region = region;
  m.match = out_match;
  onednn_problem_t* p = &out_match->problem;
  memset(p->x_dims, ONEDNN_NONE, sizeof(p->x_dims));
  memset(p->w_dims, ONEDNN_NONE, sizeof(p->w_dims));
  memset(p->y_dims, ONEDNN_NONE, sizeof(p->y_dims));
  memset(p->a_role, ONEDNN_NONE, sizeof(p->a_role));
  memset(p->b_role, ONEDNN_NONE, sizeof(p->b_role));
  memset(p->c_role, ONEDNN_NONE, sizeof(p->c_role));
  p->magic = ONEDNN_MAGIC;
  p->version = ONEDNN_VERSION;
  if (!region->program || region->output_count != 1) {
    *out_reason = "not one result";
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_clone(region->program, arena, &m.program));
  TRIVET_RETURN_IF_ERROR(reduce_to_two(&m));
  if (m.program->stage_count < 1 || m.program->stage_count > 2) {
    *out_reason = "more than a contraction and what follows it";
    return TRIVET_OK;
  }
  const tvi_kir_stage_t* core = &m.program->stages[0];
  m.tail = m.program->stage_count == 2 ? &m.program->stages[1] : NULL;
  m.core_value = core->values[0];
  if (core->kind != TVI_KIR_REDUCE || core->result_count != 1 ||
      (m.tail && (m.tail->kind != TVI_KIR_MAP || m.tail->result_count != 1))) {
    *out_reason = "not a reduction followed by an elementwise stage";
    return TRIVET_OK;
  }
  const tvi_kir_value_t* result = &m.program->values[m.tail ? m.tail->values[0] : core->values[0]];
  uint32_t operand = 0;
  bool ok = result->dtype == TRIVET_DTYPE_F32 || decline(&m, "types other than f32");
  ok = ok && read_core(&m, 0) && read_tail(&m, arena) && absorb_division(&m);
  ok = ok && region_operand(&m, m.tail ? m.tail->values[0] : core->values[0], true, &operand);
  if (!ok) {
    *out_reason = m.reason ? m.reason : "the result is no output of the region";
    return TRIVET_OK;
  }
  find_bias(p, p->kind == ONEDNN_MATMUL ? p->rank - 1 : 1);
  out_match->region_operands[p->operand_count++] = operand;
  return TRIVET_OK;
}
