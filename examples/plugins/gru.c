// SPDX-License-Identifier: Apache-2.0
//
// A recurrent cell: one step of a gated recurrent unit as its formula. All
// three gates are one kernel; a network runs it over a sequence in a loop. Weights lie in the plan,
// stored once.
#include "trivet/plugin.h"

TRIVET_OPERATOR(
    gru, "acme.GRUCell", 1, "the next state of a gated recurrent unit",
    "op acme.GRUCell/1 (x: T[B, I], h: T[B, H], w: T[3, I, H], r: T[3, H, H], b: T[3, H]) ->"
    " (y: T[B, H]) where T: float\n"
    "let wx[g: 3, n: B, j: H] = sum(k: I){ f32(x[n, k]) * f32(w[g, k, j]) }\n"
    "let rh[g: 3, n: B, j: H] = sum(k: H){ f32(h[n, k]) * f32(r[g, k, j]) }\n"
    "let update[n: B, j: H] = sigmoid(wx[0, n, j] + rh[0, n, j] + f32(b[0, j]))\n"
    "let reset[n: B, j: H] = sigmoid(wx[1, n, j] + rh[1, n, j] + f32(b[1, j]))\n"
    "let fresh[n: B, j: H] = tanh(wx[2, n, j] + reset[n, j] * rh[2, n, j] + f32(b[2, j]))\n"
    "y[n, j] = T(update[n, j] * f32(h[n, j]) + (1.0 - update[n, j]) * fresh[n, j])\n");

TRIVET_PLUGIN("gru", "1.0", "one operator", &gru)
