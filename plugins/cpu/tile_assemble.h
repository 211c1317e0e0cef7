// SPDX-License-Identifier: Apache-2.0
//
// The assembly of a tile program, shared by tile_compile.c (slots, sections, the whole),
// tile_phase.c (one phase), tile_join.c (monoids) and tile_share.c (what phases share). Private to
// these files.
#ifndef TRIVET_PLUGINS_CPU_TILE_ASSEMBLE_H_
#define TRIVET_PLUGINS_CPU_TILE_ASSEMBLE_H_

#include "plugins/cpu/tile_body.h"
#include "plugins/cpu/tile_schedule.h"

#ifdef __cplusplus
extern "C" {
#endif

// What is being assembled; vectors hold the program so far.
typedef struct tvi_tile_assembler_t {
  const tvi_kir_program_t* program;
  tvi_tile_schedule_t schedule;
  tvi_arena_t* arena;
  trivet_allocator_t allocator;
  TVI_VECTOR(trivet_dim_t) parameters;
  TVI_VECTOR(uint32_t) operands;
  uint32_t* slot_of_value;
  TVI_VECTOR(tvi_tile_slot_t) slots;
  TVI_VECTOR(tvi_tile_section_t) sections;
  TVI_VECTOR(tvi_tile_phase_t) phases;
  TVI_VECTOR(tvi_tile_instr_t) instrs;
  TVI_VECTOR(tvi_tile_affine_t) affines;
  TVI_VECTOR(tvi_tile_access_t) accesses;
  TVI_VECTOR(tvi_tile_sink_t) sinks;
  uint32_t stored_count;
  uint32_t extra_values;  // kept ones that no kernel-IR value is
} tvi_tile_assembler_t;

#define TVI_TILE_MAX_EXTRA_VALUES 64u

// A phase on its way.
typedef struct tvi_tile_phase_builder_t {
  tvi_tile_body_t body;
  uint32_t (*results)[TVI_KIR_MAX_STATE];  // by stage, in the phase's body
  uint8_t* is_here;                        // by stage
  uint32_t reduced_count;
  const uint32_t* stages;  // in the order of the schedule
  uint32_t stage_count;    // 0: the phase stores |kept_root| to |kept_value|
  uint32_t kept_root;
  uint32_t kept_value;
} tvi_tile_phase_builder_t;

// The number of the parameter that is |dim|, new or not.
trivet_status_t tvi_tile_assemble_parameter(tvi_tile_assembler_t* a, trivet_dim_t dim,
                                            uint32_t* out_parameter) TRIVET_MUST_USE;

// Fills what the sink says about the join of |stage|, whose elements are of |dtype|.
trivet_status_t tvi_tile_assemble_join(tvi_tile_assembler_t* a, const tvi_kir_stage_t* stage,
                                       uint32_t dtype, tvi_tile_sink_t* sink) TRIVET_MUST_USE;
// Parts of the state.
uint32_t tvi_tile_state_count(const tvi_kir_monoid_t* monoid);
// |value| as a register of |type| holds it.
uint64_t tvi_tile_number_bits(uint32_t type, double value);

// Fills |p| with the bodies of its stages; the caller releases its body, whatever is returned.
trivet_status_t tvi_tile_phase_start(tvi_tile_assembler_t* a, tvi_tile_phase_builder_t* p,
                                     const tvi_tile_schedule_phase_t* scheduled) TRIVET_MUST_USE;
// Appends the phase to the program.
trivet_status_t tvi_tile_phase_finish(tvi_tile_assembler_t* a,
                                      tvi_tile_phase_builder_t* p) TRIVET_MUST_USE;
// An access at the phase's own loops, one per dimension.
trivet_status_t tvi_tile_phase_access(tvi_tile_phase_builder_t* p, uint32_t value,
                                      tvi_tile_body_access_t* out) TRIVET_MUST_USE;

// Looks for what phase |at| may share with later ones; *out_new is the phase to run before it.
trivet_status_t tvi_tile_phase_share(tvi_tile_assembler_t* a, tvi_tile_phase_builder_t* phases,
                                     uint32_t count, uint32_t at, uint32_t section,
                                     tvi_tile_phase_builder_t* out_new,
                                     bool* out_shared) TRIVET_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CPU_TILE_ASSEMBLE_H_
