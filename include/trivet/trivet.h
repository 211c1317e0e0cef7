// SPDX-License-Identifier: Apache-2.0
//
// trivet/trivet.h: compiles networks into plans. The whole of libtrivet.so; what runs plans is in
// trivet/runtime.h, included here.
//
//   trivet_builder_create -> load plugins -> trivet_network_create -> parse a model or add layers
//     -> trivet_config_create -> profiles, options -> trivet_build -> plan bytes in a sink
//
// Objects belong to one thread at a time; several builders may work in several threads at once. No
// global state; the environment is not read. Every call that can fail returns a status; on error
// outputs are untouched. Strings are copied.
#ifndef TRIVET_TRIVET_H_
#define TRIVET_TRIVET_H_

#include "trivet/layers.h"
#include "trivet/plugin.h"
#include "trivet/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TRIVET_STRUCT_BUILDER_OPTIONS 0x54420001u
#define TRIVET_STRUCT_PARSE_OPTIONS 0x54420002u
#define TRIVET_STRUCT_BUILD_REPORT 0x54420003u
#define TRIVET_STRUCT_PROGRESS 0x54420004u
#define TRIVET_STRUCT_VALUE_INFO 0x54420005u
#define TRIVET_STRUCT_NODE_INFO 0x54420006u

typedef struct trivet_builder_s trivet_builder_t;
typedef struct trivet_network_s trivet_network_t;
typedef struct trivet_config_s trivet_config_t;
typedef struct trivet_report_s trivet_report_t;

// ---------------------------------------------------------------------------------------------
// Builder: the instance that plugins are loaded into
// ---------------------------------------------------------------------------------------------
typedef struct trivet_builder_options_s {
  trivet_header_t header;
  trivet_allocator_t allocator;  // all zero: the system's
  trivet_logger_t logger;        // log NULL: silent
  // Gets the errors of loading plugins, reading and making networks, passes and builds.
  trivet_error_recorder_t error_recorder;
} trivet_builder_options_t;

TRIVET_API trivet_status_t trivet_builder_create(const trivet_builder_options_t* options,
                                                 trivet_builder_t** out_builder);
TRIVET_API void trivet_builder_destroy(trivet_builder_t* builder);
// Loads one plugin (path with a separator), or all of the folders of "a:b". Before networks are
// made.
TRIVET_API trivet_status_t trivet_builder_load_plugin(trivet_builder_t* builder, const char* path);
TRIVET_API trivet_status_t trivet_builder_load_plugin_path(trivet_builder_t* builder,
                                                           const char* path_list);
// Adds a plugin that the program itself holds; it is needed at run time like one that was loaded.
TRIVET_API trivet_status_t trivet_builder_add_plugin(trivet_builder_t* builder,
                                                     trivet_plugin_query_fn_t query);
TRIVET_API uint32_t trivet_builder_plugin_count(const trivet_builder_t* builder);
TRIVET_API trivet_status_t trivet_builder_plugin_info(const trivet_builder_t* builder,
                                                      uint32_t index, const char** out_name,
                                                      const char** out_version,
                                                      const char** out_path);

// Writes to |sink| what the plugin at |path| would register beside what |builder| holds, one
// definition a line, or "PATH: refused: REASON"; nothing of it is kept. |out_refused| (may be NULL)
// gets 1 or 0. A refusal is no error of this call.
TRIVET_API trivet_status_t trivet_plugin_describe(const trivet_builder_t* builder, const char* path,
                                                  trivet_sink_t sink, uint32_t* out_refused);

// ---------------------------------------------------------------------------------------------
// Network: a graph being built
// ---------------------------------------------------------------------------------------------
TRIVET_API trivet_status_t trivet_network_create(trivet_builder_t* builder, const char* name,
                                                 trivet_network_t** out_network);
TRIVET_API void trivet_network_destroy(trivet_network_t* network);

typedef struct trivet_parse_options_s {
  trivet_header_t header;
  const char* frontend;             // NULL: the one that recognises the bytes best
  const char* const* option_names;  // handed to the frontend
  const char* const* option_values;
  uint64_t option_count;
  const char*
      file_name;  // parse_memory: used in reports and as the folder of external data; NULL: none
} trivet_parse_options_t;

// Reads a model into an empty network. The file stays mapped as long as the network.
TRIVET_API trivet_status_t trivet_network_parse_file(trivet_network_t* network, const char* path,
                                                     const trivet_parse_options_t* options);
// |bytes| must outlive the network.
TRIVET_API trivet_status_t trivet_network_parse_memory(trivet_network_t* network, const void* bytes,
                                                       uint64_t size,
                                                       const trivet_parse_options_t* options);
// Reads Trivet's own text form of a graph (what trivet_network_print writes).
TRIVET_API trivet_status_t trivet_network_parse_text(trivet_network_t* network, const char* text,
                                                     uint64_t size);
