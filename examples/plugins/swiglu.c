// SPDX-License-Identifier: Apache-2.0
//
// SwiGLU: silu(x W) * (x V). Its meaning is a graph of standard operators, so that both products
// run on the fastest kernels that there are, and the rest is fused.
#include "trivet/plugin.h"

TRIVET_OPERATOR(swiglu, "acme.SwiGLU", 1, "silu(x gate) * (x up)",
                "op acme.SwiGLU/1 (x: T[D..., K], gate: T[K, H], up: T[K, H]) -> (y: T[D..., H])"
                " where T: float\n"
                "graph {\n"
                "  %g = std.MatMul(%x, %gate)\n"
                "  %u = std.MatMul(%x, %up)\n"
                "  %s = std.Sigmoid(%g)\n"
                "  %m = std.Mul(%g, %s)\n"
                "  %y = std.Mul(%m, %u)\n"
                "}\n");

TRIVET_PLUGIN("swiglu", "1.0", "one operator", &swiglu)
