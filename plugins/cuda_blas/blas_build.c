// SPDX-License-Identifier: Apache-2.0
//
// Build half, which needs no library and no device: the problem goes into the plan, and prepare
// asks the library for an algorithm. A tactic is the number of the library's proposal, for weights
// as they lie or packed.
#include "plugins/cuda_blas/blas_build.h"

#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"

// Proposals of the library that are worth a measurement, for each way in which weights lie.
#define PROPOSALS 12u
#define PACKED 256u  // in a tactic's number: weights are packed

// --- Price ------------------------------------------------------------------------------

// Operands for the shapes to optimise for. False: an extent is not known.
static bool concrete(const trivet_region_t* region, const blas_match_t* match,
                     trivet_operand_t* out_operands) {
  for (uint32_t i = 0; i < match->problem.operand_count; ++i) {
    trivet_operand_t* operand = &out_operands[i];
    const tvi_region_operand_t* from = &region->operands[match->region_operands[i]];
    const tvi_value_t* value = tvi_graph_value(region->graph, from->value);
    memset(operand, 0, sizeof(*operand));
    operand->dtype = value->type.dtype;
    operand->rank = value->type.rank;
    for (uint32_t d = 0; d < operand->rank; ++d) {
      trivet_status_t status = tvi_dim_evaluate(value->type.dims[d], region->symbols,
                                                region->symbol_count, &operand->dims[d]);
      if (!status) {
        status = tvi_dim_evaluate(from->strides[d], region->symbols, region->symbol_count,
                                  &operand->strides[d]);
      }
      if (status) {
        trivet_status_free(status);
        return false;
      }
    }
  }
  return true;
}

// Nanoseconds on a large GPU by its limits: operations, bytes, launches, and how many of its
// multiprocessors the tiles of the result occupy.
static double price(const blas_problem_t* p, const blas_geometry_t* g) {
  double batch = (double)g->batch * (double)g->calls;
  double flops = 2 * (double)g->m * (double)g->n * (double)g->k * batch;
  double elements = ((double)g->m + (double)g->n) * (double)g->k * batch;
  double results = (double)g->m * (double)g->n * batch;
  if (p->residual_operand != BLAS_NONE) results *= 2;
  double bytes = elements * tvi_dtype_bytes(p->dtype) + results * tvi_dtype_bytes(p->result_dtype);
  // Operations in a nanosecond.
  double rate = p->dtype != TRIVET_DTYPE_F32 ? 600e3 : p->allows_tf32 ? 300e3 : 50e3;
  uint64_t tile_rows = (g->m + 127) / 128, tile_columns = (g->n + 127) / 128;
  uint64_t splits = g->k / 256 + 1;
  double tiles = (double)tile_rows * (double)tile_columns * (double)g->batch;
  double split = (double)splits;
  double occupied = tiles * (split > 8 ? 8 : split) / 132;
  if (occupied < 1) rate *= occupied;
  double compute = flops / rate, memory = bytes / 3000;
  return 2500 * (double)g->calls + (compute > memory ? compute : memory);
}

// --- Packed weights ---------------------------------------------------------------------

// Constant weights may lie as the library likes them: in rows of what is summed, each at a multiple
// of 16 bytes. 0: they are no constant, or there are several matrices of them.
static uint32_t packed_leading(const trivet_region_t* region, const blas_match_t* match) {
  const blas_problem_t* p = &match->problem;
  const tvi_value_t* value =
      tvi_graph_value(region->graph, region->operands[match->region_operands[1]].value);
  if (p->batch_count || !value->constant || !value->constant->data) return 0;
  uint64_t sums = 1, vector = 16 / tvi_dtype_bytes(p->dtype);
  uint32_t first = p->m_count + p->n_count;
  for (uint32_t i = 0; i < p->n_count; ++i) {
    if (p->b_dims[p->m_count + i] == BLAS_NONE) return 0;
  }
  for (uint32_t i = first; i < first + p->k_count; ++i) {
    int64_t extent = 0;
    if (p->b_dims[i] == BLAS_NONE ||
        !tvi_dim_is_constant(value->type.dims[p->b_dims[i]], &extent) || extent < 1 ||
        __builtin_mul_overflow(sums, (uint64_t)extent, &sums)) {
      return 0;
    }
  }
  sums = (sums + vector - 1) / vector * vector;
  return sums < UINT32_MAX ? (uint32_t)sums : 0;
}

