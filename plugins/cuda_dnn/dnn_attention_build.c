// SPDX-License-Identifier: Apache-2.0
//
// Build half of attention. propose asks the heuristic, which takes milliseconds here; emit builds
// the plan for the shapes to optimise for, for a device that is described.
#include "plugins/cuda_dnn/dnn_attention_build.h"

#include <stdio.h>
#include <string.h>

#include "core/base/allocator.h"
#include "core/base/dtype.h"
#include "core/base/status.h"
#include "core/target/attention_match.h"
#include "plugins/cuda_dnn/dnn_attention_graph.h"
#include "plugins/cuda_dnn/dnn_graph.h"
#include "plugins/cuda_dnn/dnn_offline.h"

typedef struct asked_s {
  dnn_attention_t problem;
  dnn_attention_shape_t shape;                // to optimise for
  uint32_t operands[DNN_ATTENTION_OPERANDS];  // of the region, for each of the step's
  uint32_t parameter_count;
  trivet_dim_t parameters[DNN_ATTENTION_MAX_PARAMETERS];
  const char* properties;  // of the device
  const char* reason;      // why not
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

static trivet_status_t ask(const trivet_region_t* region, tvi_arena_t* arena, asked_t* a) {
  a->properties = dnn_target_properties(region->target);
  if (!a->properties) {
    a->reason = "the properties of this architecture are not known";
    return TRIVET_OK;
  }
  tvi_attention_t match;
  TRIVET_RETURN_IF_ERROR(tvi_attention_match(region, arena, &match, &a->reason));
  if (!a->reason) a->reason = problem_reason(&match);
  if (a->reason) return TRIVET_OK;
  TRIVET_RETURN_IF_ERROR(read_match(region, &match, a));
  int64_t numbers[DNN_ATTENTION_MAX_PARAMETERS];
  for (uint32_t i = 0; i < a->parameter_count; ++i) {
    trivet_status_t status =
        tvi_dim_evaluate(a->parameters[i], region->symbols, region->symbol_count, &numbers[i]);
    if (!status) continue;
    trivet_status_free(status);
    a->reason = "an extent depends on data";
    return TRIVET_OK;
  }
  static const uint64_t kAlignments[DNN_ATTENTION_OPERANDS];
  trivet_status_t status = dnn_attention_describe(&a->problem, numbers, kAlignments, &a->shape);
  if (status) {
    trivet_status_free(status);
    a->reason = "an extent of 0, or strides that cuDNN does not take";
    return TRIVET_OK;
  }
  a->reason = shape_reason(a);
  return TRIVET_OK;
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

static trivet_status_t propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                               trivet_proposal_t* proposal, tvi_arena_t* arena, asked_t* a) {
  char text[DNN_REASON_SIZE];
  uint32_t count = 0;
  TRIVET_RETURN_IF_ERROR(ask(region, arena, a));
  if (!a->reason) {
    dnn_library_t library;
    trivet_status_t status = dnn_offline_open(region->graph->allocator, &library);
    if (!status) {
      dnn_device_choice_t device = {a->properties, NULL};
      status = dnn_attention_candidates(&library, &a->problem, &a->shape, &device, &count);
      dnn_library_close(&library);
    }
    if (status) a->reason = dnn_offline_reason(status, text);
  }
  if (!a->reason && !count) a->reason = "cuDNN offers no way to compute it";
  if (a->reason) {
    proposal->decline(proposal->self, kernel, "%s", a->reason);
    return TRIVET_OK;
  }
  for (uint32_t i = 0; i < count; ++i) {
    tvi_tactic_t tactic;
    memset(&tactic, 0, sizeof(tactic));
    tactic.kernel = kernel;
    tactic.id = i;
    // The heuristic orders its proposals: a later one must win by time.
    tactic.price = price(a) * (1 + 0.02 * i);
    snprintf(tactic.name, sizeof(tactic.name), "cudnn attention %u", i);
    TRIVET_RETURN_IF_ERROR(proposal->add(proposal->self, &tactic));
  }
  return TRIVET_OK;
}

trivet_status_t dnn_attention_propose(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                      trivet_proposal_t* proposal) {
  asked_t asked;
  memset(&asked, 0, sizeof(asked));
  tvi_arena_t arena;
  tvi_arena_init(&arena, region->graph->allocator, 1 << 14);
  trivet_status_t status = propose(kernel, region, proposal, &arena, &asked);
  tvi_arena_deinit(&arena);
  return status;
}

static trivet_status_t build_plan(void* self, const dnn_library_t* library,
                                  trivet_allocator_t allocator, char** out_text,
                                  uint64_t* out_size) {
  const asked_t* a = (const asked_t*)self;
  dnn_device_choice_t device = {a->properties, NULL};
  return dnn_attention_plan(library, &a->problem, &a->shape, &device, allocator, out_text,
                            out_size);
}

static trivet_status_t set_blob(const trivet_region_t* region, asked_t* a,
                                trivet_emission_t* emission) {
  dnn_attention_t* p = &a->problem;
  tvi_hash128_t problem = tvi_hash128(p, sizeof(*p), DNN_ATTENTION_MAGIC);
  dnn_attention_key(p, &a->shape, p->plan_key);
  const uint64_t parts[4] = {problem.low, problem.high, p->plan_key[0], p->plan_key[1]};
  dnn_offline_blob_t blob = {
      .self = a, .self_size = sizeof(*a), .build = build_plan, .head = p, .head_size = sizeof(*p)};
  blob.plan_size = &p->plan_size;
  blob.key = tvi_hash128(parts, sizeof(parts), strlen(a->properties));
  return dnn_offline_set_blob(region, &blob, emission);
}

trivet_status_t dnn_attention_emit(const trivet_kernel_t* kernel, const trivet_region_t* region,
                                   uint64_t tactic, trivet_emission_t* emission) {
  (void)kernel;
  asked_t a;
  memset(&a, 0, sizeof(a));
  TRIVET_RETURN_IF_ERROR(ask(region, emission->arena, &a));
  if (a.reason) return TRIVET_STATUS(INTERNAL, "cuDNN took this region before: %s", a.reason);
  a.problem.candidate = tactic < DNN_MAX_CANDIDATES ? (uint32_t)tactic : 0;
  uint32_t count = dnn_attention_operand_count(&a.problem);
  for (uint32_t i = 0; i < count; ++i) {
    TRIVET_RETURN_IF_ERROR(emission->add_operand(emission->self, a.operands[i]));
  }
  for (uint32_t i = 0; i < a.parameter_count; ++i) {
    TRIVET_RETURN_IF_ERROR(emission->add_parameter(emission->self, a.parameters[i]));
  }
  TRIVET_RETURN_IF_ERROR(emission->require(emission->self, "plugin:cuda_dnn"));
  return set_blob(region, &a, emission);
}
