// SPDX-License-Identifier: Apache-2.0
//
// Linear forms and ranges of index expressions. Every walk has a budget, since bodies are graphs
// that a careless walk would visit exponentially often; out of budget means "unknown".
#include "core/kernel_ir/affine.h"

#include <string.h>

#include "core/base/dtype.h"
#include "core/kernel_ir/builder.h"

#define BUDGET 400

trivet_dim_t tvi_kir_instr_dim(tvi_dim_context_t* dims, const tvi_kir_instr_t* instr) {
  if (instr->dtype != TRIVET_DTYPE_I64 || (instr->reserved & TVI_KIR_INSTR_OPAQUE)) return NULL;
  if (instr->opcode == TVI_KIR_EXTENT) return instr->imm.dim;
  return instr->opcode == TVI_KIR_CONST ? tvi_dim_constant(dims, instr->imm.i64) : NULL;
}

bool tvi_kir_linear_add(tvi_dim_context_t* dims, tvi_kir_linear_t* linear, tvi_kir_ref_t atom,
                        trivet_dim_t coefficient) {
  if (coefficient == NULL) return false;
  for (uint32_t i = 0; i < linear->term_count; ++i) {
    if (linear->terms[i].atom != atom) continue;
    trivet_dim_t sum =
        tvi_dim_binary(dims, TRIVET_DIM_ADD, linear->terms[i].coefficient, coefficient);
    if (sum == NULL) return false;
    linear->terms[i].coefficient = sum;
    if (tvi_dim_equals_constant(sum, 0)) {
      --linear->term_count;
      memmove(linear->terms + i, linear->terms + i + 1,
              (linear->term_count - i) * sizeof(*linear->terms));
    }
    return true;
  }
  if (tvi_dim_equals_constant(coefficient, 0)) return true;
  if (linear->term_count == TVI_KIR_MAX_TERMS) return false;
  uint32_t at = linear->term_count++;
  for (; at > 0 && linear->terms[at - 1].atom > atom; --at) {
    linear->terms[at] = linear->terms[at - 1];
  }
  linear->terms[at].atom = atom;
  linear->terms[at].coefficient = coefficient;
  return true;
}

// What an atom depends on.
static uint32_t atom_flags(tvi_kir_scope_t* scope, tvi_kir_ref_t ref) {
  if (scope->budget == 0) return TVI_KIR_LINEAR_QUASI | TVI_KIR_LINEAR_DATA;
  --scope->budget;
  const tvi_kir_instr_t* instr = &scope->instrs[ref];
  switch (instr->opcode) {
    case TVI_KIR_INDEX:
    case TVI_KIR_CONST:
    case TVI_KIR_EXTENT:
      return 0;
    case TVI_KIR_LOAD:
      return TVI_KIR_LINEAR_DATA | TVI_KIR_LINEAR_QUASI;
    default: {
      uint32_t flags = TVI_KIR_LINEAR_QUASI;
      for (uint32_t i = 0; i < tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode); ++i) {
        flags |= atom_flags(scope, instr->args[i]);
      }
      return flags;
    }
  }
}

static bool linear_collect(tvi_kir_scope_t* scope, tvi_kir_ref_t ref, trivet_dim_t factor,
                           tvi_kir_linear_t* out) {
  if (scope->budget == 0 || factor == NULL) return false;
  --scope->budget;
  tvi_dim_context_t* dims = scope->dims;
  const tvi_kir_instr_t* instr = &scope->instrs[ref];
  trivet_dim_t value = tvi_kir_instr_dim(dims, instr);
  if (value != NULL) {
    out->constant = tvi_dim_binary(dims, TRIVET_DIM_ADD, out->constant,
                                   tvi_dim_binary(dims, TRIVET_DIM_MUL, value, factor));
    return out->constant != NULL;
  }
  switch (instr->opcode) {
    case TVI_KIR_ADD:
      return linear_collect(scope, instr->args[0], factor, out) &&
             linear_collect(scope, instr->args[1], factor, out);
    case TVI_KIR_SUB:
      return linear_collect(scope, instr->args[0], factor, out) &&
             linear_collect(
                 scope, instr->args[1],
                 tvi_dim_binary(dims, TRIVET_DIM_MUL, factor, tvi_dim_constant(dims, -1)), out);
    case TVI_KIR_NEG:
      return linear_collect(
          scope, instr->args[0],
          tvi_dim_binary(dims, TRIVET_DIM_MUL, factor, tvi_dim_constant(dims, -1)), out);
    case TVI_KIR_MUL:
      for (int side = 0; side < 2; ++side) {
        trivet_dim_t by = tvi_kir_instr_dim(dims, &scope->instrs[instr->args[side]]);
        if (by != NULL) {
          return linear_collect(scope, instr->args[1 - side],
                                tvi_dim_binary(dims, TRIVET_DIM_MUL, factor, by), out);
        }
      }
      break;
    default:
      break;
  }
  if (instr->dtype != TRIVET_DTYPE_I64) return false;
  if (instr->opcode != TVI_KIR_INDEX) out->flags |= atom_flags(scope, ref);
  return tvi_kir_linear_add(dims, out, ref, factor);
}

