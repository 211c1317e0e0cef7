// SPDX-License-Identifier: Apache-2.0
//
// Reading a schedule as a matrix product, and the pieces of text that every form of it has. See
// matmul_shape.h.
#include "plugins/cuda/emit/matmul_shape.h"

#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "core/kernel_ir/contraction.h"
#include "core/kernel_ir/fuse.h"

#define P TVI_CUDA_PRINT

static bool divides(const tvi_cuda_printer_t* p, trivet_dim_t dim, uint32_t vector) {
  return !dim || tvi_dim_divisor(p->program->dims, dim) % vector == 0;
}

static bool is_unit(const tvi_cuda_access_t* access, uint32_t loop) {
  return loop != TVI_CUDA_NONE && access->coefficients[loop] &&
         tvi_dim_equals_constant(access->coefficients[loop], 1);
}

static uint32_t last_of(const tvi_cuda_loops_t* loops) {
  return loops->count ? loops->loops[loops->count - 1] : TVI_CUDA_NONE;
}

static bool is_tail_access(const tvi_cuda_access_t* access, const tvi_cuda_matmul_shape_t* shape) {
  return access->load == TVI_KIR_NONE || access->stage != shape->core;
}

static bool is_written_store(const tvi_cuda_printer_t* p, const tvi_cuda_access_t* access) {
  return access->load == TVI_KIR_NONE && tvi_cuda_is_written(p, access->value);
}

const char* tvi_cuda_matmul_type(const tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s) {
  return s->width > 1 ? "tv_s8x2" : tvi_cuda_storage_type(p->program->values[s->b.value].dtype);
}

const tvi_cuda_access_t* tvi_cuda_factor_access(const tvi_cuda_printer_t* p,
                                                const tvi_cuda_matmul_shape_t* shape,
                                                const tvi_cuda_factor_t* factor) {
  for (size_t i = 0; i < p->accesses.count; ++i)
    if (p->accesses.data[i].stage == shape->core && p->accesses.data[i].load == factor->load)
      return &p->accesses.data[i];
  return NULL;
}

// ---------------------------------------------------------------------------------------------
// Roles
// ---------------------------------------------------------------------------------------------

const char* tvi_cuda_matmul_check_stages(const tvi_cuda_printer_t* p) {
  const tvi_cuda_schedule_t* schedule = p->schedule;
  if (p->group != &schedule->groups[schedule->group_count - 1])
    return "more than a contraction and what follows each element";
  const tvi_cuda_group_t* group = p->group;
  for (uint32_t i = 0; i < group->stage_count; ++i) {
    const uint32_t number = schedule->order[group->stage_first + i];
    const tvi_kir_stage_t* stage = &p->program->stages[number];
    if (i == 0 ? stage->kind != TVI_KIR_REDUCE || stage->result_count != 1
               : stage->kind != TVI_KIR_MAP)
      return "no contraction followed by elementwise stages";
    if (schedule->stages[number].has_inner) return "a stage between the factors and the sum";
    if (tvi_dtype_bits(p->program->values[stage->values[0]].dtype) < 8) return "a packed result";
  }
  return NULL;
}

// The strides of what |load| reads, by index of the stage. False: it reads no element at every
// point that no other point reads.
static bool strides_of_load(const tvi_cuda_printer_t* p, const tvi_kir_stage_t* stage,
                            const tvi_kir_load_t* load, trivet_dim_t* out_strides) {
  memset(out_strides, 0, TRIVET_MAX_RANK * sizeof(*out_strides));
  for (uint32_t d = 0; d < load->index_count; ++d) {
    const tvi_kir_instr_t* index = &stage->instrs[load->indices[d]];
    if (index->opcode == TVI_KIR_INDEX && !out_strides[index->imm.i64])
      out_strides[index->imm.i64] = p->strides[load->value][d];
  }
  for (uint32_t i = 0; i < stage->parallel_count; ++i)
    if (!out_strides[i] && !tvi_dim_equals_constant(stage->extents[i], 1)) return false;
  return load->bounds == TVI_KIR_BOUNDS_PROVEN && !load->wrap;
}

