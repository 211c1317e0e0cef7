// SPDX-License-Identifier: Apache-2.0
//
// From a normalisation that core recognises to a oneDNN problem, its verification, and its
// primitive for concrete operands.
#include "plugins/cpu_onednn/onednn_norm.h"

#include <math.h>
#include <string.h>

#include "core/base/checked.h"
#include "core/base/status.h"
#include "plugins/cpu_onednn/onednn_primitive.h"

uint32_t onednn_norm_operand_count(const onednn_norm_t* problem) {
  uint32_t count = 2;
  for (uint32_t v = 0; v < ONEDNN_NORM_VECTORS; ++v) count += problem->present >> v & 1;
  return count;
}

// Dense and in the graph's order, or an image with its channels last.
static bool is_dense(const trivet_region_t* region, uint32_t index, bool images) {
  const tvi_region_operand_t* operand = &region->operands[index];
  const uint32_t rank = tvi_graph_value(region->graph, operand->value)->type.rank;
  const tvi_layout_t plain = tvi_layout_plain(), last = tvi_layout_channels_last(rank);
  return operand->dense && (tvi_layout_equal(&operand->layout, &plain, rank) ||
                            (images && tvi_layout_equal(&operand->layout, &last, rank)));
}

trivet_status_t onednn_norm_match(const trivet_region_t* region, tvi_arena_t* arena,
                                  onednn_norm_match_t* out, const char** out_reason) {
  tvi_norm_t norm;
  TRIVET_RETURN_IF_ERROR(tvi_norm_match(region, arena, &norm, out_reason));
  if (*out_reason) return TRIVET_OK;
  if (!norm.is_f32) *out_reason = "types other than f32";
  if (norm.kind > TVI_NORM_BATCH) *out_reason = "an RMS or instance normalisation";
  if (*out_reason) return TRIVET_OK;
  memset(out, 0, sizeof(*out));
  onednn_norm_t* p = &out->problem;
  p->magic = ONEDNN_NORM_MAGIC;
  p->version = ONEDNN_NORM_VERSION;
  p->kind = (uint32_t)norm.kind;
  p->rank = tvi_graph_value(region->graph, region->operands[norm.x].value)->type.rank;
  p->epsilon = (float)norm.epsilon;
  const bool batch = norm.kind == TVI_NORM_BATCH;
  if (norm.kind == TVI_NORM_LOG_SOFTMAX) {
    *out_reason = "the logarithm of a softmax, which the library gives with seven times the error";
    return TRIVET_OK;
  }
  const uint32_t mask = batch ? 1u << norm.axis : norm.reduced;
  while (!(mask >> p->first & 1)) ++p->first;
  while (mask >> (p->first + p->count) & 1) ++p->count;
  if (mask >> (p->first + p->count)) *out_reason = "statistics of dimensions with others between";
  if (norm.kind == TVI_NORM_LAYER && p->first + p->count != p->rank) {
    *out_reason = "statistics of others than the last dimensions";
  }
  if (!is_dense(region, norm.x, batch) || !is_dense(region, norm.result, batch)) {
    *out_reason = "an operand with gaps, or in another memory order";
  }
  const uint32_t vectors[ONEDNN_NORM_VECTORS] = {norm.scale, norm.shift, norm.mean, norm.variance};
  out->region_operands[out->operand_count++] = norm.x;
  for (uint32_t v = 0; v < ONEDNN_NORM_VECTORS; ++v) {
    if (vectors[v] == TVI_KIR_NONE) continue;
    if (!is_dense(region, vectors[v], false)) *out_reason = "a scale with gaps";
    p->present |= 1u << v;
    out->region_operands[out->operand_count++] = vectors[v];
  }
  out->region_operands[out->operand_count++] = norm.result;
  return TRIVET_OK;
}

trivet_status_t onednn_norm_verify(const onednn_norm_t* p, uint64_t size) {
  if (size != sizeof(*p)) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN normalisation: %llu bytes, not %zu",
                         (unsigned long long)size, sizeof(*p));
  }
  if (p->magic != ONEDNN_NORM_MAGIC || p->version != ONEDNN_NORM_VERSION) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN normalisation: not a problem of this version");
  }
  if (p->kind != TVI_NORM_SOFTMAX && p->kind != TVI_NORM_LAYER && p->kind != TVI_NORM_BATCH) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN normalisation: kind %u", p->kind);
  }
  if (p->rank < 1 || p->rank > TRIVET_MAX_RANK || p->first >= p->rank || p->count < 1 ||
      p->count > p->rank - p->first) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN normalisation: dimensions %u and %u of rank %u",
                         p->first, p->count, p->rank);
  }
  const bool layer = p->kind == TVI_NORM_LAYER, batch = p->kind == TVI_NORM_BATCH;
  const uint32_t allowed = batch ? 15u : layer ? 3u : 0u;
  if ((p->present & ~allowed) || (batch && p->present != allowed) || (batch && p->count != 1) ||
      (layer && p->first + p->count != p->rank)) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN normalisation: operands of kind %u", p->kind);
  }
  if (!isfinite(p->epsilon) || p->epsilon < 0) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN normalisation: epsilon");
  }
  return TRIVET_OK;
}

