// SPDX-License-Identifier: Apache-2.0
//
// Improves the body of a phase: drops what nothing needs, and replaces groups of instructions by
// the super-instructions and macro functions of the tile format.

#ifndef TRIVET_PLUGINS_CPU_TILE_PATTERNS_H_
#define TRIVET_PLUGINS_CPU_TILE_PATTERNS_H_

#include "plugins/cpu/tile_body.h"

#ifdef __cplusplus
extern "C" {
#endif

// |roots| are the instructions that sinks take. *out_map (in |arena|): new number of every old
// instruction, TVI_TILE_NONE where it is gone. Accesses and forms are compacted too.
trivet_status_t tvi_tile_body_improve(tvi_tile_body_t* body, const uint32_t* roots,
                                      size_t root_count, tvi_arena_t* arena,
                                      uint32_t** out_map) TRIVET_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CPU_TILE_PATTERNS_H_
