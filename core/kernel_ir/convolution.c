// SPDX-License-Identifier: Apache-2.0
//
// Recognises convolutions, deconvolutions and pools. A layout (which dimension is batch, channel,
// window) is a hypothesis; the index expressions of both loads then either are exactly those of a
// convolution in that layout, or are not.
#include <string.h>

#include "core/base/dtype.h"
#include "core/kernel_ir/affine.h"
#include "core/kernel_ir/contraction.h"
#include "core/kernel_ir/contraction_internal.h"

#define NONE TVI_KIR_NO_DIM

typedef struct {
  const tvi_kir_program_t* program;
  const tvi_kir_stage_t* stage;
  tvi_dim_context_t* dims;
  const tvi_kir_load_t* x;
  const tvi_kir_load_t* w;
  tvi_kir_ref_t condition;  // of a deconvolution: which positions receive anything; TVI_KIR_NONE
} form_t;

// constant + sum of coefficients[i] * index i, and at most one quotient (index / divisor).
typedef struct {
  trivet_dim_t constant;
  trivet_dim_t coefficients[TVI_KIR_MAX_INDICES];  // NULL: 0
  trivet_dim_t quotient_factor;                    // NULL: none
  tvi_kir_ref_t quotient_of;
  trivet_dim_t quotient_by;
  uint32_t terms;
} index_form_t;

static bool read_linear(const form_t* f, const tvi_kir_linear_t* linear, index_form_t* out) {
  memset(out, 0, sizeof(*out));
  out->constant = linear->constant;
  out->terms = linear->term_count;
  for (uint32_t t = 0; t < linear->term_count; ++t) {
    const tvi_kir_instr_t* atom = &f->stage->instrs[linear->terms[t].atom];
    if (atom->opcode == TVI_KIR_INDEX) {
      out->coefficients[atom->imm.i64] = linear->terms[t].coefficient;
      continue;
    }
    const tvi_kir_instr_t* divisor =
        atom->opcode == TVI_KIR_FLOORDIV ? &f->stage->instrs[atom->args[1]] : NULL;
    if (divisor == NULL || out->quotient_factor != NULL) return false;
    if (divisor->opcode == TVI_KIR_CONST) {
      out->quotient_by = tvi_dim_constant(f->dims, divisor->imm.i64);
    } else if (divisor->opcode == TVI_KIR_EXTENT) {
      out->quotient_by = divisor->imm.dim;
    } else {
      return false;
    }
    out->quotient_factor = linear->terms[t].coefficient;
    out->quotient_of = atom->args[0];
  }
  return out->constant != NULL;
}

static bool read_index(const form_t* f, tvi_kir_ref_t ref, index_form_t* out) {
  tvi_kir_linear_t linear;
  return tvi_kir_linear_form(f->program, f->stage, ref, &linear) && read_linear(f, &linear, out);
}

static bool is_zero(trivet_dim_t dim) { return tvi_dim_equals_constant(dim, 0); }

// Exactly the index |index|, or the only position where its extent is 1 (|index| may then be NONE).
static bool is_index(const form_t* f, const index_form_t* form, uint8_t index) {
  if (!is_zero(form->constant) || form->quotient_factor != NULL) return false;
  bool one = index == NONE || tvi_kir_is_one(f->stage->extents[index]);
  if (one) return form->terms == 0;
  return form->terms == 1 && form->coefficients[index] != NULL &&
         tvi_kir_is_one(form->coefficients[index]);
}

// The reduced index that a dimension of the weights walks; NONE where its extent is 1.
static bool weight_index(const form_t* f, uint8_t dim, uint8_t* out_index) {
  const tvi_kir_value_t* value = &f->program->values[f->w->value];
  if (!tvi_kir_plain_index(f->stage, f->w->indices[dim], out_index)) return false;
  if (*out_index == NONE) return tvi_kir_is_one(value->dims[dim]);
  return *out_index >= f->stage->parallel_count &&
         tvi_kir_same_extent(value->dims[dim], f->stage->extents[*out_index]);
}

static bool constant_of(trivet_dim_t dim, int64_t* out) {
  return dim != NULL && tvi_dim_is_constant(dim, out);
}

