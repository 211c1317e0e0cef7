// SPDX-License-Identifier: Apache-2.0
//
// Build half of "cuda.matmul": which forms a region may take, what they will cost, and the step of
// the one that was chosen. Its steps are run as those of "cuda.kernel". See matmul_kernel.h.
#include "plugins/cuda/emit/matmul_kernel.h"

#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "core/target/target.h"
#include "plugins/cuda/emit/cuda_blob.h"
#include "plugins/cuda/emit/cuda_run.h"
#include "plugins/cuda/emit/cuda_write.h"
#include "plugins/cuda/emit/matmul_code.h"

#define MAX_PROPOSALS 8u
#define MAX_SPLITS 16u
#define MULTIPROCESSORS 132
// Bytes of partial sums beyond which splitting is not worth asking.
#define MAX_WORKSPACE ((double)(32 << 20))

// A way to run a region: the number of the tactic.
typedef struct form_s {
  uint32_t tile, splits;
  bool is_packed;  // the second factor, a constant, is laid out anew
} form_t;

static uint64_t number_of(const form_t* form) {
  return form->tile | (uint64_t)form->splits << 8 | (uint64_t)form->is_packed << 16;
}

static bool form_of(uint64_t number, form_t* out_form) {
  const form_t form = {(uint32_t)(number & 255), (uint32_t)(number >> 8 & 255),
                       (number >> 16 & 1) != 0};
  if (form.tile >= tvi_cuda_matmul_tile_count || form.splits == 0 || form.splits > MAX_SPLITS ||
      number >> 17)
    return false;
  *out_form = form;
  return true;
}

// ---------------------------------------------------------------------------------------------
// Packing
// ---------------------------------------------------------------------------------------------

static const tvi_value_t* constant_of(const trivet_region_t* region, uint32_t operand) {
  const tvi_region_operand_t* from = &region->operands[operand];
  const tvi_value_t* value = tvi_graph_value(region->graph, from->value);
  if (from->is_output || !from->dense || !value->constant || !value->constant->data) return NULL;
  return value;
}

// Strides of the second factor as rows along k, each a multiple of 16 bytes. False: it is no
// constant matrix.
static int64_t packed_depth(uint32_t dtype, int64_t depth) {
  const int64_t multiple = 16 / (int64_t)tvi_dtype_bytes(dtype);
  return (depth + multiple - 1) / multiple * multiple;
}

static bool packed_strides(const trivet_region_t* region, const tvi_cuda_matmul_problem_t* problem,
                           const uint32_t* operand_of_value, trivet_dim_t* strides) {
  if (problem->b_rank != 2) return false;
  const tvi_value_t* value = constant_of(region, operand_of_value[problem->b]);
  int64_t depth;
  if (!value || value->type.rank != 2 ||
      !tvi_dim_is_constant(value->type.dims[problem->b_k_dim], &depth))
    return false;
  tvi_dim_context_t* dims = region->graph->dims;
  depth = packed_depth(problem->dtype, depth);
  memset(strides, 0, TRIVET_MAX_RANK * sizeof(*strides));
  strides[problem->b_k_dim] = tvi_dim_constant(dims, 1);
  strides[problem->b_n_dim] = tvi_dim_constant(dims, depth);
  return strides[0] && strides[1];
}

static trivet_status_t pack(const trivet_region_t* region, const tvi_cuda_matmul_problem_t* problem,
                            const uint32_t* operand_of_value, tvi_arena_t* arena,
                            tvi_cuda_packed_t* out_packed) {
  const tvi_value_t* value = constant_of(region, operand_of_value[problem->b]);
  if (!value || value->type.rank != 2) return TRIVET_STATUS(INTERNAL, "no constant matrix");
  int64_t sizes[2];
  for (uint32_t d = 0; d < 2; ++d)
    TRIVET_RETURN_IF_ERROR(
        tvi_dim_evaluate(value->type.dims[d], region->symbols, region->symbol_count, &sizes[d]));
  const int64_t k = sizes[problem->b_k_dim], n = sizes[problem->b_n_dim];
  const int64_t depth = packed_depth(problem->dtype, k);
  const size_t width = tvi_dtype_bytes(problem->dtype);
  const int64_t n_stride = problem->b_n_dim == 0 ? sizes[1] : 1;
  const int64_t k_stride = problem->b_k_dim == 0 ? sizes[1] : 1;
  if (value->constant->size < (uint64_t)(n * k) * width)
    return TRIVET_STATUS(DATA_LOSS, "a constant of %lld x %lld has too few bytes", (long long)n,
                         (long long)k);
  uint8_t* rows = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, (size_t)(n * depth) + 1, width, &rows));
  const uint8_t* from = (const uint8_t*)value->constant->data;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < k; ++j)
      memcpy(rows + (size_t)(i * depth + j) * width,
             from + (size_t)(i * n_stride + j * k_stride) * width, width);
  memset(out_packed, 0, sizeof(*out_packed));
  out_packed->value = problem->b;
  out_packed->constant.name = value->constant->name;
  out_packed->constant.data = rows;
  out_packed->constant.size = (uint64_t)(n * depth) * width;
  out_packed->constant.dtype = value->type.dtype;
  out_packed->constant.rank = 2;
  out_packed->constant.dims[0] = n;
  out_packed->constant.dims[1] = depth;
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Prices
// ---------------------------------------------------------------------------------------------

