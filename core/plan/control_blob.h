// SPDX-License-Identifier: Apache-2.0
//
// The blob of a HOST step of core.If, core.Loop or core.Scan: what its bodies read, and the bodies
// themselves, each a plan of its own for the host. The builder encodes it, the engine decodes it
// and loads the bodies; it must not know the graph.
#ifndef TRIVET_CORE_PLAN_CONTROL_BLOB_H_
#define TRIVET_CORE_PLAN_CONTROL_BLOB_H_

#include "core/base/arena.h"
#include "trivet/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define TVI_CONTROL_IF 0u
#define TVI_CONTROL_LOOP 1u
#define TVI_CONTROL_SCAN 2u
// Bodies in bodies: a plan that nests deeper is refused.
#define TVI_CONTROL_MAX_DEPTH 8u

// The inputs of a body's plan: what the operator gives it (a Loop: counter, condition, states; a
// Scan: states, slices), then the captures, then one of no bytes for each symbol, whose only extent
// is the symbol's value.
typedef struct tvi_control_body_s {
  const uint32_t* captures;  // operands of the step
  const uint32_t* symbols;   // parameters of the step
  uint32_t capture_count, symbol_count;
  const uint8_t* plan;
  uint64_t plan_size;
} tvi_control_body_t;

typedef struct tvi_control_axis_s {
  uint32_t axis;
  uint32_t is_backwards;  // 1: from the last to the first
} tvi_control_axis_t;

typedef struct tvi_control_s {
  uint32_t kind;         // TVI_CONTROL_*
  uint32_t state_count;  // values that go from round to round
  uint32_t input_count;  // of the node: the operands before the captures
  uint32_t body_count;   // If: then, else; otherwise 1
  uint32_t axis_count;   // Scan: of the slices, then of the stacked outputs; otherwise 0
  const tvi_control_axis_t* axes;
  const tvi_control_body_t* bodies;
} tvi_control_t;

trivet_status_t tvi_control_blob_encode(const tvi_control_t* control, tvi_arena_t* arena,
                                        const uint8_t** out_blob, uint64_t* out_size);
// Decodes into |arena|; plans point into |blob|. DATA_LOSS on bytes that encode never writes.
// Whether operands and parameters exist is the caller's to check.
trivet_status_t tvi_control_blob_decode(const uint8_t* blob, uint64_t size, tvi_arena_t* arena,
                                        tvi_control_t* out_control);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_CORE_PLAN_CONTROL_BLOB_H_
