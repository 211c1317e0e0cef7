// SPDX-License-Identifier: Apache-2.0
//
// A matrix product as its author would write it on paper. A sum of products is recognised whoever
// wrote it, so it runs on the kernels that the built-in product runs on, with what follows it.
#include "trivet/plugin.h"

TRIVET_OPERATOR(product, "acme.Product", 1, "x w",
                "op acme.Product/1 (x: T[M, K], w: T[K, N]) -> (y: T[M, N]) where T: float\n"
                "y[m, n] = T(sum(k: K){ f32(x[m, k]) * f32(w[k, n]) })\n");

TRIVET_PLUGIN("matrix_product", "1.0", "one operator", &product)