#define TRIVET_PRINT_ORIGINS 1u
#define TRIVET_PRINT_CONSTANTS 2u  // all contents inline, so that the text is self-contained
TRIVET_API trivet_status_t trivet_network_print(const trivet_network_t* network, uint32_t flags,
                                                trivet_sink_t sink);

// A network as data, for tools that draw or list it. Numbers of values belong to one visit;
// pointers are valid during the callback.
#define TRIVET_VALUE_INPUT 0u
#define TRIVET_VALUE_CONSTANT 1u
#define TRIVET_VALUE_COMPUTED 2u
typedef struct trivet_value_info_s {
  trivet_header_t header;
  uint32_t value;      // its number, from 1
  uint32_t kind;       // TRIVET_VALUE_*
  const char* name;    // original name; "": none
  const char* type;    // "f32[batch, 3, 224, 224]"
  const char* output;  // name as an output of the network; NULL: it is none
} trivet_value_info_t;
typedef struct trivet_node_info_s {
  trivet_header_t header;
  const char* op;          // "std.Conv"
  const char* name;        // original nodes, "conv1 + relu1"
  const char* attributes;  // "strides = [2, 2], group = 1"
  const char* made_by;     // pass that made it; "": none
  const uint32_t* inputs;  // numbers of values; 0: absent
  const uint32_t* outputs;
  uint32_t input_count;
  uint32_t output_count;
} trivet_node_info_t;
typedef struct trivet_network_visitor_s {
  void* self;
  // Both required. An error ends the visit and is its result.
  trivet_status_t (*value)(void* self, const trivet_value_info_t* info);
  trivet_status_t (*node)(void* self, const trivet_node_info_t* info);
} trivet_network_visitor_t;
// Inputs, constants that are used, then each node followed by the values that it makes, in the
// order in which they run. Bodies of control flow are not entered.
TRIVET_API trivet_status_t trivet_network_visit(const trivet_network_t* network,
                                                trivet_network_visitor_t visitor);

// Runs passes by name: "a,(b,c)*,d"; NULL |pipeline|: that of |config|. NULL |config|: defaults.
TRIVET_API trivet_status_t trivet_network_run_passes(trivet_network_t* network,
                                                     const char* pipeline,
                                                     const trivet_config_t* config);

// Layer by layer. A trivet_value_t is a tensor of the network. Dimensions: |dims[i]| >= 0 is an
// extent; -1 takes the symbol named by |symbols[i]| (NULL: a symbol made from the input's name and
// the axis); |symbols| may be NULL where no dimension is -1.
TRIVET_API trivet_status_t trivet_network_add_input(trivet_network_t* network, const char* name,
                                                    trivet_dtype_t dtype, uint32_t rank,
                                                    const int64_t* dims, const char* const* symbols,
                                                    trivet_value_t* out_value);
// |data| is dense and row-major; copied unless |flags| is TRIVET_CONSTANT_VIEW.
TRIVET_API trivet_status_t trivet_network_add_constant(trivet_network_t* network, const char* name,
                                                       const trivet_tensor_t* tensor,
                                                       uint32_t flags, trivet_value_t* out_value);
// Any operator of the registry. The typed calls of trivet/layers.h are short for this.
TRIVET_API trivet_status_t trivet_network_add_node(
    trivet_network_t* network, const char* op, const trivet_value_t* inputs, uint32_t input_count,
    const trivet_attribute_t* attributes, uint32_t attribute_count, const char* name,
    uint32_t output_count, trivet_value_t* out_outputs);
TRIVET_API trivet_status_t trivet_network_mark_output(trivet_network_t* network,
                                                      trivet_value_t value, const char* name);
// The value keeps a buffer in the plan and can be read by |name| (an original name of the model),
// whatever is fused around it.
TRIVET_API trivet_status_t trivet_network_observe(trivet_network_t* network, const char* name);
TRIVET_API trivet_status_t trivet_network_value_name(trivet_network_t* network,
                                                     trivet_value_t value, const char* name);
// The value called |name|, among those that a frontend or this interface made: so a model of
// weights alone (a frontend that adds constants and names them) feeds a network made by calls.
TRIVET_API trivet_status_t trivet_network_find_value(trivet_network_t* network, const char* name,
                                                     trivet_value_t* out_value);
TRIVET_API trivet_status_t trivet_network_value_type(const trivet_network_t* network,
                                                     trivet_value_t value,
                                                     trivet_tensor_info_t* out_info);
TRIVET_API uint32_t trivet_network_input_count(const trivet_network_t* network);
TRIVET_API uint32_t trivet_network_output_count(const trivet_network_t* network);
// Name, type and shape; -1 for symbolic extents.
TRIVET_API trivet_status_t trivet_network_input(const trivet_network_t* network, uint32_t index,
                                                trivet_tensor_info_t* out_info);