static double smaller(double a, double b) { return a < b ? a : b; }
static double larger(double a, double b) { return a > b ? a : b; }
double tvi_cuda_parts(int64_t whole, int64_t size) {
  const int64_t count = (whole + size - 1) / size;
  return (double)count;
}

// What a step of the sum waits for. Factors that come through registers wait at each, and at those
// that fill the stages, for memory: on an H100 a norm ahead of a convolution of 196x128x512 took 7
// us more so than in a kernel of its own. Those that are computed where they have arrived wait for
// what is read besides, then for one piece of 16 bytes after the other; that was not measured, and
// is rather too much here, so that only short sums take what is ahead of them.
static double steps_price(const tvi_cuda_matmul_problem_t* p, const tvi_cuda_matmul_tile_t* t,
                          double steps, double each) {
  if (p->waits) return (steps + smaller(steps, t->stages - 1)) * larger(each, 1000);
  const double rows = (p->makes_a ? t->bm : 0) + (p->makes_b ? t->bn : 0);
  const uint32_t of_row = t->kt / 8, threads = t->wm * t->wn * 32;
  const double pieces = rows * of_row / threads;  // of a thread
  return steps * (larger(each, 150) + (rows > 0 ? 600 + 80 * pieces : 0));
}

// Nanoseconds on a large device: what its multiprocessors multiply, or wait for at each step of the
// sum, or the bytes that must move; then the epilogue. Fitted to measurements on an H100, where the
// smallest product takes 4 us and mma.sync gives 320 TFLOP/s.
double tvi_cuda_matmul_price(const tvi_cuda_matmul_problem_t* p, const tvi_cuda_matmul_tile_t* t,
                             uint32_t splits, bool packed) {
  const double multiprocessors = MULTIPROCESSORS;
  const double rows = tvi_cuda_parts(p->m, t->bm);
  const double columns = tvi_cuda_parts(p->n, t->bn);
  const double blocks = rows * columns * (double)p->batch * splits;
  const uint32_t depth = tvi_cuda_matmul_depth(t, p->dtype);
  const uint32_t piece = tvi_cuda_matmul_piece(p->dtype);
  const double steps = tvi_cuda_parts((int64_t)tvi_cuda_parts(p->k, depth), splits);
  // Warps with large tiles read less from shared memory for each product.
  const uint32_t warp = t->bm / t->wm * (t->bn / t->wn);
  const bool is_tf32 = p->dtype == TRIVET_DTYPE_F32;
  const double efficiency = warp >= 2048   ? (is_tf32 ? 0.4 : 0.5)
                            : warp >= 1024 ? (is_tf32 ? 0.35 : 0.54)
                            : warp >= 512  ? (is_tf32 ? 0.25 : 0.4)
                                           : (is_tf32 ? 0.19 : 0.3);
  // Operations in a nanosecond on a multiprocessor: a piece of 16 bytes takes as long as any other.
  const double rate = 4500 * efficiency * piece / 8;
  double each = 2.0 * t->bm * t->bn * depth / rate;
  const uint32_t b = packed ? piece : p->vector_b;
  if (p->vector_a < piece) each += p->vector_a > 1 ? 60 : 600;
  if (b < piece) each += b > 1 ? 60 : 600;
  double resident = smaller(228.0 * 1024 / (tvi_cuda_matmul_shared_bytes(t) + 1024),
                            1024.0 / (t->wm * t->wn * 32));
  resident = resident < 1 ? 1 : (double)(int64_t)resident;
  const double waves = larger(1, (double)(int64_t)(blocks / (multiprocessors * resident) + 0.999));
  const double latency = waves * (900 + steps_price(p, t, steps, each));
  const double busy = (double)(int64_t)(blocks / multiprocessors + 0.999);
  const double compute = larger(latency, busy * steps * each + 900);
  const double bytes = p->factor_bytes + p->epilogue_bytes;
  double time = 1500 + larger(compute, bytes / 2500) + p->epilogue_work / 20000;
  // Factors that are computed: again by every block.
  time += (p->work_a * columns + p->work_b * rows) / (p->waits ? 8000 : 4000);
  if (splits > 1) {
    const double partial = (double)p->m * (double)p->n * (double)p->batch * 4 * splits;
    time += 800 + 2 * partial / 4000;
    // Parts of a sum that make a factor: in a chain of four products of 196x128x512 with a norm
    // ahead, in four parts each, one took 12.5 us where all else here says 5 to 6. Perhaps since
    // those that read pixels in a row make one element at a time there, 196 being no multiple of 8.
    if (p->makes_a || p->makes_b) time += 7000;
  }
  return time;
}

