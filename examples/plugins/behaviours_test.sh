#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Behaviours of plugins: each compiled by one command with the public headers alone, checked, then used together in one
# network, built, saved, loaded again and run; results are those that the formulas give for these numbers.
source examples/example_room.sh
here=$PWD/examples/plugins trivet=$PWD/tools/trivet/trivet include=$PWD/include
cd "$TEST_TMPDIR"
options=()
for name in two_versions other_clamp keep_positive windows int8_scales window_pool; do
  cc -shared -fPIC -Wall -Wextra -Werror -I "$include" "$here/$name.c" -o "$name.so"
  "$trivet" plugin check "./$name.so" --plugin-path "$plugins" | tail -1 | grep ' 0 faults' || { echo "FAILED: check $name"; exit 1; }
  options+=(--plugin "./$name.so")
done
python3 - <<'PY'
import struct
open("x.bin", "wb").write(struct.pack("6f", -1.5, 0.25, 2, -0.5, 3, 0.75))
open("m.bin", "wb").write(struct.pack("7f", 1, 2, 3, 4, 5, 6, 7))
open("q.bin", "wb").write(struct.pack("6b", -100, -1, 0, 1, 100, 127))
PY
"$trivet" build "$here/behaviours.txt" -o behaviours.plan --plugin-path "$plugins" "${options[@]}" --carry-plugins keep_positive
# Operators given as text leave nothing to load; the one with a host function is carried.
"$trivet" run behaviours.plan --plugin-path "$plugins" --allow-carried-plugins -i x.bin -i m.bin -i q.bin --shapes x:6,m:1x7,q:6 |
  tail -n +2 >got
diff - got <<'WANT' || { echo "FAILED"; exit 1; }
newest: f32[6] -1 0.25 1 -0.5 1 0.75
first: f32[6] 0 0.25 1 0 1 0.75
other: f32[6] 0.5 0.25 0 0.5 0 0.75
twice: f32[4] 0.5 4 6 1.5
means: f32[1x3] 2 5 2.33333
firsts: f32[3] 1 2 3
count: i64[1] 3
sum: i8[6] -100 -1 0 1 100 127
pooled: f32[1x2] 1.58114 4.52769
WANT
echo passed
