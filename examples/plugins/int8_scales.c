// SPDX-License-Identifier: Apache-2.0
//
// INT8 with scales: an addition of two quantised tensors, each with its own scale, to a third one.
// Types that an operator takes are those that its text names.
#include "trivet/plugin.h"

TRIVET_OPERATOR(add, "acme.QuantizedAdd", 1, "a + b, quantised",
                "op acme.QuantizedAdd/1 (a: i8[D...], b: i8[D...]) -> (y: i8[D...])\n"
                "attr a_scale: f32 = 1.0\nattr b_scale: f32 = 1.0\nattr y_scale: f32 = 1.0\n"
                "y[i...] = sat(i8, (f32(a[i...]) * a_scale + f32(b[i...]) * b_scale) / y_scale)\n");

TRIVET_PLUGIN("int8_scales", "1.0", "one operator", &add)
