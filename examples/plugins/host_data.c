// SPDX-License-Identifier: Apache-2.0
//
// host_data PLUGIN_FOLDER PLAN: data of the program in its own plugin. The plan says by number
// which of the program's tables a node reads, and holds none of them: the tables may change from
// run to run. Who loads the plan without the plugin is told that it is missing.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trivet/plugin.h"
#include "trivet/trivet.h"

enum { TABLES = 2, COLUMNS = 3 };

static float tables[TABLES][COLUMNS] = {{1, 1, 1}, {1, 10, 100}};

static trivet_status_t evaluate(const trivet_operator_t* op, trivet_evaluation_t* evaluation) {
  const trivet_evaluation_api_t* api = evaluation->api;
  const trivet_tensor_t* x = api->input(evaluation, 0);
  const int64_t table = ((const int64_t*)api->attribute(evaluation, "table")->data)[0];
  if (table < 0 || table >= TABLES || x->dims[1] != COLUMNS)
    return api->error(evaluation, TRIVET_STATUS_INVALID_ARGUMENT, "%s: no table for this",
                      op->name);
  trivet_tensor_t* y = NULL;
  trivet_status_t status = api->output(evaluation, 0, TRIVET_DTYPE_F32, 2, x->dims, &y);
  if (status || !y) return status;
  const float* from = x->data;
  float* to = y->data;
  for (int64_t i = 0; i < x->dims[0] * COLUMNS; ++i) to[i] = from[i] * tables[table][i % COLUMNS];
  return NULL;
}

// Impure: what it gives is not to be folded into the plan when its operand is a constant.
TRIVET_OPERATOR_WITH(scale, "acme.ScaleByTable", 1, TRIVET_OPERATOR_IMPURE,
                     "columns by numbers of the program",
                     "op acme.ScaleByTable/1 (x: f32[N, K]) -> (y: f32[N, K])\nattr table: i64\n",
                     NULL, NULL, evaluate);

TRIVET_PLUGIN_HALVES("host_data", "1.0", "one operator", TRIVET_HALF_BUILD | TRIVET_HALF_RUN,
                     &scale)

static const char kNetwork[] =
    "graph \"host_data\" {\n"
    "  symbol n: 1 .. 8\n"
    "  input %x: f32[n, 3]\n"
    "  %positive = std.Relu(%x)\n"
    "  %a = acme.ScaleByTable(%positive) { table = 1 }\n"
    "  %b = acme.ScaleByTable(%a) { table = 0 }\n"
    "  output \"y\": %b\n"
    "}\n";

static void check(trivet_status_t status) {
  if (!status) return;
  fprintf(stderr, "host_data: %s\n", trivet_status_message(status));
  exit(1);
}

static void build(const char* plugins, const char* plan) {
  trivet_builder_t* builder;
  trivet_network_t* network;
  trivet_config_t* config;
  check(trivet_builder_create(NULL, &builder));
  check(trivet_builder_load_plugin_path(builder, plugins));
  check(trivet_builder_add_plugin(builder, trivet_plugin_query));
  check(trivet_network_create(builder, "host_data", &network));
  check(trivet_network_parse_text(network, kNetwork, strlen(kNetwork)));
  check(trivet_config_create(builder, &config));
  check(trivet_build_file(network, config, plan, NULL));
  trivet_config_destroy(config);
  trivet_network_destroy(network);
  trivet_builder_destroy(builder);
}

static void print(const float* y, int count) {
  for (int i = 0; i < count; ++i) printf(i ? " %g" : "%g", (double)y[i]);
  printf("\n");
}

int main(int argc, char** argv) {
  static _Alignas(64) float x[6] = {-1, 2, 3, 4, 5, -6}, y[6];
  const int64_t dims[2] = {2, COLUMNS};
  trivet_runtime_t* runtime;
  trivet_engine_t* engine;
  trivet_context_t* context;
  if (argc != 3) return fprintf(stderr, "usage: host_data PLUGIN_FOLDER PLAN\n"), 2;
  build(argv[1], argv[2]);
  check(trivet_runtime_create(NULL, &runtime));
  check(trivet_runtime_load_plugin_path(runtime, argv[1]));
  trivet_status_t refused = trivet_engine_load(runtime, argv[2], NULL, &engine);
  if (!refused) return fprintf(stderr, "host_data: loaded without its plugin\n"), 1;
  printf("%s\n", trivet_status_message(refused));
  trivet_status_free(refused);
  check(trivet_runtime_add_plugin(runtime, trivet_plugin_query));
  check(trivet_engine_load(runtime, argv[2], NULL, &engine));
  check(trivet_context_create(engine, NULL, &context));
  check(trivet_context_set_shape(context, "x", 2, dims));
  check(trivet_context_set_address(context, "x", x));
  check(trivet_context_set_address(context, "y", y));
  check(trivet_context_run(context));
  print(y, 6);
  tables[0][0] = 0.5F;  // the next run sees it
  check(trivet_context_run(context));
  print(y, 6);
  trivet_context_destroy(context);
  trivet_engine_destroy(engine);
  trivet_runtime_destroy(runtime);
  return 0;
}
