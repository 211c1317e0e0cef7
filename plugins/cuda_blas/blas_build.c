// SPDX-License-Identifier: Apache-2.0
//
// Build half, which needs no library and no device: the problem goes into the plan, and prepare
// asks the library for an algorithm. A tactic is the number of the library's proposal.
#include "plugins/cuda_blas/blas_build.h"

#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"

#define PROPOSALS 3u

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
  double rate = p->dtype == TRIVET_DTYPE_F32 ? 50e3 : 600e3;  // operations in a nanosecond
  uint64_t tile_rows = (g->m + 127) / 128, tile_columns = (g->n + 127) / 128;
  uint64_t splits = g->k / 256 + 1;
  double tiles = (double)tile_rows * (double)tile_columns * (double)g->batch;
  double split = (double)splits;
  double occupied = tiles * (split > 8 ? 8 : split) / 132;
  if (occupied < 1) rate *= occupied;
  double compute = flops / rate, memory = bytes / 3000;
  return 2500 * (double)g->calls + (compute > memory ? compute : memory);
}

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal, tvi_arena_t* arena) {
  const char* reason = NULL;
  blas_match_t match;
  blas_geometry_t geometry;
  trivet_operand_t operands[BLAS_MAX_OPERANDS];
  TRIVET_RETURN_IF_ERROR(blas_match_region(region, arena, &match, &reason));
  if (!reason && !concrete(region, &match, operands)) reason = "an extent depends on data";
  if (!reason) blas_geometry(&match.problem, operands, &geometry, &reason);
  if (reason) {
    proposal->decline(proposal->self, kernel, "%s", reason);
    return TRIVET_OK;
  }
  for (uint32_t i = 0; i < PROPOSALS; ++i) {
    tvi_tactic_t tactic;
    memset(&tactic, 0, sizeof(tactic));
    tactic.kernel = kernel;
    tactic.id = i;
    // The library orders its proposals: a later one must win by time.
    tactic.price = price(&match.problem, &geometry) * (1 + 0.02 * i);
    snprintf(tactic.name, sizeof(tactic.name), "cublaslt %u", i);
    TRIVET_RETURN_IF_ERROR(proposal->add(proposal->self, &tactic));
  }
  return TRIVET_OK;
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
  match.problem.algorithm = tactic < BLAS_MAX_ALGORITHMS ? (uint32_t)tactic : 0;
  for (uint32_t i = 0; i < match.problem.operand_count; ++i) {
    TRIVET_RETURN_IF_ERROR(emission->add_operand(emission->self, match.region_operands[i]));
  }
  TRIVET_RETURN_IF_ERROR(emission->require(emission->self, "plugin:cuda_blas"));
  return emission->set_blob(emission->self, &match.problem, sizeof(match.problem));
}
