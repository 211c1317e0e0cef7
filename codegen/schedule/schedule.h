// SPDX-License-Identifier: Apache-2.0
//
// Schedule: regions -> steps, buffers, tensors: the plan but for its bytes. Chooses layouts over
// the whole graph, resolves views to strides, lets concats happen in place, asks for tactics,
// orders steps for a small arena, shares buffers in place, and computes lifetimes. The parts:
// place.c (where values lie), memory_order.c, steps.c (regions to steps), memory_spaces.c, order.c,
// finish.c (into tvi_plan_t), place_in_queues.c.
#ifndef TRIVET_CODEGEN_SCHEDULE_SCHEDULE_H_
#define TRIVET_CODEGEN_SCHEDULE_SCHEDULE_H_

#include "codegen/cover/cover.h"
#include "core/base/map.h"
#include "core/plan/plan.h"

#define TVI_SCHEDULE_NONE UINT32_MAX

// A buffer while steps are being made.
typedef struct tvi_sched_buffer_s {
  uint32_t kind;      // tvi_plan_buffer_kind_t
  uint32_t index;     // binding or constant
  trivet_dim_t size;  // bytes
  uint32_t merged;    // in place: the buffer that it shares; TVI_SCHEDULE_NONE
  uint32_t alias;     // of an output: the input whose memory it may take; TVI_SCHEDULE_NONE
  uint32_t first, last;
  uint32_t memory;  // TRIVET_MEMORY_*
} tvi_sched_buffer_t;

// Where a value lies.
typedef struct tvi_place_s {
  uint32_t buffer;                        // TVI_SCHEDULE_NONE: not placed yet
  trivet_dim_t offset;                    // elements
  trivet_dim_t strides[TRIVET_MAX_RANK];  // elements
} tvi_place_t;

typedef struct tvi_sched_tensor_s {
  tvi_value_id_t value;  // 0: packed constant
  uint32_t dtype, rank;
  uint32_t flags;
  trivet_dim_t dims[TRIVET_MAX_RANK];
  tvi_place_t place;
} tvi_sched_tensor_t;

typedef struct tvi_sched_constant_s {
  trivet_string_view_t name;
  uint32_t dtype, rank;
  int64_t dims[TRIVET_MAX_RANK];
  const void* data;
  uint64_t size;
  uint64_t hash[2];
} tvi_sched_constant_t;

typedef struct tvi_sched_step_s {
  uint32_t kind;  // tvi_plan_step_kind_t
  uint32_t kernel_version;
  trivet_string_view_t kernel, tactic, name;
  const char* made_by;
  trivet_dim_t flops;             // NULL: not known
  TVI_VECTOR(uint32_t) operands;  // tensors; TVI_PLAN_NONE: absent
  uint32_t output_count;          // the last ones are written
  uint32_t region;
  TVI_VECTOR(trivet_dim_t) parameters;
  TVI_VECTOR(trivet_string_view_t) requirements;
  TVI_VECTOR(tvi_plan_bound_symbol_t) bound;  // symbol: index in the dimension context
  const uint8_t* blob;
  uint64_t blob_size;
  uint32_t in_place;  // bit k: the one output may overwrite operand k, whose elements are read at
                      // the same position only, or the kernel says that it may
  // What the kernel says of inputs of the region, bit by bit; |is_apart|: none may be overwritten.
  uint32_t in_place_inputs;
  bool is_apart;
  double price;
  // Other ways to do the step, with kernel, tactic, operands, parameters, requirements and blob of
  // their own. What they read and write beside constants, the step itself does too.
  TVI_VECTOR(struct tvi_sched_step_s) others;
} tvi_sched_step_t;

typedef struct tvi_schedule_s {
  tvi_cover_t* cover;
  const trivet_graph_t* graph;
  tvi_tactic_context_t* tactics;
  trivet_allocator_t allocator;
  tvi_arena_t* arena;
  tvi_place_t* places;  // by value id
  // By value id: copies of a value that lies otherwise, for kernels that want it dense; plain, and
  // channels last.
  tvi_place_t* dense_copies[2];
  tvi_layout_t* layouts;          // by value id: memory order to give the value when it is computed
  bool* reads_last;               // by region: images that it reads were priced channels last
  tvi_value_id_t* concat_parent;  // by value id: concat output that the value is written into; 0
  trivet_dim_t* concat_offset;    // by value id: position along the axis
  uint8_t* concat_axis;
  TVI_VECTOR(tvi_sched_buffer_t) buffers;
  TVI_VECTOR(tvi_sched_tensor_t) tensors;
  TVI_VECTOR(tvi_sched_constant_t) constants;
  TVI_VECTOR(tvi_sched_step_t) steps;
  TVI_VECTOR(trivet_string_view_t) body_plugins;  // whose code runs in bodies of control flow
  tvi_map_t constant_by_hash;
  const uint32_t* constant_order;  // of the plan: which constants it holds
  uint64_t arena_lower_bound;
} tvi_schedule_t;

trivet_status_t tvi_schedule_create(tvi_cover_t* cover, tvi_tactic_context_t* tactics,
                                    tvi_schedule_t** out_schedule);
void tvi_schedule_destroy(tvi_schedule_t* schedule);

// What the plan needs beside the steps.
typedef struct tvi_schedule_plan_options_s {
  const char* target;
  trivet_string_view_t name;
  trivet_string_view_t build_info;
  const tvi_plan_profile_t* profiles;
  uint32_t profile_count;
  uint32_t symbol_count;
  const int64_t* symbols_max;  // values of all symbols at the largest shapes
} tvi_schedule_plan_options_t;

