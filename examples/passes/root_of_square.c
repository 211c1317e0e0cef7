// SPDX-License-Identifier: Apache-2.0
//
// A pass in one statement: the root of a square is the absolute value.
// What it looks for, what must hold, and what it puts there, as text.
#include "trivet/plugin.h"
TRIVET_REWRITE(root_of_square, "acme-root-of-square", "finds sqrt(x * x)",
               "match { %s = std.Mul(%x, %x)  %y = std.Sqrt(%s) } where one_use(%s)\n"
               "to { %y = std.Abs(%x) }\n");
TRIVET_PLUGIN("root_of_square", "1.0", "a pass as text", &root_of_square)
