// SPDX-License-Identifier: Apache-2.0
//
// A pass: x * sigmoid(x) becomes one operator. Inserted by --pass-after or --pass-before. The
// operator that it puts in comes with it; where the pattern nearly matches, explain says why not.
#include "trivet/plugin.h"

TRIVET_OPERATOR(silu, "acme.Silu", 1, "x * sigmoid(x)",
                "op acme.Silu/1 (x: T[D...]) -> (y: T[D...]) where T: float\n"
                "y[i...] = T(f32(x[i...]) * sigmoid(f32(x[i...])))\n");

TRIVET_REWRITE(find_silu, "acme-silu", "finds x * sigmoid(x)",
               "match {\n"
               "  %s = std.Sigmoid(%x)\n"
               "  %y = std.Mul(%x, %s)\n"
               "} where one_use(%s)\n"
               "to { %y = acme.Silu(%x) }\n");

TRIVET_PLUGIN("swish_pass", "1.0", "a pass", &silu, &find_silu)