// Fills |out_plan| (arrays in |arena|) and the source of its constants, which lives as long as the
// schedule.
trivet_status_t tvi_schedule_plan(tvi_schedule_t* schedule,
                                  const tvi_schedule_plan_options_t* options, tvi_arena_t* arena,
                                  tvi_plan_t* out_plan, tvi_plan_weight_source_t* out_weights);

// Shared by the files of this folder.

// Bodies of a node of control flow, compiled.
typedef struct tvi_sched_control_s {
  tvi_body_plan_t bodies[2];
  uint32_t body_count;
  uint32_t kind, state_count;           // TVI_CONTROL_*
  TVI_VECTOR(tvi_value_id_t) captures;  // of all bodies, each once
} tvi_sched_control_t;
trivet_status_t tvi_schedule_compile_bodies(tvi_schedule_t* schedule, tvi_node_id_t node,
                                            tvi_sched_control_t* out_control);
// Blob and parameters of |step|, whose operands begin with the node's inputs and the captures.
trivet_status_t tvi_schedule_emit_control(tvi_schedule_t* schedule, tvi_node_id_t node,
                                          const tvi_sched_control_t* control,
                                          tvi_sched_step_t* step);
void tvi_sched_control_deinit(tvi_sched_control_t* control);

void tvi_sched_step_init(const tvi_schedule_t* schedule, tvi_sched_step_t* step, uint32_t region);
void tvi_sched_step_deinit(tvi_sched_step_t* step);
// Number |index| of the ways to do a step: itself, then the others. NULL behind the last.
tvi_sched_step_t* tvi_sched_step_way(tvi_sched_step_t* step, size_t index);
// "conv1 + relu1": the original nodes, at most eight of them. The copy of a value that no node made
// is called like |value|.
trivet_status_t tvi_schedule_name_step(tvi_schedule_t* schedule, tvi_sched_step_t* step,
                                       const tvi_node_id_t* nodes, uint32_t count,
                                       tvi_value_id_t value);
// Adds the step of |region| by the first tactic of |choice|, and by the others as its alternatives.
// |places|: of the region's operands.
trivet_status_t tvi_schedule_emit_step(tvi_schedule_t* schedule, const trivet_region_t* region,
                                       const tvi_place_t* places, const tvi_tactic_choice_t* choice,
                                       uint32_t region_id);
trivet_status_t tvi_schedule_choose_layouts(tvi_schedule_t* schedule);
trivet_status_t tvi_schedule_plan_concats(tvi_schedule_t* schedule);
bool tvi_schedule_is_concat(const tvi_schedule_t* schedule, uint32_t region, uint32_t* out_axis);
trivet_status_t tvi_schedule_make_steps(tvi_schedule_t* schedule);
// Says for every buffer in which memory it lies, and adds the copies between memories.
trivet_status_t tvi_schedule_place_memories(tvi_schedule_t* schedule);
trivet_status_t tvi_schedule_order(tvi_schedule_t* schedule);
trivet_status_t tvi_schedule_share_in_place(tvi_schedule_t* schedule);
// Gives the steps of a program that is else complete their queues and waits, and its buffers the
// lifetimes that follow, where the build asks for queues. |steps| and |buffers|: of |program|.
trivet_status_t tvi_schedule_put_in_queues(const tvi_schedule_t* schedule, const tvi_plan_t* plan,
                                           const tvi_plan_program_t* program,
                                           tvi_plan_step_t* steps, tvi_plan_buffer_t* buffers);
// The place of a value that is computed already, of a constant or an input; views are resolved.
// |out_found| false: a view that strides cannot express, or not computed yet.
trivet_status_t tvi_schedule_locate(tvi_schedule_t* schedule, tvi_value_id_t value,
                                    tvi_place_t* out_place, bool* out_found);
// Gives a value that is about to be computed its buffer: a binding, a part of a concat, or a new
// one in the arena.
trivet_status_t tvi_schedule_allocate(tvi_schedule_t* schedule, tvi_value_id_t value);
trivet_status_t tvi_schedule_add_buffer(tvi_schedule_t* schedule, uint32_t kind, uint32_t index,
                                        trivet_dim_t size, uint32_t* out_buffer);
trivet_status_t tvi_schedule_add_constant(tvi_schedule_t* schedule,
                                          const tvi_sched_constant_t* constant,
                                          uint32_t* out_index);
trivet_status_t tvi_schedule_add_tensor(tvi_schedule_t* schedule, tvi_value_id_t value,
                                        const tvi_place_t* place, uint32_t* out_tensor);
// Bytes of a value, rounded up; NULL on overflow.
trivet_dim_t tvi_schedule_value_size(const tvi_schedule_t* schedule, tvi_value_id_t value);
void tvi_schedule_dense_strides(const tvi_schedule_t* schedule, const trivet_type_t* type,
                                const tvi_layout_t* layout, trivet_dim_t* out_strides);
bool tvi_schedule_place_is_dense(const tvi_schedule_t* schedule, tvi_value_id_t value,
                                 const tvi_place_t* place, const tvi_layout_t* layout);
// Memory order of a place: dimensions by decreasing stride, as far as that is known.
tvi_layout_t tvi_schedule_place_layout(const tvi_schedule_t* schedule, tvi_value_id_t value,
                                       const tvi_place_t* place);

#endif  // TRIVET_CODEGEN_SCHEDULE_SCHEDULE_H_
