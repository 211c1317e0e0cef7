// SPDX-License-Identifier: Apache-2.0
//
// Kernels without reductions: a thread computes |vector| neighbouring elements of the result. What
// maps, rows and scans share stands here too.
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "core/kernel_ir/affine.h"
#include "plugins/cuda/emit/emit_print.h"

#define P TVI_CUDA_PRINT
#define BLOCK 256u
// Threads that keep a large device busy.
#define ENOUGH_THREADS 67584
// From where on a transposition goes through shared memory.
#define TILE_EXTENT 8
#define TILE_POINTS 16384

const char* tvi_cuda_index_type(const tvi_cuda_printer_t* p) {
  return p->is_wide ? "long long" : "int";
}
const char* tvi_cuda_count_type(const tvi_cuda_printer_t* p) {
  return p->is_wide ? "unsigned long long" : "unsigned";
}

trivet_dim_t tvi_cuda_extent_product(tvi_cuda_printer_t* p, uint32_t first, uint32_t last) {
  trivet_dim_t product = tvi_dim_constant(p->program->dims, 1);
  for (uint32_t l = first; l < last; ++l)
    product = tvi_dim_binary(p->program->dims, TRIVET_DIM_MUL, product, p->extents[l]);
  if (!product) tvi_cuda_fail(p, TRIVET_STATUS(OUT_OF_RANGE, "a shape overflows 64 bits"));
  return product;
}

bool tvi_cuda_is_written(const tvi_cuda_printer_t* p, uint32_t value) {
  return p->program->values[value].kind == TVI_KIR_OUTPUT || p->schedule->is_stored[value];
}

static uint32_t element_bits(const tvi_cuda_printer_t* p, uint32_t value) {
  return tvi_dtype_bits(tvi_cuda_stored_dtype(&p->program->values[value]));
}

static bool divides(const tvi_cuda_printer_t* p, trivet_dim_t dim, uint32_t vector) {
  return !dim || tvi_dim_divisor(p->program->dims, dim) % vector == 0;
}

// As tvi_cuda_is_vector, whatever guards there are and parts that are computed.
static bool is_contiguous(const tvi_cuda_printer_t* p, const tvi_cuda_access_t* access,
                          uint32_t loop, uint32_t vector) {
  if ((vector & (vector - 1)) != 0 || !access->coefficients[loop] ||
      !tvi_dim_equals_constant(access->coefficients[loop], 1) || element_bits(p, access->value) < 8)
    return false;
  // A value of the group itself is no access.
  if (access->load != TVI_KIR_NONE) {
    const uint32_t producer = p->program->values[access->value].stage;
    if (producer != TVI_KIR_NONE &&
        &p->schedule->groups[p->schedule->stages[producer].group] == p->group)
      return false;
  }
  if (!divides(p, access->constant, vector)) return false;
  const tvi_cuda_access_t* like =
      p->shape.is_shifted ? &p->accesses.data[p->shape.shifted_as] : NULL;
  for (uint32_t l = 0; l < p->loop_count; ++l)
    if (l != loop && !(like && like->coefficients[l] == access->coefficients[l]) &&
        !(divides(p, access->coefficients[l], vector) &&
          (!like || divides(p, like->coefficients[l], vector))))
      return false;
  for (uint32_t k = 0; k < access->atom_count; ++k)
    if (!divides(p, access->atom_coefficients[k], vector)) return false;
  return true;
}

bool tvi_cuda_is_vector(const tvi_cuda_printer_t* p, const tvi_cuda_access_t* access, uint32_t loop,
                        uint32_t vector) {
  return access->is_direct && is_contiguous(p, access, loop, vector);
}

