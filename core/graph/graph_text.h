// SPDX-License-Identifier: Apache-2.0
//
// Text form of a graph: prints and parses back to an equal graph. Golden tests, dumps and bug
// reports are written in it.
//
//   graph "net" {
//     symbol batch: 1 .. 64 divisor 1
//     input %x "x": f32[batch, 3, 224, 224]
//     const %w "conv.weight": f32[64, 3, 7, 7] = @12ab..            # long contents as hash, or
//     inline: [1.0, 2.0], or splat(0.5) dims %s: i64[2] = [batch, 1000] %y = std.Conv(%x, %w) {
//     strides = [2, 2], pads = [3, 3, 3, 3] } : f32[batch, 64, 112, 112]   # from "conv1"
//     ai.onnx.Conv %a, %b = std.Split(%y, _) { axis = 1 } : f32[..], f32[..] %z = core.If(%c) {
//     then_branch = graph { ... }, else_branch = graph { ... } } : f32[2] output "y": %y
//   }
#ifndef TRIVET_CORE_GRAPH_GRAPH_TEXT_H_
#define TRIVET_CORE_GRAPH_GRAPH_TEXT_H_

#include "core/base/string_builder.h"
#include "core/graph/graph.h"

#define TVI_GRAPH_TEXT_ORIGINS 1u  // print origins as comments
#define TVI_GRAPH_TEXT_CONSTANTS \
  2u  // print all constant contents inline, so that the text is self-contained

trivet_status_t tvi_graph_print(const trivet_graph_t* graph, uint32_t flags,
                                tvi_string_builder_t* builder);
// Constants given by hash only are made from a generator seeded with the hash (golden tests need
// shapes, not numbers).
trivet_status_t tvi_graph_parse(const tvi_registry_t* registry, trivet_string_view_t text,
                                trivet_allocator_t allocator, trivet_graph_t** out_graph);

#endif  // TRIVET_CORE_GRAPH_GRAPH_TEXT_H_
