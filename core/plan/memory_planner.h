// SPDX-License-Identifier: Apache-2.0
//
// Memory planner: offsets of buffers with given sizes and lifetimes in one arena. A pure function,
// shared by the builder (largest profile) and by prepare (the bound shapes). It knows no graph and
// no plan.
#ifndef TRIVET_CORE_PLAN_MEMORY_PLANNER_H_
#define TRIVET_CORE_PLAN_MEMORY_PLANNER_H_

#include "trivet/common.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_memory_item_s {
  uint64_t size;         // bytes; 0 takes no space
  uint64_t alignment;    // power of two
  uint32_t first, last;  // live in steps first..last, inclusive
} tvi_memory_item_t;

// Offsets such that no two items that are live together overlap. Deterministic. |out_total| is the
// size of the arena, at least tvi_memory_lower_bound.
trivet_status_t tvi_memory_plan(const tvi_memory_item_t* items, uint32_t count,
                                trivet_allocator_t allocator, uint64_t* out_offsets,
                                uint64_t* out_total);
// Largest sum of sizes live in one step.
uint64_t tvi_memory_lower_bound(const tvi_memory_item_t* items, uint32_t count);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_PLAN_MEMORY_PLANNER_H_
