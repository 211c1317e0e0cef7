// SPDX-License-Identifier: Apache-2.0
//
// Inside of tuning: what its files share. tune.c walks the steps of a loaded plan and writes the
// pruned one, tune_time.c takes the times, tune_report.c tells people. No kernel is known here.
#ifndef TRIVET_RUNTIME_TUNE_TUNE_H_
#define TRIVET_RUNTIME_TUNE_TUNE_H_

#include "core/target/timing_cache.h"
#include "runtime/context/context.h"
#include "runtime/device/measure_device.h"

// One alternative of a step, over all profiles.
typedef struct tvi_tune_way_s {
  bool is_out;                  // cannot be used here
  bool was_measured;            // not only looked up
  double nanoseconds;           // sum over the profiles
  trivet_string_view_t reason;  // why it is out
} tvi_tune_way_t;

typedef struct tvi_tune_step_s {
  tvi_tune_way_t* ways;  // as many as the plan's step has alternatives
  uint32_t chosen;
} tvi_tune_step_t;

typedef struct tvi_tune_s {
  trivet_engine_t* engine;
  trivet_context_t* context;
  tvi_timing_cache_t* cache;
  tvi_measure_device_t* measure;  // of a device; NULL: the host
  tvi_arena_t arena;
  tvi_tune_step_t* steps;
  uint32_t* forced;           // by step; what the context prepares
  trivet_string_view_t only;  // a kernel or tactic; empty: all
  bool is_once;               // what runs is watched, not timed
} tvi_tune_t;

// Nanoseconds of the step as it is prepared and resolved in the context.
trivet_status_t tvi_tune_time(tvi_tune_t* tune, uint32_t step, double* out_nanoseconds);
// Key of a step in the timing cache: its alternatives, and shapes, strides and types of what they
// touch.
trivet_status_t tvi_tune_signature(const tvi_tune_t* tune, uint32_t step,
                                   uint64_t out_signature[2]);
// Name of an alternative in the timing cache: "cuda_blas.matmul/1".
void tvi_tune_kernel_key(const tvi_plan_alternative_t* alternative, char* buffer, size_t size);
// A line per kind of decision to |sink|.
trivet_status_t tvi_tune_report(const tvi_tune_t* tune, trivet_sink_t sink);

#endif  // TRIVET_RUNTIME_TUNE_TUNE_H_