// What is never stored may lie in any order: that of an operand with an element for each of its
// own, so that neighbours are made of neighbours.
static void follow_operand(tvi_cuda_printer_t* p, const tvi_kir_stage_t* stage) {
  trivet_dim_t by[TRIVET_MAX_RANK];
  bool found = false;
  for (uint32_t i = 0; i < stage->instr_count && !found; ++i)
    found = stage->instrs[i].opcode == TVI_KIR_LOAD &&
            strides_of_load(p, stage, stage->instrs[i].imm.load, by);
  if (!found) return;
  uint32_t order[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < stage->parallel_count; ++i) {
    const int64_t stride = by[i] ? tvi_cuda_printer_estimate(p, by[i]) : INT64_MAX;
    uint32_t at = i;
    for (; at > 0; --at) {
      const trivet_dim_t before = by[order[at - 1]];
      if (!before || tvi_cuda_printer_estimate(p, before) >= stride) break;
      order[at] = order[at - 1];
    }
    order[at] = i;
  }
  trivet_dim_t stride = tvi_cuda_number(p, 1);
  for (uint32_t i = stage->parallel_count; i-- > 0;) {
    p->strides[stage->values[0]][order[i]] = stride;
    stride = tvi_cuda_dim(p, TRIVET_DIM_MUL, stride, stage->extents[order[i]]);
  }
}

const char* tvi_cuda_matmul_check_makers(tvi_cuda_printer_t* p) {
  const tvi_cuda_schedule_t* schedule = p->schedule;
  for (uint32_t i = 0; i < p->group->stage_first; ++i) {
    const tvi_kir_stage_t* stage = &p->program->stages[schedule->order[i]];
    if (stage->kind != TVI_KIR_MAP || stage->result_count != 1)
      return "more than elementwise stages before the product";
    if (p->program->values[stage->values[0]].kind != TVI_KIR_TEMP)
      return "a factor that others read too";
    for (uint32_t k = 0; k < stage->instr_count; ++k) {
      const tvi_kir_instr_t* instr = &stage->instrs[k];
      if (instr->opcode == TVI_KIR_LOAD &&
          p->program->values[instr->imm.load->value].stage != TVI_KIR_NONE)
        return "a factor made of what the kernel computes";
    }
    follow_operand(p, stage);
  }
  return NULL;
}

// The operand of the same type that lies as |value|, which is made of it.
static uint32_t raw_of(const tvi_cuda_printer_t* p, uint32_t value) {
  const tvi_kir_stage_t* stage = &p->program->stages[p->program->values[value].stage];
  trivet_dim_t strides[TRIVET_MAX_RANK];
  for (uint32_t i = 0; i < stage->instr_count; ++i) {
    if (stage->instrs[i].opcode != TVI_KIR_LOAD) continue;
    const tvi_kir_load_t* load = stage->instrs[i].imm.load;
    bool same = p->program->values[load->value].dtype == p->program->values[value].dtype &&
                strides_of_load(p, stage, load, strides);
    for (uint32_t d = 0; d < stage->parallel_count && same; ++d)
      same = tvi_dim_equals_constant(stage->extents[d], 1) || strides[d] == p->strides[value][d];
    if (same) return load->value;
  }
  return TVI_CUDA_NONE;
}

bool tvi_cuda_matmul_is_turned(const tvi_cuda_printer_t* p, const tvi_cuda_factor_t* factor) {
  return factor->is_made && factor->raw != TVI_CUDA_NONE &&
         factor->vector == tvi_cuda_matmul_piece(p->program->values[factor->value].dtype);
}

