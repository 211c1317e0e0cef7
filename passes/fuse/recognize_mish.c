// SPDX-License-Identifier: Apache-2.0
//
// recognize-mish: x * tanh(softplus(x)) becomes std.Mish. A pass that its text says wholly: the
// shape that most recognisers of extensions will have.
//
//   %a = std.Softplus(%x)
//   %t = std.Tanh(%a)          ->    %y = std.Mish(%x)
//   %y = std.Mul(%x, %t)
#include "passes/passes.h"

TVI_REWRITE_DEFINE(recognize_mish, "recognize-mish", "finds x * tanh(softplus(x))",
                   "match {\n"
                   "  %a = std.Softplus(%x)\n"
                   "  %t = std.Tanh(%a)\n"
                   "  %y = std.Mul(%x, %t)\n"
                   "} where one_use(%a), one_use(%t)\n"
                   "to { %y = std.Mish(%x) }\n");
