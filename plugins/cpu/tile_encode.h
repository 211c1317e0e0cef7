// SPDX-License-Identifier: Apache-2.0
//
// Writes a tile program as bytes: the counterpart of tvi_tile_program_decode.
// The last thing that the compiler of tile programs does before a step's blob lies in the plan.

#ifndef TRIVET_PLUGINS_CPU_TILE_ENCODE_H_
#define TRIVET_PLUGINS_CPU_TILE_ENCODE_H_

#include "core/base/byte_writer.h"
#include "runtime/device/cpu/tile_program.h"

#ifdef __cplusplus
extern "C" {
#endif

// Appends the bytes of |program| to |writer|, which remembers a failure.
void tvi_tile_program_encode(const tvi_tile_program_t* program, tvi_byte_writer_t* writer);

// A listing for people: sections, phases, instructions, sinks.
void tvi_tile_program_print(const tvi_tile_program_t* program, tvi_string_builder_t* builder);

#ifdef __cplusplus
}
#endif

#endif  // TRIVET_PLUGINS_CPU_TILE_ENCODE_H_
