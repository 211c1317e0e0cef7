// SPDX-License-Identifier: Apache-2.0
//
// The time of one prepared step, on the device or by the host's clock, and the key under which it
// is kept.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "core/base/string_builder.h"
#include "runtime/tune/tune.h"

#define MIN_RUNS 5
#define MAX_RUNS 50
#define BUDGET_NS 30000000

static int compare_times(const void* a, const void* b) {
  int64_t x = *(const int64_t*)a, y = *(const int64_t*)b;
  return (x > y) - (x < y);
}

static trivet_status_t time_on_host(tvi_tune_t* tune, const trivet_kernel_t* kernel, void* prepared,
                                    void* const* addresses, double* out_nanoseconds) {
  const trivet_context_t* context = tune->context;
  trivet_kernel_launch_t launch = {
      .addresses = addresses, .workspace = context->workspace.base, .executor = context->executor};
  int64_t times[MAX_RUNS];
  int count = 0;
  TRIVET_RETURN_IF_ERROR(kernel->run(kernel, prepared, &launch));
  int most = tune->is_once ? 1 : MAX_RUNS;
  for (int64_t spent = 0; count < most && (count < MIN_RUNS || spent < BUDGET_NS); ++count) {
    int64_t start = tvi_clock_now_ns();
    TRIVET_RETURN_IF_ERROR(kernel->run(kernel, prepared, &launch));
    times[count] = tvi_clock_now_ns() - start;
    spent += times[count];
  }
  qsort(times, (size_t)count, sizeof(times[0]), compare_times);
  // Other processes only ever add time: the faster runs say more than the median.
  int64_t quartile = times[count / 4];
  *out_nanoseconds = (double)quartile;
  return TRIVET_OK;
}

trivet_status_t tvi_tune_time(tvi_tune_t* tune, uint32_t index, double* out_nanoseconds) {
  trivet_context_t* context = tune->context;
  const tvi_context_step_t* step = &context->steps[index];
  const trivet_kernel_t* kernel = step->alternative->kernel;
  void* const* addresses = context->operand_addresses + context->engine->steps[index].first_operand;
  if (tune->measure == NULL) {
    return time_on_host(tune, kernel, step->prepared, addresses, out_nanoseconds);
  }
  TRIVET_RETURN_IF_ERROR(tvi_context_finish(context));
  return tvi_measure_device_run(tune->measure, kernel, step->prepared, addresses,
                                tvi_context_workspace_share(context), 0, out_nanoseconds);
}

void tvi_tune_kernel_key(const tvi_plan_alternative_t* alternative, char* buffer, size_t size) {
  snprintf(buffer, size, "%.*s/%u", (int)alternative->kernel.size, alternative->kernel.data,
           alternative->kernel_version);
}

static trivet_status_t append_tensor(const tvi_tune_t* tune, uint32_t index,
                                     tvi_string_builder_t* text) {
  const tvi_plan_tensor_t* tensor = &tune->engine->program->tensors[index];
  tvi_string_builder_appendf(text, " t%u", tensor->dtype);
  for (uint32_t d = 0; d < tensor->rank; ++d) {
    int64_t dim = 0, stride = 0;
    TRIVET_RETURN_IF_ERROR(tvi_context_value(tune->context, tensor->dims[d], &dim));
    TRIVET_RETURN_IF_ERROR(tvi_context_value(tune->context, tensor->strides[d], &stride));
    tvi_string_builder_appendf(text, " %" PRId64 ":%" PRId64, dim, stride);
  }
  return TRIVET_OK;
}

static trivet_status_t append_alternative(const tvi_tune_t* tune,
                                          const tvi_plan_alternative_t* alternative,
                                          tvi_string_builder_t* text) {
  char key[160];
  tvi_tune_kernel_key(alternative, key, sizeof(key));
  tvi_hash128_t blob = tvi_hash128(alternative->blob, alternative->blob_size, 0);
  tvi_string_builder_appendf(text, "\n%s %016" PRIx64 "%016" PRIx64, key, blob.low, blob.high);
  for (uint32_t k = 0; k < alternative->operand_count; ++k) {
    if (alternative->operands[k] == TVI_PLAN_NONE) {
      tvi_string_builder_append_cstr(text, " -");
    } else {
      TRIVET_RETURN_IF_ERROR(append_tensor(tune, alternative->operands[k], text));
    }
  }
  for (uint32_t p = 0; p < alternative->parameter_count; ++p) {
    int64_t value = 0;
    TRIVET_RETURN_IF_ERROR(tvi_context_value(tune->context, alternative->parameters[p], &value));
    tvi_string_builder_appendf(text, " p%" PRId64, value);
  }
  return TRIVET_OK;
}

trivet_status_t tvi_tune_signature(const tvi_tune_t* tune, uint32_t index,
                                   uint64_t out_signature[2]) {
  const tvi_plan_step_t* step = tune->engine->steps[index].plan;
  tvi_string_builder_t text;
  tvi_string_builder_init(&text, tune->engine->allocator);
  tvi_string_builder_append_cstr(&text, "trivet tune 1");
  trivet_status_t status = TRIVET_OK;
  for (uint32_t a = 0; a < step->alternative_count && status == NULL; ++a) {
    status = append_alternative(tune, &step->alternatives[a], &text);
  }
  if (status == NULL) status = tvi_string_builder_status(&text);
  if (status == NULL) {
    trivet_string_view_t view = tvi_string_builder_view(&text);
    tvi_hash128_t hash = tvi_hash128(view.data, view.size, 0);
    out_signature[0] = hash.low;
    out_signature[1] = hash.high;
  }
  tvi_string_builder_deinit(&text);
  return status;
}
