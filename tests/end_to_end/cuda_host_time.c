// SPDX-License-Identifier: Apache-2.0
//
// What a run costs the host on a CUDA device: with a graph for addresses seen before and for new
// ones, and kernel by kernel beside the driver's own launches of the very same kernels with the
// very same arguments, which are read from a capture. Results of both ways have to be the same to
// the bit: calls of libraries are replaced by their kernels where they come again and again. A
// program and no unit test, since it takes a plan and a device. It looks past the runtime on
// purpose, to have something to compare with.
//
//   cuda_host_time PLAN [PLUGIN FOLDERS]
#include <cuda.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "trivet/runtime.h"

enum { MAX_TENSORS = 16, SETS = 32, RUNS = 300, MAX_KERNELS = 4096 };

#define FAIL(...) trivet_status_make(TRIVET_STATUS_INTERNAL, __FILE__, __LINE__, __VA_ARGS__)
#define RETURN_IF_ERROR(expr)                             \
  do {                                                    \
    trivet_status_t status_ = (expr);                     \
    if (trivet_status_code(status_) != 0) return status_; \
  } while (0)

#define DRIVER(X)                  \
  X(cuStreamCreate)                \
  X(cuStreamSynchronize)           \
  X(cuStreamBeginCapture)          \
  X(cuStreamEndCapture)            \
  X(cuGraphGetNodes)               \
  X(cuGraphNodeGetType)            \
  X(cuGraphKernelNodeGetParams)    \
  X(cuGraphKernelNodeGetAttribute) \
  X(cuLaunchKernelEx) X(cuCtxCreate) X(cuCtxDestroy) X(cuCtxSetCurrent)
#define MEMBER(name) __typeof__(name)* name;
typedef struct driver_s {
  DRIVER(MEMBER)
} driver_t;

typedef struct bench_s {
  driver_t driver;
  trivet_runtime_t* runtime;
  trivet_engine_t* engine;
  trivet_context_t* context;
  uint32_t count;
  trivet_tensor_info_t info[MAX_TENSORS];
  void* memory[SETS][MAX_TENSORS];
  uint64_t size[MAX_TENSORS];
  void* results[MAX_TENSORS];  // of the runs by graph, on the host; NULL for inputs
} bench_t;

#define NAME_TEXT(name) #name
static trivet_status_t open_driver(driver_t* driver) {
  void* library = dlopen("libcuda.so.1", RTLD_NOW);
  if (library == NULL) return FAIL("%s", dlerror());
#define FIND(name)                                      \
  {                                                     \
    void* at = dlsym(library, NAME_TEXT(name));         \
    if (at == NULL) return FAIL("no " NAME_TEXT(name)); \
    memcpy(&driver->name, &at, sizeof(at));             \
  }
  DRIVER(FIND)
  return NULL;
}

