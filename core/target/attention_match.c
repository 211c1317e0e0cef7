// SPDX-License-Identifier: Apache-2.0
//
// The program is brought to one form first (maps substituted into four reductions: scores, their
// largest, the sum of their exponentials, the mix of the values), then read from there.
#include "core/target/attention_match.h"

#include <math.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/kernel_ir/affine.h"
#include "core/kernel_ir/fuse.h"
#include "core/target/post_function.h"

#define NO_ROLE TVI_ATTENTION_ROLES
#define MAX_DEPTH 64u

typedef struct matcher_s {
  const trivet_region_t* region;
  tvi_kir_program_t* program;
  tvi_attention_t* out;
  const tvi_kir_stage_t *score, *peak, *total, *mix;
  const char* reason;
} matcher_t;

// A stage whose indices have roles.
typedef struct scope_s {
  const matcher_t* m;
  const tvi_kir_stage_t* stage;
  uint8_t roles[5];
} scope_t;

static bool decline(matcher_t* m, const char* reason) {
  if (!m->reason) m->reason = reason;
  return false;
}

static const tvi_kir_instr_t* at(const scope_t* s, tvi_kir_ref_t ref) {
  return &s->stage->instrs[ref];
}

static bool is_constant(const scope_t* s, tvi_kir_ref_t ref, double value) {
  const tvi_kir_instr_t* instr = at(s, tvi_post_skip_casts(s->stage, ref));
  return instr->opcode == TVI_KIR_CONST && tvi_dtype_is_float(instr->dtype) &&
         instr->imm.f64 == value;
}

static bool read_constant(const scope_t* s, tvi_kir_ref_t ref, double* out) {
  const tvi_kir_instr_t* instr = at(s, tvi_post_skip_casts(s->stage, ref));
  if (instr->opcode != TVI_KIR_CONST || !tvi_dtype_is_float(instr->dtype)) return false;
  *out = instr->imm.f64;
  return true;
}

// --- Operands ---------------------------------------------------------------------------

static bool region_operand(matcher_t* m, uint32_t value, tvi_attention_operand_t* out) {
  const tvi_kir_value_t* v = &m->program->values[value];
  const uint32_t count = m->region->input_count + m->region->output_count;
  for (uint32_t i = 0; i < count && v->kind != TVI_KIR_TEMP; ++i) {
    const tvi_region_operand_t* operand = &m->region->operands[i];
    if (operand->value != v->tag || operand->is_output != (v->kind == TVI_KIR_OUTPUT)) continue;
    out->operand = i;
    out->dtype = v->dtype;
    out->rank = v->rank;
    return true;
  }
  return decline(m, "an operand of the attention is computed inside the region");
}

// h / share, which is the head of the keys.
static bool is_shared_head(const scope_t* s, const tvi_kir_instr_t* instr) {
  if (instr->opcode != TVI_KIR_FLOORDIV) return false;
  const tvi_kir_instr_t *head = at(s, instr->args[0]), *by = at(s, instr->args[1]);
  if (head->opcode != TVI_KIR_INDEX || s->roles[head->imm.i64] != TVI_ATTENTION_H) return false;
  trivet_dim_t share = NULL;
  if (by->opcode == TVI_KIR_CONST) share = tvi_dim_constant(s->m->program->dims, by->imm.i64);
  if (by->opcode == TVI_KIR_EXTENT) share = by->imm.dim;
  trivet_dim_t* known = &s->m->out->share;
  if (!*known) *known = share;
  return share && *known == share;
}

// Index of one dimension by roles.
static bool read_index(const scope_t* s, tvi_kir_ref_t ref, trivet_dim_t* out_constant,
                       trivet_dim_t* out_coefficients) {
  tvi_kir_linear_t linear;
  if (!tvi_kir_linear_form(s->m->program, s->stage, ref, &linear)) return false;
  memset(out_coefficients, 0, TVI_ATTENTION_ROLES * sizeof(*out_coefficients));
  *out_constant = tvi_dim_equals_constant(linear.constant, 0) ? NULL : linear.constant;
  for (uint32_t t = 0; t < linear.term_count; ++t) {
    const tvi_kir_instr_t* atom = at(s, linear.terms[t].atom);
    uint32_t role = NO_ROLE;
    if (atom->opcode == TVI_KIR_INDEX) role = s->roles[atom->imm.i64];
    if (is_shared_head(s, atom)) role = TVI_ATTENTION_G;
    if (role == NO_ROLE || out_coefficients[role]) return false;
    out_coefficients[role] = linear.terms[t].coefficient;
  }
  return true;
}

static bool read_operand(matcher_t* m, const scope_t* s, const tvi_kir_load_t* load,
                         tvi_attention_operand_t* out) {
  if (load->wrap) return decline(m, "an index of an operand wraps");
  if (!region_operand(m, load->value, out)) return false;
  for (uint32_t d = 0; d < load->index_count; ++d) {
    if (!read_index(s, load->indices[d], &out->constant[d], out->coefficient[d]))
      return decline(m, "an operand is read at positions that are not linear");
  }
  return true;
}

static bool walks(const tvi_attention_operand_t* operand, uint32_t role) {
  for (uint32_t d = 0; d < operand->rank; ++d) {
    if (operand->coefficient[d][role]) return true;
  }
  return false;
}

