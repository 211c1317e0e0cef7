// SPDX-License-Identifier: Apache-2.0
//
// A scalar function with CUDA C of its own: the text says what it means, for every target, and the
// code is what a CUDA kernel calls where the function lands in one, fused with its neighbours.
#include "trivet/plugin.h"

TRIVET_SCALAR_FUNCTION(mish, "acme.mish", "x * tanh(softplus(x))",
                       "fn mish(x: F) -> F = x * tanh(max(x, F(0)) + log1p(exp(-abs(x))))",
                       "  const F e = __expf(x < 20 ? x : 20), n = e * (e + 2);\n"
                       "  return x * (n / (n + 2));");

TRIVET_OPERATOR(op, "acme.Mish", 1, "x * tanh(softplus(x))",
                "op acme.Mish/1 (x: T[D...]) -> (y: T[D...]) where T: float\n"
                "y[i...] = T(acme.mish(f32(x[i...])))\n");

TRIVET_PLUGIN("device_function", "1.0", "one function, one operator", &mish, &op)