const char* tvi_cuda_matmul_set_maker(tvi_cuda_printer_t* p, tvi_cuda_factor_t* factor,
                                      uint32_t* io_count) {
  factor->raw = TVI_CUDA_NONE;
  factor->is_made = p->program->values[factor->value].stage != TVI_KIR_NONE;
  if (!factor->is_made) return NULL;
  if (tvi_kir_value_read_count(p->program, factor->value) != 1)
    return "a factor that is read more than once";
  p->schedule->is_stored[factor->value] = 0;
  factor->raw = raw_of(p, factor->value);
  ++*io_count;
  return NULL;
}

static const char* read_loops(tvi_cuda_printer_t* p, tvi_cuda_matmul_shape_t* s) {
  const tvi_cuda_access_t* a = tvi_cuda_factor_access(p, s, &s->a);
  const tvi_cuda_access_t* b = tvi_cuda_factor_access(p, s, &s->b);
  if (!a || !b || !a->is_direct || !b->is_direct) return "a factor is read at computed positions";
  s->k = TVI_CUDA_NONE;
  for (uint32_t l = 0; l < p->loop_count; ++l) {
    const bool in_a = a->coefficients[l] != NULL, in_b = b->coefficients[l] != NULL;
    if (p->is_inner[l]) {
      if (!in_a || !in_b || s->k != TVI_CUDA_NONE) return "the sum is over more than one loop";
      s->k = l;
      continue;
    }
    if (!in_a && !in_b) return "a loop of the result is in no factor";
    tvi_cuda_loops_t* list = in_a && in_b ? &s->batch : in_a ? &s->m : &s->n;
    list->loops[list->count++] = l;
  }
  return s->k == TVI_CUDA_NONE ? "nothing is summed" : NULL;
}

// Neighbours in the result are columns.
static void orient(const tvi_cuda_printer_t* p, tvi_cuda_matmul_shape_t* s) {
  bool by_rows = false, by_columns = false;
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    if (!is_written_store(p, access)) continue;
    by_rows |= is_unit(access, last_of(&s->m));
    by_columns |= is_unit(access, last_of(&s->n));
  }
  const bool swap = by_columns ? false : by_rows || (s->n.count == 0 && s->m.count > 0);
  if (swap) {
    const tvi_cuda_factor_t factor = s->a;
    s->a = s->b;
    s->b = factor;
    const tvi_cuda_loops_t loops = s->m;
    s->m = s->n;
    s->n = loops;
  }
}

static void measure_factor(const tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s,
                           tvi_cuda_factor_t* factor, const tvi_cuda_loops_t* x) {
  const tvi_cuda_access_t* access = tvi_cuda_factor_access(p, s, factor);
  const uint32_t last = last_of(x);
  // Several loops along x: a piece of 16 bytes must not reach into the next row.
  const uint32_t piece = tvi_cuda_matmul_piece(p->program->values[factor->value].dtype);
  const bool whole = x->count == 1 || (x->count > 1 && divides(p, p->extents[last], piece));
  factor->inner_k = is_unit(access, s->k) || !is_unit(access, last) || !whole;
  factor->vector = 1;
  if (s->width > 1 && !factor->inner_k) return;
  for (uint32_t v = piece; v > 1; v /= 2) {
    if (!tvi_cuda_is_vector(p, access, factor->inner_k ? s->k : last, v * s->width)) continue;
    factor->vector = v;
    break;
  }
  if (factor->is_made && factor->vector < piece) factor->vector = 1;
}

static trivet_dim_t product_of(tvi_cuda_printer_t* p, const tvi_cuda_loops_t* loops) {
  trivet_dim_t product = tvi_dim_constant(p->program->dims, 1);
  for (uint32_t i = 0; i < loops->count; ++i)
    product =
        tvi_dim_binary(p->program->dims, TRIVET_DIM_MUL, product, p->extents[loops->loops[i]]);
  if (!product) tvi_cuda_fail(p, TRIVET_STATUS(OUT_OF_RANGE, "a shape overflows 64 bits"));
  return product;
}

