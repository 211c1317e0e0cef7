// SPDX-License-Identifier: Apache-2.0
//
// The objects behind trivet/trivet.h.
// Shared by the files of this folder; applications see them as opaque pointers only.
#ifndef TRIVET_CODEGEN_BUILD_BUILD_INTERNAL_H_
#define TRIVET_CODEGEN_BUILD_BUILD_INTERNAL_H_

#include "codegen/tactic/tactic.h"
#include "core/base/file.h"
#include "core/base/vector.h"
#include "core/graph/graph.h"
#include "core/pass/pass.h"
#include "core/pass/precision.h"
#include "core/plan/plan.h"
#include "core/registry/registry.h"
#include "trivet/trivet.h"

struct trivet_builder_s {
  trivet_allocator_t allocator;
  trivet_logger_t logger;
  trivet_error_recorder_t recorder;
  tvi_registry_t* registry;      // build halves
  tvi_registry_t* run_registry;  // run halves, to measure and to fold constants with
};

struct trivet_network_s {
  trivet_builder_t* builder;
  trivet_allocator_t allocator;
  char* name;
  trivet_graph_t* graph;
  trivet_graph_builder_t* graph_builder;
  TVI_VECTOR(tvi_file_mapping_t*) mappings;  // files that constants point into
  bool parsed;                               // a model was read, or nodes were added
  bool built;
};

typedef TVI_VECTOR(const char*) tvi_name_list_t;

typedef enum tvi_pass_place_e {
  TVI_PASS_AFTER = 0,
  TVI_PASS_BEFORE = 1,
  TVI_PASS_INSTEAD = 2,
} tvi_pass_place_t;

typedef struct tvi_pass_insertion_s {
  const char* name;
  const char* anchor;
  tvi_pass_place_t place;
} tvi_pass_insertion_t;

typedef struct tvi_profile_shape_s {
  const char* input;
  uint32_t rank;
  uint32_t reserved;
  int64_t dims[3][TRIVET_MAX_RANK];  // min, opt, max
} tvi_profile_shape_t;

typedef struct tvi_profile_s {
  TVI_VECTOR(tvi_profile_shape_t) shapes;
} tvi_profile_t;

// What the plan takes or gives in the place of an input or output of the network.
typedef struct tvi_io_format_s {
  const char* name;
  uint32_t dtype;   // 0: the network's
  uint32_t layout;  // TRIVET_LAYOUT_*
} tvi_io_format_t;

struct trivet_config_s {
  trivet_builder_t* builder;
  trivet_allocator_t allocator;
  tvi_arena_t arena;  // strings
  const char* target;
  uint32_t thread_count;
  uint32_t tactics;
  uint32_t alternatives;
  uint32_t queues;
  double max_load_ms;  // 0: anything
  uint32_t flags;
  const char* timing_cache;
  const char* lock_output;
  const char* pipeline;  // NULL: the default
  const char* dump_folder;
  const char* skip_nodes;
  const char* carried;  // plugins that the plan carries; NULL: none
  int64_t stop_after;
  uint32_t precision;  // TRIVET_DTYPE_*: what f32 becomes where no rule says otherwise
  TVI_VECTOR(tvi_precision_rule_t) rules;
  TVI_VECTOR(tvi_io_format_t) io_formats;
  tvi_name_list_t disabled;
  TVI_VECTOR(tvi_pass_insertion_t) insertions;
  TVI_VECTOR(tvi_profile_t) profiles;
  trivet_progress_t progress;
};

struct trivet_report_s {
  trivet_allocator_t allocator;
  tvi_string_builder_t texts[3];  // by TRIVET_REPORT_*
};

// The passes that every build runs, in order.
const char* tvi_default_pipeline(void);
// What the config says about types; points into it.
tvi_precision_policy_t tvi_config_precision(const trivet_config_t* config);
// |config|'s pipeline with insertions done.
trivet_status_t tvi_config_pipeline(const trivet_config_t* config,
                                    tvi_string_builder_t* out_pipeline);
// An error for a name in |disabled| that is no pass, rewrite, fuser or kernel.
trivet_status_t tvi_config_check_names(const trivet_config_t* config);
// An error for a plugin to carry that is not loaded.
trivet_status_t tvi_config_check_carried(const trivet_config_t* config);
// Puts the shared objects that |config| wants carried into |plan|; they and its list of plugins
// come to lie in |arena|.
trivet_status_t tvi_config_carry(const trivet_config_t* config, tvi_arena_t* arena,
                                 tvi_plan_t* plan);
// What passes may ask of the target that is built for (tvi_pass_options_t). NULL: no target.
typedef struct tvi_target_query_s {
  trivet_status_t (*accepts)(void* self, const trivet_graph_t* graph, tvi_node_id_t node,
                             bool* out_accepted, tvi_string_builder_t* reasons);
  void* self;
} tvi_target_query_t;
trivet_status_t tvi_config_run_passes(const trivet_config_t* config, trivet_builder_t* builder,
                                      trivet_graph_t* graph, const char* pipeline,
                                      const tvi_target_query_t* query,
                                      tvi_pass_manager_t** out_manager);

// Gives inputs and outputs the types and layouts that |config| asks for, by casts and transposes
// that passes merge with what they meet. Before profiles, which speak of the new shapes. NOT_FOUND
// for a name that is neither input nor output.
trivet_status_t tvi_io_formats_apply(const trivet_config_t* config, trivet_graph_t* graph);

// Values of all symbols for the shapes to optimise for, and the largest; profiles in the plan's
// form. Arrays lie in |arena|.
typedef struct tvi_shape_choice_s {
  const int64_t* opt;
  const int64_t* max;
  uint32_t symbol_count;
  uint32_t profile_count;
  const tvi_plan_profile_t* profiles;
} tvi_shape_choice_t;
// Narrows the ranges of symbols to what the profiles allow. Before passes.
trivet_status_t tvi_profiles_restrict(const trivet_config_t* config, trivet_graph_t* graph);
// After passes, which may have made symbols.
trivet_status_t tvi_profiles_choose(const trivet_config_t* config, const trivet_graph_t* graph,
                                    tvi_arena_t* arena, tvi_shape_choice_t* out_choice);

#endif  // TRIVET_CODEGEN_BUILD_BUILD_INTERNAL_H_
