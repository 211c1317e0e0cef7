#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# runtime_only_test.sh COMPILE PROGRAM RUNTIME NULL PLUGIN...: a plan with a custom operator given as text is compiled, then
# run in a folder that holds the program, the runtime library and the plan, and nothing else. For a target that is a
# plugin (the one without hardware) that plugin lies beside them, and still no other.
set -uo pipefail
compile=$1 program=$2 runtime=$3 null=$PWD/$4
shift 4
room=$TEST_TMPDIR/room
mkdir -p "$room"
plugins=()
for plugin in "$@"; do plugins+=("$PWD/$plugin"); done
"$compile" cpu "$room/network.plan" "${plugins[@]}" || exit 1
"$compile" null "$room/null.plan" "${plugins[@]}" "$null" || exit 1
cp "$program" "$room/program"
cp -L "$runtime" "$room/libtrivet_runtime.so"

needed=$(readelf -d "$room/program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | grep -vE '^(libc|libm|libdl|libpthread)\.so|^ld-linux|^lib(a|t|ub)san\.so')
[[ $needed == libtrivet_runtime.so ]] || { echo "FAILED: the program needs $needed"; exit 1; }

cd "$room" && env -i LD_LIBRARY_PATH="$room" PATH="$PATH" ./program network.plan || exit 1
run() { env -i LD_LIBRARY_PATH="$room" PATH="$PATH" ./program "$@" 2>&1; }
out=$(run null.plan)
[[ $? == 1 && $out == *"the plan needs plugin 'null'"* ]] || { echo "FAILED: a plan without its target gave: $out"; exit 1; }
cp -L "$null" null.so
run null.plan ./null.so || exit 1

# A plan that is damaged is refused with the place; the program ends in an orderly way.
head -c 200 network.plan >cut.plan
out=$(env -i LD_LIBRARY_PATH="$room" PATH="$PATH" ./program cut.plan 2>&1)
[[ $? == 1 && $out == "runtime_only: load: cut.plan: "* ]] || { echo "FAILED: a cut plan gave: $out"; exit 1; }
