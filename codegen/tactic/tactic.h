// SPDX-License-Identifier: Apache-2.0
//
// Tactics: asks the kernels of a target which ways they know to run a region, prices or measures
// them, and picks one. All measured times are kept in a cache under the region's signature, without
// names or weights, so that equal regions share one decision. It stands between cover and schedule;
// it knows no kernel by name.
#ifndef TRIVET_CODEGEN_TACTIC_TACTIC_H_
#define TRIVET_CODEGEN_TACTIC_TACTIC_H_

#include "codegen/tactic/load_price.h"
#include "core/base/vector.h"
#include "core/pass/precision.h"
#include "core/registry/registry.h"
#include "core/target/target.h"
#include "core/target/timing_cache.h"
#include "runtime/device/measure_device.h"
#include "trivet/trivet.h"

// One line of the explain report.
typedef struct tvi_explain_note_s {
  const char* by;  // pass, fuser or kernel
  trivet_string_view_t origin;
  trivet_string_view_t text;
  bool declined;
} tvi_explain_note_t;

// A subgraph of control flow as a plan of its own, see core/plan/control_blob.h.
typedef struct tvi_body_plan_s {
  const uint8_t* bytes;
  uint64_t size;
  const tvi_value_id_t* captures;  // of the graph around it
  const trivet_dim_t* symbols;
  const trivet_string_view_t* plugins;  // whose code runs in it
  uint32_t capture_count, symbol_count, plugin_count;
} tvi_body_plan_t;

struct tvi_tactic_context_s;

// Compiles bodies for the host; what it gives lies in |arena|.
typedef struct tvi_body_compiler_s {
  void* self;
  trivet_status_t (*compile)(void* self, const struct tvi_tactic_context_s* around,
                             const trivet_graph_t* body, tvi_arena_t* arena,
                             tvi_body_plan_t* out_plan);
} tvi_body_compiler_t;

typedef struct tvi_tactic_options_s {
  const char* target;
  const trivet_device_t* device;  // of a target with memory of its own; NULL: the host
  uint32_t mode;                  // TRIVET_TACTICS_*
  uint32_t
      thread_count;  // for prices; plans do not depend on the threads of the machine that builds
  const int64_t* symbols;      // shapes to optimise for
  const int64_t* symbols_max;  // largest shapes
  uint32_t symbol_count;
  bool explain;
  const char* const* disabled;  // fusers switched off
  uint32_t disabled_count;
  tvi_timing_cache_t* cache;  // timed, locked: required
  const char* cache_path;  // timed: file of the cache, or NULL; builds that share its folder take
                           // turns in measuring
  trivet_executor_t* executor;         // timed: threads to measure with
  const tvi_registry_t* run_registry;  // timed: where run halves are found
  tvi_measure_device_t* measure;       // timed, with a device: what to measure on
  trivet_progress_t progress;
  double max_load_ms;     // what loading the plan may take beside the start of the device's driver
                          // and of weights; 0: anything
  uint64_t weight_bytes;  // with |max_load_ms|: that go to the device
  uint32_t queues;        // most queues of steps, for a device; below 2: one
  uint32_t alternatives;  // heuristic: most tactics a step is given, for a device that will choose
  const tvi_precision_policy_t* precision;  // where products may round; NULL: nowhere
  const char* dump_folder;                  // where kernels leave what they generate; NULL: nowhere
  tvi_body_compiler_t bodies;               // of control flow; without: it cannot be compiled
} tvi_tactic_options_t;

typedef struct tvi_tactic_context_s {
  tvi_tactic_options_t options;
  const tvi_registry_t* registry;
  trivet_allocator_t allocator;
  tvi_arena_t* arena;
  TVI_VECTOR(const trivet_kernel_t*)
  kernels;  // of the target, with a build half, in order of registration
  TVI_VECTOR(tvi_explain_note_t) notes;
  tvi_code_cache_t code_cache;
  tvi_load_price_t load_price;
} tvi_tactic_context_t;

trivet_status_t tvi_tactic_context_create(const tvi_registry_t* registry,
                                          const tvi_tactic_options_t* options,
                                          trivet_allocator_t allocator,
                                          tvi_tactic_context_t** out_context);
void tvi_tactic_context_destroy(tvi_tactic_context_t* context);

bool tvi_tactic_fuser_enabled(const tvi_tactic_context_t* context, const char* fuser);
void tvi_tactic_note(tvi_tactic_context_t* context, const char* by, const trivet_graph_t* graph,
                     tvi_node_id_t node, bool declined, const char* format, ...)
    TRIVET_PRINTF_FORMAT(6, 7);

// Tells the caller how far the build is; CANCELLED when the caller asks for it.
trivet_status_t tvi_tactic_progress(const tvi_tactic_context_t* context, const char* phase,
                                    uint32_t done, uint32_t total);
// Whether any kernel has |flag|, TRIVET_KERNEL_*.
bool tvi_tactic_has_flag(const tvi_tactic_context_t* context, uint32_t flag);
// The target's own kernel for everything (TRIVET_KERNEL_GENERAL).
bool tvi_tactic_is_general(const trivet_kernel_t* kernel);

// A region of |nodes| that computes |program|, without its operands.
void tvi_tactic_region_init(tvi_tactic_context_t* context, const trivet_graph_t* graph,
                            const tvi_kir_program_t* program, const tvi_node_id_t* nodes,
                            uint32_t node_count, const char* made_by, trivet_region_t* out_region);

// All tactics of |region|; with |reasons| not NULL, why kernels declined ("cpu_onednn.convolution:
// ...; ...").
typedef TVI_VECTOR(tvi_tactic_t) tvi_tactic_list_t;
trivet_status_t tvi_tactic_enumerate(tvi_tactic_context_t* context, const trivet_region_t* region,
                                     tvi_tactic_list_t* out_tactics, tvi_string_builder_t* reasons);
// The tactic to use, by mode, and where a device is to choose later, the next ones: the cheapest of
// every other kernel before the second of one, and last the target's own, which needs no library.
#define TVI_MAX_ALTERNATIVES 32u
typedef struct tvi_tactic_choice_s {
  tvi_tactic_t tactics[TVI_MAX_ALTERNATIVES];
  uint32_t count;  // at least 1
} tvi_tactic_choice_t;
// NOT_FOUND with all reasons when no kernel runs the region, and when a lock file has no tactic for
// it or one that no kernel proposes.
trivet_status_t tvi_tactic_choose(tvi_tactic_context_t* context, const trivet_region_t* region,
                                  tvi_tactic_choice_t* out_choice);

#endif  // TRIVET_CODEGEN_TACTIC_TACTIC_H_
