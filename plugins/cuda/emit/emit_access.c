// SPDX-License-Identifier: Apache-2.0
//
// Addresses of a group: every load and store as an affine form over the group's loops, and loops
// that are walked together merged into one. See emit_print.h.
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "core/kernel_ir/builder.h"
#include "core/kernel_ir/fuse.h"
#include "plugins/cuda/emit/emit_print.h"

#define P TVI_CUDA_PRINT

static trivet_dim_t multiply(const tvi_cuda_printer_t* p, trivet_dim_t a, trivet_dim_t b) {
  return tvi_dim_binary(p->program->dims, TRIVET_DIM_MUL, a, b);
}

// *sum += a * b; NULL is 0 before and after.
static void add_product(tvi_cuda_printer_t* p, trivet_dim_t* sum, trivet_dim_t a, trivet_dim_t b) {
  trivet_dim_t product = multiply(p, a, b);
  if (product && *sum) product = tvi_dim_binary(p->program->dims, TRIVET_DIM_ADD, *sum, product);
  if (!product) {
    tvi_cuda_fail(p, TRIVET_STATUS(OUT_OF_RANGE, "an element offset overflows 64 bits"));
    return;
  }
  *sum = tvi_dim_equals_constant(product, 0) ? NULL : product;
}

static void add_atom(tvi_cuda_printer_t* p, tvi_cuda_access_t* access, tvi_kir_ref_t atom,
                     uint32_t dim, trivet_dim_t coefficient) {
  if (access->atom_count == TVI_CUDA_MAX_ATOMS) {
    tvi_cuda_fail(p, TRIVET_STATUS(UNIMPLEMENTED, "an address is made of more than %u parts",
                                   TVI_CUDA_MAX_ATOMS));
    return;
  }
  access->atoms[access->atom_count] = atom;
  access->atom_dims[access->atom_count] = dim;
  access->atom_coefficients[access->atom_count++] = coefficient;
}

static void add_load(tvi_cuda_printer_t* p, uint32_t stage, tvi_kir_ref_t ref) {
  const tvi_kir_stage_t* s = &p->program->stages[stage];
  const tvi_cuda_stage_t* placed = &p->schedule->stages[stage];
  const tvi_kir_load_t* load = s->instrs[ref].imm.load;
  const tvi_kir_value_t* value = &p->program->values[load->value];
  const bool is_proven =
      load->bounds == TVI_KIR_BOUNDS_PROVEN && tvi_kir_prove_bounds(p->program, stage, ref);
  tvi_kir_scope_t scope = {p->program->dims, s->instrs, s->extents, 4096};
  tvi_cuda_access_t access;
  memset(&access, 0, sizeof(access));
  access.stage = stage;
  access.value = load->value;
  access.load = ref;
  access.array = TVI_CUDA_NONE;
  access.is_direct = true;
  for (uint32_t d = 0; d < load->index_count; ++d) {
    const trivet_dim_t stride = p->strides[load->value][d];
    const uint32_t wrap = load->wrap ? load->wrap[d] : TVI_KIR_WRAP_NONE;
    if (!is_proven && wrap != TVI_KIR_WRAP_CLIP) {
      scope.budget = 4096;
      const uint32_t bounds = wrap == TVI_KIR_WRAP_NONE
                                  ? tvi_kir_scope_bounds(&scope, load->indices[d], value->dims[d])
                                  : 0;
      if (bounds != (TVI_KIR_BOUND_LOW | TVI_KIR_BOUND_HIGH)) access.guarded_dims |= 1u << d;
    }
    if (!(access.guarded_dims >> d & 1) && tvi_dim_equals_constant(value->dims[d], 1)) continue;
    tvi_kir_linear_t linear;
    if (wrap != TVI_KIR_WRAP_NONE) {
      add_atom(p, &access, load->indices[d], d, stride);
      continue;
    }
    if (!tvi_kir_linear_form(p->program, s, load->indices[d], &linear)) {
      add_atom(p, &access, load->indices[d], TVI_CUDA_NONE, stride);
      continue;
    }
    if (!tvi_dim_equals_constant(linear.constant, 0))
      add_product(p, &access.constant, linear.constant, stride);
    for (uint32_t t = 0; t < linear.term_count; ++t) {
      const tvi_kir_instr_t* atom = &s->instrs[linear.terms[t].atom];
      if (atom->opcode != TVI_KIR_INDEX) {
        add_atom(p, &access, linear.terms[t].atom, TVI_CUDA_NONE,
                 multiply(p, linear.terms[t].coefficient, stride));
        continue;
      }
      const uint32_t loop = placed->loop_of_index[(uint32_t)atom->imm.i64];
      if (loop != TVI_CUDA_NONE)
        add_product(p, &access.coefficients[loop], linear.terms[t].coefficient, stride);
    }
  }
  access.is_guarded = access.guarded_dims != 0;
  access.is_direct = !access.is_guarded && access.atom_count == 0;
  trivet_status_t status = tvi_vector_push(&p->accesses, access);
  if (status) tvi_cuda_fail(p, status);
}

