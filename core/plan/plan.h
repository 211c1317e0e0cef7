// SPDX-License-Identifier: Apache-2.0
//
// Plan: what a compiled network is. The builder fills a tvi_plan_t and writes it; the reader maps a
// file and gives a verified tvi_plan_t whose arrays live in an arena and whose bytes stay in the
// mapping. It is the only thing that compiler and runtime both see. It must not know the graph.
// docs/plan_format.md describes the bytes.
#ifndef TRIVET_CORE_PLAN_PLAN_H_
#define TRIVET_CORE_PLAN_PLAN_H_

#include <stdbool.h>

#include "core/base/arena.h"
#include "core/base/file.h"
#include "core/base/sink.h"
#include "core/base/string_builder.h"
#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TVI_PLAN_MAGIC "TRIVET\r\n"  // 8 bytes; a text-mode transfer breaks it visibly
#define TVI_PLAN_MAJOR 1u
#define TVI_PLAN_MINOR \
  3u  // 1: memories of buffers, steps of kind COPY; 2: carried plugins; 3: costs
#define TVI_PLAN_NONE UINT32_MAX
#define TVI_PLAN_WEIGHT_ALIGNMENT 64u
#define TVI_PLAN_MAX_ALIGNMENT 65536u  // of buffers and bindings
#define TVI_PLAN_MAX_PROGRAMS 64u
#define TVI_PLAN_MAX_QUEUES 8u

// Index of an expression over the plan's symbols. All extents, strides, offsets, sizes and
// parameters are such indices.
typedef uint32_t tvi_plan_expr_t;

typedef struct tvi_plan_symbol_s {
  trivet_string_view_t name;
  int64_t min, max, divisor;  // over all profiles
  uint32_t origin;            // tvi_symbol_origin_t
  uint32_t reserved;
} tvi_plan_symbol_t;

// Encoded by core/dimension/dim_code.h.
typedef struct tvi_plan_expr_code_s {
  const uint8_t* code;
  uint64_t size;
} tvi_plan_expr_code_t;

typedef enum tvi_plan_buffer_kind_e {
  TVI_PLAN_BUFFER_ARENA = 0,     // placed by the memory planner
  TVI_PLAN_BUFFER_BINDING = 1,   // memory of the caller; index: binding
  TVI_PLAN_BUFFER_CONSTANT = 2,  // index: constant
} tvi_plan_buffer_kind_t;

typedef struct tvi_plan_buffer_s {
  uint32_t kind;  // tvi_plan_buffer_kind_t
  uint32_t index;
  tvi_plan_expr_t size;            // bytes
  uint32_t alignment;              // of arena buffers; bindings and constants have their own
  uint32_t first_step, last_step;  // arena buffers: live from first to last, inclusive, in the
                                   // order of the main block; steps behind the last one come, by
                                   // queues and waits, after all that touch it
  uint32_t memory;                 // TRIVET_MEMORY_*; where the target has memory of its own,
                                   // launches touch DEVICE only and host functions HOST only
  uint32_t reserved;
} tvi_plan_buffer_t;

#define TVI_PLAN_TENSOR_OBSERVED 1u

// A view of a buffer.
typedef struct tvi_plan_tensor_s {
  trivet_string_view_t name;  // original name, may be empty
  uint32_t dtype, rank;
  uint32_t buffer;
  uint32_t flags;
  tvi_plan_expr_t offset;  // bytes
  tvi_plan_expr_t dims[TRIVET_MAX_RANK];
  tvi_plan_expr_t strides[TRIVET_MAX_RANK];  // elements
  uint32_t reserved;
} tvi_plan_tensor_t;

typedef struct tvi_plan_constant_s {
  trivet_string_view_t name;  // original name; empty for derived
  uint32_t dtype, rank;
  int64_t dims[TRIVET_MAX_RANK];  // logical; packed forms have their own layout, known to the
                                  // kernel that made them
  uint64_t offset, size;          // in the weights section; offsets are placed by the writer
  uint64_t hash[2];               // of the content, as the builder computes it
} tvi_plan_constant_t;

#define TVI_PLAN_BINDING_INPUT 0u
#define TVI_PLAN_BINDING_OUTPUT 1u

typedef struct tvi_plan_binding_s {
  trivet_string_view_t name;
  uint32_t mode;    // TVI_PLAN_BINDING_*
  uint32_t tensor;  // its view: dense row-major unless the user asked for a format
  uint32_t alignment;
  uint32_t alias;  // output: input binding that it may overlap; TVI_PLAN_NONE
} tvi_plan_binding_t;

