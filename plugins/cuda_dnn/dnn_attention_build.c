// SPDX-License-Identifier: Apache-2.0
//
// What the library is asked for attention, for the shapes to optimise for. It answers in
// milliseconds, so it is asked for every one.
#include "core/base/arena.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/target/attention_match.h"
#include "plugins/cuda_dnn/dnn_attention_graph.h"
#include "plugins/cuda_dnn/dnn_kind.h"

typedef struct asked_s {
  dnn_attention_t problem;
  dnn_attention_shape_t shape;                // to optimise for
  uint32_t operands[DNN_ATTENTION_OPERANDS];  // of the region, for each of the step's
  uint32_t parameter_count;
  trivet_dim_t parameters[DNN_ATTENTION_MAX_PARAMETERS];
} asked_t;

static const char* problem_reason(const tvi_attention_t* m) {
  bool narrow = m->q.dtype == TRIVET_DTYPE_F16 || m->q.dtype == TRIVET_DTYPE_BF16;
  if (!narrow || m->k.dtype != m->q.dtype || m->v.dtype != m->q.dtype ||
      m->result.dtype != m->q.dtype) {
    return "types other than f16 and bf16, or different ones";
  }
  if (m->past || m->present_k.operand != TVI_KIR_NONE || m->present_v.operand != TVI_KIR_NONE) {
    return "keys and values that are put together first";
  }
  if (m->softcap != 0) return "a cap of scores";
  if (m->lower || m->bounds_add_length || m->lengths.operand != TVI_KIR_NONE || m->mask_length) {
    return "keys hidden by a lower bound or by lengths";
  }
  if (m->mask.operand != TVI_KIR_NONE && m->mask.dtype != m->q.dtype &&
      m->mask.dtype != TRIVET_DTYPE_F32) {
    return "a mask that is not added";
  }
  return NULL;
}

static trivet_status_t add_operand(const trivet_region_t* region, asked_t* a,
                                   const tvi_attention_operand_t* operand, bool is_key,
                                   const uint8_t roles[2]) {
  trivet_dim_t strides[TVI_ATTENTION_ROLES], offset = NULL;
  if (!tvi_attention_strides(region, operand, strides, &offset)) {
    return TRIVET_STATUS(OUT_OF_RANGE, "cuDNN attention: strides overflow");
  }
  trivet_dim_t* next = &a->parameters[a->parameter_count];
  next[0] = offset;
  next[1] = strides[TVI_ATTENTION_B];
  next[2] = strides[is_key ? TVI_ATTENTION_G : TVI_ATTENTION_H];
  next[3] = strides[roles[0]];
  next[4] = strides[roles[1]];
  a->parameter_count += DNN_OPERAND_PARAMETERS;
  return TRIVET_OK;
}

// Problem, operands and parameters of the step.
static trivet_status_t read_match(const trivet_region_t* region, const tvi_attention_t* m,
                                  asked_t* a) {
  static const uint8_t kRoles[DNN_ATTENTION_OPERANDS][2] = {{TVI_ATTENTION_I, TVI_ATTENTION_D},
                                                            {TVI_ATTENTION_J, TVI_ATTENTION_D},
                                                            {TVI_ATTENTION_J, TVI_ATTENTION_E},
                                                            {TVI_ATTENTION_I, TVI_ATTENTION_J},
                                                            {TVI_ATTENTION_I, TVI_ATTENTION_E}};
  const tvi_attention_operand_t* operands[DNN_ATTENTION_OPERANDS] = {&m->q, &m->k, &m->v, &m->mask,
                                                                     &m->result};
  static const uint8_t kExtents[DNN_ATTENTION_EXTENTS] = {
      TVI_ATTENTION_B, TVI_ATTENTION_H, TVI_ATTENTION_G, TVI_ATTENTION_I,
      TVI_ATTENTION_J, TVI_ATTENTION_D, TVI_ATTENTION_E};
  dnn_attention_t* p = &a->problem;
  p->magic = DNN_ATTENTION_MAGIC;
  p->version = DNN_ATTENTION_VERSION;
  p->dtype = m->q.dtype;
  p->has_mask = m->mask.operand != TVI_KIR_NONE;
  p->mask_dtype = p->has_mask ? m->mask.dtype : 0;
  p->has_upper = m->upper != NULL;
  p->scale = m->scale;
  for (uint32_t e = 0; e < DNN_ATTENTION_EXTENTS; ++e) {
    a->parameters[a->parameter_count++] = m->extents[kExtents[e]];
  }
  uint32_t count = 0;
  for (uint32_t i = 0; i < DNN_ATTENTION_OPERANDS; ++i) {
    if (i == DNN_MASK && !p->has_mask) continue;
    a->operands[count++] = operands[i]->operand;
    TRIVET_RETURN_IF_ERROR(
        add_operand(region, a, operands[i], i == DNN_K || i == DNN_V, kRoles[i]));
  }
  tvi_dim_context_t* dims = region->graph->dims;
  a->parameters[a->parameter_count++] = m->upper ? m->upper : tvi_dim_constant(dims, 0);
  return TRIVET_OK;
}