// K*floordiv(x, K) + mod(x, K) is x.
static void recombine(tvi_kir_scope_t* scope, tvi_kir_linear_t* linear) {
  tvi_dim_context_t* dims = scope->dims;
  for (uint32_t i = 0; i < linear->term_count; ++i) {
    const tvi_kir_instr_t* mod = &scope->instrs[linear->terms[i].atom];
    if (mod->opcode != TVI_KIR_MOD) continue;
    trivet_dim_t divisor = tvi_kir_instr_dim(dims, &scope->instrs[mod->args[1]]);
    if (divisor == NULL) continue;
    for (uint32_t j = 0; j < linear->term_count; ++j) {
      const tvi_kir_instr_t* div = &scope->instrs[linear->terms[j].atom];
      if (div->opcode != TVI_KIR_FLOORDIV || div->args[0] != mod->args[0] ||
          div->args[1] != mod->args[1] ||
          tvi_dim_binary(dims, TRIVET_DIM_MUL, linear->terms[i].coefficient, divisor) !=
              linear->terms[j].coefficient) {
        continue;
      }
      tvi_kir_linear_t joined = *linear;
      trivet_dim_t factor = linear->terms[i].coefficient;
      joined.term_count = 0;
      for (uint32_t t = 0; t < linear->term_count; ++t) {
        if (t != i && t != j) joined.terms[joined.term_count++] = linear->terms[t];
      }
      if (!linear_collect(scope, mod->args[0], factor, &joined)) return;
      *linear = joined;
      i = UINT32_MAX;  // begin again
      break;
    }
  }
  // Flags are those of what is left.
  linear->flags = 0;
  for (uint32_t i = 0; i < linear->term_count; ++i) {
    if (scope->instrs[linear->terms[i].atom].opcode != TVI_KIR_INDEX) {
      linear->flags |= atom_flags(scope, linear->terms[i].atom);
    }
  }
}

bool tvi_kir_scope_linear(tvi_kir_scope_t* scope, tvi_kir_ref_t ref, tvi_kir_linear_t* out) {
  out->constant = tvi_dim_constant(scope->dims, 0);
  out->flags = 0;
  out->term_count = 0;
  if (out->constant == NULL || !linear_collect(scope, ref, tvi_dim_constant(scope->dims, 1), out)) {
    return false;
  }
  if (out->flags != 0) recombine(scope, out);
  return true;
}

// ---- Ranges ----