// Without sharing, the head of keys is that of queries.
static bool settle_key_head(matcher_t* m, tvi_attention_operand_t* operand) {
  if (walks(operand, TVI_ATTENTION_H) && m->out->share)
    return decline(m, "keys are read by two heads at once");
  for (uint32_t d = 0; d < operand->rank && walks(operand, TVI_ATTENTION_H); ++d) {
    operand->coefficient[d][TVI_ATTENTION_G] = operand->coefficient[d][TVI_ATTENTION_H];
    operand->coefficient[d][TVI_ATTENTION_H] = NULL;
  }
  return true;
}

// right - left as linear form of i, j, lengths[b]: what a comparison of integers says.
typedef struct bound_s {
  int64_t i, j, length;  // coefficients
  trivet_dim_t constant;
} bound_t;

static bool read_length(matcher_t* m, const scope_t* s, const tvi_kir_instr_t* atom) {
  tvi_attention_operand_t lengths;
  memset(&lengths, 0, sizeof(lengths));
  if (atom->opcode != TVI_KIR_LOAD || atom->imm.load->bounds != TVI_KIR_BOUNDS_PROVEN ||
      !read_operand(m, s, atom->imm.load, &lengths))
    return false;
  for (uint32_t role = 0; role < TVI_ATTENTION_ROLES; ++role) {
    if (role != TVI_ATTENTION_B && walks(&lengths, role)) return false;
  }
  if (m->out->lengths.operand == TVI_KIR_NONE) m->out->lengths = lengths;
  return m->out->lengths.operand == lengths.operand;
}

static bool read_bound(matcher_t* m, const scope_t* s, tvi_kir_ref_t left, tvi_kir_ref_t right,
                       bound_t* out) {
  tvi_dim_context_t* dims = m->program->dims;
  tvi_kir_linear_t sides[2];
  memset(out, 0, sizeof(*out));
  if (!tvi_kir_linear_form(m->program, s->stage, left, &sides[0]) ||
      !tvi_kir_linear_form(m->program, s->stage, right, &sides[1]))
    return false;
  out->constant = tvi_dim_binary(dims, TRIVET_DIM_SUB, sides[1].constant, sides[0].constant);
  for (uint32_t side = 0; side < 2; ++side) {
    for (uint32_t t = 0; t < sides[side].term_count; ++t) {
      const tvi_kir_instr_t* atom = at(s, sides[side].terms[t].atom);
      int64_t coefficient;
      if (!tvi_dim_is_constant(sides[side].terms[t].coefficient, &coefficient)) return false;
      if (side == 0) coefficient = -coefficient;
      const uint32_t role = atom->opcode == TVI_KIR_INDEX ? s->roles[atom->imm.i64] : NO_ROLE;
      if (role == TVI_ATTENTION_I) {
        out->i += coefficient;
      } else if (role == TVI_ATTENTION_J) {
        out->j += coefficient;
      } else if (role == NO_ROLE && read_length(m, s, atom)) {
        out->length += coefficient;
      } else {
        return false;
      }
    }
  }
  return out->constant != NULL;
}

// |left| <= |right| - |slack|.
static bool read_comparison(matcher_t* m, const scope_t* s, tvi_kir_ref_t left, tvi_kir_ref_t right,
                            int64_t slack, bound_t* out) {
  tvi_dim_context_t* dims = m->program->dims;
  if (!read_bound(m, s, left, right, out)) return false;
  out->constant =
      tvi_dim_binary(dims, TRIVET_DIM_SUB, out->constant, tvi_dim_constant(dims, slack));
  return out->constant != NULL;
}

static bool compare(matcher_t* m, const scope_t* s, const tvi_kir_instr_t* instr, bound_t* out) {
  if (at(s, instr->args[0])->dtype != TRIVET_DTYPE_I64) return false;
  switch (instr->opcode) {
    case TVI_KIR_LE:
      return read_comparison(m, s, instr->args[0], instr->args[1], 0, out);
    case TVI_KIR_LT:
      return read_comparison(m, s, instr->args[0], instr->args[1], 1, out);
    case TVI_KIR_GE:
      return read_comparison(m, s, instr->args[1], instr->args[0], 0, out);
    case TVI_KIR_GT:
      return read_comparison(m, s, instr->args[1], instr->args[0], 1, out);
    default:
      return false;
  }
}

// --- What hides a key -------------------------------------------------------------------

// Keeps the tighter of two bounds: the smaller of |known| and |added|, or the larger one.
static bool tighten(matcher_t* m, trivet_dim_t* known, trivet_dim_t added, bool smaller) {
  int64_t difference = 0;
  if (*known && *known != added) {
    trivet_dim_t d = tvi_dim_binary(m->program->dims, TRIVET_DIM_SUB, added, *known);
    if (!d || !tvi_dim_is_constant(d, &difference))
      return decline(m, "it is not known which of two bounds on keys is tighter");
    if ((difference < 0) != smaller) return true;
  }
  *known = added;
  return true;
}

// 0 <= bound.
static bool add_bound(matcher_t* m, const bound_t* bound) {
  tvi_attention_t* out = m->out;
  tvi_dim_context_t* dims = m->program->dims;
  if (bound->j == -1 && bound->i == 0 && bound->length == 1 &&
      tvi_dim_equals_constant(bound->constant, -1)) {
    out->has_length = true;
    return true;
  }
  const bool is_upper = bound->j == -1 && bound->i == 1;
  const bool is_lower = bound->j == 1 && bound->i == -1;
  const int64_t length = is_upper ? bound->length : -bound->length;
  if ((!is_upper && !is_lower) || (length != 0 && length != 1))
    return decline(m, "keys are hidden by a condition that is not known");
  if ((out->upper || out->lower) && out->bounds_add_length != (length == 1))
    return decline(m, "one of two bounds on keys depends on lengths");
  out->bounds_add_length = length == 1;
  trivet_dim_t constant = bound->constant;
  if (is_lower)
    constant = tvi_dim_binary(dims, TRIVET_DIM_MUL, constant, tvi_dim_constant(dims, -1));
  return tighten(m, is_upper ? &out->upper : &out->lower, constant, is_upper);
}

