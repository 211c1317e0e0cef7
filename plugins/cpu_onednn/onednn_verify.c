// SPDX-License-Identifier: Apache-2.0
//
// A problem that comes from a plan is not trusted: counts, maps and numbers are checked here, once,
// when the plan is loaded. Extents of operands are checked against it by prepare.
#include <math.h>
#include <oneapi/dnnl/dnnl.h>
#include <string.h>

#include "core/base/status.h"
#include "plugins/cpu_onednn/onednn_problem.h"

#define LIMIT ((int64_t)1 << 40)

static trivet_status_t check_maps(const onednn_problem_t* p) {
  if (p->kind == ONEDNN_MATMUL) {
    uint32_t total = 0;
    uint32_t counts[4] = {p->batch_count, p->m_count, p->n_count, p->k_count};
    for (uint32_t i = 0; i < 4; ++i) {
      if (counts[i] > TRIVET_MAX_RANK) return TRIVET_STATUS(DATA_LOSS, "oneDNN step: roles");
      total += counts[i];
    }
    if (total > 2 * TRIVET_MAX_RANK || p->rank != p->batch_count + 2 || p->k_count == 0) {
      return TRIVET_STATUS(DATA_LOSS, "oneDNN step: %u roles for rank %u", total, p->rank);
    }
    return TRIVET_OK;
  }
  if (p->rank < 3 || p->rank > 5) return TRIVET_STATUS(DATA_LOSS, "oneDNN step: rank %u", p->rank);
  for (uint32_t s = 0; s + 2 < p->rank; ++s) {
    if (p->strides[s] < 1 || p->strides[s] > LIMIT || p->dilations[s] < 1 ||
        p->dilations[s] > (1 << 20) || p->pads[s] < 0 || p->pads[s] > (1 << 20) ||
        p->window[s] < 1 || p->window[s] > (1 << 20)) {
      return TRIVET_STATUS(DATA_LOSS, "oneDNN step: geometry of spatial dimension %u", s);
    }
  }
  for (uint32_t d = 0; d < p->rank; ++d) {
    if (p->x_dims[d] >= TRIVET_MAX_RANK || p->y_dims[d] >= TRIVET_MAX_RANK ||
        (p->kind != ONEDNN_POOL && p->w_dims[d] >= TRIVET_MAX_RANK &&
         (d < 2 || p->w_dims[d] != ONEDNN_NONE || p->window[d - 2] != 1))) {
      return TRIVET_STATUS(DATA_LOSS, "oneDNN step: map of dimension %u", d);
    }
  }
  if (p->groups < 1 || p->groups > LIMIT) return TRIVET_STATUS(DATA_LOSS, "oneDNN step: groups");
  if (p->kind == ONEDNN_POOL && p->pool_alg != dnnl_pooling_max &&
      p->pool_alg != dnnl_pooling_avg_include_padding) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN step: kind of pool %u", p->pool_alg);
  }
  return TRIVET_OK;
}

static trivet_status_t check_postops(const onednn_problem_t* p) {
  uint32_t biases = 0;
  if (p->postop_count > ONEDNN_MAX_POSTOPS) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN step: %u post-operations", p->postop_count);
  }
  for (uint32_t i = 0; i < p->postop_count; ++i) {
    const onednn_postop_t* postop = &p->postops[i];
    if (postop->kind == ONEDNN_POST_ELTWISE) {
      if (!isfinite(postop->alpha) || !isfinite(postop->beta)) {
        return TRIVET_STATUS(DATA_LOSS, "oneDNN step: parameters of post-operation %u", i);
      }
      continue;
    }
    if (postop->kind != ONEDNN_POST_BINARY && postop->kind != ONEDNN_POST_BIAS) {
      return TRIVET_STATUS(DATA_LOSS, "oneDNN step: post-operation %u of kind %u", i, postop->kind);
    }
    biases += postop->kind == ONEDNN_POST_BIAS;
    if (postop->operand < 2 || postop->operand + 1 >= p->operand_count) {
      return TRIVET_STATUS(DATA_LOSS, "oneDNN step: operand of post-operation %u", i);
    }
    for (uint32_t d = 0; d < p->rank; ++d) {
      if (postop->dims[d] != ONEDNN_NONE && postop->dims[d] >= TRIVET_MAX_RANK) {
        return TRIVET_STATUS(DATA_LOSS, "oneDNN step: map of post-operation %u", i);
      }
    }
    bool channel = p->kind == ONEDNN_MATMUL || postop->dims[1] != ONEDNN_NONE;
    if (postop->kind == ONEDNN_POST_BIAS && !channel) {
      return TRIVET_STATUS(DATA_LOSS, "oneDNN step: a bias without channels");
    }
  }
  return biases <= 1 ? TRIVET_OK : TRIVET_STATUS(DATA_LOSS, "oneDNN step: %u biases", biases);
}

