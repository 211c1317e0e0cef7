// SPDX-License-Identifier: Apache-2.0
//
// One graph under `trivet plugin check`: what it should give, its plans for each target, and runs
// of these. Parts: check_graph.c (the way through), check_build.c, check_run.c, check_in_place.c,
// check_target.c.
#ifndef TRIVET_TOOLS_TRIVET_CHECK_TRIAL_H_
#define TRIVET_TOOLS_TRIVET_CHECK_TRIAL_H_

#include "core/plan/plan.h"
#include "tools/trivet/check.h"

#define CHECK_MOST 32u
#define CHECK_SETS 2

// One set of shapes: inputs, what the graph gives for them, and numbers for all symbols.
typedef struct check_shapes_s {
  int64_t symbols[64];
  trivet_tensor_t inputs[CHECK_MOST], outputs[CHECK_MOST];
} check_shapes_t;

typedef struct check_bytes_s {
  char* data;
  size_t size;
} check_bytes_t;
trivet_sink_t check_bytes_sink(check_bytes_t* bytes);

typedef struct check_trial_s {
  check_t* check;
  const char* text;
  const trivet_kernel_t* kernel;  // that is looked for in the plans; NULL: none
  const char* pass;
  trivet_graph_t* graph;
  check_shapes_t sets[CHECK_SETS];
  bool used;
  bool plain;          // one form of it only: no other tactics, no sharing of memory
  bool random;         // a node draws numbers: results are not compared
  const char* target;  // that the plan which runs is for
  char tactic[80];     // that runs, "" where there is one only
  check_memory_t own_memory;
  check_memory_t* memory;     // of the runtime: one's own, or that of the device
  trivet_runtime_t* runtime;  // on the host only
  trivet_engine_t* engine;
} check_trial_t;

// What a run gave, between guards.
typedef struct check_results_s {
  check_block_t blocks[CHECK_MOST];
  uint32_t rank[CHECK_MOST];
  int64_t dims[CHECK_MOST][TRIVET_MAX_RANK];
} check_results_t;
void check_results_free(check_results_t* results);
// Outputs of the same bytes, or of a graph that draws numbers.
bool check_results_same(const check_trial_t* trial, const check_results_t* a,
                        const check_results_t* b);

// A pointer that malloc gave, or the end of the process.
void* check_must(void* memory);
const char* check_name(const tvi_named_value_t* named, char* buffer, size_t size);

// Builds |text|, which has the inputs of the trial, for |target|. With |again| the build is done
// twice and must give the same bytes. Leaks are faults.
trivet_status_t check_build(check_trial_t* trial, const char* text, const char* target,
                            uint32_t alternatives, bool again, check_bytes_t* out_plan);
// The plan as data; |out_copy|, aligned, is what it lies in and is freed after it.
trivet_status_t check_read_plan(const check_bytes_t* bytes, void** out_copy, tvi_plan_t** out_plan);
// Whether an alternative of a step is the trial's kernel.
bool check_is_kernel(const check_trial_t* trial, const tvi_plan_alternative_t* alternative);

// Loads and runs |plan|: results beside the plain evaluation, memory, determinism. |all|: also what
// takes long or is for the host only: threads, refused memory, leaks.
trivet_status_t check_run(check_trial_t* trial, const check_bytes_t* plan, bool all);
// One run of |plan| with the shapes of |set|.
trivet_status_t check_run_once(check_trial_t* trial, const check_bytes_t* plan, int set,
                               check_results_t* out_results);
// Every alternative of the plan by itself, beside the first where |first|.
trivet_status_t check_run_alternatives(check_trial_t* trial, const check_bytes_t* plan, bool first);
// Where a kernel of the trial may write over what it reads: results with shared and with separate
// memory.
trivet_status_t check_in_place(check_trial_t* trial, const char* target);
// The graph with inputs that are transposed and outputs that are parts of others, as text.
trivet_status_t check_write_views(const check_trial_t* trial, tvi_string_builder_t* out_text);
// All targets but the host.
void check_targets(check_trial_t* trial);

#endif  // TRIVET_TOOLS_TRIVET_CHECK_TRIAL_H_