static bool read_mask(matcher_t* m, const scope_t* s, const tvi_kir_load_t* load) {
  tvi_attention_t* out = m->out;
  if (out->mask.operand != TVI_KIR_NONE) return decline(m, "there are two masks");
  if (!read_operand(m, s, load, &out->mask)) return false;
  for (uint32_t role = 0; role < TVI_ATTENTION_ROLES; ++role) {
    const bool allowed = role == TVI_ATTENTION_B || role == TVI_ATTENTION_H ||
                         role == TVI_ATTENTION_I || role == TVI_ATTENTION_J;
    if (!allowed && walks(&out->mask, role)) return decline(m, "the mask is read by key heads");
  }
  if (load->bounds == TVI_KIR_BOUNDS_PROVEN) return true;
  const tvi_kir_instr_t* pad = at(s, load->pad);
  const bool hides = out->mask.dtype == TRIVET_DTYPE_BOOL
                         ? pad->opcode == TVI_KIR_CONST && pad->imm.i64 == 0
                         : is_constant(s, load->pad, -(double)INFINITY);
  if (!hides) return decline(m, "keys that the mask does not have are not hidden");
  for (uint32_t d = 0; d < out->mask.rank; ++d) {
    if (!out->mask.coefficient[d][TVI_ATTENTION_J]) continue;
    if (d + 1 != out->mask.rank ||
        !tvi_dim_equals_constant(out->mask.coefficient[d][TVI_ATTENTION_J], 1) ||
        out->mask.constant[d])
      return decline(m, "the mask is padded elsewhere than behind its last key");
    out->mask_length = m->program->values[load->value].dims[d];
  }
  return out->mask_length || decline(m, "the mask is padded, and not along the keys");
}

static bool read_condition(matcher_t* m, const scope_t* s, tvi_kir_ref_t ref, uint32_t depth) {
  const tvi_kir_instr_t* instr = at(s, ref);
  if (depth == MAX_DEPTH) return decline(m, "keys are hidden by too many conditions");
  if (instr->opcode == TVI_KIR_CONST && instr->imm.i64 == 1) return true;
  if (instr->opcode == TVI_KIR_AND)
    return read_condition(m, s, instr->args[0], depth + 1) &&
           read_condition(m, s, instr->args[1], depth + 1);
  if (instr->opcode == TVI_KIR_LOAD && instr->dtype == TRIVET_DTYPE_BOOL)
    return read_mask(m, s, instr->imm.load);
  bound_t bound;
  if (!compare(m, s, instr, &bound))
    return decline(m, "keys are hidden by a condition that is not known");
  return add_bound(m, &bound);
}

// --- Scores -----------------------------------------------------------------------------

// A load of |stage|'s value at the same roles.
static bool is_stage_load(const scope_t* s, tvi_kir_ref_t ref, const tvi_kir_stage_t* stage) {
  const tvi_kir_instr_t* instr = at(s, tvi_post_skip_casts(s->stage, ref));
  if (instr->opcode != TVI_KIR_LOAD || instr->imm.load->value != stage->values[0] ||
      instr->imm.load->bounds != TVI_KIR_BOUNDS_PROVEN || instr->imm.load->wrap)
    return false;
  static const uint8_t kOrder[] = {TVI_ATTENTION_B, TVI_ATTENTION_H, TVI_ATTENTION_I,
                                   TVI_ATTENTION_J};
  for (uint32_t d = 0; d < instr->imm.load->index_count; ++d) {
    const tvi_kir_instr_t* index = at(s, instr->imm.load->indices[d]);
    if (index->opcode == TVI_KIR_INDEX && s->roles[index->imm.i64] == kOrder[d]) continue;
    if (!tvi_dim_equals_constant(stage->extents[d], 1)) return false;
  }
  return true;
}

// What is added to a score as mask.
static bool read_added_mask(matcher_t* m, const scope_t* s, tvi_kir_ref_t ref) {
  const tvi_kir_instr_t* instr = at(s, ref);
  while (instr->opcode == TVI_KIR_CAST) instr = at(s, instr->args[0]);
  return instr->opcode == TVI_KIR_LOAD && instr->imm.load->value != m->score->values[0] &&
         instr->dtype != TRIVET_DTYPE_BOOL && read_mask(m, s, instr->imm.load);
}

