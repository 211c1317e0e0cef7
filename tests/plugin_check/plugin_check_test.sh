#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# plugin_check_test.sh FAULT=PATTERN...: each faulty plugin is reported by a line that names its fault, with exit status 1;
# plugins without one pass. Code for CUDA is compiled where NVRTC is; without, the command says so and finds nothing.
source examples/example_room.sh
rm -f "$plugins"/template_* "$plugins"/null.so
set +e
failed=0
null=plugins/null/null.so
check() { tools/trivet/trivet plugin check --plugin-path "$plugins" "$@" 2>&1; }
right() { # right WHAT-IT-SAYS PLUGIN [OPTIONS]
  out=$(check "${@:2}") && [[ $out == *"$1"*" 0 faults" ]] || { echo "FAILED: ${*:2}: $out"; failed=1; }
}
right 'run on the host only' tests/plugin_check/faulty_nothing.so
right 'run on the host only' plugins/template_kernel/template_kernel.so
right '' plugins/template_pass/template_pass.so
right 'runs on template_target:v1, too' plugins/template_target/template_target.so
right 'runs on null:v1, too' $null
right 'runs on null:v1, too' tests/plugin_check/faulty_nothing.so --plugin $null --target null
right '' tests/plugin_check/faulty_kernel_result.so --tolerance 0.01
right 'nothing is built for nowhere' tests/plugin_check/faulty_nothing.so --target nowhere
mkdir "$TEST_TMPDIR/without"
cp -L "$plugins"/*.so "$TEST_TMPDIR/without" && rm -f "$TEST_TMPDIR/without"/cuda*.so
right 'nothing is built for cuda:sm_80: ' tests/plugin_check/faulty_function_code.so --plugin-path "$TEST_TMPDIR/without"
compiled='built for cuda:sm_80, cuda:sm_90, cuda:sm_100'
out=$(check tests/plugin_check/faulty_sound.so)
[[ $out == *" 0 faults" ]] || { echo "FAILED: sound: $out"; failed=1; }
out_of_sound=$out
[[ $out == *"$compiled"* || $out == *"runs on cuda"* ]] || { compiled=; echo "code for CUDA is not compiled here: $(grep 'nothing is built' <<<"$out")"; }
for pair in "$@"; do
  name=${pair%%=*} pattern=${pair#*=} options=() plugin=tests/plugin_check/faulty_${pair%%=*}.so
  case $name in
    hang) options=(--seconds 4) ;;
    kernel_target) options=(--plugin $null) ;;
    function_code | kernel_code | kernel_form) [ "$compiled" ] || continue ;;
    function_means | form_means | code_*) [[ $out_of_sound == *"runs on cuda"* ]] || { echo "not run, no device: $name"; continue; } ;;
    refused_*) plugin=tests/abi/$name.so ;;
  esac
  out=$(check "$plugin" "${options[@]}")
  [[ $? == 1 ]] || { echo "FAILED: $name: exit status is not 1"; failed=1; }
  grep -q "FAULT: .*$pattern" <<<"$out" || { echo "FAILED: $name: wanted '$pattern': $out"; failed=1; }
done
altered_target() { # altered_target PATTERN SED-LINE...: the template's target with each line applied is reported
  local pattern=$1 line before
  cp -L plugins/template_target/template_target.c "$TEST_TMPDIR/template_target.c"
  chmod u+w "$TEST_TMPDIR/template_target.c"
  for line in "${@:2}"; do
    before=$(<"$TEST_TMPDIR/template_target.c")
    sed -i "$line" "$TEST_TMPDIR/template_target.c"
    [[ $before != "$(<"$TEST_TMPDIR/template_target.c")" ]] || { echo "FAILED: nothing is altered by $line"; failed=1; }
  done
  cc -shared -fPIC -I include "$TEST_TMPDIR/template_target.c" -o "$TEST_TMPDIR/template_target.so" || failed=1
  out=$(check "$TEST_TMPDIR/template_target.so")
  grep -q "FAULT: .*$pattern" <<<"$out" || { echo "FAILED: device: wanted '$pattern': $out"; failed=1; }
}
# A device that gives back less than it got: every copy forgets its last byte.
altered_target 'output y.* on template_target:v1' \
  's/memmove(host_address(target), host_address(source), (size_t)size)/if (size) memmove(host_address(target), host_address(source), (size_t)size - 1)/'
# A kernel of a device that reads its workspace before it writes there, and is right where that is zero, as new memory is.
altered_target 'results depend on what memory held before.* on template_target:v1' 's/memset(memory, 0xa5,/memset(memory, 0,/' \
  's/  if (!status) \*out_prepared = prepared;/&\n  if (!status \&\& *out_workspace_size < 64) *out_workspace_size = 64;/' \
  's/  return prepared->host->run(prepared->host, prepared->inner, &own);/  const unsigned char held = *(unsigned char*)own.workspace;\n  trivet_status_t status = prepared->host->run(prepared->host, prepared->inner, \&own);\n  unsigned char* y = prepared->addresses[prepared->count - 1];\n  if (!status \&\& y) *y = (unsigned char)(*y | held);\n  return status;/'
echo "$# faults"
exit $failed
