// SPDX-License-Identifier: Apache-2.0
//
// What the kernels of this plugin differ by: each solves one kind of problem. Everything else of a
// step is the same for all of them: dnn_offline.h builds it, dnn_step.h runs it.
#ifndef TRIVET_PLUGINS_CUDA_DNN_DNN_KIND_H_
#define TRIVET_PLUGINS_CUDA_DNN_DNN_KIND_H_

#include "plugins/cuda_dnn/dnn_offline.h"
#include "plugins/cuda_dnn/dnn_step.h"

// What trivet_kernel_t.self is.
typedef struct dnn_kind_s {
  const char* tactic;     // name of its tactics, before their numbers
  uint64_t problem_size;  // bytes of its problem, with which blobs of its steps begin
  // Build half: what the library is to compute for |region|, by proposal |candidate| of its
  // heuristic, or why nothing (out->reason). |out| is zeroed; what it points to is of |arena|.
  trivet_status_t (*ask)(const trivet_region_t* region, tvi_arena_t* arena, uint32_t candidate,
                         dnn_asked_t* out);
  // Run half. verify: checks a problem that comes from a plan. prepare: refuses operands and
  // parameters that do not fit, lists what the plan reads and writes, and finds the plan by
  // dnn_step_find_plan; what it leaves in |launch| is released by its caller.
  trivet_status_t (*verify)(const void* problem, uint64_t blob_size);
  trivet_status_t (*prepare)(const dnn_step_t* step, const void* problem,
                             const trivet_kernel_prepare_t* prepare, dnn_launch_t* launch);
} dnn_kind_t;

// In dnn_build.c, dnn_attention_build.c, dnn_norm_build.c.
trivet_status_t dnn_convolution_ask(const trivet_region_t* region, tvi_arena_t* arena,
                                    uint32_t candidate, dnn_asked_t* out);
trivet_status_t dnn_attention_ask(const trivet_region_t* region, tvi_arena_t* arena,
                                  uint32_t candidate, dnn_asked_t* out);
trivet_status_t dnn_norm_ask(const trivet_region_t* region, tvi_arena_t* arena, uint32_t candidate,
                             dnn_asked_t* out);

// In dnn_run.c, dnn_attention_run.c, dnn_norm_run.c.
trivet_status_t dnn_convolution_prepare(const dnn_step_t* step, const void* problem,
                                        const trivet_kernel_prepare_t* prepare,
                                        dnn_launch_t* launch);
trivet_status_t dnn_attention_prepare(const dnn_step_t* step, const void* problem,
                                      const trivet_kernel_prepare_t* prepare, dnn_launch_t* launch);
trivet_status_t dnn_norm_prepare(const dnn_step_t* step, const void* problem,
                                 const trivet_kernel_prepare_t* prepare, dnn_launch_t* launch);

#endif  // TRIVET_PLUGINS_CUDA_DNN_DNN_KIND_H_
