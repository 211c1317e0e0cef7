// SPDX-License-Identifier: Apache-2.0
//
// What a plan spends on steps that compute nothing: copies that only change how a value lies, and
// values brought to another element type. For people and tools; nothing is decided by it.
#ifndef TRIVET_CORE_PLAN_PLAN_MOVES_H_
#define TRIVET_CORE_PLAN_PLAN_MOVES_H_

#include "core/plan/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

// Steps of the main block, and the bytes that they read and write at the shapes that the first
// profile prefers (extents that only the data knows: at their largest).
typedef struct tvi_plan_moves_s {
  uint32_t reformat_count;
  uint32_t cast_count;
  uint64_t reformat_bytes;
  uint64_t cast_bytes;
} tvi_plan_moves_t;

// |program|: of the verified |plan|. |allocator| holds a number per symbol meanwhile. Bytes of
// shapes that overflow count as 0. OUT_OF_MEMORY.
trivet_status_t tvi_plan_count_moves(const tvi_plan_t* plan, const tvi_plan_program_t* program,
                                     trivet_allocator_t allocator, tvi_plan_moves_t* out_moves);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_PLAN_PLAN_MOVES_H_
