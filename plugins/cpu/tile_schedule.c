// SPDX-License-Identifier: Apache-2.0
//
// Choice of placements, sections and phases. See tile_schedule.h.
// Between a region's program and tile code. It changes what is computed when, never what.

#include "plugins/cpu/tile_schedule.h"

#include "core/base/dtype.h"
#include "core/base/status.h"

// Work that is done again at most, when a value read several times is inlined (cost units below).
#define CHEAP_COST 6u
// A body that inlining may grow to.
#define BODY_LIMIT 160u
// Elements of a value kept per outer point beyond which it is stored instead.
#define KEPT_ELEMENTS 65536
// Outer points that leave enough to share among threads.
#define ENOUGH_POINTS 16

// ---------------------------------------------------------------------------------------------
// Inlining
// ---------------------------------------------------------------------------------------------

static uint32_t instr_cost(const tvi_kir_instr_t* instr) {
  switch (instr->opcode) {
    case TVI_KIR_CONST:
    case TVI_KIR_INDEX:
    case TVI_KIR_EXTENT:
      return 0;
    case TVI_KIR_DIV:
    case TVI_KIR_SQRT:
    case TVI_KIR_RSQRT:
    case TVI_KIR_RECIP:
      return 3;
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

typedef struct use_t {
  uint32_t count;        // loads
  bool is_simple;        // all without pad and wrap
  bool has_extra_loops;  // some reader walks more points than the stage has
} use_t;

static bool reads_simply(const tvi_kir_load_t* load) {
  if (load->bounds != TVI_KIR_BOUNDS_PROVEN) return false;
  for (uint32_t d = 0; load->wrap && d < load->index_count; ++d)
    if (load->wrap[d] != TVI_KIR_WRAP_NONE) return false;
  return true;
}

static void count_uses(const tvi_kir_program_t* program, uint32_t value, use_t* use) {
  use->count = 0;
  use->is_simple = true;
  use->has_extra_loops = false;
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    const tvi_kir_stage_t* stage = &program->stages[s];
    for (uint32_t i = 0; i < stage->instr_count; ++i) {
      const tvi_kir_instr_t* instr = &stage->instrs[i];
      if (instr->opcode != TVI_KIR_LOAD || instr->imm.load->value != value) continue;
      ++use->count;
      use->is_simple = use->is_simple && reads_simply(instr->imm.load);
      if (stage->parallel_count + stage->reduced_count > program->values[value].rank)
        use->has_extra_loops = true;
    }
  }
}

static void choose_inlined(const tvi_kir_program_t* program, uint8_t* is_inlined,
                           uint32_t* body_cost) {
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    const tvi_kir_stage_t* stage = &program->stages[s];
    uint32_t cost = 0, size = 0;
    for (uint32_t i = 0; i < stage->instr_count; ++i) {
      const tvi_kir_instr_t* instr = &stage->instrs[i];
      cost += instr_cost(instr);
      ++size;
      if (instr->opcode != TVI_KIR_LOAD) continue;
      const uint32_t producer = program->values[instr->imm.load->value].stage;
      if (producer != TVI_KIR_NONE && is_inlined[producer]) {
        cost += body_cost[2 * producer];
        size += body_cost[2 * producer + 1];
      }
    }
    body_cost[2 * s] = cost;
    body_cost[2 * s + 1] = size;
    const tvi_kir_value_t* value = &program->values[stage->values[0]];
    if (stage->kind != TVI_KIR_MAP || value->kind != TVI_KIR_TEMP) continue;
    use_t use;
    count_uses(program, stage->values[0], &use);
    if (use.count == 0 || !use.is_simple || size > BODY_LIMIT) continue;
    // Where readers walk more loops the result may still be reused along them (instructions that do
    // not depend on a loop are hoisted), but not across tiles.
    is_inlined[s] = stage->placement == TVI_KIR_INLINED ||
                    (use.count == 1 && !use.has_extra_loops) || cost * use.count <= CHEAP_COST ||
                    (cost <= CHEAP_COST && use.count <= 2);
  }
}

