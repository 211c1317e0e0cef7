// SPDX-License-Identifier: Apache-2.0
//
// What the parts of `trivet plugin check` share. Each definition of a plugin is run in a process of
// its own, so that one that crashes or hangs is named and the others are still looked at; faults
// are told to the parent through memory that both see.
#ifndef TRIVET_TOOLS_TRIVET_CHECK_H_
#define TRIVET_TOOLS_TRIVET_CHECK_H_

#include <signal.h>

#include "core/graph/graph.h"
#include "core/registry/registry.h"
#include "tools/trivet/command.h"

// A target beside the host.
typedef struct check_target_s {
  char name[32];       // "cuda:sm_90"
  uint32_t runs;       // 1: its device is here
  uint32_t asked_for;  // 1: for everything; 0: only for what is written for it
} check_target_t;
#define CHECK_TARGETS 8u

// Seen by parent and child.
typedef struct check_tally_s {
  uint32_t cases, refused, faults;
  uint32_t definition_count;
  uint32_t target_count;
  check_target_t targets[CHECK_TARGETS];
  char doing[400];  // what a child was about when it ended
  char last_refusal[400];
} check_tally_t;

// Heap memory that is counted, and holds |fill| when it is given.
typedef struct check_memory_s {
  int64_t live;
  int64_t refuse_in;  // the allocation after so many is refused, once; 0: none
  uint8_t fill;
} check_memory_t;

typedef struct check_s {
  const arguments_t* arguments;
  const char* path;               // of the plugin
  const trivet_plugin_t* plugin;  // in the registry
  tvi_registry_t* registry;       // build halves of all plugins, for the reference
  check_tally_t* tally;
  double tolerance;                  // of floats; 0: what goes with their type
  uint32_t seconds;                  // that a definition may take
  trivet_runtime_t* device_runtime;  // opened on first use, and kept
  check_memory_t device_memory;
  bool device_code;  // the definition brings code for devices, which is compiled in any case
} check_t;

// (Re)opens the registry with all plugins, that one, and check_operators.
trivet_status_t check_open_registry(check_t* check);

// Says what is about to be done, so that a crash has a place.
void check_doing(check_t* check, const char* format, ...) TRIVET_PRINTF_FORMAT(2, 3);
// The use of an operator that is being tried, "" where it is none.
const char* check_operator_place(void);
void check_set_place(const char* place);
// "  FAULT: ...", with what was being done.
void check_fault(check_t* check, const char* format, ...) TRIVET_PRINTF_FORMAT(2, 3);
// A case that the definition does not take; its message is kept. Consumes |status|.
void check_refused(check_t* check, trivet_status_t status);

// Memory that |memory| counts.
trivet_allocator_t check_allocator(check_memory_t* memory);

// Bytes of malloc's memory that stay allocated after each call of |body|; 0 for what does not grow
// with every call.
#define CHECK_ROUNDS 20
size_t check_growth(void (*body)(void* argument), void* argument);

// What of the process a plugin has to leave as it is. |before|: noted before it did anything.
#define CHECK_SIGNALS 65
typedef struct check_process_s {
  struct sigaction signals[CHECK_SIGNALS];
  char folder[1024], locale[256];
  uint32_t mode_mask, float_mode, open_files;
  uint64_t environment;
} check_process_t;
void check_process_note(check_process_t* out);
void check_process_judge(check_t* check, const check_process_t* before);

// Memory between two guards, all of it |poison|.
typedef struct check_block_s {
  uint8_t* raw;
  uint8_t* data;
  uint64_t size;
} check_block_t;
#define CHECK_GUARD 256u
check_block_t check_block_make(uint64_t size, uint8_t poison);
void check_block_free(check_block_t* block);
// NULL, or where it was written: "before its beginning", "past its end".
const char* check_block_guards(const check_block_t* block);
// Bytes that still hold their poison in both.
uint64_t check_block_unwritten(const check_block_t* a, uint8_t poison_a, const check_block_t* b,
                               uint8_t poison_b);

// Values of any type: small, of both signs where the type has any, never 0.
void check_fill(trivet_tensor_t* tensor, uint32_t seed);
// How far apart two tensors of one type may be, floats by |least| at least; "" if they are not
// farther, else what differs.
void check_compare(const trivet_tensor_t* got, const trivet_tensor_t* wanted, double least,
                   char* out, size_t size);

// Runs a graph as text through the whole compiler and runtime, for two sets of shapes, and compares
// with the plain evaluation of the graph; poison, guards, determinism, threads, leaks. |kernel|
// (NULL: none) is looked for in what was built, with all of its tactics; |pass| (NULL: none) runs
// before all others. |out_used| (may be NULL): the kernel runs a step, the pass changed the graph.
// A graph that is refused is counted. Then the same for the targets that the tally names.
void check_graph(check_t* check, const char* text, const trivet_kernel_t* kernel, const char* pass,
                 bool* out_used);
// The graphs that are written here and those of --graph, for a kernel or a pass or a target.
bool check_graphs(check_t* check, const trivet_kernel_t* kernel, const char* pass);
// An operator by its declaration. With |kernel|: graphs with it, to look at the kernel; true where
// that ran one.
bool check_operator(check_t* check, const tvi_operator_entry_t* entry,
                    const trivet_kernel_t* kernel);
// Fills the tally's list of targets from --target, the devices that are here and what |plugin| has
// for devices, and says what cannot be built or run.
trivet_status_t check_find_targets(check_t* check, const trivet_plugin_t* plugin);
// A scalar function, in an operator that calls it; its device code is compiled.
void check_function(check_t* check, const trivet_scalar_function_t* function);
void check_device(check_t* check, const trivet_device_t* device);
// Operators of our own for graphs to try: check.Copy, a host function, and what check_function
// made.
const trivet_plugin_t* check_operators(uint32_t host_major, uint32_t host_minor);
// The evaluate hook of one node on given inputs. |wanted|: types that were inferred.
void check_hook(check_t* check, const trivet_graph_t* graph, tvi_node_id_t node,
                const trivet_tensor_t* inputs, const trivet_tensor_t* wanted);
void check_kernel(check_t* check, const trivet_kernel_t* kernel);
void check_rewrite(check_t* check, const trivet_rewrite_t* rewrite);
void check_pass(check_t* check, const char* name);
void check_frontend(check_t* check, const trivet_frontend_t* frontend);

#endif  // TRIVET_TOOLS_TRIVET_CHECK_H_
