// SPDX-License-Identifier: Apache-2.0
//
// An operator of the same name as that of two_versions.c in a namespace of its own: both plugins
// are loaded, a graph names which one it means. Values outside are wrapped, not clamped.
#include "trivet/plugin.h"

TRIVET_OPERATOR(clamp, "other.Clamp", 1, "x modulo most",
                "op other.Clamp/1 (x: T[D...]) -> (y: T[D...]) where T: float\n"
                "attr most: f32 = 1.0\n"
                "y[i...] = T(f32(x[i...]) - floor(f32(x[i...]) / most) * most)\n");

TRIVET_PLUGIN("other_clamp", "1.0", "one operator", &clamp)
