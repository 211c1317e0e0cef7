// SPDX-License-Identifier: Apache-2.0
//
// From a normalisation that core recognises to a problem of cuDNN.
// It reads types, layouts and extents, and says why it leaves what it leaves.
#include "plugins/cuda_dnn/dnn_norm_match.h"

#include <string.h>

#include "core/base/status.h"
#include "core/dimension/dimension.h"
#include "core/target/norm_match.h"

static const trivet_type_t* type_of(const trivet_region_t* region, uint32_t operand) {
  return &tvi_graph_value(region->graph, region->operands[operand].value)->type;
}

static bool lies(const trivet_region_t* region, uint32_t index, bool channels_last) {
  const tvi_region_operand_t* operand = &region->operands[index];
  const uint32_t rank = type_of(region, index)->rank;
  const tvi_layout_t layout = channels_last ? tvi_layout_channels_last(rank) : tvi_layout_plain();
  return operand->dense && tvi_layout_equal(&operand->layout, &layout, rank);
}

static const char* read_types(const trivet_region_t* region, const tvi_norm_t* n, dnn_norm_t* p) {
  p->dtype = type_of(region, n->x)->dtype;
  p->vector_dtype = type_of(region, n->scale)->dtype;
  bool known =
      p->dtype == TRIVET_DTYPE_F16 || p->dtype == TRIVET_DTYPE_BF16 || p->dtype == TRIVET_DTYPE_F32;
  if (!known || type_of(region, n->result)->dtype != p->dtype) {
    return "types other than f16, bf16 and f32, or a result of another one";
  }
  if ((p->vector_dtype != p->dtype && p->vector_dtype != TRIVET_DTYPE_F32) ||
      (p->has_shift && type_of(region, n->shift)->dtype != p->vector_dtype)) {
    return "a scale of another type";
  }
  return NULL;
}

// Statistics of the last dimensions; of planes the channels are in front of them.
static const char* read_layout(const trivet_region_t* region, const tvi_norm_t* n, dnn_norm_t* p) {
  const uint32_t rank = type_of(region, n->x)->rank;
  const uint32_t first = (uint32_t)__builtin_ctz(n->reduced);
  if (n->reduced != ((1u << rank) - (1u << first)))
    return "statistics of others than the last dimensions";
  bool planes = p->kind == DNN_NORM_INSTANCE;
  if (planes && (n->axis != 1 || first != 2)) return "channels that are not the second dimension";
  p->channels_last = planes && !lies(region, n->x, false);
  if (!lies(region, n->x, p->channels_last) || !lies(region, n->result, p->channels_last)) {
    return "an operand with gaps, or in another memory order";
  }
  if (!lies(region, n->scale, false) || (p->has_shift && !lies(region, n->shift, false))) {
    return "a scale with gaps";
  }
  return NULL;
}

static trivet_status_t read_extents(const trivet_region_t* region, const tvi_norm_t* n,
                                    dnn_norm_match_t* m) {
  const trivet_type_t* type = type_of(region, n->x);
  tvi_dim_context_t* dims = region->graph->dims;
  bool planes = m->problem.kind == DNN_NORM_INSTANCE;
  for (uint32_t e = 0; e < DNN_NORM_PARAMETERS; ++e) m->parameters[e] = tvi_dim_constant(dims, 1);
  for (uint32_t d = 0; d < type->rank; ++d) {
    uint32_t to = planes                ? (d < 2 ? d : DNN_NORM_PIXELS)
                  : n->reduced >> d & 1 ? DNN_NORM_CHANNELS
                                        : DNN_NORM_ROWS;
    if (!m->parameters[to]) continue;
    m->parameters[to] = tvi_dim_binary(dims, TRIVET_DIM_MUL, m->parameters[to], type->dims[d]);
  }
  for (uint32_t e = 0; e < DNN_NORM_PARAMETERS; ++e) {
    if (!m->parameters[e]) return TRIVET_STATUS(OUT_OF_RANGE, "a shape overflows 64 bits");
  }
  return TRIVET_OK;
}

trivet_status_t dnn_norm_match(const trivet_region_t* region, tvi_arena_t* arena,
                               dnn_norm_match_t* out, const char** out_reason) {
  tvi_norm_t n;
  dnn_norm_match_t match;
  memset(&match, 0, sizeof(match));
  dnn_norm_t* p = &match.problem;
  TRIVET_RETURN_IF_ERROR(tvi_norm_match(region, arena, &n, out_reason));
  if (*out_reason) return TRIVET_OK;
  p->magic = DNN_NORM_MAGIC;
  p->version = DNN_NORM_VERSION;
  p->kind = n.kind == TVI_NORM_LAYER      ? DNN_NORM_LAYER
            : n.kind == TVI_NORM_RMS      ? DNN_NORM_RMS
            : n.kind == TVI_NORM_INSTANCE ? DNN_NORM_INSTANCE
                                          : 0;
  p->epsilon = n.epsilon;
  p->has_shift = n.shift != TVI_KIR_NONE;
  if (!p->kind) *out_reason = "neither a layer, nor an RMS, nor an instance normalisation";
  if (!*out_reason && n.scale == TVI_KIR_NONE) *out_reason = "no scale";
  if (!*out_reason && p->kind != DNN_NORM_RMS && !p->has_shift) *out_reason = "no shift";
  if (!*out_reason) *out_reason = read_types(region, &n, p);
  if (!*out_reason) *out_reason = read_layout(region, &n, p);
  if (*out_reason) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(read_extents(region, &n, &match));
  const uint32_t operands[DNN_NORM_OPERANDS] = {n.x, n.scale, n.shift, n.result};
  for (uint32_t i = 0; i < dnn_norm_operand_count(p); ++i) {
    match.region_operands[i] = operands[dnn_norm_operand_kind(p, i)];
  }
  *out = match;
  return TRIVET_OK;
}
