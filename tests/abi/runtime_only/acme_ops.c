// SPDX-License-Identifier: Apache-2.0
//
// A plugin from outside with one operator, given as text alone. Only the compiler needs it: what it
// means lies in the plan afterwards.
#include "trivet/plugin.h"

TRIVET_OPERATOR(row_norm, "acme.RowNorm", 1, "divides rows by their root mean square",
                "op acme.RowNorm/1 (x: T[D..., K], scale: T[K]) -> (y: T[D..., K]) where T: float\n"
                "attr epsilon: f32 = 1e-5\n"
                "let power[i: D...] = sum(k: K){ sq(f32(x[i..., k])) } / f32(K)\n"
                "y[i..., k] = T(f32(x[i..., k]) * rsqrt(power[i...] + epsilon) * f32(scale[k]))\n");

TRIVET_PLUGIN("acme_ops", "1.0", "an operator as text", &row_norm)