static void atom_range(tvi_kir_scope_t* scope, tvi_kir_ref_t ref, trivet_dim_t* low,
                       trivet_dim_t* high) {
  tvi_dim_context_t* dims = scope->dims;
  *low = *high = NULL;
  if (scope->budget == 0) return;
  --scope->budget;
  const tvi_kir_instr_t* instr = &scope->instrs[ref];
  if (instr->reserved & TVI_KIR_INSTR_OPAQUE) return;
  trivet_dim_t value = tvi_kir_instr_dim(dims, instr);
  if (value != NULL) {
    *low = *high = value;
    return;
  }
  switch (instr->opcode) {
    case TVI_KIR_INDEX:
      *low = tvi_dim_constant(dims, 0);
      *high = tvi_dim_binary(dims, TRIVET_DIM_SUB, scope->extents[instr->imm.i64],
                             tvi_dim_constant(dims, 1));
      return;
    case TVI_KIR_FLOORDIV:
    case TVI_KIR_MOD: {
      trivet_dim_t divisor = tvi_kir_instr_dim(dims, &scope->instrs[instr->args[1]]);
      if (divisor == NULL) return;
      trivet_dim_t a, b;
      tvi_kir_scope_range(scope, instr->args[0], &a, &b);
      int64_t least, most;
      tvi_dim_range(dims, divisor, &least, &most);
      // A symbolic divisor is an extent that the index walks: taken to be positive.
      if (least < 0 || most < 1) return;
      if (instr->opcode == TVI_KIR_FLOORDIV) {
        if (tvi_dim_is_constant(divisor, NULL)) {
          *low = tvi_dim_binary(dims, TRIVET_DIM_FLOORDIV, a, divisor);
          *high = tvi_dim_binary(dims, TRIVET_DIM_FLOORDIV, b, divisor);
        } else if (tvi_dim_is_nonnegative(dims, a)) {
          *low = tvi_dim_constant(dims, 0);
          *high = tvi_dim_binary(dims, TRIVET_DIM_FLOORDIV, b, divisor);
        }
      } else {
        *low = tvi_dim_constant(dims, 0);
        *high = tvi_dim_binary(dims, TRIVET_DIM_SUB, divisor, tvi_dim_constant(dims, 1));
      }
      return;
    }
    case TVI_KIR_MIN:
    case TVI_KIR_MAX:
    case TVI_KIR_SELECT: {
      bool select = instr->opcode == TVI_KIR_SELECT;
      trivet_dim_t low0, high0, low1, high1;
      tvi_kir_scope_range(scope, instr->args[select ? 1 : 0], &low0, &high0);
      tvi_kir_scope_range(scope, instr->args[select ? 2 : 1], &low1, &high1);
      uint32_t low_op = instr->opcode == TVI_KIR_MAX ? TRIVET_DIM_MAX : TRIVET_DIM_MIN;
      uint32_t high_op = instr->opcode == TVI_KIR_MIN ? TRIVET_DIM_MIN : TRIVET_DIM_MAX;
      *low = tvi_dim_binary(dims, low_op, low0, low1);
      *high = tvi_dim_binary(dims, high_op, high0, high1);
      // One side alone bounds a minimum from above and a maximum from below.
      if (instr->opcode == TVI_KIR_MIN && *high == NULL) *high = high0 != NULL ? high0 : high1;
      if (instr->opcode == TVI_KIR_MAX && *low == NULL) *low = low0 != NULL ? low0 : low1;
      return;
    }
    case TVI_KIR_CAST: {
      uint32_t from = scope->instrs[instr->args[0]].dtype;
      const tvi_dtype_info_t* info = tvi_dtype_info(from);
      if (instr->dtype != TRIVET_DTYPE_I64) return;
      if (from != TRIVET_DTYPE_BOOL && (!tvi_dtype_is_integer(from) || info->bits > 32)) return;
      *low = tvi_dim_constant(dims, info->int_min);
      *high = tvi_dim_constant(dims, (int64_t)info->int_max);
      return;
    }
    default:
      return;
  }
}

void tvi_kir_scope_linear_range(tvi_kir_scope_t* scope, const tvi_kir_linear_t* linear,
                                trivet_dim_t* out_min, trivet_dim_t* out_max) {
  tvi_dim_context_t* dims = scope->dims;
  trivet_dim_t low = linear->constant, high = linear->constant;
  for (uint32_t i = 0; i < linear->term_count && (low != NULL || high != NULL); ++i) {
    trivet_dim_t factor = linear->terms[i].coefficient, least, most;
    atom_range(scope, linear->terms[i].atom, &least, &most);
    bool positive = tvi_dim_is_nonnegative(dims, factor);
    if (!positive) {
      trivet_dim_t negated =
          tvi_dim_binary(dims, TRIVET_DIM_MUL, factor, tvi_dim_constant(dims, -1));
      if (!tvi_dim_is_nonnegative(dims, negated)) {
        low = high = NULL;
        break;
      }
    }
    low = tvi_dim_binary(dims, TRIVET_DIM_ADD, low,
                         tvi_dim_binary(dims, TRIVET_DIM_MUL, factor, positive ? least : most));
    high = tvi_dim_binary(dims, TRIVET_DIM_ADD, high,
                          tvi_dim_binary(dims, TRIVET_DIM_MUL, factor, positive ? most : least));
  }
  *out_min = low;
  *out_max = high;
}

