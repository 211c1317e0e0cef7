// SPDX-License-Identifier: Apache-2.0
//
// Build half of "cuda.kernel": prices regions, prints, compiles, writes the step. See
// cuda_kernel.h.
#include "plugins/cuda/emit/cuda_kernel.h"

#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "core/kernel_ir/fuse.h"
#include "core/target/target.h"
#include "plugins/cuda/emit/cuda_blob.h"
#include "plugins/cuda/emit/cuda_run.h"
#include "plugins/cuda/emit/cuda_write.h"
#include "plugins/cuda/emit/emit_schedule.h"

// Nanoseconds of a launch that follows another, and what a large device does in one of them.
#define LAUNCH_NS 2000.0
#define BYTES_PER_NS 3000.0
#define FLOPS_PER_NS 20000.0
#define TRANSCENDENTALS_PER_NS 2000.0

static double estimate(const trivet_region_t* region, trivet_dim_t dim) {
  return (double)tvi_cuda_estimate(region->graph->dims, dim, region->symbols, region->symbol_count);
}

static trivet_status_t price(const trivet_region_t* region, tvi_arena_t* arena, double* out_price) {
  tvi_cuda_schedule_t schedule;
  TRIVET_RETURN_IF_ERROR(tvi_cuda_schedule_make(region->program, region->symbols,
                                                region->symbol_count, false, arena, &schedule));
  double compute = 0, bytes = 0;
  const tvi_kir_program_t* p = schedule.program;
  for (uint32_t s = 0; s < p->stage_count; ++s) {
    tvi_kir_cost_t cost;
    tvi_kir_stage_cost(p, s, &cost);
    const double each = (cost.flops + cost.index_ops + 2.0 * cost.loads) / FLOPS_PER_NS +
                        cost.transcendentals / TRANSCENDENTALS_PER_NS;
    compute += each * (double)tvi_kir_cost_positions(&cost, region->symbols, region->symbol_count);
  }
  for (uint32_t v = 0; v < p->value_count; ++v) {
    const tvi_kir_value_t* value = &p->values[v];
    double size = tvi_dtype_bits(value->dtype) / 8.0;
    for (uint32_t d = 0; d < value->rank; ++d) size *= estimate(region, value->dims[d]);
    if (value->kind != TVI_KIR_TEMP) bytes += size;
    if (schedule.is_stored[v]) bytes += 2 * size;
  }
  const double memory = bytes / BYTES_PER_NS;
  *out_price = LAUNCH_NS * schedule.group_count + (compute > memory ? compute : memory);
  return TRIVET_OK;
}

static trivet_status_t propose_in(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                  tvi_arena_t* arena, trivet_proposal_t* proposal) {
  tvi_tactic_t tactic;
  memset(&tactic, 0, sizeof(tactic));
  tactic.kernel = kernel;
  memcpy(tactic.name, "generated", 10);
  TRIVET_RETURN_IF_ERROR(price(region, arena, &tactic.price));
  return proposal->add(proposal->self, &tactic);
}

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal) {
  return tvi_cuda_propose(kernel, region, proposal, propose_in);
}

static trivet_status_t emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel, (void)tactic;
  const tvi_kir_program_t* program = region->program;
  const trivet_dim_t** strides = NULL;
  uint32_t* operand_of_value = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_cuda_place_operands(region, emission->arena, &strides, &operand_of_value));
  char name[TVI_CUDA_NAME_SIZE - 16];
  tvi_cuda_name_kernels(region, name, sizeof(name));
  tvi_cuda_code_options_t options = {.name = name,
                                     .strides = strides,
                                     .symbols = region->symbols,
                                     .symbol_count = region->symbol_count,
                                     .shared_limit = tvi_cuda_shared_limit(region->target)};
  tvi_cuda_code_t code;
  memset(&code, 0, sizeof(code));
  TRIVET_RETURN_IF_ERROR(
      tvi_cuda_code_make(program, &options, emission->arena, region->graph->allocator, &code));
  trivet_status_t status = tvi_cuda_write_code(region, &code, operand_of_value, name, emission);
  tvi_cuda_code_deinit(&code);
  return status;
}

const trivet_kernel_t tvi_cuda_kernel_definition = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "cuda.kernel",
    .target = "cuda",
    .summary = "compiles kernel IR to CUDA kernels",
    .version = TVI_CUDA_BLOB_VERSION,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .flags = TRIVET_KERNEL_GENERAL,
    .propose = propose,
    .emit = emit,
    .load = tvi_cuda_kernel_load,
    .unload = tvi_cuda_kernel_unload,
    .prepare = tvi_cuda_kernel_prepare,
    .release = tvi_cuda_kernel_release,
    .run = tvi_cuda_kernel_run,
};
