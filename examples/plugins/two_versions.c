// SPDX-License-Identifier: Apache-2.0
//
// Two versions of one operator beside each other: a graph that names none gets the newest, one that
// says /1 keeps its meaning. Version 2 has one attribute more.
#include "trivet/plugin.h"

TRIVET_OPERATOR(clamp1, "acme.Clamp", 1, "x between 0 and most",
                "op acme.Clamp/1 (x: T[D...]) -> (y: T[D...]) where T: float\n"
                "attr most: f32 = 1.0\n"
                "y[i...] = T(min(max(f32(x[i...]), 0.0), most))\n");
TRIVET_OPERATOR(clamp2, "acme.Clamp", 2, "x between least and most",
                "op acme.Clamp/2 (x: T[D...]) -> (y: T[D...]) where T: float\n"
                "attr least: f32 = -1.0\nattr most: f32 = 1.0\n"
                "y[i...] = T(min(max(f32(x[i...]), least), most))\n");

TRIVET_PLUGIN("two_versions", "2.0", "one operator in two versions", &clamp1, &clamp2)
