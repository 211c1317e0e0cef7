// SPDX-License-Identifier: Apache-2.0
//
// two_contexts PLAN PLUGIN_FOLDER PLUGIN: one engine, two contexts of different shapes that run in
// turn. What the plugin's kernel loads they share, what it prepares each has for itself.
#include <stdio.h>
#include <stdlib.h>

#include "trivet/runtime.h"

static void check(trivet_status_t status) {
  if (!status) return;
  fprintf(stderr, "two_contexts: %s\n", trivet_status_message(status));
  exit(1);
}

int main(int argc, char** argv) {
  if (argc != 4) return fprintf(stderr, "usage: two_contexts PLAN PLUGIN_FOLDER PLUGIN\n"), 2;
  trivet_runtime_t* runtime;
  trivet_engine_t* engine;
  trivet_context_t* contexts[2];
  static _Alignas(64) float x[2][64], y[2][64];
  const int64_t lengths[2] = {5, 3};
  check(trivet_runtime_create(NULL, &runtime));
  check(trivet_runtime_load_plugin_path(runtime, argv[2]));
  check(trivet_runtime_load_plugin(runtime, argv[3]));
  check(trivet_engine_load(runtime, argv[1], NULL, &engine));
  for (int c = 0; c < 2; ++c) {
    check(trivet_context_create(engine, NULL, &contexts[c]));
    check(trivet_context_set_shape(contexts[c], "x", 1, &lengths[c]));
    check(trivet_context_prepare(contexts[c]));
    check(trivet_context_set_address(contexts[c], "x", x[c]));
    check(trivet_context_set_address(contexts[c], "y", y[c]));
  }
  for (int i = 0; i < 4; ++i) {
    for (int k = 0; k < 64; ++k) x[i % 2][k] = (float)(i + 1);
    check(trivet_context_run(contexts[i % 2]));
  }
  for (int c = 0; c < 2; ++c) {
    for (int64_t k = 0; k < lengths[c]; ++k) printf(k ? " %g" : "%g", (double)y[c][k]);
    printf("\n");
    trivet_context_destroy(contexts[c]);
  }
  trivet_engine_destroy(engine);
  trivet_runtime_destroy(runtime);
  return 0;
}
