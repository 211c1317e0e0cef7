// SPDX-License-Identifier: Apache-2.0
//
// Build half of "cuda.attention": which forms of the kernel are worth trying for a region, and what
// they are likely to cost. See attention_kernel.h.
#include "plugins/cuda/emit/attention_kernel.h"

#include <stdio.h>
#include <string.h>

#include "core/base/status.h"
#include "plugins/cuda/emit/attention_code.h"
#include "plugins/cuda/emit/cuda_blob.h"
#include "plugins/cuda/emit/cuda_run.h"
#include "plugins/cuda/emit/cuda_write.h"
#include "plugins/cuda/emit/emit_schedule.h"

// Of a large device: what it has, and how fast one multiprocessor is with warps enough.
#define PROCESSORS 132.0
#define SHARED_BYTES (227.0 * 1024)
#define LAUNCH_NS 2000.0
#define FLOPS_PER_NS 3000.0     // of 16-bit products
#define F32_FLOPS_PER_NS 500.0  // each is three products
#define WARPS_FOR_ALL 8.0       // that keep one multiprocessor busy
#define TILE_NS 250.0           // until the products of a tile depend on its keys
#define BYTES_PER_NS 3000.0

#define MAX_FORMS 24u

typedef struct problem_s {
  tvi_attention_t attention;
  double b, h, g, i, j, d, e, share;  // estimates
  bool is_narrow, is_causal, is_hopper, can_flash;
} problem_t;

typedef struct list_s {
  tvi_cuda_attention_form_t forms[MAX_FORMS];
  uint32_t count;
} list_t;

static double estimate(const trivet_region_t* region, trivet_dim_t dim) {
  return (double)tvi_cuda_estimate(region->graph->dims, dim, region->symbols, region->symbol_count);
}

static trivet_status_t read_problem(const trivet_region_t* region, tvi_arena_t* arena,
                                    problem_t* out, const char** out_reason) {
  memset(out, 0, sizeof(*out));
  TRIVET_RETURN_IF_ERROR(tvi_attention_match(region, arena, &out->attention, out_reason));
  if (*out_reason) return TRIVET_OK;
  *out_reason = tvi_cuda_attention_reason(&out->attention);
  if (*out_reason) return TRIVET_OK;
  const tvi_attention_t* a = &out->attention;
  out->b = estimate(region, a->extents[TVI_ATTENTION_B]);
  out->h = estimate(region, a->extents[TVI_ATTENTION_H]);
  out->g = estimate(region, a->extents[TVI_ATTENTION_G]);
  out->i = estimate(region, a->extents[TVI_ATTENTION_I]);
  out->j = estimate(region, a->extents[TVI_ATTENTION_J]);
  out->d = estimate(region, a->extents[TVI_ATTENTION_D]);
  out->e = estimate(region, a->extents[TVI_ATTENTION_E]);
  out->share = estimate(region, a->share);
  out->is_narrow = a->q.dtype != TRIVET_DTYPE_F32;
  out->is_causal = a->upper != NULL;
  out->is_hopper = tvi_cuda_is_hopper(region->target);
  out->can_flash = out->is_hopper && !tvi_cuda_flash_reason(region, a);
  return TRIVET_OK;
}

static double at_least(double a, double b) { return a > b ? a : b; }
static double round_up(double a, double b) {
  const double n = (double)(int64_t)(a / b);
  return n * b < a ? (n + 1) * b : n * b;
}

static double rows_of(const problem_t* p, const tvi_cuda_attention_form_t* f) {
  return f->pack ? p->i * p->share : p->i;
}
static double units_of(const problem_t* p, const tvi_cuda_attention_form_t* f) {
  return p->b * (f->pack ? p->g : p->h);
}

// Fitted to times on an H100. A group needs so long for a tile when others keep its multiprocessor
// busy, and no less than a certain time when it is alone.
static double flash_price(const problem_t* p, const tvi_cuda_attention_form_t* f) {
  const double bm = f->groups * 64.0, bn = f->bn;
  const double blocks = round_up(p->i, bm) / bm * p->b * p->h;
  // The first blocks are the longest ones: they count where all run at once.
  const double waves = blocks / PROCESSORS / f->resident;
  const double seen =
      p->is_causal && p->i > 1 && waves > 1 ? at_least(0.5, bm / (2 * p->i) + 0.5) : 1;
  const double tiles = round_up(p->j * seen, bn) / bn;
  const bool is_wide = at_least(p->d, p->e) > 64;
  const double key_ns = f->takes_turns ? (is_wide ? bn > 128 ? 8.0 : 7.8 : 4.3)
                        : is_wide      ? 9.0
                                       : 5.5;
  const double group_ns = 200 + key_ns * bn;
  const double on_each = blocks / PROCESSORS;
  const double together = on_each < f->resident ? at_least(1, on_each) : f->resident;
  const double tile_ns = at_least(group_ns * f->groups * together, 600 + 8 * bn);
  const double block_ns = (f->has_orderer ? 2500 : 2000) + tiles * tile_ns;
  const double turns = waves < 1 ? 1 : (waves + round_up(waves, 1)) / 2;
  const double bytes = 2 * p->b * (p->h * p->i + p->g * p->j) * (p->d + p->e);
  return LAUNCH_NS + at_least(turns * block_ns, bytes / BYTES_PER_NS);
}