// Which engines there are for: heads of up to 256 components that lie together and come in eights.
static const char* shape_reason(const asked_t* a) {
  for (uint32_t i = 0; i < DNN_ATTENTION_OPERANDS; ++i) {
    const dnn_tensor_t* tensor = &a->shape.tensors[i];
    if (i == DNN_MASK) continue;
    uint32_t inner = i == DNN_K ? 2 : 3;
    if (tensor->strides[inner] != 1) return "components do not lie next to each other";
    if (tensor->alignment < 16) return "an operand begins at no multiple of 16 bytes";
    for (uint32_t d = 0; d < 4; ++d) {
      if (d != inner && tensor->strides[d] % 8 != 0)
        return "rows are no multiple of 16 bytes apart";
    }
  }
  const int64_t* extents = a->shape.extents;
  if (extents[DNN_EXTENT_SIZE] % 8 != 0 || extents[DNN_EXTENT_VALUE_SIZE] % 8 != 0 ||
      extents[DNN_EXTENT_SIZE] > 256 || extents[DNN_EXTENT_VALUE_SIZE] > 256) {
    return "heads whose size is no multiple of 8 up to 256";
  }
  return NULL;
}

// Nanoseconds on a large GPU: products, exponentials, bytes, and how many of its multiprocessors
// the tiles of queries occupy.
static double price(const asked_t* a) {
  const int64_t* e = a->shape.extents;
  double rows = (double)e[DNN_EXTENT_BATCH] * (double)e[DNN_EXTENT_HEADS];
  double scores = rows * (double)e[DNN_EXTENT_QUERIES] * (double)e[DNN_EXTENT_KEYS];
  if (a->problem.has_upper) scores *= 0.6;
  double flops = 2 * scores * (double)(e[DNN_EXTENT_SIZE] + e[DNN_EXTENT_VALUE_SIZE]);
  double compute = flops / 400e3 + scores / 2500;
  int64_t tiles = (e[DNN_EXTENT_QUERIES] + 127) / 128;
  double occupied = rows * (double)tiles / 132;
  if (occupied < 1) compute /= occupied;
  double moved = rows * 2 * (double)(e[DNN_EXTENT_QUERIES] + e[DNN_EXTENT_KEYS]) *
                 (double)(e[DNN_EXTENT_SIZE] + e[DNN_EXTENT_VALUE_SIZE]);
  double memory = moved / 2500;
  return 3000 + (compute > memory ? compute : memory);
}

trivet_status_t dnn_attention_ask(const trivet_region_t* region, tvi_arena_t* arena,
                                  uint32_t candidate, dnn_asked_t* out) {
  asked_t* a;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(arena, sizeof(*a), &a));
  tvi_attention_t match;
  TRIVET_RETURN_IF_ERROR(tvi_attention_match(region, arena, &match, &out->reason));
  if (!out->reason) out->reason = problem_reason(&match);
  if (out->reason) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(read_match(region, &match, a));
  a->problem.candidate = candidate;
  int64_t numbers[DNN_ATTENTION_MAX_PARAMETERS];
  if (!dnn_offline_evaluate(region, a->parameters, a->parameter_count, numbers)) {
    out->reason = "an extent depends on data";
    return TRIVET_OK;
  }
  static const uint64_t kAlignments[DNN_ATTENTION_OPERANDS];
  trivet_status_t status = dnn_attention_describe(&a->problem, numbers, kAlignments, &a->shape);
  if (status) {
    trivet_status_free(status);
    out->reason = "an extent of 0, or strides that cuDNN does not take";
    return TRIVET_OK;
  }
  out->reason = shape_reason(a);
  if (out->reason) return TRIVET_OK;
  out->graph = dnn_attention_graph(&a->problem, &a->shape);
  out->price = price(a);
  out->question = DNN_ASK_HOW_MANY;
  out->most = DNN_MAX_CANDIDATES;
  out->operand_count = dnn_attention_operand_count(&a->problem);
  out->operands = a->operands;
  out->parameter_count = a->parameter_count;
  out->parameters = a->parameters;
  return TRIVET_OK;
}
