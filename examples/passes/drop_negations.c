// SPDX-License-Identifier: Apache-2.0
// A pass in one statement: the negative of a negative is the value itself.
#include "trivet/plugin.h"

TRIVET_REWRITE(drop_negations, "acme-drop-negations", "removes negatives of negatives",
               "match { %a = std.Neg(%x)  %y = std.Neg(%a) }\n"
               "to { %y = std.Identity(%x) }\n");

TRIVET_PLUGIN("drop_negations", "1.0", "a pass as text", &drop_negations)
