// SPDX-License-Identifier: Apache-2.0
//
// Observed values: who looks at a value must not change the others. Passes run as if nobody looked;
// what they leave of the observed values is marked again, and what they made disappear is computed
// beside, from a copy of the graph that was taken before them.
#ifndef TRIVET_CODEGEN_BUILD_OBSERVATION_H_
#define TRIVET_CODEGEN_BUILD_OBSERVATION_H_

#include "codegen/build/build_internal.h"

typedef struct tvi_observed_value_s {
  trivet_string_view_t name;
  trivet_type_t type;   // before passes
  tvi_value_id_t copy;  // in the copy, before passes
} tvi_observed_value_t;

typedef struct tvi_observation_s {
  trivet_graph_t* copy;  // a subgraph that no node holds; NULL: nothing is observed
  tvi_observed_value_t* values;
  uint32_t count;
} tvi_observation_t;

// Before passes: copies |graph| if a value of it is observed, and takes the marks away. What
// |out_observation| refers to lies in |arena| and in the graph.
trivet_status_t tvi_observation_begin(trivet_graph_t* graph, tvi_arena_t* arena,
                                      tvi_observation_t* out_observation);
// After passes: marks the observed values again. Runs |pipeline| over the copy for those that are
// gone, and adds its nodes to |graph|.
trivet_status_t tvi_observation_end(const tvi_observation_t* observation,
                                    const trivet_config_t* config, trivet_builder_t* builder,
                                    const char* pipeline, tvi_arena_t* arena,
                                    trivet_graph_t* graph);

#endif  // TRIVET_CODEGEN_BUILD_OBSERVATION_H_
