// SPDX-License-Identifier: Apache-2.0
//
// Softmax in one pass: maximum and sum together, as a reduction of the author's own.
// It shows a monoid that is not predeclared; join and identity are all that it needs.
#include "trivet/plugin.h"

TRIVET_OPERATOR(online_softmax, "acme.OnlineSoftmax", 1, "softmax over the last dimension",
                "op acme.OnlineSoftmax/1 (x: T[D..., K]) -> (y: T[D..., K]) where T: float\n"
                "monoid lse(m: f32, s: f32) = identity (-inf, 0.0)\n"
                "  join (a, b) -> (max(a.m, b.m), a.s * exp(a.m - max(a.m, b.m))"
                " + b.s * exp(b.m - max(a.m, b.m)))\n"
                "let st[i: D...] = lse(k: K){ (f32(x[i..., k]), 1.0) }\n"
                "y[i..., k] = T(exp(f32(x[i..., k]) - st[i...].m) / st[i...].s)\n");

TRIVET_PLUGIN("online_softmax", "1.0", "one operator", &online_softmax)
