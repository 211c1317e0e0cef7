// SPDX-License-Identifier: Apache-2.0
//
// Measuring a tactic: emits its step, runs it as the runtime would, on operands of its own, and
// takes the median.
#ifndef TRIVET_CODEGEN_TACTIC_MEASURE_H_
#define TRIVET_CODEGEN_TACTIC_MEASURE_H_

#include "codegen/tactic/tactic.h"

// Median nanoseconds of one run at the shapes to optimise for. At least 5 and at most 50 runs, some
// 30 ms in all.
trivet_status_t tvi_tactic_measure(tvi_tactic_context_t* context, const trivet_region_t* region,
                                   const tvi_tactic_t* tactic, double* out_nanoseconds);

#endif  // TRIVET_CODEGEN_TACTIC_MEASURE_H_
