#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A plan that carries the plugin which it needs, by the command: built, shown, refused, run by flag and by hash, damaged.
set -uo pipefail
fail() { echo "FAILED: $*"; exit 1; }
trivet=$PWD/tools/trivet/trivet
folder=$TEST_TMPDIR/plugins
mkdir -p "$folder"
cp -L plugins/cpu/cpu.so plugins/ops_standard/ops_standard.so passes/passes.so "$folder/"
export TRIVET_PLUGIN_PATH=$folder
plugin=$PWD/plugins/template_kernel/template_kernel.so model=$PWD/plugins/template_kernel/example.txt
cp -L "$plugin" "$TEST_TMPDIR/template_kernel.so"
cd "$TEST_TMPDIR" # the library lies in the current directory, which is no place to look in
"$trivet" build "$model" -o with.plan --plugin "$plugin" --carry-plugins all || fail "build"
"$trivet" build "$model" -o without.plan --plugin "$plugin" || fail "build"
hash=$(sha256sum template_kernel.so | cut -d' ' -f1)
needs="the plan needs plugin 'template_kernel' (it was built with version 1.0), which is not loaded"
"$trivet" inspect with.plan | grep -q "plugin \"template_kernel\" \"1.0\", carried: .* sha256 $hash" || fail "inspect"
"$trivet" inspect without.plan | grep -q carried && fail "carried unasked"

refuses() { # refuses MESSAGE COMMAND...
  local message=$1 out
  shift
  out=$("$trivet" "$@" 2>&1) && fail "accepted: $*"
  [[ $out == *"$message"* ]] || fail "$* says: $out"
}
refuses "$needs; the plan carries it with sha256 $hash, which the caller has not allowed" run with.plan
refuses "which the caller has not allowed" run with.plan "--allow-carried-plugins=${hash/[0-9]/x}"
refuses "$needs" run without.plan --allow-carried-plugins
refuses 'there is no plugin "nobody" to carry' build "$model" -o x.plan --plugin "$plugin" --carry-plugins nobody
refuses 'there is no plugin "" to carry' build "$model" -o x.plan --plugin "$plugin" --carry-plugins template_kernel,
printf x | dd of=with.plan bs=1 seek=9000 conv=notrunc 2>/dev/null
refuses "damaged" run with.plan --allow-carried-plugins
"$trivet" build "$model" -o with.plan --plugin "$plugin" --carry-plugins template_kernel || fail "build"
for how in --allow-carried-plugins "--allow-carried-plugins=$hash" "--plugin=$plugin"; do
  "$trivet" run with.plan "$how" | grep '^y:' >"out" || fail "run $how"
  [[ ! -e first ]] || cmp -s first out || fail "another result with $how"
  cp out first
done
echo passed
