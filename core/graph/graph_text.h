// SPDX-License-Identifier: Apache-2.0
//
// Text form of a graph: prints and parses back to an equal graph. Golden tests, dumps and bug
// reports are written in it. A label that is no number is the value's first name; where names do
// not fit, or there are several, all of them follow in quotes. What is left out: origins
// (comments), which pass made a node, and how a derived constant was derived.
//
//   graph "net" {
//     symbol batch: 1 .. 64 divisor 1
//     input %x: f32[batch, 3, 224, 224]
//     const %conv.weight: f32[64, 3, 7, 7] = @12ab..     # long contents as hash,
//     const %c: f32[2] = [1.0, 2.0]                      # inline,
//     derived %0: f32[64] = splat(0.5)                   # or one value for all
//     dims %s: i64[2] = [batch, 1000]
//     %y = std.Conv(%x, %conv.weight) { strides = [2, 2] } : f32[batch, 64, 112, 112]
//     %a, _ = std.Split(%y, _) { axis = 1 } : f32[batch, 32, 112, 112]
//     %z "z" "alias" = core.If(%c) { then_branch = graph { .. }, else_branch = graph { .. } }
//     assume batch == 4
//     observe %y
//     output "y": %y
//   }
#ifndef TRIVET_CORE_GRAPH_GRAPH_TEXT_H_
#define TRIVET_CORE_GRAPH_GRAPH_TEXT_H_

#include "core/base/string_builder.h"
#include "core/graph/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

// Print origins and the pass that made a node as comments.
#define TVI_GRAPH_TEXT_ORIGINS 1u
// Print all constant contents inline, so that the text is self-contained.
#define TVI_GRAPH_TEXT_CONSTANTS 2u

trivet_status_t tvi_graph_print(const trivet_graph_t* graph, uint32_t flags,
                                tvi_string_builder_t* builder);
// Errors are INVALID_ARGUMENT and begin "line 3, column 14: ". Constants given by hash only are
// made from a generator seeded with the hash (golden tests need shapes, not numbers) and keep that
// hash. Types of node outputs may be left out; those given must be what inference finds.
trivet_status_t tvi_graph_parse(const tvi_registry_t* registry, trivet_string_view_t text,
                                trivet_allocator_t allocator, trivet_graph_t** out_graph);

#ifdef __cplusplus
}  // extern "C"
#endif

#endif  // TRIVET_CORE_GRAPH_GRAPH_TEXT_H_