static trivet_dim_t mul(const form_t* f, trivet_dim_t a, trivet_dim_t b) {
  return tvi_dim_binary(f->dims, TRIVET_DIM_MUL, a, b);
}

// x position = o*stride + k*dilation - pad.
static bool match_spatial(const form_t* f, tvi_kir_convolution_t* c, uint32_t j, uint8_t o,
                          uint8_t k) {
  index_form_t form;
  if (!read_index(f, f->x->indices[c->x_spatial_dims[j]], &form)) return false;
  if (form.quotient_factor != NULL) return false;
  uint32_t expected = 0;
  c->strides[j] = c->dilations[j] = 1;
  if (form.coefficients[o] != NULL) {
    ++expected;
    if (!constant_of(form.coefficients[o], &c->strides[j]) || c->strides[j] < 1) return false;
  } else if (!tvi_kir_is_one(f->stage->extents[o])) {
    return false;
  }
  if (k != NONE) {
    if (form.coefficients[k] != NULL) {
      ++expected;
      if (!constant_of(form.coefficients[k], &c->dilations[j]) || c->dilations[j] < 1) return false;
    } else if (!tvi_kir_is_one(f->stage->extents[k])) {
      return false;
    }
  }
  if (form.terms != expected) return false;
  c->pads[j] = mul(f, form.constant, tvi_dim_constant(f->dims, -1));
  return c->pads[j] != NULL;
}

// Is the difference of two linear forms a multiple of |by|?
static bool congruent(const form_t* f, const tvi_kir_linear_t* a, const tvi_kir_linear_t* b,
                      trivet_dim_t by) {
  trivet_dim_t d = tvi_dim_binary(f->dims, TRIVET_DIM_SUB, a->constant, b->constant);
  if (!is_zero(tvi_dim_binary(f->dims, TRIVET_DIM_MOD, d, by))) return false;
  for (int side = 0; side < 2; ++side) {
    const tvi_kir_linear_t *from = side == 0 ? a : b, *to = side == 0 ? b : a;
    for (uint32_t i = 0; i < from->term_count; ++i) {
      d = from->terms[i].coefficient;
      for (uint32_t j = 0; j < to->term_count; ++j) {
        if (to->terms[j].atom == from->terms[i].atom) {
          d = tvi_dim_binary(f->dims, TRIVET_DIM_SUB, d, to->terms[j].coefficient);
        }
      }
      if (!is_zero(tvi_dim_binary(f->dims, TRIVET_DIM_MOD, d, by))) return false;
    }
  }
  return true;
}

// Does the condition demand that |by| divides |linear|?
static bool demands_multiple(const form_t* f, tvi_kir_ref_t ref, const tvi_kir_linear_t* linear,
                             trivet_dim_t by, uint32_t depth) {
  if (ref == TVI_KIR_NONE || depth == 0) return false;
  const tvi_kir_instr_t* instr = &f->stage->instrs[ref];
  if (instr->opcode == TVI_KIR_AND) {
    return demands_multiple(f, instr->args[0], linear, by, depth - 1) ||
           demands_multiple(f, instr->args[1], linear, by, depth - 1);
  }
  if (instr->opcode != TVI_KIR_EQ) return false;
  // The remainder may stand as itself or scaled, within a sum that is zero only where it is.
  for (int side = 0; side < 2; ++side) {
    const tvi_kir_instr_t* zero = &f->stage->instrs[instr->args[1 - side]];
    const tvi_kir_instr_t* mod = &f->stage->instrs[instr->args[side]];
    if (zero->opcode != TVI_KIR_CONST || zero->imm.i64 != 0) continue;
    if (mod->opcode != TVI_KIR_MOD && mod->opcode != TVI_KIR_REM) continue;
    const tvi_kir_instr_t* divisor = &f->stage->instrs[mod->args[1]];
    int64_t value;
    if (divisor->opcode != TVI_KIR_CONST || !tvi_dim_is_constant(by, &value) ||
        divisor->imm.i64 != value) {
      continue;
    }
    tvi_kir_linear_t tested;
    if (tvi_kir_linear_form(f->program, f->stage, mod->args[0], &tested) &&
        congruent(f, &tested, linear, by)) {
      return true;
    }
  }
  return false;
}

