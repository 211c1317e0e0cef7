// SPDX-License-Identifier: Apache-2.0
//
// Checks problems, and describes the tensors of a step for shapes at hand.
// Problems come out of plans: every field is checked before the library sees it.
#include "plugins/cuda_dnn/dnn_problem.h"

#include <stddef.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/target/anchor_match.h"

#define ALIGNMENT 16u  // more is of no use to cuDNN

static bool is_dtype(uint32_t dtype) {
  return dtype == TRIVET_DTYPE_F16 || dtype == TRIVET_DTYPE_BF16 || dtype == TRIVET_DTYPE_F32;
}

static bool maps_hold(const uint8_t* dims) {
  for (uint32_t d = 0; d < DNN_MAX_RANK; ++d) {
    if (dims[d] != DNN_NONE && dims[d] >= TRIVET_MAX_RANK) return false;
  }
  return true;
}

static bool is_binary(uint32_t op) { return op >= TVI_POST_ADD && op <= TVI_POST_MAX; }

static bool post_holds(const dnn_problem_t* p, const dnn_post_t* post) {
  bool known = is_binary(post->op) || (post->op >= TVI_POST_LINEAR && post->op <= TVI_POST_ABS);
  bool numbers = post->alpha == post->alpha && post->beta == post->beta;
  bool operand =
      !is_binary(post->op) || (post->operand >= 2 && post->operand + 1 < p->operand_count);
  return known && numbers && operand && maps_hold(post->dims);
}

_Static_assert(offsetof(dnn_problem_t, plan) + sizeof(dnn_stored_plan_t) == sizeof(dnn_problem_t),
               "the plan that follows is described by the last member");

trivet_status_t dnn_problem_verify(const void* problem, uint64_t blob_size) {
  const dnn_problem_t* p = (const dnn_problem_t*)problem;
  if (blob_size < sizeof(*p) || p->magic != DNN_MAGIC || p->version != DNN_VERSION ||
      p->plan.size != blob_size - sizeof(*p)) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN step: a blob of %llu bytes that is no problem",
                         (unsigned long long)blob_size);
  }
  bool ok = is_dtype(p->dtype) && is_dtype(p->result_dtype) && p->rank >= 3 &&
            p->rank <= DNN_MAX_RANK && p->operand_count >= 3 &&
            p->operand_count <= DNN_MAX_OPERANDS && p->post_count <= DNN_MAX_POSTS &&
            p->candidate < DNN_MAX_CANDIDATES && p->is_packed <= 1 && p->allows_tf32 <= 1 &&
            maps_hold(p->x_dims) && maps_hold(p->w_dims) && maps_hold(p->y_dims);
  uint32_t binary = 0;
  for (uint32_t i = 0; ok && i < p->post_count; ++i) {
    ok = post_holds(p, &p->posts[i]);
    binary += is_binary(p->posts[i].op);
  }
  ok = ok && p->operand_count == 3 + binary;
  for (uint32_t s = 0; ok && s + 2 < p->rank; ++s) {
    ok = p->strides[s] >= 1 && p->strides[s] < 1 << 20 && p->dilations[s] >= 1 &&
         p->dilations[s] < 1 << 20 && p->pads[s] >= 0 && p->pads[s] < 1 << 20;
  }
  for (uint32_t d = 0; ok && p->is_packed && d < p->rank; ++d) {
    ok = p->weight_dims[d] >= 1 && p->weight_dims[d] < (int64_t)1 << 31;
  }
  return ok ? TRIVET_OK : TRIVET_STATUS(DATA_LOSS, "cuDNN step: numbers of the problem");
}

static uint32_t alignment_of(const trivet_operand_t* operand) {
  uint32_t alignment = ALIGNMENT;
  while (alignment > 1 && operand->alignment % alignment) alignment /= 2;
  return operand->alignment ? alignment : ALIGNMENT;
}

static trivet_status_t describe(const dnn_problem_t* p, const trivet_operand_t* operand,
                                const uint8_t* map, dnn_tensor_t* out) {
  memset(out, 0, sizeof(*out));
  out->dtype = operand->dtype;
  out->alignment = alignment_of(operand);
  int64_t elements = 1;
  for (uint32_t d = 0; d < p->rank; ++d) {
    out->dims[d] = 1;
    if (map[d] == DNN_NONE) continue;
    if (map[d] >= operand->rank) {
      return TRIVET_STATUS(DATA_LOSS, "cuDNN step: an operand has %u dimensions", operand->rank);
    }
    out->dims[d] = operand->dims[map[d]];
    out->strides[d] = operand->strides[map[d]];
    elements =
        out->dims[d] > 0 && elements < ((int64_t)1 << 40) ? elements * out->dims[d] : elements;
  }
  // What the operand does not walk is as long as all of it.
  for (uint32_t d = 0; d < p->rank; ++d) {
    if (map[d] == DNN_NONE) out->strides[d] = elements;
  }
  return TRIVET_OK;
}

static void describe_packed(const dnn_problem_t* p, dnn_tensor_t* out) {
  memset(out, 0, sizeof(*out));
  out->dtype = p->dtype;
  out->alignment = ALIGNMENT;
  int64_t stride = 1;
  for (uint32_t i = 0; i < p->rank; ++i) {
    // Channels, then spatial dimensions from the last, then output channels.
    uint32_t d = i == 0 ? 1 : i + 1 == p->rank ? 0 : p->rank - i;
    out->dims[d] = p->weight_dims[d];
    out->strides[d] = stride;
    stride *= p->weight_dims[d];
  }
}

trivet_status_t dnn_describe(const dnn_problem_t* p, const trivet_operand_t* operands,
                             dnn_tensor_t* out_tensors) {
  uint32_t result = p->operand_count - 1;
  TRIVET_RETURN_IF_ERROR(describe(p, &operands[0], p->x_dims, &out_tensors[0]));
  if (p->is_packed) {
    describe_packed(p, &out_tensors[1]);
  } else {
    TRIVET_RETURN_IF_ERROR(describe(p, &operands[1], p->w_dims, &out_tensors[1]));
  }
  TRIVET_RETURN_IF_ERROR(describe(p, &operands[result], p->y_dims, &out_tensors[result]));
  for (uint32_t i = 0; i < p->post_count; ++i) {
    const dnn_post_t* post = &p->posts[i];
    if (!is_binary(post->op)) continue;
    dnn_tensor_t* tensor = &out_tensors[post->operand];
    TRIVET_RETURN_IF_ERROR(describe(p, &operands[post->operand], post->dims, tensor));
    for (uint32_t d = 0; d < p->rank; ++d) {
      if (tensor->dims[d] != 1 && tensor->dims[d] != out_tensors[result].dims[d]) {
        return TRIVET_STATUS(DATA_LOSS, "cuDNN step: extents of operand %u", post->operand);
      }
    }
  }
  for (uint32_t i = 0; i < 2; ++i) {
    if (out_tensors[i].dtype != p->dtype) {
      return TRIVET_STATUS(DATA_LOSS, "cuDNN step: type of operand %u", i);
    }
  }
  if (out_tensors[result].dtype != p->result_dtype) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN step: type of the result");
  }
  return TRIVET_OK;
}

void dnn_tensors_key(const dnn_problem_t* p, const dnn_tensor_t* tensors, uint64_t out_key[2]) {
  tvi_hash128_t hash = tvi_hash128(tensors, p->operand_count * sizeof(*tensors), p->rank);
  out_key[0] = hash.low;
  out_key[1] = hash.high;
}