// One optimization profile: shapes of every input, min <= opt <= max.
typedef struct tvi_plan_profile_s {
  uint32_t binding_count;
  uint32_t reserved;
  const int64_t* dims;  // [binding][min, opt, max][TRIVET_MAX_RANK], inputs in order of bindings
} tvi_plan_profile_t;

typedef enum tvi_plan_step_kind_e {
  TVI_PLAN_STEP_LAUNCH = 0,
  TVI_PLAN_STEP_HOST =
      1,  // operator's evaluate hook on host tensors; may bind data-dependent symbols
  TVI_PLAN_STEP_COPY = 2,  // from the first operand to the second, of the same type and both dense
  TVI_PLAN_STEP_BIND = 3,
  TVI_PLAN_STEP_IF = 4,
  TVI_PLAN_STEP_LOOP = 5,
} tvi_plan_step_kind_t;

typedef enum tvi_plan_guard_kind_e {
  TVI_PLAN_GUARD_GE = 0,         // a >= b
  TVI_PLAN_GUARD_EQ = 1,         // a == b
  TVI_PLAN_GUARD_DIVISIBLE = 2,  // a % b == 0
} tvi_plan_guard_kind_t;

typedef struct tvi_plan_guard_s {
  uint32_t kind;
  tvi_plan_expr_t a, b;
} tvi_plan_guard_t;

// One way to do a step. The first whose guards and requirements hold is taken. The last one has no
// guards; where its requirements do not hold either, the plan cannot be loaded.
typedef struct tvi_plan_alternative_s {
  trivet_string_view_t kernel;  // "cpu.tile"; HOST: the operator, "std.TopK"; COPY: empty
  uint32_t kernel_version;
  uint32_t guard_count;
  const tvi_plan_guard_t* guards;
  uint32_t requirement_count;
  uint32_t operand_count;
  const trivet_string_view_t* requirements;  // "isa:avx512", "plugin:cpu_onednn"
  const uint32_t* operands;                  // tensors; TVI_PLAN_NONE: absent
  const uint8_t* blob;
  uint64_t blob_size;
  uint32_t parameter_count;
  uint32_t output_count;  // the last output_count operands are written
  const tvi_plan_expr_t* parameters;
  trivet_string_view_t tactic;  // for people: "onednn brgconv nhwc"
} tvi_plan_alternative_t;

// HOST: extent |axis| of output |output| becomes known when the step has run and binds |symbol|.
// Where the symbol is bound already, the extents must agree.
typedef struct tvi_plan_bound_symbol_s {
  uint32_t symbol, output, axis;
} tvi_plan_bound_symbol_t;

typedef struct tvi_plan_step_s {
  uint32_t kind;
  uint32_t queue;                // below TVI_PLAN_MAX_QUEUES; the steps of one run in their order
  trivet_string_view_t name;     // original nodes, "conv1 + relu1"
  trivet_string_view_t made_by;  // fuser
  uint32_t alternative_count;
  uint32_t wait_count;
  const tvi_plan_alternative_t* alternatives;
  const uint32_t* waits;  // earlier steps of other queues. Two steps that touch the same bytes, one
                          // of them writing, are ordered by queues and waits
  uint32_t bound_symbol_count;
  uint32_t block_count;  // IF, LOOP: blocks called
  const tvi_plan_bound_symbol_t* bound_symbols;
  const uint32_t* blocks;
  uint32_t flops;  // 1 + the expression of its operations on numbers; 0: not known
} tvi_plan_step_t;

typedef struct tvi_plan_block_s {
  uint32_t step_count;
  uint32_t reserved;
  const tvi_plan_step_t* steps;
} tvi_plan_block_t;

// One program: one target over the shared weights. Block 0 is the main block.
typedef struct tvi_plan_program_s {
  trivet_string_view_t target;  // "cpu"
  uint32_t block_count;
  uint32_t buffer_count, tensor_count;
  uint32_t check_count;
  const tvi_plan_block_t* blocks;
  const tvi_plan_buffer_t* buffers;
  const tvi_plan_tensor_t* tensors;
  const tvi_plan_guard_t*
      checks;                  // what rewrites assumed of the shapes; false: the shapes are refused
  uint64_t arena_size;         // for the largest profile
  uint64_t arena_lower_bound;  // best lower bound of the orders that were tried
} tvi_plan_program_t;