static trivet_status_t check_packing(const onednn_problem_t* p) {
  const onednn_packing_t* packing = &p->packing;
  if (p->chunk != 0) {
    bool images = p->kind == ONEDNN_CONVOLUTION && p->groups == 1;
    if (!packing->present || (!images && (p->kind != ONEDNN_MATMUL || p->batch_count != 0)) ||
        packing->rank < 2 || packing->dims[images ? 1 : packing->rank - 2] != (int64_t)p->chunk) {
      return TRIVET_STATUS(DATA_LOSS, "oneDNN step: chunks of %u", p->chunk);
    }
  }
  if (!packing->present) return TRIVET_OK;
  uint32_t expected = p->rank + (p->kind != ONEDNN_MATMUL && p->groups > 1 ? 1 : 0);
  if (p->kind == ONEDNN_POOL || packing->rank != expected || packing->rank > TRIVET_MAX_RANK ||
      packing->block_count > TRIVET_MAX_RANK) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN step: form of packed weights");
  }
  for (uint32_t d = 0; d < packing->rank; ++d) {
    if (packing->dims[d] < 1 || packing->dims[d] > LIMIT || packing->padded[d] < packing->dims[d] ||
        packing->padded[d] > LIMIT || packing->strides[d] < 1 || packing->strides[d] > LIMIT) {
      return TRIVET_STATUS(DATA_LOSS, "oneDNN step: extents of packed weights");
    }
  }
  for (uint32_t b = 0; b < packing->block_count; ++b) {
    if (packing->blocks[b] < 1 || packing->blocks[b] > 4096 || packing->block_dims[b] < 0 ||
        packing->block_dims[b] >= (int64_t)packing->rank) {
      return TRIVET_STATUS(DATA_LOSS, "oneDNN step: blocks of packed weights");
    }
  }
  return TRIVET_OK;
}

trivet_status_t onednn_problem_verify(const onednn_problem_t* p, uint64_t size) {
  if (size != sizeof(*p)) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN step: %llu bytes, not %zu", (unsigned long long)size,
                         sizeof(*p));
  }
  if (p->magic != ONEDNN_MAGIC || p->version != ONEDNN_VERSION) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN step: not a problem of this version");
  }
  if (p->kind < ONEDNN_CONVOLUTION || p->kind > ONEDNN_POOL) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN step: kind %u", p->kind);
  }
  if (p->rank < 2 || p->rank > TRIVET_MAX_RANK || p->operand_count < 3 ||
      p->operand_count > ONEDNN_MAX_POSTOPS + 3) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN step: rank %u, %u operands", p->rank, p->operand_count);
  }
  if (!memchr(p->impl, 0, sizeof(p->impl))) {
    return TRIVET_STATUS(DATA_LOSS, "oneDNN step: name of the implementation");
  }
  TRIVET_RETURN_IF_ERROR(check_maps(p));
  TRIVET_RETURN_IF_ERROR(check_postops(p));
  return check_packing(p);
}
