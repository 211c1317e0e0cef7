// SPDX-License-Identifier: Apache-2.0
//
// Inside of a context: one engine, one set of shapes and addresses, the memory and the prepared
// kernels for them. context.c holds what callers set, bind_shapes.c turns shapes into numbers,
// prepare.c plans memory and prepares kernels, run.c and host_step.c run. One thread at a time.
#ifndef TRIVET_RUNTIME_CONTEXT_CONTEXT_H_
#define TRIVET_RUNTIME_CONTEXT_CONTEXT_H_

#include "runtime/device/device.h"
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
  uint64_t nanoseconds, count;                  // measured
} tvi_context_step_t;

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
  bool is_resolved;  // |operand_addresses| follow from the addresses given
  // What follows from the shapes.
  int64_t* symbols;
  bool* symbol_is_unknown;
  int64_t* values;  // of expressions that are not late
  uint64_t epoch;   // grows whenever a late symbol changes its value
  tvi_context_buffer_t* buffers;
  tvi_context_step_t* steps;
  int64_t* operand_offsets;  // bytes, for the operands of all steps
  void** operand_addresses;
  char* memory;  // the arena of buffers
  uint64_t memory_capacity, memory_size, memory_lower_bound, memory_alignment;
  char* workspace;
  uint64_t workspace_size;
  // Room for one step at a time.
  trivet_operand_t* step_operands;
  int64_t* step_parameters;
  trivet_tensor_t* step_tensors;
  tvi_context_scratch_t* scratch;
  uint64_t run_count, prepare_count;
  bool is_profiled;
};

// --- bind_shapes.c -------------------------------------------------------------------------------

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
trivet_status_t tvi_context_grow_workspace(trivet_context_t* context, uint64_t size);
// At least |size| bytes for a late buffer; keeps its contents.
trivet_status_t tvi_context_grow_buffer(trivet_context_t* context, uint32_t buffer, uint64_t size);
// True when strides are those of a dense row-major tensor.
bool tvi_operand_is_dense(const trivet_operand_t* operand);
// Elements of an operand.
int64_t tvi_operand_element_count(const trivet_operand_t* operand);

// --- run.c, host_step.c --------------------------------------------------------------------------

// Addresses of the operands of one step.
void tvi_context_resolve_step(trivet_context_t* context, uint32_t step);
trivet_status_t tvi_context_run_host(trivet_context_t* context, uint32_t step);
void tvi_context_free_scratch(trivet_context_t* context);

// --- observe.c -----------------------------------------------------------------------------------

// Copies observed values out, dense and row-major, where the caller gave an address.
trivet_status_t tvi_context_copy_observed(trivet_context_t* context);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_RUNTIME_CONTEXT_CONTEXT_H_