static void add_store(tvi_cuda_printer_t* p, uint32_t stage, uint32_t value) {
  const tvi_cuda_stage_t* placed = &p->schedule->stages[stage];
  const trivet_dim_t one = tvi_dim_constant(p->program->dims, 1);
  tvi_cuda_access_t access;
  memset(&access, 0, sizeof(access));
  access.stage = stage;
  access.value = value;
  access.load = TVI_KIR_NONE;
  access.array = TVI_CUDA_NONE;
  access.is_direct = true;
  for (uint32_t d = 0; d < p->program->values[value].rank; ++d) {
    const uint32_t loop = placed->loop_of_index[d];
    if (loop != TVI_CUDA_NONE)
      add_product(p, &access.coefficients[loop], one, p->strides[value][d]);
  }
  trivet_status_t status = tvi_vector_push(&p->accesses, access);
  if (status) tvi_cuda_fail(p, status);
}

// Loops whose numbers are used for more than addresses.
static void find_raw(tvi_cuda_printer_t* p, uint32_t stage) {
  const tvi_kir_stage_t* s = &p->program->stages[stage];
  uint8_t* is_needed = NULL;
  trivet_status_t status =
      tvi_arena_alloc_array_zeroed(p->arena, (size_t)s->instr_count + 1, 1, &is_needed);
  if (status) {
    tvi_cuda_fail(p, status);
    return;
  }
  tvi_cuda_mark_needed(p, stage, is_needed);
  for (uint32_t i = 0; i < s->instr_count; ++i) {
    if (!is_needed[i] || s->instrs[i].opcode != TVI_KIR_INDEX) continue;
    const uint32_t loop = p->schedule->stages[stage].loop_of_index[(uint32_t)s->instrs[i].imm.i64];
    if (loop != TVI_CUDA_NONE) p->is_raw[loop] = true;
  }
}

trivet_dim_t tvi_cuda_number(const tvi_cuda_printer_t* p, int64_t value) {
  return tvi_dim_constant(p->program->dims, value);
}

trivet_dim_t tvi_cuda_dim(const tvi_cuda_printer_t* p, uint32_t op, trivet_dim_t a,
                          trivet_dim_t b) {
  return a && b ? tvi_dim_binary(p->program->dims, op, a, b) : NULL;
}

int64_t tvi_cuda_printer_estimate(const tvi_cuda_printer_t* p, trivet_dim_t dim) {
  return dim ? tvi_cuda_estimate(p->program->dims, dim, p->options->symbols,
                                 p->options->symbol_count)
             : 0;
}

double tvi_cuda_value_bytes(const tvi_cuda_printer_t* p, uint32_t value) {
  const tvi_kir_value_t* v = &p->program->values[value];
  double bytes = tvi_dtype_bits(v->dtype) / 8.0;
  for (uint32_t d = 0; d < v->rank; ++d) bytes *= (double)tvi_cuda_printer_estimate(p, v->dims[d]);
  return bytes;
}

// The access whose memory order the loops follow: a store over most loops, else such a load.
static const tvi_cuda_access_t* guide(const tvi_cuda_printer_t* p) {
  const tvi_cuda_access_t* best = NULL;
  uint32_t most = 0;
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    uint32_t count = access->load == TVI_KIR_NONE ? 1 : 0;
    for (uint32_t l = 0; l < p->group->loop_count; ++l)
      count += access->coefficients[l] != NULL ? 2 : 0;
    if (!best || count > most) {
      best = access;
      most = count;
    }
  }
  return best;
}

static bool can_merge(const tvi_cuda_printer_t* p, uint32_t outer, uint32_t inner) {
  if (p->group->is_inner[outer] != p->group->is_inner[inner]) return false;
  if (p->is_raw[outer] || p->is_raw[inner]) return false;
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    const trivet_dim_t a = access->coefficients[outer], b = access->coefficients[inner];
    if (!a && !b) continue;
    if (!a || !b || multiply(p, b, p->group->extents[inner]) != a) return false;
  }
  return true;
}

