// SPDX-License-Identifier: Apache-2.0
//
// Operands and results of different types and ranks: numbers chosen by truth values become floats;
// f32 and f16 operands give a matrix in f16 and a row of sums in f32.
#include "trivet/plugin.h"

TRIVET_OPERATOR(pick, "acme.PickOrZero", 1, "integers where they are wanted, as floats",
                "op acme.PickOrZero/1 (x: i32[D...], wanted: bool[D...]) -> (y: f32[D...])\n"
                "y[i...] = wanted[i...] ? f32(x[i...]) : 0.0\n");
TRIVET_OPERATOR(outer, "acme.OuterSum", 1, "sums of all pairs, and of each row of pairs",
                "op acme.OuterSum/1 (a: f32[N], b: f16[M]) -> (pairs: f16[N, M], rows: f32[N])\n"
                "pairs[n, m] = f16(a[n] + f32(b[m]))\n"
                "rows[n] = sum(m: M){ a[n] + f32(b[m]) }\n");

TRIVET_PLUGIN("mixed_types", "1.0", "two operators", &pick, &outer)