// Stages that some output needs, after inlining.
static void mark_needed(const tvi_kir_program_t* program, uint8_t* is_needed) {
  for (uint32_t s = program->stage_count; s-- > 0;) {
    const tvi_kir_stage_t* stage = &program->stages[s];
    for (uint32_t r = 0; r < TVI_KIR_MAX_STATE && r < stage->result_count; ++r)
      if (stage->values[r] != TVI_KIR_NONE &&
          program->values[stage->values[r]].kind == TVI_KIR_OUTPUT)
        is_needed[s] = 1;
    if (!is_needed[s]) continue;
    for (uint32_t i = 0; i < stage->instr_count; ++i) {
      if (stage->instrs[i].opcode != TVI_KIR_LOAD) continue;
      const uint32_t producer = program->values[stage->instrs[i].imm.load->value].stage;
      if (producer != TVI_KIR_NONE) is_needed[producer] = 1;
    }
  }
}

// ---------------------------------------------------------------------------------------------
// Sections
// ---------------------------------------------------------------------------------------------

typedef struct open_section_t {
  uint32_t outer_count;
  TVI_VECTOR(uint32_t) stages;
} open_section_t;

typedef struct scheduler_t {
  const tvi_kir_program_t* program;
  tvi_tile_schedule_t* schedule;
  uint32_t section;
  open_section_t open;
  // By stage of the open section: its index that is outer loop o.
  uint32_t (*outer_index)[TVI_TILE_MAX_LOOPS];
} scheduler_t;

static uint32_t usable_parallel(const tvi_kir_stage_t* stage) {
  // The last index of a scan is walked in order.
  return stage->kind == TVI_KIR_SCAN ? stage->parallel_count - 1 : stage->parallel_count;
}

static uint32_t producer_in_section(const scheduler_t* s, uint32_t value) {
  const uint32_t producer = s->program->values[value].stage;
  if (producer == TVI_KIR_NONE || !s->schedule->stages[producer].is_computed ||
      s->schedule->stages[producer].section != s->section)
    return TVI_KIR_NONE;
  return producer;
}

// What outer loops remain when |stage| joins: map[o] is its index that is outer loop o, or NONE.
static bool match_outer(const scheduler_t* s, uint32_t stage, uint32_t* map, bool* out_depends) {
  const tvi_kir_stage_t* t = &s->program->stages[stage];
  const tvi_tile_body_t* body = &s->schedule->stages[stage].body;
  bool is_dropped[TVI_TILE_MAX_LOOPS] = {false};
  for (uint32_t o = 0; o < s->open.outer_count; ++o) map[o] = TVI_KIR_NONE;
  *out_depends = false;
  for (size_t a = 0; a < body->accesses.count; ++a) {
    const tvi_tile_body_access_t* access = &body->accesses.data[a];
    const uint32_t producer = producer_in_section(s, access->value);
    if (producer == TVI_KIR_NONE) continue;
    *out_depends = true;
    for (uint32_t o = 0; o < s->open.outer_count; ++o) {
      const uint32_t dim = s->outer_index[producer][o];
      const tvi_tile_body_index_t* index = &access->indices[dim];
      uint32_t loop = TVI_TILE_NONE;
      if (!index->is_register) loop = tvi_tile_symbolic_loop(&body->affines.data[index->ref]);
      if (loop == TVI_TILE_NONE || loop >= usable_parallel(t) ||
          t->extents[loop] != s->program->stages[producer].extents[dim] ||
          (map[o] != TVI_KIR_NONE && map[o] != loop))
        is_dropped[o] = true;
      map[o] = loop;
    }
  }
  if (!*out_depends) {
    // Nothing in common but the space: worth a section only where it is the same.
    const uint32_t first = s->open.stages.data[0];
    const tvi_kir_stage_t* f = &s->program->stages[first];
    if (t->kind != f->kind || t->parallel_count != f->parallel_count ||
        s->open.outer_count != usable_parallel(t))
      return false;
    for (uint32_t o = 0; o < s->open.outer_count; ++o) {
      if (t->extents[o] != f->extents[o] || s->outer_index[first][o] != o) return false;
      map[o] = o;
    }
    return true;
  }
  for (uint32_t o = 0; o < s->open.outer_count; ++o) {
    for (uint32_t p = 0; p < o; ++p)
      if (!is_dropped[p] && map[p] == map[o]) is_dropped[o] = true;
    if (is_dropped[o]) map[o] = TVI_KIR_NONE;
  }
  return true;
}

