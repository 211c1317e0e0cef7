// SPDX-License-Identifier: Apache-2.0
//
// A plugin with one operator, given as text: cap * tanh(x / cap). Types, shape rule, kernel and
// fusion follow from the text.
#include "trivet/plugin.h"

TRIVET_OPERATOR(softcap, "template_operator.Softcap", 1, "cap * tanh(x / cap)",
                "op template_operator.Softcap/1 (x: T[D...]) -> (y: T[D...]) where T: float\n"
                "attr cap: f32 = 30.0\n"
                "y[i...] = T(cap * tanh(f32(x[i...]) / cap))\n");

TRIVET_PLUGIN("template_operator", "1.0", "an operator as text", &softcap)
