// SPDX-License-Identifier: Apache-2.0
//
// use_weights PLUGIN_FOLDER NPZ_PLUGIN WEIGHTS PLAN: weights are read by a frontend, the network is
// made by calls: y = x * w + b, for any number of rows.
#include <stdio.h>
#include <stdlib.h>

#include "trivet/trivet.h"

static void check(trivet_status_t status) {
  if (!status) return;
  fprintf(stderr, "use_weights: %s\n", trivet_status_message(status));
  exit(1);
}

int main(int argc, char** argv) {
  if (argc != 5) return fprintf(stderr, "use_weights PLUGIN_FOLDER NPZ_PLUGIN WEIGHTS PLAN\n"), 2;
  trivet_builder_t* builder;
  trivet_network_t* network;
  trivet_config_t* config;
  trivet_value_t operands[2], y;
  check(trivet_builder_create(NULL, &builder));
  check(trivet_builder_load_plugin_path(builder, argv[1]));
  check(trivet_builder_load_plugin(builder, argv[2]));
  check(trivet_network_create(builder, "weights", &network));
  check(trivet_network_parse_file(network, argv[3], NULL));
  const int64_t dims[2] = {-1, 3};
  const char* symbols[2] = {"rows", NULL};
  check(trivet_network_add_input(network, "x", TRIVET_DTYPE_F32, 2, dims, symbols, &operands[0]));
  check(trivet_network_find_value(network, "w", &operands[1]));
  check(trivet_network_add_node(network, "std.MatMul", operands, 2, NULL, 0, "product", 1, &y));
  operands[0] = y;
  check(trivet_network_find_value(network, "b", &operands[1]));
  check(trivet_network_add_node(network, "std.Add", operands, 2, NULL, 0, "sum", 1, &y));
  check(trivet_network_mark_output(network, y, "y"));
  check(trivet_config_create(builder, &config));
  check(trivet_build_file(network, config, argv[4], NULL));
  trivet_config_destroy(config);
  trivet_network_destroy(network);
  trivet_builder_destroy(builder);
  return 0;
}
