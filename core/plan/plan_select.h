// SPDX-License-Identifier: Apache-2.0
//
// Pruning: a plan whose steps keep one alternative each, without what only the others needed.
// Stands behind the tuning of a plan; decides nothing itself.
#ifndef TRIVET_CORE_PLAN_PLAN_SELECT_H_
#define TRIVET_CORE_PLAN_PLAN_SELECT_H_

#include "core/plan/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_plan_selection_s {
  tvi_plan_t plan;  // arrays in the arena that was given, or of the plan it was made from
  tvi_plan_weight_source_t weights;
  const tvi_plan_t* from;
  const uint32_t* constants;  // by number in |plan|: the number in |from|
} tvi_plan_selection_t;

// |chosen|: for each step of the main block of program |program| the alternative to keep; an
// alternative with guards keeps those behind it too, down to the first without. Constants, buffers
// and tensors that nothing touches any more go. |from| and |arena| must outlive the selection,
// which must not move. OUT_OF_RANGE: no such program or alternative.
trivet_status_t tvi_plan_select(const tvi_plan_t* from, uint32_t program, const uint32_t* chosen,
                                tvi_arena_t* arena, tvi_plan_selection_t* out_selection);

// Sets the entries of those of the plan's expressions that |program| uses; others it need not be
// able to evaluate, where the plan holds more programs. |used|: an entry per expression.
void tvi_plan_mark_exprs(const tvi_plan_program_t* program, bool* used);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_PLAN_PLAN_SELECT_H_