static double price(const problem_t* p, const tvi_cuda_attention_form_t* f) {
  if (f->groups) return flash_price(p, f);
  const double bm = f->mt * f->wm * 16.0, step = (double)f->wn * f->bn;
  const double blocks = round_up(rows_of(p, f), bm) / bm * units_of(p, f) * f->splits;
  // Below the diagonal is half of it, where there are several blocks in a column.
  const double seen = p->is_causal && p->i > 1 ? at_least(0.5, bm / (2 * p->i) + 0.5) : 1;
  const double tiles = round_up(p->j * seen / f->splits, step) / step;
  const double warps = (double)f->wm * f->wn;
  const double shared = tvi_cuda_attention_shared_bytes(&p->attention, f);
  double resident = (double)(int64_t)(SHARED_BYTES / shared);
  if (resident * warps > 16) resident = at_least(1, (double)(int64_t)(16 / warps));
  const double waves = blocks / PROCESSORS;
  const double together = waves < resident ? at_least(1, waves) : resident;
  const double rate = p->is_narrow ? FLOPS_PER_NS : F32_FLOPS_PER_NS;
  const double busy = together * warps / WARPS_FOR_ALL;
  const double flops = 2 * bm * step * tiles * (p->d + p->e);
  const double block_ns = flops * together / (rate * (busy < 1 ? busy : 1)) + tiles * TILE_NS;
  const double bytes =
      (p->is_narrow ? 2 : 4) * p->b * (p->h * p->i * (p->d + p->e) + p->g * p->j * (p->d + p->e));
  const double joined = f->splits > 1 ? LAUNCH_NS + units_of(p, f) * rows_of(p, f) * f->splits *
                                                        p->e * 8 / BYTES_PER_NS
                                      : 0;
  return LAUNCH_NS +
         at_least(round_up(waves, together) / together * block_ns, bytes / BYTES_PER_NS) + joined;
}

static void add(list_t* list, uint32_t mt, uint32_t wm, uint32_t wn, uint32_t bn, uint32_t splits,
                uint32_t resident, bool pack) {
  const tvi_cuda_attention_form_t form = {mt,   wm, wn, bn,    splits, resident,
                                          pack, 0,  0,  false, false};
  if (list->count < MAX_FORMS) list->forms[list->count++] = form;
}

static void add_flash(list_t* list, uint32_t groups, uint32_t bn, uint32_t stages,
                      uint32_t resident, bool has_orderer, bool takes_turns) {
  const tvi_cuda_attention_form_t form = {
      1, 4 * groups, 1, bn, 1, resident, false, groups, stages, has_orderer, takes_turns};
  if (list->count < MAX_FORMS) list->forms[list->count++] = form;
}

// Keys of a tile: |most| at most, and as few behind the last one as can be.
static uint32_t keys_of_tile(const problem_t* p, uint32_t most) {
  const uint32_t keys = p->j < 4096 ? (uint32_t)at_least(1, p->j) : 4096;
  const uint32_t tiles = (keys + most - 1) / most;
  return ((keys + tiles - 1) / tiles + 15) / 16 * 16;
}

static void list_flash(const problem_t* p, list_t* list) {
  const uint32_t bn = keys_of_tile(p, 128), half = keys_of_tile(p, 64);
  const bool is_short = p->j <= 128;
  if (at_least(p->d, p->e) <= 64) {
    add_flash(list, 1, bn, is_short ? 1 : 2, is_short ? 4 : 3, false, false);
    add_flash(list, 1, half, is_short ? 2 : 3, 4, false, false);
    add_flash(list, 2, bn, 2, 1, true, true);
    add_flash(list, 3, bn, 2, 1, true, false);
  } else {
    add_flash(list, 1, half, 2, 2, false, false);
    add_flash(list, 2, bn, 2, 1, true, true);
    add_flash(list, 2, bn, 2, 1, true, false);
    add_flash(list, 2, keys_of_tile(p, 176), 2, 1, true, true);
  }
}

