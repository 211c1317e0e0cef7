// SPDX-License-Identifier: Apache-2.0
//
// The report of a build: which regions there are, who made them, which kernel runs them, what was
// nearly fused and why it was not, and where the passes' time went.
#ifndef TRIVET_CODEGEN_BUILD_REPORT_H_
#define TRIVET_CODEGEN_BUILD_REPORT_H_

#include "codegen/build/build_internal.h"
#include "codegen/schedule/schedule.h"
#include "core/plan/plan_moves.h"

// |tactics| and |schedule| may be NULL, when a build failed before them; |moves| are zeros then.
trivet_status_t tvi_report_create(const tvi_pass_manager_t* passes,
                                  const tvi_tactic_context_t* tactics,
                                  const tvi_schedule_t* schedule, const tvi_plan_moves_t* moves,
                                  trivet_allocator_t allocator, trivet_report_t** out_report);

#endif  // TRIVET_CODEGEN_BUILD_REPORT_H_