static bool read_cap(matcher_t* m, const scope_t* s, const tvi_kir_instr_t* product,
                     tvi_kir_ref_t* out_next) {
  for (uint32_t side = 0; side < 2; ++side) {
    double cap, by;
    const tvi_kir_instr_t* curve = at(s, product->args[1 - side]);
    if (!read_constant(s, product->args[side], &cap) || curve->opcode != TVI_KIR_TANH) continue;
    const tvi_kir_instr_t* inner = at(s, tvi_post_skip_casts(s->stage, curve->args[0]));
    if (inner->opcode == TVI_KIR_DIV && read_constant(s, inner->args[1], &by)) {
      *out_next = inner->args[0];
    } else if (inner->opcode == TVI_KIR_MUL && read_constant(s, inner->args[1], &by)) {
      *out_next = inner->args[0];
      by = 1 / by;
    } else if (inner->opcode == TVI_KIR_MUL && read_constant(s, inner->args[0], &by)) {
      *out_next = inner->args[1];
      by = 1 / by;
    } else {
      continue;
    }
    if (!(cap > 0) || fabs(by - cap) > 1e-6 * cap || m->out->scale != 1) continue;
    m->out->softcap = cap;
    return true;
  }
  return false;
}

static bool read_scale(matcher_t* m, const scope_t* s, const tvi_kir_instr_t* instr,
                       tvi_kir_ref_t* out_next) {
  double factor;
  for (uint32_t side = 0; side < 2; ++side) {
    if (!read_constant(s, instr->args[side], &factor)) continue;
    if (instr->opcode == TVI_KIR_DIV && (side == 0 || factor == 0)) continue;
    m->out->scale *= instr->opcode == TVI_KIR_DIV ? 1 / factor : factor;
    *out_next = instr->args[1 - side];
    return true;
  }
  return false;
}

// From what is compared down to the sum over d: conditions and mask, then cap, then scale.
static bool read_logit(matcher_t* m, const scope_t* s) {
  tvi_kir_ref_t ref = s->stage->results[0];
  tvi_attention_t* out = m->out;
  out->scale = 1;
  for (uint32_t depth = 0; depth < MAX_DEPTH; ++depth) {
    ref = tvi_post_skip_casts(s->stage, ref);
    const tvi_kir_instr_t* instr = at(s, ref);
    const bool is_bare = out->scale == 1 && out->softcap == 0;
    if (is_stage_load(s, ref, m->score)) return true;
    if (instr->opcode == TVI_KIR_SELECT && is_bare &&
        is_constant(s, instr->args[2], -(double)INFINITY)) {
      if (!read_condition(m, s, instr->args[0], 0)) return false;
      ref = instr->args[1];
    } else if (instr->opcode == TVI_KIR_ADD && is_bare) {
      const bool left = read_added_mask(m, s, instr->args[0]);
      if (!left && (m->reason || !read_added_mask(m, s, instr->args[1]))) break;
      ref = instr->args[left ? 1 : 0];
    } else if (instr->opcode == TVI_KIR_MUL && out->softcap == 0 && read_cap(m, s, instr, &ref)) {
      continue;
    } else if ((instr->opcode != TVI_KIR_MUL && instr->opcode != TVI_KIR_DIV) ||
               !read_scale(m, s, instr, &ref)) {
      break;
    }
  }
  return decline(m, "scores are changed by an operation that is not known");
}

// --- The softmax ------------------------------------------------------------------------

static bool same(const scope_t* a, tvi_kir_ref_t ra, const scope_t* b, tvi_kir_ref_t rb,
                 uint32_t depth);

static bool same_load(const scope_t* a, const tvi_kir_load_t* la, const scope_t* b,
                      const tvi_kir_load_t* lb, uint32_t depth) {
  if (la->value != lb->value || la->bounds != lb->bounds || !la->wrap != !lb->wrap) return false;
  if (la->wrap && memcmp(la->wrap, lb->wrap, la->index_count) != 0) return false;
  for (uint32_t d = 0; d < la->index_count; ++d) {
    if (!same(a, la->indices[d], b, lb->indices[d], depth + 1)) return false;
  }
  return la->bounds != TVI_KIR_BOUNDS_PAD || same(a, la->pad, b, lb->pad, depth + 1);
}

// The same expression of roles, in two stages.
static bool same(const scope_t* a, tvi_kir_ref_t ra, const scope_t* b, tvi_kir_ref_t rb,
                 uint32_t depth) {
  const tvi_kir_instr_t *x = at(a, ra), *y = at(b, rb);
  if (depth == MAX_DEPTH || x->opcode != y->opcode || x->dtype != y->dtype) return false;
  switch (x->opcode) {
    case TVI_KIR_CONST:
      return x->imm.i64 == y->imm.i64;  // all bits, of floats, too
    case TVI_KIR_INDEX:
      return a->roles[x->imm.i64] == b->roles[y->imm.i64];
    case TVI_KIR_EXTENT:
      return x->imm.dim == y->imm.dim;
    case TVI_KIR_LOAD:
      return same_load(a, x->imm.load, b, y->imm.load, depth);
    default:
      break;
  }
  const uint32_t count = tvi_kir_opcode_operands((tvi_kir_opcode_t)x->opcode);
  bool straight = true;
  for (uint32_t i = 0; i < count && straight; ++i)
    straight = same(a, x->args[i], b, y->args[i], depth + 1);
  const bool commutes = x->opcode == TVI_KIR_ADD || x->opcode == TVI_KIR_MUL ||
                        x->opcode == TVI_KIR_AND || x->opcode == TVI_KIR_EQ;
  return straight || (commutes && same(a, x->args[0], b, y->args[1], depth + 1) &&
                      same(a, x->args[1], b, y->args[0], depth + 1));
}

