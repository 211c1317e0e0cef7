// SPDX-License-Identifier: Apache-2.0
//
// A collection of small operators of the kinds that plugin repositories hold: choices, masks,
// orders, running sums, resizing. Each is its formula; shapes, types, fusion, the CPU and CUDA
// follow from it.
#include "trivet/plugin.h"

TRIVET_OPERATOR(sign, "acme.Sign", 1, "-1, 0 or 1",
                "op acme.Sign/1 (x: T[D...]) -> (y: T[D...]) where T: numeric\n"
                "y[i...] = sign(x[i...])\n");
TRIVET_OPERATOR(where, "acme.Where", 1, "a where c holds, otherwise b",
                "op acme.Where/1 (c: bool[bcast D...], a: T[bcast D...], b: T[bcast D...])"
                " -> (y: T[D...]) where T: any\n"
                "y[i...] = select(c[i...], a[i...], b[i...])\n");
TRIVET_OPERATOR(reverse, "acme.Reverse", 1, "rows from their ends",
                "op acme.Reverse/1 (x: T[D..., K]) -> (y: T[D..., K]) where T: any\n"
                "y[i..., k] = x[i..., K - 1 - k]\n");
TRIVET_OPERATOR(one_hot, "acme.OneHot", 1, "a 1 where the number says",
                "op acme.OneHot/1 (x: I[D...]) -> (y: f32[D..., depth]) where I: int\n"
                "attr depth: i64\n"
                "y[i..., k] = i64(x[i...]) == k ? 1.0 : 0.0\n");
TRIVET_OPERATOR(mask, "acme.Mask2D", 1, "zero behind the extents that each picture really has",
                "op acme.Mask2D/1 (x: T[N, C, H, W], high: I[N], wide: I[N]) -> (y: T[N, C, H, W])"
                " where T: float, I: int\n"
                "y[n, c, h, w] = h < i64(high[n]) && w < i64(wide[n]) ? x[n, c, h, w] : T(0)\n");
TRIVET_OPERATOR(running, "acme.CumSum", 1, "sums of what came before, and of what is there",
                "op acme.CumSum/1 (x: T[D..., K]) -> (y: T[D..., K]) where T: numeric\n"
                "y[i..., k] = scan(k: K){ x[i..., k] } with sum\n");
TRIVET_OPERATOR(most, "acme.MaxOver", 1, "largest of a row, and where it stands",
                "op acme.MaxOver/1 (x: T[D..., K]) -> (y: T[D...], at: i64[D...]) where T: float\n"
                "y[i...] = max(k: K){ x[i..., k] }\n"
                "at[i...] = argmax(k: K){ x[i..., k] }\n");
// The place of an element is the number of those that come before it.
TRIVET_OPERATOR(sort, "acme.Sort", 1, "rows in ascending order",
                "op acme.Sort/1 (x: T[D..., K]) -> (y: T[D..., K]) where T: float\n"
                "let place[i: D..., k: K] = sum(j: K){ i64(x[i..., j] < x[i..., k] ||"
                " (x[i..., j] == x[i..., k] && j < k)) }\n"
                "y[i..., k] = T(sum(j: K){ place[i..., j] == k ? f32(x[i..., j]) : 0.0 })\n");
TRIVET_OPERATOR(top, "acme.TopAverage", 1, "mean of the largest elements of each row",
                "op acme.TopAverage/1 (x: T[D..., K]) -> (y: T[D...]) where T: float\n"
                "attr count: i64 = 2\n"
                "let before[i: D..., k: K] = sum(j: K){ i64(x[i..., j] > x[i..., k] ||"
                " (x[i..., j] == x[i..., k] && j < k)) }\n"
                "y[i...] = T(sum(k: K){ before[i..., k] < count ? f32(x[i..., k]) : 0.0 }"
                " / f32(min(count, K)))\n");
TRIVET_OPERATOR(resize, "acme.Resize2D", 1, "pictures of several times the size, nearest pixels",
                "op acme.Resize2D/1 (x: T[N, C, H, W]) -> (y: T[N, C, H * times, W * times])"
                " where T: any\n"
                "attr times: i64 = 2\n"
                "y[n, c, h, w] = x[n, c, floordiv(h, times), floordiv(w, times)]\n");

TRIVET_PLUGIN("repository", "1.0", "ten operators", &sign, &where, &reverse, &one_hot, &mask,
              &running, &most, &sort, &top, &resize)
