// SPDX-License-Identifier: Apache-2.0
//
// A directed graph of boxes to be drawn: filled by inspect_command.c from a network or a plan, laid
// out in layers, written as one HTML page that needs nothing else. It knows neither networks nor
// plans.
#ifndef TRIVET_TOOLS_TRIVET_PICTURE_H_
#define TRIVET_TOOLS_TRIVET_PICTURE_H_

#include <stdbool.h>

#include "core/base/arena.h"
#include "core/base/string_builder.h"
#include "core/base/vector.h"

#define PICTURE_INPUT 0u  // round boxes
#define PICTURE_NODE 1u
#define PICTURE_OUTPUT 2u

typedef struct picture_node_s {
  uint32_t shape;   // PICTURE_*
  uint32_t family;  // colour: nodes of one family look alike
  trivet_string_view_t title;
  trivet_string_view_t subtitle;
  trivet_string_view_t details;  // HTML, shown when the node is clicked
  double share;                  // of the time, 0 .. 1; negative: unknown
  double x, y, width, height;    // set by picture_layout: left upper corner
} picture_node_t;

typedef struct picture_edge_s {
  uint32_t from, to;
  trivet_string_view_t label;       // shown as a tooltip
  uint32_t first_bend, bend_count;  // set by picture_layout: into bends
} picture_edge_t;

typedef struct picture_point_s {
  double x, y;
} picture_point_t;

typedef struct picture_s {
  tvi_arena_t arena;  // texts
  TVI_VECTOR(picture_node_t) nodes;
  TVI_VECTOR(picture_edge_t) edges;
  TVI_VECTOR(picture_point_t) bends;
  trivet_string_view_t title;
  trivet_string_view_t summary;  // HTML, above the picture
  double width, height;
} picture_t;

void picture_init(picture_t* picture);
void picture_deinit(picture_t* picture);
// Copies; the text of |builder| becomes a view that lives as long as the picture.
trivet_status_t picture_keep(picture_t* picture, tvi_string_builder_t* builder,
                             trivet_string_view_t* out_text);
// Edges must go from lower to higher node numbers; others are dropped, as are repeated ones.
trivet_status_t picture_layout(picture_t* picture);
trivet_status_t picture_write_html(const picture_t* picture, trivet_sink_t sink);

#endif  // TRIVET_TOOLS_TRIVET_PICTURE_H_
