// SPDX-License-Identifier: Apache-2.0
//
// A plugin for tests of the runtime: small strided kernels and operators with host functions. A
// stranger: it includes plugin.h only. What each does is said beside it; nothing else may load it.
#include <string.h>

#include "trivet/plugin.h"

#define BARE(code) TRIVET_STATUS_BARE(TRIVET_STATUS_##code)

// --- test.linear: y = factor * x + parameter, or factor * x + b with three operands --------------
// blob: one float. Operands f32 of equal dims, any strides; the factor 0 of a bad blob is refused.
// Parameter: optional integer; a negative one fails prepare. Workspace: 256 bytes, written by run.

typedef struct linear_s {
  float factor;
} linear_t;

typedef struct linear_prepared_s {
  float factor;
  int64_t added;
  uint64_t operand_count;
  trivet_operand_t operands[3];
} linear_prepared_t;

static trivet_status_t linear_load(const trivet_kernel_t* kernel, const trivet_kernel_load_t* load,
                                   void** out_loaded) {
  (void)kernel;
  linear_t linear;
  if (load->blob_size != sizeof(float)) return BARE(DATA_LOSS);
  memcpy(&linear.factor, load->blob, sizeof(float));
  if (linear.factor == 0) return BARE(DATA_LOSS);
  linear_t* made = load->allocator->allocate(load->allocator->self, sizeof(*made), 16);
  if (!made) return BARE(OUT_OF_MEMORY);
  *made = linear;
  *out_loaded = made;
  return 0;
}

static void linear_unload(const trivet_kernel_t* kernel, void* loaded,
                          const trivet_allocator_t* allocator) {
  (void)kernel;
  allocator->deallocate(allocator->self, loaded, sizeof(linear_t), 16);
}

static trivet_status_t linear_prepare(const trivet_kernel_t* kernel, void* loaded,
                                      const trivet_kernel_prepare_t* prepare,
                                      uint64_t* out_workspace_size, void** out_prepared) {
  (void)kernel;
  int64_t added = prepare->parameter_count != 0 ? prepare->parameters[0] : 0;
  if (added < 0 || prepare->operand_count < 2 || prepare->operand_count > 3) {
    return BARE(INVALID_ARGUMENT);
  }
  linear_prepared_t* made =
      prepare->allocator->allocate(prepare->allocator->self, sizeof(*made), 16);
  if (!made) return BARE(OUT_OF_MEMORY);
  memset(made, 0, sizeof(*made));
  made->factor = ((const linear_t*)loaded)->factor;
  made->added = added;
  made->operand_count = prepare->operand_count;
  memcpy(made->operands, prepare->operands, prepare->operand_count * sizeof(made->operands[0]));
  *out_workspace_size = 256;
  *out_prepared = made;
  return 0;
}

static void linear_release(const trivet_kernel_t* kernel, void* prepared,
                           const trivet_allocator_t* allocator) {
  (void)kernel;
  allocator->deallocate(allocator->self, prepared, sizeof(linear_prepared_t), 16);
}

typedef struct linear_task_s {
  const linear_prepared_t* prepared;
  void* const* addresses;
} linear_task_t;

static void linear_task(void* argument, uint32_t index, uint32_t count) {
  const linear_task_t* task = argument;
  const linear_prepared_t* p = task->prepared;
  const trivet_operand_t* y = &p->operands[p->operand_count - 1];
  int64_t total = 1;
  for (uint32_t d = 0; d < y->rank; ++d) total *= y->dims[d];
  for (int64_t i = total * index / count; i < total * (index + 1) / count; ++i) {
    int64_t at[3] = {0, 0, 0};
    int64_t rest = i;
    for (uint32_t d = y->rank; d-- > 0;) {
      for (uint64_t k = 0; k < p->operand_count; ++k) {
        at[k] += rest % y->dims[d] * p->operands[k].strides[d];
      }
      rest /= y->dims[d];
    }
    float value = p->factor * ((const float*)task->addresses[0])[at[0]] + (float)p->added;
    if (p->operand_count == 3) value += ((const float*)task->addresses[1])[at[1]];
    ((float*)task->addresses[p->operand_count - 1])[at[p->operand_count - 1]] = value;
  }
}

static trivet_status_t linear_run(const trivet_kernel_t* kernel, void* prepared,
                                  const trivet_kernel_launch_t* launch) {
  (void)kernel;
  linear_task_t task = {prepared, launch->addresses};
  memset(launch->workspace, 0x5A, 256);
  if (launch->executor) {
    uint32_t threads = launch->executor->api->thread_count(launch->executor);
    launch->executor->api->parallel(launch->executor, threads, linear_task, &task);
  } else {
    linear_task(&task, 0, 1);
  }
  return 0;
}

#define LINEAR(variable, kernel_name, kernel_version)               \
  static const trivet_kernel_t variable = {                         \
      .header = {sizeof(trivet_kernel_t), TRIVET_STRUCT_KERNEL, 0}, \
      .name = kernel_name,                                          \
      .target = "cpu",                                              \
      .summary = "factor * x + b",                                  \
      .version = kernel_version,                                    \
      .halves = TRIVET_HALF_RUN,                                    \
      .load = linear_load,                                          \
      .unload = linear_unload,                                      \
      .prepare = linear_prepare,                                    \
      .release = linear_release,                                    \
      .run = linear_run,                                            \
  }
