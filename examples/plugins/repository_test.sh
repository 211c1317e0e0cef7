#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# More behaviours of plugins: a collection of operators, mixed types, quantised neighbours, an operand that says a shape, a vectorised format; results
# that need no copy; the life of a kernel as it tells it itself; what is said of a model whose operators nobody brings.
source examples/example_room.sh
here=$PWD/examples/plugins trivet=$PWD/tools/trivet/trivet include=$PWD/include model=$PWD/examples/custom_operator/scaled_swish.onnx
contexts=$PWD/examples/plugins/two_contexts
cd "$TEST_TMPDIR"
fail() { echo "FAILED: $*"; exit 1; }
options=()
for name in repository mixed_types shape_input vector_format every_hook; do
  cc -shared -fPIC -Wall -Wextra -Werror -I "$include" "$here/$name.c" -o "$name.so"
  "$trivet" plugin check "./$name.so" --plugin-path "$plugins" 2>/dev/null | tail -1 | grep ' 0 faults' || fail "check $name"
  options+=(--plugin "./$name.so")
done
python3 - <<'PY'
import struct
open("x.bin", "wb").write(struct.pack("5f", -1.5, 0.25, 2, -0.5, 2))
open("ints.bin", "wb").write(struct.pack("5i", 0, 1, 2, 3, -1))
open("q.bin", "wb").write(struct.pack("5b", -7, 0, 3, 127, -128))
open("ten.bin", "wb").write(struct.pack("10b", 1, 2, 3, 4, 5, 6, 7, 8, 100, -100))
open("picture.bin", "wb").write(struct.pack("4f", 1, 2, 3, 4))
PY
build() { "$trivet" build "$@" --plugin-path "$plugins" "${options[@]}"; }

build "$here/repository.txt" -o repository.plan
# Operators given as text leave nothing to load.
"$trivet" run repository.plan --plugin-path "$plugins" -i x.bin -i ints.bin -i q.bin -i picture.bin \
  --shapes x:5,ints:5,q:5,picture:1x1x2x2 | tail -n +2 >got
diff - got <<'WANT' || fail "results"
quantized: i8[5] -4 0 4 4 -4
sign: f32[5] -1 1 1 -1 1
reversed: f32[5] 2 0 2 0.25 0
hot: f32[5x3] 1 0 0 0 1 0 0 0 ...
masked: f32[1x1x2x2] 1 0 3 0
running: f32[5] -1.5 -1.25 0.75 0.25 2.25
most: f32[] 2
at: i64[] 2
top: f32[] 2
larger: f32[1x1x4x4] 1 1 2 2 1 1 2 2 ...
picked: f32[5] 0 1 2 0 -1
pairs: f16[5x2] -1 -0.5 0.75 1.25 2.5 3 0 0.5 ...
rows: f32[5] -1.5 2 5.5 0.5 5.5
repeated: f32[10] -1.5 -0.5 0.25 2 2 -1.5 -0.5 0.25 ...
WANT

# Channels by fours, filled up with zeros: packing is part of the step behind it.
build "$here/vector_format.txt" -o vector_format.plan
"$trivet" run vector_format.plan --plugin-path "$plugins" -i x=ten.bin --shapes x:1x5x1x2 | tail -n +2 >got
diff - got <<'WANT' || fail "the vectorised format"
scaled: i8[1x2x1x2x4] 1 6 2 -7 2 8 3 -8 ...
plain: i8[1x5x1x2] 1 2 6 8 2 3 -7 -8 ...
WANT
"$trivet" inspect vector_format.plan >shown
grep -q 'LAUNCH "acme.PackChannels + acme.PackedScale"' shown || fail "packing is a step of its own"

# An elementwise operator works in place, the end of a chain writes where the concatenation wants it, a reversed row is a view.
build "$here/no_copies.txt" -o no_copies.plan
"$trivet" inspect no_copies.plan >shown
grep -A4 'LAUNCH "acme.Sign"' shown | grep -o 'buffer [0-9]*' | uniq -c | grep -q '2 buffer' || fail "acme.Sign is not in place"
grep -A5 '"last"' shown | grep -q 'out .* of binding "both"' || fail "the concatenation copies"
grep -q 'strides \[-1\] of binding "x"' shown || fail "the reversed row is copied"

# By price the slow way is taken, by the clock the fast one; the timing cache knows both by name.
build "$here/every_hook.txt" -o slow.plan --threads 1 2>trace
"$trivet" run slow.plan --plugin-path "$plugins" --plugin ./every_hook.so -i x.bin --shapes x:5 2>>trace >slow.txt
sed 's/^every_hook: //' trace | diff - <(cat <<'WANT'
propose: two ways
emit: factors 2 and 3
propose: two ways
emit: factors 0.5 and 1
the shared table is made
load: slow
load: slow
prepare: 5 elements
prepare: 5 elements
release
release
unload
unload
the shared table is freed
WANT
) || fail "the order of calls"
build "$here/every_hook.txt" -o fast.plan --threads 1 --tactics timed --timing-cache times 2>/dev/null
grep -q 'every_hook.stripes/1 "stripes slow"' times && grep -q 'every_hook.stripes/1 "stripes fast"' times || fail "the timing cache"
"$trivet" inspect fast.plan | grep -q 'stripes slow' && fail "the clock was not asked"
"$trivet" run fast.plan --plugin-path "$plugins" --plugin ./every_hook.so -i x.bin --shapes x:5 2>/dev/null >fast.txt
diff <(tail -1 slow.txt) <(tail -1 fast.txt) || fail "the two ways differ"
# In two contexts of one engine: the table and what each step loads once, what is prepared for each; both run in turn.
"$contexts" slow.plan "$plugins" ./every_hook.so 2>trace >got
diff - got <<'WANT' || fail "two contexts"
3 15 10.5 30 18
4 20 14
WANT
sed 's/^every_hook: //' trace | diff - <(cat <<'WANT'
the shared table is made
load: slow
load: slow
prepare: 5 elements
prepare: 5 elements
prepare: 3 elements
prepare: 3 elements
release
release
release
release
unload
unload
the shared table is freed
WANT
) || fail "the order of calls of two contexts"
# Its kernel is code: a plan is not run without it.
"$trivet" run slow.plan --plugin-path "$plugins" --shapes x:5 >/dev/null 2>error && fail "ran without its kernel"
grep -q 'every_hook' error || fail "not said what is missing: $(cat error)"

# What a model needs and nobody brings is named.
"$trivet" build "$model" -o never.plan --plugin-path "$plugins" 2>error && fail "built without its operator"
grep -q 'acme.ScaledSwish' error || fail "not said which operator is missing: $(cat error)"
"$trivet" plugins ./repository.so --plugin-path "$plugins" | grep 'operator acme.Sort/1' >/dev/null || fail "the list of plugins"
echo passed