// "stage's value == |number| ? 0 : ref"; |ref| goes to what is chosen otherwise.
static bool skip_guard(const scope_t* s, tvi_kir_ref_t* ref, const tvi_kir_stage_t* stage,
                       double number) {
  const tvi_kir_instr_t* instr = at(s, *ref);
  if (instr->opcode != TVI_KIR_SELECT || !is_constant(s, instr->args[1], 0)) return false;
  const tvi_kir_instr_t* test = at(s, instr->args[0]);
  if (test->opcode != TVI_KIR_EQ) return false;
  for (uint32_t side = 0; side < 2; ++side) {
    if (!is_stage_load(s, test->args[side], stage) || !is_constant(s, test->args[1 - side], number))
      continue;
    *ref = tvi_post_skip_casts(s->stage, instr->args[2]);
    return true;
  }
  return false;
}

// exp(logit - peak), 0 where the peak is -inf.
static bool is_rise(matcher_t* m, const scope_t* s, tvi_kir_ref_t ref, bool* out_guarded) {
  static const uint8_t kRoles[] = {TVI_ATTENTION_B, TVI_ATTENTION_H, TVI_ATTENTION_I,
                                   TVI_ATTENTION_J, NO_ROLE};
  scope_t peak = {m, m->peak, {0}};
  memcpy(peak.roles, kRoles, sizeof(kRoles));
  ref = tvi_post_skip_casts(s->stage, ref);
  *out_guarded = skip_guard(s, &ref, m->peak, -(double)INFINITY);
  const tvi_kir_instr_t* power = at(s, ref);
  if (power->opcode != TVI_KIR_EXP) return false;
  const tvi_kir_instr_t* difference = at(s, tvi_post_skip_casts(s->stage, power->args[0]));
  return difference->opcode == TVI_KIR_SUB && is_stage_load(s, difference->args[1], m->peak) &&
         same(s, tvi_post_skip_casts(s->stage, difference->args[0]), &peak,
              tvi_post_skip_casts(m->peak, m->peak->results[0]), 0);
}

// rise / sum, 0 where the sum is 0.
static bool is_share(matcher_t* m, const scope_t* s, tvi_kir_ref_t ref, bool* out_guarded) {
  ref = tvi_post_skip_casts(s->stage, ref);
  const bool guarded = skip_guard(s, &ref, m->total, 0);
  const tvi_kir_instr_t* quotient = at(s, ref);
  bool rise_guarded = false;
  const bool ok = quotient->opcode == TVI_KIR_DIV &&
                  is_stage_load(s, quotient->args[1], m->total) &&
                  is_rise(m, s, quotient->args[0], &rise_guarded);
  *out_guarded = guarded && rise_guarded;
  return ok;
}

// --- Keys and values --------------------------------------------------------------------

// An operand, or "j < past ? the past at j : the operand at j - past".
static bool read_keys(matcher_t* m, const scope_t* s, tvi_kir_ref_t ref,
                      tvi_attention_operand_t* out, tvi_attention_operand_t* out_past) {
  const tvi_kir_instr_t* instr = at(s, ref);
  tvi_attention_t* result = m->out;
  if (instr->opcode == TVI_KIR_LOAD) {
    if (result->past && out == &result->v) return decline(m, "keys have a past, values have none");
    return (instr->imm.load->bounds == TVI_KIR_BOUNDS_PROVEN || decline(m, "keys are padded")) &&
           read_operand(m, s, instr->imm.load, out) && settle_key_head(m, out);
  }
  bound_t bound;
  if (instr->opcode != TVI_KIR_SELECT || at(s, instr->args[1])->opcode != TVI_KIR_LOAD ||
      at(s, instr->args[2])->opcode != TVI_KIR_LOAD ||
      !compare(m, s, at(s, instr->args[0]), &bound) || bound.j != -1 || bound.i || bound.length)
    return decline(m, "keys or values are computed inside the region");
  trivet_dim_t past = tvi_dim_binary(m->program->dims, TRIVET_DIM_ADD, bound.constant,
                                     tvi_dim_constant(m->program->dims, 1));
  if (out == &result->v && result->past != past)
    return decline(m, "keys and values have different pasts");
  result->past = past;
  if (!read_operand(m, s, at(s, instr->args[1])->imm.load, out_past) ||
      !read_operand(m, s, at(s, instr->args[2])->imm.load, out) || !settle_key_head(m, out_past) ||
      !settle_key_head(m, out))
    return false;
  trivet_dim_t shift = tvi_dim_binary(m->program->dims, TRIVET_DIM_MUL, past,
                                      tvi_dim_constant(m->program->dims, -1));
  for (uint32_t d = 0; d < out->rank; ++d) {
    if (!out->coefficient[d][TVI_ATTENTION_J]) continue;
    if (out->constant[d] != shift ||
        !tvi_dim_equals_constant(out->coefficient[d][TVI_ATTENTION_J], 1))
      return decline(m, "new keys do not begin where the past ends");
    out->constant[d] = NULL;
  }
  return true;
}