// May |ref| have different values at different positions of |loop|? |budget| bounds the search.
static bool depends_on(const tvi_cuda_printer_t* p, uint32_t stage, tvi_kir_ref_t ref,
                       uint32_t loop, uint32_t* budget) {
  const tvi_kir_instr_t* instr = &p->program->stages[stage].instrs[ref];
  if (*budget == 0) return true;
  --*budget;
  if (instr->opcode == TVI_KIR_INDEX) {
    const uint32_t own = p->schedule->stages[stage].loop_of_index[(uint32_t)instr->imm.i64];
    return own != TVI_CUDA_NONE && p->loop_of_loop[own] == loop;
  }
  if (instr->opcode == TVI_KIR_LOAD) {
    const tvi_kir_load_t* load = instr->imm.load;
    const uint32_t producer = p->program->values[load->value].stage;
    if (producer != TVI_KIR_NONE &&
        &p->schedule->groups[p->schedule->stages[producer].group] == p->group)
      return true;
    if (load->bounds == TVI_KIR_BOUNDS_PAD && depends_on(p, stage, load->pad, loop, budget))
      return true;
    for (uint32_t d = 0; d < load->index_count; ++d)
      if (depends_on(p, stage, load->indices[d], loop, budget)) return true;
    return false;
  }
  for (uint32_t k = 0; k < tvi_kir_opcode_operands((tvi_kir_opcode_t)instr->opcode); ++k)
    if (depends_on(p, stage, instr->args[k], loop, budget)) return true;
  return false;
}

// Are all |vector| elements on one side of the bounds of dimension |d|? The position then is a
// multiple of |vector| plus the place in the piece, and so is the extent.
static bool is_guard_common(const tvi_cuda_printer_t* p, const tvi_cuda_access_t* access,
                            uint32_t d, uint32_t loop, uint32_t vector) {
  const tvi_kir_stage_t* s = &p->program->stages[access->stage];
  const tvi_kir_load_t* load = s->instrs[access->load].imm.load;
  uint32_t budget = 256;
  if (!depends_on(p, access->stage, load->indices[d], loop, &budget)) return true;
  tvi_kir_linear_t linear;
  if ((load->wrap && load->wrap[d] != TVI_KIR_WRAP_NONE) ||
      !divides(p, p->program->values[access->value].dims[d], vector) ||
      !tvi_kir_linear_form(p->program, s, load->indices[d], &linear) ||
      !divides(p, linear.constant, vector))
    return false;
  for (uint32_t t = 0; t < linear.term_count; ++t) {
    budget = 256;
    if (!depends_on(p, access->stage, linear.terms[t].atom, loop, &budget)) {
      if (!divides(p, linear.terms[t].coefficient, vector)) return false;
    } else if (s->instrs[linear.terms[t].atom].opcode != TVI_KIR_INDEX ||
               !tvi_dim_equals_constant(linear.terms[t].coefficient, 1)) {
      return false;
    }
  }
  return true;
}

bool tvi_cuda_is_piece(const tvi_cuda_printer_t* p, const tvi_cuda_access_t* access, uint32_t loop,
                       uint32_t vector) {
  if (!is_contiguous(p, access, loop, vector)) return false;
  if (access->is_direct) return true;
  if (access->load == TVI_KIR_NONE || p->shape.is_shifted) return false;
  const tvi_kir_load_t* load = p->program->stages[access->stage].instrs[access->load].imm.load;
  uint32_t budget = 256;
  if (load->bounds == TVI_KIR_BOUNDS_PAD && depends_on(p, access->stage, load->pad, loop, &budget))
    return false;
  for (uint32_t k = 0; k < access->atom_count; ++k) {
    const uint32_t d = access->atom_dims[k];
    budget = 256;
    if (depends_on(p, access->stage, d == TVI_CUDA_NONE ? access->atoms[k] : load->indices[d], loop,
                   &budget))
      return false;
  }
  for (uint32_t d = 0; d < load->index_count; ++d)
    if ((access->guarded_dims >> d & 1) && !is_guard_common(p, access, d, loop, vector))
      return false;
  return true;
}

uint32_t tvi_cuda_widest_vector(const tvi_cuda_printer_t* p, uint32_t loop) {
  uint32_t bits = 0;
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    if (access->load == TVI_KIR_NONE && !tvi_cuda_is_written(p, access->value)) continue;
    if (!tvi_cuda_is_piece(p, access, loop, 1)) continue;
    const uint32_t own = element_bits(p, access->value);
    if (bits == 0 || own < bits) bits = own;
  }
  return bits == 0 ? 1 : bits >= 64 ? 2 : bits == 32 ? 4 : bits == 16 ? 8 : 16;
}

