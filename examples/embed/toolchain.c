// SPDX-License-Identifier: Apache-2.0
//
// toolchain CPU_PLAN OTHER_PLAN TARGET [PLUGIN_FOLDER [PLUGIN]]: what a compiler that embeds Trivet
// does. Makes a graph by calls, runs three passes of its choice, prints the graph before and after,
// and builds it for the CPU and for TARGET. Memory, log, progress and errors are its own. With
// EMBED_STATIC the plugins of libtrivet_static.a are linked in, with EMBED_ALL oneDNN's and CUDA's
// too; else those of PLUGIN_FOLDER are loaded.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trivet/trivet.h"
#ifdef EMBED_STATIC
#include "trivet/static.h"
#endif

static void check(trivet_status_t status) {
  if (!status) return;
  fprintf(stderr, "toolchain: %s: %s\n", trivet_status_code_name(trivet_status_code(status)),
          trivet_status_message(status));
  exit(1);
}

// The caller's memory: counts what is held, so that what is lost shows at the end.
static uint64_t held, calls;
static void* allocate(void* self, size_t size, size_t alignment) {
  (void)self;
  void* memory = NULL;
  if (posix_memalign(&memory, alignment < sizeof(void*) ? sizeof(void*) : alignment, size)) {
    return NULL;
  }
  __atomic_fetch_add(&held, size, __ATOMIC_RELAXED);
  __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED);
  return memory;
}
static void deallocate(void* self, void* pointer, size_t size, size_t alignment) {
  (void)self, (void)alignment;
  __atomic_fetch_sub(&held, size, __ATOMIC_RELAXED);
  free(pointer);
}

static void write_log(void* self, trivet_severity_t severity, trivet_string_view_t message) {
  (void)self;
  if (severity >= TRIVET_SEVERITY_WARNING) {
    fprintf(stderr, "%.*s\n", (int)message.size, message.data);
  }
}

// The recorder: every error of the builder's calls, beside the status that a call returns.
static unsigned recorded;
static void record(void* self, const char* call, trivet_status_t status) {
  (void)self;
  ++recorded;
  printf("recorded: %s: %s\n", call, trivet_status_message(status));
}

// Cancels where |self| says so.
static uint32_t progress(void* self, const char* phase, uint32_t done, uint32_t total) {
  const char* stop_at = (const char*)self;
  if (!stop_at) printf("progress: %s %u/%u\n", phase, done, total);
  return stop_at && strcmp(stop_at, phase) == 0;
}

static trivet_status_t print(void* self, const void* bytes, size_t size) {
  return fwrite(bytes, 1, size, (FILE*)self) == size ? NULL : TRIVET_STATUS_BARE(8);
}

// y = silu(x * w + b), twice; x: f32[batch, 4].
static trivet_network_t* make_network(trivet_builder_t* builder) {
  static float w[16], b[4] = {0.5f, -0.25f, 0.125f, 1};
  for (int i = 0; i < 16; ++i) w[i] = (float)(i % 5 - 2) * 0.25f;
  const int64_t dims[2] = {-1, 4};
  const char* symbols[2] = {"batch", NULL};
  trivet_tensor_t weights = {TRIVET_DTYPE_F32, 2, {4, 4}, w, sizeof(w)};
  trivet_tensor_t bias = {TRIVET_DTYPE_F32, 1, {4}, b, sizeof(b)};
  trivet_network_t* network = NULL;
  trivet_value_t value, matrix, vector;
  check(trivet_network_create(builder, "embedded", &network));
  check(trivet_network_add_input(network, "x", TRIVET_DTYPE_F32, 2, dims, symbols, &value));
  check(trivet_network_add_constant(network, "w", &weights, TRIVET_CONSTANT_COPY, &matrix));
  check(trivet_network_add_constant(network, "b", &bias, TRIVET_CONSTANT_COPY, &vector));
  for (int layer = 0; layer < 2; ++layer) {
    trivet_value_t operands[2] = {value, matrix}, product, sum, gate;
    check(trivet_network_add_node(network, "std.MatMul", operands, 2, NULL, 0, "product", 1,
                                  &product));
    trivet_value_t terms[2] = {product, vector};
    check(trivet_network_add_node(network, "std.Add", terms, 2, NULL, 0, "sum", 1, &sum));
    check(trivet_network_add_node(network, "std.Sigmoid", &sum, 1, NULL, 0, "gate", 1, &gate));
    trivet_value_t factors[2] = {sum, gate};
    check(trivet_network_add_node(network, "std.Mul", factors, 2, NULL, 0, "silu", 1, &value));
  }
  check(trivet_network_mark_output(network, value, "y"));
  return network;
}

