// SPDX-License-Identifier: Apache-2.0
//
// Operators for golden tests only: one that is defined as a graph of others, since no standard
// operator is.
#include "trivet/plugin.h"

TRIVET_OPERATOR(swiglu, "golden.SwiGLU", 1, "gated linear unit",
                "op golden.SwiGLU/1 (x: T[D..., K], gate: T[K, H], up: T[K, H]) -> (y: T[D..., H]) "
                "where T: float\n"
                "graph {\n"
                "  %g = std.MatMul(%x, %gate)\n"
                "  %u = std.MatMul(%x, %up)\n"
                "  %s = golden.Silu(%g)\n"
                "  %y = std.Mul(%s, %u)\n"
                "}\n");

TRIVET_OPERATOR(silu, "golden.Silu", 1, "x * sigmoid(x)",
                "op golden.Silu/1 (x: T[D...]) -> (y: T[D...]) where T: float\n"
                "graph {\n"
                "  %s = std.Sigmoid(%x)\n"
                "  %y = std.Mul(%x, %s)\n"
                "}\n");

TRIVET_PLUGIN("golden_operators", "1.0", "operators for golden tests", &swiglu, &silu)