// 32 bits unless an operand or the result is too large for them; the points of the product are
// never counted.
static bool is_wide(const tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s) {
  int64_t low, high;
  double points = 1;
  const trivet_dim_t sizes[] = {s->rows, s->columns, s->batches};
  for (size_t i = 0; i < 3; ++i) {
    tvi_dim_range(p->program->dims, sizes[i], &low, &high);
    points *= (double)high;
  }
  return tvi_cuda_is_wide(p, points);
}

const char* tvi_cuda_matmul_measure(tvi_cuda_printer_t* p, tvi_cuda_matmul_shape_t* s) {
  s->last = last_of(&s->n);
  s->rows = product_of(p, &s->m);
  s->columns = product_of(p, &s->n);
  s->batches = product_of(p, &s->batch);
  if (p->status) return NULL;
  s->vector = 1;
  for (uint32_t v = 8; v > 1 && s->vector == 1 && s->last != TVI_CUDA_NONE; v /= 2) {
    if (!divides(p, p->extents[s->last], v)) continue;
    for (size_t i = 0; i < p->accesses.count; ++i)
      if (is_written_store(p, &p->accesses.data[i]) &&
          tvi_cuda_is_vector(p, &p->accesses.data[i], s->last, v))
        s->vector = v;
  }
  int64_t low, high;
  const trivet_dim_t sizes[] = {s->rows, s->columns, s->depth};
  for (size_t i = 0; i < 3; ++i) {
    tvi_dim_range(p->program->dims, sizes[i], &low, &high);
    if (high > INT32_MAX / 2) return "a matrix of 2^30 rows or columns";
  }
  p->is_wide = is_wide(p, s);
  memset(&p->shape, 0, sizeof(p->shape));
  p->shape.vector = 1;
  return NULL;
}

void tvi_cuda_matmul_shape(tvi_cuda_printer_t* p, tvi_cuda_matmul_shape_t* out,
                           const char** out_reason) {
  tvi_cuda_matmul_shape_t s;
  tvi_kir_matmul_t match;
  memset(&s, 0, sizeof(s));
  *out_reason = NULL;
  if (p->schedule->group_count == 0) {
    *out_reason = "nothing to compute";
    return;
  }
  uint32_t makers = 0;
  p->group = &p->schedule->groups[p->schedule->group_count - 1];
  *out_reason = tvi_cuda_matmul_check_makers(p);
  if (!*out_reason) *out_reason = tvi_cuda_matmul_check_stages(p);
  if (*out_reason) return;
  s.core = p->schedule->order[p->group->stage_first];
  if (!tvi_kir_match_matmul(p->program, s.core, &match, out_reason)) return;
  const bool is_whole = match.a.dtype == TRIVET_DTYPE_I8;
  *out_reason = match.a.dtype != match.b.dtype
                    ? "factors of two types"
                    : tvi_cuda_matmul_check_dtype(match.a.dtype, match.accumulate_dtype,
                                                  p->options->allows_tf32);
  if (*out_reason) return;
  tvi_cuda_collect_accesses(p);
  if (p->status) return;
  s.a.load = match.a.load;
  s.a.value = match.a.value;
  s.b.load = match.b.load;
  s.b.value = match.b.value;
  *out_reason = tvi_cuda_matmul_set_maker(p, &s.a, &makers);
  if (!*out_reason) *out_reason = tvi_cuda_matmul_set_maker(p, &s.b, &makers);
  if (!*out_reason && makers != p->group->stage_first)
    *out_reason = "a stage before the product that is none of its factors";
  if (*out_reason) return;
  *out_reason = read_loops(p, &s);
  if (*out_reason) return;
  s.width = is_whole ? 2 : 1;
  if (is_whole && makers) {
    *out_reason = "factors of i8 that are computed";
    return;
  }
  orient(p, &s);
  measure_factor(p, &s, &s.a, &s.m);
  measure_factor(p, &s, &s.b, &s.n);
  s.depth = p->extents[s.k];
  if (is_whole) {
    if (!s.a.inner_k || s.a.vector < 8 || !divides(p, s.depth, 16)) {
      *out_reason = "a first factor of i8 that does not lie along the sum, in 16 bytes";
      return;
    }
    s.depth = tvi_cuda_dim(p, TRIVET_DIM_FLOORDIV, s.depth, tvi_cuda_number(p, s.width));
    if (p->status) return;
  }
  *out_reason = tvi_cuda_matmul_measure(p, &s);
  if (p->status || *out_reason) return;
  *out = s;
}