// x position = (o + pad - k*dilation) / stride, where the stride divides.
static bool match_transposed_spatial(const form_t* f, tvi_kir_convolution_t* c, uint32_t j,
                                     uint8_t o, uint8_t k) {
  tvi_kir_linear_t linear, scaled;
  tvi_dim_context_t* dims = f->dims;
  if (!tvi_kir_linear_form(f->program, f->stage, f->x->indices[c->x_spatial_dims[j]], &linear)) {
    return false;
  }
  index_form_t form;
  if (!read_linear(f, &linear, &form)) return false;
  c->strides[j] = c->dilations[j] = 1;
  if (form.quotient_factor != NULL) {
    // stride * position, the quotient replaced by what is divided.
    if (!tvi_kir_is_one(form.quotient_factor) || !constant_of(form.quotient_by, &c->strides[j]) ||
        c->strides[j] < 2 ||
        !tvi_kir_linear_form(f->program, f->stage, form.quotient_of, &scaled)) {
      return false;
    }
    trivet_dim_t stride = form.quotient_by;
    scaled.constant =
        tvi_dim_binary(dims, TRIVET_DIM_ADD, scaled.constant, mul(f, linear.constant, stride));
    for (uint32_t t = 0; t < linear.term_count; ++t) {
      const tvi_kir_term_t* term = &linear.terms[t];
      if (f->stage->instrs[term->atom].opcode != TVI_KIR_INDEX) continue;
      bool merged = false;
      for (uint32_t u = 0; u < scaled.term_count; ++u) {
        if (scaled.terms[u].atom != term->atom) continue;
        scaled.terms[u].coefficient = tvi_dim_binary(
            dims, TRIVET_DIM_ADD, scaled.terms[u].coefficient, mul(f, term->coefficient, stride));
        merged = true;
      }
      if (!merged) {
        if (scaled.term_count == TVI_KIR_MAX_TERMS) return false;
        scaled.terms[scaled.term_count].atom = term->atom;
        scaled.terms[scaled.term_count++].coefficient = mul(f, term->coefficient, stride);
      }
    }
    for (uint32_t u = 0; u < scaled.term_count; ++u) {
      if (scaled.terms[u].coefficient == NULL) return false;
    }
    if (scaled.constant == NULL || !demands_multiple(f, f->condition, &scaled, stride, 8)) {
      return false;
    }
    if (!read_linear(f, &scaled, &form) || form.quotient_factor != NULL) return false;
  }
  uint32_t expected = 0;
  if (form.coefficients[o] != NULL) {
    ++expected;
    if (!tvi_kir_is_one(form.coefficients[o])) return false;
  } else if (!tvi_kir_is_one(f->stage->extents[o])) {
    return false;
  }
  if (k != NONE && !tvi_kir_is_one(f->stage->extents[k])) {
    int64_t factor;
    if (!constant_of(form.coefficients[k], &factor) || factor >= 0) return false;
    c->dilations[j] = -factor;
    ++expected;
  }
  c->pads[j] = form.constant;
  return form.terms == expected;
}

static bool same_linear(const tvi_kir_linear_t* a, const tvi_kir_linear_t* b) {
  bool same = a->constant == b->constant && a->term_count == b->term_count;
  for (uint32_t t = 0; same && t < a->term_count; ++t) {
    same =
        a->terms[t].atom == b->terms[t].atom && a->terms[t].coefficient == b->terms[t].coefficient;
  }
  return same;
}

