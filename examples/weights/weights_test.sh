#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A frontend for weights only, compiled with the public headers alone: arrays of an .npz, written by Python's own zip, feed a
# network made by calls; an archive that is cut is refused with the place.
source examples/example_room.sh
here=$PWD/examples/weights include=$PWD/include trivet=$PWD/tools/trivet/trivet use=$PWD/examples/weights/use_weights
cd "$TEST_TMPDIR"
cc -shared -fPIC -std=c11 -Wall -Wextra -Werror -I "$include" "$here/npz_weights.c" -o npz_weights.so
python3 - <<'PY'
import struct, zipfile
def npy(shape, values):
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % (shape,)
    head += " " * (53 - len(head) % 64 + 64) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head.encode() + struct.pack("<%df" % len(values), *values)
with zipfile.ZipFile("weights.npz", "w") as out:
    out.writestr("w.npy", npy("(3, 2)", [1, 2, 3, 4, 5, 6]))
    out.writestr("b.npy", npy("(2,)", [0.5, -1]))
open("cut.npz", "wb").write(open("weights.npz", "rb").read()[:300])
open("x.bin", "wb").write(struct.pack("6f", 1, 2, 3, -1, 0, 1))
PY
"$trivet" plugin check ./npz_weights.so --plugin-path "$plugins" --model weights.npz | tail -1 | grep ' 0 faults'
"$use" "$plugins" ./npz_weights.so weights.npz weights.plan
"$trivet" run weights.plan --plugin-path "$plugins" -i x.bin --shapes x:2x3 | grep '^y: f32\[2x2\] 22.5 27 4.5 3$'
out=$("$use" "$plugins" ./npz_weights.so cut.npz cut.plan 2>&1) && { echo "FAILED: a cut archive"; exit 1; }
[[ $out == *damaged* ]] || { echo "FAILED: $out"; exit 1; }
echo passed
