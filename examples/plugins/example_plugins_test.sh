#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Operators beside formulas in float64; the pass put into the pipeline from the command line, before and after another one,
# and taken out by name.
source examples/example_room.sh
here=examples/plugins
examples/plugins/run_examples "$plugins" "$here" "$TEST_TMPDIR/example.plan"
build() {
  tools/trivet/trivet build "$here/swish.txt" -o "$TEST_TMPDIR/swish.plan" --plugin-path "$plugins" --plugin "$here/swish_pass.so" \
    --explain "$@"
}
made() { grep -E '^acme-silu +1 changes' >/dev/null; }
build --pass-before recognize-swish:acme-silu | made || { echo "FAILED: --pass-before"; exit 1; }
build --disable recognize-swish --pass-after remove-dead:acme-silu | made || { echo "FAILED: --pass-after"; exit 1; }
if build --pass-before recognize-swish:acme-silu --disable acme-silu | made; then echo "FAILED: --disable"; exit 1; fi
build --pass-replace recognize-swish:acme-silu >"$TEST_TMPDIR/replaced" && made <"$TEST_TMPDIR/replaced" || { echo "FAILED: --pass-replace"; exit 1; }
grep -q recognize-swish "$TEST_TMPDIR/replaced" && { echo "FAILED: --pass-replace leaves the other"; exit 1; }
# Without a name: what the library brings.
build --disable recognize-swish --pass-after remove-dead | made || { echo "FAILED: --pass-after without a name"; exit 1; }
out=$(build --pass-after nowhere:acme-silu 2>&1) && { echo "FAILED: an unknown anchor"; exit 1; }
[[ $out == *'the pipeline has no pass "nowhere"'* ]] || { echo "FAILED: $out"; exit 1; }
