// SPDX-License-Identifier: Apache-2.0
//
// The schedule of a tile program: which stages are computed where they are read (inlined), which
// share the points of an outer space (a section) and so keep their values in fast memory, and which
// are computed in one pass (a phase). Decided from the form of the program and its dimensions
// alone, so that the same program gives the same plan.

#ifndef TRIVET_PLUGINS_CPU_TILE_SCHEDULE_H_
#define TRIVET_PLUGINS_CPU_TILE_SCHEDULE_H_

#include "plugins/cpu/tile_body.h"

#ifdef __cplusplus
extern "C" {
#endif

// A stage that is computed: its body in its own indices, and where it went.
typedef struct tvi_tile_stage_t {
  bool is_computed;  // not inlined, and needed
  tvi_tile_body_t body;
  uint32_t results[TVI_KIR_MAX_STATE];
  uint32_t section;
  uint32_t phase;  // within the section
  // Loop of the phase that each index of the stage is.
  uint32_t loop_of_index[TVI_TILE_MAX_LOOPS];
} tvi_tile_stage_t;

typedef struct tvi_tile_schedule_phase_t {
  uint32_t stage_first, stage_count;  // range of |order|
  uint32_t loop_count, reduced_count;
  trivet_dim_t extents[TVI_TILE_MAX_LOOPS];  // outer ones first
} tvi_tile_schedule_phase_t;

typedef struct tvi_tile_schedule_section_t {
  uint32_t outer_count;
  uint32_t phase_first, phase_count;
} tvi_tile_schedule_section_t;

typedef struct tvi_tile_schedule_t {
  uint8_t* is_inlined;       // by stage
  uint8_t* is_kept;          // by value: temporaries that live inside their section
  tvi_tile_stage_t* stages;  // by stage
  uint32_t stage_count;
  TVI_VECTOR(uint32_t) order;  // computed stages as they run
  TVI_VECTOR(tvi_tile_schedule_phase_t) phases;
  TVI_VECTOR(tvi_tile_schedule_section_t) sections;
} tvi_tile_schedule_t;

// Schedules a program that tvi_kir_verify accepts. |arena| outlives the schedule.
trivet_status_t tvi_tile_schedule_make(const tvi_kir_program_t* program, tvi_arena_t* arena,
                                       trivet_allocator_t allocator,
                                       tvi_tile_schedule_t* out_schedule) TRIVET_MUST_USE;
void tvi_tile_schedule_deinit(tvi_tile_schedule_t* schedule);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CPU_TILE_SCHEDULE_H_
