// SPDX-License-Identifier: Apache-2.0
//
// Build half of normalisations. propose asks the heuristic, which takes milliseconds here; emit
// builds the plan for the shapes to optimise for, for a device that is described.
#include "plugins/cuda_dnn/dnn_norm_build.h"

#include <stdio.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "plugins/cuda_dnn/dnn_graph.h"
#include "plugins/cuda_dnn/dnn_norm_graph.h"
#include "plugins/cuda_dnn/dnn_norm_match.h"
#include "plugins/cuda_dnn/dnn_offline.h"

#define PROPOSALS 3u

typedef struct asked_s {
  dnn_norm_match_t match;
  dnn_norm_shape_t shape;  // to optimise for
  const char* properties;  // of the device
  const char* reason;      // why not
} asked_t;

static trivet_status_t ask(const trivet_region_t* region, tvi_arena_t* arena, asked_t* a) {
  a->properties = dnn_target_properties(region->target);
  if (!a->properties) {
    a->reason = "the properties of this architecture are not known";
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(dnn_norm_match(region, arena, &a->match, &a->reason));
  if (a->reason) return TRIVET_OK;
  int64_t numbers[DNN_NORM_PARAMETERS];
  for (uint32_t i = 0; i < DNN_NORM_PARAMETERS; ++i) {
    trivet_status_t status = tvi_dim_evaluate(a->match.parameters[i], region->symbols,
                                              region->symbol_count, &numbers[i]);
    if (!status) continue;
    trivet_status_free(status);
    a->reason = "an extent depends on data";
    return TRIVET_OK;
  }
  static const uint64_t kAlignments[DNN_NORM_OPERANDS];
  trivet_status_t status = dnn_norm_describe(&a->match.problem, numbers, kAlignments, &a->shape);
  if (status) {
    trivet_status_free(status);
    a->reason = "an extent of 0, or one that is too large";
  }
  return TRIVET_OK;
}

// Nanoseconds on a large GPU: bytes, and what the library needs besides, fitted to an H100.
static double price(const asked_t* a) {
  static const double kBegin[] = {0, 10000, 6000, 6000}, kBandwidth[] = {1, 1150, 2600, 1100};
  const uint32_t kind = a->match.problem.kind;
  double elements = 1;
  for (uint32_t e = 0; e < DNN_NORM_PARAMETERS; ++e) elements *= (double)a->shape.extents[e];
  return kBegin[kind] + 2 * elements * tvi_dtype_bytes(a->match.problem.dtype) / kBandwidth[kind];
}

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal, tvi_arena_t* arena, asked_t* a) {
  char text[DNN_REASON_SIZE];
  uint32_t count = 0;
  TRIVET_RETURN_IF_ERROR(ask(region, arena, a));
  if (!a->reason) {
    dnn_library_t library;
    trivet_status_t status = dnn_offline_open(region->graph->allocator, &library);
    if (!status) {
      dnn_device_choice_t device = {a->properties, NULL};
      status = dnn_norm_candidates(&library, &a->match.problem, &a->shape, &device, &count);
      dnn_library_close(&library);
    }
    if (status) a->reason = dnn_offline_reason(status, text);
  }
  if (!a->reason && !count) a->reason = "cuDNN offers no way to compute it";
  if (a->reason) {
    proposal->decline(proposal->self, kernel, "%s", a->reason);
    return TRIVET_OK;
  }
  for (uint32_t i = 0; i < count && i < PROPOSALS; ++i) {
    tvi_tactic_t tactic;
    memset(&tactic, 0, sizeof(tactic));
    tactic.kernel = kernel;
    tactic.id = i;
    // The heuristic orders its proposals: a later one must win by time.
    tactic.price = price(a) * (1 + 0.02 * i);
    snprintf(tactic.name, sizeof(tactic.name), "cudnn norm %u", i);
    TRIVET_RETURN_IF_ERROR(proposal->add(proposal->self, &tactic));
  }
  return TRIVET_OK;
}

trivet_status_t dnn_norm_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                 trivet_proposal_t* proposal) {
  asked_t asked;
  memset(&asked, 0, sizeof(asked));
  tvi_arena_t arena;
  tvi_arena_init(&arena, region->graph->allocator, 1 << 14);
  trivet_status_t status = propose(kernel, region, proposal, &arena, &asked);
  tvi_arena_deinit(&arena);
  return status;
}

static trivet_status_t build_plan(void* self, const dnn_library_t* library,
                                  trivet_allocator_t allocator, char** out_text,
                                  uint64_t* out_size) {
  const asked_t* a = (const asked_t*)self;
  dnn_device_choice_t device = {a->properties, NULL};
  return dnn_norm_plan(library, &a->match.problem, &a->shape, &device, allocator, out_text,
                       out_size);
}

static trivet_status_t set_blob(const trivet_region_t* region, asked_t* a,
                                trivet_emission_t* emission) {
  dnn_norm_t* p = &a->match.problem;
  tvi_hash128_t problem = tvi_hash128(p, sizeof(*p), DNN_NORM_MAGIC);
  dnn_norm_key(p, &a->shape, p->plan_key);
  const uint64_t parts[4] = {problem.low, problem.high, p->plan_key[0], p->plan_key[1]};
  dnn_offline_blob_t blob = {
      .self = a, .self_size = sizeof(*a), .build = build_plan, .head = p, .head_size = sizeof(*p)};
  blob.plan_size = &p->plan_size;
  blob.key = tvi_hash128(parts, sizeof(parts), strlen(a->properties));
  return dnn_offline_set_blob(region, &blob, emission);
}

trivet_status_t dnn_norm_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                              uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel;
  asked_t a;
  memset(&a, 0, sizeof(a));
  TRIVET_RETURN_IF_ERROR(ask(region, emission->arena, &a));
  if (a.reason) return TRIVET_STATUS(INTERNAL, "cuDNN took this region before: %s", a.reason);
  a.match.problem.candidate = tactic < DNN_MAX_CANDIDATES ? (uint32_t)tactic : 0;
  for (uint32_t i = 0; i < dnn_norm_operand_count(&a.match.problem); ++i) {
    TRIVET_RETURN_IF_ERROR(emission->add_operand(emission->self, a.match.region_operands[i]));
  }
  for (uint32_t i = 0; i < DNN_NORM_PARAMETERS; ++i) {
    TRIVET_RETURN_IF_ERROR(emission->add_parameter(emission->self, a.match.parameters[i]));
  }
  TRIVET_RETURN_IF_ERROR(emission->require(emission->self, "plugin:cuda_dnn"));
  return set_blob(region, &a, emission);
}
