#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# plugin_check_test.sh FAULT=PATTERN...: each faulty plugin is reported by a line that names its fault, with exit status 1;
# plugins without one pass.
source examples/example_room.sh
rm -f "$plugins"/template_*
set +e
failed=0
check() { tools/trivet/trivet plugin check "$1" --plugin-path "$plugins" 2>&1; }
for plugin in tests/plugin_check/faulty_nothing.so plugins/template_kernel/template_kernel.so plugins/template_pass/template_pass.so; do
  out=$(check "$plugin") && [[ $out == *" 0 faults" ]] || { echo "FAILED: $plugin: $out"; failed=1; }
done
for pair in "$@"; do
  name=${pair%%=*} pattern=${pair#*=}
  out=$(check "tests/plugin_check/faulty_$name.so")
  [[ $? == 1 ]] || { echo "FAILED: $name: exit status is not 1"; failed=1; }
  grep -q "FAULT: .*$pattern" <<<"$out" || { echo "FAILED: $name: wanted '$pattern': $out"; failed=1; }
done
echo "$# faults"
exit $failed