uint32_t tvi_cuda_choose_vector(const tvi_cuda_printer_t* p, uint32_t loop) {
  uint32_t vector = tvi_cuda_widest_vector(p, loop);
  for (; vector > 1; vector /= 2) {
    if (!divides(p, p->extents[loop], vector)) continue;
    // At least one of them must be whole.
    for (size_t i = 0; i < p->accesses.count; ++i)
      if (tvi_cuda_is_piece(p, &p->accesses.data[i], loop, vector)) return vector;
  }
  return 1;
}

void tvi_cuda_print_unravel(tvi_cuda_printer_t* p, uint32_t first, uint32_t last, uint32_t vector,
                            bool is_base) {
  for (uint32_t l = last; l-- > first;) {
    const bool is_last = l + 1 == last;
    P(p, "const %s %c%u = (%s)(", tvi_cuda_index_type(p), is_last && is_base ? 'b' : 'q', l,
      tvi_cuda_index_type(p));
    trivet_dim_t extent = p->extents[l];
    if (is_last && vector > 1)
      extent = tvi_dim_binary(p->program->dims, TRIVET_DIM_FLOORDIV, extent,
                              tvi_dim_constant(p->program->dims, vector));
    P(p, "r");
    if (l > first) {
      P(p, " %% (%s)", tvi_cuda_count_type(p));
      tvi_cuda_print_dim(p, extent);
    }
    P(p, ")");
    if (is_last && vector > 1) P(p, " * %u", vector);
    P(p, ";\n");
    if (l > first) {
      P(p, "r /= (%s)", tvi_cuda_count_type(p));
      tvi_cuda_print_dim(p, extent);
      P(p, ";\n");
    }
  }
}

// A store of elements of less than a byte: threads own bytes, in memory order.
static const tvi_cuda_access_t* packed_store(const tvi_cuda_printer_t* p) {
  for (size_t i = 0; i < p->accesses.count; ++i) {
    const tvi_cuda_access_t* access = &p->accesses.data[i];
    if (access->load == TVI_KIR_NONE && tvi_cuda_is_written(p, access->value) &&
        element_bits(p, access->value) < 8)
      return access;
  }
  return NULL;
}

bool tvi_cuda_is_crossing(const tvi_cuda_printer_t* p, const tvi_cuda_access_t* access,
                          uint32_t loop) {
  const uint32_t last = p->loop_count - 1;
  return access->load != TVI_KIR_NONE && access->coefficients[last] &&
         !tvi_dim_equals_constant(access->coefficients[last], 1) &&
         tvi_cuda_is_vector(p, access, loop, 1);
}

// The loop along which loads are contiguous that are not along the last one; TVI_CUDA_NONE: all
// threads read neighbours of what their neighbours read.
static uint32_t crossing_loop(const tvi_cuda_printer_t* p) {
  const uint32_t last = p->loop_count - 1;
  for (uint32_t l = 0; l < last; ++l) {
    bool found = false;
    for (size_t i = 0; i < p->accesses.count; ++i)
      found |= tvi_cuda_is_crossing(p, &p->accesses.data[i], l);
    if (found && tvi_cuda_printer_estimate(p, p->extents[l]) >= TILE_EXTENT) return l;
  }
  return TVI_CUDA_NONE;
}

// The extent of a last loop of two to four, the three channels of pictures, say: a thread that has
// them all reads what its neighbours' neighbours read, and writes no less than they. Otherwise 1.
static uint32_t few_columns(const tvi_cuda_printer_t* p, int64_t points) {
  int64_t extent;
  if (!tvi_dim_is_constant(p->extents[p->loop_count - 1], &extent) || extent < 2 || extent > 4 ||
      points / extent < ENOUGH_THREADS)
    return 1;
  return (uint32_t)extent;
}

