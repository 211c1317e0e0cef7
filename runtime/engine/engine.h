// SPDX-License-Identifier: Apache-2.0
//
// Inside of a runtime and of an engine: a verified plan whose kernels are loaded. Made by engine.c
// and engine_steps.c, read by runtime/context, which runs it. An engine is immutable after loading
// and shared by threads; nothing here may hold what belongs to one set of shapes.
#ifndef TRIVET_RUNTIME_ENGINE_ENGINE_H_
#define TRIVET_RUNTIME_ENGINE_ENGINE_H_

#include <stdbool.h>

#include "core/base/file.h"
#include "core/plan/control_blob.h"
#include "core/plan/plan.h"
#include "core/registry/registry.h"
#include "runtime/device/open_device.h"
#include "trivet/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

struct trivet_runtime_s {
  trivet_allocator_t allocator;
  trivet_logger_t logger;
  trivet_error_recorder_t recorder;
  tvi_registry_t* registry;   // run halves
  tvi_device_list_t devices;  // those that engines have opened
};

// One alternative of a step, ready to be prepared where it is usable.
typedef struct tvi_engine_alternative_s {
  const tvi_plan_alternative_t* plan;
  const trivet_kernel_t* kernel;  // LAUNCH
  void* loaded;                   // LAUNCH: what the kernel's load made
  const trivet_operator_t* op;    // HOST
  const trivet_attribute_t* attributes;
  uint32_t attribute_count;
  // HOST, of control flow: |op| is NULL.
  tvi_control_t control;
  trivet_engine_t* bodies[2];
  bool usable;     // this machine and runtime meet its requirements
  bool is_loaded;  // LAUNCH: unload has to be called
} tvi_engine_alternative_t;

typedef struct tvi_engine_step_s {
  const tvi_plan_step_t* plan;
  tvi_engine_alternative_t* alternatives;  // plan->alternative_count
  uint32_t first_operand;                  // of the step, in arrays over the operands of all steps
  bool is_late;  // depends on a symbol that another step binds: prepared while running
} tvi_engine_step_t;

// What the caller sees by name: inputs, then outputs, then observed values.
typedef struct tvi_engine_tensor_s {
  const char* name;
  uint32_t mode;       // TRIVET_TENSOR_*
  uint32_t binding;    // TVI_PLAN_NONE: observed
  uint32_t tensor;     // of the program
  uint32_t alignment;  // bytes that an address must be a multiple of
  bool is_used;        // an address is needed
} tvi_engine_tensor_t;

struct trivet_engine_s {
  trivet_runtime_t* runtime;
  trivet_allocator_t allocator;
  tvi_file_mapping_t* mapping;  // NULL: from memory
  uint8_t* copy;                // of unaligned memory, or NULL
  uint64_t copy_size;
  tvi_registry_t* carried;  // plugins that the plan brought; NULL: none
  tvi_plan_t* plan;
  const tvi_plan_program_t* program;
  const tvi_plan_block_t* block;    // the main block
  const tvi_open_device_t* device;  // NULL: the host
  char* device_weights;             // the constants that launches read
  uint64_t* device_offsets;         // by constant, in |device_weights|
  uint64_t device_weights_size;
  tvi_arena_t arena;         // every array below
  tvi_engine_step_t* steps;  // block->step_count
  uint32_t operand_total;    // room for the operands of all steps
  uint32_t operand_most;     // of one step
  uint32_t parameter_most;
  uint32_t tensor_count;
  tvi_engine_tensor_t* tensors;
  uint32_t input_count, output_count;
  uint32_t* binding_tensors;  // by binding: its place in |tensors|
  // By index: data-dependent symbols, what is computed from them, and buffers whose size is.
  bool* symbol_is_late;
  bool* expr_is_late;
  bool* tensor_is_late;
  bool* buffer_is_late;
  bool has_late;
  bool has_host;                  // host functions take part: a run cannot be captured
  const trivet_engine_t* around;  // of a body of control flow; lives longer
  uint32_t depth;                 // bodies around this one
  bool has_control;               // steps of control flow
  bool loads_all;                 // every alternative that can run, not only the first
};

// "step 3 (conv1 + relu1)": annotates an error with the step that it came from.
trivet_status_t tvi_engine_annotate_step(const trivet_engine_t* engine, uint32_t step,
                                         trivet_status_t status);
// Decides which alternatives are usable and loads their kernels. On error the engine holds what was
// loaded so far; tvi_engine_unload_steps frees it.
trivet_status_t tvi_engine_load_steps(trivet_engine_t* engine);
void tvi_engine_unload_steps(trivet_engine_t* engine);
// Tells the log what a step took since |start_ns| (tvi_clock_now_ns), where that is long.
void tvi_engine_log_slow_step(const trivet_engine_t* engine, uint32_t step, const char* what,
                              int64_t start_ns);

// Where the bytes of a constant lie for buffer |buffer|, which is one.
char* tvi_engine_constant(const trivet_engine_t* engine, uint32_t buffer);

// --- engine_control.c ----------------------------------------------------------------------------

// Whether a HOST step is one of control flow.
bool tvi_engine_is_control(const tvi_plan_alternative_t* alternative);
// Decodes the blob and loads the bodies, and proves that what they take and give is what the step
// has. On error the alternative holds what was loaded.
trivet_status_t tvi_engine_load_control(trivet_engine_t* engine,
                                        tvi_engine_alternative_t* alternative);
// An engine for a body, whose plan lies in that of |around|.
trivet_status_t tvi_engine_load_body(trivet_engine_t* around, const uint8_t* bytes, uint64_t size,
                                     trivet_engine_t** out_engine);

// --- engine_plugins.c ----------------------------------------------------------------------------

// Sees to it that every plugin of the plan is there, and loads what the plan carries and |options|
// allow. UNAVAILABLE names the plugin and why it was not taken from the plan.
trivet_status_t tvi_engine_find_plugins(trivet_engine_t* engine,
                                        const trivet_engine_options_t* options);
// Those of the runtime come first, so that a plan cannot put its own in their place. NULL: none.
const trivet_plugin_t* tvi_engine_plugin(const trivet_engine_t* engine, trivet_string_view_t name);
const trivet_kernel_t* tvi_engine_kernel(const trivet_engine_t* engine, const char* name,
                                         uint32_t version);
const tvi_operator_entry_t* tvi_engine_operator(const trivet_engine_t* engine, const char* name,
                                                uint32_t version);

// --- engine_device.c -----------------------------------------------------------------------------

// Chooses the first program that this machine can run and opens its device. The error names what is
// missing for each.
trivet_status_t tvi_engine_find_program(trivet_engine_t* engine, uint32_t ordinal);
// Memory on the device for the constants that launches read; |out_is_used|, by constant, of the
// engine: those. NULL: there are none.
trivet_status_t tvi_engine_place_weights(trivet_engine_t* engine, uint64_t memory_limit,
                                         const bool** out_is_used);
// Copies them there. Any thread, beside whatever does not read them.
trivet_status_t tvi_engine_copy_weights(const trivet_engine_t* engine, const bool* is_used);
void tvi_engine_release_device(trivet_engine_t* engine);

// Checks a struct that the caller gives to be filled, and fills it up to the size that it knows.
// |least|: size of its first version.
trivet_status_t tvi_fill_struct(void* out_struct, const void* filled, uint32_t struct_type,
                                uint32_t least, uint32_t size);
// Checks an optional struct of options. |least|: size of its first version.
trivet_status_t tvi_check_options(const trivet_header_t* header, const char* what,
                                  uint32_t struct_type, uint32_t least);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_RUNTIME_ENGINE_ENGINE_H_
