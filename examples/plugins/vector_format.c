// SPDX-License-Identifier: Apache-2.0
//
// A vectorised format as dimensions: channels by fours, the last ones filled up with zeros. An
// operator works on the packed form; fused with packing and unpacking it costs no copy.
#include "trivet/plugin.h"

TRIVET_OPERATOR(pack, "acme.PackChannels", 1, "groups of four channels, innermost",
                "op acme.PackChannels/1 (x: T[N, C, H, W]) -> (y: T[N, ceildiv(C, 4), H, W, 4])"
                " where T: numeric\n"
                "y[n, g, h, w, v] = x[n, g * 4 + v, h, w; pad = 0]\n");
TRIVET_OPERATOR(scale, "acme.PackedScale", 1, "packed INT8 channels, each by its own scale",
                "op acme.PackedScale/1 (x: i8[N, G, H, W, 4], scale: f32[C])"
                " -> (y: i8[N, G, H, W, 4])\n"
                "y[n, g, h, w, v] = sat(i8, f32(x[n, g, h, w, v]) * scale[g * 4 + v; pad = 0])\n");
TRIVET_OPERATOR(unpack, "acme.UnpackChannels", 1, "channels one behind the other again",
                "op acme.UnpackChannels/1 (x: T[N, G, H, W, 4]) -> (y: T[N, channels, H, W])"
                " where T: any\n"
                "attr channels: i64\n"
                "y[n, c, h, w] = x[n, floordiv(c, 4), h, w, mod(c, 4)]\n");

TRIVET_PLUGIN("vector_format", "1.0", "three operators", &pack, &scale, &unpack)
