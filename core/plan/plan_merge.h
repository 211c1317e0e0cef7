// SPDX-License-Identifier: Apache-2.0
//
// Several plans of one network, each for targets of its own, as one: a program per target over
// constants that are there once. Stands behind the builds, which know one target each, and before
// the runtime, which takes the first program that its machine can run. It looks into no blob.
#ifndef TRIVET_CORE_PLAN_PLAN_MERGE_H_
#define TRIVET_CORE_PLAN_PLAN_MERGE_H_

#include "core/plan/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_plan_merge_s {
  tvi_plan_t plan;  // arrays in the arena that was given; texts, code and blobs of the sources
  tvi_plan_weight_source_t weights;
  const tvi_plan_t* const* sources;
  const uint32_t* constants;  // by number in |plan|: source and number there, two each
} tvi_plan_merge_t;

// |sources|: |count| plans as the reader gives them, which outlive |out_merge| with their bytes;
// programs come in their order. INVALID_ARGUMENT where they are not plans of one network with one
// interface: other inputs or outputs, other profiles, two programs for one target, or plugins of
// different versions. |out_merge| stays where it is: its weight source points to it.
trivet_status_t tvi_plan_merge(const tvi_plan_t* const* sources, uint32_t count, tvi_arena_t* arena,
                               tvi_plan_merge_t* out_merge);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_PLAN_PLAN_MERGE_H_
