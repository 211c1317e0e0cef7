// SPDX-License-Identifier: Apache-2.0
//
// Two operators as text, so that a test that builds thousands of times does not parse the whole
// standard set each time.
#include "trivet/plugin.h"

TRIVET_OPERATOR(scaled, "few.Scaled", 1, "x * w along the last axis",
                "op few.Scaled/1 (x: T[N, K], w: T[K]) -> (y: T[N, K]) where T: float\n"
                "y[n, k] = x[n, k] * w[k]\n");
TRIVET_OPERATOR(rectified, "few.Rectified", 1, "max(x, 0)",
                "op few.Rectified/1 (x: T[N, K]) -> (y: T[N, K]) where T: float\n"
                "y[n, k] = max(x[n, k], T(0))\n");
TRIVET_PLUGIN("few_ops", "1.0", "two operators", &scaled, &rectified)
