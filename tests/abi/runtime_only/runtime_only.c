// SPDX-License-Identifier: Apache-2.0
//
// runtime_only PLAN [TARGET.so]: the whole architecture from the side of who runs plans. Links
// libtrivet_runtime.so and nothing else of ours, loads no plugin but the target's where it needs
// one, brings its own allocator, which has to see every byte, runs two shapes and compares with the
// formula of the network that compile_plan builds.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/abi/runtime_only/malloc_watch.h"
#include "trivet/runtime.h"

#define WIDTH 24
#define MOST 6

typedef struct counter_s {
  long calls, live;
} counter_t;

static void* allocate(void* self, size_t size, size_t alignment) {
  counter_t* counter = self;
  void* memory = NULL;
  ++counter->calls;
  if (posix_memalign(&memory, alignment < sizeof(void*) ? sizeof(void*) : alignment, size) != 0) {
    return NULL;
  }
  ++counter->live;
  return memory;
}

static void deallocate(void* self, void* pointer, size_t size, size_t alignment) {
  (void)size, (void)alignment;
  --((counter_t*)self)->live;
  free(pointer);
}

static void expected(const float* x, int rows, float* y) {
  for (int r = 0; r < rows; ++r) {
    double power = 0;
    for (int k = 0; k < WIDTH; ++k) power += (double)x[r * WIDTH + k] * x[r * WIDTH + k];
    double factor = 1 / sqrt(power / WIDTH + (double)1e-5f);
    for (int k = 0; k < WIDTH; ++k) {
      double v = x[r * WIDTH + k] * factor * 0.25 * (k + 1);
      y[r * WIDTH + k] = (float)((v > 0 ? v : 0) + x[r * WIDTH + k]);
    }
  }
}

static int fail(const char* what, trivet_status_t status) {
  fprintf(stderr, "runtime_only: %s: %s\n", what, trivet_status_message(status));
  trivet_status_free(status);
  return 1;
}

static int run_batch(trivet_context_t* context, const counter_t* counter, int batch,
                     int warm_runs) {
  float x[MOST * WIDTH], y[MOST * WIDTH], wanted[MOST * WIDTH];
  int64_t dims[2] = {batch, WIDTH};
  for (int i = 0; i < batch * WIDTH; ++i) x[i] = (float)(i * 37 % 101 - 50) * 0.04f;
  trivet_status_t status = trivet_context_set_shape(context, "x", 2, dims);
  if (!status) status = trivet_context_set_address(context, "x", x);
  if (!status) status = trivet_context_set_address(context, "y", y);
  if (!status) status = trivet_context_prepare(context);
  // With a device the second run over the same addresses is kept as a graph; before it is none.
  for (int i = 0; i < warm_runs && !status; ++i) status = trivet_context_run(context);
  if (status) return fail("prepare", status);
  long calls = counter->calls;
  for (int i = 0; i < 3 && !status; ++i) {
    memset(y, 0xFF, sizeof(y));
    status = trivet_context_run(context);
  }
  if (status) return fail("run", status);
  if (counter->calls != calls) {
    fprintf(stderr, "runtime_only: %ld allocations while running\n", counter->calls - calls);
    return 1;
  }
  expected(x, batch, wanted);
  for (int i = 0; i < batch * WIDTH; ++i) {
    if (fabsf(y[i] - wanted[i]) <= 2e-6f * (1 + fabsf(wanted[i]))) continue;
    fprintf(stderr, "runtime_only: batch %d, element %d is %g, wanted %g\n", batch, i, (double)y[i],
            (double)wanted[i]);
    return 1;
  }
  printf("batch %d: right\n", batch);
  return 0;
}

static int refuse_batch(trivet_context_t* context) {
  const char* wanted = "input 'x': dimension 0 is 7, profile 0 allows 1 to 6";
  int64_t dims[2] = {7, WIDTH};
  trivet_status_t status = trivet_context_set_shape(context, "x", 2, dims);
  int right = trivet_status_code(status) == TRIVET_STATUS_OUT_OF_RANGE &&
              strcmp(trivet_status_message(status), wanted) == 0;
  if (!right) fprintf(stderr, "runtime_only: batch 7: %s\n", trivet_status_message(status));
  trivet_status_free(status);
  return !right;
}

// Errors are the one thing that does not come from the caller's allocator, since they must be
// reportable when it fails; where none is made, nothing may pass it by.
static const char* file_name(const char* path) {
  const char* base = path ? strrchr(path, '/') : NULL;
  return base ? base + 1 : path;
}

static void begin_watch(const char* plugin) { malloc_watch_begin("libtrivet", file_name(plugin)); }

static int end_watch(int has_plugin) {
  malloc_watch_t found = malloc_watch_end();
  if (!malloc_watch_works()) return 0;
  printf("allocations past the caller's allocator: %ld of ours, %ld of the C library for us\n",
         found.direct, found.through);
  // The one is the C library's own block for the second thread.
  if (found.direct == 0 && (has_plugin || found.through <= 1)) return 0;
  fprintf(stderr, "runtime_only: %ld allocations passed the caller's allocator by: %s\n",
          found.direct + found.through, found.example);
  return 1;
}

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) return 2;
  const char* plugin = argc == 3 ? argv[2] : NULL;
  int warm = plugin ? 2 : 0;
  counter_t counter = {0, 0};
  trivet_runtime_options_t options = {
      .header = {sizeof(options), TRIVET_STRUCT_RUNTIME_OPTIONS, NULL},
      .allocator = {&counter, allocate, NULL, deallocate},
  };
  trivet_runtime_t* runtime = NULL;
  trivet_engine_t* engine = NULL;
  trivet_context_t* context = NULL;
  int failed = 0;
  begin_watch(plugin);
  trivet_status_t status = trivet_runtime_create(&options, &runtime);
  if (!status && plugin) status = trivet_runtime_load_plugin(runtime, plugin);
  if (!status) status = trivet_engine_load(runtime, argv[1], NULL, &engine);
  trivet_context_options_t two_threads = {
      .header = {sizeof(two_threads), TRIVET_STRUCT_CONTEXT_OPTIONS, NULL}, .thread_count = 2};
  if (!status) status = trivet_context_create(engine, &two_threads, &context);
  if (status) {
    failed = fail("load", status);
  } else {
    failed = run_batch(context, &counter, 3, warm) || run_batch(context, &counter, MOST, warm);
    failed = end_watch(plugin != NULL) || failed;
    failed = refuse_batch(context) || failed;
    begin_watch(plugin);
    failed = run_batch(context, &counter, 3, warm) || failed;
  }
  trivet_context_destroy(context);
  trivet_engine_destroy(engine);
  trivet_runtime_destroy(runtime);
  failed = (status == NULL && end_watch(plugin != NULL)) || failed;
  if (counter.live != 0) {
    fprintf(stderr, "runtime_only: %ld blocks were not freed\n", counter.live);
    failed = 1;
  }
  return failed;
}
