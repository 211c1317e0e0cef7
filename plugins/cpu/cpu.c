// SPDX-License-Identifier: Apache-2.0
//
// The CPU target, build half: "cpu.tile" runs every kernel-IR program, so it proposes itself for
// every region; libraries win where they are cheaper. The run half is in the runtime.
#include "plugins/cpu/tile_tactic.h"
#include "runtime/device/cpu/tile_program.h"

static const trivet_kernel_t tile = {
    .header = TRIVET_HEADER(trivet_kernel_t, TRIVET_STRUCT_KERNEL),
    .name = "cpu.tile",
    .target = "cpu",
    .summary = "compiles kernel IR to programs of the tile interpreter",
    .version = TVI_TILE_VERSION,
    .halves = TRIVET_HALF_BUILD,
    .flags = TRIVET_KERNEL_GENERAL,
    .propose = tvi_tile_propose,
    .emit = tvi_tile_emit,
};

TRIVET_PLUGIN("cpu", "0.1", "the CPU target", &tile)
