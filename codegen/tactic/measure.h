// SPDX-License-Identifier: Apache-2.0
//
// Measuring a tactic: emits its step, runs it as the runtime would, on operands of its own, and
// takes the median.
#ifndef TRIVET_CODEGEN_TACTIC_MEASURE_H_
#define TRIVET_CODEGEN_TACTIC_MEASURE_H_

#include "codegen/tactic/tactic.h"

// What the tactics of a region are measured on: operands are made once for all of them.
typedef struct tvi_tactic_bench_s tvi_tactic_bench_t;
// |region| must outlive it.
trivet_status_t tvi_tactic_bench_create(tvi_tactic_context_t* context,
                                        const trivet_region_t* region,
                                        tvi_tactic_bench_t** out_bench);
void tvi_tactic_bench_destroy(tvi_tactic_bench_t* bench);  // accepts NULL

// Median nanoseconds of one run at the shapes to optimise for. At least 5 and at most 50 runs, some
// 15 to 30 ms in all. On a device one that is certainly slower than |best| (0: nothing yet) is
// left after two.
trivet_status_t tvi_tactic_bench_measure(tvi_tactic_bench_t* bench, const tvi_tactic_t* tactic,
                                         double best, double* out_nanoseconds);

// Has the code of |count| tactics made on all threads, where there are several: emitting them finds
// it then. Errors of theirs show when they are emitted.
trivet_status_t tvi_tactic_compile_ahead(tvi_tactic_context_t* context,
                                         const trivet_region_t* region,
                                         const tvi_tactic_t* const* tactics, size_t count);

#endif  // TRIVET_CODEGEN_TACTIC_MEASURE_H_
