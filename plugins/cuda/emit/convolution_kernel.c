// SPDX-License-Identifier: Apache-2.0
//
// Build half of "cuda.convolution": which forms a region may take, what they will cost, and the
// step of the one that was chosen. Its steps are run as those of "cuda.kernel". See
// convolution_kernel.h.
#include "plugins/cuda/emit/convolution_kernel.h"

#include <stdio.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "core/target/target.h"
#include "plugins/cuda/emit/convolution_code.h"
#include "plugins/cuda/emit/cuda_blob.h"
#include "plugins/cuda/emit/cuda_run.h"
#include "plugins/cuda/emit/cuda_write.h"

#define MAX_PROPOSALS 10u
#define MAX_SPLITS 16u
#define MAX_ACROSS 4u
#define MAX_SHARERS 4u
// What boxes of the image cost, where threads gather what windows need for 1.
#define GATHERING 0.8
// Bytes of partial sums beyond which splitting is not worth asking.
#define MAX_WORKSPACE ((double)(32 << 20))

static uint64_t number_of(const tvi_cuda_convolution_form_t* form) {
  return form->tile | (uint64_t)form->splits << 8 | (uint64_t)form->across << 16 |
         (uint64_t)form->by_lines << 24 | (uint64_t)form->by_boxes << 25 |
         (uint64_t)(form->sharers - 1) << 26;
}

static bool form_of(uint64_t number, tvi_cuda_convolution_form_t* out_form) {
  const tvi_cuda_convolution_form_t form = {
      (uint32_t)(number & 255),       (uint32_t)(number >> 8 & 255),
      (uint32_t)(number >> 16 & 255), (uint32_t)(number >> 26 & 3) + 1,
      (number >> 24 & 1) != 0,        (number >> 25 & 1) != 0};
  if (form.tile >= tvi_cuda_matmul_tile_count || form.splits == 0 || form.splits > MAX_SPLITS ||
      form.across == 0 || form.across > MAX_ACROSS || number >> 28)
    return false;
  *out_form = form;
  return true;
}

// ---------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------

typedef struct asked_s {
  tvi_cuda_convolution_problem_t problem;
  const trivet_dim_t** strides;  // by value of the region's program
  uint32_t* operand_of_value;
  bool is_packed;  // weights are constants, and are laid out as the sums walk them
} asked_t;

static const tvi_value_t* weights_of(const trivet_region_t* region, uint32_t operand) {
  const tvi_region_operand_t* from = &region->operands[operand];
  const tvi_value_t* value = tvi_graph_value(region->graph, from->value);
  int64_t size;
  if (from->is_output || !value->constant || !value->constant->data) return NULL;
  for (uint32_t d = 0; d < value->type.rank; ++d)
    if (!tvi_dim_is_constant(value->type.dims[d], &size)) return NULL;
  return value;
}

static void fill_options(const trivet_region_t* region, const asked_t* a, const char* name,
                         tvi_cuda_code_options_t* out_options) {
  memset(out_options, 0, sizeof(*out_options));
  out_options->name = name;
  out_options->allows_tf32 = region->allows_tf32;
  out_options->strides = a->strides;
  out_options->symbols = region->symbols;
  out_options->symbol_count = region->symbol_count;
}

static trivet_status_t ask(const trivet_region_t* region, tvi_arena_t* arena, asked_t* a) {
  const tvi_kir_program_t* program = region->program;
  TRIVET_RETURN_IF_ERROR(tvi_cuda_place_operands(region, arena, &a->strides, &a->operand_of_value));
  tvi_cuda_code_options_t options;
  trivet_allocator_t allocator = region->graph->allocator;
  fill_options(region, a, "convolution", &options);
  TRIVET_RETURN_IF_ERROR(
      tvi_cuda_convolution_read(program, &options, arena, allocator, &a->problem));
  if (a->problem.reason) return TRIVET_OK;
  const uint32_t weight = a->problem.weight;
  if (!weights_of(region, a->operand_of_value[weight])) return TRIVET_OK;
  a->is_packed = true;
  trivet_dim_t* strides = NULL;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, TRIVET_MAX_RANK, sizeof(*strides), &strides));
  memcpy(strides, a->problem.weight_strides, sizeof(a->problem.weight_strides));
  a->strides[weight] = strides;
  return tvi_cuda_convolution_read(program, &options, arena, allocator, &a->problem);
}

