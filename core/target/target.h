// SPDX-License-Identifier: Apache-2.0
//
// What the build half of a kernel sees: the region it may run, the layouts its operands would have,
// the proposal it answers with, and the emission that it writes its step into. It stands between
// cover (which forms regions) and schedule (which orders steps). Memory order enters the way of the
// data here: graph and kernel IR know none.
#ifndef TRIVET_CORE_TARGET_TARGET_H_
#define TRIVET_CORE_TARGET_TARGET_H_

#include "core/graph/graph.h"
#include "core/target/code_cache.h"

#ifdef __cplusplus
extern "C" {
#endif

// Memory order of a dense value: dimensions from outermost to innermost. NCHW is 0,1,2,3; channels
// last is 0,2,3,1.
typedef struct tvi_layout_s {
  uint8_t order[TRIVET_MAX_RANK];
} tvi_layout_t;

tvi_layout_t tvi_layout_plain(void);                   // 0, 1, 2, ...
tvi_layout_t tvi_layout_channels_last(uint32_t rank);  // 0, 2, ..., rank-1, 1; plain below rank 3
bool tvi_layout_equal(const tvi_layout_t* a, const tvi_layout_t* b, uint32_t rank);

// An operand of a region as a kernel would get it: a dense buffer in |layout|, or a strided view.
typedef struct tvi_region_operand_s {
  tvi_value_id_t value;
  bool dense;  // strides are those of |layout| over the value's extents
  bool is_output;
  uint16_t reserved;
  tvi_layout_t layout;  // order of decreasing strides
  trivet_dim_t
      strides[TRIVET_MAX_RANK];  // elements; for a dense operand the products that |layout| implies
} tvi_region_operand_t;

// Makes |operand| a dense buffer of its value in |layout|.
void tvi_region_operand_set_dense(const trivet_graph_t* graph, tvi_region_operand_t* operand,
                                  tvi_layout_t layout);

// A region: nodes that one step computes. Operands: inputs first, then outputs.
struct trivet_region_s {
  const trivet_region_api_t* api;  // tvi_region_api()
  const trivet_graph_t* graph;
  const tvi_node_id_t* nodes;  // topological order
  uint32_t node_count;
  uint32_t input_count;
  uint32_t output_count;
  uint32_t thread_count;  // for prices
  const tvi_region_operand_t* operands;
  // What it computes; values of kind INPUT and OUTPUT carry the graph's value id as tag. NULL: a
  // host function.
  const tvi_kir_program_t* program;
  const char* made_by;     // fuser, "fuse-epilogue"
  const int64_t* symbols;  // values of all symbols for the shapes to optimise for (profile opt), by
                           // symbol index
  uint32_t symbol_count;
  bool is_copy;  // of what the nodes computed, which stand here for its name: kernels see no nodes
  bool allows_tf32;              // products may round f32 factors to 10 bits behind the point
  const char* target;            // of the program, with its architecture: "cpu", "cuda:sm_90"
  const char* dump_folder;       // for what kernels generate; NULL: none
  tvi_code_cache_t* code_cache;  // of the build; NULL: none
};

// One tactic: a way to run the region with the given operand layouts.
typedef struct tvi_tactic_s {
  const trivet_kernel_t* kernel;
  uint64_t id;    // the kernel's own number, handed back to emit
  double price;   // estimated nanoseconds
  char name[64];  // "onednn direct", for people, caches and lock files
} tvi_tactic_t;

// What propose fills. The owner provides |self| and the functions.
struct trivet_proposal_s {
  const trivet_proposal_api_t* api;  // tvi_proposal_api()
  void* self;
  trivet_status_t (*add)(void* self, const tvi_tactic_t* tactic);
  // Why the kernel does not run this region; kept for --explain. printf-formatted.
  void (*decline)(void* self, const trivet_kernel_t* kernel, const char* format, ...)
      TRIVET_PRINTF_FORMAT(3, 4);
};

// Constant made at build time: bytes in a form that only the kernel knows (packed weights).
// Deterministic bytes: the plan depends on them.
typedef struct tvi_packed_constant_s {
  trivet_string_view_t name;  // of the source, empty if several
  const void* data;           // copied by add_packed
  uint64_t size;
  uint32_t dtype;
  uint32_t rank;
  int64_t dims[TRIVET_MAX_RANK];
} tvi_packed_constant_t;

// What emit fills: the operands of the step in the kernel's own order, its blob and its integer
// parameters.
struct trivet_emission_s {
  const trivet_emission_api_t* api;  // tvi_emission_api()
  void* self;
  tvi_arena_t* arena;  // scratch until emit returns, and what was requested meanwhile is made
  // Operand |index| of the region (position in region->operands).
  trivet_status_t (*add_operand)(void* self, uint32_t index);
  trivet_status_t (*add_absent)(void* self);
  trivet_status_t (*add_packed)(void* self, const tvi_packed_constant_t* constant);
  trivet_status_t (*add_parameter)(void* self, trivet_dim_t dim);
  trivet_status_t (*set_blob)(void* self, const void* data, uint64_t size);
  // "isa:avx512_core", "plugin:cpu_onednn": without it load refuses the step.
  trivet_status_t (*require)(void* self, const char* requirement);
  // The output may lie where input |input| of the region lies; UINT32_MAX: nowhere where an input
  // lies. NULL: of no interest.
  trivet_status_t (*in_place)(void* self, uint32_t input);
  // Where the kernel left code for the device instead of a step: the kernel of the target that runs
  // such code, "cuda.code", writes it. Set by tvi_kernel_emit.
  const trivet_kernel_t* coder;
  const trivet_region_t* region;
  const trivet_device_code_t* code;  // during the coder's emit
  bool is_coded;
};

// Has the kernel of |tactic| write its step. |out_kernel|: the kernel whose step it is, the
// target's own where a kernel gave code for the device.
trivet_status_t tvi_kernel_emit(const tvi_registry_t* registry, const trivet_region_t* region,
                                const tvi_tactic_t* tactic, trivet_emission_t* emission,
                                const trivet_kernel_t** out_kernel);

// How plugins see the three, which know nothing of their layouts.
const trivet_region_api_t* tvi_region_api(void);
const trivet_proposal_api_t* tvi_proposal_api(void);
const trivet_emission_api_t* tvi_emission_api(void);

// Signature of a region: a hash of program, types, layouts, shapes to optimise for and thread
// count; no names, no weights. Equal regions share a decision.
trivet_status_t tvi_region_signature(const trivet_region_t* region, uint64_t out_hash[2]);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_TARGET_TARGET_H_