static trivet_status_t pack(const trivet_region_t* region, const blas_match_t* match,
                            trivet_emission_t* emission) {
  const blas_problem_t* p = &match->problem;
  const tvi_value_t* value =
      tvi_graph_value(region->graph, region->operands[match->region_operands[1]].value);
  int64_t extents[TRIVET_MAX_RANK], plain[TRIVET_MAX_RANK], elements = 1;
  for (uint32_t d = value->type.rank; d-- > 0;) {
    if (!tvi_dim_is_constant(value->type.dims[d], &extents[d])) extents[d] = 0;
    plain[d] = elements;
    elements *= extents[d];
  }
  // The indices of rows, then those of what is summed; the last runs fastest.
  uint32_t count = p->n_count + p->k_count;
  int64_t extent_of[BLAS_MAX_INDICES], from_of[BLAS_MAX_INDICES], to_of[BLAS_MAX_INDICES];
  int64_t stride = 1, rows = 1;
  for (uint32_t i = count; i-- > 0;) {
    uint8_t dim = p->b_dims[p->m_count + i];
    if (i + 1 == p->n_count) stride = p->packed_leading;
    extent_of[i] = extents[dim];
    from_of[i] = plain[dim];
    to_of[i] = stride;
    stride *= extents[dim];
    if (i < p->n_count) rows *= extents[dim];
  }
  uint32_t size = tvi_dtype_bytes(p->dtype);
  uint64_t packed_count = (uint64_t)rows * p->packed_leading;
  if (elements < 1 || value->constant->size != (uint64_t)elements * size) {
    return TRIVET_STATUS(INTERNAL, "cuBLASLt: weights of %llu bytes",
                         (unsigned long long)value->constant->size);
  }
  uint8_t* data = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(emission->arena, (size_t)packed_count, size, &data));
  const uint8_t* source = (const uint8_t*)value->constant->data;
  int64_t at[BLAS_MAX_INDICES] = {0}, from = 0, to = 0;
  for (int64_t n = 0; n < elements; ++n) {
    memcpy(data + to * size, source + from * size, size);
    for (uint32_t i = count; i-- > 0;) {
      from += from_of[i];
      to += to_of[i];
      if (++at[i] < extent_of[i]) break;
      from -= at[i] * from_of[i];
      to -= at[i] * to_of[i];
      at[i] = 0;
    }
  }
  tvi_packed_constant_t packed;
  memset(&packed, 0, sizeof(packed));
  packed.name = value->constant->name;
  packed.data = data;
  packed.size = packed_count * size;
  packed.dtype = p->dtype;
  packed.rank = 1;
  packed.dims[0] = (int64_t)packed_count;
  return emission->add_packed(emission->self, &packed);
}

// --- Proposal ---------------------------------------------------------------------------

// The library loads 16 bytes at once where rows and columns begin at multiples of them.
static bool is_aligned(const blas_problem_t* p, const blas_matrix_t* matrix) {
  return matrix->leading * (int64_t)tvi_dtype_bytes(p->dtype) % 16 == 0;
}

static trivet_status_t add_tactics(const trivet_kernel_t* kernel, const blas_match_t* match,
                                   const trivet_operand_t* operands, trivet_proposal_t* proposal) {
  const blas_problem_t* p = &match->problem;
  blas_geometry_t geometry;
  const char* reason = NULL;
  if (!blas_geometry(p, operands, &geometry, &reason)) {
    if (!p->packed_leading) proposal->decline(proposal->self, kernel, "%s", reason);
    return TRIVET_OK;
  }
  double first = price(p, &geometry);
  if (!is_aligned(p, &geometry.first) || !is_aligned(p, &geometry.second)) first *= 2;
  for (uint32_t i = 0; i < PROPOSALS; ++i) {
    tvi_tactic_t tactic;
    memset(&tactic, 0, sizeof(tactic));
    tactic.kernel = kernel;
    tactic.id = (p->packed_leading ? PACKED : 0) + i;
    // The library orders its proposals: a later one must win by time. Packing costs memory where
    // others read the weights, too.
    tactic.price = first * (1 + 0.02 * i + (p->packed_leading ? 0.01 : 0));
    snprintf(tactic.name, sizeof(tactic.name), "cublaslt%s %u", p->packed_leading ? " packed" : "",
             i);
    TRIVET_RETURN_IF_ERROR(proposal->add(proposal->self, &tactic));
  }
  return TRIVET_OK;
}

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal, tvi_arena_t* arena) {
  const char* reason = NULL;
  blas_match_t match;
  trivet_operand_t operands[BLAS_MAX_OPERANDS];
  TRIVET_RETURN_IF_ERROR(blas_match_region(region, arena, &match, &reason));
  if (!reason && !concrete(region, &match, operands)) reason = "an extent depends on data";
  if (reason) {
    proposal->decline(proposal->self, kernel, "%s", reason);
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(add_tactics(kernel, &match, operands, proposal));
  match.problem.packed_leading = packed_leading(region, &match);
  if (!match.problem.packed_leading) return TRIVET_OK;
  return add_tactics(kernel, &match, operands, proposal);
}

trivet_status_t blas_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                             trivet_proposal_t* proposal) {
  tvi_arena_t arena;
  tvi_arena_init(&arena, region->graph->allocator, 1 << 14);
  trivet_status_t status = propose(kernel, region, proposal, &arena);
  tvi_arena_deinit(&arena);
  return status;
}

trivet_status_t blas_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                          uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel;
  const char* reason = NULL;
  blas_match_t match;
  TRIVET_RETURN_IF_ERROR(blas_match_region(region, emission->arena, &match, &reason));
  if (reason) return TRIVET_STATUS(INTERNAL, "cuBLASLt took this region before: %s", reason);
  uint64_t algorithm = tactic % PACKED;
  match.problem.algorithm = algorithm < BLAS_MAX_ALGORITHMS ? (uint32_t)algorithm : 0;
  if (tactic >= PACKED) match.problem.packed_leading = packed_leading(region, &match);
  for (uint32_t i = 0; i < match.problem.operand_count; ++i) {
    if (i == 1 && match.problem.packed_leading) {
      TRIVET_RETURN_IF_ERROR(pack(region, &match, emission));
    } else {
      TRIVET_RETURN_IF_ERROR(emission->add_operand(emission->self, match.region_operands[i]));
    }
  }
  TRIVET_RETURN_IF_ERROR(emission->require(emission->self, "plugin:cuda_blas"));
  return emission->set_blob(emission->self, &match.problem, sizeof(match.problem));
}
