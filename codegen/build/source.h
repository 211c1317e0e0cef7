// SPDX-License-Identifier: Apache-2.0
//
// Source: the bytes that a frontend reads, and the files beside them. Everything stays mapped as
// long as the network.
#ifndef TRIVET_CODEGEN_BUILD_SOURCE_H_
#define TRIVET_CODEGEN_BUILD_SOURCE_H_

#include "codegen/build/build_internal.h"

typedef struct tvi_source_s {
  trivet_source_t base;
  trivet_network_t* network;
  trivet_string_view_t path;
  const uint8_t* bytes;
  uint64_t size;
  const trivet_parse_options_t* options;
  tvi_arena_t arena;
} tvi_source_t;

// |path| may be NULL. Released with tvi_source_deinit; mappings go to the network.
void tvi_source_init(tvi_source_t* source, trivet_network_t* network, const char* path,
                     const uint8_t* bytes, uint64_t size, const trivet_parse_options_t* options);
void tvi_source_deinit(tvi_source_t* source);

#endif  // TRIVET_CODEGEN_BUILD_SOURCE_H_