TRIVET_API trivet_status_t trivet_network_output(const trivet_network_t* network, uint32_t index,
                                                 trivet_tensor_info_t* out_info);

// ---------------------------------------------------------------------------------------------
// Config: how to build
// ---------------------------------------------------------------------------------------------
#define TRIVET_TACTICS_HEURISTIC 0u  // by estimated price
#define TRIVET_TACTICS_TIMED 1u      // measured, all times kept in the timing cache
#define TRIVET_TACTICS_LOCKED 2u     // from a lock file; a region that it does not know is an error

TRIVET_API trivet_status_t trivet_config_create(trivet_builder_t* builder,
                                                trivet_config_t** out_config);
TRIVET_API void trivet_config_destroy(trivet_config_t* config);
// "cpu" is the default.
TRIVET_API trivet_status_t trivet_config_set_target(trivet_config_t* config, const char* target);
// Threads that the plan is optimised for; 0: the number of CPUs that this process may use.
TRIVET_API trivet_status_t trivet_config_set_thread_count(trivet_config_t* config,
                                                          uint32_t thread_count);
// f32, but matrix products and convolutions may round their factors to 10 bits behind the point
// (errors near 5e-4 of a factor), where the target has such units. TRIVET_DTYPE_F32 rounds nothing.
#define TRIVET_PRECISION_TF32 0x100u
// What f32 networks are computed on: TRIVET_DTYPE_F32 (the default), TRIVET_PRECISION_TF32,
// TRIVET_DTYPE_F16 or _BF16. Inputs and outputs keep their types, and sums inside operators stay
// f32.
TRIVET_API trivet_status_t trivet_config_set_precision(trivet_config_t* config, uint32_t dtype);
// Nodes of the network on other types than the rest. |pattern| is matched against names of nodes
// ("/encoder/*"), or with "op:" before it against what the model calls their operators
// ("op:ai.onnx.Softmax"); '*' is any text, the last call that fits holds, and one that fits nothing
// is an error at build. |dtype|: as above. What cannot be done is a warning of the logger, and an
// error of the build with TRIVET_BUILD_OBEY_PRECISION. A node that the network itself computes on
// f16 or bf16 is left there.
TRIVET_API trivet_status_t trivet_config_add_layer_precision(trivet_config_t* config,
                                                             const char* pattern, uint32_t dtype);
#define TRIVET_LAYOUT_PLAIN 0u          // row-major in the order of the network's extents
#define TRIVET_LAYOUT_CHANNELS_LAST 1u  // [n, c, ...] of the network is [n, ..., c] for the caller
// What the plan takes or gives as input or output |name|: |dtype| (0: as in the network) and
// |layout|. Shapes of the plan, and of profiles, are those of the new layout.
TRIVET_API trivet_status_t trivet_config_set_io_format(trivet_config_t* config, const char* name,
                                                       uint32_t dtype, uint32_t layout);
TRIVET_API trivet_status_t trivet_config_set_tactics(trivet_config_t* config, uint32_t mode);
// With heuristic tactics: how many ways to do it each step may have, 1 (the default) to 32, where
// kernels offer so many. The first is the one that the plan would have alone; the last needs no
// library. A plan for a device that is not there is given several, which trivet_plan_tune
// (trivet/runtime.h) times on the device and prunes.
TRIVET_API trivet_status_t trivet_config_set_alternatives(trivet_config_t* config, uint32_t count);
// What loading the plan to the first result may take, beside the start of the device's driver; 0
// (the default): anything. Libraries that would take longer are left out, by what they are known
// to cost. For targets of devices; since 0.3.
TRIVET_API trivet_status_t trivet_config_set_max_load(trivet_config_t* config, double milliseconds);
// Most queues, 1 to 8, in which a device runs steps beside each other; 1 is the default. Steps that
// do not depend on each other are put into several where that is expected to end sooner: branches
// that take long beside what it costs to wait for each other, and are too small to fill the device.
// Plans need more memory then. Targets without streams run all steps in their order. Since 0.3.
TRIVET_API trivet_status_t trivet_config_set_queues(trivet_config_t* config, uint32_t count);
// File that measured times are read from and added to (made when missing); in locked mode the lock
// file, which is only read. With heuristic tactics it is an error at build. Builds at the same
// time, of any process, whose files lie in one folder take turns in measuring and keep each other's
// times.
TRIVET_API trivet_status_t trivet_config_set_timing_cache(trivet_config_t* config,
                                                          const char* path);
