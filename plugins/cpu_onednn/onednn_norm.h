// SPDX-License-Identifier: Apache-2.0
//
// Softmax and normalisations on oneDNN: the problem that is the blob of a step, its match, and the
// callbacks of the kernels. Beside the contractions (onednn_problem.h), which have weights, chunks
// and post-operations; these have none.
#ifndef TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_NORM_H_
#define TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_NORM_H_

#include <oneapi/dnnl/dnnl.h>

#include "core/target/norm_match.h"

#ifdef __cplusplus
extern "C" {
#endif

#define ONEDNN_NORM_MAGIC 0x4d4e4431u
#define ONEDNN_NORM_VERSION 1u
#define ONEDNN_NORM_VECTORS 4u

// Operands of the step: x, then the vectors that |present| names in the order scale, shift, mean,
// variance, last the result. x and the result are seen as outer x reduced x inner (SOFTMAX), outer
// x reduced (LAYER), or outer x channels x inner (BATCH); the reduced dimensions or channels are
// |first| .. |first| + |count| - 1 of |rank|.
typedef struct onednn_norm_s {
  uint32_t magic, version;
  uint32_t kind;  // tvi_norm_kind_t: SOFTMAX, LAYER or BATCH
  uint32_t rank, first, count;
  uint32_t present;  // bits: scale, shift, mean, variance
  float epsilon;
} onednn_norm_t;

typedef struct onednn_norm_match_s {
  onednn_norm_t problem;
  uint32_t region_operands[ONEDNN_NORM_VECTORS + 2];
  uint32_t operand_count;
} onednn_norm_match_t;

uint32_t onednn_norm_operand_count(const onednn_norm_t* problem);

// Leaves *out_reason (static text) where the region is none of these.
trivet_status_t onednn_norm_match(const trivet_region_t* region, tvi_arena_t* arena,
                                  onednn_norm_match_t* out_match, const char** out_reason);

// Checks a problem that comes from a plan.
trivet_status_t onednn_norm_verify(const onednn_norm_t* problem, uint64_t size);

// The primitive descriptor for concrete operands. Unless |any_implementation|, UNIMPLEMENTED where
// oneDNN has nothing but its reference.
trivet_status_t onednn_norm_describe(const onednn_norm_t* problem, const trivet_operand_t* operands,
                                     bool any_implementation, dnnl_engine_t engine,
                                     dnnl_primitive_desc_t* out_descriptor);

trivet_status_t onednn_norm_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                    trivet_proposal_t* proposal);
trivet_status_t onednn_norm_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                 uint64_t tactic, trivet_emission_t* emission);
trivet_status_t onednn_norm_load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* load,
                                 void** out_loaded);
trivet_status_t onednn_norm_prepare(const trivet_kernel_t* kernel, void* loaded,
                                    const trivet_kernel_prepare_t* prepare,
                                    uint64_t* out_workspace_size, void** out_prepared);
void onednn_norm_release(const trivet_kernel_t* kernel, void* prepared,
                         const trivet_allocator_t* allocator);
trivet_status_t onednn_norm_run(const trivet_kernel_t* kernel, void* prepared,
                                const trivet_kernel_launch_t* launch);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CPU_ONEDNN_ONEDNN_NORM_H_
