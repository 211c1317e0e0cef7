// SPDX-License-Identifier: Apache-2.0
//
// use_operator PLUGIN_FOLDER OPERATOR.so MODEL.onnx: compiles a model that uses an operator of a
// plugin, shows into how many steps, runs it and compares with the formula. The plan stays in
// memory: a sink receives its bytes.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trivet/trivet.h"

static void check(trivet_status_t status) {
  if (!status) return;
  fprintf(stderr, "use_operator: %s\n", trivet_status_message(status));
  exit(1);
}

typedef struct memory_s {
  _Alignas(64) char bytes[1 << 16];
  size_t size;
} memory_t;

static trivet_status_t keep(void* self, const void* bytes, size_t size) {
  memory_t* memory = self;
  if (size > sizeof(memory->bytes) - memory->size)
    return TRIVET_STATUS_BARE(TRIVET_STATUS_OUT_OF_MEMORY);
  memcpy(memory->bytes + memory->size, bytes, size);
  memory->size += size;
  return NULL;
}

static void compile(char** argv, memory_t* plan) {
  trivet_builder_t* builder;
  trivet_network_t* network;
  trivet_config_t* config;
  trivet_report_t* report;
  check(trivet_builder_create(NULL, &builder));
  check(trivet_builder_load_plugin_path(builder, argv[1]));
  check(trivet_builder_load_plugin(builder, argv[2]));
  check(trivet_network_create(builder, "custom", &network));
  check(trivet_network_parse_file(network, argv[3], NULL));
  check(trivet_config_create(builder, &config));
  check(trivet_config_set_flags(config, TRIVET_BUILD_EXPLAIN));
  check(trivet_build(network, config, (trivet_sink_t){plan, keep}, &report));
  printf("%s", trivet_report_text(report, TRIVET_REPORT_EXPLAIN));
  trivet_report_destroy(report);
  trivet_config_destroy(config);
  trivet_network_destroy(network);
  trivet_builder_destroy(builder);
}

static int run(const memory_t* plan) {
  trivet_runtime_t* runtime;
  trivet_engine_t* engine;
  trivet_context_t* context;
  // No plugin: what the operator means lies in the plan.
  check(trivet_runtime_create(NULL, &runtime));
  check(trivet_engine_load_memory(runtime, plan->bytes, plan->size, NULL, &engine));
  check(trivet_context_create(engine, NULL, &context));
  trivet_context_statistics_t statistics = {
      .header = {sizeof(statistics), TRIVET_STRUCT_CONTEXT_STATISTICS, NULL}};
  float x[20], y[20];
  int wrong = 0;
  for (int i = 0; i < 20; ++i) x[i] = (float)i * 0.3f - 3.0f;
  check(trivet_context_set_shape(context, "x", 2, (int64_t[]){5, 4}));
  check(trivet_context_set_address(context, "x", x));
  check(trivet_context_set_address(context, "y", y));
  check(trivet_context_run(context));
  check(trivet_context_statistics(context, &statistics));
  for (int i = 0; i < 20; ++i) {
    double a = (double)x[i] + 1, wanted = 2 * a / (1 + exp(-1.5 * a));
    wrong |= !(fabs(y[i] - wanted) < 1e-5);
  }
  printf("%llu step, results %s\n", (unsigned long long)statistics.step_count,
         wrong ? "wrong" : "right");
  trivet_context_destroy(context);
  trivet_engine_destroy(engine);
  trivet_runtime_destroy(runtime);
  return wrong || statistics.step_count != 1;  // fused with its neighbours
}

int main(int argc, char** argv) {
  static memory_t plan;
  if (argc != 4)
    return fprintf(stderr, "usage: use_operator PLUGIN_FOLDER OPERATOR.so MODEL.onnx\n"), 2;
  compile(argv, &plan);
  return run(&plan);
}
