// SPDX-License-Identifier: Apache-2.0
//
// Checks problems of normalisations, and describes their tensors for extents at hand.
// It stands between the numbers of a plan file, which nothing is believed of, and the library.
#include "plugins/cuda_dnn/dnn_norm.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/status.h"

#define ALIGNMENT 16u  // more is of no use to cuDNN
#define LARGEST ((int64_t)1 << 31)
#define MOST_ELEMENTS ((int64_t)1 << 40)

uint32_t dnn_norm_operand_count(const dnn_norm_t* p) { return p->has_shift ? 4 : 3; }

uint32_t dnn_norm_operand_kind(const dnn_norm_t* p, uint32_t index) {
  return index == 2 && !p->has_shift ? DNN_NORM_RESULT : index;
}

_Static_assert(offsetof(dnn_norm_t, plan) + sizeof(dnn_stored_plan_t) == sizeof(dnn_norm_t),
               "the plan that follows is described by the last member");

trivet_status_t dnn_norm_verify(const void* problem, uint64_t blob_size) {
  const dnn_norm_t* p = (const dnn_norm_t*)problem;
  if (blob_size < sizeof(*p) || p->magic != DNN_NORM_MAGIC || p->version != DNN_NORM_VERSION ||
      p->plan.size != blob_size - sizeof(*p)) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN normalisation: a blob of %llu bytes that is no problem",
                         (unsigned long long)blob_size);
  }
  bool narrow = p->dtype == TRIVET_DTYPE_F16 || p->dtype == TRIVET_DTYPE_BF16;
  bool ok = p->kind >= DNN_NORM_LAYER && p->kind <= DNN_NORM_INSTANCE &&
            (narrow || p->dtype == TRIVET_DTYPE_F32) &&
            (p->vector_dtype == p->dtype || p->vector_dtype == TRIVET_DTYPE_F32) &&
            p->has_shift <= 1 && p->channels_last <= 1 && p->candidate < DNN_MAX_CANDIDATES &&
            isfinite(p->epsilon) && p->epsilon >= 0;
  return ok ? TRIVET_OK : TRIVET_STATUS(DATA_LOSS, "cuDNN normalisation: numbers of the problem");
}

static void describe(const dnn_norm_t* p, uint32_t kind, uint64_t alignment,
                     dnn_norm_shape_t* shape) {
  const int64_t* e = shape->extents;
  dnn_tensor_t* tensor = &shape->tensors[kind];
  bool is_vector = kind == DNN_NORM_SCALE || kind == DNN_NORM_SHIFT;
  int64_t pixels = is_vector ? 1 : e[DNN_NORM_PIXELS], channels = e[DNN_NORM_CHANNELS];
  memset(tensor, 0, sizeof(*tensor));
  tensor->dtype = is_vector ? p->vector_dtype : p->dtype;
  tensor->alignment = ALIGNMENT;
  while (alignment % tensor->alignment) tensor->alignment /= 2;
  // A row is a pixel whose channels lie together.
  bool together = p->kind != DNN_NORM_INSTANCE || p->channels_last;
  const int64_t dims[4] = {is_vector ? 1 : e[DNN_NORM_ROWS], channels, pixels, 1};
  const int64_t strides[4] = {channels * pixels, together ? 1 : pixels, together ? channels : 1,
                              together ? channels : 1};
  memcpy(tensor->dims, dims, sizeof(dims));
  memcpy(tensor->strides, strides, sizeof(strides));
}

trivet_status_t dnn_norm_describe(const dnn_norm_t* p, const int64_t* parameters,
                                  const uint64_t* alignments, dnn_norm_shape_t* out) {
  dnn_norm_shape_t shape;
  memset(&shape, 0, sizeof(shape));
  int64_t elements = 1;
  for (uint32_t e = 0; e < DNN_NORM_PARAMETERS; ++e) {
    int64_t extent = parameters[e];
    if (extent < 1 || extent >= LARGEST || elements > MOST_ELEMENTS / extent) {
      return TRIVET_STATUS(DATA_LOSS, "cuDNN normalisation: an extent of %lld", (long long)extent);
    }
    elements *= extent;
    shape.extents[e] = extent;
  }
  if (p->kind != DNN_NORM_INSTANCE && shape.extents[DNN_NORM_PIXELS] != 1) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN normalisation: rows of %lld pixels",
                         (long long)shape.extents[DNN_NORM_PIXELS]);
  }
  uint32_t count = dnn_norm_operand_count(p);
  for (uint32_t i = 0; i < count; ++i) {
    describe(p, dnn_norm_operand_kind(p, i), alignments[i], &shape);
  }
  *out = shape;
  return TRIVET_OK;
}

void dnn_norm_key(const dnn_norm_t* p, const dnn_norm_shape_t* shape, uint64_t out_key[2]) {
  tvi_hash128_t hash = tvi_hash128(shape, sizeof(*shape), p->has_shift);
  out_key[0] = hash.low;
  out_key[1] = hash.high;
}
