// SPDX-License-Identifier: Apache-2.0
//
// What the subcommands of `trivet` share: options, plugins, shapes, errors. One file per
// subcommand; each has a help text and a run function, listed in main.c.
#ifndef TRIVET_TOOLS_TRIVET_COMMAND_H_
#define TRIVET_TOOLS_TRIVET_COMMAND_H_

#include <stdbool.h>

#include "core/base/arena.h"
#include "core/base/npy.h"
#include "core/base/status.h"
#include "core/base/string_builder.h"
#include "trivet/trivet.h"

// One option of a command. |value| NULL: a flag, |seen| counts.
typedef struct option_s {
  const char* name;        // "--output"
  const char* short_name;  // "-o" or NULL
  bool takes_value;
  bool repeats;       // every value is kept, in |values|; one that takes no value may then get
                      // one behind "=", else NULL is kept
  const char* value;  // last one given
  const char* values[64];
  int seen;
} option_t;

typedef struct arguments_s {
  option_t* options;
  int option_count;
  const char* words[64];  // what is no option
  int word_count;
} arguments_t;

typedef struct command_s {
  const char* name;
  const char* summary;  // one line
  const char* help;     // the whole text of --help
  int (*run)(int argc, char** argv);
} command_t;

// Fills |arguments| or prints what is wrong to stderr and returns false.
bool parse_arguments(const command_t* command, int argc, char** argv, arguments_t* arguments);
const option_t* find_option(const arguments_t* arguments, const char* name);
const char* option_value(const arguments_t* arguments, const char* name, const char* fallback);
bool option_given(const arguments_t* arguments, const char* name);
// A whole number within limits, or an error that names the option.
trivet_status_t option_number(const arguments_t* arguments, const char* name, int64_t fallback,
                              int64_t least, int64_t most, int64_t* out_value);

// Prints "trivet COMMAND: message", frees the status, returns the exit status 1.
int report_error(const char* command, trivet_status_t status);

// Folders of plugins: --plugin-path, else TRIVET_PLUGIN_PATH, else ../lib/trivet/plugins beside the
// command. The text lives in |buffer|.
const char* plugin_folders(const arguments_t* arguments, char* buffer, size_t size);
trivet_status_t load_builder_plugins(trivet_builder_t* builder, const arguments_t* arguments);
trivet_status_t load_runtime_plugins(trivet_runtime_t* runtime, const arguments_t* arguments);

// "x:1x3x224x224,y:2": name and extents. |text| is one item's end on return.
typedef struct named_shape_s {
  char name[256];
  uint32_t rank;
  int64_t dims[TRIVET_MAX_RANK];
} named_shape_t;
trivet_status_t parse_shapes(const char* text, named_shape_t* shapes, size_t capacity,
                             size_t* out_count);

trivet_logger_t stderr_logger(const arguments_t* arguments);

// A context with inputs bound: from --inputs files (.npy, .npz, .bin, a folder of .npy) or random,
// and memory for outputs. Used by run and bench.
typedef struct session_s {
  trivet_runtime_t* runtime;
  trivet_engine_t* engine;
  trivet_context_t* context;
  tvi_arena_t arena;  // inputs and outputs
  double load_ms;     // plan to engine
  double prepare_ms;  // to a context that is ready
  uint32_t tensor_count;
  void* addresses[256];  // by tensor index
  // With |device_io|: what the context gets, where the plan's target has memory of its own.
  bool device_io;
  uint32_t device;  // which one was asked for
  void* device_addresses[256];
  uint64_t device_sizes[256];
  uint32_t graph_count;  // sets of addresses that runs are kept for; 0: as many as usual
} session_t;
// Clears |session|; commands may set |device_io| then.
void init_session(session_t* session);
trivet_status_t open_session(session_t* session, const char* plan, const arguments_t* arguments,
                             const trivet_runtime_options_t* options);
void close_session(session_t* session);
// Shape and memory of output or observed tensor |index| after a run.
trivet_status_t session_tensor(const session_t* session, uint32_t index,
                               tvi_npy_array_t* out_array);

// Sets of memory for inputs and outputs, taking turns: what a program does that hands over another
// batch in every run. The first set is the session's own.
typedef struct rotation_s {
  session_t* session;
  uint32_t set_count, turn;
  void** addresses;  // [set][tensor]; NULL: does not take part
} rotation_t;
trivet_status_t open_rotation(session_t* session, uint32_t set_count, rotation_t* out_rotation);
// Gives the context the next set.
trivet_status_t rotate(rotation_t* rotation);
// Before the session is closed.
void close_rotation(rotation_t* rotation);

// One layer of a profile.
typedef struct layer_figures_s {
  uint32_t index;  // in the plan
  double ms;       // a run
  uint64_t bytes;  // read and written in a run
  double gigabytes_per_second;
  double share_of_copy;      // of what copying from one place to another reaches; 0: not known
  uint64_t flops;            // operations in a run; 0: not known
  double share_of_peak;      // of what the device can do at most; 0: not known
  double share_of_roofline;  // the larger of both
  const char *name, *kernel, *tactic;
} layer_figures_t;
// Sorts |layers|.
trivet_status_t write_profile_page(const char* path, const char* title, const char* summary,
                                   layer_figures_t* layers, size_t count);

// Writes one plan of |count| plans for other targets each, and says so.
trivet_status_t merge_plans(const arguments_t* arguments, const char* const* paths, uint32_t count,
                            const char* output);

// A builder with all plugins loaded.
trivet_status_t open_builder(const arguments_t* arguments, trivet_builder_t** out_builder);
// MODEL of the command line: a model file, a graph as text, or "-" for either from standard input.
// close_model also after an error.
typedef struct model_s {
  trivet_network_t* network;
  char* bytes;  // of text or standard input
  size_t size;
} model_t;
trivet_status_t open_model(trivet_builder_t* builder, const char* path,
                           const arguments_t* arguments, model_t* model);
void close_model(model_t* model);

// Where text goes: a file that appears when it is complete, or standard output (NULL, "-").
typedef struct output_s {
  trivet_sink_t sink;
  struct tvi_file_writer_t* writer;
} output_t;
trivet_status_t open_output(const char* path, output_t* output);
// Keeps the file if |status| is OK, drops it otherwise. The result is |status| or the new failure.
trivet_status_t close_output(output_t* output, trivet_status_t status);

// Calls |visit| for each file that load_builder_plugins would load, in its order.
typedef trivet_status_t (*plugin_visit_t)(void* self, const char* path);
trivet_status_t visit_plugin_files(const arguments_t* arguments, plugin_visit_t visit, void* self);

extern const command_t kBuildCommand;
extern const command_t kRunCommand;
extern const command_t kBenchCommand;
extern const command_t kTuneCommand;
extern const command_t kMergeCommand;
extern const command_t kInspectCommand;
extern const command_t kOptCommand;
extern const command_t kPluginCommand;
extern const command_t kPluginsCommand;
extern const command_t kDoctorCommand;

#endif  // TRIVET_TOOLS_TRIVET_COMMAND_H_