static void build(trivet_builder_t* builder, const char* target, const char* path,
                  const char* stop_at) {
  trivet_config_t* config = NULL;
  trivet_network_t* network = make_network(builder);
  check(trivet_config_create(builder, &config));
  check(trivet_config_set_target(config, target));
  trivet_progress_t callback = {(void*)stop_at, progress};
  check(trivet_config_set_progress(config, callback));
  trivet_status_t status = trivet_build_file(network, config, path, NULL);
  if (stop_at) {
    printf("cancelled: %s\n", trivet_status_message(status));
    if (trivet_status_consume(status) != TRIVET_STATUS_CANCELLED) exit(1);
  } else {
    check(status);
    printf("built %s for %s\n", path, target);
  }
  trivet_config_destroy(config);
  trivet_network_destroy(network);
}

#ifdef EMBED_STATIC
static void add_plugins(trivet_builder_t* builder, const trivet_plugin_query_fn_t* query) {
  for (; *query; ++query) check(trivet_builder_add_plugin(builder, *query));
}
#endif

int main(int argc, char** argv) {
  if (argc < 4) {
    fprintf(stderr, "toolchain CPU_PLAN OTHER_PLAN TARGET [PLUGIN_FOLDER [PLUGIN]]\n");
    return 2;
  }
  trivet_builder_options_t options;
  memset(&options, 0, sizeof(options));
  options.header.struct_size = sizeof(options);
  options.header.struct_type = TRIVET_STRUCT_BUILDER_OPTIONS;
  options.allocator = (trivet_allocator_t){NULL, allocate, NULL, deallocate};
  options.logger = (trivet_logger_t){NULL, write_log, TRIVET_SEVERITY_WARNING, 0};
  options.error_recorder = (trivet_error_recorder_t){NULL, record};
  trivet_builder_t* builder = NULL;
  check(trivet_builder_create(&options, &builder));
#ifdef EMBED_STATIC
  add_plugins(builder, trivet_static_plugins());
#ifdef EMBED_ALL
  add_plugins(builder, trivet_static_plugins_onednn());
  add_plugins(builder, trivet_static_plugins_cuda());
  printf("linked in: %u plugins\n", trivet_builder_plugin_count(builder));
#endif
#else
  if (argc > 4) check(trivet_builder_load_plugin_path(builder, argv[4]));
#endif
  if (argc > 5) check(trivet_builder_load_plugin(builder, argv[5]));

  trivet_network_t* network = make_network(builder);
  trivet_sink_t to_stdout = {stdout, print};
  check(trivet_network_print(network, 0, to_stdout));
  check(trivet_network_run_passes(network, "fold-constants,recognize-swish,remove-dead", NULL));
  check(trivet_network_print(network, 0, to_stdout));
  trivet_network_destroy(network);

  build(builder, "cpu", argv[1], "schedule");
  build(builder, "cpu", argv[1], NULL);
  build(builder, argv[3], argv[2], NULL);
  trivet_builder_destroy(builder);
  printf("memory: %llu allocations, %llu bytes are left\n", (unsigned long long)calls,
         (unsigned long long)held);
  return held != 0 || recorded != 1;  // the build that was cancelled
}
