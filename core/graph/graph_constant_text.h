// SPDX-License-Identifier: Apache-2.0
//
// Contents of constants as text: a list of elements, one value for all, or a hash from which
// contents are made up. Used by the parser of graphs alone.
#ifndef TRIVET_CORE_GRAPH_GRAPH_CONSTANT_TEXT_H_
#define TRIVET_CORE_GRAPH_GRAPH_CONSTANT_TEXT_H_

#include "core/graph/graph_text_lexer.h"
#include "trivet/plugin.h"

// Reads "[1, 2]", "splat(1)" or "@<32 hex digits>" into memory of the arena. `tensor` has type and
// shape; data and size are filled in.
trivet_status_t tvi_text_contents(tvi_text_cursor_t* cursor, tvi_arena_t* arena,
                                  trivet_tensor_t* tensor, bool* out_hashed, uint64_t out_hash[2]);

#endif  // TRIVET_CORE_GRAPH_GRAPH_CONSTANT_TEXT_H_
