// SPDX-License-Identifier: Apache-2.0
//
// Inside of a context: one engine, one set of shapes and addresses, the memory and the prepared
// kernels for them. context.c holds what callers set, bind_shapes.c turns shapes into numbers,
// prepare.c plans memory and prepares kernels, staging.c brings the caller's memory to where the
// plan wants it, run.c, host_step.c and control_step.c run, queues.c puts steps side by side,
// replay.c captures. One thread at a time.
#ifndef TRIVET_RUNTIME_CONTEXT_CONTEXT_H_
#define TRIVET_RUNTIME_CONTEXT_CONTEXT_H_

#include "runtime/device/device.h"
#include "runtime/device/open_device.h"
#include "runtime/engine/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

// Arena, workspace and late buffers are aligned to this.
#define TVI_CONTEXT_ALIGNMENT 64u

typedef struct tvi_context_input_s {
  bool is_set;
  int64_t dims[TRIVET_MAX_RANK];
} tvi_context_input_t;

typedef struct tvi_context_buffer_s {
  char* base;         // where it lies; NULL: nowhere yet
  uint64_t size;      // bytes that views may touch
  uint64_t offset;    // arena buffers: in the arena
  uint64_t capacity;  // late arena buffers have an allocation of their own, of this size
} tvi_context_buffer_t;

typedef struct tvi_context_step_s {
  const tvi_engine_alternative_t* alternative;  // the chosen one; NULL: not prepared
  void* prepared;                               // LAUNCH: what the kernel's prepare made
  bool is_skipped;                              // all outputs are empty
  bool is_prepared;                             // LAUNCH: release has to be called
  uint64_t epoch;                               // late steps: of the symbols it was prepared for
  uint64_t bytes;                               // read and written per run
  uint64_t copy_size;                           // COPY: bytes
  uint64_t nanoseconds, count;                  // measured
} tvi_context_step_t;

// Memory of one kind that grows and is kept.
typedef struct tvi_context_memory_s {
  char* base;
  uint64_t capacity, alignment;
} tvi_context_memory_t;

// An input or output of the caller and its place beside it, where the plan cannot use the address
// itself: it lies in the other memory, or is not aligned enough.
typedef struct tvi_context_staged_s {
  tvi_context_memory_t memory[2];  // by TRIVET_MEMORY_*
  bool is_staged[2];               // the plan's buffers in that memory lie in |memory|
  uint32_t where;                  // TRIVET_MEMORY_*: of the address given
} tvi_context_staged_t;

// A queue of the plan. The first one runs in the context's stream.
typedef struct tvi_context_queue_s {
  void* stream;                        // of the others
  void* end;                           // event: where a run's part ends
  const trivet_kernel_t* last_kernel;  // of the launch before, while steps are queued
  bool is_open;                        // holds what the context's stream does not wait for yet
} tvi_context_queue_t;

// A captured run. Without a graph: addresses that were seen once.
typedef struct tvi_context_graph_s {
  void** addresses;  // of the inputs and outputs on the device
  void* graph;
  uint64_t last_used;  // 0: free
  uint64_t run_count;
} tvi_context_graph_t;

// Memory for host functions: grows, is kept and used again.
typedef struct tvi_context_scratch_s {
  struct tvi_context_scratch_s* next;
  uint64_t size, used;
  char* memory;
} tvi_context_scratch_t;