// ---------------------------------------------------------------------------------------------
// Packing
// ---------------------------------------------------------------------------------------------

// Constants lie dense in the order of their dimensions.
static trivet_status_t pack(const trivet_region_t* region, const asked_t* a, tvi_arena_t* arena,
                            tvi_cuda_packed_t* out_packed) {
  const tvi_cuda_convolution_problem_t* p = &a->problem;
  const tvi_value_t* value = weights_of(region, a->operand_of_value[p->weight]);
  if (!value) return TRIVET_STATUS(INTERNAL, "cuda.convolution: weights are no constant any more");
  const uint32_t rank = value->type.rank;
  int64_t sizes[TRIVET_MAX_RANK], strides[TRIVET_MAX_RANK], at[TRIVET_MAX_RANK] = {0};
  int64_t count = 1, span = 1;
  for (uint32_t d = 0; d < rank; ++d) {
    if (!tvi_dim_is_constant(value->type.dims[d], &sizes[d]) ||
        !tvi_dim_is_constant(p->weight_strides[d], &strides[d]))
      return TRIVET_STATUS(INTERNAL, "cuda.convolution: weights of unknown size");
    count *= sizes[d];
    span += (sizes[d] - 1) * strides[d];
  }
  const size_t width = tvi_dtype_bytes(value->type.dtype);
  if (count < 1 || value->constant->size < (uint64_t)count * width)
    return TRIVET_STATUS(DATA_LOSS, "convolution weights of %lld elements have %llu bytes",
                         (long long)count, (unsigned long long)value->constant->size);
  // The last row is as long as the others.
  const int64_t row = strides[p->match.weight_output_dim];
  span = p->is_depthwise ? span : sizes[p->match.weight_output_dim] * row;
  uint8_t* data = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, (size_t)span, width, &data));
  const uint8_t* from = (const uint8_t*)value->constant->data;
  for (int64_t i = 0; i < count; ++i) {
    int64_t to = 0;
    for (uint32_t d = 0; d < rank; ++d) to += at[d] * strides[d];
    memcpy(data + (size_t)to * width, from + (size_t)i * width, width);
    for (uint32_t d = rank; d-- > 0;) {
      if (++at[d] < sizes[d]) break;
      at[d] = 0;
    }
  }
  memset(out_packed, 0, sizeof(*out_packed));
  out_packed->value = p->weight;
  out_packed->constant.name = value->constant->name;
  out_packed->constant.data = data;
  out_packed->constant.size = (uint64_t)span * width;
  out_packed->constant.dtype = value->type.dtype;
  out_packed->constant.rank = 1;
  out_packed->constant.dims[0] = span;
  return TRIVET_OK;
}

// ---------------------------------------------------------------------------------------------
// Prices
// ---------------------------------------------------------------------------------------------

typedef struct candidate_s {
  tvi_cuda_convolution_form_t form;
  double price;
} candidate_t;

static void insert(const candidate_t* c, candidate_t best[MAX_PROPOSALS], uint32_t* count) {
  uint32_t at = *count < MAX_PROPOSALS ? (*count)++ : MAX_PROPOSALS;
  while (at > 0 && c->price < best[at - 1].price) {
    if (at < MAX_PROPOSALS) best[at] = best[at - 1];
    --at;
  }
  if (at < MAX_PROPOSALS) best[at] = *c;
}

