// SPDX-License-Identifier: Apache-2.0
//
// Which kernels a program becomes: cheap stages are substituted into their readers, the others are
// grouped so that each group is one kernel over one space of points. Decided from the form of the
// program and its dimensions alone. Between the kernel IR of a region and the printer of CUDA C;
// knows no text.
#ifndef TRIVET_PLUGINS_CUDA_EMIT_EMIT_SCHEDULE_H_
#define TRIVET_PLUGINS_CUDA_EMIT_EMIT_SCHEDULE_H_

#include "core/kernel_ir/kernel_ir.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TVI_CUDA_MAX_LOOPS TVI_KIR_MAX_INDICES
#define TVI_CUDA_NONE UINT32_MAX

// The loops of a group: a point of the outer ones is a row; the inner ones are walked within it.
// Without inner loops the group is a map.
typedef struct tvi_cuda_group_s {
  uint32_t loop_count;
  trivet_dim_t extents[TVI_CUDA_MAX_LOOPS];
  bool is_inner[TVI_CUDA_MAX_LOOPS];
  bool is_scan;                       // one stage, walked in order along the only inner loop
  uint32_t stage_first, stage_count;  // range of schedule->order
} tvi_cuda_group_t;

typedef struct tvi_cuda_stage_s {
  uint32_t group;
  bool has_inner;  // has a value per point, not per row
  // Loop that each index of the stage is; TVI_CUDA_NONE: the index is always 0.
  uint32_t loop_of_index[TVI_KIR_MAX_INDICES];
} tvi_cuda_stage_t;

typedef struct tvi_cuda_schedule_s {
  tvi_kir_program_t* program;  // with stages substituted and dead ones dropped
  tvi_cuda_stage_t* stages;    // by stage of |program|
  uint32_t* order;             // stages as they run
  tvi_cuda_group_t* groups;
  uint32_t group_count;
  uint8_t* is_stored;  // by value: temporaries that other groups read
} tvi_cuda_schedule_t;

// Schedules a copy of |program|, which tvi_kir_verify accepts; values keep their tags and the order
// of inputs and outputs. |symbols| are the values to optimise for. |keeps_factors|: what a product
// of matrices reads stays a stage of its own. All memory is in |arena|.
trivet_status_t tvi_cuda_schedule_make(const tvi_kir_program_t* program, const int64_t* symbols,
                                       uint32_t symbol_count, bool keeps_factors,
                                       tvi_arena_t* arena, tvi_cuda_schedule_t* out_schedule);

// |dim| for the symbols to optimise for; its largest possible value where that cannot be computed.
int64_t tvi_cuda_estimate(const tvi_dim_context_t* dims, trivet_dim_t dim, const int64_t* symbols,
                          uint32_t symbol_count);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CUDA_EMIT_EMIT_SCHEDULE_H_