// Extents with their strides: before, within and behind the reduced dimensions, and one of 1.
static trivet_status_t view(const onednn_norm_t* p, const trivet_operand_t* operand, uint32_t rank,
                            dnnl_memory_desc_t* out) {
  const uint32_t firsts[3] = {0, p->first, p->first + p->count};
  const uint32_t counts[3] = {p->first, p->count, p->rank - p->first - p->count};
  dnnl_dims_t dims, strides;
  if (operand->rank != p->rank) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN normalisation: rank %u", operand->rank);
  }
  uint8_t all[TRIVET_MAX_RANK];
  for (uint8_t d = 0; d < TRIVET_MAX_RANK; ++d) all[d] = d;
  for (uint32_t g = 0; g < 3; ++g) {
    if (!onednn_collapse(operand, all + firsts[g], counts[g], &dims[g], &strides[g])) {
      return TRIVET_STATUS(UNIMPLEMENTED, "dimensions that have no common stride");
    }
  }
  // Strides of extents of 1 are free; oneDNN knows formats by them.
  const bool channels_last = dims[1] > 1 && dims[2] > 1 && strides[1] < strides[2];
  if (dims[2] == 1) strides[2] = 1;
  if (dims[1] == 1) strides[1] = dims[2] * strides[2];
  if (dims[0] == 1) strides[0] = channels_last ? dims[2] * strides[2] : dims[1] * strides[1];
  dims[3] = 1;
  strides[3] = channels_last ? strides[2] : 1;
  return onednn_check(dnnl_memory_desc_init_by_strides(out, (int)rank, dims, dnnl_f32, strides),
                      "view");
}

// Every vector is as long as it is read.
static trivet_status_t check_vectors(const onednn_norm_t* p, const trivet_operand_t* operands,
                                     int64_t length) {
  const uint32_t last = onednn_norm_operand_count(p) - 1;
  for (uint32_t i = 1; i < last; ++i) {
    int64_t count = 1;
    for (uint32_t d = operands[i].rank; d-- > 0;) {
      if (operands[i].dims[d] > 1 && operands[i].strides[d] != count) {
        return TRIVET_STATUS(UNIMPLEMENTED, "a vector with gaps");
      }
      if (!tvi_checked_mul_i64(count, operands[i].dims[d], &count)) count = -1;
    }
    if (count != length) {
      return TRIVET_STATUS(DATA_LOSS,
                           "oneDNN normalisation: operand %u has %lld elements, not %lld", i,
                           (long long)count, (long long)length);
    }
  }
  return TRIVET_OK;
}

typedef union operation_u {
  dnnl_softmax_v2_desc_t softmax;
  dnnl_layer_normalization_desc_t layer;
  dnnl_batch_normalization_desc_t batch;
} operation_t;

static dnnl_status_t make_operation(const onednn_norm_t* p, const dnnl_memory_desc_t* x,
                                    const dnnl_memory_desc_t* y, operation_t* out) {
  unsigned flags = dnnl_normalization_flags_none;
  if (p->present & 1) flags |= dnnl_use_scale;
  if (p->present & 2) flags |= dnnl_use_shift;
  if (p->kind == TVI_NORM_LAYER) {
    return dnnl_layer_normalization_forward_desc_init(&out->layer, dnnl_forward_inference, x, NULL,
                                                      p->epsilon, flags);
  }
  if (p->kind == TVI_NORM_BATCH) {
    return dnnl_batch_normalization_forward_desc_init(&out->batch, dnnl_forward_inference, x,
                                                      p->epsilon, flags | dnnl_use_global_stats);
  }
  return dnnl_softmax_v2_forward_desc_init(&out->softmax, dnnl_forward_inference,
                                           dnnl_softmax_accurate, x, y, 1);
}

trivet_status_t onednn_norm_describe(const onednn_norm_t* p, const trivet_operand_t* operands,
                                     bool any_implementation, dnnl_engine_t engine,
                                     dnnl_primitive_desc_t* out_descriptor) {
  dnnl_memory_desc_t x, y;
  const trivet_operand_t* result = &operands[onednn_norm_operand_count(p) - 1];
  int64_t inner = 1;
  for (uint32_t d = p->first + p->count; d < operands[0].rank; ++d) inner *= operands[0].dims[d];
  // Its batch normalisation knows images only.
  const uint32_t rank = p->kind == TVI_NORM_BATCH                 ? 4
                        : p->kind == TVI_NORM_LAYER || inner == 1 ? 2
                                                                  : 3;
  TRIVET_RETURN_IF_ERROR(view(p, &operands[0], rank, &x));
  TRIVET_RETURN_IF_ERROR(view(p, result, rank, &y));
  TRIVET_RETURN_IF_ERROR(check_vectors(p, operands, x.dims[1]));
  if (memcmp(x.dims, y.dims, sizeof(x.dims[0]) * rank) != 0) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN normalisation: a result of another shape");
  }
  if (!dnnl_memory_desc_equal(&x, &y)) return TRIVET_STATUS(UNIMPLEMENTED, "two memory orders");
  operation_t operation;
  ONEDNN_RETURN_IF_ERROR(make_operation(p, &x, &y, &operation), "operation descriptor");
  dnnl_primitive_attr_t attributes = NULL;
  ONEDNN_RETURN_IF_ERROR(dnnl_primitive_attr_create(&attributes), "attributes");
  dnnl_status_t status =
      dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
  dnnl_primitive_desc_t descriptor = NULL;
  if (status == dnnl_success) {
    status = dnnl_primitive_desc_create(&descriptor, &operation, attributes, engine, NULL);
  }
  dnnl_primitive_attr_destroy(attributes);
  ONEDNN_RETURN_IF_ERROR(status, "normalisation");
  const char* name = NULL;
  dnnl_primitive_desc_query(descriptor, dnnl_query_impl_info_str, 0, &name);
  if (!any_implementation && (!name || strstr(name, "ref"))) {
    dnnl_primitive_desc_destroy(descriptor);
    return TRIVET_STATUS(UNIMPLEMENTED, "oneDNN has only its reference for these operands");
  }
  *out_descriptor = descriptor;
  return TRIVET_OK;
}