// Nanoseconds of windows of single channels on a large device: bytes, or instructions, of which
// each element of the image costs some for every thread that reads it.
static double channels_price(const tvi_cuda_matmul_problem_t* p, uint32_t across,
                             uint32_t sharers) {
  const double points = (double)p->m * (double)p->n;
  const double most = p->vector_a < p->vector_c ? p->vector_a : p->vector_c;
  const double vector = most > sharers ? most / sharers : 1;
  const double threads = points / vector / across;
  const double window = (double)p->k;
  const double bytes = (p->factor_bytes + p->epilogue_bytes) / 2500;
  // Elements of the image and of the weights per result, each converted once it is loaded.
  const double loads = window * (1.0 + 2.0 / across) + (vector < 8 ? window * 2 : 0);
  const double work = (points * (window + loads) + p->work_a * (1.0 + 2.0 / across) / 3) / 16000 +
                      p->epilogue_work / 20000;
  // Few threads wait for one load after the other.
  const double latency = 900 + window * (4 + vector) * across * (threads < 30000 ? 1 : 0.5);
  const double busy = bytes > work ? bytes : work;
  return 1500 + (busy > latency ? busy : latency);
}

// First layers: tiles of a hundred pixels, each of which waits for its lines.
static double lines_price(const tvi_cuda_matmul_problem_t* p) {
  const double tiles = (double)p->m / 112, waves = tiles < 264 ? 1 : tiles / 264;
  const double bytes = (p->factor_bytes + p->epilogue_bytes) / 2200;
  return 3000 + (bytes > waves * 3000 ? bytes : waves * 3000);
}

static uint32_t enumerate(const asked_t* a, const char* target, candidate_t best[MAX_PROPOSALS]) {
  const tvi_cuda_matmul_problem_t* p = &a->problem.product;
  uint32_t count = 0;
  if (a->problem.is_depthwise) {
    for (uint32_t across = 1; across <= MAX_ACROSS; across *= 2) {
      for (uint32_t sharers = 1; sharers <= MAX_SHARERS; sharers *= 2) {
        candidate_t c = {{0, 1, across, sharers, false, false}, channels_price(p, across, sharers)};
        insert(&c, best, &count);
      }
    }
    return count;
  }
  if (a->problem.has_lines) {
    const candidate_t c = {{0, 1, 1, 1, true, false}, lines_price(p)};
    insert(&c, best, &count);
  }
  for (uint32_t tile = 0; tile < tvi_cuda_matmul_tile_count; ++tile) {
    const tvi_cuda_matmul_tile_t* t = &tvi_cuda_matmul_tiles[tile];
    if (t->late || t->even) continue;
    if (t->slab) {
      if (!tvi_cuda_is_hopper(target) || p->vector_a != 8 || p->vector_b != 8 || p->makes_a)
        continue;
      const double price = tvi_cuda_matmul_wide_price(p, t, 1);
      candidate_t c = {{tile, 1, 1, 1, false, false}, price};
      if (tvi_cuda_matmul_is_plain_wide(t)) insert(&c, best, &count);
      c.form.by_boxes = true;
      c.price = price * GATHERING;
      if (a->problem.has_boxes) insert(&c, best, &count);
      continue;
    }
    for (uint32_t splits = 1; splits <= MAX_SPLITS; splits *= 2) {
      const double blocks = tvi_cuda_parts(p->m, t->bm) * tvi_cuda_parts(p->n, t->bn) * splits;
      const double partial = (double)p->m * (double)p->n * 4 * splits;
      const bool is_deep = p->k / splits >= 2 * tvi_cuda_matmul_depth(t, p->dtype);
      if (splits > 1 &&
          (p->dtype == TRIVET_DTYPE_I8 || blocks > 400 || !is_deep || partial > MAX_WORKSPACE))
        continue;
      // Gathered one by one: fitted to a first layer.
      const double price = tvi_cuda_matmul_price(p, t, splits, false);
      candidate_t c = {{tile, splits, 1, 1, false, false}, p->vector_a > 1 ? price : price * 1.8};
      insert(&c, best, &count);
    }
  }
  return count;
}

// ---------------------------------------------------------------------------------------------
// Build half
// ---------------------------------------------------------------------------------------------