// The forms for a region, always the same ones in the same order: a tactic is named by its place.
static void list_forms(const problem_t* p, list_t* list) {
  const double width = at_least(p->d, p->e);
  const bool pack = p->share > 1 && p->i < 16;
  list->count = 0;
  const bool is_slim = width <= 64;
  if (p->is_narrow && width <= 128) {
    add(list, 1, 4, 1, 64, 1, is_slim ? 4 : 0, pack);
    add(list, 1, 1, 4, is_slim ? 32 : 16, 1, 0, pack);
    add(list, 1, 2, 2, is_slim ? 64 : 32, 1, 0, pack);
    add(list, 1, 8, 1, 64, 1, is_slim ? 2 : 0, pack);
    add(list, 2, 4, 1, 32, 1, 2, pack);
    if (is_slim) {
      add(list, 2, 4, 1, 64, 1, 2, pack);
      add(list, 1, 4, 1, 128, 1, 3, pack);
    } else {
      add(list, 1, 4, 1, 32, 1, 0, pack);
    }
  } else if (p->is_narrow) {
    add(list, 1, 4, 1, 32, 1, 0, pack);
    add(list, 1, 1, 4, 16, 1, 0, pack);
  } else {
    add(list, 1, 4, 1, 32, 1, 0, pack);
    add(list, 1, 1, 4, 16, 1, 0, pack);
    add(list, 1, 2, 2, 16, 1, 0, pack);
  }
  // Few rows: several blocks share the keys.
  const tvi_cuda_attention_form_t one = {.mt = 1, .wm = 1, .wn = 4, .splits = 1, .pack = pack};
  const double blocks = round_up(rows_of(p, &one), 16) / 16 * units_of(p, &one);
  const uint32_t bn = p->is_narrow && width <= 64 ? 32 : 16;
  for (uint32_t splits = 2; splits <= 32; splits *= 4) {
    if (blocks * splits / 2 < PROCESSORS * 2 && p->j >= 4.0 * bn * splits)
      add(list, 1, 1, 4, bn, splits, 0, pack);
  }
  if (p->can_flash && !pack) list_flash(p, list);
}

// What the other forms cost more than they seem to where there might be those for Hopper: with rows
// enough they have lost wherever both were measured. Strides do not matter: layouts are chosen by
// these prices, too.
static double behind_flash(const problem_t* p) {
  list_t list = {.count = 0};
  double best = 0;
  if (!p->is_hopper || !p->is_narrow || p->i <= 16 || at_least(p->d, p->e) > 128) return 0;
  list_flash(p, &list);
  for (uint32_t i = 0; i < list.count; ++i) {
    const double here = price(p, &list.forms[i]);
    if (i == 0 || here < best) best = here;
  }
  return best;
}

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal) {
  tvi_arena_t arena;
  tvi_arena_init(&arena, region->graph->allocator, 0);
  problem_t problem;
  const char* reason = NULL;
  trivet_status_t status = read_problem(region, &arena, &problem, &reason);
  if (!status && reason) proposal->decline(proposal->self, kernel, "%s", reason);
  list_t list = {.count = 0};
  if (!status && !reason) list_forms(&problem, &list);
  const double behind = list.count > 0 ? behind_flash(&problem) : 0;
  for (uint32_t i = 0; i < list.count && !status; ++i) {
    const tvi_cuda_attention_form_t* f = &list.forms[i];
    tvi_tactic_t tactic;
    memset(&tactic, 0, sizeof(tactic));
    tactic.kernel = kernel;
    tactic.id = i;
    tactic.price = price(&problem, f) + (f->groups ? 0 : behind);
    snprintf(tactic.name, sizeof(tactic.name), "attention %ux%u %uw", f->mt * f->wm * 16,
             f->wn * f->bn, f->wm * f->wn);
    if (f->groups)
      snprintf(tactic.name, sizeof(tactic.name), "attention wgmma %ux%u %us%s%s", f->groups * 64,
               f->bn, f->stages, f->has_orderer ? "" : " alone", f->takes_turns ? " turns" : "");
    if (f->splits > 1) {
      const size_t at = strlen(tactic.name);
      snprintf(tactic.name + at, sizeof(tactic.name) - at, " split %u", f->splits);
    }
    status = proposal->add(proposal->self, &tactic);
  }
  tvi_arena_deinit(&arena);
  return status;
}

static trivet_status_t emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel;
  problem_t problem;
  const char* reason = NULL;
  TRIVET_RETURN_IF_ERROR(read_problem(region, emission->arena, &problem, &reason));
  list_t list = {.count = 0};
  if (!reason) list_forms(&problem, &list);
  if (tactic >= list.count)
    return TRIVET_STATUS(INVALID_ARGUMENT, "cuda.attention has no tactic %llu for this region%s%s",
                         (unsigned long long)tactic, reason ? ": " : "", reason ? reason : "");
  char name[TVI_CUDA_NAME_SIZE - 16];
  tvi_cuda_name_kernels(region, name, sizeof(name));
  tvi_cuda_code_t code;
  uint32_t operands[TVI_CUDA_ATTENTION_OPERANDS];
  TRIVET_RETURN_IF_ERROR(tvi_cuda_attention_code(region, &problem.attention, &list.forms[tactic],
                                                 name, &code, operands));
  trivet_status_t status = tvi_cuda_write_code(region, &code, operands, name, emission);
  tvi_cuda_code_deinit(&code);
  return status;
}

const trivet_kernel_t tvi_cuda_attention_definition = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "cuda.attention",
    .target = "cuda",
    .summary = "attention in one pass over the keys",
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