// After a build: a lock file, the same form with the winners of this build only. A locked build
// wants exactly these: a line of a region that the network does not have is an error too. Builds
// for a device also write the code of the plan to |path|.code; where that lies beside the lock file
// a locked build takes its code from there and compiles nothing again. Without it, plans with code
// of libraries that never write the same bytes twice (cuDNN) differ from build to build.
TRIVET_API trivet_status_t trivet_config_set_lock_output(trivet_config_t* config, const char* path);
// Switches a pass, rewrite or fuser off by name; an unknown name is an error at build.
TRIVET_API trivet_status_t trivet_config_disable_pass(trivet_config_t* config, const char* name);
// Inserts pass |name| after (or before) every |anchor| of the pipeline; "plugin:NAME": all passes
// of the loaded plugin NAME, in its order. An anchor that the pipeline lacks is an error at build.
TRIVET_API trivet_status_t trivet_config_insert_pass(trivet_config_t* config, const char* name,
                                                     const char* anchor, uint32_t before);
// Runs pass |replacement| wherever the pipeline has |name|, which is an error at build if it has
// not.
TRIVET_API trivet_status_t trivet_config_replace_pass(trivet_config_t* config, const char* name,
                                                      const char* replacement);
// Replaces the whole pipeline.
TRIVET_API trivet_status_t trivet_config_set_pipeline(trivet_config_t* config,
                                                      const char* pipeline);
// Plugins, comma separated, whose shared objects the plan shall carry where it needs their code at
// run time; "all": every one that it needs. NULL, the default: none. Names are checked at build.
// Who runs such a plan has to allow it (TRIVET_ENGINE_ALLOW_CARRIED).
TRIVET_API trivet_status_t trivet_config_carry_plugins(trivet_config_t* config, const char* names);
#define TRIVET_BUILD_VERIFY_PASSES 1u   // verify the graph after each pass
#define TRIVET_BUILD_EXPLAIN 2u         // collect the explain report
#define TRIVET_BUILD_OBEY_PRECISION 4u  // a precision of layers that cannot be given is an error
// The types that the network says, and no others: an error together with a precision.
#define TRIVET_BUILD_STRONGLY_TYPED 8u
TRIVET_API trivet_status_t trivet_config_set_flags(trivet_config_t* config, uint32_t flags);
TRIVET_API trivet_status_t trivet_config_set_dump_folder(trivet_config_t* config,
                                                         const char* folder);
// Bisection: no pass changes anything after |changes| changes; -1: no limit.
TRIVET_API trivet_status_t trivet_config_set_stop_after(trivet_config_t* config, int64_t changes);
// Original node names, comma separated, that no pass may change; one that the model does not have
// is an error at build.
TRIVET_API trivet_status_t trivet_config_set_skip_nodes(trivet_config_t* config, const char* names);

// Profiles. Adds an empty one and gives its index. For inputs without symbolic extents nothing
// needs to be said; a symbolic input that a profile does not mention is an error at build. Without
// any profile, symbols take the defaults: every extent 1 .. 1 .. 64.
TRIVET_API trivet_status_t trivet_config_add_profile(trivet_config_t* config, uint32_t* out_index);
TRIVET_API trivet_status_t trivet_config_set_profile_shape(trivet_config_t* config,
                                                           uint32_t profile, const char* input,
                                                           uint32_t rank, const int64_t* min_dims,
                                                           const int64_t* opt_dims,
                                                           const int64_t* max_dims);

// Progress: |done| of |total| steps of phase |phase|. A non-zero result cancels the build (status
// CANCELLED).
typedef struct trivet_progress_s {
  void* self;
  uint32_t (*update)(void* self, const char* phase, uint32_t done, uint32_t total);
} trivet_progress_t;
TRIVET_API trivet_status_t trivet_config_set_progress(trivet_config_t* config,
                                                      trivet_progress_t progress);

// ---------------------------------------------------------------------------------------------
// Build
// ---------------------------------------------------------------------------------------------
// Compiles |network| (which is consumed by the passes: it may be printed and destroyed afterwards,
// not built again) and writes the plan to |sink|. |out_report| may be NULL; what it gets is freed
// with trivet_report_destroy, also where the build fails after the passes.
TRIVET_API trivet_status_t trivet_build(trivet_network_t* network, const trivet_config_t* config,
                                        trivet_sink_t sink, trivet_report_t** out_report);
TRIVET_API trivet_status_t trivet_build_file(trivet_network_t* network,
                                             const trivet_config_t* config, const char* path,
                                             trivet_report_t** out_report);

TRIVET_API void trivet_report_destroy(trivet_report_t* report);
// Text for people ("explain": regions, who made them, near misses), JSON for tools. Lives as long
// as the report.
#define TRIVET_REPORT_EXPLAIN 0u
#define TRIVET_REPORT_JSON 1u
#define TRIVET_REPORT_PASSES 2u
TRIVET_API const char* trivet_report_text(const trivet_report_t* report, uint32_t kind);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_TRIVET_H_