// The forms for Hopper: blocks take tile after tile, and nothing but the first tile waits for
// memory. Where groups take turns, what follows a product is done while the other group multiplies.
double tvi_cuda_matmul_wide_price(const tvi_cuda_matmul_problem_t* p,
                                  const tvi_cuda_matmul_tile_t* t, uint32_t splits) {
  const double multiprocessors = MULTIPROCESSORS;
  const double tiles = tvi_cuda_parts(p->m, t->bm) * tvi_cuda_parts(p->n, t->bn) * (double)p->batch;
  const double size = (double)t->bm * t->bn;
  const double blocks = tiles * splits;
  const double waves = larger(1, (double)(int64_t)(blocks / multiprocessors + 0.999));
  const double steps = tvi_cuda_parts((int64_t)tvi_cuda_parts(p->k, t->kt), splits);
  // Operations in a nanosecond on a multiprocessor; smaller tiles read the factors more often.
  const double rate = t->turns       ? 4800
                      : t->wm > 8    ? 5600
                      : size > 24576 ? 6200
                      : size > 16384 ? 5400
                      : size > 8192  ? 5900
                      : size > 4096  ? 3800
                                     : 2800;
  const double product = steps * larger(2.0 * size * t->kt / rate, size > 8192 ? 250 : 120);
  // Sums through shared memory, which nothing hides but turns, and what is computed of them.
  const double laying = t->turns || t->wm < 8 ? 0.03 : t->wm > 8 ? 0.075 : 0.1;
  const double points = (double)p->m * (double)p->n * (double)p->batch;
  const double rest = size * (laying + p->epilogue_work / (points > 1 ? points : 1) / 1200);
  const double bytes = p->factor_bytes + p->epilogue_bytes;
  double busy = waves * (product + rest);
  if (t->turns) busy = larger(waves * product + rest, waves / 2 * (product + 1.5 * rest));
  // Every block has a part of a wave; sums of others are waited for and added, flags lowered.
  if (t->even) busy = tiles / multiprocessors * product + waves * rest + 4000;
  // All but the last are finished while the next one is multiplied.
  if (t->late) busy = waves * (larger(product, rest) + size * 0.012) + rest;
  return 2500 + (splits > 1 ? 700 : 0) + larger(busy, bytes / 2500);
}

// As a cluster, where tiles alone are too few for the device.
static bool can_split_wide(const tvi_cuda_matmul_problem_t* p, const form_t* form) {
  const tvi_cuda_matmul_tile_t* t = &tvi_cuda_matmul_tiles[form->tile];
  const double blocks =
      tvi_cuda_parts(p->m, t->bm) * tvi_cuda_parts(p->n, t->bn) * (double)p->batch;
  return tvi_cuda_matmul_can_share(t) && form->splits <= 8 && blocks * form->splits <= 300 &&
         p->k / form->splits >= 2 * t->kt;
}

// Tiles are finished late where blocks have a next one, and where that rounds what is rounded
// anyway.
static bool has_next(const tvi_cuda_matmul_problem_t* p, const tvi_cuda_matmul_tile_t* t) {
  return p->is_narrow &&
         tvi_cuda_parts(p->m, t->bm) * tvi_cuda_parts(p->n, t->bn) * (double)p->batch >
             MULTIPROCESSORS;
}

