// SPDX-License-Identifier: Apache-2.0
//
// A plugin with one rewrite and the operator that it introduces: x * sigmoid(x).
// To copy from: it includes plugin.h alone and is built out of tree in a test.
#include "trivet/plugin.h"

TRIVET_OPERATOR(swish, "template_pass.Swish", 1, "x * sigmoid(x)",
                "op template_pass.Swish/1 (x: T[D...]) -> (y: T[D...]) where T: float\n"
                "y[i...] = T(f32(x[i...]) * sigmoid(f32(x[i...])))\n");

TRIVET_REWRITE(find_swish, "template_pass-swish", "finds x * sigmoid(x)",
               "match {\n"
               "  %s = std.Sigmoid(%x)\n"
               "  %y = std.Mul(%x, %s)\n"
               "} where one_use(%s)\n"
               "to { %y = template_pass.Swish(%x) }\n");

TRIVET_PLUGIN("template_pass", "1.0", "a rewrite", &swish, &find_swish)