static trivet_status_t propose_in(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                  tvi_arena_t* arena, trivet_proposal_t* proposal) {
  asked_t a;
  memset(&a, 0, sizeof(a));
  TRIVET_RETURN_IF_ERROR(ask(region, arena, &a));
  if (a.problem.reason) {
    proposal->decline(proposal->self, kernel, "%s", a.problem.reason);
    return TRIVET_OK;
  }
  if (a.problem.product.dtype == TRIVET_DTYPE_I8 && a.problem.product.vector_b < 8) {
    proposal->decline(proposal->self, kernel, "weights of i8 that do not follow the sum");
    return TRIVET_OK;
  }
  candidate_t best[MAX_PROPOSALS];
  const uint32_t count = enumerate(&a, region->target, best);
  for (uint32_t i = 0; i < count; ++i) {
    const tvi_cuda_matmul_tile_t* tile = &tvi_cuda_matmul_tiles[best[i].form.tile];
    tvi_tactic_t tactic;
    memset(&tactic, 0, sizeof(tactic));
    tactic.kernel = kernel;
    tactic.id = number_of(&best[i].form);
    tactic.price = best[i].price;
    if (a.problem.is_depthwise) {
      snprintf(tactic.name, sizeof(tactic.name), "channels x%u", best[i].form.across);
      if (best[i].form.sharers > 1)
        snprintf(tactic.name + strlen(tactic.name), sizeof(tactic.name) - strlen(tactic.name),
                 " by %u", best[i].form.sharers);
    } else if (best[i].form.by_lines) {
      snprintf(tactic.name, sizeof(tactic.name), "lines");
    } else {
      const bool is_tf32 = a.problem.product.dtype == TRIVET_DTYPE_F32;
      snprintf(tactic.name, sizeof(tactic.name), "%s %ux%u%s",
               tile->slab ? "wgmma"
               : is_tf32  ? "mma tf32"
                          : "mma",
               tile->bm, tile->bn,
               !best[i].form.by_boxes ? ""
               : tile->turns          ? " boxes turns"
                                      : " boxes");
      if (best[i].form.splits > 1)
        snprintf(tactic.name + strlen(tactic.name), sizeof(tactic.name) - strlen(tactic.name),
                 " split %u", best[i].form.splits);
    }
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
  asked_t a;
  tvi_cuda_packed_t packed;
  tvi_cuda_convolution_form_t form;
  memset(&a, 0, sizeof(a));
  if (!form_of(tactic, &form))
    return TRIVET_STATUS(INVALID_ARGUMENT, "cuda.convolution has no tactic %llu",
                         (unsigned long long)tactic);
  TRIVET_RETURN_IF_ERROR(ask(region, emission->arena, &a));
  if (a.problem.reason)
    return TRIVET_STATUS(INTERNAL, "cuda.convolution took this region before: %s",
                         a.problem.reason);
  if (a.is_packed) TRIVET_RETURN_IF_ERROR(pack(region, &a, emission->arena, &packed));
  char name[TVI_CUDA_NAME_SIZE - 16];
  tvi_cuda_name_kernels(region, name, sizeof(name));
  tvi_cuda_code_options_t options;
  fill_options(region, &a, name, &options);
  TRIVET_RETURN_IF_ERROR(
      tvi_cuda_find_constants(region, region->program, emission->arena, &options.is_constant));
  tvi_cuda_code_t code;
  memset(&code, 0, sizeof(code));
  TRIVET_RETURN_IF_ERROR(tvi_cuda_convolution_code(
      region->program, &options, &form, emission->arena, region->graph->allocator, &code));
  trivet_status_t status = tvi_cuda_write_packed(region, &code, a.operand_of_value,
                                                 a.is_packed ? &packed : NULL, name, emission);
  tvi_cuda_code_deinit(&code);
  return status;
}

const trivet_kernel_t tvi_cuda_convolution_definition = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "cuda.convolution",
    .target = "cuda",
    .summary = "convolutions on tensor cores and depthwise ones, with any epilogue",
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