// Is a section with the outer loops that |map| leaves a good one?
static bool is_worth_joining(const scheduler_t* s, const uint32_t* map) {
  int64_t points = 1, kept = 0;
  bool known = true;
  uint32_t left = 0;
  const uint32_t first = s->open.stages.data[0];
  for (uint32_t o = 0; o < s->open.outer_count; ++o) {
    if (map[o] == TVI_KIR_NONE) continue;
    ++left;
    int64_t extent;
    if (tvi_dim_is_constant(s->program->stages[first].extents[s->outer_index[first][o]], &extent)) {
      if (extent > 0 && points < ENOUGH_POINTS) points *= extent;
    } else {
      points = ENOUGH_POINTS;
    }
  }
  for (size_t i = 0; i < s->open.stages.count; ++i) {
    const uint32_t stage = s->open.stages.data[i];
    const tvi_kir_stage_t* t = &s->program->stages[stage];
    int64_t inner = 1;
    for (uint32_t p = 0; p < t->parallel_count; ++p) {
      bool is_outer = false;
      for (uint32_t o = 0; o < s->open.outer_count; ++o)
        is_outer = is_outer || (map[o] != TVI_KIR_NONE && s->outer_index[stage][o] == p);
      int64_t extent;
      if (is_outer) continue;
      if (!tvi_dim_is_constant(t->extents[p], &extent)) {
        known = false;
      } else if (extent > 0 && inner <= KEPT_ELEMENTS) {
        inner *= extent;
      }
    }
    if (inner > kept) kept = inner;
  }
  if (left == 0) return known && kept <= 1024;  // small enough for one thread
  if (kept > KEPT_ELEMENTS) return false;
  return points >= ENOUGH_POINTS || kept <= 4096 || !known;
}