LINEAR(linear_kernel, "test.linear", 1);
LINEAR(other_kernel, "test.other", 3);

static const trivet_kernel_t foreign_kernel = {
    .header = {sizeof(trivet_kernel_t), TRIVET_STRUCT_KERNEL, 0},
    .name = "test.foreign",
    .target = "moon",
    .summary = "of another target",
    .version = 1,
    .halves = TRIVET_HALF_RUN,
    .load = linear_load,
    .unload = linear_unload,
    .prepare = linear_prepare,
    .release = linear_release,
    .run = linear_run,
};

// --- test.Scale: y = x * factor (attribute, f32; default 2 is encoded by whoever builds) ---------

static trivet_status_t scale(const trivet_operator_t* op, trivet_evaluation_t* e) {
  (void)op;
  const trivet_tensor_t* x = e->api->input(e, 0);
  const trivet_attribute_t* factor = e->api->attribute(e, "factor");
  if (!factor) return e->api->error(e, TRIVET_STATUS_INVALID_ARGUMENT, "no factor for %u", 7u);
  trivet_tensor_t* y;
  float* copy;
  void* memory;
  trivet_status_t status = e->api->output(e, 0, x->dtype, x->rank, x->dims, &y);
  if (!status) status = e->api->scratch(e, x->size, &memory);
  if (status) return status;
  copy = memory;
  memcpy(copy, x->data, x->size);
  for (uint64_t i = 0; i < x->size / sizeof(float); ++i) {
    ((float*)y->data)[i] = copy[i] * (float)((const double*)factor->data)[0];
  }
  return 0;
}

// --- test.Positive: the elements above 0, and how many there are when asked ----------------------

static trivet_status_t positive(const trivet_operator_t* op, trivet_evaluation_t* e) {
  (void)op;
  const trivet_tensor_t* x = e->api->input(e, 0);
  const float* values = x->data;
  int64_t count = 0;
  for (int64_t i = 0; i < x->dims[0]; ++i) count += values[i] > 0;
  trivet_tensor_t* y;
  trivet_status_t status = e->api->output(e, 0, TRIVET_DTYPE_F32, 1, &count, &y);
  if (status) return status;
  int64_t at = 0;
  for (int64_t i = 0; i < x->dims[0]; ++i) {
    if (values[i] > 0) ((float*)y->data)[at++] = values[i];
  }
  trivet_tensor_t* total;
  status = e->api->output(e, 1, TRIVET_DTYPE_I64, 0, 0, &total);
  if (status) return status;
  if (total) *(int64_t*)total->data = count;
  return 0;
}

// --- test.Broken: does what attribute "fault" says
// -------------------------------------------------

static trivet_status_t broken(const trivet_operator_t* op, trivet_evaluation_t* e) {
  (void)op;
  const trivet_tensor_t* x = e->api->input(e, 0);
  const trivet_attribute_t* fault = e->api->attribute(e, "fault");
  trivet_tensor_t* y;
  int64_t dims[1] = {x->dims[0]};
  switch (((const int64_t*)fault->data)[0]) {
    case 0:  // makes no output
      return 0;
    case 1:  // another extent
      dims[0] += 1;
      return e->api->output(e, 0, TRIVET_DTYPE_F32, 1, dims, &y);
    case 2:  // another type
      return e->api->output(e, 0, TRIVET_DTYPE_I64, 1, dims, &y);
    case 3:  // negative
      dims[0] = -5;
      return e->api->output(e, 0, TRIVET_DTYPE_F32, 1, dims, &y);
    default:
      return e->api->error(e, TRIVET_STATUS_UNAVAILABLE, "says so");
  }
}

TRIVET_OPERATOR_WITH(scale_operator, "test.Scale", 1, 0, "x * factor",
                     "op test.Scale/1 (x: T[D...]) -> (y: T[D...])\nattr factor: f32 = 2", 0, 0,
                     scale);
TRIVET_OPERATOR_WITH(positive_operator, "test.Positive", 1, 0, "elements above 0",
                     "op test.Positive/1 (x: f32[N]) -> (y: f32[M], count: i64[])", 0, 0, positive);
TRIVET_OPERATOR_WITH(broken_operator, "test.Broken", 1, 0, "does not what it should",
                     "op test.Broken/1 (x: f32[N]) -> (y: f32[N])\nattr fault: i64 = 0", 0, 0,
                     broken);
TRIVET_OPERATOR(text_operator, "test.TextOnly", 1, "nothing to run",
                "op test.TextOnly/1 (x: T[D...]) -> (y: T[D...])\ny[i...] = x[i...]");

TRIVET_PLUGIN_HALVES("test_kernels", "1.0", "what tests of the runtime run",
                     TRIVET_HALF_BUILD | TRIVET_HALF_RUN, &linear_kernel, &other_kernel,
                     &foreign_kernel, &scale_operator, &positive_operator, &broken_operator,
                     &text_operator)
