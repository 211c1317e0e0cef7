// SPDX-License-Identifier: Apache-2.0
//
// What the library is asked for normalisations, for the shapes to optimise for. It answers in
// milliseconds, so it is asked for every one.
#include <string.h>

#include "core/base/arena.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "plugins/cuda_dnn/dnn_kind.h"
#include "plugins/cuda_dnn/dnn_norm_graph.h"
#include "plugins/cuda_dnn/dnn_norm_match.h"

#define PROPOSALS 3u

// Nanoseconds on a large GPU: bytes, and what the library needs besides, fitted to an H100.
static double price(const dnn_norm_t* p, const dnn_norm_shape_t* shape) {
  static const double kBegin[] = {0, 10000, 6000, 6000}, kBandwidth[] = {1, 1150, 2600, 1100};
  const uint32_t kind = p->kind;
  double elements = 1;
  for (uint32_t e = 0; e < DNN_NORM_PARAMETERS; ++e) elements *= (double)shape->extents[e];
  return kBegin[kind] + 2 * elements * tvi_dtype_bytes(p->dtype) / kBandwidth[kind];
}

trivet_status_t dnn_norm_ask(const trivet_region_t* region, tvi_arena_t* arena, uint32_t candidate,
                             dnn_asked_t* out) {
  dnn_norm_match_t* match;
  dnn_norm_shape_t* shape;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(arena, sizeof(*match), &match));
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(arena, sizeof(*shape), &shape));
  TRIVET_RETURN_IF_ERROR(dnn_norm_match(region, arena, match, &out->reason));
  if (out->reason) return TRIVET_OK;
  match->problem.candidate = candidate;
  int64_t numbers[DNN_NORM_PARAMETERS];
  if (!dnn_offline_evaluate(region, match->parameters, DNN_NORM_PARAMETERS, numbers)) {
    out->reason = "an extent depends on data";
    return TRIVET_OK;
  }
  static const uint64_t kAlignments[DNN_NORM_OPERANDS];
  trivet_status_t status = dnn_norm_describe(&match->problem, numbers, kAlignments, shape);
  if (status) {
    trivet_status_free(status);
    out->reason = "an extent of 0, or one that is too large";
    return TRIVET_OK;
  }
  out->graph = dnn_norm_graph(&match->problem, shape);
  out->price = price(&match->problem, shape);
  out->question = DNN_ASK_HOW_MANY;
  out->most = PROPOSALS;
  out->operand_count = dnn_norm_operand_count(&match->problem);
  out->operands = match->region_operands;
  out->parameter_count = DNN_NORM_PARAMETERS;
  out->parameters = match->parameters;
  return TRIVET_OK;
}
