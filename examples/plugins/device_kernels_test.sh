#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Device functions and kernels of plugins for CUDA, compiled by one command with the public headers alone: plans are built
# for three architectures without a device, and what does not compile is named. `./run.sh extend` of the GPU bundle runs them.
source examples/example_room.sh
here=$PWD/examples/plugins trivet=$PWD/tools/trivet/trivet include=$PWD/include
cd "$TEST_TMPDIR"
fail() { echo "FAILED: $*"; exit 1; }
plugin() { # plugin SOURCE NAME [OPTIONS]
  cc -shared -fPIC -Wall -Wextra -Werror -I "$include" "${@:3}" "$1" -o "$2.so" -ldl || fail "$2"
}
build() { # build NETWORK TARGET [OPTIONS]
  "$trivet" build "$1" -o out.plan --plugin-path "$plugins" --target "$2" "${@:3}" >build.log 2>&1 || return 1
  "$trivet" inspect out.plan >inspect.txt
}
for name in device_function device_code stream_callback; do
  plugin "$here/$name.c" $name
  "$trivet" plugin check "./$name.so" --plugin-path "$plugins" | tail -1 | grep ' 0 faults' || fail "check $name"
done
cat >chain.txt <<'G'
graph "chain" {
  input %x: f16[256, 1024]
  %a = std.Abs(%x)
  %b = std.Sqrt(%a)
  %c = acme.Mish(%b)
  %d = std.Softmax(%c) { axis = -1 }
  %y = std.Exp(%d)
  output "y": %y
}
G
kernels=(--plugin ./device_code.so --plugin ./stream_callback.so)
if ! build chain.txt cuda:sm_90 --plugin ./device_function.so; then
  grep -qE "UNAVAILABLE|NOT_FOUND: .*target" build.log || fail "$(cat build.log)"
  echo "the rest is skipped: $(cat build.log)"
  exit 0
fi
for architecture in sm_80 sm_90 sm_100; do
  build chain.txt cuda:$architecture --plugin ./device_function.so || fail "$(cat build.log)"
  [[ $(grep -c 'step .* LAUNCH' inspect.txt) == 1 ]] || fail "the chain is not one kernel: $(cat inspect.txt)"
  build "$here/device_kernels.txt" cuda:$architecture "${kernels[@]}" || fail "$(cat build.log)"
  [[ $(grep -c '^    cuda.code/' inspect.txt) == 2 ]] || fail "sums of rows: $(cat inspect.txt)"
  grep -q '^    stream_callback.append/1' inspect.txt || fail "the callback: $(cat inspect.txt)"
done
# Forms are tactics beside what is generated; the code itself is in the plan, the callback's plugin is named by it.
build "$here/device_kernels.txt" cuda:sm_90 "${kernels[@]}" --alternatives 4 || fail "$(cat build.log)"
for form in 'a warp a row' 'a block a row' 'pieces of rows' generated; do grep -q ", $form," inspect.txt || fail "no '$form'"; done
grep -q stream_callback inspect.txt && ! grep -q device_code inspect.txt || fail "plugins of the plan: $(cat inspect.txt)"
# Machine code that the author has: here what the source became.
mkdir code
build "$here/device_kernels.txt" cuda:sm_90 "${kernels[@]}" --dump code || fail "$(cat build.log)"
python3 - code/cuda_rowsum_f16-*.cubin <<'PY' >cubin.h
import sys
print("static const unsigned char cubin[] = {%s};" % ",".join(map(str, open(sys.argv[1], "rb").read())))
PY
plugin "$here/device_binary.c" device_binary -I. -DCUBIN='"cubin.h"' -DARCHITECTURE='"sm_90a"'
printf 'graph "rows" {\n  input %%x: f16[64, 1000]\n  %%y = binary.RowSum(%%x)\n  output "y": %%y\n}\n' >rows.txt
build rows.txt cuda:sm_90 --plugin ./device_binary.so && grep -q 'cuda.code/.*, machine code,' inspect.txt || fail "machine code"
build rows.txt cuda:sm_80 --plugin ./device_binary.so && grep -q ', generated,' inspect.txt || fail "another architecture"
# What does not compile says whose it is.
sed 's/__expf/nowhere/' "$here/device_function.c" >wrong_function.c
sed 's/"device_function"/"wrong_function"/' -i wrong_function.c
plugin wrong_function.c wrong_function
build chain.txt cuda:sm_90 --plugin ./wrong_function.so && fail "a function that does not compile"
grep -q 'acme.Mish.*scalar function acme.mish of plugin wrong_function(1): error: identifier "nowhere"' build.log || fail "$(cat build.log)"
sed 's/__syncthreads/nowhere/; s/"device_code"/"wrong_code"/' "$here/device_code.c" >wrong_code.c
plugin wrong_code.c wrong_code
build "$here/device_kernels.txt" cuda:sm_90 --plugin ./wrong_code.so --plugin ./stream_callback.so && fail "a kernel that does not compile"
grep -q 'kernel device_code.row_sum: .*nowhere' <(tr '\n' ' ' <build.log) || fail "$(cat build.log)"
sed 's/\.operand_count = 2/.operand_count = 1/; s/"device_code"/"wrong_code"/' "$here/device_code.c" >wrong_code.c
plugin wrong_code.c wrong_code
build "$here/device_kernels.txt" cuda:sm_90 --plugin ./wrong_code.so --plugin ./stream_callback.so && fail "a result that is not written"
grep -q 'result 0 of the region is not among the operands' build.log || fail "$(cat build.log)"
echo passed