void tvi_cuda_choose_map_shape(tvi_cuda_printer_t* p) {
  memset(&p->shape, 0, sizeof(p->shape));
  p->shape.vector = 1;
  if (p->loop_count == 0) return;
  const uint32_t last = p->loop_count - 1;
  uint32_t vector = tvi_cuda_choose_vector(p, last);
  int64_t points = tvi_cuda_printer_estimate(p, tvi_cuda_extent_product(p, 0, last + 1));
  // Few elements: rather more threads.
  while (vector > 4 && points / vector < ENOUGH_THREADS) vector /= 2;
  p->shape.vector = vector == 1 ? few_columns(p, points) : vector;
  const uint32_t crossing = packed_store(p) ? TVI_CUDA_NONE : crossing_loop(p);
  const int64_t width = tvi_cuda_printer_estimate(p, p->extents[last]);
  if (crossing == TVI_CUDA_NONE || width < TILE_EXTENT || points < TILE_POINTS) return;
  p->shape.is_tiled = true;
  p->shape.tile_loop = crossing;
  // Pairs of small elements, where both sides have them.
  const bool pairs =
      vector >= 4 && divides(p, p->extents[last], 2) && divides(p, p->extents[crossing], 2);
  p->shape.vector = pairs ? 2 : 1;
}

static void print_packed(tvi_cuda_printer_t* p, const tvi_cuda_access_t* store,
                         tvi_cuda_variant_t* variant) {
  tvi_dim_context_t* dims = p->program->dims;
  const uint32_t bits = element_bits(p, store->value), count = 8 / bits;
  const tvi_kir_stage_t* stage = &p->program->stages[store->stage];
  const uint32_t dtype = p->program->values[store->value].dtype;
  trivet_dim_t stride = tvi_dim_constant(dims, 1);
  for (uint32_t l = p->loop_count; l-- > 0;) {
    if (store->coefficients[l] != stride) {
      tvi_cuda_fail(p, TRIVET_STATUS(UNIMPLEMENTED, "a packed result with gaps between its rows"));
      return;
    }
    stride = tvi_dim_binary(dims, TRIVET_DIM_MUL, stride, p->extents[l]);
  }
  const trivet_dim_t total = tvi_cuda_extent_product(p, 0, p->loop_count);
  const trivet_dim_t bytes =
      tvi_dim_binary(dims, TRIVET_DIM_CEILDIV, total, tvi_dim_constant(dims, count));
  P(p, "const %s t = (%s)blockIdx.x * %uu + threadIdx.x;\nif (t >= ", tvi_cuda_count_type(p),
    tvi_cuda_count_type(p), BLOCK);
  tvi_cuda_print_dim(p, bytes);
  P(p,
    ") return;\nunsigned byte = 0;\nfor (int e = 0; e < %u; ++e) {\n%s r = t * %uu + e;\nif (r < ",
    count, tvi_cuda_count_type(p), count);
  tvi_cuda_print_dim(p, total);
  P(p, ") {\n");
  tvi_cuda_print_unravel(p, 0, p->loop_count, 1, false);
  tvi_cuda_print_body(p, store->stage);
  P(p, "byte |= (");
  if (tvi_dtype_is_float(dtype)) {
    P(p, "tv_to_code<%s>(", tvi_cuda_storage_type(dtype));
  } else {
    P(p, "(unsigned)(");
  }
  tvi_cuda_print_ref(p, store->stage, stage->results[0]);
  P(p, ") & %uu) << (e * %u);\n}\n}\n((unsigned char*)", (1u << bits) - 1, bits);
  tvi_cuda_print_pointer(p, store->value);
  P(p, ")[t] = (unsigned char)byte;\n");
  variant->block = BLOCK;
  variant->grid = tvi_cuda_parameter(
      p, tvi_dim_binary(dims, TRIVET_DIM_CEILDIV, bytes, tvi_dim_constant(dims, BLOCK)));
}

