// SPDX-License-Identifier: Apache-2.0
//
// run_plan PLAN [PLUGIN_FOLDER]: runs any plan on inputs of ones. It links libtrivet_runtime.so and
// nothing else of Trivet: no compiler, no model, no weights beside the plan.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trivet/runtime.h"

#define MOST_TENSORS 16u

static void check(trivet_status_t status) {
  if (!status) return;
  fprintf(stderr, "run_plan: %s\n", trivet_status_message(status));
  exit(1);
}

static trivet_tensor_info_t tensor_info(const trivet_engine_t* engine, uint32_t index) {
  trivet_tensor_info_t info = {.header = {sizeof(info), TRIVET_STRUCT_TENSOR_INFO, NULL}};
  check(trivet_engine_tensor_info(engine, index, &info));
  return info;
}

// Inputs get the shape that the plan was optimised for.
static void set_shapes(const trivet_engine_t* engine, trivet_context_t* context, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    trivet_tensor_info_t info = tensor_info(engine, i);
    uint32_t rank;
    int64_t dims[TRIVET_DIMS_MAX];
    if (info.mode != TRIVET_TENSOR_INPUT) continue;
    check(trivet_engine_profile_shape(engine, 0, info.name, 1, &rank, dims));
    check(trivet_context_set_shape(context, info.name, rank, dims));
  }
  check(trivet_context_prepare(context));
}

static void* give_memory(const trivet_engine_t* engine, trivet_context_t* context, uint32_t index,
                         uint64_t* out_size) {
  trivet_tensor_info_t info = tensor_info(engine, index);
  check(trivet_context_tensor_size(context, info.name, out_size));
  void* memory = aligned_alloc(64, (*out_size + 127) / 64 * 64);
  if (!memory) exit(1);
  memset(memory, 0, *out_size);
  if (info.mode == TRIVET_TENSOR_INPUT && info.dtype == TRIVET_DTYPE_F32) {
    for (uint64_t k = 0; k < *out_size / sizeof(float); ++k) ((float*)memory)[k] = 1.0f;
  }
  check(trivet_context_set_address(context, info.name, memory));
  return memory;
}

int main(int argc, char** argv) {
  if (argc < 2) return fprintf(stderr, "usage: run_plan PLAN [PLUGIN_FOLDER]\n"), 2;
  trivet_runtime_t* runtime;
  trivet_engine_t* engine;
  trivet_context_t* context;
  void* memory[MOST_TENSORS];
  uint64_t sizes[MOST_TENSORS];
  check(trivet_runtime_create(NULL, &runtime));
  if (argc > 2) check(trivet_runtime_load_plugin_path(runtime, argv[2]));
  check(trivet_engine_load(runtime, argv[1], NULL, &engine));
  check(trivet_context_create(engine, NULL, &context));
  uint32_t count = trivet_engine_tensor_count(engine);
  if (count > MOST_TENSORS) return fprintf(stderr, "run_plan: %u tensors\n", count), 1;
  set_shapes(engine, context, count);
  for (uint32_t i = 0; i < count; ++i) memory[i] = give_memory(engine, context, i, &sizes[i]);
  check(trivet_context_run(context));
  for (uint32_t i = 0; i < count; ++i) {
    trivet_tensor_info_t info = tensor_info(engine, i);
    if (info.mode == TRIVET_TENSOR_OUTPUT && info.dtype == TRIVET_DTYPE_F32 && sizes[i] >= 4) {
      printf("%s: %llu bytes, begins with %g\n", info.name, (unsigned long long)sizes[i],
             (double)((float*)memory[i])[0]);
    }
    free(memory[i]);
  }
  trivet_context_destroy(context);
  trivet_engine_destroy(engine);
  trivet_runtime_destroy(runtime);
  return 0;
}