static trivet_status_t close_section(scheduler_t* s) {
  tvi_tile_schedule_t* schedule = s->schedule;
  if (s->open.stages.count == 0) return TRIVET_OK;
  tvi_tile_schedule_section_t section = {.outer_count = s->open.outer_count,
                                         .phase_first = (uint32_t)schedule->phases.count};
  for (size_t i = 0; i < s->open.stages.count; ++i) {
    const uint32_t number = s->open.stages.data[i];
    const tvi_kir_stage_t* t = &s->program->stages[number];
    tvi_tile_stage_t* stage = &schedule->stages[number];
    tvi_tile_schedule_phase_t phase = {.stage_first = (uint32_t)schedule->order.count,
                                       .stage_count = 1,
                                       .reduced_count = t->reduced_count};
    bool is_outer[TVI_TILE_MAX_LOOPS] = {false};
    for (uint32_t o = 0; o < s->open.outer_count; ++o) {
      const uint32_t index = s->outer_index[number][o];
      stage->loop_of_index[index] = phase.loop_count;
      is_outer[index] = true;
      phase.extents[phase.loop_count++] = t->extents[index];
    }
    for (uint32_t p = 0; p < t->parallel_count + t->reduced_count; ++p) {
      if (is_outer[p]) continue;
      stage->loop_of_index[p] = phase.loop_count;
      phase.extents[phase.loop_count++] = t->extents[p];
    }
    // Into the phase before it, when it walks the same loops and reads nothing from there but at
    // its own point.
    tvi_tile_schedule_phase_t* last =
        section.phase_count ? &schedule->phases.data[schedule->phases.count - 1] : NULL;
    bool merges = last && t->kind != TVI_KIR_SCAN && last->loop_count == phase.loop_count &&
                  last->reduced_count == phase.reduced_count &&
                  memcmp(last->extents, phase.extents, sizeof(phase.extents)) == 0;
    for (uint32_t m = 0; merges && m < last->stage_count; ++m)
      merges = s->program->stages[schedule->order.data[last->stage_first + m]].kind == t->kind;
    for (size_t a = 0; merges && a < stage->body.accesses.count; ++a) {
      const tvi_tile_body_access_t* access = &stage->body.accesses.data[a];
      const uint32_t producer = producer_in_section(s, access->value);
      if (producer == TVI_KIR_NONE || schedule->stages[producer].phase != section.phase_count - 1)
        continue;
      merges = t->kind == TVI_KIR_MAP && access->bounds == TVI_TILE_BOUNDS_PROVEN;
      for (uint32_t d = 0; merges && d < access->rank; ++d) {
        const tvi_tile_body_index_t* index = &access->indices[d];
        if (index->is_register) {
          merges = false;
          break;
        }
        const uint32_t loop = tvi_tile_symbolic_loop(&stage->body.affines.data[index->ref]);
        merges = loop != TVI_TILE_NONE &&
                 stage->loop_of_index[loop] == schedule->stages[producer].loop_of_index[d];
      }
    }
    if (merges) {
      ++last->stage_count;
      stage->phase = section.phase_count - 1;
    } else {
      stage->phase = section.phase_count++;
      TRIVET_RETURN_IF_ERROR(tvi_vector_push(&schedule->phases, phase));
    }
    TRIVET_RETURN_IF_ERROR(tvi_vector_push(&schedule->order, number));
  }
  TRIVET_RETURN_IF_ERROR(tvi_vector_push(&schedule->sections, section));
  tvi_vector_clear(&s->open.stages);
  ++s->section;
  return TRIVET_OK;
}

static trivet_status_t place_stage(scheduler_t* s, uint32_t number) {
  const tvi_kir_stage_t* t = &s->program->stages[number];
  tvi_tile_stage_t* stage = &s->schedule->stages[number];
  if (s->open.stages.count > 0) {
    uint32_t map[TVI_TILE_MAX_LOOPS];
    bool depends;
    if (match_outer(s, number, map, &depends) && is_worth_joining(s, map)) {
      uint32_t left = 0;
      for (uint32_t o = 0; o < s->open.outer_count; ++o) {
        if (map[o] == TVI_KIR_NONE) continue;
        for (size_t i = 0; i < s->open.stages.count; ++i) {
          uint32_t* indices = s->outer_index[s->open.stages.data[i]];
          indices[left] = indices[o];
        }
        s->outer_index[number][left++] = map[o];
      }
      s->open.outer_count = left;
      stage->section = s->section;
      stage->is_computed = true;
      return tvi_vector_push(&s->open.stages, number);
    }
    TRIVET_RETURN_IF_ERROR(close_section(s));
  }
  s->open.outer_count = usable_parallel(t);
  for (uint32_t o = 0; o < s->open.outer_count; ++o) s->outer_index[number][o] = o;
  stage->section = s->section;
  stage->is_computed = true;
  return tvi_vector_push(&s->open.stages, number);
}