// Channels: x walks g*IC + ic where g = oc / (OC per group).
static bool match_channels(const form_t* f, tvi_kir_convolution_t* c, uint8_t oc, uint8_t ic) {
  const tvi_kir_value_t *x = &f->program->values[f->x->value],
                        *w = &f->program->values[f->w->value];
  trivet_dim_t total = f->stage->extents[oc];
  trivet_dim_t in_group = ic == NONE ? tvi_dim_constant(f->dims, 1) : f->stage->extents[ic];
  trivet_dim_t one = tvi_dim_constant(f->dims, 1);
  index_form_t form;
  if (!read_index(f, f->x->indices[c->x_channel_dim], &form) || !is_zero(form.constant)) {
    return false;
  }
  c->input_channels = x->dims[c->x_channel_dim];
  c->output_channels = total;
  uint32_t expected = 0;
  if (ic != NONE && !tvi_kir_is_one(f->stage->extents[ic])) {
    if (form.coefficients[ic] == NULL || !tvi_kir_is_one(form.coefficients[ic])) return false;
    ++expected;
  }
  trivet_dim_t per_group = total;  // output channels of one group
  c->groups = one;
  if (form.quotient_factor != NULL) {
    // The quotient must be that of the output channel alone.
    index_form_t divided;
    if (!read_index(f, form.quotient_of, &divided) || !is_index(f, &divided, oc)) return false;
    if (form.quotient_factor != in_group) return false;
    per_group = form.quotient_by;
    c->groups = tvi_dim_binary(f->dims, TRIVET_DIM_FLOORDIV, total, per_group);
    ++expected;
  } else if (form.coefficients[oc] != NULL) {
    // One output channel per group.
    if (form.coefficients[oc] != in_group) return false;
    per_group = one;
    c->groups = total;
    ++expected;
  }
  if (form.terms != expected || c->groups == NULL) return false;
  if (!tvi_kir_same_extent(mul(f, c->groups, in_group), c->input_channels)) return false;
  // The weights.
  tvi_kir_ref_t out_ref = f->w->indices[c->weight_output_dim];
  tvi_kir_ref_t in_ref = f->w->indices[c->weight_input_dim];
  if (c->transposed) {
    // [input channels of all groups, output channels of one group, window]
    tvi_kir_linear_t x_channel, w_channel;
    if (!tvi_kir_linear_form(f->program, f->stage, f->x->indices[c->x_channel_dim], &x_channel) ||
        !tvi_kir_linear_form(f->program, f->stage, in_ref, &w_channel) ||
        !same_linear(&x_channel, &w_channel)) {
      return false;
    }
    if (!tvi_kir_same_extent(w->dims[c->weight_input_dim], c->input_channels) ||
        !tvi_kir_same_extent(w->dims[c->weight_output_dim], per_group)) {
      return false;
    }
    if (tvi_kir_is_one(per_group)) {
      return read_index(f, out_ref, &form) && form.terms == 0 && is_zero(form.constant);
    }
    if (tvi_kir_is_one(c->groups)) return read_index(f, out_ref, &form) && is_index(f, &form, oc);
    const tvi_kir_instr_t* mod = &f->stage->instrs[out_ref];
    if (mod->opcode != TVI_KIR_MOD) return false;
    const tvi_kir_instr_t *index = &f->stage->instrs[mod->args[0]],
                          *divisor = &f->stage->instrs[mod->args[1]];
    int64_t value;
    return index->opcode == TVI_KIR_INDEX && index->imm.i64 == oc &&
           ((divisor->opcode == TVI_KIR_CONST && tvi_dim_is_constant(per_group, &value) &&
             divisor->imm.i64 == value) ||
            (divisor->opcode == TVI_KIR_EXTENT && divisor->imm.dim == per_group));
  }
  if (!read_index(f, out_ref, &form) || !is_index(f, &form, oc)) return false;
  return tvi_kir_same_extent(w->dims[c->weight_output_dim], total) &&
         tvi_kir_same_extent(w->dims[c->weight_input_dim], in_group);
}

static void other_dims(uint32_t rank, uint8_t first, uint8_t second, uint8_t* out) {
  for (uint32_t d = 0; d < rank; ++d) {
    if (d != first && d != second) *out++ = (uint8_t)d;
  }
}