void tvi_kir_scope_range(tvi_kir_scope_t* scope, tvi_kir_ref_t ref, trivet_dim_t* out_min,
                         trivet_dim_t* out_max) {
  tvi_kir_linear_t linear;
  *out_min = *out_max = NULL;
  if (scope->instrs[ref].dtype != TRIVET_DTYPE_I64) return;
  if (scope->instrs[ref].opcode == TVI_KIR_INDEX) {
    atom_range(scope, ref, out_min, out_max);
    return;
  }
  if (!tvi_kir_scope_linear(scope, ref, &linear)) return;
  tvi_kir_scope_linear_range(scope, &linear, out_min, out_max);
}

uint32_t tvi_kir_scope_bounds(tvi_kir_scope_t* scope, tvi_kir_ref_t ref, trivet_dim_t extent) {
  const tvi_kir_instr_t* instr = &scope->instrs[ref];
  if (instr->opcode == TVI_KIR_INDEX && scope->extents[instr->imm.i64] == extent) {
    return TVI_KIR_BOUND_LOW | TVI_KIR_BOUND_HIGH;
  }
  trivet_dim_t low, high;
  tvi_kir_scope_range(scope, ref, &low, &high);
  uint32_t result = 0;
  if (tvi_dim_is_nonnegative(scope->dims, low)) result |= TVI_KIR_BOUND_LOW;
  trivet_dim_t room = tvi_dim_binary(scope->dims, TRIVET_DIM_SUB, extent, high);
  if (tvi_dim_is_positive(scope->dims, room)) result |= TVI_KIR_BOUND_HIGH;
  return result;
}

// ---- Over stages ----

static tvi_kir_scope_t scope_of(const tvi_kir_program_t* program, const tvi_kir_stage_t* stage) {
  tvi_kir_scope_t scope = {program->dims, stage->instrs, stage->extents, BUDGET};
  return scope;
}

bool tvi_kir_linear_form(const tvi_kir_program_t* program, const tvi_kir_stage_t* stage,
                         tvi_kir_ref_t ref, tvi_kir_linear_t* out_linear) {
  tvi_kir_scope_t scope = scope_of(program, stage);
  return tvi_kir_scope_linear(&scope, ref, out_linear);
}

void tvi_kir_index_range(const tvi_kir_program_t* program, const tvi_kir_stage_t* stage,
                         tvi_kir_ref_t ref, trivet_dim_t* out_min, trivet_dim_t* out_max) {
  tvi_kir_scope_t scope = scope_of(program, stage);
  tvi_kir_scope_range(&scope, ref, out_min, out_max);
}

bool tvi_kir_affine_load(const tvi_kir_program_t* program, const tvi_kir_stage_t* stage,
                         tvi_kir_ref_t ref, tvi_kir_affine_load_t* out_affine) {
  if (stage->instrs[ref].opcode != TVI_KIR_LOAD) return false;
  const tvi_kir_load_t* load = stage->instrs[ref].imm.load;
  const tvi_kir_value_t* value = &program->values[load->value];
  tvi_dim_context_t* dims = program->dims;
  trivet_dim_t zero = tvi_dim_constant(dims, 0), stride = tvi_dim_constant(dims, 1);
  out_affine->flags = 0;
  out_affine->constant = zero;
  for (uint32_t i = 0; i < TVI_KIR_MAX_INDICES; ++i) out_affine->strides[i] = zero;
  for (uint32_t d = load->index_count; d-- > 0;) {
    tvi_kir_linear_t linear;
    if (load->wrap != NULL && load->wrap[d] != TVI_KIR_WRAP_NONE) {
      out_affine->flags |= TVI_KIR_LINEAR_QUASI;
    }
    if (!tvi_kir_linear_form(program, stage, load->indices[d], &linear)) return false;
    out_affine->flags |= linear.flags;
    if (out_affine->flags == 0) {
      out_affine->constant =
          tvi_dim_binary(dims, TRIVET_DIM_ADD, out_affine->constant,
                         tvi_dim_binary(dims, TRIVET_DIM_MUL, linear.constant, stride));
      if (out_affine->constant == NULL) return false;
      for (uint32_t t = 0; t < linear.term_count; ++t) {
        int64_t index = stage->instrs[linear.terms[t].atom].imm.i64;
        trivet_dim_t* sum = &out_affine->strides[index];
        *sum = tvi_dim_binary(
            dims, TRIVET_DIM_ADD, *sum,
            tvi_dim_binary(dims, TRIVET_DIM_MUL, linear.terms[t].coefficient, stride));
        if (*sum == NULL) return false;
      }
    }
    stride = tvi_dim_binary(dims, TRIVET_DIM_MUL, stride, value->dims[d]);
    if (stride == NULL) return false;
  }
  return true;
}
