// SPDX-License-Identifier: Apache-2.0
//
// compile_plan TARGET PLAN PLUGIN...: the compiling side of runtime_only_test.sh. Builds
// relu(acme.RowNorm(x, scale)) + x with a dynamic batch through the public API.
#include <stdio.h>
#include <string.h>

#include "trivet/trivet.h"

#define WIDTH 24

static trivet_status_t make_network(trivet_network_t* network) {
  const int64_t dims[2] = {-1, WIDTH};
  const char* const symbols[2] = {"batch", NULL};
  float scale[WIDTH];
  for (int i = 0; i < WIDTH; ++i) scale[i] = 0.25f * (float)(i + 1);
  trivet_tensor_t tensor = {
      .dtype = TRIVET_DTYPE_F32, .rank = 1, .dims = {WIDTH}, .data = scale, .size = sizeof(scale)};
  trivet_value_t x, normed, rectified, y, operands[2];
  trivet_status_t status =
      trivet_network_add_input(network, "x", TRIVET_DTYPE_F32, 2, dims, symbols, &x);
  if (!status) {
    status =
        trivet_network_add_constant(network, "scale", &tensor, TRIVET_CONSTANT_COPY, &operands[1]);
  }
  operands[0] = x;
  if (!status) {
    status =
        trivet_network_add_node(network, "acme.RowNorm", operands, 2, NULL, 0, "norm", 1, &normed);
  }
  if (!status) {
    status =
        trivet_network_add_node(network, "std.Relu", &normed, 1, NULL, 0, "relu", 1, &rectified);
  }
  operands[0] = rectified;
  operands[1] = x;
  if (!status) {
    status = trivet_network_add_node(network, "std.Add", operands, 2, NULL, 0, "add", 1, &y);
  }
  return status ? status : trivet_network_mark_output(network, y, "y");
}

static trivet_status_t build(trivet_builder_t* builder, const char* target, const char* path) {
  const int64_t min[2] = {1, WIDTH}, opt[2] = {4, WIDTH}, max[2] = {6, WIDTH};
  trivet_network_t* network = NULL;
  trivet_config_t* config = NULL;
  uint32_t profile;
  trivet_status_t status = trivet_network_create(builder, "runtime-only", &network);
  if (!status) status = make_network(network);
  if (!status) status = trivet_config_create(builder, &config);
  if (!status) status = trivet_config_set_target(config, target);
  if (!status) status = trivet_config_add_profile(config, &profile);
  if (!status) status = trivet_config_set_profile_shape(config, profile, "x", 2, min, opt, max);
  if (!status) status = trivet_build_file(network, config, path, NULL);
  trivet_config_destroy(config);
  trivet_network_destroy(network);
  return status;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  trivet_builder_t* builder = NULL;
  trivet_status_t status = trivet_builder_create(NULL, &builder);
  for (int i = 3; i < argc && !status; ++i) status = trivet_builder_load_plugin(builder, argv[i]);
  if (!status) status = build(builder, argv[1], argv[2]);
  trivet_builder_destroy(builder);
  if (!status) return 0;
  fprintf(stderr, "compile_plan: %s\n", trivet_status_message(status));
  trivet_status_free(status);
  return 1;
}
