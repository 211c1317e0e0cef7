// SPDX-License-Identifier: Apache-2.0
//
// Pass manager: runs named passes over a graph with instruments written once: time, verify,
// dump-if-changed, enable and disable by name and per node, stop after n changes (bisection). It
// stands between the parsed graph and cover; it knows no pass by name.
#ifndef TRIVET_CORE_PASS_PASS_H_
#define TRIVET_CORE_PASS_PASS_H_

#include <stdbool.h>

#include "core/base/sink.h"
#include "core/base/string_builder.h"
#include "core/graph/graph.h"
#include "core/pass/precision.h"
#include "core/registry/registry.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tvi_pass_options_s {
  const char* const* disabled;  // names; count below
  uint32_t disabled_count;
  uint32_t verify;     // 1: verify the graph after each pass
  int64_t stop_after;  // changes after which every pass declines; -1: never
  // Comma-separated origin node names that no pass may touch; NULL: none. NOT_FOUND when passes are
  // run for one that the graph does not have.
  const char* skip_nodes;
  // NULL: no dumps; else NN-pass.txt after each pass that changed something. The folder exists.
  const char* dump_folder;
  const trivet_logger_t* logger;  // NULL: silent
  // Optional: NULL means that no target is known. Sets *out_accepted when a kernel of the target
  // that is built for, other than its general one, runs |node| as it stands; otherwise |reasons|
  // says why not. Called between changes; must not change the graph.
  trivet_status_t (*accepts)(void* self, const trivet_graph_t* graph, tvi_node_id_t node,
                             bool* out_accepted, tvi_string_builder_t* reasons);
  void* accepts_self;
  const tvi_precision_policy_t* precision;  // NULL: passes decide; lives as long as the manager
} tvi_pass_options_t;

// Time and effect of one pass run.
typedef struct tvi_pass_record_s {
  const char* name;
  uint64_t nanoseconds;
  uint32_t changes;  // counted by tvi_pass_change
  uint32_t runs;
} tvi_pass_record_t;

// One line of the explain report: a pass made, or declined to make, something.
typedef struct tvi_pass_note_s {
  const char* pass;
  trivet_string_view_t origin;  // node name(s)
  trivet_string_view_t text;
  uint32_t declined;  // 1: a near miss with its reason
  uint32_t reserved;
} tvi_pass_note_t;

typedef struct tvi_pass_manager_s tvi_pass_manager_t;

trivet_status_t tvi_pass_manager_create(const tvi_registry_t* registry,
                                        const tvi_pass_options_t* options,
                                        trivet_allocator_t allocator,
                                        tvi_pass_manager_t** out_manager);
void tvi_pass_manager_destroy(tvi_pass_manager_t* manager);

// Runs a pipeline: names of passes and rewrites separated by commas; "(a,b,c)*" repeats the group
// until nothing changes (at most 32 times). Subgraphs are visited too. An unknown name, and an
// order that a pass forbids (after, before), are errors before anything runs. Records and notes add
// up over calls. On error the graph may be changed in part, but is well-formed.
trivet_status_t tvi_pass_manager_run(tvi_pass_manager_t* manager, const char* pipeline,
                                     trivet_graph_t* graph);

uint32_t tvi_pass_manager_record_count(const tvi_pass_manager_t* manager);
const tvi_pass_record_t* tvi_pass_manager_record(const tvi_pass_manager_t* manager, uint32_t index);
uint32_t tvi_pass_manager_note_count(const tvi_pass_manager_t* manager);
const tvi_pass_note_t* tvi_pass_manager_note(const tvi_pass_manager_t* manager, uint32_t index);

// For passes. May the pass change |node|? False when bisection has ended or the node is excluded; a
// pass asks before each change and calls tvi_pass_change after it.
bool tvi_pass_may_change(trivet_pass_context_t* context, const trivet_graph_t* graph,
                         tvi_node_id_t node);
void tvi_pass_change(trivet_pass_context_t* context, const trivet_graph_t* graph,
                     tvi_node_id_t node, const char* format, ...) TRIVET_PRINTF_FORMAT(4, 5);
// A near miss: the pattern was almost there. Shown by --explain.
void tvi_pass_decline(trivet_pass_context_t* context, const trivet_graph_t* graph,
                      tvi_node_id_t node, const char* format, ...) TRIVET_PRINTF_FORMAT(4, 5);
// Is there a target that tvi_pass_accepts asks?
bool tvi_pass_has_target(const trivet_pass_context_t* context);
// Does the target have a kernel for |node| as a whole, as passes ask that write out what none
// takes? False without a target, and then and when kernels decline the report gets their reasons.
trivet_status_t tvi_pass_accepts(trivet_pass_context_t* context, const trivet_graph_t* graph,
                                 tvi_node_id_t node, bool* out_accepted);
// What |node| is to be computed on, as tvi_precision_of_node; 0: the pass decides.
uint32_t tvi_pass_precision(trivet_pass_context_t* context, const trivet_graph_t* graph,
                            tvi_node_id_t node, bool* out_is_rule);
// A rule wants |node| on |dtype| and the pass cannot give it: an error where rules are to be
// obeyed, otherwise a warning and a near miss.
trivet_status_t tvi_pass_precision_missed(trivet_pass_context_t* context,
                                          const trivet_graph_t* graph, tvi_node_id_t node,
                                          uint32_t dtype);
tvi_arena_t* tvi_pass_scratch(trivet_pass_context_t* context);  // emptied after the pass

// Parses the texts of all kinds of definitions, rewrites included: for tvi_registry_options_t.
const tvi_operator_parser_t* tvi_pass_text_parser(void);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_CORE_PASS_PASS_H_
