// SPDX-License-Identifier: Apache-2.0
//
// Wears a device out through the public runtime: many runs of random shapes and addresses, too
// little memory, addresses where they must not be, two contexts at once; and says what was seen. A
// program and no unit test, since it takes a plan and a device. Knows no target by name.
//
//   device_robust PLAN RUNS [PLUGIN FOLDERS]
//
// PLAN has one profile with shapes that differ.
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "trivet/runtime.h"

enum { MAX_TENSORS = 16, MANY = 60 };

#define FAIL(...) trivet_status_make(TRIVET_STATUS_INTERNAL, __FILE__, __LINE__, __VA_ARGS__)
#define RETURN_IF_ERROR(expr)                             \
  do {                                                    \
    trivet_status_t status_ = (expr);                     \
    if (trivet_status_code(status_) != 0) return status_; \
  } while (0)

typedef struct bed_s {
  trivet_runtime_t* runtime;
  trivet_engine_t* engine;
  const char* path;
  const char* target;  // its name without the architecture
} bed_t;

// A context, and memory on the device for the largest shapes.
typedef struct runner_s {
  trivet_engine_t* engine;
  trivet_context_t* context;
  uint32_t count;
  trivet_tensor_info_t info[MAX_TENSORS];
  void* memory[MAX_TENSORS];
  uint64_t size[MAX_TENSORS];
} runner_t;

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

// |which| as in trivet_engine_profile_shape; 3: anything between, by |seed|.
static trivet_status_t set_shapes(runner_t* r, uint32_t which, unsigned* seed) {
  for (uint32_t t = 0; t < r->count; ++t) {
    if (r->info[t].mode != TRIVET_TENSOR_INPUT) continue;
    const char* name = r->info[t].name;
    uint32_t rank = 0;
    int64_t low[TRIVET_DIMS_MAX], dims[TRIVET_DIMS_MAX];
    RETURN_IF_ERROR(trivet_engine_profile_shape(r->engine, 0, name, 0, &rank, low));
    RETURN_IF_ERROR(
        trivet_engine_profile_shape(r->engine, 0, name, which == 3 ? 2 : which, &rank, dims));
    // Inputs share symbols, so all get the same draw.
    unsigned draw = seed != NULL ? *seed : 0;
    for (uint32_t d = 0; d < rank && which == 3; ++d) {
      dims[d] = low[d] + (int64_t)(rand_r(&draw) % (unsigned)(dims[d] - low[d] + 1));
    }
    RETURN_IF_ERROR(trivet_context_set_shape(r->context, name, rank, dims));
  }
  if (seed != NULL) rand_r(seed);
  return trivet_context_prepare(r->context);
}

static trivet_status_t set_addresses(runner_t* r) {
  for (uint32_t t = 0; t < r->count; ++t) {
    RETURN_IF_ERROR(trivet_context_set_address(r->context, r->info[t].name, r->memory[t]));
  }
  return NULL;
}

static void close_runner(runner_t* r) {
  trivet_context_destroy(r->context);
  for (uint32_t t = 0; t < r->count; ++t) {
    trivet_engine_release(r->engine, r->memory[t], r->size[t]);
  }
  memset(r, 0, sizeof(*r));
}

// Memory of the device for one tensor at the shapes that are set, all zero.
static trivet_status_t make_memory(runner_t* r, uint32_t t) {
  RETURN_IF_ERROR(trivet_context_tensor_size(r->context, r->info[t].name, &r->size[t]));
  RETURN_IF_ERROR(trivet_engine_allocate(r->engine, r->size[t], &r->memory[t]));
  void* zeros = calloc(1, r->size[t] + 1);
  if (zeros == NULL) return FAIL("no memory on the host");
  trivet_status_t status = trivet_engine_copy(r->engine, r->memory[t], zeros, r->size[t]);
  free(zeros);
  return status;
}

// Also after an error the caller closes it.
static trivet_status_t open_runner(trivet_engine_t* engine, uint32_t flags, uint64_t memory_limit,
                                   runner_t* r) {
  trivet_context_options_t options = {
      .header = {sizeof(options), TRIVET_STRUCT_CONTEXT_OPTIONS, NULL},
      .flags = flags,
      .memory_limit = memory_limit};
  memset(r, 0, sizeof(*r));
  r->engine = engine;
  RETURN_IF_ERROR(trivet_context_create(engine, &options, &r->context));
  for (uint32_t t = 0; t < trivet_engine_tensor_count(engine); ++t) {
    trivet_tensor_info_t info = {.header = {sizeof(info), TRIVET_STRUCT_TENSOR_INFO, NULL}};
    RETURN_IF_ERROR(trivet_engine_tensor_info(engine, t, &info));
    if (info.mode == TRIVET_TENSOR_OBSERVED) continue;
    if (r->count == MAX_TENSORS) return FAIL("more than %d tensors", MAX_TENSORS);
    r->info[r->count++] = info;
  }
  RETURN_IF_ERROR(set_shapes(r, 2, NULL));
  for (uint32_t t = 0; t < r->count; ++t) RETURN_IF_ERROR(make_memory(r, t));
  return set_addresses(r);
}

