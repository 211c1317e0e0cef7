// SPDX-License-Identifier: Apache-2.0
//
// Recognises products of matrices. What contraction.c and convolution.c share, taking a sum of
// products apart, is in contraction_internal.h.
#include "core/kernel_ir/contraction.h"

#include <string.h>

#include "core/base/dtype.h"
#include "core/kernel_ir/affine.h"
#include "core/kernel_ir/contraction_internal.h"

// A cast that loses nothing: the kernel may as well read the operand as it is stored.
static bool widens(uint32_t to, uint32_t from) {
  const tvi_dtype_info_t *t = tvi_dtype_info(to), *f = tvi_dtype_info(from);
  if (from == to) return true;
  if (tvi_dtype_is_float(to) && tvi_dtype_is_float(from)) return t->bits > f->bits;
  if (tvi_dtype_is_integer(to) && tvi_dtype_is_integer(from)) {
    return t->int_min <= f->int_min && t->int_max >= f->int_max;
  }
  return tvi_dtype_is_float(to) && tvi_dtype_is_integer(from) && f->bits < t->mantissa_bits;
}

bool tvi_kir_strip_casts(const tvi_kir_stage_t* stage, tvi_kir_ref_t* ref) {
  while (stage->instrs[*ref].opcode == TVI_KIR_CAST) {
    tvi_kir_ref_t inner = stage->instrs[*ref].args[0];
    if (!widens(stage->instrs[*ref].dtype, stage->instrs[inner].dtype)) return false;
    *ref = inner;
  }
  return true;
}

bool tvi_kir_split_product(const tvi_kir_program_t* program, uint32_t stage_index,
                           tvi_kir_ref_t* out_left, tvi_kir_ref_t* out_right,
                           const char** out_reason) {
  const tvi_kir_stage_t* stage = &program->stages[stage_index];
  if (stage->kind != TVI_KIR_REDUCE || stage->monoid->kind != TVI_KIR_SUM) {
    return tvi_kir_reject(out_reason, "it is not a sum");
  }
  tvi_kir_ref_t root = stage->results[0];
  // A product of floats is not rounded before it is summed; one of integers would wrap.
  while (stage->instrs[root].opcode == TVI_KIR_CAST &&
         tvi_dtype_is_float(stage->instrs[stage->instrs[root].args[0]].dtype) &&
         tvi_dtype_is_float(stage->instrs[root].dtype) &&
         widens(stage->instrs[root].dtype, stage->instrs[stage->instrs[root].args[0]].dtype)) {
    root = stage->instrs[root].args[0];
  }
  if (stage->instrs[root].opcode != TVI_KIR_MUL) {
    return tvi_kir_reject(out_reason, "what is summed is not a product");
  }
  tvi_kir_ref_t left = stage->instrs[root].args[0], right = stage->instrs[root].args[1];
  if (!tvi_kir_strip_casts(stage, &left) || !tvi_kir_strip_casts(stage, &right)) {
    return tvi_kir_reject(out_reason, "a factor is cast to a type that does not hold it");
  }
  *out_left = left;
  *out_right = right;
  return true;
}

bool tvi_kir_plain_index(const tvi_kir_stage_t* stage, tvi_kir_ref_t ref, uint8_t* out_index) {
  const tvi_kir_instr_t* instr = &stage->instrs[ref];
  if (instr->opcode == TVI_KIR_INDEX) {
    *out_index = (uint8_t)instr->imm.i64;
    return true;
  }
  if (instr->opcode == TVI_KIR_CONST && instr->imm.i64 == 0) {
    *out_index = TVI_KIR_NO_DIM;
    return true;
  }
  return false;
}

bool tvi_kir_is_one(trivet_dim_t dim) { return tvi_dim_equals_constant(dim, 1); }

bool tvi_kir_same_extent(trivet_dim_t a, trivet_dim_t b) {
  return a == b || !tvi_dim_is_constant(a, NULL) || !tvi_dim_is_constant(b, NULL);
}