static bool read_scores(matcher_t* m, tvi_kir_ref_t left, tvi_kir_ref_t right) {
  const scope_t s = {
      m,
      m->score,
      {TVI_ATTENTION_B, TVI_ATTENTION_H, TVI_ATTENTION_I, TVI_ATTENTION_J, TVI_ATTENTION_D}};
  tvi_attention_t* out = m->out;
  // Queries are what does not walk along the keys.
  for (uint32_t side = 0; side < 2; ++side) {
    const tvi_kir_instr_t* q = at(&s, side ? right : left);
    memset(&out->q, 0, sizeof(out->q));
    if (q->opcode != TVI_KIR_LOAD || q->imm.load->bounds != TVI_KIR_BOUNDS_PROVEN ||
        !read_operand(m, &s, q->imm.load, &out->q)) {
      m->reason = NULL;
      continue;
    }
    const bool is_query = !walks(&out->q, TVI_ATTENTION_J) && !walks(&out->q, TVI_ATTENTION_G);
    const bool is_only_one = tvi_dim_equals_constant(m->score->extents[3], 1) && side == 0;
    if (!is_query || (is_only_one && !walks(&out->q, TVI_ATTENTION_I) &&
                      !tvi_dim_equals_constant(m->score->extents[2], 1)))
      continue;
    out->share = NULL;
    return read_keys(m, &s, side ? left : right, &out->k, &out->past_k) &&
           (!walks(&out->k, TVI_ATTENTION_I) || decline(m, "keys differ from query to query"));
  }
  return decline(m, "queries are computed inside the region");
}

static bool read_mix(matcher_t* m) {
  const scope_t s = {
      m,
      m->mix,
      {TVI_ATTENTION_B, TVI_ATTENTION_H, TVI_ATTENTION_I, TVI_ATTENTION_E, TVI_ATTENTION_J}};
  tvi_attention_t* out = m->out;
  tvi_kir_ref_t root = tvi_post_skip_casts(m->mix, m->mix->results[0]);
  const tvi_kir_instr_t* product = at(&s, root);
  if (product->opcode != TVI_KIR_MUL) return decline(m, "values are not weighted");
  for (uint32_t side = 0; side < 2; ++side) {
    bool guarded = false;
    if (!is_share(m, &s, product->args[side], &guarded)) continue;
    if (guarded != out->zero_rows) return decline(m, "rows that see nothing are not known");
    tvi_kir_ref_t v = tvi_post_skip_casts(m->mix, product->args[1 - side]);
    return read_keys(m, &s, v, &out->v, &out->past_v) &&
           ((!walks(&out->v, TVI_ATTENTION_I) && !walks(&out->v, TVI_ATTENTION_D)) ||
            decline(m, "values differ from query to query"));
  }
  return decline(m, "what weights the values is no softmax of the scores");
}

// --- Results ----------------------------------------------------------------------------

// Index |ref| of the mix in a stage that writes it: which dimensions of the result it walks.
static bool read_result_index(matcher_t* m, const tvi_kir_stage_t* tail, tvi_kir_ref_t ref,
                              uint32_t role) {
  tvi_attention_operand_t* result = &m->out->result;
  const tvi_kir_instr_t* instr = &tail->instrs[ref];
  trivet_dim_t one = tvi_dim_constant(m->program->dims, 1), step = one;
  if (instr->opcode == TVI_KIR_CONST && instr->imm.i64 == 0)
    return tvi_dim_equals_constant(m->out->extents[role], 1);
  if (instr->opcode == TVI_KIR_FLOORDIV || instr->opcode == TVI_KIR_MOD) {
    const tvi_kir_instr_t* by = &tail->instrs[instr->args[1]];
    trivet_dim_t width = by->opcode == TVI_KIR_CONST
                             ? tvi_dim_constant(m->program->dims, by->imm.i64)
                         : by->opcode == TVI_KIR_EXTENT ? by->imm.dim
                                                        : NULL;
    // Heads lie beside each other in one dimension.
    if (width != m->out->extents[TVI_ATTENTION_E] ||
        role != (instr->opcode == TVI_KIR_MOD ? TVI_ATTENTION_E : TVI_ATTENTION_H))
      return false;
    if (instr->opcode == TVI_KIR_FLOORDIV) step = width;
    instr = &tail->instrs[instr->args[0]];
  }
  if (instr->opcode != TVI_KIR_INDEX) return false;
  result->coefficient[instr->imm.i64][role] = step;
  return true;
}

static bool read_result(matcher_t* m, const tvi_kir_stage_t* tail) {
  tvi_attention_operand_t* result = &m->out->result;
  const uint8_t order[] = {TVI_ATTENTION_B, TVI_ATTENTION_H, TVI_ATTENTION_I, TVI_ATTENTION_E};
  if (!tail) {
    if (!region_operand(m, m->mix->values[0], result)) return false;
    for (uint32_t d = 0; d < 4; ++d)
      result->coefficient[d][order[d]] = tvi_dim_constant(m->program->dims, 1);
    return true;
  }
  if (!region_operand(m, tail->values[0], result)) return false;
  const tvi_kir_instr_t* load = &tail->instrs[tvi_post_skip_casts(tail, tail->results[0])];
  if (load->opcode != TVI_KIR_LOAD || load->imm.load->value != m->mix->values[0] ||
      load->imm.load->bounds != TVI_KIR_BOUNDS_PROVEN || load->imm.load->wrap)
    return decline(m, "the result goes through further operations");
  uint32_t roles_of_dims[TRIVET_MAX_RANK] = {0};
  for (uint32_t d = 0; d < 4; ++d) {
    if (!read_result_index(m, tail, load->imm.load->indices[d], order[d]))
      return decline(m, "the result is written in an order that is not known");
  }
  // Every element of the result is one of the mix, once.
  for (uint32_t d = 0; d < result->rank; ++d) {
    trivet_dim_t extent = tvi_dim_constant(m->program->dims, 1);
    for (uint32_t r = 0; r < TVI_ATTENTION_ROLES; ++r) {
      if (!result->coefficient[d][r]) continue;
      extent = tvi_dim_binary(m->program->dims, TRIVET_DIM_MUL, extent, m->out->extents[r]);
      ++roles_of_dims[d];
    }
    if (extent != tail->extents[d] || roles_of_dims[d] > 2)
      return decline(m, "the result is not as large as what is computed");
  }
  return true;
}