void tvi_cuda_print_points(tvi_cuda_printer_t* p, uint32_t last, uint32_t vector, uint32_t arrays) {
  for (size_t i = 0; i < p->accesses.count; ++i) {
    tvi_cuda_access_t* access = &p->accesses.data[i];
    if (access->array != TVI_CUDA_NONE) continue;
    if (access->load == TVI_KIR_NONE || vector == 1 || !tvi_cuda_is_piece(p, access, last, vector))
      continue;
    for (size_t k = 0; k < i && access->is_direct; ++k) {
      const tvi_cuda_access_t* other = &p->accesses.data[k];
      if (other->is_direct && other->array != TVI_CUDA_NONE && other->value == access->value &&
          other->constant == access->constant &&
          memcmp(other->coefficients, access->coefficients, sizeof(access->coefficients)) == 0)
        access->array = other->array;
    }
    if (access->array != TVI_CUDA_NONE) continue;
    access->array = arrays++;
    P(p, "%s x%u[%u];\n", tvi_cuda_register_type(p->program->values[access->value].dtype),
      access->array, vector);
    tvi_cuda_print_piece(p, access, last, vector, "");
  }
  for (uint32_t i = 0; i < p->group->stage_count; ++i) {
    const tvi_kir_stage_t* s = &p->program->stages[p->schedule->order[p->group->stage_first + i]];
    P(p, "%s v%u[%u];\n", tvi_cuda_register_type(p->program->values[s->values[0]].dtype),
      s->values[0], vector);
  }
  P(p, "TV_UNROLL\nfor (int e = 0; e < %u; ++e) {\n", vector);
  if (last != TVI_CUDA_NONE) P(p, "const %s q%u = b%u + e;\n", tvi_cuda_index_type(p), last, last);
  for (uint32_t i = 0; i < p->group->stage_count; ++i) {
    const uint32_t stage = p->schedule->order[p->group->stage_first + i];
    const tvi_kir_stage_t* s = &p->program->stages[stage];
    tvi_cuda_print_body(p, stage);
    P(p, "v%u[e] = ", s->values[0]);
    tvi_cuda_print_ref(p, stage, s->results[0]);
    P(p, ";\n");
    for (size_t k = 0; k < p->accesses.count; ++k) {
      const tvi_cuda_access_t* access = &p->accesses.data[k];
      if (access->load != TVI_KIR_NONE || access->stage != stage ||
          !tvi_cuda_is_written(p, access->value))
        continue;
      if (vector > 1 && tvi_cuda_is_vector(p, access, last, vector)) continue;
      P(p, "tv_put(");
      tvi_cuda_print_pointer(p, access->value);
      P(p, "[");
      tvi_cuda_print_offset(p, access, TVI_CUDA_NONE);
      P(p, "], v%u[e]);\n", access->value);
    }
  }
  P(p, "}\n");
  for (size_t k = 0; k < p->accesses.count && vector > 1; ++k) {
    const tvi_cuda_access_t* access = &p->accesses.data[k];
    if (access->load != TVI_KIR_NONE || !tvi_cuda_is_written(p, access->value) ||
        !tvi_cuda_is_vector(p, access, last, vector))
      continue;
    P(p, "tv_store<%u>(", vector);
    tvi_cuda_print_pointer(p, access->value);
    P(p, " + ");
    tvi_cuda_print_offset(p, access, last);
    P(p, ", v%u);\n", access->value);
  }
}

void tvi_cuda_print_map(tvi_cuda_printer_t* p, tvi_cuda_variant_t* variant) {
  tvi_dim_context_t* dims = p->program->dims;
  const tvi_cuda_access_t* packed = packed_store(p);
  if (packed) {
    print_packed(p, packed, variant);
    return;
  }
  if (p->shape.is_tiled) {
    tvi_cuda_print_tiles(p, variant);
    return;
  }
  const uint32_t vector = p->shape.vector;
  const uint32_t last = p->loop_count ? p->loop_count - 1 : TVI_CUDA_NONE;
  trivet_dim_t pieces = tvi_cuda_extent_product(p, 0, p->loop_count);
  if (vector > 1)
    pieces = tvi_dim_binary(dims, TRIVET_DIM_FLOORDIV, pieces, tvi_dim_constant(dims, vector));
  P(p, "%s r = (%s)blockIdx.x * %uu + threadIdx.x;\nif (r >= ", tvi_cuda_count_type(p),
    tvi_cuda_count_type(p), BLOCK);
  tvi_cuda_print_dim(p, pieces);
  P(p, ") return;\n");
  tvi_cuda_print_unravel(p, 0, p->loop_count, vector, true);
  for (size_t i = 0; i < p->accesses.count; ++i) p->accesses.data[i].array = TVI_CUDA_NONE;
  tvi_cuda_print_points(p, last, vector, 0);
  variant->block = BLOCK;
  variant->grid = tvi_cuda_parameter(
      p, tvi_dim_binary(dims, TRIVET_DIM_CEILDIV, pieces, tvi_dim_constant(dims, BLOCK)));
}
