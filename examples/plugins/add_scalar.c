// SPDX-License-Identifier: Apache-2.0
//
// x + value, for every numeric type and rank.
// The smallest of the examples whose lines are counted against other systems: see README.md.
#include "trivet/plugin.h"

TRIVET_OPERATOR(add_scalar, "acme.AddScalar", 1, "x + value",
                "op acme.AddScalar/1 (x: T[D...]) -> (y: T[D...]) where T: numeric\n"
                "attr value: f32 = 1.0\n"
                "y[i...] = x[i...] + T(value)\n");

TRIVET_PLUGIN("add_scalar", "1.0", "one operator", &add_scalar)
