// SPDX-License-Identifier: Apache-2.0
//
// Order of the steps of a block: those of one queue run one behind the other, waits order queues.
// Says which steps come before which, and which pairs must be ordered because they touch the same
// bytes. Used by the verifier, and by the builder that gives steps their queues.
#ifndef TRIVET_CORE_PLAN_PLAN_ORDER_H_
#define TRIVET_CORE_PLAN_PLAN_ORDER_H_

#include "core/plan/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

// What has ended when a step begins, and the step itself. Since a queue keeps its order, one number
// per queue says it all.
typedef struct tvi_plan_order_s {
  uint32_t step_count, queue_count;
  uint32_t* clocks;  // [step][queue]: 1 + the last step of the queue; 0: none
} tvi_plan_order_t;

// The references of |block| have been checked: queues below TVI_PLAN_MAX_QUEUES, waits for earlier
// steps. The clocks are freed by tvi_plan_order_deinit, which accepts zeros.
trivet_status_t tvi_plan_order_init(tvi_plan_order_t* order, const tvi_plan_block_t* block,
                                    trivet_allocator_t allocator);
void tvi_plan_order_deinit(tvi_plan_order_t* order, trivet_allocator_t allocator);

// Told of two steps that touch bytes of |buffer|, one of them writing.
typedef struct tvi_plan_conflict_sink_s {
  void* self;
  trivet_status_t (*found)(void* self, uint32_t earlier, uint32_t later, uint32_t buffer);
} tvi_plan_conflict_sink_t;

// All such pairs of the main block, later ones ascending; with |order| only those that it leaves
// open. A pair may come more than once. Weights are written by nobody; views of one buffer that
// cannot meet, such as the parts of a concat, are no conflict. The references of the program have
// been checked. An error of |sink| ends it.
trivet_status_t tvi_plan_find_conflicts(const tvi_plan_t* plan, const tvi_plan_program_t* program,
                                        const tvi_plan_order_t* order, trivet_allocator_t allocator,
                                        tvi_plan_conflict_sink_t sink);

// A step that may run while, or before, a step touches a buffer of the arena.
typedef struct tvi_plan_reuse_s {
  uint32_t buffer;   // TVI_PLAN_NONE: there is none
  uint32_t toucher;  // touches it
  uint32_t step;     // the first behind |last_step| that |toucher| does not come before
} tvi_plan_reuse_t;

// Buffers of the arena share bytes where one's last_step lies before the other's first_step; what
// comes behind last_step must therefore be ordered behind all that touch it. |buffers|, of the
// program, NULL: says where that does not hold first. Else moves their last_step until it does.
trivet_status_t tvi_plan_check_reuse(const tvi_plan_program_t* program,
                                     const tvi_plan_order_t* order, trivet_allocator_t allocator,
                                     tvi_plan_buffer_t* buffers, tvi_plan_reuse_t* out_reuse);

// plan_queues.c: the other way round, for builders.

// Steps that come before others because of what they touch: before[start[s] .. start[s + 1]) of
// step s, each once, ascending.
typedef struct tvi_plan_edges_s {
  uint32_t* start;
  uint32_t* before;
} tvi_plan_edges_t;

// What tvi_plan_find_conflicts finds without an order. Arrays in |arena|.
trivet_status_t tvi_plan_find_edges(const tvi_plan_t* plan, const tvi_plan_program_t* program,
                                    trivet_allocator_t allocator, tvi_arena_t* arena,
                                    tvi_plan_edges_t* out_edges);

// Puts every step of the main block into the queue that |queues| says, with no more waits than
// |edges| ask for, and lengthens the lives of buffers as that asks for. |steps| and |buffers| are
// those of the program, to be written; waits lie in |arena|.
trivet_status_t tvi_plan_put_in_queues(const tvi_plan_program_t* program,
                                       const tvi_plan_edges_t* edges, const uint32_t* queues,
                                       trivet_allocator_t allocator, tvi_arena_t* arena,
                                       tvi_plan_step_t* steps, tvi_plan_buffer_t* buffers);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_PLAN_PLAN_ORDER_H_