static void merge_loops(tvi_cuda_printer_t* p) {
  const tvi_cuda_group_t* g = p->group;
  uint32_t order[TVI_CUDA_MAX_LOOPS];
  uint32_t count = 0;
  const tvi_cuda_access_t* by = guide(p);
  for (uint32_t inner = 0; inner < 2; ++inner) {
    const uint32_t first = count;
    for (uint32_t l = 0; l < g->loop_count; ++l)
      if (g->is_inner[l] == (inner != 0)) order[count++] = l;
    // Insertion sort by decreasing stride; what the guide does not walk comes first.
    for (uint32_t i = first; by && i < count; ++i) {
      const uint32_t l = order[i];
      const int64_t stride =
          by->coefficients[l] ? tvi_cuda_printer_estimate(p, by->coefficients[l]) : INT64_MAX;
      uint32_t at = i;
      for (; at > first; --at) {
        const trivet_dim_t before = by->coefficients[order[at - 1]];
        if ((before ? tvi_cuda_printer_estimate(p, before) : INT64_MAX) >= stride) break;
        order[at] = order[at - 1];
      }
      order[at] = l;
    }
  }
  p->loop_count = 0;
  uint32_t member[TVI_CUDA_MAX_LOOPS];  // innermost loop of the group in each merged one
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t l = order[i];
    if (i > 0 && can_merge(p, order[i - 1], l)) {
      trivet_dim_t extent = multiply(p, p->extents[p->loop_count - 1], g->extents[l]);
      if (extent) {
        p->extents[p->loop_count - 1] = extent;
        member[p->loop_count - 1] = l;
        p->loop_of_loop[l] = p->loop_count - 1;
        continue;
      }
    }
    p->extents[p->loop_count] = g->extents[l];
    p->is_inner[p->loop_count] = g->is_inner[l];
    member[p->loop_count] = l;
    p->loop_of_loop[l] = p->loop_count++;
  }
  for (size_t i = 0; i < p->accesses.count; ++i) {
    tvi_cuda_access_t* access = &p->accesses.data[i];
    trivet_dim_t coefficients[TVI_CUDA_MAX_LOOPS] = {NULL};
    for (uint32_t m = 0; m < p->loop_count; ++m) coefficients[m] = access->coefficients[member[m]];
    memcpy(access->coefficients, coefficients, sizeof(coefficients));
  }
}

bool tvi_cuda_is_wide(const tvi_cuda_printer_t* p, double points) {
  // A step of a loop past the end must not overflow.
  const double limit = 2130700000.0;
  int64_t low, high;
  if (points >= limit) return true;
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const uint32_t v = p->accesses.data[i].value;
    const tvi_kir_value_t* value = &p->program->values[v];
    double span = 0;
    for (uint32_t d = 0; d < value->rank; ++d) {
      int64_t stride_low, stride_high;
      tvi_dim_range(p->program->dims, value->dims[d], &low, &high);
      tvi_dim_range(p->program->dims, p->strides[v][d], &stride_low, &stride_high);
      const double reach =
          -(double)stride_low > (double)stride_high ? -(double)stride_low : (double)stride_high;
      span += (double)high * reach;
    }
    if (span >= limit) return true;
  }
  return false;
}

// The points of the group's loops.
static double count_points(const tvi_cuda_printer_t* p) {
  int64_t low, high;
  double points = 1;
  for (uint32_t l = 0; l < p->group->loop_count; ++l) {
    tvi_dim_range(p->program->dims, p->group->extents[l], &low, &high);
    points *= (double)high;
  }
  return points;
}

void tvi_cuda_collect_accesses(tvi_cuda_printer_t* p) {
  tvi_vector_clear(&p->accesses);
  memset(p->is_raw, 0, sizeof(p->is_raw));
  for (uint32_t i = 0; i < p->group->stage_count; ++i) {
    const uint32_t stage = p->schedule->order[p->group->stage_first + i];
    const tvi_kir_stage_t* s = &p->program->stages[stage];
    for (uint32_t r = 0; r < s->instr_count; ++r)
      if (s->instrs[r].opcode == TVI_KIR_LOAD) add_load(p, stage, r);
    for (uint32_t r = 0; r < s->result_count; ++r)
      if (s->values[r] != TVI_KIR_NONE) add_store(p, stage, s->values[r]);
    find_raw(p, stage);
  }
  p->is_wide = tvi_cuda_is_wide(p, count_points(p));
  merge_loops(p);
}

static void print_term(tvi_cuda_printer_t* p, bool* first, trivet_dim_t coefficient) {
  if (!*first) P(p, " + ");
  *first = false;
  if (tvi_dim_equals_constant(coefficient, 1)) return;
  tvi_cuda_print_dim(p, coefficient);
  P(p, " * ");
}

void tvi_cuda_print_offset(tvi_cuda_printer_t* p, const tvi_cuda_access_t* access,
                           uint32_t base_loop) {
  bool first = true;
  if (access->constant) {
    tvi_cuda_print_dim(p, access->constant);
    first = false;
  }
  for (uint32_t l = 0; l < p->loop_count; ++l) {
    if (!access->coefficients[l]) continue;
    print_term(p, &first, access->coefficients[l]);
    P(p, "%c%u", l == base_loop ? 'b' : 'q', l);
  }
  for (uint32_t k = 0; k < access->atom_count; ++k) {
    print_term(p, &first, access->atom_coefficients[k]);
    if (access->atom_dims[k] == TVI_CUDA_NONE) {
      tvi_cuda_print_ref(p, access->stage, access->atoms[k]);
    } else {
      P(p, "w%u_%u_%u", access->stage, access->load, access->atom_dims[k]);
    }
  }
  if (first) P(p, "0");
}
