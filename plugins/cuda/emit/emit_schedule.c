// SPDX-License-Identifier: Apache-2.0
//
// Choice of substitutions and groups. See emit_schedule.h.
// Between a region's program and the printed kernel. It changes what is computed when, never what.
#include "plugins/cuda/emit/emit_schedule.h"

#include <string.h>

#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "core/kernel_ir/affine.h"
#include "core/kernel_ir/contraction.h"
#include "core/kernel_ir/fuse.h"

// Work that is done again at most, when a value that is read several times is substituted.
#define CHEAP_COST 6u
// A body that substitution may grow to.
#define BODY_LIMIT 400u
// A row that one block walks although there are few rows.
#define LONG_ROW 16384
#define ENOUGH_ROWS 64

int64_t tvi_cuda_estimate(const tvi_dim_context_t* dims, trivet_dim_t dim, const int64_t* symbols,
                          uint32_t symbol_count) {
  int64_t value = 0, low = 0;
  if (!dim) return INT64_MAX;
  trivet_status_t status = tvi_dim_evaluate(dim, symbols, symbol_count, &value);
  if (!status) return value;
  trivet_status_free(status);
  tvi_dim_range(dims, dim, &low, &value);
  return value;
}

// ---------------------------------------------------------------------------------------------
// Substitution
// ---------------------------------------------------------------------------------------------

static uint32_t instr_cost(const tvi_kir_instr_t* instr) {
  switch (instr->opcode) {
    case TVI_KIR_CONST:
    case TVI_KIR_INDEX:
    case TVI_KIR_EXTENT:
    case TVI_KIR_LOAD:
      return 0;
    case TVI_KIR_DIV:
    case TVI_KIR_SQRT:
    case TVI_KIR_RSQRT:
    case TVI_KIR_RECIP:
      return 4;
    case TVI_KIR_REM:
    case TVI_KIR_MOD:
    case TVI_KIR_FLOORDIV:
    case TVI_KIR_CEILDIV:
    case TVI_KIR_POW:
    case TVI_KIR_ATAN2:
      return 20;
    default:
      return instr->opcode >= TVI_KIR_EXP && instr->opcode <= TVI_KIR_ERF ? 10 : 1;
  }
}

static bool is_factor(const tvi_kir_program_t* program, uint32_t value) {
  tvi_kir_matmul_t product;
  tvi_kir_convolution_t convolution;
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    if (program->stages[s].kind != TVI_KIR_REDUCE) continue;
    if (tvi_kir_match_matmul(program, s, &product, NULL) &&
        (product.a.value == value || product.b.value == value))
      return true;
    if (tvi_kir_match_convolution(program, s, &convolution, NULL) && convolution.x.value == value)
      return true;
  }
  return false;
}

static bool should_substitute(const tvi_kir_program_t* program, uint32_t number,
                              bool keeps_factors) {
  const tvi_kir_stage_t* stage = &program->stages[number];
  if (stage->kind != TVI_KIR_MAP || !tvi_kir_can_inline_stage(program, number)) return false;
  if (keeps_factors && is_factor(program, stage->values[0])) return false;
  uint32_t cost = 0, loads = 0, reads = 0;
  bool has_extra_loops = false;
  for (uint32_t i = 0; i < stage->instr_count; ++i) {
    const tvi_kir_instr_t* instr = &stage->instrs[i];
    // Index arithmetic is folded into addresses.
    if (instr->dtype != TRIVET_DTYPE_I64) cost += instr_cost(instr);
    loads += instr->opcode == TVI_KIR_LOAD;
  }
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    const tvi_kir_stage_t* reader = &program->stages[s];
    for (uint32_t i = 0; i < reader->instr_count; ++i) {
      const tvi_kir_instr_t* instr = &reader->instrs[i];
      if (instr->opcode != TVI_KIR_LOAD || instr->imm.load->value != stage->values[0]) continue;
      ++reads;
      if (reader->instr_count + stage->instr_count > BODY_LIMIT) return false;
      if (reader->parallel_count + reader->reduced_count > stage->parallel_count)
        has_extra_loops = true;
    }
  }
  if (reads == 0) return false;
  if (stage->placement == TVI_KIR_INLINED) return true;
  if (reads == 1 && !has_extra_loops) return true;
  // Read again and again: what it costs then is its loads too.
  if (loads == 0) return cost <= 2 * CHEAP_COST;
  return loads == 1 && (cost <= CHEAP_COST && reads <= 2);
}

static trivet_status_t substitute(tvi_kir_program_t* program, bool keeps_factors) {
  for (uint32_t s = 0; s < program->stage_count; ++s)
    if (should_substitute(program, s, keeps_factors))
      TRIVET_RETURN_IF_ERROR(tvi_kir_inline_stage(program, s));
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_drop_dead(program, false, NULL));
  return tvi_kir_simplify(program);
}

// ---------------------------------------------------------------------------------------------
// Groups
// ---------------------------------------------------------------------------------------------

typedef struct grouper_t {
  tvi_cuda_schedule_t* schedule;
  const tvi_kir_program_t* program;
  const int64_t* symbols;
  uint32_t symbol_count;
  uint32_t order_count;
} grouper_t;

