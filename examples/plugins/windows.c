// SPDX-License-Identifier: Apache-2.0
//
// Shapes as expressions of extents and attributes: ceil-div, minimum, sums, products; outputs of
// other ranks and types than the inputs.
#include "trivet/plugin.h"

TRIVET_OPERATOR(windows, "acme.Windows", 1, "means of windows, their first elements, a count",
                "op acme.Windows/1 (x: T[N, K]) -> (means: f32[N, ceildiv(K, size)],"
                " firsts: T[N * min(K, size)], count: i64[1]) where T: float\n"
                "attr size: i64 = 3\n"
                "means[n, w] = sum(k: size){ f32(x[n, w * size + k; pad = 0]) } / f32(size)\n"
                "firsts[i] = x[floordiv(i, min(K, size)), mod(i, min(K, size))]\n"
                "count[o] = ceildiv(K, size)\n");

TRIVET_PLUGIN("windows", "1.0", "one operator", &windows)