// Blocks that take tiles end at about the same time: even shares of the steps would save nothing.
static bool fills_waves(const tvi_cuda_matmul_problem_t* p, const tvi_cuda_matmul_tile_t* t) {
  const double tiles = tvi_cuda_parts(p->m, t->bm) * tvi_cuda_parts(p->n, t->bn);
  const double waves = tiles * (double)p->batch / MULTIPROCESSORS;
  return waves > 0.85 * (double)(int64_t)(waves + 0.999);
}

static bool is_candidate(const trivet_region_t* region, const tvi_cuda_matmul_problem_t* p,
                         const form_t* form) {
  const tvi_cuda_matmul_tile_t* t = &tvi_cuda_matmul_tiles[form->tile];
  if (t->even && (form->splits > 1 || p->dtype == TRIVET_DTYPE_I8 || fills_waves(p, t)))
    return false;
  if (p->dtype == TRIVET_DTYPE_I8 && form->splits > 1) return false;
  if (t->slab)
    return (form->splits == 1 || can_split_wide(p, form)) && tvi_cuda_is_hopper(region->target) &&
           p->can_map_a && (p->can_map_b || form->is_packed) && p->k > 0 &&
           (!t->late || has_next(p, t));
  if (form->splits == 1) return true;
  const double blocks =
      tvi_cuda_parts(p->m, t->bm) * tvi_cuda_parts(p->n, t->bn) * (double)p->batch;
  const double partial = (double)p->m * (double)p->n * (double)p->batch * 4 * form->splits;
  return blocks * form->splits <= 400 &&
         p->k / form->splits >= 2 * tvi_cuda_matmul_depth(t, p->dtype) && partial <= MAX_WORKSPACE;
}

typedef struct candidate_s {
  form_t form;
  double price;
} candidate_t;

// The cheapest forms, in order.
static uint32_t enumerate(const trivet_region_t* region, const tvi_cuda_matmul_problem_t* problem,
                          bool packed, candidate_t best[MAX_PROPOSALS]) {
  uint32_t count = 0;
  for (uint32_t tile = 0; tile < tvi_cuda_matmul_tile_count; ++tile) {
    for (uint32_t splits = 1; splits <= MAX_SPLITS; splits *= 2) {
      candidate_t c = {{tile, splits, packed}, 0};
      if (!is_candidate(region, problem, &c.form)) continue;
      const tvi_cuda_matmul_tile_t* t = &tvi_cuda_matmul_tiles[tile];
      c.price = t->slab ? tvi_cuda_matmul_wide_price(problem, t, splits)
                        : tvi_cuda_matmul_price(problem, t, splits, packed);
      uint32_t at = count < MAX_PROPOSALS ? count++ : MAX_PROPOSALS;
      while (at > 0 && c.price < best[at - 1].price) {
        if (at < MAX_PROPOSALS) best[at] = best[at - 1];
        --at;
      }
      if (at < MAX_PROPOSALS) best[at] = c;
    }
  }
  return count;
}

// ---------------------------------------------------------------------------------------------
// Build half
// ---------------------------------------------------------------------------------------------

static trivet_status_t read_problem(const trivet_region_t* region, tvi_arena_t* arena,
                                    const trivet_dim_t* const* strides,
                                    tvi_cuda_matmul_problem_t* out_problem) {
  tvi_cuda_code_options_t options;
  memset(&options, 0, sizeof(options));
  options.name = "matmul";
  options.allows_tf32 = region->allows_tf32;
  options.strides = strides;
  options.symbols = region->symbols;
  options.symbol_count = region->symbol_count;
  return tvi_cuda_matmul_read(region->program, &options, arena, region->graph->allocator,
                              out_problem);
}

