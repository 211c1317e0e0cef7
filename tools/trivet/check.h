// SPDX-License-Identifier: Apache-2.0
//
// What the parts of `trivet plugin check` share. Each definition of a plugin is run in a process of
// its own, so that one that crashes or hangs is named and the others are still looked at; faults
// are told to the parent through memory that both see.
#ifndef TRIVET_TOOLS_TRIVET_CHECK_H_
#define TRIVET_TOOLS_TRIVET_CHECK_H_

#include "core/graph/graph.h"
#include "core/registry/registry.h"
#include "tools/trivet/command.h"

// Seen by parent and child.
typedef struct check_tally_s {
  uint32_t cases, refused, faults;
  uint32_t definition_count;
  char doing[400];  // what a child was about when it ended
  char last_refusal[400];
} check_tally_t;

typedef struct check_s {
  const arguments_t* arguments;
  const char* path;          // of the plugin
  tvi_registry_t* registry;  // build halves of all plugins, for the reference
  check_tally_t* tally;
} check_t;

// Says what is about to be done, so that a crash has a place.
void check_doing(check_t* check, const char* format, ...) TRIVET_PRINTF_FORMAT(2, 3);
// The use of an operator that is being tried, "" where it is none.
const char* check_operator_place(void);
// "  FAULT: ...", with what was being done.
void check_fault(check_t* check, const char* format, ...) TRIVET_PRINTF_FORMAT(2, 3);
// A case that the definition does not take; its message is kept. Consumes |status|.
void check_refused(check_t* check, trivet_status_t status);

// Heap memory that is counted.
typedef struct check_memory_s {
  int64_t live;
} check_memory_t;
trivet_allocator_t check_allocator(check_memory_t* memory);

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
// How far apart two tensors of one type may be; "" if they are not farther, else what differs.
void check_compare(const trivet_tensor_t* got, const trivet_tensor_t* wanted, char* out,
                   size_t size);

// Runs a graph as text through the whole compiler and runtime, for two sets of shapes, and compares
// with the plain evaluation of the graph; poison, guards, determinism, threads, leaks. |kernel|
// (NULL: none) is looked for in what was built; |pass| (NULL: none) runs before all others.
// |out_used| (may be NULL): the kernel runs a step, the pass changed the graph. A graph that is
// refused is counted.
void check_graph(check_t* check, const char* text, const char* kernel, const char* pass,
                 bool* out_used);
// An operator by its declaration.
void check_operator(check_t* check, const tvi_operator_entry_t* entry);
// The evaluate hook of one node on given inputs. |wanted|: types that were inferred.
void check_hook(check_t* check, const trivet_graph_t* graph, tvi_node_id_t node,
                const trivet_tensor_t* inputs, const trivet_tensor_t* wanted);
void check_kernel(check_t* check, const trivet_kernel_t* kernel);
void check_rewrite(check_t* check, const trivet_rewrite_t* rewrite);
void check_pass(check_t* check, const char* name);
void check_frontend(check_t* check, const trivet_frontend_t* frontend);

#endif  // TRIVET_TOOLS_TRIVET_CHECK_H_
