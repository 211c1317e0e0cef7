// SPDX-License-Identifier: Apache-2.0
//
// What the library is asked for convolutions, for the shapes to optimise for: nothing where it is
// known to compute the form, since the heuristic takes long. Constant weights are packed channels
// last.
#include <string.h>

#include "core/base/arena.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/target/anchor_match.h"
#include "plugins/cuda_dnn/dnn_graph.h"
#include "plugins/cuda_dnn/dnn_kind.h"
#include "plugins/cuda_dnn/dnn_match.h"

#define PROPOSALS 4u

typedef struct asked_s {
  dnn_match_t match;
  trivet_operand_t operands[DNN_MAX_OPERANDS];
  const void* weights;  // constant bytes to pack; NULL: they are read as they lie
  dnn_tensor_t tensors[DNN_MAX_OPERANDS];
} asked_t;

// Operands for the shapes to optimise for. False: an extent is not known.
static bool concrete(const trivet_region_t* region, asked_t* a) {
  for (uint32_t i = 0; i < a->match.problem.operand_count; ++i) {
    trivet_operand_t* operand = &a->operands[i];
    const tvi_region_operand_t* from = &region->operands[a->match.region_operands[i]];
    const tvi_value_t* value = tvi_graph_value(region->graph, from->value);
    memset(operand, 0, sizeof(*operand));
    operand->dtype = value->type.dtype;
    operand->rank = value->type.rank;
    if (i == 1 && value->constant) a->weights = value->constant->data;
    for (uint32_t d = 0; d < operand->rank; ++d) {
      trivet_status_t status = tvi_dim_evaluate(value->type.dims[d], region->symbols,
                                                region->symbol_count, &operand->dims[d]);
      if (!status) {
        status = tvi_dim_evaluate(from->strides[d], region->symbols, region->symbol_count,
                                  &operand->strides[d]);
      }
      if (status) {
        trivet_status_free(status);
        return false;
      }
      if (operand->dims[d] < 1) return false;
    }
  }
  return true;
}

// The order that cuDNN's fused engines want: channels next to each other.
static bool is_channels_last(const dnn_problem_t* p, const dnn_tensor_t* tensor) {
  bool plane = false;
  for (uint32_t d = 2; d < p->rank; ++d) plane = plane || tensor->dims[d] != 1;
  if (tensor->dims[1] != 1) return tensor->strides[1] == 1;
  return !plane || tensor->strides[p->rank - 1] == 1;
}

// Packed weights stand for the constant in the tensors. f32 runs in the plain order, too, and then
// constants lie as they have to.
static void plan_packing(asked_t* a) {
  dnn_problem_t* p = &a->match.problem;
  bool plain = p->dtype == TRIVET_DTYPE_F32 && !is_channels_last(p, &a->tensors[0]);
  if (!a->weights || plain) return;
  p->is_packed = 1;
  for (uint32_t d = 0; d < p->rank; ++d) {
    p->weight_dims[d] = p->w_dims[d] == DNN_NONE ? 1 : a->operands[1].dims[p->w_dims[d]];
  }
}

static const char* layout_reason(const asked_t* a) {
  const dnn_problem_t* p = &a->match.problem;
  uint32_t result = p->operand_count - 1;
  if (p->dtype == TRIVET_DTYPE_F32 && !is_channels_last(p, &a->tensors[0])) {
    // Engines without tensor cores read either order.
    return is_channels_last(p, &a->tensors[result]) ? "x and the result lie in other orders" : NULL;
  }
  if (!is_channels_last(p, &a->tensors[0]) || !is_channels_last(p, &a->tensors[result]) ||
      !is_channels_last(p, &a->tensors[1])) {
    return "channels do not lie next to each other";
  }
  for (uint32_t i = 2; i < result; ++i) {
    if (!is_channels_last(p, &a->tensors[i])) {
      return "an operand of the epilogue lies in another order";
    }
  }
  return NULL;
}

// Forms that have always been taken where they were tried; the heuristic takes up to a second for
// the others.
static bool is_usual(const asked_t* a) {
  const dnn_problem_t* p = &a->match.problem;
  int64_t channels = a->tensors[0].dims[1];
  if (p->rank != 4 || a->tensors[1].dims[0] % 8 != 0 || (!p->is_packed && !a->weights))
    return false;
  return channels % 8 == 0 || (a->match.groups == 1 && (channels == 3 || channels == 4));
}

// In f32 only what engines without tensor cores fuse: nothing, or a bias and relu.
static bool is_exact_form(const dnn_problem_t* p) {
  if (p->post_count == 0) return true;
  const dnn_post_t *bias = &p->posts[0], *relu = &p->posts[1];
  return p->post_count == 2 && bias->op == TVI_POST_ADD && bias->dims[0] == DNN_NONE &&
         bias->dims[1] != DNN_NONE && bias->dims[2] == DNN_NONE && bias->dims[3] == DNN_NONE &&
         relu->op == TVI_POST_RELU && relu->alpha == 0;
}

static double bytes_of(const dnn_problem_t* p, const dnn_tensor_t* tensor) {
  double bytes = tvi_dtype_bytes(tensor->dtype);
  for (uint32_t d = 0; d < p->rank; ++d) bytes *= (double)tensor->dims[d];
  return bytes;
}