static bool match_layout(const form_t* f, tvi_kir_convolution_t* c) {
  uint32_t rank = f->stage->parallel_count;
  const tvi_kir_value_t *x = &f->program->values[f->x->value],
                        *w = &f->program->values[f->w->value];
  other_dims(rank, c->x_batch_dim, c->x_channel_dim, c->x_spatial_dims);
  other_dims(rank, c->weight_output_dim, c->weight_input_dim, c->weight_spatial_dims);
  other_dims(rank, c->out_batch_dim, c->out_channel_dim, c->out_spatial_dims);
  index_form_t form;
  uint8_t batch = c->out_batch_dim, oc = c->out_channel_dim;
  if (!read_index(f, f->x->indices[c->x_batch_dim], &form) || !is_index(f, &form, batch)) {
    return false;
  }
  bool used[TVI_KIR_MAX_INDICES] = {false};
  uint8_t ic = NONE;
  if (c->transposed) {
    // The reduced index among the terms of the weights' input channel.
    if (!read_index(f, f->w->indices[c->weight_input_dim], &form)) return false;
    for (uint32_t i = f->stage->parallel_count;
         i < f->stage->parallel_count + f->stage->reduced_count; ++i) {
      if (form.coefficients[i] != NULL) ic = (uint8_t)i;
    }
  } else if (!weight_index(f, c->weight_input_dim, &ic)) {
    return false;
  }
  if (ic != NONE) used[ic] = true;
  if (!match_channels(f, c, oc, ic)) return false;
  for (uint32_t j = 0; j < c->spatial_rank; ++j) {
    uint8_t k, o = c->out_spatial_dims[j];
    if (!weight_index(f, c->weight_spatial_dims[j], &k)) return false;
    if (k != NONE) {
      if (used[k]) return false;
      used[k] = true;
    }
    bool matched =
        c->transposed ? match_transposed_spatial(f, c, j, o, k) : match_spatial(f, c, j, o, k);
    if (!matched) return false;
    c->input[j] = x->dims[c->x_spatial_dims[j]];
    c->window[j] = w->dims[c->weight_spatial_dims[j]];
    c->output[j] = f->stage->extents[o];
  }
  for (uint32_t i = 0; i < f->stage->reduced_count; ++i) {
    uint32_t index = f->stage->parallel_count + i;
    if (!used[index] && !tvi_kir_is_one(f->stage->extents[index])) return false;
  }
  c->batch = f->stage->extents[batch];
  return true;
}

// A zero of the load's type.
static bool pad_is_zero(const form_t* f, const tvi_kir_load_t* load) {
  if (load->bounds != TVI_KIR_BOUNDS_PAD) return true;
  const tvi_kir_instr_t* pad = &f->stage->instrs[load->pad];
  if (pad->opcode != TVI_KIR_CONST) return false;
  return tvi_dtype_is_float(pad->dtype) ? pad->imm.f64 == 0 : pad->imm.i64 == 0;
}

static bool is_zero_constant(const tvi_kir_instr_t* instr) {
  if (instr->opcode != TVI_KIR_CONST) return false;
  return tvi_dtype_is_float(instr->dtype) ? instr->imm.f64 == 0 : instr->imm.i64 == 0;
}

static void fill_operand(const form_t* f, tvi_kir_ref_t ref, tvi_kir_contraction_operand_t* out) {
  const tvi_kir_load_t* load = f->stage->instrs[ref].imm.load;
  out->value = load->value;
  out->load = ref;
  out->dtype = f->program->values[load->value].dtype;
  memset(out->dim_of_index, NONE, sizeof(out->dim_of_index));
  for (uint32_t d = 0; d < load->index_count; ++d) {
    uint8_t index;
    if (tvi_kir_plain_index(f->stage, load->indices[d], &index) && index != NONE) {
      out->dim_of_index[index] = (uint8_t)d;
    }
  }
}