#define CHECK(call)                                          \
  do {                                                       \
    int result_ = (int)(call);                               \
    if (result_ != 0) return FAIL("%s: %d", #call, result_); \
  } while (0)

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int compare(const void* a, const void* b) {
  double x = *(const double*)a, y = *(const double*)b;
  return (x > y) - (x < y);
}

static trivet_status_t set_addresses(bench_t* b, int set) {
  for (uint32_t t = 0; t < b->count; ++t) {
    RETURN_IF_ERROR(trivet_context_set_address(b->context, b->info[t].name, b->memory[set][t]));
  }
  return NULL;
}

static trivet_status_t open_context(bench_t* b, uint32_t flags, uint32_t graphs) {
  trivet_context_destroy(b->context);
  b->context = NULL;
  trivet_context_options_t options = {
      .header = {sizeof(options), TRIVET_STRUCT_CONTEXT_OPTIONS, NULL},
      .flags = flags,
      .graph_count = graphs};
  RETURN_IF_ERROR(trivet_context_create(b->engine, &options, &b->context));
  for (uint32_t t = 0; t < b->count; ++t) {
    uint32_t rank = 0;
    int64_t dims[TRIVET_DIMS_MAX];
    if (b->info[t].mode != TRIVET_TENSOR_INPUT) continue;
    RETURN_IF_ERROR(trivet_engine_profile_shape(b->engine, 0, b->info[t].name, 1, &rank, dims));
    RETURN_IF_ERROR(trivet_context_set_shape(b->context, b->info[t].name, rank, dims));
  }
  return trivet_context_prepare(b->context);
}

// Numbers from a half to 1; integers, which may be places in tables, are 0.
static void fill(trivet_dtype_t dtype, uint8_t* bytes, uint64_t size) {
  uint64_t each = dtype == TRIVET_DTYPE_F32 ? 4 : 2;
  if (dtype != TRIVET_DTYPE_F32 && dtype != TRIVET_DTYPE_F16 && dtype != TRIVET_DTYPE_BF16) return;
  uint32_t random = 1;
  for (uint64_t i = 0; i + each <= size; i += each) {
    random = random * 1664525u + 1013904223u;
    uint32_t bits = dtype == TRIVET_DTYPE_F32   ? 0x3f000000u | random >> 9
                    : dtype == TRIVET_DTYPE_F16 ? 0x3800u | random >> 22
                                                : 0x3f00u | random >> 25;
    memcpy(bytes + i, &bits, each);
  }
}

static trivet_status_t make_memory(bench_t* b) {
  for (uint32_t t = 0; t < b->count; ++t) {
    uint64_t size = 0;
    RETURN_IF_ERROR(trivet_context_tensor_size(b->context, b->info[t].name, &size));
    b->size[t] = size;
    void* bytes = calloc(1, size + 1);
    if (bytes == NULL) return FAIL("no memory on the host");
    if (b->info[t].mode == TRIVET_TENSOR_INPUT) fill(b->info[t].dtype, (uint8_t*)bytes, size);
    for (int s = 0; s < SETS; ++s) {
      RETURN_IF_ERROR(trivet_engine_allocate(b->engine, size, &b->memory[s][t]));
      RETURN_IF_ERROR(trivet_engine_copy(b->engine, b->memory[s][t], bytes, size));
    }
    free(bytes);
  }
  return NULL;
}

// Median of the host's time for a run, queueing only, with nothing queued before it.
static trivet_status_t time_runs(bench_t* b, int sets, double* out_us) {
  static double times[RUNS];
  for (int i = -3 * sets; i < RUNS; ++i) {
    int set = (i + 3 * sets) % sets;
    double start = now_us();
    if (sets > 1 || i == -3 * sets) RETURN_IF_ERROR(set_addresses(b, set));
    RETURN_IF_ERROR(trivet_context_enqueue(b->context));
    if (i >= 0) times[i] = now_us() - start;
    RETURN_IF_ERROR(trivet_context_synchronize(b->context));
  }
  qsort(times, RUNS, sizeof(times[0]), compare);
  *out_us = times[RUNS / 2];
  return NULL;
}

// Keeps the results of the first set of addresses, which are then zero.
static trivet_status_t keep_results(bench_t* b) {
  for (uint32_t t = 0; t < b->count; ++t) {
    if (b->info[t].mode == TRIVET_TENSOR_INPUT) continue;
    void* zeros = calloc(1, b->size[t] + 1);
    b->results[t] = malloc(b->size[t] + 1);
    trivet_status_t status = NULL;
    if (zeros == NULL || b->results[t] == NULL) status = FAIL("no memory on the host");
    if (!status) status = trivet_engine_copy(b->engine, b->results[t], b->memory[0][t], b->size[t]);
    if (!status) status = trivet_engine_copy(b->engine, b->memory[0][t], zeros, b->size[t]);
    free(zeros);
    RETURN_IF_ERROR(status);
  }
  return NULL;
}

static trivet_status_t compare_results(bench_t* b) {
  uint64_t bytes = 0;
  for (uint32_t t = 0; t < b->count; ++t) {
    if (b->results[t] == NULL) continue;
    void* now = malloc(b->size[t] + 1);
    if (now == NULL) return FAIL("no memory on the host");
    trivet_status_t status = trivet_engine_copy(b->engine, now, b->memory[0][t], b->size[t]);
    if (!status && memcmp(now, b->results[t], b->size[t]) != 0) {
      printf("WRONG: '%s' differs without a graph\n", b->info[t].name);
      status = FAIL("'%s' differs without a graph", b->info[t].name);
    }
    free(now);
    RETURN_IF_ERROR(status);
    bytes += b->size[t];
  }
  printf("ok: without a graph the same %llu bytes\n", (unsigned long long)bytes);
  return NULL;
}

// The kernels of one run, by a capture of it, launched by the driver alone.
static trivet_status_t time_driver(bench_t* b, size_t* out_count, double* out_us) {
  static CUgraphNode nodes[MAX_KERNELS];
  static CUDA_KERNEL_NODE_PARAMS kernels[MAX_KERNELS];
  static CUlaunchAttribute attributes[MAX_KERNELS][2];
  static double times[RUNS];
  const driver_t* d = &b->driver;
  CUstream stream = NULL;
  CUgraph graph = NULL;
  size_t node_count = MAX_KERNELS, count = 0;
  CHECK(d->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  RETURN_IF_ERROR(trivet_context_set_stream(b->context, stream));
  CHECK(d->cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_RELAXED));
  trivet_status_t status = trivet_context_enqueue(b->context);
  CHECK(d->cuStreamEndCapture(stream, &graph));
  RETURN_IF_ERROR(status);
  CHECK(d->cuGraphGetNodes(graph, nodes, &node_count));
  for (size_t i = 0; i < node_count; ++i) {
    CUgraphNodeType type;
    CHECK(d->cuGraphNodeGetType(nodes[i], &type));
    if (type != CU_GRAPH_NODE_TYPE_KERNEL) continue;
    CUlaunchAttribute* attribute = attributes[count];
    attribute[0].id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    attribute[0].value.programmaticStreamSerializationAllowed = 1;
    attribute[1].id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    CHECK(d->cuGraphKernelNodeGetAttribute(nodes[i], attribute[1].id, &attribute[1].value));
    CHECK(d->cuGraphKernelNodeGetParams(nodes[i], &kernels[count++]));
  }
  for (int i = -20; i < RUNS; ++i) {
    double start = now_us();
    for (size_t k = 0; k < count; ++k) {
      const CUDA_KERNEL_NODE_PARAMS* from = &kernels[k];
      CUlaunchConfig config = {
          from->gridDimX,       from->gridDimY,
          from->gridDimZ,       from->blockDimX,
          from->blockDimY,      from->blockDimZ,
          from->sharedMemBytes, stream,
          attributes[k],        attributes[k][1].value.clusterDim.x > 0 ? 2 : 1};
      CHECK(d->cuLaunchKernelEx(&config, from->func, from->kernelParams, from->extra));
    }
    if (i >= 0) times[i] = now_us() - start;
    CHECK(d->cuStreamSynchronize(stream));
  }
  qsort(times, RUNS, sizeof(times[0]), compare);
  *out_us = times[RUNS / 2];
  *out_count = count;
  return trivet_context_set_stream(b->context, NULL);
}

// A stream of another context is refused by name, and the context goes on.
static trivet_status_t wrong_stream(bench_t* b) {
  const driver_t* d = &b->driver;
  CUcontext other = NULL;
  CUstream stream = NULL;
  CHECK(d->cuCtxCreate(&other, NULL, 0, 0));
  CHECK(d->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  trivet_status_t status = trivet_context_set_stream(b->context, stream);
  int is_right = trivet_status_code(status) == TRIVET_STATUS_INVALID_ARGUMENT;
  printf("%s: a stream of another context: %s\n", is_right ? "ok" : "WRONG",
         trivet_status_code(status) != 0 ? trivet_status_message(status) : "no error");
  trivet_status_free(status);
  CHECK(d->cuCtxDestroy(other));
  if (!is_right) return FAIL("a stream of another context is taken");
  RETURN_IF_ERROR(trivet_context_run(b->context));
  printf("ok: the context runs then\n");
  return NULL;
}

static trivet_status_t measure(bench_t* b, const char* plan, const char* folders) {
  RETURN_IF_ERROR(open_driver(&b->driver));
  RETURN_IF_ERROR(trivet_runtime_create(NULL, &b->runtime));
  RETURN_IF_ERROR(trivet_runtime_load_plugin_path(b->runtime, folders));
  RETURN_IF_ERROR(trivet_engine_load(b->runtime, plan, NULL, &b->engine));
  for (uint32_t t = 0; t < trivet_engine_tensor_count(b->engine); ++t) {
    trivet_tensor_info_t info = {.header = {sizeof(info), TRIVET_STRUCT_TENSOR_INFO, NULL}};
    RETURN_IF_ERROR(trivet_engine_tensor_info(b->engine, t, &info));
    if (info.mode == TRIVET_TENSOR_OBSERVED) continue;
    if (b->count == MAX_TENSORS) return FAIL("more than %d tensors", MAX_TENSORS);
    b->info[b->count++] = info;
  }
  double same = 0, renewed = 0, single = 0, driver = 0;
  size_t kernels = 0;
  RETURN_IF_ERROR(open_context(b, 0, 4));
  RETURN_IF_ERROR(make_memory(b));
  RETURN_IF_ERROR(time_runs(b, 1, &same));
  RETURN_IF_ERROR(keep_results(b));
  RETURN_IF_ERROR(wrong_stream(b));
  RETURN_IF_ERROR(open_context(b, 0, 4));
  RETURN_IF_ERROR(time_runs(b, SETS, &renewed));
  RETURN_IF_ERROR(open_context(b, TRIVET_CONTEXT_NO_GRAPH, 1));
  RETURN_IF_ERROR(time_runs(b, 1, &single));
  RETURN_IF_ERROR(compare_results(b));
  RETURN_IF_ERROR(time_driver(b, &kernels, &driver));
  double more = kernels != 0 ? (single - driver) / (double)kernels : 0;
  printf(
      "%s: host %.2f us a run by graph (wanted 5), %.2f with new addresses (wanted 20)\n"
      "%s: host %.2f us a run of %zu kernels without a graph, the driver alone %.2f: %.3f us more "
      "a kernel (wanted 0.5)\n",
      same <= 5 && renewed <= 20 ? "ok" : "WRONG", same, renewed, more <= 0.5 ? "ok" : "WRONG",
      single, kernels, driver, more);
  return same <= 5 && renewed <= 20 && more <= 0.5 ? NULL : FAIL("a run costs the host too much");
}

int main(int argc, char** argv) {
  const char* folders = argc > 2 ? argv[2] : getenv("TRIVET_PLUGIN_PATH");
  if (argc < 2 || folders == NULL) {
    fprintf(stderr, "usage: cuda_host_time PLAN [PLUGIN FOLDERS]\n");
    return 2;
  }
  static bench_t b;
  trivet_status_t status = measure(&b, argv[1], folders);
  trivet_context_destroy(b.context);
  for (int s = 0; s < SETS; ++s) {
    for (uint32_t t = 0; t < b.count; ++t)
      trivet_engine_release(b.engine, b.memory[s][t], b.size[t]);
  }
  for (uint32_t t = 0; t < b.count; ++t) free(b.results[t]);
  trivet_engine_destroy(b.engine);
  trivet_runtime_destroy(b.runtime);
  int failed = trivet_status_code(status) != 0;
  if (failed) fprintf(stderr, "cuda_host_time: %s\n", trivet_status_message(status));
  trivet_status_free(status);
  return failed;
}