static trivet_status_t free_memory(const bed_t* b, uint64_t* out_bytes) {
  trivet_device_record_t record = {.header = {sizeof(record), TRIVET_STRUCT_DEVICE_RECORD, NULL}};
  RETURN_IF_ERROR(trivet_runtime_device(b->runtime, b->target, 0, &record));
  *out_bytes = record.memory_free;
  return NULL;
}

static trivet_status_t statistics_of(const runner_t* r, trivet_context_statistics_t* out) {
  memset(out, 0, sizeof(*out));
  out->header.struct_size = sizeof(*out);
  out->header.struct_type = TRIVET_STRUCT_CONTEXT_STATISTICS;
  return trivet_context_statistics(r->context, out);
}

// Status |wanted| with |part| in its message is what should come.
static trivet_status_t expect(trivet_status_t status, trivet_status_code_t wanted, const char* part,
                              const char* what) {
  trivet_status_code_t code = trivet_status_code(status);
  const char* message = code == 0 ? "no error" : trivet_status_message(status);
  bool is_right = code == wanted && strstr(message, part) != NULL;
  printf("%s: %s: %s\n", is_right ? "ok" : "WRONG", what, message);
  trivet_status_free(status);
  return is_right ? NULL : FAIL("%s", what);
}

// --- What is tried -------------------------------------------------------------------------------

// Runs of random shapes take no more of the device when they have gone on for long.
static trivet_status_t many_runs(const bed_t* b, int runs) {
  runner_t r;
  unsigned seed = 1;
  uint64_t before = 0, warm = 0, after = 0, closed = 0;
  double start = now_us();
  RETURN_IF_ERROR(free_memory(b, &before));
  trivet_status_t status = open_runner(b->engine, 0, 0, &r);
  for (int i = 0; i < runs && trivet_status_code(status) == 0; ++i) {
    if (i % 3 == 0) status = set_shapes(&r, 3, &seed);
    if (trivet_status_code(status) == 0) status = trivet_context_run(r.context);
    if (i == runs / 4 && trivet_status_code(status) == 0) status = free_memory(b, &warm);
  }
  if (trivet_status_code(status) == 0) status = free_memory(b, &after);
  close_runner(&r);
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(free_memory(b, &closed));
  bool is_kept = after >= warm;
  printf(
      "%s: %d runs of random shapes: %.1f us a run, device memory free %.2f MB after a quarter, "
      "%.2f MB at the end, %.2f MB before, %.2f MB closed\n",
      is_kept ? "ok" : "WRONG", runs, (now_us() - start) / runs, (double)warm * 1e-6,
      (double)after * 1e-6, (double)before * 1e-6, (double)closed * 1e-6);
  return is_kept ? NULL : FAIL("memory leaks");
}

static trivet_status_t too_little_memory(const bed_t* b) {
  runner_t r, small;
  trivet_context_statistics_t need;
  trivet_status_t status = open_runner(b->engine, 0, 0, &r);
  if (trivet_status_code(status) == 0) status = trivet_context_run(r.context);
  if (trivet_status_code(status) == 0) status = statistics_of(&r, &need);
  close_runner(&r);
  RETURN_IF_ERROR(status);
  uint64_t limit = need.weights_size + (need.device_size - need.weights_size) / 2;
  status = open_runner(b->engine, 0, limit, &small);
  status = expect(status, TRIVET_STATUS_OUT_OF_MEMORY, "limit", "half of the memory it needs");
  // The same context goes on with shapes that fit.
  if (trivet_status_code(status) == 0) status = set_shapes(&small, 0, NULL);
  for (uint32_t t = 0; t < small.count && trivet_status_code(status) == 0; ++t) {
    status = make_memory(&small, t);
  }
  if (trivet_status_code(status) == 0) status = set_addresses(&small);
  if (trivet_status_code(status) == 0) status = trivet_context_run(small.context);
  if (trivet_status_code(status) == 0) printf("ok: the same context runs small shapes then\n");
  close_runner(&small);
  return status;
}

static trivet_status_t host_address(const bed_t* b) {
  runner_t r;
  trivet_status_t status = open_runner(b->engine, TRIVET_CONTEXT_DEVICE_ADDRESSES, 0, &r);
  void* memory = trivet_status_code(status) == 0 ? calloc(1, r.size[0] + 64) : NULL;
  if (memory != NULL) {
    status = trivet_context_set_address(r.context, r.info[0].name, memory);
    if (trivet_status_code(status) == 0) status = trivet_context_run(r.context);
    status = expect(status, TRIVET_STATUS_INVALID_ARGUMENT, r.info[0].name,
                    "an address on the host where one of the device is wanted");
    if (trivet_status_code(status) == 0) status = set_addresses(&r);
    if (trivet_status_code(status) == 0) status = trivet_context_run(r.context);
    if (trivet_status_code(status) == 0) printf("ok: the right address runs then\n");
  }
  close_runner(&r);
  free(memory);
  return status;
}