uint32_t tvi_cuda_matmul_alignment(const tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s) {
  uint32_t alignment = 1;
  const tvi_cuda_factor_t* factors[] = {&s->a, &s->b};
  for (size_t i = 0; i < 2; ++i) {
    const uint32_t bytes = factors[i]->vector * s->width *
                           tvi_dtype_bytes(p->program->values[factors[i]->value].dtype);
    if (factors[i]->vector > 1 && bytes > alignment) alignment = bytes;
  }
  for (size_t i = 0; i < p->accesses.count && s->vector > 1; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    if (!is_tail_access(access, s)) continue;
    if (access->load == TVI_KIR_NONE && !tvi_cuda_is_written(p, access->value)) continue;
    if (!tvi_cuda_is_vector(p, access, s->last, s->vector)) continue;
    uint32_t bytes =
        s->vector * tvi_dtype_bytes(tvi_cuda_stored_dtype(&p->program->values[access->value]));
    if (bytes > 16) bytes = 16;
    if (bytes > alignment) alignment = bytes;
  }
  return alignment;
}

// ---------------------------------------------------------------------------------------------
// Text
// ---------------------------------------------------------------------------------------------

void tvi_cuda_matmul_print_loops(tvi_cuda_printer_t* p, const tvi_cuda_loops_t* loops,
                                 const char* from, bool is_base) {
  if (loops->count == 0) return;
  const char* type = tvi_cuda_index_type(p);
  if (loops->count > 1) P(p, "unsigned r%c = (unsigned)(%s);\n", from[0], from);
  for (uint32_t i = loops->count; i-- > 0;) {
    const uint32_t l = loops->loops[i];
    P(p, "const %s %c%u = (%s)(", type, is_base && i + 1 == loops->count ? 'b' : 'q', l, type);
    if (loops->count == 1) {
      P(p, "%s);\n", from);
    } else if (i == 0) {
      P(p, "r%c);\n", from[0]);
    } else {
      P(p, "r%c %% (unsigned)", from[0]);
      tvi_cuda_print_dim(p, p->extents[l]);
      P(p, ");\nr%c /= (unsigned)", from[0]);
      tvi_cuda_print_dim(p, p->extents[l]);
      P(p, ";\n");
    }
  }
}

void tvi_cuda_matmul_print_extents(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s) {
  const trivet_dim_t sizes[] = {s->rows, s->columns, s->depth};
  P(p, "const int ");
  for (size_t i = 0; i < 3; ++i) {
    P(p, "%s%c = (int)(", i ? ", " : "", "MNK"[i]);
    tvi_cuda_print_dim(p, sizes[i]);
    P(p, ")");
  }
  P(p, ";\n");
}