struct trivet_context_s {
  trivet_engine_t* engine;
  trivet_allocator_t allocator;
  tvi_arena_t arena;            // every array below; nothing is added after creation
  tvi_device_pool_t* pool;      // NULL: one thread
  trivet_executor_t* executor;  // of the pool, or NULL
  uint32_t thread_count;
  uint32_t profile;
  // What the caller sets, by the engine's list of tensors.
  tvi_context_input_t* inputs;
  char** addresses;
  bool is_prepared;
  bool is_resolved;  // the addresses given were looked at
  // What follows from the shapes.
  int64_t* symbols;
  bool* symbol_is_unknown;
  int64_t* values;  // of expressions that are not late
  uint64_t epoch;   // grows whenever a late symbol changes its value
  tvi_context_buffer_t* buffers;
  tvi_context_step_t* steps;
  struct tvi_context_control_s** controls;  // by step; NULL where the engine has no control flow
  int64_t* operand_offsets;                 // bytes, for the operands of all steps
  void** operand_addresses;
  tvi_context_memory_t arenas[2];            // of buffers, by TRIVET_MEMORY_*
  uint64_t memory_size, memory_lower_bound;  // of the target's arena
  tvi_context_memory_t workspace;            // of all queues
  uint64_t used[2];                          // bytes of this context, by TRIVET_MEMORY_*
  uint64_t memory_limit;
  uint32_t fill;  // TRIVET_CONTEXT_FILL_*; 0: memory stays as it is between runs
  // Of a target with memory of its own.
  const tvi_open_device_t* device;  // NULL: the host
  void* stream;                     // where runs are queued
  void* own_stream;
  void* order_event;
  void* marks[2];
  int64_t mark_times[2];   // on the host
  bool is_pending;         // something was queued and not waited for
  bool is_steps_resolved;  // |operand_addresses| follow from the addresses given
  bool wants_device_addresses;
  bool is_replay_off;  // asked for, or the device cannot
  bool is_capturing;
  // Queues of the plan that are streams: without streams 1.
  uint32_t queue_count;
  tvi_context_queue_t queues[TVI_PLAN_MAX_QUEUES];
  void** step_events;            // by step; NULL: nobody waits for it. With several queues
  void* fork_event;              // where a run begins
  bool is_in_order;              // this run: all steps in queue 0
  tvi_context_staged_t* staged;  // by the engine's list of tensors
  uint32_t* staged_list;         // those that have to be copied
  uint32_t staged_count;
  tvi_context_graph_t* graphs;  // graph_limit
  uint32_t graph_limit;
  uint32_t device_binding_count;  // length of tvi_context_graph_t.addresses
  uint32_t* device_bindings;      // buffers of the plan
  tvi_context_graph_t* current;   // for the addresses given; NULL: none
  tvi_context_graph_t spare;      // all inputs and outputs staged: for addresses never seen before
  bool is_warm;                   // the steps have run once since prepare
  void** events;                  // profile: step_count + 1
  uint64_t replay_count;
  // By step the number of the alternative to take, TVI_PLAN_NONE: as usual. Or NULL. For tuning.
  const uint32_t* forced;
  // Room for one step at a time.
  trivet_operand_t* step_operands;
  int64_t* step_parameters;
  trivet_tensor_t* step_tensors;
  tvi_context_scratch_t* scratch;
  uint64_t run_count, prepare_count;
  bool is_profiled;
};

// --- context.c, run.c ----------------------------------------------------------------------------

// trivet_context_create and trivet_context_run for callers that report the error themselves.
trivet_status_t tvi_context_create(trivet_engine_t* engine, const trivet_context_options_t* options,
                                   trivet_context_t** out_context);
trivet_status_t tvi_context_run(trivet_context_t* context);
// What callers set once it is checked; what follows from it is made again only if it differs.
void tvi_context_put_shape(trivet_context_t* context, uint32_t input, uint32_t rank,
                           const int64_t* dims);
void tvi_context_put_address(trivet_context_t* context, uint32_t tensor, void* address);

// --- control_step.c ------------------------------------------------------------------------------

// Runs a step of control flow on what |call| has.
trivet_status_t tvi_context_run_control(trivet_context_t* context, uint32_t step,
                                        trivet_evaluation_t* call);
void tvi_context_free_controls(trivet_context_t* context);

// --- bind_shapes.c -------------------------------------------------------------------------------

// trivet_context_prepare for callers that report the error themselves.
trivet_status_t tvi_context_prepare(trivet_context_t* context);
// Symbols from the shapes of inputs, checked against everything that the plan says of them; then
// all expressions that are not late.
trivet_status_t tvi_context_bind_shapes(trivet_context_t* context);
// Value of an expression; FAILED_PRECONDITION while a late symbol in it has no value.
trivet_status_t tvi_context_value(const trivet_context_t* context, tvi_plan_expr_t expr,
                                  int64_t* out_value);
// Gives a late symbol its value for this run, checked as other symbols are. A second one must
// agree.
trivet_status_t tvi_context_bind_late(trivet_context_t* context, uint32_t symbol, int64_t value);
// The checks of the plan that can be decided now and could not before: those over late symbols
// when |late|, the others otherwise.
trivet_status_t tvi_context_check_guards(const trivet_context_t* context, bool late);
// |out_holds| receives whether all guards do.
trivet_status_t tvi_context_guards_hold(const trivet_context_t* context,
                                        const tvi_plan_guard_t* guards, uint32_t count,
                                        bool* out_holds);

// --- prepare.c -----------------------------------------------------------------------------------

// Extents, strides and offset (in bytes) of a tensor, proven to lie in its buffer.
trivet_status_t tvi_context_view(trivet_context_t* context, uint32_t tensor,
                                 trivet_operand_t* out_operand, int64_t* out_offset);
// Chooses an alternative of a step and lets its kernel prepare. Grows |inout_workspace_size|.
trivet_status_t tvi_context_prepare_step(trivet_context_t* context, uint32_t step,
                                         uint64_t* inout_workspace_size);
void tvi_context_release_steps(trivet_context_t* context);
// At least |size| bytes for a late buffer; keeps its contents.
trivet_status_t tvi_context_grow_buffer(trivet_context_t* context, uint32_t buffer, uint64_t size);
// True when strides are those of a dense row-major tensor.
bool tvi_operand_is_dense(const trivet_operand_t* operand);
// Elements of an operand.
int64_t tvi_operand_element_count(const trivet_operand_t* operand);