// present[b, g, j, d] in any order of dimensions: what |keys| and |past| are in one.
static bool read_present(matcher_t* m, const tvi_kir_stage_t* stage) {
  tvi_attention_t* out = m->out;
  tvi_kir_ref_t root = stage->results[0];
  const tvi_kir_instr_t* instr = &stage->instrs[root];
  if (instr->opcode != TVI_KIR_SELECT || !out->past || stage->parallel_count != 4)
    return decline(m, "there is a result that is neither the attention nor its keys");
  const tvi_kir_instr_t *past = &stage->instrs[instr->args[1]],
                        *fresh = &stage->instrs[instr->args[2]];
  for (uint32_t i = 0; i < 2; ++i) {
    tvi_attention_operand_t* present = i ? &out->present_v : &out->present_k;
    const uint32_t part = i ? TVI_ATTENTION_E : TVI_ATTENTION_D;
    const scope_t s = {
        m, stage, {TVI_ATTENTION_B, TVI_ATTENTION_G, TVI_ATTENTION_J, (uint8_t)part, NO_ROLE}};
    tvi_attention_operand_t at_past, at_fresh;
    memset(&at_past, 0, sizeof(at_past));
    memset(&at_fresh, 0, sizeof(at_fresh));
    if (past->opcode != TVI_KIR_LOAD || fresh->opcode != TVI_KIR_LOAD) break;
    if (present->operand != TVI_KIR_NONE || !read_operand(m, &s, past->imm.load, &at_past) ||
        !read_operand(m, &s, fresh->imm.load, &at_fresh))
      continue;
    const tvi_attention_operand_t *known = i ? &out->past_v : &out->past_k,
                                  *added = i ? &out->v : &out->k;
    if (at_past.operand != known->operand || at_fresh.operand != added->operand ||
        memcmp(at_past.coefficient, known->coefficient, sizeof(at_past.coefficient)) != 0 ||
        memcmp(at_fresh.coefficient, added->coefficient, sizeof(at_fresh.coefficient)) != 0)
      continue;
    if (!region_operand(m, stage->values[0], present)) return false;
    for (uint32_t d = 0; d < 4; ++d)
      present->coefficient[d][s.roles[d]] = tvi_dim_constant(m->program->dims, 1);
    return true;
  }
  return decline(m, "there is a result that is neither the attention nor its keys");
}

// --- The whole --------------------------------------------------------------------------

static trivet_status_t bring_to_form(tvi_kir_program_t* program) {
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    const tvi_kir_stage_t* stage = &program->stages[s];
    if (stage->kind != TVI_KIR_MAP) continue;
    const bool temporary = program->values[stage->values[0]].kind == TVI_KIR_TEMP;
    if (!temporary || !tvi_kir_can_inline_stage(program, s)) continue;
    TRIVET_RETURN_IF_ERROR(tvi_kir_inline_stage(program, s));
  }
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_drop_dead(program, true, NULL));
  TRIVET_RETURN_IF_ERROR(tvi_kir_simplify(program));
  return tvi_kir_program_drop_dead(program, true, NULL);
}

static bool is_reduction(const tvi_kir_stage_t* stage, tvi_kir_monoid_kind_t kind,
                         uint32_t parallel) {
  return stage->kind == TVI_KIR_REDUCE && stage->monoid->kind == kind &&
         stage->parallel_count == parallel && stage->reduced_count == 1 && stage->result_count == 1;
}

static bool find_stages(matcher_t* m) {
  const tvi_kir_stage_t* found[4];
  uint32_t count = 0;
  for (uint32_t s = 0; s < m->program->stage_count; ++s) {
    const tvi_kir_stage_t* stage = &m->program->stages[s];
    if (stage->kind == TVI_KIR_MAP) continue;
    if (count == 4) return decline(m, "it has more reductions than attention has");
    found[count++] = stage;
  }
  if (count < 4) return decline(m, "it has fewer reductions than attention has");
  m->score = found[0], m->peak = found[1], m->total = found[2], m->mix = found[3];
  if (!is_reduction(m->score, TVI_KIR_SUM, 4) || !is_reduction(m->peak, TVI_KIR_REDUCE_MAX, 3) ||
      !is_reduction(m->total, TVI_KIR_SUM, 3) || !is_reduction(m->mix, TVI_KIR_SUM, 4))
    return decline(m, "its reductions are not those of attention");
  trivet_dim_t* extents = m->out->extents;
  const tvi_kir_stage_t *score = m->score, *mix = m->mix;
  extents[TVI_ATTENTION_B] = score->extents[0];
  extents[TVI_ATTENTION_H] = score->extents[1];
  extents[TVI_ATTENTION_I] = score->extents[2];
  extents[TVI_ATTENTION_J] = score->extents[3];
  extents[TVI_ATTENTION_D] = score->extents[4];
  extents[TVI_ATTENTION_E] = mix->extents[3];
  bool same_extents = mix->extents[4] == score->extents[3];
  for (uint32_t d = 0; d < 4; ++d) {
    same_extents &= score->extents[d] == m->peak->extents[d] &&
                    score->extents[d] == m->total->extents[d] &&
                    (d == 3 || score->extents[d] == mix->extents[d]);
  }
  m->out->accumulate_dtype = score->monoid->dtypes[0];
  return same_extents || decline(m, "its reductions are over different extents");
}