// Loads of the tail that can be moved at once, each into an array of registers.
static void print_arrays(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s, uint32_t vector) {
  uint32_t arrays = 0;
  for (size_t i = 0; i < p->accesses.count; ++i) p->accesses.data[i].array = TVI_CUDA_NONE;
  for (size_t i = 0; i < p->accesses.count && vector > 1; ++i) {
    tvi_cuda_access_t* access = &p->accesses.data[i];
    if (access->load == TVI_KIR_NONE || access->stage == s->core ||
        !tvi_cuda_is_vector(p, access, s->last, vector))
      continue;
    for (size_t k = 0; k < i; ++k) {
      const tvi_cuda_access_t* other = &p->accesses.data[k];
      if (other->array != TVI_CUDA_NONE && other->value == access->value &&
          other->constant == access->constant &&
          memcmp(other->coefficients, access->coefficients, sizeof(access->coefficients)) == 0)
        access->array = other->array;
    }
    if (access->array != TVI_CUDA_NONE) continue;
    access->array = arrays++;
    P(p, "%s x%u[%u];\ntv_load<%u>(x%u, ",
      tvi_cuda_register_type(p->program->values[access->value].dtype), access->array, vector,
      vector, access->array);
    tvi_cuda_print_pointer(p, access->value);
    P(p, " + ");
    tvi_cuda_print_offset(p, access, s->last);
    P(p, ");\n");
  }
}

static bool is_vector_store(const tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s,
                            const tvi_cuda_access_t* access, uint32_t vector) {
  return vector > 1 && is_written_store(p, access) &&
         tvi_cuda_is_vector(p, access, s->last, vector);
}

void tvi_cuda_matmul_print_put(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s,
                               uint32_t vector) {
  P(p, "const auto put = [&](const int m, const int n, const float* sums) {\n");
  tvi_cuda_matmul_print_loops(p, &s->m, "m", false);
  tvi_cuda_matmul_print_loops(p, &s->n, "n", true);
  print_arrays(p, s, vector);
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    if (is_vector_store(p, s, access, vector))
      P(p, "%s o%u[%u];\n", tvi_cuda_register_type(p->program->values[access->value].dtype),
        access->value, vector);
  }
  P(p, "TV_UNROLL\nfor (int e = 0; e < %u; ++e) {\n", vector);
  if (s->last != TVI_CUDA_NONE)
    P(p, "const %s q%u = b%u + e;\n", tvi_cuda_index_type(p), s->last, s->last);
  for (uint32_t i = 0; i < p->group->stage_count; ++i) {
    const uint32_t stage = p->schedule->order[p->group->stage_first + i];
    const uint32_t value = p->program->stages[stage].values[0];
    if (stage == s->core) {
      P(p,
        p->program->values[value].dtype == TRIVET_DTYPE_I32
            ? "const int v%u = (int)tv_bits(sums[e]);\n"
            : "const float v%u = sums[e];\n",
        value);
    } else {
      tvi_cuda_print_body(p, stage);
      P(p, "const %s v%u = ", tvi_cuda_register_type(p->program->values[value].dtype), value);
      tvi_cuda_print_ref(p, stage, p->program->stages[stage].results[0]);
      P(p, ";\n");
    }
    for (size_t k = 0; k < p->accesses.count; ++k) {
      const tvi_cuda_access_t* access = &p->accesses.data[k];
      if (access->stage != stage || !is_written_store(p, access)) continue;
      if (is_vector_store(p, s, access, vector)) {
        P(p, "o%u[e] = v%u;\n", value, value);
        continue;
      }
      P(p, "tv_put(");
      tvi_cuda_print_pointer(p, access->value);
      P(p, "[");
      tvi_cuda_print_offset(p, access, TVI_CUDA_NONE);
      P(p, "], v%u);\n", value);
    }
  }
  P(p, "}\n");
  for (size_t k = 0; k < p->accesses.count; ++k) {
    const tvi_cuda_access_t* access = &p->accesses.data[k];
    if (!is_vector_store(p, s, access, vector)) continue;
    P(p, "tv_store<%u>(", vector);
    tvi_cuda_print_pointer(p, access->value);
    P(p, " + ");
    tvi_cuda_print_offset(p, access, s->last);
    P(p, ", o%u);\n", access->value);
  }
  P(p, "};\n");
}