static bool is_one(trivet_dim_t dim) { return tvi_dim_equals_constant(dim, 1); }

// The index of |stage| that |ref| is; TVI_CUDA_NONE: it is not a plain one.
static uint32_t plain_index(const grouper_t* g, const tvi_kir_stage_t* stage, tvi_kir_ref_t ref) {
  tvi_kir_linear_t linear;
  if (!tvi_kir_linear_form(g->program, stage, ref, &linear) || linear.term_count != 1)
    return TVI_CUDA_NONE;
  const tvi_kir_instr_t* atom = &stage->instrs[linear.terms[0].atom];
  if (!tvi_dim_equals_constant(linear.constant, 0) || !is_one(linear.terms[0].coefficient) ||
      atom->opcode != TVI_KIR_INDEX)
    return TVI_CUDA_NONE;
  return (uint32_t)atom->imm.i64;
}

static uint32_t index_count(const tvi_kir_stage_t* stage) {
  return stage->parallel_count + stage->reduced_count;
}

static void open_group(grouper_t* g, uint32_t number) {
  const tvi_kir_stage_t* stage = &g->program->stages[number];
  tvi_cuda_group_t* group = &g->schedule->groups[g->schedule->group_count];
  tvi_cuda_stage_t* placed = &g->schedule->stages[number];
  memset(group, 0, sizeof(*group));
  group->stage_first = g->order_count;
  group->stage_count = 1;
  group->is_scan = stage->kind == TVI_KIR_SCAN;
  for (uint32_t i = 0; i < index_count(stage); ++i) {
    placed->loop_of_index[i] = TVI_CUDA_NONE;
    const bool walked = group->is_scan && i + 1 == stage->parallel_count;
    if (is_one(stage->extents[i]) && !walked) continue;
    placed->loop_of_index[i] = group->loop_count;
    group->is_inner[group->loop_count] = i >= stage->parallel_count || walked;
    group->extents[group->loop_count++] = stage->extents[i];
  }
  placed->group = g->schedule->group_count++;
  placed->has_inner = stage->kind != TVI_KIR_REDUCE;
  g->schedule->order[g->order_count++] = number;
}

static int64_t product(const grouper_t* g, const tvi_cuda_group_t* group, const bool* is_inner,
                       bool inner) {
  int64_t points = 1;
  for (uint32_t l = 0; l < group->loop_count; ++l) {
    if (is_inner[l] != inner) continue;
    int64_t extent =
        tvi_cuda_estimate(g->program->dims, group->extents[l], g->symbols, g->symbol_count);
    if (extent > 0 && points > INT64_MAX / extent) return INT64_MAX;
    points *= extent;
  }
  return points;
}

// Which loop each index of |stage| would be if it joined the group; false: it cannot.
static bool match(const grouper_t* g, const tvi_cuda_group_t* group, uint32_t number,
                  uint32_t* loop_of_index, bool* is_inner, bool* out_has_inner) {
  const tvi_kir_program_t* program = g->program;
  const tvi_kir_stage_t* stage = &program->stages[number];
  const uint32_t current = g->schedule->group_count - 1;
  bool is_taken[TVI_CUDA_MAX_LOOPS] = {false};
  bool depends = false, has_inner_loops = false;
  memcpy(is_inner, group->is_inner, sizeof(group->is_inner));
  for (uint32_t i = 0; i < index_count(stage); ++i) loop_of_index[i] = TVI_CUDA_NONE;
  for (uint32_t l = 0; l < group->loop_count; ++l) has_inner_loops |= is_inner[l];
  for (uint32_t i = 0; i < stage->instr_count; ++i) {
    if (stage->instrs[i].opcode != TVI_KIR_LOAD) continue;
    const tvi_kir_load_t* load = stage->instrs[i].imm.load;
    const uint32_t producer = program->values[load->value].stage;
    if (producer == TVI_KIR_NONE || g->schedule->stages[producer].group != current) continue;
    depends = true;
    if (load->bounds != TVI_KIR_BOUNDS_PROVEN) return false;
    for (uint32_t d = 0; d < load->index_count; ++d) {
      const uint32_t loop = g->schedule->stages[producer].loop_of_index[d];
      if (loop == TVI_CUDA_NONE) continue;  // extent 1
      const uint32_t index = plain_index(g, stage, load->indices[d]);
      if ((load->wrap && load->wrap[d]) || index == TVI_CUDA_NONE ||
          stage->extents[index] != group->extents[loop] ||
          (loop_of_index[index] != TVI_CUDA_NONE && loop_of_index[index] != loop) ||
          (loop_of_index[index] == TVI_CUDA_NONE && is_taken[loop]))
        return false;
      loop_of_index[index] = loop;
      is_taken[loop] = true;
    }
  }
  // The other indices, in order: of the stage's own kind first.
  for (uint32_t i = 0; i < index_count(stage); ++i) {
    if (loop_of_index[i] != TVI_CUDA_NONE || is_one(stage->extents[i])) continue;
    const bool reduced = i >= stage->parallel_count;
    uint32_t l = 0;
    for (; l < group->loop_count; ++l) {
      if (is_taken[l] || group->extents[l] != stage->extents[i]) continue;
      if (has_inner_loops && stage->kind == TVI_KIR_REDUCE && is_inner[l] != reduced) continue;
      if (!depends && !has_inner_loops && stage->kind == TVI_KIR_REDUCE) continue;
      break;
    }
    if (l == group->loop_count) return false;
    is_taken[l] = true;
    loop_of_index[i] = l;
  }
  if (stage->kind == TVI_KIR_REDUCE) {
    for (uint32_t l = 0; l < group->loop_count; ++l)
      if (!is_taken[l]) return false;
    // What rows are is settled by the first reduction, also where it walks no loop.
    for (uint32_t i = 0; i < group->stage_count; ++i)
      if (!has_inner_loops && stage->reduced_count > 0 &&
          !g->schedule->stages[g->schedule->order[group->stage_first + i]].has_inner)
        return false;
    for (uint32_t i = 0; i < index_count(stage); ++i) {
      if (loop_of_index[i] == TVI_CUDA_NONE) continue;
      const bool reduced = i >= stage->parallel_count;
      if (has_inner_loops && is_inner[loop_of_index[i]] != reduced) return false;
      is_inner[loop_of_index[i]] = reduced;
    }
    *out_has_inner = false;
    return true;
  }
  // A map over all loops, or over the rows.
  bool all = true, rows = true;
  for (uint32_t l = 0; l < group->loop_count; ++l) {
    all &= is_taken[l];
    rows &= is_taken[l] != is_inner[l];
  }
  *out_has_inner = all;
  return all || (rows && has_inner_loops);
}

