// SPDX-License-Identifier: Apache-2.0
//
// Softmax by a maximum and a sum, as in a textbook: two reductions that fuse with what stands
// before and behind them, at the speed of the built-in one.
#include "trivet/plugin.h"

TRIVET_OPERATOR(softmax, "acme.Softmax", 1, "softmax over the last dimension",
                "op acme.Softmax/1 (x: T[D..., K]) -> (y: T[D..., K]) where T: float\n"
                "let m[i: D...] = max(k: K){ f32(x[i..., k]) }\n"
                "let s[i: D...] = sum(k: K){ exp(f32(x[i..., k]) - m[i...]) }\n"
                "y[i..., k] = T(exp(f32(x[i..., k]) - m[i...]) / s[i...])\n");

TRIVET_PLUGIN("plain_softmax", "1.0", "one operator", &softmax)
