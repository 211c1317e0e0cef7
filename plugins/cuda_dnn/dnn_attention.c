// SPDX-License-Identifier: Apache-2.0
//
// Checks problems of attention, and describes their tensors for extents and strides at hand.
// It stands between the numbers of a plan file, which nothing is believed of, and the library.
#include "plugins/cuda_dnn/dnn_attention.h"

#include <stddef.h>
#include <string.h>

#include "core/base/dtype.h"
#include "core/base/hash.h"
#include "core/base/status.h"

#define ALIGNMENT 16u  // more is of no use to cuDNN
#define LARGEST ((int64_t)1 << 31)

uint32_t dnn_attention_operand_count(const dnn_attention_t* p) { return p->has_mask ? 5 : 4; }

uint32_t dnn_attention_parameter_count(const dnn_attention_t* p) {
  return DNN_ATTENTION_EXTENTS + DNN_OPERAND_PARAMETERS * dnn_attention_operand_count(p) + 1;
}

_Static_assert(offsetof(dnn_attention_t, plan) + sizeof(dnn_stored_plan_t) ==
                   sizeof(dnn_attention_t),
               "the plan that follows is described by the last member");

trivet_status_t dnn_attention_verify(const void* problem, uint64_t blob_size) {
  const dnn_attention_t* p = (const dnn_attention_t*)problem;
  if (blob_size < sizeof(*p) || p->magic != DNN_ATTENTION_MAGIC ||
      p->version != DNN_ATTENTION_VERSION || p->plan.size != blob_size - sizeof(*p)) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN attention: a blob of %llu bytes that is no problem",
                         (unsigned long long)blob_size);
  }
  bool ok = (p->dtype == TRIVET_DTYPE_F16 || p->dtype == TRIVET_DTYPE_BF16) && p->has_mask <= 1 &&
            p->has_upper <= 1 && p->candidate < DNN_MAX_CANDIDATES && p->scale == p->scale &&
            (!p->has_mask || p->mask_dtype == p->dtype || p->mask_dtype == TRIVET_DTYPE_F32);
  return ok ? TRIVET_OK : TRIVET_STATUS(DATA_LOSS, "cuDNN attention: numbers of the problem");
}

// Extents of the four dimensions of each operand, as positions among the problem's extents.
static const uint8_t kDims[DNN_ATTENTION_OPERANDS][4] = {
    {DNN_EXTENT_BATCH, DNN_EXTENT_HEADS, DNN_EXTENT_QUERIES, DNN_EXTENT_SIZE},
    {DNN_EXTENT_BATCH, DNN_EXTENT_KEY_HEADS, DNN_EXTENT_SIZE, DNN_EXTENT_KEYS},
    {DNN_EXTENT_BATCH, DNN_EXTENT_KEY_HEADS, DNN_EXTENT_KEYS, DNN_EXTENT_VALUE_SIZE},
    {DNN_EXTENT_BATCH, DNN_EXTENT_HEADS, DNN_EXTENT_QUERIES, DNN_EXTENT_KEYS},
    {DNN_EXTENT_BATCH, DNN_EXTENT_HEADS, DNN_EXTENT_QUERIES, DNN_EXTENT_VALUE_SIZE}};

static trivet_status_t describe(const dnn_attention_t* p, uint32_t kind, const int64_t* parameters,
                                uint64_t alignment, dnn_attention_shape_t* shape) {
  dnn_tensor_t* tensor = &shape->tensors[kind];
  memset(tensor, 0, sizeof(*tensor));
  tensor->dtype = kind == DNN_MASK ? p->mask_dtype : p->dtype;
  shape->offsets[kind] = parameters[0];
  int64_t size = tvi_dtype_bytes(tensor->dtype), elements = 1;
  if (parameters[0] < 0 || parameters[0] >= LARGEST) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN attention: offset of operand %u", kind);
  }
  uint64_t address = alignment ? alignment : ALIGNMENT;
  tensor->alignment = ALIGNMENT;
  while (address % tensor->alignment || (parameters[0] * size) % tensor->alignment) {
    tensor->alignment /= 2;
  }
  for (uint32_t d = 0; d < 4; ++d) {
    // Keys are given as the other operands are, and taken with the last dimensions exchanged.
    uint32_t from = kind == DNN_K && d >= 2 ? 5 - d : d;
    int64_t stride = parameters[1 + from], extent = shape->extents[kDims[kind][d]];
    if (stride < 0 || stride >= LARGEST) {
      return TRIVET_STATUS(DATA_LOSS, "cuDNN attention: a stride of operand %u", kind);
    }
    bool broadcast = kind == DNN_MASK && stride == 0;
    tensor->dims[d] = broadcast ? 1 : extent;
    tensor->strides[d] = stride;
    if (!broadcast) elements *= extent < (1 << 20) ? extent : 1 << 20;
    if (elements > (int64_t)1 << 40) elements = (int64_t)1 << 40;
  }
  // A dimension of one element is as long as all of it.
  for (uint32_t d = 0; d < 4; ++d) {
    if (tensor->dims[d] == 1 && tensor->strides[d] == 0) tensor->strides[d] = elements;
  }
  return TRIVET_OK;
}

trivet_status_t dnn_attention_describe(const dnn_attention_t* p, const int64_t* parameters,
                                       const uint64_t* alignments, dnn_attention_shape_t* out) {
  dnn_attention_shape_t shape;
  memset(&shape, 0, sizeof(shape));
  for (uint32_t e = 0; e < DNN_ATTENTION_EXTENTS; ++e) {
    if (parameters[e] < 1 || parameters[e] >= LARGEST) {
      return TRIVET_STATUS(DATA_LOSS, "cuDNN attention: an extent of %lld",
                           (long long)parameters[e]);
    }
    shape.extents[e] = parameters[e];
  }
  if (shape.extents[DNN_EXTENT_HEADS] % shape.extents[DNN_EXTENT_KEY_HEADS] != 0) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN attention: %lld heads share %lld",
                         (long long)shape.extents[DNN_EXTENT_HEADS],
                         (long long)shape.extents[DNN_EXTENT_KEY_HEADS]);
  }
  uint32_t count = dnn_attention_operand_count(p);
  const int64_t* next = parameters + DNN_ATTENTION_EXTENTS;
  for (uint32_t i = 0; i < count; ++i, next += DNN_OPERAND_PARAMETERS) {
    uint32_t kind = i + 1 == count ? DNN_ATTENTION_OPERANDS - 1 : i;
    TRIVET_RETURN_IF_ERROR(describe(p, kind, next, alignments[i], &shape));
  }
  shape.upper = p->has_upper ? *next : 0;
  // Below 0 a row sees no key.
  if (shape.upper < 0 || shape.upper >= LARGEST) {
    return TRIVET_STATUS(DATA_LOSS, "cuDNN attention: a bound of positions");
  }
  *out = shape;
  return TRIVET_OK;
}

void dnn_attention_key(const dnn_attention_t* p, const dnn_attention_shape_t* shape,
                       uint64_t out_key[2]) {
  dnn_attention_shape_t plain = *shape;
  memset(plain.offsets, 0, sizeof(plain.offsets));  // they are added to addresses
  tvi_hash128_t hash = tvi_hash128(&plain, sizeof(plain), p->has_mask * 2 + p->has_upper);
  out_key[0] = hash.low;
  out_key[1] = hash.high;
}