// Microseconds of MANY runs of each context, queued in turns, or one context after the other.
static trivet_status_t time_both(runner_t* r, int in_turns, double* out_us) {
  double start = now_us();
  for (int c = 0; c < 2 && !in_turns; ++c) {
    for (int i = 0; i < MANY; ++i) RETURN_IF_ERROR(trivet_context_enqueue(r[c].context));
    RETURN_IF_ERROR(trivet_context_synchronize(r[c].context));
  }
  for (int i = 0; i < MANY && in_turns; ++i) {
    for (int c = 0; c < 2; ++c) RETURN_IF_ERROR(trivet_context_enqueue(r[c].context));
  }
  for (int c = 0; c < 2; ++c) RETURN_IF_ERROR(trivet_context_synchronize(r[c].context));
  *out_us = now_us() - start;
  return NULL;
}

static trivet_status_t two_contexts(const bed_t* b) {
  runner_t r[2];
  memset(r, 0, sizeof(r));
  trivet_status_t status = NULL;
  double alone = 0, together = 0;
  for (int c = 0; c < 2 && trivet_status_code(status) == 0; ++c) {
    status = open_runner(b->engine, 0, 0, &r[c]);
    if (trivet_status_code(status) == 0) status = set_shapes(&r[c], 0, NULL);
  }
  for (int i = 0; i < 3 && trivet_status_code(status) == 0; ++i) {
    status = time_both(r, 0, &alone);
    if (trivet_status_code(status) == 0) status = time_both(r, 1, &together);
  }
  for (int c = 0; c < 2; ++c) close_runner(&r[c]);
  RETURN_IF_ERROR(status);
  bool is_overlapped = together < 0.9 * alone;
  printf(
      "%s: two contexts: %.1f us for %d runs of each one after the other, %.1f us in turns: "
      "%.2f\n",
      is_overlapped ? "ok" : "WRONG", alone, MANY, together, together / alone);
  return is_overlapped ? NULL : FAIL("two contexts do not overlap");
}

// What loading costs where the device's driver runs already, to the end of the first run.
static trivet_status_t load_again(const bed_t* b) {
  runner_t r;
  trivet_engine_t* engine = NULL;
  double start = now_us(), loaded = 0;
  RETURN_IF_ERROR(trivet_engine_load(b->runtime, b->path, NULL, &engine));
  loaded = now_us() - start;
  trivet_status_t status = open_runner(engine, 0, 0, &r);
  if (trivet_status_code(status) == 0) status = trivet_context_run(r.context);
  double first = now_us() - start;
  close_runner(&r);
  trivet_engine_destroy(engine);
  RETURN_IF_ERROR(status);
  bool is_soon = first <= 150e3;
  printf("%s: loaded in %.2f ms, first result after %.2f ms with the driver running (wanted 150)\n",
         is_soon ? "ok" : "WRONG", loaded * 1e-3, first * 1e-3);
  return is_soon ? NULL : FAIL("loading takes long");
}

static trivet_status_t try_all(bed_t* b, int runs, const char* folders) {
  RETURN_IF_ERROR(trivet_runtime_create(NULL, &b->runtime));
  RETURN_IF_ERROR(trivet_runtime_load_plugin_path(b->runtime, folders));
  RETURN_IF_ERROR(trivet_engine_load(b->runtime, b->path, NULL, &b->engine));
  if (!trivet_engine_has_device(b->engine)) return FAIL("%s is for the host", b->path);
  static char target[64];
  snprintf(target, sizeof(target), "%s", trivet_engine_target(b->engine));
  target[strcspn(target, ":")] = 0;
  b->target = target;
  trivet_status_t status = NULL;
  trivet_status_t (*const parts[])(const bed_t*) = {load_again, too_little_memory, host_address,
                                                    two_contexts};
  for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); ++i) {
    trivet_status_t one = parts[i](b);
    if (trivet_status_code(one) != 0) printf("WRONG: %s\n", trivet_status_message(one));
    if (status == NULL) {
      status = one;
    } else {
      trivet_status_free(one);
    }
  }
  trivet_status_t last = many_runs(b, runs);
  if (status == NULL) return last;
  trivet_status_free(last);
  return status;
}

int main(int argc, char** argv) {
  const char* folders = argc > 3 ? argv[3] : getenv("TRIVET_PLUGIN_PATH");
  if (argc < 3 || folders == NULL) {
    fprintf(stderr, "usage: device_robust PLAN RUNS [PLUGIN FOLDERS]\n");
    return 2;
  }
  bed_t bed = {.path = argv[1]};
  trivet_status_t status = try_all(&bed, atoi(argv[2]), folders);
  trivet_engine_destroy(bed.engine);
  trivet_runtime_destroy(bed.runtime);
  int failed = trivet_status_code(status) != 0;
  if (failed) fprintf(stderr, "device_robust: %s\n", trivet_status_message(status));
  trivet_status_free(status);
  return failed;
}
