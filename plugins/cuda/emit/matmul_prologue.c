// SPDX-License-Identifier: Apache-2.0
//
// Factors that are computed where the product (or the convolution) reads them: the elementwise
// stage ahead of it becomes a function of the kernel, whose results are in shared memory and
// nowhere else: they take the place of the operand that they are made of, or come through
// registers. Beside matmul_shape.c, which finds them; see matmul_shape.h.
#include <string.h>

#include "plugins/cuda/emit/matmul_shape.h"

#define P TVI_CUDA_PRINT

// The stage as a group of its own.
static tvi_cuda_group_t group_of(const tvi_cuda_printer_t* p, uint32_t stage) {
  tvi_cuda_group_t group = p->schedule->groups[p->schedule->stages[stage].group];
  while (p->schedule->order[group.stage_first] != stage) ++group.stage_first;
  group.stage_count = 1;
  return group;
}

// The elements of the operand that the results take the place of, for all loads that read just
// these.
static void print_raw(tvi_cuda_printer_t* p, uint32_t stage, uint32_t raw, uint32_t vector) {
  const tvi_cuda_access_t* store = NULL;
  for (size_t i = 0; i < p->accesses.count; ++i)
    if (p->accesses.data[i].load == TVI_KIR_NONE) store = &p->accesses.data[i];
  for (size_t i = 0; i < p->accesses.count && store; ++i) {
    tvi_cuda_access_t* access = &p->accesses.data[i];
    if (access->stage == stage && access->load != TVI_KIR_NONE && access->value == raw &&
        access->is_direct && !access->constant &&
        memcmp(access->coefficients, store->coefficients, sizeof(access->coefficients)) == 0)
      access->array = 0;
  }
  P(p, "%s x0[%u];\nTV_UNROLL\nfor (int e = 0; e < %u; ++e) x0[e] = tv_get(to[e]);\n",
    tvi_cuda_register_type(p->program->values[raw].dtype), vector, vector);
}

// The elements of a value from the dense position r on, in |vector| registers of the array
// "v<value>". |raw|: operand that is read from |to|; TVI_CUDA_NONE: none.
static void print_elements(tvi_cuda_printer_t* p, uint32_t stage, uint32_t raw, uint32_t vector) {
  // What belongs to the group of the product; text and arguments go on.
  const tvi_cuda_printer_t outer = *p;
  const tvi_cuda_group_t group = group_of(p, stage);
  tvi_vector_init(&p->accesses, p->code->allocator);
  p->group = &group;
  memset(&p->shape, 0, sizeof(p->shape));
  p->shape.vector = vector;
  tvi_cuda_collect_accesses(p);
  p->is_wide = p->is_wide || outer.is_wide;
  for (size_t i = 0; i < p->accesses.count; ++i) p->accesses.data[i].array = TVI_CUDA_NONE;
  tvi_cuda_print_unravel(p, 0, p->loop_count, 1, true);
  const bool is_found = raw != TVI_CUDA_NONE;
  if (is_found) print_raw(p, stage, raw, vector);
  tvi_cuda_print_points(p, p->loop_count ? p->loop_count - 1 : TVI_CUDA_NONE, vector, is_found);
  tvi_vector_deinit(&p->accesses);
  p->accesses = outer.accesses;
  p->group = outer.group;
  p->shape = outer.shape;
  p->is_wide = outer.is_wide;
  p->loop_count = outer.loop_count;
  memcpy(p->extents, outer.extents, sizeof(p->extents));
  memcpy(p->is_inner, outer.is_inner, sizeof(p->is_inner));
  memcpy(p->loop_of_loop, outer.loop_of_loop, sizeof(p->loop_of_loop));
  memcpy(p->is_raw, outer.is_raw, sizeof(p->is_raw));
}

// The statements of a function after r is known.
static void print_made(tvi_cuda_printer_t* p, const tvi_cuda_factor_t* factor, uint32_t vector,
                       bool in_place) {
  const uint32_t value = factor->value;
  P(p, "{\n");
  print_elements(p, p->program->values[value].stage, in_place ? factor->raw : TVI_CUDA_NONE,
                 vector);
  P(p, "TV_UNROLL\nfor (int e = 0; e < %u; ++e) tv_put(to[e], v%u[e]);\n}\n};\n", vector, value);
}

void tvi_cuda_matmul_print_make(tvi_cuda_printer_t* p, const tvi_cuda_factor_t* factor,
                                uint32_t vector, bool in_place) {
  P(p, "const auto make = [&](const %s from, %s* to) {\n%s r = (%s)from;\n", tvi_cuda_index_type(p),
    tvi_cuda_storage_type(p->program->values[factor->value].dtype), tvi_cuda_count_type(p),
    tvi_cuda_count_type(p));
  print_made(p, factor, vector, in_place);
}

void tvi_cuda_matmul_print_maker(tvi_cuda_printer_t* p, const tvi_cuda_matmul_shape_t* s, bool is_b,
                                 uint32_t vector, bool in_place) {
  const tvi_cuda_factor_t* factor = is_b ? &s->b : &s->a;
  const tvi_cuda_access_t* access = tvi_cuda_factor_access(p, s, factor);
  const char name = is_b ? 'b' : 'a';
  P(p, "const auto %c_%s = [&](const int x, const int k, %s* to) {\n", name,
    in_place ? "make" : "at", tvi_cuda_storage_type(p->program->values[factor->value].dtype));
  tvi_cuda_matmul_print_loops(p, is_b ? &s->n : &s->m, "x", false);
  P(p, "const %s q%u = k;\n%s r = (%s)(", tvi_cuda_index_type(p), s->k, tvi_cuda_count_type(p),
    tvi_cuda_count_type(p));
  tvi_cuda_print_offset(p, access, TVI_CUDA_NONE);
  P(p, ");\n");
  print_made(p, factor, vector, in_place);
  if (!in_place) P(p, "const long long %c_step = 0;\n", name);
}
