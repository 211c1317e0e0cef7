// SPDX-License-Identifier: Apache-2.0
//
// Layer normalisation over the last dimension, with a scale: two inputs, two reductions.
// One of the examples whose lines are counted against other systems: see README.md.
#include "trivet/plugin.h"

TRIVET_OPERATOR(layer_norm, "acme.LayerNorm", 1, "normalises rows and scales them",
                "op acme.LayerNorm/1 (x: T[D..., K], scale: T[K]) -> (y: T[D..., K])"
                " where T: float\n"
                "attr epsilon: f32 = 1e-5\n"
                "let mean[i: D...] = sum(k: K){ f32(x[i..., k]) } / f32(K)\n"
                "let var[i: D...] = sum(k: K){ sq(f32(x[i..., k]) - mean[i...]) } / f32(K)\n"
                "y[i..., k] = T((f32(x[i..., k]) - mean[i...]) * rsqrt(var[i...] + epsilon)"
                " * f32(scale[k]))\n");

TRIVET_PLUGIN("layer_norm", "1.0", "one operator", &layer_norm)