// A temporary is kept where all its readers are in its section.
static void choose_kept(const tvi_kir_program_t* program, tvi_tile_schedule_t* schedule) {
  for (uint32_t v = 0; v < program->value_count; ++v) {
    const uint32_t producer = program->values[v].stage;
    schedule->is_kept[v] = producer != TVI_KIR_NONE && program->values[v].kind == TVI_KIR_TEMP &&
                           schedule->stages[producer].is_computed;
  }
  for (uint32_t s = 0; s < program->stage_count; ++s) {
    const tvi_tile_stage_t* stage = &schedule->stages[s];
    if (!stage->is_computed) continue;
    for (size_t a = 0; a < stage->body.accesses.count; ++a) {
      const uint32_t value = stage->body.accesses.data[a].value;
      const uint32_t producer = program->values[value].stage;
      if (producer != TVI_KIR_NONE && schedule->stages[producer].section != stage->section)
        schedule->is_kept[value] = 0;
    }
  }
}

static trivet_status_t make(const tvi_kir_program_t* program, tvi_arena_t* arena,
                            trivet_allocator_t allocator, tvi_tile_schedule_t* schedule,
                            scheduler_t* s) {
  const size_t stages = program->stage_count;
  uint32_t* body_cost;
  uint8_t* is_needed;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, stages, 1, &schedule->is_inlined));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(arena, stages, 1, &is_needed));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, program->value_count, 1, &schedule->is_kept));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, 2 * stages, sizeof(*body_cost), &body_cost));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, stages, sizeof(*schedule->stages), &schedule->stages));
  TRIVET_RETURN_IF_ERROR(
      tvi_arena_alloc_array_zeroed(arena, stages, sizeof(*s->outer_index), &s->outer_index));
  schedule->stage_count = program->stage_count;
  for (uint32_t i = 0; i < program->stage_count; ++i)
    tvi_tile_body_init(&schedule->stages[i].body, program->dims, allocator);
  choose_inlined(program, schedule->is_inlined, body_cost);
  mark_needed(program, is_needed);
  tvi_tile_lowering_t lowering = {
      .program = program, .is_inlined = schedule->is_inlined, .arena = arena};
  for (uint32_t i = 0; i < program->stage_count; ++i) {
    if (schedule->is_inlined[i] || !is_needed[i]) continue;
    const tvi_kir_stage_t* stage = &program->stages[i];
    if (stage->parallel_count + stage->reduced_count > TVI_TILE_MAX_LOOPS)
      return TRIVET_STATUS(UNIMPLEMENTED, "stage %u has more than %u indices", i,
                           TVI_TILE_MAX_LOOPS);
    TRIVET_RETURN_IF_ERROR_ANNOTATED(
        tvi_tile_lower_stage(&lowering, i, &schedule->stages[i].body, schedule->stages[i].results),
        "stage %u", i);
    TRIVET_RETURN_IF_ERROR(place_stage(s, i));
  }
  TRIVET_RETURN_IF_ERROR(close_section(s));
  choose_kept(program, schedule);
  return TRIVET_OK;
}

trivet_status_t tvi_tile_schedule_make(const tvi_kir_program_t* program, tvi_arena_t* arena,
                                       trivet_allocator_t allocator,
                                       tvi_tile_schedule_t* out_schedule) {
  memset(out_schedule, 0, sizeof(*out_schedule));
  tvi_vector_init(&out_schedule->order, allocator);
  tvi_vector_init(&out_schedule->phases, allocator);
  tvi_vector_init(&out_schedule->sections, allocator);
  scheduler_t s = {.program = program, .schedule = out_schedule};
  tvi_vector_init(&s.open.stages, allocator);
  trivet_status_t status = make(program, arena, allocator, out_schedule, &s);
  tvi_vector_deinit(&s.open.stages);
  if (status) tvi_tile_schedule_deinit(out_schedule);
  return status;
}

void tvi_tile_schedule_deinit(tvi_tile_schedule_t* schedule) {
  for (uint32_t i = 0; schedule->stages && i < schedule->stage_count; ++i)
    tvi_tile_body_deinit(&schedule->stages[i].body);
  tvi_vector_deinit(&schedule->order);
  tvi_vector_deinit(&schedule->phases);
  tvi_vector_deinit(&schedule->sections);
  schedule->stage_count = 0;
}