bool tvi_kir_match_convolution(const tvi_kir_program_t* program, uint32_t stage_index,
                               tvi_kir_convolution_t* out, const char** out_reason) {
  const tvi_kir_stage_t* stage = &program->stages[stage_index];
  tvi_kir_ref_t factors[2];
  if (!tvi_kir_split_product(program, stage_index, &factors[0], &factors[1], out_reason)) {
    return false;
  }
  uint32_t rank = stage->parallel_count;
  if (rank < 3 || rank > 2 + TVI_KIR_MAX_SPATIAL) {
    return tvi_kir_reject(out_reason, "the result has no 1 to 3 spatial dimensions");
  }
  const char* reason = "the indices are not those of a convolution in a known layout";
  for (int swap = 0; swap < 2; ++swap) {
    tvi_kir_ref_t x = factors[swap], w = factors[1 - swap];
    form_t form = {program, stage, program->dims, NULL, NULL, TVI_KIR_NONE};
    if (stage->instrs[x].opcode == TVI_KIR_SELECT &&
        is_zero_constant(&stage->instrs[stage->instrs[x].args[2]])) {
      form.condition = stage->instrs[x].args[0];
      x = stage->instrs[x].args[1];
      if (!tvi_kir_strip_casts(stage, &x)) continue;
    }
    if (stage->instrs[x].opcode != TVI_KIR_LOAD || stage->instrs[w].opcode != TVI_KIR_LOAD) {
      reason = "a factor is not an element of a value";
      continue;
    }
    form.x = stage->instrs[x].imm.load;
    form.w = stage->instrs[w].imm.load;
    if (form.x->index_count != rank || form.w->index_count != rank) {
      reason = "operands and result have different ranks";
      continue;
    }
    // The padded one is the picture: the other way round need not be tried.
    bool x_padded = form.x->bounds == TVI_KIR_BOUNDS_PAD,
         w_padded = form.w->bounds == TVI_KIR_BOUNDS_PAD;
    if (w_padded && !x_padded) continue;
    if (w_padded || form.x->wrap != NULL || form.w->wrap != NULL) {
      reason = "an index wraps, or the weights are padded";
      continue;
    }
    if (!pad_is_zero(&form, form.x)) {
      reason = "the padding is not 0";
      continue;
    }
    uint8_t last = (uint8_t)(rank - 1);
    // Batch and channel; output and input channel; the same of the result.
    const uint8_t x_layouts[2][2] = {{0, 1}, {0, last}};
    const uint8_t w_layouts[4][2] = {{0, 1}, {0, last}, {last, (uint8_t)(last - 1)}, {1, 0}};
    for (uint32_t h = 0; h < 2 * 4 * 2 * 2; ++h) {
      tvi_kir_convolution_t c;
      memset(&c, 0, sizeof(c));
      const uint8_t* xl = x_layouts[h / 2 % 2];
      const uint8_t* wl = w_layouts[h / 8];
      const uint8_t* ol = x_layouts[h / 4 % 2];
      // Deconvolutions have the transposed channels; without them it would not be one.
      c.transposed = h % 2 == 1;
      if (form.condition != TVI_KIR_NONE && !c.transposed) continue;
      c.stage = stage_index;
      c.accumulate_dtype = stage->monoid->dtypes[0];
      c.spatial_rank = rank - 2;
      c.x_batch_dim = xl[0];
      c.x_channel_dim = xl[1];
      c.weight_output_dim = wl[0];
      c.weight_input_dim = wl[1];
      c.out_batch_dim = ol[0];
      c.out_channel_dim = ol[1];
      if (!match_layout(&form, &c)) continue;
      fill_operand(&form, x, &c.x);
      fill_operand(&form, w, &c.weight);
      *out = c;
      return true;
    }
  }
  return tvi_kir_reject(out_reason, reason);
}

