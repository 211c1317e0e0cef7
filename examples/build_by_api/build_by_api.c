// SPDX-License-Identifier: Apache-2.0
//
// build_by_api PLUGIN_FOLDER PLAN: a network written layer by layer with the typed calls, compiled
// into a plan file, loaded and run. What each call wants is in trivet/layers.h.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "trivet/trivet.h"

// Every call gives a status; NULL is good. An example may end at the first error.
static void check(trivet_status_t status) {
  if (!status) return;
  fprintf(stderr, "build_by_api: %s\n", trivet_status_message(status));
  exit(1);
}

static trivet_value_t weights(trivet_network_t* network, const char* name, uint32_t rank,
                              const int64_t* dims) {
  static float data[10 * 8 * 9];
  int64_t count = 1;
  trivet_tensor_t tensor = {.dtype = TRIVET_DTYPE_F32, .rank = rank, .data = data};
  for (uint32_t i = 0; i < rank; ++i) count *= tensor.dims[i] = dims[i];
  for (int64_t i = 0; i < count; ++i) data[i] = (float)(i * 37 % 17 - 8) / 16.0f;
  tensor.size = (uint64_t)count * sizeof(float);
  trivet_value_t value;
  check(trivet_network_add_constant(network, name, &tensor, TRIVET_CONSTANT_COPY, &value));
  return value;
}

// image [batch, 1, 8, 8] -> conv 3x3 (8 channels), relu -> average -> 10 classes -> softmax
static void add_layers(trivet_network_t* n) {
  trivet_value_t x, w;
  check(trivet_network_add_input(n, "image", TRIVET_DTYPE_F32, 4, (int64_t[]){-1, 1, 8, 8},
                                 (const char*[]){"batch", 0, 0, 0}, &x));
  trivet_window_t window = {.header = {sizeof(window), TRIVET_STRUCT_WINDOW, NULL},
                            .pads_begin = {1, 1},
                            .pads_end = {1, 1}};
  w = weights(n, "conv.weight", 4, (int64_t[]){8, 1, 3, 3});
  check(trivet_network_add_convolution(n, x, w, 0, 1, &window, "conv", &x));
  check(trivet_network_add_activation(n, x, TRIVET_ACTIVATION_RELU, 0, 0, "relu", &x));
  check(trivet_network_add_global_pooling(n, x, TRIVET_POOLING_AVERAGE, "pool", &x));
  check(trivet_network_add_squeeze(n, x, (int64_t[]){2, 3}, 2, "flat", &x));
  w = weights(n, "classes.weight", 2, (int64_t[]){10, 8});
  check(trivet_network_add_fully_connected(n, x, w, 0, "classes", &x));
  check(trivet_network_add_softmax(n, x, 1, 0, "softmax", &x));
  check(trivet_network_mark_output(n, x, "probabilities"));
}

static void compile(const char* plugins, const char* plan) {
  trivet_builder_t* builder;
  trivet_network_t* network;
  trivet_config_t* config;
  uint32_t profile;
  check(trivet_builder_create(NULL, &builder));
  check(trivet_builder_load_plugin_path(builder, plugins));
  check(trivet_network_create(builder, "example", &network));
  add_layers(network);
  check(trivet_config_create(builder, &config));
  // The batch may be anything from 1 to 16 when the plan runs; 4 is what it is optimised for.
  check(trivet_config_add_profile(config, &profile));
  check(trivet_config_set_profile_shape(config, profile, "image", 4, (int64_t[]){1, 1, 8, 8},
                                        (int64_t[]){4, 1, 8, 8}, (int64_t[]){16, 1, 8, 8}));
  check(trivet_build_file(network, config, plan, NULL));
  trivet_config_destroy(config);
  trivet_network_destroy(network);
  trivet_builder_destroy(builder);
}

static int run(const char* plugins, const char* plan) {
  static float image[3 * 64], probabilities[3 * 10];
  trivet_runtime_t* runtime;
  trivet_engine_t* engine;
  trivet_context_t* context;
  check(trivet_runtime_create(NULL, &runtime));
  check(trivet_runtime_load_plugin_path(runtime, plugins));  // kernels that the plan names
  check(trivet_engine_load(runtime, plan, NULL, &engine));
  check(trivet_context_create(engine, NULL, &context));
  for (int i = 0; i < 3 * 64; ++i) image[i] = (float)(i % 16) / 16.0f;
  check(trivet_context_set_shape(context, "image", 4, (int64_t[]){3, 1, 8, 8}));
  check(trivet_context_set_address(context, "image", image));
  check(trivet_context_set_address(context, "probabilities", probabilities));
  check(trivet_context_run(context));
  int wrong = 0;
  for (int b = 0; b < 3; ++b) {
    double sum = 0;
    for (int c = 0; c < 10; ++c) sum += probabilities[b * 10 + c];
    printf("image %d: class 0 has %.4f, all classes together %.4f\n", b, probabilities[b * 10],
           sum);
    wrong |= !(fabs(sum - 1) < 1e-5);
  }
  trivet_context_destroy(context);
  trivet_engine_destroy(engine);
  trivet_runtime_destroy(runtime);
  return wrong;
}

int main(int argc, char** argv) {
  if (argc != 3) return fprintf(stderr, "usage: build_by_api PLUGIN_FOLDER PLAN\n"), 2;
  compile(argv[1], argv[2]);
  return run(argv[1], argv[2]);
}
