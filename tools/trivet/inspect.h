// SPDX-License-Identifier: Apache-2.0
//
// How `trivet inspect` reads its two kinds of input; one file per kind, the command chooses.
// Files come from anywhere: what cannot be shown is an error with the place.
#ifndef TRIVET_TOOLS_TRIVET_INSPECT_H_
#define TRIVET_TOOLS_TRIVET_INSPECT_H_

#include "core/plan/plan.h"
#include "tools/trivet/command.h"
#include "tools/trivet/picture.h"

trivet_status_t network_to_json(const trivet_network_t* network, trivet_sink_t sink);
trivet_status_t network_to_picture(const trivet_network_t* network, picture_t* picture);
// |times|: milliseconds of each step of the main block, NULL if not measured.
trivet_status_t plan_to_picture(const tvi_plan_t* plan, const double* times, picture_t* picture);

// A row of a table in HTML.
void html_row(tvi_string_builder_t* html, const char* name, const char* value);
// Nodes of one operator or kernel have one colour: a small number per name, kept in |seen|.
typedef struct families_s {
  char names[64][48];
  uint32_t count;
} families_t;
uint32_t family_of(families_t* seen, const char* name);
// A view of at most |limit| bytes, "..." at its end if it was longer. In the picture's arena.
trivet_status_t picture_short(picture_t* picture, const char* text, size_t limit,
                              trivet_string_view_t* out_text);

#endif  // TRIVET_TOOLS_TRIVET_INSPECT_H_