static bool read_all(matcher_t* m) {
  tvi_attention_t* out = m->out;
  if (!find_stages(m)) return false;
  const tvi_kir_ref_t product = tvi_post_skip_casts(m->score, m->score->results[0]);
  const tvi_kir_instr_t* instr = &m->score->instrs[product];
  if (instr->opcode != TVI_KIR_MUL) return decline(m, "scores are no sums of products");
  const tvi_kir_ref_t left = tvi_post_skip_casts(m->score, instr->args[0]),
                      right = tvi_post_skip_casts(m->score, instr->args[1]);
  const scope_t peak = {
      m, m->peak, {TVI_ATTENTION_B, TVI_ATTENTION_H, TVI_ATTENTION_I, TVI_ATTENTION_J, NO_ROLE}};
  scope_t total = peak;
  total.stage = m->total;
  if (!read_scores(m, left, right) || !read_logit(m, &peak)) return false;
  if (!is_rise(m, &total, m->total->results[0], &out->zero_rows))
    return decline(m, "what is summed is not the exponential of the scores");
  if (!read_mix(m)) return false;
  if (!out->share) out->share = tvi_dim_constant(m->program->dims, 1);
  out->extents[TVI_ATTENTION_G] = tvi_dim_binary(m->program->dims, TRIVET_DIM_FLOORDIV,
                                                 out->extents[TVI_ATTENTION_H], out->share);
  bool has_result = m->program->values[m->mix->values[0]].kind == TVI_KIR_OUTPUT;
  if (has_result && !read_result(m, NULL)) return false;
  for (uint32_t s = 0; s < m->program->stage_count; ++s) {
    const tvi_kir_stage_t* stage = &m->program->stages[s];
    if (stage->kind != TVI_KIR_MAP) continue;
    bool reads_mix = false;
    for (uint32_t i = 0; i < stage->instr_count; ++i) {
      reads_mix |= stage->instrs[i].opcode == TVI_KIR_LOAD &&
                   stage->instrs[i].imm.load->value == m->mix->values[0];
    }
    if (reads_mix ? has_result || !read_result(m, stage) : !read_present(m, stage))
      return decline(m, "it has more results than attention has");
    has_result |= reads_mix;
  }
  return has_result || decline(m, "the mix of values is not a result");
}

trivet_status_t tvi_attention_match(const trivet_region_t* region, tvi_arena_t* arena,
                                    tvi_attention_t* out, const char** out_reason) {
  tvi_attention_t attention;
  memset(&attention, 0, sizeof(attention));
  tvi_attention_operand_t* const optional[] = {&attention.past_k,    &attention.past_v,
                                               &attention.present_k, &attention.present_v,
                                               &attention.mask,      &attention.lengths};
  for (size_t i = 0; i < sizeof(optional) / sizeof(optional[0]); ++i)
    optional[i]->operand = TVI_KIR_NONE;
  matcher_t m = {.region = region, .out = &attention};
  *out_reason = NULL;
  if (!region->program) {
    *out_reason = "no kernel IR";
    return TRIVET_OK;
  }
  // Most regions are not: they are told before a copy is made.
  uint32_t reductions = 0;
  for (uint32_t s = 0; s < region->program->stage_count; ++s)
    reductions += region->program->stages[s].kind == TVI_KIR_REDUCE;
  if (reductions != 4) {
    *out_reason = reductions < 4 ? "it has fewer reductions than attention has"
                                 : "it has more reductions than attention has";
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_clone(region->program, arena, &m.program));
  TRIVET_RETURN_IF_ERROR(bring_to_form(m.program));
  if (read_all(&m)) {
    *out = attention;
  } else {
    *out_reason = m.reason;
  }
  return TRIVET_OK;
}

bool tvi_attention_strides(const trivet_region_t* region, const tvi_attention_operand_t* operand,
                           trivet_dim_t out_strides[TVI_ATTENTION_ROLES],
                           trivet_dim_t* out_offset) {
  tvi_dim_context_t* dims = region->graph->dims;
  const tvi_region_operand_t* memory = &region->operands[operand->operand];
  trivet_dim_t zero = tvi_dim_constant(dims, 0), offset = zero;
  trivet_dim_t strides[TVI_ATTENTION_ROLES];
  for (uint32_t role = 0; role < TVI_ATTENTION_ROLES; ++role) {
    strides[role] = zero;
    for (uint32_t d = 0; d < operand->rank; ++d) {
      if (!operand->coefficient[d][role]) continue;
      strides[role] = tvi_dim_binary(
          dims, TRIVET_DIM_ADD, strides[role],
          tvi_dim_binary(dims, TRIVET_DIM_MUL, memory->strides[d], operand->coefficient[d][role]));
    }
    if (!strides[role]) return false;
  }
  for (uint32_t d = 0; d < operand->rank; ++d) {
    if (!operand->constant[d]) continue;
    offset = tvi_dim_binary(
        dims, TRIVET_DIM_ADD, offset,
        tvi_dim_binary(dims, TRIVET_DIM_MUL, memory->strides[d], operand->constant[d]));
  }
  if (!offset) return false;
  memcpy(out_strides, strides, sizeof(strides));
  *out_offset = offset;
  return true;
}