// --- context_memory.c ----------------------------------------------------------------------------

// The memory that launches use.
uint32_t tvi_context_own_memory(const trivet_context_t* context);
// Grows |memory| of kind |where| to |size| bytes; waits for what is queued before anything moves.
// What it held is lost. OUT_OF_MEMORY names |what|, the need and the limit; the memory is gone
// then.
trivet_status_t tvi_context_grow(trivet_context_t* context, uint32_t where, const char* what,
                                 uint64_t size, uint64_t alignment, tvi_context_memory_t* memory);
void tvi_context_release_memory(trivet_context_t* context, uint32_t where,
                                tvi_context_memory_t* memory);
// Copies in |stream|, or at once where there is no device.
trivet_status_t tvi_context_copy(trivet_context_t* context, void* stream, void* target,
                                 const void* source, uint64_t size);
// Queues what |context->fill| asks for, ahead of a run.
trivet_status_t tvi_context_fill_memory(trivet_context_t* context);
// Waits for what was queued, in all queues.
trivet_status_t tvi_context_finish(trivet_context_t* context);
// Stream, events, marks and room for graphs.
trivet_status_t tvi_context_open_device(trivet_context_t* context, uint32_t graph_count);
void tvi_context_close_device(trivet_context_t* context);
trivet_status_t tvi_context_make_events(trivet_context_t* context);

// --- queues.c ------------------------------------------------------------------------------------

// Streams and events, where the plan has several queues; context->queue_count is 1 before.
trivet_status_t tvi_context_open_queues(trivet_context_t* context);
void tvi_context_close_queues(trivet_context_t* context);
// A run begins. |in_order|: its steps run in queue 0.
trivet_status_t tvi_context_begin_queues(trivet_context_t* context, bool in_order);
// The queue that a step of this run is put into, and a queue's stream.
uint32_t tvi_context_queue_of(const trivet_context_t* context, uint32_t step);
void* tvi_context_queue_stream(const trivet_context_t* context, uint32_t queue);
// Around every step of a run: its queue waits for what the plan says, and tells those who wait.
trivet_status_t tvi_context_begin_step(trivet_context_t* context, uint32_t step);
trivet_status_t tvi_context_end_step(trivet_context_t* context, uint32_t step);
// The context's stream waits for all queues.
trivet_status_t tvi_context_join_queues(trivet_context_t* context);
// Bytes of workspace that the steps of one queue have, where they lie, and growing them for all.
uint64_t tvi_context_workspace_share(const trivet_context_t* context);
void* tvi_context_workspace_of(const trivet_context_t* context, uint32_t queue);
trivet_status_t tvi_context_grow_workspace(trivet_context_t* context, uint64_t share);

// --- staging.c -----------------------------------------------------------------------------------

// Looks at the addresses given, makes the memory that stands for those which cannot be used as they
// are, and sets the bases of the plan's bindings.
trivet_status_t tvi_context_resolve(trivet_context_t* context);
// What the caller gave, to where it is wanted; and back.
trivet_status_t tvi_context_stage_inputs(trivet_context_t* context);
trivet_status_t tvi_context_stage_outputs(trivet_context_t* context);
// Bytes of the tensor, with the largest extents where they depend on data.
trivet_status_t tvi_context_largest_size(const trivet_context_t* context, uint32_t index,
                                         uint64_t* out_size);

// --- replay.c ------------------------------------------------------------------------------------

// The graph for the addresses that were resolved, or a place for one. |out_is_known|: seen before.
tvi_context_graph_t* tvi_context_find_graph(trivet_context_t* context, bool* out_is_known);
// Makes |context->spare| the graph of the bases of bindings as they are.
void tvi_context_take_spare(trivet_context_t* context);
// Whether runs of this context can be captured at all.
bool tvi_context_can_replay(const trivet_context_t* context);
// Queues the steps: a graph where there is one or it is time to capture it, else one by one.
trivet_status_t tvi_context_queue_steps(trivet_context_t* context);
void tvi_context_drop_graphs(trivet_context_t* context);

// --- run.c, host_step.c --------------------------------------------------------------------------

// Addresses of the operands of one step.
void tvi_context_resolve_step(trivet_context_t* context, uint32_t step);
trivet_status_t tvi_context_run_steps(trivet_context_t* context);
trivet_status_t tvi_context_run_host(trivet_context_t* context, uint32_t step);
void tvi_context_free_scratch(trivet_context_t* context);

// --- observe.c -----------------------------------------------------------------------------------

// Copies observed values out, dense and row-major, where the caller gave an address.
trivet_status_t tvi_context_copy_observed(trivet_context_t* context);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_RUNTIME_CONTEXT_CONTEXT_H_