static trivet_status_t propose_in(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                  tvi_arena_t* arena, trivet_proposal_t* proposal) {
  const trivet_dim_t** strides = NULL;
  uint32_t* operand_of_value = NULL;
  tvi_cuda_matmul_problem_t problem;
  TRIVET_RETURN_IF_ERROR(tvi_cuda_place_operands(region, arena, &strides, &operand_of_value));
  TRIVET_RETURN_IF_ERROR(read_problem(region, arena, strides, &problem));
  if (problem.reason) {
    proposal->decline(proposal->self, kernel, "%s", problem.reason);
    return TRIVET_OK;
  }
  trivet_dim_t row_strides[TRIVET_MAX_RANK];
  const uint32_t piece = tvi_cuda_matmul_piece(problem.dtype);
  const bool packed =
      problem.vector_b < piece && packed_strides(region, &problem, operand_of_value, row_strides);
  if (problem.dtype == TRIVET_DTYPE_I8 && problem.vector_b < piece && !packed) {
    proposal->decline(proposal->self, kernel,
                      "a second factor of i8 that neither lies along the sum nor is a constant");
    return TRIVET_OK;
  }
  candidate_t best[MAX_PROPOSALS];
  const uint32_t count = enumerate(region, &problem, packed, best);
  for (uint32_t i = 0; i < count; ++i) {
    const tvi_cuda_matmul_tile_t* tile = &tvi_cuda_matmul_tiles[best[i].form.tile];
    tvi_tactic_t tactic;
    memset(&tactic, 0, sizeof(tactic));
    tactic.kernel = kernel;
    tactic.id = number_of(&best[i].form);
    tactic.price = best[i].price;
    snprintf(tactic.name, sizeof(tactic.name), "%s %ux%u%s%s",
             tile->slab                          ? "wgmma"
             : problem.dtype == TRIVET_DTYPE_F32 ? "mma tf32"
                                                 : "mma",
             tile->bm, tile->bn,
             tile->turns  ? " turns"
             : tile->late ? " late"
             : tile->even ? " stream-k"
                          : "",
             packed ? " packed" : "");
    if (best[i].form.splits > 1)
      snprintf(tactic.name + strlen(tactic.name), sizeof(tactic.name) - strlen(tactic.name),
               " split %u", best[i].form.splits);
    TRIVET_RETURN_IF_ERROR(proposal->add(proposal->self, &tactic));
  }
  return TRIVET_OK;
}

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal) {
  return tvi_cuda_propose(kernel, region, proposal, propose_in);
}

static trivet_status_t emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel;
  const trivet_dim_t** strides = NULL;
  uint32_t* operand_of_value = NULL;
  tvi_cuda_matmul_problem_t problem;
  tvi_cuda_packed_t packed;
  trivet_dim_t row_strides[TRIVET_MAX_RANK];
  form_t form;
  if (!form_of(tactic, &form))
    return TRIVET_STATUS(INVALID_ARGUMENT, "cuda.matmul has no tactic %llu",
                         (unsigned long long)tactic);
  TRIVET_RETURN_IF_ERROR(
      tvi_cuda_place_operands(region, emission->arena, &strides, &operand_of_value));
  TRIVET_RETURN_IF_ERROR(read_problem(region, emission->arena, strides, &problem));
  if (problem.reason)
    return TRIVET_STATUS(INTERNAL, "cuda.matmul took this region before: %s", problem.reason);
  if (form.is_packed) {
    if (!packed_strides(region, &problem, operand_of_value, row_strides))
      return TRIVET_STATUS(INTERNAL, "cuda.matmul: a factor is no constant any more");
    TRIVET_RETURN_IF_ERROR(pack(region, &problem, operand_of_value, emission->arena, &packed));
    strides[problem.b] = row_strides;
  }
  char name[TVI_CUDA_NAME_SIZE - 16];
  tvi_cuda_name_kernels(region, name, sizeof(name));
  tvi_cuda_code_options_t options;
  memset(&options, 0, sizeof(options));
  options.name = name;
  options.allows_tf32 = region->allows_tf32;
  options.strides = strides;
  TRIVET_RETURN_IF_ERROR(
      tvi_cuda_find_constants(region, region->program, emission->arena, &options.is_constant));
  options.symbols = region->symbols;
  options.symbol_count = region->symbol_count;
  tvi_cuda_code_t code;
  memset(&code, 0, sizeof(code));
  TRIVET_RETURN_IF_ERROR(tvi_cuda_matmul_code(region->program, &options,
                                              &tvi_cuda_matmul_tiles[form.tile], form.splits,
                                              emission->arena, region->graph->allocator, &code));
  trivet_status_t status = tvi_cuda_write_packed(region, &code, operand_of_value,
                                                 form.is_packed ? &packed : NULL, name, emission);
  tvi_cuda_code_deinit(&code);
  return status;
}

const trivet_kernel_t tvi_cuda_matmul_definition = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "cuda.matmul",
    .target = "cuda",
    .summary = "products of matrices on tensor cores with any epilogue",
    .version = TVI_CUDA_BLOB_VERSION,
    .halves = TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
    .propose = propose,
    .emit = emit,
    .load = tvi_cuda_kernel_load,
    .unload = tvi_cuda_kernel_unload,
    .prepare = tvi_cuda_kernel_prepare,
    .release = tvi_cuda_kernel_release,
    .run = tvi_cuda_kernel_run,
};