typedef struct tvi_plan_plugin_s {
  trivet_string_view_t name, version;
  const uint8_t* library;  // the shared object, carried in the plan; NULL: it is not
  uint64_t library_size;
} tvi_plan_plugin_t;

typedef struct tvi_plan_s {
  tvi_arena_t* arena;         // owns every array below
  trivet_string_view_t name;  // of the network
  trivet_string_view_t
      build_info;  // JSON: options, tool versions, explain records; no dates, no paths
  uint32_t symbol_count, expr_count, constant_count, binding_count, profile_count, program_count,
      plugin_count, reserved;
  const tvi_plan_symbol_t* symbols;
  const tvi_plan_expr_code_t* exprs;
  const tvi_plan_constant_t* constants;
  const tvi_plan_binding_t* bindings;
  const tvi_plan_profile_t* profiles;
  const tvi_plan_program_t* programs;
  const tvi_plan_plugin_t* plugins;  // needed at run time
  // Weights: in the builder a callback per constant gives the bytes, in the reader they are mapped.
  const uint8_t* weights;
  uint64_t weights_size;
} tvi_plan_t;

// Gives the bytes of constant |index| while a plan is written: calls |sink| with exactly
// constants[index].size bytes.
typedef struct tvi_plan_weight_source_s {
  void* self;
  trivet_status_t (*write)(void* self, uint32_t index, trivet_sink_t sink);
} tvi_plan_weight_source_t;

// Places the constants one behind the other, each aligned to TVI_PLAN_WEIGHT_ALIGNMENT: the only
// placement that the verifier accepts. The writer does it by itself; a builder calls it only to
// verify or print what it has not written yet. OUT_OF_RANGE when the sum overflows.
trivet_status_t tvi_plan_place_weights(tvi_plan_constant_t* constants, uint32_t count,
                                       uint64_t* out_weights_size);

// Structure, references, ranges: everything that a reader relies on. Used by the writer on what the
// builder made and by the reader on what it decoded. An error names section, index and field:
// DATA_LOSS, or UNIMPLEMENTED for kinds of steps that this version cannot run.
trivet_status_t tvi_plan_verify(const tvi_plan_t* plan, trivet_allocator_t allocator);

// A view of a buffer for bound shapes: OUT_OF_RANGE unless every element lies in the buffer of
// |buffer_size| bytes. |offset| in bytes, |strides| in elements. The engine asks this of every
// tensor whenever shapes are bound; the verifier of those that no symbol touches.
trivet_status_t tvi_plan_check_view(uint32_t dtype, uint32_t rank, const int64_t* dims,
                                    const int64_t* strides, int64_t offset, int64_t buffer_size);

// Whether the target of |program| has memory of its own: a buffer lies there.
bool tvi_plan_program_has_device_memory(const tvi_plan_program_t* program);

// Same plan, same bytes: nothing but the plan and its constants goes in. Verifies first, places the
// weights, asks for each constant once, in order, and holds none of them. Whatever reached the sink
// before an error is worthless.
trivet_status_t tvi_plan_write(const tvi_plan_t* plan, const tvi_plan_weight_source_t* weights,
                               trivet_allocator_t allocator, trivet_sink_t sink);

#define TVI_PLAN_READ_VERIFY_WEIGHTS 1u  // hash the weights too (all else is always hashed)

// Reads a plan from |bytes|, which must outlive it and be aligned to 64. Texts (each followed by a
// NUL), blobs and weights stay in |bytes|; what is allocated is bounded by a small multiple of the
// size. Any bytes are safe: DATA_LOSS says section, offset and what is wrong; INCOMPATIBLE: another
// major version, or a section that must be understood and is not.
trivet_status_t tvi_plan_read(const uint8_t* bytes, uint64_t size, uint32_t flags,
                              trivet_allocator_t allocator, tvi_plan_t** out_plan);
// Frees what tvi_plan_read made. Accepts NULL.
void tvi_plan_destroy(tvi_plan_t* plan);

// For people, and as JSON for tools (docs/plan_format.md has the schema). The plan is verified,
// from the reader or by the caller.
trivet_status_t tvi_plan_print(const tvi_plan_t* plan, tvi_string_builder_t* builder);
trivet_status_t tvi_plan_print_json(const tvi_plan_t* plan, tvi_string_builder_t* builder);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_PLAN_PLAN_H_