static bool join_group(grouper_t* g, uint32_t number) {
  if (g->schedule->group_count == 0) return false;
  tvi_cuda_group_t* group = &g->schedule->groups[g->schedule->group_count - 1];
  const tvi_kir_stage_t* stage = &g->program->stages[number];
  tvi_cuda_stage_t* placed = &g->schedule->stages[number];
  bool is_inner[TVI_CUDA_MAX_LOOPS];
  if (group->is_scan || stage->kind == TVI_KIR_SCAN) return false;
  if (!match(g, group, number, placed->loop_of_index, is_inner, &placed->has_inner)) return false;
  bool has_inner = false;
  for (uint32_t l = 0; l < group->loop_count; ++l) has_inner |= is_inner[l];
  if (has_inner && (placed->has_inner || stage->kind == TVI_KIR_REDUCE)) {
    // Few and long rows: blocks can share a row for one reduction, not for what needs its result at
    // every point.
    if (product(g, group, is_inner, true) > LONG_ROW &&
        product(g, group, is_inner, false) < ENOUGH_ROWS)
      return false;
  }
  memcpy(group->is_inner, is_inner, sizeof(is_inner));
  placed->group = g->schedule->group_count - 1;
  ++group->stage_count;
  g->schedule->order[g->order_count++] = number;
  return true;
}

trivet_status_t tvi_cuda_schedule_make(const tvi_kir_program_t* program, const int64_t* symbols,
                                       uint32_t symbol_count, bool keeps_factors,
                                       tvi_arena_t* arena, tvi_cuda_schedule_t* out_schedule) {
  tvi_cuda_schedule_t schedule;
  memset(&schedule, 0, sizeof(schedule));
  TRIVET_RETURN_IF_ERROR(tvi_kir_program_clone(program, arena, &schedule.program));
  TRIVET_RETURN_IF_ERROR(substitute(schedule.program, keeps_factors));
  const tvi_kir_program_t* p = schedule.program;
  const size_t stages = (size_t)p->stage_count + 1;
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, stages, sizeof(*schedule.stages), &schedule.stages));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, stages, sizeof(*schedule.order), &schedule.order));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, stages, sizeof(*schedule.groups), &schedule.groups));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, (size_t)p->value_count + 1, 1, &schedule.is_stored));
  for (uint32_t s = 0; s < p->stage_count; ++s) schedule.stages[s].group = TVI_CUDA_NONE;
  grouper_t g = {
      .schedule = &schedule, .program = p, .symbols = symbols, .symbol_count = symbol_count};
  for (uint32_t s = 0; s < p->stage_count; ++s)
    if (!join_group(&g, s)) open_group(&g, s);
  for (uint32_t s = 0; s < p->stage_count; ++s) {
    const tvi_kir_stage_t* stage = &p->stages[s];
    for (uint32_t i = 0; i < stage->instr_count; ++i) {
      if (stage->instrs[i].opcode != TVI_KIR_LOAD) continue;
      const uint32_t value = stage->instrs[i].imm.load->value;
      const uint32_t producer = p->values[value].stage;
      if (producer != TVI_KIR_NONE && p->values[value].kind == TVI_KIR_TEMP &&
          schedule.stages[producer].group != schedule.stages[s].group)
        schedule.is_stored[value] = 1;
    }
  }
  *out_schedule = schedule;
  return TRIVET_OK;
}
