// SPDX-License-Identifier: Apache-2.0
//
// Layer normalisation whose mean and variance come from one reduction of the author's own
// (Welford's). It shows a state of three parts; Trivet finds out what the join does.
#include "trivet/plugin.h"

TRIVET_OPERATOR(welford_norm, "acme.WelfordNorm", 1, "normalises rows",
                "op acme.WelfordNorm/1 (x: T[D..., K]) -> (y: T[D..., K]) where T: float\n"
                "attr epsilon: f32 = 1e-5\n"
                "monoid w(mean: f32, m2: f32, n: f32) = identity (0.0, 0.0, 0.0)\n"
                "  join (a, b) -> (a.mean + (b.mean - a.mean) * b.n / max(a.n + b.n, 1.0),\n"
                "    a.m2 + b.m2 + sq(b.mean - a.mean) * a.n * b.n / max(a.n + b.n, 1.0),\n"
                "    a.n + b.n)\n"
                "let st[i: D...] = w(k: K){ (f32(x[i..., k]), 0.0, 1.0) }\n"
                "y[i..., k] = T((f32(x[i..., k]) - st[i...].mean)"
                " * rsqrt(st[i...].m2 / f32(K) + epsilon))\n");

TRIVET_PLUGIN("welford_norm", "1.0", "one operator", &welford_norm)
