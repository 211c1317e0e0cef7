// SPDX-License-Identifier: Apache-2.0
//
// A program that holds its plan: no file is opened, no plugin loaded. Runs it on two shapes with
// the caller's memory and checks the results by the formula.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trivet/runtime.h"

extern const char embedded_plan[], embedded_plan_end[];

static void check(trivet_status_t status) {
  if (!status) return;
  fprintf(stderr, "application: %s\n", trivet_status_message(status));
  exit(1);
}

static void expected(const float* x, float* y) {
  static const float bias[4] = {0.5f, -0.25f, 0.125f, 1};
  double in[4], out[4];
  for (int i = 0; i < 4; ++i) in[i] = x[i];
  for (int layer = 0; layer < 2; ++layer) {
    for (int n = 0; n < 4; ++n) {
      double sum = bias[n];
      for (int k = 0; k < 4; ++k) sum += in[k] * ((k * 4 + n) % 5 - 2) * 0.25;
      out[n] = sum / (1 + exp(-sum));
    }
    memcpy(in, out, sizeof(in));
  }
  for (int i = 0; i < 4; ++i) y[i] = (float)out[i];
}

int main(void) {
  trivet_runtime_t* runtime = NULL;
  trivet_engine_t* engine = NULL;
  trivet_context_t* context = NULL;
  check(trivet_runtime_create(NULL, &runtime));
  check(trivet_engine_load_memory(runtime, embedded_plan,
                                  (uint64_t)(embedded_plan_end - embedded_plan), NULL, &engine));
  check(trivet_context_create(engine, NULL, &context));
  static _Alignas(64) float x[64 * 4], y[64 * 4];
  int bad = 0;
  for (int64_t batch = 1; batch <= 64; batch += 63) {
    const int64_t dims[2] = {batch, 4};
    for (int64_t i = 0; i < batch * 4; ++i) x[i] = (float)(i % 11 - 5) * 0.3f;
    check(trivet_context_set_shape(context, "x", 2, dims));
    check(trivet_context_set_address(context, "x", x));
    check(trivet_context_set_address(context, "y", y));
    check(trivet_context_run(context));
    for (int64_t b = 0; b < batch; ++b) {
      float want[4];
      expected(x + b * 4, want);
      for (int i = 0; i < 4; ++i) bad += !(fabsf(y[b * 4 + i] - want[i]) < 1e-5f);
    }
  }
  printf("application: %d of 260 values are wrong\n", bad);
  trivet_context_destroy(context);
  trivet_engine_destroy(engine);
  trivet_runtime_destroy(runtime);
  return bad != 0;
}