// Nanoseconds on a large GPU by its limits: operations, bytes, one launch, and how many of its
// multiprocessors the tiles of the result occupy. Narrow types: fitted to an H100.
static double price(const asked_t* a) {
  const dnn_problem_t* p = &a->match.problem;
  const dnn_tensor_t *w = &a->tensors[1], *y = &a->tensors[p->operand_count - 1];
  double pixels = 1, depth = 1, bytes = 0;
  for (uint32_t d = 0; d < p->rank; ++d) {
    if (d != 1) pixels *= (double)y->dims[d];
    if (d != 0) depth *= (double)w->dims[d];
  }
  for (uint32_t i = 0; i < p->operand_count; ++i) bytes += bytes_of(p, &a->tensors[i]);
  double flops = 2 * pixels * (double)y->dims[1] * depth;
  bool narrow = p->dtype != TRIVET_DTYPE_F32 || p->allows_tf32;
  double rate = p->allows_tf32 ? 140e3 : narrow ? 280e3 : 40e3, bandwidth = narrow ? 2500 : 3000;
  int64_t tile_channels = (y->dims[1] + 127) / 128;
  double tiles = (pixels + 127) / 128 * (double)tile_channels;
  double split = depth / 256 + 1;
  double occupied = tiles * (split > 8 ? 8 : split) / 132;
  if (occupied < 1 && !narrow) rate *= occupied;
  // Images of three channels.
  if (narrow && a->match.groups == 1 && a->tensors[0].dims[1] % 8 != 0) rate /= 13;
  // Groups of few channels fill no tile.
  if (a->match.groups > 1) {
    int64_t group = y->dims[1] / a->match.groups;
    double channels = (double)group;
    rate *= channels >= 64 ? 0.5 : channels / 128;
    bandwidth = 1000;
  }
  // Sums are not split: a tile waits for all steps of its own, a quarter of a microsecond each.
  double latency = narrow && a->match.groups == 1 ? 7000 + depth / 64 * 240 : 0;
  double compute = flops / rate, memory = bytes / bandwidth;
  double busy = compute > memory ? compute : memory;
  return 2500 + (busy > latency ? busy : latency);
}

// Constants lie dense in the order of their dimensions; packed ones channels last.
static trivet_status_t pack(const void* self, const trivet_region_t* region,
                            trivet_emission_t* emission) {
  const asked_t* a = (const asked_t*)self;
  const dnn_problem_t* p = &a->match.problem;
  const trivet_operand_t* source = &a->operands[1];
  const dnn_tensor_t* target = &a->tensors[1];
  int64_t strides[DNN_MAX_RANK] = {0}, plain[TRIVET_MAX_RANK], count = 1;
  for (uint32_t d = source->rank; d-- > 0;) {
    plain[d] = count;
    count *= source->dims[d];
  }
  for (uint32_t d = 0; d < p->rank; ++d) {
    if (p->w_dims[d] != DNN_NONE) strides[d] = plain[p->w_dims[d]];
  }
  uint32_t size = tvi_dtype_bytes(p->dtype);
  const tvi_value_t* value =
      tvi_graph_value(region->graph, region->operands[a->match.region_operands[1]].value);
  int64_t packed_count = 1;
  for (uint32_t d = 0; d < p->rank; ++d) packed_count *= p->weight_dims[d];
  if (packed_count != count || value->constant->size != (uint64_t)count * size) {
    return TRIVET_STATUS(INTERNAL, "cuDNN: weights of %llu bytes",
                         (unsigned long long)value->constant->size);
  }
  uint8_t* data = NULL;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_array_zeroed(emission->arena, (size_t)count, size, &data));
  int64_t at[DNN_MAX_RANK] = {0};
  for (int64_t i = 0; i < count; ++i) {
    int64_t from = 0, to = 0;
    for (uint32_t d = 0; d < p->rank; ++d) {
      from += at[d] * strides[d];
      to += at[d] * target->strides[d];
    }
    memcpy(data + to * size, (const uint8_t*)a->weights + from * size, size);
    for (uint32_t d = p->rank; d-- > 0 && ++at[d] == target->dims[d];) at[d] = 0;
  }
  tvi_packed_constant_t packed;
  memset(&packed, 0, sizeof(packed));
  packed.name = value->constant->name;
  packed.data = data;
  packed.size = (uint64_t)count * size;
  packed.dtype = p->dtype;
  packed.rank = 1;
  packed.dims[0] = count;
  return emission->add_packed(emission->self, &packed);
}

trivet_status_t dnn_convolution_ask(const trivet_region_t* region, tvi_arena_t* arena,
                                    uint32_t candidate, dnn_asked_t* out) {
  asked_t* a;
  TRIVET_RETURN_IF_ERROR(tvi_arena_alloc_zeroed(arena, sizeof(*a), &a));
  dnn_problem_t* p = &a->match.problem;
  TRIVET_RETURN_IF_ERROR(dnn_match_region(region, arena, &a->match, &out->reason));
  if (out->reason) return TRIVET_OK;
  if (!concrete(region, a)) {
    out->reason = "an extent depends on data, or is 0";
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(dnn_describe(p, a->operands, a->tensors));
  plan_packing(a);
  TRIVET_RETURN_IF_ERROR(dnn_describe(p, a->operands, a->tensors));
  out->reason = layout_reason(a);
  if (!out->reason && p->dtype == TRIVET_DTYPE_F32 && !p->allows_tf32 &&
      (!is_usual(a) || a->match.groups != 1 || !is_exact_form(p))) {
    out->reason = "in f32 only convolutions with nothing, or a bias and relu, behind them";
  }
  if (out->reason) return TRIVET_OK;
  p->candidate = candidate;
  out->graph = dnn_convolution_graph(p, a->tensors);
  out->price = price(a);
  out->question = is_usual(a) ? DNN_ASK_NOTHING : DNN_ASK_WHETHER;
  out->most = PROPOSALS;
  out->operand_count = p->operand_count;
  out->operands = a->match.region_operands;
  out->pack = p->is_packed ? pack : NULL;
  out->self = a;
  return TRIVET_OK;
}
