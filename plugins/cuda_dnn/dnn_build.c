// SPDX-License-Identifier: Apache-2.0
//
// Build half. propose prices what cuDNN is known to compute, and asks its heuristic only where the
// form is unusual, since that takes long; emit packs constant weights channels last and builds the
// plan, for a device that is described: none has to be there.
#include "plugins/cuda_dnn/dnn_build.h"

#include <stdio.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/target/anchor_match.h"
#include "plugins/cuda_dnn/dnn_graph.h"
#include "plugins/cuda_dnn/dnn_offline.h"

#define PROPOSALS 4u

typedef struct asked_s {
  dnn_match_t match;
  trivet_operand_t operands[DNN_MAX_OPERANDS];
  const void* weights;  // constant bytes to pack; NULL: they are read as they lie
  dnn_tensor_t tensors[DNN_MAX_OPERANDS];
  const char* properties;  // of the device
  const char* reason;      // why not
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

static trivet_status_t ask(const trivet_region_t* region, tvi_arena_t* arena, asked_t* a) {
  a->properties = dnn_target_properties(region->target);
  if (!a->properties) {
    a->reason = "the properties of this architecture are not known";
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(dnn_match_region(region, arena, &a->match, &a->reason));
  if (a->reason) return TRIVET_OK;
  if (!concrete(region, a)) {
    a->reason = "an extent depends on data, or is 0";
    return TRIVET_OK;
  }
  TRIVET_RETURN_IF_ERROR(dnn_describe(&a->match.problem, a->operands, a->tensors));
  plan_packing(a);
  TRIVET_RETURN_IF_ERROR(dnn_describe(&a->match.problem, a->operands, a->tensors));
  a->reason = layout_reason(a);
  const dnn_problem_t* p = &a->match.problem;
  if (!a->reason && p->dtype == TRIVET_DTYPE_F32 && !p->allows_tf32 &&
      (!is_usual(a) || a->match.groups != 1 || !is_exact_form(p))) {
    a->reason = "in f32 only convolutions with nothing, or a bias and relu, behind them";
  }
  return TRIVET_OK;
}

// --- Proposal ---------------------------------------------------------------------------

// Whether cuDNN computes the problem; *out_reason says why not, in |text|.
static trivet_status_t check_offered(const asked_t* a, trivet_allocator_t allocator,
                                     char text[DNN_REASON_SIZE], const char** out_reason) {
  dnn_library_t library;
  trivet_status_t status = dnn_offline_open(allocator, &library);
  if (status) {
    *out_reason = dnn_offline_reason(status, text);
    return TRIVET_OK;
  }
  if (!is_usual(a)) {
    dnn_device_choice_t device = {a->properties, NULL};
    uint32_t count = 0;
    status = dnn_graph_candidates(&library, &a->match.problem, a->tensors, &device, &count);
    if (!status && count == 0) *out_reason = "cuDNN offers no way to compute it";
    if (status) *out_reason = dnn_offline_reason(status, text);
  }
  dnn_library_close(&library);
  return TRIVET_OK;
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

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal, tvi_arena_t* arena, asked_t* a) {
  char text[DNN_REASON_SIZE];
  TRIVET_RETURN_IF_ERROR(ask(region, arena, a));
  if (!a->reason) {
    TRIVET_RETURN_IF_ERROR(check_offered(a, region->graph->allocator, text, &a->reason));
  }
  if (a->reason) {
    proposal->decline(proposal->self, kernel, "%s", a->reason);
    return TRIVET_OK;
  }
  for (uint32_t i = 0; i < PROPOSALS; ++i) {
    tvi_tactic_t tactic;
    memset(&tactic, 0, sizeof(tactic));
    tactic.kernel = kernel;
    tactic.id = i;
    // The heuristic orders its proposals: a later one must win by time.
    tactic.price = price(a) * (1 + 0.02 * i);
    snprintf(tactic.name, sizeof(tactic.name), "cudnn %u", i);
    TRIVET_RETURN_IF_ERROR(proposal->add(proposal->self, &tactic));
  }
  return TRIVET_OK;
}

trivet_status_t dnn_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                            trivet_proposal_t* proposal) {
  asked_t asked;
  memset(&asked, 0, sizeof(asked));
  tvi_arena_t arena;
  tvi_arena_init(&arena, region->graph->allocator, 1 << 14);
  trivet_status_t status = propose(kernel, region, proposal, &arena, &asked);
  tvi_arena_deinit(&arena);
  return status;
}

// --- Emission ---------------------------------------------------------------------------

// Constants lie dense in the order of their dimensions; packed ones channels last.
static trivet_status_t pack(const trivet_region_t* region, const asked_t* a,
                            trivet_emission_t* emission) {
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

static trivet_status_t build_plan(void* self, const dnn_library_t* library,
                                  trivet_allocator_t allocator, char** out_text,
                                  uint64_t* out_size) {
  const asked_t* a = (const asked_t*)self;
  dnn_device_choice_t device = {a->properties, NULL};
  return dnn_graph_plan(library, &a->match.problem, a->tensors, &device, allocator, out_text,
                        out_size);
}

static trivet_status_t set_blob(const trivet_region_t* region, asked_t* a,
                                trivet_emission_t* emission) {
  dnn_problem_t* p = &a->match.problem;
  tvi_hash128_t problem = tvi_hash128(p, sizeof(*p), DNN_MAGIC);
  dnn_tensors_key(p, a->tensors, p->plan_key);
  const uint64_t parts[4] = {problem.low, problem.high, p->plan_key[0], p->plan_key[1]};
  dnn_offline_blob_t blob = {
      .self = a, .self_size = sizeof(*a), .build = build_plan, .head = p, .head_size = sizeof(*p)};
  blob.plan_size = &p->plan_size;
  blob.key = tvi_hash128(parts, sizeof(parts), strlen(a->properties));
  return dnn_offline_set_blob(region, &blob, emission);
}

trivet_status_t dnn_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                         uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel;
  asked_t a;
  memset(&a, 0, sizeof(a));
  TRIVET_RETURN_IF_ERROR(ask(region, emission->arena, &a));
  if (a.reason) return TRIVET_STATUS(INTERNAL, "cuDNN took this region before: %s", a.reason);
  a.match.problem.candidate = tactic < DNN_MAX_CANDIDATES ? (uint32_t)tactic : 0;
  for (uint32_t i = 0; i < a.match.problem.operand_count; ++i) {
    bool is_collecting = region->code_cache && region->code_cache->is_collecting;
    if (i == 1 && a.match.problem.is_packed) {
      if (!is_collecting) TRIVET_RETURN_IF_ERROR(pack(region, &a, emission));
    } else {
      TRIVET_RETURN_IF_ERROR(emission->add_operand(emission->self, a.match.region_operands[i]));
    }
  }
  TRIVET_RETURN_IF_ERROR(emission->require(emission->self, "plugin:cuda_dnn"));
  return set_blob(region, &a, emission);
}
