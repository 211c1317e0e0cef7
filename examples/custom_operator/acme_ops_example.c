// SPDX-License-Identifier: Apache-2.0
//
// A plugin with one operator, given as text: x * sigmoid(beta * x), for every float type and rank.
// The whole file that such an operator needs; the folder's README says how it is built and used.
#include "trivet/plugin.h"

TRIVET_OPERATOR(scaled_swish, "acme.ScaledSwish", 1, "x * sigmoid(beta * x)",
                "op acme.ScaledSwish/1 (x: T[D...]) -> (y: T[D...]) where T: float\n"
                "attr beta: f32 = 1.0\n"
                "y[i...] = T(f32(x[i...]) * sigmoid(beta * f32(x[i...])))\n");

TRIVET_PLUGIN("acme_ops_example", "1.0", "an operator as text", &scaled_swish)
