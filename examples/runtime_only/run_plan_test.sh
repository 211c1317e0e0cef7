#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# A plan made by the other example runs in a program that links the runtime library alone; without the plugin that it
# names it is refused with a reason.
source examples/example_room.sh
examples/build_by_api/build_by_api "$plugins" "$TEST_TMPDIR/example.plan"
out=$(examples/runtime_only/run_plan "$TEST_TMPDIR/example.plan" "$plugins")
echo "$out"
[[ $out == "probabilities: 160 bytes, begins with 0."* ]] || exit 1
out=$(examples/runtime_only/run_plan "$TEST_TMPDIR/example.plan" 2>&1) && exit 1
echo "$out"
[[ $out == *"the plan needs plugin 'cpu_onednn'"*"which is not loaded" ]] || exit 1
# (under a sanitizer its library comes too)
needed=$(readelf -d examples/runtime_only/run_plan | sed -n 's/.*(NEEDED).*\[\(libtrivet.*\)\]/\1/p')
[[ $needed == libtrivet_runtime.so ]]