// A load whose every index is an index of the stage, each at most once, or the only position.
static bool match_operand(const tvi_kir_program_t* program, const tvi_kir_stage_t* stage,
                          tvi_kir_ref_t ref, tvi_kir_contraction_operand_t* out,
                          const char** out_reason) {
  const tvi_kir_instr_t* instr = &stage->instrs[ref];
  if (instr->opcode != TVI_KIR_LOAD) {
    return tvi_kir_reject(out_reason, "a factor is not an element of a value");
  }
  const tvi_kir_load_t* load = instr->imm.load;
  const tvi_kir_value_t* value = &program->values[load->value];
  if (load->bounds != TVI_KIR_BOUNDS_PROVEN || load->wrap != NULL) {
    return tvi_kir_reject(out_reason, "a factor is padded, or its index wraps");
  }
  out->value = load->value;
  out->load = ref;
  out->dtype = value->dtype;
  memset(out->dim_of_index, TVI_KIR_NO_DIM, sizeof(out->dim_of_index));
  for (uint32_t d = 0; d < load->index_count; ++d) {
    uint8_t index;
    if (!tvi_kir_plain_index(stage, load->indices[d], &index)) {
      return tvi_kir_reject(out_reason, "an index of a factor is computed");
    }
    if (index == TVI_KIR_NO_DIM) {
      if (tvi_kir_is_one(value->dims[d])) continue;
      return tvi_kir_reject(out_reason, "a factor is read at a fixed position");
    }
    if (out->dim_of_index[index] != TVI_KIR_NO_DIM) {
      return tvi_kir_reject(out_reason, "a factor is read along a diagonal");
    }
    if (!tvi_kir_same_extent(value->dims[d], stage->extents[index])) {
      return tvi_kir_reject(out_reason, "only a part of a factor is read");
    }
    out->dim_of_index[index] = (uint8_t)d;
  }
  return true;
}

bool tvi_kir_match_matmul(const tvi_kir_program_t* program, uint32_t stage_index,
                          tvi_kir_matmul_t* out, const char** out_reason) {
  const tvi_kir_stage_t* stage = &program->stages[stage_index];
  tvi_kir_ref_t left, right;
  tvi_kir_matmul_t match;
  memset(&match, 0, sizeof(match));
  if (!tvi_kir_split_product(program, stage_index, &left, &right, out_reason) ||
      !match_operand(program, stage, left, &match.a, out_reason) ||
      !match_operand(program, stage, right, &match.b, out_reason)) {
    return false;
  }
  match.stage = stage_index;
  match.accumulate_dtype = stage->monoid->dtypes[0];
  tvi_kir_roles_t* roles = &match.roles;
  uint32_t indices = stage->parallel_count + stage->reduced_count;
  for (uint32_t i = 0; i < indices; ++i) {
    bool in_a = match.a.dim_of_index[i] != TVI_KIR_NO_DIM;
    bool in_b = match.b.dim_of_index[i] != TVI_KIR_NO_DIM;
    if (!in_a && !in_b) {
      // The only position of an extent of 1 needs no operand.
      if (tvi_kir_is_one(stage->extents[i])) continue;
      return tvi_kir_reject(out_reason, i < stage->parallel_count
                                            ? "an index of the result is in no factor"
                                            : "an index that is summed over is in no factor");
    }
    uint8_t* list = roles->k;
    uint32_t* count = &roles->k_count;
    if (i < stage->parallel_count) {
      list = in_a && in_b ? roles->batch : in_a ? roles->m : roles->n;
      count = in_a && in_b ? &roles->batch_count : in_a ? &roles->m_count : &roles->n_count;
    } else if (!in_a || !in_b) {
      return tvi_kir_reject(out_reason, "an index that is summed over is in one factor only");
    }
    if (*count == TRIVET_MAX_RANK) return tvi_kir_reject(out_reason, "it has too many indices");
    list[(*count)++] = (uint8_t)i;
  }
  if (roles->k_count == 0) return tvi_kir_reject(out_reason, "nothing is summed over");
  if (roles->m_count > 0 && roles->n_count > 0 && roles->n[0] < roles->m[0]) {
    // Rows of the result come from the first operand.
    tvi_kir_contraction_operand_t operand = match.a;
    match.a = match.b;
    match.b = operand;
    tvi_kir_roles_t swapped = *roles;
    memcpy(swapped.m, roles->n, sizeof(swapped.m));
    memcpy(swapped.n, roles->m, sizeof(swapped.n));
    swapped.m_count = roles->n_count;
    swapped.n_count = roles->m_count;
    *roles = swapped;
  }
  *out = match;
  return true;
}