bool tvi_kir_match_pool(const tvi_kir_program_t* program, uint32_t stage_index, tvi_kir_pool_t* out,
                        const char** out_reason) {
  const tvi_kir_stage_t* stage = &program->stages[stage_index];
  bool is_max = stage->kind == TVI_KIR_REDUCE && stage->monoid->kind == TVI_KIR_REDUCE_MAX;
  bool is_sum = stage->kind == TVI_KIR_REDUCE && stage->monoid->kind == TVI_KIR_SUM;
  if (!is_max && !is_sum) return tvi_kir_reject(out_reason, "it is neither a maximum nor a sum");
  tvi_kir_ref_t root = stage->results[0];
  if (!tvi_kir_strip_casts(stage, &root) || stage->instrs[root].opcode != TVI_KIR_LOAD) {
    return tvi_kir_reject(out_reason, "what is reduced is not an element of a value");
  }
  form_t f = {program, stage, program->dims, stage->instrs[root].imm.load, NULL, TVI_KIR_NONE};
  const tvi_kir_load_t* load = f.x;
  const tvi_kir_value_t* value = &program->values[load->value];
  if (load->wrap != NULL || load->index_count != stage->parallel_count) {
    return tvi_kir_reject(out_reason, "operand and result have different ranks");
  }
  tvi_kir_pool_t pool;
  memset(&pool, 0, sizeof(pool));
  pool.stage = stage_index;
  pool.kind = is_max ? TVI_KIR_POOL_MAX : TVI_KIR_POOL_SUM;
  pool.value = load->value;
  pool.load = root;
  if (load->bounds == TVI_KIR_BOUNDS_PAD) {
    // The padding must be what changes nothing.
    const tvi_kir_instr_t* pad = &stage->instrs[load->pad];
    bool neutral = is_sum && pad_is_zero(&f, load);
    if (is_max && pad->opcode == TVI_KIR_CONST) {
      const tvi_dtype_info_t* info = tvi_dtype_info(pad->dtype);
      neutral = tvi_dtype_is_float(pad->dtype) ? pad->imm.f64 <= -info->float_max
                                               : pad->imm.i64 == info->int_min;
    }
    if (!neutral) return tvi_kir_reject(out_reason, "the padding takes part in the reduction");
  }
  bool used[TVI_KIR_MAX_INDICES] = {false};
  for (uint8_t d = 0; d < load->index_count; ++d) {
    index_form_t form;
    if (!read_index(&f, load->indices[d], &form)) {
      return tvi_kir_reject(out_reason, "an index is not affine");
    }
    if (is_index(&f, &form, d) && tvi_kir_same_extent(value->dims[d], stage->extents[d])) continue;
    // o*stride + k*dilation - pad
    uint32_t j = pool.spatial_rank, expected = 0;
    if (j == TVI_KIR_MAX_SPATIAL) {
      return tvi_kir_reject(out_reason, "the window has more than 3 dimensions");
    }
    int64_t stride = 1, dilation = 1;
    uint8_t k = NONE;
    if (form.quotient_factor != NULL) return tvi_kir_reject(out_reason, "an index is not affine");
    if (form.coefficients[d] != NULL) {
      ++expected;
      if (!constant_of(form.coefficients[d], &stride) || stride < 1) {
        return tvi_kir_reject(out_reason, "a stride is not a positive number");
      }
    }
    for (uint32_t i = stage->parallel_count; i < stage->parallel_count + stage->reduced_count;
         ++i) {
      if (form.coefficients[i] == NULL) continue;
      if (k != NONE || used[i]) {
        return tvi_kir_reject(out_reason, "an index of the window is used twice");
      }
      k = (uint8_t)i;
      used[i] = true;
      ++expected;
      if (!constant_of(form.coefficients[i], &dilation) || dilation < 1) {
        return tvi_kir_reject(out_reason, "a dilation is not a positive number");
      }
    }
    if (form.terms != expected ||
        (form.coefficients[d] == NULL && !tvi_kir_is_one(stage->extents[d]))) {
      return tvi_kir_reject(out_reason, "an index walks another dimension");
    }
    pool.spatial_dims[j] = d;
    pool.strides[j] = stride;
    pool.dilations[j] = dilation;
    pool.pads[j] = mul(&f, form.constant, tvi_dim_constant(f.dims, -1));
    pool.window[j] = k == NONE ? tvi_dim_constant(f.dims, 1) : stage->extents[k];
    pool.input[j] = value->dims[d];
    pool.output[j] = stage->extents[d];
    if (pool.pads[j] == NULL) return tvi_kir_reject(out_reason, "a pad overflows");
    ++pool.spatial_rank;
  }
  for (uint32_t i = stage->parallel_count; i < stage->parallel_count + stage->reduced_count; ++i) {
    if (!used[i] && !tvi_kir_is_one(stage->extents[i])) {
      return tvi_kir_reject(out_reason, "an index that is reduced is in no dimension");
    }
  }
  if (pool.spatial_rank == 0) return tvi_kir_reject(out_reason, "it has no window");
  *out = pool;
  return true;
}
